//! What it costs: `cargo test --release -p hive-classifier -- --ignored --nocapture cost`.

use hive_classifier::{Table, Versions};
use hive_flow::{Field, Key, Mask, Match};
use std::sync::Arc;

fn security_group(rules: u32) -> impl Iterator<Item = (Match, u16)> {
    (0..rules).map(|n| {
        let mut matching = Match::default();
        matching.exactly(Field::Metadata, u128::from(n % 64));
        matching.exactly(Field::EthType, 0x800);
        matching.exactly(Field::IpProto, if n % 2 == 0 { 6 } else { 17 });
        matching.set(Field::Ipv4Src, u128::from(n.wrapping_mul(2_654_435_761)), u128::from(u32::MAX << (n % 9)));
        if n % 3 != 0 {
            matching.exactly(Field::TpDst, u128::from(n % 1000));
        }
        (matching, 1000 + (n % 16) as u16)
    })
}

fn keys() -> Vec<Key> {
    (0..4096u32)
        .map(|n| {
            let mut key = Key::ZERO;
            key.set(Field::Metadata, u128::from(n % 64));
            key.set(Field::EthType, 0x800);
            key.set(Field::IpProto, if n % 2 == 0 { 6 } else { 17 });
            key.set(Field::Ipv4Src, u128::from(n.wrapping_mul(2_654_435_761)));
            key.set(Field::TpDst, u128::from(n % 1000));
            key
        })
        .collect()
}

#[test]
#[ignore = "prints figures"]
fn cost_of_lookups_and_insertions() {
    for rules in [10, 1000, 100_000] {
        let started = cpu_time();
        let (versions, mut writer) = Versions::new();
        for (matching, priority) in security_group(rules) {
            writer.draft().table_mut(0).unwrap().insert(&matching, priority, &[], Arc::new(0u32)).unwrap();
        }
        writer.publish();
        let inserted = cpu_time() - started;
        let tables = versions.load();
        let table: &Table<u32> = tables.table(0).unwrap();
        let keys = keys();
        let started = cpu_time();
        let mut met = 0;
        const ROUNDS: usize = 100;
        for _ in 0..ROUNDS {
            for key in &keys {
                let mut mask = Mask::default();
                met += usize::from(table.lookup(std::hint::black_box(key), &mut mask).is_some());
                std::hint::black_box(&mask);
            }
        }
        let each = (cpu_time() - started).as_secs_f64() * 1e9 / (ROUNDS * keys.len()) as f64;
        println!(
            "{rules} rules, {} masks: inserted and published in {:.1} ms, lookup {each:.0} ns, {:.0} % met",
            table.masks(),
            inserted.as_secs_f64() * 1e3,
            100.0 * met as f64 / (ROUNDS * keys.len()) as f64
        );
    }
    let started = cpu_time();
    let mut table = Table::default();
    for n in 0..100_000u32 {
        // A thousand masks.
        let mut matching = Match::default();
        matching.set(Field::Metadata, u128::from(n) << 12, u128::from(!(n % 1000)));
        table.insert(&matching, (n % 7) as u16, &[], Arc::new(0u32)).unwrap();
    }
    println!("{} rules of {} masks: {:.0} ms", table.len(), table.masks(), (cpu_time() - started).as_secs_f64() * 1e3);
    let (_versions, mut writer) = Versions::new();
    let started = cpu_time();
    for (matching, priority) in security_group(100_000) {
        writer.draft().table_mut(0).unwrap().insert(&matching, priority, &[], Arc::new(0u32)).unwrap();
        writer.publish();
    }
    println!("100000 rules, each published alone: {:.0} ms", (cpu_time() - started).as_secs_f64() * 1e3);
}

/// Of this thread: others on the machine disturb it less than the time of day.
fn cpu_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
