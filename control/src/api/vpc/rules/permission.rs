//! What a permission of a call says: the rules that it stands for, and how many a group may have.

use super::super::super::parse_id;
use super::super::groups::is_plain;
use crate::error::{Error, combination, invalid, missing, network as fault, not_found};
use crate::store::{Network, Peer, PrefixListRecord, Rule, RuleKey, SecurityGroupRecord};
use hive_aws_types::ec2::IpPermission;
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{PrefixListId, SecurityGroupId};
use ipnet::{Ipv4Net, Ipv6Net};

/// EC2's default quota, each way; a prefix list counts as many as it may have entries.
const MAX_RULES: usize = 60;
const MAX_DESCRIPTION_CHARS: usize = 255;

/// All protocols, and so all ports.
pub fn is_all(key: &RuleKey) -> bool {
    key.protocol == "-1"
}

pub(super) fn check_protocol(text: &str) -> Result<String, Error> {
    let lower = text.to_ascii_lowercase();
    let name = match lower.as_str() {
        "tcp" | "6" => "tcp",
        "udp" | "17" => "udp",
        "icmp" | "1" => "icmp",
        "icmpv6" | "58" => "icmpv6",
        "-1" | "all" => "-1",
        other => match other.parse::<u8>() {
            Ok(number) => return Ok(number.to_string()),
            Err(_) => {
                let reason = format!("Invalid value '{text}' for IP protocol. Unknown protocol.");
                return Err(invalid("IpProtocol", text, reason));
            }
        },
    };
    Ok(name.to_owned())
}

/// Ports, or ICMP type and code.
pub(super) fn check_ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<(i32, i32), Error> {
    let range = |from: i32, to: i32| format!("{from}-{to}");
    match protocol {
        "tcp" | "udp" => {
            let (Some(from), Some(to)) = (from, to) else {
                let reason = "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
                return Err(invalid("portRange", "", reason));
            };
            let fits = |port: i32| (0..=65_535).contains(&port);
            if !fits(from) || !fits(to) || from > to {
                let reason = "Invalid value for portRange. Ports are 0 to 65535, the first not after the last.";
                return Err(invalid("portRange", range(from, to), reason));
            }
            Ok((from, to))
        }
        "icmp" | "icmpv6" => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            let fits = |number: i32| (-1..=255).contains(&number);
            if !fits(kind) || !fits(code) || (kind == -1 && code != -1) {
                let reason = "ICMP type and code are 0 to 255, or -1 for all; all types have all codes.";
                return Err(invalid("icmpTypeCode", range(kind, code), reason));
            }
            Ok((kind, code))
        }
        _ => Ok((-1, -1)),
    }
}

pub(super) fn check_description(text: Option<&String>) -> Result<Option<String>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > MAX_DESCRIPTION_CHARS || !is_plain(text) {
        let reason = "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: \
                      a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*";
        return Err(invalid("Description", text, reason));
    }
    Ok(Some(text.clone()))
}

pub(super) fn ipv4(text: Option<&String>) -> Result<Peer, Error> {
    let text = text.ok_or_else(|| missing("CidrIp"))?;
    let cidr: Result<Ipv4Net, _> = text.parse();
    Ok(Peer::Ipv4(cidr.map_err(|_| invalid("CidrIp", text, format!("CIDR block {text} is malformed")))?.trunc()))
}

pub(super) fn ipv6(text: Option<&String>) -> Result<Peer, Error> {
    let text = text.ok_or_else(|| missing("CidrIpv6"))?;
    let cidr: Result<Ipv6Net, _> = text.parse();
    Ok(Peer::Ipv6(cidr.map_err(|_| invalid("CidrIpv6", text, format!("CIDR block {text} is malformed")))?.trunc()))
}

/// A group of the same VPC; by its name, when it has no id.
pub(super) fn group(
    network: &Network,
    own: &SecurityGroupRecord,
    id: Option<&String>,
    name: Option<&String>,
) -> Result<Peer, Error> {
    let in_vpc = |group: &&SecurityGroupRecord| group.vpc_id == own.vpc_id;
    let found = match (id, name) {
        (Some(id), _) => {
            let id: SecurityGroupId = parse_id(Resource::SecurityGroup, id)?;
            let found = network.groups.get(&id).filter(in_vpc);
            found.ok_or_else(|| not_found(Resource::SecurityGroup, id))?
        }
        (None, Some(name)) => {
            let found = network.groups.values().filter(in_vpc).find(|group| group.name == *name);
            found.ok_or_else(|| not_found(Resource::SecurityGroup, name))?
        }
        (None, None) => return Err(missing("GroupId")),
    };
    Ok(Peer::Group(found.group_id.clone()))
}

pub(super) fn prefix_list(network: &Network, id: Option<&String>) -> Result<Peer, Error> {
    let id: PrefixListId = parse_id(Resource::PrefixList, id.ok_or_else(|| missing("PrefixListId"))?)?;
    Ok(Peer::PrefixList(network.get::<PrefixListRecord>(&id)?.prefix_list_id.clone()))
}

/// What a call permits or forbids, in either of its forms.
#[derive(Default)]
pub(super) struct Permitted<'a> {
    pub list: &'a [IpPermission],
    pub protocol: Option<&'a String>,
    pub from_port: Option<i32>,
    pub to_port: Option<i32>,
    pub cidr: Option<&'a String>,
    pub group_name: Option<&'a String>,
}

impl Permitted<'_> {
    pub fn is_flat(&self) -> bool {
        self.protocol.is_some() || self.cidr.is_some() || self.group_name.is_some() || self.from_port.is_some()
    }

    /// The rules, each with its description.
    pub fn rules(
        &self,
        network: &Network,
        own: &SecurityGroupRecord,
        egress: bool,
    ) -> Result<Vec<(RuleKey, Option<String>)>, Error> {
        let mut rules: Vec<(RuleKey, Option<String>)> = Vec::new();
        if self.is_flat() {
            if !self.list.is_empty() {
                return Err(combination("The parameter ipPermissions may not be used in combination with ipProtocol"));
            }
            let protocol = match (self.protocol, self.group_name) {
                (Some(protocol), _) => check_protocol(protocol)?,
                // A group alone: everything from its members.
                (None, Some(_)) => "-1".into(),
                (None, None) => return Err(missing("ipProtocol")),
            };
            let (from_port, to_port) = check_ports(&protocol, self.from_port, self.to_port)?;
            let peer = match (self.cidr, self.group_name) {
                (Some(cidr), _) => ipv4(Some(cidr))?,
                (None, name) => group(network, own, None, Some(name.ok_or_else(|| missing("cidrIp"))?))?,
            };
            rules.push((RuleKey { egress, protocol, from_port, to_port, peer }, None));
        }
        for permission in self.list {
            let protocol = check_protocol(permission.ip_protocol.as_ref().ok_or_else(|| missing("ipProtocol"))?)?;
            let (from_port, to_port) = check_ports(&protocol, permission.from_port, permission.to_port)?;
            let mut peers = Vec::new();
            for range in &permission.ip_ranges {
                peers.push((ipv4(range.cidr_ip.as_ref())?, check_description(range.description.as_ref())?));
            }
            for range in &permission.ipv6_ranges {
                peers.push((ipv6(range.cidr_ipv6.as_ref())?, check_description(range.description.as_ref())?));
            }
            for pair in &permission.user_id_group_pairs {
                if pair.user_id.as_ref().is_some_and(|user| *user != own.account.as_str()) {
                    return Err(not_found(Resource::SecurityGroup, pair.group_id.clone().unwrap_or_default()));
                }
                let peer = group(network, own, pair.group_id.as_ref(), pair.group_name.as_ref())?;
                peers.push((peer, check_description(pair.description.as_ref())?));
            }
            for list in &permission.prefix_list_ids {
                let peer = prefix_list(network, list.prefix_list_id.as_ref())?;
                peers.push((peer, check_description(list.description.as_ref())?));
            }
            if peers.is_empty() {
                return Err(missing("ipRanges"));
            }
            for (peer, description) in peers {
                let key = RuleKey { egress, protocol: protocol.clone(), from_port, to_port, peer };
                rules.push((key, description));
            }
        }
        if rules.is_empty() {
            return Err(missing("ipPermissions"));
        }
        // No group has more, so none can be given or lose more; and each is compared with all others.
        if rules.len() > MAX_RULES {
            return Err(too_many());
        }
        for (index, (key, _)) in rules.iter().enumerate() {
            if rules.iter().take(index).any(|(other, _)| other == key) {
                return Err(invalid(
                    "IpPermissions",
                    text_of(key),
                    "The same permission must not appear multiple times",
                ));
            }
        }
        Ok(rules)
    }
}

/// As AWS's refusals tell a rule.
pub(super) fn text_of(key: &RuleKey) -> String {
    let peer = match &key.peer {
        Peer::Ipv4(cidr) => cidr.to_string(),
        Peer::Ipv6(cidr) => cidr.to_string(),
        Peer::Group(id) => id.to_string(),
        Peer::PrefixList(id) => id.to_string(),
    };
    let ports = match key.protocol.as_str() {
        "-1" => return format!("peer: {peer}, ALL, ALLOW"),
        "tcp" | "udp" => format!(", from port: {}, to port: {}", key.from_port, key.to_port),
        "icmp" | "icmpv6" => format!(", type: {}, code: {}", key.from_port, key.to_port),
        _ => String::new(),
    };
    format!("peer: {peer}, {}{ports}, ALLOW", key.protocol.to_uppercase())
}

fn too_many() -> Error {
    fault(NetworkFault::TooManyRules, "The maximum number of rules per security group has been reached.")
}

fn weight(network: &Network, rule: &Rule) -> usize {
    match &rule.key.peer {
        Peer::PrefixList(id) => network.prefix_lists.get(id).map_or(1, |list| usize::from(list.max_entries)),
        _ => 1,
    }
}

pub fn check_rule_count(network: &Network, group: &SecurityGroupRecord) -> Result<(), Error> {
    for egress in [false, true] {
        let count: usize =
            group.rules.iter().filter(|rule| rule.key.egress == egress).map(|rule| weight(network, rule)).sum();
        if count > MAX_RULES {
            return Err(too_many());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_one_name() {
        for (text, name) in
            [("tcp", "tcp"), ("6", "tcp"), ("UDP", "udp"), ("1", "icmp"), ("58", "icmpv6"), ("-1", "-1"), ("047", "47")]
        {
            assert_eq!(check_protocol(text).expect(text), name);
        }
        for bad in ["", "256", "-2", "tcp ", "any"] {
            assert!(check_protocol(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_and_icmp_numbers() {
        assert_eq!(check_ports("tcp", Some(0), Some(65_535)).expect("all"), (0, 65_535));
        assert_eq!(check_ports("icmp", Some(8), None).expect("echo"), (8, -1));
        assert_eq!(check_ports("icmp", None, None).expect("all"), (-1, -1));
        assert_eq!(check_ports("-1", Some(5), Some(7)).expect("ports say nothing"), (-1, -1));
        assert_eq!(check_ports("47", Some(5), None).expect("ports say nothing"), (-1, -1));
        for (protocol, from, to) in [
            ("tcp", None, Some(1)),
            ("tcp", Some(2), Some(1)),
            ("udp", Some(-1), Some(-1)),
            ("tcp", Some(0), Some(65_536)),
            ("icmp", Some(256), Some(0)),
            ("icmp", None, Some(0)),
        ] {
            assert!(check_ports(protocol, from, to).is_err(), "{protocol} {from:?} {to:?}");
        }
    }

    #[test]
    fn a_refusal_tells_the_rule() {
        let peer = Peer::Ipv4("0.0.0.0/0".parse().expect("a block"));
        let key = RuleKey { egress: false, protocol: "tcp".into(), from_port: 22, to_port: 22, peer: peer.clone() };
        assert_eq!(text_of(&key), "peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW");
        assert_eq!(text_of(&super::super::super::default::allow_all(true, peer)), "peer: 0.0.0.0/0, ALL, ALLOW");
    }
}
