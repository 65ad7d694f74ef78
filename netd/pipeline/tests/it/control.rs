//! What controllers and operators ask.

use crate::frames;
use crate::random::Random;
use crate::twin::{Ours, br0};
use hive_flow::{Field, Key, Mask, Match, parse};
use hive_ofproto::ConnectionKind;
use hive_openflow::{
    Action, Context, Framer, Message, NO_BUFFER, PacketIn, PacketInFormat, PacketOut, PortNo, Version, decode,
};
use hive_ovsdb::snapshot::{self, BondMode, Endpoint, Tos, Ttl};
use hive_pipeline::{BondSpec, InterfaceSpec, PortKind, PortSpec, ResumeError, Switch, TraceRequest};
use hive_program::{BridgeId, DropReason, Op, Pipeline, PortId, Traffic};
use std::time::Duration;

const BR0: BridgeId = BridgeId(0);

fn udp() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 68, 0, 67, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    frame
}

fn key(port: u32, frame: &[u8]) -> Key {
    let mut template = Key::ZERO;
    template.set(Field::InPort, port.into());
    parse(frame, frame.len(), &template, 1).key
}

fn outputs(ops: &[Op]) -> Vec<u32> {
    let port = |op: &Op| match op {
        Op::Output(port) => Some(port.0),
        _ => None,
    };
    ops.iter().filter_map(port).collect()
}

/// A controller that has said hello, in version 1.5, and wants packets in Nicira's second form.
struct Controller {
    id: hive_ofproto::ConnectionId,
    framer: Framer,
}

impl Controller {
    fn connect(ours: &Ours) -> Self {
        let mut agent = ours.specs[0].agent.lock().unwrap();
        let id = agent.connect(ConnectionKind::Controller);
        let context = Context::new(Version::V1_5);
        let mut send = |message: Message| {
            let mut bytes = Vec::new();
            message.encode(7, &context, &mut bytes).unwrap();
            agent.receive(id, &bytes, 0).unwrap();
        };
        send(Message::Hello(hive_openflow::Hello::of(&[Version::V1_5])));
        send(Message::SetPacketInFormat(PacketInFormat::Nicira2));
        Self { id, framer: Framer::default() }
    }

    fn packets(&mut self, ours: &Ours) -> Vec<PacketIn> {
        let bytes = std::mem::take(ours.specs[0].agent.lock().unwrap().output(self.id).unwrap());
        self.framer.push(&bytes);
        let mut packets = Vec::new();
        while let Some(message) = self.framer.next_message().unwrap() {
            let decoded = decode(message, &Context::new(Version::V1_5)).unwrap();
            if let Message::PacketIn(packet) = decoded.message {
                packets.push(*packet);
            }
        }
        packets
    }
}

fn punt_all(switch: &Switch, ops: &[Op], frame: &[u8]) {
    for op in ops {
        if let Op::Punt(punt) = op {
            switch.punt(punt, frame, 0);
        }
    }
    switch.deliver();
}

#[test]
fn a_paused_packet_goes_on_where_it_stopped() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl(
        "replace-flows",
        "br0",
        "table=0,udp,actions=set_field:7->reg3,push:NXM_NX_REG3[],resubmit(,1),controller(userdata=01.02.03,pause),\
         resubmit(,5),output:1\n\
         table=1,actions=write_actions(output:3)\n\
         table=5,reg3=7,actions=pop:NXM_NX_REG4[],resubmit(,6)\n\
         table=6,reg4=7,actions=output:2\n",
    );
    let mut controller = Controller::connect(&ours);
    let frame = udp();
    let translation = ours.switch.translate(&key(1, &frame), true, 0);
    assert_eq!(outputs(&translation.ops), [0u32; 0]);
    punt_all(&ours.switch, &translation.ops, &frame);
    let packets = controller.packets(&ours);
    assert_eq!(packets.len(), 1);
    let mut packet = packets[0].clone();
    assert_eq!((packet.userdata.as_slice(), &packet.packet), (&[1u8, 2, 3][..], &frame));
    assert_eq!(packet.metadata.exact(Field::Reg(3)), Some(7));
    // Back as a controller sends it, through the bytes.
    let context = Context::new(Version::V1_5);
    let mut bytes = Vec::new();
    Message::Resume(Box::new(packet.clone())).encode(1, &context, &mut bytes).unwrap();
    let Message::Resume(back) = decode(&bytes, &context).unwrap().message else { panic!() };
    let execution = ours.switch.resume(BR0, &back, 1, 0).unwrap();
    // The output to port 1 is back where it came from.
    assert_eq!(outputs(&execution.ops), [2, 3]);
    assert_eq!(execution.key.get(Field::InPort), 1);
    // What the controller changed counts.
    packet.metadata.exactly(Field::Reg(3), 8);
    let execution = ours.switch.resume(BR0, &packet, 1, 0).unwrap();
    assert_eq!(outputs(&execution.ops), [3]);
    packet.continuation.truncate(9);
    assert!(matches!(ours.switch.resume(BR0, &packet, 1, 0), Err(ResumeError::Damaged(_))));
    assert_eq!(ours.switch.resume(BridgeId(9), &back, 1, 0).unwrap_err(), ResumeError::Bridge);
}

#[test]
fn a_controllers_packet_goes_out() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl("replace-flows", "br0", "table=0,in_port=CONTROLLER,udp,actions=output:3\n");
    let mut metadata = Match::default();
    metadata.exactly(Field::InPort, PortNo::CONTROLLER.0.into());
    let output = |port| Action::Output { port, max_len: 0 };
    let packet_out = PacketOut {
        buffer: NO_BUFFER,
        metadata,
        actions: vec![output(PortNo(2)), output(PortNo::TABLE), output(PortNo::ALL)],
        packet: udp(),
    };
    let execution = ours.switch.packet_out(BR0, &packet_out, 1, 0).unwrap();
    assert_eq!(outputs(&execution.ops), [2, 3, 1, 2, 3, 100]);
    assert_eq!(execution.key.get(Field::InPort), u128::from(hive_pipeline::NO_PORT.0));
}

#[test]
fn traffic_is_counted_where_it_went() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl("add-groups", "br0", "group_id=1,type=all,bucket=actions=output:2,bucket=actions=output:3\n");
    ours.ofctl("replace-flows", "br0", "table=0,udp,actions=group:1,resubmit(,4)\ntable=0,priority=0,actions=drop\n");
    let translation = ours.switch.translate(&key(1, &udp()), false, 0);
    for _ in 0..3 {
        ours.switch.credit(&translation.credits, Traffic { packets: 2, bytes: 100, tcp_flags: 0 }, 5);
    }
    let agent = ours.specs[0].agent.lock().unwrap();
    let tables = agent.flows().load();
    let flow = tables.table(0).unwrap().iter().find(|rule| rule.priority() != 0).unwrap().value().clone();
    assert_eq!((flow.usage.packets(), flow.usage.bytes(), flow.usage.used_ms()), (6, 300, 5));
    let group = agent.groups()[&1].clone();
    assert_eq!((group.usage.packets(), group.bucket_usage[1].bytes()), (6, 300));
    drop(agent);
    let state = ours.switch.bridge_state(BR0).unwrap();
    let of = |table: usize| {
        let counters = &state.tables[table];
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
        (load(&counters.lookups), load(&counters.matches))
    };
    assert_eq!((of(0), of(4)), ((6, 6), (6, 0)));
}

#[test]
fn every_change_makes_translations_stale() {
    let ours = Ours::start(vec![br0()]);
    let mut epoch = ours.switch.epoch();
    let mut changed = |what: &str| {
        let now = ours.switch.epoch();
        assert!(now > epoch, "{what}");
        epoch = now;
    };
    ours.ofctl("add-flows", "br0", "actions=normal\n");
    changed("flows");
    ours.ofctl("add-groups", "br0", "group_id=1,type=all\n");
    changed("groups");
    ours.switch.set_link(PortId(1), false, 0);
    changed("link");
    ours.switch.translate(&key(1, &udp()), true, 0);
    changed("learned address");
    ours.switch.translate(&key(2, &udp()), true, 0);
    changed("moved address");
    ours.switch.flush_macs(BR0);
    changed("flush");
    ours.switch.translate(&key(2, &udp()), true, 0);
    changed("learned again");
    ours.switch.run(1_000_000);
    changed("aged address");
    ours.switch.configure(&ours.specs, 0);
    changed("configuration");
    ours.switch.run(1_000_001);
    ours.switch.translate(&key(2, &udp()), false, 0);
    assert_eq!(ours.switch.epoch(), epoch, "nothing has changed");
}

#[test]
fn a_bond_fails_over_and_does_not_loop() {
    let mut spec = br0();
    let member = |number: u16| InterfaceSpec {
        id: PortId(number.into()),
        number: PortNo(number),
        name: format!("p{number}"),
        kind: PortKind::Device,
        bfd: false,
    };
    let mut bond = PortSpec::plain("bond", PortId(5), PortNo(5));
    bond.interfaces = vec![member(5), member(6)];
    bond.bond = Some(BondSpec {
        mode: BondMode::ActiveBackup,
        updelay_ms: 0,
        downdelay_ms: 0,
        rebalance_interval_ms: 0,
        primary: Some("p6".to_owned()),
    });
    spec.ports.push(bond);
    let ours = Ours::start(vec![spec]);
    ours.ofctl("replace-flows", "br0", "actions=normal\n");
    let frame = udp();
    let from = |port| ours.switch.translate(&key(port, &frame), false, 0);
    assert_eq!(outputs(&from(1).ops), [2, 3, 100, 6]);
    // The backup member takes nothing in, and nothing goes back to the bond.
    assert_eq!(from(5).drop, Some(DropReason::PortBlocked));
    assert_eq!(outputs(&from(6).ops), [1, 2, 3, 100]);
    ours.switch.set_link(PortId(6), false, 0);
    assert_eq!(outputs(&from(1).ops), [2, 3, 100, 5]);
    ours.switch.set_link(PortId(6), true, 0);
    assert_eq!(outputs(&from(1).ops), [2, 3, 100, 6]);
    assert!(ours.switch.show_bonds(None).contains("active member"));
}

/// Whose flows say all.
fn tunnel() -> snapshot::Tunnel {
    snapshot::Tunnel {
        remote_ip: Endpoint::Flow,
        local_ip: None,
        in_key: snapshot::Key::Flow,
        out_key: snapshot::Key::Flow,
        dst_port: 6081,
        tos: Tos::Inherit,
        ttl: Ttl::Value(64),
        df_default: true,
        csum: false,
        egress_pkt_mark: 0,
        wireguard: None,
    }
}

/// They are no flow's where a port has a session; but what is in a network is its own.
#[test]
fn packets_of_bfd_are_the_sessions() {
    let mut spec = br0();
    for (number, kind) in [(7, PortKind::Tunnel(tunnel())), (8, PortKind::Device)] {
        let mut port = PortSpec::plain(&format!("p{number}"), PortId(number), PortNo(number as u16));
        port.interfaces[0] = InterfaceSpec { kind, bfd: true, ..port.interfaces[0].clone() };
        spec.ports.push(port);
    }
    let ours = Ours::start(vec![spec]);
    ours.ofctl("replace-flows", "br0", "actions=output:2\n");
    let mut frame = udp();
    frame[36..38].copy_from_slice(&3784u16.to_be_bytes());
    let taken = |key: &Key| {
        let translation = ours.switch.translate(key, false, 0);
        punt_all(&ours.switch, &translation.ops, &frame);
        let waiting = ours.switch.wait_for_bfd(Duration::ZERO);
        assert_eq!(outputs(&translation.ops).is_empty(), !waiting.is_empty());
        let ports: Vec<_> = waiting.iter().map(|(port, taken)| (port.0, *taken == frame)).collect();
        (ports, translation.mask)
    };
    let all = |mask: &Mask, field| mask.get(field) == field_ones(field);
    // A port without a session, and one with.
    let (ports, mask) = taken(&key(1, &frame));
    assert!(ports.is_empty() && mask.get(Field::TpDst) == 0);
    let (ports, mask) = taken(&key(8, &frame));
    assert!(ports == [(8, true)] && all(&mask, Field::TpDst) && all(&mask, Field::IpProto));
    let (ports, mask) = taken(&key(8, &udp()));
    assert!(ports.is_empty() && all(&mask, Field::TpDst));
    let mut tunnelled = key(7, &frame);
    tunnelled.set(Field::TunSrc, 0x0a09_0002);
    tunnelled.set(Field::TunDst, 0x0a09_0001);
    assert_eq!(taken(&tunnelled).0, [(7, true)]);
    tunnelled.set(Field::TunId, 5);
    let (ports, mask) = taken(&tunnelled);
    assert!(ports.is_empty() && all(&mask, Field::TunId));
}

fn field_ones(field: Field) -> u128 {
    let mut mask = Mask::NONE;
    mask.add_all(field);
    mask.get(field)
}

#[test]
fn a_tunnel_is_as_its_port_and_the_flows_say() {
    let mut spec = br0();
    let tunnel = tunnel();
    let fixed = snapshot::Tunnel {
        remote_ip: Endpoint::Address("10.9.0.2".parse().unwrap()),
        in_key: snapshot::Key::Id(5),
        out_key: snapshot::Key::Id(5),
        ..tunnel.clone()
    };
    for (number, name, kind) in
        [(7, "gnv", PortKind::Tunnel(tunnel)), (8, "fix", PortKind::Tunnel(fixed)), (9, "srv", PortKind::Services)]
    {
        let mut port = PortSpec::plain(name, PortId(number), PortNo(number as u16));
        port.interfaces[0].kind = kind;
        spec.ports.push(port);
    }
    let ours = Ours::start(vec![spec]);
    ours.ofctl(
        "replace-flows",
        "br0",
        "in_port=1,actions=set_field:10.9.0.7->tun_dst,set_field:77->tun_id,output:7,output:8,output:9,output:2\n\
         in_port=7,tun_id=77,actions=output:2\n",
    );
    let translation = ours.switch.translate(&key(1, &udp()), false, 0);
    let tunnels: Vec<_> = translation
        .ops
        .iter()
        .filter_map(|op| match op {
            Op::SetTunnel(tunnel) => Some((tunnel.id, tunnel.remote.to_string(), tunnel.ttl, tunnel.df)),
            _ => None,
        })
        .collect();
    let expected = [(77, "10.9.0.7", 64, true), (5, "10.9.0.2", 64, true), (77, "0.0.0.0", 0, false)];
    assert_eq!(tunnels, expected.map(|(id, remote, ttl, df)| (id, remote.to_owned(), ttl, df)));
    assert_eq!(outputs(&translation.ops), [7, 8, 9, 2]);
    let mut arrived = key(7, &udp());
    arrived.set(Field::TunId, 77);
    arrived.set(Field::TunSrc, 0x0a09_0002);
    arrived.set(Field::TunDst, 0x0a09_0001);
    let translation = ours.switch.translate(&arrived, false, 0);
    assert_eq!(outputs(&translation.ops), [2]);
    assert_eq!(translation.mask.get(Field::TunId), u128::from(u64::MAX));
    // Whose packet it is: the port that says most about it.
    assert_eq!(ours.switch.tunnel_port(&arrived, 6081), Some(PortId(7)));
    arrived.set(Field::TunId, 5);
    assert_eq!(ours.switch.tunnel_port(&arrived, 6081), Some(PortId(8)));
    assert_eq!(ours.switch.tunnel_port(&arrived, 4789), None);
}

#[test]
fn a_select_group_uses_all_its_buckets_by_weight() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl(
        "add-groups",
        "br0",
        "group_id=1,type=select,bucket=weight:3,actions=output:2,bucket=weight:1,watch_port:3,actions=output:3\n",
    );
    ours.ofctl("replace-flows", "br0", "actions=group:1\n");
    let first = ours.switch.translate(&key(1, &udp()), false, 0);
    let id = first.ops.iter().find_map(|op| match op {
        Op::Recirculate(id) => Some(id.0),
        _ => None,
    });
    assert!(first.ops.iter().any(|op| matches!(op, Op::Hash { .. })));
    let count = || {
        let mut counts = [0; 4];
        for hash in 1..=1024u32 {
            let mut key = key(1, &udp());
            key.set(Field::RecircId, id.unwrap().into());
            key.set(Field::DpHash, hash.into());
            let translation = ours.switch.translate(&key, false, 0);
            assert_eq!(translation.mask.get(Field::DpHash), 0xf);
            counts[outputs(&translation.ops)[0] as usize] += 1;
        }
        counts
    };
    assert_eq!(count(), [0, 0, 768, 256]);
    ours.switch.set_link(PortId(3), false, 0);
    assert_eq!(count(), [0, 0, 1024, 0]);
}

#[test]
fn states_are_forgotten_when_no_translation_needs_them() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl(
        "replace-flows",
        "br0",
        "table=0,ip,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],ct(table=1)\ntable=1,actions=output:2\n",
    );
    let mut random = Random::new(1);
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(ours.switch.translate(&key(1, &frames::frame(&mut random, false, false)), false, 0));
    }
    let many = ours.switch.recirculations();
    assert!(many > 3);
    ours.switch.run(60_000);
    assert_eq!(ours.switch.recirculations(), many);
    drop(held);
    ours.switch.run(60_001);
    assert_eq!(ours.switch.recirculations(), many, "packets may be under way");
    ours.switch.run(120_000);
    assert_eq!(ours.switch.recirculations(), 0);
    let mut lost = key(1, &udp());
    lost.set(Field::RecircId, 1);
    let translation = ours.switch.translate(&lost, false, 0);
    assert_eq!((translation.drop, translation.uncached), (Some(DropReason::RecirculationUnknown), true));
}

#[test]
fn a_trace_tells_what_ovs_vswitchd_tells() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl(
        "replace-flows",
        "br0",
        "table=0,in_port=1,udp,actions=dec_ttl,ct(table=1,zone=3)\ntable=1,ct_state=+trk+new,ip,actions=output:2\n",
    );
    let request = TraceRequest {
        bridge: "br0",
        flow: "in_port=p1",
        frame: Some(&udp()),
        vlan_limit: 1,
        ..TraceRequest::default()
    };
    let text = ours.switch.trace(&request, 0).unwrap();
    for part in [
        "Flow: udp,in_port=1,",
        "bridge(\"br0\")\n-------------\n 0. udp,in_port=1, priority 32768\n    dec_ttl\n    ct(table=1,zone=3)\n",
        "Final flow: udp,in_port=1",
        "Datapath actions: set(ip(ttl=63)),ct(zone=3),recirc(0x1)\n",
        "recirc(0x1) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)",
        "Datapath actions: 2\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let drop = ours.switch.trace(&TraceRequest { flow: "in_port=2,arp", ..request }, 0).unwrap();
    assert!(drop.contains("Datapath actions: drop"), "{drop}");
    assert!(ours.switch.trace(&TraceRequest { bridge: "none", ..TraceRequest::default() }, 0).is_err());
}

#[test]
fn mac_tables_are_shown_and_changed() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl("replace-flows", "br0", "actions=normal\n");
    ours.switch.translate(&key(1, &udp()), true, 0);
    assert!(ours.switch.add_mac("br0", "p3", 0, 0x0200_0000_0009));
    let text = ours.switch.show_macs("br0", 5000).unwrap();
    assert!(text.contains("    1     0  02:00:00:00:00:01    5\n"), "{text}");
    assert!(text.contains("    3     0  02:00:00:00:00:09  static\n"), "{text}");
    let translation = ours.switch.translate(&key(1, &udp()), true, 0);
    assert_eq!(hive_program::ShownOps { ops: &translation.ops, protocol: 0 }.to_string(), "3");
    assert!(ours.switch.show_mac_stats("br0").unwrap().contains("table: 2/8192"));
    assert!(ours.switch.flush_macs_of("br0") && ours.switch.remove_mac("br0", 0, 0x0200_0000_0009));
    assert_eq!(ours.switch.show_macs("br0", 0).unwrap().lines().count(), 1);
    assert_eq!(ours.switch.bridges(), ["br0"]);
}
