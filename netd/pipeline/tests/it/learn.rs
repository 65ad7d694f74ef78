//! `learn`: the flows that packets make are those that ovs-vswitchd makes.

use crate::frames;
use crate::random::Random;
use crate::support;
use crate::twin::{Ours, Twin, br0};
use hive_flow::{Field, Key, parse};
use hive_program::{Pipeline, Traffic};
use std::path::Path;
use std::process::Command;

fn dump(socket: &Path, table: u8) -> Vec<String> {
    let mut tool = Command::new("ovs-ofctl");
    let target = format!("unix:{}", socket.display());
    tool.args([
        "--timeout=30",
        "-OOpenFlow15",
        "--no-stats",
        "--no-names",
        "dump-flows",
        &target,
        &format!("table={table}"),
    ]);
    let output = support::finish(&mut tool, "");
    assert!(output.status.success());
    let mut lines: Vec<_> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect();
    lines.retain(|line| line.contains("actions="));
    lines.sort();
    lines
}

const FLOWS: &str = "\
table=0,priority=10,ip,actions=learn(table=7,idle_timeout=60,hard_timeout=300,fin_idle_timeout=5,cookie=0x9,priority=100,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],output:NXM_OF_IN_PORT[]),resubmit(,1)\n\
table=0,priority=9,arp,actions=learn(table=8,cookie=0xa,limit=2,result_dst=NXM_NX_REG2[0],eth_type=0x806,NXM_OF_ARP_SPA[]=NXM_OF_ARP_TPA[],load:0x5->NXM_NX_REG1[]),resubmit(,2)\n\
table=0,priority=0,actions=resubmit(,1)\n\
table=1,actions=resubmit(,7),output:3\n\
table=2,reg2=0x1/0x1,actions=output:1\n\
table=2,priority=0,actions=output:2\n";

#[test]
fn learned_flows_are_the_same() {
    let mut twin = Twin::start(|_, _| {});
    twin.ofctl("replace-flows", "br0", FLOWS);
    let mut random = Random::new(5);
    for _ in 0..300 {
        let port = random.pick(&[1, 2, 3]);
        let frame = frames::frame(&mut random, true, false);
        twin.compare(port, &format!("in_port={port}"), &Key::ZERO, &frame);
    }
    for table in [7, 8] {
        let theirs = dump(&twin.ovs.path("br0.mgmt"), table);
        assert_eq!(dump(&twin.ours.socket("br0"), table), theirs);
        assert!(theirs.len() >= 2);
    }
}

/// Without effects nothing is learned until there is traffic to be credited with.
#[test]
fn credit_learns_what_translation_only_saw() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl("replace-flows", "br0", FLOWS);
    let frame = frames::frame(&mut Random::new(3), false, false);
    let mut template = Key::ZERO;
    template.set(Field::InPort, 1);
    let mut key = parse(&frame, frame.len(), &template, 1).key;
    key.set(Field::EthType, 0x800);
    let translation = ours.switch.translate(&key, false, 0);
    assert!(dump(&ours.socket("br0"), 7).is_empty());
    let epoch = ours.switch.epoch();
    ours.switch.credit(&translation.credits, Traffic { packets: 1, bytes: 60, tcp_flags: 0 }, 10);
    assert_eq!(dump(&ours.socket("br0"), 7).len(), 1);
    // A new flow makes what was translated stale, the same one again does not.
    let learned = ours.switch.epoch();
    assert!(learned > epoch);
    ours.switch.credit(&translation.credits, Traffic { packets: 1, bytes: 60, tcp_flags: 0 }, 20);
    assert_eq!(ours.switch.epoch(), learned);
}

#[test]
fn learned_flows_go_with_the_last_that_made_them() {
    let ours = Ours::start(vec![br0()]);
    let learner = |kind: &str| {
        format!(
            "table=0,{kind},actions=learn(table=7,cookie=0x9,delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])\n"
        )
    };
    ours.ofctl("add-flows", "br0", &(learner("ip") + &learner("arp")));
    for seed in 0..10 {
        let frame = frames::frame(&mut Random::new(seed), false, false);
        let mut template = Key::ZERO;
        template.set(Field::InPort, 1);
        ours.switch.translate(&parse(&frame, frame.len(), &template, 1).key, true, 0);
    }
    let socket = ours.socket("br0");
    let learned = dump(&socket, 7).len();
    assert!(learned > 1);
    ours.ofctl("replace-flows", "br0", &(learner("arp") + "table=7,priority=1,cookie=0x9,actions=drop\n"));
    let flows = dump(&socket, 7);
    assert_eq!(flows.len(), 1, "{flows:?}");
    ours.ofctl("replace-flows", "br0", "table=0,actions=drop\n");
    assert!(dump(&socket, 7).is_empty());
}
