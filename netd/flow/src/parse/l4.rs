//! TCP, UDP, SCTP, ICMP, IGMP, ICMPv6 and neighbour discovery.

use super::{FRAG_LATER, Input, Malformed, be16, be32, be48};
use crate::{Field, Key};

pub const PROTO_ICMP: u8 = 1;
pub const PROTO_IGMP: u8 = 2;
pub const PROTO_TCP: u8 = 6;
pub const PROTO_UDP: u8 = 17;
pub const PROTO_ICMPV6: u8 = 58;
pub const PROTO_SCTP: u8 = 132;

pub(super) const ND_SOLICIT: u8 = 135;
pub(super) const ND_ADVERT: u8 = 136;
const OPTION_SOURCE_ADDRESS: u8 = 1;
const OPTION_TARGET_ADDRESS: u8 = 2;

#[inline]
pub(super) fn transport(input: &mut Input, key: &mut Key, protocol: u8) -> Result<(), Malformed> {
    match protocol {
        PROTO_TCP => {
            let header: &[u8; 20] = input.peek(Malformed::Transport)?;
            // With its options it must be there.
            let bytes = usize::from(header[12] >> 4) * 4;
            if bytes < header.len() || bytes > input.size {
                return Err(Malformed::Transport);
            }
            key.words[5] = u64::from(be32(header, 0)) << 32 | u64::from(be16(header, 12) & 0xfff) << 16;
        }
        PROTO_UDP => ports(key, input.peek::<8>(Malformed::Transport)?),
        PROTO_SCTP => ports(key, input.peek::<12>(Malformed::Transport)?),
        PROTO_ICMP | PROTO_IGMP => {
            let header: &[u8; 8] = input.peek(Malformed::Transport)?;
            key.words[5] = u64::from(be16(header, 0));
        }
        PROTO_ICMPV6 => {
            let header: &[u8; 8] = input.take(Malformed::Transport)?;
            key.words[5] = u64::from(be16(header, 0));
            if matches!(header[0], ND_SOLICIT | ND_ADVERT) && header[1] == 0 {
                key.words[22] = u64::from(be32(header, 4));
                return neighbour(input, key);
            }
        }
        _ => {}
    }
    Ok(())
}

#[inline]
fn ports<const N: usize>(key: &mut Key, header: &[u8; N]) {
    key.words[5] = u64::from(be32(header, 0)) << 32;
}

/// Target and link-layer address options of a neighbour solicitation or advertisement (RFC 4861).
fn neighbour(input: &mut Input, key: &mut Key) -> Result<(), Malformed> {
    let target: &[u8; 16] = input.take(Malformed::NeighbourDiscovery)?;
    key.set(Field::NdTarget, u128::from_be_bytes(*target));
    let (mut source, mut target, mut first) = (0, 0, 0);
    while input.size >= 8 {
        let option: &[u8; 8] = input.peek(Malformed::NeighbourDiscovery)?;
        let bytes = usize::from(option[1]) * 8;
        if bytes == 0 || bytes > input.size {
            break;
        }
        if bytes == 8 && matches!(option[0], OPTION_SOURCE_ADDRESS | OPTION_TARGET_ADDRESS) {
            let address = if option[0] == OPTION_SOURCE_ADDRESS { &mut source } else { &mut target };
            if *address != 0 {
                key.set(Field::NdTarget, 0);
                return Err(Malformed::NeighbourDiscovery);
            }
            *address = be48(option, 2);
            if first == 0 {
                first = option[0];
            }
        }
        input.skip(bytes, Malformed::NeighbourDiscovery)?;
    }
    key.words[18] = source << 16 | u64::from(first);
    key.words[19] = target << 16;
    Ok(())
}

/// Whether Open vSwitch keeps the original tuple's ports of such a packet: it has a transport header of its own, not of ND.
pub(super) fn has_ports(key: &Key, malformed: Option<Malformed>) -> bool {
    if malformed.is_some() || key.get_u64(Field::IpFrag) as u8 & FRAG_LATER != 0 {
        return false;
    }
    match key.get_u64(Field::IpProto) as u8 {
        PROTO_TCP | PROTO_UDP | PROTO_SCTP | PROTO_ICMP | PROTO_IGMP => true,
        PROTO_ICMPV6 => !is_neighbour(key),
        _ => false,
    }
}

/// A neighbour solicitation or advertisement.
pub(crate) fn is_neighbour(key: &Key) -> bool {
    key.get_u64(Field::IpProto) as u8 == PROTO_ICMPV6
        && matches!(key.get_u64(Field::IcmpType) as u8, ND_SOLICIT | ND_ADVERT)
        && key.get_u64(Field::IcmpCode) == 0
}
