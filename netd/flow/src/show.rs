//! Matches and packets as `ovs-ofctl` and `ovs-appctl` print them.

use crate::parse::l4::{PROTO_ICMP, PROTO_ICMPV6, PROTO_IGMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP, is_neighbour};
use crate::parse::{
    ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_MPLS, ETH_TYPE_MPLS_MULTICAST, ETH_TYPE_RARP, FRAG_ANY,
    FRAG_LATER, VLAN_PRESENT,
};
use crate::{Field, Inner, Key, Mask, Masked, Match, REGISTERS, TUNNEL_OPTIONS};
use std::fmt::{self, Display, Formatter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Names of the bits of [`Field::CtState`], lowest first.
pub const CT_STATE_NAMES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
/// Names of the bits of [`Field::TcpFlags`], lowest first.
const TCP_FLAG_NAMES: [&str; 12] =
    ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];
/// Names of the bits of [`Field::TunFlags`], lowest first.
const TUNNEL_FLAG_NAMES: [&str; 1] = ["oam"];

/// `(key, mask)` as a match, with what lies below the outermost tag and label.
#[derive(Debug)]
pub struct Shown<'a> {
    pub key: &'a Key,
    pub mask: &'a Mask,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let get = |field| Masked { value: self.key.get(field) & self.mask.get(field), mask: self.mask.get(field) };
        let inner = |part| (self.key.inner(part) & self.mask.inner(part), self.mask.inner(part));
        List { out: f, first: true }.matching(&get, &inner)
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        List { out: f, first: true }.matching(&|field| self.get(field), &|_| (0, 0))
    }
}

impl Display for Key {
    /// As `flow_to_string`: the fields that the packet has, and metadata that is not 0.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Shown { key: self, mask: &Mask::of_packet(self) }.fmt(f)
    }
}

impl Mask {
    /// What there is to see of a packet: the fields that its headers have, whatever their value, and metadata that is not 0.
    pub fn of_packet(key: &Key) -> Self {
        let mut mask = Self::NONE;
        let not_zero =
            [Field::InPort, Field::SkbPriority, Field::PktMark, Field::RecircId, Field::DpHash, Field::CtState]
                .into_iter()
                .chain([
                    Field::CtZone,
                    Field::CtMark,
                    Field::CtLabel,
                    Field::Metadata,
                    Field::TunId,
                    Field::TunSrc,
                    Field::TunDst,
                ])
                .chain([Field::TunIpv6Src, Field::TunIpv6Dst, Field::TunFlags, Field::TunGbpId, Field::TunGbpFlags])
                .chain([Field::PacketType])
                .chain((0..REGISTERS).map(Field::Reg))
                .chain((0..TUNNEL_OPTIONS).map(Field::TunMetadata));
        for field in not_zero.filter(|field| key.get(*field) != 0) {
            mask.add_all(field);
        }
        if key.get(Field::CtNwProto) != 0 {
            let v6 = key.get_u64(Field::EthType) as u16 == ETH_TYPE_IPV6;
            let addresses = if v6 { [Field::CtIpv6Src, Field::CtIpv6Dst] } else { [Field::CtNwSrc, Field::CtNwDst] };
            for field in addresses.into_iter().chain([Field::CtNwProto, Field::CtTpSrc, Field::CtTpDst]) {
                mask.add_all(field);
            }
        }
        mask.add_headers(key);
        // Not shown by Open vSwitch.
        mask.set(Field::NdReserved, 0);
        mask.set(Field::NdOptionsType, 0);
        mask
    }

    /// The fields of a packet's headers.
    pub fn add_headers(&mut self, key: &Key) {
        for field in [Field::EthSrc, Field::EthDst, Field::EthType, Field::VlanTci] {
            self.add_all(field);
        }
        self.add_inner(Inner::VlanTpid);
        if key.get(Field::VlanTci) != 0 {
            self.add_inner(Inner::Vlan1Tci);
            self.add_inner(Inner::Vlan1Tpid);
        }
        match key.get_u64(Field::EthType) as u16 {
            ETH_TYPE_IPV4 => {
                self.add_all(Field::Ipv4Src);
                self.add_all(Field::Ipv4Dst);
            }
            ETH_TYPE_IPV6 => {
                for field in [Field::Ipv6Src, Field::Ipv6Dst, Field::Ipv6Label] {
                    self.add_all(field);
                }
                if is_neighbour(key) {
                    for field in [Field::NdTarget, Field::NdSll, Field::NdTll, Field::NdReserved, Field::NdOptionsType]
                    {
                        self.add_all(field);
                    }
                }
            }
            ETH_TYPE_ARP | ETH_TYPE_RARP => {
                for field in [Field::ArpSpa, Field::ArpTpa, Field::ArpOp, Field::ArpSha, Field::ArpTha] {
                    self.add_all(field);
                }
                return;
            }
            ETH_TYPE_MPLS | ETH_TYPE_MPLS_MULTICAST => {
                for part in [Inner::MplsLse0, Inner::MplsLse1, Inner::MplsLse2] {
                    self.add_inner(part);
                    if key.inner(part) & 1 << 8 != 0 {
                        break;
                    }
                }
                return;
            }
            _ => return,
        }
        for field in [Field::IpFrag, Field::IpDscp, Field::IpEcn, Field::IpTtl, Field::IpProto] {
            self.add_all(field);
        }
        if key.get_u64(Field::IpFrag) as u8 & FRAG_LATER != 0 {
            return;
        }
        match key.get_u64(Field::IpProto) as u8 {
            PROTO_TCP => {
                for field in [Field::TpSrc, Field::TpDst, Field::TcpFlags] {
                    self.add_all(field);
                }
            }
            PROTO_UDP | PROTO_SCTP => {
                self.add_all(Field::TpSrc);
                self.add_all(Field::TpDst);
            }
            PROTO_ICMP | PROTO_ICMPV6 | PROTO_IGMP => {
                self.add_all(Field::IcmpType);
                self.add_all(Field::IcmpCode);
            }
            _ => {}
        }
    }
}

/// Writes items with commas between them.
struct List<'a, 'b> {
    out: &'a mut Formatter<'b>,
    first: bool,
}

impl List<'_, '_> {
    fn item(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        if !self.first {
            self.out.write_char(',')?;
        }
        self.first = false;
        self.out.write_fmt(text)
    }

    /// Hexadecimal.
    fn hex(&mut self, name: impl Display, masked: Masked, bits: u32) -> fmt::Result {
        let Masked { value, mask } = masked;
        match mask {
            0 => Ok(()),
            _ if mask == u128::MAX >> (128 - bits) => self.item(format_args!("{name}={}", Alternate(value))),
            _ => self.item(format_args!("{name}={}/{}", Alternate(value), Alternate(mask))),
        }
    }

    /// Decimal, or hexadecimal if it is masked.
    fn number(&mut self, name: &str, masked: Masked, bits: u32) -> fmt::Result {
        if masked.mask == u128::MAX >> (128 - bits) {
            self.item(format_args!("{name}={}", masked.value))
        } else {
            self.hex(name, masked, bits)
        }
    }

    fn ethernet(&mut self, name: &str, Masked { value, mask }: Masked) -> fmt::Result {
        const FULL: u128 = 0xffff_ffff_ffff;
        // OpenFlow's name for any multicast address.
        match mask {
            0 => Ok(()),
            FULL => self.item(format_args!("{name}={}", Mac(value))),
            _ => self.item(format_args!("{name}={}/{}", Mac(value), Mac(mask))),
        }
    }

    fn ipv4(&mut self, name: &str, Masked { value, mask }: Masked) -> fmt::Result {
        let (value, mask) = (value as u32, mask as u32);
        match mask {
            0 => Ok(()),
            u32::MAX => self.item(format_args!("{name}={}", Ipv4Addr::from(value))),
            _ if mask.leading_ones() + mask.trailing_zeros() == 32 => {
                self.item(format_args!("{name}={}/{}", Ipv4Addr::from(value), mask.leading_ones()))
            }
            _ => self.item(format_args!("{name}={}/{}", Ipv4Addr::from(value), Ipv4Addr::from(mask))),
        }
    }

    fn ipv6(&mut self, name: &str, Masked { value, mask }: Masked) -> fmt::Result {
        match mask {
            0 => Ok(()),
            u128::MAX => self.item(format_args!("{name}={}", Ipv6Addr::from(value))),
            _ if mask.leading_ones() + mask.trailing_zeros() == 128 => {
                self.item(format_args!("{name}={}/{}", Ipv6Addr::from(value), mask.leading_ones()))
            }
            _ => self.item(format_args!("{name}={}/{}", Ipv6Addr::from(value), Ipv6Addr::from(mask))),
        }
    }

    fn flags(&mut self, name: &str, Masked { value, mask }: Masked, full: u128, names: &[&str]) -> fmt::Result {
        match mask {
            0 => Ok(()),
            _ if mask == full => self.item(format_args!("{name}={}", Flags { value, names })),
            _ => self.item(format_args!("{name}={}", SignedFlags { value, mask, names })),
        }
    }

    fn matching(&mut self, get: &dyn Fn(Field) -> Masked, inner: &dyn Fn(Inner) -> (u32, u32)) -> fmt::Result {
        let hex = |list: &mut Self, name: &str, field: Field| list.hex(name, get(field), field.bits());
        hex(self, "pkt_mark", Field::PktMark)?;
        hex(self, "recirc_id", Field::RecircId)?;
        hex(self, "dp_hash", Field::DpHash)?;
        self.number("conj_id", get(Field::ConjId), 32)?;
        hex(self, "skb_priority", Field::SkbPriority)?;
        self.port("actset_output", get(Field::ActsetOutput))?;
        // Only 8 bits of it mean something, and those are all of it.
        self.flags("ct_state", low(get(Field::CtState), 8), 0xff, &CT_STATE_NAMES)?;
        self.number("ct_zone", get(Field::CtZone), 16)?;
        hex(self, "ct_mark", Field::CtMark)?;
        hex(self, "ct_label", Field::CtLabel)?;
        self.ipv4("ct_nw_src", get(Field::CtNwSrc))?;
        self.ipv6("ct_ipv6_src", get(Field::CtIpv6Src))?;
        self.ipv4("ct_nw_dst", get(Field::CtNwDst))?;
        self.ipv6("ct_ipv6_dst", get(Field::CtIpv6Dst))?;
        self.number("ct_nw_proto", get(Field::CtNwProto), 8)?;
        self.number("ct_tp_src", get(Field::CtTpSrc), 16)?;
        self.number("ct_tp_dst", get(Field::CtTpDst), 16)?;
        hex(self, "packet_type", Field::PacketType)?;
        let kind = Kind::of(get);
        if let Some(name) = kind.name {
            self.item(format_args!("{name}"))?;
        }
        for n in 0..REGISTERS {
            self.hex(format_args!("reg{n}"), get(Field::Reg(n)), 32)?;
        }
        self.tunnel(get)?;
        hex(self, "metadata", Field::Metadata)?;
        self.port("in_port", get(Field::InPort))?;
        self.vlans(get, inner)?;
        self.ethernet("dl_src", get(Field::EthSrc))?;
        self.ethernet("dl_dst", get(Field::EthDst))?;
        if kind.name.is_none() && get(Field::EthType).mask != 0 {
            self.item(format_args!("dl_type={:#06x}", get(Field::EthType).value))?;
        }
        self.network(get, &kind)?;
        self.mpls(get, inner)?;
        self.transport(get, &kind)
    }

    fn port(&mut self, name: &str, Masked { value, mask }: Masked) -> fmt::Result {
        match mask {
            0 => Ok(()),
            _ => self.item(format_args!("{name}={}", Port(value as u32))),
        }
    }

    fn tunnel(&mut self, get: &dyn Fn(Field) -> Masked) -> fmt::Result {
        self.hex("tun_id", get(Field::TunId), 64)?;
        self.ipv4("tun_src", get(Field::TunSrc))?;
        self.ipv4("tun_dst", get(Field::TunDst))?;
        self.ipv6("tun_ipv6_src", get(Field::TunIpv6Src))?;
        self.ipv6("tun_ipv6_dst", get(Field::TunIpv6Dst))?;
        self.number("tun_gbp_id", get(Field::TunGbpId), 16)?;
        self.hex("tun_gbp_flags", get(Field::TunGbpFlags), 8)?;
        let flags = get(Field::TunFlags);
        // The only flag with a name; a match on it alone is a match on all.
        self.flags("tun_flags", flags, u128::MAX, &TUNNEL_FLAG_NAMES)?;
        for n in 0..TUNNEL_OPTIONS {
            self.hex(format_args!("tun_metadata{n}"), get(Field::TunMetadata(n)), 128)?;
        }
        Ok(())
    }

    fn vlans(&mut self, get: &dyn Fn(Field) -> Masked, inner: &dyn Fn(Inner) -> (u32, u32)) -> fmt::Result {
        let Masked { value, mask } = get(Field::VlanTci);
        self.vlan("", value as u16, mask as u16)?;
        let (value, mask) = inner(Inner::Vlan1Tci);
        self.vlan("1", value as u16, mask as u16)
    }

    fn vlan(&mut self, depth: &str, value: u16, mask: u16) -> fmt::Result {
        const VID: u16 = 0xfff;
        const PCP: u16 = 0xe000;
        let (vid, pcp) = (mask & VID, mask & PCP);
        if mask == 0 {
            return Ok(());
        }
        let whole = (vid == 0 || vid == VID) && (pcp == 0 || pcp == PCP) && (vid != 0 || pcp != 0);
        if mask & value & VLAN_PRESENT != 0 && whole {
            if vid != 0 {
                self.item(format_args!("dl_vlan{depth}={}", value & VID))?;
            }
            if pcp != 0 {
                self.item(format_args!("dl_vlan_pcp{depth}={}", value >> 13))?;
            }
            Ok(())
        } else if mask == u16::MAX {
            self.item(format_args!("vlan_tci{depth}={value:#06x}"))
        } else {
            self.item(format_args!("vlan_tci{depth}={value:#06x}/{mask:#06x}"))
        }
    }

    fn network(&mut self, get: &dyn Fn(Field) -> Masked, kind: &Kind) -> fmt::Result {
        self.ipv6("ipv6_src", get(Field::Ipv6Src))?;
        self.ipv6("ipv6_dst", get(Field::Ipv6Dst))?;
        let label = get(Field::Ipv6Label);
        match label.mask {
            0 => {}
            0xf_ffff => self.item(format_args!("ipv6_label={:#07x}", label.value))?,
            mask => self.item(format_args!("ipv6_label={:#07x}/{mask:#07x}", label.value))?,
        }
        self.ipv4("arp_spa", get(Field::ArpSpa))?;
        self.ipv4("arp_tpa", get(Field::ArpTpa))?;
        self.ipv4("nw_src", get(Field::Ipv4Src))?;
        self.ipv4("nw_dst", get(Field::Ipv4Dst))?;
        if !kind.names_protocol {
            self.number("arp_op", get(Field::ArpOp), 16)?;
            self.number("nw_proto", get(Field::IpProto), 8)?;
        }
        self.ethernet("arp_sha", get(Field::ArpSha))?;
        self.ethernet("arp_tha", get(Field::ArpTha))?;
        let dscp = get(Field::IpDscp);
        if dscp.mask != 0 {
            // The whole byte, as OpenFlow 1.0 had it.
            self.item(format_args!("nw_tos={}", dscp.value << 2))?;
        }
        self.number("nw_ecn", get(Field::IpEcn), 2)?;
        self.number("nw_ttl", get(Field::IpTtl), 8)
    }

    fn mpls(&mut self, get: &dyn Fn(Field) -> Masked, inner: &dyn Fn(Inner) -> (u32, u32)) -> fmt::Result {
        self.number("mpls_label", get(Field::MplsLabel), 20)?;
        self.number("mpls_tc", get(Field::MplsTc), 3)?;
        self.number("mpls_ttl", get(Field::MplsTtl), 8)?;
        self.number("mpls_bos", get(Field::MplsBos), 1)?;
        for (name, part) in [("mpls_lse1", Inner::MplsLse1), ("mpls_lse2", Inner::MplsLse2)] {
            let (value, mask) = inner(part);
            if mask != 0 {
                self.item(format_args!("{name}={value}"))?;
            }
        }
        Ok(())
    }

    fn transport(&mut self, get: &dyn Fn(Field) -> Masked, kind: &Kind) -> fmt::Result {
        let frag = get(Field::IpFrag);
        let is = |bit: u8| frag.value as u8 & bit != 0;
        const BOTH: u128 = (FRAG_ANY | FRAG_LATER) as u128;
        const ANY: u128 = FRAG_ANY as u128;
        match frag.mask {
            0 => {}
            BOTH => {
                let name = match (is(FRAG_ANY), is(FRAG_LATER)) {
                    (true, true) => "later",
                    (true, false) => "first",
                    (false, false) => "no",
                    (false, true) => "<error>",
                };
                self.item(format_args!("nw_frag={name}"))?;
            }
            ANY => self.item(format_args!("nw_frag={}", if is(FRAG_ANY) { "yes" } else { "no" }))?,
            _ => self.item(format_args!("nw_frag={}", if is(FRAG_LATER) { "later" } else { "not_later" }))?,
        }
        self.number("tp_src", get(Field::TpSrc), 16)?;
        self.number("tp_dst", get(Field::TpDst), 16)?;
        self.number(kind.icmp[0], get(Field::IcmpType), 8)?;
        self.number(kind.icmp[1], get(Field::IcmpCode), 8)?;
        self.ipv6("nd_target", get(Field::NdTarget))?;
        self.ethernet("nd_sll", get(Field::NdSll))?;
        self.ethernet("nd_tll", get(Field::NdTll))?;
        self.number("nd_reserved", get(Field::NdReserved), 32)?;
        self.number("nd_options_type", get(Field::NdOptionsType), 8)?;
        self.flags("tcp_flags", get(Field::TcpFlags), 0xfff, &TCP_FLAG_NAMES)
    }
}

fn low(Masked { value, mask }: Masked, bits: u32) -> Masked {
    let all = (1 << bits) - 1;
    Masked { value: value & all, mask: mask & all }
}

/// What a match says of the packet's protocols in one word.
struct Kind {
    name: Option<&'static str>,
    /// The name says the IP protocol too.
    names_protocol: bool,
    /// The names of type and code.
    icmp: [&'static str; 2],
}

impl Kind {
    fn of(get: &dyn Fn(Field) -> Masked) -> Self {
        let (eth_type, protocol) = (get(Field::EthType), get(Field::IpProto));
        let mut kind = Self { name: None, names_protocol: false, icmp: ["icmp_type", "icmp_code"] };
        if eth_type.mask == 0 {
            return kind;
        }
        let number = protocol.value as u8;
        let named = |name, known: &[(u8, &'static str)]| {
            let found = known.iter().find(|(number_of, _)| protocol.mask != 0 && *number_of == number);
            (Some(found.map_or(name, |(_, name)| *name)), found.is_some())
        };
        (kind.name, kind.names_protocol) = match eth_type.value as u16 {
            ETH_TYPE_IPV4 => {
                named("ip", &[(PROTO_ICMP, "icmp"), (PROTO_TCP, "tcp"), (PROTO_UDP, "udp"), (PROTO_SCTP, "sctp")])
            }
            ETH_TYPE_IPV6 => named(
                "ipv6",
                &[(PROTO_ICMPV6, "icmp6"), (PROTO_TCP, "tcp6"), (PROTO_UDP, "udp6"), (PROTO_SCTP, "sctp6")],
            ),
            ETH_TYPE_ARP => (Some("arp"), false),
            ETH_TYPE_RARP => (Some("rarp"), false),
            ETH_TYPE_MPLS => (Some("mpls"), false),
            ETH_TYPE_MPLS_MULTICAST => (Some("mplsm"), false),
            _ => (None, false),
        };
        kind.icmp = match (eth_type.value as u16, number) {
            (ETH_TYPE_IPV4, PROTO_ICMP) | (ETH_TYPE_IPV6, PROTO_ICMPV6) => kind.icmp,
            // IGMP, or the wrong ICMP for its IP: Open vSwitch reads it, but has no name for it.
            _ => ["tp_src", "tp_dst"],
        };
        kind
    }
}

/// `%#x`: 0 without a prefix.
struct Alternate(u128);

impl Display for Alternate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}

struct Mac(u128);

impl Display for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [.., a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An OpenFlow port number (OpenFlow 1.5, 7.2.1), reserved ones by name.
struct Port(u32);

impl Display for Port {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0xffff_fff7 => "UNSET",
            0xffff_fff8 => "IN_PORT",
            0xffff_fff9 => "TABLE",
            0xffff_fffa => "NORMAL",
            0xffff_fffb => "FLOOD",
            0xffff_fffc => "ALL",
            0xffff_fffd => "CONTROLLER",
            0xffff_fffe => "LOCAL",
            0xffff_ffff => "ANY",
            number => return number.fmt(f),
        };
        f.write_str(name)
    }
}

struct Flags<'a> {
    value: u128,
    names: &'a [&'a str],
}

impl Display for Flags<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.value == 0 {
            return f.write_char('0');
        }
        let mut between = "";
        for (bit, name) in self.names.iter().enumerate().filter(|(bit, _)| self.value >> bit & 1 != 0) {
            debug_assert!(bit < 128);
            write!(f, "{between}{name}")?;
            between = "|";
        }
        match self.value >> self.names.len() << self.names.len() {
            0 => Ok(()),
            unknown => write!(f, "{between}{unknown:#x}"),
        }
    }
}

struct SignedFlags<'a> {
    value: u128,
    mask: u128,
    names: &'a [&'a str],
}

impl Display for SignedFlags<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for bit in (0..128).filter(|bit| self.mask >> bit & 1 != 0) {
            let sign = if self.value >> bit & 1 != 0 { '+' } else { '-' };
            write!(f, "{sign}{}", self.names.get(bit).copied().unwrap_or("[Unknown]"))?;
        }
        Ok(())
    }
}
