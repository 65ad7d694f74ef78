//! AF_XDP sockets (Documentation/networking/af_xdp.rst): `afxdp` ports, on devices that the host has already. A program of a few
//! instructions hands what comes in by the device to our sockets, before the host's stack or in its place; what goes out is put into the
//! device's queue without that stack.
//!
//! ```text
//! device - queue 0 - program (bpf) - socket 0 (socket): UMEM (memory), rings (ring) - XdpDevice (device)
//!        - queue 1 -         "       - socket 1           received only          -      "
//! ```
//!
//! Frames have no virtio-net header here: checksums are completed and large frames cut before they are sent, and whoever sends to such
//! a device must do the same. A veth's other end leaves checksums and tags to a receiver that will not see that they are missing
//! (`ethtool -K DEVICE tx off txvlan off`).

mod bpf;
mod device;
mod memory;
mod ring;
mod socket;

pub use device::XdpDevice;

use std::fmt;
use std::io;

/// Receive queues of a device that are served: as many as Open vSwitch has at most. Each holds 8 MiB.
pub const QUEUES_MAX: u32 = 16;

// include/uapi/linux/if_link.h
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Where the program runs, and who copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, which writes frames straight into our memory.
    NativeZeroCopy,
    /// In the driver; frames are copied.
    Native,
    /// In the host's stack, which has made its own of a frame by then; any device.
    Generic,
}

impl XdpMode {
    /// Best first.
    const ALL: [Self; 3] = [Self::NativeZeroCopy, Self::Native, Self::Generic];

    /// As in `options:xdp-mode`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NativeZeroCopy => "native-with-zerocopy",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    fn bind_flags(self) -> u16 {
        if self == Self::NativeZeroCopy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY }
    }

    fn attach_flags(self) -> u32 {
        if self == Self::Generic { XDP_FLAGS_SKB_MODE } else { XDP_FLAGS_DRV_MODE }
    }
}

/// How a device is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpOptions {
    /// None: the best that it has.
    pub mode: Option<XdpMode>,
    /// System calls only when the kernel says that it waits for one (XDP_USE_NEED_WAKEUP).
    pub need_wakeup: bool,
    /// The first so many receive queues; what comes by others goes to the host. None: all.
    pub queues: Option<u32>,
}

impl Default for XdpOptions {
    fn default() -> Self {
        Self { mode: None, need_wakeup: true, queues: None }
    }
}

/// How a device is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpUse {
    pub mode: XdpMode,
    pub zero_copy: bool,
    pub need_wakeup: bool,
    pub queues: u32,
}

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Promiscuous,
    Wake,
    Socket,
    Memory { bytes: usize },
    Rings,
    Bind { queue: u32 },
    Map,
    Program,
    Attach,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promiscuous => write!(f, "promiscuous mode"),
            Self::Wake => write!(f, "watching sockets"),
            Self::Socket => write!(f, "AF_XDP socket"),
            Self::Memory { bytes } => write!(f, "locking {} MiB of memory for frames", bytes >> 20),
            Self::Rings => write!(f, "rings"),
            Self::Bind { queue } => write!(f, "binding to queue {queue}"),
            Self::Map => write!(f, "map of sockets"),
            Self::Program => write!(f, "loading the XDP program"),
            Self::Attach => write!(f, "attaching the XDP program"),
        }
    }
}

/// The kernel or the driver refused a step.
#[derive(Debug)]
pub struct Refusal {
    step: Step,
    source: io::Error,
}

impl Refusal {
    /// Somebody has the device's queue, whatever the mode.
    fn is_taken(&self) -> bool {
        matches!(self.step, Step::Bind { .. }) && self.source.raw_os_error() == Some(libc::EBUSY)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.source)?;
        // What the number does not say.
        let hint = match (self.step, self.source.raw_os_error()) {
            (Step::Memory { .. }, Some(libc::ENOBUFS)) => "more than RLIMIT_MEMLOCK allows without CAP_IPC_LOCK",
            (Step::Bind { .. } | Step::Attach, Some(libc::EOPNOTSUPP)) => "the driver cannot",
            (Step::Bind { .. }, Some(libc::EBUSY)) => "another socket has it",
            (Step::Attach, Some(libc::EBUSY | libc::EEXIST)) => "another program is attached",
            (Step::Attach, Some(libc::ERANGE)) => "its MTU, or that of its peer, is too long",
            (Step::Attach, Some(libc::ENOSPC)) => "a veth's peer has more queues to send than it has to receive",
            (Step::Map | Step::Program | Step::Attach, Some(libc::EPERM)) => "without CAP_BPF and CAP_NET_ADMIN",
            _ => return Ok(()),
        };
        write!(f, ", {hint}")
    }
}

/// Why a device cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    #[error("{0}")]
    Device(#[source] io::Error),
    #[error("n_rxq is {asked}, and the device has {present} receive queues, of which at most {QUEUES_MAX} are served")]
    Queues { asked: u32, present: u32 },
    #[error("{}", list(.0))]
    Refused(Vec<(XdpMode, Refusal)>),
}

fn list(refusals: &[(XdpMode, Refusal)]) -> String {
    let each = refusals.iter().map(|(mode, refusal)| format!("{}: {refusal}", mode.name()));
    each.collect::<Vec<_>>().join("; ")
}
