//! OFPP_NORMAL: what a learning switch does.

use super::Translator;
use super::fields::has_vlan;
use super::hash;
use crate::bond::Admission;
use crate::credit::{MacCredit, Other};
use crate::mac::Learned;
use crate::topology::{Bundle, Port, PriorityTags};
use hive_flow::{ETH_TYPE_ARP, ETH_TYPE_QINQ, ETH_TYPE_VLAN, Field, Inner, VLAN_PRESENT};
use hive_openflow::{PortConfig, PortNo};
use hive_ovsdb::snapshot::{BondMode, Vlan};
use hive_program::DropReason;
use std::collections::BTreeSet;

const BROADCAST: u64 = 0xffff_ffff_ffff;
const MULTICAST: u64 = 1 << 40;
const ARP_REQUEST: u128 = 1;
const ARP_REPLY: u128 = 2;
const VID: u16 = 0xfff;
const PCP: u16 = 0xe000;

/// A tag, or the absence of one: then `vid` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag {
    pub tpid: u16,
    pub vid: u16,
    /// In its place in the TCI.
    pub pcp: u16,
}

/// The outer tag and the inner one.
pub(super) type Tags = [Tag; 2];

fn carries(vlans: &BTreeSet<u16>, vid: u16) -> bool {
    vlans.is_empty() || vlans.contains(&vid)
}

impl Bundle {
    fn trunks(&self, vid: u16) -> bool {
        match &self.vlan {
            Vlan::Trunk { trunks } => carries(trunks, vid),
            // Untagged packets are of the native VLAN, so none are of VLAN 0, unless that is the native one.
            Vlan::NativeTagged { tag, trunks } | Vlan::NativeUntagged { tag, trunks } => {
                vid == *tag || carries(trunks, vid) && vid != 0
            }
            Vlan::Access { .. } | Vlan::Dot1qTunnel { .. } => false,
        }
    }

    /// Whether packets with this outer VLAN id come in.
    pub(super) fn admits(&self, vid: u16) -> bool {
        match &self.vlan {
            Vlan::Access { .. } => vid == 0,
            Vlan::NativeTagged { .. } | Vlan::NativeUntagged { .. } => vid == 0 || self.trunks(vid),
            Vlan::Trunk { .. } => self.trunks(vid),
            Vlan::Dot1qTunnel { cvlans, .. } => carries(cvlans, vid),
        }
    }

    /// The packet's VLANs within the bridge.
    pub(super) fn incoming(&self, tags: Tags) -> Tags {
        let tagged = |tag: u16, pcp: u16| {
            let tpid = if tags[0].tpid == 0 { ETH_TYPE_VLAN } else { tags[0].tpid };
            Tag { tpid, vid: tag, pcp }
        };
        match &self.vlan {
            Vlan::Access { tag } => [tagged(*tag, tags[0].pcp), Tag::default()],
            Vlan::NativeTagged { tag, .. } | Vlan::NativeUntagged { tag, .. } if tags[0].vid == 0 => {
                [tagged(*tag, tags[0].pcp), tags[1]]
            }
            Vlan::NativeTagged { .. } | Vlan::NativeUntagged { .. } | Vlan::Trunk { .. } => tags,
            Vlan::Dot1qTunnel { tag, .. } => {
                let tpid = if self.qinq_tpid == 0 { ETH_TYPE_QINQ } else { self.qinq_tpid };
                [Tag { tpid, vid: *tag, pcp: 0 }, tags[0]]
            }
        }
    }

    /// Whether packets of the VLAN go out here.
    pub(super) fn includes(&self, tags: &Tags) -> bool {
        match &self.vlan {
            Vlan::Access { tag } => tags[0].vid == *tag && tags[1].vid == 0,
            Vlan::Dot1qTunnel { tag, cvlans } => tags[0].vid == *tag && carries(cvlans, tags[1].vid),
            _ => self.trunks(tags[0].vid),
        }
    }

    fn outgoing(&self, tags: &Tags) -> Tags {
        let popped = [tags[1], Tag::default()];
        match &self.vlan {
            Vlan::Access { .. } => [Tag::default(); 2],
            Vlan::NativeUntagged { tag, .. } if tags[0].vid == *tag => popped,
            Vlan::Trunk { .. } | Vlan::NativeTagged { .. } | Vlan::NativeUntagged { .. } => *tags,
            Vlan::Dot1qTunnel { .. } => popped,
        }
    }
}

impl Translator<'_> {
    pub(super) fn tags(&self) -> Tags {
        let tag = |tci: u32, tpid: u32| {
            let (tci, tpid) = (tci as u16, tpid as u16);
            if tci & VLAN_PRESENT == 0 { Tag::default() } else { Tag { tpid, vid: tci & VID, pcp: tci & PCP } }
        };
        let outer = tag(self.flow.get_u64(Field::VlanTci) as u32, self.flow.inner(Inner::VlanTpid));
        [outer, tag(self.flow.inner(Inner::Vlan1Tci), self.flow.inner(Inner::Vlan1Tpid))]
    }

    fn put_tags(&mut self, tags: &Tags, priority_tags: PriorityTags) {
        let mut tags = *tags;
        if has_vlan(&self.flow) && tags[0].vid == 0 && super::fields::vlan_tci(&self.flow) & VID == 0 {
            // Whether the tag stays.
            self.mask.add(Field::VlanTci, PCP.into());
        }
        if priority_tags != PriorityTags::Never {
            self.mask.add(Field::VlanTci, PCP.into());
            tags[0].pcp = super::fields::vlan_tci(&self.flow) & PCP;
        }
        let entry = |tag: Tag, always: bool| {
            let tpid = if tag.tpid == 0 { ETH_TYPE_VLAN } else { tag.tpid };
            // A tag with neither VLAN nor priority says nothing.
            let there = tag.vid | tag.pcp != 0 || always;
            if there { (u32::from(tag.vid | tag.pcp | VLAN_PRESENT), u32::from(tpid)) } else { (0, 0) }
        };
        self.has_made_vlan = true;
        let outer = entry(tags[0], priority_tags == PriorityTags::Always);
        let inner = entry(tags[1], false);
        self.flow.set(Field::VlanTci, outer.0.into());
        self.flow.set_inner(Inner::VlanTpid, outer.1);
        self.flow.set_inner(Inner::Vlan1Tci, inner.0);
        self.flow.set_inner(Inner::Vlan1Tpid, inner.1);
    }

    fn is_gratuitous_arp(&mut self) -> bool {
        if super::fields::eth_type(&self.flow) != ETH_TYPE_ARP {
            return false;
        }
        self.mask.add_all(Field::EthDst);
        if self.flow.get_u64(Field::EthDst) != BROADCAST {
            return false;
        }
        self.mask.add_all(Field::ArpOp);
        match self.flow.get(Field::ArpOp) {
            ARP_REPLY => true,
            ARP_REQUEST => {
                self.mask.add_all(Field::ArpSpa);
                self.mask.add_all(Field::ArpTpa);
                self.flow.get(Field::ArpSpa) == self.flow.get(Field::ArpTpa)
            }
            _ => false,
        }
    }

    fn refuse(&mut self, text: impl FnOnce() -> String) {
        self.note(text);
        self.reason = DropReason::PortBlocked;
    }

    #[inline(never)]
    pub(super) fn normal(&mut self) {
        self.mask.add_all(Field::EthSrc);
        self.mask.add_all(Field::EthDst);
        self.mask.add(Field::VlanTci, (VID | VLAN_PRESENT).into());
        if has_vlan(&self.flow) && self.flow.get_u64(Field::VlanTci) as u16 & VID == 0 {
            // A priority makes a tag of what is none without it.
            self.mask.add_all(Field::VlanTci);
        }
        let bridge = self.bridge;
        let in_port = self.in_port();
        let from_controller = matches!(in_port, PortNo::NONE | PortNo::CONTROLLER);
        let input = bridge.ports.get(&in_port).and_then(|port| Some((port, bridge.bundle_of(port)?)));
        if input.is_none() && !from_controller {
            return self.refuse(|| "no input bundle, dropping".to_owned());
        }
        if super::fields::eth_type(&self.flow) == ETH_TYPE_VLAN && !has_vlan(&self.flow) {
            return self.refuse(|| "dropping packet with partial VLAN tag".to_owned());
        }
        let mut tags = self.tags();
        if let Some((port, bundle)) = input {
            if bundle.is_mirror {
                return self.refuse(|| "dropping packet from a mirror's output".to_owned());
            }
            if !bundle.admits(tags[0].vid) {
                return self.refuse(|| format!("disallowed VLAN VID for port {}, dropping", port.name));
            }
            // The inner tag of the packet becomes that within the bridge, if it has one.
            self.mask.add_inner_bits(Inner::Vlan1Tci, VLAN_PRESENT.into());
            if matches!(bundle.vlan, Vlan::Dot1qTunnel { .. }) || tags[1] != Tag::default() {
                self.mask.add_inner(Inner::Vlan1Tci);
            }
            tags = bundle.incoming(tags);
            if !self.is_admissible(port, bundle, tags[0].vid) {
                return;
            }
            self.learn_address(bundle, tags[0].vid);
        }
        let own = input.map(|(_, bundle)| bundle.id);
        let vlan = tags[0].vid;
        let destination = self.flow.get_u64(Field::EthDst);
        let entry = if destination & MULTICAST == 0 { bridge.state.macs.lookup((destination, vlan)) } else { None };
        match entry {
            Some(entry) => match bridge.bundle_places.get(&entry.bundle).and_then(|at| bridge.bundles.get(*at)) {
                Some(bundle) if Some(bundle.id) == own => {
                    self.note(|| "learned port is input port, dropping".to_owned());
                }
                Some(bundle) => {
                    self.note(|| format!("forwarding to learned port {}", bundle.name));
                    self.output_bundle(bundle, &tags);
                }
                None => self.note(|| "learned port is unknown, dropping".to_owned()),
            },
            None => {
                self.note(|| "no learned MAC for destination, flooding".to_owned());
                for bundle in &bridge.bundles {
                    if Some(bundle.id) != own
                        && bundle.includes(&tags)
                        && !bundle.is_mirror
                        && self.is_floodable(bundle)
                    {
                        self.output_bundle(bundle, &tags);
                    }
                }
            }
        }
    }

    fn is_floodable(&self, bundle: &Bundle) -> bool {
        let members = bundle.members.iter().filter_map(|number| self.bridge.ports.get(number));
        !members.into_iter().any(|port| port.has(PortConfig::NO_FLOOD))
    }

    fn is_admissible(&mut self, port: &Port, bundle: &Bundle, vlan: u16) -> bool {
        let destination = self.flow.get_u64(Field::EthDst);
        if !self.bridge.settings.forward_bpdu && is_reserved(destination) {
            self.refuse(|| "packet has reserved destination MAC, dropping".to_owned());
            return false;
        }
        let Some(bond) = &bundle.bond else { return true };
        let refused = match bond.admit(port.number, destination & MULTICAST != 0) {
            Admission::Accept => false,
            Admission::Drop => true,
            Admission::DropIfMoved => {
                let source = self.flow.get_u64(Field::EthSrc);
                let known = self.bridge.state.macs.lookup((source, vlan));
                known.is_some_and(|entry| {
                    entry.bundle != bundle.id && (!self.is_gratuitous_arp() || entry.is_locked(self.now_ms))
                })
            }
        };
        if refused {
            self.refuse(|| "bonding refused admissibility, dropping".to_owned());
        }
        !refused
    }

    fn learn_address(&mut self, bundle: &Bundle, vlan: u16) {
        let gratuitous = self.is_gratuitous_arp();
        let source = self.flow.get_u64(Field::EthSrc);
        if source & MULTICAST != 0 || self.bridge.settings.flood_vlans.contains(&vlan) {
            return;
        }
        let state = &self.bridge.state;
        let mut credit = MacCredit {
            bridge: state.clone(),
            address: (source, vlan),
            bundle: bundle.id,
            gratuitous,
            bonded: bundle.bond.is_some(),
            entry: None,
        };
        if self.effects {
            let (learned, entry) = state.macs.learn(credit.address, bundle.id, gratuitous, credit.bonded, self.now_ms);
            if learned == Learned::Changed {
                self.switch.touch();
            }
            credit.entry = entry;
        } else {
            credit.entry = state.macs.lookup(credit.address);
        }
        self.others.push(Other::Mac(Box::new(credit)));
    }

    /// Out by a bundle, with the tags that it wants.
    pub(super) fn output_bundle(&mut self, bundle: &Bundle, tags: &Tags) {
        let out = bundle.outgoing(tags);
        let member = match &bundle.bond {
            None => bundle.members.first().copied(),
            Some(bond) if bond.spec.mode == BondMode::ActiveBackup => bond.active(),
            Some(bond) => {
                let hash = if bond.spec.mode == BondMode::BalanceSlb {
                    self.mask.add_all(Field::EthSrc);
                    hash::of(&[self.flow.get(Field::EthSrc), tags[0].vid.into()], 0)
                } else {
                    self.hash_fields(hash::SYMMETRIC_L4, 0)
                };
                let (member, bucket) = bond.member(hash);
                self.others.push(Other::Bond { bond: bond.clone(), bucket });
                member
            }
        };
        let Some(member) = member else { return };
        let parts = [Inner::VlanTpid, Inner::Vlan1Tci, Inner::Vlan1Tpid];
        let (tci, old) = (self.flow.get(Field::VlanTci), parts.map(|part| self.flow.inner(part)));
        self.put_tags(&out, bundle.priority_tags);
        self.send(member, true, false, None);
        self.flow.set(Field::VlanTci, tci);
        for (part, value) in parts.into_iter().zip(old) {
            self.flow.set_inner(part, value);
        }
    }
}

/// Group addresses that bridges do not relay: those of IEEE 802.1D and of some vendors, as `ovs-vswitchd.conf.db(5)` lists them.
pub(super) fn is_reserved(mac: u64) -> bool {
    matches!(
        mac,
        0x0180_c200_0000..=0x0180_c200_000f
            | 0x00e0_2b00_0000
            | 0x00e0_2b00_0004
            | 0x00e0_2b00_0006
            | 0x0100_0c00_0000
            | 0x0100_0ccc_cccc
            | 0x0100_0ccc_cccd
            | 0x0100_0ccd_cdcd
            | 0x0100_0ccc_ccc0..=0x0100_0ccc_ccc7
    )
}
