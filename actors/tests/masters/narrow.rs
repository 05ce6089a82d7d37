//! Mailboxes with room for hardly any message: each notice may be refused, and a refused notice costs a moment, never a run.

use std::time::Duration;

use hortator_core::id::RunId;
use hortator_raft::marks::{self, Deed, Listener};
use tokio::time::sleep;

use crate::world::{What, World, world};

/// All mailboxes are as narrow as a simulated world may make them.
struct Narrow;

impl Listener for Narrow {
    fn sometimes(&mut self, _: &'static str) {}
    fn never(&mut self, name: &'static str) {
        panic!("{name}");
    }
    fn buggify(&mut self, name: &'static str, _: u64) -> bool {
        name == "mailbox: narrow"
    }
    fn deed(&mut self, _: Deed) {}
}

const RUNS: usize = 24;

/// Some runs have their turn at a time, and end in the same moment.
const IN_TURNS: &str = "
concurrency: { runs: 4, when_full: queue }
tasks:
  - { id: first, noop: {} }
  - { id: fan, needs: [first], foreach: { items: [a, b, c, d, e, f, g, h], as: item }, noop: {} }
  - { id: last, needs: [fan], noop: {} }
";

const THAT_HANG: &str = "
concurrency: { runs: 8, when_full: queue }
tasks:
  - { id: hangs, shell: { script: hang } }
";

/// The gateway's mailbox is narrow too, so a client comes again.
async fn start(world: &World, workflow: &hortator_core::id::WorkflowName, key: &str) -> RunId {
    for _ in 0..100 {
        match world.try_start(1, workflow, key).await {
            Ok(run) => return run,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("never started")
}

async fn start_all(world: &World, text: &str) -> Vec<RunId> {
    let (workflow, _) = world.apply(1, text).await;
    let keys: Vec<String> = (0..RUNS).map(|number| format!("run {number}")).collect();
    let starts = keys.iter().map(|key| start(world, &workflow, key));
    futures_of(starts).await
}

/// All at once, in one task.
async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().map(|value| value.expect("all are done")).collect()
}

fn narrow(seed: u64, masters: u64, story: impl AsyncFnOnce(&World)) {
    marks::listen(Box::new(Narrow));
    world(seed, masters, 2, async |world| story(&world).await);
    marks::deafen();
}

#[test]
fn runs_that_end_at_once_give_their_turns_to_all_that_wait() {
    for seed in 601..611 {
        narrow(seed, 1, async |world| {
            for run in start_all(world, IN_TURNS).await {
                assert_eq!(world.finished(1, run).await, "succeeded");
            }
        });
    }
}

#[test]
fn runs_that_are_cancelled_at_once_end_and_give_their_turns() {
    for seed in 611..616 {
        narrow(seed, 1, async |world| {
            let runs = start_all(world, THAT_HANG).await;
            // As many as there are slots run, in the order of their ids; whoever is cancelled makes room for the next.
            let mut left: Vec<RunId> = runs.clone();
            left.sort();
            for (wave, page) in left.chunks(8).enumerate() {
                world.until("as many as may run", || starts(world) >= 8 * (wave + 1)).await;
                futures_of(page.iter().map(|run| cancel(world, *run))).await;
            }
            for run in runs {
                assert_eq!(world.finished(1, run).await, "cancelled");
            }
        });
    }
}

fn starts(world: &World) -> usize {
    world.deeds().iter().filter(|deed| deed.what == What::Started).count()
}

async fn cancel(world: &World, run: RunId) {
    use hortator_proto::api::{Command, Request};
    for _ in 0..100 {
        let command = Command::Cancel { run, reason: None, by: "test".into() };
        match world.request(1, Request::Command(command)).await {
            Ok(_) => return,
            Err(problem) if problem.code == "H3201" => return,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("never accepted")
}

/// Losses of leaders, and workers that hang, in a cluster of three.
#[test]
fn the_next_leader_finds_all_of_it() {
    for seed in 621..625 {
        narrow(seed, 3, async |world| {
            world.wait_leader(1, 0, &[]).await;
            world.wait_leader(1, 1, &[]).await;
            let runs = start_all(world, IN_TURNS).await;
            let leader = world.wait_leader(1, 1, &[]).await;
            if leader != 1 {
                world.crash_master(leader, hortator_raft::memory::Crash::Keep).await;
            }
            for run in runs {
                assert_eq!(world.finished(1, run).await, "succeeded");
            }
        });
    }
}
