//! The load generator: two userspace virtio-net drivers, one at each side of a switch, that poll, and count what comes out.
//!
//! It spends as little on a frame as a driver can: buffers lie where they are for good, a frame is a template of which one address
//! changes, and what is received is not looked at beyond its size. So the switch is what is measured.

#![allow(unsafe_code)]

use anyhow::{Context, ensure};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{FileOffset, MmapRegion};
use vmm_sys_util::eventfd::EventFd;

/// As many as DPDK's own driver has at most with vhost.
const RING_SIZE: u16 = 1024;
const BURST: u16 = 32;
const AVAIL: usize = 0x4000;
const USED: usize = 0x5000;
const RING_BYTES: usize = 0x8000;
const BUFFER_BYTES: usize = 2048;
/// Of a receive and a transmit ring.
const PORT_BYTES: usize = 2 * (RING_BYTES + RING_SIZE as usize * BUFFER_BYTES);
const HEADER_BYTES: usize = 12;
/// VIRTIO_F_VERSION_1, VHOST_USER_F_PROTOCOL_FEATURES, VIRTIO_NET_F_MRG_RXBUF.
const FEATURES: u64 = 1 << 32 | 1 << 30 | 1 << 15;
/// VRING_AVAIL_F_NO_INTERRUPT, VRING_USED_F_NO_NOTIFY.
const NO_SIGNAL: u16 = 1;
const DESC_WRITE: u16 = 2;
/// How long a switch may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// What is on its way when sending ends arrives within this time.
const DRAIN: Duration = Duration::from_millis(200);
/// Of the UDP payload, behind Ethernet, IPv4 and UDP: when the frame was sent.
const STAMP_AT: usize = HEADER_BYTES + 14 + 20 + 8;
/// A turn of the generator takes some microseconds: after so long it was kept from running.
const AWAY: Duration = Duration::from_micros(200);
/// Latencies that are kept; a frame a sample.
const SAMPLES_MAX: usize = 4 << 20;

/// Which address changes from flow to flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vary {
    Source,
    Destination,
}

/// What one side sends: UDP over IPv4, the `flows` addresses from the first one on in turn.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub macs: ([u8; 6], [u8; 6]),
    pub source: (Ipv4Addr, u16),
    pub destination: (Ipv4Addr, u16),
    pub vary: Vary,
    pub flows: u32,
    /// With the Ethernet header, without its checksum.
    pub frame_bytes: usize,
}

impl Stream {
    /// The same connections, seen from the other side.
    pub fn reversed(self) -> Self {
        Self {
            macs: (self.macs.1, self.macs.0),
            source: self.destination,
            destination: self.source,
            vary: if self.vary == Vary::Source { Vary::Destination } else { Vary::Source },
            ..self
        }
    }

    fn template(&self) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES + self.frame_bytes];
        let ip = HEADER_BYTES + 14;
        let ip_bytes = (self.frame_bytes - 14) as u16;
        frame[HEADER_BYTES..HEADER_BYTES + 6].copy_from_slice(&self.macs.1);
        frame[HEADER_BYTES + 6..HEADER_BYTES + 12].copy_from_slice(&self.macs.0);
        frame[HEADER_BYTES + 12..ip].copy_from_slice(&[8, 0]);
        frame[ip..ip + 2].copy_from_slice(&[0x45, 0]);
        frame[ip + 2..ip + 4].copy_from_slice(&ip_bytes.to_be_bytes());
        frame[ip + 8..ip + 10].copy_from_slice(&[64, 17]);
        frame[ip + 12..ip + 16].copy_from_slice(&self.source.0.octets());
        frame[ip + 16..ip + 20].copy_from_slice(&self.destination.0.octets());
        frame[ip + 20..ip + 22].copy_from_slice(&self.source.1.to_be_bytes());
        frame[ip + 22..ip + 24].copy_from_slice(&self.destination.1.to_be_bytes());
        frame[ip + 24..ip + 26].copy_from_slice(&(ip_bytes - 20).to_be_bytes());
        frame
    }
}

/// Writes frames of a stream into buffers that hold its template.
struct Writer {
    first: u32,
    flows: u32,
    next: u32,
    address_at: usize,
    /// Of the IPv4 header, without the address that changes and without the checksum.
    sum: u32,
}

impl Writer {
    fn new(stream: &Stream, template: &[u8]) -> Self {
        let ip = HEADER_BYTES + 14;
        let (first, address_at) = match stream.vary {
            Vary::Source => (stream.source.0, ip + 12),
            Vary::Destination => (stream.destination.0, ip + 16),
        };
        let words = (ip..ip + 20).step_by(2).filter(|at| !(address_at..address_at + 4).contains(at));
        let sum = words.map(|at| u32::from(u16::from_be_bytes([template[at], template[at + 1]]))).sum();
        Self { first: first.into(), flows: stream.flows, next: 0, address_at, sum }
    }

    /// # Safety
    /// `buffer` points to a frame of the stream.
    #[inline]
    unsafe fn write(&mut self, buffer: *mut u8, stamp_ns: u64) {
        let address = self.first + self.next;
        self.next = if self.next + 1 == self.flows { 0 } else { self.next + 1 };
        let mut sum = self.sum + (address >> 16) + (address & 0xffff);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        // SAFETY: all places lie within the frame.
        unsafe {
            ptr::write_unaligned(buffer.add(self.address_at).cast(), address.to_be());
            ptr::write_unaligned(buffer.add(HEADER_BYTES + 14 + 10).cast(), (!(sum as u16)).to_be());
            ptr::write_unaligned(buffer.add(STAMP_AT).cast(), stamp_ns);
        }
    }
}

/// One virtqueue, and its buffers, each of which has the descriptor of its number.
struct Ring {
    ring: *mut u8,
    buffers: *mut u8,
    next_avail: u16,
    next_used: u16,
    /// Buffers that are ours.
    free: Vec<u16>,
    kick: EventFd,
    call: EventFd,
}

impl Ring {
    /// # Safety
    /// `at` begins [`RING_BYTES`] of zeros and the ring's buffers behind, which live as long as the ring.
    unsafe fn new(at: *mut u8) -> anyhow::Result<Self> {
        // SAFETY: within what the caller vouches for.
        let buffers = unsafe { at.add(RING_BYTES) };
        let ring = Self {
            ring: at,
            buffers,
            next_avail: 0,
            next_used: 0,
            free: (0..RING_SIZE).rev().collect(),
            kick: EventFd::new(0)?,
            call: EventFd::new(0)?,
        };
        // SAFETY: the available ring's flags.
        unsafe { ptr::write_volatile(at.add(AVAIL).cast(), NO_SIGNAL) };
        Ok(ring)
    }

    fn buffer(&self, slot: u16) -> *mut u8 {
        // SAFETY: slots are below RING_SIZE.
        unsafe { self.buffers.add(usize::from(slot % RING_SIZE) * BUFFER_BYTES) }
    }

    fn describe(&self, slot: u16, bytes: usize, flags: u16) {
        let at = usize::from(slot % RING_SIZE) * 16;
        // SAFETY: the descriptor table lies at the beginning of the ring.
        unsafe {
            ptr::write_volatile(self.ring.add(at).cast(), self.buffer(slot) as u64);
            ptr::write_volatile(self.ring.add(at + 8).cast(), bytes as u32);
            ptr::write_volatile(self.ring.add(at + 12).cast(), flags);
        }
    }

    #[inline]
    fn push(&mut self, slot: u16) {
        let at = AVAIL + 4 + 2 * usize::from(self.next_avail % RING_SIZE);
        // SAFETY: an entry of the available ring.
        unsafe { ptr::write_volatile(self.ring.add(at).cast(), slot) };
        self.next_avail = self.next_avail.wrapping_add(1);
    }

    /// Makes what was pushed visible, and wakes a switch that asks for it.
    #[inline]
    fn publish(&mut self) -> anyhow::Result<()> {
        fence(Ordering::Release);
        // SAFETY: the available ring's index, and the used ring's flags.
        let flags: u16 = unsafe {
            ptr::write_volatile(self.ring.add(AVAIL + 2).cast(), self.next_avail);
            fence(Ordering::SeqCst);
            ptr::read_volatile(self.ring.add(USED).cast())
        };
        if flags & NO_SIGNAL == 0 {
            self.kick.write(1).context("cannot kick the switch")?;
        }
        Ok(())
    }

    /// The buffers that came back, and their bytes.
    #[inline]
    fn returned(&mut self, mut each: impl FnMut(&mut Self, u16, usize)) {
        // SAFETY: the used ring's index.
        let index: u16 = unsafe { ptr::read_volatile(self.ring.add(USED + 2).cast()) };
        fence(Ordering::Acquire);
        while self.next_used != index {
            let at = USED + 4 + 8 * usize::from(self.next_used % RING_SIZE);
            // SAFETY: an entry of the used ring.
            let (slot, bytes): (u32, u32) = unsafe {
                (ptr::read_volatile(self.ring.add(at).cast()), ptr::read_volatile(self.ring.add(at + 4).cast()))
            };
            self.next_used = self.next_used.wrapping_add(1);
            each(self, slot as u16 % RING_SIZE, bytes as usize);
        }
    }
}

struct Port {
    rx: Ring,
    tx: Ring,
    _frontend: Frontend,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub seconds: f64,
    /// By side, the sender's.
    pub sent: [u64; 2],
    /// By side, the receiver's.
    pub received: [u64; 2],
    /// Received in another size than sent.
    pub strange: u64,
    /// Sorted; one way, from side to side.
    pub latencies_ns: Vec<u64>,
}

impl Outcome {
    /// Frames received in a second, in millions, both sides together.
    pub fn mpps(&self) -> f64 {
        self.received.iter().sum::<u64>() as f64 / self.seconds / 1e6
    }

    pub fn lost(&self) -> u64 {
        self.sent.iter().sum::<u64>().saturating_sub(self.received.iter().sum())
    }

    /// Below which this part of the frames took.
    pub fn latency_us(&self, part: f64) -> f64 {
        let index = (self.latencies_ns.len() as f64 * part) as usize;
        self.latencies_ns.get(index).map_or(f64::NAN, |ns| *ns as f64 / 1000.0)
    }
}

/// What one run does.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Of each side; None: it only receives.
    pub streams: [Option<Stream>; 2],
    pub duration: Duration,
    /// Of both sides together; None: as fast as the switch takes them.
    pub frames_per_second: Option<f64>,
    /// Keep how long each frame took.
    pub latency: bool,
}

/// Both drivers. The switch connects to the sockets.
pub struct Generator {
    ports: [Port; 2],
    _memory: MmapRegion,
    begun: Instant,
}

impl Generator {
    /// Listens at the sockets until the switch has connected to both.
    pub fn listen(sockets: [&Path; 2]) -> anyhow::Result<Self> {
        let bytes = 2 * PORT_BYTES;
        let file = File::from(rustix::fs::memfd_create("frames", MemfdFlags::CLOEXEC)?);
        file.set_len(bytes as u64)?;
        let memory: MmapRegion = MmapRegion::from_file(FileOffset::new(file.try_clone()?, 0), bytes)?;
        let listeners = [listener(sockets[0])?, listener(sockets[1])?];
        let mut ports = Vec::new();
        for (side, listener) in listeners.iter().enumerate() {
            // SAFETY: within the mapping, which the generator keeps.
            let at = unsafe { memory.as_ptr().add(side * PORT_BYTES) };
            // SAFETY: a port's own part of the mapping, which is new and so all zeros.
            let (rx, tx) = unsafe { (Ring::new(at)?, Ring::new(at.add(PORT_BYTES / 2))?) };
            let mut frontend = Frontend::from_stream(accept(listener)?, 2);
            start(&mut frontend, &file, &memory, &rx, &tx)
                .with_context(|| format!("the switch does not take the device of side {side}"))?;
            ports.push(Port { rx, tx, _frontend: frontend });
        }
        let Ok(mut ports) = <[Port; 2]>::try_from(ports) else { anyhow::bail!("two sides are two ports") };
        for port in &mut ports {
            while let Some(slot) = port.rx.free.pop() {
                port.rx.describe(slot, BUFFER_BYTES, DESC_WRITE);
                port.rx.push(slot);
            }
            port.rx.publish()?;
        }
        Ok(Self { ports, _memory: memory, begun: Instant::now() })
    }

    /// Sends and receives, on the thread that calls.
    pub fn run(&mut self, run: &Run) -> anyhow::Result<Outcome> {
        self.drain();
        let mut outcome = Outcome::default();
        let mut writers = [None, None];
        for (side, stream) in run.streams.iter().enumerate() {
            let Some(stream) = stream else { continue };
            ensure!(
                (64..=BUFFER_BYTES - HEADER_BYTES).contains(&stream.frame_bytes) && stream.flows > 0,
                "frames of {} bytes cannot be made",
                stream.frame_bytes
            );
            writers[side] = Some(self.prepare(side, stream)?);
        }
        let sides = writers.iter().flatten().count().max(1) as f64;
        let expected = run.streams.iter().flatten().map(|stream| HEADER_BYTES + stream.frame_bytes).next().unwrap_or(0);
        let start = Instant::now();
        let end = start + run.duration;
        let mut now = start;
        // What it would have sent while it was kept from running is not made up for: at the most that the switch takes, frames would
        // wait in full rings, and that was measured. What the switch did not take stays due.
        let mut away = Duration::ZERO;
        while now < end {
            let due = run.frames_per_second.map(|rate| (rate / sides * (now - start - away).as_secs_f64()) as u64);
            let stamp_ns = (now - self.begun).as_nanos() as u64;
            for (side, writer) in writers.iter_mut().enumerate() {
                let Some(writer) = writer else { continue };
                let room = due.map_or(u64::from(BURST), |due| due.saturating_sub(outcome.sent[side]));
                outcome.sent[side] += self.send(side, room.min(BURST.into()) as u16, writer, stamp_ns)?;
            }
            for side in 0..2 {
                self.receive(side, expected, run.latency, &mut outcome)?;
            }
            let turn = now.elapsed();
            now += turn;
            if turn > AWAY {
                away += turn;
            }
        }
        outcome.seconds = start.elapsed().as_secs_f64();
        let end = Instant::now() + DRAIN;
        // The rate is that of the time of sending; what still comes counts only against loss.
        let in_time = outcome.received;
        while Instant::now() < end {
            for side in 0..2 {
                self.receive(side, expected, run.latency, &mut outcome)?;
            }
        }
        if run.frames_per_second.is_none() {
            outcome.received = in_time;
        }
        outcome.latencies_ns.sort_unstable();
        Ok(outcome)
    }

    /// Lets what is left of an earlier run arrive.
    fn drain(&mut self) {
        let end = Instant::now() + DRAIN / 2;
        let mut outcome = Outcome::default();
        while Instant::now() < end {
            for side in 0..2 {
                let _ = self.receive(side, 0, false, &mut outcome);
            }
        }
    }

    /// Puts the template into all buffers of a side.
    fn prepare(&mut self, side: usize, stream: &Stream) -> anyhow::Result<Writer> {
        let tx = &mut self.ports[side].tx;
        tx.returned(|ring, slot, _| ring.free.push(slot));
        ensure!(
            tx.free.len() == usize::from(RING_SIZE),
            "the switch keeps {} frames",
            usize::from(RING_SIZE) - tx.free.len()
        );
        let template = stream.template();
        for slot in 0..RING_SIZE {
            // SAFETY: a template is shorter than a buffer, and the switch has none of them.
            unsafe { ptr::copy_nonoverlapping(template.as_ptr(), tx.buffer(slot), template.len()) };
            tx.describe(slot, template.len(), 0);
        }
        Ok(Writer::new(stream, &template))
    }

    #[inline]
    fn send(&mut self, side: usize, most: u16, writer: &mut Writer, stamp_ns: u64) -> anyhow::Result<u64> {
        let tx = &mut self.ports[side].tx;
        tx.returned(|ring, slot, _| ring.free.push(slot));
        let mut sent = 0;
        while sent < u64::from(most)
            && let Some(slot) = tx.free.pop()
        {
            // SAFETY: the buffer holds the stream's template.
            unsafe { writer.write(tx.buffer(slot), stamp_ns) };
            tx.push(slot);
            sent += 1;
        }
        if sent > 0 {
            tx.publish()?;
        }
        Ok(sent)
    }

    #[inline]
    fn receive(&mut self, side: usize, expected: usize, latency: bool, outcome: &mut Outcome) -> anyhow::Result<()> {
        let begun = self.begun;
        let rx = &mut self.ports[side].rx;
        let before = outcome.received[side];
        let mut now_ns = None;
        rx.returned(|ring, slot, bytes| {
            outcome.received[side] += 1;
            outcome.strange += u64::from(bytes != expected);
            if latency && outcome.latencies_ns.len() < SAMPLES_MAX {
                let now_ns = *now_ns.get_or_insert_with(|| begun.elapsed().as_nanos() as u64);
                // SAFETY: within the buffer; a frame that is not ours gives a number without sense.
                let stamp_ns: u64 = unsafe { ptr::read_unaligned(ring.buffer(slot).add(STAMP_AT).cast()) };
                outcome.latencies_ns.push(now_ns.saturating_sub(stamp_ns));
            }
            ring.push(slot);
        });
        if outcome.received[side] != before { rx.publish() } else { Ok(()) }
    }
}

fn listener(socket: &Path) -> anyhow::Result<UnixListener> {
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(listener: &UnixListener) -> anyhow::Result<std::os::unix::net::UnixStream> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                ensure!(Instant::now() < deadline, "the switch does not connect");
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error).context("cannot accept the switch"),
        }
    }
}

/// Hands the device over: all of memory, and both rings.
fn start(frontend: &mut Frontend, file: &File, memory: &MmapRegion, rx: &Ring, tx: &Ring) -> anyhow::Result<()> {
    frontend.set_owner()?;
    let offered = frontend.get_features()?;
    ensure!(offered & FEATURES == FEATURES, "features {offered:#x} lack some of {FEATURES:#x}");
    frontend.get_protocol_features()?;
    frontend.set_protocol_features(VhostUserProtocolFeatures::empty())?;
    frontend.set_features(FEATURES)?;
    let base = memory.as_ptr() as u64;
    // Guest addresses are our own.
    frontend.set_mem_table(&[VhostUserMemoryRegionInfo {
        guest_phys_addr: base,
        memory_size: memory.size() as u64,
        userspace_addr: base,
        mmap_offset: 0,
        mmap_handle: file.as_raw_fd(),
    }])?;
    for (index, ring) in [rx, tx].into_iter().enumerate() {
        let at = ring.ring as u64;
        frontend.set_vring_num(index, RING_SIZE)?;
        frontend.set_vring_base(index, 0)?;
        frontend.set_vring_addr(
            index,
            &VringConfigData {
                queue_max_size: RING_SIZE,
                queue_size: RING_SIZE,
                flags: 0,
                desc_table_addr: at,
                used_ring_addr: at + USED as u64,
                avail_ring_addr: at + AVAIL as u64,
                log_addr: None,
            },
        )?;
        frontend.set_vring_call(index, &ring.call)?;
        frontend.set_vring_kick(index, &ring.kick)?;
    }
    for index in 0..2 {
        frontend.set_vring_enable(index, true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u16 {
        let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum: u32 = words.sum();
        (sum & 0xffff) as u16 + (sum >> 16) as u16
    }

    #[test]
    fn each_frame_is_of_the_next_flow_and_sums_up() {
        let there = Stream {
            macs: ([2; 6], [4; 6]),
            source: (Ipv4Addr::new(10, 254, 0, 1), 1000),
            destination: (Ipv4Addr::new(10, 240, 255, 254), 1001),
            vary: Vary::Destination,
            flows: 3,
            frame_bytes: 64,
        };
        for (stream, at) in [(there, 30), (there.reversed(), 26)] {
            let mut frame = stream.template();
            let mut writer = Writer::new(&stream, &frame);
            for flow in [0, 1, 2, 0] {
                // SAFETY: the frame is the stream's template.
                unsafe { writer.write(frame.as_mut_ptr(), 7) };
                let frame = &frame[HEADER_BYTES..];
                assert_eq!(frame.len(), 64);
                assert_eq!(sum(&frame[14..34]), 0xffff);
                let address = u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                assert_eq!(address, u32::from(Ipv4Addr::new(10, 240, 255, 254)) + flow);
                assert_eq!(frame[42..50], 7u64.to_ne_bytes());
            }
        }
    }
}
