//! Several replicas: elections, lost leaders, partitions, reads, and what is said about commits.

mod harness;

use harness::World;
use hortator_raft::memory::Crash;
use hortator_raft::{EpochError, Notice, ReadIndexError, Role, StepError};

#[test]
fn a_leader_is_elected_and_replicates() {
    for count in [3, 5] {
        let mut world = World::new(20 + count, count);
        let leader = world.elect();
        for n in 0..10 {
            world.put(&format!("k{n}"), "v");
        }
        world.converge();
        for id in world.ids() {
            assert_eq!(world.value(id, "k9"), Some("v".into()), "replica {id}");
        }
        assert_eq!(world.leader(), Some(leader), "nothing disturbed it");
    }
}

#[test]
fn a_lost_leader_is_replaced_and_nothing_committed_is_lost() {
    let mut world = World::new(30, 3);
    for round in 0..6 {
        let leader = world.elect();
        world.put(&format!("round{round}"), "v");
        world.crash(leader, [Crash::Lose, Crash::Keep, Crash::Mix(round)][round as usize % 3]);
        let next = world.elect();
        assert_ne!(leader, next);
        world.put(&format!("without{round}"), "v");
        world.start(leader);
        world.converge();
    }
    assert_eq!(world.committed.len(), 12);
}

#[test]
fn takes_over_within_two_election_timeouts() {
    for seed in 40..48 {
        let mut world = World::new(seed, 3);
        let leader = world.elect();
        world.ticks(5);
        world.crash(leader, Crash::Lose);
        let mut ticks = 0;
        while world.leader().is_none() {
            world.tick();
            ticks += 1;
        }
        assert!((8..=45).contains(&ticks), "{ticks} ticks");
    }
}

#[test]
fn a_vote_is_given_to_a_follower_whose_restart_was_not_heard_of() {
    for seed in 60..68 {
        let mut world = World::new(seed, 3);
        let leader = world.elect();
        world.converge();
        let others: Vec<u64> = world.ids().into_iter().filter(|id| *id != leader).collect();
        let [restarted, other] = others[..] else { unreachable!("three replicas") };
        world.crash(restarted, Crash::Keep);
        world.cut.extend([(restarted, other), (other, restarted)]);
        world.start(restarted);
        world.converge();
        world.heal();
        world.crash(leader, Crash::Keep);
        // Until then the other gives no vote, whoever asks; later it would stand itself.
        for _ in 0..10 {
            world.node(other).group().tick();
            world.turn(other);
        }
        world.node(restarted).group().campaign();
        world.settle();
        assert_eq!(world.leader(), Some(restarted), "seed {seed}: without another tick");
    }
}

#[test]
fn a_deposed_leader_reports_nothing_of_the_entry_that_was_overwritten() {
    let mut world = World::new(50, 3);
    let old = world.elect();
    world.put("base", "v");
    world.part(&[old]);
    let lost = world.propose(old, "lost", "v").expect("taken");
    let others: Vec<u64> = world.ids().into_iter().filter(|id| *id != old).collect();
    world.until("the others elect", |world| world.leader().is_some_and(|leader| others.contains(&leader)));
    let next = world.leader().expect("elected");
    // until an entry of the new term stands under the very index the old leader proposed at
    world.until("the index is taken again", |world| {
        world.statuses().iter().any(|status| status.commit >= lost.index)
    });
    assert!(!world.committed.contains_key(&lost.index) || world.committed[&lost.index].0 != lost);
    world.heal();
    world.put("after", "v");
    world.converge();
    let node = world.node(old);
    assert_eq!(
        node.count(|notice| matches!(notice, Notice::Committed { position, .. } if *position == lost)),
        0
    );
    assert!(node.count(|notice| matches!(notice, Notice::EpochEnded { .. })) >= 1);
    assert_eq!((world.value(old, "lost"), world.value(next, "lost")), (None, None));
}

#[test]
fn an_overwritten_tail_is_gone_from_the_file_as_well() {
    let mut world = World::new(51, 3);
    let old = world.elect();
    world.put("base", "v");
    world.part(&[old]);
    for n in 0..20 {
        world.propose(old, &format!("lost{n}"), "v").expect("taken");
    }
    world.settle();
    let long = world.node(old).group().status().last;
    world.until("another leads", |world| world.leader().is_some_and(|leader| leader != old));
    world.heal();
    world.converge();
    let last = world.node(old).group().status().last;
    assert!(last < long, "the new log is shorter");
    world.crash(old, Crash::Lose);
    world.start(old);
    assert_eq!(world.node(old).group().status().last, last);
    world.put("after", "v");
    world.converge();
}

#[test]
fn a_minority_neither_commits_nor_disturbs() {
    let mut world = World::new(60, 5);
    let leader = world.elect();
    let minority: Vec<u64> = world.ids().into_iter().filter(|id| *id != leader).take(2).collect();
    world.part(&minority);
    let term = world.node(leader).group().status().term;
    world.ticks(100);
    world.put("majority", "v");
    world.heal();
    world.converge();
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(world.node(leader).group().status().term, term, "pre-vote kept the term");
}

#[test]
fn a_leader_without_a_quorum_steps_down() {
    let mut world = World::new(61, 3);
    let leader = world.elect();
    world.part(&[leader]);
    world.until("it notices", |world| !world.node(leader).is_leader());
    assert_eq!(world.node(leader).group().read_index(), Err(ReadIndexError::NotLeader));
}

#[test]
fn one_way_and_bridged_links_do_not_stop_the_group_for_good() {
    let mut world = World::new(62, 3);
    let leader = world.elect();
    // the leader hears nobody, but everybody hears it
    for (from, to) in world.links() {
        if to == leader {
            world.cut.insert((from, to));
        }
    }
    world.ticks(80);
    let next = world.elect();
    assert_ne!(next, leader);
    world.heal();
    // a chain: 1 - 2 - 3, with 1 and 3 cut off from each other
    world.cut.extend([(1, 3), (3, 1)]);
    world.ticks(80);
    world.put("chained", "v");
    world.heal();
    world.converge();
}

#[test]
fn a_read_needs_a_quorum_round_after_it_was_asked() {
    let mut world = World::new(70, 3);
    let leader = world.elect();
    let position = world.put("a", "1");
    let read = world.node(leader).group().read_index().expect("asked");
    world.turn(leader);
    assert!(!world.node(leader).reads.contains_key(&read.0), "not before the round");
    world.settle();
    assert!(world.node(leader).reads[&read.0] >= position.index);

    world.part(&[leader]);
    let doomed = world.node(leader).group().read_index().expect("asked");
    world.until("leadership is lost", |world| !world.node(leader).is_leader());
    let node = world.node(leader);
    assert_eq!(node.count(|notice| *notice == Notice::ReadDropped { id: doomed }), 1);
    world.heal();
    world.ticks(30);
    assert_eq!(
        world.node(leader).count(|notice| matches!(notice, Notice::ReadReady { id, .. } if *id == doomed)),
        0
    );
}

#[test]
fn leadership_is_handed_over_on_request() {
    let mut world = World::new(71, 3);
    let leader = world.elect();
    world.put("a", "1");
    world.ticks(3);
    let to = world.ids().into_iter().find(|id| *id != leader).expect("another");
    world.node(leader).group().transfer_leader(to).expect("asked");
    world.settle();
    assert_eq!(world.leader(), Some(to), "without waiting for a timeout");
    world.put("b", "2");
    world.converge();
}

/// A leader that hands over takes no barrier. Whoever decides in its epoch must hear that this is over, or asks for ever.
#[test]
fn an_epoch_that_no_other_can_follow_ends_with_the_leadership() {
    let mut world = World::new(74, 3);
    let leader = world.elect();
    world.put("a", "1");
    world.ticks(3);
    let to = world.ids().into_iter().find(|id| *id != leader).expect("another");
    world.node(leader).group().transfer_leader(to).expect("asked");
    assert_eq!(world.node(leader).group().begin_epoch(), Err(EpochError::Dropped));
    let ended =
        |world: &mut World| world.node(leader).count(|notice| matches!(notice, Notice::EpochEnded { .. }));
    let before = ended(&mut world);
    world.settle();
    assert_eq!(world.leader(), Some(to));
    assert_eq!(ended(&mut world), before + 1);
}

#[test]
fn proposals_and_reads_from_the_wire_are_dropped() {
    use protobuf2::Message as _;
    use raft::eraftpb::{Entry, Message, MessageType};
    let mut world = World::new(72, 3);
    let leader = world.elect();
    world.put("a", "1");
    let from = world.ids().into_iter().find(|id| *id != leader).expect("another");
    let boot = world.node(from).group().status().boot;
    let last = world.node(leader).group().status().last;
    for kind in [
        MessageType::MsgPropose,
        MessageType::MsgReadIndex,
        MessageType::MsgTransferLeader,
        MessageType::MsgHup,
    ] {
        let mut message = Message { from, to: leader, ..Message::default() };
        message.set_msg_type(kind);
        message.mut_entries().push(Entry { data: "forged".into(), ..Entry::default() });
        let mut payload = vec![0];
        payload.extend_from_slice(&boot.to_le_bytes());
        payload.extend_from_slice(&message.write_to_bytes().expect("encodes"));
        let stepped = world.node(leader).group().step(from, &payload);
        assert!(matches!(stepped, Err(StepError::Forbidden { .. })), "{kind:?}: {stepped:?}");
    }
    world.settle();
    assert_eq!(world.node(leader).group().status().last, last);
}

#[test]
fn messages_that_rest_on_a_write_wait_for_it() {
    let mut world = World::new(73, 3);
    let leader = world.elect();
    world.put("a", "1");
    world.ticks(4);
    let follower = world.ids().into_iter().find(|id| *id != leader).expect("another");
    let position = world.propose(leader, "b", "2").expect("taken");
    world.turn(leader);
    // everything but writers moves: nobody may acknowledge
    while world.deliver_one() {}
    assert!(!world.committed.contains_key(&position.index));
    let matched = |world: &mut World| -> Vec<u64> {
        world.node(leader).group().status().peers.iter().map(|peer| peer.matched).collect()
    };
    assert!(matched(&mut world).iter().all(|index| *index < position.index));
    // one follower and the network: leader's own sync may still be under way
    world.write_one(follower);
    world.turn(follower);
    while world.deliver_one() {}
    assert!(!world.committed.contains_key(&position.index), "one of three is no quorum");
    let other = world.ids().into_iter().find(|id| *id != leader && *id != follower).expect("a third");
    world.write_one(other);
    world.turn(other);
    while world.deliver_one() {}
    assert!(world.committed.contains_key(&position.index), "committed before the leader's own sync");
    assert!(world.node(leader).rows().applied() < position.index);
    world.converge();
}

#[test]
fn a_seed_repeats_a_run_exactly() {
    let run = || {
        let mut world = World::new(80, 3);
        (world.shuffle, world.loss_percent) = (true, 10);
        for round in 0..4 {
            world.elect();
            world.put(&format!("k{round}"), "v");
            let leader = world.elect();
            world.crash(leader, Crash::Mix(round));
            world.elect();
            world.start(leader);
        }
        world.transcript
    };
    assert_eq!(run(), run());
}

#[test]
fn a_stall_collapsed_to_one_tick_starts_no_election() {
    let mut world = World::new(81, 3);
    let leader = world.elect();
    let term = world.node(leader).group().status().term;
    // a follower sleeps: its owner sends one tick afterwards, not fifty
    for _ in 0..3 {
        world.ticks(8);
    }
    assert_eq!(world.node(leader).group().status().term, term);
    assert!(world.statuses().iter().all(|status| status.role != Role::Candidate));
}
