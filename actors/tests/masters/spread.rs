//! Leaders go where they are sent: a planned hand-over loses nothing, and the Balancer spreads shards over the masters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hortator_proto::api::{Query, Response};
use hortator_proto::frame::PeerFrame;
use hortator_raft::memory::Crash;
use tokio::time::{Instant, sleep};

use crate::world::{Passing, World, world};

const FLOW: &str = "
tasks:
  - { id: first, noop: {} }
  - { id: each, needs: [first], foreach: { items: [a, b, c, d], as: part }, shell: { script: run 40 } }
";

/// How many shards each master leads, as that master sees it.
async fn spread(world: &World, through: u64) -> BTreeMap<u64, usize> {
    let Ok(Response::Status(status)) = world.ask(through, Query::Status).await else {
        return BTreeMap::new();
    };
    let mut counts = BTreeMap::new();
    for group in status.groups.iter().filter(|group| group.group > 0) {
        *counts.entry(group.leader.unwrap_or(0)).or_default() += 1;
    }
    counts
}

#[test]
fn a_planned_hand_over_drops_no_command_and_takes_no_election() {
    for seed in 111..115 {
        world(seed, 3, 2, async |world| {
            let (workflow, _) = world.apply(1, FLOW).await;
            let mut acknowledged = Vec::new();
            for round in 0..6u64 {
                let leader = world.wait_leader(1, 1, &[]).await;
                let key = format!("before-{round}");
                acknowledged.push(world.try_start(leader, &workflow, &key).await.expect("started"));
                sleep(Duration::from_millis(world.below(60))).await;
                let began = Instant::now();
                world.hand_over(leader).await;
                // An election begins after half a second of silence at the earliest.
                assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
                let other = 1 + leader % 3;
                let next = world.wait_leader(other, 1, &[leader]).await;
                let key = format!("after-{round}");
                acknowledged.push(world.try_start(leader, &workflow, &key).await.expect("routed on"));
                assert!([1, 2, 3].contains(&next));
            }
            for run in acknowledged {
                assert_eq!(world.finished(1, run).await, "succeeded", "{run}");
            }
        });
    }
}

#[test]
fn a_hand_over_that_fails_leaves_a_leader_that_works() {
    for seed in 121..124 {
        world(seed, 3, 1, async |world| {
            let (workflow, _) = world.apply(1, FLOW).await;
            let leader = world.wait_leader(1, 1, &[]).await;
            // The word that would make the heir campaign is lost, so nobody takes over.
            let lost = Arc::<AtomicUsize>::default();
            let count = lost.clone();
            world.net.lose(move |passing| {
                let hit = matches!(passing, Passing::Peer(frame) if is_timeout_now(frame));
                count.fetch_add(usize::from(hit), Ordering::Relaxed);
                hit
            });
            world.hand_over(leader).await;
            world.net.lose_nothing();
            assert!(lost.load(Ordering::Relaxed) > 0, "it was tried");
            let through = world.wait_leader(leader, 1, &[]).await;
            assert_eq!(through, leader, "it still leads");
            let run = world.try_start(through, &workflow, "afterwards").await.expect("started");
            assert_eq!(world.finished(through, run).await, "succeeded");
        });
    }
}

/// raft's MsgTimeoutNow, type 14, whose field 1 comes first in its bytes.
fn is_timeout_now(frame: &PeerFrame) -> bool {
    match frame {
        PeerFrame::Raft { group: 1, payload } => payload.windows(2).take(12).any(|bytes| bytes == [0x08, 14]),
        _ => false,
    }
}

#[test]
fn four_shards_of_three_masters_end_up_two_one_one_and_stay() {
    for seed in 131..133 {
        world(seed, 0, 0, async |world| {
            world.set_shards(4);
            world.set_masters(3);
            // The first has all leaders before the others are up.
            for id in 1..=3 {
                world.start_master(id).await;
            }
            for id in 2..=3 {
                world.hand_over(id).await;
            }
            sleep(Duration::from_secs(90)).await;
            let before = spread(&world, 1).await;
            let mut counts: Vec<usize> = before.values().copied().collect();
            counts.sort_unstable();
            assert_eq!(counts, [1, 1, 2], "{before:?}");
            sleep(Duration::from_secs(60)).await;
            assert_eq!(spread(&world, 1).await, before, "nothing moves without need");
            let fallen = *before.keys().next().expect("a master");
            world.crash_master(fallen, Crash::Lose).await;
            let through = 1 + fallen % 3;
            sleep(Duration::from_secs(20)).await;
            world.start_master(fallen).await;
            sleep(Duration::from_secs(90)).await;
            let after = spread(&world, through).await;
            assert_eq!(after.len(), 3, "the one that came back works again: {after:?}");
        });
    }
}
