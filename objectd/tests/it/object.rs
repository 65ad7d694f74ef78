use crate::client::{DOMAIN, TestServer};
use base64::{Engine, prelude::BASE64_STANDARD};
use hive_auth::Payload;
use http::StatusCode;
use md5::{Digest, Md5};

/// The sizes around every boundary of the store: none, inline, one buffer, several.
const SIZES: [usize; 8] = [0, 1, 16_384, 16_385, 262_143, 262_144, 262_145, 1_500_000];

fn data(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 7 + index / 251) as u8).collect()
}

#[tokio::test]
async fn objects_of_every_size_come_back() {
    let (server, client) = TestServer::with_bucket().await;
    for size in SIZES {
        let body = data(size);
        let target = format!("/bkt/dir/{size}");
        let etag = client.put(&target, body.clone()).await.expect(StatusCode::OK).etag();
        assert_eq!(etag, format!("\"{}\"", hex::encode(Md5::digest(&body))));
        let got = client.get(&target).await.expect(StatusCode::OK);
        assert_eq!(got.body, body, "{size}");
        assert_eq!((got.etag(), got.header("accept-ranges")), (etag.clone(), Some("bytes")));
        let head = client.head(&target).await.expect(StatusCode::OK);
        assert_eq!(head.header("content-length"), Some(size.to_string().as_str()));
        assert_eq!((head.etag(), head.body.len()), (etag, 0));
    }
    for size in SIZES {
        client.delete(&format!("/bkt/dir/{size}")).await.expect(StatusCode::NO_CONTENT);
    }
    client.delete("/bkt/dir/never").await.expect(StatusCode::NO_CONTENT);
    server.settle(0).await;
    client.get("/bkt/dir/0").await.refused(404, "NoSuchKey");
    client.head("/bkt/dir/0").await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn virtual_host_and_odd_keys() {
    let (_server, client) = TestServer::with_bucket().await;
    let host = [("host", &*format!("bkt.{DOMAIN}:80"))];
    client.put_with("/a%20b/%E2%82%AC+%25//..", &host, "odd").await.expect(StatusCode::OK);
    assert_eq!(client.get("/bkt/a%20b/%E2%82%AC+%25//..").await.expect(StatusCode::OK).body, "odd");
    assert_eq!(client.get_with("/", &host).await.element("Key").as_deref(), Some("a b/\u{20ac}+%//.."));
    let long = "k".repeat(1025);
    client.put(&format!("/bkt/{long}"), "").await.refused(400, "KeyTooLongError");
    client.put(&format!("/bkt/{}", &long[1..]), "").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn headers_are_stored_and_overridden() {
    let (_server, client) = TestServer::with_bucket().await;
    let headers = [
        ("content-type", "text/html"),
        ("cache-control", "no-cache"),
        ("content-disposition", "inline"),
        ("expires", "Thu, 01 Dec 2044 16:00:00 GMT"),
        ("x-amz-meta-colour", "blue"),
    ];
    client.put_with("/bkt/k", &headers, "v").await.expect(StatusCode::OK);
    let got = client.get("/bkt/k").await;
    for (name, value) in headers {
        assert_eq!(got.header(name), Some(value));
    }
    let target = "/bkt/k?response-content-type=text%2Fplain&response-content-disposition=attachment";
    let got = client.get(target).await;
    assert_eq!(got.header("content-type"), Some("text/plain"));
    assert_eq!(got.header("content-disposition"), Some("attachment"));
    client.put("/bkt/k", "v").await.expect(StatusCode::OK);
    let got = client.get("/bkt/k").await;
    assert_eq!((got.header("content-type"), got.header("x-amz-meta-colour")), (Some("binary/octet-stream"), None));
    let large = "x".repeat(2049);
    client.put_with("/bkt/k", &[("x-amz-meta-a", &large)], "").await.refused(400, "MetadataTooLarge");
}

#[tokio::test]
async fn ranges() {
    let (_server, client) = TestServer::with_bucket().await;
    let body = data(600_000);
    client.put("/bkt/large", body.clone()).await.expect(StatusCode::OK);
    client.put("/bkt/small", &b"0123456789"[..]).await.expect(StatusCode::OK);
    for (range, slice) in
        [("bytes=0-0", 0..1), ("bytes=262140-262150", 262_140..262_151), ("bytes=-5", 599_995..600_000)]
    {
        let got = client.get_with("/bkt/large", &[("range", range)]).await.expect(StatusCode::PARTIAL_CONTENT);
        assert_eq!(got.body, body[slice.clone()]);
        let expected = format!("bytes {}-{}/600000", slice.start, slice.end - 1);
        assert_eq!(got.header("content-range"), Some(expected.as_str()));
    }
    let got = client.get_with("/bkt/small", &[("range", "bytes=3-5")]).await.expect(StatusCode::PARTIAL_CONTENT);
    assert_eq!(got.body, "345");
    client.get_with("/bkt/small", &[("range", "bytes=10-")]).await.refused(416, "InvalidRange");
    let whole = client.get_with("/bkt/small", &[("range", "bytes=5-3")]).await.expect(StatusCode::OK);
    assert_eq!(whole.body, "0123456789");
}

#[tokio::test]
async fn conditional_reads() {
    let (_server, client) = TestServer::with_bucket().await;
    let etag = client.put("/bkt/k", "v").await.etag();
    let modified = client.head("/bkt/k").await.header("last-modified").unwrap().to_owned();
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", &etag, 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", &modified, 304),
        ("if-modified-since", past, 200),
        ("if-unmodified-since", &modified, 200),
        ("if-unmodified-since", past, 412),
    ] {
        let got = client.get_with("/bkt/k", &[(name, value)]).await;
        assert_eq!(got.status.as_u16(), status, "{name}: {value}");
        assert_eq!(client.send("HEAD", "/bkt/k", &[(name, value)], "").await.status.as_u16(), status);
    }
}

#[tokio::test]
async fn conditional_writes() {
    let (_server, client) = TestServer::with_bucket().await;
    let absent = [("if-none-match", "*")];
    client.put_with("/bkt/k", &[("if-match", "\"x\"")], "0").await.refused(404, "NoSuchKey");
    let etag = client.put_with("/bkt/k", &absent, "1").await.expect(StatusCode::OK).etag();
    client.put_with("/bkt/k", &absent, "2").await.refused(412, "PreconditionFailed");
    client.put_with("/bkt/k", &[("if-match", "\"x\"")], "2").await.refused(412, "PreconditionFailed");
    client.put_with("/bkt/k", &[("if-match", &etag)], "2").await.expect(StatusCode::OK);
    client.put_with("/bkt/k", &[("if-none-match", &etag)], "2").await.refused(501, "NotImplemented");
    assert_eq!(client.get("/bkt/k").await.body, "2");
}

/// Of many that want to create one key, exactly one does, small or large; the losers leave nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_creates() {
    let (server, client) = TestServer::with_bucket().await;
    for (round, size) in [10, 100_000].into_iter().enumerate() {
        let target = format!("/bkt/race{round}");
        let attempts = (0..16u8).map(|id| {
            let (client, target) = (client.clone(), target.clone());
            tokio::spawn(async move {
                let reply = client.put_with(&target, &[("if-none-match", "*")], vec![id; size]).await;
                (id, reply.status.as_u16())
            })
        });
        let mut winners = Vec::new();
        for attempt in attempts.collect::<Vec<_>>() {
            match attempt.await.unwrap() {
                (id, 200) => winners.push(id),
                (_, status) => assert_eq!(status, 412),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(client.get(&target).await.body, vec![winners[0]; size]);
    }
    server.settle(1).await;
}

#[tokio::test]
async fn digests_are_checked_and_checksums_kept() {
    let (server, client) = TestServer::with_bucket().await;
    let md5 = BASE64_STANDARD.encode(Md5::digest(b"hello"));
    client.put_with("/bkt/k", &[("content-md5", &md5)], "hello").await.expect(StatusCode::OK);
    client.put_with("/bkt/k", &[("content-md5", &md5)], "other").await.refused(400, "BadDigest");
    client.put_with("/bkt/k", &[("content-md5", "xyz")], "hello").await.refused(400, "InvalidDigest");
    let crc = [("x-amz-checksum-crc32", "NhCmhg==")];
    let put = client.put_with("/bkt/k", &crc, "hello").await.expect(StatusCode::OK);
    assert_eq!(put.header("x-amz-checksum-crc32"), Some("NhCmhg=="));
    client.put_with("/bkt/k", &crc, "other").await.refused(400, "BadDigest");
    client.put_with("/bkt/k", &[("x-amz-checksum-sha1", "NhCmhg==")], "hello").await.refused(400, "InvalidRequest");
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    let got = client.get_with("/bkt/k", &mode).await;
    assert_eq!(
        (got.header("x-amz-checksum-crc32"), got.header("x-amz-checksum-type")),
        (Some("NhCmhg=="), Some("FULL_OBJECT"))
    );
    assert_eq!(client.get("/bkt/k").await.header("x-amz-checksum-crc32"), None);
    client.put("/bkt/none", "hello").await.expect(StatusCode::OK);
    assert!(client.get_with("/bkt/none", &mode).await.header("x-amz-checksum-crc64nvme").is_some());
    // A body that is not the signed one, small and large.
    for size in [5, 300_000] {
        let mut parts = client.parts("PUT", "/bkt/forged", &[]);
        client.signer().sign_header(&mut parts, Payload::Sha256([1; 32]), jiff::Timestamp::now()).unwrap();
        client.send_raw(parts, vec![0; size].into()).await.refused(400, "XAmzContentSHA256Mismatch");
    }
    client.get("/bkt/forged").await.refused(404, "NoSuchKey");
    server.settle(0).await;
}

#[tokio::test]
async fn chunked_bodies() {
    let (_server, client) = TestServer::with_bucket().await;
    let body = data(300_000);
    let crc = {
        let mut running = hive_objectd::checksum::Running::new(hive_objectd::checksum::Algorithm::Crc32c);
        running.update(&body);
        running.finish()
    };
    let trailers = [("x-amz-checksum-crc32c", crc.as_str())];
    let good: [(Payload, &[(&str, &str)]); 3] = [
        (Payload::SignedChunks, &[]),
        (Payload::SignedChunksWithTrailer, &trailers),
        (Payload::UnsignedChunksWithTrailer, &trailers),
    ];
    for (payload, trailers) in good {
        client.send_chunked("/bkt/c", payload, &[], &body, trailers).await.expect(StatusCode::OK);
        let got = client.get_with("/bkt/c", &[("x-amz-checksum-mode", "ENABLED")]).await;
        assert_eq!((got.body, got.headers.get("content-encoding")), (body.clone().into(), None));
        assert_eq!(got.headers.contains_key("x-amz-checksum-crc32c"), !trailers.is_empty());
        client.delete("/bkt/c").await.expect(StatusCode::NO_CONTENT);
    }
    let wrong = [("x-amz-checksum-crc32c", "AAAAAA==")];
    let sent = client.send_chunked("/bkt/c", Payload::UnsignedChunksWithTrailer, &[], &body, &wrong).await;
    sent.refused(400, "BadDigest");
    client.get("/bkt/c").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn copies() {
    let (_server, client) = TestServer::with_bucket().await;
    client.put("/other-bucket", "").await.expect(StatusCode::OK);
    let body = data(400_000);
    let source = [("content-type", "text/x"), ("x-amz-meta-a", "1")];
    let etag = client.put_with("/bkt/a%20%C3%A4", &source, body.clone()).await.etag();
    let from = ("x-amz-copy-source", "/bkt/a%20%C3%A4");
    let copied = client.put_with("/other-bucket/c", &[from], "").await.expect(StatusCode::OK);
    assert_eq!(copied.element("ETag").unwrap().replace("&quot;", "\""), etag);
    let got = client.get("/other-bucket/c").await;
    assert_eq!(
        (&got.body[..], got.header("content-type"), got.header("x-amz-meta-a")),
        (&body[..], Some("text/x"), Some("1"))
    );
    let replace = [from, ("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-b", "2")];
    client.put_with("/bkt/a%20%C3%A4", &replace, "").await.expect(StatusCode::OK);
    let got = client.get("/bkt/a%20%C3%A4").await;
    assert_eq!((&got.body[..], got.header("x-amz-meta-a"), got.header("x-amz-meta-b")), (&body[..], None, Some("2")));
    client.put_with("/bkt/a%20%C3%A4", &[from], "").await.refused(400, "InvalidRequest");
    client.put_with("/bkt/x", &[("x-amz-copy-source", "/bkt/none")], "").await.refused(404, "NoSuchKey");
    client.put_with("/bkt/x", &[("x-amz-copy-source", "b")], "").await.refused(400, "InvalidArgument");
    let unmatched = [from, ("x-amz-copy-source-if-none-match", etag.as_str())];
    client.put_with("/bkt/x", &unmatched, "").await.refused(412, "PreconditionFailed");
    client.put_with("/bkt/x", &[from, ("x-amz-copy-source-if-match", etag.as_str())], "").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn batch_delete() {
    let (server, client) = TestServer::with_bucket().await;
    for key in ["a", "b%26c"] {
        client.put(&format!("/bkt/{key}"), data(20_000)).await.expect(StatusCode::OK);
    }
    let body = "<Delete><Object><Key>a</Key></Object><Object><Key>b&amp;c</Key></Object><Object><Key>none</Key></Object></Delete>";
    let deleted = client.post("/bkt?delete", body).await.expect(StatusCode::OK);
    assert_eq!(deleted.elements("Key"), ["a", "b&amp;c", "none"]);
    server.settle(0).await;
    let quiet = "<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>";
    assert_eq!(client.post("/bkt?delete", quiet).await.expect(StatusCode::OK).elements("Key"), [""; 0]);
    client.post("/bkt?delete", "<Delete></Delete>").await.refused(400, "MalformedXML");
    let many = "<Object><Key>k</Key></Object>".repeat(1001);
    client.post("/bkt?delete", format!("<Delete>{many}</Delete>")).await.refused(400, "MalformedXML");
}

/// A download that began before the object was replaced ends with the bytes it began with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_replacements_do_not_mix() {
    let (server, client) = TestServer::with_bucket().await;
    let size = 2_000_000;
    client.put("/bkt/k", vec![0; size]).await.expect(StatusCode::OK);
    let writer = tokio::spawn({
        let client = client.clone();
        async move {
            for version in 1..=20u8 {
                client.put("/bkt/k", vec![version; size]).await.expect(StatusCode::OK);
            }
        }
    });
    while !writer.is_finished() {
        let body = client.get("/bkt/k").await.expect(StatusCode::OK).body;
        assert!(body.len() == size && body.iter().all(|byte| *byte == body[0]));
    }
    writer.await.unwrap();
    // What readers held back goes with the next removal.
    client.put("/bkt/k", "").await.expect(StatusCode::OK);
    server.settle(0).await;
}
