//! What has no end, and how long what has one takes.

use crate::frames;
use crate::random::Random;
use crate::twin::{Ours, br0, spec};
use hive_flow::{Field, Key, parse};
use hive_openflow::PortNo;
use hive_pipeline::{OPS_MAX, PortKind, PortSpec};
use hive_program::{DropReason, Pipeline, PortId};
use std::fmt::Write;
use std::time::Instant;

fn key(seed: u64) -> Key {
    let frame = frames::frame(&mut Random::new(seed), false, false);
    let mut template = Key::ZERO;
    template.set(Field::InPort, 1);
    parse(&frame, frame.len(), &template, 1).key
}

/// On a stack of 2 MiB, which threads have if nothing is said.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn searches_without_end_are_cut_off() {
    on_a_small_stack(|| {
        let ours = Ours::start(vec![br0()]);
        for actions in ["resubmit(,0)", "output:2,clone(output:3,resubmit(,0))", "resubmit(,0),resubmit(,0)", "group:1"]
        {
            ours.ofctl("add-groups", "br0", "");
            let groups = "group_id=1,type=all,bucket=actions=resubmit(,0),bucket=actions=resubmit(,0)\n";
            if actions == "group:1" {
                ours.ofctl("add-groups", "br0", groups);
            }
            ours.ofctl("replace-flows", "br0", &format!("actions={actions}\n"));
            let translation = ours.switch.translate(&key(1), false, 0);
            assert_eq!(translation.drop, Some(DropReason::TooComplex), "{actions}");
            assert!(translation.ops.is_empty());
        }
        // Forward only, as deep as there are tables, and back: what lies deepest is reached, then it is too deep.
        let mut flows = String::new();
        for table in 0..253 {
            let nested = "clone(".repeat(6) + &format!("resubmit(,{})", table + 1) + &")".repeat(6);
            let actions = if table % 2 == 0 { nested } else { format!("resubmit(,{})", table + 1) };
            writeln!(flows, "table={table},actions={actions}").unwrap();
        }
        ours.ofctl("replace-flows", "br0", &(flows.clone() + "table=253,actions=output:2\n"));
        assert_eq!(ours.switch.translate(&key(1), false, 0).ops.len(), 1);
        ours.ofctl("replace-flows", "br0", &(flows + "table=253,actions=resubmit(,0)\n"));
        assert_eq!(ours.switch.translate(&key(1), false, 0).drop, Some(DropReason::TooComplex));
    });
}

/// Each level does twice what the one below does, though none searches a table, and nothing goes out.
#[test]
fn what_doubles_is_cut_off() {
    on_a_small_stack(|| {
        let ours = Ours::start(vec![br0()]);
        let drop = |actions: &str, groups: &str| {
            ours.ofctl("replace-flows", "br0", "actions=drop\n");
            ours.ofctl("add-groups", "br0", groups);
            ours.ofctl("replace-flows", "br0", &format!("actions={actions}\n"));
            let translation = ours.switch.translate(&key(1), false, 0);
            assert!(translation.ops.is_empty());
            translation.drop
        };
        let larger = vec!["check_pkt_larger(100)->NXM_NX_REG0[0]"; 50].join(",");
        assert_eq!(drop(&larger, ""), Some(DropReason::TooComplex));
        let mut groups = "group_id=50,type=all,bucket=actions=set_field:1->reg0\n".to_owned();
        for number in (1..50).rev() {
            let bucket = format!(",bucket=actions=group:{}", number + 1);
            writeln!(groups, "group_id={number},type=all{bucket}{bucket}").unwrap();
        }
        assert_eq!(drop("group:1", &groups), Some(DropReason::TooComplex));
        let mut groups = "group_id=120,type=ff,bucket=watch_port:9,actions=output:2\n".to_owned();
        for number in (100..120).rev() {
            let bucket = format!(",bucket=watch_group:{},actions=output:2", number + 1).repeat(8);
            writeln!(groups, "group_id={number},type=ff{bucket}").unwrap();
        }
        assert_eq!(drop("group:100", &groups), Some(DropReason::TooComplex));
        // A set that grows with each search.
        let set = vec!["set_queue:1"; 2000].join(",");
        let flow = "write_actions(".to_owned() + &set + "),goto_table:1";
        let flow = format!(
            "{flow}\ntable=1,actions=resubmit(,2),resubmit(,2),resubmit(,2)\ntable=2,actions=write_actions({set}),goto_table:3"
        );
        let flow = format!("{flow}\ntable=3,actions={}", vec!["resubmit(,4)"; 40].join(","));
        let flow = format!("{flow}\ntable=4,actions=write_actions({set})");
        assert_eq!(drop(&flow, ""), Some(DropReason::TooComplex));
    });
}

/// Three ways between two bridges that flood: each doubles the copies.
#[test]
fn a_flood_in_circles_ends() {
    on_a_small_stack(|| {
        let mut specs = vec![br0(), spec(1, "br1", Vec::new())];
        for (at, [here, there]) in [["a", "b"], ["c", "d"], ["e", "f"]].into_iter().enumerate() {
            for (bridge, name, peer) in [(0, here, there), (1, there, here)] {
                let id = 200 + 2 * at as u32 + bridge as u32;
                let mut port = PortSpec::plain(name, PortId(id), PortNo(20 + at as u16));
                port.interfaces[0].kind = PortKind::Patch { peer: peer.to_owned() };
                specs[bridge].ports.push(port);
            }
        }
        for fail_open in [true, false] {
            for spec in &mut specs {
                spec.settings.fail_open = fail_open;
            }
            let ours = Ours::start(specs.clone());
            for bridge in ["br0", "br1"] {
                ours.ofctl("replace-flows", bridge, "actions=normal\n");
            }
            let translation = ours.switch.translate(&key(1), false, 0);
            let cut_off = translation.drop == Some(DropReason::TooComplex) && translation.ops.is_empty();
            assert!(cut_off || translation.ops.len() <= OPS_MAX);
        }
    });
}

/// No claim, a number to look at.
#[test]
fn a_translation_takes_microseconds() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl("replace-flows", "br0", crate::ovn::FLOWS);
    let keys: Vec<_> = (0..64).map(key).collect();
    let rounds = 200;
    let start = Instant::now();
    let mut ops = 0;
    for _ in 0..rounds {
        for key in &keys {
            ops += ours.switch.translate(key, false, 0).ops.len();
        }
    }
    println!("{} ns for a translation ({ops} operations)", start.elapsed().as_nanos() / (rounds * 64));
    let translation = ours.switch.translate(&keys[0], false, 0);
    let start = Instant::now();
    for _ in 0..100_000 {
        ours.switch.credit(&translation.credits, hive_program::Traffic::default(), 1);
    }
    println!("{} ns for a credit", start.elapsed().as_nanos() / 100_000);
}
