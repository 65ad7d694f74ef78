//! An image of a running instance: its guest is powered off, snapshots of all its volumes are taken at one instant, and it boots
//! again. For the API it runs all the while. Whether the snapshots are taken is asked of blockd, so every step may be repeated.

use super::Node;
use super::instance::{Step, change, power_off, since, start};
use super::machine::{Found, MachineDir};
use super::volume::StepError;
use crate::store::{Imaging, InstanceRecord, InstanceState};
use std::time::Duration;

/// The next step of an image that is being made; None: nothing is left but the instance's own.
pub async fn step(
    node: &Node,
    instance: &InstanceRecord,
    imaging: &Imaging,
    machine: &MachineDir,
    found: &Found,
) -> Result<Option<Step>, StepError> {
    let Some((_, first)) = imaging.snapshots.first() else { return clear(node, instance).await.map(Some) };
    let taken = node.blockd.describe_snapshot(first.as_str()).await?.is_some();
    match (instance.state, found) {
        // They are taken of a machine that is off only: this one was started again.
        (_, Found::Alive(_)) if taken => clear(node, instance).await.map(Some),
        (InstanceState::Running, Found::Alive(process)) => {
            let grace = Duration::from_millis(node.config.stop_grace_ms);
            power_off(node, instance, machine, process, since(imaging.since), grace).await.map(Some)
        }
        // Stopping all the same: its own step ends the machine, and the next one comes here.
        (_, Found::Alive(_)) => Ok(None),
        (state, Found::Ended { .. } | Found::Nothing) => {
            if !taken {
                take(node, instance, imaging).await?;
            }
            if state == InstanceState::Running {
                // Before the record is changed: a machine that ended while nothing is being made of it has stopped for good.
                start(node, instance, machine).await?;
            }
            clear(node, instance).await.map(Some)
        }
    }
}

async fn take(node: &Node, instance: &InstanceRecord, imaging: &Imaging) -> Result<(), StepError> {
    match node.blockd.create_snapshots(&imaging.snapshots).await {
        Ok(()) => tracing::info!(instance = %instance.instance_id, "snapshots for an image taken"),
        // The guest boots again whatever became of its image, whose snapshots fail.
        Err(error) if error.is_final() => {
            tracing::warn!(instance = %instance.instance_id, %error, "no snapshots for an image");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn clear(node: &Node, instance: &InstanceRecord) -> Result<Step, StepError> {
    let since = instance.imaging.as_ref().map(|imaging| imaging.since);
    change(node, instance, |instance| {
        if instance.imaging.as_ref().map(|imaging| imaging.since) == since {
            instance.imaging = None;
        }
    })
    .await
}
