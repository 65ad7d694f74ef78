//! Packets between hosts.

use super::lab::{Lab, reaches};
use super::namespace::wait;
use hive_device::{Device, PacketDevice};

#[test]
fn hosts_and_the_bridge_itself_reach_each_other() {
    let lab = Lab::new();
    let [one, two] = lab.hosts::<2>();
    lab.vsctl("add-port br0 int0 -- set interface int0 type=internal");
    lab.node.address("br0", "10.1.0.9/24");
    one.ping("10.1.0.2");
    two.ping("10.1.0.1");
    one.ping("10.1.0.9");
    lab.node.ping("10.1.0.2");
    one.stream(&two, "10.1.0.2", 10 << 20);
    one.stream(&lab.node, "10.1.0.9", 10 << 20);
    lab.node.stream(&one, "10.1.0.1", 10 << 20);
    let learned = lab.appctl("fdb/show br0");
    assert!(learned.lines().count() >= 4 && learned.contains("LOCAL"), "{learned}");
    // All that came in is counted by the flow, and by the ports.
    wait("packets are counted", || {
        let packets =
            |text: &str| text.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
        packets(&lab.ofctl("dump-flows br0")).unwrap() > 20
    });
    wait("statistics are reported", || !lab.vsctl("get interface p1 statistics:rx_packets").starts_with('0'));
}

#[test]
fn vlans_separate_and_trunks_and_patches_join() {
    let lab = Lab::new();
    let [one, two, three] = lab.hosts::<3>();
    lab.vsctl("add-br br1 -- set bridge br1 datapath_type=netdev");
    lab.vsctl("add-port br0 to1 -- set interface to1 type=patch options:peer=to0");
    lab.vsctl("add-port br1 to0 -- set interface to0 type=patch options:peer=to1");
    let far = lab.host("p9", "10.1.0.9/24");
    lab.vsctl("add-port br1 p9 tag=10");
    lab.vsctl("set port p1 tag=10 -- set port p2 tag=20 -- set port p3 tag=10");
    one.ping("10.1.0.3");
    one.ping("10.1.0.9");
    assert!(!reaches(&two, "10.1.0.1") && !reaches(&two, "10.1.0.9"));
    // A trunk that does not carry it.
    lab.vsctl("set port to0 trunks=20");
    assert!(!reaches(&one, "10.1.0.9"));
    lab.vsctl("set port p9 tag=20");
    // Who was asked for in vain is asked for again after a while only.
    wait("the trunk carries this one", || reaches(&two, "10.1.0.9"));
    far.ping("10.1.0.2");
    one.ping("10.1.0.3");
    drop(three);
    wait("patch ports count", || {
        let text = lab.ofctl("dump-ports br0 to1");
        !text.contains("rx pkts=0")
    });
}

#[test]
fn a_mirror_has_copies() {
    let lab = Lab::new();
    let [one, two, watcher] = lab.hosts::<3>();
    one.ping("10.1.0.2");
    lab.vsctl(
        "-- --id=@p get port p1 -- --id=@o get port p3 \
         -- --id=@m create mirror name=m select-src-port=@p select-dst-port=@p output-port=@o -- set bridge br0 mirrors=@m",
    );
    let mut seen = watcher.enter(|| PacketDevice::attach("eth0").unwrap());
    one.exec("ping -n -c 2 -i 0.1 -s 333 10.1.0.2");
    let mut copies = 0;
    wait("requests and answers are copied", || {
        let count = seen.receive(32, &mut |got| copies += usize::from(got.frame.len() == 333 + 42));
        count.unwrap();
        copies == 4
    });
    wait("the mirror counts", || lab.vsctl("get mirror m statistics:tx_packets") != "0");
    // A mirror's output carries nothing else.
    assert!(!reaches(&watcher, "10.1.0.1"));
    lab.vsctl("clear bridge br0 mirrors");
    wait("without a mirror it is a port like others", || reaches(&watcher, "10.1.0.1"));
    drop(two);
}

/// Two bridges with two wires between: the bond's other member takes over.
#[test]
fn a_bond_goes_on_by_its_other_member() {
    let lab = Lab::new();
    let [one] = lab.hosts::<1>();
    lab.vsctl("add-br br1 -- set bridge br1 datapath_type=netdev");
    let _far = lab.host("p9", "10.1.0.9/24");
    lab.vsctl("add-port br1 p9");
    for wire in ["a", "b"] {
        lab.node.ip(&format!("link add {wire}0 type veth peer name {wire}1"));
        lab.node.ip(&format!("link set {wire}0 up"));
        lab.node.ip(&format!("link set {wire}1 up"));
    }
    lab.vsctl("add-bond br0 bond0 a0 b0 bond_mode=active-backup other_config:bond-primary=a0");
    lab.vsctl("add-bond br1 bond1 a1 b1 bond_mode=active-backup other_config:bond-primary=a1");
    wait("both ends have chosen the primary", || {
        let shown = lab.appctl("bond/show");
        shown.contains("member a0: enabled\n  active member") && shown.contains("member a1: enabled\n  active member")
    });
    one.ping("10.1.0.9");
    lab.node.ip("link set a0 down");
    wait("the other one is active", || lab.appctl("bond/show bond0").contains("member b0: enabled\n  active member"));
    wait("packets go by it", || reaches(&one, "10.1.0.9"));
    lab.node.ip("link set a0 up");
    wait("the primary is back", || lab.appctl("bond/show bond1").contains("member a1: enabled\n  active member"));
    wait("packets go on", || reaches(&one, "10.1.0.9"));
    assert!(lab.appctl("bond/list").contains("bond0\tactive-backup"));
}
