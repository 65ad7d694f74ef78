use super::*;
use proptest::prelude::*;
use serde_json::json;

fn schema() -> Schema {
    let map = json!({ "type": { "key": "string", "value": "string", "min": 0, "max": "unlimited" } });
    let interfaces = json!({ "type": { "key": "uuid", "min": 1, "max": "unlimited" } });
    Schema::parse(&json!({ "tables": {
        "Bridge": { "columns": { "name": { "type": "string" }, "other_config": map, "status": map } },
        "Port": { "columns": { "interfaces": interfaces } },
    } }))
    .unwrap()
}

fn id(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

fn bridge(n: u128, action: &str, cells: Value) -> Value {
    json!({ "Bridge": { id(n): { action: cells } } })
}

#[test]
fn rows_and_bytes_are_bounded() {
    let schema = schema();
    let mut replica = Replica::default();
    let rows: serde_json::Map<String, Value> =
        (0..=MAX_ROWS).map(|n| (id(n as u128), json!({ "insert": {} }))).collect();
    assert_eq!(replica.apply(&json!({ "Bridge": rows }), &schema), Err(ReplicaError::TooManyRows));

    let mut replica = Replica::default();
    replica.apply(&bridge(1, "insert", json!({})), &schema).unwrap();
    let text = "x".repeat(30 << 20);
    let grown = (0..20).find_map(|n| {
        let cells = json!({ "other_config": ["map", [[format!("key{n}"), text]]] });
        replica.apply(&bridge(1, "modify", cells), &schema).err()
    });
    assert_eq!(grown, Some(ReplicaError::TooLarge));
}

#[test]
fn a_row_comes_whole_and_changes_in_differences() {
    let schema = schema();
    let mut replica = Replica::default();
    let interface = |n| json!(["uuid", id(n)]);
    let port = |action: &str, cells| json!({ "Port": { id(1): { action: cells } } });
    // At least one of these is there, and a column that must have one begins with an empty one.
    replica.apply(&port("insert", json!({ "interfaces": interface(5) })), &schema).unwrap();
    replica
        .apply(&port("modify", json!({ "interfaces": ["set", [interface(5), interface(6), interface(7)]] })), &schema)
        .unwrap();
    let row = replica.row(Table::Port, Uuid::from_u128(1)).unwrap();
    assert_eq!(row.references("interfaces").collect::<Vec<_>>(), [6, 7].map(Uuid::from_u128));

    assert_eq!(replica.apply(&bridge(1, "insert", json!({ "name": "br0" })), &schema), Ok(true));
    assert_eq!(replica.apply(&bridge(1, "modify", json!({ "status": ["map", [["a", "b"]]] })), &schema), Ok(false));
    assert_eq!(replica.apply(&bridge(1, "modify", json!({ "name": "br1" })), &schema), Ok(true));
    assert_eq!(replica.apply(&bridge(1, "delete", Value::Null), &schema), Ok(true));
}

proptest! {
    #[test]
    fn bytes_are_those_of_the_rows_that_are_there(
        changes in prop::collection::vec((0u128..4, 0u8..3, "[a-c]", "[a-z]{0,20}"), 0..60)
    ) {
        let schema = schema();
        let mut replica = Replica::default();
        for (row, action, key, value) in changes {
            let cells = json!({ "other_config": ["map", [[key, value]]] });
            let action = ["insert", "modify", "delete"][usize::from(action)];
            let _ = replica.apply(&bridge(row, action, cells), &schema);
            let (rows, bytes) = replica.size();
            prop_assert_eq!(rows, replica.rows(Table::Bridge).count());
            prop_assert_eq!(bytes, replica.rows(Table::Bridge).map(|(_, row)| row.cost()).sum::<usize>());
        }
    }
}
