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

fn exhausted() -> Error {
    fault(NetworkFault::NoPublicAddresses, "Insufficient capacity: no public address is free.")
}

/// Claims `wanted`, or any free address, for `owner`.
///
/// # Errors
/// There is none, or `wanted` is somebody's or of no pool.
pub async fn claim(
    api: &Api,
    account: &AccountId,
    owner: &str,
    wanted: Option<Ipv4Addr>,
    now: Timestamp,
) -> Result<Ipv4Addr, Error> {
    let pools = &api.place.public_address_pools;
    let record =
        PublicAddressRecord { version: Version, account: account.clone(), owner: owner.to_owned(), since: now };
    if let Some(address) = wanted {
        if !pools.iter().any(|pool| pool.hosts().any(|host| host == address)) {
            return Err(invalid("address", address, "The address is of no pool of this region."));
        }
        if !api.stores.public_addresses.create(&PublicAddressRecord::key_of(address), &record).await? {
            return Err(fault(NetworkFault::PublicAddressInUse, format!("Address {address} is in use.")));
        }
        return Ok(address);
    }
    let taken = api.stores.public_addresses.range("").await?;
    let taken: BTreeSet<String> = taken.into_iter().map(|record| record.key).collect();
    for address in pools.iter().flat_map(|pool| pool.hosts()) {
        let key = PublicAddressRecord::key_of(address);
        if !taken.contains(&key) && api.stores.public_addresses.create(&key, &record).await? {
            return Ok(address);
        }
    }
    Err(exhausted())
}

/// Gives an address back, if it is the owner's.
pub async fn release(api: &Api, owner: &str, address: Ipv4Addr) -> Result<(), Error> {
    let key = PublicAddressRecord::key_of(address);
    let is_its = |record: &PublicAddressRecord| Ok::<_, Error>(record.owner == owner);
    api.stores.public_addresses.delete_if(&key, is_its).await.map(drop)
}
