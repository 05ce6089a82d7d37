//! All masters lose their power at once, again and again, while a wide run is under way: what was acknowledged goes
//! on, and no process is started twice for it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hortator_core::definition::Definition;
use hortator_core::id::TaskKey;
use hortator_core::time::Timestamp;
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::{Draw, What, World, world};

const TASKS: u64 = 50;

/// Tasks that need up to three of those before them.
pub(crate) fn random_dag(draw: &mut Draw) -> String {
    let mut text = String::from("tasks:\n");
    for task in 0..TASKS {
        let mut needs: Vec<String> = Vec::new();
        for _ in 0..draw.below(4).min(task) {
            let parent = format!("t{}", draw.below(task));
            if !needs.contains(&parent) {
                needs.push(parent);
            }
        }
        let kind = match draw.below(4) {
            0 => "noop: {}".to_string(),
            _ => format!("shell: {{ script: run {} }}", draw.below(300)),
        };
        let _ = writeln!(text, "  - {{ id: t{task}, needs: [{}], {kind} }}", needs.join(", "));
    }
    text
}

/// Every process ran once and to its end, and after those of the tasks that its own needs.
pub(crate) fn each_ran_once(world: &World, definition: &Definition) {
    let mut times: BTreeMap<TaskKey, (Vec<Timestamp>, Vec<Timestamp>)> = BTreeMap::new();
    for deed in world.deeds() {
        let (started, ended) = times.entry(deed.attempt.task_run.key).or_default();
        match deed.what {
            What::Started => started.push(deed.at),
            What::Ended => ended.push(deed.at),
            What::Killed => panic!("{:?} {} was killed", deed.attempt, deed.fence),
        }
    }
    for (key, (started, ended)) in &times {
        assert_eq!((started.len(), ended.len()), (1, 1), "task {}", key.task);
        for parent in definition.graph.parents(key.task) {
            let parent_ended = times.get(&TaskKey { task: *parent, item: 0 }).map(|(_, ended)| ended[0]);
            assert!(parent_ended.is_none_or(|at| at <= started[0]), "task {} before {parent}", key.task);
        }
    }
}

#[test]
fn power_loss_of_all_masters_at_random_moments() {
    for (seed, masters) in [(11, 1), (12, 1), (13, 3), (14, 3), (2027, 3)] {
        world(seed, masters, 2, async |world| {
            let text = random_dag(&mut world.draw.borrow_mut());
            let (workflow, definition) = world.apply(1, &text).await;
            let run = world.try_start(1, &workflow, "once").await.expect("started");
            for crash in 0..8 {
                let (pause, how) = {
                    let mut draw = world.draw.borrow_mut();
                    let how = [Crash::Lose, Crash::Keep, Crash::Mix(draw.next())][draw.below(3) as usize];
                    (draw.below(1_500), how)
                };
                sleep(Duration::from_millis(pause)).await;
                for id in world.masters() {
                    // In the middle of a write, where one comes soon enough.
                    let disk = &world.disk(id);
                    disk.crash_at(disk.operations() + 1 + world.below(40));
                }
                sleep(Duration::from_millis(5)).await;
                for id in world.masters() {
                    world.crash_master(id, how).await;
                }
                for id in world.masters() {
                    world.start_master(id).await;
                }
                if crash % 3 == 0 {
                    let again = world.try_start(1, &workflow, "once").await;
                    assert_eq!(again.expect("answered after an election"), run, "the key's run");
                }
            }
            let (state, tasks) = (world.finished(1, run).await, world.tasks(1, run).await);
            let failed: Vec<_> = tasks.iter().filter(|task| task.state == "failed").collect();
            assert_eq!(state, "succeeded", "{failed:#?}");
            assert!(tasks.len() as u64 == TASKS && tasks.iter().all(|task| task.attempt == 1), "{tasks:#?}");
            each_ran_once(&world, &definition);
        });
    }
}
