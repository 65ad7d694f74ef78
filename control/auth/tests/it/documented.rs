//! The worked examples of the AWS documentation: S3 "Authenticating requests: using the Authorization header", "using
//! query parameters", "chunked upload"; IAM "Create a signed AWS API request".

use crate::{credential, verify};
use hive_auth::{
    Expected, Payload, Rules,
    sign::{EMPTY_SHA256, Signer},
    stamp,
};
use http::{Request, request::Parts};

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SCOPE: &str = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = Request::builder().method(method).uri(uri);
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn check_s3(parts: &Parts) -> hive_auth::Verified {
    let expected = Expected { service: "s3", regions: &["us-east-1"], rules: Rules::S3 };
    verify(parts, credential(KEY_ID, SECRET), &expected, stamp::parse("20130524T000000Z").unwrap()).unwrap()
}

fn check_header(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    signed: &str,
    signature: &str,
) -> hive_auth::Verified {
    let mut parts = request(method, uri, headers);
    let value = format!("AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders={signed},Signature={signature}");
    parts.headers.insert("authorization", value.parse().unwrap());
    check_s3(&parts)
}

#[test]
fn s3_get_object() {
    check_header(
        "GET",
        "/test.txt",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
        ],
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
}

#[test]
fn s3_put_object_signed_by_its_date_header() {
    check_header(
        "PUT",
        "/test$file.text",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
        ],
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
}

#[test]
fn s3_queries_without_value_and_with_two_parameters() {
    let headers = [
        ("host", "examplebucket.s3.amazonaws.com"),
        ("x-amz-content-sha256", EMPTY),
        ("x-amz-date", "20130524T000000Z"),
    ];
    let signed = "host;x-amz-content-sha256;x-amz-date";
    let lifecycle = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
    check_header("GET", "/?lifecycle", &headers, signed, lifecycle);
    let list = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
    check_header("GET", "/?max-keys=2&prefix=J", &headers, signed, list);
}

#[test]
fn s3_presigned_url() {
    let mut parts = request("GET", "/test.txt", &[("host", "examplebucket.s3.amazonaws.com")]);
    let known = credential(KEY_ID, SECRET);
    let signer = Signer { credential: &known, region: "us-east-1", service: "s3" };
    signer.presign(&mut parts, 86_400, stamp::parse("20130524T000000Z").unwrap()).unwrap();
    assert_eq!(
        parts.uri.to_string(),
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
    assert_eq!(check_s3(&parts).payload, Payload::Unsigned);
}

/// The seed of the chunked upload; the chunks themselves are checked beside the decoder.
#[test]
fn s3_chunked_seed() {
    let verified = check_header(
        "PUT",
        "/examplebucket/chunkObject.txt",
        &[
            ("host", "s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("content-length", "66824"),
        ],
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    );
    assert_eq!(verified.payload, Payload::SignedChunks);
    let mut first = [0; 32];
    hex::decode_to_slice("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", &mut first).unwrap();
    let mut digest = [0; 32];
    hex::decode_to_slice("bf718b6f653bebc184e1479f1935b8da974d701b893afcf49e701f3e2f9f9c5a", &mut digest).unwrap();
    assert_eq!(verified.chunks.unwrap().sign_chunk(digest), first);
}

#[test]
fn iam_list_users() {
    let headers = [
        ("host", "iam.amazonaws.com"),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-amz-date", "20150830T123600Z"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ];
    let parts = request("GET", "/?Action=ListUsers&Version=2010-05-08", &headers);
    let expected =
        Expected { service: "iam", regions: &["us-east-1"], rules: Rules::Query { body_sha256: EMPTY_SHA256 } };
    let known = credential("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    verify(&parts, known, &expected, stamp::parse("20150830T123600Z").unwrap()).unwrap();
}
