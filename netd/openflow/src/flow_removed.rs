//! OFPT_FLOW_REMOVED and NXT_FLOW_REMOVED.

use crate::oxm::{CookieMask, decode_match, decode_nxm, decode_ofp10, encode_match, encode_nxm, encode_ofp10};
use crate::oxs::FlowCounters;
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, Version};
use hive_flow::Match;

/// OFPRR_*: why a flow went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovedReason {
    IdleTimeout,
    HardTimeout,
    Delete,
    GroupDelete,
    /// Since OpenFlow 1.4.
    MeterDelete,
    Eviction,
    /// Not known here.
    Other(u8),
}

impl RemovedReason {
    pub(crate) fn from_wire(reason: u8) -> Self {
        match reason {
            0 => Self::IdleTimeout,
            1 => Self::HardTimeout,
            2 => Self::Delete,
            3 => Self::GroupDelete,
            4 => Self::MeterDelete,
            5 => Self::Eviction,
            other => Self::Other(other),
        }
    }

    pub(crate) fn wire(self, version: Version) -> u8 {
        match self {
            Self::IdleTimeout => 0,
            Self::HardTimeout => 1,
            Self::Delete => 2,
            Self::GroupDelete => 3,
            Self::MeterDelete if version < Version::V1_4 => 2,
            Self::MeterDelete => 4,
            Self::Eviction => 5,
            Self::Other(other) => other,
        }
    }
}

/// A flow is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    pub flow: Match,
    pub priority: u16,
    pub cookie: u64,
    pub reason: RemovedReason,
    /// `None`: OpenFlow 1.0 does not say.
    pub table: Option<u8>,
    pub idle_timeout_s: u16,
    /// 0 where the version does not say it.
    pub hard_timeout_s: u16,
    pub counters: FlowCounters,
    /// NXT_FLOW_REMOVED.
    pub nicira: bool,
}

impl FlowRemoved {
    pub(crate) fn decode(reader: &mut Reader<'_>, nicira: bool, context: &Context) -> Result<Self, ErrorCode> {
        let version = context.version;
        if !nicira && version == Version::V1_5 {
            return Self::decode_ofp15(reader, context);
        }
        let ofp10 = if !nicira && version == Version::V1_0 { Some(decode_ofp10(reader)?.0) } else { None };
        let (cookie, priority, reason, table) = (reader.u64()?, reader.u16()?, reader.u8()?, reader.u8()?);
        let (duration_s, duration_ns, idle_timeout_s) = (reader.u32()?, reader.u32()?, reader.u16()?);
        let hard_timeout_or_match_bytes = reader.u16()?;
        let counters = FlowCounters {
            duration_s,
            duration_ns,
            packets: reader.u64()?,
            bytes: reader.u64()?,
            ..Default::default()
        };
        let (flow, table, hard_timeout_s) = match ofp10 {
            Some(flow) => (flow, None, 0),
            None if nicira => {
                let flow = decode_nxm(reader, hard_timeout_or_match_bytes.into(), None, false, context)?;
                if !reader.is_empty() {
                    return Err(ErrorCode::RequestBadLen);
                }
                (flow, table.checked_sub(1), 0)
            }
            None => (decode_match(reader, context)?, Some(table), hard_timeout_or_match_bytes),
        };
        Ok(Self {
            flow,
            priority,
            cookie,
            reason: RemovedReason::from_wire(reason),
            table,
            idle_timeout_s,
            hard_timeout_s,
            counters,
            nicira,
        })
    }

    fn decode_ofp15(reader: &mut Reader<'_>, context: &Context) -> Result<Self, ErrorCode> {
        let (table, reason, priority) = (reader.u8()?, reader.u8()?, reader.u16()?);
        let (idle_timeout_s, hard_timeout_s, cookie) = (reader.u16()?, reader.u16()?, reader.u64()?);
        Ok(Self {
            flow: decode_match(reader, context)?,
            priority,
            cookie,
            reason: RemovedReason::from_wire(reason),
            table: Some(table),
            idle_timeout_s,
            hard_timeout_s,
            counters: FlowCounters::decode(reader)?,
            nicira: false,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let version = context.version;
        let reason = self.reason.wire(version);
        if !self.nicira && version == Version::V1_5 {
            out.u8(self.table.unwrap_or(0));
            out.u8(reason);
            out.u16(self.priority);
            out.u16(self.idle_timeout_s);
            out.u16(self.hard_timeout_s);
            out.u64(self.cookie);
            encode_match(&self.flow, out, context);
            FlowCounters { idle_s: None, ..self.counters }.encode(out);
            return;
        }
        if !self.nicira && version == Version::V1_0 {
            encode_ofp10(&self.flow, out);
        }
        out.u64(self.cookie);
        out.u16(self.priority);
        out.u8(reason);
        out.u8(match self.table {
            _ if !self.nicira && version == Version::V1_0 => 0,
            Some(table) if self.nicira => table.saturating_add(1),
            table => table.unwrap_or(0),
        });
        out.u32(self.counters.duration_s);
        out.u32(self.counters.duration_ns);
        out.u16(self.idle_timeout_s);
        let place = out.len();
        out.u16(if self.nicira || version == Version::V1_0 { 0 } else { self.hard_timeout_s });
        out.u64(self.counters.packets);
        out.u64(self.counters.bytes);
        if self.nicira {
            let match_bytes = encode_nxm(&self.flow, CookieMask::default(), out, context);
            out.set(place, &match_bytes.to_be_bytes());
        } else if version > Version::V1_0 {
            encode_match(&self.flow, out, context);
        }
    }
}
