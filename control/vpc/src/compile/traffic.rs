//! What a rule is about, as matches.

use crate::flow::{Family, Pattern};
use crate::model::{IcmpKind, PortRange, Traffic};
use crate::ports::masked;
use hive_flow::{FRAG_LATER, Field, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP};

/// Fields with values and masks.
pub(super) type Fields = Vec<(Field, u128, u128)>;

impl Traffic {
    /// Any of these matches; all name the protocol, but for [`Traffic::All`]. None: nothing can match in this family.
    pub(super) fn fields(self, family: Family) -> Vec<Fields> {
        let (protocol, rest) = match self {
            Self::All => return vec![Vec::new()],
            Self::Protocol(protocol) => (protocol, vec![Vec::new()]),
            Self::Tcp(range) => (PROTO_TCP, ports(range)),
            Self::Udp(range) => (PROTO_UDP, ports(range)),
            Self::Icmp(kind) if family == Family::V4 => (PROTO_ICMP, vec![icmp(kind)]),
            Self::Icmpv6(kind) if family == Family::V6 => (PROTO_ICMPV6, vec![icmp(kind)]),
            Self::Icmp(_) | Self::Icmpv6(_) => return Vec::new(),
        };
        let with_protocol = |mut fields: Fields| {
            fields.insert(0, (Field::IpProto, protocol.into(), 0xff));
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

fn ports(range: PortRange) -> Vec<Fields> {
    let piece = |(value, mask): (u16, u16)| {
        if mask == 0 { Vec::new() } else { vec![(Field::TpDst, value.into(), mask.into()), NOT_LATER] }
    };
    masked(range).into_iter().map(piece).collect()
}

fn icmp(kind: IcmpKind) -> Fields {
    let Some(number) = kind.kind else { return Vec::new() };
    let mut fields = vec![(Field::IcmpType, number.into(), 0xff), NOT_LATER];
    fields.extend(kind.code.map(|code| (Field::IcmpCode, code.into(), 0xff)));
    fields
}

/// A later fragment has no ports, which would read as 0.
const NOT_LATER: (Field, u128, u128) = (Field::IpFrag, 0, FRAG_LATER as u128);

impl Pattern {
    pub(super) fn fields(self, fields: &Fields) -> Self {
        fields.iter().fold(self, |pattern, (field, value, mask)| pattern.masked(*field, *value, *mask))
    }
}
