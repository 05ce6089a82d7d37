//! Faults injected into a running cluster by hand: frames that are late or lost, links that are cut, slow and full disks,
//! wrong clocks, nodes that stand still or are killed. Each ends by itself. They sit in front of the seams, and where
//! faults were not allowed at the start nothing of this exists. Must not know HTTP or the words of the shell.

mod board;
mod clock;
mod disk;
mod gate;
mod late;
mod node;
mod order;
mod wires;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;

pub use board::{Board, FaultView, Keeper, Refusal};
pub(crate) use node::NodeSeams;
pub use order::{LASTS_MAX, Order, Path, Wanted};

/// Whether faults are allowed in this process.
#[derive(Clone, Debug, Default)]
pub enum LiveFaults {
    #[default]
    Off,
    On(Arc<Board>),
}

impl LiveFaults {
    /// What stands in front of a node's seams.
    pub(crate) fn of_node(&self, node: &str) -> NodeSeams {
        match self {
            LiveFaults::Off => NodeSeams::Bare,
            LiveFaults::On(board) => NodeSeams::Faulty(board.attach(node)),
        }
    }

    /// All that is wrong on purpose now, a line each.
    pub fn lines(&self) -> Vec<String> {
        match self {
            LiveFaults::Off => Vec::new(),
            LiveFaults::On(board) => board.list().iter().map(FaultView::line).collect(),
        }
    }

    /// Nothing where faults are not allowed.
    pub(crate) fn metrics(&self, text: &mut String) {
        let LiveFaults::On(board) = self else { return };
        let (name, active) = ("hortator_live_faults", board.list().len());
        let _ = write!(
            text,
            "# HELP {name}_active Faults that were injected by hand and have not ended.\n# TYPE {name}_active gauge\n\
             {name}_active {active}\n# HELP {name} Faults that were injected by hand.\n# TYPE {name} counter\n"
        );
        for (kind, count) in board.counts() {
            let _ = writeln!(text, "{name}_total{{kind=\"{kind}\"}} {count}");
        }
    }
}
