//! Links that are cut between two nodes which others still reach: nobody's work may notice.

use std::time::Duration;

use hortator_proto::api::{Query, Response, StatusView};
use hortator_proto::frame::NodeId;
use tokio::time::sleep;

use crate::world::{What, World, name, world};

async fn status(world: &World, through: u64) -> StatusView {
    match world.ask(through, Query::Status).await {
        Ok(Response::Status(status)) => *status,
        other => panic!("{other:?} answers a question for the status"),
    }
}

/// Term and leader of each group.
async fn leaders(world: &World, through: u64) -> Vec<(u64, Option<u64>)> {
    status(world, through).await.groups.iter().map(|group| (group.term, group.leader)).collect()
}

/// Waits until all masters agree on who leads, and have done so for a while.
async fn settled(world: &World) -> Vec<(u64, Option<u64>)> {
    loop {
        let before = leaders(world, 1).await;
        sleep(Duration::from_secs(3)).await;
        let mut all = Vec::new();
        for master in world.masters() {
            all.push(leaders(world, master).await);
        }
        if all.iter().all(|seen| *seen == before) && before.iter().all(|(_, leader)| leader.is_some()) {
            return before;
        }
    }
}

fn cut(world: &World, a: u64, b: u64, cut: bool) {
    world.net.cut(&NodeId::Master(a), &NodeId::Master(b), cut);
}

#[test]
fn a_leader_and_a_follower_without_a_link_work_on_without_an_election() {
    for seed in 61..67 {
        world(seed, 3, 1, async |world| {
            let before = settled(&world).await;
            let leader = before[0].1.expect("it was waited for");
            let follower = 1 + leader % 3;
            let (workflow, _) = world.apply(leader, "tasks:\n  - { id: a, noop: {} }\n").await;
            for round in 0..2 {
                cut(&world, leader, follower, true);
                for step in 0..8 {
                    let key = format!("{round}-{step}");
                    let run = world.try_start(follower, &workflow, &key).await.expect("started");
                    assert_eq!(world.finished(follower, run).await, "succeeded");
                    sleep(Duration::from_millis(500)).await;
                    for master in world.masters() {
                        assert_eq!(leaders(&world, master).await, before, "seen by n{master} at {step}");
                    }
                }
                let third = 6 - leader - follower;
                let relayed = status(&world, leader).await.relayed;
                let own = relayed.iter().find(|path| path.from == format!("n{leader}")).expect("it says so");
                assert_eq!((&own.to, &own.via), (&format!("n{follower}"), &format!("n{third}")));
                cut(&world, leader, follower, false);
                sleep(Duration::from_secs(3)).await;
                assert_eq!(status(&world, leader).await.relayed, []);
            }
            assert_eq!(leaders(&world, 1).await, before);
        });
    }
}

/// `left`: so many masters still reach the worker.
fn check_worker_cut_off(seed: u64, left: usize) {
    world(seed, 3, 1, async |world| {
        let before = settled(&world).await;
        let shard_leader = before[1].1.expect("it was waited for");
        let (w1, through) = (NodeId::Worker(name("w1")), 1 + shard_leader % 3);
        let long = "tasks:\n  - { id: a, shell: { script: \"run 4000\" } }\n  - { id: b, needs: [a], shell: { script: \"run 100\" } }\n";
        let (workflow, _) = world.apply(through, long).await;
        let running = world.try_start(through, &workflow, "running").await.expect("started");
        world.until("it runs", || !world.deeds().is_empty()).await;
        // The shard's leader is always among those that do not reach it.
        let rest = world.masters().into_iter().filter(|master| *master != shard_leader);
        let cut: Vec<u64> = [shard_leader].into_iter().chain(rest).take(3 - left).collect();
        for master in &cut {
            world.net.cut(&w1, &NodeId::Master(*master), true);
        }
        assert_eq!(world.finished(through, running).await, "succeeded");
        let next = world.try_start(through, &workflow, "next").await.expect("started");
        let begun = world.now();
        assert_eq!(world.finished(through, next).await, "succeeded");
        let took = world.now().since(begun);
        assert!(took.0 < 5_500_000, "seed {seed}: {took}");
        let deeds = world.deeds();
        let count = |what| deeds.iter().filter(|deed| deed.what == what).count();
        assert_eq!((count(What::Started), count(What::Ended), count(What::Killed)), (4, 4, 0), "seed {seed}");
        // And for longer than a lease.
        sleep(Duration::from_secs(20)).await;
        let view = world.worker(through, "w1").await;
        assert_eq!((view.state.as_str(), view.incarnation), ("up", 1), "seed {seed}");
        let relayed = status(&world, shard_leader).await.relayed;
        assert!(
            relayed.iter().any(|path| path.from == format!("n{shard_leader}") && path.to == "w1"),
            "{relayed:?}"
        );
    });
}

#[test]
fn a_worker_cut_off_from_its_leader_and_perhaps_another_works_on() {
    for seed in 71..76 {
        check_worker_cut_off(seed, 2);
        check_worker_cut_off(seed, 1);
    }
}
