//! The node's agent: keeps this machine's instances, volumes and ports as their records say.
//!
//! Level-triggered: each pass reads all records of this node and takes one step for each; passes are woken by changes in the
//! store, by ends of machines, by steps that want another one soon, and by a slow clock. While the store is away, passes go on
//! with the local copy: machines that must run are started, nothing is deleted.

pub mod backend;
mod blocks;
mod imaging;
mod instance;
mod local;
pub mod machine;
mod metadata;
mod network;
mod rpc;
mod snapshot;
mod sweep;
mod volume;
mod written;

use crate::api::{ConsoleOutput, ConsoleRequest, Place, console_subject};
use crate::config::NodeConfig;
use crate::error::Error;
use crate::store::{InstanceRecord, InstanceState, NodeRecord, SnapshotRecord, SnapshotState, Stores, Version};
use anyhow::Context;
use backend::{Blockd, Netd};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use hive_bus::{Bus, Refusal, Serving, Store};
use hive_vmm_api::MAX_CONSOLE_BYTES;
use instance::Step;
use jiff::Timestamp;
use local::{LocalCopy, View};
use machine::{MachineDir, ProcessRecord};
pub(crate) use network::flow_logs::destination as log_destination;
use network::{Region, Switch};
pub(crate) use network::{is_own_port, parse_mac};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tracing::{debug, warn};
use volume::StepError;
use written::Written;

/// A pass without any reason, in case a change was missed.
const SLOW_CLOCK: Duration = Duration::from_secs(30);
/// Wakes that come close together are one pass.
const SETTLE: Duration = Duration::from_millis(10);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// After a failed step or a lost watch.
const RETRY: Duration = Duration::from_secs(1);
/// Steps that run at a time.
const MAX_CONCURRENT_STEPS: usize = 16;
/// Console requests that run at a time; each reads one file.
const MAX_CONCURRENT_CONSOLES: usize = 16;

/// What the reconcilers work with.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    place: Place,
    stores: Stores,
    blockd: Blockd,
    netd: Netd,
    written: Written,
    wake: Arc<Notify>,
    view: Mutex<Arc<View>>,
    /// Processes whose end somebody waits for.
    watched: Mutex<HashSet<(i32, u64)>>,
    switch: Switch,
    /// Tells who keeps the switch that records have been read again.
    network_changed: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Held for moves only; nothing panics under it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    fn view(&self) -> Arc<View> {
        lock(&self.view).clone()
    }

    /// What was read is what all go by from now on.
    fn show(&self, view: View) {
        let mut shown = lock(&self.view);
        if **shown != view {
            *shown = Arc::new(view);
            drop(shown);
            self.network_changed.notify_one();
        }
    }

    fn images_dir(&self) -> PathBuf {
        self.config.state_dir.join("images")
    }

    /// Wakes the agent when the process ends; watching it twice is watching it once.
    fn watch_end(&self, process: &ProcessRecord) {
        let identity = (process.pid, process.start_ticks);
        if !lock(&self.watched).insert(identity) {
            return;
        }
        let (process, wake) = (process.clone(), self.wake.clone());
        let wait = move || {
            if let Err(error) = process.wait_end() {
                warn!(pid = process.pid, %error, "cannot wait for a machine's end; the slow clock will notice it");
            }
            wake.notify_one();
        };
        if let Err(error) = std::thread::Builder::new().name(format!("end-of-{}", identity.0)).spawn(wait) {
            warn!(%error, "cannot watch a machine; the slow clock will notice its end");
        }
    }

    async fn release_room(&self, instance: &InstanceRecord) -> Result<(), Error> {
        let released = self.stores.placement.modify(&self.config.node_id, |placement| {
            placement.reserved.remove(&instance.instance_id);
            Ok::<_, Error>(())
        });
        released.await.map(drop)
    }

    /// All records of this node.
    async fn read(&self) -> Result<View, Error> {
        let here = &self.config.node_id;
        let instances = self.stores.instances.range("").await?.into_iter().map(|record| record.value);
        let volumes = self.stores.volumes.range("").await?.into_iter().map(|record| record.value);
        let all: Vec<InstanceRecord> = instances.collect();
        let mut networks = self.stores.networks.load_all().await?;
        let has_uplink = self.config.uplink.is_some();
        let before = self.view();
        let read = Region::read(&self.stores, here, &self.place.zone, has_uplink, &networks, &all);
        let mut region = read.await?.with_silent(&before.region);
        let instances: Vec<InstanceRecord> = all.into_iter().filter(|instance| instance.node_id == *here).collect();
        let live = |instance: &InstanceRecord| instance.state != InstanceState::Terminated;
        networks.retain(|account, network| {
            instances.iter().any(|instance| instance.account == *account && live(instance))
                || network.nat_gateways.keys().any(|id| region.nat_gateways.get(id) == Some(here))
        });
        region.retain(&networks);
        let volumes = volumes.filter(|volume| volume.node_id == *here).collect();
        Ok(View { instances, volumes, networks, region })
    }

    async fn heartbeat(&self) -> Result<(), Error> {
        let record = NodeRecord {
            version: Version,
            node_id: self.config.node_id.clone(),
            zone: self.place.zone.clone(),
            vcpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            memory_mib: self.config.memory_mib,
            heartbeat_at: Timestamp::now(),
            tunnel_address: self.config.tunnel_address,
            tunnel_key: self.switch.public_key(),
        };
        if !self.stores.nodes.create(&record.node_id, &record).await? {
            let beat = |node: &mut NodeRecord| {
                node.clone_from(&record);
                Ok::<_, Error>(())
            };
            self.stores.nodes.modify(&record.node_id, beat).await?;
        }
        Ok(())
    }
}

/// The running agent.
#[derive(Debug)]
pub struct Agent {
    tasks: Vec<JoinHandle<()>>,
    _serving: [Serving; 2],
}

impl Agent {
    pub async fn start(config: NodeConfig, place: Place, stores: Stores, bus: Bus) -> anyhow::Result<Self> {
        for directory in [&config.state_dir, &config.run_dir, &config.state_dir.join("images")] {
            std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let copy = LocalCopy::open(&config.state_dir);
        let node = Arc::new(Node {
            blockd: Blockd { socket: config.blockd_socket.clone() },
            netd: Netd { socket: config.netd_socket.clone() },
            switch: Switch::new(&config, &place).context("cannot make the key for tunnels")?,
            network_changed: Notify::new(),
            written: Written::open(&config.state_dir).context("cannot make the directory of written blocks")?,
            view: Mutex::new(Arc::new(copy.view().clone())),
            config,
            place,
            stores,
            wake: Arc::default(),
            watched: Mutex::default(),
        });
        let console = serve_console(&node, &bus).await.context("cannot serve the console")?;
        let blocks = blocks::serve(&node, &bus).await.context("cannot serve blocks of snapshots")?;
        let mut tasks =
            vec![tokio::spawn(pass_forever(node.clone(), copy)), tokio::spawn(beat_forever(node.clone(), bus.clone()))];
        let stores = &node.stores;
        let watched =
            [stores.instances.store(), stores.volumes.store(), stores.snapshots.store(), stores.networks.store()];
        for store in watched.map(Arc::clone) {
            tasks.push(tokio::spawn(watch_forever(store, node.wake.clone(), bus.clone())));
        }
        let flows = network::flow_logs::listen(node.switch.flows_socket());
        let flows = flows.context("cannot listen to what the switch samples")?;
        tasks.push(tokio::spawn(network::flow_logs::gather_forever(node.clone(), flows)));
        tasks.push(tokio::spawn(network::converge_forever(node.clone())));
        tasks.push(tokio::spawn(sweep::sweep_forever(node)));
        Ok(Self { tasks, _serving: [console, blocks] })
    }

    /// Ends the agent; machines go on.
    pub fn stop(self) {
        for task in self.tasks {
            task.abort();
        }
    }
}

async fn serve_console(node: &Arc<Node>, bus: &Bus) -> Result<Serving, hive_bus::BusError> {
    let run_dir = node.config.run_dir.clone();
    let read = move |request: ConsoleRequest| {
        let log = MachineDir::new(&run_dir, request.instance_id.as_str()).console_log();
        async move {
            let read =
                tokio::task::spawn_blocking(move || hive_vmm_api::console_log::read_newest(&log, MAX_CONSOLE_BYTES));
            match read.await.map_err(std::io::Error::other).flatten() {
                Ok(bytes) => Ok(ConsoleOutput { output: Some(STANDARD.encode(bytes)) }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ConsoleOutput { output: None }),
                Err(error) => Err(Refusal(format!("cannot read the console: {error}"))),
            }
        }
    };
    let subject = console_subject(&node.config.node_id);
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_CONSOLES));
    bus.serve(&subject, &node.config.node_id, permits, read).await
}

async fn beat_forever(node: Arc<Node>, bus: Bus) {
    loop {
        // A node is known, and gets instances, from its first beat on.
        bus.wait_connected(RETRY).await;
        let pause = match node.heartbeat().await {
            Ok(()) => HEARTBEAT,
            Err(error) => {
                debug!(%error, "no heartbeat");
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn watch_forever(store: Arc<dyn Store>, wake: Arc<Notify>, bus: Bus) {
    loop {
        bus.wait_connected(RETRY).await;
        match store.watch("").await {
            Ok(mut changes) => {
                // What changed before the watch began.
                wake.notify_one();
                while let Some(Ok(_)) = changes.next().await {
                    wake.notify_one();
                }
            }
            Err(error) => debug!(%error, "cannot watch"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// One record's step, by its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Instance(String),
    Volume(String),
    Snapshot(String),
}

/// Which records have a step under way, and which changed meanwhile.
type UnderWay = Mutex<HashMap<Unit, bool>>;

async fn pass_forever(node: Arc<Node>, mut copy: LocalCopy) {
    let under_way = Arc::new(UnderWay::default());
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_STEPS));
    let mut was_fresh = true;
    loop {
        let fresh = match node.read().await {
            Ok(view) => {
                if let Err(error) = copy.save(view.clone()) {
                    warn!(%error, "cannot save the local copy; a reboot without the bus would miss changes");
                }
                node.show(view);
                true
            }
            Err(error) => {
                if was_fresh {
                    warn!(%error, "going on with the local copy");
                }
                false
            }
        };
        was_fresh = fresh;
        let view = node.view();
        for instance in &view.instances {
            let unit = Unit::Instance(instance.key());
            let (work, seen) = (node.clone(), instance.clone());
            spawn_step(&node, &under_way, &permits, unit, async move {
                // An earlier step may have ended since the pass read the records; its record is not to be acted upon twice.
                let now = if fresh { work.stores.instances.get(&seen.key()).await.map_err(Error::from)? } else { None };
                match now {
                    Some(record) => instance::reconcile(&work, &record.value, fresh).await,
                    None if fresh => Ok(Step::Done),
                    None => instance::reconcile(&work, &seen, fresh).await,
                }
            });
        }
        // Volumes are made and deleted on the truth alone.
        for volume in view.volumes.iter().filter(|_| fresh) {
            let unit = Unit::Volume(volume.key());
            let (work, volume) = (node.clone(), volume.clone());
            spawn_step(&node, &under_way, &permits, unit, async move { volume::reconcile(&work, &volume).await });
        }
        if fresh {
            follow_snapshots(&node, &under_way, &permits).await;
        }
        let pause = if fresh { SLOW_CLOCK } else { RETRY };
        let _ = tokio::time::timeout(pause, node.wake.notified()).await;
        tokio::time::sleep(SETTLE).await;
    }
}

/// Snapshots that are under way or to be deleted. They are not in the local copy: nothing is done to them without the bus.
async fn follow_snapshots(node: &Arc<Node>, under_way: &Arc<UnderWay>, permits: &Arc<Semaphore>) {
    let all = match node.stores.snapshots.range("").await {
        Ok(all) => all.into_iter().map(|record| record.value),
        Err(error) => return debug!(%error, "cannot read snapshots; the next pass will"),
    };
    let is_mine = |snapshot: &SnapshotRecord| snapshot.node_id.as_ref().is_none_or(|id| *id == node.config.node_id);
    let has_work = |state| matches!(state, SnapshotState::Pending | SnapshotState::Deleting);
    for snapshot in all.filter(|snapshot| has_work(snapshot.state) && is_mine(snapshot)) {
        let unit = Unit::Snapshot(snapshot.key());
        let work = node.clone();
        spawn_step(node, under_way, permits, unit, async move { snapshot::reconcile(&work, &snapshot).await });
    }
}

fn spawn_step(
    node: &Arc<Node>,
    under_way: &Arc<UnderWay>,
    permits: &Arc<Semaphore>,
    unit: Unit,
    step: impl Future<Output = Result<Step, StepError>> + Send + 'static,
) {
    if let Some(changed) = lock(under_way).get_mut(&unit) {
        *changed = true;
        return;
    }
    lock(under_way).insert(unit.clone(), false);
    let (under_way, permits, wake) = (under_way.clone(), permits.clone(), node.wake.clone());
    tokio::spawn(async move {
        let result = match permits.acquire().await {
            Ok(_permit) => step.await,
            // The semaphore is never closed.
            Err(_) => Ok(Step::Done),
        };
        let pause = match result {
            Ok(Step::Done) => None,
            Ok(Step::Changed) => Some(Duration::ZERO),
            Ok(Step::Again(after)) => Some(after),
            Err(error) => {
                let causes = anyhow::Error::new(error);
                warn!(?unit, error = format!("{causes:#}"), "a step failed and will be tried again");
                Some(RETRY)
            }
        };
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        let changed = lock(&under_way).remove(&unit).unwrap_or(false);
        if changed || pause.is_some() {
            wake.notify_one();
        }
    });
}
