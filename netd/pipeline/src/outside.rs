//! What the switch's host looks at beside translations.

use crate::bond::Bond;
use crate::switch::Switch;
use hive_program::BridgeId;
use std::sync::Arc;

impl Switch {
    /// The bond of a bridge's port.
    pub fn bond(&self, bridge: BridgeId, port: &str) -> Option<Arc<Bond>> {
        let bridge = self.topology().bridges.get(&bridge).cloned()?;
        bridge.bundles.iter().find(|bundle| bundle.name == port)?.bond.clone()
    }
}
