//! The checks: pure sentences over what the masters said. Must not ask anybody.

use std::collections::BTreeMap;
use std::time::Duration;

use hortator_core::time::Span;

use super::evidence::{Answer, Evidence, Inside, MasterSeen};
use super::{Finding, groups};
use crate::cli::output::short;

/// Every commit waits for one: a good disk takes a few milliseconds.
const SYNC_MAX: f64 = 0.1;
/// Renewal begins at a third of three years; below this it does not work.
const CERTIFICATE_MIN: f64 = 300.0 * DAY;
const DAY: f64 = 24.0 * 3_600.0;
/// Of a disk; the master itself stops taking commands at `store.disk_low`.
const DISK_FREE_MIN: f64 = 0.1;
/// Times in histories and of schedules come from leaders' clocks.
const CLOCK_MAX: Duration = Duration::from_millis(500);
/// Connections at their bounds, files of groups and logs.
const FILES_MIN: f64 = 65_536.0;
/// Of those that may be open.
const FILES_USED_MAX: f64 = 0.8;
/// A task that waits so long for a worker wants a look, whatever its priority.
const QUEUE_OLD: f64 = 15.0 * 60.0;

pub(super) fn all(evidence: &Evidence) -> Vec<Finding> {
    let checks: [fn(&Evidence) -> Vec<Finding>; 13] = [
        masters,
        groups::quorum,
        groups::replicas,
        rows,
        clocks,
        disks,
        syncs,
        certificates,
        files,
        mailboxes,
        workers,
        queues,
        versions,
    ];
    checks.iter().flat_map(|check| check(evidence)).collect()
}

/// What it found, or that all is well.
fn or_ok(found: Vec<Finding>, check: &'static str, what: impl FnOnce() -> String) -> Vec<Finding> {
    if found.is_empty() { vec![Finding::ok(check, what())] } else { found }
}

fn masters(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    for MasterSeen { name, state, answer, .. } in &evidence.masters {
        if let Answer::Silent(why) = answer {
            let advice = format!(
                "look at its log and start it; if it will not come back: hortator cluster remove {name}, then \
                 hortator cluster add master"
            );
            found.push(Finding::problem("masters", format!("{name} does not answer: {why}"), advice));
        }
        if state != "member" {
            let what = format!("{name} is {state}");
            found.push(Finding::note(
                "masters",
                what,
                "it passes when its groups have taken it in or let it go",
            ));
        }
    }
    let count = evidence.masters.iter().filter(|master| master.state == "member").count();
    if count == 2 && evidence.masters.len() == 2 {
        let what = "2 masters: the loss of either stops everything";
        found.push(Finding::problem("masters", what, "add a third: hortator cluster add master --name NAME"));
    }
    let alone = if count == 1 { ", and none may be lost" } else { "" };
    let asked = evidence.told().count();
    or_ok(found, "masters", || format!("{asked} of {count} masters were asked and answer{alone}"))
}

fn rows(evidence: &Evidence) -> Vec<Finding> {
    let (mut found, mut compared) = (Vec::new(), 0.0);
    for (master, inside) in evidence.told() {
        compared += inside.metrics.sum("hortator_state_hash_match_total");
        for (labels, count) in inside.metrics.series("hortator_state_hash_mismatch_total") {
            if count > 0.0 {
                let group = label(&labels, "raft_group");
                let what = format!(
                    "{} saw rows of group {group} differ between masters, {count} times",
                    master.name
                );
                let advice =
                    format!("find the wrong one and replace it: hortator raft verify {group} --deep");
                found.push(Finding::problem("rows", what, advice));
            }
        }
    }
    or_ok(found, "rows", || match compared {
        0.0 => "no rows were compared with another master's yet".to_owned(),
        compared => format!("the masters' rows were the same each of {compared} times"),
    })
}

fn clocks(evidence: &Evidence) -> Vec<Finding> {
    let Some(balance) = &evidence.balance else { return Vec::new() };
    let ahead = || balance.masters.iter().map(|master| (master.clock_ahead_us, master.id));
    let (Some(last), Some(first)) = (ahead().min(), ahead().max()) else { return Vec::new() };
    let apart = Duration::from_micros(first.0.abs_diff(last.0));
    let span = short(Span(u64::try_from(apart.as_micros()).unwrap_or(u64::MAX)));
    let mut found = Vec::new();
    if apart > CLOCK_MAX {
        let (first, last) = (evidence.name(first.1), evidence.name(last.1));
        let limit = CLOCK_MAX.as_millis();
        let what = format!("the clock of {first} is {span} ahead of that of {last} (limit {limit} ms)");
        found.push(Finding::problem("clocks", what, "let both follow a time server: chronyc tracking"));
    }
    or_ok(found, "clocks", || match balance.masters.len() {
        1 => "there is one master, and no other clock to compare".to_owned(),
        _ => format!("the masters' clocks are {span} apart at most"),
    })
}

/// One line for the worst, one for each master over the limit.
fn disks(evidence: &Evidence) -> Vec<Finding> {
    let (mut found, mut least) = (Vec::new(), f64::INFINITY);
    for (master, Inside { raft, metrics, .. }) in evidence.told() {
        let (free, size) = (metrics.sum("hortator_disk_free_bytes"), metrics.sum("hortator_disk_size_bytes"));
        if size <= 0.0 {
            continue;
        }
        let (share, gib) = (free / size, free / f64::from(1 << 30));
        least = least.min(share);
        let advice = "make space, or shorten history: hortator settings set --history-keep 7d";
        if raft.groups.iter().any(|group| group.disk_low) {
            let what =
                format!("{} takes nothing new: {gib:.1} GiB free is below store.disk_low", master.name);
            found.push(Finding::problem("disks", what, advice));
        } else if share < DISK_FREE_MIN {
            let (share, limit) = (share * 100.0, DISK_FREE_MIN * 100.0);
            let what = format!(
                "{}: {gib:.1} GiB, {share:.0} % of its disk are free (limit {limit:.0} %)",
                master.name
            );
            found.push(Finding::problem("disks", what, advice));
        }
    }
    or_ok(found, "disks", || format!("at least {:.0} % of each disk are free", least.min(1.0) * 100.0))
}

fn syncs(evidence: &Evidence) -> Vec<Finding> {
    let (mut found, mut worst) = (Vec::new(), 0.0_f64);
    for (master, inside) in evidence.told() {
        let Some(p99) = inside.metrics.quantile("hortator_raft_append_fsync_seconds", 0.99) else { continue };
        worst = worst.max(p99);
        if p99 > SYNC_MAX {
            let (took, limit) = (p99 * 1_000.0, SYNC_MAX * 1_000.0);
            let what = format!(
                "1 of 100 syncs of {} took {took:.0} ms or more since it started (limit {limit:.0} ms)",
                master.name
            );
            let advice =
                format!("who else writes to that disk? hortator shell -c 'use {}; slow'", master.name);
            found.push(Finding::problem("syncs", what, advice));
        }
    }
    or_ok(found, "syncs", || format!("99 of 100 syncs of each master took {:.1} ms or less", worst * 1_000.0))
}

fn certificates(evidence: &Evidence) -> Vec<Finding> {
    let (mut found, mut least) = (Vec::new(), f64::INFINITY);
    for (master, inside) in evidence.told() {
        for (_, left) in inside.metrics.series("hortator_certificate_seconds_left") {
            least = least.min(left);
            if left < CERTIFICATE_MIN {
                let (days, limit) = (left / DAY, CERTIFICATE_MIN / DAY);
                let what = format!(
                    "the certificate of {} counts {days:.0} days more, and was to be renewed (limit {limit:.0} days)",
                    master.name
                );
                let advice = "its log says why it is not renewed: hortator help H1017";
                found.push(Finding::problem("certificates", what, advice));
            }
        }
    }
    or_ok(found, "certificates", || match least.is_finite() {
        true => format!("each certificate counts {:.0} days more at least", least / DAY),
        false => "there are none: this cluster lives on one host".to_owned(),
    })
}

/// Of the configuration that only the host can tell.
fn files(evidence: &Evidence) -> Vec<Finding> {
    let (mut found, mut least) = (Vec::new(), f64::INFINITY);
    for (master, inside) in evidence.told() {
        let metrics = &inside.metrics;
        let (open, max) = (metrics.sum("hortator_process_open_fds"), metrics.sum("hortator_process_max_fds"));
        if max <= 0.0 {
            continue;
        }
        least = least.min(max);
        let advice = "LimitNOFILE=65536 in its unit, then restart it: hortator help H1019";
        if open > max * FILES_USED_MAX {
            let what = format!("{} has {open} of {max} files and connections open", master.name);
            found.push(Finding::problem("open files", what, advice));
        } else if max < FILES_MIN {
            let what = format!("{} may open {max} files and connections (wanted: {FILES_MIN})", master.name);
            found.push(Finding::note("open files", what, advice));
        }
    }
    or_ok(found, "open files", || format!("each master may open {least} files and connections or more"))
}

/// What a master finds out of the ordinary with its actors.
fn mailboxes(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    for (master, inside) in evidence.told() {
        for warning in &inside.warnings {
            let advice = format!("hortator shell -c 'use {}; actors top by wait; slow'", master.name);
            let what = format!("{}: {}", master.name, warning.sentence);
            match warning.about.as_str() {
                "mailbox" => found.push(Finding::problem("mailboxes", what, advice)),
                // Of the last minutes, and over.
                "actor" => found.push(Finding::note("mailboxes", what, advice)),
                _ => {}
            }
        }
    }
    or_ok(found, "mailboxes", || "no message waits long, and no handler was slow".to_owned())
}

fn workers(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    for worker in &evidence.workers {
        let name = &worker.name;
        match worker.state.as_str() {
            "silent" => {
                let what = format!("{name} on {} is not heard", worker.host);
                let advice =
                    "is its host up, and does its agent run? its tasks go elsewhere when it counts as lost";
                found.push(Finding::problem("workers", what, advice));
            }
            "lost" => {
                let what = format!(
                    "{name} on {} was declared lost, and what it ran was given to others",
                    worker.host
                );
                found.push(Finding::problem("workers", what, "start its agent again, if it is still wanted"));
            }
            "cordoned" | "draining" | "drained" => {
                let by = worker.ordered.as_ref().map(|order| format!(" by {}", order.by)).unwrap_or_default();
                let what = format!("{name} is {}{by}: it gets nothing new", worker.state);
                found.push(Finding::note("workers", what, format!("hortator worker uncordon {name}")));
            }
            _ => {}
        }
    }
    let up = evidence.workers.iter().filter(|worker| worker.state == "up").count();
    if up == 0 {
        let what = "no worker takes work, so nothing runs";
        found.push(Finding::problem(
            "workers",
            what,
            "hortator cluster add worker, or: hortator worker list",
        ));
    }
    or_ok(found, "workers", || format!("{up} workers are up"))
}

/// As the master that dispatches tells it.
fn queues(evidence: &Evidence) -> Vec<Finding> {
    let mut oldest: BTreeMap<String, f64> = BTreeMap::new();
    for (labels, age) in
        evidence.told().flat_map(|(_, inside)| inside.metrics.series("hortator_queue_oldest_seconds"))
    {
        let known = oldest.entry(label(&labels, "group").to_owned()).or_default();
        *known = known.max(age);
    }
    let mut found = Vec::new();
    for (group, age) in &oldest {
        let takes = |worker: &&hortator_proto::api::WorkerView| {
            worker.state == "up" && worker.groups.iter().any(|of| of.as_str() == group)
        };
        let span = short(Span((age * 1e6) as u64));
        if !evidence.workers.iter().any(|worker| takes(&worker)) {
            let what =
                format!("tasks wait for group {group:?}, which has no worker that takes any, for {span}");
            found.push(Finding::problem("queues", what, "hortator worker list; hortator ps --state running"));
        } else if *age > QUEUE_OLD {
            let what = format!("a task of group {group:?} has waited {span} for a worker (limit 15m)");
            found.push(Finding::problem(
                "queues",
                what,
                "why: hortator explain RUN; more workers, or more slots",
            ));
        }
    }
    or_ok(found, "queues", || "no task waits long for a worker".to_owned())
}

fn versions(evidence: &Evidence) -> Vec<Finding> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (master, inside) in evidence.told() {
        for (labels, _) in inside.metrics.series("hortator_build_info") {
            versions.entry(label(&labels, "version").to_owned()).or_default().push(master.name.clone());
        }
    }
    for worker in evidence.workers.iter().filter(|worker| worker.state != "lost") {
        versions.entry(worker.version.clone()).or_default().push(worker.name.to_string());
    }
    let mut found = Vec::new();
    if versions.len() > 1 {
        let of: Vec<String> =
            versions.iter().map(|(version, nodes)| format!("{version} on {}", nodes.join(", "))).collect();
        let advice = "finish the rolling restart: masters first, one at a time";
        found.push(Finding::note("versions", format!("nodes differ in version: {}", of.join("; ")), advice));
    }
    or_ok(found, "versions", || match versions.keys().next() {
        Some(version) => format!("all nodes are of version {version}"),
        None => "no node has told its version".to_owned(),
    })
}

/// The value of a label in `{a="x",b="y"}`; empty without it.
fn label<'l>(labels: &'l str, name: &str) -> &'l str {
    let rest = labels.split(&format!("{name}=\"")).nth(1).unwrap_or("");
    rest.split('"').next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use hortator_proto::api::{BalanceView, MasterLoadView, RaftGroupView, RaftPeerView, RaftView, Warning};

    use super::super::Verdict;
    use super::*;
    use crate::cli::scrape::Metrics;

    const WELL: &str = "hortator_disk_free_bytes 50\nhortator_disk_size_bytes 100\nhortator_process_open_fds 40\n\
                        hortator_process_max_fds 524288\nhortator_certificate_seconds_left 80000000\n\
                        hortator_build_info{version=\"0.1.0\"} 1\nhortator_state_hash_match_total{raft_group=\"0\"} 7\n\
                        hortator_raft_append_fsync_seconds_bucket{raft_group=\"0\",le=\"0.005\"} 100\n\
                        hortator_raft_append_fsync_seconds_bucket{raft_group=\"0\",le=\"0.25\"} 100\n\
                        hortator_raft_append_fsync_seconds_bucket{raft_group=\"0\",le=\"+Inf\"} 100\n";

    fn group(role: &str, peers: &[(u64, bool, u64)]) -> RaftGroupView {
        let peer = |(master, live, lag): &(u64, bool, u64)| RaftPeerView {
            master: *master,
            matched: 0,
            lag: *lag,
            live: *live,
            snapshot: false,
            voter: true,
        };
        RaftGroupView {
            group: 0,
            role: role.into(),
            term: 3,
            leader: Some(1),
            epoch: None,
            commit: 9,
            applied: 9,
            persisted: 9,
            first: 1,
            last: 9,
            log_bytes: 0,
            queue_bytes: 0,
            queue_jobs: 0,
            proposals: 0,
            voters: vec![1, 2, 3],
            learners: Vec::new(),
            pending_conf: false,
            disk_low: false,
            stopped: None,
            peers: peers.iter().map(peer).collect(),
        }
    }

    fn inside(id: u64, group: RaftGroupView) -> Inside {
        let raft = RaftView { master: format!("n{id}"), groups: vec![group] };
        Inside { raft, warnings: Vec::new(), metrics: Metrics::of(WELL) }
    }

    /// Three masters and a worker, all well.
    fn well() -> Evidence {
        let peers = [(2, true, 0), (3, true, 4)];
        let roles = [(1, group("leader", &peers)), (2, group("follower", &[])), (3, group("follower", &[]))];
        let masters = roles.into_iter().map(|(id, group)| MasterSeen {
            id,
            name: format!("n{id}"),
            state: "member".into(),
            answer: Answer::Told(Box::new(inside(id, group))),
        });
        let load = |id| MasterLoadView {
            id,
            fit: true,
            cpu_percent: 1.0,
            leads: Vec::new(),
            workers: 0,
            runs: 0,
            proposals_per_second: 0,
            clock_ahead_us: 900,
        };
        let balance = BalanceView {
            masters: (1..=3).map(load).collect(),
            next: None,
            why_not: None,
            moves: Vec::new(),
        };
        let worker = serde_json::json!({
            "name": "w1", "incarnation": 1, "state": "up", "groups": ["default"], "slots": 4, "slots_used": 0,
            "cpu_percent": 0.0, "load1": 0.0, "memory_used": 0, "memory_total": 0, "version": "0.1.0",
            "host": "h1", "seen_at": null, "seen_by": null, "running": 0, "ordered": null
        });
        let worker = serde_json::from_value(worker).expect("a worker");
        Evidence { masters: masters.collect(), workers: vec![worker], balance: Some(balance) }
    }

    fn told(evidence: &mut Evidence, place: usize) -> &mut Inside {
        match &mut evidence.masters[place].answer {
            Answer::Told(inside) => inside,
            other => panic!("{other:?}"),
        }
    }

    fn says(evidence: &mut Evidence, place: usize, from: &str, to: &str) {
        told(evidence, place).metrics = Metrics::of(&WELL.replace(from, to));
    }

    #[test]
    fn nothing_is_wrong_with_a_cluster_that_is_well() {
        let found = all(&well());
        assert!(found.iter().all(|finding| finding.result == Verdict::Ok), "{found:#?}");
        assert_eq!(found.len(), 13);
        assert!(found[1].what.contains("1 master may be lost"), "{}", found[1].what);
        assert!(found.iter().all(|finding| finding.advice.is_empty()));
    }

    #[test]
    fn one_master_is_compared_with_nobody() {
        let mut evidence = well();
        evidence.balance.as_mut().expect("there is one").masters.truncate(1);
        let found = all(&evidence);
        let clocks = found.iter().find(|finding| finding.check == "clocks").expect("it is looked at");
        assert_eq!(clocks.what, "there is one master, and no other clock to compare");
    }

    /// Each sickness shows in one check, with its value, and says what to do.
    #[test]
    fn each_sickness_is_found_by_its_check() {
        type Change = fn(&mut Evidence);
        let cases: [(&str, Verdict, &str, Change); 19] = [
            ("masters", Verdict::Problem, "n3 does not answer: refused", |evidence| {
                evidence.masters[2].answer = Answer::Silent("refused".into());
            }),
            ("masters", Verdict::Note, "n2 is joining", |evidence| {
                evidence.masters[1].state = "joining".into()
            }),
            ("quorum", Verdict::Problem, "2 of 3 voters are live without n3", |evidence| {
                told(evidence, 0).raft.groups[0].peers[1].live = false;
            }),
            ("quorum", Verdict::Problem, "hears 1 of 3 voters, 2 are needed", |evidence| {
                told(evidence, 0).raft.groups[0].peers.iter_mut().for_each(|peer| peer.live = false);
            }),
            ("quorum", Verdict::Problem, "has no leader: 3 of its 3 voters answer", |evidence| {
                told(evidence, 0).raft.groups[0].role = "candidate".into();
            }),
            ("replicas", Verdict::Problem, "n2 lacks 20000 entries of group 0 (limit 10000)", |evidence| {
                told(evidence, 0).raft.groups[0].peers[0].lag = 20_000;
            }),
            ("replicas", Verdict::Note, "n2 gets a snapshot of group 0", |evidence| {
                told(evidence, 0).raft.groups[0].peers[0].snapshot = true;
            }),
            ("replicas", Verdict::Problem, "on n2 has stopped: the disk is full", |evidence| {
                told(evidence, 1).raft.groups[0].stopped = Some("the disk is full".into());
            }),
            ("rows", Verdict::Problem, "rows of group 3 differ", |evidence| {
                let more = "hortator_state_hash_mismatch_total{raft_group=\"3\"} 2\nhortator_disk_size_bytes";
                says(evidence, 0, "hortator_disk_size_bytes", more);
            }),
            (
                "clocks",
                Verdict::Problem,
                "clock of n2 is 2.0s ahead of that of n1 (limit 500 ms)",
                |evidence| {
                    let balance = evidence.balance.as_mut().expect("a balance");
                    balance.masters[1].clock_ahead_us = 2_000_900;
                    balance.masters[2].clock_ahead_us = 1_000;
                },
            ),
            ("disks", Verdict::Problem, "n1: 0.0 GiB, 5 % of its disk are free (limit 10 %)", |evidence| {
                says(evidence, 0, "free_bytes 50", "free_bytes 5");
            }),
            ("disks", Verdict::Problem, "n3 takes nothing new", |evidence| {
                told(evidence, 2).raft.groups[0].disk_low = true;
            }),
            ("syncs", Verdict::Problem, "syncs of n2 took 250 ms or more", |evidence| {
                says(evidence, 1, "le=\"0.005\"} 100", "le=\"0.005\"} 90");
            }),
            ("certificates", Verdict::Problem, "certificate of n1 counts 10 days more", |evidence| {
                says(evidence, 0, "seconds_left 80000000", "seconds_left 864000");
            }),
            ("open files", Verdict::Note, "n1 may open 1024 files", |evidence| {
                says(evidence, 0, "524288", "1024")
            }),
            ("mailboxes", Verdict::Problem, "n1: Shard:shard-1 has 9 messages", |evidence| {
                let sentence = "Shard:shard-1 has 9 messages".to_owned();
                told(evidence, 0).warnings.push(Warning { about: "mailbox".into(), sentence });
            }),
            ("workers", Verdict::Problem, "w1 on h1 is not heard", |evidence| {
                let lost = evidence.workers[0].clone();
                evidence.workers[0].state = "silent".into();
                evidence.workers.push(hortator_proto::api::WorkerView { state: "up".into(), ..lost });
            }),
            (
                "queues",
                Verdict::Problem,
                "group \"gpu\", which has no worker that takes any, for 9.0s",
                |evidence| {
                    let more = "hortator_queue_oldest_seconds{group=\"gpu\"} 9\nhortator_disk_size_bytes";
                    says(evidence, 0, "hortator_disk_size_bytes", more);
                },
            ),
            ("versions", Verdict::Note, "0.1.0 on n1, n2, w1; 0.2.0 on n3", |evidence| {
                says(evidence, 2, "version=\"0.1.0\"", "version=\"0.2.0\"");
            }),
        ];
        for (check, result, part, change) in cases {
            let mut evidence = well();
            change(&mut evidence);
            let found = all(&evidence);
            let wrong: Vec<&Finding> = found.iter().filter(|finding| finding.result != Verdict::Ok).collect();
            assert_eq!(wrong.len(), 1, "{part}: {wrong:#?}");
            assert_eq!((wrong[0].check, wrong[0].result), (check, result), "{part}");
            assert!(wrong[0].what.contains(part), "{:?} lacks {part:?}", wrong[0].what);
            assert!(!wrong[0].advice.is_empty(), "{part}");
        }
    }
}
