//! Limits and timeouts of connection tracking zones.

use hive_conntrack::{TimeoutPolicy, Timer};
use hive_datapath::Tracker;
use hive_ovsdb::snapshot::DatapathConfig;
use std::collections::BTreeMap;

/// The columns' names of timers: vswitchd.conf.db(5), CT_Timeout_Policy.
fn timer(name: &str) -> Option<Timer> {
    Some(match name {
        "tcp_syn_sent" => Timer::TcpFirst,
        "tcp_syn_recv" => Timer::TcpOpening,
        "tcp_established" => Timer::TcpEstablished,
        "tcp_fin_wait" => Timer::TcpClosing,
        "tcp_time_wait" => Timer::TcpFinWait,
        "tcp_close" => Timer::TcpClosed,
        "udp_first" => Timer::UdpFirst,
        "udp_single" => Timer::UdpSingle,
        "udp_multiple" => Timer::UdpMultiple,
        "icmp_first" => Timer::IcmpFirst,
        "icmp_reply" => Timer::IcmpReply,
        _ => return None,
    })
}

/// Puts what is asked for into force; zones that nothing is asked of any more have the defaults again.
pub(super) fn apply(
    before: &BTreeMap<String, DatapathConfig>,
    now: &BTreeMap<String, DatapathConfig>,
    tracker: &Tracker,
) {
    let zones = |configs: &BTreeMap<String, DatapathConfig>| {
        configs.values().flat_map(|config| config.ct_zones.clone()).collect::<BTreeMap<_, _>>()
    };
    let (before, now) = (zones(before), zones(now));
    for zone in before.keys().filter(|zone| !now.contains_key(zone)) {
        tracker.set_zone_max(*zone, None);
        tracker.set_zone_policy(*zone, TimeoutPolicy::OVS);
    }
    for (zone, config) in &now {
        if before.get(zone) == Some(config) {
            continue;
        }
        tracker.set_zone_max(*zone, config.limit.map(|limit| limit as usize));
        let timeouts = config.timeouts_s.iter().filter_map(|(name, seconds)| Some((timer(name)?, *seconds)));
        let policy = timeouts
            .fold(TimeoutPolicy::OVS, |policy, (timer, seconds)| policy.with_ms(timer, 1000 * u64::from(seconds)));
        if !tracker.set_zone_policy(*zone, policy) {
            tracing::warn!(zone, "too many different timeout policies: the zone has the default");
        }
    }
}
