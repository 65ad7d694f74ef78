use super::*;

const ROW: &str = "00000000-0000-0000-0000-000000000001";

fn schema() -> Value {
    let name = json!({ "columns": { "name": { "type": "string" } } });
    json!({ "tables": { "Open_vSwitch": { "columns": { "next_cfg": { "type": "integer" } } }, "Bridge": name, "Port": name, "Interface": name } })
}

/// What is asked, by method and id.
fn asked(session: &mut Session) -> Vec<(String, Value, Vec<Value>)> {
    let requests = session.take_outgoing().into_iter().filter_map(|message| match message {
        Message::Request { id, method, params } => Some((method, id, params)),
        _ => None,
    });
    requests.collect()
}

fn answer(session: &mut Session, id: &Value, result: Result<Value, Value>) -> Result<Option<Event>, SessionError> {
    session.handle(Message::Reply { id: id.clone(), result })
}

/// Up to the monitor request, whose id and parameters it gives.
fn begin(session: &mut Session) -> (Value, Vec<Value>) {
    let first = asked(session);
    assert_eq!(first[0].0, "get_schema");
    answer(session, &first[0].1, Ok(schema())).unwrap();
    let next = asked(session);
    assert_eq!((next[0].0.as_str(), next[1].0.as_str()), ("lock", "monitor_cond_since"));
    assert_eq!(next[0].2, [json!("ovs_vswitchd")]);
    answer(session, &next[0].1, Ok(json!({ "locked": true }))).unwrap();
    (next[1].1.clone(), next[1].2.clone())
}

fn update3(transaction: &str, updates: Value) -> Message {
    Message::Notification { method: "update3".to_owned(), params: vec![json!("m"), json!(transaction), updates] }
}

#[test]
fn it_goes_on_from_the_last_transaction_if_the_server_knows_it() {
    let mut session = Session::new(Known::default());
    let (id, params) = begin(&mut session);
    assert_eq!(params[3], json!(NO_TRANSACTION));
    // Only columns that the server has are asked for.
    assert_eq!(params[2]["Bridge"], json!([{ "columns": ["name"] }]));
    let initial = json!({ "Bridge": { ROW: { "initial": { "name": "br0" } } } });
    assert_eq!(answer(&mut session, &id, Ok(json!([false, "t1", initial]))).unwrap(), Some(Event::Configuration));
    assert_eq!(session.lock(), Some(true));
    session.handle(update3("t2", json!({}))).unwrap();

    let mut session = Session::new(session.into_known());
    assert!(!session.is_synchronised());
    let (id, params) = begin(&mut session);
    assert_eq!(params[3], json!("t2"));
    answer(&mut session, &id, Ok(json!([true, "t3", { "Bridge": { ROW: { "modify": { "name": "br1" } } } }]))).unwrap();
    assert_eq!(session.replica().rows(Table::Bridge).next().unwrap().1.text("name"), "br1");

    // One that does not know it sends everything.
    let mut session = Session::new(session.into_known());
    let (id, _) = begin(&mut session);
    answer(&mut session, &id, Ok(json!([false, "u1", {}]))).unwrap();
    assert_eq!(session.replica().size(), (0, 0));
}

#[test]
fn an_older_server_is_asked_the_older_way() {
    let mut session = Session::new(Known::default());
    let (id, _) = begin(&mut session);
    answer(&mut session, &id, Err(json!({ "error": "unknown method" }))).unwrap();
    let next = asked(&mut session);
    assert_eq!((next[0].0.as_str(), next[0].2.len()), ("monitor_cond", 3));
    answer(&mut session, &next[0].1, Ok(json!({ "Bridge": { ROW: { "initial": { "name": "br0" } } } }))).unwrap();
    let update = json!({ "Bridge": { ROW: { "delete": null } } });
    session.handle(Message::Notification { method: "update2".to_owned(), params: vec![json!("m"), update] }).unwrap();
    assert_eq!(session.replica().size(), (0, 0));
}

#[test]
fn an_update_that_cannot_be_followed_leaves_nothing_to_build_on() {
    let mut session = Session::new(Known::default());
    let (id, _) = begin(&mut session);
    answer(&mut session, &id, Ok(json!([false, "t1", {}]))).unwrap();
    let bad =
        json!({ "Bridge": { ROW: { "insert": { "name": "br0" } } }, "Port": { ROW: { "insert": { "name": 7 } } } });
    assert!(session.handle(update3("t2", bad)).is_err());
    assert!(!session.is_synchronised());
    let mut session = Session::new(session.into_known());
    let (_, params) = begin(&mut session);
    assert_eq!(params[3], json!(NO_TRANSACTION));
}

#[test]
fn the_lock_comes_and_goes() {
    let mut session = Session::new(Known::default());
    begin(&mut session);
    for (method, held) in [("stolen", false), ("locked", true)] {
        let message = Message::Notification { method: method.to_owned(), params: vec![json!(LOCK)] };
        assert_eq!(session.handle(message).unwrap(), Some(Event::Lock));
        assert_eq!(session.lock(), Some(held));
    }
    let other = Message::Notification { method: "stolen".to_owned(), params: vec![json!("other")] };
    assert_eq!(session.handle(other).unwrap(), None);
    assert_eq!(session.lock(), Some(true));
}

#[test]
fn a_database_of_another_kind_is_refused() {
    let mut session = Session::new(Known::default());
    let first = asked(&mut session);
    let refused = answer(&mut session, &first[0].1, Ok(json!({ "tables": { "Logical_Switch": { "columns": {} } } })));
    assert!(matches!(refused, Err(SessionError::Schema("Open_vSwitch"))));
}

#[test]
fn every_transaction_asserts_the_lock() {
    let mut session = Session::new(Known::default());
    session.take_outgoing();
    session.transact(&[]);
    let sent = asked(&mut session);
    assert_eq!(sent[0].2, [json!(DATABASE), json!({ "op": "assert", "lock": LOCK })]);
    let done = answer(&mut session, &sent[0].1, Ok(json!([{ "error": "not owner" }]))).unwrap();
    assert_eq!(done, Some(Event::Transaction(Outcome::NotOwner)));
}
