//! An interface of the host: its address, its state.

use crate::sys::{self, InterfaceRequest};
use crate::{Counters, Status};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What an interface is known by.
#[derive(Debug)]
enum Known {
    /// In the namespace where it was opened.
    Name(String),
    /// Whatever it is called, and wherever it was moved to.
    Tun {
        tun: File,
        /// The namespace where it was opened. None: the kernel does not say (before 5.2), so it is taken not to move.
        home: Option<u64>,
    },
}

/// An interface of the host; it may go away.
#[derive(Debug)]
pub struct Link {
    known: Known,
    ifindex: u32,
    /// Any socket will do for interface requests; it is of the network namespace of whoever opened it. There is none of a namespace
    /// that a device was moved to: it would keep that from going.
    socket: OwnedFd,
}

/// Where an interface is.
enum Place<'a> {
    Here(Asker<'a>),
    /// In another namespace, where only its descriptor reaches it.
    Elsewhere(&'a File),
}

/// Asks and tells what `ioctl` of `fd` can.
struct Asker<'a> {
    fd: BorrowedFd<'a>,
    name: InterfaceRequest,
}

impl Asker<'_> {
    fn ask(&self, code: libc::Ioctl) -> io::Result<InterfaceRequest> {
        let mut request = self.name;
        sys::interface_ioctl(self.fd, code, &mut request)?;
        Ok(request)
    }

    fn tell(&self, code: libc::Ioctl, data: &[u8]) -> io::Result<()> {
        let mut request = self.name;
        request.put(data);
        sys::interface_ioctl(self.fd, code, &mut request)
    }

    fn ifindex(&self) -> io::Result<u32> {
        let ifindex = self.ask(libc::SIOCGIFINDEX)?.i32();
        u32::try_from(ifindex).map_err(|_| io::ErrorKind::NotFound.into())
    }

    fn mac(&self) -> Option<[u8; 6]> {
        self.ask(libc::SIOCGIFHWADDR).ok()?.data.get(2..8)?.first_chunk().copied()
    }
}

fn namespace_of(tun: &File) -> Option<u64> {
    let namespace = sys::tun_namespace(tun).ok()?;
    Some(rustix::fs::fstat(namespace).ok()?.st_ino)
}

impl Link {
    /// The interface of that name in the thread's network namespace.
    ///
    /// # Errors
    /// There is none (ENODEV).
    pub fn open(name: &str) -> io::Result<Self> {
        Self::known(Known::Name(name.to_owned()))
    }

    /// The device of a TUN descriptor, which lives as long as this does. It may be renamed, and moved to another network namespace.
    ///
    /// # Errors
    /// The device is gone.
    pub(crate) fn of_tun(tun: File) -> io::Result<Self> {
        let home = namespace_of(&tun);
        Self::known(Known::Tun { tun, home })
    }

    fn known(known: Known) -> io::Result<Self> {
        let mut link = Self { known, ifindex: 0, socket: sys::socket(libc::AF_INET, libc::SOCK_DGRAM)? };
        link.ifindex = match link.place()? {
            Place::Here(asker) => asker.ifindex()?,
            Place::Elsewhere(_) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(link)
    }

    fn place(&self) -> io::Result<Place<'_>> {
        let name = match &self.known {
            Known::Name(name) => InterfaceRequest::new(name)?,
            Known::Tun { tun, home } if home.is_some() && namespace_of(tun) != *home => {
                InterfaceRequest::of_tun(tun)?;
                return Ok(Place::Elsewhere(tun));
            }
            Known::Tun { tun, .. } => InterfaceRequest::of_tun(tun)?,
        };
        Ok(Place::Here(Asker { fd: self.socket.as_fd(), name }))
    }

    /// For what a TUN descriptor takes as well as any socket: of its device, wherever that is.
    fn address_asker(&self) -> io::Result<Asker<'_>> {
        match &self.known {
            Known::Name(name) => Ok(Asker { fd: self.socket.as_fd(), name: InterfaceRequest::new(name)? }),
            Known::Tun { tun, .. } => Ok(Asker { fd: tun.as_fd(), name: InterfaceRequest::of_tun(tun)? }),
        }
    }

    fn asker(&self) -> io::Result<Asker<'_>> {
        match self.place()? {
            Place::Here(asker) => Ok(asker),
            Place::Elsewhere(_) => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        }
    }

    /// When it was opened.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Whether it still is that interface.
    pub fn is_there(&self) -> bool {
        match &self.known {
            Known::Name(_) => self.asker().and_then(|asker| asker.ifindex()).is_ok_and(|index| index == self.ifindex),
            Known::Tun { tun, .. } => InterfaceRequest::of_tun(tun).is_ok(),
        }
    }

    /// # Errors
    /// The interface is gone, or does not take it.
    pub fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        let [low, high] = libc::ARPHRD_ETHER.to_ne_bytes();
        let mut data = [low, high, 0, 0, 0, 0, 0, 0];
        data[2..].copy_from_slice(&mac);
        self.address_asker()?.tell(libc::SIOCSIFHWADDR, &data)
    }

    /// # Errors
    /// As [`Self::set_mac`], or it is in another namespace.
    pub fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        let mtu = i32::try_from(mtu).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.asker()?.tell(libc::SIOCSIFMTU, &mtu.to_ne_bytes())
    }

    /// # Errors
    /// As [`Self::set_mtu`].
    pub fn set_up(&self, up: bool) -> io::Result<()> {
        let asker = self.asker()?;
        let flags = asker.ask(libc::SIOCGIFFLAGS)?.i16();
        let wanted = if up { flags | libc::IFF_UP as i16 } else { flags & !(libc::IFF_UP as i16) };
        if wanted == flags { Ok(()) } else { asker.tell(libc::SIOCSIFFLAGS, &wanted.to_ne_bytes()) }
    }

    /// Queues that it receives by; None: its driver does not say.
    pub(crate) fn rx_queues(&self) -> Option<u32> {
        sys::rx_queues(&self.socket, self.asker().ok()?.name)
    }

    /// Everything of [`Status`] that the interface knows; of one that is gone, nothing.
    pub fn status(&self, counters: Counters) -> Status {
        let mut status = Status { counters, ..Status::default() };
        match self.place() {
            Ok(Place::Here(asker)) => self.status_here(&asker, &mut status),
            // Its address, and whether it takes frames, which it does when it is up.
            Ok(Place::Elsewhere(tun)) => {
                status.mac = self.address_asker().ok().and_then(|asker| asker.mac());
                let mut events = [PollFd::new(tun, PollFlags::OUT)];
                status.up = rustix::event::poll(&mut events, Some(&Timespec::default())).is_ok_and(|count| count > 0)
                    && events[0].revents().contains(PollFlags::OUT);
                status.link = status.up;
            }
            Err(_) => {}
        }
        status
    }

    fn status_here(&self, asker: &Asker<'_>, status: &mut Status) {
        // Another one may have its name; a TUN descriptor's device may have another index when it comes back.
        let ifindex = asker.ifindex().ok();
        status.ifindex = ifindex.filter(|index| *index == self.ifindex || matches!(self.known, Known::Tun { .. }));
        if status.ifindex.is_none() {
            return;
        }
        status.mac = asker.mac();
        status.mtu = asker.ask(libc::SIOCGIFMTU).ok().and_then(|request| u32::try_from(request.i32()).ok());
        let flags = asker.ask(libc::SIOCGIFFLAGS).map_or(0, |request| i32::from(request.i16()));
        status.up = flags & libc::IFF_UP != 0;
        status.link = flags & libc::IFF_RUNNING != 0;
        status.speed_mbps = sys::link_speed(&self.socket, asker.name).unwrap_or(0);
    }
}
