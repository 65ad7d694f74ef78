//! Which subject leads to which handler.

use super::{Api, Call, blocks, encryption, images, instances, keys, places, snapshots, sts, tags, volumes, vpc};
use crate::config::Role;
use crate::error::Error;
use futures::future::BoxFuture;
use hive_aws_types::{Operation, ebs, ec2, sts as sts_types};
use hive_bus::{Bus, BusError, Refusal, Serving};
use hive_types::envelope::{WORKER_QUEUE, subject};
use hive_types::{ApiError, ApiReply, ApiRequest};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tracing::{debug, error};

type Handler = Arc<dyn Fn(Arc<Api>, ApiRequest) -> BoxFuture<'static, ApiReply> + Send + Sync>;

/// Handlers by subject.
pub struct Routes {
    handlers: BTreeMap<String, Handler>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

impl Routes {
    /// The operations of `roles`.
    pub fn of(roles: &BTreeSet<Role>) -> Self {
        let mut routes = Self { handlers: BTreeMap::new() };
        for role in roles {
            match role {
                Role::Compute => routes.compute(),
                Role::Volume => routes.volume(),
                Role::Vpc => routes.vpc(),
                Role::Iam => routes.on::<sts_types::GetCallerIdentity, _, _>(sts::get_caller_identity),
            }
        }
        routes
    }

    fn compute(&mut self) {
        self.on::<ec2::RunInstances, _, _>(instances::run::run_instances);
        self.on::<ec2::DescribeInstances, _, _>(instances::describe::describe_instances);
        self.on::<ec2::DescribeInstanceStatus, _, _>(instances::describe::describe_instance_status);
        self.on::<ec2::DescribeInstanceTypes, _, _>(instances::types::describe_instance_types);
        self.on::<ec2::StartInstances, _, _>(instances::lifecycle::start_instances);
        self.on::<ec2::StopInstances, _, _>(instances::lifecycle::stop_instances);
        self.on::<ec2::RebootInstances, _, _>(instances::lifecycle::reboot_instances);
        self.on::<ec2::TerminateInstances, _, _>(instances::lifecycle::terminate_instances);
        self.on::<ec2::GetConsoleOutput, _, _>(instances::attribute::get_console_output);
        self.on::<ec2::DescribeInstanceAttribute, _, _>(instances::attribute::describe_instance_attribute);
        self.on::<ec2::ModifyInstanceAttribute, _, _>(instances::attribute::modify_instance_attribute);
        self.on::<ec2::RegisterImage, _, _>(images::register_image);
        self.on::<ec2::CreateImage, _, _>(images::create::create_image);
        self.on::<ec2::DescribeImages, _, _>(images::describe_images);
        self.on::<ec2::DeregisterImage, _, _>(images::deregister_image);
        self.on::<ec2::CreateKeyPair, _, _>(keys::create_key_pair);
        self.on::<ec2::ImportKeyPair, _, _>(keys::import_key_pair);
        self.on::<ec2::DescribeKeyPairs, _, _>(keys::describe_key_pairs);
        self.on::<ec2::DeleteKeyPair, _, _>(keys::delete_key_pair);
        self.on::<ec2::CreateTags, _, _>(tags::create_tags);
        self.on::<ec2::DeleteTags, _, _>(tags::delete_tags);
        self.on::<ec2::DescribeTags, _, _>(tags::describe_tags);
        self.on::<ec2::DescribeRegions, _, _>(places::describe_regions);
        self.on::<ec2::DescribeAvailabilityZones, _, _>(places::describe_availability_zones);
    }

    fn volume(&mut self) {
        self.on::<ec2::CreateVolume, _, _>(volumes::create_volume);
        self.on::<ec2::DescribeVolumes, _, _>(volumes::describe_volumes);
        self.on::<ec2::DeleteVolume, _, _>(volumes::delete_volume);
        self.on::<ec2::AttachVolume, _, _>(volumes::attach::attach_volume);
        self.on::<ec2::DetachVolume, _, _>(volumes::attach::detach_volume);
        self.on::<ec2::ModifyVolume, _, _>(volumes::modify::modify_volume);
        self.on::<ec2::DescribeVolumesModifications, _, _>(volumes::modify::describe_volumes_modifications);
        self.on::<ec2::DescribeVolumeStatus, _, _>(volumes::status::describe_volume_status);
        self.on::<ec2::DescribeVolumeAttribute, _, _>(volumes::status::describe_volume_attribute);
        self.on::<ec2::ModifyVolumeAttribute, _, _>(volumes::status::modify_volume_attribute);
        self.on::<ec2::CreateSnapshot, _, _>(snapshots::create::create_snapshot);
        self.on::<ec2::CreateSnapshots, _, _>(snapshots::create::create_snapshots);
        self.on::<ec2::DescribeSnapshots, _, _>(snapshots::describe::describe_snapshots);
        self.on::<ec2::DeleteSnapshot, _, _>(snapshots::delete_snapshot);
        self.on::<ec2::CopySnapshot, _, _>(snapshots::copy::copy_snapshot);
        self.on::<ec2::DescribeSnapshotAttribute, _, _>(snapshots::attribute::describe_snapshot_attribute);
        self.on::<ec2::ModifySnapshotAttribute, _, _>(snapshots::attribute::modify_snapshot_attribute);
        self.on::<ec2::ResetSnapshotAttribute, _, _>(snapshots::attribute::reset_snapshot_attribute);
        self.on::<ec2::GetEbsEncryptionByDefault, _, _>(encryption::get_default);
        self.on::<ec2::EnableEbsEncryptionByDefault, _, _>(encryption::enable_default);
        self.on::<ec2::DisableEbsEncryptionByDefault, _, _>(encryption::disable_default);
        self.on::<ec2::GetEbsDefaultKmsKeyId, _, _>(encryption::get_default_key);
        self.on::<ec2::ModifyEbsDefaultKmsKeyId, _, _>(encryption::modify_default_key);
        self.on::<ec2::ResetEbsDefaultKmsKeyId, _, _>(encryption::reset_default_key);
        self.on::<ebs::StartSnapshot, _, _>(blocks::write::start_snapshot);
        self.on::<ebs::PutSnapshotBlock, _, _>(blocks::write::put_snapshot_block);
        self.on::<ebs::CompleteSnapshot, _, _>(blocks::write::complete_snapshot);
        self.on::<ebs::ListSnapshotBlocks, _, _>(blocks::read::list_snapshot_blocks);
        self.on::<ebs::ListChangedBlocks, _, _>(blocks::read::list_changed_blocks);
        self.on::<ebs::GetSnapshotBlock, _, _>(blocks::read::get_snapshot_block);
    }

    fn vpc(&mut self) {
        self.on::<ec2::DescribeVpcs, _, _>(vpc::describe_vpcs);
        self.on::<ec2::DescribeSubnets, _, _>(vpc::describe_subnets);
        self.on::<ec2::DescribeSecurityGroups, _, _>(vpc::describe_security_groups);
    }

    fn on<O, H, F>(&mut self, handler: H)
    where
        O: Operation,
        H: Fn(Arc<Api>, Call, O::Input) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<O::Output, Error>> + Send + 'static,
    {
        let handle = move |api: Arc<Api>, request: ApiRequest| -> BoxFuture<'static, ApiReply> {
            Box::pin(async move {
                let ApiRequest { request_id, caller, params, .. } = request;
                let answered = async {
                    let input: O::Input = serde_json::from_value(Value::Object(params))
                        .map_err(|e| Error::Fault(format!("the gateway passed an input that does not decode: {e}")))?;
                    let output = handler(api, Call { caller, now: Timestamp::now() }, input).await?;
                    match serde_json::to_value(output) {
                        Ok(Value::Object(members)) => Ok(members),
                        other => Err(Error::Fault(format!("an output is not an object: {other:?}"))),
                    }
                };
                match answered.await {
                    Ok(members) => {
                        debug!(operation = O::NAME, request_id, "done");
                        ApiReply::Ok(members)
                    }
                    Err(Error::Api(refused)) => {
                        debug!(operation = O::NAME, request_id, %refused, "refused");
                        ApiReply::Err(refused)
                    }
                    Err(fault) => {
                        let causes = anyhow::Error::new(fault);
                        error!(operation = O::NAME, request_id, error = format!("{causes:#}"), "failed");
                        ApiReply::Err(causes.downcast::<Error>().map_or(ApiError::Internal, Error::into_api))
                    }
                }
            })
        };
        self.handlers.insert(subject(O::SERVICE, O::NAME), Arc::new(handle));
    }

    /// Answers a call as the bus would have it answered; None when no handler is there.
    pub async fn call(&self, api: &Arc<Api>, request: ApiRequest) -> Option<ApiReply> {
        let handler = self.handlers.get(&subject(&request.service, &request.action))?;
        Some(handler(api.clone(), request).await)
    }
}

/// Serves the operations of `roles` until the result is dropped.
pub async fn serve(
    bus: &Bus,
    api: Arc<Api>,
    roles: &BTreeSet<Role>,
    permits: Arc<Semaphore>,
) -> Result<Vec<Serving>, BusError> {
    let mut serving = Vec::new();
    for (subject, handler) in Routes::of(roles).handlers {
        let api = api.clone();
        let answer = move |request: ApiRequest| {
            let reply = handler(api.clone(), request);
            async move { Ok::<_, Refusal>(reply.await) }
        };
        serving.push(bus.serve(&subject, WORKER_QUEUE, permits.clone(), answer).await?);
    }
    Ok(serving)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_typed_operation_has_a_handler() {
        let routes = Routes::of(&Role::ALL.into());
        for operation in hive_aws_types::OPERATIONS {
            let subject = subject(operation.service, operation.name);
            assert!(routes.handlers.contains_key(&subject), "{subject}");
        }
        assert_eq!(routes.handlers.len(), hive_aws_types::OPERATIONS.len());
    }
}
