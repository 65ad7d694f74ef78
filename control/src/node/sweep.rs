//! Undoes what a worker that died in the middle of a call has left: room, addresses and volumes that are claimed for an instance
//! that was never made.

use super::Node;
use crate::error::Error;
use crate::store::{InstanceRecord, VolumeState};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info};

const INTERVAL: Duration = Duration::from_secs(30);
/// Older claims than this belong to no call that is still worked on: a call has 15 s.
const CLAIM_GRACE: SignedDuration = SignedDuration::from_secs(120);

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
    let subnets = stores.subnets.range("").await?;
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
    for subnet in subnets {
        let lost = |interface: &_| !instances.iter().any(|i| i.network.interface_id == *interface);
        let left: Vec<_> = subnet
            .value
            .addresses
            .values()
            .filter(|(id, at)| is_old(*at) && lost(id))
            .map(|(id, _)| id.clone())
            .collect();
        if !left.is_empty() {
            info!(?left, "taking back addresses");
            let taken = stores.subnets.modify(&subnet.key, |subnet| {
                left.iter().for_each(|interface| subnet.release(interface));
                Ok::<_, Error>(())
            });
            taken.await?;
        }
    }
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
