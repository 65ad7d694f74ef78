//! The fields, by the names of `ovs-fields(7)`.

/// Registers of 32 bits: `reg0` to `reg15`.
pub const REGISTERS: u8 = 16;
/// Tunnel options that can be mapped: `tun_metadata0` to `tun_metadata63`.
pub const TUNNEL_OPTIONS: u8 = 64;

/// One field. Values are numbers in host order, right-aligned in a `u128`; addresses are the number their bytes are in network order.
///
/// Each piece of state is one field: `xreg` and `xxreg` are views of registers, `vlan_vid` and `vlan_pcp` of [`Field::VlanTci`], and
/// `tcp_src`, `udp_src`, `sctp_src` are [`Field::TpSrc`] under a match on [`Field::IpProto`]; codecs translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    // Where the packet is, and what the pipeline remembers of it.
    InPort,
    ActsetOutput,
    PacketType,
    Metadata,
    /// Below [`REGISTERS`].
    Reg(u8),
    PktMark,
    SkbPriority,
    DpHash,
    RecircId,
    ConjId,
    // The tunnel it came by, or will leave by.
    TunId,
    TunSrc,
    TunDst,
    TunIpv6Src,
    TunIpv6Dst,
    TunFlags,
    TunGbpId,
    TunGbpFlags,
    /// Below [`TUNNEL_OPTIONS`]; of at most 16 bytes here.
    TunMetadata(u8),
    // What connection tracking knows.
    CtState,
    CtZone,
    CtMark,
    CtLabel,
    CtNwProto,
    CtNwSrc,
    CtNwDst,
    CtIpv6Src,
    CtIpv6Dst,
    CtTpSrc,
    CtTpDst,
    // Ethernet.
    EthSrc,
    EthDst,
    EthType,
    /// The outermost tag with CFI (0x1000) set if there is one, else 0.
    VlanTci,
    MplsLabel,
    MplsTc,
    MplsBos,
    MplsTtl,
    // IP.
    Ipv4Src,
    Ipv4Dst,
    Ipv6Src,
    Ipv6Dst,
    Ipv6Label,
    /// Also the low byte of ARP's operation in OpenFlow 1.0; here only IP's.
    IpProto,
    IpDscp,
    IpEcn,
    IpTtl,
    /// Bit 0: a fragment; bit 1: not the first one.
    IpFrag,
    // ARP.
    ArpOp,
    ArpSpa,
    ArpTpa,
    ArpSha,
    ArpTha,
    // Transport.
    /// Source port of TCP, UDP, SCTP.
    TpSrc,
    TpDst,
    TcpFlags,
    /// Of ICMP or ICMPv6, by [`Field::IpProto`] and [`Field::EthType`].
    IcmpType,
    IcmpCode,
    NdTarget,
    NdSll,
    NdTll,
    NdReserved,
    NdOptionsType,
}

impl Field {
    /// Significant bits of a value.
    pub fn bits(self) -> u32 {
        match self {
            Self::MplsBos => 1,
            Self::IpEcn | Self::IpFrag => 2,
            Self::MplsTc => 3,
            Self::IpDscp => 6,
            Self::IpProto
            | Self::IpTtl
            | Self::MplsTtl
            | Self::CtNwProto
            | Self::IcmpType
            | Self::IcmpCode
            | Self::TunGbpFlags
            | Self::NdOptionsType => 8,
            Self::TcpFlags => 12,
            Self::EthType
            | Self::VlanTci
            | Self::ArpOp
            | Self::TpSrc
            | Self::TpDst
            | Self::CtZone
            | Self::CtTpSrc
            | Self::CtTpDst
            | Self::TunFlags
            | Self::TunGbpId => 16,
            Self::MplsLabel | Self::Ipv6Label => 20,
            Self::InPort
            | Self::ActsetOutput
            | Self::PacketType
            | Self::Reg(_)
            | Self::PktMark
            | Self::SkbPriority
            | Self::DpHash
            | Self::RecircId
            | Self::ConjId
            | Self::TunSrc
            | Self::TunDst
            | Self::CtState
            | Self::CtMark
            | Self::CtNwSrc
            | Self::CtNwDst
            | Self::Ipv4Src
            | Self::Ipv4Dst
            | Self::ArpSpa
            | Self::ArpTpa
            | Self::NdReserved => 32,
            Self::EthSrc | Self::EthDst | Self::ArpSha | Self::ArpTha | Self::NdSll | Self::NdTll => 48,
            Self::Metadata | Self::TunId => 64,
            Self::TunIpv6Src
            | Self::TunIpv6Dst
            | Self::TunMetadata(_)
            | Self::CtLabel
            | Self::CtIpv6Src
            | Self::CtIpv6Dst
            | Self::Ipv6Src
            | Self::Ipv6Dst
            | Self::NdTarget => 128,
        }
    }

    /// All bits of a value.
    pub fn full_mask(self) -> u128 {
        u128::MAX >> (128 - self.bits())
    }
}
