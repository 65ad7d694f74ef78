use crate::client::{Client, TestServer};
use http::StatusCode;
use md5::{Digest, Md5};

const MIN_PART: usize = 5 << 20;

async fn create(client: &Client, target: &str, headers: &[(&str, &str)]) -> String {
    let created = client.send("POST", &format!("{target}?uploads"), headers, "").await.expect(StatusCode::OK);
    created.element("UploadId").unwrap()
}

async fn part(client: &Client, target: &str, id: &str, number: u32, body: Vec<u8>) -> String {
    client.put(&format!("{target}?partNumber={number}&uploadId={id}"), body).await.expect(StatusCode::OK).etag()
}

fn completion(parts: &[(u32, &str)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(number, etag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"))
        .collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

#[tokio::test]
async fn parts_become_an_object() {
    let (server, client) = TestServer::with_bucket().await;
    let id = create(&client, "/bkt/m", &[("content-type", "text/x")]).await;
    let (one, two) = (vec![1; MIN_PART], vec![2; 1000]);
    part(&client, "/bkt/m", &id, 1, vec![9; 10]).await;
    let first = part(&client, "/bkt/m", &id, 1, one.clone()).await;
    let second = part(&client, "/bkt/m", &id, 7, two.clone()).await;
    part(&client, "/bkt/m", &id, 8, vec![3; 10]).await;
    server.settle(3).await;

    let listed = client.get(&format!("/bkt/m?uploadId={id}&max-parts=2")).await.expect(StatusCode::OK);
    assert_eq!(listed.elements("PartNumber"), ["1", "7"]);
    assert_eq!(listed.element("IsTruncated").as_deref(), Some("true"));
    let rest = client.get(&format!("/bkt/m?uploadId={id}&part-number-marker=7")).await;
    assert_eq!(rest.elements("PartNumber"), ["8"]);
    assert_eq!(client.get("/bkt?uploads").await.elements("UploadId"), [id.as_str()]);
    client.get("/bkt/m").await.refused(404, "NoSuchKey");

    let target = format!("/bkt/m?uploadId={id}");
    let refuse = |parts: String| client.post(&target, parts);
    refuse(completion(&[(7, &second), (1, &first)])).await.refused(400, "InvalidPartOrder");
    refuse(completion(&[(1, &second)])).await.refused(400, "InvalidPart");
    refuse(completion(&[(2, &first)])).await.refused(400, "InvalidPart");
    refuse(completion(&[(7, &second), (8, "\"x\"")])).await.refused(400, "EntityTooSmall");
    refuse(completion(&[])).await.refused(400, "MalformedXML");
    refuse("<nonsense/>".into()).await.refused(400, "MalformedXML");

    let done = client.post(&target, completion(&[(1, &first), (7, &second)])).await.expect(StatusCode::OK);
    let digests = [Md5::digest(&one), Md5::digest(&two)].concat();
    let etag = format!("\"{}-2\"", hex::encode(Md5::digest(digests)));
    assert_eq!(done.element("ETag").unwrap().replace("&quot;", "\""), etag);
    let got = client.get("/bkt/m").await.expect(StatusCode::OK);
    assert_eq!(
        (&got.body[..], got.etag(), got.header("content-type")),
        (&[one, two.clone()].concat()[..], etag, Some("text/x"))
    );
    let across = client.get_with("/bkt/m", &[("range", "bytes=5242879-5242880")]).await;
    assert_eq!(&across.body[..], [1, 2]);
    let second = client.get("/bkt/m?partNumber=2").await.expect(StatusCode::PARTIAL_CONTENT);
    assert_eq!((&second.body[..], second.header("x-amz-mp-parts-count")), (&two[..], Some("2")));
    client.get("/bkt/m?partNumber=3").await.refused(416, "InvalidPartNumber");
    refuse(completion(&[(1, &first)])).await.refused(404, "NoSuchUpload");
    // The part that was not named is gone, and with the object the others.
    server.settle(2).await;
    client.delete("/bkt/m").await.expect(StatusCode::NO_CONTENT);
    server.settle(0).await;
}

#[tokio::test]
async fn aborts_conditions_and_wrong_ids() {
    let (server, client) = TestServer::with_bucket().await;
    let id = create(&client, "/bkt/m", &[]).await;
    let etag = part(&client, "/bkt/m", &id, 1, vec![1; 10]).await;
    client.put("/bkt/m", "there").await.expect(StatusCode::OK);
    let target = format!("/bkt/m?uploadId={id}");
    let reply = client.send("POST", &target, &[("if-none-match", "*")], completion(&[(1, &etag)])).await;
    reply.refused(412, "PreconditionFailed");
    assert_eq!(client.get("/bkt/m").await.body, "there");
    client.put(&format!("/bkt/m?partNumber=0&uploadId={id}"), "").await.refused(400, "InvalidArgument");
    client.put(&format!("/bkt/m?partNumber=10001&uploadId={id}"), "").await.refused(400, "InvalidArgument");
    client.put(&format!("/bkt/other?partNumber=1&uploadId={id}"), "").await.refused(404, "NoSuchUpload");
    client.put("/bkt/m?partNumber=1&uploadId=zz", "").await.refused(404, "NoSuchUpload");
    client.delete(&target).await.expect(StatusCode::NO_CONTENT);
    client.delete(&target).await.refused(404, "NoSuchUpload");
    server.settle(0).await;
}

#[tokio::test]
async fn checksums_of_parts_and_whole() {
    use hive_objectd::checksum::{Algorithm, Kind, Running, combine};
    let (_server, client) = TestServer::with_bucket().await;
    let value = |body: &[u8]| {
        let mut running = Running::new(Algorithm::Crc32);
        running.update(body);
        running.finish()
    };
    let (one, two) = (vec![1; MIN_PART], vec![2; 10]);
    let (first, second) = (value(&one), value(&two));
    for kind in [Kind::Composite, Kind::FullObject] {
        let headers = [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", kind.name())];
        let id = create(&client, "/bkt/m", &headers).await;
        let mut parts = String::new();
        for (number, body, checksum) in [(1, &one, &first), (2, &two, &second)] {
            let target = format!("/bkt/m?partNumber={number}&uploadId={id}");
            let put = client.put_with(&target, &[("x-amz-checksum-crc32", checksum)], body.clone()).await;
            let etag = put.expect(StatusCode::OK).etag();
            parts += &format!(
                "<Part><ETag>{etag}</ETag><ChecksumCRC32>{checksum}</ChecksumCRC32><PartNumber>{number}</PartNumber></Part>"
            );
        }
        let target = format!("/bkt/m?uploadId={id}");
        let body = |parts: &str| format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        client.post(&target, body(&parts.replace(&*second, "AAAAAA=="))).await.refused(400, "InvalidPart");
        let done = client.post(&target, body(&parts)).await.expect(StatusCode::OK);
        let sizes = [(first.as_str(), one.len() as u64), (second.as_str(), two.len() as u64)];
        let whole = combine(Algorithm::Crc32, kind, &sizes).unwrap().value;
        assert_eq!(done.element("ChecksumCRC32"), Some(whole.clone()));
        let head = client.send("HEAD", "/bkt/m", &[("x-amz-checksum-mode", "ENABLED")], "").await;
        assert_eq!(head.header("x-amz-checksum-crc32"), Some(whole.as_str()));
    }
}

#[tokio::test]
async fn parts_are_copied_from_objects() {
    let (_server, client) = TestServer::with_bucket().await;
    let body: Vec<u8> = (0..700_000u32).map(|index| index as u8).collect();
    client.put("/bkt/source", body.clone()).await.expect(StatusCode::OK);
    let id = create(&client, "/bkt/m", &[]).await;
    let target = format!("/bkt/m?partNumber=1&uploadId={id}");
    let from = ("x-amz-copy-source", "bkt/source");
    let copied = client.put_with(&target, &[from, ("x-amz-copy-source-range", "bytes=100-699999")], "").await;
    let etag = copied.expect(StatusCode::OK).element("ETag").unwrap();
    let beyond = [from, ("x-amz-copy-source-range", "bytes=0-700000")];
    client.put_with(&target, &beyond, "").await.refused(400, "InvalidArgument");
    client.post(&format!("/bkt/m?uploadId={id}"), completion(&[(1, &etag)])).await.expect(StatusCode::OK);
    assert_eq!(client.get("/bkt/m").await.body, body[100..]);
}

#[tokio::test]
async fn uploads_are_listed_in_pages_and_go_with_their_bucket() {
    let (server, client) = TestServer::with_bucket().await;
    let mut made = Vec::new();
    for key in ["a", "a", "d/1", "d/2", "e"] {
        let id = create(&client, &format!("/bkt/{key}"), &[]).await;
        part(&client, &format!("/bkt/{key}"), &id, 1, vec![0; 10]).await;
        made.push((key.to_owned(), id));
    }
    made.sort();
    let (mut listed, mut position) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/bkt?uploads&max-uploads=2{position}")).await.expect(StatusCode::OK);
        listed.extend(page.elements("Key").into_iter().zip(page.elements("UploadId")));
        if page.element("IsTruncated").as_deref() == Some("false") {
            break;
        }
        position = format!(
            "&key-marker={}&upload-id-marker={}",
            page.element("NextKeyMarker").unwrap(),
            page.element("NextUploadIdMarker").unwrap()
        );
    }
    assert_eq!(listed, made);
    let rolled = client.get("/bkt?uploads&delimiter=/&prefix=d").await;
    assert_eq!(rolled.elements("CommonPrefixes"), ["<Prefix>d/</Prefix>"]);
    client.delete("/bkt").await.expect(StatusCode::NO_CONTENT);
    server.settle(0).await;
}
