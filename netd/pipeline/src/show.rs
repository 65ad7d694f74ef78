//! Actions as `ovs-ofctl` prints them.

use hive_openflow::{Action, ConntrackZone, LearnDestination, LearnSource, OxmField, PortNo, Subfield};
use std::fmt::{self, Display, Formatter};

/// An action.
#[derive(Clone, Copy, Debug)]
pub struct ShownAction<'a>(pub &'a Action);

struct List<'a>(&'a [Action]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, action) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { "," }, ShownAction(action))?;
        }
        Ok(())
    }
}

fn name(field: OxmField) -> String {
    let index = match field {
        OxmField::Reg(n) | OxmField::XReg(n) | OxmField::XxReg(n) | OxmField::TunMetadata(n) => n.to_string(),
        _ => String::new(),
    };
    format!("{}{index}", field.name())
}

fn bits(subfield: Subfield) -> String {
    let name = name(subfield.field);
    match subfield {
        Subfield { offset: 0, bits, field } if u32::from(bits) == field.bits() => format!("{name}[]"),
        Subfield { offset, bits: 1, .. } => format!("{name}[{offset}]"),
        Subfield { offset, bits, .. } => format!("{name}[{offset}..{}]", u32::from(offset) + u32::from(bits) - 1),
    }
}

fn port(port: PortNo) -> String {
    match port {
        PortNo::IN_PORT => "IN_PORT".to_owned(),
        PortNo::TABLE => "TABLE".to_owned(),
        PortNo::NORMAL => "NORMAL".to_owned(),
        PortNo::FLOOD => "FLOOD".to_owned(),
        PortNo::ALL => "ALL".to_owned(),
        PortNo::LOCAL => "LOCAL".to_owned(),
        PortNo::NONE => "ANY".to_owned(),
        number => number.0.to_string(),
    }
}

impl Display for ShownAction<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Action::Output { port: PortNo::CONTROLLER, max_len } => write!(f, "CONTROLLER:{max_len}"),
            Action::Output { port: to, .. } if *to < PortNo::MAX => write!(f, "output:{}", to.0),
            Action::Output { port: to, .. } => f.write_str(&port(*to)),
            Action::OutputReg { source, .. } => write!(f, "output:{}", bits(*source)),
            Action::OutputTrunc { port: to, max_len } => write!(f, "output(port={},max_len={max_len})", port(*to)),
            Action::Controller(controller) => {
                f.write_str("controller(")?;
                if !controller.userdata.is_empty() {
                    let hex: Vec<_> = controller.userdata.iter().map(|byte| format!("{byte:02x}")).collect();
                    write!(f, "userdata={}", hex.join("."))?;
                }
                f.write_str(if controller.pause { ",pause)" } else { ")" })
            }
            Action::Enqueue { port: to, queue } => write!(f, "enqueue:{}:{queue}", port(*to)),
            Action::Group(group) => write!(f, "group:{group}"),
            Action::SetQueue(queue) => write!(f, "set_queue:{queue}"),
            Action::PopQueue => f.write_str("pop_queue"),
            Action::SetVlanVid { vid, .. } => write!(f, "mod_vlan_vid:{vid}"),
            Action::SetVlanPcp { pcp, .. } => write!(f, "mod_vlan_pcp:{pcp}"),
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::PushVlan(kind) => write!(f, "push_vlan:{kind:#06x}"),
            Action::SetHeader { field, value } => write!(f, "set_field:{value:#x}->{}", name(field.field())),
            Action::SetField { field, value, mask, .. } => {
                write!(f, "set_field:{value:#x}")?;
                if *mask & u128::MAX >> (128 - field.bits()) != u128::MAX >> (128 - field.bits()) {
                    write!(f, "/{mask:#x}")?;
                }
                write!(f, "->{}", name(*field))
            }
            Action::Move { source, destination, .. } => write!(f, "move:{}->{}", bits(*source), bits(*destination)),
            Action::StackPush(subfield) => write!(f, "push:{}", bits(*subfield)),
            Action::StackPop(subfield) => write!(f, "pop:{}", bits(*subfield)),
            Action::DecTtl(_) => f.write_str("dec_ttl"),
            Action::DecMplsTtl => f.write_str("dec_mpls_ttl"),
            Action::PushMpls(kind) => write!(f, "push_mpls:{kind:#06x}"),
            Action::PopMpls(kind) => write!(f, "pop_mpls:{kind:#06x}"),
            Action::Resubmit(resubmit) => {
                let to = if resubmit.port == PortNo::IN_PORT { String::new() } else { port(resubmit.port) };
                let table = if resubmit.table == u8::MAX { String::new() } else { resubmit.table.to_string() };
                write!(f, "resubmit({to},{table}{})", if resubmit.conntrack { ",ct" } else { "" })
            }
            Action::Learn(learn) => {
                write!(f, "learn(table={},priority={}", learn.table, learn.priority)?;
                for spec in &learn.specs {
                    let source = match &spec.source {
                        LearnSource::Field(subfield) => bits(*subfield),
                        LearnSource::Immediate(bytes) => {
                            format!("0x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
                        }
                    };
                    match spec.destination {
                        LearnDestination::Match(to) => write!(f, ",{}={source}", bits(to))?,
                        LearnDestination::Load(to) => write!(f, ",load:{source}->{}", bits(to))?,
                        LearnDestination::Output => write!(f, ",output:{source}")?,
                    }
                }
                f.write_str(")")
            }
            Action::Conjunction { id, clause, clauses } => write!(f, "conjunction({id},{}/{clauses})", clause + 1),
            Action::Multipath(multipath) => write!(f, "multipath({})", bits(multipath.destination)),
            Action::Bundle(_) => f.write_str("bundle"),
            Action::Note(bytes) => {
                f.write_str("note:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}."))
            }
            Action::Exit => f.write_str("exit"),
            Action::FinTimeout { idle_s, hard_s } => {
                write!(f, "fin_timeout(idle_timeout={idle_s},hard_timeout={hard_s})")
            }
            Action::Sample(sample) => {
                write!(f, "sample(probability={},", sample.probability)?;
                write!(f, "collector_set_id={},", sample.collector_set_id)?;
                write!(f, "obs_domain_id={},", sample.observation_domain_id)?;
                write!(f, "obs_point_id={}", sample.observation_point_id)?;
                if sample.sampling_port != PortNo::NONE {
                    write!(f, ",sampling_port={}", port(sample.sampling_port))?;
                }
                f.write_str(match sample.direction {
                    1 => ",ingress)",
                    2 => ",egress)",
                    _ => ")",
                })
            }
            Action::Clone(actions) => write!(f, "clone({})", List(actions)),
            Action::Conntrack(conntrack) => {
                f.write_str("ct(")?;
                if conntrack.commit {
                    f.write_str("commit,")?;
                }
                if conntrack.force {
                    f.write_str("force,")?;
                }
                if let Some(table) = conntrack.table {
                    write!(f, "table={table},")?;
                }
                match conntrack.zone {
                    ConntrackZone::Number(zone) => write!(f, "zone={zone}")?,
                    ConntrackZone::Field(zone) => write!(f, "zone={}", bits(zone))?,
                }
                if conntrack.actions.is_empty() {
                    f.write_str(")")
                } else {
                    write!(f, ",exec({}))", List(&conntrack.actions))
                }
            }
            Action::CtClear => f.write_str("ct_clear"),
            Action::Nat(_) => f.write_str("nat"),
            Action::CheckPktLarger { length_bytes, destination } => {
                write!(f, "check_pkt_larger({length_bytes})->{}", bits(*destination))
            }
            Action::DeleteField(field) => write!(f, "delete_field:{}", name(*field)),
            Action::Meter(meter) => write!(f, "meter:{meter}"),
            Action::ClearActions => f.write_str("clear_actions"),
            Action::WriteActions(actions) => write!(f, "write_actions({})", List(actions)),
            Action::WriteMetadata { value, mask } => write!(f, "write_metadata:{value:#x}/{mask:#x}"),
            Action::GotoTable(table) => write!(f, "goto_table:{table}"),
        }
    }
}
