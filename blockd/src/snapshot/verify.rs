//! Verifying whole segments, as they lie in a log or in the store: every block against the check that reads of it are held against.

use crate::engine::check::{Guard, Identity};
use crate::engine::format::{
    BLOCK_BYTES, EntryKind, FRONT_BLOCKS, INDEX_AT, INDEX_BLOCKS, Index, SEGMENT_BLOCKS, SegmentHeader,
};
use crate::engine::log::SegmentName;

/// What the bytes of a segment turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    Whole,
    /// Another segment: the place is used for something else by now.
    Other,
    /// Header or index: what lies where, and what it must match, is not known.
    Front,
    /// Blocks of it, by their position.
    Blocks(Vec<u16>),
}

/// Verify a complete segment. Encrypted blocks are decrypted in place.
pub fn verify_segment(bytes: &mut [u8], name: SegmentName, guard: &Guard) -> Verified {
    let front = usize::from(FRONT_BLOCKS) * BLOCK_BYTES;
    if bytes.len() < front || !bytes.len().is_multiple_of(BLOCK_BYTES) {
        return Verified::Front;
    }
    let Some(header) = SegmentHeader::decode(&bytes[..BLOCK_BYTES]) else { return Verified::Front };
    if (header.volume, header.segment) != (name.owner, name.id) {
        return Verified::Other;
    }
    let start = usize::from(INDEX_AT) * BLOCK_BYTES;
    let index = &bytes[start..start + usize::from(INDEX_BLOCKS) * BLOCK_BYTES];
    let ours = |index: &Index| (index.volume, index.segment) == (name.owner, name.id);
    let Some(index) = Index::decode(index, true).filter(ours) else { return Verified::Front };
    if index.sealed != guard.is_sealed() || usize::from(index.end) * BLOCK_BYTES > bytes.len() {
        return Verified::Front;
    }
    let mut damaged = Vec::new();
    let blocks = bytes.chunks_exact_mut(BLOCK_BYTES).zip(&index.entries).zip(&index.checks).zip(0..SEGMENT_BLOCKS);
    for (((block, entry), check), position) in blocks.take(usize::from(index.end)).skip(usize::from(FRONT_BLOCKS)) {
        let identity = match entry.kind {
            EntryKind::Data => Identity::Data { lba: entry.number },
            EntryKind::Leaf => Identity::Leaf { index: entry.number },
            // Read by recovery alone, which has checks of its own.
            EntryKind::GroupHeader | EntryKind::Unused => continue,
        };
        if !guard.verify(name.id, position, identity, *check, block) {
            damaged.push(position);
        }
    }
    if damaged.is_empty() { Verified::Whole } else { Verified::Blocks(damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::{Backing, Holder, segment_key};
    use crate::engine::check::KEY_BYTES;
    use crate::engine::format::{WRAPPED_KEY_BYTES, WrappedKey};
    use crate::snapshot::build::Builder;
    use hive_blockd_store::{ChunkCache, DirStore};
    use proptest::prelude::*;
    use std::sync::Arc;

    const KEY: [u8; KEY_BYTES] = [9; KEY_BYTES];

    /// A stored segment of 60 blocks and a leaf, and who may read it.
    fn stored(sealed: bool) -> (Vec<u8>, SegmentName, Guard) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(DirStore::open(&dir.path().join("store")).unwrap());
        let cache = ChunkCache::open(&dir.path().join("cache"), 1 << 20).unwrap();
        let backing = Arc::new(Backing::new(store, cache));
        let (uid, holder) = ([3; 16], Holder::snapshot(&"snap".parse().unwrap()));
        let wrapped = WrappedKey { key_id: [1; 16], bytes: [0; WRAPPED_KEY_BYTES] };
        let key = sealed.then_some((KEY, wrapped));
        runtime.block_on(async {
            let mut builder = Builder::new(backing.clone(), uid, holder, key, None);
            for lba in 0..60 {
                builder.push(lba * 3, &[lba as u8; BLOCK_BYTES]).await.unwrap();
            }
            let map = builder.finish().await.unwrap().unwrap();
            let name = SegmentName { owner: uid, id: map.segments[0].id };
            let (bytes, _) = backing.store.get(&segment_key(name)).await.unwrap();
            (bytes.to_vec(), name, Guard::new(sealed.then_some(&KEY), uid))
        })
    }

    #[test]
    fn whole_segments_are_whole_and_others_are_told_apart() {
        for sealed in [false, true] {
            let (bytes, name, guard) = stored(sealed);
            assert_eq!(verify_segment(&mut bytes.clone(), name, &guard), Verified::Whole);
            let mut other = name;
            other.id.seq += 1;
            assert_eq!(verify_segment(&mut bytes.clone(), other, &guard), Verified::Other);
            let short = bytes.len() - BLOCK_BYTES;
            assert_eq!(verify_segment(&mut bytes[..short].to_vec(), name, &guard), Verified::Front);
            assert_eq!(verify_segment(&mut [], name, &guard), Verified::Front);
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_found_where_it_is(at in 0usize..93 * BLOCK_BYTES, bit in 0u8..8, sealed: bool) {
            let (mut bytes, name, guard) = stored(sealed);
            prop_assume!(at < bytes.len());
            bytes[at] ^= 1 << bit;
            let position = (at / BLOCK_BYTES) as u16;
            match verify_segment(&mut bytes, name, &guard) {
                Verified::Blocks(blocks) => prop_assert_eq!(blocks, vec![position]),
                Verified::Front | Verified::Other => prop_assert!(position < FRONT_BLOCKS),
                // Headers of groups, and what nobody reads of the front.
                Verified::Whole => prop_assert!(position <= FRONT_BLOCKS, "block {}", position),
            }
        }

        #[test]
        fn arbitrary_bytes_are_no_segment(bytes in proptest::collection::vec(any::<u8>(), 0..3 * BLOCK_BYTES)) {
            let (whole, name, guard) = stored(false);
            let mut damaged = whole;
            let end = damaged.len().min(bytes.len());
            damaged[..end].copy_from_slice(&bytes[..end]);
            if !bytes.is_empty() {
                prop_assert_ne!(verify_segment(&mut damaged, name, &guard), Verified::Whole);
            }
        }
    }
}
