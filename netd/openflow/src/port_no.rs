//! Port numbers.

use crate::ErrorCode;
use crate::Version;
use crate::wire::{Put, Reader};
use std::fmt;

/// A port's number, in the 16 bits that OpenFlow 1.0, Nicira's extensions and Open vSwitch give it. OpenFlow 1.1 and later write
/// 32 bits, with the reserved numbers at the top of that range; nothing between exists here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(pub u16);

/// What is added to a reserved 16-bit number to get the 32-bit one.
const WIDE_OFFSET: u32 = 0xffff_0000;

impl PortNo {
    /// The first number that is not an ordinary port's (OFPP_MAX).
    pub const MAX: Self = Self(0xff00);
    /// In an OpenFlow 1.5 group bucket or action set: no output (OFPP_UNSET).
    pub const UNSET: Self = Self(0xfff7);
    /// Back where the packet came from.
    pub const IN_PORT: Self = Self(0xfff8);
    /// Through the flow tables, in a packet-out only.
    pub const TABLE: Self = Self(0xfff9);
    /// As a learning switch does.
    pub const NORMAL: Self = Self(0xfffa);
    pub const FLOOD: Self = Self(0xfffb);
    pub const ALL: Self = Self(0xfffc);
    pub const CONTROLLER: Self = Self(0xfffd);
    /// The bridge's own port.
    pub const LOCAL: Self = Self(0xfffe);
    /// No port (OFPP_NONE); as a filter: any port (OFPP_ANY).
    pub const NONE: Self = Self(0xffff);

    /// The number in OpenFlow 1.1 and later.
    pub fn wide(self) -> u32 {
        if self < Self::MAX { self.0.into() } else { u32::from(self.0) + WIDE_OFFSET }
    }

    /// From a number of OpenFlow 1.1 and later.
    ///
    /// # Errors
    /// `OFPBAC_BAD_OUT_PORT`: no such port can exist.
    pub fn from_wide(wide: u32) -> Result<Self, ErrorCode> {
        if wide < Self::MAX.0.into() {
            Ok(Self(wide as u16))
        } else if wide >= WIDE_OFFSET + u32::from(Self::MAX.0) {
            Ok(Self((wide - WIDE_OFFSET) as u16))
        } else {
            Err(ErrorCode::ActionBadOutPort)
        }
    }

    /// Whether an action may output there: an ordinary port below `ports_max`, or a reserved one that stands for some.
    pub fn check_output(self, ports_max: Self) -> Result<(), ErrorCode> {
        if self < ports_max || (self >= Self::IN_PORT && self != Self::NONE) {
            Ok(())
        } else {
            Err(ErrorCode::ActionBadOutPort)
        }
    }

    /// 16 bits in OpenFlow 1.0, else 32.
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        if version == Version::V1_0 { reader.u16().map(Self) } else { Self::from_wide(reader.u32()?) }
    }

    pub(crate) fn encode(self, version: Version, out: &mut Vec<u8>) {
        if version == Version::V1_0 { out.u16(self.0) } else { out.u32(self.wide()) }
    }
}

impl fmt::Debug for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::UNSET => "UNSET",
            Self::IN_PORT => "IN_PORT",
            Self::TABLE => "TABLE",
            Self::NORMAL => "NORMAL",
            Self::FLOOD => "FLOOD",
            Self::ALL => "ALL",
            Self::CONTROLLER => "CONTROLLER",
            Self::LOCAL => "LOCAL",
            Self::NONE => "NONE",
            Self(number) => return write!(f, "{number}"),
        };
        f.write_str(name)
    }
}
