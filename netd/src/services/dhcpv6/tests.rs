use super::super::model::ipv6::tests::{address, parsed, port_v6, segment_v6};
use super::super::model::{Segment, tests as model};
use super::*;
use hive_netd_api as api;
use proptest::prelude::*;
use std::sync::Arc;

const CLIENT: [u8; 14] = [0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 5];
/// DUID-LL of 02:00:00:00:00:01.
const SERVER: [u8; 14] = [0, 2, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
/// IA_NA 7 without addresses.
const ASKED: [u8; 16] = [0, 3, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
const SOLICIT: u8 = 1;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const INFORMATION_REQUEST: u8 = 11;

fn port_of(segment: api::Segment, port: api::Port) -> Port {
    Port::parse(port, Arc::new(Segment::parse(segment).unwrap())).unwrap()
}

fn ask_of(port: &Port, kind: u8, options: &[&[u8]]) -> Option<Vec<u8>> {
    answer(port, &[&[kind, 1, 2, 3][..], &options.concat()].concat())
}

fn ask(kind: u8, options: &[&[u8]]) -> Option<Vec<u8>> {
    ask_of(&parsed(), kind, options)
}

/// An option with its header.
fn option(code: u16, value: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
}

/// IAADDR with both lifetimes the same.
fn ia_address(text: &str, lifetime_s: u32) -> Vec<u8> {
    let lifetime = lifetime_s.to_be_bytes();
    option(5, &[&address(text).octets()[..], &lifetime, &lifetime].concat())
}

fn ia_na(id: u32, times: [u32; 2], options: &[Vec<u8>]) -> Vec<u8> {
    let fixed = [id, times[0], times[1]].into_iter().flat_map(u32::to_be_bytes);
    option(3, &[fixed.collect::<Vec<u8>>(), options.concat()].concat())
}

/// As of a client that has these.
fn ia_with(addresses: &[&str]) -> Vec<u8> {
    ia_na(7, [0, 0], &addresses.iter().map(|text| ia_address(text, 0)).collect::<Vec<_>>())
}

fn status(code: u8) -> Vec<u8> {
    vec![0, 13, 0, 2, 0, code]
}

/// What every client is told here: name server and domain.
fn configuration() -> Vec<u8> {
    let domain = option(24, b"\x03ec2\x08internal\x00");
    [option(23, &[0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x53]), domain].concat()
}

fn leased() -> Vec<u8> {
    // Of 3600 seconds: a half, and four fifths.
    ia_na(7, [1800, 2880], &[ia_address("2001:db8:0:5::55", 3600), ia_address("2001:db8:0:5::56", 3600)])
}

fn expected(kind: u8, options: &[&[u8]]) -> Option<Vec<u8>> {
    Some([&[kind, 1, 2, 3][..], &CLIENT, &SERVER, &options.concat()].concat())
}

#[test]
fn a_client_is_offered_and_leased_all_addresses_of_the_port() {
    let (configuration, leased) = (configuration(), leased());
    let offer = expected(2, &[&configuration, &option(7, &[255]), &leased]);
    assert_eq!(ask(SOLICIT, &[&CLIENT, &ASKED]), offer);
    let rapid = expected(7, &[&configuration, &option(14, &[]), &leased]);
    assert_eq!(ask(SOLICIT, &[&CLIENT, &ASKED, &option(14, &[])]), rapid);
    let reply = expected(7, &[&configuration, &leased]);
    assert_eq!(ask(REQUEST, &[&ASKED, &SERVER, &CLIENT]), reply);
    assert_eq!(ask(REQUEST, &[&CLIENT, &SERVER, &ia_with(&["2001:db8:0:5::99"])]), reply);
    assert_eq!(ask(RENEW, &[&CLIENT, &SERVER, &ia_with(&["2001:db8:0:5::55"])]), reply);
    assert_eq!(ask(REBIND, &[&CLIENT, &ia_with(&["2001:db8:0:5::55"])]), reply);
}

#[test]
fn what_is_no_longer_the_ports_ends_at_once() {
    let ended = [
        ia_address("2001:db8:0:5::55", 3600),
        ia_address("2001:db8:0:5::56", 3600),
        ia_address("2001:db8:0:5::99", 0),
        ia_address("2001:db8:0:6::1", 0),
    ];
    let had = ia_with(&["2001:db8:0:5::99", "2001:db8:0:5::56", "2001:db8:0:6::1"]);
    let reply = expected(7, &[&configuration(), &ia_na(7, [1800, 2880], &ended)]);
    assert_eq!(ask(RENEW, &[&CLIENT, &SERVER, &had]), reply);
    assert_eq!(ask(REBIND, &[&CLIENT, &had]), reply);
    // All of them.
    let none = port_of(segment_v6(), api::Port { ipv6: vec![], ..port_v6() });
    let ended = ia_na(7, [1800, 2880], &[ia_address("2001:db8:0:5::55", 0)]);
    let reply = expected(7, &[&configuration(), &ended]);
    assert_eq!(ask_of(&none, RENEW, &[&CLIENT, &SERVER, &ia_with(&["2001:db8:0:5::55"])]), reply);
}

#[test]
fn what_is_not_leased_is_refused_with_its_status() {
    let configuration = configuration();
    let na = |code| ia_na(7, [0, 0], &[status(code)]);
    let off_link = ask(REQUEST, &[&CLIENT, &SERVER, &ia_with(&["2001:db8:0:5::55", "2001:db8:0:6::1"])]);
    assert_eq!(off_link, expected(7, &[&configuration, &na(4)]));
    let none = port_of(segment_v6(), api::Port { ipv6: vec![], ..port_v6() });
    let offer = expected(2, &[&configuration, &option(7, &[255]), &na(2)]);
    assert_eq!(ask_of(&none, SOLICIT, &[&CLIENT, &ASKED]), offer);
    assert_eq!(ask_of(&none, REQUEST, &[&CLIENT, &SERVER, &ASKED]), expected(7, &[&configuration, &na(2)]));
    assert_eq!(ask_of(&none, RENEW, &[&CLIENT, &SERVER, &ASKED]), expected(7, &[&configuration, &na(3)]));
    assert_eq!(ask_of(&none, RELEASE, &[&CLIENT, &SERVER, &ASKED]), expected(7, &[&status(0), &na(3)]));
    // Only one association gets addresses; there are neither temporary ones nor prefixes.
    let second = [0, 3, 0, 12, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let temporary = [0, 4, 0, 4, 0, 0, 0, 9];
    let prefix = [0, 25, 0, 12, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0];
    let others = |address_status, prefix_status| {
        let second = ia_na(8, [0, 0], &[status(address_status)]);
        let temporary = option(4, &[&[0, 0, 0, 9][..], &status(address_status)].concat());
        let prefix = option(25, &[&[0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0][..], &status(prefix_status)].concat());
        [prefix, second, temporary]
    };
    let [p, s, t] = others(2, 6);
    let reply = expected(7, &[&configuration, &p, &leased(), &s, &t]);
    assert_eq!(ask(REQUEST, &[&CLIENT, &SERVER, &prefix, &ASKED, &second, &temporary]), reply);
    let [p, s, t] = others(3, 3);
    let reply = expected(7, &[&configuration, &p, &leased(), &s, &t]);
    assert_eq!(ask(RENEW, &[&CLIENT, &SERVER, &prefix, &ASKED, &second, &temporary]), reply);
}

#[test]
fn leases_are_confirmed_and_given_back() {
    let confirm = |addresses: &[&str]| ask(CONFIRM, &[&CLIENT, &ia_with(addresses)]);
    assert_eq!(confirm(&["2001:db8:0:5::56"]), expected(7, &[&status(0)]));
    assert_eq!(confirm(&["2001:db8:0:5::56", "2001:db8:0:6::56"]), expected(7, &[&status(4)]));
    assert_eq!(confirm(&["2001:db8:0:5::99"]), expected(7, &[&status(4)]), "another port's");
    assert_eq!(confirm(&[]), None);
    for kind in [RELEASE, DECLINE] {
        let other = [0, 3, 0, 12, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let reply = ask(kind, &[&CLIENT, &SERVER, &ia_with(&["2001:db8:0:5::55"]), &other]);
        assert_eq!(reply, expected(7, &[&status(0), &ia_na(8, [0, 0], &[status(3)])]));
    }
}

#[test]
fn the_segment_says_which_options_there_are() {
    let mut segment = api::Segment { domain_name: "a.example b".into(), lease_s: 86_400, ..segment_v6() };
    let subnet = segment.ipv6.as_mut().unwrap();
    subnet.name_servers = vec![];
    subnet.ntp_servers = vec![address("fd00:ec2::123"), address("2001:db8::7")];
    let port = port_of(segment, port_v6());
    let servers = [address("fd00:ec2::123").octets(), address("2001:db8::7").octets()];
    let options = [
        option(24, b"\x01a\x07example\x00\x01b\x00"),
        option(56, &[option(1, &servers[0]), option(1, &servers[1])].concat()),
        option(31, &servers.concat()),
    ];
    let asked = ask_of(&port, INFORMATION_REQUEST, &[&CLIENT, &[0, 6, 0, 2, 0, 23]]);
    assert_eq!(asked, expected(7, &[&options.concat()]));
    let nameless = Some([&[7, 1, 2, 3][..], &SERVER, &options.concat()].concat());
    assert_eq!(ask_of(&port, INFORMATION_REQUEST, &[]), nameless);
    let reply = ask_of(&port, REBIND, &[&CLIENT, &ASKED]).unwrap();
    let times = [0, 0, 0, 7, 0, 0, 0xa8, 0xc0, 0, 1, 0x0e, 0];
    assert!(reply.windows(12).any(|window| window == times), "43200 s and 69120 s");
}

/// RFC 8415, 16.2 to 16.12.
#[test]
fn what_the_standard_has_discarded_is() {
    let other = [0, 2, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 9];
    for kind in [SOLICIT, CONFIRM, REBIND] {
        let had = ia_with(&["2001:db8:0:5::55"]);
        assert!(ask(kind, &[&CLIENT, &had]).is_some());
        assert_eq!(ask(kind, &[&had]), None, "{kind}: of nobody");
        assert_eq!(ask(kind, &[&CLIENT, &SERVER, &had]), None, "{kind}: to a server");
    }
    for kind in [REQUEST, RENEW, RELEASE, DECLINE] {
        assert!(ask(kind, &[&CLIENT, &SERVER, &ASKED]).is_some());
        assert_eq!(ask(kind, &[&SERVER, &ASKED]), None, "{kind}: of nobody");
        assert_eq!(ask(kind, &[&CLIENT, &ASKED]), None, "{kind}: to nobody");
        assert_eq!(ask(kind, &[&CLIENT, &other, &ASKED]), None, "{kind}: to another");
    }
    assert!(ask(INFORMATION_REQUEST, &[&SERVER]).is_some());
    assert_eq!(ask(INFORMATION_REQUEST, &[&other]), None);
    assert_eq!(ask(INFORMATION_REQUEST, &[&CLIENT, &ASKED]), None);
    // What servers and relays send, and what is none.
    for kind in [0, 2, 7, 10, 12, 13, 255] {
        assert_eq!(ask(kind, &[&CLIENT, &SERVER, &ASKED]), None);
    }
    // Malformed: a name of no length, or too long; associations and addresses that are cut off.
    assert_eq!(ask(SOLICIT, &[&[0, 1, 0, 2, 0, 3], &ASKED]), None);
    assert_eq!(ask(SOLICIT, &[&option(1, &[3; 131]), &ASKED]), None);
    assert_eq!(ask(SOLICIT, &[&CLIENT, &ASKED[..15]]), None);
    assert_eq!(ask(SOLICIT, &[&CLIENT, &option(3, &[0; 11])]), None);
    assert_eq!(ask(SOLICIT, &[&CLIENT, &ia_na(7, [0, 0], &[option(5, &[0; 23])])]), None);
    assert_eq!(answer(&parsed(), &[1, 2, 3]), None);
}

#[test]
fn a_message_is_no_longer_than_the_link_takes() {
    let ipv6 = (1..=64).map(|at| address("2001:db8:0:5::").to_bits() + at).map(Ipv6Addr::from_bits).collect();
    let spec = api::Port { ipv6, ..port_v6() };
    let leases = |mtu| {
        let port = port_of(api::Segment { mtu, ..segment_v6() }, spec.clone());
        let reply = ask_of(&port, REQUEST, &[&CLIENT, &SERVER, &ASKED]).unwrap();
        assert!(reply.len() + 48 <= usize::from(mtu), "{}", reply.len());
        (1..=64)
            .filter(|at| reply.windows(28).any(|w| *w == ia_address(&format!("2001:db8:0:5::{at:x}"), 3600)))
            .collect()
    };
    assert_eq!(leases(9001), (1..=64).collect::<Vec<u8>>());
    let fit: Vec<u8> = leases(1280);
    assert!(fit.len() > 30 && fit[0] == 1, "{fit:?}");
}

#[test]
fn without_ipv6_nothing_is_leased() {
    let port = port_of(model::segment(), port_v6());
    assert_eq!(
        ask_of(&port, SOLICIT, &[&CLIENT, &ASKED]),
        expected(2, &[&option(7, &[255]), &ia_na(7, [0, 0], &[status(2)])])
    );
}

proptest! {
    #[test]
    fn hostile_messages_never_panic_and_answers_are_bounded(kind in 0u8..13, named in any::<[bool; 2]>(),
            bytes in prop::collection::vec(0u8..40, 0..300), many in 0usize..400) {
        let client: &[u8] = if named[0] { &CLIENT } else { &[] };
        let server: &[u8] = if named[1] { &SERVER } else { &[] };
        let _ = ask(kind, &[client, server, &bytes]);
        let had = ia_na(7, [0, 0], &vec![ia_address("2001:db8:0:5::99", 9); many]);
        for associations in [had, ASKED.repeat(many)] {
            let reply = ask(kind, &[client, server, &associations, &bytes]);
            prop_assert!(reply.is_none_or(|reply| reply.len() <= 9001 - 48));
        }
    }
}
