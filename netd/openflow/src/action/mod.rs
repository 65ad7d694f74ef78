//! Actions and instructions, as one list in the order in which they take effect.
//!
//! Instructions of OpenFlow 1.1 and later are actions here too: what stands between them is an Apply-Actions instruction. The order in
//! which they may stand is checked when they are read. Most actions have one form on the wire; where there are several, and a
//! controller must get back what it sent, the action remembers which.

mod check;
mod conntrack;
mod decode;
mod encode;
mod form;
mod instruction;
mod learn;
mod set_field;

pub use check::CheckParameters;
pub use conntrack::{Conntrack, ConntrackZone, Nat, NatFlags, NatRange};
pub use learn::{Learn, LearnDestination, LearnFlags, LearnSource, LearnSpec};
pub use set_field::{HeaderField, SetForm};

pub(crate) use decode::{decode_actions, decode_actions_of_length};
pub(crate) use encode::{Flow, encode_actions};
pub(crate) use instruction::{decode_instructions, encode_instructions};

use crate::wire::Reader;
use crate::{Context, ErrorCode, OxmField, PortNo, Subfield, Version};

/// How deep actions may hold actions (`clone` within `clone`); Open vSwitch gives up a packet at about this depth too.
pub const NESTING_MAX: usize = 64;

/// One action or instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// OFPAT_OUTPUT. `max_len`: bytes for the controller.
    Output {
        port: PortNo,
        max_len: u16,
    },
    /// NXAST_OUTPUT_REG: to the port whose number a field holds. `second`: it came as NXAST_OUTPUT_REG2.
    OutputReg {
        source: Subfield,
        max_len: u16,
        second: bool,
    },
    /// NXAST_OUTPUT_TRUNC: of the packet, the first `max_len` bytes.
    OutputTrunc {
        port: PortNo,
        max_len: u32,
    },
    /// NXAST_CONTROLLER and NXAST_CONTROLLER2.
    Controller(Controller),
    /// OFPAT_ENQUEUE, OpenFlow 1.0.
    Enqueue {
        port: PortNo,
        queue: u32,
    },
    Group(u32),
    SetQueue(u32),
    PopQueue,
    /// NXAST_BUNDLE and NXAST_BUNDLE_LOAD.
    Bundle(Bundle),
    /// OFPAT_SET_VLAN_VID. `push`: the form of OpenFlow 1.0, which adds a tag if there is none.
    SetVlanVid {
        vid: u16,
        push: bool,
    },
    SetVlanPcp {
        pcp: u8,
        push: bool,
    },
    /// OFPAT_STRIP_VLAN, OFPAT_POP_VLAN.
    PopVlan,
    /// Of this Ethernet type.
    PushVlan(u16),
    /// The actions with which versions before 1.2 set header fields.
    SetHeader {
        field: HeaderField,
        value: u64,
    },
    /// OFPAT_SET_FIELD, NXAST_REG_LOAD: bits of the view `field` get those of `value` where `mask` has ones.
    SetField {
        field: OxmField,
        value: u128,
        mask: u128,
        form: SetForm,
    },
    /// NXAST_REG_MOVE, OFPAT_COPY_FIELD. `onf`: it came as the foundation's extension to OpenFlow 1.3.
    Move {
        source: Subfield,
        destination: Subfield,
        onf: bool,
    },
    StackPush(Subfield),
    StackPop(Subfield),
    /// OFPAT_DEC_NW_TTL. With ids: NXAST_DEC_TTL_CNT_IDS, whom to tell when it runs out.
    DecTtl(Option<Vec<u16>>),
    DecMplsTtl,
    /// Of this Ethernet type.
    PushMpls(u16),
    /// What follows the label has this Ethernet type.
    PopMpls(u16),
    /// NXAST_RESUBMIT and its successors.
    Resubmit(Resubmit),
    Learn(Box<Learn>),
    /// NXAST_CONJUNCTION: this flow is clause `clause` (from 0) of `clauses`.
    Conjunction {
        id: u32,
        clause: u8,
        clauses: u8,
    },
    Multipath(Multipath),
    /// NXAST_NOTE: does nothing.
    Note(Vec<u8>),
    Exit,
    /// NXAST_FIN_TIMEOUT: timeouts, in seconds, of the flow after a FIN or RST.
    FinTimeout {
        idle_s: u16,
        hard_s: u16,
    },
    Sample(Sample),
    /// NXAST_CLONE: on a copy of the packet and of the pipeline's state.
    Clone(Vec<Action>),
    Conntrack(Box<Conntrack>),
    CtClear,
    /// NXAST_NAT, within [`Action::Conntrack`] only.
    Nat(Nat),
    /// NXAST_CHECK_PKT_LARGER: whether the packet is longer, into one bit.
    CheckPktLarger {
        length_bytes: u16,
        destination: Subfield,
    },
    /// NXAST_DELETE_FIELD: forget a tunnel option.
    DeleteField(OxmField),
    /// OFPIT_METER, and OFPAT_METER in OpenFlow 1.5.
    Meter(u32),
    /// OFPIT_CLEAR_ACTIONS.
    ClearActions,
    /// OFPIT_WRITE_ACTIONS: into the action set.
    WriteActions(Vec<Action>),
    /// OFPIT_WRITE_METADATA.
    WriteMetadata {
        value: u64,
        mask: u64,
    },
    /// OFPIT_GOTO_TABLE.
    GotoTable(u8),
}

/// A packet to the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Bytes of the packet; 65535: all.
    pub max_len: u16,
    /// Of the connection, as NXT_SET_CONTROLLER_ID gave it.
    pub controller_id: u16,
    /// OFPR_*.
    pub reason: u8,
    pub userdata: Vec<u8>,
    /// Stop here; NXT_RESUME goes on.
    pub pause: bool,
    pub meter: Option<u32>,
    /// It came as NXAST_CONTROLLER2.
    pub second: bool,
}

/// OFPR_ACTION: the reason of a packet that an action sent.
pub const REASON_ACTION: u8 = 1;

/// Search a table again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resubmit {
    /// [`PortNo::IN_PORT`]: the port does not change.
    pub port: PortNo,
    /// 255: the current one.
    pub table: u8,
    /// Look up with the connection's original addresses.
    pub conntrack: bool,
    /// It came as NXAST_RESUBMIT.
    pub first: bool,
}

/// Choose one of several ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// NX_BD_ALG_*: 0 active backup, 1 highest random weight.
    pub algorithm: u16,
    /// NX_HASH_FIELDS_*.
    pub fields: u16,
    pub basis: u16,
    pub members: Vec<PortNo>,
    /// Absent: output there; else its number goes here.
    pub destination: Option<Subfield>,
}

/// NXAST_MULTIPATH: choose a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multipath {
    /// NX_HASH_FIELDS_*.
    pub fields: u16,
    pub basis: u16,
    /// NX_MP_ALG_*: 0 modulo, 1 hash threshold, 2 highest random weight, 3 iterative hash.
    pub algorithm: u16,
    /// Greatest number, so that there are `max_link + 1`.
    pub max_link: u16,
    pub argument: u32,
    pub destination: Subfield,
}

/// NXAST_SAMPLE to NXAST_SAMPLE3: an IPFIX record of some packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Of 65535 packets; not 0.
    pub probability: u16,
    pub collector_set_id: u32,
    pub observation_domain_id: u32,
    pub observation_point_id: u32,
    /// [`PortNo::NONE`]: not of a port.
    pub sampling_port: PortNo,
    /// 0 default, 1 ingress, 2 egress.
    pub direction: u8,
    /// Which of the three it came as: 1, 2, 3.
    pub form: u8,
}

/// What holds a list of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outer {
    Nothing,
    Conntrack,
}

/// Which instructions may stand in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// A flow's.
    All,
    /// A packet-out's, a group bucket's: actions and a meter.
    ActionsAndMeter,
    /// Within another action.
    Actions,
}

/// Ranks of instructions: a list is in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Instruction {
    Meter,
    Apply,
    Clear,
    Write,
    Metadata,
    Goto,
}

impl Action {
    fn instruction(&self, version: Version) -> Instruction {
        match self {
            Self::Meter(_) if version < Version::V1_5 => Instruction::Meter,
            Self::ClearActions => Instruction::Clear,
            Self::WriteActions(_) => Instruction::Write,
            Self::WriteMetadata { .. } => Instruction::Metadata,
            Self::GotoTable(_) => Instruction::Goto,
            _ => Instruction::Apply,
        }
    }

    /// The field it writes, if that is what it does.
    fn destination(&self) -> Option<OxmField> {
        match self {
            Self::SetField { field, .. } => Some(*field),
            Self::Move { destination, .. } => Some(destination.field),
            _ => None,
        }
    }

    /// Whether it may stand in an action set (OpenFlow 1.5.1 section 5.6).
    fn is_allowed_in_set(&self) -> bool {
        matches!(
            self,
            Self::PopVlan
                | Self::PopMpls(_)
                | Self::PushMpls(_)
                | Self::PushVlan(_)
                | Self::DecTtl(_)
                | Self::DecMplsTtl
                | Self::Conntrack(_)
                | Self::CtClear
                | Self::Resubmit(_)
                | Self::Output { .. }
                | Self::Group(_)
                | Self::SetField { .. }
                | Self::Move { .. }
                | Self::SetHeader { .. }
                | Self::SetQueue(_)
                | Self::SetVlanPcp { .. }
                | Self::SetVlanVid { .. }
        )
    }

    /// This action and all within it.
    fn any(&self, meant: &impl Fn(&Self) -> bool) -> bool {
        let within = match self {
            Self::Clone(actions) | Self::WriteActions(actions) => actions.as_slice(),
            Self::Conntrack(conntrack) => conntrack.actions.as_slice(),
            _ => &[],
        };
        meant(self) || within.iter().any(|action| action.any(meant))
    }
}

/// Whether any action outputs to the port: flow mods and statistics may ask for such flows only.
pub fn outputs_to_port(actions: &[Action], port: PortNo) -> bool {
    let meant = |action: &Action| match action {
        Action::Output { port: to, .. } | Action::Enqueue { port: to, .. } => *to == port,
        Action::Controller(_) => port == PortNo::CONTROLLER,
        _ => false,
    };
    actions.iter().any(|action| action.any(&meant))
}

/// Whether any action sends the packet to the group.
pub fn outputs_to_group(actions: &[Action], group: u32) -> bool {
    actions.iter().any(|action| action.any(&|action| *action == Action::Group(group)))
}

/// What a list of actions takes in memory, with all that they hold.
pub fn held_bytes(actions: &[Action]) -> usize {
    let beside = |action: &Action| match action {
        Action::Clone(within) | Action::WriteActions(within) => held_bytes(within),
        Action::Conntrack(conntrack) => size_of::<Conntrack>() + held_bytes(&conntrack.actions),
        Action::Learn(learn) => size_of::<Learn>() + learn.specs.iter().map(LearnSpec::held_bytes).sum::<usize>(),
        Action::Note(bytes) => bytes.len(),
        Action::Controller(controller) => controller.userdata.len(),
        Action::Bundle(bundle) => size_of_val(bundle.members.as_slice()),
        Action::DecTtl(Some(ids)) => size_of_val(ids.as_slice()),
        _ => 0,
    };
    size_of_val(actions) + actions.iter().map(beside).sum::<usize>()
}

/// A flow's actions on the wire, for whoever keeps them outside; [`decode_flow_actions`] reads them again.
pub fn encode_flow_actions(actions: &[Action], context: &Context) -> Vec<u8> {
    let mut out = Vec::new();
    encode_instructions(actions, &mut Flow::default(), &mut out, context);
    out
}

/// What [`encode_flow_actions`] wrote, or somebody who is not to be trusted.
///
/// # Errors
/// As of a flow mod with these instructions.
pub fn decode_flow_actions(bytes: &[u8], context: &Context) -> Result<Vec<Action>, ErrorCode> {
    decode_instructions(&mut Reader::new(bytes, ErrorCode::InstructionBadLen), context)
}

/// Check what stands together and in which order (`ofpacts_verify` of Open vSwitch).
fn verify(actions: &[Action], version: Version, allowed: Allowed, outer: Outer) -> Result<(), ErrorCode> {
    let mut before = None;
    for action in actions {
        if let Action::Conjunction { .. } = action {
            let alone = |action: &Action| matches!(action, Action::Conjunction { .. } | Action::Note(_));
            return if actions.iter().all(alone) { Ok(()) } else { Err(ErrorCode::NxActionBadConjunction) };
        }
        verify_nesting(action, outer)?;
        let next = action.instruction(version);
        let in_order = match before {
            None => true,
            Some(Instruction::Apply) => next >= Instruction::Apply,
            Some(before) => next > before,
        };
        if !in_order {
            return Err(ErrorCode::ActionUnsupportedOrder);
        }
        let is_allowed = match allowed {
            Allowed::All => true,
            Allowed::ActionsAndMeter => next <= Instruction::Apply,
            Allowed::Actions => next == Instruction::Apply,
        };
        if !is_allowed {
            return Err(ErrorCode::InstructionUnsupInst);
        }
        before = Some(next);
    }
    Ok(())
}

fn verify_nesting(action: &Action, outer: Outer) -> Result<(), ErrorCode> {
    let destination = action.destination();
    let of_connection = matches!(destination, Some(OxmField::CtMark | OxmField::CtLabel));
    match (action, outer) {
        (_, Outer::Nothing) if of_connection => Err(ErrorCode::ActionBadSetArgument),
        (Action::Nat(_), Outer::Nothing) => Err(ErrorCode::ActionBadSetArgument),
        (Action::Nat(_), Outer::Conntrack) => Ok(()),
        (_, Outer::Conntrack) if !of_connection => Err(ErrorCode::ActionBadArgument),
        _ => Ok(()),
    }
}
