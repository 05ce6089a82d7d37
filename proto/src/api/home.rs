//! Which master answers a request. Must not know how it gets there.

use super::{Command, Query, Request};

/// Who answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// The master that is asked, leader or not.
    Here,
    /// The leader of the membership group.
    Membership,
    Shard(u32),
    /// Every shard; the answers are merged.
    EveryShard,
}

impl Request {
    pub fn home(&self, shards: u32) -> Home {
        match self {
            Request::Command(Command::Apply { name, .. }) => Home::Shard(name.shard(shards)),
            Request::Command(
                Command::Start { workflow, .. }
                | Command::ScheduleTrigger { workflow, .. }
                | Command::ScheduleSwitch { workflow, .. },
            ) => Home::Shard(workflow.shard(shards)),
            Request::Command(Command::Cancel { run, .. } | Command::RetryFailed { run, .. }) => {
                Home::Shard(run.shard())
            }
            Request::Command(Command::SetLimit { name, .. } | Command::DeleteLimit { name, .. })
            | Request::Query(Query::Limit { name }) => Home::Shard(name.shard(shards)),
            Request::Query(Query::Limits { .. }) => Home::EveryShard,
            Request::Query(Query::Workflow { name, .. } | Query::Durations { name }) => {
                Home::Shard(name.shard(shards))
            }
            Request::Query(
                Query::NthRun { workflow, .. }
                | Query::Schedule { workflow, .. }
                | Query::ScheduleNext { workflow, .. }
                | Query::ScheduleHistory { workflow, .. }
                | Query::ExplainSchedule { workflow, .. },
            ) => Home::Shard(workflow.shard(shards)),
            Request::Query(
                Query::Run { run }
                | Query::TaskRuns { run, .. }
                | Query::TaskRun { run, .. }
                | Query::Events { run, .. }
                | Query::Explain { run, .. },
            ) => Home::Shard(run.shard()),
            Request::Query(Query::Workflows { .. } | Query::Runs { .. } | Query::Schedules { .. }) => {
                Home::EveryShard
            }
            Request::Query(Query::Status) => Home::Here,
            Request::Query(Query::Position { group: 0 }) => Home::Membership,
            Request::Query(Query::Position { group }) => Home::Shard(*group),
            Request::Command(
                Command::TokenCreate { .. }
                | Command::TokenRevoke { .. }
                | Command::JoinTokenCreate { .. }
                | Command::Redeem { .. }
                | Command::MasterRemove { .. }
                | Command::MasterMove { .. },
            )
            | Request::Query(Query::Tokens | Query::Masters | Query::Workers | Query::Balance) => {
                Home::Membership
            }
            Request::Command(
                Command::OrderWorker { .. }
                | Command::ChangeSettings { .. }
                | Command::SetGroup { .. }
                | Command::DeleteGroup { .. }
                | Command::SetQuota { .. },
            )
            | Request::Query(
                Query::Settings
                | Query::WorkerGroups
                | Query::Quotas
                | Query::WorkerWhy { .. }
                | Query::Placeable { .. }
                | Query::WhatIf { .. },
            ) => Home::Membership,
        }
    }
}
