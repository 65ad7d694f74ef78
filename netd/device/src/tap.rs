//! TAP devices: `tap` and `internal` ports. The device is made with the port and goes with it, whatever it is called and in whichever
//! network namespace it is by then.

use crate::intake::{HOST_HEADER_BYTES, Intake, read_header, write_header};
use crate::mmsg::{HEADROOM_BYTES, with_receiver};
use crate::sys::{self, InterfaceRequest};
use crate::{Counters, Device, Link, Received, Sent, Status};
use hive_flow::Key;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::Ioctl = 0x4004_54d8;
const TUNSETVNETLE: libc::Ioctl = 0x4004_54dc;
/// Checksums may be left to us, and segmentation of TCP over IPv4 and IPv6.
const OFFLOADS: libc::c_ulong = 0x1 | 0x2 | 0x4;
/// Pieces of a frame that go out by one call without being put together first.
const PIECES_MAX: usize = 16;

/// A TAP device.
#[derive(Debug)]
pub struct Tap {
    file: File,
    link: Arc<Link>,
    intake: Intake,
    /// The device was taken away.
    gone: bool,
}

impl Tap {
    /// Makes the device in the thread's network namespace. It is down, with an address of its own and an MTU of 1500, until
    /// [`Tap::link`] is told otherwise.
    ///
    /// # Errors
    /// The name is taken (EBUSY, or EINVAL if it is no TAP), no name at all, or the process lacks CAP_NET_ADMIN.
    pub fn create(name: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        let mut request = InterfaceRequest::new(name)?;
        let flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_TUN_EXCL) as u16;
        request.put(&flags.to_ne_bytes());
        sys::interface_ioctl(&file, TUNSETIFF, &mut request)?;
        sys::int_ioctl(&file, TUNSETVNETHDRSZ, HOST_HEADER_BYTES as libc::c_int)?;
        sys::int_ioctl(&file, TUNSETVNETLE, 1)?;
        sys::number_ioctl(&file, TUNSETOFFLOAD, OFFLOADS)?;
        let link = Arc::new(Link::of_tun(file.try_clone()?)?);
        Ok(Self { file, link, intake: Intake::default(), gone: false })
    }

    /// The device lives as long as anybody has this.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn write(&mut self, header: &[u8], pieces: &[&[u8]]) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX + 1];
        slices[0] = IoSlice::new(header);
        if pieces.len() > PIECES_MAX {
            let frame = pieces.concat();
            slices[1] = IoSlice::new(&frame);
            return self.file.write_vectored(&slices[..2]);
        }
        for (slice, piece) in slices[1..].iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        self.file.write_vectored(&slices[..=pieces.len()])
    }
}

impl Device for Tap {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        let mut budget = frames_max;
        self.intake.give(&mut budget, take);
        while budget > 0 {
            let received = with_receiver(|receiver| -> io::Result<bool> {
                let slot = receiver.slot(0);
                let length = match self.file.read(&mut slot[HEADROOM_BYTES - HOST_HEADER_BYTES..]) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    // A device that is down has nothing, and will say when it has.
                    Err(error) if error.raw_os_error() == Some(libc::EIO) => return Ok(false),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
                    Err(error) => return Err(error),
                };
                let end = (HEADROOM_BYTES - HOST_HEADER_BYTES + length).max(HEADROOM_BYTES);
                let (head, frame) = slot[..end].split_at_mut(HEADROOM_BYTES);
                if let Some(header) = head.last_chunk() {
                    self.intake.offer(read_header(header), frame, &Key::ZERO, &mut budget, take);
                }
                Ok(true)
            });
            match received {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.gone = true;
                    return Err(error);
                }
            }
        }
        Ok(frames_max - budget)
    }

    fn send(&mut self, frame: Sent<'_>) -> bool {
        let bytes: usize = frame.pieces.iter().map(|piece| piece.len()).sum();
        let sent = self.write(&write_header(frame.header), frame.pieces).is_ok();
        let counters = &mut self.intake.counters;
        if sent {
            counters.tx_packets += 1;
            counters.tx_bytes += bytes as u64;
        } else {
            counters.tx_dropped += 1;
        }
        sent
    }

    fn flush(&mut self) {}

    fn counters(&self) -> Counters {
        self.intake.counters
    }

    fn status(&self) -> Status {
        if self.gone {
            return Status { counters: self.intake.counters, ..Status::default() };
        }
        self.link.status(self.intake.counters)
    }
}
