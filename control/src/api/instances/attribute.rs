//! Single attributes of an instance, and its console output.

use super::super::vpc::interfaces::{check_groups, show_groups};
use super::super::{Api, Call, iso, parse_id, parse_ids};
use super::plan::check_shutdown;
use super::{check_user_data, find, find_type, view};
use crate::error::{Error, combination, invalid, missing, not_found, required, unsupported};
use crate::store::{InstanceRecord, InstanceState, InterfaceRecord, SubnetRecord};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AttributeBooleanValue, AttributeValue, DescribeInstanceAttributeRequest, GetConsoleOutputRequest,
    GetConsoleOutputResult, InstanceAttribute, ModifyInstanceAttributeRequest,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{InstanceId, SecurityGroupId};
use std::sync::Arc;

pub async fn get_console_output(
    api: Arc<Api>,
    call: Call,
    input: GetConsoleOutputRequest,
) -> Result<GetConsoleOutputResult, Error> {
    let id: InstanceId = parse_id(Resource::Instance, &required(input.instance_id, "InstanceId")?)?;
    let instance = find(&api, &call, &id).await?;
    // A terminated instance's output went with it.
    let output = match instance.state {
        InstanceState::Terminated => None,
        _ => api.console(&instance.node_id, &id).await?.output,
    };
    Ok(GetConsoleOutputResult { instance_id: Some(id.to_string()), output, timestamp: Some(iso(call.now)) })
}

fn text(value: impl ToString) -> Option<AttributeValue> {
    Some(AttributeValue { value: Some(value.to_string()) })
}

fn flag(value: bool) -> Option<AttributeBooleanValue> {
    Some(AttributeBooleanValue { value: Some(value) })
}

pub async fn describe_instance_attribute(
    api: Arc<Api>,
    call: Call,
    input: DescribeInstanceAttributeRequest,
) -> Result<InstanceAttribute, Error> {
    let id: InstanceId = parse_id(Resource::Instance, &required(input.instance_id, "InstanceId")?)?;
    let attribute = required(input.attribute, "Attribute")?;
    let instance = find(&api, &call, &id).await?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    let primary = network.interfaces_of(&id).into_iter().next();
    let mut answer = InstanceAttribute { instance_id: Some(id.to_string()), ..Default::default() };
    match attribute.as_str() {
        "instanceType" => answer.instance_type = text(&instance.instance_type),
        "userData" => answer.user_data = Some(AttributeValue { value: instance.user_data }),
        "disableApiTermination" => answer.disable_api_termination = flag(instance.disable_api_termination),
        "disableApiStop" => answer.disable_api_stop = flag(instance.disable_api_stop),
        "instanceInitiatedShutdownBehavior" => {
            answer.instance_initiated_shutdown_behavior = text(instance.shutdown_behavior.name());
        }
        "rootDeviceName" => answer.root_device_name = text(&instance.root_device_name),
        "blockDeviceMapping" => answer.block_device_mappings = view::block_devices(&instance),
        "sourceDestCheck" => answer.source_dest_check = primary.and_then(|i| flag(i.source_dest_check)),
        "ebsOptimized" => answer.ebs_optimized = flag(false),
        "enaSupport" => answer.ena_support = flag(false),
        "groupSet" => answer.groups = primary.map(|i| show_groups(&network, i)).unwrap_or_default(),
        "kernel" | "ramdisk" | "productCodes" | "sriovNetSupport" | "enclaveOptions" => {}
        other => return Err(invalid("Attribute", other, "Unknown attribute.")),
    }
    Ok(answer)
}

/// One attribute to change.
enum Change {
    InstanceType(&'static str),
    UserData(Option<String>),
    DisableApiTermination(bool),
    DisableApiStop(bool),
    ShutdownBehavior(crate::store::Shutdown),
    /// Device names and whether their volumes go with the instance.
    DeleteOnTermination(Vec<(String, bool)>),
    SourceDestCheck(bool),
    Groups(Vec<SecurityGroupId>),
}

fn parse_flag(name: &str, value: &str) -> Result<bool, Error> {
    value.to_ascii_lowercase().parse().map_err(|_| invalid(name, value, "Expecting true or false."))
}

/// The change in either of the call's forms: an own member, or `Attribute` and `Value`.
fn change_of(input: &ModifyInstanceAttributeRequest) -> Result<Change, Error> {
    let mut changes = Vec::new();
    if let Some(value) = &input.instance_type {
        changes.push(Change::InstanceType(find_type(&required(value.value.clone(), "InstanceType.Value")?)?.name));
    }
    if let Some(value) = &input.user_data {
        changes.push(Change::UserData(check_user_data(value.value.clone())?));
    }
    if let Some(value) = &input.disable_api_termination {
        changes.push(Change::DisableApiTermination(required(value.value, "DisableApiTermination.Value")?));
    }
    if let Some(value) = &input.disable_api_stop {
        changes.push(Change::DisableApiStop(required(value.value, "DisableApiStop.Value")?));
    }
    if let Some(value) = &input.instance_initiated_shutdown_behavior {
        changes.push(Change::ShutdownBehavior(check_shutdown(value.value.as_deref())?));
    }
    if !input.block_device_mappings.is_empty() {
        let flags = input.block_device_mappings.iter().map(|mapping| {
            let device = mapping.device_name.clone().ok_or_else(|| missing("BlockDeviceMapping.DeviceName"))?;
            let delete = mapping.ebs.as_ref().and_then(|ebs| ebs.delete_on_termination);
            Ok((device, delete.ok_or_else(|| missing("BlockDeviceMapping.Ebs.DeleteOnTermination"))?))
        });
        changes.push(Change::DeleteOnTermination(flags.collect::<Result<_, Error>>()?));
    }
    if let Some(check) = &input.source_dest_check {
        changes.push(Change::SourceDestCheck(required(check.value, "SourceDestCheck.Value")?));
    }
    if !input.groups.is_empty() {
        changes.push(Change::Groups(parse_ids(Resource::SecurityGroup, &input.groups)?));
    }
    if let Some(attribute) = &input.attribute
        && let Some(value) = &input.value
    {
        changes.push(match attribute.as_str() {
            "instanceType" => Change::InstanceType(find_type(value)?.name),
            "userData" => Change::UserData(check_user_data(Some(value.clone()))?),
            "disableApiTermination" => Change::DisableApiTermination(parse_flag("Value", value)?),
            "disableApiStop" => Change::DisableApiStop(parse_flag("Value", value)?),
            "instanceInitiatedShutdownBehavior" => Change::ShutdownBehavior(check_shutdown(Some(value))?),
            "sourceDestCheck" => Change::SourceDestCheck(parse_flag("Value", value)?),
            other => return Err(unsupported(format!("The attribute '{other}' cannot be changed."))),
        });
    }
    let no_effect = [
        (input.ebs_optimized.is_some(), "ebsOptimized"),
        (input.ena_support.is_some(), "enaSupport"),
        (input.sriov_net_support.is_some(), "sriovNetSupport"),
        (input.kernel.is_some() || input.ramdisk.is_some(), "kernel and ramdisk"),
    ];
    if let Some((_, name)) = no_effect.iter().find(|(asked, _)| *asked) {
        return Err(unsupported(format!("The attribute '{name}' cannot be changed.")));
    }
    let mut changes = changes.into_iter();
    match (changes.next(), changes.next()) {
        (Some(change), None) => Ok(change),
        (None, _) => Err(combination("No attributes specified.")),
        (Some(_), Some(_)) => Err(combination("Fields for multiple attribute types specified.")),
    }
}

pub async fn modify_instance_attribute(
    api: Arc<Api>,
    call: Call,
    input: ModifyInstanceAttributeRequest,
) -> Result<Empty, Error> {
    let id: InstanceId = parse_id(Resource::Instance, &required(input.instance_id.clone(), "InstanceId")?)?;
    let change = change_of(&input)?;
    if matches!(change, Change::SourceDestCheck(_) | Change::Groups(_)) {
        find(&api, &call, &id).await?;
        return modify_interface(&api, &call, &id, &change).await;
    }
    let needs_stopped = |instance: &InstanceRecord| match instance.state {
        InstanceState::Stopped => Ok(()),
        _ => {
            let reason = format!("The instance '{id}' is not in the 'stopped' state.");
            Err(Error::from(ApiError::IncorrectInstanceState { reason }))
        }
    };
    let changed = api.stores.instances.modify(crate::store::key(&call.caller.account, &id), |instance| {
        match &change {
            Change::InstanceType(name) => {
                needs_stopped(instance)?;
                instance.instance_type = (*name).into();
            }
            Change::UserData(data) => {
                needs_stopped(instance)?;
                instance.user_data.clone_from(data);
            }
            Change::DisableApiTermination(on) => instance.disable_api_termination = *on,
            Change::DisableApiStop(on) => instance.disable_api_stop = *on,
            Change::ShutdownBehavior(behavior) => instance.shutdown_behavior = *behavior,
            Change::DeleteOnTermination(flags) => {
                for (device, delete) in flags {
                    let disk = instance.disks.iter_mut().find(|disk| disk.device_name == *device);
                    let disk = disk.ok_or_else(|| {
                        invalid("BlockDeviceMapping.DeviceName", device, "No device is currently mapped there.")
                    })?;
                    disk.delete_on_termination = *delete;
                }
            }
            // Of the interface.
            Change::SourceDestCheck(_) | Change::Groups(_) => {}
        }
        Ok::<_, Error>(())
    });
    changed.await?.map(|_| Empty {}).ok_or_else(|| not_found(Resource::Instance, &id))
}

/// Of the instance's one interface; with several, the interface itself is to be named.
async fn modify_interface(api: &Api, call: &Call, id: &InstanceId, change: &Change) -> Result<Empty, Error> {
    let modified = api.stores.networks.change(&call.caller.account, |network| {
        let interface_id = match network.interfaces_of(id).as_slice() {
            [one] => one.interface_id.clone(),
            _ => {
                let reason = format!(
                    "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID."
                );
                return Err(invalid("InstanceId", id, reason));
            }
        };
        let subnet_id = network.get::<InterfaceRecord>(&interface_id)?.subnet_id.clone();
        let groups = match change {
            Change::Groups(ids) => Some(check_groups(network, network.get::<SubnetRecord>(&subnet_id)?, ids)?),
            _ => None,
        };
        let interface = network.get_mut::<InterfaceRecord>(&interface_id)?;
        if let Change::SourceDestCheck(on) = change {
            interface.source_dest_check = *on;
        }
        if let Some(groups) = groups {
            interface.groups = groups;
        }
        Ok(())
    });
    modified.await.map(|_| Empty {})
}
