//! A whole hived with its node's agent, over a real nats-server and a blockd of ours: what handlers want, the node makes true.

use crate::cloud::{ACCOUNT, Cloud, config, request, text};
use crate::fake_blockd::{self, Shared};
use crate::machine::{self, Switch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_blockd_api::{ErrorKind, VolumeHealth};
use hive_bus::testing::NatsServer;
use hive_bus::{Bus, BusConfig, BusError};
use hive_types::ApiError;
use hive_types::envelope::{ApiReply, subject};
use hive_types::error::{BlockFault, Resource};
use hived::NodeConfig;
use hived::store::{Imaging, SnapshotRecord, SnapshotState, Stores};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

pub const PATIENCE: Duration = Duration::from_secs(30);
const BLOCK: usize = 512 << 10;

pub struct Region {
    pub blockd: Shared,
    pub switch: Mutex<Switch>,
    bus: Bus,
    pub stores: Stores,
    hived: JoinHandle<()>,
    _nats: NatsServer,
    directory: tempfile::TempDir,
}

impl Drop for Region {
    fn drop(&mut self) {
        self.hived.abort();
    }
}

/// Asks whichever hived takes the operation.
pub async fn call(bus: &Bus, action: &str, params: Value) -> Result<Value, ApiError> {
    let request = request(ACCOUNT, action, params);
    match bus.request::<_, ApiReply>(&subject(&request.service, action), &request).await {
        Ok(ApiReply::Ok(members)) => Ok(Value::Object(members)),
        Ok(ApiReply::Err(error)) => Err(error),
        Err(error) => Err(ApiError::ServiceUnavailable { reason: error.to_string() }),
    }
}

impl Region {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// `objects_url`: where flow logs are written.
    pub async fn start_with(objects_url: Option<String>) -> Self {
        let nats = NatsServer::start();
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let blockd = fake_blockd::start(&at("blockd.sock"));
        let switch = Switch::start(directory.path());
        machine::install_vmm(&at("vmm"), &at("story"));
        let mut config = config();
        config.nats_url = nats.url();
        config.node = Some(NodeConfig {
            node_id: "node-1".into(),
            state_dir: at("state"),
            run_dir: at("run"),
            vmm: at("vmm"),
            blockd_socket: at("blockd.sock"),
            netd_socket: switch.control_socket(),
            ovsdb_socket: switch.database(),
            switch_run_dir: switch.run_dir(),
            uplink: None,
            tunnel_address: None,
            tunnel_encryption: false,
            objects_url,
            memory_mib: 4096,
            stop_grace_ms: 1000,
            terminate_grace_ms: 1000,
        });
        let bus_config = BusConfig { url: nats.url(), name: "test".into(), request_timeout: Duration::from_secs(20) };
        let bus = Bus::connect(&bus_config).await.expect("connect");
        assert!(bus.wait_connected(PATIENCE).await);
        let stores = Stores::nats(&bus, 1);
        // The image and the network of the other tests; the node's heartbeat is the agent's own in a moment.
        drop(Cloud::new(stores.clone()).await);
        let hived = tokio::spawn(async move { hived::run(config).await.expect("hived") });
        let switch = Mutex::new(switch);
        let region = Self { blockd, switch, bus, stores, hived, _nats: nats, directory };
        let began = Instant::now();
        while region.call("DescribeVolumes", json!({})).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "hived does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        region
    }

    pub async fn call(&self, action: &str, params: Value) -> Result<Value, ApiError> {
        call(&self.bus, action, params).await
    }

    pub async fn ok(&self, action: &str, params: Value) -> Value {
        self.call(action, params).await.unwrap_or_else(|error| panic!("{action}: {error:?}"))
    }

    /// Asks until the answer has `wanted` at `pointer`.
    pub async fn wait(&self, action: &str, params: Value, pointer: &str, wanted: &str) -> Value {
        let began = Instant::now();
        loop {
            let answer = self.call(action, params.clone()).await;
            if let Ok(answer) = &answer
                && answer.pointer(pointer).and_then(Value::as_str) == Some(wanted)
            {
                return answer.clone();
            }
            assert!(began.elapsed() < PATIENCE, "{action}: no {wanted} at {pointer}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_volume(&self, id: &str) {
        self.wait("DescribeVolumes", json!({"VolumeIds": [id]}), "/Volumes/0/State", "available").await;
    }

    async fn wait_snapshot(&self, id: &str, state: &str) -> Value {
        let answer = self.wait("DescribeSnapshots", json!({"SnapshotIds": [id]}), "/Snapshots/0/State", state).await;
        answer["Snapshots"][0].clone()
    }

    async fn volume(&self, more: Value) -> String {
        let mut params = json!({"AvailabilityZone": "us-east-1a", "Size": 10});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        let id = text(&self.ok("CreateVolume", params).await["VolumeId"]);
        self.wait_volume(&id).await;
        id
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_and_snapshots_become_what_was_asked_for() {
    let region = Region::start().await;
    let id = region.volume(json!({"VolumeType": "gp3", "Iops": 4000, "Throughput": 500})).await;
    let limits = region.blockd.lock().expect("state").volumes[&id].limits;
    assert_eq!((limits.iops, limits.throughput_bytes_per_s), (Some(4000), Some(500 << 20)));

    let taken = region.ok("CreateSnapshot", json!({"VolumeId": id, "Description": "one"})).await;
    assert_eq!(taken["State"], "pending");
    let snapshot = text(&taken["SnapshotId"]);
    let held = region.blockd.lock().expect("state").snapshots[&snapshot].snapshot.volume_id.clone();
    assert_eq!(held.map(|id| id.to_string()).as_ref(), Some(&id), "taken when the call is answered");
    let completed = region.wait_snapshot(&snapshot, "completed").await;
    assert_eq!((&completed["Progress"], &completed["VolumeId"]), (&json!("100%"), &json!(id)));
    assert!(completed["CompletionTime"].is_string());

    let clone = region.volume(json!({"SnapshotId": snapshot, "Size": 20})).await;
    let of = region.blockd.lock().expect("state").volumes[&clone].snapshot_id.clone();
    assert_eq!(of.map(|id| id.to_string()).as_ref(), Some(&snapshot));

    region.ok("ModifyVolume", json!({"VolumeId": id, "Size": 30, "Iops": 5000})).await;
    let modified = json!({"VolumeIds": [id]});
    let pointer = "/VolumesModifications/0/ModificationState";
    region.wait("DescribeVolumesModifications", modified.clone(), pointer, "completed").await;
    let grown = region.blockd.lock().expect("state").volumes[&id].clone();
    assert_eq!((grown.size_bytes, grown.limits.iops), (30 << 30, Some(5000)));
    let described = region.ok("DescribeVolumes", modified).await;
    assert_eq!((&described["Volumes"][0]["Size"], &described["Volumes"][0]["Iops"]), (&json!(30), &json!(5000)));

    let copy = json!({"SourceRegion": "us-east-1", "SourceSnapshotId": snapshot, "Encrypted": true});
    let copied = text(&region.ok("CopySnapshot", copy).await["SnapshotId"]);
    assert_eq!(region.wait_snapshot(&copied, "completed").await["Encrypted"], true);
    region.ok("DeleteSnapshot", json!({"SnapshotId": snapshot})).await;
    let began = Instant::now();
    while region.blockd.lock().expect("state").snapshots.contains_key(&snapshot) {
        assert!(began.elapsed() < PATIENCE, "blockd still has it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let status = json!({"VolumeIds": [id]});
    let seen = region.ok("DescribeVolumeStatus", status.clone()).await;
    assert_eq!(seen["VolumeStatuses"][0]["VolumeStatus"]["Status"], "ok");
    if let Some(volume) = region.blockd.lock().expect("state").volumes.get_mut(&id) {
        (volume.health, volume.fault) = (VolumeHealth::Degraded, Some("the store is away".into()));
    }
    let seen = region.ok("DescribeVolumeStatus", status).await;
    assert_eq!(seen["VolumeStatuses"][0]["VolumeStatus"]["Status"], "warning");
    assert_eq!(seen["VolumeStatuses"][0]["VolumeStatus"]["Details"][1]["Status"], "degraded");
    assert_eq!(seen["VolumeStatuses"][0]["Events"][0]["Description"], "the store is away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_leaves_nothing_and_what_was_cut_off_fails() {
    let region = Region::start().await;
    let id = region.volume(json!({})).await;
    region.blockd.lock().expect("state").refuse_snapshots = Some(ErrorKind::NoSpace);
    let refused = region.call("CreateSnapshot", json!({"VolumeId": id})).await.expect_err("refused");
    assert!(matches!(refused, ApiError::ServiceUnavailable { .. }), "{refused:?}");
    let of_volume = json!({"Filters": [{"Name": "volume-id", "Values": [id]}]});
    assert_eq!(region.ok("DescribeSnapshots", of_volume).await["Snapshots"], Value::Null);
    region.blockd.lock().expect("state").refuse_snapshots = None;

    // As a worker leaves it that dies between the record and the question.
    let taken = region.ok("CreateSnapshot", json!({"VolumeId": id})).await;
    let taken = text(&taken["SnapshotId"]);
    region.wait_snapshot(&taken, "completed").await;
    let key = format!("{ACCOUNT}.{taken}");
    let record = region.stores.snapshots.get(&key).await.expect("get").expect("a record").value;
    let cut_off = SnapshotRecord {
        snapshot_id: hive_types::id::SnapshotId::from_random(99),
        state: SnapshotState::Pending,
        created_at: Timestamp::now() - SignedDuration::from_mins(1),
        ..record
    };
    region.stores.snapshots.create(&cut_off.key(), &cut_off).await.expect("created");
    let failed = region.wait_snapshot(cut_off.snapshot_id.as_str(), "error").await;
    assert!(text(&failed["StateMessage"]).contains("cut off"));

    // A question that was on its way for longer than its call, and one that no worker has to ask.
    let late = json!({"take": {"snapshots": [[id, "snap-0123456789abcdef0"]], "asked_at": "2026-01-01T00:00:00Z"}});
    let file = json!({"blockd": {"method": "export-volume", "source": {"volume": id}, "path": "/tmp/x"}});
    for (question, why) in [(late, "over"), (file, "not asked")] {
        match region.bus.request::<_, Value>("node.node-1.blocks", &question).await {
            Err(BusError::Refused { message, .. }) => assert!(message.contains(why), "{message}"),
            other => panic!("{question}: {other:?}"),
        }
    }
    assert!(!region.blockd.lock().expect("state").snapshots.contains_key("snap-0123456789abcdef0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_go_in_and_come_out() {
    let region = Region::start().await;
    let start = json!({"VolumeSize": 1, "ClientToken": "token", "Tags": [{"Key": "a", "Value": "b"}]});
    let started = region.ok("StartSnapshot", start.clone()).await;
    let id = text(&started["SnapshotId"]);
    assert_eq!((&started["Status"], &started["BlockSize"]), (&json!("pending"), &json!(BLOCK)));
    assert_eq!(region.ok("StartSnapshot", start).await["SnapshotId"], id, "a repeated token");
    let other = region.call("StartSnapshot", json!({"VolumeSize": 2, "ClientToken": "token"})).await;
    assert_eq!(other, Err(ApiError::IdempotentParameterMismatch));

    let blocks = [(3u32, vec![3u8; BLOCK]), (2047, vec![7; BLOCK]), (3, vec![4; BLOCK])];
    for (index, data) in &blocks {
        let checksum = STANDARD.encode(Sha256::digest(data));
        let put = json!({"SnapshotId": id, "BlockIndex": index, "BlockData": STANDARD.encode(data), "DataLength": BLOCK,
            "Checksum": checksum, "ChecksumAlgorithm": "SHA256"});
        assert_eq!(region.ok("PutSnapshotBlock", put).await["Checksum"], checksum);
    }
    let fault = async |action: &str, params: Value| match region.call(action, params).await {
        Err(ApiError::Blocks { fault, .. }) => fault,
        other => panic!("{action}: {other:?}"),
    };
    let linear = Sha256::digest([Sha256::digest(&blocks[2].1), Sha256::digest(&blocks[1].1)].concat());
    let complete = |count: u32, digest: &[u8]| {
        json!({"SnapshotId": id, "ChangedBlocksCount": count, "Checksum": STANDARD.encode(digest),
            "ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR"})
    };
    assert_eq!(fault("CompleteSnapshot", complete(3, &linear)).await, BlockFault::Parameter, "two blocks, one twice");
    assert_eq!(fault("CompleteSnapshot", complete(2, &[0; 32])).await, BlockFault::Parameter);
    assert_eq!(fault("ListSnapshotBlocks", json!({"SnapshotId": id})).await, BlockFault::Snapshot, "not completed");
    region.ok("CompleteSnapshot", complete(2, &linear)).await;
    region.wait_snapshot(&id, "completed").await;
    assert_eq!(region.ok("CompleteSnapshot", complete(2, &linear)).await["Status"], "completed", "asked again");

    let listed = region.ok("ListSnapshotBlocks", json!({"SnapshotId": id, "MaxResults": 100})).await;
    let indexes: Vec<&Value> = listed["Blocks"].as_array().expect("blocks").iter().map(|b| &b["BlockIndex"]).collect();
    assert_eq!(indexes, [3, 2047]);
    assert_eq!(listed["VolumeSize"], 1);
    let token = &listed["Blocks"][0]["BlockToken"];
    let read = |index: u32| json!({"SnapshotId": id, "BlockIndex": index, "BlockToken": token});
    let block = region.ok("GetSnapshotBlock", read(3)).await;
    assert_eq!(STANDARD.decode(text(&block["BlockData"])).expect("base64"), blocks[2].1);
    assert_eq!(block["Checksum"], STANDARD.encode(Sha256::digest(&blocks[2].1)));
    assert_eq!(fault("GetSnapshotBlock", read(2047)).await, BlockFault::BlockToken, "the token of another block");

    let child = region.ok("StartSnapshot", json!({"VolumeSize": 1, "ParentSnapshotId": id})).await;
    let child = text(&child["SnapshotId"]);
    let data = vec![9u8; BLOCK];
    let put = json!({"SnapshotId": child, "BlockIndex": 8, "BlockData": STANDARD.encode(&data), "DataLength": BLOCK,
        "Checksum": STANDARD.encode(Sha256::digest(&data)), "ChecksumAlgorithm": "SHA256"});
    region.ok("PutSnapshotBlock", put.clone()).await;
    region.ok("CompleteSnapshot", json!({"SnapshotId": child, "ChangedBlocksCount": 1})).await;
    region.wait_snapshot(&child, "completed").await;
    assert_eq!(fault("PutSnapshotBlock", put).await, BlockFault::Snapshot, "it is completed");
    let changed = json!({"FirstSnapshotId": id, "SecondSnapshotId": child});
    let changed = region.ok("ListChangedBlocks", changed).await;
    assert_eq!(changed["ChangedBlocks"].as_array().map(Vec::len), Some(1));
    assert_eq!(changed["ChangedBlocks"][0]["BlockIndex"], 8);
    assert_eq!(changed["ChangedBlocks"][0]["FirstBlockToken"], Value::Null);
    let back = json!({"FirstSnapshotId": child, "SecondSnapshotId": id});
    assert_eq!(fault("ListChangedBlocks", back).await, BlockFault::UnrelatedSnapshots);
    let absent = region.call("ListSnapshotBlocks", json!({"SnapshotId": "snap-00000000000000000"})).await;
    assert!(matches!(absent, Err(ApiError::NotFound { resource: Resource::Snapshot, .. })), "{absent:?}");
}

fn story(region: &Region) -> Vec<String> {
    let text = std::fs::read_to_string(region.directory.path().join("story")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn wait_story(region: &Region, wanted: &[&str]) {
    let began = Instant::now();
    while story(region) != wanted {
        assert!(began.elapsed() < PATIENCE, "{:?} is not {wanted:?}", story(region));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until blockd was asked for a snapshot so often again, in vain.
async fn wait_asked(region: &Region, times: u32) {
    let asked = || region.blockd.lock().expect("state").asked_while_away;
    let (began, before) = (Instant::now(), asked());
    while asked() < before + times {
        assert!(began.elapsed() < PATIENCE, "nothing is asked of blockd");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// hived ends its guests' machines only when told to; these would outlive the test.
async fn terminate(region: &Region, instance: &str) {
    region.ok("TerminateInstances", json!({"InstanceIds": [instance]})).await;
    let described = json!({"InstanceIds": [instance]});
    region.wait("DescribeInstances", described, "/Reservations/0/Instances/0/State/Name", "terminated").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_taken_of_a_machine_that_is_off_and_boots_again() {
    let region = Region::start().await;
    let imported = &region.ok("DescribeImages", json!({})).await["Images"][0]["ImageId"];
    let launch = json!({"ImageId": imported, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1,
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "Encrypted": true}}]});
    {
        // What the operator's import leaves in blockd.
        let mut blockd = region.blockd.lock().expect("state");
        let id = hive_types::id::SnapshotId::from_random(7);
        blockd.import(id.as_str(), 2 << 30);
        blockd.story = Some(region.directory.path().join("story"));
    }
    let instance = text(&region.ok("RunInstances", launch.clone()).await["Instances"][0]["InstanceId"]);
    let described = json!({"InstanceIds": [instance]});
    let state = "/Reservations/0/Instances/0/State/Name";
    region.wait("DescribeInstances", described.clone(), state, "running").await;

    let image = text(&region.ok("CreateImage", json!({"InstanceId": instance, "Name": "golden"})).await["ImageId"]);
    wait_story(&region, &["on", "off", "snapshot", "on"]).await;
    let made = json!({"ImageIds": [image]});
    let seen = region.wait("DescribeImages", made, "/Images/0/State", "available").await;
    let mappings = seen["Images"][0]["BlockDeviceMappings"].as_array().expect("mappings").clone();
    assert_eq!(mappings.len(), 2);
    assert_eq!(mappings[1]["Ebs"]["Encrypted"], true);
    region.wait("DescribeInstances", described.clone(), state, "running").await;

    // Without a reboot the machine stays on.
    let hot = json!({"InstanceId": instance, "Name": "hot", "NoReboot": true});
    let hot = text(&region.ok("CreateImage", hot).await["ImageId"]);
    region.wait("DescribeImages", json!({"ImageIds": [hot]}), "/Images/0/State", "available").await;
    wait_story(&region, &["on", "off", "snapshot", "on", "snapshot"]).await;

    // As a hived leaves it that is killed when the snapshots are taken and the machine is off: the next one starts it.
    let key = format!("{ACCOUNT}.{instance}");
    region.blockd.lock().expect("state").is_away = true;
    let snapshots = mappings.iter().map(|mapping| text(&mapping["Ebs"]["SnapshotId"]).parse().expect("an id"));
    let record = region.stores.instances.get(&key).await.expect("get").expect("the instance").value;
    let volumes = record.disks.iter().map(|disk| disk.volume_id.clone());
    let imaging = Imaging { snapshots: volumes.zip(snapshots).collect(), since: Timestamp::now() };
    let marked = region.stores.instances.modify(&key, |instance| {
        instance.imaging = Some(imaging.clone());
        Ok::<_, hived::Error>(())
    });
    marked.await.expect("modify").expect("the instance");
    press_button(&region, &instance).await;
    wait_story(&region, &["on", "off", "snapshot", "on", "snapshot", "off"]).await;
    // Steps go one after another: the second one from here began after the machine's end.
    wait_asked(&region, 2).await;
    region.blockd.lock().expect("state").is_away = false;
    wait_story(&region, &["on", "off", "snapshot", "on", "snapshot", "off", "on"]).await;
    let began = Instant::now();
    while region.stores.instances.get(&key).await.expect("get").is_some_and(|record| record.value.imaging.is_some()) {
        assert!(began.elapsed() < PATIENCE, "the image is still being made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(region.ok("DescribeInstances", described).await.pointer(state), Some(&json!("running")));
    let clone = json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
    let second = text(&region.ok("RunInstances", clone).await["Instances"][0]["InstanceId"]);
    region.wait("DescribeInstances", json!({"InstanceIds": [second]}), state, "running").await;
    terminate(&region, &second).await;
    terminate(&region, &instance).await;
}

/// The machine ends as if its guest had powered off.
async fn press_button(region: &Region, instance: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = region.directory.path().join("run").join(instance).join("api.sock");
    let mut stream = tokio::net::UnixStream::connect(socket).await.expect("the machine");
    stream.write_all(b"{\"method\":\"power-button\"}\n").await.expect("pressed");
    stream.read_to_end(&mut Vec::new()).await.expect("answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_come_from_another_region() {
    let region = Region::start().await;
    let (plain, sealed) = ("snap-0123456789abcdef0", "snap-0123456789abcdef1");
    for (id, encrypted) in [(plain, false), (sealed, true)] {
        region.blockd.lock().expect("state").import_far(id, 5 << 30, encrypted);
    }
    for (id, encrypted) in [(plain, false), (sealed, true)] {
        let copy = json!({"SourceRegion": "us-east-9", "SourceSnapshotId": id, "Description": "from afar"});
        let copied = text(&region.ok("CopySnapshot", copy).await["SnapshotId"]);
        let seen = region.wait_snapshot(&copied, "completed").await;
        assert_eq!((&seen["VolumeSize"], &seen["Encrypted"]), (&json!(5), &json!(encrypted)));
        assert_eq!((seen["KmsKeyId"].is_string(), &seen["Description"]), (encrypted, &json!("from afar")));
        // Of no other size than the snapshot's, which only its region knew.
        let clone = json!({"AvailabilityZone": "us-east-1a", "SnapshotId": copied});
        let clone = text(&region.ok("CreateVolume", clone).await["VolumeId"]);
        region.wait_volume(&clone).await;
        assert_eq!(region.blockd.lock().expect("state").volumes[&clone].size_bytes, 5 << 30);
    }
    let count = || async {
        let seen = region.ok("DescribeSnapshots", json!({"OwnerIds": ["self"]})).await;
        seen["Snapshots"].as_array().map_or(0, Vec::len)
    };
    let before = count().await;
    let absent = json!({"SourceRegion": "us-east-9", "SourceSnapshotId": "snap-0123456789abcdef2"});
    let refused = region.call("CopySnapshot", absent).await.expect_err("absent");
    assert!(matches!(refused, ApiError::NotFound { resource: Resource::Snapshot, .. }), "{refused:?}");
    let unknown = json!({"SourceRegion": "eu-west-1", "SourceSnapshotId": plain});
    let refused = region.call("CopySnapshot", unknown).await.expect_err("unknown");
    assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{refused:?}");
    assert_eq!(count().await, before, "no refused call leaves a snapshot");
}
