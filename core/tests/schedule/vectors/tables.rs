//! How each table of others is read: which dialect it is written in, and what of its rows is a question to ours.

use std::path::Path;

use hortator_core::time::{Span, Timestamp};
use serde_json::Value;

use super::{Case, NO, Question, REFUSED, VALID, YES};

/// Whose words a table is written in. What ours has of each is in `docs/schedules.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The Open Cron Pattern, which is ours but for years, single times and options.
    Croner,
    /// JavaScript's cron-parser: Vixie's with seconds, and Jenkins' `H`.
    CronParser,
    /// 6 or 7 fields, 1 is Sunday, one of the two days is `?`.
    Quartz,
    /// As DolphinScheduler writes Quartz.
    DolphinScheduler,
    /// Go's robfig/cron: Vixie's, with a zone in front.
    Robfig,
    /// Java's cron-utils: several definitions, by test.
    CronUtils,
    /// Vixie's own manual.
    Vixie,
    /// Rust's cron: seconds first, a year last.
    Zslayton,
}

pub(super) struct Table {
    pub(super) file: &'static str,
    pub(super) dialect: Dialect,
    read: fn(&Value) -> Vec<Case>,
}

pub(super) const TABLES: &[Table] = &[
    Table { file: "cron-croner-match.p0.json", dialect: Dialect::Croner, read: matches },
    Table { file: "cron-croner-rust-dst-overlap.json", dialect: Dialect::Croner, read: both_passes },
    Table { file: "cron-croner-validity.p0.json", dialect: Dialect::Croner, read: validity },
    Table { file: "cron-dolphinscheduler.p0.json", dialect: Dialect::DolphinScheduler, read: functions },
    Table { file: "cron-oracle-two-libraries.q0.json", dialect: Dialect::Croner, read: two_libraries },
    Table { file: "cron-parser-invalid.p0.json", dialect: Dialect::CronParser, read: errors },
    Table { file: "cron-quartz-match.p0.json", dialect: Dialect::Quartz, read: matches },
    Table { file: "cron-quartz-validity.p0.json", dialect: Dialect::Quartz, read: validity },
    Table { file: "cron-robfig-dst.p0.json", dialect: Dialect::Robfig, read: next_times },
    Table { file: "cron-robfig-field-errors.p2.json", dialect: Dialect::Robfig, read: field_errors },
    Table { file: "cron-robfig-match.p1.json", dialect: Dialect::Robfig, read: matches_or_validity },
    Table { file: "cron-robfig-next.p0.json", dialect: Dialect::Robfig, read: next_times },
    Table { file: "cron-utils-validity.p4.json", dialect: Dialect::CronUtils, read: validity },
    Table { file: "cron-vixie-dst-policy.p2.json", dialect: Dialect::Vixie, read: policy },
    Table { file: "cron-zslayton-validity.p0.json", dialect: Dialect::Zslayton, read: validity },
];

#[allow(clippy::disallowed_methods, reason = "the tables lie outside; the rules are about what core does")]
pub(super) fn read(folder: &Path, table: &Table) -> Vec<Case> {
    let text = std::fs::read_to_string(folder.join(table.file));
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", table.file));
    let rows: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", table.file));
    rows.iter().flat_map(|row| (table.read)(row)).collect()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

fn case(row: &Value, question: Question, theirs: &str) -> Vec<Case> {
    vec![Case { cron: text(row, "cron").to_owned(), zone: "UTC".into(), question, theirs: theirs.to_owned() }]
}

fn validity(row: &Value) -> Vec<Case> {
    // A row without a verdict stands in a test of expressions that must be taken.
    let valid = row["expected_valid"].as_bool().unwrap_or(row["in_parameterised_test_of"].is_string());
    case(row, Question::Valid, if valid { VALID } else { REFUSED })
}

fn errors(row: &Value) -> Vec<Case> {
    assert!(row["expected_error"].is_string(), "{row}");
    case(row, Question::Valid, REFUSED)
}

/// A bad value of a field without a name is asked as minutes.
fn field_errors(row: &Value) -> Vec<Case> {
    let cron = format!("{} * * * *", text(row, "field"));
    vec![Case { cron, zone: "UTC".into(), question: Question::Valid, theirs: REFUSED.into() }]
}

fn matches(row: &Value) -> Vec<Case> {
    let yes = row["expected_match"].as_bool().unwrap_or_else(|| panic!("no verdict in {row}"));
    let mut cases = case(row, Question::Matches(moment(text(row, "time"))), if yes { YES } else { NO });
    if text(row, "options").contains("America/New_York") {
        cases[0].zone = "America/New_York".into();
    }
    // What has a year is asked once more without it, at times of that year.
    let (rest, year) = text(row, "cron").rsplit_once(' ').unwrap_or_default();
    if rest.split(' ').count() == 6 && text(row, "time").starts_with(year) {
        cases.push(Case { cron: rest.to_owned(), ..cases[0].clone() });
    }
    cases
}

fn matches_or_validity(row: &Value) -> Vec<Case> {
    if row["expected_match"].is_null() { validity(row) } else { matches(row) }
}

/// The zone stands before the expression, before the time, or in the time's own distance from UTC.
fn next_times(row: &Value) -> Vec<Case> {
    let split = |text: &str| match text.split_once(' ') {
        Some((zone, rest)) if zone.contains("TZ=") => {
            (zone.split('=').nth(1).map(str::to_owned), rest.to_owned())
        }
        _ => (None, text.to_owned()),
    };
    let ((before, cron), (beside, after)) = (split(text(row, "cron")), split(text(row, "after")));
    // The one row of a distance alone is India's.
    let distance = after.ends_with("+0530").then(|| "Asia/Kolkata".to_owned());
    let zone = before.or(beside).or(distance).unwrap_or_else(|| "UTC".into());
    let theirs = row["expected_next"].as_str().map_or(String::new(), |text| shown(moment(text)));
    let question = Question::Next { after: moment(&after), count: 1 };
    vec![Case { cron, zone, question, theirs }]
}

/// Where the two libraries differ in what a change of the clock does, croner has our rule; cron-parser also loses the rest of
/// a zone whose clocks fall back by half an hour.
fn two_libraries(row: &Value) -> Vec<Case> {
    let times: Vec<&str> = row["croner"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let question = Question::Next { after: moment(text(row, "after")), count: times.len() };
    let zone = text(row, "tz").to_owned();
    vec![Case { cron: text(row, "cron").to_owned(), zone, question, theirs: times.join(" ") }]
}

/// Properties in words: from a minute of the first pass on, every minute of both comes, each after the one before.
fn both_passes(row: &Value) -> Vec<Case> {
    assert!(text(row, "expected").contains("both passes are visited"), "{row}");
    let zone = text(row, "zone");
    let wall: jiff::civil::DateTime =
        text(row, "ambiguous_local_time").replace(' ', "T").parse().expect("a time on the wall");
    let zones = jiff::tz::TimeZoneDatabase::bundled();
    let passes = zones.get(zone).expect("a zone").to_ambiguous_zoned(wall);
    let [first, second] =
        [passes.clone().earlier(), passes.later()].map(|pass| pass.expect("a pass").timestamp());
    assert!(first < second, "{zone} has no two passes of {wall}");
    let minutes = (second.as_second() - first.as_second()) / 60 + 30;
    let from = Timestamp(first.as_microsecond());
    let every: Vec<String> =
        (1..=minutes).map(|minute| shown(from.plus(Span::from_secs(minute as u64 * 60)))).collect();
    let question = Question::Next { after: from, count: minutes as usize };
    vec![Case {
        cron: text(row, "cron").to_owned(),
        zone: zone.to_owned(),
        question,
        theirs: every.join(" "),
    }]
}

/// What the manual says in words, on the day that a row names.
fn policy(row: &Value) -> Vec<Case> {
    let [before, expected] = match (text(row, "change"), text(row, "cron")) {
        ("2012-03-11 02:00 -> 03:00", "30 2 * * *") => ["2012-03-11T05:00:00Z", "2012-03-11T07:00:00Z"],
        // 01:45 and 03:00 on the wall: a quarter of an hour, whatever the wall skips.
        ("2012-03-11 02:00 -> 03:00", "*/15 * * * *") => {
            ["2012-03-11T06:30:00Z", "2012-03-11T06:45:00Z 2012-03-11T07:00:00Z 2012-03-11T07:15:00Z"]
        }
        // The last quarter of the first pass, and all of the second.
        ("2012-11-04 02:00 -> 01:00", "*/15 * * * *") => [
            "2012-11-04T05:30:00Z",
            "2012-11-04T05:45:00Z 2012-11-04T06:00:00Z 2012-11-04T06:15:00Z 2012-11-04T06:30:00Z 2012-11-04T06:45:00Z",
        ],
        other => panic!("the manual's row {other:?} is not known here"),
    };
    let count = expected.split(' ').count();
    let question = Question::Next { after: moment(before), count };
    let zone = text(row, "zone").to_owned();
    vec![Case { cron: text(row, "cron").to_owned(), zone, question, theirs: expected.to_owned() }]
}

/// Questions about functions of that product; what is no question about times or validity is not ours.
fn functions(row: &Value) -> Vec<Case> {
    match text(row, "function") {
        "parse_ok" | "valid" => case(row, Question::Valid, VALID),
        // How many times lie between the two, the first of them not counted.
        "fire_count" | "fire_count_limit" => {
            let (from, to) = (moment(text(row, "from")), moment(text(row, "to")));
            let count = row["expected"].as_u64().expect("a number") as usize;
            if to < from {
                assert_eq!(count, 0, "{row}");
                return Vec::new();
            }
            let step = if text(row, "cron").starts_with("0 *") { 60 } else { 86_400 };
            let first = (from.0 / 1_000_000 / step + 1) * step;
            let times = (0..count as i64).map(|place| shown(Timestamp((first + place * step) * 1_000_000)));
            let question = Question::Next { after: from, count };
            case(row, question, &times.collect::<Vec<_>>().join(" "))
        }
        // Lengths of cycles, names of fields, ends of cycles: nothing of ours answers that.
        "getMaxCycle" | "getMiniCycle" | "fields" | "expiration_time" => Vec::new(),
        other => panic!("the function {other:?} is not known here"),
    }
}

fn shown(at: Timestamp) -> String {
    at.to_string().replace(".000000", "")
}

/// `2024-01-15T12:00:00`, with or without a zone's distance or a `T`, and `Mon Jul 9 14:59:59 2012`, whose weekday is now and
/// then a wrong one. Without a distance it is UTC.
fn moment(text: &str) -> Timestamp {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        let iso = text.replace(' ', "T");
        let zoned = iso.ends_with('Z') || iso[10..].contains(['+', '-']);
        let iso = if zoned { iso } else { iso + "Z" };
        let at: jiff::Timestamp = iso.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        return Timestamp(at.as_microsecond());
    }
    let [_, month, day, time, year] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let seconds = if time.matches(':').count() == 1 { ":00" } else { "" };
    let date =
        jiff::civil::DateTime::strptime("%b %d %Y %H:%M:%S", format!("{month} {day} {year} {time}{seconds}"));
    let date = date.unwrap_or_else(|error| panic!("{text}: {error}"));
    let at = date.to_zoned(jiff::tz::TimeZone::UTC).expect("UTC has every time").timestamp();
    Timestamp(at.as_microsecond())
}
