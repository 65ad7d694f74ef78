//! Launches and the states of instances.

use crate::cloud::{Cloud, NODE_MEMORY_MIB, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_types::ApiError;
use hive_types::error::Resource;
use hived::store::InstanceState;
use serde_json::{Value, json};

async fn assert_nothing_made(cloud: &Cloud) {
    assert_eq!(cloud.stores.instances.range("").await.expect("range"), []);
    for volume in cloud.stores.volumes.range("").await.expect("range") {
        assert_eq!(volume.value.state_name(), "deleting", "a volume is left");
    }
    for network in cloud.stores.networks.load_all().await.expect("networks").into_values() {
        assert!(network.interfaces.is_empty(), "an interface is left");
        assert!(network.subnets.values().all(|subnet| subnet.addresses.is_empty()), "an address is left");
    }
    assert_eq!(cloud.stores.public_addresses.range("").await.expect("range"), [], "a public address is left");
    for placement in cloud.stores.placement.range("").await.expect("range") {
        assert_eq!(placement.value.memory_mib(), 0, "room is left taken");
    }
}

#[tokio::test]
async fn a_launch_is_as_asked_for() {
    let cloud = Cloud::memory().await;
    let made = cloud
        .ok(
            "RunInstances",
            json!({
                "ImageId": cloud.image_id, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 2,
                "UserData": STANDARD.encode("#!/bin/sh\necho hi\n"),
                "BlockDeviceMappings": [
                    {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": false}},
                    {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 3}},
                ],
                "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
                "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            }),
        )
        .await;
    let instances = made["Instances"].as_array().expect("instances");
    assert_eq!(instances.len(), 2);
    assert_eq!(instances[0]["State"], json!({"Code": 0, "Name": "pending"}));
    assert_eq!(instances[0]["PrivateIpAddress"], "172.31.0.4");
    assert_eq!(instances[1]["PrivateIpAddress"], "172.31.0.5");
    assert_eq!(instances[1]["AmiLaunchIndex"], 1);
    assert_eq!(instances[0]["Tags"], json!([{"Key": "Name", "Value": "web"}]));
    let record = cloud.instance(&text(&instances[0]["InstanceId"])).await;
    assert_eq!(record.disks[0].device_name, "/dev/xvda");
    assert!(record.disks[0].delete_on_termination && !record.disks[1].delete_on_termination);
    assert!(record.metadata.token_required);
    let volumes = cloud.ok("DescribeVolumes", json!({"Filters": [{"Name": "size", "Values": ["3"]}]})).await;
    assert_eq!(volumes["Volumes"].as_array().map(Vec::len), Some(2));

    let described = cloud.ok("DescribeInstances", json!({})).await;
    assert_eq!(described["Reservations"][0]["Instances"].as_array().map(Vec::len), Some(2));
    let other = cloud.call_as("210987654321", "DescribeInstances", json!({})).await.expect("an answer");
    assert_eq!(Value::Object(other)["Reservations"], Value::Null, "accounts see their own");
}

#[tokio::test]
async fn refusals_leave_nothing() {
    let cloud = Cloud::memory().await;
    let image = cloud.image_id.as_str();
    let with = |more: Value| {
        let mut params = json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        params
    };
    let not_found = |resource, id: &str| ApiError::NotFound { resource, id: id.into() };
    let absent = "ami-00000000000000000";
    assert_eq!(
        cloud.refused("RunInstances", with(json!({"ImageId": absent}))).await,
        not_found(Resource::Image, absent)
    );
    let malformed = cloud.refused("RunInstances", with(json!({"ImageId": "ami-xyz"}))).await;
    assert!(matches!(malformed, ApiError::Malformed { resource: Resource::Image, .. }));
    assert_eq!(cloud.refused("RunInstances", with(json!({"KeyName": "k"}))).await, not_found(Resource::KeyPair, "k"));
    for (member, value) in [
        ("InstanceType", json!("t3.huge")),
        ("UserData", json!(STANDARD.encode(vec![0; (16 << 10) + 1]))),
        ("UserData", json!("not base64!")),
        ("MinCount", json!(0)),
        ("MinCount", json!(2)),
        ("PrivateIpAddress", json!("172.31.0.3")),
        ("PrivateIpAddress", json!("10.0.0.1")),
        ("Placement", json!({"AvailabilityZone": "us-east-1b"})),
        ("BlockDeviceMappings", json!([{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 1}}])),
        ("BlockDeviceMappings", json!([{"DeviceName": "sdf", "Ebs": {"VolumeSize": 1}}])),
        ("TagSpecifications", json!([{"ResourceType": "instance", "Tags": [{"Key": "aws:x", "Value": ""}]}])),
    ] {
        let refused = cloud.refused("RunInstances", with(json!({member: value}))).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{member}: {refused:?}");
    }
    let too_many = cloud.refused("RunInstances", with(json!({"MinCount": 101, "MaxCount": 101}))).await;
    assert!(matches!(too_many, ApiError::LimitExceeded { resource: Resource::Instance, .. }));
    assert!(matches!(
        cloud.refused("RunInstances", with(json!({"InstanceType": "m5.4xlarge"}))).await,
        ApiError::InsufficientInstanceCapacity { .. }
    ));
    assert_nothing_made(&cloud).await;
}

#[tokio::test]
async fn room_is_given_away_once() {
    let cloud = Cloud::memory().await;
    // Eight of 512 MiB fit.
    assert_eq!(NODE_MEMORY_MIB, 8 * 512);
    let launches = (0..12).map(|_| {
        cloud.call(
            "RunInstances",
            json!({"ImageId": cloud.image_id, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}),
        )
    });
    let results = futures::future::join_all(launches).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 8);
    let full = |r: &Result<_, ApiError>| matches!(r, Ok(_) | Err(ApiError::InsufficientInstanceCapacity { .. }));
    assert!(results.iter().all(full));
    let addresses: Vec<_> = cloud
        .stores
        .instances
        .range("")
        .await
        .expect("range")
        .into_iter()
        .map(|i| i.value.network.private_ip)
        .collect();
    let distinct: std::collections::BTreeSet<_> = addresses.iter().collect();
    assert_eq!(distinct.len(), 8);
}

#[tokio::test]
async fn as_many_as_fit() {
    let cloud = Cloud::memory().await;
    let asked = json!({"ImageId": cloud.image_id, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 9});
    assert_eq!(cloud.ok("RunInstances", asked).await["Instances"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn a_client_token_launches_once() {
    let cloud = Cloud::memory().await;
    let first = cloud.launch(json!({"ClientToken": "once"})).await;
    let again = cloud.launch(json!({"ClientToken": "once"})).await;
    assert_eq!(first, again);
    let mut other = json!({"ImageId": cloud.image_id, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1});
    other["ClientToken"] = "once".into();
    assert_eq!(cloud.refused("RunInstances", other).await, ApiError::IdempotentParameterMismatch);
    assert_eq!(cloud.stores.instances.range("").await.expect("range").len(), 1);
}

#[tokio::test]
async fn equal_tokens_at_once_launch_once() {
    let cloud = Cloud::memory().await;
    let launches = (0..8).map(|_| cloud.launch(json!({"ClientToken": "race"})));
    let ids = futures::future::join_all(launches).await;
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(cloud.stores.instances.range("").await.expect("range").len(), 1);
    assert_eq!(cloud.stores.volumes.range("").await.expect("range").len(), 1);
}

#[tokio::test]
async fn a_failed_launch_frees_its_token() {
    let cloud = Cloud::memory().await;
    let big = json!({"ImageId": cloud.image_id, "InstanceType": "m5.4xlarge", "MinCount": 1, "MaxCount": 1, "ClientToken": "t"});
    assert!(matches!(cloud.refused("RunInstances", big).await, ApiError::InsufficientInstanceCapacity { .. }));
    cloud.launch(json!({"ClientToken": "t"})).await;
}

#[tokio::test]
async fn states_follow_the_calls() {
    let cloud = Cloud::memory().await;
    let id = cloud.launch(json!({})).await;
    let ids = json!({"InstanceIds": [id]});
    let pending = cloud.refused("StopInstances", ids.clone()).await;
    assert!(matches!(pending, ApiError::IncorrectInstanceState { .. }), "{pending:?}");
    cloud.enter(&id, InstanceState::Running).await;

    let started = cloud.ok("StartInstances", ids.clone()).await;
    assert_eq!(started["StartingInstances"][0]["CurrentState"]["Name"], "running");
    cloud.ok("RebootInstances", ids.clone()).await;
    assert_eq!(cloud.instance(&id).await.reboots_wanted, 1);

    let stopped = cloud.ok("StopInstances", ids.clone()).await;
    let change = &stopped["StoppingInstances"][0];
    assert_eq!(change["PreviousState"], json!({"Code": 16, "Name": "running"}));
    assert_eq!(change["CurrentState"], json!({"Code": 64, "Name": "stopping"}));
    assert!(matches!(cloud.refused("StartInstances", ids.clone()).await, ApiError::IncorrectInstanceState { .. }));
    cloud.enter(&id, InstanceState::Stopped).await;
    let described = cloud.ok("DescribeInstances", ids.clone()).await;
    let instance = &described["Reservations"][0]["Instances"][0];
    assert_eq!(instance["StateReason"]["Code"], "Client.UserInitiatedShutdown");
    assert!(text(&instance["StateTransitionReason"]).starts_with("User initiated ("));
    assert!(matches!(cloud.refused("RebootInstances", ids.clone()).await, ApiError::IncorrectInstanceState { .. }));

    let started = cloud.ok("StartInstances", ids.clone()).await;
    assert_eq!(started["StartingInstances"][0]["CurrentState"]["Name"], "pending");
    let ended = cloud.ok("TerminateInstances", ids.clone()).await;
    assert_eq!(ended["TerminatingInstances"][0]["CurrentState"]["Name"], "shutting-down");
    cloud.enter(&id, InstanceState::Terminated).await;
    let ended = cloud.ok("TerminateInstances", ids.clone()).await;
    assert_eq!(ended["TerminatingInstances"][0]["PreviousState"]["Name"], "terminated");
}

#[tokio::test]
async fn a_call_on_several_changes_all_or_none() {
    let cloud = Cloud::memory().await;
    let first = cloud.launch(json!({})).await;
    let second = cloud.launch(json!({"DisableApiTermination": true})).await;
    let both = json!({"InstanceIds": [first, second]});
    let refused = cloud.refused("TerminateInstances", both.clone()).await;
    assert!(matches!(refused, ApiError::OperationNotPermitted { .. }), "{refused:?}");
    assert_eq!(cloud.instance(&first).await.state, InstanceState::Pending);
    let allow = json!({"InstanceId": second, "DisableApiTermination": {"Value": false}});
    cloud.ok("ModifyInstanceAttribute", allow).await;
    cloud.ok("TerminateInstances", both).await;
    let absent = json!({"InstanceIds": [first, "i-00000000000000000"]});
    assert!(matches!(
        cloud.refused("TerminateInstances", absent).await,
        ApiError::NotFound { resource: Resource::Instance, .. }
    ));
}

#[tokio::test]
async fn attributes_change_while_stopped() {
    let cloud = Cloud::memory().await;
    let id = cloud.launch(json!({})).await;
    let data = STANDARD.encode("new");
    let change = json!({"InstanceId": id, "UserData": {"Value": data}});
    assert!(matches!(
        cloud.refused("ModifyInstanceAttribute", change.clone()).await,
        ApiError::IncorrectInstanceState { .. }
    ));
    cloud.enter(&id, InstanceState::Stopped).await;
    cloud.ok("ModifyInstanceAttribute", change).await;
    let asked = json!({"InstanceId": id, "Attribute": "userData"});
    assert_eq!(cloud.ok("DescribeInstanceAttribute", asked).await["UserData"]["Value"], data);
    cloud.ok("ModifyInstanceAttribute", json!({"InstanceId": id, "InstanceType": {"Value": "t3.small"}})).await;
    let asked = json!({"InstanceId": id, "Attribute": "instanceType"});
    assert_eq!(cloud.ok("DescribeInstanceAttribute", asked).await["InstanceType"]["Value"], "t3.small");
}

#[tokio::test]
async fn describing_filters_and_pages() {
    let cloud = Cloud::memory().await;
    for n in 0..7 {
        let tags = json!([{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": format!("web-{n}")}]}]);
        cloud.launch(json!({"TagSpecifications": tags})).await;
    }
    let count = |answer: &Value| answer["Reservations"].as_array().map_or(0, Vec::len);
    let page = cloud.ok("DescribeInstances", json!({"MaxResults": 5})).await;
    assert_eq!(count(&page), 5);
    let rest = cloud.ok("DescribeInstances", json!({"MaxResults": 5, "NextToken": page["NextToken"]})).await;
    assert_eq!((count(&rest), &rest["NextToken"]), (2, &Value::Null));
    let filters = json!([{"Name": "tag:Name", "Values": ["web-[", "web-?"]}, {"Name": "instance-state-name", "Values": ["pending"]}]);
    assert_eq!(count(&cloud.ok("DescribeInstances", json!({"Filters": filters})).await), 7);
    let filters = json!([{"Name": "tag:Name", "Values": ["web-1", "*-2"]}]);
    assert_eq!(count(&cloud.ok("DescribeInstances", json!({"Filters": filters})).await), 2);
    let unknown = json!({"Filters": [{"Name": "colour", "Values": ["red"]}]});
    assert!(matches!(cloud.refused("DescribeInstances", unknown).await, ApiError::InvalidParameterValue { .. }));
    assert!(matches!(
        cloud.refused("DescribeInstances", json!({"MaxResults": 5, "InstanceIds": ["i-01234567"]})).await,
        ApiError::InvalidParameterCombination { .. }
    ));
    let status = cloud.ok("DescribeInstanceStatus", json!({"IncludeAllInstances": true})).await;
    assert_eq!(status["InstanceStatuses"].as_array().map(Vec::len), Some(7));
    assert_eq!(cloud.ok("DescribeInstanceStatus", json!({})).await["InstanceStatuses"], Value::Null);
}
