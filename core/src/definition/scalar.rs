//! What unquoted text means in YAML 1.2's core schema, strictly: `no`, `off` and dates stay text.
//! Must not know places or faults.

use serde_json::{Number, Value};

/// The value of unquoted text.
pub(super) fn value_of_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.into()), Value::Number),
    }
}

/// Whole numbers (decimal, `0o`, `0x`) within 64 bits, and decimal fractions. `.inf` and `.nan` stay text, since
/// JSON cannot carry them.
fn number(text: &str) -> Option<Number> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(unsigned(digits)?, 8).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(unsigned(digits)?, 16).ok().map(Number::from);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        let whole = text.strip_prefix('+').unwrap_or(text);
        return whole.parse::<i64>().map(Number::from).ok().or_else(|| fraction(text));
    }
    let known = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    if digits.bytes().all(known) && digits.bytes().any(|b| b.is_ascii_digit()) {
        fraction(text)
    } else {
        None
    }
}

fn unsigned(digits: &str) -> Option<&str> {
    digits.bytes().next().filter(u8::is_ascii_alphanumeric).map(|_| digits)
}

fn fraction(text: &str) -> Option<Number> {
    Number::from_f64(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn core_schema() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("FALSE", json!(false)),
            ("12", json!(12)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("0o17", json!(15)),
            ("0xff", json!(255)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("-.5", json!(-0.5)),
        ] {
            assert_eq!(value_of_plain(text), value, "{text}");
        }
        for text in [
            "no",
            "off",
            "yes",
            "nulL",
            "2026-11-20",
            "1h",
            "0x",
            "0o9",
            "1_000",
            ".inf",
            "-",
            ".",
            "1e",
            "12:30",
            "e5",
            "0x-1",
            "1.2.3",
        ] {
            assert_eq!(value_of_plain(text), json!(text));
        }
    }
}
