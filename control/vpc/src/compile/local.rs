//! What the network itself answers.

use super::Compiler;
use super::index::{Local, Place};
use super::security::{DHCP_CLIENT, DHCP_SERVER, ND_ADVERT, ND_SOLICIT};
use crate::flow::register::{SENDER, SUBNET};
use crate::flow::{ARP_REPLY, ARP_REQUEST, Family, Pattern, Table, copy, goto, host, output, set, set_mac};
use crate::model::MacAddress;
use crate::source::Source;
use hive_flow::{Field, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP};
use hive_openflow::{Action, OxmField, PortNo};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub(super) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
pub(super) const TIME_SERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 123);
pub(super) const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
pub(super) const NAME_SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);
pub(super) const TIME_SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123);

const HTTP: u16 = 80;
const DNS: u16 = 53;
const NTP: u16 = 123;
const DHCPV6_CLIENT: u16 = 546;
const DHCPV6_SERVER: u16 = 547;
const ROUTER_SOLICIT: u8 = 133;
/// Router solicitation to redirect: never forwarded (RFC 4861 section 6.1).
const ND_TYPES: std::ops::RangeInclusive<u8> = 133..=137;
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Of a neighbour advertisement: from a router, solicited, override.
const ND_ROUTER: u32 = 1 << 31;
const ND_SOLICITED: u32 = 1 << 30;
const ND_OVERRIDE: u32 = 1 << 29;
const ND_OPTION_TARGET: u8 = 2;

/// Answer an ARP request in the place of `address`.
pub(super) fn answer_arp(address: Ipv4Addr, mac: MacAddress) -> Vec<Action> {
    vec![
        copy(OxmField::EthSrc, OxmField::EthDst),
        set_mac(OxmField::EthSrc, mac),
        set(OxmField::ArpOp, ARP_REPLY),
        copy(OxmField::ArpSha, OxmField::ArpTha),
        set_mac(OxmField::ArpSha, mac),
        copy(OxmField::ArpSpa, OxmField::ArpTpa),
        set(OxmField::ArpSpa, address.to_bits()),
        output(PortNo::IN_PORT),
    ]
}

pub(super) fn arp_for(pattern: Pattern, address: Ipv4Addr) -> Pattern {
    pattern.arp(ARP_REQUEST).with(Field::ArpTpa, address.to_bits())
}

/// Answer a neighbour solicitation in the place of `address` (RFC 4861 section 4.4). Its option, the sender's address, becomes ours.
pub(super) fn answer_solicitation(address: Ipv6Addr, mac: MacAddress, is_router: bool) -> Vec<Action> {
    let flags = ND_SOLICITED | ND_OVERRIDE | if is_router { ND_ROUTER } else { 0 };
    vec![
        copy(OxmField::EthSrc, OxmField::EthDst),
        set_mac(OxmField::EthSrc, mac),
        copy(OxmField::Ipv6Src, OxmField::Ipv6Dst),
        set(OxmField::Ipv6Src, address.to_bits()),
        set(OxmField::NdReserved, flags),
        set(OxmField::NdOptionsType, ND_OPTION_TARGET),
        set(OxmField::Icmpv6Type, ND_ADVERT),
        goto(Table::Advertise),
    ]
}

pub(super) fn solicitation_for(pattern: Pattern, address: Ipv6Addr) -> Pattern {
    let pattern = pattern.ip(Family::V6).protocol(PROTO_ICMPV6).with(Field::IcmpType, ND_SOLICIT);
    pattern.with(Field::IcmpCode, 0_u8).with(Field::NdTarget, address.to_bits())
}

impl Compiler<'_> {
    pub(super) fn local(&mut self) {
        for place in self.index.subnets.values().copied().collect::<Vec<_>>() {
            self.neighbours(place);
        }
        for local in self.index.locals.clone() {
            // Who asks for its own address wants to hear nothing.
            for address in local.interface.addresses() {
                let own = Pattern::new().reg(SENDER, local.number.0.into());
                let pattern = match address {
                    IpAddr::V4(address) => arp_for(own, address),
                    IpAddr::V6(address) => solicitation_for(own, address),
                };
                self.add(Table::Local, 400, pattern, Source::Interface(local.id.clone()), Vec::new());
            }
            self.metadata(local);
        }
        let advertisement = Pattern::new().ip(Family::V6).protocol(PROTO_ICMPV6);
        let advertisement = advertisement.with(Field::IcmpType, ND_ADVERT).with(Field::IcmpCode, 0_u8);
        let actions = vec![copy(OxmField::EthSrc, OxmField::NdTll), output(PortNo::IN_PORT)];
        self.add(Table::Advertise, 100, advertisement, Source::Table(Table::Advertise), actions);
        self.name_and_time();
        self.not_forwarded();
        for family in Family::BOTH {
            let pattern = Pattern::new().ip(family);
            self.add(Table::Local, 100, pattern, Source::Table(Table::Local), vec![goto(Table::TrackOut)]);
        }
    }

    /// ARP and neighbour discovery of a subnet: the router's own addresses first, then interfaces and NAT gateways.
    fn neighbours(&mut self, place: Place<'_>) {
        let router = place.vpc.vni.router_mac();
        let of_router = [place.subnet.router(), METADATA, NAME_SERVER, TIME_SERVER];
        let name_server = place.vpc.name_server().filter(|address| place.subnet.ipv4_cidr.contains(address));
        let of_subnet = Source::Subnet(place.subnet_id.clone());
        for address in of_router.into_iter().chain(name_server) {
            self.neighbour(place, IpAddr::V4(address), router, of_subnet.clone());
        }
        if place.subnet.ipv6_cidr.is_some() {
            self.neighbour(place, IpAddr::V6(router.link_local()), router, of_subnet);
        }
        for (id, interface) in self.index.interfaces_of(place.subnet_id).to_vec() {
            for address in interface.addresses() {
                self.neighbour(place, address, interface.mac, Source::Interface(id.clone()));
            }
        }
        for (id, gateway) in self.index.nat_gateways_of(place.subnet_id).to_vec() {
            self.neighbour(place, IpAddr::V4(gateway.private), gateway.mac, Source::NatGateway(id.clone()));
        }
    }

    fn neighbour(&mut self, place: Place<'_>, address: IpAddr, mac: MacAddress, source: Source) {
        let asked = Pattern::new().reg(SUBNET, self.index.subnet_number(place.subnet_id));
        let (pattern, actions) = match address {
            IpAddr::V4(address) => (arp_for(asked, address), answer_arp(address, mac)),
            IpAddr::V6(address) => {
                let is_router = mac == place.vpc.vni.router_mac();
                (solicitation_for(asked, address), answer_solicitation(address, mac, is_router))
            }
        };
        self.add(Table::Local, 300, pattern, source, actions);
    }

    /// To the services port, with the sender's number.
    fn serve(&mut self, pattern: Pattern, source: Source) {
        if let Some(services) = self.index.node.services {
            let actions = vec![copy(OxmField::Reg(SENDER), OxmField::TunId), output(services)];
            self.add(Table::Local, 300, pattern, source, actions);
        }
    }

    fn metadata(&mut self, local: Local<'_>) {
        let options = local.interface.metadata;
        let v4 = options.enabled.then_some(IpAddr::V4(METADATA));
        let v6 = (options.enabled && options.ipv6).then_some(IpAddr::V6(METADATA_V6));
        for address in v4.into_iter().chain(v6) {
            let pattern = Pattern::new().reg(SENDER, local.number.0.into()).to(host(address));
            let pattern = pattern.protocol(PROTO_TCP).with(Field::TpDst, HTTP);
            self.serve(pattern, Source::Interface(local.id.clone()));
        }
    }

    fn name_and_time(&mut self) {
        let of_table = Source::Table(Table::Local);
        for (id, vpc) in self.index.vpcs.clone() {
            let of_vpc = || Pattern::new().with(Field::Metadata, vpc.vni.bits());
            let servers = [Some(IpAddr::V4(NAME_SERVER)), Some(IpAddr::V6(NAME_SERVER_V6))];
            let servers = servers.into_iter().chain([vpc.name_server().map(IpAddr::V4)]).flatten();
            for server in servers.filter(|_| vpc.dns_support) {
                for protocol in [PROTO_UDP, PROTO_TCP] {
                    let pattern = of_vpc().to(host(server)).protocol(protocol).with(Field::TpDst, DNS);
                    self.serve(pattern, Source::Vpc(id.clone()));
                }
            }
        }
        for server in [IpAddr::V4(TIME_SERVER), IpAddr::V6(TIME_SERVER_V6)] {
            let pattern = Pattern::new().to(host(server)).protocol(PROTO_UDP).with(Field::TpDst, NTP);
            self.serve(pattern, of_table.clone());
        }
        for (family, client, server) in
            [(Family::V4, DHCP_CLIENT, DHCP_SERVER), (Family::V6, DHCPV6_CLIENT, DHCPV6_SERVER)]
        {
            let pattern = Pattern::new().ip(family).protocol(PROTO_UDP);
            let pattern = pattern.with(Field::TpSrc, client).with(Field::TpDst, server);
            self.serve(pattern, of_table.clone());
        }
        let solicitation = Pattern::new().to(host(IpAddr::V6(ALL_ROUTERS))).protocol(PROTO_ICMPV6);
        self.serve(solicitation.with(Field::IcmpType, ROUTER_SOLICIT), of_table);
    }

    /// Broadcast, multicast and link-local addresses are of one link, and a subnet is none.
    fn not_forwarded(&mut self) {
        let group_bit = 1_u128 << 40;
        let mut patterns = vec![Pattern::new().masked(Field::EthDst, group_bit, group_bit)];
        let cidrs = [
            cidr(Ipv4Addr::new(169, 254, 0, 0).into(), 16),
            cidr(Ipv4Addr::new(224, 0, 0, 0).into(), 4),
            cidr(Ipv4Addr::BROADCAST.into(), 32),
            cidr(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 10),
            cidr(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
            cidr(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0).into(), 32),
        ];
        patterns.extend(cidrs.into_iter().map(|cidr| Pattern::new().to(cidr)));
        patterns.extend(
            ND_TYPES.map(|kind| Pattern::new().ip(Family::V6).protocol(PROTO_ICMPV6).with(Field::IcmpType, kind)),
        );
        for pattern in patterns {
            self.add(Table::Local, 200, pattern, Source::Table(Table::Local), Vec::new());
        }
    }
}

/// Of a constant; a length that cannot be is the longest.
pub(super) fn cidr(address: IpAddr, bits: u8) -> IpNet {
    IpNet::new(address, bits).unwrap_or_else(|_| host(address))
}
