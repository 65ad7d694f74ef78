//! The forms of actions on the wire: numbers, versions, lengths.

use crate::Version::{self, V1_0, V1_3, V1_4, V1_5};
use crate::error::{ErrorCode, NICIRA, ONF};
use crate::wire::{Put, Reader};

/// OFPAT_VENDOR, OFPAT_EXPERIMENTER.
const VENDOR: u16 = 0xffff;
/// Bytes of `ofp_action_header`, and of the header with a vendor's subtype.
const HEADER_BYTES: usize = 8;
const VENDOR_HEADER_BYTES: usize = 16;
/// Header bytes before an action's own.
const START: usize = 4;
const VENDOR_START: usize = 10;

macro_rules! forms {
    ($($name:ident: $(($vendor:expr, $number:literal, $from:ident..$to:ident, $min:literal, $length:ident)),+;)*) => {
        /// How an action looks on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Form { $($name,)* }

        static ROWS: &[Row] = &[
            $($(Row {
                form: Form::$name, vendor: $vendor, number: $number, from: $from, to: $to, min: $min, length: Length::$length,
            },)+)*
        ];
    };
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Fixed,
    /// Any multiple of 8 that is no less.
    Open,
}

#[derive(Debug)]
struct Row {
    form: Form,
    vendor: u32,
    number: u16,
    from: Version,
    to: Version,
    min: usize,
    length: Length,
}

const OF: u32 = 0;
const NX: u32 = NICIRA;

// Vendor, number, versions, least length, whether more may follow: as `ofp-actions.c` of Open vSwitch has them.
#[rustfmt::skip]
forms! {
    Output: (OF, 0, V1_0..V1_0, 8, Fixed), (OF, 0, V1_3..V1_5, 16, Fixed);
    SetField: (OF, 25, V1_3..V1_5, 8, Open);
    Resubmit: (NX, 1, V1_0..V1_5, 16, Fixed);
    ResubmitTable: (NX, 14, V1_0..V1_5, 16, Fixed);
    ResubmitTableCt: (NX, 44, V1_0..V1_5, 16, Fixed);
    RegLoad: (NX, 7, V1_0..V1_4, 24, Fixed);
    RegLoad2: (NX, 33, V1_0..V1_4, 16, Open);
    CopyField: (OF, 28, V1_5..V1_5, 16, Open);
    OnfCopyField: (ONF, 3200, V1_3..V1_4, 24, Open);
    RegMove: (NX, 6, V1_0..V1_4, 16, Open);
    Conntrack: (NX, 35, V1_0..V1_5, 24, Open);
    Nat: (NX, 36, V1_0..V1_5, 16, Open);
    CtClear: (NX, 43, V1_0..V1_5, 16, Fixed);
    Controller: (NX, 20, V1_0..V1_5, 16, Fixed);
    Controller2: (NX, 37, V1_0..V1_5, 16, Open);
    StackPush: (NX, 27, V1_0..V1_5, 24, Fixed);
    StackPop: (NX, 28, V1_0..V1_5, 24, Fixed);
    Conjunction: (NX, 34, V1_0..V1_5, 16, Fixed);
    Clone: (NX, 42, V1_0..V1_5, 16, Open);
    Group: (OF, 22, V1_3..V1_5, 8, Fixed), (NX, 40, V1_0..V1_0, 16, Fixed);
    Meter: (OF, 29, V1_5..V1_5, 8, Fixed);
    Learn: (NX, 16, V1_0..V1_5, 32, Open);
    Learn2: (NX, 45, V1_0..V1_5, 40, Open);
    SetVlanVidPush: (OF, 1, V1_0..V1_0, 8, Fixed);
    SetVlanVid: (OF, 1, V1_3..V1_5, 8, Fixed);
    SetVlanPcpPush: (OF, 2, V1_0..V1_0, 8, Fixed);
    SetVlanPcp: (OF, 2, V1_3..V1_5, 8, Fixed);
    PopVlan: (OF, 3, V1_0..V1_0, 8, Fixed), (OF, 18, V1_3..V1_5, 8, Fixed);
    PushVlan: (OF, 17, V1_3..V1_5, 8, Fixed);
    SetEthSrc: (OF, 4, V1_0..V1_0, 16, Fixed), (OF, 3, V1_3..V1_5, 16, Fixed);
    SetEthDst: (OF, 5, V1_0..V1_0, 16, Fixed), (OF, 4, V1_3..V1_5, 16, Fixed);
    SetIpv4Src: (OF, 6, V1_0..V1_0, 8, Fixed), (OF, 5, V1_3..V1_5, 8, Fixed);
    SetIpv4Dst: (OF, 7, V1_0..V1_0, 8, Fixed), (OF, 6, V1_3..V1_5, 8, Fixed);
    SetIpTos: (OF, 8, V1_0..V1_0, 8, Fixed), (OF, 7, V1_3..V1_5, 8, Fixed);
    SetIpEcn: (OF, 8, V1_3..V1_5, 8, Fixed);
    SetTpSrc: (OF, 9, V1_0..V1_5, 8, Fixed);
    SetTpDst: (OF, 10, V1_0..V1_5, 8, Fixed);
    SetIpTtl: (OF, 23, V1_3..V1_5, 8, Fixed);
    SetMplsLabel: (OF, 13, V1_3..V1_5, 8, Fixed), (NX, 30, V1_0..V1_0, 16, Fixed);
    SetMplsTc: (OF, 14, V1_3..V1_5, 8, Fixed), (NX, 31, V1_0..V1_0, 16, Fixed);
    SetMplsTtl: (OF, 15, V1_3..V1_5, 8, Fixed), (NX, 25, V1_0..V1_0, 16, Fixed);
    DecMplsTtl: (OF, 16, V1_3..V1_5, 8, Fixed), (NX, 26, V1_0..V1_0, 16, Fixed);
    PushMpls: (OF, 19, V1_3..V1_5, 8, Fixed), (NX, 23, V1_0..V1_0, 16, Fixed);
    PopMpls: (OF, 20, V1_3..V1_5, 8, Fixed), (NX, 24, V1_0..V1_0, 16, Fixed);
    DecTtl: (OF, 24, V1_3..V1_5, 8, Fixed), (NX, 18, V1_0..V1_0, 16, Fixed);
    DecTtlControllers: (NX, 21, V1_0..V1_5, 16, Open);
    SetTunnel: (NX, 2, V1_0..V1_5, 16, Fixed);
    SetTunnel64: (NX, 9, V1_0..V1_5, 24, Fixed);
    Enqueue: (OF, 11, V1_0..V1_0, 16, Fixed);
    SetQueue: (OF, 21, V1_3..V1_5, 8, Fixed), (NX, 4, V1_0..V1_0, 16, Fixed);
    PopQueue: (NX, 5, V1_0..V1_5, 16, Fixed);
    Note: (NX, 8, V1_0..V1_5, 16, Open);
    Multipath: (NX, 10, V1_0..V1_5, 32, Fixed);
    Bundle: (NX, 12, V1_0..V1_5, 32, Open);
    BundleLoad: (NX, 13, V1_0..V1_5, 32, Open);
    OutputReg: (NX, 15, V1_0..V1_5, 24, Fixed);
    OutputReg2: (NX, 32, V1_0..V1_5, 24, Fixed);
    Exit: (NX, 17, V1_0..V1_5, 16, Fixed);
    FinTimeout: (NX, 19, V1_0..V1_5, 16, Fixed);
    WriteMetadata: (NX, 22, V1_0..V1_5, 32, Fixed);
    Sample: (NX, 29, V1_0..V1_5, 24, Fixed);
    Sample2: (NX, 38, V1_0..V1_5, 32, Fixed);
    Sample3: (NX, 41, V1_0..V1_5, 32, Fixed);
    OutputTrunc: (NX, 39, V1_0..V1_5, 16, Fixed);
    CheckPktLarger: (NX, 49, V1_0..V1_5, 24, Open);
    DeleteField: (NX, 50, V1_0..V1_5, 24, Fixed);
}

/// An action cut out of a list.
pub(super) struct Raw<'a> {
    pub form: Form,
    pub vendor: bool,
    /// Behind the header.
    pub body: Reader<'a>,
}

impl<'a> Raw<'a> {
    pub(super) fn decode(reader: &mut Reader<'a>, version: Version) -> Result<Self, ErrorCode> {
        let mut header = Reader::new(reader.rest(), ErrorCode::ActionBadLen);
        if header.remaining() < HEADER_BYTES {
            return Err(ErrorCode::ActionBadLen);
        }
        let (kind, length) = (header.u16()?, usize::from(header.u16()?));
        let (vendor, number) = if kind == VENDOR {
            let vendor = header.u32()?;
            if vendor != NICIRA && vendor != ONF {
                return Err(ErrorCode::ActionBadVendor);
            }
            if reader.remaining() < VENDOR_HEADER_BYTES {
                return Err(ErrorCode::ActionBadLen);
            }
            (vendor, header.u16()?)
        } else {
            (0, kind)
        };
        let meant = |row: &&Row| row.vendor == vendor && row.number == number && (row.from..=row.to).contains(&version);
        let unknown = if vendor == 0 { ErrorCode::ActionBadType } else { ErrorCode::ActionBadVendorType };
        let row = ROWS.iter().find(meant).ok_or(unknown)?;
        let fits = length >= row.min && (row.length == Length::Open || length == row.min) && length.is_multiple_of(8);
        if !fits || length > reader.remaining() {
            return Err(ErrorCode::ActionBadLen);
        }
        let mut body = Reader::new(reader.take(length)?, ErrorCode::ActionBadLen);
        body.skip(if vendor == 0 { START } else { VENDOR_START })?;
        Ok(Self { form: row.form, vendor: vendor != 0, body })
    }

    /// A single argument of 32 bits: behind a vendor's header it is aligned to 4.
    pub(super) fn u32(&mut self) -> Result<u32, ErrorCode> {
        if self.vendor {
            self.body.skip(2)?;
        }
        self.body.u32()
    }
}

impl Form {
    fn row(self, version: Version) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.form == self && (row.from..=row.to).contains(&version))
    }

    pub(super) fn is_in(self, version: Version) -> bool {
        self.row(version).is_some()
    }

    /// Write the action around what `body` writes; it is padded to 8, and to its least length. Nothing, if the version has no such form.
    pub(super) fn encode(self, version: Version, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        let Some(row) = self.row(version) else { return };
        let start = out.len();
        if row.vendor == 0 {
            out.u16(row.number);
            out.u16(0);
        } else {
            out.u16(VENDOR);
            out.u16(0);
            out.u32(row.vendor);
            out.u16(row.number);
        }
        body(out);
        let written = out.len() - start;
        out.zeros(row.min.saturating_sub(written));
        out.pad(start);
        out.set_length(start, 2);
    }

    /// Write an action of a single number: 8, 16 or 32 bits wide.
    pub(super) fn encode_number(self, version: Version, out: &mut Vec<u8>, value: u32, bytes: usize) {
        let vendor = self.row(version).is_some_and(|row| row.vendor != 0);
        self.encode(version, out, |out| {
            out.zeros(if vendor && bytes == 4 { 2 } else { 0 });
            out.number(value.into(), bytes);
        });
    }

    /// Write an action without arguments.
    pub(super) fn encode_void(self, version: Version, out: &mut Vec<u8>) {
        self.encode(version, out, |_| {});
    }
}
