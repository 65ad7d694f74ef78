//! A virtio-net driver in userspace. Guest memory is a file, reached with reads and writes: the daemon maps the same pages.

use hive_packet::{MacAddr, VnetHeader};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserDirtyLogRegion, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::EventFd;

/// Feature bits of virtio-net and its rings (virtio 1.2, 5.1.3 and 6).
pub mod feature {
    pub const CSUM: u64 = 1 << 0;
    pub const GUEST_CSUM: u64 = 1 << 1;
    pub const GUEST_TSO4: u64 = 1 << 7;
    pub const HOST_TSO4: u64 = 1 << 11;
    pub const MRG_RXBUF: u64 = 1 << 15;
    pub const LOG_ALL: u64 = 1 << 26;
    pub const INDIRECT_DESC: u64 = 1 << 28;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const PROTOCOL_FEATURES: u64 = 1 << 30;
    pub const VERSION_1: u64 = 1 << 32;
}

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Repeats `attempt` until it gives something.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Of the guest with a number.
pub fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, number])
}

pub fn ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

pub const RING_SIZE: u16 = 256;
pub const GUEST_BASE: u64 = 0x10_0000;
const USER_BASE: u64 = 0x7000_0000_0000;
const RING_BYTES: u64 = 0x1_0000;
const AVAIL: u64 = 0x2000;
pub const USED: u64 = 0x4000;
const INDIRECT: u64 = 0x8000;
const BUFFERS: u64 = 0x40_0000;
/// Room for one frame of any size.
const BUFFER_BYTES: u64 = 0x1_1000;

#[derive(Clone)]
pub struct Options {
    pub features: u64,
    pub pairs: usize,
    pub rx_buffer_bytes: u32,
    pub rx_buffers: u16,
    pub indirect: bool,
}

impl Default for Options {
    fn default() -> Self {
        let features = feature::VERSION_1 | feature::PROTOCOL_FEATURES | feature::MRG_RXBUF;
        Self { features, pairs: 1, rx_buffer_bytes: 2048, rx_buffers: RING_SIZE, indirect: false }
    }
}

struct Ring {
    next_avail: u16,
    next_used: u16,
    kick: EventFd,
    call: EventFd,
}

pub struct Guest {
    pub memory: File,
    frontend: Frontend,
    rings: Vec<Ring>,
    pub options: Options,
    pub mac: MacAddr,
    pub ip: Ipv4Addr,
}

/// A received frame.
#[derive(Debug)]
pub struct Received {
    pub header: VnetHeader,
    pub num_buffers: u16,
    pub frame: Vec<u8>,
}

impl Guest {
    pub fn connect(socket: &Path, number: u8, options: Options) -> Self {
        let frontend = Frontend::connect(socket, options.pairs as u64 * 2).unwrap();
        Self::with(frontend, number, options)
    }

    /// The backend has connected to us.
    pub fn accepted(stream: std::os::unix::net::UnixStream, number: u8, options: Options) -> Self {
        let frontend = Frontend::from_stream(stream, options.pairs as u64 * 2);
        Self::with(frontend, number, options)
    }

    fn with(mut frontend: Frontend, number: u8, options: Options) -> Self {
        let memory = tempfile::tempfile().unwrap();
        let rings = options.pairs * 2;
        memory.set_len(BUFFERS + rings as u64 * u64::from(RING_SIZE) * BUFFER_BYTES).unwrap();
        frontend.set_owner().unwrap();
        let offered = frontend.get_features().unwrap();
        assert_eq!(offered & options.features, options.features);
        let protocol = frontend.get_protocol_features().unwrap();
        let wanted =
            VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK | VhostUserProtocolFeatures::LOG_SHMFD;
        frontend.set_protocol_features(protocol & wanted).unwrap();
        frontend.set_hdr_flags(vhost::vhost_user::message::VhostUserHeaderFlag::NEED_REPLY);
        frontend.set_features(options.features).unwrap();
        frontend
            .set_mem_table(&[VhostUserMemoryRegionInfo {
                guest_phys_addr: GUEST_BASE,
                memory_size: memory.metadata().unwrap().len(),
                userspace_addr: USER_BASE,
                mmap_offset: 0,
                mmap_handle: memory.as_raw_fd(),
            }])
            .unwrap();
        let rings = (0..rings)
            .map(|_| Ring {
                next_avail: 0,
                next_used: 0,
                kick: EventFd::new(0).unwrap(),
                call: EventFd::new(0).unwrap(),
            })
            .collect();
        let mut guest = Self { memory, frontend, rings, options, mac: mac(number), ip: ip(number) };
        for index in 0..guest.rings.len() {
            guest.start_ring(index);
        }
        guest
    }

    /// What a reset of the machine does: rings stop, and a driver that knows nothing of the former one starts.
    pub fn restart_driver(&mut self) {
        for index in 0..self.rings.len() {
            self.frontend.get_vring_base(index).unwrap();
            self.write(Self::ring_at(index), &vec![0; RING_BYTES as usize]);
            (self.rings[index].next_avail, self.rings[index].next_used) = (0, 0);
        }
        self.frontend.set_features(self.options.features).unwrap();
        for index in 0..self.rings.len() {
            self.start_ring(index);
        }
    }

    /// Shares a log of written pages.
    pub fn share_log(&mut self, file: &impl AsRawFd, mmap_offset: u64, mmap_size: u64) -> Result<(), vhost::Error> {
        let region = VhostUserDirtyLogRegion { mmap_size, mmap_offset, mmap_handle: file.as_raw_fd() };
        self.frontend.set_log_base(0, Some(region))
    }

    pub fn share_log_call(&mut self, call: &EventFd) -> Result<(), vhost::Error> {
        self.frontend.set_log_fd(call.as_raw_fd())
    }

    /// Turns the logging of buffers on and off, and that of used rings, by their guest address and an offset.
    pub fn log_writes(&mut self, buffers: bool, used: Option<u64>) {
        let log_all = if buffers { feature::LOG_ALL } else { 0 };
        self.frontend.set_features(self.options.features | log_all).unwrap();
        for index in 0..self.rings.len() {
            self.set_addresses(index, used);
        }
    }

    pub fn ring_at(index: usize) -> u64 {
        index as u64 * RING_BYTES
    }

    fn start_ring(&mut self, index: usize) {
        self.frontend.set_vring_num(index, RING_SIZE).unwrap();
        self.frontend.set_vring_base(index, 0).unwrap();
        self.set_addresses(index, None);
        self.frontend.set_vring_kick(index, &self.rings[index].kick).unwrap();
        self.frontend.set_vring_call(index, &self.rings[index].call).unwrap();
        self.frontend.set_vring_enable(index, true).unwrap();
        if index.is_multiple_of(2) {
            for slot in 0..self.options.rx_buffers {
                self.put_descriptor(index, slot, self.buffer(index, slot), self.options.rx_buffer_bytes, 2, 0);
                self.make_available(index, slot);
            }
        }
    }

    /// The used ring is logged at its guest address and an offset.
    fn set_addresses(&mut self, index: usize, log_used: Option<u64>) {
        let at = Self::ring_at(index);
        let config = VringConfigData {
            queue_max_size: RING_SIZE,
            queue_size: RING_SIZE,
            flags: log_used.is_some().into(),
            desc_table_addr: USER_BASE + at,
            used_ring_addr: USER_BASE + at + USED,
            avail_ring_addr: USER_BASE + at + AVAIL,
            log_addr: log_used.map(|offset| (GUEST_BASE + at + USED).wrapping_add(offset)),
        };
        self.frontend.set_vring_addr(index, &config).unwrap();
    }

    pub fn buffer(&self, ring: usize, slot: u16) -> u64 {
        BUFFERS + (ring as u64 * u64::from(RING_SIZE) + u64::from(slot)) * BUFFER_BYTES
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, at).unwrap();
    }

    fn read_u16(&self, at: u64) -> u16 {
        let mut bytes = [0; 2];
        self.memory.read_exact_at(&mut bytes, at).unwrap();
        u16::from_le_bytes(bytes)
    }

    /// Writes a descriptor whose buffer is at `offset` of the memory file.
    pub fn put_descriptor(&self, ring: usize, slot: u16, offset: u64, len: u32, flags: u16, next: u16) {
        let at = Self::ring_at(ring) + u64::from(slot) * 16;
        self.write(at, &descriptor(GUEST_BASE + offset, len, flags, next));
    }

    pub fn make_available(&mut self, ring: usize, head: u16) {
        let at = Self::ring_at(ring) + AVAIL;
        let old = self.rings[ring].next_avail;
        self.write(at + 4 + 2 * u64::from(old % RING_SIZE), &head.to_le_bytes());
        fence(Ordering::SeqCst);
        let new = old.wrapping_add(1);
        self.write(at + 2, &new.to_le_bytes());
        self.rings[ring].next_avail = new;
        fence(Ordering::SeqCst);
        let used = Self::ring_at(ring) + USED;
        // Kicks only as asked for, so that a missing request would be found.
        let wanted = if self.options.features & feature::EVENT_IDX != 0 {
            let event = self.read_u16(used + 4 + 8 * u64::from(RING_SIZE));
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            self.read_u16(used) & 1 == 0
        };
        if wanted {
            self.rings[ring].kick.write(1).unwrap();
        }
    }

    /// Writes the available index as it is, and kicks.
    pub fn force_available_index(&mut self, ring: usize, index: u16) {
        self.write(Self::ring_at(ring) + AVAIL + 2, &index.to_le_bytes());
        self.rings[ring].kick.write(1).unwrap();
    }

    pub fn write_ring_bytes(&self, ring: usize, offset: u64, bytes: &[u8]) {
        self.write(Self::ring_at(ring) + offset, bytes);
    }

    pub fn send(&mut self, frame: &[u8]) {
        self.send_on(0, VnetHeader::default(), frame);
    }

    /// Sends from a queue pair: the header in one descriptor, the frame split over two more.
    pub fn send_on(&mut self, pair: usize, header: VnetHeader, frame: &[u8]) {
        let ring = pair * 2 + 1;
        let slot = (self.rings[ring].next_avail % (RING_SIZE / 4)) * 3;
        let at = self.buffer(ring, slot);
        self.write(at, &header.to_bytes(0));
        self.write(at + 12, frame);
        let half = (frame.len() / 2) as u64;
        let parts = [(at, 12), (at + 12, half), (at + 12 + half, frame.len() as u64 - half)];
        if self.options.indirect {
            let table = Self::ring_at(ring) + INDIRECT + u64::from(slot) * 48;
            let table = if slot > 200 { Self::ring_at(ring) + INDIRECT } else { table };
            for (position, (offset, len)) in parts.iter().enumerate() {
                let next = if position < 2 { 1 } else { 0 };
                let entry = descriptor(GUEST_BASE + offset, *len as u32, next, position as u16 + 1);
                self.write(table + 16 * position as u64, &entry);
            }
            self.put_descriptor(ring, slot, table, 48, 4, 0);
        } else {
            for (position, (offset, len)) in parts.iter().enumerate() {
                let next = if position < 2 { 1 } else { 0 };
                let slot = slot + position as u16;
                self.put_descriptor(ring, slot, *offset, *len as u32, next, slot + 1);
            }
        }
        self.make_available(ring, slot);
    }

    /// The next frame on a queue pair, if there is one.
    pub fn try_receive(&mut self, pair: usize) -> Option<Received> {
        let ring = pair * 2;
        let used = Self::ring_at(ring) + USED;
        fence(Ordering::SeqCst);
        if self.read_u16(used + 2) == self.rings[ring].next_used {
            return None;
        }
        let mut bytes = Vec::new();
        let mut num_buffers = 1;
        let mut taken = 0;
        while taken < num_buffers {
            let mut element = [0; 8];
            let at = used + 4 + 8 * u64::from(self.rings[ring].next_used % RING_SIZE);
            self.memory.read_exact_at(&mut element, at).unwrap();
            let slot = u16::from_le_bytes([element[0], element[1]]);
            let len = u32::from_le_bytes([element[4], element[5], element[6], element[7]]);
            let mut part = vec![0; len as usize];
            self.memory.read_exact_at(&mut part, self.buffer(ring, slot)).unwrap();
            bytes.extend_from_slice(&part);
            if taken == 0 {
                num_buffers = u16::from_le_bytes([bytes[10], bytes[11]]);
            }
            taken += 1;
            self.rings[ring].next_used = self.rings[ring].next_used.wrapping_add(1);
            self.make_available(ring, slot);
        }
        let header = VnetHeader::from_bytes(bytes.first_chunk().unwrap());
        Some(Received { header, num_buffers, frame: bytes[12..].to_vec() })
    }

    pub fn receive_on(&mut self, pair: usize) -> Received {
        eventually("a frame", || self.try_receive(pair))
    }

    pub fn receive(&mut self) -> Vec<u8> {
        self.receive_on(0).frame
    }

    /// Receive buffers of a pair that were filled, counted without taking them.
    pub fn delivered(&self, pair: usize) -> u16 {
        self.read_u16(Self::ring_at(pair * 2) + USED + 2)
    }

    /// Completed sends of a pair.
    pub fn sent(&self, pair: usize) -> u16 {
        self.read_u16(Self::ring_at(pair * 2 + 1) + USED + 2)
    }

    /// An Ethernet frame with an IPv4 UDP datagram to another guest.
    pub fn udp_to(&self, other: &Guest, payload: &[u8]) -> Vec<u8> {
        let packet = hive_packet::build::udp(self.ip, other.ip, 1000, 2000, payload);
        hive_packet::build::ethernet(other.mac, self.mac, &packet)
    }
}

pub fn descriptor(addr: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&addr.to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12..14].copy_from_slice(&flags.to_le_bytes());
    bytes[14..].copy_from_slice(&next.to_le_bytes());
    bytes
}
