//! Keys: an alphabet that every store and every file system takes as it is.

use crate::error::{Attempt, Operation, StoreError, said};

/// The longest key, in bytes. S3 takes 1024 with the configured prefix; paths of the file system must fit as well.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest part between two slashes, in bytes: file names have 255, of which [`crate::dir`] needs one.
pub const MAX_COMPONENT_BYTES: usize = 128;

fn is_in_alphabet(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'/' | b'-')
}

fn fault(key: &str) -> Option<&'static str> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Some("a key has 1 to 512 bytes");
    }
    if !key.bytes().all(is_in_alphabet) {
        return Some("a key consists of a-z, 0-9, '.', '-' and '/'");
    }
    for component in key.split('/') {
        if component.is_empty() || component.len() > MAX_COMPONENT_BYTES {
            return Some("between slashes of a key there are 1 to 128 bytes");
        }
        if component == "." || component == ".." {
            return Some("no component of a key is '.' or '..'");
        }
    }
    None
}

/// Checks a key: components of 1 to 128 bytes of `a-z`, `0-9`, `.` and `-`, none of them `.` or `..`, joined by single slashes; at
/// most 512 bytes in all.
///
/// # Errors
/// [`StoreError::Invalid`], in the name of `operation`.
pub fn check(operation: Operation, key: &str) -> Result<(), StoreError> {
    match fault(key) {
        None => Ok(()),
        Some(why) => Err(StoreError::Invalid { attempt: Attempt::new(operation, key), source: said(why) }),
    }
}

/// Checks the prefix of a list: what a key may begin with, or nothing.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    // Whatever may come after it: a prefix is sound if it is the beginning of some sound key.
    if prefix.is_empty() || fault(&format!("{prefix}x")).is_none() {
        return Ok(());
    }
    check(Operation::List, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sound_and_unsound() {
        for sound in ["a", "vol-1/3/00f.seg", "a..b", "...", "-"] {
            assert!(check(Operation::Get, sound).is_ok(), "{sound}");
        }
        for unsound in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "A", "a b", "a_b", "a\0", "\u{e9}"] {
            assert!(check(Operation::Get, unsound).is_err(), "{unsound}");
        }
        assert!(check(Operation::Get, &"a".repeat(MAX_COMPONENT_BYTES)).is_ok());
        assert!(check(Operation::Get, &"a".repeat(MAX_COMPONENT_BYTES + 1)).is_err());
        assert!(check(Operation::Get, &"a/".repeat(MAX_KEY_BYTES)).is_err());
        for sound in ["", "vol", "vol/", "vol/1", "vol/.", ".."] {
            assert!(check_prefix(sound).is_ok(), "{sound}");
        }
        for unsound in ["/", "a//", "../", "a/../b", "A"] {
            assert!(check_prefix(unsound).is_err(), "{unsound}");
        }
    }

    proptest! {
        #[test]
        fn every_beginning_of_a_key_is_a_prefix(key in "[a-z0-9.-]{1,5}(/[a-z0-9.-]{1,5}){0,3}", cut in 0usize..24) {
            prop_assume!(check(Operation::Get, &key).is_ok());
            prop_assert!(check_prefix(&key[..cut.min(key.len())]).is_ok());
        }
    }
}
