//! Writing actions.

use super::decode::controller_property;
use super::form::Form;
use super::set_field::{encode_move, encode_set_field};
use super::{Action, Bundle, Controller, Multipath, REASON_ACTION, Resubmit, Sample};
use crate::oxm::{Facts, IP_PROTO_SCTP, IP_PROTO_TCP, IP_PROTO_UDP, encode_header, encode_nxm_field, has_nxm_header};
use crate::property;
use crate::wire::Put;
use crate::{Context, OxmField, PortNo, Subfield, Version};
use hive_flow::Match;

/// Ethernet type of the tag that actions of OpenFlow 1.0 push.
const ETH_TYPE_VLAN: u16 = 0x8100;
/// NXM_OF_IN_PORT.
const BUNDLE_MEMBER_TYPE: u32 = 0x0000_0002;

/// What the flow's match says of its packets: some actions are written differently by it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    ip_proto: u8,
    has_tag: bool,
}

impl Flow {
    pub(crate) fn of(flow: &Match) -> Self {
        let facts = Facts::of(flow);
        Self { ip_proto: facts.ip_proto, has_tag: facts.vlan }
    }

    /// The fields that hold the ports.
    pub(super) fn ports(&self) -> Option<(OxmField, OxmField)> {
        match self.ip_proto {
            IP_PROTO_TCP => Some((OxmField::TcpSrc, OxmField::TcpDst)),
            IP_PROTO_UDP => Some((OxmField::UdpSrc, OxmField::UdpDst)),
            IP_PROTO_SCTP => Some((OxmField::SctpSrc, OxmField::SctpDst)),
            _ => None,
        }
    }

    fn push_tag(&mut self, needed: bool, out: &mut Vec<u8>, context: &Context) {
        if needed && !self.has_tag {
            Form::PushVlan.encode_number(context.version, out, ETH_TYPE_VLAN.into(), 2);
        }
        self.has_tag = true;
    }
}

/// Write actions. Of what the version cannot say, nothing is written, as Open vSwitch does.
pub(crate) fn encode_actions(actions: &[Action], flow: &mut Flow, out: &mut Vec<u8>, context: &Context) {
    for action in actions {
        encode_action(action, flow, out, context);
    }
}

pub(super) fn encode_action(action: &Action, flow: &mut Flow, out: &mut Vec<u8>, context: &Context) {
    let version = context.version;
    match action {
        Action::Output { port, max_len } => {
            Form::Output.encode(version, out, |out| {
                port.encode(version, out);
                out.u16(*max_len);
            });
        }
        Action::OutputReg { source, max_len, second } => encode_output_reg(*source, *max_len, *second, out, context),
        Action::OutputTrunc { port, max_len } => {
            Form::OutputTrunc.encode(version, out, |out| {
                out.u16(port.0);
                out.u32(*max_len);
            });
        }
        Action::Controller(controller) => encode_controller(controller, out, version),
        Action::Enqueue { port, queue } => encode_enqueue(*port, *queue, out, version),
        Action::Group(group) => Form::Group.encode_number(version, out, *group, 4),
        Action::SetQueue(queue) => Form::SetQueue.encode_number(version, out, *queue, 4),
        Action::PopQueue => Form::PopQueue.encode_void(version, out),
        Action::Bundle(bundle) => encode_bundle(bundle, out, context),
        Action::SetVlanVid { vid, push } => {
            flow.push_tag(*push, out, context);
            if version == Version::V1_0 {
                Form::SetVlanVidPush.encode_number(version, out, (*vid).into(), 2);
            } else {
                let value = u128::from(*vid) | 0x1000;
                set_whole_field(OxmField::VlanVid, value, flow, out, context);
            }
        }
        Action::SetVlanPcp { pcp, push } => {
            flow.push_tag(*push, out, context);
            if version == Version::V1_0 {
                Form::SetVlanPcpPush.encode_number(version, out, (*pcp).into(), 1);
            } else {
                set_whole_field(OxmField::VlanPcp, (*pcp).into(), flow, out, context);
            }
        }
        Action::PopVlan => {
            flow.has_tag = false;
            Form::PopVlan.encode_void(version, out);
        }
        Action::PushVlan(eth_type) => {
            flow.has_tag = true;
            // In OpenFlow 1.0 setting the tag, which must follow, pushes it.
            Form::PushVlan.encode_number(version, out, (*eth_type).into(), 2);
        }
        Action::SetHeader { field, value } => field.encode(*value, flow, out, context),
        Action::SetField { field, value, mask, form } => {
            encode_set_field(*field, *value, *mask, *form, flow, out, context);
        }
        Action::Move { source, destination, onf } => encode_move(*source, *destination, *onf, out, context),
        Action::StackPush(subfield) => encode_stack(Form::StackPush, *subfield, out, context),
        Action::StackPop(subfield) => encode_stack(Form::StackPop, *subfield, out, context),
        Action::DecTtl(None) => Form::DecTtl.encode_void(version, out),
        Action::DecTtl(Some(ids)) => {
            Form::DecTtlControllers.encode(version, out, |out| {
                out.u16(ids.len() as u16);
                out.zeros(4);
                ids.iter().for_each(|id| out.u16(*id));
            });
        }
        Action::DecMplsTtl => Form::DecMplsTtl.encode_void(version, out),
        Action::PushMpls(eth_type) => Form::PushMpls.encode_number(version, out, (*eth_type).into(), 2),
        Action::PopMpls(eth_type) => Form::PopMpls.encode_number(version, out, (*eth_type).into(), 2),
        Action::Resubmit(resubmit) => encode_resubmit(*resubmit, out, version),
        Action::Learn(learn) => learn.encode(out, context),
        Action::Conjunction { id, clause, clauses } => {
            Form::Conjunction.encode(version, out, |out| {
                out.u8(*clause);
                out.u8(*clauses);
                out.u32(*id);
            });
        }
        Action::Multipath(multipath) => encode_multipath(*multipath, out, context),
        Action::Note(note) => Form::Note.encode(version, out, |out| out.put(note)),
        Action::Exit => Form::Exit.encode_void(version, out),
        Action::FinTimeout { idle_s, hard_s } => {
            Form::FinTimeout.encode(version, out, |out| {
                out.u16(*idle_s);
                out.u16(*hard_s);
            });
        }
        Action::Sample(sample) => encode_sample(*sample, out, version),
        Action::Clone(actions) => {
            Form::Clone.encode(version, out, |out| {
                out.zeros(6);
                encode_actions(actions, flow, out, context);
            });
        }
        Action::Conntrack(conntrack) => conntrack.encode(flow, out, context),
        Action::CtClear => Form::CtClear.encode_void(version, out),
        Action::Nat(nat) => nat.encode(out, context),
        Action::CheckPktLarger { length_bytes, destination } => {
            Form::CheckPktLarger.encode(version, out, |out| {
                out.u16(*length_bytes);
                out.u16(destination.offset);
                encode_header(out, destination.field, None, false, context);
            });
        }
        Action::DeleteField(field) => {
            Form::DeleteField.encode(version, out, |out| encode_header(out, *field, None, false, context));
        }
        // Below, instructions: OpenFlow 1.0 has actions in place of some.
        Action::Meter(meter) => Form::Meter.encode_number(version, out, *meter, 4),
        Action::WriteMetadata { value, mask } => {
            Form::WriteMetadata.encode(version, out, |out| {
                out.zeros(6);
                out.u64(*value);
                out.u64(*mask);
            });
        }
        Action::GotoTable(table) => {
            let resubmit = Resubmit { port: PortNo::IN_PORT, table: *table, conntrack: false, first: false };
            encode_resubmit(resubmit, out, version);
        }
        Action::ClearActions | Action::WriteActions(_) => {}
    }
}

fn set_whole_field(field: OxmField, value: u128, flow: &mut Flow, out: &mut Vec<u8>, context: &Context) {
    encode_set_field(field, value, u128::MAX, super::SetForm::SetField, flow, out, context);
}

fn encode_output_reg(source: Subfield, max_len: u16, second: bool, out: &mut Vec<u8>, context: &Context) {
    let version = context.version;
    if second || !has_nxm_header(source.field) {
        Form::OutputReg2.encode(version, out, |out| {
            out.u16(source.offset_bits());
            out.u16(max_len);
            encode_header(out, source.field, None, false, context);
        });
    } else {
        Form::OutputReg.encode(version, out, |out| {
            out.u16(source.offset_bits());
            encode_nxm_field(out, source.field, context);
            out.u16(max_len);
        });
    }
}

fn encode_controller(controller: &Controller, out: &mut Vec<u8>, version: Version) {
    let Controller { max_len, controller_id, reason, userdata, pause, meter, second } = controller;
    if !(*second || *pause || !userdata.is_empty() || meter.is_some()) {
        Form::Controller.encode(version, out, |out| {
            out.u16(*max_len);
            out.u16(*controller_id);
            out.u8(*reason);
        });
        return;
    }
    Form::Controller2.encode(version, out, |out| {
        out.zeros(6);
        if *max_len != u16::MAX {
            property::put_u16(out, controller_property::MAX_LEN, *max_len);
        }
        if *controller_id != 0 {
            property::put_u16(out, controller_property::CONTROLLER_ID, *controller_id);
        }
        if *reason != REASON_ACTION {
            property::put_u8(out, controller_property::REASON, *reason);
        }
        if !userdata.is_empty() {
            property::put(out, controller_property::USERDATA, |out| out.put(userdata));
        }
        if *pause {
            property::put(out, controller_property::PAUSE, |_| {});
        }
        if let Some(meter) = meter {
            property::put_u32(out, controller_property::METER_ID, *meter);
        }
    });
}

fn encode_enqueue(port: PortNo, queue: u32, out: &mut Vec<u8>, version: Version) {
    if Form::Enqueue.is_in(version) {
        Form::Enqueue.encode(version, out, |out| {
            out.u16(port.0);
            out.zeros(6);
            out.u32(queue);
        });
    } else {
        // Later versions say it in three actions.
        Form::SetQueue.encode_number(version, out, queue, 4);
        Form::Output.encode(version, out, |out| port.encode(version, out));
        Form::PopQueue.encode_void(version, out);
    }
}

fn encode_resubmit(resubmit: Resubmit, out: &mut Vec<u8>, version: Version) {
    let Resubmit { port, table, conntrack, first } = resubmit;
    if first && table == 0xff {
        Form::Resubmit.encode(version, out, |out| out.u16(port.0));
        return;
    }
    let form = if conntrack { Form::ResubmitTableCt } else { Form::ResubmitTable };
    form.encode(version, out, |out| {
        out.u16(port.0);
        out.u8(table);
    });
}

fn encode_stack(form: Form, subfield: Subfield, out: &mut Vec<u8>, context: &Context) {
    form.encode(context.version, out, |out| {
        out.u16(subfield.offset);
        encode_header(out, subfield.field, None, false, context);
        out.u16(subfield.bits);
    });
}

fn encode_multipath(multipath: Multipath, out: &mut Vec<u8>, context: &Context) {
    Form::Multipath.encode(context.version, out, |out| {
        out.u16(multipath.fields);
        out.u16(multipath.basis);
        out.zeros(2);
        out.u16(multipath.algorithm);
        out.u16(multipath.max_link);
        out.u32(multipath.argument);
        out.zeros(2);
        out.u16(multipath.destination.offset_bits());
        encode_nxm_field(out, multipath.destination.field, context);
    });
}

fn encode_bundle(bundle: &Bundle, out: &mut Vec<u8>, context: &Context) {
    let form = if bundle.destination.is_some() { Form::BundleLoad } else { Form::Bundle };
    form.encode(context.version, out, |out| {
        out.u16(bundle.algorithm);
        out.u16(bundle.fields);
        out.u16(bundle.basis);
        out.u32(BUNDLE_MEMBER_TYPE);
        out.u16(bundle.members.len() as u16);
        match bundle.destination {
            Some(destination) => {
                out.u16(destination.offset_bits());
                encode_nxm_field(out, destination.field, context);
            }
            None => out.zeros(6),
        }
        out.zeros(4);
        bundle.members.iter().for_each(|member| out.u16(member.0));
    });
}

fn encode_sample(sample: Sample, out: &mut Vec<u8>, version: Version) {
    let form = if sample.form == 3 || sample.direction != 0 {
        Form::Sample3
    } else if sample.form == 2 || sample.sampling_port != PortNo::NONE {
        Form::Sample2
    } else {
        Form::Sample
    };
    form.encode(version, out, |out| {
        out.u16(sample.probability);
        out.u32(sample.collector_set_id);
        out.u32(sample.observation_domain_id);
        out.u32(sample.observation_point_id);
        if form != Form::Sample {
            out.u16(sample.sampling_port.0);
            out.u8(sample.direction);
        }
    });
}
