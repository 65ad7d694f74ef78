//! Continuations that a controller sends back (NXT_RESUME): no bytes may panic, and what is read is carried out without an end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    hive_pipeline::hostile::resume(bytes);
});
