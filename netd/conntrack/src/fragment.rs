//! Fragments: what the first one was found to be, the later ones are.

use crate::Verdict;
use crate::connection::Translated;
use crate::verdict::state;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Datagrams that are remembered; an attacker can fill this, and nothing else.
pub const DATAGRAMS_MAX: usize = 4096;
/// Fragments of one datagram: 64 KiB in pieces of the smallest MTU that IPv6 has are 52.
pub const FRAGMENTS_MAX: usize = 64;
/// How long the rest of a datagram may take (15 s, as Open vSwitch; RFC 8200 has 60).
const LIFETIME_MS: u64 = 15_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DatagramId {
    pub source: u128,
    pub destination: u128,
    pub identification: u32,
    pub protocol: u8,
    pub zone: u16,
    pub v6: bool,
}

/// The octets of a datagram that a fragment has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub start: u32,
    pub end: u32,
}

#[derive(Debug)]
struct Datagram {
    verdict: Verdict,
    translated: Translated,
    pieces: Vec<Piece>,
    /// The first fragment's connection is kept.
    committed: bool,
    /// Two fragments overlap (RFC 5722: then none counts).
    refused: bool,
    born_ms: u64,
}

/// Why a fragment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Unknown,
    Overlap,
    Full,
}

#[derive(Debug)]
pub(crate) struct Fragments {
    datagrams: HashMap<DatagramId, Datagram, foldhash::fast::FixedState>,
    /// By age.
    order: VecDeque<(u64, DatagramId)>,
}

impl Fragments {
    pub fn new(seed: foldhash::fast::FixedState) -> Self {
        Self { datagrams: HashMap::with_hasher(seed), order: VecDeque::new() }
    }

    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some((born_ms, id)) =
            self.order.front().filter(|(born_ms, _)| born_ms.saturating_add(LIFETIME_MS) <= now_ms)
        {
            // Another datagram may have the same number by now.
            if self.datagrams.get(id).is_some_and(|datagram| datagram.born_ms == *born_ms) {
                self.datagrams.remove(id);
            }
            self.order.pop_front();
        }
    }

    /// A first fragment, and what it was found to be.
    pub fn first(
        &mut self,
        id: DatagramId,
        piece: Piece,
        verdict: Verdict,
        translated: Translated,
        commit: bool,
        now_ms: u64,
    ) -> Result<(), Refused> {
        self.expire(now_ms);
        if let Some(datagram) = self.datagrams.get_mut(&id) {
            // The same first fragment comes again at the next ct action, and when it is sent again.
            let again =
                datagram.pieces.first().is_some_and(|first| (first.start, first.end) == (piece.start, piece.end));
            if !again || datagram.refused {
                datagram.refused = true;
                return Err(Refused::Overlap);
            }
            datagram.committed |= commit && verdict.refusal.is_none();
            (datagram.verdict, datagram.translated) = (verdict, translated);
            return Ok(());
        }
        if self.datagrams.len() >= DATAGRAMS_MAX || self.order.len() >= 2 * DATAGRAMS_MAX {
            return Err(Refused::Full);
        }
        let committed = commit && verdict.refusal.is_none();
        let pieces = vec![piece];
        let datagram = Datagram { verdict, translated, pieces, committed, refused: false, born_ms: now_ms };
        self.datagrams.insert(id, datagram);
        self.order.push_back((now_ms, id));
        Ok(())
    }

    /// A later fragment, which is what the first one was. `commit`: it is to keep the connection, which is for the first one, with its ports,
    /// to decide. (Open vSwitch holds all fragments back until the whole datagram may be judged.)
    pub fn later(
        &mut self,
        id: &DatagramId,
        piece: Piece,
        commit: bool,
        now_ms: u64,
    ) -> Result<(&Verdict, Translated), Refused> {
        self.expire(now_ms);
        let datagram = self.datagrams.get_mut(id).ok_or(Refused::Unknown)?;
        if commit && !datagram.committed && datagram.verdict.state & state::NEW != 0 {
            return Err(Refused::Unknown);
        }
        let known = |held: &Piece| (held.start, held.end) == (piece.start, piece.end);
        let overlaps = |held: &Piece| held.start < piece.end && piece.start < held.end;
        if !datagram.pieces.iter().any(known) {
            if datagram.pieces.iter().any(overlaps) {
                datagram.refused = true;
            } else if datagram.pieces.len() >= FRAGMENTS_MAX {
                return Err(Refused::Full);
            } else {
                datagram.pieces.push(piece);
            }
        }
        if datagram.refused {
            return Err(Refused::Overlap);
        }
        Ok((&datagram.verdict, datagram.translated))
    }

    pub fn clear(&mut self) {
        self.datagrams.clear();
        self.order.clear();
    }
}
