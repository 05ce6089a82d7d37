//! What a chaos run found, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use hortator_simulations::checkers::Violation;
use serde::Serialize;

use super::faults::Done;
use super::recovery::Quantiles;

/// The outcome of a chaos run. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub plan: String,
    pub seed: u64,
    pub masters: u8,
    pub workers: u8,
    pub minutes: f64,
    pub violations: Vec<Violation>,
    pub faults: Vec<FaultCount>,
    pub injected: u64,
    pub runs_acknowledged: usize,
    pub attempts_started: usize,
    /// From a leader's loss to the next dispatch in a group that it led.
    pub recovery: Quantiles,
    /// The same from when a majority of the masters was there again.
    pub recovery_with_majority: Quantiles,
    /// From a fault of a worker to the next start of what ran there, by fault.
    pub again: BTreeMap<String, Quantiles>,
    /// By how much the terms of all groups rose together.
    pub elections: u64,
    /// Lives of workers that ended.
    pub workers_lost: u64,
    /// Cuts at whose end some path led over a third.
    pub cuts_relayed: usize,
    /// From a client's call to its answer, with the client's own repetitions.
    pub calls: Quantiles,
    pub calls_failed: u64,
    /// Where files and logs lie; removed when nothing is wrong.
    pub directory: String,
}

/// Faults of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct FaultCount {
    pub fault: String,
    pub injected: u64,
    /// Of these, how many came while runs or processes were under way.
    pub hit: u64,
}

/// `kill worker`
pub(super) fn fault_name(fault: &Done) -> String {
    format!("{} {}", word(fault.kind), word(fault.who))
}

pub(super) fn count(done: &[Done]) -> Vec<FaultCount> {
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for fault in done {
        let name = fault_name(fault);
        let (injected, hit) = counts.entry(name).or_default();
        *injected += 1;
        *hit += u64::from(fault.runs_under_way > 0 && fault.processes > 0);
    }
    counts.into_iter().map(|(fault, (injected, hit))| FaultCount { fault, injected, hit }).collect()
}

/// The word by which a plan names it.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("an enumeration of words");
    value.as_str().unwrap_or_default().to_owned()
}

impl Report {
    /// Nothing was violated, and the faults hit something.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { plan, seed, masters, workers, minutes, .. } = self;
        writeln!(f, "plan {plan}, seed {seed}: {masters} masters, {workers} workers, {minutes:.1} min")?;
        for FaultCount { fault, injected, hit } in &self.faults {
            writeln!(f, "  {fault:<24} {injected:>4} injected, {hit:>4} while work was under way")?;
        }
        let (runs, attempts) = (self.runs_acknowledged, self.attempts_started);
        writeln!(f, "  {runs} runs acknowledged, {attempts} attempts started")?;
        let quantiles = |quantiles: &Quantiles| {
            let Quantiles { count, p50_ms, p99_ms, max_ms } = quantiles;
            format!("p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, max {max_ms:.0} ms of {count}")
        };
        writeln!(f, "  fault to next dispatch: {}", quantiles(&self.recovery))?;
        writeln!(f, "  majority to next dispatch: {}", quantiles(&self.recovery_with_majority))?;
        for (fault, times) in &self.again {
            writeln!(f, "  {fault} to task again: {}", quantiles(times))?;
        }
        let (elections, lost, relayed) = (self.elections, self.workers_lost, self.cuts_relayed);
        writeln!(
            f,
            "  {elections} terms won, {lost} lives of workers ended, {relayed} cuts went over a third"
        )?;
        writeln!(f, "  calls: {}; {} failed", quantiles(&self.calls), self.calls_failed)?;
        if self.violations.is_empty() {
            return write!(f, "no violation");
        }
        writeln!(f, "{} VIOLATIONS; files and logs are in {}", self.violations.len(), self.directory)?;
        for violation in self.violations.iter().take(20) {
            writeln!(f, "  {violation}")?;
        }
        write!(f, "repeat: hortator sim process --scenario {plan} --seed {seed}")
    }
}
