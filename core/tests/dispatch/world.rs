//! Short ways to say what stories need: names, shapes, offers, workers, and a Dispatcher with a clock of its own.
//! Decides nothing.

use std::sync::Arc;

use hortator_core::definition::Priority;
use hortator_core::dispatch::KindTag;
use hortator_core::dispatch::*;
use hortator_core::id::{Name, RunId, TaskKey, TaskRunId, WorkerRef};
use hortator_core::reason::Reason;
use hortator_core::time::{Span, Timestamp};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("tests use good names")
}

/// The task run of that number, in a run of its own.
pub(crate) fn task_run(number: u32) -> TaskRunId {
    TaskRunId { run: RunId::new(u64::from(number), 1, 0), key: TaskKey { task: 0, item: 0 } }
}

pub(crate) fn shape(group: &str, slots: u64) -> Shape {
    Shape::of_slots(name(group), name("retail"), KindTag::Shell, slots)
}

/// Ready since it was created, its number being the time.
pub(crate) fn offer(number: u32, shape: &Shape, run_priority: Priority) -> Offer {
    let created = Timestamp(i64::from(number));
    let rank = Rank {
        run_priority,
        run_created: created,
        task_priority: Priority::Normal,
        remaining: Span::ZERO,
        activation: 0,
    };
    Offer { task_run: task_run(number), shape: Arc::new(shape.clone()), rank, since: created }
}

pub(crate) fn worker(text: &str, groups: &[&str], slots: u64) -> WorkerFacts {
    let groups = groups.iter().map(|group| name(group)).collect();
    WorkerFacts::of_slots(WorkerRef { name: name(text), incarnation: 1 }, groups, slots)
}

/// A Dispatcher, the time, and what it was told to do.
pub(crate) struct World {
    pub(crate) dispatch: Dispatch,
    pub(crate) now: Timestamp,
    pub(crate) chance: Chance,
    /// The last number that was used for a task whose number does not matter.
    pub(crate) numbers: u32,
}

impl World {
    /// Groups are named and warm up at once.
    pub(crate) fn new(groups: &[&str]) -> World {
        let now = Timestamp(1_000_000);
        let mut dispatch = Dispatch::new(DispatchConfig::default());
        for group in groups {
            dispatch.on_group(&name(group), config(Policy::LeastLoaded), now);
        }
        World { dispatch, now, chance: Chance::new(1), numbers: 10_000 }
    }

    /// In and heard.
    pub(crate) fn join(&mut self, facts: WorkerFacts) {
        let id = facts.worker.clone();
        self.dispatch.on_worker(facts, self.now);
        self.dispatch.on_heartbeat(&id, &Load::idle(), self.now);
    }

    pub(crate) fn beat(&mut self, worker: &str, load: &Load) {
        let id = WorkerRef { name: name(worker), incarnation: 1 };
        self.dispatch.on_heartbeat(&id, load, self.now);
    }

    pub(crate) fn offer(&mut self, number: u32, shape: &Shape, priority: Priority) {
        self.dispatch.offer(1, offer(number, shape, priority), self.now).expect("a good offer");
    }

    /// Time passes, and what ends by it ends.
    pub(crate) fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.dispatch.expire(self.now);
    }

    pub(crate) fn place(&mut self) -> Vec<Grant> {
        self.dispatch.place(usize::MAX, &mut self.chance, self.now)
    }

    /// Places all it can; says who went where: `1@w1 2@w2`.
    pub(crate) fn placed(&mut self) -> String {
        let grants = self.place();
        let each = |grant: &Grant| format!("{}@{}", number(grant.task_run), grant.worker.name);
        grants.iter().map(each).collect::<Vec<_>>().join(" ")
    }

    /// Places and dispatches all it can.
    pub(crate) fn started(&mut self) -> String {
        let grants = self.place();
        grants.iter().for_each(|grant| self.dispatch.dispatched(grant.task_run));
        let each = |grant: &Grant| format!("{}@{}", number(grant.task_run), grant.worker.name);
        grants.iter().map(each).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn end(&mut self, number: u32) {
        self.dispatch.ended(task_run(number), Ended::Otherwise, self.now);
    }

    /// The codes of its reasons.
    pub(crate) fn codes(&self, number: u32) -> String {
        let reasons = self.dispatch.explain(task_run(number));
        reasons.iter().map(Reason::code).collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn config(policy: Policy) -> GroupConfig {
    GroupConfig { policy, slow_start: Span::ZERO, ..GroupConfig::default() }
}

fn number(task_run: TaskRunId) -> u64 {
    (task_run.run.0 >> 80) as u64
}
