//! The objects of VPCs: records are checked and kept here; the nodes read them from the store.

pub mod acls;
pub mod addresses;
pub mod cidr_blocks;
pub mod default;
pub mod dhcp;
pub mod egress_only;
pub mod flow_logs;
pub mod gateways;
pub mod groups;
pub mod interfaces;
pub mod ipv6;
pub mod nat;
pub mod prefix_lists;
pub mod public;
pub mod route_tables;
pub mod routes;
pub mod rules;
pub mod subnets;
pub mod vpcs;

use super::filter::{Filterable, Filters};
use super::page::Page;
use super::{Api, Call, Place, idempotency, parse_ids};
use crate::error::{Error, invalid, not_found, unsupported};
use crate::store::{DrawnIds, Network, NetworkRecord};
use hive_aws_types::ec2::Filter;
use hive_types::id::AccountId;
use ipnet::Ipv4Net;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// A record with what filters and answers may need beside it.
pub struct Seen<'a, T> {
    pub record: &'a T,
    pub network: &'a Network,
    pub place: &'a Place,
}

/// What a Describe call names.
pub struct Asked<'a> {
    pub ids: &'a [String],
    pub filters: &'a [Filter],
    pub max_results: Option<i32>,
    pub next_token: Option<&'a str>,
    pub limits: RangeInclusive<i32>,
}

/// The page of the caller's records that a Describe call asks for, each as `show` has it, and the token of the next page.
pub async fn describe<T, V>(
    api: &Api,
    call: &Call,
    asked: Asked<'_>,
    show: impl Fn(&Seen<'_, T>) -> V,
) -> Result<(Vec<V>, Option<String>), Error>
where
    T: NetworkRecord,
    for<'a> Seen<'a, T>: Filterable,
    V: Serialize,
{
    let ids: BTreeSet<T::Id> = parse_ids(T::RESOURCE, asked.ids)?.into_iter().collect();
    let page = Page::check(asked.max_results, asked.next_token, asked.limits, !ids.is_empty())?;
    let filters = Filters::check::<Seen<'_, T>>(asked.filters)?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    let all = T::all(&network);
    if let Some(absent) = ids.iter().find(|id| !all.contains_key(id)) {
        return Err(not_found(T::RESOURCE, absent));
    }
    let seen = |record| Seen { record, network: &network, place: &api.place };
    let wanted = all.iter().filter(|(id, _)| ids.is_empty() || ids.contains(id)).map(|(_, record)| seen(record));
    let wanted: Vec<Seen<'_, T>> = wanted.filter(|seen| filters.admit(seen)).collect();
    Ok(page.shown(wanted, |seen| seen.record.id().to_string(), show))
}

impl Api {
    /// Changes the caller's network, or leaves it as it is.
    async fn change<R>(
        &self,
        call: &Call,
        change: impl FnMut(&mut Network) -> Result<R, Error>,
    ) -> Result<(Network, R), Error> {
        self.stores.networks.change(&call.caller.account, change).await
    }
}

/// What a call with a ClientToken makes: the record of the id that the token stands for, made by `make` unless it is there. One that was
/// deleted since does not come back: the token is forgotten, and the caller's next try makes another.
async fn make_once<T: NetworkRecord>(
    api: &Api,
    call: &Call,
    token: (&str, Option<&str>, &impl Serialize),
    draw: impl Fn(u128) -> T::Id,
    make: impl Fn(&mut Network, &T::Id) -> Result<T, Error>,
) -> Result<(Network, T), Error> {
    let (action, token, parameters) = token;
    let one = || Ok(DrawnIds::Network(vec![draw(crate::random::draw()?).to_string()]));
    let drawn = idempotency::draw(api, call, action, token, parameters, one).await?;
    let id = match &drawn.ids {
        DrawnIds::Network(ids) => ids.first().and_then(|id| id.parse::<T::Id>().ok()),
        _ => None,
    };
    let id = id.ok_or_else(|| Error::Fault(format!("a {action} token holds other ids")))?;
    let made = api.change(call, |network| {
        if let Some(made) = T::all(network).get(&id) {
            return Ok(made.clone());
        }
        let record = make(network, &id)?;
        network.insert(record.clone());
        Ok(record)
    });
    match made.await {
        Ok(made) => Ok(made),
        Err(error) => {
            // Its fate may not be known; only what surely was not made lets go of its token.
            if matches!(error, Error::Api(_)) {
                idempotency::forget(api, &drawn).await?;
            }
            Err(error)
        }
    }
}

/// `arn:aws:ec2:us-east-1:123456789012:subnet/subnet-...`
fn arn(place: &Place, account: &AccountId, resource: &str) -> String {
    format!("arn:aws:ec2:{}:{account}:{resource}", place.region)
}

/// An IPv4 block; host bits are dropped, as EC2 does.
fn parse_cidr(name: &str, text: &str) -> Result<Ipv4Net, Error> {
    let cidr: Result<Ipv4Net, _> = text.parse();
    cidr.map(|cidr| cidr.trunc()).map_err(|_| invalid(name, text, "This is not a valid CIDR block."))
}

/// Refuses the first of the parameters that was given.
fn refuse(asked: &[(bool, &str)]) -> Result<(), Error> {
    match asked.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(unsupported(format!("{what} are not available."))),
        None => Ok(()),
    }
}

/// The zone that a call names, in either way; there is one.
fn check_zone(api: &Api, zone: Option<&str>, zone_id: Option<&str>) -> Result<String, Error> {
    let place = &api.place;
    let reason = format!("Subnets can currently only be created in the following availability zones: {}.", place.zone);
    match (zone, zone_id) {
        (Some(zone), _) if zone != place.zone => Err(invalid("availabilityZone", zone, reason)),
        (None, Some(id)) if id != place.zone_id() => Err(invalid("availabilityZoneId", id, reason)),
        _ => Ok(place.zone.clone()),
    }
}
