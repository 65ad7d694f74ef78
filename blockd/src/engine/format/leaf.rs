//! A leaf of the block map, as it lies in the log.

use super::codec::{Area, Fields};
use super::{BLOCK_BYTES, Place};
use crate::engine::check::crc32c;
use crate::engine::map::{LEAF_BLOCKS, Leaf, Run};

const MAGIC: [u8; 4] = *b"HLea";
const HEADER_BYTES: usize = 16;
const RUN_BYTES: usize = 10;
const FLAT_BYTES: usize = 6;
const FORM_RUNS: u16 = 1;
const FORM_FLAT: u16 = 2;

/// The leaf as whole blocks, in the shorter of two forms.
pub fn encode_leaf(index: u32, leaf: &Leaf) -> Vec<u8> {
    let runs = leaf.run_count();
    let as_runs = runs * RUN_BYTES <= LEAF_BLOCKS as usize * FLAT_BYTES;
    let (form, count, body) =
        if as_runs { (FORM_RUNS, runs, runs * RUN_BYTES) } else { (FORM_FLAT, 0, LEAF_BLOCKS as usize * FLAT_BYTES) };
    let mut bytes = vec![0; (HEADER_BYTES + body).next_multiple_of(BLOCK_BYTES)];
    let mut area = Area::new(&mut bytes);
    area.put(&MAGIC).u32(0).u32(index).u16(form).u16(count as u16);
    if as_runs {
        leaf.each_run(|run| {
            area.u16(run.start).u16(run.len).u32(run.place.seq).u16(run.place.block);
        });
    } else {
        for block in 0..LEAF_BLOCKS {
            let place = leaf.get(block as u16).unwrap_or(Place { seq: 0, block: 0 });
            area.u32(place.seq).u16(place.block);
        }
    }
    let crc = crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The leaf in `bytes`; None unless it is leaf `index`, whole and consistent.
pub fn decode_leaf(index: u32, bytes: &[u8]) -> Option<Leaf> {
    let mut fields = Fields(bytes);
    if fields.array()? != MAGIC || fields.u32()? != crc32c(bytes.get(8..)?) || fields.u32()? != index {
        return None;
    }
    let (form, count) = (fields.u16()?, fields.u16()?);
    let mut leaf = Leaf::default();
    match form {
        FORM_RUNS => {
            let mut end = 0u32;
            for _ in 0..count {
                let (start, len) = (fields.u16()?, fields.u16()?);
                let place = Place { seq: fields.u32()?, block: fields.u16()? };
                if u32::from(start) < end || len == 0 || place.block == 0 {
                    return None;
                }
                end = u32::from(start) + u32::from(len);
                if end > LEAF_BLOCKS || u32::from(place.block) + u32::from(len) > LEAF_BLOCKS {
                    return None;
                }
                leaf.push(Run { start, len, place });
            }
        }
        FORM_FLAT => {
            for start in 0..LEAF_BLOCKS {
                let place = Place { seq: fields.u32()?, block: fields.u16()? };
                if u32::from(place.block) >= LEAF_BLOCKS {
                    return None;
                }
                if place.block != 0 {
                    leaf.insert(start as u16, 1, Some(place), &mut |_, _| {});
                }
            }
        }
        _ => return None,
    }
    leaf.shrink();
    Some(leaf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sparse_and_full_leaves_come_back() {
        let mut sparse = Leaf::default();
        sparse.insert(5, 100, Some(Place { seq: 9, block: 40 }), &mut |_, _| {});
        sparse.insert(4095, 1, Some(Place { seq: u32::MAX, block: 4095 }), &mut |_, _| {});
        let mut full = Leaf::default();
        for block in 0..LEAF_BLOCKS {
            let place = Place { seq: 4096 - block, block: 33 + (block as u16 * 7) % 4000 };
            full.insert(block as u16, 1, Some(place), &mut |_, _| {});
        }
        for (leaf, blocks) in [(&sparse, 1), (&full, 7)] {
            let bytes = encode_leaf(3, leaf);
            assert_eq!(bytes.len(), blocks * BLOCK_BYTES);
            let back = decode_leaf(3, &bytes).unwrap();
            assert!((0..LEAF_BLOCKS).all(|b| back.get(b as u16) == leaf.get(b as u16)));
            assert!(decode_leaf(4, &bytes).is_none());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 16..8192), form in 0..4u16) {
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[8..12].copy_from_slice(&3u32.to_le_bytes());
            bytes[12..14].copy_from_slice(&form.to_le_bytes());
            let crc = crc32c(&bytes[8..]);
            bytes[4..8].copy_from_slice(&crc.to_le_bytes());
            decode_leaf(3, &bytes);
        }
    }
}
