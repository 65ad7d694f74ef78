//! Undoes what a worker that died in the middle of a call has left: room, addresses and volumes that are claimed for an instance
//! that was never made.

use super::Node;
use crate::error::Error;
use crate::store::{
    Claimed, InstanceRecord, InstanceState, InterfaceAttachment, NatGatewayRecord, Network, PublicAddressRecord,
    VolumeState,
};
use hive_types::id::{AccountId, InstanceId};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info};

const INTERVAL: Duration = Duration::from_secs(30);
/// Older claims than this belong to no call that is still worked on: a call has 15 s.
const CLAIM_GRACE: SignedDuration = SignedDuration::from_secs(120);
/// EC2 shows a deleted NAT gateway for about an hour.
const KEEP_NAT_GATEWAY: SignedDuration = SignedDuration::from_hours(1);

pub async fn sweep_forever(node: Arc<Node>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(error) = sweep(&node, Timestamp::now()).await {
            debug!(%error, "not swept");
        }
    }
}

async fn sweep(node: &Node, now: Timestamp) -> Result<(), Error> {
    let stores = &node.stores;
    let is_old = |since: Timestamp| now.duration_since(since) > CLAIM_GRACE;
    // Claims first, then the instances: an instance made in between then counts as there.
    let placement = stores.placement.get(&node.config.node_id).await?;
    let claims = stores.public_addresses.range("").await?;
    let nat_places = super::network::nat_places(stores).await?;
    let networks = stores.networks.load_all().await?;
    let volumes = stores.volumes.range("").await?;
    let instances: Vec<InstanceRecord> =
        stores.instances.range("").await?.into_iter().map(|record| record.value).collect();

    if let Some(placement) = placement {
        let idle = |id: &_| !instances.iter().any(|i| i.instance_id == *id && i.state.holds_capacity());
        let left: Vec<_> = placement
            .value
            .reserved
            .iter()
            .filter(|(id, r)| is_old(r.since) && idle(*id))
            .map(|(id, _)| id.clone())
            .collect();
        if !left.is_empty() {
            info!(?left, "taking back room");
            let taken = stores.placement.modify(&placement.key, |placement| {
                placement.reserved.retain(|id, reserved| !(left.contains(id) && is_old(reserved.since)));
                Ok::<_, Error>(())
            });
            taken.await?;
        }
    }
    for (account, network) in &networks {
        sweep_network(node, account, network, &instances, now).await?;
    }
    for claim in claims.iter().filter(|claim| is_old(claim.value.since)) {
        let Some(claimed) = Claimed::of_key(&claim.key) else { continue };
        let network = networks.get(&claim.value.account);
        if network.is_some_and(|network| network.has_public_owner(claimed, &claim.value.owner)) {
            continue;
        }
        info!(%claimed, owner = claim.value.owner, "taking back a public address");
        let is_same = |record: &PublicAddressRecord| Ok::<_, Error>(*record == claim.value);
        stores.public_addresses.delete_if(&claim.key, is_same).await?;
    }
    super::network::sweep(stores, &nat_places, &networks, is_old).await?;
    for volume in volumes {
        let Some(claim) = volume.value.attachment.clone().filter(|claim| is_old(claim.attach_time)) else { continue };
        let holder = instances.iter().find(|instance| instance.instance_id == claim.instance_id);
        if holder.is_some_and(|instance| instance.disks.iter().any(|disk| disk.volume_id == volume.value.volume_id)) {
            continue;
        }
        info!(volume = %volume.value.volume_id, "taking back a claim");
        // Made for the instance, by the same call.
        let made_for_it = claim.attach_time == volume.value.created_at && holder.is_none();
        let freed = stores.volumes.modify(&volume.key, |volume| {
            if volume.attachment.as_ref() == Some(&claim) {
                volume.attachment = None;
                if made_for_it {
                    volume.state = VolumeState::Deleting;
                }
            }
            Ok::<_, Error>(())
        });
        freed.await?;
    }
    Ok(())
}

/// Interfaces in instances that were never made or have ended, and NAT gateways that have been gone for long.
async fn sweep_network(
    node: &Node,
    account: &AccountId,
    network: &Network,
    instances: &[InstanceRecord],
    now: Timestamp,
) -> Result<(), Error> {
    let is_live =
        |id: &InstanceId| instances.iter().any(|i| i.instance_id == *id && i.state != InstanceState::Terminated);
    let is_lost = |attachment: &&InterfaceAttachment| {
        now.duration_since(attachment.attached_at) > CLAIM_GRACE && !is_live(&attachment.instance_id)
    };
    let attachments = network.interfaces.values().filter_map(|interface| interface.attachment.as_ref());
    let left: Vec<InstanceId> = attachments.filter(is_lost).map(|attachment| attachment.instance_id.clone()).collect();
    let is_over =
        |gateway: &NatGatewayRecord| gateway.deleted_at.is_some_and(|at| now.duration_since(at) > KEEP_NAT_GATEWAY);
    if left.is_empty() && !network.nat_gateways.values().any(is_over) {
        return Ok(());
    }
    info!(%account, ?left, "taking back interfaces");
    let swept = node.stores.networks.change(account, |network| {
        left.iter().for_each(|instance| network.release_instance(instance));
        network.nat_gateways.retain(|_, gateway| !is_over(gateway));
        Ok(())
    });
    swept.await.map(drop)
}
