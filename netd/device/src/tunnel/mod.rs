//! Tunnels over UDP: Geneve (RFC 8926) and VXLAN (RFC 7348), and both of them encrypted ([`secure`]).
//!
//! All ports of one kind and UDP port share an [`endpoint::Endpoint`], which has one socket a family; which port a packet is for, the
//! [`table::Table`] says. One port, the endpoint's leader, reads the sockets: what is its own it hands on as it is, what is another's
//! it copies into that one's queue. Each port sends by itself.

mod endpoint;
pub mod geneve;
mod lone;
mod options;
mod port;
pub mod secure;
mod send;
mod table;
pub mod vxlan;

pub use options::{MappedOption, OptionMap};
pub use port::{OptionsHandle, TunnelPort};
pub use secure::{PeerStatus, PrivateKey, PublicKey, Security, SecurityHandle};
pub use table::{Endpoint, Key};

use endpoint::Endpoint as Shared;
use secure::Registry;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What is in the UDP datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Geneve,
    Vxlan,
    /// The other two within: of endpoints, never of a port.
    Wireguard,
}

impl Kind {
    /// Assigned by IANA.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Geneve => 6081,
            Self::Vxlan => 4789,
            Self::Wireguard => secure::DEFAULT_UDP_PORT,
        }
    }
}

/// A tunnel port. Which packets come in by it, `remote`, `local` and `key` say; for those that leave, each has its
/// [`hive_program::Tunnel`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    pub kind: Kind,
    pub udp_port: u16,
    /// Who sent the packet; by `Flow`, anybody.
    pub remote: Endpoint,
    /// What of the host's addresses it was sent to. None: any; `Flow` is any too, after those that are given.
    pub local: Option<Endpoint>,
    pub key: Key,
    /// Outer datagrams over IPv4 have a checksum; over IPv6 they always do.
    pub checksum: bool,
    /// Mark (SO_MARK) of outer packets; 0: none.
    pub mark: u32,
    pub options: OptionMap,
    /// None: not encrypted. Else `local` is the one there, and `key` counts for what is within.
    pub security: Option<Security>,
}

/// Why a datagram was dropped before it had a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reject {
    /// Shorter than its headers, or than an Ethernet header within.
    Short,
    /// Longer than any datagram.
    Cut,
    /// A version of Geneve that is not 0.
    Version,
    /// A control packet of Geneve, which is none of a switch's business (RFC 8926, 3.4).
    Control,
    /// Carries something other than Ethernet.
    ProtocolType,
    /// Geneve options that contradict their lengths.
    Options,
    /// A critical option that is not mapped.
    CriticalOption,
    /// VXLAN flags other than that of a valid VNI, or something in the last byte.
    Flags,
    /// No port takes it.
    NoPort,
    /// The port that it is for is too slow.
    QueueFull,
    /// Not encrypted, from an address with which packets are.
    Clear,
    /// To the port for encrypted messages, which it is not.
    NotWireguard,
    /// Nobody's whom the port speaks with.
    NoPeer,
    /// A handshake of, or for, somebody with another key.
    WrongKey,
    /// Heard before, or too old to tell.
    Replayed,
    /// Not what the peer has sent.
    Forged,
    /// Of no session: of one that has ended, or was another's.
    NoSession,
    /// More handshakes than are answered; its sender is asked to show that it is where it says.
    UnderLoad,
    /// Encrypted soundly, and no datagram of the tunnel.
    Inner,
}

impl Reject {
    pub const ALL: [Self; 19] = [
        Self::Short,
        Self::Cut,
        Self::Version,
        Self::Control,
        Self::ProtocolType,
        Self::Options,
        Self::CriticalOption,
        Self::Flags,
        Self::NoPort,
        Self::QueueFull,
        Self::Clear,
        Self::NotWireguard,
        Self::NoPeer,
        Self::WrongKey,
        Self::Replayed,
        Self::Forged,
        Self::NoSession,
        Self::UnderLoad,
        Self::Inner,
    ];
}

/// What is wrong with a tunnel port.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// Packets could not be told from another port's.
    #[error("another tunnel port has the same remote, local and key")]
    Duplicate,
    #[error("cannot open UDP port {port} for tunnels: {source}")]
    Socket { port: u16, source: io::Error },
}

/// The header of a datagram, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub id: u32,
    /// Of Geneve.
    pub options: &'a [u8],
    /// Where the frame within begins.
    pub frame_at: usize,
}

/// By kind and UDP port; ports keep them.
type Endpoints = BTreeMap<(Kind, u16), Weak<Shared>>;

/// All tunnel endpoints of a switch. Sockets are opened in the network namespace of the thread that adds a port.
#[derive(Clone, Debug, Default)]
pub struct Tunnels {
    endpoints: Arc<Mutex<Endpoints>>,
    secured: Arc<Registry>,
}

impl Tunnels {
    /// Makes a port.
    ///
    /// # Errors
    /// See [`TunnelError`].
    pub fn add(&self, config: TunnelConfig) -> Result<TunnelPort, TunnelError> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let name = match &config.security {
            Some(security) => (Kind::Wireguard, security.udp_port),
            None => (config.kind, config.udp_port),
        };
        let endpoint = endpoints.get(&name).and_then(Weak::upgrade);
        let endpoint = endpoint.unwrap_or_else(|| Arc::new(Shared::new(name.0, name.1, Arc::clone(&self.secured))));
        let port = TunnelPort::open(Arc::clone(&endpoint), config)?;
        endpoints.retain(|_, endpoint| endpoint.strong_count() > 0);
        endpoints.insert(name, Arc::downgrade(&endpoint));
        Ok(port)
    }

    /// Datagrams dropped, by endpoint and reason; reasons that never were are left out.
    pub fn rejected(&self) -> Vec<(Kind, u16, Reject, u64)> {
        let endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let live = endpoints.iter().filter_map(|((kind, port), endpoint)| Some((*kind, *port, endpoint.upgrade()?)));
        let counts = live.flat_map(|(kind, port, endpoint)| {
            Reject::ALL.map(|reason| (kind, port, reason, endpoint.rejected(reason)))
        });
        counts.filter(|(_, _, _, count)| *count > 0).collect()
    }
}
