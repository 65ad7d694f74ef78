//! A message's header, and messages cut out of a byte stream.

use crate::ErrorCode;
use crate::wire::{Put, Reader};

/// Bytes of `ofp_header`.
pub const HEADER_BYTES: usize = 8;
/// The length field has 16 bits.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// `ofp_header`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// As on the wire: also one that is not spoken here.
    pub version: u8,
    pub kind: u8,
    /// Bytes of the whole message, header included.
    pub length: u16,
    /// Chosen by the requester, repeated in replies and errors.
    pub xid: u32,
}

impl Header {
    pub fn decode(bytes: &[u8]) -> Result<Self, ErrorCode> {
        let mut reader = Reader::new(bytes, ErrorCode::RequestBadLen);
        Ok(Self { version: reader.u8()?, kind: reader.u8()?, length: reader.u16()?, xid: reader.u32()? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.version);
        out.u8(self.kind);
        out.u16(self.length);
        out.u32(self.xid);
    }
}

/// A stream that cannot be followed any more: its end must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a message announces {0} bytes, less than its header has")]
    TooShort(u16),
}

/// Messages out of a byte stream, in whatever pieces it comes. Holds at most one unfinished message and what was pushed last.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were handed out already.
    taken: usize,
}

impl Framer {
    /// Add bytes as they came. Call [`Framer::next_message`] until it has none before pushing more, and the memory held stays
    /// below [`MESSAGE_BYTES_MAX`] plus one piece.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken.min(self.buffer.len()));
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, header included.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Ok(header) = Header::decode(rest) else { return Ok(None) };
        let length = usize::from(header.length);
        if length < HEADER_BYTES {
            return Err(FrameError::TooShort(header.length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.taken;
        self.taken += length;
        Ok(self.buffer.get(start..self.taken))
    }

    /// Bytes that wait for the rest of their message.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_the_stream_was_cut() {
        let stream: Vec<u8> =
            [hex::decode("0605000800000001").unwrap(), hex::decode("0602000a00000002abcd").unwrap()].concat();
        for piece in 1..=stream.len() {
            let mut framer = Framer::default();
            let mut found = Vec::new();
            for bytes in stream.chunks(piece) {
                framer.push(bytes);
                while let Some(message) = framer.next_message().unwrap() {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found.concat(), stream);
            assert_eq!(found.len(), 2);
            assert_eq!(framer.pending_bytes(), 0);
        }
    }

    #[test]
    fn a_length_below_the_header_ends_the_stream() {
        let mut framer = Framer::default();
        framer.push(&[6, 0, 0, 7, 0, 0, 0, 1]);
        assert_eq!(framer.next_message(), Err(FrameError::TooShort(7)));
    }
}
