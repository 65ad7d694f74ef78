//! The console socket: live serial sessions in both directions. Served by the main thread's event loop.
//!
//! The ring log is the only output buffer: each client has a place in it, and one that is slower than the ring is long
//! misses what was overwritten.

use crate::api;
use crate::devices::SerialPort;
use crate::error::Result;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use vmm_sys_util::epoll::EventSet;

/// Sessions at once; one more closes the oldest.
pub const MAX_SESSIONS: usize = 4;
/// Input taken from a client before the guest has read the last: a line of typing.
const INPUT_BYTES: usize = 256;
/// Output handed to a client at once.
const OUTPUT_BYTES: usize = 16 << 10;

/// The live sessions of one serial port.
#[derive(Debug)]
pub struct ConsoleServer {
    listener: UnixListener,
    port: Arc<SerialPort>,
    sessions: BTreeMap<u64, Session>,
    next_session: u64,
}

#[derive(Debug)]
struct Session {
    stream: UnixStream,
    /// Place in the ring log.
    place: u64,
    /// Taken from the client, not yet by the guest.
    input: Vec<u8>,
}

impl ConsoleServer {
    /// Serve `port` at `path`.
    pub fn new(path: &Path, port: Arc<SerialPort>) -> Result<Self> {
        Ok(Self { listener: api::listen(path)?, port, sessions: BTreeMap::new(), next_session: 0 })
    }

    /// The descriptor that is readable when a client waits to be accepted.
    pub fn listener(&self) -> RawFd {
        self.listener.as_raw_fd()
    }

    /// Take one client in: its number and descriptor. It sees output from now on.
    pub fn accept(&mut self) -> Option<(u64, RawFd)> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        if self.sessions.len() == MAX_SESSIONS {
            self.sessions.pop_first();
        }
        let number = self.next_session;
        self.next_session += 1;
        let fd = stream.as_raw_fd();
        self.sessions.insert(number, Session { stream, place: self.port.log().end(), input: Vec::new() });
        self.port.set_watched(true);
        Some((number, fd))
    }

    /// Numbers of the sessions, to serve all of them.
    pub fn numbers(&self) -> Vec<u64> {
        self.sessions.keys().copied().collect()
    }

    /// Move bytes both ways for one session. Returns its descriptor and what to wait for next, or None when it is over.
    pub fn ready(&mut self, number: u64) -> Option<(RawFd, EventSet)> {
        let session = self.sessions.get_mut(&number)?;
        let events = session.serve(&self.port);
        if events.is_none() {
            self.sessions.remove(&number);
            self.port.set_watched(!self.sessions.is_empty());
        }
        let fd = self.sessions.get(&number)?.stream.as_raw_fd();
        events.map(|events| (fd, events))
    }
}

impl Session {
    fn serve(&mut self, port: &SerialPort) -> Option<EventSet> {
        if self.input.is_empty() {
            let mut buffer = [0; INPUT_BYTES];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.input.extend(&buffer[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
        let taken = port.enqueue(&self.input);
        self.input.drain(..taken);
        let mut events = EventSet::empty();
        if self.input.is_empty() {
            events |= EventSet::IN;
        }
        loop {
            let (start, bytes) = port.log().read_from(self.place, OUTPUT_BYTES);
            self.place = start;
            if bytes.is_empty() {
                return Some(events);
            }
            match self.stream.write(&bytes) {
                Ok(count) => self.place += count as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Some(events | EventSet::OUT),
                Err(_) => return None,
            }
        }
    }
}
