//! VXLAN's header (RFC 7348, 5).

use super::{Header, Reject};

pub const HEADER_BYTES: usize = 8;
/// The VNI is valid; all others are of extensions, whose packets are not what they seem without them.
const FLAGS: [u8; 4] = [0x08, 0, 0, 0];

/// Takes a datagram apart.
///
/// # Errors
/// Why it is to be dropped; Open vSwitch is as strict.
pub fn parse(datagram: &[u8]) -> Result<Header<'_>, Reject> {
    let (&[a, b, c, d, high, middle, low, reserved], _) =
        datagram.split_first_chunk::<HEADER_BYTES>().ok_or(Reject::Short)?;
    if [a, b, c, d] != FLAGS || reserved != 0 {
        return Err(Reject::Flags);
    }
    Ok(Header { id: u32::from_be_bytes([0, high, middle, low]), options: &[], frame_at: HEADER_BYTES })
}

/// Appends a header.
pub fn write(id: u32, out: &mut Vec<u8>) {
    let [_, high, middle, low] = id.to_be_bytes();
    out.extend_from_slice(&FLAGS);
    out.extend_from_slice(&[high, middle, low, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_what_would_be_written_is_taken(bytes in prop::collection::vec(any::<u8>(), 0..20), id in 0u32..1 << 24) {
            let mut out = Vec::new();
            write(id, &mut out);
            prop_assert_eq!(parse(&out).map(|header| header.id), Ok(id));
            match parse(&bytes) {
                Ok(header) => {
                    out.clear();
                    write(header.id, &mut out);
                    prop_assert_eq!(&out[..], &bytes[..HEADER_BYTES]);
                }
                Err(reason) => prop_assert_eq!(reason == Reject::Short, bytes.len() < HEADER_BYTES),
            }
        }
    }
}
