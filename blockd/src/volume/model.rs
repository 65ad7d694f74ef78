//! The protocol of epochs, explored: two or three owners take one volume over and commit to its manifest, and every order of their
//! operations on the store is tried, with operations that fail, operations whose answer is lost, and owners that die at any point and
//! open the volume again. What they run is [`claim`], [`commit`] and [`restore::taken_over`], as shipped; the test decides which
//! operation happens next, and there is no clock.

use super::files::Writer;
use super::manifest::{About, ClaimError, Commit, Manifest, StoredSegment, claim, commit, manifest_key};
use super::restore;
use crate::backing::{Backing, segment_key};
use crate::engine::check::SegmentId;
use crate::engine::format::{Checkpoint, FRONT_BLOCKS, Place, SavedSegment, VolumeUid};
use crate::engine::log::SegmentName;
use async_trait::async_trait;
use bytes::Bytes;
use hive_blockd_store::error::{Attempt, Operation};
use hive_blockd_store::{ChunkCache, Condition, ObjectStore, StoreError, Version};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

const VOLUME: VolumeUid = [5; 16];

/// What one exploration may do.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Of each owner: how often it writes something and commits it under one claim.
    commits: u8,
    /// How often it may open the volume.
    opens: u8,
    /// Altogether: operations that fail or whose answer is lost, and deaths.
    faults: u8,
    deaths: u8,
    /// The store honours conditions.
    compares: bool,
}

/// How an owner comes to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It has been its node all along.
    Native,
    /// It rebuilds it from the store, its node is said to be lost.
    Rebuilt,
}

#[derive(Clone, Debug)]
enum Op {
    Get(String),
    Put(String, Bytes, Option<Condition>),
    Delete(String),
}

/// What the explorer lets happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verdict {
    Done,
    /// It happens, and nobody hears of it.
    Lost,
    /// It does not happen.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Choice {
    owner: usize,
    /// None: the owner dies, and what it had asked for does not happen.
    verdict: Option<Verdict>,
}

enum Answer {
    Got(Bytes, Version),
    Put(Version),
    Deleted,
    Error(StoreError),
}

/// An object, and who put it: the owner and the number of its operation, which are the same in every run, unlike random bytes.
#[derive(Clone, Debug)]
struct Object {
    bytes: Bytes,
    version: u64,
    by: (usize, u32),
}

/// What a manifest stands for, followed beside the protocol.
#[derive(Clone, Debug, Default)]
struct Ghost {
    /// By epoch: who wrote manifests of it.
    epochs: BTreeMap<u32, usize>,
    /// Owners that had the volume, the last at the end.
    owners: Vec<usize>,
    /// What the map of each key holds: everything that was ever written, in order.
    histories: BTreeMap<String, Vec<(usize, u32)>>,
    writers: BTreeMap<String, usize>,
    committed: Vec<(usize, u32)>,
    epoch: u32,
}

#[derive(Default)]
struct World {
    objects: BTreeMap<String, Object>,
    next_version: u64,
    waiting: Vec<Option<Op>>,
    answers: Vec<Option<Answer>>,
    /// Of each owner: operations so far, and a digest of what it was told, which decides all that it does.
    counts: Vec<u32>,
    told: Vec<u64>,
    ghost: Ghost,
    compares: bool,
    violation: Option<String>,
}

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

/// The store as one owner sees it: every call waits for the explorer.
struct Store {
    owner: usize,
    world: Shared,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.owner)
    }
}

impl Store {
    async fn ask(&self, op: Op) -> Answer {
        lock(&self.world).waiting[self.owner] = Some(op);
        poll_fn(|_| lock(&self.world).answers[self.owner].take().map_or(Poll::Pending, Poll::Ready)).await
    }

    async fn put_as(&self, key: &str, data: Bytes, condition: Option<Condition>) -> Result<Version, StoreError> {
        match self.ask(Op::Put(key.to_owned(), data, condition)).await {
            Answer::Put(version) => Ok(version),
            Answer::Error(error) => Err(error),
            _ => panic!("a wrong answer"),
        }
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn get(&self, key: &str) -> Result<(Bytes, Version), StoreError> {
        match self.ask(Op::Get(key.to_owned())).await {
            Answer::Got(bytes, version) => Ok((bytes, version)),
            Answer::Error(error) => Err(error),
            _ => panic!("a wrong answer"),
        }
    }

    async fn get_range(&self, _: &str, _: Range<u64>) -> Result<Bytes, StoreError> {
        panic!("nobody reads ranges here")
    }

    async fn size(&self, _: &str) -> Result<u64, StoreError> {
        panic!("nobody asks for sizes here")
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        self.put_as(key, data, None).await.map(drop)
    }

    async fn put_if(&self, key: &str, data: Bytes, condition: Condition) -> Result<Version, StoreError> {
        self.put_as(key, data, Some(condition)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.ask(Op::Delete(key.to_owned())).await {
            Answer::Deleted => Ok(()),
            Answer::Error(error) => Err(error),
            _ => panic!("a wrong answer"),
        }
    }

    async fn list(&self, _: &str) -> Result<Vec<String>, StoreError> {
        panic!("nobody lists here")
    }
}

impl World {
    fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// Let what the owner asks for happen.
    fn serve(&mut self, owner: usize, verdict: Verdict) {
        let Some(op) = self.waiting[owner].take() else { panic!("nothing is asked for") };
        self.counts[owner] += 1;
        let mut digest = DefaultHasher::new();
        (self.told[owner], verdict).hash(&mut digest);
        let attempt = |operation| Attempt::new(operation, "model");
        let away = |operation| StoreError::Unavailable {
            attempt: attempt(operation),
            source: Arc::new(std::io::Error::other("the test")),
        };
        let answer = match op {
            Op::Get(_) if verdict != Verdict::Done => Answer::Error(away(Operation::Get)),
            Op::Get(key) => match self.objects.get(&key) {
                Some(object) => {
                    object.by.hash(&mut digest);
                    Answer::Got(object.bytes.clone(), Version::new(object.version.to_string()))
                }
                None => Answer::Error(StoreError::NotFound { attempt: attempt(Operation::Get) }),
            },
            Op::Put(..) | Op::Delete(_) if verdict == Verdict::Failed => Answer::Error(away(Operation::Put)),
            Op::Put(key, bytes, condition) => {
                let fits = match &condition {
                    None => true,
                    Some(Condition::Absent) => !self.objects.contains_key(&key),
                    Some(Condition::Version(wanted)) => {
                        self.objects.get(&key).is_some_and(|o| Version::new(o.version.to_string()) == *wanted)
                    }
                };
                fits.hash(&mut digest);
                if fits || !self.compares {
                    self.put(owner, key, bytes);
                    match verdict {
                        Verdict::Done => Answer::Put(Version::new(self.next_version.to_string())),
                        _ => Answer::Error(away(Operation::PutIf)),
                    }
                } else if verdict == Verdict::Done {
                    Answer::Error(StoreError::Conflict { attempt: attempt(Operation::PutIf), perhaps_applied: false })
                } else {
                    Answer::Error(away(Operation::PutIf))
                }
            }
            Op::Delete(key) => {
                self.objects.remove(&key);
                self.check_named();
                if verdict == Verdict::Done { Answer::Deleted } else { Answer::Error(away(Operation::Delete)) }
            }
        };
        self.told[owner] = digest.finish();
        self.answers[owner] = Some(answer);
    }

    fn put(&mut self, owner: usize, key: String, bytes: Bytes) {
        self.next_version += 1;
        let object = Object { bytes, version: self.next_version, by: (owner, self.counts[owner]) };
        if key.starts_with("segments/")
            && let Some(other) = self.ghost.writers.insert(key.clone(), owner).filter(|other| *other != owner)
        {
            self.violate(format!("owners {other} and {owner} both wrote {key}: one nonce for two texts"));
        }
        self.objects.insert(key.clone(), object);
        if key == manifest_key(VOLUME) {
            self.check_manifest(owner);
        }
        self.check_named();
    }

    fn manifest(&self) -> Option<Manifest> {
        serde_json::from_slice(&self.objects.get(&manifest_key(VOLUME))?.bytes).ok()
    }

    /// The owner has just written the manifest.
    fn check_manifest(&mut self, owner: usize) {
        let Some(manifest) = self.manifest() else { return self.violate("the manifest is damaged".into()) };
        let epoch = manifest.epoch;
        if epoch < self.ghost.epoch {
            self.violate(format!("owner {owner} took the manifest back from epoch {} to {epoch}", self.ghost.epoch));
        }
        self.ghost.epoch = epoch;
        let first = *self.ghost.epochs.entry(epoch).or_insert(owner);
        if first != owner {
            self.violate(format!("owners {first} and {owner} both wrote under epoch {epoch}"));
        }
        if self.ghost.owners.last() != Some(&owner) {
            if self.ghost.owners.contains(&owner) {
                self.violate(format!("owner {owner}, from whom the volume was taken, wrote under epoch {epoch}"));
            }
            self.ghost.owners.push(owner);
        }
        let history = manifest.map.as_ref().and_then(|map| self.ghost.histories.get(map)).cloned().unwrap_or_default();
        if !history.starts_with(&self.ghost.committed) {
            self.violate(format!(
                "owner {owner} replaced {:?} by {history:?} under epoch {epoch}",
                self.ghost.committed
            ));
        }
        self.ghost.committed = history;
    }

    /// All that the manifest names is there.
    fn check_named(&mut self) {
        let Some(manifest) = self.manifest() else { return };
        let Some(map) = &manifest.map else { return };
        let Some(object) = self.objects.get(map) else { return self.violate(format!("{map} is named and gone")) };
        let checkpoint = Checkpoint::decode(&object.bytes).unwrap();
        let suffix =
            manifest.suffix.iter().map(|s| SegmentId { epoch: s.epoch, incarnation: s.incarnation, seq: s.seq });
        for id in checkpoint.segments.iter().map(|s| s.id).chain(suffix) {
            let key = segment_key(SegmentName { owner: VOLUME, id });
            if !self.objects.contains_key(&key) {
                return self.violate(format!("{key} is named and gone"));
            }
        }
    }
}

/// What an owner keeps over its deaths.
#[derive(Debug)]
struct Disk {
    writer: Writer,
    checkpoint: Checkpoint,
    history: Vec<(usize, u32)>,
    writes: u32,
    is_there: bool,
}

/// One owner's node.
struct Node {
    owner: usize,
    origin: Origin,
    backing: Arc<Backing>,
    world: Shared,
    disk: Arc<Mutex<Disk>>,
    commits: u8,
}

const ABOUT: About<'_> = About { volume_id: "disk", size_bytes: 4096 };

impl Node {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    async fn claim(&self) -> Result<(Manifest, Version), ClaimError> {
        let ours = self.disk().writer.clone();
        let record = |writer: Writer| {
            self.disk().writer = writer;
            Ok(())
        };
        claim(&self.backing, VOLUME, ABOUT, ours, record).await
    }

    /// As [`restore::find`] and [`restore::restore`] do it; false if there is nothing yet.
    async fn rebuild(&self) -> bool {
        let Ok((bytes, _)) = self.backing.store.get(&manifest_key(VOLUME)).await else { return false };
        let manifest: Manifest = serde_json::from_slice(&bytes).unwrap();
        let Some(map) = &manifest.map else { return false };
        let Ok((bytes, _)) = self.backing.store.get(map).await else { return false };
        let checkpoint = Checkpoint::decode(&bytes).unwrap();
        let history = lock(&self.world).ghost.histories[map].clone();
        let writer = restore::taken_over(&manifest);
        *self.disk() = Disk { writer, checkpoint, history, writes: 0, is_there: true };
        true
    }

    /// Bring all to the store that is not there as far as we know, also what we wrote before we died.
    async fn upload(&self) {
        loop {
            let next = self.disk().checkpoint.segments.iter().find(|s| !s.uploaded).map(|s| s.id);
            let Some(id) = next else { return };
            let key = segment_key(SegmentName { owner: VOLUME, id });
            while let Err(error) = self.backing.store.put(&key, Bytes::from_static(b"segment")).await {
                assert!(error.is_transient());
            }
            self.disk().checkpoint.segments.iter_mut().filter(|s| s.id == id).for_each(|s| s.uploaded = true);
        }
    }

    /// An open volume's life, as [`super::prepare`] and the keeper lead it, until it is done or may not go on.
    async fn live(&self) {
        if self.origin == Origin::Rebuilt && !self.disk().is_there && !self.rebuild().await {
            return;
        }
        let mut held = match self.claim().await {
            Ok(claimed) => Some(claimed),
            Err(ClaimError::Store(error)) if error.is_transient() => {
                let mut disk = self.disk();
                let Some(next) = disk.writer.without_store() else { return };
                disk.writer = next;
                None
            }
            Err(_) => return,
        };
        let Writer { epoch, incarnation, .. } = self.disk().writer.clone();
        for _ in 0..self.commits {
            // A write, in a segment of its own; one lives on beside it.
            let dropped = {
                let mut disk = self.disk();
                let number = disk.writes;
                disk.writes += 1;
                let seq = disk.checkpoint.segments.last().map_or(0, |s| s.id.seq + 1);
                let id = SegmentId { epoch, incarnation, seq };
                let segment =
                    SavedSegment { id, owner: 0, slot: None, live: 1, end: 40, uploaded: false, sealed: false };
                disk.checkpoint.segments.push(segment);
                let is_full = disk.checkpoint.segments.len() > 2;
                let dropped = is_full.then(|| disk.checkpoint.segments.remove(0).id);
                disk.checkpoint.tail.place = Place { seq: seq + 1, block: FRONT_BLOCKS };
                disk.history.push((self.owner, number));
                dropped
            };
            self.upload().await;
            let checkpoint = self.disk().checkpoint.clone();
            let history = self.disk().history.clone();
            lock(&self.world).note_history(&checkpoint, history);
            loop {
                let (manifest, version) = match held.clone() {
                    Some(held) => held,
                    None => match self.claim().await {
                        Ok(claimed) => claimed,
                        Err(ClaimError::Store(error)) if error.is_transient() => continue,
                        Err(_) => return,
                    },
                };
                held = Some((manifest.clone(), version.clone()));
                let suffix: Vec<StoredSegment> = Vec::new();
                match commit(&self.backing, VOLUME, &manifest, version, &checkpoint, suffix, 4096).await {
                    Commit::Written(manifest, version) => {
                        held = Some((manifest, version));
                        break;
                    }
                    Commit::Found(manifest, version) => held = Some((manifest, version)),
                    Commit::Fenced(_) => return,
                    Commit::Failed(_) => {}
                }
            }
            if let Some(id) = dropped {
                let key = segment_key(SegmentName { owner: VOLUME, id });
                while self.backing.store.delete(&key).await.is_err() {}
            }
        }
    }
}

impl World {
    /// What a commit of this checkpoint will stand for.
    fn note_history(&mut self, checkpoint: &Checkpoint, history: Vec<(usize, u32)>) {
        self.ghost.histories.insert(super::manifest::map_key(VOLUME, &checkpoint.encode()), history);
    }
}

type Life = Pin<Box<dyn Future<Output = ()>>>;

struct Run {
    world: Shared,
    nodes: Vec<Arc<Node>>,
    lives: Vec<Option<Life>>,
    opens: Vec<u8>,
    faults: u8,
    deaths: u8,
}

impl Run {
    fn start(origins: &[Origin], bounds: Bounds, cache: &Arc<ChunkCache>) -> Self {
        let count = origins.len();
        let none = || std::iter::repeat_with(|| None).take(count);
        let world = World {
            waiting: none().collect(),
            answers: std::iter::repeat_with(|| None).take(count).collect(),
            counts: vec![0; count],
            told: vec![0; count],
            compares: bounds.compares,
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        let node = |(owner, origin): (usize, &Origin)| {
            let store = Arc::new(Store { owner, world: world.clone() });
            let checkpoint = Checkpoint::empty(VOLUME, None);
            let is_there = *origin == Origin::Native;
            let disk = Disk { writer: Writer::default(), checkpoint, history: Vec::new(), writes: 0, is_there };
            Arc::new(Node {
                owner,
                origin: *origin,
                backing: Arc::new(Backing::new(store, cache.clone())),
                world: world.clone(),
                disk: Arc::new(Mutex::new(disk)),
                commits: bounds.commits,
            })
        };
        let nodes: Vec<_> = origins.iter().enumerate().map(node).collect();
        let lives = none().map(|_: Option<Op>| None).collect();
        let mut run = Self {
            world,
            nodes,
            lives,
            opens: vec![bounds.opens; count],
            faults: bounds.faults,
            deaths: bounds.deaths,
        };
        (0..count).for_each(|owner| run.open(owner));
        run
    }

    fn open(&mut self, owner: usize) {
        self.opens[owner] -= 1;
        let node = self.nodes[owner].clone();
        self.lives[owner] = Some(Box::pin(async move { node.live().await }));
        self.poll(owner);
    }

    fn poll(&mut self, owner: usize) {
        let Some(life) = &mut self.lives[owner] else { return };
        if life.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            self.lives[owner] = None;
            // Another open, as after a detachment.
            if self.opens[owner] > 0 {
                self.open(owner);
            }
        }
    }

    fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        for (owner, op) in lock(&self.world).waiting.iter().enumerate() {
            let Some(op) = op else { continue };
            let mut offer = |verdict| choices.push(Choice { owner, verdict });
            offer(Some(Verdict::Done));
            if self.faults > 0 {
                offer(Some(Verdict::Failed));
                if !matches!(op, Op::Get(_)) {
                    offer(Some(Verdict::Lost));
                }
            }
            if self.deaths > 0 && self.opens[owner] > 0 {
                offer(None);
            }
        }
        choices
    }

    fn step(&mut self, choice: Choice) {
        let owner = choice.owner;
        match choice.verdict {
            Some(verdict) => {
                self.faults -= u8::from(verdict != Verdict::Done);
                lock(&self.world).serve(owner, verdict);
                self.poll(owner);
            }
            None => {
                self.deaths -= 1;
                {
                    let world = &mut *lock(&self.world);
                    world.waiting[owner] = None;
                    let mut digest = DefaultHasher::new();
                    (world.told[owner], "died").hash(&mut digest);
                    world.told[owner] = digest.finish();
                }
                self.lives[owner] = None;
                self.open(owner);
            }
        }
    }

    /// Two runs that are alike in this go on alike.
    fn digest(&self) -> u64 {
        let world = lock(&self.world);
        let mut digest = DefaultHasher::new();
        for (key, object) in &world.objects {
            (key, object.by).hash(&mut digest);
        }
        (&world.told, &self.opens, self.faults, self.deaths).hash(&mut digest);
        digest.finish()
    }
}

/// What came of an exploration.
#[derive(Debug)]
struct Explored {
    states: usize,
    ends: usize,
    /// The first violation, and how it came about.
    violation: Option<(String, Vec<Choice>)>,
}

fn explore(origins: &[Origin], bounds: Bounds) -> Explored {
    let dir = tempfile::tempdir().unwrap();
    let cache = ChunkCache::open(&dir.path().join("cache"), 1 << 20).unwrap();
    let (mut seen, mut ends) = (HashSet::new(), 0);
    // Each is a way to a state that was not seen before; futures cannot be copied, so every way is gone from the start.
    let mut open: Vec<Vec<Choice>> = vec![Vec::new()];
    while let Some(way) = open.pop() {
        let mut run = Run::start(origins, bounds, &cache);
        way.iter().for_each(|choice| run.step(*choice));
        if let Some(violation) = lock(&run.world).violation.take() {
            return Explored { states: seen.len(), ends, violation: Some((violation, way)) };
        }
        if !seen.insert(run.digest()) {
            continue;
        }
        let choices = run.choices();
        ends += usize::from(choices.is_empty());
        open.extend(choices.into_iter().map(|choice| [&way[..], &[choice]].concat()));
    }
    Explored { states: seen.len(), ends, violation: None }
}

fn assert_sound(what: &str, origins: &[Origin], bounds: Bounds) {
    let explored = explore(origins, bounds);
    let (states, ends) = (explored.states, explored.ends);
    eprintln!("{what}: {states} states, {ends} ends");
    if let Some((violation, way)) = explored.violation {
        panic!("{what}: {violation}\n{way:#?}");
    }
    assert!(states > 500 && ends > 0, "nothing was explored");
}

const BOUNDS: Bounds = Bounds { commits: 1, opens: 2, faults: 1, deaths: 1, compares: true };

#[test]
fn one_owner_never_stands_in_its_own_way() {
    let bounds = Bounds { commits: 2, ..BOUNDS };
    assert_sound("one owner", &[Origin::Native], bounds);
}

#[test]
fn a_volume_rebuilt_elsewhere_is_never_written_by_two() {
    assert_sound("an owner and one that rebuilds", &[Origin::Native, Origin::Rebuilt], BOUNDS);
    let bounds = Bounds { commits: 2, opens: 1, deaths: 0, ..BOUNDS };
    assert_sound("the same, with more commits", &[Origin::Native, Origin::Rebuilt], bounds);
}

#[test]
fn of_two_that_rebuild_a_volume_one_has_it() {
    let origins = [Origin::Native, Origin::Rebuilt, Origin::Rebuilt];
    let bounds = Bounds { commits: 1, opens: 1, faults: 1, deaths: 0, ..BOUNDS };
    assert_sound("an owner and two that rebuild", &origins, bounds);
}

#[test]
fn a_store_that_does_not_compare_is_found_out() {
    let explored = explore(&[Origin::Native, Origin::Rebuilt], Bounds { compares: false, ..BOUNDS });
    let (violation, way) = explored.violation.expect("a violation");
    eprintln!("after {} steps: {violation}", way.len());
}
