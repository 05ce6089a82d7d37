//! What a run's conditions may see, and the evaluation of `when` over it.
//! Must not know when a task is judged, nor what follows.

use hortator_core::event::{SkipCause, TaskOutcome, TaskResult};
use hortator_core::expression::{Engine, Evaluated, Reference, references};
use hortator_core::id::{Name, TaskIndex, TaskKey};
use hortator_core::run::{Answer as ConditionAnswer, Conditions, RunState};
use serde_json::Value;

use crate::scope::RunScope;

/// What the run's rows say of ended tasks, for conditions and templates.
pub(crate) fn remember_ended(scope: &RunScope, state: &RunState) {
    for task in 0..scope.definition.tasks.len() as u32 {
        let key = TaskKey { task, item: 0 };
        let outcome = match state.result(task) {
            None => continue,
            Some(TaskResult::Succeeded) => {
                TaskOutcome::Succeeded { outputs: state.outputs(key).cloned().unwrap_or_default() }
            }
            Some(TaskResult::Failed) => TaskOutcome::Failed { error: String::new() },
            Some(TaskResult::Skipped) => TaskOutcome::Skipped { cause: SkipCause::RunStopped },
            Some(TaskResult::Cancelled) => TaskOutcome::Cancelled,
        };
        scope.remember(key, &outcome);
    }
}

/// What a mutant remembers: of each task what the first one left.
pub(crate) fn mix_up(scope: &RunScope, state: &RunState) {
    let keys = || (0..scope.definition.tasks.len() as u32).map(|task| TaskKey { task, item: 0 });
    let left = keys().find_map(|key| state.outputs(key).filter(|outputs| !outputs.is_empty()));
    for key in keys().filter(|key| state.result(key.task) == Some(TaskResult::Succeeded)) {
        scope.remember(key, &TaskOutcome::Succeeded { outputs: left.cloned().unwrap_or_default() });
    }
}

/// Evaluates `when` over what the scope knows.
pub(crate) struct RunConditions<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) scope: &'a RunScope,
}

impl Conditions for RunConditions<'_> {
    fn evaluate(&mut self, _: &RunState, _: TaskIndex, expression: &str) -> Result<ConditionAnswer, String> {
        let evaluated = self.engine.evaluate_condition(expression, &self.scope.of_task());
        match evaluated.map_err(|error| format!("{expression:?} has no result: {error}"))? {
            Evaluated { value: true, .. } => Ok(ConditionAnswer::True),
            Evaluated { value: false, .. } => {
                let names = references(expression).map_err(|error| error.to_string())?;
                let values = names.iter().map(|name| (written(name), self.value(name)));
                Ok(ConditionAnswer::False { values: values.collect() })
            }
        }
    }
}

/// As a condition writes it: `tasks["a-b"]["outputs"]`, which every path can be written as.
fn written(name: &Reference) -> String {
    let (first, rest) = name.path.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    rest.iter().fold(first.to_string(), |text, step| match Name::new(step) {
        Ok(_) if !step.contains('-') => format!("{text}.{step}"),
        _ => format!("{text}[{step:?}]"),
    })
}

impl RunConditions<'_> {
    fn value(&self, name: &Reference) -> Value {
        let rendered = self.engine.render(&format!("{{{{ {} }}}}", written(name)), &self.scope.of_task());
        rendered.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}
