//! Access lists, which track connections.

use super::lab::{NETWORKS, machines, region};
use crate::ovs::lab::{reaches, text};
use crate::ovs::namespace::Namespace;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How connecting ends.
fn connect(from: &Namespace, to: &str) -> Result<(), ErrorKind> {
    let to: SocketAddr = to.parse().unwrap();
    from.enter(move || TcpStream::connect_timeout(&to, Duration::from_secs(2)).map(drop).map_err(|error| error.kind()))
}

#[test]
fn what_was_begun_from_inside_is_answered_and_nothing_else() {
    let (central, chassis) = region(NETWORKS);
    let [web1, web2, app1] = machines(&chassis);
    central.program(
        "
        acl-add web from-lport 1000 inport==\"web2\" allow-related
        acl-add web to-lport 1002 outport==\"web2\"&&icmp4 allow-related
        acl-add web to-lport 1001 outport==\"web2\"&&ip4.src==10.1.2.21&&tcp reject
        acl-add web to-lport 1000 outport==\"web2\"&&ip drop
        ",
    );
    central.sync();
    let listener = web2.enter(|| TcpListener::bind("10.1.1.12:7000").unwrap());
    web1.ping("10.1.1.12");
    web2.ping("10.1.2.21");
    assert_eq!(connect(&web1, "10.1.1.12:7000"), Err(ErrorKind::TimedOut));
    // The one that is told no is told at once.
    assert_eq!(connect(&app1, "10.1.1.12:7000"), Err(ErrorKind::ConnectionRefused));
    web2.stream(&web1, "10.1.1.11", 1 << 20);
    web2.stream(&app1, "10.1.2.21", 1 << 20);
    let tracked = chassis.lab.appctl("dpctl/dump-conntrack");
    assert!(tracked.contains("src=10.1.1.12,dst=10.1.1.11"), "{tracked}");

    // Let in, then not any more: connections that are there end with the permission.
    central.nbctl("acl-add web to-lport 1005 outport==\"web2\"&&tcp.dst==7000 allow-related");
    central.sync();
    assert_eq!(connect(&web1, "10.1.1.12:7000"), Ok(()));
    central.nbctl("acl-del web to-lport 1005 outport==\"web2\"&&tcp.dst==7000");
    central.sync();
    assert_eq!(connect(&web1, "10.1.1.12:7000"), Err(ErrorKind::TimedOut));
    drop(listener);
}

/// Sets of addresses and of ports become conjunctions.
#[test]
fn sets_are_followed_as_they_change() {
    let (central, chassis) = region(NETWORKS);
    let [web1, web2, app1] = machines(&chassis);
    central.program(
        "
        create Address_Set name=friends addresses=\"10.1.1.11\",\"10.1.7.7\"
        pg-add guarded web2
        acl-add guarded to-lport 1001 'outport == @guarded && ip4.src == $friends && tcp.dst == {7000, 7002, 7005}' allow-related
        acl-add guarded to-lport 1000 'outport == @guarded && ip' drop
        ",
    );
    central.sync();
    let _listener = web2.enter(|| TcpListener::bind("10.1.1.12:7002").unwrap());
    assert!(chassis.lab.ofctl("dump-flows br-int").contains("conjunction("));
    assert_eq!(connect(&web1, "10.1.1.12:7002"), Ok(()));
    assert_eq!(connect(&app1, "10.1.1.12:7002"), Err(ErrorKind::TimedOut));
    assert!(!reaches(&web1, "10.1.1.12"));
    central.nbctl("set Address_Set friends addresses=\"10.1.2.21\",\"10.1.7.7\"");
    central.sync();
    assert_eq!(connect(&app1, "10.1.1.12:7002"), Ok(()));
    assert_eq!(connect(&web1, "10.1.1.12:7002"), Err(ErrorKind::TimedOut));
}

/// Of what an access list says aloud, so much a second and no more.
#[test]
fn a_meter_limits_what_is_logged() {
    let (central, chassis) = region(NETWORKS);
    let [web1, _web2, _app1] = machines(&chassis);
    central.program(
        "
        meter-add quiet drop 1 pktps 1
        --log --name=seen --meter=quiet acl-add web to-lport 1000 'outport == \"web2\" && icmp4' allow
        ",
    );
    central.sync();
    let ping = web1.exec("ping -n -c 30 -i 0.02 -W 5 10.1.1.12");
    assert!(ping.contains(" 0% packet loss"), "{ping}");
    crate::ovs::namespace::wait("the first is logged", || chassis.log().contains("name=\"seen\""));
    let logged = chassis.log().matches("name=\"seen\"").count();
    assert!((1..30).contains(&logged), "{logged} are logged");
    let meters = std::process::Command::new("ovs-ofctl")
        .args(["-O", "OpenFlow15", "dump-meters", &chassis.lab.path("br-int.mgmt")])
        .output()
        .unwrap();
    assert!(text(&meters).contains("rate=1"), "{}", text(&meters));
}
