//! Calls at once, and workers that die in between: over a real nats-server.

use super::{fault, list};
use crate::cloud::{ACCOUNT, Cloud, text};
use hive_bus::testing::NatsServer;
use hive_bus::{Bus, BusConfig, Bytes, Changes, Entry, MemoryStore, Store, StoreError, Write};
use hive_types::error::NetworkFault;
use hive_types::id::AccountId;
use hived::store::{Networks, Stores};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

async fn over_nats(server: &NatsServer) -> Cloud {
    let config = BusConfig { url: server.url(), name: "test".into(), request_timeout: Duration::from_secs(10) };
    let bus = Bus::connect(&config).await.expect("connect");
    assert!(bus.wait_connected(Duration::from_secs(10)).await);
    Cloud::new(Stores::nats(&bus, 1)).await
}

#[tokio::test]
async fn no_two_calls_get_one_address() {
    let server = NatsServer::start();
    // Two workers on one store.
    let (one, two) = (over_nats(&server).await, over_nats(&server).await);
    let vpc = one.vpc("10.0.0.0/16").await;
    let subnet = one.subnet(&vpc, "10.0.0.0/27").await;
    let made = (0..24).map(|n| {
        let worker = if n % 2 == 0 { &one } else { &two };
        async { worker.interface(&subnet).await["PrivateIpAddress"].clone() }
    });
    let made = futures::future::join_all(made).await;
    let distinct: BTreeSet<String> = made.iter().map(text).collect();
    assert_eq!(distinct.len(), 24, "{made:?}");

    // One address, wanted by all: one has it.
    let wanted = json!({"SubnetId": subnet, "PrivateIpAddress": "10.0.0.30"});
    let tries = (0..8).map(|_| one.call("CreateNetworkInterface", wanted.clone()));
    let tries = futures::future::join_all(tries).await;
    assert_eq!(tries.iter().filter(|made| made.is_ok()).count(), 1);
    for refused in tries.into_iter().filter_map(Result::err) {
        assert_eq!(fault(&refused), NetworkFault::AddressInUse);
    }
    let public = (0..5).map(|n| (if n % 2 == 0 { &one } else { &two }).ok("AllocateAddress", json!({})));
    let public = futures::future::join_all(public).await;
    assert_eq!(public.iter().map(|made| text(&made["PublicIp"])).collect::<BTreeSet<_>>().len(), 5);
}

#[tokio::test]
async fn overlapping_subnets_at_once_are_one() {
    let server = NatsServer::start();
    let cloud = over_nats(&server).await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let make = |cidr: String| cloud.call("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": cidr}));
    let made = futures::future::join_all((0..8).map(|n| make(format!("10.0.0.0/{}", 20 + n)))).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
}

/// The subnet is used, or deleted; never both.
#[tokio::test]
async fn nothing_goes_while_it_is_taken_into_use() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    for n in 0..20 {
        let subnet = cloud.subnet(&vpc, &format!("10.0.{n}.0/28")).await;
        let (made, deleted) = tokio::join!(
            cloud.call("CreateNetworkInterface", json!({"SubnetId": subnet})),
            cloud.call("DeleteSubnet", json!({"SubnetId": subnet}))
        );
        assert!(made.is_ok() != deleted.is_ok(), "{made:?} {deleted:?}");
    }
}

/// A store whose commits fail, or whose answers are lost, at the wish of the test.
#[derive(Debug)]
struct Unsure {
    store: MemoryStore,
    commits: AtomicUsize,
    /// Of so many commits each, one is not answered...
    lose_answer_every: usize,
    /// ... and not carried out either.
    lose_commit: bool,
}

#[async_trait::async_trait]
impl Store for Unsure {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.store.get(key).await
    }
    async fn create(&self, key: &str, value: Bytes) -> Result<u64, StoreError> {
        self.store.create(key, value).await
    }
    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, StoreError> {
        self.store.update(key, value, revision).await
    }
    async fn delete(&self, key: &str, revision: u64) -> Result<(), StoreError> {
        self.store.delete(key, revision).await
    }
    async fn commit(&self, writes: &[Write]) -> Result<u64, StoreError> {
        let is_lost = self.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.lose_answer_every);
        let done = if is_lost && self.lose_commit { 0 } else { self.store.commit(writes).await? };
        if is_lost {
            let key = writes.last().map(|write| write.key.clone()).unwrap_or_default();
            return Err(StoreError::Unknown { bucket: "networks".into(), key, message: "lost".into() });
        }
        Ok(done)
    }
    async fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.store.range(prefix).await
    }
    async fn watch(&self, prefix: &str) -> Result<Changes, StoreError> {
        self.store.watch(prefix).await
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    for lose_commit in [false, true] {
        let (store, commits) = (MemoryStore::new("networks"), AtomicUsize::new(0));
        let store = Unsure { store, commits, lose_answer_every: 2, lose_commit };
        let stores = Stores { networks: Networks::new(Arc::new(store)), ..Stores::memory() };
        let cloud = Cloud::new(stores).await;
        let vpc = cloud.vpc("10.0.0.0/16").await;
        for n in 0..6 {
            cloud.subnet(&vpc, &format!("10.0.{n}.0/24")).await;
        }
        assert_eq!(cloud.of_vpc("DescribeSubnets", "Subnets", &vpc).await.len(), 6);
    }
    // One that never answers is no success.
    let (store, commits) = (MemoryStore::new("networks"), AtomicUsize::new(0));
    let store = Unsure { store, commits, lose_answer_every: 1, lose_commit: true };
    let networks = Networks::new(Arc::new(store));
    let stores = Stores { networks: networks.clone(), ..Stores::memory() };
    assert!(hived::seed(&stores, &crate::cloud::config()).await.is_err());
    assert!(!networks.exists(&ACCOUNT.parse().expect("an account")).await.expect("asked"));
}

/// A view is of one instant, whatever is committed while it is read: a VPC is never seen without its parts.
#[tokio::test]
async fn views_are_whole() {
    let server = NatsServer::start();
    let (writer, reader) = (over_nats(&server).await, over_nats(&server).await);
    let account: AccountId = ACCOUNT.parse().expect("an account");
    let write = async {
        for n in 0..25 {
            let vpc = writer.vpc(&format!("10.{n}.0.0/16")).await;
            writer.ok("DeleteVpc", json!({"VpcId": vpc})).await;
        }
    };
    let read = async {
        for _ in 0..60 {
            let network = reader.stores.networks.load(&account).await.expect("a view");
            for vpc in network.vpcs.keys() {
                assert!(network.route_tables.values().any(|table| table.vpc_id == *vpc && table.main.is_some()));
                assert!(network.acls.values().any(|acl| acl.vpc_id == *vpc && acl.is_default));
                assert!(network.groups.values().any(|group| group.vpc_id == *vpc && group.name == "default"));
            }
            let parts =
                network.route_tables.values().map(|t| &t.vpc_id).chain(network.acls.values().map(|a| &a.vpc_id));
            for vpc in parts {
                assert!(network.vpcs.contains_key(vpc), "a part without its VPC");
            }
        }
    };
    tokio::join!(write, read);
    let all = reader.stores.networks.load_all().await.expect("all");
    assert_eq!(all.keys().collect::<Vec<_>>(), [&account]);
    let gateways = reader.ok("DescribeInternetGateways", json!({})).await;
    assert_eq!(list(&gateways, "InternetGateways").len(), 1);
}
