//! Answers of awsd's own: documents and faults.

use crate::wire::Fault;
use crate::wire::rest::{self, Answer};
use bytes::Bytes;
use hive_aws_model::{Protocol, Schema};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};

/// A body that may be an answer of ours, or objectd's as it streams in.
pub type Body = BoxBody<Bytes, hyper::Error>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const AMZN_ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const XML: HeaderValue = HeaderValue::from_static("text/xml;charset=UTF-8");
const AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const S3_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const S3_HOST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");

/// A document under the request's id. `Date` is the HTTP library's.
pub fn document(schema: &Schema, status: u16, text: String, request_id: &str) -> Response<Body> {
    let content_type = if schema.protocol == Protocol::RestJson { JSON } else { XML };
    whole(schema, status, content_type, Bytes::from(text), request_id)
}

/// The answer of a REST operation.
pub fn rest(schema: &Schema, answer: Answer, request_id: &str) -> Response<Body> {
    let (content_type, body) = match answer.body {
        rest::Content::Json(text) => (JSON, Bytes::from(text)),
        rest::Content::Blob(bytes) => (OCTETS, bytes),
    };
    let mut response = whole(schema, answer.status, content_type, body, request_id);
    response.headers_mut().extend(answer.headers);
    response
}

fn whole(schema: &Schema, status: u16, content_type: HeaderValue, body: Bytes, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
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
    let mut response = document(schema, fault.status, fault.document(schema, request_id), request_id);
    if schema.protocol == Protocol::RestJson
        && let Ok(code) = HeaderValue::from_str(&fault.code)
    {
        response.headers_mut().insert(AMZN_ERROR_TYPE, code);
    }
    response
}
