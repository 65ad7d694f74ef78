//! What a rule is about, as matches.

use crate::flow::{Family, Pattern};
use crate::model::{IcmpKind, PortRange, Traffic};
use crate::ports::masked;
use hive_flow::{FRAG_LATER, Field, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP};

/// Fields with values and masks.
pub(super) type Fields = Vec<(Field, u128, u128)>;

/// Where a rule looks for ports and types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// In the tracker's tuple, which every fragment has: for a connection's first packet that is the packet's own.
    Connection,
    /// In the packet's headers, which later fragments do not have.
    Packet,
}

impl Traffic {
    /// Any of these matches; all name the protocol, but for [`Traffic::All`]. None: nothing can match in this family.
    pub(super) fn fields(self, family: Family, view: View) -> Vec<Fields> {
        // Open vSwitch keeps the tracker's ports only beside the tracker's protocol.
        let of_protocol = if view == View::Connection { Field::CtNwProto } else { Field::IpProto };
        let (protocol, rest) = match self {
            Self::All => return vec![Vec::new()],
            Self::Protocol(protocol) => (protocol, vec![Vec::new()]),
            Self::Tcp(range) => (PROTO_TCP, ports(range, view)),
            Self::Udp(range) => (PROTO_UDP, ports(range, view)),
            Self::Icmp(kind) if family == Family::V4 => (PROTO_ICMP, vec![icmp(kind, view)]),
            Self::Icmpv6(kind) if family == Family::V6 => (PROTO_ICMPV6, vec![icmp(kind, view)]),
            Self::Icmp(_) | Self::Icmpv6(_) => return Vec::new(),
        };
        let with_protocol = |mut fields: Fields| {
            fields.insert(0, (of_protocol, protocol.into(), 0xff));
            fields
        };
        rest.into_iter().map(with_protocol).collect()
    }

    /// The ports of a protocol that it is about.
    pub(super) fn ports_of(self, protocol: u8) -> Option<PortRange> {
        match self {
            Self::All => Some(PortRange::ALL),
            Self::Tcp(range) if protocol == PROTO_TCP => Some(range),
            Self::Udp(range) if protocol == PROTO_UDP => Some(range),
            Self::Protocol(number) if number == protocol => Some(PortRange::ALL),
            _ => None,
        }
    }
}

fn ports(range: PortRange, view: View) -> Vec<Fields> {
    let field = if view == View::Connection { Field::CtTpDst } else { Field::TpDst };
    let piece = |(value, mask): (u16, u16)| {
        if mask == 0 { Vec::new() } else { with_view(view, vec![(field, value.into(), mask.into())]) }
    };
    masked(range).into_iter().map(piece).collect()
}

/// The tracker keeps type and code in the place of ports.
fn icmp(kind: IcmpKind, view: View) -> Fields {
    let [of_kind, of_code] = match view {
        View::Connection => [Field::CtTpSrc, Field::CtTpDst],
        View::Packet => [Field::IcmpType, Field::IcmpCode],
    };
    let Some(number) = kind.kind else { return Vec::new() };
    let mut fields = vec![(of_kind, number.into(), of_kind.full_mask())];
    fields.extend(kind.code.map(|code| (of_code, code.into(), of_code.full_mask())));
    with_view(view, fields)
}

/// A later fragment has no ports, which would read as 0.
fn with_view(view: View, mut fields: Fields) -> Fields {
    if view == View::Packet {
        fields.push((Field::IpFrag, 0, FRAG_LATER.into()));
    }
    fields
}

impl Pattern {
    pub(super) fn fields(self, fields: &Fields) -> Self {
        fields.iter().fold(self, |pattern, (field, value, mask)| pattern.masked(*field, *value, *mask))
    }
}
