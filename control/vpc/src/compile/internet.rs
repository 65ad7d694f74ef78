//! The internet gateway: Elastic IPs are private addresses' other names, which instances never see. No state.

use super::Compiler;
use super::index::{Local, Place, route_table};
use super::local::{answer_arp, answer_solicitation, arp_for, cidr, solicitation_for};
use crate::flow::register::{
    CROSSES, FLAGS, FROM_INTERNET, RECEIVER, ROUTE_TABLE, SENDER, TARGET, TO_EGRESS_ONLY, TO_INTERNET, TOO_LONG,
};
use crate::flow::{
    Family, Pattern, Table, again, ct, goto, host, keep, output, set, set_destination, set_mac, set_reg, track_in,
};
use crate::model::{MacAddress, RouteTarget, Vpc};
use crate::node::{LocalNumber, Uplink};
use crate::source::Source;
use hive_openflow::{Action, OxmField, PortNo};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Of all that leaves by egress-only gateways, whose addresses are nobody else's: no [`LocalNumber`].
pub(super) const EGRESS_ONLY_ZONE: u16 = u16::MAX;

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
        self.too_long(Table::Internet, uplink.mtu_bytes, nats, &[]);
        self.add(Table::Internet, 300, Pattern::new().flags(TOO_LONG, TOO_LONG), of_table(Table::Internet), Vec::new());
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
            self.ipv6(uplink, local);
        }
        let answers = Source::Table(Table::EgressOnly);
        for state in [ct::ESTABLISHED, ct::RELATED] {
            let wanted = ct::TRACKED | ct::REPLY | state;
            let answer = Pattern::new().ct_state(wanted, wanted | ct::INVALID);
            self.add(Table::EgressOnly, 300, answer, answers.clone(), vec![Action::CtClear, again(Table::NextHop)]);
        }
    }

    /// What is too long is answered in the place of a router; the services port does that, of IPv6 by the router's link-local address.
    /// `others`: senders beside interfaces, each with the address that answers it. `first`: what is done with the packet before.
    pub(super) fn too_long(
        &mut self,
        table: Table,
        mtu_bytes: u16,
        others: Vec<(LocalNumber, Ipv4Addr, Source)>,
        first: &[Action],
    ) {
        let Some(services) = self.index.node.services else { return };
        let locals = self.index.locals.iter().flat_map(|at| {
            let source = Source::Interface(at.id.clone());
            [(at.number, Some(at.place.subnet.router()), source.clone()), (at.number, None, source)]
        });
        let others = others.into_iter().map(|(number, address, source)| (number, Some(address), source));
        for (LocalNumber(number), router, source) in locals.chain(others).collect::<Vec<_>>() {
            let tun_id = u64::from(mtu_bytes) << 32 | u64::from(number);
            let family = if router.is_some() { Family::V4 } else { Family::V6 };
            let router = router.map(|router| set(OxmField::TunSrc, router.to_bits()));
            let told = [Some(set(OxmField::TunId, tun_id)), router, Some(output(services))];
            let actions = first.iter().cloned().chain(told.into_iter().flatten()).collect();
            let pattern = Pattern::new().ip(family).reg(SENDER, number.into()).flags(TOO_LONG, TOO_LONG);
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

    /// By which of the two gateways something comes to a subnet that has both follows from where its sender is routed to.
    fn ways_in(&mut self, place: Place<'_>) {
        let (id, number) = (route_table(place), self.index.route_table_number(place));
        for (cidr, (destination, target)) in self.index.routes(place).iter().filter(|(cidr, _)| cidr.addr().is_ipv6()) {
            let actions = if self.index.is_attached(target, place.vpc_id) {
                vec![Action::CtClear, again(Table::NextHop)]
            } else if self.index.is_egress_only(target, place.vpc_id) {
                Vec::new()
            } else {
                continue;
            };
            let source = Source::Route { table: id.clone(), destination: destination.clone() };
            let pattern = Pattern::new().reg(ROUTE_TABLE, number).from(*cidr);
            self.add(Table::EgressOnly, 1 + u16::from(cidr.prefix_len()), pattern, source, actions);
        }
    }

    /// IPv6 addresses are public already. What leaves by an egress-only gateway is kept in a zone of all such; what comes to a subnet that has
    /// one answers something there. What was found is forgotten then, for groups ask in zones of their own.
    fn ipv6(&mut self, uplink: Uplink, local: Local<'_>) {
        let place = local.place;
        let leads_to = |is_it: &dyn Fn(&RouteTarget) -> bool| {
            self.index.routes(place).iter().any(|(cidr, (_, target))| cidr.addr().is_ipv6() && is_it(target))
        };
        let public = leads_to(&|target| self.index.is_attached(target, place.vpc_id));
        let tracked = leads_to(&|target| self.index.is_egress_only(target, place.vpc_id));
        if !public && !tracked {
            return;
        }
        if tracked {
            self.ways_in(place);
        }
        let source = Source::Interface(local.id.clone());
        for address in local.interface.ipv6.clone() {
            let own = host(IpAddr::V6(address));
            let ways = [
                (TO_INTERNET, public, goto(Table::Public)),
                (TO_EGRESS_ONLY, tracked, keep(EGRESS_ONLY_ZONE, Table::Public)),
            ];
            for (target, _, on) in ways.into_iter().filter(|(_, is_way, _)| *is_way) {
                let pattern = Pattern::new().reg(SENDER, local.number.0.into()).reg(TARGET, target).from(own);
                let actions = [outwards(uplink).to_vec(), vec![on]].concat();
                self.add(Table::Internet, 100, pattern, source.clone(), actions);
            }
            let asked = solicitation_for(Pattern::new(), address);
            let answer = answer_solicitation(address, uplink.mac, true);
            self.add(Table::UplinkIn, 250, asked, source.clone(), answer);
            let pattern = Pattern::new().eth_to(uplink.mac).to(own);
            let mut actions = inwards(place.vpc, local.interface.mac);
            if tracked && actions.pop().is_some() {
                actions.push(set_reg(ROUTE_TABLE, self.index.route_table_number(place)));
                actions.push(track_in(EGRESS_ONLY_ZONE, Table::EgressOnly));
            }
            self.add(Table::UplinkIn, 200, pattern, source.clone(), actions);
            self.turn_back(uplink, address.into(), source.clone());
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
