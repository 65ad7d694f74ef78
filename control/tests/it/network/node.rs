//! What a node's agent makes of VPC objects: segments and ports in netd, and an end that gives everything back.

use crate::cloud::text;
use crate::storage::{PATIENCE, Region};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

impl Region {
    fn asked(&self, method: &str) -> Vec<Value> {
        let requests = self.netd.lock().expect("requests");
        requests.iter().filter(|request| request["method"] == method).cloned().collect()
    }

    /// Waits for a request of this kind that is as wanted.
    async fn wait_asked(&self, method: &str, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let asked = self.asked(method);
            if let Some(found) = asked.iter().find(|request| is_wanted(request)) {
                return found.clone();
            }
            assert!(began.elapsed() < PATIENCE, "no {method} with {what}: {asked:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_starts_in_its_subnet_and_learns_what_changes() {
    let region = Region::start().await;
    region.blockd.lock().expect("state").import(hive_types::id::SnapshotId::from_random(7).as_str(), 2 << 30);
    let vpc = region.ok("CreateVpc", json!({"CidrBlock": "10.0.0.0/16"})).await["Vpc"]["VpcId"].clone();
    let options = json!([{"Key": "domain-name", "Values": ["corp.example"]}]);
    let options = region.ok("CreateDhcpOptions", json!({"DhcpConfigurations": options})).await;
    let options = options["DhcpOptions"]["DhcpOptionsId"].clone();
    region.ok("AssociateDhcpOptions", json!({"DhcpOptionsId": options, "VpcId": vpc})).await;
    let mut subnets = Vec::new();
    for cidr in ["10.0.1.0/24", "10.0.2.0/28"] {
        let made = region.ok("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": cidr})).await;
        subnets.push(text(&made["Subnet"]["SubnetId"]));
    }
    let group = json!({"VpcId": vpc, "GroupName": "web", "Description": "d"});
    let group = text(&region.ok("CreateSecurityGroup", group).await["GroupId"]);
    let image = region.ok("DescribeImages", json!({})).await["Images"][0]["ImageId"].clone();
    let interfaces = json!([
        {"DeviceIndex": 0, "SubnetId": subnets[0], "Groups": [group], "PrivateIpAddress": "10.0.1.9"},
        {"DeviceIndex": 1, "SubnetId": subnets[1]},
    ]);
    let run = json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": interfaces});
    let made = region.ok("RunInstances", run).await;
    let instance = text(&made["Instances"][0]["InstanceId"]);
    let described = json!({"InstanceIds": [instance]});
    let state = "/Reservations/0/Instances/0/State/Name";
    let shown = region.wait("DescribeInstances", described.clone(), state, "running").await;

    let segment =
        region.wait_asked("put-segment", "the subnet", |asked| asked["segment_id"] == json!(subnets[0])).await;
    assert_eq!((&segment["network"], &segment["prefix_len"]), (&json!("10.0.1.0"), &json!(24)));
    assert_eq!((&segment["gateway"], &segment["dns"]), (&json!("10.0.1.1"), &json!("10.0.1.2")));
    assert_eq!(segment["domain_name"], "corp.example");
    let shown = &shown["Reservations"][0]["Instances"][0]["NetworkInterfaces"];
    let of = |index: usize| move |asked: &Value| asked["port_id"] == shown[index]["NetworkInterfaceId"];
    let port = region.wait_asked("put-port", "the primary interface", of(0)).await;
    assert_eq!((&port["segment_id"], &port["ipv4"]), (&json!(subnets[0]), &json!("10.0.1.9")));
    assert_eq!(port["mac"], shown[0]["MacAddress"]);
    let tree = &port["metadata"]["tree"];
    let mac = text(&shown[0]["MacAddress"]);
    let own = |name: &str| tree[format!("meta-data/network/interfaces/macs/{mac}/{name}")].clone();
    assert_eq!(tree["meta-data/local-ipv4"], "10.0.1.9");
    assert_eq!(tree["meta-data/security-groups"], "web");
    assert_eq!((own("vpc-id"), own("subnet-id")), (vpc.clone(), json!(subnets[0])));
    assert_eq!((own("security-group-ids"), own("device-number")), (json!(group), json!("0")));
    let second = region.wait_asked("put-port", "the second interface", of(1)).await;
    assert_eq!((&second["segment_id"], &second["ipv4"]), (&json!(subnets[1]), &json!("10.0.2.4")));
    let other = text(&shown[1]["MacAddress"]);
    assert_eq!(tree[format!("meta-data/network/interfaces/macs/{other}/device-number")], "1");

    // What changes while the machine runs reaches its metadata.
    let id = shown[0]["NetworkInterfaceId"].clone();
    let more = json!({"VpcId": vpc, "GroupName": "more", "Description": "d"});
    let more = text(&region.ok("CreateSecurityGroup", more).await["GroupId"]);
    region.ok("ModifyNetworkInterfaceAttribute", json!({"NetworkInterfaceId": id, "Groups": [group, more]})).await;
    let has_both =
        |asked: &Value| of(0)(asked) && asked["metadata"]["tree"]["meta-data/security-groups"] == "web\nmore";
    region.wait_asked("put-port", "both groups", has_both).await;

    region.ok("TerminateInstances", described.clone()).await;
    region.wait("DescribeInstances", described, state, "terminated").await;
    for index in [0, 1] {
        region.wait_asked("delete-port", "the interface", of(index)).await;
    }
    let left = json!({"Filters": [{"Name": "vpc-id", "Values": [vpc]}]});
    assert_eq!(region.ok("DescribeNetworkInterfaces", left).await["NetworkInterfaces"], Value::Null);
    for subnet in subnets {
        region.ok("DeleteSubnet", json!({"SubnetId": subnet})).await;
    }
}
