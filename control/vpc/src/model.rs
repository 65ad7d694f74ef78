//! What is compiled, under AWS's names. Whether it makes sense was decided where it was written; a reference to what is not there
//! is as if nothing were said, and of addresses that two claim one is chosen by the order of names.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(pub String);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl From<&str> for $name {
                fn from(id: &str) -> Self {
                    Self(id.to_owned())
                }
            }
        )*
    };
}

ids! {
    /// `vpc-…`
    VpcId;
    /// `subnet-…`
    SubnetId;
    /// `eni-…`
    InterfaceId;
    /// `sg-…`
    GroupId;
    /// `sgr-…`, of one region.
    RuleId;
    /// `pl-…`
    PrefixListId;
    /// `acl-…`
    AclId;
    /// `rtb-…`
    RouteTableId;
    /// `igw-…`
    InternetGatewayId;
    /// `eigw-…`
    EgressOnlyGatewayId;
    /// `nat-…`
    NatGatewayId;
    /// `eipalloc-…`
    AllocationId;
    /// `dopt-…`
    DhcpOptionsId;
}

/// A Geneve network identifier: 24 bits, of which the others do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(pub u32);

impl Vni {
    pub(crate) fn bits(self) -> u32 {
        self.0 & 0x00ff_ffff
    }

    /// What a VPC's virtual router has in every subnet: locally administered, and none of an interface's, which begin with 02, 06,
    /// 0a or 0e.
    pub fn router_mac(self) -> MacAddress {
        let [_, a, b, c] = self.bits().to_be_bytes();
        MacAddress([0xfe, 0x48, 0x56, a, b, c])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    pub(crate) fn number(self) -> u128 {
        self.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    /// The link-local address that an interface gives itself (RFC 4291 appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Everything that a node must know of the VPCs whose interfaces it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    pub vpcs: BTreeMap<VpcId, Vpc>,
    pub subnets: BTreeMap<SubnetId, Subnet>,
    pub interfaces: BTreeMap<InterfaceId, NetworkInterface>,
    pub groups: BTreeMap<GroupId, SecurityGroup>,
    pub prefix_lists: BTreeMap<PrefixListId, BTreeSet<IpNet>>,
    pub acls: BTreeMap<AclId, NetworkAcl>,
    pub route_tables: BTreeMap<RouteTableId, RouteTable>,
    pub internet_gateways: BTreeMap<InternetGatewayId, InternetGateway>,
    /// Each is of one VPC.
    pub egress_only_gateways: BTreeMap<EgressOnlyGatewayId, VpcId>,
    pub nat_gateways: BTreeMap<NatGatewayId, NatGateway>,
    pub addresses: BTreeMap<AllocationId, ElasticIp>,
    pub dhcp_options: BTreeMap<DhcpOptionsId, DhcpOptions>,
}

impl Network {
    /// Takes in all of another one; ids are those of one region.
    pub fn absorb(&mut self, other: Self) {
        self.vpcs.extend(other.vpcs);
        self.subnets.extend(other.subnets);
        self.interfaces.extend(other.interfaces);
        self.groups.extend(other.groups);
        self.prefix_lists.extend(other.prefix_lists);
        self.acls.extend(other.acls);
        self.route_tables.extend(other.route_tables);
        self.internet_gateways.extend(other.internet_gateways);
        self.egress_only_gateways.extend(other.egress_only_gateways);
        self.nat_gateways.extend(other.nat_gateways);
        self.addresses.extend(other.addresses);
        self.dhcp_options.extend(other.dhcp_options);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    pub vni: Vni,
    /// The primary one first: its second address is the name server's.
    pub ipv4_cidrs: Vec<Ipv4Net>,
    pub ipv6_cidrs: Vec<Ipv6Net>,
    /// `enableDnsSupport`.
    pub dns_support: bool,
    /// `None`: `default`, which sets nothing.
    pub dhcp_options: Option<DhcpOptionsId>,
    /// Of subnets without a table of their own.
    pub main_route_table: RouteTableId,
}

impl Vpc {
    pub(crate) fn cidrs(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.ipv4_cidrs.iter().copied().map(IpNet::V4);
        v4.chain(self.ipv6_cidrs.iter().copied().map(IpNet::V6)).map(|cidr| cidr.trunc())
    }

    /// The Amazon-provided name server: "the base of the VPC network range plus two".
    pub fn name_server(&self) -> Option<Ipv4Addr> {
        self.ipv4_cidrs.first().map(|cidr| plus(cidr.network(), 2))
    }
}

fn plus(address: Ipv4Addr, offset: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits().wrapping_add(offset))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub vpc: VpcId,
    pub ipv4_cidr: Ipv4Net,
    pub ipv6_cidr: Option<Ipv6Net>,
    pub acl: AclId,
    /// `None`: the VPC's main one.
    pub route_table: Option<RouteTableId>,
}

impl Subnet {
    /// The virtual router's address: "the network address plus one".
    pub fn router(&self) -> Ipv4Addr {
        plus(self.ipv4_cidr.network(), 1)
    }

    pub(crate) fn cidrs(&self) -> impl Iterator<Item = IpNet> {
        std::iter::once(IpNet::V4(self.ipv4_cidr)).chain(self.ipv6_cidr.map(IpNet::V6)).map(|cidr| cidr.trunc())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInterface {
    pub subnet: SubnetId,
    pub mac: MacAddress,
    pub primary: Ipv4Addr,
    pub secondary: BTreeSet<Ipv4Addr>,
    pub ipv6: BTreeSet<Ipv6Addr>,
    pub groups: BTreeSet<GroupId>,
    pub source_dest_check: bool,
    pub metadata: MetadataOptions,
    pub tracking: ConnectionTracking,
}

impl NetworkInterface {
    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        let v4 = self.secondary.iter().copied().chain([self.primary]).map(IpAddr::V4);
        v4.chain(self.ipv6.iter().copied().map(IpAddr::V6)).collect()
    }
}

/// Of the instance metadata service, as far as the network knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataOptions {
    /// `HttpEndpoint`.
    pub enabled: bool,
    /// `HttpProtocolIpv6`.
    pub ipv6: bool,
    /// `HttpPutResponseHopLimit`, 1 to 64.
    pub hop_limit: u8,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self { enabled: true, ipv6: false, hop_limit: 1 }
    }
}

/// `ConnectionTrackingSpecification`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionTracking {
    pub tcp_established_s: u32,
    pub udp_stream_s: u32,
    pub udp_s: u32,
}

impl Default for ConnectionTracking {
    fn default() -> Self {
        Self { tcp_established_s: 432_000, udp_stream_s: 180, udp_s: 30 }
    }
}

/// What a rule or an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// Protocol -1.
    All,
    Tcp(PortRange),
    Udp(PortRange),
    Icmp(IcmpKind),
    Icmpv6(IcmpKind),
    /// Another protocol's number.
    Protocol(u8),
}

/// Both ends are in it. A range whose last port is below its first has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl PortRange {
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    pub fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

/// `None`: -1, any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpKind {
    pub kind: Option<u8>,
    /// Does not count without a kind.
    pub code: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    pub ingress: BTreeMap<RuleId, SecurityGroupRule>,
    pub egress: BTreeMap<RuleId, SecurityGroupRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroupRule {
    pub traffic: Traffic,
    pub peer: Peer,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Cidr(IpNet),
    /// All private addresses of the group's members.
    Group(GroupId),
    PrefixList(PrefixListId),
}

/// Entries by rule number, 1 to 32766 and the last ones; the first that fits counts, and none means deny.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkAcl {
    pub ingress: BTreeMap<u16, AclEntry>,
    pub egress: BTreeMap<u16, AclEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    pub allow: bool,
    pub traffic: Traffic,
    pub cidr: IpNet,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// The VPC's own ranges are `local` unless they stand here. Of two routes for one range the first counts.
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub destination: Destination,
    pub target: RouteTarget,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    Cidr(IpNet),
    /// A range of its own counts before the same range of a list.
    PrefixList(PrefixListId),
}

/// A target that is not there is a blackhole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    Local,
    InternetGateway(InternetGatewayId),
    /// Of IPv6: connections begin inside.
    EgressOnlyGateway(EgressOnlyGatewayId),
    NatGateway(NatGatewayId),
    Interface(InterfaceId),
    Blackhole,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetGateway {
    /// `None`: detached.
    pub vpc: Option<VpcId>,
}

/// A public one; its Elastic IP is associated with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatGateway {
    pub subnet: SubnetId,
    /// Of its own network interface, with the private address.
    pub mac: MacAddress,
    pub private: Ipv4Addr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticIp {
    pub public: Ipv4Addr,
    pub association: Option<Association>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Association {
    /// With one of the interface's private addresses.
    Interface {
        interface: InterfaceId,
        private: Ipv4Addr,
    },
    NatGateway(NatGatewayId),
}

/// A set of DHCP options (RFC 2132 by AWS's names).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhcpOptions {
    pub domain_name: Option<String>,
    /// Empty: `AmazonProvidedDNS`.
    pub domain_name_servers: Vec<IpAddr>,
    pub ntp_servers: Vec<IpAddr>,
    pub netbios_name_servers: Vec<Ipv4Addr>,
    pub netbios_node_type: Option<u8>,
}
