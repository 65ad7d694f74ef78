//! On which node an instance runs, and whether there is room for it. Memory is given away, virtual CPUs are shared.

use super::super::Api;
use crate::error::Error;
use crate::instance_types::InstanceType;
use crate::store::{InstanceRecord, NodeRecord, PlacementRecord, Reserved};
use hive_types::ApiError;
use hive_types::id::{AccountId, InstanceId};
use jiff::Timestamp;

async fn nodes(api: &Api) -> Result<Vec<NodeRecord>, Error> {
    let nodes = api.stores.nodes.range("").await?;
    Ok(nodes.into_iter().map(|record| record.value).filter(|node| node.zone == api.place.zone).collect())
}

fn no_room(reason: &str) -> Error {
    ApiError::InsufficientInstanceCapacity { reason: reason.into() }.into()
}

/// A node for a volume.
pub async fn any_node(api: &Api) -> Result<NodeRecord, Error> {
    let first = nodes(api).await?.into_iter().next();
    first.ok_or_else(|| ApiError::ServiceUnavailable { reason: "no node is up".into() }.into())
}

/// Reserves room for as many of `ids` as fit on one node, and says which node and how many; at least `min`, else nothing is kept.
pub async fn reserve(
    api: &Api,
    account: &AccountId,
    instance_type: &InstanceType,
    ids: &[InstanceId],
    min: usize,
    now: Timestamp,
) -> Result<(NodeRecord, usize), Error> {
    let wanted = Reserved { account: account.clone(), memory_mib: instance_type.memory_mib.into(), since: now };
    for node in nodes(api).await? {
        // Made once in a node's life; losing the race to make it is as good.
        api.stores.placement.create(&node.node_id, &PlacementRecord::default()).await?;
        let reserved = api.stores.placement.modify(&node.node_id, |placement| {
            let mut attempt = placement.clone();
            let fitting = ids.iter().take_while(|id| attempt.reserve(id, wanted.clone(), node.memory_mib)).count();
            if fitting >= min {
                *placement = attempt;
            }
            Ok::<_, Error>(fitting)
        });
        match reserved.await? {
            Some((_, fitting)) if fitting >= min => return Ok((node, fitting)),
            _ => {}
        }
    }
    Err(no_room(&format!("no node has room for {min} {}", instance_type.name)))
}

/// Reserves room again for an instance that starts, on the node that has its volumes.
pub async fn reserve_again(api: &Api, instance: &InstanceRecord, memory_mib: u32, now: Timestamp) -> Result<(), Error> {
    let node = api.stores.nodes.get(&instance.node_id).await?;
    let node = node.ok_or_else(|| no_room("the node of the instance's volumes is not up"))?.value;
    let wanted = Reserved { account: instance.account.clone(), memory_mib: memory_mib.into(), since: now };
    api.stores.placement.create(&node.node_id, &PlacementRecord::default()).await?;
    let reserved = api.stores.placement.modify(&node.node_id, |placement| {
        Ok::<_, Error>(placement.reserve(&instance.instance_id, wanted.clone(), node.memory_mib))
    });
    match reserved.await? {
        Some((_, true)) => Ok(()),
        _ => Err(no_room("the node of the instance's volumes has no room")),
    }
}

/// Gives room back.
pub async fn release(api: &Api, node_id: &str, ids: &[InstanceId]) -> Result<(), Error> {
    let released = api.stores.placement.modify(node_id, |placement| {
        placement.reserved.retain(|id, _| !ids.contains(id));
        Ok::<_, Error>(())
    });
    released.await.map(drop)
}
