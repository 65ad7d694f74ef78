//! The data path of the switch: ports of guests and of the host, and workers that run packets to completion on the engines of
//! `hive-datapath`. It is told what to do with packets by a [`Pipeline`], and knows no OpenFlow and no OVSDB.

mod output;
mod port;
mod worker;

pub use port::{Policing, PortSettings, PortStatus, QUEUE_PAIRS_MAX};

use crate::error::DaemonError;
use crate::mailbox::{Mailbox, lock};
use crate::port::log::RingLog;
use crate::port::queue::Queue;
use crate::port::vhost_user::{RingOwner, Server, Socket};
use arc_swap::ArcSwap;
use hive_datapath::{Counter, Counters, Engine, EngineSettings, MeterSpec, MeterStats, Meters, Shared, Tracker};
use hive_device::{Counters as DeviceCounters, Device};
use hive_flow::Key;
use hive_program::{MeterId, Op, Pipeline, PortId};
use port::{PortMap, PortShared};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use worker::{Command, Worker};

/// Ports at one time: each guest's rings cost threads and memory maps.
pub const PORTS_MAX: usize = 4096;
/// Frames of controllers that wait for their worker: what is beyond is dropped, as where a port's queue is full. 1024 of 64 KiB are
/// 64 MiB at most.
pub const EXECUTIONS_MAX: usize = 1024;
/// Of them, places that controllers do not get: by what the switch sends itself the other ends of ports know that it lives.
pub const EXECUTIONS_RESERVED: usize = 64;
/// Threads that drop devices: with more the kernel is no faster (100 TAP devices: 2.9 s by one, 0.8 s by 4 and by 16).
const DROPPERS: usize = 4;

/// How a data path is to be.
#[derive(Clone, Debug)]
pub struct DataplaneConfig {
    /// Threads that forward, at least one.
    pub workers: usize,
    /// The processors they are bound to, in order; those without one float.
    pub cpus: Vec<usize>,
    /// How long a queue without packets is polled before its guest is asked to kick.
    pub spin_us: u64,
    /// Packets taken from one queue before the next has its turn.
    pub batch: u16,
    pub engine: EngineSettings,
    pub conntrack: hive_conntrack::Settings,
}

impl Default for DataplaneConfig {
    fn default() -> Self {
        Self {
            workers: 1,
            cpus: Vec::new(),
            spin_us: 50,
            batch: 32,
            engine: EngineSettings::default(),
            conntrack: hive_conntrack::Settings::default(),
        }
    }
}

/// What moves a port's frames.
pub enum Backend {
    /// A guest whose VMM connects to our socket.
    VhostUserServer { socket: PathBuf },
    /// A guest whose VMM listens; we connect, again and again.
    VhostUserClient { socket: PathBuf },
    /// A device of the host.
    Device(Box<dyn Device>),
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VhostUserServer { socket } => f.debug_tuple("VhostUserServer").field(socket).finish(),
            Self::VhostUserClient { socket } => f.debug_tuple("VhostUserClient").field(socket).finish(),
            Self::Device(_) => f.write_str("Device"),
        }
    }
}

/// A port that is to be.
#[derive(Debug)]
pub struct PortSpec {
    /// For messages.
    pub name: String,
    pub backend: Backend,
    /// What a guest is told its address is; of a device that has its own, ignored.
    pub mac: [u8; 6],
    /// Of a guest; at most [`QUEUE_PAIRS_MAX`].
    pub queue_pairs: u16,
    pub mtu: u16,
}

/// Why a port cannot be.
#[derive(Debug, thiserror::Error)]
pub enum PortSpecError {
    #[error("port {name}: {why}")]
    Invalid { name: String, why: &'static str },
    #[error("too many ports: the limit is {PORTS_MAX}")]
    TooMany,
    #[error(transparent)]
    Start(#[from] DaemonError),
}

/// What all workers have counted, and what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By [`Counter`], in its order: the name, and how often.
    pub counters: Vec<(&'static str, u64)>,
    pub flows: usize,
    pub masks: usize,
    /// Ways of connections that are one lookup.
    pub fused: usize,
    pub connections: usize,
}

#[derive(Debug)]
struct RunningWorker {
    mailbox: Arc<Mailbox<Command>>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

/// What a port's end ends: its socket, if it has one.
#[derive(Debug)]
struct Served {
    _server: Option<Server>,
}

/// The data path; dropping it ends all of it.
pub struct Dataplane<P: Pipeline> {
    shared: Shared<P>,
    // Before the workers: a port's end needs them.
    served: Mutex<HashMap<PortId, Served>>,
    ports: Arc<ArcSwap<PortMap>>,
    workers: Arc<[RunningWorker]>,
    started: Instant,
    next_port: AtomicU32,
    turns: Arc<Turns>,
    executions: Arc<AtomicUsize>,
}

/// Who has the data path carry something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Controller,
    /// The switch itself: sessions of BFD.
    Switch,
}

/// One of [`EXECUTIONS_MAX`], until it is carried out.
#[derive(Debug)]
struct Execution(Arc<AtomicUsize>);

impl Execution {
    fn begin(executions: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one = Self(Arc::clone(executions));
        (executions.fetch_add(1, Ordering::Relaxed) < most).then_some(one)
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whose turn it is to get a queue or a device: the first so many workers, one after the other.
#[derive(Debug)]
struct Turns {
    next: AtomicUsize,
    workers: AtomicUsize,
}

impl Turns {
    fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.workers.load(Ordering::Relaxed).max(1)
    }
}

impl<P: Pipeline> fmt::Debug for Dataplane<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataplane").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.mailbox.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<P: Pipeline> Drop for Dataplane<P> {
    fn drop(&mut self) {
        let ports: Vec<_> = lock(&self.served).keys().copied().collect();
        self.remove_ports(&ports);
    }
}

impl<P: Pipeline> Dataplane<P> {
    /// Starts the workers, without ports.
    ///
    /// # Errors
    /// The system gives no thread or descriptor.
    pub fn start(config: DataplaneConfig, pipeline: Arc<P>) -> Result<Self, DaemonError> {
        let failed = |action| move |source| DaemonError::System { action, source };
        let tracker = Arc::new(Tracker::new(&config.conntrack));
        let shared = Shared { pipeline, tracker, meters: Arc::new(Meters::default()) };
        let started = Instant::now();
        let ports = Arc::new(ArcSwap::from_pointee(PortMap::default()));
        let start_worker = |number: usize| {
            let mailbox = Arc::new(Mailbox::new().map_err(failed("make a worker's mailbox"))?);
            let engine = Engine::new(shared.clone(), config.engine.clone());
            let counters = Arc::clone(engine.counters());
            let polling = (config.spin_us, config.batch);
            let worker = Worker::new(engine, Arc::clone(&mailbox), Arc::clone(&ports), started, polling)
                .map_err(failed("watch a worker's mailbox"))?;
            let cpu = config.cpus.get(number).copied();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    if let Some(cpu) = cpu
                        && let Err(error) = crate::sys::pin_to_cpu(cpu)
                    {
                        tracing::warn!(cpu, %error, "worker is not bound to its processor");
                    }
                    worker.run();
                })
                .map_err(failed("start a worker"))?;
            Ok(RunningWorker { mailbox, counters, thread: Some(thread) })
        };
        let workers = (0..config.workers.max(1)).map(start_worker).collect::<Result<Vec<_>, DaemonError>>()?;
        let turns = Arc::new(Turns { next: AtomicUsize::new(0), workers: AtomicUsize::new(workers.len()) });
        Ok(Self {
            shared,
            served: Mutex::default(),
            ports,
            workers: workers.into(),
            started,
            next_port: AtomicU32::new(1),
            turns,
            executions: Arc::default(),
        })
    }

    /// Has one worker for each of these processors, bound to it, as far as there are workers; none: all workers, that float. Queues that have
    /// a worker keep it until their port is made anew.
    pub fn use_cpus(&self, cpus: &[usize]) {
        let used = if cpus.is_empty() { self.workers.len() } else { cpus.len().min(self.workers.len()) };
        self.turns.workers.store(used, Ordering::Relaxed);
        for (worker, cpu) in self.workers.iter().zip(cpus) {
            worker.mailbox.send(Command::Bind { cpu: *cpu });
        }
    }

    /// Milliseconds of the clock that the pipeline, connections and meters are told.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub fn pipeline(&self) -> &Arc<P> {
        &self.shared.pipeline
    }

    /// Connections: limits, timeouts, dumps, flushes.
    pub fn tracker(&self) -> &Arc<Tracker> {
        &self.shared.tracker
    }

    /// Adds a port. It is up, and takes packets as soon as there are any: whoever must know it first says so to the pipeline by
    /// `announce`, which is given its number before.
    ///
    /// # Errors
    /// What is wanted cannot be, or its socket cannot be made.
    pub fn add_port(&self, spec: PortSpec, announce: impl FnOnce(PortId)) -> Result<PortId, PortSpecError> {
        let PortSpec { name, backend, mac, queue_pairs, mtu } = spec;
        if queue_pairs == 0 || queue_pairs > QUEUE_PAIRS_MAX {
            return Err(PortSpecError::Invalid { name, why: "number of queue pairs" });
        }
        let mut served = lock(&self.served);
        if served.len() >= PORTS_MAX {
            return Err(PortSpecError::TooMany);
        }
        let id = PortId(self.next_port.fetch_add(1, Ordering::Relaxed));
        let (device, socket) = match backend {
            Backend::VhostUserServer { socket } => (None, Some(Socket::Server(socket))),
            Backend::VhostUserClient { socket } => (None, Some(Socket::Client(socket))),
            Backend::Device(device) => (Some(device), None),
        };
        let shared = Arc::new(PortShared::new(id, name, mac, queue_pairs, mtu, device));
        announce(id);
        self.change_map(|ports| drop(ports.insert(id, Arc::clone(&shared))));
        let server = match socket {
            Some(socket) => {
                let rings = GuestRings {
                    port: Arc::clone(&shared),
                    workers: Arc::clone(&self.workers),
                    turns: Arc::clone(&self.turns),
                    homes: Mutex::default(),
                };
                match Server::start(socket, Arc::new(rings)) {
                    Ok(server) => Some(server),
                    Err(error) => {
                        self.change_map(|ports| drop(ports.remove(&id)));
                        return Err(error.into());
                    }
                }
            }
            None => {
                let number = self.turns.next();
                self.workers[number].mailbox.send(Command::StartDevice { port: Arc::clone(&shared) });
                None
            }
        };
        served.insert(id, Served { _server: server });
        Ok(id)
    }

    fn change_map(&self, change: impl FnOnce(&mut PortMap)) {
        // Only under the lock of `served`.
        let mut ports = PortMap::clone(&self.ports.load());
        change(&mut ports);
        self.ports.store(Arc::new(ports));
    }

    /// As [`Self::remove_ports`]. False if there was none.
    pub fn remove_port(&self, id: PortId) -> bool {
        self.remove_ports(&[id]) != 0
    }

    /// Ends ports: their frontends are disconnected, their devices dropped, when this returns. How many there were.
    pub fn remove_ports(&self, ids: &[PortId]) -> usize {
        let mut held = lock(&self.served);
        let served: Vec<Served> = ids.iter().filter_map(|id| held.remove(id)).collect();
        if served.is_empty() {
            return 0;
        }
        // Workers let go of what is held here: none of them has to wait for the end of a device.
        let map = self.ports.load();
        let ports: Vec<Arc<PortShared>> = ids.iter().filter_map(|id| map.get(id).cloned()).collect();
        drop(map);
        self.change_map(|ports| ids.iter().for_each(|id| drop(ports.remove(id))));
        drop(held);
        let count = served.len();
        // Ends the connections, which take their rings back.
        drop(served);
        let ids: Arc<[PortId]> = ids.into();
        self.ask_all(|reply| Command::StopPorts { ports: Arc::clone(&ids), reply });
        drop_side_by_side(ports);
        count
    }

    /// False if there is no such port.
    pub fn set_port(&self, id: PortId, settings: PortSettings) -> bool {
        let port = self.ports.load().get(&id).cloned();
        let now_us = self.started.elapsed().as_micros() as u64;
        port.map(|port| port.change(settings, now_us)).is_some()
    }

    pub fn port_status(&self, id: PortId) -> Option<PortStatus> {
        self.ports.load().get(&id).map(|port| port.status())
    }

    /// Those of [`Self::port_status`], for much less.
    pub fn port_counters(&self, id: PortId) -> Option<DeviceCounters> {
        self.ports.load().get(&id).map(|port| port.counters())
    }

    /// All ports, in order.
    pub fn port_ids(&self) -> Vec<PortId> {
        let mut ids: Vec<_> = lock(&self.served).keys().copied().collect();
        ids.sort();
        ids
    }

    /// Carries operations out on a frame, which has the key's metadata. Does not wait; false: too many wait already, and it is dropped.
    #[must_use]
    pub fn execute(&self, sender: Sender, frame: Vec<u8>, template: Key, ops: Arc<[Op]>) -> bool {
        let most = match sender {
            Sender::Controller => EXECUTIONS_MAX - EXECUTIONS_RESERVED,
            Sender::Switch => EXECUTIONS_MAX,
        };
        let (Some(worker), Some(execution)) = (self.workers.first(), Execution::begin(&self.executions, most)) else {
            return false;
        };
        worker.mailbox.send(Command::Execute { frame, template: Box::new(template), ops, execution });
        true
    }

    /// Adds or replaces a meter, with full buckets; None removes it.
    pub fn set_meter(&self, id: MeterId, spec: Option<MeterSpec>) {
        match spec {
            Some(spec) => self.shared.meters.set(id, spec, self.now_ms()),
            None => drop(self.shared.meters.remove(id)),
        }
    }

    pub fn meter_stats(&self, id: MeterId) -> Option<MeterStats> {
        self.shared.meters.stats(id)
    }

    fn ask_all<R>(&self, ask: impl Fn(SyncSender<R>) -> Command) -> Vec<R> {
        let asked: Vec<Receiver<R>> = self
            .workers
            .iter()
            .map(|worker| {
                let (reply, answer) = sync_channel(1);
                worker.mailbox.send(ask(reply));
                answer
            })
            .collect();
        // A worker always answers, between two bursts; or has ended, and with it the question.
        asked.into_iter().filter_map(|answer| answer.recv().ok()).collect()
    }

    /// As `dpctl/dump-flows` has them, a list for each worker.
    pub fn dump_flows(&self) -> Vec<Vec<String>> {
        self.ask_all(|reply| Command::DumpFlows { reply })
    }

    /// Forgets all flows of all workers; they are made again as packets come.
    pub fn flush_flows(&self) {
        self.ask_all(|reply| Command::FlushFlows { reply });
    }

    /// Connections, a line each, as `dpctl/dump-conntrack` has them.
    pub fn dump_conntrack(&self, zone: Option<u16>, timeouts: bool) -> Vec<String> {
        self.shared.tracker.dump(zone, timeouts, self.now_ms())
    }

    /// Counters of each worker, in order.
    pub fn worker_counters(&self) -> Vec<Arc<Counters>> {
        self.workers.iter().map(|worker| Arc::clone(&worker.counters)).collect()
    }

    pub fn stats(&self) -> Stats {
        let count = |counter: &Counter| self.workers.iter().map(|worker| worker.counters.get(*counter)).sum();
        let held = self.ask_all(|reply| Command::Held { reply });
        Stats {
            counters: Counter::ALL.iter().map(|counter| (counter.name(), count(counter))).collect(),
            flows: held.iter().map(|held| held.0).sum(),
            masks: held.iter().map(|held| held.1).sum(),
            fused: held.iter().map(|held| held.2).sum(),
            connections: self.shared.tracker.len(),
        }
    }
}

/// Drops ports and their devices. The end of a TAP device waits for the kernel's readers of all processors, some ten milliseconds, and
/// those of several devices do so together.
fn drop_side_by_side(mut ports: Vec<Arc<PortShared>>) {
    let each = ports.len().div_ceil(DROPPERS);
    std::thread::scope(|scope| {
        while ports.len() > each {
            let part = ports.split_off(ports.len() - each);
            // Without a thread it is dropped here.
            let _ = std::thread::Builder::new().name("dropper".to_owned()).spawn_scoped(scope, move || drop(part));
        }
        drop(std::mem::take(&mut ports));
    });
}

/// A guest's rings: what it sends goes to a worker, what it receives to whoever delivers.
#[derive(Debug)]
struct GuestRings {
    port: Arc<PortShared>,
    workers: Arc<[RunningWorker]>,
    turns: Arc<Turns>,
    /// The worker of each pair, once it has one.
    homes: Mutex<HashMap<usize, usize>>,
}

impl GuestRings {
    fn home(&self, pair: usize) -> &Mailbox<Command> {
        let mut homes = lock(&self.homes);
        let number = *homes.entry(pair).or_insert_with(|| self.turns.next());
        &self.workers[number].mailbox
    }
}

impl RingOwner for GuestRings {
    fn name(&self) -> String {
        self.port.name.clone()
    }

    fn queue_pairs(&self) -> u16 {
        self.port.queue_pairs
    }

    fn identity(&self) -> ([u8; 6], u16) {
        (self.port.mac, self.port.mtu.load(Ordering::Relaxed) as u16)
    }

    fn set_connected(&self, connected: bool) {
        self.port.connected.store(connected, Ordering::Relaxed);
    }

    fn set_fault(&self, fault: Option<String>) {
        self.port.set_fault(fault);
    }

    fn start_driver(&self) {
        self.port.restart();
    }

    fn start_queue(&self, index: usize, queue: Queue) {
        let pair = index / 2;
        match queue {
            Queue::Rx(queue) => {
                let kick = Arc::clone(&queue.kick);
                self.port.put_rx(pair, queue);
                self.home(pair).send(Command::WatchBuffers { port: Arc::clone(&self.port), pair, kick });
            }
            Queue::Tx(queue) => self.home(pair).send(Command::StartQueue { port: Arc::clone(&self.port), pair, queue }),
        }
    }

    fn stop_queue(&self, index: usize) -> Option<u16> {
        let pair = index / 2;
        if index.is_multiple_of(2) {
            self.home(pair).send(Command::UnwatchBuffers { port: self.port.id, pair });
            let mut queue = self.port.take_rx(pair)?;
            let lost = queue.waiting() as u64 + queue.take_lost();
            self.port.counters.tx_dropped.fetch_add(lost, Ordering::Relaxed);
            // A worker in the midst of a burst has delivered, and would find no ring to publish it in.
            if queue.dirty {
                queue.flush();
            }
            return Some(queue.ring.base());
        }
        let (reply, base) = sync_channel(1);
        self.home(pair).send(Command::StopQueue { port: self.port.id, pair, reply });
        base.recv().ok().flatten()
    }

    fn set_log(&self, index: usize, log: Option<Box<RingLog>>) {
        let pair = index / 2;
        if index.is_multiple_of(2) {
            let Some(place) = self.port.rx(pair) else { return };
            if let Some(queue) = lock(place).as_mut() {
                queue.ring.set_log(log);
            }
            return;
        }
        let (reply, done) = sync_channel(1);
        self.home(pair).send(Command::SetLog { port: self.port.id, pair, log, reply });
        // A worker that has ended writes nothing.
        let _ = done.recv();
    }
}
