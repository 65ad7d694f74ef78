//! A volume's map and segments at one point of its log: where recovery starts from, and what a snapshot or a clone is made of.

use super::codec::Fields;
use super::{FORMAT_VERSION, FRONT_BLOCKS, Place, SEGMENT_BLOCKS, VolumeUid};
use crate::engine::check::{SegmentId, crc32c};
use std::collections::HashSet;

const MAGIC: [u8; 4] = *b"HChk";
const OWNER_BYTES: usize = 16 + 1 + 16 + WRAPPED_KEY_BYTES;
const SEGMENT_RECORD_BYTES: usize = 12 + 2 + 4 + 2 + 2 + 2;
const HOME_BYTES: usize = 4 + 4 + 2 + 2;
/// Nonce, key and tag of a data key under the node's key.
pub const WRAPPED_KEY_BYTES: usize = 12 + 32 + 16;
/// Volumes whose segments one volume may refer to: the generations of clones behind it that still hold data.
pub const MAX_OWNERS: usize = 1024;
/// Slots of the largest log, of 256 TiB: each free one is remembered.
const MAX_SLOTS: u32 = 1 << 24;

const UPLOADED: u16 = 1;
const SEALED: u16 = 2;
const NO_SLOT: u32 = u32::MAX;

/// Where a leaf of the map was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    pub place: Place,
    pub blocks: u8,
}

/// A data key, readable with the key named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    pub key_id: [u8; 16],
    pub bytes: [u8; WRAPPED_KEY_BYTES],
}

/// Who wrote segments that the volume refers to: itself, and those it descends from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub volume: VolumeUid,
    /// None: not encrypted.
    pub key: Option<WrappedKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedSegment {
    pub id: SegmentId,
    /// Index into the owners.
    pub owner: u16,
    /// Where it lies in the local file, if it does.
    pub slot: Option<u32>,
    /// Blocks that the map refers to.
    pub live: u16,
    /// Blocks in use, 0 if not complete.
    pub end: u16,
    pub uploaded: bool,
    /// Its blocks are encrypted.
    pub sealed: bool,
}

/// Where the log goes on behind a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Records before this place are in the map already.
    pub place: Place,
    /// Where that segment is in the local file, or will be once it exists.
    pub slot: u32,
    /// Epoch and incarnation that the segment has at least.
    pub written_by: (u32, u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub volume: VolumeUid,
    pub tail: Tail,
    pub owners: Vec<Owner>,
    /// In order of their numbers.
    pub segments: Vec<SavedSegment>,
    /// In order of the leaves.
    pub homes: Vec<(u32, Home)>,
}

/// Why a checkpoint is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("it is damaged or no checkpoint at all")]
    Damaged,
    #[error("it is of version {0}, this daemon knows {FORMAT_VERSION}")]
    Version(u16),
    #[error("it contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl Checkpoint {
    /// Of a volume that was never written.
    pub fn empty(volume: VolumeUid, key: Option<WrappedKey>) -> Self {
        Self {
            volume,
            tail: Tail { place: Place { seq: 0, block: FRONT_BLOCKS }, slot: 0, written_by: (0, 0) },
            owners: vec![Owner { volume, key }],
            segments: Vec::new(),
            homes: Vec::new(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let counted = self.owners.len() * OWNER_BYTES
            + self.segments.len() * SEGMENT_RECORD_BYTES
            + self.homes.len() * HOME_BYTES;
        let mut bytes = Vec::with_capacity(counted + 128);
        bytes.extend(MAGIC);
        bytes.extend([0; 4]);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.volume);
        for n in [self.tail.place.seq, u32::from(self.tail.place.block), self.tail.slot] {
            bytes.extend(n.to_le_bytes());
        }
        for n in [self.tail.written_by.0, self.tail.written_by.1] {
            bytes.extend(n.to_le_bytes());
        }
        for n in [self.owners.len(), self.segments.len(), self.homes.len()] {
            bytes.extend((n as u32).to_le_bytes());
        }
        for owner in &self.owners {
            bytes.extend(owner.volume);
            let (key_id, wrapped) = owner.key.as_ref().map_or(([0; 16], [0; 60]), |key| (key.key_id, key.bytes));
            bytes.push(u8::from(owner.key.is_some()));
            bytes.extend(key_id);
            bytes.extend(wrapped);
        }
        for s in &self.segments {
            for n in [s.id.epoch, s.id.incarnation, s.id.seq] {
                bytes.extend(n.to_le_bytes());
            }
            bytes.extend(s.owner.to_le_bytes());
            bytes.extend(s.slot.unwrap_or(NO_SLOT).to_le_bytes());
            let flags = if s.uploaded { UPLOADED } else { 0 } | if s.sealed { SEALED } else { 0 };
            for n in [s.live, s.end, flags] {
                bytes.extend(n.to_le_bytes());
            }
        }
        for (index, home) in &self.homes {
            bytes.extend(index.to_le_bytes());
            bytes.extend(home.place.seq.to_le_bytes());
            bytes.extend(home.place.block.to_le_bytes());
            bytes.extend(u16::from(home.blocks).to_le_bytes());
        }
        let crc = crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let damaged = CheckpointError::Damaged;
        let mut fields = Fields(bytes);
        let magic: [u8; 4] = fields.array().ok_or(damaged)?;
        let crc = fields.u32().ok_or(damaged)?;
        if magic != MAGIC || bytes.get(8..).map(crc32c) != Some(crc) {
            return Err(damaged);
        }
        match fields.u16().ok_or(damaged)? {
            FORMAT_VERSION => {}
            version => return Err(CheckpointError::Version(version)),
        }
        let checkpoint = Self::decode_body(fields).ok_or(damaged)?;
        checkpoint.check()?;
        Ok(checkpoint)
    }

    fn decode_body(mut fields: Fields<'_>) -> Option<Self> {
        fields.u16()?;
        let volume = fields.array()?;
        let (seq, block, slot) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let written_by = (fields.u32()?, fields.u32()?);
        let tail = Tail { place: Place { seq, block: u16::try_from(block).ok()? }, slot, written_by };
        let (owners, segments, homes) = (fields.u32()? as usize, fields.u32()? as usize, fields.u32()? as usize);
        // Nothing is allocated for counts that the rest cannot hold.
        let need = [(owners, OWNER_BYTES), (segments, SEGMENT_RECORD_BYTES), (homes, HOME_BYTES)];
        let need = need.iter().try_fold(0usize, |sum, (n, size)| sum.checked_add(n.checked_mul(*size)?))?;
        if need != fields.0.len() {
            return None;
        }
        let owners = (0..owners).map(|_| {
            let (volume, has_key) = (fields.array()?, fields.u8()? != 0);
            let key = WrappedKey { key_id: fields.array()?, bytes: fields.array()? };
            Some(Owner { volume, key: has_key.then_some(key) })
        });
        let owners = owners.collect::<Option<_>>()?;
        let segments = (0..segments).map(|_| {
            let id = SegmentId { epoch: fields.u32()?, incarnation: fields.u32()?, seq: fields.u32()? };
            let (owner, slot) = (fields.u16()?, fields.u32()?);
            let (live, end, flags) = (fields.u16()?, fields.u16()?, fields.u16()?);
            let slot = (slot != NO_SLOT).then_some(slot);
            let (uploaded, sealed) = (flags & UPLOADED != 0, flags & SEALED != 0);
            Some(SavedSegment { id, owner, slot, live, end, uploaded, sealed })
        });
        let segments = segments.collect::<Option<_>>()?;
        let homes = (0..homes).map(|_| {
            let (index, seq, block) = (fields.u32()?, fields.u32()?, fields.u16()?);
            let blocks = u8::try_from(fields.u16()?).ok()?;
            Some((index, Home { place: Place { seq, block }, blocks }))
        });
        let homes = homes.collect::<Option<_>>()?;
        Some(Self { volume, tail, owners, segments, homes })
    }

    fn check(&self) -> Result<(), CheckpointError> {
        let inconsistent = |what| Err(CheckpointError::Inconsistent(what));
        if self.owners.is_empty() || self.owners.len() > MAX_OWNERS || self.owners[0].volume != self.volume {
            return inconsistent("the volume is not its first owner");
        }
        if !self.segments.is_sorted_by(|a, b| a.id.seq < b.id.seq) || !self.homes.is_sorted_by(|a, b| a.0 < b.0) {
            return inconsistent("segments or leaves are out of order");
        }
        if self.segments.iter().any(|s| usize::from(s.owner) >= self.owners.len() || s.end > SEGMENT_BLOCKS) {
            return inconsistent("a segment of nobody");
        }
        let far = |slot: u32| slot >= MAX_SLOTS;
        if self.segments.iter().filter_map(|s| s.slot).any(far) || far(self.tail.slot) {
            return inconsistent("a slot beyond the largest log");
        }
        let slots: HashSet<u32> = self.segments.iter().filter_map(|s| s.slot).collect();
        if slots.len() != self.segments.iter().filter(|s| s.slot.is_some()).count() {
            return inconsistent("two segments in one slot");
        }
        let known = |place: Place| self.segments.binary_search_by_key(&place.seq, |s| s.id.seq).is_ok();
        let fits = |home: &Home| {
            (FRONT_BLOCKS..SEGMENT_BLOCKS).contains(&home.place.block)
                && home.place.block + u16::from(home.blocks) <= SEGMENT_BLOCKS
                && home.blocks > 0
        };
        if self.homes.iter().any(|(_, home)| !known(home.place) || !fits(home)) {
            return inconsistent("a leaf in no segment");
        }
        if !(FRONT_BLOCKS..=SEGMENT_BLOCKS).contains(&self.tail.place.block) {
            return inconsistent("the log goes on outside of a segment");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checkpoint() -> Checkpoint {
        let id = |seq| SegmentId { epoch: 1, incarnation: 4, seq };
        let segment =
            |seq, slot| SavedSegment { id: id(seq), owner: 1, slot, live: 9, end: 4096, uploaded: true, sealed: true };
        let key = WrappedKey { key_id: [2; 16], bytes: [3; 60] };
        Checkpoint {
            volume: [1; 16],
            tail: Tail { place: Place { seq: 8, block: 77 }, slot: 2, written_by: (1, 4) },
            owners: vec![Owner { volume: [1; 16], key: None }, Owner { volume: [5; 16], key: Some(key) }],
            segments: vec![segment(3, None), segment(8, Some(2))],
            homes: vec![(0, Home { place: Place { seq: 3, block: 50 }, blocks: 7 })],
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_and_damage_is_named() {
        let bytes = checkpoint().encode();
        assert_eq!(Checkpoint::decode(&bytes), Ok(checkpoint()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(Checkpoint::decode(&damaged), Err(CheckpointError::Damaged), "byte {at}");
            assert!(Checkpoint::decode(&bytes[..at]).is_err());
        }
        let empty = Checkpoint::empty([7; 16], None);
        assert_eq!(Checkpoint::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |change: fn(&mut Checkpoint)| {
            let mut checkpoint = checkpoint();
            change(&mut checkpoint);
            matches!(Checkpoint::decode(&checkpoint.encode()), Err(CheckpointError::Inconsistent(_)))
        };
        assert!(refused(|c| c.segments[0].slot = Some(2)));
        assert!(refused(|c| c.segments.swap(0, 1)));
        assert!(refused(|c| c.segments[0].owner = 2));
        assert!(refused(|c| c.homes[0].1.place.seq = 4));
        assert!(refused(|c| c.homes[0].1.place.block = 4095));
        assert!(refused(|c| c.tail.place.block = 3));
        assert!(refused(|c| c.volume = [9; 16]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 8..400usize, value in any::<[u8; 4]>()) {
            let mut bytes = checkpoint().encode();
            let at = at.min(bytes.len() - 4);
            bytes[at..at + 4].copy_from_slice(&value);
            let crc = crc32c(&bytes[8..]);
            bytes[4..8].copy_from_slice(&crc.to_le_bytes());
            let _ = Checkpoint::decode(&bytes);
        }
    }
}
