//! The tasks that work for one open volume: its checkpoint file, fetches, uploads, and the manifest that a lost node is rebuilt from.

mod removing;

use super::files::{VolumeFiles, Writer};
use super::link::Caller;
use super::manifest::{self, About, ClaimError, Commit, Manifest, StoredSegment, commit};
use crate::backing::{Backing, Holder, chunk_key, segment_key};
use crate::catalogue::replace_file;
use crate::engine::AlignedBuffer;
use crate::engine::format::{BLOCK_BYTES, Checkpoint, SEGMENT_BYTES, SavedSegment, VolumeUid};
use crate::engine::log::{CompleteSegment, Event, SegmentName};
use bytes::Bytes;
use hive_blockd_store::{StoreError, Version};
use removing::Suspects;
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
        let _coming = self.backing.coming(name).await;
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

/// Of a log, read at a time: guests' writes wait behind what the disk is at already.
const READ_BYTES: usize = 256 << 10;

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
    let mut offset = u64::from(slot) * SEGMENT_BYTES + u64::from(block) * BLOCK_BYTES as u64;
    for piece in buffer.as_mut_slice().chunks_mut(READ_BYTES) {
        file.read_exact_at(piece, offset)?;
        offset += piece.len() as u64;
    }
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
