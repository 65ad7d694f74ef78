//! Paging of the Describe calls: `MaxResults` and an opaque `NextToken` that names where the next page begins.

use crate::error::{Error, combination, invalid};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use std::ops::RangeInclusive;

/// Largest page, whatever the caller names, so that an answer stays below the bus's message size of 1 MiB: an instance takes 3 KiB.
/// EC2 too may answer fewer than asked for, with a token.
const MAX_PAGE: usize = 300;

/// Bytes of a page, for the same reason: things with long lists or many tags take far more than an instance.
const MAX_PAGE_BYTES: usize = 700_000;

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

    /// The same, of the items as the caller sees them: so many as fit an answer, at least one.
    pub fn shown<T, V: Serialize>(
        &self,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(&T) -> V,
    ) -> (Vec<V>, Option<String>) {
        let (page, token) = self.cut(items, &key);
        let (mut shown, mut size) = (Vec::with_capacity(page.len()), 0_usize);
        let mut last: Option<&T> = None;
        for item in &page {
            let one = show(item);
            size = size.saturating_add(serde_json::to_vec(&one).map_or(0, |encoded| encoded.len()));
            if let Some(last) = last.filter(|_| size > MAX_PAGE_BYTES) {
                return (shown, Some(URL_SAFE_NO_PAD.encode(key(last))));
            }
            shown.push(one);
            last = Some(item);
        }
        (shown, token)
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
    fn large_things_are_fewer_a_page_and_all_come() {
        let all: Vec<String> = (10..20).map(|i| i.to_string().repeat(100_000)).collect();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = Page::check(None, token.as_deref(), 5..=1000, false).expect("a page");
            let (items, next) = page.shown(all.clone(), |item| item[..2].to_owned(), String::clone);
            assert!(serde_json::to_vec(&items).expect("encoded").len() < 1 << 20);
            seen.extend(items);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        // One alone comes, whatever its size.
        let page = Page::check(None, None, 5..=1000, false).expect("a page");
        let huge = vec!["a".repeat(MAX_PAGE_BYTES + 1), "b".into()];
        let (items, next) = page.shown(huge, |item| item[..1].to_owned(), String::clone);
        assert_eq!((items.len(), next.is_some()), (1, true));
    }

    #[test]
    fn refusals() {
        assert!(Page::check(Some(4), None, 5..=1000, false).is_err());
        assert!(Page::check(Some(1001), None, 5..=1000, false).is_err());
        assert!(Page::check(Some(5), None, 5..=1000, true).is_err());
        assert!(Page::check(None, Some("not a token!"), 5..=1000, false).is_err());
    }
}
