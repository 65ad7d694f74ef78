//! S3 requests, passed on to objectd as they are: method, target and headers byte for byte, bodies streamed both ways. objectd
//! checks the signature, so nothing that is signed may change here.

use crate::reply::{self, Body};
use crate::wire::Fault;
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderName, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::net::SocketAddr;
use std::time::Duration;
use tracing::warn;

/// To reach a listening neighbour on loopback, or to know that it is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pooled connections that nobody used; shorter than objectd's own patience, so that it never closes one we are about to use.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const POOL_MAX_IDLE: usize = 64;

/// Headers of one connection, not of the message (RFC 9110, section 7.6.1). Nobody signs them.
const HOP_BY_HOP: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The way to objectd.
#[derive(Debug)]
pub struct Proxy {
    client: Client<HttpConnector, Incoming>,
    authority: Authority,
}

impl Proxy {
    /// # Errors
    /// None in practice: every socket address is an authority.
    pub fn new(objectd: SocketAddr) -> Result<Self, http::uri::InvalidUri> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_MAX_IDLE)
            .http1_preserve_header_case(true)
            .set_host(false)
            .build(connector);
        Ok(Self { client, authority: objectd.to_string().parse()? })
    }

    /// objectd's answer, or 503 when it is away.
    pub async fn forward(&self, mut request: Request<Incoming>, request_id: &str) -> Response<Body> {
        let mut target = std::mem::take(request.uri_mut()).into_parts();
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(self.authority.clone());
        match Uri::from_parts(target) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => {
                let fault = Fault::new("InvalidURI", 400, format!("Couldn't parse the specified URI: {error}"));
                return reply::fault(&hive_aws_model::S3, &fault, request_id);
            }
        }
        let is_head = request.method() == http::Method::HEAD;
        remove_hop_by_hop(request.headers_mut());
        match self.client.request(request).await {
            Ok(mut response) => {
                remove_hop_by_hop(response.headers_mut());
                response.map(BodyExt::boxed)
            }
            Err(error) => {
                warn!(request_id, error = %chain(&error), "objectd does not answer");
                let fault = Fault::new("ServiceUnavailable", 503, "Please reduce your request rate.");
                let text = if is_head { String::new() } else { fault.document(&hive_aws_model::S3, request_id) };
                reply::document(&hive_aws_model::S3, fault.status, text, request_id)
            }
        }
    }
}

fn remove_hop_by_hop(headers: &mut http::HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
