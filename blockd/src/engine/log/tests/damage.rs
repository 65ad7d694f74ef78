//! One bit of the log behind the checkpoint is flipped, at every kind of place: whatever was vouched for by a later record is found, but
//! for the very blocks that are damaged.

use super::super::OpenError;
use super::super::Tuning;
use super::sim::Rng;
use super::world::World;
use crate::engine::format::{BLOCK_BYTES, FRONT_BLOCKS, INDEX_AT, Place, SEGMENT_BLOCKS};
use crate::engine::{Engine, Operation};
use std::collections::{BTreeMap, HashMap};

const BLOCKS: u64 = 400;

/// The blocks of a file that are not all zeros.
type Log = HashMap<u64, Vec<u8>>;

/// A log, and what is to be found in it.
struct Written {
    world: World,
    log: Log,
    values: BTreeMap<u64, u64>,
    /// Which block of the volume lies at a place.
    holds: BTreeMap<Place, u64>,
    /// Segments of the chain with their slots, and where their groups end.
    segments: Vec<(u32, u32, u16)>,
    /// Headers of groups.
    groups: Vec<Place>,
    /// The last group, which nobody vouches for, and the contents without it.
    last: Place,
    without_last: BTreeMap<u64, u64>,
}

/// One operation, in groups of its own.
fn act(world: &mut World, groups: &mut Vec<Place>, operation: Operation, block: u64, blocks: u64) {
    assert!(world.ask(operation, block, blocks));
    world.settle();
    groups.extend(world.engine.as_ref().unwrap().last_group.iter().map(|group| group.place));
}

fn finish_segment(world: &mut World) {
    world.with(|engine, _| engine.finish_segment());
    world.settle();
}

const ZERO: Operation = Operation::Zero { unmap: true };

impl Written {
    /// Three segments of a few groups each.
    fn new(encrypted: bool) -> Self {
        let mut world = World::new(7, BLOCKS, Tuning::default(), encrypted);
        let mut groups = Vec::new();
        for round in 0..3 {
            act(&mut world, &mut groups, Operation::Write, 0, 3);
            act(&mut world, &mut groups, Operation::Write, 10 + round, 1);
            act(&mut world, &mut groups, ZERO, 11, 2);
            act(&mut world, &mut groups, Operation::Write, 100 + 50 * round, 50);
            act(&mut world, &mut groups, Operation::Write, 300 - 30 * round, 1);
            if round < 2 {
                finish_segment(&mut world);
            }
        }
        act(&mut world, &mut groups, Operation::Flush, 0, 0);
        Self::end(world, groups)
    }

    /// A power loss in the middle: what lies behind a torn record there must stay forgotten.
    fn with_a_torn_past() -> Self {
        let mut world = World::new(8, BLOCKS, Tuning::default(), false);
        let mut groups = Vec::new();
        act(&mut world, &mut groups, Operation::Write, 0, 3);
        act(&mut world, &mut groups, Operation::Flush, 0, 0);
        act(&mut world, &mut groups, Operation::Write, 20, 2);
        let mut behind = Vec::new();
        for block in 30..33 {
            act(&mut world, &mut behind, Operation::Write, block, 1);
        }
        finish_segment(&mut world);
        act(&mut world, &mut behind, Operation::Write, 40, 4);
        let torn = u64::from(behind[0].block) * BLOCK_BYTES as u64;
        world.lose_power_keeping(|offset, _| offset != torn);
        assert_eq!(world.expected().len(), 5, "the torn record ended the log");
        for block in [50, 55] {
            act(&mut world, &mut groups, Operation::Write, block, 2);
        }
        finish_segment(&mut world);
        act(&mut world, &mut groups, Operation::Write, 60, 2);
        act(&mut world, &mut groups, Operation::Flush, 0, 0);
        Self::end(world, groups)
    }

    fn end(mut world: World, mut groups: Vec<Place>) -> Self {
        let without_last = world.expected();
        act(&mut world, &mut groups, Operation::Write, 350, 2);
        groups.dedup();
        let engine = world.engine.as_mut().unwrap();
        let last = engine.last_group.as_ref().unwrap().place;
        let places = (0..BLOCKS).filter_map(|block| Some((engine.map.place(block as u32)?, block))).collect();
        let open = engine.open.as_ref().map(|open| (open.index.segment.seq, open.next)).unwrap();
        let end =
            |segment: &super::super::segments::Segment| if segment.id.seq == open.0 { open.1 } else { segment.end };
        let mut segments: Vec<_> = engine.segments.iter().map(|s| (s.id.seq, s.slot.unwrap(), end(s))).collect();
        segments.sort_unstable();
        let (log, values) = (world.log(), world.expected());
        Self { world, log, values, holds: places, segments, groups, last, without_last }
    }

    /// Which block of the file the place is.
    fn block_of(&self, place: Place) -> u64 {
        let (_, slot, _) = self.segments.iter().find(|(seq, _, _)| *seq == place.seq).unwrap();
        u64::from(*slot) * u64::from(SEGMENT_BLOCKS) + u64::from(place.block)
    }

    /// Open the log as it is with these bits flipped, and once more, and compare.
    fn check(&mut self, log: &Log, power: bool, what: &str, values: &BTreeMap<u64, u64>, lost: Option<u64>) {
        self.world.reopen_with(log, power).unwrap_or_else(|error| panic!("{what}: {error}"));
        let damaged = self.world.engine.as_ref().unwrap().metrics().damaged_blocks;
        assert!(damaged <= 1, "{what}: {damaged} blocks are damaged");
        for again in [false, true] {
            for block in 0..BLOCKS {
                let expected = (Some(block) != lost).then(|| values.get(&block).copied().unwrap_or(0));
                assert_eq!(self.world.read_block(block), expected, "{what}: block {block}, opened again: {again}");
            }
            let log = self.world.log();
            self.world.reopen_with(&log, power).unwrap();
        }
    }

    fn flipped(&self, log: &Log, place: Place, at: usize) -> Log {
        let mut log = log.clone();
        log.entry(self.block_of(place)).or_insert_with(|| vec![0; BLOCK_BYTES])[at] ^= 0x20;
        log
    }

    /// Flip a bit in every block that was written.
    fn check_every_block(&mut self, log: &Log, power: bool) {
        let mut count = 0;
        for (seq, _, end) in self.segments.clone() {
            for block in 0..end {
                let place = Place { seq, block };
                // Indexes are large: a few of their blocks will do.
                if (INDEX_AT + 4..FRONT_BLOCKS).contains(&block) && block % 5 != 0 {
                    continue;
                }
                let at = [5, 9, 60, 100, 2100, 4095][(usize::from(block) + seq as usize) % 6];
                let flipped = self.flipped(log, place, at);
                let is_last = place >= self.last;
                let lost = self.holds.get(&place).copied().filter(|_| !is_last);
                let values = if is_last { self.without_last.clone() } else { self.values.clone() };
                self.check(&flipped, power, &format!("{place:?} byte {at}, power {power}"), &values, lost);
                count += 1;
            }
        }
        assert!(count > 50);
    }

    /// The log as if its indexes had not been written yet.
    fn without_indexes(&self) -> Log {
        let mut log = self.log.clone();
        for (seq, _, _) in &self.segments {
            for block in INDEX_AT..FRONT_BLOCKS {
                log.remove(&self.block_of(Place { seq: *seq, block }));
            }
        }
        log
    }
}

#[test]
fn a_flipped_bit_costs_the_block_that_it_is_in() {
    let mut written = Written::new(false);
    let log = written.log.clone();
    written.check_every_block(&log, false);
    written.check_every_block(&log, true);
}

#[test]
fn a_flipped_bit_of_an_encrypted_log_costs_the_block_that_it_is_in() {
    let mut written = Written::new(true);
    let log = written.log.clone();
    written.check_every_block(&log, true);
}

#[test]
fn without_indexes_the_headers_know_of_each_other() {
    let mut written = Written::new(false);
    let log = written.without_indexes();
    written.check_every_block(&log, false);
    written.check_every_block(&log, true);
}

#[test]
fn damage_does_not_bring_back_what_was_torn() {
    let mut written = Written::with_a_torn_past();
    let log = written.log.clone();
    written.check_every_block(&log, false);
    written.check_every_block(&log, true);
}

#[test]
fn what_nobody_knows_any_more_is_not_passed_over() {
    let mut written = Written::new(false);
    let whole = written.without_indexes();
    // Two headers in a row: what the first of these groups held, only they knew.
    let [first, second] = [written.groups[2], written.groups[3]];
    assert_eq!(first.seq, second.seq);
    for power in [false, true] {
        let log = written.flipped(&written.flipped(&whole, first, 50), second, 50);
        let error = written.world.reopen_with(&log, power).unwrap_err();
        assert!(matches!(error, OpenError::Lost(_, place) if place == first), "{error}");
        // With the index it is known.
        let log = written.flipped(&written.flipped(&written.log, first, 50), second, 50);
        let values = written.values.clone();
        written.check(&log, power, "two headers", &values, None);
    }
}

#[test]
fn what_was_not_synced_may_be_torn_and_ends_the_log_with_the_power() {
    let mut written = Written::new(false);
    // One more group, so that the last one is vouched for as long as the machine runs.
    written.world.reopen_with(&written.log.clone(), false).unwrap();
    let mut groups = Vec::new();
    act(&mut written.world, &mut groups, Operation::Write, 360, 1);
    let before = written.world.log();
    let place = groups[0];
    act(&mut written.world, &mut groups, Operation::Write, 370, 1);
    assert_ne!(before, written.world.log());
    let data = Place { block: place.block + 1, ..place };
    let slot = written.world.engine.as_ref().unwrap().segments.get(place.seq).unwrap().slot.unwrap();
    written.segments.push((place.seq, slot, 0));
    let log = written.flipped(&written.world.log(), data, 0);
    let values = written.world.expected();
    written.check(&log, false, "unsynced", &values, Some(360));
    written.check(&log, true, "unsynced, and no power", &written.values.clone(), None);
}

/// However much is damaged, and wherever: the log opens or says what is lost, and no block reads what was never written to it.
#[test]
fn no_damage_makes_it_panic_or_up() {
    let (mut opened, mut refused) = (0, 0);
    for (mut written, encrypted) in
        [(Written::new(false), false), (Written::new(true), true), (Written::with_a_torn_past(), false)]
    {
        let mut rng = Rng(u64::from(encrypted) + 5);
        let mut blocks: Vec<u64> = written.log.keys().copied().collect();
        blocks.sort_unstable();
        for _ in 0..150 {
            let mut log = if rng.chance(50) { written.log.clone() } else { written.without_indexes() };
            for _ in 0..1 + rng.below(6) {
                let first = rng.below(blocks.len() as u64) as usize;
                let most = if rng.chance(30) { 8 } else { 1 };
                for number in &blocks[first..(first + most).min(blocks.len())] {
                    let Some(block) = log.get_mut(number) else { continue };
                    match rng.below(3) {
                        0 => block.fill(0),
                        1 => block[rng.below(BLOCK_BYTES as u64) as usize] ^= 1 << rng.below(8),
                        _ => block.fill_with(|| rng.next() as u8),
                    }
                }
            }
            match written.world.reopen_with(&log, rng.chance(50)) {
                Ok(()) => {
                    opened += 1;
                    for block in 0..BLOCKS {
                        let _ = written.world.read_block(block);
                    }
                }
                Err(OpenError::Lost(..)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(opened > 100 && refused > 10, "{opened} opened, {refused} refused");
}
