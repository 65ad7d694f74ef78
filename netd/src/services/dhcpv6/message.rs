//! Messages of DHCPv6: options read and written (RFC 8415, 8 and 21).

use hive_packet::{be16, be32};
use std::net::Ipv6Addr;

/// Type and transaction.
pub const HEADER_BYTES: usize = 4;
const OPTION_HEADER_BYTES: usize = 4;

pub mod option {
    pub const CLIENT_ID: u16 = 1;
    pub const SERVER_ID: u16 = 2;
    pub const IA_NA: u16 = 3;
    pub const IA_TA: u16 = 4;
    pub const IA_ADDRESS: u16 = 5;
    pub const PREFERENCE: u16 = 7;
    pub const STATUS: u16 = 13;
    pub const RAPID_COMMIT: u16 = 14;
    pub const NAME_SERVERS: u16 = 23;
    pub const DOMAINS: u16 = 24;
    pub const IA_PD: u16 = 25;
    pub const SNTP_SERVERS: u16 = 31;
    pub const NTP_SERVER: u16 = 56;
}

/// Options that were walked once, so that none is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// None when the last one does not end where the bytes do.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = rest.get(OPTION_HEADER_BYTES + usize::from(be16(rest, 2)?)..)?;
        }
        Some(Self(bytes))
    }

    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (code, length) = (be16(rest, 0)?, be16(rest, 2)?);
            let (option, after) = rest.split_at_checked(OPTION_HEADER_BYTES + usize::from(length))?;
            rest = after;
            Some((code, option.get(OPTION_HEADER_BYTES..)?))
        })
    }

    pub fn first(self, wanted: u16) -> Option<&'a [u8]> {
        self.iter().find(|(code, _)| *code == wanted).map(|(_, value)| value)
    }
}

/// An identity association: what a client wants addresses, or prefixes, for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    pub code: u16,
    pub id: u32,
    /// That the client has, or would like.
    pub addresses: Vec<Ipv6Addr>,
}

impl Association {
    pub const CODES: [u16; 3] = [option::IA_NA, option::IA_TA, option::IA_PD];

    /// None when it is malformed.
    pub fn parse(code: u16, value: &[u8]) -> Option<Self> {
        // Its identifier, and times but for temporary addresses.
        let fixed_bytes = if code == option::IA_TA { 4 } else { 12 };
        let id = be32(value, 0)?;
        let options = Options::parse(value.get(fixed_bytes..)?)?;
        let addresses = options.iter().filter(|(code, _)| *code == option::IA_ADDRESS);
        // Address, two lifetimes, options.
        let addresses = addresses.map(|(_, value)| value.get(..24)?.first_chunk::<16>().map(|at| Ipv6Addr::from(*at)));
        Some(Self { code, id, addresses: addresses.collect::<Option<_>>()? })
    }
}

/// A message, or the value of an option, that is written, no longer than `most`: options that do not fit are left out.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    most: usize,
}

impl Writer {
    pub fn new(begin: Vec<u8>, most: usize) -> Self {
        Self { bytes: begin, most }
    }

    /// False when it does not fit.
    pub fn add(&mut self, code: u16, value: &[u8]) -> bool {
        let Ok(length) = u16::try_from(value.len()) else { return false };
        let fits = self.bytes.len() + OPTION_HEADER_BYTES + value.len() <= self.most;
        if fits {
            self.bytes.extend_from_slice(&code.to_be_bytes());
            self.bytes.extend_from_slice(&length.to_be_bytes());
            self.bytes.extend_from_slice(value);
        }
        fits
    }

    /// Of the value of one more option.
    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.bytes.len() + OPTION_HEADER_BYTES)
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options_are_read_and_what_is_cut_off_is_not() {
        let bytes = [0, 1, 0, 2, 7, 8, 0, 14, 0, 0, 0, 1, 0, 1, 9];
        let options = Options::parse(&bytes).unwrap();
        assert_eq!(options.iter().collect::<Vec<_>>(), [(1, &[7, 8][..]), (14, &[]), (1, &[9])]);
        assert_eq!((options.first(1), options.first(2)), (Some(&[7, 8][..]), None));
        for cut in [1, 3, 5, 7, 9, 11, 14] {
            assert!(Options::parse(&bytes[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut writer = Writer::new(vec![7; 4], 20);
        assert!(writer.add(1, &[0; 4]));
        assert!(!writer.add(2, &[0; 5]));
        assert!(writer.add(3, &[0; 4]));
        assert!(!writer.add(4, &[]));
        assert_eq!(writer.finish(), [7, 7, 7, 7, 0, 1, 0, 4, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn hostile_options_never_panic(bytes in prop::collection::vec(0u8..30, 0..200)) {
            if let Some(options) = Options::parse(&bytes) {
                let read: usize = options.iter().map(|(_, value)| value.len() + 4).sum();
                prop_assert_eq!(read, bytes.len());
            }
            for code in [3, 4, 25] {
                let _ = Association::parse(code, &bytes);
            }
        }
    }
}
