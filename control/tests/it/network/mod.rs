//! VPC objects: what may be made of what, and what keeps others from going.

mod access;
mod addresses;
mod interfaces;
mod ipv6;
mod logs;
mod node;
mod nodes;
mod races;
mod routing;
mod vpcs;

use crate::cloud::{Cloud, text};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use serde_json::{Value, json};

pub const OTHER: &str = "210987654321";

pub fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

pub fn fault(error: &ApiError) -> NetworkFault {
    match error {
        ApiError::Network { fault, .. } => *fault,
        other => panic!("another error: {other:?}"),
    }
}

pub fn is_absent(error: &ApiError, of: Resource) -> bool {
    matches!(error, ApiError::NotFound { resource, .. } if *resource == of)
}

impl Cloud {
    pub async fn vpc(&self, cidr: &str) -> String {
        text(&self.ok("CreateVpc", json!({"CidrBlock": cidr})).await["Vpc"]["VpcId"])
    }

    pub async fn subnet(&self, vpc: &str, cidr: &str) -> String {
        text(&self.ok("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": cidr})).await["Subnet"]["SubnetId"])
    }

    pub async fn group(&self, vpc: &str, name: &str) -> String {
        let params = json!({"VpcId": vpc, "GroupName": name, "Description": "of a test"});
        text(&self.ok("CreateSecurityGroup", params).await["GroupId"])
    }

    pub async fn interface(&self, subnet: &str) -> Value {
        self.ok("CreateNetworkInterface", json!({"SubnetId": subnet})).await["NetworkInterface"].clone()
    }

    /// A gateway attached to the VPC.
    pub async fn gateway(&self, vpc: &str) -> String {
        let made = self.ok("CreateInternetGateway", json!({})).await;
        let gateway = text(&made["InternetGateway"]["InternetGatewayId"]);
        self.ok("AttachInternetGateway", json!({"InternetGatewayId": gateway, "VpcId": vpc})).await;
        gateway
    }

    pub async fn default_vpc(&self) -> String {
        let filters = json!([{"Name": "is-default", "Values": ["true"]}]);
        text(&self.ok("DescribeVpcs", json!({"Filters": filters})).await["Vpcs"][0]["VpcId"])
    }

    /// The things of a VPC that a Describe call shows.
    pub async fn of_vpc(&self, action: &str, name: &str, vpc: &str) -> Vec<Value> {
        let filters = json!([{"Name": "vpc-id", "Values": [vpc]}]);
        list(&self.ok(action, json!({"Filters": filters})).await, name).to_vec()
    }
}
