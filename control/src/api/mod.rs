//! The API: one handler an operation, one file a family. Handlers see typed, model-validated inputs and say what is wrong by
//! [`hive_types::ApiError`]; AWS's codes and XML are the gateway's.

mod blocks;
mod encryption;
mod filter;
mod idempotency;
mod images;
mod instances;
mod keys;
mod nodes;
mod page;
mod places;
mod routes;
mod snapshots;
mod sts;
mod tags;
mod volumes;
mod vpc;

pub use routes::{Routes, serve};

use crate::error::Error;
use crate::store::Stores;
use hive_bus::Bus;
use hive_types::Principal;
use hive_types::error::Resource;
use hive_types::id::{AccountId, MalformedId};
use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::str::FromStr;

/// What the handlers work with.
#[derive(Debug)]
pub struct Api {
    pub stores: Stores,
    pub place: Place,
    /// To ask nodes; without it (handlers under test) nothing that a node must answer works.
    pub bus: Option<Bus>,
}

/// Where this hived is.
#[derive(Clone, Debug)]
pub struct Place {
    pub region: String,
    pub zone: String,
    /// The root account.
    pub account: AccountId,
    /// Other regions whose snapshots the nodes' blockds can read.
    pub peer_regions: BTreeSet<String>,
    pub public_address_pools: Vec<Ipv4Net>,
    pub ipv6_pools: Vec<Ipv6Net>,
}

impl Place {
    /// `use1-az1` for us-east-1a: the same zone under the same id for every account.
    pub fn zone_id(&self) -> String {
        let mut parts = self.region.split('-');
        let country = parts.next().unwrap_or_default();
        let short: String = parts.filter_map(|part| part.chars().next()).collect();
        format!("{country}{short}-az1")
    }
}

/// One call's circumstances.
#[derive(Clone, Debug)]
pub struct Call {
    pub caller: Principal,
    pub now: Timestamp,
}

pub(crate) use images::DEFAULT_ROOT_DEVICE;
pub(crate) use instances::dns_domain;
pub(crate) use nodes::{
    BlocksReply, BlocksRequest, ConsoleOutput, ConsoleRequest, blocks_subject, console_subject, is_passed_on,
};
pub(crate) use vpc::default::{make_default_options, make_default_vpc};
pub(crate) use vpc::dhcp::OWN_RESOLVER;

/// `2026-11-22T19:34:35.000Z`
fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Parses ids of one kind; the first that is not one is `Malformed`.
fn parse_ids<T: FromStr<Err = MalformedId>>(resource: Resource, ids: &[String]) -> Result<Vec<T>, Error> {
    ids.iter().map(|id| parse_id(resource, id)).collect()
}

fn parse_id<T: FromStr<Err = MalformedId>>(resource: Resource, id: &str) -> Result<T, Error> {
    id.parse().map_err(|_| hive_types::ApiError::Malformed { resource, id: id.to_owned() }.into())
}
