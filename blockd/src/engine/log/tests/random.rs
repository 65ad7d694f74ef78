//! Long random lives of a volume, full of crashes. The seed is printed when one fails.

use super::super::{Event, Tuning};
use super::world::{SLOT_BYTES, World};
use crate::engine::{Engine, Operation};

/// More by setting HIVE_CRASH_SEEDS.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let count = std::env::var("HIVE_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = std::env::var("HIVE_CRASH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    first..first + count
}

fn small() -> Tuning {
    // Checkpoints and cleaning happen early enough to be seen.
    Tuning {
        checkpoint_bytes: 48 << 20,
        clean_idle: 1.1,
        clean_busy: 1.2,
        clean_roomy: 1.2,
        map_bytes: 64 << 10,
        ..Tuning::default()
    }
}

fn live(seed: u64, blocks: u64, tuning: Tuning, encrypted: bool, actions: u32) {
    let mut world = World::new(seed, blocks, tuning, encrypted);
    let max_blocks = SLOT_BYTES / 4096;
    let mut crashes = 0;
    for _ in 0..actions {
        match world.rng.below(1000) {
            0..450 => {
                let len = 1 + if world.rng.chance(20) { world.rng.below(max_blocks) } else { world.rng.below(4) };
                let block = world.rng.below(blocks - len);
                world.ask(Operation::Write, block, len);
            }
            450..500 => {
                let len = 1 + world.rng.below(40);
                let block = world.rng.below(blocks - len);
                let unmap = world.rng.chance(50);
                world.ask(Operation::Zero { unmap }, block, len);
            }
            500..600 => {
                let len = 1 + world.rng.below(max_blocks);
                let block = world.rng.below(blocks - len);
                world.ask(Operation::Read, block, len);
            }
            600..640 => drop(world.ask(Operation::Flush, 0, 0)),
            640..980 => {
                world.commit();
                for _ in 0..world.rng.below(12) {
                    world.step();
                }
            }
            980..984 => world.with(|engine, io| {
                engine.want_checkpoint();
                engine.tick(io);
            }),
            984..987 => world.with(|engine, io| {
                engine.handle(Event::Cut { token: 1 }, io);
                engine.handle(Event::CutEnded { token: 1 }, io);
            }),
            987..989 => world.settle(),
            989..991 => {
                let down = world.rng.chance(50);
                world.shared.borrow_mut().store_down = down;
            }
            991..996 => {
                world.kill();
                crashes += 1;
            }
            _ => {
                world.lose_power();
                crashes += 1;
            }
        }
    }
    world.shared.borrow_mut().store_down = false;
    world.settle();
    assert_eq!(world.in_flight(), 0, "requests were left without an answer");
    assert_eq!(world.failed, 0);
    let expected = world.expected();
    assert_eq!(world.read_everything(), expected);
    assert!(crashes > 0 || actions < 500);
}

fn each(default: u64, f: impl Fn(u64)) {
    for seed in seeds(default) {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(seed)));
        if let Err(panic) = result {
            eprintln!("HIVE_CRASH_SEED={seed} HIVE_CRASH_SEEDS=1 shows this again");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn crashes_leave_a_prefix() {
    each(12, |seed| live(seed, 2000, small(), seed % 3 == 0, 3000));
}

#[test]
fn crashes_leave_a_prefix_with_many_leaves_and_a_small_map() {
    each(6, |seed| live(seed, 40_000, small(), seed % 2 == 0, 3000));
}

#[test]
fn crashes_leave_a_prefix_when_most_is_only_in_the_store() {
    let tuning = Tuning { upload: true, keep_local_bytes: 64 << 20, ..small() };
    each(6, |seed| live(seed, 9000, tuning.clone(), seed % 2 == 0, 3000));
}
