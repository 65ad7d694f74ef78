//! Signature claims of a request: header or presigned query, and the canonical forms of its query string.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (query, authorization) = input;
    for (name, value) in hive_auth::canonical::query_pairs(query) {
        let name = hive_auth::canonical::encode(&name);
        assert_eq!(hive_auth::canonical::encode(&hive_auth::canonical::decode(&name, false)), name);
        drop(value);
    }
    let request = http::Request::builder().uri(format!("https://h/?{query}")).header("authorization", authorization);
    if let Ok(request) = request.header("x-amz-date", "20260101T000000Z").body(()) {
        let _ = hive_auth::claim::Claim::parse(&request.into_parts().0);
    }
});
