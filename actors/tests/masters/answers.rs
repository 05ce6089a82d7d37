//! Answers between masters that come late: to a question that the asking master's last life has put.

use std::time::Duration;

use futures_util::future::join;
use hortator_core::id::Position;
use hortator_proto::api::Response;
use hortator_proto::frame::{NodeId, PeerFrame};
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::world;

const HANGS: &str = "
tasks:
  - { id: hangs, shell: { script: hang } }
";

#[test]
fn an_answer_to_the_last_life_of_a_master_answers_nothing_in_this_one() {
    world(621, 3, 1, async |world| {
        let (workflow, _) = world.apply(1, HANGS).await;
        let leader = world.wait_leader(1, 1, &[]).await;
        let asking = world.masters().into_iter().find(|id| *id != leader).expect("three");
        world.crash_master(asking, Crash::Keep).await;
        world.start_master(asking).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(world.wait_leader(asking, 1, &[]).await, leader);
        // Every master counted its questions from one on before; the truth comes after these.
        let late = async {
            tokio::task::yield_now().await;
            for id in 0..1_000 {
                let position = Position { group: 1, index: 4 };
                let applied =
                    Response::Applied { name: workflow.clone(), version: 1, changed: true, position };
                let body = serde_json::to_vec(&applied).expect("always JSON").into();
                let frame = PeerFrame::Response { id, body }.encode();
                world.net.inject(&NodeId::Master(leader), &NodeId::Master(asking), frame);
            }
        };
        let (run, ()) = join(world.try_start(asking, &workflow, "once"), late).await;
        assert_eq!(world.view(asking, run.expect("started")).await.expect("it is there").state, "running");
    });
}
