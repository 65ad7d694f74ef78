//! The ports and segments of one worker.

use crate::model::{Port, Segment};
use crate::port::PortShared;
use crate::port::queue::{RxQueue, TxQueue};
use crate::switch::admission::Identity;
use crate::switch::mac_table::MacTable;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A port and the rings it has at the moment.
#[derive(Debug)]
pub struct PortEntry {
    pub shared: Arc<PortShared>,
    pub identity: Identity,
    /// Slot of its segment.
    pub segment: usize,
    pub rx: Vec<Option<RxQueue>>,
    pub tx: Vec<Option<TxQueue>>,
    /// Pairs whose receive queue runs.
    pub receiving: Vec<usize>,
    faulted: bool,
}

impl PortEntry {
    /// The receive queue for frames that came from queue pair `from` of another port: a flow keeps to one queue.
    #[inline]
    pub fn receive_pair(&self, from: usize) -> Option<usize> {
        match self.receiving.as_slice() {
            [] => None,
            [only] => Some(*only),
            several => Some(several[from % several.len()]),
        }
    }

    pub fn faulted(&self) -> bool {
        self.faulted
    }
}

#[derive(Debug)]
pub struct SegmentEntry {
    pub config: Arc<Segment>,
    /// Slots of its ports.
    pub ports: Vec<usize>,
    pub macs: MacTable,
}

#[derive(Debug, Default)]
pub struct Table {
    ports: Vec<Option<PortEntry>>,
    by_key: HashMap<u64, usize>,
    segments: Vec<Option<SegmentEntry>>,
    by_id: HashMap<String, usize>,
    by_address: HashMap<(usize, Ipv4Addr), usize>,
}

/// Puts into the first free place; slots are bounded by the most ports of a daemon.
fn insert<T>(slots: &mut Vec<Option<T>>, entry: T) -> usize {
    let slot = slots.iter().position(Option::is_none).unwrap_or_else(|| {
        slots.push(None);
        slots.len() - 1
    });
    slots[slot] = Some(entry);
    slot
}

impl Table {
    pub fn put_segment(&mut self, config: Arc<Segment>) {
        if let Some(entry) = self.by_id.get(&config.spec.segment_id).and_then(|slot| self.segments[*slot].as_mut()) {
            entry.config = config;
            return;
        }
        let id = config.spec.segment_id.clone();
        let slot = insert(&mut self.segments, SegmentEntry { config, ports: Vec::new(), macs: MacTable::default() });
        self.by_id.insert(id, slot);
    }

    pub fn delete_segment(&mut self, segment_id: &str) {
        if let Some(slot) = self.by_id.remove(segment_id) {
            self.segments[slot] = None;
        }
    }

    pub fn put_port(&mut self, shared: Arc<PortShared>, config: &Port) {
        let Some(segment) = self.by_id.get(&config.spec.segment_id).copied() else { return };
        let identity = Identity { mac: config.mac, ipv4: config.spec.ipv4 };
        let slot = match self.by_key.get(&shared.key).copied() {
            Some(slot) => slot,
            None => {
                let pairs = usize::from(config.spec.queue_pairs);
                let key = shared.key;
                let entry = PortEntry {
                    shared,
                    identity,
                    segment,
                    rx: std::iter::repeat_with(|| None).take(pairs).collect(),
                    tx: std::iter::repeat_with(|| None).take(pairs).collect(),
                    receiving: Vec::new(),
                    faulted: false,
                };
                let slot = insert(&mut self.ports, entry);
                self.by_key.insert(key, slot);
                if let Some(segment) = self.segments[segment].as_mut() {
                    segment.ports.push(slot);
                }
                slot
            }
        };
        if let Some(port) = self.ports[slot].as_mut() {
            self.by_address.remove(&(segment, port.identity.ipv4));
            port.identity = identity;
            self.by_address.insert((segment, identity.ipv4), slot);
        }
    }

    pub fn delete_port(&mut self, key: u64) {
        let Some(slot) = self.by_key.remove(&key) else { return };
        let Some(port) = self.ports[slot].take() else { return };
        self.by_address.remove(&(port.segment, port.identity.ipv4));
        if let Some(segment) = self.segments[port.segment].as_mut() {
            segment.ports.retain(|other| *other != slot);
            segment.macs.forget_port(slot as u32);
        }
    }

    pub fn slot_of(&self, key: u64) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    #[inline]
    pub fn port(&self, slot: usize) -> Option<&PortEntry> {
        self.ports.get(slot)?.as_ref()
    }

    #[inline]
    pub fn port_mut(&mut self, slot: usize) -> Option<&mut PortEntry> {
        self.ports.get_mut(slot)?.as_mut()
    }

    #[inline]
    pub fn segment(&self, slot: usize) -> Option<&SegmentEntry> {
        self.segments.get(slot)?.as_ref()
    }

    #[inline]
    pub fn segment_mut(&mut self, slot: usize) -> Option<&mut SegmentEntry> {
        self.segments.get_mut(slot)?.as_mut()
    }

    #[inline]
    pub fn rx(&mut self, slot: usize, pair: usize) -> Option<&mut RxQueue> {
        self.port_mut(slot)?.rx.get_mut(pair)?.as_mut()
    }

    #[inline]
    pub fn tx(&mut self, slot: usize, pair: usize) -> Option<&mut TxQueue> {
        self.port_mut(slot)?.tx.get_mut(pair)?.as_mut()
    }

    /// The port of an uplink segment that has the address.
    pub fn uplink_port(&self, address: Ipv4Addr) -> Option<usize> {
        self.segments
            .iter()
            .enumerate()
            .filter_map(|(slot, segment)| segment.as_ref().map(|segment| (slot, segment)))
            .find(|(_, segment)| segment.config.spec.uplink && segment.config.contains(address))
            .and_then(|(slot, _)| self.by_address.get(&(slot, address)).copied())
    }

    pub fn set_faulted(&mut self, slot: usize) {
        if let Some(port) = self.port_mut(slot) {
            port.faulted = true;
        }
    }

    pub fn clear_fault(&mut self, key: u64) {
        if let Some(port) = self.slot_of(key).and_then(|slot| self.port_mut(slot)) {
            port.faulted = false;
            port.shared.set_fault(None);
        }
    }
}
