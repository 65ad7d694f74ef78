//! What packets are told apart by beside their headers: the tunnel that they came out of, and the kind of their tag. There are few of
//! such contexts, so each has a number, which in a packet's key stands where there is none of a recirculation yet.

use hive_flow::Key;
use std::collections::HashMap;

/// The words of a key with the tunnel and its first two options.
const TUNNEL: [usize; 11] = [20, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51];
/// The words of other metadata: packets that have some have no number.
const OTHERS: [std::ops::Range<usize>; 3] = [6..8, 23..42, 52..64];
/// Each node that one speaks with is one for each network that both have a part of. Beyond, and there may be somebody who tries, they go
/// the long way until all are forgotten.
const CONTEXTS_MAX: usize = 1 << 14;
/// Between two times that all are forgotten, and with them what is kept by exact keys.
const FULL_MS: u64 = 10_000;
/// Of those that were asked for last.
const RECENT: usize = 16;

/// The tunnel, and the TPID of the tag.
type Context = [u64; TUNNEL.len() + 1];

#[derive(Debug)]
pub(crate) struct Contexts {
    known: HashMap<Context, u32, foldhash::fast::FixedState>,
    recent: Box<[(Context, u32); RECENT]>,
    full_until_ms: Option<u64>,
}

impl Contexts {
    pub fn new(seed: u64) -> Self {
        let known = HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed));
        Self { known, recent: Box::new([([0; TUNNEL.len() + 1], 0); RECENT]), full_until_ms: None }
    }

    /// The number of a packet's context, 0 if it has none; none if more than that is known of it, or there are too many.
    #[inline]
    pub fn number(&mut self, metadata: Option<&Key>, tpid: u16) -> Option<u32> {
        let mut context = [0; TUNNEL.len() + 1];
        context[TUNNEL.len()] = tpid.into();
        if let Some(metadata) = metadata {
            let words = &metadata.words;
            let others = OTHERS.into_iter().flatten().fold(0, |all, word| all | words[word]);
            if others != 0 {
                return None;
            }
            for (at, word) in TUNNEL.into_iter().enumerate() {
                context[at] = words[word];
            }
        }
        // By the tunnel's number and its address.
        let at = context[1] ^ context[2] ^ context[2] >> 32 ^ context[4] ^ context[TUNNEL.len()];
        let recent = &mut self.recent[at as usize % RECENT];
        if recent.0 != context {
            *recent = (context, number(&mut self.known, &context)?);
        }
        Some(recent.1)
    }

    /// Whether all are to be forgotten, and what was kept by them. Not while there are packets that have some already.
    pub fn forget(&mut self, now_ms: u64) -> bool {
        if self.known.len() < CONTEXTS_MAX {
            return false;
        }
        let until_ms = *self.full_until_ms.get_or_insert(now_ms.saturating_add(FULL_MS));
        if now_ms < until_ms {
            return false;
        }
        self.known.clear();
        self.recent.fill(([0; TUNNEL.len() + 1], 0));
        self.full_until_ms = None;
        true
    }
}

/// Numbers are given in turn, so none is given twice until all are forgotten.
fn number(known: &mut HashMap<Context, u32, foldhash::fast::FixedState>, context: &Context) -> Option<u32> {
    if context.iter().all(|word| *word == 0) {
        return Some(0);
    }
    if let Some(number) = known.get(context) {
        return Some(*number);
    }
    if known.len() >= CONTEXTS_MAX {
        return None;
    }
    // There are no more of them than fit.
    let next = known.len() as u32 + 1;
    known.insert(*context, next);
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_flow::Field;

    fn key(fields: &[(Field, u128)]) -> Key {
        let mut key = Key::ZERO;
        fields.iter().for_each(|(field, value)| key.set(*field, *value));
        key
    }

    #[test]
    fn all_of_a_tunnel_counts_and_what_else_is_known_has_no_number() {
        let mut contexts = Contexts::new(1);
        assert_eq!(contexts.number(None, 0), Some(0));
        assert_eq!(contexts.number(Some(&Key::ZERO), 0), Some(0));
        let fields = [Field::TunId, Field::TunSrc, Field::TunDst, Field::TunIpv6Src, Field::TunIpv6Dst]
            .into_iter()
            .chain([Field::TunFlags, Field::TunGbpId, Field::TunGbpFlags])
            .chain([Field::TunMetadata(0), Field::TunMetadata(1)]);
        let mut numbers = std::collections::BTreeSet::new();
        for field in fields {
            for value in [1, 2, 1 << (field.bits() - 1)] {
                let number = contexts.number(Some(&key(&[(field, value)])), 0);
                assert_eq!(contexts.number(Some(&key(&[(field, value)])), 0), number, "{field:?}");
                numbers.insert(number.unwrap());
            }
        }
        numbers.extend([0x8100, 0x88a8].map(|tpid| contexts.number(None, tpid).unwrap()));
        let tagged = contexts.number(Some(&key(&[(Field::TunId, 1)])), 0x8100).unwrap();
        assert!(numbers.insert(tagged) && !numbers.contains(&0));
        assert_eq!(numbers.len(), 10 * 3 + 3);
        // Everything else that a key has beside headers, port and recirculation.
        let headers = (1..6).chain(8..20).chain(21..23).chain([0]);
        let known: std::collections::BTreeSet<_> = headers.chain(TUNNEL).collect();
        for word in (0..64).filter(|word| !known.contains(word)) {
            let mut key = Key::ZERO;
            key.words[word] = 1;
            assert_eq!(contexts.number(Some(&key), 0), None, "{word}");
        }
    }

    #[test]
    fn too_many_are_forgotten_at_times() {
        let mut contexts = Contexts::new(1);
        let number = |contexts: &mut Contexts, id: usize| contexts.number(Some(&key(&[(Field::TunId, id as u128)])), 0);
        for id in 1..=CONTEXTS_MAX {
            assert!(!contexts.forget(0));
            assert_eq!(number(&mut contexts, id), Some(id as u32));
        }
        assert_eq!(number(&mut contexts, CONTEXTS_MAX + 1), None);
        assert!(!contexts.forget(5) && !contexts.forget(4 + FULL_MS));
        assert_eq!(number(&mut contexts, 7), Some(7));
        assert!(contexts.forget(5 + FULL_MS) && !contexts.forget(5 + FULL_MS));
        assert_eq!(number(&mut contexts, CONTEXTS_MAX + 1), Some(1));
    }
}
