//! A switch that keeps what it is told and tells it again; it forwards nothing.

use hive_openflow::{
    Aggregate, BundleControlKind, CheckParameters, Context, Desc, ErrorCode, ErrorMessage, Features, FlowCommand,
    FlowCounters, FlowMod, FlowStats, FlowStatsWriter, Fragments, Framer, GroupCommand, GroupDesc, GroupFeatures,
    GroupStats, Hello, Message, MeterCommand, MeterConfig, MeterFeatures, MeterStats, PortCounters, PortDesc, PortNo,
    PortStats, QueueConfig, QueueDesc, QueueStats, Reply, Request, SwitchConfig, TableConfig, TableFeatures,
    TableStats, TlvTable, TlvTableReply, Version, decode, decode_request,
};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

const TABLES: u8 = 254;
const PORTS: [PortNo; 4] = [PortNo::LOCAL, PortNo(1), PortNo(2), PortNo(3)];

#[derive(Default)]
struct Fake {
    flows: Vec<FlowStats>,
    groups: Vec<GroupDesc>,
    meters: Vec<MeterConfig>,
    tlvs: TlvTable,
    config: Option<SwitchConfig>,
    table_features: Vec<TableFeatures>,
}

/// Answer on a socket. What the tables can do must be as the tool's parser wants it, thus it is given.
pub fn serve(path: &Path, table_features: Vec<TableFeatures>) {
    let listener = UnixListener::bind(path).unwrap();
    let fake = Arc::new(Mutex::new(Fake { table_features, ..Fake::default() }));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (fake, stream) = (fake.clone(), stream.unwrap());
            thread::spawn(move || session(&fake, stream));
        }
    });
}

fn session(fake: &Mutex<Fake>, mut stream: UnixStream) {
    let (mut framer, mut context) = (Framer::default(), Context::new(Version::V1_5));
    let (mut out, mut greeted, mut staged) = (Vec::new(), false, Vec::new());
    let ours = Hello::of(&Version::ALL);
    Message::Hello(ours.clone()).encode(1, &context, &mut out).unwrap();
    let mut piece = [0; 65536];
    // The tool leaves as it likes.
    while stream.write_all(&out).is_ok() {
        out.clear();
        let Ok(length @ 1..) = stream.read(&mut piece) else { return };
        framer.push(&piece[..length]);
        while let Some(bytes) = framer.next_message().unwrap() {
            if !greeted {
                let Message::Hello(theirs) = decode(bytes, &context).unwrap().message else { panic!("no hello") };
                context.version = ours.agree(&theirs).unwrap();
                greeted = true;
                continue;
            }
            let mut fake = fake.lock().unwrap();
            context.tlvs = fake.tlvs.clone();
            let xid = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            let refused = match decode_request(bytes, &context) {
                Ok(decoded) => fake.answer(decoded.message, xid, &mut context, &mut staged, &mut out).err(),
                Err(code) => Some(code),
            };
            if let Some(code) = refused {
                let error = Message::Error(ErrorMessage::refuse(code, bytes));
                error.encode(xid, &context, &mut out).unwrap();
            }
        }
    }
}

fn port(number: u16, name: &str, version: Version) -> PortDesc {
    PortDesc {
        port: Some(PortNo(number)),
        hw_addr: [0x02, 0, 0, 0, 0, number as u8],
        name: name.to_owned(),
        // Live.
        state: if version == Version::V1_0 { 0 } else { 4 },
        ..PortDesc::default()
    }
}

fn ports(version: Version) -> Vec<PortDesc> {
    [(1, "p1"), (2, "p2"), (3, "p3"), (PortNo::LOCAL.0, "br0")].map(|(number, name)| port(number, name, version)).into()
}

impl Fake {
    fn answer(
        &mut self,
        message: Message,
        xid: u32,
        context: &mut Context,
        staged: &mut Vec<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorCode> {
        let version = context.version;
        let reply = match message {
            Message::EchoRequest(data) => Message::EchoReply(data),
            Message::BarrierRequest => Message::BarrierReply,
            Message::FeaturesRequest => {
                let old = version == Version::V1_0;
                let capabilities = match version {
                    Version::V1_0 => 0xc7,
                    Version::V1_3 => 0x4f,
                    _ => 0x24f,
                };
                Message::FeaturesReply(Features {
                    datapath_id: 0x1234,
                    buffers: 0,
                    tables: TABLES,
                    auxiliary_id: 0,
                    capabilities: hive_openflow::Capabilities(capabilities),
                    actions: 0xfff,
                    ports: if old { ports(version) } else { Vec::new() },
                })
            }
            Message::GetConfigRequest => Message::GetConfigReply(self.config()),
            Message::SetConfig(config) => {
                self.config = Some(config);
                return Ok(());
            }
            Message::FlowModTableId(set) => {
                context.table_ids = set;
                return Ok(());
            }
            Message::SetFlowFormat { .. } => return Ok(()),
            Message::FlowMod(flow_mod) => return self.change_flows(*flow_mod, version),
            Message::GroupMod(group_mod) => {
                assert_eq!(group_mod.command, GroupCommand::Add);
                let (group, kind) = (group_mod.group, group_mod.kind);
                let (buckets, selection) = (group_mod.buckets, group_mod.selection);
                self.groups.push(GroupDesc { group, kind, buckets, selection });
                return Ok(());
            }
            Message::MeterMod(meter_mod) => {
                assert_eq!(meter_mod.command, MeterCommand::Add);
                meter_mod.config.check()?;
                self.meters.push(meter_mod.config);
                return Ok(());
            }
            Message::TlvTableMod(change) => {
                self.tlvs = self.tlvs.apply(&change)?;
                return Ok(());
            }
            Message::TlvTableRequest => Message::TlvTableReply(TlvTableReply::of(&self.tlvs)),
            Message::QueueConfigRequest(port) => {
                Message::QueueConfigReply(QueueConfig { port, queues: vec![queue_desc(port)] })
            }
            Message::BundleControl(control) => {
                match control.kind {
                    BundleControlKind::OpenRequest => staged.clear(),
                    BundleControlKind::CommitRequest => {
                        for message in std::mem::take(staged) {
                            let Message::FlowMod(flow_mod) = decode_request(&message, context)?.message else {
                                panic!("only flows are expected")
                            };
                            self.change_flows(*flow_mod, version)?;
                        }
                    }
                    _ => {}
                }
                Message::BundleControl(control.reply().ok_or(ErrorCode::BundleBadType)?)
            }
            Message::BundleAdd(add) => {
                staged.push(add.message);
                return Ok(());
            }
            Message::Request { request: Request::Flow(request), .. } => {
                let mut writer = FlowStatsWriter::new(xid, request.nicira, context, out).unwrap();
                for flow in self.flows.iter().filter(|flow| request.table == 255 || request.table == flow.table) {
                    writer.push(flow).unwrap();
                }
                writer.finish();
                return Ok(());
            }
            Message::Request { request, .. } => Message::Reply { reply: self.reply(request, version), more: false },
            other => panic!("{other:?}"),
        };
        reply.encode(xid, context, out).unwrap();
        Ok(())
    }

    fn config(&self) -> SwitchConfig {
        self.config.unwrap_or(SwitchConfig { fragments: Fragments::Normal, miss_send_bytes: 0 })
    }

    fn change_flows(&mut self, flow_mod: FlowMod, version: Version) -> Result<(), ErrorCode> {
        if flow_mod.command.is_delete() {
            self.flows.retain(|flow| flow_mod.flow.iter().next().is_some() && flow.table != flow_mod.table);
            return Ok(());
        }
        assert_eq!(flow_mod.command, FlowCommand::Add);
        let table = if flow_mod.table == 255 { 0 } else { flow_mod.table };
        CheckParameters { version, ports_max: PortNo::MAX, table, tables: TABLES }
            .check(&flow_mod.actions, &flow_mod.flow)?;
        let priority = flow_mod.priority;
        self.flows.retain(|flow| (flow.table, flow.priority, &flow.flow) != (table, priority, &flow_mod.flow));
        self.flows.push(FlowStats {
            table,
            flow: flow_mod.flow,
            priority,
            cookie: flow_mod.new_cookie.unwrap_or(0),
            idle_timeout_s: flow_mod.idle_timeout_s,
            hard_timeout_s: flow_mod.hard_timeout_s,
            importance: flow_mod.importance,
            flags: flow_mod.flags,
            counters: FlowCounters { duration_s: 7, duration_ns: 5_000_000, idle_s: Some(7), packets: 0, bytes: 0 },
            hard_age_s: None,
            actions: flow_mod.actions,
        });
        Ok(())
    }

    fn reply(&self, request: Request, version: Version) -> Reply {
        let in_table = |table: u8| self.flows.iter().filter(move |flow| table == 255 || flow.table == table).count();
        match request {
            Request::Desc => Reply::Desc(Desc {
                manufacturer: "Nicira, Inc.".to_owned(),
                hardware: "Open vSwitch".to_owned(),
                software: "3.1.0".to_owned(),
                serial_number: "None".to_owned(),
                datapath: "None".to_owned(),
            }),
            Request::Aggregate(request) => {
                let flows = in_table(request.table) as u32;
                Reply::Aggregate { aggregate: Aggregate { packets: 0, bytes: 0, flows }, nicira: request.nicira }
            }
            Request::Table => {
                Reply::Table((0..TABLES).map(|table| table_stats(table, in_table(table) as u32)).collect())
            }
            Request::TableFeatures(_) => Reply::TableFeatures(self.table_features.clone()),
            Request::TableDesc => Reply::TableDesc((0..TABLES).map(table_config).collect()),
            Request::Port(wanted) => {
                let is_wanted = |number: PortNo| wanted == PortNo::NONE || wanted == number;
                let numbers = PORTS.into_iter().filter(|port| is_wanted(*port));
                Reply::Port(numbers.map(port_stats).collect())
            }
            Request::PortDesc(_) => Reply::PortDesc(ports(version)),
            Request::Queue(_) => Reply::Queue(PORTS.map(queue_stats).into()),
            Request::QueueDesc(selector) => Reply::QueueDesc(vec![queue_desc(selector.port)]),
            Request::Group(_) => Reply::Group(self.groups.iter().map(|group| self.group_stats(group)).collect()),
            Request::GroupDesc(_) => Reply::GroupDesc(self.groups.clone()),
            Request::GroupFeatures => Reply::GroupFeatures(GroupFeatures {
                kinds: 0xf,
                capabilities: 7,
                groups_max: [0xffff_ff00; 4],
                actions: [if version == Version::V1_0 { 0xfff } else { 0x0fff_9801 }; 4],
            }),
            Request::Meter(_) => Reply::Meter(self.meters.iter().map(meter_stats).collect()),
            Request::MeterConfig(_) => Reply::MeterConfig(self.meters.clone()),
            Request::MeterFeatures => Reply::MeterFeatures(MeterFeatures {
                meters_max: 262_144,
                band_kinds: 2,
                capabilities: 0xf,
                bands_max: 8,
                colors_max: 0,
            }),
            other => panic!("{other:?}"),
        }
    }

    fn group_stats(&self, group: &GroupDesc) -> GroupStats {
        GroupStats {
            group: group.group,
            references: 0,
            packets: 0,
            bytes: 0,
            duration_s: 7,
            duration_ns: 0,
            buckets: vec![(0, 0); group.buckets.len()],
        }
    }
}

fn table_stats(table: u8, active: u32) -> TableStats {
    TableStats {
        table,
        active,
        lookups: 0,
        matches: 0,
        name: String::new(),
        wildcards: 0x3f_ffff,
        entries_max: 1_000_000,
    }
}

/// Counters of the daemon's dummy ports.
const CUSTOM: [&str; 6] =
    ["rx_custom_packets_1", "rx_custom_packets_2", "rx_q0_bytes", "rx_q0_packets", "tx_q0_bytes", "tx_q0_packets"];

fn queue_stats(port: PortNo) -> QueueStats {
    let unknown = u64::MAX;
    QueueStats {
        port,
        queue: 0,
        tx_bytes: unknown,
        tx_packets: unknown,
        tx_errors: unknown,
        duration_s: 7,
        duration_ns: 0,
    }
}

fn queue_desc(port: PortNo) -> QueueDesc {
    QueueDesc { port, queue: 0, min_rate: None, max_rate: None }
}

fn table_config(table: u8) -> TableConfig {
    TableConfig { table, eviction: false, vacancy_events: false, eviction_flags: Some(7), vacancy: None }
}

fn port_stats(port: PortNo) -> PortStats {
    let counters = PortCounters { rx_packets: 0, tx_packets: 0, rx_bytes: 0, tx_bytes: 0, ..PortCounters::default() };
    PortStats {
        port,
        counters,
        duration_s: 7,
        duration_ns: 0,
        rfc2819: None,
        custom: CUSTOM.map(|name| (name.to_owned(), 0)).into(),
    }
}

fn meter_stats(meter: &MeterConfig) -> MeterStats {
    MeterStats {
        meter: meter.meter,
        flows: 0,
        packets: 0,
        bytes: 0,
        duration_s: 7,
        duration_ns: 0,
        bands: vec![(0, 0); meter.bands.len()],
    }
}
