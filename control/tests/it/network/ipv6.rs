//! IPv6: blocks, addresses, routes, egress-only gateways.

use super::{OTHER, fault, is_absent, list};
use crate::cloud::{Cloud, text};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use serde_json::{Value, json};

/// The pool of the tests has four blocks, of which the first is the nodes'.
const FIRST: &str = "2001:db8:4800:100::/56";

impl Cloud {
    async fn vpc_with_ipv6(&self) -> (String, String) {
        let params = json!({"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": true});
        let made = self.ok("CreateVpc", params).await;
        let blocks = list(&made["Vpc"], "Ipv6CidrBlockAssociationSet");
        assert_eq!(blocks[0]["Ipv6CidrBlockState"]["State"], "associated");
        (text(&made["Vpc"]["VpcId"]), text(&blocks[0]["Ipv6CidrBlock"]))
    }

    /// In the VPC of the first block.
    async fn subnet_with_ipv6(&self, vpc: &str) -> String {
        let params = json!({"VpcId": vpc, "CidrBlock": "10.0.1.0/24", "Ipv6CidrBlock": "2001:db8:4800:101::/64"});
        text(&self.ok("CreateSubnet", params).await["Subnet"]["SubnetId"])
    }

    async fn addresses_of(&self, interface: &Value) -> Vec<String> {
        let shown = self.ok("DescribeNetworkInterfaces", json!({"NetworkInterfaceIds": [interface]})).await;
        let shown = list(&shown["NetworkInterfaces"][0], "Ipv6Addresses");
        shown.iter().map(|address| text(&address["Ipv6Address"])).collect()
    }
}

#[tokio::test]
async fn a_vpc_gets_a_block_of_the_pool_and_gives_it_back() {
    let cloud = Cloud::memory().await;
    let (vpc, block) = cloud.vpc_with_ipv6().await;
    assert_eq!(block, FIRST, "the pool's first block is the nodes'");
    let by_block = json!({"Filters": [{"Name": "ipv6-cidr-block-association.ipv6-cidr-block", "Values": [FIRST]}]});
    assert_eq!(cloud.ok("DescribeVpcs", by_block).await["Vpcs"][0]["VpcId"], vpc);
    let add = json!({"VpcId": vpc, "AmazonProvidedIpv6CidrBlock": true});
    let second = cloud.ok("AssociateVpcCidrBlock", add.clone()).await["Ipv6CidrBlockAssociation"].clone();
    assert_eq!(second["Ipv6CidrBlock"], "2001:db8:4800:200::/56");
    assert_eq!(second["Ipv6CidrBlockState"]["State"], "associating");
    // Another account's is another one; and then there is none.
    let params = json!({"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": true});
    let made = cloud.call_as(OTHER, "CreateVpc", params.clone()).await.expect("made");
    assert_eq!(made["Vpc"]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"], "2001:db8:4800:300::/56");
    for (action, params) in [("AssociateVpcCidrBlock", &add), ("CreateVpc", &params)] {
        assert_eq!(fault(&cloud.refused(action, params.clone()).await), NetworkFault::NoPublicAddresses, "{action}");
    }
    let both = json!({"VpcId": vpc, "AmazonProvidedIpv6CidrBlock": true, "CidrBlock": "10.1.0.0/16"});
    let refused = cloud.refused("AssociateVpcCidrBlock", both).await;
    assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{refused:?}");
    let own = json!({"VpcId": vpc, "Ipv6CidrBlock": "2001:db8:9::/56", "Ipv6Pool": "ipv6pool-ec2-1"});
    let refused = cloud.refused("AssociateVpcCidrBlock", own).await;
    assert!(matches!(refused, ApiError::UnsupportedOperation { .. }), "{refused:?}");
    // What is given back is somebody else's next; so is that of a VPC that goes.
    cloud.ok("DisassociateVpcCidrBlock", json!({"AssociationId": second["AssociationId"]})).await;
    let gone = cloud.refused("DisassociateVpcCidrBlock", json!({"AssociationId": second["AssociationId"]})).await;
    assert!(is_absent(&gone, Resource::CidrAssociation), "{gone:?}");
    let third = cloud.ok("AssociateVpcCidrBlock", add.clone()).await;
    assert_eq!(third["Ipv6CidrBlockAssociation"]["Ipv6CidrBlock"], second["Ipv6CidrBlock"]);
    cloud.ok("DeleteVpc", json!({"VpcId": vpc})).await;
    assert_eq!(cloud.vpc_with_ipv6().await.1, FIRST);
    // A block that was claimed for nothing is given back.
    for n in 1..4 {
        cloud.vpc(&format!("10.{n}.0.0/16")).await;
    }
    let over = cloud.refused("CreateVpc", params).await;
    assert!(matches!(over, ApiError::LimitExceeded { resource: Resource::Vpc, .. }), "{over:?}");
    let claims = cloud.stores.public_addresses.range("").await.expect("claims");
    let blocks = claims.iter().filter(|claim| claim.key.starts_with("v6-")).count();
    assert_eq!(blocks, 2, "{claims:?}");
}

#[tokio::test]
async fn a_vpc_is_open_to_ipv6_as_it_is_to_ipv4() {
    let cloud = Cloud::memory().await;
    let (vpc, _) = cloud.vpc_with_ipv6().await;
    let acl = cloud.of_vpc("DescribeNetworkAcls", "NetworkAcls", &vpc).await;
    let entries = list(&acl[0], "Entries");
    let ipv6: Vec<_> = entries.iter().filter(|entry| entry["Ipv6CidrBlock"] == "::/0").collect();
    let number = |entry: &&Value| (entry["Egress"].as_bool(), entry["RuleNumber"].as_i64(), text(&entry["RuleAction"]));
    let mut numbers: Vec<_> = ipv6.iter().map(number).collect();
    numbers.sort();
    let expected = [false, true]
        .map(|egress| [(Some(egress), Some(101), "allow".to_owned()), (Some(egress), Some(32768), "deny".to_owned())]);
    assert_eq!(numbers, expected.concat());
    // Rules of IPv6 take none of the room that there is for those of IPv4: beside 100 and 101 there are 19 of each.
    let acl = acl[0]["NetworkAclId"].clone();
    let entry = |family: &str, number: usize| {
        let cidr = if family == "CidrBlock" { "10.9.0.0/16" } else { "2001:db8:9::/48" };
        json!({"NetworkAclId": acl, "RuleNumber": number, "Egress": false, "Protocol": "-1", "RuleAction": "deny", family: cidr})
    };
    for (family, first) in [("CidrBlock", 200), ("Ipv6CidrBlock", 300)] {
        for number in first..first + 19 {
            cloud.ok("CreateNetworkAclEntry", entry(family, number)).await;
        }
        let over = cloud.refused("CreateNetworkAclEntry", entry(family, first + 19)).await;
        assert_eq!(fault(&over), NetworkFault::TooManyAclEntries, "{family}");
    }
    cloud.group(&vpc, "new").await;
    for group in cloud.of_vpc("DescribeSecurityGroups", "SecurityGroups", &vpc).await {
        let out = list(&group, "IpPermissionsEgress");
        assert_eq!(out[0]["Ipv6Ranges"][0]["CidrIpv6"], "::/0", "{group}");
    }
    let made = cloud.ok("CreateNetworkAcl", json!({"VpcId": vpc})).await;
    let last: Vec<_> = list(&made["NetworkAcl"], "Entries").iter().map(|entry| entry["RuleNumber"].clone()).collect();
    assert_eq!(last, [32767, 32768, 32767, 32768]);
}

#[tokio::test]
async fn subnets_take_blocks_of_their_vpc() {
    let cloud = Cloud::memory().await;
    let (vpc, _) = cloud.vpc_with_ipv6().await;
    let plain = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let add = |cidr: &str| json!({"SubnetId": plain, "Ipv6CidrBlock": cidr});
    for bad in ["2001:db8:4800:200::/64", "2001:db8:4800:100::/62", "2001:db8:4800:100::/68", "2001:db8:4800:100::/52"]
    {
        let refused = cloud.refused("AssociateSubnetCidrBlock", add(bad)).await;
        assert_eq!(fault(&refused), NetworkFault::SubnetRange, "{bad}");
    }
    let on = json!({"SubnetId": plain, "AssignIpv6AddressOnCreation": {"Value": true}});
    let refused = cloud.refused("ModifySubnetAttribute", on.clone()).await;
    assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{refused:?}");
    let subnet = cloud.subnet_with_ipv6(&vpc).await;
    let taken = cloud.refused("AssociateSubnetCidrBlock", add("2001:db8:4800:100::/60")).await;
    assert_eq!(fault(&taken), NetworkFault::SubnetConflict);
    let added = cloud.ok("AssociateSubnetCidrBlock", add("2001:db8:4800:1f0::/60")).await;
    let association = added["Ipv6CidrBlockAssociation"]["AssociationId"].clone();
    let over = cloud.refused("AssociateSubnetCidrBlock", add("2001:db8:4800:1e0::/60")).await;
    assert!(matches!(over, ApiError::LimitExceeded { resource: Resource::SubnetCidrAssociation, .. }), "{over:?}");
    let filter = json!([{"Name": "ipv6-cidr-block-association.association-id", "Values": [association]}]);
    let shown = cloud.ok("DescribeSubnets", json!({"Filters": filter})).await;
    assert_eq!(shown["Subnets"][0]["SubnetId"], plain);
    assert_eq!(shown["Subnets"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"], "2001:db8:4800:1f0::/60");
    // What is used stays.
    cloud.ok("ModifySubnetAttribute", on).await;
    let interface = cloud.interface(&plain).await;
    assert_eq!(list(&interface, "Ipv6Addresses").len(), 1, "{interface}");
    let used = cloud.refused("DisassociateSubnetCidrBlock", json!({"AssociationId": association})).await;
    assert!(matches!(used, ApiError::DependencyViolation { .. }), "{used:?}");
    cloud.ok("DeleteNetworkInterface", json!({"NetworkInterfaceId": interface["NetworkInterfaceId"]})).await;
    cloud.ok("DisassociateSubnetCidrBlock", json!({"AssociationId": association})).await;
    let shown = cloud.ok("DescribeSubnets", json!({"SubnetIds": [plain]})).await;
    assert_eq!(shown["Subnets"][0]["AssignIpv6AddressOnCreation"], false);
    assert_eq!(list(&cloud.interface(&plain).await, "Ipv6Addresses").len(), 0);
    let gone = cloud.refused("DisassociateSubnetCidrBlock", json!({"AssociationId": association})).await;
    assert!(is_absent(&gone, Resource::SubnetCidrAssociation), "{gone:?}");
    let of_vpc = cloud.ok("DescribeVpcs", json!({"VpcIds": [vpc]})).await;
    let association = &of_vpc["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["AssociationId"];
    let used = cloud.refused("DisassociateVpcCidrBlock", json!({"AssociationId": association})).await;
    assert!(matches!(used, ApiError::DependencyViolation { .. }), "{used:?}");
    cloud.ok("DeleteSubnet", json!({"SubnetId": subnet})).await;
    cloud.ok("DisassociateVpcCidrBlock", json!({"AssociationId": association})).await;
}

#[tokio::test]
async fn interfaces_have_ipv6_addresses_of_their_subnet() {
    let cloud = Cloud::memory().await;
    let (vpc, _) = cloud.vpc_with_ipv6().await;
    let subnet = cloud.subnet_with_ipv6(&vpc).await;
    let named = |last: &str| format!("2001:db8:4800:101::{last}");
    let make = |more: Value| {
        let mut params = json!({"SubnetId": subnet});
        params
            .as_object_mut()
            .zip(more.as_object())
            .expect("objects")
            .0
            .extend(more.as_object().cloned().expect("one"));
        params
    };
    let addresses = json!([{"Ipv6Address": named("5")}, {"Ipv6Address": named("a")}]);
    let params = make(json!({"Ipv6Addresses": addresses, "EnablePrimaryIpv6": true}));
    let interface = cloud.ok("CreateNetworkInterface", params.clone()).await["NetworkInterface"].clone();
    let id = interface["NetworkInterfaceId"].clone();
    assert_eq!(interface["Ipv6Addresses"][0], json!({"Ipv6Address": named("5"), "IsPrimaryIpv6": true}));
    let taken = cloud.refused("CreateNetworkInterface", params).await;
    assert_eq!(fault(&taken), NetworkFault::AddressInUse);
    for bad in ["2001:db8:4800:102::5", "2001:db8:4800:101::3", "10.0.1.9", "x"] {
        let params = make(json!({"Ipv6Addresses": [{"Ipv6Address": bad}]}));
        let refused = cloud.refused("CreateNetworkInterface", params).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{bad}: {refused:?}");
    }
    let params = make(json!({"Ipv6Addresses": [{"Ipv6Address": named("6")}], "Ipv6AddressCount": 1}));
    let refused = cloud.refused("CreateNetworkInterface", params).await;
    assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{refused:?}");
    let params = make(json!({"EnablePrimaryIpv6": true}));
    let refused = cloud.refused("CreateNetworkInterface", params).await;
    assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{refused:?}");
    // More, and fewer.
    let more = json!({"NetworkInterfaceId": id, "Ipv6AddressCount": 2});
    let assigned = cloud.ok("AssignIpv6Addresses", more).await;
    let assigned = list(&assigned, "AssignedIpv6Addresses").to_vec();
    assert_eq!(assigned.len(), 2);
    assert!(assigned.iter().all(|address| text(address).starts_with("2001:db8:4800:101:")), "{assigned:?}");
    assert_eq!(cloud.addresses_of(&id).await.len(), 4);
    let by_address = json!([{"Name": "ipv6-addresses.ipv6-address", "Values": [assigned[1]]}]);
    let found = cloud.ok("DescribeNetworkInterfaces", json!({"Filters": by_address})).await;
    assert_eq!(found["NetworkInterfaces"][0]["NetworkInterfaceId"], id);
    let fewer = |addresses: Value| json!({"NetworkInterfaceId": id, "Ipv6Addresses": addresses});
    let primary = cloud.refused("UnassignIpv6Addresses", fewer(json!([named("5")]))).await;
    assert!(matches!(primary, ApiError::OperationNotPermitted { .. }), "{primary:?}");
    let absent = cloud.refused("UnassignIpv6Addresses", fewer(json!([named("a"), named("b")]))).await;
    assert!(matches!(absent, ApiError::InvalidParameterValue { .. }), "{absent:?}");
    cloud.ok("UnassignIpv6Addresses", fewer(json!([named("a"), assigned[0]]))).await;
    assert_eq!(cloud.addresses_of(&id).await, [named("5"), text(&assigned[1])]);
    let again = json!({"NetworkInterfaceId": id, "Ipv6Addresses": [named("a")]});
    cloud.ok("AssignIpv6Addresses", again).await;
    let over = json!({"NetworkInterfaceId": id, "Ipv6AddressCount": 50});
    assert_eq!(fault(&cloud.refused("AssignIpv6Addresses", over).await), NetworkFault::TooManyAddresses);
    assert_eq!(cloud.addresses_of(&id).await.len(), 3, "nothing of what was refused");
    // A subnet without has none to give.
    let plain = cloud.subnet(&vpc, "10.0.2.0/24").await;
    let refused = cloud.refused("CreateNetworkInterface", json!({"SubnetId": plain, "Ipv6AddressCount": 1})).await;
    assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{refused:?}");
}

#[tokio::test]
async fn launches_get_ipv6_addresses() {
    let cloud = Cloud::memory().await;
    let (vpc, _) = cloud.vpc_with_ipv6().await;
    let subnet = cloud.subnet_with_ipv6(&vpc).await;
    let on = json!({"SubnetId": subnet, "AssignIpv6AddressOnCreation": {"Value": true}});
    cloud.ok("ModifySubnetAttribute", on).await;
    let shown = async |id: &str| {
        cloud.ok("DescribeInstances", json!({"InstanceIds": [id]})).await["Reservations"][0]["Instances"][0].clone()
    };
    let counts = [(json!({}), 1), (json!({"Ipv6AddressCount": 0}), 0), (json!({"Ipv6AddressCount": 2}), 2)];
    for (more, count) in counts {
        let mut params = json!({"SubnetId": subnet, "MetadataOptions": {"HttpProtocolIpv6": "enabled"}});
        params.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let instance = shown(&cloud.launch(params).await).await;
        let addresses = list(&instance["NetworkInterfaces"][0], "Ipv6Addresses");
        assert_eq!(addresses.len(), count, "{more}");
        assert_eq!(instance["Ipv6Address"], addresses.first().map_or(Value::Null, |a| a["Ipv6Address"].clone()));
        assert_eq!(instance["MetadataOptions"]["HttpProtocolIpv6"], "enabled");
    }
    let address = "2001:db8:4800:101::77";
    let interface = json!([{"DeviceIndex": 0, "SubnetId": subnet, "Ipv6Addresses": [{"Ipv6Address": address}]}]);
    let id = cloud.launch(json!({"NetworkInterfaces": interface})).await;
    let by_address =
        json!({"Filters": [{"Name": "network-interface.ipv6-addresses.ipv6-address", "Values": [address]}]});
    let found = cloud.ok("DescribeInstances", by_address).await;
    assert_eq!(found["Reservations"][0]["Instances"][0]["InstanceId"], id);
    // A t3.nano has two of each family.
    let params = json!({"ImageId": cloud.image_id, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1,
        "SubnetId": subnet, "Ipv6AddressCount": 3});
    assert_eq!(fault(&cloud.refused("RunInstances", params).await), NetworkFault::TooManyAddresses);
    let params = json!({"ImageId": cloud.image_id, "InstanceType": "t3.nano", "MinCount": 2, "MaxCount": 2,
        "SubnetId": subnet, "Ipv6Addresses": [{"Ipv6Address": "2001:db8:4800:101::78"}]});
    let refused = cloud.refused("RunInstances", params).await;
    assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{refused:?}");
}

#[tokio::test]
async fn ipv6_routes_and_egress_only_gateways() {
    let cloud = Cloud::memory().await;
    let (vpc, block) = cloud.vpc_with_ipv6().await;
    let tags = json!([{"ResourceType": "egress-only-internet-gateway", "Tags": [{"Key": "Name", "Value": "out"}]}]);
    let params = json!({"VpcId": vpc, "ClientToken": "t", "TagSpecifications": tags});
    let made = cloud.ok("CreateEgressOnlyInternetGateway", params.clone()).await;
    let gateway = made["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"].clone();
    assert_eq!(made["EgressOnlyInternetGateway"]["Attachments"][0], json!({"State": "attached", "VpcId": vpc}));
    let again = cloud.ok("CreateEgressOnlyInternetGateway", params).await;
    assert_eq!(again["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"], gateway, "one token, one gateway");
    let by_tag = json!({"Filters": [{"Name": "tag:Name", "Values": ["out"]}]});
    let shown = cloud.ok("DescribeEgressOnlyInternetGateways", by_tag).await;
    assert_eq!(shown["EgressOnlyInternetGateways"][0]["EgressOnlyInternetGatewayId"], gateway);
    let stays = cloud.refused("DeleteVpc", json!({"VpcId": vpc})).await;
    assert!(matches!(stays, ApiError::DependencyViolation { .. }), "{stays:?}");

    let tables = cloud.of_vpc("DescribeRouteTables", "RouteTables", &vpc).await;
    let table = tables[0]["RouteTableId"].clone();
    assert_eq!(tables[0]["Routes"][1]["DestinationIpv6CidrBlock"], block);
    let route = |destination: &str, key: &str, target: &Value| {
        let family = if destination.contains(':') { "DestinationIpv6CidrBlock" } else { "DestinationCidrBlock" };
        json!({"RouteTableId": table, family: destination, key: target})
    };
    let to_gateway = |destination: &str| route(destination, "EgressOnlyInternetGatewayId", &gateway);
    let refused = cloud.refused("CreateRoute", to_gateway("0.0.0.0/0")).await;
    assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{refused:?}");
    let specific = cloud.refused("CreateRoute", to_gateway("2001:db8:4800:180::/60")).await;
    assert!(matches!(specific, ApiError::InvalidParameterValue { .. }), "{specific:?}");
    assert_eq!(fault(&cloud.refused("CreateRoute", to_gateway(&block)).await), NetworkFault::RouteExists);
    let family = json!({"PrefixListName": "old", "AddressFamily": "IPv4", "MaxEntries": 1});
    let ipv4 = cloud.ok("CreateManagedPrefixList", family).await["PrefixList"]["PrefixListId"].clone();
    let by_list =
        json!({"RouteTableId": table, "DestinationPrefixListId": ipv4, "EgressOnlyInternetGatewayId": gateway});
    let refused = cloud.refused("CreateRoute", by_list).await;
    assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{refused:?}");
    cloud.ok("CreateRoute", to_gateway("::/0")).await;
    assert_eq!(fault(&cloud.refused("CreateRoute", to_gateway("::/0")).await), NetworkFault::RouteExists);
    let internet = json!(cloud.gateway(&vpc).await);
    cloud.ok("CreateRoute", route("2000::/3", "GatewayId", &internet)).await;
    let shown = async || {
        let shown = cloud.ok("DescribeRouteTables", json!({"RouteTableIds": [table]})).await;
        list(&shown["RouteTables"][0], "Routes").to_vec()
    };
    let last = shown().await[2].clone();
    assert_eq!((&last["EgressOnlyInternetGatewayId"], &last["State"]), (&gateway, &json!("active")));
    let by_route = json!({"Filters": [{"Name": "route.egress-only-internet-gateway-id", "Values": [gateway]}]});
    assert_eq!(cloud.ok("DescribeRouteTables", by_route).await["RouteTables"][0]["RouteTableId"], table);
    cloud.ok("DeleteEgressOnlyInternetGateway", json!({"EgressOnlyInternetGatewayId": gateway})).await;
    assert_eq!(shown().await[2]["State"], "blackhole");
    cloud.ok("ReplaceRoute", route("::/0", "GatewayId", &internet)).await;
    assert_eq!(shown().await[2]["GatewayId"], internet);
    cloud.ok("DeleteRoute", json!({"RouteTableId": table, "DestinationIpv6CidrBlock": "::/0"})).await;
    assert_eq!(shown().await.len(), 3);
    // What is the VPC's is local, whatever was said of it before.
    let of_vpc = cloud.ok("DescribeVpcs", json!({"VpcIds": [vpc]})).await;
    let association = &of_vpc["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["AssociationId"];
    cloud.ok("DisassociateVpcCidrBlock", json!({"AssociationId": association})).await;
    cloud.ok("CreateRoute", route(&block, "GatewayId", &internet)).await;
    let again = cloud.ok("AssociateVpcCidrBlock", json!({"VpcId": vpc, "AmazonProvidedIpv6CidrBlock": true})).await;
    assert_eq!(again["Ipv6CidrBlockAssociation"]["Ipv6CidrBlock"], block);
    let routes = shown().await;
    let to_block: Vec<_> = routes.iter().filter(|route| route["DestinationIpv6CidrBlock"] == block).collect();
    assert_eq!((to_block.len(), &to_block[0]["GatewayId"]), (1, &json!("local")));
    let local = cloud.refused("DeleteRoute", json!({"RouteTableId": table, "DestinationIpv6CidrBlock": block})).await;
    assert!(matches!(local, ApiError::InvalidParameterValue { .. }), "{local:?}");
    let gone = cloud.refused("DeleteEgressOnlyInternetGateway", json!({"EgressOnlyInternetGatewayId": gateway})).await;
    assert!(is_absent(&gone, Resource::Gateway), "{gone:?}");
    let shown = json!({"EgressOnlyInternetGatewayIds": [gateway]});
    assert_eq!(
        list(&cloud.ok("DescribeEgressOnlyInternetGateways", shown).await, "EgressOnlyInternetGateways").len(),
        0
    );
}
