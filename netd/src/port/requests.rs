//! Requests that the library which reads all others refuses, taken off the socket before it: SET_LOG_FD, which it does not know, and
//! SET_VRING_ENABLE, which it takes after SET_FEATURES only. QEMU enables a network card's first rings before that.

use rustix::cmsg_space;
use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use vhost::vhost_user::{Error, Result};

const SET_LOG_FD: u32 = 7;
const SET_VRING_ENABLE: u32 = 18;
/// Request, flags and size of the payload, each of 32 bits.
const HEADER_BYTES: usize = 12;
const VERSION_MASK: u32 = 3;
const VERSION: u32 = 1;
const REPLY: u32 = 4;
const NEED_REPLY: u32 = 8;

#[derive(Debug)]
pub(super) enum Request {
    /// To be told when something was written to the log.
    SetLogFd(File),
    SetVringEnable {
        index: u32,
        enable: bool,
    },
}

/// A request, read, and how it is to be answered.
#[derive(Debug)]
pub(super) struct Taken {
    pub request: Request,
    code: u32,
    wants_reply: bool,
}

/// Waits for the next request, and takes it when it is one of these. None: another one, or the connection's end.
pub(super) fn take(mut socket: &UnixStream) -> Result<Option<Taken>> {
    let mut code = [0; 4];
    // Without room for descriptors, they stay with the request.
    let (code, payload_bytes) = match retry_on_intr(|| recv(socket, &mut code[..], RecvFlags::PEEK)) {
        Ok((_, 4)) => match u32::from_ne_bytes(code) {
            SET_LOG_FD => (SET_LOG_FD, 0),
            SET_VRING_ENABLE => (SET_VRING_ENABLE, 8),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
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
    let word = |bytes: &[u8], at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    let (flags, size) = (word(&header, 4), word(&header, 8));
    if received.bytes != HEADER_BYTES || size != payload_bytes || flags & (VERSION_MASK | REPLY) != VERSION {
        return Err(Error::InvalidMessage);
    }
    let mut payload = [0; 8];
    socket.read_exact(&mut payload[..payload_bytes as usize]).map_err(Error::SocketBroken)?;
    let request = match (code, files.pop(), files.is_empty()) {
        (SET_LOG_FD, Some(call), true) => Request::SetLogFd(call),
        (SET_VRING_ENABLE, None, _) => match (word(&payload, 0), word(&payload, 4)) {
            (index, enable @ (0 | 1)) => Request::SetVringEnable { index, enable: enable == 1 },
            _ => return Err(Error::InvalidParam),
        },
        _ => return Err(Error::IncorrectFds),
    };
    Ok(Some(Taken { request, code, wants_reply: flags & NEED_REPLY != 0 }))
}

impl Taken {
    /// Carries the request out and, where `replies` were agreed on (VHOST_USER_PROTOCOL_F_REPLY_ACK) and one is wanted, answers.
    pub fn serve(
        self,
        mut socket: &UnixStream,
        replies: bool,
        carry_out: impl FnOnce(Request) -> Result<()>,
    ) -> Result<()> {
        let result = carry_out(self.request);
        if replies && self.wants_reply {
            let mut reply = Vec::with_capacity(HEADER_BYTES + 8);
            for word in [self.code, VERSION | REPLY, 8] {
                reply.extend_from_slice(&word.to_ne_bytes());
            }
            reply.extend_from_slice(&u64::from(result.is_err()).to_ne_bytes());
            socket.write_all(&reply).map_err(Error::SocketBroken)?;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::io::IoSlice;
    use std::os::fd::AsFd;

    /// What is taken of a message with so many descriptors, and how many of its bytes are left.
    fn taken(words: &[u32], descriptors: usize) -> (Result<Option<Taken>>, usize) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
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
    fn these_requests_are_taken_and_others_are_left() {
        let (request, left) = taken(&[7, 1, 0, 99], 1);
        let request = request.unwrap().unwrap();
        assert!(matches!(request.request, Request::SetLogFd(_)) && !request.wants_reply);
        assert_eq!(left, 4, "of the next one");
        assert!(taken(&[7, 1 | 8, 0], 1).0.unwrap().unwrap().wants_reply);
        for (word, enabled) in [(0, false), (1, true)] {
            let (request, left) = taken(&[18, 1, 8, 3, word, 99], 0);
            let request = request.unwrap().unwrap().request;
            assert!(matches!(request, Request::SetVringEnable { index: 3, enable } if enable == enabled));
            assert_eq!(left, 4);
        }
        let (other, left) = taken(&[6, 1, 0], 1);
        assert!(other.unwrap().is_none());
        assert_eq!(left, 12);
    }

    #[test]
    fn malformed_requests_end_the_connection() {
        let cases: [(&[u32], usize); 11] = [
            (&[7, 1, 0], 0),
            (&[7, 1, 0], 2),
            (&[7, 1, 0], 3),
            (&[7, 1, 8, 0, 0], 1),
            (&[7, 2, 0], 1),
            (&[7, 1 | 4, 0], 1),
            (&[7, 1], 1),
            (&[18, 1, 8, 0, 1], 1),
            (&[18, 1, 8, 0, 2], 0),
            (&[18, 1, 8, 0], 0),
            (&[18, 1, 12, 0, 1, 0], 0),
        ];
        for (words, descriptors) in cases {
            assert!(taken(words, descriptors).0.is_err(), "{words:?} with {descriptors}");
        }
        // A request in pieces is left to the library, which refuses it too.
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs).write_all(&[7, 0]).unwrap();
        assert!(take(&ours).unwrap().is_none());
        drop(theirs);
        assert!(take(&ours).unwrap().is_none(), "what came is still there");
    }
}
