//! How long the cluster took to work again after a fault: from the fault to the first process that starts under a fence
//! which was given after it, for each group that the victim led.

use hortator_core::time::{Span, Timestamp};
use hortator_simulations::evidence::{LedgerLine, Mark};
use serde::Serialize;

/// A group as it was just before a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupBefore {
    pub(super) group: u32,
    pub(super) commit: u64,
}

/// What is to be measured for one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) at: Timestamp,
    /// From when on a majority of the masters was there: the same, or when those that left no majority came back.
    pub(super) majority: Timestamp,
    /// The shards that had to recover: those that the victim led, or all when it led the membership group.
    pub(super) shards: Vec<GroupBefore>,
}

/// Of many samples, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// One sample for each fault, by `from`: until some shard that had to recover dispatches again.
pub(super) fn next_dispatches(
    losses: &[Loss],
    ledger: &[LedgerLine],
    from: fn(&Loss) -> Timestamp,
) -> Vec<Span> {
    losses.iter().filter_map(|loss| Some(next_dispatch(loss, ledger)?.since(from(loss)))).collect()
}

fn next_dispatch(loss: &Loss, ledger: &[LedgerLine]) -> Option<Timestamp> {
    let starts = ledger.iter().filter(|line| line.mark == Mark::Start && line.at > loss.at);
    let anew = starts.filter(|line| {
        let before = loss.shards.iter().find(|before| before.group == line.fence.shard);
        before.is_some_and(|before| line.fence.index > before.commit)
    });
    anew.map(|line| line.at).min()
}

impl Quantiles {
    pub(super) fn of(samples: impl IntoIterator<Item = Span>) -> Quantiles {
        let mut millis: Vec<f64> = samples.into_iter().map(|span| span.0 as f64 / 1_000.0).collect();
        millis.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (millis.len() as f64 * share).ceil() as usize;
            millis.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        Quantiles { count: millis.len(), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::id::RunId;
    use hortator_simulations::evidence::parse_ledger;

    use super::*;

    #[test]
    fn only_what_was_committed_after_the_fault_counts() {
        let run = RunId(1);
        let line = |index: u64, shard: u32, second: u32| {
            format!("start {run} a 0 1 1-{shard}-3-{index} {second}.000000 w1\n")
        };
        let text =
            [line(5, 1, 9), line(10, 1, 11), line(11, 2, 12), line(11, 1, 13), line(12, 1, 14)].concat();
        let ledger = parse_ledger(&text).unwrap();
        let loss = |group, commit| {
            let shards = vec![GroupBefore { group, commit }];
            Loss { at: Timestamp(10_000_000), majority: Timestamp(11_000_000), shards }
        };
        let since_fault = |losses: &[Loss]| next_dispatches(losses, &ledger, |loss| loss.at);
        assert_eq!(since_fault(&[loss(1, 10)]), [Span::from_secs(3)]);
        assert_eq!(since_fault(&[loss(2, 1), loss(3, 1)]), [Span::from_secs(2)]);
        let since_majority = next_dispatches(&[loss(1, 10)], &ledger, |loss| loss.majority);
        assert_eq!(since_majority, [Span::from_secs(2)]);
    }

    #[test]
    fn quantiles() {
        let of = Quantiles::of((1..=100).map(Span::from_millis));
        assert_eq!((of.count, of.p50_ms, of.p99_ms, of.max_ms), (100, 50.0, 99.0, 100.0));
        assert_eq!(Quantiles::of([]).count, 0);
    }
}
