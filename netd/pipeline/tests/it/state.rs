//! Bridges with VLANs, mirrors, patch ports: as ovs-vswitchd has them.

use crate::differential::{GROUPS, Traits, random_flows};
use crate::frames;
use crate::random::Random;
use crate::twin::{Twin, spec};
use hive_flow::Key;
use hive_openflow::PortNo;
use hive_ovsdb::snapshot::Vlan;
use hive_pipeline::{MirrorSpec, MirrorTarget, PortKind, PortSpec, PriorityTags};
use hive_program::PortId;
use std::collections::BTreeSet;

fn vsctl(ovs: &crate::support::Switch, text: &str) {
    ovs.vsctl(&text.split(' ').collect::<Vec<_>>());
}

fn compare_random(twin: &mut Twin, seed: u64, ports: &[u32], count: usize) {
    let mut random = Random::new(seed);
    for _ in 0..count {
        let port = random.pick(ports);
        let frame = frames::frame(&mut random, true, false);
        twin.compare(port, &format!("in_port={port}"), &Key::ZERO, &frame);
    }
}

fn set(vlans: &[u16]) -> BTreeSet<u16> {
    vlans.iter().copied().collect()
}

#[test]
fn vlans_of_ports() {
    for limit in [1, 2] {
        let mut twin = Twin::start(|ovs, specs| {
            vsctl(ovs, &format!("set Open_vSwitch . other_config:vlan-limit={limit}"));
            for number in 4..=7u16 {
                let name = format!("p{number}");
                vsctl(ovs, &format!("add-port br0 {name} -- set Interface {name} type=dummy ofport_request={number}"));
                specs[0].ports.push(PortSpec::plain(&name, PortId(number.into()), PortNo(number)));
            }
            let vlans = [
                ("p1", "tag=10", Vlan::Access { tag: 10 }),
                ("p2", "trunks=10,20", Vlan::Trunk { trunks: set(&[10, 20]) }),
                (
                    "p3",
                    "vlan_mode=native-untagged tag=10 trunks=20",
                    Vlan::NativeUntagged { tag: 10, trunks: set(&[20]) },
                ),
                ("p4", "vlan_mode=native-tagged tag=20", Vlan::NativeTagged { tag: 20, trunks: set(&[]) }),
                (
                    "p5",
                    "vlan_mode=dot1q-tunnel tag=20 cvlans=10,0",
                    Vlan::Dot1qTunnel { tag: 20, cvlans: set(&[10, 0]) },
                ),
                ("p6", "tag=10 other_config:priority-tags=if-nonzero", Vlan::Access { tag: 10 }),
            ];
            for (name, text, vlan) in vlans {
                vsctl(ovs, &format!("set Port {name} {text}"));
                let port = specs[0].ports.iter_mut().find(|port| port.name == name).unwrap();
                port.vlan = vlan;
                if name == "p6" {
                    port.priority_tags = PriorityTags::IfNonzero;
                }
            }
        });
        twin.vlan_limit = limit;
        twin.ofctl("replace-flows", "br0", "actions=normal\n");
        compare_random(&mut twin, 500 + limit as u64, &[1, 2, 3, 4, 5, 6, 7], 500);
        twin.assert_masks();
    }
}

/// One at a time: of two, which comes first is not said.
fn mirror(create: &str, mirror: MirrorSpec) {
    let mut twin = Twin::start(|ovs, specs| {
        for number in 4..=5u16 {
            let name = format!("p{number}");
            vsctl(ovs, &format!("add-port br0 {name} -- set Interface {name} type=dummy ofport_request={number}"));
            specs[0].ports.push(PortSpec::plain(&name, PortId(number.into()), PortNo(number)));
        }
        let ids = ["p1", "p2", "p4"].map(|port| format!("-- --id=@{port} get Port {port}")).join(" ");
        vsctl(ovs, &format!("{ids} -- --id=@m create Mirror name=m {create} -- set Bridge br0 mirrors=@m"));
        specs[0].mirrors = vec![mirror];
    });
    twin.ofctl(
        "replace-flows",
        "br0",
        "priority=5,tcp,actions=output:2,output:3\npriority=6,dl_vlan=20,udp,actions=pop_vlan,output:2\nactions=normal\n",
    );
    compare_random(&mut twin, 77, &[1, 2, 3, 5], 300);
    twin.assert_masks();
}

#[test]
fn a_mirror_of_two_ports() {
    let name = |name: &str| BTreeSet::from([name.to_owned()]);
    let spec = MirrorSpec {
        name: "m".to_owned(),
        select_all: false,
        sources: name("p1"),
        destinations: name("p2"),
        vlans: BTreeSet::new(),
        output: MirrorTarget::Port("p4".to_owned()),
        snaplen: Some(64),
    };
    mirror("select_src_port=@p1 select_dst_port=@p2 output_port=@p4 snaplen=64", spec);
}

#[test]
fn a_mirror_of_a_vlan() {
    let spec = MirrorSpec {
        name: "m".to_owned(),
        select_all: true,
        sources: BTreeSet::new(),
        destinations: BTreeSet::new(),
        vlans: set(&[10]),
        output: MirrorTarget::Vlan(20),
        snaplen: None,
    };
    mirror("select_all=true select_vlan=10 output_vlan=20", spec);
}

#[test]
fn bridges_behind_patch_ports() {
    let mut twin = Twin::start(|ovs, specs| {
        vsctl(
            ovs,
            "add-br br1 -- set bridge br1 datapath_type=dummy fail-mode=secure protocols=OpenFlow10,OpenFlow13,OpenFlow15",
        );
        for number in 4..=5u16 {
            let name = format!("p{number}");
            vsctl(ovs, &format!("add-port br1 {name} -- set Interface {name} type=dummy ofport_request={number}"));
        }
        for (bridge, name, peer) in [("br0", "a", "b"), ("br1", "b", "a")] {
            vsctl(
                ovs,
                &format!(
                    "add-port {bridge} {name} -- set Interface {name} type=patch options:peer={peer} ofport_request=9"
                ),
            );
        }
        let mut ports: Vec<_> = (4..=5u16)
            .map(|number| PortSpec::plain(&format!("p{number}"), PortId(number.into()), PortNo(number)))
            .collect();
        ports.push(PortSpec::plain("br1", PortId(101), PortNo::LOCAL));
        let patch = |name: &str, peer: &str, id: u32| {
            let mut port = PortSpec::plain(name, PortId(id), PortNo(9));
            port.interfaces[0].kind = PortKind::Patch { peer: peer.to_owned() };
            port
        };
        ports.push(patch("b", "a", 201));
        specs[0].ports.push(patch("a", "b", 200));
        specs.push(spec(1, "br1", ports));
    });
    twin.any_order = true;
    let traits = Traits { vlans: true, sets: true, groups: true, normal: true, conntrack: false, mpls: false };
    twin.ofctl("add-groups", "br0", GROUPS);
    twin.ofctl("add-groups", "br1", GROUPS);
    for seed in 900..908 {
        let mut random = Random::new(seed);
        for bridge in ["br0", "br1"] {
            let flows = random_flows(&mut random, traits, 6);
            twin.ofctl("replace-flows", bridge, &flows);
        }
        compare_random(&mut twin, seed, &[1, 2, 3, 4, 5], 60);
    }
    twin.assert_masks();
}
