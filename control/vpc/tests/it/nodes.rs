//! Two nodes, each a netd in a network namespace of its own, with a cable between them.

use crate::bench::short;
use crate::fixture::*;
use crate::netd::Netd;
use crate::packet::{ACK, Ethernet, Ip, SYN, tcp, udp};
use crate::routing::open_all;
use crate::switch::{HERE, PATIENCE, Switch, UPLINK, hex};
use hive_openflow::PortNo;
use hive_vpc::model::NetworkInterface;
use hive_vpc::{Attachment, LocalNumber, Network, Node, Programmer, compile};
use std::time::Instant;

/// Of another VPC too, at the other node, with the same address as [`FAR`].
const FAR_TWIN: &str = "eni-far-twin";
const FAR_PORT: u16 = 1;
const FAR_TWIN_PORT: u16 = 2;

/// The region's own node, and the other one.
fn nodes(network: &mut Network) -> [Node; 2] {
    let (_, mut here) = region();
    let twin = NetworkInterface { mac: FAR.mac, primary: FAR.address, ..network.interfaces[&TWIN.id.into()].clone() };
    network.interfaces.insert(FAR_TWIN.into(), twin);
    here.remote_interfaces.insert(FAR_TWIN.into(), PEER);
    let at = |port| Attachment { port: PortNo(port), number: LocalNumber(100 + port) };
    let there = Node {
        interfaces: [(FAR.id.into(), at(FAR_PORT)), (FAR_TWIN.into(), at(FAR_TWIN_PORT))].into(),
        nat_gateways: Default::default(),
        remote_interfaces: here.interfaces.keys().map(|id| (id.clone(), HERE)).collect(),
        remote_nat_gateways: here.nat_gateways.keys().map(|id| (id.clone(), HERE)).collect(),
        uplink: None,
        ..here.clone()
    };
    [here, there]
}

/// This frame comes out of this node's port, and nothing else.
fn comes_out(nodes: &mut [Netd; 2], wanted: (usize, u16, Vec<u8>)) {
    let began = Instant::now();
    loop {
        let mut came = Vec::new();
        for (node, switch) in nodes.iter_mut().enumerate() {
            came.extend(switch.take().into_iter().map(|(port, frame)| (node, port, frame)));
        }
        if came.first() == Some(&wanted) {
            assert_eq!(came.len(), 1);
            return;
        }
        let show = |(node, port, frame): &(usize, u16, Vec<u8>)| format!("node {node}, port {port}: {}", short(frame));
        let wanted = show(&wanted);
        assert!(came.is_empty(), "not {wanted} but {:#?}", came.iter().map(show).collect::<Vec<_>>());
        if began.elapsed() > PATIENCE {
            let said: Vec<String> = nodes.iter().map(Netd::counted).collect();
            panic!("no {wanted}\n{}", said.join("\n"));
        }
    }
}

#[test]
fn a_vpc_is_one_over_two_nodes() {
    // Open vSwitch's userspace tunnels want a bridge of their own for the cable; this is about netd.
    let Some(program) = std::env::var_os("HIVE_VPC_SWITCH") else { return };
    let (mut network, _) = region();
    open_all(&mut network);
    let places = nodes(&mut network);
    let mut nodes = Netd::pair(program.as_ref());
    for (node, place) in nodes.iter().zip(&places) {
        let flows = compile(&network, place).unwrap().flows;
        Programmer::new(node.management(), PATIENCE).set(&flows).unwrap();
    }
    // To a neighbour, and its answer.
    let (ethernet, ip) = APP.to(FAR);
    let frame = udp(ethernet, ip, 1, 9000, b"there");
    nodes[0].put(APP.port, &frame);
    comes_out(&mut nodes, (1, FAR_PORT, frame));
    let (ethernet, ip) = FAR.to(APP);
    let frame = udp(ethernet, ip, 9000, 1, b"back");
    nodes[1].put(FAR_PORT, &frame);
    comes_out(&mut nodes, (0, APP.port, frame));
    // By the router, as long as a frame may be.
    let (ethernet, ip) = WEB.via_router(FAR.address);
    nodes[0].put(WEB.port, &udp(ethernet, ip, 1, 2, &[7; 8900]));
    comes_out(&mut nodes, (1, FAR_PORT, udp(Ethernet::new(ROUTER, FAR.mac), ip, 1, 2, &[7; 8900])));
    // The same addresses in another VPC are others.
    let frame = udp(Ethernet::new(TWIN.mac, FAR.mac), Ip::new(TWIN.address, FAR.address), 1, 2, b"x");
    nodes[0].put(TWIN.port, &frame);
    comes_out(&mut nodes, (1, FAR_TWIN_PORT, frame));
    // Out by the NAT gateway, which is at the first node, and back.
    let (ethernet, ip) = FAR.via_router(WORLD);
    nodes[1].put(FAR_PORT, &tcp(ethernet, ip, 4711, 80, SYN, (1, 0)));
    let began = Instant::now();
    let out = loop {
        if let Some((port, frame)) = nodes[0].take().pop() {
            assert_eq!(port, UPLINK);
            break frame;
        }
        assert!(began.elapsed() < PATIENCE, "nothing goes out");
    };
    let from = u16::from_be_bytes([out[34], out[35]]);
    let public = Ip::new(NAT_PUBLIC, WORLD);
    assert_eq!(hex(&out), hex(&tcp(Ethernet::new(UPLINK_MAC, GATEWAY_MAC), public, from, 80, SYN, (1, 0))));
    let back = tcp(Ethernet::new(GATEWAY_MAC, UPLINK_MAC), Ip::new(WORLD, NAT_PUBLIC), 80, from, SYN | ACK, (9, 2));
    nodes[0].put(UPLINK, &back);
    let back = tcp(Ethernet::new(ROUTER, FAR.mac), Ip::new(WORLD, FAR.address), 80, 4711, SYN | ACK, (9, 2));
    comes_out(&mut nodes, (1, FAR_PORT, back));
}
