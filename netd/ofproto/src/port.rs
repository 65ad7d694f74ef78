//! Ports, as the caller has them.

use hive_openflow::{PortConfig, PortCounters, PortDesc, PortNo, PortStats, Version};

/// A port of the bridge.
#[derive(Clone, Debug)]
pub struct Port {
    pub number: PortNo,
    /// `port` of it is not looked at. `config` changes by OFPT_PORT_MOD.
    pub desc: PortDesc,
    pub counters: PortCounters,
    /// Counters with names of their own.
    pub custom: Vec<(String, u64)>,
    pub created_ms: u64,
}

/// OFPPS_LINK_DOWN; what OpenFlow 1.0 knows of a port's state here.
const STATES_OF_1_0: u32 = 1;

impl Port {
    pub fn new(number: PortNo, name: &str, hw_addr: [u8; 6], now_ms: u64) -> Self {
        let desc = PortDesc { name: name.to_owned(), hw_addr, state: 4, ..PortDesc::default() };
        Self { number, desc, counters: PortCounters::default(), custom: Vec::new(), created_ms: now_ms }
    }

    pub(crate) fn desc(&self, version: Version) -> PortDesc {
        let mut desc = PortDesc { port: Some(self.number), ..self.desc.clone() };
        if version == Version::V1_0 {
            desc.state &= STATES_OF_1_0;
        } else {
            desc.config = PortConfig(desc.config.0 & PortConfig::LATER.0);
        }
        desc
    }

    pub(crate) fn stats(&self, now_ms: u64) -> PortStats {
        let (duration_s, duration_ns) = crate::flow::duration(self.created_ms, now_ms);
        PortStats {
            port: self.number,
            counters: self.counters,
            duration_s,
            duration_ns,
            rfc2819: None,
            custom: self.custom.clone(),
        }
    }
}
