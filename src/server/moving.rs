//! A master that starts with other addresses than its row has says so to the cluster, until the row has them.
//! Must not know who dials it then.

use std::time::Duration;

use hortator_actors::gateway::GatewayHandle;
use hortator_core::cluster::MasterState;
use hortator_proto::api::{Command, Problem, Request, Response};
use slog::{Logger, info, warn};
use tokio::time::sleep;

use super::addresses::Reachable;

/// Between two tries, at first: the answer, then its row on this master too.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// The longest: an address that another master has stays refused until a person acts.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Goes on for as long as the master lives; there is nothing to do while its row has these addresses.
pub(super) async fn announce(gateway: GatewayHandle, id: u64, here: Reachable, log: Logger) {
    let mut masters = gateway.tables().masters.clone();
    let mut pause = RETRY_MIN;
    loop {
        let elsewhere = {
            let table = masters.borrow_and_update();
            let row = table.masters.get(&id).filter(|row| row.state != MasterState::Removed);
            row.is_some_and(|row| {
                [&row.peer, &row.worker, &row.api] != [&here.peers, &here.workers, &here.api]
            })
        };
        if !elsewhere {
            pause = RETRY_MIN;
            if masters.changed().await.is_err() {
                // The node ends.
                return std::future::pending().await;
            }
            continue;
        }
        match ask(&gateway, id, &here).await {
            Ok(()) => {
                info!(log, "this master has told the cluster where it is now"; "addresses" => ?here.all())
            }
            Err(problem) => warn!(log, "the cluster does not know yet where this master is now";
                "code" => &problem.code, "error" => &problem.detail, "addresses" => ?here.all(), "again_in" => ?pause),
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

async fn ask(gateway: &GatewayHandle, id: u64, here: &Reachable) -> Result<(), Box<Problem>> {
    let Reachable { peers, workers, api } = here.clone();
    let command = Command::MasterMove { id, peer: peers, worker: workers, api };
    match gateway.request(Request::Command(command)).await {
        Response::Changed { .. } => Ok(()),
        Response::Problem(problem) => Err(Box::new(problem)),
        other => unreachable!("a move is answered with {other:?}"),
    }
}
