//! The parser alone: offsets, slices that end early, templates, anything at all.

use crate::frames::{Random, frame};
use hive_flow::{Field, Key, Malformed, Parsed, parse, parse_into};
use proptest::prelude::*;

const TCP: &str = "020000000002020000000001\
    0800450000280001000040060000\
    0a0000010a000002\
    03e8005000000001000000005002020000000000\
    0000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn offsets_and_padding_of_a_plain_segment() {
    let frame = bytes(TCP);
    let parsed = parse(&frame, frame.len(), &Key::ZERO, 1);
    assert_eq!(parsed.malformed, None);
    assert_eq!((parsed.mpls_offset, parsed.l3_offset, parsed.l4_offset), (None, Some(14), Some(34)));
    assert_eq!(parsed.padding_bytes, 2);
    let fields = [
        (Field::EthDst, 0x0200_0000_0002),
        (Field::EthSrc, 0x0200_0000_0001),
        (Field::EthType, 0x800),
        (Field::VlanTci, 0),
        (Field::Ipv4Src, 0x0a00_0001),
        (Field::Ipv4Dst, 0x0a00_0002),
        (Field::IpProto, 6),
        (Field::IpTtl, 64),
        (Field::TpSrc, 1000),
        (Field::TpDst, 80),
        (Field::TcpFlags, 2),
    ];
    for (field, value) in fields {
        assert_eq!(parsed.key.get(field), value, "{field:?}");
    }
}

#[test]
fn the_limit_says_how_many_tags_are_tags() {
    let mut frame = bytes(TCP);
    frame.splice(12..12, bytes("88a830058100a007"));
    let types = [0, 1, 2, 9].map(|limit| parse(&frame, frame.len(), &Key::ZERO, limit).key.get(Field::EthType));
    assert_eq!(types, [0x88a8, 0x8100, 0x800, 0x800]);
    let parsed = parse(&frame, frame.len(), &Key::ZERO, 2);
    assert_eq!(parsed.key.get(Field::VlanTci), 0x3005);
    assert_eq!(parsed.key.inner(hive_flow::Inner::Vlan1Tci), 0xb007);
    assert_eq!(parsed.l3_offset, Some(22));
}

#[test]
fn faults_have_names() {
    let sound = bytes(TCP);
    let reason = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = sound.clone();
        change(&mut frame);
        parse(&frame, frame.len(), &Key::ZERO, 1).malformed
    };
    assert_eq!(reason(&|_| {}), None);
    assert_eq!(reason(&|frame| frame.truncate(13)), Some(Malformed::Ethernet));
    assert_eq!(reason(&|frame| frame.truncate(33)), Some(Malformed::Ipv4));
    assert_eq!(reason(&|frame| frame[14] = 0x44), Some(Malformed::Ipv4HeaderLength));
    assert_eq!(reason(&|frame| frame[17] = 19), Some(Malformed::Ipv4TotalLength));
    assert_eq!(reason(&|frame| frame[16] = 1), Some(Malformed::Ipv4TotalLength));
    assert_eq!(reason(&|frame| frame[17] = 39), Some(Malformed::Transport));
    assert_eq!(reason(&|frame| frame[12..14].copy_from_slice(&[8, 6])), Some(Malformed::Arp));
    let ipv6 = |payload: u8| {
        move |frame: &mut Vec<u8>| {
            frame[12..14].copy_from_slice(&[0x86, 0xdd]);
            frame[18..21].copy_from_slice(&[0, payload, 60]);
        }
    };
    assert_eq!(reason(&ipv6(3)), Some(Malformed::Ipv6PayloadLength));
    assert_eq!(reason(&ipv6(2)), Some(Malformed::Ipv6Extension));
}

/// Work is bounded: a chain of extension headers is followed so far, and no further.
#[test]
fn extension_headers_are_followed_up_to_the_limit() {
    let chain = |count: usize| {
        let mut frame = bytes("02000000000202000000000186dd60000000");
        frame.extend_from_slice(&u16::try_from(8 * count + 8).unwrap().to_be_bytes());
        frame.extend_from_slice(&[if count == 0 { 17 } else { 60 }, 64]);
        frame.extend_from_slice(&[1; 32]);
        for left in (0..count).rev() {
            frame.extend_from_slice(&[if left == 0 { 17 } else { 60 }, 0, 0, 0, 0, 0, 0, 0]);
        }
        frame.extend_from_slice(&[0, 1, 0, 2, 0, 8, 0, 0]);
        parse(&frame, frame.len(), &Key::ZERO, 1)
    };
    assert_eq!(chain(63).malformed, None);
    assert_eq!(chain(63).key.get(Field::TpDst), 2);
    assert_eq!(chain(hive_flow::EXTENSION_HEADERS_MAX).malformed, Some(Malformed::Ipv6Extensions));
}

#[test]
fn the_template_gives_metadata_and_nothing_else() {
    let frame = bytes(TCP);
    let mut template = Key::ZERO;
    for (at, field) in Field::placed().enumerate() {
        template.set(field, 1 + at as u128);
    }
    template.set(Field::CtIpv6Src, 0);
    template.set(Field::CtIpv6Dst, 0);
    let parsed = parse(&frame, frame.len(), &template, 1);
    let bare = parse(&frame, frame.len(), &Key::ZERO, 1);
    for field in Field::placed() {
        let header =
            bare.key.get(field) != 0 || hive_flow::Stage::Metadata.words() & field.place().unwrap().words() == 0;
        let expected = if header { bare.key.get(field) } else { template.get(field) };
        assert_eq!(parsed.key.get(field), expected, "{field:?}");
    }
    // The original tuple of a connection of the other IP version is not this packet's.
    template.set(Field::CtIpv6Src, 1);
    let parsed = parse(&frame, frame.len(), &template, 1);
    assert_eq!(
        [Field::CtNwProto, Field::CtNwSrc, Field::CtIpv6Src, Field::CtTpSrc].map(|field| parsed.key.get(field)),
        [0; 4]
    );
    assert_ne!(parsed.key.get(Field::CtZone), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Nothing panics, and offsets are within the frame and in order.
    #[test]
    fn any_bytes_are_taken(frame in proptest::collection::vec(any::<u8>(), 0..200), more in 0usize..100, limit in 0usize..4) {
        let parsed = parse(&frame, frame.len() + more, &Key::ZERO, limit);
        let end = (frame.len() + more) as u16;
        let offsets: Vec<_> = [parsed.mpls_offset, parsed.l3_offset, parsed.l4_offset].into_iter().flatten().collect();
        prop_assert!(offsets.is_sorted());
        prop_assert!(offsets.iter().all(|offset| *offset <= end));
    }

    /// The beginning of a frame gives the whole frame's key, or says that it is not enough.
    #[test]
    fn a_part_of_a_frame_is_enough_or_says_so(seed: u64, part in 0usize..200) {
        let frame = frame(&mut Random::new(seed));
        let whole = parse(&frame, frame.len(), &Key::ZERO, 2);
        let head = parse(&frame[..part.min(frame.len())], frame.len(), &Key::ZERO, 2);
        prop_assert!(head.malformed == Some(Malformed::Cut) || head == whole);
    }
}

/// What one packet costs: `cargo test --release -p hive-flow -- --ignored --nocapture cost`.
#[test]
#[ignore = "prints a figure"]
fn cost_of_parsing() {
    let frame = bytes(TCP);
    let rounds = 20_000_000u32;
    let started = cpu_time();
    let mut sum = 0u64;
    let mut parsed = Parsed::default();
    for _ in 0..rounds {
        parse_into(&mut parsed, std::hint::black_box(&frame), frame.len(), std::hint::black_box(&Key::ZERO), 1);
        sum = sum.wrapping_add(std::hint::black_box(&parsed).key.words[5]);
    }
    let elapsed = cpu_time() - started;
    let copied = cpu_time();
    for _ in 0..rounds {
        let mut key = *std::hint::black_box(&Key::ZERO);
        std::hint::black_box(&mut key);
    }
    println!("copy of a key: {:.1} ns", (cpu_time() - copied).as_secs_f64() * 1e9 / f64::from(rounds));
    println!("parse of a TCP segment: {:.1} ns ({sum})", elapsed.as_secs_f64() * 1e9 / f64::from(rounds));
}

/// Of this thread: others on the machine disturb it less than the time of day.
fn cpu_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
