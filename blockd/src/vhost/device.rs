//! The running device: takes requests from the rings, gives them to the engine, answers them.

use super::config_space::{self, CONFIG_SPACE_BYTES, F_CONFIG_WCE, F_EVENT_IDX, F_FLUSH, F_INDIRECT_DESC};
use super::inflight::Inflight;
use super::queue::{Queue, Running, Slot};
use super::request::{self, Limits, Malformed, Operation, SERIAL_BYTES, Status};
use super::ring::Ring;
use crate::engine::{self, Completion, Engine, FIRST_FOREIGN_TAG, Io, Pressure};
use crate::limits::Gate;
use crate::memory::GuestMemory;
use crate::status::VolumeStatus;
use crate::uring::{Cqe, Uring};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tags of ring entries that are not the engine's: `KIND | index << 48 | number`.
const KIND_KICK: u64 = FIRST_FOREIGN_TAG;
const KIND_FOREIGN: u64 = FIRST_FOREIGN_TAG * 2;
const KIND_IGNORED: u64 = FIRST_FOREIGN_TAG * 3;
const KIND_BELL: u64 = FIRST_FOREIGN_TAG * 4;
const KIND_MASK: u64 = 0xffff << 32;

/// Tag of an entry of the thread around the device.
pub fn foreign_tag(number: u32) -> u64 {
    KIND_FOREIGN | u64::from(number)
}

fn kick_tag(queue: usize, generation: u32) -> u64 {
    KIND_KICK | (queue as u64) << 48 | u64::from(generation)
}

/// What the device is told once.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    pub name: String,
    pub queues: u16,
    pub read_only: bool,
    pub serial: String,
}

/// See the module's documentation.
#[allow(missing_debug_implementations)]
pub struct Device<E: Engine> {
    pub engine: E,
    pub uring: Uring,
    pub(super) config: DeviceConfig,
    pub(super) status: Arc<VolumeStatus>,
    pub(super) memory: GuestMemory,
    pub(super) queues: Vec<Queue>,
    pub(super) inflight: Option<Inflight>,
    /// Virtio features the driver accepted.
    pub(super) features: u64,
    pub(super) writeback: bool,
    /// A ring was malformed: nothing more is taken until the driver starts over.
    broken: bool,
    /// A queue is being stopped: what fails now stays on the inflight list, for whoever starts it next to run again.
    leaving: bool,
    /// Numbers of the owner's own entries (see [`foreign_tag`]) that have completed.
    pub events: Vec<u32>,
    done: Vec<Completion>,
    cqes: Vec<Cqe>,
    gate: Gate,
    /// Nothing is taken from the rings before this time.
    gated_until: Option<Instant>,
}

impl<E: Engine> Device<E> {
    pub fn new(engine: E, uring: Uring, config: DeviceConfig, status: Arc<VolumeStatus>) -> Self {
        let queues = std::iter::repeat_with(Queue::default).take(usize::from(config.queues)).collect();
        let mut device = Self {
            engine,
            uring,
            config,
            status,
            memory: GuestMemory::default(),
            queues,
            inflight: None,
            features: 0,
            writeback: true,
            broken: false,
            leaving: false,
            events: Vec::new(),
            done: Vec::new(),
            cqes: Vec::new(),
            gate: Gate::default(),
            gated_until: None,
        };
        device.take_limits();
        device.watch_bell();
        device
    }

    /// Go by the limits that were set last.
    pub fn take_limits(&mut self) {
        self.gate.set_limits(self.status.limits(), Instant::now());
        self.gated_until = None;
    }

    pub fn gated_until(&self) -> Option<Instant> {
        self.gated_until
    }

    /// Be told when the engine's helpers have something for it.
    fn watch_bell(&mut self) {
        if let Some(bell) = self.engine.bell() {
            self.uring.poll(bell.fd, KIND_BELL, false);
        }
    }

    pub(super) fn event_idx(&self) -> bool {
        self.features & F_EVENT_IDX != 0
    }

    /// Section 5.2.5.2: a driver that knows neither a cache mode nor flushes expects write-through.
    fn write_through(&self) -> bool {
        if self.features & F_CONFIG_WCE != 0 { !self.writeback } else { self.features & F_FLUSH == 0 }
    }

    pub(super) fn config_space(&self) -> [u8; CONFIG_SPACE_BYTES] {
        config_space::config_space(self.engine.size_bytes(), self.config.queues, self.writeback)
    }

    /// Handle all completions that are there. True if there were any.
    pub fn reap(&mut self) -> bool {
        let mut cqes = std::mem::take(&mut self.cqes);
        self.uring.reap(&mut cqes);
        let progressed = !cqes.is_empty();
        for cqe in cqes.drain(..) {
            match cqe.tag & KIND_MASK {
                0 => {
                    let mut io = Io { disk: &mut self.uring, done: &mut self.done };
                    self.engine.complete(cqe.tag, cqe.result, &mut io);
                }
                KIND_KICK => self.kicked(cqe),
                KIND_FOREIGN => self.events.push(cqe.tag as u32),
                KIND_BELL => {
                    self.watch_bell();
                    self.attend();
                }
                _ => {}
            }
        }
        self.cqes = cqes;
        progressed
    }

    /// A kick only wakes us: rings are looked at in every round. It needs care when its poll has ended.
    fn kicked(&mut self, cqe: Cqe) {
        let index = (cqe.tag >> 48) as usize;
        let Some(queue) = self.queues.get(index) else { return };
        if cqe.more || cqe.tag != kick_tag(index, queue.kick_generation) || cqe.result < 0 {
            return;
        }
        if let Some(kick) = &queue.kick {
            self.uring.poll(kick.as_raw_fd(), cqe.tag, true);
        }
    }

    /// Use `kick` for queue `index` from now on, or none.
    pub(super) fn set_kick(&mut self, index: usize, kick: Option<std::fs::File>) {
        let queue = &mut self.queues[index];
        if queue.kick.is_some() {
            self.uring.cancel(kick_tag(index, queue.kick_generation), KIND_IGNORED);
        }
        queue.kick_generation = queue.kick_generation.wrapping_add(1);
        if let Some(kick) = &kick {
            self.uring.poll(kick.as_raw_fd(), kick_tag(index, queue.kick_generation), true);
        }
        queue.kick = kick;
    }

    /// Start queue `index` if the frontend has said all that is needed.
    pub(super) fn start_queue(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        if queue.running.is_some() || !queue.enabled || queue.kick.is_none() {
            return;
        }
        let Some(ring) = Ring::new(&self.memory, queue.size, queue.addresses) else {
            return self.fault(index, Malformed::Ring);
        };
        let mut inflight = self.inflight.as_ref().and_then(|region| region.queue(index as u16, queue.size));
        let used = ring.used_index();
        let (next_available, unanswered) = match &mut inflight {
            None => (queue.base, Vec::new()),
            Some(inflight) => {
                let unanswered = inflight.recover(used);
                // Every entry taken is either answered or on the list.
                (used.wrapping_add(unanswered.len() as u16), unanswered)
            }
        };
        queue.running = Some(Running::new(ring, inflight, next_available));
        if !unanswered.is_empty() {
            tracing::info!(volume = self.config.name, queue = index, requests = unanswered.len(), "resubmitting");
            self.status.counters.resubmitted.add(unanswered.len() as u64);
        }
        for head in unanswered {
            if let Err(malformed) = self.submit(index, head) {
                return self.fault(index, malformed);
            }
        }
    }

    /// Stop queue `index` when nothing of it is in flight any more; returns where it goes on.
    pub(super) fn stop_queue(&mut self, index: usize) -> u16 {
        self.leaving = true;
        self.drain();
        self.leaving = false;
        self.set_kick(index, None);
        let queue = &mut self.queues[index];
        if let Some(running) = queue.running.take() {
            queue.base = running.next_available;
        }
        let base = queue.base;
        if self.broken && self.queues.iter().all(|queue| queue.running.is_none()) {
            // The driver starts over.
            self.broken = false;
            self.status.set_fault(None);
        }
        base
    }

    /// Forget everything the frontend has said.
    pub fn reset(&mut self) {
        for index in 0..self.queues.len() {
            self.stop_queue(index);
            let kick_generation = self.queues[index].kick_generation;
            self.queues[index] = Queue { kick_generation, ..Queue::default() };
        }
        self.broken = false;
        self.status.set_fault(None);
        self.memory = GuestMemory::default();
        self.inflight = None;
        self.features = 0;
        self.writeback = true;
    }

    /// Replace the memory table; rings that are not in it any more are broken.
    pub(super) fn set_memory(&mut self, memory: GuestMemory) {
        self.drain();
        self.memory = memory;
        for index in 0..self.queues.len() {
            let queue = &mut self.queues[index];
            let Some(running) = &mut queue.running else { continue };
            match Ring::new(&self.memory, queue.size, queue.addresses) {
                Some(ring) => running.ring = ring,
                None => {
                    queue.running = None;
                    self.fault(index, Malformed::Ring);
                }
            }
        }
    }

    /// Wait until the kernel works on none of our requests, answering what ends. Nothing new is taken. Requests held for want of
    /// room go on waiting, unless the driver leaves and would not see them end.
    fn drain(&mut self) {
        loop {
            if self.leaving {
                let mut io = Io { disk: &mut self.uring, done: &mut self.done };
                self.engine.fail_held(&mut io);
            }
            self.answer();
            if self.engine.in_flight() == 0 {
                return;
            }
            self.engine.commit(&mut Io { disk: &mut self.uring, done: &mut self.done });
            if self.done.is_empty() && !self.engine.is_gathering() {
                self.wait();
            }
            self.reap();
        }
    }

    fn wait(&mut self) {
        if let Err(error) = self.uring.wait() {
            // Neither guest memory nor the engine's may be let go while the kernel may still write to it.
            tracing::error!(volume = self.config.name, %error, "io_uring failed");
            std::process::abort();
        }
    }

    /// Take all available requests. True if there were any.
    pub fn fetch(&mut self) -> bool {
        let mut progressed = false;
        if self.gated_until.is_none_or(|until| until <= Instant::now()) {
            self.gated_until = None;
            for index in 0..self.queues.len() {
                match self.fetch_queue(index) {
                    Ok(taken) => progressed |= taken,
                    Err(malformed) => self.fault(index, malformed),
                }
            }
        }
        if progressed || self.engine.is_gathering() {
            self.engine.commit(&mut Io { disk: &mut self.uring, done: &mut self.done });
        }
        progressed
    }

    fn fetch_queue(&mut self, index: usize) -> Result<bool, Malformed> {
        if self.broken || !self.queues[index].enabled {
            return Ok(false);
        }
        let Some(running) = &mut self.queues[index].running else { return Ok(false) };
        let available = running.ring.available_index();
        let first = running.next_available;
        if available == first {
            return Ok(false);
        }
        if available.wrapping_sub(first) > running.ring.size() {
            return Err(Malformed::AvailableIndex);
        }
        running.ring.disable_kicks(self.features & F_EVENT_IDX != 0);
        let mut position = first;
        while position != available {
            let Some(running) = &mut self.queues[index].running else { break };
            let head = running.ring.available_head(position);
            match running.slots.get(usize::from(head)) {
                None => return Err(Malformed::DescriptorIndex(head)),
                Some(Some(_)) => return Err(Malformed::Reused(head)),
                Some(None) => {}
            }
            if !self.gate.is_open() {
                let now = Instant::now();
                let wait = self.gate.wait(now);
                if wait > Duration::ZERO {
                    self.status.counters.throttled.add(1);
                    self.gated_until = Some(now + wait);
                    break;
                }
            }
            let Some(running) = &mut self.queues[index].running else { break };
            if let Some(inflight) = &mut running.inflight {
                inflight.take(head);
            }
            position = position.wrapping_add(1);
            running.next_available = position;
            self.submit(index, head)?;
        }
        Ok(true)
    }

    /// Read the request at `head` and give it to the engine.
    fn submit(&mut self, index: usize, head: u16) -> Result<(), Malformed> {
        let durable = self.write_through();
        let limits = Limits {
            size_bytes: self.engine.size_bytes(),
            read_only: self.config.read_only,
            allow_indirect: self.features & F_INDIRECT_DESC != 0,
        };
        let Some(running) = &mut self.queues[index].running else { return Ok(()) };
        let mut request = request::parse(&running.ring, &self.memory, head, limits)?;
        let mut used_len = 1;
        let counters = &self.status.counters;
        let (operation, offset, len) = match request.operation {
            Operation::Read { offset } => {
                let len = request.data.len();
                // At most MAX_REQUEST_BYTES.
                used_len += len as u32;
                counters.reads.add(1);
                counters.read_bytes.add(len);
                (engine::Operation::Read, offset, len)
            }
            Operation::Write { offset } => {
                counters.writes.add(1);
                counters.write_bytes.add(request.data.len());
                (engine::Operation::Write, offset, request.data.len())
            }
            Operation::Flush => {
                counters.flushes.add(1);
                (engine::Operation::Flush, 0, 0)
            }
            Operation::Zero { offset, len, unmap } => {
                counters.discards.add(1);
                (engine::Operation::Zero { unmap }, offset, len)
            }
            Operation::GetId => {
                let mut serial = [0; SERIAL_BYTES];
                for (to, from) in serial.iter_mut().zip(self.config.serial.bytes()) {
                    *to = from;
                }
                used_len += request.data.write_at(0, &serial) as u32;
                request.set_status(Status::Ok);
                running.answered.push((head, used_len));
                return Ok(());
            }
            Operation::Refused(status) => {
                counters.errors.add(1);
                request.set_status(status);
                running.answered.push((head, used_len));
                return Ok(());
            }
        };
        if !self.gate.is_open() {
            let is_write = matches!(operation, engine::Operation::Write);
            self.gate.charge(if matches!(operation, engine::Operation::Zero { .. }) { 0 } else { len }, is_write);
        }
        let data = std::mem::take(&mut request.data);
        let Some(slot) = running.slots.get_mut(usize::from(head)) else {
            return Err(Malformed::DescriptorIndex(head));
        };
        let write_bytes = if matches!(operation, engine::Operation::Write) { len } else { 0 };
        *slot = Some(Slot { request, used_len, write_bytes });
        let token = (index as u32) << 16 | u32::from(head);
        let mut io = Io { disk: &mut self.uring, done: &mut self.done };
        self.engine.submit(engine::Request { token, operation, offset, len, data, durable }, &mut io);
        Ok(())
    }

    /// Tell the driver of everything that has ended: one publication and at most one signal a queue.
    pub fn answer(&mut self) {
        let event_idx = self.event_idx();
        for completion in self.done.drain(..) {
            let (index, head) = ((completion.token >> 16) as usize, completion.token as u16);
            let Some(running) = self.queues.get_mut(index).and_then(|q| q.running.as_mut()) else { continue };
            let Some(slot) = running.slots.get_mut(usize::from(head)).and_then(Option::take) else { continue };
            if !completion.ok {
                if self.leaving && running.inflight.is_some() {
                    continue;
                }
                self.status.counters.errors.add(1);
            }
            slot.request.set_status(if completion.ok { Status::Ok } else { Status::IoError });
            running.answered.push((head, if completion.ok { slot.used_len } else { 1 }));
        }
        for queue in &mut self.queues {
            if let Some(running) = &mut queue.running
                && !running.answered.is_empty()
                && running.publish(event_idx)
            {
                queue.signal();
            }
        }
        if self.status.fault_is_clear()
            && let Some(reason) = self.engine.poisoned()
        {
            self.status.set_fault(Some(reason.to_owned()));
        }
    }

    /// Try again what was held for want of room.
    pub fn retry_held(&mut self) {
        self.engine.retry_held(&mut Io { disk: &mut self.uring, done: &mut self.done });
    }

    /// Before sleeping: ask for kicks. True if a request came in between.
    pub fn enable_kicks(&mut self) -> bool {
        if self.gated_until.is_some() {
            return false;
        }
        let event_idx = self.event_idx();
        let mut missed = false;
        for queue in &self.queues {
            if let Some(running) = &queue.running
                && queue.enabled
                && !self.broken
            {
                missed |= running.ring.enable_kicks(running.next_available, event_idx);
            }
        }
        missed
    }

    /// Whether a round would find something to do; costs no system call.
    pub fn is_ready(&mut self) -> bool {
        let broken = self.broken || self.gated_until.is_some();
        self.engine.is_gathering()
            || self.uring.is_ready()
            || self.queues.iter().any(|queue| {
                queue.enabled
                    && !broken
                    && queue.running.as_ref().is_some_and(|r| r.ring.available_index() != r.next_available)
            })
    }

    /// Stop the device: the guest has broken the rules of the ring. The daemon and other volumes go on.
    fn fault(&mut self, index: usize, malformed: Malformed) {
        let reason = format!("queue {index}: {malformed}");
        tracing::error!(volume = self.config.name, reason, "malformed ring, device stopped");
        self.broken = true;
        self.status.set_fault(Some(reason));
        self.queues[index].signal_error();
    }

    /// Take what the engine's helpers have for it.
    pub fn attend(&mut self) {
        self.engine.attend(&mut Io { disk: &mut self.uring, done: &mut self.done });
        self.report();
    }

    /// What is due by the clock.
    pub fn tick(&mut self) {
        self.engine.tick(&mut Io { disk: &mut self.uring, done: &mut self.done });
        self.report();
    }

    /// Tell others how the engine is, and go by what it asks for.
    fn report(&mut self) {
        let pace = match self.engine.pressure() {
            Pressure::None => None,
            Pressure::BytesPerSecond(rate) => Some(rate),
        };
        self.gate.set_pace(pace, Instant::now());
        let slots = self.queues.iter().filter_map(|queue| queue.running.as_ref()).flat_map(|running| &running.slots);
        // Some of these the engine counts already.
        let in_flight = slots.flatten().map(|slot| slot.write_bytes).sum();
        self.status.set_log(self.engine.metrics(), in_flight);
    }

    /// End: everything answered, everything durable.
    pub fn close(&mut self) -> io::Result<()> {
        self.reset();
        while !self.engine.wind_down(&mut Io { disk: &mut self.uring, done: &mut self.done }) {
            self.wait();
            self.reap();
        }
        self.engine.close()
    }
}
