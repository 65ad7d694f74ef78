//! Answers of awsd's own: documents and faults.

use crate::wire::Fault;
use bytes::Bytes;
use hive_aws_model::{Protocol, Schema};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};

/// A body that may be an answer of ours, or objectd's as it streams in.
pub type Body = BoxBody<Bytes, hyper::Error>;

const XML: HeaderValue = HeaderValue::from_static("text/xml;charset=UTF-8");
const AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const S3_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const S3_HOST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");

/// An XML document under the request's id. `Date` is the HTTP library's.
pub fn document(schema: &Schema, status: u16, text: String, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, XML);
    // An id is a UUID.
    if let Ok(id) = HeaderValue::from_str(request_id) {
        if schema.protocol == Protocol::RestXml {
            headers.insert(S3_REQUEST_ID, id.clone());
            headers.insert(S3_HOST_ID, id);
        } else {
            headers.insert(AMZN_REQUEST_ID, id);
        }
    }
    response
}

/// The fault in the shape of `schema`'s protocol.
pub fn fault(schema: &Schema, fault: &Fault, request_id: &str) -> Response<Body> {
    document(schema, fault.status, fault.document(schema, request_id), request_id)
}
