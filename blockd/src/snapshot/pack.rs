//! What of a segment the store is to have for a snapshot: the blocks that were live at its cut. The others become zeros, of which a
//! directory store keeps nothing.
//!
//! A complete segment only loses live blocks, so whoever comes later - the volume, its later snapshots, their clones - asks for no
//! other ones. That holds for segments that were complete at the cut, and if no snapshot of an earlier cut still waits for them.

use super::reader::{ReadError, Reader};
use crate::engine::format::{
    BLOCK_BYTES, Checkpoint, Entry, FRONT_BLOCKS, INDEX_AT, INDEX_BLOCKS, Index, Place, SEGMENT_BLOCKS,
};
use std::collections::HashMap;

const WORDS: usize = SEGMENT_BLOCKS as usize / 64;

/// A bit for each block of a segment.
#[derive(Clone, Debug)]
struct Blocks([u64; WORDS]);

impl Blocks {
    fn add(&mut self, block: u16) {
        if let Some(word) = self.0.get_mut(usize::from(block) / 64) {
            *word |= 1 << (block % 64);
        }
    }

    fn has(&self, block: u16) -> bool {
        self.0.get(usize::from(block) / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

/// The live blocks of some segments of one cut.
#[derive(Debug, Default)]
pub struct Live {
    data: HashMap<u32, Blocks>,
    leaves: HashMap<u32, Blocks>,
}

impl Live {
    /// Of the volume's own segments numbered `wanted`, as far as they were complete at the cut. `pending`: the volume's other
    /// cuts under way. Earlier ones may wait for more of a segment; that a later one needs less keeps all of it too, to no harm.
    pub async fn find(reader: &mut Reader, wanted: &[u32], pending: &[Checkpoint]) -> Result<Self, ReadError> {
        let cut = reader.checkpoint().clone();
        let none = || Blocks([0; WORDS]);
        let mut live = Self::default();
        for seq in wanted.iter().filter(|seq| **seq < cut.tail.place.seq) {
            live.data.insert(*seq, none());
            live.leaves.insert(*seq, none());
        }
        for (index, home) in &cut.homes {
            // Leaves that lie in older segments than these refer to none of these, unless an upload was given up: counted below.
            let Ok(_) = wanted.binary_search(&home.place.seq) else { continue };
            if let Some(blocks) = live.leaves.get_mut(&home.place.seq) {
                (0..u16::from(home.blocks)).for_each(|i| blocks.add(home.place.block + i));
            }
            let Some(leaf) = reader.leaf(*index).await? else { continue };
            leaf.each_run(|run| {
                let Place { seq, block } = run.place;
                if let Some(blocks) = live.data.get_mut(&seq) {
                    (0..run.len).for_each(|i| blocks.add(block + i));
                }
            });
        }
        // Only what accounts for every block that the engine counted is left out.
        let counted = |checkpoint: &Checkpoint, seq: u32| {
            let found = checkpoint.segments.binary_search_by_key(&seq, |s| s.id.seq);
            found.ok().map(|found| checkpoint.segments[found]).filter(|s| s.owner == 0).map(|s| u32::from(s.live))
        };
        live.data.retain(|seq, blocks| {
            let count = blocks.count();
            let waits = |other: &Checkpoint| counted(other, *seq).is_some_and(|other| other != count);
            counted(&cut, *seq) == Some(count) && !pending.iter().any(waits)
        });
        Ok(live)
    }

    /// Put zeros in the place of what is dead in the segment's bytes, and take it out of the index. Nothing is done if what
    /// is live is not known.
    pub fn clear_dead(&self, seq: u32, bytes: &mut [u8]) {
        let (Some(data), Some(leaves)) = (self.data.get(&seq), self.leaves.get(&seq)) else { return };
        let index_bytes = usize::from(INDEX_AT) * BLOCK_BYTES..usize::from(INDEX_AT + INDEX_BLOCKS) * BLOCK_BYTES;
        let index = bytes.get(index_bytes.clone()).and_then(|blocks| Index::decode(blocks, true));
        let Some(mut index) = index.filter(|index| index.segment.seq == seq) else { return };
        for (block, bytes) in (0..).zip(bytes.chunks_exact_mut(BLOCK_BYTES)).skip(usize::from(FRONT_BLOCKS)) {
            if !data.has(block) && !leaves.has(block) {
                bytes.fill(0);
                if let Some(entry) = index.entries.get_mut(usize::from(block)) {
                    *entry = Entry::default();
                }
            }
        }
        index.encode(&mut bytes[index_bytes]);
    }
}
