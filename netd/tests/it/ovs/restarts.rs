//! The database goes, netd goes, and both come back.

use super::lab::{Lab, reaches};
use super::namespace::wait;

#[test]
fn packets_flow_without_the_database() {
    let mut lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    lab.stop_database();
    one.ping("10.1.0.2");
    assert!(lab.ofctl("dump-flows br0").contains("NORMAL"));
    lab.start_database();
    // It takes orders again, and what it says comes through.
    lab.vsctl("add-port br0 int0 -- set interface int0 type=internal");
    assert_ne!(lab.vsctl("get interface int0 ofport"), "-1");
    one.ping("10.1.0.2");
}

#[test]
fn a_new_netd_takes_up_what_the_database_says() {
    let mut lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    lab.vsctl("add-port br0 int0 -- set interface int0 type=internal");
    let number = lab.vsctl("get interface int0 ofport");
    lab.kill_switch();
    assert!(!reaches(&one, "10.1.0.2"));
    lab.start_switch();
    lab.vsctl("set bridge br0 external_ids:x=y");
    wait("packets flow again", || reaches(&one, "10.1.0.2"));
    assert_eq!(lab.vsctl("get interface int0 ofport"), number);
    assert_eq!(lab.vsctl("get interface p2 ofport"), "2");
}

#[test]
fn netd_ends_when_it_is_told_to_and_leaves_nothing() {
    let mut lab = Lab::new();
    lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    lab.vsctl("add-port br0 vhu -- set interface vhu type=dpdkvhostuser");
    assert!(std::fs::exists(lab.path("vhu")).unwrap());
    assert!(std::fs::exists(lab.path("br0.mgmt")).unwrap() && std::fs::exists(lab.path("netd.pid")).unwrap());
    assert!(lab.terminate_switch().success());
    for file in ["br0.mgmt", "br0.snoop", "vhu", "netd.ctl", "netd.pid"] {
        assert!(!std::fs::exists(lab.path(file)).unwrap(), "{file} is left");
    }
    assert!(!lab.node.ip("link show").contains("br0"));
    lab.start_switch();
    lab.vsctl("add-port br0 int0 -- set interface int0 type=internal");
    lab.appctl("exit");
    let mut switch = lab.switch.take().unwrap();
    wait("netd has ended", || switch.try_wait().unwrap().is_some());
}

/// Flows can be put back before the first packet is forwarded.
#[test]
fn nothing_is_forwarded_while_flows_are_restored() {
    let mut lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    lab.vsctl("--no-wait set open_vswitch . other_config:flow-restore-wait=true");
    lab.kill_switch();
    lab.start_switch();
    wait("flows can be added", || lab.try_ofctl("add-flow br0 priority=7,actions=NORMAL").is_ok());
    assert!(!reaches(&one, "10.1.0.2"));
    lab.vsctl("remove open_vswitch . other_config flow-restore-wait");
    one.ping("10.1.0.2");
    assert!(lab.ofctl("dump-flows br0").contains("priority=7"));
}

#[test]
fn databases_of_other_kinds_are_refused() {
    for (database, expected) in [("tcp:127.0.0.1:6640", "only databases at unix:PATH"), ("ssl:h:1", "ssl"), ("x", "x")]
    {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_netd")).args(["--db", database]).output().unwrap();
        assert!(!output.status.success());
        assert!(super::lab::text(&output).contains(expected), "{}", super::lab::text(&output));
    }
}
