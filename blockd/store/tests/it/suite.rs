//! What holds for every store.

use bytes::Bytes;
use hive_blockd_store::{Condition, ObjectStore, StoreError, Version};
use std::{collections::BTreeMap, sync::Arc};

pub type Store = Arc<dyn ObjectStore>;

/// Bytes that differ from object to object and have no period.
pub fn content(seed: u64, len: usize) -> Bytes {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

pub async fn everything(store: &Store) {
    objects(store).await;
    ranges(store).await;
    conditions(store).await;
    lists(store).await;
    refusals(store).await;
    model(store, 150).await;
    counter(store, 8, 12).await;
}

async fn objects(store: &Store) {
    assert!(matches!(store.get("o/none").await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.size("o/none").await, Err(StoreError::NotFound { .. })));
    store.delete("o/none").await.unwrap();
    for len in [0, 1, 4096, 300_000, 3 << 20] {
        let data = content(len as u64, len);
        store.put("o/one", data.clone()).await.unwrap();
        store.put("o/one", data.clone()).await.unwrap();
        assert_eq!(store.size("o/one").await.unwrap(), len as u64);
        let (found, version) = store.get("o/one").await.unwrap();
        assert!(found == data, "{len}");
        assert_eq!(store.get("o/one").await.unwrap().1, version);
    }
    // An object may be what others are below.
    store.put("o", content(1, 10)).await.unwrap();
    assert_eq!(store.get("o").await.unwrap().0, content(1, 10));
    store.delete("o/one").await.unwrap();
    assert!(matches!(store.get("o/one").await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.size("o").await.unwrap(), 10);
    store.delete("o").await.unwrap();
}

async fn ranges(store: &Store) {
    let data = content(5, 1_000_000);
    store.put("r/a", data.clone()).await.unwrap();
    for (start, end) in [(0, 1), (0, 1_000_000), (999_999, 1_000_000), (262_144, 524_288), (77, 77)] {
        let found = store.get_range("r/a", start..end).await.unwrap();
        assert!(found == data[start as usize..end as usize], "{start}..{end}");
    }
    for (start, end) in [(999_999, 1_000_001), (1_000_000, 1_000_001), (5_000_000, 5_000_010)] {
        let error = store.get_range("r/a", start..end).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("r/a"), "{error}");
    }
    let backwards = std::ops::Range { start: 2, end: 1 };
    assert!(matches!(store.get_range("r/a", backwards).await, Err(StoreError::Invalid { .. })));
    assert!(matches!(store.get_range("r/none", 0..1).await, Err(StoreError::NotFound { .. })));
}

async fn conditions(store: &Store) {
    let put = |body: &'static str, condition| store.put_if("c/m", Bytes::from_static(body.as_bytes()), condition);
    let lost = |result: Result<Version, StoreError>| {
        assert!(matches!(result, Err(StoreError::Conflict { perhaps_applied: false, .. })), "{result:?}");
    };
    lost(put("x", Condition::Version(Version::new("0123456789abcdef0123456789abcdef"))).await);
    let first = put("1", Condition::Absent).await.unwrap();
    lost(put("2", Condition::Absent).await);
    assert_eq!(store.get("c/m").await.unwrap(), (Bytes::from_static(b"1"), first.clone()));
    let second = put("2", Condition::Version(first.clone())).await.unwrap();
    assert_ne!(first, second);
    lost(put("3", Condition::Version(first)).await);
    assert_eq!(store.get("c/m").await.unwrap(), (Bytes::from_static(b"2"), second.clone()));
    store.delete("c/m").await.unwrap();
    lost(put("3", Condition::Version(second)).await);
    put("4", Condition::Absent).await.unwrap();
}

async fn lists(store: &Store) {
    assert!(store.list("l/").await.unwrap().is_empty());
    let keys = ["l", "l/a", "l/a/1", "l/a/10", "l/a/2", "l/a-b/1", "l/b/c/d/e", "l2", "l-"];
    for key in keys {
        store.put(key, content(1, 1)).await.unwrap();
    }
    for prefix in ["l", "l/", "l/a", "l/a/", "l/a/1", "l/b", "l/b/c/d/e", "l/b/c/d/e/", "l2", "lx", "l/."] {
        let mut expected: Vec<&str> = keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
        expected.sort_unstable();
        assert_eq!(store.list(prefix).await.unwrap(), expected, "{prefix}");
    }
    assert!(keys.iter().all(|key| key.starts_with('l')));
    let all = store.list("").await.unwrap();
    assert!(keys.iter().all(|key| all.contains(&(*key).to_owned())), "{all:?}");
    for key in keys {
        store.delete(key).await.unwrap();
    }
    assert!(store.list("l").await.unwrap().is_empty());
}

async fn refusals(store: &Store) {
    for key in ["", "/", "../x", "a/../../x", "A", "a//b", "a/", "x\0"] {
        let data = content(1, 1);
        assert!(matches!(store.get(key).await, Err(StoreError::Invalid { .. })), "{key}");
        assert!(matches!(store.put(key, data.clone()).await, Err(StoreError::Invalid { .. })), "{key}");
        let put_if = store.put_if(key, data, Condition::Absent).await;
        assert!(matches!(put_if, Err(StoreError::Invalid { .. })), "{key}");
        assert!(matches!(store.delete(key).await, Err(StoreError::Invalid { .. })), "{key}");
    }
    assert!(matches!(store.list("../").await, Err(StoreError::Invalid { .. })));
}

/// Random operations against what a map says.
async fn model(store: &Store, operations: u64) {
    let mut expected: BTreeMap<String, (Bytes, Option<Version>)> = BTreeMap::new();
    let mut state = 1_u64;
    for operation in 0..operations {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = (state >> 33) as usize;
        let key = ["m/a", "m/a/b", "m/b", "m/b-c/d"][draw % 4];
        let data = content(operation * 2 + 1, [0, 10, 5000, 200_000][draw / 4 % 4]);
        let known = expected.get(key).cloned();
        match draw / 16 % 6 {
            0 => {
                store.put(key, data.clone()).await.unwrap();
                expected.insert(key.to_owned(), (data, None));
            }
            1 | 2 => {
                // With the version of a read or of a put, or that there is none; half the time it is the wrong one.
                let condition = match (&known, (draw / 96).is_multiple_of(2)) {
                    (Some((_, Some(version))), true) => Condition::Version(version.clone()),
                    (Some(_), true) => Condition::Version(store.get(key).await.unwrap().1),
                    (None, false) => Condition::Version(Version::new("0123456789abcdef0123456789abcdef")),
                    _ => Condition::Absent,
                };
                let holds = matches!(condition, Condition::Absent) == known.is_none();
                match store.put_if(key, data.clone(), condition).await {
                    Ok(version) if holds => drop(expected.insert(key.to_owned(), (data, Some(version)))),
                    Err(StoreError::Conflict { .. }) if !holds => {}
                    other => panic!("{key} {operation}: {other:?}"),
                }
            }
            3 => {
                store.delete(key).await.unwrap();
                expected.remove(key);
            }
            4 => {
                let keys: Vec<_> = expected.keys().cloned().collect();
                assert_eq!(store.list("m/").await.unwrap(), keys);
            }
            _ => match (store.get(key).await, &known) {
                (Ok((found, version)), Some((data, known))) => {
                    assert!(found == *data && known.as_ref().is_none_or(|known| *known == version), "{key}");
                    assert_eq!(store.size(key).await.unwrap(), data.len() as u64);
                }
                (Err(StoreError::NotFound { .. }), None) => {}
                (other, _) => panic!("{key} {operation}: {other:?}"),
            },
        }
    }
    for key in expected.keys() {
        store.delete(key).await.unwrap();
    }
}

/// A counter object: how often each writer incremented it, so that a writer finds its own mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter(pub BTreeMap<usize, u64>);

impl Counter {
    pub fn parse(data: &[u8]) -> Self {
        let text = std::str::from_utf8(data).unwrap();
        let entries = text.lines().map(|line| line.split_once('=').unwrap());
        Self(entries.map(|(writer, count)| (writer.parse().unwrap(), count.parse().unwrap())).collect())
    }

    pub fn bytes(&self) -> Bytes {
        self.0.iter().map(|(writer, count)| format!("{writer}={count}\n")).collect::<String>().into()
    }

    pub fn of(&self, writer: usize) -> u64 {
        self.0.get(&writer).copied().unwrap_or(0)
    }
}

/// The counter and the condition under which it may be replaced; tries again while the store is unavailable.
pub async fn read_counter(store: &Store, key: &str) -> (Counter, Condition) {
    loop {
        match store.get(key).await {
            Ok((data, version)) => return (Counter::parse(&data), Condition::Version(version)),
            Err(StoreError::NotFound { .. }) => return (Counter::default(), Condition::Absent),
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
}

/// Increments `key` once in the name of `writer`, who has done so `before` times; returns the tries it took.
pub async fn increment(store: &Store, key: &str, writer: usize, before: u64) -> u32 {
    for tries in 1.. {
        let (mut counter, condition) = read_counter(store, key).await;
        if counter.of(writer) > before {
            // A put whose answer was lost, and whose outcome nobody could tell.
            assert_eq!(counter.of(writer), before + 1);
            assert!(tries > 1);
            return tries;
        }
        assert_eq!(counter.of(writer), before, "an increment was lost");
        counter.0.insert(writer, before + 1);
        match store.put_if(key, counter.bytes(), condition).await {
            Ok(_) => return tries,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
    unreachable!()
}

/// Many tasks increment one counter: none is lost and none counts twice.
pub async fn counter(store: &Store, writers: usize, each: u64) {
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tries = 0;
                for before in 0..each {
                    tries += increment(&store, "counter", writer, before).await;
                }
                tries
            })
        })
        .collect();
    let mut tries = 0;
    for task in tasks {
        tries += task.await.unwrap();
    }
    let (counter, _) = read_counter(store, "counter").await;
    assert_eq!(counter, Counter((0..writers).map(|writer| (writer, each)).collect()));
    assert!(u64::from(tries) >= writers as u64 * each);
}
