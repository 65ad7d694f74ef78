//! Packets that are counted with their flows, for collectors outside.

use crate::Traffic;
use hive_flow::{
    ETH_TYPE_IPV4, ETH_TYPE_IPV6, FRAG_LATER, Field, Key, PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP, PROTO_UDP,
    VLAN_PRESENT,
};
use hive_ipfix::{FlowKey, Ip, Transport};
use std::fmt::{self, Debug, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// All that [`Sample::flow`] looks at: a translation that samples depends on it, so that what is treated by it is one flow.
pub const SAMPLED_FIELDS: [Field; 18] = [
    Field::EthSrc,
    Field::EthDst,
    Field::EthType,
    Field::VlanTci,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::Ipv6Label,
    Field::IpProto,
    Field::IpDscp,
    Field::IpEcn,
    Field::IpTtl,
    Field::IpFrag,
    Field::TpSrc,
    Field::TpDst,
    Field::IcmpType,
    Field::IcmpCode,
];

/// Takes what was sampled. Called by every worker; must not wait.
pub trait Sampler: Send + Sync + Debug {
    /// `traffic`: of this flow; the last of it `age_ms` ago.
    fn sampled(&self, flow: &FlowKey, traffic: Traffic, age_ms: u64);
}

/// NXAST_SAMPLE.
#[derive(Clone, Debug)]
pub struct Sample {
    pub sampler: Arc<dyn Sampler>,
    /// Of 65535 packets; if all of them, they are counted where they are counted anyway.
    pub probability: u16,
    pub collector_set: u32,
    pub domain: u32,
    pub point: u32,
    /// NX_ACTION_SAMPLE_*: 0 default, 1 ingress, 2 egress.
    pub direction: u8,
}

fn mac(value: u128) -> [u8; 6] {
    let [.., a, b, c, d, e, f] = value.to_be_bytes();
    [a, b, c, d, e, f]
}

impl Sample {
    /// The flow of a packet with this key.
    pub fn flow(&self, key: &Key) -> FlowKey {
        let number = |field: Field| key.get_u64(field);
        let ether_type = number(Field::EthType) as u16;
        let addresses = match ether_type {
            ETH_TYPE_IPV4 => {
                let address = |field| IpAddr::V4(Ipv4Addr::from(number(field) as u32));
                Some((address(Field::Ipv4Src), address(Field::Ipv4Dst)))
            }
            ETH_TYPE_IPV6 => {
                let address = |field| IpAddr::V6(Ipv6Addr::from(key.get(field)));
                Some((address(Field::Ipv6Src), address(Field::Ipv6Dst)))
            }
            _ => None,
        };
        let protocol = number(Field::IpProto) as u8;
        let headless = number(Field::IpFrag) as u8 & FRAG_LATER != 0;
        let (source, destination) = (number(Field::TpSrc) as u16, number(Field::TpDst) as u16);
        let transport = match protocol {
            _ if addresses.is_none() || headless => Transport::None,
            PROTO_TCP => Transport::Tcp { source, destination },
            PROTO_UDP | PROTO_SCTP => Transport::Ports { source, destination },
            PROTO_ICMP | PROTO_ICMPV6 => {
                Transport::Icmp { kind: number(Field::IcmpType) as u8, code: number(Field::IcmpCode) as u8 }
            }
            _ => Transport::None,
        };
        let tci = number(Field::VlanTci) as u16;
        FlowKey {
            domain: self.domain,
            point: self.point,
            // As Open vSwitch: in, unless it was said to be out.
            direction: u8::from(self.direction == 2),
            source_mac: mac(key.get(Field::EthSrc)),
            destination_mac: mac(key.get(Field::EthDst)),
            ether_type,
            vlan_tci: (tci & VLAN_PRESENT != 0).then_some(tci & !VLAN_PRESENT),
            ip: addresses.map(|(source, destination)| Ip {
                source,
                destination,
                protocol,
                ttl: number(Field::IpTtl) as u8,
                tos: (number(Field::IpDscp) << 2 | number(Field::IpEcn)) as u8,
                label: number(Field::Ipv6Label) as u32,
            }),
            transport,
        }
    }
}

/// As `format_odp_actions` has it.
impl Display for Sample {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { probability, collector_set, domain, point, direction, .. } = self;
        let direction = match direction {
            1 => ",ingress",
            2 => ",egress",
            _ => "",
        };
        let flow = format!(
            "flow_sample(probability={probability},collector_set_id={collector_set},obs_domain_id={domain},\
             obs_point_id={point},output_port=4294967295{direction})"
        );
        if *probability == u16::MAX {
            return write!(f, "userspace(pid=0,{flow})");
        }
        let percent = f64::from(*probability) * 100.0 / f64::from(u16::MAX);
        write!(f, "sample(sample={percent:.1}%,actions(userspace(pid=0,{flow})))")
    }
}
