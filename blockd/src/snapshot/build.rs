//! Writing a snapshot straight to the store: imports, copies, and snapshots put block by block.

use crate::backing::{Backing, Holder, segment_key};
use crate::engine::check::{Guard, Identity, SegmentId};
use crate::engine::format::{
    BLOCK_BYTES, Checkpoint, Contents, Extent, ExtentKind, FRONT_BLOCKS, GroupHeader, Home, INDEX_AT, INDEX_BLOCKS,
    Index, MAX_GROUP_BLOCKS, Owner, Place, SEGMENT_BLOCKS, SavedSegment, SegmentHeader, Tail, VolumeUid, Witness,
    WrappedKey, encode_leaf,
};
use crate::engine::format::{EXTENT_BYTES, MAX_EXTENT_BYTES_OF_HEADER};
use crate::engine::log::{SegmentName, add_to_index};
use crate::engine::map::{LEAF_BLOCKS, Leaf};
use bytes::Bytes;
use hive_blockd_store::StoreError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Builds one snapshot, as an owner of segments of its own.
#[allow(missing_debug_implementations)]
pub struct Builder {
    backing: Arc<Backing>,
    uid: VolumeUid,
    holder: Holder,
    guard: Guard,
    owner: Owner,
    /// What it is built on.
    base: Option<Arc<Checkpoint>>,
    first_seq: u32,
    segments: Vec<SavedSegment>,
    current: Option<Current>,
    leaves: BTreeMap<u32, Leaf>,
    /// Blocks that segments of the base lost.
    displaced: BTreeMap<u32, u32>,
    /// Segments that an earlier builder of the very same brought to the store, and their blocks: what is put into them is put there
    /// already.
    stored: BTreeMap<SegmentId, u64>,
    /// Those were of the size that they had to be of, so far.
    is_same: bool,
}

/// The segment being filled.
struct Current {
    id: SegmentId,
    bytes: Vec<u8>,
    index: Index,
    extents: Vec<Extent>,
    identities: Vec<Identity>,
    /// First block of the group being gathered.
    group_at: u16,
    live: u16,
    /// It is in the store already: only where its blocks lie matters.
    is_stored: bool,
}

impl Current {
    fn new(uid: VolumeUid, id: SegmentId, sealed: bool, is_stored: bool) -> Self {
        let bytes = vec![0; usize::from(FRONT_BLOCKS + 1) * BLOCK_BYTES];
        let index = Index::new(uid, id, sealed);
        Self {
            id,
            bytes,
            index,
            extents: Vec::new(),
            identities: Vec::new(),
            group_at: FRONT_BLOCKS,
            live: 0,
            is_stored,
        }
    }

    /// Where the next block would lie.
    fn next(&self) -> u16 {
        self.group_at + 1 + self.identities.len() as u16
    }

    fn group_has_room(&self, blocks: usize, check_bytes: usize) -> bool {
        let count = self.identities.len() + blocks;
        let used = (self.extents.len() + 1) * EXTENT_BYTES + count * check_bytes;
        count <= MAX_GROUP_BLOCKS && used <= MAX_EXTENT_BYTES_OF_HEADER
    }

    fn has_room(&self, blocks: usize) -> bool {
        // One more group header may be needed.
        usize::from(self.next()) + blocks < usize::from(SEGMENT_BLOCKS)
    }

    fn push(&mut self, identity: Identity, block: &[u8]) -> u16 {
        let at = self.next();
        let (kind, start) = match identity {
            Identity::Data { lba } => (ExtentKind::Data, lba),
            Identity::Leaf { index } => (ExtentKind::Leaf, index),
        };
        let goes_on = |last: &Extent| {
            last.kind == kind
                && if kind == ExtentKind::Data { last.start + last.blocks == start } else { last.start == start }
        };
        match self.extents.last_mut() {
            Some(last) if goes_on(last) => last.blocks += 1,
            _ => self.extents.push(Extent { kind, start, blocks: 1 }),
        }
        self.identities.push(identity);
        if !self.is_stored {
            self.bytes.extend_from_slice(block);
        }
        at
    }

    fn close_group(&mut self, uid: VolumeUid, guard: &Guard) {
        if self.identities.is_empty() {
            return;
        }
        if self.is_stored {
            self.group_at = self.next();
            self.extents.clear();
            self.identities.clear();
            return;
        }
        let start = usize::from(self.group_at) * BLOCK_BYTES;
        let (header, payload) = self.bytes[start..].split_at_mut(BLOCK_BYTES);
        let checks = payload.chunks_exact_mut(BLOCK_BYTES).zip(&self.identities).zip(self.group_at + 1..);
        let checks = checks.map(|((block, identity), at)| guard.protect(self.id, at, *identity, block)).collect();
        let contents = Contents { extents: std::mem::take(&mut self.extents), checks };
        let segment = segment_header(uid, self.id);
        let group = GroupHeader { segment, position: self.group_at, contents, previous: None };
        group.encode(guard.is_sealed(), header);
        add_to_index(&mut self.index, group.position, &group.contents);
        self.identities.clear();
        self.group_at = self.index.end;
        self.bytes.resize(self.bytes.len() + BLOCK_BYTES, 0);
    }

    /// The whole object, its front filled in.
    fn finish(mut self, uid: VolumeUid, guard: &Guard) -> Vec<u8> {
        self.close_group(uid, guard);
        self.bytes.truncate(usize::from(self.index.end) * BLOCK_BYTES);
        segment_header(uid, self.id).encode(&mut self.bytes[..BLOCK_BYTES]);
        let front = usize::from(INDEX_AT) * BLOCK_BYTES;
        self.index.encode(&mut self.bytes[front..front + usize::from(INDEX_BLOCKS) * BLOCK_BYTES]);
        self.bytes
    }
}

/// Nothing is ever found through it: what a builder makes is complete when it is stored.
fn segment_header(volume: VolumeUid, segment: SegmentId) -> SegmentHeader {
    let (previous_end, witness) = (FRONT_BLOCKS, Witness::NONE);
    SegmentHeader { volume, segment, next_slot: 0, previous_end, synced_through: 0, witness }
}

impl Builder {
    /// `key` None: not encrypted. Segments are held for `holder` from the moment they are in the store.
    pub fn new(
        backing: Arc<Backing>,
        uid: VolumeUid,
        holder: Holder,
        key: Option<(crate::keys::DataKey, WrappedKey)>,
        base: Option<Arc<Checkpoint>>,
    ) -> Self {
        let (data_key, wrapped) = key.unzip();
        let last = base.as_ref().and_then(|base| base.segments.last()).map(|s| s.id.seq);
        Self {
            backing,
            uid,
            holder,
            guard: Guard::new(data_key.as_ref(), uid),
            owner: Owner { volume: uid, key: wrapped },
            base,
            first_seq: last.map_or(0, |last| last + 1),
            segments: Vec::new(),
            current: None,
            leaves: BTreeMap::new(),
            displaced: BTreeMap::new(),
            stored: BTreeMap::new(),
            is_same: true,
        }
    }

    /// What another builder needs to know to go on with this one.
    pub fn beginning(&self) -> Checkpoint {
        Checkpoint::empty(self.uid, self.owner.key.clone())
    }

    /// Go on where an earlier builder, under this very name and key and for the very same blocks, was when it died: it has brought these
    /// segments, of so many bytes, to the store.
    pub fn resume(&mut self, stored: impl IntoIterator<Item = (SegmentId, u64)>) {
        self.stored.extend(stored);
        let names = self.stored.keys().map(|id| SegmentName { owner: self.uid, id: *id });
        self.backing.hold(self.holder, names);
    }

    /// Take in blocks from `lba` on that are in the store already, at most `most`; returns how many. The next one must be pushed.
    pub async fn skip(&mut self, lba: u32, most: u32) -> Result<u32, StoreError> {
        let mut skipped = 0;
        while skipped < most && !self.stored.is_empty() && self.place(1).await?.is_stored {
            self.push(lba + skipped, &[]).await?;
            skipped += 1;
        }
        Ok(skipped)
    }

    pub fn knows_leaf(&self, index: u32) -> bool {
        self.leaves.contains_key(&index)
    }

    /// Before blocks of it are pushed: the base's leaf.
    pub fn set_leaf(&mut self, index: u32, leaf: Leaf) {
        self.leaves.insert(index, leaf);
    }

    /// Bytes in the store by now.
    pub fn stored_bytes(&self) -> u64 {
        self.segments.iter().map(|s| u64::from(s.end) * BLOCK_BYTES as u64).sum()
    }

    /// The segment with room for `blocks` in one group.
    async fn place(&mut self, blocks: usize) -> Result<&mut Current, StoreError> {
        let check_bytes = self.guard.check_bytes();
        if let Some(current) = &mut self.current {
            if !current.group_has_room(blocks, check_bytes) {
                current.close_group(self.uid, &self.guard);
            }
            if !current.has_room(blocks) {
                self.flush().await?;
            }
        }
        let id = SegmentId { epoch: 1, incarnation: 0, seq: self.first_seq + self.segments.len() as u32 };
        let is_stored = self.stored.contains_key(&id);
        Ok(self.current.get_or_insert_with(|| Current::new(self.uid, id, self.guard.is_sealed(), is_stored)))
    }

    /// A block of the volume.
    pub async fn push(&mut self, lba: u32, block: &[u8]) -> Result<(), StoreError> {
        let identity = Identity::Data { lba };
        let current = self.place(1).await?;
        let place = Place { seq: current.id.seq, block: current.push(identity, block) };
        current.live += 1;
        self.change(lba, Some(place));
        Ok(())
    }

    /// A block that reads zeros although the base has something there.
    pub fn clear(&mut self, lba: u32) {
        if self.leaves.contains_key(&(lba / LEAF_BLOCKS)) {
            self.change(lba, None);
        }
    }

    fn change(&mut self, lba: u32, place: Option<Place>) {
        let displaced = &mut self.displaced;
        let leaf = self.leaves.entry(lba / LEAF_BLOCKS).or_default();
        leaf.insert((lba % LEAF_BLOCKS) as u16, 1, place, &mut |seq, blocks| {
            *displaced.entry(seq).or_default() += u32::from(blocks);
        });
    }

    /// Bring the current segment to the store.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let (id, live) = (current.id, current.live);
        let sealed = self.guard.is_sealed();
        if current.is_stored {
            current.close_group(self.uid, &self.guard);
            let end = current.group_at;
            self.is_same &= self.stored.get(&id) == Some(&(u64::from(end) * BLOCK_BYTES as u64));
            self.segments.push(SavedSegment { id, owner: 0, slot: None, live, end, uploaded: true, sealed });
            return Ok(());
        }
        let bytes = current.finish(self.uid, &self.guard);
        let end = (bytes.len() / BLOCK_BYTES) as u16;
        let name = SegmentName { owner: self.uid, id };
        self.backing.hold(self.holder, [name]);
        self.backing.put(&segment_key(name), Bytes::from(bytes)).await?;
        self.segments.push(SavedSegment { id, owner: 0, slot: None, live, end, uploaded: true, sealed });
        Ok(())
    }

    /// Save the map; what results is complete in the store, and describes all of it. None: what was found in the store is not what was
    /// built.
    pub async fn finish(mut self) -> Result<Option<Checkpoint>, StoreError> {
        let mut homes: BTreeMap<u32, Home> = BTreeMap::new();
        if let Some(base) = &self.base {
            homes.extend(base.homes.iter().copied());
        }
        for (index, mut leaf) in std::mem::take(&mut self.leaves) {
            leaf.shrink();
            if leaf.is_empty() {
                homes.remove(&index);
                continue;
            }
            let bytes = encode_leaf(index, &leaf);
            let blocks = bytes.len() / BLOCK_BYTES;
            let identity = Identity::Leaf { index };
            let current = self.place(blocks).await?;
            let seq = current.id.seq;
            let places: Vec<u16> = bytes.chunks_exact(BLOCK_BYTES).map(|block| current.push(identity, block)).collect();
            homes.insert(index, Home { place: Place { seq, block: places[0] }, blocks: blocks as u8 });
        }
        self.flush().await?;
        let mut owners = vec![self.owner];
        let mut segments: Vec<SavedSegment> = Vec::new();
        if let Some(base) = &self.base {
            owners.extend(base.owners.iter().cloned());
            segments.extend(base.segments.iter().map(|s| {
                let lost = self.displaced.get(&s.id.seq).copied().unwrap_or(0);
                let live = u16::try_from(u32::from(s.live).saturating_sub(lost)).unwrap_or(s.live);
                SavedSegment { owner: s.owner + 1, slot: None, live, ..*s }
            }));
        }
        for mut segment in self.segments {
            let lost = self.displaced.get(&segment.id.seq).copied().unwrap_or(0);
            segment.live = u16::try_from(u32::from(segment.live).saturating_sub(lost)).unwrap_or(segment.live);
            segments.push(segment);
        }
        let next = segments.last().map_or(0, |s| s.id.seq + 1);
        let map = Checkpoint {
            volume: self.uid,
            tail: Tail { place: Place { seq: next, block: FRONT_BLOCKS }, slot: 0, written_by: (0, 0) },
            owners,
            segments,
            homes: homes.into_iter().collect(),
        };
        Ok(self.is_same.then_some(map))
    }
}
