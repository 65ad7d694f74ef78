//! Where each field lies in a [`Key`](crate::Key).
//!
//! 64 words in 8 cache lines. The first line has what most tables look at, the second IPv6 and ARP; metadata that only some pipelines
//! use comes last. With 64 words a set of words is one `u64`.

use crate::{Field, REGISTERS};

/// Words of a key. 64, so that a set of words is a `u64`.
pub const WORDS: usize = 64;
/// Tunnel options with a place in a key: `tun_metadata0` to `tun_metadata7`. OVN uses one; 8 fill the last two cache lines.
pub const KEY_TUNNEL_OPTIONS: u8 = 8;

/// Bits of a key. A field of more than 64 bits has its upper half in `word` and its lower half in the word behind; `shift` is 0 then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub word: u8,
    /// Of the lowest bit.
    pub shift: u8,
    pub bits: u8,
}

impl Place {
    const fn new(word: u8, shift: u8, bits: u8) -> Self {
        Self { word, shift, bits }
    }

    /// The bits of the field within `word` (its upper half if it has more than 64).
    #[inline]
    pub const fn mask(self) -> u64 {
        if self.bits >= 64 { u64::MAX } else { ((1 << self.bits) - 1) << self.shift }
    }

    /// The words it touches, as a set.
    #[inline]
    pub const fn words(self) -> u64 {
        if self.bits > 64 { 3 << self.word } else { 1 << self.word }
    }
}

/// Parts of a packet that have no [`Field`] of their own, because OpenFlow cannot match on them, but that actions and caches need.
pub(crate) mod hidden {
    use super::Place;

    /// TPID of the outermost tag.
    pub const VLAN_TPID: Place = Place::new(12, 32, 16);
    /// The second tag, as `Field::VlanTci`.
    pub const VLAN1_TCI: Place = Place::new(12, 16, 16);
    pub const VLAN1_TPID: Place = Place::new(12, 0, 16);
    pub const MPLS_LSE0: Place = Place::new(21, 32, 32);
    pub const MPLS_LSE1: Place = Place::new(21, 0, 32);
    pub const MPLS_LSE2: Place = Place::new(22, 32, 32);
    /// Type of service: DSCP and ECN together.
    pub const IP_TOS: Place = Place::new(3, 40, 8);
}

/// A step of a staged lookup: what is likely to decide, and known first, comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Metadata,
    L2,
    L3,
    L4,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::Metadata, Self::L2, Self::L3, Self::L4];

    /// The words looked at in this stage, as a set. The four sets are a partition.
    #[inline]
    pub const fn words(self) -> u64 {
        const L2: u64 = 1 << 1 | 1 << 2 | 1 << 12 | 1 << 21;
        const L3: u64 = 1 << 3 | 1 << 4 | 0b1111 << 8 | 0b111 << 13;
        const L4: u64 = 1 << 5 | 0b1111 << 16 | 1 << 22;
        match self {
            Self::Metadata => !(L2 | L3 | L4),
            Self::L2 => L2,
            Self::L3 => L3,
            Self::L4 => L4,
        }
    }
}

/// The words that a packet's headers fill; the others are metadata.
pub(crate) const HEADER_RANGES: [std::ops::Range<usize>; 3] = [1..6, 8..20, 21..23];

impl Field {
    /// Where it lies in a key. None has only [`Field::TunMetadata`] from [`KEY_TUNNEL_OPTIONS`] on, and a register that is not one.
    // Of a field that is known when it is compiled nothing is left.
    #[inline(always)]
    pub const fn place(self) -> Option<Place> {
        let (word, shift, bits) = match self {
            Self::InPort => (0, 32, 32),
            Self::RecircId => (0, 0, 32),
            Self::EthDst => (1, 16, 48),
            Self::EthType => (1, 0, 16),
            Self::EthSrc => (2, 16, 48),
            Self::VlanTci => (2, 0, 16),
            Self::IpProto => (3, 56, 8),
            Self::IpTtl => (3, 48, 8),
            Self::IpDscp => (3, 42, 6),
            Self::IpEcn => (3, 40, 2),
            Self::IpFrag => (3, 32, 2),
            Self::Ipv6Label => (3, 0, 20),
            Self::Ipv4Src => (4, 32, 32),
            Self::Ipv4Dst => (4, 0, 32),
            Self::TpSrc => (5, 48, 16),
            Self::TpDst => (5, 32, 16),
            Self::TcpFlags => (5, 16, 12),
            Self::IcmpType => (5, 8, 8),
            Self::IcmpCode => (5, 0, 8),
            Self::Metadata => (6, 0, 64),
            Self::CtState => (7, 32, 32),
            Self::CtMark => (7, 0, 32),
            Self::Ipv6Src => (8, 0, 128),
            Self::Ipv6Dst => (10, 0, 128),
            Self::ArpSpa => (13, 32, 32),
            Self::ArpTpa => (13, 0, 32),
            Self::ArpSha => (14, 16, 48),
            Self::ArpOp => (14, 0, 16),
            Self::ArpTha => (15, 16, 48),
            Self::NdTarget => (16, 0, 128),
            Self::NdSll => (18, 16, 48),
            Self::NdOptionsType => (18, 0, 8),
            Self::NdTll => (19, 16, 48),
            Self::MplsLabel => (21, 44, 20),
            Self::MplsTc => (21, 41, 3),
            Self::MplsBos => (21, 40, 1),
            Self::MplsTtl => (21, 32, 8),
            Self::NdReserved => (22, 0, 32),
            Self::CtZone => (23, 48, 16),
            Self::CtNwProto => (23, 40, 8),
            Self::CtTpSrc => (23, 16, 16),
            Self::CtTpDst => (23, 0, 16),
            Self::CtLabel => (24, 0, 128),
            Self::CtNwSrc => (26, 32, 32),
            Self::CtNwDst => (26, 0, 32),
            Self::CtIpv6Src => (27, 0, 128),
            Self::CtIpv6Dst => (29, 0, 128),
            Self::PktMark => (31, 32, 32),
            Self::SkbPriority => (31, 0, 32),
            // `xreg0` is the word of `reg0` and `reg1`, `reg0` its upper half; so for `xxreg`.
            Self::Reg(n) if n < REGISTERS => (32 + n / 2, if n % 2 == 0 { 32 } else { 0 }, 32),
            Self::DpHash => (40, 32, 32),
            Self::ConjId => (40, 0, 32),
            Self::ActsetOutput => (41, 32, 32),
            Self::PacketType => (41, 0, 32),
            Self::TunId => (42, 0, 64),
            Self::TunSrc => (43, 32, 32),
            Self::TunDst => (43, 0, 32),
            Self::TunIpv6Src => (44, 0, 128),
            Self::TunIpv6Dst => (46, 0, 128),
            Self::TunFlags => (20, 48, 16),
            Self::TunGbpId => (20, 32, 16),
            Self::TunGbpFlags => (20, 24, 8),
            Self::TunMetadata(n) if n < KEY_TUNNEL_OPTIONS => (48 + 2 * n, 0, 128),
            Self::Reg(_) | Self::TunMetadata(_) => return None,
        };
        Some(Place::new(word, shift, bits))
    }

    /// Every field that has a place, in the order of [`Field`].
    pub fn placed() -> impl Iterator<Item = Self> {
        const NAMED: [Field; 60] = [
            Field::InPort,
            Field::ActsetOutput,
            Field::PacketType,
            Field::Metadata,
            Field::PktMark,
            Field::SkbPriority,
            Field::DpHash,
            Field::RecircId,
            Field::ConjId,
            Field::TunId,
            Field::TunSrc,
            Field::TunDst,
            Field::TunIpv6Src,
            Field::TunIpv6Dst,
            Field::TunFlags,
            Field::TunGbpId,
            Field::TunGbpFlags,
            Field::CtState,
            Field::CtZone,
            Field::CtMark,
            Field::CtLabel,
            Field::CtNwProto,
            Field::CtNwSrc,
            Field::CtNwDst,
            Field::CtIpv6Src,
            Field::CtIpv6Dst,
            Field::CtTpSrc,
            Field::CtTpDst,
            Field::EthSrc,
            Field::EthDst,
            Field::EthType,
            Field::VlanTci,
            Field::MplsLabel,
            Field::MplsTc,
            Field::MplsBos,
            Field::MplsTtl,
            Field::Ipv4Src,
            Field::Ipv4Dst,
            Field::Ipv6Src,
            Field::Ipv6Dst,
            Field::Ipv6Label,
            Field::IpProto,
            Field::IpDscp,
            Field::IpEcn,
            Field::IpTtl,
            Field::IpFrag,
            Field::ArpOp,
            Field::ArpSpa,
            Field::ArpTpa,
            Field::ArpSha,
            Field::ArpTha,
            Field::TpSrc,
            Field::TpDst,
            Field::TcpFlags,
            Field::IcmpType,
            Field::IcmpCode,
            Field::NdTarget,
            Field::NdSll,
            Field::NdTll,
            Field::NdReserved,
        ];
        NAMED
            .into_iter()
            .chain([Field::NdOptionsType])
            .chain((0..REGISTERS).map(Field::Reg))
            .chain((0..KEY_TUNNEL_OPTIONS).map(Field::TunMetadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two fields may share no bit, a place has the field's size, and no word is outside.
    #[test]
    fn places_are_disjoint_and_of_the_right_size() {
        let mut taken = [0u64; WORDS];
        let mut fields = 0;
        for field in Field::placed() {
            let place = field.place().unwrap();
            assert_eq!(u32::from(place.bits), field.bits(), "{field:?}");
            let words: &[(u8, u64)] = if place.bits > 64 {
                assert_eq!(place.shift, 0);
                &[(place.word, u64::MAX), (place.word + 1, u64::MAX)]
            } else {
                assert!(place.shift + place.bits <= 64, "{field:?}");
                &[(place.word, place.mask())]
            };
            let set = words.iter().fold(0, |set, (word, _)| set | 1u64 << word);
            assert_eq!(set, place.words());
            for (word, mask) in words {
                assert_eq!(taken[usize::from(*word)] & mask, 0, "{field:?} overlaps");
                taken[usize::from(*word)] |= mask;
            }
            fields += 1;
        }
        assert_eq!(fields, 61 + 16 + 8);
        for hidden in [hidden::VLAN_TPID, hidden::VLAN1_TCI, hidden::VLAN1_TPID, hidden::MPLS_LSE1, hidden::MPLS_LSE2] {
            assert_eq!(taken[usize::from(hidden.word)] & hidden.mask(), 0, "{hidden:?}");
            taken[usize::from(hidden.word)] |= hidden.mask();
        }
        assert_eq!(Field::Reg(16).place(), None);
        assert_eq!(Field::TunMetadata(8).place(), None);
    }

    #[test]
    fn stages_are_a_partition() {
        let mut all = 0u64;
        for stage in Stage::ALL {
            assert_eq!(all & stage.words(), 0);
            all |= stage.words();
        }
        assert_eq!(all, u64::MAX);
        let headers = HEADER_RANGES.into_iter().flatten().fold(0, |set, word| set | 1u64 << word);
        assert_eq!(headers, !Stage::Metadata.words());
    }
}
