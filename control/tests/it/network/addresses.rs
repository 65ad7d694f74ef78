//! Elastic IPs, and public addresses of launches.

use super::{OTHER, fault, is_absent, list};
use crate::cloud::{Cloud, text};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use hived::store::Stores;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn an_address_is_allocated_used_and_released() {
    let cloud = Cloud::memory().await;
    let made = cloud.ok("AllocateAddress", json!({"Domain": "vpc"})).await;
    assert_eq!((&made["PublicIp"], &made["Domain"]), (&json!("203.0.113.1"), &json!("vpc")));
    let allocation = text(&made["AllocationId"]);
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let instance = cloud.launch(json!({"SubnetId": subnet})).await;
    let associate = json!({"AllocationId": allocation, "InstanceId": instance});
    assert_eq!(fault(&cloud.refused("AssociateAddress", associate.clone()).await), NetworkFault::NotAttached);
    cloud.gateway(&vpc).await;
    let association = cloud.ok("AssociateAddress", associate.clone()).await["AssociationId"].clone();
    assert_eq!(cloud.ok("AssociateAddress", associate).await["AssociationId"], association, "the same again");
    let shown = cloud.ok("DescribeAddresses", json!({"PublicIps": ["203.0.113.1"]})).await;
    assert_eq!(
        (&shown["Addresses"][0]["InstanceId"], &shown["Addresses"][0]["PrivateIpAddress"]),
        (&json!(instance), &json!("10.0.0.4"))
    );
    let described = cloud.ok("DescribeInstances", json!({"InstanceIds": [instance]})).await;
    let described = &described["Reservations"][0]["Instances"][0];
    assert_eq!(described["PublicIpAddress"], "203.0.113.1");
    assert_eq!(described["NetworkInterfaces"][0]["Association"]["PublicIp"], "203.0.113.1");
    assert_eq!(
        fault(&cloud.refused("ReleaseAddress", json!({"AllocationId": allocation})).await),
        NetworkFault::PublicAddressInUse
    );

    let interface = text(&cloud.interface(&subnet).await["NetworkInterfaceId"]);
    let keep = json!({"AllocationId": allocation, "NetworkInterfaceId": interface, "AllowReassociation": false});
    assert_eq!(fault(&cloud.refused("AssociateAddress", keep).await), NetworkFault::AlreadyAssociated);
    cloud.ok("AssociateAddress", json!({"AllocationId": allocation, "NetworkInterfaceId": interface})).await;
    let second = text(&cloud.ok("AllocateAddress", json!({})).await["AllocationId"]);
    let over = json!({"AllocationId": second, "NetworkInterfaceId": interface});
    assert_eq!(fault(&cloud.refused("AssociateAddress", over.clone()).await), NetworkFault::AlreadyAssociated);
    let not_its = json!({"AllocationId": second, "NetworkInterfaceId": interface, "PrivateIpAddress": "10.0.0.99"});
    assert!(matches!(cloud.refused("AssociateAddress", not_its).await, ApiError::InvalidParameterValue { .. }));
    // The interface goes; the address stays the account's.
    cloud.ok("DeleteNetworkInterface", json!({"NetworkInterfaceId": interface})).await;
    let shown = cloud.ok("DescribeAddresses", json!({"AllocationIds": [allocation]})).await;
    assert_eq!(shown["Addresses"][0]["AssociationId"], Value::Null);
    assert!(is_absent(
        &cloud.refused("DisassociateAddress", json!({"AssociationId": association})).await,
        Resource::Association
    ));
    cloud.ok("ReleaseAddress", json!({"AllocationId": allocation})).await;
    assert!(is_absent(
        &cloud.refused("ReleaseAddress", json!({"AllocationId": allocation})).await,
        Resource::Allocation
    ));
    let gone = cloud.refused("DescribeAddresses", json!({"PublicIps": ["203.0.113.1"]})).await;
    assert!(is_absent(&gone, Resource::Address), "{gone:?}");
    let by_ip = cloud.refused("ReleaseAddress", json!({"PublicIp": "203.0.113.2"})).await;
    assert!(matches!(by_ip, ApiError::InvalidParameterValue { .. }), "{by_ip:?}");
    let attributes =
        cloud.ok("DescribeAddressesAttribute", json!({"AllocationIds": [second], "Attribute": "domain-name"})).await;
    assert_eq!(attributes["Addresses"][0]["PublicIp"], "203.0.113.2");
}

#[tokio::test]
async fn pools_and_quotas_have_ends() {
    let cloud = Cloud::memory().await;
    for _ in 0..5 {
        cloud.ok("AllocateAddress", json!({})).await;
    }
    let over = cloud.refused("AllocateAddress", json!({})).await;
    assert!(matches!(over, ApiError::LimitExceeded { resource: Resource::Allocation, .. }), "{over:?}");
    // Fourteen addresses for all accounts together.
    for account in [OTHER, "333333333333"] {
        hived::seed(&cloud.stores, &crate::cloud::config()).await.expect("seeded");
        for _ in 0..5 {
            if let Err(error) = cloud.call_as(account, "AllocateAddress", json!({})).await {
                assert_eq!(fault(&error), NetworkFault::NoPublicAddresses);
            }
        }
    }
    assert_eq!(cloud.stores.public_addresses.range("").await.expect("range").len(), 14);
    let wanted = cloud.call_as("444444444444", "AllocateAddress", json!({"Address": "203.0.113.3"})).await;
    assert_eq!(fault(&wanted.expect_err("taken")), NetworkFault::PublicAddressInUse);
    let foreign = cloud.call_as("444444444444", "AllocateAddress", json!({"Address": "198.51.100.1"})).await;
    assert!(matches!(foreign.expect_err("of no pool"), ApiError::InvalidParameterValue { .. }));

    let mut cloud = Cloud::new(Stores::memory()).await;
    let api = Arc::get_mut(&mut cloud.api).expect("one holder");
    api.place.public_address_pools.clear();
    let none = cloud.refused("AllocateAddress", json!({})).await;
    assert_eq!(fault(&none), NetworkFault::NoPublicAddresses);
}

#[tokio::test]
async fn launches_get_public_addresses() {
    let cloud = Cloud::memory().await;
    let id = cloud.launch(json!({})).await;
    let shown = cloud.ok("DescribeInstances", json!({"InstanceIds": [id]})).await;
    let public = text(&shown["Reservations"][0]["Instances"][0]["PublicIpAddress"]);
    assert_eq!(public, "203.0.113.1", "the default subnet gives one");
    let found = json!({"Filters": [{"Name": "ip-address", "Values": [public]}]});
    assert_eq!(list(&cloud.ok("DescribeInstances", found).await, "Reservations").len(), 1);
    let without = json!([{"DeviceIndex": 0, "AssociatePublicIpAddress": false}]);
    let without = cloud.launch(json!({"NetworkInterfaces": without})).await;
    let shown = cloud.ok("DescribeInstances", json!({"InstanceIds": [without]})).await;
    assert_eq!(shown["Reservations"][0]["Instances"][0]["PublicIpAddress"], Value::Null);
    // An Elastic IP takes the place of the launch's, which is free again.
    let allocation = cloud.ok("AllocateAddress", json!({})).await["AllocationId"].clone();
    cloud.ok("AssociateAddress", json!({"AllocationId": allocation, "InstanceId": id})).await;
    let shown = cloud.ok("DescribeInstances", json!({"InstanceIds": [id]})).await;
    assert_eq!(shown["Reservations"][0]["Instances"][0]["PublicIpAddress"], "203.0.113.2");
    assert_eq!(cloud.stores.public_addresses.range("").await.expect("range").len(), 1);
}
