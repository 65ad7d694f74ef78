//! From an operation's output to the XML of its protocol.

use hive_aws_model::{Kind, OperationRef, Protocol, ShapeRef, TimestampFormat};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Write;

/// A handler answered something that the model does not know; the text names the member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("output member {path} {problem}")]
pub struct EncodeError {
    pub path: String,
    pub problem: &'static str,
}

/// EC2's word for a success that has nothing else to say.
const RETURN: &str = "return";

/// The whole answer document. Lists are written even when they are empty, since clients take a missing one for a missing key.
pub fn encode(operation: OperationRef, output: &Map<String, Value>, request_id: &str) -> Result<String, EncodeError> {
    let schema = operation.schema;
    let mut encoder = Encoder { protocol: schema.protocol, text: String::with_capacity(1024), path: Vec::new() };
    let name = operation.name();
    let ec2 = schema.protocol == Protocol::Ec2;
    encoder.text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // EC2's documents name it with the final slash that the model lacks.
    let namespace = schema.namespace.trim_end_matches('/');
    let _ = write!(encoder.text, "<{name}Response xmlns=\"{namespace}/\">");
    if ec2 {
        let _ = write!(encoder.text, "<requestId>{request_id}</requestId>");
    }
    if let Some(wrapper) = operation.row.result_wrapper {
        encoder.open(wrapper);
    }
    match operation.output() {
        Some(shape) => {
            encoder.structure(shape, output)?;
            let unsaid = shape.members().iter().find(|m| m.xml_name() == RETURN && !output.contains_key(m.name()));
            if ec2 && unsaid.is_some() {
                encoder.leaf(RETURN, "true");
            }
        }
        None if ec2 => encoder.leaf(RETURN, "true"),
        None => {}
    }
    if let Some(wrapper) = operation.row.result_wrapper {
        encoder.close(wrapper);
    }
    if !ec2 {
        let _ = write!(encoder.text, "<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>");
    }
    let _ = write!(encoder.text, "</{name}Response>");
    Ok(encoder.text)
}

struct Encoder {
    protocol: Protocol,
    text: String,
    /// Members from the root to where the encoder is, for errors.
    path: Vec<&'static str>,
}

impl Encoder {
    fn open(&mut self, name: &str) {
        let _ = write!(self.text, "<{name}>");
    }

    fn close(&mut self, name: &str) {
        let _ = write!(self.text, "</{name}>");
    }

    fn leaf(&mut self, name: &str, text: &str) {
        let _ = write!(self.text, "<{name}>{}</{name}>", escape(text));
    }

    fn error(&self, problem: &'static str) -> EncodeError {
        EncodeError { path: self.path.join("."), problem }
    }

    fn structure(&mut self, shape: ShapeRef, members: &Map<String, Value>) -> Result<(), EncodeError> {
        if let Some(name) = members.keys().find(|name| shape.members().by_name(name).is_none()) {
            return Err(EncodeError { path: self.path.join(".") + "." + name, problem: "is not in the model" });
        }
        for member in shape.members().iter() {
            self.path.push(member.name());
            match members.get(member.name()).filter(|value| !value.is_null()) {
                Some(value) => self.element(member.xml_name(), member.shape(), value, member.is_flattened())?,
                None if matches!(member.shape().kind(), Kind::List { .. }) => {
                    let _ = write!(self.text, "<{}/>", member.xml_name());
                }
                None => {}
            }
            self.path.pop();
        }
        Ok(())
    }

    /// `flat`: the member says that a list or map has no element around it, whatever its shape says.
    fn element(&mut self, name: &str, shape: ShapeRef, value: &Value, flat: bool) -> Result<(), EncodeError> {
        match (shape.kind(), value) {
            (Kind::Structure(_), Value::Object(members)) => {
                self.open(name);
                self.structure(shape, members)?;
                self.close(name);
            }
            (Kind::List { of, item, flattened, .. }, Value::Array(items)) => {
                let flat = flat || flattened;
                self.around(name, flat, |encoder| {
                    let item = if flat { name } else { item };
                    items.iter().try_for_each(|value| encoder.element(item, of, value, false))
                })?;
            }
            (Kind::Map { value: of, key_name, value_name, flattened, .. }, Value::Object(entries)) => {
                let flat = flat || flattened;
                self.around(name, flat, |encoder| {
                    let entry = if flat { name } else { "entry" };
                    entries.iter().try_for_each(|(key, value)| {
                        encoder.open(entry);
                        encoder.leaf(key_name, key);
                        encoder.element(value_name, of, value, false)?;
                        encoder.close(entry);
                        Ok(())
                    })
                })?;
            }
            (kind, _) => {
                let text = self.scalar(&kind, value)?;
                self.leaf(name, &text);
            }
        }
        Ok(())
    }

    /// Writes `content` within an element, or bare.
    fn around(
        &mut self,
        name: &str,
        bare: bool,
        content: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        if bare {
            return content(self);
        }
        self.open(name);
        content(self)?;
        self.close(name);
        Ok(())
    }

    fn scalar<'a>(&self, kind: &Kind, value: &'a Value) -> Result<Cow<'a, str>, EncodeError> {
        match (kind, value) {
            (Kind::Text { .. } | Kind::Blob { .. }, Value::String(text)) => Ok(text.into()),
            (Kind::Boolean, Value::Bool(value)) => Ok(if *value { "true" } else { "false" }.into()),
            (Kind::Integer(_) | Kind::Long(_), Value::Number(number)) if number.is_i64() || number.is_u64() => {
                Ok(number.to_string().into())
            }
            (Kind::Double, Value::Number(number)) => Ok(number.to_string().into()),
            (Kind::Timestamp(format), Value::String(text)) => {
                let time: Timestamp = text.parse().map_err(|_| self.error("is not an RFC 3339 time"))?;
                Ok(self.timestamp(*format, time).into())
            }
            _ => Err(self.error("is not of the model's type")),
        }
    }

    /// EC2 writes milliseconds always; the query services whole seconds.
    fn timestamp(&self, format: TimestampFormat, time: Timestamp) -> String {
        match (format, self.protocol) {
            (TimestampFormat::Iso8601, Protocol::Ec2) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            (TimestampFormat::Iso8601, _) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            (TimestampFormat::HttpDate, _) => time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            (TimestampFormat::UnixSeconds, _) => time.as_second().to_string(),
        }
    }
}

/// XML 1.0 character data. What XML cannot hold at all becomes U+FFFD.
pub fn escape(text: &str) -> Cow<'_, str> {
    let special = |letter: char| matches!(letter, '&' | '<' | '>' | '"' | '\u{fffe}' | '\u{ffff}');
    let control = |letter: char| letter < ' ' && !matches!(letter, '\t' | '\n');
    if !text.contains(|letter| special(letter) || control(letter)) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A bare one would be read as a line feed.
            '\r' => escaped.push_str("&#xD;"),
            _ if special(letter) || control(letter) => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(service: &str, operation: &str, output: Value) -> Result<String, EncodeError> {
        let operation =
            hive_aws_model::service(service).and_then(|schema| schema.operation(operation)).expect("operation");
        let Value::Object(output) = output else { panic!("an object is needed") };
        let text = encode(operation, &output, "id-1")?;
        Ok(text.trim_start_matches("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").to_owned())
    }

    #[test]
    fn ec2_answers() {
        let output = json!({"KeyPairs": [{"KeyName": "a<b", "CreateTime": "2026-11-22T19:34:35Z"}]});
        assert_eq!(
            document("ec2", "DescribeKeyPairs", output).as_deref(),
            Ok(
                "<DescribeKeyPairsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id-1</requestId>\
                <keySet><item><createTime>2026-11-22T19:34:35.000Z</createTime><keyName>a&lt;b</keyName><tagSet/></item>\
                </keySet></DescribeKeyPairsResponse>"
            )
        );
        let empty = document("ec2", "DescribeKeyPairs", json!({})).expect("document");
        assert!(empty.contains("<keySet/>"), "{empty}");
        let done = document("ec2", "RebootInstances", json!({})).expect("document");
        assert!(done.contains("<return>true</return>"), "{done}");
        let done = document("ec2", "DeleteKeyPair", json!({"KeyPairId": "key-1"})).expect("document");
        assert!(done.contains("<keyPairId>key-1</keyPairId><return>true</return>"), "{done}");
    }

    #[test]
    fn query_answers() {
        let output = json!({"Account": "123456789012", "Arn": "arn", "UserId": "u"});
        assert_eq!(
            document("sts", "GetCallerIdentity", output).as_deref(),
            Ok(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                <Account>123456789012</Account><Arn>arn</Arn><UserId>u</UserId></GetCallerIdentityResult>\
                <ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
            )
        );
    }

    #[test]
    fn what_the_model_does_not_know_is_an_error() {
        let unknown = document("ec2", "DescribeKeyPairs", json!({"KeyPairs": [{"Junk": 1}]})).expect_err("refused");
        assert_eq!(unknown.to_string(), "output member KeyPairs.Junk is not in the model");
        assert!(document("ec2", "DescribeKeyPairs", json!({"KeyPairs": 1})).is_err());
        assert!(document("ec2", "DescribeKeyPairs", json!({"KeyPairs": [{"CreateTime": "now"}]})).is_err());
    }

    #[test]
    fn escaping() {
        assert_eq!(escape("a&b<c>\"\r\u{1}\t"), "a&amp;b&lt;c&gt;&quot;&#xD;\u{fffd}\t");
        assert!(matches!(escape("plain"), Cow::Borrowed(_)));
    }
}
