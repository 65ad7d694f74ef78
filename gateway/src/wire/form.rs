//! Pairs of a query string and of an `application/x-www-form-urlencoded` body, and the tree that their dotted names spell.

use crate::wire::Fault;
use hive_auth::canonical::query_pairs;
use std::collections::BTreeMap;

/// Largest body of a form request; AWS's own limit of a query is smaller, user data and policies fit.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Most pairs of one request: more than any client sends (1,000 ids with room), few enough to answer at once.
pub const MAX_PAIRS: usize = 4096;
/// Longest dotted name in segments. The deepest path of the model has 11 (CreateFleet, down to a performance reference).
pub const MAX_SEGMENTS: usize = 16;

/// Parameters that authenticate a presigned request and never reach an operation.
const AUTHENTICATION_PREFIX: &str = "X-Amz-";

/// A request's parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub action: Option<String>,
    pub version: Option<String>,
    pub members: Node,
}

/// A value, or members by the next segment of their names; hostile forms may give both.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub value: Option<String>,
    pub children: BTreeMap<String, Node>,
}

impl Form {
    /// Reads the query string and the body together; a name may appear once in both.
    ///
    /// # Errors
    /// `MalformedQueryString` for what is not UTF-8, too many or too deep; `InvalidQueryParameter` for a name given twice.
    pub fn parse(query: &str, body: &[u8]) -> Result<Self, Fault> {
        let body = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
        let mut form = Self::default();
        for (count, (name, value)) in query_pairs(query).chain(query_pairs(body.trim_end())).enumerate() {
            if count >= MAX_PAIRS {
                return Err(malformed("too many parameters"));
            }
            let text = |bytes| String::from_utf8(bytes).map_err(|_| malformed("a parameter is not UTF-8"));
            form.add(&text(name)?, text(value)?)?;
        }
        Ok(form)
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), Fault> {
        let slot = match name {
            "Action" => &mut self.action,
            "Version" => &mut self.version,
            _ if name.starts_with(AUTHENTICATION_PREFIX) => return Ok(()),
            _ => {
                if name.split('.').count() > MAX_SEGMENTS {
                    return Err(malformed("a parameter name has too many segments"));
                }
                let node = name
                    .split('.')
                    .fold(&mut self.members, |node, segment| node.children.entry(segment.to_owned()).or_default());
                &mut node.value
            }
        };
        if slot.replace(value).is_some() {
            return Err(Fault::new(
                "InvalidQueryParameter",
                400,
                format!("The parameter {name} is given more than once"),
            ));
        }
        Ok(())
    }
}

fn malformed(what: &str) -> Fault {
    Fault::new("MalformedQueryString", 400, format!("The query string contains a syntax error: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn query_and_body_are_one_form() {
        let form =
            Form::parse("Action=A&X-Amz-Signature=1", b"Version=2&Tag.1.Key=a%26b+c&Tag.1.Value=").expect("form");
        assert_eq!((form.action.as_deref(), form.version.as_deref()), (Some("A"), Some("2")));
        let tag = &form.members.children["Tag"].children["1"].children;
        assert_eq!(tag["Key"].value.as_deref(), Some("a&b c"));
        assert_eq!(tag["Value"].value.as_deref(), Some(""));
    }

    #[test]
    fn what_is_refused() {
        let code = |query: &str, body: &[u8]| Form::parse(query, body).expect_err("refused").code;
        assert_eq!(code("Action=A", b"Action=B"), "InvalidQueryParameter");
        assert_eq!(code("", b"A.1=x&A.1=x"), "InvalidQueryParameter");
        assert_eq!(code("", b"A=%ff"), "MalformedQueryString");
        assert_eq!(code("", b"A=\xff"), "MalformedQueryString");
        assert_eq!(code("", vec!["A"; MAX_SEGMENTS + 1].join(".").as_bytes()), "MalformedQueryString");
        let many: Vec<String> = (0..=MAX_PAIRS).map(|at| format!("A.{at}=x")).collect();
        assert_eq!(code("", many.join("&").as_bytes()), "MalformedQueryString");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(query in ".{0,200}", body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Form::parse(&query, &body);
        }
    }
}
