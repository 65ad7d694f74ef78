//! Single attributes of an interface.

use super::super::super::{Api, Call, parse_id, parse_ids};
use super::super::refuse;
use super::{check_description, check_groups, check_own, find_id, show_attachment, show_groups};
use crate::error::{Error, combination, invalid, missing, not_found, not_permitted, required};
use crate::store::{InterfaceRecord, SubnetRecord};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AttributeBooleanValue, AttributeValue, DescribeNetworkInterfaceAttributeRequest,
    DescribeNetworkInterfaceAttributeResult, ModifyNetworkInterfaceAttributeRequest,
    ResetNetworkInterfaceAttributeRequest,
};
use hive_types::error::Resource;
use hive_types::id::{AttachmentId, SecurityGroupId};
use std::sync::Arc;

pub async fn describe(
    api: Arc<Api>,
    call: Call,
    input: DescribeNetworkInterfaceAttributeRequest,
) -> Result<DescribeNetworkInterfaceAttributeResult, Error> {
    let id = find_id(input.network_interface_id.as_deref())?;
    let attribute = required(input.attribute, "Attribute")?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    let interface = network.get::<InterfaceRecord>(&id)?;
    let mut answer =
        DescribeNetworkInterfaceAttributeResult { network_interface_id: Some(id.to_string()), ..Default::default() };
    match attribute.as_str() {
        "description" => answer.description = Some(AttributeValue { value: Some(interface.description.clone()) }),
        "groupSet" => answer.groups = show_groups(&network, interface),
        "sourceDestCheck" => {
            answer.source_dest_check = Some(AttributeBooleanValue { value: Some(interface.source_dest_check) });
        }
        "attachment" => answer.attachment = interface.attachment.as_ref().map(|a| show_attachment(interface, a)),
        "associatePublicIpAddress" => answer.associate_public_ip_address = Some(interface.public_ip.is_some()),
        other => return Err(invalid("attribute", other, "Unknown attribute.")),
    }
    Ok(answer)
}

/// One attribute to change.
enum Change {
    Description(String),
    Groups(Vec<SecurityGroupId>),
    SourceDestCheck(bool),
    PrimaryIpv6(bool),
    DeleteOnTermination(AttachmentId, bool),
}

fn change_of(input: &ModifyNetworkInterfaceAttributeRequest) -> Result<Change, Error> {
    refuse(&[
        (input.associate_public_ip_address.is_some(), "Public addresses of interfaces that are there"),
        (!input.associated_subnet_ids.is_empty(), "Further subnets of an interface"),
        (input.connection_tracking_specification.is_some(), "Timeouts of connections"),
        (input.ena_srd_specification.is_some(), "ENA Express"),
    ])?;
    let mut changes = Vec::new();
    if let Some(description) = &input.description {
        changes.push(Change::Description(check_description(description.value.as_ref())?));
    }
    if !input.groups.is_empty() {
        changes.push(Change::Groups(parse_ids(Resource::SecurityGroup, &input.groups)?));
    }
    if let Some(primary) = input.enable_primary_ipv6 {
        changes.push(Change::PrimaryIpv6(primary));
    }
    if let Some(check) = &input.source_dest_check {
        changes.push(Change::SourceDestCheck(required(check.value, "SourceDestCheck.Value")?));
    }
    if let Some(attachment) = &input.attachment {
        let id = attachment.attachment_id.as_deref().ok_or_else(|| missing("Attachment.AttachmentId"))?;
        let delete = required(attachment.delete_on_termination, "Attachment.DeleteOnTermination")?;
        changes.push(Change::DeleteOnTermination(parse_id(Resource::Attachment, id)?, delete));
    }
    let mut changes = changes.into_iter();
    match (changes.next(), changes.next()) {
        (Some(change), None) => Ok(change),
        (None, _) => Err(combination("No attributes specified.")),
        (Some(_), Some(_)) => Err(combination("Fields for multiple attribute types specified.")),
    }
}

pub async fn modify(api: Arc<Api>, call: Call, input: ModifyNetworkInterfaceAttributeRequest) -> Result<Empty, Error> {
    let id = find_id(input.network_interface_id.as_deref())?;
    let change = change_of(&input)?;
    let modified = api.change(&call, |network| {
        let interface = network.get::<InterfaceRecord>(&id)?;
        check_own(interface)?;
        let subnet_id = &interface.subnet_id;
        let groups = match &change {
            Change::Groups(ids) => Some(check_groups(network, network.get::<SubnetRecord>(subnet_id)?, ids)?),
            _ => None,
        };
        let interface = network.get_mut::<InterfaceRecord>(&id)?;
        match (&change, groups) {
            (Change::Groups(_), groups) => interface.groups = groups.unwrap_or_default(),
            (Change::Description(text), _) => interface.description.clone_from(text),
            (Change::SourceDestCheck(on), _) => interface.source_dest_check = *on,
            (Change::PrimaryIpv6(true), _) if interface.ipv6.is_empty() => {
                return Err(combination("A primary IPv6 address needs an IPv6 address."));
            }
            (Change::PrimaryIpv6(false), _) if interface.primary_ipv6 => {
                return Err(not_permitted("A primary IPv6 address stays the primary one."));
            }
            (Change::PrimaryIpv6(on), _) => interface.primary_ipv6 = *on,
            (Change::DeleteOnTermination(attachment_id, delete), _) => {
                let attachment = interface.attachment.as_mut().filter(|a| a.attachment_id == *attachment_id);
                let attachment = attachment.ok_or_else(|| not_found(Resource::Attachment, attachment_id))?;
                attachment.delete_on_termination = *delete;
            }
        }
        Ok(())
    });
    modified.await.map(|_| Empty {})
}

/// The one attribute that has a value to go back to is `sourceDestCheck`.
pub async fn reset(api: Arc<Api>, call: Call, input: ResetNetworkInterfaceAttributeRequest) -> Result<Empty, Error> {
    let id = find_id(input.network_interface_id.as_deref())?;
    required(input.source_dest_check, "SourceDestCheck")?;
    let reset = api.change(&call, |network| {
        let interface = network.get_mut::<InterfaceRecord>(&id)?;
        check_own(interface)?;
        interface.source_dest_check = true;
        Ok(())
    });
    reset.await.map(|_| Empty {})
}
