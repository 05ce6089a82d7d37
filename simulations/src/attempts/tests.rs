//! Doctored logs: what speaks for itself, and what does not.

use hortator_core::event::{AttemptEnd, AttemptResult, HistoryEntry, Share};
use hortator_core::id::{Fence, RunId, TaskKey, TaskRunId};
use hortator_core::task_run::{Attempt, TaskPhase};
use hortator_core::time::Timestamp;
use hortator_proto::frame::LifeId;
use hortator_proto::row::{Admission, encode_history, encode_task};

use super::*;

const TASK_RUN: TaskRunId = TaskRunId { run: RunId(7 << 100), key: TaskKey { task: 0, item: 0 } };
const TERM: u64 = 3;
const LEADER: u64 = 2;

fn worker(incarnation: Incarnation) -> WorkerRef {
    WorkerRef { name: Name::new("w1").expect("a name"), incarnation }
}

fn row(phase: TaskPhase) -> Write {
    let state =
        TaskState { key: TASK_RUN.key, round: 0, attempts: 1, tries: 0, losses: 0, last: None, phase };
    Write::Put { key: key::task_run(TASK_RUN), value: encode_task(&state) }
}

fn ready() -> Write {
    row(TaskPhase::Ready { since: Timestamp(0) })
}

fn dispatched(number: u16, fence: FenceAt) -> Write {
    let (ready_at, dispatched_at) = (Timestamp(0), Timestamp(0));
    let (worker, share) = (worker(1), Share::default());
    row(TaskPhase::Dispatched(Attempt { number, worker, ready_at, dispatched_at, fence, share }))
}

fn placed(index: u64) -> FenceAt {
    FenceAt::Known(Fence { generation: 1, shard: 1, term: TERM, index })
}

fn ended(attempt: u16) -> Write {
    let result = AttemptResult::Succeeded { outputs: BTreeMap::new() };
    let end = AttemptEnd { started_at: Timestamp(0), finished_at: Timestamp(1), result };
    let event = Event::AttemptEnded { key: TASK_RUN.key, attempt, end, worker: worker(1) };
    let entry = HistoryEntry { at: Timestamp(1), events: vec![event] };
    Write::PutAtIndex { prefix: key::history_of(TASK_RUN.run), value: encode_history(&entry) }
}

fn lost(lost_through: Incarnation, spooled: Vec<(AttemptId, Fence)>) -> Batch {
    lives(2, lost_through, spooled)
}

fn lives(incarnation: Incarnation, lost_through: Incarnation, spooled: Vec<(AttemptId, Fence)>) -> Batch {
    let name = worker(1).name;
    let row = WorkerRow {
        name: name.clone(),
        incarnation,
        life: LifeId { number: 2, nonce: 0 },
        profile: Default::default(),
        registered_at: Timestamp(0),
        lost_through,
        spooled,
        admission: Admission::Open,
    };
    Batch { writes: vec![Write::Put { key: key::worker(&name), value: row.encode() }] }
}

/// Entries of shard 1 from the first on.
fn told(entries: Vec<Vec<Write>>) -> (Attempts, Vec<Violation>) {
    let mut attempts = Attempts::default();
    let mut wrong = Vec::new();
    for (place, writes) in entries.into_iter().enumerate() {
        let at = (1, place as u64 + 1);
        wrong.extend(attempts.applies(at, (TERM, LEADER), 0, || Some(Batch { writes })));
    }
    (attempts, wrong)
}

#[test]
fn one_attempt_at_a_time() {
    use FenceAt::ThisRow;
    for (entries, good) in [
        (vec![vec![dispatched(1, ThisRow)], vec![dispatched(1, placed(1))], vec![ended(1), ready()]], true),
        (vec![vec![dispatched(1, ThisRow)], vec![ended(1), ready()], vec![dispatched(2, ThisRow)]], true),
        (vec![vec![dispatched(1, ThisRow)], vec![ready()], vec![dispatched(2, ThisRow)]], false),
        (vec![vec![dispatched(1, ThisRow)], vec![ended(2), ready()]], false),
        (vec![vec![dispatched(1, ThisRow)], vec![ended(1), dispatched(2, ThisRow)]], true),
        (vec![vec![dispatched(1, ThisRow)], vec![ended(2), dispatched(2, ThisRow)]], false),
        (vec![vec![dispatched(1, ThisRow)], vec![dispatched(2, ThisRow)]], false),
        // A leader that has not seen the first dispatches it once more.
        (vec![vec![dispatched(1, ThisRow)], vec![dispatched(1, ThisRow)]], false),
    ] {
        let words = format!("{entries:?}");
        let (_, wrong) = told(entries);
        assert_eq!(wrong.is_empty(), good, "{words}: {wrong:?}");
        assert!(wrong.iter().all(|violation| violation.checker == "S4"));
    }
}

#[test]
fn a_loss_that_its_leader_knows_ends_what_was_lost() {
    let id = AttemptId { task_run: TASK_RUN, attempt: 1 };
    let spooled = vec![(id, Fence { generation: 1, shard: 1, term: TERM, index: 1 })];
    let seconds = LEFT_OPEN_MAX;
    // The worker's row, up to where the leader can read, who works, for how long, and whether that is as it should be.
    for (loss, shown, by, seconds, good) in [
        (lost(1, Vec::new()), 5, LEADER, seconds, false),
        (lost(1, Vec::new()), 5, LEADER, seconds - 1, true),
        (lost(1, Vec::new()), 4, LEADER, seconds, true),
        (lost(1, Vec::new()), 5, LEADER + 1, seconds, true),
        (lost(0, Vec::new()), 5, LEADER, seconds, true),
        (lost(1, spooled), 5, LEADER, seconds, true),
    ] {
        let words = format!("{loss:?} {shown} {by} {seconds}");
        let (mut attempts, _) = told(vec![vec![dispatched(1, FenceAt::ThisRow)]]);
        attempts.on(&Deed::Leads { group: 1, term: TERM, replica: LEADER }, 1);
        attempts.applies((0, 5), (1, 1), 1, || Some(loss));
        attempts.on(&Deed::Shows { group: 0, replica: LEADER, index: shown }, 1);
        let known = shown == 5 && !attempts.left().is_empty();
        let mut wrong = Vec::new();
        for second in 2..2 + seconds {
            wrong.extend(attempts.applies((1, second), (TERM, by), second, || None));
            // More in the same second says nothing.
            wrong.extend(attempts.applies((1, second), (TERM, by), second, || None));
        }
        assert_eq!(wrong.is_empty(), good, "{words}: {wrong:?}");
        assert!(good || known, "{words}: it is left in the end as well");
        assert!(wrong.iter().all(|violation| violation.checker == "L3"));
    }
}

#[test]
fn only_silence_takes_what_a_spool_held() {
    let mut attempts = Attempts::default();
    for (place, incarnation, lost_through, silent) in
        [(1, 1, 0, false), (2, 2, 1, false), (3, 2, 2, true), (4, 3, 2, true)]
    {
        attempts.applies((MEMBERSHIP, place), (TERM, LEADER), 0, || {
            Some(lives(incarnation, lost_through, vec![]))
        });
        assert_eq!(!attempts.losers().is_empty(), silent, "life {incarnation}, lost through {lost_through}");
    }
    attempts.begin_anew();
    assert!(attempts.losers().is_empty(), "of an earlier world");
}
