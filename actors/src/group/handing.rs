//! Leadership on its way to another master: the deciders write out what they have and decide nothing more, then raft is
//! asked, and if it does not happen within an election the epoch begins anew. Must not know what was decided.

use actix::prelude::*;
use hortator_proto::frame::NodeId;
use slog::{debug, info};

use super::votes::heir;
use super::{GroupActor, GroupNotice};
use crate::context::Context;
use crate::mailbox::Meter;
use crate::replicas::Seen;

/// Ticks that the deciders and the quorum have to write out what was decided. Half a second is longer than any commit
/// of a group that can hand over at all; what is not committed then is lost as with any other change of leaders.
const DRAIN_TICKS: u32 = 10;
/// Ticks until raft has handed over or given up: its election timeout, and as much again for the last messages.
const ASKED_TICKS: u32 = 20;

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heir {
    /// The most caught-up one that answers.
    Best,
    Named(u64),
}

/// Hands leadership over if it is here.
#[derive(Debug, Message)]
#[rtype(result = "HandOverAnswer")]
pub struct HandOver {
    pub to: Heir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOverAnswer {
    /// It happens within a second, or not at all.
    OnItsWay,
    NotLeading,
    /// No other voter could take over.
    NobodyElse,
}

/// The deciders have handed in all that they had in that epoch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drained {
    pub epoch: u64,
}

#[derive(Debug)]
pub(super) enum Handing {
    No,
    /// `written`: the deciders have handed in all they had.
    Draining {
        epoch: u64,
        to: Onward,
        ticks: u32,
        written: bool,
    },
    Asked {
        ticks: u32,
    },
}

/// Who decides after the drained epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    Master(u64),
    /// This master again, in a new epoch.
    Here,
}

/// Ends the epoch when all it decided is written, and begins another here: the deciders start again from rows.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "HandOverAnswer")]
pub struct BeginAnew;

impl GroupActor {
    fn begin_anew(&mut self) -> HandOverAnswer {
        let status = self.group.status();
        match (status.leader == Some(self.me), status.epoch) {
            (false, _) => HandOverAnswer::NotLeading,
            (true, Some(epoch)) if matches!(self.handing, Handing::No) => {
                info!(self.log, "the epoch is to begin anew"; "epoch" => epoch);
                self.drain(epoch, Onward::Here);
                HandOverAnswer::OnItsWay
            }
            (true, _) => HandOverAnswer::OnItsWay,
        }
    }

    fn drain(&mut self, epoch: u64, to: Onward) {
        self.handing = Handing::Draining { epoch, to, ticks: 0, written: false };
        self.backlog.push_back(GroupNotice::Drain { epoch });
    }

    pub(super) fn hand_over(&mut self, to: Heir) -> HandOverAnswer {
        let status = self.group.status();
        if status.leader != Some(self.me) {
            return HandOverAnswer::NotLeading;
        }
        if !matches!(self.handing, Handing::No) {
            return HandOverAnswer::OnItsWay;
        }
        let seen = Seen::new(&status, self.proposals);
        let to = match to {
            Heir::Named(id) => Some(id)
                .filter(|id| seen.peers.iter().any(|peer| peer.replica == *id && peer.voter && peer.live)),
            Heir::Best => heir(self.me, &seen, &self.tables.masters()),
        };
        let Some(to) = to else { return HandOverAnswer::NobodyElse };
        info!(self.log, "leadership is handed over"; "to" => %NodeId::Master(to));
        match status.epoch {
            Some(epoch) => self.drain(epoch, Onward::Master(to)),
            None => self.ask_raft(to),
        }
        HandOverAnswer::OnItsWay
    }

    /// Once all that was decided is committed.
    pub(super) fn ask_raft_when_drained(&mut self) {
        let Handing::Draining { to, ticks, written, .. } = self.handing else { return };
        if (written && self.group.status().proposals == 0) || ticks >= DRAIN_TICKS {
            match to {
                Onward::Master(to) => self.ask_raft(to),
                Onward::Here => self.stay(),
            }
        }
    }

    fn ask_raft(&mut self, to: u64) {
        self.handing = Handing::Asked { ticks: 0 };
        if let Err(error) = self.group.transfer_leader(to) {
            info!(self.log, "leadership not handed over"; "to" => %NodeId::Master(to), "error" => %error);
            self.stay();
        }
    }

    /// The drained epoch is over; this leader begins another.
    fn stay(&mut self) {
        self.handing = Handing::No;
        self.epoch_open = false;
    }

    pub(super) fn tick_handing(&mut self) {
        match &mut self.handing {
            Handing::No => {}
            Handing::Draining { ticks, .. } => *ticks += 1,
            Handing::Asked { ticks } => {
                *ticks += 1;
                if *ticks >= ASKED_TICKS {
                    info!(self.log, "leadership was not taken over in time");
                    self.stay();
                }
            }
        }
    }

    /// Another leads, or the epoch ended by itself.
    pub(super) fn handing_is_over(&mut self) {
        match std::mem::replace(&mut self.handing, Handing::No) {
            Handing::No => {}
            // It was lost before raft was asked: an election like any other.
            Handing::Draining { .. } => debug!(self.log, "leadership went before it was handed over"),
            Handing::Asked { .. } => {
                Meter::add(&self.meter.handed_over, 1);
                debug!(self.log, "leadership went");
            }
        }
    }
}

impl Handler<HandOver> for GroupActor {
    type Result = MessageResult<HandOver>;

    fn handle(&mut self, HandOver { to }: HandOver, _: &mut Context<Self>) -> Self::Result {
        let answer = self.hand_over(to);
        self.turn();
        MessageResult(answer)
    }
}

impl Handler<BeginAnew> for GroupActor {
    type Result = MessageResult<BeginAnew>;

    fn handle(&mut self, _: BeginAnew, _: &mut Context<Self>) -> Self::Result {
        let answer = self.begin_anew();
        self.turn();
        MessageResult(answer)
    }
}

impl Handler<Drained> for GroupActor {
    type Result = ();

    fn handle(&mut self, Drained { epoch: of }: Drained, _: &mut Context<Self>) {
        if let Handing::Draining { epoch, written, .. } = &mut self.handing {
            *written |= *epoch == of;
        }
        self.turn();
    }
}
