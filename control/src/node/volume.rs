//! Makes, modifies and deletes volumes as their records say.

use super::Node;
use super::backend::BackendError;
use super::instance::Step;
use crate::error::Error;
use crate::store::{Modification, ModificationState, VolumeRecord, VolumeState};
use jiff::Timestamp;

pub async fn reconcile(node: &Node, volume: &VolumeRecord) -> Result<Step, StepError> {
    let id = volume.volume_id.as_str();
    match volume.state {
        VolumeState::Creating => {
            let created = node.blockd.create_volume(volume).await;
            let (state, fault) = match created {
                Ok(()) => (VolumeState::Ready, None),
                Err(error) if error.is_final() => (VolumeState::Error, Some(error.to_string())),
                Err(error) => return Err(error.into()),
            };
            let entered = node.stores.volumes.modify(volume.key(), |volume| {
                if volume.state == VolumeState::Creating {
                    volume.state = state;
                    volume.fault.clone_from(&fault);
                }
                Ok::<_, Error>(())
            });
            entered.await?;
            Ok(Step::Changed)
        }
        VolumeState::Deleting => {
            node.blockd.detach_volume(id).await?;
            node.blockd.delete_volume(id).await?;
            let gone = node
                .stores
                .volumes
                .delete_if(volume.key(), |volume| Ok::<_, Error>(volume.state == VolumeState::Deleting));
            gone.await?;
            Ok(Step::Done)
        }
        VolumeState::Ready => match &volume.modification {
            Some(modification) if modification.state == ModificationState::Modifying => {
                modify(node, volume, modification).await
            }
            _ => Ok(Step::Done),
        },
        VolumeState::Error => Ok(Step::Done),
    }
}

/// blockd first, then the record: until then the volume is shown as it was, as at EC2.
async fn modify(node: &Node, volume: &VolumeRecord, modification: &Modification) -> Result<Step, StepError> {
    let target = &modification.target;
    let fault = match node.blockd.modify_volume(volume.volume_id.as_str(), target).await {
        Ok(()) => None,
        Err(error) if error.is_final() => Some(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    let ended_at = Some(Timestamp::now());
    let entered = node.stores.volumes.modify(volume.key(), |volume| {
        let Some(current) = volume.modification.as_mut().filter(|current| *current == modification) else {
            return Ok::<_, Error>(());
        };
        current.ended_at = ended_at;
        current.fault.clone_from(&fault);
        if fault.is_some() {
            current.state = ModificationState::Failed;
            return Ok(());
        }
        current.state = ModificationState::Completed;
        volume.size_gib = target.size_gib;
        volume.volume_type.clone_from(&target.volume_type);
        (volume.iops, volume.throughput) = (target.iops, target.throughput);
        Ok(())
    });
    entered.await?;
    Ok(Step::Changed)
}

/// What stops one step; the next pass tries again.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Store(#[from] Error),
    #[error("the machine's files or process")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Rpc(#[from] super::rpc::RpcError),
    #[error(transparent)]
    Network(#[from] super::network::NetworkError),
}
