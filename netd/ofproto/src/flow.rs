//! A flow, and what is selected by.

use hive_flow::Match;
use hive_openflow::{
    Action, CookieMask, FlowCounters, FlowFlags, FlowMod, FlowRequest, FlowStats, GROUP_ANY, PortNo, outputs_to_group,
    outputs_to_port,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// A flow as it is in one version of the tables: a modification makes another one, with the same [`Usage`].
#[derive(Debug)]
pub struct Flow {
    /// The same over modifications.
    pub(crate) id: u64,
    pub table: u8,
    pub matching: Match,
    pub priority: u16,
    pub cookie: u64,
    /// 0: none.
    pub idle_timeout_s: u16,
    pub hard_timeout_s: u16,
    pub importance: u16,
    pub flags: FlowFlags,
    pub actions: Vec<Action>,
    pub created_ms: u64,
    pub modified_ms: u64,
    pub usage: Arc<Usage>,
}

/// What went through a flow; written by whoever moves packets.
#[derive(Debug, Default)]
pub struct Usage {
    packets: AtomicU64,
    bytes: AtomicU64,
    used_ms: AtomicU64,
    /// When `learn` made the same flow again.
    refreshed_ms: AtomicU64,
    /// What `fin_timeout` left of the timeouts, in seconds; 0: all.
    idle_max_s: AtomicU16,
    hard_max_s: AtomicU16,
}

impl Usage {
    pub(crate) fn new(packets: u64, bytes: u64, used_ms: u64) -> Self {
        Self { packets: packets.into(), bytes: bytes.into(), used_ms: used_ms.into(), ..Self::default() }
    }

    /// The flow was learned again: its hard timeout begins anew.
    pub fn refresh(&self, now_ms: u64) {
        self.refreshed_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// From now on timeouts are no longer than this, in seconds; 0: as they were.
    pub fn limit_timeouts(&self, idle_s: u16, hard_s: u16) {
        for (limit, new) in [(&self.idle_max_s, idle_s), (&self.hard_max_s, hard_s)] {
            if new != 0 {
                let shorter = |old: u16| (old == 0 || new < old).then_some(new);
                let _ = limit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shorter);
            }
        }
    }

    /// Packets met the flow, the last of them at `now_ms` of the bridge's clock.
    pub fn add(&self, packets: u64, bytes: u64, now_ms: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }
}

/// A span as messages say it: seconds, and nanoseconds beyond them.
pub(crate) fn duration(since_ms: u64, now_ms: u64) -> (u32, u32) {
    let span_ms = now_ms.saturating_sub(since_ms);
    (u32::try_from(span_ms / 1000).unwrap_or(u32::MAX), (span_ms % 1000) as u32 * 1_000_000)
}

impl Flow {
    /// When a timeout ends it: 0 for none, and whether it was the idle one.
    pub(crate) fn expiry(&self) -> Option<(u64, bool)> {
        let end = |timeout_s: u16, from_ms: u64| (timeout_s != 0).then(|| from_ms + 1000 * u64::from(timeout_s));
        let (idle_s, hard_s) = self.timeouts_s();
        let hard = end(hard_s, self.modified_ms()).map(|end_ms| (end_ms, false));
        let idle = end(idle_s, self.usage.used_ms()).map(|end_ms| (end_ms, true));
        hard.into_iter().chain(idle).min()
    }

    /// Idle and hard timeout as `fin_timeout` left them; 0: none.
    pub fn timeouts_s(&self) -> (u16, u16) {
        let left = |own: u16, limit: &AtomicU16| match limit.load(Ordering::Relaxed) {
            0 => own,
            limit if own == 0 => limit,
            limit => own.min(limit),
        };
        (left(self.idle_timeout_s, &self.usage.idle_max_s), left(self.hard_timeout_s, &self.usage.hard_max_s))
    }

    /// When it was made, changed, or learned again.
    fn modified_ms(&self) -> u64 {
        self.modified_ms.max(self.usage.refreshed_ms.load(Ordering::Relaxed))
    }

    /// Whether it may have timeouts one day.
    pub(crate) fn may_expire(&self) -> bool {
        self.expiry().is_some() || any_action(&self.actions, &|action| matches!(action, Action::FinTimeout { .. }))
    }

    pub(crate) fn counters(&self, now_ms: u64) -> FlowCounters {
        let (duration_s, duration_ns) = duration(self.created_ms, now_ms);
        FlowCounters {
            duration_s,
            duration_ns,
            idle_s: Some(duration(self.usage.used_ms(), now_ms).0),
            packets: self.usage.packets(),
            bytes: self.usage.bytes(),
        }
    }

    pub(crate) fn stats(&self, now_ms: u64) -> FlowStats {
        let hard_age_s = duration(self.modified_ms(), now_ms).0;
        let (idle_timeout_s, hard_timeout_s) = self.timeouts_s();
        FlowStats {
            table: self.table,
            flow: self.matching.clone(),
            priority: self.priority,
            cookie: self.cookie,
            idle_timeout_s,
            hard_timeout_s,
            importance: self.importance,
            flags: self.flags,
            counters: self.counters(now_ms),
            hard_age_s: Some(u16::try_from(hard_age_s).unwrap_or(u16::MAX)),
            actions: self.actions.clone(),
        }
    }

    /// Meters that its actions name, wherever they stand.
    pub(crate) fn has_meter(&self, meter: u32) -> bool {
        any_action(&self.actions, &|action| *action == Action::Meter(meter))
    }
}

/// Whether an action is meant, or one within it.
pub(crate) fn any_action(actions: &[Action], meant: &impl Fn(&Action) -> bool) -> bool {
    actions.iter().any(|action| {
        let within = match action {
            Action::Clone(actions) | Action::WriteActions(actions) => actions.as_slice(),
            Action::Conntrack(conntrack) => conntrack.actions.as_slice(),
            _ => &[],
        };
        meant(action) || any_action(within, meant)
    })
}

/// Which flows a message means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Criteria<'a> {
    /// [`hive_openflow::TABLE_ALL`]: all.
    pub table: u8,
    pub matching: &'a Match,
    /// `Some`: match and priority are the flow's own.
    pub strict: Option<u16>,
    pub cookie: CookieMask,
    pub out_port: PortNo,
    pub out_group: u32,
}

impl<'a> Criteria<'a> {
    pub fn of_mod(flow_mod: &'a FlowMod) -> Self {
        // Modifications have no such filters.
        let delete = flow_mod.command.is_delete();
        Self {
            table: flow_mod.table,
            matching: &flow_mod.flow,
            strict: flow_mod.command.is_strict().then_some(flow_mod.priority),
            cookie: flow_mod.cookie,
            out_port: if delete { flow_mod.out_port } else { PortNo::NONE },
            out_group: if delete { flow_mod.out_group } else { GROUP_ANY },
        }
    }

    pub fn of_request(request: &'a FlowRequest) -> Self {
        Self {
            table: request.table,
            matching: &request.flow,
            strict: None,
            cookie: request.cookie,
            out_port: request.out_port,
            out_group: request.out_group,
        }
    }

    /// Beside table, match and priority.
    pub fn agrees(&self, flow: &Flow) -> bool {
        (flow.cookie ^ self.cookie.cookie) & self.cookie.mask == 0
            && (self.out_port == PortNo::NONE || outputs_to_port(&flow.actions, self.out_port))
            && (self.out_group == GROUP_ANY || outputs_to_group(&flow.actions, self.out_group))
    }
}
