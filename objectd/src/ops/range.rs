//! The `Range` header (RFC 9110 section 14.2), single ranges of bytes.

/// Bytes `first` to `last`, both included, within an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    pub first: u64,
    pub last: u64,
}

impl ByteRange {
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// The range of `header` in an object of `size` bytes. `Ok(None)` if the header is to be ignored, as S3 does with
/// several ranges and with other units; `Err` if it cannot be satisfied.
#[allow(clippy::result_unit_err)] // one way to fail, told apart from "ignore"
pub fn parse_range(header: &str, size: u64) -> Result<Option<ByteRange>, ()> {
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(None);
    };
    let number =
        |text: &str| text.trim().bytes().all(|byte| byte.is_ascii_digit()).then(|| text.trim().parse().ok()).flatten();
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last),
        (Some(first), None) if last.trim().is_empty() => (first, u64::MAX),
        (None, Some(suffix)) if first.trim().is_empty() => {
            if suffix == 0 {
                return Err(());
            }
            (size.saturating_sub(suffix), u64::MAX)
        }
        _ => return Ok(None),
    };
    if range.0 >= size {
        return Err(());
    }
    Ok(Some(ByteRange { first: range.0, last: range.1.min(size - 1) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges() {
        let some = |first, last| Ok(Some(ByteRange { first, last }));
        for (header, size, expected) in [
            ("bytes=0-9", 100, some(0, 9)),
            ("bytes=90-", 100, some(90, 99)),
            ("bytes=90-1000", 100, some(90, 99)),
            ("bytes=-10", 100, some(90, 99)),
            ("bytes=-1000", 100, some(0, 99)),
            ("bytes=100-", 100, Err(())),
            ("bytes=-0", 100, Err(())),
            ("bytes=0-0", 0, Err(())),
            ("bytes=-5", 0, Err(())),
            ("bytes=9-0", 100, Ok(None)),
            ("bytes=0-1,3-4", 100, Ok(None)),
            ("items=0-1", 100, Ok(None)),
            ("bytes=a-b", 100, Ok(None)),
        ] {
            assert_eq!(parse_range(header, size), expected, "{header} of {size}");
        }
    }

    proptest! {
        #[test]
        fn a_range_is_within_the_object(header in "bytes=[0-9]{0,21}-[0-9]{0,21}", size: u64) {
            if let Ok(Some(range)) = parse_range(&header, size) {
                prop_assert!(range.first <= range.last && range.last < size);
            }
        }
    }
}
