//! The time format of SigV4: ISO 8601 basic, UTC, whole seconds (`20130524T000000Z`).

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// Bytes of a stamp; the first [`DATE_LEN`] of them are the date of the credential scope.
const LEN: usize = 16;
/// Bytes of `YYYYMMDD`.
pub const DATE_LEN: usize = 8;

/// `time` as SigV4 writes it; fractions of a second are cut off.
pub fn format(time: Timestamp) -> String {
    time.strftime(FORMAT).to_string()
}

/// The date part of the scope for `time`.
pub fn date(time: Timestamp) -> String {
    time.strftime("%Y%m%d").to_string()
}

/// Reads a stamp; `None` for anything but the one accepted form.
pub fn parse(text: &str) -> Option<Timestamp> {
    let shaped = text.len() == LEN
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    Some(DateTime::strptime(FORMAT, text).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Reads the `Date` header (RFC 9110 section 5.6.7), which old clients sign in place of `x-amz-date`.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let time = parse("20130524T000000Z").unwrap();
        assert_eq!(time.as_second(), 1_369_353_600);
        assert_eq!(format(time), "20130524T000000Z");
        assert_eq!(date(time), "20130524");
        assert_eq!(parse_http_date("Fri, 24 May 2013 00:00:00 GMT"), Some(time));
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in ["", "20130524", "2013-05-24T00:00:00Z", "20130524T000000+", "20131324T000000Z", "+0130524T000000Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
