//! Looking inside the real thing: actors, replicas, logs, metrics.

mod harness;
mod program;

use std::collections::BTreeMap;

use harness::Api;
use program::Dev;
use serde_json::{Value, json};

const FLAKY: &str = "hortator: v1\nname: flaky\ntasks:\n  - id: twice\n    shell: { script: 'test $HTR_ATTEMPT -ge 2' }\n    \
                     retry: { max: 2, delay: 50ms }\n  - { id: after, needs: [twice], noop: {} }\n";

/// All series with their values.
fn metrics(api: &Api) -> BTreeMap<String, f64> {
    let text = api.ask("GET /metrics", "").expect(200).body;
    assert!(text.ends_with("# EOF\n"));
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    };
    let all: BTreeMap<String, f64> = series.map(parse).collect();
    // Each series belongs to a metric that is declared once.
    let mut declared: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    declared.sort_unstable();
    let count = declared.len();
    declared.dedup();
    assert_eq!(count, declared.len(), "{declared:?}");
    for name in all.keys() {
        let name = name.split('{').next().unwrap();
        let bare = ["_total", "_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = |name: &str| declared.contains(&name);
        assert!(known(name) || bare.is_some_and(known), "{name} is not declared");
    }
    all
}

/// Of all series of this name.
fn sum(series: &BTreeMap<String, f64>, name: &str) -> f64 {
    let of =
        |found: &str| found == name || found.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
    series.iter().filter(|(found, _)| of(found)).map(|(_, value)| value).sum()
}

fn run_one(api: &Api) -> String {
    let key = format!("k{}", std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    let (run, _) = api.start("flaky", &key).unwrap();
    assert_eq!(api.end_of(&run), "succeeded");
    run
}

#[test]
fn actors_replicas_and_logs_can_be_looked_at() {
    let dev = Dev::start(&["--masters", "3", "--workers", "1"]);
    let api = Api::of(&dev);
    api.apply(FLAKY);
    let run = run_one(&api);

    let look = |by: &str| api.get::<Value>(&format!("/cluster/actors?by={by}&top=5"));
    let kinds = |view: &Value| -> BTreeMap<String, Value> {
        let kinds = view["kinds"].as_array().unwrap().iter();
        kinds.map(|kind| (kind["kind"].as_str().unwrap().to_owned(), kind.clone())).collect()
    };
    let view = look("time");
    let of = kinds(&view);
    for kind in ["GroupActor", "Shard", "Gateway", "Dispatcher", "MembershipActor", "Balancer", "WorkerActor"]
    {
        assert!(of[kind]["handled"].as_u64() > Some(0) || kind == "Balancer", "{kind}: {:?}", of[kind]);
        assert!(of[kind]["actors"].as_u64() >= Some(1), "{kind}: {:?}", of[kind]);
    }
    assert_eq!(of["GroupActor"]["actors"], 2);
    let busy: Vec<u64> =
        view["top"].as_array().unwrap().iter().map(|actor| actor["busy_us"].as_u64().unwrap()).collect();
    assert!(busy.len() == 5 && busy.is_sorted_by(|a, b| a >= b), "{busy:?}");

    let groups = || api.get::<Value>("/cluster/raft")["groups"].clone();
    let leader = groups()[1]["leader"].as_u64().unwrap();
    assert_eq!((&groups()[0]["group"], &groups()[1]["voters"]), (&json!(0), &json!([1, 2, 3])));

    // The run's creation lies in the log of its shard, and no value of it is shown.
    let log: Value = api.get("/cluster/raft/1/log?from=1&limit=200");
    let entries = log["entries"].as_array().unwrap();
    let indexes: Vec<u64> = entries.iter().map(|entry| entry["index"].as_u64().unwrap()).collect();
    assert!(indexes.windows(2).all(|pair| pair[1] == pair[0] + 1), "{indexes:?}");
    let rows = entries.iter().flat_map(|entry| entry["writes"].as_array().unwrap());
    let rows: Vec<&str> = rows.map(|write| write["row"].as_str().unwrap()).collect();
    for row in [format!("run {run}"), format!("task run {run}/0[0]"), format!("history of {run}")] {
        assert!(rows.contains(&row.as_str()), "{row} is not in {rows:?}");
    }
    assert!(entries.iter().any(|entry| entry["content"] == "barrier"));
    let newest: Value = api.get("/cluster/raft/0/log?limit=3");
    assert_eq!(newest["entries"][2]["index"], newest["last"]);
    api.ask("GET /api/v1/cluster/raft/9/log", "").expect(404);

    // Leadership goes where it is sent, whoever is asked, and comes back here; with it the leader's view of its peers.
    for group in [1, 0] {
        for to in [leader % 3 + 1, (leader + 1) % 3 + 1, 1] {
            let path = format!("POST /api/v1/cluster/raft/{group}/transfer");
            let answer: Value = api.ask(&path, &json!({ "to": to }).to_string()).expect(200).json();
            assert_eq!(answer["leader"], to);
        }
        let here = &groups()[group];
        assert_eq!((&here["role"], here["peers"].as_array().unwrap().len()), (&json!("leader"), 2));
        assert_eq!(here["pending_conf"], false);
    }
    // What this master gave away counts.
    let handed_over = || sum(&metrics(&api), "hortator_raft_leaderships_handed_over_total");
    let before = handed_over();
    for to in [2, 1] {
        api.ask("POST /api/v1/cluster/raft/1/transfer", &json!({ "to": to }).to_string()).expect(200);
    }
    assert_eq!(handed_over() - before, 1.0);
    let nobody = api.ask("POST /api/v1/cluster/raft/1/transfer", "{\"to\": 9}").expect(409);
    assert!(nobody.body.contains("H3080"), "{}", nobody.body);
    run_one(&api);
    // It decides here now.
    let before = of.get("TaskActor").map_or(0, |kind| kind["handled"].as_u64().unwrap());
    assert!(kinds(&look("mailbox"))["TaskActor"]["handled"].as_u64().unwrap() > before);
    assert_eq!(dev.interrupt(), 0);
}

#[test]
fn every_metric_moves_when_what_it_counts_happens() {
    let dev = Dev::start(&["--masters", "1", "--workers", "1"]);
    let api = Api::of(&dev);
    api.apply(FLAKY);
    let before = metrics(&api);
    run_one(&api);
    let after = metrics(&api);
    let moved = |name: &str| sum(&after, name) - sum(&before, name);
    for (name, least) in [
        ("hortator_runs_finished_total", 1.0),
        // Two of the shell task, one of the noop.
        ("hortator_task_attempts_dispatched_total", 3.0),
        ("hortator_task_attempts_ended_total", 3.0),
        ("hortator_task_dispatch_latency_seconds_count", 3.0),
        // Of first attempts.
        ("hortator_task_wait_seconds_count{group=\"default\",phase=\"dependency\"}", 2.0),
        ("hortator_task_wait_seconds_count{group=\"default\",phase=\"capacity\"}", 2.0),
        ("hortator_peer_bytes_total{kind=\"worker\",dir=\"sent\"}", 100.0),
        ("hortator_peer_bytes_total{kind=\"worker\",dir=\"received\"}", 100.0),
        ("hortator_reports_total", 2.0),
        ("hortator_raft_proposals_total", 4.0),
        ("hortator_raft_propose_seconds_count", 4.0),
        ("hortator_raft_commit_index", 4.0),
        ("hortator_raft_applied_index", 4.0),
        ("hortator_raft_log_entries", 4.0),
        ("hortator_raft_log_bytes", 100.0),
        ("hortator_row_writes_total", 6.0),
        ("hortator_frames_sent_total", 2.0),
        ("hortator_actor_messages_total", 10.0),
        ("hortator_actor_handle_seconds_count", 10.0),
        ("hortator_runs_total{state=\"created\"}", 1.0),
        ("hortator_runs_total{state=\"succeeded\"}", 1.0),
        ("hortator_run_duration_seconds_count", 1.0),
        ("hortator_task_runs_total{result=\"succeeded\"}", 2.0),
        ("hortator_task_attempts_total{result=\"exited\"}", 1.0),
        ("hortator_task_attempts_total{result=\"succeeded\"}", 2.0),
        ("hortator_scheduler_decisions_total", 1.0),
        ("hortator_raft_apply_seconds_count", 4.0),
        ("hortator_raft_append_fsync_seconds_count", 1.0),
        ("hortator_store_syncs_total", 1.0),
        ("hortator_http_requests_total", 2.0),
        ("hortator_http_request_seconds_count", 2.0),
    ] {
        assert!(moved(name) >= least, "{name} moved by {}", moved(name));
    }
    assert_eq!(moved("hortator_runs_finished_total"), 1.0);
    assert_eq!(moved("hortator_task_attempts_dispatched_total"), 3.0);
    for (name, value) in [
        ("hortator_raft_has_quorum", 2.0),
        ("hortator_raft_is_leader", 2.0),
        ("hortator_raft_members", 2.0),
        ("hortator_workers{state=\"up\"}", 1.0),
        ("hortator_peer_connections{kind=\"worker\"}", 1.0),
        ("hortator_peer_connections{kind=\"master\"}", 0.0),
        ("hortator_task_blocked", 0.0),
        ("hortator_raft_peer_lag_entries", 0.0),
        ("hortator_disk_low", 0.0),
        ("hortator_build_info", 1.0),
        ("hortator_node_role{role=\"master\"}", 1.0),
        ("hortator_state_hash_mismatch_total", 0.0),
    ] {
        assert_eq!(sum(&after, name), value, "{name}");
    }
    for name in [
        "group_slots",
        "worker_slots",
        "disk_free_bytes",
        "disk_size_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(sum(&after, &format!("hortator_{name}")) > 0.0, "{name}");
    }
    assert!(sum(&after, "hortator_worker_heartbeat_age_seconds") < 60.0);
    // Heartbeats come by themselves.
    harness::wait_until("heartbeats and leases", || {
        let now = metrics(&api);
        ["hortator_worker_heartbeats_total", "hortator_worker_leases_renewed_total"]
            .iter()
            .all(|name| sum(&now, name) > sum(&after, name))
    });
    assert_eq!(dev.interrupt(), 0);
}

const STUCK: &str = "hortator: v1\nname: stuck\ntasks:\n  - { id: one, group: gpu, noop: {} }\n";

#[test]
fn what_waits_shows_in_metrics_and_goes() {
    let dev = Dev::start(&["--masters", "1", "--workers", "1"]);
    let api = Api::of(&dev);
    api.apply(STUCK);
    let (run, _) = api.start("stuck", "k1").unwrap();
    let waiting = api.clone();
    let path = format!("GET /api/v1/runs/{run}?wait=60s");
    let waiter = std::thread::spawn(move || waiting.ask(&path, "").expect(200));
    let now = |name: &str| sum(&metrics(&api), &format!("hortator_{name}"));
    harness::wait_until("the queue and who waits for the run", || {
        now("queue_length{group=\"gpu\"}") == 1.0
            && now("queue_oldest_seconds{group=\"gpu\"}") > 0.0
            && now("task_blocked{group=\"gpu\",reason=\"R304\"}") == 1.0
            && now("stream_clients") == 1.0
            && now("runs_active") == 1.0
            && now("task_runs_active") == 1.0
    });
    let wanted = "hortator_group_wanted_workers{group=\"default\"}";
    assert!(metrics(&api).contains_key(wanted), "a group with a worker says how many it could use");
    api.ask(&format!("POST /api/v1/runs/{run}/cancel"), "").expect(202);
    waiter.join().unwrap();
    harness::wait_until("nothing waits any more", || {
        now("queue_length") == 0.0
            && now("task_blocked") == 0.0
            && now("stream_clients") == 0.0
            && now("runs_active") == 0.0
    });
    assert_eq!(now("runs_total{state=\"cancelled\"}"), 1.0);
    assert_eq!(dev.interrupt(), 0);
}

/// What the masters tell each other by themselves.
#[test]
fn rows_and_clocks_are_compared_all_the_time() {
    let dev = Dev::start(&["--masters", "3", "--workers", "1"]);
    let api = Api::of(&dev);
    // The membership leader is the one that compares.
    api.ask("POST /api/v1/cluster/raft/0/transfer", "{\"to\": 1}").expect(200);
    harness::wait_until("sums and clocks of two others", || {
        let now = metrics(&api);
        let of =
            |group: u32| sum(&now, &format!("hortator_state_hash_match_total{{raft_group=\"{group}\"}}"));
        let clocks = now.keys().filter(|name| name.starts_with("hortator_clock_skew_seconds{")).count();
        clocks == 2 && of(0) >= 2.0 && of(1) >= 2.0 && sum(&now, "hortator_raft_messages_total") > 0.0
    });
    let now = metrics(&api);
    assert_eq!(sum(&now, "hortator_state_hash_mismatch_total"), 0.0);
    let skew: f64 = now
        .iter()
        .filter(|(name, _)| name.starts_with("hortator_clock_skew"))
        .map(|(_, skew)| skew.abs())
        .sum();
    assert!(skew < 60.0, "one host has one clock: {skew}");
    harness::wait_until("word of three masters' load", || {
        let balance: Value = api.get("/balance");
        let told = balance["masters"].as_array().is_some_and(|masters| masters.len() == 3);
        told && balance["masters"][0]["workers"].as_u64().is_some_and(|workers| workers > 0)
    });
    let audit: Value = api.get("/cluster/rows/1");
    assert_eq!((&audit["kept"], &audit["broken"]), (&audit["counted"], &json!(0)));
    assert_eq!(dev.interrupt(), 0);
}

#[test]
fn every_metric_of_the_alert_rules_exists() {
    let dev = Dev::start(&["--masters", "1", "--workers", "1"]);
    let api = Api::of(&dev);
    let text = api.ask("GET /metrics", "").expect(200).body;
    let declared: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let rules = std::fs::read_to_string(program::repository("configs/alerts.yml")).unwrap();
    let exprs: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(exprs.len(), rules.matches("- alert: ").count());
    for expr in exprs {
        let words = expr.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let names: Vec<&str> = words.filter(|word| word.starts_with("hortator_")).collect();
        assert!(!names.is_empty(), "{expr}");
        for name in names {
            let (bare, kind) = match name {
                name if name.ends_with("_total") => (name.trim_end_matches("_total"), "counter"),
                name if name.ends_with("_bucket") => (name.trim_end_matches("_bucket"), "histogram"),
                name => (name, "gauge"),
            };
            assert_eq!(declared.get(bare), Some(&kind), "{name} of {expr}");
        }
    }
    assert_eq!(dev.interrupt(), 0);
}
