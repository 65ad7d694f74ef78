//! A profile: the few choices from which all daemons' configuration files follow.

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

/// Most hived processes of one node; more than this many workers only wait for the same bus.
pub const MAX_WORKERS: u8 = 16;

/// The profiles that come with Hive (`packaging/config/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A developer's machine: everything on loopback.
    Dev,
    /// A simulated node in a test.
    Test,
    /// A bare-metal node that serves a network.
    Prod,
}

impl Preset {
    /// The preset's file.
    pub fn text(self) -> &'static str {
        match self {
            Self::Dev => include_str!("../../../packaging/config/dev.toml"),
            Self::Test => include_str!("../../../packaging/config/test.toml"),
            Self::Prod => include_str!("../../../packaging/config/prod.toml"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub region: String,
    pub zone: String,
    /// Twelve digits; the account of the root credential.
    pub account: String,
    pub node_id: String,
    /// Networks of which Elastic IPs are, `["203.0.113.0/24"]`; none: there are no Elastic IPs.
    #[serde(default)]
    pub public_address_pools: Vec<String>,
    /// Networks of 32 to 55 bits of which VPCs' IPv6 blocks are, `["2001:db8::/40"]`; none: VPCs have no IPv6.
    #[serde(default)]
    pub ipv6_pools: Vec<String>,
    /// The way to public addresses, as hived's `[node.uplink]`: `kind = "host"` and the name of an interface that is made on this
    /// machine, or `kind = "device"`, a network card and the next router's `gateway_mac`. None: VPCs are among themselves.
    #[serde(default)]
    pub uplink: Option<toml::Table>,
    /// This machine's address for tunnels between nodes; none: it is the only node.
    #[serde(default)]
    pub tunnel_address: Option<Ipv4Addr>,
    /// Whether what goes through tunnels is encrypted; the same at all nodes of a region.
    #[serde(default)]
    pub tunnel_encryption: bool,
    /// Resolver of names that are none of instances, as `"192.0.2.53:53"`; none: guests cannot resolve others.
    #[serde(default)]
    pub resolver: Option<SocketAddrV4>,
    /// tracing filter of every daemon, `info` or `hived=debug,info`.
    pub log: String,
    pub api: Api,
    pub bus: Listener,
    pub objects: Listener,
    pub compute: Compute,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    pub listen: SocketAddr,
    /// Names and addresses in the API's certificate.
    pub names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compute {
    /// Guest RAM that this node may give away.
    pub memory_mib: u64,
    /// hived processes, 1 to [`MAX_WORKERS`].
    pub workers: u8,
}

impl Profile {
    /// # Errors
    /// The text is not TOML, has unknown or missing keys, or a value is out of range.
    pub fn parse(text: &str) -> Result<Self> {
        let profile: Self = toml::from_str(text).context("cannot read the profile")?;
        ensure!(
            (1..=MAX_WORKERS).contains(&profile.compute.workers),
            "compute.workers is {}: 1 to {MAX_WORKERS}",
            profile.compute.workers
        );
        let digits = profile.account.bytes().all(|b| b.is_ascii_digit());
        ensure!(digits && profile.account.len() == 12, "account {:?} is not twelve digits", profile.account);
        ensure!(!profile.api.names.is_empty(), "api.names is empty: the certificate needs a name");
        Ok(profile)
    }

    /// # Errors
    /// As [`Profile::parse`]; or the file cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_parse_and_survive_a_round_trip() {
        for preset in [Preset::Dev, Preset::Test, Preset::Prod] {
            let profile = Profile::parse(preset.text()).unwrap();
            assert_eq!(Profile::parse(&toml::to_string(&profile).unwrap()).unwrap(), profile);
        }
    }

    #[test]
    fn unknown_keys_and_wild_values_are_refused() {
        let dev = Preset::Dev.text();
        assert!(Profile::parse(&format!("colour = 1\n{dev}")).is_err());
        assert!(Profile::parse(&dev.replace("workers = 1", "workers = 0")).is_err());
        assert!(Profile::parse(&dev.replace("123456789012", "12345")).is_err());
    }
}
