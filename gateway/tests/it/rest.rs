//! REST calls by hand: what is refused before a worker is asked, and how; botocore's own are in `round_trip`.

use crate::cloud::{Cloud, SECRET};
use hive_auth::Payload;
use hive_types::ApiReply;
use hive_types::error::{ApiError, Resource};
use http::Response;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn refusals_have_a_status_a_code_and_a_reason() {
    let cloud = Cloud::start("127.0.0.1:9".parse().expect("address")).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asked = seen.clone();
    let _worker = cloud
        .worker(move |request| {
            asked.lock().expect("seen").push(request.action);
            ApiReply::Err(ApiError::NotFound { resource: Resource::Snapshot, id: "snap-01234567".into() })
        })
        .await;
    let signed = |body: &[u8]| Payload::Sha256(Sha256::digest(body).into());
    let block = "/snapshots/snap-01234567/blocks/5";
    let get = async |target: &str| cloud.rest("GET", target, b"", signed(b""), SECRET).await;
    let outcome = |answer: &Response<String>| {
        let code = answer.headers().get("x-amzn-errortype").map(|code| code.to_str().expect("code").to_owned());
        (answer.status().as_u16(), code.unwrap_or_default())
    };

    let absent = get(&format!("{block}?blockToken=AAAA")).await;
    assert_eq!(outcome(&absent), (404, "ResourceNotFoundException".into()));
    let told: Value = serde_json::from_str(absent.body()).expect("JSON");
    assert_eq!(told["Reason"], "SNAPSHOT_NOT_FOUND");
    assert!(told["Message"].as_str().is_some_and(|text| text.contains("snap-01234567")), "{told}");
    assert_eq!(outcome(&get("/snapshots/snap-01234567/blocks/five?blockToken=AAAA").await).1, "ValidationException");
    assert_eq!(outcome(&get(block).await).1, "ValidationException", "a token is required");
    assert_eq!(outcome(&get("/nonsense").await), (404, "UnknownOperationException".into()));
    let forged = cloud.rest("GET", block, b"", signed(b""), "another secret").await;
    assert_eq!(outcome(&forged), (403, "InvalidSignatureException".into()));

    // Every member but the body is signed; the operation's model says that the body is not.
    let refused = cloud.rest("PUT", block, b"\0\x01\xff", Payload::Unsigned, SECRET).await;
    assert_eq!(outcome(&refused), (400, "ValidationException".into()), "checksum and algorithm are required");
    let unsigned = cloud.rest("GET", block, b"", Payload::Unsigned, SECRET).await;
    assert_eq!(outcome(&unsigned), (403, "InvalidSignatureException".into()), "only that operation's");
    let large = cloud.rest("PUT", block, &vec![0; 700 << 10], Payload::Unsigned, SECRET).await;
    assert_eq!(large.status(), 413);
    assert_eq!(*seen.lock().expect("seen"), ["GetSnapshotBlock"], "nothing else reached a worker");
}
