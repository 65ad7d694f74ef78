//! Datagrams on their way out: put together into batches, and datagrams of one size for one place into one message (UDP_SEGMENT).

use super::endpoint::take_input;
use super::lone::Lone;
use crate::control::Writer;
use crate::mmsg::{self, BATCH, Outgoing};
use crate::sys;
use hive_packet::{be16, ethertype, network_layer, protocol};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Source ports by which routers on the way can tell flows apart (RFC 8926, 3.3). Each is a socket.
const SOURCE_PORTS: usize = 8;
/// Range of source ports (RFC 6335, 6), as IP_LOCAL_PORT_RANGE has it.
const SOURCE_PORT_RANGE: i32 = i32::from_ne_bytes(((65535u32 << 16) | 49152).to_ne_bytes());
/// Not in crate libc.
const IP_LOCAL_PORT_RANGE: i32 = 51;
/// Datagrams of one message, in the kernels that have UDP_SEGMENT (UDP_MAX_SEGMENTS).
const SEGMENTS_MAX: usize = 64;
/// A message's datagrams with the headers before the first one fit into an IP packet.
const MESSAGE_BYTES_MAX: usize = 65_535 - 128;
/// A batch goes out when it has that much: a thousand ports may each hold one.
const BATCH_BYTES: usize = 128 << 10;

/// What all datagrams of a socket have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SenderKey {
    pub v6: bool,
    /// Do not fragment.
    pub df: bool,
    pub checksum: bool,
    /// There may be answers to it.
    pub answered: bool,
}

impl SenderKey {
    /// Without checksums over IPv4 only. Encrypted messages have them: the kernel sends many at once, and a peer may answer.
    pub fn all(encrypted: bool) -> impl Iterator<Item = Self> {
        [(false, false), (false, true), (true, true)]
            .into_iter()
            .filter(move |(_, checksum)| *checksum || !encrypted)
            .flat_map(move |(v6, checksum)| [false, true].map(|df| Self { v6, df, checksum, answered: encrypted }))
    }
}

/// Sockets of one kind, that differ in their source port.
#[derive(Debug)]
pub(super) struct Sender {
    pub sockets: [Arc<OwnedFd>; SOURCE_PORTS],
    /// Do not fragment.
    df: bool,
}

impl Sender {
    pub fn open(key: SenderKey) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for _ in 0..SOURCE_PORTS {
            sockets.push(Arc::new(open(key)?));
        }
        Ok(Self { sockets: sockets.try_into().map_err(|_| io::ErrorKind::Other)?, df: key.df })
    }
}

fn open(key: SenderKey) -> io::Result<OwnedFd> {
    let socket = sys::socket(if key.v6 { libc::AF_INET6 } else { libc::AF_INET }, libc::SOCK_DGRAM)?;
    let option = |level, name, value: i32| sys::set_option(&socket, level, name, &value);
    // "Probe": do not fragment, "omit": do, by the device's MTU; neither believes messages that anybody could have sent about the path's.
    if key.v6 {
        option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        let discover = if key.df { libc::IPV6_PMTUDISC_PROBE } else { libc::IPV6_PMTUDISC_OMIT };
        option(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, discover)?;
    } else {
        let discover = if key.df { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_OMIT };
        option(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, discover)?;
        option(libc::SOL_SOCKET, libc::SO_NO_CHECK, i32::from(!key.checksum))?;
    }
    // Kernels before 6.3 choose from the range that the system is set to.
    let _ = option(libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, SOURCE_PORT_RANGE);
    if key.answered {
        take_input(&socket, key.v6)?;
    } else {
        sys::refuse_input(&socket)?;
    }
    Ok(socket)
}

/// Datagrams of one size, the last perhaps shorter, for one place.
#[derive(Debug)]
struct Message {
    bytes: Range<usize>,
    /// Of the first datagram.
    datagram_bytes: usize,
    /// Which of the batch's.
    datagrams: Range<usize>,
    sender: Arc<Sender>,
    socket: usize,
    checksum: bool,
    to: SocketAddr,
    control: Writer,
    /// With which the kernel makes datagrams of it. None: they leave one by one.
    segmented: Option<Writer>,
    /// For more to follow, the last datagram has to be as long as the first.
    open: bool,
}

impl Message {
    /// What leaves at once, in order.
    fn parts(&self) -> Vec<Part<'_>> {
        match &self.segmented {
            Some(control) => {
                vec![Part { message: self, bytes: self.bytes.clone(), datagrams: self.datagrams.clone(), control }]
            }
            None => self.alone().collect(),
        }
    }

    /// Its datagrams.
    fn alone(&self) -> impl Iterator<Item = Part<'_>> {
        let Range { start, end } = self.bytes;
        (start..end).step_by(self.datagram_bytes.max(1)).zip(self.datagrams.clone()).map(move |(begin, at)| Part {
            message: self,
            bytes: begin..end.min(begin + self.datagram_bytes),
            datagrams: at..at + 1,
            control: &self.control,
        })
    }
}

/// What leaves of a message at once.
#[derive(Clone, Debug)]
struct Part<'a> {
    message: &'a Message,
    bytes: Range<usize>,
    datagrams: Range<usize>,
    control: &'a Writer,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub sender: &'a Arc<Sender>,
    pub checksum: bool,
    pub hash: u32,
    pub to: SocketAddr,
    pub control: &'a Writer,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub frames: u64,
    pub bytes: u64,
    pub dropped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub bytes: Vec<u8>,
    messages: Vec<Message>,
    /// Of each datagram the bytes of the frame in it; 0: none.
    frames: Vec<usize>,
    lone: Lone,
}

impl Batch {
    /// Takes the end of [`Self::bytes`], from `begin` on, for a datagram, in which a frame of `frame_bytes` is; 0: none.
    pub fn push(&mut self, begin: usize, frame_bytes: usize, way: &Way<'_>) {
        let length = self.bytes.len() - begin;
        let socket = way.hash as usize % SOURCE_PORTS;
        self.frames.push(frame_bytes);
        if let Some(last) = self.messages.last_mut()
            // Without a checksum the kernel does not take segments.
            && way.checksum
            && last.open
            && last.checksum
            && last.socket == socket
            && last.to == way.to
            && last.control == *way.control
            && Arc::ptr_eq(&last.sender, way.sender)
            && length <= last.datagram_bytes
            && last.datagrams.len() < SEGMENTS_MAX
            && last.bytes.len() + length <= MESSAGE_BYTES_MAX
        {
            last.bytes.end += length;
            last.datagrams.end += 1;
            last.open = length == last.datagram_bytes;
            return;
        }
        self.messages.push(Message {
            bytes: begin..begin + length,
            datagram_bytes: length,
            datagrams: self.frames.len() - 1..self.frames.len(),
            sender: Arc::clone(way.sender),
            socket,
            checksum: way.checksum,
            to: way.to,
            control: *way.control,
            segmented: None,
            open: true,
        });
    }

    pub fn is_full(&self) -> bool {
        self.messages.len() >= BATCH || self.bytes.len() >= BATCH_BYTES
    }

    /// Sends everything. Datagrams of one flow stay in their order: they leave by one socket.
    pub fn flush(&mut self) -> Sum {
        let Self { bytes, messages, frames, lone } = self;
        let carried = frames.iter().filter(|bytes| **bytes > 0);
        let mut sum = Sum { frames: carried.count() as u64, bytes: frames.iter().sum::<usize>() as u64, dropped: 0 };
        for message in messages.iter_mut().filter(|message| message.datagrams.len() > 1) {
            if message.sender.df || !lone.has(message.to, message.datagram_bytes) {
                let (size, mut control) = (u16::try_from(message.datagram_bytes).unwrap_or(u16::MAX), message.control);
                control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
                message.segmented = Some(control);
            }
        }
        let mut rest: Vec<&Message> = messages.iter().collect();
        while let Some(first) = rest.first() {
            let (sender, socket) = (Arc::clone(&first.sender), first.socket);
            let (now, later): (Vec<&Message>, Vec<&Message>) =
                rest.into_iter().partition(|message| message.socket == socket && Arc::ptr_eq(&message.sender, &sender));
            let parts: Vec<Part<'_>> = now.into_iter().flat_map(Message::parts).collect();
            let socket = sender.sockets[socket].as_fd();
            send(socket, bytes, &parts, |part, error| {
                let message = part.message;
                if message.segmented.is_none() || !is_too_long(error) {
                    sum.lose(&frames[part.datagrams.clone()]);
                    return;
                }
                // What is behind it waits, so the order stays.
                let (again, lost): (Vec<_>, Vec<_>) =
                    message.alone().partition(|part| !sender.df || part.bytes.len() < message.datagram_bytes);
                lost.iter().for_each(|part| sum.lose(&frames[part.datagrams.clone()]));
                let mut failed = 0;
                send(socket, bytes, &again, |part, _| {
                    failed += 1;
                    sum.lose(&frames[part.datagrams.clone()]);
                });
                // If none went either, it was something else.
                if !sender.df && failed < again.len() {
                    lone.learn(message.to, message.datagram_bytes);
                }
            });
            rest = later;
        }
        self.bytes.clear();
        self.messages.clear();
        self.frames.clear();
        sum
    }
}

impl Sum {
    /// Those with a frame in them did not go.
    fn lose(&mut self, frames: &[usize]) {
        let count = frames.iter().filter(|bytes| **bytes > 0).count() as u64;
        self.frames -= count;
        self.bytes -= frames.iter().sum::<usize>() as u64;
        self.dropped += count;
    }
}

/// Of a segmented message: what kernels say if its datagrams are longer than the path takes, EINVAL in older ones.
fn is_too_long(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::EINVAL))
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], parts: &[Part<'_>], mut failed: impl FnMut(&Part<'_>, &io::Error)) {
    let outgoing: Vec<_> = parts
        .iter()
        .map(|part| Outgoing { bytes: &bytes[part.bytes.clone()], to: Some(part.message.to), control: part.control })
        .collect();
    mmsg::send(socket, &outgoing, |index, error| {
        if let Some(part) = parts.get(index) {
            failed(part, error);
        }
    });
}

/// A number that is the same for all frames of a connection: of addresses, protocol and ports.
pub(super) fn flow_hash(frame: &[u8]) -> u32 {
    const ADDRESSES: usize = 12;
    let mut hash = 0x811c_9dc5;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    let (kind, at) = network_layer(frame).unwrap_or((0, 0));
    let packet = frame.get(at..).unwrap_or(&[]);
    let whole = be16(packet, 6).is_some_and(|fragment| fragment & 0x3fff == 0);
    let (addresses, transport, ports_at) = match kind {
        ethertype::IPV4 => {
            let header_bytes = usize::from(packet.first().map_or(0, |first| first & 0xf)) * 4;
            (packet.get(12..20), packet.get(9), whole.then_some(header_bytes))
        }
        ethertype::IPV6 => (packet.get(8..40), packet.get(6), Some(40)),
        _ => (None, None, None),
    };
    match addresses {
        Some(addresses) => mix(addresses),
        None => mix(frame.get(..ADDRESSES).unwrap_or(frame)),
    }
    if let (Some(transport), Some(at)) = (transport, ports_at) {
        mix(&[*transport]);
        if matches!(*transport, protocol::TCP | protocol::UDP) {
            mix(packet.get(at..at + 4).unwrap_or(&[]));
        }
    }
    // The low bits of this hash alone are poor.
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_packet::{MacAddr, build};

    #[test]
    fn a_flow_has_one_source_port_and_many_have_all() {
        let frame = |port: u16| {
            let packet = build::udp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), port, 80, &[0; 20]);
            build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &packet)
        };
        let sockets: std::collections::BTreeSet<_> =
            (0..200).map(|port| flow_hash(&frame(port)) as usize % SOURCE_PORTS).collect();
        assert_eq!(sockets.len(), SOURCE_PORTS);
        assert_eq!(flow_hash(&frame(7)), flow_hash(&frame(7)));
        let mut tagged = frame(7);
        tagged.splice(12..12, [0x81, 0, 0, 1]);
        assert_eq!(flow_hash(&tagged), flow_hash(&frame(7)));
        for length in 0..60 {
            flow_hash(&frame(1)[..length.min(62)]);
        }
    }
}
