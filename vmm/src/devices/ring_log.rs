//! The console's ring file: the newest bytes of serial output, kept by a shared mapping so that they survive the process.

use crate::error::{Error, Result};
use crate::lock;
use hive_vmm_api::console_log::{HEADER_BYTES, Header};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

/// A ring file, open and mapped.
#[derive(Debug)]
pub struct RingLog {
    map: MmapRegion,
    capacity: usize,
    /// Bytes ever written.
    written: Mutex<u64>,
}

impl RingLog {
    /// Open the ring at `path`, going on where it ended if it is one of this capacity, else begin a new one.
    pub fn open(path: &Path, capacity_bytes: u32) -> Result<Self> {
        let fail = || Error::io(format!("open console log {}", path.display()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(fail())?;
        let capacity = capacity_bytes as usize;
        let size = HEADER_BYTES + capacity;
        let written = existing_header(&file, capacity_bytes).map_or(0, |header| header.written);
        if written == 0 {
            file.set_len(0).map_err(fail())?;
            file.set_len(size as u64).map_err(fail())?;
            (&file).write_all(&Header { capacity: capacity_bytes, written }.encode()).map_err(fail())?;
        }
        let map = MmapRegion::from_file(FileOffset::new(file, 0), size)
            .map_err(|e| Error::io(format!("map console log {}", path.display()))(std::io::Error::other(e)))?;
        Ok(Self { map, capacity, written: Mutex::new(written) })
    }

    /// Add output, over the oldest.
    pub fn append(&self, bytes: &[u8]) {
        let mut written = lock(&self.written);
        let map = self.map.as_volatile_slice();
        for byte in bytes {
            // In bounds: the position is below the capacity, and the mapping holds header and capacity.
            let position = (*written % self.capacity as u64) as usize;
            let _ = map.write_obj(*byte, HEADER_BYTES + position);
            *written += 1;
        }
        let _ = map.write_obj(written.to_le(), Header::WRITTEN_OFFSET);
    }

    /// Bytes ever written: the position behind the newest one.
    pub fn end(&self) -> u64 {
        *lock(&self.written)
    }

    /// At most `max_bytes` of output from stream position `from` on, and the position they really begin at: what is older than
    /// the ring is gone.
    pub fn read_from(&self, from: u64, max_bytes: usize) -> (u64, Vec<u8>) {
        let written = lock(&self.written);
        let oldest = written.saturating_sub(self.capacity as u64);
        let start = from.clamp(oldest, *written);
        let length = usize::try_from(*written - start).unwrap_or(usize::MAX).min(max_bytes);
        let mut bytes = vec![0; length];
        let position = (start % self.capacity as u64) as usize;
        let (head, tail) = bytes.split_at_mut(length.min(self.capacity - position));
        let map = self.map.as_volatile_slice();
        // In bounds: neither part reaches beyond the capacity.
        let _ = map.read_slice(head, HEADER_BYTES + position);
        let _ = map.read_slice(tail, HEADER_BYTES);
        (start, bytes)
    }

    /// The newest `max_bytes` of output.
    pub fn newest(&self, max_bytes: usize) -> Vec<u8> {
        self.read_from(self.end().saturating_sub(max_bytes as u64), max_bytes).1
    }
}

/// The header of a ring of this capacity, if the file is one and whole.
fn existing_header(file: &File, capacity: u32) -> Option<Header> {
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let header = Header::decode(&bytes)?;
    let whole = file.metadata().ok()?.len() == HEADER_BYTES as u64 + u64::from(capacity);
    (whole && header.capacity == capacity).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_vmm_api::console_log::read_newest;

    #[test]
    fn keeps_the_newest_bytes_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        let log = RingLog::open(&path, 16).unwrap();
        assert_eq!(log.newest(100), b"");
        log.append(b"0123456789");
        assert_eq!(log.newest(4), b"6789");
        log.append(b"abcdefghij");
        assert_eq!(log.newest(100), b"456789abcdefghij");
        assert_eq!(log.read_from(0, 3), (4, b"456".to_vec()));
        assert_eq!(log.read_from(18, 100), (18, b"ij".to_vec()));
        assert_eq!(log.read_from(99, 100), (20, vec![]));
        assert_eq!(read_newest(&path, 5).unwrap(), b"fghij");
        assert_eq!(read_newest(&path, 500).unwrap(), b"456789abcdefghij");
    }

    #[test]
    fn goes_on_after_a_reopen_and_begins_anew_when_it_cannot() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        RingLog::open(&path, 64).unwrap().append(b"first ");
        let log = RingLog::open(&path, 64).unwrap();
        log.append(b"second");
        assert_eq!(log.newest(64), b"first second");
        assert_eq!(RingLog::open(&path, 32).unwrap().newest(64), b"");
        std::fs::write(&path, b"no ring").unwrap();
        assert_eq!(RingLog::open(&path, 32).unwrap().newest(64), b"");
        assert!(read_newest(directory.path().join("absent").as_path(), 1).is_err());
    }
}
