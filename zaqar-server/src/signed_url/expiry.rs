//! The moment at which a signature ends.

use std::fmt;

use time::format_description::well_known::Iso8601;
use time::{Date, OffsetDateTime, PrimitiveDateTime, UtcOffset};
use zaqar_core::Timestamp;

/// A moment, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(OffsetDateTime);

impl Expiry {
    /// The second in which `at` lies.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        let moment = OffsetDateTime::from_unix_timestamp(at.as_secs());
        Self(moment.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Reads a date (its midnight) or a date with a time, as ISO 8601 writes them. Without an
    /// offset it is in UTC; a fraction of a second is dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // A blank may stand for the `T`.
        let text = match text.split_once(' ') {
            Some((date, time)) => format!("{date}T{time}"),
            None => text.to_owned(),
        };
        let format = &Iso8601::PARSING;
        let moment = OffsetDateTime::parse(&text, format)
            .or_else(|_| PrimitiveDateTime::parse(&text, format).map(PrimitiveDateTime::assume_utc))
            .or_else(|_| Date::parse(&text, format).map(|date| date.midnight().assume_utc()))
            .ok()?
            .checked_to_offset(UtcOffset::UTC)?;
        // Four digits of year are all that the signed text has room for.
        if !(0..=9999).contains(&moment.year()) {
            return None;
        }
        moment.replace_nanosecond(0).ok().map(Self)
    }

    /// Whether it has come at `now`.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> bool {
        self.0.unix_timestamp().saturating_mul(1000) <= now.as_millis()
    }
}

/// `2100-01-01T00:00:00`, in UTC.
impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_any_offset_and_written_in_utc() {
        for (text, written) in [
            ("2100-01-01T00:00:00", "2100-01-01T00:00:00"),
            ("2100-01-01T00:00:00Z", "2100-01-01T00:00:00"),
            ("2100-01-01 00:00:00", "2100-01-01T00:00:00"),
            ("2100-01-01T00:00:00.999999", "2100-01-01T00:00:00"),
            ("2100-01-01T00:00:00.5+00:00", "2100-01-01T00:00:00"),
            ("2030-01-02T03:04:05+02:00", "2030-01-02T01:04:05"),
            ("2030-01-01T23:30-01:00", "2030-01-02T00:30:00"),
            ("2030-01-02", "2030-01-02T00:00:00"),
            ("20300102T030405Z", "2030-01-02T03:04:05"),
        ] {
            let expiry = Expiry::parse(text).map(|expiry| expiry.to_string());
            assert_eq!(expiry.as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn what_names_no_moment_is_refused() {
        for text in [
            "",
            "garbage",
            "2100",
            "2100-13-01",
            "2100-01-32T00:00:00",
            "2100-01-01T24:30:00",
            "2100-01-01T00:00:00 UTC",
            "9999-12-31T23:59:59-10:00",
            "2100-01-01T00:00:00\n",
        ] {
            assert_eq!(Expiry::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_moment_is_over_as_soon_as_it_has_come() {
        let expiry = Expiry::parse("2033-05-18T03:33:20Z").unwrap();
        assert!(!expiry.is_over(Timestamp::from_millis(1_999_999_999_999)));
        assert!(expiry.is_over(Timestamp::from_millis(2_000_000_000_000)));
        assert_eq!(Expiry::at(Timestamp::from_millis(2_000_000_000_999)), expiry);
    }
}
