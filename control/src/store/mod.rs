//! Every record that hived keeps, and the buckets they lie in. Keys are `<account>.<id>` unless a table says otherwise.

mod account;
mod image;
mod instance;
mod key;
mod network;
mod node;
mod snapshot;
mod version;
mod volume;

pub use account::{AccountRecord, SecretRecord};
pub use image::{BootFiles, ImageRecord, ImageSource};
pub use instance::{
    Disk, Imaging, InstanceRecord, InstanceState, KeyReference, MetadataOptions, NetworkInterface, Shutdown,
    StateReason,
};
pub use key::{KeyPairRecord, KeyType};
pub use network::{
    AclEntry, AclRecord, AddressAssociation, AddressRecord, CidrBlock, Claimed, Destination, DhcpOptionsRecord,
    EgressOnlyGatewayRecord, FlowLogRecord, GroupReference, InterfaceAttachment, InterfaceOwner, InterfaceRecord,
    InternetGatewayRecord, Ipv6Block, NatGatewayRecord, Network, NetworkRecord, Networks, Peer, PrefixListEntry,
    PrefixListRecord, PrefixListVersion, PublicAddressRecord, RouteRecord, RouteTableRecord, Rule, RuleKey,
    SecurityGroupRecord, SubnetIpv6, SubnetRecord, Target, VpcRecord, overlap, overlap_ipv6,
};
pub use node::{DrawnIds, IdempotencyRecord, NatPlaceRecord, NodeRecord, PlacementRecord, Reserved, VniRecord};
pub use snapshot::{Origin, SnapshotRecord, SnapshotState};
pub use version::Version;
pub use volume::{Attachment, Modification, ModificationState, Performance, VolumeRecord, VolumeState};

use hive_bus::{BucketConfig, Bus, MemoryStore, Store, Table};
use hive_types::CredentialRecord;
use hive_types::credential::CREDENTIALS_BUCKET;
use hive_types::id::AccountId;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

pub type Tags = BTreeMap<String, String>;

const NETWORKS_BUCKET: &str = "networks";
/// How long a ClientToken is remembered, at least AWS's promise.
const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 3600);
/// A node that is silent this long counts as gone; several heartbeats.
const NODE_TTL: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Stores {
    pub instances: Table<InstanceRecord>,
    pub volumes: Table<VolumeRecord>,
    pub images: Table<ImageRecord>,
    pub snapshots: Table<SnapshotRecord>,
    /// Key `<account>.<name in hexadecimal>`: the name is what must be unique.
    pub key_pairs: Table<KeyPairRecord>,
    /// Everything of the VPCs, whose records change together.
    pub networks: Networks,
    /// Key: what is claimed, see [`Claimed::key`].
    pub public_addresses: Table<PublicAddressRecord>,
    /// Key: the number, see [`VniRecord::key_of`].
    pub vnis: Table<VniRecord>,
    /// Key: the NAT gateway's id.
    pub nat_places: Table<NatPlaceRecord>,
    /// Key `<account>.<action>.<SHA-256 of the token>`.
    pub idempotency: Table<IdempotencyRecord>,
    /// Key: node id.
    pub nodes: Table<NodeRecord>,
    /// Key: account id.
    pub accounts: Table<AccountRecord>,
    /// Key: what the secret is for.
    pub secrets: Table<SecretRecord>,
    /// Key: node id. What of the node is promised to instances.
    pub placement: Table<PlacementRecord>,
    /// Key: access key id.
    pub credentials: Table<CredentialRecord>,
}

impl Stores {
    pub fn nats(bus: &Bus, replicas: usize) -> Self {
        Self::open(|name, ttl| {
            let atomic = name == NETWORKS_BUCKET;
            Arc::new(bus.bucket(BucketConfig { name: name.to_owned(), ttl, replicas, atomic }))
        })
    }

    /// For tests: nothing expires.
    pub fn memory() -> Self {
        Self::open(|name, _| Arc::new(MemoryStore::new(name)))
    }

    fn open(bucket: impl Fn(&str, Option<Duration>) -> Arc<dyn Store>) -> Self {
        Self {
            instances: Table::new(bucket("instances", None)),
            volumes: Table::new(bucket("volumes", None)),
            images: Table::new(bucket("images", None)),
            snapshots: Table::new(bucket("snapshots", None)),
            key_pairs: Table::new(bucket("keypairs", None)),
            networks: Networks::new(bucket(NETWORKS_BUCKET, None)),
            public_addresses: Table::new(bucket("publicaddresses", None)),
            vnis: Table::new(bucket("vnis", None)),
            nat_places: Table::new(bucket("natplaces", None)),
            idempotency: Table::new(bucket("idem", Some(IDEMPOTENCY_TTL))),
            nodes: Table::new(bucket("nodes", Some(NODE_TTL))),
            accounts: Table::new(bucket("accounts", None)),
            secrets: Table::new(bucket("secrets", None)),
            placement: Table::new(bucket("placement", None)),
            credentials: Table::new(bucket(CREDENTIALS_BUCKET, None)),
        }
    }
}

/// `<account>.<id>`
pub fn key(account: &AccountId, id: &impl Display) -> String {
    format!("{account}.{id}")
}

/// Prefix of all records of an account.
pub fn account_prefix(account: &AccountId) -> String {
    format!("{account}.")
}
