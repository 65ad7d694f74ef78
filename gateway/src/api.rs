//! One call of a form or REST service: signature, decoding, validation, authorisation, dry run, and the question to a worker.

use crate::reply::{self, Body};
use crate::wire::form::{Form, MAX_BODY_BYTES};
use crate::wire::{Fault, decode, rest, validate, xml};
use crate::{auth, authorize, errors};
use bytes::Bytes;
use hive_auth::{Claim, Verifier};
use hive_aws_model::{OperationRef, Schema};
use hive_bus::{Bus, BusError};
use hive_types::envelope::{API_TIMEOUT_MS, subject};
use hive_types::{ApiReply, ApiRequest, Principal};
use http::request::Parts;
use http::{Response, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value};
use std::time::Duration;
use tracing::{error, warn};

/// For a whole body of at most 1 MiB: slower clients are broken or hostile.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a worker may take.
const WORKER_TIMEOUT: Duration = Duration::from_millis(API_TIMEOUT_MS);
/// The member that every operation treats alike.
const DRY_RUN: &str = "DryRun";

/// What is needed to answer calls.
#[derive(Debug)]
pub struct Api {
    pub verifier: Verifier,
    pub bus: Bus,
    pub region: String,
}

/// What the log says of a call.
#[derive(Debug, Default)]
pub struct CallLog {
    pub account: Option<String>,
    pub action: Option<String>,
    pub code: Option<String>,
}

impl Api {
    /// Answers a call that claims a signature for `schema`'s service.
    pub async fn call(
        &self,
        schema: &'static Schema,
        parts: Parts,
        claim: Result<Claim, hive_auth::AuthError>,
        body: Incoming,
        request_id: &str,
        log: &mut CallLog,
    ) -> Response<Body> {
        let outcome = async {
            let body = read_body(&parts, body, MAX_BODY_BYTES).await?;
            let claim = claim.map_err(|error| auth::fault(&error, schema.service))?;
            let caller = auth::authenticate(&self.verifier, &parts, &claim, &body, false, &self.region).await?;
            log.account = Some(caller.account.to_string());
            let form = Form::parse(parts.uri.query().unwrap_or_default(), &body)?;
            let operation = operation(schema, &form)?;
            log.action = Some(operation.name().to_owned());
            let params = decode::decode(schema, operation.input(), &form.members)
                .map_err(|violation| violation.fault(schema.protocol))?;
            let output = self.run(operation, params, caller, request_id).await?;
            xml::encode(operation, &output, request_id).map_err(|error| {
                error!(request_id, action = operation.name(), %error, "a worker's answer does not fit the model");
                errors::fault(&hive_types::ApiError::Internal, schema.service)
            })
        };
        match outcome.await {
            Ok(text) => reply::document(schema, 200, text, request_id),
            Err(fault) => {
                log.code = Some(fault.code.clone().into_owned());
                reply::fault(schema, &fault, request_id)
            }
        }
    }

    /// Answers a call that claims a signature for `schema`'s service, one of REST and JSON.
    pub async fn rest(
        &self,
        schema: &'static Schema,
        parts: Parts,
        claim: Result<Claim, hive_auth::AuthError>,
        body: Incoming,
        request_id: &str,
        log: &mut CallLog,
    ) -> Response<Body> {
        let outcome = async {
            let body = read_body(&parts, body, rest::MAX_BODY_BYTES).await?;
            let claim = claim.map_err(|error| auth::fault(&error, schema.service))?;
            let found = rest::route(schema, &parts);
            let unsigned_body = found.as_ref().is_some_and(|route| route.operation.row.unsigned_payload);
            let caller = auth::authenticate(&self.verifier, &parts, &claim, &body, unsigned_body, &self.region).await?;
            log.account = Some(caller.account.to_string());
            let route = found.ok_or_else(|| {
                let message = format!("{} {} is no operation of {}", parts.method, parts.uri.path(), schema.service);
                Fault::new("UnknownOperationException", 404, message)
            })?;
            let operation = route.operation;
            log.action = Some(operation.name().to_owned());
            let params = rest::decode(&route, &parts, &body)?;
            let output = self.run(operation, params, caller, request_id).await?;
            rest::encode(operation, &output).map_err(|error| {
                error!(request_id, action = operation.name(), %error, "a worker's answer does not fit the model");
                errors::fault(&hive_types::ApiError::Internal, schema.service)
            })
        };
        match outcome.await {
            Ok(answer) => reply::rest(schema, answer, request_id),
            Err(fault) => {
                log.code = Some(fault.code.clone().into_owned());
                reply::fault(schema, &fault, request_id)
            }
        }
    }

    async fn run(
        &self,
        operation: OperationRef,
        mut params: Map<String, Value>,
        caller: Principal,
        request_id: &str,
    ) -> Result<Map<String, Value>, Fault> {
        let (schema, name) = (operation.schema, operation.name());
        validate::validate(operation, &params)?;
        if authorize::decide(&caller) == authorize::Decision::Deny {
            return Err(authorize::refusal(&caller, operation));
        }
        if !hive_aws_types::is_implemented(schema.service, name) {
            return Err(Fault::new("UnsupportedOperation", 400, format!("The operation {name} is not supported.")));
        }
        if params.remove(DRY_RUN) == Some(Value::Bool(true)) {
            let message = "Request would have succeeded, but DryRun flag is set.";
            return Err(Fault::new("DryRunOperation", 412, message));
        }
        let request = ApiRequest {
            request_id: request_id.to_owned(),
            service: schema.service.to_owned(),
            action: name.to_owned(),
            region: self.region.clone(),
            caller,
            params,
        };
        let subject = subject(schema.service, name);
        match self.bus.request_within::<_, ApiReply>(&subject, &request, WORKER_TIMEOUT).await {
            Ok(ApiReply::Ok(output)) => Ok(output),
            Ok(ApiReply::Err(error)) => Err(errors::fault(&error, schema.service)),
            Err(error) => Err(unanswered(&error, schema, request_id)),
        }
    }
}

/// Nobody answered, or not as agreed.
fn unanswered(error: &BusError, schema: &Schema, request_id: &str) -> Fault {
    match error {
        BusError::NoResponders { .. } | BusError::Down { .. } | BusError::Timeout { .. } => {
            warn!(request_id, %error, "no worker answered");
            Fault::new("ServiceUnavailable", 503, "The service is unavailable. Please try again shortly.")
        }
        BusError::TooLarge { .. } => too_large(MAX_BODY_BYTES),
        _ => {
            error!(request_id, %error, "a worker answered nonsense");
            errors::fault(&hive_types::ApiError::Internal, schema.service)
        }
    }
}

fn operation(schema: &'static Schema, form: &Form) -> Result<OperationRef, Fault> {
    let Some(action) = &form.action else {
        return Err(Fault::new("MissingAction", 400, "The request is missing an action or a required parameter."));
    };
    match form.version.as_deref() {
        Some(version) if version == schema.api_version => {}
        Some(version) => {
            let message = format!("The requested version ({version}) of service {} does not exist", schema.service);
            return Err(Fault::new("NoSuchVersion", 400, message));
        }
        None => {
            return Err(Fault::new("MissingParameter", 400, "The request must contain the parameter Version"));
        }
    }
    schema.operation(action).ok_or_else(|| {
        let message = format!("The action {action} is not valid for this web service.");
        Fault::new("InvalidAction", 400, message)
    })
}

async fn read_body(parts: &Parts, body: Incoming, limit: usize) -> Result<Bytes, Fault> {
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(_)) => Err(Fault::new("IncompleteBody", 400, "The body ended before its length.")),
        Err(_) => Err(Fault::new("RequestTimeout", 408, "The body did not arrive in time.")),
    }
}

fn too_large(limit: usize) -> Fault {
    Fault::new("RequestEntityTooLarge", 413, format!("The request is larger than {limit} bytes."))
}

/// Service of an unsigned form, as far as its version tells.
pub fn service_of_version(query: &str) -> &'static Schema {
    let version = hive_auth::canonical::query_pairs(query).find(|(name, _)| name == b"Version").map(|(_, value)| value);
    let named =
        hive_aws_model::SERVICES.into_iter().find(|schema| Some(schema.api_version.as_bytes()) == version.as_deref());
    named.unwrap_or(&hive_aws_model::EC2)
}
