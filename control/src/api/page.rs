//! Paging of the Describe calls: `MaxResults` and an opaque `NextToken` that names where the next page begins.

use crate::error::{Error, combination, invalid};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::ops::RangeInclusive;

/// Largest page, whatever the caller names, so that an answer stays below the bus's message size of 1 MiB: an instance takes 3 KiB.
/// EC2 too may answer fewer than asked for, with a token.
const MAX_PAGE: usize = 300;

/// A page as asked for.
#[derive(Debug)]
pub struct Page {
    max_results: usize,
    /// Items up to this key have been given already.
    after: Option<String>,
}

impl Page {
    /// `by_id` says that the call names its resources, which excludes paging.
    ///
    /// # Errors
    /// `MaxResults` outside `limits`, a token that is not ours, or paging together with ids.
    pub fn check(
        max_results: Option<i32>,
        next_token: Option<&str>,
        limits: RangeInclusive<i32>,
        by_id: bool,
    ) -> Result<Self, Error> {
        if by_id && max_results.is_some() {
            return Err(combination("The parameter MaxResults cannot be used with the parameter that lists ids"));
        }
        if let Some(wanted) = max_results
            && !limits.contains(&wanted)
        {
            let reason = format!("Expecting a value between {} and {}.", limits.start(), limits.end());
            return Err(invalid("MaxResults", wanted, reason));
        }
        let after = next_token.map(|token| {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok();
            bytes.and_then(|b| String::from_utf8(b).ok()).ok_or_else(|| invalid("NextToken", token, "Unknown token."))
        });
        let max_results = max_results.and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_PAGE).min(MAX_PAGE);
        Ok(Self { max_results, after: after.transpose()? })
    }

    /// The page of `items`, which are in the order of their keys, and the token of the next one.
    pub fn cut<T>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let fresh = |item: &T| self.after.as_ref().is_none_or(|after| key(item) > *after);
        let mut rest = items.into_iter().filter(fresh).peekable();
        let page: Vec<T> = rest.by_ref().take(self.max_results).collect();
        let token = match (rest.peek(), page.last()) {
            (Some(_), Some(last)) => Some(URL_SAFE_NO_PAD.encode(key(last))),
            _ => None,
        };
        (page, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole() {
        let all: Vec<String> = (10..33).map(|i| i.to_string()).collect();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        for _ in 0..5 {
            let page = Page::check(Some(5), token.as_deref(), 5..=1000, false).expect("a page");
            let (items, next) = page.cut(all.clone(), String::clone);
            seen.extend(items);
            token = next;
        }
        assert_eq!((seen, token), (all, None));
    }

    #[test]
    fn refusals() {
        assert!(Page::check(Some(4), None, 5..=1000, false).is_err());
        assert!(Page::check(Some(1001), None, 5..=1000, false).is_err());
        assert!(Page::check(Some(5), None, 5..=1000, true).is_err());
        assert!(Page::check(None, Some("not a token!"), 5..=1000, false).is_err());
    }
}
