//! Public addresses, and VPCs' IPv6 blocks, from the region's pools. Who claims one first has it; a claim whose owner's record was never written, or has
//! gone, is taken back by the nodes' sweeper.

use super::super::Api;
use crate::error::{Error, invalid, network as fault};
use crate::store::{Claimed, PublicAddressRecord, Version};
use hive_types::error::NetworkFault;
use hive_types::id::AccountId;
use ipnet::Ipv6Net;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// "A fixed /56", of Amazon's pool.
pub const VPC_PREFIX_LEN: u8 = 56;

pub fn exhausted() -> Error {
    fault(NetworkFault::NoPublicAddresses, "Insufficient capacity: no public address is free.")
}

fn record(account: &AccountId, owner: &str, now: Timestamp) -> PublicAddressRecord {
    PublicAddressRecord { version: Version, account: account.clone(), owner: owner.to_owned(), since: now }
}

/// Claims the address `wanted` for `owner`.
///
/// # Errors
/// It is somebody's, or of no pool.
pub async fn claim(
    api: &Api,
    account: &AccountId,
    owner: &str,
    wanted: Ipv4Addr,
    now: Timestamp,
) -> Result<Ipv4Addr, Error> {
    if !api.place.public_address_pools.iter().any(|pool| pool.hosts().any(|host| host == wanted)) {
        return Err(invalid("address", wanted, "The address is of no pool of this region."));
    }
    let record = record(account, owner, now);
    if !api.stores.public_addresses.create(&Claimed::Address(wanted).key(), &record).await? {
        return Err(fault(NetworkFault::PublicAddressInUse, format!("Address {wanted} is in use.")));
    }
    Ok(wanted)
}

/// Claims a free address for each owner.
///
/// # Errors
/// There are not enough; those that were claimed are still to be given back.
pub async fn claim_free(
    api: &Api,
    account: &AccountId,
    owners: &[&str],
    now: Timestamp,
) -> Result<Vec<Ipv4Addr>, Error> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let taken = api.stores.public_addresses.range("").await?;
    let taken: BTreeSet<String> = taken.into_iter().map(|record| record.key).collect();
    let hosts = api.place.public_address_pools.iter().flat_map(|pool| pool.hosts());
    let mut free = hosts.map(|host| (host, Claimed::Address(host).key())).filter(|(_, key)| !taken.contains(key));
    let mut claimed = Vec::with_capacity(owners.len());
    for owner in owners {
        let record = record(account, owner, now);
        loop {
            let (address, key) = free.next().ok_or_else(exhausted)?;
            if api.stores.public_addresses.create(&key, &record).await? {
                claimed.push(address);
                break;
            }
        }
    }
    Ok(claimed)
}

/// Claims a free IPv6 block for a VPC.
///
/// # Errors
/// There is none.
pub async fn claim_block(api: &Api, account: &AccountId, owner: &str, now: Timestamp) -> Result<Ipv6Net, Error> {
    let record = record(account, owner, now);
    let taken = api.stores.public_addresses.range("").await?;
    let taken: BTreeSet<String> = taken.into_iter().map(|record| record.key).collect();
    for block in api.place.ipv6_pools.iter().flat_map(blocks) {
        let key = Claimed::Block(block).key();
        if !taken.contains(&key) && api.stores.public_addresses.create(&key, &record).await? {
            return Ok(block);
        }
    }
    let reason = match api.place.ipv6_pools.is_empty() {
        true => "This region has no IPv6 addresses.",
        false => "No IPv6 block is free.",
    };
    Err(fault(NetworkFault::NoPublicAddresses, reason))
}

/// What VPCs may have of a pool: its first block is the nodes'.
fn blocks(pool: &Ipv6Net) -> impl Iterator<Item = Ipv6Net> + use<> {
    pool.subnets(VPC_PREFIX_LEN).into_iter().flatten().skip(1)
}

/// Gives back what is the owner's.
pub async fn release(api: &Api, owner: &str, claimed: Claimed) -> Result<(), Error> {
    let is_its = |record: &PublicAddressRecord| Ok::<_, Error>(record.owner == owner);
    api.stores.public_addresses.delete_if(&claimed.key(), is_its).await.map(drop)
}
