use super::*;
use crate::snapshot::{BridgeId, InterfaceId, Problem};
use crate::status::{DatapathStatus, LinkState};
use serde_json::{Value, json};

const ROOT: u128 = 1;
const BRIDGE: u128 = 2;
const INTERFACE: u128 = 3;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn schema() -> Schema {
    let optional = |kind: &str| json!({ "type": { "key": kind, "min": 0 } });
    let map = |value: &str| json!({ "type": { "key": "string", "value": value, "min": 0, "max": "unlimited" } });
    Schema::parse(&json!({ "tables": {
        "Open_vSwitch": { "columns": {
            "next_cfg": { "type": "integer" }, "cur_cfg": { "type": "integer" }, "dpdk_initialized": { "type": "boolean" }, "datapaths": map("uuid"),
        } },
        "Bridge": { "columns": { "name": { "type": "string" }, "datapath_id": optional("string"), "status": map("string") } },
        "Interface": { "columns": {
            "name": { "type": "string" }, "ofport": optional("integer"), "error": optional("string"), "link_state": optional("string"),
            "statistics": map("integer"),
        } },
        "Datapath": { "columns": { "capabilities": map("string"), "ct_zones": map("uuid"), "external_ids": map("string") } },
    } }))
    .unwrap()
}

struct Bench {
    schema: Schema,
    replica: Replica,
    writer: Writer,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let mut bench =
            Self { schema: schema(), replica: Replica::default(), writer: Writer::default(), now: Instant::now() };
        bench.update(json!({
            "Open_vSwitch": { id(ROOT).to_string(): { "initial": { "next_cfg": 4 } } },
            "Bridge": { id(BRIDGE).to_string(): { "initial": { "name": "br0" } } },
            "Interface": { id(INTERFACE).to_string(): { "initial": { "name": "p0" } } },
        }));
        bench.writer.configured(&Configuration::default(), 1, true);
        bench
    }

    fn update(&mut self, updates: Value) {
        self.replica.apply(&updates, &self.schema).unwrap();
    }

    /// Plans, and lets the server have done it.
    fn plan(&mut self) -> Vec<Value> {
        let operations = self.writer.plan(&self.replica, &self.schema, self.now);
        for operation in &operations {
            if let Operation::Update { table, row, columns } = operation {
                let set = |kind: crate::schema::ColumnType| !kind.many;
                let changes = columns.iter().map(|(column, datum)| {
                    let kind = self.schema.column(table.name(), column).unwrap();
                    let before =
                        self.replica.row(*table, *row).unwrap().get(column).cloned().unwrap_or(Datum::default_of(kind));
                    let change = if set(kind) { datum.clone() } else { difference(&before, datum) };
                    ((*column).to_owned(), change.encode())
                });
                let changes: serde_json::Map<String, Value> = changes.collect();
                let updates = json!({ table.name(): { row.to_string(): { "modify": changes } } });
                self.replica.apply(&updates, &self.schema).unwrap();
            }
        }
        operations.iter().map(Operation::encode).collect()
    }

    fn due_in(&self) -> Option<Duration> {
        self.writer.due(&self.replica, self.now).map(|due| due.saturating_duration_since(self.now))
    }
}

fn difference(before: &Datum, after: &Datum) -> Datum {
    let (Datum::Map(before), Datum::Map(after)) = (before, after) else { panic!("only maps here") };
    let mut change = after.clone();
    change.retain(|key, value| before.get(key) != Some(value));
    change.extend(before.iter().filter(|(key, _)| !after.contains_key(*key)).map(|(k, v)| (k.clone(), v.clone())));
    Datum::Map(change)
}

fn status(generation: u64, packets: u64) -> Status {
    let mut status = Status { applied: Some(Version { generation, next_cfg: 4 }), ..Status::default() };
    let interface = InterfaceStatus {
        ofport: Some(7),
        link_state: Some(LinkState::Up),
        statistics: [("rx_packets".to_owned(), packets)].into(),
        ..InterfaceStatus::default()
    };
    status.interfaces.insert(InterfaceId(id(INTERFACE)), interface);
    status
}

#[test]
fn a_new_configuration_goes_out_at_once_and_whole() {
    let mut bench = Bench::new();
    assert_eq!(bench.due_in(), None);
    bench.writer.report(status(1, 5));
    assert_eq!(bench.due_in(), Some(Duration::ZERO));
    let plan = bench.plan();
    assert_eq!(plan.len(), 2);
    assert_eq!(plan[0]["row"], json!({ "ofport": 7, "link_state": "up", "statistics": ["map", [["rx_packets", 5]]] }));
    assert_eq!(plan[1]["row"], json!({ "cur_cfg": 4 }));
    assert_eq!(bench.due_in(), None);
}

#[test]
fn state_soon_counters_seldom_and_only_what_differs() {
    let mut bench = Bench::new();
    bench.writer.report(status(1, 5));
    bench.plan();
    // Nothing changed.
    bench.writer.report(status(1, 5));
    assert_eq!(bench.due_in(), Some(STATE_INTERVAL));
    bench.now += STATE_INTERVAL;
    assert_eq!(bench.plan(), Vec::<Value>::new());
    // Both changed.
    let mut changed = status(1, 6);
    changed.interfaces.get_mut(&InterfaceId(id(INTERFACE))).unwrap().link_state = Some(LinkState::Down);
    bench.writer.report(changed);
    assert_eq!(bench.due_in(), Some(Duration::ZERO));
    assert_eq!(bench.plan()[0]["row"], json!({ "link_state": "down" }));
    assert_eq!(bench.due_in(), Some(MIN_STATISTICS_INTERVAL - STATE_INTERVAL));
    bench.now += MIN_STATISTICS_INTERVAL;
    assert_eq!(bench.plan()[0]["row"], json!({ "statistics": ["map", [["rx_packets", 6]]] }));
}

#[test]
fn another_databases_configuration_is_not_applied_here() {
    let mut bench = Bench::new();
    bench.writer.configured(&Configuration::default(), 2, true);
    bench.writer.report(status(1, 0));
    assert!(bench.plan().iter().all(|operation| operation["row"].get("cur_cfg").is_none()));
    bench.writer.report(status(2, 0));
    assert_eq!(bench.plan().last().unwrap()["row"], json!({ "cur_cfg": 4 }));
}

#[test]
fn what_fails_is_tried_again_later() {
    let mut bench = Bench::new();
    bench.writer.report(status(1, 0));
    bench.writer.plan(&bench.replica, &bench.schema, bench.now);
    assert_eq!(bench.due_in(), None);
    bench.writer.finished(&Outcome::Failed("disk full".to_owned()), bench.now);
    assert_eq!(bench.due_in(), Some(RETRY_INTERVAL));
    bench.now += RETRY_INTERVAL;
    assert_eq!(bench.plan().len(), 2);
}

#[test]
fn problems_reach_their_rows_and_leave_them() {
    let mut bench = Bench::new();
    let problem = |table, row, refused, message: &str| Problem {
        table,
        row: id(row),
        name: "x".to_owned(),
        refused,
        message: message.to_owned(),
    };
    let problems =
        vec![problem(Table::Interface, INTERFACE, true, "no peer"), problem(Table::Bridge, BRIDGE, false, "odd")];
    bench.writer.configured(&Configuration { problems, ..Configuration::default() }, 2, false);
    // Even if the switch says that all is well.
    bench.writer.report(status(2, 0));
    let plan = bench.plan();
    assert_eq!(plan[0]["row"], json!({ "status": ["map", [["warning", "odd"]]] }));
    assert_eq!(plan[1]["row"], json!({ "ofport": -1, "error": "no peer" }));
    bench.writer.configured(&Configuration::default(), 3, false);
    bench.now += STATE_INTERVAL;
    let plan = bench.plan();
    assert_eq!(plan[0]["row"], json!({ "ofport": 7, "error": ["set", []], "link_state": "up" }));
    assert_eq!(plan[1]["row"], json!({ "status": ["map", []] }));
    let mut known = status(3, 0);
    known.bridges.insert(BridgeId(id(BRIDGE)), BridgeStatus { datapath_id: Some(10), ..BridgeStatus::default() });
    bench.writer.report(known);
    bench.now += STATE_INTERVAL;
    assert_eq!(bench.plan()[0]["row"], json!({ "datapath_id": "000000000000000a" }));
}

#[test]
fn datapaths_come_and_go() {
    let mut bench = Bench::new();
    let mut report = status(1, 0);
    let capabilities: BTreeMap<String, String> = [("recirc".to_owned(), "true".to_owned())].into();
    report.datapaths.insert("netdev".to_owned(), DatapathStatus { version: "1".to_owned(), capabilities });
    bench.writer.report(report);
    let plan = bench.plan();
    assert_eq!((&plan[1]["op"], &plan[1]["uuid-name"]), (&json!("insert"), &json!("datapath0")));
    assert_eq!(
        plan[2]["mutations"],
        json!([["datapaths", "insert", ["map", [["netdev", ["named-uuid", "datapath0"]]]]]])
    );

    let datapath = id(9).to_string();
    bench.update(json!({
        "Datapath": { &datapath: { "insert": { "capabilities": ["map", [["recirc", "true"]]] } } },
        "Open_vSwitch": { id(ROOT).to_string(): { "modify": { "datapaths": ["map", [["netdev", ["uuid", datapath]]]] } } },
    }));
    let farewell: Vec<Value> = bench.writer.farewell(&bench.replica).iter().map(Operation::encode).collect();
    assert_eq!(farewell[0]["op"], json!("wait"));
    assert_eq!(farewell[1]["mutations"], json!([["datapaths", "delete", ["set", ["netdev"]]]]));
    bench.update(json!({ "Datapath": { &datapath: { "modify": { "external_ids": ["map", [["mine", "1"]]] } } } }));
    let farewell: Vec<Value> = bench.writer.farewell(&bench.replica).iter().map(Operation::encode).collect();
    assert_eq!(farewell[0]["row"], json!({ "capabilities": ["map", []] }));
}
