//! Every field by its name on the wire: headers, widths, prerequisites, and where its bits are in [`hive_flow::Field`]s.

use crate::Version;
use hive_flow::Field;

/// What a match must ask for before a field may be named (`ovs-fields(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prerequisite {
    None,
    Ethernet,
    Vlan,
    Arp,
    Mpls,
    Ipv4,
    Ipv6,
    Ip,
    Tcp,
    Udp,
    Sctp,
    Icmpv4,
    Icmpv6,
    Nd,
    NdSolicit,
    NdAdvert,
    Ct,
}

/// A field's header: experimenter (or 0), class, number, and the OpenFlow version that brought it (0: Nicira's own).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub vendor: u32,
    pub class: u16,
    pub number: u8,
    since: u8,
}

const fn of(number: u8) -> Head {
    Head { vendor: 0, class: 0x0000, number, since: 0 }
}
const fn nx(number: u8) -> Head {
    Head { vendor: 0, class: 0x0001, number, since: 0 }
}
const fn eric(number: u8) -> Head {
    Head { vendor: 0, class: 0x1000, number, since: 0 }
}
/// Since OpenFlow 1.2, whose wire version is 3.
const fn oxm(number: u8) -> Head {
    Head { vendor: 0, class: 0x8000, number, since: 3 }
}
const fn oxm_since(number: u8, version: Version) -> Head {
    Head { vendor: 0, class: 0x8000, number, since: version as u8 }
}
const fn register(number: u8) -> Head {
    Head { vendor: 0, class: 0x8001, number, since: 4 }
}
const fn onf(number: u8) -> Head {
    Head { vendor: crate::error::ONF, class: EXPERIMENTER_CLASS, number, since: 4 }
}

/// Read, but never written by Open vSwitch in the versions spoken here.
const fn nx_experimenter(number: u8) -> Head {
    Head { vendor: crate::error::NICIRA, class: EXPERIMENTER_CLASS, number, since: 7 }
}

/// OFPXMC_EXPERIMENTER: the experimenter's id follows the header.
pub(crate) const EXPERIMENTER_CLASS: u16 = 0xffff;

#[derive(Debug)]
pub(crate) struct Spec {
    pub name: &'static str,
    /// Width of a value on the wire.
    pub bytes: u8,
    /// Bits that actions may address.
    pub bits: u8,
    /// Arbitrary masks are allowed; else only whole values.
    pub maskable: bool,
    pub prerequisite: Prerequisite,
    pub writable: bool,
    /// Nicira's first. Those of indexed fields are of index 0.
    pub heads: &'static [Head],
}

macro_rules! fields {
    ($($variant:ident $(($count:literal))? $name:literal $bytes:literal $bits:literal $mask:ident $prerequisite:ident $access:ident
        [$($head:expr),+];)*) => {
        /// A field as matches and actions on the wire name it: a view of one or more [`Field`]s.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum OxmField {
            $($variant $((fields!(@index $count)))?,)*
        }

        impl OxmField {
            fn spec_and_index(self) -> (&'static Spec, u8) {
                match self {
                    $(Self::$variant $((fields!(@binding index $count)))? => {
                        static SPEC: Spec = Spec {
                            name: $name,
                            bytes: $bytes,
                            bits: $bits,
                            maskable: fields!(@flag $mask),
                            prerequisite: Prerequisite::$prerequisite,
                            writable: fields!(@flag $access),
                            heads: &[$($head),+],
                        };
                        (&SPEC, fields!(@value index $($count)?))
                    })*
                }
            }

            /// All fields, indexed ones with every index.
            pub fn all() -> impl Iterator<Item = Self> {
                [$(fields!(@all $variant $($count)?)),*].concat().into_iter()
            }
        }
    };
    (@index $count:literal) => { u8 };
    (@binding $index:ident $count:literal) => { $index };
    (@value $index:ident) => { 0 };
    (@value $index:ident $count:literal) => { $index };
    (@flag masked) => { true };
    (@flag whole) => { false };
    (@flag rw) => { true };
    (@flag ro) => { false };
    (@all $variant:ident) => { vec![Self::$variant] };
    (@all $variant:ident $count:literal) => { (0..$count).map(Self::$variant).collect() };
}

use Version::V1_3;
use Version::V1_5;

// Name, bytes, bits, mask, prerequisite, access, headers: as ovs-fields(7) has them.
#[rustfmt::skip]
fields! {
    PacketType "packet_type" 4 32 whole None ro [oxm_since(44, V1_5)];
    DpHash "dp_hash" 4 32 masked None ro [nx(35), nx_experimenter(0)];
    RecircId "recirc_id" 4 32 whole None ro [nx(36)];
    ConjId "conj_id" 4 32 whole None ro [nx(37)];
    InPort "in_port" 2 16 whole None rw [of(0)];
    InPortOxm "in_port_oxm" 4 32 whole None rw [oxm(0)];
    ActsetOutput "actset_output" 4 32 whole None ro [onf(43), oxm_since(43, V1_5)];
    EthSrc "eth_src" 6 48 masked Ethernet rw [of(2), oxm(4)];
    EthDst "eth_dst" 6 48 masked Ethernet rw [of(1), oxm(3)];
    EthType "eth_type" 2 16 whole Ethernet ro [of(3), oxm(5)];
    VlanTci "vlan_tci" 2 16 masked Ethernet rw [of(4)];
    VlanVid "vlan_vid" 2 12 masked Ethernet rw [oxm(6)];
    VlanPcp "vlan_pcp" 1 3 whole Vlan rw [oxm(7)];
    MplsTc "mpls_tc" 1 3 whole Mpls rw [oxm(35)];
    MplsBos "mpls_bos" 1 1 whole Mpls ro [oxm_since(36, V1_3)];
    MplsTtl "mpls_ttl" 1 8 whole Mpls rw [nx(30)];
    MplsLabel "mpls_label" 4 20 whole Mpls rw [oxm(34)];
    Ipv4Src "ip_src" 4 32 masked Ipv4 rw [of(7), oxm(11)];
    Ipv4Dst "ip_dst" 4 32 masked Ipv4 rw [of(8), oxm(12)];
    Ipv6Src "ipv6_src" 16 128 masked Ipv6 rw [nx(19), oxm(26)];
    Ipv6Dst "ipv6_dst" 16 128 masked Ipv6 rw [nx(20), oxm(27)];
    IpFrag "ip_frag" 1 2 masked Ip ro [nx(26)];
    IpTos "nw_tos" 1 8 whole Ip rw [of(5)];
    IpDscp "ip_dscp" 1 6 whole Ip rw [oxm(8)];
    IpEcn "nw_ecn" 1 2 whole Ip rw [nx(28), oxm(9)];
    IpTtl "nw_ttl" 1 8 whole Ip rw [nx(29)];
    Ipv6Label "ipv6_label" 4 20 masked Ipv6 rw [nx(27), oxm(28)];
    IpProto "nw_proto" 1 8 whole Ip ro [of(6), oxm(10)];
    TcpSrc "tcp_src" 2 16 masked Tcp rw [of(9), oxm(13)];
    TcpDst "tcp_dst" 2 16 masked Tcp rw [of(10), oxm(14)];
    TcpFlags "tcp_flags" 2 12 masked Tcp ro [nx(34), onf(42), oxm_since(42, V1_5)];
    UdpSrc "udp_src" 2 16 masked Udp rw [of(11), oxm(15)];
    UdpDst "udp_dst" 2 16 masked Udp rw [of(12), oxm(16)];
    SctpSrc "sctp_src" 2 16 masked Sctp rw [oxm(17)];
    SctpDst "sctp_dst" 2 16 masked Sctp rw [oxm(18)];
    Icmpv4Type "icmp_type" 1 8 whole Icmpv4 rw [of(13), oxm(19)];
    Icmpv4Code "icmp_code" 1 8 whole Icmpv4 rw [of(14), oxm(20)];
    Icmpv6Type "icmpv6_type" 1 8 whole Icmpv6 rw [nx(21), oxm(29)];
    Icmpv6Code "icmpv6_code" 1 8 whole Icmpv6 rw [nx(22), oxm(30)];
    NdReserved "nd_reserved" 4 32 whole Nd rw [eric(1)];
    NdTarget "nd_target" 16 128 masked Nd rw [nx(23), oxm(31)];
    NdOptionsType "nd_options_type" 1 8 whole Nd rw [eric(2)];
    NdSll "nd_sll" 6 48 masked NdSolicit rw [nx(24), oxm(32)];
    NdTll "nd_tll" 6 48 masked NdAdvert rw [nx(25), oxm(33)];
    ArpOp "arp_op" 2 16 whole Arp rw [of(15), oxm(21)];
    ArpSpa "arp_spa" 4 32 masked Arp rw [of(16), oxm(22)];
    ArpTpa "arp_tpa" 4 32 masked Arp rw [of(17), oxm(23)];
    ArpSha "arp_sha" 6 48 masked Arp rw [nx(17), oxm(24)];
    ArpTha "arp_tha" 6 48 masked Arp rw [nx(18), oxm(25)];
    TunId "tun_id" 8 64 masked None rw [nx(16), oxm_since(38, V1_3)];
    TunFlags "tun_flags" 2 1 masked None rw [nx(104)];
    TunSrc "tun_src" 4 32 masked None rw [nx(31)];
    TunDst "tun_dst" 4 32 masked None rw [nx(32)];
    TunIpv6Src "tun_ipv6_src" 16 128 masked None rw [nx(109)];
    TunIpv6Dst "tun_ipv6_dst" 16 128 masked None rw [nx(110)];
    TunGbpId "tun_gbp_id" 2 16 masked None rw [nx(38)];
    TunGbpFlags "tun_gbp_flags" 1 8 masked None rw [nx(39)];
    TunMetadata(64) "tun_metadata" 16 128 masked None rw [nx(40)];
    Reg(16) "reg" 4 32 masked None rw [nx(0)];
    XReg(8) "xreg" 8 64 masked None rw [register(0)];
    XxReg(4) "xxreg" 16 128 masked None rw [nx(111)];
    PktMark "pkt_mark" 4 32 masked None rw [nx(33)];
    CtState "ct_state" 4 32 masked None ro [nx(105)];
    CtZone "ct_zone" 2 16 whole None ro [nx(106)];
    CtMark "ct_mark" 4 32 masked None rw [nx(107)];
    CtLabel "ct_label" 16 128 masked None rw [nx(108)];
    CtNwSrc "ct_nw_src" 4 32 masked Ct ro [nx(120)];
    CtIpv6Src "ct_ipv6_src" 16 128 masked Ct ro [nx(122)];
    CtNwDst "ct_nw_dst" 4 32 masked Ct ro [nx(121)];
    CtIpv6Dst "ct_ipv6_dst" 16 128 masked Ct ro [nx(123)];
    CtNwProto "ct_nw_proto" 1 8 whole Ct ro [nx(119)];
    CtTpSrc "ct_tp_src" 2 16 masked Ct ro [nx(124)];
    CtTpDst "ct_tp_dst" 2 16 masked Ct ro [nx(125)];
    Metadata "metadata" 8 64 masked None rw [oxm(2)];
}

/// Some bits of a field's view, and where they are in the switch's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub field: Field,
    /// Lowest bit within the view.
    pub view_offset: u32,
    /// Lowest bit within `field`.
    pub offset: u32,
    pub bits: u32,
}

impl OxmField {
    pub(crate) fn spec(self) -> &'static Spec {
        self.spec_and_index().0
    }

    /// The name in `ovs-fields(7)`; of indexed ones without the index.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Bits that actions may address.
    pub fn bits(self) -> u32 {
        self.spec().bits.into()
    }

    /// Whether any mask may be given; else only a whole value.
    pub fn is_maskable(self) -> bool {
        self.spec().maskable
    }

    pub fn is_writable(self) -> bool {
        self.spec().writable
    }

    /// The header to write in `version`, or in Nicira's own messages and actions if there is none.
    pub(crate) fn head(self, version: Option<Version>) -> Head {
        let (spec, index) = self.spec_and_index();
        let version = version.map_or(0, Version::wire);
        let first = spec.heads.first().copied().unwrap_or(nx(0));
        let best = spec.heads.iter().copied().rfind(|head| head.since <= version).unwrap_or(first);
        Head { number: best.number + index, ..best }
    }

    /// The field with this header, whatever the version.
    pub(crate) fn by_head(vendor: u32, class: u16, number: u8) -> Option<Self> {
        lookup::find(vendor, class, number)
    }

    /// Bits that a value may have.
    pub(crate) fn valid_bits(self) -> u128 {
        match self {
            Self::VlanVid => 0x1fff,
            Self::ArpOp | Self::CtState => 0xff,
            Self::IpTos => 0xfc,
            _ => u128::MAX >> (128 - self.bits()),
        }
    }

    /// Where the bits of this view are, most significant part first. `in_port_oxm` and `actset_output` are numbers that
    /// [`crate::PortNo`] converts, not bits of the state; their part is the number's low 16 bits.
    pub fn parts(self) -> impl Iterator<Item = Part> {
        let registers = |first: u8, count: u8| {
            (0..count).map(move |index| Part {
                field: Field::Reg(first + index),
                view_offset: 32 * u32::from(count - 1 - index),
                offset: 0,
                bits: 32,
            })
        };
        let (first, count) = match self {
            Self::Reg(index) => (index, 1),
            Self::XReg(index) => (2 * index, 2),
            Self::XxReg(index) => (4 * index, 4),
            _ => (0, 0),
        };
        let single =
            self.single_part().map(|(field, view_offset, offset, bits)| Part { field, view_offset, offset, bits });
        registers(first, count).chain(single)
    }

    fn single_part(self) -> Option<(Field, u32, u32, u32)> {
        let field = match self {
            Self::VlanVid => return Some((Field::VlanTci, 0, 0, 13)),
            Self::VlanPcp => return Some((Field::VlanTci, 0, 13, 3)),
            Self::IpTos => return Some((Field::IpDscp, 2, 0, 6)),
            Self::InPort | Self::InPortOxm => return Some((Field::InPort, 0, 0, 16)),
            Self::ActsetOutput => return Some((Field::ActsetOutput, 0, 0, 16)),
            Self::Reg(_) | Self::XReg(_) | Self::XxReg(_) => return None,
            Self::PacketType => Field::PacketType,
            Self::DpHash => Field::DpHash,
            Self::RecircId => Field::RecircId,
            Self::ConjId => Field::ConjId,
            Self::EthSrc => Field::EthSrc,
            Self::EthDst => Field::EthDst,
            Self::EthType => Field::EthType,
            Self::VlanTci => Field::VlanTci,
            Self::MplsTc => Field::MplsTc,
            Self::MplsBos => Field::MplsBos,
            Self::MplsTtl => Field::MplsTtl,
            Self::MplsLabel => Field::MplsLabel,
            Self::Ipv4Src => Field::Ipv4Src,
            Self::Ipv4Dst => Field::Ipv4Dst,
            Self::Ipv6Src => Field::Ipv6Src,
            Self::Ipv6Dst => Field::Ipv6Dst,
            Self::IpFrag => Field::IpFrag,
            Self::IpDscp => Field::IpDscp,
            Self::IpEcn => Field::IpEcn,
            Self::IpTtl => Field::IpTtl,
            Self::Ipv6Label => Field::Ipv6Label,
            Self::IpProto => Field::IpProto,
            Self::TcpSrc | Self::UdpSrc | Self::SctpSrc => Field::TpSrc,
            Self::TcpDst | Self::UdpDst | Self::SctpDst => Field::TpDst,
            Self::TcpFlags => Field::TcpFlags,
            Self::Icmpv4Type | Self::Icmpv6Type => Field::IcmpType,
            Self::Icmpv4Code | Self::Icmpv6Code => Field::IcmpCode,
            Self::NdReserved => Field::NdReserved,
            Self::NdTarget => Field::NdTarget,
            Self::NdOptionsType => Field::NdOptionsType,
            Self::NdSll => Field::NdSll,
            Self::NdTll => Field::NdTll,
            Self::ArpOp => Field::ArpOp,
            Self::ArpSpa => Field::ArpSpa,
            Self::ArpTpa => Field::ArpTpa,
            Self::ArpSha => Field::ArpSha,
            Self::ArpTha => Field::ArpTha,
            Self::TunId => Field::TunId,
            Self::TunFlags => Field::TunFlags,
            Self::TunSrc => Field::TunSrc,
            Self::TunDst => Field::TunDst,
            Self::TunIpv6Src => Field::TunIpv6Src,
            Self::TunIpv6Dst => Field::TunIpv6Dst,
            Self::TunGbpId => Field::TunGbpId,
            Self::TunGbpFlags => Field::TunGbpFlags,
            Self::TunMetadata(index) => Field::TunMetadata(index),
            Self::PktMark => Field::PktMark,
            Self::CtState => Field::CtState,
            Self::CtZone => Field::CtZone,
            Self::CtMark => Field::CtMark,
            Self::CtLabel => Field::CtLabel,
            Self::CtNwSrc => Field::CtNwSrc,
            Self::CtIpv6Src => Field::CtIpv6Src,
            Self::CtNwDst => Field::CtNwDst,
            Self::CtIpv6Dst => Field::CtIpv6Dst,
            Self::CtNwProto => Field::CtNwProto,
            Self::CtTpSrc => Field::CtTpSrc,
            Self::CtTpDst => Field::CtTpDst,
            Self::Metadata => Field::Metadata,
        };
        Some((field, 0, 0, field.bits()))
    }
}

mod lookup {
    use super::OxmField;
    use std::collections::HashMap;
    use std::sync::OnceLock;

    /// Every header of every field: decoding looks up one for each field of each flow.
    pub(super) fn find(vendor: u32, class: u16, number: u8) -> Option<OxmField> {
        static HEADS: OnceLock<HashMap<(u32, u16, u8), OxmField>> = OnceLock::new();
        let heads = HEADS.get_or_init(|| {
            let of_field = |field: OxmField| {
                let (spec, index) = field.spec_and_index();
                spec.heads.iter().map(move |head| ((head.vendor, head.class, head.number + index), field))
            };
            OxmField::all().flat_map(of_field).collect()
        });
        heads.get(&(vendor, class, number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_fields_share_a_header() {
        let mut seen = HashSet::new();
        for field in OxmField::all() {
            for version in [None].into_iter().chain(Version::ALL.into_iter().map(Some)) {
                let head = field.head(version);
                assert_eq!(OxmField::by_head(head.vendor, head.class, head.number), Some(field));
                seen.insert((head.vendor, head.class, head.number));
            }
        }
        // Fields, without indices 76; their second and third headers; 64 options, 16 + 8 + 4 registers.
        assert!(seen.len() > 170);
    }

    #[test]
    fn parts_cover_a_view() {
        for field in OxmField::all() {
            let bits: u32 = field.parts().map(|part| part.bits).sum();
            let expected = match field {
                OxmField::VlanVid => 13,
                OxmField::IpTos => 6,
                OxmField::InPortOxm | OxmField::ActsetOutput => 16,
                OxmField::TunFlags => 16,
                field => field.bits(),
            };
            assert_eq!(bits, expected, "{field:?}");
        }
    }
}
