//! Requests, notifications and replies.

use serde::Serialize;
use serde_json::{Map, Value};

/// A JSON-RPC 1.0 message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Request {
        id: Value,
        method: String,
        params: Vec<Value>,
    },
    /// A request that wants no reply: its id is null.
    Notification {
        method: String,
        params: Vec<Value>,
    },
    Reply {
        id: Value,
        result: Result<Value, Value>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("not a JSON-RPC message: {0}")]
    Shape(&'static str),
}

impl Message {
    pub fn parse(text: &[u8]) -> Result<Self, MessageError> {
        let mut members: Map<String, Value> = serde_json::from_slice(text)?;
        let id = members.remove("id").unwrap_or(Value::Null);
        if let Some(method) = members.remove("method") {
            let Value::String(method) = method else { return Err(MessageError::Shape("method is not a string")) };
            let params = match members.remove("params") {
                Some(Value::Array(params)) => params,
                Some(_) => return Err(MessageError::Shape("params is not an array")),
                None => return Err(MessageError::Shape("a method without params")),
            };
            if members.contains_key("result") || members.contains_key("error") {
                return Err(MessageError::Shape("both a request and a reply"));
            }
            return Ok(if id.is_null() {
                Self::Notification { method, params }
            } else {
                Self::Request { id, method, params }
            });
        }
        let result = members.remove("result");
        let error = members.remove("error").unwrap_or(Value::Null);
        if id.is_null() {
            return Err(MessageError::Shape("a reply without id"));
        }
        match (result, error) {
            (Some(result), Value::Null) => Ok(Self::Reply { id, result: Ok(result) }),
            (None | Some(Value::Null), error) if !error.is_null() => Ok(Self::Reply { id, result: Err(error) }),
            (Some(_), _) => Err(MessageError::Shape("both a result and an error")),
            (None, _) => Err(MessageError::Shape("neither method, result nor error")),
        }
    }

    /// The message as it goes over the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let wire = match self {
            Self::Request { id, method, params } => Wire::Call { id, method, params },
            Self::Notification { method, params } => Wire::Call { id: &Value::Null, method, params },
            Self::Reply { id, result: Ok(result) } => Wire::Reply { id, result, error: &Value::Null },
            Self::Reply { id, result: Err(error) } => Wire::Reply { id, result: &Value::Null, error },
        };
        // JSON values always have a text.
        serde_json::to_vec(&wire).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Wire<'a> {
    Call { id: &'a Value, method: &'a str, params: &'a [Value] },
    Reply { id: &'a Value, result: &'a Value, error: &'a Value },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_survive_the_wire() {
        for message in [
            Message::Request { id: json!(7), method: "echo".into(), params: vec![json!("a")] },
            Message::Notification { method: "update3".into(), params: vec![] },
            Message::Reply { id: json!("x"), result: Ok(Value::Null) },
            Message::Reply { id: json!([1]), result: Err(json!({ "error": "e" })) },
        ] {
            assert_eq!(Message::parse(&message.to_bytes()).unwrap(), message);
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "{}",
            "[]",
            "{]",
            r#"{"method":1,"params":[],"id":1}"#,
            r#"{"method":"m","params":{},"id":1}"#,
            r#"{"method":"m","id":1}"#,
            r#"{"method":"m","params":[],"result":1,"id":1}"#,
            r#"{"result":1,"error":null}"#,
            r#"{"result":1,"error":2,"id":1}"#,
            r#"{"id":1}"#,
        ] {
            assert!(Message::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("{{\"id\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        assert!(matches!(Message::parse(deep.as_bytes()), Err(MessageError::Json(_))));
    }
}
