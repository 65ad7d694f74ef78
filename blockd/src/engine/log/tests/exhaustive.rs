//! All short lives: every sequence of up to four operations, ended by every kind of crash at every point.

use super::super::{Event, Tuning};
use super::world::World;
use crate::engine::{Engine, Operation};

const OPERATIONS: u64 = 9;

fn act(world: &mut World, operation: u64) {
    match operation {
        0 => drop(world.ask(Operation::Write, 0, 1)),
        1 => drop(world.ask(Operation::Write, 1, 2)),
        2 => drop(world.ask(Operation::Write, 0, 4)),
        3 => drop(world.ask(Operation::Zero { unmap: true }, 1, 1)),
        4 => drop(world.ask(Operation::Zero { unmap: false }, 0, 4)),
        5 => drop(world.ask(Operation::Flush, 0, 0)),
        6 => world.with(|engine, io| {
            engine.want_checkpoint();
            engine.tick(io);
        }),
        7 => world.with(|engine, io| {
            engine.handle(Event::Cut { token: 1 }, io);
            engine.tick(io);
        }),
        _ => world.settle(),
    }
}

/// Run `sequence` with `steps` things happening after each operation, then crash.
fn life(sequence: &[u64], steps: u64, power: bool, seed: u64) {
    let mut world = World::new(seed, 4, Tuning::default(), seed % 2 == 1);
    for &operation in sequence {
        act(&mut world, operation);
        world.commit();
        for _ in 0..steps {
            world.step();
        }
    }
    if power {
        world.lose_power();
    } else {
        world.kill();
    }
    // What was found goes on working.
    world.ask(Operation::Write, 2, 1);
    world.settle();
    world.kill();
}

#[test]
fn every_short_life_ends_well() {
    let length = if cfg!(debug_assertions) { 3 } else { 4 };
    let mut lives = 0u64;
    for number in 0..OPERATIONS.pow(length) {
        let sequence: Vec<u64> = (0..length).map(|i| number / OPERATIONS.pow(i) % OPERATIONS).collect();
        // How far the disk got by the crash varies with the sequence, and all of it over the whole.
        for variant in 0..2 {
            let steps = (number + variant * 3) % 7;
            let (power, seed) = (variant == 0 || number % 3 == 0, number * 2 + variant);
            let result = std::panic::catch_unwind(|| life(&sequence, steps, power, seed));
            if let Err(panic) = result {
                eprintln!("life({sequence:?}, {steps}, {power}, {seed}) shows this again");
                std::panic::resume_unwind(panic);
            }
            lives += 1;
        }
    }
    assert!(lives > 1000);
}
