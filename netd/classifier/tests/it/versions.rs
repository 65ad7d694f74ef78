//! A version is seen whole or not at all.

use hive_classifier::Versions;
use hive_flow::{Field, Key, Mask, Match};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn port(port: u128) -> Match {
    let mut matching = Match::default();
    matching.exactly(Field::InPort, port);
    matching
}

#[test]
fn a_draft_is_nobodys_business_until_it_is_published() {
    let (versions, mut writer) = Versions::<u32>::new();
    let mut reader = versions.reader();
    let before = versions.load();
    writer.draft().table_mut(3).unwrap().insert(&port(1), 5, &[], Arc::new(9)).unwrap();
    assert_eq!(reader.tables().table(3).unwrap().len(), 0);
    writer.publish();
    assert_eq!(reader.tables().table(3).unwrap().len(), 1);
    assert_eq!((before.table(3).unwrap().len(), before.version(), reader.tables().version()), (0, 0, 1));
    writer.draft().table_mut(3).unwrap().remove(&port(1), 5).unwrap();
    writer.abandon();
    writer.publish();
    assert_eq!(reader.tables().table(3).unwrap().len(), 1);
    assert!(reader.tables().table(255).is_none());
}

/// Two tables change together, again and again; no reader ever sees one without the other.
#[test]
fn readers_see_all_of_a_bundle_or_nothing() {
    let (versions, mut writer) = Versions::<u64>::new();
    let stop = Arc::new(AtomicBool::new(false));
    let mut key = Key::ZERO;
    key.set(Field::InPort, 1);
    let publish = |writer: &mut hive_classifier::Writer<u64>, round| {
        for table in [0, 200] {
            writer.draft().table_mut(table).unwrap().insert(&port(1), 1, &[], Arc::new(round)).unwrap();
        }
        writer.publish();
    };
    publish(&mut writer, 0);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (mut reader, stop) = (versions.reader(), stop.clone());
            std::thread::spawn(move || {
                let (mut last, mut seen) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    let tables = reader.tables();
                    let [one, other] = [0, 200].map(|table| {
                        let found = tables.table(table).unwrap().lookup(&key, &mut Mask::default());
                        **found.unwrap().rule.value()
                    });
                    assert_eq!(one, other);
                    assert!(one >= last);
                    seen += u64::from(one != last);
                    last = one;
                }
                seen
            })
        })
        .collect();
    for round in 1..20_000 {
        publish(&mut writer, round);
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
}
