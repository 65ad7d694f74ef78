//! Whom the local services answer when the switch is managed by OVSDB and OpenFlow: interfaces by number, as the control plane puts them,
//! kept on disk.

use super::device::ServicesDevice;
use super::names::Names;
use super::{RunningServices, start};
use crate::control::Handler;
use crate::error::{DaemonError, RequestError, reply_of};
use crate::mailbox::lock;
use crate::model::{Port, Segment};
use crate::port::PortShared;
use crate::state::{State, Store};
use hive_netd_api as api;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Ports by number, for those who move frames.
#[derive(Debug, Default)]
pub struct Directory(RwLock<HashMap<u64, Arc<PortShared>>>);

impl Directory {
    pub fn get(&self, number: u64) -> Option<Arc<PortShared>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    fn set(&self, number: u64, port: Option<Arc<PortShared>>) {
        let mut ports = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match port {
            Some(port) => drop(ports.insert(number, port)),
            None => drop(ports.remove(&number)),
        }
    }
}

#[derive(Debug)]
struct Inner {
    state: State,
    store: Store,
    /// By name.
    ports: BTreeMap<String, Arc<PortShared>>,
}

/// The services, and what they know.
#[derive(Debug)]
pub struct Endpoints {
    inner: Mutex<Inner>,
    names: Arc<Mutex<Names>>,
    directory: Arc<Directory>,
    services: RunningServices,
}

impl Endpoints {
    /// Starts the services, and answers again for what was put before.
    pub fn open(state_dir: &Path, upstream: Option<SocketAddrV4>) -> Result<Self, DaemonError> {
        let store = Store::open(state_dir)?;
        let state = store.load()?;
        let names = Arc::new(Mutex::new(Names::default()));
        let services = start(names.clone(), upstream)?;
        let inner = Inner { state: State::default(), store, ports: BTreeMap::new() };
        let endpoints = Self { inner: Mutex::new(inner), names, directory: Arc::default(), services };
        endpoints.restore(state)?;
        Ok(endpoints)
    }

    fn restore(&self, state: State) -> Result<(), DaemonError> {
        let unusable = |error: RequestError| DaemonError::State { path: "state.json".into(), why: error.to_string() };
        let mut inner = lock(&self.inner);
        inner.state.segments = state.segments;
        for spec in state.ports.into_values() {
            let port = inner.check_port(spec).map_err(unusable)?;
            self.apply(&mut inner, port);
        }
        Ok(())
    }

    /// A device for one more services port.
    pub fn device(&self) -> std::io::Result<ServicesDevice> {
        ServicesDevice::new(self.directory.clone(), self.services.handle.clone())
    }

    fn try_handle(&self, request: api::Request) -> Result<api::Reply, RequestError> {
        let mut inner = lock(&self.inner);
        match request {
            api::Request::PutSegment(spec) => self.put_segment(&mut inner, spec),
            api::Request::DeleteSegment { segment_id } => {
                if inner.ports.values().any(|port| port.config().spec.segment_id == segment_id) {
                    let why = "ports are on it".to_owned();
                    return Err(RequestError::InUse { object: format!("segment {segment_id:?}"), why });
                }
                inner.save(|state| drop(state.segments.remove(&segment_id)))?;
                Ok(api::Reply::Done)
            }
            api::Request::ListSegments => Ok(api::Reply::Segments(inner.state.segments.values().cloned().collect())),
            api::Request::PutPort(spec) => {
                let port = inner.check_port(spec)?;
                inner.save(|state| drop(state.ports.insert(port.spec.port_id.clone(), port.spec.clone())))?;
                self.apply(&mut inner, port);
                Ok(api::Reply::Done)
            }
            api::Request::DeletePort { port_id } => {
                inner.save(|state| drop(state.ports.remove(&port_id)))?;
                self.remove(&mut inner, &port_id);
                Ok(api::Reply::Done)
            }
            api::Request::ListPorts => Ok(api::Reply::Ports(inner.ports.values().map(|port| port.status()).collect())),
            // The switch's counters are its own: ovs-appctl coverage/show.
            api::Request::Metrics => Ok(api::Reply::Metrics(api::Metrics::default())),
        }
    }

    fn put_segment(&self, inner: &mut Inner, spec: api::Segment) -> Result<api::Reply, RequestError> {
        let segment = Arc::new(Segment::parse(spec)?);
        let id = segment.spec.segment_id.clone();
        if !inner.state.segments.contains_key(&id) && inner.state.segments.len() >= api::MAX_PORTS {
            return Err(RequestError::TooMany { what: "segments", limit: api::MAX_PORTS });
        }
        let on_it = inner.ports.values().filter(|port| port.config().spec.segment_id == id);
        let ports = on_it.map(|port| Ok((port.clone(), Port::parse(port.config().spec.clone(), segment.clone())?)));
        let ports = ports.collect::<Result<Vec<_>, RequestError>>()?;
        inner.save(|state| drop(state.segments.insert(id, segment.spec.clone())))?;
        for (shared, port) in ports {
            shared.set_config(Arc::new(port));
        }
        Ok(api::Reply::Done)
    }

    fn apply(&self, inner: &mut Inner, port: Port) {
        let (id, number) = (port.spec.port_id.clone(), port.spec.number.unwrap_or_default());
        inner.state.ports.insert(id.clone(), port.spec.clone());
        if let Some(shared) =
            inner.ports.get(&id).filter(|shared| shared.key == number && shared.config().mac == port.mac)
        {
            let mut names = lock(&self.names);
            names.remove(&shared.config());
            names.put(&port);
            shared.set_config(Arc::new(port));
            return;
        }
        // Another interface under the same name: what was asked and promised before is of no worth.
        self.remove(inner, &id);
        lock(&self.names).put(&port);
        let shared = Arc::new(PortShared::new(number, PathBuf::new(), port));
        self.directory.set(number, Some(shared.clone()));
        inner.ports.insert(id, shared);
    }

    fn remove(&self, inner: &mut Inner, port_id: &str) {
        if let Some(shared) = inner.ports.remove(port_id) {
            self.directory.set(shared.key, None);
            self.services.handle.forget(shared.key);
            lock(&self.names).remove(&shared.config());
        }
    }
}

impl Handler for Endpoints {
    fn handle(&self, request: api::Request) -> api::Reply {
        reply_of(self.try_handle(request))
    }
}

impl Inner {
    /// Saves the changed state, or says why it stays as it was.
    fn save(&mut self, change: impl FnOnce(&mut State)) -> Result<(), RequestError> {
        let mut state = self.state.clone();
        change(&mut state);
        if state != self.state {
            self.store.save(&state)?;
            self.state = state;
        }
        Ok(())
    }

    fn check_port(&self, spec: api::Port) -> Result<Port, RequestError> {
        let object = || format!("port {:?}", spec.port_id);
        let Some(number) = spec.number.filter(|number| *number != 0) else {
            let why = "number must be given, and not 0".to_owned();
            return Err(RequestError::Invalid { object: object(), why });
        };
        if let Some(other) =
            self.ports.values().find(|port| port.key == number && port.config().spec.port_id != spec.port_id)
        {
            let why = format!("port {:?} has its number", other.config().spec.port_id);
            return Err(RequestError::InUse { object: object(), why });
        }
        if !self.ports.contains_key(&spec.port_id) && self.ports.len() >= api::MAX_PORTS {
            return Err(RequestError::TooMany { what: "ports", limit: api::MAX_PORTS });
        }
        let segment = self.state.segments.get(&spec.segment_id).cloned();
        let segment =
            segment.ok_or_else(|| RequestError::NotFound { object: format!("segment {:?}", spec.segment_id) })?;
        Port::parse(spec, Arc::new(Segment::parse(segment)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::METADATA_ADDRESS;
    use crate::model::tests as model;
    use hive_device::{Device, Sent};
    use hive_flow::Field;
    use hive_packet::{Frame, MacAddr, Network, VnetHeader, build, protocol};
    use hive_program::Tunnel;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    fn put(endpoints: &Endpoints, name: &str, number: u64, ipv4: Ipv4Addr) -> api::Reply {
        let mac = MacAddr([2, 0, 0, 0, 1, ipv4.octets()[3]]).to_string();
        let port = api::Port { port_id: name.into(), number: Some(number), ipv4, mac, ..model::port() };
        endpoints.handle(api::Request::PutPort(port))
    }

    fn open(directory: &Path) -> Endpoints {
        let endpoints = Endpoints::open(directory, None).unwrap();
        assert_eq!(endpoints.handle(api::Request::PutSegment(model::segment())), api::Reply::Done);
        endpoints
    }

    fn send(device: &mut ServicesDevice, number: u64, packet: &[u8]) -> bool {
        let frame = build::ethernet(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 1, 7]), packet);
        let tunnel = Tunnel {
            id: number,
            remote: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            local: None,
            tos: 0,
            ttl: 64,
            df: false,
            options: Arc::from([]),
        };
        let (start, end) = frame.split_at(20);
        device.send(Sent { header: VnetHeader::default(), pieces: &[start, end], tunnel: Some(&tunnel) })
    }

    fn receive(device: &mut ServicesDevice) -> (u64, Vec<u8>) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut got = None;
        while got.is_none() {
            assert!(Instant::now() < deadline, "no answer");
            let mut take = |received: hive_device::Received<'_>| {
                got = Some((received.metadata.get_u64(Field::TunId), received.frame.to_vec()));
            };
            device.receive(1, &mut take).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        got.unwrap()
    }

    #[test]
    fn each_interface_is_answered_by_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let endpoints = open(directory.path());
        let addresses = [Ipv4Addr::new(10, 0, 0, 7), Ipv4Addr::new(10, 0, 0, 8)];
        assert_eq!(put(&endpoints, "eni-7", 70, addresses[0]), api::Reply::Done);
        assert_eq!(put(&endpoints, "eni-8", 80, addresses[1]), api::Reply::Done);
        let mut device = endpoints.device().unwrap();
        for (number, address) in [(70, addresses[0]), (80, addresses[1])] {
            assert!(send(&mut device, number, &build::tcp_syn(address, METADATA_ADDRESS, 1000, 80)));
            let (to, frame) = receive(&mut device);
            assert_eq!(to, number);
            let parsed = Frame::parse(&frame, frame.len()).unwrap();
            assert_eq!(parsed.dst, MacAddr([2, 0, 0, 0, 1, address.octets()[3]]));
            let Network::Ipv4(ip) = parsed.network else { panic!("{parsed:?}") };
            assert_eq!((ip.src, ip.dst, ip.protocol), (METADATA_ADDRESS, address, protocol::TCP));
        }
        assert!(!send(&mut device, 90, &build::tcp_syn(addresses[0], METADATA_ADDRESS, 1000, 80)), "of nobody");
        assert_eq!(device.status().counters.tx_dropped, 1);
        endpoints.handle(api::Request::DeletePort { port_id: "eni-8".into() });
        assert!(!send(&mut device, 80, &build::tcp_syn(addresses[1], METADATA_ADDRESS, 1000, 80)), "deleted");
    }

    /// As `ovs-vsctl del-port svc -- add-port br0 svc` makes of it: the guest is still there.
    #[test]
    fn a_services_port_made_anew_answers_whom_the_former_one_knew() {
        let directory = tempfile::tempdir().unwrap();
        let endpoints = open(directory.path());
        let address = Ipv4Addr::new(10, 0, 0, 7);
        put(&endpoints, "eni-7", 70, address);
        for port in [1000, 1001] {
            let mut device = endpoints.device().unwrap();
            assert!(send(&mut device, 70, &build::tcp_syn(address, METADATA_ADDRESS, port, 80)));
            assert_eq!(receive(&mut device).0, 70);
        }
    }

    #[test]
    fn a_flood_of_one_interface_takes_no_more_than_its_share() {
        let directory = tempfile::tempdir().unwrap();
        let endpoints = open(directory.path());
        put(&endpoints, "eni-7", 70, Ipv4Addr::new(10, 0, 0, 7));
        let port = endpoints.directory.get(70).unwrap();
        while port.enter_services() {}
        let mut device = endpoints.device().unwrap();
        let syn = build::tcp_syn(Ipv4Addr::new(10, 0, 0, 7), METADATA_ADDRESS, 1000, 80);
        assert!(!send(&mut device, 70, &syn));
        put(&endpoints, "eni-8", 80, Ipv4Addr::new(10, 0, 0, 8));
        assert!(send(&mut device, 80, &build::tcp_syn(Ipv4Addr::new(10, 0, 0, 8), METADATA_ADDRESS, 1000, 80)));
    }

    #[test]
    fn what_was_put_is_answered_for_after_a_restart_and_numbers_are_nobody_elses() {
        let directory = tempfile::tempdir().unwrap();
        let address = Ipv4Addr::new(10, 0, 0, 7);
        drop({
            let endpoints = open(directory.path());
            put(&endpoints, "eni-7", 70, address);
            endpoints
        });
        let endpoints = Endpoints::open(directory.path(), None).unwrap();
        let mut device = endpoints.device().unwrap();
        assert!(send(&mut device, 70, &build::tcp_syn(address, METADATA_ADDRESS, 1000, 80)));
        assert_eq!(receive(&mut device).0, 70);
        let refused = |reply: api::Reply| matches!(reply, api::Reply::Error { .. });
        assert!(refused(put(&endpoints, "eni-8", 70, Ipv4Addr::new(10, 0, 0, 8))));
        assert!(refused(put(&endpoints, "eni-8", 0, Ipv4Addr::new(10, 0, 0, 8))));
        assert!(refused(endpoints.handle(api::Request::DeleteSegment { segment_id: "subnet-1".into() })));
        assert_eq!(put(&endpoints, "eni-7", 71, address), api::Reply::Done);
        assert!(!send(&mut device, 70, &build::tcp_syn(address, METADATA_ADDRESS, 1000, 80)), "its former number");
    }
}
