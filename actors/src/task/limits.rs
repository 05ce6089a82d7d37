//! A task run's limits: it wants one after the other, and is offered when it holds all of them. Must not decide who gets
//! one, or when an attempt ends.

use hortator_core::event::Event;
use hortator_core::id::LimitName;
use hortator_core::limit::{WantNumber, WantRecord, Wants};
use hortator_core::task_run::TaskState;
use hortator_core::time::Timestamp;
use hortator_raft::Write;

use super::TaskActor;
use crate::mutant::Mutant;
use crate::scope::RunScope;
use crate::shard::context::ShardContext;
use crate::shard::limits::Sought;

/// What a task run wants when its actor starts. An attempt that is under way holds all of it.
pub(super) fn wants(context: &ShardContext, scope: &RunScope, state: &TaskState) -> Wants {
    let written = scope.task(state.key).limits.clone();
    let mut wants = match context.mutant.is(Mutant::TakesLimitsOutOfOrder) {
        true => Wants::out_of_order(written),
        false => Wants::new(written).expect("a checked definition wants each limit once"),
    };
    if state.attempt().is_some() {
        wants.on_all_held();
    }
    wants
}

impl TaskActor {
    /// Whether it may be offered, which is ready since then. The next want that it does not hold is put into the rows, where the limit's home looks.
    pub(super) fn holds_all_limits(&mut self, since: Timestamp) -> bool {
        let number = WantNumber { round: self.state.round, attempt: self.state.attempts + 1 };
        while let Some(want) = self.wants.next().cloned() {
            let limit = self.limit(&want.key);
            let record = WantRecord {
                number,
                weight: want.weight,
                run_priority: self.rank.run_priority,
                run_created: self.rank.run_created,
                task_priority: self.rank.task_priority,
                workflow: self.scope.definition.name.name.clone(),
                task: self.scope.task(self.id.key).id.clone(),
            };
            let write = self.context.limits.want(&limit, self.id, &record);
            if write.is_some() || !self.context.limits.is_held(&limit, self.id, number) {
                self.context.limits.seek(self.id, Some(Sought { limit, want, since }));
                if let Some(write) = write {
                    self.context.hand_in(vec![write], Vec::new(), Vec::new());
                }
                return false;
            }
            self.wants.on_held(&want.key);
        }
        self.context.limits.seek(self.id, None);
        true
    }

    /// What these events take out of the rows: with the end of an attempt, and with that of the task run, every want goes.
    /// A refused attempt never began, so they stay.
    pub(super) fn leave_limits(&mut self, events: &[Event]) -> Vec<Write> {
        let ends = |event: &Event| {
            matches!(event, Event::AttemptEnded { .. } | Event::AttemptLost { .. } | Event::TaskEnded { .. })
        };
        if !events.iter().any(ends) {
            return Vec::new();
        }
        self.wants.on_left();
        self.context.limits.leave(self.id)
    }

    fn limit(&self, key: &hortator_core::id::Name) -> LimitName {
        LimitName { namespace: self.scope.definition.name.namespace.clone(), name: key.clone() }
    }
}
