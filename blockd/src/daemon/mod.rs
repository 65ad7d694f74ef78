//! The catalogue of volumes and snapshots, and the exports that keep it true. One lock orders all changes; no I/O path takes it.

mod copy;
mod error;
mod removals;
mod repair;
mod scrub;
mod settle;
mod snapshots;
mod transfer;
mod volumes;

use copy::Peer;
pub use error::DaemonError;

use crate::backing::{Backing, Holder};
use crate::catalogue::{Catalogue, SnapshotRecord, VolumeRecord};
use crate::config::{Config, PeerStore};
use crate::engine::format::{Checkpoint, VolumeUid};
use crate::engine::log::SegmentName;
use crate::export::Export;
use crate::keys::NodeKey;
use crate::snapshot;
use crate::snapshot::reader::Reader;
use crate::status::VolumeStatus;
use crate::volume::files::VolumeFiles;
use crate::volume::keeper::Waiters;
use crate::volume::{Handle, Node, may_have, stored_names};
use hive_blockd_api::{
    BLOCK_SIZE_BYTES, MAX_VOLUME_SIZE_BYTES, Metrics, Reply, Request, SnapshotId, SnapshotState, StoreName, VolumeId,
    VolumeMetrics,
};
use hive_blockd_store::ChunkCache;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore};

const DIR_MODE: u32 = 0o700;
/// Threads that wait for the store and the disk on behalf of all volumes.
const BACKGROUND_THREADS: usize = 2;
/// How long a dead predecessor's last reads may take to end.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(30);
const PREDECESSOR_POLL: Duration = Duration::from_millis(5);
/// Attached volumes opened at a time when the daemon starts: each may wait for the store for seconds.
const OPENED_AT_A_TIME: usize = 16;

/// Snapshots brought to their ends at a time. Each takes a thread for as long as the store is away; checkpoints need threads of the
/// same pool, which has 512.
const COMPLETED_AT_A_TIME: usize = 64;

/// An open volume.
#[derive(Debug)]
struct Open {
    export: Export,
    handle: Handle,
}

impl Open {
    /// For a guest, not for ourselves.
    fn is_attached(&self) -> bool {
        self.export.socket().is_some()
    }
}

#[derive(Debug)]
struct SnapshotEntry {
    record: SnapshotRecord,
    progress: Arc<AtomicU8>,
    /// Pins what it needs in its volume's log while it is pending.
    token: u64,
    /// Somebody is bringing it to its end, and will see if it is deleted meanwhile.
    under_way: bool,
    /// Told when it is.
    deleted: Arc<Notify>,
}

/// A snapshot whose record cannot be believed.
#[derive(Clone, Debug)]
struct DamagedSnapshot {
    reason: String,
    /// The volume that has in its log what the snapshot needs, if it was pending; pinned there under this token.
    pins: Option<(VolumeUid, u64)>,
}

/// Everything the daemon knows.
#[derive(Debug, Default)]
struct Known {
    volumes: BTreeMap<VolumeId, VolumeRecord>,
    snapshots: BTreeMap<SnapshotId, SnapshotEntry>,
    /// There are such, but what they are cannot be read: their names are not free, and what they may need stays.
    damaged_volumes: BTreeMap<VolumeId, String>,
    damaged_snapshots: BTreeMap<SnapshotId, DamagedSnapshot>,
    open: BTreeMap<VolumeId, Open>,
    /// Kept after an export's end: counters run from the daemon's start.
    statuses: BTreeMap<VolumeId, Arc<VolumeStatus>>,
    /// Deleted, but still in the store: their names are not free, and they are not found there again.
    removing: HashSet<SnapshotId>,
    /// Imports that are just being made known to the store.
    publishing: HashSet<SnapshotId>,
    /// Detached volumes of which the store does not have all: how much it lacks, and since when.
    unsettled: BTreeMap<VolumeId, (u64, Instant)>,
    /// Who reads volumes' logs outside of their engines: nothing that was cut with the token is freed meanwhile.
    reading: Vec<(VolumeId, u64)>,
}

/// The running daemon.
pub struct Daemon {
    catalogue: Catalogue,
    export_dir: PathBuf,
    poll: Duration,
    known: Mutex<Known>,
    node: Node,
    /// The stores of other regions.
    peers: BTreeMap<StoreName, Peer>,
    tokens: AtomicU64,
    /// Turns of snapshots to be brought to their ends.
    completing: Semaphore,
    /// Turns of detached volumes to be brought to the store.
    settling: Semaphore,
    scrub: scrub::Scrub,
    /// Of snapshots read block by block lately.
    readers: Mutex<HashMap<SnapshotId, Arc<Mutex<Reader>>>>,
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Daemon {
    /// Open the state and serve what was attached, before anything else is done.
    pub fn start(config: &Config) -> anyhow::Result<Arc<Self>> {
        let catalogue = Catalogue::open(&config.state_dir)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(BACKGROUND_THREADS)
            .thread_name("background")
            .enable_all()
            .build()?;
        let store = hive_blockd_store::open(&config.store())?;
        let cache = open_cache(&config.state_dir.join("cache"), config.cache_bytes)?;
        let peer = |peer: &PeerStore| Ok::<_, anyhow::Error>((peer.name.parse()?, Peer::new(peer.store.clone())));
        let peers = config.peer_stores.iter().map(peer).collect::<Result<_, _>>()?;
        let export_dir = config.run_dir.join("vhost");
        std::fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(&export_dir)?;
        let node = Node {
            runtime: runtime.handle().clone(),
            backing: Arc::new(Backing::new(store, cache)),
            key: Arc::new(NodeKey::open(&config.key_file())?),
            waiters: Arc::new(Waiters::default()),
            tuning: config.tuning(),
        };
        let daemon = Arc::new(Self {
            catalogue,
            export_dir,
            poll: config.poll(),
            known: Mutex::default(),
            node,
            peers,
            tokens: AtomicU64::new(1),
            completing: Semaphore::new(COMPLETED_AT_A_TIME),
            settling: Semaphore::new(settle::SETTLED_AT_A_TIME),
            scrub: scrub::Scrub::open(config),
            readers: Mutex::default(),
            runtime: Mutex::new(Some(runtime)),
        });
        let removals = daemon.load()?;
        daemon.serve_attached();
        daemon.resume_snapshots();
        daemon.settle_all();
        removals.into_iter().for_each(|removal| daemon.remove(removal));
        daemon.start_scrubbing();
        Ok(daemon)
    }

    /// Read all records, and note what they refer to in the store.
    fn load(&self) -> anyhow::Result<Vec<removals::Removal>> {
        let mut checkpoints = HashMap::new();
        let (volumes, snapshots) = (self.catalogue.volumes()?, self.catalogue.snapshots()?);
        for id in volumes.whole.keys().chain(volumes.damaged.keys()) {
            match self.files(id).checkpoint() {
                Ok(checkpoint) => {
                    let uid = checkpoint.volume;
                    let held = stored_names(&checkpoint).into_iter().chain(self.files(id).dropped());
                    self.node.backing.hold(Holder::volume(uid), held);
                    checkpoints.insert(uid, checkpoint);
                }
                Err(error) => {
                    tracing::error!(volume = %id, %error, "cannot read the volume's checkpoint");
                    self.node.backing.doubt();
                }
            }
        }
        let mut damaged_snapshots = BTreeMap::new();
        for (id, reason) in snapshots.damaged {
            // Whatever of it is in the store, and in its volume's log if it was not completed.
            let map = self.map_at_load(&id);
            self.hold_for_snapshot(&id, map.as_ref().map(stored_names).unwrap_or_default(), &checkpoints);
            let is_pending = |map: &Checkpoint| map.segments.iter().any(|s| s.owner == 0 && !s.uploaded);
            let pins = map.filter(is_pending).map(|map| (map.volume, self.next_token()));
            damaged_snapshots.insert(id, DamagedSnapshot { reason, pins });
        }
        let snapshots = snapshots.whole;
        for (id, record) in &snapshots {
            if record.state == SnapshotState::Completed
                && let Some(map) = self.map_at_load(id)
            {
                self.hold_for_snapshot(id, snapshot::names(&map), &checkpoints);
            }
        }
        let mut known = self.lock();
        (known.volumes, known.damaged_volumes) = (volumes.whole, volumes.damaged);
        known.damaged_snapshots = damaged_snapshots;
        known.snapshots = snapshots.into_iter().map(|(id, record)| (id, self.entry(record))).collect();
        self.load_removals(&mut known, &checkpoints)
    }

    /// What the snapshot needs, if that can be read.
    fn map_at_load(&self, id: &SnapshotId) -> Option<Checkpoint> {
        let map = self.snapshot_map(id);
        if let Err(error) = &map {
            tracing::error!(snapshot = %id, ?error, "cannot read the snapshot's map: nothing is removed from the store");
            self.node.backing.doubt();
        }
        map.ok()
    }

    /// The snapshot needs these segments, which are in the store; `volumes` are those of this node.
    fn hold_for_snapshot(&self, id: &SnapshotId, names: Vec<SegmentName>, volumes: &HashMap<VolumeUid, Checkpoint>) {
        // A volume need not know that the store has a segment of it.
        for name in &names {
            if volumes.get(&name.owner).is_some_and(|map| may_have(map, *name)) {
                self.node.backing.hold(Holder::volume(name.owner), [*name]);
            }
        }
        self.node.backing.hold(Holder::snapshot(id), names);
    }

    fn serve_attached(self: &Arc<Self>) {
        let attached: Vec<VolumeId> =
            self.lock().volumes.iter().filter(|(_, r)| r.attachment.is_some()).map(|(id, _)| id.clone()).collect();
        for batch in attached.chunks(OPENED_AT_A_TIME) {
            std::thread::scope(|scope| {
                for id in batch {
                    scope.spawn(move || {
                        // One volume that cannot be served is no reason not to serve the others; attaching again retries.
                        let opened = self.open_attached(id);
                        match opened {
                            Ok(open) => drop(self.lock().open.insert(id.clone(), open)),
                            Err(e) => tracing::error!(volume = %id, error = ?e, "cannot serve an attached volume"),
                        }
                    });
                }
            });
        }
    }

    fn entry(&self, record: SnapshotRecord) -> SnapshotEntry {
        let progress = if record.state == SnapshotState::Completed { 100 } else { 0 };
        SnapshotEntry {
            record,
            progress: Arc::new(AtomicU8::new(progress)),
            token: self.next_token(),
            under_way: false,
            deleted: Arc::default(),
        }
    }

    fn next_token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed)
    }

    /// Not from a task of the runtime: who has the lock may wait for what the runtime's few threads bring about, a cut that is saved or
    /// the end of a timeout, and with all of them waiting for the lock nothing would ever go on.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self, id: &VolumeId) -> VolumeFiles {
        VolumeFiles::new(self.catalogue.volume_dir(id))
    }

    /// The checkpoint that a snapshot is.
    fn snapshot_map(&self, id: &SnapshotId) -> Result<Checkpoint, DaemonError> {
        let path = self.catalogue.snapshot_map(id);
        let bytes = std::fs::read(&path).map_err(|e| DaemonError::Path(path.clone(), e))?;
        snapshot::decode_map(&bytes).map_err(|e| DaemonError::Path(path, std::io::Error::other(e)))
    }

    /// Answer one request.
    pub fn handle(self: &Arc<Self>, request: Request) -> Reply {
        self.dispatch(request).unwrap_or_else(Reply::from)
    }

    fn dispatch(self: &Arc<Self>, request: Request) -> Result<Reply, DaemonError> {
        match request {
            Request::CreateVolume { volume_id, size_bytes, snapshot_id, encrypted, limits } => {
                self.create_volume(volume_id, size_bytes, snapshot_id, encrypted, limits)
            }
            Request::DeleteVolume { volume_id } => self.delete_volume(&volume_id),
            Request::DescribeVolume { volume_id } => Ok(Reply::Volume(self.describe(&self.lock(), &volume_id)?)),
            Request::ListVolumes => {
                let known = self.lock();
                let ids: BTreeSet<_> = known.volumes.keys().chain(known.damaged_volumes.keys()).collect();
                let volumes = ids.into_iter().map(|id| self.describe(&known, id));
                Ok(Reply::Volumes(volumes.collect::<Result<_, _>>()?))
            }
            Request::RestoreVolume { volume_id } => self.restore_volume(volume_id),
            Request::ResizeVolume { volume_id, size_bytes } => self.resize_volume(&volume_id, size_bytes),
            Request::SetLimits { volume_id, limits } => self.set_limits(&volume_id, limits),
            Request::AttachVolume { volume_id, queues, read_only, serial } => {
                self.attach_volume(&volume_id, crate::catalogue::Attachment { queues, read_only, serial })
            }
            Request::DetachVolume { volume_id } => self.detach_volume(&volume_id),
            Request::CreateSnapshots { snapshots } => self.create_snapshots(&snapshots),
            Request::ImportSnapshot { snapshot_id, path, encrypted } => {
                self.import_snapshot(snapshot_id, &path, encrypted)
            }
            Request::DescribeSnapshot { snapshot_id } => self.describe_snapshot(&snapshot_id),
            Request::ListSnapshots => Ok(self.list_snapshots()),
            Request::DeleteSnapshot { snapshot_id } => self.delete_snapshot(&snapshot_id),
            Request::CopySnapshot { source_snapshot_id, source_store, snapshot_id, encrypted } => {
                self.copy_snapshot(source_snapshot_id, source_store, snapshot_id, encrypted)
            }
            Request::StartSnapshot { snapshot_id, size_bytes, parent_snapshot_id, encrypted } => {
                self.start_snapshot(snapshot_id, size_bytes, parent_snapshot_id, encrypted)
            }
            Request::PutSnapshotBlock { snapshot_id, block_index, data } => {
                self.put_block(&snapshot_id, block_index, &data)
            }
            Request::CompleteSnapshot { snapshot_id } => self.complete_snapshot(&snapshot_id),
            Request::ListSnapshotBlocks { snapshot_id, start_index, max_results } => {
                self.list_blocks(&snapshot_id, start_index, max_results)
            }
            Request::ListChangedBlocks { first_snapshot_id, second_snapshot_id, start_index, max_results } => {
                self.list_changed_blocks(&first_snapshot_id, &second_snapshot_id, start_index, max_results)
            }
            Request::GetSnapshotBlock { snapshot_id, block_index } => self.get_block(&snapshot_id, block_index),
            Request::CheckVolume { volume_id } => self.check_volume(&volume_id),
            Request::ExportVolume { source, path } => self.export(&source, &path),
            Request::Metrics => {
                let known = self.lock();
                let metrics = |(id, status): (&VolumeId, &Arc<VolumeStatus>)| {
                    let (dirty_bytes, since) = self.dirty(&known, id);
                    let rpo_seconds = since.map_or(0, |since| since.elapsed().as_secs());
                    (id.to_string(), VolumeMetrics { dirty_bytes, rpo_seconds, ..status.metrics() })
                };
                let volumes = known.statuses.iter().map(metrics).collect();
                Ok(Reply::Metrics(Metrics { volumes, scrub: self.scrub.metrics() }))
            }
        }
    }

    /// Stop serving; attachments stay recorded and are served again by the next start.
    pub fn stop(&self) {
        for (id, open) in std::mem::take(&mut self.lock().open) {
            match open.export.stop() {
                Ok(()) => tracing::info!(volume = %id, "flushed and closed"),
                Err(error) => tracing::error!(volume = %id, %error, "volume did not end cleanly"),
            }
        }
        // What waits for the store goes on at the next start.
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("state_dir", &self.catalogue.state_dir()).finish_non_exhaustive()
    }
}

/// The state directory is ours, so whoever still has the cache is dead: the kernel keeps it until the last read into a guest has
/// ended.
fn open_cache(path: &Path, capacity_bytes: u64) -> std::io::Result<Arc<ChunkCache>> {
    let deadline = Instant::now() + PREDECESSOR_TIMEOUT;
    loop {
        match ChunkCache::open(path, capacity_bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(PREDECESSOR_POLL);
            }
            opened => return opened,
        }
    }
}

fn find_volume<'a>(known: &'a Known, id: &VolumeId) -> Result<&'a VolumeRecord, DaemonError> {
    check_volume_record(known, id)?;
    known.volumes.get(id).ok_or_else(|| DaemonError::NotFound(format!("volume {id}")))
}

/// That the volume is not one whose record is damaged.
fn check_volume_record(known: &Known, id: &VolumeId) -> Result<(), DaemonError> {
    let damaged = |reason: &String| Err(DaemonError::Damaged(format!("volume {id}"), reason.clone()));
    known.damaged_volumes.get(id).map_or(Ok(()), damaged)
}

fn find_snapshot<'a>(known: &'a Known, id: &SnapshotId) -> Result<&'a SnapshotEntry, DaemonError> {
    check_snapshot_record(known, id)?;
    known.snapshots.get(id).ok_or_else(|| no_snapshot(id))
}

/// That the snapshot is not one whose record is damaged.
fn check_snapshot_record(known: &Known, id: &SnapshotId) -> Result<(), DaemonError> {
    let damaged = |found: &DamagedSnapshot| Err(DaemonError::Damaged(format!("snapshot {id}"), found.reason.clone()));
    known.damaged_snapshots.get(id).map_or(Ok(()), damaged)
}

fn no_snapshot(id: &SnapshotId) -> DaemonError {
    DaemonError::NotFound(format!("snapshot {id}"))
}

fn check_size(size: u64) -> Result<(), DaemonError> {
    if size == 0 || size > MAX_VOLUME_SIZE_BYTES || !size.is_multiple_of(BLOCK_SIZE_BYTES) {
        return Err(DaemonError::Invalid(format!(
            "a size must be a multiple of {BLOCK_SIZE_BYTES} bytes, at most {MAX_VOLUME_SIZE_BYTES}, not {size}"
        )));
    }
    Ok(())
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}
