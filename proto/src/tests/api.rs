//! Each response as JSON and back, with the names that clients see.

use std::collections::BTreeMap;

use hortator_core::definition::Priority;
use hortator_core::dispatch::Amounts;
use hortator_core::event::{Event, RunOutcome};
use hortator_core::id::{Name, Position, RunId, TaskKey, WorkflowName};
use hortator_core::reason::Reason;
use hortator_core::retention::DEFAULT_RULE;
use hortator_core::schedule::{
    CatchUp, ClockChange, LastFire, Overlap, PassedOver, ScheduleEvent, ScheduleLine, Timing,
};
use hortator_core::time::Timestamp;
use serde_json::{Value, json};

use crate::api::*;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn daily() -> WorkflowName {
    WorkflowName { namespace: name("retail"), name: name("daily") }
}

pub(super) const RUN: RunId = RunId(0x019a_0000_0000_0100_0000_0000_0000_0007);
const RUN_TEXT: &str = "01K80000000400000000000007";
pub(super) const AT: Timestamp = Timestamp(1_795_183_323_000_123);
const AT_TEXT: &str = "2026-11-20T14:02:03.000123Z";
const HERE: Position = Position { group: 2, index: 812_338 };

fn check_response(word: &str, response: &Response) -> Value {
    let text = serde_json::to_string(response).unwrap();
    assert_eq!(serde_json::from_str::<Response>(&text).unwrap(), *response, "{text}");
    let value = serde_json::to_value(response).unwrap();
    check_names(&value);
    value.get(word).unwrap_or_else(|| panic!("{word} is not in {text}")).clone()
}

/// Every name is in snake_case.
pub(super) fn check_names(value: &Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                assert!(
                    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                    "{name}"
                );
                check_names(value);
            }
        }
        Value::Array(list) => list.iter().for_each(check_names),
        _ => {}
    }
}

fn workflow_view() -> WorkflowView {
    let (namespace, name) = (name("retail"), name("daily"));
    WorkflowView { namespace, name, version: 3, tasks: 12, applied_at: AT, by: "ann".into() }
}

fn run_view() -> RunView {
    RunView {
        id: RUN,
        namespace: name("retail"),
        workflow: name("daily"),
        version: 3,
        state: "running".into(),
        priority: Priority::Normal,
        by: "schedule".into(),
        inputs: BTreeMap::from([("day".into(), json!("2026-11-20"))]),
        created_at: AT,
        started_at: Some(AT),
        finished_at: None,
        counts: BTreeMap::from([("succeeded".into(), 4)]),
        first_failed: Some("load".into()),
        eta: Some(AT),
        reason: None,
        position: HERE,
    }
}

fn task_run_view() -> TaskRunView {
    TaskRunView {
        id: name("load"),
        item: Some(1),
        state: "failed".into(),
        attempt: 2,
        worker: Some(name("w1")),
        exit_code: Some(-1),
        signal: None,
        error: Some("exit code 1".into()),
        ready_at: Some(AT),
        started_at: Some(AT),
        finished_at: Some(AT),
        outputs: BTreeMap::from([("rows".into(), json!(7))]),
        reason: Some("waits for a worker (R301)".into()),
    }
}

fn worker_view() -> WorkerView {
    WorkerView {
        name: name("w1"),
        incarnation: 4,
        state: "up".into(),
        groups: vec![name("default")],
        slots: 8,
        slots_used: 3,
        cpu_percent: 12.3,
        load1: 0.7,
        memory_used: 1 << 30,
        memory_total: 1 << 34,
        version: "0.1.0".into(),
        host: "host-1".into(),
        seen_at: Some(AT),
        seen_by: Some("n2".into()),
        running: 3,
        ordered: Some(OrderView { order: WorkerOrder::Cordon, by: "li".into(), since: AT }),
    }
}

#[test]
fn responses_to_commands() {
    let applied = Response::Applied { name: daily(), version: 3, changed: true, position: HERE };
    let value = check_response("applied", &applied);
    assert_eq!(value["position"], "2:812338");
    assert_eq!(value["name"], json!({"namespace": "retail", "name": "daily"}));
    let value = check_response("started", &Response::Started { run: RUN, existing: false, position: HERE });
    assert_eq!(value, json!({"run": RUN_TEXT, "existing": false, "position": "2:812338"}));
    check_response("accepted", &Response::Accepted { run: RUN, state: "cancelling".into(), position: HERE });
    let problem =
        Problem::new(ProblemKind::NotFound, "H1001", "no such run").hint("hortator ps").param("run", "x");
    let value = check_response("problem", &Response::Problem(problem));
    assert_eq!((&value["kind"], &value["params"]), (&json!("not_found"), &json!({"run": "x"})));
}

#[test]
fn responses_about_workflows_and_runs() {
    check_response("workflows", &Response::Workflows(vec![workflow_view()]));
    let detail = WorkflowDetail {
        view: workflow_view(),
        latest: 4,
        hash: "abc".into(),
        source: "name: daily\n".into(),
        live: vec![RUN],
    };
    let value = check_response("workflow", &Response::Workflow(Box::new(detail)));
    assert_eq!((&value["version"], &value["latest"]), (&json!(3), &json!(4)));
    let class = || "3f2a".to_owned();
    let durations = DurationsView {
        namespace: name("retail"),
        workflow: name("daily"),
        classes: vec![WorkerClassView { class: class(), workers: 2, has: Amounts::slots(4) }],
        tasks: vec![DurationView {
            task: name("load"),
            class: class(),
            samples: 32,
            p50_s: 1.5,
            p95_s: 60.0,
            last_seen: AT,
        }],
    };
    let value = check_response("durations", &Response::Durations(durations));
    assert_eq!(value["tasks"][0]["last_seen"], json!(AT_TEXT));
    check_response("runs", &Response::Runs(vec![run_view()]));
    let value = check_response("run", &Response::Run(Box::new(run_view())));
    assert_eq!(
        (&value["id"], &value["created_at"], &value["finished_at"], &value["priority"]),
        (&json!(RUN_TEXT), &json!(AT_TEXT), &Value::Null, &json!("normal"))
    );
}

#[test]
fn responses_about_task_runs() {
    let next = Some(TaskKey { task: 5, item: 0 });
    check_response("task_runs", &Response::TaskRuns { tasks: vec![task_run_view()], next, position: HERE });
    let attempt = AttemptView {
        attempt: 1,
        state: "failed".into(),
        worker: name("w1"),
        exit_code: None,
        signal: Some(9),
        error: Some("ended by signal 9".into()),
        started_at: Some(AT),
        finished_at: None,
    };
    let detail = TaskRunDetail {
        view: task_run_view(),
        key: TaskKey { task: 4, item: 1 },
        namespace: name("retail"),
        workflow: name("daily"),
        last: true,
        attempts: vec![attempt],
    };
    let value = check_response("task_run", &Response::TaskRun(Box::new(detail)));
    assert_eq!((&value["id"], &value["key"]), (&json!("load"), &json!({"task": 4, "item": 1})));
}

#[test]
fn responses_about_schedules() {
    let upcoming = Upcoming {
        at: AT,
        wall: "2026-03-29T03:00:00+02:00".into(),
        clock_change: Some(ClockChange::AfterGap),
    };
    let last = LastFire { nominal: AT, at: AT, run: RUN };
    let view = ScheduleView {
        namespace: name("retail"),
        workflow: name("daily"),
        id: name("nightly"),
        timing: Timing::Cron { expression: "30 2 * * *".into(), zone: "Europe/Paris".into() },
        catch_up: CatchUp::All { max: 3 },
        overlap: Overlap::CancelOldest,
        state: "off".into(),
        switched_off: Some(SwitchedOff { by: "li".into(), since: AT }),
        next: Some(upcoming.clone()),
        last: Some(last),
        generation: 2,
        since: AT,
        position: HERE,
    };
    let value = check_response("schedule", &Response::Schedule(Box::new(view.clone())));
    assert_eq!(value["overlap"], "cancel_oldest");
    check_response("schedules", &Response::Schedules(vec![view.clone()]));
    check_response("schedule_next", &Response::ScheduleNext(vec![upcoming]));
    let why = PassedOver::Missed;
    let event = ScheduleEvent::PassedOver { first: AT, last: AT, count: 1, why, next: None };
    let lines = vec![ScheduleLine { at: AT, generation: 2, event, run: None }];
    let history = ScheduleHistory { lines: lines.clone(), next: Some(AT), position: HERE };
    let value = check_response("schedule_history", &Response::ScheduleHistory(history));
    assert_eq!(value["lines"][0]["event"]["event"], "passed_over");
    let reasons = vec![Reason::NotBefore { time: AT }];
    let answer = "it fires next then".into();
    let explain = ScheduleExplain { schedule: view, at: None, answer, reasons, lines, position: HERE };
    check_response("schedule_explain", &Response::ScheduleExplain(Box::new(explain)));
}

#[test]
fn responses_about_events_and_reasons() {
    let events = vec![Event::RunStarted, Event::RunFinished { outcome: RunOutcome::Failed }];
    let entries = vec![EventEntry { position: HERE, at: AT, events }];
    let value = check_response("events", &Response::Events { entries, last: true, position: HERE });
    assert_eq!(value["entries"][0]["events"][1], json!({"event": "run_finished", "outcome": "failed"}));
    let reason = Reason::GroupEmpty { group: name("etl"), last_seen: None, similar: vec![name("etl-2")] };
    let task = TaskExplain {
        id: name("load"),
        item: None,
        state: "ready".into(),
        since: Some(AT),
        reasons: vec![reason.clone()],
    };
    let explain = ExplainView {
        run: RUN,
        run_state: "running".into(),
        run_reasons: vec![reason],
        tasks: vec![task],
        more: 3,
        eta: Some(AT),
        position: HERE,
    };
    let value = check_response("explain", &Response::Explain(explain));
    assert_eq!(value["tasks"][0]["reasons"][0]["code"], "R303");
}

#[test]
fn responses_about_the_cluster() {
    check_response("workers", &Response::Workers(vec![worker_view()]));
    let load = MasterLoadView {
        id: 1,
        fit: true,
        cpu_percent: 3.5,
        leads: vec![1, 3],
        workers: 5,
        runs: 7,
        proposals_per_second: 90,
        clock_ahead_us: -40,
    };
    let next = Some(MoveView { shard: 3, from: 1, to: 2 });
    let balance = BalanceView {
        masters: vec![load],
        next,
        why_not: None,
        moves: vec![MoveView { shard: 3, from: 1, to: 2 }],
    };
    let value = check_response("balance", &Response::Balance(balance));
    assert_eq!(value["next"], json!({"shard": 3, "from": 1, "to": 2}));
    let master = MasterView { id: 1, name: "m1".into(), state: "up".into(), leads: vec![0, 2], lag: 0 };
    let group =
        GroupView { group: 2, term: 5, leader: Some(1), commit: 9, applied: 8, voters: vec![1, 2, 3] };
    let status = StatusView {
        cluster: "c1".into(),
        verdict: "available".into(),
        sentence: "All is well.".into(),
        masters: vec![master],
        groups: vec![group],
        workers: vec![worker_view()],
        relayed: vec![RelayedView { from: "n1".into(), to: "w1".into(), via: "n2".into() }],
        faults: Vec::new(),
        runs_live: 1,
        runs_queued: 2,
        tasks_active: 3,
    };
    let token = TokenView {
        name: name("ci"),
        role: hortator_core::access::Role::Viewer,
        state: "valid".into(),
        created_at: AT,
        expires_at: None,
    };
    let settings = SettingsView {
        leases: hortator_core::lease::Leases::Kept(hortator_core::lease::DEFAULT_TERMS),
        in_force: hortator_core::lease::Leases::NotKept,
        nobody_lost_before: hortator_core::time::Span(13_000_000),
        history: DEFAULT_RULE,
    };
    check_response("settings", &Response::Settings(settings));
    let detail = MasterDetail {
        id: 1,
        name: name("n1"),
        state: "member".into(),
        peer: "h1:7401".into(),
        worker: "h1:7402".into(),
        api: "h1:7400".into(),
        added_at: AT,
    };
    check_response("masters", &Response::Masters(vec![detail.clone()]));
    let welcome = Welcome {
        node: hortator_core::cluster::JoinedAs::Master { id: 4 },
        cluster: "00".repeat(16),
        generation: 1,
        shards: 4,
        masters: vec![detail],
    };
    check_response("redeemed", &Response::Redeemed(Box::new(welcome)));
    check_response("tokens", &Response::Tokens(vec![token]));
    check_response("changed", &Response::Changed { name: "ci".into(), changed: true });
    check_placement();
    check_response("position", &Response::Position(HERE));
    check_response("status", &Response::Status(Box::new(status)));
}

fn check_placement() {
    use hortator_core::dispatch::{Amounts, Metric, Policy, Resource, Verdict};
    let group = WorkerGroupView {
        name: name("etl"),
        policy: Policy::LeastLoaded,
        ageing: Some(hortator_core::time::Span(60_000_000)),
        slow_start: hortator_core::time::Span(0),
        thresholds: [(Metric::MemoryPercent, 95.0)].into(),
        workers: 2,
        slots: 16,
        slots_used: 3,
        waiting: 5,
        wanted: Amounts::slots(20).with(Resource::Gpu, 6),
        wanted_workers: Some(3),
        wanted_by: Some("gpu".into()),
        oldest: Some(AT),
        blocked: vec![BlockedView { code: "R301".into(), count: 5 }],
    };
    check_response("worker_groups", &Response::WorkerGroups(vec![group]));
    let used = Amounts::slots(3).with(Resource::Gpu, 1);
    let quota =
        QuotaView { namespace: name("retail"), most: [("gpu".to_owned(), 2)].into(), used: used.clone() };
    check_response("quotas", &Response::Quotas(vec![quota]));
    let view = LimitView {
        namespace: name("retail"),
        name: name("db"),
        max: Some(3),
        used: 2,
        holders: 1,
        waiters: 0,
        by: Some("li".into()),
        set_at: Some(AT),
    };
    check_response("limits", &Response::Limits(vec![view.clone()]));
    let holder = LimitUser {
        run: RUN,
        key: TaskKey { task: 1, item: 0 },
        workflow: Some(name("daily")),
        task: Some(name("load")),
        weight: 2,
        since: Some(AT),
    };
    let detail = LimitDetail { view, holders: vec![holder], waiters: Vec::new() };
    check_response("limit", &Response::Limit(Box::new(detail)));
    let verdict = Verdict::Chosen { score: 1.25, next_best: Some(1.5), candidates: 2 };
    let choice = ChoiceView { at: AT, run: RUN, task: TaskKey { task: 1, item: 0 }, verdict };
    let why = WorkerWhyView {
        name: name("w1"),
        total: Amounts::slots(8),
        reserved: used.clone(),
        free: used,
        attempts: 1,
        grants: 0,
        slowness: 1.0,
        choices: vec![choice],
    };
    check_response("what_if", &Response::WhatIf(WhatIfView::Starts { worker: name("w1") }));
    check_response("worker_why", &Response::WorkerWhy(Box::new(why)));
    let reason = Reason::GroupUnknown { group: name("etl"), groups: Vec::new(), similar: Vec::new() };
    check_response("placeable", &Response::Placeable(vec![Vec::new(), vec![reason]]));
}

/// A problem of a master that has no parameters to tell yet.
#[test]
fn params_of_a_problem_may_be_absent() {
    let text = r#"{"code": "H1001", "kind": "busy", "detail": "later", "hint": null}"#;
    let problem: Problem = serde_json::from_str(text).unwrap();
    assert_eq!(problem, Problem::new(ProblemKind::Busy, "H1001", "later"));
}

/// A response is one of the above; a new one has to be added there and here.
#[test]
fn every_response_is_checked() {
    fn checked(response: &Response) {
        match response {
            Response::Applied { .. }
            | Response::Started { .. }
            | Response::Accepted { .. }
            | Response::Problem(_) => {}
            Response::Schedules(_) | Response::Schedule(_) | Response::ScheduleNext(_) => {}
            Response::ScheduleHistory(_) | Response::ScheduleExplain(_) => {}
            Response::Workflows(_) | Response::Workflow(_) | Response::Durations(_) => {}
            Response::Runs(_) | Response::Run(_) => {}
            Response::TaskRuns { .. } | Response::TaskRun(_) => {}
            Response::Events { .. }
            | Response::Explain(_)
            | Response::Workers(_)
            | Response::WorkerGroups(_)
            | Response::Quotas(_)
            | Response::Limits(_)
            | Response::Limit(_)
            | Response::WorkerWhy(_)
            | Response::Placeable(_)
            | Response::WhatIf(_)
            | Response::Balance(_)
            | Response::Status(_) => {}
            Response::Masters(_) | Response::Redeemed(_) | Response::Position(_) => {}
            Response::Tokens(_) | Response::Settings(_) | Response::Changed { .. } => {}
        }
    }
    checked(&Response::Workers(Vec::new()));
}
