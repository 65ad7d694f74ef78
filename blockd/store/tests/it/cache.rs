//! The cache of chunks: over a store that counts and fails on command.

use crate::suite::content;
use crate::watch::{TEST_PATIENCE, Watch};
use bytes::Bytes;
use hive_blockd_store::{
    CHUNK_BYTES, CacheSlot, ChunkCache, ChunkKey, DirStore, FaultyStore, ObjectStore, Operation, StoreError,
    faulty::{Faults, Outage},
};
use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

const SEGMENT_BYTES: usize = 5 * CHUNK_BYTES as usize + 1000;

struct Node {
    home: TempDir,
    cache: Arc<ChunkCache>,
    faulty: Arc<FaultyStore>,
    store: Arc<dyn ObjectStore>,
}

fn object(segment: u128) -> String {
    format!("vol/{segment:x}")
}

fn segment(number: u128) -> Bytes {
    content(number as u64 * 2 + 1, SEGMENT_BYTES)
}

impl Node {
    async fn with(segments: u128, slots: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let faulty = FaultyStore::new(Arc::new(DirStore::open(&home.path().join("store")).unwrap()), 1);
        let store: Arc<dyn ObjectStore> = faulty.clone();
        for number in 0..segments {
            store.put(&object(number), segment(number)).await.unwrap();
        }
        let cache = ChunkCache::open(&home.path().join("cache"), slots * CHUNK_BYTES).unwrap();
        Self { home, cache, faulty, store }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    async fn fetch(&self, segment: u128, chunk: u32) -> Result<CacheSlot, StoreError> {
        let key = ChunkKey { segment, chunk };
        self.cache.fetch(&self.store, &object(segment), SEGMENT_BYTES as u64, key).await
    }

    fn lookup(&self, segment: u128, chunk: u32) -> Option<CacheSlot> {
        self.cache.lookup(ChunkKey { segment, chunk })
    }

    fn gets(&self) -> u64 {
        self.faulty.calls(Operation::GetRange)
    }
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it did not happen within ten seconds");
}

/// What a slot holds, through a descriptor of its own.
fn read(path: &Path, slot: &CacheSlot) -> Vec<u8> {
    let mut data = vec![0; slot.len() as usize];
    File::open(path).unwrap().read_exact_at(&mut data, slot.offset()).unwrap();
    data
}

fn expected(number: u128, chunk: u32) -> Bytes {
    let start = chunk as usize * CHUNK_BYTES as usize;
    segment(number).slice(start..SEGMENT_BYTES.min(start + CHUNK_BYTES as usize))
}

#[tokio::test]
async fn a_miss_a_fetch_a_hit() {
    let _watch = Watch::test(TEST_PATIENCE);
    let node = Node::with(1, 8).await;
    assert!(node.lookup(0, 1).is_none());
    let slot = node.fetch(0, 1).await.unwrap();
    assert_eq!((u64::from(slot.len()), slot.offset() % CHUNK_BYTES), (CHUNK_BYTES, 0));
    assert!(read(&node.path(), &slot) == expected(0, 1));
    let last = node.fetch(0, 5).await.unwrap();
    assert_eq!(last.len(), 1000);
    assert!(read(&node.path(), &last) == expected(0, 5));
    assert!(matches!(node.fetch(0, 6).await, Err(StoreError::Invalid { .. })));
    let again = node.lookup(0, 1).unwrap();
    assert_eq!(again.offset(), slot.offset());
    assert_eq!(node.fetch(0, 1).await.unwrap().offset(), slot.offset());
    assert_eq!(node.gets(), 2);
    let stats = node.cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.fetches, stats.evictions), (1, 1, 2, 0));
}

#[tokio::test]
async fn sectors_are_read_directly_where_that_works() {
    let _watch = Watch::test(TEST_PATIENCE);
    let node = Node::with(1, 8).await;
    let slot = node.fetch(0, 5).await.unwrap();
    let file = File::from(node.cache.fd().try_clone_to_owned().unwrap());
    let mut memory = vec![1_u8; 3 * 4096];
    let skip = memory.as_ptr().align_offset(4096) + 512;
    // The sector in which the chunk ends: its last bytes, then zeros.
    file.read_exact_at(&mut memory[skip..skip + 512], slot.offset() + 512).unwrap();
    assert!(memory[skip..skip + 488] == expected(0, 5)[512..]);
    assert!(memory[skip + 488..skip + 512].iter().all(|byte| *byte == 0));
    if node.cache.is_direct() {
        let odd = file.read_at(&mut memory[skip..skip + 100], slot.offset());
        assert_eq!(odd.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    // On tmpfs as well, directly or not.
    if let Ok(home) = tempfile::tempdir_in("/dev/shm") {
        let cache = ChunkCache::open(&home.path().join("cache"), CHUNK_BYTES).unwrap();
        let key = ChunkKey { segment: 0, chunk: 2 };
        let slot = cache.fetch(&node.store, &object(0), SEGMENT_BYTES as u64, key).await.unwrap();
        assert!(read(&home.path().join("cache"), &slot) == expected(0, 2));
    }
}

#[tokio::test]
async fn it_starts_empty_sparse_and_alone() {
    let _watch = Watch::test(TEST_PATIENCE);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("cache");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    let cache = ChunkCache::open(&path, 1 << 40).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!((metadata.len(), metadata.blocks()), (1 << 40, 0));
    let second = ChunkCache::open(&path, 1 << 20).unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 40, "who was refused changed nothing");
    drop(cache);
    assert!(ChunkCache::open(&path, 1 << 20).is_ok());
    assert_eq!(ChunkCache::open(&path, CHUNK_BYTES - 1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_get_for_all_who_miss_at_once() {
    let _watch = Watch::test(TEST_PATIENCE);
    let node = Arc::new(Node::with(1, 8).await);
    node.faulty.set_faults(Faults { max_delay: Duration::from_millis(30), ..Faults::default() });
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { node.fetch(0, 3).await.unwrap().offset() })
        })
        .collect();
    let mut offsets = Vec::new();
    for task in tasks {
        offsets.push(task.await.unwrap());
    }
    offsets.dedup();
    assert_eq!((offsets.len(), node.gets()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fetch_leaves_nothing_and_tells_all() {
    let _watch = Watch::test(TEST_PATIENCE);
    let node = Arc::new(Node::with(1, 8).await);
    node.faulty.set_outage(Outage::Hanging);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { node.fetch(0, 3).await.map(drop) })
        })
        .collect();
    // One who does not wait to the end takes nothing from the others.
    assert!(tokio::time::timeout(Duration::from_millis(50), node.fetch(0, 3)).await.is_err());
    node.faulty.set_outage(Outage::None);
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Err(StoreError::Unavailable { .. })));
    }
    assert_eq!((node.gets(), node.cache.stats().fetch_failures), (1, 1));
    assert!(node.lookup(0, 3).is_none());
    assert!(read(&node.path(), &node.fetch(0, 3).await.unwrap()) == expected(0, 3));
    // An object that is shorter than it is said to be.
    let key = ChunkKey { segment: 9, chunk: 6 };
    let short = node.cache.fetch(&node.store, &object(0), 1 << 30, key).await;
    assert!(matches!(short, Err(StoreError::Damaged { .. })), "{short:?}");
    assert!(node.cache.lookup(key).is_none());
}

#[tokio::test]
async fn when_all_is_pinned_a_fetch_waits() {
    let _watch = Watch::test(TEST_PATIENCE);
    let node = Arc::new(Node::with(1, 2).await);
    let first = node.fetch(0, 0).await.unwrap();
    let _second = node.fetch(0, 1).await.unwrap();
    let waiting = tokio::spawn({
        let node = node.clone();
        async move { node.fetch(0, 2).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    let copy = first.clone();
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "a clone is a pin");
    let offset = copy.offset();
    assert!(read(&node.path(), &copy) == expected(0, 0));
    drop(copy);
    let third = waiting.await.unwrap();
    assert_eq!(third.offset(), offset);
    assert!(read(&node.path(), &third) == expected(0, 2));
    assert!(node.lookup(0, 0).is_none() && node.lookup(0, 1).is_some());
}

#[tokio::test]
async fn what_is_invalidated_is_fetched_anew() {
    let _watch = Watch::test(TEST_PATIENCE);
    let node = Node::with(1, 4).await;
    let key = ChunkKey { segment: 0, chunk: 1 };
    node.faulty.set_faults(Faults { damaged_reads_permille: 1000, ..Faults::default() });
    let bad = node.fetch(0, 1).await.unwrap();
    assert!(read(&node.path(), &bad) != expected(0, 1));
    node.faulty.set_faults(Faults::default());
    assert!(node.cache.invalidate(key) && !node.cache.invalidate(key));
    assert!(node.lookup(0, 1).is_none());
    let good = node.fetch(0, 1).await.unwrap();
    assert!(read(&node.path(), &good) == expected(0, 1));
    assert_ne!(good.offset(), bad.offset(), "the pinned slot is not reused");
    assert_eq!(node.cache.stats().invalidations, 1);
}

#[tokio::test]
async fn reading_ahead() {
    let _watch = Watch::test(TEST_PATIENCE);
    let node = Node::with(1, 8).await;
    let first = ChunkKey { segment: 0, chunk: 3 };
    node.faulty.set_outage(Outage::Hanging);
    assert_eq!(node.cache.prefetch(&node.store, &object(0), SEGMENT_BYTES as u64, first, 100), 3);
    assert_eq!(node.cache.prefetch(&node.store, &object(0), SEGMENT_BYTES as u64, first, 100), 0);
    // One segment after the other, until the bound.
    let more = |segment| {
        let first = ChunkKey { segment, chunk: 0 };
        node.cache.prefetch(&node.store, &object(segment), SEGMENT_BYTES as u64, first, 100)
    };
    assert_eq!((more(1), more(2)), (5, 0));
    until(|| node.gets() == 8).await;
    node.faulty.set_outage(Outage::None);
    until(|| node.cache.stats().fetch_failures == 8).await;
    assert_eq!(node.cache.prefetch(&node.store, &object(0), SEGMENT_BYTES as u64, first, 1), 1);
    until(|| node.cache.stats().fetches == 1).await;
    let slot = node.lookup(0, 3).unwrap();
    assert!(read(&node.path(), &slot) == expected(0, 3));
    assert_eq!(node.cache.stats().prefetches, 9);
}

/// Threads read and verify while fetches evict all the time: what is pinned stays what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pins_hold_under_pressure() {
    let _watch = Watch::test(TEST_PATIENCE);
    const SEGMENTS: u128 = 8;
    const SLOTS: u64 = 6;
    let node = Arc::new(Node::with(SEGMENTS, SLOTS).await);
    let truth: Arc<HashMap<ChunkKey, Bytes>> = Arc::new(
        (0..SEGMENTS)
            .flat_map(|segment| (0..6).map(move |chunk| ChunkKey { segment, chunk }))
            .map(|key| (key, expected(key.segment, key.chunk)))
            .collect(),
    );
    let (stop, verified) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..3_u64)
        .map(|reader| {
            let (node, truth, stop, verified) = (node.clone(), truth.clone(), stop.clone(), verified.clone());
            std::thread::spawn(move || {
                let keys: Vec<_> = truth.keys().copied().collect();
                for round in reader * 17.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = keys[round as usize % keys.len()];
                    let Some(slot) = node.cache.lookup(key) else { continue };
                    // Twice, with time for an eviction in between.
                    assert!(read(&node.path(), &slot) == truth[&key], "{key:?}");
                    std::thread::sleep(Duration::from_millis(1));
                    assert!(read(&node.path(), &slot) == truth[&key], "{key:?}");
                    verified.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let tasks: Vec<_> = (0..4_u64)
        .map(|task| {
            let (node, truth) = (node.clone(), truth.clone());
            tokio::spawn(async move {
                let mut state = task + 1;
                for _ in 0..300 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (segment, chunk) = (u128::from(state >> 40) % SEGMENTS, (state >> 33) as u32 % 6);
                    let slot = node.fetch(segment, chunk).await.unwrap();
                    assert!(read(&node.path(), &slot) == truth[&ChunkKey { segment, chunk }]);
                    if state % 7 == 0 {
                        node.cache.invalidate(ChunkKey { segment, chunk });
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    let stats = node.cache.stats();
    assert!(stats.evictions > 100 && verified.load(Ordering::Relaxed) > 10, "{stats:?}");
    let metadata = std::fs::metadata(node.path()).unwrap();
    assert_eq!(metadata.len(), SLOTS * CHUNK_BYTES);
    assert!(metadata.blocks() * 512 <= SLOTS * CHUNK_BYTES + 65_536, "the capacity bounds the disk");
}

#[tokio::test]
async fn a_full_disk_does_not_stop_reads() {
    let _watch = Watch::test(TEST_PATIENCE);
    let node = Node::with(1, 1).await;
    let target = node.home.path().join("small");
    std::fs::create_dir(&target).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"])
        .arg(&target)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("skipped: may not mount a small tmpfs");
        return;
    }
    let mut outcomes = Vec::new();
    {
        let cache = ChunkCache::open(&target.join("cache"), 100 * CHUNK_BYTES).unwrap();
        for chunk in [0, 1, 2, 3, 4, 0] {
            let key = ChunkKey { segment: 0, chunk };
            let slot = cache.fetch(&node.store, &object(0), SEGMENT_BYTES as u64, key).await;
            outcomes.push(slot.map(|slot| read(&target.join("cache"), &slot) == expected(0, chunk)));
        }
    }
    assert!(std::process::Command::new("umount").arg(&target).status().unwrap().success());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(true))), "{outcomes:?}");
}
