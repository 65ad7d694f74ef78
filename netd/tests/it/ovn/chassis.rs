//! Two nodes with Geneve between them.

use super::lab::{Central, Chassis, NETWORKS, OUTSIDE};
use crate::ovs::namespace::wait;

#[test]
fn networks_span_nodes() {
    let central = Central::new();
    let chassis = [1, 2].map(|number| Chassis::new(&central, &format!("node{number}"), &format!("192.168.7.{number}")));
    let [one, two] = &chassis;
    one.lab.node.veth("wire", &two.lab.node, "wire");
    one.lab.node.address("wire", "192.168.7.1/24");
    two.lab.node.address("wire", "192.168.7.2/24");
    central.program(&format!("{NETWORKS}{OUTSIDE}"));
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
