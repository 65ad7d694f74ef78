//! Operations on buckets, and ListBuckets.

use super::{
    request::{Request, iso_date},
    respond::{self, Answer},
};
use crate::{
    error::{Code, S3Error},
    ops::{Store, check_key},
    xml::{self, Xml},
};
use http::{StatusCode, header};

/// Keys that one DeleteObjects may name.
const MAX_DELETES: usize = 1000;

pub(super) async fn list(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let buckets = store.meta.buckets(&request.caller).await?;
    let mut document = Xml::document("ListAllMyBucketsResult");
    document.open("Owner").text("ID", request.caller.as_str()).text("DisplayName", request.caller.as_str()).close();
    document.open("Buckets");
    for (name, bucket) in buckets {
        document.open("Bucket").text("Name", name).text("CreationDate", iso_date(bucket.created_ms)).close();
    }
    Ok(respond::xml(document))
}

pub(super) async fn create(store: &Store, request: &Request, body: &[u8]) -> Result<Answer, S3Error> {
    let configuration = match body {
        [] => None,
        body => Some(xml::parse(body, "CreateBucketConfiguration")?),
    };
    let location = configuration.as_ref().and_then(|element| element.child("LocationConstraint"));
    store.create_bucket(&request.caller, request.bucket(), location.filter(|text| !text.is_empty())).await?;
    let mut answer = respond::empty(StatusCode::OK);
    respond::set(&mut answer, header::LOCATION, format!("/{}", request.bucket()));
    Ok(answer)
}

pub(super) fn head(store: &Store) -> Answer {
    let mut answer = respond::empty(StatusCode::OK);
    respond::set(&mut answer, "x-amz-bucket-region", store.region.as_bytes());
    answer
}

pub(super) async fn delete(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    store.delete_bucket(&request.caller, request.bucket()).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

pub(super) fn location(store: &Store) -> Answer {
    let mut document = Xml::document("LocationConstraint");
    // The first region is named by silence.
    if &*store.region != "us-east-1" {
        document.content(&store.region);
    }
    respond::xml(document)
}

/// Versioning was never enabled: S3 answers with an empty configuration.
pub(super) fn versioning() -> Answer {
    respond::xml(Xml::document("VersioningConfiguration"))
}

pub(super) async fn delete_objects(store: &Store, request: &Request, body: &[u8]) -> Result<Answer, S3Error> {
    let delete = xml::parse(body, "Delete")?;
    let quiet = delete.child("Quiet") == Some("true");
    let mut keys = Vec::new();
    for object in delete.children.iter().filter(|child| child.name == "Object") {
        if object.child("VersionId").is_some_and(|version| version != "null") {
            return Err(S3Error::saying(Code::NotImplemented, "Versions of objects are not implemented"));
        }
        let key = object.child("Key").filter(|key| !key.is_empty()).ok_or(Code::MalformedXML)?;
        keys.push(key.to_owned());
    }
    if keys.is_empty() || keys.len() > MAX_DELETES {
        return Err(Code::MalformedXML.into());
    }
    let (known, wrong): (Vec<String>, Vec<String>) = keys.into_iter().partition(|key| check_key(key).is_ok());
    store.delete_objects(request.bucket(), known.clone()).await?;
    let mut document = Xml::document("DeleteResult");
    for key in known.iter().filter(|_| !quiet) {
        document.open("Deleted").text("Key", key).close();
    }
    for key in &wrong {
        let code = Code::KeyTooLongError;
        document.open("Error").text("Key", key).text("Code", code.name()).text("Message", code.message()).close();
    }
    Ok(respond::xml(document))
}
