//! What a translation says that it depends on is all that it depends on: keys that agree there come out alike.

use crate::differential::{GROUPS, Traits, random_flows};
use crate::effect::Packet;
use crate::frames;
use crate::random::Random;
use crate::twin::{Ours, br0};
use hive_flow::{Field, Inner, Key, Mask, Shown, parse};
use hive_ovsdb::snapshot::Vlan;
use hive_pipeline::BridgeSpec;
use hive_program::{Op, Pipeline, ShownOps};
use std::collections::BTreeSet;

const ALL: Traits = Traits { vlans: true, mpls: true, conntrack: true, groups: true, sets: true, normal: true };

fn random_key(random: &mut Random, port: u32) -> Key {
    let mut frame = frames::frame(random, true, true);
    if random.one_in(3) {
        // One more tag, of either type.
        let tci = random.pick(&[10u16, 20, 0]) | random.pick(&[0, 0x6000]);
        let tag = [random.pick(&[0x8100u16, 0x88a8]).to_be_bytes(), tci.to_be_bytes()].concat();
        frame.splice(12..12, tag);
    }
    let mut template = Key::ZERO;
    template.set(Field::InPort, port.into());
    parse(&frame, frame.len(), &template, 2).key
}

/// Words of a key that hold headers; the others are metadata.
const HEADERS: [std::ops::Range<usize>; 3] = [1..6, 8..20, 21..23];

/// Without what no packet has: headers that others of its headers rule out.
fn plausible(key: &Key) -> Key {
    let mut key = *key;
    // A tag has a type, and what is no tag has none.
    let tag = |tci: u32, tpid: u32| match (tci & 0x1000, tpid) {
        (0, _) => (0, 0),
        (_, 0) => (tci, 0x8100),
        _ => (tci, tpid),
    };
    let outer = tag(key.get(Field::VlanTci) as u32, key.inner(Inner::VlanTpid));
    let inner = tag(key.inner(Inner::Vlan1Tci), key.inner(Inner::Vlan1Tpid));
    let inner = if outer.0 == 0 { (0, 0) } else { inner };
    key.set(Field::VlanTci, outer.0.into());
    for (part, value) in [(Inner::VlanTpid, outer.1), (Inner::Vlan1Tci, inner.0), (Inner::Vlan1Tpid, inner.1)] {
        key.set_inner(part, value);
    }
    let mut have = Mask::NONE;
    have.add_headers(&key);
    for at in HEADERS.into_iter().flatten() {
        key.words[at] &= have.words[at];
    }
    key
}

/// `key` where the mask has ones, `other` elsewhere.
fn merged(key: &Key, other: &Key, mask: &Mask) -> Key {
    Key { words: std::array::from_fn(|at| key.words[at] & mask.words[at] | other.words[at] & !mask.words[at]) }
}

fn shown_ops<'a>(key: &Key, ops: &'a [Op]) -> ShownOps<'a> {
    ShownOps { ops, protocol: key.get_u64(Field::IpProto) as u8 }
}

fn check(ours: &Ours, random: &mut Random, key: Key, others: &[Key], compared: &mut usize) -> Vec<Key> {
    let translation = ours.switch.translate(&key, false, 0);
    let shown = format!("{:?}", translation.ops);
    for other in others {
        let alike = plausible(&merged(&key, other, &translation.mask));
        if !key.agrees(&alike, &translation.mask) {
            continue;
        }
        *compared += 1;
        let again = ours.switch.translate(&alike, false, 0);
        assert!(
            format!("{:?}", again.ops) == shown && again.mask == translation.mask,
            "{key}\nby {}\nagrees with\n{alike}\nbut they come out as\n{} ({})\n{} ({})",
            Shown { key: &key, mask: &translation.mask },
            shown_ops(&key, &translation.ops),
            Shown { key: &key, mask: &translation.mask },
            shown_ops(&alike, &again.ops),
            Shown { key: &alike, mask: &again.mask },
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

/// What random flows do too rarely: actions whose flow does not ask for the headers they need, and headers that go and come back.
const FLOWS: &str = "\
table=3,priority=89,tcp,tp_dst=80,actions=group:5
table=3,priority=90,ip,nw_tos=16,actions=group:6
table=3,priority=91,ip,nw_ttl=64,actions=group:7
table=3,priority=92,ipv6,actions=group:8
table=3,priority=93,icmp,actions=multipath(symmetric_l4,50,hrw,7,0,NXM_NX_REG0[0..3]),resubmit(,4)
table=0,priority=98,dl_dst=02:00:00:00:00:04,vlan_tci=0x1000/0x1000,in_port=3,actions=normal
table=0,priority=94,mpls,mpls_bos=0,dl_dst=02:00:00:00:00:01,actions=pop_mpls:0x8847,push_mpls:0x8847,set_mpls_label:17,output:2
table=0,priority=95,mpls,dl_dst=02:00:00:00:00:02,actions=push_mpls:0x8848,set_mpls_tc:3,output:3
table=0,priority=96,mpls,mpls_bos=0,dl_dst=02:00:00:00:00:03,actions=pop_mpls:0x8847,set_mpls_ttl:9,output:2
table=0,priority=94,vlan_tci=0x1000/0x1000,dl_dst=02:00:00:00:00:01,actions=mod_vlan_vid:20,output:2
table=0,priority=95,vlan_tci=0x1000/0x1000,dl_dst=02:00:00:00:00:02,actions=pop_vlan,output:2,push_vlan:0x8100,output:3
table=0,priority=96,vlan_tci=0x1000/0x1000,dl_dst=02:00:00:00:00:03,actions=push_vlan:0x8100,mod_vlan_vid:10,output:3
table=0,priority=97,vlan_tci=0x1000/0x1000,dl_dst=02:00:00:00:00:04,actions=pop_vlan,resubmit(,6)
table=6,vlan_tci=0x1000/0x1000,actions=pop_vlan,output:3
table=2,priority=93,ip,ct_state=-trk,actions=ct(table=3)
table=4,priority=93,ip,ct_state=+trk+est,actions=resubmit(,5,ct)
";

const BUCKETS: &str = "\
group_id=5,type=select,bucket=actions=output:1,bucket=actions=output:2
group_id=6,type=select,selection_method=hash,fields(ip_src,tcp_dst),bucket=actions=output:1,bucket=actions=output:3
group_id=7,type=all,bucket=actions=set_field:81->tcp_dst,set_field:22->udp_src,output:1,bucket=actions=set_field:3->icmp_type,output:3
group_id=8,type=all,bucket=actions=set_field:fd00::7->nd_target,output:1,bucket=actions=set_field:02:00:00:00:00:09->nd_sll,output:3
";

#[test]
fn keys_that_agree_where_it_counts_come_out_alike() {
    run(br0(), 7000..7040);
}

/// Of tags, `NORMAL` makes others on such ports.
#[test]
fn keys_that_agree_on_ports_with_vlans_come_out_alike() {
    let mut spec = br0();
    spec.ports[1].vlan = Vlan::Access { tag: 10 };
    spec.ports[2].vlan = Vlan::Dot1qTunnel { tag: 20, cvlans: BTreeSet::new() };
    run(spec, 8000..8020);
}

fn run(spec: BridgeSpec, seeds: std::ops::Range<u64>) {
    let pairs_min = (seeds.end - seeds.start) as usize * 120 * 40;
    let ours = Ours::start(vec![spec]);
    ours.ofctl("add-groups", "br0", GROUPS);
    ours.ofctl("add-groups", "br0", BUCKETS);
    let mut compared = 0;
    for seed in seeds {
        let mut random = Random::new(seed);
        let mut flows = random_flows(&mut random, ALL, 8);
        flows.push_str(FLOWS);
        ours.ofctl("replace-flows", "br0", &flows);
        for _ in 0..120 {
            let port = random.pick(&[1u32, 2, 3]);
            let key = random_key(&mut random, port);
            let mut others: Vec<Key> = (0..40).map(|_| random_key(&mut random, port)).collect();
            // Single bits, too: of what a packet's headers have.
            let mut have = Mask::NONE;
            have.add_headers(&key);
            let words: Vec<usize> = HEADERS.into_iter().flatten().filter(|at| have.words[*at] != 0).collect();
            for _ in 0..40 {
                let mut other = key;
                let word = random.pick(&words);
                other.words[word] ^= have.words[word] & 1 << random.below(64);
                others.push(other);
            }
            let back = check(&ours, &mut random, key, &others, &mut compared);
            for key in back.into_iter().take(4) {
                let mut again = Vec::new();
                for other in &others {
                    let mut other = *other;
                    other.set(Field::CtState, random.pick(&[0x21, 0x22, 0x2a, 0x30]));
                    other.set(Field::CtMark, random.pick(&[0, 1, 5]));
                    other.set(Field::CtZone, random.pick(&[0, 5]));
                    other.set(Field::PktMark, random.pick(&[0, 7]));
                    again.push(other);
                }
                check(&ours, &mut random, key, &again, &mut compared);
            }
        }
    }
    println!("{compared} pairs compared");
    assert!(ours.switch.recirculations() > 10);
    // Of the pairs that were tried, at most as many again are no packets.
    assert!(compared > pairs_min);
}
