//! Two switches on one database.

use crate::real::Vswitchd;
use crate::server::{Server, eventually};
use crate::switch::{Switch, options};
use hive_ovsdb::{Client, Connection};

#[test]
fn the_second_waits_for_the_first() {
    let server = Server::start();
    let first = Switch::start(&server);
    server.vsctl(&["add-br", "br0"]);
    let second = Client::start(options(&server), || {}).unwrap();
    eventually("the second waits", || (second.connection() == Connection::WaitingForLock).then_some(()));
    // What the first has applied, the second was not told of.
    server.vsctl(&["add-br", "br1"]);
    assert!(second.take().is_none());
    drop(first);
    eventually("the second takes over", || (second.connection() == Connection::Active).then_some(()));
    let snapshot = eventually("the configuration is handed out", || second.take());
    assert_eq!(snapshot.configuration.bridges.len(), 2);
}

#[test]
fn ovs_vswitchd_is_another_switch() {
    let server = Server::start();
    let real = Vswitchd::start(&server);
    server.vsctl(&["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"]);
    let client = Client::start(options(&server), || {}).unwrap();
    eventually("netd waits for ovs-vswitchd", || (client.connection() == Connection::WaitingForLock).then_some(()));
    assert!(client.take().is_none());
    drop(real);
    eventually("netd takes over", || (client.connection() == Connection::Active).then_some(()));

    // And ovs-vswitchd, started again, waits for netd.
    let real = Vswitchd::start(&server);
    let log = || std::fs::read_to_string(server.path().join("ovs-vswitchd.log")).unwrap_or_default();
    eventually("ovs-vswitchd waits", || log().contains("another ovs-vswitchd process is running").then_some(()));
    drop(real);
}
