//! Sessions that somebody else has set up, with controllers, for the server to carry on.

use crate::connection::ConnectionKind;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A stream that OpenFlow is spoken over.
#[derive(Debug)]
pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(true),
            Self::Tcp(stream) => stream.set_nonblocking(true),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(bytes),
            Self::Tcp(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// A session to carry on.
#[derive(Debug)]
pub struct Session {
    pub stream: Stream,
    pub kind: ConnectionKind,
    /// A peer that was silent for this long is asked for an echo, and left after as long again.
    pub probe: Option<Duration>,
}

/// How a session goes.
#[derive(Debug, Default)]
pub struct SessionState {
    greeted: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
    closing: AtomicBool,
}

impl SessionState {
    /// Versions are agreed upon, and it has not ended.
    pub fn is_connected(&self) -> bool {
        self.greeted.load(Ordering::Acquire) && !self.has_ended()
    }

    /// Whether versions were ever agreed upon.
    pub fn was_greeted(&self) -> bool {
        self.greeted.load(Ordering::Acquire)
    }

    pub fn has_ended(&self) -> bool {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the session's end; says whether it has come.
    pub fn wait(&self, timeout: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(ended, timeout, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The server ends the session when it is rung next.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn greet(&self) {
        self.greeted.store(true, Ordering::Release);
    }

    pub(crate) fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}
