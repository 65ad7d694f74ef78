//! ovs-vswitchd's own trace.

use hive_flow::{Field, Inner, Mask};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::effect::masked;

/// A connection to its control socket.
pub struct Control {
    stream: UnixStream,
    replies: serde_json::StreamDeserializer<'static, serde_json::de::IoRead<UnixStream>, Value>,
    id: u64,
}

/// One translation, as it is printed.
#[derive(Clone, Debug)]
pub struct Traced {
    pub megaflow: String,
    pub actions: String,
}

impl Control {
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let replies = serde_json::Deserializer::from_reader(stream.try_clone().unwrap()).into_iter();
        Self { stream, replies, id: 0 }
    }

    pub fn try_call(&mut self, method: &str, params: &[&str]) -> Result<String, String> {
        self.id += 1;
        let request = json!({"id": self.id, "method": method, "params": params});
        self.stream.write_all(request.to_string().as_bytes()).unwrap();
        let reply = self.replies.next().unwrap_or_else(|| panic!("no reply to {method} {params:?}")).unwrap();
        assert_eq!(reply["id"], json!(self.id));
        match reply["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(reply["result"].as_str().unwrap_or_default().to_owned()),
        }
    }

    pub fn call(&mut self, method: &str, params: &[&str]) -> String {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method} {params:?}: {error}"))
    }

    /// The packet's way, one entry for each time that it was translated.
    pub fn trace(&mut self, bridge: &str, flow: &str, frame: &[u8]) -> (Vec<Traced>, String) {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = self.call("ofproto/trace", &[bridge, flow, &hex]);
        let mut traced = Vec::new();
        let mut megaflow = String::new();
        for line in text.lines() {
            if let Some(text) = line.strip_prefix("Megaflow: ") {
                megaflow = text.to_owned();
            } else if let Some(actions) = line.strip_prefix("Datapath actions: ") {
                traced.push(Traced { megaflow: std::mem::take(&mut megaflow), actions: actions.to_owned() });
            }
        }
        (traced, text)
    }
}

/// The bits of a printed megaflow.
pub fn mask_of(text: &str) -> Mask {
    let mut mask = Mask::NONE;
    for part in crate::effect::split(text) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let exact = |mask: &mut Mask, fields: &[Field]| fields.iter().for_each(|field| mask.add_all(*field));
        let mut put = |field: Field| {
            let (_, bits) = masked(value, field);
            mask.add(field, bits);
        };
        match name {
            "eth" => exact(&mut mask, &[Field::PacketType]),
            "ip" | "ipv6" | "arp" | "rarp" | "mpls" | "mplsm" => exact(&mut mask, &[Field::EthType]),
            "tcp" | "udp" | "sctp" | "icmp" | "icmp6" | "tcp6" | "udp6" | "sctp6" => {
                exact(&mut mask, &[Field::EthType, Field::IpProto]);
            }
            "dl_type" => exact(&mut mask, &[Field::EthType]),
            "recirc_id" => exact(&mut mask, &[Field::RecircId]),
            "in_port" => exact(&mut mask, &[Field::InPort]),
            "dp_hash" => put(Field::DpHash),
            "skb_priority" => put(Field::SkbPriority),
            "pkt_mark" => put(Field::PktMark),
            "ct_state" => {
                let names = hive_flow::CT_STATE_NAMES;
                let signed = value.starts_with(['+', '-']);
                let bits = names.iter().enumerate().filter(|(_, name)| {
                    !signed || value.contains(&format!("+{name}")) || value.contains(&format!("-{name}"))
                });
                let bits = bits.fold(0, |bits, (at, _)| bits | 1 << at);
                mask.add(Field::CtState, bits);
            }
            "ct_zone" => put(Field::CtZone),
            "ct_mark" => put(Field::CtMark),
            "ct_label" => put(Field::CtLabel),
            "ct_nw_src" => put(Field::CtNwSrc),
            "ct_nw_dst" => put(Field::CtNwDst),
            "ct_ipv6_src" => put(Field::CtIpv6Src),
            "ct_ipv6_dst" => put(Field::CtIpv6Dst),
            "ct_nw_proto" => put(Field::CtNwProto),
            "ct_tp_src" => put(Field::CtTpSrc),
            "ct_tp_dst" => put(Field::CtTpDst),
            "tun_id" => put(Field::TunId),
            "tun_src" => put(Field::TunSrc),
            "tun_dst" => put(Field::TunDst),
            "dl_src" => put(Field::EthSrc),
            "dl_dst" => put(Field::EthDst),
            "vlan_tci" => put(Field::VlanTci),
            "dl_vlan" => mask.add(Field::VlanTci, 0x1fff),
            "dl_vlan_pcp" => mask.add(Field::VlanTci, 0xf000),
            "vlan_tci1" | "dl_vlan1" | "dl_vlan_pcp1" => mask.add_inner(Inner::Vlan1Tci),
            "mpls_label" => mask.add_all(Field::MplsLabel),
            "mpls_tc" => mask.add_all(Field::MplsTc),
            "mpls_ttl" => mask.add_all(Field::MplsTtl),
            "mpls_bos" => mask.add_all(Field::MplsBos),
            "mpls_lse1" => mask.add_inner(Inner::MplsLse1),
            "mpls_lse2" => mask.add_inner(Inner::MplsLse2),
            "nw_src" => put(Field::Ipv4Src),
            "nw_dst" => put(Field::Ipv4Dst),
            "ipv6_src" => put(Field::Ipv6Src),
            "ipv6_dst" => put(Field::Ipv6Dst),
            "ipv6_label" => put(Field::Ipv6Label),
            "arp_spa" => put(Field::ArpSpa),
            "arp_tpa" => put(Field::ArpTpa),
            "arp_op" => put(Field::ArpOp),
            "arp_sha" => put(Field::ArpSha),
            "arp_tha" => put(Field::ArpTha),
            "nw_proto" => put(Field::IpProto),
            "nw_tos" => mask.add_all(Field::IpDscp),
            "nw_ecn" => put(Field::IpEcn),
            "nw_ttl" => put(Field::IpTtl),
            "nw_frag" => exact(&mut mask, &[Field::IpFrag]),
            "tcp_flags" => {
                let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
                if value.starts_with(['+', '-']) {
                    let bits = names.iter().enumerate().filter(|(_, name)| value.contains(**name));
                    mask.add(Field::TcpFlags, bits.fold(0, |bits, (at, _)| bits | 1 << at));
                } else {
                    mask.add_all(Field::TcpFlags);
                }
            }
            "tp_src" => {
                put(Field::TpSrc);
                mask.add_all(Field::IcmpType);
            }
            "tp_dst" => {
                put(Field::TpDst);
                mask.add_all(Field::IcmpCode);
            }
            "icmp_type" => put(Field::IcmpType),
            "icmp_code" => put(Field::IcmpCode),
            "nd_target" => put(Field::NdTarget),
            "nd_sll" => put(Field::NdSll),
            "nd_tll" => put(Field::NdTll),
            "nd_reserved" => put(Field::NdReserved),
            "nd_options_type" => put(Field::NdOptionsType),
            // Not of our keys, or of nothing.
            "packet_type" | "tun_tos" | "tun_ttl" | "tun_flags" | "tun_ipv6_dst" | "tun_ipv6_src" | "" => {}
            // Known by the number of the recirculation.
            "metadata" => {}
            other if other.starts_with("tun_metadata") || other.trim_start_matches(['x', 'r']).starts_with("eg") => {}
            other => panic!("unknown field {other} in {text}"),
        }
    }
    mask
}
