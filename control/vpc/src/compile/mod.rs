//! From objects to flows. One file a part of the pipeline; all of them write to one [`Compiler`].

mod acl;
mod classify;
mod groups;
mod index;
mod internet;
mod local;
mod log;
mod nat;
mod route;
mod security;
mod services;
mod traffic;

pub use services::InterfaceServices;

use crate::flow::{FlowBody, FlowKey, FlowSet, Pattern, Table};
use crate::model::{ConnectionTracking, Network};
use crate::node::{LocalNumber, Node};
use crate::source::{Source, Sources};
use hive_openflow::Action;
use index::Index;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Flows of one bridge. A switch takes some hundred bytes for each, and reading them back some hundred more; a node with 500 interfaces,
/// each with AWS's 1000 rules of its own, has half of this.
pub const FLOWS_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("the node's VPCs make more than {FLOWS_MAX} flows, or flows that are too long")]
    TooManyFlows,
}

/// What a node's bridge is to hold, and what else follows from the same objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    pub flows: FlowSet,
    pub sources: Sources,
    /// How long the tracker keeps connections, by zone: `CT_Timeout_Policy` of the bridge's database.
    pub zones: BTreeMap<LocalNumber, ConnectionTracking>,
    /// What the services port answers, by `tun_id`.
    pub services: BTreeMap<LocalNumber, InterfaceServices>,
}

/// The tables of `node`. The same input gives the same flows.
///
/// # Errors
/// There would be more than [`FLOWS_MAX`], or more conjunctions in them than a switch should hold.
pub fn compile(network: &Network, node: &Node) -> Result<Compiled, CompileError> {
    let (index, out) = (Index::new(network, node), Compiled::default());
    let mut compiler = Compiler { index, out, clauses: 0, is_full: false };
    compiler.classify();
    compiler.port_security();
    compiler.local();
    compiler.groups();
    compiler.routes();
    compiler.acls();
    compiler.internet();
    compiler.nat_gateways();
    compiler.services();
    compiler.logs();
    if compiler.is_full { Err(CompileError::TooManyFlows) } else { Ok(compiler.out) }
}

struct Compiler<'a> {
    index: Index<'a>,
    out: Compiled,
    /// `conjunction` actions so far.
    clauses: usize,
    is_full: bool,
}

impl Compiler<'_> {
    /// Of two flows with one match the first stays.
    fn add(&mut self, table: Table, priority: u16, pattern: Pattern, source: Source, actions: Vec<Action>) {
        if self.out.flows.len() >= FLOWS_MAX {
            self.is_full = true;
            return;
        }
        let key = FlowKey { table: table.number(), priority, matching: pattern.0 };
        if let Entry::Vacant(entry) = self.out.flows.entry(key) {
            let cookie = self.out.sources.cookie_of(source, &self.index.rules);
            entry.insert(FlowBody { cookie, actions });
        }
    }
}
