//! From a form to typed members, by the schema of an operation's input.

use crate::wire::Violation;
use crate::wire::form::Node;
use crate::wire::violation::Rule;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hive_aws_model::{Kind, Protocol, Schema, ShapeRef};
use jiff::Timestamp;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// Segment below which the query protocol numbers the entries of a map.
const MAP_ENTRY: &str = "entry";

/// Members by their model names: numbers and booleans typed, timestamps RFC 3339 in UTC, blobs base64, lists as arrays in the
/// order of their indices.
///
/// # Errors
/// The first [`Violation`]: an unknown parameter, or a text that is not of its type.
pub fn decode(schema: &Schema, input: Option<ShapeRef>, form: &Node) -> Result<Map<String, Value>, Violation> {
    let decoder = Decoder { protocol: schema.protocol };
    match input {
        Some(shape) => decoder.structure(shape, form, ""),
        None => form.children.keys().next().map_or(Ok(Map::new()), |name| Err(unknown(name))),
    }
}

struct Decoder {
    protocol: Protocol,
}

impl Decoder {
    fn structure(&self, shape: ShapeRef, node: &Node, path: &str) -> Result<Map<String, Value>, Violation> {
        let mut members = Map::new();
        for (name, child) in &node.children {
            let path = join(path, name);
            let member = shape.members().by_query_name(name).ok_or_else(|| unknown(&path))?;
            members.insert(member.name().to_owned(), self.value(member.shape(), child, &path)?);
        }
        Ok(members)
    }

    fn value(&self, shape: ShapeRef, node: &Node, path: &str) -> Result<Value, Violation> {
        match shape.kind() {
            Kind::Structure(_) => {
                without_value(node, path, "a structure")?;
                self.structure(shape, node, path).map(Value::Object)
            }
            Kind::List { of, item, flattened, .. } => self.list(of, item, flattened, node, path),
            Kind::Map { key, value, key_name, value_name, flattened } => {
                self.map([(key, key_name), (value, value_name)], flattened, node, path)
            }
            scalar => {
                if let Some(name) = node.children.keys().next() {
                    return Err(unknown(&join(path, name)));
                }
                scalar_value(&scalar, node.value.as_deref().unwrap_or_default())
                    .map_err(|rule| Violation::new(path, rule))
            }
        }
    }

    fn list(&self, of: ShapeRef, item: &str, flattened: bool, node: &Node, path: &str) -> Result<Value, Violation> {
        without_value(node, path, "a list")?;
        let flat = flattened || self.protocol == Protocol::Ec2;
        let (items, path) = if flat { (node, path.to_owned()) } else { descend(node, item, path)? };
        numbered(items, &path)?
            .into_values()
            .map(|(name, item)| self.value(of, item, &join(&path, name)))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array)
    }

    fn map(&self, parts: [(ShapeRef, &str); 2], flattened: bool, node: &Node, path: &str) -> Result<Value, Violation> {
        without_value(node, path, "a map")?;
        let (entries, path) = if flattened { (node, path.to_owned()) } else { descend(node, MAP_ENTRY, path)? };
        let mut map = Map::new();
        for (name, entry) in numbered(entries, &path)?.into_values() {
            let path = join(&path, name);
            if let Some(name) = entry.children.keys().find(|name| parts.iter().all(|(_, part)| part != name)) {
                return Err(unknown(&join(&path, name)));
            }
            let part = |(shape, name): (ShapeRef, &str)| {
                let path = join(&path, name);
                let node = entry.children.get(name).ok_or_else(|| Violation::new(path.as_str(), Rule::Missing))?;
                self.value(shape, node, &path)
            };
            let [key, value] = parts;
            if let Value::String(key) = part(key)? {
                map.insert(key, part(value)?);
            }
        }
        Ok(Value::Object(map))
    }
}

fn unknown(path: &str) -> Violation {
    Violation::new(path, Rule::Unknown)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `X=` stands for an empty list or structure; any other value does not belong there.
fn without_value(node: &Node, path: &str, expected: &'static str) -> Result<(), Violation> {
    match node.value.as_deref() {
        None | Some("") => Ok(()),
        Some(value) => Err(Violation::new(path, Rule::Type { value: value.to_owned(), expected })),
    }
}

/// The node below the one segment that may stand here.
fn descend<'a>(node: &'a Node, segment: &str, path: &str) -> Result<(&'a Node, String), Violation> {
    static NOTHING: Node = Node { value: None, children: BTreeMap::new() };
    match node.children.keys().find(|name| *name != segment) {
        Some(name) => Err(unknown(&join(path, name))),
        None => Ok((node.children.get(segment).unwrap_or(&NOTHING), join(path, segment))),
    }
}

/// Children in the order of their numbers, which may have gaps. Nothing is allocated by the value of a number.
fn numbered<'a>(node: &'a Node, path: &str) -> Result<BTreeMap<u32, (&'a str, &'a Node)>, Violation> {
    let mut items = BTreeMap::new();
    for (name, child) in &node.children {
        let number = name.parse().ok().filter(|_| name.bytes().all(|digit| digit.is_ascii_digit()));
        let fresh = number.is_some_and(|number| items.insert(number, (name.as_str(), child)).is_none());
        if !fresh {
            return Err(unknown(&join(path, name)));
        }
    }
    Ok(items)
}

fn scalar_value(kind: &Kind, text: &str) -> Result<Value, Rule> {
    let wrong = |expected| Rule::Type { value: text.to_owned(), expected };
    match kind {
        Kind::Integer(_) => text.parse::<i32>().map(Value::from).map_err(|_| wrong("an integer")),
        Kind::Long(_) => text.parse::<i64>().map(Value::from).map_err(|_| wrong("an integer")),
        Kind::Double => {
            let number = text.parse().ok().and_then(Number::from_f64);
            number.map(Value::Number).ok_or_else(|| wrong("a number"))
        }
        Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        Kind::Boolean => Err(wrong("true or false")),
        Kind::Blob { .. } => match BASE64_STANDARD.decode(text) {
            Ok(_) => Ok(Value::from(text)),
            Err(_) => Err(wrong("base64")),
        },
        Kind::Timestamp(_) => {
            text.parse::<Timestamp>().map(|time| Value::from(time.to_string())).map_err(|_| wrong("an ISO 8601 time"))
        }
        Kind::Text { .. } | Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. } => Ok(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::form::Form;
    use serde_json::json;

    fn decoded(service: &str, operation: &str, body: &str) -> Result<Value, Violation> {
        let schema = hive_aws_model::service(service).expect("service");
        let form = Form::parse("", body.as_bytes()).expect("form");
        let operation = schema.operation(operation).expect("operation");
        decode(schema, operation.input(), &form.members).map(Value::Object)
    }

    /// Bodies as botocore writes them.
    #[test]
    fn ec2_forms() {
        let body = "ImageId=ami-01234567&MinCount=1&MaxCount=2&BlockDeviceMapping.1.DeviceName=xvda\
             &BlockDeviceMapping.1.Ebs.VolumeSize=8&NetworkInterface.1.SecurityGroupId.1=sg-1\
             &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=\
             &DisableApiTermination=true";
        let expected = json!({
            "ImageId": "ami-01234567", "MinCount": 1, "MaxCount": 2, "DisableApiTermination": true,
            "BlockDeviceMappings": [{"DeviceName": "xvda", "Ebs": {"VolumeSize": 8}}],
            "NetworkInterfaces": [{"Groups": ["sg-1"]}],
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": ""}]}],
        });
        assert_eq!(decoded("ec2", "RunInstances", body), Ok(expected));
    }

    #[test]
    fn indices_sort_by_number_and_may_have_gaps() {
        let body = "InstanceId.10=i-c&InstanceId.2=i-b&InstanceId.1=i-a&InstanceId.4000000000=i-d";
        let expected = json!({"InstanceIds": ["i-a", "i-b", "i-c", "i-d"]});
        assert_eq!(decoded("ec2", "DescribeInstances", body), Ok(expected));
    }

    #[test]
    fn query_forms() {
        let body = "RoleArn=arn&RoleSessionName=s&Tags.member.1.Key=k&Tags.member.1.Value=v&PolicyArns=";
        let expected = json!({
            "RoleArn": "arn", "RoleSessionName": "s", "Tags": [{"Key": "k", "Value": "v"}], "PolicyArns": [],
        });
        assert_eq!(decoded("sts", "AssumeRole", body), Ok(expected));
    }

    #[test]
    fn what_is_refused() {
        let refused = |body: &str| decoded("ec2", "DescribeInstances", body).expect_err("refused");
        assert_eq!(refused("Foo=1"), Violation::new("Foo", Rule::Unknown));
        assert_eq!(refused("InstanceId.x=1"), Violation::new("InstanceId.x", Rule::Unknown));
        assert_eq!(refused("InstanceId.01=1&InstanceId.1=1").rule, Rule::Unknown);
        assert_eq!(refused("InstanceId.-1=1").rule, Rule::Unknown);
        assert_eq!(refused("Filter.1.Name.2=1").path, "Filter.1.Name.2");
        assert!(matches!(refused("InstanceId=i-1").rule, Rule::Type { expected: "a list", .. }));
        assert!(matches!(refused("MaxResults=five").rule, Rule::Type { expected: "an integer", .. }));
        assert!(matches!(refused("MaxResults=99999999999").rule, Rule::Type { .. }));
        assert!(matches!(refused("DryRun=1").rule, Rule::Type { .. }));
        assert!(matches!(refused("Filter.1=x").rule, Rule::Type { expected: "a structure", .. }));
    }
}
