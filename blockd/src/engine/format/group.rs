//! The header of a group: the blocks and records that were written in one go.

use super::codec::{Area, Fields};
use super::segment::SEGMENT_HEADER_BYTES;
use super::{BLOCK_BYTES, FORMAT_VERSION, MAX_GROUP_BLOCKS, Place, SEGMENT_BLOCKS, SegmentHeader};
use crate::engine::check::{CRC_BYTES, Check, TAG_BYTES, crc32c};

const MAGIC: [u8; 4] = *b"HGrp";
/// Magic, CRC, version, flags; the segment's header; position and counts; place and counts of the group before.
const FIXED_BYTES: usize = 4 + 4 + 2 + 2 + SEGMENT_HEADER_BYTES + (2 + 2 + 2) + (4 + 2 + 2 + 2);
pub const EXTENT_BYTES: usize = 12;
/// Room of one header for the extents and checks of its group; as much is for those of the group before.
pub const MAX_EXTENT_BYTES_OF_HEADER: usize = (BLOCK_BYTES - FIXED_BYTES) / 2;
const _: () = assert!(EXTENT_BYTES + MAX_GROUP_BLOCKS * CRC_BYTES <= MAX_EXTENT_BYTES_OF_HEADER);
const FLAG_SEALED: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExtentKind {
    /// Blocks of the volume from `start` on, whose bytes follow.
    Data = 1,
    /// A leaf of the map, number `start`, whose bytes follow.
    Leaf = 2,
    /// Blocks of the volume that read zeros from now on; no bytes follow.
    Zero = 3,
}

/// One record; records take effect in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub kind: ExtentKind,
    pub start: u32,
    pub blocks: u32,
}

/// What a group holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub extents: Vec<Extent>,
    /// One for each block that follows the header.
    pub checks: Vec<Check>,
}

impl Contents {
    fn put(&self, area: &mut Area<'_>) {
        for extent in &self.extents {
            area.u32(extent.start).u32(extent.blocks).u32(extent.kind as u32);
        }
        for check in &self.checks {
            match check {
                Check::Crc(crc) => area.u32(*crc),
                Check::Tag(tag) => area.put(tag),
            };
        }
    }

    fn take(fields: &mut Fields<'_>, (extents, blocks): (u16, u16), sealed: bool) -> Option<Self> {
        let check_bytes = if sealed { TAG_BYTES } else { CRC_BYTES };
        let (extents, blocks) = (usize::from(extents), usize::from(blocks));
        if blocks > MAX_GROUP_BLOCKS || extents * EXTENT_BYTES + blocks * check_bytes > MAX_EXTENT_BYTES_OF_HEADER {
            return None;
        }
        let mut total = 0u64;
        let extents = (0..extents)
            .map(|_| {
                let (start, blocks, kind) = (fields.u32()?, fields.u32()?, fields.u32()?);
                let kind = match kind {
                    1 => ExtentKind::Data,
                    2 => ExtentKind::Leaf,
                    3 => ExtentKind::Zero,
                    _ => return None,
                };
                if kind != ExtentKind::Zero {
                    total += u64::from(blocks);
                }
                let fits = kind == ExtentKind::Leaf || u64::from(start) + u64::from(blocks) <= 1 << 32;
                (blocks > 0 && fits).then_some(Extent { kind, start, blocks })
            })
            .collect::<Option<Vec<_>>>()?;
        if total != blocks as u64 {
            return None;
        }
        let checks = (0..blocks)
            .map(|_| Some(if sealed { Check::Tag(fields.array()?) } else { Check::Crc(fields.u32()?) }))
            .collect::<Option<Vec<_>>>()?;
        Some(Self { extents, checks })
    }
}

/// A group by itself: where its header is, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    pub place: Place,
    pub contents: Contents,
}

/// The block in front of a group. It repeats the header of its segment and what the group before it holds, which may lie in the segment
/// before: so that the damage of one block never hides what others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Of the segment; what it witnesses is of this group's time.
    pub segment: SegmentHeader,
    /// Block of the segment that holds this header.
    pub position: u16,
    pub contents: Contents,
    /// None: it is the first of its writer.
    pub previous: Option<GroupRecord>,
}

impl GroupHeader {
    /// Fill `block` (4 KiB) with this header. The caller has kept within [`MAX_EXTENT_BYTES_OF_HEADER`].
    pub fn encode(&self, sealed: bool, block: &mut [u8]) {
        let mut area = Area::new(block);
        area.put(&MAGIC).u32(0).u16(FORMAT_VERSION).u16(if sealed { FLAG_SEALED } else { 0 });
        self.segment.put(&mut area);
        area.u16(self.position).u16(self.contents.extents.len() as u16).u16(self.contents.checks.len() as u16);
        match &self.previous {
            Some(GroupRecord { place, contents }) => {
                area.u32(place.seq).u16(place.block);
                area.u16(contents.extents.len() as u16).u16(contents.checks.len() as u16);
            }
            None => drop(area.u32(0).u16(0).u16(0).u16(0)),
        }
        debug_assert_eq!(area.len(), FIXED_BYTES);
        self.contents.put(&mut area);
        if let Some(previous) = &self.previous {
            previous.contents.put(&mut area);
        }
        area.finish();
        let crc = crc32c(&block[8..]);
        block[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header in `block`; None if it is none, or is damaged, or contradicts itself.
    pub fn decode(block: &[u8]) -> Option<Self> {
        if block.len() != BLOCK_BYTES {
            return None;
        }
        let mut fields = Fields(block);
        if fields.array()? != MAGIC || fields.u32()? != crc32c(&block[8..]) || fields.u16()? != FORMAT_VERSION {
            return None;
        }
        let sealed = fields.u16()? & FLAG_SEALED != 0;
        let segment = SegmentHeader::take(&mut fields)?;
        let (position, counts) = (fields.u16()?, (fields.u16()?, fields.u16()?));
        let place = Place { seq: fields.u32()?, block: fields.u16()? };
        let previous_counts = (fields.u16()?, fields.u16()?);
        let contents = Contents::take(&mut fields, counts, sealed)?;
        let previous = Contents::take(&mut fields, previous_counts, sealed)?;
        let fits =
            |block: u16, contents: &Contents| usize::from(block) + contents.checks.len() < usize::from(SEGMENT_BLOCKS);
        // Nothing lies in block 0 but a segment's header.
        let previous = (place.block != 0).then_some(GroupRecord { place, contents: previous });
        let all_fit = fits(position, &contents) && previous.as_ref().is_none_or(|p| fits(p.place.block, &p.contents));
        all_fit.then_some(Self { segment, position, contents, previous })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Witness;
    use super::*;
    use crate::engine::check::SegmentId;
    use proptest::prelude::*;

    fn header(sealed: bool) -> GroupHeader {
        let check = |i: u8| if sealed { Check::Tag([i; 16]) } else { Check::Crc(u32::from(i)) };
        let place = |seq, block| Place { seq, block };
        let contents = Contents {
            extents: vec![
                Extent { kind: ExtentKind::Data, start: u32::MAX - 1, blocks: 2 },
                Extent { kind: ExtentKind::Zero, start: 0, blocks: u32::MAX },
                Extent { kind: ExtentKind::Leaf, start: 7, blocks: 1 },
            ],
            checks: (0..3).map(check).collect(),
        };
        let before = Contents {
            extents: vec![Extent { kind: ExtentKind::Data, start: 5, blocks: 2 }],
            checks: (7..9).map(check).collect(),
        };
        GroupHeader {
            segment: SegmentHeader {
                volume: [9; 16],
                segment: SegmentId { epoch: 1, incarnation: 2, seq: 3 },
                next_slot: 4,
                previous_end: 5,
                synced_through: 2,
                witness: Witness { boot: 6, written: place(3, 7), synced: place(2, 8) },
            },
            position: 32,
            contents,
            previous: Some(GroupRecord { place: place(2, 4000), contents: before }),
        }
    }

    #[test]
    fn the_first_group_has_none_before_it() {
        let first = GroupHeader { previous: None, ..header(false) };
        let mut block = vec![0xaa; BLOCK_BYTES];
        first.encode(false, &mut block);
        assert_eq!(GroupHeader::decode(&block), Some(first));
    }

    #[test]
    fn two_of_the_largest_groups_fit_one_header() {
        for (sealed, check) in [(false, Check::Crc(1)), (true, Check::Tag([1; 16]))] {
            let check_bytes = if sealed { TAG_BYTES } else { CRC_BYTES };
            for blocks_of_extent in [1, 4, MAX_GROUP_BLOCKS] {
                let (mut contents, mut left) = (Contents::default(), MAX_EXTENT_BYTES_OF_HEADER);
                while left >= EXTENT_BYTES + check_bytes && contents.checks.len() < MAX_GROUP_BLOCKS {
                    let room = ((left - EXTENT_BYTES) / check_bytes).min(MAX_GROUP_BLOCKS - contents.checks.len());
                    let blocks = blocks_of_extent.min(room);
                    contents.extents.push(Extent { kind: ExtentKind::Data, start: 9, blocks: blocks as u32 });
                    contents.checks.extend(vec![check; blocks]);
                    left -= EXTENT_BYTES + blocks * check_bytes;
                }
                let previous = Some(GroupRecord { place: Place { seq: 3, block: 100 }, contents: contents.clone() });
                let whole = GroupHeader { contents, previous, ..header(sealed) };
                let mut block = vec![0; BLOCK_BYTES];
                whole.encode(sealed, &mut block);
                assert_eq!(GroupHeader::decode(&block), Some(whole));
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_and_any_flipped_bit_is_noticed() {
        for sealed in [false, true] {
            let mut block = vec![0xaa; BLOCK_BYTES];
            header(sealed).encode(sealed, &mut block);
            assert_eq!(GroupHeader::decode(&block), Some(header(sealed)));
            for bit in (0..BLOCK_BYTES * 8).step_by(61) {
                block[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(GroupHeader::decode(&block), None, "bit {bit}");
                block[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn the_format_does_not_change_unnoticed() {
        let mut block = vec![0; BLOCK_BYTES];
        header(false).encode(false, &mut block);
        assert_eq!(hex(&block[..8]), format!("48477270{}", hex(&crc32c(&block[8..]).to_le_bytes())));
        assert_eq!(hex(&block[8..12]), "02000000");
        assert_eq!(hex(&block[28..50]), "01000000020000000300000004000000050002000000");
        assert_eq!(hex(&block[50..70]), "060000000000000003000000070002000000"[..].to_owned() + "0800");
        assert_eq!(hex(&block[70..86]), "200003000300".to_owned() + "02000000a00f01000200");
        assert_eq!(hex(&block[86..98]), "feffffff0200000001000000");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    proptest! {
        #[test]
        fn no_block_makes_it_panic(mut bytes in prop::collection::vec(any::<u8>(), BLOCK_BYTES), honest in any::<bool>()) {
            if honest {
                bytes[..4].copy_from_slice(&MAGIC);
                bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
                let crc = crc32c(&bytes[8..]);
                bytes[4..8].copy_from_slice(&crc.to_le_bytes());
            }
            GroupHeader::decode(&bytes);
        }
    }
}
