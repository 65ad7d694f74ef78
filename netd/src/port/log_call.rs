//! SET_LOG_FD (vhost-user, request 7): a descriptor that is told when something was written to the log. The library that reads the
//! other requests refuses this one, so it is taken off the socket before.

use rustix::cmsg_space;
use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use vhost::vhost_user::{Error, Result};

const SET_LOG_FD: u32 = 7;
/// Request, flags and size of the payload, each of 32 bits.
const HEADER_BYTES: usize = 12;
const VERSION_MASK: u32 = 3;
const VERSION: u32 = 1;
const REPLY: u32 = 4;
const NEED_REPLY: u32 = 8;

/// The request, read.
#[derive(Debug)]
pub(super) struct Request {
    pub call: File,
    pub wants_reply: bool,
}

/// Waits for the next request, and takes it when it is SET_LOG_FD. None: another one, or the connection's end.
pub(super) fn take(socket: &UnixStream) -> Result<Option<Request>> {
    let mut code = [0; 4];
    // Without room for descriptors, they stay with the request.
    match retry_on_intr(|| recv(socket, &mut code[..], RecvFlags::PEEK)) {
        Ok((_, 4)) if u32::from_ne_bytes(code) == SET_LOG_FD => {}
        _ => return Ok(None),
    }
    let mut header = [0; HEADER_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut header)], &mut control, RecvFlags::CMSG_CLOEXEC));
    let received = received.map_err(|error| Error::SocketBroken(error.into()))?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            files.extend(descriptors.map(File::from));
        }
    }
    let word = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    let (flags, size) = (word(4), word(8));
    if received.bytes != HEADER_BYTES || size != 0 || flags & (VERSION_MASK | REPLY) != VERSION {
        return Err(Error::InvalidMessage);
    }
    match (files.pop(), files.is_empty()) {
        (Some(call), true) => Ok(Some(Request { call, wants_reply: flags & NEED_REPLY != 0 })),
        _ => Err(Error::IncorrectFds),
    }
}

/// Answers when an answer is wanted (VHOST_USER_PROTOCOL_F_REPLY_ACK), and passes the result on.
pub(super) fn acknowledge(mut socket: &UnixStream, wanted: bool, result: Result<()>) -> Result<()> {
    if wanted {
        let mut reply = Vec::with_capacity(HEADER_BYTES + 8);
        for word in [SET_LOG_FD, VERSION | REPLY, 8] {
            reply.extend_from_slice(&word.to_ne_bytes());
        }
        reply.extend_from_slice(&u64::from(result.is_err()).to_ne_bytes());
        socket.write_all(&reply).map_err(Error::SocketBroken)?;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::io::{IoSlice, Read};
    use std::os::fd::AsFd;

    /// What is taken of a message with so many descriptors, and how many of its bytes are left.
    fn taken(words: [u32; 3], descriptors: usize) -> (Result<Option<Request>>, usize) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let bytes = words.map(u32::to_ne_bytes).concat();
        let null = File::open("/dev/null").unwrap();
        let descriptors = vec![null.as_fd(); descriptors];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        }
        sendmsg(&theirs, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty()).unwrap();
        drop(theirs);
        let taken = take(&ours);
        let mut left = Vec::new();
        (&ours).read_to_end(&mut left).unwrap();
        (taken, left.len())
    }

    #[test]
    fn the_request_is_taken_and_others_are_left() {
        let (request, left) = taken([7, 1, 0], 1);
        assert!(!request.unwrap().unwrap().wants_reply);
        assert_eq!(left, 0);
        assert!(taken([7, 1 | 8, 0], 1).0.unwrap().unwrap().wants_reply);
        let (other, left) = taken([6, 1, 0], 1);
        assert!(other.unwrap().is_none());
        assert_eq!(left, 12);
    }

    #[test]
    fn malformed_requests_end_the_connection() {
        for (words, descriptors) in [([7, 1, 0], 0), ([7, 1, 0], 2), ([7, 1, 0], 3), ([7, 1, 8], 1), ([7, 2, 0], 1)] {
            assert!(taken(words, descriptors).0.is_err(), "{words:?} with {descriptors}");
        }
        assert!(taken([7, 1 | 4, 0], 1).0.is_err(), "a reply");
        // A request in pieces is left to the library, which refuses it too.
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs).write_all(&[7, 0]).unwrap();
        assert!(take(&ours).unwrap().is_none());
        drop(theirs);
        assert!(take(&ours).unwrap().is_none(), "what came is still there");
    }
}
