//! Integrity of single blocks: CRC32C, or AES-256-GCM where the volume is encrypted.
//!
//! A block's nonce is where it lies, and no place is ever written twice under one key: segments are numbered upwards, and every
//! open of a volume makes a larger incarnation durable before it writes (the argument is in ARCHITECTURE.md).

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

pub const KEY_BYTES: usize = 32;
pub const TAG_BYTES: usize = 16;
pub const CRC_BYTES: usize = 4;

/// CRC-32C (Castagnoli), as in iSCSI.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Who wrote a segment and which it is: unique for ever within one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId {
    /// Bumped by compare-and-swap in the store whenever the volume changes hands.
    pub epoch: u32,
    /// Bumped durably by every open under one epoch; below [`MAX_INCARNATION`].
    pub incarnation: u32,
    /// Position in the volume's log.
    pub seq: u32,
}

/// 20 bits of the nonce.
pub const MAX_INCARNATION: u32 = (1 << 20) - 1;

/// What a block is, bound to its tag so that blocks cannot be passed off for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    Data {
        lba: u32,
    },
    /// A piece of a leaf of the block map.
    Leaf {
        index: u32,
    },
}

/// The stored proof of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Crc(u32),
    Tag([u8; TAG_BYTES]),
}

/// How the blocks of one writer are protected.
#[expect(clippy::large_enum_variant, reason = "there are few: one for each owner of a volume's segments")]
pub enum Guard {
    Plain,
    /// The writer's identity is part of what is authenticated.
    Sealed {
        key: LessSafeKey,
        owner: [u8; 16],
    },
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_sealed() { "Sealed" } else { "Plain" })
    }
}

impl Guard {
    /// `key` None: checksums only.
    pub fn new(key: Option<&[u8; KEY_BYTES]>, owner: [u8; 16]) -> Self {
        match key.and_then(|key| UnboundKey::new(&AES_256_GCM, key).ok()) {
            Some(key) => Self::Sealed { key: LessSafeKey::new(key), owner },
            None => Self::Plain,
        }
    }

    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed { .. })
    }

    /// Bytes of one [`Check`] on disk.
    pub fn check_bytes(&self) -> usize {
        if self.is_sealed() { TAG_BYTES } else { CRC_BYTES }
    }

    /// Turn one plain block into what is stored, in place.
    pub fn protect(&self, segment: SegmentId, position: u16, identity: Identity, block: &mut [u8]) -> Check {
        match self {
            Self::Plain => Check::Crc(crc32c(block)),
            Self::Sealed { key, owner } => {
                let (nonce, aad) = (nonce(segment, position), aad(owner, identity));
                // It fails for texts beyond 64 GiB only.
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), block);
                let mut bytes = [0; TAG_BYTES];
                if let Ok(tag) = tag {
                    bytes.copy_from_slice(tag.as_ref());
                }
                Check::Tag(bytes)
            }
        }
    }

    /// Turn one stored block into what was written, in place. False if it is not what was stored.
    #[must_use]
    pub fn verify(
        &self,
        segment: SegmentId,
        position: u16,
        identity: Identity,
        check: Check,
        block: &mut [u8],
    ) -> bool {
        match (self, check) {
            (Self::Plain, Check::Crc(crc)) => crc32c(block) == crc,
            (Self::Sealed { key, owner }, Check::Tag(tag)) => {
                let (nonce, aad) = (nonce(segment, position), aad(owner, identity));
                key.open_in_place_separate_tag(nonce, Aad::from(aad), ring::aead::Tag::from(tag), block, 0..).is_ok()
            }
            _ => false,
        }
    }
}

/// Epoch 32 bits, incarnation 20, sequence 32, position 12.
fn nonce(segment: SegmentId, position: u16) -> Nonce {
    let bits = u128::from(segment.epoch) << 64
        | u128::from(segment.incarnation & MAX_INCARNATION) << 44
        | u128::from(segment.seq) << 12
        | u128::from(position & 0xfff);
    let mut bytes = [0; NONCE_LEN];
    bytes.copy_from_slice(&bits.to_be_bytes()[16 - NONCE_LEN..]);
    Nonce::assume_unique_for_key(bytes)
}

fn aad(owner: &[u8; 16], identity: Identity) -> [u8; 21] {
    let (kind, number) = match identity {
        Identity::Data { lba } => (0, lba),
        Identity::Leaf { index } => (1, index),
    };
    let mut aad = [0; 21];
    aad[..16].copy_from_slice(owner);
    aad[16] = kind;
    aad[17..].copy_from_slice(&number.to_le_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentId = SegmentId { epoch: 3, incarnation: 2, seq: 9 };

    #[test]
    fn crc_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_sealed_block_opens_only_as_what_it_is() {
        let guard = Guard::new(Some(&[7; 32]), [1; 16]);
        let identity = Identity::Data { lba: 5 };
        let mut block = vec![0x5a; 4096];
        let check = guard.protect(SEGMENT, 33, identity, &mut block);
        assert_ne!(block, vec![0x5a; 4096]);
        let opens = |guard: &Guard, segment, position, identity, check| {
            let mut copy = block.clone();
            guard.verify(segment, position, identity, check, &mut copy) && copy == vec![0x5a; 4096]
        };
        assert!(opens(&guard, SEGMENT, 33, identity, check));
        assert!(!opens(&guard, SEGMENT, 34, identity, check), "another place");
        assert!(!opens(&guard, SegmentId { incarnation: 3, ..SEGMENT }, 33, identity, check), "another incarnation");
        assert!(!opens(&guard, SEGMENT, 33, Identity::Data { lba: 6 }, check), "another address");
        assert!(!opens(&guard, SEGMENT, 33, Identity::Leaf { index: 5 }, check), "another kind");
        assert!(!opens(&Guard::new(Some(&[8; 32]), [1; 16]), SEGMENT, 33, identity, check), "another key");
        assert!(!opens(&Guard::new(Some(&[7; 32]), [2; 16]), SEGMENT, 33, identity, check), "another volume");
        assert!(!opens(&guard, SEGMENT, 33, identity, Check::Crc(0)));
    }

    #[test]
    fn nonces_differ_in_every_part() {
        let base = nonce(SEGMENT, 1);
        let others = [
            nonce(SegmentId { epoch: 4, ..SEGMENT }, 1),
            nonce(SegmentId { incarnation: 3, ..SEGMENT }, 1),
            nonce(SegmentId { seq: 10, ..SEGMENT }, 1),
            nonce(SEGMENT, 2),
        ];
        assert!(others.iter().all(|other| other.as_ref() != base.as_ref()));
    }
}
