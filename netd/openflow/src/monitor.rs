//! Flow monitors: NXST_FLOW_MONITOR for OpenFlow 1.0, ONFST_FLOW_MONITOR for 1.3, OFPMP_FLOW_MONITOR of 1.4 and later.

use crate::action::{Action, Flow, decode_actions_of_length, decode_instructions, encode_actions, encode_instructions};
use crate::flow_removed::RemovedReason;
use crate::oxm::{CookieMask, decode_match, decode_nxm, encode_match, encode_nxm};
use crate::wire::{Put, Reader, padded};
use crate::{Context, ErrorCode, GROUP_ANY, PortNo, Version};
use hive_flow::Match;

/// OFPFMF_* and NXFMF_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonitorFlags(pub u16);

impl MonitorFlags {
    /// Flows that match when the monitor is made.
    pub const INITIAL: Self = Self(1 << 0);
    pub const ADD: Self = Self(1 << 1);
    pub const DELETE: Self = Self(1 << 2);
    pub const MODIFY: Self = Self(1 << 3);
    /// Actions are told too.
    pub const ACTIONS: Self = Self(1 << 4);
    /// The controller's own changes are told in full.
    pub const OWN: Self = Self(1 << 5);
    /// Only its own; since OpenFlow 1.4.
    pub const ONLY_OWN: Self = Self(1 << 6);

    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    fn check(self, version: Version) -> Result<(), ErrorCode> {
        let known = if is_early(version) { 0x3f } else { 0x7f };
        let changes = Self::ADD.0 | Self::DELETE.0 | Self::MODIFY.0;
        if self.0 & changes == 0 || self.0 & !known != 0 { Err(ErrorCode::FlowMonitorBadFlags) } else { Ok(()) }
    }
}

/// Extensions of versions that have no monitors differ from OpenFlow 1.4 in their layout.
fn is_early(version: Version) -> bool {
    version < Version::V1_4
}

/// OFPFMC_*; Nicira's form can only add, and cancel by a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorCommand {
    Add,
    Modify,
    Delete,
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorRequest {
    pub monitor: u32,
    pub command: MonitorCommand,
    pub flags: MonitorFlags,
    /// Only flows that output there; [`PortNo::NONE`]: any.
    pub out_port: PortNo,
    /// [`GROUP_ANY`]: any.
    pub out_group: u32,
    /// [`crate::TABLE_ALL`]: any.
    pub table: u8,
    pub flow: Match,
}

/// Write a match, and its length without padding where an extension wants it.
fn encode_early_match(flow: &Match, place: usize, out: &mut Vec<u8>, context: &Context) {
    let match_bytes = if context.version == Version::V1_0 {
        encode_nxm(flow, CookieMask::default(), out, context)
    } else {
        let start = out.len();
        encode_match(flow, out, context);
        out.get(start + 2..start + 4).map_or(0, |length| u16::from_be_bytes([length[0], length[1]]))
    };
    out.set(place, &match_bytes.to_be_bytes());
}

impl MonitorRequest {
    pub(crate) fn decode(reader: &mut Reader<'_>, context: &Context) -> Result<Self, ErrorCode> {
        let version = context.version;
        let check_zeros = |bytes: &[u8]| {
            if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(ErrorCode::NxRequestMustBeZero) }
        };
        let (monitor, command, out_group) = (reader.u32()?, MonitorCommand::Add, GROUP_ANY);
        if version == Version::V1_0 {
            let (flags, out_port, match_bytes) = (MonitorFlags(reader.u16()?), PortNo(reader.u16()?), reader.u16()?);
            let table = reader.u8()?;
            check_zeros(reader.take(5)?)?;
            flags.check(version)?;
            let flow = decode_nxm(reader, match_bytes.into(), None, false, context)?;
            return Ok(Self { monitor, command, flags, out_port, out_group, table, flow });
        }
        if version == Version::V1_3 {
            // The match tells its own length.
            let (flags, _, out_port) = (MonitorFlags(reader.u16()?), reader.u16()?, reader.u32()?);
            let table = reader.u8()?;
            check_zeros(reader.take(3)?)?;
            let out_port = PortNo::from_wide(out_port)?;
            flags.check(version)?;
            let flow = decode_match(reader, context)?;
            return Ok(Self { monitor, command, flags, out_port, out_group, table, flow });
        }
        let (out_port, out_group) = (reader.u32()?, reader.u32()?);
        let (flags, table, command) = (MonitorFlags(reader.u16()?), reader.u8()?, reader.u8()?);
        let commands = [MonitorCommand::Add, MonitorCommand::Modify, MonitorCommand::Delete];
        let command = *commands.get(usize::from(command)).ok_or(ErrorCode::FlowMonitorBadCommand)?;
        if command != MonitorCommand::Delete {
            flags.check(version)?;
        }
        let out_port = PortNo::from_wide(out_port)?;
        Ok(Self { monitor, command, flags, out_port, out_group, table, flow: decode_match(reader, context)? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        out.u32(self.monitor);
        if context.version == Version::V1_0 {
            out.u16(self.flags.0);
            out.u16(self.out_port.0);
            let place = out.len();
            out.u16(0);
            out.u8(self.table);
            out.zeros(5);
            encode_early_match(&self.flow, place, out, context);
        } else if context.version == Version::V1_3 {
            out.u16(self.flags.0);
            let place = out.len();
            out.u16(0);
            out.u32(self.out_port.wide());
            out.u8(self.table);
            out.zeros(3);
            encode_early_match(&self.flow, place, out, context);
        } else {
            out.u32(self.out_port.wide());
            out.u32(self.out_group);
            out.u16(self.flags.0);
            out.u8(self.table);
            out.u8(self.command as u8);
            encode_match(&self.flow, out, context);
        }
    }
}

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// Was there from the start; Nicira's form calls it added.
    Initial,
    Added,
    Removed(RemovedReason),
    Modified,
}

/// One entry of a monitor's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowUpdate {
    Full(Box<FlowUpdateFull>),
    /// This controller's own request did it.
    Abbreviated {
        xid: u32,
    },
    /// Too much waits to be sent; nothing more until resumed. Nicira's form has messages of its own for these two.
    Paused,
    Resumed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowUpdateFull {
    pub event: FlowEvent,
    pub table: u8,
    pub priority: u16,
    pub idle_timeout_s: u16,
    pub hard_timeout_s: u16,
    pub cookie: u64,
    pub flow: Match,
    /// Empty unless asked for.
    pub actions: Vec<Action>,
}

/// Bytes of an entry's fixed part, whichever the version.
const FULL_BYTES: usize = 24;
const SHORT_BYTES: usize = 8;

impl FlowUpdate {
    pub(crate) fn decode(reader: &mut Reader<'_>, context: &Context) -> Result<Self, ErrorCode> {
        let early = is_early(context.version);
        let mut entry = Reader::new(reader.rest(), ErrorCode::RequestBadLen);
        let (length, event) = (usize::from(entry.u16()?), entry.u16()?);
        if length % 8 != 0 || length < SHORT_BYTES {
            return Err(ErrorCode::RequestBadLen);
        }
        reader.skip(length)?;
        // Nicira's events lack the first.
        let event = if early { event.saturating_add(1) } else { event };
        match event {
            0..=3 if length >= FULL_BYTES => {}
            4 if length == SHORT_BYTES => return Ok(Self::Abbreviated { xid: entry.u32()? }),
            5 if length == SHORT_BYTES && !early => return Ok(Self::Paused),
            6 if length == SHORT_BYTES && !early => return Ok(Self::Resumed),
            0..=4 => return Err(ErrorCode::RequestBadLen),
            _ => return Err(ErrorCode::NxRequestFmBadEvent),
        }
        let flow_event = |reason: u8| match event {
            0 => FlowEvent::Initial,
            1 => FlowEvent::Added,
            2 => FlowEvent::Removed(RemovedReason::from_wire(reason)),
            _ => FlowEvent::Modified,
        };
        let full = if early {
            let (reason, priority) = (entry.u16()?, entry.u16()?);
            let (idle_timeout_s, hard_timeout_s, match_bytes) = (entry.u16()?, entry.u16()?, usize::from(entry.u16()?));
            let table = entry.u8()?;
            entry.skip(1)?;
            let cookie = entry.u64()?;
            let mut rest = entry.sub(length - FULL_BYTES)?;
            let (flow, actions) = if context.version == Version::V1_0 {
                let actions_bytes =
                    rest.remaining().checked_sub(padded(match_bytes)).ok_or(ErrorCode::RequestBadLen)?;
                let flow = decode_nxm(&mut rest, match_bytes, None, false, context)?;
                (flow, decode_actions_of_length(&mut rest, actions_bytes, context)?)
            } else {
                (decode_match(&mut rest, context)?, decode_instructions(&mut rest, context)?)
            };
            let event = flow_event(reason as u8);
            FlowUpdateFull { event, table, priority, idle_timeout_s, hard_timeout_s, cookie, flow, actions }
        } else {
            let (table, reason) = (entry.u8()?, entry.u8()?);
            let (idle_timeout_s, hard_timeout_s, priority) = (entry.u16()?, entry.u16()?, entry.u16()?);
            entry.skip(4)?;
            let cookie = entry.u64()?;
            let mut rest = entry.sub(length - FULL_BYTES)?;
            let flow = decode_match(&mut rest, context)?;
            let actions = decode_instructions(&mut rest, context)?;
            let event = flow_event(reason);
            FlowUpdateFull { event, table, priority, idle_timeout_s, hard_timeout_s, cookie, flow, actions }
        };
        Ok(Self::Full(Box::new(full)))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let early = is_early(context.version);
        let start = out.len();
        let event = match self {
            Self::Full(full) => match full.event {
                FlowEvent::Initial => u16::from(early),
                FlowEvent::Added => 1,
                FlowEvent::Removed(_) => 2,
                FlowEvent::Modified => 3,
            },
            Self::Abbreviated { .. } => 4,
            Self::Paused => 5,
            Self::Resumed => 6,
        };
        out.u16(0);
        out.u16(event - u16::from(early));
        match self {
            Self::Full(full) => full.encode(out, start, context),
            Self::Abbreviated { xid } => out.u32(*xid),
            Self::Paused | Self::Resumed => out.zeros(4),
        }
        out.set_length(start, 0);
    }
}

impl FlowUpdateFull {
    fn encode(&self, out: &mut Vec<u8>, start: usize, context: &Context) {
        let reason = match self.event {
            FlowEvent::Removed(reason) => reason.wire(context.version),
            _ => 0,
        };
        if is_early(context.version) {
            out.u16(reason.into());
            out.u16(self.priority);
            out.u16(self.idle_timeout_s);
            out.u16(self.hard_timeout_s);
            out.u16(0);
            out.u8(self.table);
            out.zeros(1);
            out.u64(self.cookie);
            encode_early_match(&self.flow, start + 12, out, context);
            if context.version == Version::V1_0 {
                encode_actions(&self.actions, &mut Flow::of(&self.flow), out, context);
            } else {
                encode_instructions(&self.actions, &mut Flow::of(&self.flow), out, context);
            }
        } else {
            out.u8(self.table);
            out.u8(reason);
            out.u16(self.idle_timeout_s);
            out.u16(self.hard_timeout_s);
            out.u16(self.priority);
            out.zeros(4);
            out.u64(self.cookie);
            encode_match(&self.flow, out, context);
            encode_instructions(&self.actions, &mut Flow::of(&self.flow), out, context);
        }
    }
}
