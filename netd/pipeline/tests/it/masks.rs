//! What a translation says that it depends on is all that it depends on: keys that agree there come out alike.

use crate::differential::{GROUPS, Traits, random_flows};
use crate::effect::Packet;
use crate::frames;
use crate::random::Random;
use crate::twin::{Ours, br0};
use hive_flow::{Field, Inner, Key, Shown, parse};
use hive_pipeline::ShownOps;
use hive_program::Pipeline;

const ALL: Traits = Traits { vlans: true, mpls: true, conntrack: true, groups: true, sets: true, normal: true };

fn random_key(random: &mut Random, port: u32) -> Key {
    let frame = frames::frame(random, true, true);
    let mut template = Key::ZERO;
    template.set(Field::InPort, port.into());
    parse(&frame, frame.len(), &template, 2).key
}

/// What no two packets of one kind have alike by nature.
fn same_kind(one: &Key, other: &Key) -> bool {
    let layers = |key: &Key| {
        let protocol = (key.get(Field::IpProto), key.get(Field::IcmpType));
        let tags = (key.get(Field::VlanTci) & 0x1000, key.inner(Inner::Vlan1Tci) & 0x1000);
        let bottoms = [Inner::MplsLse0, Inner::MplsLse1, Inner::MplsLse2].map(|part| key.inner(part) & 0x100);
        (key.get(Field::EthType), protocol, key.get(Field::IpFrag), tags, bottoms)
    };
    layers(one) == layers(other)
}

/// `key` where the mask has ones, `other` elsewhere.
fn merged(key: &Key, other: &Key, mask: &hive_flow::Mask) -> Key {
    Key { words: std::array::from_fn(|at| key.words[at] & mask.words[at] | other.words[at] & !mask.words[at]) }
}

fn check(ours: &Ours, random: &mut Random, key: Key, others: &[Key]) -> Vec<Key> {
    let translation = ours.switch.translate(&key, false, 0);
    let shown = format!("{:?}", translation.ops);
    for other in others {
        let alike = merged(&key, other, &translation.mask);
        let again = ours.switch.translate(&alike, false, 0);
        assert!(
            format!("{:?}", again.ops) == shown && again.mask == translation.mask,
            "{key}\nby {}\nagrees with\n{alike}\nbut they come out as\n{} ({})\n{} ({})",
            Shown { key: &key, mask: &translation.mask },
            ShownOps(&translation.ops),
            Shown { key: &key, mask: &translation.mask },
            ShownOps(&again.ops),
            Shown { key: &key, mask: &again.mask },
        );
    }
    let mut packet = Packet::new(key);
    packet.ours(&translation.ops, &[]);
    let mut back = Vec::new();
    for (id, mut key, request) in packet.recirculations {
        key.set(Field::RecircId, id.into());
        key.set(Field::InPort, translation.mask.get(Field::InPort) & 1);
        if request.is_some() {
            key.set(Field::CtState, random.pick(&[0x21, 0x22, 0x2a, 0x30]));
            key.set(Field::CtZone, random.pick(&[0, 5, 7]));
            key.set(Field::CtMark, random.pick(&[0, 1, 5]));
        } else {
            key.set(Field::DpHash, random.pick(&[1, 0x1234_5678]));
        }
        back.push(key);
    }
    back
}

#[test]
fn keys_that_agree_where_it_counts_come_out_alike() {
    let ours = Ours::start(vec![br0()]);
    ours.ofctl("add-groups", "br0", GROUPS);
    ours.ofctl("add-groups", "br0", "group_id=5,type=select,bucket=actions=output:1,bucket=actions=output:2\n\
        group_id=6,type=select,selection_method=hash,fields(ip_src,tcp_dst),bucket=actions=output:1,bucket=actions=output:3\n");
    for seed in 0..40 {
        let mut random = Random::new(7000 + seed);
        let mut flows = random_flows(&mut random, ALL, 8);
        flows.push_str("table=3,priority=90,tcp,tp_dst=80,actions=group:5\n");
        flows.push_str("table=3,priority=91,udp,tp_dst=80,actions=group:6\n");
        flows.push_str(
            "table=3,priority=92,icmp,actions=multipath(symmetric_l4,50,hrw,7,0,NXM_NX_REG0[0..3]),resubmit(,4)\n",
        );
        flows.push_str("table=2,priority=93,ip,ct_state=-trk,actions=ct(table=3)\n");
        flows.push_str("table=4,priority=93,ip,ct_state=+trk+est,actions=resubmit(,5,ct)\n");
        ours.ofctl("replace-flows", "br0", &flows);
        for _ in 0..120 {
            let port = random.pick(&[1u32, 2, 3]);
            let key = random_key(&mut random, port);
            let mut others = Vec::new();
            for _ in 0..60 {
                let other = random_key(&mut random, port);
                if same_kind(&key, &other) {
                    others.push(other);
                }
            }
            // Single bits, too: of what a packet's headers have.
            let have = hive_flow::Mask::of_packet(&key);
            for _ in 0..20 {
                let mut other = key;
                let word = random.pick(&[1, 2, 3, 4, 5, 8, 9, 10, 11, 13, 14, 15]);
                let bits = have.words[word] & 1 << random.below(64);
                let layers =
                    [Field::EthType, Field::IpProto, Field::IpFrag, Field::VlanTci, Field::IcmpType, Field::IcmpCode];
                other.words[word] ^= bits;
                if layers.iter().all(|field| other.get(*field) == key.get(*field)) {
                    others.push(other);
                }
            }
            let back = check(&ours, &mut random, key, &others);
            for key in back.into_iter().take(4) {
                let mut again = Vec::new();
                for other in &others {
                    let mut other = *other;
                    for field in [Field::RecircId, Field::InPort, Field::EthType] {
                        other.set(field, key.get(field));
                    }
                    other.set(Field::CtState, random.pick(&[0x21, 0x22, 0x2a, 0x30]));
                    other.set(Field::CtMark, random.pick(&[0, 1, 5]));
                    other.set(Field::CtZone, random.pick(&[0, 5]));
                    other.set(Field::PktMark, random.pick(&[0, 7]));
                    if same_kind(&key, &other) {
                        again.push(other);
                    }
                }
                check(&ours, &mut random, key, &again);
            }
        }
    }
    assert!(ours.switch.recirculations() > 10);
}
