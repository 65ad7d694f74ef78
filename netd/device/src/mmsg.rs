//! Many messages by one system call.
#![allow(unsafe_code)]

use crate::control;
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Messages of one call: what Open vSwitch takes at once too (NETDEV_MAX_BURST).
pub(crate) const BATCH: usize = 32;
/// Before each message: room for a VLAN tag that is put back, and what else is to be put before it.
pub(crate) const HEADROOM_BYTES: usize = 64;
/// The largest datagram, or the largest frame that the kernel makes of segments, with a virtio-net header.
const MESSAGE_BYTES: usize = 65_536 + 256;
const SLOT_BYTES: usize = HEADROOM_BYTES + MESSAGE_BYTES;
/// Of all control messages that are asked for: packet info of IPv6, class, size of segments, VLAN tag; or are sent: packet info (40), class,
/// hop limit, mark and size of segments (24 each).
pub(crate) const CONTROL_BYTES: usize = 160;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Room for what one call receives. Pages are touched when they are first used.
pub(crate) struct Receiver {
    slots: Vec<u8>,
    controls: Box<[Control; BATCH]>,
    names: Box<[libc::sockaddr_in6; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
}

/// A message as it came.
pub(crate) struct Message<'a> {
    /// With [`HEADROOM_BYTES`] before the message.
    pub slot: &'a mut [u8],
    /// Was longer than the room.
    pub cut: bool,
    pub source: Option<SocketAddr>,
    pub control: &'a [u8],
}

thread_local! {
    /// Devices of one thread take turns: a thousand of them need no room of their own.
    static RECEIVER: Cell<Option<Box<Receiver>>> = const { Cell::new(None) };
}

/// Runs `with` on the thread's receiver; inside another such call, on one of its own.
pub(crate) fn with_receiver<T>(with: impl FnOnce(&mut Receiver) -> T) -> T {
    let mut receiver = RECEIVER.take().unwrap_or_else(|| Box::new(Receiver::new()));
    let result = with(&mut receiver);
    RECEIVER.set(Some(receiver));
    result
}

impl Receiver {
    fn new() -> Self {
        // SAFETY: both are plain data for which all zeros are valid.
        let (name, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            slots: vec![0; BATCH * SLOT_BYTES],
            controls: Box::new([Control([0; CONTROL_BYTES]); BATCH]),
            names: Box::new([name; BATCH]),
            headers: Box::new([header; BATCH]),
        }
    }

    /// The room of a message, headroom included.
    pub fn slot(&mut self, index: usize) -> &mut [u8] {
        let at = index % BATCH * SLOT_BYTES;
        &mut self.slots[at..at + SLOT_BYTES]
    }

    /// Receives at most `count` messages; `begin` bytes of their beginnings lie in the headroom.
    ///
    /// # Errors
    /// Of the first message, `WouldBlock` among them.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, count: usize, begin: usize) -> io::Result<usize> {
        let count = count.min(BATCH);
        let skip = HEADROOM_BYTES - begin.min(HEADROOM_BYTES);
        // SAFETY: iovec is plain data for which all zeros are valid.
        let mut vectors: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
        for (index, vector) in vectors.iter_mut().enumerate().take(count) {
            let slot = &mut self.slot(index)[skip..];
            *vector = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = std::ptr::from_mut(vector);
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_controllen = CONTROL_BYTES;
            header.msg_flags = 0;
        }
        // SAFETY: the first `count` headers point at names, slots and controls of ours, each with its length; no two share memory, and
        // all outlive the call. MSG_DONTWAIT: no timeout is needed.
        let received = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// One of those that [`Self::receive`] counted.
    pub fn message(&mut self, index: usize, begin: usize) -> Message<'_> {
        let index = index % BATCH;
        let header = &self.headers[index];
        let length = HEADROOM_BYTES - begin.min(HEADROOM_BYTES) + header.msg_len as usize;
        let cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        let control_bytes = header.msg_hdr.msg_controllen.min(CONTROL_BYTES);
        let source = address(&self.names[index]);
        let at = index * SLOT_BYTES;
        Message {
            slot: &mut self.slots[at..at + length.min(SLOT_BYTES)],
            cut,
            source,
            control: &self.controls[index].0[..control_bytes],
        }
    }
}

fn address(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match i32::from(name.sin6_family) {
        libc::AF_INET6 => Some((Ipv6Addr::from(name.sin6_addr.s6_addr), u16::from_be(name.sin6_port)).into()),
        libc::AF_INET => {
            // sockaddr_in has the port at the same place, and the address where sockaddr_in6 has the flow label.
            let octets = name.sin6_flowinfo.to_ne_bytes();
            Some((Ipv4Addr::from(octets), u16::from_be(name.sin6_port)).into())
        }
        _ => None,
    }
}

fn name(to: SocketAddr) -> (libc::sockaddr_in6, libc::socklen_t) {
    // SAFETY: plain data for which all zeros are valid.
    let mut name: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    name.sin6_port = to.port().to_be();
    match to.ip() {
        IpAddr::V4(address) => {
            name.sin6_family = libc::AF_INET as u16;
            name.sin6_flowinfo = u32::from_ne_bytes(address.octets());
            (name, size_of::<libc::sockaddr_in>() as libc::socklen_t)
        }
        IpAddr::V6(address) => {
            name.sin6_family = libc::AF_INET6 as u16;
            name.sin6_addr.s6_addr = address.octets();
            (name, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
        }
    }
}

/// A message to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub bytes: &'a [u8],
    pub to: Option<SocketAddr>,
    /// Control messages ([`control::Writer`]).
    pub control: &'a control::Writer,
}

/// Sends messages in their order, without waiting, and calls `failed` with the index of each that did not go.
pub(crate) fn send(fd: BorrowedFd<'_>, messages: &[Outgoing<'_>], mut failed: impl FnMut(usize, &io::Error)) {
    for (chunk, first) in messages.chunks(BATCH).zip((0..).step_by(BATCH)) {
        let mut done = 0;
        while done < chunk.len() {
            match send_chunk(fd, &chunk[done..]) {
                Ok(sent) if sent > 0 => done += sent,
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever is too slow now is too slow for the rest as well.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    (first + done..messages.len()).for_each(|index| failed(index, &error));
                    return;
                }
                Err(error) => {
                    failed(first + done, &error);
                    done += 1;
                }
            }
        }
    }
}

/// As many as go before one fails; the error is the first one's.
fn send_chunk(fd: BorrowedFd<'_>, chunk: &[Outgoing<'_>]) -> io::Result<usize> {
    // SAFETY: these are plain data for which all zeros are valid.
    let (mut vectors, mut headers, mut names): (
        [libc::iovec; BATCH],
        [libc::mmsghdr; BATCH],
        [libc::sockaddr_in6; BATCH],
    ) = unsafe { std::mem::zeroed() };
    let count = chunk.len().min(BATCH);
    for (index, message) in chunk.iter().take(BATCH).enumerate() {
        // The kernel only reads what is sent.
        vectors[index] =
            libc::iovec { iov_base: message.bytes.as_ptr().cast_mut().cast(), iov_len: message.bytes.len() };
        let header = &mut headers[index].msg_hdr;
        if let Some(to) = message.to {
            let (address, length) = name(to);
            names[index] = address;
            header.msg_name = (&raw mut names[index]).cast();
            header.msg_namelen = length;
        }
        header.msg_iov = &raw mut vectors[index];
        header.msg_iovlen = 1;
        let control = message.control.bytes();
        if !control.is_empty() {
            header.msg_control = control.as_ptr().cast_mut().cast();
            header.msg_controllen = control.len();
        }
    }
    // SAFETY: the first `count` headers point at names, vectors and controls that outlive the call, each with its length; the kernel
    // reads them, and writes only the headers' lengths.
    let sent =
        unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
