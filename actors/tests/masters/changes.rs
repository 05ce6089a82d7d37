//! Masters come and go while entries flow: whoever leads at any moment, every group ends with the votes that the
//! membership rows say, and nothing that was acknowledged is lost.

use std::time::Duration;

use hortator_core::id::{RunId, WorkflowName};
use hortator_proto::frame::NodeId;
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::{World, world};

const FLOW: &str = "
tasks:
  - { id: first, noop: {} }
  - { id: work, needs: [first], shell: { script: run 30 } }
";

/// Starts one run and waits until it is over: the cluster decides, commits and dispatches.
async fn runs(world: &World, through: u64, workflow: &WorkflowName, key: &str) -> RunId {
    let run = world.try_start(through, workflow, key).await.expect("started");
    assert_eq!(world.finished(through, run).await, "succeeded", "{key}");
    run
}

async fn voters_are(world: &World, through: u64, expected: &[u64]) {
    for group in 0..=1 {
        assert_eq!(world.voters(through, group).await, expected, "group {group}");
    }
}

fn isolate(world: &World, id: u64, others: &[u64], cut: bool) {
    for other in others.iter().filter(|other| **other != id) {
        world.net.cut(&NodeId::Master(id), &NodeId::Master(*other), cut);
    }
}

#[test]
fn one_master_becomes_three_while_runs_go_on() {
    for seed in 51..54 {
        world(seed, 1, 2, async |world| {
            let (workflow, _) = world.apply(1, FLOW).await;
            let before = world.try_start(1, &workflow, "before").await.expect("started");
            assert_eq!(world.add_master(1, "n2").await, 2);
            assert_eq!(world.add_master(1, "n3").await, 3);
            let mut acknowledged = vec![before];
            for round in 0..10 {
                acknowledged.push(runs(&world, 1, &workflow, &format!("during-{round}")).await);
            }
            world.wait_members(1, "1 member, 2 member, 3 member").await;
            voters_are(&world, 1, &[1, 2, 3]).await;
            world.crash_master(1, Crash::Lose).await;
            for run in acknowledged {
                assert_eq!(world.finished(2, run).await, "succeeded", "{run}");
            }
            runs(&world, 3, &workflow, "after").await;
        });
    }
}

#[test]
fn a_learner_that_is_cut_off_gets_its_vote_when_it_is_back_and_no_sooner() {
    for seed in 61..63 {
        world(seed, 1, 1, async |world| {
            let (workflow, _) = world.apply(1, FLOW).await;
            isolate(&world, 2, &[1], true);
            assert_eq!(world.add_master(1, "n2").await, 2);
            for round in 0..3 {
                runs(&world, 1, &workflow, &format!("alone-{round}")).await;
            }
            assert_eq!(world.members(1).await, "1 member, 2 joining");
            voters_are(&world, 1, &[1]).await;
            isolate(&world, 2, &[1], false);
            world.wait_members(1, "1 member, 2 member").await;
            runs(&world, 2, &workflow, "together").await;
        });
    }
}

/// The leader of one of the groups dies again and again, at a moment that the seed says, while one comes.
#[test]
fn leaders_die_between_the_steps_and_the_change_ends_all_the_same() {
    for seed in 71..79 {
        world(seed, 3, 2, async |world| {
            let (workflow, _) = world.apply(1, FLOW).await;
            let mut acknowledged = vec![world.try_start(1, &workflow, "first").await.expect("started")];
            let new = world.add_master(1, "n4").await;
            for round in 0..4u32 {
                sleep(Duration::from_millis(world.below(250))).await;
                let group = round % 2;
                let leader = world.wait_leader(new, group, &[]).await;
                world.crash_master(leader, Crash::Lose).await;
                let through = [1, 2, 3, 4].into_iter().find(|id| *id != leader).expect("another");
                let key = format!("key-{round}");
                if let Ok(run) = world.try_start(through, &workflow, &key).await {
                    acknowledged.push(run);
                }
                world.start_master(leader).await;
            }
            world.wait_members(2, "1 member, 2 member, 3 member, 4 member").await;
            voters_are(&world, 2, &[1, 2, 3, 4]).await;
            for run in acknowledged {
                assert_eq!(world.finished(4, run).await, "succeeded", "{run}");
            }
        });
    }
}

#[test]
fn the_leader_itself_is_removed() {
    for seed in 81..85 {
        world(seed, 3, 2, async |world| {
            let (workflow, _) = world.apply(1, FLOW).await;
            let leader = world.wait_leader(1, 0, &[]).await;
            let other = 1 + leader % 3;
            world.remove_master(other, leader).await.expect("it goes");
            let expected: Vec<String> = (1..=3)
                .map(|id| format!("{id} {}", if id == leader { "removed" } else { "member" }))
                .collect();
            runs(&world, other, &workflow, "meanwhile").await;
            world.wait_members(other, &expected.join(", ")).await;
            let rest: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
            voters_are(&world, other, &rest).await;
            runs(&world, other, &workflow, "without").await;
            let last = world.remove_master(other, leader).await.expect("again is nothing");
            assert_eq!(format!("{last:?}"), format!("Changed {{ name: \"n{leader}\", changed: false }}"));
        });
    }
}

#[test]
fn a_dead_master_is_replaced_under_a_new_id() {
    for seed in 91..95 {
        world(seed, 3, 2, async |world| {
            let (workflow, _) = world.apply(1, FLOW).await;
            let dead = 1 + world.below(3);
            let through = 1 + dead % 3;
            world.crash_master(dead, Crash::Lose).await;
            world.wait_leader(through, 0, &[dead]).await;
            world.wait_leader(through, 1, &[dead]).await;
            // Until an election's time has passed, who died was heard a moment ago.
            sleep(Duration::from_secs(1)).await;
            let other = (1..=3).find(|id| *id != dead && *id != through).expect("a third");
            let refused = world.remove_master(through, other).await.expect_err("the majority would go");
            assert_eq!(refused.code, "H3054");
            assert_eq!(world.add_master(through, "n4").await, 4);
            world.remove_master(through, dead).await.expect("it goes");
            let expected: Vec<String> =
                (1..=4).map(|id| format!("{id} {}", if id == dead { "removed" } else { "member" })).collect();
            world.wait_members(through, &expected.join(", ")).await;
            let rest: Vec<u64> = (1..=4).filter(|id| *id != dead).collect();
            voters_are(&world, through, &rest).await;
            runs(&world, 4, &workflow, "as before").await;
            // The old one comes back from the dead, with its disk: it changes nothing any more.
            world.start_master(dead).await;
            sleep(Duration::from_secs(3)).await;
            voters_are(&world, through, &rest).await;
            runs(&world, through, &workflow, "undisturbed").await;
        });
    }
}

#[test]
fn what_would_end_the_cluster_is_refused() {
    world(101, 1, 0, async |world| {
        assert_eq!(world.remove_master(1, 1).await.expect_err("the last").code, "H3053");
        assert_eq!(world.remove_master(1, 9).await.expect_err("nobody").code, "H3050");
    });
}
