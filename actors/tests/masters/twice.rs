//! A command of another master that comes once more, much later, and one whose answer is lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hortator_proto::api::{Command, Query, Request, Response, SettingsChange};
use hortator_proto::frame::{NodeId, PeerFrame};
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::{Passing, World, world};

async fn keep(world: &World, through: u64, runs: u32) {
    let change = SettingsChange { history_keep_runs: Some(runs), ..SettingsChange::default() };
    let command = Command::ChangeSettings { change, by: "test".into() };
    let answer = world.request(through, Request::Command(command)).await;
    assert!(matches!(answer, Ok(Response::Changed { changed: true, .. })), "{answer:?}");
}

async fn kept(world: &World, through: u64) -> u32 {
    match world.ask(through, Query::Settings).await {
        Ok(Response::Settings(view)) => view.history.keep_runs,
        other => panic!("{other:?} answers a question for settings"),
    }
}

/// Two masters: the one that leads the membership group, and another one.
async fn leader_and_other(world: &World) -> (u64, u64) {
    let leader = world.wait_leader(1, 0, &[]).await;
    (leader, world.masters().into_iter().find(|id| *id != leader).expect("three masters"))
}

#[test]
fn a_change_that_comes_again_undoes_no_later_one() {
    for (seed, elected) in [(811, false), (812, true)] {
        world(seed, 3, 0, async |world| {
            sleep(Duration::from_secs(1)).await;
            let (leader, other) = leader_and_other(&world).await;
            let asked = Arc::<Mutex<Vec<Bytes>>>::default();
            let heard = asked.clone();
            world.net.lose(move |passing| {
                if let Passing::Peer(frame @ PeerFrame::Request { .. }) = passing {
                    heard.lock().unwrap().push(frame.encode());
                }
                false
            });
            keep(&world, other, 20_000).await;
            world.net.lose_nothing();
            let again = asked.lock().unwrap().clone();
            assert!(!again.is_empty(), "it went to the leader");
            if elected {
                // It remembers nothing, and leads again.
                world.crash_master(leader, Crash::Keep).await;
                world.start_master(leader).await;
                let mut leads = world.wait_leader(other, 0, &[]).await;
                while leads != leader {
                    world.hand_over(leads).await;
                    leads = world.wait_leader(other, 0, &[leads]).await;
                }
            }
            keep(&world, other, 30_000).await;
            for frame in again {
                world.net.inject(&NodeId::Master(other), &NodeId::Master(leader), frame);
            }
            sleep(Duration::from_secs(1)).await;
            assert_eq!(kept(&world, other).await, 30_000);
        });
    }
}

#[test]
fn an_answer_that_is_lost_is_given_again() {
    world(813, 3, 0, async |world| {
        sleep(Duration::from_secs(1)).await;
        let (_, other) = leader_and_other(&world).await;
        let mut lost = 0;
        world.net.lose(move |passing| {
            let answer = matches!(passing, Passing::Peer(PeerFrame::Response { .. }));
            lost += u32::from(answer);
            answer && lost == 1
        });
        // Done again it would have changed nothing.
        keep(&world, other, 20_000).await;
        assert_eq!(kept(&world, other).await, 20_000);
    });
}
