//! The membership group's desk for clients: commands are decided by pure functions beside this file and answered after
//! commit; questions are answered from rows after a ReadIndex round.

use actix::prelude::*;
use hortator_core::time::Timestamp;
use hortator_proto::api::{Command, Problem, ProblemKind, Query, Request, Response};
use hortator_raft::Rows;

use super::roster::{Roster, RosterRow};
use super::tokens::{self, NewToken};
use super::{Effect, Epoch, MembershipActor, admission, settings};
use crate::gateway::{ReplyTo, no_leader};
use crate::journal::Turn;

/// A client's request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AskMembership {
    pub request: Request,
    pub reply: ReplyTo,
}

impl Handler<AskMembership> for MembershipActor {
    type Result = ();

    fn handle(&mut self, AskMembership { request, reply }: AskMembership, _: &mut Context<Self>) {
        let Some(epoch) = self.epoch.as_mut().filter(|epoch| epoch.journal.is_open()) else {
            return reply.send(no_leader(0));
        };
        match request {
            Request::Command(_) if epoch.journal.under_pressure() => reply.send(Response::Problem(busy())),
            Request::Command(command) => {
                let (writes, response) = epoch.on_command(command);
                let effects = vec![Effect::Reply { reply, response }];
                epoch.journal.hand_in(Turn { writes, effects, ..Turn::default() });
                epoch.journal.flush();
            }
            Request::Query(query) => epoch.journal.confirm_then(vec![Effect::Read { query, reply }]),
        }
    }
}

impl Epoch {
    /// What the command writes, and its answer.
    fn on_command(&mut self, command: Command) -> (Vec<hortator_raft::Write>, Response) {
        let now = self.journal.now();
        let (name, decided) = match command {
            Command::TokenCreate { name, hash, role, valid_for } => {
                let asked = NewToken { name: name.clone(), hash, role, valid_for };
                (name.to_string(), tokens::create(&self.roster.tokens, asked, now))
            }
            Command::TokenRevoke { name } => {
                (name.to_string(), tokens::revoke(&self.roster.tokens, &name, now))
            }
            Command::OrderWorker { name, order, by } => {
                return admission::order(&self.decided, &name, order, by, now)
                    .map_or_else(refused, |row| self.write_worker(row));
            }
            Command::SetLeases { worker_lease, declare_lost, by: _ } => {
                return self.set_leases(worker_lease, declare_lost).map_or_else(refused, |change| change);
            }
            Command::Apply { .. }
            | Command::Start { .. }
            | Command::Cancel { .. }
            | Command::RetryFailed { .. } => return (Vec::new(), Response::Problem(not_here())),
        };
        match decided {
            Ok(rows) => {
                rows.iter().for_each(|row| self.roster.apply(row));
                let changed = !rows.is_empty();
                (rows.iter().map(RosterRow::write).collect(), Response::Changed { name, changed })
            }
            Err(problem) => (Vec::new(), Response::Problem(problem)),
        }
    }
}

fn refused(problem: Problem) -> (Vec<hortator_raft::Write>, Response) {
    (Vec::new(), Response::Problem(problem))
}

/// From this master's rows, which have all that was committed when the question came.
pub(super) fn answer(rows: &Rows, query: &Query, now: Timestamp) -> Response {
    let roster = match Roster::read(rows) {
        Ok(roster) => roster,
        Err(error) => {
            let detail = format!("the membership group's rows cannot be read: {error}");
            return Response::Problem(Problem::new(ProblemKind::Internal, "H9004", detail));
        }
    };
    match query {
        Query::Tokens => Response::Tokens(roster.tokens.values().map(|row| tokens::view(row, now)).collect()),
        Query::Settings => settings::answer(rows),
        _ => Response::Problem(not_here()),
    }
}

fn busy() -> Problem {
    let detail = "the membership group has more to write than it may hold";
    Problem::new(ProblemKind::Busy, "H1105", detail).hint("try again in a moment")
}

fn not_here() -> Problem {
    let detail = "the membership group was asked for what a shard decides";
    Problem::new(ProblemKind::Internal, "H9005", detail)
}
