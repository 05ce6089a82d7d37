//! Whoever applies a workflow is told at once which of its tasks would wait however long, and why: over HTTP, and on the
//! command line. Applied it is all the same.

mod harness;
mod program;

use harness::Api;
use program::Dev;
use serde_json::Value;

/// What somebody ordered before, the task's line, and each warning: its code and how its sentence begins.
type Case = (&'static [&'static str], &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    (&[], "shell: { script: 'true' }", &[]),
    (&[], "group: gpu, noop: {}", &[("R304", "worker group \"gpu\" does not exist; groups now: default")]),
    (
        &[],
        "resources: { slots: 999 }, noop: {}",
        &[(
            "R301",
            "no worker in group \"default\" has room: w1 has 2 of 2 slots free, 999 needed (0 task runs there)",
        )],
    ),
    (
        &[],
        "place: { require: { disk: ssd } }, noop: {}",
        &[("R305", "no worker in group \"default\" has label disk = ssd: w1 has no label disk")],
    ),
    (
        &["worker cordon w1"],
        "noop: {}",
        &[("R306", "workers in group \"default\" take no new work: w1 cordoned since ")],
    ),
    (&["worker uncordon w1"], "noop: {}", &[]),
    (
        &["worker drain w1"],
        "noop: {}",
        &[("R306", "workers in group \"default\" take no new work: w1 draining since ")],
    ),
    (
        &["worker uncordon w1", "quota set default slots=1"],
        "resources: { slots: 2 }, noop: {}",
        &[("R203", "namespace \"default\" uses 0 of 1 slots")],
    ),
    (
        &[],
        "group: gpu, resources: { slots: 2 }, noop: {}",
        &[
            ("R304", "worker group \"gpu\" does not exist"),
            ("R203", "namespace \"default\" uses 0 of 1 slots"),
        ],
    ),
    (
        &["quota set default slots=none"],
        "limits: [db], noop: {}",
        &[("R204", "it wants limit \"default/db\", which nobody has set")],
    ),
    (
        &["limit set db 0"],
        "limits: [db], noop: {}",
        &[("R202", "it needs 1 of limit \"default/db\", which is 0 in all (0 in use)")],
    ),
    (&["limit set db 1"], "limits: [db], noop: {}", &[]),
    // A group that somebody has set up and nobody works in, and the same one deleted.
    (
        &["group set gpu --policy bin_pack"],
        "group: gpu, noop: {}",
        &[("R303", "worker group \"gpu\" has no worker")],
    ),
    (
        &["group delete gpu"],
        "group: gpu, noop: {}",
        &[("R304", "worker group \"gpu\" does not exist; groups now: default")],
    ),
];

#[test]
fn what_would_wait_is_said_at_apply() {
    let dev = Dev::start(&["--masters", "1", "--workers", "1", "--slots", "2"]);
    let api = Api::of(&dev);
    for (at, (orders, task, expected)) in CASES.iter().enumerate() {
        for order in *orders {
            dev.call(&order.split(' ').collect::<Vec<_>>()).expect(0);
        }
        let source = format!("hortator: v1\nname: flow-{at}\ntasks:\n  - {{ id: one, {task} }}\n");
        let answer: Value = api.ask("POST /api/v1/workflows", &source).expect(200).json();
        let waits = answer["waits"].as_array().cloned().unwrap_or_default();
        let words = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(waits.len(), expected.len(), "{task}: {answer}");
        for (one, (code, text)) in waits.iter().zip(*expected) {
            assert_eq!((words(one, "task").as_str(), words(one, "code").as_str()), ("one", *code), "{task}");
            assert!(
                words(one, "reason").starts_with(text) && !words(one, "help").is_empty(),
                "{task}: {one}"
            );
        }
        let file = dev.home.write("flow.yaml", &source);
        let warned = dev.call(&["workflow", "apply", &file]).expect(0).stderr;
        let lines: Vec<String> = waits
            .iter()
            .map(|one| {
                let (reason, code, help) = (words(one, "reason"), words(one, "code"), words(one, "help"));
                format!("warning: task one would wait: {reason} [{code}]; {help}")
            })
            .collect();
        let told: Vec<&str> = warned.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(told, lines, "{task}");
    }
    let refused = dev.call(&["group", "delete", "default"]);
    assert!(refused.code != 0 && refused.stderr.contains("H3092"), "{refused:?}");
    let refused = dev.call(&["group", "delete", "gpu"]);
    assert!(refused.code != 0 && refused.stderr.contains("H3091"), "{refused:?}");
}
