//! What hostile or mistaken clients get.

use crate::client::{REGION, TestServer};
use bytes::Bytes;
use hive_auth::{Payload, Secret, sign::Signer};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn authentication() {
    let (server, client) = TestServer::with_bucket().await;
    client.put("/bkt/k", "v").await.expect(StatusCode::OK);
    client.send_raw(client.parts("GET", "/bkt/k", &[]), Bytes::new()).await.refused(403, "AccessDenied");

    let mut wrong = client.clone();
    wrong.credential.secret = Secret::new("guessed");
    wrong.get("/bkt/k").await.refused(403, "SignatureDoesNotMatch");
    wrong.head("/bkt/k").await.expect(StatusCode::FORBIDDEN);
    wrong.credential.access_key_id = "AKIANOBODY".into();
    wrong.get("/bkt/k").await.refused(403, "InvalidAccessKeyId");

    let at = |minutes| Timestamp::now() + SignedDuration::from_mins(minutes);
    for minutes in [-20, 20] {
        let mut parts = client.parts("GET", "/bkt/k", &[]);
        client.signer().sign_header(&mut parts, Payload::Unsigned, at(minutes)).unwrap();
        client.send_raw(parts, Bytes::new()).await.refused(403, "RequestTimeTooSkewed");
    }
    let mut parts = client.parts("GET", "/bkt/k", &[]);
    let elsewhere = Signer { credential: &client.credential, region: "mars-1", service: "s3" };
    elsewhere.sign_header(&mut parts, Payload::Unsigned, at(0)).unwrap();
    let reply = client.send_raw(parts, Bytes::new()).await.refused(400, "AuthorizationHeaderMalformed");
    assert_eq!(reply.element("Region").as_deref(), Some(REGION));

    let mut parts = client.parts("GET", "/bkt/k", &[("authorization", "AWS AKIA:c2ln")]);
    parts.headers.insert("x-amz-date", "x".parse().unwrap());
    client.send_raw(parts, Bytes::new()).await.refused(400, "InvalidRequest");
    drop(server);
}

#[tokio::test]
async fn presigned_urls() {
    let (_server, client) = TestServer::with_bucket().await;
    let mut parts = client.parts("PUT", "/bkt/k", &[]);
    client.signer().presign(&mut parts, 60, Timestamp::now()).unwrap();
    client.send_raw(parts, "by url".into()).await.expect(StatusCode::OK);
    let mut parts = client.parts("GET", "/bkt/k", &[]);
    client.signer().presign(&mut parts, 60, Timestamp::now()).unwrap();
    assert_eq!(client.send_raw(parts.clone(), Bytes::new()).await.body, "by url");
    parts.uri = parts.uri.to_string().replace("/bkt/k", "/bkt/l").parse().unwrap();
    client.send_raw(parts, Bytes::new()).await.refused(403, "SignatureDoesNotMatch");
    let mut parts = client.parts("GET", "/bkt/k", &[]);
    client.signer().presign(&mut parts, 60, Timestamp::now() - SignedDuration::from_mins(2)).unwrap();
    client.send_raw(parts, Bytes::new()).await.refused(403, "AccessDenied");
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let (_server, client) = TestServer::with_bucket().await;
    for target in ["/bkt?acl", "/bkt?policy", "/bkt?versions", "/bkt?lifecycle", "/bkt/k?tagging", "/bkt/k?versionId=1"]
    {
        client.get(target).await.refused(501, "NotImplemented");
    }
    client.put_with("/bkt/k", &[("x-amz-server-side-encryption", "AES256")], "v").await.refused(501, "NotImplemented");
    client.put_with("/bkt/k", &[("x-amz-acl", "public-read")], "v").await.refused(400, "AccessControlListNotSupported");
    client.send("PATCH", "/bkt/k", &[], "").await.refused(405, "MethodNotAllowed");
}

#[tokio::test]
async fn sizes_are_bounded() {
    let (server, client) = TestServer::with_bucket().await;
    // Announced, never sent: refused by its announcement.
    let mut parts = client.parts("PUT", "/bkt/k", &[("content-length", &(5u64 * (1 << 30) + 1).to_string())]);
    client.signer().sign_header(&mut parts, Payload::Unsigned, Timestamp::now()).unwrap();
    let mut wire = TcpStream::connect(server.address).await.unwrap();
    let mut request = format!("PUT {} HTTP/1.1\r\n", parts.uri);
    for (name, value) in &parts.headers {
        request += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    wire.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = wire.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("EntityTooLarge"), "{answer}");

    let xml = format!("<Delete>{}</Delete>", " ".repeat(2 << 20));
    client.post("/bkt?delete", xml).await.refused(400, "MalformedXML");
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing() {
    let (server, client) = TestServer::with_bucket().await;
    let mut parts = client.parts("PUT", "/bkt/k", &[("content-length", "1000000"), ("expect", "100-continue")]);
    client.signer().sign_header(&mut parts, Payload::Unsigned, Timestamp::now()).unwrap();
    let mut wire = TcpStream::connect(server.address).await.unwrap();
    let mut request = format!("PUT {} HTTP/1.1\r\n", parts.uri);
    for (name, value) in &parts.headers {
        request += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    wire.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    wire.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    wire.write_all(&vec![0; 600_000]).await.unwrap();
    server.settle(1).await;
    drop(wire);
    server.settle(0).await;
    client.get("/bkt/k").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads() {
    let server = TestServer::start_with(|config| config.limits.reserve_mib = 1 << 30).await;
    let client = server.client(1);
    client.put("/bucket", "").await.expect(StatusCode::OK);
    for size in [10, 100_000] {
        client.put("/bucket/k", vec![0; size]).await.refused(507, "InsufficientStorage");
    }
    assert_eq!(client.get("/bucket?list-type=2").await.expect(StatusCode::OK).elements("Key"), [""; 0]);
}
