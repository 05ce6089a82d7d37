//! Faults in a plan: which lines of a scenario can hit a planned cluster, and what they did, against the same plan without
//! them. Must not know how faults are carried out.

use std::collections::BTreeMap;

use hortator_core::time::{Span, Timestamp};
use serde::Serialize;

use crate::evidence::Mark;
use crate::faults::{Fault, Hit, Who};
use crate::forecast::{Forecast, RunStory};
use crate::plan::Plan;

/// Why a scenario's faults would not be what they seem: a plan has its own workflows and workers, and one master.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    #[error("scenario {0} has no faults: its cluster, clients and tasks are not those of a plan")]
    NoFaults(String),
    #[error("scenario {0} loses or repeats frames all the time, which no plan does")]
    Frames(String),
    #[error(
        "scenario {scenario} does {fault} to {who}, and a plan has one master, which nobody stands in for"
    )]
    OneMaster { scenario: String, fault: String, who: String },
}

/// What faults did. Spans are in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct ChaosSums {
    pub scenario: String,
    pub faults: Vec<FaultSums>,
    /// Processes that ended with their worker.
    pub lost_attempts: usize,
    /// What follows is against the same plan without faults. Runs that did not come about.
    pub runs_fewer: i64,
    pub failed_more: i64,
    /// Runs whose first task began later by more than what counts as late.
    pub later: usize,
    /// The sum over all runs, and the most of any.
    pub start_added_s: f64,
    pub start_added_most_s: f64,
    /// The same of their ends.
    pub end_added_s: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultSums {
    #[serde(rename = "do")]
    pub fault: Fault,
    pub hits: usize,
    /// How long they held, added up.
    pub for_s: f64,
}

/// Whether all that the scenario says of faults happens in a plan.
pub fn fits(plan: &Plan) -> Result<(), Misfit> {
    let scenario = || plan.name.clone();
    if plan.astray > 0 || plan.dropped > 0 {
        return Err(Misfit::Frames(scenario()));
    }
    if plan.faults.is_empty() {
        return Err(Misfit::NoFaults(scenario()));
    }
    match plan.faults.iter().find(|line| needs_masters(line.fault, line.who)) {
        None => Ok(()),
        Some(line) => {
            let (fault, who) = (word(&line.fault), word(&line.who));
            Err(Misfit::OneMaster { scenario: scenario(), fault, who })
        }
    }
}

/// What says something only where another master goes on.
fn needs_masters(fault: Fault, who: Who) -> bool {
    let fault = matches!(
        fault,
        Fault::HandOver
            | Fault::CutPeers
            | Fault::Bridge
            | Fault::Chain
            | Fault::Grow
            | Fault::Shrink
            | Fault::Replace
            | Fault::Amnesia
            | Fault::BitRot
    );
    fault || who == Who::Follower
}

/// As scenarios write it.
fn word(value: &impl Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    word.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

impl FaultSums {
    pub fn word(&self) -> String {
        word(&self.fault)
    }
}

impl ChaosSums {
    pub fn of(scenario: &str, hits: &[Hit], chaos: &Forecast, calm: &Forecast) -> ChaosSums {
        let failed = |forecast: &Forecast| {
            forecast.runs.iter().filter(|run| run.view.state == "failed").count() as i64
        };
        let starts = added(chaos, calm, RunStory::first_start);
        let ends = added(chaos, calm, |run| run.view.finished_at);
        ChaosSums {
            scenario: scenario.to_owned(),
            faults: faults(hits),
            lost_attempts: lost_attempts(chaos),
            runs_fewer: calm.runs.len() as i64 - chaos.runs.len() as i64,
            failed_more: failed(chaos) - failed(calm),
            later: starts.iter().filter(|span| **span > chaos.late).count(),
            start_added_s: sum(&starts),
            start_added_most_s: starts.iter().max().map_or(0.0, |span| span.0 as f64 / 1e6),
            end_added_s: sum(&ends),
        }
    }
}

fn sum(spans: &[Span]) -> f64 {
    spans.iter().map(|span| span.0 as f64 / 1e6).sum()
}

fn faults(hits: &[Hit]) -> Vec<FaultSums> {
    let mut sums: BTreeMap<Fault, FaultSums> = BTreeMap::new();
    for hit in hits.iter().filter(|hit| !hit.who.is_empty()) {
        let sum = sums.entry(hit.fault).or_insert(FaultSums { fault: hit.fault, hits: 0, for_s: 0.0 });
        sum.hits += 1;
        sum.for_s += hit.lasts.0 as f64 / 1e6;
    }
    sums.into_values().collect()
}

/// Those of which only the beginning is known, or a last sign of life when their host killed them.
fn lost_attempts(forecast: &Forecast) -> usize {
    let mut begun = BTreeMap::new();
    for line in &forecast.ledger {
        let lost = line.mark != Mark::End;
        begun.insert((&line.key, line.attempt, line.worker.as_str()), lost);
    }
    begun.into_values().filter(|lost| *lost).count()
}

/// By how much each run's moment came later. Of a workflow that ran as often, the first is compared with the first.
fn added(chaos: &Forecast, calm: &Forecast, moment: impl Fn(&RunStory) -> Option<Timestamp>) -> Vec<Span> {
    let (chaos, calm) = (by_workflow(chaos), by_workflow(calm));
    let mut added = Vec::new();
    for (workflow, runs) in chaos {
        let Some(usual) = calm.get(&workflow).filter(|usual| usual.len() == runs.len()) else { continue };
        let pairs = runs.iter().zip(usual).filter_map(|(run, usual)| Some((moment(run)?, moment(usual)?)));
        added.extend(pairs.map(|(later, earlier)| later.since(earlier)));
    }
    added
}

fn by_workflow(forecast: &Forecast) -> BTreeMap<String, Vec<&RunStory>> {
    let mut runs: BTreeMap<String, Vec<&RunStory>> = BTreeMap::new();
    for run in &forecast.runs {
        runs.entry(run.definition.name.to_string()).or_default().push(run);
    }
    runs
}
