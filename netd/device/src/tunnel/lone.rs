//! Where datagrams have to leave one by one: the kernel fragments what is longer than the path takes, but no segments (UDP_SEGMENT).

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A path may take more later: after so many messages it is asked again, by one that may fail.
const MESSAGES: u32 = 1000;
/// Places that are remembered; more than nodes that one speaks with.
const PLACES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// So long, or longer, is too long.
    datagram_bytes: usize,
    messages_left: u32,
}

/// What the kernel refused, so that not every message has to fail first.
#[derive(Debug, Default)]
pub(super) struct Lone {
    limits: BTreeMap<SocketAddr, Limit>,
}

impl Lone {
    /// Asked for each message of several datagrams.
    #[inline]
    pub fn has(&mut self, to: SocketAddr, datagram_bytes: usize) -> bool {
        !self.limits.is_empty() && self.look(to, datagram_bytes)
    }

    fn look(&mut self, to: SocketAddr, datagram_bytes: usize) -> bool {
        let Some(limit) = self.limits.get_mut(&to).filter(|limit| datagram_bytes >= limit.datagram_bytes) else {
            return false;
        };
        limit.messages_left -= 1;
        if limit.messages_left == 0 {
            self.limits.remove(&to);
        }
        true
    }

    pub fn learn(&mut self, to: SocketAddr, datagram_bytes: usize) {
        if self.limits.len() >= PLACES_MAX {
            self.limits.clear();
        }
        let limit = self.limits.entry(to).or_insert(Limit { datagram_bytes, messages_left: MESSAGES });
        limit.datagram_bytes = limit.datagram_bytes.min(datagram_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_asked_again_at_times() {
        let mut lone = Lone::default();
        let [here, there] = [1, 2].map(|host| SocketAddr::from(([10, 0, 0, host], 6081)));
        assert!(!lone.has(here, 9000));
        lone.learn(here, 9000);
        lone.learn(here, 8000);
        assert!(!lone.has(there, 9000) && !lone.has(here, 7999));
        for _ in 0..MESSAGES {
            assert!(lone.has(here, 8000));
        }
        assert!(!lone.has(here, 8000));
        for port in 0..=PLACES_MAX {
            lone.learn(SocketAddr::from(([10, 0, 0, 1], u16::try_from(port).unwrap())), 1);
        }
        assert_eq!(lone.limits.len(), 1);
    }
}
