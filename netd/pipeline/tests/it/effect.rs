//! What operations do to a packet, without bytes: its key, step by step. From our operations, and from the text that ovs-vswitchd prints
//! of its own.

use hive_flow::{Field, Inner, Key};
use hive_program::Op;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What somebody outside sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Output {
        port: u32,
        key: Key,
        bytes: Option<u32>,
        tunnel: Option<String>,
    },
    Conntrack {
        text: String,
        key: Key,
    },
    CtClear,
    Recirculate {
        key: Key,
    },
    Controller {
        key: Key,
    },
    Meter(u32),
    Sample {
        text: String,
        key: Key,
    },
    Hash,
    /// By the frame's length.
    Larger {
        bytes: u16,
        then: Vec<Event>,
        otherwise: Vec<Event>,
    },
}

/// The packet under way.
#[derive(Clone, Debug)]
pub struct Packet {
    pub key: Key,
    bytes: Option<u32>,
    tunnel: Option<String>,
    pub events: Vec<Event>,
    /// Recirculations in order: the number, the key then, and the request of the tracker just before.
    pub recirculations: Vec<(u32, Key, Option<String>)>,
    last_request: Option<String>,
}

fn tags(key: &Key) -> [(u32, u32); 2] {
    [
        (key.get(Field::VlanTci) as u32, key.inner(Inner::VlanTpid)),
        (key.inner(Inner::Vlan1Tci), key.inner(Inner::Vlan1Tpid)),
    ]
}

fn set_tags(key: &mut Key, tags: [(u32, u32); 2]) {
    key.set(Field::VlanTci, tags[0].0.into());
    key.set_inner(Inner::VlanTpid, tags[0].1);
    key.set_inner(Inner::Vlan1Tci, tags[1].0);
    key.set_inner(Inner::Vlan1Tpid, tags[1].1);
}

const LSES: [Inner; 3] = [Inner::MplsLse0, Inner::MplsLse1, Inner::MplsLse2];

impl Packet {
    pub fn new(key: Key) -> Self {
        let mut key = key;
        key.set(Field::RecircId, 0);
        for n in 0..16 {
            key.set(Field::Reg(n), 0);
        }
        for field in [Field::Metadata, Field::InPort, Field::DpHash] {
            key.set(field, 0);
        }
        Self { key, bytes: None, tunnel: None, events: Vec::new(), recirculations: Vec::new(), last_request: None }
    }

    fn push_vlan(&mut self, tci: u32, tpid: u32) {
        let old = tags(&self.key);
        set_tags(&mut self.key, [(tci, tpid), old[0]]);
    }

    fn pop_vlan(&mut self) {
        let old = tags(&self.key);
        set_tags(&mut self.key, [old[1], (0, 0)]);
    }

    fn push_mpls(&mut self, entry: u32, kind: u16) {
        let old = LSES.map(|part| self.key.inner(part));
        let mpls = matches!(self.key.get(Field::EthType), 0x8847 | 0x8848);
        if !mpls {
            // What is behind is out of sight.
            for range in [3..6, 8..12, 13..20, 22..23] {
                self.key.words[range].fill(0);
            }
        }
        for (part, value) in LSES.into_iter().zip([entry, if mpls { old[0] } else { 0 }, if mpls { old[1] } else { 0 }])
        {
            self.key.set_inner(part, value);
        }
        self.key.set(Field::EthType, kind.into());
    }

    fn pop_mpls(&mut self, kind: u16) {
        let old = LSES.map(|part| self.key.inner(part));
        let bottom = old[0] & 0x100 != 0;
        for (part, value) in LSES.into_iter().zip([if bottom { 0 } else { old[1] }, if bottom { 0 } else { old[2] }, 0])
        {
            self.key.set_inner(part, value);
        }
        self.key.set(Field::EthType, kind.into());
    }

    fn output(&mut self, port: u32) {
        let tunnel = self.tunnel.clone();
        self.events.push(Event::Output { port, key: self.key, bytes: self.bytes.take(), tunnel });
    }

    fn isolated(&mut self, run: impl FnOnce(&mut Self)) {
        let (key, tunnel) = (self.key, self.tunnel.clone());
        run(self);
        self.key = key;
        self.tunnel = tunnel;
    }

    pub fn ours(&mut self, ops: &[Op], tunnel_ports: &[u32]) {
        for op in ops {
            match op {
                Op::Output(port) => {
                    let kept = self.tunnel.clone();
                    if !tunnel_ports.contains(&port.0) {
                        self.tunnel = None;
                    }
                    self.output(port.0);
                    self.tunnel = kept;
                }
                Op::Set { field, value, mask } => {
                    let old = self.key.get(*field);
                    self.key.set(*field, old & !mask | value & mask);
                }
                Op::PushVlan { tpid, tci } => self.push_vlan((*tci).into(), (*tpid).into()),
                Op::PopVlan => self.pop_vlan(),
                Op::PushMpls { ether_type, lse } => self.push_mpls(*lse, *ether_type),
                Op::PopMpls { ether_type } => self.pop_mpls(*ether_type),
                Op::SetTunnel(tunnel) => {
                    self.tunnel = Some(format!("{:#x} {} {}", tunnel.id, tunnel.remote, tunnel.ttl));
                }
                Op::Truncate { bytes } => self.bytes = Some(*bytes),
                Op::Conntrack(_) => {
                    let text = hive_program::ShownOps { ops: std::slice::from_ref(op), protocol: 0 }.to_string();
                    self.last_request = Some(text.clone());
                    self.events.push(Event::Conntrack { text, key: self.key });
                }
                Op::CtClear => self.events.push(Event::CtClear),
                Op::Hash { .. } => self.events.push(Event::Hash),
                Op::Recirculate(id) => {
                    self.events.push(Event::Recirculate { key: self.key });
                    self.recirculations.push((id.0, self.key, self.last_request.take()));
                }
                Op::Meter(meter) => self.events.push(Event::Meter(meter.meter)),
                Op::Sample(sample) => {
                    let text = sample.to_string();
                    self.events.push(Event::Sample { text: text.replace("pid=0,", ""), key: self.key });
                }
                Op::Punt(_) => self.events.push(Event::Controller { key: self.key }),
                Op::Clone(ops) => self.isolated(|this| this.ours(ops, tunnel_ports)),
                Op::IfLarger { bytes, then, otherwise } => {
                    let outer = std::mem::take(&mut self.events);
                    let branch = |this: &mut Self, ops: &[Op]| {
                        this.isolated(|this| this.ours(ops, tunnel_ports));
                        std::mem::take(&mut this.events)
                    };
                    let (then, otherwise) = (branch(self, then), branch(self, otherwise));
                    self.events = outer;
                    self.events.push(Event::Larger { bytes: *bytes, then, otherwise });
                }
            }
        }
    }

    /// `text`: as behind "Datapath actions:".
    pub fn theirs(&mut self, text: &str) {
        if text == "drop" {
            return;
        }
        for item in split(text) {
            let (name, body) = match item.split_once('(') {
                Some((name, body)) => (name, body.strip_suffix(')').unwrap_or_else(|| panic!("{item}"))),
                None => (item, ""),
            };
            match name {
                "" => {}
                number if number.bytes().all(|byte| byte.is_ascii_digit()) => self.output(number.parse().unwrap()),
                "set" => self.theirs_set(body),
                "push_vlan" => {
                    let get = |name: &str| value_of(body, name).map(|value| value as u32);
                    let tci = get("vid").unwrap() | get("pcp").unwrap_or(0) << 13 | 0x1000;
                    self.push_vlan(tci, get("tpid").unwrap_or(0x8100));
                }
                "pop_vlan" => self.pop_vlan(),
                "push_mpls" => {
                    let get = |name: &str| value_of(body, name).unwrap() as u32;
                    let entry = get("label") << 12 | get("tc") << 9 | get("bos") << 8 | get("ttl");
                    self.push_mpls(entry, get("eth_type") as u16);
                }
                "pop_mpls" => self.pop_mpls(value_of(body, "eth_type").unwrap() as u16),
                "trunc" => self.bytes = Some(body.parse().unwrap()),
                "ct" => {
                    let text = if body.is_empty() { "ct".to_owned() } else { format!("ct({body})") };
                    self.last_request = Some(text.clone());
                    self.events.push(Event::Conntrack { text, key: self.key });
                }
                "ct_clear" => self.events.push(Event::CtClear),
                "hash" => self.events.push(Event::Hash),
                "recirc" => {
                    self.events.push(Event::Recirculate { key: self.key });
                    let id = number(body) as u32;
                    self.recirculations.push((id, self.key, self.last_request.take()));
                }
                "meter" => self.events.push(Event::Meter(body.parse().unwrap())),
                "userspace" => self.events.push(Event::Controller { key: self.key }),
                "clone" => self.isolated(|this| this.theirs(body)),
                "check_pkt_len" => {
                    let parts = split(body);
                    let bytes = parts[0].strip_prefix("size=").unwrap().parse().unwrap();
                    let inner = |part: &str, name: &str| {
                        let part = part.strip_prefix(name).unwrap();
                        part.strip_prefix('(').unwrap().strip_suffix(')').unwrap().to_owned()
                    };
                    let outer = std::mem::take(&mut self.events);
                    let branch = |this: &mut Self, text: &str| {
                        this.isolated(|this| this.theirs(text));
                        std::mem::take(&mut this.events)
                    };
                    let then = branch(self, &inner(parts[1], "gt"));
                    let otherwise = branch(self, &inner(parts[2], "le"));
                    self.events = outer;
                    self.events.push(Event::Larger { bytes, then, otherwise });
                }
                other => panic!("unknown action {other} in {text}"),
            }
        }
    }

    fn put(&mut self, field: Field, text: &str) {
        let (value, mask) = masked(text, field);
        let old = self.key.get(field);
        self.key.set(field, old & !mask | value & mask);
    }

    fn theirs_set(&mut self, body: &str) {
        let (header, body) = body.split_once('(').unwrap();
        let body = body.strip_suffix(')').unwrap();
        match header {
            "skb_mark" => return self.put(Field::PktMark, body),
            "skb_priority" => return self.put(Field::SkbPriority, body),
            "tunnel" => {
                let get = |name: &str| {
                    let found = split(body).into_iter().find_map(|part| part.strip_prefix(name).map(str::to_owned));
                    found.unwrap_or_default()
                };
                let (id, ttl) = (number(&get("tun_id=")), get("ttl="));
                let remote = if body.contains("ipv6_dst=") { get("ipv6_dst=") } else { get("dst=") };
                self.tunnel = Some(format!("{id:#x} {remote} {ttl}"));
                return;
            }
            _ => {}
        }
        for part in split(body) {
            let (name, value) = part.split_once('=').unwrap();
            let field = match (header, name) {
                ("eth", "src") => Field::EthSrc,
                ("eth", "dst") => Field::EthDst,
                ("ipv4", "src") => Field::Ipv4Src,
                ("ipv4", "dst") => Field::Ipv4Dst,
                ("ipv6", "src") => Field::Ipv6Src,
                ("ipv6", "dst") => Field::Ipv6Dst,
                ("ipv6", "label") => Field::Ipv6Label,
                ("ipv4", "tos") | ("ipv6", "tclass") => {
                    let (value, mask) = masked(value, Field::IpProto);
                    for (field, shift) in [(Field::IpDscp, 2), (Field::IpEcn, 0)] {
                        let (value, mask) = (value >> shift & field.full_mask(), mask >> shift & field.full_mask());
                        let old = self.key.get(field);
                        self.key.set(field, old & !mask | value & mask);
                    }
                    continue;
                }
                ("ipv4", "ttl") | ("ipv6", "hlimit") => Field::IpTtl,
                ("ipv4" | "ipv6", "proto" | "frag") => continue,
                ("tcp" | "udp" | "sctp", "src") => Field::TpSrc,
                ("tcp" | "udp" | "sctp", "dst") => Field::TpDst,
                ("icmp" | "icmpv6", "type") => Field::IcmpType,
                ("icmp" | "icmpv6", "code") => Field::IcmpCode,
                ("arp", "sip") => Field::ArpSpa,
                ("arp", "tip") => Field::ArpTpa,
                ("arp", "op") => Field::ArpOp,
                ("arp", "sha") => Field::ArpSha,
                ("arp", "tha") => Field::ArpTha,
                ("nd", "target") => Field::NdTarget,
                ("nd", "sll") => Field::NdSll,
                ("nd", "tll") => Field::NdTll,
                ("mpls", "label") => Field::MplsLabel,
                ("mpls", "tc") => Field::MplsTc,
                ("mpls", "ttl") => Field::MplsTtl,
                ("mpls", "bos") => Field::MplsBos,
                other => panic!("unknown field {other:?}"),
            };
            self.put(field, value);
        }
    }
}

/// At commas that are not within parentheses.
pub fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

pub fn number(text: &str) -> u128 {
    match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text}")),
        None => text.parse().unwrap_or_else(|_| panic!("{text}")),
    }
}

fn value_of(body: &str, name: &str) -> Option<u128> {
    split(body).into_iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).map(number)
}

/// A value of whatever notation: addresses, numbers.
pub fn value(text: &str) -> u128 {
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return v4.to_bits().into();
    }
    if text.len() == 17 && text.matches(':').count() == 5 {
        return text.split(':').fold(0, |value, byte| value << 8 | u128::from_str_radix(byte, 16).unwrap());
    }
    if let Ok(v6) = text.parse::<Ipv6Addr>() {
        return v6.to_bits();
    }
    number(text)
}

/// `value/mask`, where the mask may be a prefix's length.
pub fn masked(text: &str, field: Field) -> (u128, u128) {
    let full = field.full_mask();
    let Some((left, right)) = text.split_once('/') else { return (value(text), full) };
    let address = left.contains(':') || left.contains('.');
    let mask = match right.parse::<u32>() {
        Ok(length) if address && !right.starts_with("0x") => full & !(full.checked_shr(length).unwrap_or(0)),
        _ => value(right),
    };
    (value(left) & mask, mask)
}
