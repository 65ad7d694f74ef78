//! A VPC's blocks of addresses.

use super::super::{Api, Call, parse_id};
use super::vpcs::{find_id, show_block};
use super::{ipv6, parse_cidr, refuse};
use crate::error::{Error, combination, has_dependencies, limit, network as fault, not_found, not_permitted, required};
use crate::random;
use crate::store::{CidrBlock, Ipv6Block, VpcRecord, overlap};
use hive_aws_types::ec2::{
    AssociateVpcCidrBlockRequest, AssociateVpcCidrBlockResult, DisassociateVpcCidrBlockRequest,
    DisassociateVpcCidrBlockResult,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::CidrAssociationId;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// EC2's, of VPCs and subnets alike.
const PREFIX_LENS: std::ops::RangeInclusive<u8> = 16..=28;
/// EC2's default quota of blocks of a VPC.
const MAX_BLOCKS: usize = 5;
/// RFC 1918. A VPC of one of these takes no block of the others.
const PRIVATE: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];

pub fn is_sized(cidr: &Ipv4Net) -> bool {
    PREFIX_LENS.contains(&cidr.prefix_len())
}

pub fn check_size(cidr: &Ipv4Net) -> Result<(), Error> {
    // Multicast, loopback and link-local networks are no VPC's: the guests' own, and the metadata service's.
    let address = cidr.network();
    let is_special =
        address.is_multicast() || address.is_loopback() || address.is_link_local() || address.octets()[0] == 0;
    if is_sized(cidr) && !is_special && address.octets()[0] < 240 {
        return Ok(());
    }
    Err(fault(NetworkFault::VpcRange, format!("The CIDR '{cidr}' is invalid.")))
}

fn check_combination(vpc: &VpcRecord, cidr: &Ipv4Net) -> Result<(), Error> {
    if vpc.overlaps(cidr) {
        return Err(fault(NetworkFault::CidrConflict, format!("The CIDR '{cidr}' conflicts with another CIDR block")));
    }
    let range = |cidr: &Ipv4Net| PRIVATE.iter().position(|private| overlap(private, cidr));
    let (Some(primary), Some(wanted)) = (vpc.blocks.first().and_then(|block| range(&block.cidr)), range(cidr)) else {
        return Ok(());
    };
    if primary == wanted {
        return Ok(());
    }
    let reason = format!(
        "The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, or use a \
         publicly-routable CIDR."
    );
    Err(fault(NetworkFault::VpcRange, reason))
}

pub async fn associate_vpc_cidr_block(
    api: Arc<Api>,
    call: Call,
    input: AssociateVpcCidrBlockRequest,
) -> Result<AssociateVpcCidrBlockResult, Error> {
    refuse(&[
        (input.ipv6_cidr_block.is_some() || input.ipv6_pool.is_some(), "IPv6 blocks of your own"),
        (input.ipv6_ipam_pool_id.is_some() || input.ipv6_netmask_length.is_some(), "IPAM pools"),
        (input.ipv4_ipam_pool_id.is_some() || input.ipv4_netmask_length.is_some(), "IPAM pools"),
    ])?;
    let id = find_id(input.vpc_id.as_deref())?;
    if input.amazon_provided_ipv6_cidr_block == Some(true) {
        if input.cidr_block.is_some() {
            return Err(combination("A call associates one block."));
        }
        // Before a block is taken for nothing.
        api.stores.networks.load(&call.caller.account).await?.get::<VpcRecord>(&id)?;
        let add = async |block: Ipv6Block| {
            api.change(&call, |network| ipv6::add_block(network, &id, &block)).await?;
            Ok(block)
        };
        let block = ipv6::with_block(&api, &call, add).await?;
        return Ok(AssociateVpcCidrBlockResult {
            ipv6_cidr_block_association: Some(ipv6::show_block(&block, &api.place.region, "associating")),
            vpc_id: Some(id.to_string()),
            ..Default::default()
        });
    }
    let cidr = parse_cidr("cidrBlock", &required(input.cidr_block, "CidrBlock")?)?;
    check_size(&cidr)?;
    let made = api.change(&call, |network| {
        let vpc = network.get_mut::<VpcRecord>(&id)?;
        check_combination(vpc, &cidr)?;
        if vpc.blocks.len() >= MAX_BLOCKS {
            let reason = format!("The VPC '{id}' has the maximum number of CIDR blocks, {MAX_BLOCKS}.");
            return Err(limit(Resource::CidrAssociation, reason));
        }
        let block = CidrBlock { association_id: CidrAssociationId::from_random(random::draw()?), cidr };
        vpc.blocks.push(block.clone());
        Ok(block)
    });
    let (_, block) = made.await?;
    Ok(AssociateVpcCidrBlockResult {
        cidr_block_association: Some(show_block(&block, "associating")),
        vpc_id: Some(id.to_string()),
        ..Default::default()
    })
}

pub async fn disassociate_vpc_cidr_block(
    api: Arc<Api>,
    call: Call,
    input: DisassociateVpcCidrBlockRequest,
) -> Result<DisassociateVpcCidrBlockResult, Error> {
    let id: CidrAssociationId = parse_id(Resource::CidrAssociation, &required(input.association_id, "AssociationId")?)?;
    let ipv6 = api.change(&call, |network| ipv6::take_block(network, &id)).await?.1;
    if let Some((vpc_id, block)) = ipv6 {
        ipv6::release(&api, &block).await?;
        return Ok(DisassociateVpcCidrBlockResult {
            ipv6_cidr_block_association: Some(ipv6::show_block(&block, &api.place.region, "disassociating")),
            vpc_id: Some(vpc_id.to_string()),
            ..Default::default()
        });
    }
    let removed = api.change(&call, |network| {
        let is_its = |block: &CidrBlock| block.association_id == id;
        let found = network.vpcs.values().find(|vpc| vpc.blocks.iter().any(is_its)).map(|vpc| vpc.vpc_id.clone());
        let vpc_id = found.ok_or_else(|| not_found(Resource::CidrAssociation, &id))?;
        let vpc = network.get::<VpcRecord>(&vpc_id)?;
        if vpc.blocks.first().is_some_and(is_its) {
            let reason = format!(
                "The vpc CIDR block with association ID {id} may not be disassociated. It is the primary IPv4 CIDR block of the VPC"
            );
            return Err(not_permitted(reason));
        }
        let block = vpc.blocks.iter().find(|block| is_its(block)).cloned();
        let block = block.ok_or_else(|| not_found(Resource::CidrAssociation, &id))?;
        if network.subnets.values().any(|s| s.vpc_id == vpc_id && block.cidr.contains(&s.cidr)) {
            return Err(has_dependencies("CIDR block", block.cidr));
        }
        network.get_mut::<VpcRecord>(&vpc_id)?.blocks.retain(|block| !is_its(block));
        Ok((vpc_id, block))
    });
    let (_, (vpc_id, block)) = removed.await?;
    Ok(DisassociateVpcCidrBlockResult {
        cidr_block_association: Some(show_block(&block, "disassociating")),
        vpc_id: Some(vpc_id.to_string()),
        ..Default::default()
    })
}
