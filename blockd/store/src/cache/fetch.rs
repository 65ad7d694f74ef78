//! Filling the cache: one GET for all who miss a chunk at once.

use super::{CHUNK_BYTES, CacheSlot, ChunkCache, ChunkKey, count, index::Claim};
use crate::{
    ObjectStore,
    error::{Attempt, Operation, StoreError, said},
};
use bytes::Bytes;
use std::{io, ops::Range, sync::Arc, time::Instant};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Slots tried for one chunk when the disk is full: the file's growth is stopped by the first failure, so the second has space,
/// unless another task was just as late.
const WRITE_ATTEMPTS: usize = 3;

type Outcome = Result<CacheSlot, StoreError>;

/// What is known of a fetch under way: nothing yet, or how it ended.
pub(super) type Flight = watch::Receiver<Option<Outcome>>;

/// What a fetch finds when it begins.
enum Start {
    Cached(CacheSlot),
    Follow(Flight),
    Lead(watch::Sender<Option<Outcome>>, Flight),
}

/// A fetch that is entered in its shard's table; leaves it when dropped.
struct Leader {
    cache: Arc<ChunkCache>,
    key: ChunkKey,
    object: String,
    range: Range<u64>,
    /// Read-ahead: nobody asked for it yet.
    is_ahead: bool,
}

impl Drop for Leader {
    fn drop(&mut self) {
        let cell = &self.cache.shards[self.cache.shard_of(self.key)];
        let flight = cell.lock().flights.remove(&self.key);
        // Only now: it may hold the last pin of a slot, and unpinning takes the same mutex.
        drop(flight);
    }
}

/// A claimed slot; given back unless it is published.
struct Filling {
    cache: Arc<ChunkCache>,
    shard: usize,
    index: u32,
    disk_full: bool,
    published: bool,
}

impl Filling {
    fn publish(mut self, key: ChunkKey, len: u32, referenced: bool) -> CacheSlot {
        self.cache.shards[self.shard].lock().publish(self.index, key, len, referenced);
        self.published = true;
        CacheSlot { cache: self.cache.clone(), shard: self.shard, index: self.index, len }
    }

    fn offset(&self) -> u64 {
        (u64::from(self.index) * self.cache.shards.len() as u64 + self.shard as u64) * CHUNK_BYTES
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if !self.published {
            let cell = &self.cache.shards[self.shard];
            let then = cell.lock().abandon(self.index, self.disk_full, Instant::now());
            cell.follow(then);
        }
    }
}

/// The bytes of a chunk within its object.
fn chunk_range(object: &str, object_len: u64, chunk: u32) -> Result<Range<u64>, StoreError> {
    let start = u64::from(chunk) * CHUNK_BYTES;
    let range = start..object_len.min(start + CHUNK_BYTES);
    if range.is_empty() {
        let source = said(format!("chunk {chunk} lies beyond its {object_len} bytes"));
        return Err(StoreError::Invalid { attempt: Attempt::new(Operation::GetRange, object), source });
    }
    Ok(range)
}

impl ChunkCache {
    /// The chunk `key`, which is the part of object `object_key` (of `object_len` bytes) that its number says: from the cache, or
    /// from `store`. Whoever misses a chunk while it is being fetched waits for that one request. The fetch goes on if this is
    /// dropped. Waits when [`super::MAX_FETCHES`] are under way, and when every slot is pinned.
    ///
    /// # Errors
    /// What [`ObjectStore::get_range`] says; [`StoreError::Invalid`] if the object has no such chunk; an [`Operation::FillCache`]
    /// error if the cache's file cannot be written. Nothing is cached then.
    pub async fn fetch(
        self: &Arc<Self>,
        store: &Arc<dyn ObjectStore>,
        object_key: &str,
        object_len: u64,
        key: ChunkKey,
    ) -> Result<CacheSlot, StoreError> {
        let range = chunk_range(object_key, object_len, key.chunk)?;
        let mut flight = match self.start(key) {
            Start::Cached(slot) => return Ok(slot),
            Start::Follow(flight) => flight,
            Start::Lead(sender, flight) => {
                let cache = self.clone();
                let leader = Leader { cache, key, object: object_key.to_owned(), range, is_ahead: false };
                tokio::spawn(leader.run(store.clone(), sender, None));
                flight
            }
        };
        let ended = match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        ended.unwrap_or_else(|| {
            let attempt = Attempt::new(Operation::GetRange, object_key);
            Err(StoreError::Unavailable { attempt, source: said("the daemon is shutting down") })
        })
    }

    /// Begins to fetch up to `count` chunks from `first` on that are neither cached nor under way; returns how many. Those that
    /// find [`super::MAX_PREFETCHES`] under way are left out: read-ahead is worth no queue. For use within the tokio runtime.
    pub fn prefetch(
        self: &Arc<Self>,
        store: &Arc<dyn ObjectStore>,
        object_key: &str,
        object_len: u64,
        first: ChunkKey,
        count_chunks: u32,
    ) -> u32 {
        let mut begun = 0;
        for chunk in first.chunk..first.chunk.saturating_add(count_chunks) {
            let key = ChunkKey { chunk, ..first };
            let Ok(range) = chunk_range(object_key, object_len, chunk) else { break };
            let Ok(permit) = self.prefetching.clone().try_acquire_owned() else { break };
            if let Some(sender) = self.lead(key) {
                let leader = Leader { cache: self.clone(), key, object: object_key.to_owned(), range, is_ahead: true };
                tokio::spawn(leader.run(store.clone(), sender, Some(permit)));
                count(&self.counters.prefetches);
                begun += 1;
            }
        }
        begun
    }

    /// Enters a flight unless the chunk is cached or under way.
    fn lead(&self, key: ChunkKey) -> Option<watch::Sender<Option<Outcome>>> {
        let mut shard = self.shards[self.shard_of(key)].lock();
        if shard.contains(&key) || shard.flights.contains_key(&key) {
            return None;
        }
        let (sender, flight) = watch::channel(None);
        shard.flights.insert(key, flight);
        Some(sender)
    }

    fn start(self: &Arc<Self>, key: ChunkKey) -> Start {
        let shard = self.shard_of(key);
        let mut locked = self.shards[shard].lock();
        if let Some((index, len)) = locked.lookup(&key) {
            return Start::Cached(CacheSlot { cache: self.clone(), shard, index, len });
        }
        if let Some(flight) = locked.flights.get(&key) {
            return Start::Follow(flight.clone());
        }
        let (sender, flight) = watch::channel(None);
        locked.flights.insert(key, flight.clone());
        Start::Lead(sender, flight)
    }

    async fn claim(self: &Arc<Self>, shard: usize) -> Result<Filling, ()> {
        let cell = &self.shards[shard];
        loop {
            let freed = cell.freed.notified();
            tokio::pin!(freed);
            // Before the claim: what is freed right after it must not be missed.
            freed.as_mut().enable();
            let claim = cell.lock().claim(Instant::now());
            match claim {
                Claim::Slot(index) => {
                    return Ok(Filling { cache: self.clone(), shard, index, disk_full: false, published: false });
                }
                Claim::Sweeping => tokio::task::yield_now().await,
                Claim::AllPinned => freed.await,
                Claim::NoSpace => return Err(()),
            }
        }
    }
}

impl Leader {
    async fn run(
        self,
        store: Arc<dyn ObjectStore>,
        sender: watch::Sender<Option<Outcome>>,
        ahead: Option<OwnedSemaphorePermit>,
    ) {
        let outcome = self.fetch(store.as_ref()).await;
        let counters = &self.cache.counters;
        count(if outcome.is_ok() { &counters.fetches } else { &counters.fetch_failures });
        drop(ahead);
        // First out of the table, then the news: whoever comes in between finds the slot, or fetches anew.
        drop(self);
        sender.send_replace(Some(outcome));
    }

    async fn fetch(&self, store: &dyn ObjectStore) -> Outcome {
        let unavailable = |source| {
            let attempt = Attempt::new(Operation::GetRange, self.object.clone());
            StoreError::Unavailable { attempt, source }
        };
        let permit = self.cache.fetching.acquire().await.map_err(|error| unavailable(Arc::new(error)))?;
        let data = store.get_range(&self.object, self.range.clone()).await?;
        let expected = self.range.end - self.range.start;
        if data.len() as u64 != expected {
            let attempt = Attempt::new(Operation::GetRange, self.object.clone());
            let source = said(format!("{} bytes came instead of {expected}", data.len()));
            return Err(StoreError::Damaged { attempt, source });
        }
        // Not before: while the store is away, what is cached stays.
        let outcome = self.fill(data).await;
        drop(permit);
        outcome
    }

    async fn fill(&self, data: Bytes) -> Outcome {
        let attempt = || Attempt::new(Operation::FillCache, self.object.clone());
        let shard = self.cache.shard_of(self.key);
        let full = || StoreError::from_io(attempt(), io::ErrorKind::StorageFull.into());
        for _ in 0..WRITE_ATTEMPTS {
            let mut filling = self.cache.claim(shard).await.map_err(|()| full())?;
            let bytes = data.clone();
            let write = tokio::task::spawn_blocking(move || {
                let result = filling.cache.file.write(filling.offset(), &bytes);
                filling.disk_full = result.as_ref().is_err_and(is_full);
                // The slot goes with the write: were this task dropped, it must not be reused before the write is over.
                (filling, result)
            });
            let (filling, result) =
                write.await.map_err(|error| StoreError::Unavailable { attempt: attempt(), source: Arc::new(error) })?;
            match result {
                Ok(()) => return Ok(filling.publish(self.key, data.len() as u32, !self.is_ahead)),
                Err(error) if is_full(&error) => drop(filling),
                Err(error) => return Err(StoreError::from_io(attempt(), error)),
            }
        }
        Err(full())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
