//! One actor of this master: which it is, what it handles, and whether it may begin anew. Must not know how turns are
//! counted.

use std::sync::Arc;
use std::time::Duration;

use hortator_core::reason::nearest;
use hortator_core::time::Span;
use hortator_proto::api::{ActorOrder, MessagesView, Problem, ProblemKind, RestartedView, Sight};
use tokio::time::Instant;

use super::closed;
use crate::group::{BeginAnew, HandOverAnswer, ObserveGroup};
use crate::observe::{ActorName, Gauge};
use crate::shard::ObserveShard;
use crate::status::{StatusParts, master_name};

/// Longest that somebody listens to an actor in one question.
const LISTEN_MAX: Duration = Duration::from_secs(60);
/// Draining takes half a second at most, and a rebuild of 100,000 live task runs some seconds.
const RESTART_MAX: Duration = Duration::from_secs(8);
/// Pause between two looks whether it has happened; a rebuild takes some milliseconds.
const RESTART_PAUSE: Duration = Duration::from_millis(5);
/// Ids named when one is not found.
const NEAR_MAX: usize = 200;

pub(super) fn find(parts: &StatusParts, id: &str) -> Result<Arc<Gauge>, Problem> {
    let found = parts.meter.actors.find(id);
    let refused = |detail: String| Problem::new(ProblemKind::NotFound, "H3082", detail);
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => {
            let known = parts.meter.actors.top(ActorOrder::Time, NEAR_MAX);
            let near = nearest(id, known.iter().map(|view| view.id.as_str()));
            let master = master_name(parts, parts.me);
            let problem =
                refused(format!("{master} has no actor {id:?} now; actors come and go with their runs"));
            Err(match near {
                Some(near) => problem.hint(format!("did you mean {near}?")),
                None => problem.hint("hortator debug actors"),
            })
        }
        [first, ..] => {
            let detail = format!("{} actors are called {id:?}; one is {}", found.len(), first.id());
            Err(refused(detail).hint("write KIND:NAME"))
        }
    }
}

pub(super) async fn listen(parts: &StatusParts, id: &str, lasts: Span) -> Result<Sight, Problem> {
    let actor = find(parts, id)?;
    let lasts = lasts.as_duration().min(LISTEN_MAX);
    actor.listen();
    tokio::time::sleep(lasts).await;
    Ok(Sight::Messages(MessagesView {
        master: master_name(parts, parts.me),
        id: actor.id(),
        lasted_us: u64::try_from(lasts.as_micros()).unwrap_or(u64::MAX),
        messages: actor.heard(),
    }))
}

/// Only what is made of rows alone begins anew: a shard's deciders, all of them together, as with a new leader.
pub(super) async fn restart(parts: &StatusParts, id: &str) -> Result<Sight, Problem> {
    let actor = find(parts, id)?;
    let group = match (actor.kind(), actor.name()) {
        ("Shard", ActorName::Group(group)) => *group,
        _ => return Err(refused(&actor)),
    };
    let id = actor.id();
    let driver = parts.groups.get(&group).ok_or_else(|| closed(group))?;
    let began = Instant::now();
    let before = driver.ask(ObserveGroup).await.map_err(|_| closed(group))?.epoch;
    if driver.ask(BeginAnew).await.map_err(|_| closed(group))? != HandOverAnswer::OnItsWay {
        let leader = parts.leaders.of(group).leader.map(|id| master_name(parts, id));
        let detail = match leader {
            Some(leader) => format!("{id} decides nothing here: {leader} leads the shard"),
            None => format!("{id} decides nothing here: the shard has no leader now"),
        };
        return Err(Problem::new(ProblemKind::Conflict, "H3083", detail)
            .hint("ask the master that leads it: use MASTER"));
    }
    while began.elapsed() < RESTART_MAX {
        let status = driver.ask(ObserveGroup).await.map_err(|_| closed(group))?;
        let open = match parts.shards.get(&group) {
            Some(shard) => shard.ask(ObserveShard).await.is_ok_and(|report| report.leads),
            None => false,
        };
        if let Some(epoch) = status.epoch.filter(|epoch| open && before.is_none_or(|before| *epoch > before))
        {
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            return Ok(Sight::Restarted(RestartedView { id, epoch, took_us }));
        }
        tokio::time::sleep(RESTART_PAUSE).await;
    }
    let detail = format!("{id} was not through with its rows within {} s", RESTART_MAX.as_secs());
    Err(Problem::new(ProblemKind::Unavailable, "H3083", detail).hint("hortator status"))
}

fn refused(actor: &Gauge) -> Problem {
    let id = actor.id();
    let (why, hint) = match actor.kind() {
        "RunActor" | "TaskActor" | "WorkflowActor" => (
            "the actors of a shard rest on each other, so they begin anew together",
            "restart its shard, which takes some milliseconds and leaves running tasks alone: actor restart Shard:shard-N",
        ),
        "GroupActor" => (
            "it holds what raft has promised to others, which only its file gives back",
            "move the leadership away (raft transfer), or restart the master",
        ),
        "WorkerActor" => (
            "it stands for a connection, and goes with it",
            "restart the worker, or drain it: worker drain NAME",
        ),
        _ => ("it holds what no row gives back", "restart the master; the others take over what it leads"),
    };
    let detail = format!("{id} is not restarted: {why}");
    Problem::new(ProblemKind::Conflict, "H3083", detail).hint(hint)
}
