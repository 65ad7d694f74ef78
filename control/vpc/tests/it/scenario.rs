//! What comes out where, byte for byte.

use crate::fixture::*;
use crate::packet::*;
use crate::switch::{OpenVswitch, PATIENCE, Switch, UPLINK, Way, hex};
use hive_vpc::{Network, Node, Programmer, compile};

/// A switch with a region in it.
pub struct Bench {
    pub switch: Box<dyn Switch>,
    pub programmer: Programmer,
    pub network: Network,
    pub node: Node,
}

impl Bench {
    pub fn new() -> Self {
        Self::on(Box::new(OpenVswitch::start()))
    }

    pub fn on(switch: Box<dyn Switch>) -> Self {
        let (network, node) = region();
        let programmer = Programmer::new(switch.management(), PATIENCE);
        let mut bench = Self { switch, programmer, network, node };
        bench.program();
        bench
    }

    pub fn program(&mut self) -> hive_vpc::Report {
        self.programmer.set(&compile(&self.network, &self.node).unwrap().flows).unwrap()
    }

    pub fn change(&mut self, change: impl FnOnce(&mut Network)) {
        change(&mut self.network);
        self.program();
    }

    #[track_caller]
    pub fn expect(&mut self, from: impl Into<Way>, frame: &[u8], expected: &[(Way, Vec<u8>)]) {
        let got = self.switch.send(from.into(), &[frame.to_vec()]);
        let shown = |all: &[(Way, Vec<u8>)]| {
            all.iter().map(|(way, frame)| format!("{way:?} {}", hex(frame))).collect::<Vec<_>>()
        };
        assert_eq!(shown(&got), shown(expected), "of {}", hex(frame));
    }

    #[track_caller]
    pub fn expect_one(&mut self, from: impl Into<Way>, frame: &[u8], to: impl Into<Way>, expected: Vec<u8>) {
        self.expect(from, frame, &[(to.into(), expected)]);
    }

    #[track_caller]
    pub fn expect_nothing(&mut self, from: impl Into<Way>, frame: &[u8]) {
        self.expect(from, frame, &[]);
    }
}

impl From<Host> for Way {
    fn from(host: Host) -> Self {
        if host.port == 0 { Self::Tunnel(PEER, VNI.0) } else { Self::Port(host.port) }
    }
}

const INTERNET: Way = Way::Port(UPLINK);

#[test]
fn first_light() {
    let mut bench = Bench::new();
    // Within a subnet, through both groups and back.
    let (ethernet, ip) = WEB.to(WEB2);
    let ping = icmp(ethernet, ip, 8, 0, [0, 1, 0, 1], b"ping");
    bench.expect_one(WEB, &ping, WEB2, ping.clone());
    let (ethernet, ip) = WEB2.to(WEB);
    let pong = icmp(ethernet, ip, 0, 0, [0, 1, 0, 1], b"ping");
    bench.expect_one(WEB2, &pong, WEB, pong.clone());
    let _ = (INTERNET, bench.program());
}
