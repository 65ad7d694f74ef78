//! Which blocks of a started snapshot were written, and their digests: what `CompleteSnapshot` compares with what its caller says.
//! One file a snapshot, a record appended for each block that blockd has taken; the last record of a block counts.

use hive_types::id::SnapshotId;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

type BlockDigest = [u8; 32];
const INDEX_BYTES: usize = 4;
const RECORD_BYTES: usize = INDEX_BYTES + 32;

#[derive(Clone, Debug)]
pub struct Written {
    directory: PathBuf,
}

/// What was written of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub blocks: u64,
    /// EBS's aggregation `LINEAR`: the digest of the blocks' digests in the order of their indexes.
    pub digest: BlockDigest,
}

impl Written {
    /// # Errors
    /// The directory cannot be made.
    pub fn open(state_dir: &std::path::Path) -> io::Result<Self> {
        let directory = state_dir.join("written-blocks");
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    fn path(&self, id: &SnapshotId) -> PathBuf {
        self.directory.join(id.as_str())
    }

    /// Appends one record in one write, and forces it out: the caller has blockd's word for the block, and so must this.
    pub fn note(&self, id: &SnapshotId, block_index: u32, digest: &BlockDigest) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(id))?;
        let mut record = [0; RECORD_BYTES];
        let (index, rest) = record.split_at_mut(INDEX_BYTES);
        index.copy_from_slice(&block_index.to_le_bytes());
        rest.copy_from_slice(digest);
        file.write_all(&record)?;
        file.sync_data()
    }

    pub fn summary(&self, id: &SnapshotId) -> io::Result<Summary> {
        let mut blocks: BTreeMap<u32, BlockDigest> = BTreeMap::new();
        match File::open(self.path(id)) {
            Ok(file) => {
                let mut file = BufReader::new(file);
                let mut record = [0; RECORD_BYTES];
                // A record that a crash cut off was never answered for.
                while read_whole(&mut file, &mut record)? {
                    let (index, rest) = record.split_at(INDEX_BYTES);
                    let index = u32::from_le_bytes(index.try_into().map_err(io::Error::other)?);
                    blocks.insert(index, rest.try_into().map_err(io::Error::other)?);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut digest = Sha256::new();
        blocks.values().for_each(|block| digest.update(block));
        Ok(Summary { blocks: blocks.len() as u64, digest: digest.finalize().into() })
    }

    /// Since the last block was written; None when none was.
    pub fn idle(&self, id: &SnapshotId) -> Option<Duration> {
        let modified = std::fs::metadata(self.path(id)).and_then(|metadata| metadata.modified()).ok()?;
        // A clock that was set back counts as no time.
        Some(modified.elapsed().unwrap_or_default())
    }

    pub fn forget(&self, id: &SnapshotId) {
        match std::fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(snapshot = %id, %error, "cannot remove the list of written blocks");
            }
            _ => {}
        }
    }
}

/// False at the end of the file, also within a record.
fn read_whole(file: &mut impl Read, record: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(record) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_of_a_block_counts_and_order_is_by_index() {
        let directory = tempfile::tempdir().expect("a directory");
        let written = Written::open(directory.path()).expect("opened");
        let id = SnapshotId::from_random(1);
        assert_eq!(written.summary(&id).expect("empty").blocks, 0);
        assert_eq!(written.idle(&id), None);
        let digest = |letter: u8| -> BlockDigest { Sha256::digest([letter]).into() };
        for (index, letter) in [(9, b'x'), (2, b'b'), (9, b'c'), (0, b'a')] {
            written.note(&id, index, &digest(letter)).expect("noted");
        }
        // A record that a crash cut off.
        let mut file = OpenOptions::new().append(true).open(written.path(&id)).expect("opened");
        file.write_all(&[1, 2, 3]).expect("written");
        let expected = Sha256::digest([digest(b'a'), digest(b'b'), digest(b'c')].concat());
        assert_eq!(written.summary(&id).expect("a summary"), Summary { blocks: 3, digest: expected.into() });
        assert!(written.idle(&id).is_some());
        written.forget(&id);
        written.forget(&id);
        assert_eq!(written.summary(&id).expect("empty").blocks, 0);
    }
}
