//! Operations on known frames, and against the real Open vSwitch.

use crate::caches::Switch;
use crate::packets::{Ends, ethernet, ipv4, tcp, udp};
use crate::rules::Rule;
use crate::switch;
use hive_flow::{Field, Key, parse};
use hive_packet::VnetHeader;
use hive_packet::offload::{GSO_TCPV4, NEEDS_CSUM};
use hive_program::{Op, PortId};

const ENDS: Ends = Ends { source: (0x0a00_0001, 1000), destination: (0x0a00_0002, 80) };

fn set(field: Field, value: u128) -> Op {
    Op::Set { field, value, mask: field.full_mask() }
}

/// What our executor makes of frames.
fn ours(ops: Vec<Op>, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let ops = ops.into_iter().chain([Op::Output(PortId(3))]).collect();
    let mut switch = Switch::new(vec![Rule { wanted: vec![], ops }], true, true);
    let frames: Vec<_> = frames.iter().map(|frame| (frame.clone(), VnetHeader::default())).collect();
    // Twice: the second time by the caches.
    let first: Vec<_> = switch.send(1, &frames, 1).into_iter().map(|sent| sent.2).collect();
    let second: Vec<_> = switch.send(1, &frames, 2).into_iter().map(|sent| sent.2).collect();
    assert_eq!(first, second);
    first
}

fn ipv6_udp() -> Vec<u8> {
    let mut packet = vec![0x60, 0x12, 0x34, 0x56, 0, 12, 17, 64];
    packet.extend((1..=32u8).map(|byte| byte ^ 0x20));
    let mut datagram = [3u16, 4, 12, 0].map(u16::to_be_bytes).concat();
    datagram.extend_from_slice(b"data");
    let sum = hive_packet::checksum::sum(&packet[8..40]) + 17 + 12 + hive_packet::checksum::sum(&datagram);
    let check = !hive_packet::checksum::fold(sum);
    datagram[6..8].copy_from_slice(&check.to_be_bytes());
    packet.extend(datagram);
    ethernet(0x86dd, &packet)
}

fn arp() -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0xa, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2];
    packet.resize(46, 0);
    ethernet(0x0806, &packet)
}

/// Frames of every kind that actions touch.
fn frames() -> Vec<Vec<u8>> {
    let mut no_checksum = udp(ENDS, b"no checksum");
    no_checksum[40..42].fill(0);
    let mut tagged = udp(ENDS, b"tagged");
    tagged.splice(12..12, [0x81, 0, 0x20, 7]);
    let mut fragment = ethernet(0x0800, &ipv4(17, ENDS.source.0, ENDS.destination.0, &[9; 24]));
    fragment[20..22].copy_from_slice(&[0, 5]);
    fragment[24..26].fill(0);
    let check = hive_packet::checksum::checksum(&fragment[14..34]);
    fragment[24..26].copy_from_slice(&check.to_be_bytes());
    vec![
        tcp(ENDS, crate::packets::Tcp { flags: 0x18, seq: 5, ack: 6, window: 7, payload: &[1; 101] }),
        udp(ENDS, b"datagram"),
        no_checksum,
        tagged,
        fragment,
        ipv6_udp(),
        arp(),
        ethernet(0x88b5, &[3; 50]),
    ]
}

/// Each row: actions as `ovs-ofctl` writes them, and the operations they come to.
fn table() -> Vec<(&'static str, Vec<Op>)> {
    vec![
        (
            "set_field:02:00:00:00:00:33->eth_dst,set_field:02:00:00:00:00:44->eth_src",
            vec![set(Field::EthDst, 0x0200_0000_0033), set(Field::EthSrc, 0x0200_0000_0044)],
        ),
        (
            "mod_nw_src:10.1.2.3,mod_nw_dst:10.4.5.6",
            vec![set(Field::Ipv4Src, 0x0a01_0203), set(Field::Ipv4Dst, 0x0a04_0506)],
        ),
        ("mod_nw_tos:64", vec![set(Field::IpDscp, 16)]),
        ("mod_nw_ecn:2", vec![set(Field::IpEcn, 2)]),
        ("mod_nw_ttl:17", vec![set(Field::IpTtl, 17)]),
        ("mod_tp_src:4321,mod_tp_dst:99", vec![set(Field::TpSrc, 4321), set(Field::TpDst, 99)]),
        ("push_vlan:0x8100,set_field:4101->vlan_vid", vec![Op::PushVlan { tpid: 0x8100, tci: 0x1005 }]),
        ("push_vlan:0x88a8,set_field:4103->vlan_vid", vec![Op::PushVlan { tpid: 0x88a8, tci: 0x1007 }]),
        ("strip_vlan", vec![Op::PopVlan]),
        ("output(port=3,max_len=40)", vec![Op::Truncate { bytes: 40 }]),
    ]
}

#[test]
fn operations_are_as_open_vswitch_does_them() {
    let frames = frames();
    for (actions, ops) in table() {
        // The kinds that the actions are allowed for: the rest goes through as it is in neither.
        let (matching, taken): (&str, fn(&Key) -> bool) = match actions {
            // Of later fragments Open vSwitch 3.1 changes payload, where a checksum would be.
            _ if actions.starts_with("mod_nw_src") => {
                ("ip", |key| key.get(Field::EthType) == 0x0800 && key.get(Field::IpFrag) == 0)
            }
            "strip_vlan" => ("vlan_tci=0x1000/0x1000", |key| key.get(Field::VlanTci) != 0),
            _ if actions.starts_with("mod_nw") => ("ip", |key| key.get(Field::EthType) == 0x0800),
            _ if actions.starts_with("mod_tp") => {
                ("udp", |key| key.get(Field::IpProto) == 17 && key.get(Field::EthType) == 0x0800)
            }
            _ => ("", |_| true),
        };
        let frames: Vec<_> =
            frames.iter().filter(|frame| taken(&parse(frame, frame.len(), &Key::ZERO, 1).key)).cloned().collect();
        let output = if actions.starts_with("output") { "" } else { ",output:3" };
        let comma = if matching.is_empty() { "" } else { "," };
        let mut real = switch::Switch::start(&format!("in_port=1{comma}{matching},actions={actions}{output}\n"));
        let expected = real.send(&frames);
        let got = ours(ops, &frames);
        assert_eq!(got.len(), expected.len(), "{actions}");
        for ((got, expected), sent) in got.iter().zip(&expected).zip(&frames) {
            assert_eq!(got, expected, "{actions} of {sent:?}");
        }
    }
}

/// Of a large frame whose checksum is left to the receiver only the pseudo-header is summed: it follows the addresses, not the ports.
#[test]
fn offloaded_frames_keep_what_they_promise() {
    let payload = [5; 3000];
    let mut frame = tcp(ENDS, crate::packets::Tcp { flags: 0x10, seq: 1, ack: 1, window: 1, payload: &payload });
    let pseudo = |frame: &[u8]| {
        let sum = hive_packet::checksum::sum(&frame[26..34]) + 6 + (frame.len() - 34) as u64;
        hive_packet::checksum::fold(sum).to_be_bytes()
    };
    let check = pseudo(&frame);
    frame[50..52].copy_from_slice(&check);
    let vnet = VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_TCPV4,
        header_bytes: 54,
        gso_size: 1460,
        csum_start: 34,
        csum_offset: 16,
    };
    let run = |ops: Vec<Op>| {
        let ops = ops.into_iter().chain([Op::Output(PortId(3))]).collect();
        let mut switch = Switch::new(vec![Rule { wanted: vec![], ops }], true, true);
        let mut sent = switch.send(1, &[(frame.clone(), vnet)], 1);
        assert_eq!(sent, switch.send(1, &[(frame.clone(), vnet)], 2));
        sent.remove(0)
    };
    let (_, header, sent, ..) =
        run(vec![set(Field::Ipv4Dst, 0x0a09_0909), set(Field::TpDst, 8080), set(Field::IpTtl, 3)]);
    assert_eq!(header, vnet);
    assert_eq!(sent[50..52], pseudo(&sent));
    assert_eq!(sent[54..], payload);
    let (_, header, sent, ..) = run(vec![Op::PushVlan { tpid: 0x8100, tci: 0x1001 }]);
    assert_eq!((header.csum_start, header.header_bytes, header.gso_size), (38, 58, 1460));
    assert_eq!(sent[54..56], check);
    // By the size of its segments, as they are on the wire.
    let larger = |bytes| {
        let ops = |port| [Op::Output(PortId(port))].into();
        run(vec![Op::IfLarger { bytes, then: ops(7), otherwise: ops(8) }]).0
    };
    assert_eq!((larger(1513), larger(1514)), (PortId(7), PortId(8)));
}

#[test]
fn flows_are_shown_as_open_vswitch_shows_them() {
    let rules = vec![Rule {
        wanted: vec![(Field::EthType, 0x0800, 0xffff), (Field::Ipv4Dst, 0x0a00_0000, 0xffff_ff00)],
        ops: vec![Op::PushVlan { tpid: 0x8100, tci: 0x1005 }, Op::Output(PortId(2))],
    }];
    let mut switch = Switch::new(rules, true, true);
    let frame = tcp(ENDS, crate::packets::Tcp { flags: 0x12, seq: 1, ack: 1, window: 1, payload: &[] });
    for now_ms in [1000, 1001] {
        switch.send(1, &[(frame.clone(), VnetHeader::default())], now_ms);
    }
    assert_eq!(
        switch.engine.dump_flows(2201),
        ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(dst=10.0.0.0/255.255.255.0,frag=no), \
         packets:2, bytes:108, used:1.200s, flags:S., actions:push_vlan(vid=5,pcp=0),2"]
    );
}
