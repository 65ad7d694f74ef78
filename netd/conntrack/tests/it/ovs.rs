//! Against the real thing: a thousand random packets through `ovs-vswitchd`'s tracker and this one, and the same comes out.

use crate::packets::{ACK, Ends, FIN, PSH, RST, SYN, Tcp, icmp, tcp, track, udp};
use crate::switch::Switch;
use hive_conntrack::{Conntrack, Helper, Nat, NatRange, Request, Settings, Verdict};

/// xorshift64*: the same packets for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// One end of what the packets pretend to be.
#[derive(Clone, Copy, Default)]
struct Side {
    seq: u32,
    window_scale: u8,
}

/// A conversation: how the client sees it, and how the server does, who may see the client translated.
struct Talk {
    client: Ends,
    server: Ends,
    sides: [Side; 2],
    kind: u8,
    /// Connections end; errors quote little.
    ends: bool,
    last_forward: Vec<u8>,
}

/// What goes to the reference says its direction in the destination address; the state comes back in the source address.
const FORWARD: u8 = 1;
const BACKWARD: u8 = 2;

fn next_packet(random: &mut Random, talk: &mut Talk, reply: bool) -> Vec<u8> {
    let ends = if reply { talk.server.reversed() } else { talk.client };
    // An error about the last packet, from the end that has received it.
    // Not translated in IPv6: there Open vSwitch 3.1 counts a change twice in the quoted checksum.
    let may_fail = talk.ends || talk.client.source.0.is_ipv4();
    if reply && may_fail && !talk.last_forward.is_empty() && random.below(10) == 0 {
        let quoted = &talk.last_forward[14..];
        // Translating a cut-off TCP header, Open vSwitch 3.1 writes its checksum behind the packet's end, and dies of it.
        let least = if talk.ends { 7 } else { 60 };
        let header = if talk.client.source.0.is_ipv4() { 20 } else { 40 };
        let quoted = &quoted[..quoted.len().min(header + random.pick(&[8, 20, 7, 60]).max(least))];
        let kinds = if header == 20 { [3, 11, 3, 5, 99] } else { [1, 3, 4, 1, 99] };
        return icmp(ends, random.pick(&kinds), 1, [0; 4], quoted);
    }
    match talk.kind {
        0 => {
            let (own, other) = (usize::from(reply), usize::from(!reply));
            let going_on = [SYN, SYN, SYN | ACK, SYN | ACK, ACK, ACK, ACK, PSH | ACK, PSH | ACK, FIN, 0, SYN | FIN];
            let ending = [FIN | ACK, FIN | ACK, RST, RST | ACK];
            let flags = if talk.ends && random.below(4) == 0 { random.pick(&ending) } else { random.pick(&going_on) };
            let payload = vec![b'x'; if flags & SYN == 0 { random.pick(&[0, 0, 10, 500]) } else { 0 }];
            let off = random.pick(&[0, 0, 0, 0, 0, 1, u32::MAX, 10, 5000, 200_000, 0x8000_0000]);
            let segment = Tcp {
                flags,
                seq: talk.sides[own].seq.wrapping_add(off),
                ack: if flags & ACK == 0 {
                    0
                } else {
                    talk.sides[other].seq.wrapping_add(random.pick(&[0, 0, 0, 1, 100_000]))
                },
                window: random.pick(&[65535, 1000, 0]),
                scale: (flags & SYN != 0).then(|| talk.sides[own].window_scale).filter(|scale| *scale != 99),
                payload: &payload,
            };
            if off == 0 {
                let octets = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
                talk.sides[own].seq = talk.sides[own].seq.wrapping_add(octets);
            }
            tcp(ends, segment)
        }
        1 => udp(ends, b"hello"),
        _ => {
            let (asks, answers) = if ends.source.0.is_ipv4() {
                ([8, 8, 8, 0, 13], [0, 0, 0, 8])
            } else {
                ([128, 128, 128, 129, 1], [129, 129, 129, 128])
            };
            let kind = if reply { random.pick(&answers) } else { random.pick(&asks) };
            icmp(ends, kind, random.pick(&[0, 0, 0, 0, 1]), [0, talk.client.source.1 as u8, 0, 1], b"echo")
        }
    }
}

/// `ends`: connections end, and time passes. Not with translation: Open vSwitch has the address of one that has ended in use until it
/// cleans up, which is at its leisure.
fn differential(
    seed: u64,
    forward_action: &str,
    backward_action: &str,
    forward: &Request,
    backward: &Request,
    servers: &[&str],
    ends: bool,
) {
    let state = "move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7]";
    let v6 = servers[0].starts_with('[');
    let family = if v6 { "ipv6" } else { "ip" };
    let mut switch = Switch::start(&format!(
        "table=0,{family},dl_dst=02:00:00:00:00:01 actions={forward_action}\n\
         table=0,{family},dl_dst=02:00:00:00:00:02 actions={backward_action}\n\
         table=1 actions={state},output:3\n"
    ));
    let mut random = Random(seed);
    let mut conntrack = Conntrack::new(Settings { other_protocols: false, ..Settings::default() });
    let mut talks = Vec::new();
    for number in 0..12 {
        let host = if v6 { format!("[fd00::{}]", 1 + number % 3) } else { format!("10.0.0.{}", 1 + number % 3) };
        let client = format!("{host}:{}", random.pick(&[1000, 1001, 700, 40000]));
        let client = Ends::new(&client, random.pick(servers));
        let side = |random: &mut Random| Side {
            seq: random.pick(&[1000, 0xffff_ff00, 5]),
            window_scale: random.pick(&[0, 7, 14, 99]),
        };
        let sides = [side(&mut random), side(&mut random)];
        talks.push(Talk {
            client,
            server: client,
            sides,
            kind: random.pick(&[0, 0, 0, 1, 2]),
            ends,
            last_forward: Vec::new(),
        });
    }
    let mut now_ms = 1_000_000;
    for round in 0..16 {
        let (mut sent, mut expected, mut notes): (Vec<_>, Vec<_>, Vec<Verdict>) = Default::default();
        for _ in 0..100 {
            let at = random.below(talks.len());
            let reply = random.below(5) < 2;
            let mut frame = next_packet(&mut random, &mut talks[at], reply);
            frame[5] = if reply { BACKWARD } else { FORWARD };
            sent.push(frame.clone());
            let verdict = track(&mut conntrack, now_ms, &mut frame, if reply { backward } else { forward });
            if !reply && talks[at].kind != 2 {
                talks[at].server = Ends::of(&frame);
                talks[at].last_forward = frame.clone();
            } else if !reply {
                talks[at].last_forward = frame.clone();
                let mut echo = Ends::of(&frame);
                echo.source.1 = talks[at].client.source.1;
                talks[at].server = echo;
            }
            frame[11] = verdict.state;
            expected.push(frame);
            notes.push(verdict);
        }
        let got = switch.send(&sent);
        for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(
                hex(got),
                hex(expected),
                "packet {at} of round {round}, sent as {}\n theirs {:02x}, ours {:02x}\n{:?}",
                hex(&sent[at]),
                got[11],
                expected[11],
                notes[at]
            );
        }
        assert_eq!(got.len(), expected.len());
        let mut ours: Vec<_> = conntrack.entries(None, now_ms).map(|entry| entry.to_string()).collect();
        ours.sort();
        assert_eq!(switch.connections(), ours, "after round {round}");
        let pause = random.pick(&[0, 0, 20_000, 31_000]);
        if pause != 0 && ends {
            switch.warp(pause);
            now_ms += pause;
        }
    }
    assert!(!conntrack.is_empty());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const COMMIT: &str = "ct(commit,zone=5,table=1)";

fn request(commit: bool, nat: Option<Nat>) -> Request {
    Request { zone: 5, commit, nat, ..Request::default() }
}

fn range(first: u32, last: u32, ports: Option<(u16, u16)>) -> NatRange {
    NatRange { addresses: Some((first.into(), last.into())), ports, ..NatRange::default() }
}

#[test]
fn plain_tracking_is_as_ovs_does_it() {
    for seed in [1, 2] {
        let (forward, backward) = (request(true, None), request(false, None));
        differential(seed, COMMIT, "ct(zone=5,table=1)", &forward, &backward, &["10.0.1.1:80", "10.0.1.2:53"], true);
    }
}

#[test]
fn both_sides_may_begin() {
    let both = request(true, None);
    differential(3, COMMIT, COMMIT, &both, &both, &["10.0.1.1:80", "10.0.1.2:53"], true);
}

#[test]
fn ipv6_is_tracked_as_ovs_does_it() {
    let (forward, backward) = (request(true, None), request(false, None));
    differential(6, COMMIT, "ct(zone=5,table=1)", &forward, &backward, &["[fd00:1::1]:80", "[fd00:1::2]:53"], true);
}

#[test]
fn ipv6_is_translated_as_ovs_does_it() {
    let address = 0xfd63 << 112 | 1;
    let range = NatRange { addresses: Some((address, address)), ..NatRange::default() };
    let (forward, backward) = (request(true, Some(Nat::Source(range))), request(false, Some(Nat::Existing)));
    let action = "ct(commit,zone=5,nat(src=[fd63::1]),table=1)";
    differential(
        7,
        action,
        "ct(zone=5,nat,table=1)",
        &forward,
        &backward,
        &["[fd00:1::1]:80", "[fd00:1::1]:53"],
        false,
    );
}

/// With one address, so that all clients' ports are in each other's way.
#[test]
fn source_translation_is_as_ovs_does_it() {
    let forward = request(true, Some(Nat::Source(range(0x0a63_0001, 0x0a63_0001, None))));
    let backward = request(false, Some(Nat::Existing));
    let action = "ct(commit,zone=5,nat(src=10.99.0.1),table=1)";
    differential(4, action, "ct(zone=5,nat,table=1)", &forward, &backward, &["10.0.1.1:80", "10.0.1.1:53"], false);
}

#[test]
fn destination_translation_is_as_ovs_does_it() {
    let forward = request(true, Some(Nat::Destination(range(0x0a00_0203, 0x0a00_0203, Some((8080, 8080))))));
    let backward = request(false, Some(Nat::Existing));
    let action = "ct(commit,zone=5,nat(dst=10.0.2.3:8080),table=1)";
    differential(5, action, "ct(zone=5,nat,table=1)", &forward, &backward, &["10.0.1.1:80", "10.0.1.2:80"], false);
}

/// Who says what: by which of the two actions, from where to where.
type Line<'a> = (u8, &'a str, &'a str, u8, u32, u32, &'a str);

/// A conversation over FTP's control channel, and the data connection that comes of it. Not translated: ports of this kind have no
/// room for a longer packet, and then Open vSwitch changes nothing.
fn ftp(lines: &[Line<'_>]) {
    let mut switch = Switch::start(
        "table=0,tcp,dl_dst=02:00:00:00:00:01 actions=ct(commit,zone=5,alg=ftp,table=1)\n\
         table=0,tcp,dl_dst=02:00:00:00:00:02 actions=ct(zone=5,table=1)\n\
         table=1 actions=move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],output:3\n",
    );
    let mut conntrack = Conntrack::new(Settings::default());
    let forward = Request { helper: Some(Helper::Ftp), ..request(true, None) };
    for (at, (direction, from, to, flags, seq, ack, text)) in lines.iter().enumerate() {
        let segment = Tcp { flags: *flags, seq: *seq, ack: *ack, window: 9000, scale: None, payload: text.as_bytes() };
        let mut frame = tcp(Ends::new(from, to), segment);
        frame[5] = *direction;
        let theirs = switch.send(std::slice::from_ref(&frame)).remove(0);
        let request = if *direction == FORWARD { &forward } else { &request(false, None) };
        frame[11] = track(&mut conntrack, 0, &mut frame, request).state;
        assert_eq!(hex(&theirs), hex(&frame), "line {at}: {text}");
    }
    let mut ours: Vec<_> = conntrack.entries(None, 0).map(|entry| entry.to_string()).collect();
    ours.sort();
    assert_eq!(switch.connections(), ours);
}

#[test]
fn ftp_is_helped_as_ovs_does_it() {
    let (client, server, data) = ("10.0.0.1:4000", "10.1.0.1:21", "10.0.0.1:4001");
    ftp(&[
        (FORWARD, client, server, SYN, 100, 0, ""),
        (BACKWARD, server, client, SYN | ACK, 500, 101, ""),
        (FORWARD, client, server, ACK, 101, 501, ""),
        (BACKWARD, server, client, PSH | ACK, 501, 101, "220 hello\r\n"),
        (FORWARD, client, server, PSH | ACK, 101, 512, "PORT 10,0,0,1,19,137\r\n"),
        (BACKWARD, server, client, PSH | ACK, 512, 123, "200 fine\r\n"),
        (FORWARD, client, server, PSH | ACK, 123, 522, "PASV\r\n"),
        (BACKWARD, server, client, PSH | ACK, 522, 129, "227 Entering Passive Mode (10,1,0,1,19,138).\r\n"),
        (FORWARD, "10.1.0.1:20", "10.0.0.1:5001", SYN, 9, 0, ""),
        (FORWARD, "10.1.0.1:20", "10.0.0.1:5002", SYN, 9, 0, ""),
        (FORWARD, data, "10.1.0.1:5002", SYN, 9, 0, ""),
        (FORWARD, data, "10.1.0.1:5003", SYN, 9, 0, ""),
    ]);
}
