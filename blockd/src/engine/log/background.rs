//! What an engine needs done elsewhere: files replaced, segments uploaded and fetched. Nothing here waits.

use crate::engine::FileId;
use crate::engine::check::SegmentId;
use crate::engine::format::VolumeUid;

/// A segment as the store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentName {
    pub owner: VolumeUid,
    pub id: SegmentId,
}

/// Bytes that are fetched from the store at a time.
pub const CHUNK_BYTES: u64 = 256 << 10;

/// A chunk of a segment in the cache; it stays where it is while this lives.
pub struct CachedChunk {
    pub file: FileId,
    pub offset: u64,
    pub pin: Box<dyn std::any::Any>,
}

impl std::fmt::Debug for CachedChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedChunk").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// A segment that will not change any more, in the local file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompleteSegment {
    pub id: SegmentId,
    pub slot: u32,
    /// Blocks in use.
    pub end: u16,
    /// The store has it already.
    pub uploaded: bool,
}

/// What has ended elsewhere, or is asked of the engine from elsewhere.
#[derive(Debug)]
pub enum Event {
    /// The checkpoint handed over last is durable.
    CheckpointSaved,
    /// A chunk asked for is in the cache now, or can never be had.
    Fetched {
        name: SegmentName,
        chunk: u32,
        result: Result<(), String>,
    },
    /// The segment is in the store.
    Uploaded {
        seq: u32,
    },
    /// Make a checkpoint of what was answered so far: a snapshot. It is handed over with this token.
    Cut {
        token: u64,
    },
    /// What was cut is in the store, or is not wanted any more.
    CutEnded {
        token: u64,
    },
    /// Answer no more writes until [`Event::Release`]; tell [`Background::holding`].
    Hold {
        token: u64,
    },
    Release,
    /// The volume has grown.
    Grow {
        size_bytes: u64,
    },
    /// How much the local file may hold of what is in the store already.
    KeepLocal {
        bytes: u64,
    },
    /// Write damaged blocks over.
    Repair(super::Repair),
    /// Another daemon has taken the volume over.
    Fenced(String),
    /// Bytes that the store has taken lately, for backpressure.
    DrainRate {
        bytes_per_second: u64,
    },
}

/// The engine's side of its helpers.
pub trait Background {
    /// Readable when [`Self::poll`] has something.
    fn bell(&self) -> Option<FileId> {
        None
    }

    fn poll(&mut self) -> Option<Event>;

    /// Replace the volume's checkpoint file, atomically and durably. Answered by [`Event::CheckpointSaved`], however long it takes. It is also what was asked
    /// for by these cuts; the segments it names are told of as complete before or after.
    fn save_checkpoint(&mut self, bytes: Vec<u8>, cuts: &[u64]);

    /// The chunk, if the cache has it.
    fn cached(&mut self, name: SegmentName, chunk: u32) -> Option<CachedChunk>;

    /// Get the chunk of a segment of `end` blocks into the cache. Answered by [`Event::Fetched`], however long it takes.
    fn fetch(&mut self, name: SegmentName, end: u16, chunk: u32);

    /// What the cache has of the chunk is damaged.
    fn distrust(&mut self, name: SegmentName, chunk: u32);

    /// Segments are told of in the order of the log.
    fn complete(&mut self, segment: CompleteSegment);

    fn holding(&mut self, token: u64);

    /// No map that is durable here refers to the segment any more.
    fn dropped(&mut self, name: SegmentName);
}

/// For a volume that is only local: nothing is uploaded and nothing can be fetched.
#[derive(Debug, Default)]
pub struct LocalOnly {
    events: std::collections::VecDeque<Event>,
    /// Checkpoints handed over, newest last.
    pub checkpoints: Vec<Vec<u8>>,
}

impl LocalOnly {
    pub fn push(&mut self, event: Event) {
        self.events.push_back(event);
    }
}

impl Background for LocalOnly {
    fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn save_checkpoint(&mut self, bytes: Vec<u8>, _: &[u64]) {
        self.checkpoints.push(bytes);
        self.events.push_back(Event::CheckpointSaved);
    }

    fn cached(&mut self, _: SegmentName, _: u32) -> Option<CachedChunk> {
        None
    }

    fn fetch(&mut self, name: SegmentName, _: u16, chunk: u32) {
        self.events.push_back(Event::Fetched { name, chunk, result: Err("there is no store".into()) });
    }

    fn distrust(&mut self, _: SegmentName, _: u32) {}

    fn complete(&mut self, _: CompleteSegment) {}

    fn holding(&mut self, _: u64) {}

    fn dropped(&mut self, _: SegmentName) {}
}
