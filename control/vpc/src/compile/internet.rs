//! The internet gateway: Elastic IPs are private addresses' other names, which instances never see. No state.

use super::Compiler;
use super::index::Local;
use super::local::{answer_arp, answer_solicitation, arp_for, cidr, solicitation_for};
use crate::flow::register::{CROSSES, FLAGS, FROM_INTERNET, RECEIVER, SENDER, TARGET, TOO_LONG};
use crate::flow::{Family, Pattern, Table, again, ct, goto, host, output, set, set_destination, set_mac, set_reg};
use crate::model::{MacAddress, Vpc};
use crate::node::{LocalNumber, Uplink};
use crate::source::Source;
use hive_openflow::{Action, OxmField, PortNo};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From the uplink to the hop inside.
pub(super) fn inwards(vpc: &Vpc, mac: MacAddress) -> Vec<Action> {
    vec![
        set(OxmField::Metadata, vpc.vni.bits()),
        set_reg(TARGET, 0),
        set_reg(FLAGS, CROSSES | FROM_INTERNET),
        set_reg(SENDER, 0),
        set_mac(OxmField::EthSrc, vpc.vni.router_mac()),
        set_mac(OxmField::EthDst, mac),
        goto(Table::NextHop),
    ]
}

/// To the next router.
pub(super) fn outwards(uplink: Uplink) -> [Action; 2] {
    [set_mac(OxmField::EthSrc, uplink.mac), set_mac(OxmField::EthDst, uplink.gateway_mac)]
}

impl Compiler<'_> {
    pub(super) fn internet(&mut self) {
        let Some(uplink) = self.index.node.uplink else { return };
        let of_table = |table| Source::Table(table);
        let nats = self.index.local_nats.iter();
        let nats = nats.map(|nat| (nat.number, nat.gateway.private, Source::NatGateway(nat.id.clone())));
        let nats = nats.collect();
        self.too_long(Table::Internet, uplink.mtu_bytes, nats);
        // A NAT gateway whose ports are all in use leaves the packet as it was.
        let invalid = Pattern::new().ct_state(ct::TRACKED | ct::INVALID, ct::TRACKED | ct::INVALID);
        self.add(Table::Public, 300, invalid, of_table(Table::Public), Vec::new());
        for family in Family::BOTH {
            let pattern = Pattern::new().ip(family);
            self.add(Table::Public, 100, pattern, of_table(Table::Public), vec![output(uplink.port)]);
        }
        let from_nowhere = [
            cidr(Ipv4Addr::UNSPECIFIED.into(), 8),
            cidr(Ipv4Addr::LOCALHOST.into(), 8),
            cidr(Ipv4Addr::new(169, 254, 0, 0).into(), 16),
            cidr(Ipv4Addr::new(224, 0, 0, 0).into(), 3),
            cidr(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
            cidr(Ipv6Addr::LOCALHOST.into(), 128),
        ];
        for cidr in from_nowhere {
            let pattern = Pattern::new().from(cidr);
            self.add(Table::UplinkIn, 300, pattern, of_table(Table::UplinkIn), Vec::new());
        }
        for (allocation, public, private, local) in self.index.public_addresses() {
            let source = Source::Address(allocation.clone());
            let pattern = Pattern::new().reg(SENDER, local.number.0.into()).from(host(private.into()));
            let actions = [vec![set(OxmField::Ipv4Src, public.to_bits())], outwards(uplink).into()].concat();
            let actions = [actions, vec![goto(Table::Public)]].concat();
            self.add(Table::Internet, 100, pattern, source.clone(), actions);
            let mut actions = vec![set_destination(private.into())];
            actions.extend(inwards(local.place.vpc, local.interface.mac));
            self.public_address(uplink, public, source, actions);
        }
        for local in self.index.locals.clone() {
            if self.index.is_public(local.place) {
                self.ipv6(uplink, local);
            }
        }
    }

    /// What is too long is answered in the place of a router; the services port does that. `others`: senders beside interfaces, each
    /// with the address that answers it.
    pub(super) fn too_long(&mut self, table: Table, mtu_bytes: u16, others: Vec<(LocalNumber, Ipv4Addr, Source)>) {
        let too_long = |pattern: Pattern| pattern.flags(TOO_LONG, TOO_LONG);
        self.add(table, 300, too_long(Pattern::new()), Source::Table(table), Vec::new());
        let Some(services) = self.index.node.services else { return };
        let locals = self.index.locals.iter();
        let locals = locals.map(|at| (at.number, at.place.subnet.router(), Source::Interface(at.id.clone())));
        for (LocalNumber(number), router, source) in locals.chain(others).collect::<Vec<_>>() {
            let tun_id = u64::from(mtu_bytes) << 32 | u64::from(number);
            let actions = vec![set(OxmField::TunId, tun_id), set(OxmField::TunSrc, router.to_bits()), output(services)];
            let pattern = too_long(Pattern::new().ip(Family::V4).reg(SENDER, number.into()));
            self.add(table, 310, pattern, source, actions);
        }
    }

    /// A public IPv4 address of this node.
    pub(super) fn public_address(&mut self, uplink: Uplink, public: Ipv4Addr, source: Source, actions: Vec<Action>) {
        let asked = arp_for(Pattern::new(), public);
        self.add(Table::UplinkIn, 200, asked, source.clone(), answer_arp(public, uplink.mac));
        let pattern = Pattern::new().eth_to(uplink.mac).to(host(public.into()));
        self.add(Table::UplinkIn, 200, pattern, source.clone(), actions);
        self.turn_back(uplink, public.into(), source);
    }

    /// IPv6 addresses are public already.
    fn ipv6(&mut self, uplink: Uplink, local: Local<'_>) {
        for address in local.interface.ipv6.clone() {
            let source = Source::Interface(local.id.clone());
            let own = host(IpAddr::V6(address));
            let pattern = Pattern::new().reg(SENDER, local.number.0.into()).from(own);
            let actions = [outwards(uplink).to_vec(), vec![goto(Table::Public)]].concat();
            self.add(Table::Internet, 100, pattern, source.clone(), actions);
            let asked = solicitation_for(Pattern::new(), address);
            let answer = answer_solicitation(address, uplink.mac, true);
            self.add(Table::UplinkIn, 250, asked, source.clone(), answer);
            let pattern = Pattern::new().eth_to(uplink.mac).to(own);
            self.add(Table::UplinkIn, 200, pattern, source.clone(), inwards(local.place.vpc, local.interface.mac));
            self.turn_back(uplink, address.into(), source);
        }
    }

    /// To an address of this node: as if it came in. The port it came from may be the one it goes to, so that is forgotten.
    fn turn_back(&mut self, uplink: Uplink, address: IpAddr, source: Source) {
        let actions = vec![
            set(OxmField::InPort, PortNo(0).0),
            set_reg(RECEIVER, 0),
            set_mac(OxmField::EthDst, uplink.mac),
            again(Table::UplinkIn),
        ];
        self.add(Table::Public, 200, Pattern::new().to(host(address)), source, actions);
    }
}
