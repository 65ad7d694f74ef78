//! A change of a TCP segment's payload that may change its length.

use crate::packet::pseudo_header;
use hive_flow::PROTO_TCP;
use hive_packet::checksum::{checksum, fold, sum};

/// Part of a TCP segment's payload, and what is to be in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    pub(crate) l3: usize,
    pub(crate) l4: usize,
    pub(crate) v6: bool,
    pub(crate) partial: bool,
    /// In the frame.
    pub(crate) at: usize,
    pub(crate) removed: usize,
    pub(crate) text: String,
}

impl Splice {
    /// How much longer the packet becomes.
    pub fn growth(&self) -> isize {
        self.text.len() as isize - self.removed as isize
    }

    /// Changes the frame, its lengths and checksums. `padding_bytes` of it are behind the IP packet, and are dropped.
    ///
    /// False, and nothing changed, if it is not the frame that this is of, or would be longer than IP packets can be.
    pub fn apply(&self, frame: &mut Vec<u8>, padding_bytes: usize) -> bool {
        let Some(end) = frame.len().checked_sub(padding_bytes) else { return false };
        let Some(from) = self.at.checked_add(self.removed).filter(|from| *from <= end) else { return false };
        // Lengths count from the IP header, or behind it.
        let counted = if self.v6 { self.l3 + 40 } else { self.l3 };
        let length_at = if self.v6 { self.l3 + 4 } else { self.l3 + 2 };
        let Some(length) = end.checked_add_signed(self.growth()).and_then(|end| end.checked_sub(counted)) else {
            return false;
        };
        let Ok(length) = u16::try_from(length) else { return false };
        if self.l4 + 20 > self.at {
            return false;
        }
        frame.truncate(end);
        frame.splice(self.at..from, self.text.bytes());
        frame[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        if !self.v6 {
            frame[self.l3 + 10..self.l3 + 12].fill(0);
            let value = checksum(&frame[self.l3..self.l3 + 4 * usize::from(frame[self.l3] & 0xf)]);
            frame[self.l3 + 10..self.l3 + 12].copy_from_slice(&value.to_be_bytes());
        }
        let (l3, l4) = (self.l3, self.l4);
        let Some(pseudo) = pseudo_header(&frame[l3..], self.v6, PROTO_TCP, frame.len() - l4) else { return false };
        frame[l4 + 16..l4 + 18].fill(0);
        let value = if self.partial { fold(pseudo) } else { !fold(pseudo + sum(&frame[l4..])) };
        frame[l4 + 16..l4 + 18].copy_from_slice(&value.to_be_bytes());
        true
    }
}
