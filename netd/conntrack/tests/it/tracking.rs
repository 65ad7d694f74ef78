//! States, memory of marks, limits, flushes, time.

use crate::packets::{ACK, Ends, FIN, PSH, RST, SYN, Tcp, frame, icmp, ip, tcp, track, track_as, udp};
use hive_conntrack::{Checksum, Conntrack, Flush, Refusal, Request, Settings, TimeoutPolicy, Timer, Tuple, state};
use proptest::prelude::*;
use std::collections::BTreeMap;

pub fn conntrack() -> Conntrack {
    Conntrack::new(Settings { seed: 1, ..Settings::default() })
}

pub fn commit(zone: u16) -> Request {
    Request { zone, commit: true, ..Request::default() }
}

pub fn look(zone: u16) -> Request {
    Request { zone, ..Request::default() }
}

pub fn ends() -> Ends {
    Ends::new("10.0.0.1:1000", "10.0.0.2:80")
}

fn segment(flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Tcp<'_> {
    Tcp { flags, seq, ack, window: 1000, scale: None, payload }
}

/// A table: who sends what, what it is then, and what the connection is called.
#[test]
fn the_life_of_a_tcp_connection() {
    use state::{ESTABLISHED as EST, INVALID as INV, NEW, REPLY as RPL, TRACKED as TRK};
    let steps: [(bool, Tcp<'_>, u8, &str); 11] = [
        (false, segment(SYN, 100, 0, b""), NEW, "SYN_SENT"),
        (false, segment(SYN, 100, 0, b""), NEW, "SYN_SENT"),
        (true, segment(SYN | ACK, 500, 101, b""), EST | RPL, "ESTABLISHED"),
        (false, segment(ACK, 101, 501, b""), EST, "ESTABLISHED"),
        (false, segment(PSH | ACK, 101, 501, b"request"), EST, "ESTABLISHED"),
        // Far outside of the window.
        (true, segment(PSH | ACK, 90_000_000, 108, b"forged"), INV, "ESTABLISHED"),
        // A reset must fit exactly.
        (true, segment(RST, 900, 0, b""), INV, "ESTABLISHED"),
        (true, segment(PSH | ACK, 501, 108, b"answer"), EST | RPL, "ESTABLISHED"),
        (true, segment(FIN | ACK, 507, 108, b""), EST | RPL, "CLOSING"),
        (false, segment(FIN | ACK, 108, 508, b""), EST, "TIME_WAIT"),
        (true, segment(ACK, 508, 109, b""), EST | RPL, "TIME_WAIT"),
    ];
    let mut conntrack = conntrack();
    for (at, (reply, segment, bits, name)) in steps.into_iter().enumerate() {
        let ends = if reply { ends().reversed() } else { ends() };
        let verdict = track(&mut conntrack, at as u64, &mut tcp(ends, segment), &commit(0));
        assert_eq!(verdict.state, bits | TRK, "step {at}");
        assert_eq!(
            conntrack
                .entries(None, 0)
                .next()
                .unwrap()
                .tcp_state()
                .map(|state| state.name().replace("FIN_WAIT_2", "TIME_WAIT")),
            Some(name.into()),
            "step {at}"
        );
    }
    // The same tuple begins anew.
    let verdict = track(&mut conntrack, 99, &mut tcp(ends(), segment(SYN, 7, 0, b"")), &commit(0));
    assert_eq!((verdict.state, conntrack.len()), (NEW | TRK, 1));
}

#[test]
fn windows_count_only_if_they_are_to() {
    for (check, bits) in [(true, state::INVALID), (false, state::ESTABLISHED)] {
        let mut conntrack = conntrack();
        conntrack.set_tcp_sequence_check(check);
        let mut send = |reply, segment| {
            let ends = if reply { ends().reversed() } else { ends() };
            track(&mut conntrack, 0, &mut tcp(ends, segment), &commit(0)).state
        };
        send(false, segment(SYN, 100, 0, b""));
        send(true, segment(SYN | ACK, 500, 101, b""));
        assert_eq!(send(false, segment(ACK, 50_000_000, 501, b"x")), bits | state::TRACKED);
    }
}

#[test]
fn packets_that_can_be_of_no_connection_are_invalid() {
    let invalid = |frame: &[u8]| {
        let mut conntrack = conntrack();
        let verdict = track(&mut conntrack, 0, &mut frame.to_vec(), &commit(0));
        assert_eq!(conntrack.len(), usize::from(verdict.state & state::INVALID == 0));
        verdict.state & state::INVALID != 0
    };
    let sound = udp(ends(), b"payload");
    assert!(!invalid(&sound));
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(invalid(&damaged), "the checksum");
    let mut damaged = sound.clone();
    damaged[22] ^= 1;
    assert!(invalid(&damaged), "the IP checksum");
    assert!(invalid(&tcp(ends(), segment(SYN | ACK, 1, 1, b""))), "an answer to nothing");
    assert!(invalid(&tcp(ends(), segment(SYN | FIN, 1, 0, b""))), "impossible flags");
    assert!(invalid(&icmp(ends(), 0, 0, [0, 1, 0, 1], b"")), "an echo that nobody asked for");
    assert!(invalid(&icmp(ends(), 3, 1, [0; 4], &udp(ends().reversed(), b"")[14..])), "an error about nothing");
    assert!(invalid(&udp(Ends::new("10.0.0.1:0", "10.0.0.2:1"), b"")), "port 0");
    // What the hardware or the guest says of checksums counts.
    let parsed = |known| {
        let mut frame = sound.clone();
        frame[40] ^= 1;
        track_as(&mut conntrack(), 0, &mut frame, &commit(0), known, None).state & state::INVALID != 0
    };
    assert_eq!(
        [Checksum::Unknown, Checksum::Good, Checksum::Partial, Checksum::Bad].map(parsed),
        [true, false, false, true]
    );
}

#[test]
fn an_error_is_related_to_the_connection_it_quotes() {
    for (client, server, unreachable) in [("10.0.0.1:1000", "10.0.0.2:53", 3), ("[fd00::1]:1000", "[fd00::2]:53", 1)] {
        let ends = Ends::new(client, server);
        let mut conntrack = conntrack();
        let mut request = udp(ends, b"?");
        track(&mut conntrack, 0, &mut request, &commit(3));
        // From a router on the way.
        let router = Ends::new(if unreachable == 3 { "10.0.9.9:1" } else { "[fd00::9]:1" }, client);
        let mut error = icmp(router, unreachable, 1, [0; 4], &request[14..]);
        let verdict = track(&mut conntrack, 0, &mut error, &look(3));
        assert_eq!(verdict.state, state::RELATED | state::REPLY | state::TRACKED);
        assert_eq!(verdict.original.unwrap().source_port(), 1000);
        // One to somebody else than who has sent that is not.
        let stranger = Ends::new(client, if unreachable == 3 { "10.0.7.7:1" } else { "[fd00::7]:1" });
        let mut error = icmp(stranger, unreachable, 1, [0; 4], &request[14..]);
        assert_eq!(track(&mut conntrack, 0, &mut error, &look(3)).state & state::INVALID, state::INVALID);
        // In another zone nobody knows of it.
        let mut error = icmp(router, unreachable, 1, [0; 4], &request[14..]);
        assert_eq!(track(&mut conntrack, 0, &mut error, &look(4)).state & state::INVALID, state::INVALID);
    }
}

#[test]
fn protocols_without_ports_are_tracked_by_addresses() {
    let gre = |ends| frame(&ip(ends, 47, vec![0; 12]));
    let mut ours = conntrack();
    assert_eq!(track(&mut ours, 0, &mut gre(ends()), &commit(0)).state, state::NEW | state::TRACKED);
    let answer = track(&mut ours, 0, &mut gre(ends().reversed()), &look(0));
    assert_eq!(answer.state, state::ESTABLISHED | state::REPLY | state::TRACKED);
    assert_eq!(ours.entries(None, 0).next().unwrap().expires_in_ms(), 600_000);
    let mut as_ovs = Conntrack::new(Settings { other_protocols: false, ..Settings::default() });
    assert_eq!(track(&mut as_ovs, 0, &mut gre(ends()), &commit(0)).state, state::INVALID | state::TRACKED);
}

#[test]
fn marks_and_labels_are_kept_and_changed_under_their_masks() {
    let mut conntrack = conntrack();
    let mut send = |mark, label| {
        let request = Request { mark, label, ..commit(0) };
        let verdict = track(&mut conntrack, 0, &mut udp(ends(), b""), &request);
        (verdict.mark, verdict.label)
    };
    assert_eq!(send(Some((0x12, 0xff)), None), (0x12, 0));
    assert_eq!(send(Some((0x3400, 0xff00)), Some((1 << 100, 1 << 100))), (0x3412, 1 << 100));
    assert_eq!(send(None, Some((5, 0xf))), (0x3412, 1 << 100 | 5));
    let line = conntrack.entries(None, 0).next().unwrap().to_string();
    assert_eq!(
        line,
        "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80),reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=1000),\
         mark=13330,labels=0x10000000000000000000000005"
    );
}

#[test]
fn force_makes_the_answering_side_the_first() {
    let mut conntrack = conntrack();
    track(&mut conntrack, 0, &mut udp(ends(), b""), &commit(0));
    let force = Request { force: true, ..commit(0) };
    let verdict = track(&mut conntrack, 0, &mut udp(ends().reversed(), b""), &force);
    assert_eq!(verdict.state, state::NEW | state::TRACKED);
    assert_eq!(conntrack.entries(None, 0).next().unwrap().original().source_port(), 80);
    assert_eq!(conntrack.len(), 1);
    // In its own direction it changes nothing.
    let verdict = track(&mut conntrack, 0, &mut udp(ends().reversed(), b""), &force);
    assert_eq!((verdict.state, conntrack.len()), (state::NEW | state::TRACKED, 1));
}

#[test]
fn limits_are_kept_and_refusals_counted() {
    let mut conntrack = Conntrack::new(Settings { connections_max: 3, ..Settings::default() });
    conntrack.set_zone_max(1, Some(2));
    let mut send = |port: u16, zone| {
        let ends = Ends { source: ("10.0.0.1".parse().unwrap(), port), ..ends() };
        let verdict = track(&mut conntrack, 0, &mut udp(ends, b""), &commit(zone));
        assert_eq!(verdict.state, state::NEW | state::TRACKED);
        assert_eq!(verdict.connection.is_none(), verdict.refusal.is_some());
        verdict.refusal
    };
    assert_eq!([send(1, 1), send(2, 1), send(3, 1)], [None, None, Some(Refusal::ZoneFull)]);
    assert_eq!([send(3, 2), send(4, 2)], [None, Some(Refusal::Full)]);
    assert_eq!((conntrack.len(), conntrack.zone_len(1), conntrack.zone_len(2)), (3, 2, 1));
    let counters = conntrack.counters();
    assert_eq!((counters.created, counters.refused_full, counters.refused_zone_full), (3, 1, 1));
    assert_eq!(conntrack.flush(Flush::Zone(1)), 2);
    let tuple = *conntrack.entries(None, 0).next().unwrap().reply();
    let id =
        track(&mut conntrack, 0, &mut udp(Ends { source: ("10.0.0.1".parse().unwrap(), 3), ..ends() }, b""), &look(2));
    assert!(conntrack.is_alive(id.connection.unwrap(), 0));
    assert_eq!(conntrack.flush(Flush::Tuple(&tuple)), 1);
    assert!(!conntrack.is_alive(id.connection.unwrap(), 0));
    assert_eq!((conntrack.len(), conntrack.zone_len(2), conntrack.flush(Flush::All)), (0, 0, 0));
}

#[test]
fn a_zone_has_its_own_timers() {
    let mut conntrack = conntrack();
    assert!(conntrack.set_zone_policy(7, TimeoutPolicy::AWS.with_ms(Timer::UdpFirst, 5000)));
    for (zone, expected) in [(7, 5000), (8, 60_000)] {
        track(&mut conntrack, 100, &mut udp(ends(), b""), &commit(zone));
        assert_eq!(conntrack.entries(Some(zone), 100).next().unwrap().expires_in_ms(), expected);
        let timeout = format!("timeout={}", expected / 1000);
        assert!(format!("{:#}", conntrack.entries(Some(zone), 100).next().unwrap()).contains(&timeout));
    }
    assert_eq!(conntrack.entries(None, 5100).count(), 1);
    // Cleaned up a tick later at the latest.
    assert!(!conntrack.expire(5100 + 256, 1000));
    assert_eq!((conntrack.len(), conntrack.counters().expired), (1, 1));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Packet { port: u16, zone: u16, reply: bool },
    Wait(u64),
    Expire(usize),
    FlushZone(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u16..30, 0u16..3, any::<bool>()).prop_map(|(port, zone, reply)| Step::Packet { port, zone, reply }),
        4 => prop_oneof![0u64..2000, 0u64..200_000, Just(10_000_000_000)].prop_map(Step::Wait),
        2 => (0usize..40).prop_map(Step::Expire),
        1 => (0u16..3).prop_map(Step::FlushZone),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A map of tuples to times does the same, whenever and however little is cleaned up.
    #[test]
    fn time_runs_out_for_those_it_should(steps in proptest::collection::vec(step(), 0..200)) {
        let mut conntrack = conntrack();
        // Zone 2 forgets fast.
        let policy = TimeoutPolicy::OVS.with_ms(Timer::UdpFirst, 300).with_ms(Timer::UdpSingle, 500).with_ms(Timer::UdpMultiple, 100);
        conntrack.set_zone_policy(2, policy.clone());
        let mut model: BTreeMap<(u16, u16), (u64, bool)> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Packet { port, zone, reply } => {
                    let ends = Ends { source: ("10.0.0.1".parse().unwrap(), port), ..ends() };
                    let ends = if reply { ends.reversed() } else { ends };
                    let known = model.get(&(zone, port)).copied().filter(|(expires, _)| *expires > now);
                    let policy = if zone == 2 { &policy } else { &TimeoutPolicy::OVS };
                    let answered = known.is_some_and(|(_, answered)| answered || reply);
                    let timer = match (known, answered) {
                        (None, _) => Timer::UdpFirst,
                        (Some(_), false) => Timer::UdpSingle,
                        (Some(_), true) => Timer::UdpMultiple,
                    };
                    let bits = if answered { state::ESTABLISHED } else { state::NEW } | if answered && reply { state::REPLY } else { 0 };
                    // A reply to nothing is a connection of its own.
                    if known.is_none() && reply {
                        continue;
                    }
                    let verdict = track(&mut conntrack, now, &mut udp(ends, b""), &commit(zone));
                    prop_assert_eq!(verdict.state, bits | state::TRACKED);
                    model.insert((zone, port), (now + policy.get_ms(timer), answered));
                }
                Step::Wait(milliseconds) => now += milliseconds,
                Step::Expire(budget) => {
                    let before = conntrack.len();
                    conntrack.expire(now, budget);
                    prop_assert!(before - conntrack.len() <= budget);
                }
                Step::FlushZone(zone) => {
                    conntrack.flush(Flush::Zone(zone));
                    model.retain(|(of, _), _| *of != zone);
                }
            }
            let mut held: Vec<_> = conntrack.entries(None, now).map(|entry| (entry.original().zone(), entry.original().source_port())).collect();
            held.sort_unstable();
            let live: Vec<_> = model.iter().filter(|(_, (expires, _))| *expires > now).map(|(key, _)| *key).collect();
            prop_assert_eq!(held, live);
        }
        // With enough to do it with, all that is over is gone, a tick later at the latest.
        now += 512;
        while conntrack.expire(now, 100_000) {}
        model.retain(|_, (expires, _)| *expires > now - 512);
        prop_assert!(conntrack.len() <= model.len());
        let zones: usize = (0..3).map(|zone| conntrack.zone_len(zone)).sum();
        prop_assert_eq!(zones, conntrack.len());
    }
}

#[test]
fn a_tuple_can_be_made_to_look_for() {
    let mut conntrack = conntrack();
    track(&mut conntrack, 0, &mut udp(ends(), b""), &commit(9));
    let tuple = Tuple::new(false, 17, (0x0a00_0001, 1000), (0x0a00_0002, 80), 9);
    assert_eq!(conntrack.entries(Some(9), 0).next().unwrap().original(), &tuple);
    assert_eq!(conntrack.flush(Flush::Tuple(&tuple.reversed())), 1);
}
