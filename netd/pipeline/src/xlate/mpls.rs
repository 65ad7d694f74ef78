//! MPLS. What is behind the labels no key shows: once they are gone, the packet must be looked at again before anything that asks
//! for it.

use super::Translator;
use super::commit::{MPLS_BOTTOM, MPLS_LABELS, labels, pop_label, push_label};
use super::fields::{is_ip, is_mpls};
use hive_flow::{ETH_TYPE_IPV6, ETH_TYPE_MPLS, ETH_TYPE_MPLS_MULTICAST, Field, Inner, Key};
use hive_openflow::{Action, HeaderField, OxmField};

const LABEL_IPV4_EXPLICIT_NULL: u32 = 0;
const LABEL_IPV6_EXPLICIT_NULL: u32 = 2;
const TTL_DEFAULT: u32 = 64;

/// What a packet has behind its label stack: unknown while it has one.
const INNER_WORDS: [std::ops::Range<usize>; 4] = [3..6, 8..12, 13..20, 22..23];

/// Whether the action asks for what is behind labels that were popped.
pub(super) fn needs_inner(action: &Action) -> bool {
    match action {
        Action::Output { .. }
        | Action::OutputTrunc { .. }
        | Action::OutputReg { .. }
        | Action::Enqueue { .. }
        | Action::SetVlanVid { .. }
        | Action::SetVlanPcp { .. }
        | Action::SetQueue(_)
        | Action::Group(_) => false,
        Action::SetHeader { field, .. } => {
            !matches!(field, HeaderField::EthSrc | HeaderField::EthDst | HeaderField::Tunnel32 | HeaderField::Tunnel64)
        }
        Action::SetField { field, .. } => matches!(
            field,
            OxmField::Ipv4Src
                | OxmField::Ipv4Dst
                | OxmField::Ipv6Src
                | OxmField::Ipv6Dst
                | OxmField::Ipv6Label
                | OxmField::IpTos
                | OxmField::IpDscp
                | OxmField::IpEcn
                | OxmField::IpTtl
                | OxmField::TcpSrc
                | OxmField::TcpDst
                | OxmField::UdpSrc
                | OxmField::UdpDst
                | OxmField::SctpSrc
                | OxmField::SctpDst
                | OxmField::Icmpv4Type
                | OxmField::Icmpv4Code
                | OxmField::Icmpv6Type
                | OxmField::Icmpv6Code
                | OxmField::NdTarget
                | OxmField::NdSll
                | OxmField::NdTll
                | OxmField::NdReserved
                | OxmField::NdOptionsType
                | OxmField::ArpOp
                | OxmField::ArpSpa
                | OxmField::ArpTpa
                | OxmField::ArpSha
                | OxmField::ArpTha
                | OxmField::MplsLabel
                | OxmField::MplsTc
                | OxmField::MplsTtl
        ),
        _ => true,
    }
}

fn clear_inner(key: &mut Key) {
    for range in INNER_WORDS {
        if let Some(words) = key.words.get_mut(range) {
            words.fill(0);
        }
    }
    key.set(Field::DpHash, 0);
}

impl Translator<'_> {
    /// Labels, of which each one's place in the stack was looked at.
    fn count_labels(&mut self) -> usize {
        let count = labels(&self.flow);
        for part in [Inner::MplsLse0, Inner::MplsLse1, Inner::MplsLse2].into_iter().take(count) {
            self.mask.add_inner_bits(part, MPLS_BOTTOM);
        }
        count
    }

    pub(super) fn push_mpls(&mut self, ether_type: u16) {
        let count = self.count_labels();
        if count >= MPLS_LABELS {
            self.note(|| "one MPLS label too many".to_owned());
            self.error = Some(hive_program::DropReason::TooComplex);
            return;
        }
        let entry = if count == 0 {
            // Behind a label nothing can be set any more.
            self.commit();
            let mut label = LABEL_IPV4_EXPLICIT_NULL;
            if super::fields::eth_type(&self.flow) == ETH_TYPE_IPV6 {
                label = LABEL_IPV6_EXPLICIT_NULL;
            }
            let (mut class, mut ttl) = (0, TTL_DEFAULT);
            if is_ip(&self.flow) {
                self.mask.add_all(Field::IpDscp);
                self.mask.add_all(Field::IpTtl);
                class = self.flow.get_u64(Field::IpDscp) as u32 & 7;
                ttl = match self.flow.get_u64(Field::IpTtl) as u32 {
                    0 => TTL_DEFAULT,
                    ttl => ttl,
                };
            }
            clear_inner(&mut self.flow);
            label << 12 | class << 9 | MPLS_BOTTOM | ttl
        } else {
            for part in [Inner::MplsLse0, Inner::MplsLse1].into_iter().take(count) {
                self.mask.add_inner(part);
            }
            self.flow.inner(Inner::MplsLse0) & !MPLS_BOTTOM
        };
        push_label(&mut self.flow, count, entry, ether_type);
    }

    pub(super) fn pop_mpls(&mut self, ether_type: u16) {
        let count = self.count_labels();
        if count == 0 {
            return;
        }
        if count == MPLS_LABELS && self.flow.inner(Inner::MplsLse2) & MPLS_BOTTOM == 0 {
            self.note(|| "the bottom of the MPLS stack is out of sight".to_owned());
            self.error = Some(hive_program::DropReason::TooComplex);
            return;
        }
        for part in [Inner::MplsLse1, Inner::MplsLse2].into_iter().take(count - 1) {
            self.mask.add_inner(part);
        }
        pop_label(&mut self.flow, count, ether_type);
        if !matches!(ether_type, ETH_TYPE_MPLS | ETH_TYPE_MPLS_MULTICAST) {
            // Whatever was pushed and popped again within this translation is known no more either.
            self.was_mpls = true;
        }
        debug_assert!(is_mpls(&self.flow) || self.was_mpls);
    }
}
