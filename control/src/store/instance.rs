//! An instance: what was asked for, and where it stands.

use super::image::BootFiles;
use super::{Tags, Version};
use hive_types::id::{
    AccountId, AttachmentId, ImageId, InstanceId, NetworkInterfaceId, ReservationId, SnapshotId, SubnetId, VolumeId,
    VpcId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub version: Version<1>,
    pub instance_id: InstanceId,
    pub account: AccountId,
    pub reservation_id: ReservationId,
    /// Position in its reservation.
    pub launch_index: i32,
    pub client_token: Option<String>,
    pub image_id: ImageId,
    pub boot: BootFiles,
    pub instance_type: String,
    pub key: Option<KeyReference>,
    /// Standard base64.
    pub user_data: Option<String>,
    pub network: NetworkInterface,
    pub metadata: MetadataOptions,
    pub root_device_name: String,
    /// The root volume first.
    pub disks: Vec<Disk>,
    pub zone: String,
    /// The node that runs it.
    pub node_id: String,
    pub shutdown_behavior: Shutdown,
    pub disable_api_termination: bool,
    pub disable_api_stop: bool,
    pub tags: Tags,
    pub state: InstanceState,
    /// When it entered its state.
    pub state_since: Timestamp,
    pub state_reason: Option<StateReason>,
    /// `User initiated (2026-11-22 19:34:35 GMT)`
    pub transition_reason: String,
    /// Of the last start.
    pub launch_time: Timestamp,
    /// It has run at least once; one that never did is terminated, not stopped, when its machine does not start.
    pub has_run: bool,
    /// Stop without asking the guest.
    pub force_stop: bool,
    /// Reboots asked for, and reboots carried out by the node.
    pub reboots_wanted: u64,
    pub reboots_done: u64,
    /// An image is being made that wants the guest powered off; it boots again afterwards.
    #[serde(default)]
    pub imaging: Option<Imaging>,
}

/// Snapshots to take, all at one instant, as soon as the machine is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imaging {
    pub snapshots: Vec<(VolumeId, SnapshotId)>,
    pub since: Timestamp,
}

impl InstanceRecord {
    /// Changes the state; the rest of the record is the caller's.
    pub fn enter(&mut self, state: InstanceState, now: Timestamp) {
        self.state = state;
        self.state_since = now;
    }

    pub fn key(&self) -> String {
        super::key(&self.account, &self.instance_id)
    }
}

/// The states of EC2; the discriminant is the code in API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    Pending = 0,
    Running = 16,
    ShuttingDown = 32,
    Terminated = 48,
    Stopping = 64,
    Stopped = 80,
}

impl InstanceState {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::ShuttingDown, Self::Terminated, Self::Stopping, Self::Stopped];

    pub fn code(self) -> i32 {
        self as i32
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// Whether `self` may be followed by `next`.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Running | Self::Stopped | Self::ShuttingDown),
            Self::Running => matches!(next, Self::Stopping | Self::Stopped | Self::ShuttingDown),
            Self::Stopping => matches!(next, Self::Stopped | Self::ShuttingDown),
            Self::Stopped => matches!(next, Self::Pending | Self::ShuttingDown),
            Self::ShuttingDown => matches!(next, Self::Terminated),
            Self::Terminated => false,
        }
    }

    /// The node's capacity is held for it.
    pub fn holds_capacity(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Stopping | Self::ShuttingDown)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shutdown {
    Stop,
    Terminate,
}

impl Shutdown {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Terminate => "terminate",
        }
    }
}

/// `Client.UserInitiatedShutdown` and its sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReason {
    pub code: String,
    pub message: String,
}

/// The key pair at the time of the launch; deleting the pair changes nothing for the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReference {
    pub name: String,
    /// One line of OpenSSH's format, without a comment.
    pub public_key: String,
}

/// The primary interface, as it was made; what may change of it is in its own record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    pub interface_id: NetworkInterfaceId,
    pub attachment_id: AttachmentId,
    pub vpc_id: VpcId,
    pub subnet_id: SubnetId,
    pub private_ip: Ipv4Addr,
    /// `02:...`
    pub mac: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    pub enabled: bool,
    pub token_required: bool,
    /// 1 to 64
    pub hop_limit: u8,
    /// At `fd00:ec2::254` too.
    #[serde(default)]
    pub ipv6: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    pub device_name: String,
    pub volume_id: VolumeId,
    pub delete_on_termination: bool,
    pub attach_time: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No walk over permitted steps leaves `terminated` or comes back from `shutting-down`.
        #[test]
        fn an_end_is_final(steps in proptest::collection::vec(0..InstanceState::ALL.len(), 0..40)) {
            let mut state = InstanceState::Pending;
            let mut ending = false;
            for next in steps.into_iter().map(|i| InstanceState::ALL[i]) {
                if state.may_become(next) {
                    prop_assert!(!ending || next == InstanceState::Terminated);
                    ending |= next == InstanceState::ShuttingDown;
                    state = next;
                }
            }
        }
    }

    #[test]
    fn codes_are_ec2s() {
        let codes = InstanceState::ALL.map(InstanceState::code);
        assert_eq!(codes, [0, 16, 32, 48, 64, 80]);
        assert!(InstanceState::ALL.iter().all(|s| !s.may_become(*s)));
    }
}
