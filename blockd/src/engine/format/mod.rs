//! What a volume's log looks like on disk and in the store. All numbers are little-endian; all structures carry a version and a
//! CRC32C, and are believed only when it fits and they name the volume and the segment they are found in.
//!
//! A log is a chain of segments of 16 MiB. In the local file each lies in a slot of that size; in the store it is an object, cut
//! off behind its last block.
//!
//! ```text
//! block 0        segment header: whose it is, its place in the chain, the slot of its successor, a witness
//! blocks 1-31    index, written when the segment is complete: what lies in each block, and its check
//! blocks 32-     groups: one header block, then the blocks it describes, as they were written together
//! ```
//!
//! A group's header holds the segment's header over again, the group's extents (what blocks of the volume or of the map follow, what
//! reads zeros from now on) and checks, and the place, extents and checks of the group before it, in the same segment or the one before.
//! So any one block of the log may be damaged, and what the others hold is still known.
//!
//! A segment without a valid index is read group by group. Its end is told from damage by the *witnesses* in the headers behind: each
//! says up to which place the log had been written, and up to which it had been synced, when it was itself put together.

mod checkpoint;
mod codec;
mod group;
mod leaf;
mod segment;

pub use checkpoint::{
    Checkpoint, CheckpointError, Home, MAX_OWNERS, Owner, SavedSegment, Tail, WRAPPED_KEY_BYTES, WrappedKey,
};
pub use group::{Contents, EXTENT_BYTES, Extent, ExtentKind, GroupHeader, GroupRecord, MAX_EXTENT_BYTES_OF_HEADER};
pub use leaf::{decode_leaf, encode_leaf};
pub use segment::{
    CHECK_PAGES, CHECKS_AT, CheckPage, Entry, EntryKind, INDEX_AT, INDEX_BLOCKS, Index, MAX_ZEROS, SegmentHeader,
    Witness, ZeroRecord, checks_per_page,
};

/// Unit of everything: a block of 4 KiB.
pub const BLOCK_BYTES: usize = 4096;
/// Blocks of a segment.
pub const SEGMENT_BLOCKS: u16 = 4096;
pub const SEGMENT_BYTES: u64 = SEGMENT_BLOCKS as u64 * BLOCK_BYTES as u64;
/// Blocks before the first group.
pub const FRONT_BLOCKS: u16 = 32;
/// Most blocks of one group behind its header: bounds a group's buffer, and how much one torn write can cost. A header has room for the
/// checks of two such groups.
pub const MAX_GROUP_BLOCKS: usize = 496;
/// Version of all structures here.
pub const FORMAT_VERSION: u16 = 2;

/// Identity of a volume on disk and in the store, drawn at its creation: names are used again, this is not.
pub type VolumeUid = [u8; 16];

/// A block of the log: a segment by its number, and a block within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub seq: u32,
    pub block: u16,
}
