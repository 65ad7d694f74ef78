//! The load generator: a userspace virtio-blk driver that keeps a number of requests in flight and waits by interrupt.

#![allow(unsafe_code)]

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};
use virtio_driver::{VhostUser, VirtioBlkFeatureFlags, VirtioBlkQueue, VirtioBlkTransport, VirtioFeatureFlags};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

const QUEUE_SIZE: u16 = 128;

/// What to do at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    RandomRead,
    RandomWrite,
    SequentialRead,
    SequentialWrite,
    /// A random write, then a flush, then the next.
    WriteFlush,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub pattern: Pattern,
    pub block_bytes: usize,
    /// Requests in flight.
    pub depth: usize,
    /// Part of the disk used: where it begins, and how long it is.
    pub start_bytes: u64,
    pub span_bytes: u64,
}

impl Load {
    /// The blocks of the span that a load in random places with `seed` goes to, in order.
    pub fn random_blocks(self, seed: u64) -> impl Iterator<Item = u64> {
        let mut places = Places::random(self, seed);
        std::iter::repeat_with(move || places.next_block())
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Requests, or write and flush pairs, a second.
    pub per_second: f64,
    pub requests: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Elapsed(Duration),
    /// So many requests.
    Count(u64),
    /// So many requests, or this long if they take longer.
    CountWithin(u64, Duration),
}

/// Where a request goes; xorshift64* for the random ones.
struct Places {
    blocks: u64,
    state: u64,
    sequential: bool,
}

impl Places {
    fn random(load: Load, seed: u64) -> Self {
        // Neighbouring seeds must not begin alike: spread them (splitmix64).
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self { blocks: load.span_bytes / load.block_bytes as u64, state: state | 1, sequential: false }
    }

    fn in_sequence(load: Load) -> Self {
        Self { blocks: load.span_bytes / load.block_bytes as u64, state: 0, sequential: true }
    }

    fn next_block(&mut self) -> u64 {
        if self.sequential {
            self.state += 1;
            return (self.state - 1) % self.blocks;
        }
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % self.blocks
    }
}

/// What a completion was of.
#[derive(Clone, Copy)]
struct Pending {
    slot: usize,
    begun: Instant,
    flush: bool,
}

/// Connect to the disk at `socket` and run `load`.
pub fn drive(socket: &Path, load: Load, until: Until, seed: u64) -> anyhow::Result<Outcome> {
    drive_paced(socket, load, until, seed, None)
}

/// The same, beginning at most one request each `interval`.
pub fn drive_paced(
    socket: &Path,
    load: Load,
    until: Until,
    seed: u64,
    interval: Option<Duration>,
) -> anyhow::Result<Outcome> {
    let wanted = VirtioFeatureFlags::VERSION_1.bits()
        | VirtioFeatureFlags::RING_EVENT_IDX.bits()
        | VirtioBlkFeatureFlags::FLUSH.bits();
    let path = socket.to_str().context("a socket's path must be text")?;
    let transport = VhostUser::new(path, wanted).with_context(|| format!("cannot connect to {path}"))?;
    let mut transport: Box<VirtioBlkTransport> = Box::new(transport);
    let mut queues = VirtioBlkQueue::<Pending>::setup_queues(&mut *transport, 1, QUEUE_SIZE)?;
    let bytes = load.depth * load.block_bytes;
    let file = File::from(rustix::fs::memfd_create("load", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.set_len(bytes as u64)?;
    let memory: MmapRegion = MmapRegion::from_file(FileOffset::new(file.try_clone()?, 0), bytes)?;
    // Zeros would need no room, and some side might know it.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ seed;
    let noise: Vec<u64> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state
    })
    .take(bytes / 8)
    .collect();
    memory.get_slice(0, bytes)?.copy_from(&noise);
    transport.map_mem_region(memory.as_ptr() as usize, bytes, file.as_raw_fd(), 0)?;
    let (notifier, interrupt) = (transport.get_submission_notifier(0), transport.get_completion_fd(0));
    let Some(queue) = queues.first_mut() else { bail!("no queue") };
    queue.set_used_notif_enabled(true);

    let sequential = matches!(load.pattern, Pattern::SequentialRead | Pattern::SequentialWrite);
    let mut places = if sequential { Places::in_sequence(load) } else { Places::random(load, seed) };
    let mut submit = |queue: &mut VirtioBlkQueue<'_, Pending>, slot: usize| {
        let offset = load.start_bytes + places.next_block() * load.block_bytes as u64;
        let context = Pending { slot, begun: Instant::now(), flush: false };
        // SAFETY: the buffer of `slot` lies within the mapping, which outlives the queue's use below.
        unsafe {
            let buffer = memory.as_ptr().add(slot * load.block_bytes);
            match load.pattern {
                Pattern::RandomRead | Pattern::SequentialRead => {
                    queue.read_raw(offset, buffer, load.block_bytes, context)
                }
                Pattern::RandomWrite | Pattern::SequentialWrite | Pattern::WriteFlush => {
                    queue.write_raw(offset, buffer, load.block_bytes, context)
                }
            }
        }
    };

    let start = Instant::now();
    let mut latencies_ns: Vec<u64> = Vec::new();
    let (mut submitted, mut in_flight) = (0u64, 0usize);
    let may_submit = |submitted: u64| match until {
        Until::Elapsed(limit) => start.elapsed() < limit,
        Until::Count(count) => submitted < count,
        Until::CountWithin(count, limit) => submitted < count && start.elapsed() < limit,
    };
    let mut next = start;
    let mut pace = || {
        if let Some(interval) = interval {
            // A request that took longer is not made up for: the next ones would measure the queue of this driver.
            next = (next + interval).max(Instant::now());
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    };
    let mut ready: Vec<Pending> = Vec::new();
    for slot in 0..load.depth {
        if may_submit(submitted) {
            submit(queue, slot)?;
            submitted += 1;
            in_flight += 1;
        }
    }
    loop {
        if queue.avail_notif_needed() {
            notifier.notify()?;
        }
        if in_flight == 0 {
            break;
        }
        while ready.is_empty() {
            for completion in queue.completions() {
                if completion.ret != 0 {
                    bail!("a request failed with {}", completion.ret);
                }
                ready.push(completion.context);
            }
            if ready.is_empty() {
                // A device may make the eventfd it shares with us non-blocking: wait first, and read in vain at worst.
                poll(&mut [PollFd::new(&*interrupt, PollFlags::IN)], None)?;
                let _ = interrupt.read();
            }
        }
        for context in ready.drain(..) {
            if load.pattern == Pattern::WriteFlush && !context.flush {
                queue.flush(Pending { flush: true, ..context })?;
                continue;
            }
            latencies_ns.push(u64::try_from(context.begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
            in_flight -= 1;
            if may_submit(submitted) {
                pace();
                submit(queue, context.slot)?;
                submitted += 1;
                in_flight += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    latencies_ns.sort_unstable();
    let at = |part: f64| {
        let index = ((latencies_ns.len() as f64 * part) as usize).min(latencies_ns.len().saturating_sub(1));
        latencies_ns.get(index).map_or(0.0, |ns| *ns as f64 / 1000.0)
    };
    Ok(Outcome {
        per_second: latencies_ns.len() as f64 / seconds,
        requests: latencies_ns.len() as u64,
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: at(1.0),
    })
}
