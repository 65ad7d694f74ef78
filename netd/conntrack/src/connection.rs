//! What is known of a connection.

use crate::tcp::Peer;
use crate::timeout::Timer;
use crate::tuple::Tuple;

/// What the address translation of a connection does in its original direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Translation {
    #[default]
    None,
    Source,
    Destination,
}

impl Translation {
    /// What it does in the other direction.
    pub fn reversed(self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }
}

/// How a packet was translated: its tuple then.
pub(crate) type Translated = Option<(Tuple, Translation)>;

/// States of protocols without any of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    First,
    /// More from the same side.
    Multiple,
    /// Answered.
    Both,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// The originator's end, and the other's.
    Tcp([Peer; 2]),
    Plain(Plain),
}

/// Why a connection is `rel`: it was expected by another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Master {
    pub original: Tuple,
}

/// How far a helper's rewriting has shifted one side's sequence numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Skew {
    pub bytes: i32,
    /// The side whose segments were rewritten.
    pub reply: bool,
}

/// Of a few connections only, so not within each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub master: Option<Master>,
    /// `helper=ftp`.
    pub ftp: bool,
    pub skew: Skew,
}

/// Three cache lines, of which the first is what a packet of a known connection needs.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Connection {
    pub state: State,
    pub mark: u32,
    /// Milliseconds of the caller's clock.
    pub expires_ms: u64,
    pub generation: u32,
    /// Another one when mark or label change.
    pub version: u32,
    /// Of the timeout policy.
    pub policy: u16,
    pub timer: Timer,
    pub translation: Translation,
    pub extra: Option<Box<Extra>>,
    pub original: Tuple,
    /// Of answers, as they come in: translated already.
    pub reply: Tuple,
    pub label: u128,
    /// Neighbours in the timer wheel's list.
    pub timer_next: u32,
    pub timer_previous: u32,
    pub timer_slot: u16,
}

impl Connection {
    pub fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub fn master(&self) -> Option<&Master> {
        self.extra.as_deref()?.master.as_ref()
    }

    pub fn is_ftp(&self) -> bool {
        self.extra.as_deref().is_some_and(|extra| extra.ftp)
    }
}
