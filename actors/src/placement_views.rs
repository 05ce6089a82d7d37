//! What the Dispatcher tells clients of its groups, quotas and choices.
//! Must not change anything.

use std::collections::BTreeMap;

use hortator_core::dispatch::stream::Exchange;
use hortator_core::dispatch::{Amounts, Change, GroupConfig, Outcome, QueueNow};
use hortator_core::id::{Name, TaskRunId, WorkerRef};
use hortator_proto::api::{
    BlockedView, ChoiceView, Problem, ProblemKind, Query, QuotaView, Response, WhatIfView, WorkerGroupView,
    WorkerWhyView,
};

use crate::dispatcher::heard::AllHeard;
use crate::worker_table::WorkerTable;

/// See the module.
pub(crate) struct PlacementViews<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) table: &'a WorkerTable,
    pub(crate) heard: &'a AllHeard,
}

impl PlacementViews<'_> {
    pub(crate) fn answer(&self, query: &Query) -> Response {
        match query {
            Query::WorkerGroups => Response::WorkerGroups(self.groups()),
            Query::Quotas => Response::Quotas(self.quotas()),
            Query::WorkerWhy { name } => match self.why(name) {
                Some(view) => Response::WorkerWhy(Box::new(view)),
                None => no_worker(name),
            },
            Query::WhatIf { run, task, imagined } => {
                let task_run = TaskRunId { run: *run, key: *task };
                self.what_if(task_run, imagined)
            }
            Query::Placeable { shapes } => {
                Response::Placeable(shapes.iter().map(|shape| self.exchange.would_wait(shape)).collect())
            }
            _ => {
                let detail = "the Dispatcher was asked what others know";
                Response::Problem(Problem::new(ProblemKind::Internal, "H9005", detail))
            }
        }
    }

    fn what_if(&self, task_run: TaskRunId, imagined: &Change) -> Response {
        Response::WhatIf(match self.exchange.what_if(task_run, imagined) {
            Some(Outcome::Starts { worker }) => WhatIfView::Starts { worker },
            Some(Outcome::Follows { behind }) => WhatIfView::Follows { behind },
            Some(Outcome::Waits { reasons }) => WhatIfView::Waits { reasons },
            Some(Outcome::Elsewhere { worker, group, groups }) => {
                WhatIfView::Elsewhere { worker, group, groups }
            }
            Some(Outcome::NoWorker { worker }) => return no_worker(&worker),
            None => WhatIfView::NotShown,
        })
    }

    /// Configured ones, those with workers, and those that something waits for.
    fn groups(&self) -> Vec<WorkerGroupView> {
        let mut queues = self.exchange.queues_now();
        let mut configs = self.table.group_configs();
        for group in queues.keys() {
            configs.entry(group.clone()).or_default();
        }
        let mut views: BTreeMap<Name, WorkerGroupView> = BTreeMap::new();
        for (name, config) in configs {
            let queue = queues.remove(&name).unwrap_or_default();
            views.insert(name.clone(), view(name, config, queue));
        }
        for row in self.table.workers.values().filter(|row| row.lost_through < row.incarnation) {
            let beat = self.heard.get(&row.name).map(|heard| &heard.heartbeat);
            let used =
                beat.filter(|beat| beat.incarnation == row.incarnation).map_or(0, |beat| beat.running_slots);
            for group in &row.profile.groups {
                let view = views.get_mut(group).expect("workers' groups have a view");
                view.workers += 1;
                view.slots += u64::from(row.profile.slots);
                view.slots_used += u64::from(used);
            }
        }
        for (group, wanted) in self.exchange.wanted() {
            if let Some(view) = views.get_mut(&group) {
                view.waiting = view.waiting.max(wanted.waiting);
                view.wanted = wanted.amounts;
                view.wanted_workers = wanted.workers.as_ref().map(|workers| workers.count);
                view.wanted_by = wanted.workers.map(|workers| workers.by.to_string());
            }
        }
        views.into_values().collect()
    }

    fn quotas(&self) -> Vec<QuotaView> {
        let view = |(namespace, most): (&Name, &hortator_core::dispatch::Quota)| QuotaView {
            namespace: namespace.clone(),
            most: most.iter().map(|(resource, most)| (resource.to_string(), *most)).collect(),
            used: self.exchange.quota_used(namespace),
        };
        self.table.quotas.iter().map(view).collect()
    }

    fn why(&self, name: &Name) -> Option<WorkerWhyView> {
        let row = self.table.get(name)?;
        let worker = WorkerRef { name: name.clone(), incarnation: row.incarnation };
        let account = self.exchange.account(&worker)?;
        let choice = |line: hortator_core::dispatch::Line| ChoiceView {
            at: line.at,
            run: line.task_run.run,
            task: line.task_run.key,
            verdict: line.verdict,
        };
        Some(WorkerWhyView {
            name: name.clone(),
            total: row.profile.total(),
            reserved: account.reserved,
            free: account.free,
            attempts: account.held,
            grants: account.granted,
            slowness: account.slowness,
            choices: self.exchange.trail(name).into_iter().map(choice).collect(),
        })
    }
}

fn no_worker(name: &Name) -> Response {
    let problem = Problem::new(ProblemKind::NotFound, "H3070", format!("there is no worker {name}"));
    Response::Problem(problem.hint("hortator worker list"))
}

fn view(name: Name, config: GroupConfig, queue: QueueNow) -> WorkerGroupView {
    let GroupConfig { policy, ageing, thresholds, slow_start } = config;
    let QueueNow { waiting, oldest, blocked } = queue;
    WorkerGroupView {
        name,
        policy,
        ageing,
        slow_start,
        thresholds: thresholds.limits().collect(),
        workers: 0,
        slots: 0,
        slots_used: 0,
        waiting,
        wanted: Amounts::default(),
        wanted_workers: None,
        wanted_by: None,
        oldest,
        blocked: blocked
            .into_iter()
            .map(|(code, count)| BlockedView { code: code.to_owned(), count })
            .collect(),
    }
}
