//! The switch: what all translations share, and what is asked of it from outside.

use crate::bfd::{self, BfdQueue};
use crate::credit::Credits;
use crate::frozen::{Frozen, PuntContext, Store};
use crate::topology::{Bridge, BridgeSpec, BridgeState, PortState, States, Topology};
use crate::trace::Trace;
use crate::xlate::{Start, Translator};
use arc_swap::ArcSwap;
use hive_flow::{Field, Key, Mask};
use hive_ofproto::Command;
use hive_openflow::{Fragments, PortConfig, PortNo};
use hive_program::{BridgeId, DropReason, Pipeline, PortId, Punt, Traffic, Translation};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The input port of a packet that a controller made up: no port of the data path.
pub const NO_PORT: PortId = PortId(u32::MAX);
/// Packets that wait for the controllers to be told. What comes faster than they are told is lost, and counted.
pub const PUNTS_WAITING_MAX: usize = 1024;

/// A packet for a controller, taken from the data path.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub punt: Punt,
    pub frame: Vec<u8>,
}

/// The pipeline of all bridges.
#[derive(Debug)]
pub struct Switch {
    /// See [`Pipeline::epoch`]. Flow tables and groups count it up by themselves.
    epoch: Arc<AtomicU64>,
    topology: ArcSwap<Topology>,
    states: Mutex<States>,
    frozen: Store<Frozen>,
    punts: Store<PuntContext>,
    waiting: Mutex<VecDeque<Waiting>>,
    /// Somebody waits for `waiting` to have something.
    punted: Condvar,
    punts_dropped: AtomicU64,
    bfd: BfdQueue,
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            epoch: Arc::new(AtomicU64::new(1)),
            topology: ArcSwap::default(),
            states: Mutex::default(),
            frozen: Store::default(),
            punts: Store::default(),
            waiting: Mutex::default(),
            punted: Condvar::new(),
            punts_dropped: AtomicU64::new(0),
            bfd: BfdQueue::default(),
        }
    }
}

impl Switch {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// These are the bridges from now on. What they have learned and counted stays with those that were there before.
    pub fn configure(&self, bridges: &[BridgeSpec], now_ms: u64) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let topology = Arc::new(Topology::build(bridges, &mut states, &self.epoch));
        run_bonds(&topology, now_ms);
        self.topology.store(topology);
        self.touch();
    }

    /// Translations made so far are stale.
    pub(crate) fn touch(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn states(&self) -> &Store<Frozen> {
        &self.frozen
    }

    pub(crate) fn punts(&self) -> &Store<PuntContext> {
        &self.punts
    }

    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.topology.load_full()
    }

    fn bridge(&self, id: BridgeId) -> Option<Arc<Bridge>> {
        self.topology.load().bridges.get(&id).cloned()
    }

    /// What a bridge keeps over changes of the configuration: its MAC table, its counters.
    pub fn bridge_state(&self, id: BridgeId) -> Option<Arc<BridgeState>> {
        self.bridge(id).map(|bridge| bridge.state.clone())
    }

    /// A port's counters as a patch port.
    pub fn port_state(&self, port: PortId) -> Option<Arc<PortState>> {
        self.topology.load().port(port).map(|(_, port)| port.state.clone())
    }

    /// The port's link went up or down.
    pub fn set_link(&self, port: PortId, up: bool, now_ms: u64) {
        let topology = self.topology.load();
        let Some((_, port)) = topology.port(port) else { return };
        if port.state.up.swap(up, Ordering::Relaxed) != up {
            run_bonds(&topology, now_ms);
            self.touch();
        }
    }

    /// What a bridge's agent wants: ports' configurations, fragments, tunnel options. What is for others is given back.
    pub fn follow(&self, bridge: BridgeId, command: Command, now_ms: u64) -> Option<Command> {
        let Some(bridge) = self.bridge(bridge) else { return Some(command) };
        match command {
            Command::Port { number, config } => self.set_port_config(&bridge, number, config, now_ms),
            Command::Fragments(fragments) => {
                let state = &bridge.state;
                state.drops_fragments.store(fragments == Fragments::Drop, Ordering::Relaxed);
                state.sees_fragments.store(fragments == Fragments::NxMatch, Ordering::Relaxed);
                self.touch();
            }
            Command::TunnelOptions(table) => {
                bridge.state.tlvs.store(Arc::new(table));
                self.touch();
            }
            // Its reader has it already.
            Command::Groups => {}
            other => return Some(other),
        }
        None
    }

    fn set_port_config(&self, bridge: &Bridge, number: PortNo, config: PortConfig, now_ms: u64) {
        let Some(port) = bridge.ports.get(&number) else { return };
        if port.state.config.swap(config.0, Ordering::Relaxed) != config.0 {
            run_bonds(&self.topology.load(), now_ms);
            self.touch();
        }
    }

    /// What time does: addresses age, bonds rebalance, states that nobody waits for are forgotten. To be called about once a second.
    pub fn run(&self, now_ms: u64) {
        let topology = self.topology.load();
        let mut stale = run_bonds(&topology, now_ms);
        for bridge in topology.bridges.values() {
            stale |= bridge.state.macs.expire(now_ms);
            let mut agent = bridge.agent.lock().unwrap_or_else(PoisonError::into_inner);
            for (table, counters) in bridge.state.tables.iter().enumerate() {
                let table = u8::try_from(table).unwrap_or(u8::MAX);
                let (lookups, matches) = (&counters.lookups, &counters.matches);
                agent.set_lookups(table, lookups.load(Ordering::Relaxed), matches.load(Ordering::Relaxed));
            }
            let wants = agent.wants_misses();
            drop(agent);
            stale |= bridge.state.wants_misses.swap(wants, Ordering::Relaxed) != wants;
        }
        if stale {
            self.touch();
        }
        self.frozen.sweep(now_ms);
        self.punts.sweep(now_ms);
    }

    /// The tunnel port that a packet with these `tun_` fields came in by.
    pub fn tunnel_port(&self, key: &Key, udp_port: u16) -> Option<PortId> {
        self.topology.load().tunnel(key, udp_port)
    }

    /// Forgets the addresses that a bridge has learned.
    pub fn flush_macs(&self, bridge: BridgeId) {
        if let Some(state) = self.bridge_state(bridge) {
            state.macs.flush(None);
            self.touch();
        }
    }

    /// States of recirculations that are kept now.
    pub fn recirculations(&self) -> usize {
        self.frozen.len()
    }

    /// Waits until there is something for [`Self::deliver`], or the time is over.
    pub fn wait_for_punts(&self, timeout: Duration) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.punted.wait_timeout_while(waiting, timeout, |waiting| waiting.is_empty()));
    }

    /// Waits until packets of BFD came in by ports that have a session, or the time is over; their frames' beginnings.
    pub fn wait_for_bfd(&self, timeout: Duration) -> VecDeque<(PortId, Vec<u8>)> {
        self.bfd.take(timeout)
    }

    pub(crate) fn take_waiting(&self) -> Option<Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub fn punts_dropped(&self) -> u64 {
        self.punts_dropped.load(Ordering::Relaxed)
    }

    /// On behalf of a controller. `key`: with the port's OpenFlow number.
    pub(crate) fn translate_from(
        &self,
        bridge: BridgeId,
        key: &Key,
        start: Start<'_>,
        effects: bool,
        now_ms: u64,
        trace: Option<&mut Trace>,
    ) -> Option<Translation<Credits>> {
        let epoch = self.epoch();
        let topology = self.topology.load();
        let bridge = topology.bridges.get(&bridge)?;
        let mut translator = Translator::new(self, &topology, bridge, key, effects, now_ms, trace);
        translator.run(start);
        Some(translator.finish(epoch))
    }

    pub(crate) fn translate_traced(
        &self,
        key: &Key,
        effects: bool,
        now_ms: u64,
        trace: Option<&mut Trace>,
    ) -> Translation<Credits> {
        let epoch = self.epoch();
        let topology = self.topology.load();
        let nowhere = |drop: DropReason| {
            let mut mask = Mask::NONE;
            mask.add_all(Field::InPort);
            mask.add_all(Field::RecircId);
            let credits = Arc::default();
            Translation { mask, ops: Arc::new([]), credits, drop: Some(drop), uncached: false, epoch }
        };
        let recirc_id = key.get_u64(Field::RecircId) as u32;
        let port = topology.port(PortId(key.get_u64(Field::InPort) as u32));
        let mut own = *key;
        let number = port.map_or(PortNo::NONE, |(_, port)| port.number);
        own.set(Field::InPort, number.0.into());
        if recirc_id != 0 {
            let Some(frozen) = self.frozen.get(recirc_id) else {
                // It may be known again when its first half was translated anew.
                return Translation { uncached: true, ..nowhere(DropReason::RecirculationUnknown) };
            };
            let Some(bridge) = topology.bridges.get(&frozen.bridge) else {
                return nowhere(DropReason::RecirculationUnknown);
            };
            let mut translator = Translator::new(self, &topology, bridge, &own, effects, now_ms, trace);
            translator.run(Start::Thawed(&frozen));
            return translator.finish(epoch);
        }
        let Some((bridge, _)) = port else { return nowhere(DropReason::PortBlocked) };
        let mut translator = Translator::new(self, &topology, bridge, &own, effects, now_ms, trace);
        translator.run(Start::Received);
        translator.finish(epoch)
    }
}

/// True if packets take other ways now.
fn run_bonds(topology: &Topology, now_ms: u64) -> bool {
    let mut changed = false;
    for bridge in topology.bridges.values() {
        for bundle in &bridge.bundles {
            if let Some(bond) = &bundle.bond {
                changed |= bond.run(bundle, bridge, now_ms);
            }
        }
    }
    changed
}

impl Pipeline for Switch {
    type Credits = Credits;

    #[inline]
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn translate(&self, key: &Key, effects: bool, now_ms: u64) -> Translation<Credits> {
        self.translate_traced(key, effects, now_ms, None)
    }

    fn credit(&self, credits: &Credits, traffic: Traffic, now_ms: u64) {
        credits.apply(self, traffic, now_ms);
    }

    fn punt(&self, punt: &Punt, frame: &[u8], _now_ms: u64) {
        if let Some(port) = bfd::port(punt.what) {
            if !self.bfd.push(port, frame) {
                self.punts_dropped.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= PUNTS_WAITING_MAX {
            drop(waiting);
            self.punts_dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(Waiting { punt: punt.clone(), frame: frame.to_vec() });
        drop(waiting);
        self.punted.notify_one();
    }
}
