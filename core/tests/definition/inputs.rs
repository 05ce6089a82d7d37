//! What a start gives against what a definition declares.

use std::collections::BTreeMap;
use std::error::Error;

use hortator_core::definition::inputs::resolve;
use serde_json::{Value, json};

use super::good::{FULL, good};

/// `expected`: the inputs, or the errors one per line.
#[track_caller]
fn check(given: Value, expected: Result<Value, &str>) {
    let given: BTreeMap<String, Value> = serde_json::from_value(given).expect("an object");
    let resolved = resolve(&good(FULL), &given).map(|inputs| json!(inputs)).map_err(|errors| {
        let line = |error: &dyn Error| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        errors.iter().map(|error| line(error)).collect::<Vec<_>>().join("\n")
    });
    assert_eq!(resolved, expected.map_err(str::to_owned));
}

#[test]
fn values_text_and_defaults() {
    let defaults = json!({
        "day": "2026-11-20", "region": "cn", "note": "sales of 2026-11-20 in CN", "factor": 1.5, "dry-run": false,
        "limit": 3,
    });
    check(json!({"limit": 3}), Ok(defaults.clone()));
    check(json!({"limit": "3", "factor": "1.5", "dry-run": "false"}), Ok(defaults));
    check(
        json!({"limit": -1, "day": "2024-02-29", "region": "no", "factor": 2, "dry-run": true, "note": "{{ x }}"}),
        Ok(json!({
            "day": "2024-02-29", "region": "no", "note": "{{ x }}", "factor": 2.0, "dry-run": true, "limit": -1,
        })),
    );
}

#[test]
fn everything_wrong_at_once() {
    check(
        json!({"limt": 3, "day": "2026-2-1", "region": "eu", "factor": "many", "dry-run": "yes", "note": 5}),
        Err("there is no input \"limt\"; did you mean \"limit\"?\n\
             input \"day\" does not fit: it takes a date such as 2026-11-20, not \"2026-2-1\"\n\
             input \"region\" does not fit: it takes one of: cn, no, not \"eu\"\n\
             input \"note\" does not fit: it takes text, not 5\n\
             input \"factor\" does not fit: it takes a number, not \"many\"\n\
             input \"dry-run\" does not fit: it takes true or false, not \"yes\"\n\
             input \"limit\" is needed (a whole number)"),
    );
    check(json!({"limit": 1.5}), Err("input \"limit\" does not fit: it takes a whole number, not 1.5"));
    check(
        json!({"limit": "inf", "factor": "inf"}),
        Err("input \"factor\" does not fit: it takes a number, not \"inf\"\n\
             input \"limit\" does not fit: it takes a whole number, not \"inf\""),
    );
    let large = "x".repeat(256 << 10);
    check(
        json!({"limit": 1, "note": large}),
        Err("the inputs are 262227 bytes as JSON; at most 262144 are allowed"),
    );
}
