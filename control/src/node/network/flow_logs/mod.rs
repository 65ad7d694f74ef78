//! Flow logs of the interfaces here. The switch samples their packets and tells this process by IPFIX, on a datagram socket of its run
//! directory; here they are gathered by log and interval, and at an interval's end a file goes into the log's bucket.
//!
//! What was gathered and not yet written is held in memory alone: a hived that ends takes it along, an interval at most.

mod deliver;
mod gather;

use super::super::{Node, local::View};
use super::NetworkError;
use crate::store::{FlowLogRecord, InterfaceRecord, Network};
use deliver::Deliveries;
pub use deliver::destination;
use gather::Gathered;
use hive_ipfix::Decoder;
use hive_types::id::AccountId;
use hive_vpc::LocalNumber;
use hive_vpc::model::InterfaceId;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixDatagram;
use tracing::debug;

/// A flow's packets are told of so long after the first of them, at the latest a moment more: what an interval's end waits for.
pub const ACTIVE_TIMEOUT_S: u32 = 10;
/// Flows that the switch gathers between: some 200 bytes each.
pub const FLOWS_MAX: u32 = 100_000;
/// After an interval, until all that is of it has come.
const GRACE_S: u64 = ACTIVE_TIMEOUT_S as u64 + 3;
/// Between two looks at whether an interval is over.
const TICK: Duration = Duration::from_secs(1);
/// Longest message of a switch.
const MESSAGE_BYTES_MAX: usize = 1 << 16;
/// `LogDestinationType` of logs that are written.
const S3: &str = "s3";

/// Whether a log is of an interface.
fn is_of(log: &FlowLogRecord, network: &Network, interface: &InterfaceRecord) -> bool {
    let subnet = network.subnets.get(&interface.subnet_id);
    log.resource_id == interface.interface_id.as_str()
        || log.resource_id == interface.subnet_id.as_str()
        || subnet.is_some_and(|subnet| log.resource_id == subnet.vpc_id.as_str())
}

/// The logs of an interface that are written.
fn logs_of<'a>(network: &'a Network, interface: &InterfaceRecord) -> Vec<&'a FlowLogRecord> {
    let written = network.flow_logs.values().filter(|log| log.destination_type == S3);
    written.filter(|log| is_of(log, network, interface)).collect()
}

/// Those of the interfaces that some log is of.
pub fn logged<'a>(
    networks: &BTreeMap<AccountId, Network>,
    interfaces: impl Iterator<Item = &'a InterfaceRecord>,
) -> BTreeSet<InterfaceId> {
    let is_logged = |interface: &&InterfaceRecord| {
        networks.get(&interface.account).is_some_and(|network| !logs_of(network, interface).is_empty())
    };
    interfaces.filter(is_logged).map(|interface| interface.interface_id.as_str().into()).collect()
}

/// What the switch has of interfaces that are logged.
pub type Places = BTreeMap<LocalNumber, InterfaceId>;

/// Where the switch tells what it has sampled; a socket that another hived left is taken away.
///
/// # Errors
/// The run directory does not take it.
pub fn listen(path: &Path) -> std::io::Result<UnixDatagram> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(path)?;
    // Whoever could write here could write tenants' logs.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Gathers what the switch tells, and has it written.
pub async fn gather_forever(node: Arc<Node>, socket: UnixDatagram) {
    let deliveries = Deliveries::new(node.config.objects_url.as_deref());
    let (mut decoder, mut gathered) = (Decoder::default(), Gathered::default());
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut seen: Option<(Arc<View>, Arc<Places>)> = None;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            received = socket.recv(&mut buffer) => {
                let message = received.ok().and_then(|bytes| buffer.get(..bytes)).unwrap_or_default();
                if let Err(error) = decoder.message(message, |record| gathered.add(&record)) {
                    debug!(%error, "the switch tells something else than flows");
                }
            }
            _ = tick.tick() => {
                let now = (node.view(), node.switch.places());
                let is_same = |(view, places): &(Arc<View>, Arc<Places>)| {
                    Arc::ptr_eq(view, &now.0) && Arc::ptr_eq(places, &now.1)
                };
                if !seen.as_ref().is_some_and(is_same) {
                    gathered.follow(&now.0.networks, &now.1, &node.place);
                    seen = Some(now);
                }
                for file in gathered.finish() {
                    deliveries.start(&node, file);
                }
            }
        }
    }
}

impl super::Switch {
    /// The interfaces that the switch samples now.
    pub fn places(&self) -> Arc<Places> {
        super::lock(&self.places).clone()
    }

    /// The switch is told where to tell, if anything is sampled.
    pub(super) async fn set_collector(&self, is_logged: bool) -> Result<(), NetworkError> {
        self.bridge.set_collector(is_logged.then_some(self.flows_socket.as_path())).await
    }
}
