//! How long it took until what ran on a worker ran again, for each fault of the worker: from the fault to the next start
//! of the same task run. What did not have to run again gives no sample.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::time::Span;
use hortator_simulations::checkers::Violation;
use hortator_simulations::evidence::{LedgerKey, LedgerLine, Mark};

use super::faults::Done;
use super::plan::Who;
use super::recovery::Quantiles;
use super::report::fault_name;

/// By fault.
pub(super) fn times(done: &[Done], ledger: &[LedgerLine]) -> BTreeMap<String, Quantiles> {
    let mut samples: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for fault in done.iter().filter(|fault| fault.who == Who::Worker) {
        samples.entry(fault_name(fault)).or_default().extend(samples_of(fault, ledger).into_values());
    }
    samples.into_iter().map(|(name, spans)| (name, Quantiles::of(spans))).collect()
}

/// Those that took longer than the plan allows.
pub(super) fn violations(done: &[Done], ledger: &[LedgerLine]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for fault in done.iter().filter(|fault| fault.who == Who::Worker) {
        let Some(within) = fault.again_within else { continue };
        for (key, took) in samples_of(fault, ledger).into_iter().filter(|(_, took)| *took > within) {
            violations.push(Violation {
                checker: "P7",
                promise: "what a worker's fault has ended runs again in time",
                detail: format!("{} at {}: {key:?} after {took}, not {within}", fault_name(fault), fault.at),
            });
        }
    }
    violations
}

fn samples_of<'a>(fault: &Done, ledger: &'a [LedgerLine]) -> BTreeMap<&'a LedgerKey, Span> {
    let (mut there, mut next) = (BTreeSet::new(), BTreeMap::new());
    for line in ledger {
        let before = line.at <= fault.at;
        match line.mark {
            Mark::Start if before && fault.victims.contains(&line.worker) => {
                there.insert(&line.key);
            }
            Mark::Start | Mark::End if before => {
                there.remove(&line.key);
            }
            Mark::Start if there.contains(&line.key) => {
                next.entry(&line.key).or_insert(line.at.since(fault.at));
            }
            Mark::Start | Mark::Beat | Mark::End => {}
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use hortator_core::id::RunId;
    use hortator_core::time::Timestamp;
    use hortator_simulations::evidence::parse_ledger;

    use super::*;
    use crate::chaos::plan::FaultKind;

    #[test]
    fn only_what_ran_on_the_victim_and_starts_again_counts() {
        let run = RunId(1);
        let line = |mark: &str, task: &str, index: u64, second: u32, worker: &str| {
            format!("{mark} {run} {task} 0 1 1-1-3-{index} {second}.000000 {worker}\n")
        };
        let text = [
            line("start", "again", 1, 1, "w1"),
            line("start", "elsewhere", 2, 1, "w2"),
            line("start", "over", 3, 1, "w1"),
            line("end", "over", 3, 2, "w1"),
            line("start", "goes-on", 4, 2, "w1"),
            line("start", "new", 5, 11, "w1"),
            line("start", "elsewhere", 6, 12, "w1"),
            line("start", "over", 7, 12, "w1"),
            line("end", "goes-on", 4, 12, "w1"),
            line("start", "again", 8, 13, "w2"),
            line("start", "again", 9, 15, "w2"),
        ];
        let ledger = parse_ledger(&text.concat()).unwrap();
        let mut fault = Done {
            kind: FaultKind::Kill,
            who: Who::Worker,
            victims: vec!["w1".into()],
            at: Timestamp(10_000_000),
            lasted_ms: 1,
            again_within: Some(Span::from_secs(3)),
            runs_under_way: 1,
            processes: 1,
        };
        let times = times(&[fault.clone()], &ledger);
        assert_eq!((times["kill worker"].count, times["kill worker"].max_ms), (1, 3_000.0));
        assert_eq!(violations(&[fault.clone()], &ledger), []);
        fault.again_within = Some(Span::from_secs(2));
        assert_eq!(violations(&[fault], &ledger).len(), 1);
    }
}
