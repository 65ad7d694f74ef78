//! The same disk under an independent driver: the `virtio-driver` crate.

use crate::daemon::Daemon;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::os::fd::AsRawFd;
use virtio_driver::{VhostUser, VirtioBlkFeatureFlags, VirtioBlkQueue, VirtioBlkTransport, VirtioFeatureFlags};
use vm_memory::{FileOffset, MmapRegion};

const MEMORY_BYTES: usize = 1 << 20;

/// Wait by interrupt for `count` completions of `queue`; their results must be good.
fn finish(transport: &VirtioBlkTransport, queue: &mut VirtioBlkQueue<usize>, index: usize, count: usize) {
    transport.get_submission_notifier(index).notify().unwrap();
    let mut done = 0;
    while done < count {
        for completion in queue.completions() {
            assert_eq!(completion.ret, 0, "request {}", completion.context);
            done += 1;
        }
        if done < count {
            transport.get_completion_fd(index).read().unwrap();
        }
    }
}

#[test]
fn an_independent_driver_reads_writes_and_flushes_on_four_queues() {
    let daemon = Daemon::start();
    daemon.create("disk", 64 << 20, None);
    let socket = daemon.attach("disk", 4);
    let wanted = VirtioFeatureFlags::VERSION_1.bits()
        | VirtioFeatureFlags::RING_EVENT_IDX.bits()
        | VirtioBlkFeatureFlags::all().bits();
    let mut transport: Box<VirtioBlkTransport> = Box::new(VhostUser::new(socket.to_str().unwrap(), wanted).unwrap());
    let config = transport.get_config().unwrap();
    assert_eq!(u64::from(config.capacity), (64 << 20) / 512);
    let mut queues = VirtioBlkQueue::setup_queues(&mut *transport, 4, 128).unwrap();
    queues.iter_mut().for_each(|queue| queue.set_used_notif_enabled(true));
    let file = File::from(memfd_create("data", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(MEMORY_BYTES as u64).unwrap();
    let memory: MmapRegion =
        MmapRegion::from_file(FileOffset::new(file.try_clone().unwrap(), 0), MEMORY_BYTES).unwrap();
    transport.map_mem_region(memory.as_ptr() as usize, MEMORY_BYTES, file.as_raw_fd(), 0).unwrap();
    let page = |i: usize| {
        // SAFETY: 32 pages of 4 KiB lie within the mapping, and each is borrowed by one request at a time.
        unsafe { std::slice::from_raw_parts_mut(memory.as_ptr().add(i * 4096), 4096) }
    };
    for round in 0..8u64 {
        for (index, queue) in queues.iter_mut().enumerate() {
            for i in 0..32 {
                page(i).fill((round as u8) << 5 ^ i as u8 ^ index as u8);
                let block = round * 128 + index as u64 * 32 + i as u64;
                queue.write(block * 4096, page(i), i).unwrap();
            }
            finish(&*transport, queue, index, 32);
            queue.flush(99).unwrap();
            finish(&*transport, queue, index, 1);
            for i in 0..32 {
                page(i).fill(0xcc);
                let block = round * 128 + index as u64 * 32 + i as u64;
                queue.read(block * 4096, page(i), i).unwrap();
            }
            finish(&*transport, queue, index, 32);
            for i in 0..32 {
                assert!(page(i).iter().all(|&b| b == (round as u8) << 5 ^ i as u8 ^ index as u8));
            }
        }
    }
    queues[0].discard(0, 1 << 20, 0).unwrap();
    queues[0].write_zeroes(1 << 20, 1 << 20, true, 1).unwrap();
    finish(&*transport, &mut queues[0], 0, 2);
    queues[3].read(4096, page(0), 0).unwrap();
    finish(&*transport, &mut queues[3], 3, 1);
    assert_eq!(page(0), [0; 4096]);
    let metrics = daemon.metrics().volumes["disk"].clone();
    assert_eq!(
        (metrics.writes, metrics.reads, metrics.flushes, metrics.discards, metrics.errors),
        (1024, 1025, 32, 2, 0)
    );
}
