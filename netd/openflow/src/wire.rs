//! Reading and writing of big-endian fields with every length checked.

use crate::ErrorCode;

/// `length` rounded up to a multiple of 8, OpenFlow's alignment.
pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// A cursor over bytes of a peer. What reads past the end fails with the error the caller chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    short: ErrorCode,
}

impl<'a> Reader<'a> {
    /// `short`: what a read past the end is refused with.
    pub(crate) fn new(bytes: &'a [u8], short: ErrorCode) -> Self {
        Self { bytes, short }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ErrorCode> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(self.short)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn take_all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// The next `length` bytes as a reader of their own.
    pub(crate) fn sub(&mut self, length: usize) -> Result<Reader<'a>, ErrorCode> {
        let short = self.short;
        self.take(length).map(|bytes| Reader { bytes, short })
    }

    pub(crate) fn skip(&mut self, length: usize) -> Result<(), ErrorCode> {
        self.take(length).map(drop)
    }

    /// Skip bytes that must be 0.
    pub(crate) fn zeros(&mut self, length: usize, nonzero: ErrorCode) -> Result<(), ErrorCode> {
        if self.take(length)?.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(nonzero) }
    }

    /// All that is left must be 0.
    pub(crate) fn rest_zeros(&mut self, nonzero: ErrorCode) -> Result<(), ErrorCode> {
        self.zeros(self.remaining(), nonzero)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ErrorCode> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(self.short)?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ErrorCode> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ErrorCode> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ErrorCode> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ErrorCode> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, ErrorCode> {
        self.array().map(u128::from_be_bytes)
    }

    /// A text field of fixed length, up to its first NUL; what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self, length: usize) -> Result<String, ErrorCode> {
        let bytes = self.take(length)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
        Ok(String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned())
    }
}

/// A number in network order, right-aligned in 128 bits. Only the last 16 bytes count.
pub(crate) fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte))
}

/// Appends to a message.
pub(crate) trait Put {
    fn put(&mut self, bytes: &[u8]);
    fn length(&self) -> usize;
    fn set(&mut self, offset: usize, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }
    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }
    fn zeros(&mut self, length: usize) {
        for _ in 0..length {
            self.u8(0);
        }
    }
    /// The low `bytes` bytes of `value`, at most 16.
    fn number(&mut self, value: u128, bytes: usize) {
        let wide = value.to_be_bytes();
        self.put(wide.get(wide.len().saturating_sub(bytes)..).unwrap_or_default());
    }
    /// Text in a field of `length` bytes, cut so that a NUL follows.
    fn text(&mut self, text: &str, length: usize) {
        let bytes = text.as_bytes();
        let taken = bytes.len().min(length.saturating_sub(1));
        self.put(bytes.get(..taken).unwrap_or_default());
        self.zeros(length - taken);
    }
    /// Zeros until what was written since `start` is a multiple of 8.
    fn pad(&mut self, start: usize) {
        let written = self.length() - start;
        self.zeros(padded(written) - written);
    }
    /// Write the length since `start` as 16 bits at `start + offset`. A length that does not fit is found when the message ends.
    fn set_length(&mut self, start: usize, offset: usize) {
        let written = u16::try_from(self.length() - start).unwrap_or(u16::MAX);
        self.set(start + offset, &written.to_be_bytes());
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn set(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(target) = self.get_mut(offset..offset + bytes.len()) {
            target.copy_from_slice(bytes);
        }
    }
}
