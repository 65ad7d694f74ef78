//! Interfaces put into instances and taken out. Without PCI hotplug an instance is stopped for it.

use super::super::super::instances::{find as find_instance, find_type};
use super::super::super::{Api, Call, parse_id};
use super::{check_own, find_id, in_use};
use crate::error::{Error, invalid, limit, network as fault, not_found, not_permitted, required, unsupported};
use crate::random;
use crate::store::{InstanceRecord, InstanceState, InterfaceAttachment, InterfaceRecord, Network};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{AttachNetworkInterfaceRequest, AttachNetworkInterfaceResult, DetachNetworkInterfaceRequest};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{AttachmentId, InstanceId};
use std::sync::Arc;

fn check_stopped(instance: &InstanceRecord) -> Result<(), Error> {
    if instance.state == InstanceState::Stopped {
        return Ok(());
    }
    let reason = format!("The instance '{}' is not in the 'stopped' state.", instance.instance_id);
    Err(ApiError::IncorrectInstanceState { reason }.into())
}

/// Whether the instance's type has room for one more interface, and for this one's addresses.
pub fn check_room(
    network: &Network,
    instance_id: &InstanceId,
    instance_type: &str,
    interface: &InterfaceRecord,
    index: u8,
) -> Result<(), Error> {
    let limits = find_type(instance_type)?;
    let others = network.interfaces_of(instance_id);
    if others.len() >= limits.max_interfaces() {
        let reason = format!("Interface count {} exceeds the limit for {}", others.len() + 1, limits.name);
        return Err(limit(Resource::Attachment, reason));
    }
    let is_taken = |other: &&InterfaceRecord| other.attachment.as_ref().is_some_and(|a| a.device_index == index);
    if others.iter().any(is_taken) {
        let reason = format!("Instance '{instance_id}' already has an interface attached at device index '{index}'.");
        return Err(invalid("deviceIndex", index, reason));
    }
    check_addresses(instance_type, interface)
}

/// Whether an interface of an instance of this type may have so many addresses.
pub fn check_addresses(instance_type: &str, interface: &InterfaceRecord) -> Result<(), Error> {
    let limits = find_type(instance_type)?;
    let count = interface.addresses().count();
    if count > limits.max_addresses_per_interface() {
        let reason = format!("Number of private addresses {count} exceeds the limit for {}", limits.name);
        return Err(fault(NetworkFault::TooManyAddresses, reason));
    }
    let ipv6 = interface.ipv6.len();
    if ipv6 > limits.max_addresses_per_interface() {
        let reason = format!("Number of IPv6 addresses {ipv6} exceeds the limit for {}", limits.name);
        return Err(fault(NetworkFault::TooManyAddresses, reason));
    }
    Ok(())
}

pub async fn attach_network_interface(
    api: Arc<Api>,
    call: Call,
    input: AttachNetworkInterfaceRequest,
) -> Result<AttachNetworkInterfaceResult, Error> {
    if input.ena_queue_count.is_some() || input.ena_srd_specification.is_some() {
        return Err(unsupported("ENA is not available."));
    }
    if input.network_card_index.unwrap_or(0) != 0 {
        return Err(unsupported("More than one network card is not available."));
    }
    let id = find_id(input.network_interface_id.as_deref())?;
    let instance_id: InstanceId = parse_id(Resource::Instance, &required(input.instance_id, "InstanceId")?)?;
    let index = required(input.device_index, "DeviceIndex")?;
    let index = u8::try_from(index).map_err(|_| invalid("deviceIndex", index, "Expecting 1 to 255."))?;
    let instance = find_instance(&api, &call, &instance_id).await?;
    check_stopped(&instance)?;
    let attached = api.change(&call, |network| {
        let interface = network.get::<InterfaceRecord>(&id)?;
        if interface.is_in_use() {
            return Err(in_use(interface));
        }
        if interface.zone != instance.zone {
            let reason = "You may not attach a network interface to an instance in another availability zone.";
            return Err(invalid("networkInterfaceId", &id, reason));
        }
        check_room(network, &instance_id, &instance.instance_type, interface, index)?;
        let attachment_id = AttachmentId::from_random(random::draw()?);
        network.get_mut::<InterfaceRecord>(&id)?.attachment = Some(InterfaceAttachment {
            attachment_id: attachment_id.clone(),
            instance_id: instance_id.clone(),
            device_index: index,
            delete_on_termination: false,
            attached_at: call.now,
        });
        Ok(attachment_id)
    });
    let (_, attachment_id) = attached.await?;
    Ok(AttachNetworkInterfaceResult { attachment_id: Some(attachment_id.to_string()), network_card_index: Some(0) })
}

pub async fn detach_network_interface(
    api: Arc<Api>,
    call: Call,
    input: DetachNetworkInterfaceRequest,
) -> Result<Empty, Error> {
    let id: AttachmentId = parse_id(Resource::Attachment, &required(input.attachment_id, "AttachmentId")?)?;
    let has_it = |interface: &InterfaceRecord| interface.attachment.as_ref().is_some_and(|a| a.attachment_id == id);
    let network = api.stores.networks.load(&call.caller.account).await?;
    let found = network.interfaces.values().find(|interface| has_it(interface));
    let found = found.ok_or_else(|| not_found(Resource::Attachment, &id))?;
    let attachment = found.attachment.as_ref().ok_or_else(|| not_found(Resource::Attachment, &id))?;
    check_own(found)?;
    if attachment.device_index == 0 {
        return Err(not_permitted("The network interface at device index 0 cannot be detached."));
    }
    check_stopped(&find_instance(&api, &call, &attachment.instance_id).await?)?;
    let interface_id = found.interface_id.clone();
    let detached = api.change(&call, |network| {
        let interface = network.get_mut::<InterfaceRecord>(&interface_id)?;
        if !has_it(interface) {
            return Err(not_found(Resource::Attachment, &id));
        }
        interface.attachment = None;
        Ok(())
    });
    detached.await.map(|_| Empty {})
}
