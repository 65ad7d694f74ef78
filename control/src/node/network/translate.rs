//! From the records of accounts' networks to what the compiler of VPCs is given. Records were checked when they were written; of what
//! cannot be said to a switch, as a damaged MAC, nothing is said.

use crate::api::OWN_RESOLVER;
use crate::store::{
    AclEntry, AclRecord, Destination, DhcpOptionsRecord, InterfaceOwner, InterfaceRecord, MetadataOptions, Network,
    Peer, RouteTableRecord, Rule, RuleKey, SecurityGroupRecord, Target, VpcRecord,
};
use hive_types::id::VpcId;
use hive_vpc::model::{self, IcmpKind, PortRange, Traffic, Vni};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// An account's. `metadata`: an interface's instance's options.
pub fn network(
    network: &Network,
    vnis: &BTreeMap<VpcId, u32>,
    metadata: impl Fn(&InterfaceRecord) -> Option<MetadataOptions>,
) -> model::Network {
    let mut all = model::Network::default();
    // One without a number is not there yet.
    let vpcs = network.vpcs.values().filter_map(|vpc| {
        let vni = Vni(*vnis.get(&vpc.vpc_id)?);
        Some((vpc.vpc_id.as_str().into(), vpc_of(vpc, network, vni)))
    });
    all.vpcs.extend(vpcs);
    all.subnets.extend(network.subnets.values().filter_map(|subnet| {
        let is_its = |acl: &&AclRecord| acl.associations.contains_key(&subnet.subnet_id);
        let default = |acl: &&AclRecord| acl.is_default && acl.vpc_id == subnet.vpc_id;
        let acl = network.acls.values().find(is_its).or_else(|| network.acls.values().find(default))?;
        let is_its = |table: &&RouteTableRecord| table.associations.contains_key(&subnet.subnet_id);
        let subnet_of = model::Subnet {
            vpc: subnet.vpc_id.as_str().into(),
            ipv4_cidr: subnet.cidr,
            ipv6_cidr: subnet.ipv6.as_ref().map(|block| block.cidr),
            acl: acl.acl_id.as_str().into(),
            route_table: network.route_tables.values().find(is_its).map(|table| table.route_table_id.as_str().into()),
        };
        Some((subnet.subnet_id.as_str().into(), subnet_of))
    }));
    all.interfaces.extend(network.interfaces.values().filter(|i| i.owner == InterfaceOwner::Account).filter_map(|i| {
        let interface = model::NetworkInterface {
            subnet: i.subnet_id.as_str().into(),
            mac: mac(&i.mac)?,
            primary: i.private_ip,
            secondary: i.secondary_ips.iter().copied().collect(),
            ipv6: i.ipv6.iter().copied().collect(),
            groups: i.groups.iter().map(|group| group.as_str().into()).collect(),
            source_dest_check: i.source_dest_check,
            metadata: metadata(i).map_or_else(Default::default, |options| model::MetadataOptions {
                enabled: options.enabled,
                ipv6: options.ipv6,
                hop_limit: options.hop_limit,
            }),
            tracking: model::ConnectionTracking::default(),
        };
        Some((i.interface_id.as_str().into(), interface))
    }));
    all.groups.extend(network.groups.values().map(|group| (group.group_id.as_str().into(), group_of(group))));
    all.prefix_lists.extend(network.prefix_lists.values().map(|list| {
        let entries = list.versions.last().map(|version| version.entries.as_slice()).unwrap_or_default();
        (list.prefix_list_id.as_str().into(), entries.iter().map(|entry| entry.cidr).collect())
    }));
    all.acls.extend(network.acls.values().map(|acl| (acl.acl_id.as_str().into(), acl_of(acl))));
    all.route_tables.extend(network.route_tables.values().map(|table| {
        let routes = table.routes.iter().map(|route| model::Route {
            destination: match &route.destination {
                Destination::Ipv4(cidr) => model::Destination::Cidr(IpNet::V4(*cidr)),
                Destination::Ipv6(cidr) => model::Destination::Cidr(IpNet::V6(*cidr)),
                Destination::PrefixList(id) => model::Destination::PrefixList(id.as_str().into()),
            },
            target: match &route.target {
                Target::InternetGateway(id) => model::RouteTarget::InternetGateway(id.as_str().into()),
                Target::EgressOnlyGateway(id) => model::RouteTarget::EgressOnlyGateway(id.as_str().into()),
                Target::NatGateway(id) => model::RouteTarget::NatGateway(id.as_str().into()),
                Target::Interface(id) => model::RouteTarget::Interface(id.as_str().into()),
            },
        });
        (table.route_table_id.as_str().into(), model::RouteTable { routes: routes.collect() })
    }));
    all.internet_gateways.extend(network.internet_gateways.values().map(|gateway| {
        let vpc = gateway.vpc_id.as_ref().map(|vpc| vpc.as_str().into());
        (gateway.gateway_id.as_str().into(), model::InternetGateway { vpc })
    }));
    let egress_only = network.egress_only_gateways.values();
    all.egress_only_gateways.extend(egress_only.map(|g| (g.gateway_id.as_str().into(), g.vpc_id.as_str().into())));
    let live = network.nat_gateways.values().filter(|gateway| gateway.deleted_at.is_none());
    all.nat_gateways.extend(live.filter_map(|gateway| {
        let interface = network.interfaces.get(&gateway.interface_id)?;
        let nat = model::NatGateway {
            subnet: gateway.subnet_id.as_str().into(),
            mac: mac(&interface.mac)?,
            private: gateway.private_ip,
        };
        Some((gateway.nat_gateway_id.as_str().into(), nat))
    }));
    add_addresses(&mut all, network);
    all.dhcp_options.extend(network.dhcp_options.values().map(|o| (o.options_id.as_str().into(), dhcp_options(o))));
    all
}

fn vpc_of(vpc: &VpcRecord, network: &Network, vni: Vni) -> model::Vpc {
    let main = network.route_tables.values().find(|table| table.main.is_some() && table.vpc_id == vpc.vpc_id);
    model::Vpc {
        vni,
        ipv4_cidrs: vpc.blocks.iter().map(|block| block.cidr).collect(),
        ipv6_cidrs: vpc.ipv6_blocks.iter().map(|block| block.cidr).collect(),
        dns_support: vpc.enable_dns_support,
        dhcp_options: vpc.dhcp_options.as_ref().map(|id| id.as_str().into()),
        main_route_table: main.map_or("", |table| table.route_table_id.as_str()).into(),
    }
}

/// `02:0a:...`
pub fn mac(text: &str) -> Option<model::MacAddress> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(model::MacAddress(bytes))
}

fn group_of(group: &SecurityGroupRecord) -> model::SecurityGroup {
    let rules = |egress| {
        let rule = |rule: &Rule| Some((rule.rule_id.as_str().into(), rule_of(&rule.key)?));
        group.rules.iter().filter(|rule| rule.key.egress == egress).filter_map(rule).collect()
    };
    model::SecurityGroup { ingress: rules(false), egress: rules(true) }
}

fn rule_of(key: &RuleKey) -> Option<model::SecurityGroupRule> {
    let ports = || {
        let port = |port: i32, any| if port < 0 { any } else { u16::try_from(port).unwrap_or(any) };
        PortRange { first: port(key.from_port, 0), last: port(key.to_port, u16::MAX) }
    };
    let traffic = match key.protocol.as_str() {
        "-1" => Traffic::All,
        "tcp" => Traffic::Tcp(ports()),
        "udp" => Traffic::Udp(ports()),
        "icmp" => Traffic::Icmp(icmp(key.from_port, key.to_port)),
        "icmpv6" => Traffic::Icmpv6(icmp(key.from_port, key.to_port)),
        number => Traffic::Protocol(number.parse().ok()?),
    };
    let peer = match &key.peer {
        Peer::Ipv4(cidr) => model::Peer::Cidr(IpNet::V4(*cidr)),
        Peer::Ipv6(cidr) => model::Peer::Cidr(IpNet::V6(*cidr)),
        Peer::Group(id) => model::Peer::Group(id.as_str().into()),
        Peer::PrefixList(id) => model::Peer::PrefixList(id.as_str().into()),
    };
    Some(model::SecurityGroupRule { traffic, peer })
}

/// -1 is any.
fn icmp(kind: i32, code: i32) -> IcmpKind {
    IcmpKind { kind: u8::try_from(kind).ok(), code: u8::try_from(code).ok() }
}

fn acl_of(acl: &AclRecord) -> model::NetworkAcl {
    let entries = |egress| {
        let entry = |entry: &AclEntry| {
            let traffic = acl_traffic(entry)?;
            Some((entry.number, model::AclEntry { allow: entry.allow, traffic, cidr: entry.cidr }))
        };
        acl.entries.iter().filter(|entry| entry.egress == egress).filter_map(entry).collect()
    };
    model::NetworkAcl { ingress: entries(false), egress: entries(true) }
}

/// Protocols of ACLs are numbers.
fn acl_traffic(entry: &AclEntry) -> Option<Traffic> {
    let ports = entry.ports.map_or(PortRange::ALL, |(first, last)| PortRange { first, last });
    let kind = entry.icmp.map_or_else(IcmpKind::default, |(kind, code)| icmp(kind, code));
    Some(match entry.protocol.as_str() {
        "-1" => Traffic::All,
        "6" => Traffic::Tcp(ports),
        "17" => Traffic::Udp(ports),
        "1" => Traffic::Icmp(kind),
        "58" => Traffic::Icmpv6(kind),
        number => Traffic::Protocol(number.parse().ok()?),
    })
}

/// Elastic IPs, and the addresses of launches, which go by their interface's name.
fn add_addresses(all: &mut model::Network, network: &Network) {
    all.addresses.extend(network.addresses.values().map(|address| {
        let association = address.association.as_ref().and_then(|held| {
            let interface = network.interfaces.get(&held.interface_id)?;
            Some(match &interface.owner {
                InterfaceOwner::NatGateway(id) => model::Association::NatGateway(id.as_str().into()),
                InterfaceOwner::Account => interface_address(interface, held.private_ip),
            })
        });
        let elastic = model::ElasticIp { public: address.public_ip, association };
        (address.allocation_id.as_str().into(), elastic)
    }));
    all.addresses.extend(network.interfaces.values().filter_map(|interface| {
        let public = interface.public_ip?;
        // An Elastic IP goes before it.
        if network.elastic_ip(&interface.interface_id, interface.private_ip).is_some() {
            return None;
        }
        let association = Some(interface_address(interface, interface.private_ip));
        Some((interface.interface_id.as_str().into(), model::ElasticIp { public, association }))
    }));
}

fn interface_address(interface: &InterfaceRecord, private: Ipv4Addr) -> model::Association {
    model::Association::Interface { interface: interface.interface_id.as_str().into(), private }
}

fn dhcp_options(record: &DhcpOptionsRecord) -> model::DhcpOptions {
    let values = |name: &str| record.options.get(name).map(Vec::as_slice).unwrap_or_default();
    let addresses = |name: &str| -> Vec<IpAddr> {
        values(name).iter().filter(|text| *text != OWN_RESOLVER).filter_map(|text| text.parse().ok()).collect()
    };
    let ipv4 = |name: &str| values(name).iter().filter_map(|text| text.parse().ok()).collect();
    model::DhcpOptions {
        domain_name: values("domain-name").first().cloned(),
        domain_name_servers: addresses("domain-name-servers"),
        ntp_servers: addresses("ntp-servers"),
        netbios_name_servers: ipv4("netbios-name-servers"),
        netbios_node_type: values("netbios-node-type").first().and_then(|text| text.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_have_six_parts() {
        assert_eq!(mac("02:0a:ff:00:01:10"), Some(model::MacAddress([2, 10, 255, 0, 1, 16])));
        for bad in ["", "02:0a:ff:00:01", "02:0a:ff:00:01:10:11", "02:0a:ff:00:01:1000", "02:0a:ff:00:01:+1", "x"] {
            assert_eq!(mac(bad), None, "{bad}");
        }
    }

    #[test]
    fn any_port_is_every_port() {
        let key = |protocol: &str, from_port, to_port| RuleKey {
            egress: false,
            protocol: protocol.into(),
            from_port,
            to_port,
            peer: Peer::Ipv4("0.0.0.0/0".parse().expect("a block")),
        };
        let traffic = |key| rule_of(&key).map(|rule| rule.traffic);
        assert_eq!(traffic(key("tcp", -1, -1)), Some(Traffic::Tcp(PortRange::ALL)));
        assert_eq!(traffic(key("udp", 53, 54)), Some(Traffic::Udp(PortRange { first: 53, last: 54 })));
        assert_eq!(traffic(key("icmp", 8, -1)), Some(Traffic::Icmp(IcmpKind { kind: Some(8), code: None })));
        assert_eq!(traffic(key("icmp", -1, -1)), Some(Traffic::Icmp(IcmpKind::default())));
        assert_eq!(traffic(key("50", -1, -1)), Some(Traffic::Protocol(50)));
        assert_eq!(traffic(key("-1", -1, -1)), Some(Traffic::All));
        assert_eq!(traffic(key("quic", -1, -1)), None);
    }
}
