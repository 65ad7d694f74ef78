//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Ones'-complement sum of big-endian 16-bit words, not yet folded; an odd last byte is padded with zero. Sums of slices of
/// even length may be added before folding. 2^48 words fit without overflow.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    // The order of bytes does not matter to it (RFC 1071, 2B): four at once, as they lie.
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total += u64::from(u32::from_ne_bytes(last));
    u16::from_be(fold(total)).into()
}

/// Folds a sum to 16 bits, not complemented.
#[inline]
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Bounded by the loop above.
    sum as u16
}

/// The checksum field's value over `bytes`, whose own checksum field holds zero.
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// Sum of the IPv4 pseudo-header of TCP and UDP (RFC 9293 3.1).
pub fn pseudo_header_ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, length: usize) -> u64 {
    sum(&src.octets()) + sum(&dst.octets()) + u64::from(protocol) + length as u64
}

/// Sum of the IPv6 pseudo-header of TCP, UDP and ICMPv6 (RFC 8200, 8.1).
pub fn pseudo_header_ipv6(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, length: usize) -> u64 {
    sum(&src.octets()) + sum(&dst.octets()) + u64::from(protocol) + length as u64
}

/// New value of checksum field `check` after the even-aligned bytes `old` it covers became `new` (RFC 1624, equation 3).
pub fn update(check: u16, old: &[u8], new: &[u8]) -> u16 {
    // Over nothing but zeros the equation would turn the one valid checksum, 0xffff, into 0.
    if old == new {
        return check;
    }
    let complemented: u64 = old.as_chunks::<2>().0.iter().map(|word| u64::from(!u16::from_be_bytes(*word))).sum();
    !fold(u64::from(!check) + complemented + sum(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_1071_example() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn an_update_that_changes_nothing_keeps_the_checksum_of_zeros() {
        assert_eq!(update(checksum(&[0; 12]), &[0; 2], &[0; 2]), 0xffff);
    }

    proptest! {
        #[test]
        fn checksummed_bytes_sum_to_all_ones(mut bytes in prop::collection::vec(any::<u8>(), 2..200)) {
            bytes[0] = 0;
            bytes[1] = 0;
            let check = checksum(&bytes);
            bytes[..2].copy_from_slice(&check.to_be_bytes());
            prop_assert_eq!(fold(sum(&bytes)), 0xffff);
        }

        #[test]
        fn incremental_update_equals_recomputation(mut bytes in prop::collection::vec(any::<u8>(), 10..60), new in any::<[u8; 4]>()) {
            bytes[0] = 0;
            bytes[1] = 0;
            bytes[8] |= 1; // an all-zero sum has two representations
            let check = checksum(&bytes);
            let old: [u8; 4] = bytes[2..6].try_into().unwrap();
            bytes[2..6].copy_from_slice(&new);
            prop_assert_eq!(update(check, &old, &new), checksum(&bytes));
        }
    }
}
