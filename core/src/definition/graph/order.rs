//! Orders of a graph: topological, by levels; circles, and who lies upstream of whom. All without recursion, since
//! a chain may be 100,000 long. Must not know what a task is.

use std::collections::BTreeMap;

use super::Graph;
use crate::id::TaskIndex;

/// How many targets are followed upstream in one pass over the graph: 64 bytes a task.
const TARGETS_A_PASS: usize = 512;
const WORDS: usize = TARGETS_A_PASS / 64;

impl Graph {
    /// Every task after all its parents, otherwise by index; `Err` has the tasks that a circle keeps out.
    pub fn topological(&self) -> Result<Vec<TaskIndex>, Vec<TaskIndex>> {
        let mut open: Vec<u32> =
            (0..self.len()).map(|task| self.parents(task as TaskIndex).len() as u32).collect();
        let mut order: Vec<TaskIndex> =
            (0..self.len() as TaskIndex).filter(|task| open[*task as usize] == 0).collect();
        let mut at = 0;
        while at < order.len() {
            for child in self.children(order[at]) {
                open[*child as usize] -= 1;
                if open[*child as usize] == 0 {
                    order.push(*child);
                }
            }
            at += 1;
        }
        match order.len() == self.len() {
            true => Ok(order),
            false => Err((0..self.len() as TaskIndex).filter(|task| open[*task as usize] > 0).collect()),
        }
    }

    /// The tasks by distance from the roots: level 0 has no parents, level n a parent in level n - 1. A graph with
    /// a circle has no levels.
    pub fn levels(&self) -> Vec<Vec<TaskIndex>> {
        let Ok(order) = self.topological() else {
            return Vec::new();
        };
        let mut level = vec![0usize; self.len()];
        let mut levels: Vec<Vec<TaskIndex>> = Vec::new();
        for task in order {
            let below =
                self.parents(task).iter().map(|parent| level[*parent as usize] + 1).max().unwrap_or(0);
            level[task as usize] = below;
            levels.resize_with(levels.len().max(below + 1), Vec::new);
            levels[below].push(task);
        }
        levels.iter_mut().for_each(|level| level.sort_unstable());
        levels
    }

    /// Circles that share no task, each as a list in which every task has the next as a parent, and the last the
    /// first. Every task that a circle keeps from running lies in one or below one.
    pub fn circles(&self) -> Vec<Vec<TaskIndex>> {
        let Err(stuck) = self.topological() else {
            return Vec::new();
        };
        let mut is_stuck = vec![false; self.len()];
        stuck.iter().for_each(|task| is_stuck[*task as usize] = true);
        // 0 is new; otherwise the number of the walk that came by.
        let mut walked = vec![0u32; self.len()];
        let mut circles = Vec::new();
        for (number, start) in stuck.iter().enumerate() {
            let number = number as u32 + 1;
            let (mut task, mut walk) = (*start, Vec::new());
            while walked[task as usize] == 0 {
                walked[task as usize] = number;
                walk.push(task);
                let parents = self.parents(task).iter();
                task = *parents.copied().find(|parent| is_stuck[*parent as usize]).as_ref().unwrap_or(&task);
            }
            if walked[task as usize] == number {
                let first = walk.iter().position(|one| *one == task).unwrap_or(0);
                circles.push(walk.split_off(first));
            }
        }
        circles
    }

    /// Which of the pairs (task, other) have `other` upstream of `task`, directly or through others. The graph has
    /// no circles. Linear in the graph for every 512 different others.
    pub fn upstream(&self, pairs: &[(TaskIndex, TaskIndex)]) -> Vec<bool> {
        let mut answers: Vec<bool> =
            pairs.iter().map(|(task, other)| self.parents(*task).binary_search(other).is_ok()).collect();
        let mut open: BTreeMap<TaskIndex, Vec<usize>> = BTreeMap::new();
        for (place, (_, other)) in pairs.iter().enumerate().filter(|(place, _)| !answers[*place]) {
            open.entry(*other).or_default().push(place);
        }
        let Ok(order) = self.topological() else {
            return answers;
        };
        let open: Vec<(TaskIndex, Vec<usize>)> = open.into_iter().collect();
        for targets in open.chunks(TARGETS_A_PASS) {
            let seen = self.descendants(&order, targets);
            for (bit, (_, places)) in targets.iter().enumerate() {
                for place in places {
                    let words = &seen[pairs[*place].0 as usize];
                    answers[*place] = words[bit / 64] & (1 << (bit % 64)) != 0;
                }
            }
        }
        answers
    }

    /// For every task a bit for each target that lies upstream of it.
    fn descendants(&self, order: &[TaskIndex], targets: &[(TaskIndex, Vec<usize>)]) -> Vec<[u64; WORDS]> {
        let mut own: BTreeMap<TaskIndex, usize> = BTreeMap::new();
        own.extend(targets.iter().enumerate().map(|(bit, (target, _))| (*target, bit)));
        let mut seen = vec![[0u64; WORDS]; self.len()];
        for task in order {
            let mut words = [0u64; WORDS];
            for parent in self.parents(*task) {
                let parent_words = &seen[*parent as usize];
                words.iter_mut().zip(parent_words).for_each(|(word, more)| *word |= more);
                if let Some(bit) = own.get(parent) {
                    words[bit / 64] |= 1 << (bit % 64);
                }
            }
            seen[*task as usize] = words;
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(needs: &[&[TaskIndex]]) -> Graph {
        Graph::new(&needs.iter().map(|list| list.to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn orders_of_a_diamond() {
        let diamond = graph(&[&[1, 2], &[3], &[3], &[], &[]]);
        assert_eq!(diamond.topological(), Ok(vec![3, 4, 1, 2, 0]));
        assert_eq!(diamond.levels(), [vec![3, 4], vec![1, 2], vec![0]]);
        assert!(diamond.circles().is_empty());
        let pairs = [(0, 3), (0, 1), (1, 2), (3, 0), (4, 3), (0, 0)];
        assert_eq!(diamond.upstream(&pairs), [true, true, false, false, false, false]);
    }

    #[test]
    fn circles_are_found_once_each() {
        let two = graph(&[&[1], &[2], &[0], &[2, 4], &[3], &[4], &[]]);
        assert_eq!(two.topological(), Err(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(
            two.circles(),
            [vec![0, 1, 2], vec![]].into_iter().filter(|c: &Vec<u32>| !c.is_empty()).collect::<Vec<_>>()
        );
        assert!(two.levels().is_empty());
        assert_eq!(graph(&[&[0]]).circles(), [vec![0]]);
        assert_eq!(graph(&[&[1], &[0], &[3], &[2]]).circles(), [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn long_chains_do_not_overflow() {
        let count = 100_000;
        let needs: Vec<Vec<TaskIndex>> =
            (0..count).map(|task| if task == 0 { vec![] } else { vec![task - 1] }).collect();
        let chain = Graph::new(&needs);
        assert_eq!(chain.topological().map(|order| order.len()), Ok(count as usize));
        assert_eq!(chain.levels().len(), count as usize);
        assert_eq!(chain.upstream(&[(count - 1, 0), (0, count - 1)]), [true, false]);
        let mut closed = needs;
        closed[0] = vec![count - 1];
        assert_eq!(Graph::new(&closed).circles()[0].len(), count as usize);
    }
}
