//! Where the bytes of a kernel come from: a file, read straight into guest memory, or a buffer the VMM unpacked.

use crate::error::{Error, Result};
use crate::memory::GuestRam;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use vm_memory::{Bytes, GuestAddress};

/// Bytes of a boot image. Errors are the reason alone; the caller knows the file.
pub trait Image {
    fn len(&self) -> u64;
    /// Fill `buffer` from `offset`; too short an image is an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::result::Result<(), String>;
    /// Copy `length` bytes from `offset` to guest memory.
    fn load(&self, offset: u64, length: u64, ram: &GuestRam, target: u64) -> std::result::Result<(), String>;
}

/// An image in a file.
#[derive(Debug)]
pub struct FileImage {
    file: File,
    length: u64,
}

impl FileImage {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(format!("open {}", path.display())))?;
        let length = file.metadata().map_err(Error::io(format!("read size of {}", path.display())))?.len();
        Ok(Self { file, length })
    }
}

impl Image for FileImage {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::result::Result<(), String> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|e| format!("read {} bytes at offset {offset:#x}: {e}", buffer.len()))
    }

    fn load(&self, offset: u64, length: u64, ram: &GuestRam, target: u64) -> std::result::Result<(), String> {
        let fail = |e: &dyn std::fmt::Display| format!("load {length:#x} bytes from offset {offset:#x}: {e}");
        let count = usize::try_from(length).map_err(|e| fail(&e))?;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset)).map_err(|e| fail(&e))?;
        ram.read_exact_volatile_from(GuestAddress(target), &mut file, count).map_err(|e| fail(&e))
    }
}

/// An image in memory.
impl Image for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::result::Result<(), String> {
        buffer.copy_from_slice(part(self, offset, buffer.len() as u64)?);
        Ok(())
    }

    fn load(&self, offset: u64, length: u64, ram: &GuestRam, target: u64) -> std::result::Result<(), String> {
        ram.write_slice(part(self, offset, length)?, GuestAddress(target)).map_err(|e| e.to_string())
    }
}

fn part(bytes: &[u8], offset: u64, length: u64) -> std::result::Result<&[u8], String> {
    let range = || -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(offset).ok()?;
        Some(start..start.checked_add(usize::try_from(length).ok()?)?)
    };
    range()
        .and_then(|range| bytes.get(range))
        .ok_or_else(|| format!("{length:#x} bytes at offset {offset:#x} are beyond the end"))
}
