//! A view of one group's rows on this master that has at least everything acknowledged before it was asked for: what a
//! backup is made of. Must not know what becomes of it.

use std::time::Duration;

use hortator_proto::api::{Problem, ProblemKind, Query, Request, Response};
use hortator_raft::RowsView;
use tokio::time::Instant;

use super::GatewayHandle;
use super::reply::group_name;

/// How long this master may take to apply what the leader has committed; one that is further behind is not the one to
/// ask.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(5);
/// Between two looks at what is applied: a handful for most cuts.
const LOOK: Duration = Duration::from_millis(5);

/// The code of a master that is behind.
const BEHIND: &str = "H1109";

impl GatewayHandle {
    /// See the module. A view keeps old pages of the group's file alive: drop it soon.
    pub async fn cut(&self, group: u32) -> Result<RowsView, Problem> {
        let rows = self.rows.get(&group).ok_or_else(|| {
            let detail = format!("this cluster has {} shards and no group {group}", self.shards);
            Problem::new(ProblemKind::NotFound, "H3081", detail)
        })?;
        let index = match self.request(Request::Query(Query::Position { group })).await {
            Response::Position(position) => position.index,
            Response::Problem(problem) => return Err(problem),
            other => {
                let detail = format!("a group gave {other:?} for its position");
                return Err(Problem::new(ProblemKind::Internal, "H9001", detail));
            }
        };
        let until = Instant::now() + CAUGHT_UP_MAX;
        while rows.applied() < index {
            if Instant::now() >= until {
                let behind = index - rows.applied();
                let detail = format!("this master is {behind} entries behind in {}", group_name(group));
                let problem = Problem::new(ProblemKind::Unavailable, BEHIND, detail);
                return Err(problem.hint("ask another master, or try again when it has caught up"));
            }
            tokio::time::sleep(LOOK).await;
        }
        rows.read().map_err(|error| {
            let detail = format!("the rows of {} cannot be read on this master: {error}", group_name(group));
            Problem::new(ProblemKind::Unavailable, "H1106", detail).hint("ask another master")
        })
    }
}
