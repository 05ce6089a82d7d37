//! Rows come back as they went in, and the frequent ones are small.

use std::collections::BTreeMap;

use bytes::Bytes;
use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::{JoinRole, JoinedAs, MasterState};
use hortator_core::definition::Priority;
use hortator_core::event::{AttemptEnd, AttemptResult, Event, Share, TaskOutcome};
use hortator_core::id::{Name, TaskKey, WorkerRef};
use hortator_core::lease::{LeaseRule, LeaseTerms, Leases};
use hortator_core::limit::{HoldRecord, LimitRecord, WantNumber, WantRecord};
use hortator_core::retention::HistoryRule;
use hortator_core::task_run::{Exit, Fate, LastAttempt, TaskPhase, TaskState};
use hortator_core::time::Timestamp;
use hortator_core::workflow::Started;
use proptest::prelude::*;

use super::frame_strategies::{life, profile};
use super::strategies as any;
use crate::row::{
    self, Admission, CaRow, ClusterRow, Expiry, HistoryRow, JoinTokenRow, JoinTokenState, MasterRow, Ordered,
    SettingsRow, TokenRow, TokenState, VersionRow, WorkerRow, WorkflowRow,
};

fn admission() -> impl Strategy<Value = Admission> {
    let ordered = || (any::text(), any::time()).prop_map(|(by, since)| Ordered { by, since });
    prop_oneof![
        Just(Admission::Open),
        ordered().prop_map(Admission::Cordoned),
        ordered().prop_map(Admission::Draining),
    ]
}

fn leases() -> impl Strategy<Value = Leases> {
    let kept = (any::span(), any::span())
        .prop_map(|(worker_lease, declare_lost)| Leases::Kept(LeaseTerms { worker_lease, declare_lost }));
    prop_oneof![Just(Leases::NotKept), kept]
}

fn settings() -> impl Strategy<Value = SettingsRow> {
    let history = (any::span(), 0..u32::MAX).prop_map(|(keep, keep_runs)| HistoryRule { keep, keep_runs });
    (leases(), leases(), any::span(), history).prop_map(|(asked, in_force, outlasting, history)| {
        SettingsRow { leases: LeaseRule { asked, in_force, outlasting }, history }
    })
}

fn worker_row() -> impl Strategy<Value = WorkerRow> {
    let lives = (any::<u64>(), life(), any::<u64>());
    (any::name(), lives, profile(), any::time(), any::fenced(), admission()).prop_map(
        |(name, (incarnation, life, lost_through), profile, registered_at, spooled, admission)| WorkerRow {
            name,
            incarnation,
            life,
            profile,
            registered_at,
            lost_through,
            spooled,
            admission,
        },
    )
}

proptest! {
    #[test]
    fn runs(header in any::run_header()) {
        prop_assert_eq!(row::decode_run(&row::encode_run(&header)), Ok(header));
    }

    #[test]
    fn task_runs(state in any::task_state()) {
        prop_assert_eq!(row::decode_task(&row::encode_task(&state)), Ok(state));
    }

    #[test]
    fn earlier_attempts(attempt in any::last_attempt()) {
        prop_assert_eq!(row::decode_attempt(&row::encode_attempt(&attempt)), Ok(attempt));
    }

    #[test]
    fn histories(entry in any::history()) {
        prop_assert_eq!(row::decode_history(&row::encode_history(&entry)), Ok(entry));
    }

    #[test]
    fn schedules(record in any::schedule_record()) {
        prop_assert_eq!(row::decode_schedule(&row::encode_schedule(&record)), Ok(record));
    }

    #[test]
    fn schedule_lines(line in any::schedule_line()) {
        prop_assert_eq!(row::decode_schedule_line(&row::encode_schedule_line(&line)), Ok(line));
    }

    #[test]
    fn start_keys(run in any::run_id(), request_hash: u64) {
        let started = Started { run, request_hash };
        prop_assert_eq!(row::decode_start_key(&row::encode_start_key(&started)), Ok(started));
    }

    #[test]
    fn limits(numbers: [u32; 3], attempt: u16, position: u64, by in any::text(), at in any::time(), who in any::name()) {
        let [max, round, weight] = numbers;
        let limit = LimitRecord { max, by, set_at: at };
        prop_assert_eq!(row::decode_limit(&row::encode_limit(&limit)), Ok(limit));
        let number = WantNumber { round, attempt };
        let hold = HoldRecord { number, weight, position, since: at };
        prop_assert_eq!(row::decode_hold(&row::encode_hold(&hold)), Ok(hold));
        let want = WantRecord {
            number,
            weight,
            run_priority: Priority::High,
            run_created: at,
            task_priority: Priority::Lowest,
            workflow: who.clone(),
            task: who,
        };
        prop_assert_eq!(row::decode_want(&row::encode_want(&want)), Ok(want));
    }

    #[test]
    fn workflows(name in any::workflow_name(), latest: u32, created_at in any::time()) {
        let row = WorkflowRow { name, latest, created_at };
        prop_assert_eq!(WorkflowRow::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn versions(numbers: [u32; 4], hash in any::text(), applied_at in any::time(), by in any::text()) {
        let [version, tasks, source_chunks, canonical_chunks] = numbers;
        let row = VersionRow { version, hash, tasks, applied_at, by, source_chunks, canonical_chunks };
        prop_assert_eq!(VersionRow::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn workers(row in worker_row()) {
        prop_assert_eq!(WorkerRow::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn tokens(name in any::name(), hash: [u8; 32], role in 0usize..3, times in any::times3(), kind: [bool; 2]) {
        let row = TokenRow {
            name,
            hash: SecretHash(hash),
            role: [Role::Viewer, Role::Operator, Role::Admin][role],
            created_at: times[0],
            expires: if kind[0] { Expiry::Never } else { Expiry::At(times[1]) },
            state: if kind[1] { TokenState::Valid } else { TokenState::Revoked { at: times[2] } },
        };
        prop_assert_eq!(TokenRow::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn masters(id: u64, name in any::name(), addresses in [any::text(), any::text(), any::text()], state in 0usize..4, added_at in any::time()) {
        let [peer, worker, api] = addresses;
        let state = [MasterState::Joining, MasterState::Member, MasterState::Leaving, MasterState::Removed][state];
        let row = MasterRow { id, name, peer, worker, api, state, added_at };
        prop_assert_eq!(MasterRow::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn join_tokens(id in any::text(), hash: [u8; 32], name in any::name(), number: u64, times in any::times3(), kind: [bool; 3]) {
        let by = match kind[0] {
            true => JoinedAs::Master { id: number },
            false => JoinedAs::Worker { name: name.clone() },
        };
        let hash = SecretHash(hash);
        let row = JoinTokenRow {
            id,
            hash,
            role: if kind[1] { JoinRole::Worker } else { JoinRole::Master { name } },
            created_at: times[0],
            expires_at: times[1],
            state: if kind[2] { JoinTokenState::Open } else { JoinTokenState::Used { by, at: times[2], key: hash } },
        };
        prop_assert_eq!(JoinTokenRow::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn authorities(certificate in any::text(), key in any::text()) {
        let row = CaRow { certificate, key };
        prop_assert_eq!(CaRow::decode(&row.encode()), Ok(row.clone()));
        let shown = format!("{row:?}");
        prop_assert!(!shown.contains("key:"), "{}", shown);
    }

    #[test]
    fn clusters(id: [u8; 16], shards in 1u32.., generation: u32, feature_level: u32, next_master: u64) {
        let row = ClusterRow { id, shards, generation, feature_level, next_master };
        prop_assert_eq!(ClusterRow::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn settings_rows(row in settings()) {
        prop_assert_eq!(SettingsRow::decode(&row.encode()), Ok(row));
    }

    /// Two masters that write the same state write the same bytes.
    #[test]
    fn equal_values_are_equal_bytes(state in any::task_state(), entry in any::history()) {
        let again = row::decode_task(&row::encode_task(&state)).unwrap();
        prop_assert_eq!(row::encode_task(&again), row::encode_task(&state));
        let again = row::decode_history(&row::encode_history(&entry)).unwrap();
        prop_assert_eq!(row::encode_history(&again), row::encode_history(&entry));
    }
}

/// Microseconds of a day in 2026.
const AT: i64 = 1_795_000_000_000_000;

fn worker() -> WorkerRef {
    WorkerRef { name: Name::new("worker-07").unwrap(), incarnation: 12 }
}

const KEY: TaskKey = TaskKey { task: 4_321, item: 0 };

fn ended_noop() -> TaskState {
    let last = LastAttempt {
        number: 1,
        worker: worker(),
        ready_at: Timestamp(AT),
        dispatched_at: Timestamp(AT + 2_100),
        fate: Fate::Reported {
            started_at: Timestamp(AT + 3_400),
            finished_at: Timestamp(AT + 3_410),
            exit: Exit::Succeeded,
        },
    };
    let outcome = TaskOutcome::Succeeded { outputs: BTreeMap::new() };
    let phase = TaskPhase::Ended { outcome, at: Timestamp(AT + 5_000) };
    TaskState { key: KEY, round: 0, attempts: 1, tries: 0, losses: 0, last: Some(last), phase }
}

fn noop_events() -> [Bytes; 2] {
    let dispatched = Event::AttemptDispatched {
        key: KEY,
        attempt: 1,
        worker: worker(),
        ready_at: Timestamp(AT),
        share: Share::default(),
    };
    let end = AttemptEnd {
        started_at: Timestamp(AT + 3_400),
        finished_at: Timestamp(AT + 3_410),
        result: AttemptResult::Succeeded { outputs: BTreeMap::new() },
    };
    let ended = Event::AttemptEnded { key: KEY, attempt: 1, end, worker: worker() };
    [(2_100, dispatched), (5_000, ended)].map(|(later, event)| {
        row::encode_history(&HistoryRow { at: Timestamp(AT + later), events: vec![event] })
    })
}

#[test]
fn a_noops_rows_are_small() {
    let end = row::encode_task(&ended_noop());
    assert!(end.len() <= 60, "the end row has {} bytes", end.len());
    for event in noop_events() {
        assert!(event.len() <= 48, "a history row has {} bytes", event.len());
    }
}

/// In an entry with many events of one run a worker's name is there once.
#[test]
fn workers_are_named_once() {
    let event = |task| Event::AttemptLost { key: TaskKey { task, item: 0 }, attempt: 1, worker: worker() };
    let entry = HistoryRow { at: Timestamp(AT), events: (0..100).map(event).collect() };
    let bytes = row::encode_history(&entry);
    assert!(bytes.len() < 900, "{} bytes", bytes.len());
    assert_eq!(bytes.windows(9).filter(|window| window == b"worker-07").count(), 1);
    assert_eq!(row::decode_history(&bytes), Ok(entry));
}

/// A value is as deep in its row as when it was read first, so what was accepted once can be read for ever.
#[test]
fn the_deepest_json_survives() {
    let deep = "[".repeat(127) + &"]".repeat(127);
    let outputs = BTreeMap::from([("deep".to_owned(), serde_json::from_str(&deep).unwrap())]);
    let phase = TaskPhase::Ended { outcome: TaskOutcome::Succeeded { outputs }, at: Timestamp(AT) };
    let state = TaskState { key: KEY, round: 0, attempts: 0, tries: 0, losses: 0, last: None, phase };
    assert_eq!(row::decode_task(&row::encode_task(&state)), Ok(state));
}
