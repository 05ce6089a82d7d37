//! Each request as JSON and back, with the names that clients write.

use std::collections::BTreeMap;

use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::{JoinRole, Joiner};
use hortator_core::definition::Priority;
use hortator_core::id::TaskKey;
use hortator_core::time::Span;
use serde_json::json;

use super::api::{AT, RUN, check_names, daily, name};
use crate::api::{
    Command, GroupChange, Query, Request, RunFilter, ScheduleSwitch, SettingsChange, TaskSelector,
    WorkerOrder,
};

/// `word`: the variant as clients write it.
fn check_request(word: &str, request: &Request) {
    let value = serde_json::to_value(request).unwrap();
    let inner = value.get("command").or_else(|| value.get("query")).unwrap();
    let found = inner.as_str().or_else(|| inner.as_object()?.keys().next().map(String::as_str));
    assert_eq!(found, Some(word));
    check_names(&value);
    let text = serde_json::to_string(request).unwrap();
    assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), *request, "{text}");
}

#[test]
fn commands() {
    let by = || "ann".to_owned();
    let text = |text: &str| text.to_owned();
    for command in [
        Command::Apply {
            name: daily(),
            source: text("name: daily"),
            canonical: text("{}"),
            hash: text("abc"),
            if_version: Some(3),
            by: by(),
        },
        Command::Start {
            workflow: daily(),
            version: None,
            inputs: BTreeMap::from([
                ("day".into(), json!("2026-11-20")),
                ("deep".into(), json!({"a": [1.5, null]})),
            ]),
            priority: Some(Priority::High),
            key: Some(text("k1")),
            by: by(),
        },
        Command::Cancel { run: RUN, reason: None, by: by() },
        Command::RetryFailed { run: RUN, by: by() },
        Command::ScheduleTrigger { workflow: daily(), schedule: name("nightly"), key: None, by: by() },
        Command::ScheduleSwitch {
            workflow: daily(),
            schedule: name("nightly"),
            to: ScheduleSwitch::Off,
            by: by(),
        },
        Command::TokenCreate {
            name: name("ci"),
            hash: SecretHash([7; 32]),
            role: Role::Operator,
            valid_for: Some(Span(3_600_000_000)),
        },
        Command::TokenRevoke { name: name("ci") },
        Command::OrderWorker { name: name("w1"), order: WorkerOrder::Drain, by: "li".into() },
        Command::ChangeSettings {
            change: SettingsChange {
                worker_lease: Some(Span(20_000_000)),
                history_keep_runs: Some(50),
                ..SettingsChange::default()
            },
            by: "li".into(),
        },
        Command::SetGroup {
            name: name("etl"),
            change: GroupChange {
                policy: Some(hortator_core::dispatch::Policy::BinPack),
                thresholds: [(hortator_core::dispatch::Metric::CpuPercent, 90.0)].into(),
                ..GroupChange::default()
            },
            by: "li".into(),
        },
        Command::DeleteGroup { name: name("etl"), by: text("li") },
        Command::SetQuota {
            namespace: name("retail"),
            change: [("gpu".to_owned(), Some(2)), ("cpu".to_owned(), None)].into(),
            by: "li".into(),
        },
        Command::SetLimit { name: warehouse_db(), max: 5, by: text("li") },
        Command::DeleteLimit { name: warehouse_db(), by: text("li") },
        Command::JoinTokenCreate {
            id: text("t1"),
            hash: SecretHash([7; 32]),
            role: JoinRole::Master { name: name("n4") },
            valid_for: Span(1),
        },
        Command::Redeem {
            token: text("t1"),
            hash: SecretHash([7; 32]),
            key: SecretHash([8; 32]),
            joiner: Joiner::Worker { name: name("w1") },
        },
        Command::MasterRemove { id: 2 },
        Command::MasterMove { id: 2, peer: text("h:1"), worker: text("h:2"), api: text("h:3") },
    ] {
        let word = match &command {
            Command::Apply { .. } => "apply",
            Command::Start { .. } => "start",
            Command::Cancel { .. } => "cancel",
            Command::RetryFailed { .. } => "retry_failed",
            Command::ScheduleTrigger { .. } => "schedule_trigger",
            Command::ScheduleSwitch { .. } => "schedule_switch",
            Command::TokenCreate { .. } => "token_create",
            Command::TokenRevoke { .. } => "token_revoke",
            Command::OrderWorker { .. } => "order_worker",
            Command::ChangeSettings { .. } => "change_settings",
            Command::SetGroup { .. } => "set_group",
            Command::DeleteGroup { .. } => "delete_group",
            Command::SetQuota { .. } => "set_quota",
            Command::SetLimit { .. } => "set_limit",
            Command::DeleteLimit { .. } => "delete_limit",
            Command::JoinTokenCreate { .. } => "join_token_create",
            Command::Redeem { .. } => "redeem",
            Command::MasterRemove { .. } => "master_remove",
            Command::MasterMove { .. } => "master_move",
        };
        check_request(word, &Request::Command(command));
    }
}

fn warehouse_db() -> hortator_core::id::LimitName {
    hortator_core::id::LimitName { namespace: name("retail"), name: name("warehouse-db") }
}

#[test]
fn queries() {
    let filter = RunFilter {
        states: vec!["running".into()],
        workflow: Some(daily()),
        namespace: None,
        since: Some(AT),
    };
    let task = || TaskSelector { task: name("load"), item: Some(2) };
    for query in [
        Query::Workflows { namespace: Some(name("retail")), after: Some(daily()), limit: 10 },
        Query::Workflow { name: daily(), version: Some(2) },
        Query::Durations { name: daily() },
        Query::Runs { filter, before: Some(RUN), limit: 10 },
        Query::Run { run: RUN },
        Query::NthRun { workflow: daily(), back: 1 },
        Query::TaskRuns {
            run: RUN,
            states: vec!["failed".into()],
            after: Some(TaskKey { task: 1, item: 0 }),
            limit: 5,
        },
        Query::TaskRun { run: RUN, task: task() },
        Query::Events { run: RUN, after: 7, limit: 5 },
        Query::Explain { run: RUN, task: Some(task()) },
        Query::Schedules { namespace: None, after: Some((daily(), name("nightly"))), limit: 10 },
        Query::Schedule { workflow: daily(), schedule: name("nightly") },
        Query::ScheduleNext { workflow: daily(), schedule: name("nightly"), count: 3 },
        Query::ScheduleHistory { workflow: daily(), schedule: name("nightly"), before: Some(AT), limit: 3 },
        Query::ExplainSchedule { workflow: daily(), schedule: name("nightly"), at: Some(AT) },
        Query::Limits { namespace: Some(name("retail")), after: Some(warehouse_db()), limit: 10 },
        Query::Limit { name: warehouse_db() },
        Query::Workers,
        Query::WorkerGroups,
        Query::Quotas,
        Query::WorkerWhy { name: name("w1") },
        Query::WhatIf {
            run: RUN,
            task: TaskKey { task: 1, item: 0 },
            imagined: hortator_core::dispatch::Change { any_zone: true, ..Default::default() },
        },
        Query::Placeable {
            shapes: vec![hortator_core::dispatch::Shape::of_slots(
                name("etl"),
                name("retail"),
                hortator_core::dispatch::KindTag::Shell,
                2,
            )],
        },
        Query::Balance,
        Query::Status,
        Query::Tokens,
        Query::Settings,
        Query::Masters,
        Query::Position { group: 2 },
    ] {
        let word = match &query {
            Query::Workflows { .. } => "workflows",
            Query::Workflow { .. } => "workflow",
            Query::Durations { .. } => "durations",
            Query::Runs { .. } => "runs",
            Query::Run { .. } => "run",
            Query::NthRun { .. } => "nth_run",
            Query::TaskRuns { .. } => "task_runs",
            Query::TaskRun { .. } => "task_run",
            Query::Events { .. } => "events",
            Query::Explain { .. } => "explain",
            Query::Schedules { .. } => "schedules",
            Query::Schedule { .. } => "schedule",
            Query::ScheduleNext { .. } => "schedule_next",
            Query::ScheduleHistory { .. } => "schedule_history",
            Query::ExplainSchedule { .. } => "explain_schedule",
            Query::Limits { .. } => "limits",
            Query::Limit { .. } => "limit",
            Query::Workers => "workers",
            Query::WorkerGroups => "worker_groups",
            Query::Quotas => "quotas",
            Query::WorkerWhy { .. } => "worker_why",
            Query::Placeable { .. } => "placeable",
            Query::WhatIf { .. } => "what_if",
            Query::Balance => "balance",
            Query::Status => "status",
            Query::Tokens => "tokens",
            Query::Settings => "settings",
            Query::Masters => "masters",
            Query::Position { .. } => "position",
        };
        check_request(word, &Request::Query(query));
    }
}
