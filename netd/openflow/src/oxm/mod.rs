//! Fields on the wire: OXM of OpenFlow 1.2 and later, and NXM, Nicira's forerunner; both are one format (OpenFlow 1.5.1 section 7.2.3).

mod field;
mod matching;
mod ofp10;

pub(crate) use field::{EXPERIMENTER_CLASS, Prerequisite};
pub use field::{OxmField, Part};
pub use matching::CookieMask;
pub(crate) use matching::{
    Facts, IP_PROTO_SCTP, IP_PROTO_TCP, IP_PROTO_UDP, decode_loose, decode_match, decode_nxm, decode_raw,
    encode_fields, encode_loose, encode_match, encode_nxm,
};
pub(crate) use ofp10::{OFP10_MATCH_BYTES, decode_ofp10, encode_ofp10};

use crate::wire::{Put, Reader, number};
use crate::{Context, ErrorCode, Version};

/// Bits of a field: `field[offset..offset + bits]`, the least significant being 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfield {
    pub field: OxmField,
    pub offset: u16,
    pub bits: u16,
}

impl Subfield {
    /// All of a field.
    pub fn whole(field: OxmField) -> Self {
        Self { field, offset: 0, bits: field.bits() as u16 }
    }

    /// All bits of a field's view, those that no action can address too (`vlan_vid` has a 13th, which says whether there is a tag).
    pub fn whole_view(field: OxmField) -> Self {
        let bits = field.parts().map(|part| part.view_offset + part.bits).max().unwrap_or(0);
        Self { field, offset: 0, bits: bits as u16 }
    }

    /// Where these bits are in the state, most significant first; `view_offset` counts from this subfield's lowest bit.
    pub fn parts(self) -> impl Iterator<Item = Part> {
        let (low, high) = (u32::from(self.offset), u32::from(self.offset) + u32::from(self.bits));
        self.field.parts().filter_map(move |part| {
            let from = part.view_offset.max(low);
            let to = (part.view_offset + part.bits).min(high);
            (from < to).then(|| Part {
                field: part.field,
                view_offset: from - low,
                offset: part.offset + (from - part.view_offset),
                bits: to - from,
            })
        })
    }

    /// Whether these bits exist (`mf_check_src` of Open vSwitch).
    pub(crate) fn check_source(self) -> Result<(), ErrorCode> {
        let end = u32::from(self.offset) + u32::from(self.bits);
        if self.bits == 0 || end > self.field.bits() { Err(ErrorCode::ActionBadSetLen) } else { Ok(()) }
    }

    /// Whether these bits exist and may be written.
    pub(crate) fn check_destination(self) -> Result<(), ErrorCode> {
        self.check_source()?;
        if self.field.is_writable() { Ok(()) } else { Err(ErrorCode::ActionBadSetArgument) }
    }

    /// `ofs_nbits` of Nicira's actions.
    pub(crate) fn decode_offset_bits(field: OxmField, packed: u16) -> Self {
        Self { field, offset: packed >> 6, bits: (packed & 0x3f) + 1 }
    }

    pub(crate) fn offset_bits(self) -> u16 {
        self.offset << 6 | self.bits.wrapping_sub(1) & 0x3f
    }
}

/// Options are not looked for in longer entries.
const OPTION_WIDTH_MAX: usize = 127;

/// A header as it stands on the wire.
#[derive(Clone, Copy, Debug)]
struct Oxm {
    field: Option<OxmField>,
    has_mask: bool,
    /// Bytes that follow: a value, or a value and a mask.
    payload_bytes: usize,
    /// Class, number and mask bit, length: the first four bytes.
    raw: u32,
    /// Class and number are known, but not with that length.
    wrong_length: bool,
}

impl Oxm {
    fn decode(reader: &mut Reader<'_>, context: &Context) -> Result<Self, ErrorCode> {
        let mut header = Reader::new(reader.rest(), ErrorCode::MatchBadLen);
        let raw = header.u32()?;
        let class = (raw >> 16) as u16;
        let has_mask = raw & 0x100 != 0;
        let length = (raw & 0xff) as usize;
        let (vendor, vendor_bytes) = if class == EXPERIMENTER_CLASS { (header.u32()?, 4) } else { (0, 0) };
        let payload_bytes = length.checked_sub(vendor_bytes).ok_or(ErrorCode::MatchBadLen)?;
        reader.skip(4 + vendor_bytes)?;
        let width = if has_mask { payload_bytes / 2 } else { payload_bytes };
        let known = OxmField::by_head(vendor, class, (raw >> 9 & 0x7f) as u8);
        let field = known.filter(|field| match field {
            OxmField::TunMetadata(_) => width <= OPTION_WIDTH_MAX,
            field => width == usize::from(field.spec().bytes),
        });
        if let Some(OxmField::TunMetadata(index)) = field
            && context.tlvs.option_bytes(index).is_none()
        {
            return Err(ErrorCode::NxFlowModInvalidTlvField);
        }
        Ok(Self { field, has_mask, payload_bytes, raw, wrong_length: known.is_some() && field.is_none() })
    }
}

/// A field's width in messages of one session.
fn bytes_in(field: OxmField, context: &Context) -> usize {
    match field {
        OxmField::TunMetadata(index) => context.tlvs.option_bytes(index).unwrap_or(4).into(),
        field => field.spec().bytes.into(),
    }
}

/// Ones in a field's width.
fn ones(bytes: usize) -> u128 {
    u128::MAX >> (128 - 8 * bytes.clamp(1, 16))
}

/// Ones in the width of a field's value in messages of one session.
pub(crate) fn width_mask(field: OxmField, context: &Context) -> u128 {
    ones(bytes_in(field, context))
}

/// A value as it stands on the wire: of a view, not of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `None`: unknown.
    pub field: Option<OxmField>,
    pub value: u128,
    pub mask: u128,
    raw: u32,
}

/// Read one field with its value, and its mask if there is one and it is allowed.
pub(crate) fn decode_entry(reader: &mut Reader<'_>, mask_allowed: bool, context: &Context) -> Result<Entry, ErrorCode> {
    let oxm = Oxm::decode(reader, context)?;
    decode_value(oxm, reader, mask_allowed, context)
}

/// As [`decode_entry`], in an action: what is not known is refused at once, and in other words.
pub(crate) fn decode_action_entry(
    reader: &mut Reader<'_>,
    mask_allowed: bool,
    context: &Context,
) -> Result<(OxmField, Entry), ErrorCode> {
    let oxm = Oxm::decode(reader, context)?;
    let unknown = if oxm.wrong_length { ErrorCode::ActionBadSetLen } else { ErrorCode::ActionBadSetType };
    let field = oxm.field.ok_or(unknown)?;
    Ok((field, decode_value(oxm, reader, mask_allowed, context)?))
}

fn decode_value(oxm: Oxm, reader: &mut Reader<'_>, mask_allowed: bool, context: &Context) -> Result<Entry, ErrorCode> {
    let payload = reader.take(oxm.payload_bytes).map_err(|_| ErrorCode::MatchBadLen)?;
    let mut payload = Reader::new(payload, ErrorCode::MatchBadLen);
    let width = if oxm.has_mask { oxm.payload_bytes / 2 } else { oxm.payload_bytes };
    let value = payload.take(width)?;
    let mask = if oxm.has_mask { Some(payload.take(width)?) } else { None };
    if let Some(mask) = mask {
        if value.iter().zip(mask).any(|(value, mask)| value & !mask != 0) {
            return Err(ErrorCode::MatchBadWildcards);
        }
        if !mask_allowed {
            return Err(ErrorCode::MatchBadMask);
        }
    }
    // Of an option that is longer than what is mapped, the first bytes count.
    let bytes = oxm.field.map_or(width, |field| bytes_in(field, context)).min(width);
    let take = |bytes_of: &[u8]| number(bytes_of.get(..bytes).unwrap_or_default());
    let whole = oxm.field.map_or(u128::MAX, |field| ones(bytes_in(field, context)));
    Ok(Entry { field: oxm.field, value: take(value), mask: mask.map_or(whole, take), raw: oxm.raw })
}

/// Read a header without value, as actions name fields. Its mask bit must be 0.
pub(crate) fn decode_field(reader: &mut Reader<'_>, context: &Context) -> Result<OxmField, ErrorCode> {
    let oxm = Oxm::decode(reader, context)?;
    let field = oxm.field.ok_or(ErrorCode::MatchBadField)?;
    if oxm.has_mask { Err(ErrorCode::MatchBadMask) } else { Ok(field) }
}

/// Read a header of four bytes, as Nicira's older actions name fields.
pub(crate) fn decode_nxm_field(reader: &mut Reader<'_>, context: &Context) -> Result<OxmField, ErrorCode> {
    let bytes = reader.take(4)?;
    match Oxm::decode(&mut Reader::new(bytes, ErrorCode::MatchBadLen), context) {
        Ok(Oxm { field: Some(field), .. }) => Ok(field),
        Err(error @ ErrorCode::NxFlowModInvalidTlvField) => Err(error),
        _ => Err(ErrorCode::ActionBadSetType),
    }
}

/// Write a header; `version` absent: Nicira's own.
pub(crate) fn encode_header(
    out: &mut Vec<u8>,
    field: OxmField,
    version: Option<Version>,
    masked: bool,
    context: &Context,
) {
    let head = field.head(version);
    let width = bytes_in(field, context) * if masked { 2 } else { 1 };
    let vendor_bytes = if head.class == EXPERIMENTER_CLASS { 4 } else { 0 };
    out.u16(head.class);
    out.u8(head.number << 1 | u8::from(masked));
    out.u8((width + vendor_bytes) as u8);
    if vendor_bytes != 0 {
        out.u32(head.vendor);
    }
}

/// Write a header without value, in the four bytes of Nicira's older actions.
pub(crate) fn encode_nxm_field(out: &mut Vec<u8>, field: OxmField, context: &Context) {
    encode_header(out, field, None, false, context);
}

/// Whether Nicira's older actions can name the field: its header has four bytes.
pub(crate) fn has_nxm_header(field: OxmField) -> bool {
    field.head(None).class != EXPERIMENTER_CLASS
}

/// As [`encode_entry`], in an action: of a tunnel option, no more bytes than the value, or the mask, has.
pub(crate) fn encode_action_entry(
    out: &mut Vec<u8>,
    field: OxmField,
    version: Option<Version>,
    value: u128,
    mask: u128,
    context: &Context,
) {
    let OxmField::TunMetadata(_) = field else { return encode_entry(out, field, version, value, mask, context) };
    let ones = width_mask(field, context);
    let masked = mask & ones != ones;
    let significant = if masked { mask & ones } else { value & ones };
    let bytes = (128 - significant.leading_zeros()).div_ceil(8).max(1) as usize;
    let start = out.len();
    encode_header(out, field, version, masked, context);
    out.set(start + 3, &[(if masked { 2 * bytes } else { bytes }) as u8]);
    out.number(value, bytes);
    if masked {
        out.number(mask, bytes);
    }
}

/// Write a field with its value, and its mask unless that is whole.
pub(crate) fn encode_entry(
    out: &mut Vec<u8>,
    field: OxmField,
    version: Option<Version>,
    value: u128,
    mask: u128,
    context: &Context,
) {
    let bytes = bytes_in(field, context);
    let masked = mask & ones(bytes) != ones(bytes);
    encode_header(out, field, version, masked, context);
    out.number(value, bytes);
    if masked {
        out.number(mask, bytes);
    }
}
