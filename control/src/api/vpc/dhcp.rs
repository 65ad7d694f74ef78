//! DHCP options.

use super::super::filter::Filterable;
use super::super::{Api, Call, parse_id, tags};
use super::vpcs::find_id as find_vpc_id;
use super::{Asked, Seen, describe};
use crate::error::{Error, has_dependencies, invalid, limit, missing, required};
use crate::random;
use crate::store::{DhcpOptionsRecord, Tags, Version, VpcRecord};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AssociateDhcpOptionsRequest, AttributeValue, CreateDhcpOptionsRequest, CreateDhcpOptionsResult,
    DeleteDhcpOptionsRequest, DescribeDhcpOptionsRequest, DescribeDhcpOptionsResult, DhcpConfiguration, DhcpOptions,
    NewDhcpConfiguration,
};
use hive_netd_api::MAX_DHCP_SERVERS;
use hive_types::error::Resource;
use hive_types::id::DhcpOptionsId;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// EC2's default quota.
const MAX_SETS: usize = 1000;
/// The resolver that every VPC has.
pub const OWN_RESOLVER: &str = "AmazonProvidedDNS";

fn check_option(key: &str, values: &[String]) -> Result<(), Error> {
    let refuse = |reason: &str| Err(invalid("DhcpConfiguration", values.join(","), format!("{key}: {reason}")));
    if values.is_empty() {
        return refuse("no values.");
    }
    let is_address = |value: &String| match value.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => hive_netd_api::is_unicast(address),
        Ok(IpAddr::V6(address)) => !address.is_multicast() && !address.is_unspecified(),
        Err(_) => false,
    };
    let are_addresses = |values: &[String]| values.len() <= MAX_DHCP_SERVERS && values.iter().all(is_address);
    match key {
        "domain-name-servers" => {
            let is_own = values == [OWN_RESOLVER];
            if !is_own && !are_addresses(values) {
                return refuse("up to four addresses, or AmazonProvidedDNS alone.");
            }
        }
        "ntp-servers" | "netbios-name-servers" => {
            if !are_addresses(values) {
                return refuse("up to four addresses.");
            }
        }
        "domain-name" => {
            if values.len() != 1 || !values.iter().all(|names| hive_netd_api::is_domain_list(names)) {
                return refuse("one domain name, or several with single spaces between them.");
            }
        }
        "netbios-node-type" => {
            if values.len() != 1 || !values.iter().all(|value| ["1", "2", "4", "8"].contains(&value.as_str())) {
                return refuse("one of 1, 2, 4, 8.");
            }
        }
        "ipv6-address-preferred-lease-time" => {
            let is_time = |value: &String| value.parse::<u32>().is_ok_and(|s| (140..=2_147_483_647).contains(&s));
            if values.len() != 1 || !values.iter().all(is_time) {
                return refuse("a time in seconds, 140 to 2147483647.");
            }
        }
        _ => return refuse("unknown option."),
    }
    Ok(())
}

fn check(configurations: &[NewDhcpConfiguration]) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut options = BTreeMap::new();
    for configuration in configurations {
        let key = configuration.key.as_deref().ok_or_else(|| missing("DhcpConfiguration.Key"))?;
        // A list may come as one text, as the CLI's shorthand makes it.
        let texts = configuration.values.iter().flat_map(|text| text.split(','));
        let values: Vec<String> = texts.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
        check_option(key, &values)?;
        if options.insert(key.to_owned(), values).is_some() {
            return Err(invalid("DhcpConfiguration.Key", key, "The option is there twice."));
        }
    }
    if options.is_empty() {
        return Err(missing("DhcpConfiguration"));
    }
    Ok(options)
}

pub async fn create_dhcp_options(
    api: Arc<Api>,
    call: Call,
    input: CreateDhcpOptionsRequest,
) -> Result<CreateDhcpOptionsResult, Error> {
    let tags = tags::specified(&input.tag_specifications, "dhcp-options", &["dhcp-options"])?;
    let options = check(&input.dhcp_configurations)?;
    let made = api.change(&call, |network| {
        if network.dhcp_options.len() >= MAX_SETS {
            return Err(limit(Resource::DhcpOptions, "The maximum number of sets of DHCP options has been reached."));
        }
        let record = DhcpOptionsRecord {
            version: Version,
            options_id: DhcpOptionsId::from_random(random::draw()?),
            account: call.caller.account.clone(),
            is_default: false,
            options: options.clone(),
            tags: tags.clone(),
        };
        network.insert(record.clone());
        Ok(record)
    });
    let (_, record) = made.await?;
    Ok(CreateDhcpOptionsResult { dhcp_options: Some(show(&record)) })
}

fn find_id(id: Option<&str>) -> Result<DhcpOptionsId, Error> {
    parse_id(Resource::DhcpOptions, required(id, "DhcpOptionsId")?)
}

pub async fn delete_dhcp_options(api: Arc<Api>, call: Call, input: DeleteDhcpOptionsRequest) -> Result<Empty, Error> {
    let id = find_id(input.dhcp_options_id.as_deref())?;
    let deleted = api.change(&call, |network| {
        network.get::<DhcpOptionsRecord>(&id)?;
        if network.vpcs.values().any(|vpc| vpc.dhcp_options.as_ref() == Some(&id)) {
            return Err(has_dependencies("dhcpOptions", &id));
        }
        network.dhcp_options.remove(&id);
        Ok(())
    });
    deleted.await.map(|_| Empty {})
}

/// `default` stands for no options.
pub async fn associate_dhcp_options(
    api: Arc<Api>,
    call: Call,
    input: AssociateDhcpOptionsRequest,
) -> Result<Empty, Error> {
    let vpc_id = find_vpc_id(input.vpc_id.as_deref())?;
    let options = match input.dhcp_options_id.as_deref() {
        Some("default") => None,
        id => Some(find_id(id)?),
    };
    let associated = api.change(&call, |network| {
        if let Some(id) = &options {
            network.get::<DhcpOptionsRecord>(id)?;
        }
        network.get_mut::<VpcRecord>(&vpc_id)?.dhcp_options.clone_from(&options);
        Ok(())
    });
    associated.await.map(|_| Empty {})
}

fn show(record: &DhcpOptionsRecord) -> DhcpOptions {
    let option = |(key, values): (&String, &Vec<String>)| DhcpConfiguration {
        key: Some(key.clone()),
        values: values.iter().map(|value| AttributeValue { value: Some(value.clone()) }).collect(),
    };
    DhcpOptions {
        dhcp_configurations: record.options.iter().map(option).collect(),
        dhcp_options_id: Some(record.options_id.to_string()),
        owner_id: Some(record.account.to_string()),
        tags: tags::to_api(&record.tags),
    }
}

impl Filterable for Seen<'_, DhcpOptionsRecord> {
    const NAMES: &'static [&'static str] = &["dhcp-options-id", "key", "owner-id", "value"];

    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "dhcp-options-id" => vec![self.record.options_id.to_string()],
            "key" => self.record.options.keys().cloned().collect(),
            "owner-id" => vec![self.record.account.to_string()],
            _ => self.record.options.values().flatten().cloned().collect(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_dhcp_options(
    api: Arc<Api>,
    call: Call,
    input: DescribeDhcpOptionsRequest,
) -> Result<DescribeDhcpOptionsResult, Error> {
    let asked = Asked {
        ids: &input.dhcp_options_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=1000,
    };
    let (dhcp_options, next_token) =
        describe(&api, &call, asked, |seen: &Seen<'_, DhcpOptionsRecord>| show(seen.record)).await?;
    Ok(DescribeDhcpOptionsResult { dhcp_options, next_token })
}
