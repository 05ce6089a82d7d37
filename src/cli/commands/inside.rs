//! `hortator raft …` and `hortator debug …`: the inside of the master that is asked.
//! Must not know how anything is counted or decided.

mod actors;
mod balance;
mod verify;

use std::fmt::Write as _;

use hortator_proto::api::{LogCutView, LogEntryView, LogView, MasterDetail, RaftGroupView, RaftView};
use serde::Serialize;

use crate::api::body::Page;
use crate::api::inside::{TransferBody, TransferredBody};
use crate::cli::args::RaftVerb;
use crate::cli::client::{Call, query};
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::{Field, Listed, Output};
use crate::cli::session::Session;

pub use actors::{actors, debug, tree};
pub use balance::{balance, rebalance};

/// Row writes of an entry named in a table.
const WRITES_SHOWN: usize = 4;

/// `hortator raft …`
pub async fn raft(session: &Session, verb: RaftVerb) -> Result<Exit, Error> {
    match verb {
        RaftVerb::Groups => {
            session.output.list(&groups(session).await?.groups)?;
            Ok(Exit::Success)
        }
        RaftVerb::Show { group } => show(session, group).await,
        RaftVerb::Log { group, from, limit } => {
            let pairs = [("from", from.map(|from| from.to_string())), ("limit", Some(limit.to_string()))];
            let path = format!("/cluster/raft/{group}/log{}", query(&pairs));
            let view: LogView = session.client.ask(Call::get(path)).await?;
            session.output.list(&view.entries)?;
            session.output.hint(&format!(
                "the log holds {} to {}, committed up to {}",
                view.first, view.last, view.commit
            ));
            Ok(Exit::Success)
        }
        RaftVerb::Transfer { group, to } => {
            let to = master(session, &to).await?;
            let call = Call::post_json(format!("/cluster/raft/{group}/transfer"), &TransferBody { to });
            let done: TransferredBody = session.client.ask(call).await?;
            let TransferredBody { leader, term, .. } = done;
            session.output.one(&done, &group.to_string(), || {
                format!("group {group} is led by n{leader} in term {term}\n")
            })?;
            Ok(Exit::Success)
        }
        RaftVerb::Snapshot { group } => {
            let call = Call::post(format!("/cluster/raft/{group}/snapshot"), Default::default());
            let done: LogCutView = session.client.ask(call).await?;
            session.output.one(&done, &group.to_string(), || {
                let LogCutView { master, gone, first, last, .. } = &done;
                format!("{gone} entries went; the log of group {group} on {master} holds {first} to {last}\n")
            })?;
            Ok(Exit::Success)
        }
        RaftVerb::Verify { group, deep } => verify::verify(session, group, deep).await,
        RaftVerb::WhatIf { lose } => what_if(session, &lose).await,
    }
}

async fn groups(session: &Session) -> Result<RaftView, Error> {
    session.client.ask(Call::get("/cluster/raft")).await
}

/// The id of a master by its name, or by its id as in `n3` and `3`.
async fn master(session: &Session, text: &str) -> Result<u64, Error> {
    let page: Page<MasterDetail> = session.client.ask(Call::get("/cluster/masters")).await?;
    let named = page.items.iter().find(|master| master.name.as_str() == text).map(|master| master.id);
    let number = || text.strip_prefix('n').unwrap_or(text).parse().ok();
    named.or_else(number).ok_or_else(|| {
        let known: Vec<&str> = page.items.iter().map(|master| master.name.as_str()).collect();
        let detail = format!("there is no master {text:?}; masters now: {}", known.join(", "));
        Error::new(Exit::NotFound, code::NO_MASTER, detail)
    })
}

impl Listed for RaftGroupView {
    const HEADERS: &'static [&'static str] = &[
        "GROUP", "ROLE", "LEADER", "TERM", "COMMIT", "APPLIED", "LAST", "LOG", "BYTES", "VOTERS", "LEARNERS",
        "NOTE",
    ];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let ids = |ids: &[u64]| match ids {
            [] => output.nothing(),
            ids => ids.iter().map(|id| format!("n{id}")).collect::<Vec<_>>().join(","),
        };
        let stopped = self.stopped.as_ref().map(|why| format!("stopped: {why}"));
        let notes = [
            stopped,
            self.pending_conf.then(|| "members change".to_owned()),
            self.disk_low.then(|| "disk is low".to_owned()),
        ];
        vec![
            self.group.to_string().into(),
            self.role.clone().into(),
            self.leader.map_or_else(|| output.nothing(), |id| format!("n{id}")).into(),
            self.term.to_string().into(),
            self.commit.to_string().into(),
            self.applied.to_string().into(),
            self.last.to_string().into(),
            (self.last + 1).saturating_sub(self.first).to_string().into(),
            self.log_bytes.to_string().into(),
            ids(&self.voters).into(),
            ids(&self.learners).into(),
            notes.into_iter().flatten().collect::<Vec<_>>().join(", ").into(),
        ]
    }

    fn name(&self) -> String {
        self.group.to_string()
    }
}

async fn show(session: &Session, group: u32) -> Result<Exit, Error> {
    let view = groups(session).await?;
    let Some(found) = view.groups.iter().find(|found| found.group == group) else {
        let last = view.groups.len().saturating_sub(1);
        let detail = format!("there is no group {group}; groups are 0 (membership) to {last}");
        return Err(Error::new(Exit::NotFound, code::NO_GROUP, detail).hint("hortator raft groups"));
    };
    let output = &session.output;
    output.one(found, &group.to_string(), || sheet(&view.master, found, output))?;
    if found.role != "leader"
        && let Some(leader) = found.leader
    {
        output.hint(&format!("the peers' progress is known at the leader, n{leader}"));
    }
    Ok(Exit::Success)
}

fn sheet(master: &str, group: &RaftGroupView, output: &Output) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<12} {value}");
    };
    line("group", format!("{} as {master} has it", group.group));
    line("role", group.role.clone());
    line("leader", group.leader.map_or_else(|| output.nothing(), |id| format!("n{id}")));
    line("term", group.term.to_string());
    line("epoch", group.epoch.map_or_else(|| output.nothing(), |epoch| epoch.to_string()));
    line("log", format!("{} to {}, {} bytes", group.first, group.last, group.log_bytes));
    line("committed", format!("{}, applied {}", group.commit, group.applied));
    line(
        "on disk",
        format!("{}, waiting {} jobs, {} bytes", group.persisted, group.queue_jobs, group.queue_bytes),
    );
    line("proposals", format!("{} not committed yet", group.proposals));
    line("members", if group.pending_conf { "a change is under way" } else { "no change under way" }.into());
    for peer in &group.peers {
        let live = if peer.live { "answers" } else { "SILENT" };
        let vote = if peer.voter { "votes" } else { "learns" };
        let snapshot = if peer.snapshot { ", gets a snapshot" } else { "" };
        line(
            &format!("peer n{}", peer.master),
            format!("{live}, {vote}, lacks {} entries{snapshot}", peer.lag),
        );
    }
    text
}

impl Listed for LogEntryView {
    const HEADERS: &'static [&'static str] =
        &["INDEX", "TERM", "CONTENT", "EPOCH", "SEQUENCE", "BYTES", "WRITES"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let number = |value: Option<u64>| value.map_or_else(|| output.nothing(), |value| value.to_string());
        let mut writes: Vec<String> = self
            .writes
            .iter()
            .take(WRITES_SHOWN)
            .map(|write| format!("{} {}", write.write, write.row))
            .collect();
        if self.writes.len() > WRITES_SHOWN {
            writes.push(format!("and {} more", self.writes.len() - WRITES_SHOWN));
        }
        vec![
            self.index.to_string().into(),
            self.term.to_string().into(),
            self.content.clone().into(),
            number(self.epoch).into(),
            number(self.sequence).into(),
            self.bytes.to_string().into(),
            self.text.clone().unwrap_or_else(|| writes.join("; ")).into(),
        ]
    }

    fn name(&self) -> String {
        self.index.to_string()
    }
}

/// What becomes of a group when masters are gone.
#[derive(Debug, PartialEq, Serialize)]
pub struct Fate {
    pub group: u32,
    pub voters: Vec<u64>,
    /// Votes that are left.
    pub left: usize,
    pub needed: usize,
    pub has_quorum: bool,
    /// Another master has to be elected.
    pub loses_leader: bool,
}

/// By the voters alone: who is silent now is asked of status.
pub fn fate(group: &RaftGroupView, lost: &[u64]) -> Fate {
    let left = group.voters.iter().filter(|voter| !lost.contains(voter)).count();
    let needed = group.voters.len() / 2 + 1;
    Fate {
        group: group.group,
        voters: group.voters.clone(),
        left,
        needed,
        has_quorum: left >= needed,
        loses_leader: group.leader.is_some_and(|leader| lost.contains(&leader)),
    }
}

async fn what_if(session: &Session, lose: &[String]) -> Result<Exit, Error> {
    let mut lost = Vec::new();
    for text in lose {
        lost.push(master(session, text).await?);
    }
    let fates: Vec<Fate> = groups(session).await?.groups.iter().map(|group| fate(group, &lost)).collect();
    session.output.list(&fates)?;
    let gone = fates.iter().filter(|fate| !fate.has_quorum).count();
    match gone {
        0 => {
            session.output.hint("every group keeps its quorum");
            Ok(Exit::Success)
        }
        gone => {
            session.output.hint(&format!("{gone} of {} groups would lose their quorum", fates.len()));
            Ok(Exit::Unavailable)
        }
    }
}

impl Listed for Fate {
    const HEADERS: &'static [&'static str] = &["GROUP", "VOTES LEFT", "NEEDED", "QUORUM", "LEADER"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        let leader = match (self.has_quorum, self.loses_leader) {
            (false, _) => "none",
            (true, true) => "elected anew",
            (true, false) => "stays",
        };
        vec![
            self.group.to_string().into(),
            format!("{} of {}", self.left, self.voters.len()).into(),
            self.needed.to_string().into(),
            if self.has_quorum { "kept" } else { "LOST" }.to_owned().into(),
            leader.to_owned().into(),
        ]
    }

    fn name(&self) -> String {
        self.group.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_lives_as_long_as_most_of_its_voters() {
        let group = |voters: &[u64], leader| RaftGroupView {
            group: 1,
            role: "follower".into(),
            term: 1,
            leader,
            epoch: None,
            commit: 0,
            applied: 0,
            persisted: 0,
            first: 1,
            last: 0,
            log_bytes: 0,
            queue_bytes: 0,
            queue_jobs: 0,
            proposals: 0,
            voters: voters.to_vec(),
            learners: vec![9],
            pending_conf: false,
            disk_low: false,
            stopped: None,
            peers: Vec::new(),
        };
        for (voters, leader, lost, quorum, loses) in [
            (&[1, 2, 3][..], Some(1), &[1][..], true, true),
            (&[1, 2, 3], Some(1), &[2, 9], true, false),
            (&[1, 2, 3], Some(1), &[2, 3], false, false),
            (&[1, 2], None, &[2], false, false),
            (&[1], Some(1), &[], true, false),
            (&[1, 2, 3, 4, 5], Some(3), &[3, 4], true, true),
        ] {
            let fate = fate(&group(voters, leader), lost);
            assert_eq!((fate.has_quorum, fate.loses_leader), (quorum, loses), "{voters:?} without {lost:?}");
        }
    }
}
