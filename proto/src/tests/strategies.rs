//! Any value of the core types that rows and frames are made of.
//! Large strategies are boxed: their trees would not fit on a test's stack.

use std::collections::BTreeMap;

use hortator_core::definition::{Priority, RunIf, ValueType};
use hortator_core::event::{
    AttemptEnd, AttemptResult, Event, HistoryEntry, Origin, ParentResult, ResultCounts, RunOutcome, Share,
    SkipCause, StopCause, TaskOutcome, TaskResult,
};
use hortator_core::id::{AttemptId, Fence, Name, RunId, TaskKey, TaskRunId, WorkerRef, WorkflowName};
use hortator_core::run::{CancelRequest, Quarantine, RunHeader, RunPhase, Started};
use hortator_core::schedule::{
    CatchUp, Cause, Fire, LastFire, Overlap, PassedOver, Policy, ScheduleEvent, ScheduleLine, ScheduleRecord,
    ScheduleState, Start, Switch, Timing, Turn,
};
use hortator_core::task_run::{Attempt, Exit, Fate, FenceAt, LastAttempt, TaskPhase, TaskState};
use hortator_core::time::{Span, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

pub(super) type Values = BTreeMap<String, Value>;

pub(super) fn name() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9-]{0,20}".prop_map(|text| Name::new(&text).unwrap())
}

pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ".{0,20}"]
}

pub(super) fn workflow_name() -> impl Strategy<Value = WorkflowName> {
    (name(), name()).prop_map(|(namespace, name)| WorkflowName { namespace, name })
}

/// Any microsecond, with those near each other and the ends more often.
pub(super) fn time() -> impl Strategy<Value = Timestamp> {
    let usual = 1_790_000_000_000_000i64..1_800_000_000_000_000;
    prop_oneof![3 => usual, 1 => any::<i64>(), 1 => select(vec![0, i64::MIN, i64::MAX])].prop_map(Timestamp)
}

pub(super) fn span() -> impl Strategy<Value = Span> {
    any::<u64>().prop_map(Span)
}

pub(super) fn run_id() -> impl Strategy<Value = RunId> {
    any::<u128>().prop_map(RunId)
}

pub(super) fn key() -> impl Strategy<Value = TaskKey> {
    let number = || prop_oneof![0u32..3, any::<u32>()];
    (number(), number()).prop_map(|(task, item)| TaskKey { task, item })
}

pub(super) fn task_run_id() -> impl Strategy<Value = TaskRunId> {
    (run_id(), key()).prop_map(|(run, key)| TaskRunId { run, key })
}

pub(super) fn attempt_id() -> impl Strategy<Value = AttemptId> {
    (task_run_id(), any::<u16>()).prop_map(|(task_run, attempt)| AttemptId { task_run, attempt })
}

pub(super) fn times3() -> impl Strategy<Value = [Timestamp; 3]> {
    [time(), time(), time()]
}

pub(super) fn fence() -> impl Strategy<Value = Fence> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>());
    numbers.prop_map(|(generation, shard, term, index)| Fence { generation, shard, term, index })
}

pub(super) fn fenced() -> impl Strategy<Value = Vec<(AttemptId, Fence)>> {
    vec((attempt_id(), fence()), 0..4)
}

/// Few names, so that lists of workers are shared.
pub(super) fn worker() -> impl Strategy<Value = WorkerRef> {
    let name = prop_oneof![select(vec!["w1", "w2"]).prop_map(|text| Name::new(text).unwrap()), name()];
    (name, prop_oneof![1u64..3, any::<u64>()]).prop_map(|(name, incarnation)| WorkerRef { name, incarnation })
}

pub(super) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has finite numbers", |number| number.is_finite())
            .prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(super) fn values() -> BoxedStrategy<Values> {
    btree_map(text(), json(), 0..3).boxed()
}

pub(super) fn priority() -> impl Strategy<Value = Priority> {
    use Priority::{High, Highest, Low, Lowest, Normal};
    select(vec![Highest, High, Normal, Low, Lowest])
}

pub(super) fn value_type() -> impl Strategy<Value = ValueType> {
    use ValueType::{Bool, Float, Int, Json, String};
    select(vec![String, Int, Float, Bool, Json])
}

pub(super) fn stop_cause() -> impl Strategy<Value = StopCause> {
    select(vec![StopCause::Timeout, StopCause::Cancelled])
}

fn run_outcome() -> impl Strategy<Value = RunOutcome> {
    select(vec![RunOutcome::Succeeded, RunOutcome::Failed, RunOutcome::Cancelled])
}

fn task_result() -> impl Strategy<Value = TaskResult> {
    use TaskResult::{Cancelled, Failed, Skipped, Succeeded};
    select(vec![Succeeded, Failed, Skipped, Cancelled])
}

fn run_if() -> impl Strategy<Value = RunIf> {
    use RunIf::{AllDone, AllSuccess, Always, NoneFailed, OneFailed, OneSuccess};
    select(vec![AllSuccess, AllDone, OneSuccess, OneFailed, NoneFailed, Always])
}

fn counts() -> impl Strategy<Value = ResultCounts> {
    any::<[u32; 4]>().prop_map(|[succeeded, failed, skipped, cancelled]| ResultCounts {
        succeeded,
        failed,
        skipped,
        cancelled,
    })
}

fn attempt_result() -> impl Strategy<Value = AttemptResult> {
    prop_oneof![
        values().prop_map(|outputs| AttemptResult::Succeeded { outputs }),
        any::<i32>().prop_map(|code| AttemptResult::Exited { code }),
        any::<i32>().prop_map(|signal| AttemptResult::Signalled { signal }),
        text().prop_map(|error| AttemptResult::NotStarted { error }),
        text().prop_map(|error| AttemptResult::OutputsInvalid { error }),
        Just(AttemptResult::TimedOut),
        Just(AttemptResult::Cancelled),
    ]
}

pub(super) fn attempt_end() -> BoxedStrategy<AttemptEnd> {
    (time(), time(), attempt_result())
        .prop_map(|(started_at, finished_at, result)| AttemptEnd { started_at, finished_at, result })
        .boxed()
}

fn task_outcome() -> BoxedStrategy<TaskOutcome> {
    let parent = (any::<u32>(), task_result()).prop_map(|(task, result)| ParentResult { task, result });
    let cause = prop_oneof![
        (run_if(), counts(), vec(parent, 0..3)).prop_map(|(rule, parents, because)| SkipCause::RunIf {
            rule,
            parents,
            because
        }),
        (text(), values()).prop_map(|(expression, values)| SkipCause::Condition { expression, values }),
        Just(SkipCause::RunStopped),
    ];
    prop_oneof![
        values().prop_map(|outputs| TaskOutcome::Succeeded { outputs }),
        text().prop_map(|error| TaskOutcome::Failed { error }),
        cause.prop_map(|cause| TaskOutcome::Skipped { cause }),
        Just(TaskOutcome::Cancelled),
    ]
    .boxed()
}

fn task_event() -> BoxedStrategy<Event> {
    let about = || (key(), any::<u16>());
    prop_oneof![
        (about(), worker(), time(), share()).prop_map(|((key, attempt), worker, ready_at, share)| {
            Event::AttemptDispatched { share, key, attempt, worker, ready_at }
        }),
        (about(), stop_cause()).prop_map(|((key, attempt), cause)| Event::AttemptStopping {
            key,
            attempt,
            cause
        }),
        (about(), worker(), text()).prop_map(|((key, attempt), worker, why)| Event::AttemptRefused {
            key,
            attempt,
            worker,
            why
        }),
        (about(), worker(), attempt_end()).prop_map(|((key, attempt), worker, end)| Event::AttemptEnded {
            key,
            attempt,
            end,
            worker
        }),
        (about(), worker()).prop_map(|((key, attempt), worker)| Event::AttemptLost { key, attempt, worker }),
        (key(), time()).prop_map(|(key, until)| Event::TaskBackoff { key, until }),
        (key(), task_outcome()).prop_map(|(key, outcome)| Event::TaskEnded { key, outcome }),
    ]
    .boxed()
}

pub(super) fn origin() -> BoxedStrategy<Origin> {
    let cause =
        prop_oneof![Just(Cause::Due), Just(Cause::CaughtUp), text().prop_map(|by| Cause::Triggered { by })];
    let turn = prop_oneof![Just(Turn::Free), Just(Turn::OneAtATime), Just(Turn::InPlaceOfTheOldest)];
    let fire = (name(), any::<u32>(), time(), cause, turn).prop_map(
        |(schedule, generation, nominal, cause, turn)| {
            Origin::Schedule(Fire { schedule, generation, nominal, cause, turn })
        },
    );
    prop_oneof![Just(Origin::Asked), fire].boxed()
}

fn run_event() -> BoxedStrategy<Event> {
    let created = (workflow_name(), any::<u32>(), values(), priority(), text(), option::of(text()), origin());
    prop_oneof![
        created.prop_map(|(workflow, version, inputs, priority, by, key, origin)| Event::RunCreated {
            workflow,
            version,
            inputs,
            priority,
            by,
            key,
            origin
        }),
        Just(Event::RunStarted),
        (text(), option::of(text())).prop_map(|(by, reason)| Event::RunCancelRequested { by, reason }),
        key().prop_map(|first_failed| Event::RunStopping { first_failed }),
        (text(), text()).prop_map(|(code, reason)| Event::RunQuarantined { code, reason }),
        run_outcome().prop_map(|outcome| Event::RunFinished { outcome }),
        (text(), vec(any::<u32>(), 0..4)).prop_map(|(by, tasks)| Event::RunRetried { by, tasks }),
    ]
    .boxed()
}

pub(super) fn history() -> BoxedStrategy<HistoryEntry> {
    (time(), vec(prop_oneof![task_event(), run_event()], 0..6))
        .prop_map(|(at, events)| HistoryEntry { at, events })
        .boxed()
}

fn share() -> impl Strategy<Value = Share> {
    (any::<u8>(), vec(text(), 0..3)).prop_map(|(request, devices)| Share { request, devices })
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let fence = prop_oneof![Just(FenceAt::ThisRow), fence().prop_map(FenceAt::Known)];
    (any::<u16>(), worker(), time(), time(), fence, share()).prop_map(
        |(number, worker, ready_at, dispatched_at, fence, share)| Attempt {
            share,
            number,
            worker,
            ready_at,
            dispatched_at,
            fence,
        },
    )
}

fn exit() -> impl Strategy<Value = Exit> {
    attempt_result().prop_map(|result| Exit::from(&result))
}

pub(super) fn last_attempt() -> BoxedStrategy<LastAttempt> {
    let fate = prop_oneof![
        (time(), time(), exit()).prop_map(|(started_at, finished_at, exit)| Fate::Reported {
            started_at,
            finished_at,
            exit
        }),
        time().prop_map(|at| Fate::Lost { at }),
        time().prop_map(|at| Fate::LostAfterTimeout { at }),
    ];
    (any::<u16>(), worker(), time(), time(), fate)
        .prop_map(|(number, worker, ready_at, dispatched_at, fate)| LastAttempt {
            number,
            worker,
            ready_at,
            dispatched_at,
            fate,
        })
        .boxed()
}

pub(super) fn task_state() -> BoxedStrategy<TaskState> {
    let phase = prop_oneof![
        time().prop_map(|since| TaskPhase::Ready { since }),
        attempt().prop_map(TaskPhase::Dispatched),
        (attempt(), stop_cause(), time()).prop_map(|(attempt, cause, since)| TaskPhase::Stopping {
            attempt,
            cause,
            since
        }),
        time().prop_map(|until| TaskPhase::Backoff { until }),
        (task_outcome(), time()).prop_map(|(outcome, at)| TaskPhase::Ended { outcome, at }),
    ];
    let numbers = (any::<u32>(), any::<u16>(), any::<u32>(), any::<u32>());
    (key(), numbers, option::of(last_attempt()), phase)
        .prop_map(|(key, (round, attempts, tries, losses), last, phase)| TaskState {
            key,
            round,
            attempts,
            tries,
            losses,
            last,
            phase,
        })
        .boxed()
}

fn run_phase() -> BoxedStrategy<RunPhase> {
    let started = || option::of(time()).prop_map(|at| at.map_or(Started::Never, Started::At));
    let request =
        || (text(), option::of(text()), time()).prop_map(|(by, reason, at)| CancelRequest { by, reason, at });
    let finished = (run_outcome(), started(), time(), counts(), option::of(key()), option::of(request()));
    prop_oneof![
        Just(RunPhase::Queued),
        time().prop_map(|started_at| RunPhase::Running { started_at }),
        (time(), key())
            .prop_map(|(started_at, first_failed)| RunPhase::Stopping { started_at, first_failed }),
        (started(), request()).prop_map(|(started, request)| RunPhase::Cancelling { started, request }),
        (started(), text(), text(), time(), option::of(request())).prop_map(
            |(started, code, reason, at, cancel)| {
                let quarantine = Quarantine { code, reason, at, cancel };
                RunPhase::Quarantined { started, quarantine }
            }
        ),
        finished.prop_map(|(outcome, started, finished_at, counts, first_failed, cancel)| {
            RunPhase::Finished { outcome, started, finished_at, counts, first_failed, cancel }
        }),
    ]
    .boxed()
}

pub(super) fn run_header() -> BoxedStrategy<RunHeader> {
    let asked = (workflow_name(), any::<u32>(), values(), priority(), option::of(text()), text(), origin());
    (run_id(), asked, time(), any::<u32>(), run_phase())
        .prop_map(|(id, (workflow, version, inputs, priority, key, by, origin), created_at, round, phase)| {
            RunHeader { id, workflow, version, inputs, priority, key, by, origin, created_at, round, phase }
        })
        .boxed()
}

/// A time that JSON can carry.
fn shown() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_000_000i64).prop_map(Timestamp)
}

pub(super) fn schedule_line() -> BoxedStrategy<ScheduleLine> {
    let event = prop_oneof![
        (shown(), option::of(shown())).prop_map(|(nominal, next)| ScheduleEvent::Fired {
            nominal,
            cause: Cause::CaughtUp,
            start: Start::BehindTheOthers,
            next
        }),
        (shown(), shown(), any::<u32>(), option::of(shown())).prop_map(|(first, last, count, next)| {
            ScheduleEvent::PassedOver { first, last, count, why: PassedOver::Refused, next }
        }),
        (shown(), text()).prop_map(|(at, by)| ScheduleEvent::Triggered { at, by, start: Start::AtOnce }),
        (text(), any::<u32>(), option::of(shown()))
            .prop_map(|(by, generation, next)| ScheduleEvent::Enabled { by, generation, next }),
        (text(), shown()).prop_map(|(by, at)| ScheduleEvent::Disabled { by, at }),
        (any::<u32>(), option::of(shown()))
            .prop_map(|(generation, next)| ScheduleEvent::Retimed { generation, next }),
    ];
    (time(), any::<u32>(), event, option::of(run_id().prop_filter("0 is none", |run| run.0 != 0)))
        .prop_map(|(at, generation, event, run)| ScheduleLine { at, generation, event, run })
        .boxed()
}

pub(super) fn schedule_record() -> BoxedStrategy<ScheduleRecord> {
    let timing = prop_oneof![
        (text(), text()).prop_map(|(expression, zone)| Timing::Cron { expression, zone }),
        any::<u64>().prop_map(|micros| Timing::Every(Span(micros))),
        shown().prop_map(Timing::At),
    ];
    let overlap = prop_oneof![
        Just(Overlap::Queue),
        Just(Overlap::Skip),
        Just(Overlap::CancelOldest),
        Just(Overlap::Allow)
    ];
    let catch_up = prop_oneof![Just(CatchUp::None), any::<u32>().prop_map(|max| CatchUp::All { max })];
    let switch =
        prop_oneof![Just(Switch::On), (text(), time()).prop_map(|(by, since)| Switch::Off { by, since })];
    let last = (time(), time(), run_id()).prop_map(|(nominal, at, run)| LastFire { nominal, at, run });
    let state = (any::<u32>(), switch, option::of(time()));
    let about = (workflow_name(), name(), timing, catch_up, overlap, any::<bool>());
    (about, state, time(), any::<u64>(), option::of(last))
        .prop_map(|((workflow, schedule, timing, catch_up, overlap, enabled), state, since, lines, last)| {
            let (generation, switch, next) = state;
            ScheduleRecord {
                workflow,
                schedule,
                timing,
                policy: Policy { catch_up, overlap },
                enabled,
                state: ScheduleState { generation, switch, next },
                since,
                lines,
                last,
            }
        })
        .boxed()
}
