//! Gateways, route tables, routes.

use super::{fault, is_absent, list};
use crate::cloud::{Cloud, text};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use hived::store::InstanceState;
use serde_json::{Value, json};

#[tokio::test]
async fn a_gateway_has_one_vpc_and_a_vpc_one_gateway() {
    let cloud = Cloud::memory().await;
    let (one, two) = (cloud.vpc("10.0.0.0/16").await, cloud.vpc("10.1.0.0/16").await);
    let gateway = cloud.gateway(&one).await;
    let attach = |vpc: &str| json!({"InternetGatewayId": gateway, "VpcId": vpc});
    assert_eq!(fault(&cloud.refused("AttachInternetGateway", attach(&two)).await), NetworkFault::AlreadyAssociated);
    assert_eq!(fault(&cloud.refused("DetachInternetGateway", attach(&two)).await), NetworkFault::NotAttached);
    let other = cloud.ok("CreateInternetGateway", json!({})).await["InternetGateway"]["InternetGatewayId"].clone();
    let taken = cloud.refused("AttachInternetGateway", json!({"InternetGatewayId": other, "VpcId": one})).await;
    assert!(matches!(taken, ApiError::InvalidParameterValue { .. }), "{taken:?}");
    let by_vpc = json!({"Filters": [{"Name": "attachment.vpc-id", "Values": [one]}]});
    let shown = cloud.ok("DescribeInternetGateways", by_vpc).await;
    assert_eq!(shown["InternetGateways"][0]["InternetGatewayId"], json!(gateway));
    assert_eq!(shown["InternetGateways"][0]["Attachments"][0]["State"], "available");
    cloud.ok("DetachInternetGateway", attach(&one)).await;
    cloud.ok("DeleteInternetGateway", json!({"InternetGatewayId": gateway})).await;
    assert!(is_absent(&cloud.refused("AttachInternetGateway", attach(&one)).await, Resource::InternetGateway));
}

#[tokio::test]
async fn subnets_follow_tables() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let create = json!({"VpcId": vpc, "ClientToken": "t"});
    let made = cloud.ok("CreateRouteTable", create.clone()).await;
    let table = text(&made["RouteTable"]["RouteTableId"]);
    assert_eq!(cloud.ok("CreateRouteTable", create).await["RouteTable"]["RouteTableId"], json!(table), "one token");
    let other = cloud.ok("CreateRouteTable", json!({"VpcId": vpc})).await["RouteTable"]["RouteTableId"].clone();
    let associate = json!({"RouteTableId": table, "SubnetId": subnet});
    let association = cloud.ok("AssociateRouteTable", associate.clone()).await["AssociationId"].clone();
    assert_eq!(cloud.ok("AssociateRouteTable", associate).await["AssociationId"], association);
    let twice = cloud.refused("AssociateRouteTable", json!({"RouteTableId": other, "SubnetId": subnet})).await;
    assert_eq!(fault(&twice), NetworkFault::AlreadyAssociated);
    let used = cloud.refused("DeleteRouteTable", json!({"RouteTableId": table})).await;
    assert!(matches!(used, ApiError::DependencyViolation { .. }), "{used:?}");
    let moved = json!({"AssociationId": association, "RouteTableId": other});
    let moved = cloud.ok("ReplaceRouteTableAssociation", moved).await["NewAssociationId"].clone();
    cloud.ok("DeleteRouteTable", json!({"RouteTableId": table})).await;
    assert!(is_absent(
        &cloud.refused("DisassociateRouteTable", json!({"AssociationId": association})).await,
        Resource::Association
    ));

    let elsewhere = cloud.vpc("10.1.0.0/16").await;
    let elsewhere = cloud.of_vpc("DescribeRouteTables", "RouteTables", &elsewhere).await;
    let wrong = json!({"AssociationId": moved, "RouteTableId": elsewhere[0]["RouteTableId"]});
    assert!(matches!(
        cloud.refused("ReplaceRouteTableAssociation", wrong).await,
        ApiError::InvalidParameterValue { .. }
    ));
    cloud.ok("DisassociateRouteTable", json!({"AssociationId": moved})).await;

    // Another table becomes the main one.
    let main = json!([{"Name": "association.main", "Values": ["true"]}, {"Name": "vpc-id", "Values": [vpc]}]);
    let old = cloud.ok("DescribeRouteTables", json!({"Filters": main})).await["RouteTables"][0].clone();
    let id = old["Associations"][0]["RouteTableAssociationId"].clone();
    let fixed = cloud.refused("DisassociateRouteTable", json!({"AssociationId": id})).await;
    assert!(matches!(fixed, ApiError::InvalidParameterValue { .. }), "{fixed:?}");
    cloud.ok("ReplaceRouteTableAssociation", json!({"AssociationId": id, "RouteTableId": other})).await;
    let new = cloud.ok("DescribeRouteTables", json!({"Filters": main})).await;
    assert_eq!((list(&new, "RouteTables").len(), &new["RouteTables"][0]["RouteTableId"]), (1, &other));
    cloud.ok("DeleteRouteTable", json!({"RouteTableId": old["RouteTableId"]})).await;
}

#[tokio::test]
async fn routes_and_where_they_lead() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let table = text(&cloud.ok("CreateRouteTable", json!({"VpcId": vpc})).await["RouteTable"]["RouteTableId"]);
    let gateway = cloud.gateway(&vpc).await;
    let to = |destination: &str, target: &str, id: &str| json!({"RouteTableId": table, "DestinationCidrBlock": destination, target: id});
    cloud.ok("CreateRoute", to("0.0.0.0/0", "GatewayId", &gateway)).await;
    let twice = cloud.refused("CreateRoute", to("0.0.0.0/0", "GatewayId", &gateway)).await;
    assert_eq!(fault(&twice), NetworkFault::RouteExists);
    let local = cloud.refused("CreateRoute", to("10.0.0.0/16", "GatewayId", &gateway)).await;
    assert_eq!(fault(&local), NetworkFault::RouteExists);
    let inside = cloud.refused("CreateRoute", to("10.0.5.0/24", "GatewayId", &gateway)).await;
    assert!(matches!(inside, ApiError::InvalidParameterValue { .. }), "{inside:?}");
    let absent = cloud.refused("CreateRoute", to("192.0.2.0/24", "GatewayId", "igw-00000000000000000")).await;
    assert!(is_absent(&absent, Resource::Gateway), "{absent:?}");
    let none = json!({"RouteTableId": table, "DestinationCidrBlock": "192.0.2.0/24"});
    assert!(matches!(cloud.refused("CreateRoute", none).await, ApiError::MissingParameter { .. }));
    let elsewhere = cloud.vpc("10.1.0.0/16").await;
    let elsewhere = cloud.gateway(&elsewhere).await;
    let wrong = cloud.refused("CreateRoute", to("192.0.2.0/24", "GatewayId", &elsewhere)).await;
    assert!(matches!(wrong, ApiError::InvalidParameterValue { .. }), "{wrong:?}");

    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let instance = cloud.launch(json!({"SubnetId": subnet})).await;
    cloud.ok("CreateRoute", to("192.0.2.0/24", "InstanceId", &instance)).await;
    cloud.ok("CreateRoute", to("10.0.5.0/24", "InstanceId", &instance)).await;
    let allocated = cloud.ok("AllocateAddress", json!({})).await;
    let nat = json!({"SubnetId": subnet, "AllocationId": allocated["AllocationId"]});
    let nat = text(&cloud.ok("CreateNatGateway", nat).await["NatGateway"]["NatGatewayId"]);
    cloud.ok("CreateRoute", to("198.51.100.0/24", "NatGatewayId", &nat)).await;
    let states = || async {
        let shown = cloud.ok("DescribeRouteTables", json!({"RouteTableIds": [table]})).await;
        let routes = list(&shown["RouteTables"][0], "Routes").to_vec();
        routes
            .iter()
            .map(|route| format!("{} {}", text(&route["DestinationCidrBlock"]), text(&route["State"])))
            .collect::<Vec<_>>()
    };
    assert!(states().await.iter().all(|route| route.ends_with(" active")), "{:?}", states().await);

    // What goes leaves its routes behind, and they lead nowhere.
    cloud.ok("DeleteNatGateway", json!({"NatGatewayId": nat})).await;
    assert!(states().await.contains(&"198.51.100.0/24 blackhole".to_owned()));
    let shown = cloud.ok("DescribeNatGateways", json!({"NatGatewayIds": [nat]})).await;
    assert_eq!(shown["NatGateways"][0]["State"], "deleted");
    cloud.ok("DetachInternetGateway", json!({"InternetGatewayId": gateway, "VpcId": vpc})).await;
    assert!(states().await.contains(&"0.0.0.0/0 blackhole".to_owned()));
    let account = crate::cloud::ACCOUNT.parse().expect("an account");
    let ended = instance.parse().expect("an id");
    let released = cloud.stores.networks.change(&account, |network| {
        network.release_instance(&ended);
        Ok(())
    });
    released.await.expect("released");
    cloud.enter(&instance, InstanceState::ShuttingDown).await;
    assert!(states().await.contains(&"192.0.2.0/24 blackhole".to_owned()));

    let replace = to("203.0.113.0/24", "GatewayId", &gateway);
    assert!(matches!(cloud.refused("ReplaceRoute", replace).await, ApiError::InvalidParameterValue { .. }));
    cloud.ok("AttachInternetGateway", json!({"InternetGatewayId": gateway, "VpcId": vpc})).await;
    cloud.ok("ReplaceRoute", to("192.0.2.0/24", "GatewayId", &gateway)).await;
    assert!(states().await.contains(&"192.0.2.0/24 active".to_owned()));
    let delete = |destination: &str| json!({"RouteTableId": table, "DestinationCidrBlock": destination});
    cloud.ok("DeleteRoute", delete("192.0.2.0/24")).await;
    assert!(is_absent(&cloud.refused("DeleteRoute", delete("192.0.2.0/24")).await, Resource::Route));
    let local = cloud.refused("DeleteRoute", delete("10.0.0.0/16")).await;
    assert!(matches!(local, ApiError::InvalidParameterValue { .. }), "{local:?}");
    let by_route = json!({"Filters": [{"Name": "route.state", "Values": ["blackhole"]}]});
    assert_eq!(cloud.ok("DescribeRouteTables", by_route).await["RouteTables"][0]["RouteTableId"], json!(table));
}

#[tokio::test]
async fn nat_gateways_hold_their_addresses() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/28").await;
    let allocation = text(&cloud.ok("AllocateAddress", json!({})).await["AllocationId"]);
    let create = json!({"SubnetId": subnet, "AllocationId": allocation, "ClientToken": "n"});
    assert_eq!(fault(&cloud.refused("CreateNatGateway", create.clone()).await), NetworkFault::NotAttached);
    let gateway = cloud.gateway(&vpc).await;
    // The token of a call that failed is free again.
    let made = cloud.ok("CreateNatGateway", create.clone()).await;
    let nat = text(&made["NatGateway"]["NatGatewayId"]);
    assert_eq!(cloud.ok("CreateNatGateway", create).await["NatGateway"]["NatGatewayId"], json!(nat));
    let twice = cloud.refused("CreateNatGateway", json!({"SubnetId": subnet, "AllocationId": allocation})).await;
    assert_eq!(fault(&twice), NetworkFault::AlreadyAssociated);
    let shown = cloud.ok("DescribeNatGateways", json!({"Filter": [{"Name": "state", "Values": ["available"]}]})).await;
    let address = &shown["NatGateways"][0]["NatGatewayAddresses"][0];
    assert_eq!(address["AllocationId"], json!(allocation));
    let interface = address["NetworkInterfaceId"].clone();
    let used = cloud.refused("DeleteNetworkInterface", json!({"NetworkInterfaceId": interface})).await;
    assert!(matches!(used, ApiError::InUse { .. }), "{used:?}");
    let held = cloud.refused("DisassociateAddress", json!({"AssociationId": address["AssociationId"]})).await;
    assert_eq!(fault(&held), NetworkFault::PublicAddressInUse);
    let held = cloud.refused("ReleaseAddress", json!({"AllocationId": allocation})).await;
    assert_eq!(fault(&held), NetworkFault::PublicAddressInUse);
    let attached = cloud.refused("DetachInternetGateway", json!({"InternetGatewayId": gateway, "VpcId": vpc})).await;
    assert!(matches!(attached, ApiError::DependencyViolation { .. }), "{attached:?}");
    let used = cloud.refused("DeleteSubnet", json!({"SubnetId": subnet})).await;
    assert!(matches!(used, ApiError::DependencyViolation { .. }), "{used:?}");
    cloud.ok("DeleteNatGateway", json!({"NatGatewayId": nat})).await;
    assert!(is_absent(&cloud.refused("DeleteNatGateway", json!({"NatGatewayId": nat})).await, Resource::NatGateway));
    cloud.ok("ReleaseAddress", json!({"AllocationId": allocation})).await;
    let private = json!({"SubnetId": subnet, "ConnectivityType": "private"});
    let private = cloud.ok("CreateNatGateway", private).await;
    assert_eq!(private["NatGateway"]["NatGatewayAddresses"][0]["PublicIp"], Value::Null);
    let missing = cloud.refused("CreateNatGateway", json!({"SubnetId": subnet})).await;
    assert_eq!(missing, ApiError::MissingParameter { name: "AllocationId".into() });
}
