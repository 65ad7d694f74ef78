//! Regions and availability zones: this one.

use super::filter::{Filterable, Filters};
use super::{Api, Call, Place};
use crate::error::{Error, not_found};
use crate::store::Tags;
use hive_aws_types::ec2::{
    AvailabilityZone, DescribeAvailabilityZonesRequest, DescribeAvailabilityZonesResult, DescribeRegionsRequest,
    DescribeRegionsResult, Region,
};
use hive_types::error::Resource;
use std::sync::Arc;

struct RegionOf<'a>(&'a Place);

impl RegionOf<'_> {
    fn endpoint(&self) -> String {
        format!("ec2.{}.amazonaws.com", self.0.region)
    }
}

impl Filterable for RegionOf<'_> {
    const NAMES: &'static [&'static str] = &["endpoint", "opt-in-status", "region-name"];
    const TAGGED: bool = false;

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "endpoint" => self.endpoint(),
            "opt-in-status" => "opt-in-not-required".into(),
            _ => self.0.region.clone(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }
}

pub async fn describe_regions(
    api: Arc<Api>,
    _call: Call,
    input: DescribeRegionsRequest,
) -> Result<DescribeRegionsResult, Error> {
    let filters = Filters::check::<RegionOf<'_>>(&input.filters)?;
    let region = RegionOf(&api.place);
    if let Some(unknown) = input.region_names.iter().find(|name| **name != api.place.region) {
        return Err(not_found(Resource::Region, unknown));
    }
    let described = Region {
        endpoint: Some(region.endpoint()),
        opt_in_status: Some("opt-in-not-required".into()),
        region_name: Some(api.place.region.clone()),
        ..Default::default()
    };
    Ok(DescribeRegionsResult { regions: filters.admit(&region).then_some(described).into_iter().collect() })
}

struct ZoneOf<'a>(&'a Place);

impl Filterable for ZoneOf<'_> {
    const NAMES: &'static [&'static str] = &[
        "group-name",
        "message",
        "opt-in-status",
        "parent-zone-id",
        "parent-zone-name",
        "region-name",
        "state",
        "zone-id",
        "zone-name",
        "zone-type",
    ];
    const TAGGED: bool = false;

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "opt-in-status" => "opt-in-not-required".into(),
            "region-name" => self.0.region.clone(),
            "group-name" => format!("{}-zg-1", self.0.region),
            "state" => "available".into(),
            "zone-id" => self.0.zone_id(),
            "zone-name" => self.0.zone.clone(),
            "zone-type" => "availability-zone".into(),
            _ => return Vec::new(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }
}

pub async fn describe_availability_zones(
    api: Arc<Api>,
    _call: Call,
    input: DescribeAvailabilityZonesRequest,
) -> Result<DescribeAvailabilityZonesResult, Error> {
    let place = &api.place;
    let filters = Filters::check::<ZoneOf<'_>>(&input.filters)?;
    let zone_id = place.zone_id();
    let by_name = input.zone_names.iter().find(|name| **name != place.zone);
    if let Some(unknown) = by_name.or_else(|| input.zone_ids.iter().find(|id| **id != zone_id)) {
        return Err(not_found(Resource::AvailabilityZone, unknown));
    }
    let described = AvailabilityZone {
        group_name: Some(format!("{}-zg-1", place.region)),
        network_border_group: Some(place.region.clone()),
        opt_in_status: Some("opt-in-not-required".into()),
        region_name: Some(place.region.clone()),
        state: Some("available".into()),
        zone_id: Some(zone_id),
        zone_name: Some(place.zone.clone()),
        zone_type: Some("availability-zone".into()),
        ..Default::default()
    };
    let zones = filters.admit(&ZoneOf(place)).then_some(described).into_iter().collect();
    Ok(DescribeAvailabilityZonesResult { availability_zones: zones })
}
