//! Frames of a device, waited for.

use crate::namespace::DEADLINE;
use hive_device::Device;
use hive_flow::Key;
use std::time::Instant;

/// The next frame that is `wanted`, with what is known of it.
pub fn next(device: &mut dyn Device, wanted: impl Fn(&[u8]) -> bool) -> (Vec<u8>, Key) {
    let begin = Instant::now();
    let mut found = None;
    while found.is_none() {
        assert!(begin.elapsed() < DEADLINE, "the frame did not come");
        let count = device.receive(1, &mut |got| {
            if wanted(got.frame) {
                found = Some((got.frame.to_vec(), *got.metadata));
            }
        });
        if count.unwrap() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
    found.unwrap()
}
