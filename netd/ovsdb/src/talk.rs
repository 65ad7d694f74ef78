//! One connection: what goes over it, and its clocks.

use crate::remote::Stream;
use crate::session::{Event, Session, SessionError};
use crate::transaction::Operation;
use hive_jsonrpc::{Channel, ChannelError, Limits, Received};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What one message may cost: the first update carries the whole database, a few KiB and some 150 values a port.
pub const LIMITS: Limits = Limits { message_bytes: 32 << 20, values: 2 << 20, objects: 256 << 10 };
/// A server that takes none of our messages is given up when this much waits for it.
const MAX_OUTPUT_BYTES: usize = 32 << 20;
/// From the connection until the replica is there; a large database is read from disk first.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server does not answer")]
    Silent,
    #[error("cannot wait for the server: {0}")]
    Poll(#[from] rustix::io::Errno),
    #[error("stopped")]
    Stopped,
}

/// One connection.
pub struct Talk<'a> {
    channel: Channel<Stream>,
    pub session: &'a mut Session,
    connected: Instant,
    received: Instant,
    /// Since when the server owes an answer to a probe.
    probed: Option<Instant>,
    /// Since when a transaction is under way.
    pub transacting: Option<Instant>,
    /// The configuration may be another than the one handed out.
    pub changed: bool,
    /// Nothing was read from this connection's replica yet.
    pub fresh: bool,
    /// The client stops: by then at the latest.
    pub farewell: Option<Instant>,
    /// What was reported before it stopped is on its way.
    pub last_written: bool,
}

impl<'a> Talk<'a> {
    pub fn new(stream: Stream, session: &'a mut Session, now: Instant) -> Self {
        Self {
            channel: Channel::new(stream, LIMITS, MAX_OUTPUT_BYTES),
            session,
            connected: now,
            received: now,
            probed: None,
            transacting: None,
            changed: false,
            fresh: true,
            farewell: None,
            last_written: false,
        }
    }

    /// Sends what there is to send, as far as the server takes it.
    pub fn send(&mut self) -> Result<(), Ended> {
        for message in self.session.take_outgoing() {
            self.channel.send(&message)?;
        }
        self.channel.flush()?;
        Ok(())
    }

    pub fn is_active(&self) -> bool {
        self.session.is_synchronised() && self.session.lock() == Some(true)
    }

    pub fn may_write(&self) -> bool {
        self.is_active() && self.transacting.is_none() && self.farewell.is_none()
    }

    /// When the server is asked whether it is there, or its answer to that is due.
    pub fn next_probe(&self, interval: Duration) -> Instant {
        self.probed.unwrap_or(self.received) + interval
    }

    /// When the server's answer is too late.
    pub fn deadline(&self) -> Option<Instant> {
        match self.transacting {
            Some(since) => Some(since + READY_TIMEOUT),
            None if !self.session.is_synchronised() || self.session.lock().is_none() => {
                Some(self.connected + READY_TIMEOUT)
            }
            None => None,
        }
    }

    pub fn transact(&mut self, operations: &[Operation], now: Instant) {
        if !operations.is_empty() {
            self.session.transact(operations);
            self.transacting = Some(now);
        }
    }

    /// Waits for the server or for `bell`; says whether that rang.
    pub fn wait(&self, bell: &OwnedFd, until: Instant) -> Result<bool, Ended> {
        let timeout = timespec(until.saturating_duration_since(Instant::now()));
        let interest = if self.channel.unsent() > 0 { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds =
            [PollFd::from_borrowed_fd(self.channel.stream().as_fd(), interest), PollFd::new(bell, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!fds[1].revents().is_empty()),
            Err(error) => Err(Ended::Poll(error)),
        }
    }

    pub fn receive(&mut self) -> Result<Vec<Event>, Ended> {
        match self.channel.receive()? {
            Received::Bytes(_) => {
                self.received = Instant::now();
                self.probed = None;
            }
            Received::Nothing => return Ok(Vec::new()),
            Received::End => return Err(Ended::Closed),
        }
        let mut events = Vec::new();
        while let Some(message) = self.channel.take()? {
            events.extend(self.session.handle(message)?);
        }
        Ok(events)
    }

    pub fn check_timers(&mut self, now: Instant, probe_interval: Duration) -> Result<(), Ended> {
        let due = now >= self.next_probe(probe_interval);
        if (due && self.probed.is_some()) || self.deadline().is_some_and(|deadline| now >= deadline) {
            return Err(Ended::Silent);
        }
        if due {
            self.session.probe();
            self.probed = Some(now);
        }
        Ok(())
    }
}

pub fn timespec(duration: Duration) -> Timespec {
    // A poll that is woken early sleeps again.
    const LONGEST: Duration = Duration::from_secs(3600);
    Timespec::try_from(duration.min(LONGEST)).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
}
