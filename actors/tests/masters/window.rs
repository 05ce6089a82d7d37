//! A run with more ready task runs than may have an actor.

use std::fmt::Write;

use hortator_core::id::TaskKey;
use hortator_core::run::READY_WINDOW;

use crate::world::{What, World, world};

/// Four slots: one for `first` and the rest for what would never end.
fn many_and_urgent() -> String {
    let mut text = String::from(
        "
tasks:
  - { id: first, priority: high, shell: { script: run 2000 } }
  - { id: urgent, needs: [first], priority: highest, shell: { script: run 20 } }
  - id: many
    priority: low
    shell: { script: hang }
    foreach:
      as: item
      items: [0",
    );
    (1..5000).for_each(|item| _ = write!(text, ", {item}"));
    text.push_str("]\n");
    text
}

fn started(world: &World) -> Vec<TaskKey> {
    let started = world.deeds().into_iter().filter(|deed| deed.what == What::Started);
    started.map(|deed| deed.attempt.task_run.key).collect()
}

#[test]
fn a_window_full_of_low_priority_does_not_keep_the_highest_back() {
    world(901, 1, 1, async |world| {
        let (run, definition) = world.begin(1, &many_and_urgent()).await;
        world.until("all slots are taken", || started(&world).len() == 4).await;
        // Those that run hold no place: `first`, three of `many`, and as many as may wait.
        let view = world.view(1, run).await.expect("it is there");
        assert_eq!(view.counts["active"], 4 + READY_WINDOW);
        world.until("the next has started", || started(&world).len() > 4).await;
        let (urgent, _) = definition.task("urgent").expect("it is there");
        assert_eq!(started(&world)[4].task, urgent);
    });
}
