//! Volumes, images, keys, tags, places, networks, identity.

use crate::cloud::{ACCOUNT, Cloud, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_types::ApiError;
use hive_types::error::Resource;
use hived::store::InstanceState;
use serde_json::{Value, json};

#[tokio::test]
async fn a_volume_comes_and_goes() {
    let cloud = Cloud::memory().await;
    let made = cloud.ok("CreateVolume", json!({"AvailabilityZone": "us-east-1a", "Size": 1, "ClientToken": "v"})).await;
    assert_eq!(made["State"], "creating");
    let again =
        cloud.ok("CreateVolume", json!({"AvailabilityZone": "us-east-1a", "Size": 1, "ClientToken": "v"})).await;
    assert_eq!(made["VolumeId"], again["VolumeId"]);
    let other = json!({"AvailabilityZone": "us-east-1a", "Size": 2, "ClientToken": "v"});
    assert_eq!(cloud.refused("CreateVolume", other).await, ApiError::IdempotentParameterMismatch);
    let volume = text(&made["VolumeId"]);
    cloud.make_volumes().await;

    let instance = cloud.launch(json!({})).await;
    cloud.make_volumes().await;
    cloud.enter(&instance, InstanceState::Running).await;
    let attach = json!({"VolumeId": volume, "InstanceId": instance, "Device": "/dev/sdf"});
    let running = cloud.refused("AttachVolume", attach.clone()).await;
    assert!(matches!(running, ApiError::IncorrectInstanceState { .. }), "{running:?}");
    cloud.enter(&instance, InstanceState::Stopped).await;
    assert_eq!(cloud.ok("AttachVolume", attach.clone()).await["State"], "attached");
    let twice = cloud.refused("AttachVolume", attach).await;
    assert!(matches!(twice, ApiError::InUse { resource: Resource::Volume, .. }), "{twice:?}");
    assert_eq!(cloud.instance(&instance).await.disks.len(), 2);
    let described = cloud.ok("DescribeVolumes", json!({"VolumeIds": [volume]})).await;
    assert_eq!(described["Volumes"][0]["State"], "in-use");
    assert_eq!(described["Volumes"][0]["Attachments"][0]["Device"], "/dev/sdf");
    let in_use = cloud.refused("DeleteVolume", json!({"VolumeId": volume})).await;
    assert!(matches!(in_use, ApiError::InUse { .. }), "{in_use:?}");

    assert_eq!(cloud.ok("DetachVolume", json!({"VolumeId": volume})).await["State"], "detaching");
    assert_eq!(cloud.instance(&instance).await.disks.len(), 1);
    cloud.ok("DeleteVolume", json!({"VolumeId": volume})).await;
    let root = cloud.instance(&instance).await.disks[0].volume_id.to_string();
    let refused = cloud.refused("DetachVolume", json!({"VolumeId": root})).await;
    assert!(matches!(refused, ApiError::OperationNotPermitted { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_taken_device_leaves_the_volume_free() {
    let cloud = Cloud::memory().await;
    let instance = cloud.launch(json!({})).await;
    cloud.enter(&instance, InstanceState::Stopped).await;
    let made = cloud.ok("CreateVolume", json!({"AvailabilityZone": "us-east-1a", "Size": 1})).await;
    cloud.make_volumes().await;
    let attach = json!({"VolumeId": made["VolumeId"], "InstanceId": instance, "Device": "/dev/xvda"});
    assert!(matches!(cloud.refused("AttachVolume", attach).await, ApiError::InvalidParameterValue { .. }));
    let described = cloud.ok("DescribeVolumes", json!({"VolumeIds": [made["VolumeId"]]})).await;
    assert_eq!(described["Volumes"][0]["State"], "available");
}

#[tokio::test]
async fn volume_refusals() {
    let cloud = Cloud::memory().await;
    let zone = cloud.refused("CreateVolume", json!({"AvailabilityZone": "us-east-1b", "Size": 1})).await;
    assert!(matches!(zone, ApiError::NotFound { resource: Resource::AvailabilityZone, .. }));
    let size = cloud.refused("CreateVolume", json!({"AvailabilityZone": "us-east-1a"})).await;
    assert_eq!(size, ApiError::MissingParameter { name: "Size".into() });
    let small = json!({"AvailabilityZone": "us-east-1a", "Size": 1, "SnapshotId": cloud.snapshot_id});
    assert!(matches!(cloud.refused("CreateVolume", small).await, ApiError::InvalidParameterValue { .. }));
    let absent = json!({"VolumeId": "vol-00000000000000000"});
    assert!(matches!(
        cloud.refused("DeleteVolume", absent).await,
        ApiError::NotFound { resource: Resource::Volume, .. }
    ));
    let malformed = json!({"VolumeId": "vol-1"});
    assert!(matches!(cloud.refused("DeleteVolume", malformed).await, ApiError::Malformed { .. }));
}

#[tokio::test]
async fn an_image_is_registered_used_and_deregistered() {
    let cloud = Cloud::memory().await;
    let register = json!({
        "Name": "mine", "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": cloud.snapshot_id}}],
    });
    let image = text(&cloud.ok("RegisterImage", register.clone()).await["ImageId"]);
    let twice = cloud.refused("RegisterImage", register).await;
    assert!(matches!(twice, ApiError::Duplicate { resource: Resource::Image, .. }), "{twice:?}");
    let names = |answer: &Value| answer["Images"].as_array().map_or(0, Vec::len);
    assert_eq!(names(&cloud.ok("DescribeImages", json!({"Owners": ["self"]})).await), 2);
    assert_eq!(names(&cloud.ok("DescribeImages", json!({"Owners": ["amazon"]})).await), 1);
    let by_name = json!({"Filters": [{"Name": "name", "Values": ["hive-*"]}]});
    assert_eq!(names(&cloud.ok("DescribeImages", by_name.clone()).await), 1);
    let other = cloud.call_as("210987654321", "DescribeImages", json!({})).await.expect("images");
    assert_eq!(names(&Value::Object(other)), 1, "a private image is its owner's");
    cloud.launch(json!({"ImageId": image})).await;
    cloud.ok("DeregisterImage", json!({"ImageId": image})).await;
    let gone = cloud.refused("DeregisterImage", json!({"ImageId": image})).await;
    assert!(matches!(gone, ApiError::NotFound { resource: Resource::Image, .. }));
}

#[tokio::test]
async fn key_pairs() {
    let cloud = Cloud::memory().await;
    let made = cloud.ok("CreateKeyPair", json!({"KeyName": "a key", "KeyType": "ed25519"})).await;
    assert!(text(&made["KeyMaterial"]).starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
    let twice = cloud.refused("CreateKeyPair", json!({"KeyName": "a key"})).await;
    assert_eq!(twice, ApiError::Duplicate { resource: Resource::KeyPair, id: "a key".into() });
    let shown = cloud.ok("DescribeKeyPairs", json!({"KeyNames": ["a key"], "IncludePublicKey": true})).await;
    let public = text(&shown["KeyPairs"][0]["PublicKey"]);
    assert!(public.starts_with("ssh-ed25519 "));
    let imported =
        cloud.ok("ImportKeyPair", json!({"KeyName": "b", "PublicKeyMaterial": STANDARD.encode(&public)})).await;
    assert_eq!(imported["KeyFingerprint"], made["KeyFingerprint"]);
    let bad = json!({"KeyName": "c", "PublicKeyMaterial": STANDARD.encode("nonsense")});
    assert!(matches!(cloud.refused("ImportKeyPair", bad).await, ApiError::InvalidParameterValue { .. }));
    let instance = cloud.launch(json!({"KeyName": "a key"})).await;
    cloud.ok("DeleteKeyPair", json!({"KeyPairId": made["KeyPairId"]})).await;
    assert!(cloud.instance(&instance).await.key.is_some(), "an instance keeps its key");
    cloud.ok("DeleteKeyPair", json!({"KeyName": "never there"})).await;
    cloud.ok("DeleteKeyPair", json!({"KeyName": "x".repeat(255)})).await;
}

#[tokio::test]
async fn tags_on_any_resource() {
    let cloud = Cloud::memory().await;
    let instance = cloud.launch(json!({})).await;
    let resources = json!([instance, cloud.image_id]);
    let tags = json!([{"Key": "Name", "Value": "x"}, {"Key": "empty", "Value": ""}]);
    cloud.ok("CreateTags", json!({"Resources": resources, "Tags": tags})).await;
    let described = cloud.ok("DescribeTags", json!({"Filters": [{"Name": "key", "Values": ["Name"]}]})).await;
    assert_eq!(described["Tags"].as_array().map(Vec::len), Some(2));
    let keep = json!({"Resources": [instance], "Tags": [{"Key": "Name", "Value": "y"}]});
    cloud.ok("DeleteTags", keep).await;
    assert_eq!(cloud.instance(&instance).await.tags.len(), 2);
    cloud.ok("DeleteTags", json!({"Resources": [instance], "Tags": [{"Key": "Name"}]})).await;
    assert_eq!(cloud.instance(&instance).await.tags.len(), 1);
    let many: Vec<_> = (0..50).map(|n| json!({"Key": format!("k{n}"), "Value": ""})).collect();
    let over = cloud.refused("CreateTags", json!({"Resources": [instance], "Tags": many})).await;
    assert!(matches!(over, ApiError::InvalidParameterValue { .. }), "{over:?}");
    let absent = json!({"Resources": ["vol-00000000000000000"], "Tags": [{"Key": "a", "Value": "b"}]});
    assert!(matches!(cloud.refused("CreateTags", absent).await, ApiError::NotFound { resource: Resource::Volume, .. }));
}

#[tokio::test]
async fn the_place_and_the_caller() {
    let cloud = Cloud::memory().await;
    let vpcs = cloud.ok("DescribeVpcs", json!({"Filters": [{"Name": "is-default", "Values": ["true"]}]})).await;
    assert_eq!(vpcs["Vpcs"][0]["CidrBlock"], "172.31.0.0/16");
    let subnets = cloud.ok("DescribeSubnets", json!({})).await;
    assert_eq!(subnets["Subnets"][0]["CidrBlock"], "172.31.0.0/20");
    assert_eq!(subnets["Subnets"][0]["AvailableIpAddressCount"], 4091);
    let groups = cloud.ok("DescribeSecurityGroups", json!({"GroupNames": ["default"]})).await;
    assert_eq!(groups["SecurityGroups"][0]["VpcId"], vpcs["Vpcs"][0]["VpcId"]);
    assert_eq!(cloud.ok("DescribeRegions", json!({})).await["Regions"][0]["RegionName"], "us-east-1");
    let zones = cloud.ok("DescribeAvailabilityZones", json!({})).await;
    assert_eq!(zones["AvailabilityZones"][0]["ZoneId"], "use1-az1");
    let types = cloud.ok("DescribeInstanceTypes", json!({"InstanceTypes": ["t3.nano"]})).await;
    assert_eq!(types["InstanceTypes"][0]["MemoryInfo"]["SizeInMiB"], 512);
    assert_eq!(cloud.ok("GetCallerIdentity", json!({})).await["Account"], ACCOUNT);
}
