//! Queues of ports.

use crate::wire::{Put, Reader};
use crate::{ErrorCode, PortNo, Version};

/// OFPQ_ALL.
pub const QUEUE_ALL: u32 = 0xffff_ffff;
/// OFPQT_MIN_RATE, OFPQT_MAX_RATE; the same numbers as OFPQDPT_*.
const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;
/// No rate: so much stands for it (OFPQ_MIN_RATE_UNCFG).
const UNCONFIGURED: u16 = 0xffff;

/// Which queues are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSelector {
    /// [`PortNo::ALL`] in OpenFlow 1.0, [`PortNo::NONE`] later: all.
    pub port: PortNo,
    /// [`QUEUE_ALL`]: all.
    pub queue: u32,
}

impl QueueSelector {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let port = PortNo::decode(reader, version)?;
        reader.skip(if version == Version::V1_0 { 2 } else { 0 })?;
        Ok(Self { port, queue: reader.u32()? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        self.port.encode(version, out);
        out.zeros(if version == Version::V1_0 { 2 } else { 0 });
        out.u32(self.queue);
    }
}

/// A queue's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    pub port: PortNo,
    pub queue: u32,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    /// All ones where not known; not in OpenFlow 1.0.
    pub duration_s: u32,
    pub duration_ns: u32,
}

impl QueueStats {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let mut properties = 0;
        if version >= Version::V1_4 {
            properties = usize::from(reader.u16()?).checked_sub(48).ok_or(ErrorCode::RequestBadLen)?;
            reader.skip(6)?;
        }
        let QueueSelector { port, queue } = QueueSelector::decode(reader, version)?;
        let (tx_bytes, tx_packets, tx_errors) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (duration_s, duration_ns) =
            if version == Version::V1_0 { (u32::MAX, u32::MAX) } else { (reader.u32()?, reader.u32()?) };
        reader.skip(properties)?;
        Ok(Self { port, queue, tx_bytes, tx_packets, tx_errors, duration_s, duration_ns })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        if version >= Version::V1_4 {
            out.u16(48);
            out.zeros(6);
        }
        QueueSelector { port: self.port, queue: self.queue }.encode(out, version);
        out.u64(self.tx_bytes);
        out.u64(self.tx_packets);
        out.u64(self.tx_errors);
        if version > Version::V1_0 {
            out.u32(self.duration_s);
            out.u32(self.duration_ns);
        }
    }
}

/// A queue's configuration; rates in tenths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDesc {
    pub port: PortNo,
    pub queue: u32,
    pub min_rate: Option<u16>,
    pub max_rate: Option<u16>,
}

impl QueueDesc {
    /// `port`: of OpenFlow 1.0, which does not repeat it for each queue.
    pub(crate) fn decode(reader: &mut Reader<'_>, port: PortNo, version: Version) -> Result<Self, ErrorCode> {
        let mut this = Self { port, queue: 0, min_rate: None, max_rate: None };
        let header_bytes = if version == Version::V1_0 { 8 } else { 16 };
        if version >= Version::V1_4 {
            this.port = PortNo::decode(reader, version)?;
        }
        this.queue = reader.u32()?;
        if version == Version::V1_3 {
            this.port = PortNo::decode(reader, version)?;
        }
        let length = usize::from(reader.u16()?);
        reader.skip(header_bytes - if version == Version::V1_0 { 6 } else { 10 })?;
        let mut properties = reader.sub(length.checked_sub(header_bytes).ok_or(ErrorCode::RequestBadLen)?)?;
        while !properties.is_empty() {
            let (kind, length) = (properties.u16()?, usize::from(properties.u16()?));
            let mut content = properties.sub(length.checked_sub(4).ok_or(ErrorCode::PropertyBadLen)?)?;
            content.skip(if version < Version::V1_4 { 4 } else { 0 })?;
            let rate = match kind {
                MIN_RATE => &mut this.min_rate,
                MAX_RATE => &mut this.max_rate,
                _ => continue,
            };
            *rate = Some(content.u16()?).filter(|rate| *rate != UNCONFIGURED);
        }
        Ok(this)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        let start = out.len();
        if version >= Version::V1_4 {
            self.port.encode(version, out);
        }
        out.u32(self.queue);
        if version == Version::V1_3 {
            self.port.encode(version, out);
        }
        let place = out.len() - start;
        out.zeros(if version == Version::V1_0 { 4 } else { 8 });
        for (kind, rate) in [(MIN_RATE, self.min_rate), (MAX_RATE, self.max_rate)] {
            let Some(rate) = rate else { continue };
            out.u16(kind);
            if version >= Version::V1_4 {
                out.u16(8);
                out.u16(rate);
                out.zeros(2);
            } else {
                out.u16(16);
                out.zeros(4);
                out.u16(rate);
                out.zeros(6);
            }
        }
        out.set_length(start, place);
    }
}

/// OFPT_QUEUE_GET_CONFIG_REPLY, up to OpenFlow 1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    pub port: PortNo,
    pub queues: Vec<QueueDesc>,
}

impl QueueConfig {
    pub(crate) fn decode_port(reader: &mut Reader<'_>, version: Version) -> Result<PortNo, ErrorCode> {
        let port = PortNo::decode(reader, version)?;
        reader.skip(if version == Version::V1_0 { 2 } else { 4 })?;
        Ok(port)
    }

    pub(crate) fn encode_port(port: PortNo, out: &mut Vec<u8>, version: Version) {
        port.encode(version, out);
        out.zeros(if version == Version::V1_0 { 2 } else { 4 });
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let port = PortNo::decode(reader, version)?;
        reader.skip(if version == Version::V1_0 { 6 } else { 4 })?;
        let mut queues = Vec::new();
        while !reader.is_empty() {
            queues.push(QueueDesc::decode(reader, port, version)?);
        }
        Ok(Self { port, queues })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        self.port.encode(version, out);
        out.zeros(if version == Version::V1_0 { 6 } else { 4 });
        self.queues.iter().for_each(|queue| queue.encode(out, version));
    }
}
