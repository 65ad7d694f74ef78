//! The tasks that work for one open volume: its checkpoint file, fetches, uploads, and the manifest that a lost node is rebuilt from.

use super::files::{VolumeFiles, Writer};
use super::link::Caller;
use super::manifest::{self, About, ClaimError, Commit, Manifest, StoredSegment, commit};
use crate::backing::{Backing, Holder, chunk_key, parse_segment_key, segment_key, segment_prefix};
use crate::catalogue::replace_file;
use crate::engine::AlignedBuffer;
use crate::engine::check::SegmentId;
use crate::engine::format::{BLOCK_BYTES, Checkpoint, SEGMENT_BYTES, SavedSegment, VolumeUid};
use crate::engine::log::{CompleteSegment, Event, SegmentName};
use bytes::Bytes;
use hive_blockd_store::{StoreError, Version};
use rustix::fs::OFlags;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::JoinSet;

/// Segments of one volume on their way to the store at a time.
const UPLOADS: usize = 2;
/// Chunks fetched ahead of a read.
const READ_AHEAD_CHUNKS: u32 = 2;
/// How often what was uploaded is made part of the manifest.
const COMMIT_INTERVAL: Duration = Duration::from_secs(2);
/// How long uploads may go on after their engine's end.
const LAST_UPLOADS: Duration = Duration::from_secs(10);
/// Pause before a checkpoint that could not be written is tried again.
const SAVE_RETRY: Duration = Duration::from_secs(1);

/// What the engine wants done.
#[derive(Debug)]
pub enum Order {
    Save { bytes: Vec<u8>, cuts: Vec<u64> },
    Fetch { name: SegmentName, end: u16, chunk: u32 },
    Complete(CompleteSegment),
    Holding(u64),
    Dropped(SegmentName),
}

/// Who waits for a cut or a hold, by its token.
#[derive(Debug, Default)]
pub struct Waiters {
    cuts: Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>,
    holds: Mutex<HashMap<u64, oneshot::Sender<()>>>,
}

impl Waiters {
    /// Be told of the checkpoint that cut `token` makes, once it is durable here.
    pub fn cut(&self, token: u64) -> oneshot::Receiver<Vec<u8>> {
        let (sender, receiver) = oneshot::channel();
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).insert(token, sender);
        receiver
    }

    pub fn hold(&self, token: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).insert(token, sender);
        receiver
    }

    fn tell_cut(&self, token: u64, bytes: &[u8]) {
        if let Some(sender) = self.cuts.lock().unwrap_or_else(PoisonError::into_inner).remove(&token) {
            let _ = sender.send(bytes.to_vec());
        }
    }

    fn tell_holding(&self, token: u64) {
        if let Some(sender) = self.holds.lock().unwrap_or_else(PoisonError::into_inner).remove(&token) {
            let _ = sender.send(());
        }
    }
}

/// What the tasks share.
#[derive(Debug)]
pub struct Keeper {
    pub name: String,
    pub volume: VolumeUid,
    pub files: VolumeFiles,
    pub backing: Arc<Backing>,
    pub caller: Caller,
    pub waiters: Arc<Waiters>,
    /// Upload everything as it comes, and keep a manifest.
    pub upload: bool,
    /// The manifest as we wrote it last; None while we have not claimed it.
    pub manifest: Mutex<Option<(Manifest, Version)>>,
    size_bytes: AtomicU64,
    /// The last that was recorded in our time.
    writer: Mutex<Writer>,
    state: Mutex<State>,
    changed: Notify,
    /// There are segments to remove from the store.
    freed: Notify,
    /// What the file says is to be removed.
    noting: tokio::sync::Mutex<HashSet<SegmentName>>,
    reached: watch::Sender<Reached>,
}

/// Segments that are complete here, and without which the manifest would rebuild the volume.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncommitted {
    pub not_stored_bytes: u64,
    /// In the store, and not in the manifest.
    pub stored_bytes: u64,
    pub since: Option<Instant>,
}

/// How far the volume is in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// See [`Manifest::covers`].
    pub covers: u32,
    /// It will not get any further: the engine is gone, or may not write any more.
    pub ended: bool,
}

/// What a predecessor may have left in the store: segments that it dropped and had no time to note.
#[derive(Clone, Debug)]
struct Suspects {
    /// Of now; what is younger is not a predecessor's.
    writer: Writer,
    opened_with: Arc<Checkpoint>,
}

impl Suspects {
    /// Whether nobody but holders that are known here can refer to it: it was written on this node, by somebody before us, and the
    /// volume had lost it already when it was opened.
    fn is_left(&self, name: SegmentName) -> bool {
        let SegmentId { epoch, incarnation, .. } = name.id;
        (self.writer.first_epoch..=self.writer.epoch).contains(&epoch)
            && (epoch, incarnation) < (self.writer.epoch, self.writer.incarnation)
            && name.owner == self.opened_with.volume
            && !super::may_have(&self.opened_with, name)
    }
}

#[derive(Debug, Default)]
struct State {
    /// Our own segments that are complete, by number; true if in the store.
    segments: BTreeMap<u32, (CompleteSegment, bool)>,
    checkpoint: Option<Arc<Checkpoint>>,
    /// Not referred to here any more, but perhaps by the manifest in the store.
    dropped: HashSet<SegmentName>,
    /// Referred to by nobody any more, and perhaps still in the store.
    free: HashSet<SegmentName>,
    /// To be looked for in the store, once the manifest there is ours and up to date.
    suspects: Option<Suspects>,
    /// Since when the manifest lacks something that the store has.
    uncommitted_since: Option<Instant>,
    /// Bytes that the store took, and since when they are counted.
    drained: u64,
    drained_since: Option<Instant>,
}

impl Keeper {
    #[expect(clippy::too_many_arguments, reason = "the parts of one volume")]
    pub fn new(
        name: String,
        size_bytes: u64,
        volume: VolumeUid,
        files: VolumeFiles,
        backing: Arc<Backing>,
        caller: Caller,
        waiters: Arc<Waiters>,
        upload: bool,
        manifest: Option<(Manifest, Version)>,
        checkpoint: Checkpoint,
        writer: Writer,
        is_suspect: bool,
    ) -> Arc<Self> {
        let noted = files.dropped();
        let has: HashSet<_> = super::stored_names(&checkpoint).into_iter().collect();
        let dropped: HashSet<_> = noted.iter().copied().filter(|name| !has.contains(name)).collect();
        // Until the manifest in the store does without them.
        backing.hold(Holder::volume(volume), dropped.iter().copied());
        let covers = manifest.as_ref().map_or(0, |(manifest, _)| manifest.covers);
        let checkpoint = Arc::new(checkpoint);
        let suspects = is_suspect.then(|| Suspects { writer: writer.clone(), opened_with: checkpoint.clone() });
        let state = State { checkpoint: Some(checkpoint), dropped, suspects, ..State::default() };
        Arc::new(Self {
            name,
            size_bytes: AtomicU64::new(size_bytes),
            volume,
            files,
            backing,
            caller,
            waiters,
            upload,
            manifest: Mutex::new(manifest),
            writer: Mutex::new(writer),
            state: Mutex::new(state),
            changed: Notify::new(),
            freed: Notify::new(),
            noting: tokio::sync::Mutex::new(noted.into_iter().collect()),
            reached: watch::Sender::new(Reached { covers, ended: false }),
        })
    }

    /// How far the volume is in the store, now and from now on.
    pub fn reached(&self) -> watch::Receiver<Reached> {
        self.reached.subscribe()
    }

    /// What of the complete segments would be lost with this node.
    pub fn uncommitted(&self) -> Uncommitted {
        let (state, covers) = (self.state(), self.reached.borrow().covers);
        let mut found = Uncommitted::default();
        if !self.upload {
            return found;
        }
        for (seq, (segment, uploaded)) in &state.segments {
            let bytes = u64::from(segment.end) * BLOCK_BYTES as u64;
            match uploaded {
                false => found.not_stored_bytes += bytes,
                true if *seq >= covers => found.stored_bytes += bytes,
                true => {}
            }
        }
        found.since = state.uncommitted_since.filter(|_| found.not_stored_bytes + found.stored_bytes > 0);
        found
    }

    /// What was found at the open has been here alone for longer than that.
    pub fn lacks_since(&self, since: Instant) {
        self.state().uncommitted_since = Some(since);
    }

    /// The volume has grown.
    pub fn set_size(&self, size_bytes: u64) {
        self.size_bytes.store(size_bytes, Ordering::Relaxed);
    }

    fn about(&self) -> About<'_> {
        About { volume_id: &self.name, size_bytes: self.size_bytes.load(Ordering::Relaxed) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serve the engine until it is gone.
    pub async fn run(self: Arc<Self>, mut orders: UnboundedReceiver<Order>) {
        let _occupied = self.backing.occupy(self.volume);
        let uploads = Arc::new(Semaphore::new(UPLOADS));
        let mut uploading = JoinSet::new();
        let committer = tokio::spawn(self.clone().keep_committed());
        let remover = tokio::spawn(self.clone().keep_removing());
        // What a predecessor left to be done.
        self.changed.notify_one();
        while let Some(order) = orders.recv().await {
            match order {
                Order::Save { bytes, cuts } => drop(tokio::spawn(self.clone().save(bytes, cuts))),
                Order::Fetch { name, end, chunk } => drop(tokio::spawn(self.clone().fetch(name, end, chunk))),
                Order::Holding(token) => self.waiters.tell_holding(token),
                Order::Complete(segment) => {
                    {
                        let mut state = self.state();
                        state.segments.insert(segment.id.seq, (segment, segment.uploaded));
                        if !segment.uploaded {
                            state.uncommitted_since.get_or_insert_with(Instant::now);
                        }
                    }
                    if self.upload && !segment.uploaded {
                        while uploading.try_join_next().is_some() {}
                        let (keeper, uploads) = (self.clone(), uploads.clone());
                        uploading.spawn(async move {
                            // Refused: the engine is gone, and its successor may use the log's slots for something else.
                            if let Ok(_turn) = uploads.acquire().await {
                                keeper.upload(segment).await;
                            }
                        });
                    }
                }
                Order::Dropped(name) => self.forget(name),
            }
        }
        committer.abort();
        remover.abort();
        // Neither does anything for us any more when others are told so.
        drop((committer.await, remover.await));
        self.reached.send_modify(|reached| reached.ended = true);
        uploads.close();
        let end = async { while uploading.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_UPLOADS, end).await.is_err() {
            uploading.shutdown().await;
        }
        self.note_end().await;
    }

    /// Spare the next open the search for what nobody knows, if there is nothing of the kind.
    async fn note_end(&self) {
        if !self.note_dropped().await || self.state().suspects.is_some() || self.backing.is_suspected(self.volume) {
            return;
        }
        let (files, writer) = (self.files.clone(), self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone());
        match tokio::task::spawn_blocking(move || files.put_ended(&writer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(volume = self.name, %error, "cannot note that the volume was closed"),
            Err(_) => {}
        }
    }

    async fn save(self: Arc<Self>, bytes: Vec<u8>, cuts: Vec<u64>) {
        let bytes = Arc::new(bytes);
        loop {
            let (path, contents) = (self.files.checkpoint_path(), bytes.clone());
            let written = tokio::task::spawn_blocking(move || replace_file(&path, &contents)).await;
            match written {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::warn!(volume = self.name, %error, "cannot save the checkpoint, trying on"),
                Err(_) => return,
            }
            tokio::time::sleep(SAVE_RETRY).await;
        }
        if self.upload {
            self.state().checkpoint = Checkpoint::decode(&bytes).ok().map(Arc::new);
            self.changed.notify_one();
        }
        for token in cuts {
            self.waiters.tell_cut(token, &bytes);
        }
        self.caller.call(Event::CheckpointSaved);
    }

    async fn fetch(self: Arc<Self>, name: SegmentName, end: u16, chunk: u32) {
        let (key, object_len) = (segment_key(name), u64::from(end) * BLOCK_BYTES as u64);
        let (backing, cache_key) = (&self.backing, chunk_key(name, chunk));
        let fetched =
            backing.patiently(&key, || backing.cache.fetch(&backing.store, &key, object_len, cache_key)).await;
        if fetched.is_ok() {
            let ahead = chunk_key(name, chunk + 1);
            backing.cache.prefetch(&backing.store, &key, object_len, ahead, READ_AHEAD_CHUNKS);
        }
        // The engine looks it up again; until it has, the slot stays.
        let result = fetched.as_ref().map(drop).map_err(ToString::to_string);
        self.caller.call(Event::Fetched { name, chunk, result });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(fetched);
    }

    async fn upload(&self, segment: CompleteSegment) {
        let name = SegmentName { owner: self.volume, id: segment.id };
        // A snapshot's task may be ahead of us: then the slot may hold something else by now.
        let is_wanted = || matches!(self.state().segments.get(&segment.id.seq), Some((_, false)));
        if !is_wanted() {
            return;
        }
        let (log, slot, end) = (self.files.log_path(), segment.slot, segment.end);
        let read = tokio::task::spawn_blocking(move || read_slot(&log, slot, end)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => Bytes::from_owner(bytes),
            Ok(Err(error)) => {
                return tracing::error!(volume = self.name, segment = ?segment.id, %error, "cannot read a segment to upload it");
            }
            Err(_) => return,
        };
        if !is_wanted() {
            return;
        }
        let len = bytes.len() as u64;
        match self.backing.put(&segment_key(name), bytes).await {
            Ok(()) => self.uploaded(name, len),
            Err(error) => tracing::error!(volume = self.name, segment = ?segment.id, %error, "cannot upload a segment"),
        }
    }

    fn uploaded(&self, name: SegmentName, len: u64) {
        let rate = {
            let mut state = self.state();
            let Some((_, uploaded)) = state.segments.get_mut(&name.id.seq) else { return };
            if !std::mem::replace(uploaded, true) {
                self.backing.hold(Holder::volume(self.volume), [name]);
            }
            state.uncommitted_since.get_or_insert_with(Instant::now);
            state.drained += len;
            let since = *state.drained_since.get_or_insert_with(Instant::now);
            let passed = since.elapsed();
            (passed >= Duration::from_secs(1)).then(|| {
                let rate = state.drained as f64 / passed.as_secs_f64();
                (state.drained, state.drained_since) = (0, None);
                rate as u64
            })
        };
        self.caller.call(Event::Uploaded { seq: name.id.seq });
        if let Some(bytes_per_second) = rate {
            self.caller.call(Event::DrainRate { bytes_per_second });
        }
        self.changed.notify_one();
    }

    /// A snapshot's task has uploaded one of our segments.
    pub fn uploaded_elsewhere(&self, name: SegmentName) {
        self.uploaded(name, 0);
    }

    fn forget(&self, name: SegmentName) {
        let ours = name.owner == self.volume;
        let mut state = self.state();
        if ours {
            state.segments.remove(&name.id.seq);
        }
        // Perhaps in the store although nobody told us: it was uploaded for a snapshot while the volume was not open.
        state.dropped.insert(name);
        drop(state);
        self.changed.notify_one();
    }

    /// Keep the manifest true, and then let the store go of what it does not refer to any more.
    async fn keep_committed(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            if self.upload {
                tokio::time::sleep(COMMIT_INTERVAL).await;
            }
            // In this order: what is dropped here is not in the checkpoint that is committed.
            let dropped = self.state().dropped.clone();
            self.note_dropped().await;
            if self.upload {
                match self.commit().await {
                    Progress::Made => {}
                    // The manifest in the store may still name what was dropped.
                    Progress::NotYet => continue,
                    Progress::Failed => {
                        self.changed.notify_one();
                        continue;
                    }
                    Progress::Fenced(reason) => {
                        self.caller.call(Event::Fenced(reason));
                        self.reached.send_modify(|reached| reached.ended = true);
                        return;
                    }
                }
            }
            let free = self.backing.release(Holder::volume(self.volume), dropped.iter().copied());
            {
                let mut state = self.state();
                state.dropped.retain(|name| !dropped.contains(name));
                state.free.extend(free);
            }
            self.freed.notify_one();
        }
    }

    /// Remove what nobody refers to from the store, however long that takes. The commits do not wait for it.
    async fn keep_removing(self: Arc<Self>) {
        loop {
            self.freed.notified().await;
            self.look_for_left().await;
            loop {
                let next = self.state().free.iter().next().copied();
                let Some(name) = next else { break };
                if !self.backing.is_referenced(name) {
                    let key = segment_key(name);
                    let removed = self.backing.patiently(&key, || self.backing.store.delete(&key)).await;
                    if let Err(error) = removed {
                        tracing::error!(volume = self.name, key, %error, "cannot remove a segment that nobody refers to");
                    }
                }
                self.state().free.remove(&name);
            }
            self.note_dropped().await;
        }
    }

    /// Look through all that the store has of the volume for what a predecessor left there, once.
    async fn look_for_left(&self) {
        let Some(suspects) = self.state().suspects.clone() else { return };
        // Only what our manifest does without: where nothing is uploaded of itself, there must be none that names segments.
        let manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !manifest.is_some_and(|(manifest, _)| self.upload || manifest.map.is_none()) {
            return;
        }
        let prefix = segment_prefix(self.volume);
        match self.backing.patiently(&prefix, || self.backing.store.list(&prefix)).await {
            Ok(keys) => {
                let names = keys.iter().filter_map(|key| parse_segment_key(key));
                let left: Vec<_> =
                    names.filter(|name| suspects.is_left(*name) && !self.backing.is_referenced(*name)).collect();
                if !left.is_empty() {
                    tracing::info!(volume = self.name, segments = left.len(), "the store has what nobody refers to");
                }
                let mut state = self.state();
                state.free.extend(left);
                state.suspects = None;
                self.backing.clear(self.volume);
            }
            Err(error) => tracing::warn!(volume = self.name, %error, "cannot list what the store has"),
        }
    }

    /// Make durable what is to be removed from the store, if that has changed: whoever opens the volume next goes on with it. False if
    /// that fails.
    async fn note_dropped(&self) -> bool {
        let mut noted = self.noting.lock().await;
        let names: HashSet<SegmentName> = {
            let state = self.state();
            // Others were never in the store.
            let held = state.dropped.iter().filter(|name| self.backing.is_referenced(**name));
            held.chain(&state.free).copied().collect()
        };
        if *noted == names {
            return true;
        }
        let (files, put) = (self.files.clone(), names.clone());
        match tokio::task::spawn_blocking(move || files.put_dropped(put)).await {
            Ok(Ok(())) => {
                *noted = names;
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(volume = self.name, %error, "cannot note what is to be removed");
                false
            }
            Err(_) => false,
        }
    }

    /// Write the manifest if all that it would name is in the store.
    async fn commit(&self) -> Progress {
        let (checkpoint, suffix) = {
            let state = self.state();
            let Some(checkpoint) = state.checkpoint.clone() else { return Progress::NotYet };
            // One of which we have not heard is either still being filled, or not here any more because the store has it.
            let stored = |saved: &SavedSegment| {
                saved.owner != 0 || state.segments.get(&saved.id.seq).map_or(saved.uploaded, |(_, uploaded)| *uploaded)
            };
            if !needed_segments(&checkpoint).iter().all(stored) {
                return Progress::NotYet;
            }
            let mut checkpoint = Checkpoint::clone(&checkpoint);
            for saved in checkpoint.segments.iter_mut().filter(|saved| saved.owner == 0) {
                if let Some((segment, uploaded)) = state.segments.get(&saved.id.seq) {
                    (saved.end, saved.uploaded) = (segment.end, *uploaded);
                }
            }
            let behind =
                state.segments.range(checkpoint.tail.place.seq..).map(|(_, (segment, uploaded))| (segment, *uploaded));
            let suffix: Vec<StoredSegment> = behind
                .take_while(|(_, uploaded)| *uploaded)
                .map(|(segment, _)| StoredSegment::from(*segment))
                .collect();
            (checkpoint, suffix)
        };
        let current = self.manifest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (manifest, version) = match current {
            Some(current) => current,
            None => match self.claim().await {
                Ok(claimed) => claimed,
                Err(progress) => return progress,
            },
        };
        let (progress, known) =
            match commit(&self.backing, self.volume, &manifest, version, &checkpoint, suffix, self.about().size_bytes)
                .await
            {
                Commit::Written(manifest, version) => (Progress::Made, Some((manifest, version))),
                Commit::Found(manifest, version) => (Progress::Failed, Some((manifest, version))),
                Commit::Fenced(reason) => return Progress::Fenced(reason),
                Commit::Failed(error) => {
                    tracing::warn!(volume = self.name, %error, "cannot write the manifest, trying on");
                    (Progress::Failed, None)
                }
            };
        if let Some((manifest, _)) = &known {
            let covers = manifest.covers;
            self.reached.send_modify(|reached| reached.covers = covers);
            let mut state = self.state();
            if state.segments.iter().all(|(seq, (_, uploaded))| *seq < covers && *uploaded) {
                state.uncommitted_since = None;
            }
            drop(state);
            *self.manifest.lock().unwrap_or_else(PoisonError::into_inner) = known;
        }
        progress
    }

    /// The store was away when the volume was opened: take it over now.
    async fn claim(&self) -> Result<(Manifest, Version), Progress> {
        let ours = self.files.writer().map_err(|error| self.claim_failed(&error))?;
        let record = |writer: Writer| {
            *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = writer.clone();
            self.files.put_writer(writer)
        };
        let claimed = manifest::claim(&self.backing, self.volume, self.about(), ours, record).await;
        match claimed {
            Ok(claimed) => {
                *self.manifest.lock().unwrap_or_else(PoisonError::into_inner) = Some(claimed.clone());
                Ok(claimed)
            }
            Err(error @ (ClaimError::Foreign { .. } | ClaimError::Contended)) => {
                Err(Progress::Fenced(error.to_string()))
            }
            Err(error) => Err(self.claim_failed(&error)),
        }
    }

    fn claim_failed(&self, error: &(dyn std::error::Error + 'static)) -> Progress {
        tracing::warn!(volume = self.name, error, "cannot take the volume over, trying on");
        Progress::Failed
    }
}

/// How a commit went.
enum Progress {
    Made,
    /// Not everything is in the store; what brings it there will say so.
    NotYet,
    /// To be tried again.
    Failed,
    /// We may not write any more.
    Fenced(String),
}

/// The segments that a checkpoint cannot do without: those with data of the map or leaves of it.
pub fn needed_segments(checkpoint: &Checkpoint) -> Vec<SavedSegment> {
    let homes: HashSet<u32> = checkpoint.homes.iter().map(|(_, home)| home.place.seq).collect();
    checkpoint.segments.iter().filter(|s| s.live > 0 || homes.contains(&s.id.seq)).copied().collect()
}

/// The used part of a complete segment in a local log.
pub fn read_slot(log: &Path, slot: u32, end: u16) -> io::Result<AlignedBuffer> {
    read_slot_part(log, slot, 0, end)
}

/// Blocks of a segment in a local log.
pub fn read_slot_part(log: &Path, slot: u32, block: u16, blocks: u16) -> io::Result<AlignedBuffer> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Not through the page cache where that can be avoided: it is read once.
    let direct = options.clone().custom_flags(OFlags::DIRECT.bits() as i32).open(log);
    let file = direct.or_else(|_| options.open(log))?;
    let mut buffer = AlignedBuffer::new(usize::from(blocks) * BLOCK_BYTES);
    let offset = u64::from(slot) * SEGMENT_BYTES + u64::from(block) * BLOCK_BYTES as u64;
    file.read_exact_at(buffer.as_mut_slice(), offset)?;
    Ok(buffer)
}

/// What is said of an error with all that lies beneath.
pub fn say(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::link::{self, Link};
    use super::*;
    use hive_blockd_store::faulty::{FaultyStore, Outage};
    use hive_blockd_store::{ChunkCache, DirStore, ObjectStore};

    const VOLUME: VolumeUid = [7; 16];
    const PATIENCE: Duration = Duration::from_secs(60);

    struct Node {
        dir: tempfile::TempDir,
        store: Arc<FaultyStore>,
    }

    impl Node {
        fn files(&self) -> VolumeFiles {
            VolumeFiles::new(self.dir.path().join("volume"))
        }

        /// A daemon's start, and its keeper of the volume; it lives as long as the runtime that it is started on.
        fn keeper(&self) -> (Arc<Keeper>, Link) {
            self.keeper_of(Writer::default(), false, None)
        }

        fn keeper_of(
            &self,
            writer: Writer,
            is_suspect: bool,
            manifest: Option<(Manifest, Version)>,
        ) -> (Arc<Keeper>, Link) {
            let cache = ChunkCache::open(&self.dir.path().join("cache"), 1 << 20).unwrap();
            let backing = Arc::new(Backing::new(self.store.clone(), cache));
            let (orders, receiver) = tokio::sync::mpsc::unbounded_channel();
            let (link, caller) = link::connect(orders, backing.clone()).unwrap();
            let checkpoint = self.files().checkpoint().unwrap();
            let waiters = Arc::default();
            let (name, files) = ("disk".to_owned(), self.files());
            let keeper = Keeper::new(
                name, 4096, VOLUME, files, backing, caller, waiters, false, manifest, checkpoint, writer, is_suspect,
            );
            tokio::spawn(keeper.clone().run(receiver));
            (keeper, link)
        }
    }

    async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The manifest of a volume that has nothing in the store of itself.
    async fn claimed(node: &Node) -> (Manifest, Version) {
        let cache = ChunkCache::open(&node.dir.path().join("cache"), 1 << 20).unwrap();
        let backing = Backing::new(node.store.clone(), cache);
        let about = About { volume_id: "disk", size_bytes: 4096 };
        manifest::claim(&backing, VOLUME, about, Writer::default(), |_| Ok(())).await.unwrap()
    }

    /// As a daemon has one; ending it ends all that it does.
    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    #[test]
    fn what_cannot_be_removed_now_is_removed_later_also_by_a_successor() {
        let dir = tempfile::tempdir().unwrap();
        let inner = DirStore::open(&dir.path().join("store")).unwrap();
        let node = Node { store: FaultyStore::new(Arc::new(inner), 1), dir };
        node.files().create(&Checkpoint::empty(VOLUME, None)).unwrap();
        let name = |seq| SegmentName { owner: VOLUME, id: SegmentId { epoch: 1, incarnation: 0, seq } };
        let snapshot = Holder::snapshot(&"snap".parse().unwrap());
        let keys: Vec<String> = (1..=3).map(|seq| segment_key(name(seq))).collect();
        let killed = runtime();
        killed.block_on(async {
            for key in &keys {
                node.store.put(key, Bytes::from_static(b"segment")).await.unwrap();
            }
            let (keeper, _link) = node.keeper();
            keeper.backing.hold(Holder::volume(VOLUME), (1..=3).map(name));
            // Somebody else needs it still.
            keeper.backing.hold(snapshot, [name(3)]);
            node.store.set_outage(Outage::Refusing);
            (1..=3).for_each(|seq| keeper.forget(name(seq)));
            let files = node.files();
            eventually("those to remove are noted", async || files.dropped().len() >= 2).await;
        });
        killed.shutdown_background();
        node.store.set_outage(Outage::None);
        let (all, files) = (node.store.inner().clone(), node.files());
        runtime().block_on(async {
            assert_eq!(all.list("segments/").await.unwrap().len(), 3, "the outage kept them");
            let (keeper, _link) = node.keeper();
            keeper.backing.hold(snapshot, [name(3)]);
            eventually("they are removed", async || all.list("segments/").await.unwrap() == keys[2..]).await;
            eventually("nothing is noted any more", async || files.dropped().is_empty()).await;
        });
    }

    #[test]
    fn what_a_predecessor_dropped_without_a_note_is_found_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let inner = DirStore::open(&dir.path().join("store")).unwrap();
        let node = Node { store: FaultyStore::new(Arc::new(inner), 1), dir };
        let segment = |epoch, incarnation, seq| SegmentId { epoch, incarnation, seq };
        let name = |id| SegmentName { owner: VOLUME, id };
        let mut checkpoint = Checkpoint::empty(VOLUME, None);
        let kept = segment(5, 0, 3);
        checkpoint.segments.push(SavedSegment {
            id: kept,
            owner: 0,
            slot: None,
            live: 1,
            end: 40,
            uploaded: false,
            sealed: false,
        });
        checkpoint.tail.place.seq = 10;
        node.files().create(&checkpoint).unwrap();
        let left = [segment(5, 0, 2), segment(5, 1, 3), segment(6, 0, 4)];
        let stay = [
            // Needed here; behind the checkpoint; another node's; younger than we are; a snapshot's.
            kept,
            segment(6, 0, 10),
            segment(4, 9, 1),
            segment(6, 2, 5),
            segment(7, 0, 5),
            segment(5, 0, 7),
        ];
        let writer = Writer { epoch: 6, incarnation: 2, first_epoch: 5, ..Writer::default() };
        let all = node.store.inner().clone();
        let (away, keys) = (node.store.clone(), |ids: &[SegmentId]| {
            let mut keys: Vec<String> = ids.iter().map(|id| segment_key(name(*id))).collect();
            keys.sort_unstable();
            keys
        });
        runtime().block_on(async {
            for id in left.iter().chain(&stay) {
                all.put(&segment_key(name(*id)), Bytes::from_static(b"segment")).await.unwrap();
            }
            let manifest = claimed(&node).await;
            away.set_outage(Outage::Refusing);
            let (keeper, _link) = node.keeper_of(writer, true, Some(manifest));
            keeper.backing.hold(Holder::snapshot(&"snap".parse().unwrap()), [name(stay[5])]);
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(all.list("segments/").await.unwrap().len(), left.len() + stay.len());
            // As soon as the store is there.
            away.set_outage(Outage::None);
            eventually("they are removed", async || all.list("segments/").await.unwrap() == keys(&stay)).await;
            assert!(keeper.state().suspects.is_none());
        });
    }
}
