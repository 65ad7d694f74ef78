//! The border between a switch's pipeline, which knows tables, bridges and controllers, and its data path, which knows packets, caches
//! and devices.
//!
//! The data path asks a [`Pipeline`] what becomes of a packet, and gets a [`Translation`]: operations, and the bits of the packet's
//! key that they depend on. All packets that agree in these bits are treated alike until the pipeline's [`Pipeline::epoch`] changes.
#![forbid(unsafe_code)]

mod sample;
mod show;

pub use sample::{SAMPLED_FIELDS, Sample, Sampler};
pub use show::ShownOps;

use hive_conntrack::Request;
use hive_flow::{Key, Mask, Match};
use std::net::IpAddr;
use std::sync::Arc;

/// A port of the data path: one number over all bridges, never used again for another port in the daemon's life.
/// [`Field::InPort`](hive_flow::Field::InPort) of a key that the data path makes holds this number; the pipeline knows its OpenFlow port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u32);

/// State of a pipeline that waits for the rest of a packet's way, as [`Field::RecircId`](hive_flow::Field::RecircId) has it; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecircId(pub u32);

/// A bridge; never used again for another one in the daemon's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId(pub u32);

/// A meter of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId {
    pub bridge: BridgeId,
    pub meter: u32,
}

/// The tunnel that a packet leaves by, beside what the tunnel's port fixes (its UDP port, whether there is a checksum).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// VNI, or whatever the port makes of it.
    pub id: u64,
    pub remote: IpAddr,
    /// None: the host's choice.
    pub local: Option<IpAddr>,
    pub tos: u8,
    pub ttl: u8,
    /// Do not fragment.
    pub df: bool,
    /// Geneve options as on the wire, at most 252 bytes.
    pub options: Arc<[u8]>,
}

/// Why a packet goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The tables say so, or nothing else.
    Pipeline,
    /// More resubmits, or deeper, or more recursion of groups than is allowed.
    TooComplex,
    /// The frozen state is gone.
    RecirculationUnknown,
    /// A forwarding loop over patch ports.
    Loop,
    /// The port does not take or give packets: down, blocked by its VLAN, a mirror's output.
    PortBlocked,
    TtlExpired,
}

/// A packet for the controllers of a bridge. Packets are given whole: who takes them cuts them.
#[derive(Clone, Debug)]
pub struct Punt {
    pub bridge: BridgeId,
    /// Of the pipeline: what it needs to build the message (reason, table, cookie, userdata, continuation).
    pub what: u64,
    /// Registers, metadata, tunnel, connection, input port (of OpenFlow): what the packet itself does not hold.
    pub metadata: Match,
    pub meter: Option<MeterId>,
}

/// What a hash is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashOf {
    /// Addresses, protocol, ports; both directions of a connection alike.
    SymmetricL4,
    /// The same, not symmetric, as `dp_hash` of Open vSwitch.
    L4,
}

/// One thing done to a packet. Operations are carried out in order; each sees what those before have made of the packet.
#[derive(Clone, Debug)]
pub enum Op {
    /// A copy of the packet as it is now leaves by the port. Never the port it came in by, unless the pipeline means it.
    Output(PortId),
    /// Bits of a header field, or of `PktMark` and `SkbPriority`, become those of `value` where `mask` has ones. Checksums follow.
    Set {
        field: hive_flow::Field,
        value: u128,
        mask: u128,
    },
    PushVlan {
        tpid: u16,
        /// With CFI (0x1000) set.
        tci: u16,
    },
    PopVlan,
    PushMpls {
        ether_type: u16,
        /// The entry as on the wire.
        lse: u32,
    },
    PopMpls {
        /// Of what follows.
        ether_type: u16,
    },
    /// For outputs behind it to tunnel ports, and to the local services.
    SetTunnel(Arc<Tunnel>),
    /// For the next output only.
    Truncate {
        bytes: u32,
    },
    /// Connection tracking; the packet's `ct_` fields and, with NAT, its headers change.
    Conntrack(Arc<Request>),
    /// The `ct_` fields become 0.
    CtClear,
    /// A hash of the packet as it is now into `DpHash`.
    Hash {
        of: HashOf,
        basis: u32,
    },
    /// A copy of the packet goes through the pipeline again, with its key as it is now and this state. What comes behind goes on with the
    /// packet as it was.
    Recirculate(RecircId),
    /// The packet ends here (for this list and those around it) if the meter says so.
    Meter(MeterId),
    Punt(Arc<Punt>),
    /// The packet as it is now is counted with its flow.
    Sample(Arc<Sample>),
    /// On a copy: what comes behind sees nothing of it.
    Clone(Arc<[Op]>),
    /// By the frame's length, the Ethernet header included.
    IfLarger {
        bytes: u16,
        then: Arc<[Op]>,
        otherwise: Arc<[Op]>,
    },
}

/// What becomes of packets.
#[derive(Clone, Debug)]
pub struct Translation<C> {
    /// Bits of the key that this depends on. Always all of `InPort` and `RecircId`.
    pub mask: Mask,
    pub ops: Arc<[Op]>,
    /// To be credited with the packets that are treated so.
    pub credits: Arc<C>,
    /// Without operations: why.
    pub drop: Option<DropReason>,
    /// Every packet is to be asked for again: nothing may be kept (its translation had effects that depend on each packet).
    pub uncached: bool,
    /// Of the pipeline when it was made; see [`Pipeline::epoch`].
    pub epoch: u64,
}

/// Packets that were treated by one translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
    /// All TCP flags seen, or-ed.
    pub tcp_flags: u16,
}

/// What the data path asks. Called by every worker, at the same time.
pub trait Pipeline: Send + Sync + 'static {
    /// Whom to credit; opaque to the data path.
    type Credits: Send + Sync + 'static;

    /// Changes whenever a translation made earlier might come out otherwise now: one load of memory, asked for each burst. A
    /// translation of another epoch must be made again (and may come out the same) before it is used.
    fn epoch(&self) -> u64;

    /// What becomes of packets like this one. `key` as the parser made it, with the data path's `InPort` and all metadata it keeps; on
    /// recirculation with `RecircId` and `ct_` fields. `effects`: a packet of traffic is at hand, and what its translation changes
    /// (addresses that are learned, flows that `learn` adds) is to be changed; it is credited with [`Pipeline::credit`] as others are.
    fn translate(&self, key: &Key, effects: bool, now_ms: u64) -> Translation<Self::Credits>;

    /// Counts traffic, and refreshes what depends on being used: idle timeouts, learned addresses.
    fn credit(&self, credits: &Self::Credits, traffic: Traffic, now_ms: u64);

    /// Takes a packet for the controllers; must not wait. The packet's bytes are the whole frame.
    fn punt(&self, punt: &Punt, frame: &[u8], now_ms: u64);
}
