//! Collects what the checkers look at, from a cluster that has had its time to recover.

use std::collections::BTreeMap;

use hortator_core::event::Event;
use hortator_core::id::RunId;
use hortator_proto::api::RunView;
use hortator_simulations::evidence::{Delivery, Evidence, RunEvidence, TaskShape};

use super::Error;
use super::cluster::Cluster;
use super::plan::Tasks;
use super::workload::{Kind, Workload, workflows};
use crate::api::body::{EventsPage, Page};
use crate::cli::client::Call;
use crate::cli::error::Error as CallError;

/// Runs and history entries of one page.
const PAGE: u32 = 500;

/// Everything there is.
pub(super) async fn gather(
    cluster: &Cluster,
    workload: &Workload,
    tasks: Tasks,
    shards: u32,
) -> Result<Evidence, Error> {
    let mut runs = BTreeMap::new();
    for &kind in Kind::of(tasks) {
        for workflow in workflows(kind, shards) {
            for view in list(cluster, workflow.name.as_str()).await? {
                runs.insert(view.id, run(cluster, kind, view).await?);
            }
        }
    }
    let told = workload.told();
    Ok(Evidence {
        starts: told.starts.clone(),
        cancels: Vec::new(),
        retries: Vec::new(),
        ledger: cluster.ledger.read()?,
        runs,
        seen_succeeded: told.seen_succeeded.clone(),
        kept: Vec::new(),
        begun: Vec::new(),
        followed: Vec::new(),
        limits: BTreeMap::new(),
        settled: BTreeMap::new(),
        has: BTreeMap::new(),
        schedules: Vec::new(),
    })
}

async fn list(cluster: &Cluster, workflow: &str) -> Result<Vec<RunView>, CallError> {
    let mut views = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/runs?workflow={workflow}&limit={PAGE}{cursor}");
        let page: Page<RunView> = cluster.client.ask(Call::get(path)).await?;
        views.extend(page.items);
        match page.next {
            Some(next) => cursor = format!("&cursor={}", crate::cli::client::encode(&next)),
            None => return Ok(views),
        }
    }
}

async fn run(cluster: &Cluster, kind: Kind, view: RunView) -> Result<RunEvidence, CallError> {
    let mut history = Vec::new();
    let mut after = String::new();
    loop {
        let page = events(cluster, view.id, &after).await?;
        let full = !page.last && !page.entries.is_empty();
        after = format!("&after={}", page.next);
        history.extend(page.entries.into_iter().map(|entry| {
            let events = entry.events;
            (entry.position, hortator_core::event::HistoryEntry { at: entry.at, events })
        }));
        if !full {
            break;
        }
    }
    let key = history.iter().flat_map(|(_, entry)| &entry.events).find_map(|event| match event {
        Event::RunCreated { key, .. } => key.clone(),
        _ => None,
    });
    Ok(RunEvidence { state: view.state, key, tasks: shapes(kind), history })
}

async fn events(cluster: &Cluster, run: RunId, after: &str) -> Result<EventsPage, CallError> {
    cluster.client.ask(Call::get(format!("/runs/{run}/events?limit={PAGE}{after}"))).await
}

/// The workload's definition as the checkers need it.
fn shapes(kind: Kind) -> Vec<TaskShape> {
    let shape = |name: &str, parents: &[usize]| TaskShape {
        name: name.to_owned(),
        parents: parents.to_vec(),
        delivery: Delivery::AtLeastOnce,
        limits: Vec::new(),
        takes: BTreeMap::new(),
        only_if_odd: None,
    };
    match kind {
        Kind::Quick => return vec![shape("only", &[])],
        Kind::Long => return vec![shape("lasting", &[])],
        Kind::Ledger => {}
    }
    vec![shape("first", &[]), shape("wide", &[0]), shape("long", &[0]), shape("last", &[1, 2])]
}
