//! Geneve and VXLAN between two nodes.

use super::lab::{Lab, reaches};
use super::namespace::wait;

fn nodes() -> [Lab; 2] {
    let (left, right) = (Lab::new(), Lab::new());
    left.node.veth("wire", &right.node, "wire");
    left.node.address("wire", "192.168.7.1/24");
    right.node.address("wire", "192.168.7.2/24");
    [left, right]
}

#[test]
fn hosts_of_two_nodes_are_on_one_network() {
    for kind in ["geneve", "vxlan"] {
        let [left, right] = nodes();
        let mut hosts = Vec::new();
        for (lab, own, other) in [(&left, 1, 2), (&right, 2, 1)] {
            lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
            let host = lab.host("p1", &format!("10.1.0.{own}/24"));
            host.ip("link set eth0 mtu 1400");
            lab.vsctl("add-port br0 p1");
            lab.vsctl(&format!(
                "add-port br0 tun -- set interface tun type={kind} options:remote_ip=192.168.7.{other} options:key=7"
            ));
            hosts.push(host);
        }
        hosts[0].ping("10.1.0.2");
        hosts[0].stream(&hosts[1], "10.1.0.2", 5 << 20);
        hosts[1].stream(&hosts[0], "10.1.0.1", 5 << 20);
        assert!(left.appctl("tnl/ports/show").contains("ref_cnt=1"));
        // Another network is another one.
        left.vsctl("set interface tun options:key=8");
        assert!(!reaches(&hosts[0], "10.1.0.2"));
        wait("the endpoint counts what is for nobody", || left.appctl("coverage/show").contains("noport"));
    }
}

/// As ovn-controller does it: one port, and flows that say where to, with an option.
#[test]
fn flows_choose_the_tunnel_and_its_options() {
    let [left, right] = nodes();
    let mut hosts = Vec::new();
    for (lab, own, other) in [(&left, 1, 2), (&right, 2, 1)] {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure");
        let host = lab.host("p1", &format!("10.1.0.{own}/24"));
        host.ip("link set eth0 mtu 1400");
        lab.vsctl("add-port br0 p1 -- set interface p1 ofport_request=1");
        lab.vsctl(
            "add-port br0 tun -- set interface tun type=geneve options:remote_ip=flow options:key=flow ofport_request=2",
        );
        lab.ofctl("add-tlv-map br0 {class=0x102,type=0x80,len=4}->tun_metadata0");
        lab.flow(&format!(
            "in_port=1,actions=set_field:0x{own}0->tun_id,set_field:192.168.7.{other}->tun_dst,\
             set_field:0x{own}->tun_metadata0,output:2"
        ));
        lab.flow(&format!(
            "in_port=2,tun_id=0x{other}0,tun_src=192.168.7.{other},tun_metadata0=0x{other},actions=output:1"
        ));
        hosts.push(host);
    }
    hosts[0].ping("10.1.0.2");
    hosts[1].stream(&hosts[0], "10.1.0.1", 1 << 20);
    right.ofctl("del-flows br0 in_port=2");
    right.flow("in_port=2,tun_metadata0=0x9,actions=output:1");
    assert!(!reaches(&hosts[0], "10.1.0.2"));
}
