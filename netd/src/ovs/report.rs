//! What the database, agents and the pipeline are told of ports: links, counters, addresses.

use super::bridge::{Bridge, Member};
use super::daemon::{Daemon, State};
use super::{DB_VERSION, OVS_VERSION, device, reconcile};
use hive_device::tunnel::{Reject, SecurityHandle};
use hive_device::{Counters, Status as Link};
use hive_openflow::{PortCounters, PortFeatures};
use hive_ovsdb::Status;
use hive_ovsdb::snapshot::InterfaceKind;
use hive_ovsdb::status::{
    BridgeStatus, DatapathStatus, Duplex, InterfaceStatus, LinkState, MirrorStatus, PortStatus, SwitchStatus,
};
use hive_packet::MacAddr;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Types of interfaces that can be made.
const IFACE_TYPES: [&str; 10] = [
    "system",
    "afxdp",
    "afxdp-nonpmd",
    "internal",
    "tap",
    "patch",
    "dpdkvhostuser",
    "dpdkvhostuserclient",
    "geneve",
    "vxlan",
];
const DATAPATH_TYPES: [&str; 2] = ["netdev", "system"];
/// What flows can do here, by the names of ovs-vswitchd(8) and vswitchd.conf.db(5).
pub(super) const CAPABILITIES: [(&str, &str); 24] = [
    ("add_mpls", "true"),
    ("check_pkt_len", "true"),
    ("clone", "true"),
    ("ct_clear", "true"),
    ("ct_eventmask", "true"),
    ("ct_flush", "true"),
    ("ct_label", "true"),
    ("ct_mark", "true"),
    ("ct_orig_tuple", "true"),
    ("ct_orig_tuple6", "true"),
    ("ct_state", "true"),
    ("ct_state_nat", "true"),
    ("ct_timeout", "true"),
    ("ct_zero_snat", "true"),
    ("ct_zone", "true"),
    ("dp_hash_l4_sym_support", "true"),
    ("explicit_drop_action", "true"),
    ("lb_output_action", "false"),
    ("masked_set_action", "true"),
    ("max_vlan_headers", "2"),
    ("nd_ext", "true"),
    ("recirc", "true"),
    ("trunc", "true"),
    ("ufid", "false"),
];
/// OFPPS_*
const STATE_LINK_DOWN: u32 = 1;
const STATE_LIVE: u32 = 4;

fn state_of(up: bool) -> LinkState {
    if up { LinkState::Up } else { LinkState::Down }
}

impl Daemon {
    /// Counters of a port, whatever moves its packets.
    pub fn counters(&self, member: &Member) -> Counters {
        if member.has_device {
            return self.dataplane.port_counters(member.port).unwrap_or_default();
        }
        let Some(state) = self.pipeline.port_state(member.port) else { return Counters::default() };
        let ((rx_packets, rx_bytes), (tx_packets, tx_bytes)) = (state.received.get(), state.sent.get());
        Counters { rx_packets, rx_bytes, tx_packets, tx_bytes, ..Counters::default() }
    }

    /// What is known of a port's link now.
    pub fn link(&self, member: &Member) -> Link {
        if let Some(link) = &member.link_handle {
            return link.status(self.counters(member));
        }
        if !member.has_device {
            let counters = self.counters(member);
            return Link { up: true, link: true, mac: Some(member.mac), counters, ..Link::default() };
        }
        let status = self.dataplane.port_status(member.port).unwrap_or_default();
        let mtu =
            matches!(member.config.kind, InterfaceKind::DpdkVhostUser | InterfaceKind::DpdkVhostUserClient { .. });
        Link {
            mac: Some(status.mac),
            mtu: mtu.then(|| status.mtu.into()),
            up: status.up,
            link: status.link,
            ifindex: status.ifindex,
            speed_mbps: status.speed_mbps,
            counters: status.counters,
        }
    }

    /// Follows links that changed; true if there is something to report. Devices that came or went are a new configuration.
    pub fn look_at_links(self: &std::sync::Arc<Self>) -> bool {
        let mut changed = false;
        let mut missing = false;
        let now_ms = self.now_ms();
        let mut state = self.lock();
        for bridge in state.bridges.values_mut() {
            let Bridge { members, agent, server, failed, config, .. } = bridge;
            // A device of the host that was not there may have come.
            missing |= config.ports.iter().flat_map(|port| &port.interfaces).any(|interface| {
                let failure = failed.get(&interface.id);
                failure.is_some_and(|failure| {
                    let present = device::present(interface);
                    // A packet socket may be had later; to ask again and again for what a driver refuses would stop its device each time.
                    present.is_some() && (interface.kind == InterfaceKind::System || present != failure.device)
                })
            });
            for member in members.values_mut() {
                let status = self.link(member);
                missing |= status.ifindex.is_none() && member.link_handle.as_ref().is_some_and(|link| !link.is_there());
                if status == member.status {
                    continue;
                }
                changed = true;
                let (was, is) = (member.status.link, status.link);
                let described =
                    member.status.mac != status.mac || was != is || member.status.speed_mbps != status.speed_mbps;
                member.status = status;
                if was != is {
                    member.link_resets += 1;
                    self.pipeline.set_link(member.port, self.is_alive(member), now_ms);
                }
                if described {
                    let port = describe(member, now_ms);
                    agent.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add_port(port);
                    server.ring();
                }
            }
        }
        let snapshot = missing.then(|| state.snapshot.clone()).flatten();
        drop(state);
        if let Some(snapshot) = snapshot {
            self.reconcile(&snapshot);
            changed = true;
        }
        changed
    }

    /// Whether a port is worth sending to, as groups and bonds ask.
    pub fn is_alive(&self, member: &Member) -> bool {
        member.status.link && self.sessions.is_forwarding(member.port)
    }

    /// Some port's other end is taken to live, or not to.
    pub fn follow_liveness(&self) {
        self.sessions.heard();
        let now_ms = self.now_ms();
        for member in self.lock().bridges.values().flat_map(|bridge| bridge.members.values()) {
            self.pipeline.set_link(member.port, self.is_alive(member), now_ms);
        }
    }

    /// Agents answer with counters that are a tick old at most. Links were looked at just before: to ask a device is some system calls,
    /// under a lock that its worker wants.
    pub fn update_counters(&self) {
        let state = self.lock();
        for bridge in state.bridges.values() {
            let mut agent = bridge.lock_agent();
            for member in bridge.members.values() {
                if let Some(port) = agent.port_mut(member.number) {
                    port.counters = port_counters(&member.status.counters);
                }
            }
        }
    }

    /// Who is connected, and what it means for packets.
    pub fn follow_controllers(&self) {
        let mut state = self.lock();
        let changed = state.bridges.values_mut().fold(false, |changed, bridge| bridge.controllers.poll() | changed);
        let configuration = state.configuration.clone().filter(|_| changed);
        if let Some(configuration) = configuration {
            self.configure_pipeline(&state, &configuration, self.now_ms());
        }
    }

    pub fn status(&self) -> Status {
        let state = self.lock();
        let mut status = Status { applied: state.applied, ..Status::default() };
        let Some(configuration) = &state.configuration else { return status };
        status.open_vswitch = SwitchStatus {
            ovs_version: Some(OVS_VERSION.to_owned()),
            db_version: Some(DB_VERSION.to_owned()),
            datapath_types: DATAPATH_TYPES.map(str::to_owned).into(),
            iface_types: IFACE_TYPES.map(str::to_owned).into(),
            dpdk_version: Some("none".to_owned()),
            ..SwitchStatus::default()
        };
        for bridge in state.bridges.values() {
            let capabilities = CAPABILITIES.map(|(name, value)| (name.to_owned(), value.to_owned()));
            status.datapaths.entry(bridge.config.datapath_type.clone()).or_insert_with(|| DatapathStatus {
                version: "<built-in>".to_owned(),
                capabilities: BTreeMap::from(capabilities),
            });
            self.report_bridge(bridge, &mut status);
        }
        // What the configuration could not even name.
        for problem in configuration.problems.iter().filter(|problem| problem.refused) {
            if problem.table == hive_ovsdb::Table::Interface {
                let id = hive_ovsdb::snapshot::InterfaceId(problem.row);
                status.interfaces.entry(id).or_insert_with(|| InterfaceStatus::failed(problem.message.clone()));
            }
        }
        status
    }

    fn report_bridge(&self, bridge: &Bridge, status: &mut Status) {
        let row = BridgeStatus {
            datapath_id: Some(bridge.datapath_id),
            datapath_version: "<built-in>".to_owned(),
            status: BTreeMap::new(),
        };
        status.bridges.insert(bridge.config.id, row);
        for port in &bridge.config.ports {
            let bond_active_member = port.bond.as_ref().and_then(|_| {
                let active = self.pipeline.bond(bridge.id, &port.name)?.show().active?;
                bridge.member_of(active)?.1.status.mac.map(MacAddr)
            });
            status.ports.insert(port.id, PortStatus { bond_active_member, ..PortStatus::default() });
        }
        let rows = reconcile::rows(&bridge.config);
        for member in bridge.members.values() {
            if let Some(row) = member.row.filter(|row| rows.contains(row)) {
                let bfd_status = self.sessions.status(member.port);
                status.interfaces.insert(row, InterfaceStatus { bfd_status, ..report_member(member) });
            }
        }
        for (row, failure) in &bridge.failed {
            status.interfaces.insert(*row, InterfaceStatus::failed(failure.error.clone()));
        }
        status.controllers.extend(bridge.controllers.status());
        if let Some(state) = self.pipeline.bridge_state(bridge.id) {
            let counted = state.mirrors.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for mirror in &bridge.config.mirrors {
                let (tx_packets, tx_bytes) =
                    counted.get(&mirror.name).map(|counters| counters.get()).unwrap_or_default();
                status.mirrors.insert(mirror.id, MirrorStatus { tx_packets, tx_bytes });
            }
        }
    }
}

fn report_member(member: &Member) -> InterfaceStatus {
    let link = &member.status;
    let own = member.link_handle.is_some();
    let mut status = member.facts.clone();
    let mut statistics = statistics(&link.counters, own);
    if let Some(security) = member.security() {
        report_security(security, &mut status, &mut statistics);
    }
    InterfaceStatus {
        error: None,
        ofport: Some(member.number.0),
        mac_in_use: link.mac.map(MacAddr),
        mtu: link.mtu,
        admin_state: Some(state_of(link.up)),
        link_state: Some(state_of(link.link)),
        link_speed_bps: (link.speed_mbps != 0).then_some(link.speed_mbps * 1_000_000),
        link_resets: Some(member.link_resets),
        duplex: (own && link.speed_mbps != 0).then_some(Duplex::Full),
        ifindex: Some(link.ifindex.unwrap_or(0)),
        lacp_current: None,
        bfd_status: BTreeMap::new(),
        status,
        statistics,
    }
}

/// What is dropped of encrypted messages, by its name among statistics.
const SECURITY_FAULTS: [(&str, Reject); 8] = [
    ("wireguard_rx_not_wireguard", Reject::NotWireguard),
    ("wireguard_rx_no_peer", Reject::NoPeer),
    ("wireguard_rx_wrong_key", Reject::WrongKey),
    ("wireguard_rx_replayed", Reject::Replayed),
    ("wireguard_rx_forged", Reject::Forged),
    ("wireguard_rx_no_session", Reject::NoSession),
    ("wireguard_rx_under_load", Reject::UnderLoad),
    ("wireguard_rx_not_of_tunnel", Reject::Inner),
];

/// Peers each by its address. A handshake's time, not its age: the row changes when there was one.
fn report_security(
    security: &SecurityHandle,
    status: &mut BTreeMap<String, String>,
    statistics: &mut BTreeMap<String, u64>,
) {
    status.insert("wireguard_public_key".to_owned(), security.public_key().to_string());
    let peers = security.status();
    for peer in &peers {
        let address = peer.address;
        let since = peer.last_handshake.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since = since.map_or(0, |since| since.as_secs());
        status.insert(format!("wireguard_last_handshake:{address}"), since.to_string());
        status.insert(format!("wireguard_established:{address}"), peer.established.to_string());
    }
    statistics.insert("wireguard_rx_bytes".to_owned(), peers.iter().map(|peer| peer.rx_bytes).sum());
    statistics.insert("wireguard_tx_bytes".to_owned(), peers.iter().map(|peer| peer.tx_bytes).sum());
    for (name, reason) in SECURITY_FAULTS {
        statistics.insert(name.to_owned(), security.rejected(reason));
    }
}

/// As the agent knows it.
pub(super) fn describe(member: &Member, now_ms: u64) -> hive_ofproto::Port {
    let link = &member.status;
    let mut port = hive_ofproto::Port::new(member.number, &member.config.name, link.mac.unwrap_or(member.mac), now_ms);
    port.desc.state = if link.link { STATE_LIVE } else { STATE_LINK_DOWN };
    port.desc.current = match link.speed_mbps {
        10_000 => PortFeatures::TEN_GIGABIT_FULL_DUPLEX,
        1_000 => PortFeatures::GIGABIT_FULL_DUPLEX,
        _ => PortFeatures::default(),
    };
    port.desc.current_speed_kbps = u32::try_from(link.speed_mbps * 1000).unwrap_or(u32::MAX);
    port.counters = port_counters(&link.counters);
    port
}

fn port_counters(counters: &Counters) -> PortCounters {
    PortCounters {
        rx_packets: counters.rx_packets,
        tx_packets: counters.tx_packets,
        rx_bytes: counters.rx_bytes,
        tx_bytes: counters.tx_bytes,
        rx_dropped: counters.rx_dropped,
        tx_dropped: counters.tx_dropped,
        rx_errors: counters.rx_errors,
        tx_errors: counters.tx_errors,
        rx_frame_errors: 0,
        rx_overruns: 0,
        rx_crc_errors: 0,
        collisions: 0,
    }
}

fn statistics(counters: &Counters, own: bool) -> BTreeMap<String, u64> {
    let known = [
        ("rx_packets", counters.rx_packets),
        ("rx_bytes", counters.rx_bytes),
        ("rx_dropped", counters.rx_dropped),
        ("rx_errors", counters.rx_errors),
        ("tx_packets", counters.tx_packets),
        ("tx_bytes", counters.tx_bytes),
        ("tx_dropped", counters.tx_dropped),
        ("tx_errors", counters.tx_errors),
    ];
    // Nothing here counts them, so there were none.
    let never = ["collisions", "rx_crc_err", "rx_frame_err", "rx_over_err", "rx_missed_errors"];
    let never = never.into_iter().filter(|_| own).map(|name| (name, 0));
    known.into_iter().chain(never).map(|(name, count)| (name.to_owned(), count)).collect()
}

/// Names and state, for commands.
pub(super) fn find<'s>(state: &'s State, bridge: &str) -> Result<&'s Bridge, String> {
    state.bridges.get(bridge).ok_or_else(|| "no such bridge".to_owned())
}
