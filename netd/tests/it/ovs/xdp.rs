//! Ports of type afxdp.

use super::lab::Lab;
use super::namespace::{DEADLINE, Namespace, wait};
use std::net::UdpSocket;

/// A host that leaves no checksums and tags to us, behind the device `port`, which is no port of a bridge yet.
fn host(lab: &Lab, port: &str, address: &str) -> Namespace {
    let host = lab.host(port, address);
    host.exec("ethtool -K eth0 tx off txvlan off");
    host
}

fn add(lab: &Lab, port: &str, options: &str) {
    lab.vsctl(&format!("add-port br0 {port} -- set interface {port} type=afxdp {options}"));
}

/// Word of the kernel that a program is attached.
fn is_attached(lab: &Lab, port: &str) -> bool {
    lab.node.ip(&format!("link show {port}")).contains("xdp")
}

fn column(lab: &Lab, port: &str, column: &str) -> String {
    lab.vsctl(&format!("get interface {port} {column}")).replace(['"', '\\'], "")
}

/// Bytes there, and back.
fn datagrams(one: &Namespace, other: &Namespace, to: &'static str) {
    let server = other.enter(move || UdpSocket::bind(to).unwrap());
    let client = one.enter(move || {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.connect(to).unwrap();
        client
    });
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    let mut bytes = [0; 2000];
    for length in [1, 100, 1472] {
        client.send(&vec![7; length]).unwrap();
        let (received, from) = server.recv_from(&mut bytes).unwrap();
        assert_eq!(bytes[..received], vec![7; length]);
        server.send_to(&bytes[..received], from).unwrap();
        assert_eq!(client.recv(&mut bytes).unwrap(), length);
    }
}

#[test]
fn hosts_reach_each_other_through_afxdp_ports_until_they_are_removed() {
    let lab = Lab::new();
    lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    let (one, two) = (host(&lab, "p1", "10.1.0.1/24"), host(&lab, "p2", "10.1.0.2/24"));
    add(&lab, "p1", "");
    add(&lab, "p2", "options:xdp-mode=generic options:use-need-wakeup=false options:n_rxq=1");
    // One whose kernel leaves checksums and segmentation to us.
    let three = lab.host("p3", "10.1.0.3/24");
    lab.vsctl("add-port br0 p3");
    one.ping("10.1.0.2");
    two.ping("10.1.0.1");
    datagrams(&one, &two, "10.1.0.2:7000");
    datagrams(&two, &three, "10.1.0.3:7000");
    datagrams(&three, &two, "10.1.0.2:7000");
    one.stream(&two, "10.1.0.2", 10 << 20);
    two.stream(&one, "10.1.0.1", 10 << 20);
    three.stream(&one, "10.1.0.1", 10 << 20);
    one.stream(&three, "10.1.0.3", 10 << 20);
    for (port, mode, need_wakeup) in [("p1", "native", "true"), ("p2", "generic", "false")] {
        let status = column(&lab, port, "status");
        assert_eq!(status, format!("{{n_rxq=1, use-need-wakeup={need_wakeup}, xdp-mode={mode}, xdp-zc=false}}"));
        assert_eq!(column(&lab, port, "error mtu link_state"), "[]\n1500\nup");
        wait("what came in is counted", || {
            let packets = column(&lab, port, "statistics:rx_packets").parse::<u64>().unwrap();
            packets > 5000 && column(&lab, port, "statistics:tx_packets").parse::<u64>().unwrap() > 5000
        });
        assert!(is_attached(&lab, port));
    }
    // In another mode it is another device; then it is none.
    lab.vsctl("set interface p1 options:xdp-mode=generic");
    assert_eq!(column(&lab, "p1", "status:xdp-mode"), "generic");
    one.ping("10.1.0.2");
    lab.vsctl("del-port p1");
    assert!(!is_attached(&lab, "p1") && is_attached(&lab, "p2"));
    lab.vsctl("set interface p2 type=system");
    assert!(!is_attached(&lab, "p2"));
    two.ping("10.1.0.3");
}

#[test]
fn what_is_refused_is_said() {
    let mut lab = Lab::new();
    lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    let (one, two) = (host(&lab, "p1", "10.1.0.1/24"), host(&lab, "p2", "10.1.0.2/24"));
    add(&lab, "p1", "options:xdp-mode=native-with-zerocopy");
    add(&lab, "p2", "options:xdp-mode=fast");
    add(&lab, "p3", "");
    let error = |port: &str| column(&lab, port, "error");
    assert_eq!(
        error("p1"),
        "could not open network device p1 (native-with-zerocopy: binding to queue 0: Operation not supported, the driver cannot)"
    );
    assert_eq!(column(&lab, "p1", "ofport"), "-1");
    assert!(error("p2").contains("xdp-mode fast is none of"), "{}", error("p2"));
    assert_eq!(error("p3"), "could not open network device p3 (No such device)");
    lab.vsctl("set interface p1 options:xdp-mode=native options:n_rxq=5");
    assert!(error("p1").contains("n_rxq is 5, and the device has 1 receive queues"), "{}", error("p1"));
    lab.vsctl("remove interface p1 options n_rxq -- set interface p2 options:xdp-mode=best-effort");
    assert_eq!(error("p1") + &error("p2"), "[][]");
    one.ping("10.1.0.2");
    // It comes, and another one of its name.
    for _ in 0..2 {
        let three = host(&lab, "p3", "10.1.0.3/24");
        wait("the device is found", || error("p3") == "[]");
        // The host that had the address before had another card.
        one.ip("neigh flush dev eth0");
        one.ping("10.1.0.3");
        lab.node.ip("link del p3");
        wait("the device is missed", || error("p3").contains("No such device"));
        drop(three);
    }
    drop(two);
    // A limit on locked memory, and no right to exceed it.
    lab.kill_switch();
    lab.start_switch_by(&["prlimit", "--memlock=65536", "setpriv", "--bounding-set=-ipc_lock"], &[]);
    let error = || column(&lab, "p1", "error");
    wait("the port is refused", || error() != "[]");
    let expected = "locking 16 MiB of memory for frames: No buffer space available, more than RLIMIT_MEMLOCK allows without CAP_IPC_LOCK";
    assert!(error().contains(expected), "{}", error());
}

#[test]
fn nothing_is_left_on_a_device_when_netd_is_killed() {
    let mut lab = Lab::new();
    lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    let (one, _two) = (host(&lab, "p1", "10.1.0.1/24"), host(&lab, "p2", "10.1.0.2/24"));
    add(&lab, "p1", "options:xdp-mode=native");
    add(&lab, "p2", "options:xdp-mode=generic");
    one.ping("10.1.0.2");
    assert!(is_attached(&lab, "p1") && is_attached(&lab, "p2"));
    lab.kill_switch();
    // The kernel frees what a process had after it has said that it ended.
    wait("the programs are detached", || !is_attached(&lab, "p1") && !is_attached(&lab, "p2"));
    lab.start_switch();
    wait("they are attached again", || is_attached(&lab, "p1") && is_attached(&lab, "p2"));
    one.ping("10.1.0.2");
    let status = lab.terminate_switch();
    assert!(status.success() && !is_attached(&lab, "p1") && !is_attached(&lab, "p2"));
}
