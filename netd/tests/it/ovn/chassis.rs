//! Two nodes with Geneve between them.

use super::lab::{Central, Chassis, NETWORKS, OUTSIDE};
use crate::ovs::lab::reaches;
use crate::ovs::namespace::wait;

/// Nodes `node1`, `node2`, ... with a wire between each two.
/// `encap`: of their tunnels.
fn nodes<const N: usize>(encap: &str) -> (Central, [Chassis; N]) {
    let central = Central::new();
    let address = |at: usize| format!("192.168.7.{}", at + 1);
    let chassis = std::array::from_fn(|at| Chassis::new(&central, &format!("node{}", at + 1), encap, &address(at)));
    for (at, one) in chassis.iter().enumerate() {
        one.lab.node.address("lo", &format!("{}/32", address(at)));
        for (to, other) in chassis.iter().enumerate().skip(at + 1) {
            one.lab.node.veth(&format!("wire{to}"), &other.lab.node, &format!("wire{at}"));
        }
    }
    for (at, one) in chassis.iter().enumerate() {
        for to in (0..N).filter(|to| *to != at) {
            one.lab.node.ip(&format!("route add {}/32 dev wire{to} src {}", address(to), address(at)));
        }
    }
    central.program(&format!("{NETWORKS}{OUTSIDE}"));
    (central, chassis)
}

#[test]
fn networks_span_nodes() {
    let (central, chassis) = nodes::<2>("geneve");
    let [one, two] = &chassis;
    central.nbctl("lr-nat-add router snat 192.168.9.1 10.1.0.0/16");
    let web1 = one.machine("web1", 11, "10.1.1.11/24");
    let web2 = two.machine("web2", 12, "10.1.1.12/24");
    let app1 = two.machine("app1", 21, "10.1.2.21/24");
    let world = one.outsider("world", 99, "192.168.9.9/24");
    // Room for the tunnel's headers.
    [&web1, &web2, &app1].iter().for_each(|machine| drop(machine.ip("link set eth0 mtu 1400")));
    central.sync();
    wait("each node has a tunnel to the other", || {
        chassis
            .iter()
            .all(|node| node.lab.vsctl("--bare --columns=name find interface type=geneve").starts_with("ovn-"))
    });
    web1.ping("10.1.1.12");
    web1.stream(&web2, "10.1.1.12", 5 << 20);
    web2.stream(&web1, "10.1.1.11", 5 << 20);
    web1.ping("10.1.2.21");
    app1.stream(&web1, "10.1.1.11", 5 << 20);
    // The way out is by the other node.
    app1.ping("192.168.9.9");
    app1.stream(&world, "192.168.9.9", 5 << 20);
    let tracked = [one, two].map(|node| node.lab.appctl("dpctl/dump-conntrack").contains("dst=192.168.9.1"));
    assert_eq!(tracked, [true, false]);
    // A machine moves.
    one.lab.vsctl("del-port br-int web1");
    drop(web1);
    let web1 = two.machine("web1", 11, "10.1.1.11/24");
    web1.ip("link set eth0 mtu 1400");
    central.sync();
    web1.ping("10.1.1.12");
    world.ping("192.168.9.1");
    web1.ping("192.168.9.9");
}

/// OVN's networks are numbered so that all fits VXLAN's 24 bits.
#[test]
fn networks_span_nodes_by_vxlan_too() {
    let (central, [one, two]) = nodes::<2>("vxlan");
    let web1 = one.machine("web1", 11, "10.1.1.11/24");
    let web2 = two.machine("web2", 12, "10.1.1.12/24");
    let app1 = two.machine("app1", 21, "10.1.2.21/24");
    [&web1, &web2, &app1].iter().for_each(|machine| drop(machine.ip("link set eth0 mtu 1400")));
    central.sync();
    web1.ping("10.1.1.12");
    web1.stream(&web2, "10.1.1.12", 1 << 20);
    app1.stream(&web1, "10.1.1.11", 1 << 20);
}

/// Two nodes are on the provider's network. Which one is the gateway all find out by BFD in their tunnels. There is a third, because a
/// node that hears nobody takes itself for the one that is cut off.
#[test]
fn a_gateway_takes_over_from_another() {
    let (central, mut chassis) = nodes::<3>("geneve");
    central.program(
        "
        lrp-set-gateway-chassis router-outside node2 5
        lr-nat-add router snat 192.168.9.1 10.1.0.0/16
        ",
    );
    let [one, two, three] = &chassis;
    one.lab.node.veth("provider", &two.lab.node, "provider");
    one.lab.vsctl("add-port br-ex provider");
    two.lab.vsctl("add-port br-ex provider");
    let app1 = three.machine("app1", 21, "10.1.2.21/24");
    app1.ip("link set eth0 mtu 1400");
    let world = two.outsider("world", 99, "192.168.9.9/24");
    central.sync();
    let node = |name: &str| central.sbctl(&format!("--bare --columns=_uuid find Chassis name={name}"));
    let gateway = || central.sbctl("--bare --columns=chassis find Port_Binding logical_port=cr-router-outside");
    wait("the nodes hear each other", || {
        let status = |node: &Chassis| node.lab.vsctl("--bare --columns=bfd_status find interface type=geneve");
        [one, two, three].iter().all(|node| status(node).matches("forwarding=true").count() == 2)
    });
    let tracked = |node: &Chassis| node.lab.appctl("dpctl/dump-conntrack").contains("dst=192.168.9.1");
    wait("the first is the gateway", || gateway() == node("node1"));
    wait("packets go by it", || reaches(&app1, "192.168.9.9"));
    app1.stream(&world, "192.168.9.9", 1 << 20);
    assert_eq!([tracked(one), tracked(two)], [true, false]);

    chassis[0].stop_controller();
    chassis[0].lab.kill_switch();
    wait("the second is the gateway", || gateway() == node("node2"));
    wait("packets go by it", || reaches(&app1, "192.168.9.9"));
    app1.stream(&world, "192.168.9.9", 1 << 20);
    assert!(tracked(&chassis[1]));

    chassis[0].lab.start_switch();
    chassis[0].start_controller();
    wait("the first is the gateway again", || gateway() == node("node1"));
    wait("packets go by it", || reaches(&app1, "192.168.9.9") && tracked(&chassis[0]));
}
