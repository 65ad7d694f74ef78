//! The store that fails on command does what it says.

use crate::suite::{Store, content};
use crate::watch::{TEST_PATIENCE, Watch};
use bytes::Bytes;
use hive_blockd_store::{
    Condition, DirStore, FaultyStore, ObjectStore, Operation, StoreError,
    faulty::{Faults, Outage},
};
use std::{sync::Arc, time::Duration};

fn faulty(home: &tempfile::TempDir, seed: u64) -> Arc<FaultyStore> {
    FaultyStore::new(Arc::new(DirStore::open(home.path()).unwrap()), seed)
}

#[tokio::test]
async fn the_suite_holds_without_faults() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let store: Store = faulty(&home, 1);
    crate::suite::everything(&store).await;
}

#[tokio::test]
async fn one_seed_one_run() {
    let _watch = Watch::test(TEST_PATIENCE);
    let mut runs = Vec::new();
    for _ in 0..2 {
        let home = tempfile::tempdir().unwrap();
        let store = faulty(&home, 42);
        store.set_faults(Faults {
            read_errors_permille: 300,
            write_errors_permille: 200,
            lost_answers_permille: 200,
            damaged_reads_permille: 200,
            ..Faults::default()
        });
        let mut outcomes = Vec::new();
        for round in 0..100 {
            let written = store.put(&format!("vol/{round}"), content(round, 64)).await.is_ok();
            outcomes.push((written, store.get(&format!("vol/{round}")).await.ok()));
        }
        assert_eq!((store.calls(Operation::Put), store.calls(Operation::Get)), (100, 100));
        assert!(outcomes.iter().any(|(written, found)| !written && found.is_some()), "an answer was lost");
        let damaged = |(round, (_, found)): (usize, &(bool, Option<(Bytes, _)>))| {
            found.as_ref().is_some_and(|(data, _)| *data != content(round as u64, 64))
        };
        assert!(outcomes.iter().enumerate().any(damaged));
        runs.push(outcomes);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn outages_and_stale_lists() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let store = faulty(&home, 3);
    store.put("vol/1", content(1, 10)).await.unwrap();
    assert_eq!(store.list("vol/").await.unwrap().len(), 1);
    store.set_outage(Outage::Refusing);
    assert!(matches!(store.get("vol/1").await, Err(StoreError::Unavailable { .. })));
    store.set_outage(Outage::Full);
    assert!(matches!(store.put("vol/2", content(2, 10)).await, Err(StoreError::NoSpace { .. })));
    store.get("vol/1").await.unwrap();
    store.set_outage(Outage::Hanging);
    let hung = tokio::spawn({
        let store = store.clone();
        async move { store.get("vol/1").await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!hung.is_finished());
    store.set_outage(Outage::None);
    assert!(matches!(hung.await.unwrap(), Err(StoreError::Unavailable { .. })));
    store.put("vol/2", content(2, 10)).await.unwrap();
    store.set_faults(Faults { stale_lists_permille: 1000, ..Faults::default() });
    assert_eq!(store.list("vol/").await.unwrap(), ["vol/1"]);
    store.set_faults(Faults { false_conflicts_permille: 1000, ..Faults::default() });
    let conflict = store.put_if("vol/m", content(1, 1), Condition::Absent).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { perhaps_applied: true, .. })));
    assert_eq!(store.inner().size("vol/m").await.unwrap(), 1);
    assert_eq!(store.list("vol/").await.unwrap(), ["vol/1", "vol/2", "vol/m"]);
}
