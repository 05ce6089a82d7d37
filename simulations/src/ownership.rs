//! Who owns what, by the rows of each shard once all is healed: nothing is there whose owner is not. Must not know how it
//! came there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hortator_core::id::{LimitName, RunId, WorkflowName};
use hortator_core::run::RunHeader;
use hortator_proto::row::key::{self, Key};
use hortator_proto::row::{decode_run, decode_start_key, decode_task};
use hortator_raft::Rows;

use crate::checkers::Violation;
use crate::world::World;

/// S19.
pub const OWNED: &str =
    "every row of a shard has its owner there, and what several rows say of a run is the same";

/// Rows read at a time.
const PAGE: usize = 1_000;
/// So many words about one shard are enough.
const WORDS_MAX: usize = 8;

/// S19 for every shard, by the replica that has applied most.
pub fn take(world: &World) -> Vec<Violation> {
    let shards = world.shape().shards;
    let mut violations = Vec::new();
    for group in 1..=shards {
        let gateways = world.master_ids().into_iter().filter_map(|id| world.gateway(id));
        let most = gateways.filter_map(|gateway| gateway.rows_of(group).cloned()).max_by_key(Rows::applied);
        let Some(rows) = most.as_ref().and_then(read) else { continue };
        let words = Shard::of(&rows).judge(group, shards);
        violations.extend(words.into_iter().take(WORDS_MAX).map(|words| Violation {
            checker: "S19",
            promise: OWNED,
            detail: format!("shard {group}: {words}"),
        }));
    }
    violations
}

/// None when the file is closed for the moment.
fn read(rows: &Rows) -> Option<Vec<(Bytes, Bytes)>> {
    let view = rows.read().ok()?;
    let (mut all, mut from) = (Vec::new(), Bytes::new());
    loop {
        let page = view.scan(&from, &[], PAGE, false).ok()?;
        let full = page.len() == PAGE;
        all.extend(page.into_iter().map(|(key, stored)| (key, stored.value)));
        match all.last() {
            Some((key, _)) if full => from = [&key[..], &[0]].concat().into(),
            _ => return Some(all),
        }
    }
}

/// What the rows name, and where they name it.
#[derive(Debug, Default)]
struct Shard {
    workflows: BTreeSet<WorkflowName>,
    runs: BTreeMap<RunId, RunHeader>,
    listed: BTreeMap<RunId, WorkflowName>,
    live: BTreeSet<RunId>,
    going: BTreeSet<RunId>,
    /// Runs of which anything is told: task runs, history.
    told: BTreeSet<RunId>,
    /// Runs with an attempt that has not ended.
    busy: BTreeSet<RunId>,
    keys: BTreeMap<(WorkflowName, String), RunId>,
    /// Workflows that anything else is about.
    owners: BTreeSet<WorkflowName>,
    /// Limits that are at home here, or held.
    limits: BTreeSet<LimitName>,
    /// Runs of which a task run wants a limit.
    wanting: BTreeSet<RunId>,
    unreadable: Vec<String>,
}

impl Shard {
    fn of(rows: &[(Bytes, Bytes)]) -> Shard {
        let mut shard = Shard::default();
        for (key, value) in rows {
            if shard.take(key, value).is_none() {
                shard.unreadable.push(format!("row {:?} cannot be read", String::from_utf8_lossy(key)));
            }
        }
        shard
    }

    fn take(&mut self, key: &Bytes, value: &Bytes) -> Option<()> {
        match key::parse(key)? {
            Key::Workflow(name) => drop(self.workflows.insert(name)),
            Key::Version { workflow, .. }
            | Key::SourceChunk { workflow, .. }
            | Key::CanonicalChunk { workflow, .. }
            | Key::Schedule { workflow, .. }
            | Key::ScheduleLine { workflow, .. } => drop(self.owners.insert(workflow)),
            Key::StartKey { workflow, key } => {
                self.keys.insert((workflow, key), decode_start_key(value).ok()?.run);
            }
            Key::RunOfWorkflow { workflow, run } => drop(self.listed.insert(run, workflow)),
            Key::Run(run) => drop(self.runs.insert(run, decode_run(value).ok()?)),
            Key::LiveRun(run) => drop(self.live.insert(run)),
            Key::DeletedRun(run) => drop(self.going.insert(run)),
            Key::TaskRun(id) => {
                self.told.insert(id.run);
                if decode_task(value).ok()?.attempt().is_some() {
                    self.busy.insert(id.run);
                }
            }
            Key::Learned(workflow) => drop(self.owners.insert(workflow)),
            Key::Limit(limit) | Key::Hold { limit, .. } => drop(self.limits.insert(limit)),
            Key::Want { task_run, .. } => drop(self.wanting.insert(task_run.run)),
            Key::EarlierAttempt(id) => drop(self.told.insert(id.task_run.run)),
            Key::History { run, .. } => drop(self.told.insert(run)),
            // Of the membership group.
            Key::Worker(_)
            | Key::Cluster
            | Key::Token(_)
            | Key::Settings
            | Key::Master(_)
            | Key::JoinToken(_)
            | Key::Authority
            | Key::WorkerGroup(_)
            | Key::Quota(_) => return None,
        }
        Some(())
    }

    fn judge(&self, group: u32, shards: u32) -> Vec<String> {
        let mut wrong = self.unreadable.clone();
        let workflows = self.runs.values().map(|header| &header.workflow).chain(&self.owners);
        for name in workflows.collect::<BTreeSet<_>>() {
            if !self.workflows.contains(name) {
                wrong.push(format!("something belongs to workflow {name}, which is not there"));
            }
        }
        for name in self.workflows.iter().filter(|name| name.shard(shards) != group) {
            wrong.push(format!("workflow {name} belongs to shard {}", name.shard(shards)));
        }
        for name in self.limits.iter().filter(|name| name.shard(shards) != group) {
            wrong.push(format!("limit {name} belongs to shard {}", name.shard(shards)));
        }
        for run in self.wanting.iter().filter(|run| !self.live.contains(run)) {
            wrong.push(format!("run {run} is not live, and a task run of it wants a limit"));
        }
        for (run, header) in &self.runs {
            if self.listed.get(run) != Some(&header.workflow) {
                wrong.push(format!("run {run} is not among those of {}", header.workflow));
            }
            if run.shard() != group {
                wrong.push(format!("run {run} belongs to shard {}", run.shard()));
            }
            if header.is_live() && !self.live.contains(run) {
                wrong.push(format!("run {run} is live, and no leader will find it"));
            }
            if !header.is_live() && self.busy.contains(run) {
                wrong.push(format!("run {run} is over, and an attempt of it is not"));
            }
            let key = header.key.as_ref().map(|key| self.keys.get(&(header.workflow.clone(), key.clone())));
            if key.is_some_and(|kept| kept != Some(run)) {
                wrong.push(format!("the key of run {run} is not its own"));
            }
        }
        let gone = |run: &&RunId| !self.runs.contains_key(run);
        let named = self.listed.keys().chain(&self.live).chain(self.keys.values());
        wrong.extend(named.filter(gone).map(|run| format!("run {run} is named and is not there")));
        let left = self.told.iter().filter(gone).filter(|run| !self.going.contains(run));
        wrong.extend(left.map(|run| format!("run {run} is gone, and rows of it stay")));
        wrong
    }
}

#[cfg(test)]
mod tests;
