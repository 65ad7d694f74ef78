//! What a router says of a packet that is too long for the next link: "fragmentation needed" (RFC 792, RFC 1191), or "packet too big"
//! (RFC 4443, 3.2). The tables find such packets; they come with the link's MTU in bits 32 to 47 of `tun_id`, and the router's address as
//! `tun_src`, or `tun_ipv6_src`, without which a packet of IPv6 is answered by its segment's router.

use super::model::ipv6::MIN_MTU;
use hive_device::Sent;
use hive_netd_api::{is_unicast, is_unicast_v6};
use hive_packet::ipv4::Ipv4Header;
use hive_packet::ipv6::{self, Ipv6Header};
use hive_packet::{ETHERNET_HEADER_BYTES, Frame, Network, be16, build, protocol};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Answers to one number in an interval: a sender has as many paths that it must learn the MTU of, and asks again.
const ANSWERS_MAX: u32 = 64;
const INTERVAL: Duration = Duration::from_secs(1);
/// Numbers that are answered in an interval; as many as a switch has ports.
const NUMBERS_MAX: usize = 4096;
/// Behind the IPv4 header (RFC 792); ports and the sequence number are in it.
const QUOTED_BYTES: usize = 8;
/// With its header: as much as fits a message that every link takes (RFC 4443, 2.4 c).
const QUOTED_V6_BYTES: usize = MIN_MTU as usize - ipv6::HEADER_BYTES - 8;
/// What is looked at of a frame: Ethernet, and the more that is quoted, which the longest IPv4 header and what is behind it are not.
const HEAD_BYTES: usize = ETHERNET_HEADER_BYTES + QUOTED_V6_BYTES;
const DONT_FRAGMENT: u8 = 0x40;

/// The number, and the MTU if the packet is too long.
pub fn split(tun_id: u64) -> (u64, Option<u16>) {
    match (tun_id >> 32) as u16 {
        0 => (tun_id, None),
        mtu => (tun_id & u64::from(u32::MAX), Some(mtu)),
    }
}

/// How much was said in this interval, to whom.
#[derive(Debug)]
pub struct Limit {
    began: Instant,
    answers: HashMap<u64, u32>,
}

impl Default for Limit {
    fn default() -> Self {
        Self { began: Instant::now(), answers: HashMap::new() }
    }
}

impl Limit {
    /// Whether one more may be said to the number.
    pub fn allows(&mut self, number: u64, now: Instant) -> bool {
        if now.duration_since(self.began) >= INTERVAL {
            self.began = now;
            self.answers.clear();
        }
        if self.answers.len() >= NUMBERS_MAX && !self.answers.contains_key(&number) {
            return false;
        }
        let answers = self.answers.entry(number).or_default();
        *answers += 1;
        *answers <= ANSWERS_MAX
    }
}

/// The answer; None: nothing is said of such a packet. `router_v6`: who answers in IPv6 if the packet does not come with an address.
pub fn answer(frame: &Sent<'_>, mtu: u16, router_v6: impl FnOnce() -> Option<Ipv6Addr>) -> Option<Vec<u8>> {
    let local = frame.tunnel?.local;
    let length: usize = frame.pieces.iter().map(|piece| piece.len()).sum();
    let head: Vec<u8> = frame.pieces.iter().flat_map(|piece| piece.iter().copied()).take(HEAD_BYTES).collect();
    let parsed = Frame::parse(&head, length).ok()?;
    let packet = head.get(ETHERNET_HEADER_BYTES..)?;
    let message = match (parsed.network, local) {
        (Network::Ipv4(header), Some(IpAddr::V4(router))) => fragmentation_needed(packet, &header, router, mtu)?,
        (Network::Ipv6(header), Some(IpAddr::V6(router))) => packet_too_big(packet, &header, router, mtu)?,
        (Network::Ipv6(header), _) => packet_too_big(packet, &header, router_v6()?, mtu)?,
        _ => return None,
    };
    Some(build::ethernet(parsed.src, parsed.dst, &message))
}

/// None of errors, later fragments, and what may be fragmented.
fn fragmentation_needed(packet: &[u8], header: &Ipv4Header, router: Ipv4Addr, mtu: u16) -> Option<Vec<u8>> {
    let [flags, offset] = *packet.get(6..)?.first_chunk()?;
    let is_first = flags & 0x1f == 0 && offset == 0;
    let may_be_answered = flags & DONT_FRAGMENT != 0 && is_first && is_unicast(header.src) && is_unicast(router);
    let quoted = packet.get(..header.header_bytes + QUOTED_BYTES)?;
    // Requests of ICMP are packets as any; all else of it may be an error.
    let is_error = header.protocol == protocol::ICMP && !matches!(packet.get(header.header_bytes)?, 0 | 8);
    if !may_be_answered || is_error {
        return None;
    }
    let [high, low] = mtu.to_be_bytes();
    Some(build::icmp(router, header.src, 3, 4, [0, 0, high, low], quoted))
}

/// None of errors, and of what has extension headers behind which there may be one. Fragments are answered, later ones too: their sender
/// made them for a longer link, and no router cuts them.
fn packet_too_big(packet: &[u8], header: &Ipv6Header, router: Ipv6Addr, mtu: u16) -> Option<Vec<u8>> {
    /// Hop-by-hop, routing and destination options (RFC 8200, 4.1).
    const OPTIONS: [u8; 3] = [0, 43, 60];
    const REDIRECT: u8 = 137;
    let behind = packet.get(ipv6::HEADER_BYTES..)?;
    let (carried, at, is_first) = match header.next_header {
        protocol::IPV6_FRAGMENT => (*behind.first()?, 8, be16(behind, 2)? >> 3 == 0),
        next => (next, 0, true),
    };
    // Below 128 all are errors (RFC 4443, 2.1), and of a later fragment it is not known.
    let is_error = carried == protocol::ICMPV6 && (!is_first || matches!(*behind.get(at)?, 0..128 | REDIRECT));
    if is_error || OPTIONS.contains(&carried) || !is_unicast_v6(header.src) || !is_unicast_v6(router) {
        return None;
    }
    let whole = packet.get(..header.total_bytes).unwrap_or(packet);
    let quoted = &whole[..whole.len().min(QUOTED_V6_BYTES)];
    Some(build::v6::icmp(router, header.src, 2, 0, u32::from(mtu).to_be_bytes(), quoted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_packet::{MacAddr, VnetHeader};
    use hive_program::Tunnel;
    use proptest::prelude::*;
    use std::sync::Arc;

    const GUEST: MacAddr = MacAddr([2, 0, 0, 0, 0, 5]);
    const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const ADDRESSES: [Ipv4Addr; 3] =
        [Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(192, 0, 2, 9), Ipv4Addr::new(10, 0, 0, 1)];

    const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 5, 0, 0, 0, 0x55);
    const WORLD_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
    const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);

    fn say(frame: &[u8], local: Option<IpAddr>) -> Option<Vec<u8>> {
        let remote = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let tunnel = Tunnel { id: 7, remote, local, tos: 0, ttl: 0, df: false, options: Arc::from([]) };
        let (first, second) = frame.split_at(frame.len().min(40));
        let router = || Some(ROUTER_V6);
        answer(&Sent { header: VnetHeader::default(), pieces: &[first, second], tunnel: Some(&tunnel) }, 1500, router)
    }

    fn packet() -> Vec<u8> {
        let [guest, world, _] = ADDRESSES;
        build::ethernet(ROUTER, GUEST, &build::udp(guest, world, 1, 2, &[9; 1473]))
    }

    #[test]
    fn the_sender_is_told_the_mtu_in_the_routers_name() {
        let [guest, _, router] = ADDRESSES;
        let sent = packet();
        let message = build::icmp(router, guest, 3, 4, [0, 0, 0x05, 0xdc], &sent[14..14 + 28]);
        assert_eq!(say(&sent, Some(router.into())), Some(build::ethernet(GUEST, ROUTER, &message)));
        assert_eq!(say(&sent, None), None);
        assert_eq!(say(&sent, Some("fd00::1".parse().unwrap())), None);
    }

    #[test]
    fn nothing_is_said_of_what_may_be_fragmented_or_is_a_fragment_or_an_error() {
        let router = Some(ADDRESSES[2].into());
        let changed = |at: usize, value: u8| {
            let mut sent = packet();
            sent[at] = value;
            sent
        };
        for sent in
            [changed(14 + 6, 0), changed(14 + 7, 1), changed(14 + 12, 224), changed(12, 0x86), changed(14, 0x44)]
        {
            assert_eq!(say(&sent, router), None);
        }
        let icmp = |kind| {
            build::ethernet(ROUTER, GUEST, &build::icmp(ADDRESSES[0], ADDRESSES[1], kind, 0, [0; 4], &[9; 1480]))
        };
        assert!(say(&icmp(8), router).is_some());
        assert_eq!(say(&icmp(3), router), None);
    }

    /// From here to the world, with this next header.
    fn packet_v6(src: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
        build::ethernet(ROUTER, GUEST, &build::v6::packet(src, WORLD_V6, next_header, 64, payload))
    }

    #[test]
    fn the_sender_in_ipv6_is_told_with_as_much_of_the_packet_as_every_link_takes() {
        let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 5, 0, 0, 0, 1);
        for (local, router) in [(None, ROUTER_V6), (Some(ADDRESSES[2].into()), ROUTER_V6), (Some(other.into()), other)]
        {
            let sent = packet_v6(GUEST_V6, 17, &[9; 1461]);
            let said = say(&sent, local).unwrap();
            assert_eq!(said[..14], [2, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
            assert_eq!(said.len(), 14 + 1280);
            assert_eq!(said[14..22], [0x60, 0, 0, 0, 0x04, 0xd8, 58, 64]);
            assert_eq!(said[22..54], [router.octets(), GUEST_V6.octets()].concat());
            assert_eq!((&said[54..56], &said[58..62]), (&[2, 0][..], &[0, 0, 0x05, 0xdc][..]));
            assert_eq!(said[62..], sent[14..14 + 1232]);
            let header = Ipv6Header::parse(&said[14..], 1280).unwrap();
            assert!(ipv6::transport_checksum_holds(&said[14..], &header));
        }
        // A short one whole, without what fills its frame up.
        let sent = packet_v6(GUEST_V6, 17, &[9; 30]);
        let said = say(&[&sent[..], &[0; 9]].concat(), None).unwrap();
        assert_eq!(said[62..], sent[14..]);
    }

    #[test]
    fn nothing_is_said_in_ipv6_of_errors_or_what_may_hide_one_or_to_a_group() {
        let icmp = |kind: u8| [&[kind, 0][..], &[9; 1480]].concat();
        let fragment = |carried: u8, offset: u16, rest: &[u8]| {
            let [high, low] = (offset << 3 | 1).to_be_bytes();
            [&[carried, 0, high, low, 0, 0, 0, 7], rest].concat()
        };
        for (next_header, payload) in [
            (58, icmp(128)),
            (58, icmp(129)),
            (6, vec![9; 1480]),
            (50, vec![9; 1480]),
            (44, fragment(17, 0, &[9; 1480])),
            (44, fragment(17, 100, &[9; 1480])),
            (44, fragment(58, 0, &icmp(128))),
        ] {
            assert!(say(&packet_v6(GUEST_V6, next_header, &payload), None).is_some(), "{next_header}");
        }
        for (next_header, payload) in [
            (58, icmp(1)),
            (58, icmp(2)),
            (58, icmp(127)),
            (58, icmp(137)),
            (58, vec![]),
            (44, fragment(58, 0, &icmp(3))),
            (44, fragment(58, 100, &icmp(128))),
            (44, fragment(60, 0, &[9; 1480])),
            (44, vec![17]),
            (0, vec![17; 1480]),
            (43, vec![17; 1480]),
            (60, vec![17; 1480]),
        ] {
            assert_eq!(say(&packet_v6(GUEST_V6, next_header, &payload), None), None, "{next_header}");
        }
        for source in ["ff02::1", "::", "::1"] {
            assert_eq!(say(&packet_v6(source.parse().unwrap(), 17, &[9; 1480]), None), None, "{source}");
        }
        let group = Some(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2).into());
        assert_eq!(say(&packet_v6(GUEST_V6, 17, &[9; 1480]), group), None);
    }

    #[test]
    fn a_number_is_answered_so_often_and_no_other_is_held_up() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        assert_eq!((0..1000).filter(|_| limit.allows(7, now)).count(), ANSWERS_MAX as usize);
        assert!(limit.allows(8, now));
        assert!(limit.allows(7, now + 2 * INTERVAL));
        assert_eq!((0..10_000).filter(|number| limit.allows(*number, now + 2 * INTERVAL)).count(), NUMBERS_MAX);
    }

    #[test]
    fn ids_are_split() {
        assert_eq!(split(7), (7, None));
        assert_eq!(split(1500 << 32 | 7), (7, Some(1500)));
    }

    proptest! {
        #[test]
        fn nothing_panics(frame in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..60, cut in 0usize..1600) {
            say(&frame, Some(ADDRESSES[2].into()));
            for mut sent in [packet(), packet_v6(GUEST_V6, 44, &frame)] {
                let length = sent.len();
                if let Some(byte) = sent.get_mut(at) {
                    *byte = frame.first().copied().unwrap_or_default();
                }
                sent.truncate(cut.min(length));
                say(&sent, Some(ADDRESSES[2].into()));
            }
        }
    }
}
