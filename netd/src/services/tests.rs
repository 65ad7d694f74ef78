use super::interface::Interface;
use super::model::ipv6::METADATA_ADDRESS_V6;
use super::model::ipv6::tests::{address as v6, port_v6, segment_v6};
use super::model::{Segment, tests as model};
use super::*;
use hive_netd_api as api;
use hive_packet::{MacAddr, ipv6};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Something that a guest sends.
#[derive(Clone, Debug)]
enum Sent {
    Frame(Vec<u8>),
    Udp(Ipv4Addr, Ipv4Addr, u16, Vec<u8>),
    Tcp(u8, u32, u32, Vec<u8>),
    Echo(Ipv4Addr, Vec<u8>),
    Udp6(Ipv6Addr, Ipv6Addr, u16, Vec<u8>),
    Tcp6(u8, u32, u32, Vec<u8>),
    /// Of neighbour discovery, or not.
    Icmp6(bool, Ipv6Addr, Ipv6Addr, u8, Vec<u8>),
    Packet6(Ipv6Addr, Ipv6Addr, u8, Vec<u8>),
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        8 => prop::sample::select(vec![[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 5], [169, 254, 169, 253], [0; 4], [255; 4]]),
        1 => any::<[u8; 4]>(),
    ]
    .prop_map(Ipv4Addr::from)
}

fn address_v6() -> impl Strategy<Value = Ipv6Addr> {
    let known = ["fe80::ff:fe00:1", "fe80::ff:fe00:5", "2001:db8:0:5::55", "fd00:ec2::253", "fd00:ec2::254"];
    let groups = ["ff02::1", "ff02::2", "ff02::1:2", "::"];
    let known: Vec<Ipv6Addr> = known.into_iter().chain(groups).map(v6).collect();
    prop_oneof![9 => prop::sample::select(known), 1 => any::<u128>().prop_map(Ipv6Addr::from_bits)]
}

fn body_v6() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(0u8..32, 0..200);
    let dhcp = |(kind, server, rest): (u8, bool, Vec<u8>)| {
        let server: &[u8] = if server { &[0, 2, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1] } else { &[] };
        let association = [0, 3, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
        [&[kind, 1, 2, 3, 0, 1, 0, 3, 0, 3, 0][..], server, &association, &rest].concat()
    };
    let named = |(target, rest): (Ipv6Addr, Vec<u8>)| [&target.octets()[..], &rest].concat();
    let tail = || prop_oneof![Just(vec![]), bytes()];
    prop_oneof![body(), (0u8..13, any::<bool>(), tail()).prop_map(dhcp), (address_v6(), tail()).prop_map(named), tail()]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let dhcp = |(kind, rest): (u8, Vec<u8>)| {
        let head = [&[1, 1, 6][..], &[0; 25], &[2, 0, 0, 0, 0, 5], &[0; 202], &[99, 130, 83, 99, 53, 1, kind]].concat();
        [head, rest].concat()
    };
    let dns = |rest: Vec<u8>| [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &rest].concat();
    prop_oneof![bytes(), (0u8..9, bytes()).prop_map(dhcp), bytes().prop_map(dns)]
}

fn sent() -> impl Strategy<Value = Sent> {
    let request = prop::sample::select(vec!["GET / HTTP/1.1\r\n\r\n", "PUT /latest/api/token HTTP/1.1\r\n", "\r\n"]);
    let request = request.prop_map(|text| text.as_bytes().to_vec()).boxed();
    let text = || prop_oneof![request.clone(), prop::collection::vec(any::<u8>(), 0..99)];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Sent::Frame),
        (address(), address(), prop::sample::select(vec![53u16, 67]), body())
            .prop_map(|(from, to, port, body)| Sent::Udp(from, to, port, body)),
        (any::<u8>(), 0u32..400, any::<u32>(), text()).prop_map(|(flags, at, to, text)| Sent::Tcp(flags, at, to, text)),
        (address(), prop::collection::vec(any::<u8>(), 0..100)).prop_map(|(to, body)| Sent::Echo(to, body)),
        (address_v6(), address_v6(), prop::sample::select(vec![53u16, 547]), body_v6())
            .prop_map(|(from, to, port, body)| Sent::Udp6(from, to, port, body)),
        (any::<u8>(), 0u32..400, any::<u32>(), text())
            .prop_map(|(flags, at, to, text)| Sent::Tcp6(flags, at, to, text)),
        (any::<bool>(), address_v6(), address_v6(), prop::sample::select(vec![1u8, 128, 133, 135]), body_v6())
            .prop_map(|(near, from, to, kind, body)| Sent::Icmp6(near, from, to, kind, body)),
        (address_v6(), address_v6(), any::<u8>(), body_v6())
            .prop_map(|(from, to, next, body)| Sent::Packet6(from, to, next, body)),
    ]
}

fn frame(sent: &Sent, port: &Port) -> Vec<u8> {
    let guest = port.spec.ipv4;
    let packet = match sent {
        Sent::Frame(bytes) => return [&port.segment.gateway_mac.0[..], &port.mac.0, bytes].concat(),
        Sent::Udp(from, to, at, body) => build::udp(*from, *to, 68, *at, body),
        Sent::Echo(to, body) => build::icmp(guest, *to, 8, 0, [0; 4], body),
        Sent::Udp6(from, to, at, body) => build::v6::udp(*from, *to, 546, *at, body),
        Sent::Icmp6(true, from, to, kind, body) => build::v6::neighbour(*from, *to, *kind, [0; 4], body),
        Sent::Icmp6(false, from, to, kind, body) => build::v6::icmp(*from, *to, *kind, 0, [0; 4], body),
        Sent::Packet6(from, to, next, body) => build::v6::packet(*from, *to, *next, 64, body),
        Sent::Tcp6(flags, at, to, text) => {
            let guest = port.spec.ipv6[0];
            build::v6::tcp_at(guest, METADATA_ADDRESS_V6, [1, 80], *flags, [*at, *to], text)
        }
        Sent::Tcp(flags, at, to, text) => build::tcp_at(guest, METADATA_ADDRESS, [1, 80], *flags, [*at, *to], text),
    };
    build::ethernet(port.segment.gateway_mac, port.mac, &packet)
}

#[test]
fn an_interface_that_has_gone_gets_no_server() {
    let segment = Arc::new(Segment::parse(model::segment()).unwrap());
    let directory = Arc::new(Directory::default());
    let interface = || Arc::new(Interface::new(Port::parse(model::port(), segment.clone()).unwrap(), &directory));
    let (gone, there, answers) = (interface(), interface(), Arc::new(Answers::new().unwrap()));
    let mut services = Services::new(directory.clone(), None).unwrap();
    let mut ask = |interface: &Arc<Interface>| {
        let client = Client { interface: interface.clone(), answers: answers.clone() };
        let asked = services.answer(&client, &frame(&Sent::Tcp(2, 0, 0, vec![]), &interface.port()));
        (asked, services.metadata.get(&gone.number).is_some_and(|server| server.serves(&client)))
    };
    assert_eq!(ask(&gone), (Err(DropReason::UnknownNumber), false));
    // Another one has its number.
    directory.set([segment.clone()].iter(), [there.clone()].iter(), [].iter());
    assert_eq!(ask(&there), (Ok(()), true));
    assert_eq!(ask(&gone), (Err(DropReason::UnknownNumber), false));
    assert_eq!(ask(&there), (Ok(()), true));
}

/// Services with one guest, of IPv6 too unless its segment is of IPv4 alone.
struct One {
    services: Services,
    client: Client,
}

impl One {
    fn new(segment: api::Segment, port: api::Port) -> Self {
        let segment = Arc::new(Segment::parse(segment).unwrap());
        let directory = Arc::new(Directory::default());
        let interface = Arc::new(Interface::new(Port::parse(port, segment.clone()).unwrap(), &directory));
        directory.set([segment].iter(), [interface.clone()].iter(), [].iter());
        let client = Client { interface, answers: Arc::new(Answers::new().unwrap()) };
        Self { services: Services::new(directory, None).unwrap(), client }
    }

    /// The one answer to a packet, or why there is none.
    fn ask(&mut self, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
        let port = self.client.interface.port();
        self.services.answer(&self.client, &build::ethernet(port.segment.gateway_mac, port.mac, packet))?;
        let answers = self.client.answers.take();
        let [(5, answer)] = <[_; 1]>::try_from(Vec::from(answers)).unwrap() else { panic!("not to number 5") };
        assert_eq!(answer[..14], [2, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
        Ok(answer[14..].to_vec())
    }
}

const ROUTER: &str = "fe80::ff:fe00:1";
const LINK_LOCAL: &str = "fe80::ff:fe00:5";
const GUEST: &str = "2001:db8:0:5::55";

#[test]
fn services_are_told_apart_by_address_and_port_in_ipv6() {
    let mut one = One::new(segment_v6(), port_v6());
    let echo = |to: &str, kind| {
        let (from, to) = if kind == 128 { (GUEST, to) } else { (to, GUEST) };
        build::v6::icmp(v6(from), v6(to), kind, 0, [1, 2, 3, 4], b"payload")
    };
    for to in [ROUTER, "fd00:ec2::253", "fd00:ec2::254"] {
        assert_eq!(one.ask(&echo(to, 128)), Ok(echo(to, 129)));
    }
    let solicitation = build::v6::neighbour(v6(LINK_LOCAL), v6("ff02::2"), 133, [0; 4], &[]);
    assert_eq!(one.ask(&solicitation).unwrap()[40..42], [134, 0]);
    let solicit = [&[1, 1, 2, 3, 0, 1, 0, 3, 0, 3, 0][..], &[0, 3, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let dhcp = |from: &str, to: &str| build::v6::udp(v6(from), v6(to), 546, 547, &solicit);
    let offer = one.ask(&dhcp(LINK_LOCAL, "ff02::1:2")).unwrap();
    assert_eq!(offer[8..40], [v6(ROUTER).octets(), v6(LINK_LOCAL).octets()].concat());
    assert_eq!((&offer[40..44], &offer[48..52]), (&[0x02, 0x23, 0x02, 0x22][..], &[2, 1, 2, 3][..]));
    for (from, to) in [(LINK_LOCAL, ROUTER), (GUEST, "ff02::1:2")] {
        assert_eq!(one.ask(&dhcp(from, to)), Err(DropReason::NotServed));
    }
    // The host's address, asked for in a question written out: A of ip-10-0-0-5.ec2.internal.
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x0bip-10-0-0-5\x03ec2\x08internal\0\0\x01\0\x01";
    let answer = one.ask(&build::v6::udp(v6(GUEST), v6("fd00:ec2::253"), 999, 53, question)).unwrap();
    assert_eq!(answer[8..40], [v6("fd00:ec2::253").octets(), v6(GUEST).octets()].concat());
    assert_eq!((&answer[40..44], &answer[answer.len() - 4..]), (&[0, 53, 0x03, 0xe7][..], &[10, 0, 0, 5][..]));
    let mut of_ipv6 = question.to_vec();
    of_ipv6[question.len() - 3] = 28;
    let answer = one.ask(&build::v6::udp(v6(GUEST), v6("fd00:ec2::253"), 999, 53, &of_ipv6)).unwrap();
    assert_eq!((answer[48 + 3] & 15, &answer[48 + 6..48 + 8]), (0, &[0, 0][..]), "AAAA: there are none");
}

#[test]
fn what_is_not_asked_rightly_in_ipv6_is_dropped_with_its_reason() {
    let mut one = One::new(segment_v6(), port_v6());
    let echo = |from: &str, to: &str| build::v6::icmp(v6(from), v6(to), 128, 0, [0; 4], b"payload");
    let query = |to: &str| build::v6::udp(v6(GUEST), v6(to), 1000, 53, &[0; 20]);
    let changed = |at: usize, value: u8| {
        let mut packet = echo(GUEST, ROUTER);
        packet[at] = value;
        packet
    };
    let packet = |next: u8| build::v6::packet(v6(GUEST), v6(ROUTER), next, 64, &[0; 40]);
    let syn = |to: &str, port| build::v6::tcp_at(v6(GUEST), v6(to), [1, port], 2, [1, 0], &[]);
    for (reason, packet) in [
        (DropReason::SpoofedIpv6, echo(ROUTER, ROUTER)),
        (DropReason::SpoofedIpv6, echo("fd00:ec2::253", ROUTER)),
        (DropReason::SpoofedIpv6, echo("::", ROUTER)),
        (DropReason::SpoofedIpv6, echo("ff02::1", ROUTER)),
        (DropReason::SpoofedIpv6, echo("::ffff:10.0.0.5", ROUTER)),
        (DropReason::NotLocal, echo(GUEST, "ff02::1")),
        (DropReason::NotLocal, echo(GUEST, "2001:db8:0:5::1")),
        (DropReason::NotLocal, query("2001:db8::53")),
        (DropReason::NotLocal, build::v6::udp(v6(GUEST), v6("fd00:ec2::123"), 123, 123, &[0; 48])),
        (DropReason::NotServed, query(ROUTER)),
        (DropReason::NotServed, query("fd00:ec2::254")),
        (DropReason::NotServed, syn("fd00:ec2::253", 53)),
        (DropReason::NotServed, build::v6::icmp(v6(GUEST), v6(ROUTER), 129, 0, [0; 4], b"")),
        (DropReason::NotServed, packet(0)),
        (DropReason::NotServed, packet(43)),
        (DropReason::NotServed, packet(60)),
        (DropReason::Fragment, packet(44)),
        (DropReason::BadChecksum, changed(41, 1)),
        (DropReason::BadChecksum, changed(23, 6)),
        (DropReason::Malformed, changed(5, 200)),
        (DropReason::Malformed, changed(0, 0x4f)),
    ] {
        assert_eq!(one.ask(&packet), Err(reason), "{packet:02x?}");
    }
    let mut of_ipv4 = One::new(model::segment(), model::port());
    for packet in [echo(GUEST, ROUTER), build::v6::neighbour(v6(LINK_LOCAL), v6("ff02::2"), 133, [0; 4], &[])] {
        assert_eq!(of_ipv4.ask(&packet), Err(DropReason::NotServed));
    }
}

#[test]
fn metadata_is_served_in_ipv6_where_it_is_on() {
    let syn = build::v6::tcp_at(v6(GUEST), METADATA_ADDRESS_V6, [1, 80], 2, [1, 0], &[]);
    let answer = One::new(segment_v6(), port_v6()).ask(&syn).unwrap();
    assert_eq!(answer[8..40], [METADATA_ADDRESS_V6.octets(), v6(GUEST).octets()].concat());
    assert_eq!((answer[6], answer[40 + 13]), (6, 0x12), "SYN and ACK");
    let off: [fn(&mut api::MetadataService); 2] =
        [|metadata| metadata.ipv6 = false, |metadata| metadata.enabled = false];
    for turn_off in off {
        let mut port = port_v6();
        turn_off(&mut port.metadata);
        assert_eq!(One::new(segment_v6(), port).ask(&syn), Err(DropReason::NotServed));
    }
}

proptest! {
    /// Whatever is answered, is answered to the guest, with checksums that hold.
    #[test]
    fn hostile_frames_are_answered_rightly_or_not_at_all(all in prop::collection::vec(sent(), 1..30)) {
        let segment = Arc::new(Segment::parse(segment_v6()).unwrap());
        let directory = Arc::new(Directory::default());
        let interface = Interface::new(Port::parse(port_v6(), segment.clone()).unwrap(), &directory);
        let (interface, answers) = (Arc::new(interface), Arc::new(Answers::new().unwrap()));
        directory.set([segment].iter(), [interface.clone()].iter(), [].iter());
        let client = Client { interface: interface.clone(), answers: answers.clone() };
        let mut services = Services::new(directory, None).unwrap();
        for sent in all {
            let _ = services.answer(&client, &frame(&sent, &interface.port()));
            for (number, answer) in answers.take() {
                let parsed = Frame::parse(&answer, answer.len()).unwrap();
                prop_assert_eq!((number, parsed.dst, parsed.src), (5, MacAddr([2, 0, 0, 0, 0, 5]), MacAddr([2, 0, 0, 0, 0, 1])));
                if let Network::Ipv4(header) = parsed.network {
                    let packet = &answer[ETHERNET_HEADER_BYTES..];
                    prop_assert!(interface.port().segment.is_local(header.src), "{}", header.src);
                    prop_assert!(ipv4::header_checksum_holds(packet, &header));
                    prop_assert!(ipv4::transport_checksum_holds(packet, &header));
                } else if let Network::Ipv6(header) = parsed.network {
                    prop_assert!(interface.port().segment.is_local_v6(header.src), "{}", header.src);
                    prop_assert!(api::is_unicast_v6(header.dst) || header.dst == v6("ff02::1"), "{}", header.dst);
                    prop_assert_eq!(header.total_bytes, answer.len() - ETHERNET_HEADER_BYTES);
                    prop_assert!(ipv6::transport_checksum_holds(&answer[ETHERNET_HEADER_BYTES..], &header));
                }
            }
        }
    }
}
