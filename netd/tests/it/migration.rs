//! The log of written pages, by which a guest is migrated while it runs.

use crate::dataplane::{Bench, exchange};
use crate::guest::{GUEST_BASE, Guest, Options, PATIENCE, USED, eventually, feature};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use vmm_sys_util::eventfd::EventFd;

const PAGE: u64 = 4096;
/// Of a log that is not at the start of its file, nor of a page.
const LOG_OFFSET: u64 = 24;

fn memfd(size_bytes: u64, seals: SealFlags) -> File {
    let file = File::from(memfd_create("log", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap());
    file.set_len(size_bytes).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file
}

/// A log as large as a guest's memory asks for.
struct Log {
    file: File,
    size_bytes: u64,
}

impl Log {
    fn of(guest: &Guest) -> Self {
        let end = GUEST_BASE + guest.memory.metadata().unwrap().len();
        Self::sized(end.div_ceil(8 * PAGE))
    }

    fn sized(size_bytes: u64) -> Self {
        Self { file: memfd(LOG_OFFSET + size_bytes + 100, SealFlags::SHRINK), size_bytes }
    }

    fn share(&self, guest: &mut Guest) {
        guest.share_log(&self.file, LOG_OFFSET, self.size_bytes).unwrap();
    }

    /// The pages of the guest's memory file that are marked; their marks are cleared. Nothing around the log may be written.
    fn take(&self) -> BTreeSet<u64> {
        let mut bytes = vec![0; self.file.metadata().unwrap().len() as usize];
        self.file.read_exact_at(&mut bytes, 0).unwrap();
        self.file.write_all_at(&vec![0; bytes.len()], 0).unwrap();
        let log = LOG_OFFSET as usize..(LOG_OFFSET + self.size_bytes) as usize;
        assert!(bytes.iter().enumerate().all(|(at, byte)| log.contains(&at) || *byte == 0));
        let bits = bytes[log].iter().flat_map(|byte| (0..8).map(move |bit| byte & 1 << bit != 0));
        bits.zip(0..).filter(|(bit, _)| *bit).map(|(_, page)| page - GUEST_BASE / PAGE).collect()
    }
}

fn pages(at: u64, bytes: u64) -> impl Iterator<Item = u64> {
    at / PAGE..=(at + bytes - 1) / PAGE
}

fn contents(guest: &Guest) -> Vec<u8> {
    let mut bytes = vec![0; guest.memory.metadata().unwrap().len() as usize];
    guest.memory.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Of a ring, in the guest's memory file.
fn used_page(ring: usize) -> u64 {
    (Guest::ring_at(ring) + USED) / PAGE
}

fn off(guest: &mut Guest) {
    guest.log_writes(false, None);
}

/// Sends frames of these sizes and waits until they are in the receiver's buffers, which are left there.
fn deliver(a: &mut Guest, b: &Guest, payloads: &[usize], buffers: u16) -> Vec<Vec<u8>> {
    let before = b.delivered(0);
    let frames: Vec<Vec<u8>> = payloads.iter().map(|size| a.udp_to(b, &vec![0x5a; *size])).collect();
    frames.iter().for_each(|frame| a.send(frame));
    eventually("the frames", || (b.delivered(0).wrapping_sub(before) == buffers).then_some(()));
    frames
}

fn receive(guest: &mut Guest, frames: &[Vec<u8>]) {
    frames.iter().for_each(|frame| assert_eq!(guest.receive(), *frame));
}

#[test]
fn every_page_that_is_written_is_in_the_log_and_no_other() {
    let payloads = [20, 1400, 5000, 8900, 30];
    for event_idx in [0, feature::EVENT_IDX] {
        for rx_buffer_bytes in [0x1_0000, 9200, 4000, 512] {
            let bench = Bench::new(2);
            let features = Options::default().features | event_idx;
            let options = Options { features, rx_buffer_bytes, ..Options::default() };
            let (port, mut a) = bench.guest(5, options.clone());
            let (_, mut b) = bench.guest(6, options);
            let (of_a, of_b) = (Log::of(&a), Log::of(&b));
            of_a.share(&mut a);
            of_b.share(&mut b);
            a.log_writes(true, Some(0));
            b.log_writes(true, Some(0));
            let before = contents(&b);
            // What each frame fills, in order.
            let (mut slot, mut wanted) = (0, BTreeSet::from([used_page(0)]));
            for payload in payloads {
                let mut left = payload as u64 + 12 + 42;
                while left > 0 {
                    let part = left.min(rx_buffer_bytes.into());
                    wanted.extend(pages(b.buffer(0, slot), part));
                    left -= part;
                    slot += 1;
                }
            }
            let frames = deliver(&mut a, &b, &payloads, slot);
            eventually("the sends", || (a.sent(0) == 5).then_some(()));
            // Turned off, nothing more comes, and what was written before is there.
            off(&mut a);
            off(&mut b);
            let after = contents(&b);
            let changed: BTreeSet<u64> = before
                .chunks(PAGE as usize)
                .zip(after.chunks(PAGE as usize))
                .zip(0..)
                .filter_map(|((before, after), page)| (before != after).then_some(page))
                .collect();
            let marked = of_b.take();
            // The switch may have asked for kicks meanwhile, in the used ring of what the guest sends.
            let asks = BTreeSet::from([used_page(1)]);
            let case = format!("buffers of {rx_buffer_bytes} bytes");
            assert_eq!(
                changed.difference(&marked).collect::<Vec<_>>(),
                [&0u64; 0],
                "changed and not in the log, {case}"
            );
            assert_eq!(&marked - &asks, wanted, "{case}");
            assert_eq!(of_a.take(), asks, "the sender's used ring");
            receive(&mut b, &frames);
            exchange(&mut a, &mut b);
            assert_eq!(bench.dataplane.port_status(port).unwrap().fault, None);
        }
    }
}

#[test]
fn what_is_not_to_be_logged_is_not() {
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options::default());
    let (_, mut b) = bench.guest(6, Options::default());
    let log = Log::of(&b);
    let none = BTreeSet::new();
    // Acknowledged before there is a log.
    b.log_writes(true, Some(0));
    exchange(&mut a, &mut b);
    off(&mut b);
    // A log, and nobody asks for it.
    log.share(&mut b);
    exchange(&mut a, &mut b);
    b.log_writes(false, Some(0));
    exchange(&mut a, &mut b);
    assert_eq!(log.take(), none);
    // Buffers, without used rings.
    b.log_writes(true, None);
    let slot = b.delivered(0);
    let frames = deliver(&mut a, &b, &[100], 1);
    off(&mut b);
    assert_eq!(log.take(), pages(b.buffer(0, slot), 154).collect());
    receive(&mut b, &frames);
    // Used rings by the address that was given for them.
    b.log_writes(true, Some(7 * PAGE));
    let slot = b.delivered(0);
    let frames = deliver(&mut a, &b, &[100], 1);
    off(&mut b);
    let asks = used_page(1) + 7;
    let marked: BTreeSet<u64> = log.take().into_iter().filter(|page| *page != asks).collect();
    assert_eq!(marked, pages(b.buffer(0, slot), 154).chain([used_page(0) + 7]).collect());
    receive(&mut b, &frames);
    // Turned off again.
    exchange(&mut a, &mut b);
    exchange(&mut a, &mut b);
    assert_eq!(log.take(), none);
    // A new log takes the former one's place while it is written.
    b.log_writes(true, Some(0));
    let second = Log::of(&b);
    second.share(&mut b);
    log.take();
    exchange(&mut a, &mut b);
    off(&mut b);
    assert_eq!(log.take(), none);
    assert!(second.take().contains(&used_page(0)));
}

#[test]
fn logging_is_turned_on_and_off_under_running_rings_without_loss() {
    // Fewer than a guest of these tests has places to send from.
    const BURST: u32 = 60;
    let bench = Bench::new(2);
    let (first, mut a) = bench.guest(5, Options::default());
    let (_, mut b) = bench.guest(6, Options::default());
    let (of_a, of_b) = (Log::of(&a), Log::of(&b));
    of_a.share(&mut a);
    of_b.share(&mut b);
    for round in 0..100u32 {
        let frames: Vec<Vec<u8>> =
            (0..BURST).map(|number| a.udp_to(&b, &(round * BURST + number).to_be_bytes())).collect();
        // The frames are on their way while the rings are told.
        let (before, after) = frames.split_at(BURST as usize / 2);
        before.iter().for_each(|frame| a.send(frame));
        b.log_writes(round % 2 == 0, (round % 2 == 0).then_some(0));
        after.iter().for_each(|frame| a.send(frame));
        a.log_writes(round % 3 == 0, (round % 3 == 0).then_some(0));
        if round % 10 == 0 {
            of_b.share(&mut b);
        }
        receive(&mut b, &frames);
    }
    let status = bench.dataplane.port_status(first).unwrap();
    assert_eq!((status.counters.rx_packets, status.counters.rx_dropped), (u64::from(100 * BURST), 0));
    eventually("the sends", || (u32::from(a.sent(0)) == 100 * BURST).then_some(()));
    assert!(of_b.take().contains(&used_page(0)));
}

#[test]
fn logs_that_cannot_be_used_are_refused_and_hurt_nobody_else() {
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options::default());
    let (_, mut b) = bench.guest(6, Options::default());
    let (_, first) = bench.guest(66, Options::default());
    drop(first);
    let sealed = memfd(0x2000, SealFlags::SHRINK);
    let null = File::open("/dev/null").unwrap();
    let unsealed = memfd(0x2000, SealFlags::GROW);
    let plain = tempfile::tempfile().unwrap();
    plain.set_len(0x2000).unwrap();
    let cases: [(&File, u64, u64); 9] = [
        (&sealed, 0, 0x2001),
        (&sealed, 0x2000, 8),
        (&sealed, 0, 0),
        (&sealed, u64::MAX - 8, 8),
        (&sealed, u64::MAX, u64::MAX),
        (&sealed, 0, 1 << 62),
        (&unsealed, 0, 0x2000),
        (&plain, 0, 0x2000),
        (&null, 0, 0x2000),
    ];
    for (file, offset, size) in cases {
        let mut villain = Guest::connect(&bench.socket(66), 66, Options::default());
        villain.log_writes(true, Some(0));
        assert!(villain.share_log(file, offset, size).is_err(), "{size:#x} bytes at {offset:#x}");
        exchange(&mut a, &mut b);
    }
    // Who comes back with a good one is served.
    let mut guest = Guest::connect(&bench.socket(66), 66, Options::default());
    guest.share_log(&sealed, 0, 0x2000).unwrap();
    exchange(&mut guest, &mut a);
}

#[test]
fn a_page_outside_the_log_stops_its_port_only() {
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options::default());
    let (port, mut b) = bench.guest(6, Options::default());
    let (_, mut c) = bench.guest(7, Options::default());
    let fault = || eventually("a fault", || bench.dataplane.port_status(port).unwrap().fault);
    // It has the rings, and not the buffers.
    let short = Log::sized((GUEST_BASE + 0x10_0000) / PAGE / 8);
    short.share(&mut b);
    b.log_writes(true, Some(0));
    let frame = a.udp_to(&b, b"nowhere to be logged");
    a.send(&frame);
    assert!(fault().contains("outside the log"), "{}", fault());
    exchange(&mut a, &mut c);
    // The switch between on and off is no new driver.
    off(&mut b);
    assert!(fault().contains("outside the log"));
    b.restart_driver();
    exchange(&mut a, &mut b);
    // A used ring that is said to be where the log has nothing, in the midst of it, and so that its end overflows.
    let whole = Log::of(&b);
    whole.share(&mut b);
    for offset in
        [1 << 40, whole.size_bytes * 8 * PAGE - GUEST_BASE - USED - 10, (-(GUEST_BASE as i64)) as u64 - USED - 8]
    {
        b.log_writes(true, Some(offset));
        assert!(fault().contains("outside the log"), "{}", fault());
        exchange(&mut a, &mut c);
        b.restart_driver();
        exchange(&mut a, &mut b);
    }
}

#[test]
fn writes_to_the_log_are_signalled() {
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options::default());
    let (_, mut b) = bench.guest(6, Options::default());
    let log = Log::of(&b);
    log.share(&mut b);
    let call = EventFd::new(vmm_sys_util::eventfd::EFD_NONBLOCK).unwrap();
    b.share_log_call(&call).unwrap();
    exchange(&mut a, &mut b);
    assert!(call.read().is_err(), "nothing is logged");
    b.log_writes(true, Some(0));
    let frames = deliver(&mut a, &b, &[100], 1);
    eventually("a signal", || call.read().ok());
    receive(&mut b, &frames);
    off(&mut b);
    let _ = call.read();
    exchange(&mut a, &mut b);
    assert!(call.read().is_err(), "nothing is logged any more");
}

/// As QEMU does with a card's rings; the frontend of these tests does not.
#[test]
fn rings_are_enabled_before_features_are_set() {
    let bench = Bench::new(1);
    let (_, guest) = bench.guest(5, Options::default());
    drop(guest);
    let mut stream = UnixStream::connect(bench.socket(5)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // SET_VRING_ENABLE, version 1, of ring 1; then GET_FEATURES, which is answered while the connection holds.
    let words: [u32; 8] = [18, 1, 8, 1, 1, 1, 1, 0];
    stream.write_all(&words.map(u32::to_ne_bytes).concat()).unwrap();
    let mut reply = [0; 20];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..12], [1u32, 5, 8].map(u32::to_ne_bytes).concat());
    let features = u64::from_ne_bytes(reply[12..].try_into().unwrap());
    assert_eq!(features & feature::LOG_ALL, feature::LOG_ALL);
}
