//! Whatever waits has a reason, and one that is true: judged by what each leading shard would tell, without a network in
//! between, and by what it knows itself. Must not know how reasons are found.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hortator_actors::waiting::{Listener, Told};
use hortator_core::id::{Name, TaskRunId};
use hortator_core::reason::{Dimension, Reason, SentStage};
use hortator_proto::row::Admission;
use tokio::time::Instant;

use crate::checkers::Violation;

const PROMISE: &str = "whatever waits has a reason at every step, and one that is true";
/// What a Dispatcher tells is late by its own pauses (0.1 s, then 1 s), by frames that are lost and said again (1 s, then
/// doubling), and by an election (some seconds); past this nothing of that is under way any more.
const LATE_MAX: Duration = Duration::from_secs(20);
/// So much of the time between two tellings counts: a shard that changes seldom tells seldom, and nobody knows what it would
/// have told meanwhile.
const BETWEEN_MAX: Duration = Duration::from_secs(1);
/// More say nothing new.
const VIOLATIONS_MAX: usize = 20;

/// See the module. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Reasons(Rc<RefCell<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// By the leader that tells it: for how long none of a task run's reasons has been true.
    untrue: BTreeMap<(u32, u64, TaskRunId), Untrue>,
    told: u64,
    violations: Vec<Violation>,
}

#[derive(Clone, Copy, Debug)]
struct Untrue {
    told: Instant,
    long: Duration,
}

/// How a reason stands to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    True,
    /// It was true, or will be, or is of a moment that must pass.
    Late,
    /// It contradicts itself, or what the shard itself knows at the same moment.
    Wrong,
}

impl Reasons {
    pub fn violations(&self) -> Vec<Violation> {
        self.0.borrow().violations.clone()
    }

    /// How often something was told.
    pub fn told(&self) -> u64 {
        self.0.borrow().told
    }
}

impl Listener for Reasons {
    fn told(&mut self, told: &Told<'_>) {
        self.0.borrow_mut().take(told, Instant::now());
    }
}

impl Seen {
    fn take(&mut self, told: &Told<'_>, now: Instant) {
        self.told += 1;
        let key = (told.shard, told.term, told.task_run);
        let runs = told.word == "running" && told.held.is_some() && !told.offered;
        let judged: Vec<Judged> = told.reasons.iter().map(|reason| judge(reason, told)).collect();
        if runs || judged.contains(&Judged::True) && !judged.contains(&Judged::Wrong) {
            self.untrue.remove(&key);
            return;
        }
        let wrong = match () {
            () if judged.is_empty() => Some("has no reason to wait"),
            () if judged.contains(&Judged::Wrong) => Some("is told a wrong reason"),
            () => {
                let untrue = self.untrue.entry(key).or_insert(Untrue { told: now, long: Duration::ZERO });
                untrue.long += now.duration_since(untrue.told).min(BETWEEN_MAX);
                untrue.told = now;
                (untrue.long > LATE_MAX).then_some("has had no true reason for long")
            }
        };
        if let (Some(wrong), true) = (wrong, self.violations.len() < VIOLATIONS_MAX) {
            let texts: Vec<String> =
                told.reasons.iter().map(|reason| format!("{} {}", reason.code(), reason.text())).collect();
            let detail = format!(
                "shard {} at term {}: {:?} is {}, offered: {}, held: {:?}, and {wrong}: {texts:?}",
                told.shard, told.term, told.task_run, told.word, told.offered, told.held
            );
            self.violations.push(Violation { checker: "reasons", promise: PROMISE, detail });
        }
    }
}

fn late_unless(holds: bool) -> Judged {
    if holds { Judged::True } else { Judged::Late }
}

fn wrong_unless(holds: bool) -> Judged {
    if holds { Judged::True } else { Judged::Wrong }
}

fn judge(reason: &Reason, told: &Told<'_>) -> Judged {
    let waits = told.held.is_none();
    match reason {
        Reason::WaitsForTask { open, tasks } => match *open >= tasks.len() as u64 && !tasks.is_empty() {
            true => late_unless(tasks.iter().any(|parent| !(told.ended)(&parent.task))),
            false => Judged::Wrong,
        },
        Reason::RunIfNotMet { upstream, open, .. } => wrong_unless(*open > 0 && !upstream.is_empty()),
        Reason::Backoff { time, .. } | Reason::WorkersLost { time, .. } => match waits && !told.offered {
            true => late_unless(*time >= told.now),
            false => Judged::Wrong,
        },
        Reason::RunsFull { limit, running, .. } => late_unless(*running >= u64::from(*limit)),
        // With room for it, it says that the home shard has it still to decide, which is so as long as one that came first
        // wants more than there is; that it does decide is asked of it when all is healed.
        Reason::LimitFull { .. } => Judged::True,
        Reason::ItemsFull { active, max, .. } => wrong_unless(active >= max),
        Reason::SentNotAcknowledged { stage, .. } => match (waits, stage) {
            (true, _) => Judged::Wrong,
            (false, SentStage::Granted) => Judged::Late,
            (false, SentStage::Sent { .. }) => Judged::True,
        },
        Reason::Behind { ahead: 0, .. } => Judged::Late,
        Reason::Behind { first, .. } => {
            wrong_unless(waits && first.iter().all(|ahead| ahead.task_run() != told.task_run))
        }
        Reason::RunEnds { .. }
        | Reason::NotBefore { .. }
        | Reason::Paused { .. }
        | Reason::Quarantined { .. }
        | Reason::LimitUnknown { .. }
        | Reason::NoLeader { .. }
        | Reason::Starting { .. } => wrong_unless(waits),
        of_placement => match waits {
            true => judge_placement(of_placement, told),
            false => Judged::Wrong,
        },
    }
}

/// By both sides of what they say, and by the workers that the shard's master knows.
fn judge_placement(reason: &Reason, told: &Told<'_>) -> Judged {
    let known =
        |worker: &Name| told.workers.get(worker).is_some_and(|row| row.lost_through < row.incarnation);
    let open = |worker: &Name| {
        known(worker) && told.workers.get(worker).is_some_and(|row| row.admission == Admission::Open)
    };
    let empty = |group: &Name| {
        !told.workers.workers.iter().any(|(name, row)| known(name) && row.profile.groups.contains(group))
    };
    match reason {
        Reason::NoCapacity { workers, .. } => {
            let short = |short: &hortator_core::reason::Shortage| {
                short.dimension == Dimension::SlotsRefused || short.free < short.needed
            };
            match !workers.is_empty() && workers.iter().all(short) {
                true => late_unless(workers.iter().any(|short| known(&short.worker))),
                false => Judged::Wrong,
            }
        }
        Reason::Overloaded { workers, .. } => match workers.iter().all(|over| over.value > over.limit) {
            true => late_unless(workers.iter().any(|over| known(&over.worker))),
            false => Judged::Wrong,
        },
        Reason::Quota { used, max, .. } => late_unless(*used > 0 || *max == 0),
        Reason::GroupEmpty { group, .. } | Reason::GroupUnknown { group, .. } => late_unless(empty(group)),
        Reason::NoMatchingWorker { workers, .. } | Reason::ZoneWait { workers, .. } => {
            late_unless(workers.iter().any(|worker| known(&worker.worker)))
        }
        Reason::WorkersDraining { workers, .. } => {
            late_unless(workers.iter().any(|withheld| known(&withheld.worker) && !open(&withheld.worker)))
        }
        Reason::KindUnsupported { workers, .. } => {
            late_unless(workers.iter().any(|worker| known(&worker.worker)))
        }
        Reason::WorkersQuarantined { workers, .. } => {
            late_unless(workers.iter().any(|worker| known(&worker.worker)))
        }
        Reason::WorkerSilent { worker, .. } => late_unless(known(&worker.name)),
        other => unreachable!("not of placement: {}", other.code()),
    }
}
