//! One leaf: where 16 MiB of the volume lie.

use crate::engine::format::Place;

/// Blocks of the volume that one leaf maps.
pub const LEAF_BLOCKS: u32 = 4096;
/// With more runs the flat form is smaller.
const MAX_RUNS: usize = LEAF_BLOCKS as usize * size_of::<u64>() / size_of::<Run>();
/// What an allocation costs beside its contents.
const ALLOCATION_BYTES: usize = 16;

/// Consecutive blocks of the volume that lie in consecutive blocks of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First block, within the leaf.
    pub start: u16,
    pub len: u16,
    pub place: Place,
}

impl Run {
    fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.len)
    }

    /// Without its first `blocks`.
    fn skip(&self, blocks: u16) -> Self {
        Self {
            start: self.start + blocks,
            len: self.len - blocks,
            place: Place { block: self.place.block + blocks, ..self.place },
        }
    }

    fn continues_in(&self, next: &Self) -> bool {
        self.end() == u32::from(next.start)
            && self.place.seq == next.place.seq
            && u32::from(self.place.block) + u32::from(self.len) == u32::from(next.place.block)
    }
}

/// Sorted runs while they are few, else an entry for each block.
#[derive(Clone, Debug)]
pub enum Leaf {
    Runs(Vec<Run>),
    /// `seq << 16 | block`; 0 where nothing lies (no data lies in block 0 of a segment).
    Flat(Box<[u64]>),
}

impl Default for Leaf {
    fn default() -> Self {
        Self::Runs(Vec::new())
    }
}

fn pack(place: Place) -> u64 {
    u64::from(place.seq) << 16 | u64::from(place.block)
}

fn unpack(entry: u64) -> Option<Place> {
    (entry != 0).then_some(Place { seq: (entry >> 16) as u32, block: entry as u16 })
}

impl Leaf {
    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        let body = match self {
            Self::Runs(runs) => runs.capacity() * size_of::<Run>(),
            Self::Flat(entries) => size_of_val(&**entries),
        };
        size_of::<Self>() + body + 2 * ALLOCATION_BYTES + 2 * size_of::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Runs(runs) => runs.is_empty(),
            Self::Flat(entries) => entries.iter().all(|&e| e == 0),
        }
    }

    pub fn get(&self, block: u16) -> Option<Place> {
        match self {
            Self::Runs(_) => self.find(block).1,
            Self::Flat(entries) => unpack(entries[usize::from(block)]),
        }
    }

    /// Where `block` lies, and how many blocks from there on go on alike: consecutively, or nowhere.
    pub fn find(&self, block: u16) -> (u32, Option<Place>) {
        match self {
            Self::Runs(runs) => {
                let next = runs.partition_point(|run| run.end() <= u32::from(block));
                match runs.get(next) {
                    Some(run) if run.start <= block => {
                        let rest = run.skip(block - run.start);
                        (u32::from(rest.len), Some(rest.place))
                    }
                    Some(run) => (u32::from(run.start - block), None),
                    None => (LEAF_BLOCKS - u32::from(block), None),
                }
            }
            Self::Flat(entries) => {
                let first = entries[usize::from(block)];
                let step = u64::from(first != 0);
                let same = |(i, entry): &(usize, &u64)| **entry == first + *i as u64 * step;
                let len = entries[usize::from(block)..].iter().enumerate().take_while(same).count();
                (len as u32, unpack(first))
            }
        }
    }

    /// Append a run behind all others.
    pub fn push(&mut self, run: Run) {
        self.insert(run.start, u32::from(run.len), Some(run.place), &mut |_, _| {});
    }

    /// Let `len` blocks from `start` lie at `place` on, or nowhere. `displaced` is told which segments lost how many.
    pub fn insert(&mut self, start: u16, len: u32, place: Option<Place>, displaced: &mut impl FnMut(u32, u16)) {
        match self {
            Self::Runs(runs) => {
                insert_run(runs, start, len, place, displaced);
                if runs.len() > MAX_RUNS {
                    self.flatten();
                }
            }
            Self::Flat(entries) => {
                let mut next = place.map_or(0, pack);
                for entry in &mut entries[usize::from(start)..usize::from(start) + len as usize] {
                    if let Some(old) = unpack(*entry) {
                        displaced(old.seq, 1);
                    }
                    *entry = next;
                    next += u64::from(place.is_some());
                }
            }
        }
    }

    fn flatten(&mut self) {
        let mut entries = vec![0; LEAF_BLOCKS as usize].into_boxed_slice();
        self.each_run(|run| {
            for i in 0..run.len {
                entries[usize::from(run.start + i)] = pack(Place { block: run.place.block + i, ..run.place });
            }
        });
        *self = Self::Flat(entries);
    }

    /// Take the form that needs less memory.
    pub fn shrink(&mut self) {
        if let Self::Flat(_) = self {
            let count = self.run_count();
            if count * 2 <= MAX_RUNS {
                let mut runs = Vec::with_capacity(count);
                self.each_run(|run| runs.push(run));
                *self = Self::Runs(runs);
            }
        } else if let Self::Runs(runs) = self {
            runs.shrink_to_fit();
        }
    }

    pub fn run_count(&self) -> usize {
        let mut count = 0;
        self.each_run(|_| count += 1);
        count
    }

    pub fn each_run(&self, mut f: impl FnMut(Run)) {
        match self {
            Self::Runs(runs) => runs.iter().copied().for_each(f),
            Self::Flat(_) => {
                let mut block = 0u32;
                while block < LEAF_BLOCKS {
                    let (len, place) = self.find(block as u16);
                    if let Some(place) = place {
                        f(Run { start: block as u16, len: len as u16, place });
                    }
                    block += len;
                }
            }
        }
    }
}

fn insert_run(runs: &mut Vec<Run>, start: u16, len: u32, place: Option<Place>, displaced: &mut impl FnMut(u32, u16)) {
    let end = u32::from(start) + len;
    let first = runs.partition_point(|run| run.end() <= u32::from(start));
    let last = first + runs[first..].partition_point(|run| u32::from(run.start) < end);
    // What stays of the first and the last run that overlap.
    let (mut left, mut right) = (None, None);
    for run in &runs[first..last] {
        let (from, to) = (run.start.max(start), run.end().min(end));
        displaced(run.place.seq, (to - u32::from(from)) as u16);
        if run.start < start {
            left = Some(Run { len: start - run.start, ..*run });
        }
        if run.end() > end {
            right = Some(run.skip((end - u32::from(run.start)) as u16));
        }
    }
    let (mut first, mut last) = (first, last);
    let mut new = place.map(|place| Run { start, len: len as u16, place });
    if let Some(run) = &mut new {
        // Join with neighbours that go on in the log.
        let before = left.or_else(|| first.checked_sub(1).map(|i| runs[i]));
        if let Some(before) = before.filter(|before| before.continues_in(run)) {
            *run = Run { len: before.len + run.len, ..before };
            if left.take().is_none() {
                first -= 1;
            }
        }
        let after = right.or_else(|| runs.get(last).copied());
        if let Some(after) = after.filter(|after| run.continues_in(after)) {
            run.len += after.len;
            if right.take().is_none() {
                last += 1;
            }
        }
    }
    let replacement = [left, new, right];
    if last - first == 1 && left.is_none() && right.is_none() {
        match new {
            Some(run) => runs[first] = run,
            None => drop(runs.remove(first)),
        }
    } else {
        runs.splice(first..last, replacement.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_is_twelve_bytes() {
        assert_eq!(size_of::<Run>(), 12);
    }

    #[test]
    fn sequential_writes_are_one_run() {
        let mut leaf = Leaf::default();
        for i in (0..4064u16).step_by(32) {
            leaf.insert(i, 32, Some(Place { seq: 1, block: 32 + i }), &mut |_, _| panic!("nothing was there"));
        }
        assert_eq!(leaf.run_count(), 1);
        assert_eq!(leaf.find(100), (3964, Some(Place { seq: 1, block: 132 })));
        assert_eq!(leaf.find(4064), (32, None));
    }

    proptest! {
        #[test]
        fn both_forms_agree_with_a_plain_table(
            changes in prop::collection::vec((0..4096u32, 1..200u32, prop::option::of((0..4u32, 32..3800u16))), 1..60),
            flat in any::<bool>(),
        ) {
            let mut leaf = Leaf::default();
            if flat {
                leaf.flatten();
            }
            let mut table = vec![None; 4096];
            for (start, len, place) in changes {
                let len = len.min(4096 - start);
                let place = place.map(|(seq, block)| Place { seq, block });
                let mut lost = [0u32; 4];
                leaf.insert(start as u16, len, place, &mut |seq, blocks| lost[seq as usize] += u32::from(blocks));
                for i in 0..len {
                    let entry: &mut Option<Place> = &mut table[(start + i) as usize];
                    if let Some(old) = entry {
                        lost[old.seq as usize] -= 1;
                    }
                    *entry = place.map(|p| Place { block: p.block + i as u16, ..p });
                }
                prop_assert_eq!(lost, [0; 4]);
            }
            for block in 0..4096u16 {
                prop_assert_eq!(leaf.get(block), table[usize::from(block)]);
            }
            let mut last_end = 0;
            leaf.each_run(|run| {
                assert!(u32::from(run.start) >= last_end && run.len > 0);
                last_end = run.end();
            });
            leaf.shrink();
            for block in 0..4096u16 {
                let (len, place) = leaf.find(block);
                prop_assert_eq!(place, table[usize::from(block)]);
                for i in 1..len {
                    let expected = place.map(|p| Place { block: p.block + i as u16, ..p });
                    prop_assert_eq!(table[usize::from(block) + i as usize], expected);
                }
            }
        }
    }
}
