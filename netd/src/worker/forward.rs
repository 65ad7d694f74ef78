//! The forwarding step: what becomes of each frame of a burst. It knows ports only as queues; a pipeline of tables may take its
//! place.

use super::Worker;
use crate::counters::DropReason;
use crate::port::queue::{Delivery, Inbound};
use crate::services::{Client, ReplyTo};
use crate::switch::admission::{admit, is_dhcp_request};
use crate::uplink::ForGuest;
use hive_packet::arp::Operation;
use hive_packet::offload::complete_checksum;
use hive_packet::segment::Segmenter;
use hive_packet::{ETHERNET_HEADER_BYTES, Frame, Network, VnetHeader, build};
use std::sync::Arc;

/// Where a frame goes.
enum Verdict {
    /// To the port that its destination was learned on.
    Port(usize),
    /// To all other ports of the segment.
    Flood,
    /// To the local services.
    Services,
    /// Through the gateway to the outside.
    Gateway,
    Drop(DropReason),
}

impl Worker {
    /// Takes a burst from a guest's queue and forwards it. Returns whether there was anything.
    pub(super) fn forward_burst(&mut self, slot: usize, pair: usize) -> bool {
        let batch = self.settings.batch;
        let Some(queue) = self.table.tx(slot, pair) else { return false };
        let count = match queue.ring.available() {
            Ok(0) => return false,
            Ok(count) => count.min(batch),
            Err(fault) => {
                self.fault(slot, 2 * pair + 1, fault);
                return true;
            }
        };
        let memory = Arc::clone(queue.ring.memory());
        let mut buffers = Vec::with_capacity(usize::from(count) * 2);
        let mut chains = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let from = buffers.len();
            match queue.ring.take(&memory, &mut buffers) {
                Ok(head) => chains.push((head, from, buffers.len())),
                Err(fault) => {
                    self.fault(slot, 2 * pair + 1, fault);
                    return true;
                }
            }
            if let Some(first) = buffers.get(from) {
                first.prefetch();
            }
        }
        let (mut packets, mut bytes) = (0, 0);
        for (_, from, to) in &chains {
            match Inbound::read(&mut buffers[*from..*to]) {
                Some(inbound) => {
                    packets += 1;
                    bytes += inbound.frame_bytes as u64;
                    self.forward(slot, pair, &inbound);
                }
                None => self.counters.count(DropReason::Malformed),
            }
        }
        // A fault while forwarding may have taken this very port's rings.
        if let Some(port) = self.table.port(slot) {
            port.shared.tx_packets.add(packets);
            port.shared.tx_bytes.add(bytes);
        }
        if let Some(queue) = self.table.tx(slot, pair) {
            queue.complete(chains.into_iter().map(|(head, ..)| head));
        }
        self.flush();
        true
    }

    fn forward(&mut self, slot: usize, pair: usize, inbound: &Inbound<'_, '_>) {
        match self.decide(slot, inbound) {
            Verdict::Port(to) => {
                if self.deliver(to, pair, inbound) {
                    self.counters.forwarded_packets.add(1);
                }
            }
            Verdict::Flood => self.flood(slot, pair, inbound),
            Verdict::Services => self.hand_to_services(slot, inbound),
            Verdict::Gateway => self.pass_gateway(slot, inbound),
            Verdict::Drop(reason) => self.counters.count(reason),
        }
    }

    fn decide(&mut self, slot: usize, inbound: &Inbound<'_, '_>) -> Verdict {
        let now_s = self.now_s;
        let Some(port) = self.table.port(slot) else { return Verdict::Drop(DropReason::NotConnected) };
        let (identity, segment_slot) = (port.identity, port.segment);
        let Some(segment) = self.table.segment_mut(segment_slot) else {
            return Verdict::Drop(DropReason::NotConnected);
        };
        let config = &segment.config;
        let frame = match admit(&identity, config.spec.mtu, inbound) {
            Ok(frame) => frame,
            Err(reason) => return Verdict::Drop(reason),
        };
        segment.macs.learn(frame.src, slot as u32, now_s);
        if let Some(verdict) = local(config, &frame, inbound.head()) {
            return verdict;
        }
        if frame.dst.is_multicast() {
            return Verdict::Flood;
        }
        match segment.macs.lookup(frame.dst, now_s) {
            Some(to) if to as usize == slot => Verdict::Drop(DropReason::SamePort),
            Some(to) => Verdict::Port(to as usize),
            None => Verdict::Flood,
        }
    }

    fn flood(&mut self, slot: usize, pair: usize, inbound: &Inbound<'_, '_>) {
        self.counters.flooded_packets.add(1);
        let segment = self.table.port(slot).map(|port| port.segment);
        let mut at = 0;
        // By position, since a delivery may fault a port; ports themselves do not come or go within a burst.
        while let Some(to) =
            segment.and_then(|segment| self.table.segment(segment)).and_then(|segment| segment.ports.get(at)).copied()
        {
            at += 1;
            if to != slot && self.table.port(to).is_some_and(|port| !port.receiving.is_empty()) {
                self.deliver(to, pair, inbound);
            }
        }
    }

    /// Delivers to a guest, in software where its driver cannot take the frame as it is. Returns whether it was delivered.
    fn deliver(&mut self, to: usize, from_pair: usize, inbound: &Inbound<'_, '_>) -> bool {
        let Some((pair, port)) = self.table.port_mut(to).and_then(|port| Some((port.receive_pair(from_pair)?, port)))
        else {
            self.counters.count(DropReason::NotConnected);
            return false;
        };
        let Some(rx) = port.rx.get_mut(pair).and_then(Option::as_mut) else { return false };
        let clean = !rx.dirty;
        match rx.deliver(inbound) {
            Ok(Delivery::Done) => {
                port.shared.rx_packets.add(1);
                port.shared.rx_bytes.add(inbound.frame_bytes as u64);
                if clean {
                    self.touched.push((to, pair));
                }
                true
            }
            Ok(Delivery::NoBuffers) => {
                self.counters.count(DropReason::NoBuffers);
                false
            }
            Ok(Delivery::NeedsSoftware) => {
                let mut delivered = false;
                self.for_each_plain(inbound, |worker, frame| delivered |= worker.deliver_to_pair(to, pair, frame));
                delivered
            }
            Err(fault) => {
                self.fault(to, 2 * pair, fault);
                false
            }
        }
    }

    /// Delivers a complete frame of this process to a guest.
    pub(super) fn deliver_plain(&mut self, to: usize, frame: &[u8]) -> bool {
        match self.table.port(to).and_then(|port| port.receive_pair(0)) {
            Some(pair) => self.deliver_to_pair(to, pair, frame),
            None => {
                self.counters.count(DropReason::NotConnected);
                false
            }
        }
    }

    fn deliver_to_pair(&mut self, to: usize, pair: usize, frame: &[u8]) -> bool {
        let Some(port) = self.table.port_mut(to) else { return false };
        let Some(rx) = port.rx.get_mut(pair).and_then(Option::as_mut) else { return false };
        let clean = !rx.dirty;
        match rx.deliver_plain(frame) {
            Ok(Delivery::Done) => {
                port.shared.rx_packets.add(1);
                port.shared.rx_bytes.add(frame.len() as u64);
                if clean {
                    self.touched.push((to, pair));
                }
                true
            }
            Ok(_) => {
                self.counters.count(DropReason::NoBuffers);
                false
            }
            Err(fault) => {
                self.fault(to, 2 * pair, fault);
                false
            }
        }
    }

    /// Calls `each` with the frames that this one is on the wire: segments of the right size, with complete checksums.
    fn for_each_plain(&mut self, inbound: &Inbound<'_, '_>, mut each: impl FnMut(&mut Self, &mut [u8])) {
        let mut frame = std::mem::take(&mut self.scratch);
        inbound.copy_into(&mut frame);
        if inbound.header.is_gso() {
            self.for_each_segment(&inbound.header, &frame, &mut each);
        } else if !inbound.header.needs_checksum() || complete_checksum(&mut frame, &inbound.header) {
            each(self, &mut frame);
        } else {
            self.counters.count(DropReason::BadOffload);
        }
        self.scratch = frame;
    }

    fn for_each_segment(&mut self, header: &VnetHeader, frame: &[u8], each: &mut impl FnMut(&mut Self, &mut [u8])) {
        let Some(segmenter) = Segmenter::new(header, frame) else {
            self.counters.count(DropReason::BadOffload);
            return;
        };
        let mut segment = std::mem::take(&mut self.segmented);
        for index in 0..segmenter.count() {
            segmenter.write(index, &mut segment);
            each(self, &mut segment);
        }
        self.segmented = segment;
    }

    fn hand_to_services(&mut self, slot: usize, inbound: &Inbound<'_, '_>) {
        let Some(port) = self.table.port(slot).map(|port| port.shared.clone()) else { return };
        self.for_each_plain(inbound, |worker, frame| {
            if port.enter_services() {
                let client = Client { port: port.clone(), reply_to: ReplyTo::Worker(worker.handle.clone()) };
                worker.services.frame(client, frame.to_vec());
            } else {
                worker.counters.count(DropReason::ServicesBusy);
            }
        });
    }

    fn pass_gateway(&mut self, slot: usize, inbound: &Inbound<'_, '_>) {
        let Some(port) = self.table.port(slot) else { return };
        let (mac, segment_slot) = (port.identity.mac, port.segment);
        let Some(segment) = self.table.segment(segment_slot) else { return };
        let (gateway, gateway_mac) = (segment.config.spec.gateway, segment.config.gateway_mac);
        let is_local = matches!(
            Frame::parse(inbound.head(), inbound.frame_bytes),
            Ok(Frame { network: Network::Ipv4(ip), .. }) if ip.dst == gateway
        );
        let now_s = self.now_s;
        let mut replies = Vec::new();
        let mut for_services = false;
        self.for_each_plain(inbound, |worker, frame| {
            let Some(packet) = frame.get_mut(ETHERNET_HEADER_BYTES..) else { return };
            let uplink = worker.uplink.as_mut();
            if is_local && !uplink.as_ref().is_some_and(|uplink| uplink.is_reply_to_host(packet, now_s)) {
                for_services = true;
                return;
            }
            let Some(uplink) = uplink else {
                worker.counters.count(DropReason::NoRoute);
                return;
            };
            if let Err(refusal) = uplink.send(packet, gateway, now_s) {
                worker.counters.count(refusal.reason);
                replies.extend(refusal.reply);
            }
        });
        if for_services {
            self.hand_to_services(slot, inbound);
        }
        for reply in replies {
            self.deliver_plain(slot, &build::ethernet(mac, gateway_mac, &reply));
        }
    }

    /// Delivers a translated packet of the host's.
    pub(super) fn deliver_from_uplink(&mut self, ForGuest { guest, packet }: ForGuest) {
        let target = self.table.uplink_port(guest).and_then(|slot| {
            let port = self.table.port(slot)?;
            let segment = self.table.segment(port.segment)?;
            Some((slot, port.identity.mac, segment.config.gateway_mac))
        });
        match target {
            Some((slot, mac, gateway_mac)) => {
                if self.deliver_plain(slot, &build::ethernet(mac, gateway_mac, &packet)) {
                    self.counters.forwarded_packets.add(1);
                }
            }
            None => self.counters.count(DropReason::NoRoute),
        }
    }
}

/// What the switch itself answers or routes: None for frames between guests.
fn local(segment: &crate::model::Segment, frame: &Frame, head: &[u8]) -> Option<Verdict> {
    if is_dhcp_request(frame, head) && (frame.dst.is_multicast() || frame.dst == segment.gateway_mac) {
        return Some(Verdict::Services);
    }
    match frame.network {
        Network::Arp(arp) if arp.operation == Operation::Request && segment.is_local(arp.target_ip) => {
            Some(Verdict::Services)
        }
        Network::Ipv4(ip) if frame.dst == segment.gateway_mac => {
            // Answers to the host come to the gateway's address: the uplink knows them apart.
            Some(if segment.is_local(ip.dst) && !(segment.spec.uplink && ip.dst == segment.spec.gateway) {
                Verdict::Services
            } else if segment.spec.uplink {
                Verdict::Gateway
            } else {
                Verdict::Drop(DropReason::NoRoute)
            })
        }
        _ if frame.dst == segment.gateway_mac => Some(Verdict::Drop(DropReason::NoRoute)),
        _ => None,
    }
}
