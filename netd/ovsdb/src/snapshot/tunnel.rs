//! Options of tunnel ports: vswitchd.conf.db(5), "Tunnel Options".

use super::map::{StringMap, parse_number};
use super::shown;
use std::net::IpAddr;
use std::str::FromStr;

/// A tunnel port of a type with a 24-bit network identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    pub remote_ip: Endpoint,
    /// Nothing: any address of the host, and the one that the route gives.
    pub local_ip: Option<Endpoint>,
    pub in_key: Key,
    pub out_key: Key,
    /// UDP.
    pub dst_port: u16,
    pub tos: Tos,
    pub ttl: Ttl,
    pub df_default: bool,
    /// The outer UDP header carries a checksum.
    pub csum: bool,
    /// Mark of the outer packets.
    pub egress_pkt_mark: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Address(IpAddr),
    /// Each flow says which.
    Flow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Id(u32),
    Flow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tos {
    Inherit,
    Value(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    Inherit,
    Value(u8),
}

/// A VNI.
const MAX_KEY: u64 = (1 << 24) - 1;
const DEFAULT_TTL: u8 = 64;

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "flow" {
            return Ok(Self::Flow);
        }
        let address: IpAddr = text.parse().map_err(|_| format!("{} is no address", shown(text)))?;
        if address.is_multicast() || address.is_unspecified() {
            return Err(format!("{address} is no address of a host"));
        }
        Ok(Self::Address(address))
    }
}

fn key(options: &StringMap, own: &str) -> Result<Key, String> {
    match options.text(own).or_else(|| options.text("key")) {
        None => Ok(Key::Id(0)),
        Some("flow") => Ok(Key::Flow),
        Some(text) => match parse_number(text).filter(|key| *key <= MAX_KEY).map(u32::try_from) {
            Some(Ok(id)) => Ok(Key::Id(id)),
            _ => Err(format!("{own}: {} is no key of 24 bits", shown(text))),
        },
    }
}

/// A number in `options`, or an error that says which.
fn number<T: TryFrom<u64>>(options: &StringMap, key: &str, default: T) -> Result<T, String> {
    match options.text(key) {
        None => Ok(default),
        Some(text) => options.number(key).ok_or_else(|| format!("{key}: {} is out of range", shown(text))),
    }
}

impl Tunnel {
    pub(super) fn read(kind: &str, options: &StringMap, default_port: u16) -> Result<Self, String> {
        let endpoint = |name: &str| match options.text(name) {
            Some(text) => text.parse().map(Some).map_err(|error: String| format!("{name}: {error}")),
            None => Ok(None),
        };
        let remote_ip =
            endpoint("remote_ip")?.ok_or_else(|| format!("{kind} type requires valid 'remote_ip' argument"))?;
        let local_ip = endpoint("local_ip")?;
        if let (Endpoint::Address(remote), Some(Endpoint::Address(local))) = (remote_ip, local_ip)
            && remote.is_ipv4() != local.is_ipv4()
        {
            return Err(format!("local_ip {local} and remote_ip {remote} are of two families"));
        }
        if local_ip == Some(Endpoint::Flow) && remote_ip != Endpoint::Flow {
            return Err(format!("{kind} type requires 'remote_ip=flow' with 'local_ip=flow'"));
        }
        let tos = match options.text("tos") {
            Some("inherit") => Tos::Inherit,
            _ => Tos::Value(number(options, "tos", 0)?),
        };
        let ttl = match options.text("ttl") {
            Some("inherit") => Ttl::Inherit,
            _ => Ttl::Value(number(options, "ttl", DEFAULT_TTL)?),
        };
        let dst_port = number(options, "dst_port", default_port)?;
        if dst_port == 0 {
            return Err("dst_port: 0 is no port".to_owned());
        }
        Ok(Self {
            remote_ip,
            local_ip,
            in_key: key(options, "in_key")?,
            out_key: key(options, "out_key")?,
            dst_port,
            tos,
            ttl,
            df_default: options.boolean("df_default", true),
            csum: options.boolean("csum", false),
            egress_pkt_mark: number(options, "egress_pkt_mark", 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Tunnel, String> {
        let options = StringMap(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        Tunnel::read("geneve", &options, 6081)
    }

    #[test]
    fn options_and_their_defaults() {
        let tunnel =
            read(&[("remote_ip", "10.0.0.2"), ("key", "0x10"), ("out_key", "flow"), ("tos", "inherit")]).unwrap();
        assert_eq!(tunnel.remote_ip, Endpoint::Address("10.0.0.2".parse().unwrap()));
        assert_eq!((tunnel.in_key, tunnel.out_key), (Key::Id(16), Key::Flow));
        assert_eq!((tunnel.dst_port, tunnel.tos, tunnel.ttl), (6081, Tos::Inherit, Ttl::Value(64)));
        assert!(tunnel.df_default && !tunnel.csum);
        assert_eq!(read(&[("remote_ip", "flow"), ("local_ip", "flow")]).unwrap().in_key, Key::Id(0));
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        for bad in [
            &[][..],
            &[("remote_ip", "host.example")],
            &[("remote_ip", "224.0.0.1")],
            &[("remote_ip", "10.0.0.1"), ("local_ip", "fd00::1")],
            &[("remote_ip", "10.0.0.1"), ("local_ip", "flow")],
            &[("remote_ip", "10.0.0.1"), ("key", "16777216")],
            &[("remote_ip", "10.0.0.1"), ("dst_port", "0")],
            &[("remote_ip", "10.0.0.1"), ("dst_port", "70000")],
            &[("remote_ip", "10.0.0.1"), ("ttl", "-1")],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
