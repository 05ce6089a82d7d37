//! Questions to the membership group: answered by whoever knows, once a quorum has confirmed this leader and rows as of the
//! question have been read and told. So whoever was told that a command is done sees it in what he asks next.

use std::collections::VecDeque;

use hortator_core::id::Position;
use hortator_core::time::Timestamp;
use hortator_proto::api::{Problem, ProblemKind, Query, Response};
use hortator_raft::Rows;

use super::requests::not_here;
use super::roster::Roster;
use super::{MembershipActor, masters, settings, tokens};
use crate::balancer::TellBalance;
use crate::dispatcher::{TellPlacement, TellWorkers};
use crate::gateway::{ReplyTo, busy};

/// See the module.
#[derive(Debug)]
pub(super) struct Question {
    pub query: Query,
    pub reply: ReplyTo,
}

/// Questions that wait at a time: all that some masters let in at once (10,000 each), some MB. They wait for milliseconds,
/// so whoever comes to a full queue is told to come back.
const QUESTIONS_MAX: usize = 32_768;

/// Those that are confirmed, with the index that they wait for.
#[derive(Debug, Default)]
pub(super) struct Questions(VecDeque<(u64, Question)>);

impl Questions {
    /// Beyond the bound it is answered at once.
    pub(super) fn wait_for(&mut self, index: u64, question: Question) {
        if self.0.len() >= QUESTIONS_MAX {
            return question.reply.send(busy("too many questions wait for the membership group's rows"));
        }
        self.0.push_back((index, question));
    }

    fn next(&mut self, read_through: u64) -> Option<Question> {
        let (_, question) = self.0.pop_front_if(|(index, _)| *index <= read_through)?;
        Some(question)
    }
}

impl MembershipActor {
    /// Answers what waited for rows that were read; they are few, so it happens here.
    pub(super) fn answer(&mut self) {
        // What the Dispatcher is asked must come to it after the table.
        if self.telling.owes_the_dispatcher() {
            return;
        }
        while let Some(question) =
            self.epoch.as_mut().and_then(|epoch| epoch.questions.next(self.read_through))
        {
            self.answer_one(question);
        }
    }

    /// A full mailbox drops the question with its reply: the asking side sees that, and asks again.
    pub(super) fn answer_one(&self, Question { query, reply }: Question) {
        match query {
            Query::Workers => {
                let _ = self.post.dispatcher().map(|dispatcher| dispatcher.send(TellWorkers { reply }));
            }
            Query::WorkerGroups
            | Query::Quotas
            | Query::WorkerWhy { .. }
            | Query::Placeable { .. }
            | Query::WhatIf { .. } => {
                let _ =
                    self.post.dispatcher().map(|dispatcher| dispatcher.send(TellPlacement { query, reply }));
            }
            Query::Balance => {
                let _ = self.post.balancer().map(|balancer| balancer.send(TellBalance { reply }));
            }
            query => {
                let now = self.epoch.as_ref().expect("questions wait in their epoch").journal.time();
                reply.send(from_rows(&self.rows, &query, now));
            }
        }
    }
}

fn from_rows(rows: &Rows, query: &Query, now: Timestamp) -> Response {
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
        Query::Masters => Response::Masters(roster.masters.values().map(masters::detail).collect()),
        Query::Position { group } => Response::Position(Position { group: *group, index: rows.applied() }),
        _ => Response::Problem(not_here()),
    }
}
