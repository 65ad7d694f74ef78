//! A virtio-net driver in userspace, of one queue pair, at a switch's vhost-user port. Its memory is a file, which the switch maps.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{Ordering, fence};
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::EventFd;

const MRG_RXBUF: u64 = 1 << 15;
const PROTOCOL_FEATURES: u64 = 1 << 30;
const VERSION_1: u64 = 1 << 32;
const RING_SIZE: u16 = 64;
const GUEST_BASE: u64 = 0x10_0000;
const USER_BASE: u64 = 0x7000_0000_0000;
/// Descriptors, and behind them the two other parts of a ring.
const RING_BYTES: u64 = 0x1_0000;
const AVAIL: u64 = 0x2000;
const USED: u64 = 0x4000;
const BUFFERS: u64 = 0x4_0000;
/// One whole frame, with its header.
const BUFFER_BYTES: u64 = 0x4000;
const HEADER_BYTES: usize = 12;
const WRITE: u16 = 2;

struct Ring {
    next_avail: u16,
    next_used: u16,
    kick: EventFd,
    _call: EventFd,
}

pub struct Guest {
    memory: File,
    _frontend: Frontend,
    /// Receive, transmit.
    rings: [Ring; 2],
}

fn ring_at(ring: usize) -> u64 {
    ring as u64 * RING_BYTES
}

fn buffer(ring: usize, slot: u16) -> u64 {
    BUFFERS + (ring as u64 * u64::from(RING_SIZE) + u64::from(slot)) * BUFFER_BYTES
}

impl Guest {
    pub fn connect(socket: &Path) -> Self {
        let mut frontend = Frontend::connect(socket, 2).expect("the port's socket");
        let memory = tempfile::tempfile().expect("memory");
        memory.set_len(BUFFERS + 2 * u64::from(RING_SIZE) * BUFFER_BYTES).expect("memory");
        frontend.set_owner().expect("an owner");
        let features = VERSION_1 | PROTOCOL_FEATURES | MRG_RXBUF;
        assert_eq!(frontend.get_features().expect("features") & features, features);
        let protocol = frontend.get_protocol_features().expect("features");
        frontend.set_protocol_features(protocol & VhostUserProtocolFeatures::REPLY_ACK).expect("features");
        frontend.set_features(features).expect("features");
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: GUEST_BASE,
            memory_size: memory.metadata().expect("memory").len(),
            userspace_addr: USER_BASE,
            mmap_offset: 0,
            mmap_handle: memory.as_raw_fd(),
        };
        frontend.set_mem_table(&[region]).expect("memory");
        let event = || EventFd::new(0).expect("an eventfd");
        let ring = || Ring { next_avail: 0, next_used: 0, kick: event(), _call: event() };
        let rings = [ring(), ring()];
        for (index, ring) in rings.iter().enumerate() {
            let at = USER_BASE + ring_at(index);
            let config = VringConfigData {
                queue_max_size: RING_SIZE,
                queue_size: RING_SIZE,
                flags: 0,
                desc_table_addr: at,
                used_ring_addr: at + USED,
                avail_ring_addr: at + AVAIL,
                log_addr: None,
            };
            frontend.set_vring_num(index, RING_SIZE).expect("a ring");
            frontend.set_vring_base(index, 0).expect("a ring");
            frontend.set_vring_addr(index, &config).expect("a ring");
            frontend.set_vring_kick(index, &ring.kick).expect("a ring");
            frontend.set_vring_call(index, &ring._call).expect("a ring");
            frontend.set_vring_enable(index, true).expect("a ring");
        }
        let mut guest = Self { memory, _frontend: frontend, rings };
        for slot in 0..RING_SIZE {
            guest.offer(0, slot, BUFFER_BYTES as u32, WRITE);
        }
        guest
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, at).expect("memory");
    }

    fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read_exact_at(&mut bytes, at).expect("memory");
        bytes
    }

    fn offer(&mut self, ring: usize, slot: u16, length: u32, flags: u16) {
        let address = GUEST_BASE + buffer(ring, slot);
        let descriptor =
            [&address.to_le_bytes()[..], &length.to_le_bytes(), &flags.to_le_bytes(), &0u16.to_le_bytes()].concat();
        self.write(ring_at(ring) + 16 * u64::from(slot), &descriptor);
        let (avail, index) = (ring_at(ring) + AVAIL, self.rings[ring].next_avail);
        self.write(avail + 4 + 2 * u64::from(index % RING_SIZE), &slot.to_le_bytes());
        fence(Ordering::SeqCst);
        self.rings[ring].next_avail = index.wrapping_add(1);
        self.write(avail + 2, &self.rings[ring].next_avail.to_le_bytes());
        self.rings[ring].kick.write(1).expect("a kick");
    }

    pub fn send(&mut self, frame: &[u8]) {
        let slot = self.rings[1].next_avail % RING_SIZE;
        self.write(buffer(1, slot), &[0; HEADER_BYTES]);
        self.write(buffer(1, slot) + HEADER_BYTES as u64, frame);
        self.offer(1, slot, (HEADER_BYTES + frame.len()) as u32, 0);
    }

    /// The next frame, if one has come. Each has fitted into a buffer.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let (used, index) = (ring_at(0) + USED, self.rings[0].next_used);
        fence(Ordering::SeqCst);
        if u16::from_le_bytes(self.read(used + 2)) == index {
            return None;
        }
        let element: [u8; 8] = self.read(used + 4 + 8 * u64::from(index % RING_SIZE));
        let (slot, length) =
            (u16::from_le_bytes([element[0], element[1]]), usize::from(element[4]) | usize::from(element[5]) << 8);
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, buffer(0, slot)).expect("memory");
        self.rings[0].next_used = index.wrapping_add(1);
        self.offer(0, slot, BUFFER_BYTES as u32, WRITE);
        Some(bytes.split_off(HEADER_BYTES))
    }
}
