//! From what the pipeline has made of a packet's key to the operations that make the same of the packet: only of what differs from
//! what the operations so far have made of it, and only when somebody is going to see it.

use super::Translator;
use super::fields::{eth_type, has_vlan, is_ip, is_later_fragment, is_mpls};
use hive_flow::{
    ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_MPLS, ETH_TYPE_RARP, Field, Inner, Key, PROTO_ICMP,
    PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP, PROTO_UDP, VLAN_PRESENT,
};
use hive_program::Op;

/// Bottom of stack, of a label stack entry.
pub(super) const MPLS_BOTTOM: u32 = 1 << 8;
pub(super) const MPLS_LABELS: usize = 3;
const LSES: [Inner; MPLS_LABELS] = [Inner::MplsLse0, Inner::MplsLse1, Inner::MplsLse2];

const IPV4_FIELDS: [Field; 5] = [Field::Ipv4Src, Field::Ipv4Dst, Field::IpDscp, Field::IpEcn, Field::IpTtl];
const IPV6_FIELDS: [Field; 6] =
    [Field::Ipv6Src, Field::Ipv6Dst, Field::Ipv6Label, Field::IpDscp, Field::IpEcn, Field::IpTtl];
const ARP_FIELDS: [Field; 5] = [Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha, Field::ArpTha];
const ND_FIELDS: [Field; 5] = [Field::NdReserved, Field::NdTarget, Field::NdOptionsType, Field::NdSll, Field::NdTll];

/// What the stack says of itself; as many as keys hold if its bottom is not among them.
pub(super) fn labels(key: &Key) -> usize {
    if !is_mpls(key) {
        return 0;
    }
    let bottom = LSES.iter().position(|part| key.inner(*part) & MPLS_BOTTOM != 0);
    bottom.map_or(MPLS_LABELS, |at| at + 1)
}

fn lse(key: &Key, at: usize) -> u32 {
    LSES.get(at).map_or(0, |part| key.inner(*part))
}

fn set_lse(key: &mut Key, at: usize, value: u32) {
    if let Some(part) = LSES.get(at) {
        key.set_inner(*part, value);
    }
}

/// An entry on top. The entry that it comes to lie on is not looked at.
pub(super) fn push_label(key: &mut Key, count: usize, entry: u32, ether_type: u16) {
    for at in (1..=count.min(MPLS_LABELS - 1)).rev() {
        let below = lse(key, at - 1);
        set_lse(key, at, below);
    }
    set_lse(key, 0, entry);
    key.set(Field::EthType, ether_type.into());
}

pub(super) fn pop_label(key: &mut Key, count: usize, ether_type: u16) {
    for at in 1..count {
        let below = lse(key, at);
        set_lse(key, at - 1, below);
    }
    set_lse(key, count.saturating_sub(1), 0);
    key.set(Field::EthType, ether_type.into());
}

/// Entries from the bottom up that two stacks share.
fn common_labels(one: &Key, ones: usize, other: &Key, others: usize) -> usize {
    let least = ones.min(others);
    (0..least).find(|at| lse(one, ones - 1 - at) != lse(other, others - 1 - at)).unwrap_or(least)
}

impl Translator<'_> {
    /// Brings the packet up to date.
    pub(crate) fn commit(&mut self) {
        if self.has_made_vlan && has_vlan(self.original) {
            // For a tag that went and was made again nothing is to be done.
            self.mask.add_all(Field::VlanTci);
            for part in [Inner::VlanTpid, Inner::Vlan1Tci, Inner::Vlan1Tpid] {
                self.mask.add_inner(part);
            }
        }
        if self.flow == self.base {
            return;
        }
        self.commit_fields(&[Field::EthDst, Field::EthSrc]);
        if !is_mpls(&self.base) {
            self.commit_network();
        }
        self.commit_labels();
        self.commit_network();
        self.commit_vlans();
        self.commit_fields(&[Field::SkbPriority, Field::PktMark]);
    }

    fn commit_fields(&mut self, fields: &[Field]) {
        for field in fields {
            let (old, new) = (self.base.get(*field), self.flow.get(*field));
            if old == new {
                continue;
            }
            // All of it is known: then the packet's own value does not matter.
            let known = self.mask.get(*field) == field.full_mask();
            let mask = if known { field.full_mask() } else { old ^ new };
            self.ops.push(Op::Set { field: *field, value: new & mask, mask });
            self.base.set(*field, new);
        }
    }

    fn commit_network(&mut self) {
        let kind = eth_type(&self.flow);
        // Behind labels that were popped the key has nothing, and nothing was set.
        if kind != eth_type(&self.base) || self.was_mpls {
            return;
        }
        match kind {
            ETH_TYPE_IPV4 => self.commit_fields(&IPV4_FIELDS),
            ETH_TYPE_IPV6 => self.commit_fields(&IPV6_FIELDS),
            ETH_TYPE_ARP | ETH_TYPE_RARP => return self.commit_fields(&ARP_FIELDS),
            _ => return,
        }
        debug_assert!(is_ip(&self.flow));
        if is_later_fragment(&self.flow) {
            return;
        }
        match self.flow.get_u64(Field::IpProto) as u8 {
            PROTO_TCP | PROTO_UDP | PROTO_SCTP => self.commit_fields(&[Field::TpSrc, Field::TpDst]),
            PROTO_ICMP => self.commit_fields(&[Field::IcmpType, Field::IcmpCode]),
            PROTO_ICMPV6 => {
                self.commit_fields(&[Field::IcmpType, Field::IcmpCode]);
                let neighbour = matches!(self.base.get_u64(Field::IcmpType), 135 | 136) && kind == ETH_TYPE_IPV6;
                if neighbour && self.base.get(Field::IcmpCode) == 0 {
                    self.commit_fields(&ND_FIELDS);
                }
            }
            _ => {}
        }
    }

    fn commit_labels(&mut self) {
        let (mut old, new) = (labels(&self.base), labels(&self.flow));
        if old == 0 && new == 0 {
            return;
        }
        let shown = |key: &Key| LSES.map(|part| key.inner(part));
        if (old, eth_type(&self.base)) == (new, eth_type(&self.flow)) && shown(&self.base) == shown(&self.flow) {
            return;
        }
        // What is compared, and what is pushed, must be known: of stacks of one height it is what differs, and that was written.
        let written = |part: Inner| (self.base.inner(part) ^ self.flow.inner(part)) & !self.mask.inner(part) == 0;
        if new != 0 && (old != new || !LSES.into_iter().all(written)) {
            for part in LSES.into_iter().take(labels(self.original)) {
                self.mask.add_inner(part);
            }
        }
        let mut common = common_labels(&self.flow, new, &self.base, old);
        while old > common {
            if old - 1 == common && new > common {
                let (was, is) = (lse(&self.base, 0), lse(&self.flow, new - old));
                for (field, shift, bits) in [(Field::MplsLabel, 12, 20), (Field::MplsTc, 9, 3), (Field::MplsTtl, 0, 8)]
                {
                    let part = |entry: u32| u128::from(entry >> shift & ((1 << bits) - 1));
                    if part(was) != part(is) {
                        self.ops.push(Op::Set { field, value: part(is), mask: field.full_mask() });
                    }
                }
                set_lse(&mut self.base, 0, is);
                common += 1;
            } else {
                let kind = if new == 0 && old > 1 { ETH_TYPE_MPLS } else { eth_type(&self.flow) };
                self.ops.push(Op::PopMpls { ether_type: kind });
                pop_label(&mut self.base, old, kind);
                old -= 1;
            }
        }
        while old < new {
            let (kind, entry) = (eth_type(&self.flow), lse(&self.flow, new - old - 1));
            self.ops.push(Op::PushMpls { ether_type: kind, lse: entry });
            push_label(&mut self.base, old, entry, kind);
            old += 1;
        }
        // The type of a stack whose entries are all the same may differ yet.
        if is_mpls(&self.flow) {
            self.base.set(Field::EthType, self.flow.get(Field::EthType));
        }
    }

    fn commit_vlans(&mut self) {
        let tags = |key: &Key| {
            let outer = (key.get_u64(Field::VlanTci) as u16, key.inner(Inner::VlanTpid) as u16);
            let inner = (key.inner(Inner::Vlan1Tci) as u16, key.inner(Inner::Vlan1Tpid) as u16);
            [outer, inner]
        };
        let (old, new) = (tags(&self.base), tags(&self.flow));
        if old == new {
            return;
        }
        let count = |tags: &[(u16, u16); 2]| tags.iter().take_while(|(tci, _)| tci & VLAN_PRESENT != 0).count();
        let (mut old_left, mut new_left) = (count(&old), count(&new));
        while old_left > 0 && new_left > 0 && old[old_left - 1] == new[new_left - 1] {
            old_left -= 1;
            new_left -= 1;
        }
        if old_left > 0 && has_vlan(self.original) {
            self.mask.add_all(Field::VlanTci);
            self.mask.add_inner(Inner::VlanTpid);
            if old_left > 1 {
                self.mask.add_inner(Inner::Vlan1Tci);
                self.mask.add_inner(Inner::Vlan1Tpid);
            }
        }
        for _ in 0..old_left {
            self.ops.push(Op::PopVlan);
        }
        for at in (0..new_left).rev() {
            let (tci, tpid) = new[at];
            self.ops.push(Op::PushVlan { tpid, tci });
        }
        self.base.set(Field::VlanTci, self.flow.get(Field::VlanTci));
        for part in [Inner::VlanTpid, Inner::Vlan1Tci, Inner::Vlan1Tpid] {
            self.base.set_inner(part, self.flow.inner(part));
        }
    }
}
