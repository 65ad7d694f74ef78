//! The vhost-user protocol of one port: a socket that is listened on or connected to, one frontend at a time, and rings handed to who
//! moves packets when they are complete.
//!
//! This thread never touches packets. A ring belongs either to it (as its settings) or to a worker (as a [`SplitRing`]);
//! every change takes it back first, so that neither side needs a lock.

use super::log::{DirtyLog, RingLog};
use super::memory::{GuestMemory, MAX_REGIONS, RegionLayout};
use super::queue::{Accepts, Queue, RxQueue, TxQueue};
use super::requests::{self, Request};
use super::ring::{Direction, MAX_RING_SIZE, RingLayout, SplitRing, used_ring_bytes};
use crate::error::{DaemonError, PortError};
use crate::mailbox::{lock, signal};
use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use vhost::VhostUserMemoryRegionBase;
use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight, VhostUserLog,
    VhostUserMemoryRegion, VhostUserProtocolFeatures, VhostUserShMemConfig, VhostUserSharedMsg,
    VhostUserSingleMemoryRegion, VhostUserVringAddrFlags, VhostUserVringState,
};
use vhost::vhost_user::{
    BackendReqHandler, Error as VhostError, GpuBackend, Result as VhostResult, VhostUserBackendReqHandlerMut,
};

/// virtio-net and ring feature bits (virtio 1.2, 5.1.3 and 6).
pub mod feature {
    pub const CSUM: u64 = 1 << 0;
    pub const GUEST_CSUM: u64 = 1 << 1;
    pub const MTU: u64 = 1 << 3;
    pub const MAC: u64 = 1 << 5;
    pub const GUEST_TSO4: u64 = 1 << 7;
    pub const GUEST_TSO6: u64 = 1 << 8;
    pub const HOST_TSO4: u64 = 1 << 11;
    pub const HOST_TSO6: u64 = 1 << 12;
    pub const MRG_RXBUF: u64 = 1 << 15;
    pub const STATUS: u64 = 1 << 16;
    pub const MQ: u64 = 1 << 22;
    /// Of vhost, not of virtio: the frontend sets and clears it while rings run.
    pub const LOG_ALL: u64 = 1 << 26;
    pub const INDIRECT_DESC: u64 = 1 << 28;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const PROTOCOL_FEATURES: u64 = 1 << 30;
    pub const VERSION_1: u64 = 1 << 32;
}

/// What the device offers. The configuration space's features (MAC, MTU, MQ, STATUS) are shown to drivers by the frontend.
pub const FEATURES: u64 = feature::CSUM
    | feature::GUEST_CSUM
    | feature::MTU
    | feature::MAC
    | feature::GUEST_TSO4
    | feature::GUEST_TSO6
    | feature::HOST_TSO4
    | feature::HOST_TSO6
    | feature::MRG_RXBUF
    | feature::STATUS
    | feature::MQ
    | feature::LOG_ALL
    | feature::INDIRECT_DESC
    | feature::EVENT_IDX
    | feature::PROTOCOL_FEATURES
    | feature::VERSION_1;

/// Whose rings these are.
pub trait RingOwner: Send + Sync + std::fmt::Debug {
    /// For messages.
    fn name(&self) -> String;

    fn queue_pairs(&self) -> u16;

    /// Of the configuration space: the guest's address and the largest packet.
    fn identity(&self) -> ([u8; 6], u16);

    fn set_connected(&self, connected: bool);

    fn set_fault(&self, fault: Option<String>);

    /// The guest's driver starts anew: what broke or was going on before is over.
    fn start_driver(&self);

    /// Takes a ring over.
    fn start_queue(&self, index: usize, queue: Queue);

    /// Gives a ring back: its place in the available ring, none if it is not there or broke.
    fn stop_queue(&self, index: usize) -> Option<u16>;

    /// Tells what a ring that was taken over writes to another log, or to none. It goes on meanwhile. When this returns, nothing more
    /// is told to the log before.
    fn set_log(&self, index: usize, log: Option<Box<RingLog>>);
}

/// Stack of a protocol thread: it only handles small messages.
const THREAD_STACK_BYTES: usize = 256 << 10;

/// One ring's settings while it is not running.
#[derive(Debug, Default)]
struct RingState {
    size: u16,
    addresses: Option<(u64, u64, u64)>,
    /// Guest address of the used ring, when writes to it are to be logged (VHOST_VRING_F_LOG).
    log_used: Option<u64>,
    base: u16,
    /// The frontend passed a kick descriptor: the ring is started (vhost-user, "Ring states").
    kick: Option<File>,
    call: Option<File>,
    enabled: bool,
    /// The worker has it.
    running: bool,
}

/// The device behind one connection.
#[derive(Debug)]
struct Device {
    owner: Arc<dyn RingOwner>,
    features: u64,
    memory: Arc<GuestMemory>,
    rings: Vec<RingState>,
    /// Written to while LOG_ALL is acknowledged. A frontend may do that before it shares a log: then nothing is told.
    log: Option<Arc<DirtyLog>>,
    log_call: Option<Arc<File>>,
    /// VHOST_USER_PROTOCOL_F_REPLY_ACK was acknowledged.
    replies: bool,
}

impl Device {
    fn new(owner: Arc<dyn RingOwner>) -> Self {
        let rings = 2 * usize::from(owner.queue_pairs());
        Self {
            owner,
            features: 0,
            memory: Arc::default(),
            rings: std::iter::repeat_with(RingState::default).take(rings).collect(),
            log: None,
            log_call: None,
            replies: false,
        }
    }

    fn ring(&mut self, index: usize) -> VhostResult<&mut RingState> {
        self.rings.get_mut(index).ok_or(VhostError::InvalidParam)
    }

    /// Takes a ring back from the worker, changes it, and hands it over again if it is complete.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut RingState)) -> VhostResult<()> {
        self.ring(index)?;
        self.stop(index);
        change(self.ring(index)?);
        self.start(index);
        Ok(())
    }

    fn stop(&mut self, index: usize) {
        if !self.rings[index].running {
            return;
        }
        let base = self.owner.stop_queue(index);
        let ring = &mut self.rings[index];
        ring.running = false;
        // None when a fault took the ring, whose last place is then unknown.
        if let Some(base) = base {
            ring.base = base;
        }
    }

    fn stop_all(&mut self) {
        for index in 0..self.rings.len() {
            self.stop(index);
        }
    }

    /// Hands a complete ring to the worker. One that cannot run faults the port; the frontend's connection goes on.
    fn start(&mut self, index: usize) {
        if let Err(error) = self.try_start(index) {
            self.report(&error);
        }
    }

    fn report(&self, error: &PortError) {
        tracing::warn!(port = %self.owner.name(), %error, "queue not started");
        self.owner.set_fault(Some(error.to_string()));
    }

    /// What a ring's writes are to be told to.
    fn log_of(&self, index: usize) -> Result<Option<Box<RingLog>>, PortError> {
        let ring = &self.rings[index];
        let Some(log) = self.log.as_ref().filter(|_| self.features & feature::LOG_ALL != 0) else { return Ok(None) };
        let used = ring.log_used.map(|guest_addr| (guest_addr, used_ring_bytes(ring.size)));
        let log = RingLog::new(log.clone(), used, self.log_call.clone());
        log.map(|log| Some(Box::new(log))).map_err(|fault| PortError::Queue { index, why: fault.to_string() })
    }

    /// Brings what a running ring is logged to up to date, without stopping it: frames would be lost. One whose used ring the log
    /// does not hold cannot go on.
    fn log_anew(&mut self, index: usize) {
        if !self.rings[index].running {
            return;
        }
        match self.log_of(index) {
            Ok(log) => self.owner.set_log(index, log),
            Err(error) => {
                self.stop(index);
                self.report(&error);
            }
        }
    }

    fn log_all_anew(&mut self) {
        for index in 0..self.rings.len() {
            self.log_anew(index);
        }
    }

    fn set_log_call(&mut self, call: File) -> VhostResult<()> {
        self.log_call = Some(Arc::new(nonblocking(call)?));
        self.log_all_anew();
        Ok(())
    }

    fn start_all(&mut self) {
        for index in 0..self.rings.len() {
            self.start(index);
        }
    }

    fn try_start(&mut self, index: usize) -> Result<(), PortError> {
        let failed = |why: &dyn std::fmt::Display| PortError::Queue { index, why: why.to_string() };
        let features = self.features;
        let has = |bit: u64| features & bit != 0;
        let log = self.log_of(index);
        let ring = &mut self.rings[index];
        let (Some((desc, avail, used)), Some(kick), true) = (ring.addresses, &ring.kick, ring.enabled) else {
            return Ok(());
        };
        if !has(feature::VERSION_1) {
            return Err(failed(&"the driver did not negotiate VIRTIO_F_VERSION_1"));
        }
        let direction = if index.is_multiple_of(2) { Direction::ToGuest } else { Direction::FromGuest };
        let event_idx = has(feature::EVENT_IDX);
        let layout = RingLayout { size: ring.size, desc, avail, used, base: ring.base, event_idx, direction };
        let mut split = SplitRing::new(self.memory.clone(), layout).map_err(|fault| failed(&fault))?;
        split.set_log(log?);
        let clone = |file: &File| file.try_clone().map_err(|error| failed(&error));
        let call = ring.call.as_ref().map(clone).transpose()?;
        let queue = match direction {
            Direction::FromGuest => {
                let offloads = has(feature::CSUM) || has(feature::HOST_TSO4) || has(feature::HOST_TSO6);
                Queue::Tx(TxQueue { ring: split, offloads, kick: clone(kick)?, call })
            }
            Direction::ToGuest => {
                let accepts = Accepts {
                    mergeable: has(feature::MRG_RXBUF),
                    checksum: has(feature::GUEST_CSUM),
                    tso4: has(feature::GUEST_TSO4),
                    tso6: has(feature::GUEST_TSO6),
                };
                Queue::Rx(RxQueue::new(split, Arc::new(clone(kick)?), call, accepts))
            }
        };
        ring.running = true;
        // What was told last may be lost, as to a guest that has just moved here: a driver that still waits for it would wait for ever.
        if let Some(call) = &ring.call {
            signal(call);
        }
        self.owner.start_queue(index, queue);
        Ok(())
    }

    /// Exchanges the guest's memory under stopped rings.
    fn change_memory(
        &mut self,
        change: impl FnOnce(&GuestMemory) -> Result<GuestMemory, PortError>,
    ) -> VhostResult<()> {
        let memory = change(&self.memory).map_err(|error| {
            tracing::warn!(port = %self.owner.name(), %error, "memory refused");
            VhostError::ReqHandlerError(std::io::Error::other(error))
        })?;
        self.stop_all();
        self.memory = Arc::new(memory);
        self.start_all();
        Ok(())
    }

    fn reset(&mut self) {
        self.stop_all();
        for ring in &mut self.rings {
            *ring = RingState::default();
        }
    }

    /// struct virtio_net_config up to `mtu` (virtio 1.2, 5.1.4).
    fn config_space(&self) -> [u8; 12] {
        const LINK_UP: u16 = 1;
        let (mac, mtu) = self.owner.identity();
        let mut space = [0; 12];
        space[..6].copy_from_slice(&mac);
        space[6..8].copy_from_slice(&LINK_UP.to_le_bytes());
        space[8..10].copy_from_slice(&self.owner.queue_pairs().to_le_bytes());
        space[10..].copy_from_slice(&mtu.to_le_bytes());
        space
    }
}

/// A frontend's eventfd, made non-blocking: writing to a full one must not stop the worker.
fn nonblocking(file: File) -> VhostResult<File> {
    crate::sys::set_nonblocking(&file).map_err(VhostError::ReqHandlerError)?;
    Ok(file)
}

fn layout(region: &VhostUserMemoryRegion) -> RegionLayout {
    RegionLayout {
        guest_addr: region.guest_phys_addr,
        size_bytes: region.memory_size,
        user_addr: region.user_addr,
        offset_bytes: region.mmap_offset,
    }
}

/// For requests of protocol features that were not offered.
fn not_offered<T>() -> VhostResult<T> {
    Err(VhostError::InvalidOperation("protocol feature was not offered"))
}

impl VhostUserBackendReqHandlerMut for Device {
    fn set_owner(&mut self) -> VhostResult<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> VhostResult<()> {
        self.reset();
        Ok(())
    }

    fn reset_device(&mut self) -> VhostResult<()> {
        self.reset();
        Ok(())
    }

    fn get_features(&mut self) -> VhostResult<u64> {
        Ok(FEATURES)
    }

    fn set_features(&mut self, features: u64) -> VhostResult<()> {
        if features & !FEATURES != 0 {
            return Err(VhostError::InvalidParam);
        }
        let changed = self.features ^ features;
        if changed & !feature::LOG_ALL == 0 && self.rings.iter().any(|ring| ring.running) {
            // No driver starts (rings are stopped before that): the frontend begins or ends a migration, and says so once for each
            // of its pairs.
            self.features = features;
            self.log_all_anew();
            return Ok(());
        }
        self.stop_all();
        self.features = features;
        // Drivers negotiate when they start, after a reset of the guest or on a frontend's new connection.
        self.owner.start_driver();
        if features & feature::PROTOCOL_FEATURES == 0 {
            self.rings.iter_mut().for_each(|ring| ring.enabled = true);
        }
        self.start_all();
        Ok(())
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy_listening: Option<bool>,
    ) -> VhostResult<Option<Vec<VhostUserMemoryRegionBase>>> {
        if regions.len() != files.len() {
            return Err(VhostError::InvalidParam);
        }
        self.change_memory(|_| {
            regions
                .iter()
                .zip(&files)
                .try_fold(GuestMemory::default(), |memory, (region, file)| memory.with(layout(region), file))
        })?;
        Ok(None)
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> VhostResult<()> {
        let size = u16::try_from(num).ok().filter(|size| size.is_power_of_two() && *size <= MAX_RING_SIZE);
        let size = size.ok_or(VhostError::InvalidParam)?;
        self.change(index as usize, |ring| ring.size = size)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        log: u64,
    ) -> VhostResult<()> {
        let index = index as usize;
        let addresses = Some((descriptor, available, used));
        let log_used = flags.contains(VhostUserVringAddrFlags::VHOST_VRING_F_LOG).then_some(log);
        let ring = self.ring(index)?;
        if ring.running && ring.addresses == addresses {
            // Only the logging of the used ring changes.
            ring.log_used = log_used;
            self.log_anew(index);
            return Ok(());
        }
        self.change(index, |ring| (ring.addresses, ring.log_used) = (addresses, log_used))
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> VhostResult<()> {
        let base = u16::try_from(base).map_err(|_| VhostError::InvalidParam)?;
        self.change(index as usize, |ring| ring.base = base)
    }

    fn get_vring_base(&mut self, index: u32) -> VhostResult<VhostUserVringState> {
        self.ring(index as usize)?;
        self.stop(index as usize);
        let ring = self.ring(index as usize)?;
        ring.kick = None;
        ring.call = None;
        Ok(VhostUserVringState::new(index, u32::from(ring.base)))
    }

    fn set_vring_kick(&mut self, index: u8, fd: Option<File>) -> VhostResult<()> {
        // We write to it, too.
        let kick = fd.map(nonblocking).transpose()?;
        self.change(index.into(), |ring| ring.kick = kick)
    }

    fn set_vring_call(&mut self, index: u8, fd: Option<File>) -> VhostResult<()> {
        let call = fd.map(nonblocking).transpose()?;
        self.change(index.into(), |ring| ring.call = call)
    }

    fn set_vring_err(&mut self, _index: u8, _fd: Option<File>) -> VhostResult<()> {
        Ok(())
    }

    fn get_protocol_features(&mut self) -> VhostResult<VhostUserProtocolFeatures> {
        Ok(VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::LOG_SHMFD
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::RESET_DEVICE
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS)
    }

    fn set_protocol_features(&mut self, features: u64) -> VhostResult<()> {
        self.replies = features & VhostUserProtocolFeatures::REPLY_ACK.bits() != 0;
        Ok(())
    }

    fn get_queue_num(&mut self) -> VhostResult<u64> {
        // For a network device, the number of pairs.
        Ok(self.rings.len() as u64 / 2)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> VhostResult<()> {
        self.change(index as usize, |ring| ring.enabled = enable)
    }

    fn get_config(&mut self, offset: u32, size: u32, _flags: VhostUserConfigFlags) -> VhostResult<Vec<u8>> {
        let space = self.config_space();
        let mut answer = vec![0; size as usize];
        // Fields behind the ones there are read as zero, as a larger configuration structure's would.
        for (byte, value) in answer.iter_mut().zip(space.iter().skip(offset as usize)) {
            *byte = *value;
        }
        Ok(answer)
    }

    fn set_config(&mut self, _offset: u32, _buf: &[u8], _flags: VhostUserConfigFlags) -> VhostResult<()> {
        Err(VhostError::InvalidOperation("the configuration space is read-only"))
    }

    fn set_gpu_socket(&mut self, _gpu_backend: GpuBackend) -> VhostResult<()> {
        not_offered()
    }

    fn get_shared_object(&mut self, _uuid: VhostUserSharedMsg) -> VhostResult<File> {
        not_offered()
    }

    fn get_inflight_fd(&mut self, _inflight: &VhostUserInflight) -> VhostResult<(VhostUserInflight, File)> {
        not_offered()
    }

    fn set_inflight_fd(&mut self, _inflight: &VhostUserInflight, _file: File) -> VhostResult<()> {
        not_offered()
    }

    fn get_max_mem_slots(&mut self) -> VhostResult<u64> {
        Ok(MAX_REGIONS as u64)
    }

    fn add_mem_region(
        &mut self,
        region: &VhostUserSingleMemoryRegion,
        fd: File,
        _postcopy_listening: Option<bool>,
    ) -> VhostResult<Option<VhostUserMemoryRegionBase>> {
        self.change_memory(|memory| memory.with(layout(region), &fd))?;
        Ok(None)
    }

    fn remove_mem_region(&mut self, region: &VhostUserSingleMemoryRegion) -> VhostResult<()> {
        let gone = layout(region);
        self.change_memory(|memory| {
            memory.without(gone.guest_addr, gone.user_addr, gone.size_bytes).ok_or_else(|| PortError::Memory {
                guest_addr: gone.guest_addr,
                why: "no such region to remove".to_owned(),
            })
        })
    }

    fn set_device_state_fd(
        &mut self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _fd: File,
    ) -> VhostResult<Option<File>> {
        not_offered()
    }

    fn check_device_state(&mut self) -> VhostResult<()> {
        not_offered()
    }

    fn get_shmem_config(&mut self) -> VhostResult<VhostUserShMemConfig> {
        not_offered()
    }

    fn set_log_base(&mut self, log: &VhostUserLog, file: File) -> VhostResult<()> {
        let log = DirtyLog::map(&file, log.mmap_offset, log.mmap_size)
            .map_err(|error| VhostError::ReqHandlerError(std::io::Error::other(error)))?;
        self.log = Some(Arc::new(log));
        self.log_all_anew();
        Ok(())
    }
}

/// Which end of the socket is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// We listen; a stale socket of a former process is replaced.
    Server(PathBuf),
    /// The frontend listens; we connect, again and again.
    Client(PathBuf),
}

impl Socket {
    pub fn path(&self) -> &Path {
        match self {
            Self::Server(path) | Self::Client(path) => path,
        }
    }
}

/// The socket of a port and its thread; dropping it ends both.
#[derive(Debug)]
pub struct Server {
    listener: Option<UnixListener>,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// How the thread is ended.
#[derive(Debug, Default)]
struct Stop {
    stopping: AtomicBool,
    connection: Mutex<Option<UnixStream>>,
    /// Wakes a thread that waits before it connects again.
    woken: Condvar,
}

/// How long a client waits before it connects again.
const RECONNECT: std::time::Duration = std::time::Duration::from_millis(200);

impl Server {
    pub fn start(socket: Socket, owner: Arc<dyn RingOwner>) -> Result<Self, DaemonError> {
        let failed = |action| {
            let path = socket.path().to_owned();
            move |source| DaemonError::File { action, path, source }
        };
        let listener = match &socket {
            Socket::Server(path) => {
                remove_socket(path).map_err(failed("remove the stale socket"))?;
                Some(UnixListener::bind(path).map_err(failed("listen on"))?)
            }
            Socket::Client(_) => None,
        };
        let accepting = listener.as_ref().map(UnixListener::try_clone).transpose().map_err(failed("listen on"))?;
        let stop = Arc::new(Stop::default());
        let thread = {
            let (socket, stop) = (socket.clone(), stop.clone());
            let name: String = format!("vhost-{}", owner.name()).chars().take(15).collect();
            std::thread::Builder::new()
                .name(name)
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || serve(&socket, accepting.as_ref(), &owner, &stop))
                .map_err(failed("start the thread of"))?
        };
        Ok(Self { listener, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.stopping.store(true, Ordering::SeqCst);
        if let Some(listener) = &self.listener {
            crate::sys::shutdown(listener);
        }
        if let Some(stream) = lock(&self.stop.connection).take() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        self.stop.woken.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn remove_socket(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn serve(socket: &Socket, listener: Option<&UnixListener>, owner: &Arc<dyn RingOwner>, stop: &Stop) {
    let stopping = || stop.stopping.load(Ordering::SeqCst);
    while !stopping() {
        let stream = match listener {
            Some(listener) => listener.accept().map(|(stream, _)| stream),
            None => UnixStream::connect(socket.path()),
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(_) if stopping() => break,
            Err(error) => {
                if listener.is_some() {
                    tracing::warn!(socket = %socket.path().display(), %error, "cannot accept a frontend");
                }
                // Descriptors may be short for a while, or nobody listens yet; do not spin on it.
                let held = lock(&stop.connection);
                let waited = stop.woken.wait_timeout_while(held, RECONNECT, |_| !stopping());
                drop(waited);
                continue;
            }
        };
        let side = match stream.try_clone() {
            Ok(side) => side,
            Err(error) => {
                tracing::warn!(socket = %socket.path().display(), %error, "cannot serve a frontend");
                continue;
            }
        };
        *lock(&stop.connection) = stream.try_clone().ok();
        // Checked again: a stop between the two lines above would have found no connection to end.
        if stopping() {
            break;
        }
        owner.set_connected(true);
        let name = owner.name();
        tracing::info!(port = %name, "frontend connected");
        let device = Arc::new(Mutex::new(Device::new(owner.clone())));
        let mut handler = BackendReqHandler::from_stream(stream, device.clone());
        let ended = loop {
            let handled = match requests::take(&side) {
                Ok(None) => handler.handle_request(),
                Ok(Some(taken)) => {
                    let mut device = lock(&device);
                    taken.serve(&side, device.replies, |request| match request {
                        Request::SetLogFd(call) => device.set_log_call(call),
                        Request::SetVringEnable { index, enable } => device.set_vring_enable(index, enable),
                    })
                }
                Err(error) => Err(error),
            };
            if let Err(error) = handled {
                break error;
            }
        };
        lock(&device).reset();
        owner.set_connected(false);
        lock(&stop.connection).take();
        match ended {
            VhostError::Disconnected => tracing::info!(port = %name, "frontend disconnected"),
            error => tracing::warn!(port = %name, %error, "frontend's connection ended"),
        }
    }
    if let Socket::Server(path) = socket {
        let _ = remove_socket(path);
    }
}
