//! Everything of the VPCs of an account. All records lie in one bucket, key `<account>.<id>`, the id's prefix saying the kind; the
//! bucket's changes are the stream that an agent follows.
//!
//! What a call changes is one commit: all of its records or none, whenever the worker dies. Each commit also writes the account's
//! head, at the revision that was read, so commits of one account are in a row, and what a call checked still holds when it is
//! written: no two calls give out one address, and nothing is deleted that another call has just begun to use.

mod access;
mod address;
mod interface;
mod ipv6;
mod release;
mod routing;
mod vpc;

pub use access::{
    AclEntry, AclRecord, FlowLogRecord, Peer, PrefixListEntry, PrefixListRecord, PrefixListVersion, Rule, RuleKey,
    SecurityGroupRecord,
};
pub use address::{AddressAssociation, AddressRecord, Claimed, PublicAddressRecord};
pub use interface::{GroupReference, InterfaceAttachment, InterfaceOwner, InterfaceRecord};
pub use ipv6::{Ipv6Block, SubnetIpv6, overlap as overlap_ipv6};
pub use routing::{
    Destination, DhcpOptionsRecord, EgressOnlyGatewayRecord, InternetGatewayRecord, NatGatewayRecord, RouteRecord,
    RouteTableRecord, Target,
};
pub use vpc::{CidrBlock, SubnetRecord, VpcRecord, overlap};

use super::{Tags, Version, key};
use crate::error::{Error, not_found};
use crate::random;
use hive_bus::{Bytes, Entry, Store, StoreError, TableError, Write};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{
    AccountId, AllocationId, DhcpOptionsId, EgressOnlyGatewayId, FlowLogId, InternetGatewayId, MalformedId,
    NatGatewayId, NetworkAclId, NetworkInterfaceId, PrefixListId, RouteTableId, SecurityGroupId, SubnetId, VpcId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Commits lost to others before a call gives up.
const MAX_ATTEMPTS: u64 = 64;
/// Pause after a lost commit: up to this, times the losses so far.
const BACKOFF: Duration = Duration::from_millis(2);
/// Readings of one account that others' commits spoil.
const MAX_READS: usize = 64;
/// Times that a commit is sent whose answers get lost.
const MAX_UNSURE: usize = 3;
/// Conflicts, one after the other without anybody else's commit in between, after which a change gives up: its commit writes a key that
/// was deleted before, as one does that makes an object again which its ClientToken has made already. Fewer may be batches of others
/// that the server is still at.
const MAX_FUTILE: usize = 16;
/// Commits that a head remembers: so many may come between a commit and the look for what became of it.
const KEPT_COMMITS: usize = 16;
/// Last part of the key of an account's head; no id looks so.
const HEAD: &str = "head";

/// One kind of record.
pub trait NetworkRecord: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    type Id: Ord + Clone + Display + FromStr<Err = MalformedId> + Send + Sync;
    const RESOURCE: Resource;
    /// As tags name the kind, `vpc`.
    const TYPE: &'static str;

    fn id(&self) -> &Self::Id;
    fn account(&self) -> &AccountId;
    fn tags(&self) -> &Tags;
    fn tags_mut(&mut self) -> &mut Tags;
    fn all(network: &Network) -> &BTreeMap<Self::Id, Self>;
    fn all_mut(network: &mut Network) -> &mut BTreeMap<Self::Id, Self>;
}

/// The kinds: field of [`Network`], record, its id and the field that holds it, what errors call it, what tags call it.
macro_rules! kinds {
    ($($field:ident: $record:ident, $id:ident $id_field:ident, $resource:ident, $tag_type:literal;)*) => {
        /// All VPC objects of one account, as they were at one instant.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Network {
            $(pub $field: BTreeMap<$id, $record>,)*
        }

        $(impl NetworkRecord for $record {
            type Id = $id;
            const RESOURCE: Resource = Resource::$resource;
            const TYPE: &'static str = $tag_type;

            fn id(&self) -> &$id {
                &self.$id_field
            }
            fn account(&self) -> &AccountId {
                &self.account
            }
            fn tags(&self) -> &Tags {
                &self.tags
            }
            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
            fn all(network: &Network) -> &BTreeMap<$id, Self> {
                &network.$field
            }
            fn all_mut(network: &mut Network) -> &mut BTreeMap<$id, Self> {
                &mut network.$field
            }
        })*

        impl Network {
            /// Takes in a record as it lies in the bucket; a kind that this version does not know is passed over.
            fn decode(&mut self, id: &str, entry: &Entry) -> Result<(), TableError> {
                $(if let Ok(id) = id.parse::<$id>() {
                    let value = serde_json::from_slice(&entry.value)
                        .map_err(|e| TableError::Corrupt { key: entry.key.clone(), message: e.to_string() })?;
                    self.$field.insert(id, value);
                    return Ok(());
                })*
                tracing::warn!(key = entry.key, "a network record of an unknown kind");
                Ok(())
            }

            /// The writes that make `after` of `self`: id, and the new value unless it goes.
            fn difference(&self, after: &Network) -> Result<Vec<(String, Option<Bytes>)>, TableError> {
                let mut writes = Vec::new();
                $(
                    for (id, value) in after.$field.iter().filter(|(id, value)| self.$field.get(*id) != Some(*value)) {
                        writes.push((id.to_string(), Some(encode(id, value)?)));
                    }
                    for id in self.$field.keys().filter(|id| !after.$field.contains_key(*id)) {
                        writes.push((id.to_string(), None));
                    }
                )*
                Ok(writes)
            }

            /// The tags of every record: id, kind, tags.
            pub fn all_tags(&self) -> impl Iterator<Item = (String, &'static str, &Tags)> {
                std::iter::empty()$(.chain(self.$field.values().map(|r| (r.id().to_string(), $record::TYPE, &r.tags))))*
            }

            /// The tags of the record with this id, whatever its kind; None when `id` is of no kind here.
            pub fn tags_of(&mut self, id: &str) -> Option<Result<&mut Tags, Error>> {
                $(if let Ok(id) = id.parse::<$id>() {
                    return Some(self.get_mut::<$record>(&id).map(|record| &mut record.tags));
                })*
                None
            }

            /// The kind that the prefix of an id says, and whether the id is one.
            pub fn kind_of(prefix: &str, id: &str) -> Option<(Resource, bool)> {
                $(if prefix == $id::PREFIX {
                    return Some((Resource::$resource, id.parse::<$id>().is_ok()));
                })*
                None
            }
        }
    };
}
kinds! {
    vpcs: VpcRecord, VpcId vpc_id, Vpc, "vpc";
    subnets: SubnetRecord, SubnetId subnet_id, Subnet, "subnet";
    groups: SecurityGroupRecord, SecurityGroupId group_id, SecurityGroup, "security-group";
    prefix_lists: PrefixListRecord, PrefixListId prefix_list_id, PrefixList, "prefix-list";
    internet_gateways: InternetGatewayRecord, InternetGatewayId gateway_id, InternetGateway, "internet-gateway";
    egress_only_gateways: EgressOnlyGatewayRecord, EgressOnlyGatewayId gateway_id, EgressOnlyGateway,
        "egress-only-internet-gateway";
    route_tables: RouteTableRecord, RouteTableId route_table_id, RouteTable, "route-table";
    interfaces: InterfaceRecord, NetworkInterfaceId interface_id, NetworkInterface, "network-interface";
    addresses: AddressRecord, AllocationId allocation_id, Allocation, "elastic-ip";
    nat_gateways: NatGatewayRecord, NatGatewayId nat_gateway_id, NatGateway, "natgateway";
    acls: AclRecord, NetworkAclId acl_id, NetworkAcl, "network-acl";
    dhcp_options: DhcpOptionsRecord, DhcpOptionsId options_id, DhcpOptions, "dhcp-options";
    flow_logs: FlowLogRecord, FlowLogId flow_log_id, FlowLog, "vpc-flow-log";
}

impl Network {
    /// # Errors
    /// `NotFound`
    pub fn get<T: NetworkRecord>(&self, id: &T::Id) -> Result<&T, Error> {
        T::all(self).get(id).ok_or_else(|| not_found(T::RESOURCE, id))
    }

    /// # Errors
    /// `NotFound`
    pub fn get_mut<T: NetworkRecord>(&mut self, id: &T::Id) -> Result<&mut T, Error> {
        T::all_mut(self).get_mut(id).ok_or_else(|| not_found(T::RESOURCE, id))
    }

    pub fn insert<T: NetworkRecord>(&mut self, record: T) {
        T::all_mut(self).insert(record.id().clone(), record);
    }
}

fn encode(key: &impl Display, value: &impl Serialize) -> Result<Bytes, TableError> {
    let encoded = serde_json::to_vec(value);
    encoded.map(Bytes::from).map_err(|e| TableError::Encode { key: key.to_string(), message: e.to_string() })
}

/// Written with every commit of the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    version: Version<1>,
    /// Of the latest commit, so that one whose answer was lost is known again.
    commit: String,
    /// Those of before, newest first: another worker's commit may have come since.
    #[serde(default)]
    before: Vec<String>,
}

impl Head {
    fn knows(&self, commit: &str) -> bool {
        self.commit == commit || self.before.iter().any(|earlier| earlier == commit)
    }
}

/// The bucket of all accounts' networks.
#[derive(Clone, Debug)]
pub struct Networks {
    store: Arc<dyn Store>,
}

/// A network, and the revisions that its records were read at.
struct Reading {
    network: Network,
    revisions: BTreeMap<String, u64>,
    /// None: the account has none yet.
    head: Option<(Head, u64)>,
}

impl Reading {
    /// What lies under `prefix`.
    fn of(prefix: &str, entries: &[Entry]) -> Result<Self, TableError> {
        let mut reading = Self { network: Network::default(), revisions: BTreeMap::new(), head: None };
        for entry in entries {
            match entry.key.strip_prefix(prefix) {
                Some(HEAD) => reading.head = Some((decode_head(entry)?, entry.revision)),
                Some(id) => {
                    reading.network.decode(id, entry)?;
                    reading.revisions.insert(id.to_owned(), entry.revision);
                }
                None => {}
            }
        }
        Ok(reading)
    }

    fn head_revision(&self) -> u64 {
        self.head.as_ref().map_or(0, |(_, revision)| *revision)
    }

    /// The head of the commit that follows.
    fn next_head(&self) -> Result<Head, Error> {
        let latest = self.head.iter().flat_map(|(head, _)| std::iter::once(&head.commit).chain(&head.before));
        let before = latest.take(KEPT_COMMITS).cloned().collect();
        Ok(Head { version: Version, commit: format!("{:032x}", random::draw()?), before })
    }
}

impl Networks {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Whose changes are those of all networks.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// All VPC objects of an account, of one instant.
    pub async fn load(&self, account: &AccountId) -> Result<Network, Error> {
        Ok(self.read(account).await?.network)
    }

    /// The networks of all accounts that have one, each of one instant.
    pub async fn load_all(&self) -> Result<BTreeMap<AccountId, Network>, Error> {
        let mut all = BTreeMap::new();
        let entries = self.store.range("").await.map_err(TableError::from)?;
        let account_of = |entry: &Entry| entry.key.split('.').next().and_then(|text| text.parse::<AccountId>().ok());
        // In the order of their keys: an account's lie together.
        for of_one in entries.chunk_by(|a, b| account_of(a) == account_of(b)) {
            let Some(account) = of_one.first().and_then(account_of) else { continue };
            let reading = Reading::of(&super::account_prefix(&account), of_one)?;
            if reading.head.is_none() {
                continue;
            }
            let network = match self.head_revision(&account).await? == reading.head_revision() {
                true => reading.network,
                false => self.load(&account).await?,
            };
            all.insert(account, network);
        }
        Ok(all)
    }

    async fn head_revision(&self, account: &AccountId) -> Result<u64, TableError> {
        Ok(self.store.get(&key(account, &HEAD)).await?.map_or(0, |entry| entry.revision))
    }

    /// Whether anything was ever made for the account.
    pub async fn exists(&self, account: &AccountId) -> Result<bool, Error> {
        Ok(self.store.get(&key(account, &HEAD)).await.map_err(TableError::from)?.is_some())
    }

    /// Lets `change` edit the account's network and writes what it edited, as one commit; starts over when somebody else's came
    /// first, so `change` may run several times.
    ///
    /// # Errors
    /// `change`'s own error: nothing is written. [`ApiError::ServiceUnavailable`] when it makes anew what was deleted, under the same
    /// id: that cannot be, and another id must be drawn.
    pub async fn change<R>(
        &self,
        account: &AccountId,
        mut change: impl FnMut(&mut Network) -> Result<R, Error>,
    ) -> Result<(Network, R), Error> {
        let (mut lost_at, mut futile) = (None, 0);
        for attempt in 1..=MAX_ATTEMPTS {
            let reading = self.read(account).await?;
            futile = if lost_at == Some(reading.head_revision()) { futile + 1 } else { 0 };
            if futile == MAX_FUTILE {
                return Err(ApiError::ServiceUnavailable { reason: "an id was in use before".into() }.into());
            }
            lost_at = Some(reading.head_revision());
            let mut network = reading.network.clone();
            let result = change(&mut network)?;
            let edited = reading.network.difference(&network)?;
            if edited.is_empty() {
                return Ok((network, result));
            }
            if self.commit(account, &reading, edited).await? {
                return Ok((network, result));
            }
            let share = u32::try_from(random::draw()? % u128::from(attempt)).unwrap_or(0) + 1;
            tokio::time::sleep(BACKOFF * share).await;
        }
        Err(TableError::Contended { key: key(account, &HEAD) }.into())
    }

    /// False when another commit came first.
    async fn commit(
        &self,
        account: &AccountId,
        reading: &Reading,
        edited: Vec<(String, Option<Bytes>)>,
    ) -> Result<bool, Error> {
        let mut writes: Vec<Write> = edited
            .into_iter()
            .map(|(id, value)| {
                let revision = reading.revisions.get(&id).copied().unwrap_or(0);
                Write { key: key(account, &id), revision, value }
            })
            .collect();
        let head = reading.next_head()?;
        let head_key = key(account, &HEAD);
        let value = Some(encode(&head_key, &head)?);
        writes.push(Write { key: head_key.clone(), revision: reading.head_revision(), value });
        let mut unsure = None;
        for _ in 0..MAX_UNSURE {
            match self.store.commit(&writes).await {
                Ok(_) => return Ok(true),
                Err(StoreError::Conflict { .. }) if unsure.is_none() => return Ok(false),
                // It may be ours of before that came first.
                Err(StoreError::Conflict { .. }) => {}
                Err(unknown @ StoreError::Unknown { .. }) => unsure = Some(unknown),
                Err(error) => match unsure {
                    // Of this time; of an earlier one it is still not known.
                    None => return Err(TableError::from(error).into()),
                    Some(_) => break,
                },
            }
            let Ok(found) = self.store.get(&head_key).await else { break };
            // Still the old one: ours did not arrive, or arrives yet. Of two with the same revisions one at most is carried out.
            if found.as_ref().map_or(0, |entry| entry.revision) == reading.head_revision() {
                continue;
            }
            let Some(found) = found.as_ref().map(decode_head).transpose()? else { break };
            if found.knows(&head.commit) {
                return Ok(true);
            }
            // Others' alone have come since ours was begun, so ours can come no more.
            if reading.head.as_ref().is_some_and(|(before, _)| found.knows(&before.commit)) {
                return Ok(false);
            }
            break;
        }
        unsure.map_or(Ok(false), |unknown| Err(TableError::from(unknown).into()))
    }

    /// A listing is of one instant when no commit came while it was read.
    async fn read(&self, account: &AccountId) -> Result<Reading, Error> {
        let prefix = super::account_prefix(account);
        for _ in 0..MAX_READS {
            let entries = self.store.range(&prefix).await.map_err(TableError::from)?;
            let latest = self.head_revision(account).await?;
            let reading = Reading::of(&prefix, &entries)?;
            if reading.head_revision() == latest {
                return Ok(reading);
            }
        }
        Err(TableError::Contended { key: key(account, &HEAD) }.into())
    }
}

fn decode_head(entry: &Entry) -> Result<Head, TableError> {
    serde_json::from_slice(&entry.value)
        .map_err(|e| TableError::Corrupt { key: entry.key.clone(), message: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::make_default_vpc;
    use hive_bus::MemoryStore;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    fn account() -> AccountId {
        "123456789012".parse().expect("an account")
    }

    fn networks() -> Networks {
        Networks::new(Arc::new(MemoryStore::new("networks")))
    }

    #[tokio::test]
    async fn what_was_changed_is_what_is_read() {
        let (networks, account, next) = (networks(), account(), AtomicU64::new(1));
        assert!(!networks.exists(&account).await.expect("asked"));
        let draw = |_: &str| Ok(next.fetch_add(1, Ordering::Relaxed).into());
        let make = |network: &mut Network| make_default_vpc(network, &account, "us-east-1a", true, &draw);
        let (written, vpc) = networks.change(&account, make).await.expect("made");
        assert_eq!(networks.load(&account).await.expect("read"), written);
        assert_eq!((written.subnets.len(), written.route_tables.len(), written.acls.len()), (1, 1, 1));
        let (written, ()) = networks
            .change(&account, |network| {
                network.get_mut::<VpcRecord>(&vpc.vpc_id)?.tags.insert("a".into(), "b".into());
                network.internet_gateways.clear();
                Ok(())
            })
            .await
            .expect("changed");
        assert_eq!(networks.load(&account).await.expect("read"), written);
        assert!(written.internet_gateways.is_empty());
        assert!(networks.exists(&account).await.expect("asked"));
    }

    /// A bucket whose answer to one commit is lost, and in which somebody else commits right after.
    #[derive(Debug)]
    struct Overtaken {
        store: Arc<MemoryStore>,
        armed: AtomicBool,
    }

    #[async_trait::async_trait]
    impl Store for Overtaken {
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
            let done = self.store.commit(writes).await?;
            if !self.armed.swap(false, Ordering::Relaxed) {
                return Ok(done);
            }
            let other = Networks::new(self.store.clone());
            let account = account();
            let renamed = other.change(&account, |network| {
                network.vpcs.values_mut().for_each(|vpc| drop(vpc.tags.insert("other".into(), "came".into())));
                Ok(())
            });
            renamed.await.expect("the other's");
            Err(StoreError::Unknown { bucket: "networks".into(), key: "head".into(), message: "lost".into() })
        }
        async fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
            self.store.range(prefix).await
        }
        async fn watch(&self, prefix: &str) -> Result<hive_bus::Changes, StoreError> {
            self.store.watch(prefix).await
        }
    }

    /// Its answer lost and another's commit on top of it: a commit is still known as carried out, once.
    #[tokio::test]
    async fn a_commit_is_known_beneath_anothers() {
        let store =
            Arc::new(Overtaken { store: Arc::new(MemoryStore::new("networks")), armed: AtomicBool::new(false) });
        let (networks, account, next) = (Networks::new(store.clone()), account(), AtomicU64::new(1));
        let draw = |_: &str| Ok(next.fetch_add(1, Ordering::Relaxed).into());
        let make = |network: &mut Network| make_default_vpc(network, &account, "us-east-1a", true, &draw);
        networks.change(&account, make).await.expect("the first");
        store.armed.store(true, Ordering::Relaxed);
        networks.change(&account, make).await.expect("the second");
        let network = networks.load(&account).await.expect("read");
        assert_eq!(network.vpcs.len(), 2);
        assert!(network.vpcs.values().all(|vpc| vpc.tags.contains_key("other")));
    }

    #[tokio::test]
    async fn all_networks_are_read_at_once() {
        let (networks, next) = (networks(), AtomicU64::new(1));
        let draw = |_: &str| Ok(next.fetch_add(1, Ordering::Relaxed).into());
        let accounts: Vec<AccountId> =
            ["123456789012", "210987654321"].map(|id| id.parse().expect("an account")).into();
        for account in &accounts {
            let make = |network: &mut Network| make_default_vpc(network, account, "us-east-1a", true, &draw);
            networks.change(account, make).await.expect("made");
        }
        let all = networks.load_all().await.expect("all");
        assert_eq!(all.keys().collect::<Vec<_>>(), accounts.iter().collect::<Vec<_>>());
        for (account, network) in all {
            assert_eq!(network, networks.load(&account).await.expect("one"));
        }
    }

    #[tokio::test]
    async fn a_refused_change_writes_nothing() {
        let (networks, account) = (networks(), account());
        let refused = networks.change(&account, |network| {
            make_default_vpc(network, &account, "us-east-1a", true, &|_| Ok(7))?;
            Err::<(), _>(not_found(Resource::Vpc, "vpc-1"))
        });
        assert!(refused.await.is_err());
        assert_eq!(networks.load(&account).await.expect("read"), Network::default());
        assert!(!networks.exists(&account).await.expect("asked"));
    }

    /// What a subnet's packets go by: its own table, else the main one.
    #[test]
    fn a_subnet_without_a_table_follows_the_main_one() {
        let (mut network, next) = (Network::default(), AtomicU64::new(1));
        let draw = |_: &str| Ok(next.fetch_add(1, Ordering::Relaxed).into());
        make_default_vpc(&mut network, &account(), "us-east-1a", true, &draw).expect("made");
        let subnet = network.subnets.values().next().expect("a subnet").clone();
        let main = network.route_tables.values().next().expect("a table").clone();
        assert_eq!(network.route_table_of(&subnet), Some(&main));
        let mut own = RouteTableRecord { route_table_id: RouteTableId::from_random(99), main: None, ..main };
        own.associations.insert(subnet.subnet_id.clone(), hive_types::id::RouteTableAssociationId::from_random(1));
        network.insert(own.clone());
        assert_eq!(network.route_table_of(&subnet), Some(&own));
        assert!(network.is_active(&own, &own.routes[0].target));
        network.internet_gateways.clear();
        assert!(!network.is_active(&own, &own.routes[0].target));
    }
}
