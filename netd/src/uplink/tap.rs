//! A TAP interface made by this process, and its address and routes on the host's side.
#![allow(unsafe_code)]

use crate::error::DaemonError;
use hive_packet::MacAddr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

/// Longest frame read from the host: the interface's largest MTU and an Ethernet header.
pub const MAX_FRAME_BYTES: usize = 9216 + 14;

const TUNSETIFF: libc::Ioctl = 0x4004_54ca;

#[derive(Debug)]
pub struct Tap {
    name: String,
    file: File,
    /// Any socket will do for the interface ioctls.
    control: OwnedFd,
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

fn zeroed_request(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The configuration allows at most IFNAMSIZ - 1 bytes, so that the name stays terminated.
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *slot = byte as libc::c_char;
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut bytes = [0 as libc::c_char; 14];
    // Behind the family of a sockaddr_in: two bytes of port, four of address.
    for (slot, octet) in bytes[2..6].iter_mut().zip(address.octets()) {
        *slot = octet as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: bytes }
}

impl Tap {
    /// Creates the interface; it goes away with this process.
    pub fn create(name: &str) -> Result<Self, DaemonError> {
        let failed = |action| move |source| DaemonError::Uplink { name: name.to_owned(), action, source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(failed("open /dev/net/tun"))?;
        let mut request = zeroed_request(name);
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
        let created = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
        if created < 0 {
            return Err(failed("create the TAP (CAP_NET_ADMIN is needed)")(io::Error::last_os_error()));
        }
        // SAFETY: a new descriptor, owned from here on.
        let control = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if control < 0 {
            return Err(failed("open a control socket")(io::Error::last_os_error()));
        }
        // SAFETY: as above.
        let control = unsafe { OwnedFd::from_raw_fd(control) };
        Ok(Self { name: name.to_owned(), file, control })
    }

    fn ioctl(
        &self,
        action: &'static str,
        request: libc::Ioctl,
        fill: impl FnOnce(&mut libc::ifreq),
    ) -> Result<(), DaemonError> {
        let mut argument = zeroed_request(&self.name);
        fill(&mut argument);
        // SAFETY: the interface ioctls used here take one ifreq, which outlives the call.
        if unsafe { libc::ioctl(self.control.as_raw_fd(), request, &raw mut argument) } < 0 {
            let source = io::Error::last_os_error();
            return Err(DaemonError::Uplink { name: self.name.clone(), action, source });
        }
        Ok(())
    }

    /// Sets the host's MAC, address and MTU, and brings the interface up.
    pub fn configure(&self, mac: MacAddr, address: Ipv4Addr, prefix_len: u8, mtu: u16) -> Result<(), DaemonError> {
        let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0));
        self.ioctl("set its MAC", libc::SIOCSIFHWADDR, |request| {
            let mut data = [0 as libc::c_char; 14];
            for (slot, octet) in data.iter_mut().zip(mac.0) {
                *slot = octet as libc::c_char;
            }
            request.ifr_ifru.ifru_hwaddr = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: data };
        })?;
        self.ioctl("set its MTU", libc::SIOCSIFMTU, |request| request.ifr_ifru.ifru_mtu = mtu.into())?;
        self.ioctl("set its address", libc::SIOCSIFADDR, |request| {
            request.ifr_ifru.ifru_addr = socket_address(address);
        })?;
        self.ioctl("set its netmask", libc::SIOCSIFNETMASK, |request| {
            request.ifr_ifru.ifru_netmask = socket_address(mask);
        })?;
        self.ioctl("bring it up", libc::SIOCSIFFLAGS, |request| {
            request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        })
    }

    /// Routes a subnet to the interface.
    pub fn add_route(&self, network: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
        match self.route(libc::SIOCADDRT, network, mask) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    pub fn delete_route(&self, network: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
        self.route(libc::SIOCDELRT, network, mask)
    }

    fn route(&self, request: libc::Ioctl, network: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
        let mut name = zeroed_request(&self.name).ifr_name;
        // SAFETY: rtentry is plain data for which all zeroes are valid.
        let mut entry: libc::rtentry = unsafe { std::mem::zeroed() };
        entry.rt_dst = socket_address(network);
        entry.rt_genmask = socket_address(mask);
        entry.rt_flags = libc::RTF_UP as libc::c_ushort;
        entry.rt_dev = name.as_mut_ptr();
        // SAFETY: the kernel reads one rtentry and the name it points to; both outlive the call.
        if unsafe { libc::ioctl(self.control.as_raw_fd(), request, &raw mut entry) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Reads the next frame from the host; None when there is none now.
    pub fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        (&self.file).read(buffer).ok().filter(|length| *length > 0)
    }

    /// Hands a frame to the host; false when it does not take it.
    pub fn write(&self, frame: &[u8]) -> bool {
        (&self.file).write(frame).is_ok_and(|written| written == frame.len())
    }
}
