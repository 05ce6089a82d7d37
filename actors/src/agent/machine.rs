//! The agent's decisions: what comes in goes through here, what is to be done comes out as effects. Pure.
//! Must not know actors, sockets, files or processes; times come with the inputs, randomness from a named stream.

mod decide;
mod effect;

use std::collections::BTreeSet;

use hortator_core::dispatch::Resource;
use hortator_core::id::{Fence, Incarnation, Name, RunId};
use hortator_core::time::Span;
use hortator_proto::frame::{
    FromWorker, Heartbeat, LifeId, NodeId, Registration, Report, ToWorker, WorkerProfile,
};
use hortator_raft::Entropy;

pub use self::effect::Ignored;
pub(crate) use self::effect::{Effect, Input, Now};
use super::leaders::{Hearing, Leaders};
use super::ledger::{Key, Ledger, Standing};
use super::life::{Audience, Lease, Life, Stage};
use super::reports::Reports;
use crate::mutant::Mutant;

/// Everything the agent knows.
pub(crate) struct Machine {
    pub(crate) name: Name,
    profile: WorkerProfile,
    earlier_lives_dead: bool,
    warden: bool,
    entropy: Box<dyn Entropy>,
    pub(crate) life: Life,
    /// Of the present life, from its registration until nothing of it runs.
    pub(crate) ledger: Option<Ledger>,
    pub(crate) reports: Reports,
    leaders: Leaders,
    sessions: BTreeSet<NodeId>,
    /// Decided in this turn, to be kept and sent at its end.
    fresh: Vec<Report>,
    log_bytes_dropped: u64,
    intake: Intake,
    pub(crate) ignored: Ignored,
    pub(crate) mutant: Mutant,
}

/// Whether attempts are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    Open,
    /// What runs goes on; whatever else comes is refused.
    Closed,
}

impl Machine {
    /// `spooled`: the words that earlier lives left unacknowledged.
    pub(crate) fn new(
        name: Name,
        profile: WorkerProfile,
        earlier_lives_dead: bool,
        spooled: Vec<Report>,
        entropy: Box<dyn Entropy>,
        now: Now,
    ) -> Machine {
        let mut reports = Reports::default();
        for report in spooled {
            reports.add(report);
        }
        let mut machine = Machine {
            name,
            profile,
            earlier_lives_dead,
            warden: true,
            entropy,
            life: Life::new(now.boot),
            ledger: None,
            reports,
            leaders: Leaders::default(),
            sessions: BTreeSet::new(),
            fresh: Vec::new(),
            log_bytes_dropped: 0,
            intake: Intake::Open,
            ignored: Ignored::default(),
            mutant: Mutant::None,
        };
        machine.begin_life_if_possible(now);
        machine
    }

    /// One input. An expired lease is noticed before anything else.
    pub(crate) fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Effect>) {
        self.judge_lease(now, out);
        match input {
            Input::Frame { from, frame } => self.on_frame(&from, frame, now, out),
            Input::SessionOpened(peer) => self.on_session_opened(peer, now, out),
            Input::SessionClosed(peer) => {
                self.sessions.remove(&peer);
                if self.mutant.is(Mutant::EndsWithAMaster) && self.life.incarnation().is_some() {
                    self.end_life("a master is gone", now, out);
                }
            }
            Input::AttemptOver { attempt, fence, end, log_bytes_dropped } => {
                self.log_bytes_dropped += log_bytes_dropped;
                self.on_attempt_over((fence, attempt), end);
                self.begin_life_if_possible(now);
            }
            Input::WardenGone => self.on_warden_gone(out),
            Input::WardenReady { earlier_lives_dead } => {
                self.earlier_lives_dead = earlier_lives_dead;
                self.warden = true;
                self.begin_life_if_possible(now);
            }
        }
    }

    /// The end of a turn, after all inputs at hand and at each tick: what the time and the turn have made due.
    pub(crate) fn flush(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.judge_lease(now, out);
        if !self.fresh.is_empty() {
            out.push(Effect::Keep(std::mem::take(&mut self.fresh)));
        }
        if let Some(life) = self.life.registration_due(now.boot, !self.sessions.is_empty()) {
            self.send_all(|machine| FromWorker::Register(machine.registration(life)), out);
        }
        // In one second of fifteen; a lease lasts ten.
        let too_early = || self.mutant.is(Mutant::BeatsLate) && !(now.boot.0 / 1_000_000).is_multiple_of(15);
        if !too_early()
            && let Some((sequence, audience)) = self.life.heartbeat_due(now.boot)
        {
            self.beat(sequence, audience, out);
        }
        for shard in self.reports.shards() {
            let Some(leader) = self.leaders.of(shard).filter(|leader| self.sessions.contains(leader)) else {
                continue;
            };
            for reports in self.reports.due(shard, now.boot) {
                out.push(Effect::Send { to: leader.clone(), frame: FromWorker::Reports(reports) });
            }
        }
    }

    fn on_frame(&mut self, from: &NodeId, frame: ToWorker, now: Now, out: &mut Vec<Effect>) {
        match frame {
            ToWorker::Registered { life, incarnation, cluster: _ } => {
                self.on_registered(from, life, incarnation, now, out);
            }
            ToWorker::Leads { shard, term, watermark } => {
                if self.hear(from, shard, term) != Hearing::Stale {
                    self.raise_watermark(watermark, out);
                }
            }
            ToWorker::Run(attempts) => {
                attempts.into_iter().for_each(|attempt| self.on_run(from, attempt, now, out))
            }
            ToWorker::Stop(attempts) => attempts.iter().for_each(|attempt| self.on_stop(attempt, out)),
            ToWorker::Ask { incarnation, attempts } => self.on_ask(from, incarnation, &attempts, out),
            ToWorker::Acknowledge { reports, watermark } => {
                for (attempt, fence) in reports {
                    self.on_acknowledged((fence, attempt));
                }
                self.raise_watermark(watermark, out);
            }
            ToWorker::HeartbeatSeen { sequence, lease, leader } => {
                let leader = NodeId::Master(leader);
                let lease = if self.mutant.is(Mutant::HasALeaseForEver) { Span::ZERO } else { lease };
                match self.life.on_heartbeat_seen(&leader, sequence, lease, now.boot) {
                    Some(Lease::Until(deadline)) => out.push(Effect::SetDeadline(Some(deadline))),
                    Some(Lease::Unlimited | Lease::Awaited { .. }) => out.push(Effect::SetDeadline(None)),
                    None => {}
                }
            }
            ToWorker::RunsEnded(runs) => {
                let quiet =
                    |run: &RunId| !self.ledger.as_ref().is_some_and(|ledger| ledger.runs_any_of(*run));
                out.extend(runs.into_iter().filter(quiet).map(Effect::RunEnded));
            }
            // The transport has been told already.
            ToWorker::Members { .. } => {}
            ToWorker::ReadLog(request) => out.push(Effect::ReadLog { from: from.clone(), request }),
        }
    }

    fn on_session_opened(&mut self, peer: NodeId, now: Now, out: &mut Vec<Effect>) {
        if !matches!(peer, NodeId::Master(_)) {
            return;
        }
        if self.life.incarnation().is_some() {
            out.push(Effect::Send { to: peer.clone(), frame: self.inventory() });
        }
        for shard in self.leaders.led_by(&peer) {
            self.reports.send_all_again(shard);
        }
        self.sessions.insert(peer);
        self.life.hasten(now.boot);
    }

    fn on_registered(
        &mut self,
        from: &NodeId,
        life: LifeId,
        incarnation: Incarnation,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !self.life.on_registered(from, life, incarnation, now.boot) {
            return;
        }
        let mut ledger = Ledger::new(incarnation, self.profile.total());
        if self.intake == Intake::Closed {
            ledger.close();
        }
        self.ledger = Some(ledger);
        out.push(Effect::Registered { incarnation });
        if let Stage::Registered { lease: Lease::Awaited { until, .. }, .. } = self.life.stage() {
            out.push(Effect::SetDeadline(Some(*until)));
        }
        self.send_all(Machine::inventory, out);
    }

    /// Every process is gone and none says how it ended: only the committed loss of this incarnation ends them.
    fn on_warden_gone(&mut self, out: &mut Vec<Effect>) {
        out.push(Effect::LifeOver { incarnation: self.life.incarnation(), why: "the warden is gone" });
        out.push(Effect::ForgetAttempts);
        self.warden = false;
        self.ledger = None;
        self.life.end();
    }

    fn judge_lease(&mut self, now: Now, out: &mut Vec<Effect>) {
        let runs_any = self.ledger.as_ref().is_some_and(|ledger| ledger.running().len() > 0);
        if !self.life.is_over(now.boot, runs_any) {
            return;
        }
        hortator_raft::sometimes!("agent: a lease expired");
        self.end_life("the lease has expired", now, out);
    }

    fn end_life(&mut self, why: &'static str, now: Now, out: &mut Vec<Effect>) {
        out.push(Effect::LifeOver { incarnation: self.life.incarnation(), why });
        let running = self.ledger.iter().flat_map(Ledger::running);
        out.extend(running.map(|(attempt, fence)| Effect::Kill { attempt, fence }));
        self.life.end();
        self.begin_life_if_possible(now);
    }

    /// A life begins when a warden is there and nothing of the last life runs.
    fn begin_life_if_possible(&mut self, now: Now) {
        let quiet = self.ledger.as_ref().is_none_or(|ledger| ledger.running().len() == 0);
        if matches!(self.life.stage(), Stage::Ending) && self.warden && quiet {
            self.ledger = None;
            let mut draw = || u128::from(self.entropy.next_u64("agent life"));
            let nonce = (draw() << 64) | draw();
            self.life.begin(nonce, now.boot, now.wall);
        }
    }

    fn hear(&mut self, from: &NodeId, shard: u32, term: u64) -> Hearing {
        let hearing = self.leaders.hear(from, shard, term);
        if hearing == Hearing::New {
            self.reports.send_all_again(shard);
        }
        hearing
    }

    fn raise_watermark(&mut self, watermark: Fence, out: &mut Vec<Effect>) {
        let Some(ledger) = &mut self.ledger else { return };
        let stray = ledger.raise_watermark(watermark);
        out.extend(stray.into_iter().map(|(fence, attempt)| Effect::Kill { attempt, fence }));
    }

    fn registration(&self, life: LifeId) -> Registration {
        Registration {
            name: self.name.clone(),
            life,
            facts: Box::new(self.profile.clone()),
            earlier_lives_dead: self.earlier_lives_dead,
            spooled: match self.mutant.is(Mutant::ForgetsItsSpool) {
                true => Vec::new(),
                false => self.reports.keys(),
            },
        }
    }

    fn inventory(&self) -> FromWorker {
        let incarnation = self.life.incarnation().expect("only a registered life has an inventory");
        let running = self.ledger.iter().flat_map(Ledger::running).collect();
        FromWorker::Inventory { incarnation, running, spooled: self.reports.keys() }
    }

    fn send_all(&self, frame: impl Fn(&Machine) -> FromWorker, out: &mut Vec<Effect>) {
        out.extend(self.sessions.iter().map(|to| Effect::Send { to: to.clone(), frame: frame(self) }));
    }

    fn beat(&self, sequence: u64, audience: Audience, out: &mut Vec<Effect>) {
        let to = match audience {
            Audience::Leader(leader) if self.sessions.contains(&leader) => vec![leader],
            Audience::Leader(_) | Audience::All => self.sessions.iter().cloned().collect(),
        };
        let heartbeat = Heartbeat {
            incarnation: self.life.incarnation().expect("only a registered life has heartbeats"),
            sequence,
            running_slots: match self.intake {
                Intake::Open => self.ledger.as_ref().map_or(0, Ledger::slots_taken),
                // A worker that takes nothing looks full, so that nothing is sent only to be refused.
                Intake::Closed => self.profile.slots,
            },
            running: self.ledger.as_ref().map_or(0, |ledger| ledger.running().len() as u32),
            resources: self
                .ledger
                .as_ref()
                .map(|ledger| ledger.taken().clone().with(Resource::Slots, 0))
                .unwrap_or_default(),
            log_bytes_dropped: self.log_bytes_dropped,
            ..Heartbeat::default()
        };
        out.push(Effect::Beat { to, heartbeat });
    }

    /// From now on nothing is started, and the next heartbeat says so.
    pub(crate) fn close_intake(&mut self) {
        self.intake = Intake::Closed;
        if let Some(ledger) = &mut self.ledger {
            ledger.close();
        }
    }

    pub(crate) fn sessions(&self) -> impl ExactSizeIterator<Item = &NodeId> {
        self.sessions.iter()
    }
}
