//! Delivery: frames into guests' rings and devices, each locked once a burst as a rule, and published once a burst.

use super::port::{PortMap, PortShared};
use crate::mailbox::lock;
use crate::port::memory::GuestSlice;
use crate::port::queue::{Delivery, Outbound, RxQueue, Source};
use hive_datapath::{Outgoing, Output, Tail};
use hive_device::{Device, Sent};
use hive_packet::VnetHeader;
use hive_packet::checksum;
use hive_packet::offload::complete_checksum;
use hive_packet::segment::Segmenter;
use hive_program::{PortId, Tunnel};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

/// Queues that wait to be published at the end of a burst; one more is published at once.
const TOUCHED_MAX: usize = 16;
/// Ethernet header and two tags, beside the MTU.
const LINK_BYTES: usize = 14 + 8;

/// What is left of a frame in its sender's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct GuestTail<'b, 'm>(pub &'b [GuestSlice<'m>]);

impl Tail for GuestTail<'_, '_> {
    fn read(&self, from: usize, out: &mut [u8]) -> usize {
        self.0.copy_out(from, out)
    }

    fn sum(&self, from: usize, bytes: usize) -> u64 {
        // Even, and filled over the borders of slices, so that sums of pieces can be added.
        let mut piece = [0; 512];
        let (mut skip, mut left, mut held, mut total) = (from, bytes, 0, 0);
        for slice in self.0 {
            let length = slice.len() as usize;
            // Less than the slice's length, which has 32 bits.
            let mut slice = slice.skip(skip.min(length) as u32);
            skip = skip.saturating_sub(length);
            while slice.len() > 0 && left > 0 {
                let wanted = (piece.len() - held).min(left);
                let count = slice.read(&mut piece[held..held + wanted]);
                slice = slice.skip(count as u32);
                (held, left) = (held + count, left - count);
                if held == piece.len() {
                    total += checksum::sum(&piece);
                    held = 0;
                }
            }
        }
        total + checksum::sum(&piece[..held])
    }
}

impl Source for GuestTail<'_, '_> {
    #[inline]
    fn copy_to(&self, from: usize, to: GuestSlice<'_>) -> usize {
        self.0.copy_to(from, to)
    }

    fn copy_out(&self, from: usize, out: &mut [u8]) -> usize {
        self.0.copy_out(from, out)
    }
}

/// What is borrowed by reference.
struct By<'s, S>(&'s S);

impl<S: Source> Source for By<'_, S> {
    #[inline]
    fn copy_to(&self, from: usize, to: GuestSlice<'_>) -> usize {
        self.0.copy_to(from, to)
    }

    fn copy_out(&self, from: usize, out: &mut [u8]) -> usize {
        self.0.copy_out(from, out)
    }
}

enum Open<'p> {
    None,
    Rx { port: &'p PortShared, pair: usize, queue: MutexGuard<'p, Option<RxQueue>>, several: bool },
    Device { port: &'p PortShared, device: MutexGuard<'p, Box<dyn Device>> },
}

/// Memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    frame: Vec<u8>,
    segment: Vec<u8>,
}

/// The way out for one burst.
pub(super) struct Outlet<'p> {
    ports: &'p PortMap,
    open: Open<'p>,
    /// Of the open port.
    packets: u64,
    bytes: u64,
    dropped: u64,
    touched: [Option<(&'p PortShared, usize)>; TOUCHED_MAX],
    touched_count: usize,
    scratch: &'p mut Scratch,
}

impl<'p> Outlet<'p> {
    pub fn new(ports: &'p PortMap, scratch: &'p mut Scratch) -> Self {
        Self {
            ports,
            open: Open::None,
            packets: 0,
            bytes: 0,
            dropped: 0,
            touched: [None; TOUCHED_MAX],
            touched_count: 0,
            scratch,
        }
    }

    /// Publishes what was delivered.
    pub fn finish(mut self) {
        self.count();
        match &mut self.open {
            Open::Rx { queue, .. } => {
                if let Some(queue) = queue.as_mut().filter(|queue| queue.dirty) {
                    queue.flush();
                }
            }
            Open::Device { device, .. } => device.flush(),
            Open::None => {}
        }
        self.open = Open::None;
        for (port, pair) in self.touched.iter().take(self.touched_count).flatten() {
            publish(port, *pair);
        }
    }

    fn count(&mut self) {
        if let Open::Rx { queue, .. } = &mut self.open
            && let Some(queue) = queue.as_mut()
        {
            self.dropped += queue.take_lost();
        }
        let port = match &self.open {
            Open::None => return,
            Open::Rx { port, .. } | Open::Device { port, .. } => port,
        };
        let add = |counter: &std::sync::atomic::AtomicU64, count: &mut u64| {
            if *count > 0 {
                counter.fetch_add(std::mem::take(count), Ordering::Relaxed);
            }
        };
        add(&port.counters.tx_packets, &mut self.packets);
        add(&port.counters.tx_bytes, &mut self.bytes);
        add(&port.counters.tx_dropped, &mut self.dropped);
    }

    /// Lets the open port go, to be published later.
    fn close(&mut self) {
        self.count();
        let touched = match &self.open {
            Open::None => return,
            Open::Rx { port, pair, queue, .. } if queue.as_ref().is_some_and(|queue| queue.dirty) => {
                Some((*port, *pair))
            }
            Open::Rx { .. } => None,
            Open::Device { port, .. } => Some((*port, 0)),
        };
        self.open = Open::None;
        let Some((port, pair)) = touched else { return };
        let held = &self.touched[..self.touched_count];
        if held.iter().flatten().any(|(other, number)| std::ptr::eq(*other, port) && *number == pair) {
            return;
        }
        match self.touched.get_mut(self.touched_count) {
            Some(place) => {
                *place = Some((port, pair));
                self.touched_count += 1;
            }
            None => publish(port, pair),
        }
    }

    /// Opens a port for a frame. False: it takes none.
    fn open(&mut self, id: PortId, head: &[u8]) -> bool {
        match &self.open {
            Open::Rx { port, several: false, .. } if port.id == id => return true,
            Open::Device { port, .. } if port.id == id => return true,
            Open::Rx { port, pair, .. } if port.id == id && choose(port, head) == Some(*pair) => return true,
            _ => {}
        }
        self.close();
        let Some(port) = self.ports.get(&id) else { return false };
        if !port.up.load(Ordering::Relaxed) {
            port.counters.tx_dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if let Some(device) = &port.device {
            self.open = Open::Device { port, device: lock(device) };
            return true;
        }
        let Some((pair, queue)) = choose(port, head).and_then(|pair| Some((pair, port.rx(pair)?))) else {
            // Nobody is there.
            port.counters.tx_dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let several = port.receiving().count_ones() > 1;
        let queue = lock(queue);
        if let Some(queue) = queue.as_ref().filter(|queue| !queue.dirty) {
            queue.prepare();
        }
        self.open = Open::Rx { port, pair, queue, several };
        true
    }

    /// Puts a frame of this process out by the port that is open.
    fn put_plain(&mut self, frame: &[u8], tunnel: Option<&Tunnel>) -> bool {
        let none: &[u8] = &[];
        let header = VnetHeader::default();
        self.put(&Outbound { header, head: frame, rest: none, rest_from: 0, rest_bytes: 0 }, tunnel)
            == Some(Delivery::Done)
    }

    /// None if the port broke.
    #[inline]
    fn put<S: Source>(&mut self, frame: &Outbound<'_, S>, tunnel: Option<&Tunnel>) -> Option<Delivery> {
        let bytes = frame.head.len() + frame.rest_bytes;
        let delivery = match &mut self.open {
            Open::Rx { queue, .. } => match queue.as_mut()?.put(frame) {
                Ok(delivery) => delivery,
                Err(fault) => {
                    let Open::Rx { port, pair, .. } = std::mem::replace(&mut self.open, Open::None) else {
                        return None;
                    };
                    port.fail(2 * pair, fault);
                    return None;
                }
            },
            Open::Device { device, .. } => {
                let sent = device.send(Sent { header: frame.header, pieces: &[frame.head], tunnel });
                // The device counts what it drops.
                return sent.then(|| {
                    self.packets += 1;
                    self.bytes += bytes as u64;
                    Delivery::Done
                });
            }
            Open::None => return None,
        };
        match delivery {
            Delivery::Done => {
                self.packets += 1;
                self.bytes += bytes as u64;
            }
            Delivery::Dropped => self.dropped += 1,
            Delivery::NeedsSoftware => {}
        }
        Some(delivery)
    }

    /// The frames that this one is on the wire, one after the other.
    fn put_segments(&mut self, vnet: &VnetHeader, tunnel: Option<&Tunnel>) -> bool {
        let mut frame = std::mem::take(&mut self.scratch.frame);
        let mut done = false;
        if vnet.is_gso() {
            let mut segment = std::mem::take(&mut self.scratch.segment);
            match Segmenter::new(vnet, &frame) {
                Some(segmenter) => {
                    for index in 0..segmenter.count() {
                        segmenter.write(index, &mut segment);
                        done |= self.put_plain(&segment, tunnel);
                    }
                }
                None => self.dropped += 1,
            }
            self.scratch.segment = segment;
        } else if !vnet.needs_checksum() || complete_checksum(&mut frame, vnet) {
            done = self.put_plain(&frame, tunnel);
        } else {
            self.dropped += 1;
        }
        self.scratch.frame = frame;
        done
    }
}

impl<T: Tail + Source> Output<T> for Outlet<'_> {
    #[inline]
    fn output(&mut self, id: PortId, frame: &Outgoing<'_, T>) -> bool {
        if !self.open(id, frame.head) {
            return false;
        }
        // Of a device its driver knows, or what a datagram holds. (What is written to a TAP device is received by the kernel, which asks
        // for no MTU there.)
        if let Open::Rx { port, .. } = &self.open
            && !frame.vnet.is_gso()
            && frame.frame_bytes() > port.mtu.load(Ordering::Relaxed) as usize + LINK_BYTES
        {
            self.dropped += 1;
            return false;
        }
        if let Open::Device { device, .. } = &mut self.open {
            let mut tail = std::mem::take(&mut self.scratch.frame);
            tail.resize(frame.tail_bytes, 0);
            frame.tail.read(frame.tail_from, &mut tail);
            let sent = device.send(Sent { header: frame.vnet, pieces: &[frame.head, &tail], tunnel: frame.tunnel });
            self.scratch.frame = tail;
            if sent {
                self.packets += 1;
                self.bytes += frame.frame_bytes() as u64;
            }
            return sent;
        }
        let outbound = Outbound {
            header: frame.vnet,
            head: frame.head,
            rest: By(frame.tail),
            rest_from: frame.tail_from,
            rest_bytes: frame.tail_bytes,
        };
        match self.put(&outbound, None) {
            Some(Delivery::Done) => true,
            Some(Delivery::NeedsSoftware) => {
                frame.copy_into(&mut self.scratch.frame);
                self.put_segments(&frame.vnet, None)
            }
            _ => false,
        }
    }

    fn pause(&mut self) {
        self.close();
    }
}

fn publish(port: &PortShared, pair: usize) {
    if let Some(device) = &port.device {
        lock(device).flush();
    } else if let Some(queue) = port.rx(pair)
        && let Some(queue) = lock(queue).as_mut().filter(|queue| queue.dirty)
    {
        queue.flush();
    }
}

/// The receive queue for a frame: both directions of a connection get the same, as long as the queues are the same.
#[inline]
fn choose(port: &PortShared, head: &[u8]) -> Option<usize> {
    let receiving = port.receiving();
    match receiving.count_ones() {
        0 => None,
        1 => Some(receiving.trailing_zeros() as usize),
        count => {
            let mut left = receiving;
            for _ in 0..symmetric_hash(head) % count {
                left &= left - 1;
            }
            Some(left.trailing_zeros() as usize)
        }
    }
}

/// Of addresses and ports of IPv4 and IPv6 without options, of what else the addresses of Ethernet.
fn symmetric_hash(head: &[u8]) -> u32 {
    let part = |at: usize, count: usize| {
        let bytes = head.get(at..at + count).unwrap_or(&[]);
        bytes.chunks(4).fold(0u32, |all, four| {
            let word = four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
            (all ^ word).wrapping_mul(0x9e37_79b1).rotate_left(13)
        })
    };
    let ports = |at: usize, protocol: u8| {
        if matches!(protocol, 6 | 17) { (part(at, 2), part(at + 2, 2)) } else { (0, 0) }
    };
    let (source, destination) = match head.get(12..15) {
        Some([8, 0, 0x45]) => {
            let (source, destination) = ports(34, head.get(23).copied().unwrap_or(0));
            (part(26, 4) ^ source, part(30, 4) ^ destination)
        }
        Some([0x86, 0xdd, _]) => {
            let (source, destination) = ports(54, head.get(20).copied().unwrap_or(0));
            (part(22, 16) ^ source, part(38, 16) ^ destination)
        }
        _ => (part(6, 6), part(0, 6)),
    };
    let both = source.wrapping_add(destination).wrapping_mul(0x85eb_ca6b);
    both ^ both >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::memory::{GuestMemory, RegionLayout};
    use proptest::prelude::*;

    proptest! {
        /// However the guest has cut its frame.
        #[test]
        fn sums_of_tails_are_those_of_their_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000), lengths in proptest::collection::vec(0usize..700, 0..20),
            from in 0usize..3000, count in 0usize..3000,
        ) {
            let file = tempfile::tempfile().unwrap();
            file.set_len(0x1000).unwrap();
            let layout = RegionLayout { guest_addr: 0, size_bytes: 0x1000, user_addr: 0, offset_bytes: 0 };
            let memory = GuestMemory::default().with(layout, &file).unwrap();
            memory.slice(0, 0x1000).unwrap().write(&bytes);
            let (mut slices, mut at) = (Vec::new(), 0);
            for length in lengths {
                let length = length.min(bytes.len() - at);
                slices.push(memory.slice(at as u64, length as u32).unwrap());
                at += length;
            }
            let there = &bytes[..at];
            let part = there.get(from..).map_or(&[][..], |rest| &rest[..count.min(rest.len())]);
            prop_assert_eq!(checksum::fold(GuestTail(&slices).sum(from, count)), checksum::fold(checksum::sum(part)));
            let mut read = vec![0; part.len()];
            prop_assert_eq!(GuestTail(&slices).read(from, &mut read), part.len());
            prop_assert_eq!(&read, part);
        }
    }
}
