//! Nodes, what of them is promised, and remembered ClientTokens.

use super::Version;
use hive_types::id::{AccountId, InstanceId, NetworkInterfaceId, ReservationId, SnapshotId, VolumeId};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// A node's heartbeat; the bucket forgets a silent node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub version: Version<1>,
    pub node_id: String,
    pub zone: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub heartbeat_at: Timestamp,
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
        #[serde(deserialize_with = "launched")]
        instances: Vec<(InstanceId, Vec<NetworkInterfaceId>, Vec<VolumeId>)>,
    },
    Volume(VolumeId),
    Snapshot(SnapshotId),
    /// Of an object of a VPC, or several, each by its kind's prefix.
    Network(Vec<String>),
}

/// Tokens of before an instance could have several interfaces name the one by itself; they are remembered for a day.
fn launched<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(InstanceId, Vec<NetworkInterfaceId>, Vec<VolumeId>)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Interfaces {
        One(NetworkInterfaceId),
        All(Vec<NetworkInterfaceId>),
    }
    let launched: Vec<(InstanceId, Interfaces, Vec<VolumeId>)> = Vec::deserialize(deserializer)?;
    let launched = launched.into_iter().map(|(instance, interfaces, volumes)| match interfaces {
        Interfaces::One(id) => (instance, vec![id], volumes),
        Interfaces::All(ids) => (instance, ids, volumes),
    });
    Ok(launched.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As hived wrote it when an instance had one interface.
    #[test]
    fn launches_of_before_are_known_again() {
        let interface = NetworkInterfaceId::from_random(2);
        let now = DrawnIds::Launch {
            reservation_id: ReservationId::from_random(1),
            instances: vec![(InstanceId::from_random(1), vec![interface.clone()], vec![VolumeId::from_random(3)])],
        };
        let mut before = serde_json::to_value(&now).expect("encoded");
        assert_eq!(serde_json::from_value::<DrawnIds>(before.clone()).expect("today's"), now);
        before["launch"]["instances"][0][1] = serde_json::json!(interface);
        assert_eq!(serde_json::from_value::<DrawnIds>(before).expect("the older"), now);
    }
}
