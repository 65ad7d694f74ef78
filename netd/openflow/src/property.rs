//! Properties: type, length, content, padded to 8 (`ofp_prop_header`, since OpenFlow 1.4 and in Nicira's newer messages).

use crate::ErrorCode;
use crate::wire::{Put, Reader, padded};

/// Bytes of `ofp_prop_header`.
const HEADER_BYTES: usize = 4;
/// From this type on a property is an experimenter's own.
const EXPERIMENTER: u16 = 0xffff;

/// What kind of property; an experimenter's id stands in the high half.
pub(crate) const fn experimenter(vendor: u32, kind: u32) -> u64 {
    (vendor as u64) << 32 | kind as u64
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Property<'a> {
    pub kind: u64,
    /// Behind the header.
    pub content: &'a [u8],
}

impl<'a> Property<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, ErrorCode> {
        Self::decode_with(reader, EXPERIMENTER)
    }

    /// `first_experimenter`: asynchronous configuration has two experimenter types.
    pub(crate) fn decode_with(reader: &mut Reader<'a>, first_experimenter: u16) -> Result<Self, ErrorCode> {
        let mut header = Reader::new(reader.rest(), ErrorCode::PropertyBadLen);
        let (kind, length) = (header.u16()?, usize::from(header.u16()?));
        if length < HEADER_BYTES || padded(length) > reader.remaining() {
            return Err(ErrorCode::PropertyBadLen);
        }
        let mut content = header.sub(length - HEADER_BYTES)?;
        let kind = if kind < first_experimenter {
            kind.into()
        } else {
            match (content.u32()?, content.u32()?) {
                // A vendor 0 could not be told from a standard type.
                (0, _) => return Err(ErrorCode::PropertyBadExperimenter),
                (vendor, kind) => experimenter(vendor, kind),
            }
        };
        reader.skip(padded(length))?;
        Ok(Self { kind, content: content.take_all() })
    }

    fn whole(self) -> Reader<'a> {
        Reader::new(self.content, ErrorCode::PropertyBadLen)
    }

    // Of small numbers, what follows within the length is ignored, as Open vSwitch does: some pad them.

    pub(crate) fn u8(self) -> Result<u8, ErrorCode> {
        self.whole().u8()
    }

    pub(crate) fn u16(self) -> Result<u16, ErrorCode> {
        self.whole().u16()
    }

    pub(crate) fn u32(self) -> Result<u32, ErrorCode> {
        self.content.try_into().map(u32::from_be_bytes).map_err(|_| ErrorCode::PropertyBadLen)
    }

    /// Aligned to 8 behind the header.
    pub(crate) fn u64(self) -> Result<u64, ErrorCode> {
        self.nested()?.u64()
    }

    /// Content that is aligned to 8 behind the header.
    pub(crate) fn nested(self) -> Result<Reader<'a>, ErrorCode> {
        let mut reader = self.whole();
        reader.skip(4)?;
        Ok(reader)
    }

    /// What an unknown property is refused with.
    pub(crate) fn unknown(self) -> ErrorCode {
        if self.kind >> 32 != 0 { ErrorCode::PropertyBadExpType } else { ErrorCode::PropertyBadType }
    }
}

/// Write a property around what `content` writes.
pub(crate) fn put(out: &mut Vec<u8>, kind: u64, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    match kind >> 32 {
        0 => {
            out.u16(kind as u16);
            out.u16(0);
        }
        vendor => {
            out.u16(EXPERIMENTER);
            out.u16(0);
            out.u32(vendor as u32);
            out.u32(kind as u32);
        }
    }
    content(out);
    out.set_length(start, 2);
    out.pad(start);
}

pub(crate) fn put_u8(out: &mut Vec<u8>, kind: u64, value: u8) {
    put(out, kind, |out| out.u8(value));
}

pub(crate) fn put_u16(out: &mut Vec<u8>, kind: u64, value: u16) {
    put_u32(out, kind, u32::from(value) << 16);
}

pub(crate) fn put_u32(out: &mut Vec<u8>, kind: u64, value: u32) {
    put(out, kind, |out| out.u32(value));
}

pub(crate) fn put_u64(out: &mut Vec<u8>, kind: u64, value: u64) {
    put_nested(out, kind, |out| out.u64(value));
}

pub(crate) fn put_nested(out: &mut Vec<u8>, kind: u64, content: impl FnOnce(&mut Vec<u8>)) {
    put(out, kind, |out| {
        out.zeros(4);
        content(out);
    });
}
