//! Questions to the only master of a world. Must not know what they are about.

use std::time::Duration;

use hortator_proto::api::{Problem, ProblemKind, Request, Response};
use tokio::time::{Instant, sleep};

use crate::world::World;

/// Between two tries.
const LOOK: Duration = Duration::from_millis(10);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unheard {
    /// It does not want to.
    Refused(Box<Problem>),
    /// It could not for too long.
    Silent(String),
}

/// Until it answers: a new cluster has no leader for a moment.
pub(crate) async fn ask(world: &World, patience: Duration, request: Request) -> Result<Response, Unheard> {
    let until = Instant::now() + patience;
    loop {
        let answer = match world.gateway(1) {
            Some(gateway) => gateway.request(request.clone()).await,
            None => Response::Problem(Problem::new(ProblemKind::Unavailable, "H1101", "the master starts")),
        };
        match answer {
            Response::Problem(problem) => match problem.kind {
                ProblemKind::Unavailable | ProblemKind::Busy if Instant::now() < until => sleep(LOOK).await,
                ProblemKind::Unavailable | ProblemKind::Busy => {
                    return Err(Unheard::Silent(problem.to_string()));
                }
                _ => return Err(Unheard::Refused(Box::new(problem))),
            },
            answer => return Ok(answer),
        }
    }
}
