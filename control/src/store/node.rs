//! Nodes, what of them is promised, and remembered ClientTokens.

use super::Version;
use hive_types::id::{
    AccountId, InstanceId, NatGatewayId, NetworkInterfaceId, ReservationId, SnapshotId, VolumeId, VpcId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A node's heartbeat; the bucket forgets a silent node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub version: Version<1>,
    pub node_id: String,
    pub zone: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub heartbeat_at: Timestamp,
    /// Where other nodes' tunnels reach it.
    #[serde(default)]
    pub tunnel_address: Option<Ipv4Addr>,
    /// The public key (X25519, Base64) of a node that encrypts what goes through tunnels.
    #[serde(default)]
    pub tunnel_key: Option<String>,
}

/// The number of a VPC in tunnels between nodes. Its key is the number, so no other VPC has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VniRecord {
    pub version: Version<1>,
    pub vpc_id: VpcId,
    pub since: Timestamp,
}

impl VniRecord {
    pub fn key_of(number: u32) -> String {
        number.to_string()
    }
}

/// The node that is a NAT gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatPlaceRecord {
    pub version: Version<1>,
    pub nat_gateway_id: NatGatewayId,
    pub node_id: String,
}

/// One value a node, so that two launches cannot both take the last of its memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlacementRecord {
    pub version: Version<1>,
    pub reserved: BTreeMap<InstanceId, Reserved>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    pub account: AccountId,
    pub memory_mib: u64,
    /// A reservation without an instance is undone when it is older than any launch takes.
    pub since: Timestamp,
}

impl PlacementRecord {
    pub fn memory_mib(&self) -> u64 {
        self.reserved.values().map(|r| r.memory_mib).sum()
    }

    /// Takes up `memory_mib` of a node with `capacity_mib`; true when it fits, or is held already.
    pub fn reserve(&mut self, id: &InstanceId, wanted: Reserved, capacity_mib: u64) -> bool {
        if self.reserved.contains_key(id) {
            return true;
        }
        let fits = self.memory_mib().saturating_add(wanted.memory_mib) <= capacity_mib;
        if fits {
            self.reserved.insert(id.clone(), wanted);
        }
        fits
    }
}

/// What a ClientToken stands for. The ids are drawn before anything is made, so that a retry makes the same things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    pub version: Version<1>,
    /// SHA-256 of the parameters, hexadecimal.
    pub parameters: String,
    pub ids: DrawnIds,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrawnIds {
    Launch {
        reservation_id: ReservationId,
        instances: Vec<(InstanceId, Vec<NetworkInterfaceId>, Vec<VolumeId>)>,
    },
    Volume(VolumeId),
    Snapshot(SnapshotId),
    /// Of an object of a VPC, or several, each by its kind's prefix.
    Network(Vec<String>),
}
