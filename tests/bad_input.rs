//! Bad input and hostile tasks: a clear error with a code and an exit status, nothing hangs, nothing panics.

mod harness;
mod program;

use std::time::Duration;

use program::{Finished, Home};

/// Not a definition, or not one that may run.
const INVALID: i32 = 7;
const FAILED: i32 = 8;
const GIGABYTE: usize = 1_000_000_000;
/// Several times what a cluster needs that has nothing to keep.
const MEMORY_MAX_KIB: usize = 150_000;

fn validate(name: &str, content: impl AsRef<[u8]>) -> Finished {
    let home = Home::new();
    let file = home.write(&format!("{name}.workflow.yaml"), content);
    let finished = home.call(&["workflow", "validate", &file]);
    assert!(!finished.stderr.contains("panicked"), "{name}: {}", finished.stderr);
    finished
}

fn tasks(count: usize) -> String {
    let list: String = (0..count).map(|task| format!("  - {{ id: t{task}, noop: {{}} }}\n")).collect();
    format!("hortator: v1\nname: many\ntasks:\n{list}")
}

#[test]
fn definitions_that_are_refused() {
    let task = "tasks: [{ id: a, noop: {} }]\n";
    let bomb: String = (1..12)
        .map(|level| format!("  - &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")))
        .collect();
    for (name, content, code) in [
        ("bytes", b"hortator: v1\nname: \xff\xfe\n".to_vec(), "H2101"),
        ("large", vec![b'#'; (16 << 20) + 1], "H2119"),
        ("bomb", format!("hortator: v1\nname: a\nlabels:\n  - &a0 [x]\n{bomb}{task}").into_bytes(), "H21"),
        ("twice", format!("hortator: v1\nname: a\nname: b\n{task}").into_bytes(), "H2112"),
        ("circle", b"hortator: v1\nname: a\ntasks: [{ id: a, needs: [b], noop: {} }, { id: b, needs: [a], noop: {} }]\n".to_vec(), "H2106"),
        ("key", format!("hortator: v1\nname: a\nretries: 3\n{task}").into_bytes(), "H2110"),
        ("need", b"hortator: v1\nname: a\ntasks: [{ id: a, needs: [c], noop: {} }]\n".to_vec(), "H2103"),
        ("none", b"hortator: v1\nname: a\ntasks: []\n".to_vec(), "H2115"),
        ("name", format!("hortator: v1\nname: A_b\n{task}").into_bytes(), "H2107"),
        ("later", format!("hortator: v1\nname: a\nwait_for: []\n{task}").into_bytes(), "H2111"),
        ("many", tasks(100_001).into_bytes(), "H2108"),
        ("empty", Vec::new(), "H21"),
    ] {
        let finished = validate(name, content);
        assert_eq!(finished.code, INVALID, "{name}: {}{}", finished.stdout, finished.stderr);
        let said = finished.stdout.clone() + &finished.stderr;
        assert!(said.contains(code), "{name} names {code}: {}", said.chars().take(2_000).collect::<String>());
    }
}

#[test]
fn one_task_and_a_hundred_thousand_are_fine() {
    validate("one", tasks(1)).expect(0);
    validate("full", tasks(100_000)).expect(0);
}

fn run(script: &str, more: &str) -> Finished {
    let home = Home::new();
    let text = format!(
        "hortator: v1\nname: hostile\ntasks:\n  - id: only\n    shell: {{ script: '{script}' }}\n{more}"
    );
    let file = home.write("hostile.workflow.yaml", text);
    let finished = home.call(&["run", &file, "-o", "json"]);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    finished
}

/// Runs a task that prints too much; gives the lines that its log keeps, how many bytes it says were dropped, and
/// the most memory that the cluster's process had, in KiB.
fn print(script: &str) -> (Vec<String>, usize, usize) {
    let home = Home::new();
    let tasks = format!("tasks: [{{ id: only, shell: {{ script: '{script}' }} }}]");
    let file = home.write("loud.workflow.yaml", format!("hortator: v1\nname: loud\n{tasks}\n"));
    let data = home.path().join("data");
    let arguments = ["run", &file, "--data", data.to_str().unwrap(), "-o", "json"];
    let child = home.command(&arguments).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let peak = std::thread::spawn(move || {
        let mut peak = 0;
        // A process that has ended has no such line any more.
        while let Some(now) = std::fs::read_to_string(&status).ok().as_deref().and_then(peak_of) {
            peak = now;
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let document = program::finish(child, &arguments).expect(0).json();
    assert_eq!(document["state"], "succeeded", "{document}");
    let run = document["run"].as_str().unwrap();
    let log = std::fs::read_to_string(data.join(format!("w1/logs/default/loud/{run}/only.1.log"))).unwrap();
    let mut lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let mark = lines.pop().unwrap();
    assert!(mark.starts_with("m log cut here (bound: 16384 KiB)"), "{mark}");
    assert!(log.len() < (16 << 20) + 1024, "{} bytes are kept", log.len());
    let dropped = mark.rsplit_once(':').unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    let kept = lines.iter().map(|line| line.strip_prefix("o ").unwrap().to_owned()).collect();
    (kept, dropped, peak.join().unwrap())
}

fn peak_of(status: &str) -> Option<usize> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn a_task_that_prints_a_gigabyte_is_drained_and_its_log_is_cut() {
    let (one_line, dropped, peak) = print("head -c 1000000000 /dev/zero | tr \"\\0\" x");
    let kept: usize = one_line.iter().map(String::len).sum();
    assert!(kept > 16_000_000 && kept + dropped == GIGABYTE, "{kept} bytes kept, {dropped} dropped");
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");

    let (many_lines, dropped, peak) = print("yes | head -c 1000000000");
    let kept: usize = many_lines.iter().map(|line| line.len() + 1).sum();
    assert!(kept > 1_000_000 && kept + dropped == GIGABYTE, "{kept} bytes kept, {dropped} dropped");
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
}

#[test]
fn a_task_that_ignores_term_ends_by_its_timeout() {
    let finished = run("trap \"\" TERM; while :; do sleep 1; done", "    timeout: 1s\n").expect(FAILED);
    assert_eq!(finished.json()["tasks"][0]["state"], "failed");
}

#[test]
fn a_task_that_leaves_a_daemon_behind_ends_with_it() {
    let begun = std::time::Instant::now();
    // Any other process may sleep as long; none has this in its environment.
    let mark = format!("DAEMON_OF={}", std::process::id());
    run(&format!("({mark} setsid sleep 600 &) ; exit 0"), "").expect(0);
    assert!(begun.elapsed() < program::LIMIT, "the daemon held the attempt up");
    assert_eq!(harness::processes_with(&mark), 0, "the daemon is still there");
}

#[test]
fn a_missing_interpreter_is_named() {
    let home = Home::new();
    let text = "hortator: v1\nname: odd\ntasks: [{ id: only, shell: { script: x, shell: no-such-shell } }]\n";
    let file = home.write("odd.workflow.yaml", text);
    let finished = home.call(&["run", &file]).expect(FAILED);
    let said = finished.stdout + &finished.stderr;
    assert!(said.contains("no-such-shell"), "{said}");
}
