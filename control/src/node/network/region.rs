//! What all nodes agree on: the numbers of VPCs in tunnels, where each NAT gateway is, and where nodes are reached. Nodes claim what
//! nobody has yet; the bucket sees to it that each thing has one owner.

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
    /// Instances that may run at other nodes.
    pub elsewhere: BTreeMap<InstanceId, String>,
}

impl Region {
    /// Reads, and claims for what is in `networks` whatever has no owner.
    ///
    /// # Errors
    /// The bus is away.
    pub async fn read(
        stores: &Stores,
        here: &str,
        zone: &str,
        networks: &BTreeMap<AccountId, Network>,
        instances: &[InstanceRecord],
    ) -> Result<Self, Error> {
        let nodes: Vec<NodeRecord> = stores.nodes.range("").await?.into_iter().map(|record| record.value).collect();
        let others = nodes.iter().filter(|node| node.node_id != here);
        let may_run = |instance: &&InstanceRecord| instance.node_id != here && has_machine(instance);
        Ok(Self {
            vnis: vnis(stores, networks.values().flat_map(|network| network.vpcs.keys())).await?,
            nat_gateways: nat_gateways(stores, here, zone, networks, &nodes).await?,
            tunnel_addresses: others.filter_map(|node| Some((node.node_id.clone(), node.tunnel_address?))).collect(),
            elsewhere: instances
                .iter()
                .filter(may_run)
                .map(|instance| (instance.instance_id.clone(), instance.node_id.clone()))
                .collect(),
        })
    }

    /// Where what is at a node is reached; None: here, or nowhere.
    pub fn tunnel_to(&self, node: &str) -> Option<Ipv4Addr> {
        self.tunnel_addresses.get(node).copied()
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

/// The first node of its zone that sees it has it, until that node is silent.
async fn nat_gateways(
    stores: &Stores,
    here: &str,
    zone: &str,
    networks: &BTreeMap<AccountId, Network>,
    nodes: &[NodeRecord],
) -> Result<BTreeMap<NatGatewayId, String>, Error> {
    let places = stores.nat_places.range("").await?;
    let mut places: BTreeMap<NatGatewayId, String> =
        places.into_iter().map(|record| (record.value.nat_gateway_id, record.value.node_id)).collect();
    let is_alive = |id: &String| id == here || nodes.iter().any(|node| node.node_id == *id);
    let is_near = |network: &Network, gateway: &crate::store::NatGatewayRecord| {
        gateway.deleted_at.is_none()
            && network.subnets.get(&gateway.subnet_id).is_some_and(|subnet| subnet.zone == zone)
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

/// Takes back what is claimed for VPCs and NAT gateways that are gone.
///
/// # Errors
/// The bus is away.
pub async fn sweep(
    stores: &Stores,
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
    for record in stores.nat_places.range("").await? {
        let gateway = networks.values().find_map(|network| network.nat_gateways.get(&record.value.nat_gateway_id));
        if gateway.is_none_or(|gateway| gateway.deleted_at.is_some()) {
            let is_same = |found: &NatPlaceRecord| Ok::<_, Error>(*found == record.value);
            stores.nat_places.delete_if(&record.key, is_same).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::make_default_vpc;
    use std::sync::atomic::{AtomicU64, Ordering};

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
        Region::read(stores, here, "us-east-1a", networks, &[]).await.expect("read")
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
        sweep(&stores, &networks, |_| false).await.expect("swept");
        assert_eq!(stores.vnis.range("").await.expect("read").len(), 3);
        sweep(&stores, &networks, |_| true).await.expect("swept");
        assert_eq!(stores.vnis.range("").await.expect("read").len(), 1);
    }
}
