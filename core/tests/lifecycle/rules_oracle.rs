//! A second, tiny account of `run_if`, written from the words of the UX guide: whole runs must end as it says.

use std::sync::Arc;

use hortator_core::definition::{Definition, OnFailure, RunIf, Task};
use hortator_core::event::{AttemptResult, RunOutcome, TaskResult};
use hortator_core::id::{TaskIndex, TaskKey};
use hortator_core::run::{RunCommand, RunPhase};
use proptest::prelude::*;

use crate::definitions;
use crate::world::World;

/// What each task will do if it may: succeed, fail, be skipped by its condition, or break over it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Succeeds,
    Fails,
    ConditionFalse,
    ConditionBroken,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) definition: Arc<Definition>,
    pub(crate) fates: Vec<Fate>,
}

/// Graphs of 1 to `most` tasks in which every task may need any earlier ones.
pub(crate) fn plans(
    most: usize,
    on_failure: impl Strategy<Value = OnFailure>,
) -> impl Strategy<Value = Plan> {
    let rules = prop::sample::select(vec![
        RunIf::AllSuccess,
        RunIf::AllSuccess,
        RunIf::AllDone,
        RunIf::OneSuccess,
        RunIf::OneFailed,
        RunIf::NoneFailed,
        RunIf::Always,
    ]);
    let fates = prop::sample::select(vec![
        Fate::Succeeds,
        Fate::Succeeds,
        Fate::Succeeds,
        Fate::Fails,
        Fate::ConditionFalse,
        Fate::ConditionBroken,
    ]);
    let foreach = prop::option::weighted(0.2, (0..4usize, prop::option::of(1..3u32)));
    let task = (rules, fates, any::<u16>(), foreach, 0..2u32);
    (prop::collection::vec(task, 1..=most), on_failure).prop_map(|(rows, on_failure)| {
        let (mut tasks, mut needs, mut fates) = (Vec::<Task>::new(), Vec::new(), Vec::new());
        for (index, (rule, fate, parents, foreach, retries)) in rows.into_iter().enumerate() {
            let mut task = definitions::task(&format!("t{index}"));
            task.run_if = rule;
            task.retry.max = retries;
            task.foreach = foreach.and_then(|(items, parallel)| definitions::foreach(items, parallel));
            task.when = match fate {
                Fate::Succeeds | Fate::Fails => Some("true".into()),
                Fate::ConditionFalse => Some("false".into()),
                Fate::ConditionBroken => Some("x.y".into()),
            };
            tasks.push(task);
            needs.push(
                (0..index as TaskIndex).filter(|parent| parents & (1 << (parent * 2 % 16)) != 0).collect(),
            );
            fates.push(fate);
        }
        Plan { definition: definitions::definition(on_failure, tasks, &needs), fates }
    })
}

/// How every task ends when nobody interferes; parents come before their children.
fn expected(plan: &Plan) -> Vec<TaskResult> {
    let mut results: Vec<TaskResult> = Vec::new();
    for (index, task) in plan.definition.tasks.iter().enumerate() {
        let parents: Vec<_> =
            plan.definition.graph.parents(index as TaskIndex).iter().map(|p| results[*p as usize]).collect();
        let any = |wanted| parents.contains(&wanted);
        let may_run = parents.is_empty()
            || match task.run_if {
                RunIf::AllSuccess => !any(TaskResult::Failed) && !any(TaskResult::Skipped),
                RunIf::AllDone | RunIf::Always => true,
                RunIf::OneSuccess => any(TaskResult::Succeeded),
                RunIf::OneFailed => any(TaskResult::Failed),
                RunIf::NoneFailed => !any(TaskResult::Failed),
            };
        let no_items = task.foreach.as_ref().is_some_and(|foreach| foreach.items.is_empty());
        results.push(match plan.fates[index] {
            _ if !may_run => TaskResult::Skipped,
            Fate::ConditionFalse => TaskResult::Skipped,
            Fate::ConditionBroken => TaskResult::Failed,
            Fate::Succeeds => TaskResult::Succeeded,
            Fate::Fails if no_items => TaskResult::Succeeded,
            Fate::Fails => TaskResult::Failed,
        });
    }
    results
}

/// What a worker says of the task run's attempt: of a `foreach` that fails, only the last item does.
pub(crate) fn word(plan: &Plan, key: TaskKey) -> AttemptResult {
    let last = plan.definition.tasks[key.task as usize].items() - 1;
    match plan.fates[key.task as usize] {
        Fate::Fails if key.item == last => AttemptResult::Exited { code: 1 },
        _ => AttemptResult::Succeeded { outputs: [("key".to_string(), key.item.into())].into() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_end_as_the_rules_say(
        plan in plans(9, Just(OnFailure::Continue)),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 60),
        page in 1..4usize,
        window in 1..5usize,
    ) {
        let mut world = World::new(plan.definition.clone());
        (world.page, world.window) = (page, window);
        world.tell(&RunCommand::Start).unwrap();
        let mut picks = picks.into_iter().cycle();
        while world.run.header().is_live() {
            let waiting: Vec<TaskKey> = world.actors.keys().copied().collect();
            let key = *picks.next().unwrap().get(&waiting);
            match world.attempt(key) {
                None => world.grant(key).unwrap(),
                Some(_) => world.report(key, word(&plan, key)).unwrap(),
            }
        }
        world.check();
        let expected = expected(&plan);
        let got: Vec<_> = (0..expected.len()).map(|task| world.run.result(task as TaskIndex).unwrap()).collect();
        prop_assert_eq!(&got, &expected);
        let outcome = match &world.run.header().phase {
            RunPhase::Finished { outcome, .. } => *outcome,
            other => panic!("{other:?}"),
        };
        let failed = expected.contains(&TaskResult::Failed);
        prop_assert_eq!(outcome, if failed { RunOutcome::Failed } else { RunOutcome::Succeeded });
    }
}
