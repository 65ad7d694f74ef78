//! The same bridges, ports and flows in ovs-vswitchd and here.

use crate::effect::{Event, Packet};
use crate::oracle::{Control, mask_of};
use crate::support;
use hive_flow::{Field, Inner, Key, Mask, Shown, parse};
use hive_ofproto::{Bridge, BridgeConfig, Port, Running, Server};
use hive_openflow::{Desc, PortNo};
use hive_pipeline::{BridgeSettings, BridgeSpec, PortSpec, Switch};
use hive_program::{BridgeId, Pipeline, PortId, Traffic};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A packet that crosses between bridges more often is in a loop.
const LOOPS_MAX: usize = 40;

/// Our switch alone, programmed by ovs-ofctl.
pub struct Ours {
    pub switch: Arc<Switch>,
    pub specs: Vec<BridgeSpec>,
    directory: TempDir,
    _servers: Vec<Running>,
}

impl Ours {
    pub fn start(mut specs: Vec<BridgeSpec>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut servers = Vec::new();
        let switch = Switch::new();
        for spec in &mut specs {
            spec.agent = Arc::new(Mutex::new(agent(spec.id.0, &spec.ports)));
            let server = Server::bind(directory.path(), &spec.name).unwrap();
            let (of, bridge) = (switch.clone(), spec.id);
            let act = move |command| drop(of.follow(bridge, command, 0));
            servers.push(server.serve(spec.agent.clone(), || 0, act).unwrap());
        }
        switch.configure(&specs, 0);
        Self { switch, specs, directory, _servers: servers }
    }

    pub fn socket(&self, bridge: &str) -> std::path::PathBuf {
        self.directory.path().join(format!("{bridge}.mgmt"))
    }

    pub fn ofctl(&self, command: &str, bridge: &str, content: &str) {
        ofctl(&self.socket(bridge), command, content);
    }
}

/// ovs-ofctl with a file.
pub fn ofctl(socket: &std::path::Path, command: &str, content: &str) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    let path = file.path().display().to_string();
    let target = format!("unix:{}", socket.display());
    let mut tool = Command::new("ovs-ofctl");
    tool.args(["--timeout=30", "-OOpenFlow15", command, &target, &path]);
    let output = support::finish(&mut tool, "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command} at {target}: {told}\n{content}");
}

/// `br0` with ports p1 to p3 and its own, of which the data path calls the last 100.
pub fn br0() -> BridgeSpec {
    let mut ports: Vec<PortSpec> = (1..=3u16)
        .map(|number| PortSpec::plain(&format!("p{number}"), PortId(number.into()), PortNo(number)))
        .collect();
    ports.push(PortSpec::plain("br0", PortId(100), PortNo::LOCAL));
    spec(0, "br0", ports)
}

pub struct Twin {
    pub ovs: support::Switch,
    pub control: Control,
    pub ours: Ours,
    /// Where our mask has bits that theirs has not: the field, and how often.
    pub narrower: BTreeMap<String, usize>,
    pub tunnel_ports: Vec<u32>,
    pub vlan_limit: usize,
    /// A flood reaches other bridges, too.
    pub any_order: bool,
    /// Translations of which our mask has more bits.
    pub narrower_steps: usize,
    pub compared: usize,
    pub recirculated: usize,
}

fn agent(number: u32, ports: &[PortSpec]) -> Bridge {
    let text = |text: &str| text.to_owned();
    let desc = Desc {
        manufacturer: text("Nicira, Inc."),
        hardware: text("Open vSwitch"),
        software: text("3.1.0"),
        serial_number: text("None"),
        datapath: text("None"),
    };
    let mut bridge = Bridge::new(BridgeConfig { datapath_id: number.into(), desc });
    for interface in ports.iter().flat_map(|port| &port.interfaces) {
        bridge.add_port(Port::new(interface.number, &interface.name, [2, 0, 0, 0, 0, 1], 0));
    }
    bridge
}

impl Twin {
    /// `br0` with ports p1 to p3 and its own, of which the data path calls the last 100; and what `change` adds to both. It gives
    /// ovs-vsctl's words, and changes our bridges.
    pub fn start(change: impl FnOnce(&support::Switch, &mut Vec<BridgeSpec>)) -> Self {
        let ovs = support::Switch::start();
        let mut specs = vec![br0()];
        change(&ovs, &mut specs);
        let ours = Ours::start(specs);
        let control = Control::connect(&ovs.path("vs.ctl"));
        Self {
            ovs,
            control,
            ours,
            narrower: BTreeMap::new(),
            tunnel_ports: Vec::new(),
            vlan_limit: 1,
            any_order: false,
            narrower_steps: 0,
            compared: 0,
            recirculated: 0,
        }
    }

    /// ovs-ofctl with a file, at both.
    pub fn ofctl(&self, command: &str, bridge: &str, content: &str) {
        ofctl(&self.ovs.path(&format!("{bridge}.mgmt")), command, content);
        self.ours.ofctl(command, bridge, content);
    }

    /// Traces a frame at both, and compares what happens and what it depended on.
    pub fn compare(&mut self, port: u32, flow: &str, template: &Key, frame: &[u8]) {
        let bridge =
            self.ours.specs.iter().find(|spec| spec.ports.iter().any(|p| p.interfaces.iter().any(|i| i.id.0 == port)));
        let name = bridge.unwrap().name.clone();
        let (traced, text) = self.control.trace(&name, flow, frame);
        let mut template = *template;
        template.set(Field::InPort, port.into());
        let mut key = parse(frame, frame.len(), &template, self.vlan_limit).key;
        key.set(Field::PacketType, 0);
        let mut waiting = std::collections::VecDeque::from([key]);
        for (at, theirs) in traced.iter().enumerate() {
            let Some(key) = waiting.pop_front() else {
                panic!("they recirculate more often:\n{text}");
            };
            let ours = self.ours.switch.translate(&key, true, 0);
            // Their trace does to the flows what the packet does, but does not count it.
            let traffic = Traffic { tcp_flags: key.get(Field::TcpFlags) as u16, ..Traffic::default() };
            self.ours.switch.credit(&ours.credits, traffic, 0);
            if text.matches("bridge(\"").count() > LOOPS_MAX {
                // To and fro between bridges: it ends when too much is nested, which is counted otherwise here.
                return;
            }
            let (mut expected, mut got) = (Packet::new(key), Packet::new(key));
            expected.theirs(&theirs.actions);
            got.ours(&ours.ops, &self.tunnel_ports);
            let tell = || {
                format!(
                    "step {at} of {key}\nours: {}\n\n{text}\nours mask: {}",
                    hive_program::ShownOps { ops: &ours.ops, protocol: key.get_u64(Field::IpProto) as u8 },
                    Shown { key: &key, mask: &ours.mask }
                )
            };
            // In which order a flood reaches its ports nobody says.
            for events in [&mut got.events, &mut expected.events] {
                sort_outputs(events);
                if self.any_order {
                    events.sort_by_cached_key(|event| format!("{event:?}"));
                }
            }
            assert_eq!(got.events.len(), expected.events.len(), "{}", tell());
            for (got, expected) in got.events.iter().zip(&expected.events) {
                same_event(got, expected, &tell);
            }
            let theirs_mask = mask_of(&theirs.megaflow);
            let punts = format!("{:?}", got.events).contains("Controller");
            self.note_narrower(&key, &ours.mask, &theirs_mask, punts, &text);
            self.compared += 1;
            for (id, mut key, request) in got.recirculations {
                self.recirculated += 1;
                key.set(Field::RecircId, id.into());
                key.set(Field::InPort, port.into());
                // As the tracker of the trace says: tracked, new, and translated as the request says.
                // Others they do not follow.
                let Some(request) = request else { continue };
                key.set(Field::CtState, 0x21);
                let zone = request.split(['(', ',', ')']).find_map(|part| part.strip_prefix("zone="));
                key.set(Field::CtZone, zone.map_or(0, |zone| zone.parse().unwrap()));
                waiting.push_back(key);
            }
        }
        assert!(waiting.is_empty(), "we recirculate more often:\n{text}");
    }

    /// Of ports and ICMP types Open vSwitch's tries look at fewer bits, and of a popped tag we look whether there is another below.
    pub fn assert_masks(&self) {
        println!(
            "compared {} translations, {} of them recirculate; more bits in {}: {:?}",
            self.compared, self.recirculated, self.narrower_steps, self.narrower
        );
        // `Mpls`: of labels that are pushed again behind a
        // `clone` that popped them. `VlanTci`: the priority of a tag without VLAN, which says whether it stays: theirs forget it.
        let known = ["IcmpType", "IcmpCode", "TpSrc", "TpDst", "TcpFlags", "Vlan1Tci", "NdTarget"];
        let known = known.into_iter().chain(["MplsTc", "MplsTtl", "MplsLabel"]).collect::<Vec<_>>();
        for field in self.narrower.keys() {
            assert!(known.contains(&field.as_str()), "our masks have more bits: {:?}", self.narrower);
        }
    }

    fn note_narrower(&mut self, key: &Key, ours: &Mask, theirs: &Mask, punts: bool, text: &str) {
        let before = self.narrower.values().sum::<usize>();
        for field in Field::placed() {
            // Their data paths always look whether there is a tag.
            let always = match field {
                Field::VlanTci if key.get(Field::VlanTci) & 0xfff == 0 => 0xf000,
                // If the same tag is made again as went, nothing is done; that it is the same they do not look.
                Field::VlanTci
                    if ["push_vlan", "vlan_tci", "vlan_vid", "vlan_pcp", "NORMAL"].iter().any(|w| text.contains(w)) =>
                {
                    0xffff
                }
                Field::VlanTci => 0x1000,
                // The message for controllers is made beforehand here, so what it says of the connection counts.
                field if punts && (field == Field::PktMark || format!("{field:?}").starts_with("Ct")) => u128::MAX,
                Field::PacketType | Field::InPort | Field::RecircId => u128::MAX,
                _ => 0,
            };
            let more = ours.get(field) & !theirs.get(field) & !always;
            if more != 0 {
                let count = self.narrower.entry(format!("{field:?}")).or_default();
                *count += 1;
                if *count == 1 {
                    println!("{field:?} {more:#x} of {key}:\n{text}\nours: {}", Shown { key, mask: ours });
                }
            }
        }
        for part in [Inner::Vlan1Tci, Inner::MplsLse1, Inner::MplsLse2] {
            if ours.inner(part) & !theirs.inner(part) != 0 {
                *self.narrower.entry(format!("{part:?}")).or_default() += 1;
            }
        }
        self.narrower_steps += usize::from(self.narrower.values().sum::<usize>() != before);
    }
}

fn sort_outputs(events: &mut [Event]) {
    let is_output = |event: &Event| matches!(event, Event::Output { .. });
    for run in events.chunk_by_mut(|one, other| is_output(one) && is_output(other)) {
        run.sort_by_key(|event| match event {
            Event::Output { port, key, .. } => Some((*port, *key)),
            _ => None,
        });
    }
}

fn same_event(got: &Event, expected: &Event, tell: &dyn Fn() -> String) {
    match (got, expected) {
        (Event::Larger { bytes, then, otherwise }, Event::Larger { bytes: b, then: t, otherwise: o }) => {
            assert_eq!((bytes, then.len(), otherwise.len()), (b, t.len(), o.len()), "{}", tell());
            for (got, expected) in then.iter().zip(t).chain(otherwise.iter().zip(o)) {
                same_event(got, expected, tell);
            }
        }
        (Event::Conntrack { text, key }, Event::Conntrack { text: theirs, key: their_key }) => {
            assert_eq!(canonical(text), canonical(theirs), "{}", tell());
            assert_same(key, their_key, tell);
        }
        (Event::Output { port, key, bytes, tunnel }, Event::Output { port: p, key: k, bytes: b, tunnel: t }) => {
            assert_eq!((port, bytes, tunnel), (p, b, t), "{}", tell());
            assert_same(key, k, tell);
        }
        (Event::Controller { key }, Event::Controller { key: k })
        | (Event::Recirculate { key }, Event::Recirculate { key: k }) => {
            assert_same(key, k, tell);
        }
        (got, expected) => assert_eq!(got, expected, "{}", tell()),
    }
}

fn assert_same(got: &Key, expected: &Key, tell: &dyn Fn() -> String) {
    if got != expected {
        panic!("{}\nthe packet is then\n{got}\ninstead of\n{expected}", tell());
    }
}

/// The parts of a `ct` in one order and notation.
fn canonical(text: &str) -> Vec<String> {
    let body = text.strip_prefix("ct").unwrap();
    let body = body.strip_prefix('(').and_then(|body| body.strip_suffix(')')).unwrap_or(body);
    let mut parts: Vec<String> = crate::effect::split(body)
        .into_iter()
        .map(|part| match part.split_once('=') {
            Some((name @ ("mark" | "label"), value)) => {
                let field = if name == "mark" { Field::CtMark } else { Field::CtLabel };
                let (value, mask) = crate::effect::masked(value, field);
                format!("{name}={value:x}/{mask:x}")
            }
            _ => part.to_owned(),
        })
        .filter(|part| !part.is_empty())
        .collect();
    parts.sort();
    parts
}

pub fn spec(number: u32, name: &str, ports: Vec<PortSpec>) -> BridgeSpec {
    BridgeSpec {
        id: BridgeId(number),
        name: name.to_owned(),
        agent: Arc::new(Mutex::new(agent(number, &ports))),
        settings: BridgeSettings::default(),
        ports,
        mirrors: Vec::new(),
    }
}
