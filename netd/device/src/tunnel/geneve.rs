//! Geneve's header (RFC 8926, 3.4 and 3.5).

use super::{Header, Reject};

/// Without options.
pub const HEADER_BYTES: usize = 8;
/// The options' length is 6 bits of words.
pub const OPTIONS_BYTES_MAX: usize = 63 * 4;
const OPTION_HEADER_BYTES: usize = 4;
/// Transparent Ethernet Bridging.
const PROTOCOL_ETHERNET: u16 = 0x6558;
const CONTROL: u8 = 0x80;
const CRITICAL: u8 = 0x40;
/// Of an option's type: whoever does not know it must drop the packet.
const CRITICAL_OPTION: u8 = 0x80;

/// An option of a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneveOption<'a> {
    pub class: u16,
    /// With the critical bit.
    pub kind: u8,
    pub value: &'a [u8],
}

impl GeneveOption<'_> {
    pub fn is_critical(&self) -> bool {
        self.kind & CRITICAL_OPTION != 0
    }
}

/// The options of a packet, or why they are none. Reserved bits mean nothing (RFC 8926, 3.5).
pub fn options(bytes: &[u8]) -> impl Iterator<Item = Result<GeneveOption<'_>, Reject>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let option = option(rest);
        rest = option.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(option.map(|(option, _)| option).ok_or(Reject::Options))
    })
}

fn option(bytes: &[u8]) -> Option<(GeneveOption<'_>, &[u8])> {
    let (&[class_high, class_low, kind, words], rest) = bytes.split_first_chunk::<OPTION_HEADER_BYTES>()?;
    let (value, rest) = rest.split_at_checked(usize::from(words & 0x1f) * 4)?;
    Some((GeneveOption { class: u16::from_be_bytes([class_high, class_low]), kind, value }, rest))
}

/// Takes a datagram apart.
///
/// # Errors
/// Why it is to be dropped.
pub fn parse(datagram: &[u8]) -> Result<Header<'_>, Reject> {
    let (&[first, flags, type_high, type_low, high, middle, low, _], rest) =
        datagram.split_first_chunk::<HEADER_BYTES>().ok_or(Reject::Short)?;
    if first >> 6 != 0 {
        return Err(Reject::Version);
    }
    if flags & CONTROL != 0 {
        return Err(Reject::Control);
    }
    if u16::from_be_bytes([type_high, type_low]) != PROTOCOL_ETHERNET {
        return Err(Reject::ProtocolType);
    }
    let options_bytes = usize::from(first & 0x3f) * 4;
    let all = rest.get(..options_bytes).ok_or(Reject::Short)?;
    // All options are looked at, so the bit that says whether there is a critical one says nothing new.
    for option in options(all) {
        option?;
    }
    let id = u32::from_be_bytes([0, high, middle, low]);
    Ok(Header { id, options: all, frame_at: HEADER_BYTES + options_bytes })
}

/// Appends a header; false, and nothing, if the options are none.
pub fn write(id: u32, raw: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(words) = u8::try_from(raw.len() / 4) else { return false };
    let mut flags = 0;
    for option in options(raw) {
        match option {
            Ok(option) if option.is_critical() => flags = CRITICAL,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    if raw.len() > OPTIONS_BYTES_MAX {
        return false;
    }
    let [type_high, type_low] = PROTOCOL_ETHERNET.to_be_bytes();
    let [_, high, middle, low] = id.to_be_bytes();
    out.extend_from_slice(&[words, flags, type_high, type_low, high, middle, low, 0]);
    out.extend_from_slice(raw);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: [u8; 8] = [0, 0, 0x65, 0x58, 0, 0, 7, 0];

    #[test]
    fn what_is_not_ours_has_a_reason() {
        let with = |changes: &[(usize, u8)], tail: &[u8]| {
            let mut bytes = PLAIN.to_vec();
            changes.iter().for_each(|(at, value)| bytes[*at] = *value);
            bytes.extend_from_slice(tail);
            parse(&bytes).map(|header| (header.id, header.frame_at))
        };
        assert_eq!(with(&[], &[]), Ok((7, 8)));
        assert_eq!(parse(&PLAIN[..7]), Err(Reject::Short));
        assert_eq!(with(&[(0, 0x40)], &[]), Err(Reject::Version));
        assert_eq!(with(&[(1, 0x80)], &[]), Err(Reject::Control));
        assert_eq!(with(&[(2, 0x08), (3, 0)], &[]), Err(Reject::ProtocolType));
        assert_eq!(with(&[(0, 1)], &[0, 0, 0]), Err(Reject::Short));
        assert_eq!(with(&[(0, 1)], &[1, 2, 0, 1]), Err(Reject::Options));
        assert_eq!(with(&[(0, 2), (7, 0xff)], &[1, 2, 0, 1, 9, 9, 9, 9]), Ok((7, 16)));
        assert_eq!(with(&[(0, 1), (1, 0x40)], &[1, 2, 0x80, 0]), Ok((7, 12)));
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(header) = parse(&bytes) {
                prop_assert!(header.frame_at <= bytes.len());
                // What was read, written again, reads the same.
                let mut again = Vec::new();
                prop_assert!(write(header.id, header.options, &mut again));
                let again = parse(&again).unwrap();
                prop_assert_eq!((again.id, again.options), (header.id, header.options));
            }
        }

        #[test]
        fn nothing_is_written_that_cannot_be_read(id in 0u32..1 << 24, raw in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            if write(id, &raw, &mut out) {
                prop_assert_eq!(parse(&out).map(|header| (header.id, header.options)), Ok((id, &raw[..])));
            } else {
                prop_assert!(out.is_empty());
            }
        }
    }
}
