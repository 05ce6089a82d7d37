//! What is out of the ordinary on this master, in sentences with the value and the limit. Must not know what to do about
//! it: alerts watch the same through the metrics.

use std::time::Duration;

use hortator_core::time::Span;
use hortator_proto::api::{ActorOrder, Warning};
use hortator_raft::GroupStatus;

use crate::balancer::ObserveClocks;
use crate::status::{StatusParts, group_statuses, hears_quorum, master_name, worker_views};

/// A turn holds up everything of its thread: elections wait for ten times as long, people notice twice as long.
const TURN_MAX: Duration = Duration::from_millis(50);
/// An entry needs a sync on two disks and a round trip, some milliseconds.
const ENTRY_MAX: Duration = Duration::from_millis(500);
/// What was slow longer ago is history.
const RECENT: Duration = Duration::from_secs(10 * 60);
/// Turns and entries named, the slowest first.
const SLOW_NAMED: usize = 5;
/// Mailboxes drain in milliseconds.
const WAITED_MAX: Duration = Duration::from_secs(5);
/// Actors looked at, those with the oldest message first.
const MAILBOXES_NAMED: usize = 5;
/// A follower in touch lacks a few entries.
const LAG_MAX: u64 = 10_000;
/// Times in histories and of schedules come from leaders' clocks.
const CLOCK_MAX: Duration = Duration::from_millis(500);

pub(super) async fn warnings(parts: &StatusParts) -> Vec<Warning> {
    let mut found = Vec::new();
    for status in group_statuses(parts).await.values() {
        raft(parts, status, &mut found);
    }
    rows(parts, &mut found);
    turns(parts, &mut found);
    mailboxes(parts, &mut found);
    clocks(parts, &mut found).await;
    for worker in worker_views(parts).await.iter().filter(|worker| worker.state == "silent") {
        warn(
            &mut found,
            "worker",
            format!("worker {} has not been heard here for more than 3 s", worker.name),
        );
    }
    found
}

fn warn(found: &mut Vec<Warning>, about: &str, sentence: String) {
    found.push(Warning { about: about.into(), sentence });
}

fn raft(parts: &StatusParts, status: &GroupStatus, found: &mut Vec<Warning>) {
    let group = status.group;
    if let Some(why) = &status.stopped {
        warn(found, "raft", format!("the replica of group {group} here has stopped: {why}"));
    } else if !hears_quorum(status) {
        let voters = status.voters.len();
        warn(found, "raft", format!("group {group}: no quorum of its {voters} voters is heard here"));
    }
    for peer in &status.peers {
        let lag = status.last.saturating_sub(peer.matched);
        let name = master_name(parts, peer.replica);
        if !peer.live {
            warn(found, "raft", format!("group {group}: {name} is silent"));
        } else if lag > LAG_MAX {
            warn(found, "raft", format!("group {group}: {name} lacks {lag} entries (limit {LAG_MAX})"));
        }
    }
    if status.disk_low {
        let limit = "store.disk_low";
        warn(found, "disk", format!("group {group}: free space is below {limit}, so nothing new is taken"));
    }
}

fn rows(parts: &StatusParts, found: &mut Vec<Warning>) {
    for (group, compared) in parts.meter.rows.all() {
        for (master, index) in &compared.differing {
            let name = master_name(parts, *master);
            let sentence = format!(
                "group {group}: the rows of {name} differ from those here after entry {index}; find out which is \
                 wrong with `raft verify --deep`, and replace that master"
            );
            warn(found, "rows", sentence);
        }
    }
}

fn turns(parts: &StatusParts, found: &mut Vec<Warning>) {
    let slow = |all: Vec<hortator_proto::api::SlowOne>, limit: Duration| {
        let is_slow = move |one: &hortator_proto::api::SlowOne| {
            u128::from(one.took_us) > limit.as_micros() && u128::from(one.ago_us) < RECENT.as_micros()
        };
        all.into_iter().filter(is_slow).take(SLOW_NAMED)
    };
    for one in slow(parts.meter.actors.slowest(usize::MAX), TURN_MAX) {
        let (took, limit) = (span(one.took_us), TURN_MAX.as_millis());
        warn(found, "actor", format!("{} for {took} (limit {limit} ms)", one.what));
    }
    for one in slow(parts.meter.slow_entries.top(usize::MAX), ENTRY_MAX) {
        let (took, limit) = (span(one.took_us), ENTRY_MAX.as_millis());
        warn(found, "raft", format!("{} took {took} to commit (limit {limit} ms)", one.what));
    }
}

fn mailboxes(parts: &StatusParts, found: &mut Vec<Warning>) {
    for actor in parts.meter.actors.top(ActorOrder::Age, MAILBOXES_NAMED) {
        if u128::from(actor.load.oldest_us) > WAITED_MAX.as_micros() {
            let (waited, limit) = (span(actor.load.oldest_us), WAITED_MAX.as_secs());
            let sentence = format!(
                "{} has {} messages, and the oldest has waited {waited} (limit {limit} s)",
                actor.id, actor.load.mailbox
            );
            warn(found, "mailbox", sentence);
        }
    }
    for kind in parts.meter.actors.dead_letters() {
        if kind.refused > 0 {
            let sentence =
                format!("{} messages found a full {} since this master started", kind.refused, kind.kind);
            warn(found, "mailbox", sentence);
        }
    }
}

async fn clocks(parts: &StatusParts, found: &mut Vec<Warning>) {
    for (master, ahead) in parts.balancer.ask(ObserveClocks).await.unwrap_or_default() {
        if u128::from(ahead.unsigned_abs()) > CLOCK_MAX.as_micros() {
            let (name, by) = (master_name(parts, master), span(ahead.unsigned_abs()));
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let limit = CLOCK_MAX.as_millis();
            warn(found, "clock", format!("the clock of {name} is {by} {way} that here (limit {limit} ms)"));
        }
    }
}

fn span(micros: u64) -> String {
    Span(micros).to_string()
}
