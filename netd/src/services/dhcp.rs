//! DHCP (RFC 2131, options RFC 2132): each port is leased its one address.

use super::model::Port;
use hive_packet::{be16, be32, put};
use std::net::Ipv4Addr;

const FIXED_BYTES: usize = 236;
const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// Messages are at least this long (RFC 951's 300 bytes), as some clients demand.
const MIN_MESSAGE_BYTES: usize = 300;
/// IP packets that every client takes (RFC 2131, 2), and what they have beside the message.
const MIN_PACKET_BYTES: u16 = 576;
const IP_UDP_BYTES: usize = 28;
const FLAG_BROADCAST: u8 = 0x80;

mod option {
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const MTU: u8 = 26;
    pub const BROADCAST: u8 = 28;
    pub const NTP: u8 = 42;
    pub const NETBIOS_NAME_SERVERS: u8 = 44;
    pub const NETBIOS_NODE_TYPE: u8 = 46;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const MAX_MESSAGE_BYTES: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const END: u8 = 255;
}

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
const INFORM: u8 = 8;

/// An answer and the address to send it to.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub to: Ipv4Addr,
    pub message: Vec<u8>,
}

/// The first value of an option, if the options are well-formed up to it.
fn find_option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [option::END, ..] | [] | [_] => return None,
            [code, length, rest @ ..] => {
                let value = rest.get(..usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                options = &rest[value.len()..];
            }
        }
    }
}

fn address_option(options: &[u8], code: u8) -> Option<Ipv4Addr> {
    find_option(options, code)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
}

/// Answers a client's message on a port; None when there is nothing to say.
pub fn answer(port: &Port, message: &[u8]) -> Option<Reply> {
    let options = message.get(FIXED_BYTES..)?.strip_prefix(&MAGIC)?;
    // A BOOTREQUEST for Ethernet from this port's own address.
    if message[..3] != [1, 1, 6] || message[28..34] != port.mac.0 {
        return None;
    }
    let server = port.segment.spec.gateway;
    let leased = port.spec.ipv4;
    let current = Ipv4Addr::from_bits(be32(message, 12)?);
    let kind = match *find_option(options, option::MESSAGE_TYPE)?.first()? {
        DISCOVER => OFFER,
        INFORM => ACK,
        REQUEST => {
            if address_option(options, option::SERVER_ID).is_some_and(|chosen| chosen != server) {
                return None;
            }
            let wanted = address_option(options, option::REQUESTED_ADDRESS).unwrap_or(current);
            if wanted == leased { ACK } else { NAK }
        }
        _ => return None,
    };
    let inform = find_option(options, option::MESSAGE_TYPE) == Some(&[INFORM]);
    let mut reply = vec![0; FIXED_BYTES];
    reply[..3].copy_from_slice(&[2, 1, 6]);
    // Transaction and flags are the client's, as are its addresses.
    reply[4..8].copy_from_slice(&message[4..8]);
    reply[10..12].copy_from_slice(&message[10..12]);
    reply[28..44].copy_from_slice(&message[28..44]);
    if kind != NAK {
        put(&mut reply, 12, &current.octets());
        if !inform {
            put(&mut reply, 16, &leased.octets());
        }
    }
    reply.extend_from_slice(&MAGIC);
    let takes = find_option(options, option::MAX_MESSAGE_BYTES).and_then(|value| be16(value, 0)).unwrap_or(0);
    let packet_bytes = takes.min(port.segment.spec.mtu).max(MIN_PACKET_BYTES);
    write_options(&mut reply, port, kind, inform, usize::from(packet_bytes) - IP_UDP_BYTES);
    reply.resize(reply.len().max(MIN_MESSAGE_BYTES), 0);
    let to = if !current.is_unspecified() && kind != NAK {
        current
    } else if message[10] & FLAG_BROADCAST != 0 || kind == NAK {
        Ipv4Addr::BROADCAST
    } else {
        leased
    };
    Some(Reply { to, message: reply })
}

/// Options in the order in which a guest needs them: what no longer fits into `most` bytes is left out.
fn write_options(reply: &mut Vec<u8>, port: &Port, kind: u8, inform: bool, most: usize) {
    let segment = &port.segment;
    let mut add = |code: u8, value: &[u8]| {
        // Names and lists of them are at most 253 bytes, all else is shorter.
        let Ok(length) = u8::try_from(value.len()) else { return };
        // The last byte is the end's.
        if reply.len() + 2 + value.len() < most {
            reply.extend_from_slice(&[code, length]);
            reply.extend_from_slice(value);
        }
    };
    add(option::MESSAGE_TYPE, &[kind]);
    add(option::SERVER_ID, &segment.spec.gateway.octets());
    if kind != NAK {
        if !inform {
            let lease_s = segment.spec.lease_s;
            add(option::LEASE_TIME, &lease_s.to_be_bytes());
            add(option::RENEWAL_TIME, &(lease_s / 2).to_be_bytes());
            add(option::REBINDING_TIME, &(lease_s / 8 * 7).to_be_bytes());
        }
        add(option::SUBNET_MASK, &segment.mask().octets());
        add(option::BROADCAST, &segment.broadcast().octets());
        add(option::ROUTER, &segment.spec.gateway.octets());
        add(option::MTU, &segment.spec.mtu.to_be_bytes());
        let servers = [
            (option::DNS, &segment.spec.name_servers),
            (option::NTP, &segment.spec.ntp_servers),
            (option::NETBIOS_NAME_SERVERS, &segment.spec.netbios_name_servers),
        ];
        for (code, servers) in servers.into_iter().filter(|(_, servers)| !servers.is_empty()) {
            add(code, &servers.iter().flat_map(Ipv4Addr::octets).collect::<Vec<_>>());
        }
        if let Some(kind) = segment.spec.netbios_node_type {
            add(option::NETBIOS_NODE_TYPE, &[kind]);
        }
        add(option::HOST_NAME, port.spec.hostname.as_bytes());
        add(option::DOMAIN_NAME, segment.spec.domain_name.as_bytes());
    }
    reply.push(option::END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::model::{Segment, tests as model};
    use hive_netd_api as api;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn port_on(segment: api::Segment) -> Port {
        Port::parse(model::port(), Arc::new(Segment::parse(segment).unwrap())).unwrap()
    }

    fn port() -> Port {
        port_on(model::segment())
    }

    fn request(kind: u8, extra: &[u8]) -> Vec<u8> {
        let mut message = vec![0; FIXED_BYTES];
        message[..3].copy_from_slice(&[1, 1, 6]);
        message[4..8].copy_from_slice(&[1, 2, 3, 4]);
        message[28..34].copy_from_slice(&port().mac.0);
        message.extend_from_slice(&MAGIC);
        message.extend_from_slice(&[option::MESSAGE_TYPE, 1, kind]);
        message.extend_from_slice(extra);
        message.push(option::END);
        message
    }

    fn kind(reply: &Reply) -> u8 {
        find_option(&reply.message[FIXED_BYTES + 4..], option::MESSAGE_TYPE).unwrap()[0]
    }

    #[test]
    fn a_client_is_offered_and_leased_its_port_address() {
        let offer = answer(&port(), &request(DISCOVER, &[])).unwrap();
        assert_eq!((kind(&offer), offer.to), (OFFER, Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(offer.message[16..20], [10, 0, 0, 5]);
        let options = &offer.message[FIXED_BYTES + 4..];
        assert_eq!(find_option(options, option::ROUTER), Some(&[10, 0, 0, 1][..]));
        assert_eq!(find_option(options, option::DNS), Some(&[10, 0, 0, 2][..]));
        assert_eq!(find_option(options, option::MTU), Some(&9001u16.to_be_bytes()[..]));
        assert_eq!(find_option(options, option::LEASE_TIME), Some(&3600u32.to_be_bytes()[..]));
        assert_eq!(find_option(options, option::HOST_NAME), Some(&b"ip-10-0-0-5"[..]));
        let ack = answer(&port(), &request(REQUEST, &[option::REQUESTED_ADDRESS, 4, 10, 0, 0, 5])).unwrap();
        assert_eq!(kind(&ack), ACK);
        let nak = answer(&port(), &request(REQUEST, &[option::REQUESTED_ADDRESS, 4, 10, 0, 0, 9])).unwrap();
        assert_eq!((kind(&nak), nak.to), (NAK, Ipv4Addr::BROADCAST));
        assert_eq!(answer(&port(), &request(REQUEST, &[option::SERVER_ID, 4, 10, 0, 0, 9])), None);
    }

    #[test]
    fn the_segment_says_which_options_there_are() {
        let address = |last| Ipv4Addr::new(192, 0, 2, last);
        let port = port_on(api::Segment {
            domain_name: "ec2.internal example.com".into(),
            name_servers: vec![address(1), address(2)],
            ntp_servers: vec![address(3)],
            netbios_name_servers: vec![address(4), address(5), address(6), address(7)],
            netbios_node_type: Some(2),
            lease_s: 86_400,
            ..model::segment()
        });
        let ack = answer(&port, &request(REQUEST, &[option::REQUESTED_ADDRESS, 4, 10, 0, 0, 5])).unwrap();
        let found = |code| find_option(&ack.message[FIXED_BYTES + 4..], code);
        assert_eq!(found(option::DNS), Some(&[192, 0, 2, 1, 192, 0, 2, 2][..]));
        assert_eq!(found(option::NTP), Some(&[192, 0, 2, 3][..]));
        assert_eq!(found(option::NETBIOS_NAME_SERVERS).map(<[u8]>::len), Some(16));
        assert_eq!(found(option::NETBIOS_NODE_TYPE), Some(&[2][..]));
        assert_eq!(found(option::DOMAIN_NAME), Some(&b"ec2.internal example.com"[..]));
        assert_eq!(found(option::LEASE_TIME), Some(&86_400u32.to_be_bytes()[..]));
        assert_eq!(found(option::RENEWAL_TIME), Some(&43_200u32.to_be_bytes()[..]));
        assert_eq!(found(option::REBINDING_TIME), Some(&75_600u32.to_be_bytes()[..]));
        let none = port_on(api::Segment { name_servers: Vec::new(), ..model::segment() });
        let offer = answer(&none, &request(DISCOVER, &[])).unwrap();
        for code in [option::DNS, option::NTP, option::NETBIOS_NAME_SERVERS, option::NETBIOS_NODE_TYPE] {
            assert_eq!(find_option(&offer.message[FIXED_BYTES + 4..], code), None, "{code}");
        }
    }

    #[test]
    fn a_message_is_no_longer_than_the_client_takes() {
        let labels = |byte: char| [byte.to_string().repeat(63), byte.to_string().repeat(63)].join(".");
        let segment = api::Segment { domain_name: format!("{0} {0}", labels('d'))[..253].into(), ..model::segment() };
        let segment = Arc::new(Segment::parse(segment).unwrap());
        let port = Port::parse(api::Port { hostname: labels('h'), ..model::port() }, segment).unwrap();
        for (extra, fits) in [(&[][..], false), (&[option::MAX_MESSAGE_BYTES, 2, 0x05, 0xdc], true)] {
            let offer = answer(&port, &request(DISCOVER, extra)).unwrap();
            assert!(fits || offer.message.len() <= 548, "{}", offer.message.len());
            let found = |code| find_option(&offer.message[FIXED_BYTES + 4..], code);
            assert!(found(option::HOST_NAME).is_some());
            assert_eq!(found(option::DOMAIN_NAME).is_some(), fits);
        }
    }

    #[test]
    fn another_mac_is_not_answered() {
        let mut message = request(DISCOVER, &[]);
        message[28] ^= 2;
        assert_eq!(answer(&port(), &message), None);
    }

    proptest! {
        #[test]
        fn hostile_options_never_panic(extra in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..600) {
            let message = request(REQUEST, &extra);
            let _ = answer(&port(), &message[..cut.min(message.len())]);
        }
    }
}
