//! What a master says about the cluster and itself: status, readiness, metrics. Health is derived from quorum and
//! agreement on leaders, never from "the node answered".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hortator_core::cluster::MasterState;
use hortator_proto::api::{GroupView, MasterView, Response, StatusView, WorkerView};
use hortator_proto::row::MasterRow;
use hortator_raft::{GroupStatus, Rows};

use crate::dispatcher::{Dispatcher, ObserveDispatcher};
use crate::group::{GroupActor, ObserveGroup};
use crate::leaders::Leaders;
use crate::mailbox::{Mailbox, Meter};
use crate::shard::{ObserveShard, Shard, ShardReport};
use crate::tables::Tables;

/// Whom to ask.
#[derive(Clone)]
pub struct StatusParts {
    pub me: u64,
    pub cluster: String,
    pub tables: Tables,
    pub groups: BTreeMap<u32, Mailbox<GroupActor>>,
    pub shards: BTreeMap<u32, Mailbox<Shard>>,
    pub dispatcher: Mailbox<Dispatcher>,
    pub leaders: Arc<Leaders>,
    pub meter: Arc<Meter>,
}

impl std::fmt::Debug for StatusParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StatusParts(n{})", self.me)
    }
}

pub(crate) async fn workers(parts: &StatusParts) -> Response {
    Response::Workers(worker_views(parts).await)
}

async fn worker_views(parts: &StatusParts) -> Vec<WorkerView> {
    parts.dispatcher.ask(ObserveDispatcher).await.unwrap_or_default()
}

pub(crate) async fn status(parts: &StatusParts) -> Response {
    let groups = group_statuses(parts).await;
    let workers = worker_views(parts).await;
    let mut totals = ShardReport::default();
    for shard in parts.shards.values() {
        if let Ok(report) = shard.ask(ObserveShard).await {
            totals.runs_live += report.runs_live;
            totals.runs_queued += report.runs_queued;
            totals.tasks_active += report.tasks_active;
        }
    }
    let masters = master_views(parts, &groups);
    let (verdict, sentence) = verdict(parts, &groups, &masters, &workers);
    let view = StatusView {
        cluster: parts.cluster.clone(),
        verdict: verdict.into(),
        sentence,
        masters,
        groups: groups.iter().map(|(id, status)| group_view(*id, status)).collect(),
        workers,
        runs_live: totals.runs_live,
        runs_queued: totals.runs_queued,
        tasks_active: totals.tasks_active,
    };
    Response::Status(Box::new(view))
}

async fn group_statuses(parts: &StatusParts) -> BTreeMap<u32, GroupStatus> {
    let mut statuses = BTreeMap::new();
    for (id, group) in &parts.groups {
        if let Ok(status) = group.ask(ObserveGroup).await {
            statuses.insert(*id, status);
        }
    }
    statuses
}

fn group_view(id: u32, status: &GroupStatus) -> GroupView {
    GroupView {
        group: id,
        term: status.term,
        leader: status.leader,
        commit: status.commit,
        applied: status.applied,
        voters: status.voters.clone(),
    }
}

/// Those of the rows; before this master has any, those with a vote.
fn master_views(parts: &StatusParts, groups: &BTreeMap<u32, GroupStatus>) -> Vec<MasterView> {
    let table = parts.tables.masters();
    if table.masters.is_empty() {
        let voters: BTreeSet<u64> = groups.values().flat_map(|status| status.voters.clone()).collect();
        return voters.into_iter().map(|id| master_view(id, parts.me, groups)).collect();
    }
    let view = |row: &MasterRow| {
        let mut view = master_view(row.id, parts.me, groups);
        view.name = row.name.to_string();
        if view.state == "up" && row.state != MasterState::Member {
            view.state = row.state.word().into();
        }
        view
    };
    table.present().map(view).collect()
}

/// A master as seen from here: it is up when a leader here hears it, or when it leads and is followed from here.
fn master_view(id: u64, me: u64, groups: &BTreeMap<u32, GroupStatus>) -> MasterView {
    let leads: Vec<u32> =
        groups.iter().filter(|(_, status)| status.leader == Some(id)).map(|(group, _)| *group).collect();
    let heard = || {
        let peers = groups.values().flat_map(|status| status.peers.iter().map(move |peer| (status, peer)));
        peers.filter(|(_, peer)| peer.replica == id)
    };
    let active = heard().any(|(_, peer)| peer.live);
    let lag = heard().map(|(status, peer)| status.last.saturating_sub(peer.matched)).max().unwrap_or(0);
    let known = groups.values().any(|status| status.leader == Some(me));
    let state = match () {
        () if id == me || active || !leads.is_empty() => "up",
        () if known => "down",
        () => "unknown",
    };
    MasterView { id, name: format!("n{id}"), state: state.into(), leads, lag }
}

fn verdict(
    parts: &StatusParts,
    groups: &BTreeMap<u32, GroupStatus>,
    masters: &[MasterView],
    workers: &[WorkerView],
) -> (&'static str, String) {
    let leaderless: Vec<String> =
        groups.iter().filter(|(_, status)| status.leader.is_none()).map(|(id, _)| id.to_string()).collect();
    let down = masters.iter().filter(|master| master.state == "down").count();
    let up = workers.iter().filter(|worker| worker.state == "up").count();
    let total = masters.len();
    let name = &parts.cluster;
    if !leaderless.is_empty() {
        let sentence =
            format!("Cluster {name:?} is UNAVAILABLE: no leader for group {}", leaderless.join(", "));
        return ("unavailable", sentence);
    }
    if down > 0 {
        let spare = ((total - 1) / 2).saturating_sub(down);
        let sentence = format!(
            "Cluster {name:?} is AVAILABLE, degraded: {down} of {total} masters down (can lose {spare} more)"
        );
        return ("degraded", sentence);
    }
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let sentence =
        format!("Cluster {name:?} is AVAILABLE: {total} master{}, {up} worker{}", plural(total), plural(up));
    ("available", sentence)
}

pub(crate) fn readiness(parts: &StatusParts) -> Vec<(String, Result<(), String>)> {
    let leaders = parts.leaders.all();
    parts
        .groups
        .keys()
        .map(|group| {
            let known = leaders.get(group).and_then(|leadership| leadership.leader);
            let result = known.map(|_| ()).ok_or_else(|| "no leader known".to_string());
            (format!("leader of group {group}"), result)
        })
        .collect()
}

pub(crate) async fn metrics(parts: &StatusParts, rows: &BTreeMap<u32, Rows>) -> String {
    let mut text = String::new();
    let meter = &parts.meter;
    for (name, help, counter) in [
        ("actor_messages", "Messages between actors", &meter.actor_messages),
        ("actor_messages_refused", "Messages that found a full mailbox", &meter.messages_refused),
        ("raft_proposals", "Entries proposed by this master", &meter.entries),
        ("row_writes", "Rows written by entries of this master", &meter.row_writes),
        ("frames_sent", "Frames sent", &meter.frames_sent),
        ("frames_received", "Frames received", &meter.frames_received),
        ("task_attempts_dispatched", "Attempts dispatched", &meter.dispatches),
        ("task_attempts_ended", "Attempts ended", &meter.attempts_ended),
        ("runs_finished", "Runs finished", &meter.runs_finished),
        ("rejections", "Commands, reports and grants that changed nothing", &meter.rejections),
    ] {
        counter_line(&mut text, name, help, counter.load(Ordering::Relaxed));
    }
    let statuses = group_statuses(parts).await;
    for (name, help, value) in [
        ("raft_term", "Term", (|status: &GroupStatus| status.term) as fn(&GroupStatus) -> u64),
        ("raft_commit_index", "Commit index", |status| status.commit),
        ("raft_has_leader", "Whether a leader is known", |status| u64::from(status.leader.is_some())),
        ("raft_log_bytes", "Bytes of log kept", |status| status.log_bytes),
        ("raft_log_entries", "Entries of log kept", |status| (status.last + 1).saturating_sub(status.first)),
    ] {
        gauge_head(&mut text, name, help);
        for (group, status) in &statuses {
            text.push_str(&format!("hortator_{name}{{raft_group=\"{group}\"}} {}\n", value(status)));
        }
    }
    gauge_head(&mut text, "raft_applied_index", "Applied index");
    for (group, rows) in rows {
        text.push_str(&format!("hortator_raft_applied_index{{raft_group=\"{group}\"}} {}\n", rows.applied()));
    }
    gauge_head(&mut text, "raft_is_leader", "Whether this master leads the group");
    for (group, status) in &statuses {
        let leads = u8::from(status.leader == Some(parts.me));
        text.push_str(&format!("hortator_raft_is_leader{{raft_group=\"{group}\"}} {leads}\n"));
    }
    gauge_head(&mut text, "workers", "Workers by state");
    let mut states: BTreeMap<String, u32> = BTreeMap::new();
    for worker in worker_views(parts).await {
        *states.entry(worker.state).or_default() += 1;
    }
    for (state, count) in states {
        text.push_str(&format!("hortator_workers{{state=\"{state}\"}} {count}\n"));
    }
    text.push_str("# EOF\n");
    text
}

fn counter_line(text: &mut String, name: &str, help: &str, value: u64) {
    text.push_str(&format!(
        "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} counter\nhortator_{name}_total {value}\n"
    ));
}

fn gauge_head(text: &mut String, name: &str, help: &str) {
    text.push_str(&format!("# HELP hortator_{name} {help}.\n# TYPE hortator_{name} gauge\n"));
}
