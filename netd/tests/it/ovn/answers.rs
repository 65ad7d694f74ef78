//! What ovn-controller answers itself: packets that flows bring to it, and its own that it sends.

use super::lab::{NETWORKS, OUTSIDE, machines, region};
use crate::ovs::namespace::{Namespace, wait};

/// What `ping` prints, however it ends.
fn ping(from: &Namespace, arguments: &str) -> String {
    let mut ping = std::process::Command::new("ip");
    ping.args(["netns", "exec", &from.name, "ping", "-n", "-c", "1", "-W", "5"]).args(arguments.split_whitespace());
    crate::ovs::lab::text(&ping.output().unwrap())
}

#[test]
fn routers_say_why_a_packet_does_not_go_on() {
    let (central, chassis) = region(&format!("{NETWORKS}{OUTSIDE}"));
    central.program("lr-nat-add router snat 192.168.9.1 10.1.0.0/16");
    let [web1, web2, app1] = machines(&chassis);
    let _world = chassis.outsider("world", 99, "192.168.9.9/24");
    central.program(
        "lr-route-add router 10.77.0.0/16 10.1.1.12\nset logical_router_port router-outside options:gateway_mtu=1000",
    );
    central.sync();
    wait("the hop limit is reached", || {
        ping(&web1, "-t 1 10.1.2.21").contains("From 10.1.1.1 icmp_seq=1 Time to live exceeded")
    });
    let large = "-M do -s 1200 192.168.9.9";
    wait("it is too large", || {
        let said = ping(&app1, large);
        said.contains("From 10.1.2.1 icmp_seq=1 Frag needed and DF set (mtu = 1000)")
            || said.contains("message too long, mtu=1000")
    });
    app1.ping("192.168.9.9");
    // A static route, to a machine that has the address.
    web2.ip("addr add 10.77.0.1/32 dev lo");
    app1.ping("10.77.0.1");
}

/// Names of no server that anybody runs.
const LOOKUP: &str = "import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.sendto(struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + b'\\x03app\\x04test\\x00\\x00\\x01\\x00\\x01', ('10.1.1.1', 53))
print('.'.join(str(part) for part in s.recv(500)[-4:]))";

#[test]
fn names_are_answered() {
    let (central, chassis) = region(NETWORKS);
    let names = central.nbctl("create DNS records={\"app.test\"=\"10.1.2.21\"}");
    central.nbctl(&format!("add logical_switch web dns_records {names}"));
    let [web1, _web2, _app1] = machines(&chassis);
    central.sync();
    let answer = crate::ovs::namespace::run("ip", &["netns", "exec", &web1.name, "python3", "-c", LOOKUP]);
    assert_eq!(answer.trim(), "10.1.2.21");
}

#[test]
fn machines_find_their_router_and_addresses_by_ipv6() {
    let (central, chassis) = region(NETWORKS);
    for (number, network) in [(1, "web"), (2, "app")] {
        central.nbctl(&format!(
            "set logical_router_port router-{network} networks=\"10.1.{number}.1/24\",\"fd00:{number}::1/64\" \
             ipv6_ra_configs:address_mode=slaac"
        ));
    }
    // What machines make of their MAC addresses.
    let made = |number: u32, mac: u32| format!("fd00:{number}::ff:fe00:{mac:x}");
    central.nbctl(&format!("lsp-set-addresses web1 '02:00:00:00:00:0b 10.1.1.11 {}'", made(1, 0x0b)));
    central.nbctl(&format!("lsp-set-addresses app1 '02:00:00:00:00:15 10.1.2.21 {}'", made(2, 0x15)));
    let [web1, _web2, app1] = machines(&chassis);
    central.sync();
    for (machine, address) in [(&web1, made(1, 0x0b)), (&app1, made(2, 0x15))] {
        // Comes up, and asks.
        machine.ip("link set eth0 down");
        machine.ip("link set eth0 up");
        wait("it has an address and a router", || {
            machine.ip("-6 addr show dev eth0").contains(&address)
                && machine.ip("-6 route").contains("default via fe80::")
        });
    }
    wait("neighbours are found", || ping(&web1, &made(2, 0x15)).contains(" 0% packet loss"));
    web1.stream(&app1, &made(2, 0x15), 1 << 20);
    app1.ping("fd00:1::1");
    let far = ping(&web1, &format!("-t 1 {}", made(2, 0x15)));
    assert!(far.contains("From fd00:1::1 icmp_seq=1 Time exceeded: Hop limit"), "{far}");
}
