//! Reading actions.

use super::form::{Form, Raw};
use super::set_field::{HeaderField, decode_load, decode_load2, decode_move, decode_set_field};
use super::{
    Action, Allowed, Bundle, Conntrack, Controller, Learn, Multipath, NESTING_MAX, Nat, Outer, REASON_ACTION, Resubmit,
    Sample, verify,
};
use crate::oxm::{decode_field, decode_nxm_field};
use crate::property::Property;
use crate::wire::Reader;
use crate::{Context, ErrorCode, PortNo, Subfield, Version};

const BAD_ARGUMENT: ErrorCode = ErrorCode::ActionBadArgument;
/// The smallest Ethernet frame header: no output is cut to less.
const TRUNCATE_MIN_BYTES: u32 = 14;
/// BUNDLE_MAX_SLAVES of Open vSwitch.
const BUNDLE_MEMBERS_MAX: u16 = 2048;
/// NX_HASH_FIELDS_*: the last one known.
const HASH_FIELDS_MAX: u16 = 6;
/// NX_BD_ALG_HRW, NX_MP_ALG_ITER_HASH.
const BUNDLE_ALGORITHM_MAX: u16 = 1;
const MULTIPATH_ALGORITHM_MAX: u16 = 3;
/// NXM_OF_IN_PORT: what members of a bundle are.
const BUNDLE_MEMBER_TYPE: u32 = 0x0000_0002;

/// Read actions to the end of `reader`, and check how they stand together.
pub(crate) fn decode_actions(
    reader: &mut Reader<'_>,
    context: &Context,
    allowed: Allowed,
    outer: Outer,
    depth: usize,
) -> Result<Vec<Action>, ErrorCode> {
    if !reader.remaining().is_multiple_of(8) {
        return Err(ErrorCode::RequestBadLen);
    }
    let actions = decode_list(reader, context, depth)?;
    verify(&actions, context.version, allowed, outer)?;
    Ok(actions)
}

/// Read actions to the end of `reader`.
pub(super) fn decode_list(reader: &mut Reader<'_>, context: &Context, depth: usize) -> Result<Vec<Action>, ErrorCode> {
    if depth >= NESTING_MAX {
        return Err(ErrorCode::ActionTooMany);
    }
    let mut actions = Vec::new();
    while !reader.is_empty() {
        let mut raw = Raw::decode(reader, context.version)?;
        actions.push(decode_action(&mut raw, context, depth)?);
    }
    Ok(actions)
}

fn decode_action(raw: &mut Raw<'_>, context: &Context, depth: usize) -> Result<Action, ErrorCode> {
    let version = context.version;
    let action = match raw.form {
        Form::Output => {
            let port = PortNo::decode(&mut raw.body, version)?;
            let max_len = raw.body.u16()?;
            port.check_output(PortNo::MAX)?;
            Action::Output { port, max_len }
        }
        Form::SetField => decode_set_field(&mut raw.body, context)?,
        Form::RegLoad => decode_load(&mut raw.body, context)?,
        Form::RegLoad2 => decode_load2(&mut raw.body, context)?,
        Form::CopyField | Form::OnfCopyField | Form::RegMove => decode_move(raw.form, &mut raw.body, context)?,
        Form::Resubmit | Form::ResubmitTable | Form::ResubmitTableCt => decode_resubmit(raw)?,
        Form::Conntrack => Action::Conntrack(Box::new(Conntrack::decode(&mut raw.body, context, depth + 1)?)),
        Form::Nat => Action::Nat(Nat::decode(&mut raw.body)?),
        Form::CtClear => Action::CtClear,
        Form::Controller => decode_controller(raw)?,
        Form::Controller2 => decode_controller2(raw)?,
        Form::StackPush => {
            let subfield = decode_stack(raw, context)?;
            subfield.check_source()?;
            Action::StackPush(subfield)
        }
        Form::StackPop => {
            let subfield = decode_stack(raw, context)?;
            subfield.check_destination()?;
            Action::StackPop(subfield)
        }
        Form::Conjunction => {
            let (clause, clauses, id) = (raw.body.u8()?, raw.body.u8()?, raw.body.u32()?);
            if !(2..=64).contains(&clauses) || clause >= clauses {
                return Err(ErrorCode::NxActionBadConjunction);
            }
            Action::Conjunction { id, clause, clauses }
        }
        Form::Clone => {
            raw.body.skip(6)?;
            Action::Clone(decode_actions(&mut raw.body, context, Allowed::Actions, Outer::Nothing, depth + 1)?)
        }
        Form::Group => Action::Group(raw.u32()?),
        Form::Meter => Action::Meter(raw.u32()?),
        Form::Learn => Action::Learn(Box::new(Learn::decode(&mut raw.body, false, context)?)),
        Form::Learn2 => Action::Learn(Box::new(Learn::decode(&mut raw.body, true, context)?)),
        Form::SetVlanVid | Form::SetVlanVidPush => {
            let vid = raw.body.u16()?;
            if vid > 0xfff {
                return Err(BAD_ARGUMENT);
            }
            Action::SetVlanVid { vid, push: raw.form == Form::SetVlanVidPush }
        }
        Form::SetVlanPcp | Form::SetVlanPcpPush => {
            let pcp = raw.body.u8()?;
            if pcp > 7 {
                return Err(BAD_ARGUMENT);
            }
            Action::SetVlanPcp { pcp, push: raw.form == Form::SetVlanPcpPush }
        }
        Form::PopVlan => Action::PopVlan,
        Form::PushVlan => match raw.body.u16()? {
            eth_type @ (0x8100 | 0x88a8) => Action::PushVlan(eth_type),
            _ => return Err(BAD_ARGUMENT),
        },
        Form::SetEthSrc => HeaderField::EthSrc.decode(raw)?,
        Form::SetEthDst => HeaderField::EthDst.decode(raw)?,
        Form::SetIpv4Src => HeaderField::Ipv4Src.decode(raw)?,
        Form::SetIpv4Dst => HeaderField::Ipv4Dst.decode(raw)?,
        Form::SetIpTos => HeaderField::IpTos.decode(raw)?,
        Form::SetIpEcn => HeaderField::IpEcn.decode(raw)?,
        Form::SetIpTtl => HeaderField::IpTtl.decode(raw)?,
        Form::SetTpSrc => HeaderField::TpSrc.decode(raw)?,
        Form::SetTpDst => HeaderField::TpDst.decode(raw)?,
        Form::SetMplsLabel => HeaderField::MplsLabel.decode(raw)?,
        Form::SetMplsTc => HeaderField::MplsTc.decode(raw)?,
        Form::SetMplsTtl => HeaderField::MplsTtl.decode(raw)?,
        Form::SetTunnel => HeaderField::Tunnel32.decode(raw)?,
        Form::SetTunnel64 => HeaderField::Tunnel64.decode(raw)?,
        Form::DecMplsTtl => Action::DecMplsTtl,
        Form::PushMpls => match raw.body.u16()? {
            eth_type @ (0x8847 | 0x8848) => Action::PushMpls(eth_type),
            _ => return Err(BAD_ARGUMENT),
        },
        Form::PopMpls => Action::PopMpls(raw.body.u16()?),
        Form::DecTtl => Action::DecTtl(None),
        Form::DecTtlControllers => decode_dec_ttl_controllers(raw)?,
        Form::Enqueue => {
            let port = PortNo(raw.body.u16()?);
            raw.body.skip(6)?;
            if port >= PortNo::MAX && port != PortNo::IN_PORT && port != PortNo::LOCAL {
                return Err(ErrorCode::ActionBadOutPort);
            }
            Action::Enqueue { port, queue: raw.body.u32()? }
        }
        Form::SetQueue => Action::SetQueue(raw.u32()?),
        Form::PopQueue => Action::PopQueue,
        Form::Note => Action::Note(raw.body.take_all().to_vec()),
        Form::Multipath => decode_multipath(raw, context)?,
        Form::Bundle => decode_bundle(raw, false, context)?,
        Form::BundleLoad => decode_bundle(raw, true, context)?,
        Form::OutputReg => {
            let packed = raw.body.u16()?;
            let source = raw.body.sub(4)?;
            let max_len = raw.body.u16()?;
            raw.body.rest_zeros(BAD_ARGUMENT)?;
            let field = decode_nxm_field(&mut { source }, context)?;
            let source = Subfield::decode_offset_bits(field, packed);
            source.check_source()?;
            Action::OutputReg { source, max_len, second: false }
        }
        Form::OutputReg2 => {
            let (packed, max_len) = (raw.body.u16()?, raw.body.u16()?);
            let source = Subfield::decode_offset_bits(decode_field(&mut raw.body, context)?, packed);
            raw.body.rest_zeros(ErrorCode::NxRequestMustBeZero)?;
            source.check_source()?;
            Action::OutputReg { source, max_len, second: true }
        }
        Form::Exit => Action::Exit,
        Form::FinTimeout => Action::FinTimeout { idle_s: raw.body.u16()?, hard_s: raw.body.u16()? },
        Form::WriteMetadata => {
            raw.body.zeros(6, ErrorCode::NxRequestMustBeZero)?;
            Action::WriteMetadata { value: raw.body.u64()?, mask: raw.body.u64()? }
        }
        Form::Sample | Form::Sample2 | Form::Sample3 => decode_sample(raw)?,
        Form::OutputTrunc => {
            let (port, max_len) = (PortNo(raw.body.u16()?), raw.body.u32()?);
            if max_len < TRUNCATE_MIN_BYTES {
                return Err(BAD_ARGUMENT);
            }
            Action::OutputTrunc { port, max_len }
        }
        Form::CheckPktLarger => {
            let (length_bytes, offset) = (raw.body.u16()?, raw.body.u16()?);
            let field = decode_field(&mut raw.body, context)?;
            raw.body.rest_zeros(ErrorCode::NxRequestMustBeZero)?;
            let destination = Subfield { field, offset, bits: 1 };
            destination.check_destination()?;
            Action::CheckPktLarger { length_bytes, destination }
        }
        Form::DeleteField => {
            let field = decode_field(&mut raw.body, context)?;
            raw.body.rest_zeros(ErrorCode::NxRequestMustBeZero)?;
            Action::DeleteField(field)
        }
    };
    Ok(action)
}

fn decode_resubmit(raw: &mut Raw<'_>) -> Result<Action, ErrorCode> {
    let port = PortNo(raw.body.u16()?);
    let first = raw.form == Form::Resubmit;
    let table = if first {
        0xff
    } else {
        let table = raw.body.u8()?;
        raw.body.rest_zeros(BAD_ARGUMENT)?;
        table
    };
    Ok(Action::Resubmit(Resubmit { port, table, conntrack: raw.form == Form::ResubmitTableCt, first }))
}

fn decode_controller(raw: &mut Raw<'_>) -> Result<Action, ErrorCode> {
    let (max_len, controller_id, reason) = (raw.body.u16()?, raw.body.u16()?, raw.body.u8()?);
    Ok(Action::Controller(Controller {
        max_len,
        controller_id,
        reason,
        userdata: Vec::new(),
        pause: false,
        meter: None,
        second: false,
    }))
}

/// NXAC2PT_*.
pub(super) mod controller_property {
    pub(crate) const MAX_LEN: u64 = 0;
    pub(crate) const CONTROLLER_ID: u64 = 1;
    pub(crate) const REASON: u64 = 2;
    pub(crate) const USERDATA: u64 = 3;
    pub(crate) const PAUSE: u64 = 4;
    pub(crate) const METER_ID: u64 = 5;
}

fn decode_controller2(raw: &mut Raw<'_>) -> Result<Action, ErrorCode> {
    raw.body.zeros(6, ErrorCode::NxRequestMustBeZero)?;
    let mut controller = Controller {
        max_len: u16::MAX,
        controller_id: 0,
        reason: REASON_ACTION,
        userdata: Vec::new(),
        pause: false,
        meter: None,
        second: true,
    };
    while !raw.body.is_empty() {
        let property = Property::decode(&mut raw.body)?;
        match property.kind {
            controller_property::MAX_LEN => controller.max_len = property.u16()?,
            controller_property::CONTROLLER_ID => controller.controller_id = property.u16()?,
            controller_property::REASON => controller.reason = property.u8()?,
            controller_property::USERDATA => controller.userdata = property.content.to_vec(),
            controller_property::PAUSE => controller.pause = true,
            controller_property::METER_ID => controller.meter = Some(property.u32()?),
            _ => return Err(property.unknown()),
        }
    }
    Ok(Action::Controller(controller))
}

fn decode_stack(raw: &mut Raw<'_>, context: &Context) -> Result<Subfield, ErrorCode> {
    let offset = raw.body.u16()?;
    let field = decode_field(&mut raw.body, context)?;
    let bits = raw.body.u16()?;
    raw.body.rest_zeros(ErrorCode::NxRequestMustBeZero)?;
    Ok(Subfield { field, offset, bits })
}

fn decode_dec_ttl_controllers(raw: &mut Raw<'_>) -> Result<Action, ErrorCode> {
    let count = raw.body.u16()?;
    raw.body.zeros(4, ErrorCode::NxRequestMustBeZero)?;
    let ids = (0..count).map(|_| raw.body.u16()).collect::<Result<_, _>>()?;
    Ok(Action::DecTtl(Some(ids)))
}

fn decode_multipath(raw: &mut Raw<'_>, context: &Context) -> Result<Action, ErrorCode> {
    let (fields, basis) = (raw.body.u16()?, raw.body.u16()?);
    raw.body.skip(2)?;
    let (algorithm, max_link, argument) = (raw.body.u16()?, raw.body.u16()?, raw.body.u32()?);
    raw.body.skip(2)?;
    let packed = raw.body.u16()?;
    let destination = Subfield::decode_offset_bits(decode_nxm_field(&mut raw.body, context)?, packed);
    let bits_needed = 32 - u32::from(max_link).leading_zeros();
    if fields > HASH_FIELDS_MAX || algorithm > MULTIPATH_ALGORITHM_MAX || u32::from(destination.bits) < bits_needed {
        return Err(BAD_ARGUMENT);
    }
    destination.check_destination()?;
    Ok(Action::Multipath(Multipath { fields, basis, algorithm, max_link, argument, destination }))
}

fn decode_bundle(raw: &mut Raw<'_>, load: bool, context: &Context) -> Result<Action, ErrorCode> {
    let (algorithm, fields, basis) = (raw.body.u16()?, raw.body.u16()?, raw.body.u16()?);
    let (member_type, count, packed) = (raw.body.u32()?, raw.body.u16()?, raw.body.u16()?);
    let mut named = raw.body.sub(4)?;
    let reserved = raw.body.take(4)?;
    let sound = fields <= HASH_FIELDS_MAX
        && count <= BUNDLE_MEMBERS_MAX
        && algorithm <= BUNDLE_ALGORITHM_MAX
        && member_type == BUNDLE_MEMBER_TYPE
        && reserved == [0; 4];
    let destination =
        if load { Some(Subfield::decode_offset_bits(decode_nxm_field(&mut named, context)?, packed)) } else { None };
    if raw.body.remaining() < 2 * usize::from(count) {
        return Err(ErrorCode::ActionBadLen);
    }
    let fits = match destination {
        // A port's number must find room.
        Some(destination) => destination.bits >= 16,
        None => sound && packed == 0 && named.u32()? == 0,
    };
    if !fits {
        return Err(BAD_ARGUMENT);
    }
    let members: Vec<_> = (0..count).map(|_| raw.body.u16().map(PortNo)).collect::<Result<_, _>>()?;
    let bundle = Bundle { algorithm, fields, basis, members, destination };
    bundle.check(PortNo::MAX)?;
    if sound { Ok(Action::Bundle(bundle)) } else { Err(BAD_ARGUMENT) }
}

impl Bundle {
    pub(super) fn check(&self, ports_max: PortNo) -> Result<(), ErrorCode> {
        if let Some(destination) = self.destination {
            destination.check_destination()?;
        }
        for member in self.members.iter().filter(|member| **member != PortNo::NONE) {
            member.check_output(ports_max)?;
            // How much of a packet to send could not be said.
            if *member == PortNo::CONTROLLER {
                return Err(ErrorCode::ActionBadOutPort);
            }
        }
        Ok(())
    }
}

fn decode_sample(raw: &mut Raw<'_>) -> Result<Action, ErrorCode> {
    let (probability, collector_set_id) = (raw.body.u16()?, raw.body.u32()?);
    let (observation_domain_id, observation_point_id) = (raw.body.u32()?, raw.body.u32()?);
    let form = match raw.form {
        Form::Sample3 => 3,
        Form::Sample2 => 2,
        _ => 1,
    };
    let sampling_port = if form > 1 { PortNo(raw.body.u16()?) } else { PortNo::NONE };
    let direction = if form > 2 {
        let direction = raw.body.u8()?;
        raw.body.rest_zeros(ErrorCode::NxRequestMustBeZero)?;
        direction
    } else {
        0
    };
    if probability == 0 || direction > 2 {
        return Err(BAD_ARGUMENT);
    }
    Ok(Action::Sample(Sample {
        probability,
        collector_set_id,
        observation_domain_id,
        observation_point_id,
        sampling_port,
        direction,
        form,
    }))
}

/// Actions whose length stands elsewhere: `length` bytes of `reader`.
pub(crate) fn decode_actions_of_length(
    reader: &mut Reader<'_>,
    length: usize,
    context: &Context,
) -> Result<Vec<Action>, ErrorCode> {
    if !length.is_multiple_of(8) || length > reader.remaining() {
        return Err(ErrorCode::RequestBadLen);
    }
    let mut actions = reader.sub(length)?;
    decode_actions(&mut actions, context, Allowed::ActionsAndMeter, Outer::Nothing, 0)
}

/// Whether meters are instructions of their own.
pub(super) fn meters_are_instructions(version: Version) -> bool {
    matches!(version, Version::V1_3 | Version::V1_4)
}
