//! Keys come back as they went in and sort as people read.

use hortator_core::id::{AttemptId, LimitName, Name, RunId, TaskKey, TaskRunId, WorkflowName};
use proptest::prelude::*;

use super::strategies as any;
use crate::row::key::{self, Key};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn workflow(namespace: &str, workflow: &str) -> WorkflowName {
    WorkflowName { namespace: name(namespace), name: name(workflow) }
}

fn within(bytes: &[u8], (from, to): (bytes::Bytes, bytes::Bytes)) -> bool {
    *from <= *bytes && *bytes < *to
}

proptest! {
    #[test]
    fn of_workflows(
        name in any::workflow_name(),
        version: u32,
        chunk: u32,
        run in any::run_id(),
        text in any::text(),
        line in any::schedule_line(),
    ) {
        let workflow = name.clone();
        let limit = LimitName { namespace: name.namespace.clone(), name: name.name.clone() };
        let task_run = TaskRunId { run, key: TaskKey { task: version, item: chunk } };
        let cases = [
            (key::workflow(&name), key::workflows_of(&name.namespace), Key::Workflow(name.clone())),
            (key::version(&name, version), key::versions(&name), Key::Version { workflow: workflow.clone(), version }),
            (
                key::source_chunk(&name, version, chunk),
                "d".into(),
                Key::SourceChunk { workflow: workflow.clone(), version, chunk },
            ),
            (
                key::canonical_chunk(&name, version, chunk),
                "c".into(),
                Key::CanonicalChunk { workflow: workflow.clone(), version, chunk },
            ),
            (key::start_key(&name, &text), key::start_keys(&name), Key::StartKey { workflow: workflow.clone(), key: text }),
            (
                key::schedule(&name, &name.name),
                key::schedules_of(&name),
                Key::Schedule { workflow: workflow.clone(), schedule: name.name.clone() },
            ),
            (
                key::schedule_line(&name, &name.name, &line),
                key::schedule_lines(&name, &name.name),
                Key::ScheduleLine { workflow: workflow.clone(), schedule: name.name.clone(), time: line.time() },
            ),
            (key::run_of_workflow(&name, run), key::runs_of_workflow(&name), Key::RunOfWorkflow { workflow, run }),
            (key::limit(&limit), key::limits_of(&limit.namespace), Key::Limit(limit.clone())),
            (key::hold(&limit, task_run), key::holds_of(&limit), Key::Hold { limit: limit.clone(), task_run }),
            (key::want(&limit, task_run), key::wants_of(&limit), Key::Want { limit: limit.clone(), task_run }),
        ];
        for (bytes, prefix, parsed) in cases {
            prop_assert_eq!(key::parse(&bytes), Some(parsed));
            prop_assert!(bytes.starts_with(&prefix) && within(&bytes, key::range(&prefix)));
        }
        prop_assert_eq!(key::parse_run_of_workflow(&key::run_of_workflow(&name, run)), Some(run));
    }

    #[test]
    fn of_runs(id in any::attempt_id(), index: u64, worker in any::name()) {
        let run = id.task_run.run;
        let task = match id.attempt {
            0 => Key::TaskRun(id.task_run),
            _ => Key::EarlierAttempt(id),
        };
        let cases = [
            (key::run(run), key::runs(), Key::Run(run)),
            (key::live_run(run), key::live_runs().0, Key::LiveRun(run)),
            (key::deleted_run(run), key::deleted_runs(), Key::DeletedRun(run)),
            (key::task_run(id.task_run), key::task_runs(run), Key::TaskRun(id.task_run)),
            (key::attempt(id), key::attempts(id.task_run), task),
            (key::history(run, index), key::history_of(run), Key::History { run, index }),
            (key::worker(&worker), key::workers(), Key::Worker(worker.clone())),
            (key::cluster(), key::cluster(), Key::Cluster),
            (key::master(index), key::masters(), Key::Master(index)),
            (key::join_token(worker.as_str()), key::join_tokens(), Key::JoinToken(worker.to_string())),
            (key::authority(), key::authority(), Key::Authority),
            (key::token(&worker), key::tokens(), Key::Token(worker.clone())),
        ];
        for (bytes, prefix, parsed) in cases {
            prop_assert_eq!(key::parse(&bytes), Some(parsed));
            prop_assert!(bytes.starts_with(&prefix) && within(&bytes, key::range(&prefix)));
        }
        prop_assert_eq!(key::parse_live_run(&key::live_run(run)), Some(run));
        prop_assert_eq!(key::parse_deleted_run(&key::deleted_run(run)), Some(run));
        prop_assert_eq!(key::parse_task_run(&key::attempt(id)), Some(id));
        prop_assert_eq!(key::parse_history(&key::history(run, index)), Some((run, index)));
    }

    #[test]
    fn sort_like_their_ids(a in any::attempt_id(), b in any::attempt_id(), mut index: [u64; 2]) {
        let order = |id: &AttemptId| (id.task_run.run, id.task_run.key.task, id.task_run.key.item, id.attempt);
        prop_assert_eq!(key::attempt(a).cmp(&key::attempt(b)), order(&a).cmp(&order(&b)));
        index.sort_unstable();
        let run = a.task_run.run;
        prop_assert!(key::history(run, index[0]) <= key::history(run, index[1]));
    }
}

/// A shorter name is no prefix of the other's keys, and kinds and runs do not run into each other.
#[test]
fn prefixes_are_exact() {
    let (short, long) = (workflow("a", "b"), workflow("a", "b-2"));
    assert!(!key::version(&long, 1).starts_with(&key::versions(&short)));
    assert!(!key::start_key(&long, "x").starts_with(&key::start_keys(&short)));
    assert!(!key::workflow(&workflow("a-b", "c")).starts_with(&key::workflows_of(&name("a"))));
    let (last, next) = (RunId(0xff), RunId(0x100));
    assert!(!within(&key::history(next, 0), key::range(&key::history_of(last))));
    assert_eq!(key::range(&[1, 0xff]).1, &[2][..]);
    assert_eq!(key::range(&[0xff]).1, &[0xff][..]);
}

/// What lies in files of earlier versions.
#[test]
fn bytes_are_fixed_for_ever() {
    let run = RunId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    let id = TaskRunId { run, key: TaskKey { task: 0x2122_2324, item: 7 } };
    let expect = [&b"t"[..], &run.to_bytes(), &[0x21, 0x22, 0x23, 0x24, 0, 0, 0, 7, 0, 3]].concat();
    assert_eq!(key::attempt(AttemptId { task_run: id, attempt: 3 }), expect);
    let retail = workflow("retail", "daily");
    assert_eq!(key::workflow(&retail), &b"wretail\0daily"[..]);
    assert_eq!(key::version(&retail, 258), &b"vretail\0daily\0\0\0\x01\x02"[..]);
    assert_eq!(key::start_key(&retail, "k"), &b"kretail\0daily\0k"[..]);
    assert_eq!(key::worker(&name("w1")), &b"nw1"[..]);
    assert_eq!(key::cluster(), &b"m"[..]);
}

#[test]
fn foreign_keys_are_none() {
    for bytes in
        [&b""[..], b"z", b"w", b"wa", b"wa\0", b"wA\0b", b"va\0b\0\x01", b"r123", b"m1", b"n", b"t", b"h"]
    {
        assert_eq!(key::parse(bytes), None, "{bytes:?}");
    }
}
