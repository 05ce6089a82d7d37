//! The promised sizes are accepted, one more is refused, and neither takes long.

use std::fmt::Write as _;

use hortator_core::definition::{Code, Invalid, Parsed, canonical, parse};

fn codes(yaml: &[u8]) -> Vec<Code> {
    match parse("big.workflow.yaml", yaml) {
        Ok(Parsed { warnings, .. }) => warnings.iter().map(|one| one.code).collect(),
        Err(Invalid { diagnostics }) => {
            assert!(!diagnostics.is_empty());
            diagnostics.iter().map(|one| one.code).collect()
        }
    }
}

/// `count` tasks, each needing those `needs` gives.
fn workflow(count: usize, needs: impl Fn(usize) -> Vec<usize>) -> String {
    let mut yaml = String::from("hortator: v1\nname: big\ntasks:\n");
    for task in 0..count {
        let needs: Vec<String> = needs(task).iter().map(|need| format!("t{need}")).collect();
        let _ = writeln!(
            yaml,
            "- id: t{task}\n  needs: [{}]\n  shell: {{ script: ./run.sh {task} }}",
            needs.join(", ")
        );
    }
    yaml
}

fn chain(task: usize) -> Vec<usize> {
    task.checked_sub(1).into_iter().collect()
}

#[test]
fn a_chain_of_100_000_tasks() {
    let parsed =
        parse("big.workflow.yaml", workflow(100_000, chain).as_bytes()).expect("100,000 tasks are allowed");
    assert_eq!(parsed.definition.graph.levels().len(), 100_000);
    let json = canonical::to_json(&parsed.definition);
    assert_eq!(canonical::from_json(&json).expect("canonical JSON is read"), parsed.definition);
    assert_eq!(codes(workflow(100_001, chain).as_bytes()), [Code::TooManyTasks]);
}

#[test]
fn items_count_as_tasks() {
    let tasks = |items: usize| {
        let items = vec!["1"; items].join(",");
        format!(
            "hortator: v1\nname: w\ntasks:\n- {{id: a, noop: , foreach: {{items: [{items}]}}}}\n- {{id: b, noop: }}\n"
        )
    };
    assert_eq!(codes(tasks(99_999).as_bytes()), []);
    assert_eq!(codes(tasks(100_000).as_bytes()), [Code::TooManyTasks]);
    assert_eq!(codes(tasks(100_001).as_bytes()), [Code::TooManyTasks]);
}

#[test]
fn a_million_needs() {
    let layers = |task: usize| if task < 1000 { vec![] } else { (0..1000).collect() };
    assert_eq!(codes(workflow(2000, layers).as_bytes()), []);
    let one_more = |task: usize| if task == 2000 { vec![0] } else { layers(task) };
    assert_eq!(codes(workflow(2001, one_more).as_bytes()), [Code::TooManyNeeds]);
}

#[test]
fn outputs_of_far_tasks() {
    let mut yaml = String::from("hortator: v1\nname: w\ntasks:\n");
    for task in 0..20_000usize {
        let needs = chain(task).iter().map(|need| format!("t{need}")).collect::<String>();
        let other = task / 2;
        let when = if task > 1 { format!("when: tasks.t{other}.outputs.n > 1, ") } else { String::new() };
        let _ = writeln!(
            yaml,
            "- {{ id: t{task}, needs: [{needs}], {when}outputs: {{ n: int }}, shell: {{ script: x }} }}"
        );
    }
    assert_eq!(codes(yaml.as_bytes()), []);
}

#[test]
fn many_faults_are_cut() {
    let unknown = workflow(50_000, |task| vec![task + 100_000]);
    let codes = codes(unknown.as_bytes());
    assert_eq!(codes.len(), 201);
    assert_eq!((codes[0], codes[200]), (Code::UnknownTask, Code::TooManyFaults));
}

#[test]
fn bytes() {
    let mut large = b"hortator: v1\nname: w\ntasks: [{id: a, noop: }]\n#".to_vec();
    large.resize(16 << 20, b'x');
    assert_eq!(codes(&large), []);
    large.push(b'x');
    assert_eq!(codes(&large), [Code::TooLarge]);
    let Err(Invalid { diagnostics }) = parse("f", b"hortator: v1\nname: \xff\n") else { panic!("not UTF-8") };
    let [one] = diagnostics.as_slice() else { panic!("one fault") };
    assert_eq!((one.code, one.line, one.column), (Code::NotText, 2, 7));
    assert_eq!(one.message, "the file is not UTF-8 text: byte 19 is 0xff");
    assert_eq!(codes(b""), [Code::MissingKey]);
}

#[test]
fn too_many_values_and_too_much_environment() {
    let many = format!("[{}]", "a,".repeat(4_100_000));
    assert_eq!(codes(many.as_bytes()), [Code::TooComplex]);
    let mut yaml = format!(
        "hortator: v1\nname: w\ndefaults: {{ env: {{ A: \"{}\" }} }}\ntasks:\n",
        "x".repeat(100 << 10)
    );
    for task in 0..200 {
        let _ = writeln!(yaml, "- {{ id: t{task}, noop: }}");
    }
    assert_eq!(codes(yaml.as_bytes()), [Code::TooLarge]);
}
