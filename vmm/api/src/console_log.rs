//! The format of the console's ring file, for those who read it when the machine no longer runs.
//!
//! A header of [`HEADER_BYTES`], then `capacity` bytes of ring: byte *n* of the serial output lies at *n* modulo `capacity`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Length of the header.
pub const HEADER_BYTES: usize = 64;
/// Largest ring.
pub const MAX_CAPACITY_BYTES: u32 = 16 << 20;
/// First bytes of the file; the last is the format's version.
const MAGIC: [u8; 8] = *b"HIVELOG1";

/// The header: magic, capacity (32 bits at 8), bytes ever written (64 bits at 16), little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub capacity: u32,
    pub written: u64,
}

impl Header {
    /// Where `written` lies in the file.
    pub const WRITTEN_OFFSET: usize = 16;

    /// The header as it lies in the file.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.written.to_le_bytes());
        bytes
    }

    /// The header of a ring file, or None if it is none.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (capacity, rest) = rest.split_first_chunk::<4>()?;
        let written = rest.get(4..)?.first_chunk::<8>()?;
        let header = Self { capacity: u32::from_le_bytes(*capacity), written: u64::from_le_bytes(*written) };
        let valid = *magic == MAGIC && (1..=MAX_CAPACITY_BYTES).contains(&header.capacity);
        valid.then_some(header)
    }
}

/// The newest `max_bytes` of serial output in the ring file at `path`.
///
/// # Errors
/// The file cannot be read, or is no ring file (`InvalidData`).
pub fn read_newest(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    let header = Header::decode(&bytes).ok_or(io::ErrorKind::InvalidData)?;
    let capacity = u64::from(header.capacity);
    let length = header.written.min(capacity).min(max_bytes as u64);
    let start = (header.written - length) % capacity;
    let mut output = vec![0; length as usize];
    let (head, tail) = output.split_at_mut(length.min(capacity - start) as usize);
    file.read_exact_at(head, HEADER_BYTES as u64 + start)?;
    file.read_exact_at(tail, HEADER_BYTES as u64)?;
    Ok(output)
}
