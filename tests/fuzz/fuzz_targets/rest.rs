//! A request of the REST protocol: routed, decoded by the model, validated.
#![no_main]

use awsd::wire::{rest, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str, &str, &[u8])| {
    let (method, target, header, body) = input;
    let method = ["GET", "PUT", "POST", "DELETE"][usize::from(method % 4)];
    let request = http::Request::builder().method(method).uri(target);
    let request = ["x-amz-data-length", "x-amz-checksum", "x-amz-changedblockscount"]
        .into_iter()
        .fold(request, |request, name| request.header(name, header));
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    let Some(route) = rest::route(&hive_aws_model::EBS, &parts) else { return };
    if let Ok(members) = rest::decode(&route, &parts, body) {
        let _ = validate::validate(route.operation, &members);
    }
});
