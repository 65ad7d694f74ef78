//! IPv6 blocks: a VPC's of the region's pools, a subnet's of its VPC's, and what a VPC is open to once it has one.

use super::super::{Api, Call, parse_id};
use super::default::{ANYWHERE, ANYWHERE_V6, allow_all, final_entries, rule};
use super::public::{self, VPC_PREFIX_LEN};
use super::refuse;
use super::subnets::find_subnet_id;
use crate::error::{Error, has_dependencies, invalid, limit, network as fault, not_found, required};
use crate::random;
use crate::store::{
    AclEntry, Claimed, Destination, Ipv6Block, Network, Peer, SubnetIpv6, SubnetRecord, VpcRecord, overlap_ipv6,
};
use hive_aws_types::ec2::{
    AssociateSubnetCidrBlockRequest, AssociateSubnetCidrBlockResult, DisassociateSubnetCidrBlockRequest,
    DisassociateSubnetCidrBlockResult, SubnetCidrBlockState, SubnetIpv6CidrBlockAssociation, VpcCidrBlockState,
    VpcIpv6CidrBlockAssociation,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{CidrAssociationId, SubnetCidrAssociationId, VpcId};
use ipnet::{IpNet, Ipv6Net};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

/// EC2's default quota of IPv6 blocks of a VPC.
pub const MAX_BLOCKS: usize = 5;
/// Number of the rule that opens a default ACL to IPv6.
const OPEN_ACL_RULE: u16 = 101;
/// EC2's, of a subnet: in steps of four bits.
const SUBNET_PREFIX_LENS: [u8; 3] = [VPC_PREFIX_LEN, 60, 64];

/// Makes something with a new block, or gives the block back.
pub async fn with_block<R>(
    api: &Api,
    call: &Call,
    make: impl AsyncFnOnce(Ipv6Block) -> Result<R, Error>,
) -> Result<R, Error> {
    let association_id = CidrAssociationId::from_random(random::draw()?);
    let owner = association_id.to_string();
    let cidr = public::claim_block(api, &call.caller.account, &owner, call.now).await?;
    let made = make(Ipv6Block { association_id, cidr }).await;
    if let Err(Error::Api(_)) = &made {
        // What may have been written keeps its block; the sweeper knows.
        public::release(api, &owner, Claimed::Block(cidr)).await?;
    }
    made
}

/// Gives a block back that its VPC has no more.
pub fn release<'a>(api: &'a Api, block: &'a Ipv6Block) -> impl Future<Output = Result<(), Error>> + 'a {
    public::release(api, block.association_id.as_str(), Claimed::Block(block.cidr))
}

/// Gives a VPC a block. What nobody has changed since it was made is opened to IPv6 as it is to IPv4: the default network ACL, and
/// security groups outwards.
pub fn add_block(network: &mut Network, vpc_id: &VpcId, block: &Ipv6Block) -> Result<(), Error> {
    let vpc = network.get_mut::<VpcRecord>(vpc_id)?;
    if vpc.ipv6_blocks.len() >= MAX_BLOCKS {
        let reason = format!("The VPC '{vpc_id}' has the maximum number of IPv6 CIDR blocks, {MAX_BLOCKS}.");
        return Err(limit(Resource::CidrAssociation, reason));
    }
    vpc.ipv6_blocks.push(block.clone());
    // One of before, when the block was somebody else's, or nobody's: what is the VPC's is local.
    for table in network.route_tables.values_mut().filter(|table| table.vpc_id == *vpc_id) {
        table.routes.retain(|route| route.destination != Destination::Ipv6(block.cidr));
    }
    for acl in network.acls.values_mut().filter(|acl| acl.vpc_id == *vpc_id) {
        for last in final_entries(IpNet::V6(ANYWHERE_V6)) {
            let own = || acl.entries.iter().filter(|entry| entry.egress == last.egress);
            if own().any(|entry| entry.number == last.number) {
                continue;
            }
            let opens = |e: &AclEntry| e.number == 100 && e.allow && e.protocol == "-1" && e.cidr == ANYWHERE.into();
            if acl.is_default && own().count() == 2 && own().any(opens) {
                acl.entries.push(AclEntry { number: OPEN_ACL_RULE, allow: true, ..last.clone() });
            }
            acl.entries.push(last);
        }
        acl.entries.sort_by_key(|entry| (entry.egress, entry.number));
    }
    let all_v4 = allow_all(true, Peer::Ipv4(ANYWHERE));
    for group in network.groups.values_mut().filter(|group| group.vpc_id == *vpc_id) {
        let mut out = group.rules.iter().filter(|rule| rule.key.egress);
        if out.next().is_some_and(|rule| rule.key == all_v4) && out.next().is_none() {
            group.rules.push(everything_out()?);
        }
    }
    Ok(())
}

/// What a security group of a VPC with IPv6 begins with, beside the same of IPv4.
pub fn everything_out() -> Result<crate::store::Rule, Error> {
    Ok(rule(random::draw()?, allow_all(true, Peer::Ipv6(ANYWHERE_V6))))
}

pub fn show_block(block: &Ipv6Block, region: &str, state: &str) -> VpcIpv6CidrBlockAssociation {
    VpcIpv6CidrBlockAssociation {
        association_id: Some(block.association_id.to_string()),
        ip_source: Some("amazon".into()),
        ipv6_address_attribute: Some("public".into()),
        ipv6_cidr_block: Some(block.cidr.to_string()),
        ipv6_cidr_block_state: Some(VpcCidrBlockState { state: Some(state.into()), status_message: None }),
        ipv6_pool: Some("Amazon".into()),
        network_border_group: Some(region.to_owned()),
    }
}

/// Takes a block from the VPC that has it. None: no VPC has.
pub fn take_block(network: &mut Network, id: &CidrAssociationId) -> Result<Option<(VpcId, Ipv6Block)>, Error> {
    let is_its = |block: &&Ipv6Block| block.association_id == *id;
    let found = network.vpcs.values().find_map(|vpc| {
        let block = vpc.ipv6_blocks.iter().find(is_its)?;
        Some((vpc.vpc_id.clone(), block.clone()))
    });
    let Some((vpc_id, block)) = found else { return Ok(None) };
    let mut subnets = network.subnets.values().filter(|subnet| subnet.vpc_id == vpc_id);
    if subnets.any(|subnet| subnet.ipv6.as_ref().is_some_and(|own| block.cidr.contains(&own.cidr))) {
        return Err(has_dependencies("CIDR block", block.cidr));
    }
    network.get_mut::<VpcRecord>(&vpc_id)?.ipv6_blocks.retain(|block| block.association_id != *id);
    Ok(Some((vpc_id, block)))
}

pub fn parse_block(name: &str, text: &str) -> Result<Ipv6Net, Error> {
    let cidr: Result<Ipv6Net, _> = text.parse();
    cidr.map(|cidr| cidr.trunc()).map_err(|_| invalid(name, text, "This is not a valid CIDR block."))
}

/// A subnet's block, which must be of its VPC's and nobody else's.
pub fn subnet_block(network: &Network, vpc: &VpcRecord, cidr: Ipv6Net) -> Result<SubnetIpv6, Error> {
    let in_vpc = vpc.ipv6_blocks.iter().any(|block| block.cidr.contains(&cidr));
    if !in_vpc || !SUBNET_PREFIX_LENS.contains(&cidr.prefix_len()) {
        return Err(fault(NetworkFault::SubnetRange, format!("The CIDR '{cidr}' is invalid.")));
    }
    let mut taken = network.subnets.values().filter_map(|subnet| subnet.ipv6.as_ref());
    if taken.any(|other| overlap_ipv6(&other.cidr, &cidr)) {
        return Err(fault(NetworkFault::SubnetConflict, format!("The CIDR '{cidr}' conflicts with another subnet")));
    }
    let association_id = SubnetCidrAssociationId::from_random(random::draw()?);
    Ok(SubnetIpv6 { association_id, cidr, addresses: BTreeMap::new() })
}

pub fn show_subnet_block(block: &SubnetIpv6, state: &str) -> SubnetIpv6CidrBlockAssociation {
    SubnetIpv6CidrBlockAssociation {
        association_id: Some(block.association_id.to_string()),
        ip_source: Some("amazon".into()),
        ipv6_address_attribute: Some("public".into()),
        ipv6_cidr_block: Some(block.cidr.to_string()),
        ipv6_cidr_block_state: Some(SubnetCidrBlockState { state: Some(state.into()), status_message: None }),
    }
}

pub async fn associate_subnet_cidr_block(
    api: Arc<Api>,
    call: Call,
    input: AssociateSubnetCidrBlockRequest,
) -> Result<AssociateSubnetCidrBlockResult, Error> {
    let by_pool = input.ipv6_ipam_pool_id.is_some() || input.ipv6_netmask_length.is_some();
    refuse(&[(by_pool, "IPAM pools")])?;
    let id = find_subnet_id(input.subnet_id.as_deref())?;
    let cidr = parse_block("ipv6CidrBlock", &required(input.ipv6_cidr_block, "Ipv6CidrBlock")?)?;
    let made = api.change(&call, |network| {
        let subnet = network.get::<SubnetRecord>(&id)?;
        if subnet.ipv6.is_some() {
            let reason = format!("The subnet '{id}' has the maximum number of IPv6 CIDR blocks, 1.");
            return Err(limit(Resource::SubnetCidrAssociation, reason));
        }
        let block = subnet_block(network, network.get(&subnet.vpc_id)?, cidr)?;
        network.get_mut::<SubnetRecord>(&id)?.ipv6 = Some(block.clone());
        Ok(block)
    });
    let (_, block) = made.await?;
    Ok(AssociateSubnetCidrBlockResult {
        ipv6_cidr_block_association: Some(show_subnet_block(&block, "associating")),
        subnet_id: Some(id.to_string()),
    })
}

pub async fn disassociate_subnet_cidr_block(
    api: Arc<Api>,
    call: Call,
    input: DisassociateSubnetCidrBlockRequest,
) -> Result<DisassociateSubnetCidrBlockResult, Error> {
    let id = required(input.association_id, "AssociationId")?;
    let id: SubnetCidrAssociationId = parse_id(Resource::SubnetCidrAssociation, &id)?;
    let removed = api.change(&call, |network| {
        let has_it = |subnet: &&mut SubnetRecord| subnet.ipv6.as_ref().is_some_and(|own| own.association_id == id);
        let subnet = network.subnets.values_mut().find(has_it);
        let subnet = subnet.ok_or_else(|| not_found(Resource::SubnetCidrAssociation, &id))?;
        if let Some(used) = subnet.ipv6.as_ref().filter(|own| !own.addresses.is_empty()) {
            return Err(has_dependencies("CIDR block", used.cidr));
        }
        let block = subnet.ipv6.take().ok_or_else(|| not_found(Resource::SubnetCidrAssociation, &id))?;
        subnet.assign_ipv6_on_creation = false;
        Ok((subnet.subnet_id.clone(), block))
    });
    let (_, (subnet_id, block)) = removed.await?;
    Ok(DisassociateSubnetCidrBlockResult {
        ipv6_cidr_block_association: Some(show_subnet_block(&block, "disassociating")),
        subnet_id: Some(subnet_id.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::default::{DEFAULT_GROUP, make_vpc};
    use super::*;
    use crate::store::Rule;

    #[test]
    fn what_was_changed_is_not_opened() {
        let mut network = Network::default();
        let account = "123456789012".parse().expect("an account");
        let cidr = "10.0.0.0/16".parse().expect("a block");
        let vpc = make_vpc(&mut network, &account, cidr, &|_| random::draw()).expect("made");
        let acl = network.acls.values_mut().next().expect("an ACL");
        acl.entries.retain(|entry| !entry.egress || entry.number != 100);
        let block = |n| Ipv6Block {
            association_id: CidrAssociationId::from_random(n),
            cidr: "2001:db8:0:100::/56".parse().expect("a block"),
        };
        add_block(&mut network, &vpc.vpc_id, &block(1)).expect("added");
        add_block(&mut network, &vpc.vpc_id, &block(2)).expect("added");
        let acl = network.acls.values().next().expect("an ACL");
        let numbers = |egress| acl.entries.iter().filter(|e| e.egress == egress).map(|e| e.number).collect::<Vec<_>>();
        assert_eq!((numbers(false), numbers(true)), (vec![100, 101, 32767, 32768], vec![32767, 32768]));
        let group = network.groups.values().find(|group| group.name == DEFAULT_GROUP).expect("a group");
        let out = |rule: &&Rule| rule.key.egress;
        assert_eq!(group.rules.iter().filter(out).count(), 2, "once, however many blocks");
    }
}
