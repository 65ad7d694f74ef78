//! What belongs to a VPC from its beginning, and the network that an account begins with.

use crate::error::Error;
use crate::store::{
    AclEntry, AclRecord, CidrBlock, Destination, DhcpOptionsRecord, InternetGatewayRecord, Network, Peer, RouteRecord,
    RouteTableRecord, Rule, RuleKey, SecurityGroupRecord, SubnetRecord, Tags, Target, Version, VpcRecord,
};
use hive_types::id::{
    AccountId, CidrAssociationId, DhcpOptionsId, InternetGatewayId, NetworkAclAssociationId, NetworkAclId,
    RouteTableAssociationId, RouteTableId, SecurityGroupId, SecurityGroupRuleId, SubnetId, VpcId,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Of the default VPC.
pub const DEFAULT_CIDR: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 16);
/// Of a zone's default subnet.
pub const DEFAULT_SUBNET_PREFIX_LEN: u8 = 20;
pub const ANYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
pub const ANYWHERE_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
/// Name of the group that a VPC begins with; no other has it.
pub const DEFAULT_GROUP: &str = "default";
/// Number of an ACL's rule that follows all others and cannot be changed.
pub const LAST_ACL_RULE: u16 = 32_767;
/// The same of IPv6, where a VPC has it.
pub const LAST_ACL_RULE_V6: u16 = 32_768;

/// Where new ids come from: a random number for what is named.
pub type Draw<'a> = &'a dyn Fn(&str) -> Result<u128, Error>;

pub fn allow_all(egress: bool, peer: Peer) -> RuleKey {
    RuleKey { egress, protocol: "-1".into(), from_port: -1, to_port: -1, peer }
}

/// A VPC with its main route table, default network ACL and default security group.
pub fn make_vpc(network: &mut Network, account: &AccountId, cidr: Ipv4Net, draw: Draw<'_>) -> Result<VpcRecord, Error> {
    let vpc_id = VpcId::from_random(draw("default VPC")?);
    let vpc = VpcRecord {
        version: Version,
        vpc_id: vpc_id.clone(),
        account: account.clone(),
        blocks: vec![CidrBlock { association_id: CidrAssociationId::from_random(draw("default block")?), cidr }],
        ipv6_blocks: Vec::new(),
        is_default: false,
        tenancy: "default".into(),
        dhcp_options: network.dhcp_options.values().find(|o| o.is_default).map(|options| options.options_id.clone()),
        enable_dns_support: true,
        enable_dns_hostnames: false,
        enable_usage_metrics: false,
        tags: Tags::new(),
    };
    network.insert(vpc.clone());
    network.insert(RouteTableRecord {
        version: Version,
        route_table_id: RouteTableId::from_random(draw("main route table")?),
        vpc_id: vpc_id.clone(),
        account: account.clone(),
        main: Some(RouteTableAssociationId::from_random(draw("main association")?)),
        associations: BTreeMap::new(),
        routes: Vec::new(),
        tags: Tags::new(),
    });
    let last = final_entries(IpNet::V4(ANYWHERE));
    let first = last.clone().map(|entry| AclEntry { number: 100, allow: true, ..entry });
    let entries = [last, first].concat();
    network.insert(AclRecord {
        version: Version,
        acl_id: NetworkAclId::from_random(draw("default ACL")?),
        vpc_id: vpc_id.clone(),
        account: account.clone(),
        is_default: true,
        entries,
        associations: BTreeMap::new(),
        tags: Tags::new(),
    });
    let group_id = SecurityGroupId::from_random(draw("default security group")?);
    let members = allow_all(false, Peer::Group(group_id.clone()));
    let mut rules = vec![rule(draw("default ingress rule")?, members)];
    rules.push(rule(draw("default egress rule")?, allow_all(true, Peer::Ipv4(ANYWHERE))));
    network.insert(SecurityGroupRecord {
        version: Version,
        group_id,
        vpc_id,
        account: account.clone(),
        name: DEFAULT_GROUP.into(),
        description: "default VPC security group".into(),
        rules,
        tags: Tags::new(),
    });
    Ok(vpc)
}

pub fn rule(random: u128, key: RuleKey) -> Rule {
    Rule { rule_id: SecurityGroupRuleId::from_random(random), key, description: None, tags: Tags::new() }
}

/// What every ACL ends with, of either family, for both directions.
pub fn final_entries(cidr: IpNet) -> [AclEntry; 2] {
    let number = if cidr.addr().is_ipv4() { LAST_ACL_RULE } else { LAST_ACL_RULE_V6 };
    [false, true].map(|egress| AclEntry {
        egress,
        number,
        protocol: "-1".into(),
        allow: false,
        cidr,
        icmp: None,
        ports: None,
    })
}

/// A subnet, which follows its VPC's default ACL. Its block was checked.
pub fn make_subnet(
    network: &mut Network,
    vpc: &VpcRecord,
    zone: &str,
    cidr: Ipv4Net,
    draw: Draw<'_>,
) -> Result<SubnetRecord, Error> {
    let subnet = SubnetRecord {
        version: Version,
        subnet_id: SubnetId::from_random(draw("default subnet")?),
        vpc_id: vpc.vpc_id.clone(),
        account: vpc.account.clone(),
        zone: zone.to_owned(),
        cidr,
        is_default: false,
        map_public_ip_on_launch: false,
        addresses: BTreeMap::new(),
        ipv6: None,
        assign_ipv6_on_creation: false,
        tags: Tags::new(),
    };
    let association = NetworkAclAssociationId::from_random(draw("ACL association of the default subnet")?);
    if let Some(acl) = network.acls.values_mut().find(|acl| acl.is_default && acl.vpc_id == vpc.vpc_id) {
        acl.associations.insert(subnet.subnet_id.clone(), association);
    }
    network.insert(subnet.clone());
    Ok(subnet)
}

/// A default VPC: one subnet in the zone, and an internet gateway that the main route table leads to. `with_public` says whether
/// there are public addresses to give to instances.
pub fn make_default_vpc(
    network: &mut Network,
    account: &AccountId,
    zone: &str,
    with_public: bool,
    draw: Draw<'_>,
) -> Result<VpcRecord, Error> {
    let mut vpc = make_vpc(network, account, DEFAULT_CIDR, draw)?;
    (vpc.is_default, vpc.enable_dns_hostnames) = (true, true);
    network.insert(vpc.clone());
    let gateway_id = InternetGatewayId::from_random(draw("default gateway")?);
    network.insert(InternetGatewayRecord {
        version: Version,
        gateway_id: gateway_id.clone(),
        account: account.clone(),
        vpc_id: Some(vpc.vpc_id.clone()),
        tags: Tags::new(),
    });
    if let Some(main) = network.route_tables.values_mut().find(|t| t.vpc_id == vpc.vpc_id && t.main.is_some()) {
        let target = Target::InternetGateway(gateway_id);
        main.routes.push(RouteRecord { destination: Destination::Ipv4(ANYWHERE), target });
    }
    make_default_subnet(network, &vpc, zone, with_public, draw)?;
    Ok(vpc)
}

/// In the first room that the VPC has for it; None when it has none.
pub fn make_default_subnet(
    network: &mut Network,
    vpc: &VpcRecord,
    zone: &str,
    with_public: bool,
    draw: Draw<'_>,
) -> Result<Option<SubnetRecord>, Error> {
    let taken: Vec<Ipv4Net> =
        network.subnets.values().filter(|subnet| subnet.vpc_id == vpc.vpc_id).map(|subnet| subnet.cidr).collect();
    let is_free = |cidr: &Ipv4Net| !taken.iter().any(|other| crate::store::overlap(other, cidr));
    let Ok(mut blocks) = DEFAULT_CIDR.subnets(DEFAULT_SUBNET_PREFIX_LEN) else { return Ok(None) };
    let Some(cidr) = blocks.find(is_free) else { return Ok(None) };
    let mut subnet = make_subnet(network, vpc, zone, cidr, draw)?;
    (subnet.is_default, subnet.map_public_ip_on_launch) = (true, with_public);
    network.insert(subnet.clone());
    Ok(Some(subnet))
}

/// The set that new VPCs get: Hive's own resolver, and the domain of instances' names.
pub fn make_default_options(
    network: &mut Network,
    account: &AccountId,
    domain: &str,
    draw: Draw<'_>,
) -> Result<(), Error> {
    network.insert(DhcpOptionsRecord {
        version: Version,
        options_id: DhcpOptionsId::from_random(draw("default DHCP options")?),
        account: account.clone(),
        is_default: true,
        options: BTreeMap::from([
            ("domain-name".to_owned(), vec![domain.to_owned()]),
            ("domain-name-servers".to_owned(), vec!["AmazonProvidedDNS".to_owned()]),
        ]),
        tags: Tags::new(),
    });
    Ok(())
}
