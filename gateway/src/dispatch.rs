//! What a request is: a call of a form service or of a REST service, or S3's.

use crate::api::{Api, CallLog, service_of_version};
use crate::reply::{self, Body};
use crate::s3::Proxy;
use crate::wire::Fault;
use hive_auth::{AuthError, Claim};
use hive_aws_model::{Protocol, Schema};
use http::request::Parts;
use http::{Method, Request, Response, header};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::time::Instant;
use tracing::info;

/// Everything that answers requests.
#[derive(Debug)]
pub struct Front {
    pub api: Api,
    pub s3: Proxy,
}

/// Who answers a request.
#[derive(Debug)]
enum Destination {
    Form(&'static Schema),
    Rest(&'static Schema),
    S3,
    /// The signature is for a service that is not offered here.
    Nowhere(String),
}

impl Front {
    /// Answers one request and logs one line of it.
    pub async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let started = Instant::now();
        let request_id = uuid::Uuid::new_v4().to_string();
        let mut log = CallLog::default();
        let method = request.method().clone();
        let (parts, body) = request.into_parts();
        let claim = Claim::parse(&parts);
        let destination = destination(&parts, &claim);
        let service = match &destination {
            Destination::Form(schema) | Destination::Rest(schema) => schema.service,
            Destination::S3 => "s3",
            Destination::Nowhere(_) => "none",
        };
        let response = match destination {
            Destination::Form(schema) => self.api.call(schema, parts, claim, body, &request_id, &mut log).await,
            Destination::Rest(schema) => self.api.rest(schema, parts, claim, body, &request_id, &mut log).await,
            Destination::S3 => self.s3.forward(Request::from_parts(parts, body), &request_id).await,
            Destination::Nowhere(service) => {
                let message = format!("The service {service} is not offered in this region.");
                let fault = Fault::new("UnsupportedOperation", 400, message);
                reply::fault(&hive_aws_model::STS, &fault, &request_id)
            }
        };
        info!(
            request_id,
            %peer,
            service,
            account = log.account.as_deref(),
            action = log.action.as_deref().unwrap_or(method.as_str()),
            status = response.status().as_u16(),
            code = log.code.as_deref(),
            latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            "call"
        );
        response
    }
}

fn destination(parts: &Parts, claim: &Result<Claim, AuthError>) -> Destination {
    match claim {
        Ok(claim) => match hive_aws_model::service(&claim.scope.service) {
            Some(schema) => match schema.protocol {
                Protocol::Ec2 | Protocol::Query => Destination::Form(schema),
                Protocol::RestJson => Destination::Rest(schema),
                Protocol::RestXml => Destination::S3,
            },
            None => Destination::Nowhere(claim.scope.service.clone()),
        },
        // Unsigned or badly signed: the shape of the request has to tell. objectd refuses what is its own.
        Err(_) if is_form(parts) => Destination::Form(service_of_version(parts.uri.query().unwrap_or_default())),
        Err(_) => Destination::S3,
    }
}

fn is_form(parts: &Parts) -> bool {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let content_type = parts.headers.get(header::CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let has_action = || {
        let mut pairs = hive_auth::canonical::query_pairs(parts.uri.query().unwrap_or_default());
        pairs.any(|(name, _)| name == b"Action")
    };
    parts.uri.path() == "/"
        && ((parts.method == Method::POST && content_type.starts_with(FORM))
            || (matches!(parts.method, Method::GET | Method::POST) && has_action()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destined(request: http::request::Builder) -> String {
        let (parts, ()) = request.header("host", "h").body(()).expect("request").into_parts();
        match destination(&parts, &Claim::parse(&parts)) {
            Destination::Form(schema) | Destination::Rest(schema) => schema.service.to_owned(),
            Destination::S3 => "s3".to_owned(),
            Destination::Nowhere(service) => format!("nowhere:{service}"),
        }
    }

    #[test]
    fn the_scope_decides_and_else_the_shape() {
        let signed = |service: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, \
                 Signature={}",
                "0".repeat(64)
            );
            Request::post("/").header("x-amz-date", "20260101T000000Z").header("authorization", value)
        };
        assert_eq!(destined(signed("ec2")), "ec2");
        assert_eq!(destined(signed("s3")), "s3");
        assert_eq!(destined(signed("ebs")), "ebs");
        assert_eq!(destined(signed("sqs")), "nowhere:sqs");
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(destined(Request::post("/").header("content-type", form)), "ec2");
        assert_eq!(destined(Request::get("/?Action=GetCallerIdentity&Version=2011-06-15")), "sts");
        assert_eq!(destined(Request::get("/bucket/key")), "s3");
        assert_eq!(destined(Request::get("/")), "s3");
    }
}
