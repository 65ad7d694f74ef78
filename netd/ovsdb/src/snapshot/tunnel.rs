//! Options of tunnel ports: vswitchd.conf.db(5), "Tunnel Options"; and those by which they are encrypted, which are our own:
//!
//! | option | |
//! |---|---|
//! | `wireguard_private_key_file` | A file with this end's key, in Base64, that only its owner may read. The port is encrypted, to all. |
//! | `wireguard_peer` | The public key of `remote_ip`. |
//! | `wireguard_peer:ADDRESS` | With `remote_ip=flow`, that of ADDRESS; one for each that flows may choose. |
//! | `wireguard_port` | UDP port at which both ends listen; 51820. |
//!
//! `local_ip` has to be given: it is an address in packets within.

use super::map::{StringMap, parse_number};
use super::shown;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
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
    /// None: not encrypted.
    pub wireguard: Option<Wireguard>,
}

/// How a port is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wireguard {
    pub private_key_file: PathBuf,
    pub local: IpAddr,
    /// UDP.
    pub port: u16,
    /// Public keys as they are written, which is for others to read.
    pub peers: BTreeMap<IpAddr, String>,
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
const WIREGUARD_PORT: u16 = 51820;
/// Of a port: nodes of a region, with room.
const PEERS_MAX: usize = 4096;
const PRIVATE_KEY_FILE: &str = "wireguard_private_key_file";
const PEER: &str = "wireguard_peer";
/// Before the address of one of many.
const PEER_OF: &str = "wireguard_peer:";

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

/// Whether an option of an encrypted port says who a peer is.
pub(super) fn names_peer(option: &str) -> bool {
    option == PEER || option.starts_with(PEER_OF)
}

impl Wireguard {
    fn read(
        options: &StringMap,
        remote: Endpoint,
        local: Option<Endpoint>,
        dst_port: u16,
    ) -> Result<Option<Self>, String> {
        let keys = options.iter().filter_map(|(name, key)| Some((name.strip_prefix(PEER_OF)?, key)));
        let keys: Vec<(&str, &String)> = keys.collect();
        let Some(file) = options.text(PRIVATE_KEY_FILE) else {
            // Whoever names a peer's key does not want a tunnel without one.
            let is_wanted = options.get(PEER).is_some() || !keys.is_empty();
            return if is_wanted { Err(format!("{PEER} requires '{PRIVATE_KEY_FILE}'")) } else { Ok(None) };
        };
        if !file.starts_with('/') || file.contains('\0') {
            return Err(format!("{PRIVATE_KEY_FILE}: {} is no absolute path", shown(file)));
        }
        let Some(Endpoint::Address(local)) = local else {
            return Err(format!("{PRIVATE_KEY_FILE} requires 'local_ip' with an address"));
        };
        let peers = match remote {
            Endpoint::Address(_) if !keys.is_empty() => {
                return Err(format!("{PEER_OF}... is for 'remote_ip=flow'; use '{PEER}'"));
            }
            Endpoint::Address(remote) => {
                let key = options.text(PEER).ok_or_else(|| format!("{PRIVATE_KEY_FILE} requires '{PEER}'"))?;
                [(remote, key.to_owned())].into()
            }
            Endpoint::Flow if options.get(PEER).is_some() => {
                return Err(format!("{PEER}: with 'remote_ip=flow' each is '{PEER_OF}ADDRESS'"));
            }
            Endpoint::Flow => {
                let mut peers = BTreeMap::new();
                for (address, key) in keys {
                    let Endpoint::Address(address) = address.parse().map_err(|e| format!("{PEER_OF}{e}"))? else {
                        return Err(format!("{PEER_OF}flow is no address"));
                    };
                    peers.insert(address, key.clone());
                }
                peers
            }
        };
        if peers.len() > PEERS_MAX {
            return Err(format!("{} peers are more than {PEERS_MAX}", peers.len()));
        }
        if let Some(other) = peers.keys().find(|peer| peer.is_ipv4() != local.is_ipv4()) {
            return Err(format!("local_ip {local} and peer {other} are of two families"));
        }
        let port = number(options, "wireguard_port", WIREGUARD_PORT)?;
        if port == 0 || port == dst_port {
            return Err(format!("wireguard_port: {port} is not free for it"));
        }
        Ok(Some(Self { private_key_file: file.into(), local, port, peers }))
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
            wireguard: Wireguard::read(options, remote_ip, local_ip, dst_port)?,
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

    const FILE: (&str, &str) = ("wireguard_private_key_file", "/etc/key");

    #[test]
    fn peers_of_an_encrypted_port_are_its_remote_end_or_those_that_are_named() {
        let one =
            read(&[("remote_ip", "10.0.0.2"), ("local_ip", "10.0.0.1"), ("wireguard_peer", "KEY"), FILE]).unwrap();
        let one = one.wireguard.unwrap();
        assert_eq!((one.port, one.local), (51820, "10.0.0.1".parse().unwrap()));
        assert_eq!(one.peers, [("10.0.0.2".parse().unwrap(), "KEY".to_owned())].into());
        let many = [
            ("remote_ip", "flow"),
            ("local_ip", "10.0.0.1"),
            ("wireguard_peer:10.0.0.2", "A"),
            ("wireguard_peer:10.0.0.3", "B"),
            ("wireguard_port", "7"),
            FILE,
        ];
        let many = read(&many).unwrap().wireguard.unwrap();
        assert_eq!((many.port, many.peers.len()), (7, 2));
        // Nobody yet: nobody is spoken with.
        let none = read(&[("remote_ip", "flow"), ("local_ip", "10.0.0.1"), FILE]).unwrap().wireguard.unwrap();
        assert!(none.peers.is_empty());
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
            // A key of the peer's alone; no peer; no local address; the wrong form for a remote end; two families.
            &[("remote_ip", "10.0.0.1"), ("local_ip", "10.0.0.2"), ("wireguard_peer", "KEY")],
            &[("remote_ip", "flow"), ("local_ip", "10.0.0.2"), ("wireguard_peer:10.0.0.1", "KEY")],
            &[("remote_ip", "10.0.0.1"), ("local_ip", "10.0.0.2"), FILE],
            &[("remote_ip", "10.0.0.1"), ("wireguard_peer", "KEY"), FILE],
            &[("remote_ip", "10.0.0.1"), ("local_ip", "10.0.0.2"), ("wireguard_peer:10.0.0.1", "KEY"), FILE],
            &[("remote_ip", "flow"), ("local_ip", "10.0.0.2"), ("wireguard_peer", "KEY"), FILE],
            &[("remote_ip", "flow"), ("local_ip", "flow"), FILE],
            &[("remote_ip", "flow"), ("local_ip", "10.0.0.2"), ("wireguard_peer:fd00::1", "KEY"), FILE],
            &[("remote_ip", "flow"), ("local_ip", "10.0.0.2"), ("wireguard_peer:flow", "KEY"), FILE],
            &[("remote_ip", "flow"), ("local_ip", "10.0.0.2"), ("wireguard_private_key_file", "key")],
            &[("remote_ip", "flow"), ("local_ip", "10.0.0.2"), ("wireguard_port", "6081"), FILE],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
