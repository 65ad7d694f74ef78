//! DHCP (RFC 2131, options RFC 2132): each port is leased its one address.

use crate::model::Port;
use hive_packet::{be32, put};
use std::net::Ipv4Addr;

/// EC2's lease time.
const LEASE_S: u32 = 3600;
const FIXED_BYTES: usize = 236;
const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// Messages are at least this long (RFC 951's 300 bytes), as some clients demand.
const MIN_MESSAGE_BYTES: usize = 300;
const FLAG_BROADCAST: u8 = 0x80;

mod option {
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const MTU: u8 = 26;
    pub const BROADCAST: u8 = 28;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
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
    write_options(&mut reply, port, kind, inform);
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

fn write_options(reply: &mut Vec<u8>, port: &Port, kind: u8, inform: bool) {
    let segment = &port.segment;
    let mut add = |code: u8, value: &[u8]| {
        // Names are at most 253 bytes, all else is shorter.
        reply.extend_from_slice(&[code, value.len().min(255) as u8]);
        reply.extend_from_slice(&value[..value.len().min(255)]);
    };
    add(option::MESSAGE_TYPE, &[kind]);
    add(option::SERVER_ID, &segment.spec.gateway.octets());
    if kind != NAK {
        if !inform {
            add(option::LEASE_TIME, &LEASE_S.to_be_bytes());
            add(option::RENEWAL_TIME, &(LEASE_S / 2).to_be_bytes());
            add(option::REBINDING_TIME, &(LEASE_S / 8 * 7).to_be_bytes());
        }
        add(option::SUBNET_MASK, &segment.mask().octets());
        add(option::BROADCAST, &segment.broadcast().octets());
        add(option::ROUTER, &segment.spec.gateway.octets());
        add(option::DNS, &segment.spec.dns.octets());
        add(option::DOMAIN_NAME, segment.spec.domain_name.as_bytes());
        add(option::HOST_NAME, port.spec.hostname.as_bytes());
        add(option::MTU, &segment.spec.mtu.to_be_bytes());
    }
    reply.push(option::END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Segment, tests as model};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn port() -> Port {
        Port::parse(model::port(), Arc::new(Segment::parse(model::segment()).unwrap())).unwrap()
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
