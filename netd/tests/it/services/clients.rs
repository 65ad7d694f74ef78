//! The programs of a guest: a DHCP client, a resolver, ping and curl, in namespaces behind the bridge.

use super::{GATEWAY, Node, SERVICES, ask, is_at_the_gateway, port, segment};
use crate::guest::{Guest, Options};
use crate::ovs::lab::Lab;
use crate::ovs::namespace::Namespace;
use hive_netd_api::{Port, Reply, Segment};
use hive_packet::build;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const HOST_PORT: u16 = 1;
const NUMBER: u64 = 7;

/// A host without an address, whose packets to the services alone go there; and the port that they know it by.
fn host(node: &Node, segment: &Segment) -> (Namespace, Port) {
    let host = Namespace::new();
    node.lab.node.veth("p1", &host, "eth0");
    node.lab.vsctl(&format!("add-port br0 p1 -- set interface p1 ofport_request={HOST_PORT}"));
    node.lab.flow(&format!("in_port={SERVICES},tun_id={NUMBER},actions=output:{HOST_PORT}"));
    let gateway = segment.gateway;
    for to_services in [
        "udp,tp_dst=67".to_owned(),
        format!("arp,arp_tpa={gateway}"),
        format!("ip,nw_dst={gateway}"),
        format!("ip,nw_dst={}", segment.dns),
        "ip,nw_dst=169.254.0.0/16".to_owned(),
    ] {
        node.lab
            .flow(&format!("in_port={HOST_PORT},{to_services},actions=set_field:{NUMBER}->tun_id,output:{SERVICES}"));
    }
    let mac = host.exec("cat /sys/class/net/eth0/address").trim().to_owned();
    let mut port = Port { mac, number: NUMBER, ..port(&segment.segment_id, 5) };
    port.metadata.token_required = true;
    port.metadata.tree = [("meta-data/instance-id".to_owned(), "i-7".to_owned())].into();
    (host, port)
}

/// Takes a lease as a guest does, and returns what the client was told, as NAME=VALUE.
fn lease(node: &Node, host: &Namespace) -> Vec<String> {
    let (script, told) = (node.lab.path("dhcp"), node.lab.path("told"));
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nset -e\nip addr add $ip/$mask dev $interface\n\
         ip link set $interface mtu $mtu\nip route add default via $router\nenv > {told}\n"
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = "-O mtu -O ntpsrv -O wins -O 0x2e -O lease -O broadcast";
    host.exec(&format!("busybox udhcpc -i eth0 -f -n -q -t 10 -T 1 {options} -s {script}"));
    std::fs::read_to_string(told).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_guest_gets_its_address_and_options_names_and_metadata() {
    let node = Node::new();
    let segment = Segment {
        names: "vpc-1".into(),
        dns: Ipv4Addr::new(10, 9, 0, 2),
        name_servers: vec![Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(192, 0, 2, 53)],
        ntp_servers: vec![Ipv4Addr::new(169, 254, 169, 123)],
        netbios_name_servers: vec![Ipv4Addr::new(192, 0, 2, 44)],
        netbios_node_type: Some(2),
        lease_s: 7200,
        ..segment("s")
    };
    node.put_segment(segment.clone());
    let other = Segment {
        segment_id: "t".into(),
        network: Ipv4Addr::new(10, 0, 1, 0),
        gateway: Ipv4Addr::new(10, 0, 1, 1),
        ..segment.clone()
    };
    node.put_segment(other);
    node.put_port(Port { ipv4: Ipv4Addr::new(10, 0, 1, 9), ..port("t", 9) });
    let (host, port) = host(&node, &segment);
    node.put_port(port);

    let told = lease(&node, &host);
    for expected in [
        "ip=10.0.0.5",
        "mask=24",
        "router=10.0.0.1",
        "serverid=10.0.0.1",
        "broadcast=10.0.0.255",
        "mtu=1500",
        "lease=7200",
        "hostname=host5",
        "domain=ec2.internal",
        "dns=10.9.0.2 192.0.2.53",
        "ntpsrv=169.254.169.123",
        "wins=192.0.2.44",
        "opt46=02",
    ] {
        assert!(told.iter().any(|line| line == expected), "no {expected} in {told:?}");
    }

    host.ping(&GATEWAY.to_string());
    let look_up = |what: &str| host.exec(&format!("busybox nslookup {what} 10.9.0.2"));
    assert!(look_up("-type=a host9.ec2.internal").contains("Address: 10.0.1.9"));
    assert!(look_up("10.0.1.9").contains("name = host9.ec2.internal"));
    assert!(look_up("10.0.0.5").contains("name = host5.ec2.internal"));

    let url = "http://169.254.169.254/latest";
    let curl = |arguments: &str| host.exec(&format!("curl --silent --show-error --max-time 10 {arguments}"));
    assert!(curl(&format!("--include {url}/meta-data/instance-id")).starts_with("HTTP/1.1 401"));
    let token = curl(&format!("--request PUT --header X-aws-ec2-metadata-token-ttl-seconds:60 {url}/api/token"));
    let with_token = format!("--header X-aws-ec2-metadata-token:{token} {url}/meta-data/instance-id");
    assert_eq!(curl(&with_token), "i-7");
    assert_eq!(node.metrics().drops, Default::default());
}

/// What `netd --help` says to type works.
#[test]
fn the_example_of_the_help_is_answered() {
    let node = Node::new();
    node.lab.vsctl("del-br br0");
    let help = Command::new(env!("CARGO_BIN_EXE_netd")).arg("--help").output().unwrap();
    // Lines that are too long go on in the next.
    let help = String::from_utf8(help.stdout).unwrap().replace("\\\n", "");
    let mut answers = Vec::new();
    // What follows is about another switch's controller, OVN.
    for line in help.lines().map(str::trim).take_while(|line| !line.starts_with("For OVN")) {
        let unquoted = line.replace('"', "");
        if let Some(command) = unquoted.strip_prefix("ovs-vsctl ") {
            node.lab.vsctl(command);
        } else if let Some(command) = unquoted.strip_prefix("ovs-ofctl add-flow br0 ") {
            node.lab.flow(command);
        } else if line.starts_with('{') {
            answers.push(node.ask(line));
        }
    }
    assert_eq!(answers[..2], [Reply::Done, Reply::Done]);
    assert!(matches!(&answers[2..], [Reply::Ports(ports), Reply::Metrics(_)] if ports.len() == 1), "{answers:?}");
    let mut guest = Guest::connect(node.lab.path("vm1").as_ref(), 5, Options::default());
    guest.mac = hive_packet::MacAddr([2, 0, 0, 0, 0, 5]);
    // The resolver is on the guest's link: it is asked for before it is asked.
    for address in [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)] {
        is_at_the_gateway(&mut guest, address);
    }
    let echo = |from, to, kind| build::icmp(from, to, kind, 0, [0; 4], b"there");
    for address in [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(169, 254, 169, 254)] {
        let ip = guest.ip;
        assert_eq!(ask(&mut guest, &echo(ip, address, 8)), echo(address, ip, 0));
    }
}

#[test]
fn without_a_place_for_its_state_there_is_no_such_port() {
    let lab = Lab::new();
    lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    lab.vsctl("add-port br0 svc -- set interface svc type=services");
    assert!(lab.vsctl("get interface svc error").contains("--state-dir"));
}
