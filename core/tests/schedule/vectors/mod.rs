//! Tables of other projects, where the folder with them lies beside the repository, or where `HORTATOR_VECTORS` says. Each
//! row is a question with their answer; where ours is another, a rule says so by name, and any other difference fails.

#![allow(clippy::disallowed_methods, reason = "the tables lie outside; the rules are about what core does")]

mod rules;
mod tables;

use std::collections::BTreeSet;
use std::path::PathBuf;

use hortator_core::time::Timestamp;

use crate::{cron, next};
use rules::RULES;
use tables::TABLES;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Case {
    cron: String,
    zone: String,
    question: Question,
    /// As [`answer`] would say it.
    theirs: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    Valid,
    /// Whether that is a time of it.
    Matches(Timestamp),
    /// So many times after that one.
    Next {
        after: Timestamp,
        count: usize,
    },
}

const REFUSED: &str = "refused";
const VALID: &str = "valid";
const YES: &str = "it matches";
const NO: &str = "it does not match";

/// What the product says.
fn answer(case: &Case) -> String {
    let Ok(times) = cron(&case.cron, &case.zone) else { return REFUSED.to_owned() };
    match case.question {
        Question::Valid => VALID.to_owned(),
        Question::Matches(at) if times.after(Timestamp(at.0 - 1)) == Some(at) => YES.to_owned(),
        Question::Matches(_) => NO.to_owned(),
        Question::Next { after, count } => next(&times, &after.to_string(), count).join(" "),
    }
}

fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/vectors");
    let folder = std::env::var_os("HORTATOR_VECTORS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let there = folder.is_dir();
    if !there {
        eprintln!("SKIPPED: {} is not there, so no table of others was tried", folder.display());
    }
    there.then_some(folder)
}

/// Every table about cron is asked, every row of it, and whatever differs is named.
#[test]
fn tables_of_others() {
    let Some(folder) = folder() else { return };
    let (mut unexplained, mut used) = (Vec::new(), BTreeSet::new());
    for table in TABLES {
        let cases = tables::read(&folder, table);
        assert!(!cases.is_empty(), "{} has no rows", table.file);
        let mut differ = 0;
        for case in &cases {
            let ours = answer(case);
            let rule = RULES.iter().find(|rule| (rule.covers)(table.dialect, case));
            match rule {
                Some(rule) if rule.ours == ours => {
                    used.insert(rule.name);
                    differ += usize::from(ours != case.theirs);
                }
                Some(rule) => unexplained
                    .push(format!("{}: {case:?}: {ours:?}, and not as {} has it", table.file, rule.name)),
                None if ours == case.theirs => {}
                None => unexplained.push(format!("{}: {case:?}: {ours:?}", table.file)),
            }
        }
        println!("{}: {} rows, {differ} differ by a rule", table.file, cases.len());
    }
    let idle: Vec<&str> = RULES.iter().map(|rule| rule.name).filter(|name| !used.contains(name)).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert!(idle.is_empty(), "no row is about {idle:?}");
}

/// A table that nobody reads proves nothing.
#[test]
fn no_table_is_left_out() {
    let Some(folder) = folder() else { return };
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let unread: Vec<String> = names
        .filter(|name| name.starts_with("cron-") && !TABLES.iter().any(|table| table.file == name))
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
}
