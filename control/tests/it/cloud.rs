//! A region without machines: handlers, a store, one node's heartbeat, one image.

use hive_types::ApiError;
use hive_types::envelope::{ApiReply, ApiRequest, Principal};
use hive_types::id::{ImageId, SnapshotId};
use hived::api::{Api, Place, Routes};
use hived::store::{
    BootFiles, ImageRecord, ImageSource, InstanceRecord, InstanceState, NodeRecord, Origin, SnapshotRecord,
    SnapshotState, Stores, Tags, Version, VolumeState, key,
};
use hived::{Config, Role};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

pub const ACCOUNT: &str = "123456789012";
pub const NODE_MEMORY_MIB: u64 = 4096;

pub struct Cloud {
    pub stores: Stores,
    pub api: Arc<Api>,
    pub routes: Routes,
    pub image_id: String,
    pub snapshot_id: String,
}

pub fn config() -> Config {
    toml::from_str(&format!(
        "nats_url = \"nats://127.0.0.1:4222\"\nregion = \"us-east-1\"\nzone = \"us-east-1a\"\naccount = \"{ACCOUNT}\"\n\
         peer_regions = [\"us-east-9\"]\npublic_address_pools = [\"203.0.113.0/28\"]\n\
         ipv6_pools = [\"2001:db8:4800::/54\"]\n"
    ))
    .expect("a configuration")
}

impl Cloud {
    pub async fn new(stores: Stores) -> Self {
        hived::seed(&stores, &config()).await.expect("seeded");
        let node = NodeRecord {
            version: Version,
            node_id: "node-1".into(),
            zone: "us-east-1a".into(),
            vcpus: 2,
            memory_mib: NODE_MEMORY_MIB,
            heartbeat_at: Timestamp::now(),
            tunnel_address: None,
            tunnel_key: None,
        };
        stores.nodes.create("node-1", &node).await.expect("a node");
        let place = Place {
            region: "us-east-1".into(),
            zone: "us-east-1a".into(),
            account: ACCOUNT.parse().expect("an account"),
            peer_regions: ["us-east-9".to_owned()].into(),
            public_address_pools: config().public_address_pools,
            ipv6_pools: config().ipv6_pools,
        };
        let api = Arc::new(Api { stores: stores.clone(), place, bus: None });
        let (image_id, snapshot_id) = add_image(&stores).await;
        Self { stores, api, routes: Routes::of(&Role::ALL.into()), image_id, snapshot_id }
    }

    pub async fn memory() -> Self {
        Self::new(Stores::memory()).await
    }

    pub async fn call(&self, action: &str, params: Value) -> Result<Map<String, Value>, ApiError> {
        self.call_as(ACCOUNT, action, params).await
    }

    pub async fn call_as(&self, account: &str, action: &str, params: Value) -> Result<Map<String, Value>, ApiError> {
        match self.routes.call(&self.api, request(account, action, params)).await.expect("a handler") {
            ApiReply::Ok(members) => Ok(members),
            ApiReply::Err(error) => Err(error),
        }
    }

    pub async fn ok(&self, action: &str, params: Value) -> Value {
        Value::Object(self.call(action, params).await.unwrap_or_else(|error| panic!("{action}: {error:?}")))
    }

    pub async fn refused(&self, action: &str, params: Value) -> ApiError {
        self.call(action, params).await.expect_err(action)
    }

    /// Launches one t3.nano with `more` parameters; its id.
    pub async fn launch(&self, more: Value) -> String {
        let mut params = json!({"ImageId": self.image_id, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        text(&self.ok("RunInstances", params).await["Instances"][0]["InstanceId"])
    }

    pub async fn instance(&self, id: &str) -> InstanceRecord {
        let account = ACCOUNT.parse().expect("an account");
        self.stores.instances.get(&key(&account, &id)).await.expect("get").expect("the instance").value
    }

    /// What the node's reconciler would write.
    pub async fn enter(&self, id: &str, state: InstanceState) {
        let account = ACCOUNT.parse().expect("an account");
        let entered = self.stores.instances.modify(key(&account, &id), |instance| {
            assert!(instance.state.may_become(state), "{:?} to {state:?}", instance.state);
            instance.enter(state, Timestamp::now());
            Ok::<_, hived::Error>(())
        });
        entered.await.expect("modify").expect("the instance");
    }

    /// Makes every volume ready, as the node does.
    pub async fn make_volumes(&self) {
        for volume in self.stores.volumes.range("").await.expect("volumes") {
            let made = self.stores.volumes.modify(&volume.key, |volume| {
                volume.state = VolumeState::Ready;
                Ok::<_, hived::Error>(())
            });
            made.await.expect("modify");
        }
    }
}

/// As the gateway passes it on, for an account's root.
pub fn request(account: &str, action: &str, params: Value) -> ApiRequest {
    let Value::Object(params) = params else { panic!("parameters are an object") };
    let operation = hive_aws_types::OPERATIONS.iter().find(|operation| operation.name == action);
    ApiRequest {
        request_id: "test".into(),
        service: operation.expect("an operation").service.into(),
        action: action.into(),
        region: "us-east-1".into(),
        caller: Principal {
            account: account.parse().expect("an account"),
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.into(),
            access_key_id: "AKIATEST".into(),
        },
        params,
    }
}

async fn add_image(stores: &Stores) -> (String, String) {
    let (image_id, snapshot_id) = (ImageId::from_random(7), SnapshotId::from_random(7));
    let account: hive_types::id::AccountId = ACCOUNT.parse().expect("an account");
    let boot = BootFiles { directory: image_id.to_string(), cmdline: "console=ttyS0".into() };
    let snapshot = SnapshotRecord {
        version: Version,
        snapshot_id: snapshot_id.clone(),
        account: account.clone(),
        public: true,
        shared_with: BTreeSet::new(),
        size_gib: 2,
        volume_id: None,
        node_id: Some("node-1".into()),
        encrypted: false,
        kms_key_id: None,
        origin: Origin::Import,
        boot: Some(boot.clone()),
        description: String::new(),
        created_at: Timestamp::UNIX_EPOCH,
        state: SnapshotState::Completed,
        progress_percent: 100,
        fault: None,
        completed_at: None,
        tags: Tags::new(),
    };
    stores.snapshots.create(&snapshot.key(), &snapshot).await.expect("a snapshot");
    let image = ImageRecord {
        version: Version,
        image_id: image_id.clone(),
        account,
        name: "hive-minimal".into(),
        description: None,
        public: true,
        owner_alias: Some("amazon".into()),
        architecture: "x86_64".into(),
        root_device_name: "/dev/xvda".into(),
        root: ImageSource {
            snapshot_id: Some(snapshot_id.clone()),
            size_gib: 2,
            volume_type: "gp2".into(),
            iops: None,
            throughput: None,
            encrypted: false,
            delete_on_termination: true,
        },
        more_volumes: Vec::new(),
        boot,
        created_at: Timestamp::UNIX_EPOCH,
        tags: Tags::new(),
    };
    stores.images.create(&image.key(), &image).await.expect("an image");
    (image_id.to_string(), snapshot_id.to_string())
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).to_owned()
}
