//! What all nodes agree on: the numbers of VPCs in tunnels, where each NAT gateway is, and where nodes are reached. Nodes claim what
//! nobody has yet; the bucket sees to it that each thing has one owner.

use super::bridge::Peers;
use super::tunnel::is_key;
use crate::error::Error;
use crate::store::{InstanceRecord, InstanceState, NatPlaceRecord, Network, NodeRecord, Stores, Version, VniRecord};
use hive_types::id::{AccountId, InstanceId, NatGatewayId, VpcId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Numbers of VPCs in tunnels have 24 bits; 0 is nobody's.
const VNI_MASK: u32 = 0x00ff_ffff;

/// Kept in the node's local copy, as all that it goes by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Region {
    pub vnis: BTreeMap<VpcId, u32>,
    /// Node ids.
    pub nat_gateways: BTreeMap<NatGatewayId, String>,
    /// Of other nodes, by id.
    pub tunnel_addresses: BTreeMap<String, Ipv4Addr>,
    /// The same nodes' public keys, of those that encrypt.
    #[serde(default)]
    pub tunnel_keys: BTreeMap<String, String>,
    /// Instances that may run at other nodes.
    pub elsewhere: BTreeMap<InstanceId, String>,
}

impl Region {
    /// Reads, and claims for what is in `networks` whatever has no owner. `has_uplink`: NAT gateways too.
    ///
    /// # Errors
    /// The bus is away.
    pub async fn read(
        stores: &Stores,
        here: &str,
        zone: &str,
        has_uplink: bool,
        networks: &BTreeMap<AccountId, Network>,
        instances: &[InstanceRecord],
    ) -> Result<Self, Error> {
        let nodes: Vec<NodeRecord> = stores.nodes.range("").await?.into_iter().map(|record| record.value).collect();
        let others = || nodes.iter().filter(|node| node.node_id != here);
        let may_run = |instance: &&InstanceRecord| instance.node_id != here && has_machine(instance);
        Ok(Self {
            vnis: vnis(stores, networks.values().flat_map(|network| network.vpcs.keys())).await?,
            nat_gateways: nat_gateways(stores, here, has_uplink.then_some(zone), networks, &nodes).await?,
            tunnel_addresses: others().filter_map(|node| Some((node.node_id.clone(), node.tunnel_address?))).collect(),
            tunnel_keys: others().filter_map(|node| Some((node.node_id.clone(), node.tunnel_key.clone()?))).collect(),
            elsewhere: instances
                .iter()
                .filter(may_run)
                .map(|instance| (instance.instance_id.clone(), instance.node_id.clone()))
                .collect(),
        })
    }

    /// A node whose hived is silent may still have its machines, and its switch runs: it is reached as it was.
    #[must_use]
    pub fn with_silent(mut self, before: &Self) -> Self {
        let used: BTreeSet<&String> = self.elsewhere.values().chain(self.nat_gateways.values()).collect();
        let silent = before.tunnel_addresses.iter().filter(|(id, _)| used.contains(id));
        let silent: Vec<_> = silent.filter(|(id, _)| !self.tunnel_addresses.contains_key(*id)).collect();
        for (id, address) in silent {
            self.tunnel_addresses.insert(id.clone(), *address);
            if let Some(key) = before.tunnel_keys.get(id) {
                self.tunnel_keys.insert(id.clone(), key.clone());
            }
        }
        self
    }

    /// Only of what is in these networks.
    pub fn retain(&mut self, networks: &BTreeMap<AccountId, Network>) {
        let networks = || networks.values();
        self.vnis.retain(|vpc, _| networks().any(|network| network.vpcs.contains_key(vpc)));
        self.nat_gateways.retain(|id, _| networks().any(|network| network.nat_gateways.contains_key(id)));
        let attached = networks().flat_map(|network| network.interfaces.values());
        let attached: BTreeSet<&InstanceId> =
            attached.filter_map(|interface| Some(&interface.attachment.as_ref()?.instance_id)).collect();
        self.elsewhere.retain(|id, _| attached.contains(id));
    }

    /// Where what is at a node is reached; None: here, or nowhere. `encrypts`: this node, which does so with all or not at all.
    pub fn tunnel_to(&self, node: &str, encrypts: bool) -> Option<Ipv4Addr> {
        let has_key = self.key_of(node).is_some();
        self.tunnel_addresses.get(node).copied().filter(|_| has_key == encrypts)
    }

    fn key_of(&self, node: &str) -> Option<&String> {
        self.tunnel_keys.get(node).filter(|key| is_key(key))
    }

    /// With whom tunnels are encrypted.
    pub fn peers(&self) -> Peers {
        let peers = self.tunnel_addresses.iter();
        peers.filter_map(|(node, address)| Some((*address, self.key_of(node)?.clone()))).collect()
    }
}

pub fn has_machine(instance: &InstanceRecord) -> bool {
    !matches!(instance.state, InstanceState::Stopped | InstanceState::Terminated)
}

/// A VPC's first choice.
fn preferred(vpc: &VpcId) -> u32 {
    let digest = Sha256::digest(vpc.as_str());
    digest.first_chunk().map_or(0, |chunk| u32::from_be_bytes(*chunk) & VNI_MASK)
}

/// Claimed numbers by VPC. If two nodes have claimed one for the same VPC at once, the smaller number counts.
async fn claimed(stores: &Stores) -> Result<(BTreeMap<VpcId, u32>, BTreeSet<u32>), Error> {
    let mut of_vpcs = BTreeMap::new();
    let mut taken = BTreeSet::from([0]);
    for record in stores.vnis.range("").await? {
        let Ok(number) = record.key.parse() else { continue };
        taken.insert(number);
        of_vpcs.entry(record.value.vpc_id).and_modify(|known: &mut u32| *known = number.min(*known)).or_insert(number);
    }
    Ok((of_vpcs, taken))
}

async fn vnis(stores: &Stores, vpcs: impl Iterator<Item = &VpcId>) -> Result<BTreeMap<VpcId, u32>, Error> {
    let (known, mut taken) = claimed(stores).await?;
    let missing: Vec<&VpcId> = vpcs.filter(|vpc| !known.contains_key(*vpc)).collect();
    if missing.is_empty() {
        return Ok(known);
    }
    for vpc in missing {
        let first = preferred(vpc);
        let mut free = (0..=VNI_MASK).map(|step| first.wrapping_add(step) & VNI_MASK);
        let Some(number) = free.find(|number| taken.insert(*number)) else { break };
        let record = VniRecord { version: Version, vpc_id: vpc.clone(), since: Timestamp::now() };
        // If somebody has it by now, the next reading says whose it is.
        stores.vnis.create(&VniRecord::key_of(number), &record).await?;
    }
    Ok(claimed(stores).await?.0)
}

/// The first node of its zone with an uplink that sees it has it, until that node is silent. `zone`: of this node, if it may.
async fn nat_gateways(
    stores: &Stores,
    here: &str,
    zone: Option<&str>,
    networks: &BTreeMap<AccountId, Network>,
    nodes: &[NodeRecord],
) -> Result<BTreeMap<NatGatewayId, String>, Error> {
    let places = stores.nat_places.range("").await?;
    let mut places: BTreeMap<NatGatewayId, String> =
        places.into_iter().map(|record| (record.value.nat_gateway_id, record.value.node_id)).collect();
    let is_alive = |id: &String| id == here || nodes.iter().any(|node| node.node_id == *id);
    let is_near = |network: &Network, gateway: &crate::store::NatGatewayRecord| {
        gateway.deleted_at.is_none()
            && network.subnets.get(&gateway.subnet_id).is_some_and(|subnet| Some(subnet.zone.as_str()) == zone)
    };
    for network in networks.values() {
        for gateway in network.nat_gateways.values().filter(|gateway| is_near(network, gateway)) {
            let id = &gateway.nat_gateway_id;
            if places.get(id).is_some_and(is_alive) {
                continue;
            }
            let record = NatPlaceRecord { version: Version, nat_gateway_id: id.clone(), node_id: here.to_owned() };
            let mut owner = here.to_owned();
            if !stores.nat_places.create(id.as_str(), &record).await? {
                let silent = places.get(id);
                let taken = stores.nat_places.modify(id.as_str(), |place| {
                    if Some(&place.node_id) == silent {
                        here.clone_into(&mut place.node_id);
                    }
                    Ok::<_, Error>(())
                });
                owner = taken.await?.map_or(owner, |(place, ())| place.node_id);
            }
            places.insert(id.clone(), owner);
        }
    }
    Ok(places)
}

/// Where NAT gateways are said to be; to be read before `networks` of [`sweep`], for one that is made in between counts as there.
///
/// # Errors
/// The bus is away.
pub async fn nat_places(stores: &Stores) -> Result<Vec<NatPlaceRecord>, Error> {
    Ok(stores.nat_places.range("").await?.into_iter().map(|record| record.value).collect())
}

/// Takes back what is claimed for VPCs and NAT gateways that are gone.
///
/// # Errors
/// The bus is away.
pub async fn sweep(
    stores: &Stores,
    nat_places: &[NatPlaceRecord],
    networks: &BTreeMap<AccountId, Network>,
    is_old: impl Fn(Timestamp) -> bool,
) -> Result<(), Error> {
    let is_there = |vpc: &VpcId| networks.values().any(|network| network.vpcs.contains_key(vpc));
    let (known, _) = claimed(stores).await?;
    for record in stores.vnis.range("").await? {
        let is_spare =
            known.get(&record.value.vpc_id).map(|number| VniRecord::key_of(*number)) != Some(record.key.clone());
        if is_old(record.value.since) && (is_spare || !is_there(&record.value.vpc_id)) {
            let is_same = |found: &VniRecord| Ok::<_, Error>(*found == record.value);
            stores.vnis.delete_if(&record.key, is_same).await?;
        }
    }
    for place in nat_places {
        let id = &place.nat_gateway_id;
        let gateway = networks.values().find_map(|network| network.nat_gateways.get(id));
        if gateway.is_none_or(|gateway| gateway.deleted_at.is_some()) {
            let is_same = |found: &NatPlaceRecord| Ok::<_, Error>(found == place);
            stores.nat_places.delete_if(id.as_str(), is_same).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::make_default_vpc;
    use crate::store::NatGatewayRecord;
    use hive_types::id::NetworkInterfaceId;
    use std::sync::atomic::{AtomicU64, Ordering};

    const KEY: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

    fn networks(vpcs: usize) -> BTreeMap<AccountId, Network> {
        let account: AccountId = "123456789012".parse().expect("an account");
        let (mut network, next) = (Network::default(), AtomicU64::new(1));
        let draw = |_: &str| Ok(next.fetch_add(1, Ordering::Relaxed).into());
        for _ in 0..vpcs {
            make_default_vpc(&mut network, &account, "us-east-1a", true, &draw).expect("made");
        }
        BTreeMap::from([(account, network)])
    }

    async fn read(stores: &Stores, here: &str, networks: &BTreeMap<AccountId, Network>) -> Region {
        Region::read(stores, here, "us-east-1a", true, networks, &[]).await.expect("read")
    }

    async fn sweep_all(stores: &Stores, networks: &BTreeMap<AccountId, Network>, is_old: bool) {
        let places = nat_places(stores).await.expect("read");
        sweep(stores, &places, networks, |_| is_old).await.expect("swept");
    }

    #[tokio::test]
    async fn a_nat_gateway_is_at_one_node_with_an_uplink_until_that_is_silent() {
        let (stores, mut networks) = (Stores::memory(), networks(1));
        let network = networks.values_mut().next().expect("an account");
        let subnet = network.subnets.values().next().expect("a subnet").clone();
        let id = NatGatewayId::from_random(7);
        let gateway = NatGatewayRecord {
            version: Version,
            nat_gateway_id: id.clone(),
            account: subnet.account.clone(),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.subnet_id.clone(),
            interface_id: NetworkInterfaceId::from_random(8),
            private_ip: Ipv4Addr::new(172, 31, 0, 9),
            public: None,
            created_at: Timestamp::now(),
            deleted_at: None,
            tags: Default::default(),
        };
        network.nat_gateways.insert(id.clone(), gateway);
        let node = |node_id: &str| NodeRecord {
            version: Version,
            node_id: node_id.to_owned(),
            zone: "us-east-1a".into(),
            vcpus: 1,
            memory_mib: 1,
            heartbeat_at: Timestamp::now(),
            tunnel_address: None,
            tunnel_key: None,
        };
        for name in ["a", "b"] {
            stores.nodes.create(name, &node(name)).await.expect("created");
        }
        let at = |region: Region| region.nat_gateways.get(&id).cloned();
        let without = Region::read(&stores, "b", "us-east-1a", false, &networks, &[]).await.expect("read");
        let elsewhere = Region::read(&stores, "b", "us-east-1b", true, &networks, &[]).await.expect("read");
        assert_eq!((at(without), at(elsewhere)), (None, None));
        let (here, there) = tokio::join!(read(&stores, "a", &networks), read(&stores, "b", &networks));
        let owner = at(here).expect("a node");
        assert_eq!(at(there).as_ref(), Some(&owner));
        // Its heartbeats expire; the other one has it, for good.
        let other = if owner == "a" { "b" } else { "a" };
        stores.nodes.delete_if(&owner, |_| Ok::<_, Error>(true)).await.expect("deleted");
        assert_eq!(at(read(&stores, other, &networks).await).as_deref(), Some(other));
        stores.nodes.create(&owner, &node(&owner)).await.expect("created");
        assert_eq!(at(read(&stores, &owner, &networks).await).as_deref(), Some(other));

        sweep_all(&stores, &networks, true).await;
        assert_eq!(nat_places(&stores).await.expect("read").len(), 1);
        let read_before = nat_places(&stores).await.expect("read");
        networks.values_mut().for_each(|network| network.nat_gateways.clear());
        sweep(&stores, &[], &networks, |_| true).await.expect("swept");
        assert_eq!(nat_places(&stores).await.expect("read"), read_before, "made since");
        sweep_all(&stores, &networks, true).await;
        assert!(nat_places(&stores).await.expect("read").is_empty());
    }

    #[test]
    fn a_silent_node_is_reached_as_it_was_while_something_is_there() {
        let region = |node: Option<&str>, address: &str| Region {
            elsewhere: [(InstanceId::from_random(7), "b".to_owned())].into(),
            tunnel_addresses: node
                .map(|id| (id.to_owned(), address.parse().expect("an address")))
                .into_iter()
                .collect(),
            tunnel_keys: node.map(|id| (id.to_owned(), KEY.to_owned())).into_iter().collect(),
            ..Region::default()
        };
        let before = region(Some("b"), "192.0.2.2");
        assert_eq!(region(None, "").with_silent(&before), before);
        // Encrypted with those that have a key, which all have or none.
        let at = Some(Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!((before.tunnel_to("b", true), before.tunnel_to("b", false)), (at, None));
        assert_eq!(before.peers(), [(Ipv4Addr::new(192, 0, 2, 2), KEY.to_owned())].into());
        for key in [None, Some("none")] {
            let keys = key.map(|key| ("b".to_owned(), key.to_owned())).into_iter().collect();
            let other = Region { tunnel_keys: keys, ..before.clone() };
            assert_eq!((other.tunnel_to("b", true), other.tunnel_to("b", false)), (None, at));
            assert!(other.peers().is_empty());
        }
        let moved = region(Some("b"), "192.0.2.3");
        assert_eq!(moved.clone().with_silent(&before), moved);
        let nothing = Region::default();
        assert_eq!(nothing.clone().with_silent(&before), nothing);
    }

    #[test]
    fn what_is_of_other_accounts_changes_nothing() {
        let networks = networks(1);
        let vpc = networks.values().flat_map(|network| network.vpcs.keys()).next().expect("a VPC").clone();
        let mut region = Region {
            vnis: [(vpc.clone(), 1), (VpcId::from_random(9), 2)].into(),
            nat_gateways: [(NatGatewayId::from_random(7), "a".to_owned())].into(),
            elsewhere: [(InstanceId::from_random(7), "a".to_owned())].into(),
            ..Region::default()
        };
        region.retain(&networks);
        assert_eq!(region, Region { vnis: [(vpc, 1)].into(), ..Region::default() });
    }

    #[tokio::test]
    async fn all_nodes_know_a_vpc_by_one_number() {
        let (stores, networks) = (Stores::memory(), networks(20));
        let (a, b) = tokio::join!(read(&stores, "a", &networks), read(&stores, "b", &networks));
        let again = read(&stores, "c", &networks).await;
        assert_eq!((a.vnis.len(), &a.vnis, &b.vnis), (20, &again.vnis, &again.vnis));
        let different: BTreeSet<&u32> = a.vnis.values().collect();
        assert_eq!(different.len(), 20);
        assert!(different.iter().all(|number| (1..=VNI_MASK).contains(*number)));
    }

    #[tokio::test]
    async fn a_number_that_is_taken_is_not_given_again() {
        let (stores, networks) = (Stores::memory(), networks(1));
        let vpc = networks.values().flat_map(|network| network.vpcs.keys()).next().expect("a VPC");
        let other = VniRecord { version: Version, vpc_id: VpcId::from_random(99), since: Timestamp::now() };
        stores.vnis.create(&VniRecord::key_of(preferred(vpc)), &other).await.expect("created");
        let region = read(&stores, "a", &networks).await;
        assert_eq!(region.vnis[vpc], preferred(vpc).wrapping_add(1) & VNI_MASK);
        // Twice claimed: the smaller one counts for everybody, and the other goes, as those of VPCs that are gone.
        let twice = VniRecord { version: Version, vpc_id: vpc.clone(), since: Timestamp::now() };
        stores.vnis.create(&VniRecord::key_of(1), &twice).await.expect("created");
        assert_eq!(read(&stores, "a", &networks).await.vnis[vpc], 1);
        sweep_all(&stores, &networks, false).await;
        assert_eq!(stores.vnis.range("").await.expect("read").len(), 3);
        sweep_all(&stores, &networks, true).await;
        assert_eq!(stores.vnis.range("").await.expect("read").len(), 1);
    }
}
