//! Flows, and short words to write them with.

use crate::model::MacAddress;
use hive_flow::{ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, Field, Match};
use hive_openflow::{
    Action, Conntrack, ConntrackZone, Nat, NatFlags, NatRange, OxmField, PortNo, Resubmit, SetForm, Subfield,
};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// The tables, in the order in which a packet meets them; of those for flow logs, which are last, beside others. What no flow fits
        /// is dropped, in every table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Table {
            $($(#[$doc])* $name = $number,)*
        }

        impl Table {
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

tables! {
    /// By port: whose packet it is, and what that means, into registers.
    Classify = 0;
    /// From another node: which VPC, and whether it has left its subnet.
    TunnelIn = 1;
    /// From the internet: Elastic IPs become private addresses; ARP for them.
    UplinkIn = 2;
    /// Only an interface's own addresses are its source (source check).
    PortSecurity = 3;
    /// What the network itself answers: ARP and neighbour discovery here, DHCP, DNS, NTP and metadata at the services port. No groups
    /// or ACLs. Broadcast and multicast end here.
    Local = 4;
    /// An answer to a neighbour solicitation is completed: its fields may be set once its type is.
    Advertise = 5;
    /// Connection tracking in the sender's zone, unless its groups make it needless.
    TrackOut = 6;
    /// Security groups, outbound.
    GroupOut = 7;
    /// To a neighbour, or to the virtual router.
    Switch = 8;
    /// Route tables: longest prefix.
    Route = 9;
    /// The MAC address of a private address of the VPC.
    Neighbour = 10;
    /// The network ACL of the subnet that is left.
    AclOut = 11;
    /// By MAC address: here, at another node, or the internet.
    NextHop = 12;
    /// Private addresses become Elastic IPs; NAT gateways translate.
    Internet = 13;
    /// Out by the uplink, or back in if the address is of this node.
    Public = 14;
    /// The network ACL of the subnet that is entered.
    AclIn = 15;
    /// Connection tracking in the receiver's zone.
    TrackIn = 16;
    /// Security groups, inbound.
    GroupIn = 17;
    /// A NAT gateway's connections, on their way back.
    NatReturn = 18;
    /// To the port, if the address is the interface's (destination check).
    Deliver = 19;
    /// Out by the tunnel, if it takes packets that long.
    TunnelOut = 20;
    /// Between [`Self::AclOut`] (or [`Self::Switch`]) and [`Self::NextHop`], if any interface here is logged: the sender's groups and
    /// network ACL have let it pass.
    Passed = 21;
    /// What they have not, and ends here.
    RefusedOut = 22;
    /// What the receiver's have not.
    RefusedIn = 23;
    /// From the internet to an interface behind an egress-only internet gateway: answers pass.
    EgressOnly = 24;
}

impl Table {
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The registers that carry a packet's context.
pub mod register {
    /// Where the packet leaves: 0 within the VPC, [`TO_INTERNET`], [`TO_EGRESS_ONLY`].
    pub const TARGET: u8 = 8;
    pub const TO_INTERNET: u32 = 1;
    /// The same by an egress-only gateway.
    pub const TO_EGRESS_ONLY: u32 = 2;
    /// Bits, below.
    pub const FLAGS: u8 = 9;
    /// Between subnets: network ACLs apply.
    pub const CROSSES: u32 = 1 << 0;
    /// From a NAT gateway outwards: it may only reach the internet.
    pub const FROM_NAT: u32 = 1 << 1;
    /// It came in by the uplink.
    pub const FROM_INTERNET: u32 = 1 << 2;
    /// Longer than the uplink, or the tunnel, takes.
    pub const TOO_LONG: u32 = 1 << 3;
    /// From a NAT gateway inwards: it may only reach an interface. With [`FROM_NAT`] this keeps packets from going in circles.
    pub const TO_INSIDE: u32 = 1 << 4;
    /// The bit of [`TOO_LONG`].
    pub const TOO_LONG_BIT: u16 = 3;
    /// Number of the sender's subnet, route table; then the network ACL and the set of groups that come next.
    pub const SUBNET: u8 = 10;
    pub const ROUTE_TABLE: u8 = 11;
    pub const ACL: u8 = 12;
    pub const GROUPS: u8 = 13;
    /// [`crate::LocalNumber`]s, 0 for what is not of this node.
    pub const SENDER: u8 = 14;
    pub const RECEIVER: u8 = 15;
}

/// What makes two flows the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    pub table: u8,
    pub priority: u16,
    pub matching: Match,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowBody {
    pub cookie: u64,
    pub actions: Vec<Action>,
}

/// A bridge's tables.
pub type FlowSet = BTreeMap<FlowKey, FlowBody>;

pub(crate) const ARP_REQUEST: u16 = 1;
pub(crate) const ARP_REPLY: u16 = 2;

/// Bits of [`Field::CtState`].
pub(crate) mod ct {
    pub const NEW: u32 = 0x01;
    pub const ESTABLISHED: u32 = 0x02;
    pub const RELATED: u32 = 0x04;
    pub const REPLY: u32 = 0x08;
    pub const INVALID: u32 = 0x10;
    pub const TRACKED: u32 = 0x20;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// A match in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pattern(pub Match);

impl Pattern {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, field: Field, value: impl Into<u128>) -> Self {
        self.0.exactly(field, value.into());
        self
    }

    pub(crate) fn masked(mut self, field: Field, value: impl Into<u128>, mask: impl Into<u128>) -> Self {
        self.0.set(field, value.into(), mask.into());
        self
    }

    pub(crate) fn reg(self, register: u8, value: u32) -> Self {
        self.with(Field::Reg(register), value)
    }

    pub(crate) fn flags(self, value: u32, mask: u32) -> Self {
        self.masked(Field::Reg(register::FLAGS), value, mask)
    }

    pub(crate) fn arp(self, operation: u16) -> Self {
        self.with(Field::EthType, ETH_TYPE_ARP).with(Field::ArpOp, operation)
    }

    pub(crate) fn ip(self, family: Family) -> Self {
        self.with(Field::EthType, if family == Family::V4 { ETH_TYPE_IPV4 } else { ETH_TYPE_IPV6 })
    }

    pub(crate) fn protocol(self, protocol: u8) -> Self {
        self.with(Field::IpProto, protocol)
    }

    pub(crate) fn from(self, cidr: IpNet) -> Self {
        self.side(cidr, [Field::Ipv4Src, Field::Ipv6Src])
    }

    pub(crate) fn to(self, cidr: IpNet) -> Self {
        self.side(cidr, [Field::Ipv4Dst, Field::Ipv6Dst])
    }

    /// With the Ethernet type that the address has.
    fn side(self, cidr: IpNet, [v4, v6]: [Field; 2]) -> Self {
        match cidr {
            IpNet::V4(net) => self.ip(Family::V4).masked(v4, net.network().to_bits(), net.netmask().to_bits()),
            IpNet::V6(net) => self.ip(Family::V6).masked(v6, net.network().to_bits(), net.netmask().to_bits()),
        }
    }

    pub(crate) fn eth_from(self, mac: MacAddress) -> Self {
        self.with(Field::EthSrc, mac.number())
    }

    pub(crate) fn eth_to(self, mac: MacAddress) -> Self {
        self.with(Field::EthDst, mac.number())
    }

    pub(crate) fn ct_state(self, value: u32, mask: u32) -> Self {
        self.masked(Field::CtState, value, mask)
    }
}

pub(crate) fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

pub(crate) fn set(field: OxmField, value: impl Into<u128>) -> Action {
    let mask = u128::MAX >> (128 - field.bits());
    Action::SetField { field, value: value.into() & mask, mask, form: SetForm::SetField }
}

pub(crate) fn set_reg(register: u8, value: u32) -> Action {
    set(OxmField::Reg(register), value)
}

/// Set some of the flags; the others stay.
pub(crate) fn set_flags(value: u32, mask: u32) -> Action {
    let field = OxmField::Reg(register::FLAGS);
    Action::SetField { field, value: value.into(), mask: mask.into(), form: SetForm::SetField }
}

pub(crate) fn set_mac(field: OxmField, mac: MacAddress) -> Action {
    set(field, mac.number())
}

pub(crate) fn set_destination(address: IpAddr) -> Action {
    match address {
        IpAddr::V4(address) => set(OxmField::Ipv4Dst, address.to_bits()),
        IpAddr::V6(address) => set(OxmField::Ipv6Dst, address.to_bits()),
    }
}

pub(crate) fn copy(from: OxmField, to: OxmField) -> Action {
    let bits = from.bits().min(to.bits()) as u16;
    let part = |field| Subfield { field, offset: 0, bits };
    Action::Move { source: part(from), destination: part(to), onf: false }
}

pub(crate) fn output(port: PortNo) -> Action {
    Action::Output { port, max_len: 0 }
}

/// To a later table.
pub(crate) fn goto(table: Table) -> Action {
    Action::GotoTable(table.number())
}

/// To any table.
pub(crate) fn again(table: Table) -> Action {
    let (port, table) = (PortNo::IN_PORT, table.number());
    Action::Resubmit(Resubmit { port, table, conntrack: false, first: false })
}

/// Look the connection up in the zone whose number is in a register, and go on.
pub(crate) fn track(zone: u8, table: Table) -> Action {
    conntrack(register_zone(zone), false, table, Vec::new())
}

/// Keep the connection, and what allowed it, and go on. Behind a table of its own, because Open vSwitch lets all fragments of a
/// datagram out with the last one, and would send them where that goes.
pub(crate) fn commit(zone: u8, mark: u32, table: Table) -> Action {
    conntrack(register_zone(zone), true, table, vec![set(OxmField::CtMark, mark)])
}

/// Keep the connection in a zone, and go on.
pub(crate) fn keep(zone: u16, table: Table) -> Action {
    conntrack(ConntrackZone::Number(zone), true, table, Vec::new())
}

/// Look the connection up in a zone, and go on.
pub(crate) fn track_in(zone: u16, table: Table) -> Action {
    conntrack(ConntrackZone::Number(zone), false, table, Vec::new())
}

/// Give the connection a source address and a port of its own, and go on.
pub(crate) fn translate(zone: u16, public: Ipv4Addr, ports: (u16, u16), table: Table) -> Action {
    let nat = Nat {
        flags: NatFlags { source: true, ..NatFlags::default() },
        addresses: Some(NatRange::V4 { min: public, max: None }),
        port_min: Some(ports.0),
        port_max: Some(ports.1),
    };
    conntrack(ConntrackZone::Number(zone), true, table, vec![Action::Nat(nat)])
}

/// Undo [`translate`] in what comes back.
pub(crate) fn untranslate(zone: u16, table: Table) -> Action {
    conntrack(ConntrackZone::Number(zone), false, table, vec![Action::Nat(Nat::default())])
}

fn register_zone(register: u8) -> ConntrackZone {
    ConntrackZone::Field(Subfield { field: OxmField::Reg(register), offset: 0, bits: 16 })
}

fn conntrack(zone: ConntrackZone, commit: bool, table: Table, actions: Vec<Action>) -> Action {
    let table = Some(table.number());
    Action::Conntrack(Box::new(Conntrack { commit, force: false, other_flags: 0, zone, table, helper: 0, actions }))
}
