//! Random faults from a seed: crashes, partitions, loss, reordering, membership and slow writers together.
//! `RAFT_SEED=n cargo test -p hortator-raft --test swarm` repeats one seed; `RAFT_SEEDS=n` runs the first n.

mod harness;

use harness::World;
use hortator_raft::memory::Crash;
use hortator_raft::{ConfChange, GroupConfig};

const SEEDS: u64 = 30;
const STEPS: u64 = 250;

fn tune(config: &mut GroupConfig) {
    (config.log_keep_entries, config.log_keep_bytes) = (20, 32 * 1024);
}

fn crash_kind(world: &mut World) -> Crash {
    match world.random.below(3) {
        0 => Crash::Lose,
        1 => Crash::Keep,
        _ => Crash::Mix(world.random.next()),
    }
}

/// One random thing.
fn disturb(world: &mut World, step: u64) {
    let ids = world.ids();
    let id = ids[world.random.below(ids.len() as u64) as usize];
    let down: Vec<u64> = ids.iter().copied().filter(|id| world.nodes[id].group.is_none()).collect();
    match world.random.below(20) {
        0 if down.len() < ids.len() / 2 && !down.contains(&id) => {
            let crash = crash_kind(world);
            world.crash(id, crash);
        }
        1 if !down.is_empty() => {
            world.start(down[0]);
        }
        2 => world.part(&[id]),
        3 => world.heal(),
        4 => {
            let links = world.links();
            let link = links[world.random.below(links.len() as u64) as usize];
            world.cut.insert(link);
        }
        13 => change_members(world, id),
        5 if !down.contains(&id) => world.node(id).group().campaign(),
        6..=12 => {
            if let Some(leader) = world.leader() {
                let size = world.random.below(600) as usize;
                // refused when leadership was just lost: that is an answer too
                let _ = world.propose(leader, &format!("k{}", step % 23), vec![step as u8; size]);
            }
        }
        _ => {
            let all: Vec<u64> = ids.into_iter().filter(|id| !down.contains(id)).collect();
            all.into_iter().for_each(|id| world.node(id).group().tick());
        }
    }
}

/// Promotes a learner, demotes a voter, or both at once; refused more often than not.
fn change_members(world: &mut World, id: u64) {
    let Some(leader) = world.leader() else { return };
    let status = world.node(leader).group().status();
    let change = match status.learners.first() {
        Some(learner) if world.random.chance(50) => ConfChange::Swap { promote: *learner, demote: id },
        Some(learner) => ConfChange::Promote(*learner),
        None => ConfChange::Demote(id),
    };
    let _ = world.node(leader).group().propose_conf_change(change);
}

/// Lets a random part of what is under way happen.
fn move_on(world: &mut World) {
    for _ in 0..world.random.below(30) {
        let ids = world.ids();
        let id = ids[world.random.below(ids.len() as u64) as usize];
        match world.random.below(4) {
            0 => _ = world.write_one(id),
            1 => world.turn(id),
            _ => _ = world.deliver_one(),
        }
    }
}

fn swarm(seed: u64) -> u64 {
    let replicas = if seed.is_multiple_of(3) { 5 } else { 3 };
    let mut world = World::with(seed, replicas, tune);
    world.shuffle = true;
    world.loss_percent = world.random.below(20);
    for step in 0..STEPS {
        disturb(&mut world, step);
        move_on(&mut world);
        if step % 10 == 0 {
            world.check();
        }
    }
    // liveness: everything heals, everybody agrees
    world.heal();
    world.loss_percent = 0;
    for id in world.ids() {
        if world.node(id).group.is_none() {
            world.start(id);
        }
    }
    world.put("afterwards", "v");
    world.converge();
    world.transcript
}

#[expect(clippy::disallowed_methods, reason = "which seeds to run comes from the environment")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn nothing_committed_is_lost_and_replicas_agree() {
    match setting("RAFT_SEED") {
        Some(seed) => _ = swarm(seed),
        None => (0..setting("RAFT_SEEDS").unwrap_or(SEEDS)).for_each(|seed| _ = swarm(seed)),
    }
}

#[test]
fn a_seed_repeats_exactly() {
    assert_eq!(swarm(7), swarm(7));
}
