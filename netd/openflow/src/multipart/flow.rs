//! Flows and their counters, as OFPMP_FLOW and NXST_FLOW tell them.

use crate::action::{Action, Flow, decode_instructions, encode_instructions};
use crate::flow_mod::FlowFlags;
use crate::oxm::{
    CookieMask, OFP10_MATCH_BYTES, decode_match, decode_nxm, decode_ofp10, encode_match, encode_nxm, encode_ofp10,
};
use crate::oxs::FlowCounters;
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, GROUP_ANY, PortNo, Version};
use hive_flow::Match;

/// Which flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRequest {
    /// [`crate::TABLE_ALL`]: all.
    pub table: u8,
    /// Only flows that output there; [`PortNo::NONE`]: any.
    pub out_port: PortNo,
    /// [`GROUP_ANY`]: any.
    pub out_group: u32,
    pub cookie: CookieMask,
    pub flow: Match,
    /// NXST_FLOW, NXST_AGGREGATE; OpenFlow 1.0 only. The reply must be of the same kind.
    pub nicira: bool,
}

impl FlowRequest {
    pub(super) fn decode(reader: &mut Reader<'_>, nicira: bool, context: &Context) -> Result<Self, ErrorCode> {
        let mut cookie = CookieMask::default();
        if nicira {
            let (out_port, match_bytes, table) = (PortNo(reader.u16()?), reader.u16()?, reader.u8()?);
            reader.skip(3)?;
            let flow = decode_nxm(reader, match_bytes.into(), Some(&mut cookie), false, context)?;
            if !reader.is_empty() {
                return Err(ErrorCode::RequestBadLen);
            }
            return Ok(Self { table, out_port, out_group: GROUP_ANY, cookie, flow, nicira });
        }
        if context.version == Version::V1_0 {
            let (flow, _) = decode_ofp10(reader)?;
            let table = reader.u8()?;
            reader.skip(1)?;
            let out_port = PortNo(reader.u16()?);
            return Ok(Self { table, out_port, out_group: GROUP_ANY, cookie, flow, nicira });
        }
        let table = reader.u8()?;
        reader.skip(3)?;
        let (out_port, out_group) = (PortNo::from_wide(reader.u32()?)?, reader.u32()?);
        reader.skip(4)?;
        cookie = CookieMask { cookie: reader.u64()?, mask: reader.u64()? };
        Ok(Self { table, out_port, out_group, cookie, flow: decode_match(reader, context)?, nicira })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        if self.nicira {
            out.u16(self.out_port.0);
            let place = out.len();
            out.u16(0);
            out.u8(self.table);
            out.zeros(3);
            let match_bytes = encode_nxm(&self.flow, self.cookie, out, context);
            out.set(place, &match_bytes.to_be_bytes());
        } else if context.version == Version::V1_0 {
            encode_ofp10(&self.flow, out);
            out.u8(self.table);
            out.zeros(1);
            out.u16(self.out_port.0);
        } else {
            out.u8(self.table);
            out.zeros(3);
            out.u32(self.out_port.wide());
            out.u32(self.out_group);
            out.zeros(4);
            out.u64(self.cookie.cookie);
            out.u64(self.cookie.mask);
            encode_match(&self.flow, out, context);
        }
    }
}

/// One flow of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStats {
    pub table: u8,
    pub flow: Match,
    pub priority: u16,
    pub cookie: u64,
    pub idle_timeout_s: u16,
    pub hard_timeout_s: u16,
    /// Since OpenFlow 1.4.
    pub importance: u16,
    /// Since OpenFlow 1.3.
    pub flags: FlowFlags,
    pub counters: FlowCounters,
    /// NXST_FLOW only: since the flow was last changed.
    pub hard_age_s: Option<u16>,
    pub actions: Vec<Action>,
}

/// NXST_FLOW writes ages plus one, so that 0 says nothing.
fn age_from_wire(age: u16) -> Option<u16> {
    age.checked_sub(1)
}

fn age_to_wire(age: Option<u32>) -> u16 {
    age.map_or(0, |age| u16::try_from(age.saturating_add(1)).unwrap_or(u16::MAX))
}

impl FlowStats {
    pub(super) fn decode(reader: &mut Reader<'_>, nicira: bool, context: &Context) -> Result<Self, ErrorCode> {
        const SHORT: ErrorCode = ErrorCode::RequestBadLen;
        let version = context.version;
        let length = usize::from(Reader::new(reader.rest(), SHORT).u16()?);
        let mut entry = Reader::new(reader.take(length)?, SHORT);
        entry.skip(2)?;
        if version == Version::V1_5 {
            return Self::decode_ofp15(&mut entry, context);
        }
        let table = entry.u8()?;
        entry.skip(1)?;
        let ofp10 = if version == Version::V1_0 && !nicira {
            if entry.remaining() < OFP10_MATCH_BYTES {
                return Err(SHORT);
            }
            Some(decode_ofp10(&mut entry)?.0)
        } else {
            None
        };
        let (duration_s, duration_ns) = (entry.u32()?, entry.u32()?);
        let (priority, idle_timeout_s, hard_timeout_s) = (entry.u16()?, entry.u16()?, entry.u16()?);
        // Flags, importance, padding; or, in NXST_FLOW, the match's length and two ages; or padding.
        let [first, second, third] = [entry.u16()?, entry.u16()?, entry.u16()?];
        let (cookie, packets, bytes) = (entry.u64()?, entry.u64()?, entry.u64()?);
        let mut this = Self {
            table,
            flow: Match::default(),
            priority,
            cookie,
            idle_timeout_s,
            hard_timeout_s,
            importance: 0,
            flags: FlowFlags::default(),
            counters: FlowCounters { duration_s, duration_ns, idle_s: None, packets, bytes },
            hard_age_s: None,
            actions: Vec::new(),
        };
        if nicira {
            this.counters.idle_s = age_from_wire(second).map(u32::from);
            this.hard_age_s = age_from_wire(third);
            this.flow = decode_nxm(&mut entry, first.into(), None, false, context)?;
        } else if let Some(flow) = ofp10 {
            this.flow = flow;
        } else {
            this.flags = FlowFlags::from_wire(first, version)?;
            this.importance = if version >= Version::V1_4 { second } else { 0 };
            this.flow = decode_match(&mut entry, context)?;
        }
        this.actions = decode_instructions(&mut entry, context)?;
        Ok(this)
    }

    fn decode_ofp15(entry: &mut Reader<'_>, context: &Context) -> Result<Self, ErrorCode> {
        entry.skip(2)?;
        let table = entry.u8()?;
        entry.skip(1)?;
        let (priority, idle_timeout_s, hard_timeout_s) = (entry.u16()?, entry.u16()?, entry.u16()?);
        let (flags, importance, cookie) = (entry.u16()?, entry.u16()?, entry.u64()?);
        Ok(Self {
            table,
            priority,
            cookie,
            idle_timeout_s,
            hard_timeout_s,
            importance,
            flags: FlowFlags::from_wire(flags, context.version)?,
            flow: decode_match(entry, context)?,
            counters: FlowCounters::decode(entry)?,
            hard_age_s: None,
            actions: decode_instructions(entry, context)?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>, nicira: bool, context: &Context) {
        let version = context.version;
        let start = out.len();
        out.u16(0);
        let mut flow = Flow::of(&self.flow);
        if version == Version::V1_5 {
            out.zeros(2);
            out.u8(self.table);
            out.zeros(1);
            out.u16(self.priority);
            out.u16(self.idle_timeout_s);
            out.u16(self.hard_timeout_s);
            out.u16(self.flags.wire(version));
            out.u16(self.importance);
            out.u64(self.cookie);
            encode_match(&self.flow, out, context);
            self.counters.encode(out);
            encode_instructions(&self.actions, &mut flow, out, context);
            out.set_length(start, 0);
            return;
        }
        out.u8(self.table);
        out.zeros(1);
        if version == Version::V1_0 && !nicira {
            encode_ofp10(&self.flow, out);
        }
        out.u32(self.counters.duration_s);
        out.u32(self.counters.duration_ns);
        out.u16(self.priority);
        out.u16(self.idle_timeout_s);
        out.u16(self.hard_timeout_s);
        let place = out.len();
        if nicira {
            out.u16(0);
            out.u16(age_to_wire(self.counters.idle_s));
            out.u16(age_to_wire(self.hard_age_s.map(u32::from)));
        } else if version == Version::V1_0 {
            out.zeros(6);
        } else {
            out.u16(self.flags.wire(version));
            out.u16(if version >= Version::V1_4 { self.importance } else { 0 });
            out.zeros(2);
        }
        out.u64(self.cookie);
        // Where all ones do not mean that it is not known, 0 has to do.
        let known = |count: u64| if count == u64::MAX && !nicira { 0 } else { count };
        out.u64(known(self.counters.packets));
        out.u64(known(self.counters.bytes));
        if nicira {
            let match_bytes = encode_nxm(&self.flow, CookieMask::default(), out, context);
            out.set(place, &match_bytes.to_be_bytes());
        } else if version > Version::V1_0 {
            encode_match(&self.flow, out, context);
        }
        encode_instructions(&self.actions, &mut flow, out, context);
        out.set_length(start, 0);
    }
}
