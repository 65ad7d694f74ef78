//! Messages of the vhost-user protocol: a header of three 32-bit words (request, flags, size) and a payload.

use crate::memory::SharedRegion;
use crate::virtio::ActiveQueue;

/// Bytes of a message header.
pub const HEADER_BYTES: usize = 12;
/// Largest payload taken from a backend; replies the VMM asks for are far below.
pub const MAX_REPLY_BYTES: usize = 512;

/// Flags: protocol version 1; the message is a reply; the sender wants one.
pub const FLAG_VERSION: u32 = 1;
pub const FLAG_VERSION_MASK: u32 = 3;
pub const FLAG_REPLY: u32 = 1 << 2;
pub const FLAG_NEED_REPLY: u32 = 1 << 3;

/// Feature bit that opens the protocol features; never the guest's.
pub const FEATURE_PROTOCOL: u64 = 1 << 30;
/// Protocol features.
pub const PROTOCOL_MQ: u64 = 1 << 0;
pub const PROTOCOL_REPLY_ACK: u64 = 1 << 3;
pub const PROTOCOL_CONFIG: u64 = 1 << 9;
pub const PROTOCOL_INFLIGHT_SHMFD: u64 = 1 << 12;

/// Requests of the frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Request {
    GetFeatures = 1,
    SetFeatures = 2,
    SetOwner = 3,
    SetMemTable = 5,
    SetVringNum = 8,
    SetVringAddr = 9,
    SetVringBase = 10,
    GetVringBase = 11,
    SetVringKick = 12,
    SetVringCall = 13,
    GetProtocolFeatures = 15,
    SetProtocolFeatures = 16,
    GetQueueNum = 17,
    SetVringEnable = 18,
    GetConfig = 24,
    GetInflightFd = 31,
    SetInflightFd = 32,
}

/// A header as it is sent.
pub fn header(request: Request, flags: u32, size: usize) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&(request as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&(FLAG_VERSION | flags).to_le_bytes());
    bytes[8..].copy_from_slice(&(size as u32).to_le_bytes());
    bytes
}

/// The payload size of a reply to `request`, or why its header is not one.
pub fn reply_size(request: Request, header: &[u8; HEADER_BYTES]) -> Result<usize, String> {
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (code, flags, size) = (word(0), word(4), word(8) as usize);
    if code != request as u32 || flags & FLAG_REPLY == 0 || flags & FLAG_VERSION_MASK != FLAG_VERSION {
        return Err(format!("reply to {request:?} has request {code} and flags {flags:#x}"));
    }
    if size > MAX_REPLY_BYTES {
        return Err(format!("reply to {request:?} claims {size} bytes"));
    }
    Ok(size)
}

/// Vring state: index and number.
pub fn vring_state(index: u16, number: u32) -> Vec<u8> {
    [u32::from(index), number].map(u32::to_le_bytes).concat()
}

/// Vring addresses, in terms of this process.
pub fn vring_addr(queue: &ActiveQueue) -> Vec<u8> {
    let mut payload = vring_state(queue.index, 0);
    for address in [queue.host.descriptors, queue.host.used, queue.host.available, 0] {
        payload.extend(address.to_le_bytes());
    }
    payload
}

/// Memory table: one region each for the descriptors that go with the message.
pub fn memory_table(regions: &[SharedRegion]) -> Vec<u8> {
    let mut payload = [regions.len() as u32, 0].map(u32::to_le_bytes).concat();
    for region in regions {
        for field in [region.guest_address, region.size_bytes, region.host_address, region.file.start()] {
            payload.extend(field.to_le_bytes());
        }
    }
    payload
}

/// Request for `size` bytes of device configuration.
pub fn config_request(size: usize) -> Vec<u8> {
    let mut payload = [0, size as u32, 0].map(u32::to_le_bytes).concat();
    payload.resize(payload.len() + size, 0);
    payload
}

/// The configuration in a reply, if it has exactly the bytes asked for.
pub fn config_reply(payload: &[u8], size: usize) -> Option<&[u8]> {
    let (head, config) = payload.split_at_checked(12)?;
    let expected = [0, size as u32].map(u32::to_le_bytes).concat();
    (head[..8] == expected[..] && config.len() == size).then_some(config)
}

/// The area in which a backend keeps what is in flight, so that its successor can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InflightArea {
    pub mmap_size: u64,
    pub mmap_offset: u64,
    pub queues: u16,
    pub queue_size: u16,
}

impl InflightArea {
    /// Bytes of the message, with the padding that its C structure has.
    const BYTES: usize = 24;

    /// As payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = [self.mmap_size, self.mmap_offset].map(u64::to_le_bytes).concat();
        payload.extend([self.queues, self.queue_size].map(u16::to_le_bytes).concat());
        payload.resize(Self::BYTES, 0);
        payload
    }

    /// From a reply's payload. The VMM only keeps and returns it, so the values need not make sense to it.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (size, rest) = payload.split_first_chunk::<8>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (queues, rest) = rest.split_first_chunk::<2>()?;
        let queue_size = rest.first_chunk::<2>()?;
        Some(Self {
            mmap_size: u64::from_le_bytes(*size),
            mmap_offset: u64::from_le_bytes(*offset),
            queues: u16::from_le_bytes(*queues),
            queue_size: u16::from_le_bytes(*queue_size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inflight_area_is_as_the_c_structure() {
        let area = InflightArea { mmap_size: 0x1000, mmap_offset: 8, queues: 2, queue_size: 256 };
        let payload = area.encode();
        assert_eq!(payload.len(), 24);
        assert_eq!(payload[16..20], [2, 0, 0, 1]);
        assert_eq!(InflightArea::decode(&payload), Some(area));
    }

    #[test]
    fn replies_must_answer_their_request() {
        let reply = |code: u32, flags: u32, size: u32| {
            let mut bytes = [0; HEADER_BYTES];
            for (at, word) in [code, flags, size].into_iter().enumerate() {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
            }
            reply_size(Request::GetFeatures, &bytes)
        };
        assert_eq!(reply(1, 5, 8), Ok(8));
        assert!(reply(2, 5, 8).is_err());
        assert!(reply(1, 1, 8).is_err());
        assert!(reply(1, 6, 8).is_err());
        assert!(reply(1, 5, 1 << 20).is_err());
    }

    proptest! {
        #[test]
        fn hostile_replies_do_not_panic(payload in prop::collection::vec(any::<u8>(), 0..100), size in 0usize..100) {
            let _ = InflightArea::decode(&payload);
            if let Some(config) = config_reply(&payload, size) {
                prop_assert_eq!(config.len(), size);
            }
        }
    }
}
