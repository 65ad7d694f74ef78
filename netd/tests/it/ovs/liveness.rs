//! BFD: whether the other end of a port lives.

use super::lab::{Lab, reaches};
use super::namespace::wait;

fn joined(left: &Lab, right: &Lab) {
    left.node.veth("wire", &right.node, "wire");
    for lab in [left, right] {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
        lab.vsctl("add-port br0 wire -- set interface wire ofport_request=9 bfd:enable=true bfd:min_rx=300");
    }
}

fn status(lab: &Lab, key: &str) -> String {
    lab.vsctl(&format!("--if-exists get interface wire bfd_status:{key}")).trim_matches('"').to_owned()
}

fn forwards(labs: [&Lab; 2], as_it_is: &str) {
    wait("both ends know", || labs.iter().all(|lab| status(lab, "forwarding") == as_it_is));
}

#[test]
fn sessions_with_open_vswitch_come_up_and_go_down() {
    let (ours, theirs) = (Lab::new(), Lab::rival());
    joined(&ours, &theirs);
    forwards([&ours, &theirs], "true");
    for (key, value) in [
        ("state", "up"),
        ("remote_state", "up"),
        ("diagnostic", "No Diagnostic"),
        ("remote_diagnostic", "No Diagnostic"),
    ] {
        wait("they tell the same", || [&ours, &theirs].iter().all(|lab| status(lab, key) == value));
    }
    // It stays up while its intervals change.
    ours.vsctl("set interface wire bfd:min_tx=700 bfd:mult=5");
    theirs.vsctl("set interface wire bfd:min_rx=500");
    // Nothing goes either way.
    theirs.vsctl("set interface wire bfd:enable=false");
    wait("it is down", || status(&ours, "state") == "down");
    assert_eq!((status(&ours, "forwarding"), status(&ours, "flap_count")), ("false".to_owned(), "2".to_owned()));
    theirs.vsctl("set interface wire bfd:enable=true");
    forwards([&ours, &theirs], "true");
}

#[test]
fn groups_leave_a_port_whose_other_end_is_gone() {
    let (left, mut right) = (Lab::new(), Lab::new());
    joined(&left, &right);
    let one = left.host("p1", "10.1.0.1/24");
    let (near, far) = (left.host("p2", "10.1.0.2/24"), right.host("p2", "10.1.0.2/24"));
    left.vsctl(
        "add-port br0 p1 -- set interface p1 ofport_request=1 -- add-port br0 p2 -- set interface p2 ofport_request=2",
    );
    right.vsctl("add-port br0 p2");
    left.ofctl("del-flows br0");
    left.ofctl(
        "-O OpenFlow13 add-group br0 group_id=1,type=ff,bucket=watch_port:9,output:9,bucket=watch_port:2,output:2",
    );
    left.flow("in_port=1,actions=group:1");
    left.flow("priority=9,in_port=9,actions=output:1");
    left.flow("priority=9,in_port=2,actions=output:1");
    forwards([&left, &right], "true");
    far.ip("link set eth0 address 02:00:00:00:00:01");
    near.ip("link set eth0 address 02:00:00:00:00:01");
    wait("packets go to the far one", || reaches(&one, "10.1.0.2"));
    let received = |lab: &Lab| lab.vsctl("get interface p2 statistics:tx_packets").parse::<u64>().unwrap_or(0);
    wait("they are counted there", || received(&right) > 0);
    right.kill_switch();
    wait("the session is down", || status(&left, "forwarding") == "false");
    wait("packets go to the near one", || reaches(&one, "10.1.0.2"));
    right.start_switch();
    wait("it is up again", || status(&left, "forwarding") == "true");
    near.ip("link set eth0 down");
    wait("packets go to the far one again", || reaches(&one, "10.1.0.2"));
    // Nobody else takes the packets of the session: they are no flow's.
    assert!(!left.ofctl("dump-flows br0 in_port=9").contains("n_packets=0"));
    left.vsctl("set interface wire bfd:enable=false");
    wait("nothing is told any more", || status(&left, "state").is_empty());
}
