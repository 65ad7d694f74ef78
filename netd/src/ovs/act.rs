//! What agents want done beside their tables.

use super::daemon::{Daemon, Event};
use super::reconcile::option_map;
use crate::dataplane::{PortSettings, Sender};
use hive_conntrack::Flush;
use hive_datapath::{Band, MeterSpec};
use hive_flow::{Field, Masked, Match};
use hive_ofproto::{Command, Meter};
use hive_openflow::{CtFlush, CtTuple, MeterFlags, PacketIn, PacketOut, PortConfig, PortNo, TlvTable, held_bytes};
use hive_pipeline::Execution;
use hive_program::{BridgeId, MeterId, Pipeline, Traffic};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Tags that are told apart, as in the data path.
pub(super) const VLAN_LIMIT: usize = 2;

/// Bytes of packets, and of what is to be done with them, that may wait for the loop: a second of what a controller sends at most.
/// Beyond, they are dropped, as packets are.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// Beside its bytes, what a packet that waits takes.
const PACKET_OVERHEAD_BYTES: usize = 1024;

/// What of agents is on its way to the loop, which may be busy with a configuration.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: AtomicUsize,
    dropped: AtomicU64,
    /// How things are to be: as many as there are things, however often they are changed.
    wanted: Mutex<BTreeMap<Thing, Wanted>>,
}

/// What an agent configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    TunnelOptions(BridgeId),
    Port(BridgeId, PortNo),
}

#[derive(Debug)]
enum Wanted {
    TunnelOptions(TlvTable),
    Port(PortConfig),
}

impl Waiting {
    /// False if there is no room.
    fn enter(&self, weight: Weight) -> bool {
        let fits = self.bytes.fetch_add(weight.0, Ordering::Relaxed) + weight.0 <= WAITING_BYTES_MAX;
        if !fits {
            self.leave(weight);
            self.drop_one();
        }
        fits
    }

    fn leave(&self, weight: Weight) {
        self.bytes.fetch_sub(weight.0, Ordering::Relaxed);
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// False if the loop knows already that there is something to do.
    fn want(&self, thing: Thing, wanted: Wanted) -> bool {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(thing, wanted).is_none()
    }

    fn take(&self, thing: Thing) -> Option<Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).remove(&thing)
    }
}

/// What a packet takes while it waits, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight(usize);

impl Weight {
    fn of(metadata: &Match, held: [usize; 3]) -> Self {
        let fields = metadata.iter().count() * size_of::<(Field, Masked)>();
        Self(PACKET_OVERHEAD_BYTES + fields + held.iter().sum::<usize>())
    }

    fn of_out(packet: &PacketOut) -> Self {
        Self::of(&packet.metadata, [packet.packet.len(), held_bytes(&packet.actions), 0])
    }

    fn of_in(packet: &PacketIn) -> Self {
        Self::of(&packet.metadata, [packet.packet.len(), packet.userdata.len(), packet.continuation.len()])
    }
}

/// What has to wait until the agent's lock is given up.
#[derive(Debug)]
pub(super) enum Deed {
    PacketOut(BridgeId, Box<PacketOut>, Weight),
    Resume(BridgeId, Box<PacketIn>, Weight),
    Configure(Thing),
}

fn meter_spec(meter: &Meter) -> MeterSpec {
    let flags = meter.config.flags;
    let has_burst = flags.contains(MeterFlags::BURST);
    let bands = meter.config.bands.iter();
    MeterSpec {
        packets: flags.contains(MeterFlags::PACKETS_PER_SECOND),
        bands: bands.map(|band| Band { rate: band.rate, burst: if has_burst { band.burst } else { 0 } }).collect(),
    }
}

/// Whether a direction is what is asked for.
fn fits(asked: &CtTuple, tuple: &hive_conntrack::Tuple) -> bool {
    let address = |value: u128| {
        if tuple.is_v6() { IpAddr::V6(value.into()) } else { IpAddr::V4((value as u32).into()) }
    };
    let (source_port, destination_port) = (tuple.source_port(), tuple.destination_port());
    asked.source.is_none_or(|source| source == address(tuple.source()))
        && asked.destination.is_none_or(|destination| destination == address(tuple.destination()))
        && asked.source_port.is_none_or(|port| port == source_port)
        && asked.destination_port.is_none_or(|port| port == destination_port)
        && asked.icmp_id.is_none_or(|id| id == source_port || id == destination_port)
}

impl Daemon {
    /// Follows a command. Its bridge's agent is locked, and the daemon's state may not be.
    pub fn command(&self, bridge: BridgeId, command: Command) {
        // What the pipeline takes is wanted elsewhere too.
        match &command {
            Command::TunnelOptions(table) => {
                self.want(Thing::TunnelOptions(bridge), Wanted::TunnelOptions(table.clone()));
            }
            Command::Port { number, config } => self.want(Thing::Port(bridge, *number), Wanted::Port(*config)),
            _ => {}
        }
        let now_ms = self.now_ms();
        match self.pipeline.follow(bridge, command, now_ms) {
            Some(Command::PacketOut(packet)) => {
                let weight = Weight::of_out(&packet);
                if self.waiting.enter(weight) {
                    self.later(Deed::PacketOut(bridge, packet, weight));
                }
            }
            Some(Command::Resume(packet)) => {
                let weight = Weight::of_in(&packet);
                if self.waiting.enter(weight) {
                    self.later(Deed::Resume(bridge, packet, weight));
                }
            }
            Some(Command::CtFlushZone(zone)) => {
                self.dataplane.tracker().flush(Flush::Zone(zone));
            }
            Some(Command::CtFlush(flush)) => {
                self.flush_connections(&flush);
            }
            Some(Command::Meter(meter)) => {
                let id = MeterId { bridge, meter: meter.config.meter };
                self.dataplane.set_meter(id, Some(meter_spec(&meter)));
            }
            Some(Command::MeterRemoved(meter)) => self.dataplane.set_meter(MeterId { bridge, meter }, None),
            Some(Command::Port { .. } | Command::Fragments(_) | Command::Groups | Command::TunnelOptions(_)) | None => {
            }
        }
    }

    fn want(&self, thing: Thing, wanted: Wanted) {
        if self.waiting.want(thing, wanted) {
            self.later(Deed::Configure(thing));
        }
    }

    fn later(&self, deed: Deed) {
        let _ = self.events.send(Event::Deed(deed));
    }

    pub fn flush_connections(&self, flush: &CtFlush) -> usize {
        let CtFlush { ip_proto, original, reply, zone } = flush;
        let (any, none) = (CtTuple::default(), *ip_proto == 0);
        let tracker = self.dataplane.tracker();
        if none && *original == any && *reply == any {
            return tracker.flush(zone.map_or(Flush::All, Flush::Zone));
        }
        tracker.flush_where(*zone, self.now_ms(), |entry| {
            (none || entry.original().protocol() == *ip_proto)
                && fits(original, entry.original())
                && fits(reply, entry.reply())
        })
    }

    pub fn act(&self, deed: Deed) {
        match deed {
            Deed::PacketOut(bridge, packet, weight) => {
                self.waiting.leave(weight);
                self.packet_out(bridge, &packet);
            }
            Deed::Resume(bridge, packet, weight) => {
                self.waiting.leave(weight);
                self.resume(bridge, &packet);
            }
            Deed::Configure(thing) => self.configure(thing),
        }
    }

    fn configure(&self, thing: Thing) {
        let (Thing::TunnelOptions(bridge) | Thing::Port(bridge, _)) = thing;
        let Some(wanted) = self.waiting.take(thing) else { return };
        let state = self.lock();
        let Some(bridge) = state.bridges.values().find(|known| known.id == bridge) else { return };
        match (thing, wanted) {
            (_, Wanted::TunnelOptions(table)) => {
                for tunnel in bridge.members.values().filter_map(|member| member.tunnel.as_ref()) {
                    tunnel.options.set(option_map(&table));
                }
            }
            (Thing::Port(_, number), Wanted::Port(config)) => {
                let Some((_, member)) = bridge.member_of(number) else { return };
                if let Some(status) = self.dataplane.port_status(member.port) {
                    let up = !config.contains(PortConfig::PORT_DOWN);
                    let policing = super::reconcile::policing(&member.config);
                    self.dataplane.set_port(member.port, PortSettings { up, mtu: status.mtu, policing });
                }
            }
            _ => {}
        }
    }

    fn packet_out(&self, bridge: BridgeId, packet: &PacketOut) {
        if let Some(execution) = self.pipeline.packet_out(bridge, packet, VLAN_LIMIT, self.now_ms()) {
            self.execute(execution, Sender::Controller);
        }
    }

    fn resume(&self, bridge: BridgeId, packet: &PacketIn) {
        match self.pipeline.resume(bridge, packet, VLAN_LIMIT, self.now_ms()) {
            Ok(execution) => self.execute(execution, Sender::Controller),
            Err(error) => tracing::debug!(%error, "a paused packet does not go on"),
        }
    }

    pub fn execute(&self, execution: Execution, sender: Sender) {
        let Execution { key, ops, credits, frame, .. } = execution;
        let tcp_flags = key.get_u64(Field::TcpFlags) as u16;
        let traffic = Traffic { packets: 1, bytes: frame.len() as u64, tcp_flags };
        if self.dataplane.execute(sender, frame, key, ops) {
            self.pipeline.credit(&credits, traffic, self.now_ms());
        } else {
            self.waiting.drop_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_openflow::{Action, NO_BUFFER};

    #[test]
    fn packets_wait_up_to_a_limit() {
        let output = || Action::Output { port: PortNo(1), max_len: 0 };
        let outputs = || (0..1000).map(|_| output()).collect::<Vec<_>>();
        let many = 1000 * size_of::<Action>();
        for (actions, held_bytes) in [
            (Vec::new(), 0),
            (outputs(), many),
            (vec![Action::Clone(outputs())], size_of::<Action>() + many),
            (vec![Action::Note(vec![0; 60_000])], size_of::<Action>() + 60_000),
        ] {
            let waiting = Waiting::default();
            let packet = PacketOut { buffer: NO_BUFFER, metadata: Match::default(), actions, packet: vec![0; 1500] };
            let weight = Weight::of_out(&packet);
            let taken = (0..100_000).take_while(|_| waiting.enter(weight)).count();
            assert_eq!(taken, WAITING_BYTES_MAX / (1500 + held_bytes + PACKET_OVERHEAD_BYTES));
            assert_eq!(waiting.dropped(), 1);
            waiting.leave(weight);
            assert!(waiting.enter(weight) && !waiting.enter(weight));
        }
    }

    #[test]
    fn what_is_configured_again_and_again_waits_once() {
        let (waiting, port) = (Waiting::default(), Thing::Port(BridgeId(1), PortNo(2)));
        let told = (0..1000).filter(|number| waiting.want(port, Wanted::Port(PortConfig(*number)))).count();
        assert_eq!(told, 1);
        assert!(waiting.want(Thing::Port(BridgeId(2), PortNo(2)), Wanted::Port(PortConfig(7))));
        assert!(matches!(waiting.take(port), Some(Wanted::Port(PortConfig(999)))));
        assert!(waiting.take(port).is_none() && waiting.want(port, Wanted::Port(PortConfig(1))));
    }
}
