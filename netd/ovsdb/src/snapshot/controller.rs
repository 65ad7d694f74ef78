//! `Controller`: where OpenFlow is spoken.

use super::map::StringMap;
use super::{ControllerId, Place, Reader, shown};
use crate::table::Table;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    pub id: ControllerId,
    pub target: Target,
    /// Not a primary controller, so without a say in the fail mode: `type` is `service`.
    pub service: bool,
    pub in_band: bool,
    pub max_backoff: Duration,
    /// Nothing: no probes.
    pub inactivity_probe: Option<Duration>,
    /// Asynchronous messages of a service controller.
    pub enable_async_messages: Option<bool>,
    /// Packets a second to the controller, and how many at once; nothing: no limit.
    pub rate_limit: Option<u32>,
    pub burst_limit: Option<u32>,
    pub queue_size: Option<u32>,
    pub other_config: StringMap,
    pub external_ids: StringMap,
}

/// OpenFlow connection methods: ovs-vsctl(8), "Configuring Controllers".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Tcp {
        host: String,
        port: u16,
    },
    Ssl {
        host: String,
        port: u16,
    },
    /// The switch must see that the path is one that controllers may use: whoever may write the database names it.
    Unix(PathBuf),
    /// The switch listens.
    PassiveTcp {
        address: Option<IpAddr>,
        port: u16,
    },
    PassiveSsl {
        address: Option<IpAddr>,
        port: u16,
    },
    PassiveUnix(PathBuf),
}

/// IANA's for OpenFlow.
const DEFAULT_PORT: u16 = 6653;
const DEFAULT_MAX_BACKOFF_MS: i64 = 8000;
const MIN_MAX_BACKOFF_MS: i64 = 1000;
const DEFAULT_PROBE_MS: i64 = 5000;
/// DNS.
const MAX_HOST_BYTES: usize = 253;

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{} is no target of the form tcp:HOST[:PORT], ptcp:[PORT][:ADDRESS], or with ssl or unix:PATH",
                shown(text)
            )
        };
        let (method, rest) = text.split_once(':').ok_or_else(bad)?;
        match method {
            "tcp" => active(rest).map(|(host, port)| Self::Tcp { host, port }).ok_or_else(bad),
            "ssl" => active(rest).map(|(host, port)| Self::Ssl { host, port }).ok_or_else(bad),
            "ptcp" => passive(rest).map(|(address, port)| Self::PassiveTcp { address, port }).ok_or_else(bad),
            "pssl" => passive(rest).map(|(address, port)| Self::PassiveSsl { address, port }).ok_or_else(bad),
            "unix" | "punix" => {
                let plain = !rest.is_empty() && !rest.contains('\0') && !rest.split('/').any(|part| part == "..");
                let path = plain.then(|| PathBuf::from(rest)).ok_or_else(bad)?;
                Ok(if method == "unix" { Self::Unix(path) } else { Self::PassiveUnix(path) })
            }
            _ => Err(bad()),
        }
    }
}

/// HOST[:PORT], where an IPv6 address stands in brackets.
fn active(text: &str) -> Option<(String, u16)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            host.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6)?;
            (host, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => parse_port(port)?,
        None if rest.is_empty() => DEFAULT_PORT,
        None => return None,
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    (!host.is_empty() && host.len() <= MAX_HOST_BYTES && host.chars().all(letters)).then(|| (host.to_owned(), port))
}

/// [PORT][:ADDRESS]
fn passive(text: &str) -> Option<(Option<IpAddr>, u16)> {
    let (port, address) = match text.split_once(':') {
        Some((port, address)) => (port, Some(address)),
        None => (text, None),
    };
    let port = if port.is_empty() { DEFAULT_PORT } else { parse_port(port)? };
    let address = match address {
        Some(text) => Some(text.trim_start_matches('[').trim_end_matches(']').parse().ok()?),
        None => None,
    };
    Some((address, port))
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0 && !text.starts_with('+'))
}

impl Reader<'_> {
    pub(super) fn controller(&mut self, id: Uuid) -> Option<Controller> {
        let row = self.replica.row(Table::Controller, id)?;
        let place = Place { table: Table::Controller, row: id, name: row.text("target") };
        let target = match row.text("target").parse() {
            Ok(target) => target,
            Err(message) => {
                self.refuse(place, message);
                return None;
            }
        };
        let millis = |value: i64| Duration::from_millis(u64::try_from(value).unwrap_or(0));
        let limit = |column| row.optional_integer(column).and_then(|limit| u32::try_from(limit).ok());
        let probe = row.optional_integer("inactivity_probe").unwrap_or(DEFAULT_PROBE_MS);
        let backoff = row.optional_integer("max_backoff").unwrap_or(DEFAULT_MAX_BACKOFF_MS);
        Some(Controller {
            id: ControllerId(id),
            target,
            service: row.text("type") == "service",
            in_band: row.text("connection_mode") == "in-band",
            max_backoff: millis(backoff.max(MIN_MAX_BACKOFF_MS)),
            inactivity_probe: (probe > 0).then(|| millis(probe)),
            enable_async_messages: row.optional_boolean("enable_async_messages"),
            rate_limit: limit("controller_rate_limit"),
            burst_limit: limit("controller_burst_limit"),
            queue_size: limit("controller_queue_size"),
            other_config: StringMap::read(row, "other_config"),
            external_ids: StringMap::read(row, "external_ids"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets() {
        let tcp = |host: &str, port| Ok(Target::Tcp { host: host.to_owned(), port });
        assert_eq!("tcp:127.0.0.1".parse(), tcp("127.0.0.1", 6653));
        assert_eq!("tcp:ctl.example:6633".parse(), tcp("ctl.example", 6633));
        assert_eq!("tcp:[::1]:1".parse(), tcp("::1", 1));
        assert_eq!("ptcp:".parse(), Ok(Target::PassiveTcp { address: None, port: 6653 }));
        assert_eq!(
            "ptcp:6633:127.0.0.1".parse(),
            Ok(Target::PassiveTcp { address: Some([127, 0, 0, 1].into()), port: 6633 })
        );
        assert_eq!("unix:/run/x".parse(), Ok(Target::Unix("/run/x".into())));
        for bad in [
            "",
            "tcp",
            "tcp:",
            "tcp:h:0",
            "tcp:h:70000",
            "tcp:[::1",
            "tcp:a b",
            "udp:h",
            "unix:",
            "punix:/run/../etc/x",
            "ptcp:x",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_target_or_is_not(text in "(p?(tcp|ssl|unix))?:?\\PC{0,40}") {
            let _ = text.parse::<Target>();
        }
    }
}
