//! Flow logs from the switch into a bucket: hived with its agent, netd, and objectd.

use crate::cloud::{ACCOUNT, text};
use crate::storage::{PATIENCE, Region};
use bytes::Bytes;
use flate2::read::GzDecoder;
use hive_auth::{Credential, Payload, Secret, StaticCredential, sign::Signer};
use hive_types::CredentialRecord;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KEY: &str = "AKIAFLOWLOGSEXAMPLE0";
const SECRET: &str = "not/a/secret";

/// The store, of the same build.
struct Objects {
    _directory: tempfile::TempDir,
    process: Child,
    url: String,
}

impl Drop for Objects {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Objects {
    fn start() -> Self {
        let tests = std::env::current_exe().expect("a path");
        let objectd = tests.parent().and_then(Path::parent).expect("a build's directory").join("objectd");
        assert!(objectd.exists(), "{} is missing: run make build", objectd.display());
        let directory = tempfile::tempdir().expect("a directory");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let config = format!(
            "data_dir = {:?}\nlisten = \"{free}\"\nregion = \"us-east-1\"\n[[credentials]]\naccess_key_id = \"{KEY}\"\n\
             secret_access_key = \"{SECRET}\"\naccount_id = \"{ACCOUNT}\"\n",
            directory.path().join("data")
        );
        let path = directory.path().join("objectd.toml");
        std::fs::write(&path, config).expect("written");
        let process =
            Command::new(objectd).arg("--config").arg(path).stdin(Stdio::null()).spawn().expect("objectd starts");
        let began = Instant::now();
        while std::net::TcpStream::connect(free).is_err() {
            assert!(began.elapsed() < PATIENCE, "objectd does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { _directory: directory, process, url: format!("http://{free}") }
    }

    async fn ask(&self, method: &str, path: &str) -> (u16, Bytes) {
        let entry = StaticCredential {
            access_key_id: KEY.into(),
            secret_access_key: Secret::new(SECRET),
            account_id: ACCOUNT.parse().expect("an account"),
            principal_arn: None,
            user_id: None,
        };
        let credential = Credential::from(entry);
        let host = self.url.trim_start_matches("http://");
        let request = http::Request::builder().method(method).uri(format!("{}{path}", self.url)).header("host", host);
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        let signer = Signer { credential: &credential, region: "us-east-1", service: "s3" };
        let payload = Payload::Sha256(Sha256::digest(b"").into());
        signer.sign_header(&mut parts, payload, Timestamp::now()).expect("signed");
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(http::Request::from_parts(parts, Full::default())).await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.into_body().collect().await.expect("a body").to_bytes())
    }

    async fn keys(&self, bucket: &str) -> Vec<String> {
        let (status, listed) = self.ask("GET", &format!("/{bucket}?list-type=2")).await;
        assert_eq!(status, 200);
        let listed = String::from_utf8(listed.to_vec()).expect("text");
        listed.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
    }

    /// All lines of all files.
    async fn lines(&self, bucket: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for key in self.keys(bucket).await {
            let (_, zipped) = self.ask("GET", &format!("/{bucket}/{key}")).await;
            let mut file = String::new();
            GzDecoder::new(&*zipped).read_to_string(&mut file).expect("gzip");
            lines.extend(file.lines().map(str::to_owned));
        }
        lines
    }
}

/// UDP from one interface to its neighbour, in hexadecimal.
fn frame(macs: [&str; 2], addresses: [[u8; 4]; 2], ports: [u16; 2]) -> String {
    let mac = |text: &str| -> Vec<u8> {
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect()
    };
    let mut ip = vec![0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0];
    ip.extend(addresses.concat());
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let udp = [&ports[0].to_be_bytes()[..], &ports[1].to_be_bytes(), &[0, 12, 0, 0], b"data"].concat();
    let all = [mac(macs[1]), mac(macs[0]), vec![8, 0], ip, udp].concat();
    all.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_interfaces_send_and_get_arrives_in_the_bucket() {
    let objects = Objects::start();
    let region = Region::start_with(Some(objects.url.clone())).await;
    let root = CredentialRecord {
        access_key_id: KEY.into(),
        secret_access_key: SECRET.into(),
        account: ACCOUNT.parse().expect("an account"),
        arn: format!("arn:aws:iam::{ACCOUNT}:root"),
        user_id: ACCOUNT.into(),
    };
    assert!(region.stores.credentials.create(KEY, &root).await.expect("stored"));
    assert_eq!(objects.ask("PUT", "/logs").await.0, 200);

    region.blockd.lock().expect("state").import(hive_types::id::SnapshotId::from_random(7).as_str(), 2 << 30);
    let vpc = text(&region.ok("CreateVpc", json!({"CidrBlock": "10.0.0.0/16"})).await["Vpc"]["VpcId"]);
    let made = region.ok("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": "10.0.1.0/24"})).await;
    let subnet = text(&made["Subnet"]["SubnetId"]);
    let group = json!({"VpcId": vpc, "GroupName": "web", "Description": "d"});
    let group = text(&region.ok("CreateSecurityGroup", group).await["GroupId"]);
    let permission =
        json!([{"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "IpRanges": [{"CidrIp": "10.0.1.0/24"}]}]);
    region.ok("AuthorizeSecurityGroupIngress", json!({"GroupId": group, "IpPermissions": permission})).await;
    let create = |resource: &str, kind: &str, destination: &str, format: Option<&str>| {
        json!({
            "ResourceIds": [resource], "ResourceType": kind, "TrafficType": "ALL", "LogDestinationType": "s3",
            "LogDestination": destination, "MaxAggregationInterval": 60, "LogFormat": format,
        })
    };
    let id = |made: serde_json::Value| text(&made["FlowLogIds"][0]);
    let log = id(region.ok("CreateFlowLogs", create(&vpc, "VPC", "arn:aws:s3:::logs/deep/er/", None)).await);
    let format = "${interface-id} ${subnet-id} ${flow-direction} ${dstport} ${action} ${tcp-flags} ${traffic-path}";
    let other = create(&subnet, "Subnet", "arn:aws:s3:::nowhere", Some(format));
    let lost = id(region.ok("CreateFlowLogs", other).await);
    // AWS's shortest interval is a minute; the node takes what the record says.
    let shorten = |network: &mut hived::store::Network| {
        for log in network.flow_logs.values_mut() {
            log.interval_s = 2;
        }
        Ok(())
    };
    region.stores.networks.change(&root.account, shorten).await.expect("changed");

    let image = region.ok("DescribeImages", json!({})).await["Images"][0]["ImageId"].clone();
    let interface = |index: usize, address: &str| json!({"DeviceIndex": index, "SubnetId": subnet, "Groups": [group], "PrivateIpAddress": address});
    let interfaces = json!([interface(0, "10.0.1.9"), interface(1, "10.0.1.10")]);
    let run = json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": interfaces});
    let made = region.ok("RunInstances", run).await;
    let instance = json!({"InstanceIds": [made["Instances"][0]["InstanceId"]]});
    let shown =
        region.wait("DescribeInstances", instance.clone(), "/Reservations/0/Instances/0/State/Name", "running").await;
    let shown = &shown["Reservations"][0]["Instances"][0]["NetworkInterfaces"];
    let of = |name: &str| [0, 1].map(|index: usize| text(&shown[index][name]));
    let (ids, macs) = (of("NetworkInterfaceId"), of("MacAddress"));
    let packets = |port: u16| {
        let frame = frame([&macs[0], &macs[1]], [[10, 0, 1, 9], [10, 0, 1, 10]], [4000, port]);
        let switch = region.switch.lock().expect("the switch");
        let number = switch.vsctl(&["get", "interface", &ids[0], "ofport"]);
        for _ in 0..3 {
            switch.packet_out(&format!("in_port={},packet={frame},actions=TABLE", number.trim()));
        }
    };
    packets(53);
    packets(54);
    // Fields as they are by default; interface, ports, packets, bytes, verdict.
    let wanted = [
        (0, "10.0.1.9 10.0.1.10 4000 53 17 3 96", "ACCEPT"),
        (1, "10.0.1.9 10.0.1.10 4000 53 17 3 96", "ACCEPT"),
        (0, "10.0.1.9 10.0.1.10 4000 54 17 3 96", "ACCEPT"),
        (1, "10.0.1.9 10.0.1.10 4000 54 17 3 96", "REJECT"),
    ];
    let wanted =
        wanted.map(|(index, flow, action)| (format!("2 {ACCOUNT} {} {flow} ", ids[index]), format!(" {action} OK")));
    let began = Instant::now();
    let lines = loop {
        let lines = objects.lines("logs").await;
        let is_there =
            |(flow, end): &(String, String)| lines.iter().any(|line| line.starts_with(flow) && line.ends_with(end));
        let is_silent = lines.iter().any(|line| line.contains(" - - - - - - - ") && line.ends_with(" - NODATA"));
        if wanted.iter().all(is_there) && is_silent {
            break lines;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "not in the bucket: {wanted:?}\n{lines:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert!(lines[0].starts_with("version account-id interface-id srcaddr dstaddr srcport dstport protocol"));
    for flow in wanted.iter().map(|(flow, _)| flow) {
        assert_eq!(lines.iter().filter(|line| line.starts_with(flow)).count(), 1, "{flow}");
    }
    let key = objects.keys("logs").await.remove(0);
    let name = format!("/{ACCOUNT}_vpcflowlogs_us-east-1_{log}_");
    let place = format!("deep/er/AWSLogs/{ACCOUNT}/vpcflowlogs/us-east-1/20");
    assert!(key.starts_with(&place) && key.contains(&name) && key.ends_with(".log.gz"), "{key}");
    let one = |id: &str| json!({"FlowLogIds": [id]});
    let shown = region.ok("DescribeFlowLogs", one(&log)).await["FlowLogs"][0].clone();
    assert_eq!((&shown["FlowLogStatus"], &shown["DeliverLogsStatus"]), (&json!("ACTIVE"), &json!("SUCCESS")));

    // Whose bucket is not there is told so, and when it is there it is well.
    let status = "/FlowLogs/0/DeliverLogsStatus";
    let shown = region.wait("DescribeFlowLogs", one(&lost), status, "FAILED").await;
    assert_eq!(shown["FlowLogs"][0]["DeliverLogsErrorMessage"], "Access error");
    assert_eq!(objects.ask("PUT", "/nowhere").await.0, 200);
    region.wait("DescribeFlowLogs", one(&lost), status, "SUCCESS").await;
    packets(54);
    let custom =
        [format!("{} {subnet} egress 54 ACCEPT 0 1", ids[0]), format!("{} {subnet} ingress 54 REJECT 0 -", ids[1])];
    let began = Instant::now();
    loop {
        let lines = objects.lines("nowhere").await;
        if custom.iter().all(|wanted| lines.contains(wanted)) {
            break;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{lines:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    // Nothing is sampled for nobody.
    for id in [&log, &lost] {
        region.ok("DeleteFlowLogs", json!({"FlowLogIds": [id]})).await;
    }
    let began = Instant::now();
    loop {
        let (sets, flows) = {
            let switch = region.switch.lock().expect("the switch");
            (switch.vsctl(&["list", "Flow_Sample_Collector_Set"]), switch.flows())
        };
        if sets.trim().is_empty() && !flows.contains("sample(") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "still sampled: {sets}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
