//! Operations and actions as `ovs-appctl` prints them.

use hive_conntrack::{Choice, Helper, Nat, NatRange, Request};
use hive_flow::Field;
use hive_openflow::{Action, ConntrackZone, LearnDestination, LearnSource, OxmField, PortNo, Subfield};
use hive_program::{HashOf, Op, Tunnel};
use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A list of operations.
#[derive(Clone, Copy, Debug)]
pub struct ShownOps<'a>(pub &'a [Op]);

fn mac(value: u128) -> String {
    let [.., a, b, c, d, e, f] = value.to_be_bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// The header in which the data path's attributes have a field, and its name there.
fn attribute(field: Field) -> (&'static str, &'static str) {
    match field {
        Field::EthSrc => ("eth", "src"),
        Field::EthDst => ("eth", "dst"),
        Field::Ipv4Src => ("ipv4", "src"),
        Field::Ipv4Dst => ("ipv4", "dst"),
        Field::Ipv6Src => ("ipv6", "src"),
        Field::Ipv6Dst => ("ipv6", "dst"),
        Field::Ipv6Label => ("ipv6", "label"),
        Field::IpDscp => ("ip", "dscp"),
        Field::IpEcn => ("ip", "ecn"),
        Field::IpTtl => ("ip", "ttl"),
        Field::TpSrc => ("ports", "src"),
        Field::TpDst => ("ports", "dst"),
        Field::IcmpType => ("icmp", "type"),
        Field::IcmpCode => ("icmp", "code"),
        Field::ArpOp => ("arp", "op"),
        Field::ArpSpa => ("arp", "sip"),
        Field::ArpTpa => ("arp", "tip"),
        Field::ArpSha => ("arp", "sha"),
        Field::ArpTha => ("arp", "tha"),
        Field::NdTarget => ("nd", "target"),
        Field::NdSll => ("nd", "sll"),
        Field::NdTll => ("nd", "tll"),
        Field::NdReserved => ("nd", "reserved"),
        Field::NdOptionsType => ("nd", "options_type"),
        Field::MplsLabel => ("mpls", "label"),
        Field::MplsTc => ("mpls", "tc"),
        Field::MplsTtl => ("mpls", "ttl"),
        Field::PktMark => ("skb_mark", ""),
        Field::SkbPriority => ("skb_priority", ""),
        _ => ("field", ""),
    }
}

fn field_value(field: Field, value: u128) -> String {
    match field {
        Field::EthSrc | Field::EthDst | Field::ArpSha | Field::ArpTha | Field::NdSll | Field::NdTll => mac(value),
        Field::Ipv4Src | Field::Ipv4Dst | Field::ArpSpa | Field::ArpTpa => Ipv4Addr::from(value as u32).to_string(),
        Field::Ipv6Src | Field::Ipv6Dst | Field::NdTarget => Ipv6Addr::from(value).to_string(),
        Field::PktMark | Field::SkbPriority => format!("{value:#x}"),
        _ => value.to_string(),
    }
}

impl Display for ShownOps<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("drop");
        }
        for (at, op) in self.0.iter().enumerate() {
            if at != 0 {
                f.write_str(",")?;
            }
            show_op(op, f)?;
        }
        Ok(())
    }
}

fn show_op(op: &Op, f: &mut Formatter<'_>) -> fmt::Result {
    match op {
        Op::Output(port) => write!(f, "{}", port.0),
        Op::Set { field, value, mask } => {
            let (header, name) = attribute(*field);
            let masked =
                if *mask == field.full_mask() { String::new() } else { format!("/{}", field_value(*field, *mask)) };
            let value = field_value(*field, *value);
            let equals = if name.is_empty() { "" } else { "=" };
            write!(f, "set({header}({name}{equals}{value}{masked}))")
        }
        Op::PushVlan { tpid, tci } => {
            f.write_str("push_vlan(")?;
            if *tpid != hive_flow::ETH_TYPE_VLAN {
                write!(f, "tpid={tpid:#06x},")?;
            }
            write!(f, "vid={},pcp={})", tci & 0xfff, tci >> 13)
        }
        Op::PopVlan => f.write_str("pop_vlan"),
        Op::PushMpls { ether_type, lse } => write!(
            f,
            "push_mpls(label={},tc={},ttl={},bos={},eth_type={ether_type:#x})",
            lse >> 12,
            lse >> 9 & 7,
            lse & 0xff,
            lse >> 8 & 1
        ),
        Op::PopMpls { ether_type } => write!(f, "pop_mpls(eth_type={ether_type:#x})"),
        Op::SetTunnel(tunnel) => show_tunnel(tunnel, f),
        Op::Truncate { bytes } => write!(f, "trunc({bytes})"),
        Op::Conntrack(request) => show_request(request, f),
        Op::CtClear => f.write_str("ct_clear"),
        Op::Hash { of, basis } => {
            let name = match of {
                HashOf::SymmetricL4 => "sym_l4",
                HashOf::L4 => "l4",
            };
            write!(f, "hash({name}({basis}))")
        }
        Op::Recirculate(id) => write!(f, "recirc({:#x})", id.0),
        Op::Meter(meter) => write!(f, "meter({})", meter.meter),
        Op::Punt(punt) => write!(f, "userspace(controller({}))", punt.what),
        Op::Clone(ops) => write!(f, "clone({})", ShownOps(ops)),
        Op::IfLarger { bytes, then, otherwise } => {
            write!(f, "check_pkt_len(size={bytes},gt({}),le({}))", ShownOps(then), ShownOps(otherwise))
        }
    }
}

fn show_tunnel(tunnel: &Tunnel, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "set(tunnel(tun_id={:#x}", tunnel.id)?;
    if let Some(local) = tunnel.local {
        write!(f, ",src={local}")?;
    }
    write!(f, ",dst={},tos={:#x},ttl={}", tunnel.remote, tunnel.tos, tunnel.ttl)?;
    if !tunnel.options.is_empty() {
        f.write_str(",geneve(")?;
        tunnel.options.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")?;
    }
    write!(f, ",flags({}key)))", if tunnel.df { "df|" } else { "" })
}

fn show_range(kind: &str, range: &NatRange, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "nat({kind}")?;
    let address = |value: u128| match u32::try_from(value) {
        Ok(v4) => Ipv4Addr::from(v4).to_string(),
        Err(_) => format!("[{}]", Ipv6Addr::from(value)),
    };
    if let Some((min, max)) = range.addresses {
        write!(f, "={}", address(min))?;
        if max != min {
            write!(f, "-{}", address(max))?;
        }
    }
    if let Some((min, max)) = range.ports {
        write!(f, ":{min}")?;
        if max != min {
            write!(f, "-{max}")?;
        }
    }
    if range.persistent {
        f.write_str(",persistent")?;
    }
    if range.choice == Choice::Random {
        f.write_str(",random")?;
    }
    f.write_str(")")
}

fn show_request(request: &Request, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("ct")?;
    let mut between = "(";
    let mut item = |f: &mut Formatter<'_>, text: fmt::Arguments<'_>| {
        f.write_str(std::mem::replace(&mut between, ","))?;
        f.write_fmt(text)
    };
    if request.force {
        item(f, format_args!("force_commit"))?;
    } else if request.commit {
        item(f, format_args!("commit"))?;
    }
    if request.zone != 0 {
        item(f, format_args!("zone={}", request.zone))?;
    }
    if let Some((value, mask)) = request.mark {
        item(f, format_args!("mark={value:#x}/{mask:#x}"))?;
    }
    if let Some((value, mask)) = request.label {
        item(f, format_args!("label={value:#x}/{mask:#x}"))?;
    }
    if request.helper == Some(Helper::Ftp) {
        item(f, format_args!("helper=ftp"))?;
    }
    if let Some(nat) = &request.nat {
        item(f, format_args!(""))?;
        match nat {
            Nat::Existing => f.write_str("nat")?,
            Nat::Source(range) => show_range("src", range, f)?,
            Nat::Destination(range) => show_range("dst", range, f)?,
        }
    }
    if between == "," { f.write_str(")") } else { Ok(()) }
}

/// An action, as `ovs-ofctl` writes it.
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
            Action::Sample(_) => f.write_str("sample"),
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
