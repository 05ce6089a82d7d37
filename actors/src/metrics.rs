//! What a master counts, as OpenMetrics text. Must not count anything itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use hortator_core::dispatch::stream::WantedWorkers;
use hortator_core::id::Name;
use hortator_proto::api::{KindView, WorkerView};
use hortator_proto::frame::NodeId;
use hortator_raft::{GroupStatus, Role};

use crate::balancer::ObserveClocks;
use crate::dispatcher::{ObserveQueues, QueueSeen};
use crate::histogram::Histogram;
use crate::mailbox::GroupMeter;
use crate::shard::limits::LimitSize;
use crate::shard::{ObserveLimits, ShardReport};
use crate::status::{StatusParts, group_statuses, hears_quorum, totals, worker_views};

/// All of it.
pub(crate) async fn metrics(parts: &StatusParts) -> String {
    let mut text = String::new();
    counters(&mut text, parts);
    work(&mut text, parts, &totals(parts).await);
    relays(&mut text, parts);
    groups(&mut text, parts, &group_statuses(parts).await);
    replicas(&mut text, parts);
    clocks(&mut text, &parts.balancer.ask(ObserveClocks).await.unwrap_or_default());
    workers(&mut text, parts, &worker_views(parts).await);
    queues(&mut text, &parts.dispatcher.ask(ObserveQueues).await.unwrap_or_default());
    limits(&mut text, parts).await;
    actors(&mut text, parts);
    head(&mut text, "task_dispatch_latency_seconds", "From ready to dispatched", "histogram");
    parts.meter.dispatch.write(&mut text, "task_dispatch_latency_seconds", "");
    parts.meter.waits.write(&mut text);
    parts.meter.schedules.write(&mut text);
    text.push_str("# EOF\n");
    text
}

fn counters(text: &mut String, parts: &StatusParts) {
    let meter = &parts.meter;
    for (name, help, counter) in [
        ("actor_messages", "Messages between actors", &meter.actor_messages),
        ("actor_messages_refused", "Messages that found a full mailbox", &meter.messages_refused),
        (
            "raft_leaderships_handed_over",
            "Leaderships that this master gave to another on purpose",
            &meter.handed_over,
        ),
        ("row_writes", "Rows written by entries of this master", &meter.row_writes),
        ("frames_sent", "Frames sent", &meter.frames_sent),
        ("frames_received", "Frames received", &meter.frames_received),
        ("task_attempts_dispatched", "Attempts dispatched", &meter.dispatches),
        ("task_attempts_ended", "Attempts ended", &meter.attempts_ended),
        ("runs_finished", "Runs finished", &meter.runs_finished),
        ("rejections", "Commands, reports and grants that changed nothing", &meter.rejections),
        ("worker_heartbeats", "Heartbeats that came to this master", &meter.heartbeats),
        (
            "worker_leases_renewed",
            "Heartbeats acknowledged as the leader, after a quorum",
            &meter.leases_renewed,
        ),
        ("worker_lost", "Workers that this master declared lost", &meter.workers_lost),
        ("reports", "Reports of attempts that came to shards led here", &meter.reports),
        (
            "task_orphan_reports",
            "Reports about task runs that have no attempt any more",
            &meter.orphan_reports,
        ),
        ("scheduler_decisions", "Grants of workers made here", &meter.grants),
    ] {
        let value = counter.load(Ordering::Relaxed);
        head(text, name, help, "counter");
        let _ = writeln!(text, "hortator_{name}_total {value}");
    }
}

/// What was decided here, by outcome, and what is going on.
fn work(text: &mut String, parts: &StatusParts, now: &ShardReport) {
    let counts = parts.meter.tally.counts();
    for (name, help, label, counts) in [
        ("runs", "Runs decided here, by what became of them", "state", &counts.runs),
        ("task_runs", "Task runs that ended here", "result", &counts.tasks),
        ("task_attempts", "Attempts that ended here", "result", &counts.attempts),
    ] {
        head(text, name, help, "counter");
        for (word, count) in counts {
            let _ = writeln!(text, "hortator_{name}_total{{{label}=\"{word}\"}} {count}");
        }
    }
    head(text, "run_duration_seconds", "From created to finished", "histogram");
    parts.meter.tally.run_duration.write(text, "run_duration_seconds", "");
    for (name, help, value) in [
        ("runs_active", "Runs that are not over, of shards led here", now.runs_live),
        ("runs_queued", "Runs that wait for their turn, of shards led here", now.runs_queued),
        ("task_runs_active", "Task runs that could run or do, of shards led here", now.tasks_active),
    ] {
        head(text, name, help, "gauge");
        let _ = writeln!(text, "hortator_{name} {value}");
    }
}

/// Only pairs that ever needed this master.
fn relays(text: &mut String, parts: &StatusParts) {
    let counts = parts.post.relay().counts();
    head(text, "frames_relayed", "Frames passed on between two that do not reach each other", "counter");
    for (from, to, passed, _) in &counts.pairs {
        let _ = writeln!(text, "hortator_frames_relayed_total{{from=\"{from}\",to=\"{to}\"}} {passed}");
    }
    head(text, "frames_relay_dropped", "Frames not passed on: too much waited, or no link led on", "counter");
    for (from, to, _, dropped) in &counts.pairs {
        let _ =
            writeln!(text, "hortator_frames_relay_dropped_total{{from=\"{from}\",to=\"{to}\"}} {dropped}");
    }
    for (name, help, value) in [
        ("frames_relay_refused", "Frames that must not take the way they came", counts.refused),
        (
            "frames_of_old_terms",
            "Frames refused since their group has had a later leader",
            counts.of_old_terms,
        ),
    ] {
        head(text, name, help, "counter");
        let _ = writeln!(text, "hortator_{name}_total {value}");
    }
    head(text, "paths_relayed", "Paths of this master that lead over another", "gauge");
    let me = NodeId::Master(parts.me).to_string();
    let own = parts.post.relay().view().into_iter().filter(|path| path.from == me).count();
    let _ = writeln!(text, "hortator_paths_relayed {own}");
}

type Look = fn(&GroupStatus) -> u64;

fn groups(text: &mut String, parts: &StatusParts, statuses: &BTreeMap<u32, GroupStatus>) {
    for (name, help, value) in [
        ("raft_term", "Term", (|status| status.term) as Look),
        ("raft_is_leader", "Whether this master leads the group", |status| {
            u64::from(status.role == Role::Leader)
        }),
        ("raft_has_leader", "Whether a leader is known", |status| u64::from(status.leader.is_some())),
        ("raft_has_quorum", "Whether this master hears a quorum of the group", |status| {
            u64::from(hears_quorum(status))
        }),
        ("raft_members", "Members with a vote", |status| status.voters.len() as u64),
        ("raft_commit_index", "Commit index", |status| status.commit),
        ("raft_log_bytes", "Bytes of log kept", |status| status.log_bytes),
        ("raft_log_entries", "Entries of log kept", |status| (status.last + 1).saturating_sub(status.first)),
        ("raft_queue_bytes", "Bytes that wait for the writer", |status| status.queue_bytes),
        ("disk_low", "Whether free space is below the watermark", |status| u64::from(status.disk_low)),
    ] {
        head(text, name, help, "gauge");
        for (group, status) in statuses {
            let _ = writeln!(text, "hortator_{name}{{raft_group=\"{group}\"}} {}", value(status));
        }
    }
    head(text, "raft_applied_index", "Applied index", "gauge");
    for (group, rows) in &parts.rows {
        let _ = writeln!(text, "hortator_raft_applied_index{{raft_group=\"{group}\"}} {}", rows.applied());
    }
    head(text, "raft_peer_lag_entries", "Entries that a peer lacks, at the leader", "gauge");
    for (group, status) in statuses {
        for peer in &status.peers {
            let lag = status.last.saturating_sub(peer.matched);
            let peer = peer.replica;
            let _ = writeln!(
                text,
                "hortator_raft_peer_lag_entries{{raft_group=\"{group}\",peer=\"n{peer}\"}} {lag}"
            );
        }
    }
}

/// What each replica here did, and how its rows compare.
fn replicas(text: &mut String, parts: &StatusParts) {
    let groups = parts.meter.groups();
    for (name, help, value) in [
        (
            "raft_proposals",
            "Entries proposed by this master",
            (|own| &own.proposals) as fn(&GroupMeter) -> &AtomicU64,
        ),
        ("raft_leader_changes", "Changes of leader or term that this master saw", |own| &own.leader_changes),
        ("raft_messages", "Messages to other replicas", |own| &own.messages),
        ("raft_snapshots_installed", "Snapshots that took the place of rows here", |own| &own.snapshots),
    ] {
        head(text, name, help, "counter");
        for (group, own) in &groups {
            let value = value(own).load(Ordering::Relaxed);
            let _ = writeln!(text, "hortator_{name}_total{{raft_group=\"{group}\"}} {value}");
        }
    }
    for (name, help, histogram) in [
        (
            "raft_propose_seconds",
            "From proposed to committed",
            (|own| &own.commit) as fn(&GroupMeter) -> &Histogram,
        ),
        ("raft_apply_seconds", "From committed to visible, of entries proposed here", |own| &own.apply),
    ] {
        head(text, name, help, "histogram");
        for (group, own) in &groups {
            histogram(own).write(text, name, &format!("raft_group=\"{group}\","));
        }
    }
    let compared = parts.meter.rows.all();
    for (name, help) in [
        ("state_hash_match", "Sums of rows told by another replica that are those here"),
        ("state_hash_mismatch", "Sums of rows told by another replica that are not those here"),
    ] {
        head(text, name, help, "counter");
        for group in parts.rows.keys() {
            let compared = compared.get(group).cloned().unwrap_or_default();
            let value = if name == "state_hash_match" { compared.same } else { compared.different };
            let _ = writeln!(text, "hortator_{name}_total{{raft_group=\"{group}\"}} {value}");
        }
    }
}

/// Of limits whose home is a shard that is led here.
async fn limits(text: &mut String, parts: &StatusParts) {
    let mut sizes = Vec::new();
    for shard in parts.shards.values() {
        sizes.extend(shard.ask(ObserveLimits).await.unwrap_or_default());
    }
    head(text, "limit_slots", "How much of each limit there is, and is given", "gauge");
    for LimitSize { name, max, now } in &sizes {
        let _ = writeln!(text, "hortator_limit_slots{{key=\"{name}\",kind=\"max\"}} {max}");
        let _ = writeln!(text, "hortator_limit_slots{{key=\"{name}\",kind=\"used\"}} {}", now.used);
    }
    head(text, "limit_waiters", "Task runs that wait for the limit", "gauge");
    for LimitSize { name, now, .. } in &sizes {
        let _ = writeln!(text, "hortator_limit_waiters{{key=\"{name}\"}} {}", now.waiting);
    }
}

fn clocks(text: &mut String, clocks: &[(u64, i64)]) {
    head(
        text,
        "clock_skew_seconds",
        "By how much a master's clock is ahead, at the membership leader",
        "gauge",
    );
    for (master, ahead) in clocks {
        let _ = writeln!(text, "hortator_clock_skew_seconds{{peer=\"n{master}\"}} {}", *ahead as f64 / 1e6);
    }
}

/// At the master that dispatches.
fn queues(text: &mut String, queues: &[QueueSeen]) {
    head(text, "queue_length", "Task runs that wait for a worker of the group", "gauge");
    for QueueSeen { group, waiting, .. } in queues {
        let _ = writeln!(text, "hortator_queue_length{{group=\"{group}\"}} {waiting}");
    }
    head(text, "queue_oldest_seconds", "How long the oldest of them waits", "gauge");
    for QueueSeen { group, oldest, .. } in queues {
        let oldest = oldest.0 as f64 / 1e6;
        let _ = writeln!(text, "hortator_queue_oldest_seconds{{group=\"{group}\"}} {oldest}");
    }
    head(
        text,
        "group_wanted_workers",
        "Workers that the group could use, by what waits and learned durations",
        "gauge",
    );
    for QueueSeen { group, wanted_workers, .. } in queues {
        if let Some(WantedWorkers { count, by: _ }) = wanted_workers {
            let _ = writeln!(text, "hortator_group_wanted_workers{{group=\"{group}\"}} {count}");
        }
    }
    head(text, "group_wanted", "What the group could use of each resource, by the same", "gauge");
    for QueueSeen { group, wanted, .. } in queues {
        for (resource, amount) in wanted.iter() {
            let labels = format!("group=\"{group}\",resource=\"{resource}\"");
            let _ = writeln!(text, "hortator_group_wanted{{{labels}}} {amount}");
        }
    }
    head(text, "task_blocked", "Those of them that a reason of explain holds up", "gauge");
    for QueueSeen { group, blocked, .. } in queues {
        for (reason, count) in blocked {
            let labels = format!("group=\"{group}\",reason=\"{reason}\"");
            let _ = writeln!(text, "hortator_task_blocked{{{labels}}} {count}");
        }
    }
}

fn workers(text: &mut String, parts: &StatusParts, workers: &[WorkerView]) {
    let mut states: BTreeMap<&str, u32> = BTreeMap::new();
    for worker in workers {
        *states.entry(&worker.state).or_default() += 1;
    }
    head(text, "workers", "Workers by state", "gauge");
    for (state, count) in states {
        let _ = writeln!(text, "hortator_workers{{state=\"{state}\"}} {count}");
    }
    let now = parts.clock.wall();
    head(text, "worker_heartbeat_age_seconds", "Since the last heartbeat that this master knows of", "gauge");
    for worker in workers {
        let Some(seen_at) = worker.seen_at else { continue };
        let age = now.since(seen_at).0 as f64 / 1e6;
        let name = &worker.name;
        let _ = writeln!(text, "hortator_worker_heartbeat_age_seconds{{worker=\"{name}\"}} {age}");
    }
    head(text, "worker_slots", "Slots by worker", "gauge");
    for worker in workers {
        let WorkerView { name, slots, slots_used, .. } = worker;
        let _ = writeln!(text, "hortator_worker_slots{{worker=\"{name}\",kind=\"max\"}} {slots}");
        let _ = writeln!(text, "hortator_worker_slots{{worker=\"{name}\",kind=\"used\"}} {slots_used}");
    }
    shares(text, workers);
}

/// By worker group, of workers that take work.
fn shares(text: &mut String, workers: &[WorkerView]) {
    let mut groups: BTreeMap<&Name, Share> = BTreeMap::new();
    for worker in workers.iter().filter(|worker| worker.state == "up") {
        for group in &worker.groups {
            groups.entry(group).or_default().add(worker);
        }
    }
    head(text, "group_slots", "Slots of the workers of a group that take work", "gauge");
    for (group, share) in &groups {
        let _ = writeln!(text, "hortator_group_slots{{group=\"{group}\",kind=\"max\"}} {}", share.slots);
        let _ = writeln!(text, "hortator_group_slots{{group=\"{group}\",kind=\"used\"}} {}", share.used);
    }
    head(text, "placement_skew", "Between the fullest and the emptiest worker of a group, of 1", "gauge");
    for (group, share) in &groups {
        let _ = writeln!(text, "hortator_placement_skew{{group=\"{group}\"}} {}", share.most - share.least);
    }
}

struct Share {
    slots: u64,
    used: u64,
    least: f64,
    most: f64,
}

impl Default for Share {
    fn default() -> Share {
        Share { slots: 0, used: 0, least: 1.0, most: 0.0 }
    }
}

impl Share {
    fn add(&mut self, worker: &WorkerView) {
        let full = f64::from(worker.slots_used) / f64::from(worker.slots.max(1));
        self.slots += u64::from(worker.slots);
        self.used += u64::from(worker.slots_used);
        (self.least, self.most) = (self.least.min(full).min(1.0), self.most.max(full).min(1.0));
    }
}

fn actors(text: &mut String, parts: &StatusParts) {
    let kinds = parts.meter.actors.kinds();
    for (name, help, value) in [
        ("actors", "Actors alive", (|kind| kind.actors as f64) as fn(&KindView) -> f64),
        ("actor_mailbox_length", "Messages that wait", |kind| kind.load.mailbox as f64),
        ("actor_oldest_message_seconds", "The oldest waiting message has waited no longer", |kind| {
            kind.load.oldest_us as f64 / 1e6
        }),
    ] {
        head(text, name, help, "gauge");
        for kind in &kinds {
            let _ = writeln!(text, "hortator_{name}{{kind=\"{}\"}} {}", kind.kind, value(kind));
        }
    }
    let letters = parts.meter.actors.dead_letters();
    for (name, help) in [
        ("actor_dead_letters", "Messages to actors that were gone"),
        ("actor_refused", "Messages that found a full mailbox, by whose it was"),
    ] {
        head(text, name, help, "counter");
        for kind in &letters {
            let value = if name == "actor_refused" { kind.refused } else { kind.dead };
            let _ = writeln!(text, "hortator_{name}_total{{kind=\"{}\"}} {value}", kind.kind);
        }
    }
    head(text, "actor_handle_seconds", "Time in handlers", "histogram");
    parts.meter.actors.write_turns(text, "actor_handle_seconds");
}

pub(crate) fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} {kind}");
}
