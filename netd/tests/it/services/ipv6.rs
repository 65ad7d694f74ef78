//! What is answered in IPv6: to a guest's kernel, which looks for its router, to a DHCP client, a resolver and curl.

use super::{GATEWAY_MAC, Node, SERVICES, ask, port, segment};
use crate::ovs::namespace::{Namespace, wait};
use hive_netd_api::{Ipv6Segment, Port, Segment};
use hive_packet::build;
use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

const HOST_PORT: u16 = 1;
const NUMBER: u64 = 7;
/// Link-local address of [`GATEWAY_MAC`].
const ROUTER: &str = "fe80::ff:fe00:1";
const MTU: u16 = 1400;

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn segment_v6() -> Segment {
    let ipv6 = Ipv6Segment {
        network: address("2001:db8:0:5::"),
        prefix_len: 64,
        name_servers: vec![address("fd00:ec2::253"), address("2001:db8::53")],
        ntp_servers: vec![address("fd00:ec2::123")],
    };
    Segment { ipv6: Some(ipv6), mtu: MTU, lease_s: 7200, ..segment("s") }
}

/// A host without an address, whose packets to the services alone go there; and the port that they know it by.
fn host(node: &Node) -> (Namespace, Port) {
    let host = Namespace::new();
    node.lab.node.veth("p1", &host, "eth0");
    node.lab.vsctl(&format!("add-port br0 p1 -- set interface p1 ofport_request={HOST_PORT}"));
    node.lab.flow(&format!("in_port={SERVICES},tun_id={NUMBER},actions=output:{HOST_PORT}"));
    for to_services in [
        "icmp6,ipv6_dst=ff02::2,icmp_type=133".to_owned(),
        format!("icmp6,icmp_type=135,nd_target={ROUTER}"),
        format!("ipv6,ipv6_dst={ROUTER}"),
        "udp6,tp_src=546,tp_dst=547".to_owned(),
        "ipv6,ipv6_dst=fd00:ec2::/32".to_owned(),
    ] {
        node.lab
            .flow(&format!("in_port={HOST_PORT},{to_services},actions=set_field:{NUMBER}->tun_id,output:{SERVICES}"));
    }
    let mac = host.exec("cat /sys/class/net/eth0/address").trim().to_owned();
    let ipv6 = ["2001:db8:0:5::55", "2001:db8:0:5::56"].map(address).into();
    let mut port = Port { mac, ipv6, number: NUMBER, ..port("s", 5) };
    port.metadata.ipv6 = true;
    port.metadata.token_required = true;
    port.metadata.tree = [("meta-data/instance-id".to_owned(), "i-7".to_owned())].into();
    (host, port)
}

/// A dhclient in the foreground, which its script tells of.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        // By its process, so that what it leased is not given back.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn dhclient(node: &Node, host: &Namespace, arguments: &[&str]) -> Client {
    let (script, log) = (node.lab.path("dhcp"), node.lab.path("dhclient.log"));
    let text = format!(
        "#!/bin/sh\necho \"[ $reason ]\" >> {told}\nenv | grep -E ^new_ >> {told}\n\
         [ -z \"$new_ip6_address\" ] || ip -6 addr replace $new_ip6_address/128 dev $interface nodad\n",
        told = node.lab.path("told")
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = "also request dhcp6.sntp-servers;\n";
    std::fs::write(node.lab.path("dhclient.conf"), options).unwrap();
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &host.name, "dhclient", "-6", "-d", "-v"]).args(arguments);
    command.args(["-sf", &script, "-cf", &node.lab.path("dhclient.conf"), "-lf", &node.lab.path("leases")]);
    command.args(["-pf", &node.lab.path("dhclient.pid"), "eth0"]);
    Client(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
}

fn told(node: &Node) -> String {
    std::fs::read_to_string(node.lab.path("told")).unwrap_or_default()
}

#[test]
fn a_guest_finds_its_router_and_gets_addresses_names_and_metadata() {
    let node = Node::new();
    node.put_segment(segment_v6());
    let (host, port) = host(&node);
    node.put_port(port);
    // The kernel solicits a router by itself.
    let default = format!("default via {ROUTER} dev eth0 proto ra");
    wait("a router", || host.ip("-6 route show default").contains(&default));
    let routes = host.ip("-6 route show");
    assert!(routes.contains("2001:db8:0:5::/64 dev eth0 proto kernel"), "what is on the link: {routes}");
    assert_eq!(host.exec("cat /proc/sys/net/ipv6/conf/eth0/mtu").trim(), MTU.to_string());
    let addresses = host.ip("-6 addr show dev eth0 scope global");
    assert!(addresses.trim().is_empty(), "made up by itself: {addresses}");
    wait("an address of the link's", || host.ip("-6 addr show dev eth0 tentative").trim().is_empty());
    host.ping(&format!("{ROUTER}%eth0"));

    let client = dhclient(&node, &host, &[]);
    let has_both = || ["2001:db8:0:5::55", "2001:db8:0:5::56"].iter().all(|text| told(&node).contains(text));
    wait("a lease", has_both);
    let lines = told(&node);
    for expected in [
        "new_dhcp6_name_servers=fd00:ec2::253 2001:db8::53",
        "new_dhcp6_domain_search=ec2.internal.",
        "new_dhcp6_sntp_servers=fd00:ec2::123",
        "new_preferred_life=7200",
        "new_max_life=7200",
        "[ BOUND6 ]",
    ] {
        assert!(lines.contains(expected), "no {expected} in {lines}");
    }

    let look_up = |what: &str| host.exec(&format!("busybox nslookup {what} fd00:ec2::253"));
    assert!(look_up("-type=a host5.ec2.internal").contains("Address: 10.0.0.5"));
    let url = "http://[fd00:ec2::254]/latest";
    let curl = |arguments: &str| host.exec(&format!("curl --globoff --silent --show-error --max-time 10 {arguments}"));
    assert!(curl(&format!("--include {url}/meta-data/instance-id")).starts_with("HTTP/1.1 401"));
    let token = curl(&format!("--request PUT --header X-aws-ec2-metadata-token-ttl-seconds:60 {url}/api/token"));
    let with_token = format!("--header X-aws-ec2-metadata-token:{token} {url}/meta-data/instance-id");
    assert_eq!(curl(&with_token), "i-7");
    assert_eq!(node.metrics().drops, Default::default());
    drop(client);

    // With a lease of before the client asks whether it is still on its link; then it gives it back.
    std::fs::remove_file(node.lab.path("told")).unwrap();
    let client = dhclient(&node, &host, &[]);
    wait("the lease again", has_both);
    drop(client);
    let log = || std::fs::read_to_string(node.lab.path("dhclient.log")).unwrap();
    assert!(log().contains("XMT: Confirm"), "{}", log());
    let answered = node.metrics().answered_packets;
    let mut client = dhclient(&node, &host, &["-r"]);
    // It does not wait for the answer.
    wait("the lease is given back", || client.0.try_wait().unwrap().is_some_and(|status| status.success()));
    assert!(log().contains("XMT: Release"), "{}", log());
    wait("an answer", || node.metrics().answered_packets > answered);
    // It may have gone before the answer came: then its kernel says that nobody listens, and to that nothing is said.
    let mut drops = node.metrics().drops;
    drops.remove("not-served");
    assert_eq!(drops, Default::default());
}

#[test]
fn a_client_that_wants_no_address_is_told_the_rest() {
    let node = Node::new();
    node.put_segment(segment_v6());
    let (host, port) = host(&node);
    node.put_port(port);
    wait("an address of the link's", || {
        let addresses = host.ip("-6 addr show dev eth0 scope link");
        addresses.contains("fe80::") && !addresses.contains("tentative")
    });
    let _client = dhclient(&node, &host, &["-S"]);
    wait("an answer", || told(&node).contains("new_dhcp6_name_servers=fd00:ec2::253 2001:db8::53"));
    assert!(!told(&node).contains("new_ip6_address"), "{}", told(&node));
}

#[test]
fn what_is_too_long_for_a_link_is_answered_as_by_a_router() {
    let node = Node::new();
    node.put_segment(segment_v6());
    let mut guest = node.guest(5);
    node.put_port(port("s", 5));
    let (from, world) = (address("2001:db8:0:5::55"), address("2001:db8:9::9"));
    let link = "in_port=5,ipv6,ipv6_dst=2001:db8:9::/48,actions=check_pkt_larger(1314)->NXM_NX_REG0[0],resubmit(,1)";
    node.lab.flow(&format!("priority=40000,{link}"));
    node.lab.flow(&format!(
        "table=1,reg0=0,actions=set_field:{GATEWAY_MAC}->eth_src,set_field:{}->eth_dst,in_port",
        guest.mac
    ));
    let packet = |bytes: usize| build::v6::udp(from, world, 1, 2, &vec![7; bytes - 48]);
    let (fits, long) = (packet(1300), packet(1301));
    for (router, action) in [(ROUTER, ""), ("2001:db8:0:5::1", "set_field:2001:db8:0:5::1->tun_ipv6_src,")] {
        let tun_id = 1300u64 << 32 | 5;
        node.lab.flow(&format!("table=1,reg0=1,actions={action}set_field:{tun_id:#x}->tun_id,output:{SERVICES}"));
        let answer = build::v6::icmp(address(router), from, 2, 0, [0, 0, 0x05, 0x14], &long[..1232]);
        assert_eq!(ask(&mut guest, &fits), fits);
        assert_eq!(ask(&mut guest, &long), answer);
    }
}
