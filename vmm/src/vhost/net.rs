//! Vhost-user network devices (VIRTIO 1.2, 5.1).

use super::Kind;
use super::message::{PROTOCOL_MQ, PROTOCOL_REPLY_ACK};
use crate::virtio::RING_FEATURES;
use hive_vmm_api::NetConfig;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_MAC,
    VIRTIO_NET_F_MQ, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MTU, VIRTIO_NET_F_STATUS, VIRTIO_NET_S_LINK_UP,
};

/// Network controller, Ethernet.
const PCI_CLASS: u32 = 0x02_0000;

/// A network interface as configured.
#[derive(Debug)]
pub struct Net {
    mac: [u8; 6],
    pairs: u16,
    queue_size: u16,
    mtu: Option<u16>,
}

impl Net {
    /// The device that `config`, with its MAC parsed, describes.
    pub fn new(config: &NetConfig, mac: [u8; 6]) -> Self {
        Self { mac, pairs: config.queue_pairs, queue_size: config.queue_size, mtu: config.mtu }
    }
}

impl Kind for Net {
    fn name(&self) -> &'static str {
        "vhost-user-net"
    }
    fn device_type(&self) -> u16 {
        VIRTIO_ID_NET as u16
    }
    fn pci_class(&self) -> u32 {
        PCI_CLASS
    }
    fn passed_features(&self) -> u64 {
        RING_FEATURES
            | 1 << VIRTIO_NET_F_CSUM
            | 1 << VIRTIO_NET_F_GUEST_CSUM
            | 1 << VIRTIO_NET_F_GUEST_TSO4
            | 1 << VIRTIO_NET_F_GUEST_TSO6
            | 1 << VIRTIO_NET_F_GUEST_ECN
            | 1 << VIRTIO_NET_F_HOST_TSO4
            | 1 << VIRTIO_NET_F_HOST_TSO6
            | 1 << VIRTIO_NET_F_HOST_ECN
            | 1 << VIRTIO_NET_F_MRG_RXBUF
    }
    fn own_features(&self) -> u64 {
        let multi_queue = if self.pairs > 1 { 1 << VIRTIO_NET_F_MQ | 1 << VIRTIO_NET_F_CTRL_VQ } else { 0 };
        let mtu = if self.mtu.is_some() { 1 << VIRTIO_NET_F_MTU } else { 0 };
        1 << VIRTIO_NET_F_MAC | 1 << VIRTIO_NET_F_STATUS | multi_queue | mtu
    }
    fn required_features(&self) -> &[(u64, &'static str)] {
        &[]
    }
    fn required_protocol(&self) -> u64 {
        PROTOCOL_REPLY_ACK | if self.pairs > 1 { PROTOCOL_MQ } else { 0 }
    }
    fn backend_queues(&self) -> u16 {
        self.pairs * 2
    }
    fn counted_queues(&self) -> u16 {
        self.pairs
    }
    fn keeps_inflight(&self) -> bool {
        // A packet in flight may be lost, as on any wire.
        false
    }
    fn queues_at_start(&self) -> u16 {
        // One pair, until the driver asks for more by its control queue.
        2
    }
    fn queue_size(&self) -> u16 {
        self.queue_size
    }
    fn backend_config_bytes(&self) -> usize {
        0
    }
    fn config(&self, _: &[u8]) -> Vec<u8> {
        let mut config = self.mac.to_vec();
        config.extend((VIRTIO_NET_S_LINK_UP as u16).to_le_bytes());
        config.extend(self.pairs.to_le_bytes());
        config.extend(self.mtu.unwrap_or(0).to_le_bytes());
        config
    }
}
