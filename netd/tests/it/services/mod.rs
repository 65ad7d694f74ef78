//! What is answered behind ports of type `services`: to frames of a driver in userspace, and to the programs that a guest has.

mod answers;
mod clients;
mod control;
mod ipv6;
mod metadata;

use crate::guest::{self, Guest, Options};
use crate::ovs::lab::Lab;
use crate::ovs::namespace::{DEADLINE, wait};
use hive_netd_api::{DEFAULT_LEASE_S, MetadataService, Metrics, Port, PortStatus, Reply, Request, Segment};
use hive_packet::arp::{Arp, Operation};
use hive_packet::{MacAddr, build};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::Path;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// OpenFlow port of `svc`.
const SERVICES: u16 = 200;

/// A switch with a services port, without other flows than a test's.
struct Node {
    lab: Lab,
    arguments: Vec<String>,
}

impl Node {
    fn new() -> Self {
        Self::over(Lab::new(), &[])
    }

    /// With more arguments to netd.
    fn over(mut lab: Lab, arguments: &[&str]) -> Self {
        lab.kill_switch();
        let services = ["--state-dir", &lab.path("state"), "--control-socket", &lab.path("control.sock")];
        let arguments = services.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        let mut node = Self { lab, arguments };
        node.start();
        node.lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure");
        node.lab.vsctl(&format!("add-port br0 svc -- set interface svc type=services ofport_request={SERVICES}"));
        node
    }

    fn start(&mut self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.lab.start_switch_with(&arguments);
    }

    /// SIGKILL, and a new process beside the same database and state. Flows are gone, as are Open vSwitch's.
    fn kill_and_restart(&mut self) {
        self.lab.kill_switch();
        self.start();
        let there = format!("{SERVICES}(svc)");
        wait("br0 is there", || self.lab.try_ofctl("show br0").is_ok_and(|shown| shown.contains(&there)));
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.lab.path("control.sock")).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn ask(&self, line: &str) -> Reply {
        let mut stream = self.connect();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn request(&self, request: &Request) -> Reply {
        self.ask(&serde_json::to_string(request).unwrap())
    }

    fn put_segment(&self, segment: Segment) {
        assert_eq!(self.request(&Request::PutSegment(segment)), Reply::Done);
    }

    fn put_port(&self, port: Port) {
        assert_eq!(self.request(&Request::PutPort(port)), Reply::Done);
    }

    fn ports(&self) -> Vec<PortStatus> {
        match self.request(&Request::ListPorts) {
            Reply::Ports(ports) => ports,
            other => panic!("{other:?}"),
        }
    }

    fn metrics(&self) -> Metrics {
        match self.request(&Request::Metrics) {
            Reply::Metrics(metrics) => metrics,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that the OpenFlow port sends goes to the services, and the answers come back.
    fn serve(&self, port: u16, number: u64) {
        self.lab.flow(&format!("in_port={port},actions=set_field:{number}->tun_id,output:{SERVICES}"));
        self.lab.flow(&format!("in_port={SERVICES},tun_id={number},actions=output:{port}"));
    }

    fn attach(&self, number: u8) -> Guest {
        Guest::connect(Path::new(&self.lab.path(&format!("g{number}"))), number, Options::default())
    }

    /// A guest whose device is of the bridge, at the services with its number.
    fn guest(&self, number: u8) -> Guest {
        let device = format!("g{number}");
        self.lab.vsctl(&format!(
            "add-port br0 {device} -- set interface {device} type=dpdkvhostuser ofport_request={number}"
        ));
        self.serve(number.into(), number.into());
        self.attach(number)
    }
}

/// A node with a segment, a port and its guest.
fn one(port: Port) -> (Node, Guest) {
    let node = Node::new();
    node.put_segment(segment("s"));
    let guest = node.guest(port.number as u8);
    node.put_port(port);
    (node, guest)
}

fn segment(id: &str) -> Segment {
    Segment {
        segment_id: id.into(),
        names: String::new(),
        network: Ipv4Addr::new(10, 0, 0, 0),
        prefix_len: 24,
        gateway: GATEWAY,
        dns: RESOLVER,
        gateway_mac: GATEWAY_MAC.to_string(),
        mtu: 1500,
        domain_name: "ec2.internal".into(),
        name_servers: vec![RESOLVER],
        ntp_servers: Vec::new(),
        netbios_name_servers: Vec::new(),
        netbios_node_type: None,
        lease_s: DEFAULT_LEASE_S,
        ipv6: None,
    }
}

/// A port of the guest with this number.
fn port(segment_id: &str, number: u8) -> Port {
    Port {
        port_id: format!("{segment_id}-{number}"),
        segment_id: segment_id.into(),
        mac: guest::mac(number).to_string(),
        ipv4: guest::ip(number),
        ipv6: Vec::new(),
        hostname: format!("host{number}"),
        metadata: MetadataService {
            enabled: true,
            token_required: false,
            hop_limit: 3,
            ipv6: false,
            tree: Default::default(),
            user_data: None,
        },
        number: number.into(),
    }
}

/// Asks by ARP whose an address is, and is told the gateway's.
fn is_at_the_gateway(guest: &mut Guest, target_ip: Ipv4Addr) {
    let (sender_mac, sender_ip) = (guest.mac, guest.ip);
    let request = Arp { operation: Operation::Request, sender_mac, sender_ip, target_mac: MacAddr([0; 6]), target_ip };
    guest.send(&request.to_frame(MacAddr::BROADCAST));
    assert_eq!(Arp::parse(&guest.receive()[14..]), Some(request.answered_by(GATEWAY_MAC)));
}

/// Sends an IP packet to the gateway's MAC and returns the IP packet that comes back.
fn ask(guest: &mut Guest, packet: &[u8]) -> Vec<u8> {
    let frame = build::ethernet(GATEWAY_MAC, guest.mac, packet);
    guest.send(&frame);
    let answer = guest.receive();
    assert_eq!(answer[..6], guest.mac.0);
    assert_eq!(answer[6..12], GATEWAY_MAC.0);
    answer[14..].to_vec()
}
