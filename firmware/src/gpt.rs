//! GUID partition tables (UEFI 2.10, section 5.3).

use core::fmt;

use crate::block::{BlockDevice, ReadError, SECTOR_BYTES, Sector};
use crate::bytes::{array, u32_at, u64_at};
use crate::crc32::Crc32;

/// Partitions kept of a table: what partitioning tools make room for.
pub const PARTITIONS_MAX: usize = 128;
/// Most bytes of entries that are read; twice what any tool writes for [`PARTITIONS_MAX`] entries of 128 bytes.
const ENTRIES_MAX_BYTES: u64 = 32 << 10;
/// Smallest and usual size of an entry.
const ENTRY_MIN_BYTES: u32 = 128;
/// Bytes of the header that the specification defines.
const HEADER_MIN_BYTES: u32 = 92;
const SIGNATURE: &[u8] = b"EFI PART";
/// The only revision there is, 1.0.
const REVISION: u32 = 0x0001_0000;
const PRIMARY_HEADER_LBA: u64 = 1;

/// A GUID in its stored order: the first three fields are little-endian.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Guid(pub [u8; 16]);

/// Type of an EFI system partition, C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
pub const EFI_SYSTEM_PARTITION: Guid =
    Guid([0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, node @ ..] = self.0;
        let time_low = u32::from_le_bytes([a, b, c, d]);
        let time_mid = u16::from_le_bytes([e, g]);
        let time_high = u16::from_le_bytes([h, i]);
        write!(f, "{time_low:08X}-{time_mid:04X}-{time_high:04X}-")?;
        for (index, byte) in node.iter().enumerate() {
            if index == 2 {
                f.write_str("-")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One used entry; its sectors lie inside the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Position in the table, from 1, as Linux numbers partitions.
    pub number: u32,
    pub type_guid: Guid,
    pub guid: Guid,
    pub first_lba: u64,
    /// Inclusive.
    pub last_lba: u64,
}

impl Partition {
    /// Size in sectors.
    pub fn sector_count(&self) -> u64 {
        self.last_lba.saturating_sub(self.first_lba).saturating_add(1)
    }
}

/// Which of the two copies was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    Primary,
    /// At the end of the disk; the primary was damaged.
    Backup,
}

/// A table whose checksums are right.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub copy: Copy,
    partitions: [Partition; PARTITIONS_MAX],
    count: usize,
}

impl Table {
    /// The used entries in the order of the table.
    pub fn partitions(&self) -> &[Partition] {
        self.partitions.get(..self.count).unwrap_or_default()
    }
}

/// Why a copy of the table cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GptError {
    Read,
    /// No `EFI PART`: not a GPT at all.
    Signature,
    Revision,
    HeaderChecksum,
    /// The header describes sectors outside the disk, or entries of an impossible size.
    Bounds,
    EntriesChecksum,
    /// A partition lies outside the usable sectors.
    PartitionBounds,
    TooManyPartitions,
}

impl From<ReadError> for GptError {
    fn from(_: ReadError) -> Self {
        Self::Read
    }
}

impl fmt::Display for GptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "the disk cannot be read",
            Self::Signature => "there is no GPT signature",
            Self::Revision => "the GPT has an unknown revision",
            Self::HeaderChecksum => "the checksum of the GPT header is wrong",
            Self::Bounds => "the GPT header is out of bounds",
            Self::EntriesChecksum => "the checksum of the GPT entries is wrong",
            Self::PartitionBounds => "a partition lies outside the disk",
            Self::TooManyPartitions => "the GPT has too many partitions",
        })
    }
}

/// Reads the partition table of `disk`: the primary copy, or the backup if the primary is damaged.
///
/// # Errors
/// What is wrong with the primary copy, if neither can be used.
pub fn read(disk: &mut impl BlockDevice) -> Result<Table, GptError> {
    read_copy(disk, PRIMARY_HEADER_LBA, Copy::Primary).or_else(|primary_error| {
        let backup_lba = disk.sector_count().checked_sub(1).ok_or(primary_error)?;
        read_copy(disk, backup_lba, Copy::Backup).map_err(|_| primary_error)
    })
}

struct Header {
    first_usable_lba: u64,
    last_usable_lba: u64,
    entries_lba: u64,
    entry_count: u32,
    entry_bytes: u32,
    entries_crc32: u32,
}

/// Checks a header that was read from `lba` of a disk of `sector_count` sectors.
fn parse_header(sector: &Sector, lba: u64, sector_count: u64) -> Result<Header, GptError> {
    let long = |offset| u64_at(sector, offset).ok_or(GptError::Bounds);
    let word = |offset| u32_at(sector, offset).ok_or(GptError::Bounds);
    if !sector.starts_with(SIGNATURE) {
        return Err(GptError::Signature);
    }
    if word(8)? != REVISION {
        return Err(GptError::Revision);
    }
    let header_bytes = word(12)?;
    if header_bytes < HEADER_MIN_BYTES {
        return Err(GptError::Bounds);
    }
    let header = usize::try_from(header_bytes).ok().and_then(|bytes| sector.get(..bytes)).ok_or(GptError::Bounds)?;
    // The checksum covers the header with its own field as zero.
    let mut crc = Crc32::default();
    let (before, rest) = header.split_at_checked(16).ok_or(GptError::Bounds)?;
    crc.update(before);
    crc.update(&[0; 4]);
    crc.update(rest.get(4..).ok_or(GptError::Bounds)?);
    if crc.value() != word(16)? {
        return Err(GptError::HeaderChecksum);
    }

    let parsed = Header {
        first_usable_lba: long(40)?,
        last_usable_lba: long(48)?,
        entries_lba: long(72)?,
        entry_count: word(80)?,
        entry_bytes: word(84)?,
        entries_crc32: word(88)?,
    };
    let entries_bytes = u64::from(parsed.entry_count).saturating_mul(u64::from(parsed.entry_bytes));
    let entries_sectors = entries_bytes.div_ceil(SECTOR_BYTES as u64);
    let entries_end = parsed.entries_lba.checked_add(entries_sectors).ok_or(GptError::Bounds)?;
    let entry_size_is_valid = parsed.entry_bytes.is_power_of_two()
        && parsed.entry_bytes >= ENTRY_MIN_BYTES
        && usize::try_from(parsed.entry_bytes).is_ok_and(|bytes| bytes <= SECTOR_BYTES);
    if long(24)? != lba
        || !entry_size_is_valid
        || entries_bytes > ENTRIES_MAX_BYTES
        || entries_end > sector_count
        || parsed.entries_lba < 2
        || parsed.first_usable_lba > parsed.last_usable_lba
        || parsed.last_usable_lba >= sector_count
    {
        return Err(GptError::Bounds);
    }
    Ok(parsed)
}

fn read_copy(disk: &mut impl BlockDevice, lba: u64, copy: Copy) -> Result<Table, GptError> {
    let mut sector: Sector = [0; SECTOR_BYTES];
    disk.read(lba, &mut sector)?;
    let header = parse_header(&sector, lba, disk.sector_count())?;
    let entry_bytes = usize::try_from(header.entry_bytes).map_err(|_| GptError::Bounds)?;

    let mut table = Table { copy, partitions: [Partition::default(); PARTITIONS_MAX], count: 0 };
    let mut crc = Crc32::default();
    let mut lba = header.entries_lba;
    let mut number = 0;
    // Entries never cross a sector: their size is a power of two of at most a sector.
    while number < header.entry_count {
        disk.read(lba, &mut sector)?;
        lba = lba.saturating_add(1);
        for entry in sector.chunks_exact(entry_bytes) {
            if number == header.entry_count {
                break;
            }
            number = number.saturating_add(1);
            crc.update(entry);
            table.add(entry, number, &header)?;
        }
    }
    if crc.value() != header.entries_crc32 {
        return Err(GptError::EntriesChecksum);
    }
    Ok(table)
}

impl Table {
    fn add(&mut self, entry: &[u8], number: u32, header: &Header) -> Result<(), GptError> {
        let guid = |offset| array(entry, offset).map(Guid).ok_or(GptError::Bounds);
        let lba = |offset| u64_at(entry, offset).ok_or(GptError::Bounds);
        let partition =
            Partition { number, type_guid: guid(0)?, guid: guid(16)?, first_lba: lba(32)?, last_lba: lba(40)? };
        if partition.type_guid == Guid::default() {
            return Ok(());
        }
        if partition.first_lba < header.first_usable_lba
            || partition.first_lba > partition.last_lba
            || partition.last_lba > header.last_usable_lba
        {
            return Err(GptError::PartitionBounds);
        }
        *self.partitions.get_mut(self.count).ok_or(GptError::TooManyPartitions)? = partition;
        self.count = self.count.saturating_add(1);
        Ok(())
    }
}
