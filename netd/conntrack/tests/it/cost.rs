//! Memory of a connection, and what a packet costs: `cargo test --release -p hive-conntrack -- --ignored --nocapture cost`.

use crate::packets::{ACK, Ends, SYN, Tcp, tcp, udp};
use hive_conntrack::{Checksum, Conntrack, Nat, NatRange, Packet, Request, Settings};
use hive_flow::{Key, parse};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts bytes that are held.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn ends(number: u32) -> Ends {
    let [a, b, c, d] = (0x0a00_0000 + number / 50_000).to_be_bytes();
    Ends::new(&format!("{a}.{b}.{c}.{d}:{}", 1024 + number % 50_000), "10.200.0.1:443")
}

/// All in: tables, timers, index.
#[test]
fn a_connection_takes_no_more_than_256_bytes() {
    const CONNECTIONS: u32 = 200_000;
    for nat in
        [None, Some(Nat::Source(NatRange { addresses: Some((0x0a63_0001, 0x0a63_00ff)), ..NatRange::default() }))]
    {
        // Other tests run beside this one, and hold little.
        let before = HELD.load(Ordering::Relaxed);
        let mut conntrack = Conntrack::new(Settings { seed: 3, ..Settings::default() });
        let request = Request { commit: true, nat, ..Request::default() };
        for number in 0..CONNECTIONS {
            let mut frame = tcp(ends(number), Tcp { flags: SYN, seq: 1, window: 1000, ..Tcp::default() });
            crate::packets::track(&mut conntrack, 0, &mut frame, &request);
        }
        let each = (HELD.load(Ordering::Relaxed) - before) as f64 / f64::from(CONNECTIONS);
        assert_eq!(conntrack.len(), CONNECTIONS as usize);
        println!("{each:.0} bytes a connection, translated: {}", request.nat.is_some());
        assert!(each <= 256.0, "{each} bytes");
    }
}

/// Of this thread: others on the machine disturb it less than the time of day.
fn cpu_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
#[ignore = "prints figures"]
fn cost_of_packets_and_connections() {
    for connections in [1u32, 10_000, 200_000] {
        for (name, is_tcp) in [("udp", false), ("tcp", true)] {
            let mut conntrack = Conntrack::new(Settings { connections_expected: 200_000, ..Settings::default() });
            let first: Vec<_> = (0..connections)
                .map(|number| {
                    if is_tcp {
                        tcp(ends(number), Tcp { flags: SYN, seq: 1, window: 1000, ..Tcp::default() })
                    } else {
                        udp(ends(number), b"")
                    }
                })
                .collect();
            let next: Vec<_> = (0..connections)
                .map(|number| {
                    if is_tcp {
                        tcp(ends(number), Tcp { flags: ACK, seq: 2, ack: 0, window: 1000, ..Tcp::default() })
                    } else {
                        udp(ends(number), b"")
                    }
                })
                .collect();
            let commit = Request { commit: true, ..Request::default() };
            let mut run = |frames: &mut [Vec<u8>], rounds: u32, request: &Request| {
                let parsed: Vec<_> = frames.iter().map(|frame| parse(frame, frame.len(), &Key::ZERO, 1)).collect();
                let started = cpu_time();
                for _ in 0..rounds {
                    for (frame, parsed) in frames.iter_mut().zip(&parsed) {
                        let mut packet = Packet::new(frame, parsed, Checksum::Good).unwrap();
                        std::hint::black_box(conntrack.process(1, &mut packet, request, None));
                    }
                }
                (cpu_time() - started).as_secs_f64() * 1e9 / (frames.len() * rounds as usize) as f64
            };
            let (mut first, mut next) = (first, next);
            let made = run(&mut first, 1, &commit);
            let known = run(&mut next, 4_000_000 / connections, &Request::default());
            println!("{connections} connections of {name}: new {made:.0} ns, known {known:.0} ns");
        }
    }
}
