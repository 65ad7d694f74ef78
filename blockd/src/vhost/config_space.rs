//! Features and configuration space of the disk (virtio 1.3, sections 5.2.3 and 5.2.4).

use super::request::{MAX_ZERO_SECTORS, SECTOR_BYTES};
use hive_blockd_api::BLOCK_SIZE_BYTES;
use vhost::vhost_user::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};

pub const F_SEG_MAX: u64 = 1 << 2;
pub const F_RO: u64 = 1 << 5;
pub const F_BLK_SIZE: u64 = 1 << 6;
pub const F_FLUSH: u64 = 1 << 9;
pub const F_TOPOLOGY: u64 = 1 << 10;
pub const F_CONFIG_WCE: u64 = 1 << 11;
pub const F_MQ: u64 = 1 << 12;
pub const F_DISCARD: u64 = 1 << 13;
pub const F_WRITE_ZEROES: u64 = 1 << 14;
pub const F_INDIRECT_DESC: u64 = 1 << 28;
pub const F_EVENT_IDX: u64 = 1 << 29;
pub const F_VERSION_1: u64 = 1 << 32;

/// Data segments of one request: with header and status they fit the common queue of 128.
const SEG_MAX: u32 = 126;
/// Sizes of `struct virtio_blk_config` up to `write_zeroes_may_unmap`, and of the space a frontend may ask for.
const CONFIG_BYTES: usize = 60;
pub const CONFIG_SPACE_BYTES: usize = 256;
/// Offset of `writeback`, the one field a driver may write.
pub const WRITEBACK_OFFSET: u32 = 32;

/// What is offered to the driver.
pub fn device_features(read_only: bool) -> u64 {
    let common = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_CONFIG_WCE | F_MQ;
    let writable = if read_only { F_RO } else { F_DISCARD | F_WRITE_ZEROES };
    let ring = F_INDIRECT_DESC | F_EVENT_IDX | F_VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
    common | writable | ring
}

/// What is offered to the frontend.
pub fn protocol_features() -> VhostUserProtocolFeatures {
    VhostUserProtocolFeatures::MQ
        | VhostUserProtocolFeatures::REPLY_ACK
        | VhostUserProtocolFeatures::CONFIG
        | VhostUserProtocolFeatures::INFLIGHT_SHMFD
        | VhostUserProtocolFeatures::RESET_DEVICE
        | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
}

/// `struct virtio_blk_config`, zero-padded.
pub fn config_space(size_bytes: u64, queues: u16, writeback: bool) -> [u8; CONFIG_SPACE_BYTES] {
    let mut space = Vec::with_capacity(CONFIG_SPACE_BYTES);
    space.extend((size_bytes / SECTOR_BYTES).to_le_bytes());
    space.extend(0u32.to_le_bytes()); // size_max: not offered
    space.extend(SEG_MAX.to_le_bytes());
    space.extend([0; 4]); // geometry: not offered
    space.extend((SECTOR_BYTES as u32).to_le_bytes());
    // Topology: physical blocks of 4 KiB (as a power of two of logical ones), aligned, and the best unit of I/O.
    space.extend([(BLOCK_SIZE_BYTES / SECTOR_BYTES).ilog2() as u8, 0]);
    space.extend(((BLOCK_SIZE_BYTES / SECTOR_BYTES) as u16).to_le_bytes());
    space.extend(0u32.to_le_bytes()); // opt_io_size: none better than another
    space.extend([u8::from(writeback), 0]);
    space.extend(queues.to_le_bytes());
    space.extend(MAX_ZERO_SECTORS.to_le_bytes()); // discard: sectors, segments, alignment
    space.extend(1u32.to_le_bytes());
    space.extend(((BLOCK_SIZE_BYTES / SECTOR_BYTES) as u32).to_le_bytes());
    space.extend(MAX_ZERO_SECTORS.to_le_bytes()); // write-zeroes: sectors, segments, may unmap
    space.extend(1u32.to_le_bytes());
    space.extend([1, 0, 0, 0]);
    debug_assert_eq!(space.len(), CONFIG_BYTES);
    std::array::from_fn(|i| space.get(i).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_specification_has_them() {
        let space = config_space(10 << 30, 4, true);
        let u32_at = |at: usize| u32::from_le_bytes(space[at..at + 4].try_into().unwrap());
        assert_eq!(u64::from_le_bytes(space[0..8].try_into().unwrap()), (10 << 30) / 512);
        assert_eq!((u32_at(12), u32_at(20), space[24]), (126, 512, 3));
        assert_eq!((space[WRITEBACK_OFFSET as usize], space[34]), (1, 4));
        assert_eq!((u32_at(36), u32_at(40), u32_at(44)), (MAX_ZERO_SECTORS, 1, 8));
        assert_eq!((u32_at(48), u32_at(52), space[56]), (MAX_ZERO_SECTORS, 1, 1));
        assert!(space[57..].iter().all(|&b| b == 0));
    }
}
