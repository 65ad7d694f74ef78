//! Where a volume's bytes live. An engine knows offsets and buffers; it knows nothing of virtio.
//!
//! [`log`] is the engine: a log of [`format`] records in one local file per volume, found again through [`map`].

mod buffer;
pub mod check;
pub mod disk;
pub mod format;
pub mod log;
pub mod map;
mod slab;

pub use buffer::AlignedBuffer;
pub use disk::{Disk, FileId};

use crate::memory::GuestBuffers;

/// Engines tag their ring entries below this; the rest belongs to the engine's owner.
pub const FIRST_FOREIGN_TAG: u64 = 1 << 32;

/// What is asked of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    /// Every write completed before this was submitted survives a power loss once this has completed.
    Flush,
    /// The range reads zeros afterwards; `unmap` lets its space go.
    Zero {
        unmap: bool,
    },
}

/// A request within the volume's bounds, its offset and length whole sectors of 512 bytes.
#[derive(Debug)]
pub struct Request {
    /// Comes back in the [`Completion`].
    pub token: u32,
    pub operation: Operation,
    pub offset: u64,
    pub len: u64,
    pub data: GuestBuffers,
    /// Complete only when the change survives a power loss.
    pub durable: bool,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    pub token: u32,
    pub ok: bool,
}

/// What an engine works with: the thread's disk, and the list its finished requests go to.
#[allow(missing_debug_implementations)]
pub struct Io<'a> {
    pub disk: &'a mut dyn Disk,
    pub done: &'a mut Vec<Completion>,
}

/// One open volume, driven by one thread.
///
/// A completed write is seen by every later read and survives the death of the process. Requests in flight together may take
/// effect in any order, each 4 KiB block wholly.
pub trait Engine {
    fn size_bytes(&self) -> u64;

    /// Start `request`. Its completion is reported now or by a later [`Self::complete`].
    fn submit(&mut self, request: Request, io: &mut Io<'_>);

    /// A batch of submissions has ended: what was gathered may go to the disk.
    fn commit(&mut self, io: &mut Io<'_>);

    /// Something is written only once more has come or a moment has passed: [`Self::commit`] is to be called again soon.
    fn is_gathering(&self) -> bool;

    /// The operation tagged `tag` by this engine has ended with `result`, a negative errno on failure.
    fn complete(&mut self, tag: u64, result: i32, io: &mut Io<'_>);

    /// The descriptor that becomes readable when work elsewhere has ended; [`Self::attend`] is called then.
    fn bell(&self) -> Option<FileId>;
    fn attend(&mut self, io: &mut Io<'_>);

    /// Do what is due by the clock; called at least every [`HOUSEKEEPING_INTERVAL`] while the volume is used.
    fn tick(&mut self, io: &mut Io<'_>);

    /// Some request waits for room on the disk or for memory; the owner calls [`Self::retry_held`] after a while.
    fn has_held(&self) -> bool;
    fn retry_held(&mut self, io: &mut Io<'_>);
    /// Fail what is held, or waits for the store: its owner goes away and cannot wait.
    fn fail_held(&mut self, io: &mut Io<'_>);

    /// Requests that have not completed; their buffers must outlive them.
    fn in_flight(&self) -> usize;

    /// Whether [`Self::tick`] has anything to do.
    fn wants_tick(&self) -> bool;

    /// How fast further writes should come, so that the store keeps up.
    fn pressure(&self) -> Pressure;

    fn metrics(&self) -> LogMetrics;

    /// Why writes and flushes are refused from now on, if they are.
    fn poisoned(&self) -> Option<&str>;

    /// Start nothing more of its own accord; true once nothing is under way in the kernel.
    fn wind_down(&mut self, io: &mut Io<'_>) -> bool;

    /// Make everything durable and end, once [`Self::wind_down`] has said so.
    fn close(&mut self) -> std::io::Result<()>;
}

/// How often [`Engine::tick`] is wanted.
pub const HOUSEKEEPING_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// Backpressure: what the log's owner should do with further writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pressure {
    #[default]
    None,
    /// Admit writes at most at this rate.
    BytesPerSecond(u64),
}

/// How an engine is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogMetrics {
    /// Written and not yet in the store, and the age of the oldest of it.
    pub dirty_bytes: u64,
    pub oldest_dirty: Option<std::time::Instant>,
    pub local_bytes: u64,
    pub live_bytes: u64,
    pub map_bytes: u64,
    pub moved_blocks: u64,
    pub damaged_blocks: u64,
    pub remote_reads: u64,
    pub cache_hits: u64,
    /// Changes wait for room, here or in the store.
    pub waiting: bool,
}
