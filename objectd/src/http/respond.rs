//! Responses.

use super::request::Request;
use crate::{
    error::{Code, S3Error},
    ops::Content,
    xml::Xml,
};
use bytes::Bytes;
use futures::stream;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};

/// A response body: XML, or an object's bytes as they come from disk.
pub(super) type ResponseBody = UnsyncBoxBody<Bytes, S3Error>;
pub(super) type Answer = Response<ResponseBody>;

pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

pub(super) fn xml(document: Xml) -> Answer {
    with_bytes(StatusCode::OK, document.finish())
}

fn with_bytes(status: StatusCode, bytes: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

/// Streams `content`; a failure on the way ends the connection, which the client sees by the length.
pub(super) fn content(status: StatusCode, content: Content) -> Answer {
    let frames = stream::unfold(Some(content), |content| async move {
        let mut content = content?;
        match content.next().await {
            Ok(Some(data)) => Some((Ok(Frame::data(data)), Some(content))),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, cause = ?error.cause, "reading an object failed half-way");
                Some((Err(error), None))
            }
        }
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// Sets a header unless its value cannot be one, as a stored value with a line break could not.
pub(super) fn set(answer: &mut Answer, name: impl TryInto<HeaderName>, value: impl AsRef<[u8]>) {
    if let (Ok(name), Ok(value)) = (name.try_into(), HeaderValue::from_bytes(value.as_ref())) {
        answer.headers_mut().insert(name, value);
    }
}

/// Identifies one request in answers and logs.
#[derive(Clone, Debug)]
pub(super) struct RequestId {
    pub(super) id: String,
    pub(super) host_id: String,
}

impl RequestId {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 32];
        // An id that repeats harms nothing but the log.
        let _ = getrandom::fill(&mut bytes);
        let (id, host_id) = bytes.split_at(8);
        Self { id: hex::encode_upper(id), host_id: hex::encode(host_id) }
    }

    pub(super) fn stamp(&self, answer: &mut Answer) {
        set(answer, "x-amz-request-id", &self.id);
        set(answer, "x-amz-id-2", &self.host_id);
        set(answer, header::SERVER, "hive-objectd");
    }
}

/// The error as S3 writes it; without a body for HEAD.
pub(super) fn error(error: &S3Error, is_head: bool, resource: &str, id: &RequestId) -> Answer {
    let status = error.code.status();
    let mut answer = if is_head || status == StatusCode::NOT_MODIFIED {
        empty(status)
    } else {
        let mut document = Xml::error();
        document.text("Code", error.code.name()).text("Message", &error.message);
        for (element, text) in &error.details {
            document.text(element, text);
        }
        document.text("Resource", resource).text("RequestId", &id.id).text("HostId", &id.host_id);
        with_bytes(status, document.finish())
    };
    if matches!(error.code, Code::SlowDown | Code::InsufficientStorage) {
        set(&mut answer, header::RETRY_AFTER, "1");
    }
    answer
}

/// `encoding-type=url`: the keys of an answer percent-encoded, because XML cannot hold every character.
pub(super) struct KeyEncoding(bool);

impl KeyEncoding {
    pub(super) fn of(request: &Request) -> Result<Self, S3Error> {
        match request.text("encoding-type") {
            None => Ok(Self(false)),
            Some("url") => Ok(Self(true)),
            Some(other) => {
                Err(S3Error::argument("encoding-type", other, "Invalid Encoding Method specified in Request"))
            }
        }
    }

    pub(super) fn name(&self) -> Option<&'static str> {
        self.0.then_some("url")
    }

    pub(super) fn encode(&self, key: &str) -> String {
        if self.0 {
            // A slash is kept, as S3 keeps it.
            key.split('/').map(|segment| hive_auth::canonical::encode(segment.as_bytes())).collect::<Vec<_>>().join("/")
        } else {
            key.to_owned()
        }
    }
}
