// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Describes the Regions that are enabled for your account, or all Regions.
#[derive(Clone, Copy, Debug)]
pub struct DescribeRegions;

impl Operation for DescribeRegions {
    type Input = DescribeRegionsRequest;
    type Output = DescribeRegionsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeRegions";

    fn decode(members: Members) -> serde_json::Result<DescribeRegionsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeRegionsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the Availability Zones, Local Zones, and Wavelength Zones that are available to you.
#[derive(Clone, Copy, Debug)]
pub struct DescribeAvailabilityZones;

impl Operation for DescribeAvailabilityZones {
    type Input = DescribeAvailabilityZonesRequest;
    type Output = DescribeAvailabilityZonesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeAvailabilityZones";

    fn decode(members: Members) -> serde_json::Result<DescribeAvailabilityZonesRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeAvailabilityZonesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AvailabilityZone {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub geography: Vec<AvailabilityZoneGeography>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_long_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<AvailabilityZoneMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_border_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_in_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_zone_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sub_geography: Vec<AvailabilityZoneSubGeography>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AvailabilityZoneGeography {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AvailabilityZoneMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AvailabilityZoneSubGeography {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeAvailabilityZonesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_availability_zones: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zone_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zone_names: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeAvailabilityZonesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub availability_zones: Vec<AvailabilityZone>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeRegionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_regions: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub region_names: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeRegionsResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Region {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub geography: Vec<RegionGeography>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_in_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RegionGeography {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
