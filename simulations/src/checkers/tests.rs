//! Every checker passes a good story and names what is wrong in a bad one.

use std::collections::BTreeMap;

use hortator_core::event::{
    AttemptEnd, AttemptResult, Event, HistoryEntry, RunOutcome, SkipCause, TaskOutcome,
};
use hortator_core::id::{Fence, Name, Position, RunId, TaskKey, WorkerRef, WorkflowName};
use hortator_core::schedule::{CatchUp, Overlap, PassedOver, Policy};
use hortator_core::time::Timestamp;

use super::{LIVENESS, SAFETY, UNDISTURBED, judge};
use crate::evidence::{
    Cancel, Decided, Delivery, Evidence, Fate, LedgerKey, Ran, RunEvidence, ScheduleEvidence, Settled, Shown,
    Spell, Start, TaskShape, parse_ledger,
};
use crate::reckoning::Reckoning;

const RUN: RunId = RunId(7 << 100);

/// A ledger in short: `s a 1 5` is the start of attempt 1 of task a with index 5.
fn ledger(short: &[&str]) -> Evidence {
    let mut text = String::new();
    for (place, line) in short.iter().enumerate() {
        let [mark, task, attempt, index] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let mark = match mark {
            "s" => "start",
            "b" => "beat",
            "e" => "end",
            other => panic!("{other}"),
        };
        text.push_str(&format!("{mark} {RUN} {task} 0 {attempt} 1-1-3-{index} {place}.000000 w1\n"));
    }
    Evidence { ledger: parse_ledger(&text).expect("lines as attempts write them"), ..Evidence::default() }
}

/// A run of `a`, then `b`; `c` is delivered at most once.
fn run(state: &str, events: Vec<Event>) -> RunEvidence {
    let shape = |name: &str, parents: &[usize], delivery| TaskShape {
        name: name.to_owned(),
        parents: parents.to_vec(),
        delivery,
        limits: Vec::new(),
        takes: BTreeMap::new(),
        only_if_odd: None,
    };
    let entries = events.into_iter().enumerate().map(|(place, event)| {
        let place = place as u64 + 1;
        let at = Timestamp(place as i64);
        (Position { group: 1, index: place }, HistoryEntry { at, events: vec![event] })
    });
    RunEvidence {
        state: state.to_owned(),
        key: Some("k".to_owned()),
        tasks: vec![
            shape("a", &[], Delivery::AtLeastOnce),
            shape("b", &[0], Delivery::AtLeastOnce),
            shape("c", &[], Delivery::AtMostOnce),
        ],
        history: entries.collect(),
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn created() -> Event {
    Event::RunCreated {
        workflow: WorkflowName { namespace: name("default"), name: name("x") },
        version: 1,
        inputs: Default::default(),
        priority: Default::default(),
        by: "test".to_owned(),
        key: None,
        origin: hortator_core::event::Origin::Asked,
    }
}

const A: TaskKey = TaskKey { task: 0, item: 0 };

fn worker() -> WorkerRef {
    WorkerRef { name: name("w1"), incarnation: 1 }
}

fn dispatched(attempt: u16) -> Event {
    Event::AttemptDispatched {
        key: A,
        attempt,
        worker: worker(),
        ready_at: Timestamp(0),
        share: hortator_core::event::Share::default(),
    }
}

fn refused(attempt: u16) -> Event {
    Event::AttemptRefused { key: A, attempt, worker: worker(), why: String::new() }
}

fn lost(attempt: u16) -> Event {
    Event::AttemptLost { key: A, attempt, worker: worker() }
}

fn ended(attempt: u16) -> Event {
    let result = AttemptResult::Succeeded { outputs: Default::default() };
    let end = AttemptEnd { started_at: Timestamp(0), finished_at: Timestamp(1), result };
    Event::AttemptEnded { key: A, attempt, end, worker: worker() }
}

fn task_ended() -> Event {
    Event::TaskEnded { key: A, outcome: TaskOutcome::Succeeded { outputs: Default::default() } }
}

fn finished() -> Event {
    Event::RunFinished { outcome: RunOutcome::Succeeded }
}

/// The names of the checkers that have something to say, in the order of the table.
#[track_caller]
fn check(evidence: &Evidence, expected: &[&str]) {
    let found = judge(SAFETY.iter().chain(LIVENESS), evidence);
    let mut names: Vec<&str> = found.iter().map(|violation| violation.checker).collect();
    names.dedup();
    assert_eq!(names, expected, "{found:#?}");
}

fn with_run(mut evidence: Evidence, state: &str, events: Vec<Event>) -> Evidence {
    evidence.runs.insert(RUN, run(state, events));
    evidence
}

fn story(events: Vec<Event>) -> Evidence {
    with_run(Evidence::default(), "succeeded", events)
}

fn acknowledged(runs: &[RunId]) -> Start {
    Start::Acknowledged { runs: runs.to_vec(), first_at: Timestamp(0) }
}

#[test]
fn as_much_of_a_limit_as_there_is() {
    let limited = |short: &[&str]| {
        let mut evidence = ledger(short);
        let mut run = run("running", Vec::new());
        for (place, weight) in [(0, 2), (1, 1), (2, 3)] {
            run.tasks[place].limits = vec![("db".to_owned(), weight)];
        }
        evidence.runs.insert(RUN, run);
        evidence.limits.insert("db".to_owned(), 3);
        let checkers = SAFETY.iter().filter(|checker| checker.name == "S11");
        judge(checkers, &evidence).len()
    };
    for (short, expected) in [
        (&["s a 1 2", "s b 1 3", "e a 1 2", "e b 1 3", "s c 1 4", "e c 1 4"][..], 0),
        (&["s a 1 2", "s b 1 3", "e b 1 3", "s c 1 4", "e a 1 2"], 1),
        (&["s a 1 2", "s a 2 3", "e a 1 2"], 1),
        // It was never heard of again, so nobody knows for how long it lived.
        (&["s a 1 2", "s c 1 3", "e c 1 3"], 0),
    ] {
        assert_eq!(limited(short), expected, "{short:?}");
    }
}

#[test]
fn what_workers_have() {
    let busy = |short: &[&str], devices: &[&str]| {
        let mut evidence = ledger(short);
        let mut run = run("running", Vec::new());
        for (place, takes) in [(0, [("cpu", 2), ("gpu", 1)]), (1, [("cpu", 1), ("gpu", 1)])] {
            let takes = takes.into_iter().map(|(resource, amount)| (resource.to_owned(), amount));
            run.tasks[place].takes = takes.collect();
        }
        evidence.runs.insert(RUN, run);
        evidence.has = BTreeMap::from([("cpu".to_owned(), 3), ("gpu".to_owned(), 2)]);
        for (line, device) in evidence.ledger.iter_mut().zip(devices) {
            line.given.devices = device.split_whitespace().map(str::to_owned).collect();
        }
        let checkers = SAFETY.iter().filter(|checker| checker.name == "S11");
        judge(checkers, &evidence).len()
    };
    for (short, devices, expected) in [
        (&["s a 1 2", "s b 1 3", "e a 1 2", "e b 1 3"][..], &["0", "1", "0", "1"][..], 0),
        (&["s a 1 2", "e a 1 2", "s b 1 3", "e b 1 3"], &["0", "0", "0", "0"], 0),
        (&["s a 1 2", "s b 1 3", "e a 1 2", "e b 1 3"], &["0", "0", "0", "0"], 1),
        (&["s a 1 2", "s a 2 3", "e a 1 2", "e a 2 3"], &["0", "1", "0", "1"], 1),
        // Another number of devices than it asks for.
        (&["s a 1 2", "e a 1 2"], &["0 1", "0 1"], 1),
        (&["s a 1 2", "e a 1 2"], &["", ""], 1),
    ] {
        assert_eq!(busy(short, devices), expected, "{short:?} {devices:?}");
    }
}

#[test]
fn what_tasks_leave() {
    let told = |lines: &[&str], mark: &str, events: Vec<Event>| {
        let mut evidence = with_run(ledger(lines), "succeeded", events);
        let run = evidence.runs.get_mut(&RUN).expect("it is there");
        run.tasks[1].only_if_odd = Some(0);
        for line in evidence.ledger.iter_mut().filter(|line| line.key.task == "b") {
            line.given.mark = Some(("a".to_owned(), mark.to_owned()));
        }
        let checkers = SAFETY.iter().filter(|checker| checker.name == "outputs");
        judge(checkers, &evidence).len()
    };
    let story = || vec![created(), dispatched(1), ended(1), task_ended()];
    let skipped = || {
        let cause = SkipCause::Condition { expression: String::new(), values: BTreeMap::new() };
        let outcome = TaskOutcome::Skipped { cause };
        [story(), vec![Event::TaskEnded { key: TaskKey { task: 1, item: 0 }, outcome }]].concat()
    };
    for (lines, mark, events, expected) in [
        (&["s a 1 5", "e a 1 5", "s b 1 6", "e b 1 6"][..], "1-1-3-5", story(), 0),
        // Of another attempt, and of nobody.
        (&["s a 1 5", "e a 1 5", "s a 2 7", "e a 2 7", "s b 1 8"], "1-1-3-7", story(), 1),
        (&["s a 1 5", "e a 1 5", "s b 1 6"], "", story(), 1),
        (&["s a 1 5", "b a 1 5", "s b 1 6"], "1-1-3-5", story(), 2),
        // Its condition says no; or says yes, and it is skipped.
        (&["s a 1 4", "e a 1 4", "s b 1 6", "e b 1 6"], "1-1-3-4", story(), 1),
        (&["s a 1 4", "e a 1 4"], "", skipped(), 0),
        (&["s a 1 5", "e a 1 5"], "", skipped(), 1),
    ] {
        assert_eq!(told(lines, mark, events), expected, "{lines:?} {mark:?}");
    }
}

#[test]
fn words_of_processes() {
    let story = || vec![created(), dispatched(1), ended(1), task_ended(), finished()];
    for (short, expected) in
        [(&["s a 1 2", "e a 1 2"][..], &[][..]), (&["s a 1 2", "b a 1 2"], &["S22"]), (&[], &[])]
    {
        check(&with_run(ledger(short), "succeeded", story()), expected);
    }
    let fence = |index| Fence { generation: 1, shard: 1, term: 3, index };
    for (index, expected) in [(2, &["S22"][..]), (9, &[])] {
        let mut evidence = with_run(Evidence::default(), "running", vec![created(), dispatched(1), lost(1)]);
        evidence.kept.push((RUN, A, fence(index)));
        check(&evidence, expected);
    }
    for (began, expected) in [(0, &[][..]), (7, &["S22"])] {
        let mut evidence = with_run(ledger(&["s a 1 2", "e a 1 2"]), "succeeded", story());
        evidence.begun.push((RUN, A, fence(2), Timestamp(began)));
        check(&evidence, expected);
    }
}

/// A run that was over when it was judged stays what it was, for as long as history keeps it.
#[test]
fn settled_runs() {
    let other = RunId(8 << 100);
    let settled = |key: &str, now| Settled { key: Some(key.to_owned()), state: "failed".to_owned(), now };
    let shown = |state: &str| Shown::State(state.to_owned());
    for (key, now, expected) in [
        ("old", shown("failed"), &[][..]),
        ("old", shown("succeeded"), &["S3"]),
        ("old", Shown::Nothing, &["S1"]),
        ("old", Shown::TooOld, &[]),
        // The key of a run that is new.
        ("k", shown("failed"), &["S2"]),
    ] {
        let mut evidence = story(vec![created(), dispatched(1), ended(1), task_ended(), finished()]);
        evidence.settled.insert(other, settled(key, now));
        check(&evidence, expected);
    }
    let mut evidence = ledger(&["s a 2 9", "e a 2 9"]);
    evidence.settled.insert(RUN, settled("old", shown("failed")));
    check(&evidence, &["S3"]);
}

#[test]
fn followed_histories() {
    let place = |index| (Position { group: 1, index }, 1);
    for (followed, expected) in [
        (vec![place(1), place(2)], &[][..]),
        (vec![place(1), place(3)], &["S18"]),
        (vec![place(2)], &["S18"]),
    ] {
        let mut evidence = story(vec![created(), dispatched(1), ended(1), task_ended(), finished()]);
        evidence.followed.push((RUN, followed));
        check(&evidence, expected);
    }
}

#[test]
fn ledgers() {
    for (short, expected) in [
        (&["s a 1 5", "b a 1 5", "e a 1 5", "s b 1 6", "e b 1 6"][..], &[][..]),
        (&["s a 1 5", "b a 1 5", "s a 2 6", "e a 2 6"], &[]),
        (&["s a 1 5", "s a 2 6", "b a 1 5", "e a 2 6"], &["S5"]),
        (&["s a 1 5", "s a 2 6", "e a 2 6", "e a 1 5"], &["S5"]),
        (&["b a 1 5"], &["S5"]),
        (&["s a 1 5", "e a 1 5", "s a 1 5"], &["S6"]),
        (&["s a 1 6", "e a 1 6", "s a 2 5"], &["S6"]),
        (&["s c 1 5", "e c 1 5"], &[]),
        (&["s c 1 5", "s c 2 6"], &["S7"]),
        (&["s a 1 5", "s b 1 6", "e a 1 5"], &["S8"]),
    ] {
        let evidence = with_run(ledger(short), "running", vec![created()]);
        check(&evidence, expected);
    }
}

#[test]
fn histories() {
    let done = |middle: Vec<Event>| story([vec![created()], middle, vec![task_ended(), finished()]].concat());
    check(&done(vec![dispatched(1), ended(1)]), &[]);
    check(&done(vec![dispatched(1), refused(1), dispatched(1), lost(1), dispatched(2), ended(2)]), &[]);
    check(&done(vec![dispatched(1), dispatched(2), ended(2)]), &["S3"]);
    check(&done(vec![dispatched(1), lost(1), dispatched(1), ended(1)]), &["S3"]);
    check(&done(vec![dispatched(1), ended(2)]), &["S3"]);
    check(&done(vec![dispatched(1), ended(1), task_ended()]), &["S3"]);
    check(&done(vec![dispatched(2), ended(2)]), &["S3"]);
    check(&done(vec![dispatched(1)]), &["S3"]);
    check(&done(vec![created()]), &["S3"]);
    check(&story(vec![finished()]), &["S3"]);
    check(&story(vec![created(), finished(), dispatched(1)]), &["S3"]);
    check(&story(vec![created()]), &["S3"]);
    let mut backwards = done(vec![]);
    let history = &mut backwards.runs.get_mut(&RUN).expect("it is there").history;
    history.last_mut().expect("three entries").1.at = Timestamp(0);
    check(&backwards, &["S3"]);
    let history = &mut backwards.runs.get_mut(&RUN).expect("it is there").history;
    let last = history.last_mut().expect("three entries");
    (last.1.at, last.0.index) = (Timestamp(9), 1);
    check(&backwards, &["S3"]);
}

#[test]
fn what_clients_were_told() {
    let other = RunId(8 << 100);
    for (start, expected) in [
        (Start::Unknown, &[][..]),
        (acknowledged(&[RUN, RUN]), &[]),
        (acknowledged(&[other]), &["S1", "L2"]),
        (acknowledged(&[RUN, other]), &["S1", "S2", "L2"]),
    ] {
        let mut evidence = story(vec![created(), finished()]);
        evidence.starts.insert("k".to_owned(), start);
        check(&evidence, expected);
    }
    let mut twice = story(vec![created(), finished()]);
    twice.runs.insert(other, run("succeeded", vec![created(), finished()]));
    check(&twice, &["S2"]);
    let mut open = with_run(Evidence::default(), "running", vec![created()]);
    open.starts.insert("k".to_owned(), acknowledged(&[RUN]));
    check(&open, &["L2"]);
}

#[test]
fn cancels() {
    let cancelled = |lines: &[&str], state: &str| {
        let mut evidence = with_run(ledger(lines), state, vec![created(), finished()]);
        evidence.cancels.push(Cancel { run: RUN, over_at: 2 });
        evidence
    };
    check(&cancelled(&["s a 1 5", "e a 1 5"], "cancelled"), &[]);
    check(&cancelled(&["s a 1 5", "e a 1 5"], "succeeded"), &["S1"]);
    check(&cancelled(&["s a 1 5", "e a 1 5", "s b 1 6"], "cancelled"), &["S8"]);
}

#[test]
fn retries() {
    let again = || Event::RunRetried { by: "test".to_owned(), tasks: Vec::new() };
    for (events, expected) in
        [(vec![created(), finished(), again(), finished()], &[][..]), (vec![created(), finished()], &["S1"])]
    {
        let mut evidence = story(events);
        evidence.retries.push(RUN);
        check(&evidence, expected);
        evidence.runs.clear();
        check(&evidence, &["S1"]);
    }
}

#[test]
fn what_was_seen_as_succeeded() {
    let key = LedgerKey { run: RUN, task: "a".to_owned(), item: 0 };
    let mut evidence = ledger(&["s a 1 5", "e a 1 5", "s a 2 6", "e a 2 6"]);
    evidence.seen_succeeded.insert(key.clone(), 4);
    check(&evidence, &[]);
    evidence.seen_succeeded.insert(key, 2);
    check(&evidence, &["S5-seen"]);
}

#[test]
fn processes_that_nobody_had_a_reason_to_end() {
    for (short, expected) in [
        (&["s a 1 5", "e a 1 5"][..], 0),
        (&["s a 1 5"], 1),
        (&["s a 1 5", "e a 1 5", "s a 2 6", "e a 2 6"], 1),
    ] {
        assert_eq!(UNDISTURBED.judge(&ledger(short)).len(), expected, "{short:?}");
    }
}

#[test]
fn lines_that_are_none() {
    let good = format!("start {RUN} a 0 1 1-1-3-5 1700000000.000001 w1");
    assert_eq!(
        parse_ledger(&format!("{good}\nbeat 01")).map(|lines| lines.len()),
        Ok(1),
        "half a line waits"
    );
    for (from, to) in [
        ("start", "begin"),
        ("1-1-3-5", "1-1-3"),
        (".000001", ".1"),
        (" w1", ""),
        (" a 0", " a x"),
        (&RUN.to_string(), "nobody"),
    ] {
        let bad = good.replace(from, to);
        assert!(parse_ledger(&format!("{bad}\n")).is_err(), "{bad}");
    }
}

const MINUTE: i64 = 60_000_000;

/// Every ten minutes from minute 0 on, looked at up to minute 40. `10 10 f 11 15` is the time of minute 10, decided in
/// minute 10: it fires, and its run goes from minute 11 to 15; `m` and `o` are passed over, as missed or for another run.
fn schedule(catch_up: CatchUp, overlap: Overlap, short: &[&str]) -> Evidence {
    let minute = |text: &str| Timestamp(text.parse::<i64>().expect("a minute") * MINUTE);
    let decided = short.iter().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let fate = match words[2] {
            "f" => {
                let time = |place: usize| words.get(place).map(|text| minute(text));
                Fate::Fired(Ran { run: RUN, started_at: time(3), ended_at: time(4) })
            }
            "m" => Fate::PassedOver(PassedOver::Missed),
            "o" => Fate::PassedOver(PassedOver::Overlap),
            "s" => Fate::PassedOver(PassedOver::SwitchedOff),
            other => panic!("{other}"),
        };
        Decided { nominal: minute(words[0]), at: minute(words[1]), fate }
    });
    let schedule = ScheduleEvidence {
        name: "nightly".to_owned(),
        reckoning: Reckoning::Every(600),
        policy: Policy { catch_up, overlap },
        generation: 1,
        spells: vec![Spell {
            since: Timestamp(0),
            until: Timestamp(40 * MINUTE),
            decided: decided.collect(),
        }],
        triggered: Vec::new(),
    };
    Evidence { schedules: vec![schedule], ..Evidence::default() }
}

/// While it is off it has no times; a run that somebody asked for takes its turn like any other.
#[test]
fn spells_and_runs_beside_the_times() {
    let decided = &["10 10 f 10 15", "40 40 f 40 45"];
    let mut evidence = schedule(CatchUp::None, Overlap::Queue, decided);
    let names = |evidence: &Evidence| -> Vec<&str> {
        let checkers = SAFETY.iter().filter(|one| ["S9", "S10"].contains(&one.name));
        judge(checkers, evidence).iter().map(|violation| violation.checker).collect()
    };
    assert_eq!(names(&evidence), ["S9", "S9"]);
    let one = &mut evidence.schedules[0];
    let last = one.spells[0].decided.pop().expect("two");
    one.spells[0].until = Timestamp(15 * MINUTE);
    one.spells.push(Spell {
        since: Timestamp(35 * MINUTE),
        until: Timestamp(40 * MINUTE),
        decided: vec![last],
    });
    assert_eq!(names(&evidence), [""; 0]);
    for (from, to, expected) in [(20, 22, &[][..]), (12, 13, &["S10"]), (42, 46, &["S10"])] {
        let [started_at, ended_at] = [from, to].map(|minute| Some(Timestamp(minute * MINUTE)));
        evidence.schedules[0].triggered = vec![Ran { run: RUN, started_at, ended_at }];
        assert_eq!(names(&evidence), expected, "{from} to {to}");
    }
}

#[test]
fn schedules() {
    use CatchUp::{All, Latest};
    use Overlap::{Allow, Queue, Skip};
    let none = CatchUp::None;
    for (catch_up, overlap, short, expected) in [
        (none, Allow, &["10 10 f 10 25", "20 20 f 20 21", "30 31 f 31 32", "40 40 f"][..], &[][..]),
        (Latest, Queue, &["10 35 m", "20 35 m", "30 35 f 35 39", "40 40 f 40"], &[]),
        (All { max: 9 }, Queue, &["10 35 f 35 36", "20 35 f 36 37", "30 35 f 37 38", "40 40 f 40"], &[]),
        (none, Skip, &["10 10 f 10 25", "20 20 o", "30 30 f 30 31", "40 40 f 40"], &[]),
        // Decided twice, never, and where there was no time.
        (none, Allow, &["10 10 f", "10 10 f", "20 20 f", "30 30 f", "40 40 f"], &["S9"]),
        (none, Allow, &["10 10 f", "20 20 f", "40 40 f"], &["S9"]),
        (none, Allow, &["10 10 f", "20 20 f", "25 25 f", "30 30 f", "40 40 f"], &["S9"]),
        // Against the policy.
        (none, Allow, &["10 10 m", "20 20 f", "30 30 f", "40 40 f"], &["S9"]),
        (none, Allow, &["10 15 f", "20 20 f", "30 30 f", "40 40 f"], &["S9"]),
        (Latest, Allow, &["10 35 f", "20 35 f", "30 35 f", "40 40 f"], &["S9", "S9"]),
        (none, Allow, &["10 10 o", "20 20 f", "30 30 f", "40 40 f"], &["S9"]),
        // Switched off before it was decided, and given up although it was on.
        (none, Allow, &["10 10 f", "20 20 f", "30 40 s", "40 40 s"], &[]),
        (none, Allow, &["10 10 f", "20 20 s", "30 30 f", "40 40 f"], &["S9"]),
        (none, Queue, &["10 10 f 10 25", "20 20 f 20 26", "30 30 f 30 31", "40 40 f 40"], &["S10"]),
        (none, Skip, &["10 10 f 10", "20 20 f 20 26", "30 30 f 30 31", "40 40 f 40"], &["S10"]),
    ] {
        let found = judge(
            SAFETY.iter().filter(|one| ["S9", "S10"].contains(&one.name)),
            &schedule(catch_up, overlap, short),
        );
        let names: Vec<&str> = found.iter().map(|violation| violation.checker).collect();
        assert_eq!(names, expected, "{catch_up:?} {overlap:?} {short:?}: {found:#?}");
    }
}
