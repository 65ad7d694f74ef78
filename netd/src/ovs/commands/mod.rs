//! `ovs-appctl`: the commands of ovs-vswitchd 3.1, in its words.

mod bond;
mod dpctl;
mod dpif;
mod fdb;
mod ofproto;
mod parse;
mod trace;

use super::OVS_VERSION;
use super::daemon::{Daemon, Event};
use super::logging::Logs;
use hive_datapath::Counter;
use hive_unixctl::{Answer, Commands, Program};
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};

/// All commands of the daemon.
pub(super) fn all(daemon: &Arc<Daemon>, logs: Logs) -> Commands {
    let events = daemon.events.clone();
    let (counting, measured) = (Arc::downgrade(daemon), Arc::downgrade(daemon));
    let mut commands = Commands::new(Program {
        version: format!("netd (Open vSwitch) {OVS_VERSION}"),
        logging: Box::new(logs),
        counters: Box::new(move || counting.upgrade().map_or_else(Vec::new, |daemon| daemon.events_so_far())),
        memory: Box::new(move || measured.upgrade().map_or_else(Vec::new, |daemon| daemon.holdings())),
        exit: Box::new(move |call| drop(events.send(Event::Exit(Some(call))))),
    });
    let mut adder = Adder { daemon: Arc::downgrade(daemon), commands: &mut commands };
    fdb::add(&mut adder);
    dpif::add(&mut adder);
    dpctl::add(&mut adder);
    ofproto::add(&mut adder);
    bond::add(&mut adder);
    trace::add(&mut adder);
    commands
}

/// Adds commands that look at the daemon.
struct Adder<'a> {
    daemon: Weak<Daemon>,
    commands: &'a mut Commands,
}

impl Adder<'_> {
    fn add(
        &mut self,
        name: &str,
        usage: &str,
        arguments: RangeInclusive<usize>,
        handler: impl Fn(&Arc<Daemon>, &[String]) -> Answer + Send + 'static,
    ) {
        let daemon = self.daemon.clone();
        self.commands.add(name, usage, arguments, move |arguments| match daemon.upgrade() {
            Some(daemon) => handler(&daemon, arguments),
            None => Err("the daemon is ending".to_owned()),
        });
    }
}

impl Daemon {
    /// For `coverage/show`.
    fn events_so_far(&self) -> Vec<(String, u64)> {
        let workers = self.dataplane.worker_counters();
        let sum = |counter: Counter| workers.iter().map(|worker| worker.get(counter)).sum();
        let named = |counter: &Counter| (format!("datapath_{}", counter.name().replace('-', "_")), sum(*counter));
        let mut counters: Vec<(String, u64)> = Counter::ALL.iter().map(named).collect();
        let tracked = self.dataplane.tracker().counters();
        counters.extend(tracked.named().map(|(name, count)| (format!("conntrack_{name}"), count)));
        let rejected = self.tunnels.rejected().into_iter();
        counters.extend(
            rejected.map(|(kind, port, reason, count)| {
                (format!("tunnel_{kind:?}_{port}_{reason:?}").to_lowercase(), count)
            }),
        );
        counters.push(("punts_dropped".to_owned(), self.pipeline.punts_dropped()));
        counters.push(("packets_out_dropped".to_owned(), self.waiting.dropped()));
        counters
    }

    /// For `memory/show`.
    fn holdings(&self) -> Vec<(String, u64)> {
        let stats = self.dataplane.stats();
        let state = self.lock();
        let ports: usize = state.bridges.values().map(|bridge| bridge.members.len()).sum();
        let rules: usize = state.bridges.values().map(ofproto::count_flows).sum();
        let named = [
            ("bridges", state.bridges.len()),
            ("connections", stats.connections),
            ("flows", stats.flows),
            ("ports", ports),
            ("recirculations", self.pipeline.recirculations()),
            ("rules", rules),
        ];
        named.map(|(name, count)| (name.to_owned(), count as u64)).into()
    }
}
