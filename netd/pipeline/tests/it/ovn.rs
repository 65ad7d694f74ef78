//! A pipeline as ovn-controller writes it: two logical switches, a router between them, security groups by conjunctions and connection
//! tracking, ARP answered by flows, DHCP by a paused packet.

use crate::frames;
use crate::random::Random;
use crate::twin::Twin;
use hive_flow::Key;

/// Registers: reg10 flags, reg11 and reg12 zones of the router, reg13 zone of the port, reg14 input port, reg15 output port.
pub const FLOWS: &str = "\
table=0,priority=100,in_port=1,actions=set_field:1->reg13,set_field:1->metadata,set_field:1->reg14,set_field:8->reg11,set_field:9->reg12,resubmit(,8)\n\
table=0,priority=100,in_port=2,actions=set_field:2->reg13,set_field:1->metadata,set_field:2->reg14,resubmit(,8)\n\
table=0,priority=100,in_port=3,actions=set_field:3->reg13,set_field:2->metadata,set_field:1->reg14,resubmit(,8)\n\
table=8,priority=100,metadata=1,vlan_tci=0x1000/0x1000,actions=drop\n\
table=8,priority=100,metadata=1,dl_src=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop\n\
table=8,priority=50,metadata=1,actions=load:0->OXM_OF_PKT_REG4[59],resubmit(,9)\n\
table=8,priority=50,metadata=2,actions=load:0->OXM_OF_PKT_REG4[59],resubmit(,9)\n\
table=8,priority=50,metadata=3,reg14=0x1,dl_dst=02:00:00:00:00:04,actions=set_field:0x20000000000/0xffff00000000->xxreg0,resubmit(,9)\n\
table=8,priority=50,metadata=3,actions=push:NXM_OF_ETH_SRC[],push:NXM_OF_ETH_DST[],pop:NXM_NX_XXREG0[0..47],pop:NXM_NX_XXREG1[0..47],resubmit(,9)\n\
table=9,priority=110,metadata=1,icmp6,nw_ttl=255,icmp_type=135,icmp_code=0,actions=resubmit(,10)\n\
table=9,priority=100,metadata=1,ip,actions=set_field:0x1000000000000000000000000/0x1000000000000000000000000->xxreg0,resubmit(,10)\n\
table=9,priority=100,metadata=1,ipv6,actions=set_field:0x1000000000000000000000000/0x1000000000000000000000000->xxreg0,resubmit(,10)\n\
table=9,priority=0,actions=resubmit(,10)\n\
table=10,priority=100,ip,reg0=0x1/0x1,metadata=1,actions=ct(table=11,zone=NXM_NX_REG13[0..15])\n\
table=10,priority=100,ipv6,reg0=0x1/0x1,metadata=1,actions=ct(table=11,zone=NXM_NX_REG13[0..15],nat)\n\
table=10,priority=0,actions=resubmit(,11)\n\
table=11,priority=65535,ct_state=+inv+trk,metadata=1,actions=drop\n\
table=11,priority=65535,ct_state=+est-rel+rpl-inv+trk,ct_mark=0/0x1,metadata=1,actions=resubmit(,12)\n\
table=11,priority=2002,conj_id=7,ip,ct_state=+new-est+trk,reg14=0x1,metadata=1,actions=set_field:0x2000000000000000000000000/0x2000000000000000000000000->xxreg0,resubmit(,12)\n\
table=11,priority=2002,tcp,reg14=0x1,metadata=1,tp_dst=80,actions=conjunction(7,2/2)\n\
table=11,priority=2002,udp,reg14=0x1,metadata=1,tp_dst=0x50/0xfffe,actions=conjunction(7,2/2)\n\
table=11,priority=2002,ip,metadata=1,nw_dst=10.0.0.1,actions=conjunction(7,1/2)\n\
table=11,priority=2002,ip,metadata=1,nw_dst=10.1.0.0/16,actions=conjunction(7,1/2)\n\
table=11,priority=1001,icmp,ct_state=+new-est+trk,metadata=1,actions=set_field:0x2000000000000000000000000/0x2000000000000000000000000->xxreg0,resubmit(,12)\n\
table=11,priority=1,metadata=1,ip,ct_state=+trk,actions=drop\n\
table=11,priority=0,actions=resubmit(,12)\n\
table=12,priority=100,ip,reg0=0x2/0x2,metadata=1,actions=ct(commit,zone=NXM_NX_REG13[0..15],exec(set_field:0/0x1->ct_mark,set_field:0x5->ct_label)),resubmit(,13)\n\
table=12,priority=0,actions=resubmit(,13)\n\
table=13,priority=100,udp,metadata=1,reg14=0x1,tp_src=1000,tp_dst=53,actions=controller(userdata=00.00.00.02.00.00.00.00.00.01.de.10,pause),resubmit(,14)\n\
table=13,priority=50,arp,metadata=1,arp_tpa=10.0.0.1,arp_op=1,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:00:04->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:02:00:00:00:00:04->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:10.0.0.1->arp_spa,move:NXM_NX_REG14[]->NXM_NX_REG15[],load:0x1->NXM_NX_REG10[0],resubmit(,37)\n\
table=13,priority=0,actions=resubmit(,14)\n\
table=14,priority=70,metadata=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=set_field:0x8000->reg15,resubmit(,37)\n\
table=14,priority=50,metadata=1,dl_dst=02:00:00:00:00:01,actions=set_field:0x1->reg15,resubmit(,37)\n\
table=14,priority=50,metadata=1,dl_dst=02:00:00:00:00:02,actions=set_field:0x2->reg15,resubmit(,37)\n\
table=14,priority=50,metadata=1,dl_dst=02:00:00:00:00:04,actions=set_field:0x3->reg15,resubmit(,37)\n\
table=14,priority=50,metadata=3,ip,nw_dst=10.1.0.0/16,actions=dec_ttl(),set_field:02:00:00:00:00:05->eth_src,set_field:02:00:00:00:00:03->eth_dst,load:0x1->NXM_NX_REG10[0],set_field:0x2->reg15,resubmit(,37)\n\
table=14,priority=50,metadata=2,actions=set_field:0x1->reg15,resubmit(,37)\n\
table=14,priority=0,actions=drop\n\
table=37,priority=100,reg15=0x8000,metadata=1,actions=set_field:0x2->reg15,resubmit(,39),set_field:0x1->reg15,resubmit(,39),set_field:0x8000->reg15\n\
table=37,priority=0,actions=resubmit(,39)\n\
table=39,priority=160,reg10=0/0x1,reg14=0x1,reg15=0x1,metadata=1,actions=drop\n\
table=39,priority=160,reg10=0/0x1,reg14=0x2,reg15=0x2,metadata=1,actions=drop\n\
table=39,priority=0,actions=set_field:0->reg0,set_field:0->reg1,set_field:0->reg2,set_field:0->reg3,resubmit(,40)\n\
table=40,priority=100,ip,metadata=1,reg15=0x2,actions=ct(table=41,zone=5)\n\
table=40,priority=0,actions=resubmit(,41)\n\
table=41,priority=100,metadata=1,reg15=0x2,ip,ct_state=-est+trk,tcp,tp_dst=22,actions=drop\n\
table=41,priority=0,actions=resubmit(,65)\n\
table=65,priority=100,reg15=0x1,metadata=1,actions=output:1\n\
table=65,priority=100,reg15=0x2,metadata=1,actions=push:NXM_OF_IN_PORT[],load:0xffff->NXM_OF_IN_PORT[],resubmit(,66),pop:NXM_OF_IN_PORT[]\n\
table=65,priority=100,reg15=0x3,metadata=1,actions=clone(ct_clear,set_field:0->reg11,set_field:0->reg12,set_field:0->reg13,set_field:0x3->metadata,set_field:0x1->reg14,set_field:0->reg10,set_field:0->reg15,set_field:0->reg0,set_field:0->reg1,set_field:0->reg2,load:0->NXM_OF_IN_PORT[],resubmit(,8))\n\
table=65,priority=100,reg15=0x2,metadata=3,actions=clone(ct_clear,set_field:0x2->metadata,set_field:0x2->reg14,set_field:0->reg10,set_field:0->reg15,resubmit(,8))\n\
table=65,priority=100,reg15=0x1,metadata=2,actions=check_pkt_larger(1500)->NXM_NX_REG9[0],resubmit(,67)\n\
table=66,priority=0,actions=output:2\n\
table=67,priority=10,reg9=0x1/0x1,actions=controller(userdata=01)\n\
table=67,priority=0,actions=output:3\n";

#[test]
fn a_pipeline_of_ovn() {
    let mut twin = Twin::start(|_, _| {});
    twin.ofctl("replace-flows", "br0", FLOWS);
    let mut random = Random::new(99);
    for _ in 0..1500 {
        let port = random.pick(&[1, 2, 3]);
        let frame = frames::frame(&mut random, true, false);
        twin.compare(port, &format!("in_port={port}"), &Key::ZERO, &frame);
    }
    twin.assert_masks();
    assert!(twin.recirculated > 300, "{}", twin.recirculated);
}
