//! What ovs-vsctl asks for is there when it returns.

use super::lab::Lab;
use super::namespace::{Namespace, wait};

#[test]
fn bridges_and_ports_come_and_go() {
    let lab = Lab::new();
    lab.vsctl("add-br br0");
    lab.vsctl("add-br br1 -- set bridge br1 datapath_type=netdev");
    lab.vsctl("add-port br0 int0 -- set interface int0 type=internal ofport_request=7 mac=\"02:00:00:00:00:77\"");
    lab.vsctl("add-port br0 int1 -- set interface int1 type=internal mtu_request=1400");
    assert_eq!(lab.vsctl("list-br"), "br0\nbr1");
    assert_eq!(lab.vsctl("list-ports br0"), "int0\nint1");
    assert_eq!(lab.vsctl("get interface int0 ofport"), "7");
    assert_eq!(lab.vsctl("get interface br0 ofport"), "65534");
    assert_eq!(lab.vsctl("get interface int0 mac_in_use"), "\"02:00:00:00:00:77\"");
    assert_eq!(lab.vsctl("get interface int1 mtu"), "1400");
    assert!(lab.node.ip("link show int0").contains("02:00:00:00:00:77"));
    assert!(lab.ofctl("show br0").contains("7(int0): addr:02:00:00:00:00:77"));
    let id = lab.vsctl("get bridge br0 datapath_id");
    assert!(lab.ofctl("show br0").contains(&format!("dpid:{}", id.trim_matches('"'))));

    lab.vsctl("set interface int1 ofport_request=9");
    assert_eq!(lab.vsctl("get interface int1 ofport"), "9");
    lab.vsctl("set bridge br0 other_config:datapath-id=00000000000000aa other_config:hwaddr=\"02:00:00:00:00:bb\"");
    assert!(lab.ofctl("show br0").contains("dpid:00000000000000aa"));
    assert!(lab.node.ip("link show br0").contains("02:00:00:00:00:bb"));

    lab.vsctl("del-port br0 int0");
    assert!(!lab.node.ip("link show").contains("int0"));
    assert!(!lab.ofctl("show br0").contains("int0"));
    lab.vsctl("del-br br0");
    assert!(lab.try_ofctl("show br0").is_err());
    assert!(!lab.node.ip("link show").contains("int1"));
    // The name is free for another one.
    lab.vsctl("add-br br0 -- add-port br0 int0 -- set interface int0 type=internal");
    assert_eq!(lab.vsctl("get interface int0 ofport"), "1");
}

#[test]
fn what_cannot_be_made_is_said_and_made_when_it_can() {
    let lab = Lab::new();
    lab.vsctl("add-br br0");
    let error = lab.try_vsctl("add-port br0 late").unwrap_or_else(|error| error);
    assert!(error.contains("could not open network device late (No such device)"), "{error}");
    assert_eq!(lab.vsctl("get interface late ofport"), "-1");
    lab.node.ip("link add late type veth peer name other");
    wait("the device is taken", || lab.vsctl("get interface late ofport") == "1");
    assert_eq!(lab.vsctl("get interface late error"), "[]");
    lab.node.ip("link del late");
    wait("the device is gone", || lab.vsctl("get interface late ofport") == "-1");
    let output = lab.try_vsctl("add-port br0 odd -- set interface odd type=odd").unwrap_or_else(|error| error);
    assert!(
        output.contains("could not open network device odd (Address family not supported by protocol)"),
        "{output}"
    );
}

/// As containers are given theirs: the port is moved into a namespace, and renamed there.
#[test]
fn an_internal_port_moves_to_another_namespace() {
    let lab = Lab::new();
    let [one] = lab.hosts::<1>();
    let other = Namespace::new();
    lab.vsctl("add-port br0 int0 -- set interface int0 type=internal");
    let number = lab.vsctl("get interface int0 ofport");
    lab.node.ip(&format!("link set int0 netns {} name eth0", other.name));
    other.ip("link set eth0 address 02:00:00:00:00:66 mtu 1400");
    other.address("eth0", "10.1.0.6/24");
    wait("its state is followed", || {
        lab.vsctl("get interface int0 mac_in_use link_state admin_state") == "\"02:00:00:00:00:66\"\nup\nup"
    });
    other.ping("10.1.0.1");
    one.stream(&other, "10.1.0.6", 1 << 20);
    // Nor is it made anew when the configuration is looked at.
    lab.vsctl("add-port br0 int1 -- set interface int1 type=internal");
    assert_eq!(lab.vsctl("get interface int0 ofport error"), format!("{number}\n[]"));
    assert!(!lab.node.ip("link show").contains("int0"));
    other.ping("10.1.0.1");
    other.ip("link set eth0 down");
    wait("it is down", || lab.vsctl("get interface int0 admin_state") == "down");
    // It comes back, and goes where it is.
    other.ip(&format!("link set eth0 netns {} name int0", lab.node.name));
    lab.node.ip("link set int0 up mtu 1300");
    wait("its way back is followed", || lab.vsctl("get interface int0 mtu link_state") == "1300\nup");
    lab.node.ip(&format!("link set int0 netns {} name eth1", other.name));
    lab.vsctl("del-port br0 int0");
    assert!(!other.ip("link show").contains("eth1"));
}

/// With the namespace goes the device; another one is made.
#[test]
fn an_internal_port_outlives_its_namespace() {
    let lab = Lab::new();
    lab.vsctl("add-br br0 -- add-port br0 int0 -- set interface int0 type=internal");
    let other = Namespace::new();
    lab.node.ip(&format!("link set int0 netns {}", other.name));
    wait("it is elsewhere", || other.ip("link show").contains("int0"));
    drop(other);
    wait("it is made anew", || lab.node.ip("link show").contains("int0"));
    assert_eq!(lab.vsctl("get interface int0 error"), "[]");
}

#[test]
fn the_database_is_told_what_there_is() {
    let lab = Lab::new();
    let _hosts = lab.hosts::<1>();
    assert_eq!(lab.vsctl("get open_vswitch . ovs_version"), "\"3.1.0\"");
    let types = lab.vsctl("get open_vswitch . iface_types");
    assert!(
        ["geneve", "vxlan", "afxdp", "internal", "patch", "tap", "dpdkvhostuserclient"]
            .iter()
            .all(|kind| types.contains(kind))
    );
    wait("the link is seen", || lab.vsctl("get interface p1 link_state") == "up");
    assert_eq!(lab.vsctl("get interface p1 admin_state"), "up");
    let capabilities = lab.vsctl("get datapath . capabilities").replace(' ', "");
    assert!(
        capabilities.contains("ct_zero_snat=\"true\"") || capabilities.contains("ct_zero_snat=true"),
        "{capabilities}"
    );
    lab.node.ip("link set p1 down");
    wait("the link is down", || lab.vsctl("get interface p1 admin_state link_state") == "down\ndown");
    wait("OpenFlow knows too", || lab.ofctl("show br0").contains("LINK_DOWN"));
}

#[test]
fn a_thousand_ports_are_made() {
    let lab = Lab::new();
    lab.vsctl("add-br br0");
    let mut batch = String::new();
    for number in 1..=1000 {
        batch +=
            &format!(" -- add-port br0 t{number} -- set interface t{number} type=internal ofport_request={number}");
    }
    lab.vsctl(batch.trim_start_matches(" --").trim());
    assert_eq!(lab.vsctl("get interface t1 ofport"), "1");
    assert_eq!(lab.vsctl("get interface t1000 ofport"), "1000");
    assert_eq!(lab.ofctl("-O OpenFlow13 dump-ports-desc br0").matches("addr:").count(), 1001);
    lab.vsctl("del-br br0");
    assert!(!lab.node.ip("link show").contains("t1000"));
}

#[test]
fn flow_tables_have_their_limits() {
    let lab = Lab::new();
    lab.vsctl("add-br br0 -- --id=@t create flow_table flow_limit=1 overflow_policy=refuse -- set bridge br0 flow_tables:0=@t");
    lab.ofctl("del-flows br0");
    lab.flow("in_port=1,actions=drop");
    let refused = lab.try_ofctl("add-flow br0 in_port=2,actions=drop").unwrap_or_else(|error| error);
    assert!(refused.contains("OFPFMFC_TABLE_FULL"), "{refused}");
    lab.vsctl("clear bridge br0 flow_tables");
    lab.flow("in_port=2,actions=drop");
}
