//! Geneve and VXLAN between two nodes.

use super::lab::{Lab, reaches};
use super::namespace::wait;
use std::process::Command;

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

/// Packets that went by a connection's way.
fn fused(lab: &Lab) -> u64 {
    let counters = lab.appctl("coverage/show");
    let line = counters.lines().find(|line| line.contains("datapath_fused_hits"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Security groups at both nodes, and a length that packets may have between, as a VPC has it: each packet is one lookup.
#[test]
fn connections_between_nodes_go_by_cached_ways() {
    let [left, right] = nodes();
    let mut hosts = Vec::new();
    for (lab, own, other) in [(&left, 1, 2), (&right, 2, 1)] {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure");
        let host = lab.host("p1", &format!("10.1.0.{own}/24"));
        host.address("eth0", &format!("fd00:9::{own}/64"));
        host.ip("link set eth0 mtu 1400");
        lab.vsctl("add-port br0 p1 -- set interface p1 ofport_request=1");
        lab.vsctl(
            "add-port br0 tun -- set interface tun type=geneve options:remote_ip=flow options:key=flow ofport_request=2",
        );
        let there = format!("set_field:7->tun_id,set_field:192.168.7.{other}->tun_dst,check_pkt_larger(1414)->reg0[0]");
        let from = format!("in_port=2,tun_id=7,tun_src=192.168.7.{other}");
        for flow in [
            format!("table=0,priority=9,in_port=1,arp,actions={there},goto_table:2"),
            format!("table=0,priority=9,in_port=1,icmp6,actions={there},goto_table:2"),
            format!("table=0,priority=9,{from},arp,actions=output:1"),
            format!("table=0,priority=9,{from},icmp6,actions=output:1"),
            "table=0,priority=5,in_port=1,ip,actions=ct(zone=5,table=1)".to_owned(),
            "table=0,priority=5,in_port=1,ipv6,actions=ct(zone=5,table=1)".to_owned(),
            format!("table=1,ct_state=+trk+new,ip,actions=ct(commit,zone=5),{there},goto_table:2"),
            format!("table=1,ct_state=+trk+new,ipv6,actions=ct(commit,zone=5),{there},goto_table:2"),
            format!("table=1,ct_state=+trk+est,actions={there},goto_table:2"),
            "table=2,priority=9,reg0=1,actions=drop".to_owned(),
            "table=2,priority=5,actions=output:2".to_owned(),
            format!("table=0,priority=5,{from},ip,actions=ct(zone=5,table=3)"),
            format!("table=0,priority=5,{from},ipv6,actions=ct(zone=5,table=3)"),
            "table=3,ct_state=+trk+new,ip,actions=ct(commit,zone=5),output:1".to_owned(),
            "table=3,ct_state=+trk+new,ipv6,actions=ct(commit,zone=5),output:1".to_owned(),
            "table=3,ct_state=+trk+est,actions=output:1".to_owned(),
        ] {
            lab.flow(&flow);
        }
        hosts.push(host);
    }
    for addresses in [["10.1.0.1", "10.1.0.2"], ["fd00:9::1", "fd00:9::2"]] {
        hosts[0].ping(addresses[1]);
        let before = [fused(&left), fused(&right)];
        hosts[0].stream(&hosts[1], addresses[1], 20 << 20);
        hosts[1].stream(&hosts[0], addresses[0], 20 << 20);
        wait("most went by their connections' ways", || {
            fused(&left) - before[0] > 300 && fused(&right) - before[1] > 300
        });
    }
}

/// Makes a node's key, as an operator does; its public half.
fn make_key(lab: &Lab) -> String {
    let file = lab.path("key");
    let mut make = Command::new("sh");
    make.args(["-c", &format!("umask 077; wg genkey >{file}; wg pubkey <{file}")]);
    lab.run(&mut make).trim().to_owned()
}

fn status(lab: &Lab, column: &str, key: &str) -> String {
    lab.vsctl(&format!("--if-exists get interface tun {column}:{key}")).trim_matches('"').to_owned()
}

#[test]
fn encrypted_nodes_are_on_one_network_and_restarts_do_not_part_them() {
    let [mut left, right] = nodes();
    let keys = [make_key(&left), make_key(&right)];
    let mut hosts = Vec::new();
    for (lab, own, other) in [(&left, 1, 2), (&right, 2, 1)] {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
        let host = lab.host("p1", &format!("10.1.0.{own}/24"));
        host.ip("link set eth0 mtu 1300");
        lab.vsctl("add-port br0 p1");
        lab.vsctl(&format!(
            "add-port br0 tun -- set interface tun type=geneve options:remote_ip=192.168.7.{other} \
             options:local_ip=192.168.7.{own} options:key=7 options:wireguard_peer={} \
             options:wireguard_private_key_file={}",
            keys[other - 1],
            lab.path("key")
        ));
        hosts.push(host);
    }
    hosts[0].ping("10.1.0.2");
    hosts[0].stream(&hosts[1], "10.1.0.2", 5 << 20);
    hosts[1].stream(&hosts[0], "10.1.0.1", 5 << 20);
    assert_eq!(status(&left, "status", "wireguard_public_key"), keys[0]);
    wait("the handshake is shown", || {
        status(&left, "status", "\"wireguard_established:192.168.7.2\"") == "true"
            && status(&left, "status", "\"wireguard_last_handshake:192.168.7.2\"").parse::<u64>().unwrap()
                > 1_700_000_000
    });
    wait("what was sent is counted", || {
        status(&left, "statistics", "wireguard_tx_bytes").parse::<u64>().unwrap() > 5 << 20
    });
    assert_eq!(status(&left, "statistics", "wireguard_rx_forged"), "0");

    left.kill_switch();
    left.start_switch();
    hosts[1].ping("10.1.0.1");
    hosts[0].stream(&hosts[1], "10.1.0.2", 1 << 20);

    // Without encryption there is no way in for somebody with the peer's address.
    left.kill_switch();
    let clear = left.node.enter(|| std::net::UdpSocket::bind("192.168.7.1:0").unwrap());
    right.vsctl("add-port br0 open -- set interface open type=geneve options:remote_ip=flow options:key=7");
    clear.send_to(&[&[0, 0, 0x65, 0x58, 0, 0, 7, 0][..], &[0; 60]].concat(), "192.168.7.2:6081").unwrap();
    wait("it is counted", || right.appctl("coverage/show").contains("tunnel_geneve_6081_clear"));

    // Another key at the same address is another peer; once it is told of, it is the one.
    let other_key = make_key(&left);
    left.start_switch();
    assert!(!reaches(&hosts[0], "10.1.0.2"));
    wait("its handshakes are refused", || {
        status(&right, "statistics", "wireguard_rx_wrong_key").parse::<u64>().unwrap() > 0
    });
    right.vsctl(&format!("set interface tun options:wireguard_peer={other_key}"));
    wait("they speak again", || reaches(&hosts[0], "10.1.0.2"));
}

/// Machines that send more than the wire takes at once: in fragments if the tunnel says so, and not at all if it does not.
#[test]
fn what_is_too_long_for_the_wire_is_fragmented_if_it_may_be() {
    for encrypted in [false, true] {
        let [left, right] = nodes();
        let keys = if encrypted { [make_key(&left), make_key(&right)] } else { [String::new(), String::new()] };
        let mut hosts = Vec::new();
        for (lab, own, other) in [(&left, 1, 2), (&right, 2, 1)] {
            lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
            let host = lab.host("p1", &format!("10.1.0.{own}/24"));
            lab.node.ip("link set p1 mtu 9001");
            host.ip("link set eth0 mtu 9001");
            lab.vsctl("add-port br0 p1");
            let mut add = format!(
                "add-port br0 tun -- set interface tun type=geneve options:remote_ip=192.168.7.{other} \
                 options:local_ip=192.168.7.{own} options:key=7 options:df_default=false"
            );
            if encrypted {
                let file = lab.path("key");
                let peer = &keys[other - 1];
                add += &format!(" options:wireguard_peer={peer} options:wireguard_private_key_file={file}");
            }
            lab.vsctl(&add);
            hosts.push(host);
        }
        hosts[0].ping("10.1.0.2");
        let whole = || {
            let mut ping = Command::new("ip");
            ping.args(["netns", "exec", &hosts[0].name, "ping", "-n", "-c", "1", "-W", "1", "-M", "do"]);
            ping.args(["-s", "8973", "10.1.0.2"]).output().unwrap().status.success()
        };
        wait("a packet of 9001 bytes crosses", whole);
        hosts[0].stream(&hosts[1], "10.1.0.2", 20 << 20);
        hosts[1].stream(&hosts[0], "10.1.0.1", 20 << 20);
        left.vsctl("set interface tun options:df_default=true");
        let dropped = || status(&left, "statistics", "tx_dropped").parse::<u64>().unwrap_or(0);
        let before = dropped();
        wait("it is dropped, and counted", || !whole() && dropped() > before);
        left.vsctl("set interface tun options:df_default=false");
        wait("it is fragmented again", whole);
    }
}

#[test]
fn a_key_that_others_can_read_makes_no_tunnel() {
    let [left, _right] = nodes();
    let key = make_key(&left);
    left.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    let file = left.path("key");
    super::namespace::run("chmod", &["640", &file]);
    let add = format!(
        "add-port br0 tun -- set interface tun type=geneve options:remote_ip=192.168.7.2 options:local_ip=192.168.7.1 \
         options:wireguard_peer={key} options:wireguard_private_key_file={file}"
    );
    let _ = left.try_vsctl(&add);
    let error = left.vsctl("get interface tun error");
    assert!(error.contains("others than its owner may read it (mode 640)") && error.contains(&file), "{error}");
    assert_eq!(left.vsctl("get interface tun ofport"), "-1");
    super::namespace::run("chmod", &["600", &file]);
    left.vsctl("set interface tun options:ttl=9");
    assert_eq!(left.vsctl("get interface tun error"), "[]");
    left.vsctl("set interface tun options:wireguard_peer=short");
    let _ = left.try_vsctl("remove interface tun options local_ip");
    assert!(left.vsctl("get interface tun error").contains("requires 'local_ip'"));
}

/// One port, and flows that say where to: peers come and go, and those that stay keep their sessions.
#[test]
fn flows_choose_among_encrypted_peers() {
    let [left, right] = nodes();
    let keys = [make_key(&left), make_key(&right)];
    let mut hosts = Vec::new();
    for (lab, own, other) in [(&left, 1, 2), (&right, 2, 1)] {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure");
        let host = lab.host("p1", &format!("10.1.0.{own}/24"));
        host.ip("link set eth0 mtu 1300");
        lab.vsctl("add-port br0 p1 -- set interface p1 ofport_request=1");
        lab.vsctl(&format!(
            "add-port br0 tun -- set interface tun type=geneve options:remote_ip=flow options:local_ip=192.168.7.{own} \
             options:key=flow options:wireguard_private_key_file={} ofport_request=2",
            lab.path("key")
        ));
        lab.flow(&format!("in_port=1,actions=set_field:7->tun_id,set_field:192.168.7.{other}->tun_dst,output:2"));
        lab.flow(&format!("in_port=2,tun_id=7,tun_src=192.168.7.{other},actions=output:1"));
        hosts.push(host);
    }
    // Nobody is agreed on: nothing passes, and nothing is sent.
    assert!(!reaches(&hosts[0], "10.1.0.2"));
    for (lab, other) in [(&left, 2), (&right, 1)] {
        lab.vsctl(&format!("set interface tun options:\"wireguard_peer:192.168.7.{other}\"={}", keys[other - 1]));
    }
    wait("they speak", || reaches(&hosts[0], "10.1.0.2"));
    let handshake = || status(&left, "status", "\"wireguard_last_handshake:192.168.7.2\"");
    wait("it is shown", || handshake().parse::<u64>().is_ok_and(|at| at > 0));
    let (before, number) = (handshake(), left.vsctl("get interface tun ofport"));
    left.vsctl(&format!("set interface tun options:\"wireguard_peer:192.168.7.3\"={}", keys[0]));
    wait("the other peer is shown", || !status(&left, "status", "\"wireguard_established:192.168.7.3\"").is_empty());
    hosts[1].stream(&hosts[0], "10.1.0.1", 1 << 20);
    assert_eq!((handshake(), left.vsctl("get interface tun ofport")), (before, number));
    left.vsctl("remove interface tun options \"wireguard_peer:192.168.7.2\"");
    wait("it is no peer", || !reaches(&hosts[0], "10.1.0.2"));
}
