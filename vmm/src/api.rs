//! The API socket: JSON lines in, JSON lines out (see `hive_vmm_api`). Served by the main thread's event loop.

use crate::error::{Error, Result};
use hive_vmm_api::{MAX_LINE_BYTES, Reply, Request};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use vmm_sys_util::epoll::EventSet;

/// Connections served at once; one more closes the oldest, so that leaked ones never lock anyone out.
pub const MAX_CONNECTIONS: usize = 16;
/// Longest request taken: requests are tiny, the limit of the contract is for replies.
const MAX_REQUEST_BYTES: usize = 4096;
const _: () = assert!(MAX_REQUEST_BYTES <= MAX_LINE_BYTES);

/// Listen on a Unix socket for its owner alone, in place of one that a dead process left.
pub fn listen(path: &Path) -> Result<UnixListener> {
    let fail = || Error::io(format!("listen on {}", path.display()));
    let stale = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if stale {
        if UnixStream::connect(path).is_ok() {
            return Err(fail()(ErrorKind::AddrInUse.into()));
        }
        fs::remove_file(path).map_err(fail())?;
    }
    let listener = UnixListener::bind(path).map_err(fail())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fail())?;
    listener.set_nonblocking(true).map_err(fail())?;
    Ok(listener)
}

/// The connections of the API.
#[derive(Debug)]
pub struct ApiServer {
    listener: UnixListener,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The client sends no more; it goes when it has its replies.
    finished: bool,
}

impl ApiServer {
    /// Serve at `path`.
    pub fn new(path: &Path) -> Result<Self> {
        Ok(Self { listener: listen(path)?, clients: BTreeMap::new(), next_client: 0 })
    }

    /// The descriptor that is readable when a client waits to be accepted.
    pub fn listener(&self) -> RawFd {
        self.listener.as_raw_fd()
    }

    /// Take one client in: its number and descriptor.
    pub fn accept(&mut self) -> Option<(u64, RawFd)> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        if self.clients.len() == MAX_CONNECTIONS {
            self.clients.pop_first();
        }
        let number = self.next_client;
        self.next_client += 1;
        let fd = stream.as_raw_fd();
        self.clients.insert(number, Client { stream, input: Vec::new(), output: Vec::new(), finished: false });
        Some((number, fd))
    }

    /// A client's descriptor is ready: take requests, answer them, send what can be sent. Returns the descriptor and what to
    /// wait for next, or None when the client is gone.
    pub fn ready(&mut self, number: u64, handle: impl FnMut(Request) -> Reply) -> Option<(RawFd, EventSet)> {
        let client = self.clients.get_mut(&number)?;
        match client.serve(handle) {
            Ok(events) => Some((client.stream.as_raw_fd(), events)),
            Err(_) => {
                self.clients.remove(&number);
                None
            }
        }
    }
}

impl Client {
    fn serve(&mut self, mut handle: impl FnMut(Request) -> Reply) -> io::Result<EventSet> {
        // Requests wait until the replies before them are sent, which bounds the output.
        if self.output.is_empty() {
            self.receive()?;
        }
        self.send()?;
        while self.output.is_empty() {
            let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else { break };
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let reply = match serde_json::from_slice::<Request>(&line) {
                Ok(request) => handle(request),
                Err(e) => Reply::Error { message: format!("no request of this API: {e}") },
            };
            self.output = serde_json::to_vec(&reply)?;
            self.output.push(b'\n');
            self.send()?;
        }
        match (self.output.is_empty(), self.finished) {
            (false, _) => Ok(EventSet::OUT),
            (true, true) => Err(ErrorKind::UnexpectedEof.into()),
            (true, false) if self.input.len() >= MAX_REQUEST_BYTES => {
                let reply = Reply::Error { message: format!("a request has at most {MAX_REQUEST_BYTES} bytes") };
                let _ = self.stream.write(&[serde_json::to_vec(&reply)?, vec![b'\n']].concat());
                Err(ErrorKind::InvalidData.into())
            }
            (true, false) => Ok(EventSet::IN),
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let room = MAX_REQUEST_BYTES.saturating_sub(self.input.len());
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) if room > 0 => self.finished = true,
            Ok(count) => self.input.extend(&buffer[..count]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
