//! Guests that break the rules lose their disk, and nobody else loses anything.

use crate::daemon::{Daemon, PATIENCE};
use crate::frontend::*;
use proptest::prelude::*;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A daemon with a victim and a bystander.
fn start() -> (Daemon, Frontend, Frontend) {
    let daemon = Daemon::start();
    daemon.create("victim", 1 << 20, None);
    daemon.create("bystander", 1 << 20, None);
    let features = F_FLUSH | EVENT_IDX | INDIRECT_DESC;
    let victim = Frontend::connect(&daemon.attach("victim", 1), 1, features);
    let bystander = Frontend::connect(&daemon.attach("bystander", 1), 1, features);
    (daemon, victim, bystander)
}

fn wait_fault(daemon: &Daemon) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(fault) = daemon.describe("victim").fault {
            return fault;
        }
        assert!(Instant::now() < deadline, "the device was not stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn each_malformation_stops_the_device_with_its_reason_and_a_new_start_heals() {
    let (mut daemon, mut victim, mut bystander) = start();
    type Break = fn(&mut Frontend);
    let cases: [(&str, Break); 11] = [
        ("loops", |f| {
            let header = f.header(0, READ, 0);
            f.descriptor(0, 0, header, 16, NEXT, 1);
            f.descriptor(0, 1, GUEST_BASE + DATA, 0, NEXT, 0);
            f.offer(0, 0, true);
        }),
        ("beyond the table", |f| f.offer(0, QUEUE_SIZE, true)),
        ("beyond the table", |f| {
            let header = f.header(0, READ, 0);
            f.descriptor(0, 0, header, 16, NEXT, 60_000);
            f.offer(0, 0, true);
        }),
        ("outside of guest memory", |f| {
            f.descriptor(0, 0, 0x1000, 16, NEXT, 1);
            f.offer(0, 0, true);
        }),
        ("outside of guest memory", |f| {
            f.descriptor(0, 0, GUEST_BASE + MEMORY_BYTES as u64 - 8, 16, 0, 0);
            f.offer(0, 0, true);
        }),
        ("outside of guest memory", |f| {
            f.descriptor(0, 0, u64::MAX - 3, u32::MAX, 0, 0);
            f.offer(0, 0, true);
        }),
        ("no room for header and status", |f| {
            let header = f.header(0, READ, 0);
            f.descriptor(0, 0, header, 16, 0, 0);
            f.offer(0, 0, true);
        }),
        ("indirect", |f| {
            f.poke(DATA, &encode_descriptor(GUEST_BASE + DATA, 16, INDIRECT, 0));
            f.descriptor(0, 0, GUEST_BASE + DATA, 16, INDIRECT, 0);
            f.offer(0, 0, true);
        }),
        ("indirect table of 24 bytes", |f| {
            f.descriptor(0, 0, GUEST_BASE + DATA, 24, INDIRECT, 0);
            f.offer(0, 0, true);
        }),
        ("follows one for it to write", |f| {
            let header = f.header(0, READ, 0);
            f.descriptor(0, 0, header, 16, NEXT | DEVICE_WRITES, 1);
            f.descriptor(0, 1, header, 16, 0, 0);
            f.offer(0, 0, true);
        }),
        ("more requests are available", |f| f.set_available(0, 5000, true)),
    ];
    let socket = daemon.describe("victim").socket.unwrap();
    for (reason, break_ring) in cases {
        break_ring(&mut victim);
        let fault = wait_fault(&daemon);
        assert!(fault.contains(reason), "{fault:?} does not name {reason:?}");
        assert_eq!(bystander.write(0, &[1; 512]), 0);
        drop(victim);
        victim = Frontend::connect(&socket, 1, F_FLUSH | EVENT_IDX | INDIRECT_DESC);
        assert_eq!(daemon.describe("victim").fault, None);
        assert_eq!(victim.write(0, &[2; 512]), 0);
    }
    assert!(daemon.is_running());
}

#[test]
fn arbitrary_rings_never_end_the_daemon() {
    let (daemon, victim, mut bystander) = start();
    let daemon = std::cell::RefCell::new(daemon);
    let socket = daemon.borrow().describe("victim").socket.unwrap();
    let address = prop_oneof![
        4 => (0..MEMORY_BYTES as u64).prop_map(|offset| GUEST_BASE + offset),
        1 => any::<u64>(),
    ];
    let len = prop_oneof![4 => 0..9000u32, 1 => any::<u32>(), 2 => Just(16), 2 => Just(1)];
    let descriptor = (address, len, 0..8u16, prop_oneof![9 => 0..16u16, 1 => any::<u16>()]);
    let kind = prop_oneof![0..14u32, any::<u32>()];
    let case = (
        prop::collection::vec(descriptor, 16),
        prop::collection::vec((kind, any::<u16>()), 16),
        prop::collection::vec(prop_oneof![9 => 0..16u16, 1 => any::<u16>()], 1..6),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 300, ..ProptestConfig::default() });
    drop(victim);
    let bystander = std::cell::RefCell::new(&mut bystander);
    runner
        .run(&case, |(descriptors, headers, heads)| {
            let mut victim = Frontend::connect(&socket, 1, F_FLUSH | EVENT_IDX | INDIRECT_DESC);
            for (index, (address, len, flags, next)) in descriptors.into_iter().enumerate() {
                victim.descriptor(0, index as u16, address, len, flags, next);
            }
            for (slot, (kind, sector)) in headers.into_iter().enumerate() {
                // Some chains begin with a real header, so that fuzz reaches beyond the first check.
                let header = victim.header(slot as u16, kind, u64::from(sector));
                if slot % 2 == 0 {
                    victim.descriptor(0, slot as u16, header, 16, NEXT, slot as u16 + 1);
                }
            }
            for head in heads {
                victim.offer(0, head, true);
            }
            drop(victim);
            prop_assert!(daemon.borrow_mut().is_running());
            prop_assert_eq!(bystander.borrow_mut().write(0, &[1; 512]), 0);
            Ok(())
        })
        .unwrap();
}

#[test]
fn nonsense_on_the_socket_is_dropped_and_the_next_frontend_served() {
    let (mut daemon, victim, mut bystander) = start();
    let socket = daemon.describe("victim").socket.unwrap();
    drop(victim);
    for garbage in
        [&[0xff; 64][..], &[0; 12], &[1, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f], b"GET / HTTP/1.1\r\n\r\n"]
    {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(garbage);
    }
    let mut victim = Frontend::connect(&socket, 1, F_FLUSH);
    assert_eq!(victim.write(0, &[2; 512]), 0);
    drop(victim);
    // Half a message holds up its own disk only, and not its detachment.
    let mut stalled = UnixStream::connect(&socket).unwrap();
    stalled.write_all(&[1, 0, 0]).unwrap();
    assert_eq!(bystander.write(0, &[1; 512]), 0);
    daemon.detach("victim");
    assert!(daemon.is_running());
}
