//! Session tokens of IMDSv2: bound to the interface that keeps them, expiring, bounded.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use std::collections::HashMap;

/// Tokens of one interface; the one that ends first gives way. SDKs keep one for hours.
const MAX_TOKENS: usize = 256;
/// 56 characters of base64, as EC2's are.
const TOKEN_BYTES: usize = 42;

#[derive(Debug, Default)]
pub struct Tokens {
    /// Token to when it ends, in milliseconds.
    ends_ms: HashMap<String, u64>,
}

impl Tokens {
    /// A new token; None when the system gives no randomness.
    pub fn issue(&mut self, ttl_s: u64, now_ms: u64) -> Option<String> {
        let mut random = [0; TOKEN_BYTES];
        getrandom::fill(&mut random).ok()?;
        let token = URL_SAFE.encode(random);
        if self.ends_ms.len() >= MAX_TOKENS
            && let Some(first) =
                self.ends_ms.iter().min_by_key(|(_, ends_ms)| **ends_ms).map(|(token, _)| token.clone())
        {
            self.ends_ms.remove(&first);
        }
        self.ends_ms.insert(token.clone(), now_ms + ttl_s * 1000);
        Some(token)
    }

    /// Seconds that the token still holds; None when it does not.
    pub fn remaining_s(&self, token: &str, now_ms: u64) -> Option<u64> {
        let ends_ms = *self.ends_ms.get(token)?;
        (ends_ms > now_ms).then(|| (ends_ms - now_ms).div_ceil(1000))
    }

    /// Forgets tokens that ended, once there are many.
    pub fn expire(&mut self, now_ms: u64) {
        if self.ends_ms.len() > MAX_TOKENS / 2 {
            self.ends_ms.retain(|_, ends_ms| *ends_ms > now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end_and_are_bounded() {
        let mut tokens = Tokens::default();
        let token = tokens.issue(10, 1_000).unwrap();
        assert_eq!(token.len(), 56);
        assert_eq!(tokens.remaining_s(&token, 1_000), Some(10));
        assert_eq!(tokens.remaining_s(&token, 11_000), None);
        for _ in 0..2 * MAX_TOKENS {
            tokens.issue(20, 2_000).unwrap();
        }
        assert!(tokens.ends_ms.len() <= MAX_TOKENS);
        assert_eq!(tokens.remaining_s(&token, 2_000), None, "the first to end gave way");
    }
}
