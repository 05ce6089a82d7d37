//! The membership group's desk for clients: commands are decided by pure functions beside this file and answered after
//! commit; questions wait for a ReadIndex round.

use std::collections::BTreeSet;

use actix::prelude::*;
use hortator_core::cluster::JoinedAs;
use hortator_core::id::Name;
use hortator_proto::api::{Command, Problem, ProblemKind, Query, Request, Response, Welcome};
use hortator_raft::Write;

use super::groups::Deletion;
use super::joining::{self, NewJoinToken, Shown};
use super::masters;
use super::moving::{self, Place};
use super::reading::Question;
use super::roster::{Roster, RosterRow};
use super::tokens::{self, NewToken};
use super::{Effect, Epoch, MembershipActor, admission, groups};
use crate::context::Context;
use crate::gateway::{ReplyTo, no_leader};
use crate::journal::Turn;
use crate::mutant::Mutant;

/// A client's request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AskMembership {
    /// In which this master is asked for commands.
    pub term: u64,
    pub request: Request,
    pub reply: ReplyTo,
}

impl Handler<AskMembership> for MembershipActor {
    type Result = ();

    fn handle(&mut self, AskMembership { term, request, reply }: AskMembership, _: &mut Context<Self>) {
        let Some(epoch) = self.epoch.as_mut().filter(|epoch| epoch.journal.is_open()) else {
            return reply.send(no_leader(0));
        };
        match request {
            Request::Command(_) if epoch.journal.term() != term => reply.send(no_leader(0)),
            Request::Command(_) if epoch.journal.under_pressure() => reply.send(Response::Problem(busy())),
            Request::Command(command) => {
                let live = self.replicas.live(0, self.me);
                if self.mutant.is(Mutant::GivesIdsAgain) {
                    epoch.roster.forget_ids();
                }
                let (writes, response) = epoch.on_command(command, &live);
                let effects = vec![Effect::Reply { reply, response }];
                epoch.journal.hand_in(Turn { writes, effects, ..Turn::default() });
                epoch.journal.flush();
            }
            Request::Query(query @ (Query::Workers | Query::Quotas))
                if self.mutant.is(Mutant::AsksBeforeRowsCame) =>
            {
                self.answer_one(Question { query, reply });
            }
            Request::Query(query) => {
                epoch.journal.confirm_then(vec![Effect::Read(Question { query, reply })])
            }
        }
    }
}

/// What a command writes, and its answer once that is committed.
type Decided = Result<(Vec<RosterRow>, Response), Problem>;

impl Epoch {
    fn on_command(&mut self, command: Command, live: &BTreeSet<u64>) -> (Vec<Write>, Response) {
        let command = match command {
            Command::OrderWorker { name, order, by } => {
                let now = self.journal.now();
                return admission::order(&self.decided, &name, order, by, now)
                    .map_or_else(refused, |row| self.write_worker(row));
            }
            Command::ChangeSettings { change, by: _ } => {
                return self.change_settings(change).unwrap_or_else(refused);
            }
            Command::DeleteGroup { name, by: _ } => {
                return match groups::delete(&self.roster, &self.decided, &name) {
                    Ok(deletion) => self.delete_group(&name, deletion),
                    Err(problem) => refused(problem),
                };
            }
            other => other,
        };
        match self.decide(command, live) {
            Ok((rows, response)) => {
                rows.iter().for_each(|row| self.roster.apply(row));
                (rows.iter().map(RosterRow::write).collect(), response)
            }
            Err(problem) => refused(problem),
        }
    }

    fn delete_group(&mut self, name: &Name, deletion: Deletion) -> (Vec<Write>, Response) {
        let Deletion { configuration, workers, left } = deletion;
        let mut writes: Vec<Write> = configuration.iter().map(RosterRow::write).collect();
        configuration.iter().for_each(|row| self.roster.apply(row));
        for row in workers {
            writes.extend(self.write_worker(row).0);
        }
        match left {
            0 => (writes, Response::Changed { name: name.to_string(), changed: true }),
            left => (writes, Response::Problem(groups::not_all_at_once(name, left))),
        }
    }

    fn decide(&self, command: Command, live: &BTreeSet<u64>) -> Decided {
        let (roster, now) = (&self.roster, self.journal.now());
        match command {
            Command::TokenCreate { name, hash, role, valid_for } => {
                let asked = NewToken { name: name.clone(), hash, role, valid_for };
                tokens::create(&roster.tokens, asked, now).map(|rows| changed(&name, rows))
            }
            Command::TokenRevoke { name } => {
                tokens::revoke(&roster.tokens, &name, now).map(|rows| changed(&name, rows))
            }
            Command::JoinTokenCreate { id, hash, role, valid_for } => {
                let asked = NewJoinToken { id: id.clone(), hash, role, valid_for };
                joining::create(roster, asked, now).map(|rows| changed(&id, rows))
            }
            Command::Redeem { token, hash, key, joiner } => {
                let (by, rows) = joining::redeem(roster, &Shown { token, hash, key, joiner }, now)?;
                let mut after = roster.clone();
                rows.iter().for_each(|row| after.apply(row));
                Ok((rows, Response::Redeemed(Box::new(welcome(&after, by)?))))
            }
            Command::MasterRemove { id } => {
                masters::remove(&roster.masters, id, live).map(|rows| changed(&format!("n{id}"), rows))
            }
            Command::MasterMove { id, peer, worker, api } => {
                let place = Place { peer, worker, api };
                moving::move_to(roster, id, place).map(|rows| changed(&format!("n{id}"), rows))
            }
            Command::SetGroup { name, change, by: _ } => {
                groups::change(roster, &name, &change).map(|rows| changed(&name, rows))
            }
            Command::SetQuota { namespace, change, by: _ } => {
                groups::change_quota(roster, &namespace, &change).map(|rows| changed(&namespace, rows))
            }
            Command::Apply { .. }
            | Command::Start { .. }
            | Command::Cancel { .. }
            | Command::RetryFailed { .. }
            | Command::ScheduleTrigger { .. }
            | Command::ScheduleSwitch { .. }
            | Command::SetLimit { .. }
            | Command::DeleteLimit { .. }
            | Command::DeleteGroup { .. }
            | Command::OrderWorker { .. }
            | Command::ChangeSettings { .. } => Err(not_here()),
        }
    }
}

fn changed(name: &dyn std::fmt::Display, rows: Vec<RosterRow>) -> (Vec<RosterRow>, Response) {
    let response = Response::Changed { name: name.to_string(), changed: !rows.is_empty() };
    (rows, response)
}

fn welcome(roster: &Roster, node: JoinedAs) -> Result<Welcome, Problem> {
    let Some(cluster) = &roster.cluster else {
        let detail = "the cluster is not formed yet";
        return Err(Problem::new(ProblemKind::Unavailable, "H3067", detail).hint("try again"));
    };
    Ok(Welcome {
        node,
        cluster: cluster.id.iter().map(|byte| format!("{byte:02x}")).collect(),
        generation: cluster.generation,
        shards: cluster.shards,
        masters: roster.masters.values().map(masters::detail).collect(),
    })
}

fn refused(problem: Problem) -> (Vec<Write>, Response) {
    (Vec::new(), Response::Problem(problem))
}

fn busy() -> Problem {
    let detail = "the membership group has more to write than it may hold";
    Problem::new(ProblemKind::Busy, "H1105", detail).hint("try again in a moment")
}

pub(super) fn not_here() -> Problem {
    let detail = "the membership group was asked for what a shard decides";
    Problem::new(ProblemKind::Internal, "H9005", detail)
}
