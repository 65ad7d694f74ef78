//! The node's read cache of remote segments: one file of 256 KiB slots.
//!
//! An engine thread asks [`ChunkCache::lookup`], and reads what it gets by io_uring from [`ChunkCache::fd`]; the [`CacheSlot`]
//! keeps the slot from being reused until the read is done. On a miss the background runtime calls [`ChunkCache::fetch`].
//!
//! The index is split into shards, each under a mutex that is held for a few table operations only, never for I/O. Each shard
//! evicts by a clock of its own. Memory: below 128 bytes for a slot, reserved at the start; fetched bytes are in memory only in
//! the [`MAX_FETCHES`] fetches that are under way.
//!
//! The cache holds no truth: it starts empty, is never synced, and whoever reads it verifies what it finds and says
//! [`ChunkCache::invalidate`] if that is wrong.

mod fetch;
mod file;
mod index;

use file::CacheFile;
use index::{Shard, Then};
use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, Semaphore};

/// Size of a chunk and of a slot, in bytes: what is worth one request to the store, and small enough to evict finely.
pub const CHUNK_BYTES: u64 = 256 << 10;
/// GETs under way at once: bounds memory to 16 MiB (each chunk is held twice while it is written).
pub const MAX_FETCHES: usize = 32;
/// Of these, how many may be read-ahead: misses that a guest waits for always find room.
pub const MAX_PREFETCHES: usize = 8;
/// Enough that engine threads rarely meet in one.
const SHARDS: usize = 16;
/// A smaller cache is one shard: each must hold enough slots for its clock to mean something.
const MIN_SHARD_SLOTS: usize = 64;

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkKey {
    /// Opaque; names one immutable object for ever.
    pub segment: u128,
    /// Which 256 KiB of it.
    pub chunk: u32,
}

/// Counted since the cache was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Lookups that found their chunk.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Chunks that made room for others.
    pub evictions: u64,
    /// GETs that filled a slot, read-ahead among them.
    pub fetches: u64,
    /// GETs that failed, or whose bytes could not be written.
    pub fetch_failures: u64,
    /// Read-ahead begun.
    pub prefetches: u64,
    /// Chunks whose contents failed verification.
    pub invalidations: u64,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    fetches: AtomicU64,
    fetch_failures: AtomicU64,
    prefetches: AtomicU64,
    invalidations: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug)]
struct ShardCell {
    shard: Mutex<Shard>,
    /// Signalled when a slot may have become free, if somebody waits.
    freed: Notify,
}

impl ShardCell {
    fn lock(&self) -> MutexGuard<'_, Shard> {
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, then: Then) {
        if then == Then::WakeWaiters {
            self.freed.notify_waiters();
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct ChunkCache {
    file: CacheFile,
    shards: Vec<ShardCell>,
    counters: Counters,
    fetching: Arc<Semaphore>,
    prefetching: Arc<Semaphore>,
}

/// A chunk in the cache, kept there as long as this lives. Pins are for the time of a read: when every slot is pinned, fetches
/// wait.
pub struct CacheSlot {
    cache: Arc<ChunkCache>,
    shard: usize,
    index: u32,
    len: u32,
}

impl CacheSlot {
    /// Where the chunk begins in the file, in bytes; a multiple of [`CHUNK_BYTES`].
    pub fn offset(&self) -> u64 {
        (u64::from(self.index) * self.cache.shards.len() as u64 + self.shard as u64) * CHUNK_BYTES
    }

    /// Bytes of the chunk: [`CHUNK_BYTES`] but for the last of a segment. Zeros follow up to the next multiple of 4096.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Never: empty chunks are not fetched.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for CacheSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSlot").field("offset", &self.offset()).field("len", &self.len).finish()
    }
}

impl Clone for CacheSlot {
    fn clone(&self) -> Self {
        self.cache.shards[self.shard].lock().pin(self.index);
        Self { cache: self.cache.clone(), ..*self }
    }
}

impl Drop for CacheSlot {
    fn drop(&mut self) {
        let cell = &self.cache.shards[self.shard];
        let then = cell.lock().unpin(self.index);
        cell.follow(then);
    }
}

impl ChunkCache {
    /// Opens an empty cache of `capacity_bytes`, rounded down to whole chunks, in the file at `path`. What the file held before is
    /// dropped; it takes disk space as it fills. Blocks.
    ///
    /// # Errors
    /// `ResourceBusy` if another process uses the file; `InvalidInput` if the capacity is below one chunk or beyond what fits an
    /// index; what the file system says.
    pub fn open(path: &Path, capacity_bytes: u64) -> io::Result<Arc<Self>> {
        let slots = usize::try_from(capacity_bytes / CHUNK_BYTES).unwrap_or(usize::MAX);
        if slots == 0 || u32::try_from(slots).is_err() {
            let text = format!("a cache has between 1 and {} chunks of {CHUNK_BYTES} bytes, not {slots}", u32::MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let file = CacheFile::open(path, slots as u64 * CHUNK_BYTES)?;
        let shards = if slots < SHARDS * MIN_SHARD_SLOTS { 1 } else { SHARDS };
        let cell = |shard: usize| ShardCell {
            // Slots are dealt out in turn: shard 0 has slots 0, 16, 32 and so on of the file.
            shard: Mutex::new(Shard::new((slots - shard).div_ceil(shards))),
            freed: Notify::new(),
        };
        Ok(Arc::new(Self {
            file,
            shards: (0..shards).map(cell).collect(),
            counters: Counters::default(),
            fetching: Arc::new(Semaphore::new(MAX_FETCHES)),
            prefetching: Arc::new(Semaphore::new(MAX_PREFETCHES)),
        }))
    }

    /// The file, for reads by io_uring at [`CacheSlot::offset`].
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.file().as_fd()
    }

    /// Whether the file is open with `O_DIRECT`: reads must then be aligned to 512 bytes, in the file and in memory.
    pub fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    /// The chunk, if it is cached. Never blocks on I/O and allocates nothing.
    pub fn lookup(self: &Arc<Self>, key: ChunkKey) -> Option<CacheSlot> {
        let slot = self.find(key);
        count(if slot.is_some() { &self.counters.hits } else { &self.counters.misses });
        slot
    }

    /// Drops a chunk whose contents turned out wrong; who has it pinned keeps what it has. Returns whether it was there.
    pub fn invalidate(&self, key: ChunkKey) -> bool {
        let cell = &self.shards[self.shard_of(key)];
        let (was_there, then) = cell.lock().invalidate(&key);
        cell.follow(then);
        if was_there {
            count(&self.counters.invalidations);
        }
        was_there
    }

    /// Counters since the start.
    pub fn stats(&self) -> CacheStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            hits: of(&self.counters.hits),
            misses: of(&self.counters.misses),
            evictions: self.shards.iter().map(|cell| cell.lock().evictions).sum(),
            fetches: of(&self.counters.fetches),
            fetch_failures: of(&self.counters.fetch_failures),
            prefetches: of(&self.counters.prefetches),
            invalidations: of(&self.counters.invalidations),
        }
    }

    /// Every bit of the key counts, and the map's own hash stays independent of it.
    fn shard_of(&self, key: ChunkKey) -> usize {
        let folded = (key.segment as u64) ^ ((key.segment >> 64) as u64).rotate_left(29) ^ (u64::from(key.chunk) << 17);
        let mixed = (folded ^ (folded >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as usize % self.shards.len()
    }

    fn find(self: &Arc<Self>, key: ChunkKey) -> Option<CacheSlot> {
        let shard = self.shard_of(key);
        let (index, len) = self.shards[shard].lock().lookup(&key)?;
        Some(CacheSlot { cache: self.clone(), shard, index, len })
    }
}
