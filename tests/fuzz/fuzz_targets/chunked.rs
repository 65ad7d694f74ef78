//! The `aws-chunked` transfer coding, cut into pieces where the fuzzer likes.
#![no_main]

use bytes::Bytes;
use hive_auth::chunked::ChunkDecoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (announced_length, piece_bytes, body) = input;
    let mut decoder = ChunkDecoder::new(None, vec!["x-amz-checksum-crc32".into()], announced_length.into());
    let mut decoded = 0;
    for piece in body.chunks(usize::from(piece_bytes).max(1)) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match decoder.push(&mut piece) {
                Ok(Some(data)) => decoded += data.len(),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(decoded <= usize::from(announced_length));
    if decoder.finish().is_ok() {
        assert_eq!(decoded, usize::from(announced_length));
    }
});
