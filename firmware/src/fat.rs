//! Read-only FAT12, FAT16 and FAT32 with long file names (Microsoft FAT specification, 2005; UEFI 2.10, section 13.3).

use core::fmt;

use crate::block::{BlockDevice, ReadError, SECTOR_BYTES, Sector};
use crate::bytes::{array, u16_at, u32_at};

/// Longest file name in UTF-16 units.
pub const NAME_MAX_UNITS: usize = 255;
/// Units of a name in one directory entry.
const UNITS_PER_LONG_ENTRY: usize = 13;
/// Entries that a longest name takes.
const LONG_ENTRIES_MAX: u8 = 20;
const ENTRY_BYTES: usize = 32;
/// Most entries of a directory, the specification's 2 MiB.
const DIRECTORY_ENTRIES_MAX: u32 = 65_536;
const ATTRIBUTE_VOLUME: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_LONG_NAME: u8 = 0x0F;
/// Fewest clusters of FAT16 and FAT32: their number alone tells the three formats apart.
const CLUSTERS_MIN_FAT16: u32 = 4085;
const CLUSTERS_MIN_FAT32: u32 = 65_525;
/// [`SECTOR_BYTES`] as a divisor of offsets in the FAT.
const FAT_SECTOR_BYTES: u64 = SECTOR_BYTES as u64;
/// Clusters are numbered from here.
const CLUSTER_FIRST: u32 = 2;
/// Most clusters a 28-bit number reaches.
const CLUSTERS_MAX: u32 = 0x0FFF_FFF5;

/// Why a file system, or a file in it, cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatError {
    Read,
    /// The first sector does not describe a FAT that fits its partition.
    BootSector,
    /// A file's clusters leave the volume, end early, or go in circles.
    Chain,
    /// A directory has more entries than the format allows.
    DirectorySize,
}

impl From<ReadError> for FatError {
    fn from(_: ReadError) -> Self {
        Self::Read
    }
}

impl fmt::Display for FatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "the disk cannot be read",
            Self::BootSector => "there is no FAT file system",
            Self::Chain => "the FAT's cluster chain is damaged",
            Self::DirectorySize => "a directory of the FAT is too large",
        })
    }
}

/// Which of the three formats a volume has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

/// Name of a file: its long name, or its short one if it has no other.
#[derive(Clone, Copy)]
pub struct Name {
    units: [u16; NAME_MAX_UNITS],
    length: usize,
}

impl Name {
    fn empty() -> Self {
        Self { units: [0; NAME_MAX_UNITS], length: 0 }
    }

    fn units(&self) -> &[u16] {
        self.units.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, unit: u16) {
        if let Some(place) = self.units.get_mut(self.length) {
            *place = unit;
            self.length = self.length.saturating_add(1);
        }
    }

    fn chars(&self) -> impl Iterator<Item = char> {
        char::decode_utf16(self.units().iter().copied()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Whether this is `name`, letter case of ASCII aside.
    pub fn matches(&self, name: &str) -> bool {
        let fold = |letter: char| letter.to_ascii_lowercase();
        self.chars().map(fold).eq(name.chars().map(fold))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A control character in a name would let a disk write what it likes on the console.
        let visible = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
        self.chars().try_for_each(|letter| fmt::Write::write_char(f, visible(letter)))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A file or folder, as its folder describes it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub name: Name,
    pub is_folder: bool,
    /// 0 for folders.
    pub size_bytes: u32,
    first_cluster: u32,
}

/// Where a folder's entries are.
#[derive(Clone, Copy, Debug)]
pub enum Folder {
    /// The fixed area of FAT12 and FAT16.
    Root,
    Clusters {
        first: u32,
    },
}

/// A FAT file system whose geometry has been checked against its partition.
#[derive(Debug)]
pub struct Volume<'d, D> {
    disk: &'d mut D,
    pub kind: Kind,
    /// Absolute sectors, in units of 512 bytes, as is everything below.
    fat_lba: u64,
    root_lba: u64,
    root_sectors: u64,
    root_cluster: u32,
    data_lba: u64,
    sectors_per_cluster: u64,
    cluster_count: u32,
    /// The last sector of the FAT that was looked at, and where it is from.
    fat_sector: Sector,
    fat_sector_lba: Option<u64>,
}

impl<'d, D: BlockDevice> Volume<'d, D> {
    /// Reads the boot sector of a file system at sectors `first_lba` to `last_lba` of `disk`.
    ///
    /// # Errors
    /// If there is no FAT whose parts all lie in the partition.
    pub fn open(disk: &'d mut D, first_lba: u64, last_lba: u64) -> Result<Self, FatError> {
        let mut boot: Sector = [0; SECTOR_BYTES];
        disk.read(first_lba, &mut boot)?;
        let partition_sectors = last_lba
            .checked_sub(first_lba)
            .and_then(|difference| difference.checked_add(1))
            .ok_or(FatError::BootSector)?;
        Self::from_boot_sector(disk, &boot, first_lba, partition_sectors).ok_or(FatError::BootSector)
    }

    /// `None` if the boot sector does not describe a FAT inside the partition.
    fn from_boot_sector(disk: &'d mut D, boot: &Sector, first_lba: u64, partition_sectors: u64) -> Option<Self> {
        let byte = |offset: usize| boot.get(offset).copied();
        if array(boot, 510)? != [0x55, 0xAA] {
            return None;
        }
        let sector_bytes = u16_at(boot, 11)?;
        if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) {
            return None;
        }
        // The volume's own sectors are one or more of the disk's.
        let scale = u64::from(sector_bytes / 512);
        let clusters_sectors = byte(13)?;
        if !clusters_sectors.is_power_of_two() {
            return None;
        }
        let reserved = u64::from(u16_at(boot, 14)?);
        let fats = u64::from(byte(16)?);
        let root_entries = u64::from(u16_at(boot, 17)?);
        let total = match u16_at(boot, 19)? {
            0 => u64::from(u32_at(boot, 32)?),
            total => u64::from(total),
        };
        let fat_sectors = match u16_at(boot, 22)? {
            0 => u64::from(u32_at(boot, 36)?),
            sectors => u64::from(sectors),
        };
        if reserved == 0 || fats == 0 || fat_sectors == 0 {
            return None;
        }
        let root_sectors = root_entries.checked_mul(ENTRY_BYTES as u64)?.div_ceil(u64::from(sector_bytes));
        let root_start = reserved.checked_add(fats.checked_mul(fat_sectors)?)?;
        let data_start = root_start.checked_add(root_sectors)?;
        let clusters = total.checked_sub(data_start)?.checked_div(u64::from(clusters_sectors))?;
        let cluster_count = u32::try_from(clusters).ok().filter(|count| (1..=CLUSTERS_MAX).contains(count))?;
        let kind = if cluster_count < CLUSTERS_MIN_FAT16 {
            Kind::Fat12
        } else if cluster_count < CLUSTERS_MIN_FAT32 {
            Kind::Fat16
        } else {
            Kind::Fat32
        };
        let root_cluster = if kind == Kind::Fat32 { u32_at(boot, 44)? } else { 0 };
        // The FAT has an entry for every cluster, and the volume lies inside its partition.
        let entry_bits = match kind {
            Kind::Fat12 => 12,
            Kind::Fat16 => 16,
            Kind::Fat32 => 32,
        };
        let fat_bits_needed =
            u64::from(cluster_count).checked_add(u64::from(CLUSTER_FIRST))?.checked_mul(entry_bits)?;
        let fat_bits = fat_sectors.checked_mul(u64::from(sector_bytes))?.checked_mul(8)?;
        if fat_bits < fat_bits_needed || total.checked_mul(scale)? > partition_sectors {
            return None;
        }
        let lba = |sector: u64| first_lba.checked_add(sector.checked_mul(scale)?);
        lba(total)?;
        Some(Self {
            kind,
            fat_lba: lba(reserved)?,
            root_lba: lba(root_start)?,
            root_sectors: root_sectors.checked_mul(scale)?,
            root_cluster,
            data_lba: lba(data_start)?,
            sectors_per_cluster: u64::from(clusters_sectors).checked_mul(scale)?,
            cluster_count,
            fat_sector: [0; SECTOR_BYTES],
            fat_sector_lba: None,
            disk,
        })
    }

    /// The folder at the top.
    pub fn root(&self) -> Folder {
        match self.kind {
            Kind::Fat12 | Kind::Fat16 => Folder::Root,
            Kind::Fat32 => Folder::Clusters { first: self.root_cluster },
        }
    }

    /// Finds a file or folder by its path from the top, its parts separated by `\`. `None` if it is not there.
    ///
    /// # Errors
    /// If a folder on the way cannot be read.
    pub fn find(&mut self, path: &str) -> Result<Option<Entry>, FatError> {
        let mut folder = Some(self.root());
        let mut found = None;
        for part in path.split('\\').filter(|part| !part.is_empty()) {
            let Some(place) = folder else { return Ok(None) };
            found = None;
            self.list(place, |entry| {
                if entry.name.matches(part) {
                    found = Some(*entry);
                }
                found.is_none()
            })?;
            folder = found.as_ref().and_then(Entry::folder);
            if found.is_none() {
                return Ok(None);
            }
        }
        Ok(found)
    }

    /// Calls `each` with every file and folder of `folder`, `.` and `..` left out, until it returns false.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&mut self, folder: Folder, mut each: impl FnMut(&Entry) -> bool) -> Result<(), FatError> {
        let mut sector: Sector = [0; SECTOR_BYTES];
        let mut long_name = LongName::default();
        let mut position = Position::new(folder);
        for _ in 0..DIRECTORY_ENTRIES_MAX.div_ceil((SECTOR_BYTES / ENTRY_BYTES) as u32) {
            let Some(lba) = self.next_folder_sector(&mut position)? else { return Ok(()) };
            self.disk.read(lba, &mut sector)?;
            for raw in sector.as_chunks::<ENTRY_BYTES>().0 {
                let [first, .., attributes] = *raw.first_chunk::<12>().ok_or(FatError::Read)?;
                match (first, attributes) {
                    // No more entries.
                    (0, _) => return Ok(()),
                    // Deleted.
                    (0xE5, _) => long_name = LongName::default(),
                    (_, ATTRIBUTE_LONG_NAME) => long_name.take(raw),
                    (_, attributes) if attributes & ATTRIBUTE_VOLUME != 0 => long_name = LongName::default(),
                    (b'.', _) => long_name = LongName::default(),
                    _ => {
                        let entry = self.entry(raw, &long_name).ok_or(FatError::Read)?;
                        long_name = LongName::default();
                        if !each(&entry) {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Err(FatError::DirectorySize)
    }

    /// Reads all of `file` in pieces, as large as `buffer` allows, and calls `each` with them in order.
    ///
    /// # Errors
    /// If a cluster cannot be read, or the chain ends before the file does.
    pub fn read_file(&mut self, file: &Entry, buffer: &mut [u8], mut each: impl FnMut(&[u8])) -> Result<(), FatError> {
        let buffer_sectors = (buffer.len() / SECTOR_BYTES) as u64;
        if buffer_sectors == 0 {
            return Err(FatError::Read);
        }
        let mut left_bytes = u64::from(file.size_bytes);
        let mut cluster = file.first_cluster;
        let mut run = Run::default();
        let mut steps = 0;
        while left_bytes > 0 {
            // Gather clusters that follow one another on the disk, so that one request reads them.
            let needed_sectors = left_bytes.div_ceil(SECTOR_BYTES as u64);
            while run.sectors < needed_sectors.min(buffer_sectors) {
                let lba = self.cluster_lba(cluster).ok_or(FatError::Chain)?;
                if !run.extend(lba, self.sectors_per_cluster) {
                    break;
                }
                steps = self.count_step(steps)?;
                // The number after the last cluster is an end mark, on which the next turn would fail if more were needed.
                cluster = self.next_cluster(cluster)?.unwrap_or(0);
            }
            while run.sectors > 0 && left_bytes > 0 {
                let sectors = run.sectors.min(buffer_sectors).min(left_bytes.div_ceil(SECTOR_BYTES as u64));
                let bytes = usize::try_from(sectors).ok().and_then(|sectors| sectors.checked_mul(SECTOR_BYTES));
                let piece = bytes.and_then(|bytes| buffer.get_mut(..bytes)).ok_or(FatError::Read)?;
                self.disk.read(run.first_lba, piece)?;
                run.first_lba = run.first_lba.saturating_add(sectors);
                run.sectors = run.sectors.saturating_sub(sectors);
                let used = usize::try_from(left_bytes).unwrap_or(usize::MAX).min(piece.len());
                each(piece.get(..used).unwrap_or_default());
                left_bytes = left_bytes.saturating_sub(used as u64);
            }
        }
        Ok(())
    }

    fn entry(&self, raw: &[u8; ENTRY_BYTES], long_name: &LongName) -> Option<Entry> {
        let attributes = *raw.get(11)?;
        // The upper half is a FAT32 field; in older volumes it may hold anything.
        let high = if self.kind == Kind::Fat32 { u32::from(u16_at(raw, 20)?) } else { 0 };
        let short: [u8; 11] = array(raw, 0)?;
        Some(Entry {
            name: long_name.finish(&short).unwrap_or_else(|| short_name(&short, raw.get(12).copied().unwrap_or(0))),
            is_folder: attributes & ATTRIBUTE_DIRECTORY != 0,
            size_bytes: u32_at(raw, 28)?,
            first_cluster: high << 16 | u32::from(u16_at(raw, 26)?),
        })
    }

    /// One more cluster of a chain: no chain is longer than the volume.
    fn count_step(&self, steps: u32) -> Result<u32, FatError> {
        steps.checked_add(1).filter(|steps| *steps <= self.cluster_count).ok_or(FatError::Chain)
    }

    fn next_folder_sector(&mut self, position: &mut Position) -> Result<Option<u64>, FatError> {
        match position {
            Position::Root { next } => {
                let sector = *next;
                *next = next.saturating_add(1);
                Ok((sector < self.root_sectors).then(|| self.root_lba.saturating_add(sector)))
            }
            Position::Clusters { cluster, sector, steps } => {
                if *sector == self.sectors_per_cluster {
                    *steps = self.count_step(*steps)?;
                    *sector = 0;
                    match self.next_cluster(*cluster)? {
                        Some(next) => *cluster = next,
                        None => return Ok(None),
                    }
                }
                let lba = self.cluster_lba(*cluster).ok_or(FatError::Chain)?.saturating_add(*sector);
                *sector = sector.saturating_add(1);
                Ok(Some(lba))
            }
        }
    }

    /// The cluster after `cluster`; `None` at the end of the chain.
    fn next_cluster(&mut self, cluster: u32) -> Result<Option<u32>, FatError> {
        let kind = self.kind;
        let offset = match kind {
            Kind::Fat12 => u64::from(cluster).saturating_add(u64::from(cluster / 2)),
            Kind::Fat16 => u64::from(cluster).saturating_mul(2),
            Kind::Fat32 => u64::from(cluster).saturating_mul(4),
        };
        // Byte by byte: an entry of FAT12 may lie in two sectors.
        let mut byte = |index: u64| self.fat_byte(offset.saturating_add(index));
        let (value, end) = match kind {
            Kind::Fat12 => {
                let pair = u16::from_le_bytes([byte(0)?, byte(1)?]);
                (u32::from(if cluster.is_multiple_of(2) { pair & 0xFFF } else { pair >> 4 }), 0xFF8)
            }
            Kind::Fat16 => (u32::from(u16::from_le_bytes([byte(0)?, byte(1)?])), 0xFFF8),
            Kind::Fat32 => (u32::from_le_bytes([byte(0)?, byte(1)?, byte(2)?, byte(3)?]) & 0x0FFF_FFFF, 0x0FFF_FFF8),
        };
        if value >= end {
            return Ok(None);
        }
        self.cluster_lba(value).map(|_| Some(value)).ok_or(FatError::Chain)
    }

    fn fat_byte(&mut self, offset: u64) -> Result<u8, FatError> {
        let lba = self.fat_lba.saturating_add(offset / FAT_SECTOR_BYTES);
        if self.fat_sector_lba != Some(lba) {
            self.fat_sector_lba = None;
            self.disk.read(lba, &mut self.fat_sector)?;
            self.fat_sector_lba = Some(lba);
        }
        let index = usize::try_from(offset % FAT_SECTOR_BYTES).map_err(|_| FatError::Read)?;
        self.fat_sector.get(index).copied().ok_or(FatError::Read)
    }

    /// First sector of a cluster; `None` if there is no such cluster.
    fn cluster_lba(&self, cluster: u32) -> Option<u64> {
        let index = cluster.checked_sub(CLUSTER_FIRST).filter(|index| *index < self.cluster_count)?;
        self.data_lba.checked_add(u64::from(index).checked_mul(self.sectors_per_cluster)?)
    }
}

impl Entry {
    /// Where this folder's entries are; `None` for a file.
    pub fn folder(&self) -> Option<Folder> {
        self.is_folder.then_some(Folder::Clusters { first: self.first_cluster })
    }
}

/// Sectors in a row that are still to be read.
#[derive(Default)]
struct Run {
    first_lba: u64,
    sectors: u64,
}

impl Run {
    /// Adds `sectors` from `lba` on, if they follow what is there.
    fn extend(&mut self, lba: u64, sectors: u64) -> bool {
        if self.sectors == 0 {
            self.first_lba = lba;
        } else if self.first_lba.saturating_add(self.sectors) != lba {
            return false;
        }
        self.sectors = self.sectors.saturating_add(sectors);
        true
    }
}

/// The next sector of a folder.
enum Position {
    Root { next: u64 },
    Clusters { cluster: u32, sector: u64, steps: u32 },
}

impl Position {
    fn new(folder: Folder) -> Self {
        match folder {
            Folder::Root => Self::Root { next: 0 },
            Folder::Clusters { first } => Self::Clusters { cluster: first, sector: 0, steps: 0 },
        }
    }
}

/// A long name as it comes in, its last part first.
struct LongName {
    units: [u16; LONG_ENTRIES_MAX as usize * UNITS_PER_LONG_ENTRY],
    /// Order number that the next part must have; 0 when the name is complete.
    expected: u8,
    checksum: u8,
    is_valid: bool,
}

impl Default for LongName {
    fn default() -> Self {
        Self { units: [0; LONG_ENTRIES_MAX as usize * UNITS_PER_LONG_ENTRY], expected: 0, checksum: 0, is_valid: false }
    }
}

impl LongName {
    fn take(&mut self, raw: &[u8; ENTRY_BYTES]) {
        const LAST: u8 = 0x40;
        let [order, ..] = *raw;
        let checksum = raw.get(13).copied().unwrap_or(0);
        let number = order & !LAST;
        if order & LAST != 0 {
            *self = Self {
                checksum,
                expected: number,
                is_valid: (1..=LONG_ENTRIES_MAX).contains(&number),
                ..Self::default()
            };
        }
        if !self.is_valid || number != self.expected || checksum != self.checksum || number == 0 {
            self.is_valid = false;
            return;
        }
        self.expected = number.saturating_sub(1);
        let start = usize::from(self.expected).saturating_mul(UNITS_PER_LONG_ENTRY);
        let places = self.units.iter_mut().skip(start);
        let offsets = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        for (place, offset) in places.zip(offsets) {
            *place = u16_at(raw, offset).unwrap_or(0);
        }
    }

    /// The name, if all parts came and belong to the entry called `short`.
    fn finish(&self, short: &[u8; 11]) -> Option<Name> {
        let sum = short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if !self.is_valid || self.expected != 0 || sum != self.checksum {
            return None;
        }
        let mut name = Name::empty();
        self.units.iter().take_while(|unit| **unit != 0).for_each(|unit| name.push(*unit));
        (name.length > 0).then_some(name)
    }
}

/// `NAME.EXT` from the eleven bytes; `case` has Windows' bits for names in lower case.
fn short_name(short: &[u8; 11], case: u8) -> Name {
    const CASE_BASE: u8 = 0x08;
    const CASE_EXTENSION: u8 = 0x10;
    let mut name = Name::empty();
    let (base, extension) = short.split_at_checked(8).unwrap_or_default();
    let mut push = |part: &[u8], is_lower: bool| {
        for byte in part.trim_ascii_end() {
            // 0x05 stands for 0xE5, which would mean deleted. Letters beyond ASCII depend on a code page nobody recorded.
            let letter = match byte {
                0x80.. | 0x05 => char::REPLACEMENT_CHARACTER as u16,
                byte if is_lower => u16::from(byte.to_ascii_lowercase()),
                byte => u16::from(*byte),
            };
            name.push(letter);
        }
    };
    push(base, case & CASE_BASE != 0);
    if !extension.trim_ascii_end().is_empty() {
        push(b".", false);
        push(extension, case & CASE_EXTENSION != 0);
    }
    name
}
