//! VPCs, their blocks, subnets, DHCP options, flow logs.

use super::{OTHER, fault, is_absent, list};
use crate::cloud::{Cloud, text};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use hived::store::{InstanceState, Stores};
use serde_json::{Value, json};

#[tokio::test]
async fn a_vpc_begins_with_its_defaults_and_ends_with_them() {
    let cloud = Cloud::memory().await;
    let tags = json!([{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "mine"}]}]);
    let made = cloud.ok("CreateVpc", json!({"CidrBlock": "10.0.0.7/16", "TagSpecifications": tags})).await;
    let vpc = text(&made["Vpc"]["VpcId"]);
    assert_eq!(made["Vpc"]["CidrBlock"], "10.0.0.0/16", "host bits are dropped");
    assert_eq!((&made["Vpc"]["State"], &made["Vpc"]["IsDefault"]), (&json!("pending"), &json!(false)));
    let by_tag = json!({"Filters": [{"Name": "tag:Name", "Values": ["mine"]}]});
    assert_eq!(cloud.ok("DescribeVpcs", by_tag).await["Vpcs"][0]["State"], "available");

    let groups = cloud.of_vpc("DescribeSecurityGroups", "SecurityGroups", &vpc).await;
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["GroupName"], "default");
    assert_eq!(groups[0]["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"], groups[0]["GroupId"]);
    assert_eq!(groups[0]["IpPermissionsEgress"][0]["IpRanges"][0]["CidrIp"], "0.0.0.0/0");
    assert_eq!(groups[0]["IpPermissionsEgress"][0]["FromPort"], Value::Null);
    let tables = cloud.of_vpc("DescribeRouteTables", "RouteTables", &vpc).await;
    assert_eq!(tables[0]["Associations"][0]["Main"], true);
    assert_eq!(tables[0]["Routes"][0]["GatewayId"], "local");
    let acls = cloud.of_vpc("DescribeNetworkAcls", "NetworkAcls", &vpc).await;
    assert_eq!((&acls[0]["IsDefault"], list(&acls[0], "Entries").len()), (&json!(true), 4));

    cloud.ok("DeleteVpc", json!({"VpcId": vpc})).await;
    for (action, name) in [
        ("DescribeSecurityGroups", "SecurityGroups"),
        ("DescribeRouteTables", "RouteTables"),
        ("DescribeNetworkAcls", "NetworkAcls"),
    ] {
        assert_eq!(cloud.of_vpc(action, name, &vpc).await, Vec::<Value>::new(), "{action}");
    }
    assert!(is_absent(&cloud.refused("DeleteVpc", json!({"VpcId": vpc})).await, Resource::Vpc));
    let malformed = cloud.refused("DescribeVpcs", json!({"VpcIds": ["vpc-1"]})).await;
    assert!(matches!(malformed, ApiError::Malformed { resource: Resource::Vpc, .. }), "{malformed:?}");
}

#[tokio::test]
async fn blocks_have_limits() {
    let cloud = Cloud::memory().await;
    for bad in ["10.0.0.0/15", "10.0.0.0/29", "224.0.0.0/16", "127.0.0.0/16", "169.254.0.0/16", "0.0.0.0/16"] {
        let refused = cloud.refused("CreateVpc", json!({"CidrBlock": bad})).await;
        assert_eq!(fault(&refused), NetworkFault::VpcRange, "{bad}");
    }
    for bad in ["10.0.0.0", "10.0.0.0/33", "ten/16", "", "2001:db8::/56"] {
        let refused = cloud.refused("CreateVpc", json!({"CidrBlock": bad})).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{bad}: {refused:?}");
    }
    let missing = cloud.refused("CreateVpc", json!({})).await;
    assert_eq!(missing, ApiError::MissingParameter { name: "CidrBlock".into() });

    let vpc = cloud.vpc("10.0.0.0/24").await;
    for bad in ["10.0.1.0/26", "10.0.0.0/23", "10.0.0.0/29"] {
        let refused = cloud.refused("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": bad})).await;
        assert_eq!(fault(&refused), NetworkFault::SubnetRange, "{bad}");
    }
    cloud.subnet(&vpc, "10.0.0.64/26").await;
    for bad in ["10.0.0.64/26", "10.0.0.64/28", "10.0.0.0/25", "10.0.0.112/28"] {
        let refused = cloud.refused("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": bad})).await;
        assert_eq!(fault(&refused), NetworkFault::SubnetConflict, "{bad}");
    }
    let made = cloud.ok("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": "10.0.0.128/28"})).await;
    assert_eq!(made["Subnet"]["AvailableIpAddressCount"], 11);
    let zone = json!({"VpcId": vpc, "CidrBlock": "10.0.0.0/26", "AvailabilityZone": "us-east-1f"});
    let refused = cloud.refused("CreateSubnet", zone).await;
    assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{refused:?}");
}

#[tokio::test]
async fn there_are_five_vpcs_at_most() {
    let cloud = Cloud::memory().await;
    for n in 0..4 {
        cloud.vpc(&format!("10.{n}.0.0/16")).await;
    }
    let over = cloud.refused("CreateVpc", json!({"CidrBlock": "10.9.0.0/16"})).await;
    assert!(matches!(over, ApiError::LimitExceeded { resource: Resource::Vpc, .. }), "{over:?}");
}

#[tokio::test]
async fn further_blocks_of_a_vpc() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/24").await;
    let add = |cidr: &str| json!({"VpcId": vpc, "CidrBlock": cidr});
    for (bad, expected) in [
        ("10.0.0.0/25", NetworkFault::CidrConflict),
        ("172.16.0.0/16", NetworkFault::VpcRange),
        ("192.168.0.0/24", NetworkFault::VpcRange),
        ("10.1.0.0/29", NetworkFault::VpcRange),
    ] {
        assert_eq!(fault(&cloud.refused("AssociateVpcCidrBlock", add(bad)).await), expected, "{bad}");
    }
    let added = cloud.ok("AssociateVpcCidrBlock", add("10.1.0.0/24")).await;
    let association = added["CidrBlockAssociation"]["AssociationId"].clone();
    cloud.ok("AssociateVpcCidrBlock", add("100.64.0.0/24")).await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/28").await;
    let used = cloud.refused("DisassociateVpcCidrBlock", json!({"AssociationId": association})).await;
    assert!(matches!(used, ApiError::DependencyViolation { .. }), "{used:?}");
    cloud.ok("DeleteSubnet", json!({"SubnetId": subnet})).await;
    cloud.ok("DisassociateVpcCidrBlock", json!({"AssociationId": association})).await;
    let shown = cloud.ok("DescribeVpcs", json!({"VpcIds": [vpc]})).await;
    let blocks = list(&shown["Vpcs"][0], "CidrBlockAssociationSet");
    assert_eq!(blocks.len(), 2);
    let primary = cloud.refused("DisassociateVpcCidrBlock", json!({"AssociationId": blocks[0]["AssociationId"]})).await;
    assert!(matches!(primary, ApiError::OperationNotPermitted { .. }), "{primary:?}");
    let gone = cloud.refused("DisassociateVpcCidrBlock", json!({"AssociationId": association})).await;
    assert!(is_absent(&gone, Resource::CidrAssociation));
    for n in 2..5 {
        cloud.ok("AssociateVpcCidrBlock", add(&format!("10.{n}.0.0/24"))).await;
    }
    let over = cloud.refused("AssociateVpcCidrBlock", add("10.9.0.0/24")).await;
    assert!(matches!(over, ApiError::LimitExceeded { resource: Resource::CidrAssociation, .. }), "{over:?}");
}

#[tokio::test]
async fn attributes() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/24").await;
    let ask = |attribute: &str| json!({"VpcId": vpc, "Attribute": attribute});
    let shown = cloud.ok("DescribeVpcAttribute", ask("enableDnsHostnames")).await;
    assert_eq!(shown["EnableDnsHostnames"]["Value"], false);
    cloud.ok("ModifyVpcAttribute", json!({"VpcId": vpc, "EnableDnsHostnames": {"Value": true}})).await;
    let shown = cloud.ok("DescribeVpcAttribute", ask("enableDnsHostnames")).await;
    assert_eq!(shown["EnableDnsHostnames"]["Value"], true);
    assert_eq!(cloud.ok("DescribeVpcAttribute", ask("enableDnsSupport")).await["EnableDnsSupport"]["Value"], true);
    let both = json!({"VpcId": vpc, "EnableDnsHostnames": {"Value": true}, "EnableDnsSupport": {"Value": true}});
    let refused = cloud.refused("ModifyVpcAttribute", both).await;
    assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{refused:?}");

    let subnet = cloud.subnet(&vpc, "10.0.0.0/28").await;
    cloud.ok("ModifySubnetAttribute", json!({"SubnetId": subnet, "MapPublicIpOnLaunch": {"Value": true}})).await;
    let shown = cloud.ok("DescribeSubnets", json!({"SubnetIds": [subnet]})).await;
    assert_eq!(shown["Subnets"][0]["MapPublicIpOnLaunch"], true);
    let none = cloud.refused("ModifySubnetAttribute", json!({"SubnetId": subnet})).await;
    assert!(matches!(none, ApiError::InvalidParameterCombination { .. }), "{none:?}");
}

#[tokio::test]
async fn what_is_used_stays() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let used = |error: &ApiError| matches!(error, ApiError::DependencyViolation { .. });
    let delete = json!({"VpcId": vpc});
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let interface = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    assert!(used(&cloud.refused("DeleteVpc", delete.clone()).await), "a subnet");
    assert!(used(&cloud.refused("DeleteSubnet", json!({"SubnetId": subnet})).await), "an interface");
    cloud.ok("DeleteNetworkInterface", json!({"NetworkInterfaceId": interface})).await;
    cloud.ok("DeleteSubnet", json!({"SubnetId": subnet})).await;
    let group = cloud.group(&vpc, "web").await;
    assert!(used(&cloud.refused("DeleteVpc", delete.clone()).await), "a group");
    cloud.ok("DeleteSecurityGroup", json!({"GroupId": group})).await;
    let gateway = cloud.gateway(&vpc).await;
    assert!(used(&cloud.refused("DeleteVpc", delete.clone()).await), "a gateway");
    assert!(used(&cloud.refused("DeleteInternetGateway", json!({"InternetGatewayId": gateway})).await), "attached");
    cloud.ok("DetachInternetGateway", json!({"InternetGatewayId": gateway, "VpcId": vpc})).await;
    let table = cloud.ok("CreateRouteTable", delete.clone()).await["RouteTable"]["RouteTableId"].clone();
    assert!(used(&cloud.refused("DeleteVpc", delete.clone()).await), "a route table");
    cloud.ok("DeleteRouteTable", json!({"RouteTableId": table})).await;
    let acl = cloud.ok("CreateNetworkAcl", delete.clone()).await["NetworkAcl"]["NetworkAclId"].clone();
    assert!(used(&cloud.refused("DeleteVpc", delete.clone()).await), "an ACL");
    cloud.ok("DeleteNetworkAcl", json!({"NetworkAclId": acl})).await;
    cloud.ok("DeleteVpc", delete).await;
}

#[tokio::test]
async fn the_default_network_comes_once_and_again_when_asked_for() {
    let stores = Stores::memory();
    let cloud = Cloud::new(stores.clone()).await;
    let vpc = cloud.default_vpc().await;
    let twice = cloud.refused("CreateDefaultVpc", json!({})).await;
    assert_eq!(fault(&twice), NetworkFault::DefaultVpcExists);
    let zone = json!({"AvailabilityZone": "us-east-1a"});
    assert_eq!(fault(&cloud.refused("CreateDefaultSubnet", zone.clone()).await), NetworkFault::DefaultSubnetExists);
    let subnets = cloud.ok("DescribeSubnets", json!({})).await;
    let old = text(&subnets["Subnets"][0]["SubnetId"]);
    cloud.ok("DeleteSubnet", json!({"SubnetId": old})).await;
    let again = cloud.ok("CreateDefaultSubnet", zone.clone()).await;
    assert_eq!(again["Subnet"]["CidrBlock"], "172.31.0.0/20");
    assert_eq!(
        (&again["Subnet"]["DefaultForAz"], &again["Subnet"]["MapPublicIpOnLaunch"]),
        (&json!(true), &json!(true))
    );

    cloud.ok("DeleteSubnet", json!({"SubnetId": again["Subnet"]["SubnetId"]})).await;
    let gateways = cloud.ok("DescribeInternetGateways", json!({})).await;
    let gateway = gateways["InternetGateways"][0]["InternetGatewayId"].clone();
    cloud.ok("DetachInternetGateway", json!({"InternetGatewayId": gateway, "VpcId": vpc})).await;
    cloud.ok("DeleteInternetGateway", json!({"InternetGatewayId": gateway})).await;
    cloud.ok("DeleteVpc", json!({"VpcId": vpc})).await;
    assert_eq!(fault(&cloud.refused("CreateDefaultSubnet", zone).await), NetworkFault::DefaultVpcAbsent);
    let options = cloud.ok("DescribeDhcpOptions", json!({})).await["DhcpOptions"][0]["DhcpOptionsId"].clone();
    cloud.ok("DeleteDhcpOptions", json!({"DhcpOptionsId": options})).await;
    // Another start of hived does not bring back what the account has deleted.
    let cloud = Cloud::new(stores).await;
    assert_eq!(list(&cloud.ok("DescribeVpcs", json!({})).await, "Vpcs"), &[] as &[Value]);
    let made = cloud.ok("CreateDefaultVpc", json!({})).await;
    assert_eq!(made["Vpc"]["CidrBlock"], "172.31.0.0/16");
    assert_ne!(made["Vpc"]["VpcId"], json!(vpc));
    let subnets =
        cloud.ok("DescribeSubnets", json!({"Filters": [{"Name": "default-for-az", "Values": ["true"]}]})).await;
    assert_eq!(list(&subnets, "Subnets").len(), 1);
    cloud.launch(json!({})).await;
}

#[tokio::test]
async fn accounts_see_their_own() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let others = cloud.call_as(OTHER, "DescribeVpcs", json!({})).await.expect("vpcs");
    assert!(!others.contains_key("Vpcs"), "{others:?}");
    for (action, params, resource) in [
        ("DeleteVpc", json!({"VpcId": vpc}), Resource::Vpc),
        ("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": "10.0.1.0/24"}), Resource::Vpc),
        ("DescribeSubnets", json!({"SubnetIds": [subnet]}), Resource::Subnet),
        ("CreateNetworkInterface", json!({"SubnetId": subnet}), Resource::Subnet),
        ("CreateTags", json!({"Resources": [vpc], "Tags": [{"Key": "a", "Value": "b"}]}), Resource::Vpc),
    ] {
        let refused = cloud.call_as(OTHER, action, params).await.expect_err(action);
        assert!(is_absent(&refused, resource), "{action}: {refused:?}");
    }
}

#[tokio::test]
async fn describing_pages_and_filters() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    for n in 0..7 {
        cloud.subnet(&vpc, &format!("10.0.{n}.0/24")).await;
    }
    let filters = json!([{"Name": "vpc-id", "Values": [vpc]}]);
    let page = cloud.ok("DescribeSubnets", json!({"Filters": filters, "MaxResults": 5})).await;
    assert_eq!(list(&page, "Subnets").len(), 5);
    let rest = json!({"Filters": filters, "MaxResults": 5, "NextToken": page["NextToken"]});
    let rest = cloud.ok("DescribeSubnets", rest).await;
    assert_eq!((list(&rest, "Subnets").len(), &rest["NextToken"]), (2, &Value::Null));
    let by_cidr = json!([{"Name": "cidr-block", "Values": ["10.0.?.0/24"]}, {"Name": "vpc-id", "Values": [vpc]}]);
    assert_eq!(list(&cloud.ok("DescribeSubnets", json!({"Filters": by_cidr})).await, "Subnets").len(), 7);
    for action in
        ["DescribeVpcs", "DescribeSubnets", "DescribeRouteTables", "DescribeNetworkAcls", "DescribeSecurityGroups"]
    {
        let unknown = json!({"Filters": [{"Name": "colour", "Values": ["red"]}]});
        let refused = cloud.refused(action, unknown).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{action}: {refused:?}");
        let few = cloud.refused(action, json!({"MaxResults": 4})).await;
        assert!(matches!(few, ApiError::InvalidParameterValue { .. }), "{action}: {few:?}");
    }
}

#[tokio::test]
async fn tags_on_objects_of_a_vpc() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let gateway = cloud.gateway(&vpc).await;
    let groups = cloud.of_vpc("DescribeSecurityGroups", "SecurityGroups", &vpc).await;
    let of_group = json!([{"Name": "group-id", "Values": [groups[0]["GroupId"]]}]);
    let rules = cloud.ok("DescribeSecurityGroupRules", json!({"Filters": of_group})).await;
    let rule = text(&rules["SecurityGroupRules"][0]["SecurityGroupRuleId"]);
    let resources = json!([vpc, subnet, gateway, rule]);
    cloud.ok("CreateTags", json!({"Resources": resources, "Tags": [{"Key": "stage", "Value": "test"}]})).await;
    let tagged = json!({"Filters": [{"Name": "key", "Values": ["stage"]}]});
    let described = cloud.ok("DescribeTags", tagged.clone()).await;
    let mut kinds: Vec<String> = list(&described, "Tags").iter().map(|tag| text(&tag["ResourceType"])).collect();
    kinds.sort();
    assert_eq!(kinds, ["internet-gateway", "security-group-rule", "subnet", "vpc"]);
    cloud.ok("DeleteTags", json!({"Resources": resources, "Tags": [{"Key": "stage"}]})).await;
    assert_eq!(list(&cloud.ok("DescribeTags", tagged).await, "Tags"), &[] as &[Value]);
    let wrong = json!([{"ResourceType": "subnet", "Tags": [{"Key": "a", "Value": "b"}]}]);
    let refused = cloud.refused("CreateVpc", json!({"CidrBlock": "10.9.0.0/16", "TagSpecifications": wrong})).await;
    assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{refused:?}");
}

#[tokio::test]
async fn dhcp_options() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let own = cloud.ok("DescribeVpcs", json!({"VpcIds": [vpc]})).await["Vpcs"][0]["DhcpOptionsId"].clone();
    let shown = cloud.ok("DescribeDhcpOptions", json!({"DhcpOptionsIds": [own]})).await;
    let configurations = list(&shown["DhcpOptions"][0], "DhcpConfigurations");
    assert_eq!(configurations[1]["Values"][0]["Value"], "AmazonProvidedDNS");
    let make = |key: &str, values: Value| json!({"DhcpConfigurations": [{"Key": key, "Values": values}]});
    let made = cloud.ok("CreateDhcpOptions", make("domain-name", json!(["corp.example"]))).await;
    let options = made["DhcpOptions"]["DhcpOptionsId"].clone();
    cloud.ok("AssociateDhcpOptions", json!({"DhcpOptionsId": options, "VpcId": vpc})).await;
    let used = cloud.refused("DeleteDhcpOptions", json!({"DhcpOptionsId": options})).await;
    assert!(matches!(used, ApiError::DependencyViolation { .. }), "{used:?}");
    cloud.ok("AssociateDhcpOptions", json!({"DhcpOptionsId": "default", "VpcId": vpc})).await;
    assert_eq!(cloud.ok("DescribeVpcs", json!({"VpcIds": [vpc]})).await["Vpcs"][0]["DhcpOptionsId"], "default");
    cloud.ok("DeleteDhcpOptions", json!({"DhcpOptionsId": options})).await;
    let gone = cloud.refused("AssociateDhcpOptions", json!({"DhcpOptionsId": options, "VpcId": vpc})).await;
    assert!(is_absent(&gone, Resource::DhcpOptions));
    for (key, values) in [
        ("colour", json!(["red"])),
        ("domain-name-servers", json!(["ns.example"])),
        ("domain-name-servers", json!(["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5"])),
        ("domain-name-servers", json!(["AmazonProvidedDNS", "1.1.1.1"])),
        ("netbios-node-type", json!(["3"])),
        ("domain-name", json!([])),
    ] {
        let refused = cloud.refused("CreateDhcpOptions", make(key, values)).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{key}: {refused:?}");
    }
}

#[tokio::test]
async fn flow_logs_are_kept_as_they_are_asked_for() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let create = json!({
        "ResourceIds": [vpc], "ResourceType": "VPC", "TrafficType": "ALL", "LogDestinationType": "s3",
        "LogDestination": "arn:aws:s3:::logs",
    });
    let made = cloud.ok("CreateFlowLogs", create.clone()).await;
    let id = text(&made["FlowLogIds"][0]);
    let shown = cloud.ok("DescribeFlowLogs", json!({"FlowLogIds": [id]})).await;
    let shown = &shown["FlowLogs"][0];
    assert_eq!((&shown["FlowLogStatus"], &shown["DeliverLogsStatus"]), (&json!("ACTIVE"), &json!("SUCCESS")));
    assert_eq!(shown["DeliverLogsErrorMessage"], Value::Null);
    let format = text(&shown["LogFormat"]);
    assert!(format.starts_with("${version} ${account-id} ") && format.ends_with("${log-status}"), "{format}");
    let twice = cloud.ok("CreateFlowLogs", create.clone()).await;
    assert_eq!(twice["Unsuccessful"][0]["Error"]["Code"], "FlowLogAlreadyExists");
    let mut absent = create.clone();
    absent["ResourceIds"] = json!(["vpc-00000000000000000"]);
    assert!(is_absent(&cloud.refused("CreateFlowLogs", absent).await, Resource::Vpc));
    let mut no_role = create.clone();
    no_role["LogDestinationType"] = json!("cloud-watch-logs");
    no_role["LogGroupName"] = json!("g");
    assert!(matches!(cloud.refused("CreateFlowLogs", no_role).await, ApiError::InvalidParameterValue { .. }));
    // There is no CloudWatch.
    let mut elsewhere = create.clone();
    elsewhere["LogDestinationType"] = json!("cloud-watch-logs");
    elsewhere["LogGroupName"] = json!("g");
    elsewhere["DeliverLogsPermissionArn"] = json!("arn:aws:iam::123456789012:role/logs");
    assert!(matches!(cloud.refused("CreateFlowLogs", elsewhere).await, ApiError::UnsupportedOperation { .. }));
    for (name, value) in [
        ("LogFormat", "${version} ${nonsense}"),
        ("LogFormat", "version"),
        ("LogDestination", "arn:aws:s3:::UPPER"),
        ("LogDestination", "arn:aws:s3:::logs/AWSLogs/"),
        ("LogDestinationType", "tape"),
    ] {
        let mut odd = create.clone();
        odd[name] = json!(value);
        let refused = cloud.refused("CreateFlowLogs", odd).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{name} {value}: {refused:?}");
    }
    cloud.ok("DeleteVpc", json!({"VpcId": vpc})).await;
    assert!(is_absent(&cloud.refused("DescribeFlowLogs", json!({"FlowLogIds": [id]})).await, Resource::FlowLog));
}

/// As a hived wrote it before interfaces had records of their own.
#[tokio::test]
async fn instances_of_before_get_their_interfaces() {
    let stores = Stores::memory();
    let before = Cloud::new(stores.clone()).await;
    let id = before.launch(json!({})).await;
    let record = before.instance(&id).await;
    // The same instance in a cloud whose networks are yet to be made.
    let fresh = Stores::memory();
    fresh.instances.create(&record.key(), &record).await.expect("created");
    let cloud = Cloud::new(fresh).await;
    let shown = cloud.ok("DescribeInstances", json!({"InstanceIds": [id]})).await;
    let instance = &shown["Reservations"][0]["Instances"][0];
    assert_eq!(instance["NetworkInterfaces"][0]["NetworkInterfaceId"], record.network.interface_id.to_string());
    assert_eq!(instance["SecurityGroups"][0]["GroupName"], "default");
    cloud.enter(&id, InstanceState::Running).await;
    let next = cloud.launch(json!({})).await;
    assert_ne!(cloud.instance(&next).await.network.private_ip, record.network.private_ip);
}
