//! A bridge that is there, and its interfaces.

use super::controller::Controllers;
use super::device::{Facts, TunnelHandles};
use hive_device::tunnel::SecurityHandle;
use hive_device::{Link, Status};
use hive_ofproto::{Bridge as Agent, Running};
use hive_openflow::PortNo;
use hive_ovsdb::snapshot::{self, Interface, InterfaceId};
use hive_program::{BridgeId, PortId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ports that OpenFlow 1.0 can number, from 1 (OFPP_MAX).
const NUMBERS_MAX: u16 = 0xfeff;

/// An interface that could be made.
#[derive(Debug)]
pub(super) struct Member {
    pub row: Option<InterfaceId>,
    /// Without a row (the local port that nobody asked for): as if there were one.
    pub config: Interface,
    pub number: PortNo,
    pub port: PortId,
    /// Packets come and go by the data path; otherwise it is a patch port.
    pub has_device: bool,
    pub tunnel: Option<TunnelHandles>,
    /// Of a device of the host.
    pub link_handle: Option<Arc<Link>>,
    pub facts: Facts,
    /// What it was when it was last looked at.
    pub status: Status,
    /// Of one whose device has none.
    pub mac: [u8; 6],
    pub link_resets: u64,
}

impl Member {
    /// Of an encrypted tunnel.
    pub fn security(&self) -> Option<&SecurityHandle> {
        self.tunnel.as_ref()?.security.as_ref()
    }
}

/// Why an interface could not be made.
#[derive(Debug)]
pub(super) struct Failure {
    pub error: String,
    /// The device of the host that it was to be, as far as there was one.
    pub device: Option<u32>,
}

/// A bridge.
#[derive(Debug)]
pub(super) struct Bridge {
    pub id: BridgeId,
    pub config: snapshot::Bridge,
    pub agent: Arc<Mutex<Agent>>,
    /// By name.
    pub members: BTreeMap<String, Member>,
    /// What is wrong with those that could not be made.
    pub failed: BTreeMap<InterfaceId, Failure>,
    /// Of the local port, unless the configuration has one.
    pub mac: [u8; 6],
    pub datapath_id: u64,
    pub controllers: Controllers,
    /// Where the search for a free number goes on.
    pub last_number: u16,
    pub server: Running,
}

impl Bridge {
    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn lock_agent(&self) -> MutexGuard<'_, Agent> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn member_of(&self, number: PortNo) -> Option<(&str, &Member)> {
        self.members.iter().find(|(_, member)| member.number == number).map(|(name, member)| (name.as_str(), member))
    }

    /// A number that no port has: the one that is asked for, the one that it had before, or the next one.
    pub fn choose_number(&mut self, requested: Option<u16>, before: Option<u16>) -> Option<PortNo> {
        let taken: BTreeSet<u16> = self.members.values().map(|member| member.number.0).collect();
        let free = |number: &u16| *number != 0 && *number <= NUMBERS_MAX && !taken.contains(number);
        let wanted = requested.filter(free).or(before.filter(free));
        if wanted.is_some() {
            return wanted.map(PortNo);
        }
        // A number that was just given up is not given to another at once: a controller might confuse the two.
        let after = (self.last_number + 1..=NUMBERS_MAX).find(free);
        let number = after.or_else(|| (1..=self.last_number).find(free))?;
        self.last_number = number;
        Some(PortNo(number))
    }
}
