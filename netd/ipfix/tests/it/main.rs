//! Messages that are written and read again, and messages that nobody should have written.

use hive_ipfix::{
    Counts, DOMAINS_MAX, DecodeError, Decoder, Encoder, EndReason, FlowKey, Ip, MESSAGE_BYTES_MAX, Record, TcpCounts,
    Transport,
};
use proptest::prelude::*;
use std::net::IpAddr;

/// 2026-01-01.
const NOW_US: u64 = 1_767_225_600_123_456;

fn key() -> impl Strategy<Value = FlowKey> {
    let addresses = prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(from, to)| (IpAddr::from(from), IpAddr::from(to))),
        any::<([u8; 16], [u8; 16])>().prop_map(|(from, to)| (IpAddr::from(from), IpAddr::from(to))),
    ];
    let transport = prop_oneof![
        Just(Transport::None),
        any::<(u16, u16)>().prop_map(|(source, destination)| Transport::Ports { source, destination }),
        any::<(u16, u16)>().prop_map(|(source, destination)| Transport::Tcp { source, destination }),
        any::<(u8, u8)>().prop_map(|(kind, code)| Transport::Icmp { kind, code }),
    ];
    let ip = (addresses, any::<(u8, u8, u32)>(), transport);
    (any::<(u32, u32, u8, [u8; 6], [u8; 6], u16)>(), proptest::option::of(any::<u16>()), proptest::option::of(ip))
        .prop_map(|((domain, point, direction, source_mac, destination_mac, ether_type), vlan, ip)| FlowKey {
            domain: domain % 3,
            point,
            direction,
            source_mac,
            destination_mac,
            ether_type,
            vlan_tci: vlan.map(|tci| tci & 0xefff),
            ip: ip.map(|((source, destination), (ttl, tos, label), transport)| {
                let protocol = match transport {
                    Transport::Tcp { .. } => 6,
                    Transport::Ports { .. } => 17,
                    Transport::Icmp { .. } if source.is_ipv6() => 58,
                    Transport::Icmp { .. } => 1,
                    Transport::None => 47,
                };
                let label = if source.is_ipv4() { 0 } else { label };
                Ip { source, destination, protocol, ttl, tos, label }
            }),
            transport: ip.map_or(Transport::None, |(_, _, transport)| transport),
        })
}

fn counts() -> impl Strategy<Value = Counts> {
    (0u64..600_000_000, 0u64..600_000_000, any::<[u64; 9]>()).prop_map(|(start, end, n)| Counts {
        start_us: NOW_US - start,
        end_us: NOW_US - end,
        packets: n[0],
        octets: n[1],
        layer2_octets: n[2],
        tcp: TcpCounts { syn: n[3], fin: n[4], rst: n[5], psh: n[6], ack: n[7], urg: n[8] },
    })
}

fn read(decoder: &mut Decoder, message: &[u8]) -> Result<Vec<Record>, DecodeError> {
    let mut records = Vec::new();
    decoder.message(message, |record| records.push(record)).map(|()| records)
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in proptest::collection::vec((key(), counts()), 1..80)) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let mut read_again = Vec::new();
        for batch in records.chunks(30) {
            let batch = batch.iter().map(|(key, counts)| (*key, *counts, EndReason::ActiveTimeout));
            encoder.messages(NOW_US, batch, |message| {
                assert!(message.len() <= MESSAGE_BYTES_MAX);
                read_again.extend(read(&mut decoder, message).unwrap());
            });
        }
        let expected: Vec<_> = records.into_iter().map(|(key, mut counts)| {
            if !matches!(key.transport, Transport::Tcp { .. }) {
                counts.tcp = TcpCounts::default();
            }
            if key.ip.is_none() {
                counts.octets = 0;
            }
            Record { key, counts, end_reason: EndReason::ActiveTimeout as u8 }
        }).collect();
        prop_assert_eq!(read_again, expected);
        prop_assert_eq!(decoder.unknown_sets, 0);
    }

    /// Whatever comes, nothing is held but templates, and nothing panics.
    #[test]
    fn damage_is_survived(
        records in proptest::collection::vec((key(), counts()), 1..20),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let records = records.into_iter().map(|(key, counts)| (key, counts, EndReason::ForcedEnd));
        encoder.messages(NOW_US, records, |message| {
            let mut damaged = message.to_vec();
            for (at, value) in &hits {
                let at = at.index(damaged.len());
                damaged[at] = *value;
            }
            let _ = read(&mut decoder, &damaged);
            damaged.truncate(cut.index(damaged.len()));
            let _ = read(&mut decoder, &damaged);
        });
    }

    #[test]
    fn noise_is_survived(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&mut Decoder::default(), &noise);
        let mut message = [&[0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &noise].concat();
        let length = (message.len() as u16).to_be_bytes();
        message[2..4].copy_from_slice(&length);
        let _ = read(&mut Decoder::default(), &message);
    }
}

/// As RFC 7011 has it, byte by byte; other orders and lengths, an enterprise's field, one of variable length, padding.
#[test]
fn a_foreign_template_is_followed() {
    let sets: &[&[u8]] = &[
        // A template set with template 300: sourceIPv4Address, an enterprise's of variable length, packetDeltaCount in 4 bytes (reduced
        // size), destinationIPv4Address, an unknown element.
        &[0, 2, 0, 32, 1, 44, 0, 5],
        &[0, 8, 0, 4, 0x80, 1, 255, 255, 0, 0, 9, 9, 0, 2, 0, 4, 0, 12, 0, 4, 3, 231, 0, 2],
        // Its data: two records and three bytes of padding.
        &[1, 44, 0, 44],
        &[10, 0, 0, 1, 3, 7, 7, 7, 0, 0, 0, 5, 10, 0, 0, 2, 0, 0],
        &[10, 0, 0, 3, 255, 0, 1, 7, 0, 0, 0, 6, 10, 0, 0, 4, 0, 0, 0, 0, 0],
        &[0],
    ];
    let sets = sets.concat();
    let mut message = vec![0, 10, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5];
    message.extend(&sets);
    let length = (message.len() as u16).to_be_bytes();
    message[2..4].copy_from_slice(&length);
    let records = read(&mut Decoder::default(), &message).unwrap();
    let shown: Vec<_> = records
        .iter()
        .map(|record| {
            let ip = record.key.ip.unwrap();
            (record.key.domain, ip.source.to_string(), ip.destination.to_string(), record.counts.packets)
        })
        .collect();
    assert_eq!(shown, [(5, "10.0.0.1".into(), "10.0.0.2".into(), 5), (5, "10.0.0.3".into(), "10.0.0.4".into(), 6)]);
    // Without its template the same data says nothing.
    let mut other = Decoder::default();
    let data = [&message[..16], &message[48..]].concat();
    let mut data = data;
    let length = (data.len() as u16).to_be_bytes();
    data[2..4].copy_from_slice(&length);
    assert_eq!((read(&mut other, &data), other.unknown_sets), (Ok(Vec::new()), 1));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut decoder = Decoder::default();
    let template = |domain: u32| {
        let mut message = vec![0, 10, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend(domain.to_be_bytes());
        message.extend([0, 2, 0, 12, 1, 0, 0, 1, 0, 2, 0, 8]);
        message
    };
    for domain in 0..DOMAINS_MAX as u32 {
        assert_eq!(read(&mut decoder, &template(domain)), Ok(Vec::new()));
    }
    assert_eq!(read(&mut decoder, &template(1 << 20)), Err(DecodeError::TooMany));
    // Fields without any length would be records without end.
    let mut empty = template(0);
    empty[27] = 0;
    assert_eq!(read(&mut decoder, &empty), Err(DecodeError::Template));
    assert_eq!(read(&mut decoder, &[0, 9, 0, 16]), Err(DecodeError::Version(9)));
}

#[test]
fn templates_are_repeated() {
    let mut encoder = Encoder::default();
    let record = || {
        [(FlowKey::default(), Counts { start_us: NOW_US, end_us: NOW_US, ..Counts::default() }, EndReason::ForcedEnd)]
    };
    let mut messages = Vec::new();
    for at_s in [0, 1, 60] {
        encoder.messages(NOW_US + at_s * 1_000_000, record(), |message| messages.push(message.to_vec()));
    }
    let lengths: Vec<_> = messages.iter().map(Vec::len).collect();
    assert_eq!(lengths[0], lengths[2]);
    assert!(lengths[1] < lengths[0]);
    // The sequence counts records.
    let sequence = |message: &[u8]| u32::from_be_bytes(message[8..12].try_into().unwrap());
    assert_eq!(messages.iter().map(|message| sequence(message)).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn flags_of_several_segments_are_counted_as_far_as_they_are_known() {
    let mut tcp = TcpCounts::default();
    tcp.add(0x02, 1);
    tcp.add(0x18, 5);
    tcp.add(0x11, 1);
    tcp.add(0x3f, 0);
    assert_eq!(tcp, TcpCounts { syn: 1, fin: 1, rst: 0, psh: 1, ack: 6, urg: 0 });
}
