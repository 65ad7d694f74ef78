//! Flows as `ovs-appctl dpctl/dump-flows` prints them.

use crate::engine::Engine;
use hive_program::Pipeline;

impl<P: Pipeline> Engine<P> {
    /// A line for each flow.
    pub fn dump_flows(&self, _now_ms: u64) -> Vec<String> {
        self.flows.iter().map(|flow| format!("{}", hive_flow::Shown { key: flow.key(), mask: flow.mask() })).collect()
    }
}
