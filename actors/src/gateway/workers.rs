//! The workers as the membership leader hears them, or as this master does when the leader does not answer.
//! Must not know what a worker's state means.

use std::time::Duration;

use hortator_proto::api::{Query, Request, Response, WorkerView};
use tokio::time::Instant;

use super::GatewayHandle;
use crate::leaders::MEMBERSHIP;
use crate::status::{master_name, worker_views};

/// The leader answers in milliseconds. Whoever looks at workers while there is none wants to see something soon.
const LEADER_MAX: Duration = Duration::from_millis(700);

impl GatewayHandle {
    /// Heartbeats are passed on to the membership leader, so it hears all workers; another master hears those that have
    /// a session with it, and says so.
    pub(super) async fn workers(&self) -> Vec<WorkerView> {
        if self.status.leaders.of(MEMBERSHIP).leader.is_some() {
            let deadline = Instant::now() + LEADER_MAX;
            let asked = self.ask(MEMBERSHIP, Request::Query(Query::Workers), deadline).await;
            if let Response::Workers(views) = asked {
                return views;
            }
        }
        let name = master_name(&self.status, self.status.me);
        let mine = |view| WorkerView { seen_by: Some(name.clone()), ..view };
        worker_views(&self.status).await.into_iter().map(mine).collect()
    }
}
