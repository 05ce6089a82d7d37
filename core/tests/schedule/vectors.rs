//! Tables of others, where a folder with them is at hand: `HORTATOR_VECTORS`. Without it these tests say that they
//! tried nothing.

use std::path::PathBuf;

use serde_json::Value;

use crate::{cron, next};

#[allow(clippy::disallowed_methods, reason = "the tables lie outside; the rules are about what core does")]
fn table(name: &str) -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("HORTATOR_VECTORS").map(PathBuf::from) else {
        eprintln!("SKIPPED: HORTATOR_VECTORS names no folder with {name}, so nothing was tried");
        return None;
    };
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// Next times of expressions found in real repositories, by two libraries; where the two differ in what a change of the
/// clock does, the one that has our rules counts.
#[test]
fn expressions_of_real_repositories() {
    let Some(rows) = table("cron-oracle-two-libraries.q0.json") else { return };
    let mut differing = Vec::new();
    let mut tried = 0;
    for row in &rows {
        let (expression, zone, after) = (text(row, "cron"), text(row, "tz"), text(row, "after"));
        let expected: Vec<&str> =
            row["croner"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let Ok(times) = cron(expression, zone) else {
            differing.push(format!("{expression}: refused"));
            continue;
        };
        tried += 1;
        let found = next(&times, after, expected.len());
        if found != expected {
            differing.push(format!("{expression} in {zone} after {after}: {found:?} for {expected:?}"));
        }
    }
    println!("{tried} of {} rows, {} differ", rows.len(), differing.len());
    assert!(tried > 200 && differing.is_empty(), "{differing:#?}");
}

/// What another parser refuses, ours does too, but for what our dialect has on purpose.
#[test]
fn expressions_that_make_no_sense() {
    let Some(rows) = table("cron-croner-validity.p0.json") else { return };
    // It never matches a day, and what never fires is refused here.
    const NEVER: &str = "0 0 31W 4 *";
    let with_years = |expression: &str| expression.split_whitespace().count() == 7;
    let mut differing = Vec::new();
    for row in rows.iter().filter(|row| row["options"].is_null() && !with_years(text(row, "cron"))) {
        let expression = text(row, "cron");
        let valid = row["expected_valid"].as_bool().unwrap_or_default() && expression != NEVER;
        if cron(expression, "UTC").is_ok() != valid {
            differing.push(format!("{expression:?} should be {valid}: {}", text(row, "test")));
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

/// A library that leaves a fixed time in a gap out and runs one in an overlap twice: all else of its table is ours too.
#[test]
fn changes_of_the_clock_as_another_library_has_them() {
    let Some(rows) = table("cron-robfig-dst.p0.json") else { return };
    // In the gap: ours fires at 03:00, right after it. In the overlap: ours fired at the first 01:00 already.
    let ours = [
        (("0 30 2 11 Mar ?", "2012-03-11T00:00:00-0500"), "2012-03-11T07:00:00Z"),
        (("0 0 1 * * ?", "2012-11-04T01:00:00-0400"), "2012-11-05T06:00:00Z"),
    ];
    let (mut differing, mut tried) = (Vec::new(), 0);
    for row in &rows {
        // The zone stands before the expression or before the time.
        let split = |text: &str| match text.split_once(' ') {
            Some((zone, rest)) if zone.contains("TZ=") => {
                (Some(zone.split('=').nth(1).unwrap().to_owned()), rest.to_owned())
            }
            _ => (None, text.to_owned()),
        };
        let ((zone_before, expression), (zone_beside, after)) =
            (split(text(row, "cron")), split(text(row, "after")));
        let zone = zone_before.or(zone_beside).unwrap_or_else(|| panic!("no zone in {row}"));
        let utc = |text: &str| -> String {
            let time: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            time.to_string()
        };
        let policy = ours.iter().find(|(key, _)| *key == (expression.as_str(), after.as_str()));
        let expected =
            policy.map_or_else(|| utc(text(row, "expected_next")), |(_, expected)| (*expected).into());
        let times = cron(&expression, &zone).unwrap_or_else(|error| panic!("{expression}: {error}"));
        let found = next(&times, &utc(&after), 1);
        tried += 1;
        if found != [expected.clone()] {
            differing.push(format!("{expression} in {zone} after {after}: {found:?} for {expected}"));
        }
    }
    println!("{tried} rows");
    assert!(tried > 15 && differing.is_empty(), "{differing:#?}");
}
