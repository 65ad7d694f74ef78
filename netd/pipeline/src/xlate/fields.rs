//! Reading and writing fields of the packet that is translated. Each bit that is read, or written, is a bit that the translation
//! depends on: of a written one because nothing is emitted if it had that value already.

use super::Translator;
use hive_flow::{
    ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_MPLS, ETH_TYPE_MPLS_MULTICAST, ETH_TYPE_RARP, ETH_TYPE_VLAN,
    FRAG_LATER, Field, Inner, Key, PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP, PROTO_UDP, VLAN_PRESENT,
};
use hive_openflow::{OxmField, Subfield};

pub(crate) fn eth_type(key: &Key) -> u16 {
    key.get_u64(Field::EthType) as u16
}

pub(crate) fn is_ip(key: &Key) -> bool {
    matches!(eth_type(key), ETH_TYPE_IPV4 | ETH_TYPE_IPV6)
}

pub(crate) fn is_mpls(key: &Key) -> bool {
    matches!(eth_type(key), ETH_TYPE_MPLS | ETH_TYPE_MPLS_MULTICAST)
}

pub(crate) fn is_later_fragment(key: &Key) -> bool {
    key.get_u64(Field::IpFrag) as u8 & FRAG_LATER != 0
}

pub(crate) fn vlan_tci(key: &Key) -> u16 {
    key.get_u64(Field::VlanTci) as u16
}

pub(crate) fn has_vlan(key: &Key) -> bool {
    vlan_tci(key) & VLAN_PRESENT != 0
}

pub(crate) fn ones(bits: u32) -> u128 {
    u128::MAX.checked_shr(128 - bits.min(128)).unwrap_or(0)
}

impl Translator<'_> {
    fn protocol(&mut self) -> u8 {
        self.mask.add_all(Field::IpProto);
        self.flow.get_u64(Field::IpProto) as u8
    }

    fn is_protocol(&mut self, protocol: u8) -> bool {
        is_ip(&self.flow) && self.protocol() == protocol && !is_later_fragment(&self.flow)
    }

    fn is_neighbour(&mut self) -> Option<u8> {
        if eth_type(&self.flow) != ETH_TYPE_IPV6 || !self.is_protocol(PROTO_ICMPV6) {
            return None;
        }
        self.mask.add_all(Field::IcmpCode);
        if self.flow.get(Field::IcmpCode) != 0 {
            return None;
        }
        self.mask.add_all(Field::IcmpType);
        let kind = self.flow.get_u64(Field::IcmpType) as u8;
        matches!(kind, 135 | 136).then_some(kind)
    }

    /// Whether the packet has the field: a packet that has not is left as it is.
    pub(crate) fn has(&mut self, field: OxmField) -> bool {
        use OxmField as F;
        let kind = eth_type(&self.flow);
        match field {
            F::VlanPcp => has_vlan(&self.flow),
            F::MplsTc | F::MplsBos | F::MplsTtl | F::MplsLabel => is_mpls(&self.flow),
            F::Ipv4Src | F::Ipv4Dst => kind == ETH_TYPE_IPV4,
            F::Ipv6Src | F::Ipv6Dst | F::Ipv6Label => kind == ETH_TYPE_IPV6,
            F::IpFrag | F::IpTos | F::IpDscp | F::IpEcn | F::IpTtl | F::IpProto => is_ip(&self.flow),
            F::TcpSrc | F::TcpDst | F::TcpFlags => self.is_protocol(PROTO_TCP),
            F::UdpSrc | F::UdpDst => self.is_protocol(PROTO_UDP),
            F::SctpSrc | F::SctpDst => self.is_protocol(PROTO_SCTP),
            F::Icmpv4Type | F::Icmpv4Code => kind == ETH_TYPE_IPV4 && self.is_protocol(PROTO_ICMP),
            F::Icmpv6Type | F::Icmpv6Code => kind == ETH_TYPE_IPV6 && self.is_protocol(PROTO_ICMPV6),
            F::NdReserved | F::NdTarget | F::NdOptionsType => self.is_neighbour().is_some(),
            F::NdSll => self.is_neighbour() == Some(135),
            F::NdTll => self.is_neighbour() == Some(136),
            F::ArpOp | F::ArpSpa | F::ArpTpa | F::ArpSha | F::ArpTha => matches!(kind, ETH_TYPE_ARP | ETH_TYPE_RARP),
            F::CtNwSrc | F::CtNwDst | F::CtIpv6Src | F::CtIpv6Dst | F::CtNwProto | F::CtTpSrc | F::CtTpDst => {
                is_ip(&self.flow)
            }
            _ => true,
        }
    }

    /// 0 if the packet has no such field.
    pub(crate) fn read(&mut self, subfield: Subfield) -> u128 {
        if !self.has(subfield.field) {
            return 0;
        }
        let mut value = 0;
        for part in subfield.parts() {
            self.mask.add(part.field, ones(part.bits) << part.offset);
            value |= (self.flow.get(part.field) >> part.offset & ones(part.bits)) << part.view_offset;
        }
        value
    }

    /// Bits of the view where the mask has ones; nothing if the packet has no such field.
    pub(crate) fn write(&mut self, subfield: Subfield, value: u128, mask: u128) {
        if !self.has(subfield.field) {
            return;
        }
        let (mut vlan, had_vlan) = (false, has_vlan(&self.flow));
        for part in subfield.parts() {
            let place = |view: u128| (view >> part.view_offset & ones(part.bits)) << part.offset;
            let (value, mask) = (place(value), place(mask));
            self.mask.add(part.field, mask);
            let old = self.flow.get(part.field);
            self.flow.set(part.field, old & !mask | value & mask);
            vlan |= part.field == Field::VlanTci;
        }
        if vlan {
            self.has_made_vlan |= !had_vlan;
            self.fix_vlan_tpid();
        }
    }

    pub(crate) fn write_field(&mut self, field: OxmField, value: u128, mask: u128) {
        self.write(Subfield::whole_view(field), value, mask);
    }

    /// A tag that was written into being has a type, one that was written away has none.
    fn fix_vlan_tpid(&mut self) {
        if !has_vlan(&self.flow) {
            self.flow.set_inner(Inner::VlanTpid, 0);
        } else if self.flow.inner(Inner::VlanTpid) == 0 {
            self.flow.set_inner(Inner::VlanTpid, ETH_TYPE_VLAN.into());
        }
    }

    /// A header field that is a [`Field`] of its own.
    pub(crate) fn set(&mut self, field: Field, value: u128) {
        self.mask.add_all(field);
        self.flow.set(field, value);
    }

    /// Protocol and ports, as OpenFlow 1.0 sets them: of whatever transport there is.
    pub(crate) fn set_port(&mut self, field: Field, value: u64) {
        if is_ip(&self.flow)
            && !is_later_fragment(&self.flow)
            && matches!(self.protocol(), PROTO_TCP | PROTO_UDP | PROTO_SCTP)
        {
            self.set(field, value.into());
        }
    }

    pub(crate) fn pop_vlan(&mut self) {
        if !has_vlan(&self.flow) {
            return;
        }
        for part in [Inner::Vlan1Tci, Inner::Vlan1Tpid] {
            self.mask.add_inner(part);
        }
        let (tci, tpid) = (self.flow.inner(Inner::Vlan1Tci), self.flow.inner(Inner::Vlan1Tpid));
        self.flow.set(Field::VlanTci, tci.into());
        self.flow.set_inner(Inner::VlanTpid, tpid);
        self.flow.set_inner(Inner::Vlan1Tci, 0);
        self.flow.set_inner(Inner::Vlan1Tpid, 0);
    }

    /// An empty tag; what was the second one is beyond what keys hold.
    pub(crate) fn push_vlan(&mut self, tpid: u16) {
        if has_vlan(&self.flow) {
            self.mask.add_all(Field::VlanTci);
            // The inner tag goes, unless the outer one, which takes its place, is the same.
            for part in [Inner::VlanTpid, Inner::Vlan1Tci, Inner::Vlan1Tpid] {
                self.mask.add_inner(part);
            }
        }
        self.has_made_vlan = true;
        let (tci, old_tpid) = (self.flow.get(Field::VlanTci), self.flow.inner(Inner::VlanTpid));
        self.flow.set_inner(Inner::Vlan1Tci, tci as u32);
        self.flow.set_inner(Inner::Vlan1Tpid, old_tpid);
        self.flow.set(Field::VlanTci, VLAN_PRESENT.into());
        self.flow.set_inner(Inner::VlanTpid, tpid.into());
    }
}
