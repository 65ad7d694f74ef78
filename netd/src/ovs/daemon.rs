//! The daemon: what it holds, and the loop that changes it.

use super::act::{Deed, Waiting};
use super::bfd::{self, Sessions};
use super::bridge::Bridge;
use super::ipfix::{self, Exporters};
use super::links::LinkWatch;
use super::logging::Logs;
use super::{OvsError, OvsOptions, ServicesOptions, commands};
use crate::dataplane::{Dataplane, DataplaneConfig};
use crate::error::DaemonError;
use crate::services::{control, endpoints::Endpoints};
use hive_device::tunnel::Tunnels;
use hive_ovsdb::{Client, Connection, Options, Remote, Snapshot, Version};
use hive_pipeline::Switch;
use hive_unixctl::{Call, Pidfile};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at counters, links that nobody told of, and what ages.
const TICK: Duration = Duration::from_secs(1);
/// Events that are followed before the database, links and counters have their turn: whoever sends packets out does not hold them up.
const EVENTS_PER_TURN: usize = 1024;
/// Between two looks at whether the daemon is there yet.
const PUNT_PAUSE: Duration = Duration::from_millis(200);
/// The name in the run directory, and in messages.
const PROGRAM: &str = "netd";

/// What the loop is told.
pub(super) enum Event {
    /// The database has a configuration, or its connection changed.
    Database,
    /// Links changed.
    Links,
    /// The other end of a port is taken to live, or not to.
    Liveness,
    /// A controller came or went.
    Controllers,
    Deed(Deed),
    /// `exit`, or a signal.
    Exit(Option<Call>),
}

/// What the loop and commands share.
pub(super) struct Daemon {
    pub rundir: PathBuf,
    pub pipeline: Arc<Switch>,
    pub dataplane: Arc<Dataplane<Switch>>,
    pub tunnels: Tunnels,
    /// Who answers behind `services` ports.
    pub services: Option<Arc<Endpoints>>,
    pub events: Sender<Event>,
    pub waiting: Waiting,
    pub sessions: Sessions,
    pub exporters: Exporters,
    pub state: Mutex<State>,
}

/// What is there.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By name.
    pub bridges: BTreeMap<String, Bridge>,
    pub last_bridge: u32,
    /// Patch ports that ever were.
    pub patches: u32,
    pub configuration: Option<Arc<hive_ovsdb::Configuration>>,
    pub applied: Option<Version>,
    /// To be followed once more when devices come and go.
    pub snapshot: Option<Snapshot>,
    pub connection: Option<Connection>,
    /// That workers are bound to.
    pub cpus: Vec<usize>,
}

impl Daemon {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now_ms(&self) -> u64 {
        self.dataplane.now_ms()
    }
}

/// Runs until it is told to end, by SIGTERM, SIGINT or `ovs-appctl exit`.
///
/// # Errors
/// It cannot start.
pub fn run(options: &OvsOptions, logs: Logs) -> Result<(), OvsError> {
    let remote = match options.database.parse()? {
        remote @ Remote::Unix(_) => remote,
        Remote::Tcp { .. } => return Err(OvsError::RemoteKind(options.database.clone())),
    };
    let failed = |action| move |source| OvsError::System { action, source };
    let rundir = hive_unixctl::rundir(options.rundir.as_deref());
    std::fs::create_dir_all(&rundir).map_err(failed("make the run directory"))?;
    let pidfile = hive_unixctl::pidfile_path(&rundir, PROGRAM, options.pidfile.as_deref());
    let _pidfile = Pidfile::create(&pidfile)?;

    let pipeline = Switch::new();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let config = DataplaneConfig { workers, ..DataplaneConfig::default() };
    let dataplane = Arc::new(Dataplane::start(config, pipeline.clone())?);
    let (events, told) = channel();
    let daemon = Arc::new(Daemon {
        rundir,
        pipeline,
        dataplane,
        tunnels: Tunnels::default(),
        services: options.services.as_ref().map(start_services).transpose()?,
        events: events.clone(),
        waiting: Waiting::default(),
        sessions: Sessions::default(),
        exporters: Exporters::default(),
        state: Mutex::default(),
    });
    watch_signals(events.clone()).map_err(failed("watch for signals"))?;
    watch_punts(&daemon).map_err(failed("watch for packets to controllers"))?;
    bfd::start(&daemon).map_err(failed("watch the other ends of ports"))?;
    ipfix::start(&daemon).map_err(failed("export what flows sample"))?;
    watch_links(events.clone()).map_err(failed("watch links"))?;
    let socket = hive_unixctl::socket_path(&daemon.rundir, PROGRAM, options.unixctl.as_deref());
    let control = hive_unixctl::Server::bind(&socket)?.serve(commands::all(&daemon, logs))?;
    let wake = events.clone();
    let client = Client::start(Options::new(remote), move || drop(wake.send(Event::Database)))?;
    let call = daemon.serve(&client, &told);
    tracing::info!("ending");
    // Controllers and ovs-ofctl first, then ports, then the database, which is told nothing any more.
    let bridges = std::mem::take(&mut daemon.lock().bridges);
    daemon.remove_bridges(bridges.into_values());
    client.stop();
    if let Some(call) = call {
        call.answer(Ok(String::new()));
    }
    drop(control);
    Ok(())
}

fn start_services(options: &ServicesOptions) -> Result<Arc<Endpoints>, DaemonError> {
    let endpoints = Arc::new(Endpoints::open(&options.state_dir, options.upstream)?);
    let listener = control::bind(&options.control_socket)?;
    let handler = endpoints.clone();
    let serve = move || {
        if let Err(error) = control::serve(&listener, &handler) {
            tracing::error!(%error, "the services' control socket is given up");
        }
    };
    let failed = |source| DaemonError::System { action: "start the control socket's thread", source };
    std::thread::Builder::new().name("control".to_owned()).spawn(serve).map_err(failed)?;
    Ok(endpoints)
}

fn watch_signals(events: Sender<Event>) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in &mut signals {
            let _ = events.send(Event::Exit(None));
        }
    })?;
    Ok(())
}

/// Packets to controllers do not wait for the loop.
fn watch_punts(daemon: &Arc<Daemon>) -> std::io::Result<()> {
    let daemon = Arc::downgrade(daemon);
    std::thread::Builder::new().name("punts".to_owned()).spawn(move || {
        while let Some(daemon) = daemon.upgrade() {
            daemon.pipeline.wait_for_punts(PUNT_PAUSE);
            if daemon.pipeline.deliver() > 0 {
                let state = daemon.lock();
                state.bridges.values().for_each(|bridge| bridge.server.ring());
            }
        }
    })?;
    Ok(())
}

fn watch_links(events: Sender<Event>) -> std::io::Result<()> {
    let watch = LinkWatch::open()?;
    std::thread::Builder::new()
        .name("links".to_owned())
        .spawn(move || while watch.wait().is_ok() && events.send(Event::Links).is_ok() {})?;
    Ok(())
}

impl Daemon {
    /// Follows what comes, until the end: the call that asked for it, if it was one.
    fn serve(self: &Arc<Self>, client: &Client, told: &Receiver<Event>) -> Option<Call> {
        let mut ticked = Instant::now();
        let mut event = None;
        loop {
            if event.is_none() {
                event = match told.recv_timeout(TICK.saturating_sub(ticked.elapsed())) {
                    Ok(event) => Some(event),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return None,
                };
            }
            // What has come meanwhile is followed together: the database is told once.
            let (mut changed, mut configured, mut links) = (false, false, false);
            for _ in 0..EVENTS_PER_TURN {
                let Some(current) = event else { break };
                match current {
                    Event::Database => configured |= self.follow_database(client),
                    Event::Links => links = true,
                    Event::Liveness => {
                        self.follow_liveness();
                        changed = true;
                    }
                    Event::Controllers => {
                        self.follow_controllers();
                        changed = true;
                    }
                    Event::Deed(deed) => self.act(deed),
                    Event::Exit(call) => return call,
                }
                event = told.try_recv().ok();
            }
            let tick = ticked.elapsed() >= TICK;
            if tick {
                ticked = Instant::now();
                self.follow_controllers();
                self.pipeline.run(self.now_ms());
                self.count_exports();
            }
            // What was configured shows in the same report that says so.
            changed |= configured;
            if tick || links || configured {
                changed |= self.look_at_links();
            }
            if tick {
                self.update_counters();
            }
            if changed || tick {
                client.report(self.status());
            }
        }
    }

    /// For NXST_IPFIX_FLOW.
    fn count_exports(&self) {
        for bridge in self.lock().bridges.values() {
            bridge.lock_agent().set_ipfix_stats(self.exporters.stats(bridge.id));
        }
    }

    /// True if there is something to report.
    fn follow_database(self: &Arc<Self>, client: &Client) -> bool {
        let connection = client.connection();
        if self.lock().connection.replace(connection.clone()) != Some(connection.clone())
            && connection == Connection::WaitingForLock
        {
            tracing::warn!("waiting for another switch to leave the database");
        }
        let Some(snapshot) = client.take() else { return false };
        self.reconcile(&snapshot);
        let mut state = self.lock();
        state.applied = Some(snapshot.version);
        state.snapshot = Some(snapshot);
        true
    }
}
