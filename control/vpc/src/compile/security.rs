//! What an interface may send (source check) and what it gets (destination check).

use super::Compiler;
use super::index::Local;
use crate::flow::register::{RECEIVER, SENDER};
use crate::flow::{ARP_REPLY, ARP_REQUEST, Family, Pattern, Table, goto, host, output};
use crate::flow_log;
use crate::source::{Direction, Source};
use hive_flow::{Field, PROTO_ICMPV6, PROTO_UDP};
use std::net::{IpAddr, Ipv4Addr};

pub(super) const DHCP_CLIENT: u16 = 68;
pub(super) const DHCP_SERVER: u16 = 67;
pub(super) const ND_SOLICIT: u8 = 135;
pub(super) const ND_ADVERT: u8 = 136;

impl Compiler<'_> {
    pub(super) fn port_security(&mut self) {
        for local in self.index.locals.clone() {
            self.sources_of(local);
            self.destinations_of(local);
        }
    }

    fn sources_of(&mut self, local: Local<'_>) {
        let mac = local.interface.mac;
        let sent = || Pattern::new().reg(SENDER, local.number.0.into()).eth_from(mac);
        let mut allow = |priority, pattern| {
            let source = Source::Interface(local.id.clone());
            self.add(Table::PortSecurity, priority, pattern, source, vec![goto(Table::Local)]);
        };
        let addresses = local.interface.addresses();
        let v4 = addresses.iter().filter_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        // A probe for an address (RFC 5227) is from none.
        for address in v4.chain([Ipv4Addr::UNSPECIFIED]) {
            for operation in [ARP_REQUEST, ARP_REPLY] {
                let arp = sent().arp(operation).with(Field::ArpSha, mac.number());
                allow(100, arp.with(Field::ArpSpa, address.to_bits()));
            }
        }
        let dhcp = sent().from(host(IpAddr::V4(Ipv4Addr::UNSPECIFIED))).to(host(IpAddr::V4(Ipv4Addr::BROADCAST)));
        let dhcp = dhcp.protocol(PROTO_UDP).with(Field::TpSrc, DHCP_CLIENT).with(Field::TpDst, DHCP_SERVER);
        allow(100, dhcp);
        let has_ipv6 = !local.interface.ipv6.is_empty();
        let own = addresses.iter().copied().chain(has_ipv6.then(|| IpAddr::V6(mac.link_local())));
        for address in own {
            allow(100, sent().from(host(address)));
            if address.is_ipv6() {
                // An answer needs the option that says where to; what it says must be true.
                let solicitation = sent().from(host(address)).protocol(PROTO_ICMPV6);
                let solicitation = solicitation.with(Field::IcmpType, ND_SOLICIT).with(Field::IcmpCode, 0_u8);
                allow(300, solicitation.with(Field::NdSll, mac.number()));
            }
        }
        if !local.interface.source_dest_check {
            allow(50, sent().ip(Family::V4));
            if has_ipv6 {
                allow(50, sent().ip(Family::V6));
            }
        }
        if has_ipv6 {
            for kind in [ND_SOLICIT, ND_ADVERT] {
                let pattern = sent().ip(Family::V6).protocol(PROTO_ICMPV6).with(Field::IcmpType, kind);
                self.add(Table::PortSecurity, 200, pattern, Source::Interface(local.id.clone()), Vec::new());
            }
        }
    }

    fn destinations_of(&mut self, local: Local<'_>) {
        let received = || Pattern::new().reg(RECEIVER, local.number.0.into());
        let mut deliver = |pattern| {
            let sample = self.sample(local, Direction::Ingress, flow_log::Action::Accept);
            let actions = sample.into_iter().chain([output(local.port)]).collect();
            self.add(Table::Deliver, 100, pattern, Source::Interface(local.id.clone()), actions);
        };
        if local.interface.source_dest_check {
            local.interface.addresses().into_iter().for_each(|address| deliver(received().to(host(address))));
        } else {
            deliver(received());
        }
    }
}
