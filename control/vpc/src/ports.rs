//! Ranges as values under masks.

use crate::model::PortRange;

/// The fewest `(value, mask)` that cover a range: at most 30. The whole range is `(0, 0)`.
pub fn masked(range: PortRange) -> Vec<(u16, u16)> {
    let (mut first, last) = (u32::from(range.first), u32::from(range.last));
    let mut pieces = Vec::new();
    while first <= last {
        // As much as begins here and does not end behind the last.
        let aligned = if first == 0 { 16 } else { first.trailing_zeros() };
        let bits = aligned.min((last + 1 - first).ilog2());
        pieces.push((first as u16, (0xffff_u32 << bits) as u16));
        first += 1 << bits;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exactly_the_range_is_covered(first: u16, last: u16, port: u16) {
            let pieces = masked(PortRange { first, last });
            prop_assert!(pieces.len() <= 30);
            let covered = pieces.iter().filter(|(value, mask)| port & mask == *value).count();
            prop_assert_eq!(covered, usize::from((first..=last).contains(&port)));
        }
    }

    #[test]
    fn whole_and_worst() {
        assert_eq!(masked(PortRange::ALL), [(0, 0)]);
        assert_eq!(masked(PortRange::one(22)), [(22, 0xffff)]);
        assert_eq!(masked(PortRange { first: 1, last: 65534 }).len(), 30);
        assert_eq!(masked(PortRange { first: 2, last: 1 }), []);
    }
}
