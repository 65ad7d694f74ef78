//! Logical switches and a router between them.

use super::lab::{NETWORKS, mac, machines, region};
use crate::ovs::lab::reaches;
use crate::ovs::namespace::wait;

#[test]
fn machines_of_one_switch_and_of_two_reach_each_other() {
    let (central, chassis) = region(NETWORKS);
    let [web1, web2, app1] = machines(&chassis);
    central.sync();
    web1.ping("10.1.1.12");
    web1.stream(&web2, "10.1.1.12", 5 << 20);
    // The router itself, and what is behind it.
    web1.ping("10.1.1.1");
    web1.ping("10.1.2.1");
    web1.ping("10.1.2.21");
    web1.stream(&app1, "10.1.2.21", 5 << 20);
    app1.stream(&web2, "10.1.1.12", 5 << 20);
    let route = web1.exec("ping -n -c 1 -W 5 10.1.2.21");
    assert!(route.contains("ttl=63"), "{route}");
    // Nobody is there: the router says so.
    assert!(!reaches(&web1, "10.1.2.99"));
    let unknown = chassis.log();
    assert!(!unknown.contains("|ERR|") && !unknown.contains("OFPT_ERROR"), "{unknown}");
    // OVN's central database sees the ports up.
    wait("the ports are up", || {
        ["web1", "web2", "app1"].iter().all(|port| central.nbctl(&format!("lsp-get-up {port}")) == "up")
    });
    // A port that is taken off is unbound.
    chassis.lab.vsctl("del-port br-int web2");
    wait("the port is down", || central.nbctl("lsp-get-up web2") == "down");
    assert!(!reaches(&web1, "10.1.1.12"));
}

#[test]
fn a_container_has_its_port_in_its_namespace() {
    let (central, chassis) = region(NETWORKS);
    central.program("lsp-add web web3\nlsp-set-addresses web3 '02:00:00:00:00:0d 10.1.1.13'");
    let [web1, _web2, _app1] = machines(&chassis);
    let web3 = chassis.container("web3", 13, "10.1.1.13/24");
    central.sync();
    web3.ping("10.1.1.11");
    web1.stream(&web3, "10.1.1.13", 1 << 20);
    // It stays when others come.
    let _web4 = chassis.outsider("world", 99, "192.168.9.9/24");
    web3.ping("10.1.1.11");
}

#[test]
fn only_the_addresses_of_a_port_are_let_in() {
    let (central, chassis) = region(NETWORKS);
    let [web1, web2, _app1] = machines(&chassis);
    central.nbctl(&format!("lsp-set-port-security web1 '{} 10.1.1.11'", mac(11)));
    central.sync();
    web1.ping("10.1.1.12");
    let takes = |address: &str| {
        web1.ip("addr flush dev eth0");
        web1.address("eth0", address);
    };
    takes("10.1.1.13/24");
    assert!(!reaches(&web1, "10.1.1.12"));
    takes("10.1.1.11/24");
    web1.ping("10.1.1.12");
    web1.ip("link set eth0 address 02:00:00:00:00:99");
    web2.ip("neigh flush all");
    assert!(!reaches(&web1, "10.1.1.12"));
}
