//! How plans are written in files: durations with their units, ranges as `[least, most]`, chances as shares of one.
//! Must not know what they are for.

use hortator_core::time::Span;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `"30s"`.
pub(crate) mod span {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }

    pub(crate) fn serialize<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
        span.to_string().serialize(serializer)
    }
}

/// `["3s", "6s"]`.
pub(crate) mod spans {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[Span; 2], D::Error> {
        let [least, most] = <[String; 2]>::deserialize(deserializer)?;
        let parse = |text: String| text.parse::<Span>().map_err(D::Error::custom);
        rising([parse(least)?, parse(most)?])
    }

    pub(crate) fn serialize<S: Serializer>(spans: &[Span; 2], serializer: S) -> Result<S::Ok, S::Error> {
        spans.map(|span| span.to_string()).serialize(serializer)
    }
}

/// Microseconds, written as `["10ms", "2s"]`.
pub(crate) mod micros {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u64; 2], D::Error> {
        spans::deserialize(deserializer).map(|range| range.map(|span| span.0))
    }

    pub(crate) fn serialize<S: Serializer>(range: &[u64; 2], serializer: S) -> Result<S::Ok, S::Error> {
        spans::serialize(&range.map(Span), serializer)
    }
}

/// Numbers, written as `[1, 6]`.
pub(crate) mod numbers {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u64; 2], D::Error> {
        rising(<[u64; 2]>::deserialize(deserializer)?)
    }

    pub(crate) fn serialize<S: Serializer>(range: &[u64; 2], serializer: S) -> Result<S::Ok, S::Error> {
        range.serialize(serializer)
    }
}

/// Millionths, written as `0.05`.
pub(crate) mod share {
    use super::*;

    const WHOLE: f64 = 1e6;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let share = f64::deserialize(deserializer)?;
        match (0.0..=1.0).contains(&share) {
            true => Ok((share * WHOLE).round() as u64),
            false => Err(D::Error::custom(format!("{share} is no share of one; write 0.05 for 5 in 100"))),
        }
    }

    pub(crate) fn serialize<S: Serializer>(millionths: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        (*millionths as f64 / WHOLE).serialize(serializer)
    }
}

fn rising<T: PartialOrd, E: serde::de::Error>([least, most]: [T; 2]) -> Result<[T; 2], E> {
    match least <= most {
        true => Ok([least, most]),
        false => Err(E::custom("a range is written as [least, most]")),
    }
}
