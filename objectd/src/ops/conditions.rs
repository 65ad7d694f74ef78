//! Conditions on reading (RFC 9110 section 13.2.2): GET, HEAD, and the source of a copy.

use crate::meta::Object;
use jiff::Timestamp;

/// `If-Match` and its kin.
#[derive(Clone, Debug, Default)]
pub struct ReadCondition {
    /// A list of ETags, or `*`.
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    NotModified,
    Failed,
}

/// Whether a list of ETags (quoted or bare, weak or strong) names this one.
fn names(list: &str, etag: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == etag)
}

impl ReadCondition {
    pub fn evaluate(&self, object: &Object) -> Verdict {
        // Dates in headers have whole seconds.
        let modified_second = object.modified_ms.div_euclid(1000);
        let modified_after = |time: Timestamp| modified_second > time.as_second();
        let unmet = match (&self.if_match, self.if_unmodified_since) {
            (Some(list), _) => !names(list, &object.etag),
            (None, Some(time)) => modified_after(time),
            (None, None) => false,
        };
        if unmet {
            return Verdict::Failed;
        }
        let unchanged = match (&self.if_none_match, self.if_modified_since) {
            (Some(list), _) => names(list, &object.etag),
            (None, Some(time)) => !modified_after(time),
            (None, None) => false,
        };
        if unchanged { Verdict::NotModified } else { Verdict::Proceed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{blob::BlobId, meta::Body};

    #[test]
    fn precedence() {
        use Verdict::*;
        let object = Object {
            size: 0,
            etag: "abc".into(),
            modified_ms: 10_500,
            checksum: None,
            body: Body::Inline(BlobId(1)),
            headers: Default::default(),
        };
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let text = |text: &str| Some(text.to_owned());
        for (condition, verdict) in [
            (ReadCondition { if_match: text("\"abc\""), if_unmodified_since: at(1), ..Default::default() }, Proceed),
            (ReadCondition { if_match: text("\"x\", W/\"y\""), ..Default::default() }, Failed),
            (ReadCondition { if_unmodified_since: at(9), ..Default::default() }, Failed),
            (ReadCondition { if_unmodified_since: at(10), ..Default::default() }, Proceed),
            (ReadCondition { if_none_match: text("*"), ..Default::default() }, NotModified),
            (ReadCondition { if_none_match: text("x"), if_modified_since: at(99), ..Default::default() }, Proceed),
            (ReadCondition { if_modified_since: at(10), ..Default::default() }, NotModified),
            (ReadCondition { if_modified_since: at(9), ..Default::default() }, Proceed),
            (ReadCondition { if_match: text("abc"), if_none_match: text("abc"), ..Default::default() }, NotModified),
        ] {
            assert_eq!(condition.evaluate(&object), verdict, "{condition:?}");
        }
    }
}
