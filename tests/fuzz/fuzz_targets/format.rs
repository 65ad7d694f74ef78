//! What blockd reads of its own log, checkpoints and segments, in which anything may stand once a disk or a store has gone wrong.
//! Checksums are made right: what they protect from is not what is looked for.
#![no_main]

use hive_blockd::engine::check::crc32c;
use hive_blockd::engine::format::{
    BLOCK_BYTES, CheckPage, Checkpoint, GroupHeader, INDEX_BLOCKS, Index, SegmentHeader, decode_leaf, encode_leaf,
};
use libfuzzer_sys::fuzz_target;

/// The bytes in an area of `len`, behind `magic` and the checksum of what follows.
fn checked(magic: &[u8; 4], bytes: &[u8], len: usize) -> Vec<u8> {
    let mut area = [&[0; 8], bytes].concat();
    area.resize(len, 0);
    let crc = crc32c(&area[8..]);
    area[..4].copy_from_slice(magic);
    area[4..8].copy_from_slice(&crc.to_le_bytes());
    area
}

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    match kind % 6 {
        0 => {
            let _ = Checkpoint::decode(bytes);
            let bytes = checked(b"HChk", bytes, bytes.len() + 8);
            if let Ok(checkpoint) = Checkpoint::decode(&bytes) {
                assert_eq!(Checkpoint::decode(&checkpoint.encode()).ok(), Some(checkpoint));
            }
        }
        1 => {
            let _ = GroupHeader::decode(bytes);
            let _ = GroupHeader::decode(&checked(b"HGrp", bytes, BLOCK_BYTES));
        }
        2 => {
            let _ = Index::decode(bytes, false);
            // Its header is checked by itself, and its pages of checks are.
            let mut index = checked(b"HIdx", bytes.get(..BLOCK_BYTES - 8).unwrap_or(bytes), BLOCK_BYTES);
            index.extend(bytes.get(BLOCK_BYTES - 8..).unwrap_or(&[]));
            index.resize(usize::from(INDEX_BLOCKS) * BLOCK_BYTES, 0);
            let _ = Index::decode(&index, false);
            let _ = Index::decode(&index, true);
        }
        3 => {
            let _ = decode_leaf(7, bytes);
            let mut leaf = bytes.to_vec();
            // Whole blocks; the number of the leaf is looked at too.
            leaf.resize(bytes.len().max(4).next_multiple_of(BLOCK_BYTES) - 8, 0);
            leaf[..4].copy_from_slice(&7u32.to_le_bytes());
            if let Some(leaf) = decode_leaf(7, &checked(b"HLea", &leaf, leaf.len() + 8)) {
                assert!(decode_leaf(7, &encode_leaf(7, &leaf)).is_some());
            }
        }
        4 => {
            let _ = SegmentHeader::decode(bytes);
            let _ = SegmentHeader::decode(&checked(b"HSeg", bytes, BLOCK_BYTES));
        }
        _ => {
            let mut page = bytes.to_vec();
            page.resize(BLOCK_BYTES, 0);
            let crc = crc32c(&page[4..]);
            page[..4].copy_from_slice(&crc.to_le_bytes());
            for sealed in [false, true] {
                if let Some(page) = CheckPage::decode(&page, u32::from_le_bytes([page[4], page[5], page[6], page[7]]), 0, sealed) {
                    let _ = (page.get(0), page.get(u16::MAX));
                }
            }
        }
    }
});
