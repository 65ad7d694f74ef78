//! A guest's virtqueue: descriptor tables, chains, indirect tables and request headers of its own making.
#![no_main]

use hive_blockd::memory::{GuestMemory, RegionInfo};
use hive_blockd::vhost::{Limits, Ring, RingAddresses, parse_request};
use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::os::unix::fs::FileExt;

const MEMORY_BYTES: u64 = 1 << 16;
const QUEUE_SIZE: u16 = 64;

fuzz_target!(|bytes: &[u8]| {
    let memfd = rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
    let file = File::from(memfd);
    file.set_len(MEMORY_BYTES).expect("size");
    file.write_all_at(&bytes[..bytes.len().min(MEMORY_BYTES as usize)], 0).expect("contents");
    let info = RegionInfo { guest_base: 0, user_base: 0, size_bytes: MEMORY_BYTES, file_offset: 0 };
    let memory = GuestMemory::default().with_region(info, file).expect("region");
    let at = RingAddresses { descriptors: 0, available: 0x400, used: 0x800 };
    let ring = Ring::new(&memory, QUEUE_SIZE, at).expect("ring");
    for allow_indirect in [false, true] {
        let limits = Limits { size_bytes: 1 << 20, read_only: false, allow_indirect };
        for index in 0..QUEUE_SIZE {
            let _ = parse_request(&ring, &memory, ring.available_head(index), limits);
        }
    }
});
