//! Ports: descriptions, changes, counters.

use crate::property::{self, Property, experimenter};
use crate::wire::{Put, Reader};
use crate::{ErrorCode, PortNo, Version};

/// Bytes of a port's name, its NUL included.
const NAME_BYTES: usize = 16;
/// OFPPDPT_ETHERNET, OFPPMPT_ETHERNET, OFPPSPT_ETHERNET.
const ETHERNET: u64 = 0;

/// OFPPC_*: a port's configuration, in the bits of OpenFlow 1.0; later versions know [`PortConfig::LATER`] of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortConfig(pub u32);

impl PortConfig {
    pub const PORT_DOWN: Self = Self(1 << 0);
    pub const NO_STP: Self = Self(1 << 1);
    pub const NO_RECEIVE: Self = Self(1 << 2);
    pub const NO_RECEIVE_STP: Self = Self(1 << 3);
    pub const NO_FLOOD: Self = Self(1 << 4);
    pub const NO_FORWARD: Self = Self(1 << 5);
    pub const NO_PACKET_IN: Self = Self(1 << 6);
    const ALL: Self = Self(0x7f);
    /// Of OpenFlow 1.1 and later.
    pub const LATER: Self = Self(1 << 0 | 1 << 2 | 1 << 5 | 1 << 6);

    pub fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    fn known_in(self, version: Version) -> Self {
        Self(self.0 & if version == Version::V1_0 { Self::ALL.0 } else { Self::LATER.0 })
    }
}

/// OFPPF_*: what a link can do, in the bits of OpenFlow 1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortFeatures(pub u32);

/// Below this bit the numbers are the same in OpenFlow 1.0; above, five are moved.
const SPEED_BITS: u32 = 7;
const MOVED_BY: u32 = 4;

impl PortFeatures {
    pub const GIGABIT_FULL_DUPLEX: Self = Self(1 << 5);
    pub const TEN_GIGABIT_FULL_DUPLEX: Self = Self(1 << 6);
    pub const COPPER: Self = Self(1 << 11);
    pub const FIBER: Self = Self(1 << 12);
    pub const AUTONEGOTIATION: Self = Self(1 << 13);

    fn from_wire(bits: u32, version: Version) -> Self {
        let low = (1 << SPEED_BITS) - 1;
        if version == Version::V1_0 { Self(bits & low | (bits & 0xf80) << MOVED_BY) } else { Self(bits & 0xffff) }
    }

    fn wire(self, version: Version) -> u32 {
        let low = (1 << SPEED_BITS) - 1;
        if version == Version::V1_0 { self.0 & low | self.0 >> MOVED_BY & 0xf80 } else { self.0 }
    }
}

/// `ofp_port`, `ofp_phy_port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDesc {
    pub port: Option<PortNo>,
    pub hw_addr: [u8; 6],
    /// At most 15 bytes.
    pub name: String,
    pub config: PortConfig,
    /// OFPPS_*: bit 0 link down; in OpenFlow 1.1 and later bit 1 blocked, bit 2 live.
    pub state: u32,
    pub current: PortFeatures,
    pub advertised: PortFeatures,
    pub supported: PortFeatures,
    pub peer: PortFeatures,
    /// OpenFlow 1.0 does not say it.
    pub current_speed_kbps: u32,
    pub max_speed_kbps: u32,
}

impl PortDesc {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let port = PortNo::decode(reader, version)?;
        let mut this = Self { port: Some(port), ..Default::default() };
        let mut length = None;
        match version {
            Version::V1_0 => {}
            Version::V1_3 => reader.skip(4)?,
            _ => {
                length = Some(usize::from(reader.u16()?));
                reader.skip(2)?;
            }
        }
        this.hw_addr = reader.array()?;
        reader.skip(if version == Version::V1_0 { 0 } else { 2 })?;
        this.name = reader.text(NAME_BYTES)?;
        this.config = PortConfig(reader.u32()?).known_in(version);
        this.state = reader.u32()?;
        match length {
            None => this.decode_link(reader, version)?,
            Some(length) => {
                let rest = length.checked_sub(40).ok_or(ErrorCode::RequestBadLen)?;
                let mut properties = reader.sub(rest)?;
                while !properties.is_empty() {
                    let property = Property::decode(&mut properties)?;
                    if property.kind == ETHERNET {
                        this.decode_link(&mut property.nested()?, version)?;
                    }
                }
            }
        }
        Ok(this)
    }

    fn decode_link(&mut self, reader: &mut Reader<'_>, version: Version) -> Result<(), ErrorCode> {
        for features in [&mut self.current, &mut self.advertised, &mut self.supported, &mut self.peer] {
            *features = PortFeatures::from_wire(reader.u32()?, version);
        }
        if version > Version::V1_0 {
            self.current_speed_kbps = reader.u32()?;
            self.max_speed_kbps = reader.u32()?;
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        let start = out.len();
        self.port.unwrap_or(PortNo::NONE).encode(version, out);
        out.zeros(if version == Version::V1_0 { 0 } else { 4 });
        out.put(&self.hw_addr);
        out.zeros(if version == Version::V1_0 { 0 } else { 2 });
        out.text(&self.name, NAME_BYTES);
        out.u32(self.config.known_in(version).0);
        out.u32(self.state);
        if version < Version::V1_4 {
            self.encode_link(out, version);
        } else {
            property::put_nested(out, ETHERNET, |out| self.encode_link(out, version));
            out.set_length(start, 4);
        }
    }

    fn encode_link(&self, out: &mut Vec<u8>, version: Version) {
        for features in [self.current, self.advertised, self.supported, self.peer] {
            out.u32(features.wire(version));
        }
        if version > Version::V1_0 {
            out.u32(self.current_speed_kbps);
            out.u32(self.max_speed_kbps);
        }
    }
}

/// OFPPR_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortReason {
    Add,
    Delete,
    Modify,
}

/// OFPT_PORT_STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    pub reason: PortReason,
    pub desc: PortDesc,
}

impl PortStatus {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let reasons = [PortReason::Add, PortReason::Delete, PortReason::Modify];
        let reason = *reasons.get(usize::from(reader.u8()?)).ok_or(ErrorCode::NxRequestBadReason)?;
        reader.skip(7)?;
        Ok(Self { reason, desc: PortDesc::decode(reader, version)? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        out.u8(self.reason as u8);
        out.zeros(7);
        self.desc.encode(out, version);
    }
}

/// OFPT_PORT_MOD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMod {
    pub port: PortNo,
    /// Must be the port's, against mistakes.
    pub hw_addr: [u8; 6],
    pub config: PortConfig,
    /// What of the configuration changes.
    pub mask: PortConfig,
    /// 0: no change.
    pub advertise: PortFeatures,
}

impl PortMod {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let port = PortNo::decode(reader, version)?;
        reader.skip(if version == Version::V1_0 { 0 } else { 4 })?;
        let hw_addr = reader.array()?;
        reader.skip(if version == Version::V1_0 { 0 } else { 2 })?;
        let config = PortConfig(reader.u32()?).known_in(version);
        let mask = PortConfig(reader.u32()?).known_in(version);
        let mut advertise = 0;
        if version < Version::V1_4 {
            advertise = reader.u32()?;
        } else {
            while !reader.is_empty() {
                let property = Property::decode(reader)?;
                match property.kind {
                    ETHERNET => advertise = property.u32()?,
                    _ => return Err(property.unknown()),
                }
            }
        }
        let advertise = PortFeatures::from_wire(advertise, version);
        Ok(Self { port, hw_addr, config: PortConfig(config.0 & mask.0), mask, advertise })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        self.port.encode(version, out);
        out.zeros(if version == Version::V1_0 { 0 } else { 4 });
        out.put(&self.hw_addr);
        out.zeros(if version == Version::V1_0 { 0 } else { 2 });
        out.u32(self.config.known_in(version).0);
        out.u32(self.mask.known_in(version).0);
        let advertise = self.advertise.wire(version);
        if version < Version::V1_4 {
            out.u32(advertise);
            out.zeros(4);
        } else if advertise != 0 {
            property::put_u32(out, ETHERNET, advertise);
        }
    }
}

/// Counters of a port, in this order on the wire; all ones: not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortCounters {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_frame_errors: u64,
    pub rx_overruns: u64,
    pub rx_crc_errors: u64,
    pub collisions: u64,
}

impl Default for PortCounters {
    fn default() -> Self {
        Self::from_array([u64::MAX; COUNTERS])
    }
}

const COUNTERS: usize = 12;
/// Of these, the last are an Ethernet property since OpenFlow 1.4.
const COMMON_COUNTERS: usize = 8;

impl PortCounters {
    fn from_array(counters: [u64; COUNTERS]) -> Self {
        let [rx_packets, tx_packets, rx_bytes, tx_bytes, rx_dropped, tx_dropped, rest @ ..] = counters;
        let [rx_errors, tx_errors, rx_frame_errors, rx_overruns, rx_crc_errors, collisions] = rest;
        Self {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            rx_dropped,
            tx_dropped,
            rx_errors,
            tx_errors,
            rx_frame_errors,
            rx_overruns,
            rx_crc_errors,
            collisions,
        }
    }

    fn array(&self) -> [u64; COUNTERS] {
        [
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_dropped,
            self.tx_dropped,
            self.rx_errors,
            self.tx_errors,
            self.rx_frame_errors,
            self.rx_overruns,
            self.rx_crc_errors,
            self.collisions,
        ]
    }
}

/// Intel's counters by size of packet (RFC 2819), which Open vSwitch sends since OpenFlow 1.4.
const RFC_2819: u64 = experimenter(0x0000_aa01, 1);
/// Intel's counters with names of their own.
const CUSTOM: u64 = experimenter(0x0000_aa01, 2);
/// 21 counters.
const RFC_2819_COUNTERS: usize = 21;

/// A port's statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStats {
    pub port: PortNo,
    pub counters: PortCounters,
    /// Not in OpenFlow 1.0.
    pub duration_s: u32,
    pub duration_ns: u32,
    /// Counters of RFC 2819 in the order of Intel's extension; since OpenFlow 1.4.
    pub rfc2819: Option<[u64; RFC_2819_COUNTERS]>,
    /// Counters with names; since OpenFlow 1.4.
    pub custom: Vec<(String, u64)>,
}

impl PortStats {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let mut rest = None;
        if version >= Version::V1_4 {
            let length = usize::from(reader.u16()?);
            rest = Some(length.checked_sub(80).ok_or(ErrorCode::RequestBadLen)?);
            reader.skip(2)?;
        }
        let port = PortNo::decode(reader, version)?;
        let mut duration = (u32::MAX, u32::MAX);
        match version {
            Version::V1_0 => reader.skip(6)?,
            Version::V1_3 => reader.skip(4)?,
            _ => duration = (reader.u32()?, reader.u32()?),
        }
        let mut counters = [u64::MAX; COUNTERS];
        let count = if rest.is_some() { COMMON_COUNTERS } else { COUNTERS };
        for counter in counters.iter_mut().take(count) {
            *counter = reader.u64()?;
        }
        if version == Version::V1_3 {
            duration = (reader.u32()?, reader.u32()?);
        }
        let mut this = Self {
            port,
            counters: PortCounters::from_array(counters),
            duration_s: duration.0,
            duration_ns: duration.1,
            rfc2819: None,
            custom: Vec::new(),
        };
        let mut properties = reader.sub(rest.unwrap_or(0))?;
        while !properties.is_empty() {
            let property = Property::decode(&mut properties)?;
            match property.kind {
                ETHERNET => {
                    let mut content = property.nested()?;
                    for counter in counters.iter_mut().skip(COMMON_COUNTERS) {
                        *counter = content.u64()?;
                    }
                    this.counters = PortCounters::from_array(counters);
                }
                RFC_2819 => {
                    let mut content = property.nested()?;
                    let mut counters = [0; RFC_2819_COUNTERS];
                    for counter in &mut counters {
                        *counter = content.u64()?;
                    }
                    this.rfc2819 = Some(counters);
                }
                CUSTOM => {
                    let mut content = Reader::new(property.content, ErrorCode::PropertyBadLen);
                    content.skip(2)?;
                    let count = content.u16()?;
                    for _ in 0..count {
                        let length = content.u8()?;
                        let name = content.text(length.into())?;
                        this.custom.push((name, content.u64()?));
                    }
                }
                _ => {}
            }
        }
        Ok(this)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        let start = out.len();
        let with_properties = version >= Version::V1_4;
        out.zeros(if with_properties { 4 } else { 0 });
        self.port.encode(version, out);
        match version {
            Version::V1_0 => out.zeros(6),
            Version::V1_3 => out.zeros(4),
            _ => {
                out.u32(self.duration_s);
                out.u32(self.duration_ns);
            }
        }
        let counters = self.counters.array();
        let (common, ethernet) = counters.split_at(COMMON_COUNTERS);
        common.iter().for_each(|counter| out.u64(*counter));
        if !with_properties {
            ethernet.iter().for_each(|counter| out.u64(*counter));
            if version == Version::V1_3 {
                out.u32(self.duration_s);
                out.u32(self.duration_ns);
            }
            return;
        }
        property::put_nested(out, ETHERNET, |out| ethernet.iter().for_each(|counter| out.u64(*counter)));
        if let Some(counters) = &self.rfc2819 {
            property::put_nested(out, RFC_2819, |out| counters.iter().for_each(|counter| out.u64(*counter)));
        }
        if !self.custom.is_empty() {
            property::put(out, CUSTOM, |out| {
                out.zeros(2);
                out.u16(self.custom.len() as u16);
                for (name, value) in &self.custom {
                    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
                    out.u8(length);
                    out.put(name.as_bytes().get(..length.into()).unwrap_or_default());
                    out.u64(*value);
                }
            });
        }
        out.set_length(start, 0);
    }
}

/// OFPC_*: what a switch can do, in bits of which each version knows some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u32);

impl Capabilities {
    pub const FLOW_STATS: Self = Self(1 << 0);
    pub const TABLE_STATS: Self = Self(1 << 1);
    pub const PORT_STATS: Self = Self(1 << 2);
    /// Not in OpenFlow 1.0, where the bit means spanning tree.
    pub const GROUP_STATS: Self = Self(1 << 3);
    pub const IP_REASSEMBLY: Self = Self(1 << 5);
    pub const QUEUE_STATS: Self = Self(1 << 6);
    /// OpenFlow 1.0 only.
    pub const ARP_MATCH_IP: Self = Self(1 << 7);
    pub const PORT_BLOCKED: Self = Self(1 << 8);
    /// Since OpenFlow 1.4.
    pub const BUNDLES: Self = Self(1 << 9);
    pub const FLOW_MONITORING: Self = Self(1 << 10);

    fn known_in(self, version: Version) -> u32 {
        let known = match version {
            Version::V1_0 => 0xe7,
            Version::V1_3 => 0x16f,
            Version::V1_4 | Version::V1_5 => 0x76f,
        };
        self.0 & known
    }
}

/// OFPT_FEATURES_REPLY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    pub datapath_id: u64,
    pub buffers: u32,
    pub tables: u8,
    pub auxiliary_id: u8,
    pub capabilities: Capabilities,
    /// OpenFlow 1.0: a bit for each kind of action.
    pub actions: u32,
    /// OpenFlow 1.0: all that fit; later versions ask for them.
    pub ports: Vec<PortDesc>,
}

impl Features {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let (datapath_id, buffers) = (reader.u64()?, reader.u32()?);
        let (tables, auxiliary_id) = (reader.u8()?, reader.u8()?);
        reader.skip(2)?;
        let (capabilities, actions) = (Capabilities(reader.u32()?), reader.u32()?);
        let mut ports = Vec::new();
        while !reader.is_empty() {
            ports.push(PortDesc::decode(reader, version)?);
        }
        Ok(Self { datapath_id, buffers, tables, auxiliary_id, capabilities, actions, ports })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        let first = version == Version::V1_0;
        out.u64(self.datapath_id);
        out.u32(self.buffers);
        out.u8(self.tables);
        out.u8(if first { 0 } else { self.auxiliary_id });
        out.zeros(2);
        out.u32(self.capabilities.known_in(version));
        out.u32(if first { self.actions } else { 0 });
        if first {
            // What does not fit is left out, and asked for with OFPST_PORT_DESC.
            let fitting = (crate::header::MESSAGE_BYTES_MAX - out.len().min(crate::header::MESSAGE_BYTES_MAX)) / 48;
            self.ports.iter().take(fitting).for_each(|port| port.encode(out, version));
        }
    }
}
