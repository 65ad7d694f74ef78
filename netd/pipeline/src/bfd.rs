//! Packets of BFD (RFC 5881). At a port that has a session they are not the tables': whoever keeps the sessions takes them here.

use hive_program::PortId;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What a frame is cut to: headers with all options, and a control packet without authentication.
const FRAME_BYTES: usize = 128;
/// Frames that wait; who sends faster than sessions are looked after loses some.
const WAITING_MAX: usize = 1024;
/// In [`hive_program::Punt::what`]: for the sessions, not for controllers, whose numbers are `u32`. The rest is the port.
const BFD: u64 = 1 << 32;

/// What to say of a packet that came in by a port.
pub(crate) fn what(port: PortId) -> u64 {
    BFD | u64::from(port.0)
}

/// The port of a packet that is for the sessions.
pub(crate) fn port(what: u64) -> Option<PortId> {
    (what & BFD != 0).then_some(PortId(what as u32))
}

/// Frames on their way to the sessions.
#[derive(Debug, Default)]
pub(crate) struct BfdQueue {
    waiting: Mutex<VecDeque<(PortId, Vec<u8>)>>,
    came: Condvar,
}

impl BfdQueue {
    /// False: there is no room.
    pub fn push(&self, port: PortId, frame: &[u8]) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = waiting.len() < WAITING_MAX;
        if fits {
            waiting.push_back((port, frame.iter().take(FRAME_BYTES).copied().collect()));
            drop(waiting);
            self.came.notify_one();
        }
        fits
    }

    /// Waits until there are some, or the time is over.
    pub fn take(&self, timeout: Duration) -> VecDeque<(PortId, Vec<u8>)> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.came.wait_timeout_while(waiting, timeout, |waiting| waiting.is_empty());
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_wait_cut_and_up_to_a_limit() {
        let queue = BfdQueue::default();
        assert!(queue.take(Duration::ZERO).is_empty());
        let pushed = (0..2 * WAITING_MAX).filter(|_| queue.push(PortId(7), &[5; 1500])).count();
        assert_eq!(pushed, WAITING_MAX);
        let taken = queue.take(Duration::ZERO);
        assert!(
            taken.len() == WAITING_MAX && taken.iter().all(|(port, frame)| port.0 == 7 && frame.len() == FRAME_BYTES)
        );
        assert!(queue.push(PortId(7), &[]));
        assert_eq!((port(what(PortId(u32::MAX))), port(u64::from(u32::MAX))), (Some(PortId(u32::MAX)), None));
    }
}
