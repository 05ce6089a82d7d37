//! How values are written: durations and sizes with their units, and empty text for what is not set.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hortator_core::dispatch::{DEVICES_MAX, Metric};
use hortator_core::time::Span;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Empty text in a file means "not set".
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text(deserializer)?.map(PathBuf::from))
}

pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// An address or nothing.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    text(deserializer)?.map(|text| text.parse().map_err(|_| D::Error::custom(not_address(&text)))).transpose()
}

/// An address without a port, or nothing.
pub(super) fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let wrong =
        |text: &str| D::Error::custom(format!("{text:?} is not an address; write for example 10.0.0.7"));
    text(deserializer)?.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
}

fn not_address(text: &str) -> String {
    format!("{text:?} is not an address; write IP:PORT, for example 127.0.0.1:8910")
}

pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(not_address(&text)))
}

/// HOST:PORT or nothing.
pub(super) fn place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = text(deserializer)?;
    text.iter().try_for_each(|text| check_place(text).map_err(D::Error::custom))?;
    Ok(text)
}

pub(super) fn places<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().try_for_each(|text| check_place(text).map_err(D::Error::custom))?;
    Ok(texts)
}

fn check_place(text: &str) -> Result<(), String> {
    let good = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if good { Ok(()) } else { Err(format!("{text:?} is not HOST:PORT, for example n1.example:8911")) }
}

/// Most that a limit may be: load and pressure of a host in trouble are far below.
const THRESHOLD_MAX: f64 = 10_000.0;

/// Percent by what is measured.
pub(super) fn thresholds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Metric, f64>, D::Error> {
    let limits = BTreeMap::<Metric, f64>::deserialize(deserializer)?;
    match limits.iter().find(|(_, limit)| !(**limit > 0.0 && **limit <= THRESHOLD_MAX)) {
        None => Ok(limits),
        Some((metric, limit)) => {
            let name = metric.name();
            Err(D::Error::custom(format!(
                "{name} = {limit} is no limit in percent; above 0, at most {THRESHOLD_MAX}"
            )))
        }
    }
}

/// Names of devices; none for `["auto"]`.
pub(super) fn devices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    if names.len() > DEVICES_MAX {
        return Err(D::Error::custom(format!("{} devices; a worker has at most {DEVICES_MAX}", names.len())));
    }
    Ok(Some(names).filter(|names| *names != ["auto"]))
}

/// A whole number with a unit, in bytes.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_size(&text).map_err(D::Error::custom)
}

const UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if unit.is_empty() {
        return Err(format!("{text:?} has no unit; a size needs one, for example 64MiB"));
    }
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, bytes)| *bytes);
    let bytes = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.ok_or_else(|| format!("{text:?} is not a size; write for example 512KiB, 64MiB or 10GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_places() {
        for (text, bytes) in [("16MiB", Some(16 << 20)), ("0B", Some(0)), ("10 GiB", Some(10 << 30))] {
            assert_eq!(parse_size(text).ok(), bytes, "{text}");
        }
        for text in ["", "16", "MiB", "1.5GiB", "99999999999TiB", "1MB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        for (text, good) in [
            ("n1:1", true),
            ("[::1]:80", true),
            ("n1", false),
            (":1", false),
            ("n1:0", false),
            ("n1:x", false),
        ] {
            assert_eq!(check_place(text).is_ok(), good, "{text}");
        }
    }
}
