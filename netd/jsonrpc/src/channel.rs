//! Messages over a non-blocking stream.

use crate::message::{Message, MessageError};
use crate::splitter::{Limits, SplitError, Splitter};
use std::io::{ErrorKind, Read, Write};

/// Read at once: a burst of small messages, or a piece of a large one.
const READ_BYTES: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("cannot {action}: {source}")]
    Io { action: &'static str, source: std::io::Error },
    #[error(transparent)]
    Split(#[from] SplitError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the peer has not taken {0} bytes, and gets no more")]
    OutputFull(usize),
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The peer will send no more.
    End,
}

/// A stream with what was read of it and what is to be written to it, both bounded.
#[derive(Debug)]
pub struct Channel<S> {
    stream: S,
    input: Splitter,
    output: Vec<u8>,
    written: usize,
    output_limit: usize,
}

impl<S: Read + Write> Channel<S> {
    /// `stream` must be non-blocking. `output_limit` bounds, in bytes, what may wait for a slow peer.
    pub fn new(stream: S, limits: Limits, output_limit: usize) -> Self {
        Self { stream, input: Splitter::new(limits), output: Vec::new(), written: 0, output_limit }
    }

    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Bytes that wait to be written.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.written
    }

    /// Whether a part of a message was received.
    pub fn is_inside_message(&self) -> bool {
        self.input.is_inside()
    }

    /// Reads once. The caller then takes every message that came, before it reads again.
    pub fn receive(&mut self) -> Result<Received, ChannelError> {
        let mut bytes = vec![0; READ_BYTES];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(Received::End),
                Ok(read) => {
                    self.input.push(bytes.get(..read).unwrap_or_default());
                    return Ok(Received::Bytes(read));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(ChannelError::Io { action: "receive", source }),
            }
        }
    }

    /// The next message of those received.
    pub fn take(&mut self) -> Result<Option<Message>, ChannelError> {
        match self.input.next_text()? {
            Some(text) => Ok(Some(Message::parse(text)?)),
            None => Ok(None),
        }
    }

    /// Puts a message behind those that wait to be written.
    pub fn send(&mut self, message: &Message) -> Result<(), ChannelError> {
        let bytes = message.to_bytes();
        if self.unsent() + bytes.len() > self.output_limit {
            return Err(ChannelError::OutputFull(self.unsent()));
        }
        self.output.drain(..self.written);
        self.written = 0;
        self.output.extend_from_slice(&bytes);
        Ok(())
    }

    /// Writes as much as the peer takes now; says whether it took anything.
    pub fn flush(&mut self) -> Result<bool, ChannelError> {
        let before = self.written;
        loop {
            let rest = self.output.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                let any = self.written > before;
                self.output = Vec::new();
                self.written = 0;
                return Ok(any);
            }
            match self.stream.write(rest) {
                Ok(0) => {
                    return Err(ChannelError::Io { action: "send", source: ErrorKind::WriteZero.into() });
                }
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.written > before),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(ChannelError::Io { action: "send", source }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::net::UnixStream;

    const LIMITS: Limits = Limits { message_bytes: 1 << 20, values: 1000, objects: 100 };

    fn pair() -> (Channel<UnixStream>, Channel<UnixStream>) {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        (Channel::new(a, LIMITS, 1 << 20), Channel::new(b, LIMITS, 1 << 20))
    }

    #[test]
    fn a_message_larger_than_the_socket_comes_through() {
        let (mut a, mut b) = pair();
        let message = Message::Notification { method: "m".into(), params: vec![json!("x".repeat(900_000))] };
        a.send(&message).unwrap();
        assert!(matches!(a.send(&message), Err(ChannelError::OutputFull(_))));
        loop {
            a.flush().unwrap();
            b.receive().unwrap();
            if let Some(got) = b.take().unwrap() {
                assert_eq!(got, message);
                break;
            }
        }
        assert_eq!(a.unsent(), 0);
        drop(a);
        assert_eq!(b.receive().unwrap(), Received::End);
    }

    #[test]
    fn one_read_may_bring_many_messages() {
        let (mut a, mut b) = pair();
        for n in 0..100 {
            a.send(&Message::Request { id: json!(n), method: "echo".into(), params: vec![] }).unwrap();
        }
        a.flush().unwrap();
        b.receive().unwrap();
        let ids: Vec<Message> = std::iter::from_fn(|| b.take().unwrap()).collect();
        assert_eq!(ids.len(), 100);
        assert_eq!(b.receive().unwrap(), Received::Nothing);
    }
}
