//! `Mirror`: copies of packets to a port or a VLAN.

use super::port::vlans;
use super::{MirrorId, Place, Port, PortId, Reader, shown};
use crate::table::Table;
use std::collections::BTreeSet;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub id: MirrorId,
    pub name: String,
    /// Everything that comes in or goes out is mirrored, whatever the ports below.
    pub select_all: bool,
    /// What comes in here; what goes out there.
    pub select_src: BTreeSet<PortId>,
    pub select_dst: BTreeSet<PortId>,
    /// Only of these VLANs; empty: of all.
    pub select_vlan: BTreeSet<u16>,
    pub output: MirrorOutput,
    /// Bytes of a packet that are copied; nothing: all.
    pub snaplen: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorOutput {
    Port(PortId),
    Vlan(u16),
}

impl Reader<'_> {
    /// Reads a mirror of the bridge that has these ports. The table has no column for errors: they are the bridge's.
    pub(super) fn mirror(&mut self, id: Uuid, ports: &[Port], bridge: Place<'_>) -> Option<Mirror> {
        let row = self.replica.row(Table::Mirror, id)?;
        let name = row.text("name");
        let here = |id: &Uuid| ports.iter().any(|port| port.id == PortId(*id));
        let mut select = |column: &str| {
            let (selected, elsewhere): (Vec<Uuid>, Vec<Uuid>) = row.references(column).partition(here);
            if !elsewhere.is_empty() {
                self.ignore(
                    bridge,
                    format!(
                        "mirror {}: {column} names {} ports that the bridge does not have",
                        shown(name),
                        elsewhere.len()
                    ),
                );
            }
            selected.into_iter().map(PortId).collect::<BTreeSet<_>>()
        };
        let (select_src, select_dst) = (select("select_src_port"), select("select_dst_port"));
        let vlan = row.optional_integer("output_vlan").and_then(|vlan| u16::try_from(vlan).ok());
        let output = match (row.optional_reference("output_port"), vlan) {
            (Some(port), _) if here(&port) => MirrorOutput::Port(PortId(port)),
            (Some(_), _) => {
                self.ignore(bridge, format!("mirror {}: the bridge does not have its output port", shown(name)));
                return None;
            }
            (None, Some(vlan)) => MirrorOutput::Vlan(vlan),
            (None, None) => {
                self.ignore(bridge, format!("mirror {} has no output", shown(name)));
                return None;
            }
        };
        Some(Mirror {
            id: MirrorId(id),
            name: name.to_owned(),
            select_all: row.boolean("select_all"),
            select_src,
            select_dst,
            select_vlan: vlans(row, "select_vlan"),
            output,
            snaplen: row.optional_integer("snaplen").and_then(|length| u16::try_from(length).ok()),
        })
    }
}
