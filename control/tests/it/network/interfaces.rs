//! Network interfaces, and launches with them.

use super::{fault, is_absent, list};
use crate::cloud::{ACCOUNT, Cloud, text};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use hived::store::InstanceState;
use serde_json::{Value, json};

#[tokio::test]
async fn an_interface_has_addresses_of_its_subnet() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/28").await;
    let made = cloud.interface(&subnet).await;
    assert_eq!((&made["PrivateIpAddress"], &made["Status"]), (&json!("10.0.0.4"), &json!("pending")));
    assert_eq!(made["Groups"][0]["GroupName"], "default");
    assert_eq!(made["PrivateDnsName"], "ip-10-0-0-4.ec2.internal");
    let with = |more: Value| {
        let mut params = json!({"SubnetId": subnet});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        params
    };
    let taken = cloud.refused("CreateNetworkInterface", with(json!({"PrivateIpAddress": "10.0.0.4"}))).await;
    assert_eq!(fault(&taken), NetworkFault::AddressInUse);
    for bad in ["10.0.0.3", "10.0.0.15", "10.0.1.5", "ten"] {
        let refused = cloud.refused("CreateNetworkInterface", with(json!({"PrivateIpAddress": bad}))).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{bad}: {refused:?}");
    }
    let listed = json!([{"PrivateIpAddress": "10.0.0.9", "Primary": true}, {"PrivateIpAddress": "10.0.0.5"}]);
    let token = json!({"PrivateIpAddresses": listed, "ClientToken": "t", "Description": "two"});
    let two = cloud.ok("CreateNetworkInterface", with(token.clone())).await;
    assert_eq!(two["NetworkInterface"]["PrivateIpAddress"], "10.0.0.9");
    assert_eq!(list(&two["NetworkInterface"], "PrivateIpAddresses").len(), 2);
    let again = cloud.ok("CreateNetworkInterface", with(token)).await;
    assert_eq!(again["NetworkInterface"]["NetworkInterfaceId"], two["NetworkInterface"]["NetworkInterfaceId"]);
    // Eleven addresses, three of them taken.
    cloud.ok("CreateNetworkInterface", with(json!({"SecondaryPrivateIpAddressCount": 7}))).await;
    let full = cloud.refused("CreateNetworkInterface", with(json!({}))).await;
    assert_eq!(fault(&full), NetworkFault::SubnetFull);
    let shown = cloud.ok("DescribeSubnets", json!({"SubnetIds": [subnet]})).await;
    assert_eq!(shown["Subnets"][0]["AvailableIpAddressCount"], 0);
    cloud.ok("DeleteNetworkInterface", json!({"NetworkInterfaceId": made["NetworkInterfaceId"]})).await;
    assert_eq!(cloud.interface(&subnet).await["PrivateIpAddress"], "10.0.0.4", "what was given back is given again");
    let by_address = json!([{"Name": "addresses.private-ip-address", "Values": ["10.0.0.5"]}]);
    let found = cloud.ok("DescribeNetworkInterfaces", json!({"Filters": by_address})).await;
    assert_eq!(found["NetworkInterfaces"][0]["Description"], "two");
    assert_eq!(found["NetworkInterfaces"][0]["Status"], "available");
}

#[tokio::test]
async fn secondary_addresses_move() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let one = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    let two = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    let assign = |id: &str, more: Value| {
        let mut params = json!({"NetworkInterfaceId": id});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        params
    };
    let named = json!({"PrivateIpAddresses": ["10.0.0.50"]});
    cloud.ok("AssignPrivateIpAddresses", assign(&one, named.clone())).await;
    let taken = cloud.refused("AssignPrivateIpAddresses", assign(&two, named)).await;
    assert_eq!(fault(&taken), NetworkFault::AddressInUse);
    let moved = json!({"PrivateIpAddresses": ["10.0.0.50"], "AllowReassignment": true});
    cloud.ok("AssignPrivateIpAddresses", assign(&two, moved)).await;
    let counted =
        cloud.ok("AssignPrivateIpAddresses", assign(&one, json!({"SecondaryPrivateIpAddressCount": 2}))).await;
    assert_eq!(list(&counted, "AssignedPrivateIpAddresses").len(), 2);
    let not_its = json!({"PrivateIpAddresses": ["10.0.0.50"]});
    let refused = cloud.refused("UnassignPrivateIpAddresses", assign(&one, not_its.clone())).await;
    assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{refused:?}");
    let primary = json!({"PrivateIpAddresses": ["10.0.0.4"]});
    let refused = cloud.refused("UnassignPrivateIpAddresses", assign(&one, primary.clone())).await;
    assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{refused:?}");
    let steal = json!({"PrivateIpAddresses": ["10.0.0.4"], "AllowReassignment": true});
    let refused = cloud.refused("AssignPrivateIpAddresses", assign(&two, steal)).await;
    assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "a primary one: {refused:?}");
    cloud.ok("UnassignPrivateIpAddresses", assign(&two, not_its)).await;
    let shown = cloud.ok("DescribeSubnets", json!({"SubnetIds": [subnet]})).await;
    assert_eq!(shown["Subnets"][0]["AvailableIpAddressCount"], 251 - 4);
}

#[tokio::test]
async fn attributes_of_an_interface() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let id = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    let group = cloud.group(&vpc, "web").await;
    let modify = |more: Value| {
        let mut params = json!({"NetworkInterfaceId": id});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        params
    };
    let ask = |attribute: &str| json!({"NetworkInterfaceId": id, "Attribute": attribute});
    cloud.ok("ModifyNetworkInterfaceAttribute", modify(json!({"Groups": [group]}))).await;
    assert_eq!(cloud.ok("DescribeNetworkInterfaceAttribute", ask("groupSet")).await["Groups"][0]["GroupName"], "web");
    cloud.ok("ModifyNetworkInterfaceAttribute", modify(json!({"SourceDestCheck": {"Value": false}}))).await;
    let shown = cloud.ok("DescribeNetworkInterfaceAttribute", ask("sourceDestCheck")).await;
    assert_eq!(shown["SourceDestCheck"]["Value"], false);
    cloud.ok("ResetNetworkInterfaceAttribute", modify(json!({"SourceDestCheck": "true"}))).await;
    let shown = cloud.ok("DescribeNetworkInterfaceAttribute", ask("sourceDestCheck")).await;
    assert_eq!(shown["SourceDestCheck"]["Value"], true);
    cloud.ok("ModifyNetworkInterfaceAttribute", modify(json!({"Description": {"Value": "anew"}}))).await;
    assert_eq!(cloud.ok("DescribeNetworkInterfaceAttribute", ask("description")).await["Description"]["Value"], "anew");
    let several = modify(json!({"Description": {"Value": "a"}, "SourceDestCheck": {"Value": true}}));
    let refused = cloud.refused("ModifyNetworkInterfaceAttribute", several).await;
    assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{refused:?}");
    // A group of another VPC is none.
    let default = cloud.default_vpc().await;
    let foreign = cloud.group(&default, "web").await;
    let refused = cloud.refused("ModifyNetworkInterfaceAttribute", modify(json!({"Groups": [foreign]}))).await;
    assert!(is_absent(&refused, Resource::SecurityGroup), "{refused:?}");
    let mut groups = vec![group];
    for n in 0..5 {
        groups.push(cloud.group(&vpc, &format!("g{n}")).await);
    }
    let many = cloud.refused("ModifyNetworkInterfaceAttribute", modify(json!({"Groups": groups}))).await;
    assert_eq!(fault(&many), NetworkFault::TooManyGroups);
}

#[tokio::test]
async fn a_launch_in_a_vpc_of_its_own() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.7.0/24").await;
    let group = cloud.group(&vpc, "web").await;
    let params = json!({"SubnetId": subnet, "SecurityGroupIds": [group], "PrivateIpAddress": "10.0.7.77"});
    let id = cloud.launch(params.clone()).await;
    let shown = cloud.ok("DescribeInstances", json!({"InstanceIds": [id]})).await;
    let instance = &shown["Reservations"][0]["Instances"][0];
    assert_eq!((&instance["VpcId"], &instance["SubnetId"]), (&json!(vpc), &json!(subnet)));
    assert_eq!(instance["PrivateIpAddress"], "10.0.7.77");
    assert_eq!(instance["SecurityGroups"][0]["GroupId"], json!(group));
    let interface = instance["NetworkInterfaces"][0]["NetworkInterfaceId"].clone();
    assert_eq!(cloud.instance(&id).await.network.interface_id.to_string(), text(&interface));
    let shown = cloud.ok("DescribeNetworkInterfaces", json!({"NetworkInterfaceIds": [interface]})).await;
    let attachment = &shown["NetworkInterfaces"][0]["Attachment"];
    assert_eq!((&attachment["InstanceId"], &attachment["DeleteOnTermination"]), (&json!(id), &json!(true)));
    let fixed = cloud.refused("DetachNetworkInterface", json!({"AttachmentId": attachment["AttachmentId"]})).await;
    assert!(matches!(fixed, ApiError::OperationNotPermitted { .. }), "{fixed:?}");
    let by_group = json!([{"Name": "instance.group-id", "Values": [group]}, {"Name": "vpc-id", "Values": [vpc]}]);
    let found = cloud.ok("DescribeInstances", json!({"Filters": by_group})).await;
    assert_eq!(list(&found, "Reservations").len(), 1);

    let mut run = json!({"ImageId": cloud.image_id, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
    if let (Value::Object(run), Value::Object(params)) = (&mut run, params) {
        run.extend(params);
    }
    assert_eq!(fault(&cloud.refused("RunInstances", run.clone()).await), NetworkFault::AddressInUse);
    run["PrivateIpAddress"] = json!("10.0.8.1");
    assert!(matches!(cloud.refused("RunInstances", run.clone()).await, ApiError::InvalidParameterValue { .. }));
    let default = cloud.default_vpc().await;
    run["PrivateIpAddress"] = json!("10.0.7.78");
    run["SecurityGroupIds"] = json!([cloud.group(&default, "web").await]);
    assert!(is_absent(&cloud.refused("RunInstances", run).await, Resource::SecurityGroup));

    let other = cloud.group(&vpc, "other").await;
    cloud.ok("ModifyInstanceAttribute", json!({"InstanceId": id, "Groups": [other]})).await;
    cloud.ok("ModifyInstanceAttribute", json!({"InstanceId": id, "SourceDestCheck": {"Value": false}})).await;
    let shown = cloud.ok("DescribeInstances", json!({"InstanceIds": [id]})).await;
    let instance = &shown["Reservations"][0]["Instances"][0];
    assert_eq!(
        (&instance["SecurityGroups"][0]["GroupName"], &instance["SourceDestCheck"]),
        (&json!("other"), &json!(false))
    );
    let asked = json!({"InstanceId": id, "Attribute": "sourceDestCheck"});
    assert_eq!(cloud.ok("DescribeInstanceAttribute", asked).await["SourceDestCheck"]["Value"], false);
}

#[tokio::test]
async fn launches_with_interfaces() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let second = cloud.subnet(&vpc, "10.0.1.0/24").await;
    let own = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    let specification = json!([
        {"DeviceIndex": 1, "SubnetId": second, "SecondaryPrivateIpAddressCount": 1, "Description": "second"},
        {"DeviceIndex": 0, "NetworkInterfaceId": own},
    ]);
    let id = cloud.launch(json!({"NetworkInterfaces": specification})).await;
    let shown = cloud.ok("DescribeInstances", json!({"InstanceIds": [id]})).await;
    let interfaces = list(&shown["Reservations"][0]["Instances"][0], "NetworkInterfaces").to_vec();
    assert_eq!(interfaces.len(), 2);
    assert_eq!(interfaces[0]["NetworkInterfaceId"], json!(own));
    assert_eq!(interfaces[0]["Attachment"]["DeleteOnTermination"], false);
    assert_eq!((&interfaces[1]["Description"], &interfaces[1]["SubnetId"]), (&json!("second"), &json!(second)));
    assert_eq!(list(&interfaces[1], "PrivateIpAddresses").len(), 2);
    let several =
        cloud.refused("ModifyInstanceAttribute", json!({"InstanceId": id, "SourceDestCheck": {"Value": false}}));
    assert!(matches!(several.await, ApiError::InvalidParameterValue { .. }));

    let run = |interfaces: Value, more: Value| {
        let mut params = json!({"ImageId": cloud.image_id, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1,
            "NetworkInterfaces": interfaces});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        params
    };
    let used =
        cloud.refused("RunInstances", run(json!([{"DeviceIndex": 0, "NetworkInterfaceId": own}]), json!({}))).await;
    assert!(matches!(used, ApiError::InUse { resource: Resource::NetworkInterface, .. }), "{used:?}");
    let free = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    for (interfaces, more) in [
        (json!([{"DeviceIndex": 1, "SubnetId": subnet}]), json!({})),
        (json!([{"DeviceIndex": 0, "SubnetId": subnet}, {"DeviceIndex": 0, "SubnetId": second}]), json!({})),
        (json!([{"DeviceIndex": 0, "SubnetId": subnet}]), json!({"SubnetId": subnet})),
        (json!([{"DeviceIndex": 0, "NetworkInterfaceId": free}]), json!({"MaxCount": 2})),
        (
            json!([{"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": true}, {"DeviceIndex": 1, "SubnetId": second}]),
            json!({}),
        ),
    ] {
        let refused = cloud.refused("RunInstances", run(interfaces.clone(), more)).await;
        assert!(matches!(refused, ApiError::InvalidParameterCombination { .. }), "{interfaces}: {refused:?}");
    }
    let three: Vec<Value> = (0..3).map(|n| json!({"DeviceIndex": n, "SubnetId": subnet})).collect();
    let refused = cloud.refused("RunInstances", run(json!(three), json!({}))).await;
    assert!(matches!(refused, ApiError::LimitExceeded { resource: Resource::Attachment, .. }), "{refused:?}");
    // Nothing is left of what was refused.
    assert_eq!(cloud.of_vpc("DescribeNetworkInterfaces", "NetworkInterfaces", &vpc).await.len(), 3);
}

#[tokio::test]
async fn interfaces_attach_to_stopped_instances() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let instance = cloud.launch(json!({"SubnetId": subnet})).await;
    let id = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    let attach = |index: i32| json!({"NetworkInterfaceId": id, "InstanceId": instance, "DeviceIndex": index});
    let running = cloud.refused("AttachNetworkInterface", attach(1)).await;
    assert!(matches!(running, ApiError::IncorrectInstanceState { .. }), "{running:?}");
    cloud.enter(&instance, InstanceState::Stopped).await;
    let taken = cloud.refused("AttachNetworkInterface", attach(0)).await;
    assert!(matches!(taken, ApiError::InvalidParameterValue { .. }), "{taken:?}");
    let attachment = cloud.ok("AttachNetworkInterface", attach(1)).await["AttachmentId"].clone();
    let twice = cloud.refused("AttachNetworkInterface", attach(2)).await;
    assert!(matches!(twice, ApiError::InUse { .. }), "{twice:?}");
    let used = cloud.refused("DeleteNetworkInterface", json!({"NetworkInterfaceId": id})).await;
    assert!(matches!(used, ApiError::InUse { .. }), "{used:?}");
    let third = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    let over = json!({"NetworkInterfaceId": third, "InstanceId": instance, "DeviceIndex": 2});
    let over = cloud.refused("AttachNetworkInterface", over).await;
    assert!(matches!(over, ApiError::LimitExceeded { resource: Resource::Attachment, .. }), "{over:?}");
    // A t3.nano's interface has two addresses.
    let many = json!({"NetworkInterfaceId": id, "SecondaryPrivateIpAddressCount": 2});
    assert_eq!(fault(&cloud.refused("AssignPrivateIpAddresses", many).await), NetworkFault::TooManyAddresses);
    let keep =
        json!({"NetworkInterfaceId": id, "Attachment": {"AttachmentId": attachment, "DeleteOnTermination": true}});
    cloud.ok("ModifyNetworkInterfaceAttribute", keep).await;
    let shown = cloud.ok("DescribeNetworkInterfaces", json!({"NetworkInterfaceIds": [id]})).await;
    assert_eq!(shown["NetworkInterfaces"][0]["Attachment"]["DeleteOnTermination"], true);
    cloud.ok("DetachNetworkInterface", json!({"AttachmentId": attachment})).await;
    assert!(is_absent(
        &cloud.refused("DetachNetworkInterface", json!({"AttachmentId": attachment})).await,
        Resource::Attachment
    ));
    cloud.ok("DeleteNetworkInterface", json!({"NetworkInterfaceId": id})).await;
}

/// What the node does when an instance has ended.
#[tokio::test]
async fn an_end_takes_what_goes_with_it() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let kept = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    let specification = json!([{"DeviceIndex": 0, "SubnetId": subnet}, {"DeviceIndex": 1, "NetworkInterfaceId": kept}]);
    let id = cloud.launch(json!({"NetworkInterfaces": specification})).await;
    let (account, instance) = (ACCOUNT.parse().expect("an account"), id.parse().expect("an id"));
    let released = cloud.stores.networks.change(&account, |network| {
        network.release_instance(&instance);
        Ok(())
    });
    released.await.expect("released");
    let left = cloud.of_vpc("DescribeNetworkInterfaces", "NetworkInterfaces", &vpc).await;
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0]["NetworkInterfaceId"], &left[0]["Status"]), (&json!(kept), &json!("available")));
    let shown = cloud.ok("DescribeSubnets", json!({"SubnetIds": [subnet]})).await;
    assert_eq!(shown["Subnets"][0]["AvailableIpAddressCount"], 250);
}
