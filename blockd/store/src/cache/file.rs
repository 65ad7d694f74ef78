//! The cache's file: sparse, locked, read and written past the page cache where the file system allows.

use super::CHUNK_BYTES;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// Writes begin and end at multiples of it, whatever the device's sectors.
const WRITE_ALIGN: usize = 4096;
/// What engine threads align their reads to: the guest's sector.
const READ_ALIGN: usize = 512;
/// It holds tenants' data.
const FILE_MODE: u32 = 0o600;

#[derive(Debug)]
pub(super) struct CacheFile {
    file: File,
    is_direct: bool,
}

/// Zeroed memory with a part of `len` bytes aligned to `align`; the part begins at the returned index.
fn aligned(len: usize, align: usize) -> (Vec<u8>, usize) {
    let buffer = vec![0; len + align];
    let skip = buffer.as_ptr().align_offset(align);
    (buffer, skip)
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

/// Whether direct reads of single sectors work here: some file systems refuse them only when asked.
fn takes_direct_reads(file: &File) -> bool {
    let (page, skip) = aligned(WRITE_ALIGN, WRITE_ALIGN);
    let wrote = file.write_all_at(&page[skip..skip + WRITE_ALIGN], 0);
    let (mut sector, skip) = aligned(WRITE_ALIGN, WRITE_ALIGN);
    // Memory is aligned to the sector as well and to no more, like a guest's.
    let memory = &mut sector[skip + READ_ALIGN..skip + 2 * READ_ALIGN];
    wrote.is_ok() && file.read_exact_at(memory, READ_ALIGN as u64).is_ok()
}

impl CacheFile {
    /// Opens the file at its full size, without contents.
    pub(super) fn open(path: &Path, size_bytes: u64) -> io::Result<Self> {
        let file = match open(path, OFlags::DIRECT) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(path, OFlags::empty())?,
            file => file?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("{} is another process's cache", path.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let flags = fcntl_getfl(&file)?;
        let is_direct = flags.contains(OFlags::DIRECT) && takes_direct_reads(&file);
        if !is_direct {
            fcntl_setfl(&file, flags - OFlags::DIRECT)?;
        }
        file.set_len(0)?;
        file.set_len(size_bytes)?;
        Ok(Self { file, is_direct })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// Writes one slot. What follows the chunk up to the next page becomes zeros: a read may be rounded up, and must not find
    /// another tenant's bytes there.
    pub(super) fn write(&self, offset: u64, chunk: &[u8]) -> io::Result<()> {
        let padded = chunk.len().next_multiple_of(WRITE_ALIGN);
        assert!(padded as u64 <= CHUNK_BYTES, "a chunk fits its slot");
        let (mut buffer, skip) = aligned(padded, WRITE_ALIGN);
        buffer[skip..skip + chunk.len()].copy_from_slice(chunk);
        self.file.write_all_at(&buffer[skip..skip + padded], offset)
    }
}
