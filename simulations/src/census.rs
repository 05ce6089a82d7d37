//! Looks at a world after its faults: waits until everything is over, bounded, and collects what the checkers judge. Must
//! not know what the faults were.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use hortator_core::dispatch::Resource;
use hortator_core::event::{Event, HistoryEntry};
use hortator_core::id::{Fence, Name, RunId, TaskKey};
use hortator_proto::api::{
    ProblemKind, Query, Request, Response, RunFilter, RunView, StatusView, WorkerWhyView,
};
use tokio::time::{Instant, sleep};

use crate::checkers::Violation;
use crate::evidence::{Evidence, RunEvidence, Start};
use crate::past::{Begun, Past};
use crate::schedules::{self, Looked};
use crate::workload::{Flow, LIMITS, Workload};
use crate::world::World;

/// L1: ten times the longest election timeout.
const LEADERS_MAX: Duration = Duration::from_secs(10);
/// L2: how long a healed cluster may be without anything that runs while runs are open: a lost worker is declared after
/// 13 s, and everything that it had runs again, more than once.
const ENDS_MAX: Duration = Duration::from_secs(180);
/// A lone master declares a worker lost after 310 s only.
const ENDS_WITH_ONE_MAX: Duration = Duration::from_secs(500);
/// What still runs then gets nowhere: tasks of a simulated cluster take less.
const GOES_ON_MAX: Duration = Duration::from_secs(3_600);
/// L5: until every master has applied what is committed.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(30);
/// L6: until no process and no report is left.
const DRAINED_MAX: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(250);
const PAGE: u32 = 500;

/// What is there, and what was not over in time.
#[derive(Debug)]
pub struct Census {
    pub evidence: Evidence,
    pub violations: Vec<Violation>,
}

/// See the module; call it when all is healed and clients ask for nothing new.
/// `losers`: workers of which a life was lost by silence; what their spools held may be lost with it.
/// `past`: what was judged before.
pub async fn take(
    world: &Rc<World>,
    workload: &Workload,
    looked: Looked,
    losers: &BTreeSet<Name>,
    past: &Past,
) -> Census {
    let mut violations = Vec::new();
    let mut late = |checker, promise, detail: Option<String>| {
        violations.extend(detail.map(|detail| Violation { checker, promise, detail }));
    };
    late("L1", "every group has a leader soon after the faults are over", leaders(world).await);
    late("L2", "every acknowledged run ends when there are workers enough", ends(world, workload).await);
    late("L5", "every master catches up", caught_up(world).await);
    late("L6", "with the last run the last process and the last report are gone", drained(world).await);
    late("S11", "nothing stays reserved when nothing runs any more", reserved(world).await);
    late("S11", "nobody holds or waits for a limit when nothing runs any more", limits(world).await);
    let (evidence, missing) = gather(world, workload, looked, losers, past).await;
    late("harness", "a run that proves nothing is no pass", missing);
    Census { evidence, violations }
}

/// Whether the leader itself says that there is no such run: no waiting brings it back, and the checkers will say so.
async fn is_gone(world: &World, run: RunId) -> bool {
    for id in world.master_ids() {
        let Some(gateway) = world.gateway(id) else { continue };
        if let Response::Problem(problem) = gateway.request(Request::Query(Query::Run { run })).await {
            return problem.kind == ProblemKind::NotFound;
        }
    }
    false
}

/// Asks all masters in turn until one answers.
pub(crate) async fn ask(world: &World, query: &Query, patience: Duration) -> Option<Response> {
    let began = Instant::now();
    loop {
        for id in world.master_ids() {
            let Some(gateway) = world.gateway(id) else { continue };
            match gateway.request(Request::Query(query.clone())).await {
                Response::Problem(_) => {}
                response => return Some(response),
            }
        }
        if began.elapsed() > patience {
            return None;
        }
        sleep(LOOK).await;
    }
}

/// Looks until there is nothing to say, at most so long.
async fn until_silent<F: Future<Output = Option<String>>>(
    patience: Duration,
    mut look: impl FnMut() -> F,
) -> Option<String> {
    let began = Instant::now();
    loop {
        let words = look().await?;
        if began.elapsed() > patience {
            return Some(format!("after {patience:?}: {words}"));
        }
        sleep(LOOK).await;
    }
}

pub(crate) async fn status(world: &World, id: u64) -> Option<StatusView> {
    let gateway = world.gateway(id)?;
    match gateway.request(Request::Query(Query::Status)).await {
        Response::Status(status) => Some(*status),
        _ => None,
    }
}

async fn leaders(world: &Rc<World>) -> Option<String> {
    until_silent(LEADERS_MAX, || async {
        for id in world.master_ids() {
            let Some(status) = status(world, id).await else { return Some(format!("n{id} is not up")) };
            if let Some(group) = status.groups.iter().find(|group| group.leader.is_none()) {
                return Some(format!("n{id} knows no leader of group {}", group.group));
            }
        }
        None
    })
    .await
}

async fn ends(world: &Rc<World>, workload: &Workload) -> Option<String> {
    let mut open: Vec<RunId> = {
        let told = workload.told();
        let acknowledged = told.starts.values().filter_map(|start| match start {
            Start::Acknowledged { runs, .. } => Some(runs.clone()),
            Start::Unknown => None,
        });
        acknowledged.flatten().collect()
    };
    open.sort();
    open.dedup();
    let patience = if world.shape().masters == 1 { ENDS_WITH_ONE_MAX } else { ENDS_MAX };
    let began = Instant::now();
    let (mut busy, mut lines) = (began, 0);
    loop {
        let mut still = Vec::new();
        let mut words = None;
        for run in open {
            match ask(world, &Query::Run { run }, Duration::ZERO).await {
                Some(Response::Run(view)) if view.finished_at.is_some() => {}
                Some(Response::Run(view)) => {
                    words.get_or_insert(format!("run {run} is {}", view.state));
                    still.push(run);
                }
                _ if is_gone(world, run).await => {}
                _ => {
                    words.get_or_insert(format!("nobody tells of run {run}"));
                    still.push(run);
                }
            }
        }
        open = still;
        let words = words?;
        // Tasks take as long as somebody wrote, one after the other.
        if runs_something(world) || world.ledger().length() > lines {
            (busy, lines) = (Instant::now(), world.ledger().length());
        }
        if busy.elapsed() > patience || began.elapsed() > GOES_ON_MAX {
            let (after, quiet) = (began.elapsed(), busy.elapsed());
            let (count, why) = (open.len(), why(world, open[0]).await);
            return Some(format!("after {after:?}, {quiet:?} of them quiet, {count} are open; {words}{why}"));
        }
        sleep(LOOK).await;
    }
}

fn runs_something(world: &World) -> bool {
    world.worker_names().iter().any(|name| world.host(name).is_some_and(|host| host.running() > 0))
}

/// What the cluster itself says about a run that does not end.
async fn why(world: &World, run: RunId) -> String {
    let explained = ask(world, &Query::Explain { run, task: None }, Duration::ZERO).await;
    let query = Query::TaskRuns { run, states: Vec::new(), after: None, limit: 100 };
    let tasks = match ask(world, &query, Duration::ZERO).await {
        Some(Response::TaskRuns { tasks, .. }) => {
            let open = tasks.into_iter().filter(|task| task.finished_at.is_none());
            open.map(|task| format!(" {}[{:?}] {} {:?}", task.id, task.item, task.state, task.worker))
                .collect()
        }
        _ => String::new(),
    };
    format!(";{tasks}; {explained:?}")
}

async fn caught_up(world: &Rc<World>) -> Option<String> {
    until_silent(CAUGHT_UP_MAX, || async {
        let mut seen: BTreeMap<u32, BTreeMap<u64, u64>> = BTreeMap::new();
        for id in world.master_ids() {
            let Some(status) = status(world, id).await else { return Some(format!("n{id} is not up")) };
            for group in status.groups {
                if group.applied < group.commit {
                    return Some(format!(
                        "n{id} has applied {} of {} in group {}",
                        group.applied, group.commit, group.group
                    ));
                }
                seen.entry(group.group).or_default().insert(id, group.applied);
            }
        }
        let apart = seen.iter().find(|(_, applied)| {
            let (least, most) = (applied.values().min(), applied.values().max());
            least != most
        });
        apart.map(|(group, applied)| format!("group {group} is applied up to {applied:?}"))
    })
    .await
}

async fn drained(world: &Rc<World>) -> Option<String> {
    until_silent(DRAINED_MAX, || async {
        for name in world.worker_names() {
            let Some(host) = world.host(&name) else { continue };
            let Some(agent) = world.agent(&name) else { return Some(format!("{name} is not up")) };
            let reports = agent.observe().await.map_or(0, |seen| seen.reports);
            if host.running() > 0 || reports > 0 {
                return Some(format!("{name} has {} processes and {reports} reports", host.running()));
            }
        }
        None
    })
    .await
}

/// What the Dispatcher thinks is held, after everything is over: a leak would stay until the next term.
async fn reserved(world: &Rc<World>) -> Option<String> {
    until_silent(DRAINED_MAX, || async {
        for name in world.worker_names() {
            let query = Query::WorkerWhy { name: name.clone() };
            let Some(Response::WorkerWhy(why)) = ask(world, &query, Duration::ZERO).await else {
                return Some(format!("nobody says what is reserved on {name}"));
            };
            if !why.reserved.is_zero() {
                let WorkerWhyView { reserved, attempts, grants, .. } = *why;
                return Some(format!("{reserved:?} on {name}, by {attempts} attempts and {grants} grants"));
            }
        }
        let Some(Response::Quotas(views)) = ask(world, &Query::Quotas, Duration::ZERO).await else {
            return Some("nobody says what is used of quotas".to_owned());
        };
        let left = views.into_iter().find(|view| !view.used.is_zero());
        left.map(|view| format!("{:?} in namespace {}", view.used, view.namespace))
    })
    .await
}

/// What is left of limits after everything is over: a leak would stay for ever.
async fn limits(world: &Rc<World>) -> Option<String> {
    until_silent(DRAINED_MAX, || async {
        let query = Query::Limits { namespace: None, after: None, limit: PAGE };
        let Some(Response::Limits(views)) = ask(world, &query, Duration::ZERO).await else {
            return Some("nobody lists the limits".to_owned());
        };
        let left = views.into_iter().find(|view| view.used + view.holders + view.waiters > 0);
        left.map(|view| format!("{view:?}"))
    })
    .await
}

async fn gather(
    world: &Rc<World>,
    workload: &Workload,
    looked: Looked,
    losers: &BTreeSet<Name>,
    past: &Past,
) -> (Evidence, Option<String>) {
    let (mut runs, mut settled) = (BTreeMap::new(), BTreeMap::new());
    let mut missing = None;
    for flow in workload.flows() {
        let Some(views) = list(world, flow).await else {
            missing = Some(format!("nobody lists the runs of {}", flow.definition.name));
            continue;
        };
        for view in views {
            let id = view.id;
            if past.is_settled(id) {
                settled.insert(id, view.state);
                continue;
            }
            match run(world, flow, view).await {
                Some(run) => drop(runs.insert(id, run)),
                None => missing = Some(format!("nobody tells the history of run {id}")),
            }
        }
    }
    let schedules = match schedules::gather(world, workload.flows(), looked, &runs, past).await {
        Ok(schedules) => schedules,
        Err(why) => {
            missing = Some(why);
            Vec::new()
        }
    };
    let ledger = world.ledger().lines();
    let told = workload.told();
    let evidence = Evidence {
        starts: told.starts.clone(),
        cancels: told.cancels(ledger.len()),
        retries: told.retries.iter().copied().collect(),
        ledger,
        runs,
        seen_succeeded: told.seen_succeeded.clone(),
        kept: kept(world, losers),
        begun: [past.begun.clone(), begun(world)].concat(),
        followed: told.followed.clone().into_iter().collect(),
        schedules,
        settled: past.beside(&settled, world.wall()),
        has: has(world),
        limits: LIMITS.iter().map(|(name, max)| ((*name).to_owned(), *max)).collect(),
    };
    (evidence, missing)
}

/// Nobody can wait for a host that was silent for long: its loss covers what its spool held.
fn kept(world: &World, losers: &BTreeSet<Name>) -> Vec<(RunId, TaskKey, Fence)> {
    let mut kept = Vec::new();
    let names = world.worker_names().into_iter().filter(|name| !losers.contains(name));
    for host in names.filter_map(|name| world.host(&name)) {
        let ends = host.kept().into_iter();
        kept.extend(ends.map(|(attempt, fence)| (attempt.task_run.run, attempt.task_run.key, fence)));
    }
    kept
}

pub(crate) fn begun(world: &World) -> Vec<Begun> {
    let hosts = world.worker_names().into_iter().filter_map(|name| world.host(&name));
    let all = hosts.flat_map(|host| host.begun());
    all.map(|(attempt, fence, at)| (attempt.task_run.run, attempt.task_run.key, fence, at)).collect()
}

/// Of every worker the same. Nobody counts cores where there are none.
fn has(world: &World) -> BTreeMap<String, u64> {
    let shape = world.shape();
    let all = shape.equipment.has.clone().with(Resource::Slots, u64::from(shape.slots));
    all.iter().map(|(resource, amount)| (resource.to_string(), amount)).collect()
}

async fn list(world: &World, flow: &Flow) -> Option<Vec<RunView>> {
    let mut views: Vec<RunView> = Vec::new();
    loop {
        let filter = RunFilter { workflow: Some(flow.definition.name.clone()), ..RunFilter::default() };
        let before = views.last().map(|view| view.id);
        let query = Query::Runs { filter, before, limit: PAGE };
        let Some(Response::Runs(page)) = ask(world, &query, CAUGHT_UP_MAX).await else { return None };
        let full = page.len() == PAGE as usize;
        views.extend(page);
        if !full {
            return Some(views);
        }
    }
}

async fn run(world: &World, flow: &Flow, view: RunView) -> Option<RunEvidence> {
    let mut history = Vec::new();
    let mut after = 0;
    loop {
        let query = Query::Events { run: view.id, after, limit: PAGE };
        let Some(Response::Events { entries, .. }) = ask(world, &query, CAUGHT_UP_MAX).await else {
            return None;
        };
        let full = entries.len() == PAGE as usize;
        after = entries.last().map_or(after, |entry| entry.position.index);
        let entries = entries.into_iter();
        history.extend(
            entries.map(|entry| (entry.position, HistoryEntry { at: entry.at, events: entry.events })),
        );
        if !full {
            break;
        }
    }
    let key = history.iter().flat_map(|(_, entry)| &entry.events).find_map(|event| match event {
        Event::RunCreated { key, .. } => key.clone(),
        _ => None,
    });
    Some(RunEvidence { state: view.state, key, tasks: flow.shapes.clone(), history })
}
