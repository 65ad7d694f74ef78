//! The bridge: its state, its connections, and what each message does.

use crate::bundle::BUNDLE_BYTES_TOTAL_MAX;
use crate::connection::{Closed, Connection, ConnectionId, ConnectionKind};
use crate::cookies::Cookies;
use crate::flow::{Flow, any_action};
use crate::flow_mod::FlowTables;
use crate::group::{GroupReader, GroupTable, Groups, groups_exist};
use crate::meter::{Meter, Meters};
use crate::port::Port;
use crate::stats::{ACTIONS_1_0, default_table_config};
use hive_classifier::{TABLES, Versions};
use hive_flow::{Field, Key, Match, VLAN_LIMIT_MAX};
use hive_openflow::{
    Action, BundleAdd, BundleControl, Capabilities, CheckParameters, CtFlush, Decoded, Desc, ErrorCode, ErrorMessage,
    Features, FlowCommand, FlowMod, Fragments, IpfixStats, METER_ALL, Message, NO_BUFFER, PacketIn, PacketOut,
    PortConfig, PortMod, PortNo, PortReason, QueueConfig, RemovedReason, Role, RoleMessage, RoleStatus, SwitchConfig,
    TABLE_ALL, TableConfig, TlvTable, TlvTableMod, TlvTableReply, Version, decode_request,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tables that controllers see, from 0: Open vSwitch keeps the last of its 255 to itself.
pub const TABLES_VISIBLE: u8 = 254;

/// What a bridge says of itself.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    pub datapath_id: u64,
    pub desc: Desc,
}

/// What the bridge wants of whoever moves packets. Flows need no word: readers of [`Bridge::flows`] see them.
#[derive(Clone, Debug)]
pub enum Command {
    PacketOut(Box<PacketOut>),
    /// A packet that a controller action paused goes on.
    Resume(Box<PacketIn>),
    CtFlushZone(u16),
    CtFlush(CtFlush),
    Port {
        number: PortNo,
        config: PortConfig,
    },
    Fragments(Fragments),
    /// See [`Bridge::groups`].
    Groups,
    Meter(Arc<Meter>),
    MeterRemoved(u32),
    TunnelOptions(TlvTable),
}

/// The agent of one bridge. Times are milliseconds of a clock of the caller's that never goes back.
#[derive(Debug)]
pub struct Bridge {
    pub(crate) config: BridgeConfig,
    pub(crate) tables: FlowTables,
    pub(crate) table_configs: Vec<TableConfig>,
    pub(crate) lookups: Vec<(u64, u64)>,
    /// Of exporters of what flows sample.
    pub(crate) ipfix_stats: Vec<IpfixStats>,
    pub(crate) groups: GroupTable,
    pub(crate) meters: Meters,
    pub(crate) ports: BTreeMap<PortNo, Port>,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    fragments: Fragments,
    tlvs: TlvTable,
    /// Of the last election; OpenFlow 1.3, 6.3.6.
    generation: Option<u64>,
    commands: Vec<Command>,
    /// Commands and port changes of a draft.
    pending: Vec<Command>,
    next_connection: u64,
}

impl Bridge {
    pub fn new(config: BridgeConfig) -> Self {
        Self {
            config,
            tables: FlowTables::new(),
            table_configs: (0..TABLES_VISIBLE).map(default_table_config).collect(),
            lookups: vec![(0, 0); TABLES_VISIBLE.into()],
            ipfix_stats: Vec::new(),
            groups: GroupTable::new(),
            meters: Meters::default(),
            ports: BTreeMap::new(),
            connections: BTreeMap::new(),
            fragments: Fragments::Normal,
            tlvs: TlvTable::default(),
            generation: None,
            commands: Vec::new(),
            pending: Vec::new(),
            next_connection: 0,
        }
    }

    /// The flow tables, for those who search them.
    pub fn flows(&self) -> &Versions<Flow> {
        self.tables.versions()
    }

    /// How many flows have a cookie, as [`Self::flows`] has them.
    pub fn cookies(&self) -> &Cookies {
        self.tables.cookies()
    }

    /// Groups in force.
    pub fn groups(&self) -> Groups {
        self.groups.current().clone()
    }

    /// Groups in force, for those who look without the bridge's lock.
    pub fn group_reader(&self) -> &GroupReader {
        self.groups.reader()
    }

    /// Changes flows on the switch's own account (`learn`, the flow of a bridge without controllers); actions are not checked.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn change_flows(&mut self, flow_mod: &FlowMod, now_ms: u64) -> Result<(), ErrorCode> {
        let result = self.tables.apply(flow_mod, now_ms);
        if result.is_err() {
            self.abandon();
        }
        self.commit(None, now_ms);
        result
    }

    /// Whether a controller wants packets that no flow is for: those that speak a version in which it is so unless a flow says otherwise.
    pub fn wants_misses(&self) -> bool {
        let mut connections = self.connections.values();
        connections.any(|connection| {
            connection.context.version == Version::V1_0 && connection.wants(hive_openflow::AsyncKind::PacketIn, 0)
        })
    }

    /// What is to be done since this was asked last, in order.
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// What exporters of the bridge have done so far.
    pub fn set_ipfix_stats(&mut self, stats: Vec<IpfixStats>) {
        self.ipfix_stats = stats;
    }

    /// Packets looked up in a table so far, and those of them that met a flow.
    pub fn set_lookups(&mut self, table: u8, lookups: u64, matches: u64) {
        if let Some(counted) = self.lookups.get_mut(usize::from(table)) {
            *counted = (lookups, matches);
        }
    }

    /// Flows that a table may hold; those that are there stay.
    pub fn set_flow_limit(&mut self, table: u8, flows_max: u32) {
        self.tables.set_limit(table, flows_max);
    }

    /// The same of all tables together.
    pub fn set_total_flow_limit(&mut self, flows_max: usize) {
        self.tables.set_total_limit(flows_max);
    }

    /// Adds a port, or describes it anew; its configuration by controllers stays.
    pub fn add_port(&mut self, mut port: Port) {
        let old = self.ports.get(&port.number);
        let reason = if old.is_some() { PortReason::Modify } else { PortReason::Add };
        if let Some(old) = old {
            port.desc.config = old.desc.config;
            port.created_ms = old.created_ms;
        }
        self.tell_port(&port, reason);
        self.ports.insert(port.number, port);
    }

    pub fn remove_port(&mut self, number: PortNo) {
        if let Some(port) = self.ports.remove(&number) {
            self.tell_port(&port, PortReason::Delete);
        }
    }

    /// To bring counters up to date before they are asked for.
    pub fn port_mut(&mut self, number: PortNo) -> Option<&mut Port> {
        self.ports.get_mut(&number)
    }

    /// A new connection; its hello waits to be sent.
    pub fn connect(&mut self, kind: ConnectionKind) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(id, Connection::new(kind, self.tlvs.clone()));
        id
    }

    /// The connection is gone, and what it had not committed.
    pub fn disconnect(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// What waits to be sent: the caller takes it off from the front as it goes.
    pub fn output(&mut self, id: ConnectionId) -> Option<&mut Vec<u8>> {
        self.connections.get_mut(&id).map(|connection| &mut connection.output)
    }

    /// Asks the peer for a sign of life.
    pub fn probe(&mut self, id: ConnectionId) {
        self.send(id, 0, &Message::EchoRequest(Vec::new()));
    }

    /// Whether the peer and the bridge have agreed upon a version.
    pub fn is_greeted(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.greeted)
    }

    /// Another name for the bridge; controllers that are connected are not told.
    pub fn set_datapath_id(&mut self, datapath_id: u64) {
        self.config.datapath_id = datapath_id;
    }

    /// Whether the connection could not keep up with what it asked to be told, and must be closed.
    pub fn is_lost(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_none_or(|connection| connection.doomed)
    }

    /// Ends flows whose timeouts have passed.
    pub fn expire(&mut self, now_ms: u64) {
        self.tables.expire(now_ms);
        self.commit(None, now_ms);
    }

    /// When [`Bridge::expire`] has something to do next; packets may put it off.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.tables.next_expiry_ms()
    }

    /// Follows one whole message.
    ///
    /// # Errors
    /// The session cannot go on.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8], now_ms: u64) -> Result<(), Closed> {
        let connection = self.connections.get_mut(&id).ok_or(Closed)?;
        if !connection.greeted {
            return connection.greet(bytes);
        }
        let decoded = decode_request(bytes, &connection.context);
        let result = decoded.and_then(|decoded| self.follow(id, decoded, bytes, now_ms));
        if let Err(code) = result {
            self.refuse(id, code, bytes);
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, id: ConnectionId, xid: u32, message: &Message) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.send(xid, message);
        }
    }

    fn refuse(&mut self, id: ConnectionId, code: ErrorCode, bytes: &[u8]) {
        let xid = bytes.get(4..8).and_then(|xid| xid.first_chunk()).map_or(0, |xid| u32::from_be_bytes(*xid));
        self.send(id, xid, &Message::Error(ErrorMessage::refuse(code, bytes)));
    }

    fn follow(&mut self, id: ConnectionId, decoded: Decoded, bytes: &[u8], now_ms: u64) -> Result<(), ErrorCode> {
        let Decoded { header, message } = decoded;
        let xid = header.xid;
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let version = connection.context.version;
        if connection.is_secondary() && changes_state(&message) {
            return Err(ErrorCode::RequestIsSecondary);
        }
        match message {
            Message::Hello(_) | Message::EchoReply(_) | Message::FlowAge => {}
            Message::EchoRequest(data) => connection.send(xid, &Message::EchoReply(data)),
            Message::BarrierRequest => connection.send(xid, &Message::BarrierReply),
            Message::SetFlowFormat { nicira } => connection.nicira_flows = nicira,
            Message::FlowModTableId(set) => connection.context.table_ids = set,
            Message::SetPacketInFormat(format) => connection.packet_in_format = format,
            Message::SetControllerId(controller_id) => connection.controller_id = controller_id,
            Message::SetAsync(config) => connection.set_async(config),
            Message::GetAsyncRequest => {
                let reply = Message::GetAsyncReply(connection.async_config());
                connection.send(xid, &reply);
            }
            Message::FlowMonitorCancel(monitor) => {
                connection.monitors.remove(&monitor).ok_or(ErrorCode::FlowMonitorUnknownMonitor)?;
            }
            Message::GetConfigRequest => {
                let miss_send_bytes = connection.miss_send_bytes;
                let config = SwitchConfig { fragments: self.fragments, miss_send_bytes };
                self.send(id, xid, &Message::GetConfigReply(config));
            }
            Message::SetConfig(config) => {
                connection.miss_send_bytes = config.miss_send_bytes;
                // Nobody reassembles; Open vSwitch leaves it as it was, without a word.
                if config.fragments != Fragments::Reassemble && config.fragments != self.fragments {
                    self.fragments = config.fragments;
                    self.commands.push(Command::Fragments(config.fragments));
                }
            }
            Message::FeaturesRequest => {
                let features = self.features(version);
                self.send(id, xid, &Message::FeaturesReply(features));
            }
            Message::RoleRequest(role) => return self.change_role(id, xid, role),
            Message::QueueConfigRequest(port) => {
                if port != PortNo::NONE && !self.ports.contains_key(&port) {
                    return Err(ErrorCode::QueueOpBadPort);
                }
                self.send(id, xid, &Message::QueueConfigReply(QueueConfig { port, queues: Vec::new() }));
            }
            Message::TableMod(config) => return self.configure_table(config),
            Message::MeterMod(meter_mod) => {
                let number = meter_mod.config.meter;
                for gone in self.meters.apply(&meter_mod, now_ms)? {
                    self.tables.remove_if(RemovedReason::MeterDelete, |flow| flow.has_meter(gone));
                    self.commands.push(Command::MeterRemoved(gone));
                }
                let set = (number != METER_ALL).then(|| self.meters.select(number).next().cloned()).flatten();
                self.commands.extend(set.map(Command::Meter));
                self.commit(Some((id, xid)), now_ms);
            }
            Message::TlvTableMod(change) => return self.change_tlvs(&change),
            Message::TlvTableRequest => {
                let reply = Message::TlvTableReply(TlvTableReply::of(&self.tlvs));
                self.send(id, xid, &reply);
            }
            Message::CtFlushZone(zone) => self.commands.push(Command::CtFlushZone(zone)),
            Message::CtFlush(flush) => self.commands.push(Command::CtFlush(flush)),
            Message::Resume(packet) => self.commands.push(Command::Resume(packet)),
            Message::BundleControl(control) => return self.control_bundle(id, xid, control, now_ms),
            Message::BundleAdd(add) => return self.add_to_bundle(id, &add, bytes),
            Message::Request { more: true, .. } => return Err(ErrorCode::RequestMultipartBufferOverflow),
            Message::Request { request, more: false } => return self.answer(id, xid, request, now_ms),
            message => {
                let result = self.draft(message, version, now_ms);
                if result.is_err() {
                    self.abandon();
                }
                self.commit(Some((id, xid)), now_ms);
                return result;
            }
        }
        Ok(())
    }

    /// Puts one message that a bundle may hold into the draft.
    fn draft(&mut self, message: Message, version: Version, now_ms: u64) -> Result<(), ErrorCode> {
        match message {
            Message::FlowMod(flow_mod) => {
                self.check_flow_mod(&flow_mod, version)?;
                self.tables.apply(&flow_mod, now_ms)
            }
            Message::GroupMod(group_mod) => {
                self.groups.apply(group_mod, now_ms)?;
                let removed = self.groups.take_removed();
                if !removed.is_empty() {
                    let named = |action: &Action| matches!(action, Action::Group(group) if removed.contains(group));
                    self.tables.remove_if(RemovedReason::GroupDelete, |flow| any_action(&flow.actions, &named));
                }
                Ok(())
            }
            Message::PortMod(port_mod) => self.check_port_mod(&port_mod).map(|command| self.pending.extend(command)),
            Message::PacketOut(packet_out) => {
                self.check_packet_out(&packet_out, version)?;
                self.pending.push(Command::PacketOut(packet_out));
                Ok(())
            }
            _ => Err(ErrorCode::RequestBadType),
        }
    }

    /// Puts the draft into force. `own`: whose request it was.
    fn commit(&mut self, own: Option<(ConnectionId, u32)>, now_ms: u64) {
        if self.groups.commit() {
            self.commands.push(Command::Groups);
        }
        let changes = self.tables.commit();
        self.tell_changes(&changes, own, now_ms);
        for command in std::mem::take(&mut self.pending) {
            if let Command::Port { number, config } = command
                && let Some(port) = self.ports.get_mut(&number)
            {
                port.desc.config = config;
                let port = port.clone();
                self.tell_port(&port, PortReason::Modify);
            }
            self.commands.push(command);
        }
    }

    fn abandon(&mut self) {
        self.tables.abandon();
        self.groups.abandon();
        self.pending.clear();
    }

    fn check_actions(&self, actions: &[Action], flow: &Match, table: u8, version: Version) -> Result<(), ErrorCode> {
        CheckParameters { version, ports_max: PortNo::MAX, table, tables: TABLES as u8 }.check(actions, flow)
    }

    fn check_references(&self, actions: &[Action]) -> Result<(), ErrorCode> {
        if !groups_exist(actions, &|group| self.groups.has_in_draft(group)) {
            return Err(ErrorCode::ActionBadOutGroup);
        }
        let is_unknown = |action: &Action| matches!(action, Action::Meter(meter) if !self.meters.contains(*meter));
        if any_action(actions, &is_unknown) { Err(ErrorCode::MeterModInvalidMeter) } else { Ok(()) }
    }

    fn check_flow_mod(&self, flow_mod: &FlowMod, version: Version) -> Result<(), ErrorCode> {
        let FlowMod { command, table, actions, flow, buffer, .. } = flow_mod;
        self.check_actions(actions, flow, *table, version)?;
        if (TABLES_VISIBLE..TABLE_ALL).contains(table) {
            return Err(ErrorCode::RequestEperm);
        }
        if command.is_delete() {
            return Ok(());
        }
        // The data path's own.
        let hidden = [Field::DpHash, Field::RecircId].iter().any(|field| flow.get(*field).mask != 0);
        if *command == FlowCommand::Add && hidden {
            return Err(ErrorCode::RequestEperm);
        }
        self.check_references(actions)?;
        if *buffer == NO_BUFFER { Ok(()) } else { Err(ErrorCode::RequestBufferUnknown) }
    }

    fn check_packet_out(&self, packet_out: &PacketOut, version: Version) -> Result<(), ErrorCode> {
        if packet_out.buffer != NO_BUFFER {
            return Err(ErrorCode::RequestBufferUnknown);
        }
        let packet = &packet_out.packet;
        let key = hive_flow::parse(packet, packet.len(), &Key::ZERO, VLAN_LIMIT_MAX).key;
        let mut flow = packet_out.metadata.clone();
        for field in [Field::EthType, Field::VlanTci, Field::IpProto, Field::IpFrag, Field::IcmpType, Field::IcmpCode] {
            flow.exactly(field, key.get(field));
        }
        self.check_actions(&packet_out.actions, &flow, TABLE_ALL, version)?;
        self.check_references(&packet_out.actions)
    }

    /// `None`: nothing is to change.
    fn check_port_mod(&self, port_mod: &PortMod) -> Result<Option<Command>, ErrorCode> {
        let PortMod { port: number, hw_addr, config, mask, .. } = *port_mod;
        let port = self.ports.get(&number).ok_or(ErrorCode::PortModBadPort)?;
        if port.desc.hw_addr != hw_addr {
            return Err(ErrorCode::PortModBadHwAddr);
        }
        // An earlier message of the same bundle may have changed it.
        let drafted = self.pending.iter().rev().find_map(|command| match command {
            Command::Port { number: drafted, config } if *drafted == number => Some(*config),
            _ => None,
        });
        let old = drafted.unwrap_or(port.desc.config);
        let config = PortConfig(old.0 & !mask.0 | config.0 & mask.0);
        Ok((config != old).then_some(Command::Port { number, config }))
    }

    fn features(&self, version: Version) -> Features {
        let old = version == Version::V1_0;
        let common = Capabilities::FLOW_STATS.0
            | Capabilities::TABLE_STATS.0
            | Capabilities::PORT_STATS.0
            | Capabilities::QUEUE_STATS.0;
        let capabilities = match version {
            Version::V1_0 => common | Capabilities::ARP_MATCH_IP.0,
            Version::V1_3 => common | Capabilities::GROUP_STATS.0,
            Version::V1_4 | Version::V1_5 => common | Capabilities::GROUP_STATS.0 | Capabilities::BUNDLES.0,
        };
        Features {
            datapath_id: self.config.datapath_id,
            buffers: 0,
            tables: TABLES_VISIBLE,
            auxiliary_id: 0,
            capabilities: Capabilities(capabilities),
            actions: ACTIONS_1_0,
            ports: if old { self.ports.values().map(|port| port.desc(version)).collect() } else { Vec::new() },
        }
    }

    fn configure_table(&mut self, change: TableConfig) -> Result<(), ErrorCode> {
        if change.table != TABLE_ALL && change.table >= TABLES_VISIBLE {
            return Err(ErrorCode::TableModEperm);
        }
        for config in &mut self.table_configs {
            if change.table == TABLE_ALL || change.table == config.table {
                config.eviction = change.eviction;
                config.vacancy_events = change.vacancy_events;
                config.vacancy = change.vacancy;
            }
        }
        Ok(())
    }

    fn change_tlvs(&mut self, change: &TlvTableMod) -> Result<(), ErrorCode> {
        let tlvs = self.tlvs.apply(change)?;
        let lost = self.tlvs.mappings().filter(|mapping| !tlvs.mappings().any(|kept| kept == *mapping));
        let lost: Vec<Field> = lost.filter_map(|lost| u8::try_from(lost.index).ok()).map(Field::TunMetadata).collect();
        let tables = self.tables.versions().load();
        let mut flows = (0..=TABLE_ALL).filter_map(|number| tables.table(number)).flat_map(|table| table.iter());
        let used = |flow: &Flow| lost.iter().any(|field| flow.matching.get(*field).mask != 0);
        if !lost.is_empty() && flows.any(|rule| used(rule.value())) {
            return Err(ErrorCode::NxTlvTableModInvalidTlvDel);
        }
        for connection in self.connections.values_mut() {
            connection.context.tlvs = tlvs.clone();
        }
        self.commands.push(Command::TunnelOptions(tlvs.clone()));
        self.tlvs = tlvs;
        Ok(())
    }

    fn change_role(&mut self, id: ConnectionId, xid: u32, request: RoleMessage) -> Result<(), ErrorCode> {
        let RoleMessage { role, generation } = request;
        if let Some(generation) = generation.filter(|_| matches!(role, Role::Primary | Role::Secondary)) {
            // Numbers wrap around (OpenFlow 1.3, 6.3.6).
            if self.generation.is_some_and(|last| (generation.wrapping_sub(last) as i64) < 0) {
                return Err(ErrorCode::RoleRequestStale);
            }
            self.generation = Some(generation);
        }
        let current = self.generation.unwrap_or(u64::MAX);
        if role == Role::Primary {
            for (other, connection) in &mut self.connections {
                if *other != id && connection.role == Role::Primary {
                    connection.role = Role::Secondary;
                    let status = RoleStatus { role: Role::Secondary, reason: 0, generation: current };
                    if connection.wants(hive_openflow::AsyncKind::RoleStatus, 0) {
                        connection.tell(&Message::RoleStatus(status));
                    }
                }
            }
        }
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        if role != Role::NoChange {
            connection.role = role;
        }
        let reply = RoleMessage { role: connection.role, generation: generation.map(|_| current) };
        connection.send(xid, &Message::RoleReply(reply));
        Ok(())
    }

    fn control_bundle(
        &mut self,
        id: ConnectionId,
        xid: u32,
        control: BundleControl,
        now_ms: u64,
    ) -> Result<(), ErrorCode> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let messages = connection.bundles.control(&control)?;
        let context = connection.context.clone();
        for bytes in messages.into_iter().flatten() {
            let inner = decode_request(&bytes, &context).and_then(|outer| match outer.message {
                Message::BundleAdd(add) => decode_request(&add.message, &context),
                _ => Err(ErrorCode::BundleMsgUnsup),
            });
            let result = inner.and_then(|decoded| self.draft(decoded.message, context.version, now_ms));
            if let Err(code) = result {
                self.abandon();
                self.refuse(id, code, &bytes);
                return Err(ErrorCode::BundleMsgFailed);
            }
        }
        self.commit(Some((id, xid)), now_ms);
        if let Some(reply) = control.reply() {
            self.send(id, xid, &Message::BundleControl(reply));
        }
        Ok(())
    }

    /// A message that cannot be read is refused now, one that cannot be followed when the bundle is committed.
    fn add_to_bundle(&mut self, id: ConnectionId, add: &BundleAdd, bytes: &[u8]) -> Result<(), ErrorCode> {
        let held: usize = self.connections.values().map(|connection| connection.bundles.bytes()).sum();
        if held + bytes.len() > BUNDLE_BYTES_TOTAL_MAX {
            return Err(ErrorCode::BundleMsgTooMany);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        connection.bundles.prepare(add.bundle, add.flags, bytes.len())?;
        if !Message::is_bundlable(&add.message, &connection.context)? {
            return Err(ErrorCode::BundleMsgUnsup);
        }
        decode_request(&add.message, &connection.context)?;
        connection.bundles.add(add.bundle, bytes);
        Ok(())
    }
}

/// What a secondary controller may not do (OpenFlow 1.3, 6.3.6).
fn changes_state(message: &Message) -> bool {
    matches!(
        message,
        Message::PacketOut(_)
            | Message::FlowMod(_)
            | Message::GroupMod(_)
            | Message::PortMod(_)
            | Message::TableMod(_)
            | Message::MeterMod(_)
            | Message::SetConfig(_)
            | Message::BundleControl(_)
            | Message::BundleAdd(_)
            | Message::TlvTableMod(_)
    )
}
