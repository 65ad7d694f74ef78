//! One node that packets are encrypted for: the protocol's state (crate `boringtun`, which does no I/O), and what waits for it.

use super::super::Reject;
use super::key::{PrivateKey, PublicKey};
use boringtun::noise::errors::WireGuardError;
use boringtun::noise::{Tunn, TunnResult};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// What a message has beside the packet in it: type, receiver, counter, and the check behind.
pub(super) const OVERHEAD_BYTES: usize = 32;
/// The longest message of a handshake.
const HANDSHAKE_BYTES: usize = 148;
/// Packets that wait for a handshake, which takes a round trip: half of a guest's transmit ring.
const WAITING_PACKETS: usize = 128;
/// Type and counter of a message with a packet in it (section 5.4.6 of the paper).
const TYPE_DATA: [u8; 4] = [4, 0, 0, 0];
const COUNTER_AT: usize = 8;
/// Reject-After-Messages: a counter beyond has no successor. The crate leaves that to others, and counts on.
const COUNTER_MAX: u64 = u64::MAX - (1 << 13);
/// The time of a handshake is known as its age, which is read anew each time: what differs by less is the same.
const SAME_TIME: Duration = Duration::from_secs(2);

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Message<'a> {
    pub bytes: &'a [u8],
    /// By which source port.
    pub hash: u32,
    /// Of the frame within; 0 for the protocol's own messages.
    pub frame_bytes: usize,
}

/// A packet that waits for a session.
#[derive(Debug)]
struct Waiting {
    packet: Vec<u8>,
    hash: u32,
    frame_bytes: usize,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Opened<'a> {
    Packet(&'a mut [u8]),
    /// One of the protocol's own.
    Nothing,
}

pub(super) struct Peer {
    pub key: PublicKey,
    tunnel: Tunn,
    /// Packets can be encrypted now.
    established: bool,
    waiting: VecDeque<Waiting>,
    last_handshake: Option<SystemTime>,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    /// Packets that were not sent.
    pub dropped: u64,
    message: Vec<u8>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("key", &self.key).field("established", &self.established).finish_non_exhaustive()
    }
}

fn reason(error: &WireGuardError) -> Reject {
    match error {
        WireGuardError::InvalidMac | WireGuardError::WrongKey => Reject::WrongKey,
        WireGuardError::InvalidAeadTag => Reject::Forged,
        WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter | WireGuardError::WrongTai64nTimestamp => {
            Reject::Replayed
        }
        WireGuardError::NoCurrentSession
        | WireGuardError::WrongIndex
        | WireGuardError::UnexpectedPacket
        | WireGuardError::ConnectionExpired => Reject::NoSession,
        WireGuardError::UnderLoad => Reject::UnderLoad,
        _ => Reject::NotWireguard,
    }
}

impl Peer {
    /// `index`: of this peer among all of an endpoint, in what names sessions.
    pub fn new(own: &PrivateKey, key: PublicKey, index: u32) -> Self {
        Self {
            key,
            tunnel: Tunn::new(own.x25519(), key.x25519(), None, None, index & 0xff_ffff, None),
            established: false,
            waiting: VecDeque::new(),
            last_handshake: None,
            rx_bytes: 0,
            tx_bytes: 0,
            dropped: 0,
            message: vec![0; HANDSHAKE_BYTES],
        }
    }

    pub fn is_established(&self) -> bool {
        self.established
    }

    pub fn last_handshake(&self) -> Option<SystemTime> {
        self.last_handshake
    }

    /// Room for a packet's message. It keeps its size: nothing is cleared for each packet.
    fn reserve(&mut self, packet_bytes: usize) {
        let bytes = packet_bytes + OVERHEAD_BYTES;
        if self.message.len() < bytes {
            self.message.resize(bytes, 0);
        }
    }

    fn encrypt(&mut self, packet: &[u8], hash: u32, frame_bytes: usize, send: &mut dyn FnMut(Message<'_>)) {
        self.reserve(packet.len());
        // Without a session, which there is, the crate would keep the packet and begin a handshake: nothing leaves as it is.
        if let TunnResult::WriteToNetwork(bytes) = self.tunnel.encapsulate(packet, &mut self.message) {
            self.tx_bytes += bytes.len() as u64;
            send(Message { bytes, hash, frame_bytes });
        }
    }

    /// Sends an IP packet, now or when there is a session.
    pub fn send(&mut self, packet: &[u8], hash: u32, frame_bytes: usize, send: &mut dyn FnMut(Message<'_>)) {
        if self.established {
            self.encrypt(packet, hash, frame_bytes, send);
            return;
        }
        if self.waiting.len() < WAITING_PACKETS {
            self.waiting.push_back(Waiting { packet: packet.to_vec(), hash, frame_bytes });
        } else {
            self.dropped += 1;
        }
        self.begin_handshake(false, send);
    }

    /// `again`: though one is under way.
    pub fn begin_handshake(&mut self, again: bool, send: &mut dyn FnMut(Message<'_>)) {
        self.reserve(HANDSHAKE_BYTES);
        if let TunnResult::WriteToNetwork(bytes) = self.tunnel.format_handshake_initiation(&mut self.message, again) {
            self.tx_bytes += bytes.len() as u64;
            send(Message { bytes, hash: 0, frame_bytes: 0 });
        }
    }

    /// Takes a message of `source`'s. `plain` has room for any.
    pub fn open<'a>(
        &mut self,
        source: IpAddr,
        datagram: &[u8],
        plain: &'a mut [u8],
        send: &mut dyn FnMut(Message<'_>),
    ) -> Result<Opened<'a>, Reject> {
        let is_data = datagram.starts_with(&TYPE_DATA);
        let counter = datagram.get(COUNTER_AT..).and_then(|rest| rest.first_chunk());
        if is_data && counter.is_some_and(|counter| u64::from_le_bytes(*counter) >= COUNTER_MAX) {
            return Err(Reject::Replayed);
        }
        if plain.len() < datagram.len().max(HANDSHAKE_BYTES) || datagram.is_empty() {
            return Err(Reject::NotWireguard);
        }
        let result = match self.tunnel.decapsulate(Some(source), datagram, plain) {
            TunnResult::Done => Ok(Opened::Nothing),
            // That what is decrypted is no IP packet is another thing than that a message is none.
            TunnResult::Err(WireGuardError::InvalidPacket) if is_data && datagram.len() >= OVERHEAD_BYTES => {
                Err(Reject::Inner)
            }
            TunnResult::Err(error) => Err(reason(&error)),
            TunnResult::WriteToNetwork(bytes) => {
                self.tx_bytes += bytes.len() as u64;
                send(Message { bytes, hash: 0, frame_bytes: 0 });
                Ok(Opened::Nothing)
            }
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Ok(Opened::Packet(packet))
            }
        };
        if result.is_ok() {
            self.rx_bytes += datagram.len() as u64;
        }
        if !self.established && result.is_ok() {
            self.look(send);
        }
        result
    }

    /// Whether there is a session; then nothing waits for one.
    fn look(&mut self, send: &mut dyn FnMut(Message<'_>)) {
        let age = self.tunnel.time_since_last_handshake();
        self.established = age.is_some();
        if let Some(began) = age.and_then(|age| SystemTime::now().checked_sub(age)) {
            let is_same = |known: SystemTime| {
                began.duration_since(known).or_else(|_| known.duration_since(began)).is_ok_and(|by| by < SAME_TIME)
            };
            if !self.last_handshake.is_some_and(is_same) {
                self.last_handshake = Some(began);
            }
        }
        if self.established {
            for Waiting { packet, hash, frame_bytes } in std::mem::take(&mut self.waiting) {
                self.encrypt(&packet, hash, frame_bytes, send);
            }
        }
    }

    /// Handshakes that are due, repeated or given up, keepalives, sessions that end. Some times a second.
    pub fn tick(&mut self, send: &mut dyn FnMut(Message<'_>)) {
        self.reserve(HANDSHAKE_BYTES);
        match self.tunnel.update_timers(&mut self.message) {
            TunnResult::WriteToNetwork(bytes) => {
                self.tx_bytes += bytes.len() as u64;
                send(Message { bytes, hash: 0, frame_bytes: 0 });
            }
            // Nobody answers: whatever comes next begins anew.
            TunnResult::Err(WireGuardError::ConnectionExpired) => {
                self.dropped += self.waiting.len() as u64;
                self.waiting.clear();
            }
            _ => {}
        }
        self.look(send);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_packet::build;
    use proptest::prelude::*;

    const HERE: [u8; 4] = [10, 0, 0, 1];
    const THERE: [u8; 4] = [10, 0, 0, 2];

    fn key(seed: u8) -> PrivateKey {
        use base64::Engine;
        base64::prelude::BASE64_STANDARD.encode([seed; 32]).parse().unwrap()
    }

    fn pair() -> [Peer; 2] {
        let (one, other) = (key(1), key(2));
        [Peer::new(&one, other.public(), 5), Peer::new(&other, one.public(), 9)]
    }

    fn packet(text: &[u8]) -> Vec<u8> {
        build::udp(HERE.into(), THERE.into(), 1, 2, text)
    }

    /// Gives messages to a peer; the packets in them, and what it sends.
    fn give(peer: &mut Peer, messages: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut packets, mut sent) = (Vec::new(), Vec::new());
        let mut plain = vec![0; 2000];
        for message in messages {
            match peer.open(IpAddr::from(HERE), message, &mut plain, &mut |out| sent.push(out.bytes.to_vec())) {
                Ok(Opened::Packet(packet)) => packets.push(packet.to_vec()),
                Ok(Opened::Nothing) => {}
                Err(reason) => panic!("{reason:?}"),
            }
        }
        (packets, sent)
    }

    fn established() -> [Peer; 2] {
        let [mut one, mut other] = pair();
        let mut sent = Vec::new();
        one.begin_handshake(false, &mut |out| sent.push(out.bytes.to_vec()));
        let answer = give(&mut other, &sent).1;
        let confirmation = give(&mut one, &answer).1;
        assert!(give(&mut other, &confirmation).1.is_empty());
        assert!(one.established && other.established);
        [one, other]
    }

    fn sealed(peer: &mut Peer, text: &[u8]) -> Vec<u8> {
        let mut sent = Vec::new();
        peer.send(&packet(text), 7, 3, &mut |out| {
            assert_eq!((out.hash, out.frame_bytes), (7, 3));
            sent.push(out.bytes.to_vec());
        });
        assert_eq!(sent.len(), 1);
        sent.remove(0)
    }

    #[test]
    fn packets_wait_for_a_handshake_up_to_a_limit_and_none_leaves_as_it_is() {
        let [mut one, mut other] = pair();
        let mut sent = Vec::new();
        for number in 0..WAITING_PACKETS + 5 {
            one.send(&packet(&number.to_be_bytes()), 1, 8, &mut |out| {
                assert_eq!(out.frame_bytes, 0);
                sent.push(out.bytes.to_vec());
            });
        }
        assert_eq!((sent.len(), sent[0].len(), one.dropped), (1, 148, 5));
        let answer = give(&mut other, &sent).1;
        let released = give(&mut one, &answer).1;
        assert_eq!(released.len(), 1 + WAITING_PACKETS);
        let packets = give(&mut other, &released).0;
        let expected: Vec<_> = (0..WAITING_PACKETS).map(|number| packet(&number.to_be_bytes())).collect();
        assert_eq!(packets, expected);
        assert!(released.iter().all(|message| !message.windows(4).any(|window| window == HERE)));
        assert!(one.last_handshake().is_some());
    }

    #[test]
    fn what_is_replayed_forged_or_of_nobody_has_its_reason() {
        let [mut one, mut other] = established();
        let mut plain = vec![0; 2000];
        let mut open = |peer: &mut Peer, message: &[u8]| {
            peer.open(IpAddr::from(HERE), message, &mut plain, &mut |_| ()).map(|_| ())
        };
        let message = sealed(&mut one, b"x");
        assert_eq!(open(&mut other, &message), Ok(()));
        assert_eq!(open(&mut other, &message), Err(Reject::Replayed));
        let fresh = sealed(&mut one, b"y");
        for at in 16..fresh.len() {
            let mut forged = fresh.clone();
            forged[at] ^= 1;
            assert_eq!(open(&mut other, &forged), Err(Reject::Forged));
        }
        let mut last = fresh.clone();
        last[8..16].fill(0xff);
        assert_eq!(open(&mut other, &last), Err(Reject::Replayed));
        let mut elsewhere = fresh.clone();
        elsewhere[4..8].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
        assert_eq!(open(&mut other, &elsewhere), Err(Reject::NoSession));
        assert_eq!(open(&mut other, &fresh), Ok(()));
        for message in [&[][..], &[1], &[4, 0, 0, 0], &[4; 40], &[0; 148]] {
            assert_eq!(open(&mut other, message), Err(Reject::NotWireguard));
        }
        // An initiation that was heard before; one for, and one of, another key.
        let (mut again, mut of_other, mut for_other) = (Vec::new(), Vec::new(), Vec::new());
        one.begin_handshake(true, &mut |out| again = out.bytes.to_vec());
        assert_eq!(open(&mut other, &again), Ok(()));
        assert_eq!(open(&mut other, &again), Err(Reject::Replayed));
        Peer::new(&key(3), key(2).public(), 1).begin_handshake(true, &mut |out| of_other = out.bytes.to_vec());
        assert_eq!(open(&mut other, &of_other), Err(Reject::WrongKey));
        Peer::new(&key(1), key(3).public(), 1).begin_handshake(true, &mut |out| for_other = out.bytes.to_vec());
        assert_eq!(open(&mut other, &for_other), Err(Reject::WrongKey));
    }

    #[test]
    fn new_keys_lose_nothing_that_is_on_its_way() {
        let [mut one, mut other] = established();
        // More handshakes within a second would have to show a cookie.
        for round in 0..6u8 {
            // Each of the two begins in turn, and both at once.
            let old: Vec<_> = (0..3).map(|at| sealed(&mut one, &[round, at])).collect();
            let mut initiations = [Vec::new(), Vec::new()];
            if round % 3 != 1 {
                one.begin_handshake(true, &mut |out| initiations[0].push(out.bytes.to_vec()));
            }
            if round % 3 != 0 {
                other.begin_handshake(true, &mut |out| initiations[1].push(out.bytes.to_vec()));
            }
            let to_one = give(&mut other, &initiations[0]).1;
            let to_other = give(&mut one, &initiations[1]).1;
            let middle: Vec<_> = (3..5).map(|at| sealed(&mut one, &[round, at])).collect();
            let from_other = give(&mut other, &to_other).1;
            let from_one = give(&mut one, &to_one).1;
            give(&mut one, &from_other);
            give(&mut other, &from_one);
            let new = sealed(&mut one, &[round, 5]);
            let packets = give(&mut other, &[&old[..], &middle, &[new]].concat()).0;
            assert_eq!(packets, (0..6).map(|at| packet(&[round, at])).collect::<Vec<_>>(), "round {round}");
            let back = sealed(&mut other, b"back");
            assert_eq!(give(&mut one, &[back]).0.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn any_datagram_has_an_answer(kind in 0u8..6, mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let [_, mut other] = pair();
            let mut plain = vec![0; 200];
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            for cut in [4, bytes.len()] {
                if let Some(zeros) = bytes.get_mut(1..4) {
                    zeros.fill(0);
                }
                let length = if cut == 4 && kind == 1 { 148.min(bytes.len()) } else { bytes.len() };
                let opened = other.open(IpAddr::from(HERE), &bytes[..length], &mut plain, &mut |_| ());
                prop_assert!(opened.is_err());
            }
        }
    }
}
