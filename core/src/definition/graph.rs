//! Who needs whom, as two flat arrays per direction, so that 100,000 tasks and 1,000,000 edges stay a few MB.
//! Must not know what a task is.

mod order;

use serde::{Deserialize, Serialize};

use crate::id::TaskIndex;

/// A directed graph over `0..len`, rows in ascending order without repeats. As JSON: the list of parents of each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<TaskIndex>>", into = "Vec<Vec<TaskIndex>>")]
pub struct Graph {
    parents: Rows,
    children: Rows,
}

/// A parent outside of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a graph of {len} tasks names task {parent}")]
pub struct GraphError {
    pub len: usize,
    pub parent: TaskIndex,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Rows {
    /// `starts[i]..starts[i + 1]` of `edges` belongs to `i`.
    starts: Vec<u32>,
    edges: Vec<TaskIndex>,
}

impl Graph {
    /// `needs[i]` are the parents of `i`, each below `needs.len()`; repeats are dropped.
    pub fn new(needs: &[Vec<TaskIndex>]) -> Graph {
        let mut children = vec![Vec::new(); needs.len()];
        for (task, parents) in needs.iter().enumerate() {
            for parent in parents {
                children[*parent as usize].push(task as TaskIndex);
            }
        }
        Graph { parents: Rows::new(needs), children: Rows::new(&children) }
    }

    pub fn len(&self) -> usize {
        self.parents.starts.len().saturating_sub(1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn parents(&self, task: TaskIndex) -> &[TaskIndex] {
        self.parents.of(task)
    }

    pub fn children(&self, task: TaskIndex) -> &[TaskIndex] {
        self.children.of(task)
    }
}

impl TryFrom<Vec<Vec<TaskIndex>>> for Graph {
    type Error = GraphError;

    fn try_from(needs: Vec<Vec<TaskIndex>>) -> Result<Graph, GraphError> {
        let len = needs.len();
        match needs.iter().flatten().find(|parent| **parent as usize >= len) {
            Some(parent) => Err(GraphError { len, parent: *parent }),
            None => Ok(Graph::new(&needs)),
        }
    }
}

impl From<Graph> for Vec<Vec<TaskIndex>> {
    fn from(graph: Graph) -> Vec<Vec<TaskIndex>> {
        (0..graph.len()).map(|task| graph.parents(task as TaskIndex).to_vec()).collect()
    }
}

impl Rows {
    fn new(lists: &[Vec<TaskIndex>]) -> Rows {
        let mut rows = Rows { starts: Vec::with_capacity(lists.len() + 1), edges: Vec::new() };
        rows.starts.push(0);
        for list in lists {
            let mut list = list.clone();
            list.sort_unstable();
            list.dedup();
            rows.edges.extend(list);
            rows.starts.push(rows.edges.len() as u32);
        }
        rows
    }

    fn of(&self, task: TaskIndex) -> &[TaskIndex] {
        let task = task as usize;
        &self.edges[self.starts[task] as usize..self.starts[task + 1] as usize]
    }
}
