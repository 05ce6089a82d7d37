//! Single stories of one workflow.
//!
//! A line is `command => events`. Commands: `apply HASH [RUNS queue|skip|cancel_oldest]`, `start RUN [KEY]` (or
//! `KEY/REQUEST`), `retry RUN`, `finished RUN`, `advance`, and of a schedule `fire SCHEDULE RUN` (behind the others),
//! `push SCHEDULE RUN` (in place of the oldest), `again SCHEDULE RUN` (a retry).

use hortator_core::definition::{Concurrency, WhenFull};
use hortator_core::id::{RunId, WorkflowName};
use hortator_core::run::RunPhase;
use hortator_core::time::Timestamp;
use hortator_core::workflow::{
    KEYS_MAX, LIVE_RUNS_MAX, Lane, Place, StartKey, WorkflowCommand, WorkflowEvent, WorkflowRejection,
    WorkflowState, decide,
};

use crate::definitions::name;

pub(crate) fn workflow() -> WorkflowState {
    WorkflowState::new(WorkflowName { namespace: name("test"), name: name("flow") })
}

fn check(script: &str) {
    let mut state = workflow();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once("=>").unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        let got = match decide(&state, &self::command(&words)) {
            Ok(events) => {
                events.iter().for_each(|event| state.apply(event));
                events.iter().map(show).collect::<Vec<_>>().join("; ")
            }
            Err(WorkflowRejection::Full { limit, holders }) => {
                format!("! full {limit}: {:?}", holders.iter().map(|run| run.0).collect::<Vec<_>>())
            }
            Err(WorkflowRejection::SameKey { run }) => format!("! same {}", run.0),
            Err(WorkflowRejection::KeyTaken { run }) => format!("! taken {}", run.0),
            Err(rejection) => format!("! {rejection:?}"),
        };
        assert_eq!(got, expected.trim(), "\nat: {line}\nin: {state:?}");
    }
}

fn command(words: &[&str]) -> WorkflowCommand {
    let run = |text: &str| RunId(text.parse().unwrap());
    match words {
        ["apply", hash] => apply(hash, None, WhenFull::Queue),
        ["apply", hash, runs, when_full] => {
            let when_full = serde_json::from_value((*when_full).into()).unwrap();
            apply(hash, Some(runs.parse().unwrap()), when_full)
        }
        ["start", id] => WorkflowCommand::StartRun { run: run(id), key: None, place: Place::Free },
        ["fire", lane, id] => {
            WorkflowCommand::StartRun { run: run(id), key: None, place: Place::Behind(of_schedule(lane)) }
        }
        ["push", lane, id] => {
            let place = Place::InPlaceOfTheOldest(of_schedule(lane));
            WorkflowCommand::StartRun { run: run(id), key: None, place }
        }
        ["again", lane, id] => {
            WorkflowCommand::RetryRun { run: run(id), place: Place::Behind(of_schedule(lane)) }
        }
        ["start", id, key] => {
            let (key, request) = key.split_once('/').unwrap_or((key, "0"));
            let key = StartKey { key: key.into(), request_hash: request.parse().unwrap() };
            WorkflowCommand::StartRun { run: run(id), key: Some(key), place: Place::Free }
        }
        ["retry", id] => WorkflowCommand::RetryRun { run: run(id), place: Place::Free },
        ["finished", id] => WorkflowCommand::RunFinished { run: run(id) },
        ["delete", id] => WorkflowCommand::DeleteRun { run: run(id), key: None },
        ["delete", id, key] => WorkflowCommand::DeleteRun { run: run(id), key: Some((*key).into()) },
        ["advance"] => WorkflowCommand::Advance,
        other => panic!("unknown command {other:?}"),
    }
}

fn of_schedule(name: &str) -> Lane {
    Lane::OfSchedule(crate::definitions::name(name))
}

fn apply(hash: &str, runs: Option<u32>, when_full: WhenFull) -> WorkflowCommand {
    WorkflowCommand::ApplyVersion { hash: hash.into(), concurrency: Concurrency { runs, when_full } }
}

fn show(event: &WorkflowEvent) -> String {
    match event {
        WorkflowEvent::VersionApplied { version } => format!("version {}", version.number),
        WorkflowEvent::RunAccepted { run, .. } => format!("accepted {}", run.0),
        WorkflowEvent::KeyForgotten { key } => format!("forgot {key}"),
        WorkflowEvent::RunRequeued { run, .. } => format!("requeued {}", run.0),
        WorkflowEvent::RunAdmitted { run } => format!("admitted {}", run.0),
        WorkflowEvent::RunDisplaced { run, .. } => format!("displaced {}", run.0),
        WorkflowEvent::RunLeft { run } => format!("left {}", run.0),
    }
}

#[test]
fn runs_of_one_schedule_take_turns() {
    check(
        "apply x => version 1
         fire a 1 => accepted 1; admitted 1
         fire a 2 => accepted 2
         fire b 3 => accepted 3; admitted 3
         start 4 => accepted 4; admitted 4
         fire a 5 => accepted 5
         finished 4 => left 4
         finished 1 => left 1; admitted 2
         again a 1 => requeued 1
         finished 2 => left 2; admitted 1
         finished 1 => left 1; admitted 5
         advance =>",
    );
}

#[test]
fn a_fire_may_push_the_oldest_of_its_schedule_out() {
    check(
        "apply x 2 queue => version 1
         push a 1 => accepted 1; admitted 1
         start 2 => accepted 2; admitted 2
         push a 3 => accepted 3; displaced 1
         start 4 => accepted 4
         push a 5 => accepted 5; displaced 3
         finished 3 => left 3
         finished 1 => left 1; admitted 4
         finished 2 => left 2; admitted 5
         push b 6 => accepted 6
         advance =>",
    );
}

/// The cancel of the one that was pushed out was not written yet when the leader died.
#[test]
fn a_push_is_repeated_after_a_restore() {
    let mut state = workflow();
    let apply = decide(&state, &command(&["apply", "x"])).unwrap();
    apply.iter().for_each(|event| state.apply(event));
    let running = RunPhase::Running { started_at: Timestamp(1) };
    state.restore_run(RunId(1), &running, &Place::Behind(of_schedule("a")));
    state.restore_run(RunId(2), &RunPhase::Queued, &Place::InPlaceOfTheOldest(of_schedule("a")));
    state.restore_run(RunId(3), &RunPhase::Queued, &Place::Behind(of_schedule("b")));
    let events = decide(&state, &WorkflowCommand::Advance).unwrap();
    assert_eq!(events.iter().map(show).collect::<Vec<_>>(), ["displaced 1", "admitted 3"]);
}

#[test]
fn versions() {
    check(
        "start 1 => ! NoVersion
         retry 1 => ! NoVersion
         advance =>
         apply x => version 1
         apply x => ! Unchanged { version: 1 }
         apply y => version 2
         apply x => version 3
         start 1 => accepted 1; admitted 1
         start 1 => ! AlreadyLive",
    );
}

#[test]
fn keys() {
    check(
        "apply x => version 1
         start 1 k => accepted 1; admitted 1
         start 2 k => ! same 1
         start 2 k/7 => ! taken 1
         finished 1 => left 1
         finished 1 => ! NotLive
         start 3 k => ! same 1
         start 3 other => accepted 3; admitted 3",
    );
}

#[test]
fn a_deleted_run_takes_its_own_key_with_it() {
    check(
        "apply x => version 1
         start 1 k => accepted 1; admitted 1
         delete 1 k => ! AlreadyLive
         finished 1 => left 1
         delete 2 k =>
         delete 1 other =>
         start 3 k => ! same 1
         delete 1 k => forgot k
         delete 1 k =>
         start 3 k => accepted 3; admitted 3",
    );
}

#[test]
fn queue() {
    check(
        "apply x 2 queue => version 1
         start 1 => accepted 1; admitted 1
         start 2 => accepted 2; admitted 2
         start 4 => accepted 4
         start 5 => accepted 5
         finished 1 => left 1; admitted 4
         retry 1 => requeued 1
         finished 2 => left 2; admitted 1
         apply y 3 queue => version 2; admitted 5
         finished 4 => left 4
         finished 5 => left 5",
    );
}

#[test]
fn skip() {
    check(
        "apply x 1 skip => version 1
         start 1 => accepted 1; admitted 1
         start 2 k => ! full 1: [1]
         retry 0 => requeued 0
         start 2 k => ! full 1: [0, 1]
         finished 1 => left 1; admitted 0
         finished 0 => left 0
         start 2 k => accepted 2; admitted 2",
    );
}

#[test]
fn cancel_oldest() {
    check(
        "apply x 1 cancel_oldest => version 1
         start 1 => accepted 1; admitted 1
         start 2 => accepted 2; displaced 1
         start 3 => accepted 3; displaced 2
         finished 2 => left 2
         finished 1 => left 1; admitted 3
         retry 1 => requeued 1; displaced 3
         advance =>
         finished 3 => left 3; admitted 1",
    );
}

#[test]
fn bounds() {
    let mut state = workflow();
    let mut tell = |command: WorkflowCommand| {
        let events = decide(&state, &command)?;
        events.iter().for_each(|event| state.apply(event));
        Ok((events, state.key_count()))
    };
    tell(apply("x", None, WhenFull::Queue)).unwrap();
    let start = |number: usize| {
        let key = StartKey { key: format!("k{number}"), request_hash: 0 };
        WorkflowCommand::StartRun { run: RunId(number as u128), key: Some(key), place: Place::Free }
    };
    for number in 0..LIVE_RUNS_MAX.max(KEYS_MAX) {
        tell(start(number)).unwrap();
        if number >= 10 {
            tell(WorkflowCommand::RunFinished { run: RunId(number as u128) }).unwrap();
        }
    }
    let (events, keys) = tell(start(KEYS_MAX)).unwrap();
    assert!(events.contains(&WorkflowEvent::KeyForgotten { key: "k0".into() }));
    assert_eq!(keys, KEYS_MAX);
    tell(WorkflowCommand::RunFinished { run: RunId(KEYS_MAX as u128) }).unwrap();
    for number in 20_000..20_000 + LIVE_RUNS_MAX - 10 {
        tell(WorkflowCommand::StartRun { run: RunId(number as u128), key: None, place: Place::Free })
            .unwrap();
    }
    let refused = tell(WorkflowCommand::StartRun { run: RunId(u128::MAX), key: None, place: Place::Free });
    assert_eq!(refused, Err(WorkflowRejection::TooManyRuns));
}
