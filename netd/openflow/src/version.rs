//! Protocol versions, and the agreement on one.

use crate::error::ErrorCode;
use crate::wire::{Put, Reader, padded};

/// A version spoken here. Ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    V1_0 = 1,
    V1_3 = 4,
    V1_4 = 5,
    V1_5 = 6,
}

impl Version {
    pub const ALL: [Self; 4] = [Self::V1_0, Self::V1_3, Self::V1_4, Self::V1_5];

    /// The number in a message's header.
    pub fn wire(self) -> u8 {
        self as u8
    }

    pub fn from_wire(version: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.wire() == version)
    }

    fn bit(version: u8) -> u32 {
        1u32.checked_shl(version.into()).unwrap_or(0)
    }
}

/// OFPHET_VERSIONBITMAP.
const VERSION_BITMAP: u16 = 1;

/// OFPT_HELLO: which versions a peer speaks, bit n for wire version n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub versions: u32,
}

impl Hello {
    /// A hello that offers these versions.
    pub fn of(versions: &[Version]) -> Self {
        Self { versions: versions.iter().fold(0, |bits, version| bits | Version::bit(version.wire())) }
    }

    /// The highest version offered here and there, as OpenFlow 1.3.1 section 6.3.1 has it.
    pub fn agree(&self, ours: &Self) -> Option<Version> {
        let common = self.versions & ours.versions;
        Version::ALL.into_iter().rev().find(|version| common & Version::bit(version.wire()) != 0)
    }

    /// The version that the header of this hello carries: the highest offered.
    pub(crate) fn header_version(&self) -> u8 {
        (31 - (self.versions | 1).leading_zeros()) as u8
    }

    /// A hello never fails: what cannot be read of it counts as not said, and then the header's version is the highest of all up to it.
    pub(crate) fn decode(header_version: u8, body: &[u8]) -> Self {
        let up_to = Self { versions: (Version::bit(header_version) << 1).wrapping_sub(2) };
        let mut reader = Reader::new(body, ErrorCode::RequestBadLen);
        while let (Ok(kind), Ok(length)) = (reader.u16(), reader.u16()) {
            let length = usize::from(length);
            let Some(content) = length.checked_sub(4).and_then(|content| reader.take(content).ok()) else { break };
            if kind == VERSION_BITMAP
                && let Some(first) = content.first_chunk::<4>()
            {
                return Self { versions: u32::from_be_bytes(*first) & !1 };
            }
            if reader.skip(padded(length) - length).is_err() {
                break;
            }
        }
        up_to
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        // Versions below 1.3 know no elements; a plain hello says the same when all below are offered.
        let highest = Version::bit(self.header_version());
        if self.versions != (highest << 1).wrapping_sub(2) {
            out.u16(VERSION_BITMAP);
            out.u16(8);
            out.u32(self.versions);
        }
    }
}
