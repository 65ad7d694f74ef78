//! What a disk does for its readers.

/// Bytes of a sector, the unit in which virtio-blk counts (virtio 1.2, 5.2.4).
pub const SECTOR_BYTES: usize = 512;

/// One sector's bytes.
pub type Sector = [u8; SECTOR_BYTES];

/// A disk could not be read at the wanted place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError;

/// A disk that is read in whole sectors.
pub trait BlockDevice {
    /// Size of the disk in sectors.
    fn sector_count(&self) -> u64;

    /// Fills `buffer`, whose length is a multiple of [`SECTOR_BYTES`], with the sectors from `first` on.
    ///
    /// # Errors
    /// If a sector lies beyond the end, or the device fails.
    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), ReadError>;
}
