//! Translation: there and back.

use crate::packets::{ACK, Ends, SYN, Tcp, icmp, sums_up, tcp, track, track_as, udp};
use crate::tracking::{commit, conntrack};
use hive_conntrack::{Checksum, Choice, Nat, NatRange, Refusal, Request, state};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn number(address: &str) -> u128 {
    match address.parse().unwrap() {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn range(first: &str, last: &str, ports: Option<(u16, u16)>) -> NatRange {
    NatRange { addresses: Some((number(first), number(last))), ports, ..NatRange::default() }
}

fn with(nat: Nat, zone: u16) -> Request {
    Request { nat: Some(nat), ..commit(zone) }
}

fn existing(zone: u16) -> Request {
    Request { zone, nat: Some(Nat::Existing), ..Request::default() }
}

fn address(v6: bool) -> impl Strategy<Value = IpAddr> {
    any::<u128>().prop_map(move |bits| {
        let (v4, v6_address) = (Ipv4Addr::from(bits as u32 | 1), Ipv6Addr::from(bits | 1));
        if v6 { v6_address.into() } else { v4.into() }
    })
}

fn both() -> impl Strategy<Value = (Ends, IpAddr, bool)> {
    any::<bool>().prop_flat_map(|v6| {
        (address(v6), 1u16.., address(v6), 1u16.., address(v6), any::<bool>()).prop_map(
            |(source, from, destination, to, other, tcp)| {
                (Ends { source: (source, from), destination: (destination, to) }, other, tcp)
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// What goes out translated comes back as it was; checksums stay right; an error about it too.
    #[test]
    fn answers_come_back_to_who_has_asked((ends, other, is_tcp) in both(), destination: bool, ports in proptest::option::of((1u16.., 0u16..9))) {
        prop_assume!(ends.source.0 != ends.destination.0 && other != ends.source.0 && other != ends.destination.0);
        let other_number = number(&other.to_string());
        let ports = ports.map(|(first, more)| (first, first.saturating_add(more)));
        let range = NatRange { addresses: Some((other_number, other_number)), ports, ..NatRange::default() };
        let nat = if destination { Nat::Destination(range) } else { Nat::Source(range) };
        let packet = |ends, flags| if is_tcp { tcp(ends, Tcp { flags, seq: 1, ack: 1, window: 99, ..Tcp::default() }) } else { udp(ends, b"data!") };
        let mut conntrack = conntrack();
        let mut out = packet(ends, SYN);
        let verdict = track(&mut conntrack, 0, &mut out, &with(nat, 0));
        prop_assert_eq!(verdict.state, state::NEW | state::TRACKED | if destination { state::DNAT } else { state::SNAT });
        prop_assert!(sums_up(&out));
        let seen = Ends::of(&out);
        if destination {
            prop_assert_eq!((seen.destination.0, seen.source.0), (other, ends.source.0));
        } else {
            prop_assert_eq!((seen.source.0, seen.destination), (other, ends.destination));
        }
        if let Some((first, last)) = ports {
            let port = if destination { seen.destination.1 } else { seen.source.1 };
            prop_assert!((first..=last).contains(&port));
        }
        let mut back = packet(seen.reversed(), SYN | ACK);
        let verdict = track(&mut conntrack, 0, &mut back, &existing(0));
        let bits = state::ESTABLISHED | state::REPLY | state::TRACKED | if destination { state::SNAT } else { state::DNAT };
        prop_assert_eq!(verdict.state, bits);
        prop_assert!(sums_up(&back));
        prop_assert_eq!(Ends::of(&back), ends.reversed());
        // An error about the packet that went out, as short as it may be.
        let quoted = &out[14..];
        let header = if ends.source.0.is_ipv4() { 20 } else { 40 };
        for size in [header + if header == 40 && is_tcp { 20 } else { 8 }, quoted.len()] {
            let kind = if ends.source.0.is_ipv4() { 3 } else { 1 };
            let mut error = icmp(seen.reversed(), kind, 1, [0; 4], &quoted[..size]);
            let verdict = track(&mut conntrack, 0, &mut error, &existing(0));
            prop_assert_eq!(verdict.state & state::RELATED, state::RELATED);
            prop_assert!(sums_up(&error));
            let inner = [&error[..14], &error[14 + header + 8..]].concat();
            prop_assert_eq!(Ends::of(&inner), ends);
        }
    }

    /// A checksum that the hardware is to complete: its pseudo-header's sum follows the addresses.
    #[test]
    fn partial_checksums_follow_the_addresses((ends, other, is_tcp) in both()) {
        prop_assume!(ends.source.0 != ends.destination.0 && other != ends.source.0 && other != ends.destination.0);
        let packet = |ends| if is_tcp { tcp(ends, Tcp { flags: SYN, window: 99, ..Tcp::default() }) } else { udp(ends, b"data!") };
        let partial = |mut frame: Vec<u8>| {
            let l4 = if frame[12] == 8 { 34 } else { 54 };
            let addresses = if frame[12] == 8 { 26..34 } else { 22..54 };
            let protocol = if is_tcp { 6 } else { 17 };
            let sum = hive_packet::checksum::sum(&frame[addresses]) + protocol + (frame.len() - l4) as u64;
            let at = l4 + if is_tcp { 16 } else { 6 };
            frame[at..at + 2].copy_from_slice(&hive_packet::checksum::fold(sum).to_be_bytes());
            frame
        };
        let other_number = number(&other.to_string());
        let nat = Nat::Source(NatRange { addresses: Some((other_number, other_number)), ..NatRange::default() });
        let mut frame = partial(packet(ends));
        track_as(&mut conntrack(), 0, &mut frame, &with(nat, 0), Checksum::Partial, None);
        prop_assert_eq!(&frame, &partial(packet(Ends::of(&frame))));
    }
}

#[test]
fn no_two_connections_share_a_translated_tuple() {
    let mut conntrack = conntrack();
    let nat = Nat::Source(range("10.9.0.1", "10.9.0.2", Some((5000, 5049))));
    let mut taken = BTreeSet::new();
    for port in 1..=40 {
        let ends = Ends::new(&format!("10.0.0.1:{port}"), "10.1.0.1:80");
        let mut frame = udp(ends, b"");
        let verdict = track(&mut conntrack, 0, &mut frame, &with(nat.clone(), 0));
        assert_eq!(verdict.refusal, None);
        assert!(taken.insert(Ends::of(&frame).source));
    }
    assert_eq!(taken.iter().map(|(address, _)| address).collect::<BTreeSet<_>>().len(), 2, "both addresses are used");
}

#[test]
fn a_range_that_is_used_up_refuses_and_counts() {
    let mut conntrack = conntrack();
    let nat = Nat::Source(range("10.9.0.1", "10.9.0.1", Some((5000, 5003))));
    let mut send = |port| {
        let ends = Ends::new(&format!("10.0.0.1:{port}"), "10.1.0.1:80");
        track(&mut conntrack, 0, &mut udp(ends, b""), &with(nat.clone(), 0))
    };
    for port in 1..=4 {
        assert_eq!(send(port).refusal, None);
    }
    let refused = send(5);
    assert_eq!((refused.refusal, refused.state), (Some(Refusal::NatExhausted), state::INVALID | state::TRACKED));
    assert_eq!((conntrack.len(), conntrack.counters().nat_exhausted), (4, 1));
}

/// `nat(src=0.0.0.0)`: only if the tuple is another's already is anything changed.
#[test]
fn all_zero_source_translation_avoids_collisions_only() {
    let mut conntrack = conntrack();
    let zero = Nat::Source(NatRange { addresses: Some((0, 0)), ..NatRange::default() });
    let mut free = udp(Ends::new("10.0.0.1:4000", "10.1.0.1:80"), b"");
    track(&mut conntrack, 0, &mut free, &with(zero.clone(), 0));
    assert_eq!(Ends::of(&free), Ends::new("10.0.0.1:4000", "10.1.0.1:80"));
    // Another connection leads to the same place, by another name.
    let there = Nat::Destination(range("10.1.0.2", "10.1.0.2", None));
    track(&mut conntrack, 0, &mut udp(Ends::new("10.0.0.1:5000", "10.8.0.1:80"), b""), &with(there, 0));
    let mut taken = udp(Ends::new("10.0.0.1:5000", "10.1.0.2:80"), b"");
    track(&mut conntrack, 0, &mut taken, &with(zero, 0));
    let seen = Ends::of(&taken);
    assert_eq!(
        (seen.source.0, seen.destination),
        (
            "10.0.0.1".parse().unwrap(),
            "10.1.0.2:80".parse().map(|end: std::net::SocketAddr| (end.ip(), end.port())).unwrap()
        )
    );
    assert_ne!(seen.source.1, 5000);
}

#[test]
fn a_client_keeps_its_address_if_that_is_asked_for() {
    let addresses = |persistent, choice| {
        let nat = NatRange { persistent, choice, ..range("10.9.0.0", "10.9.0.255", None) };
        let mut conntrack = conntrack();
        let seen = (1..50).map(|port| {
            let mut frame = udp(Ends::new(&format!("10.0.0.7:{port}"), &format!("10.1.0.{port}:80")), b"");
            track(&mut conntrack, 0, &mut frame, &with(Nat::Source(nat.clone()), 0));
            Ends::of(&frame).source.0
        });
        seen.collect::<BTreeSet<_>>().len()
    };
    assert_eq!(addresses(true, Choice::Hash), 1);
    assert!(addresses(false, Choice::Hash) > 20);
    assert!(addresses(false, Choice::Random) > 20);
}

/// A client reaches a server of its own network by that network's public address: translated both ways, in two zones.
#[test]
fn hairpin() {
    let mut conntrack = conntrack();
    let ends = Ends::new("10.0.0.1:4000", "203.0.113.1:80");
    let mut frame = udp(ends, b"");
    let first = track(
        &mut conntrack,
        0,
        &mut frame,
        &with(Nat::Destination(range("10.0.0.2", "10.0.0.2", Some((8080, 8080)))), 1),
    );
    let second = track_as(
        &mut conntrack,
        0,
        &mut frame,
        &with(Nat::Source(range("203.0.113.1", "203.0.113.1", None)), 2),
        Checksum::Unknown,
        Some(&first),
    );
    assert_eq!(
        (first.state, second.state),
        (state::NEW | state::DNAT | state::TRACKED, state::NEW | state::SNAT | state::TRACKED)
    );
    let seen = Ends::of(&frame);
    assert_eq!(
        seen,
        Ends { source: (ends.destination.0, seen.source.1), destination: ("10.0.0.2".parse().unwrap(), 8080) }
    );
    let mut back = udp(seen.reversed(), b"");
    let first = track(&mut conntrack, 0, &mut back, &existing(2));
    track_as(&mut conntrack, 0, &mut back, &existing(1), Checksum::Unknown, Some(&first));
    assert_eq!(Ends::of(&back), ends.reversed());
    assert!(sums_up(&back));
}

/// A packet that was translated in a zone is known there by what it was.
#[test]
fn a_second_look_in_the_same_zone_finds_the_connection() {
    let mut conntrack = conntrack();
    let mut frame = udp(Ends::new("10.0.0.1:4000", "10.1.0.1:80"), b"");
    let nat = with(Nat::Source(range("10.9.0.1", "10.9.0.1", Some((7000, 7000)))), 0);
    let first = track(&mut conntrack, 0, &mut frame, &nat);
    let again = track_as(
        &mut conntrack,
        0,
        &mut frame,
        &Request { mark: Some((7, 15)), ..commit(0) },
        Checksum::Unknown,
        Some(&first),
    );
    assert_eq!((again.connection, again.mark, conntrack.len()), (first.connection, 7, 1));
    let id = again.connection.unwrap();
    assert_eq!(conntrack.translation(id, false).unwrap().source_port(), 7000);
    assert_eq!(conntrack.translation(id, true).unwrap().destination_port(), 4000);
}

#[test]
fn echoes_are_translated_by_address() {
    let mut conntrack = conntrack();
    let nat = with(Nat::Source(range("10.9.0.1", "10.9.0.1", None)), 0);
    let ends = Ends::new("10.0.0.1:1", "10.1.0.1:1");
    let mut out = icmp(ends, 8, 0, [0, 7, 0, 1], b"echo");
    track(&mut conntrack, 0, &mut out, &nat);
    let mut back = icmp(Ends::new("10.1.0.1:1", "10.9.0.1:1"), 0, 0, [0, 7, 0, 1], b"echo");
    let verdict = track(&mut conntrack, 0, &mut back, &existing(0));
    assert_eq!(verdict.state, state::ESTABLISHED | state::REPLY | state::TRACKED | state::DNAT);
    assert_eq!(&back[30..34], &[10, 0, 0, 1]);
    assert!(sums_up(&out) && sums_up(&back));
}
