//! Networks that nobody would build, the same for the same seed.

use crate::switch::{SERVICES, TUNNEL, UPLINK};
use hive_openflow::PortNo;
use hive_vpc::model::*;
use hive_vpc::{Attachment, LocalNumber, Network, Node, Tunnel, Uplink};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    pub fn port(&mut self) -> u16 {
        self.pick(&[0, 1, 22, 53, 80, 443, 1023, 1024, 8080, 32767, 65534, 65535])
    }

    pub fn ports(&mut self) -> PortRange {
        let (first, last) = (self.port(), self.port());
        match self.below(4) {
            0 => PortRange::ALL,
            1 => PortRange::one(first),
            // Now and then one that is empty.
            _ if self.chance(95) => PortRange { first: first.min(last), last: first.max(last) },
            _ => PortRange { first, last },
        }
    }

    fn icmp(&mut self) -> IcmpKind {
        IcmpKind { kind: self.pick(&[None, Some(8), Some(3), Some(128)]), code: self.pick(&[None, Some(0), Some(4)]) }
    }

    pub fn traffic(&mut self) -> Traffic {
        match self.below(8) {
            0 => Traffic::All,
            1 => Traffic::Icmp(self.icmp()),
            2 => Traffic::Icmpv6(self.icmp()),
            3 => Traffic::Protocol(self.pick(&[6, 17, 47, 1, 58, 0, 255])),
            4 | 5 => Traffic::Udp(self.ports()),
            _ => Traffic::Tcp(self.ports()),
        }
    }

    fn v4(&mut self) -> Ipv4Addr {
        let bytes = [self.pick(&[10, 10, 10, 172, 0, 255]), self.below(2) as u8, self.below(4) as u8, self.byte()];
        Ipv4Addr::from(bytes)
    }

    fn v6(&mut self) -> Ipv6Addr {
        let head = self.pick(&[0x2001_0db8_u128, 0xfd00_0ec2, 0]);
        Ipv6Addr::from_bits(head << 96 | self.below(1 << 20) as u128)
    }

    fn cidr(&mut self) -> IpNet {
        let v4 = self.chance(70);
        let (address, lengths): (IpAddr, &[u8]) =
            if v4 { (self.v4().into(), &[0, 8, 16, 24, 28, 32]) } else { (self.v6().into(), &[0, 32, 64, 128]) };
        // Host bits may stand: whoever reads it must not care.
        IpNet::new(address, self.pick(lengths)).unwrap()
    }

    fn mac(&mut self) -> MacAddress {
        MacAddress([self.pick(&[2, 2, 2, 0xff, 0, 0xfe]), 0, 0, 0, self.below(2) as u8, self.byte()])
    }

    /// One of a few names; some of them are nobody's.
    fn id<T: for<'a> From<&'a str>>(&mut self, kind: &str) -> T {
        T::from(format!("{kind}-{}", self.below(5)).as_str())
    }

    fn some<T>(&mut self, max: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(max + 1)).map(|_| make(self)).collect()
    }

    fn peer(&mut self) -> Peer {
        match self.below(4) {
            0 => Peer::Group(self.id("sg")),
            1 => Peer::PrefixList(self.id("pl")),
            _ => Peer::Cidr(self.cidr()),
        }
    }

    fn rules(&mut self) -> std::collections::BTreeMap<RuleId, SecurityGroupRule> {
        let rule = |this: &mut Self| {
            let id = RuleId(format!("sgr-{}", this.below(40)));
            (id, SecurityGroupRule { traffic: this.traffic(), peer: this.peer() })
        };
        self.some(8, rule).into_iter().collect()
    }

    fn acl(&mut self) -> std::collections::BTreeMap<u16, AclEntry> {
        let entry = |this: &mut Self| {
            let number = this.pick(&[0, 1, 2, 100, 32766, 32767, 65535]);
            (number, AclEntry { allow: this.chance(60), traffic: this.traffic(), cidr: this.cidr() })
        };
        self.some(6, entry).into_iter().collect()
    }

    fn target(&mut self) -> RouteTarget {
        match self.below(6) {
            0 => RouteTarget::Local,
            4 => RouteTarget::EgressOnlyGateway(self.id("eigw")),
            1 => RouteTarget::InternetGateway(self.id("igw")),
            2 => RouteTarget::NatGateway(self.id("nat")),
            3 => RouteTarget::Interface(self.id("eni")),
            _ => RouteTarget::Blackhole,
        }
    }

    fn route(&mut self) -> Route {
        let destination =
            if self.chance(80) { Destination::Cidr(self.cidr()) } else { Destination::PrefixList(self.id("pl")) };
        Route { destination, target: self.target() }
    }

    fn v4_net(&mut self) -> ipnet::Ipv4Net {
        let length = self.pick(&[16, 24, 28, 32, 0]);
        ipnet::Ipv4Net::new(self.v4(), length).unwrap()
    }

    fn v6_net(&mut self) -> ipnet::Ipv6Net {
        let length = self.pick(&[56, 64, 0]);
        ipnet::Ipv6Net::new(self.v6(), length).unwrap()
    }

    fn vpc(&mut self) -> Vpc {
        Vpc {
            vni: Vni(self.pick(&[1, 2, 3, 0, u32::MAX])),
            ipv4_cidrs: self.some(2, Self::v4_net),
            ipv6_cidrs: self.some(1, Self::v6_net),
            dns_support: self.chance(50),
            dhcp_options: Some(self.id("dopt")),
            main_route_table: self.id("rtb"),
        }
    }

    fn interface(&mut self) -> NetworkInterface {
        NetworkInterface {
            subnet: self.id("subnet"),
            mac: self.mac(),
            primary: self.v4(),
            secondary: self.some(2, Self::v4).into_iter().collect(),
            ipv6: self.some(2, Self::v6).into_iter().collect(),
            groups: self.some(3, |this| this.id("sg")).into_iter().collect(),
            source_dest_check: self.chance(70),
            metadata: MetadataOptions { enabled: self.chance(80), ipv6: self.chance(50), hop_limit: self.byte() },
            tracking: ConnectionTracking::default(),
        }
    }

    fn public(&mut self) -> ElasticIp {
        let association = match self.below(3) {
            0 => None,
            1 => Some(Association::NatGateway(self.id("nat"))),
            _ => Some(Association::Interface { interface: self.id("eni"), private: self.v4() }),
        };
        ElasticIp { public: self.pick(&[self.v4_of(0), self.v4_of(1)]), association }
    }

    fn v4_of(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, last)
    }

    pub fn network(&mut self) -> Network {
        let mut network = Network::default();
        for _ in 0..6 {
            network.vpcs.insert(self.id("vpc"), self.vpc());
            network.route_tables.insert(self.id("rtb"), RouteTable { routes: self.some(6, Self::route) });
            network.acls.insert(self.id("acl"), NetworkAcl { ingress: self.acl(), egress: self.acl() });
            network.groups.insert(self.id("sg"), SecurityGroup { ingress: self.rules(), egress: self.rules() });
            let list: BTreeSet<IpNet> = self.some(5, Self::cidr).into_iter().collect();
            network.prefix_lists.insert(self.id("pl"), list);
            let gateway = InternetGateway { vpc: if self.chance(80) { Some(self.id("vpc")) } else { None } };
            network.internet_gateways.insert(self.id("igw"), gateway);
            network.egress_only_gateways.insert(self.id("eigw"), self.id("vpc"));
            let gateway = NatGateway { subnet: self.id("subnet"), mac: self.mac(), private: self.v4() };
            network.nat_gateways.insert(self.id("nat"), gateway);
            network.addresses.insert(self.id("eipalloc"), self.public());
            network.dhcp_options.insert(self.id("dopt"), DhcpOptions::default());
        }
        for _ in 0..8 {
            let subnet = Subnet {
                vpc: self.id("vpc"),
                ipv4_cidr: self.v4_net(),
                ipv6_cidr: if self.chance(50) { Some(self.v6_net()) } else { None },
                acl: self.id("acl"),
                route_table: if self.chance(50) { Some(self.id("rtb")) } else { None },
            };
            network.subnets.insert(self.id("subnet"), subnet);
            network.interfaces.insert(self.id("eni"), self.interface());
        }
        network
    }

    pub fn node(&mut self) -> Node {
        let mut node = Node::default();
        for _ in 0..6 {
            // Reserved numbers and 0 are nobody's port.
            let port = PortNo(self.pick(&[1, 2, 3, 4, 0, 0xfff8, 0xfffd, 0xffff]));
            let number = LocalNumber(self.pick(&[0, 1, 2, 3, 4, 5, 65535]));
            node.interfaces.insert(self.id("eni"), Attachment { port, number });
            node.nat_gateways.insert(self.id("nat"), LocalNumber(self.pick(&[0, 5, 6, 7])));
            node.remote_interfaces.insert(self.id("eni"), Ipv4Addr::new(100, 127, 77, self.byte()));
            node.remote_nat_gateways.insert(self.id("nat"), Ipv4Addr::new(100, 127, 77, self.byte()));
        }
        let mtu_bytes = self.pick(&[0, 1450, u16::MAX]);
        let tunnel = Some(Tunnel { port: PortNo(TUNNEL), mtu_bytes });
        node.tunnel = self.pick(&[None, tunnel, tunnel]);
        node.services = self.pick(&[None, Some(PortNo(SERVICES)), Some(PortNo(SERVICES))]);
        if self.chance(80) {
            let mtu_bytes = self.pick(&[0, 1500, u16::MAX]);
            node.uplink = Some(Uplink { port: PortNo(UPLINK), mac: self.mac(), gateway_mac: self.mac(), mtu_bytes });
        }
        node
    }
}
