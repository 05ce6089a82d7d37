//! The longest path from each task to the end of its workflow, by durations: what goes first inside a priority.
//! Must not know where durations come from.

use super::durations::Durations;
use crate::definition::Graph;
use crate::id::TaskIndex;
use crate::time::Span;

/// What every task of a workflow is taken for that has never succeeded: the order is then by hops.
const UNKNOWN: Span = Span::from_secs(1);

/// Of each task, its own duration included. Empty for a graph with a circle.
pub fn remaining_paths(graph: &Graph, duration: impl Fn(TaskIndex) -> Span) -> Vec<Span> {
    let Ok(order) = graph.topological() else {
        return Vec::new();
    };
    let mut remaining = vec![Span::ZERO; graph.len()];
    for task in order.into_iter().rev() {
        let after = graph.children(task).iter().map(|child| remaining[*child as usize]).max();
        let own = duration(task).0;
        remaining[task as usize] = Span(after.unwrap_or_default().0.saturating_add(own));
    }
    remaining
}

/// The same by what was learned; a task without a success counts as the middle of the others.
pub fn learned_paths(graph: &Graph, durations: &Durations) -> Vec<Span> {
    let unknown = durations.middle().unwrap_or(UNKNOWN);
    remaining_paths(graph, |task| durations.anywhere(task).map_or(unknown, |estimate| estimate.p50))
}

/// What is left of the longest path from a task that has run for so long: however long it takes, what follows it is
/// still to come. `paths` are those of the whole graph.
pub fn path_left(graph: &Graph, paths: &[Span], task: TaskIndex, ran: Span) -> Span {
    let path = |task: TaskIndex| paths.get(task as usize).copied().unwrap_or_default();
    let after = graph.children(task).iter().map(|child| path(*child)).max().unwrap_or_default();
    after.max(Span(path(task).0.saturating_sub(ran.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 → 1 → 3, 0 → 2 → 3
    fn diamond() -> Graph {
        Graph::new(&[vec![], vec![0], vec![0], vec![1, 2]])
    }

    #[test]
    fn the_longer_branch_counts() {
        let seconds = [1, 2, 5, 1];
        let paths = remaining_paths(&diamond(), |task| Span::from_secs(seconds[task as usize]));
        assert_eq!(paths, [7, 3, 6, 1].map(Span::from_secs));
    }

    #[test]
    fn what_has_run_is_taken_off_but_nothing_that_follows() {
        let paths = [7, 3, 6, 1].map(Span::from_secs);
        let cases = [(0, 0, 7), (2, 0, 6), (2, 2, 4), (2, 5, 1), (2, 100, 1), (3, 0, 1), (3, 5, 0)];
        for (task, ran, left) in cases {
            let said = path_left(&diamond(), &paths, task, Span::from_secs(ran));
            assert_eq!(said, Span::from_secs(left), "task {task} after {ran} s");
        }
    }

    #[test]
    fn what_is_unknown_is_the_middle_and_hops_without_any() {
        let hops = learned_paths(&diamond(), &Durations::default());
        assert_eq!(hops, [3, 2, 2, 1].map(Span::from_secs));
        let mut durations = Durations::default();
        durations.learn(2, 0, Span::from_millis(4));
        assert_eq!(learned_paths(&diamond(), &durations), [12, 8, 8, 4].map(Span::from_millis));
    }
}
