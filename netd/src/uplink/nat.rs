//! The translation table: both directions of every flow, bounded, with timeouts.

use hive_packet::ipv4::Tuple;
use hive_packet::protocol;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Most flows in all: some 15 MiB of memory.
pub const MAX_FLOWS: usize = 65_536;
/// Most flows of one guest, so that one cannot take the table from the others.
pub const MAX_FLOWS_PER_GUEST: u32 = 8_192;
/// Ports tried for a new flow before it is refused.
const PORT_PROBES: u16 = 128;
/// Translated ports start here: below are the gateway's own services.
const FIRST_PORT: u16 = 1024;
/// Flows looked at by one [`NatTable::expire`]: the table is swept in eight calls.
const SWEEP: usize = MAX_FLOWS / 8;

const TCP_FIN_OR_RST: u8 = 0x05;

/// Idle seconds after which a flow is forgotten. An established TCP connection has 350 s, as at EC2's NAT gateways.
fn timeout_s(protocol: u8, flow: &Flow) -> u32 {
    match protocol {
        protocol::TCP if flow.closing => 10,
        protocol::TCP if flow.answered => 350,
        protocol::TCP => 30,
        protocol::UDP if flow.answered => 180,
        _ => 30,
    }
}

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Guest,
    Uplink,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Side::Guest => Side::Uplink,
            Side::Uplink => Side::Guest,
        }
    }
}

/// A packet as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub side: Side,
    pub tuple: Tuple,
}

#[derive(Debug)]
struct Flow {
    /// Keys of the first packet's direction and of the answers.
    keys: [Key; 2],
    guest: Ipv4Addr,
    seen_s: u32,
    answered: bool,
    closing: bool,
}

impl Flow {
    /// What packets that arrive in `direction` become: the reverse of what arrives in the other.
    fn translated(&self, direction: usize) -> Tuple {
        self.keys[1 - direction].tuple.reversed()
    }

    fn expired(&self, now_s: u32) -> bool {
        now_s.wrapping_sub(self.seen_s) >= timeout_s(self.keys[0].tuple.protocol, self)
    }
}

#[derive(Debug, Default)]
pub struct NatTable {
    flows: Vec<Option<Flow>>,
    free: Vec<usize>,
    by_key: HashMap<Key, (usize, usize)>,
    per_guest: HashMap<Ipv4Addr, u32>,
    sweep_at: usize,
    random: u64,
}

impl NatTable {
    /// What a packet of a known flow becomes.
    pub fn lookup(&self, key: &Key, now_s: u32) -> Option<Tuple> {
        let (index, direction) = *self.by_key.get(key)?;
        let flow = self.flows.get(index)?.as_ref().filter(|flow| !flow.expired(now_s))?;
        Some(flow.translated(direction))
    }

    /// As [`Self::lookup`], and the flow lives on.
    pub fn follow(&mut self, key: &Key, tcp_flags: u8, now_s: u32) -> Option<Tuple> {
        let (index, direction) = *self.by_key.get(key)?;
        let flow = self.flows.get_mut(index)?.as_mut()?;
        if flow.expired(now_s) {
            self.remove(index);
            return None;
        }
        flow.seen_s = now_s;
        flow.answered |= direction == 1;
        flow.closing |= tcp_flags & TCP_FIN_OR_RST != 0;
        Some(flow.translated(direction))
    }

    /// Opens a flow for its first packet, whose source becomes `source`; returns what the packet becomes. None when the table or the
    /// guest's share of it is full.
    pub fn open(&mut self, key: &Key, source: Ipv4Addr, tcp_flags: u8, now_s: u32) -> Option<Tuple> {
        let guest = if key.side == Side::Guest { key.tuple.src } else { key.tuple.dst };
        let share = self.per_guest.get(&guest).copied().unwrap_or(0);
        if share >= MAX_FLOWS_PER_GUEST || self.flows.len() - self.free.len() >= MAX_FLOWS {
            return None;
        }
        let translated = self.free_tuple(key, source)?;
        let flow = Flow {
            keys: [*key, Key { side: key.side.other(), tuple: translated.reversed() }],
            guest,
            seen_s: now_s,
            answered: false,
            closing: tcp_flags & TCP_FIN_OR_RST != 0,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.flows.push(None);
            self.flows.len() - 1
        });
        for (direction, key) in flow.keys.iter().enumerate() {
            self.by_key.insert(*key, (index, direction));
        }
        self.flows[index] = Some(flow);
        *self.per_guest.entry(guest).or_default() += 1;
        Some(translated)
    }

    /// The tuple with its source replaced, on the same port if that is free.
    fn free_tuple(&mut self, key: &Key, source: Ipv4Addr) -> Option<Tuple> {
        let mut tuple = Tuple { src: source, ..key.tuple };
        let taken = |table: &Self, tuple: &Tuple| {
            tuple.src_port < FIRST_PORT
                || table.by_key.contains_key(&Key { side: key.side.other(), tuple: tuple.reversed() })
        };
        // An echo reply without its request opens nothing: it has no port to translate.
        if key.tuple.protocol == protocol::ICMP && key.tuple.dst_port != 0 {
            return None;
        }
        for _ in 0..PORT_PROBES {
            if !taken(self, &tuple) {
                return Some(tuple);
            }
            tuple.src_port = self.random_port();
        }
        None
    }

    /// Ports spread evenly, so that one guest's many flows do not stand in the way of another's first (the MMIX generator of Knuth).
    fn random_port(&mut self) -> u16 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let span = u64::from(u16::MAX - FIRST_PORT) + 1;
        FIRST_PORT + ((self.random >> 33) % span) as u16
    }

    fn remove(&mut self, index: usize) {
        let Some(flow) = self.flows.get_mut(index).and_then(Option::take) else { return };
        for key in &flow.keys {
            self.by_key.remove(key);
        }
        if let Some(share) = self.per_guest.get_mut(&flow.guest) {
            *share = share.saturating_sub(1);
            if *share == 0 {
                self.per_guest.remove(&flow.guest);
            }
        }
        self.free.push(index);
    }

    /// Sweeps a part of the table for flows that timed out.
    pub fn expire(&mut self, now_s: u32) {
        let end = (self.sweep_at + SWEEP).min(self.flows.len());
        for index in self.sweep_at..end {
            if self.flows[index].as_ref().is_some_and(|flow| flow.expired(now_s)) {
                self.remove(index);
            }
        }
        self.sweep_at = if end == self.flows.len() { 0 } else { end };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
    const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
    const UPLINK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);

    fn from_guest(guest: Ipv4Addr, src_port: u16, dst_port: u16) -> Key {
        let tuple = Tuple { protocol: protocol::UDP, src: guest, dst: OUTSIDE, src_port, dst_port };
        Key { side: Side::Guest, tuple }
    }

    #[test]
    fn answers_find_their_way_back_and_collisions_get_another_port() {
        let mut table = NatTable::default();
        let other = Ipv4Addr::new(10, 0, 0, 6);
        let first = table.open(&from_guest(GUEST, 5000, 53), UPLINK, 0, 0).unwrap();
        let second = table.open(&from_guest(other, 5000, 53), UPLINK, 0, 0).unwrap();
        assert_eq!((first.src, first.src_port), (UPLINK, 5000));
        assert_ne!(second.src_port, 5000);
        let answer = |tuple: Tuple| Key { side: Side::Uplink, tuple: tuple.reversed() };
        assert_eq!(table.follow(&answer(second), 0, 1).unwrap().dst, other);
        assert_eq!(table.follow(&answer(first), 0, 1).unwrap().dst, GUEST);
        assert_eq!(table.follow(&from_guest(GUEST, 5000, 53), 0, 1), Some(first));
    }

    #[test]
    fn flows_time_out_and_free_their_place() {
        let mut table = NatTable::default();
        table.open(&from_guest(GUEST, 5000, 53), UPLINK, 0, 100).unwrap();
        assert!(table.lookup(&from_guest(GUEST, 5000, 53), 129).is_some());
        assert!(table.lookup(&from_guest(GUEST, 5000, 53), 130).is_none());
        table.expire(130);
        assert!(table.by_key.is_empty() && table.per_guest.is_empty());
    }

    #[test]
    fn one_guest_cannot_take_the_whole_table() {
        let mut table = NatTable::default();
        let opened = (0..20_000u32)
            .filter(|n| table.open(&from_guest(GUEST, 1024 + (n % 60_000) as u16, 53), UPLINK, 0, 0).is_some())
            .count();
        assert_eq!(opened, MAX_FLOWS_PER_GUEST as usize);
        assert!(table.open(&from_guest(Ipv4Addr::new(10, 0, 0, 6), 1, 53), UPLINK, 0, 0).is_some());
    }
}
