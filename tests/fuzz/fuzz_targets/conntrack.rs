//! Connection tracking of a guest's frames: any bytes, translated, helped and in fragments, one after the other.
#![no_main]

use hive_conntrack::{Checksum, Conntrack, Helper, Nat, NatRange, Packet, Request, Settings};
use hive_flow::{Key, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut conntrack = Conntrack::new(Settings { connections_max: 8, seed: 1, ..Settings::default() });
    let range = NatRange { addresses: Some((0x0a09_0001, 0x0a09_0002)), ports: Some((1, 3)), ..NatRange::default() };
    let nat = [None, Some(Nat::Existing), Some(Nat::Source(range.clone())), Some(Nat::Destination(range))];
    // A byte that says what to do with it, one for its size, and a frame.
    let (mut rest, mut now_ms, mut before) = (input, 0, None);
    while let [how, size, more @ ..] = rest {
        let (frame, after) = more.split_at(usize::from(*size).min(more.len()));
        rest = after;
        now_ms += u64::from(how >> 6) * 1000;
        let request = Request {
            commit: how & 4 != 0,
            force: how & 8 != 0,
            nat: nat[usize::from(how & 3)].clone(),
            helper: Some(Helper::Ftp),
            ..Request::default()
        };
        let mut frame = frame.to_vec();
        let parsed = parse(&frame, frame.len(), &Key::ZERO, 2);
        let known = if how & 16 == 0 { Checksum::Good } else { Checksum::Partial };
        let Some(mut packet) = Packet::new(&mut frame, &parsed, known) else { continue };
        let verdict = conntrack.process(now_ms, &mut packet, &request, before.as_ref());
        if let Some(splice) = &verdict.splice {
            splice.apply(&mut frame, parsed.padding_bytes.into());
        }
        before = (how & 32 != 0).then_some(verdict);
        conntrack.expire(now_ms, 4);
        assert!(conntrack.len() <= 8);
        assert_eq!(conntrack.zone_len(0), conntrack.len());
    }
    assert!(conntrack.entries(None, 0).all(|entry| !entry.to_string().is_empty()));
});
