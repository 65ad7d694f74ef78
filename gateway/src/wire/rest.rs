//! REST with JSON (`rest-json`), driven by schema tables: which operation a method and path mean, the members of a request from
//! path, query, headers and body, and the answer's status, headers and body.

use crate::wire::violation::Rule;
use crate::wire::xml::EncodeError;
use crate::wire::{Fault, Violation};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hive_auth::canonical::{decode as percent_decode, query_pairs};
use hive_aws_model::{Kind, Location, MemberRef, OperationRef, Protocol, Schema, ShapeRef};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

/// Largest body: a block of a snapshot has 512 KiB. In base64 and with its envelope it must stay below the bus's message size of
/// 1 MiB.
pub const MAX_BODY_BYTES: usize = 640 << 10;
/// How deep JSON may nest before it is looked at; serde_json's own limit is 128.
const MAX_DEPTH: usize = 32;

/// An operation, and what its path names.
#[derive(Debug)]
pub struct Route {
    pub operation: OperationRef,
    /// Name in the template, decoded text.
    labels: Vec<(&'static str, String)>,
}

/// The operation of this method and path.
pub fn route(schema: &'static Schema, parts: &Parts) -> Option<Route> {
    let segments: Vec<&str> = parts.uri.path().trim_start_matches('/').split('/').collect();
    let of_method = schema.operations().filter(|operation| operation.row.method == parts.method.as_str());
    of_method.into_iter().find_map(|operation| {
        let template: Vec<&'static str> = operation.row.uri.trim_start_matches('/').split('/').collect();
        let labels = labels(&template, &segments)?;
        Some(Route { operation, labels })
    })
}

/// What `segments` put in the places of `template`'s `{labels}`; None when they do not fit.
fn labels(template: &[&'static str], segments: &[&str]) -> Option<Vec<(&'static str, String)>> {
    if template.len() != segments.len() {
        return None;
    }
    let mut labels = Vec::new();
    for (wanted, found) in template.iter().zip(segments) {
        match wanted.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(_) if found.is_empty() => return None,
            Some(label) => labels.push((label, String::from_utf8(percent_decode(found, false)).ok()?)),
            None if wanted == found => {}
            None => return None,
        }
    }
    Some(labels)
}

/// Typed members, as [`crate::wire::decode`] makes them of forms. What the model does not know is passed over, as at AWS.
///
/// # Errors
/// A value that is not of its type, or a body that is no JSON object.
pub fn decode(route: &Route, parts: &Parts, body: &[u8]) -> Result<Map<String, Value>, Fault> {
    let Some(input) = route.operation.input() else { return Ok(Map::new()) };
    let mut members = Map::new();
    let members_of = |location| input.members().iter().filter(move |member| member.location() == location);
    let refused = |violation: Violation| violation.fault(Protocol::RestJson);
    for member in members_of(Location::Uri) {
        if let Some((_, text)) = route.labels.iter().find(|(label, _)| *label == member.xml_name()) {
            members.insert(member.name().to_owned(), from_text(member, text).map_err(refused)?);
        }
    }
    let query: Vec<(Vec<u8>, Vec<u8>)> = query_pairs(parts.uri.query().unwrap_or_default()).collect();
    for member in members_of(Location::Query) {
        if let Some((_, value)) = query.iter().find(|(name, _)| name == member.xml_name().as_bytes()) {
            let text = std::str::from_utf8(value).map_err(|_| refused(not(member, "UTF-8")))?;
            members.insert(member.name().to_owned(), from_text(member, text).map_err(refused)?);
        }
    }
    for member in members_of(Location::Header) {
        if let Some(value) = parts.headers.get(member.xml_name()) {
            let text = value.to_str().map_err(|_| refused(not(member, "a text")))?;
            members.insert(member.name().to_owned(), from_text(member, text.trim()).map_err(refused)?);
        }
    }
    match input.members().iter().find(|member| member.is_payload()) {
        Some(payload) => {
            members.insert(payload.name().to_owned(), Value::from(BASE64_STANDARD.encode(body)));
        }
        None => json_members(input, body, &mut members)?,
    }
    Ok(members)
}

fn not(member: MemberRef, expected: &'static str) -> Violation {
    Violation::new(member.xml_name(), Rule::Type { value: String::new(), expected })
}

/// A member in a path, a query or a header.
fn from_text(member: MemberRef, text: &str) -> Result<Value, Violation> {
    let wrong = |expected| Violation::new(member.xml_name(), Rule::Type { value: text.to_owned(), expected });
    match member.shape().kind() {
        Kind::Integer(_) => text.parse::<i32>().map(Value::from).map_err(|_| wrong("an integer")),
        Kind::Long(_) => text.parse::<i64>().map(Value::from).map_err(|_| wrong("an integer")),
        Kind::Double => {
            let number = text.parse().ok().and_then(Number::from_f64);
            number.map(Value::Number).ok_or_else(|| wrong("a number"))
        }
        Kind::Boolean => text.parse::<bool>().map(Value::from).map_err(|_| wrong("true or false")),
        Kind::Timestamp(_) => {
            text.parse::<Timestamp>().map(|time| Value::from(time.to_string())).map_err(|_| wrong("an ISO 8601 time"))
        }
        Kind::Text { .. } => Ok(Value::from(text)),
        Kind::Blob { .. } | Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. } => Err(wrong("a single value")),
    }
}

fn json_members(input: ShapeRef, body: &[u8], members: &mut Map<String, Value>) -> Result<(), Fault> {
    if body.is_empty() {
        return Ok(());
    }
    let malformed = || Fault::new("SerializationException", 400, "The body is not a JSON object.");
    let Ok(Value::Object(found)) = serde_json::from_slice(body) else { return Err(malformed()) };
    let in_body = input.members().iter().filter(|member| member.location() == Location::Body);
    for member in in_body {
        if let Some(value) = found.get(member.xml_name()).filter(|value| !value.is_null()) {
            let value = from_json(member.shape(), value, member.xml_name(), 0);
            let value = value.map_err(|violation| violation.fault(Protocol::RestJson))?;
            members.insert(member.name().to_owned(), value);
        }
    }
    Ok(())
}

fn from_json(shape: ShapeRef, value: &Value, path: &str, depth: usize) -> Result<Value, Violation> {
    let wrong = |expected| Violation::new(path, Rule::Type { value: String::new(), expected });
    if depth > MAX_DEPTH {
        return Err(wrong("so deep in the model"));
    }
    match (shape.kind(), value) {
        (Kind::Structure(known), Value::Object(found)) => {
            let mut members = Map::new();
            for member in known.iter() {
                if let Some(value) = found.get(member.xml_name()).filter(|value| !value.is_null()) {
                    let path = format!("{path}.{}", member.xml_name());
                    members.insert(member.name().to_owned(), from_json(member.shape(), value, &path, depth + 1)?);
                }
            }
            Ok(Value::Object(members))
        }
        (Kind::List { of, .. }, Value::Array(items)) => {
            let numbered = (1..).zip(items);
            let items = numbered.map(|(number, item)| from_json(of, item, &format!("{path}.{number}"), depth + 1));
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        (Kind::Map { value: of, .. }, Value::Object(entries)) => {
            let entries = entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), from_json(of, value, &format!("{path}.{key}"), depth + 1)?)));
            Ok(Value::Object(entries.collect::<Result<_, Violation>>()?))
        }
        (Kind::Text { .. }, Value::String(text)) => Ok(Value::from(text.as_str())),
        (Kind::Boolean, Value::Bool(value)) => Ok(Value::from(*value)),
        (Kind::Integer(_), Value::Number(number)) => {
            let fits = number.as_i64().and_then(|number| i32::try_from(number).ok());
            fits.map(Value::from).ok_or_else(|| wrong("an integer"))
        }
        (Kind::Long(_), Value::Number(number)) => number.as_i64().map(Value::from).ok_or_else(|| wrong("an integer")),
        (Kind::Double, Value::Number(number)) => Ok(Value::Number(number.clone())),
        (Kind::Blob { .. }, Value::String(text)) if BASE64_STANDARD.decode(text).is_ok() => {
            Ok(Value::from(text.as_str()))
        }
        (Kind::Timestamp(_), Value::Number(number)) => {
            let time = number.as_f64().and_then(|seconds| seconds_since_1970(seconds).ok());
            time.map(|time| Value::from(time.to_string())).ok_or_else(|| wrong("seconds since 1970"))
        }
        _ => Err(wrong("of the model's type")),
    }
}

/// Whole milliseconds are what clients send.
fn seconds_since_1970(seconds: f64) -> Result<Timestamp, jiff::Error> {
    let since = jiff::SignedDuration::try_from_secs_f64(seconds)?;
    Timestamp::UNIX_EPOCH.checked_add(since)?.round(jiff::Unit::Millisecond)
}

/// The body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    Json(String),
    Blob(Bytes),
}

/// An answer without its request id.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Content,
}

/// The answer of `operation` for a handler's output. Lists are written even when they are empty, as AWS does.
///
/// # Errors
/// The output has what the model has not.
pub fn encode(operation: OperationRef, output: &Map<String, Value>) -> Result<Answer, EncodeError> {
    let mut headers = HeaderMap::new();
    let mut body = Map::new();
    let mut blob = None;
    if let Some(shape) = operation.output() {
        let unknown = output.keys().find(|name| shape.members().by_name(name).is_none());
        if let Some(name) = unknown {
            return Err(EncodeError { path: name.clone(), problem: "is not in the model" });
        }
        for member in shape.members().iter() {
            let value = output.get(member.name()).filter(|value| !value.is_null());
            let error = |problem| EncodeError { path: member.name().to_owned(), problem };
            if member.is_payload() {
                let text = value.map_or(Some(""), Value::as_str).ok_or_else(|| error("is not of the model's type"))?;
                let bytes = BASE64_STANDARD.decode(text).map_err(|_| error("is not base64"))?;
                blob = Some(Bytes::from(bytes));
            } else if member.location() == Location::Header {
                let Some(value) = value else { continue };
                let name: HeaderName = member.xml_name().parse().map_err(|_| error("is no header"))?;
                let text = header_text(value).ok_or_else(|| error("is not of the model's type"))?;
                headers.insert(name, HeaderValue::from_str(&text).map_err(|_| error("is no header value"))?);
            } else if let Some(value) = value {
                body.insert(member.xml_name().to_owned(), to_json(member.shape(), value, member.name())?);
            } else if matches!(member.shape().kind(), Kind::List { .. }) {
                body.insert(member.xml_name().to_owned(), Value::Array(Vec::new()));
            }
        }
    }
    let body = match blob {
        Some(bytes) => Content::Blob(bytes),
        None => Content::Json(Value::Object(body).to_string()),
    };
    Ok(Answer { status: operation.row.status, headers, body })
}

fn header_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn to_json(shape: ShapeRef, value: &Value, path: &str) -> Result<Value, EncodeError> {
    let error = |problem| EncodeError { path: path.to_owned(), problem };
    match (shape.kind(), value) {
        (Kind::Structure(known), Value::Object(found)) => {
            let mut members = Map::new();
            for (name, value) in found {
                let path = format!("{path}.{name}");
                let member = known.by_name(name);
                let member =
                    member.ok_or_else(|| EncodeError { path: path.clone(), problem: "is not in the model" })?;
                members.insert(member.xml_name().to_owned(), to_json(member.shape(), value, &path)?);
            }
            Ok(Value::Object(members))
        }
        (Kind::List { of, .. }, Value::Array(items)) => {
            Ok(Value::Array(items.iter().map(|item| to_json(of, item, path)).collect::<Result<_, _>>()?))
        }
        (Kind::Map { value: of, .. }, Value::Object(entries)) => {
            let entries = entries.iter().map(|(key, value)| Ok((key.clone(), to_json(of, value, path)?)));
            Ok(Value::Object(entries.collect::<Result<_, EncodeError>>()?))
        }
        (Kind::Timestamp(_), Value::String(text)) => {
            let time: Timestamp = text.parse().map_err(|_| error("is not an RFC 3339 time"))?;
            let milliseconds = time.as_millisecond();
            if milliseconds % 1000 == 0 {
                return Ok(Value::from(milliseconds / 1000));
            }
            // Exact: milliseconds of any year that is written with four digits fit 53 bits.
            Ok(Number::from_f64(milliseconds as f64 / 1000.0).map_or(Value::Null, Value::Number))
        }
        (Kind::Text { .. } | Kind::Blob { .. }, Value::String(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Integer(_) | Kind::Long(_) | Kind::Double, Value::Number(_)) => Ok(value.clone()),
        _ => Err(error("is not of the model's type")),
    }
}

#[cfg(test)]
#[path = "rest_tests.rs"]
mod tests;
