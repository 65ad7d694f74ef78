//! From method, target and parameters to the operation; what is not there is named as missing.

use super::{
    body::{self, Framing},
    bucket, list, multipart, object,
    request::Request,
    respond::Answer,
};
use crate::{
    error::{Code, S3Error},
    ops::{Store, check_key},
};
use http::Method;
use hyper::body::Incoming;
use std::time::Duration;

/// The operations served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    ListBuckets,
    CreateBucket,
    HeadBucket,
    DeleteBucket,
    GetBucketLocation,
    GetBucketVersioning,
    ListObjects,
    ListObjectsV2,
    ListMultipartUploads,
    DeleteObjects,
    PutObject,
    CopyObject,
    /// Get or head.
    ReadObject,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
}

/// Parameters that select operations which do not exist here.
const UNIMPLEMENTED_PARAMETERS: [&str; 34] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "attributes",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metadataConfiguration",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "versions",
    "website",
    "append",
];

/// Headers that ask for what does not exist here. Ignoring them would store something else than the client means.
const UNIMPLEMENTED_HEADERS: [&str; 9] = [
    "x-amz-bucket-object-lock-enabled",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-retain-until-date",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
];

fn not_implemented(what: &'static str, name: &str) -> S3Error {
    let message = format!("A {what} you provided implies functionality that is not implemented: {name}");
    S3Error::saying(Code::NotImplemented, message)
}

/// Refuses what cannot be honoured.
fn check_supported(request: &Request) -> Result<(), S3Error> {
    if let Some((name, _)) = request.query.iter().find(|(name, _)| UNIMPLEMENTED_PARAMETERS.contains(&name.as_str())) {
        return Err(not_implemented("query parameter", name));
    }
    if request.text("versionId").is_some_and(|version| version != "null") {
        return Err(not_implemented("query parameter", "versionId"));
    }
    if let Some(name) = UNIMPLEMENTED_HEADERS.into_iter().find(|name| request.header(name).is_some()) {
        return Err(not_implemented("header", name).with("Header", name));
    }
    if request.parts.headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-")) {
        return Err(Code::AccessControlListNotSupported.into());
    }
    if request.header("x-amz-acl").is_some_and(|acl| !matches!(acl, "private" | "bucket-owner-full-control")) {
        return Err(Code::AccessControlListNotSupported.into());
    }
    if request.header("x-amz-storage-class").is_some_and(|class| class != "STANDARD") {
        return Err(Code::InvalidStorageClass.into());
    }
    Ok(())
}

/// The operation a request names.
///
/// # Errors
/// [`Code::NotImplemented`], [`Code::MethodNotAllowed`] and what [`check_supported`] refuses.
pub(super) fn operation(request: &Request) -> Result<Operation, S3Error> {
    use Operation::*;
    check_supported(request)?;
    let has = |name| request.has(name);
    let copies = request.header("x-amz-copy-source").is_some();
    let named = (request.target.bucket.is_some(), request.target.key.is_some());
    Ok(match (request.method(), named) {
        (&Method::GET, (false, _)) => ListBuckets,
        (&Method::GET, (true, false)) if has("location") => GetBucketLocation,
        (&Method::GET, (true, false)) if has("versioning") => GetBucketVersioning,
        (&Method::GET, (true, false)) if has("uploads") => ListMultipartUploads,
        (&Method::GET, (true, false)) if request.text("list-type") == Some("2") => ListObjectsV2,
        (&Method::GET, (true, false)) => ListObjects,
        (_, (true, false)) if has("versioning") => return Err(not_implemented("query parameter", "versioning")),
        (&Method::PUT, (true, false)) => CreateBucket,
        (&Method::HEAD, (true, false)) => HeadBucket,
        (&Method::DELETE, (true, false)) => DeleteBucket,
        (&Method::POST, (true, false)) if has("delete") => DeleteObjects,
        (&Method::POST, (true, false)) => return Err(not_implemented("request", "POST Object by form")),
        (&Method::GET, (true, true)) if has("uploadId") => ListParts,
        (&Method::GET | &Method::HEAD, (true, true)) => ReadObject,
        (&Method::PUT, (true, true)) if has("uploadId") && copies => UploadPartCopy,
        (&Method::PUT, (true, true)) if has("uploadId") => UploadPart,
        (&Method::PUT, (true, true)) if copies => CopyObject,
        (&Method::PUT, (true, true)) => PutObject,
        (&Method::DELETE, (true, true)) if has("uploadId") => AbortMultipartUpload,
        (&Method::DELETE, (true, true)) => DeleteObject,
        (&Method::POST, (true, true)) if has("uploads") => CreateMultipartUpload,
        (&Method::POST, (true, true)) if has("uploadId") => CompleteMultipartUpload,
        _ => return Err(S3Error::from(Code::MethodNotAllowed).with("Method", request.method().as_str())),
    })
}

/// Carries the operation out.
pub(super) async fn run(
    store: &Store,
    request: &Request,
    body: Incoming,
    framing: Framing,
    idle: Duration,
) -> Result<Answer, S3Error> {
    let operation = operation(request)?;
    if request.target.key.is_some() {
        check_key(request.key())?;
    }
    // Owning the bucket is the one permission there is; creating and deleting buckets look for themselves.
    if !matches!(operation, Operation::ListBuckets | Operation::CreateBucket | Operation::DeleteBucket) {
        store.authorise(&request.caller, request.bucket()).await?;
    }
    match operation {
        Operation::ListBuckets => bucket::list(store, request).await,
        Operation::CreateBucket => {
            bucket::create(store, request, &body::small(request, body, framing, idle).await?).await
        }
        Operation::HeadBucket => Ok(bucket::head(store)),
        Operation::DeleteBucket => bucket::delete(store, request).await,
        Operation::GetBucketLocation => Ok(bucket::location(store)),
        Operation::GetBucketVersioning => Ok(bucket::versioning()),
        Operation::ListObjects => list::objects_v1(store, request).await,
        Operation::ListObjectsV2 => list::objects_v2(store, request).await,
        Operation::ListMultipartUploads => list::uploads(store, request).await,
        Operation::DeleteObjects => {
            bucket::delete_objects(store, request, &body::small(request, body, framing, idle).await?).await
        }
        Operation::PutObject => {
            let (source, expect) = body::upload(request, body, framing, idle)?;
            object::put(store, request, source, expect).await
        }
        Operation::CopyObject => object::copy(store, request).await,
        Operation::ReadObject => object::read(store, request).await,
        Operation::DeleteObject => object::delete(store, request).await,
        Operation::CreateMultipartUpload => multipart::create(store, request).await,
        Operation::UploadPart => {
            let (source, expect) = body::upload(request, body, framing, idle)?;
            multipart::upload_part(store, request, source, expect).await
        }
        Operation::UploadPartCopy => multipart::upload_part_copy(store, request).await,
        Operation::CompleteMultipartUpload => {
            multipart::complete(store, request, &body::small(request, body, framing, idle).await?).await
        }
        Operation::AbortMultipartUpload => multipart::abort(store, request).await,
        Operation::ListParts => multipart::list_parts(store, request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Target;

    fn route(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Operation, Code> {
        let mut builder = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let parts = builder.body(()).unwrap().into_parts().0;
        let target = Target::parse(&parts, &[]).unwrap();
        operation(&Request::new(parts, target, "000000000001".parse().unwrap())).map_err(|error| error.code)
    }

    #[test]
    fn routes() {
        use Operation::*;
        for (method, uri, expected) in [
            ("GET", "/", Ok(ListBuckets)),
            ("GET", "/b?list-type=2&prefix=x", Ok(ListObjectsV2)),
            ("GET", "/b/?prefix=x", Ok(ListObjects)),
            ("GET", "/b?location", Ok(GetBucketLocation)),
            ("GET", "/b?acl", Err(Code::NotImplemented)),
            ("PUT", "/b?versioning", Err(Code::NotImplemented)),
            ("PUT", "/b?policy", Err(Code::NotImplemented)),
            ("PUT", "/b", Ok(CreateBucket)),
            ("POST", "/b?delete", Ok(DeleteObjects)),
            ("HEAD", "/b/k", Ok(ReadObject)),
            ("GET", "/b/k?uploadId=1", Ok(ListParts)),
            ("PUT", "/b/k?partNumber=1&uploadId=1", Ok(UploadPart)),
            ("POST", "/b/k?uploads", Ok(CreateMultipartUpload)),
            ("GET", "/b/k?versionId=abc", Err(Code::NotImplemented)),
            ("GET", "/b/k?versionId=null", Ok(ReadObject)),
            ("PATCH", "/b/k", Err(Code::MethodNotAllowed)),
        ] {
            assert_eq!(route(method, uri, &[]), expected, "{method} {uri}");
        }
        assert_eq!(route("PUT", "/b/k", &[("x-amz-copy-source", "/a/b")]), Ok(CopyObject));
        assert_eq!(route("PUT", "/b/k", &[("x-amz-tagging", "a=b")]), Err(Code::NotImplemented));
        assert_eq!(route("PUT", "/b/k", &[("x-amz-acl", "public-read")]), Err(Code::AccessControlListNotSupported));
        assert_eq!(route("PUT", "/b/k", &[("x-amz-storage-class", "GLACIER")]), Err(Code::InvalidStorageClass));
    }
}
