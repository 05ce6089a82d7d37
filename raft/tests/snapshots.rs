//! Followers that the log no longer reaches: snapshots, interrupted and repeated.

mod harness;

use harness::World;
use hortator_raft::memory::Crash;
use hortator_raft::{GroupConfig, Notice};

fn short_log(config: &mut GroupConfig) {
    (config.log_keep_entries, config.log_keep_bytes) = (10, 64 * 1024);
}

/// Writes until the leader's log no longer reaches back to `index`.
fn outgrow(world: &mut World, index: u64) {
    for n in 0..20_000 {
        let leader = world.elect();
        world.propose(leader, &format!("k{:03}", n % 400), vec![n as u8; 2_000]).expect("taken");
        if n % 20 == 0 {
            world.settle();
            if world.node(leader).group().status().first > index + 1 {
                return;
            }
        }
    }
    panic!("the log was never cut: {:#?}", world.statuses());
}

/// A world of three with one replica far behind; gives (leader, behind).
fn behind(seed: u64) -> (World, u64, u64) {
    let mut world = World::with(seed, 3, short_log);
    let leader = world.elect();
    world.put("first", "v");
    let slow = world.ids().into_iter().find(|id| *id != leader).expect("another");
    world.part(&[slow]);
    // silent for long enough not to hold the log back
    world.ticks(70);
    let last = world.node(slow).group().status().last;
    outgrow(&mut world, last);
    (world, leader, slow)
}

fn rescans(world: &mut World, id: u64) -> usize {
    world.node(id).count(|notice| matches!(notice, Notice::Rescan { .. }))
}

#[test]
fn a_follower_behind_the_log_gets_a_snapshot() {
    let (mut world, _, slow) = behind(90);
    world.heal();
    world.converge();
    assert_eq!(rescans(&mut world, slow), 1);
    world.put("after", "v");
    world.converge();
    assert_eq!(world.value(slow, "first"), Some("v".into()));
}

/// Before it asks for votes, raft looks for membership changes among the entries that it takes for unapplied.
#[test]
fn a_follower_that_is_alone_after_its_snapshot_stands_for_election() {
    let (mut world, leader, slow) = behind(94);
    world.heal();
    world.until("the snapshot is there", |world| rescans(world, slow) > 0);
    let (applied, last) =
        (world.node(slow).group().status().applied, world.node(leader).group().status().last);
    assert_eq!(applied, last, "nothing came after the snapshot");
    world.part(&[slow]);
    world.ticks(100);
    world.heal();
    world.put("after", "v");
    world.converge();
}

/// The same, with a disk that takes its time over the snapshot.
#[test]
fn a_follower_whose_snapshot_is_still_being_written_stands_for_no_election() {
    let (mut world, leader, slow) = behind(95);
    let last = world.node(leader).group().status().last;
    world.heal();
    for step in 0.. {
        let status = world.node(slow).group().status();
        if status.last >= last {
            assert!(status.applied < last, "raft took the snapshot, the disk did not");
            break;
        }
        assert!(step < 10_000, "seed 95: no snapshot arrived: {:#?}", world.statuses());
        if !world.deliver_one() && !world.write_one(slow) && !world.write_one(leader) {
            world.ids().into_iter().for_each(|id| world.node(id).group().tick());
        }
        world.ids().into_iter().for_each(|id| world.turn(id));
    }
    for _ in 0..100 {
        world.node(slow).group().tick();
        world.turn(slow);
        world.node(slow).group().campaign();
        world.turn(slow);
    }
    world.put("after", "v");
    world.converge();
}

#[test]
fn an_installed_snapshot_survives_a_crash_with_everything_the_replica_promised() {
    for crash in [Crash::Lose, Crash::Keep, Crash::Mix(5)] {
        let (mut world, _, slow) = behind(91);
        let boot = world.node(slow).group().status().boot;
        world.heal();
        world.converge();
        let term = world.node(slow).group().status().term;
        world.crash(slow, crash);
        world.start(slow);
        let status = world.node(slow).group().status();
        assert!(status.boot > boot, "the boot counter went over into the new file");
        assert!(status.term >= term && status.first > 1);
        world.converge();
    }
}

#[test]
fn lost_chunks_are_asked_for_again() {
    let (mut world, _, slow) = behind(92);
    world.heal();
    (world.loss_percent, world.shuffle) = (30, true);
    world.until("the snapshot is there", |world| rescans(world, slow) > 0);
    world.loss_percent = 0;
    world.converge();
}

/// Its own sender finds rot before; whatever comes all the same must not end a replica whose disk is whole.
#[test]
fn a_rotten_row_of_a_snapshot_is_not_taken_and_ends_nobody() {
    let (mut world, _, slow) = behind(95);
    world.heal();
    world.rotten_chunks = 3;
    world.converge();
    assert_eq!(world.rotten_chunks, 0);
    assert_eq!(rescans(&mut world, slow), 1);
}

#[test]
fn a_leader_lost_in_the_middle_is_replaced_by_another_with_its_own_snapshot() {
    let (mut world, leader, slow) = behind(93);
    world.heal();
    // stop in the middle of the fetch
    for _ in 0..400 {
        if world.wire.iter().any(|(_, to, payload)| *to == slow && payload[0] == 2) {
            break;
        }
        if !world.deliver_one() {
            world.ids().into_iter().for_each(|id| {
                world.write_one(id);
                world.turn(id);
            });
            if world.wire.is_empty() {
                let ids = world.ids();
                ids.into_iter().for_each(|id| {
                    world.node(id).group().tick();
                    world.turn(id);
                });
            }
        }
    }
    assert!(world.wire.iter().any(|(_, _, payload)| payload[0] == 2), "a chunk is on its way");
    world.crash(leader, Crash::Lose);
    world.until("the snapshot is there", |world| rescans(world, slow) > 0);
    world.start(leader);
    world.converge();
}

#[test]
fn a_follower_lost_in_the_middle_starts_anew() {
    let (mut world, leader, slow) = behind(94);
    world.heal();
    for round in 0..3 {
        for _ in 0..30 + round * 10 {
            world.deliver_one();
            world.write_one(slow);
            world.turn(slow);
        }
        world.crash(slow, Crash::Mix(round));
        world.start(slow);
        world.node(leader).group().tick();
        world.turn(leader);
    }
    world.converge();
    world.put("after", "v");
    world.converge();
}

#[test]
fn a_silent_receiver_is_reported_and_served_again_later() {
    let (mut world, leader, slow) = behind(95);
    world.heal();
    // the follower's requests are lost, its raft messages are not
    for _ in 0..130 {
        world.wire.retain(|(from, _, payload)| *from != slow || payload[0] != 1);
        world.ids().into_iter().for_each(|id| {
            world.node(id).group().tick();
            world.turn(id);
        });
        loop {
            world.wire.retain(|(from, _, payload)| *from != slow || payload[0] != 1);
            if !world.deliver_one() {
                break;
            }
            world.ids().into_iter().for_each(|id| {
                world.write_one(id);
                world.turn(id);
            });
        }
    }
    assert_eq!(rescans(&mut world, slow), 0);
    assert_eq!(world.leader(), Some(leader));
    world.converge();
    assert!(rescans(&mut world, slow) >= 1);
}

#[test]
fn a_live_follower_holds_the_log_back_within_the_byte_bound() {
    let mut world =
        World::with(96, 3, |config| (config.log_keep_entries, config.log_keep_bytes) = (10, 8 << 20));
    let leader = world.elect();
    let slow = world.ids().into_iter().find(|id| *id != leader).expect("another");
    world.put("first", "v");
    world.ticks(3);
    let last = world.node(slow).group().status().last;
    world.part(&[slow]);
    for n in 0..1200 {
        world.propose(leader, &format!("k{n}"), vec![1; 100]).expect("taken");
        if n % 100 == 0 {
            world.settle();
        }
    }
    world.settle();
    assert!(world.node(leader).group().status().first <= last, "kept for the live follower");
    world.heal();
    world.converge();
    assert_eq!(rescans(&mut world, slow), 0, "it caught up from the log");
}
