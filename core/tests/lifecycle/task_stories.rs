//! Single stories of one task run.
//!
//! A line is `TIME command => events`, or `=> ! rejection`. Commands: `spec WORDS` (`retry=MAX/DELAY`,
//! `timeout=SPAN`, `going`, `stopping`, `cancelling`), `grant NAME.INCARNATION`, `fence N`, `report ATTEMPT FENCE
//! ok|exit|signal|timed-out|cancelled`, `refused ATTEMPT FENCE`, `timeout ATTEMPT`, `backoff`, `cancel`, `stop`,
//! `lost NAME THROUGH`, and `word` and `wake`, which show the state's word and its timer.

use std::collections::BTreeMap;

use hortator_core::definition::{Backoff, Delivery, Retry};
use hortator_core::event::{AttemptEnd, AttemptResult, Share};
use hortator_core::id::{Fence, TaskKey, WorkerRef};
use hortator_core::task_run::{
    LOSSES_MAX, Outstanding, Stance, TaskCommand, TaskPhase, TaskSpec, TaskState, decide, delay,
};
use hortator_core::time::{Span, Timestamp};

use crate::definitions::{name, retry};
use crate::show;

pub(crate) fn fence(index: u64) -> Fence {
    Fence { generation: 1, shard: 1, term: 1, index }
}

pub(crate) fn end(result: AttemptResult) -> AttemptEnd {
    AttemptEnd { started_at: Timestamp(1), finished_at: Timestamp(2), result }
}

fn check(script: &str) {
    let mut state = TaskState::ready(TaskKey { task: 0, item: 0 }, 0, 0, Timestamp(0));
    let mut spec = TaskSpec {
        retry: retry(0, Span::ZERO),
        timeout: None,
        delivery: Delivery::AtLeastOnce,
        losses_max: LOSSES_MAX,
        stance: Stance::Going,
    };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (said, expected) = line.split_once("=>").unwrap_or((line, ""));
        let (time, command) = said.trim().split_once(' ').unwrap();
        let now = Timestamp(0).plus(time.parse().unwrap());
        let words: Vec<&str> = command.split_whitespace().collect();
        let got = match words[0] {
            "spec" => {
                words[1..].iter().for_each(|word| set(&mut spec, word));
                String::new()
            }
            "fence" => {
                state.resolve_fence(fence(words[1].parse().unwrap()));
                String::new()
            }
            "word" => state.phase.word(now).to_string(),
            "wake" => state.wake_at(&spec).map_or("never".into(), show::seconds),
            _ => tell(&mut state, &spec, &self::command(&words), now),
        };
        assert_eq!(got, expected.trim(), "\nat: {line}\nin: {state:#?}");
    }
    assert!(matches!(state.phase, TaskPhase::Ended { .. }), "the story does not end: {state:?}");
    assert_eq!((state.effect(), state.attempt(), state.ready_at()), (Outstanding::None, None, None));
}

fn tell(state: &mut TaskState, spec: &TaskSpec, command: &TaskCommand, now: Timestamp) -> String {
    match decide(state, spec, command, 0, now) {
        Ok(events) => {
            events.iter().for_each(|event| state.apply(event, now));
            let shown: Vec<_> = events.iter().map(|event| show::event(event, &|_| "task".into())).collect();
            shown.join("; ")
        }
        Err(rejection) => format!("! {rejection:?}"),
    }
}

fn set(spec: &mut TaskSpec, word: &str) {
    match word.split_once('=') {
        Some(("retry", text)) => {
            let (max, delay) = text.split_once('/').unwrap();
            spec.retry = retry(max.parse().unwrap(), delay.parse().unwrap());
        }
        Some(("timeout", span)) => spec.timeout = Some(span.parse().unwrap()),
        None if word == "at-most-once" => spec.delivery = Delivery::AtMostOnce,
        None if word == "going" => spec.stance = Stance::Going,
        None if word == "stopping" => spec.stance = Stance::Stopping,
        None if word == "cancelling" => spec.stance = Stance::Cancelling,
        _ => panic!("unknown word {word}"),
    }
}

fn command(words: &[&str]) -> TaskCommand {
    let number = |place: usize| words[place].parse::<u64>().unwrap();
    let attempt = |place: usize| words[place].parse::<u16>().unwrap();
    match words[0] {
        "grant" => {
            let (worker, incarnation) = words[1].split_once('.').unwrap();
            TaskCommand::Grant {
                worker: WorkerRef { name: name(worker), incarnation: incarnation.parse().unwrap() },
                share: Share::default(),
            }
        }
        "report" => {
            let result = match words[3] {
                "ok" => AttemptResult::Succeeded { outputs: BTreeMap::new() },
                "exit" => AttemptResult::Exited { code: 1 },
                "signal" => AttemptResult::Signalled { signal: 9 },
                "timed-out" => AttemptResult::TimedOut,
                "cancelled" => AttemptResult::Cancelled,
                other => panic!("unknown result {other}"),
            };
            TaskCommand::Report { attempt: attempt(1), fence: fence(number(2)), end: end(result) }
        }
        "refused" => {
            TaskCommand::Refused { attempt: attempt(1), fence: fence(number(2)), why: "full".into() }
        }
        "timeout" => TaskCommand::TimeoutElapsed { attempt: attempt(1) },
        "backoff" => TaskCommand::BackoffElapsed,
        "cancel" => TaskCommand::Cancel,
        "stop" => TaskCommand::Stop,
        "lost" => TaskCommand::WorkerLost { name: name(words[1]), through: number(2) },
        other => panic!("unknown command {other}"),
    }
}

#[test]
fn an_ordinary_life() {
    check(
        "1s word => ready
         2s grant a.1 => #1 to a.1 ready 0s
         2s word => dispatched
         2s grant b.1 => ! AlreadyDispatched
         2s report 1 7 ok => ! FencePending
         2s fence 7
         3s report 1 7 ok => #1 ok; task succeeded
         3s word => succeeded
         4s report 1 7 ok => ! Duplicate
         4s report 2 7 ok => ! OtherAttempt
         4s lost a 9 => ! AlreadyEnded
         4s cancel => ! AlreadyEnded
         4s stop => ! AlreadyEnded
         4s timeout 1 => ! NoTimeout
         4s backoff => ! AlreadyEnded
         4s grant a.1 => ! AlreadyEnded",
    );
}

#[test]
fn failed_tries_are_repeated_after_a_delay() {
    check(
        "0s spec retry=2/30s
         0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         4s report 1 5 exit => #1 exit 1; backoff to 34s
         4s wake => 34s
         4s word => backoff
         5s grant a.1 => ! NotDue { until: Timestamp(34000000) }
         5s backoff => ! NotDue { until: Timestamp(34000000) }
         34s backoff =>
         34s word => ready
         40s grant b.1 => #2 to b.1 ready 34s
         40s fence 9
         41s report 1 5 exit => ! Duplicate
         41s report 2 5 ok => ! OtherAttempt
         41s report 2 9 signal => #2 signal 9; backoff to 71s
         80s grant a.1 => #3 to a.1 ready 71s
         80s fence 11
         81s report 3 11 exit => #3 exit 1; task failed (exit code 1)",
    );
}

#[test]
fn without_a_delay_the_next_try_is_ready_at_once() {
    check(
        "0s spec retry=1/0s
         0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         4s report 1 5 exit => #1 exit 1
         4s word => ready
         5s grant a.1 => #2 to a.1 ready 4s
         5s fence 6
         9s report 2 6 ok => #2 ok; task succeeded",
    );
}

#[test]
fn a_refusal_goes_back_to_its_own_place_and_number() {
    check(
        "1s grant a.1 => #1 to a.1 ready 0s
         1s refused 1 5 => ! FencePending
         1s fence 5
         1s refused 1 4 => ! OtherAttempt
         2s refused 1 5 => #1 refused: full
         3s grant b.1 => #1 to b.1 ready 0s
         3s fence 6
         3s report 1 5 ok => ! OtherAttempt
         4s report 1 6 ok => #1 ok; task succeeded",
    );
}

#[test]
fn only_the_committed_loss_of_its_own_incarnation_ends_an_attempt_without_word() {
    check(
        "0s grant a.3 => #1 to a.3 ready 0s
         0s fence 5
         1s lost b 9 => ! OtherWorker
         1s lost a 2 => ! OtherWorker
         2s lost a 3 => #1 lost with a.3
         2s lost a 3 => ! OtherWorker
         3s grant a.4 => #2 to a.4 ready 2s
         3s fence 6
         3s report 1 5 ok => ! OtherAttempt
         4s lost a 7 => #2 lost with a.4
         5s grant a.8 => #3 to a.8 ready 4s
         5s fence 7
         6s report 3 7 exit => #3 exit 1; task failed (exit code 1)",
    );
}

#[test]
fn what_is_delivered_at_most_once_fails_by_a_loss_and_by_nothing_else() {
    check(
        "0s spec at-most-once retry=5/0s
         0s grant a.3 => #1 to a.3 ready 0s
         0s fence 5
         1s refused 1 5 => #1 refused: full
         2s grant a.3 => #1 to a.3 ready 0s
         2s fence 6
         3s report 1 6 exit => #1 exit 1
         4s grant a.3 => #2 to a.3 ready 3s
         4s fence 7
         5s lost a 3 => #2 lost with a.3; task failed (its worker was lost, and how far it came is unknown; it is delivered at most once)",
    );
    check(
        "0s spec at-most-once
         0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s cancel => #1 stopping Cancelled
         2s lost a 1 => #1 lost with a.1; task cancelled",
    );
}

#[test]
fn a_timeout_asks_for_the_workers_word() {
    check(
        "0s spec timeout=10s retry=1/0s
         1s grant a.1 => #1 to a.1 ready 0s
         1s wake => 11s
         11s timeout 1 => ! FencePending
         11s fence 5
         10s timeout 1 => ! NotDue { until: Timestamp(11000000) }
         11s timeout 2 => ! OtherAttempt
         11s timeout 1 => #1 stopping Timeout
         11s wake => never
         12s timeout 1 => ! AlreadyStopping
         12s grant b.1 => ! AlreadyDispatched
         12s stop => ! AlreadyStopping
         13s report 1 5 timed-out => #1 timed out
         14s grant b.1 => #2 to b.1 ready 13s
         14s fence 6
         24s timeout 2 => #2 stopping Timeout
         25s lost b 1 => #2 lost with b.1; task failed (timed out, and its worker was lost)",
    );
}

#[test]
fn the_workers_word_is_the_truth_after_a_timeout_and_after_a_cancel() {
    check(
        "0s spec timeout=1s
         0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s timeout 1 => #1 stopping Timeout
         2s report 1 5 ok => #1 ok; task succeeded",
    );
    check(
        "0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s cancel => #1 stopping Cancelled
         2s report 1 5 ok => #1 ok; task succeeded",
    );
    check(
        "0s spec retry=5/1s
         0s grant a.1 => #1 to a.1 ready 0s
         0s cancel => ! FencePending
         0s fence 5
         1s cancel => #1 stopping Cancelled
         1s cancel => ! AlreadyStopping
         2s report 1 5 signal => #1 signal 9; task cancelled",
    );
}

#[test]
fn a_cancel_overtakes_a_timeout_and_leaves_no_retry() {
    check(
        "0s spec timeout=1s retry=5/1s
         0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s timeout 1 => #1 stopping Timeout
         2s cancel => #1 stopping Cancelled
         3s lost a 1 => #1 lost with a.1; task cancelled",
    );
    check(
        "0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s cancel => #1 stopping Cancelled
         3s refused 1 5 => #1 refused: full; task cancelled",
    );
    check("0s cancel => task cancelled");
    check(
        "0s spec retry=1/9s
         0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s report 1 5 exit => #1 exit 1; backoff to 10s
         2s cancel => task cancelled",
    );
}

#[test]
fn a_stopping_run_lets_attempts_finish_and_tries_nothing_again() {
    check("0s spec stopping\n 0s grant a.1 => ! RunEnding\n 0s stop => task skipped (run stopped)");
    check(
        "0s spec retry=3/5s
         0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s spec stopping
         1s stop => ! AlreadyDispatched
         2s report 1 5 exit => #1 exit 1; task failed (exit code 1)",
    );
    check(
        "0s grant a.1 => #1 to a.1 ready 0s
         1s spec stopping
         2s lost a 1 => #1 lost with a.1; task failed (its worker was lost)",
    );
    check(
        "0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s spec stopping
         2s refused 1 5 => #1 refused: full; task skipped (run stopped)",
    );
    check(
        "0s grant a.1 => #1 to a.1 ready 0s
         1s spec cancelling
         2s lost a 1 => #1 lost with a.1; task cancelled",
    );
    check(
        "0s spec retry=1/9s
         0s grant a.1 => #1 to a.1 ready 0s
         0s fence 5
         1s report 1 5 exit => #1 exit 1; backoff to 10s
         2s spec stopping
         2s stop => task failed (exit code 1)",
    );
}

/// Jitter of the stories is 0, which is the least wait: 70 % of 1, 2, 4 … 30 s.
#[test]
fn losses_in_a_row_are_waited_after_and_have_an_end() {
    let lost = |from: u64, to: u64, waits: &[&str]| {
        let mut story = String::new();
        for (attempt, wait) in (from..=to).zip(waits) {
            let at = 100 * attempt;
            let ready = if attempt == from { "ready 0s".to_string() } else { ready(waits, from, attempt) };
            story += &format!("{at}s grant w{attempt}.1 => #{attempt} to w{attempt}.1 {ready}\n");
            story += &format!("{at}s lost w{attempt} 1 => #{attempt} lost with w{attempt}.1{wait}\n");
        }
        story
    };
    check(&lost(
        1,
        10,
        &[
            "",
            "",
            "; backoff to 300s",
            "; backoff to 401s",
            "; backoff to 502s",
            "; backoff to 605s",
            "; backoff to 711s",
            "; backoff to 821s",
            "; backoff to 921s",
            "; task failed (its worker was lost, for the 10th time in a row, so it may be what ends its workers: look at \
             the memory and the signals of this task, then retry the run [R112])",
        ],
    ));
}

/// Ready since the loss before, or since its back-off was over.
fn ready(waits: &[&str], from: u64, attempt: u64) -> String {
    let before = waits[(attempt - from - 1) as usize];
    match before.strip_prefix("; backoff to ") {
        Some(until) => format!("ready {until}"),
        None => format!("ready {}s", 100 * (attempt - 1)),
    }
}

#[test]
fn a_workers_word_ends_the_row_of_losses() {
    let mut story = "0s spec retry=1/0s\n".to_string();
    for attempt in 1..=2 {
        story +=
            &format!("{attempt}s grant a.{attempt} => #{attempt} to a.{attempt} ready {}s\n", attempt - 1);
        story += &format!("{attempt}s lost a {attempt} => #{attempt} lost with a.{attempt}\n");
    }
    story += "3s grant a.3 => #3 to a.3 ready 2s
              3s fence 5
              3s refused 3 5 => #3 refused: full
              4s grant a.3 => #3 to a.3 ready 2s
              4s fence 6
              4s report 3 6 exit => #3 exit 1
              5s grant a.3 => #4 to a.3 ready 4s
              5s lost a 3 => #4 lost with a.3
              6s grant a.4 => #5 to a.4 ready 5s
              6s lost a 4 => #5 lost with a.4
              7s grant a.5 => #6 to a.5 ready 6s
              7s lost a 5 => #6 lost with a.5; backoff to 7s
              7s grant b.1 => ! NotDue { until: Timestamp(7700000) }
              8s grant b.1 => #7 to b.1 ready 7s
              8s fence 9
              9s report 7 9 ok => #7 ok; task succeeded";
    check(&story);
}

#[test]
fn attempt_numbers_end() {
    let key = TaskKey { task: 0, item: 0 };
    let mut state = TaskState::ready(key, 0, u16::MAX - 1, Timestamp(0));
    let spec = TaskSpec {
        retry: retry(9, Span::ZERO),
        timeout: None,
        delivery: Delivery::AtLeastOnce,
        losses_max: LOSSES_MAX,
        stance: Stance::Going,
    };
    tell(&mut state, &spec, &command(&["grant", "a.1"]), Timestamp(0));
    let last = tell(&mut state, &spec, &command(&["lost", "a", "1"]), Timestamp(0));
    assert_eq!(last, "#65535 lost with a.1; task failed (its worker was lost; no attempt number is left)");
}

#[test]
fn delays() {
    let seconds = Span::from_secs;
    let fixed = retry(9, seconds(30));
    let exponential = Retry { backoff: Backoff::Exponential, max_delay: seconds(100), ..fixed };
    for (tries, expected) in [(1, 30), (2, 60), (3, 100), (64, 100), (u32::MAX, 100)] {
        assert_eq!(delay(&fixed, tries, 0), seconds(30), "{tries}");
        assert_eq!(delay(&exponential, tries, 0), seconds(expected), "{tries}");
    }
    let jittered = Retry { jitter_percent: 20, ..fixed };
    assert_eq!(delay(&jittered, 1, 0), seconds(24));
    assert_eq!(delay(&jittered, 1, 12_000_000), seconds(36));
    assert_eq!(delay(&jittered, 1, 12_000_001), seconds(24));
    let capped = Retry { jitter_percent: 20, ..exponential };
    assert_eq!(delay(&capped, 9, 40_000_000), seconds(100));
    let none = Retry { delay: Span::ZERO, jitter_percent: 100, ..exponential };
    assert_eq!(delay(&none, 70, u64::MAX), Span::ZERO);
    let longest = Retry { delay: Span(u64::MAX), jitter_percent: 100, ..fixed };
    assert!(delay(&longest, 1, u64::MAX) > seconds(1));
}
