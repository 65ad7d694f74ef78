//! A guest's frames through an engine with operations of all kinds: parsed, tracked, translated, rewritten, by caches and without.
#![no_main]

use hive_conntrack::{Helper, Nat, NatRange, Request, Settings};
use hive_datapath::{Engine, EngineSettings, Outgoing, Output, Packet, Shared, Tail, Tracker};
use hive_flow::{Field, Key, Mask};
use hive_packet::VnetHeader;
use hive_packet::offload::VNET_HEADER_BYTES;
use hive_program::{HashOf, Op, Pipeline, PortId, Punt, RecircId, Traffic, Translation};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// Operations by bytes of the input.
struct Chosen(Vec<u8>);

fn operation(byte: u8) -> Op {
    const FIELDS: [Field; 16] = [
        Field::EthDst,
        Field::MplsTtl,
        Field::MplsLabel,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::Ipv6Src,
        Field::Ipv6Label,
        Field::IpDscp,
        Field::IpTtl,
        Field::ArpSpa,
        Field::ArpTha,
        Field::TpSrc,
        Field::TpDst,
        Field::IcmpType,
        Field::NdTarget,
        Field::NdSll,
    ];
    let range = NatRange { addresses: Some((0x0a09_0001, 0x0a09_0002)), ..NatRange::default() };
    let request = Request {
        zone: u16::from(byte & 1),
        commit: byte & 2 != 0,
        nat: [None, Some(Nat::Existing), Some(Nat::Source(range.clone())), Some(Nat::Destination(range))]
            [usize::from(byte >> 2 & 3)]
        .clone(),
        helper: Some(Helper::Ftp),
        ..Request::default()
    };
    match byte >> 4 {
        0..=3 => Op::Output(PortId(u32::from(byte))),
        4..=6 => {
            Op::Set { field: FIELDS[usize::from(byte & 15)], value: u128::MAX / 3, mask: u128::MAX >> (byte & 3) }
        }
        7 | 8 => Op::Conntrack(Arc::new(request)),
        9 => Op::Recirculate(RecircId(u32::from(byte & 3) + 1)),
        10 if byte & 8 == 0 => Op::PushVlan { tpid: 0x88a8, tci: 0x1000 | u16::from(byte) },
        10 => Op::PopVlan,
        11 if byte & 8 == 0 => Op::PushMpls { ether_type: 0x8847, lse: u32::from(byte) << 8 },
        11 => Op::PopMpls { ether_type: 0x0800 },
        12 => Op::Truncate { bytes: u32::from(byte & 15) * 9 },
        13 => Op::Hash { of: HashOf::L4, basis: byte.into() },
        14 => Op::Clone([Op::PopVlan, Op::Recirculate(RecircId(1)), Op::Output(PortId(1))].into()),
        _ => {
            Op::IfLarger { bytes: 60, then: [Op::CtClear].into(), otherwise: [Op::Output(PortId(7))].into() }
        }
    }
}

impl Pipeline for Chosen {
    type Credits = ();

    fn epoch(&self) -> u64 {
        0
    }

    fn translate(&self, key: &Key, _effects: bool, _now_ms: u64) -> Translation<()> {
        let mut mask = Mask::NONE;
        for field in [Field::InPort, Field::RecircId, Field::CtState, Field::IpProto] {
            mask.add_all(field);
        }
        let from = key.get_u64(Field::RecircId) as usize * 3 + key.get_u64(Field::CtState) as usize % 4;
        let ops = self.0.iter().skip(from).take(5).map(|byte| operation(*byte)).collect();
        Translation { mask, ops, credits: Arc::new(()), drop: None, uncached: false, epoch: 0 }
    }

    fn credit(&self, _credits: &(), _traffic: Traffic, _now_ms: u64) {}

    fn punt(&self, _punt: &Punt, _frame: &[u8], _now_ms: u64) {}
}

struct Copied(Vec<u8>);

impl<T: Tail> Output<T> for Copied {
    fn output(&mut self, _port: PortId, frame: &Outgoing<'_, T>) -> bool {
        frame.copy_into(&mut self.0);
        assert_eq!(self.0.len(), frame.frame_bytes());
        true
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((program, mut rest)) = input.split_at_checked(16) else { return };
    let shared = Shared {
        pipeline: Arc::new(Chosen(program.to_vec())),
        tracker: Arc::new(Tracker::new(&Settings { connections_max: 8, seed: 1, ..Settings::default() })),
        meters: Arc::default(),
    };
    let settings = EngineSettings { exact_entries: 16, flows_max: 16, seed: 1, vlan_limit: 2, ..EngineSettings::default() };
    let mut engine = Engine::new(shared, settings);
    let (mut out, mut now_ms) = (Copied(Vec::new()), 0);
    while let [how, size, more @ ..] = rest {
        let (frame, after) = more.split_at(usize::from(*size).min(more.len()));
        rest = after;
        now_ms += u64::from(how >> 5) * 100;
        let vnet = match frame.first_chunk::<VNET_HEADER_BYTES>() {
            Some(header) if how & 1 != 0 => VnetHeader::from_bytes(header),
            _ => VnetHeader::default(),
        };
        // As the data path does with what guests send.
        let frame = if how & 1 != 0 { frame.get(VNET_HEADER_BYTES..).unwrap_or(&[]) } else { frame };
        if vnet.check(&frame[..frame.len().min(64)], frame.len()).is_err() {
            continue;
        }
        let mut packets = [Packet::of_frame(frame, vnet), Packet::of_frame(frame, vnet)];
        engine.process(PortId(u32::from(how >> 1 & 3)), &mut packets, &mut out, now_ms);
        engine.maintain(now_ms, usize::from(how & 15));
    }
    assert!(engine.dump_flows(now_ms).iter().all(|line| !line.is_empty()));
});
