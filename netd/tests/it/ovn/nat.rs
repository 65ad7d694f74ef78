//! Addresses translated at a router's port to the provider's network, which one chassis has.

use super::lab::{NETWORKS, OUTSIDE, machines, region};
use crate::ovs::namespace::{DEADLINE, Namespace};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Who a listener at `at` sees, when `from` connects to `to`; a byte goes both ways.
fn seen(from: &Namespace, to: &str, listens: &Namespace, at: &str) -> SocketAddr {
    let (to, at): (SocketAddr, SocketAddr) = (to.parse().unwrap(), at.parse().unwrap());
    let listener = listens.enter(move || TcpListener::bind(at).unwrap());
    let client = from.spawn(move || {
        let mut stream = TcpStream::connect_timeout(&to, DEADLINE).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    });
    let (answer, gave_up) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&byte).unwrap();
        let _ = answer.send(peer);
    });
    client.join().unwrap();
    let peer = gave_up.recv_timeout(DEADLINE).unwrap();
    server.join().unwrap();
    peer
}

#[test]
fn machines_go_out_and_are_reached_by_other_addresses() {
    let (central, chassis) = region(&format!("{NETWORKS}{OUTSIDE}"));
    central.program(
        "
        lr-nat-add router snat 192.168.9.1 10.1.0.0/16
        lr-nat-add router dnat_and_snat 192.168.9.50 10.1.1.11
        ",
    );
    let [web1, web2, app1] = machines(&chassis);
    let world = chassis.outsider("world", 99, "192.168.9.9/24");
    central.sync();
    let ports = central.sbctl("--bare --columns=logical_port find Port_Binding type=chassisredirect");
    assert_eq!(ports, "cr-router-outside");
    for machine in [&web1, &web2, &app1] {
        machine.ping("192.168.9.9");
    }
    world.ping("192.168.9.50");
    // Of many machines the outside sees the router, of one the address that is its own.
    assert_eq!(seen(&app1, "192.168.9.9:7001", &world, "192.168.9.9:7001").ip().to_string(), "192.168.9.1");
    assert_eq!(seen(&web1, "192.168.9.9:7002", &world, "192.168.9.9:7002").ip().to_string(), "192.168.9.50");
    assert_eq!(seen(&world, "192.168.9.50:7003", &web1, "10.1.1.11:7003").ip().to_string(), "192.168.9.9");
    // By its outer address from inside, too.
    assert_eq!(seen(&app1, "192.168.9.50:7004", &web1, "10.1.1.11:7004").ip().to_string(), "192.168.9.1");
    app1.stream(&world, "192.168.9.9", 5 << 20);
    let tracked = chassis.lab.appctl("dpctl/dump-conntrack");
    assert!(tracked.contains("dst=192.168.9.50") && tracked.contains("dst=192.168.9.1"), "{tracked}");

    // The address goes to another machine.
    central.nbctl("lr-nat-del router dnat_and_snat 192.168.9.50");
    central.nbctl("lr-nat-add router dnat_and_snat 192.168.9.50 10.1.2.21");
    central.sync();
    assert_eq!(seen(&world, "192.168.9.50:7005", &app1, "10.1.2.21:7005").ip().to_string(), "192.168.9.9");
    world.ping("192.168.9.50");
}
