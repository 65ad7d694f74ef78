//! FTP, and fragments.

use crate::packets::{ACK, Ends, PSH, SYN, Tcp, frame, ip, sums_up, tcp, track};
use crate::tracking::{commit, conntrack, look};
use hive_conntrack::{Conntrack, FRAGMENTS_MAX, Helper, Nat, NatRange, Refusal, Request, Verdict, state};

fn single(address: u32) -> NatRange {
    NatRange { addresses: Some((address.into(), address.into())), ..NatRange::default() }
}

/// A control connection, established.
struct Control {
    conntrack: Conntrack,
    nat: Option<Nat>,
    client: Ends,
    /// As the server has it.
    server: Ends,
    sent: [u32; 2],
}

impl Control {
    fn new(client: &str, server: &str, nat: Option<Nat>) -> Self {
        let client = Ends::new(client, server);
        let mut control = Self { conntrack: conntrack(), nat, client, server: client, sent: [100, 500] };
        control.say(false, SYN, b"");
        control.say(true, SYN | ACK, b"");
        control.say(false, ACK, b"");
        control
    }

    fn request(&self, commit: bool) -> Request {
        let nat = self.nat.as_ref().map(|nat| if commit { nat.clone() } else { Nat::Existing });
        Request { commit, nat, helper: Some(Helper::Ftp), ..Request::default() }
    }

    /// One side says something; what leaves.
    fn say(&mut self, reply: bool, flags: u8, payload: &[u8]) -> (Vec<u8>, Verdict) {
        let ends = if reply { self.server.reversed() } else { self.client };
        let (own, other) = (usize::from(reply), usize::from(!reply));
        let ack = if flags & ACK == 0 { 0 } else { self.sent[other] };
        let mut frame = tcp(ends, Tcp { flags, seq: self.sent[own], ack, window: 9000, scale: None, payload });
        self.sent[own] += payload.len() as u32 + u32::from(flags & SYN != 0);
        let request = self.request(!reply);
        let verdict = track(&mut self.conntrack, 0, &mut frame, &request);
        if let Some(splice) = &verdict.splice {
            assert!(splice.apply(&mut frame, 0));
        }
        assert!(sums_up(&frame));
        if !reply {
            self.server = Ends::of(&frame);
        }
        (frame, verdict)
    }

    /// A first segment of a data connection.
    fn data(&mut self, from: &str, to: &str) -> (Ends, Verdict) {
        let mut frame = tcp(Ends::new(from, to), Tcp { flags: SYN, seq: 1, window: 100, ..Tcp::default() });
        let request = self.request(true);
        let verdict = track(&mut self.conntrack, 0, &mut frame, &request);
        (Ends::of(&frame), verdict)
    }
}

fn payload(frame: &[u8]) -> &str {
    let l4 = if frame[12] == 8 { 34 } else { 54 };
    std::str::from_utf8(&frame[l4 + 20..]).unwrap()
}

const RELATED: u8 = state::NEW | state::RELATED | state::TRACKED;

#[test]
fn an_active_data_connection_is_related() {
    for (message, client, server, from, to) in [
        ("PORT 10,0,0,1,19,137\r\n", "10.0.0.1:4000", "10.1.0.1:21", "10.1.0.1:20", "10.0.0.1:5001"),
        ("EPRT |1|10.0.0.1|5001|\r\n", "10.0.0.1:4000", "10.1.0.1:21", "10.1.0.1:20", "10.0.0.1:5001"),
        ("EPRT |2|fd00::1|5001|\r\n", "[fd00::1]:4000", "[fd00::2]:21", "[fd00::2]:20", "[fd00::1]:5001"),
    ] {
        let mut control = Control::new(client, server, None);
        assert_eq!(control.data(from, to).1.state, state::NEW | state::TRACKED, "not announced yet");
        control.conntrack.flush(hive_conntrack::Flush::Tuple(&{
            let entries: Vec<_> = control.conntrack.entries(None, 0).map(|entry| *entry.original()).collect();
            *entries.iter().find(|tuple| tuple.source_port() == 20).unwrap()
        }));
        let (frame, _) = control.say(false, PSH | ACK, message.as_bytes());
        assert_eq!(payload(&frame), message);
        let (_, verdict) = control.data(from, to);
        assert_eq!(verdict.state, RELATED, "{message}");
        // What it is related to is what rules see.
        assert_eq!(verdict.original.unwrap().destination_port(), 21);
    }
}

#[test]
fn a_passive_data_connection_is_related() {
    for (message, client, server, to) in [
        ("227 Entering Passive Mode (10,1,0,1,19,137).\r\n", "10.0.0.1:4000", "10.1.0.1:21", "10.1.0.1:5001"),
        ("229 Entering Extended Passive Mode (|||5001|)\r\n", "10.0.0.1:4000", "10.1.0.1:21", "10.1.0.1:5001"),
        ("229 Entering Extended Passive Mode (|||5001|)\r\n", "[fd00::1]:4000", "[fd00::2]:21", "[fd00::2]:5001"),
    ] {
        let mut control = Control::new(client, server, None);
        control.say(true, PSH | ACK, message.as_bytes());
        let from = client.replace("4000", "4001");
        assert_eq!(control.data(&from, to).1.state, RELATED, "{message}");
        assert_eq!(control.data(&from, &to.replace("5001", "5002")).1.state, state::NEW | state::TRACKED);
    }
}

/// The server is told the public address, longer than the private one; the numbers that follow fit all the same, and the data
/// connection that the server opens to it reaches the client.
#[test]
fn an_active_client_behind_source_translation() {
    let mut control = Control::new("10.0.0.1:4000", "10.1.0.1:21", Some(Nat::Source(single(0xcb00_71c8))));
    let (frame, _) = control.say(false, PSH | ACK, b"PORT 10,0,0,1,19,137\r\n");
    assert_eq!(payload(&frame), "PORT 203,0,113,200,19,137\r\n");
    let growth = "203,0,113,200".len() - "10,0,0,1".len();
    let number = |frame: &[u8], at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    // The server acknowledges what it has got, which is more than the client has sent.
    control.sent[0] += growth as u32;
    let (answer, verdict) = control.say(true, PSH | ACK, b"200 OK\r\n");
    assert_eq!(verdict.state & state::INVALID, 0);
    assert_eq!(number(&answer, 42), 101 + 22);
    control.sent[0] -= growth as u32;
    let (next, verdict) = control.say(false, PSH | ACK, b"LIST\r\n");
    assert_eq!(verdict.state & state::INVALID, 0);
    assert_eq!(number(&next, 38), 101 + 22 + growth as u32);
    let (seen, verdict) = control.data("10.1.0.1:20", "203.0.113.200:5001");
    assert_eq!(verdict.state, RELATED | state::DNAT);
    assert_eq!(seen, Ends::new("10.1.0.1:20", "10.0.0.1:5001"));
}

#[test]
fn a_passive_server_behind_destination_translation() {
    let mut control = Control::new("10.0.0.1:4000", "203.0.113.1:21", Some(Nat::Destination(single(0x0a01_0001))));
    let (frame, _) = control.say(true, PSH | ACK, b"227 Entering Passive Mode (10,1,0,1,19,137).\r\n");
    assert_eq!(payload(&frame), "227 Entering Passive Mode (203,0,113,1,19,137).\r\n");
    let (seen, verdict) = control.data("10.0.0.1:4001", "203.0.113.1:5001");
    assert_eq!(verdict.state, RELATED | state::DNAT);
    assert_eq!(seen.destination, Ends::new("1.1.1.1:1", "10.1.0.1:5001").destination);
}

#[test]
fn nobody_announces_somebody_elses_address() {
    let mut control = Control::new("10.0.0.1:4000", "10.1.0.1:21", None);
    control.say(false, PSH | ACK, b"PORT 10,0,0,99,19,137\r\n");
    assert_eq!(control.data("10.1.0.1:20", "10.0.0.99:5001").1.state, state::NEW | state::TRACKED);
}

#[test]
fn expectations_go_with_their_connection_and_without_a_helper_there_are_none() {
    let mut control = Control::new("10.0.0.1:4000", "10.1.0.1:21", None);
    control.say(false, PSH | ACK, b"PORT 10,0,0,1,19,137\r\n");
    control.conntrack.flush(hive_conntrack::Flush::Zone(0));
    assert_eq!(control.data("10.1.0.1:20", "10.0.0.1:5001").1.state, state::NEW | state::TRACKED);
    let mut control = Control::new("10.0.0.1:4000", "10.1.0.1:2121", None);
    control.say(false, PSH | ACK, b"PORT 10,0,0,1,19,137\r\n");
    assert_eq!(control.data("10.1.0.1:20", "10.0.0.1:5001").1.state, state::NEW | state::TRACKED);
}

/// A fragment of a UDP datagram of 24 octets of payload, cut after each 16.
fn fragment(ends: Ends, number: u16, start: usize, end: usize, more: bool) -> Vec<u8> {
    let mut datagram = ends.source.1.to_be_bytes().to_vec();
    datagram.extend_from_slice(&ends.destination.1.to_be_bytes());
    datagram.extend_from_slice(&[0, 200, 0x12, 0x34]);
    datagram.resize(200, 7);
    let mut packet = ip(ends, 200, datagram[start..end].to_vec());
    packet[9] = 17;
    packet[4..6].copy_from_slice(&number.to_be_bytes());
    packet[6..8].copy_from_slice(&((start as u16 / 8) | if more { 0x2000 } else { 0 }).to_be_bytes());
    packet[10..12].fill(0);
    let value = hive_packet::checksum::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&value.to_be_bytes());
    frame(&packet)
}

#[test]
fn later_fragments_are_what_the_first_one_is() {
    let ends = Ends::new("10.0.0.1:4000", "10.1.0.1:80");
    let mut conntrack = conntrack();
    let nat = Request { nat: Some(Nat::Source(single(0x0a09_0001))), ..commit(4) };
    let mut send = |number, start, end, more| {
        let mut frame = fragment(ends, number, start, end, more);
        let verdict = track(&mut conntrack, 0, &mut frame, &nat);
        (verdict.state, verdict.refusal, [frame[26], frame[27], frame[28], frame[29]])
    };
    let unknown = (state::INVALID | state::TRACKED, Some(Refusal::Fragment), [10, 0, 0, 1]);
    assert_eq!(send(1, 64, 128, true), unknown, "before the first");
    let new = (state::NEW | state::SNAT | state::TRACKED, None, [10, 9, 0, 1]);
    assert_eq!(send(1, 0, 64, true), new);
    assert_eq!(send(1, 64, 128, true), new);
    assert_eq!(send(1, 128, 200, false), new);
    assert_eq!(send(1, 128, 200, false), new, "sent again");
    assert_eq!(send(2, 64, 128, true), unknown, "of another datagram");
    let refused = send(1, 120, 136, true);
    assert_eq!(refused.0, state::INVALID | state::TRACKED, "overlapping");
    assert_eq!(send(1, 64, 128, true).1, Some(Refusal::Fragment), "and then none counts");
    let counters = conntrack.counters();
    assert_eq!((counters.fragments_unknown, counters.fragments_overlapping), (2, 2));
    assert_eq!(conntrack.datagrams(), 1);
}

/// The same over IPv6, with a fragment header.
fn fragment_v6(ends: Ends, number: u32, start: usize, end: usize, more: bool) -> Vec<u8> {
    let mut datagram = ends.source.1.to_be_bytes().to_vec();
    datagram.extend_from_slice(&ends.destination.1.to_be_bytes());
    datagram.extend_from_slice(&[0, 200, 0x12, 0x34]);
    datagram.resize(200, 7);
    let mut payload = vec![17, 0];
    payload.extend_from_slice(&(start as u16 | u16::from(more)).to_be_bytes());
    payload.extend_from_slice(&number.to_be_bytes());
    payload.extend_from_slice(&datagram[start..end]);
    frame(&ip(ends, 44, payload))
}

/// RFC 5722: of a datagram whose fragments overlap none counts, whichever way they do. Others go on.
#[test]
fn fragments_of_ipv6_that_overlap_are_refused_and_counted() {
    let ends = Ends::new("[fd00::1]:4000", "[fd00::2]:80");
    let new = state::NEW | state::TRACKED;
    let invalid = state::INVALID | state::TRACKED;
    for (start, end) in [(56, 64), (56, 80), (120, 136), (72, 88), (0, 200), (0, 56), (64, 136)] {
        let mut conntrack = conntrack();
        let mut send = |number, start, end, more| {
            let verdict = track(&mut conntrack, 0, &mut fragment_v6(ends, number, start, end, more), &commit(4));
            (verdict.state, verdict.refusal)
        };
        assert_eq!(send(1, 0, 64, true), (new, None));
        assert_eq!(send(1, 64, 128, true), (new, None));
        let refused = send(1, start, end, true);
        assert_eq!(refused, (invalid, Some(Refusal::Fragment)), "{start}..{end}");
        assert_eq!(send(1, 128, 200, false), (invalid, Some(Refusal::Fragment)));
        assert_eq!(send(2, 0, 64, true), (new, None), "another datagram");
        assert_eq!(conntrack.counters().fragments_overlapping, 2);
    }
}

#[test]
fn fragments_are_forgotten_in_time_and_bounded_in_number() {
    let ends = Ends::new("10.0.0.1:4000", "10.1.0.1:80");
    let mut conntrack = conntrack();
    for number in 0..5000 {
        track(&mut conntrack, 0, &mut fragment(ends, number, 0, 64, true), &commit(0));
    }
    assert_eq!(conntrack.datagrams(), hive_conntrack::DATAGRAMS_MAX);
    assert_eq!(conntrack.counters().fragments_full, 5000 - hive_conntrack::DATAGRAMS_MAX as u64);
    let later = track(&mut conntrack, 14_999, &mut fragment(ends, 1, 64, 128, true), &look(0));
    assert_eq!(later.refusal, None);
    let later = track(&mut conntrack, 15_000, &mut fragment(ends, 1, 128, 200, false), &look(0));
    assert_eq!((later.refusal, conntrack.datagrams()), (Some(Refusal::Fragment), 0));
    // And so are those of one datagram.
    track(&mut conntrack, 15_000, &mut fragment(ends, 1, 0, 8, true), &commit(0));
    for piece in 1..24 {
        let refusal =
            track(&mut conntrack, 15_000, &mut fragment(ends, 1, 8 * piece, 8 * piece + 8, true), &look(0)).refusal;
        assert_eq!(refusal.is_some(), piece >= FRAGMENTS_MAX);
    }
}
