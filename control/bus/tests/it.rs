//! One suite for both stores, and request/reply, against a real nats-server.

use futures::StreamExt;
use hive_bus::testing::NatsServer;
use hive_bus::{
    BucketConfig, Bus, BusConfig, BusError, Bytes, MemoryStore, Refusal, Store, StoreError, Table, TableError, Write,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

async fn connect(server: &NatsServer) -> Bus {
    let config = BusConfig { url: server.url(), name: "test".into(), request_timeout: Duration::from_secs(2) };
    let bus = Bus::connect(&config).await.expect("connect");
    assert!(bus.wait_connected(Duration::from_secs(10)).await, "no connection");
    bus
}

fn bucket(bus: &Bus, name: &str) -> Arc<dyn Store> {
    Arc::new(bus.bucket(BucketConfig { name: name.into(), ttl: None, replicas: 1, atomic: true }))
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict { .. })), "{result:?}");
}

async fn store_suite(store: Arc<dyn Store>) {
    assert_eq!(store.range("").await.expect("an empty range"), []);
    assert_eq!(store.get("1.a").await.expect("get"), None);

    let first = store.create("1.a", Bytes::from_static(b"x")).await.expect("create");
    conflict(store.create("1.a", Bytes::from_static(b"y")).await);
    let second = store.update("1.a", Bytes::from_static(b"y"), first).await.expect("update");
    assert!(second > first);
    conflict(store.update("1.a", Bytes::from_static(b"z"), first).await);
    conflict(store.update("1.absent", Bytes::from_static(b"z"), 7).await);
    conflict(store.delete("1.a", first).await);
    assert_eq!(store.get("1.a").await.expect("get").expect("there").value, "y");

    let mut changes = store.watch("1.").await.expect("watch");
    store.create("2.b", Bytes::from_static(b"other account")).await.expect("create");
    store.create("1.b", Bytes::from_static(b"b")).await.expect("create");
    store.delete("1.a", second).await.expect("delete");
    let seen = changes.next().await.expect("a change").expect("no error");
    assert_eq!((seen.key.as_str(), seen.value.as_deref()), ("1.b", Some(&b"b"[..])));
    let seen = changes.next().await.expect("a change").expect("no error");
    assert_eq!((seen.key.as_str(), seen.value), ("1.a", None));

    assert_eq!(store.get("1.a").await.expect("get"), None);
    conflict(store.delete("1.a", second).await);
    let again = store.create("1.a", Bytes::from_static(b"again")).await.expect("create after delete");
    assert!(again > second);

    let keys = |entries: Vec<hive_bus::Entry>| entries.into_iter().map(|e| e.key).collect::<Vec<_>>();
    assert_eq!(keys(store.range("1.").await.expect("range")), ["1.a", "1.b"]);
    assert_eq!(keys(store.range("").await.expect("range")), ["1.a", "1.b", "2.b"]);
    for bad in ["", ".", "a..b", "a.", "a b", "a.*", ">"] {
        assert!(matches!(store.get(bad).await, Err(StoreError::BadKey { .. })), "{bad:?}");
    }
    assert!(matches!(store.range("1").await, Err(StoreError::BadKey { .. })));
}

fn write(key: &str, revision: u64, value: Option<&'static str>) -> Write {
    Write { key: key.into(), revision, value: value.map(|text| Bytes::from_static(text.as_bytes())) }
}

async fn commit_suite(store: Arc<dyn Store>) {
    let keys = |entries: Vec<hive_bus::Entry>| entries.into_iter().map(|e| e.key).collect::<Vec<_>>();
    let mut changes = store.watch("9.").await.expect("watch");
    let last =
        store.commit(&[write("9.a", 0, Some("1")), write("9.b", 0, Some("1")), write("9.head", 0, Some("1"))]).await;
    let head = last.expect("committed");
    let a = store.get("9.a").await.expect("get").expect("there").revision;
    assert_eq!(store.get("9.head").await.expect("get").expect("there").revision, head);
    // One revision is not what it was: nothing is written.
    for stale in [
        vec![write("9.c", 0, Some("2")), write("9.head", head - 1, Some("2"))],
        vec![write("9.a", a + 7, Some("2")), write("9.head", head, Some("2"))],
        vec![write("9.b", 0, Some("2")), write("9.head", head, Some("2"))],
        vec![write("9.a", a, None), write("9.c", 5, Some("2")), write("9.head", head, Some("2"))],
    ] {
        conflict(store.commit(&stale).await);
    }
    assert_eq!(keys(store.range("9.").await.expect("range")), ["9.a", "9.b", "9.head"]);
    let next =
        store.commit(&[write("9.a", a, None), write("9.c", 0, Some("2")), write("9.head", head, Some("2"))]).await;
    assert!(next.expect("committed") > head);
    assert_eq!(keys(store.range("9.").await.expect("range")), ["9.b", "9.c", "9.head"]);
    assert_eq!(store.get("9.a").await.expect("get"), None);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let change = tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect("in time");
        let change = change.expect("a change").expect("no error");
        seen.push(format!("{}{}", if change.value.is_some() { "+" } else { "-" }, change.key));
    }
    assert_eq!(seen, ["+9.a", "+9.b", "+9.head", "-9.a", "+9.c", "+9.head"]);
    assert!(store.commit(&[]).await.is_err());
}

/// Many writers, each commit one step of two counters that must stay equal.
async fn commits_race(store: Arc<dyn Store>) {
    let step = |store: Arc<dyn Store>| async move {
        for _ in 0..400 {
            let revision = |entry: &Option<hive_bus::Entry>| entry.as_ref().map_or(0, |entry| entry.revision);
            let count = |entry: &Option<hive_bus::Entry>| {
                entry
                    .as_ref()
                    .map_or(0, |entry| String::from_utf8_lossy(&entry.value).parse::<u64>().expect("a number"))
            };
            let (head, other) = (store.get("8.head").await.expect("get"), store.get("8.other").await.expect("get"));
            let next = |entry| Some(Bytes::from((count(entry) + 1).to_string()));
            let writes = [
                Write { key: "8.other".into(), revision: revision(&other), value: next(&other) },
                Write { key: "8.head".into(), revision: revision(&head), value: next(&head) },
            ];
            match store.commit(&writes).await {
                Ok(_) => return,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("never got through");
    };
    futures::future::join_all((0..20).map(|_| step(store.clone()))).await;
    for key in ["8.head", "8.other"] {
        assert_eq!(store.get(key).await.expect("get").expect("there").value, "20", "{key}");
    }
}

#[tokio::test]
async fn commits_are_all_or_nothing() {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new("memory"));
    commit_suite(memory.clone()).await;
    commits_race(memory).await;
    let server = NatsServer::start();
    let bus = connect(&server).await;
    let store = bucket(&bus, "committed");
    commit_suite(store.clone()).await;
    commits_race(store).await;
    // Another worker opens the same bucket.
    let store = bucket(&connect(&server).await, "committed");
    store.commit(&[write("7.a", 0, Some("1")), write("7.b", 0, Some("1"))]).await.expect("committed");
}

/// More listings in a row than the server lets a stream have consumers.
#[tokio::test]
async fn listings_leave_nothing_behind_on_the_server() {
    const SERVER_LIMIT: usize = 1000;
    let server = NatsServer::start();
    let bus = connect(&server).await;
    let store = bucket(&bus, "listed");
    store.create("1.a", Bytes::from_static(b"x")).await.expect("create");
    for listing in 0..SERVER_LIMIT + 10 {
        let entries = store.range(if listing % 2 == 0 { "1." } else { "2." }).await;
        assert_eq!(entries.map(|entries| entries.len()), Ok(1 - listing % 2), "listing {listing}");
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

/// Writers that race by compare-and-swap lose no increment.
async fn race_suite(store: Arc<dyn Store>) {
    const WRITERS: u64 = 4;
    const INCREMENTS: u64 = 15;
    let table = Table::<Counter>::new(store);
    assert!(table.create("c", &Counter::default()).await.expect("create"));
    assert!(!table.create("c", &Counter { value: 9 }).await.expect("the second create"));
    let writers = (0..WRITERS).map(|_| {
        let table = table.clone();
        tokio::spawn(async move {
            for _ in 0..INCREMENTS {
                let increment = |counter: &mut Counter| {
                    counter.value += 1;
                    Ok::<_, TableError>(())
                };
                table.modify("c", increment).await.expect("modify").expect("the counter");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
    assert_eq!(table.get("c").await.expect("get").expect("there").value.value, WRITERS * INCREMENTS);
    assert_eq!(table.delete_if("c", |c| Ok::<_, TableError>(c.value == 1)).await.expect("refused"), None);
    assert!(table.delete_if("c", |_| Ok::<_, TableError>(true)).await.expect("deleted").is_some());
    assert_eq!(table.range("").await.expect("range"), []);
}

#[tokio::test]
async fn memory_store() {
    store_suite(Arc::new(MemoryStore::new("m"))).await;
    race_suite(Arc::new(MemoryStore::new("m"))).await;
}

#[tokio::test]
async fn nats_store() {
    let server = NatsServer::start();
    let bus = connect(&server).await;
    store_suite(bucket(&bus, "suite")).await;
    race_suite(bucket(&bus, "race")).await;
}

#[tokio::test]
async fn entries_of_a_ttl_bucket_vanish() {
    let server = NatsServer::start();
    let bus = connect(&server).await;
    let config = BucketConfig { name: "t".into(), ttl: Some(Duration::from_secs(1)), replicas: 1, atomic: false };
    let store = bus.bucket(config);
    store.create("k", Bytes::from_static(b"v")).await.expect("create");
    for _ in 0..200 {
        if store.get("k").await.expect("get").is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the entry is still there");
}

#[tokio::test]
async fn data_and_handles_outlive_the_server() {
    let mut server = NatsServer::start();
    let bus = connect(&server).await;
    let store = bucket(&bus, "b");
    store.create("k", Bytes::from_static(b"v")).await.expect("create");
    server.kill();
    while bus.connected() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(store.get("k").await, Err(StoreError::Unavailable { .. })));
    let down = bus.request::<_, Counter>("x", &()).await;
    assert!(matches!(down, Err(BusError::Down { .. })), "{down:?}");
    server.restart();
    assert!(bus.wait_connected(Duration::from_secs(20)).await);
    // JetStream recovers its streams a moment after the port opens.
    for _ in 0..100 {
        if let Ok(entry) = store.get("k").await {
            assert_eq!(entry.expect("kept").value, "v");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the bucket did not come back");
}

#[tokio::test]
async fn request_and_reply() {
    let server = NatsServer::start();
    let bus = connect(&server).await;
    let missing = bus.request::<_, Counter>("t.echo", &Counter { value: 1 }).await;
    assert!(matches!(missing, Err(BusError::NoResponders { .. })), "{missing:?}");

    let permits = Arc::new(Semaphore::new(2));
    let double = |c: Counter| async move {
        if c.value == 13 { Err(Refusal("no\nthirteen".into())) } else { Ok(Counter { value: c.value * 2 }) }
    };
    let one = bus.serve("t.echo", "workers", permits.clone(), double).await.expect("serve");
    let two = bus.serve("t.echo", "workers", permits.clone(), double).await.expect("serve");
    let asked = (0..50).map(|value| {
        let bus = bus.clone();
        async move { bus.request::<_, Counter>("t.echo", &Counter { value }).await.map(|c| c.value) }
    });
    for (value, answer) in futures::future::join_all(asked).await.into_iter().enumerate() {
        match answer {
            Ok(doubled) => assert_eq!(doubled, 2 * value as u64),
            Err(BusError::Refused { message, .. }) => assert_eq!((value, message.as_str()), (13, "no thirteen")),
            Err(error) => panic!("{error}"),
        }
    }
    let refused = bus.request::<_, Counter>("t.echo", "not a counter").await;
    assert!(matches!(refused, Err(BusError::Refused { .. })), "{refused:?}");
    let undecodable = bus.request::<_, String>("t.echo", &Counter { value: 1 }).await;
    assert!(matches!(undecodable, Err(BusError::Decode { .. })), "{undecodable:?}");

    let permits = Arc::new(Semaphore::new(0));
    let _never =
        bus.serve("t.slow", "workers", permits, |c: Counter| async move { Ok::<_, Refusal>(c) }).await.expect("serve");
    let late = bus.request_within::<_, Counter>("t.slow", &Counter::default(), Duration::from_millis(50)).await;
    assert!(matches!(late, Err(BusError::Timeout { .. })), "{late:?}");
    drop((one, two));
}
