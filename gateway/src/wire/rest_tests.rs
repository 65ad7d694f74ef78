use super::*;
use hive_aws_model::EBS;
use http::Request;
use proptest::prelude::*;
use serde_json::json;

fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Parts> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

fn decoded(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(&'static str, Value), Fault> {
    let parts = parts(method, target, headers).expect("a request");
    let route = route(&EBS, &parts).expect("an operation");
    Ok((route.operation.name(), Value::Object(decode(&route, &parts, body)?)))
}

#[test]
fn members_come_from_path_query_headers_and_body() {
    let (name, members) =
        decoded("GET", "/snapshots/snap-01/blocks/7?blockToken=AAB%2BCw%3D%3D&unknown=1", &[], b"").expect("decoded");
    assert_eq!(name, "GetSnapshotBlock");
    assert_eq!(members, json!({"SnapshotId": "snap-01", "BlockIndex": 7, "BlockToken": "AAB+Cw=="}));

    let headers = [("x-amz-Data-Length", "3"), ("X-Amz-Checksum", "c="), ("x-amz-checksum-algorithm", "SHA256")];
    let (name, members) = decoded("PUT", "/snapshots/snap-01/blocks/0", &headers, b"\0\x01\xff").expect("decoded");
    assert_eq!(name, "PutSnapshotBlock");
    assert_eq!(
        members,
        json!({"SnapshotId": "snap-01", "BlockIndex": 0, "BlockData": "AAH/", "DataLength": 3, "Checksum": "c=",
            "ChecksumAlgorithm": "SHA256"})
    );

    let body =
        br#"{"VolumeSize": 8, "Tags": [{"Key": "a", "Value": ""}], "Encrypted": true, "Timeout": null, "X": {}}"#;
    let (name, members) = decoded("POST", "/snapshots", &[], body).expect("decoded");
    assert_eq!(name, "StartSnapshot");
    assert_eq!(members, json!({"VolumeSize": 8, "Tags": [{"Key": "a", "Value": ""}], "Encrypted": true}));

    let (name, _) =
        decoded("POST", "/snapshots/completion/snap-01", &[("x-amz-changedblockscount", "2")], b"").expect("decoded");
    assert_eq!(name, "CompleteSnapshot");
    assert_eq!(decoded("GET", "/snapshots/snap-01/changedblocks", &[], b"").expect("decoded").0, "ListChangedBlocks");
}

#[test]
fn what_is_no_operation_and_what_is_of_another_type() {
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/snapshots"),
        ("DELETE", "/snapshots/snap-01/blocks/7"),
        ("GET", "/snapshots//blocks/7"),
        ("GET", "/snapshots/snap-01/blocks/7/8"),
        ("GET", "/snapshots/%ff/blocks"),
    ] {
        assert!(route(&EBS, &parts(method, target, &[]).expect("a request")).is_none(), "{method} {target}");
    }
    let code = |method, target, body: &[u8]| {
        decoded(method, target, &[], body).map(|_| String::new()).unwrap_or_else(|fault| fault.code.into_owned())
    };
    assert_eq!(code("GET", "/snapshots/snap-01/blocks/seven", b""), "ValidationException");
    assert_eq!(code("GET", "/snapshots/snap-01/blocks?maxResults=99999999999", b""), "ValidationException");
    assert_eq!(code("POST", "/snapshots", b"{"), "SerializationException");
    assert_eq!(code("POST", "/snapshots", b"[]"), "SerializationException");
    assert_eq!(code("POST", "/snapshots", br#"{"VolumeSize": "8"}"#), "ValidationException");
    assert_eq!(code("POST", "/snapshots", br#"{"VolumeSize": 8.5}"#), "ValidationException");
    assert_eq!(code("POST", "/snapshots", br#"{"Tags": [1]}"#), "ValidationException");
}

fn answer(operation: &str, output: Value) -> Result<Answer, EncodeError> {
    let Value::Object(output) = output else { panic!("an object is needed") };
    encode(EBS.operation(operation).expect("operation"), &output)
}

#[test]
fn answers_have_status_headers_and_body() {
    let started = answer("StartSnapshot", json!({"SnapshotId": "snap-1", "StartTime": "2026-11-22T19:34:35.25Z"}));
    let started = started.expect("an answer");
    assert_eq!(started.status, 201);
    assert_eq!(started.body, Content::Json(r#"{"SnapshotId":"snap-1","StartTime":1795376075.25,"Tags":[]}"#.into()));
    let block = answer("GetSnapshotBlock", json!({"DataLength": 3, "Checksum": "c=", "BlockData": "AAH/"}));
    let block = block.expect("an answer");
    assert_eq!(block.body, Content::Blob(Bytes::from_static(b"\0\x01\xff")));
    assert_eq!(block.headers["x-amz-data-length"], "3");
    assert_eq!(block.headers["x-amz-checksum"], "c=");
    for bad in [json!({"Junk": 1}), json!({"DataLength": []}), json!({"BlockData": "?"}), json!({"Checksum": "\n"})] {
        assert!(answer("GetSnapshotBlock", bad.clone()).is_err(), "{bad}");
    }
    assert!(answer("ListSnapshotBlocks", json!({"ExpiryTime": "now"})).is_err());
    assert!(answer("ListSnapshotBlocks", json!({"Blocks": [{"Junk": 1}]})).is_err());
}

proptest! {
    /// Whatever a label, a parameter or a header holds arrives as it was, and a blob byte for byte.
    #[test]
    fn what_is_sent_arrives(
        id in "[a-zé%/ +-]{1,20}", token in "\\PC{0,20}", index in 0i32.., data in proptest::collection::vec(any::<u8>(), 0..200),
        checksum in "[!-~]{1,20}",
    ) {
        let encode = |text: &str| hive_auth::canonical::encode(text.as_bytes());
        let target = format!("/snapshots/{}/blocks/{index}?blockToken={}", encode(&id), encode(&token));
        let (_, got) = decoded("GET", &target, &[], b"").expect("decoded");
        prop_assert_eq!(got, json!({"SnapshotId": id, "BlockIndex": index, "BlockToken": token}));
        let target = format!("/snapshots/{}/blocks/{index}", encode(&id));
        let (_, got) = decoded("PUT", &target, &[("x-amz-checksum", &checksum)], &data).expect("decoded");
        prop_assert_eq!(got, json!({"SnapshotId": id, "BlockIndex": index, "Checksum": checksum,
            "BlockData": BASE64_STANDARD.encode(&data)}));
    }

    #[test]
    fn hostile_requests_never_panic(
        method in "GET|PUT|POST|DELETE", path in "(/(snapshots|blocks|completion|changedblocks|%ff|%|\\.\\.|[a-z0-9]{0,4})){0,5}",
        query in "(&?(maxResults|pageToken|blockToken)=[a-z0-9%]{0,5}){0,3}", body in "\\PC{0,60}|(\\[\\{\"Tags\":){0,40}",
    ) {
        if let Some(parts) = parts(&method, &format!("{path}?{query}"), &[("x-amz-data-length", "x")])
            && let Some(route) = route(&EBS, &parts)
        {
            let _ = decode(&route, &parts, body.as_bytes());
        }
    }
}
