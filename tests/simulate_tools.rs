//! Runs that are stored and played again, scenarios with faults in them, and weeks that are planned: as commands.

mod program;

use program::Home;

const SCENARIO: &str = r#"
name = "short"
lasts = "3s"
cluster = { masters = 3, workers = 1, shards = 1, slots = 4, log_keep = 100 }
habits = { clients = 1, workflows = 1, pause = ["10ms", "100ms"], mix = { tasks = [1, 2], takes = ["5ms", "50ms"] } }
[[fault]]
do = "kill"
who = "leader"
every = ["200ms", "800ms"]
for = ["10ms", "500ms"]
"#;

#[test]
fn a_run_is_stored_and_played_again() {
    let home = Home::new();
    let (scenario, stored) = (home.path().join("short.toml"), home.path().join("run.toml"));
    std::fs::write(&scenario, SCENARIO).unwrap();
    let (scenario, stored) = (scenario.display().to_string(), stored.display().to_string());
    let mut first = home
        .call(&["sim", "run", &scenario, "--seed", "1", "--save", &stored, "-o", "json"])
        .expect(0)
        .json();
    let again = home.call(&["sim", "replay", &stored, "-o", "json"]).expect(0).json();
    // How long the host took is not of the story.
    assert!(first.as_object_mut().unwrap().remove("pace").is_some(), "{first}");
    assert_eq!(first, again);
    let story = home.call(&["sim", "replay", &stored]).expect(0).stdout;
    assert!(story.contains("leads group 0 in term") && story.contains("Kill [\"n"), "{story}");
    let whole = home.call(&["sim", "shrink", &stored]).expect(0).stdout;
    assert!(whole.contains("nothing to make smaller"), "{whole}");
    std::fs::write(&scenario, SCENARIO.replace("lasts", "last")).unwrap();
    let refused = home.call(&["sim", "run", &scenario, "--seed", "1"]).expect(7).stderr;
    assert!(refused.contains("did you mean \"lasts\"?"), "{refused}");
    home.call(&["sim", "replay", &scenario]).expect(7);
    home.call(&["sim", "shrink"]).expect(2);
}

#[test]
fn a_seed_that_goes_elsewhere_breaks_no_promise_and_a_scenario_must_go_there() {
    let home = Home::new();
    let path = home.path().join("short.toml");
    let elsewhere = r#"lasts = "3s"
expects = ["clock: a wrong time is told"]"#;
    std::fs::write(&path, SCENARIO.replace(r#"lasts = "3s""#, elsewhere)).unwrap();
    let path = path.display().to_string();
    let one = home.call(&["sim", "run", &path, "--seed", "1"]).expect(0).stdout;
    assert!(one.contains("no violation\nnot what the scenario is for: the mark"), "{one}");
    let range = home.call(&["sim", "explore", &path, "--seeds", "1..3"]).expect(13).stdout;
    assert!(range.contains("MISSED: the mark \"clock: a wrong time is told\" was never passed"), "{range}");
}

const HOURLY: &str = r#"
hortator: v1
name: hourly
schedules:
  - { id: main, cron: "0 * * * *", timezone: UTC }
tasks:
  - { id: extract, shell: { script: extract } }
  - { id: load, needs: [extract], shell: { script: load } }
"#;

#[test]
fn a_day_is_planned() {
    let home = Home::new();
    let flows = home.path().join("flows");
    std::fs::create_dir(&flows).unwrap();
    std::fs::write(flows.join("hourly.workflow.yaml"), HOURLY).unwrap();
    std::fs::write(flows.join("more.workflow.yaml"), HOURLY.replace("hourly", "more")).unwrap();
    std::fs::write(flows.join("durations.toml"), "task = [\"5m\", \"5m\"]\n").unwrap();
    let place = flows.display().to_string();
    let drawing = home.path().join("day.svg").display().to_string();
    let plan = |workers: &str| {
        let words =
            ["sim", "plan", "--workflows", &place, "--workers", workers, "--for", "1d", "--svg", &drawing];
        home.call(&[&words[..], &["-o", "json"]].concat()).expect(0).json()
    };
    let wide = plan("1x2");
    assert_eq!(
        (&wide["runs"], &wide["task_runs"], &wide["failed"]),
        (&48.into(), &96.into(), &0.into()),
        "{wide:#}"
    );
    assert_eq!(wide["late"].as_array().unwrap().len(), 0, "{wide:#}");
    let busy = wide["groups"][0]["utilisation"].as_f64().unwrap();
    assert!((0.166..0.167).contains(&busy), "96 times five minutes of two slots' day: {wide:#}");
    // With one slot the second of each hour waits for the first's extract.
    let narrow = plan("1x1");
    assert_eq!(narrow["late"].as_array().unwrap().len(), 24, "{narrow:#}");
    assert!(narrow["groups"][0]["wait_most_s"].as_f64().unwrap() >= 299.0, "{narrow:#}");
    assert!(std::fs::read_to_string(&drawing).unwrap().contains("<polygon"));
    let words = ["sim", "plan", "--workflows", &place, "--workers", "gpu:1x1"];
    assert!(home.call(&words).expect(2).stderr.contains("default"));
}

#[test]
fn what_workers_have_and_limits_are_planned() {
    let home = Home::new();
    let flows = home.path().join("flows");
    std::fs::create_dir(&flows).unwrap();
    let picky = HOURLY.replace(
        "shell: { script: load }",
        "resources: { cpu: 4 }, place: { require: { disk: ssd } }, shell: { script: load }",
    );
    let picky = picky.replace("shell: { script: extract }", "limits: [crane], shell: { script: extract }");
    std::fs::write(flows.join("hourly.workflow.yaml"), &picky).unwrap();
    std::fs::write(flows.join("more.workflow.yaml"), picky.replace("hourly", "more")).unwrap();
    let place = flows.display().to_string();
    let words = ["sim", "plan", "--workflows", &place, "--workers", "1x4", "--for", "6h", "-o", "json"];
    let with = |config: &str| {
        std::fs::write(flows.join("durations.toml"), format!("task = [\"5m\", \"5m\"]\n{config}")).unwrap();
        home.call(&words)
    };
    assert!(with("").expect(7).stderr.contains("labels"));
    let ssd = |cpu| format!("[workers.default]\nhas = {{ cpu = {cpu} }}\nlabels = {{ disk = \"ssd\" }}\n");
    assert!(with(&ssd(2)).expect(7).stderr.contains("it asks for 4 cpu, and a worker has 2"));
    let longest = |config: &str| {
        let told = with(config).expect(0).json();
        told["groups"][0]["wait_most_s"].as_f64().unwrap().round() as u64
    };
    assert_eq!(longest(&ssd(8)), 0);
    assert_eq!(longest(&ssd(4)), 300, "one load at a time");
    let (said, hinted) = (home.call(&words[..words.len() - 2]).expect(0).stderr, "default/crane");
    assert!(said.contains(hinted), "nobody says how many cranes there are: {said}");
    let late = with(&format!("{}[limits]\ncrane = 1\n", ssd(8))).expect(0).json();
    assert_eq!(late["late"].as_array().unwrap().len(), 6, "one extract at a time: {late:#}");
}

#[test]
fn a_whole_company_is_planned() {
    let home = Home::new();
    let place = home.path().join("company").display().to_string();
    let script = program::repository("tests/week.sh");
    assert!(std::process::Command::new(script).args([&place, "40"]).status().unwrap().success());
    std::fs::write(format!("{place}/durations.toml"), "task = [\"20s\", \"4m\"]\n").unwrap();
    let words = ["sim", "plan", "--workflows", &place, "--workers", "10x4", "--for", "3h", "-o", "json"];
    let told = home.call(&words).expect(0).json();
    let (runs, group) = (told["runs"].as_u64().unwrap(), &told["groups"][0]);
    assert!(runs > 50 && told["task_runs"].as_u64().unwrap() > 4 * runs, "{told:#}");
    // Nothing waits for anything but a slot: not for a heartbeat either, which comes seldom here.
    assert!(group["busy_most"].as_u64().unwrap() < 40, "{told:#}");
    assert!(group["wait_most_s"].as_f64().unwrap() < 0.5, "{told:#}");
    assert_eq!(group["processes"], told["task_runs"], "each task of these runs once: {told:#}");
}

#[test]
fn what_cannot_be_planned_is_said() {
    let home = Home::new();
    let flows = home.path().join("flows");
    std::fs::create_dir(&flows).unwrap();
    let place = flows.display().to_string();
    let refused = |place: &str, more: &[&str], exit: i32, part: &str| {
        let words = [&["sim", "plan", "--workflows", place, "--for", "1d"], more].concat();
        let said = home.call(&words).expect(exit).stderr;
        assert!(said.contains(part), "{words:?}: {said:?} lacks {part:?}");
    };
    let workers = ["--workers", "1x2"];
    refused(&home.path().join("nowhere").display().to_string(), &workers, 3, "nowhere");
    refused(&place, &workers, 2, "holds no *.workflow.yaml");
    std::fs::write(
        flows.join("plain.workflow.yaml"),
        "hortator: v1\nname: plain\ntasks: [{ id: a, noop: {} }]\n",
    )
    .unwrap();
    refused(&place, &workers, 2, "has a schedule");
    std::fs::write(flows.join("hourly.workflow.yaml"), HOURLY).unwrap();
    refused(&place, &["--workers", "1y2"], 2, "8x4");
    refused(&place, &["--workers", "1x2", "--chaos", "strom"], 7, "strom");
    std::fs::write(flows.join("durations.toml"), "tasks = \"5m\"\n").unwrap();
    refused(&place, &workers, 7, "durations.toml");
    std::fs::remove_file(flows.join("durations.toml")).unwrap();
    let words = ["sim", "plan", "--workflows", &place, "--workers", "1x2", "--for", "6h", "--chaos", "storm"];
    let told = home.call(&words).expect(0);
    assert!(told.stdout.contains("default/hourly\t6\t0\t0"), "{}", told.stdout);
    assert!(told.stderr.contains("nothing of them was planned: default/plain"), "{}", told.stderr);
}
