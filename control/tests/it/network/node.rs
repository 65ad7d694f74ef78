//! What a node's agent makes of VPC objects: tables, ports and answers of the switch, and an end that gives everything back.

use crate::cloud::text;
use crate::machine::Switch;
use crate::storage::{PATIENCE, Region};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

impl Region {
    /// Waits until the switch shows what is wanted.
    async fn wait_switch<T>(&self, what: &str, look: impl Fn(&Switch) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            {
                let switch = self.switch.lock().expect("the switch");
                if let Some(found) = look(&switch) {
                    return found;
                }
                assert!(began.elapsed() < PATIENCE, "never {what}:\n{}", switch.told());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn segment(switch: &Switch, id: &str) -> Option<Value> {
    let listed = switch.ask(&json!({"method": "list-segments"}));
    listed["segments"].as_array()?.iter().find(|segment| segment["segment_id"] == id).cloned()
}

fn port(switch: &Switch, id: &Value) -> Option<Value> {
    let described = switch.ask(&json!({"method": "describe-port", "port_id": id}));
    described.get("port").cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_starts_in_its_subnet_and_learns_what_changes() {
    let region = Region::start().await;
    region.blockd.lock().expect("state").import(hive_types::id::SnapshotId::from_random(7).as_str(), 2 << 30);
    let vpc = json!({"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": true});
    let vpc = region.ok("CreateVpc", vpc).await["Vpc"]["VpcId"].clone();
    let options = json!([{"Key": "domain-name", "Values": ["corp.example"]}]);
    let options = region.ok("CreateDhcpOptions", json!({"DhcpConfigurations": options})).await;
    let options = options["DhcpOptions"]["DhcpOptionsId"].clone();
    region.ok("AssociateDhcpOptions", json!({"DhcpOptionsId": options, "VpcId": vpc})).await;
    let mut subnets = Vec::new();
    for (cidr, ipv6) in [("10.0.1.0/24", json!("2001:db8:4800:101::/64")), ("10.0.2.0/28", Value::Null)] {
        let made = json!({"VpcId": vpc, "CidrBlock": cidr, "Ipv6CidrBlock": ipv6});
        let made = region.ok("CreateSubnet", made).await;
        subnets.push(text(&made["Subnet"]["SubnetId"]));
    }
    let group = json!({"VpcId": vpc, "GroupName": "web", "Description": "d"});
    let group = text(&region.ok("CreateSecurityGroup", group).await["GroupId"]);
    let image = region.ok("DescribeImages", json!({})).await["Images"][0]["ImageId"].clone();
    let interfaces = json!([
        {"DeviceIndex": 0, "SubnetId": subnets[0], "Groups": [group], "PrivateIpAddress": "10.0.1.9",
            "Ipv6Addresses": [{"Ipv6Address": "2001:db8:4800:101::9"}, {"Ipv6Address": "2001:db8:4800:101::5"}]},
        {"DeviceIndex": 1, "SubnetId": subnets[1]},
    ]);
    let run = json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": interfaces});
    let made = region.ok("RunInstances", run).await;
    let instance = text(&made["Instances"][0]["InstanceId"]);
    let described = json!({"InstanceIds": [instance]});
    let state = "/Reservations/0/Instances/0/State/Name";
    let shown = region.wait("DescribeInstances", described.clone(), state, "running").await;

    let segment = region.wait_switch("the subnet", |switch| segment(switch, &subnets[0])).await;
    assert_eq!((&segment["network"], &segment["prefix_len"]), (&json!("10.0.1.0"), &json!(24)));
    assert_eq!((&segment["gateway"], &segment["dns"]), (&json!("10.0.1.1"), &json!("10.0.0.2")));
    assert_eq!(segment["domain_name"], "corp.example");
    let ipv6 = json!({"network": "2001:db8:4800:101::", "prefix_len": 64, "name_servers": ["fd00:ec2::253"], "ntp_servers": []});
    assert_eq!(segment["ipv6"], ipv6);
    let shown = &shown["Reservations"][0]["Instances"][0]["NetworkInterfaces"];
    let ids = [0, 1].map(|index: usize| shown[index]["NetworkInterfaceId"].clone());
    let port_of = |index: usize| {
        let id = &ids[index];
        move |switch: &Switch| port(switch, id)
    };
    let port = region.wait_switch("the primary interface", port_of(0)).await;
    assert_eq!((&port["segment_id"], &port["ipv4"]), (&json!(subnets[0]), &json!("10.0.1.9")));
    assert_eq!(port["mac"], shown[0]["MacAddress"]);
    assert_eq!(port["ipv6"], json!(["2001:db8:4800:101::9", "2001:db8:4800:101::5"]), "in the order of the call");
    let tree = &port["metadata"]["tree"];
    let mac = text(&shown[0]["MacAddress"]);
    let own = |name: &str| tree[format!("meta-data/network/interfaces/macs/{mac}/{name}")].clone();
    assert_eq!(tree["meta-data/local-ipv4"], "10.0.1.9");
    assert_eq!(tree["meta-data/security-groups"], "web");
    assert_eq!(
        (&tree["meta-data/ipv6"], own("ipv6s")),
        (&json!("2001:db8:4800:101::9"), json!("2001:db8:4800:101::9\n2001:db8:4800:101::5"))
    );
    assert_eq!(own("subnet-ipv6-cidr-blocks"), "2001:db8:4800:101::/64");
    assert_eq!(own("vpc-ipv6-cidr-blocks"), "2001:db8:4800:100::/56");
    assert_eq!((own("vpc-id"), own("subnet-id")), (vpc.clone(), json!(subnets[0])));
    assert_eq!((own("security-group-ids"), own("device-number")), (json!(group), json!("0")));
    let second = region.wait_switch("the second interface", port_of(1)).await;
    assert_eq!((&second["segment_id"], &second["ipv4"]), (&json!(subnets[1]), &json!("10.0.2.4")));
    let other = text(&shown[1]["MacAddress"]);
    assert_eq!(tree[format!("meta-data/network/interfaces/macs/{other}/device-number")], "1");

    // What the machine connects to, and tables that let its packets through.
    let listed = region.wait_switch("ports", |switch| Some(switch.vsctl(&["list-ports", "hive0"]))).await;
    for id in &ids {
        assert!(listed.contains(&text(id)), "{listed}");
    }
    let offset = |port: u16| format!("tp_dst={port}");
    for address in ["10.0.1.9", "2001:db8:4800:101::5"] {
        region.wait_switch("tables", |switch| switch.flows().contains(address).then_some(())).await;
    }

    // An instance that is stopped, or elsewhere, has its name still.
    let run =
        json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, "SubnetId": subnets[0]});
    let other = text(&region.ok("RunInstances", run).await["Instances"][0]["InstanceId"]);
    let others = json!({"InstanceIds": [other]});
    region.wait("DescribeInstances", others.clone(), state, "running").await;
    region.ok("StopInstances", others.clone()).await;
    let knows = |count: Option<u64>| {
        let vpc = text(&vpc);
        move |switch: &Switch| {
            let hosts = switch.ask(&json!({"method": "list-hosts"}));
            (hosts["hosts"][&vpc].as_u64() == count).then_some(())
        }
    };
    region.wait_switch("its name", knows(Some(1))).await;
    region.ok("TerminateInstances", others).await;
    region.wait_switch("no name", knows(None)).await;

    // What changes while the machine runs reaches its metadata and its tables.
    let id = ids[0].clone();
    let more = json!({"VpcId": vpc, "GroupName": "more", "Description": "d"});
    let more = text(&region.ok("CreateSecurityGroup", more).await["GroupId"]);
    region.ok("ModifyNetworkInterfaceAttribute", json!({"NetworkInterfaceId": id, "Groups": [group, more]})).await;
    let has_both = |switch: &Switch| {
        port_of(0)(switch).filter(|port| port["metadata"]["tree"]["meta-data/security-groups"] == "web\nmore")
    };
    region.wait_switch("both groups", has_both).await;
    let permission =
        json!([{"IpProtocol": "tcp", "FromPort": 4711, "ToPort": 4711, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]);
    let permit = json!({"GroupId": more, "IpPermissions": permission});
    region.ok("AuthorizeSecurityGroupIngress", permit.clone()).await;
    region.wait_switch("the rule", |switch| switch.flows().contains(&offset(4711)).then_some(())).await;

    // A switch that died has all again, and nothing that others made meanwhile; what is at other bridges is theirs.
    {
        let switch = region.switch.lock().expect("the switch");
        for others in ["add-port hive0 eni-other", "add-zone-tp netdev zone=50000 udp_first=7", "add-br other"] {
            switch.vsctl(&others.split(' ').collect::<Vec<_>>());
        }
        switch.ask(&json!({"method": "delete-port", "port_id": ids[1]}));
        assert!(port_of(1)(&switch).is_none());
    }
    region.switch.lock().expect("the switch").kill_netd();
    region.wait_switch("the rule again", |switch| switch.flows().contains(&offset(4711)).then_some(())).await;
    region.wait_switch("the port again", port_of(1)).await;
    let is_gone = |switch: &Switch| {
        let zones = switch.vsctl(&["list-zone-tp", "netdev"]);
        let ports = switch.vsctl(&["list-ports", "hive0"]);
        (!ports.contains("eni-other") && zones.contains("Zone:1,") && !zones.contains("50000")).then_some(())
    };
    region.wait_switch("others' things gone", is_gone).await;
    assert!(region.switch.lock().expect("the switch").vsctl(&["list-br"]).contains("other"));
    region.ok("RevokeSecurityGroupIngress", permit).await;
    region.wait_switch("no rule", |switch| (!switch.flows().contains(&offset(4711))).then_some(())).await;

    region.ok("TerminateInstances", described.clone()).await;
    region.wait("DescribeInstances", described, state, "terminated").await;
    for index in [0, 1] {
        region.wait_switch("no port", |switch| port_of(index)(switch).is_none().then_some(())).await;
    }
    let is_empty = |switch: &Switch| (!switch.vsctl(&["list-ports", "hive0"]).contains("eni-")).then_some(());
    region.wait_switch("no interface", is_empty).await;
    let left = json!({"Filters": [{"Name": "vpc-id", "Values": [vpc]}]});
    assert_eq!(region.ok("DescribeNetworkInterfaces", left).await["NetworkInterfaces"], Value::Null);
    for subnet in subnets {
        region.ok("DeleteSubnet", json!({"SubnetId": subnet})).await;
    }
}
