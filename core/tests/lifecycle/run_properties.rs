//! Any commands to a run and its task runs, with leaders lost at any point: what a run keeps. `World::check` says what.

use hortator_core::definition::OnFailure;
use hortator_core::event::AttemptResult;
use hortator_core::id::TaskKey;
use hortator_core::run::{RunCommand, RunPhase};
use hortator_core::task_run::{Outstanding, TaskCommand};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::definitions::name;
use crate::rules_oracle::{Plan, plans, word};
use crate::world::{World, by_effect};

#[derive(Clone, Debug)]
enum Step {
    Start,
    Grant(Index),
    /// The word that the plan has for the attempt.
    Word(Index),
    /// Another one: the process fails.
    Fail(Index),
    Refuse(Index),
    Lose,
    Wait,
    Cancel,
    Retry,
    Restart,
    Window(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = || any::<Index>();
    let step = prop_oneof![
        2 => Just(Step::Start),
        12 => index().prop_map(Step::Grant),
        12 => index().prop_map(Step::Word),
        1 => index().prop_map(Step::Fail),
        1 => index().prop_map(Step::Refuse),
        1 => Just(Step::Lose),
        3 => Just(Step::Wait),
        1 => Just(Step::Cancel),
        1 => Just(Step::Retry),
        2 => Just(Step::Restart),
        1 => (0..4usize).prop_map(Step::Window),
    ];
    prop::collection::vec(step, 1..60)
}

fn take(world: &mut World, plan: &Plan, step: Step) {
    let waiting = by_effect(world, Outstanding::None);
    let held: Vec<TaskKey> =
        world.actors.keys().copied().filter(|key| world.attempt(*key).is_some()).collect();
    let pick = |index: Index, keys: &[TaskKey]| (!keys.is_empty()).then(|| *index.get(keys));
    // Rejections are ordinary here; what matters is what the world looks like afterwards.
    match step {
        Step::Start => {
            let _ = world.tell(&RunCommand::Start);
        }
        Step::Cancel => {
            let _ = world.tell(&RunCommand::Cancel { by: "ann".into(), reason: None });
        }
        Step::Retry if !world.run.header().is_live() => {
            world.restart();
            let _ = world.tell(&RunCommand::Retry { by: "ann".into() });
        }
        Step::Retry => assert!(world.tell(&RunCommand::Retry { by: "ann".into() }).is_err()),
        Step::Restart => world.restart(),
        Step::Window(window) => world.window = window.max(1),
        Step::Wait => world.wait(7),
        Step::Grant(index) => {
            let _ = pick(index, &waiting).map(|key| world.grant(key));
        }
        Step::Word(index) => {
            let _ = pick(index, &held).map(|key| world.report(key, word(plan, key)));
        }
        Step::Fail(index) => {
            let result = AttemptResult::Exited { code: 1 };
            let _ = pick(index, &held).map(|key| world.report(key, result));
        }
        Step::Refuse(index) => {
            if let Some(key) = pick(index, &held) {
                let (attempt, fence) = world.attempt(key).unwrap();
                world.tell_task(key, &TaskCommand::Refused { attempt, fence, why: "full".into() }).unwrap();
            }
        }
        Step::Lose => {
            for key in held {
                let lost = TaskCommand::WorkerLost { name: name("w"), through: 1 };
                world.tell_task(key, &lost).unwrap();
            }
        }
    }
}

/// Lets the run end: grants and truthful words until nothing is left.
fn finish(world: &mut World, plan: &Plan) {
    if let RunPhase::Queued = world.run.header().phase {
        world.tell(&RunCommand::Start).unwrap();
    }
    for _ in 0..1000 {
        let Some(key) = world.actors.keys().next().copied() else { break };
        world.wait(20);
        match world.attempt(key) {
            None => world.grant(key).unwrap(),
            Some(_) => world.report(key, word(plan, key)).unwrap(),
        }
    }
    assert!(!world.run.header().is_live(), "the run does not end: {:?}", world.run.header().phase);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_keeps_its_rules(
        plan in plans(7, prop_oneof![Just(OnFailure::Continue), Just(OnFailure::Stop)]),
        steps in steps(),
        page in 1..5usize,
    ) {
        let mut world = World::new(plan.definition.clone());
        world.page = page;
        world.tell(&RunCommand::Start).unwrap();
        world.check();
        for step in steps {
            take(&mut world, &plan, step);
            world.check();
        }
        finish(&mut world, &plan);
        world.check();
    }
}
