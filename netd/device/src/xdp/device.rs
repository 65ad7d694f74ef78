//! A device of the host behind AF_XDP sockets.

use super::bpf::{Attached, Program, SocketMap};
use super::memory::Chunk;
use super::socket::{FRAME_BYTES_MAX, Place, Socket};
use super::{QUEUES_MAX, Refusal, Step, XdpError, XdpMode, XdpOptions, XdpUse};
use crate::intake::Intake;
use crate::{Counters, Device, Link, Received, Sent, Status, sys};
use hive_flow::Key;
use hive_packet::offload::complete_checksum;
use hive_packet::segment::Segmenter;
use hive_packet::{ETHERNET_HEADER_BYTES, VnetHeader};
use rustix::event::epoll;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Frames of one system call: what the kernel sends by one where it copies (TX_BATCH_SIZE, TX_MAX_BATCH).
const BATCH: u32 = 32;

/// A device of the host, whose frames come to us instead of to the host.
#[derive(Debug)]
pub struct XdpDevice {
    // What is first goes first: the program, before the sockets that it hands frames to.
    _attached: Attached,
    /// Of as many receive queues; the first one sends. One worker fills no more than one queue of a device, and one keeps frames in order.
    sockets: Vec<Socket>,
    /// Readable when one of them is.
    ready: OwnedFd,
    /// As long as it is there the device takes frames for others.
    _promiscuous: OwnedFd,
    link: Arc<Link>,
    in_use: XdpUse,
    intake: Intake,
    /// Whose turn it is to be asked first.
    turn: usize,
    /// Put into the ring, and not said to the kernel.
    unsaid: u32,
    whole: Vec<u8>,
    segment: Vec<u8>,
    /// It was down when something was last sent.
    is_down: bool,
    gone: bool,
}

impl XdpDevice {
    /// Takes a device of the thread's network namespace over, in the best of the modes that are asked for.
    ///
    /// # Errors
    /// There is no such device, or the kernel, its driver or a limit refuse.
    pub fn attach(name: &str, options: &XdpOptions) -> Result<Self, XdpError> {
        let link = Arc::new(Link::open(name).map_err(XdpError::Device)?);
        // A driver that does not say has one.
        let present = link.rx_queues().unwrap_or(1).max(1);
        let queues = options.queues.unwrap_or(present);
        if queues == 0 || queues > present.min(QUEUES_MAX) {
            return Err(XdpError::Queues { asked: queues, present });
        }
        let mut refusals = Vec::new();
        for mode in XdpMode::ALL.into_iter().filter(|mode| options.mode.is_none_or(|wanted| wanted == *mode)) {
            match Self::open(&link, mode, queues, options.need_wakeup) {
                Ok(device) => return Ok(device),
                Err(refusal) => {
                    let is_taken = refusal.is_taken();
                    refusals.push((mode, refusal));
                    if is_taken {
                        break;
                    }
                }
            }
        }
        Err(XdpError::Refused(refusals))
    }

    fn open(link: &Arc<Link>, mode: XdpMode, queues: u32, need_wakeup: bool) -> Result<Self, Refusal> {
        fn refused(step: Step) -> impl Fn(io::Error) -> Refusal {
            move |source| Refusal { step, source }
        }
        let wakeup = if need_wakeup { libc::XDP_USE_NEED_WAKEUP } else { 0 };
        let (ifindex, flags) = (link.ifindex(), mode.bind_flags() | wakeup);
        // Bound to no protocol it receives nothing.
        let promiscuous = sys::socket(libc::AF_PACKET, libc::SOCK_RAW).map_err(refused(Step::Promiscuous))?;
        sys::promiscuous(&promiscuous, ifindex).map_err(refused(Step::Promiscuous))?;
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from).map_err(refused(Step::Wake))?;
        let map = SocketMap::new(queues).map_err(refused(Step::Map))?;
        let mut sockets = Vec::new();
        for queue in 0..queues {
            let socket = Socket::open(Place { ifindex, queue, flags, sends: queue == 0 })?;
            epoll::add(&ready, socket.fd(), epoll::EventData::new_u64(queue.into()), epoll::EventFlags::IN)
                .map_err(io::Error::from)
                .map_err(refused(Step::Wake))?;
            map.set(queue, socket.fd()).map_err(refused(Step::Map))?;
            sockets.push(socket);
        }
        let program = Program::load(&map).map_err(refused(Step::Program))?;
        let attached = program.attach(ifindex, mode.attach_flags()).map_err(refused(Step::Attach))?;
        let zero_copy = sockets.first().is_some_and(Socket::is_zero_copy);
        Ok(Self {
            _attached: attached,
            sockets,
            ready,
            _promiscuous: promiscuous,
            link: link.clone(),
            in_use: XdpUse { mode, zero_copy, need_wakeup, queues },
            intake: Intake::default(),
            turn: 0,
            unsaid: 0,
            whole: Vec::new(),
            segment: Vec::new(),
            is_down: false,
            gone: false,
        })
    }

    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// What became of the options.
    pub fn in_use(&self) -> XdpUse {
        self.in_use
    }

    fn reserve(&mut self) -> Option<Chunk> {
        let reserved = self.sockets.first_mut()?.reserve();
        if reserved.is_some() {
            return reserved;
        }
        // All are in the ring, or with the device.
        self.kick();
        self.sockets.first_mut()?.reserve()
    }

    /// Puts a frame into the ring; false: it is dropped.
    fn put(&mut self, pieces: &[&[u8]], header: &VnetHeader) -> bool {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let fits = (ETHERNET_HEADER_BYTES..=FRAME_BYTES_MAX).contains(&length);
        let sent = fits && self.put_fitting(pieces, length, header);
        let counters = &mut self.intake.counters;
        if sent {
            counters.tx_packets += 1;
            counters.tx_bytes += length as u64;
        } else {
            counters.tx_dropped += 1;
        }
        if self.unsaid >= BATCH {
            self.kick();
        }
        sent
    }

    fn put_fitting(&mut self, pieces: &[&[u8]], length: usize, header: &VnetHeader) -> bool {
        let Some(chunk) = self.reserve() else { return false };
        let Some(socket) = self.sockets.first_mut() else { return false };
        let mut rest = socket.bytes(&chunk);
        for piece in pieces {
            let (place, behind) = rest.split_at_mut(piece.len());
            place.copy_from_slice(piece);
            rest = behind;
        }
        let frame = socket.bytes(&chunk);
        if header.needs_checksum() && !complete_checksum(&mut frame[..length], header) {
            socket.give_up(chunk);
            return false;
        }
        socket.send(chunk, length);
        self.unsaid += 1;
        true
    }

    fn put_segments(&mut self, frame: &Sent<'_>) -> bool {
        let (mut whole, mut segment) = (std::mem::take(&mut self.whole), std::mem::take(&mut self.segment));
        whole.clear();
        frame.pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        let mut sent = false;
        match Segmenter::new(&frame.header, &whole) {
            Some(segmenter) => {
                for index in 0..segmenter.count() {
                    segmenter.write(index, &mut segment);
                    sent |= self.put(&[&segment], &VnetHeader::default());
                }
            }
            None => self.intake.counters.tx_dropped += 1,
        }
        (self.whole, self.segment) = (whole, segment);
        sent
    }

    fn kick(&mut self) {
        self.unsaid = 0;
        let Some(socket) = self.sockets.first_mut() else { return };
        let kicked = socket.kick();
        self.intake.counters.tx_dropped += kicked.dropped;
        self.is_down = kicked.is_down;
    }
}

impl Device for XdpDevice {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ready.as_fd())
    }

    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        let (mut budget, intake) = (frames_max, &mut self.intake);
        let (before, first) = self.sockets.split_at_mut(self.turn);
        for socket in first.iter_mut().chain(before) {
            // Frames are given as they come: none waits, and none is more than one.
            socket.receive(budget, |frame| match frame {
                Some(frame) => intake.offer(VnetHeader::default(), frame, &Key::ZERO, &mut budget, take),
                None => intake.refuse(&mut budget),
            });
        }
        self.turn = (self.turn + 1) % self.sockets.len().max(1);
        if budget == frames_max && !self.gone && self.sockets.iter().any(|socket| socket.take_error().is_some()) {
            // Its sockets are unbound; another device may have its name.
            self.gone = true;
            return Err(io::Error::from_raw_os_error(libc::ENETDOWN));
        }
        Ok(frames_max - budget)
    }

    fn send(&mut self, frame: Sent<'_>) -> bool {
        if self.is_down {
            // What was left in the ring tells whether it still is.
            self.kick();
        }
        if self.gone || self.is_down {
            self.intake.counters.tx_dropped += 1;
            return false;
        }
        if frame.header.is_gso() { self.put_segments(&frame) } else { self.put(frame.pieces, &frame.header) }
    }

    fn flush(&mut self) {
        if self.unsaid > 0 {
            self.kick();
        }
    }

    fn counters(&self) -> Counters {
        let mut counters = self.intake.counters;
        counters.rx_dropped += self.sockets.iter().map(Socket::dropped).sum::<u64>();
        counters
    }

    fn status(&self) -> Status {
        let counters = self.counters();
        if self.gone { Status { counters, ..Status::default() } } else { self.link.status(counters) }
    }
}
