//! A stopped pipeline as bytes, for a controller to keep and to send back (NXT_RESUME). What comes back may be anything.

use crate::frozen::{Frozen, Pushed, Segment};
use hive_flow::{Key, WORDS};
use hive_openflow::{Action, Context, ErrorCode, decode_flow_actions, encode_flow_actions};
use hive_program::BridgeId;

/// Of this layout: a continuation that another version of the switch wrote is refused.
const FORMAT: u8 = 1;
const CONNTRACKED: u8 = 1;
const STACK_MAX: usize = 1024;
const SEGMENTS_MAX: usize = 256;

/// Why bytes are no continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("a continuation of another format")]
    Format,
    #[error("the continuation is cut off, or has something behind its end")]
    Length,
    #[error("a number in the continuation is out of range")]
    Range,
    #[error("actions in the continuation cannot be read: {0:?}")]
    Actions(ErrorCode),
}

fn put_actions(out: &mut Vec<u8>, actions: &[Action], context: &Context) {
    let bytes = encode_flow_actions(actions, context);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(&bytes);
}

pub(crate) fn encode(frozen: &Frozen, context: &Context) -> Vec<u8> {
    let mut out = vec![FORMAT, if frozen.conntracked { CONNTRACKED } else { 0 }, frozen.table];
    out.extend_from_slice(&frozen.bridge.0.to_be_bytes());
    out.extend_from_slice(&frozen.mirrors.to_be_bytes());
    let words: Vec<_> = frozen.metadata.words.iter().enumerate().filter(|(_, word)| **word != 0).collect();
    out.push(words.len() as u8);
    for (at, word) in words {
        out.push(at as u8);
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&(frozen.stack.len().min(STACK_MAX) as u16).to_be_bytes());
    for pushed in frozen.stack.iter().rev().take(STACK_MAX).rev() {
        out.extend_from_slice(&pushed.value.to_be_bytes());
        out.extend_from_slice(&pushed.bits.to_be_bytes());
    }
    // A set is a list of its own, in an instruction of its own.
    put_actions(&mut out, &[Action::WriteActions(frozen.action_set.clone())], context);
    out.extend_from_slice(&(frozen.segments.len().min(SEGMENTS_MAX) as u16).to_be_bytes());
    for segment in frozen.segments.iter().take(SEGMENTS_MAX) {
        out.push(segment.table);
        out.extend_from_slice(&segment.cookie.to_be_bytes());
        put_actions(&mut out, &segment.actions, context);
    }
    out
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.take(N)?.try_into().map_err(|_| Damaged::Length)
    }

    fn actions(&mut self, context: &Context) -> Result<Vec<Action>, Damaged> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        decode_flow_actions(self.take(length)?, context).map_err(Damaged::Actions)
    }
}

pub(crate) fn decode(bytes: &[u8], context: &Context) -> Result<Frozen, Damaged> {
    let mut input = Input(bytes);
    let [format, flags, table] = input.array()?;
    if format != FORMAT {
        return Err(Damaged::Format);
    }
    if flags & !CONNTRACKED != 0 || usize::from(table) >= hive_classifier::TABLES {
        return Err(Damaged::Range);
    }
    let bridge = BridgeId(u32::from_be_bytes(input.array()?));
    let mirrors = u32::from_be_bytes(input.array()?);
    let mut metadata = Key::ZERO;
    let [words] = input.array()?;
    for _ in 0..words {
        let [at] = input.array()?;
        let word = metadata.words.get_mut(usize::from(at)).filter(|_| usize::from(at) < WORDS);
        *word.ok_or(Damaged::Range)? = u64::from_be_bytes(input.array()?);
    }
    let pushed = usize::from(u16::from_be_bytes(input.array()?));
    if pushed > STACK_MAX {
        return Err(Damaged::Range);
    }
    let mut stack = Vec::new();
    for _ in 0..pushed {
        stack.push(Pushed { value: u128::from_be_bytes(input.array()?), bits: u16::from_be_bytes(input.array()?) });
    }
    let action_set = match input.actions(context)?.pop() {
        Some(Action::WriteActions(set)) => set,
        None => Vec::new(),
        Some(_) => return Err(Damaged::Range),
    };
    let count = usize::from(u16::from_be_bytes(input.array()?));
    if count > SEGMENTS_MAX {
        return Err(Damaged::Range);
    }
    let mut segments = Vec::new();
    for _ in 0..count {
        let [table] = input.array()?;
        if usize::from(table) >= hive_classifier::TABLES {
            return Err(Damaged::Range);
        }
        let cookie = u64::from_be_bytes(input.array()?);
        segments.push(Segment { table, cookie, actions: input.actions(context)? });
    }
    if !input.0.is_empty() {
        return Err(Damaged::Length);
    }
    let conntracked = flags & CONNTRACKED != 0;
    Ok(Frozen { bridge, table, metadata, stack, action_set, segments, conntracked, mirrors, paused: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_flow::Field;
    use hive_openflow::{Conntrack, ConntrackZone, OxmField, PortNo, Resubmit, SetForm, Version};
    use proptest::prelude::*;

    fn actions() -> Vec<Action> {
        vec![
            Action::SetField { field: OxmField::Reg(3), value: 7, mask: u128::MAX, form: SetForm::SetField },
            Action::Clone(vec![Action::Output { port: PortNo(2), max_len: 0 }]),
            Action::Conntrack(Box::new(Conntrack {
                commit: true,
                force: false,
                other_flags: 0,
                zone: ConntrackZone::Number(5),
                table: Some(9),
                helper: 0,
                actions: Vec::new(),
            })),
            Action::Resubmit(Resubmit { port: PortNo::IN_PORT, table: 8, conntrack: false, first: false }),
            Action::WriteMetadata { value: 1, mask: 3 },
            Action::GotoTable(20),
        ]
    }

    fn frozen(cut: usize) -> Frozen {
        let mut metadata = Key::ZERO;
        metadata.set(Field::Reg(4), 0x1234);
        metadata.set(Field::InPort, 3);
        let mut actions = actions();
        actions.drain(..cut.min(actions.len()));
        Frozen {
            bridge: BridgeId(7),
            table: 12,
            metadata,
            stack: vec![Pushed { value: 99, bits: 32 }],
            action_set: vec![Action::Output { port: PortNo(4), max_len: 0 }],
            segments: vec![Segment { table: 3, cookie: 5, actions }],
            conntracked: cut.is_multiple_of(2),
            mirrors: 2,
            paused: true,
        }
    }

    #[test]
    fn a_continuation_survives_the_way() {
        let context = Context::new(Version::V1_5);
        for cut in 0..=6 {
            let mut whole = frozen(cut);
            if cut == 6 {
                whole.action_set.clear();
            }
            let back = decode(&encode(&whole, &context), &context).unwrap();
            let fields = |frozen: &Frozen| {
                format!("{frozen:?}").replace("340282366920938463463374607431768211455", "4294967295")
            };
            assert_eq!(fields(&back), fields(&whole));
        }
    }

    proptest! {
        #[test]
        fn damage_is_found_or_harmless(cut in 0usize..6, at in 0usize..400, byte in any::<u8>(), length in 0usize..400) {
            let context = Context::new(Version::V1_5);
            let mut bytes = encode(&frozen(cut), &context);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = decode(&bytes, &context);
            bytes.truncate(length);
            let _ = decode(&bytes, &context);
        }

        #[test]
        fn anything_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let context = Context::new(Version::V1_5);
            let _ = decode(&bytes, &context);
        }
    }
}
