//! Start, stop, reboot, terminate. A call on several instances is checked whole before any of them changes.

use super::super::{Api, Call, parse_ids};
use super::{find, find_type, placement, view};
use crate::error::{Error, missing, not_found, unsupported};
use crate::store::{InstanceRecord, InstanceState, StateReason};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    InstanceStateChange, RebootInstancesRequest, StartInstancesRequest, StartInstancesResult, StopInstancesRequest,
    StopInstancesResult, TerminateInstancesRequest, TerminateInstancesResult,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::InstanceId;
use jiff::Timestamp;
use std::sync::Arc;

fn user_reason() -> StateReason {
    StateReason {
        code: "Client.UserInitiatedShutdown".into(),
        message: "Client.UserInitiatedShutdown: User initiated shutdown".into(),
    }
}

fn user_initiated(now: Timestamp) -> String {
    format!("User initiated ({} GMT)", now.strftime("%Y-%m-%d %H:%M:%S"))
}

fn incorrect(instance: &InstanceRecord, verb: &str) -> Error {
    let (id, state) = (&instance.instance_id, instance.state.name());
    let reason = format!("The instance '{id}' is not in a state from which it can be {verb}: it is '{state}'.");
    ApiError::IncorrectInstanceState { reason }.into()
}

/// What a call does to one instance: refuses, or edits the record.
type Step<'a> = &'a (dyn Fn(&mut InstanceRecord) -> Result<(), Error> + Sync);

fn ids_of(ids: &[String]) -> Result<Vec<InstanceId>, Error> {
    if ids.is_empty() {
        return Err(missing("InstanceId"));
    }
    let mut ids: Vec<InstanceId> = parse_ids(Resource::Instance, ids)?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// Tries the step on all instances, so that a refusal changes none.
async fn check_all(api: &Api, call: &Call, ids: &[InstanceId], step: Step<'_>) -> Result<Vec<InstanceRecord>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let instance = find(api, call, id).await?;
        step(&mut instance.clone())?;
        found.push(instance);
    }
    Ok(found)
}

async fn take(api: &Api, instance: &InstanceRecord, step: Step<'_>) -> Result<InstanceStateChange, Error> {
    let taken = api.stores.instances.modify(instance.key(), |instance| {
        let before = instance.state;
        step(instance)?;
        Ok::<_, Error>(before)
    });
    let (after, before) = taken.await?.ok_or_else(|| not_found(Resource::Instance, &instance.instance_id))?;
    Ok(InstanceStateChange {
        current_state: Some(view::state(after.state)),
        instance_id: Some(after.instance_id.to_string()),
        previous_state: Some(view::state(before)),
    })
}

async fn apply(api: &Api, call: &Call, ids: &[String], step: Step<'_>) -> Result<Vec<InstanceStateChange>, Error> {
    let found = check_all(api, call, &ids_of(ids)?, step).await?;
    let mut changes = Vec::with_capacity(found.len());
    for instance in &found {
        changes.push(take(api, instance, step).await?);
    }
    Ok(changes)
}

pub async fn start_instances(
    api: Arc<Api>,
    call: Call,
    input: StartInstancesRequest,
) -> Result<StartInstancesResult, Error> {
    let step = |instance: &mut InstanceRecord| match instance.state {
        InstanceState::Pending | InstanceState::Running => Ok(()),
        InstanceState::Stopped => {
            instance.enter(InstanceState::Pending, call.now);
            instance.state_reason = None;
            instance.transition_reason = String::new();
            instance.force_stop = false;
            instance.launch_time = call.now;
            instance.reboots_done = instance.reboots_wanted;
            Ok(())
        }
        _ => Err(incorrect(instance, "started")),
    };
    let found = check_all(&api, &call, &ids_of(&input.instance_ids)?, &step).await?;
    let mut changes = Vec::with_capacity(found.len());
    for instance in &found {
        if instance.state == InstanceState::Stopped {
            let instance_type = find_type(&instance.instance_type)?;
            placement::reserve_again(&api, instance, instance_type.memory_mib, call.now).await?;
        }
        changes.push(take(&api, instance, &step).await?);
    }
    Ok(StartInstancesResult { starting_instances: changes })
}

pub async fn stop_instances(
    api: Arc<Api>,
    call: Call,
    input: StopInstancesRequest,
) -> Result<StopInstancesResult, Error> {
    if input.hibernate == Some(true) {
        return Err(unsupported("Hibernation is not available."));
    }
    let force = input.force == Some(true) || input.skip_os_shutdown == Some(true);
    let step = |instance: &mut InstanceRecord| {
        if instance.disable_api_stop {
            let reason = format!(
                "The instance '{}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.",
                instance.instance_id
            );
            return Err(ApiError::OperationNotPermitted { reason }.into());
        }
        match instance.state {
            InstanceState::Stopped => Ok(()),
            InstanceState::Stopping => {
                instance.force_stop |= force;
                Ok(())
            }
            InstanceState::Running => {
                instance.enter(InstanceState::Stopping, call.now);
                instance.force_stop = force;
                instance.state_reason = Some(user_reason());
                instance.transition_reason = user_initiated(call.now);
                Ok(())
            }
            _ => Err(incorrect(instance, "stopped")),
        }
    };
    Ok(StopInstancesResult { stopping_instances: apply(&api, &call, &input.instance_ids, &step).await? })
}

pub async fn terminate_instances(
    api: Arc<Api>,
    call: Call,
    input: TerminateInstancesRequest,
) -> Result<TerminateInstancesResult, Error> {
    let force = input.force == Some(true) || input.skip_os_shutdown == Some(true);
    let step = |instance: &mut InstanceRecord| {
        if matches!(instance.state, InstanceState::Terminated | InstanceState::ShuttingDown) {
            return Ok(());
        }
        if instance.disable_api_termination {
            let reason = format!(
                "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
                instance.instance_id
            );
            return Err(ApiError::OperationNotPermitted { reason }.into());
        }
        instance.enter(InstanceState::ShuttingDown, call.now);
        instance.force_stop = force;
        instance.state_reason = Some(user_reason());
        instance.transition_reason = user_initiated(call.now);
        Ok(())
    };
    Ok(TerminateInstancesResult { terminating_instances: apply(&api, &call, &input.instance_ids, &step).await? })
}

pub async fn reboot_instances(api: Arc<Api>, call: Call, input: RebootInstancesRequest) -> Result<Empty, Error> {
    let step = |instance: &mut InstanceRecord| match instance.state {
        InstanceState::Running => {
            instance.reboots_wanted += 1;
            Ok(())
        }
        // It boots anyway.
        InstanceState::Pending => Ok(()),
        _ => Err(incorrect(instance, "rebooted")),
    };
    apply(&api, &call, &input.instance_ids, &step).await?;
    Ok(Empty {})
}
