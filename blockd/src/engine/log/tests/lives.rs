//! Single lives that random ones hardly ever come across.

use super::super::Tuning;
use super::world::World;
use crate::engine::format::SEGMENT_BYTES;
use crate::engine::{Engine, Operation};

/// Blocks written at a time.
const STEP: u64 = 64;

/// Write all blocks of the range.
fn write(world: &mut World, blocks: std::ops::Range<u64>) {
    for block in blocks.clone().step_by(STEP as usize) {
        assert!(world.ask(Operation::Write, block, STEP.min(blocks.end - block)));
        world.run_disk();
    }
}

fn flush(world: &mut World) {
    assert!(world.ask(Operation::Flush, 0, 0));
    world.run_disk();
}

fn slot_of(offset: u64) -> u64 {
    offset / SEGMENT_BYTES
}

/// A segment has lost its last group, and its successor is there: the log ends in it, for us and for everyone after us, although the
/// slot that it names still holds what an older incarnation wrote.
#[test]
fn what_was_written_behind_a_torn_record_never_comes_back() {
    for writes_between in [0, 1, 70] {
        let mut world = World::new(1, 12_000, Tuning::default(), false);
        write(&mut world, 0..3000);
        flush(&mut world);
        // Into the second segment, all of it unsynced.
        write(&mut world, 3000..6000);
        let mut kept = 0;
        world.lose_power_keeping(|offset, bytes| {
            // One write at the end of the first segment is lost.
            let is_lost = slot_of(offset) == 0 && offset + bytes.len() as u64 > SEGMENT_BYTES - (600 << 10);
            kept += u64::from(slot_of(offset) == 1);
            !is_lost
        });
        assert!(kept > 0, "the successor is there");
        assert!(world.expected().len() < 6000, "and is not followed");
        // This incarnation writes nothing, or what is lost when the power goes again: the slot holds the old successor then.
        write(&mut world, 0..writes_between);
        world.lose_power_keeping(|_, _| false);
        world.kill();
    }
}

/// A segment whose last block dies between the cut of a checkpoint and its becoming durable is still needed by it.
#[test]
fn a_segment_that_dies_behind_the_cut_is_not_written_over() {
    let mut world = World::new(1, 12_000, Tuning::default(), false);
    write(&mut world, 0..4200);
    // One block of the first segment is left.
    write(&mut world, 1..4200);
    flush(&mut world);
    world.with(|engine, io| {
        engine.want_checkpoint();
        engine.tick(io);
    });
    world.run_disk();
    write(&mut world, 0..1);
    world.finish_saving();
    // Free slots are written now.
    write(&mut world, 4200..12_000);
    let mut over = 0;
    world.lose_power_keeping(|offset, _| {
        over += u64::from(slot_of(offset) == 0);
        slot_of(offset) == 0
    });
    assert_eq!(over, 0, "the checkpoint refers to what lies there");
    assert!(world.ask(Operation::Write, 3, 1));
    world.settle();
}

/// What the cleaner has been through is empty, however its live blocks lay.
#[test]
fn nothing_live_is_left_in_a_cleaned_segment() {
    let tuning = Tuning { clean_busy: 1.0, clean_roomy: 1.0, ..Tuning::default() };
    let mut world = World::new(1, 40_000, tuning, false);
    write(&mut world, 0..40_000);
    // Blocks are left alone, in pairs, with all distances up to ten between them, and in long runs.
    let is_left = |block: u64| (block % 4000 > 3500) || block % (2 + (block / 40) % 10) < 1 + (block / 400) % 2;
    for block in (0..40_000).filter(|block| !is_left(*block)) {
        while !world.ask(Operation::Write, block, 1) {
            world.run_disk();
        }
    }
    let (mut cleaned, mut moved) = (0, 0);
    for _ in 0..200 {
        world.with(|engine, io| engine.tick(io));
        world.run_disk();
        world.with(|engine, _| {
            for segment in engine.segments.iter().filter(|segment| segment.cleaned) {
                assert_eq!(segment.live, 0, "of segment {}", segment.id.seq);
                cleaned += 1;
            }
            moved = engine.metrics.moved_blocks;
        });
    }
    assert!(cleaned > 0 && moved > 0, "nothing was cleaned");
    world.settle();
    world.kill();
}

/// The engine's thread makes a sync itself only for a guest that does nothing but write, flush and wait.
#[test]
fn syncs_are_made_here_for_a_lone_writer_alone() {
    let mut world = World::new(1, 4_000, Tuning::default(), false);
    let pair = |world: &mut World, block: u64| {
        assert!(world.ask(Operation::Write, block, 1));
        world.run_disk();
        flush(world);
    };
    (0..7).for_each(|block| pair(&mut world, block));
    assert_eq!(world.disk.syncs_here, 0, "it may be chance");
    (7..16).for_each(|block| pair(&mut world, block));
    assert_eq!(world.disk.syncs_here, 9);
    assert!(world.ask(Operation::Read, 3, 1));
    world.run_disk();
    (16..20).for_each(|block| pair(&mut world, block));
    assert_eq!(world.disk.syncs_here, 9, "somebody reads, who would wait");
    world.settle();
    world.kill();
}
