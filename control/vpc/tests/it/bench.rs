//! A switch with a region in it, and what is expected of it.

use crate::fixture::{Host, PEER, VNI, region};
use crate::packet::{ACK, SYN, tcp, udp};
use crate::packet::{Ethernet, Ip};
use crate::switch::{PATIENCE, Switch, UPLINK, Way, hex, under_test};
use hive_vpc::{Compiled, Network, Node, Programmer, Report, compile};

pub const INTERNET: Way = Way::Port(UPLINK);

pub struct Bench {
    pub switch: Box<dyn Switch>,
    pub programmer: Programmer,
    pub network: Network,
    pub node: Node,
}

/// Of long frames only the first bytes are printed, and how the rest sums up.
pub fn short(frame: &[u8]) -> String {
    let (first, rest) = frame.split_at(frame.len().min(100));
    let sum = rest.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    format!("{} +{} {sum:08x}", hex(first), rest.len())
}

impl From<Host> for Way {
    fn from(host: Host) -> Self {
        if host.port == 0 { Self::Tunnel(PEER, VNI.0) } else { Self::Port(host.port) }
    }
}

impl Bench {
    pub fn new() -> Self {
        let (network, node) = region();
        Self::on(under_test(), network, node)
    }

    /// With a region that is a little different.
    pub fn with(change: impl FnOnce(&mut Network, &mut Node)) -> Self {
        let (mut network, mut node) = region();
        change(&mut network, &mut node);
        Self::on(under_test(), network, node)
    }

    pub fn on(switch: Box<dyn Switch>, network: Network, node: Node) -> Self {
        let programmer = Programmer::new(switch.management(), PATIENCE);
        let mut bench = Self { switch, programmer, network, node };
        bench.program();
        bench
    }

    pub fn compiled(&self) -> Compiled {
        compile(&self.network, &self.node).unwrap()
    }

    pub fn program(&mut self) -> Report {
        let compiled = self.compiled();
        let report = self.programmer.set(&compiled.flows).unwrap();
        self.switch.programmed();
        report
    }

    pub fn change(&mut self, change: impl FnOnce(&mut Network)) -> Report {
        change(&mut self.network);
        self.program()
    }

    #[track_caller]
    pub fn expect(&mut self, from: impl Into<Way>, frames: &[Vec<u8>], expected: &[(Way, Vec<u8>)]) {
        let from = from.into();
        let got = self.switch.send(from, frames);
        let shown = |all: &[(Way, Vec<u8>)]| {
            all.iter().map(|(way, frame)| format!("{way:?} {}", short(frame))).collect::<Vec<_>>()
        };
        let sent: Vec<_> = frames.iter().map(|frame| short(frame)).collect();
        if got != expected {
            let why: Vec<_> = frames.iter().take(1).map(|frame| self.switch.explain(from, frame)).collect();
            panic!("of {sent:?} by {from:?}\n got {:#?}\n not {:#?}\n{}", shown(&got), shown(expected), why.concat());
        }
    }

    #[track_caller]
    pub fn passes(&mut self, from: impl Into<Way>, frame: &[u8], to: impl Into<Way>, expected: Vec<u8>) {
        self.expect(from, &[frame.to_vec()], &[(to.into(), expected)]);
    }

    #[track_caller]
    pub fn is_dropped(&mut self, from: impl Into<Way>, frame: &[u8]) {
        self.expect(from, &[frame.to_vec()], &[]);
    }

    /// One packet from host to host, whichever way leads there, or none.
    #[track_caller]
    pub fn between(&mut self, from: Host, to: Host, passes: bool, make: impl Fn(Ethernet, Ip) -> Vec<u8>) {
        let ((sent, ip), received) = if from.subnet == to.subnet {
            (from.to(to), from.to(to).0)
        } else {
            (from.via_router(to.address), Ethernet::new(crate::fixture::ROUTER, to.mac))
        };
        // From the other node a frame comes as that has made it.
        let sent = if from.port == 0 { received } else { sent };
        let expected = (to.into(), make(received, ip));
        self.expect(from, &[make(sent, ip)], if passes { std::slice::from_ref(&expected) } else { &[] });
    }

    #[track_caller]
    pub fn udp_between(&mut self, from: Host, to: Host, ports: (u16, u16), passes: bool) {
        self.between(from, to, passes, |ethernet, ip| udp(ethernet, ip, ports.0, ports.1, b"datagram"));
    }

    #[track_caller]
    pub fn syn_between(&mut self, from: Host, to: Host, ports: (u16, u16), passes: bool) {
        self.between(from, to, passes, |ethernet, ip| tcp(ethernet, ip, ports.0, ports.1, SYN, (1000, 0)));
    }

    /// The handshake and one segment.
    #[track_caller]
    pub fn connect(&mut self, from: Host, to: Host, ports: (u16, u16)) {
        self.syn_between(from, to, ports, true);
        let back = (ports.1, ports.0);
        self.between(to, from, true, |ethernet, ip| tcp(ethernet, ip, back.0, back.1, SYN | ACK, (5000, 1001)));
        self.segments(from, to, ports, true);
    }

    /// A segment of an established connection each way.
    #[track_caller]
    pub fn segments(&mut self, from: Host, to: Host, ports: (u16, u16), passes: bool) {
        self.between(from, to, passes, |ethernet, ip| tcp(ethernet, ip, ports.0, ports.1, ACK, (1001, 5001)));
        let back = (ports.1, ports.0);
        self.between(to, from, passes, |ethernet, ip| tcp(ethernet, ip, back.0, back.1, ACK, (5001, 1001)));
    }
}
