//! S3 requests reach objectd unchanged and stream both ways.

use crate::cloud::{Cloud, element};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A server that answers with what it was asked: the target, each header, and the hash of the body.
async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo));
            tokio::spawn(connection);
        }
    });
    address
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("body").to_bytes();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", value.to_str().expect("header"));
    }
    text += &format!("body: {} {:x}\n", body.len(), Sha256::digest(&body));
    let answer = Response::builder().status(207).header("x-amz-version-id", "v1").body(Full::from(text));
    Ok(answer.expect("answer"))
}

#[tokio::test]
async fn requests_pass_unchanged() {
    let cloud = Cloud::start(echo_server().await).await;
    let body = vec![7_u8; 3 << 20];
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={}",
        "0".repeat(64)
    );
    let request = Request::put("/bucket/a%20b//c+%E2%82%AC/../d?partNumber=1&uploadId=x%2Fy")
        .header("host", "bucket.example:8443")
        .header("authorization", &authorization)
        .header("x-amz-date", "20260101T000000Z")
        .header("x-amz-meta-note", "two  words")
        .header("expect", "100-continue")
        .body(Full::from(body.clone()))
        .expect("request");
    let answer = cloud.send(request).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["x-amz-version-id"].as_bytes()), (207, &b"v1"[..]));
    let seen: Vec<&str> = answer.body().lines().collect();
    assert_eq!(seen[0], "PUT /bucket/a%20b//c+%E2%82%AC/../d?partNumber=1&uploadId=x%2Fy");
    for line in [
        "host: bucket.example:8443".to_owned(),
        format!("authorization: {authorization}"),
        "x-amz-meta-note: two  words".to_owned(),
        format!("content-length: {}", body.len()),
        format!("body: {} {:x}", body.len(), Sha256::digest(&body)),
    ] {
        assert!(seen.contains(&line.as_str()), "{line} is not in {seen:?}");
    }
}

#[tokio::test]
async fn anonymous_requests_are_objectds_to_refuse() {
    let cloud = Cloud::start(echo_server().await).await;
    let request = Request::get("/bucket/key").header("host", "h").body(Full::default()).expect("request");
    assert!(cloud.send(request).await.body().starts_with("GET /bucket/key\n"));
}

#[tokio::test]
async fn an_absent_objectd_is_503() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let cloud = Cloud::start(address).await;
    let get = Request::get("/bucket/key").header("host", "h").body(Full::default()).expect("request");
    let answer = cloud.send(get).await;
    assert_eq!((answer.status().as_u16(), element(answer.body(), "Code")), (503, "ServiceUnavailable"));
    assert!(answer.headers().contains_key("x-amz-request-id"));
    let head = Request::head("/bucket/key").header("host", "h").body(Full::default()).expect("request");
    let answer = cloud.send(head).await;
    assert_eq!((answer.status().as_u16(), answer.body().as_str()), (503, ""));
}
