//! Definitions that are accepted, and what they mean.

use hortator_core::definition::{
    Backoff, Definition, InputType, OnFailure, Parsed, Priority, RunIf, ShellSource, TaskKind, ValueType,
    WhenFull, canonical, draw, parse, render_all,
};
use hortator_core::schedule::{CatchUp, Overlap, Timing};
use hortator_core::time::Span;
use serde_json::json;

pub(crate) const FULL: &str = include_str!("full.workflow.yaml");

#[track_caller]
pub(crate) fn good(yaml: &str) -> Definition {
    match parse("my.workflow.yaml", yaml.as_bytes()) {
        Ok(Parsed { definition, warnings }) => {
            assert!(warnings.is_empty(), "{}", render_all(&warnings, yaml));
            let json = canonical::to_json(&definition);
            assert_eq!(canonical::from_json(&json).expect("canonical JSON is read"), definition);
            definition
        }
        Err(invalid) => panic!("{}", render_all(&invalid.diagnostics, yaml)),
    }
}

#[test]
fn the_whole_vocabulary() {
    let definition = good(FULL);
    assert_eq!(definition.name.to_string(), "retail/daily-sales");
    assert_eq!(definition.labels["tier"], "1");
    assert_eq!(definition.priority, Priority::High);
    assert_eq!(definition.on_failure, OnFailure::Stop);
    assert_eq!(
        (definition.concurrency.runs, definition.concurrency.when_full),
        (Some(1), WhenFull::CancelOldest)
    );
    assert_eq!(definition.inputs[1].r#type, InputType::Enum(vec!["cn".into(), "no".into()]));
    assert_eq!(definition.inputs[3].default, Some(json!(1.5)));
    let [nightly, often, once] = definition.schedules.as_slice() else { panic!("three schedules") };
    let zone = "Asia/Shanghai".to_owned();
    assert_eq!(nightly.timing, Timing::Cron { expression: "30 2 * * *".into(), zone });
    assert_eq!((nightly.catch_up, nightly.overlap), (CatchUp::All { max: 20 }, Overlap::CancelOldest));
    assert_eq!((&nightly.inputs["limit"], nightly.enabled), (&json!(7), true));
    assert_eq!(often.timing, Timing::Every(Span::from_secs(900)));
    assert_eq!((often.catch_up, often.overlap, often.enabled), (CatchUp::None, Overlap::Skip, false));
    assert_eq!(once.timing, Timing::At("2026-12-24T17:00:00Z".parse().expect("a time")));
    let [extract, check, load, done] = definition.tasks.as_slice() else { panic!("four tasks") };
    let foreach = extract.foreach.as_ref().expect("extract has items");
    assert_eq!(foreach.items, [json!("orders"), json!({"name": "stock", "days": [1, 2]}), json!(7)]);
    assert_eq!((foreach.r#as.as_str(), foreach.parallel, extract.items()), ("table", Some(2), 3));
    assert_eq!(extract.retry.max, 2);
    assert_eq!((load.retry.max, load.retry.delay), (5, Span::from_secs(30)));
    assert_eq!((load.retry.backoff, load.retry.jitter_percent), (Backoff::Exponential, 20));
    assert_eq!(
        (load.priority, load.slots, load.timeout),
        (Priority::Highest, 2, Some(Span::from_secs(7200)))
    );
    assert_eq!(extract.timeout, Some(Span::from_secs(1800)));
    assert_eq!(
        load.env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        ["DAY={{ inputs.day }}", "PORT=8080", "TZ=UTC"]
    );
    assert_eq!(check.outputs["ok"], ValueType::Bool);
    let TaskKind::Shell(shell) = &load.kind else { panic!("a shell task") };
    assert_eq!((&shell.source, shell.interpreter.as_str()), (&ShellSource::File("load.sh".into()), "bash"));
    assert_eq!((done.run_if, &done.kind), (RunIf::NoneFailed, &TaskKind::Noop));
    assert_eq!(definition.graph.parents(3), [1, 2]);
    assert_eq!(load.when.as_deref(), Some("tasks.check.outputs.ok and inputs.region == 'no'"));
}

#[test]
fn pictures() {
    let definition = good(FULL);
    let ascii = "level 0   extract [3 items]\nlevel 1   check   ← extract\nlevel 2   load   ← check\nlevel 3   done   ← check, load\n";
    assert_eq!(draw::ascii(&definition), ascii);
    let mermaid = draw::mermaid(&definition);
    assert!(mermaid.contains("t0[\"extract [3 items]\"]") && mermaid.contains("t1 --> t2"), "{mermaid}");
    let dot = draw::dot(&definition);
    assert!(dot.starts_with("digraph \"retail/daily-sales\" {\n") && dot.contains("t1 -> t3;"), "{dot}");
    let wide = good(
        "{hortator: v1, name: w, tasks: [{id: a, noop: }, {id: b, noop: , needs: [a]}, {id: c, noop: , needs: [a]}]}",
    );
    assert_eq!(draw::ascii(&wide), "level 0   a\nlevel 1   ├ b   ← a\n          └ c   ← a\n");
}

/// The same thing said in other ways.
#[test]
fn spellings_that_mean_the_same() {
    let plain = good(
        "hortator: v1\nname: w\ntasks:\n- id: a\n  shell: {script: x}\n- id: b\n  needs: [a]\n  noop: {}\n",
    );
    let others = [
        "\u{feff}hortator: v1\r\nname: w\r\ntasks:\r\n- id: a\r\n  shell: {script: x}\r\n- {id: b, needs: [a], noop: }\r\n",
        "---\n# comment\ntasks: [{shell: {shell: sh, script: 'x'}, id: \"a\", priority: normal}, {id: b, needs: [a], noop: ~}]\nname: w\nnamespace: default\nhortator: v1\n...\n",
        "{\"hortator\":\"v1\",\"name\":\"w\",\"tasks\":[{\"id\":\"a\",\"shell\":{\"script\":\"x\"}},\n\t{\"id\":\"b\",\"needs\":[\"a\"],\"noop\":{}}]}",
        "hortator: v1\nname: w\ndefaults: {group: default, env: {}}\ntasks:\n- id: a\n  shell: &s {script: x}\n- id: b\n  needs: [a]\n  noop: {}\n",
    ];
    for other in others {
        let other = good(other);
        assert_eq!(other, plain);
        assert_eq!(canonical::hash(&other), canonical::hash(&plain));
    }
    let changed =
        good("{hortator: v1, name: w, tasks: [{id: a, shell: {script: y}}, {id: b, needs: [a], noop: }]}");
    assert_ne!(canonical::hash(&changed), canonical::hash(&plain));
}

/// Stored definitions outlive programs: this text must stay readable, and its hash the same.
#[test]
fn canonical_json_is_fixed() {
    let definition = good(
        "{hortator: v1, name: w, tasks: [{id: a, shell: {script: x}, timeout: 1m}, {id: b, needs: [a], noop: }]}",
    );
    let json = canonical::to_json(&definition);
    let expected = r#"{"name":{"namespace":"default","name":"w"},"tasks":[{"id":"a","kind":{"shell":{"source":{"script":"x"}}},"timeout":60000000},{"id":"b","kind":"noop"}],"graph":[[],[0]]}"#;
    assert_eq!(String::from_utf8(json).expect("JSON is text"), expected);
    assert_eq!(canonical::hash(&definition), canonical::hash_of_json(expected.as_bytes()));
    assert_eq!(canonical::hash_of_json(b"hortator"), "8f673cf0a8cec87a8d418087c60eeb23");
    for graph in ["[[1]]", "[[]]", "[[], []]"] {
        let json = format!(r#"{{"name":{{"namespace":"default","name":"w"}},"tasks":[],"graph":{graph}}}"#);
        assert!(canonical::from_json(json.as_bytes()).is_err(), "{graph}");
    }
}

#[test]
fn aliases_repeat_values() {
    let yaml = "hortator: v1\nname: w\ntasks:\n- {id: a, shell: &s {script: x}, env: &e {A: '1'}}\n- {id: b, shell: *s, env: *e}\n";
    let definition = good(yaml);
    assert_eq!(definition.tasks[0].kind, definition.tasks[1].kind);
    assert_eq!(definition.tasks[0].env, definition.tasks[1].env);
}

#[test]
fn what_a_task_takes_of_a_worker() {
    use hortator_core::dispatch::{Amounts, LabelRule, LabelTest, Resource, ZoneWish};
    use hortator_core::id::Name;
    let definition = good(
        "hortator: v1\nname: w\ndefaults: { resources: { cpu: 0.5 }, place: { has: fast } }\ntasks:\n\
         - { id: a, noop: {}, resources: { slots: 2 } }\n\
         - { id: b, noop: {} }\n\
         - id: c\n  noop: {}\n  resources: [{ gpu: 1, cpu: 4, named: { licence: 2 } }, { cpu: 1500m, memory: 1.5GiB, disk: 1TiB }]\n\
         \u{20} place: { require: { disk: [ssd, nvme] }, avoid: { os: old }, has: gpu-driver, prefer: { rack: a }, spread: [node], zone: eu, zone_wait: 5m }\n",
    );
    let name = |text: &str| Name::new(text).unwrap();
    let [a, b, c] = definition.tasks.as_slice() else { panic!("three tasks") };
    assert_eq!((a.slots, a.requests()), (2, vec![Amounts::slots(2)]));
    assert!(a.resources.is_empty(), "slots alone are written as before");
    assert_eq!(b.requests(), [Amounts::slots(1).with(Resource::Cpu, 500)]);
    let first = Amounts::slots(1).with(Resource::Cpu, 4000).with(Resource::Gpu, 1);
    let second = Amounts::slots(1).with(Resource::Cpu, 1500).with(Resource::Memory, 1536);
    let wanted = [first.with(Resource::Named(name("licence")), 2), second.with(Resource::Disk, 1 << 20)];
    assert_eq!(c.requests(), wanted);
    let is = |key: &str, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        LabelTest::Is { key: name(key), values }
    };
    let labels = [
        LabelRule::Require(is("disk", &["ssd", "nvme"])),
        LabelRule::Require(LabelTest::IsNot { key: name("os"), values: vec!["old".to_owned()] }),
        LabelRule::Require(LabelTest::Has { key: name("gpu-driver") }),
        LabelRule::Prefer { test: is("rack", &["a"]), weight: 50 },
        LabelRule::Spread { key: name("node") },
    ];
    assert_eq!(c.place.labels, labels);
    let usual = [LabelRule::Require(LabelTest::Has { key: name("fast") })];
    assert_eq!(b.place.labels, usual, "a task that says nothing of its place has the usual one");
    assert_eq!(c.place.zone, ZoneWish::Near { zone: "eu".to_owned(), wait: Span::from_secs(300) });
}
