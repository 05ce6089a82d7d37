//! Whether a task whose parents have all ended may run: its `run_if`, then its `when`.
//! Must not know how conditions are written: the caller evaluates them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::definition::RunIf;
use crate::event::{PARENTS_NAMED_MAX, ParentResult, ResultCounts, SkipCause, TaskOutcome, TaskResult};
use crate::id::TaskIndex;

use super::progress::Stage;
use super::{RunPhase, RunState};

/// Evaluates `when`. The answer must follow from the run's inputs, results and outputs alone: after a restore the
/// question is asked again.
pub trait Conditions {
    /// Errors (a text for people) fail the task.
    fn evaluate(&mut self, run: &RunState, task: TaskIndex, expression: &str) -> Result<Answer, String>;
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    True,
    /// With the values that made it so.
    False {
        values: BTreeMap<String, Value>,
    },
}

/// Whether a rule lets a task run whose parents, at least one, ended in these ways. It is asked once all of them
/// have ended, for every rule: `one_success` and `one_failed` wait for the other parents too, so that what a task
/// sees of them is complete and does not depend on who was faster. `always` is then the same as `all_done`.
pub fn is_met(rule: RunIf, parents: ResultCounts) -> bool {
    match rule {
        RunIf::AllSuccess => parents.succeeded == parents.total(),
        RunIf::AllDone | RunIf::Always => true,
        RunIf::OneSuccess => parents.succeeded > 0,
        RunIf::OneFailed => parents.failed > 0,
        RunIf::NoneFailed => parents.failed == 0 && parents.cancelled == 0,
    }
}

/// Whether parents that have not ended yet could still make the rule be met.
fn may_be_met(rule: RunIf, ended: ResultCounts) -> bool {
    match rule {
        RunIf::AllSuccess | RunIf::NoneFailed => is_met(rule, ended),
        RunIf::AllDone | RunIf::Always | RunIf::OneSuccess | RunIf::OneFailed => true,
    }
}

/// Whether a parent of this result speaks against the rule's being met.
fn speaks_against(rule: RunIf, result: TaskResult) -> bool {
    match rule {
        RunIf::AllSuccess | RunIf::OneSuccess => result != TaskResult::Succeeded,
        RunIf::OneFailed => result != TaskResult::Failed,
        RunIf::NoneFailed => matches!(result, TaskResult::Failed | TaskResult::Cancelled),
        RunIf::AllDone | RunIf::Always => false,
    }
}

impl RunState {
    /// Judges up to `limit` open tasks: they become ready, or are noted for `Advance` to end. Returns how many it
    /// has looked at; 0 when nothing is open. Changes only what would be found again after a restore.
    pub fn judge(&mut self, limit: usize, conditions: &mut dyn Conditions) -> usize {
        let mut judged = 0;
        while judged < limit && matches!(self.header.phase, RunPhase::Running { .. }) {
            let Some(task) = self.open.pop_front() else { break };
            if self.tasks[task as usize].stage != Stage::Open {
                continue;
            }
            judged += 1;
            match self.end_instead(task, conditions) {
                Some(outcome) => {
                    self.tasks[task as usize].stage = Stage::Doomed;
                    self.doomed.push_back((task, outcome));
                }
                None => {
                    self.ensure_items(task);
                    self.set_going(task);
                }
            }
        }
        judged
    }

    /// How the task ends instead of running, if it does.
    fn end_instead(&self, task: TaskIndex, conditions: &mut dyn Conditions) -> Option<TaskOutcome> {
        let spec = &self.definition.tasks[task as usize];
        if let Some(cause) = self.unmet(task, spec.run_if) {
            return Some(TaskOutcome::Skipped { cause });
        }
        if let Some(expression) = &spec.when {
            match conditions.evaluate(self, task, expression) {
                Ok(Answer::True) => {}
                Ok(Answer::False { values }) => {
                    let cause = SkipCause::Condition { expression: expression.clone(), values };
                    return Some(TaskOutcome::Skipped { cause });
                }
                Err(error) => return Some(TaskOutcome::Failed { error: format!("condition: {error}") }),
            }
        }
        let no_items = spec.foreach.as_ref().is_some_and(|foreach| foreach.items.is_empty());
        no_items.then(|| TaskOutcome::Succeeded { outputs: BTreeMap::new() })
    }

    /// The parents by whose ends the task will be skipped, although it waits for others yet; empty while it may run.
    pub fn skipped_for(&self, task: TaskIndex) -> Vec<ParentResult> {
        let rule = self.definition.tasks[task as usize].run_if;
        let parents = self.definition.graph.parents(task);
        let results = || parents.iter().filter_map(|parent| Some((*parent, self.result(*parent)?)));
        let mut ended = ResultCounts::default();
        results().for_each(|(_, result)| ended.add(result, 1));
        if may_be_met(rule, ended) {
            return Vec::new();
        }
        let against = results().filter(|(_, result)| speaks_against(rule, *result));
        against.take(PARENTS_NAMED_MAX).map(|(task, result)| ParentResult { task, result }).collect()
    }

    fn unmet(&self, task: TaskIndex, rule: RunIf) -> Option<SkipCause> {
        let parents = self.definition.graph.parents(task);
        let results = || parents.iter().filter_map(|parent| Some((*parent, self.result(*parent)?)));
        let mut counts = ResultCounts::default();
        results().for_each(|(_, result)| counts.add(result, 1));
        if parents.is_empty() || is_met(rule, counts) {
            return None;
        }
        let against = results().filter(|(_, result)| speaks_against(rule, *result));
        let because = against.take(PARENTS_NAMED_MAX).map(|(task, result)| ParentResult { task, result });
        Some(SkipCause::RunIf { rule, parents: counts, because: because.collect() })
    }
}
