//! Which blocks of a sparse file hold data.

use hive_blockd_api::BLOCK_SIZE_BYTES;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;

/// The ranges of `file` that the file system calls data, in bytes, in order, up to its end.
pub fn data_ranges(file: &File) -> io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    loop {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(ranges),
            Err(e) => return Err(e.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?;
        ranges.push(start..end);
        at = end;
    }
}

/// A set of 4 KiB blocks, one bit each: 32 MiB for a TiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMap {
    words: Vec<u64>,
}

impl BlockMap {
    /// The blocks of `file` that hold data, of its first `size_bytes` bytes.
    pub fn of_file(file: &File, size_bytes: u64) -> io::Result<Self> {
        let blocks = size_bytes.div_ceil(BLOCK_SIZE_BYTES);
        let mut map = Self { words: vec![0; usize::try_from(blocks.div_ceil(64)).map_err(io::Error::other)?] };
        for range in data_ranges(file)? {
            map.insert(range.start / BLOCK_SIZE_BYTES..range.end.min(size_bytes).div_ceil(BLOCK_SIZE_BYTES));
        }
        Ok(map)
    }

    /// Whether `block` is in the set; blocks beyond the end are not.
    pub fn contains(&self, block: u64) -> bool {
        self.words.get((block / 64) as usize).is_some_and(|word| word >> (block % 64) & 1 != 0)
    }

    /// Add blocks; those beyond the end are left out.
    pub fn insert(&mut self, blocks: Range<u64>) {
        for block in blocks {
            let Some(word) = self.words.get_mut((block / 64) as usize) else { return };
            *word |= 1 << (block % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn data_and_holes_are_told_apart() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(data_ranges(&file).unwrap(), []);
        file.write_all_at(&[1; 4096], 8192).unwrap();
        file.write_all_at(&[1; 1], 65 * 4096 + 17).unwrap();
        let map = BlockMap::of_file(&file, 1 << 20).unwrap();
        let data: Vec<u64> = (0..300).filter(|&b| map.contains(b)).collect();
        assert_eq!(data, [2, 65]);
    }

    #[test]
    fn blocks_beyond_the_end_are_ignored() {
        let file = tempfile::tempfile().unwrap();
        let mut map = BlockMap::of_file(&file, 4096).unwrap();
        map.insert(0..1000);
        assert!(map.contains(0) && !map.contains(999));
    }
}
