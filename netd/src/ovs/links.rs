//! Word of the kernel that links have changed (rtnetlink(7)): a bond's other member takes over at once.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// RTMGRP_LINK
const GROUP_LINK: u32 = 1;
/// What is said is not read, so that nothing is lost if it is long.
const MESSAGE_BYTES: usize = 8192;
/// What follows so soon is told together.
const GATHER: Duration = Duration::from_millis(10);

/// The links of this thread's network namespace.
#[derive(Debug)]
pub(super) struct LinkWatch(OwnedFd);

impl LinkWatch {
    pub fn open() -> io::Result<Self> {
        // Protocol 0 is NETLINK_ROUTE.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUP_LINK))?;
        Ok(Self(socket))
    }

    /// Waits for something to change.
    pub fn wait(&self) -> io::Result<()> {
        let mut bytes = vec![0; MESSAGE_BYTES];
        match rustix::net::recv(&self.0, bytes.as_mut_slice(), RecvFlags::TRUNC) {
            // Words were lost: something has changed.
            Ok(_) | Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => {
                // Links come and go in flocks.
                std::thread::sleep(GATHER);
                while rustix::net::recv(&self.0, bytes.as_mut_slice(), RecvFlags::DONTWAIT).is_ok() {}
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
