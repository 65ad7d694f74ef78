//! The daemon: segments and ports as requested, kept on disk, and spread over the workers.

use crate::config::Config;
use crate::control::Handler;
use crate::counters::DropReason;
use crate::error::{DaemonError, RequestError, reply_of};
use crate::mailbox::lock;
use crate::model::{Port, Segment};
use crate::port::PortShared;
use crate::port::vhost_user::{Server, Socket};
use crate::services::names::Names;
use crate::services::{self, RunningServices};
use crate::state::{State, Store};
use crate::uplink::Uplink;
use crate::worker::command::{Command, WorkerHandle, WorkerPort};
use crate::worker::{self, RunningWorker};
use hive_netd_api as api;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Most segments of one daemon: each port may have its own.
const MAX_SEGMENTS: usize = api::MAX_PORTS;

/// A port and the thread that serves its socket.
#[derive(Debug)]
struct ServedPort {
    shared: Arc<PortShared>,
    worker: WorkerHandle,
    _server: Server,
}

#[derive(Debug)]
struct Inner {
    state: State,
    store: Store,
    segments: BTreeMap<String, Arc<Segment>>,
    ports: BTreeMap<String, ServedPort>,
    next_key: u64,
}

/// Dropping it stops everything; what was put stays on disk.
#[derive(Debug)]
pub struct Daemon {
    // Fields are dropped in this order: the ports' threads wait for workers, which send to the services.
    inner: Mutex<Inner>,
    workers: Vec<RunningWorker>,
    services: RunningServices,
    names: Arc<Mutex<Names>>,
    run_dir: PathBuf,
}

impl Daemon {
    /// Starts the threads and serves again what was put before.
    pub fn start(config: &Config) -> Result<Self, DaemonError> {
        let store = Store::open(&config.state_dir)?;
        let state = store.load()?;
        std::fs::create_dir_all(&config.run_dir).map_err(|source| DaemonError::File {
            action: "make the run directory",
            path: config.run_dir.clone(),
            source,
        })?;
        let names = Arc::new(Mutex::new(Names::default()));
        let services = services::start(names.clone(), config.dns.upstream)?;
        let mut uplink = config.uplink.enabled.then(|| Uplink::open(&config.uplink)).transpose()?;
        let workers = (0..config.worker.threads)
            .map(|index| worker::start(index, &config.worker, services.handle.clone(), uplink.take()))
            .collect::<Result<Vec<_>, _>>()?;
        let inner =
            Inner { state: State::default(), store, segments: BTreeMap::new(), ports: BTreeMap::new(), next_key: 1 };
        let daemon = Self { inner: Mutex::new(inner), workers, services, names, run_dir: config.run_dir.clone() };
        daemon.restore(state)?;
        Ok(daemon)
    }

    fn restore(&self, state: State) -> Result<(), DaemonError> {
        let mut inner = lock(&self.inner);
        let (segments, ports) = (state.segments.len(), state.ports.len());
        let path = PathBuf::from("state.json");
        let unusable = |error: RequestError| DaemonError::State { path: path.clone(), why: error.to_string() };
        for spec in state.segments.into_values() {
            let segment = self.check_segment(&inner, spec).map_err(unusable)?;
            self.apply_segment(&mut inner, segment);
        }
        for spec in state.ports.into_values() {
            let port = self.check_port(&inner, spec).map_err(unusable)?;
            self.apply_port(&mut inner, port).map_err(unusable)?;
        }
        tracing::info!(segments, ports, "serving");
        Ok(())
    }

    fn try_handle(&self, request: api::Request) -> Result<api::Reply, RequestError> {
        let mut inner = lock(&self.inner);
        match request {
            api::Request::PutSegment(spec) => self.put_segment(&mut inner, spec),
            api::Request::DeleteSegment { segment_id } => self.delete_segment(&mut inner, &segment_id),
            api::Request::ListSegments => Ok(api::Reply::Segments(inner.state.segments.values().cloned().collect())),
            api::Request::PutPort(spec) => self.put_port(&mut inner, spec),
            api::Request::DeletePort { port_id } => self.delete_port(&mut inner, &port_id),
            api::Request::ListPorts => {
                Ok(api::Reply::Ports(inner.ports.values().map(|port| port.shared.status()).collect()))
            }
            api::Request::Metrics => Ok(api::Reply::Metrics(self.metrics())),
        }
    }

    fn metrics(&self) -> api::Metrics {
        let sum = |count: &dyn Fn(&RunningWorker) -> u64| self.workers.iter().map(count).sum();
        let drops = DropReason::ALL
            .iter()
            .map(|reason| (reason.name().to_owned(), sum(&|worker| worker.counters.dropped(*reason))));
        api::Metrics {
            forwarded_packets: sum(&|worker| worker.counters.forwarded_packets.get()),
            flooded_packets: sum(&|worker| worker.counters.flooded_packets.get()),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// The worker that a segment and its ports belong to. The uplink is the first one's.
    fn worker_of(&self, segment: &Segment) -> &WorkerHandle {
        let mut hasher = DefaultHasher::new();
        segment.spec.segment_id.hash(&mut hasher);
        let index = if segment.spec.uplink { 0 } else { hasher.finish() as usize % self.workers.len() };
        &self.workers[index].handle
    }

    /// Saves the changed state, or says why it stays as it was.
    fn save(inner: &mut Inner, change: impl FnOnce(&mut State)) -> Result<(), RequestError> {
        let mut state = inner.state.clone();
        change(&mut state);
        if state != inner.state {
            inner.store.save(&state)?;
            inner.state = state;
        }
        Ok(())
    }

    fn check_segment(&self, inner: &Inner, spec: api::Segment) -> Result<Arc<Segment>, RequestError> {
        let segment = Arc::new(Segment::parse(spec)?);
        let id = &segment.spec.segment_id;
        let object = || format!("segment {id:?}");
        if !inner.segments.contains_key(id) && inner.segments.len() >= MAX_SEGMENTS {
            return Err(RequestError::TooMany { what: "segments", limit: MAX_SEGMENTS });
        }
        let clash = inner.segments.values().find(|other| {
            other.spec.segment_id != *id && other.spec.uplink && segment.spec.uplink && other.overlaps(&segment)
        });
        if let Some(other) = clash {
            let why = format!("its subnet overlaps uplink segment {:?}", other.spec.segment_id);
            return Err(RequestError::Invalid { object: object(), why });
        }
        let ports = inner.ports.values().map(|port| port.shared.config()).filter(|port| port.spec.segment_id == *id);
        for port in ports {
            if port.segment.spec.uplink != segment.spec.uplink {
                return Err(RequestError::InUse { object: object(), why: "uplink changes only without ports".into() });
            }
            Port::parse(port.spec.clone(), segment.clone())?;
        }
        Ok(segment)
    }

    fn put_segment(&self, inner: &mut Inner, spec: api::Segment) -> Result<api::Reply, RequestError> {
        let segment = self.check_segment(inner, spec)?;
        Self::save(inner, |state| {
            state.segments.insert(segment.spec.segment_id.clone(), segment.spec.clone());
        })?;
        self.apply_segment(inner, segment);
        Ok(api::Reply::Done)
    }

    fn apply_segment(&self, inner: &mut Inner, segment: Arc<Segment>) {
        let id = segment.spec.segment_id.clone();
        let worker = self.worker_of(&segment).clone();
        if let Some(old) = inner.segments.get(&id)
            && old.spec.uplink != segment.spec.uplink
        {
            self.worker_of(old).send(Command::DeleteSegment { segment_id: id.clone() });
        }
        inner.state.segments.insert(id.clone(), segment.spec.clone());
        inner.segments.insert(id.clone(), segment.clone());
        worker.send(Command::PutSegment(segment.clone()));
        for port in inner.ports.values() {
            let config = port.shared.config();
            // Checked before: every port on the segment fits its new description.
            if config.spec.segment_id == id
                && let Ok(config) = Port::parse(config.spec.clone(), segment.clone())
            {
                port.shared.set_config(Arc::new(config));
            }
        }
    }

    fn delete_segment(&self, inner: &mut Inner, segment_id: &str) -> Result<api::Reply, RequestError> {
        if inner.state.ports.values().any(|port| port.segment_id == segment_id) {
            let why = "ports are on it".to_owned();
            return Err(RequestError::InUse { object: format!("segment {segment_id:?}"), why });
        }
        Self::save(inner, |state| drop(state.segments.remove(segment_id)))?;
        if let Some(segment) = inner.segments.remove(segment_id) {
            self.worker_of(&segment).send(Command::DeleteSegment { segment_id: segment_id.to_owned() });
        }
        Ok(api::Reply::Done)
    }

    fn check_port(&self, inner: &Inner, spec: api::Port) -> Result<Port, RequestError> {
        let segment = inner
            .segments
            .get(&spec.segment_id)
            .ok_or_else(|| RequestError::NotFound { object: format!("segment {:?}", spec.segment_id) })?;
        if spec.number.is_some() {
            let why = "number is for a switch that is managed by OVSDB (netd --db)".to_owned();
            return Err(RequestError::Invalid { object: format!("port {:?}", spec.port_id), why });
        }
        let port = Port::parse(spec, segment.clone())?;
        let id = &port.spec.port_id;
        if !inner.ports.contains_key(id) && inner.ports.len() >= api::MAX_PORTS {
            return Err(RequestError::TooMany { what: "ports", limit: api::MAX_PORTS });
        }
        let clash = inner.ports.values().map(|other| other.shared.config()).find(|other| {
            other.spec.port_id != *id
                && other.spec.segment_id == port.spec.segment_id
                && (other.mac == port.mac || other.spec.ipv4 == port.spec.ipv4)
        });
        match clash {
            Some(other) => Err(RequestError::InUse {
                object: format!("address of port {id:?}"),
                why: format!("port {:?} has its MAC or IPv4 address", other.spec.port_id),
            }),
            None => Ok(port),
        }
    }

    fn put_port(&self, inner: &mut Inner, spec: api::Port) -> Result<api::Reply, RequestError> {
        let port = self.check_port(inner, spec)?;
        Self::save(inner, |state| {
            state.ports.insert(port.spec.port_id.clone(), port.spec.clone());
        })?;
        let socket = self.apply_port(inner, port)?;
        Ok(api::Reply::Port { socket })
    }

    fn apply_port(&self, inner: &mut Inner, port: Port) -> Result<PathBuf, RequestError> {
        let id = port.spec.port_id.clone();
        inner.state.ports.insert(id.clone(), port.spec.clone());
        if let Some(served) = inner.ports.get(&id) {
            let old = served.shared.config();
            if old.same_device(&port) {
                let mut names = lock(&self.names);
                names.remove(&old);
                names.put(&port);
                let config = Arc::new(port);
                served.shared.set_config(config.clone());
                served.worker.send(Command::PutPort { port: served.shared.clone(), config });
                return Ok(served.shared.socket.clone());
            }
            // Another device under the same name: its guest has to connect anew.
            self.unserve(inner, &id);
        }
        let key = inner.next_key;
        inner.next_key += 1;
        let worker = self.worker_of(&port.segment).clone();
        let socket = self.run_dir.join(format!("{id}.sock"));
        lock(&self.names).put(&port);
        let shared = Arc::new(PortShared::new(key, socket.clone(), port));
        worker.send(Command::PutPort { port: shared.clone(), config: shared.config() });
        let owner = Arc::new(WorkerPort { port: shared.clone(), worker: worker.clone() });
        let server = Server::start(Socket::Server(socket.clone()), owner)?;
        inner.ports.insert(id, ServedPort { shared, worker, _server: server });
        Ok(socket)
    }

    fn delete_port(&self, inner: &mut Inner, port_id: &str) -> Result<api::Reply, RequestError> {
        Self::save(inner, |state| drop(state.ports.remove(port_id)))?;
        self.unserve(inner, port_id);
        Ok(api::Reply::Done)
    }

    fn unserve(&self, inner: &mut Inner, port_id: &str) {
        if let Some(ServedPort { shared, worker, _server }) = inner.ports.remove(port_id) {
            // Ends the connection, which takes its rings back from the worker.
            drop(_server);
            worker.send(Command::DeletePort { key: shared.key });
            self.services.handle.forget(shared.key);
            lock(&self.names).remove(&shared.config());
        }
    }
}

impl Handler for Daemon {
    fn handle(&self, request: api::Request) -> api::Reply {
        reply_of(self.try_handle(request))
    }
}
