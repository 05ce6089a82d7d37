//! What a master counts, as OpenMetrics text. Must not count anything itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use hortator_proto::api::{KindView, WorkerView};
use hortator_proto::frame::NodeId;
use hortator_raft::{GroupStatus, Role, Rows};

use crate::status::{StatusParts, group_statuses, hears_quorum, worker_views};

/// All of it.
pub(crate) async fn metrics(parts: &StatusParts, rows: &BTreeMap<u32, Rows>) -> String {
    let mut text = String::new();
    counters(&mut text, parts);
    relays(&mut text, parts);
    groups(&mut text, parts, &group_statuses(parts).await, rows);
    workers(&mut text, parts, &worker_views(parts).await);
    actors(&mut text, parts);
    head(&mut text, "task_dispatch_latency_seconds", "From ready to dispatched", "histogram");
    parts.meter.dispatch.write(&mut text, "task_dispatch_latency_seconds", "");
    text.push_str("# EOF\n");
    text
}

fn counters(text: &mut String, parts: &StatusParts) {
    let meter = &parts.meter;
    for (name, help, counter) in [
        ("actor_messages", "Messages between actors", &meter.actor_messages),
        ("actor_messages_refused", "Messages that found a full mailbox", &meter.messages_refused),
        ("raft_proposals", "Entries proposed by this master", &meter.entries),
        ("raft_leader_changes", "Changes of leader or term that this master saw", &meter.leader_changes),
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
    ] {
        let value = counter.load(Ordering::Relaxed);
        head(text, name, help, "counter");
        let _ = writeln!(text, "hortator_{name}_total {value}");
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

fn groups(
    text: &mut String,
    parts: &StatusParts,
    statuses: &BTreeMap<u32, GroupStatus>,
    rows: &BTreeMap<u32, Rows>,
) {
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
    for (group, rows) in rows {
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
    head(text, "raft_propose_seconds", "From proposed to committed", "histogram");
    for (group, histogram) in parts.meter.commits() {
        histogram.write(text, "raft_propose_seconds", &format!("raft_group=\"{group}\","));
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
    head(text, "actor_handle_seconds", "Time in handlers", "histogram");
    parts.meter.actors.write_turns(text, "actor_handle_seconds");
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} {kind}");
}
