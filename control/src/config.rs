//! `hived.toml`. Unknown keys are refused; every path is absolute.

use hive_types::id::AccountId;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// `sun_path` holds 107 bytes and the longest socket below `run_dir` is `/i-0123456789abcdef0/console.sock`.
const MAX_RUN_DIR_BYTES: usize = 107 - 33;
/// The longest socket there is `/eni-0123456789abcdef0`.
const MAX_SWITCH_RUN_DIR_BYTES: usize = 107 - 22;
/// `IFNAMSIZ` without its end.
const MAX_DEVICE_NAME_BYTES: usize = 15;
/// Largest configuration or credentials file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most addresses of a pool: a free one is found by looking at one after another.
const MIN_POOL_PREFIX_LEN: u8 = 16;
/// A VPC's block has 56 bits, and the first one of a pool is nobody's.
const IPV6_POOL_PREFIX_LENS: std::ops::RangeInclusive<u8> = 32..=55;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Instances, images, key pairs, tags; and, with a `[node]`, the machines of that node.
    Compute,
    Volume,
    Vpc,
    /// Callers' identity, and the credentials that awsd looks up.
    Iam,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Compute, Self::Volume, Self::Vpc, Self::Iam];
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `nats://127.0.0.1:4222`
    pub nats_url: String,
    #[serde(default = "all_roles")]
    pub roles: BTreeSet<Role>,
    pub region: String,
    pub zone: String,
    /// The root account; owner of the images that the operator imports.
    pub account: AccountId,
    /// Regions that the root account may copy snapshots from: each is the name of one of the nodes' blockds' `[[peer_stores]]`. Who owns
    /// a snapshot there is not known here, so nobody else may.
    #[serde(default)]
    pub peer_regions: BTreeSet<String>,
    /// `[[credential]]` entries that the iam role puts into the credentials bucket.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// API calls that are worked on at a time.
    #[serde(default = "default_concurrency")]
    pub max_concurrent_requests: u16,
    /// Copies of every record in the cluster: 1, 3 or 5.
    #[serde(default = "one")]
    pub replicas: usize,
    /// Networks of which Elastic IPs and public addresses of instances are: `["203.0.113.0/24"]`. None: there are no such addresses.
    #[serde(default)]
    pub public_address_pools: Vec<Ipv4Net>,
    /// Networks that VPCs' IPv6 blocks, of 56 bits, are of: `["2001:db8::/40"]`. They are routed to the nodes' uplinks; the first block of
    /// each is the nodes' own. None: VPCs have no IPv6.
    #[serde(default)]
    pub ipv6_pools: Vec<Ipv6Net>,
    /// Present on the one hived that runs this machine's instances; without it only API calls are answered.
    #[serde(default)]
    pub node: Option<NodeConfig>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// 1 to 64 of `[a-z0-9-]`.
    pub node_id: String,
    /// Kept over reboots: what this node must run, boot files of images.
    pub state_dir: PathBuf,
    /// One directory per machine.
    pub run_dir: PathBuf,
    /// The `hive-vmm` binary.
    pub vmm: PathBuf,
    pub blockd_socket: PathBuf,
    /// Where netd's local services are told what they answer.
    pub netd_socket: PathBuf,
    /// The Open_vSwitch database that netd follows.
    pub ovsdb_socket: PathBuf,
    /// Where netd has its sockets, those of guests' ports too (its `--rundir`).
    pub switch_run_dir: PathBuf,
    /// The way to public addresses. None: there is none, and the node's VPCs are among themselves.
    #[serde(default)]
    pub uplink: Option<UplinkConfig>,
    /// This machine's address for tunnels (Geneve, UDP port 6081) between nodes. None: it is the only one.
    #[serde(default)]
    pub tunnel_address: Option<Ipv4Addr>,
    /// Between nodes everything is encrypted (WireGuard's protocol, UDP port 51820), for which each has a key in its `state_dir`; with a
    /// node that has not said the same, nothing is exchanged. To be the same at all nodes of a region.
    #[serde(default)]
    pub tunnel_encryption: bool,
    /// Where objectd listens, `http://127.0.0.1:9000`: flow logs are written there. None: they are not.
    #[serde(default)]
    pub objects_url: Option<String>,
    /// Guest RAM that this node may give away.
    pub memory_mib: u64,
    /// How long a guest may take to power off before it is stopped.
    #[serde(default = "default_stop_grace_ms")]
    pub stop_grace_ms: u64,
    /// The same at termination, where nothing of the guest is kept.
    #[serde(default = "default_terminate_grace_ms")]
    pub terminate_grace_ms: u64,
}

/// The port to the network that public addresses are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum UplinkConfig {
    /// An interface that is made, with this machine at its other end: it reaches public addresses, and forwards for them if it is
    /// told to (`net.ipv4.ip_forward`, and a rule that masquerades them unless others route to them).
    Host { interface: String },
    /// A network card that is given to the switch.
    Device {
        interface: String,
        /// The next router there.
        gateway_mac: String,
    },
}

impl UplinkConfig {
    pub(crate) fn interface(&self) -> &str {
        match self {
            Self::Host { interface } | Self::Device { interface, .. } => interface,
        }
    }
}

fn all_roles() -> BTreeSet<Role> {
    Role::ALL.into()
}

fn default_concurrency() -> u16 {
    256
}

fn one() -> usize {
    1
}

fn default_stop_grace_ms() -> u64 {
    60_000
}

fn default_terminate_grace_ms() -> u64 {
    5_000
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is larger than {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("cannot parse {}", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{key} = {value}: {problem}")]
    Value { key: &'static str, value: String, problem: &'static str },
}

impl Config {
    /// # Errors
    /// The file cannot be read, is not TOML, has unknown or missing keys, or a value out of range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = read_toml(path)?;
        config.check()?;
        Ok(config)
    }

    /// # Errors
    /// The first value that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let is_name = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let require = |holds: bool, key, value: String, problem| {
            if holds { Ok(()) } else { Err(ConfigError::Value { key, value, problem }) }
        };
        require(is_name(&self.region), "region", self.region.clone(), "1 to 64 of a-z, 0-9 and '-'")?;
        let zone_fits =
            is_name(&self.zone) && self.zone.starts_with(&self.region) && self.zone.len() > self.region.len();
        require(zone_fits, "zone", self.zone.clone(), "the region's name and a letter, as in us-east-1a")?;
        for peer in &self.peer_regions {
            let fits = is_name(peer) && peer.starts_with(|c: char| c.is_ascii_lowercase()) && *peer != self.region;
            require(fits, "peer_regions", peer.clone(), "names of other regions, 1 to 64 of a-z, 0-9 and '-'")?;
        }
        require(!self.roles.is_empty(), "roles", "[]".into(), "name at least one")?;
        let concurrency = self.max_concurrent_requests;
        require(concurrency > 0, "max_concurrent_requests", concurrency.to_string(), "must be at least 1")?;
        let replicas = self.replicas;
        require(matches!(replicas, 1 | 3 | 5), "replicas", replicas.to_string(), "must be 1, 3 or 5")?;
        for pool in &self.public_address_pools {
            let fits = pool.trunc() == *pool && pool.prefix_len() >= MIN_POOL_PREFIX_LEN;
            require(fits, "public_address_pools", pool.to_string(), "networks of at most a /16, without host bits")?;
        }
        for pool in &self.ipv6_pools {
            let fits = pool.trunc() == *pool && IPV6_POOL_PREFIX_LENS.contains(&pool.prefix_len());
            require(fits, "ipv6_pools", pool.to_string(), "networks of 32 to 55 bits, without host bits")?;
            let shared = self.ipv6_pools.iter().filter(|other| other.contains(pool)).count() > 1;
            require(!shared, "ipv6_pools", pool.to_string(), "networks of which none is within another")?;
        }
        let Some(node) = &self.node else { return Ok(()) };
        if let Some(url) = &node.objects_url {
            require(url.starts_with("http://"), "node.objects_url", url.clone(), "must be http://HOST:PORT")?;
        }
        require(self.roles.contains(&Role::Compute), "node", node.node_id.clone(), "needs the role \"compute\"")?;
        require(is_name(&node.node_id), "node.node_id", node.node_id.clone(), "1 to 64 of a-z, 0-9 and '-'")?;
        require(node.memory_mib > 0, "node.memory_mib", node.memory_mib.to_string(), "must be at least 1")?;
        for (key, path) in [
            ("node.state_dir", &node.state_dir),
            ("node.run_dir", &node.run_dir),
            ("node.vmm", &node.vmm),
            ("node.blockd_socket", &node.blockd_socket),
            ("node.netd_socket", &node.netd_socket),
            ("node.ovsdb_socket", &node.ovsdb_socket),
            ("node.switch_run_dir", &node.switch_run_dir),
        ] {
            require(path.is_absolute(), key, path.display().to_string(), "must be absolute")?;
        }
        require(
            !node.tunnel_encryption || node.tunnel_address.is_some(),
            "node.tunnel_encryption",
            "true".into(),
            "needs a tunnel_address",
        )?;
        if let Some(uplink) = &node.uplink {
            let name = uplink.interface();
            let fits = (1..=MAX_DEVICE_NAME_BYTES).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !name.starts_with('-');
            require(fits, "node.uplink.interface", name.into(), "1 to 15 of letters, digits, '-', '_' and '.'")?;
            let is_free = !crate::node::is_own_port(name);
            require(
                is_free,
                "node.uplink.interface",
                name.into(),
                "a name that no other port of the node's switch has",
            )?;
            if let UplinkConfig::Device { gateway_mac, .. } = uplink {
                let fits = crate::node::parse_mac(gateway_mac).is_some();
                require(fits, "node.uplink.gateway_mac", gateway_mac.clone(), "as 02:00:5e:10:00:01")?;
            }
        }
        let switch_fits = node.switch_run_dir.as_os_str().len() <= MAX_SWITCH_RUN_DIR_BYTES;
        let switch_run_dir = node.switch_run_dir.display().to_string();
        require(switch_fits, "node.switch_run_dir", switch_run_dir, "too long for Unix sockets below it")?;
        let run_dir_fits = node.run_dir.as_os_str().len() <= MAX_RUN_DIR_BYTES;
        require(run_dir_fits, "node.run_dir", node.run_dir.display().to_string(), "too long for Unix sockets below it")
    }
}

/// Reads and parses a TOML file of bounded size.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read_error)?.len() > MAX_FILE_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map_err(read_error)?;
    toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })
}
