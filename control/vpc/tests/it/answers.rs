//! What else follows from the objects: what the services port answers, and how long connections are kept.

use crate::fixture::*;
use hive_vpc::model::{ConnectionTracking, DhcpOptions, MetadataOptions};
use hive_vpc::{LocalNumber, compile};
use std::net::{IpAddr, Ipv4Addr};

#[test]
fn an_interface_is_answered_by_its_own_options() {
    let (mut network, node) = region();
    let number = LocalNumber(WEB.number());
    let services = compile(&network, &node).unwrap().services;
    // Those at other nodes are answered there.
    assert_eq!(services.len(), node.interfaces.len());
    let web = &services[&number];
    assert_eq!((web.interface.clone(), web.mac, web.address), (WEB.id.into(), WEB.mac, WEB.address));
    assert_eq!((web.router, web.prefix_length, web.router_mac), (Ipv4Addr::new(10, 0, 1, 1), 24, ROUTER));
    assert_eq!((web.mtu_bytes, web.lease_s), (9001, 3600));
    let by_ipv6: IpAddr = "fd00:ec2::253".parse().unwrap();
    assert_eq!(web.name_servers, [IpAddr::from([10, 0, 0, 2]), by_ipv6]);
    let own = DhcpOptions {
        domain_name: Some("example.internal".to_owned()),
        domain_name_servers: vec![IpAddr::from([192, 0, 2, 53])],
        ..DhcpOptions::default()
    };
    network.dhcp_options.insert("dopt-1".into(), own.clone());
    network.vpcs.get_mut(&"vpc-1".into()).unwrap().dhcp_options = Some("dopt-1".into());
    let options = MetadataOptions { hop_limit: 3, ..MetadataOptions::default() };
    network.interfaces.get_mut(&WEB.id.into()).unwrap().metadata = options;
    let services = compile(&network, &node).unwrap().services;
    let web = &services[&number];
    assert_eq!((&web.dhcp, &web.name_servers, web.metadata), (&own, &own.domain_name_servers, options));
    let twin = &services[&LocalNumber(TWIN.number())];
    assert_eq!(twin.dhcp, DhcpOptions::default());
    // Without DNS there is no name server to be told of.
    network.vpcs.get_mut(&"vpc-2".into()).unwrap().dns_support = false;
    let services = compile(&network, &node).unwrap().services;
    assert!(services[&LocalNumber(TWIN.number())].name_servers.is_empty());
}

#[test]
fn each_zone_has_its_timeouts() {
    let (mut network, node) = region();
    let tracking = ConnectionTracking { tcp_established_s: 350, udp_stream_s: 60, udp_s: 45 };
    network.interfaces.get_mut(&APP.id.into()).unwrap().tracking = tracking;
    let zones = compile(&network, &node).unwrap().zones;
    assert_eq!(zones[&LocalNumber(APP.number())], tracking);
    assert_eq!(zones[&LocalNumber(WEB.number())].tcp_established_s, 432_000);
    assert_eq!(zones[&LocalNumber(NAT_NUMBER)].tcp_established_s, 350);
    assert_eq!(zones.len(), node.interfaces.len() + node.nat_gateways.len());
}
