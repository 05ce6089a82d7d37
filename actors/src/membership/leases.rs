//! Heartbeats and what their silence means. Each master passes what it heard to the membership leader, who acknowledges
//! after a quorum has confirmed it, and writes who is lost. Must not know attempts: they compare with the rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::id::Name;
use hortator_core::lease::Leases;
use hortator_core::time::Span;
use hortator_proto::frame::{HeardHeartbeat, Heartbeat, PeerFrame, SpeaksFor, ToWorker};
use hortator_proto::row::{self, WorkerRow};
use hortator_raft::Write;
use hortator_raft::sometimes;
use slog::{debug, warn};

use super::silence::Beat;
use super::{Effect, Epoch, MembershipActor};
use crate::context::Context;
use crate::dispatcher::HeartbeatHeard;
use crate::journal::Turn;
use crate::leaders::MEMBERSHIP;
use crate::mailbox::Meter;
use crate::mutant::Mutant;

/// How often heartbeats are passed on and acknowledged, and silences looked at: small against a heartbeat's pace, so
/// that a lease loses little by it.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Heartbeats passed on in one frame: some 400 KiB.
const HEARTBEATS_PER_FRAME: usize = 4_096;
/// Losses in one entry, some 200 bytes each; more follow with the next tick.
const LOSSES_PER_TICK: usize = 1_000;

/// A worker's heartbeat came over its session with this master.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HeartbeatCame(pub HeardHeartbeat);

/// Another master passes on what it heard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HeartbeatsPassed {
    pub from: u64,
    pub heard: Vec<HeardHeartbeat>,
}

/// The membership leader acknowledges heartbeats that this master passed on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HeartbeatsSeen {
    pub leader: u64,
    pub term: u64,
    pub lease: Span,
    pub seen: Vec<(Name, u64)>,
}

impl MembershipActor {
    pub(super) fn schedule_tick(ctx: &mut Context<Self>) {
        // Armed from now, so that ticks missed in a stall collapse into one.
        ctx.run_later(ctx.paced(TICK), |membership, ctx| {
            membership.on_tick();
            MembershipActor::schedule_tick(ctx);
        });
    }

    fn on_tick(&mut self) {
        let now = self.clock.boot();
        self.tell();
        self.answer();
        if let Some(journal) = self.journal() {
            journal.press();
            journal.flush();
        }
        match &mut self.epoch {
            None => self.pass_on(),
            Some(epoch) => {
                self.heard.forget(now);
                if epoch.listening.tick(now) {
                    warn!(self.log, "this master stood still; for a moment it declares nobody lost");
                }
                let beats = epoch.listening.begin_round(now);
                if self.mutant.is(Mutant::RenewsLeasesAlone) {
                    return self.renew_alone(beats, now);
                }
                if !beats.is_empty() {
                    epoch.journal.confirm_then(vec![Effect::HeartbeatsSeen(beats)]);
                }
                self.tend_settings(now);
                self.declare_losses(now);
            }
        }
    }

    /// Without a quorum's word; only a mutant does that.
    fn renew_alone(&mut self, beats: Vec<Beat>, now: Span) {
        self.acknowledge(beats);
        self.tend_settings(now);
        self.declare_losses(now);
    }

    /// Only the newest heartbeat of each worker, once a tick.
    fn pass_on(&mut self) {
        self.heard.forget(self.clock.boot());
        let seen = self.leaders.of(MEMBERSHIP);
        let Some(leader) = seen.leader.filter(|leader| *leader != self.me) else { return };
        let mut heard = self.heard.untold((leader, seen.term)).into_iter().peekable();
        while heard.peek().is_some() {
            let page = heard.by_ref().take(HEARTBEATS_PER_FRAME).collect();
            self.post.to_master(leader, PeerFrame::Heartbeats(page));
        }
    }

    fn hear(&mut self, heard_by: u64, HeardHeartbeat { worker, heartbeat }: HeardHeartbeat) {
        let now = self.clock.boot();
        if heard_by == self.me {
            self.heard.note(HeardHeartbeat { worker: worker.clone(), heartbeat: heartbeat.clone() }, now);
        }
        let Some(epoch) = &mut self.epoch else { return };
        if epoch.is_alive(&worker, heartbeat.incarnation) {
            epoch.listening.hear(heard_by, &worker, heartbeat.incarnation, heartbeat.sequence, now);
        }
        if heard_by != self.me
            && let Some(dispatcher) = self.post.dispatcher()
        {
            let heard_at = self.clock.wall();
            let _ = dispatcher.send(HeartbeatHeard { worker, heartbeat, heard_at });
        }
    }

    /// A new leader begins with what came to it while nobody led: the worker may be in a pause by now.
    pub(super) fn hear_what_was_kept(&mut self) {
        let (now, kept) = (self.clock.boot(), self.heard.kept());
        let Some(epoch) = &mut self.epoch else { return };
        for HeardHeartbeat { worker, heartbeat: Heartbeat { incarnation, sequence, .. } } in kept {
            if epoch.is_alive(&worker, incarnation) {
                epoch.listening.hear(self.me, &worker, incarnation, sequence, now);
            }
        }
    }

    /// A quorum has confirmed this leader after these came. Those who were lost meanwhile hear nothing.
    pub(super) fn acknowledge(&mut self, beats: Vec<Beat>) {
        let lease = self.lease_in_force();
        let Some(epoch) = &mut self.epoch else { return };
        epoch.listening.round_over();
        let Some(lease) = lease else { return };
        let term = epoch.journal.term();
        let speaks_for = SpeaksFor::Group { group: MEMBERSHIP, term };
        let mut passed: BTreeMap<u64, Vec<(Name, u64)>> = BTreeMap::new();
        for beat in beats.into_iter().filter(|beat| epoch.is_alive(&beat.worker, beat.incarnation)) {
            // The own session is tried in any case: an acknowledgement that comes twice does no harm.
            let frame = ToWorker::HeartbeatSeen { sequence: beat.sequence, lease, leader: self.me };
            Meter::add(&self.post.meter().leases_renewed, 1);
            self.post.to_worker(speaks_for, &beat.worker, &frame);
            for master in beat.heard_by.iter().filter(|master| **master != self.me) {
                passed.entry(*master).or_default().push((beat.worker.clone(), beat.sequence));
            }
        }
        for (master, seen) in passed {
            self.post.to_master(master, PeerFrame::HeartbeatsSeen { term, lease, seen });
        }
    }

    /// Writes who has been silent for too long.
    fn declare_losses(&mut self, now: Span) {
        let Some(epoch) = &mut self.epoch else { return };
        let Some(settings) = epoch.settings else { return };
        if settings.leases.in_force == Leases::NotKept || epoch.journal.under_pressure() {
            return;
        }
        let limit = match (self.mutant, settings.leases.asked) {
            (mutant, _) if mutant.is(Mutant::DeclaresLossEarly) => Span(settings.leases.outlasting.0 / 4),
            (mutant, Leases::Kept(terms)) if mutant.is(Mutant::ShortensAtOnce) => terms.declare_lost,
            _ => settings.leases.outlasting,
        };
        let lost: Vec<WorkerRow> =
            epoch.decided.values().filter_map(|row| epoch.after_silence(row, limit, now)).collect();
        if lost.is_empty() {
            return;
        }
        let mut turn = Turn::default();
        for row in lost.into_iter().take(LOSSES_PER_TICK) {
            sometimes!("membership: a worker was declared lost");
            Meter::add(&self.post.meter().workers_lost, 1);
            warn!(self.log, "worker is lost"; "worker" => %row.name, "through" => row.lost_through,
                "incarnation" => row.incarnation, "silent_for" => %limit);
            turn.writes.push(Write::Put { key: row::key::worker(&row.name), value: row.encode() });
            epoch.decided.insert(row.name.clone(), Arc::new(row));
        }
        epoch.journal.hand_in(turn);
        epoch.journal.flush();
    }
}

impl Epoch {
    fn is_alive(&self, worker: &Name, incarnation: hortator_core::id::Incarnation) -> bool {
        self.decided
            .get(worker)
            .is_some_and(|row| row.incarnation == incarnation && row.lost_through < incarnation)
    }

    /// The worker's row when silence has lasted for `limit`: of its present life, or of those before it, whose death
    /// its registration could not prove.
    fn after_silence(&self, row: &WorkerRow, limit: Span, now: Span) -> Option<WorkerRow> {
        let lasted = |silence: Option<Span>| silence.is_some_and(|silence| silence >= limit);
        if row.lost_through >= row.incarnation {
            return None;
        }
        if lasted(self.listening.silence(&row.name, row.incarnation, now)) {
            // And with it what its spool held: nobody can wait for a host that is gone.
            return Some(WorkerRow { lost_through: row.incarnation, spooled: Vec::new(), ..row.clone() });
        }
        let before = row.incarnation - 1;
        let lost =
            row.lost_through < before && lasted(self.listening.silence_before_this_life(&row.name, now));
        lost.then(|| WorkerRow { lost_through: before, ..row.clone() })
    }
}

impl Handler<HeartbeatCame> for MembershipActor {
    type Result = ();

    fn handle(&mut self, HeartbeatCame(heard): HeartbeatCame, _: &mut Context<Self>) {
        self.hear(self.me, heard);
    }
}

impl Handler<HeartbeatsPassed> for MembershipActor {
    type Result = ();

    fn handle(&mut self, HeartbeatsPassed { from, heard }: HeartbeatsPassed, _: &mut Context<Self>) {
        if self.epoch.is_none() {
            return debug!(self.log, "heartbeats came to a master that does not lead"; "from" => from);
        }
        heard.into_iter().for_each(|heard| self.hear(from, heard));
    }
}

impl Handler<HeartbeatsSeen> for MembershipActor {
    type Result = ();

    fn handle(&mut self, message: HeartbeatsSeen, _: &mut Context<Self>) {
        let HeartbeatsSeen { leader, term, lease, seen } = message;
        let speaks_for = SpeaksFor::Group { group: MEMBERSHIP, term };
        for (worker, sequence) in seen {
            self.post.to_worker(speaks_for, &worker, &ToWorker::HeartbeatSeen { sequence, lease, leader });
        }
    }
}
