//! The header of a group: the blocks and records that were written in one go.

use super::codec::{Area, Fields};
use super::{BLOCK_BYTES, FORMAT_VERSION, MAX_GROUP_BLOCKS, VolumeUid};
use crate::engine::check::{CRC_BYTES, Check, SegmentId, TAG_BYTES, crc32c};

const MAGIC: [u8; 4] = *b"HGrp";
/// Magic, CRC, version, flags, volume, segment, position and counts.
const FIXED_BYTES: usize = 4 + 4 + 2 + 2 + 16 + 12 + 2 + 2 + 2 + 2;
pub const EXTENT_BYTES: usize = 12;
/// Room of one header for extents and checks.
pub const MAX_EXTENT_BYTES_OF_HEADER: usize = BLOCK_BYTES - FIXED_BYTES;
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    pub volume: VolumeUid,
    pub segment: SegmentId,
    /// Block of the segment that holds this header.
    pub position: u16,
    pub extents: Vec<Extent>,
    /// One for each block that follows.
    pub checks: Vec<Check>,
}

impl GroupHeader {
    /// Fill `block` (4 KiB) with this header. The caller has kept within [`MAX_EXTENT_BYTES_OF_HEADER`].
    pub fn encode(&self, sealed: bool, block: &mut [u8]) {
        let mut area = Area::new(block);
        area.put(&MAGIC).u32(0).u16(FORMAT_VERSION).u16(if sealed { FLAG_SEALED } else { 0 });
        area.put(&self.volume);
        area.u32(self.segment.epoch).u32(self.segment.incarnation).u32(self.segment.seq);
        area.u16(self.position).u16(self.extents.len() as u16).u16(self.checks.len() as u16).u16(0);
        debug_assert_eq!(area.len(), FIXED_BYTES);
        for extent in &self.extents {
            area.u32(extent.start).u32(extent.blocks).u32(extent.kind as u32);
        }
        for check in &self.checks {
            match check {
                Check::Crc(crc) => area.u32(*crc),
                Check::Tag(tag) => area.put(tag),
            };
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
        let volume = fields.array()?;
        let segment = SegmentId { epoch: fields.u32()?, incarnation: fields.u32()?, seq: fields.u32()? };
        let (position, extents, blocks, _) = (fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?);
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
        Some(Self { volume, segment, position, extents, checks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(sealed: bool) -> GroupHeader {
        let check = |i: u8| if sealed { Check::Tag([i; 16]) } else { Check::Crc(u32::from(i)) };
        GroupHeader {
            volume: [9; 16],
            segment: SegmentId { epoch: 1, incarnation: 2, seq: 3 },
            position: 32,
            extents: vec![
                Extent { kind: ExtentKind::Data, start: u32::MAX - 1, blocks: 2 },
                Extent { kind: ExtentKind::Zero, start: 0, blocks: u32::MAX },
                Extent { kind: ExtentKind::Leaf, start: 7, blocks: 1 },
            ],
            checks: (0..3).map(check).collect(),
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
        assert_eq!(hex(&block[8..12]), "01000000");
        assert_eq!(hex(&block[28..48]), "0100000002000000030000002000030003000000");
        assert_eq!(hex(&block[48..60]), "feffffff0200000001000000");
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
