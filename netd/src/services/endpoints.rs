//! Whom the services answer: interfaces by number, as the control plane puts them, kept on disk.

use super::device::ServicesDevice;
use super::interface::{Directory, Interface};
use super::model::{Elsewhere, Port, Segment};
use super::state::{State, Store};
use super::{RunningServices, start};
use crate::error::{DaemonError, RequestError, reply_of};
use crate::mailbox::lock;
use hive_netd_api as api;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What was put, by its ids.
#[derive(Debug)]
struct Inner {
    store: Store,
    segments: BTreeMap<String, Arc<Segment>>,
    interfaces: BTreeMap<String, Arc<Interface>>,
    /// Not kept on disk.
    elsewhere: BTreeMap<String, Arc<Elsewhere>>,
}

/// What a request did to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    Some,
    /// The interface that had this number is no more.
    Gone(u64),
}

/// The services, and what they know.
#[derive(Debug)]
pub struct Endpoints {
    inner: Mutex<Inner>,
    directory: Arc<Directory>,
    services: RunningServices,
}

impl Endpoints {
    /// Starts the services, and answers again for what was put before.
    pub fn open(state_dir: &Path, upstream: Option<SocketAddrV4>) -> Result<Self, DaemonError> {
        let store = Store::open(state_dir)?;
        let State { segments, ports } = store.load()?;
        let directory = Arc::new(Directory::default());
        let mut inner =
            Inner { store, segments: BTreeMap::new(), interfaces: BTreeMap::new(), elsewhere: BTreeMap::new() };
        let unusable = |error: RequestError| DaemonError::State { path: state_dir.into(), why: error.to_string() };
        for spec in segments.into_values() {
            let segment = Segment::parse(spec).map_err(unusable)?;
            inner.segments.insert(segment.spec.segment_id.clone(), Arc::new(segment));
        }
        for spec in ports.into_values() {
            let port = inner.check_port(spec).map_err(unusable)?;
            let id = port.spec.port_id.clone();
            inner.interfaces.insert(id, Arc::new(Interface::new(port, &directory)));
        }
        directory.set(inner.segments.values(), inner.interfaces.values(), [].iter());
        let services = start(directory.clone(), upstream)?;
        Ok(Self { inner: Mutex::new(inner), directory, services })
    }

    /// A device for one more services port.
    pub fn device(&self) -> std::io::Result<ServicesDevice> {
        ServicesDevice::new(self.directory.clone(), self.services.handle.clone())
    }

    /// Answers a request of the control socket.
    pub fn handle(&self, request: api::Request) -> api::Reply {
        reply_of(self.try_handle(request))
    }

    fn try_handle(&self, request: api::Request) -> Result<api::Reply, RequestError> {
        let mut inner = lock(&self.inner);
        let change = match request {
            api::Request::PutSegment(spec) => self.put_segment(&mut inner, spec)?,
            api::Request::DeleteSegment { segment_id } => self.delete_segment(&mut inner, &segment_id)?,
            api::Request::PutPort(spec) => self.put_port(&mut inner, spec)?,
            api::Request::DeletePort { port_id } => self.delete_port(&mut inner, &port_id)?,
            api::Request::PutHosts(spec) => self.put_hosts(&mut inner, spec)?,
            api::Request::DeleteHosts { names } => {
                inner.elsewhere.remove(&names).map_or(Change::None, |_| Change::Some)
            }
            api::Request::ListHosts => {
                let counts = inner.elsewhere.iter().map(|(names, hosts)| (names.clone(), hosts.hosts.len()));
                return Ok(api::Reply::Hosts(counts.collect()));
            }
            api::Request::ListSegments => {
                return Ok(api::Reply::Segments(inner.segments.values().map(|segment| segment.spec.clone()).collect()));
            }
            api::Request::ListPorts => {
                return Ok(api::Reply::Ports(inner.interfaces.values().map(|interface| interface.status()).collect()));
            }
            api::Request::DescribePort { port_id } => {
                let interface = inner.interfaces.get(&port_id);
                let port = interface.map(|interface| interface.port().spec.clone());
                return port
                    .map(api::Reply::Port)
                    .ok_or_else(|| RequestError::NotFound { object: format!("port {port_id:?}") });
            }
            api::Request::Metrics => return Ok(api::Reply::Metrics(self.directory.total.metrics())),
        };
        if change != Change::None {
            self.directory.set(inner.segments.values(), inner.interfaces.values(), inner.elsewhere.values());
        }
        // After the directory: who is not there any more begins nothing that is to be forgotten.
        if let Change::Gone(number) = change {
            self.services.handle.forget(number);
        }
        Ok(api::Reply::Done)
    }

    fn put_segment(&self, inner: &mut Inner, spec: api::Segment) -> Result<Change, RequestError> {
        if inner.segments.get(&spec.segment_id).is_some_and(|segment| segment.spec == spec) {
            return Ok(Change::None);
        }
        let segment = Arc::new(Segment::parse(spec)?);
        let id = segment.spec.segment_id.clone();
        if !inner.segments.contains_key(&id) && inner.segments.len() >= api::MAX_SEGMENTS {
            return Err(RequestError::TooMany { what: "segments", limit: api::MAX_SEGMENTS });
        }
        let on_it = inner.on_segment(&id).map(|interface| {
            let port = Port::parse(interface.port().spec.clone(), segment.clone())?;
            Ok((interface.clone(), port))
        });
        let on_it = on_it.collect::<Result<Vec<_>, RequestError>>()?;
        inner.save(|state| drop(state.segments.insert(id.clone(), segment.spec.clone())))?;
        inner.segments.insert(id, segment);
        for (interface, port) in on_it {
            interface.set_port(port);
        }
        Ok(Change::Some)
    }

    fn put_hosts(&self, inner: &mut Inner, spec: api::Hosts) -> Result<Change, RequestError> {
        if inner.elsewhere.get(&spec.names).is_some_and(|hosts| hosts.spec == spec) {
            return Ok(Change::None);
        }
        let hosts = Elsewhere::parse(spec)?;
        let others = inner.elsewhere.values().filter(|other| other.names != hosts.names);
        if others.map(|other| other.hosts.len()).sum::<usize>() + hosts.hosts.len() > api::MAX_HOSTS_IN_ALL
            || (!inner.elsewhere.contains_key(&hosts.names) && inner.elsewhere.len() >= api::MAX_SEGMENTS)
        {
            return Err(RequestError::TooMany { what: "hosts in all", limit: api::MAX_HOSTS_IN_ALL });
        }
        inner.elsewhere.insert(hosts.names.clone(), Arc::new(hosts));
        Ok(Change::Some)
    }

    fn delete_segment(&self, inner: &mut Inner, segment_id: &str) -> Result<Change, RequestError> {
        if !inner.segments.contains_key(segment_id) {
            return Ok(Change::None);
        }
        if inner.on_segment(segment_id).next().is_some() {
            let why = "ports are on it".to_owned();
            return Err(RequestError::InUse { object: format!("segment {segment_id:?}"), why });
        }
        inner.save(|state| drop(state.segments.remove(segment_id)))?;
        inner.segments.remove(segment_id);
        Ok(Change::Some)
    }

    fn put_port(&self, inner: &mut Inner, spec: api::Port) -> Result<Change, RequestError> {
        if inner.interfaces.get(&spec.port_id).is_some_and(|interface| interface.port().spec == spec) {
            return Ok(Change::None);
        }
        let port = inner.check_port(spec)?;
        let id = port.spec.port_id.clone();
        inner.save(|state| drop(state.ports.insert(id.clone(), port.spec.clone())))?;
        if let Some(same) = inner.interfaces.get(&id)
            && same.number == port.spec.number
            && same.port().mac == port.mac
        {
            same.set_port(port);
            return Ok(Change::Some);
        }
        // Another interface under the same name: what was asked and promised before is of no worth.
        let before = inner.interfaces.insert(id, Arc::new(Interface::new(port, &self.directory)));
        Ok(before.map_or(Change::Some, |before| Change::Gone(before.number)))
    }

    fn delete_port(&self, inner: &mut Inner, port_id: &str) -> Result<Change, RequestError> {
        if !inner.interfaces.contains_key(port_id) {
            return Ok(Change::None);
        }
        inner.save(|state| drop(state.ports.remove(port_id)))?;
        Ok(inner.interfaces.remove(port_id).map_or(Change::None, |interface| Change::Gone(interface.number)))
    }
}

impl Inner {
    fn on_segment<'a>(&'a self, segment_id: &'a str) -> impl Iterator<Item = &'a Arc<Interface>> {
        self.interfaces.values().filter(move |interface| interface.port().spec.segment_id == segment_id)
    }

    /// Saves the state as it is to be, or says why it stays as it was.
    fn save(&self, change: impl FnOnce(&mut State)) -> Result<(), RequestError> {
        let segments = self.segments.iter().map(|(id, segment)| (id.clone(), segment.spec.clone()));
        let ports = self.interfaces.iter().map(|(id, interface)| (id.clone(), interface.port().spec.clone()));
        let mut next = State { segments: segments.collect(), ports: ports.collect() };
        change(&mut next);
        Ok(self.store.save(&next)?)
    }

    fn check_port(&self, spec: api::Port) -> Result<Port, RequestError> {
        let (id, number) = (&spec.port_id, spec.number);
        let mut others = self.interfaces.iter().filter(|(other, _)| *other != id);
        if let Some((other, _)) = others.find(|(_, interface)| interface.number == number) {
            let why = format!("port {other:?} has its number");
            return Err(RequestError::InUse { object: format!("port {id:?}"), why });
        }
        if !self.interfaces.contains_key(id) && self.interfaces.len() >= api::MAX_PORTS {
            return Err(RequestError::TooMany { what: "ports", limit: api::MAX_PORTS });
        }
        let segment = self.segments.get(&spec.segment_id).cloned();
        let segment =
            segment.ok_or_else(|| RequestError::NotFound { object: format!("segment {:?}", spec.segment_id) })?;
        Port::parse(spec, segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::model::{METADATA_ADDRESS, tests as model};
    use hive_device::{Device, Sent};
    use hive_flow::Field;
    use hive_packet::{Frame, MacAddr, Network, VnetHeader, build, protocol};
    use hive_program::Tunnel;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    fn put(endpoints: &Endpoints, name: &str, number: u64, ipv4: Ipv4Addr) -> api::Reply {
        let mac = MacAddr([2, 0, 0, 0, 1, ipv4.octets()[3]]).to_string();
        let port = api::Port { port_id: name.into(), number, ipv4, mac, ..model::port() };
        endpoints.handle(api::Request::PutPort(port))
    }

    fn open(directory: &Path) -> Endpoints {
        let endpoints = Endpoints::open(directory, None).unwrap();
        assert_eq!(endpoints.handle(api::Request::PutSegment(model::segment())), api::Reply::Done);
        endpoints
    }

    fn send(device: &mut ServicesDevice, number: u64, packet: &[u8]) -> bool {
        // By the last byte of its source.
        let frame = build::ethernet(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 1, packet[15]]), packet);
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
    fn a_new_services_port_tells_guests_of_their_router() {
        use crate::services::model::ipv6::tests::{port_v6, segment_v6};
        let directory = tempfile::tempdir().unwrap();
        let endpoints = Endpoints::open(directory.path(), None).unwrap();
        assert_eq!(endpoints.handle(api::Request::PutSegment(segment_v6())), api::Reply::Done);
        assert_eq!(endpoints.handle(api::Request::PutPort(port_v6())), api::Reply::Done);
        for _ in 0..2 {
            let (number, frame) = receive(&mut endpoints.device().unwrap());
            // ICMPv6, a router advertisement.
            assert_eq!((number, frame[14 + 6], frame[14 + 40]), (5, 58, 134));
        }
        let dropped = &endpoints.directory.total.metrics().drops;
        assert_eq!(dropped.get("answers-full"), None, "by the port that is gone");
    }

    #[test]
    fn what_is_too_long_in_ipv6_is_answered_by_the_segments_router() {
        use crate::services::model::ipv6::tests::{address, port_v6, segment_v6};
        let directory = tempfile::tempdir().unwrap();
        let endpoints = Endpoints::open(directory.path(), None).unwrap();
        endpoints.handle(api::Request::PutSegment(segment_v6()));
        endpoints.handle(api::Request::PutPort(port_v6()));
        let mut device = endpoints.device().unwrap();
        assert_eq!(receive(&mut device).1[14 + 40], 134);
        let packet = build::v6::udp(address("2001:db8:0:5::55"), address("2001:db8:9::9"), 1, 2, &[7; 1460]);
        assert!(send(&mut device, 1500 << 32 | 5, &packet));
        let (number, frame) = receive(&mut device);
        assert_eq!((number, frame[14 + 40]), (5, 2), "too big");
        assert_eq!(frame[22..38], address("fe80::ff:fe00:1").octets());
        assert!(!send(&mut device, 1500 << 32 | 6, &packet), "of nobody");
        endpoints.handle(api::Request::PutSegment(model::segment()));
        assert!(!send(&mut device, 1500 << 32 | 5, &packet), "of IPv4 alone");
    }

    #[test]
    fn a_flood_of_one_interface_takes_no_more_than_its_share() {
        let directory = tempfile::tempdir().unwrap();
        let endpoints = open(directory.path());
        put(&endpoints, "eni-7", 70, Ipv4Addr::new(10, 0, 0, 7));
        let port = endpoints.directory.get(70).unwrap();
        while port.enter(60) {}
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
