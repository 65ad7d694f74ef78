//! Egress-only internet gateways: by IPv6 a VPC's machines reach the internet, which does not reach them.

use super::super::filter::Filterable;
use super::super::{Api, Call, parse_id, tags};
use super::vpcs::find_id as find_vpc_id;
use super::{Asked, Seen, describe, make_once};
use crate::error::{Error, limit, not_found, required};
use crate::store::{EgressOnlyGatewayRecord, Network, Tags, Version, VpcRecord};
use hive_aws_types::ec2::{
    CreateEgressOnlyInternetGatewayRequest, CreateEgressOnlyInternetGatewayResult,
    DeleteEgressOnlyInternetGatewayRequest, DeleteEgressOnlyInternetGatewayResult,
    DescribeEgressOnlyInternetGatewaysRequest, DescribeEgressOnlyInternetGatewaysResult, EgressOnlyInternetGateway,
    InternetGatewayAttachment,
};
use hive_types::error::Resource;
use hive_types::id::EgressOnlyGatewayId;
use std::sync::Arc;

/// EC2's default quota.
const MAX_GATEWAYS: usize = 5;
const KIND: &str = "egress-only-internet-gateway";

pub async fn create(
    api: Arc<Api>,
    call: Call,
    input: CreateEgressOnlyInternetGatewayRequest,
) -> Result<CreateEgressOnlyInternetGatewayResult, Error> {
    let parameters = CreateEgressOnlyInternetGatewayRequest { client_token: None, ..input.clone() };
    let tags = tags::specified(&input.tag_specifications, KIND, &[KIND])?;
    let vpc_id = find_vpc_id(input.vpc_id.as_deref())?;
    let token = ("CreateEgressOnlyInternetGateway", input.client_token.as_deref(), &parameters);
    let new = |network: &mut Network, id: &EgressOnlyGatewayId| {
        network.get::<VpcRecord>(&vpc_id)?;
        if network.egress_only_gateways.len() >= MAX_GATEWAYS {
            let reason = "The maximum number of egress-only internet gateways has been reached.";
            return Err(limit(Resource::EgressOnlyGateway, reason));
        }
        Ok(EgressOnlyGatewayRecord {
            version: Version,
            gateway_id: id.clone(),
            account: call.caller.account.clone(),
            vpc_id: vpc_id.clone(),
            tags: tags.clone(),
        })
    };
    let (_, gateway) = make_once(&api, &call, token, EgressOnlyGatewayId::from_random, new).await?;
    Ok(CreateEgressOnlyInternetGatewayResult {
        client_token: input.client_token,
        egress_only_internet_gateway: Some(show(&gateway)),
    })
}

/// Its routes lead nowhere from then on.
pub async fn delete(
    api: Arc<Api>,
    call: Call,
    input: DeleteEgressOnlyInternetGatewayRequest,
) -> Result<DeleteEgressOnlyInternetGatewayResult, Error> {
    let id = required(input.egress_only_internet_gateway_id, "EgressOnlyInternetGatewayId")?;
    let id: EgressOnlyGatewayId = parse_id(Resource::EgressOnlyGateway, &id)?;
    // EC2 has the code of any gateway here.
    let deleted = api.change(&call, |network| {
        network.egress_only_gateways.remove(&id).ok_or_else(|| not_found(Resource::Gateway, &id))
    });
    deleted.await?;
    Ok(DeleteEgressOnlyInternetGatewayResult { return_code: Some(true) })
}

fn show(gateway: &EgressOnlyGatewayRecord) -> EgressOnlyInternetGateway {
    let attachment =
        InternetGatewayAttachment { state: Some("attached".into()), vpc_id: Some(gateway.vpc_id.to_string()) };
    EgressOnlyInternetGateway {
        attachments: vec![attachment],
        egress_only_internet_gateway_id: Some(gateway.gateway_id.to_string()),
        tags: tags::to_api(&gateway.tags),
    }
}

impl Filterable for Seen<'_, EgressOnlyGatewayRecord> {
    const NAMES: &'static [&'static str] = &[];

    fn values(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_all(
    api: Arc<Api>,
    call: Call,
    input: DescribeEgressOnlyInternetGatewaysRequest,
) -> Result<DescribeEgressOnlyInternetGatewaysResult, Error> {
    // What is not there is passed over, as EC2 does with this kind alone.
    let mut ids = input.egress_only_internet_gateway_ids;
    if !ids.is_empty() {
        let network = api.stores.networks.load(&call.caller.account).await?;
        let is_there = |id: &String| match parse_id::<EgressOnlyGatewayId>(Resource::EgressOnlyGateway, id) {
            Ok(id) => network.egress_only_gateways.contains_key(&id),
            Err(_) => true,
        };
        ids.retain(is_there);
        if ids.is_empty() {
            return Ok(DescribeEgressOnlyInternetGatewaysResult::default());
        }
    }
    let asked = Asked {
        ids: &ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=255,
    };
    let (egress_only_internet_gateways, next_token) =
        describe(&api, &call, asked, |seen: &Seen<'_, EgressOnlyGatewayRecord>| show(seen.record)).await?;
    Ok(DescribeEgressOnlyInternetGatewaysResult { egress_only_internet_gateways, next_token })
}
