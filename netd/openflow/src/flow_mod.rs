//! OFPT_FLOW_MOD and NXT_FLOW_MOD.

use crate::action::{Action, Flow, decode_instructions, encode_instructions};
use crate::oxm::{CookieMask, decode_match, decode_nxm, decode_ofp10, encode_match, encode_nxm, encode_ofp10};
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, PortNo, Version};
use hive_flow::{Field, Match};

/// OFPTT_ALL: of deletions, every table; of other OpenFlow 1.0 commands, table 0.
pub const TABLE_ALL: u8 = 0xff;
/// OFPG_ANY: no restriction to a group.
pub const GROUP_ANY: u32 = 0xffff_ffff;
/// OFP_NO_BUFFER.
pub const NO_BUFFER: u32 = 0xffff_ffff;
/// The cookie of a modification that leaves the flow's as it is.
const COOKIE_UNCHANGED: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowCommand {
    Add,
    Modify,
    ModifyStrict,
    Delete,
    DeleteStrict,
}

impl FlowCommand {
    const ALL: [Self; 5] = [Self::Add, Self::Modify, Self::ModifyStrict, Self::Delete, Self::DeleteStrict];

    fn from_wire(command: u16) -> Result<Self, ErrorCode> {
        Self::ALL.get(usize::from(command)).copied().ok_or(ErrorCode::FlowModBadCommand)
    }

    pub fn is_delete(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteStrict)
    }

    /// Whether match and priority must be the flow's own.
    pub fn is_strict(self) -> bool {
        matches!(self, Self::ModifyStrict | Self::DeleteStrict)
    }
}

/// OFPFF_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowFlags {
    pub send_flow_removed: bool,
    pub check_overlap: bool,
    /// In OpenFlow 1.0 every addition does.
    pub reset_counts: bool,
    pub no_packet_counts: bool,
    pub no_byte_counts: bool,
}

const SEND_FLOW_REMOVED: u16 = 1 << 0;
const CHECK_OVERLAP: u16 = 1 << 1;
/// OpenFlow 1.0: OFPFF_EMERG.
const EMERGENCY: u16 = 1 << 2;
const RESET_COUNTS: u16 = 1 << 2;
const NO_PACKET_COUNTS: u16 = 1 << 3;
const NO_BYTE_COUNTS: u16 = 1 << 4;

impl FlowFlags {
    pub(crate) fn from_wire(flags: u16, version: Version) -> Result<Self, ErrorCode> {
        let known = SEND_FLOW_REMOVED | CHECK_OVERLAP | EMERGENCY | if version > Version::V1_0 { 0x18 } else { 0 };
        if flags & !known != 0 {
            return Err(ErrorCode::FlowModBadFlags);
        }
        let later = |flag: u16| version > Version::V1_0 && flags & flag != 0;
        Ok(Self {
            send_flow_removed: flags & SEND_FLOW_REMOVED != 0,
            check_overlap: flags & CHECK_OVERLAP != 0,
            reset_counts: later(RESET_COUNTS),
            no_packet_counts: later(NO_PACKET_COUNTS),
            no_byte_counts: later(NO_BYTE_COUNTS),
        })
    }

    pub(crate) fn wire(self, version: Version) -> u16 {
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        let later = |set: bool, bit: u16| flag(set && version > Version::V1_0, bit);
        flag(self.send_flow_removed, SEND_FLOW_REMOVED)
            | flag(self.check_overlap, CHECK_OVERLAP)
            | later(self.reset_counts, RESET_COUNTS)
            | later(self.no_packet_counts, NO_PACKET_COUNTS)
            | later(self.no_byte_counts, NO_BYTE_COUNTS)
    }
}

/// A change of flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    pub command: FlowCommand,
    /// See [`TABLE_ALL`].
    pub table: u8,
    pub flow: Match,
    pub priority: u16,
    /// Of modifications and deletions: only flows with such a cookie.
    pub cookie: CookieMask,
    /// Of additions, and of modifications in OpenFlow 1.0; `None`: it stays.
    pub new_cookie: Option<u64>,
    /// 0: none.
    pub idle_timeout_s: u16,
    pub hard_timeout_s: u16,
    /// Who is evicted first, since OpenFlow 1.4.
    pub importance: u16,
    /// See [`NO_BUFFER`].
    pub buffer: u32,
    /// Of deletions: only flows that output there. [`PortNo::NONE`]: any.
    pub out_port: PortNo,
    /// Of deletions: only flows with that group. [`GROUP_ANY`]: any.
    pub out_group: u32,
    pub flags: FlowFlags,
    pub actions: Vec<Action>,
    /// It came as NXT_FLOW_MOD.
    pub nicira: bool,
}

impl FlowMod {
    /// An addition with nothing asked for.
    pub fn add(flow: Match, priority: u16, actions: Vec<Action>) -> Self {
        Self {
            command: FlowCommand::Add,
            table: 0,
            flow,
            priority,
            cookie: CookieMask::default(),
            new_cookie: Some(0),
            idle_timeout_s: 0,
            hard_timeout_s: 0,
            importance: 0,
            buffer: NO_BUFFER,
            out_port: PortNo::NONE,
            out_group: GROUP_ANY,
            flags: FlowFlags::default(),
            actions,
            nicira: false,
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, nicira: bool, context: &Context) -> Result<Self, ErrorCode> {
        let version = context.version;
        let (mut this, raw_flags) = match (nicira, version) {
            (true, _) => Self::decode_nicira(reader, context)?,
            (false, Version::V1_0) => Self::decode_ofp10(reader, context)?,
            _ => Self::decode_ofp11(reader, context)?,
        };
        check_original_addresses(&this.flow)?;
        let command = this.command;
        this.actions = decode_instructions(reader, context)?;
        if version == Version::V1_0 && raw_flags & EMERGENCY != 0 {
            // There is no emergency flow cache.
            let timeouts = this.hard_timeout_s != 0 || this.idle_timeout_s != 0;
            let unsupported = FlowFlags::from_wire(raw_flags, version)
                .map(|_| if timeouts { ErrorCode::FlowModBadEmergTimeout } else { ErrorCode::FlowModTableFull });
            return Err(unsupported.unwrap_or_else(|error| error));
        }
        this.flags = FlowFlags::from_wire(raw_flags, version)?;
        this.flags.reset_counts |= version == Version::V1_0 && command == FlowCommand::Add;
        Ok(this)
    }

    fn decode_ofp11(reader: &mut Reader<'_>, context: &Context) -> Result<(Self, u16), ErrorCode> {
        let (cookie, cookie_mask) = (reader.u64()?, reader.u64()?);
        let (table, command) = (reader.u8()?, reader.u8()?);
        let (idle_timeout_s, hard_timeout_s, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let (buffer, out_port, out_group) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (flags, importance) = (reader.u16()?, reader.u16()?);
        let flow = decode_match(reader, context)?;
        // As in Open vSwitch, what else is wrong is said before an unknown command is.
        let known = FlowCommand::from_wire(command.into());
        let is_delete = known.is_ok_and(FlowCommand::is_delete);
        if table == TABLE_ALL && !is_delete {
            return Err(ErrorCode::FlowModBadTableId);
        }
        let out_port = PortNo::from_wide(out_port)?;
        check_original_addresses(&flow)?;
        let command = known?;
        let add = command == FlowCommand::Add;
        let this = Self {
            command,
            table,
            flow,
            priority,
            cookie: if add { CookieMask::default() } else { CookieMask { cookie, mask: cookie_mask } },
            new_cookie: add.then_some(cookie),
            idle_timeout_s,
            hard_timeout_s,
            importance: if add && context.version >= Version::V1_4 { importance } else { 0 },
            buffer,
            out_port,
            out_group: if is_delete { out_group } else { GROUP_ANY },
            flags: FlowFlags::default(),
            actions: Vec::new(),
            nicira: false,
        };
        Ok((this, flags))
    }

    fn decode_ofp10(reader: &mut Reader<'_>, context: &Context) -> Result<(Self, u16), ErrorCode> {
        let (flow, exact) = decode_ofp10(reader)?;
        let (cookie, command) = (reader.u64()?, reader.u16()?);
        let (idle_timeout_s, hard_timeout_s, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let (buffer, out_port, flags) = (reader.u32()?, reader.u16()?, reader.u16()?);
        let (command, table) = split_command(command, context)?;
        let this = Self {
            command,
            table,
            flow,
            // Exact flows come first, says OpenFlow 1.0.
            priority: if exact { u16::MAX } else { priority },
            cookie: CookieMask::default(),
            new_cookie: (cookie != COOKIE_UNCHANGED).then_some(cookie),
            idle_timeout_s,
            hard_timeout_s,
            importance: 0,
            buffer,
            out_port: PortNo(out_port),
            out_group: GROUP_ANY,
            flags: FlowFlags::default(),
            actions: Vec::new(),
            nicira: false,
        };
        Ok((this, flags))
    }

    fn decode_nicira(reader: &mut Reader<'_>, context: &Context) -> Result<(Self, u16), ErrorCode> {
        let (cookie, command) = (reader.u64()?, reader.u16()?);
        let (idle_timeout_s, hard_timeout_s, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let (buffer, out_port, flags, match_bytes) = (reader.u32()?, reader.u16()?, reader.u16()?, reader.u16()?);
        reader.skip(6)?;
        let mut asked = CookieMask::default();
        let flow = decode_nxm(reader, match_bytes.into(), Some(&mut asked), false, context)?;
        if command & 0xff == 0 && asked.mask != 0 {
            return Err(ErrorCode::NxRequestNxmInvalid);
        }
        check_original_addresses(&flow)?;
        let (command, table) = split_command(command, context)?;
        let this = Self {
            command,
            table,
            flow,
            priority,
            cookie: asked,
            new_cookie: (cookie != COOKIE_UNCHANGED).then_some(cookie),
            idle_timeout_s,
            hard_timeout_s,
            importance: 0,
            buffer,
            out_port: PortNo(out_port),
            out_group: GROUP_ANY,
            flags: FlowFlags::default(),
            actions: Vec::new(),
            nicira: true,
        };
        Ok((this, flags))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let version = context.version;
        let command = self.command as u16;
        let command_and_table = if context.table_ids { u16::from(self.table) << 8 | command } else { command };
        let flags = self.flags.wire(version);
        let new_cookie = self.new_cookie.unwrap_or(COOKIE_UNCHANGED);
        let timeouts_and_priority = [self.idle_timeout_s, self.hard_timeout_s, self.priority];
        if self.nicira {
            let start = out.len();
            out.u64(new_cookie);
            out.u16(command_and_table);
            timeouts_and_priority.iter().for_each(|value| out.u16(*value));
            out.u32(self.buffer);
            out.u16(self.out_port.0);
            out.u16(flags);
            out.zeros(8);
            let match_bytes = encode_nxm(&self.flow, self.cookie, out, context);
            out.set(start + 24, &match_bytes.to_be_bytes());
        } else if version == Version::V1_0 {
            encode_ofp10(&self.flow, out);
            out.u64(new_cookie);
            out.u16(command_and_table);
            timeouts_and_priority.iter().for_each(|value| out.u16(*value));
            out.u32(self.buffer);
            out.u16(self.out_port.0);
            out.u16(flags);
        } else {
            let add = self.command == FlowCommand::Add;
            out.u64(if add { self.new_cookie.unwrap_or(0) } else { self.cookie.cookie });
            out.u64(self.cookie.mask);
            out.u8(self.table);
            out.u8(command as u8);
            timeouts_and_priority.iter().for_each(|value| out.u16(*value));
            out.u32(self.buffer);
            out.u32(self.out_port.wide());
            out.u32(self.out_group);
            out.u16(flags);
            out.u16(if add && version >= Version::V1_4 { self.importance } else { 0 });
            encode_match(&self.flow, out, context);
        }
        encode_instructions(&self.actions, &mut Flow::of(&self.flow), out, context);
    }
}

/// Command, and table if the session has agreed on it standing there.
fn split_command(command: u16, context: &Context) -> Result<(FlowCommand, u8), ErrorCode> {
    if context.table_ids {
        Ok((FlowCommand::from_wire(command & 0xff)?, (command >> 8) as u8))
    } else {
        Ok((FlowCommand::from_wire(command)?, TABLE_ALL))
    }
}

/// A connection's original addresses can be matched on only if they are of the packet's own IP version.
fn check_original_addresses(flow: &Match) -> Result<(), ErrorCode> {
    let eth_type = flow.exact(Field::EthType);
    let asked = |fields: [Field; 2]| fields.iter().any(|field| flow.get(*field).mask != 0);
    let v4 = asked([Field::CtNwSrc, Field::CtNwDst]);
    let v6 = asked([Field::CtIpv6Src, Field::CtIpv6Dst]);
    if v4 && eth_type != Some(0x0800) || v6 && eth_type != Some(0x86dd) {
        return Err(ErrorCode::ActionMatchInconsistent);
    }
    Ok(())
}
