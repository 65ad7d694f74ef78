//! A data path with a pipeline that is fixed, to measure and to profile: `fixed MODE CPU SOCKET SOCKET`, two vhost-user ports whose
//! frontends listen. Modes: `wire` (port to port), `l2` (learned addresses), `flows` (each 5-tuple is a flow), `ct` (a stateful security
//! group). A line of counters each second.

use hive_conntrack::Request;
use hive_flow::{Field, Key, Mask};
use hive_netd::dataplane::{Backend, Dataplane, DataplaneConfig, PortSpec};
use hive_program::{DropReason, Op, Pipeline, PortId, Punt, RecircId, Traffic, Translation};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Wire,
    L2,
    Flows,
    Ct,
}

#[derive(Debug)]
struct Fixed {
    mode: Mode,
    epoch: AtomicU64,
    learned: Mutex<HashMap<u128, PortId>>,
}

impl Fixed {
    fn other(port: PortId) -> PortId {
        PortId(3 - port.0.min(2))
    }

    fn decide(&self, key: &Key, mask: &mut Mask) -> Vec<Op> {
        let port = PortId(key.get_u64(Field::InPort) as u32);
        let out = Op::Output(Self::other(port));
        match self.mode {
            Mode::Wire => vec![out],
            Mode::Flows => {
                for field in
                    [Field::Ipv4Src, Field::Ipv4Dst, Field::IpProto, Field::TpSrc, Field::TpDst, Field::EthType]
                {
                    mask.add_all(field);
                }
                vec![out]
            }
            Mode::L2 => {
                for field in [Field::EthSrc, Field::EthDst, Field::EthType, Field::VlanTci] {
                    mask.add_all(field);
                }
                let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
                if learned.insert(key.get(Field::EthSrc), port) != Some(port) {
                    self.epoch.fetch_add(1, Ordering::Relaxed);
                }
                vec![Op::Output(learned.get(&key.get(Field::EthDst)).copied().unwrap_or(Self::other(port)))]
            }
            Mode::Ct => {
                mask.add_all(Field::EthType);
                mask.add_all(Field::IpFrag);
                if key.get(Field::RecircId) == 0 {
                    mask.add(Field::CtState, 0x20);
                    let request = Request { zone: 1, ..Request::default() };
                    return vec![Op::Conntrack(Arc::new(request)), Op::Recirculate(RecircId(1))];
                }
                mask.add(Field::CtState, 0x33);
                let state = key.get(Field::CtState);
                if state & 0x32 == 0x22 {
                    return vec![out];
                }
                mask.add_all(Field::IpProto);
                mask.add_all(Field::TpDst);
                if state & 0x31 == 0x21 && key.get(Field::IpProto) == 17 && key.get(Field::TpDst) == 1001 {
                    let request = Request { zone: 1, commit: true, ..Request::default() };
                    return vec![Op::Conntrack(Arc::new(request)), out];
                }
                Vec::new()
            }
        }
    }
}

impl Pipeline for Fixed {
    type Credits = ();

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn translate(&self, key: &Key, _effects: bool, _now_ms: u64) -> Translation<()> {
        let mut mask = Mask::NONE;
        mask.add_all(Field::InPort);
        mask.add_all(Field::RecircId);
        let ops = self.decide(key, &mut mask).into();
        Translation {
            mask,
            ops,
            credits: Arc::new(()),
            drop: Some(DropReason::Pipeline),
            uncached: false,
            epoch: self.epoch(),
        }
    }

    fn credit(&self, _credits: &(), _traffic: Traffic, _now_ms: u64) {}

    fn punt(&self, _punt: &Punt, _frame: &[u8], _now_ms: u64) {}
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &'static str| arguments.next().ok_or_else(|| anyhow::anyhow!("no {what} given"));
    let mode = match next("mode")?.as_str() {
        "wire" => Mode::Wire,
        "l2" => Mode::L2,
        "flows" => Mode::Flows,
        "ct" => Mode::Ct,
        other => anyhow::bail!("unknown mode {other}"),
    };
    let cpu = next("processor")?.parse()?;
    let pipeline = Arc::new(Fixed { mode, epoch: AtomicU64::new(1), learned: Mutex::default() });
    let config = DataplaneConfig { cpus: vec![cpu], ..DataplaneConfig::default() };
    let dataplane = Dataplane::start(config, pipeline)?;
    let mut ports = Vec::new();
    for number in 1..=2u8 {
        let socket = next("socket")?.into();
        let backend = Backend::VhostUserClient { socket };
        let mac = [0x52, 0x54, 0, 0, 1, number];
        let spec = PortSpec { name: format!("p{number}"), backend, mac, queue_pairs: 1, mtu: 9000 };
        ports.push(dataplane.add_port(spec, |_| ())?);
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let stats = dataplane.stats();
        let counted: Vec<_> = stats
            .counters
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name}={count}"))
            .collect();
        println!("{} flows={} fused={} connections={}", counted.join(" "), stats.flows, stats.fused, stats.connections);
        for port in &ports {
            if let Some(status) = dataplane.port_status(*port) {
                let counters = status.counters;
                println!(
                    "{} rx={} tx={} tx_dropped={} fault={:?}",
                    status.name, counters.rx_packets, counters.tx_packets, counters.tx_dropped, status.fault
                );
            }
        }
    }
}
