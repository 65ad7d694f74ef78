//! Actions that change one header.

use super::Translator;
use super::fields::{eth_type, has_vlan, is_ip, is_mpls};
use crate::credit::Other;
use hive_flow::{ETH_TYPE_IPV4, ETH_TYPE_VLAN, Field, Inner, VLAN_PRESENT};
use hive_openflow::{HeaderField, PacketInReason, PortNo};

impl Translator<'_> {
    /// `push`: a packet without a tag gets one.
    pub(super) fn set_vlan(&mut self, bits: u16, mask: u16, push: bool) {
        self.mask.add(Field::VlanTci, (mask | VLAN_PRESENT).into());
        if !has_vlan(&self.flow) {
            if !push {
                return;
            }
            self.has_made_vlan = true;
        }
        if self.flow.inner(Inner::VlanTpid) == 0 {
            self.flow.set_inner(Inner::VlanTpid, ETH_TYPE_VLAN.into());
        }
        let tci = super::fields::vlan_tci(&self.flow) & !mask | bits & mask | VLAN_PRESENT;
        self.flow.set(Field::VlanTci, tci.into());
    }

    /// The actions of OpenFlow 1.0 and 1.1: without effect on a packet that has no such header.
    pub(super) fn set_header(&mut self, field: HeaderField, value: u64) {
        use HeaderField as H;
        let number = u128::from(value);
        match field {
            H::EthSrc => self.set(Field::EthSrc, number),
            H::EthDst => self.set(Field::EthDst, number),
            H::Ipv4Src if eth_type(&self.flow) == ETH_TYPE_IPV4 => self.set(Field::Ipv4Src, number),
            H::Ipv4Dst if eth_type(&self.flow) == ETH_TYPE_IPV4 => self.set(Field::Ipv4Dst, number),
            H::IpTos if is_ip(&self.flow) => self.set(Field::IpDscp, number >> 2),
            H::IpEcn if is_ip(&self.flow) => self.set(Field::IpEcn, number),
            H::IpTtl if is_ip(&self.flow) => self.set(Field::IpTtl, number),
            H::TpSrc => self.set_port(Field::TpSrc, value),
            H::TpDst => self.set_port(Field::TpDst, value),
            H::MplsLabel if is_mpls(&self.flow) => self.set(Field::MplsLabel, number),
            H::MplsTc if is_mpls(&self.flow) => self.set(Field::MplsTc, number),
            H::MplsTtl if is_mpls(&self.flow) => self.set(Field::MplsTtl, number),
            H::Tunnel32 | H::Tunnel64 => self.set(Field::TunId, number),
            _ => {}
        }
    }

    /// False: it has run out, the controllers with these ids are told, and the list ends here.
    pub(super) fn dec_ttl(&mut self, controllers: &[u16]) -> bool {
        if !is_ip(&self.flow) {
            return true;
        }
        self.mask.add_all(Field::IpTtl);
        let ttl = self.flow.get(Field::IpTtl);
        if ttl > 1 {
            self.flow.set(Field::IpTtl, ttl - 1);
            return true;
        }
        for id in controllers {
            self.punt(u16::MAX, *id, PacketInReason::InvalidTtl, &[], None);
        }
        self.reason = hive_program::DropReason::TtlExpired;
        false
    }

    pub(super) fn dec_mpls_ttl(&mut self) -> bool {
        if !is_mpls(&self.flow) {
            return true;
        }
        self.mask.add_all(Field::MplsTtl);
        let ttl = self.flow.get(Field::MplsTtl);
        if ttl > 1 {
            self.flow.set(Field::MplsTtl, ttl - 1);
            return true;
        }
        self.punt(u16::MAX, 0, PacketInReason::InvalidTtl, &[], None);
        self.reason = hive_program::DropReason::TtlExpired;
        false
    }

    pub(super) fn fin_timeout(&mut self, idle_s: u16, hard_s: u16) {
        self.mask.add_all(Field::IpProto);
        if let Some(rule) = &self.rule {
            self.others.push(Other::Fin { usage: rule.usage.clone(), idle_s, hard_s });
        }
    }

    pub(super) fn enqueue(&mut self, port: PortNo, queue: u32, last: bool) {
        let port = if port == PortNo::IN_PORT {
            self.in_port()
        } else if port == self.in_port() {
            return;
        } else {
            port
        };
        let old = self.flow.get(Field::SkbPriority);
        self.set(Field::SkbPriority, queue.into());
        self.send(port, true, last, None);
        self.flow.set(Field::SkbPriority, old);
    }
}
