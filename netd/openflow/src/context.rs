//! What a session has agreed on, beside the messages themselves.

use crate::{TlvTable, Version};

/// How bytes of one session are to be read and written.
#[derive(Clone, Debug)]
pub struct Context {
    pub version: Version,
    /// Tunnel options that `tun_metadata` fields stand for.
    pub tlvs: TlvTable,
    /// OpenFlow 1.0 only, after NXT_FLOW_MOD_TABLE_ID: the high byte of a flow mod's command is its table.
    pub table_ids: bool,
}

impl Context {
    pub fn new(version: Version) -> Self {
        Self { version, tlvs: TlvTable::default(), table_ids: false }
    }
}
