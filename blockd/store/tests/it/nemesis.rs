//! A network and a server that do their worst, between the client and the real objectd.

use crate::watch::{TEST_PATIENCE, Watch};
use crate::{
    objectd::Objectd,
    proxy::{Fault, Proxy, Request},
    suite::{self, Store, content},
};
use bytes::Bytes;
use hive_blockd_store::{Condition, ObjectStore, StoreError, error::chain, s3::Timeouts};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

fn quick() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(1),
        attempt: Duration::from_millis(400),
        min_bytes_per_second: u64::MAX,
        call: Duration::from_secs(20),
        first_pause: Duration::from_millis(2),
        max_pause: Duration::from_millis(20),
    }
}

/// Faults by chance, most requests passing.
fn misery(seed: u64, permille: u64) -> impl Fn(&Request) -> Fault + Send + Sync + 'static {
    let state = AtomicU64::new(seed);
    move |request| {
        let mut z = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        if z % 1000 >= permille {
            return Fault::None;
        }
        match (z >> 32) % 14 {
            0 => Fault::Refused(500, "InternalError"),
            1 => Fault::Refused(503, "SlowDown"),
            2 => Fault::Refused(429, ""),
            3 if request.is_conditional => Fault::Refused(409, "ConditionalRequestConflict"),
            3 | 4 => Fault::AnswerReplaced,
            5 => Fault::Hang,
            6 => Fault::HangAfter,
            7 => Fault::RequestCut,
            8 => Fault::AnswerReset,
            9 => Fault::AnswerCut,
            10 if request.has_range => Fault::AnswerShortened,
            10 | 11 => Fault::Slow(Duration::from_millis(60)),
            12 => Fault::Slow(Duration::from_secs(2)),
            _ => Fault::Garbage,
        }
    }
}

const TASKS: u64 = 6;
const OBJECTS: u64 = 25;

fn key(task: u64, number: u64) -> String {
    format!("vol-{task}/{number:03}")
}

/// Inline in objectd, one buffer, several buffers.
fn body(task: u64, number: u64) -> Bytes {
    content(task * 1000 + number, [100, 60_000, 600_000][number as usize % 3])
}

/// What was acknowledged is there, whole; what was not is there whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_whole_or_not_there() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    let direct: Store = Arc::new(objectd.store(objectd.address, Timeouts::default()));
    let proxy = Proxy::start(objectd.address, misery(1, 300)).await;
    // Short calls, so that some end without success.
    let timeouts = Timeouts { call: Duration::from_millis(30), ..quick() };
    let store: Store = Arc::new(objectd.store(proxy.address, timeouts));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let writers: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for number in 0..OBJECTS {
                    match store.put(&key(task, number), body(task, number)).await {
                        Ok(()) => drop(acknowledged.lock().unwrap().insert((task, number))),
                        Err(error) => assert!(matches!(error, StoreError::Unavailable { .. }), "{}", chain(&error)),
                    }
                }
            })
        })
        .collect();
    let readers: Vec<_> = (0..4_u64)
        .map(|reader| {
            let store = if reader % 2 == 0 { store.clone() } else { direct.clone() };
            tokio::spawn(async move {
                let mut found = 0;
                for round in 0..80 {
                    let (task, number) = ((round * 7 + reader) % TASKS, (round * 11) % OBJECTS);
                    let expected = body(task, number);
                    let half = expected.len() as u64 / 2;
                    let data = if round % 3 == 0 {
                        store.get_range(&key(task, number), 0..half).await.map(|data| (data, half))
                    } else {
                        store.get(&key(task, number)).await.map(|(data, _)| (data, half * 2))
                    };
                    match data {
                        Ok((data, len)) => {
                            assert!(data == expected[..len as usize], "{}", key(task, number));
                            found += 1;
                        }
                        Err(StoreError::NotFound { .. } | StoreError::Unavailable { .. }) => {}
                        Err(error) => panic!("{}", chain(&error)),
                    }
                }
                found
            })
        })
        .collect();
    for task in writers {
        task.await.unwrap();
    }
    let mut found = 0;
    for task in readers {
        found += task.await.unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let listed = direct.list("vol-").await.unwrap();
    for (task, number) in &acknowledged {
        assert!(listed.contains(&key(*task, *number)), "{} was acknowledged", key(*task, *number));
    }
    for task in 0..TASKS {
        for number in (0..OBJECTS).filter(|number| listed.contains(&key(task, *number))) {
            assert!(direct.get(&key(task, number)).await.unwrap().0 == body(task, number), "{}", key(task, number));
        }
    }
    assert!(acknowledged.len() > 20 && found > 20, "{} written, {found} read", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_all_the_same() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    let misery = misery(3, 200);
    let proxy = Proxy::start(objectd.address, move |request| {
        // The suite wants conflicts that are certain, so conditional puts get their answers here.
        if request.is_conditional { Fault::None } else { misery(request) }
    })
    .await;
    let store: Store = Arc::new(objectd.store(proxy.address, quick()));
    suite::everything(&store).await;
}

/// No increment is lost and none counts twice, whatever becomes of the answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counter_is_exact() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    let proxy = Proxy::start(objectd.address, misery(2, 250)).await;
    let store: Store = Arc::new(objectd.store(proxy.address, quick()));
    suite::counter(&store, 6, 10).await;
}

/// One writer: whatever happens to its first request, the outcome is a success with the right version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_no_conflict() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    let direct = objectd.store(objectd.address, Timeouts::default());
    let faults = [
        Fault::Refused(500, "InternalError"),
        Fault::Refused(409, "ConditionalRequestConflict"),
        Fault::AnswerReplaced,
        Fault::Hang,
        Fault::HangAfter,
        Fault::RequestCut,
        Fault::AnswerReset,
        Fault::AnswerCut,
        Fault::Slow(Duration::from_secs(2)),
        Fault::Garbage,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let puts = Arc::new(AtomicU32::new(0));
        let seen = puts.clone();
        let proxy = Proxy::start(objectd.address, move |request| {
            let is_first = request.is_conditional && seen.fetch_add(1, Ordering::Relaxed) == 0;
            if is_first { fault } else { Fault::None }
        })
        .await;
        let store = objectd.store(proxy.address, quick());
        let key = format!("vol/{number}");
        let mut condition = Condition::Absent;
        for round in 0..3 {
            puts.store(0, Ordering::Relaxed);
            let data = content(number as u64 * 10 + round, 1000);
            let version = store.put_if(&key, data.clone(), condition).await;
            let version = version.unwrap_or_else(|error| panic!("{fault:?}: {}", chain(&error)));
            assert_eq!(direct.get(&key).await.unwrap(), (data, version.clone()), "{fault:?}");
            assert!(puts.load(Ordering::Relaxed) >= 2, "{fault:?}");
            condition = Condition::Version(version);
        }
    }
}

/// Ours was written, its answer lost, and another wrote over it: that is a conflict, and not a certain one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_and_a_rival() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    let direct = objectd.store(objectd.address, Timeouts::default());
    let seen = AtomicU32::new(0);
    let proxy = Proxy::start(objectd.address, move |request| {
        let is_first = request.method == "PUT" && seen.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { Fault::HangAfter } else { Fault::None }
    })
    .await;
    let store = objectd.store(proxy.address, Timeouts { attempt: Duration::from_secs(2), ..quick() });
    let ours = tokio::spawn(async move { store.put_if("vol/m", content(1, 100), Condition::Absent).await });
    let version = loop {
        match direct.get("vol/m").await {
            Ok((_, version)) => break version,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    direct.put_if("vol/m", content(2, 100), Condition::Version(version)).await.unwrap();
    let error = ours.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Conflict { perhaps_applied: true, .. }), "{}", chain(&error));
    assert_eq!(direct.get("vol/m").await.unwrap().0, content(2, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_ends_within_the_deadline() {
    let _watch = Watch::test(TEST_PATIENCE);
    let objectd = Objectd::start();
    for fault in [Fault::Hang, Fault::Refused(503, "SlowDown"), Fault::Garbage, Fault::AnswerReset] {
        let proxy = Proxy::start(objectd.address, move |_| fault).await;
        let timeouts = Timeouts { call: Duration::from_millis(700), ..quick() };
        let store = objectd.store(proxy.address, timeouts);
        let began = Instant::now();
        let results = tokio::join!(
            async { store.get("vol/1").await.map(drop) },
            async { store.get_range("vol/1", 0..10).await.map(drop) },
            async { store.put("vol/1", content(1, 10)).await },
            async { store.put_if("vol/2", content(1, 10), Condition::Absent).await.map(drop) },
            async { store.list("").await.map(drop) },
        );
        let took = began.elapsed();
        assert!(took < timeouts.call + timeouts.attempt + Duration::from_secs(3), "{fault:?}: {took:?}");
        for result in [results.0, results.1, results.2, results.3, results.4] {
            let unavailable = matches!(result, Err(StoreError::Unavailable { .. }));
            // A reset in the middle of a small answer may leave all of what counts.
            assert!(unavailable || fault == Fault::AnswerReset, "{fault:?}: {result:?}");
        }
    }
}
