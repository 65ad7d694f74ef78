use crate::client::{REGION, TestServer};
use http::StatusCode;

#[tokio::test]
async fn life_of_a_bucket() {
    let server = TestServer::start().await;
    let client = server.client(1);
    client.head("/b1x").await.expect(StatusCode::NOT_FOUND);
    let body = format!(
        "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    );
    let created = client.put("/b1x", body).await.expect(StatusCode::OK);
    assert_eq!(created.header("location"), Some("/b1x"));
    client.put("/b1x", "").await.refused(409, "BucketAlreadyOwnedByYou");
    client.put("/b0x", "").await.expect(StatusCode::OK);
    let head = client.head("/b1x").await.expect(StatusCode::OK);
    assert_eq!(head.header("x-amz-bucket-region"), Some(REGION));
    let listed = client.get("/").await.expect(StatusCode::OK);
    assert_eq!(listed.elements("Name"), ["b0x", "b1x"]);
    assert!(client.get("/b1x?location").await.text().contains(&format!(">{REGION}</LocationConstraint>")));
    assert!(client.get("/b1x?versioning").await.expect(StatusCode::OK).text().contains("VersioningConfiguration"));
    client.put("/b1x/k", "v").await.expect(StatusCode::OK);
    client.delete("/b1x").await.refused(409, "BucketNotEmpty");
    client.delete("/b1x/k").await.expect(StatusCode::NO_CONTENT);
    client.delete("/b1x").await.expect(StatusCode::NO_CONTENT);
    client.delete("/b1x").await.refused(404, "NoSuchBucket");
    client.put("/b1x/k", "v").await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn names_and_places_are_checked() {
    let server = TestServer::start().await;
    let client = server.client(1);
    client.put("/Bad_Name", "").await.refused(400, "InvalidBucketName");
    let elsewhere =
        "<CreateBucketConfiguration><LocationConstraint>mars-1</LocationConstraint></CreateBucketConfiguration>";
    client.put("/abc", elsewhere).await.refused(400, "IllegalLocationConstraintException");
    client.put("/abc", "<junk>").await.refused(400, "MalformedXML");
    client.get("/abc?list-type=2").await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn other_accounts_see_and_do_nothing() {
    let (server, owner) = TestServer::with_bucket().await;
    owner.put("/bkt/k", "secret").await.expect(StatusCode::OK);
    let other = server.client(2);
    assert_eq!(other.get("/").await.expect(StatusCode::OK).elements("Name"), [""; 0]);
    other.put("/bkt", "").await.refused(409, "BucketAlreadyExists");
    other.get("/bkt").await.refused(403, "AccessDenied");
    other.get("/bkt/k").await.refused(403, "AccessDenied");
    other.head("/bkt/k").await.expect(StatusCode::FORBIDDEN);
    other.put("/bkt/k", "overwritten").await.refused(403, "AccessDenied");
    other.delete("/bkt/k").await.refused(403, "AccessDenied");
    other.delete("/bkt").await.refused(403, "AccessDenied");
    other.put("/mine", "").await.expect(StatusCode::OK);
    other.put_with("/mine/k", &[("x-amz-copy-source", "/bkt/k")], "").await.refused(403, "AccessDenied");
    assert_eq!(owner.get("/bkt/k").await.body, "secret");
}
