//! Makes and deletes volumes as their records say.

use super::Node;
use super::backend::BackendError;
use super::instance::Step;
use crate::error::Error;
use crate::store::{VolumeRecord, VolumeState};

pub async fn reconcile(node: &Node, volume: &VolumeRecord) -> Result<Step, StepError> {
    let id = volume.volume_id.as_str();
    match volume.state {
        VolumeState::Creating => {
            let created = node.blockd.create_volume(id, volume.size_bytes(), volume.blockd_image.as_deref()).await;
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
        VolumeState::Ready | VolumeState::Error => Ok(Step::Done),
    }
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
}
