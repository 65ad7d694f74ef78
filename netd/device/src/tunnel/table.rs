//! Which port a tunnel's packet is for.

use std::collections::HashMap;
use std::net::IpAddr;

/// One end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Address(IpAddr),
    /// Each packet has its own.
    Flow,
}

/// The VNI of packets that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Id(u32),
    /// Each packet has its own.
    Flow,
}

/// What a port takes: everything that it is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pattern {
    pub key: Key,
    pub remote: Endpoint,
    pub local: Option<Endpoint>,
}

/// Ports by what they take.
#[derive(Clone, Debug)]
pub(super) struct Table<P> {
    ports: HashMap<Pattern, P>,
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self { ports: HashMap::new() }
    }
}

impl<P> Table<P> {
    /// False if another port takes the same.
    pub fn insert(&mut self, pattern: Pattern, port: P) -> bool {
        match self.ports.entry(pattern) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(port);
                true
            }
        }
    }

    pub fn remove(&mut self, pattern: &Pattern) {
        self.ports.remove(pattern);
    }

    pub fn ports(&self) -> impl Iterator<Item = &P> {
        self.ports.values()
    }

    /// The port of a packet: a given VNI goes before a given remote end, that before a given local one. (Open vSwitch's order.)
    pub fn find(&self, remote: IpAddr, local: IpAddr, id: u32) -> Option<&P> {
        // A port that takes all is the common one, alone.
        for key in [Key::Id(id), Key::Flow] {
            for remote in [Endpoint::Address(remote), Endpoint::Flow] {
                for local in [Some(Endpoint::Address(local)), None, Some(Endpoint::Flow)] {
                    if let Some(port) = self.ports.get(&Pattern { key, remote, local }) {
                        return Some(port);
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_that_asks_for_most_has_the_packet() {
        let address = |text: &str| Endpoint::Address(text.parse().unwrap());
        let (here, there) = (address("10.0.0.1"), address("10.0.0.2"));
        let patterns = [
            (Key::Id(5), there, Some(here)),
            (Key::Id(5), there, None),
            (Key::Id(5), Endpoint::Flow, Some(here)),
            (Key::Id(5), Endpoint::Flow, None),
            (Key::Id(5), Endpoint::Flow, Some(Endpoint::Flow)),
            (Key::Flow, there, Some(here)),
            (Key::Flow, there, None),
            (Key::Flow, Endpoint::Flow, Some(here)),
            (Key::Flow, Endpoint::Flow, None),
            (Key::Flow, Endpoint::Flow, Some(Endpoint::Flow)),
        ];
        let patterns = patterns.map(|(key, remote, local)| Pattern { key, remote, local });
        let mut table = Table::default();
        for (port, pattern) in patterns.iter().enumerate() {
            assert!(table.insert(*pattern, port));
            assert!(!table.insert(*pattern, 99));
        }
        let find = |table: &Table<usize>, id| {
            table.find("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap(), id).copied()
        };
        assert_eq!(table.find("10.0.0.9".parse().unwrap(), "10.0.0.8".parse().unwrap(), 6), Some(&8));
        for (port, pattern) in patterns.iter().enumerate() {
            assert_eq!(find(&table, 5), Some(port));
            table.remove(pattern);
        }
        assert_eq!(find(&table, 5), None);
    }
}
