//! Single stories of one run.
//!
//! A line is `command => what happened; taken: what became active`. Commands: `start`, `cancel`, `retry`, `restart`,
//! `wait SECONDS`, `run KEY` (grant), and the word for a granted attempt: `ok KEY`, `fail KEY`; both grant first
//! where needed. Only task ends and events of the run itself are shown.

use std::collections::BTreeMap;

use hortator_core::event::{AttemptResult, Event};
use hortator_core::id::TaskKey;
use hortator_core::run::RunCommand;

use crate::definitions::parse;
use crate::show;
use crate::world::{World, keys};

fn check(definition: &str, script: &str) -> World {
    let mut world = World::new(parse(definition));
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once("=>").unwrap_or((line, ""));
        let got = step(&mut world, command.trim());
        assert_eq!(got, expected.trim(), "\nat: {line}");
        world.check();
    }
    world
}

fn step(world: &mut World, command: &str) -> String {
    let (seen, active) = (world.history.len(), world.actors.keys().copied().collect::<Vec<_>>());
    let told = match command.split_once(' ').unwrap_or((command, "")) {
        ("start", _) => world.tell(&RunCommand::Start),
        ("cancel", _) => world.tell(&RunCommand::Cancel { by: "ann".into(), reason: None }),
        ("retry", _) => {
            world.restart();
            world.tell(&RunCommand::Retry { by: "ann".into() })
        }
        ("restart", _) => {
            world.restart();
            Ok(())
        }
        ("wait", seconds) => {
            world.wait(seconds.parse().unwrap());
            Ok(())
        }
        ("run", key) => {
            world.grant(self::key(world, key)).unwrap();
            Ok(())
        }
        ("ok", key) => {
            report(world, key, AttemptResult::Succeeded { outputs: BTreeMap::new() });
            Ok(())
        }
        ("fail", key) => {
            report(world, key, AttemptResult::Exited { code: 1 });
            Ok(())
        }
        (other, _) => panic!("unknown command {other}"),
    };
    if let Err(rejection) = told {
        return format!("! {rejection:?}");
    }
    let definition = world.definition();
    let key = |key| show::key(&definition, key);
    let shown = |(_, event): &(_, Event)| match event {
        Event::TaskEnded { .. } | Event::TaskBackoff { .. } => Some(show::event(event, &key)),
        event if event.task_key().is_none() => Some(show::event(event, &key)),
        _ => None,
    };
    let mut said: Vec<String> = world.history[seen..].iter().filter_map(shown).collect();
    let taken: Vec<_> = world.actors.keys().filter(|key| !active.contains(key)).map(|k| key(*k)).collect();
    if !taken.is_empty() {
        said.push(format!("taken: {}", taken.join(" ")));
    }
    said.join("; ")
}

fn report(world: &mut World, text: &str, result: AttemptResult) {
    let key = key(world, text);
    if world.attempt(key).is_none() {
        world.grant(key).unwrap();
    }
    world.report(key, result).unwrap();
}

fn key(world: &World, text: &str) -> TaskKey {
    let definition = world.definition();
    keys(&definition).into_iter().find(|key| show::key(&definition, *key) == text).expect("a task run")
}

#[test]
fn a_diamond() {
    check(
        "a; b: a; c: a; d: b c",
        "start => started; taken: a
         start => ! AlreadyStarted
         retry => ! NotFinished
         restart =>
         ok a => a succeeded; taken: b c
         ok c => c succeeded
         restart =>
         ok b => b succeeded; taken: d
         ok d => d succeeded; run succeeded
         cancel => ! AlreadyFinished
         start => ! AlreadyFinished
         retry => ! NothingToRetry",
    );
}

#[test]
fn a_failure_skips_what_needs_it_and_lets_the_rest_go_on() {
    check(
        "a; b: a; c: b; d; e: c d | all_done; f: c d",
        "start => started; taken: a d
         fail a => a failed (exit code 1); b skipped (AllSuccess); c skipped (AllSuccess)
         ok d => d succeeded; f skipped (AllSuccess); taken: e
         ok e => e succeeded; run failed",
    );
}

#[test]
fn rules() {
    check(
        "a; b; one: a b | one_success; bad: a b | one_failed; none: a b | none_failed; any: a b | always",
        "start => started; taken: a b
         fail a => a failed (exit code 1)
         ok b => b succeeded; none skipped (NoneFailed); taken: one bad any
         ok one => one succeeded
         ok bad => bad succeeded
         ok any => any succeeded; run failed",
    );
    check(
        "a | when=false; b: a | none_failed; c: a; d: c | one_success; e: c b | all_done",
        "start => started; a skipped (false); c skipped (AllSuccess); d skipped (OneSuccess); taken: b
         ok b => b succeeded; taken: e
         ok e => e succeeded; run succeeded",
    );
}

#[test]
fn conditions() {
    check(
        "a | when=true; b | when=false; c | when=x.y; d: c | one_failed",
        "start => started; b skipped (false); c failed (condition: x.y has no value); taken: a d
         ok d => d succeeded
         ok a => a succeeded; run failed",
    );
    check(
        "a | foreach=0 when=bad",
        "start => started; a[*] failed (condition: bad has no value); run failed",
    );
    check(
        "a | when=false; b: a",
        "start => started; a skipped (false); b skipped (AllSuccess); run succeeded",
    );
}

#[test]
fn on_failure_stop() {
    let definition = "stop; a; b; c | foreach=3/1; d: b";
    let world = check(
        definition,
        "start => started; taken: a b c[0]
         run b =>
         fail a => a failed (exit code 1); stopping for a; c[0] skipped (run stopped)
         restart =>
         ok b => b succeeded; run failed",
    );
    let shown = |key| world.run.standing(key).unwrap().word();
    let words: Vec<_> = keys(world.run.definition()).into_iter().map(shown).collect();
    assert_eq!(words, ["failed", "succeeded", "skipped", "skipped", "skipped", "skipped", "skipped"]);
    check(
        "stop; a | when=bad; b",
        "start => started; a failed (condition: bad has no value); stopping for a; run failed",
    );
    check(
        "stop; a | when=bad",
        "start => started; a failed (condition: bad has no value); stopping for a; run failed",
    );
}

#[test]
fn retries_of_a_task_do_not_fail_the_run() {
    check(
        "stop; a | retry=1; b: a",
        "start => started; taken: a
         fail a => backoff to 10s
         restart =>
         wait 10
         ok a => a succeeded; taken: b
         ok b => b succeeded; run succeeded",
    );
}

#[test]
fn cancel() {
    check("a", "cancel => cancel by ann; run cancelled\n start => ! AlreadyFinished");
    check(
        "a; b; c: a | always; d: a b",
        "start => started; taken: a b
         run a =>
         cancel => cancel by ann; b cancelled
         cancel => ! AlreadyCancelling
         start => ! AlreadyCancelling
         restart =>
         fail a => a cancelled; run cancelled",
    );
    // Nothing was cut short.
    check(
        "a",
        "start => started; taken: a
         run a =>
         cancel => cancel by ann
         ok a => a succeeded; run succeeded",
    );
    check(
        "stop; a; b; c: b",
        "start => started; taken: a b
         run b =>
         fail a => a failed (exit code 1); stopping for a
         cancel => cancel by ann
         fail b => b cancelled; run cancelled",
    );
}

#[test]
fn foreach() {
    check(
        "a | foreach=3/2; b: a; c | foreach=0; d: c; e | foreach=2 when=false",
        "start => started; c[*] succeeded; e[*] skipped (false); taken: a[0] a[1] d
         ok a[1] => a[1] succeeded; taken: a[2]
         restart =>
         fail a[2] => a[2] failed (exit code 1)
         ok d => d succeeded
         ok a[0] => a[0] succeeded; b skipped (AllSuccess); run failed",
    );
}

#[test]
fn a_retry_starts_afresh_what_has_not_succeeded() {
    let world = check(
        "a; b: a; c: b; h: b | one_failed; s | when=false; f | foreach=3/1; z: f",
        "start => started; s skipped (false); taken: a f[0]
         ok a => a succeeded; taken: b
         ok f[0] => f[0] succeeded; taken: f[1]
         fail f[1] => f[1] failed (exit code 1); taken: f[2]
         fail b => b failed (exit code 1); c skipped (AllSuccess); taken: h
         ok h => h succeeded
         ok f[2] => f[2] succeeded; z skipped (AllSuccess); run failed
         retry => retried b c s f[*] z
         restart =>
         start => started; s skipped (false); taken: b f[1]
         restart =>
         fail b => b failed (exit code 1); c skipped (AllSuccess)
         ok f[1] => f[1] succeeded; taken: z
         cancel => cancel by ann; z cancelled; run cancelled
         retry => retried b c s z
         cancel => cancel by ann; run cancelled
         retry => retried b c s z
         start => started; s skipped (false); taken: b z
         ok b => b succeeded; taken: c
         ok z => z succeeded
         ok c => c succeeded; run succeeded",
    );
    let attempts = |text| world.rows[&key(&world, text)].0.attempts;
    assert_eq!((attempts("b"), attempts("f[1]"), attempts("z"), attempts("a")), (3, 2, 1, 1));
}

#[test]
fn the_order_of_activation() {
    let mut world = World::new(parse("a | low; b | @gpu; c; d | high; e | foreach=2"));
    world.window = 0;
    world.wait(5);
    world.tell(&RunCommand::Start).unwrap();
    let since: Vec<_> =
        world.run.clone().take_ready(9, &mut |_| true).iter().map(|taken| taken.since).collect();
    assert_eq!(since, [world.now; 6], "ready since the run's start, not before");
    let id = |world: &World, key| show::key(&world.definition(), key);
    let mut run = world.run.clone();
    let taken: Vec<_> = run.take_ready(9, &mut |_| true).iter().map(|taken| id(&world, taken.key)).collect();
    assert_eq!(taken, ["d", "b", "c", "e[0]", "e[1]", "a"]);
    // A window that is full for one shape leaves the others their turn, and keeps the order for later.
    let mut run = world.run.clone();
    let taken: Vec<_> =
        run.take_ready(9, &mut |task| task == 1).iter().map(|taken| id(&world, taken.key)).collect();
    assert_eq!(taken, ["b"]);
    let taken: Vec<_> = run.take_ready(3, &mut |_| true).iter().map(|taken| id(&world, taken.key)).collect();
    assert_eq!(taken, ["d", "c", "e[0]"]);
    let taken: Vec<_> = run.take_ready(9, &mut |_| true).iter().map(|taken| id(&world, taken.key)).collect();
    assert_eq!(taken, ["e[1]", "a"]);
}

#[test]
fn a_cascade_of_100_000_skips_is_paged() {
    let tasks = 100_000;
    let definition = crate::definitions::definition(
        Default::default(),
        (0..tasks).map(|task| crate::definitions::task(&format!("t{task}"))).collect(),
        &(0..tasks).map(|task: u32| task.checked_sub(1).into_iter().collect()).collect::<Vec<_>>(),
    );
    let mut world = World::new(definition);
    world.page = 256;
    world.tell(&RunCommand::Start).unwrap();
    report(&mut world, "t0", AttemptResult::Exited { code: 1 });
    assert_eq!(world.run.counts().skipped, tasks - 1);
    world.check();
}
