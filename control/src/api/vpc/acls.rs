//! Network ACLs.

use super::super::filter::Filterable;
use super::super::{Api, Call, parse_id, tags};
use super::default::{ANYWHERE, ANYWHERE_V6, LAST_ACL_RULE, final_entries};
use super::vpcs::find_id as find_vpc_id;
use super::{Asked, Seen, describe, make_once};
use crate::error::{Error, has_dependencies, invalid, limit, missing, network as fault, not_found, required};
use crate::random;
use crate::store::{AclEntry, AclRecord, Network, Tags, Version, VpcRecord};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    CreateNetworkAclEntryRequest, CreateNetworkAclRequest, CreateNetworkAclResult, DeleteNetworkAclEntryRequest,
    DeleteNetworkAclRequest, DescribeNetworkAclsRequest, DescribeNetworkAclsResult, IcmpTypeCode, NetworkAcl,
    NetworkAclAssociation, NetworkAclEntry, PortRange, ReplaceNetworkAclAssociationRequest,
    ReplaceNetworkAclAssociationResult, ReplaceNetworkAclEntryRequest,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{NetworkAclAssociationId, NetworkAclId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeMap;
use std::sync::Arc;

/// EC2's default quota, a VPC.
const MAX_ACLS: usize = 200;
/// EC2's default quota, each way, without the final rule.
const MAX_ENTRIES: usize = 20;
/// EC2's highest number.
const MAX_NUMBER: u16 = LAST_ACL_RULE - 1;

fn find_id(id: Option<&str>) -> Result<NetworkAclId, Error> {
    parse_id(Resource::NetworkAcl, required(id, "NetworkAclId")?)
}

pub async fn create_network_acl(
    api: Arc<Api>,
    call: Call,
    input: CreateNetworkAclRequest,
) -> Result<CreateNetworkAclResult, Error> {
    let parameters = CreateNetworkAclRequest { client_token: None, ..input.clone() };
    let vpc_id = find_vpc_id(input.vpc_id.as_deref())?;
    let tags = tags::specified(&input.tag_specifications, "network-acl", &["network-acl"])?;
    let token = ("CreateNetworkAcl", input.client_token.as_deref(), &parameters);
    let make = |network: &mut Network, id: &NetworkAclId| {
        let with_ipv6 = !network.get::<VpcRecord>(&vpc_id)?.ipv6_blocks.is_empty();
        if network.acls.values().filter(|acl| acl.vpc_id == vpc_id).count() >= MAX_ACLS {
            return Err(limit(Resource::NetworkAcl, "The maximum number of network ACLs has been reached."));
        }
        let mut entries = final_entries(IpNet::V4(ANYWHERE)).to_vec();
        if with_ipv6 {
            entries.extend(final_entries(IpNet::V6(ANYWHERE_V6)));
            entries.sort_by_key(|entry| (entry.egress, entry.number));
        }
        Ok(AclRecord {
            version: Version,
            acl_id: id.clone(),
            vpc_id: vpc_id.clone(),
            account: call.caller.account.clone(),
            is_default: false,
            entries,
            associations: BTreeMap::new(),
            tags: tags.clone(),
        })
    };
    let (_, acl) = make_once(&api, &call, token, NetworkAclId::from_random, make).await?;
    Ok(CreateNetworkAclResult { client_token: input.client_token, network_acl: Some(show(&acl)) })
}

pub async fn delete_network_acl(api: Arc<Api>, call: Call, input: DeleteNetworkAclRequest) -> Result<Empty, Error> {
    let id = find_id(input.network_acl_id.as_deref())?;
    let deleted = api.change(&call, |network| {
        let acl = network.get::<AclRecord>(&id)?;
        if acl.is_default {
            let reason = "cannot delete default network ACL";
            return Err(invalid("networkAclId", &id, format!("{reason} {id}")));
        }
        if !acl.associations.is_empty() {
            return Err(has_dependencies("networkAcl", &id));
        }
        network.acls.remove(&id);
        Ok(())
    });
    deleted.await.map(|_| Empty {})
}

/// The members of an entry, of either call.
struct Entry<'a> {
    number: Option<i32>,
    egress: Option<bool>,
    protocol: Option<&'a String>,
    action: Option<&'a String>,
    ipv4: Option<&'a String>,
    ipv6: Option<&'a String>,
    icmp: Option<&'a IcmpTypeCode>,
    ports: Option<&'a PortRange>,
}

fn check_number(number: Option<i32>) -> Result<u16, Error> {
    let number = required(number, "RuleNumber")?;
    let fits = u16::try_from(number).ok().filter(|number| (1..=MAX_NUMBER).contains(number));
    fits.ok_or_else(|| invalid("ruleNumber", number, format!("Expecting 1 to {MAX_NUMBER}.")))
}

impl Entry<'_> {
    fn entry(&self) -> Result<AclEntry, Error> {
        let number = check_number(self.number)?;
        let protocol = match self.protocol.ok_or_else(|| missing("Protocol"))?.to_ascii_lowercase().as_str() {
            "-1" | "all" => "-1".to_owned(),
            "tcp" => "6".to_owned(),
            "udp" => "17".to_owned(),
            "icmp" => "1".to_owned(),
            "icmpv6" => "58".to_owned(),
            other => match other.parse::<u8>() {
                Ok(number) => number.to_string(),
                Err(_) => return Err(invalid("protocol", other, "Invalid protocol.")),
            },
        };
        let allow = match self.action.ok_or_else(|| missing("RuleAction"))?.as_str() {
            "allow" => true,
            "deny" => false,
            other => return Err(invalid("ruleAction", other, "Expecting allow or deny.")),
        };
        let malformed = |text: &str| invalid("cidrBlock", text, "This is not a valid CIDR block.");
        let cidr = match (self.ipv4, self.ipv6) {
            (Some(text), None) => IpNet::V4(text.parse::<Ipv4Net>().map_err(|_| malformed(text))?.trunc()),
            (None, Some(text)) => IpNet::V6(text.parse::<Ipv6Net>().map_err(|_| malformed(text))?.trunc()),
            (None, None) => return Err(missing("CidrBlock")),
            (Some(_), Some(_)) => return Err(crate::error::combination("An entry has one CIDR block.")),
        };
        let (mut icmp, mut ports) = (None, None);
        match protocol.as_str() {
            "6" | "17" => {
                let range = self.ports.ok_or_else(|| missing("PortRange"))?;
                let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
                let pair = port(range.from).zip(port(range.to)).filter(|(from, to)| from <= to);
                ports =
                    Some(pair.ok_or_else(|| {
                        invalid("portRange", "", "Ports are 0 to 65535, the first not after the last.")
                    })?);
            }
            "1" | "58" => {
                let asked = self.icmp.ok_or_else(|| missing("IcmpTypeCode"))?;
                let number = |number: Option<i32>| number.filter(|number| (-1..=255).contains(number));
                let pair = number(asked.r#type).zip(number(asked.code));
                icmp = Some(
                    pair.ok_or_else(|| invalid("icmpTypeCode", "", "Type and code are 0 to 255, or -1 for all."))?,
                );
            }
            _ => {}
        }
        Ok(AclEntry { egress: required(self.egress, "Egress")?, number, protocol, allow, cidr, icmp, ports })
    }
}

/// The entry of either call, whose inputs name their members alike.
macro_rules! entry_of {
    ($input:ident) => {
        Entry {
            number: $input.rule_number,
            egress: $input.egress,
            protocol: $input.protocol.as_ref(),
            action: $input.rule_action.as_ref(),
            ipv4: $input.cidr_block.as_ref(),
            ipv6: $input.ipv6_cidr_block.as_ref(),
            icmp: $input.icmp_type_code.as_ref(),
            ports: $input.port_range.as_ref(),
        }
        .entry()
    };
}

fn is_at(egress: bool, number: u16) -> impl Fn(&AclEntry) -> bool {
    move |entry| (entry.egress, entry.number) == (egress, number)
}

fn absent(acl: &NetworkAclId, number: u16, egress: bool) -> Error {
    let way = if egress { "egress" } else { "ingress" };
    not_found(Resource::NetworkAclEntry, format!("{way} rule {number} of network acl {acl}"))
}

pub async fn create_network_acl_entry(
    api: Arc<Api>,
    call: Call,
    input: CreateNetworkAclEntryRequest,
) -> Result<Empty, Error> {
    let id = find_id(input.network_acl_id.as_deref())?;
    let entry = entry_of!(input)?;
    let made = api.change(&call, |network| {
        let acl = network.get_mut::<AclRecord>(&id)?;
        if acl.entries.iter().any(is_at(entry.egress, entry.number)) {
            let reason = format!("The network acl entry identified by {} already exists.", entry.number);
            return Err(fault(NetworkFault::AclEntryExists, reason));
        }
        // Each family has its own quota; final rules do not count.
        let is_ipv4 = entry.cidr.addr().is_ipv4();
        let counts = |other: &&AclEntry| {
            other.egress == entry.egress && other.cidr.addr().is_ipv4() == is_ipv4 && other.number <= MAX_NUMBER
        };
        if acl.entries.iter().filter(counts).count() >= MAX_ENTRIES {
            let reason = "The maximum number of network acl entries has been reached.";
            return Err(fault(NetworkFault::TooManyAclEntries, reason));
        }
        acl.entries.push(entry.clone());
        acl.entries.sort_by_key(|entry| (entry.egress, entry.number));
        Ok(())
    });
    made.await.map(|_| Empty {})
}

pub async fn replace_network_acl_entry(
    api: Arc<Api>,
    call: Call,
    input: ReplaceNetworkAclEntryRequest,
) -> Result<Empty, Error> {
    let id = find_id(input.network_acl_id.as_deref())?;
    let entry = entry_of!(input)?;
    let replaced = api.change(&call, |network| {
        let acl = network.get_mut::<AclRecord>(&id)?;
        let found = acl.entries.iter_mut().find(|known| is_at(entry.egress, entry.number)(known));
        *found.ok_or_else(|| absent(&id, entry.number, entry.egress))? = entry.clone();
        Ok(())
    });
    replaced.await.map(|_| Empty {})
}

pub async fn delete_network_acl_entry(
    api: Arc<Api>,
    call: Call,
    input: DeleteNetworkAclEntryRequest,
) -> Result<Empty, Error> {
    let id = find_id(input.network_acl_id.as_deref())?;
    let number = check_number(input.rule_number)?;
    let egress = required(input.egress, "Egress")?;
    let deleted = api.change(&call, |network| {
        let entries = &mut network.get_mut::<AclRecord>(&id)?.entries;
        let at = entries.iter().position(is_at(egress, number));
        entries.remove(at.ok_or_else(|| absent(&id, number, egress))?);
        Ok(())
    });
    deleted.await.map(|_| Empty {})
}

/// A subnet always follows one ACL: its association moves to another.
pub async fn replace_network_acl_association(
    api: Arc<Api>,
    call: Call,
    input: ReplaceNetworkAclAssociationRequest,
) -> Result<ReplaceNetworkAclAssociationResult, Error> {
    let old: NetworkAclAssociationId =
        parse_id(Resource::NetworkAclAssociation, &required(input.association_id, "AssociationId")?)?;
    let id = find_id(input.network_acl_id.as_deref())?;
    let replaced = api.change(&call, |network| {
        let found = network.acls.values().find_map(|acl| {
            let (subnet, _) = acl.associations.iter().find(|(_, association)| **association == old)?;
            Some((acl.acl_id.clone(), acl.vpc_id.clone(), subnet.clone()))
        });
        let (from, vpc_id, subnet) = found.ok_or_else(|| not_found(Resource::NetworkAclAssociation, &old))?;
        if network.get::<AclRecord>(&id)?.vpc_id != vpc_id {
            let reason = format!("network ACL {id} and subnet {subnet} belong to different networks");
            return Err(invalid("networkAclId", &id, reason));
        }
        let association = NetworkAclAssociationId::from_random(random::draw()?);
        network.get_mut::<AclRecord>(&from)?.associations.remove(&subnet);
        network.get_mut::<AclRecord>(&id)?.associations.insert(subnet, association.clone());
        Ok(association)
    });
    let (_, association) = replaced.await?;
    Ok(ReplaceNetworkAclAssociationResult { new_association_id: Some(association.to_string()) })
}

fn show_entry(entry: &AclEntry) -> NetworkAclEntry {
    let (cidr_block, ipv6_cidr_block) = match entry.cidr {
        IpNet::V4(cidr) => (Some(cidr.to_string()), None),
        IpNet::V6(cidr) => (None, Some(cidr.to_string())),
    };
    NetworkAclEntry {
        cidr_block,
        egress: Some(entry.egress),
        icmp_type_code: entry.icmp.map(|(kind, code)| IcmpTypeCode { code: Some(code), r#type: Some(kind) }),
        ipv6_cidr_block,
        port_range: entry.ports.map(|(from, to)| PortRange { from: Some(from.into()), to: Some(to.into()) }),
        protocol: Some(entry.protocol.clone()),
        rule_action: Some(if entry.allow { "allow" } else { "deny" }.into()),
        rule_number: Some(entry.number.into()),
    }
}

fn show(acl: &AclRecord) -> NetworkAcl {
    let associations = acl.associations.iter().map(|(subnet, id)| NetworkAclAssociation {
        network_acl_association_id: Some(id.to_string()),
        network_acl_id: Some(acl.acl_id.to_string()),
        subnet_id: Some(subnet.to_string()),
    });
    NetworkAcl {
        associations: associations.collect(),
        entries: acl.entries.iter().map(show_entry).collect(),
        is_default: Some(acl.is_default),
        network_acl_id: Some(acl.acl_id.to_string()),
        owner_id: Some(acl.account.to_string()),
        tags: tags::to_api(&acl.tags),
        vpc_id: Some(acl.vpc_id.to_string()),
    }
}

impl Filterable for Seen<'_, AclRecord> {
    const NAMES: &'static [&'static str] = &[
        "association.association-id",
        "association.network-acl-id",
        "association.subnet-id",
        "default",
        "entry.cidr",
        "entry.egress",
        "entry.icmp.code",
        "entry.icmp.type",
        "entry.ipv6-cidr",
        "entry.port-range.from",
        "entry.port-range.to",
        "entry.protocol",
        "entry.rule-action",
        "entry.rule-number",
        "network-acl-id",
        "owner-id",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let acl = self.record;
        let entries = |f: fn(&AclEntry) -> Option<String>| acl.entries.iter().filter_map(f).collect();
        match name {
            "association.association-id" => acl.associations.values().map(ToString::to_string).collect(),
            "association.network-acl-id" => acl.associations.iter().map(|_| acl.acl_id.to_string()).collect(),
            "association.subnet-id" => acl.associations.keys().map(ToString::to_string).collect(),
            "default" => vec![acl.is_default.to_string()],
            "entry.cidr" => entries(|entry| show_entry(entry).cidr_block),
            "entry.egress" => entries(|entry| Some(entry.egress.to_string())),
            "entry.icmp.code" => entries(|entry| entry.icmp.map(|(_, code)| code.to_string())),
            "entry.icmp.type" => entries(|entry| entry.icmp.map(|(kind, _)| kind.to_string())),
            "entry.ipv6-cidr" => entries(|entry| show_entry(entry).ipv6_cidr_block),
            "entry.port-range.from" => entries(|entry| entry.ports.map(|(from, _)| from.to_string())),
            "entry.port-range.to" => entries(|entry| entry.ports.map(|(_, to)| to.to_string())),
            "entry.protocol" => entries(|entry| Some(entry.protocol.clone())),
            "entry.rule-action" => entries(|entry| show_entry(entry).rule_action),
            "entry.rule-number" => entries(|entry| Some(entry.number.to_string())),
            "network-acl-id" => vec![acl.acl_id.to_string()],
            "owner-id" => vec![acl.account.to_string()],
            _ => vec![acl.vpc_id.to_string()],
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_network_acls(
    api: Arc<Api>,
    call: Call,
    input: DescribeNetworkAclsRequest,
) -> Result<DescribeNetworkAclsResult, Error> {
    let asked = Asked {
        ids: &input.network_acl_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=1000,
    };
    let (network_acls, next_token) =
        describe(&api, &call, asked, |seen: &Seen<'_, AclRecord>| show(seen.record)).await?;
    Ok(DescribeNetworkAclsResult { network_acls, next_token })
}
