//! Filters of the Describe calls: all of them must match, each by any of its values, with `*` and `?`.

use crate::error::{Error, invalid};
use crate::store::Tags;
use hive_aws_types::ec2::Filter;

/// EC2's limits.
const MAX_FILTERS: usize = 50;
const MAX_VALUES: usize = 200;

/// A resource that filters look at.
pub trait Filterable {
    /// The names that this kind of resource knows, besides `tag:<key>` and `tag-key`.
    const NAMES: &'static [&'static str];

    /// The texts that `name`, one of [`Self::NAMES`], stands for.
    fn values(&self, name: &str) -> Vec<String>;

    /// None: the resource has no tags, and `tag:` filters are refused.
    fn tags(&self) -> Option<&Tags>;

    /// Whether the tag filters exist for this kind.
    const TAGGED: bool = true;
}

/// Filters that were checked: every name is known to `T`.
#[derive(Debug)]
pub struct Filters<'a>(&'a [Filter]);

impl<'a> Filters<'a> {
    /// # Errors
    /// Too many filters or values, a filter without name or values, or a name unknown to `T`.
    pub fn check<T: Filterable>(filters: &'a [Filter]) -> Result<Self, Error> {
        let refuse = |value: &str, reason: &str| Err(invalid("Filter", value, reason));
        if filters.len() > MAX_FILTERS {
            return refuse(&filters.len().to_string(), "Too many filters.");
        }
        for filter in filters {
            let name = filter.name.as_deref().unwrap_or_default();
            let is_tag = T::TAGGED && (name == "tag-key" || name.starts_with("tag:"));
            if !is_tag && !T::NAMES.contains(&name) {
                return refuse(name, &format!("The filter '{name}' is invalid"));
            }
            if filter.values.is_empty() {
                return refuse(name, "The filter has no values.");
            }
            if filter.values.len() > MAX_VALUES {
                return refuse(name, "The filter has too many values.");
            }
        }
        Ok(Self(filters))
    }

    pub fn admit<T: Filterable>(&self, resource: &T) -> bool {
        self.0.iter().all(|filter| {
            let name = filter.name.as_deref().unwrap_or_default();
            let found = match (name, name.strip_prefix("tag:")) {
                (_, Some(key)) => resource.tags().and_then(|tags| tags.get(key)).cloned().into_iter().collect(),
                ("tag-key", None) => resource.tags().into_iter().flat_map(|tags| tags.keys().cloned()).collect(),
                (name, None) => resource.values(name),
            };
            filter.values.iter().any(|pattern| found.iter().any(|text| matches(pattern, text)))
        })
    }
}

/// One token of a pattern; `\*`, `\?` and `\\` stand for themselves.
#[derive(Clone, Copy, PartialEq)]
enum Token {
    Char(char),
    AnyChar,
    AnyText,
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut chars = pattern.chars();
    let mut tokens = Vec::with_capacity(pattern.len());
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::AnyText,
            '?' => Token::AnyChar,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            c => Token::Char(c),
        });
    }
    tokens
}

/// Case matters. Time is at most pattern length times text length: after a mismatch only the last `*` grows.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = text.get(t) {
        match pattern.get(p) {
            Some(Token::AnyText) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(Token::AnyChar) => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(Token::Char(wanted)) if *wanted == c => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            _ => {}
        }
        let Some((star_at, matched_to)) = star else { return false };
        star = Some((star_at, matched_to + 1));
        (p, t) = (star_at + 1, matched_to + 1);
    }
    pattern.get(p..).unwrap_or_default().iter().all(|token| *token == Token::AnyText)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("web-*", "web-1", true),
            ("web-?", "web-12", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("Web", "web", false),
            ("ab", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    proptest! {
        /// The definition, by recursion.
        #[test]
        fn as_defined(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            fn defined(p: &[u8], t: &[u8]) -> bool {
                match (p.split_first(), t.split_first()) {
                    (None, _) => t.is_empty(),
                    (Some((b'*', p)), _) => (0..=t.len()).any(|n| defined(p, &t[n..])),
                    (Some((b'?', p)), Some((_, t))) => defined(p, t),
                    (Some((c, p)), Some((d, t))) => c == d && defined(p, t),
                    (Some(_), None) => false,
                }
            }
            prop_assert_eq!(matches(&pattern, &text), defined(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
