//! Nominal times as tables.

use hortator_core::schedule::{Times, Timing};
use hortator_core::time::Span;

use crate::{at, cron, next};

#[track_caller]
fn check(expression: &str, zone: &str, after: &str, expected: &[&str]) {
    let times = cron(expression, zone).unwrap_or_else(|error| panic!("{expression}: {error}"));
    assert_eq!(next(&times, after, expected.len()), expected, "{expression} in {zone} after {after}");
}

#[test]
fn expressions() {
    // A Saturday.
    let after = "2026-11-21T09:59:59Z";
    for (expression, expected) in [
        ("*/20 * * * *", ["2026-11-21T10:00:00Z", "2026-11-21T10:20:00Z"]),
        ("*/20 * * * * *", ["2026-11-21T10:00:00Z", "2026-11-21T10:00:20Z"]),
        ("30 2 * * *", ["2026-11-22T02:30:00Z", "2026-11-23T02:30:00Z"]),
        ("0 9 * * 1-5", ["2026-11-23T09:00:00Z", "2026-11-24T09:00:00Z"]),
        ("0 9 * * MON", ["2026-11-23T09:00:00Z", "2026-11-30T09:00:00Z"]),
        ("0 9 * * 0", ["2026-11-22T09:00:00Z", "2026-11-29T09:00:00Z"]),
        ("0 9 * * 7", ["2026-11-22T09:00:00Z", "2026-11-29T09:00:00Z"]),
        ("0 0 L * *", ["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z"]),
        ("0 0 * * FRI#2", ["2026-12-11T00:00:00Z", "2027-01-08T00:00:00Z"]),
        ("0 0 15W * *", ["2026-12-15T00:00:00Z", "2027-01-15T00:00:00Z"]),
        ("0 0 29 2 *", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        // Either, as Vixie has it.
        ("0 0 24 * 1", ["2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"]),
        ("@daily", ["2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"]),
    ] {
        check(expression, "UTC", after, &expected);
    }
}

/// In a gap a fixed time fires right after it; in an overlap once, at the first of the two. What repeats within an
/// hour follows the clock on the wall.
#[test]
fn changes_of_the_clock() {
    for (zone, expression, after, expected) in [
        // 02:00 to 03:00 on 2026-03-29, and back on 2026-10-25.
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-03-28T12:00:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-24T12:00:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2026-03-29T00:30:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        ),
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2026-10-25T00:30:00Z",
            ["2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"],
        ),
        // 02:00 to 03:00 on 2026-03-08, and back on 2026-11-01.
        (
            "America/New_York",
            "30 2 * * *",
            "2026-03-07T12:00:00Z",
            ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31T12:00:00Z",
            ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        ),
        // Half an hour: 02:00 to 02:30 on 2026-10-04, and back on 2026-04-05.
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-03T00:00:00Z",
            ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        ),
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-04T00:00:00Z",
            ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
        ),
        // None.
        (
            "Asia/Shanghai",
            "30 2 * * *",
            "2026-03-28T20:00:00Z",
            ["2026-03-29T18:30:00Z", "2026-03-30T18:30:00Z"],
        ),
    ] {
        check(expression, zone, after, &expected);
    }
}

#[test]
fn rates_and_single_times() {
    let every = |text: &str| Times::new(&Timing::Every(text.parse().unwrap())).unwrap();
    assert_eq!(
        next(&every("15m"), "2026-11-21T10:07:00Z", 2),
        ["2026-11-21T10:15:00Z", "2026-11-21T10:30:00Z"]
    );
    assert_eq!(next(&every("15m"), "2026-11-21T10:15:00Z", 1), ["2026-11-21T10:30:00Z"]);
    assert_eq!(next(&every("1d"), "1969-12-31T10:00:00Z", 1), ["1970-01-01T00:00:00Z"]);
    let once = Times::new(&Timing::At(at("2026-12-24T18:00:00Z"))).unwrap();
    assert_eq!(next(&once, "2026-11-21T10:00:00Z", 2), ["2026-12-24T18:00:00Z"]);
    assert_eq!(once.after(at("2026-12-24T18:00:00Z")), None);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_reason() {
    let long = "1,".repeat(200) + "1 * * * *";
    for (expression, zone, reason) in [
        ("", "UTC", "is empty"),
        ("* * * *", "UTC", "not a cron expression"),
        ("* * * * * * *", "UTC", "not a cron expression"),
        ("60 * * * *", "UTC", "not a cron expression"),
        ("* 24 * * *", "UTC", "not a cron expression"),
        ("* * 0 * *", "UTC", "not a cron expression"),
        ("*/0 * * * *", "UTC", "not a cron expression"),
        ("*/61 * * * *", "UTC", "the step is larger"),
        ("0 */25 * * *", "UTC", "the step is larger"),
        ("* */61 * * * *", "UTC", "the step is larger"),
        ("10-5 * * * *", "UTC", "not a cron expression"),
        ("0 0 * * SAT,L", "UTC", "the last of no day"),
        ("every day", "UTC", "not a cron expression"),
        ("é * * * *", "UTC", "not a cron expression"),
        (long.as_str(), "UTC", "more than 200"),
        ("0 0 30 2 *", "UTC", "matches no time"),
        ("0 0 * * *", "Europe/Atlantis", "no time zone"),
        ("0 0 * * *", "", "no time zone"),
        ("0 0 * * *", "+02:00", "no time zone"),
    ] {
        let refused = cron(expression, zone).map(|_| ()).expect_err(expression).to_string();
        assert!(refused.contains(reason), "{expression} in {zone}: {refused}");
    }
    let often = Times::new(&Timing::Every(Span::from_millis(999))).map(|_| ()).expect_err("too often");
    assert!(often.to_string().contains("999ms"), "{often}");
}
