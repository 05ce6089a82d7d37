//! What a master says about the cluster: its status and its own readiness. Health is derived from quorum and agreement on
//! leaders, never from "the node answered".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hortator_core::cluster::MasterState;
use hortator_proto::api::{GroupView, MasterView, Response, StatusView, WorkerView};
use hortator_proto::row::MasterRow;
use hortator_raft::{GroupStatus, Role, Rows};

use crate::balancer::Balancer;
use crate::dispatcher::{Dispatcher, ObserveDispatcher};
use crate::group::{GroupActor, ObserveGroup};
use crate::leaders::Leaders;
use crate::mailbox::{Mailbox, Meter};
use crate::post::Post;
use crate::seam::Clock;
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
    pub balancer: Mailbox<Balancer>,
    pub rows: BTreeMap<u32, Rows>,
    pub leaders: Arc<Leaders>,
    pub meter: Arc<Meter>,
    pub post: Arc<Post>,
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for StatusParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StatusParts(n{})", self.me)
    }
}

pub(crate) async fn worker_views(parts: &StatusParts) -> Vec<WorkerView> {
    parts.dispatcher.ask(ObserveDispatcher).await.unwrap_or_default()
}

/// Of the shards led here.
pub(crate) async fn totals(parts: &StatusParts) -> ShardReport {
    let mut totals = ShardReport::default();
    for shard in parts.shards.values() {
        if let Ok(report) = shard.ask(ObserveShard).await {
            totals.runs_live += report.runs_live;
            totals.runs_queued += report.runs_queued;
            totals.tasks_active += report.tasks_active;
        }
    }
    totals
}

pub(crate) async fn status(parts: &StatusParts, workers: Vec<WorkerView>) -> Response {
    let groups = group_statuses(parts).await;
    let totals = totals(parts).await;
    let masters = master_views(parts, &groups);
    let (verdict, sentence) = verdict(parts, &groups, &masters, &workers);
    let view = StatusView {
        cluster: parts.cluster.clone(),
        verdict: verdict.into(),
        sentence,
        masters,
        groups: groups.iter().map(|(id, status)| group_view(*id, status)).collect(),
        workers,
        relayed: parts.post.relay().view(),
        // Only the process knows.
        faults: Vec::new(),
        runs_live: totals.runs_live,
        runs_queued: totals.runs_queued,
        tasks_active: totals.tasks_active,
    };
    Response::Status(Box::new(view))
}

pub(crate) async fn group_statuses(parts: &StatusParts) -> BTreeMap<u32, GroupStatus> {
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
    let without: Vec<(&u32, &GroupStatus)> =
        groups.iter().filter(|(_, status)| !hears_quorum(status)).collect();
    let down = masters.iter().filter(|master| master.state == "down").count();
    let up = workers.iter().filter(|worker| worker.state == "up").count();
    let total = masters.len();
    let name = &parts.cluster;
    if let Some((_, status)) = without.first() {
        let (voters, needed) = (status.voters.len(), status.voters.len() / 2 + 1);
        let groups: Vec<String> = without.iter().map(|(id, _)| id.to_string()).collect();
        let sentence = format!(
            "Cluster {name:?} is UNAVAILABLE, as {} sees it: it hears no quorum of group {} ({needed} of {voters} \
             votes are needed)",
            master_name(parts, parts.me),
            groups.join(", ")
        );
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

/// Whether this replica has, as far as it can know, a quorum around it: a leader it follows, or at the leader the
/// voters that answer. A leader that hears too few steps down within an election timeout; until then it says so.
pub(crate) fn hears_quorum(status: &GroupStatus) -> bool {
    let live = status.peers.iter().filter(|peer| peer.voter && peer.live).count();
    let own = usize::from(status.voters.contains(&status.replica));
    match status.role {
        Role::Leader => 2 * (live + own) > status.voters.len(),
        Role::Follower | Role::Learner => status.leader.is_some(),
        Role::Candidate | Role::Stopped => false,
    }
}

/// A master as people call it.
pub(crate) fn master_name(parts: &StatusParts, id: u64) -> String {
    let table = parts.tables.masters();
    let row = table.present().find(|row| row.id == id);
    row.map_or_else(|| format!("n{id}"), |row| row.name.to_string())
}
