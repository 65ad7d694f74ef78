//! One connection to a backend: requests, replies and descriptors, each within a time limit.

use super::message::{self, FLAG_NEED_REPLY, HEADER_BYTES, MAX_REPLY_BYTES, PROTOCOL_REPLY_ACK, Request};
use crate::sys;
use std::fs::File;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

/// Longest wait for one reply. A backend answers at once, but for GET_VRING_BASE, which waits for its requests in flight.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connected backend.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// Protocol features in effect.
    protocol: u64,
    reply_timeout: Duration,
}

impl Connection {
    /// Connect to a listening backend, without waiting for one.
    pub fn open(socket: &Path, reply_timeout: Duration) -> io::Result<Self> {
        Ok(Self { stream: sys::connect_unix(socket)?, protocol: 0, reply_timeout })
    }

    /// Protocol features were agreed on.
    pub fn set_protocol(&mut self, protocol: u64) {
        self.protocol = protocol;
    }

    /// Is a protocol feature in effect?
    pub fn has(&self, protocol: u64) -> bool {
        self.protocol & protocol != 0
    }

    /// How long to wait for a reply from now on.
    pub fn set_reply_timeout(&mut self, timeout: Duration) {
        self.reply_timeout = timeout;
    }

    /// Send a request that sets something; with REPLY_ACK its success is awaited.
    pub fn set(&mut self, request: Request, payload: &[u8], fds: &[RawFd]) -> Result<(), String> {
        if !self.has(PROTOCOL_REPLY_ACK) {
            return self.send(request, 0, payload, fds);
        }
        self.send(request, FLAG_NEED_REPLY, payload, fds)?;
        match self.reply_u64(request)? {
            0 => Ok(()),
            code => Err(format!("{request:?} was refused with {code}")),
        }
    }

    /// Ask for a 64-bit value.
    pub fn get_u64(&mut self, request: Request) -> Result<u64, String> {
        self.send(request, 0, &[], &[])?;
        self.reply_u64(request)
    }

    /// Ask with a payload; the reply's payload.
    pub fn get(&mut self, request: Request, payload: &[u8]) -> Result<Vec<u8>, String> {
        self.send(request, 0, payload, &[])?;
        self.reply(request).map(|(payload, _)| payload)
    }

    /// Ask with a payload for a descriptor; the reply's payload with it.
    pub fn get_file(&mut self, request: Request, payload: &[u8]) -> Result<(Vec<u8>, File), String> {
        self.send(request, 0, payload, &[])?;
        let (payload, file) = self.reply(request)?;
        let file = file.ok_or_else(|| format!("reply to {request:?} has no descriptor"))?;
        Ok((payload, file))
    }

    /// Tell the backend that nothing more comes. It stops its queues and closes its end, which says that it has.
    pub fn finish(&self) {
        // Fails if the backend is gone already, which is as good.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// After [`Connection::finish`]: has the backend closed its end? Whatever it still sends is dropped.
    pub fn is_closed(&self) -> bool {
        let mut late_reply = [0; MAX_REPLY_BYTES];
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        match (&self.stream).read(&mut late_reply) {
            Ok(0) => true,
            Ok(_) => false,
            Err(e) => e.kind() != io::ErrorKind::WouldBlock,
        }
    }

    fn send(&mut self, request: Request, flags: u32, payload: &[u8], fds: &[RawFd]) -> Result<(), String> {
        let fail = |e: io::Error| format!("send {request:?}: {}", timeout_aware(&e));
        let message = [&message::header(request, flags, payload.len())[..], payload].concat();
        self.stream.set_write_timeout(Some(self.reply_timeout)).map_err(fail)?;
        let sent = self.stream.send_with_fds(&[&message[..]], fds).map_err(|e| fail(e.into()))?;
        // The descriptors went with the first byte.
        io::Write::write_all(&mut &self.stream, message.get(sent..).unwrap_or_default()).map_err(fail)
    }

    fn reply_u64(&mut self, request: Request) -> Result<u64, String> {
        let (payload, _) = self.reply(request)?;
        let bytes = <[u8; 8]>::try_from(&payload[..])
            .map_err(|_| format!("reply to {request:?} has {} bytes in place of 8", payload.len()))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Receive a reply. A descriptor can only come with its first byte; more than one is an error.
    fn reply(&mut self, request: Request) -> Result<(Vec<u8>, Option<File>), String> {
        let fail = |e: io::Error| format!("receive the reply to {request:?}: {}", timeout_aware(&e));
        let deadline = Instant::now() + self.reply_timeout;
        let mut header = [0; HEADER_BYTES];
        self.limit_receive(deadline).map_err(fail)?;
        let (received, file) = self.stream.recv_with_fd(&mut header).map_err(|e| fail(e.into()))?;
        if received == 0 {
            return Err(format!("the backend closed the connection in place of a reply to {request:?}"));
        }
        // A copy, because the descriptor came without close-on-exec.
        let file = file.map(|file| file.try_clone()).transpose().map_err(fail)?;
        self.receive(header.get_mut(received..).unwrap_or_default(), deadline).map_err(fail)?;
        let mut payload = [0; MAX_REPLY_BYTES];
        let payload = &mut payload[..message::reply_size(request, &header)?];
        self.receive(payload, deadline).map_err(fail)?;
        Ok((payload.to_vec(), file))
    }

    fn receive(&self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            self.limit_receive(deadline)?;
            match (&self.stream).read(buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    fn limit_receive(&self, deadline: Instant) -> io::Result<()> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.stream.set_read_timeout(Some(remaining))
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

/// A timeout on a socket shows as "would block", which tells an operator nothing.
fn timeout_aware(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "the backend does not answer in time".into(),
        _ => error.to_string(),
    }
}
