//! Vhost-user block devices (VIRTIO 1.2, 5.2).

use super::Kind;
use super::message::{PROTOCOL_CONFIG, PROTOCOL_MQ, PROTOCOL_REPLY_ACK};
use crate::virtio::RING_FEATURES;
use hive_vmm_api::DiskConfig;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_RO,
    VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_WRITE_ZEROES,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

/// `virtio_blk_config` up to and including the write-zeroes fields.
const CONFIG_BYTES: usize = 60;
const NUM_QUEUES_OFFSET: usize = 34;
/// Mass storage, other.
const PCI_CLASS: u32 = 0x01_8000;

/// A disk as configured.
#[derive(Debug)]
pub struct Block {
    queues: u16,
    queue_size: u16,
    required: Vec<(u64, &'static str)>,
}

impl Block {
    /// The device that `config` describes.
    pub fn new(config: &DiskConfig) -> Self {
        let mut required = Vec::new();
        if config.queues > 1 {
            required.push((1 << VIRTIO_BLK_F_MQ, "it has one queue, and more are configured"));
        }
        if config.read_only {
            // Only the backend can keep a hostile guest from writing.
            required
                .push((1 << VIRTIO_BLK_F_RO, "the disk is configured read-only, and the backend serves it writable"));
        }
        Self { queues: config.queues, queue_size: config.queue_size, required }
    }
}

impl Kind for Block {
    fn name(&self) -> &'static str {
        "vhost-user-blk"
    }
    fn device_type(&self) -> u16 {
        VIRTIO_ID_BLOCK as u16
    }
    fn pci_class(&self) -> u32 {
        PCI_CLASS
    }
    fn passed_features(&self) -> u64 {
        let multi_queue = if self.queues > 1 { 1 << VIRTIO_BLK_F_MQ } else { 0 };
        RING_FEATURES
            | multi_queue
            | 1 << VIRTIO_BLK_F_SIZE_MAX
            | 1 << VIRTIO_BLK_F_SEG_MAX
            | 1 << VIRTIO_BLK_F_RO
            | 1 << VIRTIO_BLK_F_BLK_SIZE
            | 1 << VIRTIO_BLK_F_FLUSH
            | 1 << VIRTIO_BLK_F_TOPOLOGY
            | 1 << VIRTIO_BLK_F_DISCARD
            | 1 << VIRTIO_BLK_F_WRITE_ZEROES
    }
    fn own_features(&self) -> u64 {
        0
    }
    fn required_features(&self) -> &[(u64, &'static str)] {
        &self.required
    }
    fn required_protocol(&self) -> u64 {
        PROTOCOL_REPLY_ACK | PROTOCOL_CONFIG | PROTOCOL_MQ
    }
    fn backend_queues(&self) -> u16 {
        self.queues
    }
    fn counted_queues(&self) -> u16 {
        self.queues
    }
    fn keeps_inflight(&self) -> bool {
        true
    }
    fn queues_at_start(&self) -> u16 {
        self.queues
    }
    fn queue_size(&self) -> u16 {
        self.queue_size
    }
    fn backend_config_bytes(&self) -> usize {
        CONFIG_BYTES
    }
    fn config(&self, from_backend: &[u8]) -> Vec<u8> {
        let mut config = from_backend.to_vec();
        config.resize(CONFIG_BYTES, 0);
        config[NUM_QUEUES_OFFSET..NUM_QUEUES_OFFSET + 2].copy_from_slice(&self.queues.to_le_bytes());
        config
    }
}
