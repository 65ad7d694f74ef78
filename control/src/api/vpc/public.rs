//! Public addresses from the region's pools. Who claims one first has it; a claim whose owner's record was never written, or has
//! gone, is taken back by the nodes' sweeper.

use super::super::Api;
use crate::error::{Error, invalid, network as fault};
use crate::store::{PublicAddressRecord, Version};
use hive_types::error::NetworkFault;
use hive_types::id::AccountId;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

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
    if !api.stores.public_addresses.create(&PublicAddressRecord::key_of(wanted), &record).await? {
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
    let mut free = hosts.map(|host| (host, PublicAddressRecord::key_of(host))).filter(|(_, key)| !taken.contains(key));
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

/// Gives an address back, if it is the owner's.
pub async fn release(api: &Api, owner: &str, address: Ipv4Addr) -> Result<(), Error> {
    let key = PublicAddressRecord::key_of(address);
    let is_its = |record: &PublicAddressRecord| Ok::<_, Error>(record.owner == owner);
    api.stores.public_addresses.delete_if(&key, is_its).await.map(drop)
}
