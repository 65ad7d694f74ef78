//! `netd.toml`: everything the daemon is told at start.

use crate::error::DaemonError;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Keeps segments and ports across restarts.
    pub state_dir: PathBuf,
    /// Holds the ports' vhost-user sockets.
    pub run_dir: PathBuf,
    /// The API's Unix socket.
    pub control_socket: PathBuf,
    #[serde(default)]
    pub worker: WorkerConfig,
    #[serde(default)]
    pub uplink: UplinkConfig,
    #[serde(default)]
    pub dns: DnsConfig,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Forwarding threads. A segment belongs to one of them; uplink segments all to the first.
    pub threads: usize,
    /// Processor of each thread, in order; empty leaves it to the kernel.
    pub cpus: Vec<usize>,
    /// How long a queue is polled after its last frame, in microseconds, before its guest is asked to kick.
    pub spin_us: u64,
    /// Most frames taken from a queue at once.
    pub batch: u16,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        // 50 us covers the gap between two bursts of a loaded guest, and costs an idle node nothing that can be seen.
        Self { threads: 1, cpus: Vec::new(), spin_us: 50, batch: 64 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UplinkConfig {
    /// Makes the TAP; needs CAP_NET_ADMIN.
    pub enabled: bool,
    /// Interface name.
    pub name: String,
    /// The host's address on the TAP.
    pub host_address: Ipv4Addr,
    /// The address that guests' traffic leaves from.
    pub address: Ipv4Addr,
    pub prefix_len: u8,
    pub mtu: u16,
}

impl Default for UplinkConfig {
    fn default() -> Self {
        // Shared address space (RFC 6598), which neither VPCs nor the public Internet use.
        Self {
            enabled: false,
            name: "hive0".to_owned(),
            host_address: Ipv4Addr::new(100, 64, 0, 1),
            address: Ipv4Addr::new(100, 64, 0, 2),
            prefix_len: 30,
            mtu: 1500,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Resolver (`address:port`) for names of no segment; without one they are answered with SERVFAIL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<std::net::SocketAddrV4>,
}

const MAX_THREADS: usize = 64;
const MAX_BATCH: u16 = 256;
const MAX_SPIN_US: u64 = 50_000;

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, DaemonError> {
        let text = std::fs::read_to_string(path).map_err(|source| DaemonError::File {
            action: "read the configuration",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|why| DaemonError::Config { path: path.to_owned(), why })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let Self { worker, uplink, .. } = self;
        let demand = |holds: bool, why: String| if holds { Ok(()) } else { Err(why) };
        demand((1..=MAX_THREADS).contains(&worker.threads), format!("worker.threads must be 1 to {MAX_THREADS}"))?;
        demand((1..=MAX_BATCH).contains(&worker.batch), format!("worker.batch must be 1 to {MAX_BATCH}"))?;
        demand(worker.spin_us <= MAX_SPIN_US, format!("worker.spin_us must be at most {MAX_SPIN_US}"))?;
        demand(
            worker.cpus.is_empty() || worker.cpus.len() == worker.threads,
            "worker.cpus must be empty or name one processor a thread".to_owned(),
        )?;
        demand(worker.cpus.iter().all(|cpu| *cpu < 1024), "worker.cpus must be below 1024".to_owned())?;
        let name_fits = (1..libc::IFNAMSIZ).contains(&uplink.name.len())
            && uplink.name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        demand(name_fits, "uplink.name must be 1 to 15 of [A-Za-z0-9._-]".to_owned())?;
        demand((8..=30).contains(&uplink.prefix_len), "uplink.prefix_len must be 8 to 30".to_owned())?;
        demand((576..=9216).contains(&uplink.mtu), "uplink.mtu must be 576 to 9216".to_owned())?;
        let mask = u32::MAX << (32 - u32::from(uplink.prefix_len));
        let same_net = (uplink.address.to_bits() ^ uplink.host_address.to_bits()) & mask == 0;
        demand(
            same_net && uplink.address != uplink.host_address,
            "uplink.address and uplink.host_address must be two addresses of one subnet".to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "state_dir = '/s'\nrun_dir = '/r'\ncontrol_socket = '/c'\n";

    #[test]
    fn defaults_print_and_parse_back() {
        let config = Config::parse(MINIMAL).unwrap();
        assert_eq!(Config::parse(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn unknown_and_impossible_settings_are_refused() {
        for (line, word) in [
            ("sate_dir = '/x'", "sate_dir"),
            ("[worker]\nthreads = 0", "threads"),
            ("[worker]\nthreads = 2\ncpus = [1]", "cpus"),
            ("[uplink]\nname = 'much-too-long-a-name'", "name"),
            ("[uplink]\naddress = '10.0.0.1'", "one subnet"),
        ] {
            let error = Config::parse(&format!("{MINIMAL}{line}\n")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
