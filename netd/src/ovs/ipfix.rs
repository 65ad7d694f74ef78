//! Exporters of what flows sample (`Flow_Sample_Collector_Set`, `IPFIX`): each gathers packets by flow, and sends a flow's counts to
//! its collectors when its time is over. Workers count into it, mostly what a cached way has counted in a quarter of a second; a thread of
//! its own sends.

use super::bridge::Bridge;
use super::daemon::Daemon;
use foldhash::fast::RandomState;
use hive_ipfix::{Counts, Encoder, EndReason, FlowKey};
use hive_openflow::IpfixStats;
use hive_ovsdb::snapshot::{CollectorSet, CollectorTarget};
use hive_program::{BridgeId, Sampler, Traffic};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two looks at whose time is over; and at whether there are any exporters, who are waited for anyway.
const TURN: Duration = Duration::from_millis(100);
const REST: Duration = Duration::from_secs(10);
/// What a collector of this machine may take for a message.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);
/// Flows of one exporter, whatever `cache_max_flows` says: some 200 bytes each.
const FLOWS_MAX: usize = 1 << 18;
/// Records that wait to be sent; more are dropped, and counted.
const WAITING_MAX: usize = 1 << 16;
/// Flows that are looked at in one go: workers wait for it, some hundred microseconds.
const EXPIRED_PER_GO: usize = 1024;
const ETHERNET_HEADER_BYTES: u64 = 14;
const TAG_BYTES: u64 = 4;

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The exporter of one set.
#[derive(Debug)]
pub(super) struct Exporter(Mutex<Cache>);

#[derive(Debug, Default)]
struct Cache {
    /// None: it is to be no more.
    settings: Option<CollectorSet>,
    /// With [`Self::settings`] they change; who sends has them meanwhile.
    sending: Arc<Mutex<Sending>>,
    flows: HashMap<FlowKey, Counts, RandomState>,
    /// In the order in which they are to be exported: when they began.
    order: VecDeque<(u64, FlowKey)>,
    waiting: Vec<(FlowKey, Counts, EndReason)>,
    totals: Totals,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    flows: u64,
    packets: u64,
    packets_v4: u64,
    packets_v6: u64,
    /// Packets whose record found no room.
    dropped: u64,
    dropped_v4: u64,
    dropped_v6: u64,
    sent: u64,
    send_errors: u64,
}

/// A way to one collector.
#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    fn connect(target: &CollectorTarget) -> io::Result<Self> {
        match target {
            CollectorTarget::Udp(address) => {
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
            CollectorTarget::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                // A few datagrams fill its queue: it is waited for, but not for ever.
                socket.set_write_timeout(Some(SEND_TIMEOUT))?;
                Ok(Self::Unix(socket))
            }
        }
    }

    fn send(&self, message: &[u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send(message),
            Self::Unix(socket) => socket.send(message),
        }
    }
}

/// One collector.
#[derive(Debug)]
struct Collector {
    target: CollectorTarget,
    socket: Option<Socket>,
    /// Which templates it knows.
    encoder: Encoder,
}

impl Collector {
    /// Sends all; of messages, how many went and how many did not.
    fn send(&mut self, now_us: u64, records: &[(FlowKey, Counts, EndReason)]) -> (u64, u64) {
        let mut lost = false;
        for _ in 0..2 {
            if self.socket.is_none() {
                let socket = Socket::connect(&self.target);
                let target = &self.target;
                self.socket = socket.inspect_err(|error| tracing::debug!(?target, %error, "a collector is away")).ok();
                // Whoever listens there now has heard nothing.
                self.encoder = Encoder::default();
            }
            let (mut sent, mut failed) = (0, 0);
            // Who does not take one message in time is not waited for with each of the others.
            let mut socket = self.socket.as_ref();
            self.encoder.messages(now_us, records.iter().copied(), |message| {
                match socket.map(|socket| socket.send(message)) {
                    Some(Ok(_)) => sent += 1,
                    refused => {
                        failed += 1;
                        if let Some(Err(error)) = refused {
                            lost |= is_gone(&error);
                            socket = socket.filter(|socket| matches!(socket, Socket::Udp(_)));
                        }
                    }
                }
            });
            if !lost || sent > 0 || matches!(self.target, CollectorTarget::Udp(_)) {
                return (sent, failed);
            }
            // A socket that was made anew has the old one's name.
            self.socket = None;
            lost = false;
        }
        (0, 1)
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotConnected | io::ErrorKind::ConnectionReset
    )
}

#[derive(Debug, Default)]
struct Sending(Vec<Collector>);

impl Cache {
    /// How many flows may be gathered; 0: none.
    fn flows_max(&self) -> usize {
        let caching = self.settings.as_ref().filter(|settings| settings.cache_active_timeout_s > 0);
        caching.map_or(0, |settings| (settings.cache_max_flows as usize).min(FLOWS_MAX))
    }

    fn configure(&mut self, settings: &CollectorSet) {
        let old = self.settings.replace(settings.clone());
        if old.is_none_or(|old| old.targets != settings.targets) {
            let collector = |target: &CollectorTarget| Collector {
                target: target.clone(),
                socket: None,
                encoder: Encoder::default(),
            };
            self.sending = Arc::new(Mutex::new(Sending(settings.targets.iter().map(collector).collect())));
        }
    }

    fn export(&mut self, key: FlowKey, counts: Counts, reason: EndReason) {
        if self.waiting.len() >= WAITING_MAX {
            self.totals.dropped += counts.packets;
            match key.ip {
                Some(ip) if ip.source.is_ipv4() => self.totals.dropped_v4 += counts.packets,
                Some(_) => self.totals.dropped_v6 += counts.packets,
                None => {}
            }
            return;
        }
        self.waiting.push((key, counts, reason));
    }

    fn export_oldest(&mut self, reason: EndReason) {
        if let Some((_, key)) = self.order.pop_front()
            && let Some(counts) = self.flows.remove(&key)
        {
            self.export(key, counts, reason);
        }
    }

    fn count(&mut self, key: &FlowKey, counts: &Counts) {
        self.totals.packets += counts.packets;
        match key.ip {
            Some(ip) if ip.source.is_ipv4() => self.totals.packets_v4 += counts.packets,
            Some(_) => self.totals.packets_v6 += counts.packets,
            None => {}
        }
        if let Some(known) = self.flows.get_mut(key) {
            known.add(counts);
            return;
        }
        self.totals.flows += 1;
        let flows_max = self.flows_max();
        if flows_max == 0 {
            return self.export(*key, *counts, EndReason::ActiveTimeout);
        }
        if self.flows.len() >= flows_max {
            self.export_oldest(EndReason::LackOfResources);
        }
        self.order.push_back((counts.start_us, *key));
        self.flows.insert(*key, *counts);
    }

    /// Flows whose time is over, a go's; all of them if there is to be no cache any more. True if there may be more.
    fn expire(&mut self, now_us: u64) -> bool {
        let (timeout_us, reason) = match &self.settings {
            Some(settings) if self.flows_max() > 0 => {
                (u64::from(settings.cache_active_timeout_s) * 1_000_000, EndReason::ActiveTimeout)
            }
            _ => (0, EndReason::ForcedEnd),
        };
        let is_due = |cache: &Self| {
            cache.order.front().is_some_and(|(start_us, _)| {
                reason == EndReason::ForcedEnd || start_us.saturating_add(timeout_us) <= now_us
            })
        };
        for _ in 0..EXPIRED_PER_GO {
            if !is_due(self) {
                return false;
            }
            self.export_oldest(reason);
        }
        true
    }
}

impl Exporter {
    fn new(settings: &CollectorSet) -> Self {
        let mut cache = Cache::default();
        cache.configure(settings);
        Self(Mutex::new(cache))
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is due.
    fn run(&self, now_us: u64) {
        loop {
            let mut cache = self.lock();
            let more = cache.expire(now_us);
            let waiting = std::mem::take(&mut cache.waiting);
            let sending = Arc::clone(&cache.sending);
            drop(cache);
            if !waiting.is_empty() {
                let mut sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
                let counts = sending.0.iter_mut().map(|collector| collector.send(now_us, &waiting));
                let (sent, failed) = counts.fold((0, 0), |sum, (sent, failed)| (sum.0 + sent, sum.1 + failed));
                drop(sending);
                let mut cache = self.lock();
                cache.totals.sent += sent;
                cache.totals.send_errors += failed;
            }
            if !more {
                return;
            }
        }
    }

    fn stats(&self, collector_set_id: u32) -> IpfixStats {
        let cache = self.lock();
        let totals = &cache.totals;
        let counters = [
            totals.flows,
            cache.flows.len() as u64,
            totals.packets,
            totals.packets_v4,
            totals.packets_v6,
            totals.dropped,
            totals.dropped_v4,
            totals.dropped_v6,
            totals.send_errors,
            totals.sent,
        ];
        IpfixStats { counters, collector_set_id }
    }
}

impl Sampler for Exporter {
    fn sampled(&self, flow: &FlowKey, traffic: Traffic, age_ms: u64) {
        let at_us = now_us().saturating_sub(age_ms.saturating_mul(1000));
        let header_bytes = ETHERNET_HEADER_BYTES + flow.vlan_tci.map_or(0, |_| TAG_BYTES);
        let octets = traffic.bytes.saturating_sub(traffic.packets.saturating_mul(header_bytes));
        let mut counts = Counts {
            start_us: at_us,
            end_us: at_us,
            packets: traffic.packets,
            octets: if flow.ip.is_some() { octets } else { 0 },
            layer2_octets: traffic.bytes,
            ..Counts::default()
        };
        if matches!(flow.transport, hive_ipfix::Transport::Tcp { .. }) {
            counts.tcp.add(traffic.tcp_flags, traffic.packets);
        }
        let mut cache = self.lock();
        if cache.settings.is_some() {
            cache.count(flow, &counts);
        }
    }
}

#[derive(Debug, Default)]
struct Lists {
    by_set: BTreeMap<(BridgeId, u32), Arc<Exporter>>,
    /// To be no more: what they have is still to be sent.
    ending: Vec<Arc<Exporter>>,
}

impl Lists {
    fn is_empty(&self) -> bool {
        self.by_set.is_empty() && self.ending.is_empty()
    }

    fn of(&self, bridge: BridgeId) -> impl Iterator<Item = (u32, &Arc<Exporter>)> {
        self.by_set.range((bridge, 0)..=(bridge, u32::MAX)).map(|((_, set), exporter)| (*set, exporter))
    }
}

/// All exporters.
#[derive(Debug, Default)]
pub(super) struct Exporters {
    lists: Mutex<Lists>,
    /// There are some.
    made: Condvar,
}

impl Exporters {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are the bridges now. What those have that go is sent in the next turn.
    pub fn configure<'b>(&self, bridges: impl Iterator<Item = &'b Bridge>) {
        let sets = bridges.flat_map(|bridge| bridge.config.collector_sets.iter().map(move |set| (bridge.id, set)));
        self.set(sets.map(|(bridge, (set, settings))| ((bridge, *set), settings)));
    }

    fn set<'b>(&self, wanted: impl Iterator<Item = ((BridgeId, u32), &'b CollectorSet)>) {
        let mut lists = self.lock();
        let mut before = std::mem::take(&mut lists.by_set);
        for (place, settings) in wanted {
            let exporter = match before.remove(&place) {
                Some(exporter) => {
                    exporter.lock().configure(settings);
                    exporter
                }
                None => Arc::new(Exporter::new(settings)),
            };
            lists.by_set.insert(place, exporter);
        }
        before.values().for_each(|exporter| exporter.lock().settings = None);
        lists.ending.extend(before.into_values());
        if !lists.is_empty() {
            self.made.notify_all();
        }
    }

    /// By set.
    pub fn samplers(&self, bridge: BridgeId) -> BTreeMap<u32, Arc<dyn Sampler>> {
        self.lock().of(bridge).map(|(set, exporter)| (set, exporter.clone() as Arc<dyn Sampler>)).collect()
    }

    /// NXST_IPFIX_FLOW of a bridge.
    pub fn stats(&self, bridge: BridgeId) -> Vec<IpfixStats> {
        self.lock().of(bridge).map(|(set, exporter)| exporter.stats(set)).collect()
    }

    /// Waits for a turn, or while there are none; and sends what is due.
    fn turn(&self) {
        let lists = self.lock();
        let wait = if lists.is_empty() { REST } else { TURN };
        let had_any = !lists.is_empty();
        let waited = self.made.wait_timeout_while(lists, wait, |lists| had_any || lists.is_empty());
        let (mut lists, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let mut all = std::mem::take(&mut lists.ending);
        all.extend(lists.by_set.values().cloned());
        drop(lists);
        let now_us = now_us();
        all.iter().for_each(|exporter| exporter.run(now_us));
    }
}

/// The thread that sends.
pub(super) fn start(daemon: &Arc<Daemon>) -> io::Result<()> {
    let daemon = Arc::downgrade(daemon);
    std::thread::Builder::new().name("ipfix".to_owned()).spawn(move || {
        while let Some(daemon) = daemon.upgrade() {
            daemon.exporters.turn();
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_ipfix::{Decoder, Ip, Record, Transport};

    fn flow(port: u16) -> FlowKey {
        let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        FlowKey {
            ip: Some(Ip { source, destination, protocol: 6, ttl: 64, tos: 0, label: 0 }),
            transport: Transport::Tcp { source: port, destination: 80 },
            ..FlowKey::default()
        }
    }

    fn collector() -> (UdpSocket, CollectorSet) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let targets = [CollectorTarget::Udp(socket.local_addr().unwrap())].into();
        (socket, CollectorSet { targets, cache_active_timeout_s: 10, cache_max_flows: 2 })
    }

    fn received(socket: &UdpSocket, decoder: &mut Decoder) -> Vec<Record> {
        let (mut records, mut buffer) = (Vec::new(), [0; 2048]);
        while let Ok(bytes) = socket.recv(&mut buffer) {
            decoder.message(&buffer[..bytes], |record| records.push(record)).unwrap();
        }
        records
    }

    #[test]
    fn a_flow_is_exported_when_its_time_is_over_or_there_is_no_room() {
        let (socket, settings) = collector();
        let (exporter, mut decoder) = (Exporter::new(&settings), Decoder::default());
        let packets = |packets, tcp_flags| Traffic { packets, bytes: 100 * packets, tcp_flags };
        exporter.sampled(&flow(1), packets(1, 0x02), 0);
        exporter.sampled(&flow(1), packets(9, 0x10), 0);
        exporter.sampled(&flow(2), packets(1, 0x12), 0);
        exporter.run(now_us());
        assert!(received(&socket, &mut decoder).is_empty());
        // A third one finds no room.
        exporter.sampled(&flow(3), packets(1, 0x02), 0);
        exporter.run(now_us());
        let [oldest] = received(&socket, &mut decoder)[..] else { panic!("not the oldest alone") };
        assert_eq!((oldest.key, oldest.end_reason), (flow(1), EndReason::LackOfResources as u8));
        assert_eq!((oldest.counts.packets, oldest.counts.octets, oldest.counts.layer2_octets), (10, 860, 1000));
        assert_eq!((oldest.counts.tcp.syn, oldest.counts.tcp.ack), (1, 9));
        exporter.run(now_us() + 11_000_000);
        let rest = received(&socket, &mut decoder);
        assert_eq!(rest.iter().map(|record| record.key).collect::<Vec<_>>(), [flow(2), flow(3)]);
        assert!(rest.iter().all(|record| record.end_reason == EndReason::ActiveTimeout as u8));
        assert_eq!(exporter.stats(5).counters, [3, 0, 12, 12, 0, 0, 0, 0, 0, 2]);
    }

    /// The thread does not spin; and who has nothing to send any more is sent for all the same.
    #[test]
    fn a_turn_takes_its_time_and_sends_for_those_that_go() {
        let (socket, settings) = collector();
        let (exporters, place) = (Exporters::default(), (BridgeId(1), 7));
        exporters.set([(place, &settings)].into_iter());
        let samplers = exporters.samplers(BridgeId(1));
        samplers[&7].sampled(&flow(1), Traffic { packets: 1, bytes: 100, tcp_flags: 0 }, 0);
        let began = std::time::Instant::now();
        exporters.turn();
        assert!(began.elapsed() >= TURN);
        let mut decoder = Decoder::default();
        assert!(received(&socket, &mut decoder).is_empty());
        exporters.set(std::iter::empty());
        exporters.turn();
        assert_eq!(received(&socket, &mut decoder).len(), 1);
        // Whoever still has it counts for nobody.
        samplers[&7].sampled(&flow(1), Traffic { packets: 1, bytes: 100, tcp_flags: 0 }, 0);
        assert!(exporters.stats(BridgeId(1)).is_empty() && exporters.lock().is_empty());
    }

    /// However long a collector is silent, its thread goes on.
    #[test]
    fn a_collector_that_takes_nothing_is_waited_for_once_a_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        let targets = [CollectorTarget::Unix(path)].into();
        let exporter = Exporter::new(&CollectorSet { targets, cache_active_timeout_s: 0, cache_max_flows: 0 });
        for port in 0..20_000 {
            exporter.sampled(&flow(port), Traffic { packets: 1, bytes: 100, tcp_flags: 0 }, 0);
        }
        exporter.run(now_us());
        let (mut sent, mut buffer) = (0, [0; 2048]);
        socket.set_nonblocking(true).unwrap();
        while socket.recv(&mut buffer).is_ok() {
            sent += 1;
        }
        let [failed, counted] = exporter.stats(1).counters[8..] else { panic!("ten counters") };
        assert_eq!(counted, sent);
        assert!(failed > 100, "{failed}");
    }

    #[test]
    fn without_a_cache_every_packet_is_a_record() {
        let (socket, settings) = collector();
        let exporter = Exporter::new(&CollectorSet { cache_active_timeout_s: 0, ..settings });
        let mut decoder = Decoder::default();
        for _ in 0..3 {
            exporter.sampled(&flow(1), Traffic { packets: 1, bytes: 100, tcp_flags: 0 }, 0);
        }
        exporter.run(now_us());
        assert_eq!(received(&socket, &mut decoder).len(), 3);
        // What finds no room is counted.
        for _ in 0..WAITING_MAX + 7 {
            exporter.sampled(&flow(1), Traffic { packets: 1, bytes: 100, tcp_flags: 0 }, 0);
        }
        assert_eq!(exporter.stats(1).counters[5..8], [7, 7, 0]);
    }

    /// Who listens there anew knows no templates: they come with the first records.
    #[test]
    fn a_collector_of_this_machine_may_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows.sock");
        let targets = [CollectorTarget::Unix(path.clone())].into();
        let exporter = Exporter::new(&CollectorSet { targets, cache_active_timeout_s: 0, cache_max_flows: 0 });
        let sample = || {
            exporter.sampled(&flow(1), Traffic { packets: 1, bytes: 100, tcp_flags: 0 }, 0);
            exporter.run(now_us());
        };
        // Nobody is there.
        sample();
        for _ in 0..2 {
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let (mut decoder, mut buffer) = (Decoder::default(), [0; 2048]);
            for _ in 0..2 {
                sample();
                let (bytes, mut records) = (socket.recv(&mut buffer).unwrap(), 0);
                decoder.message(&buffer[..bytes], |_| records += 1).unwrap();
                assert_eq!((records, decoder.unknown_sets), (1, 0));
            }
            drop(socket);
            std::fs::remove_file(&path).unwrap();
        }
        assert_eq!(exporter.stats(1).counters[8..], [1, 4]);
    }
}
