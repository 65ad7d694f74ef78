//! A segment's header, and its index.

use super::codec::{Area, Fields};
use super::{BLOCK_BYTES, FORMAT_VERSION, FRONT_BLOCKS, Place, SEGMENT_BLOCKS, VolumeUid};
use crate::engine::check::{CRC_BYTES, Check, SegmentId, TAG_BYTES, crc32c};

const HEADER_MAGIC: [u8; 4] = *b"HSeg";
const INDEX_MAGIC: [u8; 4] = *b"HIdx";
const FLAG_SEALED: u16 = 1;

/// First block of the index, and how many there are.
pub const INDEX_AT: u16 = 1;
pub const INDEX_BLOCKS: u16 = FRONT_BLOCKS - 1;
/// Within the segment: entries, check pages, records of zeros.
const ENTRIES_AT: u16 = 2;
const ENTRY_BYTES: usize = 8;
const ENTRY_BLOCKS: u16 = 8;
pub const CHECKS_AT: u16 = ENTRIES_AT + ENTRY_BLOCKS;
/// Pages that tags need; checksums need fewer.
pub const CHECK_PAGES: u16 = 17;
const ZEROS_AT: u16 = CHECKS_AT + CHECK_PAGES;
const ZERO_BLOCKS: u16 = 2;
const ZERO_BYTES: usize = 12;
/// Most records of zeros in a segment; with more it is full.
pub const MAX_ZEROS: usize = ZERO_BLOCKS as usize * BLOCK_BYTES / ZERO_BYTES;
const PAGE_HEADER_BYTES: usize = 16;

const _: () = assert!(ZEROS_AT + ZERO_BLOCKS <= FRONT_BLOCKS);
const _: () = assert!(ENTRY_BLOCKS as usize * BLOCK_BYTES == SEGMENT_BLOCKS as usize * ENTRY_BYTES);

/// What the writer of a header knew of the log before it. Whatever is missing there was there once, and is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// In which run of the machine it was written; 0 if not known.
    pub boot: u64,
    /// All before this place was written: it is there as long as the machine runs.
    pub written: Place,
    /// All before this place survives a power loss.
    pub synced: Place,
}

impl Witness {
    /// Of somebody who knows nothing.
    pub const NONE: Self = Self { boot: 0, written: Place { seq: 0, block: 0 }, synced: Place { seq: 0, block: 0 } };

    /// All before the returned place must be there, in this run of the machine.
    pub fn certain(&self, boot: u64) -> Place {
        if boot != 0 && boot == self.boot { self.written.max(self.synced) } else { self.synced }
    }
}

/// Block 0; the header of every group repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub volume: VolumeUid,
    pub segment: SegmentId,
    /// Slot of the local file where the next segment will be.
    pub next_slot: u32,
    /// Where the groups of the previous segment end: without an index it is complete only if they reach to there.
    pub previous_end: u16,
    /// All segments before this one had been synced, with their indexes, when this was written.
    pub synced_through: u32,
    pub witness: Witness,
}

/// Bytes of a header's fields.
pub(super) const SEGMENT_HEADER_BYTES: usize = 16 + 12 + 4 + 2 + 4 + 8 + 6 + 6;

impl SegmentHeader {
    pub fn encode(&self, block: &mut [u8]) {
        let mut area = Area::new(block);
        area.put(&HEADER_MAGIC).u32(0).u16(FORMAT_VERSION).u16(0);
        self.put(&mut area);
        area.finish();
        let crc = crc32c(&block[8..]);
        block[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    pub fn decode(block: &[u8]) -> Option<Self> {
        let block = block.get(..BLOCK_BYTES)?;
        let mut fields = Fields(block);
        if fields.array()? != HEADER_MAGIC || fields.u32()? != crc32c(&block[8..]) || fields.u16()? != FORMAT_VERSION {
            return None;
        }
        fields.u16()?;
        Self::take(&mut fields)
    }

    pub(super) fn put(&self, area: &mut Area<'_>) {
        let Witness { boot, written, synced } = self.witness;
        area.put(&self.volume);
        area.u32(self.segment.epoch).u32(self.segment.incarnation).u32(self.segment.seq);
        area.u32(self.next_slot).u16(self.previous_end).u32(self.synced_through);
        area.put(&boot.to_le_bytes());
        area.u32(written.seq).u16(written.block).u32(synced.seq).u16(synced.block);
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            volume: fields.array()?,
            segment: SegmentId { epoch: fields.u32()?, incarnation: fields.u32()?, seq: fields.u32()? },
            next_slot: fields.u32()?,
            previous_end: fields.u16()?,
            synced_through: fields.u32()?,
            witness: Witness {
                boot: u64::from_le_bytes(fields.array()?),
                written: Place { seq: fields.u32()?, block: fields.u16()? },
                synced: Place { seq: fields.u32()?, block: fields.u16()? },
            },
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    #[default]
    Unused = 0,
    GroupHeader = 1,
    Data = 2,
    Leaf = 3,
}

/// What lies in one block of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub kind: EntryKind,
    /// Block of the volume, or number of the leaf.
    pub number: u32,
}

/// A range that reads zeros, unless written later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZeroRecord {
    /// It takes effect before what lies in this block of the segment.
    pub before: u16,
    pub lba: u32,
    pub blocks: u32,
}

/// A whole segment's contents in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub volume: VolumeUid,
    pub segment: SegmentId,
    /// Who completed the segment: a later incarnation if its writer died. The next segment is of this one or a later.
    pub sealed_by: (u32, u32),
    pub sealed: bool,
    /// First block behind the last group.
    pub end: u16,
    pub entries: Vec<Entry>,
    /// By block; meaningless where there is no data or leaf.
    pub checks: Vec<Check>,
    pub zeros: Vec<ZeroRecord>,
}

/// Checks that fit one page.
pub fn checks_per_page(sealed: bool) -> u16 {
    ((BLOCK_BYTES - PAGE_HEADER_BYTES) / if sealed { TAG_BYTES } else { CRC_BYTES }) as u16
}

impl Index {
    pub fn new(volume: VolumeUid, segment: SegmentId, sealed: bool) -> Self {
        let check = if sealed { Check::Tag([0; TAG_BYTES]) } else { Check::Crc(0) };
        Self {
            volume,
            segment,
            sealed_by: (segment.epoch, segment.incarnation),
            sealed,
            end: FRONT_BLOCKS,
            entries: vec![Entry::default(); usize::from(SEGMENT_BLOCKS)],
            checks: vec![check; usize::from(SEGMENT_BLOCKS)],
            zeros: Vec::new(),
        }
    }

    /// Fill `blocks`, [`INDEX_BLOCKS`] of them.
    pub fn encode(&self, blocks: &mut [u8]) {
        blocks.fill(0);
        let (header, rest) = blocks.split_at_mut(BLOCK_BYTES);
        let at = |block: u16| usize::from(block - INDEX_AT - 1) * BLOCK_BYTES;
        let mut entries = Area::new(&mut rest[at(ENTRIES_AT)..at(CHECKS_AT)]);
        for entry in &self.entries {
            entries.u32(entry.number).u32(entry.kind as u32);
        }
        let per_page = usize::from(checks_per_page(self.sealed));
        for (page, checks) in self.checks.chunks(per_page).enumerate() {
            let start = at(CHECKS_AT) + page * BLOCK_BYTES;
            let bytes = &mut rest[start..start + BLOCK_BYTES];
            let mut area = Area::new(bytes);
            area.u32(0).u32(self.segment.seq).u16(page as u16).u16(u16::from(self.sealed)).u32(0);
            for check in checks {
                match check {
                    Check::Crc(crc) => area.u32(*crc),
                    Check::Tag(tag) => area.put(tag),
                };
            }
            let crc = crc32c(&bytes[4..]);
            bytes[..4].copy_from_slice(&crc.to_le_bytes());
        }
        let mut zeros = Area::new(&mut rest[at(ZEROS_AT)..at(ZEROS_AT + ZERO_BLOCKS)]);
        for zero in &self.zeros {
            zeros.u32(zero.lba).u32(zero.blocks).u16(zero.before).u16(0);
        }
        let entries_crc = crc32c(&rest[at(ENTRIES_AT)..at(CHECKS_AT)]);
        let zeros_crc = crc32c(&rest[at(ZEROS_AT)..at(ZEROS_AT + ZERO_BLOCKS)]);
        let mut area = Area::new(header);
        area.put(&INDEX_MAGIC).u32(0).u16(FORMAT_VERSION).u16(if self.sealed { FLAG_SEALED } else { 0 });
        area.put(&self.volume);
        area.u32(self.segment.epoch).u32(self.segment.incarnation).u32(self.segment.seq);
        area.u32(self.sealed_by.0).u32(self.sealed_by.1);
        area.u16(self.end).u16(self.zeros.len() as u16).u32(entries_crc).u32(zeros_crc);
        let crc = crc32c(&header[8..]);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The index in `blocks`, if it is whole; its checks only if `with_checks`.
    pub fn decode(blocks: &[u8], with_checks: bool) -> Option<Self> {
        if blocks.len() != usize::from(INDEX_BLOCKS) * BLOCK_BYTES {
            return None;
        }
        let (header, rest) = blocks.split_at(BLOCK_BYTES);
        let mut fields = Fields(header);
        if fields.array()? != INDEX_MAGIC || fields.u32()? != crc32c(&header[8..]) || fields.u16()? != FORMAT_VERSION {
            return None;
        }
        let sealed = fields.u16()? & FLAG_SEALED != 0;
        let volume = fields.array()?;
        let segment = SegmentId { epoch: fields.u32()?, incarnation: fields.u32()?, seq: fields.u32()? };
        let sealed_by = (fields.u32()?, fields.u32()?);
        let (end, zero_count, entries_crc, zeros_crc) = (fields.u16()?, fields.u16()?, fields.u32()?, fields.u32()?);
        let at = |block: u16| usize::from(block - INDEX_AT - 1) * BLOCK_BYTES;
        let entry_bytes = &rest[at(ENTRIES_AT)..at(CHECKS_AT)];
        let zero_bytes = &rest[at(ZEROS_AT)..at(ZEROS_AT + ZERO_BLOCKS)];
        let counts_fit = (FRONT_BLOCKS..=SEGMENT_BLOCKS).contains(&end) && usize::from(zero_count) <= MAX_ZEROS;
        if !counts_fit || crc32c(entry_bytes) != entries_crc || crc32c(zero_bytes) != zeros_crc {
            return None;
        }
        let mut index = Self::new(volume, segment, sealed);
        (index.sealed_by, index.end) = (sealed_by, end);
        for (entry, bytes) in index.entries.iter_mut().zip(entry_bytes.chunks_exact(ENTRY_BYTES)) {
            let mut fields = Fields(bytes);
            entry.number = fields.u32()?;
            entry.kind = match fields.u32()? {
                0 => EntryKind::Unused,
                1 => EntryKind::GroupHeader,
                2 => EntryKind::Data,
                3 => EntryKind::Leaf,
                _ => return None,
            };
        }
        let mut fields = Fields(zero_bytes);
        for _ in 0..zero_count {
            let (lba, blocks, before, _) = (fields.u32()?, fields.u32()?, fields.u16()?, fields.u16()?);
            if u64::from(lba) + u64::from(blocks) > 1 << 32 {
                return None;
            }
            index.zeros.push(ZeroRecord { before, lba, blocks });
        }
        if with_checks {
            for page in 0..usize::from(SEGMENT_BLOCKS.div_ceil(checks_per_page(sealed))) {
                let start = at(CHECKS_AT) + page * BLOCK_BYTES;
                let decoded = CheckPage::decode(&rest[start..start + BLOCK_BYTES], segment.seq, page as u16, sealed)?;
                let first = page * usize::from(checks_per_page(sealed));
                for (check, position) in index.checks[first..].iter_mut().zip(0..checks_per_page(sealed)) {
                    *check = decoded.get(position)?;
                }
            }
        }
        Some(index)
    }
}

/// The checks of consecutive blocks, self-verifying so that one can be read alone. Kept as it is stored, which is compact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckPage {
    sealed: bool,
    checks: Box<[u8]>,
}

impl CheckPage {
    pub fn decode(block: &[u8], seq: u32, page: u16, sealed: bool) -> Option<Self> {
        let mut fields = Fields(block.get(..BLOCK_BYTES)?);
        if fields.u32()? != crc32c(&block[4..BLOCK_BYTES]) || fields.u32()? != seq || fields.u16()? != page {
            return None;
        }
        if fields.u16()? != u16::from(sealed) {
            return None;
        }
        Some(Self { sealed, checks: block[PAGE_HEADER_BYTES..BLOCK_BYTES].into() })
    }

    /// The check at `position` of the page; None beyond its end.
    pub fn get(&self, position: u16) -> Option<Check> {
        let size = if self.sealed { TAG_BYTES } else { CRC_BYTES };
        let mut fields = Fields(self.checks.get(usize::from(position) * size..)?);
        Some(if self.sealed { Check::Tag(fields.array()?) } else { Check::Crc(fields.u32()?) })
    }

    pub fn bytes(&self) -> usize {
        self.checks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGMENT: SegmentId = SegmentId { epoch: 4, incarnation: 5, seq: 6 };

    fn index(sealed: bool) -> Index {
        let mut index = Index::new([3; 16], SEGMENT, sealed);
        index.sealed_by = (4, 6);
        index.end = 40;
        index.entries[32] = Entry { kind: EntryKind::GroupHeader, number: 0 };
        for block in 33..40u16 {
            index.entries[usize::from(block)] = Entry { kind: EntryKind::Data, number: u32::from(block) * 1000 };
            index.checks[usize::from(block)] =
                if sealed { Check::Tag([block as u8; 16]) } else { Check::Crc(u32::from(block)) };
        }
        index.zeros = vec![ZeroRecord { before: 35, lba: 9, blocks: u32::MAX - 9 }];
        index
    }

    #[test]
    fn headers_and_indexes_come_back_as_they_were() {
        let witness = Witness { boot: 77, written: Place { seq: 5, block: 9 }, synced: Place { seq: 4, block: 8 } };
        let (volume, segment) = ([3; 16], SEGMENT);
        let header = SegmentHeader { volume, segment, next_slot: 8, previous_end: 4000, synced_through: 2, witness };
        assert_eq!((witness.certain(77), witness.certain(78)), (witness.written, witness.synced));
        assert_eq!(Witness { boot: 0, ..witness }.certain(0), witness.synced, "what is not known is not the same");
        let mut block = vec![0xee; BLOCK_BYTES];
        header.encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Some(header));
        block[40] ^= 1;
        assert_eq!(SegmentHeader::decode(&block), None);
        for sealed in [false, true] {
            let mut blocks = vec![0xee; usize::from(INDEX_BLOCKS) * BLOCK_BYTES];
            index(sealed).encode(&mut blocks);
            assert_eq!(Index::decode(&blocks, true), Some(index(sealed)));
            let page = 33 / checks_per_page(sealed);
            let start = usize::from(CHECKS_AT - INDEX_AT + page) * BLOCK_BYTES;
            let page_bytes = &blocks[start..start + BLOCK_BYTES];
            let decoded = CheckPage::decode(page_bytes, 6, page, sealed).unwrap();
            assert_eq!(decoded.get(33), Some(index(sealed).checks[33]));
            assert_eq!(CheckPage::decode(page_bytes, 7, page, sealed), None);
        }
    }

    #[test]
    fn every_part_of_an_index_is_guarded() {
        let mut blocks = vec![0; usize::from(INDEX_BLOCKS) * BLOCK_BYTES];
        index(true).encode(&mut blocks);
        for block in [0, 1, 4, 9, 10, 26] {
            blocks[block * BLOCK_BYTES + 20] ^= 0x10;
            assert_eq!(Index::decode(&blocks, true), None, "block {block}");
            blocks[block * BLOCK_BYTES + 20] ^= 0x10;
        }
        assert!(Index::decode(&blocks, true).is_some());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(seed in any::<u64>(), at in 0..31usize, value in any::<[u8; 16]>()) {
            let mut blocks = vec![0; usize::from(INDEX_BLOCKS) * BLOCK_BYTES];
            index(seed % 2 == 0).encode(&mut blocks);
            let start = at * BLOCK_BYTES + (seed as usize >> 8) % (BLOCK_BYTES - 16);
            blocks[start..start + 16].copy_from_slice(&value);
            let crc = crc32c(&blocks[8..BLOCK_BYTES]);
            blocks[4..8].copy_from_slice(&crc.to_le_bytes());
            Index::decode(&blocks, true);
            SegmentHeader::decode(&blocks);
        }
    }
}
