//! By log and interval.

use super::{GRACE_S, Places, logs_of};
use crate::api::Place;
use crate::store::{FlowLogRecord, Network};
use hive_ipfix::{Record, TcpCounts, Transport};
use hive_types::id::{AccountId, FlowLogId, NetworkInterfaceId};
use hive_vpc::LocalNumber;
use hive_vpc::flow_log::{Action, DOMAIN, Format, Interval, Line, Observation, Point, Subject, Tuple};
use hive_vpc::model::InterfaceId;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Records of all logs together: some 100 MiB. Beyond, interfaces have `SKIPDATA`.
const RECORDS_MAX: usize = 400_000;

/// Lines of one interval, to be written.
#[derive(Debug)]
pub struct File {
    pub log: FlowLogRecord,
    /// The header line first.
    pub text: String,
}

/// What is gathered.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Interfaces here that are logged, by number; those that went stay until what they sent last has been told of.
    sources: BTreeMap<LocalNumber, Source>,
    logs: BTreeMap<FlowLogId, Log>,
}

#[derive(Debug)]
struct Source {
    interface: InterfaceId,
    subject: Subject,
    logs: Vec<FlowLogId>,
    gone_s: Option<u64>,
}

#[derive(Debug)]
struct Log {
    record: FlowLogRecord,
    format: Format,
    /// What the lines of its interfaces say of them; all that were here in the interval.
    subjects: BTreeMap<InterfaceId, Subject>,
    start_s: u64,
    end_s: u64,
    current: Interval,
    /// Of what came before the current one was closed.
    next: Interval,
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// AWS's way to tell of flags: of ACK only with SYN.
fn tcp_flags(tcp: &TcpCounts, packets: u64) -> u8 {
    let bit = |count: u64, bit: u8| if count > 0 { bit } else { 0 };
    // Who asks sends one segment without ACK, who answers none.
    let answered = tcp.syn > 0 && tcp.ack >= packets;
    bit(tcp.fin, 1) | bit(tcp.syn, 2) | bit(tcp.rst, 4) | if answered { 16 } else { 0 }
}

impl Gathered {
    /// The records are these now.
    pub fn follow(&mut self, networks: &BTreeMap<AccountId, Network>, places: &Places, place: &Place) {
        let now_s = now_s();
        for (number, source) in &mut self.sources {
            if places.get(number) != Some(&source.interface) {
                source.gone_s.get_or_insert(now_s);
            }
        }
        let mut kept = BTreeSet::new();
        for (number, interface) in places {
            let Ok(id) = interface.0.parse::<NetworkInterfaceId>() else { continue };
            let found = networks.values().find_map(|network| Some((network, network.interfaces.get(&id)?)));
            let Some((network, record)) = found else { continue };
            let subnet = network.subnets.get(&record.subnet_id);
            let vpc = subnet.and_then(|subnet| network.vpcs.get(&subnet.vpc_id));
            let subject = Subject {
                account: record.account.to_string(),
                vpc: vpc.map_or("-".to_owned(), |vpc| vpc.vpc_id.to_string()),
                cidrs: vpc.into_iter().flat_map(|vpc| &vpc.blocks).map(|block| IpNet::V4(block.cidr)).collect(),
                subnet: record.subnet_id.to_string(),
                instance: record.attachment.as_ref().map(|attachment| attachment.instance_id.to_string()),
                region: place.region.clone(),
                zone_id: place.zone_id(),
            };
            let logs = logs_of(network, record);
            for log in &logs {
                kept.insert(log.flow_log_id.clone());
                let entry = self.logs.entry(log.flow_log_id.clone());
                let open = entry.or_insert_with(|| Log::new((*log).clone(), now_s));
                open.record = (*log).clone();
                open.subjects.insert(interface.clone(), subject.clone());
            }
            let logs = logs.iter().map(|log| log.flow_log_id.clone()).collect();
            self.sources.insert(*number, Source { interface: interface.clone(), subject, logs, gone_s: None });
        }
        // A log that was deleted is written no more. One whose interfaces went is, with what they sent last.
        let all: BTreeSet<_> = networks.values().flat_map(|network| network.flow_logs.keys()).collect();
        self.logs.retain(|id, _| kept.contains(id) || all.contains(id));
    }

    /// What the switch tells.
    pub fn add(&mut self, record: &Record) {
        let point = Point::parse(record.key.point);
        let Some(ip) = record.key.ip.filter(|_| record.key.domain == DOMAIN) else { return };
        let source = self.sources.get(&point.number).filter(|source| point.is_of(&source.interface));
        let Some(Source { interface, subject, logs, .. }) = source else { return };
        let (source_port, destination_port) = record.key.transport.ports();
        let counts = &record.counts;
        let tcp_flags = match record.key.transport {
            Transport::Tcp { .. } => tcp_flags(&counts.tcp, counts.packets),
            _ => 0,
        };
        let observation = Observation {
            interface,
            direction: point.direction,
            action: point.action,
            tuple: Tuple {
                source: ip.source,
                destination: ip.destination,
                source_port,
                destination_port,
                protocol: ip.protocol,
            },
            packets: counts.packets,
            bytes: counts.octets,
            tcp_flags,
            first_s: counts.start_us / 1_000_000,
            last_s: counts.end_us / 1_000_000,
        };
        let held: usize = self.logs.values().map(|log| log.current.len() + log.next.len()).sum();
        for id in logs {
            let Some(log) = self.logs.get_mut(id) else { continue };
            let wanted = match log.record.traffic_type.as_str() {
                "ACCEPT" => point.action == Action::Accept,
                "REJECT" => point.action == Action::Reject,
                _ => true,
            };
            if wanted {
                log.subjects.entry(interface.clone()).or_insert_with(|| subject.clone());
                let interval = if observation.last_s < log.end_s { &mut log.current } else { &mut log.next };
                interval.add(&observation, held < RECORDS_MAX);
            }
        }
    }

    /// Files of intervals that are over.
    pub fn finish(&mut self) -> Vec<File> {
        let now_s = now_s();
        let is_over = |gone_s: u64| gone_s.saturating_add(2 * GRACE_S) <= now_s;
        self.sources.retain(|_, source| !source.gone_s.is_some_and(is_over));
        let mut present: BTreeMap<FlowLogId, BTreeSet<InterfaceId>> = BTreeMap::new();
        for source in self.sources.values().filter(|source| source.gone_s.is_none()) {
            for log in &source.logs {
                present.entry(log.clone()).or_default().insert(source.interface.clone());
            }
        }
        let mut files = Vec::new();
        self.logs.retain(|id, log| {
            if log.end_s.saturating_add(GRACE_S) > now_s {
                return true;
            }
            let logged = present.remove(id).unwrap_or_default();
            files.extend(log.close(&logged));
            log.subjects.retain(|interface, _| logged.contains(interface));
            // Without interfaces there is nothing to write, until some are here again.
            !logged.is_empty() || !log.current.is_empty()
        });
        files
    }
}

impl Log {
    fn new(record: FlowLogRecord, now_s: u64) -> Self {
        let format = record.format.parse().unwrap_or_default();
        let end_s = Self::end(&record, now_s);
        let (current, next) = Default::default();
        Self { record, format, subjects: BTreeMap::new(), start_s: now_s, end_s, current, next }
    }

    /// Intervals end at whole minutes, or ten.
    fn end(record: &FlowLogRecord, from_s: u64) -> u64 {
        let interval_s = u64::try_from(record.interval_s).unwrap_or(0).max(1);
        (from_s / interval_s + 1).saturating_mul(interval_s)
    }

    fn close(&mut self, logged: &BTreeSet<InterfaceId>) -> Option<File> {
        let interval = std::mem::replace(&mut self.current, std::mem::take(&mut self.next));
        let records = interval.finish(logged, self.start_s, self.end_s);
        (self.start_s, self.end_s) = (self.end_s, Self::end(&self.record, self.end_s));
        let mut text = self.format.header() + "\n";
        let mut lines = 0;
        for record in &records {
            let Some(subject) = self.subjects.get(&record.interface) else { continue };
            lines += 1;
            let _ = writeln!(text, "{}", Line { format: &self.format, record, subject });
        }
        (lines > 0).then(|| File { log: self.record.clone(), text })
    }
}
