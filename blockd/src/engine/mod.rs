//! Where a volume's bytes live. An engine knows offsets and buffers; it knows nothing of virtio.

mod buffer;
mod extents;
mod file;
mod slab;

pub use extents::{BlockMap, data_ranges};
pub use file::{FileEngine, OpenError};

use crate::memory::GuestBuffers;
use crate::uring::Uring;

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

/// What an engine works with: the thread's ring, and the list its finished requests go to.
#[allow(missing_debug_implementations)]
pub struct Io<'a> {
    pub uring: &'a mut Uring,
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

    /// The ring entry tagged `tag` by this engine has ended with `result`, a negative errno on failure.
    fn complete(&mut self, tag: u64, result: i32, io: &mut Io<'_>);

    /// Some request waits for room on the disk or for memory; the owner calls [`Self::retry_held`] after a while.
    fn has_held(&self) -> bool;
    fn retry_held(&mut self, io: &mut Io<'_>);
    /// Fail what is held: its owner goes away and cannot wait.
    fn fail_held(&mut self, io: &mut Io<'_>);

    /// Entries the kernel has not completed; buffers must outlive them.
    fn in_kernel(&self) -> usize;

    /// Why writes and flushes are refused from now on, if they are.
    fn poisoned(&self) -> Option<&str>;

    /// Make everything durable and end; nothing is in flight any more.
    fn close(&mut self) -> std::io::Result<()>;
}
