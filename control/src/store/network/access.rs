//! Who may talk to whom: security groups, prefix lists, network ACLs; and flow logs, which write down who did.

use crate::store::{Tags, Version};
use hive_types::id::{
    AccountId, FlowLogId, NetworkAclAssociationId, NetworkAclId, PrefixListId, SecurityGroupId, SecurityGroupRuleId,
    SubnetId, VpcId,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroupRecord {
    pub version: Version<1>,
    pub group_id: SecurityGroupId,
    pub vpc_id: VpcId,
    pub account: AccountId,
    pub name: String,
    pub description: String,
    pub rules: Vec<Rule>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub rule_id: SecurityGroupRuleId,
    pub key: RuleKey,
    pub description: Option<String>,
    pub tags: Tags,
}

/// What a rule permits; no group has two that permit the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleKey {
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `-1` (all), or the number of another protocol.
    pub protocol: String,
    /// First port, or the ICMP type; -1 is any.
    pub from_port: i32,
    /// Last port, or the ICMP code; -1 is any.
    pub to_port: i32,
    pub peer: Peer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    Ipv4(Ipv4Net),
    Ipv6(Ipv6Net),
    Group(SecurityGroupId),
    PrefixList(PrefixListId),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefixListRecord {
    pub version: Version<1>,
    pub prefix_list_id: PrefixListId,
    pub account: AccountId,
    pub name: String,
    /// `IPv4` or `IPv6`
    pub address_family: String,
    pub max_entries: u16,
    /// The newest few, oldest first; the last one holds.
    pub versions: Vec<PrefixListVersion>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixListVersion {
    /// From 1 upwards.
    pub number: i64,
    pub entries: Vec<PrefixListEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixListEntry {
    pub cidr: IpNet,
    pub description: Option<String>,
}

impl PrefixListRecord {
    /// The version that holds; 0 of a list that never had any.
    pub fn current(&self) -> i64 {
        self.versions.last().map_or(0, |version| version.number)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AclRecord {
    pub version: Version<1>,
    pub acl_id: NetworkAclId,
    pub vpc_id: VpcId,
    pub account: AccountId,
    pub is_default: bool,
    /// In the order in which they are tried, those of each direction by themselves.
    pub entries: Vec<AclEntry>,
    pub associations: BTreeMap<SubnetId, NetworkAclAssociationId>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    pub egress: bool,
    pub number: u16,
    /// A number, or `-1` (all).
    pub protocol: String,
    pub allow: bool,
    pub cidr: IpNet,
    /// Type and code; -1 is any.
    pub icmp: Option<(i32, i32)>,
    /// First and last.
    pub ports: Option<(u16, u16)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowLogRecord {
    pub version: Version<1>,
    pub flow_log_id: FlowLogId,
    pub account: AccountId,
    /// A VPC, a subnet or an interface.
    pub resource_id: String,
    /// `ACCEPT`, `REJECT` or `ALL`
    pub traffic_type: String,
    /// `cloud-watch-logs` or `s3`
    pub destination_type: String,
    pub destination: Option<String>,
    pub log_group: Option<String>,
    pub permission_arn: Option<String>,
    pub format: String,
    pub interval_s: i32,
    pub created_at: Timestamp,
    /// Why the last file did not arrive, in EC2's words.
    #[serde(default)]
    pub delivery_error: Option<String>,
    pub tags: Tags,
}
