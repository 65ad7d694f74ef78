//! Reading what a checkpoint describes, outside of any engine: for exports, checks, copies, and single blocks of snapshots.

use crate::backing::{Backing, chunk_key, segment_key};
use crate::engine::AlignedBuffer;
use crate::engine::check::{Guard, Identity};
use crate::engine::format::{
    BLOCK_BYTES, CHECKS_AT, CheckPage, Checkpoint, Place, SEGMENT_BYTES, SavedSegment, checks_per_page, decode_leaf,
};
use crate::engine::log::{CHUNK_BYTES, SegmentName};
use crate::engine::map::{LEAF_BLOCKS, Leaf};
use crate::keys::{KeyError, NodeKey};
use hive_blockd_store::StoreError;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

const CHUNK_BLOCKS: u16 = (CHUNK_BYTES / BLOCK_BYTES as u64) as u16;
/// Leaves and pages of checks kept while one reader goes on; a pass in order needs few.
const MAX_KEPT: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("blocks {first} to {last} of segment {seq} do not match their checks, here or in the store")]
    Damaged { seq: u32, first: u16, last: u16 },
    #[error("leaf {0} of the block map is damaged")]
    Leaf(u32),
    #[error("segment {0} is not known")]
    Unknown(u32),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read the cache")]
    Cache(#[source] std::io::Error),
}

impl ReadError {
    /// Something is lost, and reading it again will not bring it back.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Leaf(_) | Self::Unknown(_) => true,
            // Gone, or shorter than it was.
            Self::Store(error) => {
                matches!(error, StoreError::NotFound { .. } | StoreError::Damaged { .. } | StoreError::Invalid { .. })
            }
            Self::Cache(_) => false,
        }
    }
}

/// See the module's documentation.
#[allow(missing_debug_implementations)]
pub struct Reader {
    checkpoint: Arc<Checkpoint>,
    guards: Vec<Guard>,
    backing: Arc<Backing>,
    /// The volume's log, if what it holds may be read: nothing that the checkpoint needs may be freed meanwhile.
    log: Option<File>,
    leaves: HashMap<u32, Arc<Leaf>>,
    pages: HashMap<(u32, u16), CheckPage>,
}

impl Reader {
    pub fn new(
        checkpoint: Arc<Checkpoint>,
        key: &NodeKey,
        backing: Arc<Backing>,
        log: Option<PathBuf>,
    ) -> Result<Self, KeyError> {
        let guards = crate::volume::guards(key, &checkpoint)?;
        let log = log.and_then(|path| File::open(path).ok());
        Ok(Self { checkpoint, guards, backing, log, leaves: HashMap::new(), pages: HashMap::new() })
    }

    pub fn checkpoint(&self) -> &Arc<Checkpoint> {
        &self.checkpoint
    }

    fn segment(&self, seq: u32) -> Result<SavedSegment, ReadError> {
        let segments = &self.checkpoint.segments;
        let found = segments.binary_search_by_key(&seq, |s| s.id.seq).map_err(|_| ReadError::Unknown(seq))?;
        Ok(segments[found])
    }

    /// The segment's name, which tells equal places of different lineages apart.
    pub fn name(&self, seq: u32) -> Result<SegmentName, ReadError> {
        let segment = self.segment(seq)?;
        let owner = self.checkpoint.owners.get(usize::from(segment.owner)).ok_or(ReadError::Unknown(seq))?;
        Ok(SegmentName { owner: owner.volume, id: segment.id })
    }

    /// Blocks as they are stored, from the log or from the store.
    async fn stored(&self, place: Place, blocks: u16, from_store: bool) -> Result<AlignedBuffer, ReadError> {
        use std::os::unix::fs::FileExt;
        let segment = self.segment(place.seq)?;
        let mut buffer = AlignedBuffer::new(usize::from(blocks) * BLOCK_BYTES);
        if let (Some(log), Some(slot), false) = (&self.log, segment.slot, from_store) {
            let offset = u64::from(slot) * SEGMENT_BYTES + u64::from(place.block) * BLOCK_BYTES as u64;
            // What cannot be read here may be there.
            if log.read_exact_at(buffer.as_mut_slice(), offset).is_ok() {
                return Ok(buffer);
            }
        }
        let name = self.name(place.seq)?;
        let (key, len) = (segment_key(name), u64::from(segment.end) * BLOCK_BYTES as u64);
        let mut done = 0u16;
        while done < blocks {
            let block = place.block + done;
            let part = (blocks - done).min(CHUNK_BLOCKS - block % CHUNK_BLOCKS);
            let chunk = chunk_key(name, u32::from(block / CHUNK_BLOCKS));
            let backing = &self.backing;
            let slot = backing.patiently(&key, || backing.cache.fetch(&backing.store, &key, len, chunk)).await?;
            let offset = slot.offset() + u64::from(block % CHUNK_BLOCKS) * BLOCK_BYTES as u64;
            let bytes =
                &mut buffer.as_mut_slice()[usize::from(done) * BLOCK_BYTES..][..usize::from(part) * BLOCK_BYTES];
            let fd = backing.cache.fd();
            let mut got = 0;
            while got < bytes.len() {
                let n = rustix::io::pread(fd.as_fd(), &mut bytes[got..], offset + got as u64);
                match n.map_err(|e| ReadError::Cache(e.into()))? {
                    0 => return Err(ReadError::Cache(std::io::ErrorKind::UnexpectedEof.into())),
                    n => got += n,
                }
            }
            done += part;
        }
        Ok(buffer)
    }

    async fn page(&mut self, segment: &SavedSegment, number: u16, from_store: bool) -> Result<&CheckPage, ReadError> {
        let key = (segment.id.seq, number);
        if from_store || !self.pages.contains_key(&key) {
            let place = Place { seq: segment.id.seq, block: CHECKS_AT + number };
            let bytes = self.stored(place, 1, from_store).await?;
            let page = CheckPage::decode(bytes.as_slice(), segment.id.seq, number, segment.sealed);
            let damaged = ReadError::Damaged { seq: place.seq, first: place.block, last: place.block };
            if self.pages.len() >= MAX_KEPT {
                self.pages.clear();
            }
            self.pages.insert(key, page.ok_or(damaged)?);
        }
        self.pages.get(&key).ok_or(ReadError::Unknown(segment.id.seq))
    }

    async fn verified_once(
        &mut self,
        place: Place,
        blocks: u16,
        identity: &(dyn Fn(u16) -> Identity + Sync),
        from_store: bool,
    ) -> Result<AlignedBuffer, ReadError> {
        let segment = self.segment(place.seq)?;
        let mut buffer = self.stored(place, blocks, from_store).await?;
        let per_page = checks_per_page(segment.sealed);
        for i in 0..blocks {
            let position = place.block + i;
            let check = self.page(&segment, position / per_page, from_store).await?.get(position % per_page);
            let block = &mut buffer.as_mut_slice()[usize::from(i) * BLOCK_BYTES..][..BLOCK_BYTES];
            let guard = &self.guards[usize::from(segment.owner)];
            let intact = check.is_some_and(|check| guard.verify(segment.id, position, identity(i), check, block));
            if !intact {
                return Err(ReadError::Damaged { seq: place.seq, first: place.block, last: place.block + blocks - 1 });
            }
        }
        Ok(buffer)
    }

    /// Blocks as they were written. What is damaged here is taken from the store.
    async fn verified(
        &mut self,
        place: Place,
        blocks: u16,
        identity: &(dyn Fn(u16) -> Identity + Sync),
    ) -> Result<AlignedBuffer, ReadError> {
        match self.verified_once(place, blocks, identity, false).await {
            Err(ReadError::Damaged { .. }) => {}
            result => return result,
        }
        self.pages.clear();
        let name = self.name(place.seq)?;
        let mut chunks: Vec<u16> = (place.block / CHUNK_BLOCKS..=(place.block + blocks - 1) / CHUNK_BLOCKS).collect();
        chunks.push(0);
        for chunk in chunks {
            self.backing.cache.invalidate(chunk_key(name, u32::from(chunk)));
        }
        match self.verified_once(place, blocks, identity, true).await {
            // Nobody has it whole: that is what counts, not how the store puts it.
            Err(ReadError::Store(_)) if self.segment(place.seq)?.slot.is_some() => {
                Err(ReadError::Damaged { seq: place.seq, first: place.block, last: place.block + blocks - 1 })
            }
            result => result,
        }
    }

    pub async fn leaf(&mut self, index: u32) -> Result<Option<Arc<Leaf>>, ReadError> {
        if let Some(leaf) = self.leaves.get(&index) {
            return Ok(Some(leaf.clone()));
        }
        let Ok(found) = self.checkpoint.homes.binary_search_by_key(&index, |(leaf, _)| *leaf) else { return Ok(None) };
        let home = self.checkpoint.homes[found].1;
        let bytes = self.verified(home.place, u16::from(home.blocks), &|_| Identity::Leaf { index }).await?;
        let leaf = Arc::new(decode_leaf(index, bytes.as_slice()).ok_or(ReadError::Leaf(index))?);
        if self.leaves.len() >= MAX_KEPT {
            self.leaves.clear();
        }
        self.leaves.insert(index, leaf.clone());
        Ok(Some(leaf))
    }

    /// Leaves there are, in order.
    pub fn leaves(&self) -> Vec<u32> {
        self.checkpoint.homes.iter().map(|(index, _)| *index).collect()
    }

    /// `blocks` from `lba` on; zeros where nothing lies.
    pub async fn read(&mut self, lba: u32, blocks: u32) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; blocks as usize * BLOCK_BYTES];
        let mut done = 0;
        while done < blocks {
            let at = lba + done;
            let (index, within) = (at / LEAF_BLOCKS, at % LEAF_BLOCKS);
            let rest = (blocks - done).min(LEAF_BLOCKS - within);
            let (len, place) = match self.leaf(index).await? {
                Some(leaf) => leaf.find(within as u16),
                None => (rest, None),
            };
            let len = len.min(rest);
            if let Some(place) = place {
                let read = self.verified(place, len as u16, &|i| Identity::Data { lba: at + u32::from(i) }).await?;
                bytes[done as usize * BLOCK_BYTES..][..len as usize * BLOCK_BYTES].copy_from_slice(read.as_slice());
            }
            done += len;
        }
        Ok(bytes)
    }
}
