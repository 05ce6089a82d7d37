//! What a worker remembers of the choices it took part in: for `worker why NAME`.
//! Must not decide anything: nothing here is ever read by a choice.

use serde::{Deserialize, Serialize};

use crate::id::TaskRunId;
use crate::reason::Reason;
use crate::time::Timestamp;

/// Lines that each worker keeps.
pub const LINES_MAX: usize = 16;
/// How many that lost, and how many that were refused, are told of one choice: more would cost more than choosing.
pub(super) const TOLD_MAX: usize = 2;

/// One choice, seen from one worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    pub at: Timestamp,
    pub task_run: TaskRunId,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It got the task run. Less is better; `next_best` is the score of the one that came second.
    Chosen { score: f64, next_best: Option<f64>, candidates: u32 },
    /// It would have done, but another had the better score.
    Outscored { score: f64, best: f64 },
    /// It would not do: the reason with both sides, as they were then.
    Refused(Box<Reason>),
}
