//! The tunnel to the other nodes: this node's key, and how long a packet may be that goes through.

use super::super::local::write_durably_with;
use super::MTU_BYTES;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use x25519_dalek::{PublicKey, StaticSecret};

const FILE: &str = "tunnel.key";
/// A key in Base64, a line's end, and room for blanks.
const FILE_BYTES_MAX: u64 = 128;
const OTHERS: u32 = 0o077;
/// Before an interface's packet: Ethernet, Geneve without options, UDP, IPv4.
const GENEVE_BYTES: u16 = 14 + 8 + 8 + 20;
/// Around that, if it is encrypted: message, UDP, IPv4; and what is within is a multiple of 16 bytes.
const MESSAGE_BYTES: u16 = 32 + 8 + 20;
const PADDING_BYTES: u16 = 16;
/// Where nothing is known, and the least that is believed of a network between nodes.
const DEFAULT_MTU_BYTES: u16 = 1500;
const MIN_MTU_BYTES: u16 = 576;

/// This node's key pair. netd reads the private one from its file.
#[derive(Clone, Debug)]
pub struct Key {
    pub file: PathBuf,
    /// In Base64.
    pub public: String,
}

impl Key {
    /// The node's, made if there is none.
    ///
    /// # Errors
    /// It cannot be read or written, is none, or others can read it.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let file = state_dir.join(FILE);
        let secret = match read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
                let secret = StaticSecret::from(bytes);
                let text = BASE64_STANDARD.encode(secret.as_bytes()) + "\n";
                write_durably_with(&file, text.as_bytes(), Some(0o600))?;
                secret
            }
            read => read?,
        };
        Ok(Self { file, public: BASE64_STANDARD.encode(PublicKey::from(&secret).as_bytes()) })
    }
}

fn read(path: &Path) -> io::Result<StaticSecret> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let file = std::fs::File::open(path)?;
    if file.metadata()?.mode() & OTHERS != 0 {
        return Err(wrong("others than its owner may read it: make a new one by removing it"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    let bytes = BASE64_STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    Ok(bytes.ok_or_else(|| wrong("not a key"))?.into())
}

/// Whether a text of another node's is a key; it is put into the database as it is.
pub fn is_key(text: &str) -> bool {
    BASE64_STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// Longest IP packet of an interface through a network between nodes that takes `network_bytes`.
pub fn mtu_through(network_bytes: u16, encrypted: bool) -> u16 {
    let within = if encrypted {
        network_bytes.saturating_sub(MESSAGE_BYTES) / PADDING_BYTES * PADDING_BYTES
    } else {
        network_bytes
    };
    within.saturating_sub(GENEVE_BYTES).min(MTU_BYTES)
}

/// `ip -json address`: of what is not asked for there may be an empty object.
#[derive(Deserialize)]
struct Link {
    mtu: Option<u32>,
}

/// What the interface with this address takes; what is usual if there is none.
pub async fn network_mtu(address: Ipv4Addr) -> u16 {
    let asked = ["-json", "-4", "address", "show", "to", &format!("{address}/32")].map(str::to_owned);
    let printed = super::bridge::run(Command::new("ip").args(asked)).await;
    let links: Vec<Link> = match printed.map(|printed| serde_json::from_slice(&printed)) {
        Ok(Ok(links)) => links,
        Ok(Err(error)) => {
            tracing::debug!(%error, "ip says something else than links");
            Vec::new()
        }
        Err(error) => {
            tracing::debug!(%error, "the MTU between nodes is not known");
            Vec::new()
        }
    };
    let mtu = links.iter().find_map(|link| link.mtu).map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX));
    mtu.map_or(DEFAULT_MTU_BYTES, |mtu| mtu.max(MIN_MTU_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_is_the_owners() {
        let directory = tempfile::tempdir().expect("a directory");
        let key = Key::open(directory.path()).expect("made");
        assert!(is_key(&key.public) && !is_key("x") && !is_key(&key.public[1..]));
        assert_eq!(std::fs::metadata(&key.file).expect("a file").mode() & 0o7777, 0o600);
        assert_eq!(Key::open(directory.path()).expect("read").public, key.public);
        // RFC 7748, 6.1: Alice's.
        std::fs::write(&key.file, "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n").expect("written");
        let public = Key::open(directory.path()).expect("read").public;
        assert_eq!(public, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
        std::fs::set_permissions(&key.file, std::fs::Permissions::from_mode(0o644)).expect("permitted");
        assert!(Key::open(directory.path()).is_err());
        std::fs::set_permissions(&key.file, std::fs::Permissions::from_mode(0o600)).expect("permitted");
        std::fs::write(&key.file, "nothing").expect("written");
        assert!(Key::open(directory.path()).is_err());
    }

    #[test]
    fn what_fits_through() {
        assert_eq!((mtu_through(1500, false), mtu_through(1500, true)), (1450, 1390));
        assert_eq!((mtu_through(9000, false), mtu_through(9000, true)), (8950, 8878));
        assert_eq!((mtu_through(9216, false), mtu_through(9216, true)), (9001, 9001));
        assert_eq!((mtu_through(u16::MAX, true), mtu_through(0, true)), (9001, 0));
    }

    #[tokio::test]
    async fn the_networks_mtu_is_the_interfaces() {
        let mtu = std::fs::read_to_string("/sys/class/net/lo/mtu").expect("a loopback device");
        let expected = mtu.trim().parse::<u32>().map_or(u16::MAX, |mtu| u16::try_from(mtu).unwrap_or(u16::MAX));
        assert_eq!(network_mtu(Ipv4Addr::LOCALHOST).await, expected);
        assert_eq!(network_mtu(Ipv4Addr::new(192, 0, 2, 77)).await, DEFAULT_MTU_BYTES);
    }
}
