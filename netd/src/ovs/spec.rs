//! From the rows of a configuration to what the pipeline is told.

use super::bridge::Bridge;
use super::ipfix::Exporters;
use hive_ovsdb::snapshot::{InterfaceKind, MirrorOutput, Port, PortId};
use hive_pipeline::{
    BondSpec, BridgeSettings, BridgeSpec, InterfaceSpec, MAC_AGING_DEFAULT_MS, MAC_ENTRIES_DEFAULT, MacSettings,
    MirrorSpec, MirrorTarget, PortKind, PortSpec, PriorityTags,
};

/// `other_config:mac-aging-time` is at least that (vswitchd.conf.db(5)).
const MAC_AGING_MIN_S: u64 = 15;
const MAC_AGING_MAX_S: u64 = 3600;
/// `other_config:mac-table-size` is at least that.
const MAC_ENTRIES_MIN: usize = 10;
const TPID_8021Q: u16 = 0x8100;

/// The bridge as it is now, without ports while nothing is to be forwarded.
pub(super) fn spec(bridge: &Bridge, exporters: &Exporters, forwards: bool) -> BridgeSpec {
    let config = &bridge.config;
    let mut ports: Vec<PortSpec> = config.ports.iter().filter_map(|port| port_spec(bridge, port)).collect();
    // The local port that nobody asked for.
    if !config.ports.iter().any(|port| port.name == config.name)
        && let Some(member) = bridge.members.get(&config.name)
    {
        ports.push(PortSpec::plain(&config.name, member.port, member.number));
    }
    if !forwards {
        ports.clear();
    }
    BridgeSpec {
        id: bridge.id,
        name: config.name.clone(),
        agent: bridge.agent.clone(),
        settings: settings(bridge, exporters),
        ports,
        mirrors: mirrors(bridge),
    }
}

fn settings(bridge: &Bridge, exporters: &Exporters) -> BridgeSettings {
    let config = &bridge.config;
    let other = &config.other_config;
    let aging_s = other.number::<u64>("mac-aging-time").filter(|seconds| *seconds > 0);
    let aging_ms = aging_s.map(|seconds| 1000 * seconds.clamp(MAC_AGING_MIN_S, MAC_AGING_MAX_S));
    let entries_max = other.number::<usize>("mac-table-size").filter(|entries| *entries > 0);
    BridgeSettings {
        fail_open: bridge.controllers.fail_open(),
        forward_bpdu: other.boolean("forward-bpdu", false),
        flood_vlans: config.flood_vlans.clone(),
        macs: MacSettings {
            aging_ms: aging_ms.unwrap_or(MAC_AGING_DEFAULT_MS),
            entries_max: entries_max.map_or(MAC_ENTRIES_DEFAULT, |entries| entries.max(MAC_ENTRIES_MIN)),
        },
        samplers: exporters.samplers(bridge.id),
    }
}

fn port_spec(bridge: &Bridge, port: &Port) -> Option<PortSpec> {
    let interfaces: Vec<InterfaceSpec> = port
        .interfaces
        .iter()
        .filter_map(|interface| {
            let member = bridge.members.get(&interface.name)?;
            let kind = match &interface.kind {
                InterfaceKind::Patch { peer } => PortKind::Patch { peer: peer.clone() },
                InterfaceKind::Geneve(tunnel) | InterfaceKind::Vxlan(tunnel) => PortKind::Tunnel(tunnel.clone()),
                InterfaceKind::Services => PortKind::Services,
                _ => PortKind::Device,
            };
            let bfd = interface.bfd.is_some();
            Some(InterfaceSpec { id: member.port, number: member.number, name: interface.name.clone(), kind, bfd })
        })
        .collect();
    if interfaces.is_empty() {
        return None;
    }
    let other = &port.other_config;
    Some(PortSpec {
        name: port.name.clone(),
        vlan: port.vlan.clone(),
        bond: port.bond.as_ref().map(|bond| BondSpec {
            mode: bond.mode,
            updelay_ms: bond.updelay_ms,
            downdelay_ms: bond.downdelay_ms,
            rebalance_interval_ms: bond.rebalance_interval_ms,
            primary: bond.primary.clone(),
        }),
        protected: port.protected,
        priority_tags: match other.text("priority-tags") {
            Some("always" | "true") => PriorityTags::Always,
            Some("if-nonzero") => PriorityTags::IfNonzero,
            _ => PriorityTags::Never,
        },
        qinq_tpid: match other.text("qinq-ethtype") {
            Some("802.1q") => TPID_8021Q,
            _ => hive_flow::ETH_TYPE_QINQ,
        },
        interfaces,
    })
}

fn mirrors(bridge: &Bridge) -> Vec<MirrorSpec> {
    let config = &bridge.config;
    let name = |id: &PortId| config.ports.iter().find(|port| port.id == *id).map(|port| port.name.clone());
    let mirrors = config.mirrors.iter().filter_map(|mirror| {
        Some(MirrorSpec {
            name: mirror.name.clone(),
            select_all: mirror.select_all,
            sources: mirror.select_src.iter().filter_map(name).collect(),
            destinations: mirror.select_dst.iter().filter_map(name).collect(),
            vlans: mirror.select_vlan.clone(),
            output: match &mirror.output {
                MirrorOutput::Port(port) => MirrorTarget::Port(name(port)?),
                MirrorOutput::Vlan(vlan) => MirrorTarget::Vlan(*vlan),
            },
            snaplen: mirror.snaplen,
        })
    });
    mirrors.collect()
}
