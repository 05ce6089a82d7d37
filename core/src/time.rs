//! Points and spans of time as data, in whole microseconds, and how people write spans: `1h30m`, `250ms`.
//! Must not know any clock: `now` is always an argument.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z. In JSON it is RFC 3339 text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub i64);

/// The text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; write RFC 3339, for example 2026-11-20T14:02:03Z")]
pub struct TimestampError(pub String);

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        let time: jiff::Timestamp =
            text.parse().map_err(|_| TimestampError(text.chars().take(80).collect()))?;
        Ok(Timestamp(time.as_microsecond()))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;
    fn try_from(text: String) -> Result<Timestamp, TimestampError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> String {
        time.to_string()
    }
}

impl Timestamp {
    pub fn plus(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add_unsigned(span.0))
    }

    pub fn minus(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_sub_unsigned(span.0))
    }

    /// How long from `earlier` to this; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    pub fn millis(self) -> u64 {
        u64::try_from(self.0 / 1000).unwrap_or(0)
    }
}

/// RFC 3339 in UTC with microseconds: `2026-11-20T14:02:03.000123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// A length of time in microseconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn from_millis(millis: u64) -> Span {
        Span(millis * 1000)
    }

    pub const fn from_secs(seconds: u64) -> Span {
        Span(seconds * 1_000_000)
    }

    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0)
    }
}

/// Why a text is not a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    #[error("{0:?} has no unit; a duration needs one, for example 30s or 30m")]
    NoUnit(String),
    #[error("{0:?} is not a duration; write for example 250ms, 30s, 1h30m or 2d")]
    Malformed(String),
    #[error("{0:?} is longer than 100 years")]
    TooLong(String),
}

/// Longest span a person may write; keeps sums with timestamps far from overflow.
const SPAN_MAX: u64 = 100 * 366 * 24 * 3600 * 1_000_000;

const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
];

impl FromStr for Span {
    type Err = SpanError;

    /// Whole numbers with units, largest first, each unit at most once.
    fn from_str(text: &str) -> Result<Span, SpanError> {
        let malformed = || SpanError::Malformed(text.chars().take(80).collect());
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(SpanError::NoUnit(text.into()));
        }
        let (mut rest, mut total, mut units) = (text, 0u64, UNITS.iter());
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
            let number: u64 = rest[..digits].parse().map_err(|_| malformed())?;
            let unit = &rest[digits..digits + letters];
            let (_, size) = units.find(|(name, _)| *name == unit).ok_or_else(malformed)?;
            total = number.checked_mul(*size).and_then(|part| total.checked_add(part)).unwrap_or(u64::MAX);
            rest = &rest[digits + letters..];
        }
        match total {
            _ if text.is_empty() => Err(malformed()),
            total if total > SPAN_MAX => Err(SpanError::TooLong(text.into())),
            total => Ok(Span(total)),
        }
    }
}

/// The shortest text that parses back: `1h30m`, `250ms`, `0s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut rest = self.0;
        for (name, size) in UNITS {
            if rest >= size {
                text.push_str(&format!("{}{name}", rest / size));
                rest %= size;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, micros) in [
            ("30s", 30_000_000),
            ("1h30m", 5_400_000_000),
            ("250ms", 250_000),
            ("2d", 172_800_000_000),
            ("0s", 0),
            ("1m1ms1us", 60_001_001),
        ] {
            assert_eq!(text.parse(), Ok(Span(micros)), "{text}");
            assert_eq!(Span(micros).to_string(), text);
        }
        for bad in [
            "",
            "30",
            "s",
            "30 s",
            "-1s",
            "1m1h",
            "1s1s",
            "1x",
            "1.5s",
            "99999999999999999999s",
            "40000d",
            "é",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn timestamps_print_microseconds() {
        assert_eq!(Timestamp(1_000_123).to_string(), "1970-01-01T00:00:01.000123Z");
        assert_eq!("1970-01-01T00:00:01.000123Z".parse(), Ok(Timestamp(1_000_123)));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
