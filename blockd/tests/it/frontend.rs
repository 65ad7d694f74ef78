//! A vhost-user-blk frontend made by hand, so that tests can keep the inflight region over a daemon's death, and write
//! whatever they like into the rings.

use crate::daemon::PATIENCE;
use crate::watch::Watch;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};
use vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserInflight, VhostUserProtocolFeatures};
use vhost::vhost_user::{Frontend as Connection, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

pub const GUEST_BASE: u64 = 0x4000_0000;
pub const MEMORY_BYTES: usize = 16 << 20;
pub const QUEUE_SIZE: u16 = 64;
/// Where data may lie, beyond the rings.
pub const DATA: u64 = 1 << 20;
/// Headers and status bytes of the slots.
const HEADERS: u64 = 512 << 10;
const RING_STRIDE: u64 = 16 << 10;
const AVAILABLE: u64 = 4 << 10;
const USED: u64 = 8 << 10;
/// Descriptors of one slot: header, data, status.
const SLOT_DESCRIPTORS: u16 = 3;
pub const SLOTS: u16 = QUEUE_SIZE / SLOT_DESCRIPTORS;

pub const READ: u32 = 0;
pub const WRITE: u32 = 1;
pub const FLUSH: u32 = 4;
pub const GET_ID: u32 = 8;
pub const DISCARD: u32 = 11;
pub const WRITE_ZEROES: u32 = 13;

pub const NEXT: u16 = 1;
pub const DEVICE_WRITES: u16 = 2;
pub const INDIRECT: u16 = 4;

pub const VERSION_1: u64 = 1 << 32;
pub const EVENT_IDX: u64 = 1 << 29;
pub const INDIRECT_DESC: u64 = 1 << 28;
pub const CONFIG_WCE: u64 = 1 << 11;
pub const F_FLUSH: u64 = 1 << 9;
const PROTOCOL_FEATURES: u64 = 1 << 30;

struct Queue {
    kick: EventFd,
    call: EventFd,
    available: u16,
    used: u16,
}

/// How long all messages of one connection may take: less than [`PATIENCE`], so that one that hangs may be tried again.
const CONNECT_PATIENCE: Duration = Duration::from_secs(50);

pub struct Frontend {
    socket: PathBuf,
    features: u64,
    file: File,
    memory: MmapRegion,
    pub connection: Option<Connection>,
    queues: Vec<Queue>,
    inflight: Option<(VhostUserInflight, File)>,
}

impl Frontend {
    pub fn connect(socket: &Path, queues: usize, features: u64) -> Self {
        let file = File::from(rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        file.set_len(MEMORY_BYTES as u64).unwrap();
        let memory = MmapRegion::from_file(FileOffset::new(file.try_clone().unwrap(), 0), MEMORY_BYTES).unwrap();
        let new_queue = || Queue {
            kick: EventFd::new(EFD_NONBLOCK).unwrap(),
            call: EventFd::new(EFD_NONBLOCK).unwrap(),
            available: 0,
            used: 0,
        };
        let queues = std::iter::repeat_with(new_queue).take(queues).collect();
        let features = features | VERSION_1 | PROTOCOL_FEATURES;
        let mut frontend =
            Self { socket: socket.to_owned(), features, file, memory, connection: None, queues, inflight: None };
        frontend.reconnect();
        frontend
    }

    /// Connect (again), as a VMM does: everything is said anew, and the inflight region is handed back. Until all of it is said the
    /// daemon may die, or be a dead one whose socket the kernel has not cleared away yet: then it begins again.
    pub fn reconnect(&mut self) {
        self.connection = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_connect() {
                Ok(connection) => break self.connection = Some(connection),
                Err(e) => assert!(Instant::now() < deadline, "cannot connect to {}: {e}", self.socket.display()),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn try_connect(&mut self) -> vhost::Result<Connection> {
        let socket = UnixStream::connect(&self.socket).map_err(vhost::vhost_user::Error::SocketConnect)?;
        // The client waits for its replies for ever, whatever the socket's timeout.
        let ours = socket.try_clone().map_err(vhost::vhost_user::Error::SocketError)?;
        let what = format!("connecting to {}", self.socket.display());
        let _watch = Watch::new(what, CONNECT_PATIENCE, move || drop(ours.shutdown(Shutdown::Both)));
        let mut connection = Connection::from_stream(socket, self.queues.len() as u64);
        connection.set_owner()?;
        let offered = connection.get_features()?;
        assert_eq!(self.features & !offered, 0, "the device offers {offered:#x}");
        let protocol = connection.get_protocol_features()?;
        connection.set_protocol_features(protocol)?;
        assert!(protocol.contains(VhostUserProtocolFeatures::INFLIGHT_SHMFD));
        connection.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        connection.set_features(self.features)?;
        if self.inflight.is_none() {
            let ask = VhostUserInflight::new(0, 0, self.queues.len() as u16, QUEUE_SIZE);
            self.inflight = Some(connection.get_inflight_fd(&ask)?);
        }
        if let Some((inflight, file)) = &self.inflight {
            connection.set_inflight_fd(inflight, file.as_raw_fd())?;
        }
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: GUEST_BASE,
            memory_size: MEMORY_BYTES as u64,
            userspace_addr: self.memory.as_ptr() as u64,
            mmap_offset: 0,
            mmap_handle: self.file.as_raw_fd(),
        };
        connection.set_mem_table(&[region])?;
        for (index, queue) in self.queues.iter().enumerate() {
            let base = self.memory.as_ptr() as u64 + index as u64 * RING_STRIDE;
            connection.set_vring_num(index, QUEUE_SIZE)?;
            connection.set_vring_base(index, 0)?;
            let addresses = VringConfigData {
                queue_max_size: QUEUE_SIZE,
                queue_size: QUEUE_SIZE,
                flags: 0,
                desc_table_addr: base,
                used_ring_addr: base + USED,
                avail_ring_addr: base + AVAILABLE,
                log_addr: None,
            };
            connection.set_vring_addr(index, &addresses)?;
            connection.set_vring_kick(index, &queue.kick)?;
            connection.set_vring_call(index, &queue.call)?;
            connection.set_vring_enable(index, true)?;
        }
        Ok(connection)
    }

    pub fn poke(&self, offset: u64, bytes: &[u8]) {
        self.memory.get_slice(offset as usize, bytes.len()).unwrap().copy_from(bytes);
    }

    pub fn peek(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.get_slice(offset as usize, len).unwrap().copy_to(&mut bytes[..]);
        bytes
    }

    fn peek_u16(&self, offset: u64) -> u16 {
        fence(Ordering::SeqCst);
        u16::from_le_bytes(self.peek(offset, 2).try_into().unwrap())
    }

    /// Write descriptor `index` of `queue`; `address` is guest-physical.
    pub fn descriptor(&self, queue: usize, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let offset = queue as u64 * RING_STRIDE + u64::from(index) * 16;
        self.poke(offset, &encode_descriptor(address, len, flags, next));
    }

    /// Make the chain at `head` available, and kick if `kick`.
    pub fn offer(&mut self, queue: usize, head: u16, kick: bool) {
        let available = self.queues[queue].available;
        let ring = queue as u64 * RING_STRIDE + AVAILABLE;
        self.poke(ring + 4 + 2 * u64::from(available % QUEUE_SIZE), &head.to_le_bytes());
        self.set_available(queue, available.wrapping_add(1), kick);
    }

    pub fn set_available(&mut self, queue: usize, available: u16, kick: bool) {
        self.queues[queue].available = available;
        fence(Ordering::SeqCst);
        self.poke(queue as u64 * RING_STRIDE + AVAILABLE + 2, &available.to_le_bytes());
        if kick {
            self.queues[queue].kick.write(1).unwrap();
        }
    }

    pub fn header(&self, slot: u16, kind: u32, sector: u64) -> u64 {
        let offset = HEADERS + u64::from(slot) * 32;
        let mut bytes = [0; 17];
        bytes[0..4].copy_from_slice(&kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&sector.to_le_bytes());
        bytes[16] = 0xff;
        self.poke(offset, &bytes);
        GUEST_BASE + offset
    }

    pub fn status(&self, slot: u16) -> u8 {
        self.peek(HEADERS + u64::from(slot) * 32 + 16, 1)[0]
    }

    /// Offer a request of `len` bytes of data at `data` in `slot`.
    pub fn submit(&mut self, queue: usize, slot: u16, kind: u32, sector: u64, data: u64, len: u32) {
        let header = self.header(slot, kind, sector);
        let first = slot % SLOTS * SLOT_DESCRIPTORS;
        let direction = if matches!(kind, READ | GET_ID) { DEVICE_WRITES } else { 0 };
        let data_index = if len > 0 { first + 1 } else { first + 2 };
        self.descriptor(queue, first, header, 16, NEXT, data_index);
        self.descriptor(queue, first + 1, GUEST_BASE + data, len, NEXT | direction, first + 2);
        self.descriptor(queue, first + 2, header + 16, 1, DEVICE_WRITES, 0);
        self.offer(queue, first, true);
    }

    /// Take what was answered: heads and lengths.
    pub fn answered(&mut self, queue: usize) -> Vec<(u16, u32)> {
        let ring = queue as u64 * RING_STRIDE + USED;
        let mut answers = Vec::new();
        let used = self.peek_u16(ring + 2);
        while self.queues[queue].used != used {
            let at = self.queues[queue].used;
            let element = self.peek(ring + 4 + 8 * u64::from(at % QUEUE_SIZE), 8);
            let word = |i: usize| u32::from_le_bytes(element[i..i + 4].try_into().unwrap());
            answers.push((word(0) as u16, word(4)));
            self.queues[queue].used = at.wrapping_add(1);
        }
        // With EVENT_IDX: signal at the next one.
        self.poke(queue as u64 * RING_STRIDE + AVAILABLE + 4 + 2 * u64::from(QUEUE_SIZE), &used.to_le_bytes());
        answers
    }

    /// Wait for the interrupt of `queue`; false if none came for `timeout`.
    pub fn wait_signal(&self, queue: usize, timeout: Duration) -> bool {
        let call = &self.queues[queue].call;
        // SAFETY: the eventfd is open for as long as `self` lives.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(call.as_raw_fd()) };
        let timeout = rustix::event::Timespec::try_from(timeout).unwrap();
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        poll(&mut fds, Some(&timeout)).unwrap() > 0 && call.read().is_ok()
    }

    /// Wait for `count` answers, by interrupt alone.
    pub fn wait_answers(&mut self, queue: usize, count: usize) -> Vec<(u16, u32)> {
        let mut answers = self.answered(queue);
        while answers.len() < count {
            let signalled = self.wait_signal(queue, PATIENCE);
            answers.extend(self.answered(queue));
            assert!(signalled || answers.len() >= count, "no interrupt, {} of {count} answers", answers.len());
        }
        answers
    }

    /// One request from beginning to end; returns its status.
    pub fn run(&mut self, kind: u32, sector: u64, data: u64, len: u32) -> u8 {
        self.submit(0, 0, kind, sector, data, len);
        self.wait_answers(0, 1);
        self.status(0)
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> u8 {
        self.poke(DATA, bytes);
        self.run(WRITE, offset / 512, DATA, bytes.len() as u32)
    }

    pub fn read(&mut self, offset: u64, len: usize) -> Vec<u8> {
        self.poke(DATA, &vec![0xee; len]);
        assert_eq!(self.run(READ, offset / 512, DATA, len as u32), 0);
        self.peek(DATA, len)
    }

    /// Discard or write zeroes.
    pub fn zero(&mut self, kind: u32, offset: u64, len: u64, flags: u32) -> u8 {
        let mut segment = Vec::new();
        segment.extend((offset / 512).to_le_bytes());
        segment.extend(((len / 512) as u32).to_le_bytes());
        segment.extend(flags.to_le_bytes());
        self.poke(DATA, &segment);
        self.run(kind, 0, DATA, 16)
    }
}

pub fn encode_descriptor(address: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0..8].copy_from_slice(&address.to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12..14].copy_from_slice(&flags.to_le_bytes());
    bytes[14..16].copy_from_slice(&next.to_le_bytes());
    bytes
}
