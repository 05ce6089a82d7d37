//! When a run ends, as far as its tasks' durations are known.

use std::time::Duration;

use hortator_actors::seam::LaunchResult;
use hortator_core::id::RunId;
use hortator_core::time::Span;
use tokio::time::sleep;

use crate::world::{What, World, world};

const DONE: LaunchResult = LaunchResult::Exited { code: 0 };

/// Two items at once, which take ten seconds here, then five.
const FLOW: &str = "tasks: [{ id: one, foreach: { items: [a, b] }, shell: { script: hang } }, { id: two, needs: [one], shell: { script: run 5000 } }]";

async fn starts(world: &World, run: RunId) {
    let started = || {
        let deeds = world.deeds();
        deeds.iter().filter(|deed| deed.what == What::Started && deed.attempt.task_run.run == run).count()
    };
    world.until("both items run", || started() == 2).await;
}

fn end_items(world: &World) {
    world.host("w1").running().into_iter().for_each(|item| world.host("w1").end(item, DONE, What::Ended));
}

/// Seconds from now.
async fn left(world: &World, run: RunId) -> f64 {
    let now = world.now();
    let eta = world.view(1, run).await.expect("a view").eta.expect("durations are known");
    eta.since(now).0 as f64 / 1e6
}

#[test]
fn what_has_run_counts_in_the_eta() {
    world(661, 1, 1, async |world| {
        let (workflow, _) = world.apply(1, FLOW).await;
        let first = world.try_start(1, &workflow, "first").await.expect("started");
        starts(&world, first).await;
        assert_eq!(world.view(1, first).await.expect("a view").eta, None, "nothing is known yet");
        sleep(Duration::from_secs(10)).await;
        end_items(&world);
        assert_eq!(world.finished(1, first).await, "succeeded");

        let second = world.try_start(1, &workflow, "second").await.expect("started");
        starts(&world, second).await;
        let began = world.now();
        // After 12 s it is late, and what follows still takes its time.
        for (at, expected) in [(0, 15.0), (4, 11.0), (9, 6.0), (12, 5.0), (30, 5.0)] {
            let passed = world.now().since(began);
            sleep(Span::from_secs(at).as_duration().saturating_sub(passed.as_duration())).await;
            let left = left(&world, second).await;
            assert!((left - expected).abs() < 0.5, "after {at} s: {left} s, not {expected} s");
        }
        end_items(&world);
        sleep(Duration::from_secs(2)).await;
        let left = left(&world, second).await;
        assert!((left - 3.0).abs() < 0.5, "two seconds into the last task: {left} s");
        assert_eq!(world.finished(1, second).await, "succeeded");
    });
}
