//! A bounded table of learned MAC addresses.

use hive_packet::MacAddr;

/// Slots, a power of two: four times the most ports of a daemon, so that probes stay short.
const SLOTS: usize = 4096;
/// Slots looked at for one address. When all are taken the oldest gives way, so that the table never grows.
const PROBES: usize = 8;
/// An address not seen for this long is forgotten (IEEE 802.1D's default).
pub const AGING_S: u32 = 300;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Zero when free: no station has that address.
    mac: u64,
    port: u32,
    seen_s: u32,
}

#[derive(Debug)]
pub struct MacTable {
    slots: Box<[Slot]>,
}

impl Default for MacTable {
    fn default() -> Self {
        Self { slots: vec![Slot::default(); SLOTS].into_boxed_slice() }
    }
}

impl MacTable {
    #[inline]
    fn probes(mac: u64) -> impl Iterator<Item = usize> {
        // Fibonacci hashing: the upper bits of the product are well mixed.
        let start = (mac.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize;
        (0..PROBES).map(move |step| (start + step) % SLOTS)
    }

    /// Notes that `mac` was seen on `port` at `now_s`.
    #[inline]
    pub fn learn(&mut self, mac: MacAddr, port: u32, now_s: u32) {
        let mac = mac.to_u64();
        let mut victim = 0;
        let mut victim_age = None;
        for at in Self::probes(mac) {
            let slot = &mut self.slots[at];
            if slot.mac == mac {
                *slot = Slot { mac, port, seen_s: now_s };
                return;
            }
            // A free slot is older than any; otherwise the one seen longest ago.
            let age = if slot.mac == 0 { u32::MAX } else { now_s.wrapping_sub(slot.seen_s) };
            if victim_age.is_none_or(|oldest| age > oldest) {
                (victim, victim_age) = (at, Some(age));
            }
        }
        self.slots[victim] = Slot { mac, port, seen_s: now_s };
    }

    /// The port that `mac` was last seen on, unless that is too long ago.
    #[inline]
    pub fn lookup(&self, mac: MacAddr, now_s: u32) -> Option<u32> {
        let mac = mac.to_u64();
        Self::probes(mac)
            .map(|at| &self.slots[at])
            .find(|slot| slot.mac == mac)
            .filter(|slot| now_s.wrapping_sub(slot.seen_s) < AGING_S)
            .map(|slot| slot.port)
    }

    /// Forgets all addresses of a port.
    pub fn forget_port(&mut self, port: u32) {
        for slot in &mut self.slots {
            if slot.port == port {
                *slot = Slot::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: u64) -> MacAddr {
        let [_, _, a, b, c, d, e, f] = number.to_be_bytes();
        MacAddr([a, b, c, d, e, f])
    }

    #[test]
    fn addresses_move_age_and_are_forgotten() {
        let mut table = MacTable::default();
        table.learn(mac(5), 1, 100);
        assert_eq!(table.lookup(mac(5), 100), Some(1));
        table.learn(mac(5), 2, 200);
        assert_eq!(table.lookup(mac(5), 200 + AGING_S - 1), Some(2));
        assert_eq!(table.lookup(mac(5), 200 + AGING_S), None);
        table.forget_port(2);
        assert_eq!(table.lookup(mac(5), 200), None);
    }

    #[test]
    fn a_flood_of_addresses_keeps_the_table_bounded_and_the_latest_known() {
        let mut table = MacTable::default();
        for number in 1..100_000 {
            table.learn(mac(number), 3, number as u32);
            assert_eq!(table.lookup(mac(number), number as u32), Some(3));
        }
        assert_eq!(table.slots.len(), SLOTS);
    }
}
