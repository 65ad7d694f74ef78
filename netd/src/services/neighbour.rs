//! Neighbour discovery (RFC 4861): who the router is, and which addresses are its, told to those who ask and, while they are there, unasked.

use super::device::Answers;
use super::interface::{Client, Directory};
use super::model::Port;
use super::traffic::DropReason;
use hive_packet::build::v6;
use hive_packet::ipv6::Ipv6Header;
use std::net::Ipv6Addr;
use std::sync::Arc;

pub const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
pub const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

mod option {
    pub const SOURCE_LINK_LAYER: u8 = 1;
    pub const TARGET_LINK_LAYER: u8 = 2;
    pub const PREFIX: u8 = 3;
    pub const MTU: u8 = 5;
}

/// Addresses and all else come by DHCPv6 (M and O).
const MANAGED: u8 = 0xc0;
/// What is in the prefix is on the link, but nobody makes addresses of it (L, not A).
const ON_LINK: u8 = 0x80;
const HOP_LIMIT: u8 = 64;
/// How long a guest takes the router for one that it hears no more of.
const ROUTER_LIFETIME_S: u16 = 1800;
/// How long a prefix stays on the link, and addresses in it preferred: RFC 4861's defaults (6.2.1).
const PREFIX_VALID_S: u32 = 2_592_000;
const PREFIX_PREFERRED_S: u32 = 604_800;
/// Guests ask for the router only until they know one, so it has to remind them; five times may be lost.
const ADVERTISE_MS: u64 = 300_000;
/// Of a neighbour advertisement: from a router, solicited, override.
const FROM_ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// The message that goes to all of the port's link, or to the one who asks.
fn advertisement(port: &Port, to: Ipv6Addr) -> Vec<u8> {
    let segment = &port.segment;
    let [high, low] = ROUTER_LIFETIME_S.to_be_bytes();
    // Times that are left to the guest.
    let mut body = vec![0; 8];
    body.extend_from_slice(&[option::SOURCE_LINK_LAYER, 1]);
    body.extend_from_slice(&segment.gateway_mac.0);
    body.extend_from_slice(&[option::MTU, 1, 0, 0]);
    body.extend_from_slice(&u32::from(segment.spec.mtu).to_be_bytes());
    if let Some(subnet) = &segment.spec.ipv6 {
        body.extend_from_slice(&[option::PREFIX, 4, subnet.prefix_len, ON_LINK]);
        body.extend_from_slice(&PREFIX_VALID_S.to_be_bytes());
        body.extend_from_slice(&PREFIX_PREFERRED_S.to_be_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&subnet.network.octets());
    }
    v6::neighbour(segment.router_v6(), to, ROUTER_ADVERTISEMENT, [HOP_LIMIT, MANAGED, high, low], &body)
}

/// Answers a solicitation, whose checksum holds.
///
/// # Errors
/// Why it is not answered.
pub fn answer(port: &Port, header: &Ipv6Header, message: &[u8]) -> Result<Vec<u8>, DropReason> {
    let from_nobody = header.src.is_unspecified();
    if !from_nobody && !port.may_send_from_v6(header.src) {
        return Err(DropReason::SpoofedIpv6);
    }
    let (fixed, rest) = message.split_first_chunk::<8>().ok_or(DropReason::Malformed)?;
    if header.hop_limit != v6::ND_HOP_LIMIT || fixed[1] != 0 {
        return Err(DropReason::Malformed);
    }
    let to = if from_nobody { ALL_NODES } else { header.src };
    if fixed[0] == ROUTER_SOLICITATION {
        check_options(rest, from_nobody)?;
        return Ok(advertisement(port, to));
    }
    let (target, options) = rest.split_first_chunk::<16>().ok_or(DropReason::Malformed)?;
    check_options(options, from_nobody)?;
    let target = Ipv6Addr::from(*target);
    if !port.segment.is_local_v6(target) {
        return Err(DropReason::NotLocal);
    }
    // Who asks from nowhere is about to take the address, and hears that it is taken.
    let flags = FROM_ROUTER | OVERRIDE | if from_nobody { 0 } else { SOLICITED };
    let body = [&target.octets()[..], &[option::TARGET_LINK_LAYER, 1], &port.segment.gateway_mac.0].concat();
    Ok(v6::neighbour(target, to, NEIGHBOUR_ADVERTISEMENT, [flags, 0, 0, 0], &body))
}

/// Options have lengths, in units of eight bytes, that fill the message; who has no address yet names no hardware address
/// (RFC 4861, 6.1.1 and 7.1.1).
fn check_options(mut options: &[u8], from_nobody: bool) -> Result<(), DropReason> {
    while let [kind, length, ..] = *options {
        let length = usize::from(length) * 8;
        if length == 0 || (from_nobody && kind == option::SOURCE_LINK_LAYER) {
            return Err(DropReason::Malformed);
        }
        options = options.get(length..).ok_or(DropReason::Malformed)?;
    }
    if options.is_empty() { Ok(()) } else { Err(DropReason::Malformed) }
}

/// Reminds all guests of their router, by all services ports: which one a guest is behind is the tables' affair, and by others nothing
/// reaches it. Nothing is known of who asked before, so that a restart forgets nobody.
#[derive(Debug, Default)]
pub struct Advertiser {
    ports: Vec<Arc<Answers>>,
    due_ms: u64,
}

impl Advertiser {
    /// One more services port, by which all are told at once.
    pub fn begin(&mut self, answers: Arc<Answers>) {
        self.ports.retain(|answers| !answers.is_closed());
        self.ports.push(answers);
        self.due_ms = 0;
    }

    pub fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Does what is due.
    pub fn poll(&mut self, directory: &Directory, now_ms: u64) {
        if now_ms < self.due_ms {
            return;
        }
        self.due_ms = now_ms + ADVERTISE_MS;
        self.ports.retain(|answers| !answers.is_closed());
        for interface in directory.interfaces() {
            let port = interface.port();
            if port.segment.spec.ipv6.is_some() {
                let advertisement = advertisement(&port, ALL_NODES);
                for answers in &self.ports {
                    let client = Client { interface: interface.clone(), answers: answers.clone() };
                    client.send(&advertisement);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::interface::Interface;
    use crate::services::model::ipv6::tests::{address, parsed, port_v6};
    use crate::services::model::{Segment, tests as model};
    use hive_netd_api as api;
    use hive_packet::ipv6::transport_checksum_holds;

    const GUEST: &str = "fe80::ff:fe00:5";
    const ROUTER: &str = "fe80::ff:fe00:1";

    /// What is answered to a message from here, with this hop limit.
    fn ask_within(hops: u8, from: &str, message: &[u8]) -> Result<Vec<u8>, DropReason> {
        let packet = v6::packet(address(from), address("ff02::2"), 58, hops, message);
        answer(&parsed(), &Ipv6Header::parse(&packet, packet.len()).unwrap(), message)
    }

    fn ask(from: &str, message: &[u8]) -> Result<Vec<u8>, DropReason> {
        ask_within(255, from, message)
    }

    /// Source, destination and message of an answer.
    fn told(packet: &[u8]) -> (Ipv6Addr, Ipv6Addr, &[u8]) {
        let header = Ipv6Header::parse(packet, packet.len()).unwrap();
        assert!(header.hop_limit == 255 && transport_checksum_holds(packet, &header));
        (header.src, header.dst, header.payload(packet).unwrap())
    }

    /// Written out after RFC 4861, 4.2 and 4.6.
    #[test]
    fn who_asks_for_a_router_is_told_of_it_and_of_the_link() {
        let answer = ask(GUEST, &[133, 0, 9, 9, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 5]).unwrap();
        let (from, to, message) = told(&answer);
        assert_eq!((from, to), (address(ROUTER), address(GUEST)));
        let expected: [&[u8]; 5] = [
            &[64, 0xc0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 1, 2, 0, 0, 0, 0, 1],
            &[5, 1, 0, 0, 0, 0, 0x23, 0x29],
            &[3, 4, 64, 0x80, 0, 0x27, 0x8d, 0, 0, 0x09, 0x3a, 0x80, 0, 0, 0, 0],
            &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(message[..2], [134, 0]);
        assert_eq!(message[4..], expected.concat());
        let all = ask("::", &[133, 0, 9, 9, 0, 0, 0, 0]).unwrap();
        assert_eq!(told(&all).1, address("ff02::1"));
    }

    fn neighbour(target: &str, options: &[u8]) -> Vec<u8> {
        [&[135, 0, 9, 9, 0, 0, 0, 0][..], &address(target).octets(), options].concat()
    }

    #[test]
    fn the_services_addresses_are_the_routers() {
        for target in [ROUTER, "fd00:ec2::253", "fd00:ec2::254"] {
            for (from, to, flags) in [(GUEST, GUEST, 0xe0), ("::", "ff02::1", 0xa0)] {
                let answer = ask(from, &neighbour(target, &[])).unwrap();
                let told = told(&answer);
                assert_eq!((told.0, told.1), (address(target), address(to)));
                let option = [2, 1, 2, 0, 0, 0, 0, 1];
                assert_eq!(told.2[4..], [&[flags, 0, 0, 0][..], &address(target).octets(), &option].concat());
                assert_eq!(told.2[..2], [136, 0]);
            }
        }
        assert_eq!(ask(GUEST, &neighbour("2001:db8:0:5::55", &[])), Err(DropReason::NotLocal));
    }

    #[test]
    fn what_was_not_sent_on_the_link_or_is_malformed_is_not_answered() {
        let router = [133, 0, 9, 9, 0, 0, 0, 0];
        for hops in [64, 254] {
            assert_eq!(ask_within(hops, GUEST, &router), Err(DropReason::Malformed));
        }
        for (from, message) in [
            (GUEST, [133, 1, 9, 9, 0, 0, 0, 0].to_vec()),
            (GUEST, router[..7].to_vec()),
            (GUEST, [&router[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat()),
            (GUEST, [&router[..], &[1, 2, 0, 0, 0, 0, 0, 0]].concat()),
            (GUEST, [&router[..], &[1]].concat()),
            ("::", [&router[..], &[1, 1, 2, 0, 0, 0, 0, 5]].concat()),
            ("::", neighbour(ROUTER, &[1, 1, 2, 0, 0, 0, 0, 5])),
            (GUEST, neighbour(ROUTER, &[])[..23].to_vec()),
        ] {
            assert_eq!(ask(from, &message), Err(DropReason::Malformed), "{message:?}");
        }
        for from in [ROUTER, "fd00:ec2::254", "ff02::1", "::1"] {
            assert_eq!(ask(from, &router), Err(DropReason::SpoofedIpv6), "{from}");
        }
    }

    #[test]
    fn guests_are_reminded_of_their_router_as_long_as_there_is_a_port() {
        let directory = Directory::default();
        let (with, without) = (parsed(), Segment::parse(model::segment()).unwrap());
        let other = Port::parse(api::Port { number: 6, ipv6: vec![], ..port_v6() }, Arc::new(without)).unwrap();
        let interfaces = [with, other].map(|port| Arc::new(Interface::new(port, &directory)));
        directory.set([].iter(), interfaces.iter(), [].iter());
        let (first, second) = (Arc::new(Answers::new().unwrap()), Arc::new(Answers::new().unwrap()));
        let mut advertiser = Advertiser::default();
        let numbers =
            |answers: &Answers| -> Vec<u64> { answers.take().into_iter().map(|(number, _)| number).collect() };
        advertiser.begin(first.clone());
        advertiser.poll(&directory, 5);
        let [(5, frame)] = <[_; 1]>::try_from(Vec::from(first.take())).unwrap() else { panic!("not of number 5") };
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
        let (from, to, message) = told(&frame[14..]);
        assert_eq!((from, to, message[0]), (address(ROUTER), address("ff02::1"), 134));
        advertiser.poll(&directory, 300_004);
        assert!(numbers(&first).is_empty());
        advertiser.poll(&directory, 300_005);
        assert_eq!((numbers(&first), advertiser.due_ms()), (vec![5], 600_005));
        advertiser.begin(second.clone());
        advertiser.poll(&directory, 300_006);
        assert_eq!((numbers(&first), numbers(&second)), (vec![5], vec![5]));
        first.close();
        advertiser.poll(&directory, 900_000);
        assert_eq!((numbers(&first), numbers(&second)), (vec![], vec![5]));
        assert_eq!(advertiser.ports.len(), 1);
    }
}
