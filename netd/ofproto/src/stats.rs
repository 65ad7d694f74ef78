//! Answers to questions (OFPT_MULTIPART_REQUEST).

use crate::bridge::{Bridge, TABLES_VISIBLE};
use crate::connection::ConnectionId;
use crate::event::{MonitorScope, full_update};
use crate::flow::{Criteria, Flow, duration};
use crate::flow_mod::select;
use crate::group::Group;
use crate::meter::{BANDS_MAX, METERS_MAX};
use hive_openflow::{
    Aggregate, ErrorCode, FlowEvent, FlowRequest, FlowStatsWriter, GROUP_ALL, GroupFeatures, GroupStats, METER_ALL,
    Message, MeterFeatures, MonitorCommand, MonitorFlags, MonitorRequest, PortNo, QUEUE_ALL, QueueSelector, Reply,
    Request, TABLE_ALL, TableConfig, TableFeatures, TableStats, Vacancy, Version, outputs_to_group,
};
use std::sync::Arc;

/// OFPFW_ALL: what OpenFlow 1.0 can leave open.
const WILDCARDS_ALL: u32 = 0x3f_ffff;
/// Which kinds of action exist, by number: in OpenFlow 1.0, and later.
pub(crate) const ACTIONS_1_0: u32 = 0xfff;
const ACTIONS_LATER: u32 = 0x03ff_8001;
/// OFPGFC_SELECT_WEIGHT, SELECT_LIVENESS, CHAINING.
const GROUP_CAPABILITIES: u32 = 0x7;
/// Flow monitors of one connection.
const MONITORS_MAX: usize = 1024;
/// OFPTMPEF_*: by importance and lifetime, as Open vSwitch evicts.
const EVICTION_FLAGS: u32 = 0x7;

impl Bridge {
    pub(crate) fn answer(
        &mut self,
        id: ConnectionId,
        xid: u32,
        request: Request,
        now_ms: u64,
    ) -> Result<(), ErrorCode> {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let version = connection.context.version;
        let reply = match request {
            Request::Desc => Reply::Desc(self.config.desc.clone()),
            Request::Flow(request) => return self.answer_flows(id, xid, &request, now_ms),
            Request::Aggregate(request) => {
                let flows = self.select(&Criteria::of_request(&request));
                let sum =
                    |count: &dyn Fn(&Flow) -> u64| flows.iter().map(|flow| count(flow)).fold(0, u64::wrapping_add);
                let aggregate = Aggregate {
                    packets: sum(&|flow| flow.usage.packets()),
                    bytes: sum(&|flow| flow.usage.bytes()),
                    flows: u32::try_from(flows.len()).unwrap_or(u32::MAX),
                };
                Reply::Aggregate { aggregate, nicira: request.nicira }
            }
            Request::Table => Reply::Table((0..TABLES_VISIBLE).map(|table| self.table_stats(table)).collect()),
            Request::TableFeatures(change) if change.is_empty() => {
                let features = |table| {
                    let entries_max = self.tables.limit(table);
                    // Nothing is evicted, and nobody is told of vacancy.
                    let everything = TableFeatures::everything(table, TABLES_VISIBLE, "", entries_max, version);
                    TableFeatures { capabilities: 0, ..everything }
                };
                Reply::TableFeatures((0..TABLES_VISIBLE).map(features).collect())
            }
            Request::TableFeatures(_) => return Err(ErrorCode::TableFeaturesEperm),
            Request::TableDesc => {
                Reply::TableDesc(self.table_configs.iter().map(|config| self.described(config)).collect())
            }
            Request::Port(wanted) => {
                let ports = self.wanted_ports(wanted).map(|port| port.stats(now_ms));
                Reply::Port(ports.collect())
            }
            Request::PortDesc(wanted) => {
                Reply::PortDesc(self.wanted_ports(wanted).map(|port| port.desc(version)).collect())
            }
            Request::Queue(selector) => {
                self.check_queues(selector)?;
                Reply::Queue(Vec::new())
            }
            Request::QueueDesc(selector) => {
                self.check_queues(selector)?;
                Reply::QueueDesc(Vec::new())
            }
            Request::Group(group) => {
                Reply::Group(self.wanted_groups(group).map(|group| self.group_stats(group, now_ms)).collect())
            }
            Request::GroupDesc(group) => {
                Reply::GroupDesc(self.wanted_groups(group).map(|group| group.desc.clone()).collect())
            }
            Request::GroupFeatures => Reply::GroupFeatures(GroupFeatures {
                kinds: 0xf,
                capabilities: GROUP_CAPABILITIES,
                groups_max: [hive_openflow::GROUP_MAX; 4],
                actions: [if version == Version::V1_0 { ACTIONS_1_0 } else { ACTIONS_LATER }; 4],
            }),
            Request::Meter(meter) | Request::MeterConfig(meter)
                if meter != METER_ALL && !self.meters.contains(meter) =>
            {
                return Err(ErrorCode::MeterModUnknownMeter);
            }
            Request::Meter(meter) => {
                let count = |meter: u32| self.count_flows(|flow| flow.has_meter(meter));
                let meters = self.meters.select(meter);
                Reply::Meter(meters.map(|meter| meter.stats(count(meter.config.meter), now_ms)).collect())
            }
            Request::MeterConfig(meter) => {
                Reply::MeterConfig(self.meters.select(meter).map(|meter| meter.config.clone()).collect())
            }
            Request::MeterFeatures => Reply::MeterFeatures(MeterFeatures {
                meters_max: METERS_MAX,
                band_kinds: 1 << 1,
                capabilities: 0xf,
                bands_max: BANDS_MAX,
                colors_max: 0,
            }),
            Request::FlowMonitor(requests) => return self.change_monitors(id, xid, requests),
            Request::IpfixFlow if !self.ipfix_stats.is_empty() => Reply::IpfixFlow(self.ipfix_stats.clone()),
            Request::IpfixBridge | Request::IpfixFlow => return Err(ErrorCode::NxStatsNotConfigured),
        };
        self.send(id, xid, &Message::Reply { reply, more: false });
        Ok(())
    }

    pub(crate) fn select(&self, criteria: &Criteria<'_>) -> Vec<Arc<Flow>> {
        select(&self.tables.versions().load(), criteria)
    }

    fn answer_flows(
        &mut self,
        id: ConnectionId,
        xid: u32,
        request: &FlowRequest,
        now_ms: u64,
    ) -> Result<(), ErrorCode> {
        let flows = self.select(&Criteria::of_request(request));
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let writer = FlowStatsWriter::new(xid, request.nicira, &connection.context, &mut connection.output);
        let mut writer = writer.map_err(|_| ErrorCode::RequestBadStat)?;
        for flow in flows {
            if let Err(error) = writer.push(&flow.stats(now_ms)) {
                tracing::debug!(%error, "flow left out");
            }
        }
        writer.finish();
        Ok(())
    }

    fn active(&self, table: u8) -> u32 {
        let active = self.tables.versions().load().table(table).map_or(0, |table| table.len());
        u32::try_from(active).unwrap_or(u32::MAX)
    }

    /// A table's configuration, with how much of it is free now.
    fn described(&self, config: &TableConfig) -> TableConfig {
        let limit = u64::from(self.tables.limit(config.table));
        let free = limit.saturating_sub(self.active(config.table).into());
        let now_percent = (free * 100).checked_div(limit).map_or(0, |percent| percent as u8);
        TableConfig { vacancy: config.vacancy.map(|vacancy| Vacancy { now_percent, ..vacancy }), ..*config }
    }

    fn table_stats(&self, table: u8) -> TableStats {
        let (lookups, matches) = self.lookups.get(usize::from(table)).copied().unwrap_or_default();
        TableStats {
            table,
            active: self.active(table),
            lookups,
            matches,
            name: String::new(),
            wildcards: WILDCARDS_ALL,
            entries_max: self.tables.limit(table),
        }
    }

    fn wanted_ports(&self, wanted: PortNo) -> impl Iterator<Item = &crate::Port> {
        self.ports.values().filter(move |port| wanted == PortNo::NONE || wanted == port.number)
    }

    /// No port has queues here.
    fn check_queues(&self, selector: QueueSelector) -> Result<(), ErrorCode> {
        let all = matches!(selector.port, PortNo::NONE | PortNo::ALL);
        if !all && !self.ports.contains_key(&selector.port) {
            Err(ErrorCode::QueueOpBadPort)
        } else if selector.queue != QUEUE_ALL {
            Err(ErrorCode::QueueOpBadQueue)
        } else {
            Ok(())
        }
    }

    fn wanted_groups(&self, wanted: u32) -> impl Iterator<Item = &Arc<Group>> {
        let groups = self.groups.current().iter();
        groups.filter(move |(number, _)| wanted == GROUP_ALL || **number == wanted).map(|(_, group)| group)
    }

    fn group_stats(&self, group: &Group, now_ms: u64) -> GroupStats {
        let (duration_s, duration_ns) = duration(group.created_ms, now_ms);
        let number = group.desc.group;
        GroupStats {
            group: number,
            references: self.count_flows(|flow| outputs_to_group(&flow.actions, number)),
            packets: group.usage.packets(),
            bytes: group.usage.bytes(),
            duration_s,
            duration_ns,
            buckets: group.bucket_usage.iter().map(|usage| (usage.packets(), usage.bytes())).collect(),
        }
    }

    fn count_flows(&self, meant: impl Fn(&Flow) -> bool) -> u32 {
        let tables = self.tables.versions().load();
        let all = (0..=TABLE_ALL).filter_map(|number| tables.table(number)).flat_map(|table| table.iter());
        u32::try_from(all.filter(|rule| meant(rule.value())).count()).unwrap_or(u32::MAX)
    }

    fn change_monitors(&mut self, id: ConnectionId, xid: u32, requests: Vec<MonitorRequest>) -> Result<(), ErrorCode> {
        let tables = self.tables.versions().load();
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let mut monitors = connection.monitors.clone();
        let mut updates = Vec::new();
        for request in requests {
            let known = monitors.contains_key(&request.monitor);
            match request.command {
                MonitorCommand::Add if known => return Err(ErrorCode::FlowMonitorMonitorExists),
                MonitorCommand::Add if monitors.len() >= MONITORS_MAX => {
                    return Err(ErrorCode::FlowMonitorInvalidMonitor);
                }
                MonitorCommand::Modify | MonitorCommand::Delete if !known => {
                    return Err(ErrorCode::FlowMonitorUnknownMonitor);
                }
                MonitorCommand::Delete => {
                    monitors.remove(&request.monitor);
                    continue;
                }
                MonitorCommand::Add | MonitorCommand::Modify => {}
            }
            if request.flags.contains(MonitorFlags::INITIAL) {
                let criteria = Criteria {
                    table: request.table,
                    matching: &request.flow,
                    strict: None,
                    cookie: hive_openflow::CookieMask::default(),
                    out_port: request.out_port,
                    out_group: request.out_group,
                };
                let flows = select(&tables, &criteria).into_iter().filter(|flow| request.sees(flow));
                let with_actions = request.flags.contains(MonitorFlags::ACTIONS);
                updates.extend(flows.map(|flow| full_update(&flow, FlowEvent::Initial, with_actions)));
            }
            monitors.insert(request.monitor, request);
        }
        connection.monitors = monitors;
        connection.send(xid, &Message::Reply { reply: Reply::FlowMonitor(updates), more: false });
        Ok(())
    }
}

pub(crate) fn default_table_config(table: u8) -> TableConfig {
    TableConfig { table, eviction: false, vacancy_events: false, eviction_flags: Some(EVICTION_FLAGS), vacancy: None }
}
