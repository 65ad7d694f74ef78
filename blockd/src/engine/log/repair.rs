//! Writing damaged blocks of a complete segment over, from a copy of them that is whole. The engine does it because it alone knows that
//! the segment still lies where it did.

use super::{Background, Kind, LogEngine, sync, tag};
use crate::engine::check::SegmentId;
use crate::engine::format::{BLOCK_BYTES, CHECK_PAGES, FRONT_BLOCKS};
use crate::engine::{AlignedBuffer, Io};
use std::sync::mpsc::Sender;

/// Most blocks of one repair: bounds its memory, and how long a guest's requests wait behind it.
pub const MAX_REPAIR_BLOCKS: usize = 64;

/// Blocks of a segment as they are stored, by their position.
#[derive(Debug)]
pub struct Repair {
    pub segment: SegmentId,
    pub blocks: Vec<(u16, Vec<u8>)>,
    /// Told whether all of them are written. Dropped untold: nothing is known.
    pub done: Sender<bool>,
}

/// A repair that the disk works on.
pub(super) struct Repairing {
    repair: Repair,
    buffers: Vec<(AlignedBuffer, Box<libc::iovec>)>,
    left: usize,
    ok: bool,
}

impl<B: Background> LogEngine<B> {
    /// Its place must not be used for anything else meanwhile.
    pub(super) fn is_under_repair(&self, seq: u32) -> bool {
        self.repairing.as_ref().is_some_and(|repairing| repairing.repair.segment.seq == seq)
    }

    /// Begin with it, unless it is not what lies there, or recovery might still read it.
    pub(super) fn repair(&mut self, repair: Repair, io: &mut Io<'_>) {
        let id = repair.segment;
        let segment = self.segments.get(id.seq).filter(|s| s.id == id && s.owner == 0 && s.complete);
        let slot = segment.and_then(|segment| segment.slot);
        let end = segment.map_or(0, |segment| segment.end);
        let fits = |(block, bytes): &(u16, Vec<u8>)| *block < end && bytes.len() == BLOCK_BYTES;
        let all_fit = repair.blocks.len() <= MAX_REPAIR_BLOCKS && repair.blocks.iter().all(fits);
        let is_settled = id.seq < self.checkpoint.tail.place.seq;
        let (Some(slot), None, None, true) = (slot, &self.repairing, &self.poisoned, all_fit && is_settled) else {
            // Whoever asked may be gone.
            let _ = repair.done.send(false);
            return;
        };
        let mut buffers = Vec::new();
        for (_, bytes) in &repair.blocks {
            let mut buffer = AlignedBuffer::new(BLOCK_BYTES);
            buffer.as_mut_slice().copy_from_slice(bytes);
            let iov_base = buffer.as_mut_slice().as_mut_ptr().cast();
            buffers.push((buffer, Box::new(libc::iovec { iov_base, iov_len: BLOCK_BYTES })));
        }
        if repair.blocks.iter().any(|(block, _)| *block < FRONT_BLOCKS) {
            (0..CHECK_PAGES).for_each(|page| self.check_cache.forget((id.seq, page)));
        }
        let positions: Vec<u16> = repair.blocks.iter().map(|(block, _)| *block).collect();
        let addresses: Vec<*const libc::iovec> = buffers.iter().map(|(_, iovec)| &raw const **iovec).collect();
        // One more, so that it does not end before all have begun.
        self.repairing = Some(Repairing { repair, buffers, left: positions.len() + 1, ok: true });
        let file = self.file_id();
        for (block, iovec) in positions.into_iter().zip(addresses) {
            self.in_kernel += 1;
            // SAFETY: buffers and iovecs, each in an allocation of its own, stay in `repairing`, unchanged, until all these writes have
            // ended.
            unsafe { io.disk.writev(file, iovec, 1, Self::offset_in_slot(slot, block), tag(Kind::Repair, 0)) }
        }
        self.repair_ended(BLOCK_BYTES as i32, io);
    }

    pub(super) fn repair_ended(&mut self, result: i32, io: &mut Io<'_>) {
        let Some(repairing) = &mut self.repairing else { return };
        repairing.ok &= result == BLOCK_BYTES as i32;
        repairing.left -= 1;
        if repairing.left > 0 {
            return;
        }
        let Some(Repairing { repair, buffers, ok, .. }) = self.repairing.take() else { return };
        drop(buffers);
        self.sync.unsynced = true;
        self.sync_for(sync::Waiter::Routine, io);
        let _ = repair.done.send(ok);
    }
}
