//! What a router says of a packet that is too long for the next link: "fragmentation needed" (RFC 792, RFC 1191). The tables find such
//! packets; they come with the link's MTU in bits 32 to 47 of `tun_id`, and the router's address as `tun_src`.

use hive_device::Sent;
use hive_netd_api::is_unicast;
use hive_packet::{ETHERNET_HEADER_BYTES, Frame, Network, build, protocol};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Answers to one number in an interval: a sender has as many paths that it must learn the MTU of, and asks again.
const ANSWERS_MAX: u32 = 64;
const INTERVAL: Duration = Duration::from_secs(1);
/// Numbers that are answered in an interval; as many as a switch has ports.
const NUMBERS_MAX: usize = 4096;
/// Behind the IPv4 header (RFC 792); ports and the sequence number are in it.
const QUOTED_BYTES: usize = 8;
/// What is looked at of a frame: Ethernet, the longest IPv4 header, and what is quoted.
const HEAD_BYTES: usize = ETHERNET_HEADER_BYTES + 60 + QUOTED_BYTES;
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

/// The answer; None: nothing is said of such a packet, as none is of errors, later fragments, and what may be fragmented.
pub fn answer(frame: &Sent<'_>, mtu: u16) -> Option<Vec<u8>> {
    let Some(IpAddr::V4(router)) = frame.tunnel?.local else { return None };
    let length: usize = frame.pieces.iter().map(|piece| piece.len()).sum();
    let head: Vec<u8> = frame.pieces.iter().flat_map(|piece| piece.iter().copied()).take(HEAD_BYTES).collect();
    let parsed = Frame::parse(&head, length).ok()?;
    let Network::Ipv4(header) = parsed.network else { return None };
    let packet = head.get(ETHERNET_HEADER_BYTES..)?;
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
    let message = build::icmp(router, header.src, 3, 4, [0, 0, high, low], quoted);
    Some(build::ethernet(parsed.src, parsed.dst, &message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_packet::{MacAddr, VnetHeader};
    use hive_program::Tunnel;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    const GUEST: MacAddr = MacAddr([2, 0, 0, 0, 0, 5]);
    const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const ADDRESSES: [Ipv4Addr; 3] =
        [Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(192, 0, 2, 9), Ipv4Addr::new(10, 0, 0, 1)];

    fn say(frame: &[u8], local: Option<IpAddr>) -> Option<Vec<u8>> {
        let remote = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let tunnel = Tunnel { id: 7, remote, local, tos: 0, ttl: 0, df: false, options: Arc::from([]) };
        let (first, second) = frame.split_at(frame.len().min(40));
        answer(&Sent { header: VnetHeader::default(), pieces: &[first, second], tunnel: Some(&tunnel) }, 1500)
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
            let mut sent = packet();
            let length = sent.len();
            sent[at] = frame.first().copied().unwrap_or_default();
            sent.truncate(cut.min(length));
            say(&sent, Some(ADDRESSES[2].into()));
        }
    }
}
