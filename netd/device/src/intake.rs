//! From what a device gave to frames as a switch takes them: checked, counted, and no more than asked for.

use crate::{Counters, Received};
use hive_flow::Key;
use hive_packet::coalesce::Coalescer;
use hive_packet::offload::{GSO_ECN, GSO_UDP_L4, VNET_HEADER_BYTES};
use hive_packet::segment::Segmenter;
use hive_packet::{ETHERNET_HEADER_BYTES, VnetHeader};
use std::collections::VecDeque;

/// The header as the kernel writes it, without `num_buffers`.
pub(crate) const HOST_HEADER_BYTES: usize = 10;

/// A frame that waits until it is asked for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub header: VnetHeader,
    pub frame: Vec<u8>,
    pub metadata: Key,
    /// Of large datagrams: segments that were given already.
    pub given: usize,
}

/// One device's.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Bounded by what one call received: nothing more is received while something waits.
    waiting: VecDeque<Waiting>,
    scratch: Vec<u8>,
    pub counters: Counters,
    /// Segments that may be followed by others, and what is known of them.
    together: (Coalescer, Key),
}

pub(crate) fn read_header(bytes: &[u8; HOST_HEADER_BYTES]) -> VnetHeader {
    let mut whole = [0; VNET_HEADER_BYTES];
    whole[..HOST_HEADER_BYTES].copy_from_slice(bytes);
    VnetHeader::from_bytes(&whole)
}

pub(crate) fn write_header(header: VnetHeader) -> [u8; HOST_HEADER_BYTES] {
    let mut bytes = [0; HOST_HEADER_BYTES];
    bytes.copy_from_slice(&header.to_bytes(0)[..HOST_HEADER_BYTES]);
    bytes
}

/// Puts a VLAN tag back that was taken out: `slot[at..]` is the frame, before it are at least 4 bytes. Returns where it begins then.
pub(crate) fn insert_vlan(slot: &mut [u8], at: usize, (tpid, tci): (u16, u16), header: &mut VnetHeader) -> usize {
    const ADDRESSES: usize = 12;
    const TAG_BYTES: usize = 4;
    if at < TAG_BYTES || slot.len() < at + ADDRESSES {
        return at;
    }
    slot.copy_within(at..at + ADDRESSES, at - TAG_BYTES);
    let tag = at + ADDRESSES - TAG_BYTES;
    slot[tag..tag + 2].copy_from_slice(&tpid.to_be_bytes());
    slot[tag + 2..tag + 4].copy_from_slice(&tci.to_be_bytes());
    for place in [&mut header.csum_start, &mut header.header_bytes] {
        if *place != 0 {
            *place = place.saturating_add(TAG_BYTES as u16);
        }
    }
    at - TAG_BYTES
}

impl Intake {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A frame that is not given: it was work all the same.
    pub fn refuse(&mut self, budget: &mut usize) {
        self.counters.rx_errors += 1;
        *budget = budget.saturating_sub(1);
    }

    /// Takes a frame in that came without a header: segments of a connection that follow each other become one frame. What may still be
    /// followed by another is given by [`Self::settle`].
    pub fn offer_segment(
        &mut self,
        frame: &mut [u8],
        metadata: &Key,
        budget: &mut usize,
        take: &mut dyn FnMut(Received<'_>),
    ) {
        let (coalescer, of_held) = &mut self.together;
        if *of_held == *metadata && coalescer.append(frame) {
            return;
        }
        self.settle(budget, take);
        let (coalescer, of_held) = &mut self.together;
        if coalescer.begin(frame) {
            *of_held = *metadata;
        } else {
            self.offer(VnetHeader::default(), frame, metadata, budget, take);
        }
    }

    pub fn settle(&mut self, budget: &mut usize, take: &mut dyn FnMut(Received<'_>)) {
        if self.together.0.is_empty() {
            return;
        }
        // Lent, and used again.
        let (mut coalescer, metadata) = (std::mem::take(&mut self.together.0), self.together.1);
        if let Some((header, frame)) = coalescer.take() {
            self.offer(header, frame, &metadata, budget, take);
        }
        self.together.0 = coalescer;
    }

    /// Takes a frame in: it is given at once if `budget` allows, or waits. What contradicts itself is refused.
    pub fn offer(
        &mut self,
        mut header: VnetHeader,
        frame: &mut [u8],
        metadata: &Key,
        budget: &mut usize,
        take: &mut dyn FnMut(Received<'_>),
    ) {
        header.gso_type &= !GSO_ECN;
        let datagrams = header.gso_type == GSO_UDP_L4;
        let sound =
            if datagrams { Segmenter::new(&header, frame).is_some() } else { header.check(frame, frame.len()).is_ok() };
        if frame.len() < ETHERNET_HEADER_BYTES || !sound {
            self.refuse(budget);
            return;
        }
        if datagrams || *budget == 0 || !self.waiting.is_empty() {
            self.wait(Waiting { header, frame: frame.to_vec(), metadata: *metadata, given: 0 });
            self.give(budget, take);
            return;
        }
        *budget -= 1;
        self.counters.rx_packets += 1;
        self.counters.rx_bytes += frame.len() as u64;
        take(Received { header, frame, metadata });
    }

    pub fn wait(&mut self, frame: Waiting) {
        self.waiting.push_back(frame);
    }

    /// Gives what waits.
    pub fn give(&mut self, budget: &mut usize, take: &mut dyn FnMut(Received<'_>)) {
        while *budget > 0
            && let Some(first) = self.waiting.front_mut()
        {
            let mut done = true;
            if first.header.gso_type == GSO_UDP_L4 {
                if let Some(segmenter) = Segmenter::new(&first.header, &first.frame) {
                    segmenter.write(first.given, &mut self.scratch);
                    first.given += 1;
                    done = first.given >= segmenter.count();
                }
            } else {
                std::mem::swap(&mut self.scratch, &mut first.frame);
            }
            *budget -= 1;
            self.counters.rx_packets += 1;
            self.counters.rx_bytes += self.scratch.len() as u64;
            let header = if first.header.gso_type == GSO_UDP_L4 { VnetHeader::default() } else { first.header };
            take(Received { header, frame: &mut self.scratch, metadata: &first.metadata });
            if done {
                self.waiting.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_packet::offload::NEEDS_CSUM;
    use hive_packet::{MacAddr, build};

    #[test]
    fn large_datagrams_are_cut_and_never_more_frames_given_than_asked_for() {
        let packet = build::udp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 1, 2, &[7; 250]);
        let mut frame = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &packet);
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: GSO_UDP_L4,
            gso_size: 100,
            csum_start: 34,
            csum_offset: 6,
            ..VnetHeader::default()
        };
        let (mut intake, mut seen) = (Intake::default(), Vec::new());
        let mut budget = 2;
        intake.offer(header, &mut frame, &Key::ZERO, &mut budget, &mut |got| seen.push(got.frame.len()));
        assert_eq!((budget, seen.as_slice()), (0, &[142, 142][..]));
        let mut small = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &[]);
        intake.offer(VnetHeader::default(), &mut small, &Key::ZERO, &mut budget, &mut |_| panic!("no budget"));
        let mut budget = 9;
        intake.give(&mut budget, &mut |got| seen.push(got.frame.len()));
        assert_eq!((budget, seen.as_slice()), (7, &[142, 142, 92, 14][..]));
        assert!(intake.is_empty());
    }

    #[test]
    fn what_is_refused_is_paid_for() {
        let (mut intake, mut budget) = (Intake::default(), 2);
        for left in [1, 0, 0] {
            intake.offer(VnetHeader::default(), &mut [0; 13], &Key::ZERO, &mut budget, &mut |_| panic!("too short"));
            assert_eq!(budget, left);
        }
        assert_eq!(intake.counters, Counters { rx_errors: 3, ..Counters::default() });
    }

    #[test]
    fn a_tag_goes_back_behind_the_addresses() {
        let mut slot = [vec![0; 8], vec![1; 6], vec![2; 6], vec![8, 0, 9]].concat();
        let mut header = VnetHeader { csum_start: 34, ..VnetHeader::default() };
        let at = insert_vlan(&mut slot, 8, (0x88a8, 0x6005), &mut header);
        assert_eq!(slot[at..], [vec![1; 6], vec![2; 6], vec![0x88, 0xa8, 0x60, 5, 8, 0, 9]].concat());
        assert_eq!((at, header.csum_start), (4, 38));
        assert_eq!(insert_vlan(&mut [0; 3], 0, (0, 0), &mut header), 0);
    }
}
