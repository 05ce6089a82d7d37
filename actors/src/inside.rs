//! What a master tells of its own inside: actors, replicas, logs. Asks the drivers and reads counters.
//! Must not know who may ask.

mod actors;
mod warnings;

use std::time::Duration;

use hortator_proto::api::{
    ActorsView, DeadLettersView, GroupSumsView, LogCutView, LogEntryView, LogView, LogWriteView, Look,
    Problem, ProblemKind, RaftGroupView, RaftPeerView, RaftView, Sight, SlowView, SumView, SumsView,
    WarningsView,
};
use hortator_proto::frame::PeerFrame;
use hortator_proto::row::key;
use hortator_raft::{GroupStatus, LogContent, LogEntry, PeerStatus, Role, Rows, Write};

use crate::group::{CutLog, HandOver, HandOverAnswer, Heir, LookAtLog, ObserveGroup};
use crate::status::{StatusParts, group_statuses, master_name};

/// Raft hands over within an election timeout or not at all, and the deciders may drain for half a second before.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);
/// Pause between two looks whether it has happened.
const HAND_OVER_PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn look(parts: &StatusParts, look: Look) -> Result<Sight, Problem> {
    match look {
        Look::Actors { order, top } => {
            let actors = &parts.meter.actors;
            let (kinds, top) = (actors.kinds(), actors.top(order, top));
            let up_us = u64::try_from(actors.up().as_micros()).unwrap_or(u64::MAX);
            Ok(Sight::Actors(ActorsView { master: master_name(parts, parts.me), up_us, kinds, top }))
        }
        Look::Raft => {
            let statuses = group_statuses(parts).await;
            let groups = statuses.values().map(group).collect();
            Ok(Sight::Raft(RaftView { master: master_name(parts, parts.me), groups }))
        }
        Look::Actor { id } => {
            let actor = actors::find(parts, &id)?;
            let master = master_name(parts, parts.me);
            Ok(Sight::Actor(Box::new(parts.meter.actors.detail(&actor, &master))))
        }
        Look::Messages { id, lasts } => actors::listen(parts, &id, lasts).await,
        Look::Restart { id } => actors::restart(parts, &id).await,
        Look::Slow { top } => Ok(Sight::Slow(SlowView {
            master: master_name(parts, parts.me),
            turns: parts.meter.actors.slowest(top),
            entries: parts.meter.slow_entries.top(top),
            syncs: Vec::new(),
        })),
        Look::DeadLetters => {
            let kinds = parts.meter.actors.dead_letters().into_iter();
            let kinds = kinds.filter(|kind| kind.dead + kind.refused > 0).collect();
            Ok(Sight::DeadLetters(DeadLettersView { master: master_name(parts, parts.me), kinds }))
        }
        Look::Warnings => {
            let master = master_name(parts, parts.me);
            Ok(Sight::Warnings(WarningsView { master, warnings: warnings::warnings(parts).await }))
        }
        Look::Sums => Ok(Sight::Sums(sums(parts))),
        Look::Log { group, from, limit } => log(parts, group, from, limit).await,
        Look::CutLog { group } => cut_log(parts, group).await,
        Look::HandOver { group, to } => hand_over(parts, group, to).await,
    }
}

fn group(status: &GroupStatus) -> RaftGroupView {
    let role = match status.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Stopped => "stopped",
    };
    let peer = |peer: &PeerStatus| RaftPeerView {
        master: peer.replica,
        matched: peer.matched,
        lag: status.last.saturating_sub(peer.matched),
        live: peer.live,
        snapshot: peer.snapshot,
        voter: peer.voter,
    };
    RaftGroupView {
        group: status.group,
        role: role.into(),
        term: status.term,
        leader: status.leader,
        epoch: status.epoch,
        commit: status.commit,
        applied: status.applied,
        persisted: status.persisted,
        first: status.first,
        last: status.last,
        log_bytes: status.log_bytes,
        queue_bytes: status.queue_bytes,
        queue_jobs: status.queue_jobs,
        proposals: status.proposals as u64,
        voters: status.voters.clone(),
        learners: status.learners.clone(),
        pending_conf: status.pending_conf,
        disk_low: status.disk_low,
        stopped: status.stopped.clone(),
        peers: status.peers.iter().map(peer).collect(),
    }
}

fn sums(parts: &StatusParts) -> SumsView {
    let of = |(group, rows): (&u32, &Rows)| GroupSumsView {
        group: *group,
        applied: rows.applied(),
        sums: rows.sums().into_iter().map(|sum| SumView { index: sum.index, sum: sum.sum }).collect(),
    };
    let groups = parts.rows.iter().map(of).collect();
    SumsView { master: master_name(parts, parts.me), id: parts.me, groups }
}

async fn log(parts: &StatusParts, group: u32, from: u64, limit: u64) -> Result<Sight, Problem> {
    let actor = parts.groups.get(&group).ok_or_else(|| no_group(parts, group))?;
    let status = actor.ask(ObserveGroup).await.map_err(|_| closed(group))?;
    let entries = actor.ask(LookAtLog { from, limit }).await.map_err(|_| closed(group))?;
    let GroupStatus { first, last, commit, .. } = status;
    Ok(Sight::Log(LogView { group, first, last, commit, entries: entries.iter().map(entry).collect() }))
}

/// The rows are the snapshot: who lacks entries that are gone gets those.
async fn cut_log(parts: &StatusParts, group: u32) -> Result<Sight, Problem> {
    let actor = parts.groups.get(&group).ok_or_else(|| no_group(parts, group))?;
    let before = actor.ask(ObserveGroup).await.map_err(|_| closed(group))?;
    let first = actor.ask(CutLog).await.map_err(|_| closed(group))?.unwrap_or(before.first);
    let (master, gone) = (master_name(parts, parts.me), first.saturating_sub(before.first));
    Ok(Sight::LogCut(LogCutView { master, group, gone, first, last: before.last }))
}

fn entry(entry: &LogEntry) -> LogEntryView {
    let (content, epoch, sequence, text, writes) = match &entry.content {
        LogContent::Nothing => ("nothing", None, None, None, Vec::new()),
        LogContent::Barrier { epoch } => ("barrier", Some(*epoch), None, None, Vec::new()),
        LogContent::Rows { epoch, sequence, batch } => {
            ("rows", Some(*epoch), Some(*sequence), None, batch.writes.iter().map(write).collect())
        }
        LogContent::Members(text) => ("members", None, None, Some(text.clone()), Vec::new()),
        LogContent::Unknown(text) => ("unknown", None, None, Some(text.clone()), Vec::new()),
    };
    LogEntryView {
        index: entry.index,
        term: entry.term,
        bytes: entry.bytes,
        content: content.into(),
        epoch,
        sequence,
        text,
        writes,
    }
}

fn write(write: &Write) -> LogWriteView {
    let (word, key, bytes) = match write {
        Write::Put { key, value } => ("put", key, value.len()),
        Write::Delete { key } => ("delete", key, 0),
        Write::PutAtIndex { prefix, value } => ("put_at_index", prefix, value.len()),
        Write::DeleteRange { from, .. } => ("delete_range", from, 0),
    };
    let mut key_of = key.clone();
    if let Write::PutAtIndex { .. } = write {
        // The index is known only where it was appended; the row is named without it.
        key_of = [&key[..], &0_u64.to_be_bytes()].concat().into();
    }
    let row = key::parse(&key_of).map_or_else(|| hex(key), |key| row_name(&key));
    LogWriteView { write: word.into(), row, bytes: bytes as u64 }
}

/// A row as people call it.
fn row_name(key: &key::Key) -> String {
    use key::Key;
    match key {
        Key::Workflow(name) => format!("workflow {name}"),
        Key::Version { workflow, version } => format!("version {version} of {workflow}"),
        Key::SourceChunk { workflow, version, chunk } => {
            format!("source {chunk} of {workflow} v{version}")
        }
        Key::CanonicalChunk { workflow, version, chunk } => {
            format!("definition {chunk} of {workflow} v{version}")
        }
        // The key's text is the client's own.
        Key::StartKey { workflow, .. } => format!("start key of {workflow}"),
        Key::RunOfWorkflow { workflow, run } => format!("{workflow} has run {run}"),
        Key::WorkerGroup(name) => format!("worker group {name}"),
        Key::Quota(namespace) => format!("quota of {namespace}"),
        Key::Limit(limit) => format!("limit {limit}"),
        Key::Hold { limit, task_run } => {
            format!("hold of {limit} by {}/{}[{}]", task_run.run, task_run.key.task, task_run.key.item)
        }
        Key::Want { limit, task_run } => {
            format!("want of {limit} by {}/{}[{}]", task_run.run, task_run.key.task, task_run.key.item)
        }
        Key::Learned(workflow) => format!("learned durations of {workflow}"),
        Key::Schedule { workflow, schedule } => format!("schedule {workflow}/{schedule}"),
        Key::ScheduleLine { workflow, schedule, time } => {
            format!("schedule {workflow}/{schedule} at {time}")
        }
        Key::Run(run) => format!("run {run}"),
        Key::LiveRun(run) => format!("live run {run}"),
        Key::DeletedRun(run) => format!("deleted run {run}"),
        Key::TaskRun(id) => format!("task run {}/{}[{}]", id.run, id.key.task, id.key.item),
        Key::EarlierAttempt(id) => {
            let of = id.task_run;
            format!("attempt {} of {}/{}[{}]", id.attempt, of.run, of.key.task, of.key.item)
        }
        Key::History { run, .. } => format!("history of {run}"),
        Key::Worker(name) => format!("worker {name}"),
        Key::Cluster => "cluster".into(),
        Key::Token(name) => format!("token {name}"),
        Key::Settings => "settings".into(),
        Key::Master(id) => format!("master {id}"),
        Key::JoinToken(id) => format!("join token {id}"),
        Key::Authority => "authority".into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The leader is asked, over the wire when it is another master; what comes of it shows in who leads.
async fn hand_over(parts: &StatusParts, group: u32, to: u64) -> Result<Sight, Problem> {
    let actor = parts.groups.get(&group).ok_or_else(|| no_group(parts, group))?;
    let leadership = parts.leaders.of(group);
    let Some(leader) = leadership.leader else {
        let detail = format!("group {group} has no leader that could hand over");
        return Err(Problem::new(ProblemKind::Unavailable, "H1102", detail).hint("hortator status"));
    };
    let refused = |why: &str| {
        let (from, to) = (master_name(parts, leader), master_name(parts, to));
        let detail = format!("the leadership of group {group} did not go from {from} to {to}: {why}");
        Problem::new(ProblemKind::Conflict, "H3080", detail)
            .hint(format!("hortator shell -c 'raft show {group}'"))
    };
    if leader == to {
        return Ok(Sight::HandedOver { leader, term: leadership.term });
    }
    let status = actor.ask(ObserveGroup).await.map_err(|_| closed(group))?;
    if !status.voters.contains(&to) {
        return Err(refused("that master has no vote"));
    }
    let deadline = tokio::time::Instant::now() + HAND_OVER_MAX;
    let mut asked = false;
    while tokio::time::Instant::now() < deadline {
        let now = parts.leaders.of(group);
        if now.leader == Some(to) {
            return Ok(Sight::HandedOver { leader: to, term: now.term });
        }
        match now.leader {
            // A leader that is new has not heard from its peers yet: it is asked until it has.
            Some(leader) if leader == parts.me => {
                let answer = actor.ask(HandOver { to: Heir::Named(to) }).await.map_err(|_| closed(group))?;
                asked |= answer == HandOverAnswer::OnItsWay;
            }
            Some(leader) if !asked => {
                parts.post.to_master(leader, PeerFrame::HandShardOver { shard: group, to });
                asked = true;
            }
            Some(_) | None => {}
        }
        tokio::time::sleep(HAND_OVER_PAUSE).await;
    }
    Err(refused(if asked { "nothing happened within 3 s" } else { "that master does not answer" }))
}

fn no_group(parts: &StatusParts, group: u32) -> Problem {
    let last = parts.groups.keys().last().copied().unwrap_or(0);
    let detail = format!("there is no group {group}; groups are 0 (membership) to {last}");
    Problem::new(ProblemKind::NotFound, "H3081", detail)
}

fn closed(group: u32) -> Problem {
    Problem::new(ProblemKind::Unavailable, "H1102", format!("the replica of group {group} here is closed"))
}
