//! Segments of a TCP connection that follow each other, put together into the large frame that they were, or might have been: who gets
//! it pays for one frame and not for forty (what Linux calls GRO). The inverse of [`crate::segment`].

use crate::checksum;
use crate::ipv4::{self, HEADER_BYTES, Ipv4Header};
use crate::offload::{GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, VnetHeader};
use crate::segment::SEGMENTS_MAX;
use crate::{ETHERNET_HEADER_BYTES, be16, be32, ethertype, protocol, put};

const TCP_ACK: u8 = 0x10;
const TCP_PSH: u8 = 0x08;
const TCP_HEADER_BYTES: usize = 20;
const TCP_CHECK: usize = 16;
const IPV6_HEADER_BYTES: usize = 40;
const DONT_FRAGMENT: u16 = 0x4000;
/// What the length field of an IP packet can say; of IPv6, without its header.
const PACKET_BYTES_MAX: usize = 65_535;

/// Where the parts of a segment are.
#[derive(Clone, Copy, Debug)]
struct Layout {
    ip_v4: bool,
    tcp_at: usize,
    payload_at: usize,
}

/// A segment that may be put together with others: data of an established connection and nothing else, as it is on the wire, in IPv4
/// without options or IPv6 without extension headers, without VLAN tags.
fn layout(frame: &[u8]) -> Option<Layout> {
    let packet = frame.get(ETHERNET_HEADER_BYTES..)?;
    let (ip_v4, tcp_at) = match be16(frame, ETHERNET_HEADER_BYTES - 2)? {
        ethertype::IPV4 => {
            let header = Ipv4Header::parse(packet, packet.len())?;
            let fits = header.header_bytes == HEADER_BYTES && header.total_bytes == packet.len() && header.whole;
            (fits && header.protocol == protocol::TCP && ipv4::header_checksum_holds(packet, &header))
                .then_some((true, ETHERNET_HEADER_BYTES + HEADER_BYTES))?
        }
        ethertype::IPV6 => {
            let fits = packet.first()? >> 4 == 6
                && usize::from(be16(packet, 4)?) == packet.len().checked_sub(IPV6_HEADER_BYTES)?;
            (fits && packet.get(6) == Some(&protocol::TCP))
                .then_some((false, ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES))?
        }
        _ => return None,
    };
    let header_bytes = usize::from(frame.get(tcp_at + 12)? >> 4) * 4;
    let payload_at = tcp_at + header_bytes;
    let is_data = frame.get(tcp_at + 13)? & !TCP_PSH == TCP_ACK && header_bytes >= TCP_HEADER_BYTES;
    (is_data && payload_at < frame.len()).then_some(Layout { ip_v4, tcp_at, payload_at })
}

/// The sum of the pseudo-header, of a TCP part of so many bytes.
fn pseudo_header(frame: &[u8], layout: Layout, tcp_bytes: usize) -> u64 {
    let addresses = if layout.ip_v4 { layout.tcp_at - 8 } else { layout.tcp_at - 32 };
    checksum::sum(frame.get(addresses..layout.tcp_at).unwrap_or(&[])) + u64::from(protocol::TCP) + tcp_bytes as u64
}

fn checksum_holds(frame: &[u8], layout: Layout) -> bool {
    let tcp = frame.get(layout.tcp_at..).unwrap_or(&[]);
    checksum::fold(pseudo_header(frame, layout, tcp.len()) + checksum::sum(tcp)) == 0xffff
}

/// Puts segments together, one connection's at a time.
#[derive(Debug, Default)]
pub struct Coalescer {
    /// What was put together; empty: nothing.
    frame: Vec<u8>,
    held: Option<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    layout: Layout,
    segment_bytes: usize,
    segments: u16,
    next_sequence: u32,
    /// More may follow.
    open: bool,
}

impl Coalescer {
    pub fn is_empty(&self) -> bool {
        self.held.is_none()
    }

    /// Takes a frame as the first of others. False: it is none that can be, or there is something already.
    pub fn begin(&mut self, frame: &[u8]) -> bool {
        let Some(layout) = layout(frame).filter(|layout| self.held.is_none() && checksum_holds(frame, *layout)) else {
            return false;
        };
        let segment_bytes = frame.len() - layout.payload_at;
        let sequence = be32(frame, layout.tcp_at + 4).unwrap_or(0);
        self.frame.clear();
        self.frame.extend_from_slice(frame);
        self.held = Some(Held {
            layout,
            segment_bytes,
            segments: 1,
            next_sequence: sequence.wrapping_add(segment_bytes as u32),
            open: !has_push(frame, layout),
        });
        true
    }

    /// Takes a frame behind what is there. False: it does not follow it.
    pub fn append(&mut self, frame: &[u8]) -> bool {
        let Some(held) = self.held.as_mut().filter(|held| held.open) else { return false };
        let Some(layout) = layout(frame).filter(|layout| follows(&self.frame, held, frame, *layout)) else {
            return false;
        };
        let payload = &frame[layout.payload_at..];
        if self.frame.len() + payload.len() - ETHERNET_HEADER_BYTES > PACKET_BYTES_MAX
            // Who has to cut it again must be able to.
            || usize::from(held.segments) >= SEGMENTS_MAX
            || !checksum_holds(frame, layout)
        {
            return false;
        }
        self.frame.extend_from_slice(payload);
        held.segments += 1;
        held.next_sequence = held.next_sequence.wrapping_add(payload.len() as u32);
        let push = has_push(frame, layout);
        self.frame[layout.tcp_at + 13] |= frame[layout.tcp_at + 13] & TCP_PSH;
        held.open = !push && payload.len() == held.segment_bytes;
        true
    }

    /// What was put together. A single one is as it came; the checksum of several is left to who gets them.
    pub fn take(&mut self) -> Option<(VnetHeader, &mut [u8])> {
        let Held { layout, segment_bytes, segments, .. } = self.held.take()?;
        if segments == 1 {
            return Some((VnetHeader::default(), &mut self.frame));
        }
        // Frames are shorter than 64 KiB, so lengths and offsets fit their fields.
        let tcp_bytes = self.frame.len() - layout.tcp_at;
        let pseudo = checksum::fold(pseudo_header(&self.frame, layout, tcp_bytes));
        put(&mut self.frame, layout.tcp_at + TCP_CHECK, &pseudo.to_be_bytes());
        let packet = &mut self.frame[ETHERNET_HEADER_BYTES..];
        if layout.ip_v4 {
            let total = packet.len() as u16;
            put(packet, 2, &total.to_be_bytes());
            ipv4::fix_header_checksum(packet);
        } else {
            let carried = (packet.len() - IPV6_HEADER_BYTES) as u16;
            put(packet, 4, &carried.to_be_bytes());
        }
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: if layout.ip_v4 { GSO_TCPV4 } else { GSO_TCPV6 },
            header_bytes: layout.payload_at as u16,
            gso_size: segment_bytes as u16,
            csum_start: layout.tcp_at as u16,
            csum_offset: TCP_CHECK as u16,
        };
        Some((header, &mut self.frame))
    }
}

fn has_push(frame: &[u8], layout: Layout) -> bool {
    frame.get(layout.tcp_at + 13).is_some_and(|flags| flags & TCP_PSH != 0)
}

/// Whether all headers are alike but for what a sender counts up, and the data goes on where the last ended.
fn follows(first: &[u8], held: &Held, frame: &[u8], layout: Layout) -> bool {
    let alike = |part: std::ops::Range<usize>| first.get(part.clone()) == frame.get(part);
    let (ip, tcp) = (ETHERNET_HEADER_BYTES, layout.tcp_at);
    let same_ip = if layout.ip_v4 {
        // Between: length; number, unless it says nothing (RFC 6864); checksum.
        let number = |frame: &[u8]| be16(frame, ip + 4).unwrap_or(0);
        let atomic = be16(frame, ip + 6).is_some_and(|fragment| fragment & DONT_FRAGMENT != 0);
        alike(0..ip + 2)
            && alike(ip + 6..ip + 10)
            && alike(ip + 12..tcp)
            && (atomic || number(frame) == number(first).wrapping_add(held.segments))
    } else {
        alike(0..ip + 4) && alike(ip + 6..tcp)
    };
    let payload_bytes = frame.len() - layout.payload_at;
    same_ip
        && layout.payload_at == held.layout.payload_at
        // Ports; acknowledgement and header length; window; urgent pointer and options.
        && alike(tcp..tcp + 4)
        && alike(tcp + 8..tcp + 13)
        && alike(tcp + 14..tcp + 16)
        && alike(tcp + 18..layout.payload_at)
        && be32(frame, tcp + 4) == Some(held.next_sequence)
        && payload_bytes <= held.segment_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Segmenter;
    use crate::{MacAddr, build};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    /// A large frame with its checksum left open, as a guest sends it.
    fn large(v4: bool, payload: &[u8], size: u16) -> (VnetHeader, Vec<u8>) {
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut packet = build::tcp(src, dst, 80, 8080, 0x18, payload);
        if !v4 {
            let fixed = [0x60, 0, 0, 0, 0, 0, protocol::TCP, 64];
            packet.splice(..HEADER_BYTES, [&fixed[..], &[0xfd; 16], &[0xfe; 16]].concat());
        }
        let mut frame = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &packet);
        if !v4 {
            frame[12..14].copy_from_slice(&ethertype::IPV6.to_be_bytes());
        }
        let tcp_at = if v4 { 34 } else { 54 };
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: if v4 { GSO_TCPV4 } else { GSO_TCPV6 },
            header_bytes: tcp_at + 20,
            gso_size: size,
            csum_start: tcp_at,
            csum_offset: 16,
        };
        (header, frame)
    }

    fn segments(header: &VnetHeader, frame: &[u8]) -> Vec<Vec<u8>> {
        let segmenter = Segmenter::new(header, frame).unwrap();
        let segment = |index| {
            let mut out = Vec::new();
            segmenter.write(index, &mut out);
            out
        };
        (0..segmenter.count()).map(segment).collect()
    }

    /// As a receiver would use it: all frames that come out, each cut again if it is large.
    fn through(frames: &[Vec<u8>]) -> (usize, Vec<Vec<u8>>) {
        let mut coalescer = Coalescer::default();
        let (mut count, mut out) = (0, Vec::new());
        let mut give = |coalescer: &mut Coalescer| {
            let Some((header, frame)) = coalescer.take() else { return };
            count += 1;
            header.check(frame, frame.len()).unwrap();
            if header.is_gso() { out.extend(segments(&header, frame)) } else { out.push(frame.to_vec()) }
        };
        for frame in frames {
            if coalescer.append(frame) {
                continue;
            }
            give(&mut coalescer);
            assert!(coalescer.begin(frame), "no other frames are asked for here");
        }
        give(&mut coalescer);
        (count, out)
    }

    proptest! {
        /// What was cut is whole again, and would be cut the same way.
        #[test]
        fn segments_become_what_they_were(
            payload in prop::collection::vec(any::<u8>(), 2..20_000), size in 100u16..3000, v4: bool, fixed: bool,
        ) {
            let (header, mut frame) = large(v4, &payload, size);
            if v4 {
                frame[20] = if fixed { 0x40 } else { 0 };
            }
            let cut = segments(&header, &frame);
            let (count, again) = through(&cut);
            prop_assert_eq!(count, 1);
            prop_assert_eq!(again, cut);
        }

        /// Whatever else comes between, nothing is lost, changed or put in another order.
        #[test]
        fn other_segments_stay_apart(
            kinds in prop::collection::vec(0usize..12, 1..40), payload in prop::collection::vec(any::<u8>(), 4000..4001),
        ) {
            let (header, frame) = large(true, &payload, 1000);
            let whole = segments(&header, &frame);
            let frames: Vec<Vec<u8>> = kinds.iter().map(|kind| {
                let mut frame = whole[kind % 4].clone();
                // Sent by another, or with another window, as another host would.
                let at = match kind / 4 { 0 => None, 1 => Some(29), _ => Some(49) };
                if let Some(at) = at {
                    frame[at] ^= 0x40;
                    frame[50..52].fill(0);
                    let layout = Layout { ip_v4: true, tcp_at: 34, payload_at: 54 };
                    let tcp_bytes = frame.len() - 34;
                    let sum = pseudo_header(&frame, layout, tcp_bytes) + checksum::sum(&frame[34..]);
                    frame[50..52].copy_from_slice(&(!checksum::fold(sum)).to_be_bytes());
                    ipv4::fix_header_checksum(&mut frame[14..]);
                }
                frame
            }).collect();
            prop_assert_eq!(through(&frames).1, frames);
        }

        /// One that was damaged on its way is passed on as it is, so that its receiver finds out.
        #[test]
        fn damage_is_not_healed(bit in 0usize..8 * 1040, second: bool) {
            let (header, frame) = large(true, &[7; 2000], 1000);
            let mut cut = segments(&header, &frame);
            let at = usize::from(second);
            cut[at][14 + bit / 8] ^= 1 << (bit % 8);
            let mut coalescer = Coalescer::default();
            if second {
                prop_assert!(coalescer.begin(&cut[0]));
                prop_assert!(!coalescer.append(&cut[1]));
                coalescer.take();
            }
            prop_assert!(!coalescer.begin(&cut[at]));
        }

        #[test]
        fn hostile_frames_never_panic(mut frame in prop::collection::vec(any::<u8>(), 0..120), v4: bool, known: bool) {
            if known && frame.len() > 60 {
                frame[12..14].copy_from_slice(&if v4 { ethertype::IPV4 } else { ethertype::IPV6 }.to_be_bytes());
                frame[14] = if v4 { 0x45 } else { 0x60 };
                frame[if v4 { 23 } else { 20 }] = protocol::TCP;
            }
            let (header, first) = large(v4, &[1; 50], 20);
            let mut coalescer = Coalescer::default();
            prop_assert!(coalescer.begin(&segments(&header, &first)[0]));
            coalescer.append(&frame);
            coalescer.take();
            coalescer.begin(&frame);
            coalescer.take();
        }
    }

    #[test]
    fn what_is_put_together_has_a_length_that_can_be_said() {
        for v4 in [true, false] {
            let (header, frame) = large(v4, &[3; 1400], 1400);
            let mut segment = segments(&header, &frame).remove(0);
            // Not the last of what somebody wrote.
            let tcp_at = if v4 { 34 } else { 54 };
            let mut sequence = be32(&segment, tcp_at + 4).unwrap();
            let mut coalescer = Coalescer::default();
            let mut ended = false;
            for number in 0u16..60 {
                segment[tcp_at + 13] = TCP_ACK;
                segment[tcp_at + 4..tcp_at + 8].copy_from_slice(&sequence.to_be_bytes());
                if v4 {
                    segment[18..20].copy_from_slice(&number.to_be_bytes());
                    ipv4::fix_header_checksum(&mut segment[14..]);
                }
                segment[tcp_at + 16..tcp_at + 18].fill(0);
                let layout = Layout { ip_v4: v4, tcp_at, payload_at: tcp_at + 20 };
                let sum = pseudo_header(&segment, layout, segment.len() - tcp_at) + checksum::sum(&segment[tcp_at..]);
                segment[tcp_at + 16..tcp_at + 18].copy_from_slice(&(!checksum::fold(sum)).to_be_bytes());
                if number == 0 {
                    assert!(coalescer.begin(&segment));
                } else if !coalescer.append(&segment) {
                    let (_, frame) = coalescer.take().unwrap();
                    assert!(frame.len() <= 14 + PACKET_BYTES_MAX && frame.len() + 1400 > 14 + PACKET_BYTES_MAX);
                    assert_eq!(usize::from(number), (frame.len() - tcp_at - 20) / 1400);
                    ended = true;
                    break;
                }
                sequence = sequence.wrapping_add(1400);
            }
            assert!(ended, "too much was put together");
        }
    }
}
