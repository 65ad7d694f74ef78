//! Internet gateways.

use super::super::filter::Filterable;
use super::super::{Api, Call, parse_id, tags};
use super::vpcs::find_id as find_vpc_id;
use super::{Asked, Seen, describe};
use crate::error::{Error, has_dependencies, invalid, limit, network as fault, required};
use crate::random;
use crate::store::{InternetGatewayRecord, Network, Tags, Version, VpcRecord};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AttachInternetGatewayRequest, CreateInternetGatewayRequest, CreateInternetGatewayResult,
    DeleteInternetGatewayRequest, DescribeInternetGatewaysRequest, DescribeInternetGatewaysResult,
    DetachInternetGatewayRequest, InternetGateway, InternetGatewayAttachment,
};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{InternetGatewayId, VpcId};
use std::sync::Arc;

/// EC2's default quota.
const MAX_GATEWAYS: usize = 5;

fn find_id(id: Option<&str>) -> Result<InternetGatewayId, Error> {
    parse_id(Resource::InternetGateway, required(id, "InternetGatewayId")?)
}

pub async fn create_internet_gateway(
    api: Arc<Api>,
    call: Call,
    input: CreateInternetGatewayRequest,
) -> Result<CreateInternetGatewayResult, Error> {
    let tags = tags::specified(&input.tag_specifications, "internet-gateway", &["internet-gateway"])?;
    let made = api.change(&call, |network| {
        if network.internet_gateways.len() >= MAX_GATEWAYS {
            let reason = "The maximum number of internet gateways has been reached.";
            return Err(limit(Resource::InternetGateway, reason));
        }
        let gateway = InternetGatewayRecord {
            version: Version,
            gateway_id: InternetGatewayId::from_random(random::draw()?),
            account: call.caller.account.clone(),
            vpc_id: None,
            tags: tags.clone(),
        };
        network.insert(gateway.clone());
        Ok(gateway)
    });
    let (_, gateway) = made.await?;
    Ok(CreateInternetGatewayResult { internet_gateway: Some(show(&gateway)) })
}

pub async fn delete_internet_gateway(
    api: Arc<Api>,
    call: Call,
    input: DeleteInternetGatewayRequest,
) -> Result<Empty, Error> {
    let id = find_id(input.internet_gateway_id.as_deref())?;
    let deleted = api.change(&call, |network| {
        if network.get::<InternetGatewayRecord>(&id)?.vpc_id.is_some() {
            return Err(has_dependencies("internetGateway", &id));
        }
        network.internet_gateways.remove(&id);
        Ok(())
    });
    deleted.await.map(|_| Empty {})
}

pub async fn attach_internet_gateway(
    api: Arc<Api>,
    call: Call,
    input: AttachInternetGatewayRequest,
) -> Result<Empty, Error> {
    let (id, vpc_id) = (find_id(input.internet_gateway_id.as_deref())?, find_vpc_id(input.vpc_id.as_deref())?);
    let attached = api.change(&call, |network| {
        network.get::<VpcRecord>(&vpc_id)?;
        if let Some(other) = &network.get::<InternetGatewayRecord>(&id)?.vpc_id {
            let reason = format!("resource {id} is already attached to network {other}");
            return Err(fault(NetworkFault::AlreadyAssociated, reason));
        }
        if gateway_of(network, &vpc_id).is_some() {
            let reason = format!("Network {vpc_id} already has an internet gateway attached");
            return Err(invalid("vpcId", &vpc_id, reason));
        }
        network.get_mut::<InternetGatewayRecord>(&id)?.vpc_id = Some(vpc_id.clone());
        Ok(())
    });
    attached.await.map(|_| Empty {})
}

pub fn gateway_of<'a>(network: &'a Network, vpc_id: &VpcId) -> Option<&'a InternetGatewayRecord> {
    network.internet_gateways.values().find(|gateway| gateway.vpc_id.as_ref() == Some(vpc_id))
}

pub async fn detach_internet_gateway(
    api: Arc<Api>,
    call: Call,
    input: DetachInternetGatewayRequest,
) -> Result<Empty, Error> {
    let (id, vpc_id) = (find_id(input.internet_gateway_id.as_deref())?, find_vpc_id(input.vpc_id.as_deref())?);
    let detached = api.change(&call, |network| {
        network.get::<VpcRecord>(&vpc_id)?;
        if network.get::<InternetGatewayRecord>(&id)?.vpc_id.as_ref() != Some(&vpc_id) {
            let reason = format!("resource {id} is not attached to network {vpc_id}");
            return Err(fault(NetworkFault::NotAttached, reason));
        }
        let mut of_vpc = network.interfaces.values().filter(|interface| interface.vpc_id == vpc_id);
        if of_vpc.any(|interface| interface.addresses().any(|ip| network.public_ip(interface, ip).is_some())) {
            let reason = format!(
                "Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before detaching \
                 the gateway."
            );
            return Err(ApiError::DependencyViolation { reason }.into());
        }
        network.get_mut::<InternetGatewayRecord>(&id)?.vpc_id = None;
        Ok(())
    });
    detached.await.map(|_| Empty {})
}

fn show(gateway: &InternetGatewayRecord) -> InternetGateway {
    let attachment = |vpc_id: &VpcId| InternetGatewayAttachment {
        state: Some("available".into()),
        vpc_id: Some(vpc_id.to_string()),
    };
    InternetGateway {
        attachments: gateway.vpc_id.iter().map(attachment).collect(),
        internet_gateway_id: Some(gateway.gateway_id.to_string()),
        owner_id: Some(gateway.account.to_string()),
        tags: tags::to_api(&gateway.tags),
    }
}

impl Filterable for Seen<'_, InternetGatewayRecord> {
    const NAMES: &'static [&'static str] =
        &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

    fn values(&self, name: &str) -> Vec<String> {
        let gateway = self.record;
        match name {
            "attachment.state" => gateway.vpc_id.iter().map(|_| "available".to_owned()).collect(),
            "attachment.vpc-id" => gateway.vpc_id.iter().map(ToString::to_string).collect(),
            "internet-gateway-id" => vec![gateway.gateway_id.to_string()],
            _ => vec![gateway.account.to_string()],
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_internet_gateways(
    api: Arc<Api>,
    call: Call,
    input: DescribeInternetGatewaysRequest,
) -> Result<DescribeInternetGatewaysResult, Error> {
    let asked = Asked {
        ids: &input.internet_gateway_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=1000,
    };
    let (internet_gateways, next_token) =
        describe(&api, &call, asked, |seen: &Seen<'_, InternetGatewayRecord>| show(seen.record)).await?;
    Ok(DescribeInternetGatewaysResult { internet_gateways, next_token })
}
