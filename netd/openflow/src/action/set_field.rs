//! Setting and copying fields.

use super::Action;
use super::encode::Flow;
use super::form::{Form, Raw};
use crate::oxm::{
    decode_action_entry, decode_field, decode_nxm_field, encode_action_entry, encode_header, encode_nxm_field,
    has_nxm_header, width_mask,
};
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, OxmField, Subfield, Version};

/// How a value was set; it is written the same way where the version allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetForm {
    /// OFPAT_SET_FIELD.
    SetField,
    /// NXAST_REG_LOAD.
    Load,
    /// NXAST_REG_LOAD2.
    Load2,
}

/// Header fields with actions of their own in OpenFlow 1.0 and 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderField {
    EthSrc,
    EthDst,
    Ipv4Src,
    Ipv4Dst,
    /// The whole byte, its low two bits 0.
    IpTos,
    IpEcn,
    IpTtl,
    /// Of TCP, UDP or SCTP, whichever it is.
    TpSrc,
    TpDst,
    MplsLabel,
    MplsTc,
    MplsTtl,
    /// NXAST_SET_TUNNEL: the low 32 bits; the others become 0.
    Tunnel32,
    /// NXAST_SET_TUNNEL64.
    Tunnel64,
}

/// OFPVID_PRESENT.
const VID_PRESENT: u128 = 0x1000;

impl HeaderField {
    /// The view that is set: of ports, one that stands for all protocols.
    pub fn field(self) -> OxmField {
        match self {
            Self::EthSrc => OxmField::EthSrc,
            Self::EthDst => OxmField::EthDst,
            Self::Ipv4Src => OxmField::Ipv4Src,
            Self::Ipv4Dst => OxmField::Ipv4Dst,
            Self::IpTos => OxmField::IpTos,
            Self::IpEcn => OxmField::IpEcn,
            Self::IpTtl => OxmField::IpTtl,
            Self::TpSrc => OxmField::TcpSrc,
            Self::TpDst => OxmField::TcpDst,
            Self::MplsLabel => OxmField::MplsLabel,
            Self::MplsTc => OxmField::MplsTc,
            Self::MplsTtl => OxmField::MplsTtl,
            Self::Tunnel32 | Self::Tunnel64 => OxmField::TunId,
        }
    }

    fn form(self) -> Form {
        match self {
            Self::EthSrc => Form::SetEthSrc,
            Self::EthDst => Form::SetEthDst,
            Self::Ipv4Src => Form::SetIpv4Src,
            Self::Ipv4Dst => Form::SetIpv4Dst,
            Self::IpTos => Form::SetIpTos,
            Self::IpEcn => Form::SetIpEcn,
            Self::IpTtl => Form::SetIpTtl,
            Self::TpSrc => Form::SetTpSrc,
            Self::TpDst => Form::SetTpDst,
            Self::MplsLabel => Form::SetMplsLabel,
            Self::MplsTc => Form::SetMplsTc,
            Self::MplsTtl => Form::SetMplsTtl,
            Self::Tunnel32 => Form::SetTunnel,
            Self::Tunnel64 => Form::SetTunnel64,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::EthSrc | Self::EthDst => 6,
            Self::Ipv4Src | Self::Ipv4Dst | Self::MplsLabel | Self::Tunnel32 => 4,
            Self::TpSrc | Self::TpDst => 2,
            Self::Tunnel64 => 8,
            Self::IpTos | Self::IpEcn | Self::IpTtl | Self::MplsTc | Self::MplsTtl => 1,
        }
    }

    pub(super) fn decode(self, raw: &mut Raw<'_>) -> Result<Action, ErrorCode> {
        let value = match self.bytes() {
            1 => raw.body.u8()?.into(),
            2 => raw.body.u16()?.into(),
            4 => raw.u32()?.into(),
            6 => {
                let address: [u8; 6] = raw.body.array()?;
                crate::wire::number(&address) as u64
            }
            _ => {
                raw.body.skip(6)?;
                raw.body.u64()?
            }
        };
        let valid = match self {
            Self::IpTos => value & 0x3 == 0,
            Self::IpEcn => value & !0x3 == 0,
            _ => true,
        };
        // Labels are cut to their width, as a packet would.
        let width = self.field().bits().min(u64::BITS);
        let value = value & u64::MAX >> (u64::BITS - width);
        if valid { Ok(Action::SetHeader { field: self, value }) } else { Err(ErrorCode::ActionBadArgument) }
    }

    pub(super) fn encode(self, value: u64, flow: &Flow, out: &mut Vec<u8>, context: &Context) {
        let version = context.version;
        let own_form = |out: &mut Vec<u8>| match self.bytes() {
            8 => self.form().encode(version, out, |out| {
                out.zeros(6);
                out.u64(value);
            }),
            6 => self.form().encode(version, out, |out| out.number(value.into(), 6)),
            bytes => self.form().encode_number(version, out, value as u32, bytes),
        };
        let as_field = match self {
            Self::Tunnel32 | Self::Tunnel64 => None,
            // Standard in all versions that have it.
            Self::IpTtl | Self::MplsTtl if version > Version::V1_0 => None,
            Self::TpSrc => flow.ports().map(|(source, _)| (source, value)),
            Self::TpDst => flow.ports().map(|(_, destination)| (destination, value)),
            Self::IpTos => Some((OxmField::IpDscp, value >> 2)),
            field => Some((field.field(), value)),
        };
        match as_field {
            Some((field, value)) if version > Version::V1_0 => {
                put_set_field(field, value.into(), u128::MAX, out, context)
            }
            _ if self.form().is_in(version) => own_form(out),
            // OpenFlow 1.0 has no action for ECN and TTL.
            _ => put_load(Subfield::whole(self.field()), value, out, context),
        }
    }
}

/// OFPAT_SET_FIELD.
pub(super) fn decode_set_field(body: &mut Reader<'_>, context: &Context) -> Result<Action, ErrorCode> {
    let may_mask = context.version >= Version::V1_5;
    let (field, entry) = decode_action_entry(body, may_mask, context).map_err(|error| match error {
        ErrorCode::MatchBadMask => ErrorCode::ActionBadSetMask,
        error => error,
    })?;
    body.rest_zeros(ErrorCode::ActionBadSetArgument)?;
    // A packet's input port is not to be set this way, says the specification; nor what cannot be written.
    if field == OxmField::InPortOxm || !field.is_writable() {
        return Err(ErrorCode::ActionBadSetArgument);
    }
    let in_range = entry.value & !field.valid_bits() == 0 || matches!(field, OxmField::TunMetadata(_));
    let vid_without_tag = field == OxmField::VlanVid && entry.mask & entry.value & VID_PRESENT == 0;
    if !in_range || vid_without_tag {
        return Err(ErrorCode::ActionBadSetArgument);
    }
    Ok(Action::SetField { field, value: entry.value, mask: entry.mask, form: SetForm::SetField })
}

/// NXAST_REG_LOAD.
pub(super) fn decode_load(body: &mut Reader<'_>, context: &Context) -> Result<Action, ErrorCode> {
    let packed = body.u16()?;
    let field = decode_nxm_field(body, context)?;
    let value = body.u64()?;
    let destination = Subfield::decode_offset_bits(field, packed);
    destination.check_destination()?;
    if destination.bits < 64 && value >> destination.bits != 0 {
        return Err(ErrorCode::ActionBadArgument);
    }
    let mask = u128::from(u64::MAX >> (64 - destination.bits)) << destination.offset;
    Ok(Action::SetField { field, value: u128::from(value) << destination.offset, mask, form: SetForm::Load })
}

/// NXAST_REG_LOAD2.
pub(super) fn decode_load2(body: &mut Reader<'_>, context: &Context) -> Result<Action, ErrorCode> {
    // The field begins where other headers have their padding.
    let (field, entry) = decode_action_entry(body, true, context)?;
    body.rest_zeros(ErrorCode::ActionBadSetArgument)?;
    if !field.is_writable() {
        return Err(ErrorCode::ActionBadSetArgument);
    }
    Ok(Action::SetField { field, value: entry.value, mask: entry.mask, form: SetForm::Load2 })
}

/// NXAST_REG_MOVE, OFPAT_COPY_FIELD and the foundation's forerunner of it.
pub(super) fn decode_move(form: Form, body: &mut Reader<'_>, context: &Context) -> Result<Action, ErrorCode> {
    if form == Form::OnfCopyField {
        body.skip(2)?;
    }
    let (bits, from, to) = (body.u16()?, body.u16()?, body.u16()?);
    if form != Form::RegMove {
        body.skip(2)?;
    }
    let source = Subfield { field: decode_field(body, context)?, offset: from, bits };
    let destination = Subfield { field: decode_field(body, context)?, offset: to, bits };
    body.rest_zeros(ErrorCode::NxRequestMustBeZero)?;
    source.check_source()?;
    destination.check_destination()?;
    Ok(Action::Move { source, destination, onf: form == Form::OnfCopyField })
}

pub(super) fn encode_move(source: Subfield, destination: Subfield, onf: bool, out: &mut Vec<u8>, context: &Context) {
    let version = context.version;
    let form = match version {
        Version::V1_5 => Form::CopyField,
        Version::V1_3 if onf => Form::OnfCopyField,
        _ => Form::RegMove,
    };
    let names = if form == Form::RegMove { None } else { Some(version) };
    form.encode(version, out, |out| {
        out.zeros(if form == Form::OnfCopyField { 2 } else { 0 });
        out.u16(destination.bits);
        out.u16(source.offset);
        out.u16(destination.offset);
        out.zeros(if form == Form::RegMove { 0 } else { 2 });
        encode_header(out, source.field, names, false, context);
        encode_header(out, destination.field, names, false, context);
    });
}

fn put_set_field(field: OxmField, value: u128, mask: u128, out: &mut Vec<u8>, context: &Context) {
    Form::SetField.encode(context.version, out, |out| {
        encode_action_entry(out, field, Some(context.version), value, mask, context);
    });
}

fn put_load(destination: Subfield, value: u64, out: &mut Vec<u8>, context: &Context) {
    Form::RegLoad.encode(context.version, out, |out| {
        out.u16(destination.offset_bits());
        encode_nxm_field(out, destination.field, context);
        out.u64(value);
    });
}

/// NXAST_REG_LOAD for each run of ones in the mask, 64 bits at most; NXAST_REG_LOAD2 where that cannot name the field.
fn put_loads(field: OxmField, value: u128, mask: u128, second: bool, out: &mut Vec<u8>, context: &Context) {
    if second || !has_nxm_header(field) || matches!(field, OxmField::TunMetadata(_)) {
        Form::RegLoad2.encode(context.version, out, |out| encode_action_entry(out, field, None, value, mask, context));
        return;
    }
    let mut offset = 0;
    let mut rest = mask & u128::MAX >> (128 - field.bits());
    while rest != 0 {
        let skipped = rest.trailing_zeros();
        offset += skipped;
        let bits = (rest >> skipped).trailing_ones().min(64);
        rest = (rest >> skipped).checked_shr(bits).unwrap_or(0);
        let run = (value >> offset) as u64 & u64::MAX >> (64 - bits);
        put_load(Subfield { field, offset: offset as u16, bits: bits as u16 }, run, out, context);
        offset += bits;
    }
}

pub(super) fn encode_set_field(
    field: OxmField,
    value: u128,
    mask: u128,
    form: SetForm,
    flow: &mut Flow,
    out: &mut Vec<u8>,
    context: &Context,
) {
    let version = context.version;
    let ones = width_mask(field, context);
    let whole = mask & ones == ones;
    match form {
        _ if version >= Version::V1_5 => put_set_field(field, value, mask, out, context),
        SetForm::Load => put_loads(field, value, mask, false, out, context),
        SetForm::Load2 => put_loads(field, value, mask, true, out, context),
        SetForm::SetField if version > Version::V1_0 && whole => put_set_field(field, value, mask, out, context),
        SetForm::SetField if version > Version::V1_0 => put_loads(field, value, mask, false, out, context),
        SetForm::SetField => encode_legacy(field, value, mask, flow, out, context),
    }
}

/// OpenFlow 1.0's own action for the field if it has one.
fn encode_legacy(field: OxmField, value: u128, mask: u128, flow: &Flow, out: &mut Vec<u8>, context: &Context) {
    let version = context.version;
    let vid = (value & 0xfff) as u32;
    let header = match field {
        OxmField::VlanTci if value & VID_PRESENT != 0 => {
            Form::SetVlanVidPush.encode_number(version, out, vid, 2);
            Form::SetVlanPcpPush.encode_number(version, out, (value >> 13) as u32, 1);
            return;
        }
        OxmField::VlanTci => return Form::PopVlan.encode_void(version, out),
        OxmField::VlanVid => return Form::SetVlanVidPush.encode_number(version, out, vid, 2),
        OxmField::VlanPcp => return Form::SetVlanPcpPush.encode_number(version, out, value as u32, 1),
        OxmField::IpDscp => return HeaderField::IpTos.encode(value as u64 * 4, flow, out, context),
        OxmField::EthSrc => HeaderField::EthSrc,
        OxmField::EthDst => HeaderField::EthDst,
        OxmField::Ipv4Src => HeaderField::Ipv4Src,
        OxmField::Ipv4Dst => HeaderField::Ipv4Dst,
        OxmField::IpTos => HeaderField::IpTos,
        OxmField::TcpSrc | OxmField::UdpSrc => HeaderField::TpSrc,
        OxmField::TcpDst | OxmField::UdpDst => HeaderField::TpDst,
        field => return put_loads(field, value, mask, false, out, context),
    };
    header.encode(value as u64, flow, out, context);
}
