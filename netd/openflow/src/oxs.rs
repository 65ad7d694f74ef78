//! Counters of flows, and how OpenFlow 1.5 writes them (OXS, section 7.2.4).

use crate::ErrorCode;
use crate::wire::{Put, Reader, padded};

/// OFPXSC_OPENFLOW_BASIC.
const CLASS_BASIC: u16 = 0x8002;
/// OFPXST_OFB_*.
const DURATION: u8 = 0;
const IDLE_TIME: u8 = 1;
const FLOW_COUNT: u8 = 3;
const PACKET_COUNT: u8 = 4;
const BYTE_COUNT: u8 = 5;
/// Bytes of `ofp_oxs_stat`.
const HEADER_BYTES: usize = 4;

/// What has gone through a flow; all ones: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    pub duration_s: u32,
    pub duration_ns: u32,
    /// Since the last packet; `None`: not said.
    pub idle_s: Option<u32>,
    pub packets: u64,
    pub bytes: u64,
}

/// Counters of many flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    pub packets: u64,
    pub bytes: u64,
    pub flows: u32,
}

/// What may stand in a list of counters.
#[derive(Debug, Default)]
struct Oxs {
    duration: Option<(u32, u32)>,
    idle: Option<(u32, u32)>,
    flows: Option<u32>,
    packets: Option<u64>,
    bytes: Option<u64>,
}

impl Oxs {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let mut header = Reader::new(reader.rest(), ErrorCode::RequestBadLen);
        header.skip(2)?;
        let length = usize::from(header.u16()?);
        if length < HEADER_BYTES {
            return Err(ErrorCode::RequestBadLen);
        }
        let mut fields = header.sub(length - HEADER_BYTES)?;
        reader.skip(padded(length)).map_err(|_| ErrorCode::RequestBadLen)?;
        let mut oxs = Self::default();
        while !fields.is_empty() {
            let (class, number, length) = (fields.u16()?, fields.u8()? >> 1, fields.u8()?);
            let mut value = fields.sub(length.into())?;
            if class != CLASS_BASIC {
                continue;
            }
            match number {
                DURATION => oxs.duration = Some((value.u32()?, value.u32()?)),
                IDLE_TIME => oxs.idle = Some((value.u32()?, value.u32()?)),
                FLOW_COUNT => oxs.flows = Some(value.u32()?),
                PACKET_COUNT => oxs.packets = Some(value.u64()?),
                BYTE_COUNT => oxs.bytes = Some(value.u64()?),
                _ => {}
            }
        }
        Ok(oxs)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.zeros(HEADER_BYTES);
        let field = |out: &mut Vec<u8>, number: u8, length: u8| {
            out.u16(CLASS_BASIC);
            out.u8(number << 1);
            out.u8(length);
        };
        for (number, time) in [(DURATION, self.duration), (IDLE_TIME, self.idle)] {
            if let Some((seconds, nanoseconds)) = time {
                field(out, number, 8);
                out.u32(seconds);
                out.u32(nanoseconds);
            }
        }
        for (number, count) in [(PACKET_COUNT, self.packets), (BYTE_COUNT, self.bytes)] {
            if let Some(count) = count.filter(|count| *count != u64::MAX) {
                field(out, number, 8);
                out.u64(count);
            }
        }
        if let Some(flows) = self.flows {
            field(out, FLOW_COUNT, 4);
            out.u32(flows);
        }
        out.set_length(start, 2);
        out.pad(start);
    }
}

impl FlowCounters {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let oxs = Oxs::decode(reader)?;
        let (duration_s, duration_ns) = oxs.duration.unwrap_or_default();
        Ok(Self {
            duration_s,
            duration_ns,
            idle_s: oxs.idle.map(|(seconds, _)| seconds),
            packets: oxs.packets.unwrap_or(u64::MAX),
            bytes: oxs.bytes.unwrap_or(u64::MAX),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        Oxs {
            duration: Some((self.duration_s, self.duration_ns)),
            idle: self.idle_s.map(|seconds| (seconds, 0)),
            flows: None,
            packets: Some(self.packets),
            bytes: Some(self.bytes),
        }
        .encode(out);
    }
}

impl Aggregate {
    pub(crate) fn decode_oxs(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let oxs = Oxs::decode(reader)?;
        Ok(Self {
            packets: oxs.packets.unwrap_or(u64::MAX),
            bytes: oxs.bytes.unwrap_or(u64::MAX),
            flows: oxs.flows.unwrap_or(0),
        })
    }

    pub(crate) fn encode_oxs(&self, out: &mut Vec<u8>) {
        Oxs { flows: Some(self.flows), packets: Some(self.packets), bytes: Some(self.bytes), ..Default::default() }
            .encode(out);
    }
}
