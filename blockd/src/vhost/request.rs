//! From a descriptor chain to a checked virtio-blk request (virtio 1.3, sections 2.7 and 5.2.6).
//!
//! What breaks the ring's own rules is [`Malformed`] and stops the device. What is merely a request we cannot do is answered
//! with a status. Headers may be split over descriptors in any way ("any layout").

use super::ring::{Descriptor, Ring};
use crate::memory::{GuestBuffers, GuestMemory};

pub const SECTOR_BYTES: u64 = 512;
/// `VIRTIO_BLK_ID_BYTES`.
pub const SERIAL_BYTES: usize = 20;
/// Longest data of one request; far above what drivers send (Linux: 1280 KiB), it bounds what one can make us set aside.
pub const MAX_REQUEST_BYTES: u64 = 32 << 20;
/// Longest range of one discard or write-zeroes; bounds how long one request can occupy the disk.
pub const MAX_ZERO_SECTORS: u32 = 1 << 21;

const REQUEST_HEADER_BYTES: usize = 16;
const ZERO_SEGMENT_BYTES: usize = 16;

/// `VIRTIO_BLK_S_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Ok = 0,
    IoError = 1,
    Unsupported = 2,
}

/// How a driver broke the ring; the device stops with this as its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the ring's parts are misaligned or outside of guest memory")]
    Ring,
    #[error("more requests are available than the queue has entries")]
    AvailableIndex,
    #[error("descriptor index {0} is beyond the table")]
    DescriptorIndex(u16),
    #[error("request {0} was made available again before it was answered")]
    Reused(u16),
    #[error("a descriptor chain loops or is longer than the queue")]
    ChainTooLong,
    #[error("a buffer of {len} bytes at {address:#x} is outside of guest memory, or in too many pieces")]
    Address { address: u64, len: u32 },
    #[error("an indirect table of {0} bytes")]
    IndirectLength(u32),
    #[error("an indirect descriptor where none is allowed")]
    Indirect,
    #[error("a buffer for the device to read follows one for it to write")]
    Order,
    #[error("a request of {readable} readable and {writable} writable bytes has no room for header and status")]
    TooShort { readable: u64, writable: u64 },
}

/// A chain as two byte strings, without regard to how they are cut into descriptors.
#[derive(Debug, Default)]
struct Chain {
    readable: GuestBuffers,
    writable: GuestBuffers,
}

impl Chain {
    fn walk(ring: &Ring, memory: &GuestMemory, head: u16, allow_indirect: bool) -> Result<Self, Malformed> {
        let mut chain = Self::default();
        let mut index = head;
        for _ in 0..ring.size() {
            let descriptor = ring.descriptor(index).ok_or(Malformed::DescriptorIndex(index))?;
            if descriptor.flags & Descriptor::INDIRECT != 0 {
                if !allow_indirect || descriptor.flags & Descriptor::NEXT != 0 {
                    return Err(Malformed::Indirect);
                }
                chain.walk_table(ring, memory, descriptor)?;
                return Ok(chain);
            }
            chain.add(memory, descriptor)?;
            if descriptor.flags & Descriptor::NEXT == 0 {
                return Ok(chain);
            }
            index = descriptor.next;
        }
        Err(Malformed::ChainTooLong)
    }

    fn walk_table(&mut self, ring: &Ring, memory: &GuestMemory, table: Descriptor) -> Result<(), Malformed> {
        let entries = u64::from(table.len) / Descriptor::BYTES;
        if entries == 0 || entries > u64::from(ring.size()) || !u64::from(table.len).is_multiple_of(Descriptor::BYTES) {
            return Err(Malformed::IndirectLength(table.len));
        }
        let mut bytes = GuestBuffers::default();
        if !memory.append(table.address, u64::from(table.len), &mut bytes) {
            return Err(Malformed::Address { address: table.address, len: table.len });
        }
        let mut index = 0u16;
        for _ in 0..entries {
            if u64::from(index) >= entries {
                return Err(Malformed::DescriptorIndex(index));
            }
            let mut entry = [0; Descriptor::BYTES as usize];
            bytes.read_at(u64::from(index) * Descriptor::BYTES, &mut entry);
            let descriptor = Descriptor::decode(entry);
            if descriptor.flags & Descriptor::INDIRECT != 0 {
                return Err(Malformed::Indirect);
            }
            self.add(memory, descriptor)?;
            if descriptor.flags & Descriptor::NEXT == 0 {
                return Ok(());
            }
            index = descriptor.next;
        }
        Err(Malformed::ChainTooLong)
    }

    fn add(&mut self, memory: &GuestMemory, descriptor: Descriptor) -> Result<(), Malformed> {
        let buffers = if descriptor.flags & Descriptor::WRITE != 0 {
            &mut self.writable
        } else if self.writable.is_empty() {
            &mut self.readable
        } else {
            return Err(Malformed::Order);
        };
        if memory.append(descriptor.address, u64::from(descriptor.len), buffers) {
            Ok(())
        } else {
            Err(Malformed::Address { address: descriptor.address, len: descriptor.len })
        }
    }
}

/// What the request asks for, in bytes of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read {
        offset: u64,
    },
    Write {
        offset: u64,
    },
    Flush,
    /// Afterwards the range reads zeros. `unmap`: its space may be given back.
    Zero {
        offset: u64,
        len: u64,
        unmap: bool,
    },
    GetId,
    /// Cannot or may not be done: answered with this status at once.
    Refused(Status),
}

/// A checked request.
#[derive(Debug)]
pub struct Request {
    pub operation: Operation,
    /// Read: where the data goes. Write: where it comes from. Get-id: where the serial goes.
    pub data: GuestBuffers,
    /// One byte for the [`Status`].
    status: GuestBuffers,
}

impl Request {
    /// Write the status where the driver looks for it.
    pub fn set_status(&self, status: Status) {
        self.status.write_at(0, &[status as u8]);
    }
}

/// What the device can do, to check requests against.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub size_bytes: u64,
    pub read_only: bool,
    pub allow_indirect: bool,
}

/// Read and check the request whose chain begins at `head`.
pub fn parse(ring: &Ring, memory: &GuestMemory, head: u16, limits: Limits) -> Result<Request, Malformed> {
    let Chain { mut readable, writable: mut data_in } = Chain::walk(ring, memory, head, limits.allow_indirect)?;
    if readable.len() < REQUEST_HEADER_BYTES as u64 || data_in.is_empty() {
        return Err(Malformed::TooShort { readable: readable.len(), writable: data_in.len() });
    }
    let mut header = [0; REQUEST_HEADER_BYTES];
    readable.read_at(0, &mut header);
    let data_out = readable.split_off(REQUEST_HEADER_BYTES as u64);

    // The status is the very last byte, wherever that lies.
    let status = data_in.split_off(data_in.len() - 1);

    let kind = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let sector = u64::from_le_bytes(std::array::from_fn(|i| header[8 + i]));
    let (operation, data) = match kind {
        0 => (transfer(sector, data_in.len(), limits, |offset| Operation::Read { offset }), data_in),
        1 if limits.read_only => (Operation::Refused(Status::IoError), data_out),
        1 => (transfer(sector, data_out.len(), limits, |offset| Operation::Write { offset }), data_out),
        4 => (Operation::Flush, data_out),
        8 => (Operation::GetId, data_in),
        11 | 13 if limits.read_only => (Operation::Refused(Status::IoError), data_out),
        11 | 13 => (zero(kind == 11, &data_out, limits), data_out),
        _ => (Operation::Refused(Status::Unsupported), data_out),
    };
    Ok(Request { operation, data, status })
}

/// The byte offset of `sector`, if `len` bytes from there lie within the volume.
fn checked_offset(sector: u64, len: u64, limits: Limits) -> Option<u64> {
    let offset = sector.checked_mul(SECTOR_BYTES)?;
    (offset.checked_add(len)? <= limits.size_bytes).then_some(offset)
}

fn transfer(sector: u64, len: u64, limits: Limits, operation: impl FnOnce(u64) -> Operation) -> Operation {
    match checked_offset(sector, len, limits) {
        Some(offset) if len.is_multiple_of(SECTOR_BYTES) && len <= MAX_REQUEST_BYTES => operation(offset),
        _ => Operation::Refused(Status::IoError),
    }
}

/// `struct virtio_blk_discard_write_zeroes`: sector u64, num_sectors u32, flags u32 of which bit 0 is `unmap`.
fn zero(is_discard: bool, data: &GuestBuffers, limits: Limits) -> Operation {
    let mut segment = [0; ZERO_SEGMENT_BYTES];
    // The configuration space offers one segment a request.
    if data.len() != ZERO_SEGMENT_BYTES as u64 || data.read_at(0, &mut segment) != ZERO_SEGMENT_BYTES {
        return Operation::Refused(Status::IoError);
    }
    let sector = u64::from_le_bytes(std::array::from_fn(|i| segment[i]));
    let sectors = u32::from_le_bytes(std::array::from_fn(|i| segment[8 + i]));
    let flags = u32::from_le_bytes(std::array::from_fn(|i| segment[12 + i]));
    // Section 5.2.6.2: unknown flags, and unmap on a discard, are unsupported.
    if flags & !1 != 0 || (is_discard && flags != 0) {
        return Operation::Refused(Status::Unsupported);
    }
    let len = u64::from(sectors) * SECTOR_BYTES;
    match checked_offset(sector, len, limits) {
        Some(offset) if sectors <= MAX_ZERO_SECTORS => Operation::Zero { offset, len, unmap: is_discard || flags == 1 },
        _ => Operation::Refused(Status::IoError),
    }
}
