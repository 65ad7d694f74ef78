//! What a collector of flows is told: messages one after the other, which may bring templates and use them.

#![no_main]

use hive_ipfix::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut decoder = Decoder::default();
    let mut rest = input;
    // Each begins with its length, so that one input holds several; the header is made right, or nothing else would be reached.
    while let Some((length, more)) = rest.split_first() {
        let (body, after) = more.split_at(more.len().min(usize::from(*length)));
        let mut message = vec![0, 10, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, length & 3];
        message.extend(body);
        let bytes = (message.len() as u16).to_be_bytes();
        message[2..4].copy_from_slice(&bytes);
        let _ = decoder.message(&message, |record| assert_eq!(record.key.domain, u32::from(length & 3)));
        let _ = decoder.message(body, drop);
        rest = after;
    }
});
