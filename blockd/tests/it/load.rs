//! A writer that knows what each block may hold: block by block it writes versions, many at a time, and reads are compared with
//! the last version answered and the last one sent.

use crate::frontend::*;
use std::path::Path;

/// Contents of version `version` of `block`; version 0 is what was never written.
pub fn block_bytes(block: u64, version: u32) -> Vec<u8> {
    if version == 0 {
        return vec![0; 4096];
    }
    let stamp = (block << 32 | u64::from(version)).to_le_bytes();
    stamp.iter().copied().cycle().take(4096).collect()
}

/// The version that `bytes` are of `block`, which they must be as a whole.
#[track_caller]
pub fn version_of(block: u64, bytes: &[u8]) -> u32 {
    let version = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert!(bytes == block_bytes(block, version), "block {block} holds something else: {:02x?}", &bytes[..16]);
    version
}

pub struct Load {
    pub disk: Frontend,
    pub blocks: u64,
    /// By block: sent, and answered.
    pub sent: Vec<u32>,
    pub answered: Vec<u32>,
    in_flight: Vec<Option<u64>>,
    next_block: u64,
    /// Step from one block to the next; odd for it to visit all of a power of two.
    pub stride: u64,
    pub answers: u64,
    /// Every so many requests is a flush; 0: none.
    pub flush_every: u64,
    requests: u64,
}

impl Load {
    pub fn new(socket: &Path, blocks: u64) -> Self {
        Self {
            disk: Frontend::connect(socket, 1, F_FLUSH | EVENT_IDX),
            blocks,
            sent: vec![0; blocks as usize],
            answered: vec![0; blocks as usize],
            in_flight: vec![None; usize::from(SLOTS)],
            next_block: 0,
            stride: 37,
            answers: 0,
            flush_every: 0,
            requests: 0,
        }
    }

    /// Fill all free slots.
    pub fn submit(&mut self) {
        for slot in 0..SLOTS {
            if self.in_flight[usize::from(slot)].is_some() {
                continue;
            }
            self.requests += 1;
            if self.flush_every > 0 && self.requests.is_multiple_of(self.flush_every) {
                self.disk.submit(0, slot, FLUSH, 0, 0, 0);
                self.in_flight[usize::from(slot)] = Some(u64::MAX);
                continue;
            }
            // One write per block at a time, so that the last version is known.
            self.next_block = (self.next_block + self.stride) % self.blocks;
            let block = self.next_block;
            if self.in_flight.contains(&Some(block)) {
                continue;
            }
            let version = &mut self.sent[block as usize];
            *version += 1;
            let data = DATA + u64::from(slot) * 4096;
            self.disk.poke(data, &block_bytes(block, *version));
            self.disk.submit(0, slot, WRITE, block * 8, data, 4096);
            self.in_flight[usize::from(slot)] = Some(block);
        }
    }

    /// Take answers, which must be good; waits for one if nothing was answered.
    pub fn reap(&mut self, at_least: usize) {
        for (head, _) in self.disk.wait_answers(0, at_least) {
            let slot = head / 3;
            assert_eq!(self.disk.status(slot), 0, "an I/O error");
            let block = self.in_flight[usize::from(slot)].take().expect("answered twice");
            if let Some(answered) = self.answered.get_mut(block as usize) {
                *answered = self.sent[block as usize];
            }
            self.answers += 1;
        }
    }

    /// Until so many more requests are answered; others stay in flight.
    pub fn run(&mut self, answers: u64) {
        let until = self.answers + answers;
        while self.answers < until {
            self.submit();
            self.reap(1);
        }
    }

    /// Until nothing is in flight.
    pub fn drain(&mut self) {
        while self.in_flight.iter().any(Option::is_some) {
            self.reap(1);
        }
    }

    /// All blocks, as the disk has them now, when nothing is in flight.
    pub fn verify(&mut self) {
        self.drain();
        for first in (0..self.blocks).step_by(256) {
            let count = (self.blocks - first).min(256);
            let bytes = self.disk.read(first * 4096, count as usize * 4096);
            for (i, bytes) in bytes.chunks(4096).enumerate() {
                let block = first + i as u64;
                assert_eq!(version_of(block, bytes), self.sent[block as usize], "version of block {block}");
            }
        }
    }
}

/// The version of every block of an image.
pub fn versions(image: &[u8]) -> Vec<u32> {
    image.chunks(4096).enumerate().map(|(block, bytes)| version_of(block as u64, bytes)).collect()
}
