//! One AF_XDP socket: a receive queue of a device, and of the first one a way out.

use super::memory::{CHUNK_BYTES, Chunk, Descriptor, Offsets, RingMemory, Umem};
use super::ring::{Consumer, Producer};
use super::{Refusal, Step};
use crate::sys;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries of each ring: what waits for us while we are away, at ten million frames in a second a fifth of a millisecond. As in Open
/// vSwitch.
const RING_ENTRIES: u32 = 2048;
/// System calls by which the kernel may come no further, one after the other, before frames are left to the next batch. Where it copies,
/// one call sends some tens of frames only.
const VAIN_CALLS_MAX: u32 = 4;
/// What the kernel puts before a frame that it receives (XDP_PACKET_HEADROOM).
const HEADROOM_BYTES: usize = 256;
/// The longest frame, in both ways.
pub(super) const FRAME_BYTES_MAX: usize = CHUNK_BYTES - HEADROOM_BYTES;
/// Memory of frames on their way out, in the kernel's buffers: never what keeps them waiting, as the ring holds no more.
const SEND_BUFFER_BYTES: i32 = (RING_ENTRIES as usize * 2 * CHUNK_BYTES) as i32;

/// A socket's queue is free some time after the socket was closed: the kernel lets go of it from a work queue, and when the last frame
/// that was sent by it is gone.
const CLOSING_MAX: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// When a bound socket was last closed by this process; or by the one before it, which may have ended just before the first is opened.
/// A queue that somebody else has is not waited for.
static CLOSED: LazyLock<Mutex<Instant>> = LazyLock::new(|| Mutex::new(Instant::now()));

fn closed() -> MutexGuard<'static, Instant> {
    CLOSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a socket is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub ifindex: u32,
    pub queue: u32,
    /// XDP_COPY, XDP_ZEROCOPY, XDP_USE_NEED_WAKEUP
    pub flags: u16,
    /// It sends too.
    pub sends: bool,
}

#[derive(Debug)]
struct Outlet {
    ring: Producer<Descriptor>,
    free: Vec<Chunk>,
}

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    umem: Umem,
    fill: Producer<u64>,
    received: Consumer<Descriptor>,
    completed: Consumer<u64>,
    outlet: Option<Outlet>,
    /// The kernel says in the rings when it wants a call; otherwise it always does.
    says_when: bool,
    /// It copies what is sent, and only during a call.
    copies: bool,
    bound: bool,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.bound {
            *closed() = Instant::now();
        }
    }
}

/// How far the kernel came with what is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kicked {
    /// Frames that the device did not take.
    pub dropped: u64,
    /// The device is down.
    pub is_down: bool,
}

impl Socket {
    pub fn open(place: Place) -> Result<Self, Refusal> {
        let refused = |step: Step| move |source: io::Error| Refusal { step, source };
        let fd = sys::socket(libc::AF_XDP, libc::SOCK_RAW).map_err(refused(Step::Socket))?;
        let chunks = if place.sends { 2 * RING_ENTRIES } else { RING_ENTRIES };
        let bytes = chunks as usize * CHUNK_BYTES;
        let (umem, mut free) = Umem::new(chunks).map_err(refused(Step::Memory { bytes }))?;
        umem.register(fd.as_fd()).map_err(refused(Step::Memory { bytes }))?;
        let option = |name| sys::set_option(&fd, libc::SOL_XDP, name, &RING_ENTRIES).map_err(refused(Step::Rings));
        option(libc::XDP_UMEM_FILL_RING)?;
        option(libc::XDP_UMEM_COMPLETION_RING)?;
        option(libc::XDP_RX_RING)?;
        if place.sends {
            option(libc::XDP_TX_RING)?;
            let size = SEND_BUFFER_BYTES;
            let forced = sys::set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &size);
            let set = forced.or_else(|_| sys::set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &size));
            set.map_err(refused(Step::Rings))?;
        }
        // struct xdp_mmap_offsets: of the rings for reception, sending, filling and completion, each producer, consumer, entries, flags.
        let all =
            sys::get_option(&fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, [0u64; 16]).map_err(refused(Step::Rings))?;
        let offsets = |ring: usize| Offsets {
            producer: all[4 * ring],
            consumer: all[4 * ring + 1],
            entries: all[4 * ring + 2],
            flags: all[4 * ring + 3],
        };
        let received = map(&fd, libc::XDP_PGOFF_RX_RING, offsets(0))?;
        let outlet = if place.sends { Some(map(&fd, libc::XDP_PGOFF_TX_RING, offsets(1))?) } else { None };
        let mut socket = Self {
            fill: Producer::new(map(&fd, libc::XDP_UMEM_PGOFF_FILL_RING as i64, offsets(2))?),
            completed: Consumer::new(map(&fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64, offsets(3))?),
            received: Consumer::new(received),
            says_when: place.flags & libc::XDP_USE_NEED_WAKEUP != 0,
            copies: place.flags & libc::XDP_COPY != 0,
            fd,
            umem,
            outlet: None,
            bound: false,
        };
        for chunk in free.drain(..RING_ENTRIES as usize) {
            let address = socket.umem.lend(chunk);
            socket.fill.push(address);
        }
        socket.fill.publish();
        socket.outlet = outlet.map(|memory| Outlet { ring: Producer::new(memory), free });
        socket.bind(place).map_err(refused(Step::Bind { queue: place.queue }))?;
        socket.bound = true;
        Ok(socket)
    }

    fn bind(&self, place: Place) -> io::Result<()> {
        loop {
            match sys::bind_xdp(&self.fd, place.ifindex, place.queue, place.flags) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && closed().elapsed() < CLOSING_MAX => {
                    std::thread::sleep(BUSY_PAUSE);
                }
                result => return result,
            }
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Frames lie where the device itself writes them.
    pub fn is_zero_copy(&self) -> bool {
        let options = sys::get_option(&self.fd, libc::SOL_XDP, libc::XDP_OPTIONS, 0u32).unwrap_or(0);
        options & libc::XDP_OPTIONS_ZEROCOPY != 0
    }

    /// What the device is gone by; said once.
    pub fn take_error(&self) -> Option<Errno> {
        rustix::net::sockopt::socket_error(&self.fd).ok()?.err()
    }

    /// Frames that came in and that the kernel had no chunk or no entry for, or that are longer than a chunk (XDP_STATISTICS).
    pub fn dropped(&self) -> u64 {
        // struct xdp_statistics: dropped, bad descriptors of both ways, ring full, ring to fill or send empty.
        let [dropped, _, _, full, ..] =
            sys::get_option(&self.fd, libc::SOL_XDP, libc::XDP_STATISTICS, [0u64; 6]).unwrap_or_default();
        dropped.saturating_add(full)
    }

    /// Gives at most so many frames to `take`, None for one that is not to be found, and says how many there were.
    pub fn receive(&mut self, frames_max: usize, mut take: impl FnMut(Option<&mut [u8]>)) -> usize {
        let mut count = 0;
        while count < frames_max
            && let Some(Descriptor { address, length, .. }) = self.received.pop()
        {
            count += 1;
            let Some((chunk, at)) = self.umem.take_back(address) else {
                take(None);
                continue;
            };
            take(self.umem.bytes(&chunk).get_mut(at..).and_then(|frame| frame.get_mut(..length as usize)));
            let address = self.umem.lend(chunk);
            self.fill.push(address);
        }
        if count > 0 {
            self.received.release();
            self.fill.publish();
            if self.says_when && self.fill.needs_wakeup() {
                // Whatever it says: the next one says it again.
                let _ = rustix::net::recv(&self.fd, &mut [0u8; 0][..], RecvFlags::DONTWAIT);
            }
        }
        count
    }

    /// Room for a frame that goes out, if there is some.
    pub fn reserve(&mut self) -> Option<Chunk> {
        let outlet = self.outlet.as_mut()?;
        if outlet.free.is_empty() {
            while let Some(address) = self.completed.pop() {
                outlet.free.extend(self.umem.take_back(address).map(|(chunk, _)| chunk));
            }
            self.completed.release();
        }
        outlet.free.pop()
    }

    pub fn bytes(&mut self, chunk: &Chunk) -> &mut [u8] {
        self.umem.bytes(chunk)
    }

    /// Gives back what was reserved.
    pub fn give_up(&mut self, chunk: Chunk) {
        if let Some(outlet) = &mut self.outlet {
            outlet.free.push(chunk);
        }
    }

    /// Puts the first bytes of a chunk that was reserved on their way.
    pub fn send(&mut self, chunk: Chunk, length: usize) {
        if let Some(outlet) = &mut self.outlet {
            let address = self.umem.lend(chunk);
            // There are as many chunks as entries.
            outlet.ring.push(Descriptor { address, length: length as u32, options: 0 });
        }
    }

    /// Has the kernel send what waits. What it does not come to waits for the next call.
    pub fn kick(&mut self) -> Kicked {
        let mut kicked = Kicked::default();
        let Some(outlet) = &mut self.outlet else { return kicked };
        outlet.ring.publish();
        let (mut waiting, mut in_vain) = (outlet.ring.waiting(), 0);
        while waiting > 0 && in_vain < VAIN_CALLS_MAX && (!self.says_when || outlet.ring.needs_wakeup()) {
            match rustix::net::send(&self.fd, &[], SendFlags::DONTWAIT) {
                Ok(_) | Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => {}
                // It took one from the ring, and lost it; others may follow.
                Err(Errno::BUSY) => kicked.dropped += 1,
                Err(error) => {
                    kicked.is_down = error == Errno::NETDOWN;
                    break;
                }
            }
            // A device that takes frames from our memory does so when it comes to it.
            if !self.copies {
                break;
            }
            let before = std::mem::replace(&mut waiting, outlet.ring.waiting());
            in_vain = if waiting == before { in_vain + 1 } else { 0 };
        }
        kicked
    }
}

fn map<T: super::memory::Entry>(fd: &OwnedFd, place: i64, offsets: Offsets) -> Result<RingMemory<T>, Refusal> {
    RingMemory::map(fd.as_fd(), place, offsets, RING_ENTRIES).map_err(|source| Refusal { step: Step::Rings, source })
}
