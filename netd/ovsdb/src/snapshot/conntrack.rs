//! `Datapath`, as far as it is configuration: connection tracking zones.

use super::Reader;
use crate::datum::Atom;
use crate::replica::Row;
use crate::table::Table;
use std::collections::BTreeMap;

/// What is asked of a datapath.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatapathConfig {
    pub ct_zones: BTreeMap<u16, CtZone>,
    /// Connections a zone may hold that has no limit of its own; nothing: as many as there is room for.
    pub default_limit: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CtZone {
    /// Seconds by name of the state: `tcp_established`, `udp_single`, ... (vswitchd.conf.db(5), CT_Timeout_Policy).
    pub timeouts_s: BTreeMap<String, u32>,
    /// Connections the zone may hold (schema 8.5 and newer).
    pub limit: Option<u32>,
}

impl Reader<'_> {
    /// Datapaths of which something is asked. One that is only there to tell its capabilities is none.
    pub(super) fn datapaths(&self, open_vswitch: &Row) -> BTreeMap<String, DatapathConfig> {
        let linked = open_vswitch.pairs("datapaths").filter_map(|(kind, datapath)| match (kind, datapath) {
            (Atom::String(kind), Atom::Uuid(id)) => Some((kind.clone(), self.replica.row(Table::Datapath, *id)?)),
            _ => None,
        });
        let configured = linked.map(|(kind, row)| {
            let zones = row.pairs("ct_zones").filter_map(|(number, zone)| match (number, zone) {
                (Atom::Integer(number), Atom::Uuid(zone)) => {
                    Some((u16::try_from(*number).ok()?, self.ct_zone(self.replica.row(Table::CtZone, *zone)?)))
                }
                _ => None,
            });
            (kind, DatapathConfig { ct_zones: zones.collect(), default_limit: limit(row, "ct_zone_default_limit") })
        });
        configured.filter(|(_, datapath)| *datapath != DatapathConfig::default()).collect()
    }

    fn ct_zone(&self, row: &Row) -> CtZone {
        let policy =
            row.optional_reference("timeout_policy").and_then(|id| self.replica.row(Table::CtTimeoutPolicy, id));
        let timeouts = policy.into_iter().flat_map(|policy| policy.pairs("timeouts"));
        let timeouts_s = timeouts.filter_map(|(state, seconds)| match (state, seconds) {
            (Atom::String(state), Atom::Integer(seconds)) => Some((state.clone(), u32::try_from(*seconds).ok()?)),
            _ => None,
        });
        CtZone { timeouts_s: timeouts_s.collect(), limit: limit(row, "limit") }
    }
}

fn limit(row: &Row, column: &str) -> Option<u32> {
    row.optional_integer(column).and_then(|limit| u32::try_from(limit).ok())
}
