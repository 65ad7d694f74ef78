//! Scrubbing: from time to time every segment that a volume or a snapshot needs is read, here and in the store, and held against its
//! checks, so that damage is found while there is still something to be done about it. It is slow on purpose, and goes on where it was
//! after the daemon's end.

use super::{Daemon, DaemonError, Known, now_unix_s};
use crate::catalogue::replace_file;
use crate::config::Config;
use crate::engine::AlignedBuffer;
use crate::engine::check::Guard;
use crate::engine::format::{BLOCK_BYTES, Checkpoint, SEGMENT_BYTES, SavedSegment};
use crate::engine::log::SegmentName;
use crate::snapshot::verify::{Verified, verify_segment};
use crate::volume::keeper::{needed_segments, read_slot_part};
use hive_blockd_api::{ScrubMetrics, SnapshotId, SnapshotState, VolumeId};
use hive_blockd_store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Read from a log at a time, and from the store: a guest's request waits for one of them at most.
const LOG_PIECE_BLOCKS: u16 = 64;
const STORE_PIECE_BYTES: u64 = 4 << 20;
/// How much progress a crash may cost.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);
/// Between looks at the clock while nothing is due.
const IDLE_POLL: Duration = Duration::from_secs(600);
/// Pause before the next look when something could not be read for now.
const RETRY: Duration = Duration::from_secs(60);
/// Segments that several snapshots share are read once a pass; beyond so many, which are 16 TiB, perhaps more often.
const MAX_REMEMBERED: usize = 1 << 20;
/// Damaged segments that are remembered one by one.
const MAX_DAMAGED: usize = 4096;
const DAY: u64 = 86_400;

/// Whose segments are gone through, in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Subject {
    Snapshot(SnapshotId),
    /// By its unique name too: another volume of the same name is another.
    Volume(VolumeId, String),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
            Self::Volume(id, _) => write!(f, "volume {id}"),
        }
    }
}

/// One damaged copy of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Damage {
    subjects: BTreeSet<Subject>,
    blocks: u64,
    /// There is no whole copy.
    lost: bool,
    what: String,
    /// The pass that saw it last.
    pass: u64,
}

/// What is remembered over the daemon's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct State {
    /// The number of the last pass, and when it began.
    pass: u64,
    pass_unix_s: u64,
    is_under_way: bool,
    /// Whose turn it is in the pass, and the first segment that was not read yet.
    subject: Option<Subject>,
    next_seq: u32,
    damage: BTreeMap<String, Damage>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Scrub {
    path: PathBuf,
    interval_s: u64,
    bytes_per_s: u64,
    state: Mutex<State>,
    read_bytes: AtomicU64,
    segments: AtomicU64,
    repaired_blocks: AtomicU64,
}

/// What is known of a volume's or a snapshot's damage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub blocks: u64,
    pub lost: bool,
    pub what: String,
}

impl Scrub {
    pub(super) fn open(config: &Config) -> Self {
        let path = config.state_dir.join("scrub.json");
        // What cannot be read is begun anew.
        let state = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self {
            path,
            interval_s: u64::from(config.scrub_interval_days) * DAY,
            bytes_per_s: u64::from(config.scrub_mib_per_second) << 20,
            state: Mutex::new(state),
            read_bytes: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            repaired_blocks: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, state: &State) {
        let saved =
            serde_json::to_vec(state).map_err(std::io::Error::from).map(|bytes| replace_file(&self.path, &bytes));
        if !matches!(saved, Ok(Ok(()))) {
            tracing::warn!(result = ?saved, "cannot save how far scrubbing is");
        }
    }

    pub(super) fn metrics(&self) -> ScrubMetrics {
        let state = self.state();
        ScrubMetrics {
            pass_unix_s: state.pass_unix_s,
            is_under_way: state.is_under_way,
            segments: self.segments.load(Ordering::Relaxed),
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            damaged_blocks: state.damage.values().map(|damage| damage.blocks).sum(),
            repaired_blocks: self.repaired_blocks.load(Ordering::Relaxed),
        }
    }

    pub(super) fn repaired(&self, blocks: u64) {
        self.repaired_blocks.fetch_add(blocks, Ordering::Relaxed);
    }

    fn found(&self, subject: &Subject) -> Found {
        let mut found = Found::default();
        for damage in self.state().damage.values().filter(|damage| damage.subjects.contains(subject)) {
            found.blocks += damage.blocks;
            found.lost |= damage.lost;
            if found.what.is_empty() || damage.lost {
                found.what.clone_from(&damage.what);
            }
        }
        found
    }

    pub(super) fn of_volume(&self, id: &VolumeId, uid: &str) -> Found {
        self.found(&Subject::Volume(id.clone(), uid.to_owned()))
    }

    pub(super) fn of_snapshot(&self, id: &SnapshotId) -> Found {
        self.found(&Subject::Snapshot(id.clone()))
    }

    /// Note how one copy was found; true if that is news.
    fn note(&self, copy: &Copy<'_>, bad: Option<(u64, String, bool)>) -> bool {
        let mut state = self.state();
        let pass = state.pass;
        let key = copy.key();
        let Some((blocks, what, lost)) = bad else { return state.damage.remove(&key).is_some() };
        let is_news = !state.damage.contains_key(&key);
        if is_news && state.damage.len() >= MAX_DAMAGED {
            return true;
        }
        let subjects = BTreeSet::from([copy.subject.clone()]);
        let damage = state.damage.entry(key).or_insert(Damage { subjects, blocks, lost, what: String::new(), pass });
        damage.subjects.insert(copy.subject.clone());
        (damage.blocks, damage.lost, damage.what, damage.pass) = (blocks, lost, what, pass);
        is_news
    }
}

/// A segment in one place.
struct Copy<'a> {
    subject: &'a Subject,
    name: SegmentName,
    in_store: bool,
}

impl Copy<'_> {
    /// The store has one copy for all, every log its own.
    fn key(&self) -> String {
        let segment = crate::backing::segment_key(self.name);
        match self.subject {
            Subject::Volume(_, uid) if !self.in_store => format!("log/{uid}/{segment}"),
            _ => format!("store/{segment}"),
        }
    }
}

/// Keeps reading slow.
pub(super) struct Pace {
    bytes_per_s: u64,
    next: Instant,
}

impl Pace {
    async fn pay(&mut self, bytes: u64) {
        let cost = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / self.bytes_per_s.max(1));
        self.next = self.next.max(Instant::now()) + cost;
        tokio::time::sleep_until(self.next.into()).await;
    }
}

/// What a subject needs, and how it is read.
pub(super) struct Needs {
    pub map: Checkpoint,
    pub guards: Arc<Vec<Guard>>,
    pub log: Option<PathBuf>,
}

impl Needs {
    pub fn name(&self, segment: &SavedSegment) -> Option<SegmentName> {
        let owner = self.map.owners.get(usize::from(segment.owner))?.volume;
        Some(SegmentName { owner, id: segment.id })
    }
}

impl Daemon {
    pub(super) fn start_scrubbing(self: &Arc<Self>) {
        if self.scrub.interval_s > 0 {
            self.node.runtime.spawn(self.clone().scrub_for_ever());
        }
    }

    async fn scrub_for_ever(self: Arc<Self>) {
        loop {
            let due = {
                let state = self.scrub.state();
                state.is_under_way || now_unix_s() >= state.pass_unix_s.saturating_add(self.scrub.interval_s)
            };
            if due {
                self.scrub_pass().await;
            }
            tokio::time::sleep(IDLE_POLL).await;
        }
    }

    /// Off the runtime's threads; None when the daemon ends.
    pub(super) async fn off<T: Send + 'static>(
        self: &Arc<Self>,
        f: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Option<T> {
        let daemon = self.clone();
        tokio::task::spawn_blocking(move || f(&daemon)).await.ok()
    }

    async fn scrub_pass(self: &Arc<Self>) {
        {
            let mut state = self.scrub.state();
            if !state.is_under_way {
                let damage = std::mem::take(&mut state.damage);
                let (pass, pass_unix_s) = (state.pass + 1, now_unix_s());
                *state = State { pass, pass_unix_s, is_under_way: true, damage, ..State::default() };
            }
            tracing::info!(from = ?state.subject, "scrubbing");
        }
        let mut pace = Pace { bytes_per_s: self.scrub.bytes_per_s, next: Instant::now() };
        let mut seen = HashSet::new();
        let mut saved = Instant::now();
        loop {
            let Some(Some((subject, from))) = self.off(|daemon| daemon.next_subject()).await else { break };
            let of = subject.clone();
            match self.off(move |daemon| daemon.needs(&of)).await {
                Some(Ok(Some(needs))) => {
                    // One that nothing is in any more may be gone from the store, and its place emptied.
                    let needed = needed_segments(&needs.map);
                    for segment in needed.into_iter().filter(|s| s.end != 0 && s.id.seq >= from) {
                        self.scrub_segment(&subject, &needs, &segment, &mut seen, &mut pace).await;
                        self.scrub.state().next_seq = segment.id.seq.saturating_add(1);
                        if saved.elapsed() >= SAVE_INTERVAL {
                            self.off(|daemon| daemon.scrub.save(&daemon.scrub.state().clone())).await;
                            saved = Instant::now();
                        }
                    }
                }
                // Deleted in between.
                Some(Ok(None)) => {}
                Some(Err(error)) => tracing::error!(%subject, error = ?error, "cannot be scrubbed"),
                None => return,
            }
            // The last of its numbers: the next subject is one behind it.
            self.scrub.state().next_seq = u32::MAX;
        }
        let mut state = self.scrub.state().clone();
        state.is_under_way = false;
        // What was not seen again is whole by now, or nobody needs it any more.
        state.damage.retain(|_, damage| damage.pass == state.pass);
        tracing::info!(damaged = state.damage.len(), "everything was scrubbed");
        // Said when it is durable.
        self.off(move |daemon| {
            daemon.scrub.save(&state);
            *daemon.scrub.state() = state;
        })
        .await;
    }

    /// The subject whose turn it is, and its first segment to be read.
    fn next_subject(&self) -> Option<(Subject, u32)> {
        let subjects: BTreeSet<Subject> = {
            let known = self.lock();
            let completed = known.snapshots.iter().filter(|(_, e)| e.record.state == SnapshotState::Completed);
            let snapshots = completed.map(|(id, _)| Subject::Snapshot(id.clone()));
            let volumes = known.volumes.iter().map(|(id, r)| Subject::Volume(id.clone(), r.uid.clone()));
            snapshots.chain(volumes).collect()
        };
        let mut state = self.scrub.state();
        let (last, seq) = (state.subject.clone(), state.next_seq);
        let next = subjects.into_iter().find(|subject| match &last {
            None => true,
            Some(last) if subject == last => seq < u32::MAX,
            Some(last) => subject > last,
        })?;
        if last.as_ref() != Some(&next) {
            (state.subject, state.next_seq) = (Some(next.clone()), 0);
        }
        Some((next, state.next_seq))
    }

    fn is_there(&self, known: &Known, subject: &Subject) -> bool {
        match subject {
            Subject::Snapshot(id) => known.snapshots.contains_key(id),
            Subject::Volume(id, uid) => known.volumes.get(id).is_some_and(|record| record.uid == *uid),
        }
    }

    fn needs(&self, subject: &Subject) -> Result<Option<Needs>, DaemonError> {
        if !self.is_there(&self.lock(), subject) {
            return Ok(None);
        }
        let (map, log) = match subject {
            Subject::Snapshot(id) => (self.snapshot_map(id)?, None),
            Subject::Volume(id, _) => {
                let files = self.files(id);
                let map = files.checkpoint().map_err(|e| DaemonError::Files("read the volume's checkpoint", e))?;
                (map, Some(files.log_path()))
            }
        };
        let guards = crate::volume::guards(&self.node.key, &map);
        let guards = guards.map_err(|e| DaemonError::Key(format!("unlock {subject}"), e))?;
        Ok(Some(Needs { map, guards: Arc::new(guards), log }))
    }

    /// Verify one segment, in the log and in the store.
    async fn scrub_segment(
        self: &Arc<Self>,
        subject: &Subject,
        needs: &Needs,
        segment: &SavedSegment,
        seen: &mut HashSet<SegmentName>,
        pace: &mut Pace,
    ) {
        let Some(name) = needs.name(segment) else { return };
        let in_log = self.scrub_log(subject, needs, segment, name, pace).await;
        let copy = Copy { subject, name, in_store: true };
        let is_known_whole = seen.contains(&name) && !self.scrub.state().damage.contains_key(&copy.key());
        let in_store = if !self.node.backing.is_referenced(name) {
            None
        } else if is_known_whole {
            // Read for another in this pass.
            Some(Verified::Whole)
        } else {
            if seen.len() < MAX_REMEMBERED {
                seen.insert(name);
            }
            self.scrub_store(subject, needs, segment, name, pace).await
        };
        self.scrub.segments.fetch_add(1, Ordering::Relaxed);
        let (in_log, in_store) = self.repair(subject, needs, segment, (in_log, in_store), pace).await;
        let whole = [&in_log, &in_store].into_iter().any(|copy| matches!(copy, Some(Verified::Whole)));
        for (in_store, found) in [(false, in_log), (true, in_store)] {
            let Some(verified) = found else { continue };
            let copy = Copy { subject, name, in_store };
            let what = match in_store {
                false => format!("segment {} of the log", segment.id.seq),
                true => format!("{} in the store", crate::backing::segment_key(name)),
            };
            let bad = tell(&verified, segment, &what).map(|(blocks, what)| (blocks, what, !whole));
            let text = bad.clone();
            if self.scrub.note(&copy, bad) {
                match text {
                    Some((blocks, what, lost)) => tracing::error!(%subject, blocks, lost, what, "damage was found"),
                    None => tracing::info!(%subject, segment = copy.key(), "what was damaged is whole again"),
                }
            }
        }
    }

    /// How the copy in the log is; None if there is none, or none any more.
    pub(super) async fn scrub_log(
        self: &Arc<Self>,
        subject: &Subject,
        needs: &Needs,
        segment: &SavedSegment,
        name: SegmentName,
        pace: &mut Pace,
    ) -> Option<Verified> {
        let (Some(log), Some(slot)) = (&needs.log, segment.slot) else { return None };
        let mut bytes = Vec::with_capacity(usize::from(segment.end) * BLOCK_BYTES);
        let mut block = 0;
        while block < segment.end {
            let blocks = LOG_PIECE_BLOCKS.min(segment.end - block);
            let log = log.clone();
            let piece = self.off(move |_| read_slot_part(&log, slot, block, blocks)).await?;
            match piece {
                Ok(piece) => bytes.extend_from_slice(AlignedBuffer::as_slice(&piece)),
                // As zeros, which are not what was written.
                Err(_) => bytes.resize(bytes.len() + usize::from(blocks) * BLOCK_BYTES, 0),
            }
            block += blocks;
            let read = u64::from(blocks) * BLOCK_BYTES as u64;
            self.scrub.read_bytes.fetch_add(read, Ordering::Relaxed);
            pace.pay(read).await;
        }
        let (guards, owner) = (needs.guards.clone(), usize::from(segment.owner));
        let verified =
            self.off(move |_| guards.get(owner).map(|guard| verify_segment(&mut bytes, name, guard))).await??;
        if verified == Verified::Whole {
            return Some(verified);
        }
        // The place may be used for something else by now: once more, while nothing is freed.
        let (of, guards, id) = (subject.clone(), needs.guards.clone(), segment.id);
        let again = self.off(move |daemon| {
            let Subject::Volume(volume, _) = &of else { return Ok(None) };
            daemon.with_volume_reader(volume, |reader, _| {
                // As above.
                let segments = needed_segments(reader.checkpoint());
                let now = segments.iter().find(|s| s.id == id).and_then(|s| Some((s.slot?, s.end)));
                let Some((slot, end)) = now else { return Ok(None) };
                let read = read_slot_part(&daemon.files(volume).log_path(), slot, 0, end);
                let verify = |guard| match read {
                    Ok(mut bytes) => verify_segment(bytes.as_mut_slice(), name, guard),
                    Err(_) => Verified::Front,
                };
                Ok(guards.get(owner).map(verify))
            })
        });
        match again.await? {
            Ok(verified) => verified,
            Err(error) => {
                tracing::warn!(%subject, error = ?error, "what seems to be damaged cannot be read again");
                Some(verified)
            }
        }
    }

    /// How the copy in the store is; None if that cannot be told.
    pub(super) async fn scrub_store(
        self: &Arc<Self>,
        subject: &Subject,
        needs: &Needs,
        segment: &SavedSegment,
        name: SegmentName,
        pace: &mut Pace,
    ) -> Option<Verified> {
        let what = format!("{} in the store", crate::backing::segment_key(name));
        let mut found = None;
        // Twice, if it is not whole: the way here damages things too.
        for _ in 0..2 {
            let read = self.read_stored(name, u64::from(segment.end) * BLOCK_BYTES as u64, pace).await;
            let verified = match read {
                Ok(mut bytes) => {
                    let (guards, owner) = (needs.guards.clone(), usize::from(segment.owner));
                    self.off(move |_| guards.get(owner).map(|guard| verify_segment(&mut bytes, name, guard))).await??
                }
                Err(error) if is_damage(&error) => Verified::Front,
                Err(error) => {
                    tracing::warn!(what, %error, "cannot be scrubbed");
                    tokio::time::sleep(RETRY).await;
                    return None;
                }
            };
            let is_whole = verified == Verified::Whole;
            found = Some(verified);
            if is_whole {
                return found;
            }
        }
        // Deleted meanwhile: then it is nobody's.
        let of = subject.clone();
        let is_there = self.off(move |daemon| daemon.is_there(&daemon.lock(), &of)).await?;
        found.filter(|_| is_there && self.node.backing.is_referenced(name))
    }

    /// From the store itself, not from the cache.
    pub(super) async fn read_stored(
        &self,
        name: SegmentName,
        len: u64,
        pace: &mut Pace,
    ) -> Result<Vec<u8>, StoreError> {
        let (backing, key) = (&self.node.backing, crate::backing::segment_key(name));
        let mut bytes = Vec::with_capacity(usize::try_from(len.min(SEGMENT_BYTES)).unwrap_or(0));
        let mut at = 0;
        while at < len {
            let range = at..len.min(at + STORE_PIECE_BYTES);
            let piece = backing.patiently(&key, || backing.store.get_range(&key, range.clone())).await?;
            bytes.extend_from_slice(&piece);
            let read = range.end - range.start;
            self.scrub.read_bytes.fetch_add(read, Ordering::Relaxed);
            pace.pay(read).await;
            at = range.end;
        }
        Ok(bytes)
    }
}

/// Gone, or shorter than it was.
fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. } | StoreError::Damaged { .. } | StoreError::Invalid { .. })
}

/// How many blocks are damaged, in words too.
fn tell(verified: &Verified, segment: &SavedSegment, what: &str) -> Option<(u64, String)> {
    let live = u64::from(segment.live);
    match verified {
        Verified::Whole => None,
        Verified::Other | Verified::Front => Some((live.max(1), format!("{what} is gone or damaged at its front"))),
        Verified::Blocks(blocks) => {
            let first = blocks.first().copied().unwrap_or_default();
            Some((blocks.len() as u64, format!("{what}: {} blocks are damaged, the first is {first}", blocks.len())))
        }
    }
}
