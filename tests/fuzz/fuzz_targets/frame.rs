//! A guest's frame, or a tunnel's: any bytes have a key, with offsets within the frame; it prints, and survives being made a match.
#![no_main]

use hive_flow::{Field, Key, Malformed, Mask, Match, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let mut template = Key::ZERO;
    template.set(Field::InPort, 1);
    let parsed = parse(frame, frame.len(), &template, 2);
    assert_ne!(parsed.malformed, Some(Malformed::Cut));
    let offsets = [parsed.mpls_offset, parsed.l3_offset, parsed.l4_offset];
    assert!(offsets.into_iter().flatten().all(|offset| usize::from(offset) <= frame.len()));
    let mask = Mask::of_packet(&parsed.key);
    let (key, mask) = Match::from_key(&parsed.key, &mask).to_key().expect("a key's fields have places");
    assert!(parsed.key.agrees(&key, &mask));
    assert!(!parsed.key.to_string().is_empty());
    let head = parse(&frame[..frame.len() / 2], frame.len(), &template, 2);
    assert!(head.malformed == Some(Malformed::Cut) || head == parsed);
});
