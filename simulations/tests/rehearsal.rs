//! A workflow rehearsed with stubs goes as it would in production: conditions, retries and timeouts included.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition;
use hortator_core::time::Span;
use hortator_simulations::rehearsal::{Rehearsal, RehearsalError, Rehearsed, rehearse};

const WORKFLOW: &str = r#"
hortator: v1
name: nightly
inputs:
  - { name: day, type: string, default: "2026-11-20" }
  - { name: full, type: bool, default: false }
tasks:
  - { id: extract, group: etl, retry: { max: 2, delay: 10s }, shell: { script: "extract {{ inputs.day }}" }, outputs: { rows: int } }
  - { id: load, needs: [extract], timeout: 30s, resources: { gpu: 1, cpu: 4, memory: 8GiB }, place: { require: { disk: ssd } }, shell: { script: load } }
  - { id: rebuild, needs: [extract], when: inputs.full, shell: { script: rebuild } }
  - { id: report, needs: [load], run_if: all_done, foreach: { items: [eu, us], as: region }, shell: { script: "report {{ item }}" } }
"#;

fn play(stubs: &[(&str, &str)], inputs: &[(&str, &str)]) -> Result<Rehearsed, RehearsalError> {
    let parsed = definition::parse("nightly", WORKFLOW.as_bytes()).unwrap_or_else(|invalid| {
        panic!("{}", definition::render_all(&invalid.diagnostics, WORKFLOW));
    });
    let stub = |(task, stub): &(&str, &str)| ((*task).to_owned(), stub.parse().expect("a stub"));
    rehearse(Rehearsal {
        source: WORKFLOW.to_owned(),
        definition: Arc::new(parsed.definition),
        inputs: inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        stubs: stubs.iter().map(stub).collect(),
        outputs: BTreeMap::from([("extract".to_owned(), BTreeMap::from([("rows".to_owned(), 7.into())]))]),
        seed: 1,
        within: Span::from_secs(600),
    })
}

/// State, number of attempts and whole seconds at the end of each task run.
fn check(
    stubs: &[(&str, &str)],
    inputs: &[(&str, &str)],
    state: &str,
    expected: &[(&str, &str, usize, Option<u64>)],
) {
    let told = play(stubs, inputs).expect("a result");
    let seen: Vec<(&str, &str, usize, Option<u64>)> = told
        .tasks
        .iter()
        .map(|task| {
            let end = task.end.map(|end| end.0 / 1_000_000);
            (task.task.as_str(), task.state.as_str(), task.attempts.len(), end)
        })
        .collect();
    assert_eq!((told.state.as_str(), &seen[..]), (state, expected), "{told:#?}");
}

#[test]
fn as_in_production() {
    check(
        &[("extract", "fail:2s,ok:3s"), ("load", "5s")],
        &[],
        "succeeded",
        &[
            ("extract", "succeeded", 2, Some(15)),
            ("load", "succeeded", 1, Some(20)),
            ("rebuild", "skipped", 0, None),
            ("report", "succeeded", 1, Some(21)),
            ("report", "succeeded", 1, Some(21)),
        ],
    );
    check(
        &[("load", "hang"), ("rebuild", "2s")],
        &[("full", "true")],
        "failed",
        &[
            ("extract", "succeeded", 1, Some(1)),
            ("load", "failed", 1, Some(31)),
            ("rebuild", "succeeded", 1, Some(3)),
            ("report", "succeeded", 1, Some(32)),
            ("report", "succeeded", 1, Some(32)),
        ],
    );
}

#[test]
fn what_cannot_be_rehearsed() {
    let refused = |stubs: &[(&str, &str)], inputs: &[(&str, &str)]| {
        play(stubs, inputs).expect_err("it is refused").to_string()
    };
    assert!(refused(&[("lod", "ok")], &[]).contains("did you mean \"load\"?"));
    assert!(refused(&[], &[("dya", "x")]).contains("dya"));
}
