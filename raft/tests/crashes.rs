//! A crash at every single storage operation of a short script, for one and for three replicas. Whatever the disk keeps of
//! what was not synced, nothing committed is lost and replicas stay equal.

mod harness;

use harness::World;
use hortator_raft::memory::Crash;
use hortator_raft::{GroupConfig, StoreBackend as _};

fn tune(config: &mut GroupConfig) {
    // small, so that the script cuts the log as well
    config.log_keep_bytes = 16 * 1024;
    config.log_keep_entries = 4;
}

/// Proposes and settles a few times; stops early when the node that is to die has died.
fn script(world: &mut World, doomed: u64) {
    for n in 0..8u8 {
        let Some(leader) = living_leader(world, doomed) else {
            return;
        };
        for part in 0..3 {
            if world.propose(leader, &format!("k{}", n % 5), vec![n * 3 + part; 3_000]).is_err() {
                return;
            }
        }
        world.settle();
        if world.node(doomed).backend.is_dead() {
            return;
        }
        if n % 4 == 3 {
            world.tick();
        }
    }
}

fn living_leader(world: &mut World, doomed: u64) -> Option<u64> {
    for _ in 0..60 {
        if world.node(doomed).backend.is_dead() {
            return None;
        }
        if let Some(leader) = world.leader() {
            return Some(leader);
        }
        world.tick();
    }
    panic!("no leader");
}

/// Runs the script with the crash planned at that operation; gives the operations of the doomed disk.
fn run(replicas: u64, doomed: u64, at: Option<u64>, crash: Crash) -> u64 {
    let mut world = World::with(1000 + replicas, replicas, tune);
    if let Some(at) = at {
        world.node(doomed).backend.crash_at(at);
    }
    let planned = at.is_some_and(|at| at <= world.node(doomed).backend.operations());
    if !planned {
        script(&mut world, doomed);
    }
    let operations = world.node(doomed).backend.operations();
    world.crash(doomed, crash);
    world.start(doomed);
    world.put("afterwards", "v");
    world.converge();
    operations
}

fn exhaust(replicas: u64, doomed: u64, step: usize) {
    let operations = run(replicas, doomed, None, Crash::Lose);
    assert!(operations > 100, "{operations} operations");
    println!("{operations} operations");
    for at in (1..=operations).step_by(step) {
        for crash in [Crash::Lose, Crash::Keep, Crash::Mix(at)] {
            println!("crash at {at}, {crash:?}");
            run(replicas, doomed, Some(at), crash);
        }
    }
}

#[test]
fn one_replica_at_every_operation() {
    exhaust(1, 1, 1);
}

#[test]
fn one_of_three_replicas() {
    // whichever leads: all three are doomed in turn, at every ninth operation, with another offset each
    for doomed in 1..=3 {
        exhaust(3, doomed, 9);
    }
}

#[test]
fn dying_while_opening() {
    for at in 1..200 {
        for crash in [Crash::Lose, Crash::Keep, Crash::Mix(at)] {
            let mut world = World::with(1100, 1, tune);
            world.settle();
            world.put("a", "1");
            world.crash(1, Crash::Lose);
            let before = world.node(1).backend.operations();
            world.node(1).backend.crash_at(before + at);
            if world.start(1) {
                world.crash(1, crash);
                world.start(1);
                world.converge();
                if at > 100 {
                    return;
                }
                continue;
            }
            world.crash(1, crash);
            world.start(1);
            world.converge();
        }
    }
}

#[test]
fn dying_while_a_snapshot_is_installed() {
    for at in 1..400 {
        let mut world =
            World::with(1200, 3, |config| (config.log_keep_entries, config.log_keep_bytes) = (4, 16 * 1024));
        let leader = world.elect();
        world.put("first", "v");
        let slow = world.ids().into_iter().find(|id| *id != leader).expect("another");
        world.part(&[slow]);
        for n in 0..600 {
            world.propose(leader, &format!("k{}", n % 20), vec![1; 200]).expect("taken");
        }
        world.settle();
        world.heal();
        let before = world.node(slow).backend.operations();
        world.node(slow).backend.crash_at(before + at);
        for _ in 0..40 {
            if world.node(slow).backend.is_dead() {
                break;
            }
            world.tick();
        }
        let died = world.node(slow).backend.is_dead();
        world.crash(slow, [Crash::Lose, Crash::Keep, Crash::Mix(at)][at as usize % 3]);
        world.start(slow);
        world.converge();
        if !died {
            println!("nothing left to interrupt after {at} operations");
            return;
        }
    }
    panic!("the installation never ended");
}
