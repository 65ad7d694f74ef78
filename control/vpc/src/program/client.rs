//! A controller's end of OpenFlow 1.5 over the bridge's management socket: blocking, and everything has a deadline.

use super::BUNDLE_CHANGES_MAX;
use crate::flow::{FlowBody, FlowKey, FlowSet};
use hive_flow::Match;
use hive_openflow::{
    BundleAdd, BundleControl, BundleControlKind, BundleFlags, Context, CookieMask, EncodeError, ErrorCode, FlowMod,
    FlowRequest, FlowStats, Fragments, FrameError, Framer, GROUP_ANY, Hello, Message, PortNo, Reply, Request,
    SwitchConfig, UnknownError, Version, decode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes written at once: the messages of a bundle go out in pieces of about this size.
const PIECE_BYTES: usize = 1 << 16;
/// Flows that a switch may tell of: what was compiled, and as much that is not ours.
const FLOWS_READ_MAX: usize = 2 * crate::FLOWS_MAX;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the bridge's socket cannot be reached")]
    Connect(#[source] io::Error),
    #[error("the connection to the bridge broke")]
    Io(#[source] io::Error),
    #[error("the bridge does not answer in time")]
    TimedOut,
    #[error("the bridge does not speak OpenFlow 1.5")]
    Version,
    #[error("the bridge sent what is no OpenFlow")]
    Stream(#[source] FrameError),
    #[error("the bridge sent a message that cannot be read: {0}")]
    Message(ErrorCode),
    #[error("a flow makes a message that is too long")]
    Encode(#[source] EncodeError),
    /// `change`: which of those that were applied, if it is known.
    #[error("the bridge refuses change {change:?}: {code:?}")]
    Refused { code: Result<ErrorCode, UnknownError>, change: Option<usize> },
    #[error("the bridge has more than {FLOWS_READ_MAX} flows")]
    TooManyFlows,
    /// `change`: one of those that would still be necessary.
    #[error("the bridge's tables do not stay as they are made: {change:?}")]
    Drift { change: Box<FlowMod> },
}

impl ClientError {
    /// Whether another connection may fare better.
    pub fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Io(_) | Self::TimedOut | Self::Stream(_) | Self::Message(_))
    }
}

/// One connection. After an error for which [`ClientError::is_broken_connection`] holds it is of no use.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    framer: Framer,
    context: Context,
    next_xid: u32,
    next_bundle: u32,
    timeout: Duration,
}

impl Client {
    /// `socket`: `<bridge>.mgmt`. `timeout`: for each operation, of whatever size.
    ///
    /// # Errors
    /// Nobody is there, or not one who speaks OpenFlow 1.5.
    pub fn connect(socket: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).map_err(ClientError::Connect)?;
        let context = Context::new(Version::V1_5);
        let mut this = Self { stream, framer: Framer::default(), context, next_xid: 1, next_bundle: 1, timeout };
        let end = this.deadline();
        let ours = Hello::of(&[Version::V1_5]);
        this.send(&Message::Hello(ours.clone()), end)?;
        // What precedes the agreement cannot be of another kind.
        match this.receive(end)? {
            (_, Message::Hello(theirs)) if theirs.agree(&ours).is_some() => {}
            _ => return Err(ClientError::Version),
        }
        // Rules look at the ports of a datagram's first fragment, which a switch hides unless it is told otherwise.
        let config = SwitchConfig { fragments: Fragments::NxMatch, miss_send_bytes: 0 };
        let base = this.send(&Message::SetConfig(config), end)?;
        let barrier = this.send(&Message::BarrierRequest, end)?;
        this.wait(barrier, base, 0, end)?;
        Ok(this)
    }

    /// Whether the other end is still there.
    pub fn is_open(&self) -> bool {
        // Not by reading: what it said before it went may still be there.
        let gone = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR;
        let mut fds = [PollFd::new(&self.stream, gone)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(_) => !fds.iter().any(|fd| fd.revents().intersects(gone)),
            Err(error) => error == Errno::INTR,
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    fn xid(&mut self) -> u32 {
        let xid = self.next_xid;
        self.next_xid = self.next_xid.wrapping_add(1).max(1);
        xid
    }

    fn write(&mut self, bytes: &[u8], end: Instant) -> Result<(), ClientError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(remaining(end)?)).map_err(ClientError::Io)?;
            let written = self.stream.write(rest).map_err(waited)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn send(&mut self, message: &Message, end: Instant) -> Result<u32, ClientError> {
        let (xid, mut bytes) = (self.xid(), Vec::new());
        message.encode(xid, &self.context, &mut bytes).map_err(ClientError::Encode)?;
        self.write(&bytes, end)?;
        Ok(xid)
    }

    /// The next message that is not about being alive.
    fn receive(&mut self, end: Instant) -> Result<(u32, Message), ClientError> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            if let Some(bytes) = self.framer.next_message().map_err(ClientError::Stream)? {
                let decoded = decode(bytes, &self.context).map_err(ClientError::Message)?;
                let xid = decoded.header.xid;
                match decoded.message {
                    Message::EchoRequest(data) => {
                        let mut answer = Vec::new();
                        let reply = Message::EchoReply(data);
                        reply.encode(xid, &self.context, &mut answer).map_err(ClientError::Encode)?;
                        self.write(&answer, end)?;
                    }
                    message => return Ok((xid, message)),
                }
                continue;
            }
            self.stream.set_read_timeout(Some(remaining(end)?)).map_err(ClientError::Io)?;
            match self.stream.read(&mut piece).map_err(waited)? {
                0 => return Err(ClientError::Io(io::ErrorKind::UnexpectedEof.into())),
                length => self.framer.push(piece.get(..length).unwrap_or_default()),
            }
        }
    }

    /// Make all of the changes or none, in bundles of [`BUNDLE_CHANGES_MAX`]; when this returns the switch forwards by them.
    ///
    /// # Errors
    /// The switch refuses: then of the last bundle nothing was done.
    pub fn apply(&mut self, changes: &[FlowMod]) -> Result<(), ClientError> {
        for (number, bundle) in changes.chunks(BUNDLE_CHANGES_MAX).enumerate() {
            self.bundle(bundle, number * BUNDLE_CHANGES_MAX)?;
        }
        Ok(())
    }

    fn bundle(&mut self, changes: &[FlowMod], first: usize) -> Result<(), ClientError> {
        let end = self.deadline();
        let bundle = self.next_bundle;
        self.next_bundle = self.next_bundle.wrapping_add(1);
        let flags = BundleFlags(BundleFlags::ATOMIC.0 | BundleFlags::ORDERED.0);
        let control = |kind| Message::BundleControl(BundleControl { bundle, kind, flags });
        let opened = self.send(&control(BundleControlKind::OpenRequest), end)?;
        self.wait(opened, opened, first, end)?;
        let (base, mut bytes) = (self.next_xid, Vec::new());
        for change in changes {
            let (xid, mut message) = (self.xid(), Vec::new());
            let change = Message::FlowMod(Box::new(change.clone()));
            change.encode(xid, &self.context, &mut message).map_err(ClientError::Encode)?;
            let add = Message::BundleAdd(BundleAdd { bundle, flags, message });
            add.encode(xid, &self.context, &mut bytes).map_err(ClientError::Encode)?;
            if bytes.len() >= PIECE_BYTES {
                self.write(&bytes, end)?;
                bytes.clear();
            }
        }
        self.write(&bytes, end)?;
        // A message that is refused is not in the bundle, which could be committed without it.
        let barrier = self.send(&Message::BarrierRequest, end)?;
        if let Err(error) = self.wait(barrier, base, first, end) {
            self.send(&control(BundleControlKind::DiscardRequest), end)?;
            return Err(error);
        }
        let committed = self.send(&control(BundleControlKind::CommitRequest), end)?;
        self.wait(committed, base, first, end)?;
        let barrier = self.send(&Message::BarrierRequest, end)?;
        self.wait(barrier, barrier, first, end)
    }

    /// For the answer to `xid`; an error about this or a request since `base`, which is change number `first`, is one.
    fn wait(&mut self, xid: u32, base: u32, first: usize, end: Instant) -> Result<(), ClientError> {
        loop {
            match self.receive(end)? {
                (of, Message::Error(error)) if (base..=xid).contains(&of) => {
                    let at = usize::try_from(of - base).ok().filter(|_| of < xid);
                    return Err(ClientError::Refused { code: error.code, change: at.map(|at| first + at) });
                }
                (of, Message::BundleControl(_) | Message::BarrierReply) if of == xid => return Ok(()),
                _ => {}
            }
        }
    }

    /// The flows of a table, or of all ([`hive_openflow::TABLE_ALL`]), with their counters.
    ///
    /// # Errors
    /// As the connection's; or there are more than can be ours.
    pub fn statistics(&mut self, table: u8) -> Result<Vec<FlowStats>, ClientError> {
        let end = self.deadline();
        let request = Request::Flow(FlowRequest {
            table,
            out_port: PortNo::NONE,
            out_group: GROUP_ANY,
            cookie: CookieMask::default(),
            flow: Match::default(),
            nicira: false,
        });
        let asked = self.send(&Message::Request { request, more: false }, end)?;
        let mut all = Vec::new();
        loop {
            match self.receive(end)? {
                (xid, Message::Reply { reply: Reply::Flow { flows, .. }, more }) if xid == asked => {
                    all.extend(flows);
                    if all.len() > FLOWS_READ_MAX {
                        return Err(ClientError::TooManyFlows);
                    }
                    if !more {
                        return Ok(all);
                    }
                }
                (xid, Message::Error(error)) if xid == asked => {
                    return Err(ClientError::Refused { code: error.code, change: None });
                }
                _ => {}
            }
        }
    }

    /// As [`Client::statistics`], as it was written.
    ///
    /// # Errors
    /// As there.
    pub fn flows(&mut self, table: u8) -> Result<FlowSet, ClientError> {
        let as_written = |flow: FlowStats| {
            let key = FlowKey { table: flow.table, priority: flow.priority, matching: flow.flow };
            (key, FlowBody { cookie: flow.cookie, actions: flow.actions })
        };
        Ok(self.statistics(table)?.into_iter().map(as_written).collect())
    }

    /// Forget the connections of a zone, before its number is given to another interface.
    ///
    /// # Errors
    /// As the connection's.
    pub fn flush_zone(&mut self, zone: crate::LocalNumber) -> Result<(), ClientError> {
        let end = self.deadline();
        let base = self.send(&Message::CtFlushZone(zone.0), end)?;
        let barrier = self.send(&Message::BarrierRequest, end)?;
        self.wait(barrier, base, 0, end)
    }
}

fn remaining(end: Instant) -> Result<Duration, ClientError> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ClientError::TimedOut) } else { Ok(left) }
}

fn waited(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::TimedOut,
        _ => ClientError::Io(error),
    }
}
