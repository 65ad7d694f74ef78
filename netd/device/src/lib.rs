//! Devices of the host as ports of a switch: TAP and internal devices, packet sockets, UDP tunnels.
//!
//! A device moves frames in and out of private memory. Frames carry a virtio-net header, so that checksums and segmentation can be
//! left to whoever gets them; a device that cannot pass that on completes them itself.
//!
//! | port | device |
//! |---|---|
//! | `tap`, `internal` | [`Tap`]: made with the port |
//! | `system` | [`PacketDevice`]: a packet socket on what is there |
//! | `afxdp` | [`XdpDevice`]: AF_XDP sockets on what is there |
//! | `geneve`, `vxlan` | [`tunnel::TunnelPort`]: UDP sockets of the host |
#![deny(unsafe_code)]

mod control;
mod intake;
mod link;
mod mmsg;
mod packet;
mod sys;
mod tap;
pub mod tunnel;
mod xdp;

pub use link::Link;
pub use packet::PacketDevice;
pub use tap::Tap;
pub use xdp::{QUEUES_MAX as XDP_QUEUES_MAX, XdpDevice, XdpError, XdpMode, XdpOptions, XdpUse};

use hive_flow::Key;
use hive_packet::VnetHeader;
use hive_program::Tunnel;
use std::io;
use std::os::fd::BorrowedFd;

/// A frame that came in.
#[derive(Debug)]
pub struct Received<'a> {
    pub header: VnetHeader,
    pub frame: &'a mut [u8],
    /// What is known beside its bytes: the tunnel it came by. The switch sets the port.
    pub metadata: &'a Key,
}

/// A frame that goes out, in pieces that follow each other; the first holds all headers that were parsed.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    pub header: VnetHeader,
    pub pieces: &'a [&'a [u8]],
    /// For tunnel devices.
    pub tunnel: Option<&'a Tunnel>,
}

/// Counted since the device was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub rx_dropped: u64,
    pub rx_errors: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_dropped: u64,
    pub tx_errors: u64,
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub mac: Option<[u8; 6]>,
    pub mtu: Option<u32>,
    /// Administrative and link state.
    pub up: bool,
    pub link: bool,
    pub ifindex: Option<u32>,
    /// 0: unknown.
    pub speed_mbps: u64,
    pub counters: Counters,
}

/// A device that one worker owns. Nothing here waits.
pub trait Device: Send {
    /// Readable when there is something to receive; None: only transmits.
    fn wake_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Gives at most `frames_max` frames to `take`, and says how many there were: fewer means that there are no more for now. Work for what
    /// is not given counts too: who floods a device with what it drops holds up no other.
    ///
    /// # Errors
    /// The device is gone, or broken for good.
    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize>;

    /// Puts a frame into the batch that goes out; false if it was dropped, which is counted.
    fn send(&mut self, frame: Sent<'_>) -> bool;

    /// Sends the batch.
    fn flush(&mut self);

    /// Without waiting, from what is cheap to know; may be called often.
    fn status(&self) -> Status;

    /// Those of [`Self::status`]. A device that asks the system for the rest has them without.
    fn counters(&self) -> Counters {
        self.status().counters
    }
}
