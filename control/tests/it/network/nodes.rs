//! Two nodes: a hived of each as a process, its database and its netd in a network namespace of their own, a cable between the two,
//! and an instance at each.

use crate::cloud::{ACCOUNT, Cloud, config, text};
use crate::fake_blockd;
use crate::guest::Guest;
use crate::machine::{self, Namespace, Switch};
use crate::packet::{Ethernet, Ip, icmp, udp};
use crate::storage::{PATIENCE, call};
use hive_bus::testing::NatsServer;
use hive_bus::{Bus, BusConfig};
use hive_vpc::model::MacAddress;
use hived::NodeConfig;
use hived::store::Stores;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One instance of the smallest type, so that the second one is at the other node.
const MEMORY_MIB: u64 = 512;
/// How long nothing comes where nothing is to come.
const SILENCE: Duration = Duration::from_millis(500);

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 7, node as u8 + 1)
}

struct Node {
    directory: tempfile::TempDir,
    switch: Switch,
    hived: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_hived();
    }
}

impl Node {
    fn kill_hived(&mut self) {
        if let Some(mut hived) = self.hived.take() {
            let _ = hived.kill();
            let _ = hived.wait();
        }
    }

    fn start_hived(&mut self, number: usize, nats: &str, encrypts: bool) {
        self.kill_hived();
        let at = |name: &str| self.directory.path().join(name);
        let mut config = config();
        config.nats_url = nats.to_owned();
        config.node = Some(NodeConfig {
            node_id: format!("node-{}", number + 1),
            state_dir: at("state"),
            run_dir: at("run"),
            vmm: at("vmm"),
            blockd_socket: at("blockd.sock"),
            netd_socket: self.switch.control_socket(),
            ovsdb_socket: self.switch.database(),
            switch_run_dir: self.switch.run_dir(),
            uplink: None,
            tunnel_address: Some(address(number)),
            tunnel_encryption: encrypts,
            objects_url: None,
            memory_mib: MEMORY_MIB,
            stop_grace_ms: 1000,
            terminate_grace_ms: 1000,
        });
        let path = at("hived.toml");
        std::fs::write(&path, toml::to_string(&config).expect("TOML")).expect("written");
        let log = std::fs::File::options().create(true).append(true).open(at("hived.log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hived"));
        command.arg("--config").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.hived = Some(command.spawn().expect("hived"));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("hived.log")).unwrap_or_default()
    }
}

/// An instance: its driver, and what it knows of itself.
struct Instance {
    id: String,
    interface: String,
    mac: MacAddress,
    address: Ipv4Addr,
    guest: Guest,
}

struct Pair {
    nodes: [Node; 2],
    bus: Bus,
    stores: Stores,
    nats: NatsServer,
    _namespaces: [Namespace; 2],
}

fn mac(text: &str) -> MacAddress {
    let mut bytes = [0; 6];
    for (byte, part) in bytes.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(part, 16).expect("an address");
    }
    MacAddress(bytes)
}

impl Pair {
    async fn start(encrypts: [bool; 2]) -> Self {
        let nats = NatsServer::start();
        let namespaces = [Namespace::new(), Namespace::new()];
        Namespace::connect(&namespaces, ["192.168.7.1/24", "192.168.7.2/24"]);
        let bus_config = BusConfig { url: nats.url(), name: "test".into(), request_timeout: Duration::from_secs(20) };
        let bus = Bus::connect(&bus_config).await.expect("connect");
        assert!(bus.wait_connected(PATIENCE).await);
        let stores = Stores::nats(&bus, 1);
        // The image and the network of the other tests.
        drop(Cloud::new(stores.clone()).await);
        let nodes = [0, 1].map(|number: usize| {
            let directory = tempfile::tempdir().expect("a directory");
            let at = |name: &str| directory.path().join(name);
            let blockd = fake_blockd::start(&at("blockd.sock"));
            blockd.lock().expect("state").import(hive_types::id::SnapshotId::from_random(7).as_str(), 2 << 30);
            let switch = Switch::start_in(directory.path(), Some(&namespaces[number]));
            machine::install_vmm(&at("vmm"), &at("story"));
            let mut node = Node { directory, switch, hived: None };
            node.start_hived(number, &nats.url(), encrypts[number]);
            node
        });
        let pair = Self { nodes, bus, stores, nats, _namespaces: namespaces };
        let began = Instant::now();
        // What the agents say of themselves.
        while pair.known().await != [Some(encrypts[0]), Some(encrypts[1])] {
            assert!(began.elapsed() < PATIENCE, "no heartbeats: {}", pair.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while call(&pair.bus, "DescribeVolumes", json!({})).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "no hived answers: {}", pair.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        pair
    }

    /// Of each node that has said so, whether it has a key.
    async fn known(&self) -> [Option<bool>; 2] {
        let nodes = self.stores.nodes.range("").await.expect("nodes");
        [0, 1].map(|number| {
            let node = nodes.iter().find(|record| record.key == format!("node-{}", number + 1))?;
            (node.value.tunnel_address == Some(address(number))).then_some(node.value.tunnel_key.is_some())
        })
    }

    fn logs(&self) -> String {
        self.nodes.iter().map(|node| format!("{}\n{}\n", node.log(), node.switch.told())).collect()
    }

    async fn ok(&self, action: &str, params: Value) -> Value {
        call(&self.bus, action, params).await.unwrap_or_else(|error| panic!("{action}: {error:?}\n{}", self.logs()))
    }

    /// An instance at a node, with a driver at its interface.
    async fn launch(&self, node: usize, subnet: &str) -> Instance {
        let image = self.ok("DescribeImages", json!({})).await["Images"][0]["ImageId"].clone();
        let run =
            json!({"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, "SubnetId": subnet});
        let id = text(&self.ok("RunInstances", run).await["Instances"][0]["InstanceId"]);
        let record = self.stores.instances.get(&format!("{ACCOUNT}.{id}")).await.expect("get").expect("the instance");
        assert_eq!(record.value.node_id, format!("node-{}", node + 1));
        let began = Instant::now();
        let described = loop {
            let answer = self.ok("DescribeInstances", json!({"InstanceIds": [id]})).await;
            let instance = answer["Reservations"][0]["Instances"][0].clone();
            if instance["State"]["Name"] == "running" {
                break instance;
            }
            assert!(began.elapsed() < PATIENCE, "{instance}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let interface = &described["NetworkInterfaces"][0];
        let name = text(&interface["NetworkInterfaceId"]);
        Instance {
            guest: Guest::connect(&self.nodes[node].switch.run_dir().join(&name)),
            mac: mac(&text(&interface["MacAddress"])),
            address: text(&interface["PrivateIpAddress"]).parse().expect("an address"),
            interface: name,
            id,
        }
    }

    /// Sends a frame again and again until it comes out as `arrived`.
    async fn passes(&self, from: &mut Instance, sent: &[u8], to: &mut Instance, arrived: &[u8]) {
        let began = Instant::now();
        loop {
            from.guest.send(sent);
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Some(frame) = to.guest.receive() {
                if frame == arrived {
                    return;
                }
            }
            assert!(began.elapsed() < PATIENCE, "{} does not reach {}\n{}", from.address, to.address, self.logs());
        }
    }

    /// Both ways.
    async fn reach(&self, one: &mut Instance, other: &mut Instance) {
        let frame = datagram(one, other, 100);
        self.passes(one, &frame, other, &frame).await;
        let frame = datagram(other, one, 100);
        self.passes(other, &frame, one, &frame).await;
    }

    async fn are_apart(&self, one: &mut Instance, other: &mut Instance) {
        let frame = datagram(one, other, 100);
        let began = Instant::now();
        while began.elapsed() < SILENCE {
            one.guest.send(&frame);
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Some(came) = other.guest.receive() {
                assert_ne!(came, frame);
            }
        }
    }

    /// The tunnel port's column.
    fn tunnel(&self, node: usize, column: &str) -> String {
        self.nodes[node].switch.vsctl(&["get", "interface", "hive-tunnel", column])
    }

    /// A packet longer than the tunnel takes is answered by the router.
    async fn is_told(&self, from: &mut Instance, to: &mut Instance, mtu: u16) {
        let fits = datagram(from, to, usize::from(mtu));
        self.passes(from, &fits, to, &fits).await;
        let long = datagram(from, to, usize::from(mtu) + 1);
        let [high, low] = mtu.to_be_bytes();
        let began = Instant::now();
        loop {
            from.guest.send(&long);
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Some(frame) = from.guest.receive() {
                // ICMP, fragmentation needed.
                if frame.get(23) == Some(&1) && frame.get(34..36) == Some(&[3, 4]) {
                    assert_eq!(frame[40..42], [high, low], "another MTU");
                    // As any router would say it.
                    let router = Ipv4Addr::new(frame[26], frame[27], frame[28], frame[29]);
                    let quoted = &long[14..14 + 28];
                    let told = icmp(
                        Ethernet { source: frame[6..12].try_into().expect("six"), destination: from.mac.0 },
                        Ip { ttl: frame[22], ..Ip::new(router, from.address) },
                        3,
                        4,
                        [0, 0, high, low],
                        quoted,
                    );
                    assert_eq!(frame[34..], told[34..]);
                    return;
                }
            }
            assert!(began.elapsed() < PATIENCE, "nothing is said\n{}", self.logs());
        }
    }
}

/// A UDP datagram in an IP packet of so many bytes.
fn datagram(from: &Instance, to: &Instance, bytes: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..bytes - 28).map(|at| at as u8).collect();
    udp(Ethernet::new(from.mac, to.mac), Ip::new(from.address, to.address), 4000, 5000, &payload)
}

async fn network(pair: &Pair) -> String {
    let vpc = text(&pair.ok("CreateVpc", json!({"CidrBlock": "10.0.0.0/16"})).await["Vpc"]["VpcId"]);
    let made = pair.ok("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": "10.0.1.0/24"})).await;
    text(&made["Subnet"]["SubnetId"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vpc_is_one_over_two_nodes() {
    let mut pair = Pair::start([false; 2]).await;
    let subnet = network(&pair).await;
    let mut one = pair.launch(0, &subnet).await;
    let mut other = pair.launch(1, &subnet).await;
    pair.reach(&mut one, &mut other).await;
    // Of a cable of 1500 bytes.
    pair.is_told(&mut one, &mut other, 1450).await;

    // Without a hived things go on.
    let url = pair.nats.url();
    pair.nodes[1].kill_hived();
    pair.reach(&mut one, &mut other).await;
    // A switch that died meanwhile has its tables again when there is one.
    pair.nodes[1].switch.kill_netd();
    pair.nodes[1].start_hived(1, &url, false);
    other.guest = reconnect(&pair, 1, &other).await;
    pair.reach(&mut one, &mut other).await;

    // What is gone there is gone here.
    pair.ok("TerminateInstances", json!({"InstanceIds": [other.id]})).await;
    let began = Instant::now();
    while pair.nodes[0].switch.flows().contains("tun_dst") {
        assert!(began.elapsed() < PATIENCE, "{}", pair.nodes[0].switch.flows());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn reconnect(pair: &Pair, node: usize, instance: &Instance) -> Guest {
    let socket = pair.nodes[node].switch.run_dir().join(&instance.interface);
    let began = Instant::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(began.elapsed() < PATIENCE, "{} is not there\n{}", socket.display(), pair.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Guest::connect(&socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vpc_over_two_nodes_can_be_encrypted() {
    let mut pair = Pair::start([true; 2]).await;
    let subnet = network(&pair).await;
    let mut one = pair.launch(0, &subnet).await;
    let mut other = pair.launch(1, &subnet).await;
    pair.reach(&mut one, &mut other).await;
    pair.is_told(&mut other, &mut one, 1390).await;
    for node in [0, 1] {
        let peer = address(1 - node);
        let (options, began) = (pair.tunnel(node, "options"), Instant::now());
        assert!(options.contains(&format!("wireguard_peer:{peer}")), "{options}");
        while !pair.tunnel(node, "status").contains(&format!("\"wireguard_established:{peer}\"=\"true\"")) {
            assert!(began.elapsed() < PATIENCE, "{}", pair.tunnel(node, "status"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let key = pair.nodes[node].directory.path().join("state/tunnel.key");
        assert_eq!(std::fs::metadata(&key).expect("a key").mode() & 0o777, 0o600);
        let secret = std::fs::read_to_string(&key).expect("a key");
        let record = pair.stores.nodes.get(&format!("node-{}", node + 1)).await.expect("get").expect("a node").value;
        let published = record.tunnel_key.expect("a key");
        assert!(pair.tunnel(1 - node, "options").contains(&published));
        // The private half is nowhere else.
        assert!(!is_in(&pair.nodes[node].directory.path().join("conf.db"), secret.trim()));
    }
    // The switch begins anew, and so do the sessions.
    pair.nodes[0].switch.kill_netd();
    one.guest = reconnect(&pair, 0, &one).await;
    pair.reach(&mut one, &mut other).await;

    // A node that does not encrypt has nothing from one that does, nor it from that.
    let url = pair.nats.url();
    pair.nodes[1].start_hived(1, &url, false);
    let began = Instant::now();
    while pair.tunnel(0, "options").contains("wireguard_peer") || pair.tunnel(1, "options").contains("wireguard") {
        assert!(began.elapsed() < PATIENCE, "{}", pair.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pair.are_apart(&mut one, &mut other).await;
    pair.are_apart(&mut other, &mut one).await;
    pair.nodes[1].start_hived(1, &url, true);
    // Its tunnel's port is another one, its guests' are the same.
    pair.reach(&mut one, &mut other).await;
}

fn is_in(path: &Path, text: &str) -> bool {
    let bytes = std::fs::read(path).expect("a file");
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
