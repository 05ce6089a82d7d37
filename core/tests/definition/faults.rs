//! Every fault as people see it. `faults.txt` has one story after the other: a name, a definition, what is printed.

use std::collections::BTreeSet;

use hortator_core::definition::{Code, parse, render_all};

const STORIES: &str = include_str!("faults.txt");

struct Story {
    name: &'static str,
    yaml: &'static str,
    expected: &'static str,
}

fn stories() -> Vec<Story> {
    let story = |text: &'static str| {
        let (name, rest) = text.split_once(" ===\n").expect("a name ends in ===");
        let (yaml, expected) = rest.split_once("--- prints ---\n").expect("a story has what is printed");
        Story { name, yaml, expected: expected.trim_end() }
    };
    STORIES.split("=== ").skip(1).map(story).collect()
}

fn printed(yaml: &str) -> (BTreeSet<Code>, String) {
    let diagnostics = match parse("my.workflow.yaml", yaml.as_bytes()) {
        Ok(parsed) => parsed.warnings,
        Err(invalid) => invalid.diagnostics,
    };
    (diagnostics.iter().map(|one| one.code).collect(), render_all(&diagnostics, yaml).trim_end().to_owned())
}

/// Prints the whole file as it should be when a story differs: review it like code.
#[test]
fn faults_are_shown_as_told() {
    let stories = stories();
    let actual: Vec<String> = stories.iter().map(|story| printed(story.yaml).1).collect();
    let differing: Vec<&str> = stories
        .iter()
        .zip(&actual)
        .filter(|(story, actual)| story.expected != *actual)
        .map(|(story, _)| story.name)
        .collect();
    if !differing.is_empty() {
        for (Story { name, yaml, .. }, actual) in stories.iter().zip(&actual) {
            println!("=== {name} ===\n{yaml}--- prints ---\n{actual}\n");
        }
        panic!("these stories differ: {differing:?}; the whole file as it is now stands above");
    }
}

#[test]
fn every_code_has_a_story() {
    let mut told: BTreeSet<Code> = stories().iter().flat_map(|story| printed(story.yaml).0).collect();
    // Too large for a story: see `bounds`.
    told.extend([Code::NotText, Code::TooManyTasks, Code::TooManyNeeds, Code::TooLarge, Code::TooManyFaults]);
    let missing: Vec<&Code> = Code::ALL.iter().filter(|code| !told.contains(code)).collect();
    assert!(missing.is_empty(), "no story for {missing:?}");
}
