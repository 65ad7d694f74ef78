//! An interface of the host: its address, its state.

use crate::sys::{self, InterfaceRequest};
use crate::{Counters, Status};
use std::io;
use std::os::fd::OwnedFd;

/// An interface by its name; it may go away.
#[derive(Debug)]
pub struct Link {
    name: String,
    ifindex: u32,
    /// Any socket will do for interface requests; it is of the network namespace of whoever opened it.
    socket: OwnedFd,
}

impl Link {
    /// The interface of that name in the thread's network namespace.
    ///
    /// # Errors
    /// There is none (ENODEV).
    pub fn open(name: &str) -> io::Result<Self> {
        let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM)?;
        let mut link = Self { name: name.to_owned(), ifindex: 0, socket };
        link.ifindex = u32::try_from(link.ask(libc::SIOCGIFINDEX)?.i32()).map_err(|_| io::ErrorKind::NotFound)?;
        Ok(link)
    }

    fn ask(&self, code: libc::Ioctl) -> io::Result<InterfaceRequest> {
        let mut request = InterfaceRequest::new(&self.name)?;
        sys::interface_ioctl(&self.socket, code, &mut request)?;
        Ok(request)
    }

    fn tell(&self, code: libc::Ioctl, data: &[u8]) -> io::Result<()> {
        let mut request = InterfaceRequest::new(&self.name)?;
        request.put(data);
        sys::interface_ioctl(&self.socket, code, &mut request)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Whether the name still is that interface's.
    pub fn is_there(&self) -> bool {
        self.ask(libc::SIOCGIFINDEX).is_ok_and(|request| u32::try_from(request.i32()) == Ok(self.ifindex))
    }

    /// # Errors
    /// The interface is gone, or does not take it.
    pub fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        let [low, high] = libc::ARPHRD_ETHER.to_ne_bytes();
        let mut data = [low, high, 0, 0, 0, 0, 0, 0];
        data[2..].copy_from_slice(&mac);
        self.tell(libc::SIOCSIFHWADDR, &data)
    }

    /// # Errors
    /// As [`Self::set_mac`].
    pub fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        let mtu = i32::try_from(mtu).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.tell(libc::SIOCSIFMTU, &mtu.to_ne_bytes())
    }

    /// # Errors
    /// As [`Self::set_mac`].
    pub fn set_up(&self, up: bool) -> io::Result<()> {
        let flags = self.ask(libc::SIOCGIFFLAGS)?.i16();
        let wanted = if up { flags | libc::IFF_UP as i16 } else { flags & !(libc::IFF_UP as i16) };
        if wanted == flags { Ok(()) } else { self.tell(libc::SIOCSIFFLAGS, &wanted.to_ne_bytes()) }
    }

    /// Everything of [`Status`] that the interface knows; of one that is gone, nothing.
    pub fn status(&self, counters: Counters) -> Status {
        let mut status = Status { counters, ..Status::default() };
        if !self.is_there() {
            return status;
        }
        status.ifindex = Some(self.ifindex);
        status.mac = self.ask(libc::SIOCGIFHWADDR).ok().and_then(|request| {
            let mac = request.data.get(2..8)?;
            mac.first_chunk().copied()
        });
        status.mtu = self.ask(libc::SIOCGIFMTU).ok().and_then(|request| u32::try_from(request.i32()).ok());
        let flags = self.ask(libc::SIOCGIFFLAGS).map_or(0, |request| i32::from(request.i16()));
        status.up = flags & libc::IFF_UP != 0;
        status.link = flags & libc::IFF_RUNNING != 0;
        status.speed_mbps = sys::link_speed(&self.socket, &self.name).unwrap_or(0);
        status
    }
}
