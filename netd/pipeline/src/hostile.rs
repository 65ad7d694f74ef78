use crate::{BridgeSettings, BridgeSpec, PortSpec, Switch};
use hive_flow::Match;
use hive_ofproto::{Bridge, BridgeConfig};
use hive_openflow::{Desc, NO_BUFFER, PacketIn, PacketInFormat, PacketInReason, PortNo};
use hive_program::{BridgeId, PortId};
use std::sync::{Arc, Mutex};

/// Resumes a packet at a bridge with two ports; true if the continuation was one.
pub fn resume(bytes: &[u8]) -> bool {
    let desc = Desc {
        manufacturer: String::new(),
        hardware: String::new(),
        software: String::new(),
        serial_number: String::new(),
        datapath: String::new(),
    };
    let (bridge, switch) = (BridgeId(1), Switch::new());
    let ports = (1..=2u16).map(|number| PortSpec::plain(&format!("p{number}"), PortId(number.into()), PortNo(number)));
    let spec = BridgeSpec {
        id: bridge,
        name: "br0".to_owned(),
        agent: Arc::new(Mutex::new(Bridge::new(BridgeConfig { datapath_id: 1, desc }))),
        settings: BridgeSettings::default(),
        ports: ports.collect(),
        mirrors: Vec::new(),
    };
    switch.configure(&[spec], 0);
    let packet = PacketIn {
        format: PacketInFormat::Nicira2,
        buffer: NO_BUFFER,
        total_bytes: 60,
        reason: PacketInReason::Action,
        table: 0,
        cookie: 0,
        metadata: Match::default(),
        packet: vec![0; 60],
        userdata: Vec::new(),
        continuation: bytes.to_vec(),
    };
    switch.resume(bridge, &packet, 1, 0).is_ok()
}
