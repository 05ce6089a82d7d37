//! One life of the agent: its registration, its heartbeats and its lease. Pure; times are arguments.
//! Must not know attempts: whoever owns them asks here whether one may start and whether the life is over.

use std::collections::VecDeque;

use hortator_core::id::Incarnation;
use hortator_core::lease::WORKER_LEASE_MIN;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{LifeId, NodeId};

/// `Register` is repeated on every session until it is answered.
pub(crate) const REGISTER_EVERY: Span = Span::from_millis(500);
/// Default pace of heartbeats to the membership leader.
pub(crate) const HEARTBEAT_EVERY: Span = Span::from_millis(500);
/// Other masters get one heartbeat in so many: enough for a new leader to know the worker's load.
pub(crate) const OTHERS_EVERY: u64 = 4;
/// Without an acknowledgement for this long the membership leader may be another: all masters get every heartbeat.
pub(crate) const LEADER_DOUBTED_AFTER: Span = Span::from_millis(1500);
/// The lease before the first acknowledgement names one, from the sending of the first `Register`. The shortest that
/// a cluster uses, so that it is right everywhere.
pub(crate) const FIRST_LEASE: Span = WORKER_LEASE_MIN;
/// Heartbeats whose acknowledgement still counts: twenty times what a lease of 10 s needs.
const HEARTBEATS_REMEMBERED: usize = 400;

/// Where the agent is in its present life.
#[derive(Debug)]
pub(crate) enum Stage {
    /// What the last life started is being killed, or the warden is gone.
    Ending,
    Registering {
        life: LifeId,
        first_sent: Option<Span>,
        next: Span,
    },
    Registered {
        incarnation: Incarnation,
        lease: Lease,
    },
}

/// Until when the life is believed in, in time since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lease {
    /// No heartbeat has been acknowledged. Nothing may start or run after `until`; at `give_up` the life ends.
    Awaited {
        until: Span,
        give_up: Span,
    },
    Until(Span),
    /// This cluster keeps no leases.
    Unlimited,
}

#[derive(Debug)]
pub(crate) struct Life {
    stage: Stage,
    /// Of the newest registration.
    number: u64,
    /// Who acknowledged last, itself or through another master; at first who answered the registration.
    leader: Option<NodeId>,
    heard_at: Span,
    /// When the heartbeat was sent that was acknowledged last.
    renewed_at: Span,
    /// Rises over all lives on this boot, so that no answer is taken for another life's.
    sequence: u64,
    sent: VecDeque<(u64, Span)>,
    beats: u64,
    next_beat: Span,
}

/// To whom a heartbeat goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    All,
    Leader(NodeId),
}

impl Life {
    /// No life yet; `begin` starts one.
    pub(crate) fn new(now: Span) -> Life {
        Life {
            stage: Stage::Ending,
            number: 0,
            leader: None,
            heard_at: now,
            renewed_at: Span::ZERO,
            sequence: now.0,
            sent: VecDeque::new(),
            beats: 0,
            next_beat: now,
        }
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The number rises over the lives of this process, and by the wall clock over those of the processes before it.
    pub(crate) fn begin(&mut self, nonce: u128, now: Span, wall: Timestamp) {
        self.number = (self.number + 1).max(u64::try_from(wall.0).unwrap_or(0));
        let life = LifeId { number: self.number, nonce };
        self.stage = Stage::Registering { life, first_sent: None, next: now };
        self.sent.clear();
    }

    pub(crate) fn end(&mut self) {
        self.stage = Stage::Ending;
    }

    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        match self.stage {
            Stage::Registered { incarnation, .. } => Some(incarnation),
            Stage::Ending | Stage::Registering { .. } => None,
        }
    }

    /// The life to register, when that is due; the caller sends it to every master it has a session with.
    pub(crate) fn registration_due(&mut self, now: Span, anybody: bool) -> Option<LifeId> {
        match &mut self.stage {
            Stage::Registering { life, first_sent, next } if anybody && now >= *next => {
                first_sent.get_or_insert(now);
                *next = Span(now.0 + REGISTER_EVERY.0);
                Some(*life)
            }
            _ => None,
        }
    }

    /// A new session wants the registration, or a first heartbeat, at once.
    pub(crate) fn hasten(&mut self, now: Span) {
        match &mut self.stage {
            Stage::Registering { next, .. } => *next = now,
            Stage::Registered { .. } => {
                self.next_beat = now;
                self.beats = 0;
            }
            Stage::Ending => {}
        }
    }

    /// The membership leader's answer to a registration; true when it is for this life and the first. Told of one that
    /// is younger, which the wall clock must have been set back for, this life becomes the youngest.
    pub(crate) fn on_registered(
        &mut self,
        from: &NodeId,
        answered: LifeId,
        incarnation: Incarnation,
        now: Span,
    ) -> bool {
        let Stage::Registering { life, first_sent: Some(first_sent), .. } = self.stage else {
            return false;
        };
        if answered != life {
            if answered > life {
                self.number = answered.number.saturating_add(1);
                let life = LifeId { number: self.number, ..life };
                self.stage = Stage::Registering { life, first_sent: None, next: now };
            }
            return false;
        }
        let until = Span(first_sent.0 + FIRST_LEASE.0);
        let lease = Lease::Awaited { until, give_up: Span(now.0 + FIRST_LEASE.0) };
        self.stage = Stage::Registered { incarnation, lease };
        self.leader = Some(from.clone());
        self.heard_at = now;
        self.next_beat = now;
        self.beats = 0;
        true
    }

    /// An acknowledged heartbeat; the new deadline for the warden when it moved.
    pub(crate) fn on_heartbeat_seen(
        &mut self,
        leader: &NodeId,
        sequence: u64,
        granted: Span,
        now: Span,
    ) -> Option<Lease> {
        let Stage::Registered { lease, .. } = &mut self.stage else {
            return None;
        };
        let place = self.sent.iter().position(|(sent, _)| *sent == sequence)?;
        let sent_at = self.sent[place].1;
        self.sent.drain(..=place);
        self.leader = Some(leader.clone());
        self.heard_at = now;
        self.renewed_at = self.renewed_at.max(sent_at);
        let renewed = match granted {
            Span::ZERO => Lease::Unlimited,
            granted => Lease::Until(Span(sent_at.0.saturating_add(granted.0))),
        };
        // Acknowledgements may overtake one another; an older one takes nothing back.
        let kept = matches!((*lease, renewed), (Lease::Until(old), Lease::Until(new)) if new <= old);
        (!kept).then(|| *lease = renewed).map(|()| renewed)
    }

    /// When the heartbeat was sent that was acknowledged last, in time since boot; zero before the first.
    pub(crate) fn renewed_at(&self) -> Span {
        self.renewed_at
    }

    /// Whether a new attempt may start.
    pub(crate) fn may_start(&self, now: Span) -> bool {
        match self.stage {
            Stage::Registered { lease: Lease::Until(until) | Lease::Awaited { until, .. }, .. } => {
                now < until
            }
            Stage::Registered { lease: Lease::Unlimited, .. } => true,
            Stage::Ending | Stage::Registering { .. } => false,
        }
    }

    /// Whether the lease has run out, which is final for this incarnation.
    pub(crate) fn is_over(&self, now: Span, runs_any: bool) -> bool {
        match self.stage {
            Stage::Registered { lease: Lease::Until(until), .. } => now >= until,
            Stage::Registered { lease: Lease::Awaited { until, give_up }, .. } => {
                now >= give_up || (runs_any && now >= until)
            }
            Stage::Registered { lease: Lease::Unlimited, .. } | Stage::Ending | Stage::Registering { .. } => {
                false
            }
        }
    }

    /// The next heartbeat's number and audience, when it is due.
    pub(crate) fn heartbeat_due(&mut self, now: Span) -> Option<(u64, Audience)> {
        if self.incarnation().is_none() || now < self.next_beat {
            return None;
        }
        self.next_beat = Span(now.0 + HEARTBEAT_EVERY.0);
        self.sequence = (self.sequence + 1).max(now.0);
        self.sent.push_back((self.sequence, now));
        if self.sent.len() > HEARTBEATS_REMEMBERED {
            self.sent.pop_front();
        }
        let doubted = now.0 >= self.heard_at.0 + LEADER_DOUBTED_AFTER.0;
        let turn_of_all = self.beats.is_multiple_of(OTHERS_EVERY);
        self.beats += 1;
        let audience = match &self.leader {
            Some(leader) if !doubted && !turn_of_all => Audience::Leader(leader.clone()),
            _ => Audience::All,
        };
        Some((self.sequence, audience))
    }

    pub(crate) fn leader(&self) -> Option<&NodeId> {
        self.leader.as_ref()
    }
}
