//! Mirrors: copies of packets that come in by a port, or go out.

use super::Translator;
use super::normal::is_reserved;
use crate::credit::Other;
use hive_flow::{Field, VLAN_PRESENT};

impl Translator<'_> {
    /// Copies for the mirrors of the port that the packet came in by.
    pub(super) fn mirror_received(&mut self) {
        let bridge = self.bridge;
        if bridge.mirrors.is_empty() {
            return;
        }
        let port = bridge.ports.get(&self.in_port());
        if let Some((port, bundle)) = port.and_then(|port| Some((port, bridge.bundle_of(port)?)))
            && bundle.mirrored_in != 0
        {
            self.mirror(port.bundle, bundle.mirrored_in);
        }
    }

    /// `bundle`: the place of the bundle where the packet comes in or goes out.
    pub(super) fn mirror(&mut self, bundle: usize, mirrors: u32) {
        let bridge = self.bridge;
        let Some(bundle) = bridge.bundles.get(bundle) else { return };
        let mut left = mirrors & !self.mirrors;
        if left == 0 {
            return;
        }
        self.mask.add(Field::VlanTci, (0xfff | VLAN_PRESENT).into());
        let tags = self.tags();
        if !bundle.admits(tags[0].vid) {
            return;
        }
        let tags = bundle.incoming(tags);
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            let Some(mirror) = bridge.mirrors.get(at as usize) else { continue };
            if !mirror.vlans.is_empty() && !mirror.vlans.contains(&tags[0].vid) {
                continue;
            }
            // Before the output, which may be mirrored too.
            self.mirrors |= mirror.same_output;
            self.others.push(Other::Mirror(mirror.counters.clone()));
            let outer = std::mem::replace(&mut self.snaplen, mirror.snaplen);
            match mirror.output {
                Ok(out) => {
                    if let Some(out) = bridge.bundles.get(out) {
                        self.output_bundle(out, &tags);
                    }
                }
                Err(vlan) => {
                    self.mask.add_all(Field::EthDst);
                    let mut copy = tags;
                    copy[0].vid = vlan;
                    if tags[0].vid != vlan && !is_reserved(self.flow.get_u64(Field::EthDst)) {
                        for out in &bridge.bundles {
                            if out.includes(&copy) && !out.is_mirror {
                                self.output_bundle(out, &copy);
                            }
                        }
                    }
                }
            }
            self.snaplen = outer;
            left &= !self.mirrors;
        }
    }
}
