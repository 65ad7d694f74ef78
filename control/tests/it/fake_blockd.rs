//! A blockd without disks: volumes, snapshots and their blocks in memory, over a real socket. Uploads take a few looks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_blockd_api::{
    BlockList, ChangedBlock, ChangedBlockList, ErrorKind, Limits, Reply, Request, SNAPSHOT_BLOCK_BYTES, Snapshot,
    SnapshotId, SnapshotState, Volume, VolumeHealth, VolumeId,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

#[derive(Default)]
pub struct State {
    pub volumes: BTreeMap<String, Volume>,
    pub snapshots: BTreeMap<String, Held>,
    /// Of the other region's store.
    pub far_snapshots: BTreeMap<String, Held>,
    /// Refuse the next snapshots with this.
    pub refuse_snapshots: Option<ErrorKind>,
    /// Answer nothing but I/O errors.
    pub is_away: bool,
    /// How often it was asked for a snapshot meanwhile.
    pub asked_while_away: u32,
    /// Where `snapshot` is written down when some are taken.
    pub story: Option<PathBuf>,
}

pub struct Held {
    pub snapshot: Snapshot,
    pub blocks: BTreeMap<u32, String>,
    pub parent: Option<String>,
    /// Started, and not completed yet.
    pub is_open: bool,
}

pub type Shared = Arc<Mutex<State>>;

pub fn start(socket: &Path) -> Shared {
    let listener = UnixListener::bind(socket).expect("bind");
    let state = Shared::default();
    let shared = state.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shared = shared.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await.expect("a request");
                let request = serde_json::from_str(&line).expect("a request of the API");
                let reply = shared.lock().expect("state").answer(request);
                let mut answer = serde_json::to_vec(&reply).expect("a reply");
                answer.push(b'\n');
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    state
}

/// One line more.
pub fn append(story: &Path, line: &str) {
    let mut file = std::fs::File::options().create(true).append(true).open(story).expect("a story");
    writeln!(file, "{line}").expect("written");
}

fn error(kind: ErrorKind) -> Reply {
    Reply::Error { kind, message: format!("{kind:?}") }
}

fn volume(
    volume_id: VolumeId,
    size_bytes: u64,
    snapshot_id: Option<SnapshotId>,
    encrypted: bool,
    limits: Limits,
) -> Volume {
    Volume {
        volume_id,
        size_bytes,
        snapshot_id,
        encrypted,
        limits,
        socket: None,
        connected: false,
        health: VolumeHealth::Ok,
        fault: None,
        allocated_bytes: 0,
        dirty_bytes: 0,
        rpo_seconds: 0,
        damaged_blocks: 0,
    }
}

impl State {
    /// A completed snapshot, as the operator's import makes one.
    pub fn import(&mut self, id: &str, size_bytes: u64) {
        let held = self.hold(id.parse().expect("a name"), size_bytes, None, false);
        held.snapshot.state = SnapshotState::Completed;
    }

    /// A completed snapshot of the other region.
    pub fn import_far(&mut self, id: &str, size_bytes: u64, encrypted: bool) {
        let mut far = Self::default();
        far.hold(id.parse().expect("a name"), size_bytes, None, encrypted).snapshot.state = SnapshotState::Completed;
        self.far_snapshots.append(&mut far.snapshots);
    }

    fn hold(&mut self, id: SnapshotId, size_bytes: u64, volume_id: Option<VolumeId>, encrypted: bool) -> &mut Held {
        let snapshot = Snapshot {
            snapshot_id: id.clone(),
            state: SnapshotState::Pending,
            fault: None,
            progress_percent: 0,
            size_bytes,
            volume_id,
            encrypted,
            created_unix_s: 0,
            stored_bytes: 0,
            damaged_blocks: 0,
        };
        let held = || Held { snapshot, blocks: BTreeMap::new(), parent: None, is_open: false };
        self.snapshots.entry(id.to_string()).or_insert_with(held)
    }

    fn with(&mut self, id: &SnapshotId, then: impl FnOnce(&mut Held) -> Reply) -> Reply {
        self.snapshots.get_mut(id.as_ref()).map_or(error(ErrorKind::NotFound), then)
    }

    fn is_completed(&self, id: &SnapshotId) -> bool {
        self.snapshots.get(id.as_ref()).is_some_and(|held| held.snapshot.state == SnapshotState::Completed)
    }

    fn answer(&mut self, request: Request) -> Reply {
        if self.is_away {
            self.asked_while_away += u32::from(matches!(request, Request::DescribeSnapshot { .. }));
            return error(ErrorKind::Io);
        }
        match request {
            Request::AttachVolume { volume_id, .. } => Reply::Attached { socket: format!("/{volume_id}").into() },
            Request::CreateVolume { volume_id, size_bytes, snapshot_id, encrypted, limits } => {
                if snapshot_id.as_ref().is_some_and(|id| !self.is_completed(id)) {
                    return error(ErrorKind::NotFound);
                }
                let made = volume(volume_id.clone(), size_bytes, snapshot_id, encrypted, limits);
                Reply::Volume(self.volumes.entry(volume_id.to_string()).or_insert(made).clone())
            }
            Request::DescribeVolume { volume_id } => {
                self.volumes.get(volume_id.as_ref()).cloned().map_or(error(ErrorKind::NotFound), Reply::Volume)
            }
            Request::DeleteVolume { volume_id } => {
                self.volumes.remove(volume_id.as_ref());
                Reply::Done
            }
            Request::DetachVolume { .. } => Reply::Done,
            Request::ResizeVolume { volume_id, size_bytes } => match self.volumes.get_mut(volume_id.as_ref()) {
                None => error(ErrorKind::NotFound),
                Some(volume) if size_bytes < volume.size_bytes => error(ErrorKind::Invalid),
                Some(volume) => {
                    volume.size_bytes = size_bytes;
                    Reply::Done
                }
            },
            Request::SetLimits { volume_id, limits } => match self.volumes.get_mut(volume_id.as_ref()) {
                None => error(ErrorKind::NotFound),
                Some(volume) => {
                    volume.limits = limits;
                    Reply::Done
                }
            },
            Request::CreateSnapshots { snapshots } => {
                if let Some(kind) = self.refuse_snapshots {
                    return error(kind);
                }
                if let Some(story) = &self.story {
                    append(story, "snapshot");
                }
                if snapshots.iter().any(|new| !self.volumes.contains_key(new.volume_id.as_ref())) {
                    return error(ErrorKind::NotFound);
                }
                for new in snapshots {
                    let (size, encrypted) =
                        self.volumes.get(new.volume_id.as_ref()).map_or((0, false), |v| (v.size_bytes, v.encrypted));
                    self.hold(new.snapshot_id, size, Some(new.volume_id), encrypted);
                }
                Reply::Snapshots(Vec::new())
            }
            // Each look sees more of the upload.
            Request::DescribeSnapshot { snapshot_id } => self.with(&snapshot_id, |held| {
                let seen = held.snapshot.clone();
                if !held.is_open {
                    held.snapshot.progress_percent = (held.snapshot.progress_percent + 50).min(100);
                    if held.snapshot.progress_percent == 100 {
                        held.snapshot.state = SnapshotState::Completed;
                    }
                }
                Reply::Snapshot(seen)
            }),
            Request::DeleteSnapshot { snapshot_id } => {
                self.snapshots.remove(snapshot_id.as_ref());
                Reply::Done
            }
            Request::CopySnapshot { source_snapshot_id, source_store, snapshot_id, encrypted } => {
                let stores = if source_store.is_some() { &self.far_snapshots } else { &self.snapshots };
                let Some(source) = stores.get(source_snapshot_id.as_ref()) else {
                    return error(ErrorKind::NotFound);
                };
                let (size, blocks) = (source.snapshot.size_bytes, source.blocks.clone());
                let encrypted = encrypted || source.snapshot.encrypted;
                let held = self.hold(snapshot_id, size, None, encrypted);
                held.blocks = blocks;
                Reply::Snapshot(held.snapshot.clone())
            }
            Request::StartSnapshot { snapshot_id, size_bytes, parent_snapshot_id, encrypted } => {
                let parent = parent_snapshot_id.map(|id| id.to_string());
                let blocks = parent.as_ref().and_then(|id| self.snapshots.get(id)).map(|held| held.blocks.clone());
                let held = self.hold(snapshot_id, size_bytes, None, encrypted);
                (held.is_open, held.parent) = (true, parent);
                held.blocks = blocks.unwrap_or_default();
                Reply::Snapshot(held.snapshot.clone())
            }
            Request::PutSnapshotBlock { snapshot_id, block_index, data } => self.with(&snapshot_id, |held| {
                if !held.is_open {
                    return error(ErrorKind::InUse);
                }
                assert_eq!(STANDARD.decode(&data).expect("base64").len() as u64, SNAPSHOT_BLOCK_BYTES);
                held.blocks.insert(block_index, data);
                Reply::Done
            }),
            Request::CompleteSnapshot { snapshot_id } => self.with(&snapshot_id, |held| {
                held.is_open = false;
                Reply::Snapshot(held.snapshot.clone())
            }),
            Request::ListSnapshotBlocks { snapshot_id, start_index, max_results } => self.with(&snapshot_id, |held| {
                let most = usize::try_from(max_results).expect("fits");
                let mut indexes = held.blocks.range(start_index..).map(|(index, _)| *index);
                let block_indexes: Vec<u32> = indexes.by_ref().take(most).collect();
                Reply::Blocks(BlockList {
                    size_bytes: held.snapshot.size_bytes,
                    block_indexes,
                    next_index: indexes.next(),
                })
            }),
            Request::ListChangedBlocks { first_snapshot_id, second_snapshot_id, start_index, .. } => {
                let (Some(first), Some(second)) =
                    (self.snapshots.get(first_snapshot_id.as_ref()), self.snapshots.get(second_snapshot_id.as_ref()))
                else {
                    return error(ErrorKind::NotFound);
                };
                if second.parent.as_deref() != Some(first_snapshot_id.as_ref()) {
                    return error(ErrorKind::Invalid);
                }
                let all: std::collections::BTreeSet<u32> =
                    first.blocks.keys().chain(second.blocks.keys()).copied().filter(|i| *i >= start_index).collect();
                let changed = all.into_iter().filter(|i| first.blocks.get(i) != second.blocks.get(i));
                let blocks = changed.map(|block_index| ChangedBlock {
                    block_index,
                    in_first: first.blocks.contains_key(&block_index),
                    in_second: second.blocks.contains_key(&block_index),
                });
                Reply::ChangedBlocks(ChangedBlockList {
                    size_bytes: second.snapshot.size_bytes,
                    blocks: blocks.collect(),
                    next_index: None,
                })
            }
            Request::GetSnapshotBlock { snapshot_id, block_index } => self.with(&snapshot_id, |held| {
                let zeros = || STANDARD.encode(vec![0; usize::try_from(SNAPSHOT_BLOCK_BYTES).expect("fits")]);
                Reply::Block { data: held.blocks.get(&block_index).cloned().unwrap_or_else(zeros) }
            }),
            other => panic!("hived asks {other:?}"),
        }
    }
}
