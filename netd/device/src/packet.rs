//! Packet sockets (packet(7)): `system` ports, on devices that the host has already.

use crate::control::{self, Writer};
use crate::intake::{HOST_HEADER_BYTES, Intake, insert_vlan, read_header, write_header};
use crate::mmsg::{self, BATCH, HEADROOM_BYTES, Outgoing, with_receiver};
use crate::{Counters, Device, Link, Received, Sent, Status, sys};
use hive_flow::Key;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Not in crate libc: do not show what leaves by the device.
const PACKET_IGNORE_OUTGOING: i32 = 23;
/// Frames that wait for us: as much as a device's queue of 1000 with large segments may bring at once.
const RECEIVE_BUFFER_BYTES: i32 = 4 << 20;
/// A batch goes out when it has that much: a thousand devices may each hold one.
const BATCH_BYTES: usize = 128 << 10;

/// A packet socket on a device.
#[derive(Debug)]
pub struct PacketDevice {
    socket: OwnedFd,
    link: Arc<Link>,
    intake: Intake,
    batch: Vec<u8>,
    frames: Vec<Range<usize>>,
    /// It went down, and may be on its way out: the kernel says so of a device that goes before that is gone, and only once.
    is_down: bool,
    gone: bool,
}

impl PacketDevice {
    /// Attaches to a device of the thread's network namespace, which becomes promiscuous as long as this lives.
    ///
    /// # Errors
    /// There is no such device (ENODEV), or the process lacks CAP_NET_RAW.
    pub fn attach(name: &str) -> io::Result<Self> {
        let link = Arc::new(Link::open(name)?);
        let socket = sys::socket(libc::AF_PACKET, libc::SOCK_RAW)?;
        let option = |name, value: i32| sys::set_option(&socket, libc::SOL_PACKET, name, &value);
        option(libc::PACKET_VNET_HDR, 1)?;
        option(libc::PACKET_AUXDATA, 1)?;
        option(PACKET_IGNORE_OUTGOING, 1)?;
        option(libc::PACKET_QDISC_BYPASS, 1)?;
        sys::promiscuous(&socket, link.ifindex())?;
        // Without the right to more than the system's limit, the limit holds.
        let forced = sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER_BYTES);
        forced.or_else(|_| sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &RECEIVE_BUFFER_BYTES))?;
        // Last, so that nothing came in before.
        sys::bind_packet(&socket, link.ifindex())?;
        Ok(Self {
            socket,
            link,
            intake: Intake::default(),
            batch: Vec::new(),
            frames: Vec::new(),
            is_down: false,
            gone: false,
        })
    }

    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn receive_batch(&mut self, budget: &mut usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<()> {
        with_receiver(|receiver| {
            let count = receiver.receive(self.socket.as_fd(), *budget, HOST_HEADER_BYTES)?;
            for index in 0..count {
                let message = receiver.message(index, HOST_HEADER_BYTES);
                let head = message.slot.get(HEADROOM_BYTES - HOST_HEADER_BYTES..).and_then(|rest| rest.first_chunk());
                let Some(mut header) = head.filter(|_| !message.cut).map(read_header) else {
                    self.intake.refuse(budget);
                    continue;
                };
                let mut at = HEADROOM_BYTES;
                if let Some(tag) = control::Received::parse(message.control).vlan {
                    at = insert_vlan(message.slot, at, tag, &mut header);
                }
                self.intake.offer(header, &mut message.slot[at..], &Key::ZERO, budget, take);
            }
            Ok(())
        })
    }
}

impl Device for PacketDevice {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        let mut budget = frames_max;
        if self.is_down && !self.gone && !self.link.is_there() {
            self.gone = true;
            return Err(io::Error::from_raw_os_error(libc::ENETDOWN));
        }
        self.intake.give(&mut budget, take);
        while budget > 0 {
            match self.receive_batch(&mut budget, take) {
                Ok(()) => self.is_down = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A frame that the header has no name for, as large ones of SCTP: it is lost, the next may be as good as any.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.intake.refuse(&mut budget),
                // Said once when the device goes down, and when it goes away.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) && self.link.is_there() => {
                    self.is_down = true;
                }
                Err(error) => {
                    self.gone = !self.link.is_there();
                    return Err(error);
                }
            }
        }
        Ok(frames_max - budget)
    }

    fn send(&mut self, frame: Sent<'_>) -> bool {
        if self.gone {
            self.intake.counters.tx_dropped += 1;
            return false;
        }
        let begin = self.batch.len();
        self.batch.extend_from_slice(&write_header(frame.header));
        frame.pieces.iter().for_each(|piece| self.batch.extend_from_slice(piece));
        self.frames.push(begin..self.batch.len());
        if self.frames.len() == BATCH || self.batch.len() > BATCH_BYTES {
            self.flush();
        }
        true
    }

    fn flush(&mut self) {
        if self.frames.is_empty() {
            return;
        }
        let counters = &mut self.intake.counters;
        let messages: Vec<_> = self
            .frames
            .iter()
            .map(|frame| Outgoing { bytes: &self.batch[frame.clone()], to: None, control: &Writer::EMPTY })
            .collect();
        let frames = messages.len() as u64;
        counters.tx_packets += frames;
        counters.tx_bytes += (self.batch.len() - messages.len() * HOST_HEADER_BYTES) as u64;
        mmsg::send(self.socket.as_fd(), &messages, |index, _| {
            counters.tx_packets -= 1;
            counters.tx_bytes -=
                messages.get(index).map_or(0, |message| message.bytes.len() - HOST_HEADER_BYTES) as u64;
            counters.tx_dropped += 1;
        });
        self.batch.clear();
        self.frames.clear();
    }

    fn counters(&self) -> Counters {
        self.intake.counters
    }

    fn status(&self) -> Status {
        if self.gone {
            return Status { counters: self.intake.counters, ..Status::default() };
        }
        self.link.status(self.intake.counters)
    }
}
