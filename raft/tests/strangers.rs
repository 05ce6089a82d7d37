//! Members that never met: what one of them knows of a third is what the other goes by.

mod harness;

use harness::World;
use hortator_raft::memory::{Crash, MemoryBackend};
use hortator_raft::{ConfChange, Notice};

/// Cuts both ways between one and some others.
fn part(world: &mut World, one: u64, others: &[u64]) {
    others.iter().for_each(|other| world.cut.extend([(one, *other), (*other, one)]));
}

fn meet(world: &mut World, one: u64, other: u64) {
    world.cut.retain(|link| *link != (one, other) && *link != (other, one));
}

fn refusals(world: &mut World, of: u64) -> usize {
    world.node(of).count(|notice| matches!(notice, Notice::RefusedByPeer { .. }))
}

fn applied(world: &mut World, of: u64) -> u64 {
    world.node(of).group().status().applied
}

/// Replica 4 joins a group whose first member 2 hears nobody, and leads it; then it is the only one that 2 can talk to.
fn led_by_a_newcomer(world: &mut World) {
    part(world, 2, &[1, 3, 4]);
    world.put("a", "1");
    let leader = world.elect();
    world.add(4, Vec::new(), |_| {});
    for change in [ConfChange::AddLearner(4), ConfChange::Promote(4)] {
        world.node(leader).group().propose_conf_change(change).expect("asked");
        world.ticks(20);
    }
    world.node(leader).group().transfer_leader(4).expect("it may lead");
    world.until("the newcomer leads", |world| world.leader() == Some(4));
    world.put("b", "2");
    assert_eq!(applied(world, 2), 1, "its log is blank");
    meet(world, 2, 4);
    world.ticks(60);
    assert_eq!(world.leader(), Some(4));
    assert_eq!(refusals(world, 2), 0, "its disk is whole");
}

#[test]
fn a_slow_first_member_is_taken_in_by_a_newcomer_on_the_word_of_those_who_met_it() {
    let mut world = World::new(140, 3);
    world.settle();
    led_by_a_newcomer(&mut world);
    world.converge();
}

#[test]
fn a_blank_voter_that_nobody_met_is_neither_refused_nor_fed_by_a_newcomer() {
    let mut world = World::new(141, 3);
    part(&mut world, 2, &[1, 3]);
    world.settle();
    led_by_a_newcomer(&mut world);
    assert_eq!(applied(&mut world, 2), 1, "it may as well be one whose disk was emptied");
    // The first members know that it may be blank, and tell the newcomer.
    world.heal();
    world.converge();
    assert_eq!(refusals(&mut world, 2), 0);
}

#[test]
fn an_emptied_first_member_is_refused_by_one_that_never_met_it() {
    let mut world = World::new(142, 3);
    part(&mut world, 2, &[3]);
    let first = world.elect();
    if first != 1 {
        world.node(first).group().transfer_leader(1).expect("it may lead");
        world.until("the one leads that met both", |world| world.leader() == Some(1));
    }
    world.put("a", "1");
    world.ticks(20);
    world.crash(2, Crash::Keep);
    world.node(2).backend = MemoryBackend::new();
    world.heal();
    part(&mut world, 2, &[1]);
    world.start(2);
    world.ticks(20);
    assert_ne!(refusals(&mut world, 2), 0);
    // Nor does its vote count.
    world.crash(1, Crash::Keep);
    world.ticks(80);
    assert_eq!(world.leader(), None);
}

#[test]
fn a_learner_whose_disk_was_emptied_is_filled_anew_by_one_that_never_met_it() {
    let mut world = World::new(143, 3);
    let leader = world.elect();
    let (stranger, third) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    part(&mut world, stranger, &[4]);
    world.add(4, Vec::new(), |_| {});
    world.node(leader).group().propose_conf_change(ConfChange::AddLearner(4)).expect("asked");
    world.put("a", "1");
    // Two have met the learner, and the one that has not asks them who it is.
    world.ticks(40);
    world.crash(4, Crash::Keep);
    world.node(4).backend = MemoryBackend::new();
    world.crash(leader, Crash::Keep);
    world.heal();
    part(&mut world, third, &[4]);
    world.start(4);
    world.until("the two others have a leader", |world| world.leader().is_some());
    world.ticks(40);
    assert_eq!(refusals(&mut world, 4), 0);
}
