//! An error as the client sees it, in the shapes of the protocols.

use crate::wire::xml::escape;
use hive_aws_model::{Protocol, Schema};
use std::borrow::Cow;

/// Code, HTTP status and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Cow<'static, str>,
    pub status: u16,
    pub message: String,
    /// The modelled `Reason` of an error of EBS.
    pub reason: Option<&'static str>,
}

impl Fault {
    pub fn new(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into(), reason: None }
    }

    pub fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// The error document of `schema`'s protocol.
    pub fn document(&self, schema: &Schema, request_id: &str) -> String {
        let (code, message) = (escape(&self.code), escape(&self.message));
        match schema.protocol {
            Protocol::Ec2 => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
                 <Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
            ),
            Protocol::Query => {
                let blame = if self.status < 500 { "Sender" } else { "Receiver" };
                format!(
                    "<ErrorResponse xmlns=\"{}\">\n<Error><Type>{blame}</Type><Code>{code}</Code><Message>{message}\
                     </Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
                    schema.namespace
                )
            }
            // The code is in a header.
            Protocol::RestJson => match self.reason {
                Some(reason) => serde_json::json!({"Message": self.message, "Reason": reason}).to_string(),
                None => serde_json::json!({"Message": self.message}).to_string(),
            },
            Protocol::RestXml => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
                 <RequestId>{request_id}</RequestId><HostId>{request_id}</HostId></Error>"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_the_protocols() {
        let fault = Fault::new("InvalidX", 400, "<a> & b");
        let document = |service| fault.document(hive_aws_model::service(service).expect("service"), "id-1");
        assert!(document("ec2").ends_with(
            "<Response><Errors><Error><Code>InvalidX</Code><Message>&lt;a&gt; &amp; b</Message></Error></Errors>\
             <RequestID>id-1</RequestID></Response>"
        ));
        assert!(document("sts").starts_with("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"));
        assert!(document("sts").contains("<Error><Type>Sender</Type><Code>InvalidX</Code>"));
        assert_eq!(document("ebs"), r#"{"Message":"<a> & b"}"#);
        let because = fault.clone().because("INVALID_BLOCK").document(&hive_aws_model::EBS, "id-1");
        assert_eq!(because, r#"{"Message":"<a> & b","Reason":"INVALID_BLOCK"}"#);
        assert!(document("s3").contains("\n<Error><Code>InvalidX</Code>"));
        let ours = Fault::new("InternalFailure", 500, "x");
        assert!(ours.document(hive_aws_model::service("iam").expect("iam"), "i").contains("<Type>Receiver</Type>"));
    }
}
