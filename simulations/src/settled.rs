//! What people set, against what the cluster says of it in the end: each answer replaces the one before, and what was never
//! answered may have come true. Then what would keep runs waiting is taken back. Must not know faults.

use std::rc::Rc;
use std::time::Duration;

use hortator_core::id::Name;
use hortator_proto::api::{Command, Query, Response, WorkerOrder};

use crate::census::ask;
use crate::checkers::Violation;
use crate::schedules::insist;
use crate::workload::{QuotaSet, Said, Subject, Workload};
use crate::world::World;

/// A healed cluster answers by then.
const PATIENCE: Duration = Duration::from_secs(30);
const THE_END: &str = "the end";
/// Limits that a world has at most.
const PAGE: u32 = 100;

/// See the module. That nobody answers, others say.
pub(crate) async fn compare(world: &Rc<World>, workload: &Workload) -> Vec<Violation> {
    let said: Vec<(Subject, Said<String>)> = {
        let told = workload.told();
        told.settings.iter().map(|(subject, said)| (subject.clone(), said.clone())).collect()
    };
    let mut lost = Vec::new();
    for (subject, said) in &said {
        let answer = ask(world, &subject.query(), PATIENCE).await;
        let Some(end) = answer.and_then(|answer| subject.read(&answer)) else { continue };
        if !said.allows(&end) {
            lost.push(format!("{subject:?} is {end:?} in the end, and clients were told {said:?}"));
        }
    }
    lost.extend(limits(world, workload).await);
    for (subject, _) in said {
        let free = match subject {
            Subject::Worker(name) => {
                Command::OrderWorker { name, order: WorkerOrder::Uncordon, by: THE_END.into() }
            }
            Subject::Quota(namespace, resource) => {
                QuotaSet { namespace, resource, most: None }.command(THE_END.into())
            }
            Subject::Switch(..) | Subject::Workflow(_) | Subject::KeptRuns => continue,
        };
        let _ = insist(world, free).await;
    }
    let promise = "an acknowledged command is never lost";
    lost.into_iter().map(|detail| Violation { checker: "S1", promise, detail }).collect()
}

async fn limits(world: &World, workload: &Workload) -> Option<String> {
    let query = Query::Limits { namespace: None, after: None, limit: PAGE };
    let Some(Response::Limits(views)) = ask(world, &query, Duration::ZERO).await else { return None };
    let told = workload.told();
    told.limits.iter().find_map(|(name, said): (&Name, &Said<u32>)| {
        let max = views.iter().find(|view| view.name == *name).and_then(|view| view.max);
        let kept = max.map_or_else(|| said.allows_none(), |max| said.allows(&max));
        (!kept).then(|| format!("limit {name} is {max:?} in the end, and clients were told {said:?}"))
    })
}
