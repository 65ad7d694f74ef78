//! Flows that ovs-ofctl adds.

use super::lab::{Lab, reaches};
use super::namespace::wait;

/// Of the flow that `meant` tells, the packets.
fn packets(dump: &str, meant: &str) -> u64 {
    let line = dump.lines().find(|line| line.contains(meant)).unwrap_or_else(|| panic!("{meant} is not in {dump}"));
    line.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap()
}

#[test]
fn connections_are_tracked_and_translated() {
    let lab = Lab::new();
    let [inside, outside] = lab.hosts::<2>();
    lab.ofctl("del-flows br0");
    for flow in [
        "table=0,priority=10,arp,actions=NORMAL",
        // Who begins from inside has the address of the gateway.
        "table=0,priority=5,ip,in_port=1,actions=ct(commit,zone=5,nat(src=10.1.0.77)),output:2",
        "table=0,priority=5,ip,in_port=2,actions=ct(zone=5,nat,table=1)",
        "table=1,priority=0,actions=drop",
        "table=0,priority=20,arp,in_port=2,arp_tpa=10.1.0.77,arp_op=1,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],\
         set_field:02:00:00:00:00:77->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],\
         move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:02:00:00:00:00:77->arp_sha,set_field:10.1.0.77->arp_spa,IN_PORT",
    ] {
        lab.flow(&flow.replace(' ', ""));
    }
    let mac = inside.exec("cat /sys/class/net/eth0/address");
    let mac = mac.trim();
    lab.flow(&format!("table=1,priority=9,ct_state=+trk+est,ip,actions=set_field:{mac}->eth_dst,output:1"));
    inside.ping("10.1.0.2");
    inside.stream(&outside, "10.1.0.2", 1 << 20);
    assert!(!reaches(&outside, "10.1.0.1"));
    let connections = lab.appctl("dpctl/dump-conntrack");
    assert!(
        connections.contains("src=10.1.0.1,dst=10.1.0.2") && connections.contains("dst=10.1.0.77"),
        "{connections}"
    );
    assert!(lab.appctl("dpctl/ct-get-nconns").trim().parse::<u32>().unwrap() >= 2);
    assert!(lab.appctl("dpctl/dump-conntrack zone=6").is_empty());
    lab.appctl("dpctl/flush-conntrack zone=5 ct_nw_src=10.1.0.1,ct_nw_proto=1");
    assert!(!lab.appctl("dpctl/dump-conntrack").contains("icmp"));
    lab.ofctl("ct-flush br0 zone=5");
    assert_eq!(lab.appctl("dpctl/ct-get-nconns").trim(), "0");
}

#[test]
fn flows_learn_flows_and_groups_choose() {
    let lab = Lab::new();
    let [one, _two, three] = lab.hosts::<3>();
    lab.ofctl("del-flows br0");
    let learn = "learn(table=1,priority=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])";
    lab.flow(&format!("table=0,actions={learn},resubmit(,1)"));
    lab.flow("table=1,priority=0,actions=flood");
    one.ping("10.1.0.2");
    three.ping("10.1.0.1");
    let learned = lab.ofctl("dump-flows br0 table=1");
    assert!(learned.contains("actions=output:1") && learned.contains("actions=output:2"), "{learned}");

    lab.ofctl("del-flows br0");
    lab.ofctl("-O OpenFlow13 add-group br0 group_id=1,type=all,bucket=output:2,bucket=output:3");
    lab.ofctl("-O OpenFlow13 add-group br0 group_id=2,type=select,bucket=output:1");
    lab.flow("in_port=1,actions=group:1");
    lab.flow("in_port=2,actions=group:2");
    lab.flow("in_port=3,actions=group:2");
    one.ping("10.1.0.2");
    one.ping("10.1.0.3");
    wait("groups count", || {
        !lab.ofctl("-O OpenFlow13 dump-group-stats br0").contains("group_id=1,ref_count=1,packet_count=0")
    });
}

#[test]
fn counters_are_those_of_the_traffic() {
    let lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    lab.ofctl("del-flows br0");
    lab.flow("priority=9,icmp,in_port=1,actions=output:2");
    lab.flow("priority=9,icmp,in_port=2,actions=output:1");
    lab.flow("priority=1,actions=NORMAL");
    one.exec("ping -n -c 25 -i 0.02 10.1.0.2");
    wait("each request and each answer is counted", || {
        let dump = lab.ofctl("dump-flows br0");
        packets(&dump, "icmp,in_port=1") == 25 && packets(&dump, "icmp,in_port=2") == 25
    });
    let bytes = lab.ofctl("dump-flows br0 icmp,in_port=1");
    assert!(bytes.contains(&format!("n_bytes={}", 25 * 98)), "{bytes}");
    let lookups = lab.appctl("dpif/show");
    assert!(lookups.starts_with("netdev@ovs-netdev: hit:") && lookups.contains("p1 1/"), "{lookups}");
    assert!(lab.appctl("dpctl/dump-flows").contains("in_port"));
}

#[test]
fn controllers_send_packets_out_and_have_them_in() {
    let lab = Lab::new();
    let [_one, two] = lab.hosts::<2>();
    let mut seen = two.enter(|| hive_device::PacketDevice::attach("eth0").unwrap());
    let frame = "ffffffffffff0200000000990806000108000604000102000000009901010101000000000000020202027a7a7a7a7a7a";
    lab.ofctl(&format!("packet-out br0 in_port=NONE,packet={frame},actions=output:2"));
    let mut found = false;
    wait("the packet is out", || {
        use hive_device::Device;
        let count = seen.receive(32, &mut |got| found |= got.frame.ends_with(b"zzzzzz"));
        count.unwrap();
        found
    });
    // And in: a flow that gives packets to whoever monitors.
    lab.flow("priority=50,arp,arp_tpa=2.2.2.2,actions=controller:65535");
    let mut monitor = lab.command("ovs-ofctl");
    let log = std::fs::File::create(lab.path("monitor.log")).unwrap();
    monitor.args(["monitor", "br0", "65535"]).stdout(log.try_clone().unwrap()).stderr(log);
    let mut monitor = monitor.spawn().unwrap();
    let read = || std::fs::read_to_string(lab.path("monitor.log")).unwrap();
    wait("the controller has the packet", || {
        lab.ofctl(&format!("packet-out br0 in_port=1,packet={frame},actions=table"));
        read().contains("PACKET_IN") && read().contains("arp_tpa=2.2.2.2")
    });
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}

#[test]
fn meters_police() {
    let lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    lab.ofctl("-O OpenFlow13 add-meter br0 meter=1,pktps,burst,band=type=drop,rate=1,burst_size=1");
    lab.ofctl("-O OpenFlow13 add-flow br0 priority=9,icmp,in_port=1,actions=meter:1,output:2");
    lab.flow("priority=9,icmp,in_port=2,actions=output:1");
    let mut ping = std::process::Command::new("ip");
    ping.args(["netns", "exec", &one.name, "ping", "-n", "-c", "10", "-i", "0.01", "-W", "1", "10.1.0.2"]);
    let output = super::lab::text(&ping.output().unwrap());
    let received: u32 =
        output.split(" received").next().and_then(|text| text.rsplit(' ').next()?.parse().ok()).unwrap();
    assert!((1..=5).contains(&received), "{output}");
    lab.ofctl("-O OpenFlow13 del-meters br0");
    lab.flow("priority=9,icmp,in_port=1,actions=output:2");
    one.ping("10.1.0.2");
}

#[test]
fn a_trace_follows_the_tables() {
    let lab = Lab::new();
    let [_one, _two] = lab.hosts::<2>();
    lab.flow("priority=9,tcp,in_port=1,tp_dst=80,actions=set_field:9->metadata,resubmit(,3)");
    lab.flow("table=3,metadata=9,actions=output:2");
    let trace = lab.appctl("ofproto/trace br0 in_port=p1,tcp,tp_dst=80");
    for part in ["bridge(\"br0\")", " 3. metadata=0x9", "Datapath actions: "] {
        assert!(trace.contains(part), "{part} is not in {trace}");
    }
    assert!(lab.appctl("ofproto/trace br0 in_port=1,udp").contains("NORMAL"));
    assert!(lab.try_appctl("ofproto/trace none in_port=1").is_err());
    assert!(lab.try_appctl("ofproto/trace br0 frob=1").is_err());
}
