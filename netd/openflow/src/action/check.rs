//! Whether actions fit the packets that a match lets through.

use super::{Action, Conntrack, ConntrackZone, Learn, LearnDestination, LearnSource, NatRange};
use crate::oxm::{Facts, IP_PROTO_TCP, IP_PROTO_UDP};
use crate::{ErrorCode, OxmField, PortNo, Subfield, Version};
use hive_flow::Match;

/// OFPM_MAX.
const METER_MAX: u32 = 0xffff_0000;
const INCONSISTENT: ErrorCode = ErrorCode::ActionMatchInconsistent;
const PORT_FTP: u16 = 21;
const PORT_TFTP: u16 = 69;

/// What a switch allows.
#[derive(Clone, Copy, Debug)]
pub struct CheckParameters {
    pub version: Version,
    /// Ordinary ports have numbers below.
    pub ports_max: PortNo,
    /// The flow's table; 255: any.
    pub table: u8,
    /// 255: no limit.
    pub tables: u8,
}

impl CheckParameters {
    /// Check a flow's actions against its match.
    ///
    /// # Errors
    /// `OFPBAC_MATCH_INCONSISTENT` and others, as Open vSwitch's `ofpacts_check_consistency`.
    pub fn check(&self, actions: &[Action], flow: &Match) -> Result<(), ErrorCode> {
        // OpenFlow 1.0 lets actions be that have no effect.
        let check = Check { parameters: *self, loose: self.version == Version::V1_0 };
        check.list(actions, &mut Facts::of(flow))
    }
}

struct Check {
    parameters: CheckParameters,
    /// Actions whose prerequisites the match lacks are let be.
    loose: bool,
}

fn check_source(subfield: Subfield, facts: &Facts) -> Result<(), ErrorCode> {
    subfield.check_source()?;
    if facts.allow_field(subfield.field) { Ok(()) } else { Err(INCONSISTENT) }
}

fn check_destination(subfield: Subfield, facts: &Facts) -> Result<(), ErrorCode> {
    check_source(subfield, facts)?;
    subfield.check_destination()
}

impl Check {
    /// What actions change of the facts holds until the end of their list.
    fn list(&self, actions: &[Action], facts: &mut Facts) -> Result<(), ErrorCode> {
        actions.iter().try_for_each(|action| self.action(action, facts))
    }

    fn require(&self, holds: bool) -> Result<(), ErrorCode> {
        if holds || self.loose { Ok(()) } else { Err(INCONSISTENT) }
    }

    fn action(&self, action: &Action, facts: &mut Facts) -> Result<(), ErrorCode> {
        let ports_max = self.parameters.ports_max;
        match action {
            Action::Output { port, .. } | Action::OutputTrunc { port, .. } => port.check_output(ports_max),
            Action::OutputReg { source, .. } => check_source(*source, facts),
            Action::Enqueue { port, .. } => {
                if *port >= ports_max && *port != PortNo::IN_PORT && *port != PortNo::LOCAL {
                    return Err(ErrorCode::ActionBadOutPort);
                }
                Ok(())
            }
            Action::Bundle(bundle) => {
                if let Some(destination) = bundle.destination {
                    check_destination(destination, facts)?;
                }
                bundle.check(ports_max)
            }
            Action::SetVlanVid { push, .. } | Action::SetVlanPcp { push, .. } => {
                self.require(facts.vlan || *push)?;
                facts.vlan = true;
                Ok(())
            }
            Action::PopVlan => {
                self.require(facts.vlan)?;
                facts.vlan = false;
                Ok(())
            }
            Action::PushVlan(_) => {
                facts.vlan = true;
                Ok(())
            }
            Action::SetHeader { field, .. } => {
                use super::HeaderField as H;
                self.require(match field {
                    H::EthSrc | H::EthDst | H::Tunnel32 | H::Tunnel64 => true,
                    H::Ipv4Src | H::Ipv4Dst => facts.is_ipv4(),
                    H::IpTos | H::IpEcn | H::IpTtl => facts.is_ip(),
                    H::TpSrc | H::TpDst => facts.has_ports(),
                    H::MplsLabel | H::MplsTc | H::MplsTtl => facts.is_mpls(),
                })
            }
            Action::SetField { field, value, .. } => {
                if !facts.allow_field(*field) || *field == OxmField::VlanVid && !facts.vlan {
                    return Err(INCONSISTENT);
                }
                if *field == OxmField::VlanTci {
                    facts.vlan = value & 0x1000 != 0;
                }
                Ok(())
            }
            Action::Move { source, destination, .. } => {
                check_source(*source, facts)?;
                check_destination(*destination, facts)
            }
            Action::StackPush(subfield) => check_source(*subfield, facts),
            Action::StackPop(subfield) => check_destination(*subfield, facts),
            Action::DecTtl(_) => self.require(facts.is_ip()),
            Action::DecMplsTtl => self.require(facts.is_mpls()),
            Action::PushMpls(eth_type) => {
                self.require(facts.is_ethernet())?;
                facts.set_eth_type(*eth_type);
                // What is behind the label is opaque.
                facts.ip_proto = 0;
                Ok(())
            }
            Action::PopMpls(eth_type) => {
                self.require(facts.is_ethernet() && facts.is_mpls())?;
                facts.set_eth_type(*eth_type);
                Ok(())
            }
            Action::Resubmit(resubmit) if resubmit.conntrack && !facts.is_ct_valid() => Err(INCONSISTENT),
            Action::Learn(learn) => Self::learn(learn, facts),
            Action::Multipath(multipath) => check_destination(multipath.destination, facts),
            Action::FinTimeout { .. } => self.require(facts.is_ip() && facts.ip_proto == IP_PROTO_TCP),
            Action::Clone(actions) => self.list(actions, &mut facts.clone()),
            // When an action set is executed its packet may have become another.
            Action::WriteActions(actions) => Check { loose: true, ..*self }.list(actions, &mut facts.clone()),
            Action::Conntrack(conntrack) => self.conntrack(conntrack, facts),
            Action::Nat(nat) => {
                let fits = match nat.addresses {
                    None => facts.is_ip(),
                    Some(NatRange::V4 { .. }) => facts.is_ipv4(),
                    Some(NatRange::V6 { .. }) => facts.is_ipv6(),
                };
                if fits { Ok(()) } else { Err(INCONSISTENT) }
            }
            Action::DeleteField(field) => match field {
                OxmField::TunMetadata(_) => Ok(()),
                _ => Err(ErrorCode::ActionBadArgument),
            },
            Action::Meter(meter) if *meter == 0 || *meter > METER_MAX => Err(ErrorCode::MeterModInvalidMeter),
            Action::GotoTable(table) => {
                let CheckParameters { table: current, tables, .. } = self.parameters;
                if current != 255 && *table <= current || tables != 255 && *table >= tables {
                    return Err(ErrorCode::InstructionBadTableId);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn conntrack(&self, conntrack: &Conntrack, facts: &Facts) -> Result<(), ErrorCode> {
        let helper_fits = match conntrack.helper {
            PORT_FTP => facts.ip_proto == IP_PROTO_TCP,
            PORT_TFTP => facts.ip_proto == IP_PROTO_UDP,
            _ => true,
        };
        if !facts.is_ip() || facts.is_ct_invalid() && conntrack.commit || !helper_fits {
            return Err(INCONSISTENT);
        }
        if let ConntrackZone::Field(zone) = conntrack.zone {
            check_source(zone, facts)?;
        }
        self.list(&conntrack.actions, &mut facts.clone())
    }

    fn learn(learn: &Learn, facts: &Facts) -> Result<(), ErrorCode> {
        // What the learned flow matches on, as far as it is known.
        let mut learned = Match::default();
        for spec in &learn.specs {
            if let LearnSource::Field(source) = spec.source {
                check_source(source, facts)?;
            }
            match spec.destination {
                LearnDestination::Match(destination) => {
                    check_source(destination, &Facts::of(&learned))?;
                    if let Some(value) = spec.source.immediate() {
                        for part in destination.parts() {
                            let bits = u128::MAX >> (128 - part.bits);
                            let placed = |view: u128| (view >> part.view_offset & bits) << part.offset;
                            learned.set(part.field, placed(value), placed(u128::MAX));
                        }
                    }
                }
                LearnDestination::Load(destination) => destination.check_destination()?,
                LearnDestination::Output => {}
            }
        }
        Ok(())
    }
}
