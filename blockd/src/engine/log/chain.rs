//! Reading the log behind a checkpoint: the chain of segments, what is whole of it, and where it ends.
//!
//! The end is the first record, a segment's header or a group, that is not whole, unless a *witness* behind it, in the header of a later
//! record of the same writer, says that the record had been written (and the machine has run on since) or had been synced. Then it is
//! not the end but damage: what is still whole of it counts, what it held is known from the index, or from the header of the group
//! behind, and the blocks that do not match their checks stay in the map, so that reads of them fail and of nothing else.
//!
//! It cannot be told of a record that nobody vouches for: of the last group, of those that were written side by side with the last, and,
//! after a power loss, of all behind the last sync that a later header tells of. There the log ends, as a torn write would end it.
//! Nor can it be known what a group held if the header behind it is gone too and there is no index: then the volume is not opened.

use super::group::add_to_index;
use crate::engine::AlignedBuffer;
use crate::engine::check::{Check, Guard, Identity};
use crate::engine::format::{
    BLOCK_BYTES, Checkpoint, Contents, EntryKind, Extent, ExtentKind, FRONT_BLOCKS, GroupHeader, INDEX_AT,
    INDEX_BLOCKS, Index, MAX_GROUP_BLOCKS, Place, SEGMENT_BLOCKS, SEGMENT_BYTES, SegmentHeader, Tail, VolumeUid,
};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Blocks read at a time.
const READ_BLOCKS: u16 = 1 + MAX_GROUP_BLOCKS as u16;
const INDEX_BYTES: usize = INDEX_BLOCKS as usize * BLOCK_BYTES;

/// A segment of the chain behind the checkpoint.
pub(super) struct Walked {
    pub header: SegmentHeader,
    pub slot: u32,
    pub index: Index,
    /// Its index was found, and is durable.
    pub complete: bool,
    /// Its header was found.
    header_is_whole: bool,
}

/// The log behind a checkpoint.
pub(super) struct Chain {
    pub segments: Vec<Walked>,
    /// Where the next segment goes.
    pub end: Tail,
    /// Blocks of the volume that do not match their checks, as far as that had to be looked at.
    pub damaged_blocks: u64,
}

/// Why the log cannot be made out.
#[derive(Debug)]
pub(super) enum ChainError {
    Io(io::Error),
    /// What lies there was synced, and what it was is not known.
    Lost(Place),
}

impl From<io::Error> for ChainError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A segment that the one before names.
struct Link {
    header: SegmentHeader,
    slot: u32,
    header_is_whole: bool,
}

impl Link {
    fn writer(&self) -> (u32, u32) {
        (self.header.segment.epoch, self.header.segment.incarnation)
    }
}

pub(super) struct Walk<'a> {
    pub name: &'a str,
    pub file: &'a File,
    pub guard: &'a Guard,
    /// This run of the machine; 0 if not known.
    pub boot: u64,
    volume: VolumeUid,
    tail: Tail,
    links: Vec<Link>,
    /// What the witnesses of one writer say, once they were asked.
    heard: Option<((u32, u32), Place)>,
    damaged_blocks: u64,
}

impl<'a> Walk<'a> {
    pub fn new(name: &'a str, file: &'a File, guard: &'a Guard, boot: u64, checkpoint: &Checkpoint) -> Self {
        let (volume, tail) = (checkpoint.volume, checkpoint.tail);
        Self { name, file, guard, boot, volume, tail, links: Vec::new(), heard: None, damaged_blocks: 0 }
    }

    /// Follow the chain to its end.
    pub fn run(mut self) -> Result<Chain, ChainError> {
        self.follow()?;
        let mut segments: Vec<Walked> = Vec::new();
        // A later header says which segments had been synced. Of the others an index may have outlived a power loss that the blocks it
        // names did not.
        let told = self.links.iter().map(|link| link.header.synced_through).max().unwrap_or(0);
        let synced_through = told.max(self.tail.place.seq);
        let mut end = self.tail;
        end.place.block = FRONT_BLOCKS;
        let mut buffer = AlignedBuffer::new(usize::from(READ_BLOCKS) * BLOCK_BYTES);
        for i in 0..self.links.len() {
            let Link { header, slot, header_is_whole } = self.links[i];
            let id = header.segment;
            if (id.epoch, id.incarnation) < end.written_by {
                break;
            }
            if !header_is_whole && !self.is_certain(i, 0)? {
                break;
            }
            let found = self.read_index(i, &mut buffer)?;
            let same_boot = self.boot != 0 && header.witness.boot == self.boot;
            let next_end = self.links.get(i + 1).map(|next| next.header.previous_end);
            let (index, complete) = match found {
                Some(found) if id.seq < synced_through || same_boot => (found, true),
                found => {
                    let stop = found.as_ref().map(|found| found.end).or(next_end).unwrap_or(SEGMENT_BLOCKS);
                    let walked = self.walk_groups(i, stop, found.as_ref(), &mut buffer)?;
                    match found.filter(|found| found.end == walked.end) {
                        Some(found) => (found, true),
                        None => (walked, false),
                    }
                }
            };
            if !header_is_whole {
                tracing::error!(volume = self.name, segment = ?id, "the header of a segment is damaged and was made out");
            }
            // Without an index it is known to be whole only by its successor.
            let goes_on = complete || next_end == Some(index.end);
            let written_by = if goes_on { index.sealed_by } else { end.written_by };
            end = Tail {
                place: Place { seq: id.seq.saturating_add(1), block: FRONT_BLOCKS },
                slot: header.next_slot,
                written_by,
            };
            segments.push(Walked { header, slot, index, complete, header_is_whole });
            if !goes_on {
                break;
            }
        }
        Ok(Chain { segments, end, damaged_blocks: self.damaged_blocks })
    }

    /// The headers of the chain as far as they follow each other, also those that are damaged and repeated elsewhere.
    fn follow(&mut self) -> io::Result<()> {
        let (mut seq, mut slot) = (self.tail.place.seq, self.tail.slot);
        let mut buffer = AlignedBuffer::new(BLOCK_BYTES);
        loop {
            self.read(slot, 0, buffer.as_mut_slice())?;
            let fits = |header: &SegmentHeader| header.volume == self.volume && header.segment.seq == seq;
            let whole = SegmentHeader::decode(buffer.as_slice()).filter(fits);
            let header = match whole {
                Some(header) => header,
                None => match self.repeated_header(slot, seq)? {
                    Some(header) => header,
                    None => return Ok(()),
                },
            };
            let link = Link { header, slot, header_is_whole: whole.is_some() };
            // A writer's successor is never older.
            if self.links.last().is_some_and(|last| link.writer() < last.writer()) {
                return Ok(());
            }
            self.links.push(link);
            slot = header.next_slot;
            let Some(next) = seq.checked_add(1) else { return Ok(()) };
            seq = next;
        }
    }

    /// The header of segment `seq`, as its groups repeat it.
    fn repeated_header(&self, slot: u32, seq: u32) -> io::Result<Option<SegmentHeader>> {
        let mut found: Option<SegmentHeader> = None;
        self.each_group(slot, FRONT_BLOCKS, |group| {
            let header = group.segment;
            let is_newer = found.is_none_or(|found| found.segment < header.segment);
            if header.volume == self.volume && header.segment.seq == seq && is_newer {
                found = Some(header);
            }
            true
        })?;
        Ok(found)
    }

    fn read_index(&self, i: usize, buffer: &mut AlignedBuffer) -> io::Result<Option<Index>> {
        let Link { header, slot, .. } = &self.links[i];
        let bytes = &mut buffer.as_mut_slice()[..INDEX_BYTES];
        self.read(*slot, INDEX_AT, bytes)?;
        // Its pages of checks count too: they may be what a power loss tore.
        Ok(Index::decode(bytes, true).filter(|index| {
            (index.volume, index.segment) == (header.volume, header.segment) && index.sealed == self.guard.is_sealed()
        }))
    }

    /// Whether what lay in this block of the link's segment was there once for certain.
    fn is_certain(&mut self, i: usize, block: u16) -> io::Result<bool> {
        let (writer, place) = (self.links[i].writer(), Place { seq: self.links[i].header.segment.seq, block });
        // The segment of the tail need not have been begun.
        let saved = self.tail.place.block > FRONT_BLOCKS && place < self.tail.place;
        // Who opened the log behind it has synced what it found, to the end that its first segment names.
        let followed = self.links.get(i + 1).is_some_and(|next| next.writer() > writer);
        if saved || place.seq < self.tail.place.seq || followed {
            return Ok(true);
        }
        let certain = match self.heard {
            Some((heard, certain)) if heard == writer => certain,
            _ => {
                let mut certain = Place { seq: 0, block: 0 };
                for link in self.links[i..].iter().take_while(|link| link.writer() == writer) {
                    let (boot, id) = (self.boot, link.header.segment);
                    certain = certain.max(link.header.witness.certain(boot));
                    self.each_group(link.slot, FRONT_BLOCKS, |group| {
                        if (group.segment.volume, group.segment.segment) == (self.volume, id) {
                            certain = certain.max(group.segment.witness.certain(boot));
                        }
                        true
                    })?;
                }
                self.heard = Some((writer, certain));
                certain
            }
        };
        Ok(place < certain)
    }

    /// The groups of a segment up to `stop`, or to the end of the log. `found` is its index, of which it is not known that the blocks
    /// it names survived.
    fn walk_groups(
        &mut self,
        i: usize,
        stop: u16,
        found: Option<&Index>,
        buffer: &mut AlignedBuffer,
    ) -> Result<Index, ChainError> {
        let Link { header, slot, .. } = self.links[i];
        let id = header.segment;
        let mut index = Index::new(header.volume, id, self.guard.is_sealed());
        let mut at = FRONT_BLOCKS;
        while at < stop {
            let most = READ_BLOCKS.min(SEGMENT_BLOCKS - at);
            let bytes = &mut buffer.as_mut_slice()[..usize::from(most) * BLOCK_BYTES];
            self.read(slot, at, bytes)?;
            let group = GroupHeader::decode(&bytes[..BLOCK_BYTES]).filter(|group| self.is_of(group, i, at));
            let contents = match group {
                Some(group) => group.contents,
                None if !self.is_certain(i, at)? => break,
                None => match self.contents_told(i, at, stop, found)? {
                    Told::Contents(contents) => {
                        tracing::error!(volume = self.name, segment = ?id, block = at, "the header of a group is damaged and was made out");
                        contents
                    }
                    Told::Skip(next) => {
                        tracing::error!(volume = self.name, segment = ?id, block = at, next, "it is not known what these blocks were");
                        index.end = next;
                        at = next;
                        continue;
                    }
                    Told::Nothing => return Err(ChainError::Lost(Place { seq: id.seq, block: at })),
                },
            };
            let blocks = contents.checks.len();
            if blocks >= usize::from(most) || at + 1 + blocks as u16 > stop {
                break;
            }
            let payload = bytes[BLOCK_BYTES..(1 + blocks) * BLOCK_BYTES].chunks_exact_mut(BLOCK_BYTES);
            let mut damaged = 0;
            for (((block, identity), check), position) in
                payload.zip(identities(&contents)).zip(&contents.checks).zip(at + 1..)
            {
                damaged += u64::from(!self.guard.verify(id, position, identity, *check, block));
            }
            if damaged > 0 && !self.is_certain(i, at)? {
                break;
            }
            if damaged > 0 {
                tracing::error!(volume = self.name, segment = ?id, group = at, damaged, "blocks behind the checkpoint are damaged");
                self.damaged_blocks += damaged;
            }
            add_to_index(&mut index, at, &contents);
            at = index.end;
        }
        Ok(index)
    }

    fn is_of(&self, group: &GroupHeader, i: usize, at: u16) -> bool {
        let header = &self.links[i].header;
        let is_sealed = |check: &Check| matches!(check, Check::Tag(_)) == self.guard.is_sealed();
        (group.segment.volume, group.segment.segment) == (header.volume, header.segment)
            && group.position == at
            && group.contents.checks.iter().all(is_sealed)
            && group.previous.iter().flat_map(|previous| &previous.contents.checks).all(is_sealed)
    }

    /// What the group at `at`, whose header is damaged, held, as others know it.
    fn contents_told(&self, i: usize, at: u16, stop: u16, found: Option<&Index>) -> io::Result<Told> {
        if let Some(contents) = found.and_then(|index| contents_of(index, at)) {
            return Ok(Told::Contents(contents));
        }
        let Link { header, slot, .. } = self.links[i];
        let place = Place { seq: header.segment.seq, block: at };
        let mut next = None;
        self.each_group(slot, at + 1, |group| {
            let position = group.position;
            if self.is_of(&group, i, position) {
                next = Some(group);
            }
            next.is_none() && position < stop
        })?;
        if next.is_none()
            && let Some(link) = self.links.get(i + 1)
        {
            self.each_group(link.slot, FRONT_BLOCKS, |group| {
                if self.is_of(&group, i + 1, FRONT_BLOCKS) {
                    next = Some(group);
                }
                false
            })?;
        }
        // What lies before the tail is in the map already, and need not be known.
        let tail = self.tail.place;
        let needless = (place.seq == tail.seq && at < tail.block).then_some(tail.block);
        let Some(next) = next else { return Ok(needless.map_or(Told::Nothing, Told::Skip)) };
        if let Some(previous) = next.previous.filter(|previous| previous.place == place) {
            return Ok(Told::Contents(previous.contents));
        }
        let here = next.segment.segment == header.segment;
        Ok(match needless {
            Some(tail) if here && next.position < tail => Told::Skip(next.position),
            Some(tail) => Told::Skip(tail),
            None => Told::Nothing,
        })
    }

    /// Every header of a group in the slot from block `from` on, until `f` has had enough.
    fn each_group(&self, slot: u32, from: u16, mut f: impl FnMut(GroupHeader) -> bool) -> io::Result<()> {
        let mut buffer = AlignedBuffer::new(usize::from(READ_BLOCKS) * BLOCK_BYTES);
        let mut at = from;
        let len = self.file.metadata()?.len();
        while at < SEGMENT_BLOCKS && offset(slot, at) < len {
            let most = READ_BLOCKS.min(SEGMENT_BLOCKS - at);
            let bytes = &mut buffer.as_mut_slice()[..usize::from(most) * BLOCK_BYTES];
            self.read(slot, at, bytes)?;
            for (block, position) in bytes.chunks_exact(BLOCK_BYTES).zip(at..) {
                let group = GroupHeader::decode(block).filter(|group| group.position == position);
                if let Some(group) = group
                    && !f(group)
                {
                    return Ok(());
                }
            }
            at += most;
        }
        Ok(())
    }

    /// Blocks of a slot. What lies behind the file's end, and what the disk cannot give back, reads zeros, which are no record.
    fn read(&self, slot: u32, block: u16, into: &mut [u8]) -> io::Result<()> {
        match read_to_end(self.file, offset(slot, block), into) {
            Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                tracing::error!(volume = self.name, slot, block, %error, "blocks of the log cannot be read");
                for (bytes, at) in into.chunks_exact_mut(BLOCK_BYTES).zip(block..) {
                    match read_to_end(self.file, offset(slot, at), bytes) {
                        Err(error) if error.raw_os_error() == Some(libc::EIO) => bytes.fill(0),
                        result => result?,
                    }
                }
                Ok(())
            }
            result => result,
        }
    }
}

/// What is known of a group without its header.
enum Told {
    Contents(Contents),
    /// Nothing, nor need it be: the log goes on there.
    Skip(u16),
    Nothing,
}

fn offset(slot: u32, block: u16) -> u64 {
    u64::from(slot) * SEGMENT_BYTES + u64::from(block) * BLOCK_BYTES as u64
}

/// Fill `into`, with zeros from the file's end on.
fn read_to_end(file: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    into[done..].fill(0);
    Ok(())
}

fn identities(contents: &Contents) -> impl Iterator<Item = Identity> + '_ {
    contents.extents.iter().filter(|extent| extent.kind != ExtentKind::Zero).flat_map(|extent| {
        (0..extent.blocks).map(|i| match extent.kind {
            ExtentKind::Leaf => Identity::Leaf { index: extent.start },
            _ => Identity::Data { lba: extent.start.wrapping_add(i) },
        })
    })
}

/// What the group with its header at `at` holds, by the segment's index.
fn contents_of(index: &Index, at: u16) -> Option<Contents> {
    let entry = |block: u16| index.entries.get(usize::from(block)).filter(|_| block < index.end);
    entry(at).filter(|entry| entry.kind == EntryKind::GroupHeader)?;
    let end = (at + 1..index.end).find(|block| entry(*block).is_none_or(|e| e.kind == EntryKind::GroupHeader));
    let end = end.unwrap_or(index.end);
    let mut contents = Contents::default();
    for block in at + 1..=end {
        let zeros = index.zeros.iter().filter(|zero| zero.before == block);
        contents.extents.extend(zeros.map(|zero| Extent {
            kind: ExtentKind::Zero,
            start: zero.lba,
            blocks: zero.blocks,
        }));
        let Some(entry) = entry(block).filter(|_| block < end) else { continue };
        let kind = match entry.kind {
            EntryKind::Data => ExtentKind::Data,
            EntryKind::Leaf => ExtentKind::Leaf,
            EntryKind::GroupHeader | EntryKind::Unused => return None,
        };
        let start = entry.number;
        match contents.extents.last_mut() {
            Some(last)
                if last.kind == kind && kind == ExtentKind::Data && last.start.wrapping_add(last.blocks) == start =>
            {
                last.blocks += 1;
            }
            _ => contents.extents.push(Extent { kind, start, blocks: 1 }),
        }
        contents.checks.push(*index.checks.get(usize::from(block))?);
    }
    Some(contents)
}

/// Give every segment of the chain its header and its index, the last one an index that only `opener` and later ones follow.
pub(super) fn complete(file: &File, chain: &mut [Walked], opener: (u32, u32)) -> io::Result<()> {
    // What is about to be called whole must stay whole.
    file.sync_data()?;
    if chain.iter().all(|walked| walked.complete && walked.header_is_whole) {
        return Ok(());
    }
    let mut buffer = AlignedBuffer::new(INDEX_BYTES);
    for i in 0..chain.len() {
        let next = chain.get(i + 1).map_or(opener, |next| {
            let id = next.header.segment;
            (id.epoch, id.incarnation)
        });
        let walked = &mut chain[i];
        if !walked.complete {
            walked.index.sealed_by = next;
            walked.index.encode(buffer.as_mut_slice());
            file.write_all_at(buffer.as_slice(), offset(walked.slot, INDEX_AT))?;
        }
        if !walked.header_is_whole {
            let block = &mut buffer.as_mut_slice()[..BLOCK_BYTES];
            walked.header.encode(block);
            file.write_all_at(block, offset(walked.slot, 0))?;
        }
    }
    file.sync_data()
}
