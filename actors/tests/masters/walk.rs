//! The walk: a definition goes in, its tasks run, and what is kept tells one story in history and in rows.

use hortator_proto::frame::NodeId;
use hortator_raft::memory::Crash;

use crate::world::{fold_equals_rows, rows_after, world};

/// Noop and shell, a foreach, a retry, a skip.
const MIXED: &str = "
on_failure: continue
tasks:
  - { id: first, noop: {} }
  - { id: work, needs: [first], shell: { script: run 30 } }
  - { id: each, needs: [first], foreach: { items: [a, b, c], as: part }, shell: { script: run 5 } }
  - { id: bad, needs: [first], retry: { max: 2, delay: 100ms }, shell: { script: fail 5 } }
  - { id: after-bad, needs: [bad], noop: {} }
  - { id: last, needs: [work, each], noop: {} }
";

const FINE: &str = "
tasks:
  - { id: first, noop: {} }
  - { id: work, needs: [first], shell: { script: run 30 } }
  - { id: last, needs: [work], noop: {} }
";

#[test]
fn tasks_run_in_order_and_history_folds_to_rows() {
    for (seed, text, expected, starts) in [(1, FINE, "succeeded", 1), (2, MIXED, "failed", 7)] {
        world(seed, 1, 2, async |world| {
            let (run, definition) = world.begin(1, text).await;
            assert_eq!(world.finished(1, run).await, expected);
            let tasks = world.tasks(1, run).await;
            for task in &tasks {
                let word = match task.id.as_str() {
                    "bad" => "failed",
                    "after-bad" => "skipped",
                    _ => "succeeded",
                };
                assert_eq!(task.state, word, "{task:?}");
            }
            let started =
                world.deeds().iter().filter(|deed| deed.what == crate::world::What::Started).count();
            assert_eq!(started, starts, "processes");
            world.crash_master(1, Crash::Keep).await;
            world.net.leave(&NodeId::Master(1));
            let (rows, _group) = rows_after(&world.disk(1));
            fold_equals_rows(&rows, run, &definition);
        });
    }
}
