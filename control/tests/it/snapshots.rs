//! Snapshots, modifications and encryption as the handlers check and show them. No node is there: what one must do at once fails.

use crate::cloud::{ACCOUNT, Cloud, text};
use hive_types::ApiError;
use hive_types::error::{BlockFault, Resource};
use hive_types::id::SnapshotId;
use hived::store::{InstanceState, ModificationState, SnapshotState, key};
use serde_json::{Value, json};

const OTHER: &str = "210987654321";

impl Cloud {
    async fn volume(&self, more: Value) -> String {
        let mut params = json!({"AvailabilityZone": "us-east-1a", "Size": 10});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        let id = text(&self.ok("CreateVolume", params).await["VolumeId"]);
        self.make_volumes().await;
        id
    }

    /// A private copy of the imported snapshot, in this state.
    async fn copy(&self, state: SnapshotState) -> String {
        let copy = json!({"SourceRegion": "us-east-1", "SourceSnapshotId": self.snapshot_id});
        let id = text(&self.ok("CopySnapshot", copy).await["SnapshotId"]);
        self.set_snapshot(&id, state).await;
        id
    }

    /// What the node's reconciler would write.
    async fn set_snapshot(&self, id: &str, state: SnapshotState) {
        let id: SnapshotId = id.parse().expect("an id");
        let at = key(&ACCOUNT.parse().expect("an account"), &id);
        let set = self.stores.snapshots.modify(at, |snapshot| {
            snapshot.state = state;
            Ok::<_, hived::Error>(())
        });
        set.await.expect("modify").expect("the snapshot");
    }
}

fn count(answer: &Value, list: &str) -> usize {
    answer[list].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn bad_input_comes_first() {
    let cloud = Cloud::memory().await;
    let volume = cloud.volume(json!({})).await;
    let absent = "snap-00000000000000000";
    for (action, params, resource) in [
        ("CreateSnapshot", json!({"VolumeId": "vol-00000000000000000"}), Resource::Volume),
        ("CreateVolume", json!({"AvailabilityZone": "us-east-1a", "SnapshotId": absent}), Resource::Snapshot),
        ("DeleteSnapshot", json!({"SnapshotId": absent}), Resource::Snapshot),
        ("DescribeSnapshots", json!({"SnapshotIds": [absent]}), Resource::Snapshot),
        ("CopySnapshot", json!({"SourceRegion": "us-east-1", "SourceSnapshotId": absent}), Resource::Snapshot),
        ("DescribeSnapshotAttribute", json!({"SnapshotId": absent, "Attribute": "productCodes"}), Resource::Snapshot),
        ("ModifyVolume", json!({"VolumeId": "vol-00000000000000000", "Size": 11}), Resource::Volume),
        ("DescribeVolumesModifications", json!({"VolumeIds": [volume]}), Resource::VolumeModification),
        ("DescribeVolumeStatus", json!({"VolumeIds": ["vol-00000000000000000"]}), Resource::Volume),
        ("CreateImage", json!({"InstanceId": "i-00000000000000000", "Name": "abc"}), Resource::Instance),
        ("ListSnapshotBlocks", json!({"SnapshotId": absent}), Resource::Snapshot),
    ] {
        let refused = cloud.refused(action, params).await;
        assert!(matches!(&refused, ApiError::NotFound { resource: r, .. } if *r == resource), "{action}: {refused:?}");
    }
    for (action, params) in [
        ("CreateSnapshot", json!({"VolumeId": "vol-1"})),
        ("DeleteSnapshot", json!({"SnapshotId": "snap-XYZ"})),
        ("ModifyVolume", json!({"VolumeId": "volume", "Size": 1})),
    ] {
        let refused = cloud.refused(action, params).await;
        assert!(matches!(refused, ApiError::Malformed { .. }), "{action}: {refused:?}");
    }
    for (action, params) in [
        ("CreateVolume", json!({"AvailabilityZone": "us-east-1a", "Size": 0})),
        ("CreateVolume", json!({"AvailabilityZone": "us-east-1a", "Size": -1})),
        ("CreateVolume", json!({"AvailabilityZone": "us-east-1a", "Size": 16_385})),
        ("ModifyVolume", json!({"VolumeId": volume, "Size": 9})),
        ("ModifyVolume", json!({"VolumeId": volume, "Size": 16_385})),
        ("ModifyVolume", json!({"VolumeId": volume, "VolumeType": "gp3", "Iops": 17_000})),
        ("CreateSnapshot", json!({"VolumeId": volume, "Description": "x".repeat(256)})),
        ("CopySnapshot", json!({"SourceRegion": "eu-west-1", "SourceSnapshotId": cloud.snapshot_id})),
        ("ModifyEbsDefaultKmsKeyId", json!({"KmsKeyId": "alias/mine"})),
    ] {
        let refused = cloud.refused(action, params.clone()).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{action} {params}: {refused:?}");
    }
    let nothing = cloud.refused("ModifyVolume", json!({"VolumeId": volume})).await;
    assert!(matches!(nothing, ApiError::InvalidParameterCombination { .. }), "{nothing:?}");
    cloud.ok("DeleteVolume", json!({"VolumeId": volume})).await;
    for (action, params) in
        [("CreateSnapshot", json!({"VolumeId": volume})), ("ModifyVolume", json!({"VolumeId": volume, "Size": 20}))]
    {
        let refused = cloud.refused(action, params).await;
        assert!(matches!(refused, ApiError::IncorrectState { .. }), "{action}: {refused:?}");
    }
    let left = cloud.ok("DescribeSnapshots", json!({"OwnerIds": ["self"]})).await;
    assert_eq!(count(&left, "Snapshots"), 1, "no refused call leaves a snapshot");
}

#[tokio::test]
async fn without_its_node_no_snapshot_is_taken() {
    let cloud = Cloud::memory().await;
    let volume = cloud.volume(json!({})).await;
    cloud.refused("CreateSnapshot", json!({"VolumeId": volume})).await;
    let left = cloud.ok("DescribeSnapshots", json!({"Filters": [{"Name": "volume-id", "Values": [volume]}]})).await;
    assert_eq!(count(&left, "Snapshots"), 0);
    let status = cloud.ok("DescribeVolumeStatus", json!({"VolumeIds": [volume]})).await;
    assert_eq!(status["VolumeStatuses"][0]["VolumeStatus"]["Status"], "insufficient-data");
}

#[tokio::test]
async fn a_copy_and_what_is_shown_of_it() {
    let cloud = Cloud::memory().await;
    let id = cloud.copy(SnapshotState::Pending).await;
    let described = cloud.ok("DescribeSnapshots", json!({"SnapshotIds": [id]})).await;
    let seen = &described["Snapshots"][0];
    assert_eq!((&seen["State"], &seen["Progress"]), (&json!("pending"), &json!("0%")));
    assert_eq!((&seen["VolumeSize"], &seen["VolumeId"]), (&json!(2), &json!("vol-ffffffff")));
    let early = json!({"AvailabilityZone": "us-east-1a", "SnapshotId": id});
    let refused = cloud.refused("CreateVolume", early.clone()).await;
    assert!(matches!(refused, ApiError::IncorrectState { .. }), "{refused:?}");
    let source = cloud.refused("DeleteSnapshot", json!({"SnapshotId": cloud.snapshot_id})).await;
    assert!(matches!(source, ApiError::InUse { resource: Resource::Snapshot, .. }), "{source:?}");
    cloud.set_snapshot(&id, SnapshotState::Completed).await;
    let made = cloud.ok("CreateVolume", early).await;
    assert_eq!((&made["Size"], &made["SnapshotId"]), (&json!(2), &json!(id)));
    for (filter, value, expected) in [
        ("status", "completed", 2),
        ("volume-size", "2", 2),
        ("encrypted", "true", 0),
        ("owner-alias", "amazon", 1),
        ("snapshot-id", id.as_str(), 1),
    ] {
        let filters = json!({"Filters": [{"Name": filter, "Values": [value]}]});
        assert_eq!(count(&cloud.ok("DescribeSnapshots", filters).await, "Snapshots"), expected, "{filter}");
    }
    cloud.ok("DeleteSnapshot", json!({"SnapshotId": id})).await;
    let gone = cloud.refused("DeleteSnapshot", json!({"SnapshotId": id})).await;
    assert!(matches!(gone, ApiError::NotFound { resource: Resource::Snapshot, .. }), "{gone:?}");
}

#[tokio::test]
async fn a_snapshot_is_shared_with_accounts_and_with_all() {
    let cloud = Cloud::memory().await;
    let id = cloud.copy(SnapshotState::Completed).await;
    let seen_by_other = async |params: Value| {
        let answer = cloud.call_as(OTHER, "DescribeSnapshots", params).await.expect("an answer");
        count(&Value::Object(answer), "Snapshots")
    };
    assert_eq!(seen_by_other(json!({})).await, 1, "only the public one");
    let permission =
        |verb: &str, grantee: Value| json!({"SnapshotId": id, "CreateVolumePermission": {verb: [grantee]}});
    cloud.ok("ModifySnapshotAttribute", permission("Add", json!({"UserId": OTHER}))).await;
    assert_eq!(seen_by_other(json!({"RestorableByUserIds": ["self"]})).await, 1);
    assert_eq!(seen_by_other(json!({"OwnerIds": ["self"]})).await, 0);
    let made = json!({"AvailabilityZone": "us-east-1a", "SnapshotId": id});
    cloud.call_as(OTHER, "CreateVolume", made).await.expect("a volume of a shared snapshot");
    let not_theirs = cloud.call_as(OTHER, "DeleteSnapshot", json!({"SnapshotId": id})).await.expect_err("refused");
    assert!(matches!(not_theirs, ApiError::NotFound { .. }), "{not_theirs:?}");
    let attribute = json!({"SnapshotId": id, "Attribute": "createVolumePermission"});
    let described = cloud.ok("DescribeSnapshotAttribute", attribute.clone()).await;
    assert_eq!(described["CreateVolumePermissions"], json!([{"UserId": OTHER}]));
    let by_name =
        json!({"SnapshotId": id, "OperationType": "add", "GroupNames": ["all"], "Attribute": "createVolumePermission"});
    cloud.ok("ModifySnapshotAttribute", by_name).await;
    assert_eq!(seen_by_other(json!({"RestorableByUserIds": ["all"]})).await, 2);
    cloud.ok("ModifySnapshotAttribute", permission("Remove", json!({"Group": "all"}))).await;
    cloud.ok("ResetSnapshotAttribute", attribute.clone()).await;
    assert_eq!(cloud.ok("DescribeSnapshotAttribute", attribute).await["CreateVolumePermissions"], Value::Null);
    assert_eq!(seen_by_other(json!({})).await, 1);
    let malformed = cloud.refused("ModifySnapshotAttribute", permission("Add", json!({"UserId": "12"}))).await;
    assert!(matches!(malformed, ApiError::Malformed { resource: Resource::User, .. }), "{malformed:?}");
}

#[tokio::test]
async fn an_image_holds_its_snapshots() {
    let cloud = Cloud::memory().await;
    let id = cloud.copy(SnapshotState::Completed).await;
    let register = json!({
        "Name": "mine", "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": id}}],
    });
    let image = text(&cloud.ok("RegisterImage", register.clone()).await["ImageId"]);
    let used = cloud.refused("DeleteSnapshot", json!({"SnapshotId": id})).await;
    assert!(matches!(used, ApiError::InUse { resource: Resource::Snapshot, .. }), "{used:?}");
    cloud.set_snapshot(&id, SnapshotState::Pending).await;
    let described = cloud.ok("DescribeImages", json!({"ImageIds": [image]})).await;
    assert_eq!(described["Images"][0]["State"], "pending");
    let launch = json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
    let early = cloud.refused("RunInstances", launch).await;
    assert!(matches!(early, ApiError::Unavailable { resource: Resource::Image, .. }), "{early:?}");
    cloud.set_snapshot(&id, SnapshotState::Completed).await;
    cloud.launch(json!({"ImageId": image})).await;
    let gone = cloud.ok("DeregisterImage", json!({"ImageId": image, "DeleteAssociatedSnapshots": true})).await;
    assert_eq!(gone["DeleteSnapshotResults"], json!([{"SnapshotId": id, "ReturnCode": "success"}]));
    let late = cloud.refused("RegisterImage", register).await;
    assert!(matches!(late, ApiError::NotFound { resource: Resource::Snapshot, .. }), "{late:?}");
}

#[tokio::test]
async fn encryption_follows_call_source_and_account() {
    let cloud = Cloud::memory().await;
    let plain = cloud.volume(json!({})).await;
    let shown = |answer: &Value| answer["Volumes"][0]["Encrypted"].clone();
    assert_eq!(shown(&cloud.ok("DescribeVolumes", json!({"VolumeIds": [plain]})).await), false);
    let secret = cloud.volume(json!({"Encrypted": true, "KmsKeyId": "alias/aws/ebs"})).await;
    let described = cloud.ok("DescribeVolumes", json!({"VolumeIds": [secret]})).await;
    let key = text(&described["Volumes"][0]["KmsKeyId"]);
    assert!(key.starts_with("arn:aws:kms:us-east-1:123456789012:key/"), "{key}");
    let bad_key = json!({"AvailabilityZone": "us-east-1a", "Size": 1, "Encrypted": true, "KmsKeyId": "alias/mine"});
    assert!(matches!(cloud.refused("CreateVolume", bad_key).await, ApiError::InvalidParameterValue { .. }));
    let alone = json!({"AvailabilityZone": "us-east-1a", "Size": 1, "KmsKeyId": key});
    assert!(matches!(cloud.refused("CreateVolume", alone).await, ApiError::InvalidParameterDependency { .. }));

    assert_eq!(cloud.ok("GetEbsEncryptionByDefault", json!({})).await["EbsEncryptionByDefault"], false);
    cloud.ok("EnableEbsEncryptionByDefault", json!({})).await;
    assert_eq!(cloud.ok("GetEbsEncryptionByDefault", json!({})).await["EbsEncryptionByDefault"], true);
    let other = cloud.call_as(OTHER, "GetEbsEncryptionByDefault", json!({})).await.expect("an answer");
    assert_eq!(other["EbsEncryptionByDefault"], false, "each account chooses for itself");
    let by_default = cloud.volume(json!({})).await;
    assert_eq!(shown(&cloud.ok("DescribeVolumes", json!({"VolumeIds": [by_default]})).await), true);
    let instance = cloud.launch(json!({})).await;
    let root = cloud.instance(&instance).await.disks[0].volume_id.to_string();
    assert_eq!(shown(&cloud.ok("DescribeVolumes", json!({"VolumeIds": [root]})).await), true);
    cloud.ok("DisableEbsEncryptionByDefault", json!({})).await;

    let copy = json!({"SourceRegion": "us-east-1", "SourceSnapshotId": cloud.snapshot_id, "Encrypted": true});
    let copied = text(&cloud.ok("CopySnapshot", copy).await["SnapshotId"]);
    cloud.set_snapshot(&copied, SnapshotState::Completed).await;
    let clone = json!({"AvailabilityZone": "us-east-1a", "SnapshotId": copied, "Encrypted": false});
    assert_eq!(cloud.ok("CreateVolume", clone).await["Encrypted"], true, "a clone of what is encrypted is");
    let share = json!({"SnapshotId": copied, "CreateVolumePermission": {"Add": [{"Group": "all"}]}});
    let refused = cloud.refused("ModifySnapshotAttribute", share).await;
    assert!(matches!(refused, ApiError::OperationNotPermitted { .. }), "{refused:?}");

    assert_eq!(cloud.ok("GetEbsDefaultKmsKeyId", json!({})).await["KmsKeyId"], "alias/aws/ebs");
    cloud.ok("ModifyEbsDefaultKmsKeyId", json!({"KmsKeyId": key})).await;
    assert_eq!(cloud.ok("GetEbsDefaultKmsKeyId", json!({})).await["KmsKeyId"], key);
    assert_eq!(cloud.ok("ResetEbsDefaultKmsKeyId", json!({})).await["KmsKeyId"], "alias/aws/ebs");
}

#[tokio::test]
async fn modifications_one_at_a_time_and_four_a_day() {
    let cloud = Cloud::memory().await;
    let volume = cloud.volume(json!({"VolumeType": "gp3"})).await;
    let modify = |size: u32| json!({"VolumeId": volume, "Size": size});
    for size in 11..15 {
        let begun = cloud.ok("ModifyVolume", modify(size)).await;
        assert_eq!(begun["VolumeModification"]["ModificationState"], "modifying");
        assert_eq!(begun["VolumeModification"]["TargetSize"], size);
        let meanwhile = cloud.refused("ModifyVolume", modify(20)).await;
        assert!(
            matches!(meanwhile, ApiError::Unavailable { resource: Resource::VolumeModification, .. }),
            "{meanwhile:?}"
        );
        let described = cloud.ok("DescribeVolumes", json!({"VolumeIds": [volume]})).await;
        assert_eq!(described["Volumes"][0]["Size"], if size == 11 { 10 } else { size - 1 }, "not before it is so");
        finish(&cloud).await;
    }
    let described = cloud.ok("DescribeVolumesModifications", json!({"VolumeIds": [volume]})).await;
    assert_eq!(described["VolumesModifications"][0]["ModificationState"], "completed");
    assert_eq!(described["VolumesModifications"][0]["OriginalSize"], 13);
    let fifth = cloud.refused("ModifyVolume", modify(20)).await;
    assert!(matches!(fifth, ApiError::LimitExceeded { resource: Resource::VolumeModification, .. }), "{fifth:?}");
    let filters = json!({"Filters": [{"Name": "modification-state", "Values": ["modifying"]}]});
    assert_eq!(count(&cloud.ok("DescribeVolumesModifications", filters).await, "VolumesModifications"), 0);
    assert_eq!(
        cloud.ok("DescribeVolumeAttribute", json!({"VolumeId": volume, "Attribute": "autoEnableIO"})).await["AutoEnableIO"],
        json!({"Value": false})
    );
    cloud.ok("ModifyVolumeAttribute", json!({"VolumeId": volume, "AutoEnableIO": {"Value": true}})).await;
    assert_eq!(
        cloud.ok("DescribeVolumeAttribute", json!({"VolumeId": volume, "Attribute": "autoEnableIO"})).await["AutoEnableIO"],
        json!({"Value": true})
    );
}

/// Carries out every modification, as the node does.
async fn finish(cloud: &Cloud) {
    for record in cloud.stores.volumes.range("").await.expect("volumes") {
        let done = cloud.stores.volumes.modify(&record.key, |volume| {
            if let Some(modification) = &mut volume.modification {
                modification.state = ModificationState::Completed;
                volume.size_gib = modification.target.size_gib;
            }
            Ok::<_, hived::Error>(())
        });
        done.await.expect("modify");
    }
}

#[tokio::test]
async fn an_image_of_a_running_instance_waits_for_its_power_off() {
    let cloud = Cloud::memory().await;
    let mapping = json!([{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "VolumeType": "gp3"}}]);
    let instance = cloud.launch(json!({"BlockDeviceMappings": mapping})).await;
    let pending = cloud.refused("CreateImage", json!({"InstanceId": instance, "Name": "golden"})).await;
    assert!(matches!(pending, ApiError::IncorrectInstanceState { .. }), "{pending:?}");
    cloud.make_volumes().await;
    cloud.enter(&instance, InstanceState::Running).await;
    let image = text(&cloud.ok("CreateImage", json!({"InstanceId": instance, "Name": "golden"})).await["ImageId"]);
    let imaging = cloud.instance(&instance).await.imaging.expect("the node is told");
    assert_eq!(imaging.snapshots.len(), 2);
    let described = cloud.ok("DescribeImages", json!({"ImageIds": [image]})).await;
    assert_eq!(described["Images"][0]["State"], "pending");
    let mappings = described["Images"][0]["BlockDeviceMappings"].as_array().expect("mappings");
    assert_eq!(mappings[1]["Ebs"]["SnapshotId"], imaging.snapshots[1].1.as_str());
    assert_eq!(mappings[1]["Ebs"]["Iops"], 3000);
    let twice = cloud.refused("CreateImage", json!({"InstanceId": instance, "Name": "silver"})).await;
    assert!(matches!(twice, ApiError::IncorrectInstanceState { .. }), "{twice:?}");
    let taken = cloud.refused("CreateImage", json!({"InstanceId": instance, "Name": "golden"})).await;
    assert!(matches!(taken, ApiError::Duplicate { resource: Resource::Image, .. }), "{taken:?}");
    for (_, id) in &imaging.snapshots {
        cloud.set_snapshot(id.as_str(), SnapshotState::Completed).await;
    }
    let described = cloud.ok("DescribeImages", json!({"ImageIds": [image]})).await;
    assert_eq!(described["Images"][0]["State"], "available");
}

#[tokio::test]
async fn instance_snapshots_name_what_they_leave_out() {
    let cloud = Cloud::memory().await;
    let instance = cloud.launch(json!({})).await;
    cloud.make_volumes().await;
    let other = cloud.volume(json!({})).await;
    let of = |more: Value| {
        let mut specification = json!({"InstanceId": instance});
        if let (Value::Object(all), Value::Object(more)) = (&mut specification, more) {
            all.extend(more);
        }
        json!({"InstanceSpecification": specification})
    };
    let root = cloud.instance(&instance).await.disks[0].volume_id.to_string();
    for excluded in [other, root] {
        let refused = cloud.refused("CreateSnapshots", of(json!({"ExcludeDataVolumeIds": [excluded]}))).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{refused:?}");
    }
    let none = cloud.refused("CreateSnapshots", of(json!({"ExcludeBootVolume": true}))).await;
    assert!(matches!(none, ApiError::InvalidParameterCombination { .. }), "{none:?}");
}

#[tokio::test]
async fn block_requests_are_checked_before_a_node_is_asked() {
    let cloud = Cloud::memory().await;
    let fault = async |action: &str, params: Value| match cloud.refused(action, params).await {
        ApiError::Blocks { fault, .. } => Some(fault),
        other => panic!("{action}: {other:?}"),
    };
    let id = cloud.snapshot_id.as_str();
    let read = |token: &str, index: i32| json!({"SnapshotId": id, "BlockIndex": index, "BlockToken": token});
    assert_eq!(fault("GetSnapshotBlock", read("AAAA", 0)).await, Some(BlockFault::BlockToken));
    assert_eq!(fault("GetSnapshotBlock", read("AAAA", 4096)).await, Some(BlockFault::Block), "2 GiB end there");
    let page = json!({"SnapshotId": id, "NextToken": "AAAA"});
    assert_eq!(fault("ListSnapshotBlocks", page).await, Some(BlockFault::PageToken));
    assert_eq!(fault("ListSnapshotBlocks", json!({"SnapshotId": "snap-1"})).await, Some(BlockFault::Snapshot));
    let complete = json!({"SnapshotId": id, "ChangedBlocksCount": 0});
    assert_eq!(fault("CompleteSnapshot", complete).await, Some(BlockFault::Snapshot), "it was never started");
    assert_eq!(fault("StartSnapshot", json!({"VolumeSize": 20_000})).await, Some(BlockFault::VolumeSize));
    let small = json!({"VolumeSize": 1, "ParentSnapshotId": id});
    assert_eq!(fault("StartSnapshot", small).await, Some(BlockFault::VolumeSize));
    let key = json!({"VolumeSize": 1, "Encrypted": true, "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/x"});
    assert_eq!(fault("StartSnapshot", key).await, Some(BlockFault::CustomerKey));
    let pending = cloud.copy(SnapshotState::Pending).await;
    assert_eq!(fault("ListSnapshotBlocks", json!({"SnapshotId": pending})).await, Some(BlockFault::Snapshot));
    let block = |length: i32, checksum: &str| {
        json!({"SnapshotId": pending, "BlockIndex": 0, "BlockData": "AAAA", "DataLength": length,
            "Checksum": checksum, "ChecksumAlgorithm": "SHA256"})
    };
    assert_eq!(fault("PutSnapshotBlock", block(3, "x")).await, Some(BlockFault::Block));
    assert_eq!(fault("PutSnapshotBlock", block(524_288, "x")).await, Some(BlockFault::Block));
}
