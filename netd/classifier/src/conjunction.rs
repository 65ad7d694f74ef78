//! Conjunctive matches: a rule that says only "clause `k` of `n` of this conjunction holds" (`conjunction(id, k/n)`).

/// One of the things a conjunctive rule stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conjunction {
    pub id: u32,
    /// From 0, below `clauses`.
    pub clause: u8,
    /// 2 to 64.
    pub clauses: u8,
}

impl Conjunction {
    pub const CLAUSES_MAX: u8 = 64;

    fn bit(self) -> u64 {
        1u64.checked_shl(u32::from(self.clause)).unwrap_or(0)
    }

    fn all(self) -> u64 {
        u64::MAX >> (64 - u32::from(self.clauses.clamp(1, Self::CLAUSES_MAX)))
    }
}

/// The ids of which every clause is there, in order.
pub(crate) fn complete(held: &mut [Conjunction]) -> Vec<u32> {
    held.sort_unstable_by_key(|conjunction| conjunction.id);
    let groups = held.chunk_by(|one, other| one.id == other.id);
    let whole = groups.filter(|group| {
        let clauses = group.iter().fold(0, |bits, conjunction| bits | conjunction.bit());
        group.first().is_some_and(|first| clauses & first.all() == first.all())
    });
    whole.filter_map(|group| group.first()).map(|first| first.id).collect()
}
