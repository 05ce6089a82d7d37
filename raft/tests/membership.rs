//! Adding and removing replicas, one change at a time, and joint configurations that must be left.

mod harness;

use harness::World;
use hortator_raft::memory::Crash;
use hortator_raft::{ConfChange, ConfChangeError, Notice, Role};

fn change(world: &mut World, change: ConfChange) {
    let leader = world.elect();
    world.ticks(3);
    let id = world.node(leader).group().propose_conf_change(change).expect("asked");
    world.until("the change is applied", |world| {
        let done =
            |notice: &Notice| matches!(notice, Notice::ConfChanged { id: Some(found), .. } if *found == id);
        world.node(leader).count(done) == 1
    });
}

fn voters(world: &mut World, id: u64) -> Vec<u64> {
    world.node(id).group().status().voters
}

#[test]
fn a_group_of_one_grows_to_three_and_shrinks_again() {
    let mut world = World::with(100, 1, |config| config.log_keep_entries = 5);
    world.settle();
    for n in 0..1500 {
        world.propose(1, &format!("k{}", n % 90), vec![n as u8; 50]).expect("taken");
    }
    world.settle();
    for id in [2, 3] {
        world.add(id, Vec::new(), |_| {});
        change(&mut world, ConfChange::AddLearner(id));
        world.until("it has caught up", |world| world.value(id, "k89").is_some());
        assert_eq!(world.node(id).group().status().role, Role::Learner);
        change(&mut world, ConfChange::Promote(id));
    }
    world.converge();
    assert_eq!(voters(&mut world, 3), [1, 2, 3]);
    world.put("three", "v");
    world.converge();

    world.node(1).group().transfer_leader(2).expect("asked");
    world.until("two leads", |world| world.leader() == Some(2));
    change(&mut world, ConfChange::Demote(1));
    change(&mut world, ConfChange::Remove(1));
    assert_eq!(voters(&mut world, 2), [2, 3]);
    world.part(&[1]);
    world.ticks(60);
    world.put("without", "v");
}

/// It asks nobody for votes, so nothing else makes it wait: two lives could lead in one term.
#[test]
fn a_sole_voter_leads_its_learner_in_no_term_that_is_not_on_disk() {
    let mut world = World::new(102, 1);
    world.settle();
    world.add(2, Vec::new(), |_| {});
    change(&mut world, ConfChange::AddLearner(2));
    world.converge();
    let term = |world: &mut World, id| world.node(id).group().status().term;
    let before = term(&mut world, 2);
    for _ in 0..3 {
        world.crash(1, Crash::Lose);
        assert!(world.start(1));
        // Greetings and ticks, and no write of the first.
        for _ in 0..60 {
            world.turn(1);
            while world.deliver_one() {}
            while world.write_one(2) {
                world.turn(2);
            }
            world.node(1).group().tick();
        }
        assert!(term(&mut world, 1) > before, "it leads as far as it knows");
        assert_eq!(term(&mut world, 2), before, "and nobody has heard of it");
    }
    world.converge();
    world.put("a", "1");
    assert!(term(&mut world, 2) > before);
}

#[test]
fn what_makes_no_sense_is_refused_before_it_is_proposed() {
    let mut world = World::new(101, 3);
    let leader = world.elect();
    world.put("a", "1");
    world.ticks(3);
    let other = world.ids().into_iter().find(|id| *id != leader).expect("another");
    let group = world.node(leader).group();
    assert_eq!(
        group.propose_conf_change(ConfChange::AddLearner(other)),
        Err(ConfChangeError::AlreadyMember(other))
    );
    assert_eq!(group.propose_conf_change(ConfChange::Promote(9)), Err(ConfChangeError::NotLearner(9)));
    assert_eq!(group.propose_conf_change(ConfChange::Remove(other)), Err(ConfChangeError::NotLearner(other)));
    assert_eq!(group.propose_conf_change(ConfChange::Demote(leader)), Err(ConfChangeError::Leader(leader)));
    assert_eq!(group.propose_conf_change(ConfChange::Demote(9)), Err(ConfChangeError::NotVoter(9)));
    group.propose_conf_change(ConfChange::AddLearner(9)).expect("asked");
    assert_eq!(group.propose_conf_change(ConfChange::AddLearner(8)), Err(ConfChangeError::Pending));
    world.settle();
    let behind = world.node(leader).group().propose_conf_change(ConfChange::Promote(9));
    assert!(matches!(behind, Err(ConfChangeError::Behind { peer: 9, .. })), "{behind:?}");
    let follower = world.node(other).group().propose_conf_change(ConfChange::AddLearner(8));
    assert_eq!(follower, Err(ConfChangeError::NotLeader));
}

#[test]
fn an_overwritten_change_is_reported_as_refused() {
    let mut world = World::new(102, 3);
    let old = world.elect();
    world.put("a", "1");
    world.part(&[old]);
    let id = world.node(old).group().propose_conf_change(ConfChange::AddLearner(9)).expect("asked");
    world.until("another leads", |world| world.leader().is_some_and(|leader| leader != old));
    world.put("b", "2");
    world.heal();
    world.converge();
    assert_eq!(world.node(old).count(|notice| *notice == Notice::ConfChangeRefused { id }), 1);
    assert!(world.statuses().iter().all(|status| status.learners.is_empty()));
}

/// Three voters and a learner that has caught up.
fn with_learner(seed: u64) -> (World, u64) {
    let mut world = World::new(seed, 3);
    world.put("a", "1");
    world.add(4, Vec::new(), |_| {});
    change(&mut world, ConfChange::AddLearner(4));
    world.until("it has caught up", |world| world.value(4, "a").is_some());
    world.ticks(3);
    let leader = world.elect();
    (world, leader)
}

#[test]
fn a_voter_is_swapped_through_a_joint_configuration() {
    let (mut world, leader) = with_learner(103);
    let demote = (1..=3).find(|id| *id != leader).expect("another");
    change(&mut world, ConfChange::Swap { promote: 4, demote });
    world.until("joint is left", |world| world.node(leader).group().status().learners == [demote]);
    assert!(voters(&mut world, leader).contains(&4));
    change(&mut world, ConfChange::Remove(demote));
    world.put("b", "2");
}

#[test]
fn a_joint_configuration_is_left_by_the_next_leader() {
    for seed in 110..118 {
        let (mut world, leader) = with_learner(seed);
        let demote = (1..=3).find(|id| *id != leader).expect("another");
        world
            .node(leader)
            .group()
            .propose_conf_change(ConfChange::Swap { promote: 4, demote })
            .expect("asked");
        // let it commit somewhere, and take the leader away at a point that differs by seed
        for _ in 0..seed - 105 {
            world.ids().into_iter().for_each(|id| world.turn(id));
            world.deliver_one();
            world.ids().into_iter().for_each(|id| _ = world.write_one(id));
        }
        world.crash(leader, Crash::Lose);
        world.elect();
        world.start(leader);
        world.converge();
        world.until("joint is left", |world| {
            let leader = world.elect();
            let status = world.node(leader).group().status();
            status.voters.len() == 3 && status.voters.len() + status.learners.len() == 4
        });
        world.put("b", "2");
        world.converge();
    }
}

#[test]
fn a_sole_voter_is_not_unseated_by_a_former_member() {
    use protobuf2::Message as _;
    use raft::eraftpb::{Message, MessageType};
    let mut world = World::new(104, 2);
    world.elect();
    world.put("a", "1");
    world.ticks(3);
    let leader = world.elect();
    let other = 3 - leader;
    change(&mut world, ConfChange::Demote(other));
    change(&mut world, ConfChange::Remove(other));
    assert_eq!(voters(&mut world, leader), [leader]);
    let term = world.node(leader).group().status().term;
    let boot = world.node(other).group().status().boot;
    for n in 0..10 {
        // a write is in flight when the former member claims a higher term, and time goes on
        world.propose(leader, &format!("k{n}"), "v").expect("taken");
        world.turn(leader);
        let mut message = Message { from: other, to: leader, term: term + 5, ..Message::default() };
        message.set_msg_type([MessageType::MsgAppendResponse, MessageType::MsgRequestVote][n % 2]);
        let mut payload = vec![0];
        payload.extend_from_slice(&boot.to_le_bytes());
        payload.extend_from_slice(&message.write_to_bytes().expect("encodes"));
        assert!(world.node(leader).group().step(other, &payload).is_err());
        for _ in 0..25 {
            world.node(leader).group().tick();
            world.turn(leader);
        }
    }
    world.settle();
    assert_eq!(world.node(leader).group().status().term, term);
    assert!(world.node(leader).is_leader());
}

#[test]
fn a_joint_configuration_applied_as_follower_is_left_when_it_leads() {
    let (mut world, leader) = with_learner(105);
    let demote = (1..=3).find(|id| *id != leader).expect("another");
    world.node(leader).group().propose_conf_change(ConfChange::Swap { promote: 4, demote }).expect("asked");
    // the followers persist, commit and apply the change; the leader's own write never ends, so it
    // neither applies the change nor appends the entry that leaves the joint configuration
    for _ in 0..40 {
        world.turn(leader);
        while world.deliver_one() {}
        for id in world.ids() {
            if id != leader {
                world.write_one(id);
            }
            world.turn(id);
        }
        world.node(leader).group().tick();
    }
    let joint = |world: &mut World, id: u64| world.node(id).group().status().voters.contains(&4);
    let applied: Vec<u64> =
        world.ids().into_iter().filter(|id| *id != leader && joint(&mut world, *id)).collect();
    assert!(applied.len() >= 2 && !joint(&mut world, leader), "{applied:?}");
    world.crash(leader, Crash::Lose);
    let next = world.elect();
    world.until("joint is left", |world| world.node(next).group().status().learners == [demote]);
    world.start(leader);
    world.put("b", "2");
    world.converge();
}
