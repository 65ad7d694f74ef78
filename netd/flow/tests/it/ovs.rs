//! Against the real thing: what `ovs-ofctl` sees in thousands of frames, and what it prints of them.

use crate::frames::{Random, frame};
use hive_flow::{Field, Key, Malformed, Match, parse};
use std::io::Write;
use std::process::Command;

/// `ovs-ofctl parse-pcap` gives no port: OFPP_NONE.
const PORT_NONE: u128 = 0xffff_ffff;

fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for frame in frames {
        let size = u32::try_from(frame.len()).unwrap();
        for word in [0, 0, size, size] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(frame);
    }
    file
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs of `ovs-ofctl` on a file of the given content.
fn ovs_ofctl(command: &str, content: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let output = Command::new("ovs-ofctl").arg(command).arg(file.path()).output().expect("ovs-ofctl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_frame_has_the_fields_that_ovs_sees_in_it() {
    let mut random = Random::new(1);
    let frames: Vec<_> =
        std::iter::repeat_with(|| frame(&mut random)).filter(|frame| !frame.is_empty()).take(60_000).collect();
    let mut template = Key::ZERO;
    template.set(Field::InPort, PORT_NONE);
    let seen = ovs_ofctl("parse-pcap", &pcap(&frames));
    let mut compared = 0;
    let mut malformed = 0;
    for (frame, expected) in frames.iter().zip(seen.lines()) {
        let parsed = parse(frame, frame.len(), &template, 2);
        assert_ne!(parsed.malformed, Some(Malformed::Cut));
        malformed += usize::from(parsed.malformed.is_some());
        assert_eq!(parsed.key.to_string(), expected, "\n{}\n{parsed:?}", hex(frame));
        compared += 1;
    }
    assert_eq!(compared, frames.len());
    assert!(malformed > compared / 20 && malformed < compared / 2, "{malformed} of {compared} are malformed");
}

/// A match that is printed, and read again and printed by `ovs-ofctl`, is the same text.
#[test]
fn matches_are_printed_as_ovs_prints_them() {
    let mut matches = Vec::new();
    let mut add = |parts: &[(Field, u128, u128)]| {
        let mut matching = Match::default();
        for (field, value, mask) in parts {
            matching.set(*field, *value, *mask);
        }
        matches.push(matching);
    };
    const ALL: u128 = u128::MAX;
    let ip = (Field::EthType, 0x800, ALL);
    let ipv6 = (Field::EthType, 0x86dd, ALL);
    let tcp = (Field::IpProto, 6, ALL);
    add(&[(Field::InPort, 7, ALL)]);
    add(&[(Field::InPort, 0xffff_fffe, ALL), (Field::Metadata, 0x12, ALL)]);
    add(&[(Field::Metadata, 0x1200, 0xff00), (Field::Reg(0), 5, ALL), (Field::Reg(15), 0, 0xf0)]);
    add(&[ip, (Field::Ipv4Src, 0x0a00_0000, 0xff00_0000), (Field::Ipv4Dst, 0x0a00_0001, ALL)]);
    add(&[ip, (Field::Ipv4Src, 0x0a00_0001, 0xff00_00ff)]);
    add(&[ip, tcp, (Field::TpSrc, 0x50, 0xfff0), (Field::TpDst, 80, ALL), (Field::TcpFlags, 0x12, 0x16)]);
    add(&[ip, tcp, (Field::TcpFlags, 0x12, ALL)]);
    add(&[ip, (Field::IpProto, 1, ALL), (Field::IcmpType, 8, ALL), (Field::IcmpCode, 0, ALL)]);
    add(&[ip, (Field::IpProto, 47, ALL), (Field::IpDscp, 8, ALL), (Field::IpEcn, 1, ALL), (Field::IpTtl, 64, ALL)]);
    add(&[ip, (Field::IpFrag, 3, 3)]);
    add(&[ip, (Field::IpFrag, 1, 3)]);
    add(&[ip, (Field::IpFrag, 0, 1)]);
    add(&[ip, (Field::IpFrag, 1, 1)]);
    add(&[ip, (Field::IpFrag, 0, 2)]);
    add(&[ipv6, (Field::Ipv6Src, 0xfd00 << 112, 0xffff << 112), (Field::Ipv6Label, 0x12, ALL)]);
    add(&[
        ipv6,
        (Field::IpProto, 58, ALL),
        (Field::IcmpType, 135, ALL),
        (Field::IcmpCode, 0, ALL),
        (Field::NdTarget, 1, ALL),
    ]);
    add(&[ipv6, (Field::IpProto, 17, ALL), (Field::TpDst, 53, ALL), (Field::Ipv6Dst, 1, ALL)]);
    add(&[
        (Field::EthType, 0x806, ALL),
        (Field::ArpOp, 1, ALL),
        (Field::ArpTpa, 0x0a00_0001, ALL),
        (Field::ArpSha, 1, ALL),
    ]);
    add(&[(Field::EthType, 0x88cc, ALL), (Field::EthDst, 0x0180_c200_000e, ALL)]);
    add(&[(Field::EthDst, 0x0100_0000_0000, 0x0100_0000_0000), (Field::EthSrc, 0x0200_0000_0001, ALL)]);
    add(&[(Field::VlanTci, 0x1005, 0x1fff)]);
    add(&[(Field::VlanTci, 0x7000, 0xf000)]);
    add(&[(Field::VlanTci, 0x7005, 0xffff)]);
    add(&[(Field::VlanTci, 0, ALL)]);
    add(&[(Field::VlanTci, 0x1000, 0x1000)]);
    add(&[(Field::VlanTci, 0x1005, 0x100f)]);
    add(&[
        (Field::EthType, 0x8847, ALL),
        (Field::MplsLabel, 100, ALL),
        (Field::MplsBos, 1, ALL),
        (Field::MplsTc, 2, ALL),
    ]);
    add(&[
        ip,
        (Field::CtState, 0x22, 0x3a),
        (Field::CtZone, 5, ALL),
        (Field::CtMark, 1, 0xf),
        (Field::CtLabel, 1 << 100, ALL),
    ]);
    add(&[ip, (Field::CtState, 0x21, ALL), (Field::CtZone, 100, ALL)]);
    add(&[ip, (Field::CtState, 0x21, 0x21), (Field::CtNwProto, 6, ALL), (Field::CtNwSrc, 1, ALL)]);
    add(&[(Field::TunId, 5, ALL), (Field::TunSrc, 0x0101_0101, ALL), (Field::TunFlags, 1, 1)]);
    add(&[(Field::TunIpv6Dst, 1, ALL), (Field::TunGbpId, 7, ALL), (Field::TunId, 0x100, 0xff00)]);
    add(&[(Field::PktMark, 5, ALL), (Field::ConjId, 33, ALL)]);
    let lines: String = matches
        .iter()
        .map(|matching| format!("{matching} actions=drop\n").replacen(" actions", ",actions", 1))
        .collect();
    let printed = ovs_ofctl("parse-flows", lines.as_bytes());
    let printed: Vec<_> = printed.lines().filter_map(|line| line.split_once("ADD ")).map(|(_, flow)| flow).collect();
    assert_eq!(printed.len(), matches.len(), "{printed:#?}");
    for (matching, printed) in matches.iter().zip(printed) {
        assert_eq!(format!("{matching} actions=drop"), printed);
    }
}
