//! Socket options, interface requests and addresses that neither the standard library nor rustix offers.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

const DATA_BYTES: usize = 24;
const TUNGETIFF: libc::Ioctl = 0x8004_54d2;
const TUNGETDEVNETNS: libc::Ioctl = 0x54e3;

/// `struct ifreq`: the name of an interface, and what is asked or told about it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    pub data: [u8; DATA_BYTES],
}

const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());

impl InterfaceRequest {
    /// # Errors
    /// No name that an interface can have.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut request = Self { name: [0; libc::IFNAMSIZ], data: [0; DATA_BYTES] };
        // The last byte stays 0.
        let place =
            request.name.get_mut(..name.len()).filter(|place| !place.is_empty() && place.len() < libc::IFNAMSIZ);
        let place = place.filter(|_| !name.bytes().any(|byte| byte == 0 || byte == b'/' || byte.is_ascii_whitespace()));
        place.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(name.as_bytes());
        Ok(request)
    }

    /// About the device of a TUN descriptor, as it is called now (TUNGETIFF).
    ///
    /// # Errors
    /// The device is gone.
    pub fn of_tun(tun: impl AsFd) -> io::Result<Self> {
        let mut request = Self { name: [0; libc::IFNAMSIZ], data: [0; DATA_BYTES] };
        interface_ioctl(tun, TUNGETIFF, &mut request)?;
        Ok(Self { data: [0; DATA_BYTES], ..request })
    }

    pub fn i16(&self) -> i16 {
        i16::from_ne_bytes([self.data[0], self.data[1]])
    }

    pub fn i32(&self) -> i32 {
        i32::from_ne_bytes([self.data[0], self.data[1], self.data[2], self.data[3]])
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.data[..bytes.len()].copy_from_slice(bytes);
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One of the requests that take an `ifreq` without pointers in it: `SIOC[GS]IF*`, `TUN[GS]ETIFF`.
pub(crate) fn interface_ioctl(fd: impl AsFd, code: libc::Ioctl, request: &mut InterfaceRequest) -> io::Result<()> {
    // SAFETY: the kernel reads and writes one ifreq, whose layout this is and which outlives the call.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), code, std::ptr::from_mut(request)) })
}

/// A request whose argument is a pointer to an `int`: `TUNSETVNETHDRSZ`, `TUNSETVNETLE`.
pub(crate) fn int_ioctl(fd: impl AsFd, code: libc::Ioctl, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the kernel reads one int, which outlives the call.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), code, &raw const value) })
}

/// A request whose argument is a number: `TUNSETOFFLOAD`.
pub(crate) fn number_ioctl(fd: impl AsFd, code: libc::Ioctl, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), code, value) })
}

/// `struct ethtool_cmd` has this many bytes; the speed is in two halves at these places.
const ETHTOOL_CMD_BYTES: usize = 44;
const ETHTOOL_SPEED: usize = 12;
const ETHTOOL_SPEED_HIGH: usize = 28;
const ETHTOOL_GSET: u32 = 1;
const SPEED_UNKNOWN: u32 = u32::MAX;

const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// `struct ethtool_channels`: the command, then four limits and four numbers: of queues that receive, that send, others, and both ways.
const ETHTOOL_CHANNELS_BYTES: usize = 36;
const ETHTOOL_RX_COUNT: usize = 20;
const ETHTOOL_COMBINED_COUNT: usize = 32;
/// Of the commands here.
const ETHTOOL_BYTES_MAX: usize = 44;
const _: () = assert!(ETHTOOL_CMD_BYTES <= ETHTOOL_BYTES_MAX && ETHTOOL_CHANNELS_BYTES <= ETHTOOL_BYTES_MAX);

/// What the link that `request` names answers to a command of ethtool that asks, and is no longer than others here.
fn ethtool(fd: impl AsFd, mut request: InterfaceRequest, code: u32) -> Option<[u8; ETHTOOL_BYTES_MAX]> {
    #[repr(C, align(8))]
    struct Command([u8; ETHTOOL_BYTES_MAX]);
    let mut command = Command([0; ETHTOOL_BYTES_MAX]);
    command.0[..4].copy_from_slice(&code.to_ne_bytes());
    request.put(&(std::ptr::from_mut(&mut command) as usize).to_ne_bytes());
    // SAFETY: SIOCETHTOOL takes an ifreq that points to a command; ETHTOOL_GSET and ETHTOOL_GCHANNELS write one ethtool_cmd or
    // ethtool_channels there, for which there is room. Both outlive the call.
    let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    (done >= 0).then_some(command.0)
}

/// Of the link that `request` names, in Mb/s.
pub(crate) fn link_speed(fd: impl AsFd, request: InterfaceRequest) -> Option<u64> {
    let command = ethtool(fd, request, ETHTOOL_GSET)?;
    let half = |at: usize| u32::from(u16::from_ne_bytes([command[at], command[at + 1]]));
    let speed = half(ETHTOOL_SPEED_HIGH) << 16 | half(ETHTOOL_SPEED);
    (speed != SPEED_UNKNOWN && speed != 0xffff).then_some(speed.into())
}

/// Queues that the link receives by; None: its driver does not say.
pub(crate) fn rx_queues(fd: impl AsFd, request: InterfaceRequest) -> Option<u32> {
    let command = ethtool(fd, request, ETHTOOL_GCHANNELS)?;
    let word = |at: usize| u32::from_ne_bytes([command[at], command[at + 1], command[at + 2], command[at + 3]]);
    Some(word(ETHTOOL_RX_COUNT).saturating_add(word(ETHTOOL_COMBINED_COUNT)))
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// What a socket option may be: data without padding, for which all bits are valid, and without pointers through which the kernel would
/// write to memory that somebody else may have.
pub(crate) trait Plain: Copy {}
impl Plain for libc::c_int {}
impl Plain for u32 {}
impl Plain for [i32; 4] {}
impl Plain for [u64; 6] {}
impl Plain for [u64; 16] {}

/// Sets an option whose value is `value` itself.
pub(crate) fn set_option<T: Plain>(socket: impl AsFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of a value that outlives the call.
    check(unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length)
    })
}

/// An option whose value is so long; where it is shorter the rest stays as it was.
pub(crate) fn get_option<T: Plain>(socket: impl AsFd, level: i32, name: i32, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes of a value that outlives the call, and of which all bits are valid.
    check(unsafe {
        let value = (&raw mut value).cast();
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, name, value, &raw mut length)
    })?;
    Ok(value)
}

/// Has an interface take frames for others too, as long as the packet socket lives.
pub(crate) fn promiscuous(socket: impl AsFd, ifindex: u32) -> io::Result<()> {
    let ifindex = i32::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
    // struct packet_mreq: interface, type and length of an address, the address.
    let [low, high] = (libc::PACKET_MR_PROMISC as u16).to_ne_bytes();
    let request = [ifindex, i32::from_ne_bytes([low, high, 0, 0]), 0, 0];
    set_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Lets nothing into a socket that only sends.
pub(crate) fn refuse_input(socket: impl AsFd) -> io::Result<()> {
    let mut refuse = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut refuse };
    let length = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the kernel copies a program of one instruction; both outlive the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    })
}

/// The network namespace that the device of a TUN descriptor is in.
pub(crate) fn tun_namespace(tun: impl AsFd) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::ioctl(tun.as_fd().as_raw_fd(), TUNGETDEVNETNS) };
    check(fd)?;
    // SAFETY: a new descriptor, owned from here on.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A socket that does not wait.
pub(crate) fn socket(family: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    check(fd)?;
    // SAFETY: a new descriptor, owned from here on.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a packet socket to all protocols of an interface.
pub(crate) fn bind_packet(socket: impl AsFd, ifindex: u32) -> io::Result<()> {
    // SAFETY: sockaddr_ll is plain data for which all zeros are valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = i32::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel reads one address, which outlives the call.
    check(unsafe { libc::bind(socket.as_fd().as_raw_fd(), (&raw const address).cast(), length) })
}

/// Binds an AF_XDP socket to a queue of an interface. `flags`: XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP.
pub(crate) fn bind_xdp(socket: impl AsFd, ifindex: u32, queue: u32, flags: u16) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: ifindex,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel reads one address, which outlives the call.
    check(unsafe { libc::bind(socket.as_fd().as_raw_fd(), (&raw const address).cast(), length) })
}
