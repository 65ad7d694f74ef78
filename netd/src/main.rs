//! Arguments; everything else is in the library.

#![forbid(unsafe_code)]

use clap::Parser;
use hive_netd::ovs::{self, OvsOptions, ServicesOptions};
use std::net::SocketAddrV4;
use std::path::PathBuf;

/// Userspace switch in the place of ovs-vswitchd, managed by ovs-vsctl, ovs-ofctl and ovs-appctl, and driven by OVN if that is wanted.
/// Guests are behind vhost-user-net; DHCP, DNS and instance metadata behind interfaces of type `services`.
#[derive(Parser)]
#[command(version, after_long_help = EXAMPLE)]
struct Arguments {
    /// The Open_vSwitch database of an ovsdb-server: unix:PATH.
    #[arg(long, value_name = "DATABASE")]
    db: String,
    /// Run directory, for sockets (OVS_RUNDIR, else /var/run/openvswitch).
    #[arg(long, value_name = "DIR")]
    rundir: Option<PathBuf>,
    /// In place of <rundir>/netd.pid.
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// Socket for ovs-appctl, in place of <rundir>/netd.<pid>.ctl.
    #[arg(long, value_name = "FILE")]
    unixctl: Option<PathBuf>,
    /// For interfaces of type `services`: keeps what DHCP, DNS and instance metadata answer.
    #[arg(long, value_name = "DIR", requires = "control_socket")]
    state_dir: Option<PathBuf>,
    /// For interfaces of type `services`: socket that takes what they answer, a segment or port a line.
    #[arg(long, value_name = "FILE", requires = "state_dir")]
    control_socket: Option<PathBuf>,
    /// For interfaces of type `services`: resolver of names that they do not know.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "state_dir")]
    resolver: Option<SocketAddrV4>,
}

const EXAMPLE: &str = r#"A first switch, beside a stock ovsdb-server, with a guest whose virtual machine monitor connects to <rundir>/vm1:

  netd --db unix:/var/run/openvswitch/db.sock --state-dir /var/lib/netd --control-socket /run/netd.sock &
  ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev
  ovs-vsctl add-port br0 vm1 -- set interface vm1 type=dpdkvhostuser ofport_request=1
  ovs-appctl -t netd fdb/show br0

A network card of the host, by a packet socket; or by AF_XDP, which passes the host's stack by. options:xdp-mode is best-effort (the first
of the others that the driver takes), native-with-zerocopy, native or generic; status:xdp-mode says which one it is. A veth's other end
must not leave checksums and tags to the card: ethtool -K eth0 tx off txvlan off.

  ovs-vsctl add-port br0 enp1s0
  ovs-vsctl add-port br0 enp2s0 -- set interface enp2s0 type=afxdp options:xdp-mode=native options:n_rxq=2

DHCP, DNS and instance metadata for it. Flows bring its packets to a services port with a number of its own as tun_id, and the
answers, which have the same number, back:

  ovs-vsctl add-port br0 svc -- set interface svc type=services ofport_request=20
  ovs-ofctl add-flow br0 "in_port=1,udp,tp_dst=67,actions=set_field:7->tun_id,output:20"
  ovs-ofctl add-flow br0 "in_port=1,arp,arp_tpa=10.0.0.1,actions=set_field:7->tun_id,output:20"
  ovs-ofctl add-flow br0 "in_port=1,arp,arp_tpa=10.0.0.2,actions=set_field:7->tun_id,output:20"
  ovs-ofctl add-flow br0 "in_port=1,ip,nw_dst=10.0.0.2,actions=set_field:7->tun_id,output:20"
  ovs-ofctl add-flow br0 "in_port=1,ip,nw_dst=169.254.0.0/16,actions=set_field:7->tun_id,output:20"
  ovs-ofctl add-flow br0 "in_port=20,tun_id=7,actions=output:1"

What is answered to whom; each line is answered by one:

  socat - UNIX:/run/netd.sock <<END
  {"method":"put-segment","segment_id":"lan","network":"10.0.0.0","prefix_len":24,"gateway":"10.0.0.1","dns":"10.0.0.2","gateway_mac":"02:00:00:00:00:01","mtu":1500,"domain_name":"ec2.internal","name_servers":["10.0.0.2"]}
  {"method":"put-port","port_id":"vm1","segment_id":"lan","mac":"02:00:00:00:00:05","ipv4":"10.0.0.5","hostname":"ip-10-0-0-5","number":7,"metadata":{"enabled":true,"token_required":false,"hop_limit":1,"tree":{"meta-data/instance-id":"i-1"}}}
  {"method":"list-ports"}
  {"method":"metrics"}
  END

A segment with {"ipv6":{"network":"2001:db8:0:5::","prefix_len":64}} and a port with {"ipv6":["2001:db8:0:5::5"]} are served in IPv6
too: what is to come to the services is router solicitations (icmp6,icmp_type=133), DHCPv6 (udp6,tp_dst=547), and what is for
fd00:ec2::/32 and the router, the link-local address of gateway_mac. Guests are told of the router unasked as well.

A packet that is too long for a link is answered as by a router ("fragmentation needed"), if it comes with the link's MTU in
bits 32 to 47 of tun_id and the router's address as tun_src ("packet too big" in IPv6, with tun_ipv6_src or in the name of the
segment's router); here of packets to an uplink that takes 1500 bytes (0x5dc):

  ovs-ofctl add-flow br0 "in_port=1,ip,nw_dst=192.0.2.0/24,actions=check_pkt_larger(1514)->NXM_NX_REG0[0],resubmit(,1)"
  ovs-ofctl add-flow br0 "table=1,reg0=1,ip,actions=set_field:0x5dc00000007->tun_id,set_field:10.0.0.1->tun_src,output:20"

A tunnel to another node, encrypted by WireGuard's protocol (UDP port 51820, or options:wireguard_port). Each end has a key in a file of
its own and the other's public key; with remote_ip=flow, options:"wireguard_peer:ADDRESS" for each that flows may choose:

  (umask 077; wg genkey >/var/lib/netd/key); wg pubkey </var/lib/netd/key
  ovs-vsctl add-port br0 tun -- set interface tun type=geneve options:remote_ip=192.0.2.12 options:local_ip=192.0.2.11 \
    options:wireguard_private_key_file=/var/lib/netd/key options:wireguard_peer=PUBLIC-KEY-OF-THE-OTHER
  ovs-vsctl get interface tun status statistics

What is within is an IP packet from local_ip to remote_ip, with the tunnel's datagram: another WireGuard peer's allowed-ips. Packets
of 1390 bytes fit through where a cable takes 1500.

For OVN, in a node whose ovs-vswitchd does not run; ovn-controller makes br-int:

  ovs-vsctl set open_vswitch . external_ids:system-id=node1 external_ids:ovn-remote=tcp:192.0.2.1:6642 \
    external_ids:ovn-encap-type=geneve external_ids:ovn-encap-ip=192.0.2.11 external_ids:ovn-bridge-datapath-type=netdev
  ovn-controller --detach
  ovs-vsctl add-port br-int tap0 -- set interface tap0 external_ids:iface-id=NAME-OF-THE-LOGICAL-PORT

Log level: ovs-appctl -t netd vlog/set."#;

fn main() -> anyhow::Result<()> {
    let Arguments { db: database, rundir, pidfile, unixctl, state_dir, control_socket, resolver: upstream } =
        Arguments::parse();
    let logs = ovs::start_logging();
    let services = state_dir.zip(control_socket);
    let services = services.map(|(state_dir, control_socket)| ServicesOptions { state_dir, control_socket, upstream });
    Ok(ovs::run(&OvsOptions { database, rundir, pidfile, unixctl, services }, logs)?)
}
