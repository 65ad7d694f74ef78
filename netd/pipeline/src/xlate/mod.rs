//! One packet's way through bridges, tables and actions.

mod actions;
mod commit;
mod conntrack;
mod controller;
pub(crate) mod fields;
mod group;
mod hash;
pub(crate) mod learn;
mod mirror;
mod mpls;
mod normal;
mod output;
mod set;
mod table;
mod thaw;
pub(crate) mod tunnel;

use crate::credit::{Other, TableCredit};
use crate::frozen::{Frozen, PuntContext, Pushed, Segment};
use crate::switch::Switch;
use crate::topology::{Bridge, Topology};
use crate::trace::Trace;
use hive_classifier::Tables;
use hive_flow::{Key, Mask};
use hive_ofproto::{Flow, Usage};
use hive_openflow::{Action, Controller};
use hive_program::{DropReason, HashOf, Op, Tunnel};
use std::cell::Cell;
use std::sync::Arc;

/// Searches of tables for one packet; as in Open vSwitch.
pub const RESUBMITS_MAX: u32 = 4096;
/// Searches of a table that is not behind the one that asked, within each other; groups and bridges count too. As in Open vSwitch.
pub const DEPTH_MAX: u32 = 64;
/// Searches within each other, whatever their order: what a thread's stack of 2 MiB has room for, with a half to spare. A pipeline that
/// only goes forward through all tables, four bridges long, is within it.
pub const NESTING_MAX: u32 = 1024;
/// What a way through a patch port counts as of [`NESTING_MAX`]: it takes that much more room than a search.
const PATCH_NESTING: u32 = 8;
/// Operations of one translation; Open vSwitch's limit is 64 KiB of attributes, some thousand operations.
pub const OPS_MAX: usize = 4096;
/// Actions, buckets, outputs, and actions that are put aside (into the action set, or until the packet is back), of one translation.
/// Without it, groups of groups and `check_pkt_larger` after `check_pkt_larger` double what is done with each level, though they search
/// nothing. Sixteen for each search: flows of a pipeline that searches so often have fewer.
pub const STEPS_MAX: u32 = 16 * RESUBMITS_MAX;
/// Values on the stack; Open vSwitch's limit is 64 KiB.
const STACK_MAX: usize = 4096;

/// Everything stops, to go on after the packet was given to the data path once more.
#[derive(Debug)]
enum Freeze {
    /// By recirculation; with a hash first.
    Recirculate(Option<(HashOf, u32)>),
    /// By a controller.
    Pause(Box<Controller>),
}

pub(crate) use thaw::Start;

pub(crate) struct Translator<'a> {
    pub(crate) switch: &'a Switch,
    pub(crate) topology: &'a Topology,
    pub(crate) bridge: &'a Arc<Bridge>,
    /// Where the packet came in; behind a patch port it is in another.
    bridge_of_origin: &'a Arc<Bridge>,
    tables: Arc<Tables<Flow>>,
    /// The key as it came, but for the port's number.
    pub(crate) original: &'a Key,
    /// The key as the pipeline has it now.
    pub(crate) flow: Key,
    /// The key as the operations so far have made it.
    pub(crate) base: Key,
    pub(crate) mask: Mask,
    pub(crate) ops: Vec<Op>,
    stack: Vec<Pushed>,
    action_set: Vec<Action>,
    action_set_has_group: bool,
    table: u8,
    rule: Option<Arc<Flow>>,
    cookie: u64,
    depth: u32,
    nested: u32,
    resubmits: u32,
    /// See [`STEPS_MAX`].
    steps: Cell<u32>,
    /// A tag was made where there was none, which may be the one that the packet has.
    has_made_vlan: bool,
    /// The rest of the actions is not carried out.
    exit: bool,
    freeze: Option<Freeze>,
    segments: Vec<Segment>,
    /// Some list of actions has left its rest in `segments`.
    unrolling: bool,
    error: Option<DropReason>,
    was_mpls: bool,
    conntracked: bool,
    in_action_set: bool,
    in_packet_out: bool,
    mirrors: u32,
    snaplen: Option<u16>,
    last_tunnel: Option<Arc<Tunnel>>,
    /// Why nothing went out, as far as it is known.
    reason: DropReason,
    effects: bool,
    now_ms: u64,
    usages: Vec<Arc<Usage>>,
    lookups: Vec<TableCredit>,
    pub(crate) others: Vec<Other>,
    kept: Vec<Arc<Frozen>>,
    punts: Vec<Arc<PuntContext>>,
    pub(crate) trace: Option<&'a mut Trace>,
}
