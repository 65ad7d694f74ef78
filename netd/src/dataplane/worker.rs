//! A worker: bursts from rings and devices through its engine, run to completion.

use super::Execution;
use super::output::{GuestTail, Outlet, Scratch};
use super::port::{PortMap, PortShared};
use crate::mailbox::{Mailbox, lock};
use crate::port::log::RingLog;
use crate::port::memory::GuestSlice;
use crate::port::queue::{Chain, TxQueue};
use crate::sys::{Epoll, Events};
use arc_swap::ArcSwap;
use hive_datapath::{Counter, Engine, Left, Packet, SWEPT_AT_LEISURE, SWEPT_BETWEEN_BURSTS};
use hive_flow::Key;
use hive_packet::VnetHeader;
use hive_program::{Op, Pipeline, PortId};
use std::collections::HashSet;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

const TOKEN_MAILBOX: u64 = u64::MAX;
/// Of tokens: a device, not a queue.
const TOKEN_DEVICE: u64 = 1 << 62;
/// Of tokens: a guest has more buffers to receive in.
const TOKEN_BUFFERS: u64 = 1 << 61;
/// Rounds of busy polling between two looks at what epoll reports: commands and kicks then wait some tens of microseconds at most.
const ROUNDS_PER_WAIT: u32 = 64;
/// How often an idle worker with flows looks after them.
const MAINTAIN_MS: u32 = 100;
/// Most chains of one burst.
const CHAINS_MAX: u16 = 256;

/// Between two bursts.
pub(super) enum Command {
    StartQueue {
        port: Arc<PortShared>,
        pair: usize,
        queue: TxQueue,
    },
    /// Answers with the ring's place, or None when the worker does not have it.
    StopQueue {
        port: PortId,
        pair: usize,
        reply: SyncSender<Option<u16>>,
    },
    /// Delivers what waits for a guest's buffers when it kicks for new ones.
    WatchBuffers {
        port: Arc<PortShared>,
        pair: usize,
        kick: Arc<File>,
    },
    UnwatchBuffers {
        port: PortId,
        pair: usize,
    },
    /// What a ring writes is told to another log from here on.
    SetLog {
        port: PortId,
        pair: usize,
        log: Option<Box<RingLog>>,
        reply: SyncSender<()>,
    },
    StartDevice {
        port: Arc<PortShared>,
    },
    /// The ports are gone: nothing is known of them from here on.
    StopPorts {
        ports: Arc<[PortId]>,
        reply: SyncSender<()>,
    },
    Execute {
        frame: Vec<u8>,
        template: Box<Key>,
        ops: Arc<[Op]>,
        execution: Execution,
    },
    DumpFlows {
        reply: SyncSender<Vec<String>>,
    },
    FlushFlows {
        reply: SyncSender<()>,
    },
    Held {
        reply: SyncSender<(usize, usize, usize)>,
    },
    /// Runs on this processor from here on.
    Bind {
        cpu: usize,
    },
    Stop,
}

/// Frames of a device, copied so that no lock is held while they are treated.
#[derive(Debug, Default)]
struct Stored {
    frames: Vec<(VnetHeader, Vec<u8>, Key)>,
    count: usize,
}

struct TxSlot {
    port: Arc<PortShared>,
    pair: usize,
    queue: TxQueue,
    last_work_us: u64,
}

/// A receive queue, by which its guest says that it has more buffers.
struct BufferSlot {
    port: Arc<PortShared>,
    pair: usize,
    kick: Arc<File>,
}

struct DeviceSlot {
    port: Arc<PortShared>,
    fd: Option<RawFd>,
    ready: bool,
    /// It was said that it gives nothing.
    failed: bool,
}

pub(super) struct Worker<P: Pipeline> {
    pub engine: Engine<P>,
    pub mailbox: Arc<Mailbox<Command>>,
    pub ports: arc_swap::Cache<Arc<ArcSwap<PortMap>>, Arc<PortMap>>,
    pub epoll: Epoll,
    pub started: Instant,
    pub spin_us: u64,
    pub batch: u16,
    queues: Vec<Option<TxSlot>>,
    polled: Vec<usize>,
    buffers: Vec<Option<BufferSlot>>,
    devices: Vec<DeviceSlot>,
    stored: Stored,
    storage: Storage,
    scratch: Scratch,
    now_us: u64,
}

impl<P: Pipeline> Worker<P> {
    pub fn new(
        engine: Engine<P>,
        mailbox: Arc<Mailbox<Command>>,
        ports: Arc<ArcSwap<PortMap>>,
        started: Instant,
        (spin_us, batch): (u64, u16),
    ) -> std::io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add_edge(mailbox.as_raw_fd(), TOKEN_MAILBOX)?;
        Ok(Self {
            engine,
            mailbox,
            ports: arc_swap::Cache::new(ports),
            epoll,
            started,
            spin_us,
            batch: batch.clamp(1, CHAINS_MAX),
            queues: Vec::new(),
            polled: Vec::new(),
            buffers: Vec::new(),
            devices: Vec::new(),
            stored: Stored::default(),
            storage: Storage::default(),
            scratch: Scratch::default(),
            now_us: 0,
        })
    }

    fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    pub fn run(mut self) {
        let mut events = Events::default();
        let mut rounds = 0;
        loop {
            self.now_us = self.started.elapsed().as_micros() as u64;
            if !self.take_commands() {
                return;
            }
            let bursts = self.poll_queues() + self.poll_devices();
            let busy = !self.polled.is_empty() || self.devices.iter().any(|device| device.ready);
            let most = if busy { SWEPT_BETWEEN_BURSTS * bursts.max(1) } else { SWEPT_AT_LEISURE };
            let left = self.engine.maintain(self.now_ms(), most);
            rounds += 1;
            if busy && rounds < ROUNDS_PER_WAIT {
                continue;
            }
            rounds = 0;
            let timeout_ms = match left {
                _ if busy => Some(0),
                Left::Now => Some(0),
                Left::Later => Some(MAINTAIN_MS),
                Left::Nothing => None,
            };
            if let Err(error) = self.epoll.wait(&mut events, timeout_ms) {
                tracing::error!(%error, "worker cannot wait for events");
                return;
            }
            for token in events.tokens() {
                if token == TOKEN_MAILBOX {
                    continue;
                }
                if token & TOKEN_DEVICE != 0 {
                    let id = PortId((token & u64::from(u32::MAX)) as u32);
                    self.devices
                        .iter_mut()
                        .filter(|device| device.port.id == id)
                        .for_each(|device| device.ready = true);
                } else if token & TOKEN_BUFFERS != 0 {
                    self.deliver_waiting((token & !TOKEN_BUFFERS) as usize);
                } else {
                    self.wake(token as usize);
                }
            }
        }
    }

    /// Returns false when the worker is to stop.
    fn take_commands(&mut self) -> bool {
        for command in self.mailbox.take() {
            match command {
                Command::StartQueue { port, pair, queue } => self.start_queue(port, pair, queue),
                Command::StopQueue { port, pair, reply } => {
                    let base = self.stop_queue(port, pair);
                    // The asker may be gone with its connection.
                    let _ = reply.send(base);
                }
                Command::WatchBuffers { port, pair, kick } => self.watch_buffers(BufferSlot { port, pair, kick }),
                Command::UnwatchBuffers { port, pair } => {
                    self.unwatch_buffers(|slot| (slot.port.id, slot.pair) == (port, pair));
                }
                Command::SetLog { port, pair, log, reply } => {
                    if let Some(slot) = self.position(port, pair).and_then(|at| self.queues[at].as_mut()) {
                        slot.queue.ring.set_log(log);
                    }
                    let _ = reply.send(());
                }
                Command::StartDevice { port } => self.start_device(port),
                Command::StopPorts { ports, reply } => {
                    self.stop_ports(&ports);
                    let _ = reply.send(());
                }
                Command::Execute { frame, template, ops, execution } => {
                    self.execute(&frame, &template, &ops);
                    drop(execution);
                }
                Command::DumpFlows { reply } => {
                    let _ = reply.send(self.engine.dump_flows(self.now_ms()));
                }
                Command::FlushFlows { reply } => {
                    self.engine.flush(self.now_ms());
                    let _ = reply.send(());
                }
                Command::Held { reply } => {
                    let _ = reply.send(self.engine.held());
                }
                Command::Bind { cpu } => {
                    if let Err(error) = crate::sys::pin_to_cpu(cpu) {
                        tracing::warn!(cpu, %error, "worker is not bound to its processor");
                    }
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn start_queue(&mut self, port: Arc<PortShared>, pair: usize, queue: TxQueue) {
        if port.broken.load(Ordering::Acquire) {
            return;
        }
        let kick = queue.kick.as_raw_fd();
        let slot = TxSlot { port, pair, queue, last_work_us: self.now_us };
        let at = place(&mut self.queues, slot);
        if let Err(error) = self.epoll.add_edge(kick, at as u64) {
            tracing::warn!(%error, pair, "cannot watch a queue's kicks");
        }
        self.wake(at);
    }

    fn position(&self, port: PortId, pair: usize) -> Option<usize> {
        let is_it = |slot: &Option<TxSlot>| slot.as_ref().is_some_and(|slot| (slot.port.id, slot.pair) == (port, pair));
        self.queues.iter().position(is_it)
    }

    fn stop_queue(&mut self, port: PortId, pair: usize) -> Option<u16> {
        let at = self.position(port, pair)?;
        self.take_queue(at).map(|slot| slot.queue.ring.base())
    }

    fn take_queue(&mut self, at: usize) -> Option<TxSlot> {
        let slot = self.queues.get_mut(at)?.take()?;
        self.epoll.remove(slot.queue.kick.as_raw_fd());
        self.polled.retain(|other| *other != at);
        Some(slot)
    }

    fn watch_buffers(&mut self, slot: BufferSlot) {
        let kick = slot.kick.as_raw_fd();
        let at = place(&mut self.buffers, slot);
        if let Err(error) = self.epoll.add_edge(kick, TOKEN_BUFFERS | at as u64) {
            tracing::warn!(%error, "cannot watch for a guest's buffers");
        }
        // What waits already may have been kicked for.
        self.deliver_waiting(at);
    }

    fn unwatch_buffers(&mut self, is_it: impl Fn(&BufferSlot) -> bool) {
        for place in &mut self.buffers {
            if let Some(slot) = place.take_if(|slot| is_it(slot)) {
                self.epoll.remove(slot.kick.as_raw_fd());
            }
        }
    }

    /// A guest has more buffers.
    fn deliver_waiting(&mut self, at: usize) {
        let Some(BufferSlot { port, pair, .. }) = self.buffers.get(at).and_then(Option::as_ref) else { return };
        let Some(mut held) = port.rx(*pair).map(lock) else { return };
        let Some(queue) = held.as_mut() else { return };
        let drained = queue.drain();
        if queue.dirty {
            queue.flush();
        }
        port.counters.tx_dropped.fetch_add(queue.take_lost(), Ordering::Relaxed);
        drop(held);
        if let Err(fault) = drained {
            port.fail(2 * pair, fault);
        }
    }

    fn start_device(&mut self, port: Arc<PortShared>) {
        let fd = port.device.as_ref().and_then(|device| lock(device).wake_fd().map(|fd| fd.as_raw_fd()));
        if let Some(fd) = fd
            && let Err(error) = self.epoll.add_edge(fd, TOKEN_DEVICE | u64::from(port.id.0))
        {
            tracing::warn!(%error, port = %port.name, "cannot watch a device");
        }
        self.devices.push(DeviceSlot { port, fd, ready: fd.is_some(), failed: false });
    }

    fn stop_ports(&mut self, ports: &[PortId]) {
        let gone: HashSet<PortId> = ports.iter().copied().collect();
        for at in 0..self.queues.len() {
            if self.queues[at].as_ref().is_some_and(|slot| gone.contains(&slot.port.id)) {
                self.take_queue(at);
            }
        }
        self.unwatch_buffers(|slot| gone.contains(&slot.port.id));
        for device in self.devices.extract_if(.., |device| gone.contains(&device.port.id)) {
            if let Some(fd) = device.fd {
                self.epoll.remove(fd);
            }
        }
        gone.iter().for_each(|port| self.engine.forget_port(*port));
        // The map that still has them is let go.
        self.ports.load();
    }

    /// A guest kicked: its queue is polled from now on.
    fn wake(&mut self, at: usize) {
        if self.polled.contains(&at) {
            return;
        }
        if let Some(slot) = self.queues.get_mut(at).and_then(Option::as_mut) {
            slot.queue.ring.disarm();
            slot.last_work_us = self.now_us;
            self.polled.push(at);
        }
    }

    /// Returns how many queues had something.
    fn poll_queues(&mut self) -> usize {
        let (mut next, mut bursts) = (0, 0);
        while let Some(at) = self.polled.get(next).copied() {
            let worked = self.forward_burst(at);
            bursts += usize::from(worked);
            let now_us = self.now_us;
            let Some(slot) = self.queues.get_mut(at).and_then(Option::as_mut) else {
                // It broke, and is out of the list.
                continue;
            };
            if worked {
                slot.last_work_us = now_us;
                next += 1;
            } else if now_us.saturating_sub(slot.last_work_us) < self.spin_us || !rest(&mut slot.queue) {
                next += 1;
            } else {
                self.polled.swap_remove(next);
            }
        }
        bursts
    }

    /// Takes a burst from a guest's queue through the engine. Returns whether there was anything.
    fn forward_burst(&mut self, at: usize) -> bool {
        let now_us = self.now_us;
        let Some(slot) = self.queues.get_mut(at).and_then(Option::as_mut) else { return false };
        if slot.port.broken.load(Ordering::Relaxed) {
            self.take_queue(at);
            return true;
        }
        let count = match slot.queue.ring.available() {
            Ok(0) => {
                self.engine.counters().add(Counter::EmptyPolls, 1);
                return false;
            }
            Ok(count) => count.min(self.batch),
            Err(fault) => return self.fail(at, fault),
        };
        let memory = Arc::clone(slot.queue.ring.memory());
        let offloads = slot.queue.offloads;
        let mut buffers: Vec<GuestSlice<'_>> = recycle(std::mem::take(&mut self.storage.buffers));
        let mut chains = std::mem::take(&mut self.storage.chains);
        chains.clear();
        slot.queue.prefetch_burst(count);
        slot.queue.prefetch_frames(count);
        for _ in 0..count {
            let from = buffers.len();
            match slot.queue.ring.take(&memory, &mut buffers) {
                Ok(head) => chains.push((head, buffers.len() - from)),
                Err(fault) => return self.fail(at, fault),
            }
        }
        slot.queue.ring.prefetch_used(count);
        // The burst behind it, while this one is treated.
        slot.queue.prefetch_burst(count);
        let port = Arc::clone(&slot.port);
        let (up, policed) = (port.up.load(Ordering::Relaxed), port.is_policed());
        let (mut bytes, mut dropped, mut errors) = (0, 0, 0);
        let mut packets: Vec<Packet<'_, GuestTail<'_, '_>>> = recycle(std::mem::take(&mut self.storage.packets));
        let mut left = buffers.as_mut_slice();
        for (_, length) in &chains {
            let (chain, rest) = left.split_at_mut(*length);
            left = rest;
            let Some(chain) = Chain::read(chain, offloads).filter(|chain| !offloads || offload_is_sound(chain)) else {
                errors += 1;
                continue;
            };
            if !up || policed && !port.admits(chain.frame_bytes, now_us) {
                dropped += 1;
                continue;
            }
            bytes += chain.frame_bytes as u64;
            packets.push(Packet {
                line: chain.head,
                vnet: chain.header,
                frame_bytes: chain.frame_bytes,
                tail: GuestTail(chain.rest),
                metadata: None,
            });
        }
        let ports = self.ports.load();
        let mut outlet = Outlet::new(ports, &mut self.scratch);
        self.engine.process(port.id, &mut packets, &mut outlet, now_us / 1000);
        outlet.finish();
        let counters = &port.counters;
        counters.rx_packets.fetch_add(packets.len() as u64, Ordering::Relaxed);
        counters.rx_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.storage.packets = recycle(packets);
        self.storage.buffers = recycle(buffers);
        if dropped + errors > 0 {
            counters.rx_dropped.fetch_add(dropped, Ordering::Relaxed);
            counters.rx_errors.fetch_add(errors, Ordering::Relaxed);
        }
        if let Some(slot) = self.queues.get_mut(at).and_then(Option::as_mut) {
            slot.queue.complete(chains.iter().map(|(head, _)| *head));
            slot.queue.prefetch_frames(count);
        }
        self.storage.chains = chains;
        true
    }

    fn fail(&mut self, at: usize, fault: crate::port::ring::RingFault) -> bool {
        if let Some(slot) = self.take_queue(at) {
            slot.port.fail(2 * slot.pair + 1, fault);
        }
        true
    }

    /// Returns how many devices were asked for frames.
    fn poll_devices(&mut self) -> usize {
        let mut bursts = 0;
        for at in 0..self.devices.len() {
            let device = &mut self.devices[at];
            if !device.ready {
                continue;
            }
            let port = Arc::clone(&device.port);
            let Some(shared) = &port.device else { continue };
            bursts += 1;
            self.stored.count = 0;
            let stored = &mut self.stored;
            let received = lock(shared).receive(usize::from(self.batch), &mut |frame| stored.push(&frame));
            match received {
                Ok(count) => {
                    device.ready = count >= usize::from(self.batch);
                    // One that is gone has nothing, and that is no error.
                    if count > 0 && std::mem::take(&mut device.failed) {
                        port.set_fault(None);
                    }
                }
                // It is tried again when there is news of it; what it says then is not news.
                Err(error) => {
                    device.ready = false;
                    if !std::mem::replace(&mut device.failed, true) {
                        tracing::warn!(%error, port = %port.name, "device stopped");
                        port.set_fault(Some(error.to_string()));
                    }
                }
            }
            if port.up.load(Ordering::Relaxed) {
                self.forward_stored(&port);
            }
        }
        bursts
    }

    fn forward_stored(&mut self, port: &PortShared) {
        let now_us = self.now_us;
        let (mut bytes, mut dropped) = (0, 0);
        let mut packets: Vec<Packet<'_, &[u8]>> = recycle(std::mem::take(&mut self.storage.plain));
        for (vnet, frame, metadata) in self.stored.frames.iter().take(self.stored.count) {
            if port.is_policed() && !port.admits(frame.len(), now_us) {
                dropped += 1;
                continue;
            }
            bytes += frame.len() as u64;
            let mut packet = Packet::of_frame(frame, *vnet);
            packet.metadata = (*metadata != Key::ZERO).then_some(metadata);
            packets.push(packet);
        }
        let mut outlet = Outlet::new(self.ports.load(), &mut self.scratch);
        self.engine.process(port.id, &mut packets, &mut outlet, now_us / 1000);
        outlet.finish();
        port.counters.rx_packets.fetch_add(packets.len() as u64, Ordering::Relaxed);
        port.counters.rx_bytes.fetch_add(bytes, Ordering::Relaxed);
        port.counters.rx_dropped.fetch_add(dropped, Ordering::Relaxed);
        self.storage.plain = recycle(packets);
    }

    fn execute(&mut self, frame: &[u8], template: &Key, ops: &[Op]) {
        let packet = Packet::of_frame(frame, VnetHeader::default());
        let now_ms = self.now_ms();
        let mut outlet = Outlet::new(self.ports.load(), &mut self.scratch);
        self.engine.execute(&packet, template, ops, &mut outlet, now_ms);
        outlet.finish();
    }
}

/// Memory for one burst, used again by the next.
#[derive(Default)]
struct Storage {
    buffers: Vec<GuestSlice<'static>>,
    chains: Vec<(u16, usize)>,
    packets: Vec<Packet<'static, GuestTail<'static, 'static>>>,
    /// Of devices.
    plain: Vec<Packet<'static, &'static [u8]>>,
}

/// An empty list in the memory of another one, whose elements differ in nothing but how long they live.
fn recycle<A, B>(mut list: Vec<A>) -> Vec<B> {
    const { assert!(size_of::<A>() == size_of::<B>() && align_of::<A>() == align_of::<B>()) };
    list.clear();
    list.into_iter().map(|_| unreachable!("it was cleared")).collect()
}

/// Puts it in the first empty place, and says where that is.
fn place<T>(places: &mut Vec<Option<T>>, slot: T) -> usize {
    let at = places.iter().position(Option::is_none).unwrap_or(places.len());
    if at == places.len() {
        places.push(None);
    }
    places[at] = Some(slot);
    at
}

/// Asks the guest for a kick; false when frames came meanwhile.
fn rest(queue: &mut TxQueue) -> bool {
    queue.ring.arm();
    // An error shows again, and is handled, when the queue is polled.
    let empty = queue.ring.available() == Ok(0);
    if !empty {
        queue.ring.disarm();
    }
    empty
}

/// What a receiver relies on.
#[inline]
fn offload_is_sound(chain: &Chain<'_, '_>) -> bool {
    chain.header.check(&chain.head[..chain.frame_bytes.min(chain.head.len())], chain.frame_bytes).is_ok()
}

impl Stored {
    fn push(&mut self, received: &hive_device::Received<'_>) {
        if self.frames.len() == self.count {
            self.frames.push((VnetHeader::default(), Vec::new(), Key::ZERO));
        }
        if let Some((header, frame, metadata)) = self.frames.get_mut(self.count) {
            *header = received.header;
            frame.clear();
            frame.extend_from_slice(received.frame);
            *metadata = *received.metadata;
            self.count += 1;
        }
    }
}
