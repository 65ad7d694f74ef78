//! The local services as a device of a switch: frames come with the number of the guest's interface as tunnel id, and answers go with it.

use super::interface::{Client, Directory};
use super::traffic::DropReason;
use super::{ServicesHandle, too_long};
use crate::mailbox::lock;
use hive_device::{Counters, Device, Received, Sent, Status};
use hive_flow::{Field, Key};
use hive_packet::VnetHeader;
use hive_packet::offload::complete_checksum;
use hive_packet::segment::Segmenter;
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Bytes of answers that may wait for the switch, so that one which stands still costs no more. A second of a busy node's metadata.
const ANSWER_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    dropped: u64,
    /// Nobody takes them any more.
    closed: bool,
}

/// Answers on their way into the switch.
#[derive(Debug)]
pub struct Answers {
    waiting: Mutex<Waiting>,
    wake: OwnedFd,
}

impl Answers {
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { waiting: Mutex::default(), wake })
    }

    /// Queues a frame for the interface of this number; false when there is no room.
    pub fn send(&self, number: u64, frame: Vec<u8>) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.closed || waiting.bytes + frame.len() > ANSWER_BYTES_MAX {
            waiting.dropped += 1;
            return false;
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back((number, frame));
        drop(waiting);
        // Non-blocking; a counter that is full has already woken the reader.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        true
    }

    /// The port is no more.
    pub fn close(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.closed = true;
        waiting.bytes = 0;
        waiting.frames.clear();
    }

    pub fn is_closed(&self) -> bool {
        lock(&self.waiting).closed
    }

    /// All that wait, each with its interface's number.
    pub fn take(&self) -> VecDeque<(u64, Vec<u8>)> {
        // Before the queue is looked at: what comes later wakes again.
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        let mut waiting = lock(&self.waiting);
        waiting.bytes = 0;
        std::mem::take(&mut waiting.frames)
    }
}

/// One services port.
#[derive(Debug)]
pub struct ServicesDevice {
    directory: Arc<Directory>,
    services: ServicesHandle,
    answers: Arc<Answers>,
    /// Taken from the queue, not yet by the switch.
    ready: VecDeque<(u64, Vec<u8>)>,
    counters: Counters,
    limit: too_long::Limit,
}

impl ServicesDevice {
    pub(super) fn new(directory: Arc<Directory>, services: ServicesHandle) -> io::Result<Self> {
        let answers = Arc::new(Answers::new()?);
        services.begin(answers.clone());
        let (ready, counters, limit) = Default::default();
        Ok(Self { directory, services, answers, ready, counters, limit })
    }

    /// Nothing of a frame is copied before it is known that somebody takes it.
    fn pass_on(&mut self, frame: &Sent<'_>, length: usize) -> bool {
        let (number, too_long_for) = too_long::split(frame.tunnel.map_or(0, |tunnel| tunnel.id));
        if let Some(mtu) = too_long_for {
            return self.say_too_long(frame, number, mtu);
        }
        // 0 is nobody's number.
        let Some(interface) = self.directory.get(number) else {
            self.directory.total.dropped(DropReason::UnknownNumber);
            return false;
        };
        let client = Client { interface, answers: self.answers.clone() };
        if frame.header.is_gso() {
            return self.pass_on_segments(&client, frame);
        }
        if !client.interface.enter(length) {
            return false;
        }
        let mut whole = frame.pieces.concat();
        if frame.header.needs_checksum() && !complete_checksum(&mut whole, &frame.header) {
            client.interface.leave();
            client.interface.dropped(DropReason::BadOffload);
            return false;
        }
        self.services.frame(client, whole);
        true
    }

    /// Said at once; whose number it is need not be known here, unless nobody says who answers in IPv6.
    fn say_too_long(&mut self, frame: &Sent<'_>, number: u64, mtu: u16) -> bool {
        let router = || {
            let segment = self.directory.get(number)?.port().segment.clone();
            segment.spec.ipv6.is_some().then(|| segment.router_v6())
        };
        let said = self.limit.allows(number, Instant::now()).then(|| too_long::answer(frame, mtu, router)).flatten();
        let refused = match said {
            Some(answer) => (!self.answers.send(number, answer)).then_some(DropReason::AnswersFull),
            None => Some(DropReason::TooLong),
        };
        refused.inspect(|reason| self.directory.total.dropped(*reason)).is_none()
    }

    fn pass_on_segments(&self, client: &Client, frame: &Sent<'_>) -> bool {
        let whole = frame.pieces.concat();
        let Some(segmenter) = Segmenter::new(&frame.header, &whole) else {
            client.interface.dropped(DropReason::BadOffload);
            return false;
        };
        (0..segmenter.count()).all(|index| {
            let mut segment = Vec::new();
            segmenter.write(index, &mut segment);
            let enters = client.interface.enter(segment.len());
            if enters {
                self.services.frame(client.clone(), segment);
            }
            enters
        })
    }
}

impl Drop for ServicesDevice {
    fn drop(&mut self) {
        self.answers.close();
    }
}

impl Device for ServicesDevice {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.answers.wake.as_fd())
    }

    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        if self.ready.is_empty() {
            self.ready = self.answers.take();
        }
        let count = frames_max.min(self.ready.len());
        for (number, mut frame) in self.ready.drain(..count) {
            self.counters.rx_packets += 1;
            self.counters.rx_bytes += frame.len() as u64;
            let mut metadata = Key::ZERO;
            metadata.set(Field::TunId, number.into());
            take(Received { header: VnetHeader::default(), frame: &mut frame, metadata: &metadata });
        }
        // As long as some are left the reader must come again although nothing rings.
        if !self.ready.is_empty() {
            let _ = rustix::io::write(&self.answers.wake, &1u64.to_ne_bytes());
        }
        Ok(count)
    }

    fn send(&mut self, frame: Sent<'_>) -> bool {
        let length = frame.pieces.iter().map(|piece| piece.len()).sum();
        let taken = self.pass_on(&frame, length);
        if taken {
            self.counters.tx_packets += 1;
            self.counters.tx_bytes += length as u64;
        } else {
            self.counters.tx_dropped += 1;
        }
        taken
    }

    fn flush(&mut self) {}

    fn status(&self) -> Status {
        let counters = Counters { rx_dropped: lock(&self.answers.waiting).dropped, ..self.counters };
        Status { up: true, link: true, counters, ..Status::default() }
    }
}
