//! Where ours differs from others on purpose, each by a rule with its reason. A rule says which rows it is about and what ours
//! says of them, so that any other answer fails.

use super::tables::Dialect;
use super::{Case, Question, REFUSED, VALID};

pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) covers: fn(Dialect, &Case) -> bool,
    pub(super) ours: &'static str,
}

pub(super) const RULES: &[Rule] = &[
    // A schedule that ends says so elsewhere; an expression copied from Quartz, which has years, may mean other days besides.
    Rule { name: "no year", covers: |_, case| fields(case).len() == 7, ours: REFUSED },
    // `at` is for that.
    Rule {
        name: "a single time is no expression",
        covers: |_, case| case.cron.contains('T') && case.cron.contains('-') && fields(case).len() == 1,
        ours: REFUSED,
    },
    // Who writes `5/15` may mean from 5 on, or the 5 alone; `5-59/15` says it.
    Rule {
        name: "a step has a range or a star",
        covers: |_, case| parts(case).any(is_step_of_one),
        ours: REFUSED,
    },
    // Nobody means it, and nobody would notice.
    Rule {
        name: "what never fires is refused",
        covers: |_, case| ["0 0 31W 4 *", "0 0 0 31 Apr ?"].contains(&case.cron.as_str()),
        ours: REFUSED,
    },
    // It is plain what is meant. 0 and 7 are one day.
    Rule {
        name: "a value may come twice",
        covers: |_, case| fields(case).into_iter().any(has_twice),
        ours: VALID,
    },
    // As Vixie has it; Quartz knows one of the two only.
    Rule {
        name: "either day when both are given",
        covers: |dialect, case| dialect == Dialect::Quartz && case.cron == "0 0 * 4 * *",
        ours: VALID,
    },
    // The pattern has no such word.
    Rule {
        name: "no days before the last one of a month",
        covers: |dialect, case| dialect == Dialect::Quartz && case.cron.contains("L-"),
        ours: REFUSED,
    },
    // Quartz' word for any day is harmless where only one of the two is given.
    Rule {
        name: "a question mark is a star",
        covers: |dialect, case| dialect == Dialect::CronUtils && case.cron == "* * * * ?",
        ours: VALID,
    },
    // There it skips to the next year.
    Rule {
        name: "what a gap skips comes right after it",
        covers: |dialect, case| dialect == Dialect::Robfig && is_next(case, "0 30 2 11 Mar ?", 1_331_442_000),
        ours: "2012-03-11T07:00:00Z",
    },
    // There it comes at both: this is asked from the first of the two.
    Rule {
        name: "what an overlap shows twice comes once",
        covers: |dialect, case| dialect == Dialect::Robfig && is_next(case, "0 0 1 * * ?", 1_352_005_200),
        ours: "2012-11-05T06:00:00Z",
    },
    // Asked there with bounds of its own, from 3 to 5.
    Rule {
        name: "fields have the bounds of the clock",
        covers: |dialect, case| dialect == Dialect::Robfig && case.cron == "6 * * * *",
        ours: VALID,
    },
];

fn fields(case: &Case) -> Vec<&str> {
    case.cron.split_whitespace().collect()
}

fn parts(case: &Case) -> impl Iterator<Item = &str> {
    case.cron.split_whitespace().flat_map(|field| field.split(','))
}

fn is_step_of_one(part: &str) -> bool {
    part.split_once('/').is_some_and(|(from, step)| {
        let is_word = from.chars().all(char::is_alphanumeric) && !from.starts_with('H');
        is_word && !step.is_empty() && step.chars().all(char::is_numeric)
    })
}

fn has_twice(field: &str) -> bool {
    let mut values: Vec<u32> = field.split(',').filter_map(|part| part.parse().ok()).collect();
    values.sort_unstable();
    values.windows(2).any(|pair| pair[0] == pair[1]) || field == "0,7"
}

fn is_next(case: &Case, cron: &str, from: i64) -> bool {
    let Question::Next { after, .. } = case.question else { return false };
    case.cron == cron && after.0 == from * 1_000_000
}
