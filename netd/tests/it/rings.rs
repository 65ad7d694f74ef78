//! What guests make of their rings, well and badly.

use crate::dataplane::{Bench, exchange};
use crate::guest::{Guest, Options, RING_SIZE, descriptor, eventually, feature};
use hive_packet::{VnetHeader, offload};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;

#[test]
fn frames_are_spread_over_mergeable_buffers_and_taken_from_indirect_descriptors() {
    let small = Options { rx_buffer_bytes: 512, ..Options::default() };
    let features = Options::default().features | feature::INDIRECT_DESC;
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options { features, indirect: true, ..Options::default() });
    let (_, mut b) = bench.guest(6, small);
    for length in [20, 460, 500, 1500, 8900] {
        let payload: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        let frame = a.udp_to(&b, &payload);
        a.send(&frame);
        let received = b.receive_on(0);
        assert_eq!(received.frame, frame);
        assert_eq!(usize::from(received.num_buffers), (frame.len() + 12).div_ceil(512));
    }
}

#[test]
fn a_guest_without_buffers_costs_drops_not_others() {
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options::default());
    let (full, mut b) = bench.guest(6, Options { rx_buffers: 0, ..Options::default() });
    let (_, mut c) = bench.guest(7, Options::default());
    send_all(&mut a, &b, (0..BACKLOG_FRAMES + 40).map(|_| 4));
    exchange(&mut a, &mut c);
    let dropped = || bench.dataplane.port_status(full).unwrap().counters.tx_dropped;
    assert_eq!(dropped(), 40);
    assert!(b.try_receive(0).is_none());
    // What waited goes with who it waited for.
    drop(b);
    eventually("the end of the backlog", || (dropped() == BACKLOG_FRAMES as u64 + 40).then_some(()));
}

/// Frames that wait for one receiver at most.
const BACKLOG_FRAMES: usize = 1000;

/// Sends frames that carry their number and are so long, as the switch takes them.
fn send_all(a: &mut Guest, b: &Guest, lengths: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (number, length) in lengths.enumerate() {
        let mut payload = vec![number as u8; length];
        payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
        let frame = a.udp_to(b, &payload);
        a.send(&frame);
        frames.push(frame);
        let sent = frames.len() as u16;
        if sent.is_multiple_of(32) {
            eventually("room in the ring", || (a.sent(0) == sent).then_some(()));
        }
    }
    eventually("the last frame", || (a.sent(0) == frames.len() as u16).then_some(()));
    frames
}

#[test]
fn frames_wait_for_buffers_in_their_order() {
    for events in [0, feature::EVENT_IDX] {
        let bench = Bench::new(1);
        let (_, mut a) = bench.guest(5, Options::default());
        let features = Options::default().features | events;
        let few = Options { features, rx_buffers: 5, rx_buffer_bytes: 512, ..Options::default() };
        let (port, mut b) = bench.guest(6, few);
        for _ in 0..2 {
            // Most need several buffers, and some more than are there at the moment.
            let frames = send_all(&mut a, &b, (0..300).map(|number| 4 + number * 7 % 2000));
            for frame in frames {
                assert_eq!(b.receive(), frame);
            }
            assert!(b.try_receive(0).is_none());
            b.restart_driver();
            a.restart_driver();
        }
        assert_eq!(bench.dataplane.port_status(port).unwrap().counters.tx_dropped, 0);
        // Nobody kicks for nothing: buffers come back unasked while nothing waits.
        exchange(&mut a, &mut b);
    }
}

#[test]
fn a_frame_that_never_fits_holds_none_up() {
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options::default());
    let features = Options::default().features & !feature::MRG_RXBUF;
    let one = Options { features, rx_buffers: 1, rx_buffer_bytes: 512, ..Options::default() };
    let (port, mut b) = bench.guest(6, one);
    let frames = send_all(&mut a, &b, [10, 20, 1000, 30].into_iter());
    for number in [0, 1, 3] {
        assert_eq!(b.receive(), frames[number]);
    }
    assert_eq!(bench.dataplane.port_status(port).unwrap().counters.tx_dropped, 1);
}

#[test]
fn event_indices_wake_the_switch_after_every_pause() {
    let features = Options::default().features | feature::EVENT_IDX;
    let events = Options { features, ..Options::default() };
    let bench = Bench::new(1);
    let ((_, mut a), (_, mut b)) = (bench.guest(5, events.clone()), bench.guest(6, events));
    // More frames than a ring holds, with and without pauses longer than the polling period.
    for number in 0..600u32 {
        if number % 100 < 5 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let frame = a.udp_to(&b, &number.to_be_bytes());
        a.send(&frame);
        assert_eq!(b.receive(), frame);
    }
    assert_eq!(a.sent(0), 600);
}

#[test]
fn what_a_header_cannot_mean_is_not_sent_on() {
    let features = Options::default().features | feature::CSUM | feature::HOST_TSO4;
    let bench = Bench::new(1);
    let (villain, mut a) = bench.guest(5, Options { features, ..Options::default() });
    let (_, mut b) = bench.guest(6, Options::default());
    let good = a.udp_to(&b, b"good");
    a.send_on(0, VnetHeader { gso_type: 3, ..VnetHeader::default() }, &good);
    a.send_on(0, VnetHeader { flags: offload::NEEDS_CSUM, csum_start: 60_000, ..VnetHeader::default() }, &good);
    exchange(&mut a, &mut b);
    let status = bench.dataplane.port_status(villain).unwrap();
    assert_eq!((status.counters.rx_errors, status.fault), (2, None));
}

#[derive(Clone, Debug)]
enum Attack {
    AvailableIndex(u16),
    Head(u16),
    Descriptor([u64; 2]),
    Loop,
    Indirect(u32),
}

fn attack() -> impl Strategy<Value = Attack> {
    prop_oneof![
        (RING_SIZE + 1..u16::MAX).prop_map(Attack::AvailableIndex),
        (RING_SIZE..u16::MAX).prop_map(Attack::Head),
        any::<[u64; 2]>().prop_map(Attack::Descriptor),
        Just(Attack::Loop),
        any::<u32>().prop_map(Attack::Indirect),
    ]
}

fn launch(guest: &mut Guest, ring: usize, attack: &Attack) {
    match attack {
        Attack::AvailableIndex(index) => guest.force_available_index(ring, *index),
        Attack::Head(head) => guest.make_available(ring, *head),
        Attack::Descriptor([low, high]) => {
            guest.write_ring_bytes(ring, 0, &[low.to_le_bytes(), high.to_le_bytes()].concat());
            guest.make_available(ring, 0);
        }
        Attack::Loop => {
            guest.put_descriptor(ring, 0, 0x50_0000, 64, 1, 1);
            guest.put_descriptor(ring, 1, 0x50_0000, 64, 1, 0);
            guest.make_available(ring, 0);
        }
        Attack::Indirect(len) => {
            guest.write_ring_bytes(ring, 0, &descriptor(0x10_8000, *len, 4, 0));
            guest.make_available(ring, 0);
        }
    }
}

#[test]
fn broken_rings_stop_their_port_only() {
    let bench = Bench::new(1);
    let ((_, a), (_, b)) = (bench.guest(5, Options::default()), bench.guest(6, Options::default()));
    let (a, b) = (RefCell::new(a), RefCell::new(b));
    let (villain, guest) = bench.guest(66, Options::default());
    drop(guest);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    runner
        .run(&(attack(), 0usize..2), |(attack, ring)| {
            let mut guest = Guest::connect(&bench.socket(66), 66, Options { rx_buffers: 0, ..Options::default() });
            launch(&mut guest, ring, &attack);
            // A broken receive ring is met by the first frame for it.
            let mut a = a.borrow_mut();
            let frame = a.udp_to(&guest, b"x");
            a.send(&frame);
            exchange(&mut a, &mut b.borrow_mut());
            Ok(())
        })
        .unwrap();
    let mut guest = Guest::connect(&bench.socket(66), 66, Options::default());
    launch(&mut guest, 1, &Attack::Loop);
    let fault = eventually("a fault", || bench.dataplane.port_status(villain).unwrap().fault);
    assert!(fault.contains("longer than the ring"), "{fault}");
    let faults = bench.dataplane.port_ids().into_iter().filter_map(|id| bench.dataplane.port_status(id)?.fault);
    assert_eq!(faults.count(), 1);
    // A driver that starts anew is served again.
    drop(guest);
    let mut guest = Guest::connect(&bench.socket(66), 66, Options::default());
    exchange(&mut guest, &mut a.borrow_mut());
}
