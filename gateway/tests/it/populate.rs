//! Values that fill a shape and keep all its rules, and the form that a client would send for them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hive_aws_model::{Kind, OperationRef, Protocol, ShapeRef};
use serde_json::{Map, Value, json};

/// How deep structures are filled; deeper optional members stay away.
const MAX_DEPTH: usize = 6;
/// Texts of many kinds: the first that keeps a member's rules is taken.
const TEXTS: [&str; 22] = [
    "text-1",
    "arn:aws:iam::123456789012:role/example",
    "123456",
    "123456789012",
    "AKIA0123456789ABCDEF",
    "{\"Version\":\"2012-10-17\"}",
    "arn:aws:iam::aws:policy/ReadOnlyAccess",
    "/path/",
    "https://issuer.example/of/tokens",
    "v1",
    "A",
    "1",
    "eu-central-1",
    "10.0.0.1",
    "fcap-0123456789abcdef0",
    "fcapassoc-0123456789abcdef0",
    "arn:aws:outposts:eu-central-1:123456789012:outpost/op-0123456789abcdef0",
    "p-0123456789",
    "o-0123456789",
    "o-0123456789/r-0123/",
    "snap-0123456789abcdef0",
    "arn:aws:kms:us-east-1:123456789012:key/example",
];
/// Ids, by the member's name without a plural `s`.
const IDS: [(&str, &str); 10] = [
    ("InstanceId", "i-0123456789abcdef0"),
    ("ImageId", "ami-0123456789abcdef0"),
    ("VolumeId", "vol-0123456789abcdef0"),
    ("SnapshotId", "snap-0123456789abcdef0"),
    ("VpcId", "vpc-0123456789abcdef0"),
    ("SubnetId", "subnet-0123456789abcdef0"),
    ("SecurityGroupId", "sg-0123456789abcdef0"),
    ("GroupId", "sg-0123456789abcdef0"),
    ("NetworkInterfaceId", "eni-0123456789abcdef0"),
    ("Resource", "i-0123456789abcdef0"),
];

/// All members of the operation's input, but `DryRun`.
pub fn input(operation: OperationRef) -> Map<String, Value> {
    let mut members = operation.input().map(|shape| structure(shape, 0)).unwrap_or_default();
    members.remove("DryRun");
    members
}

pub fn structure(shape: ShapeRef, depth: usize) -> Map<String, Value> {
    let wanted = shape.members().iter().filter(|member| member.is_required() || depth < MAX_DEPTH);
    wanted
        .filter_map(|member| Some((member.name().to_owned(), value(member.name(), member.shape(), depth + 1)?)))
        .collect()
}

fn value(name: &str, shape: ShapeRef, depth: usize) -> Option<Value> {
    Some(match shape.kind() {
        // A structure without members leaves no trace in a form.
        Kind::Structure(_) => Value::Object(Some(structure(shape, depth)).filter(|members| !members.is_empty())?),
        Kind::List { of, len, .. } => {
            let count = len.0.unwrap_or(2).max(2).min(len.1.unwrap_or(i64::MAX));
            (0..count).map(|_| value(name, of, depth)).collect::<Option<Vec<_>>>()?.into()
        }
        Kind::Map { key, value: of, .. } => json!({value("", key, depth)?.as_str()?: value("", of, depth)?}),
        Kind::Text { values, len, pattern, .. } => {
            if let Some(first) = values.iter().next() {
                return Some(first.into());
            }
            text(name, len.0, len.1, pattern)?.into()
        }
        Kind::Integer((min, max)) | Kind::Long((min, max)) => {
            min.unwrap_or(1).max(1).min(max.unwrap_or(i64::MAX)).into()
        }
        Kind::Double => 1.5.into(),
        Kind::Boolean => true.into(),
        Kind::Blob { .. } => BASE64_STANDARD.encode("ssh-ed25519 AAAA").into(),
        Kind::Timestamp(_) => "2026-11-22T19:34:35Z".into(),
    })
}

fn text(name: &str, min: Option<i64>, max: Option<i64>, pattern: Option<&str>) -> Option<String> {
    let singular = name.strip_suffix('s').unwrap_or(name);
    if let Some((_, id)) = IDS.iter().find(|(member, _)| *member == singular) {
        return Some((*id).to_owned());
    }
    if name == "UserData" {
        return Some(BASE64_STANDARD.encode("#!/bin/sh\n"));
    }
    // awsd takes a pattern that does not compile for one that holds.
    let pattern = pattern.and_then(|pattern| regex::Regex::new(&format!("^(?:{pattern})$")).ok());
    let min = usize::try_from(min.unwrap_or(0)).expect("length");
    let max = max.map_or(usize::MAX, |max| usize::try_from(max).expect("length"));
    let candidates =
        TEXTS.iter().map(|text| (*text).to_owned()).chain(["a", "1", "="].map(|letter| letter.repeat(min.max(1))));
    candidates
        .into_iter()
        .find(|text| (min..=max).contains(&text.len()) && pattern.as_ref().is_none_or(|pattern| pattern.is_match(text)))
}

/// The pairs that a client sends for `members`, in the protocol of `operation`.
pub fn form(operation: OperationRef, members: &Map<String, Value>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    if let Some(shape) = operation.input() {
        write_structure(operation.schema.protocol, shape, members, "", &mut pairs);
    }
    pairs
}

fn write_structure(
    protocol: Protocol,
    shape: ShapeRef,
    members: &Map<String, Value>,
    path: &str,
    pairs: &mut Vec<(String, String)>,
) {
    for (name, value) in members {
        let member = shape.members().by_name(name).expect("member");
        let path =
            if path.is_empty() { member.query_name().to_owned() } else { format!("{path}.{}", member.query_name()) };
        write_value(protocol, member.shape(), value, &path, pairs);
    }
}

fn write_value(protocol: Protocol, shape: ShapeRef, value: &Value, path: &str, pairs: &mut Vec<(String, String)>) {
    match (shape.kind(), value) {
        (Kind::Structure(_), Value::Object(members)) => write_structure(protocol, shape, members, path, pairs),
        (Kind::List { of, item, flattened, .. }, Value::Array(items)) => {
            let flat = flattened || protocol == Protocol::Ec2;
            let base = if flat { path.to_owned() } else { format!("{path}.{item}") };
            for (number, item) in (1..).zip(items) {
                write_value(protocol, of, item, &format!("{base}.{number}"), pairs);
            }
            if items.is_empty() {
                pairs.push((path.to_owned(), String::new()));
            }
        }
        (Kind::Map { key, value: of, key_name, value_name, .. }, Value::Object(entries)) => {
            for (number, (name, value)) in (1..).zip(entries) {
                let base = format!("{path}.entry.{number}");
                write_value(protocol, key, &Value::from(name.as_str()), &format!("{base}.{key_name}"), pairs);
                write_value(protocol, of, value, &format!("{base}.{value_name}"), pairs);
            }
        }
        (_, Value::String(text)) => pairs.push((path.to_owned(), text.clone())),
        (_, scalar) => pairs.push((path.to_owned(), scalar.to_string())),
    }
}

pub fn urlencoded(pairs: &[(String, String)]) -> String {
    let encode = |text: &str| hive_auth::canonical::encode(text.as_bytes());
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
