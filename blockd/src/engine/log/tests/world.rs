//! A volume in a world that can end at any moment, and a model that knows which contents may be found afterwards.

use super::super::{Event, LogEngine, OpenError, SegmentName, Setup, Tuning};
use super::sim::{Elsewhere, Faults, Op, Pending, Rng, SECTOR, SimBackground, SimDisk, gather, memfd};
use crate::engine::check::Guard;
use crate::engine::format::{BLOCK_BYTES, Checkpoint, SEGMENT_BYTES, WrappedKey};
use crate::engine::{Completion, Engine, Io, Operation, Request};
use crate::memory::{GuestBuffers, GuestMemory, RegionInfo};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

/// Requests at a time, each with a part of guest memory.
pub const SLOTS: usize = 32;
pub const SLOT_BYTES: u64 = 256 << 10;
const GUEST_BASE: u64 = 1 << 30;

/// What was written to one block: (operation, value); value 0 is zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockOp {
    block: u64,
    value: u64,
}

/// Which contents may be found.
#[derive(Default)]
struct Model {
    /// All changes of blocks since the contents were last certain, in the order of the log.
    ops: Vec<BlockOp>,
    /// So many of them must be there after a power loss, and after the death of the process.
    flushed: usize,
    answered: usize,
    base: BTreeMap<u64, u64>,
}

impl Model {
    fn state(&self, prefix: usize) -> BTreeMap<u64, u64> {
        let mut state = self.base.clone();
        for op in &self.ops[..prefix] {
            state.insert(op.block, op.value);
        }
        state.retain(|_, value| *value != 0);
        state
    }
}

struct Asked {
    /// Of the model, when the request was made and when it was taken: a flush covers what was answered before it was made.
    ops_end: usize,
    answered_before: usize,
    operation: Operation,
    block: u64,
    blocks: u64,
}

pub struct World {
    pub rng: Rng,
    pub engine: Option<LogEngine<SimBackground>>,
    pub disk: SimDisk,
    done: Vec<Completion>,
    file: File,
    /// The disk's blocks as a power loss would leave them at worst.
    durable: HashMap<u64, Vec<u8>>,
    pub checkpoint: Vec<u8>,
    pub shared: Rc<RefCell<Elsewhere>>,
    cache_file: Rc<File>,
    cache_end: u64,
    incarnation: u32,
    memory_file: File,
    memory: GuestMemory,
    asked: Vec<Option<Asked>>,
    model: Model,
    next_value: u64,
    pub blocks: u64,
    pub tuning: Tuning,
    key: Option<[u8; 32]>,
    pub failed: usize,
    boot: u64,
}

const VOLUME: [u8; 16] = *b"volume-of-tests!";

impl World {
    pub fn new(seed: u64, blocks: u64, tuning: Tuning, encrypted: bool) -> Self {
        if std::env::var_os("HIVE_CRASH_LOG").is_some() {
            let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).without_time().try_init();
        }
        let memory_file = memfd();
        let size_bytes = SLOTS as u64 * SLOT_BYTES;
        memory_file.set_len(size_bytes).unwrap();
        let info = RegionInfo { guest_base: GUEST_BASE, user_base: 0, size_bytes, file_offset: 0 };
        let memory = GuestMemory::default().with_region(info, memory_file.try_clone().unwrap()).unwrap();
        let wrapped = encrypted.then_some(WrappedKey { key_id: [0; 16], bytes: [0; 60] });
        let mut world = Self {
            rng: Rng(seed),
            engine: None,
            disk: SimDisk::default(),
            done: Vec::new(),
            file: memfd(),
            durable: HashMap::new(),
            checkpoint: Checkpoint::empty(VOLUME, wrapped).encode(),
            shared: Rc::default(),
            cache_file: Rc::new(memfd()),
            cache_end: 0,
            incarnation: 0,
            memory_file,
            memory,
            asked: std::iter::repeat_with(|| None).take(SLOTS).collect(),
            model: Model::default(),
            next_value: 1,
            blocks,
            // No clock decides what a seed does.
            tuning: Tuning { gather: Duration::ZERO, ..tuning },
            key: encrypted.then_some([42; 32]),
            failed: 0,
            boot: 1,
        };
        world.open();
        world
    }

    pub fn open(&mut self) {
        self.try_open().unwrap();
    }

    fn try_open(&mut self) -> Result<(), OpenError> {
        self.incarnation += 1;
        let checkpoint = Checkpoint::decode(&self.checkpoint).unwrap();
        let setup = Setup {
            name: "test".into(),
            file: self.file.try_clone().unwrap(),
            direct: false,
            size_bytes: self.blocks * BLOCK_BYTES as u64,
            checkpoint,
            guards: vec![Guard::new(self.key.as_ref(), VOLUME)],
            epoch: 1,
            incarnation: self.incarnation,
            boot: self.boot,
            tuning: self.tuning.clone(),
            background: SimBackground {
                shared: self.shared.clone(),
                cache_file: self.cache_file.clone(),
                volume: VOLUME,
            },
            pins: Vec::new(),
        };
        self.engine = Some(LogEngine::open(setup)?);
        // Recovery syncs what it has read and writes indexes durably.
        self.remember_all_as_durable();
        Ok(())
    }

    fn remember_all_as_durable(&mut self) {
        self.disk.covered += self.disk.unsynced.len();
        self.disk.unsynced.clear();
        self.durable = read_all(&self.file);
    }

    pub fn with<R>(&mut self, f: impl FnOnce(&mut LogEngine<SimBackground>, &mut Io<'_>) -> R) -> R {
        let mut io = Io { disk: &mut self.disk, done: &mut self.done };
        let result = f(self.engine.as_mut().unwrap(), &mut io);
        self.take_done();
        result
    }

    fn take_done(&mut self) {
        for completion in std::mem::take(&mut self.done) {
            let slot = completion.token as usize;
            let asked = self.asked[slot].take().expect("a request is answered once");
            if !completion.ok {
                self.failed += 1;
                continue;
            }
            match asked.operation {
                Operation::Read => self.check_read(slot, &asked),
                Operation::Write | Operation::Zero { .. } => {
                    self.model.answered = self.model.answered.max(asked.ops_end)
                }
                Operation::Flush => self.model.flushed = self.model.flushed.max(asked.answered_before),
            }
        }
    }

    /// A read sees what was answered before it was made, or something younger; here, where nothing that overlaps is in flight,
    /// exactly that.
    fn check_read(&self, slot: usize, asked: &Asked) {
        let state = self.model.state(asked.ops_end);
        let mut bytes = vec![0; BLOCK_BYTES];
        for i in 0..asked.blocks {
            let offset = slot as u64 * SLOT_BYTES + i * BLOCK_BYTES as u64;
            self.memory_file.read_exact_at(&mut bytes, offset).unwrap();
            let expected = state.get(&(asked.block + i)).copied().unwrap_or(0);
            assert_eq!(value_of(&bytes, asked.block + i), Some(expected), "block {} read", asked.block + i);
        }
    }

    pub fn free_slot(&self) -> Option<usize> {
        self.asked.iter().position(Option::is_none)
    }

    pub fn in_flight(&self) -> usize {
        self.asked.iter().flatten().count()
    }

    fn overlaps(&self, block: u64, blocks: u64) -> bool {
        self.asked.iter().flatten().any(|a| a.block < block + blocks && block < a.block + a.blocks)
    }

    /// Ask for something; false if there is no room or it would overlap what is in flight.
    pub fn ask(&mut self, operation: Operation, block: u64, blocks: u64) -> bool {
        let Some(slot) = self.free_slot() else { return false };
        if operation != Operation::Flush && self.overlaps(block, blocks) {
            return false;
        }
        let (address, len) = (slot as u64 * SLOT_BYTES, blocks * BLOCK_BYTES as u64);
        let mut data = GuestBuffers::default();
        let (answered_before, ops_before) = (self.model.answered, self.model.ops.len());
        match operation {
            Operation::Write => {
                for i in 0..blocks {
                    let value = self.next_value;
                    self.next_value += 1;
                    let bytes = block_bytes(block + i, value);
                    self.memory_file.write_all_at(&bytes, address + i * BLOCK_BYTES as u64).unwrap();
                    self.model.ops.push(BlockOp { block: block + i, value });
                }
            }
            Operation::Zero { .. } => {
                // Zeroing what reads zeros changes nothing, and may be answered before what is still under way.
                let state = self.model.state(self.model.ops.len());
                let set = (block..block + blocks).filter(|block| state.contains_key(block));
                self.model.ops.extend(set.map(|block| BlockOp { block, value: 0 }));
            }
            Operation::Read => self.memory_file.write_all_at(&vec![0xee; len as usize], address).unwrap(),
            Operation::Flush => {}
        }
        if matches!(operation, Operation::Write | Operation::Read) {
            assert!(self.memory.append(GUEST_BASE + address, len, &mut data));
        }
        let changes = matches!(operation, Operation::Write | Operation::Zero { .. });
        let ops_end = if changes && ops_before == self.model.ops.len() { 0 } else { self.model.ops.len() };
        self.asked[slot] = Some(Asked { ops_end, answered_before, operation, block, blocks });
        let (offset, token) = (block * BLOCK_BYTES as u64, slot as u32);
        let request = Request { token, operation, offset, len, data, durable: false };
        self.with(|engine, io| engine.submit(request, io));
        true
    }

    pub fn commit(&mut self) {
        self.with(|engine, io| engine.commit(io));
    }

    /// Let one thing happen. False if there is nothing to.
    pub fn step(&mut self) -> bool {
        let disk = self.disk.pending.len() as u64;
        let mut shared = self.shared.borrow_mut();
        let (fetches, uploads) = (shared.to_fetch.len() as u64, shared.to_upload.len() as u64);
        let fetches = if shared.store_down { 0 } else { fetches };
        let uploads = if shared.store_down { 0 } else { uploads };
        let (saving, events) = (u64::from(shared.saving.is_some()), u64::from(!shared.events.is_empty()));
        let total = disk + fetches + uploads + saving + events;
        if total == 0 {
            return false;
        }
        let choice = self.rng.below(total);
        if choice < disk {
            drop(shared);
            self.run_op(choice as usize);
        } else if choice < disk + fetches {
            let (name, chunk) = shared.to_fetch.swap_remove((choice - disk) as usize);
            let result = match shared.store.get(&name) {
                None => Err("no such object".into()),
                Some(object) => {
                    let start = (chunk as usize) << 18;
                    let bytes = &object[start.min(object.len())..(start + (1 << 18)).min(object.len())];
                    self.cache_file.write_all_at(bytes, self.cache_end).unwrap();
                    shared.cache.insert((name, chunk), self.cache_end);
                    self.cache_end += 1 << 18;
                    Ok(())
                }
            };
            shared.events.push_back(Event::Fetched { name, chunk, result });
        } else if choice < disk + fetches + uploads {
            if let Some(segment) = shared.to_upload.pop_front() {
                let mut object = vec![0; usize::from(segment.end) * BLOCK_BYTES];
                let got = self.file.read_at(&mut object, u64::from(segment.slot) * SEGMENT_BYTES).unwrap();
                assert!(got <= object.len());
                shared.store.insert(SegmentName { owner: VOLUME, id: segment.id }, object);
                shared.events.push_back(Event::Uploaded { seq: segment.id.seq });
            }
        } else if saving == 1 && choice < disk + fetches + uploads + saving {
            if let Some(bytes) = shared.saving.take() {
                self.checkpoint = bytes;
                shared.events.push_back(Event::CheckpointSaved);
            }
        } else {
            drop(shared);
            self.with(|engine, io| engine.attend(io));
        }
        true
    }

    /// Let everything happen that is under way.
    pub fn settle(&mut self) {
        let mut steps = 0;
        self.commit();
        while self.step() {
            steps += 1;
            assert!(steps < 1_000_000, "it never comes to rest");
        }
    }

    /// Let the disk do all that it was asked for, and nobody else anything.
    pub fn run_disk(&mut self) {
        self.commit();
        while !self.disk.pending.is_empty() {
            self.run_op(0);
        }
    }

    /// Let the checkpoint that was handed over become durable.
    pub fn finish_saving(&mut self) {
        let bytes = self.shared.borrow_mut().saving.take().expect("a checkpoint was handed over");
        self.checkpoint = bytes;
        self.shared.borrow_mut().events.push_back(Event::CheckpointSaved);
        self.with(|engine, io| engine.attend(io));
    }

    fn run_op(&mut self, index: usize) {
        let Pending { tag, file, op } = self.disk.pending.swap_remove(index);
        let log = file.fd == self.engine.as_ref().unwrap().file.as_raw_fd();
        let result = match op {
            Op::Read { iovecs, count, offset } => {
                let target = if log { &self.file } else { &*self.cache_file };
                // SAFETY: the engine keeps iovecs and memory valid until the operation's completion, which it has not been told of.
                let result = unsafe { libc::preadv(target.as_raw_fd(), iovecs, count as i32, offset as i64) };
                result as i32
            }
            Op::Write { .. } if self.disk.faults.no_space => -libc::ENOSPC,
            Op::Write { iovecs, count, offset } => {
                let mut bytes = gather(iovecs, count);
                if self.rng.chance(5) && bytes.len() > BLOCK_BYTES {
                    bytes.truncate(bytes.len() / 2 / BLOCK_BYTES * BLOCK_BYTES);
                }
                self.file.write_all_at(&bytes, offset).unwrap();
                let len = bytes.len();
                self.disk.unsynced.push_back((offset, bytes));
                len as i32
            }
            Op::Sync { .. } if self.disk.faults.sync_error => -libc::EIO,
            Op::Sync { covers } => {
                while self.disk.covered < covers {
                    let (offset, bytes) = self.disk.unsynced.pop_front().unwrap();
                    self.disk.covered += 1;
                    apply(&mut self.durable, offset, &bytes);
                }
                0
            }
            Op::Space => 0,
        };
        self.with(|engine, io| engine.complete(tag, result, io));
    }

    /// The process dies; what the kernel was given may still be carried out, or not.
    pub fn kill(&mut self) {
        for pending in std::mem::take(&mut self.disk.pending) {
            if let Op::Write { iovecs, count, offset } = pending.op {
                let bytes = gather(iovecs, count);
                if self.rng.chance(50) {
                    let torn = if self.rng.chance(30) {
                        self.rng.below(bytes.len() as u64) as usize / SECTOR * SECTOR
                    } else {
                        bytes.len()
                    };
                    self.file.write_all_at(&bytes[..torn], offset).unwrap();
                    self.disk.unsynced.push_back((offset, bytes[..torn].to_vec()));
                }
            }
        }
        self.forget_process();
        let answered = self.model.answered;
        self.reopen_and_check(answered);
    }

    /// The power goes: of what no sync covered, each sector of each write is there or not.
    pub fn lose_power(&mut self) {
        self.give_up_writes();
        let mut image = std::mem::take(&mut self.durable);
        let mut unsynced: Vec<_> = self.disk.unsynced.drain(..).collect();
        if self.rng.chance(30) {
            // The device may have reordered what overlaps nothing; what overlaps it has in order.
            for i in (1..unsynced.len()).rev() {
                let j = self.rng.below(i as u64 + 1) as usize;
                let overlap = unsynced[j..=i].windows(2).any(|w| {
                    w.iter().any(|a| {
                        unsynced[j..=i]
                            .iter()
                            .any(|b| a.0 != b.0 && a.0 < b.0 + b.1.len() as u64 && b.0 < a.0 + a.1.len() as u64)
                    })
                });
                let same = unsynced[j..=i]
                    .iter()
                    .enumerate()
                    .any(|(x, a)| unsynced[j..=i].iter().skip(x + 1).any(|b| a.0 == b.0));
                if !overlap && !same {
                    unsynced.swap(i, j);
                }
            }
        }
        let mode = self.rng.below(4);
        let cut = self.rng.below(unsynced.len() as u64 + 1) as usize;
        for (i, (offset, bytes)) in unsynced.iter().enumerate() {
            match mode {
                0 => {}
                1 if i < cut => apply(&mut image, *offset, bytes),
                1 => {}
                2 => {
                    if self.rng.chance(50) {
                        apply(&mut image, *offset, bytes);
                    }
                }
                _ => {
                    for (sector, part) in bytes.chunks(SECTOR).enumerate() {
                        if self.rng.chance(70) {
                            apply(&mut image, offset + (sector * SECTOR) as u64, part);
                        }
                    }
                }
            }
        }
        self.start_after_power_loss(&image);
    }

    /// The power goes: of what no sync covered, exactly those writes are there that `keep` wants, by their offset.
    pub fn lose_power_keeping(&mut self, mut keep: impl FnMut(u64, &[u8]) -> bool) {
        self.give_up_writes();
        let mut image = std::mem::take(&mut self.durable);
        for (offset, bytes) in std::mem::take(&mut self.disk.unsynced) {
            if keep(offset, &bytes) {
                apply(&mut image, offset, &bytes);
            }
        }
        self.start_after_power_loss(&image);
    }

    /// What the kernel was given may be carried out without anyone hearing of it.
    fn give_up_writes(&mut self) {
        for pending in std::mem::take(&mut self.disk.pending) {
            if let Op::Write { iovecs, count, offset } = pending.op {
                self.disk.unsynced.push_back((offset, gather(iovecs, count)));
            }
        }
    }

    fn start_after_power_loss(&mut self, image: &HashMap<u64, Vec<u8>>) {
        self.forget_process();
        self.boot += 1;
        self.file = memfd();
        for (block, bytes) in image {
            self.file.write_all_at(bytes, block * BLOCK_BYTES as u64).unwrap();
        }
        let flushed = self.model.flushed;
        self.reopen_and_check(flushed);
    }

    fn forget_process(&mut self) {
        self.engine = None;
        self.done.clear();
        self.asked.iter_mut().for_each(|asked| *asked = None);
        let mut shared = self.shared.borrow_mut();
        shared.events.clear();
        shared.to_fetch.clear();
        shared.to_upload.clear();
        shared.cache.clear();
        shared.cuts.clear();
        // A checkpoint that was being saved is there or not.
        if let Some(bytes) = shared.saving.take()
            && self.rng.chance(50)
        {
            self.checkpoint = bytes;
        }
        self.disk.pending.clear();
        self.disk.faults = Faults::default();
    }

    /// What is found must be the state after some of the changes, at least `least` of them, in order.
    fn reopen_and_check(&mut self, least: usize) {
        self.open();
        let found = self.read_everything();
        let fits = (least..=self.model.ops.len()).rev().find(|prefix| self.model.state(*prefix) == found);
        let Some(prefix) = fits else {
            let latest = self.model.state(self.model.ops.len());
            panic!(
                "no prefix of {} changes from {least} on is what was found; differing from the latest: {:?}",
                self.model.ops.len(),
                (0..self.blocks)
                    .filter(|b| latest.get(b) != found.get(b))
                    .map(|b| (b, latest.get(&b), found.get(&b)))
                    .collect::<Vec<_>>()
            );
        };
        self.model = Model { base: self.model.state(prefix), ..Model::default() };
    }

    /// Contents of all blocks, by reads like a guest's.
    pub fn read_everything(&mut self) -> BTreeMap<u64, u64> {
        let mut state = BTreeMap::new();
        let step = SLOT_BYTES / BLOCK_BYTES as u64;
        let mut bytes = vec![0; BLOCK_BYTES];
        for first in (0..self.blocks).step_by(step as usize) {
            let blocks = step.min(self.blocks - first);
            let mut data = GuestBuffers::default();
            assert!(self.memory.append(GUEST_BASE, blocks * BLOCK_BYTES as u64, &mut data));
            let (offset, len) = (first * BLOCK_BYTES as u64, blocks * BLOCK_BYTES as u64);
            let request = Request { token: 0, operation: Operation::Read, offset, len, data, durable: false };
            {
                let mut io = Io { disk: &mut self.disk, done: &mut self.done };
                self.engine.as_mut().unwrap().submit(request, &mut io);
                self.engine.as_mut().unwrap().commit(&mut io);
            }
            while self.done.is_empty() {
                let down = std::mem::take(&mut self.shared.borrow_mut().store_down);
                assert!(self.step_for_reader(), "the read waits for nothing");
                self.shared.borrow_mut().store_down = down;
            }
            assert!(self.done.pop().unwrap().ok, "blocks from {first} cannot be read");
            for i in 0..blocks {
                self.memory_file.read_exact_at(&mut bytes, i * BLOCK_BYTES as u64).unwrap();
                let value = value_of(&bytes, first + i).unwrap_or_else(|| panic!("block {} is of nowhere", first + i));
                if value != 0 {
                    state.insert(first + i, value);
                }
            }
        }
        state
    }

    /// [`Self::step`] that leaves answers where they are.
    fn step_for_reader(&mut self) -> bool {
        let asked = std::mem::take(&mut self.asked);
        self.asked = std::iter::repeat_with(|| {
            Some(Asked { ops_end: 0, answered_before: 0, operation: Operation::Flush, block: 0, blocks: 0 })
        })
        .take(SLOTS)
        .collect();
        let before = self.model.flushed;
        let progressed = self.step();
        self.model.flushed = before;
        let answered = self.asked.iter().any(Option::is_none);
        self.asked = asked;
        if answered {
            self.done.push(Completion { token: 0, ok: self.failed == 0 });
        }
        progressed
    }

    /// The log as it lies there, by the blocks that were written.
    pub fn log(&self) -> HashMap<u64, Vec<u8>> {
        read_all(&self.file)
    }

    /// Whoever had it open is dead, and this is what the log is now.
    pub fn reopen_with(&mut self, log: &HashMap<u64, Vec<u8>>, power: bool) -> Result<(), OpenError> {
        self.forget_process();
        self.disk.unsynced.clear();
        // Nor is there another copy.
        self.shared.borrow_mut().store.clear();
        self.boot += u64::from(power);
        self.file = memfd();
        for (block, bytes) in log {
            self.file.write_all_at(bytes, block * BLOCK_BYTES as u64).unwrap();
        }
        self.try_open()
    }

    /// What a block holds; None if it cannot be read.
    pub fn read_block(&mut self, block: u64) -> Option<u64> {
        let mut data = GuestBuffers::default();
        assert!(self.memory.append(GUEST_BASE, BLOCK_BYTES as u64, &mut data));
        let (offset, len) = (block * BLOCK_BYTES as u64, BLOCK_BYTES as u64);
        let request = Request { token: 0, operation: Operation::Read, offset, len, data, durable: false };
        self.asked[0] =
            Some(Asked { ops_end: 0, answered_before: 0, operation: Operation::Flush, block: 0, blocks: 0 });
        let failed = self.failed;
        self.with(|engine, io| engine.submit(request, io));
        self.settle();
        assert!(self.asked[0].is_none(), "the read is answered");
        let mut bytes = vec![0; BLOCK_BYTES];
        self.memory_file.read_exact_at(&mut bytes, 0).unwrap();
        let is_read = self.failed == failed;
        is_read.then(|| value_of(&bytes, block).unwrap_or_else(|| panic!("block {block} is of nowhere")))
    }

    pub fn expected(&self) -> BTreeMap<u64, u64> {
        self.model.state(self.model.ops.len())
    }
}

fn apply(image: &mut HashMap<u64, Vec<u8>>, offset: u64, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        let (block, within) = (at / BLOCK_BYTES as u64, (at % BLOCK_BYTES as u64) as usize);
        let part = (BLOCK_BYTES - within).min(bytes.len() - done);
        let target = image.entry(block).or_insert_with(|| vec![0; BLOCK_BYTES]);
        target[within..within + part].copy_from_slice(&bytes[done..done + part]);
        done += part;
    }
}

fn read_all(file: &File) -> HashMap<u64, Vec<u8>> {
    let mut image = HashMap::new();
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start)).unwrap();
        for block in start / BLOCK_BYTES as u64..end.div_ceil(BLOCK_BYTES as u64) {
            let mut bytes = vec![0; BLOCK_BYTES];
            let _ = file.read_at(&mut bytes, block * BLOCK_BYTES as u64).unwrap();
            image.insert(block, bytes);
        }
        at = end;
    }
    image
}

/// A block says which it is and what was written.
fn block_bytes(block: u64, value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES);
    while bytes.len() < BLOCK_BYTES {
        bytes.extend(value.to_le_bytes());
        bytes.extend((block ^ value << 20).to_le_bytes());
    }
    bytes
}

fn value_of(bytes: &[u8], block: u64) -> Option<u64> {
    let value = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let expected = if value == 0 { vec![0; BLOCK_BYTES] } else { block_bytes(block, value) };
    (bytes == expected).then_some(value)
}
