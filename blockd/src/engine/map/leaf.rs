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

/// Consecutive blocks of the volume as a guest leaves them that writes one after the other: in one segment, broken by the headers of
/// groups, which are one block each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    start: u16,
    /// Blocks of the volume; 0: there is no chain.
    len: u16,
    seq: u32,
    block: u16,
    /// Blocks before the first header, and then between headers; `step` matters only if there is more than the first.
    first: u16,
    step: u16,
}

impl Chain {
    fn new(run: Run) -> Self {
        let Run { start, len, place } = run;
        Self { start, len, seq: place.seq, block: place.block, first: len, step: 0 }
    }

    fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.len)
    }

    /// Where `at`, which it covers, lies, and how many blocks from there lie consecutively.
    fn find(&self, at: u16) -> (u32, Place) {
        let from = at - self.start;
        let (headers, rest) = match from.checked_sub(self.first) {
            None => (0, self.first - from),
            Some(behind) => (1 + behind / self.step, self.step - behind % self.step),
        };
        let place = Place { seq: self.seq, block: self.block + from + headers };
        (u32::from(rest.min(self.len - from)), place)
    }

    /// Let it cover the run too, if that goes on behind it as a chain does.
    fn take(&mut self, run: Run) -> bool {
        if self.end() != u32::from(run.start) || self.seq != run.place.seq {
            return false;
        }
        let is_first = self.len == self.first;
        let headers = if is_first { 0 } else { (self.len - self.first).div_ceil(self.step) };
        let lies_behind_a_header = u32::from(self.block) + u32::from(self.len) + u32::from(headers) + 1;
        let is_whole = is_first || (self.len - self.first).is_multiple_of(self.step) && run.len <= self.step;
        if u32::from(run.place.block) != lies_behind_a_header || !is_whole {
            return false;
        }
        if is_first {
            self.step = run.len;
        }
        self.len += run.len;
        true
    }

    fn each_run(&self, f: &mut impl FnMut(Run)) {
        let mut at = u32::from(self.start);
        while at < self.end() {
            let (len, place) = self.find(at as u16);
            f(Run { start: at as u16, len: len as u16, place });
            at += len;
        }
    }
}

/// Sorted runs while they are few, else an entry for each block. One that rests may be chains, sorted too.
#[derive(Clone, Debug)]
pub enum Leaf {
    Runs(Vec<Run>),
    /// `seq << 16 | block`; 0 where nothing lies (no data lies in block 0 of a segment).
    Flat(Box<[u64]>),
    /// As most leaves are that were written in order: they end in one segment and go on in the next.
    Pair([Chain; 2]),
    Chains(Box<[Chain]>),
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
            Self::Runs(runs) => runs.capacity() * size_of::<Run>() + ALLOCATION_BYTES,
            Self::Flat(entries) => size_of_val(&**entries) + ALLOCATION_BYTES,
            Self::Pair(_) => 0,
            Self::Chains(chains) => size_of_val(&**chains) + ALLOCATION_BYTES,
        };
        size_of::<Self>() + body + ALLOCATION_BYTES + 2 * size_of::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Runs(runs) => runs.is_empty(),
            Self::Flat(entries) => entries.iter().all(|&e| e == 0),
            Self::Pair(_) | Self::Chains(_) => self.chains().is_empty(),
        }
    }

    /// Of one that consists of chains.
    fn chains(&self) -> &[Chain] {
        match self {
            Self::Runs(_) | Self::Flat(_) => &[],
            Self::Pair(pair) => &pair[..pair.iter().filter(|chain| chain.len > 0).count()],
            Self::Chains(chains) => chains,
        }
    }

    pub fn get(&self, block: u16) -> Option<Place> {
        match self {
            Self::Flat(entries) => unpack(entries[usize::from(block)]),
            _ => self.find(block).1,
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
            Self::Pair(_) | Self::Chains(_) => {
                let chains = self.chains();
                let next = chains.partition_point(|chain| chain.end() <= u32::from(block));
                match chains.get(next) {
                    Some(chain) if chain.start <= block => {
                        let (len, place) = chain.find(block);
                        (len, Some(place))
                    }
                    Some(chain) => (u32::from(chain.start - block), None),
                    None => (LEAF_BLOCKS - u32::from(block), None),
                }
            }
        }
    }

    /// Append a run behind all others.
    pub fn push(&mut self, run: Run) {
        self.insert(run.start, u32::from(run.len), Some(run.place), &mut |_, _| {});
    }

    /// Let `len` blocks from `start` lie at `place` on, or nowhere. `displaced` is told which segments lost how many.
    pub fn insert(&mut self, start: u16, len: u32, place: Option<Place>, displaced: &mut impl FnMut(u32, u16)) {
        if let Self::Pair(_) | Self::Chains(_) = self {
            let mut runs = Vec::new();
            self.each_run(|run| runs.push(run));
            *self = Self::Runs(runs);
        }
        match self {
            Self::Pair(_) | Self::Chains(_) => {}
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
        if let Self::Pair(_) | Self::Chains(_) = self {
            return;
        }
        let mut count = 0;
        let mut chains: Vec<Chain> = Vec::new();
        self.each_run(|run| {
            count += 1;
            if !chains.last_mut().is_some_and(|last| last.take(run)) {
                chains.push(Chain::new(run));
            }
        });
        let (as_runs, as_chains) = (count * size_of::<Run>(), chains.len() * size_of::<Chain>());
        match self {
            _ if chains.len() <= 2 => {
                chains.resize(2, Chain::default());
                *self = Self::Pair([chains[0], chains[1]]);
            }
            _ if as_chains < as_runs && as_chains * 2 <= MAX_RUNS * size_of::<Run>() => {
                *self = Self::Chains(chains.into_boxed_slice());
            }
            Self::Flat(_) if count * 2 <= MAX_RUNS => {
                let mut runs = Vec::with_capacity(count);
                self.each_run(|run| runs.push(run));
                *self = Self::Runs(runs);
            }
            Self::Runs(runs) => runs.shrink_to_fit(),
            _ => {}
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
            Self::Pair(_) | Self::Chains(_) => self.chains().iter().for_each(|chain| chain.each_run(&mut f)),
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
    fn they_are_as_small_as_they_are_meant_to_be() {
        assert_eq!((size_of::<Run>(), size_of::<Chain>(), size_of::<Leaf>()), (12, 16, 40));
    }

    /// Written in groups of these lengths, one after the other.
    fn in_groups(lens: impl IntoIterator<Item = u16>) -> Leaf {
        let (mut leaf, mut start, mut place) = (Leaf::default(), 0, Place { seq: 7, block: 33 });
        for len in lens {
            leaf.push(Run { start, len, place });
            start += len;
            place.block += len + 1;
        }
        leaf
    }

    #[test]
    fn what_was_written_in_order_takes_little() {
        for (lens, most) in [
            (vec![100; 30], 1),
            (vec![3; 1000], 1),
            ([vec![17], vec![248; 16], vec![1]].concat(), 1),
            ([vec![248; 8], vec![100], vec![248; 7]].concat(), 2),
            (vec![4000], 1),
            // Nothing alike: two or three groups of each.
            ((1..80).collect(), 40),
        ] {
            let leaf = in_groups(lens.clone());
            let mut rested = leaf.clone();
            rested.shrink();
            assert!(rested.chains().len() <= most && !rested.chains().is_empty(), "{lens:?}: {rested:?}");
            assert!(rested.bytes() <= leaf.bytes());
            assert_eq!(rested.run_count(), lens.len());
            for block in 0..LEAF_BLOCKS as u16 {
                assert_eq!(rested.find(block), leaf.find(block), "block {block} of {lens:?}");
            }
        }
        let mut empty = Leaf::default();
        empty.shrink();
        assert!(empty.is_empty() && empty.find(0) == (LEAF_BLOCKS, None));
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
            flat in any::<bool>(), rest in any::<u64>(),
        ) {
            let mut leaf = Leaf::default();
            if flat {
                leaf.flatten();
            }
            let mut table = vec![None; 4096];
            for (i, (start, len, place)) in changes.into_iter().enumerate() {
                if rest >> (i % 64) & 1 == 1 {
                    leaf.shrink();
                }
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
