//! The agent's decisions: what comes in goes through here, what is to be done comes out as effects. Pure.
//! Must not know actors, sockets, files or processes; times come with the inputs, randomness from a named stream.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::event::{AttemptEnd, AttemptResult, StopCause};
use hortator_core::id::{AttemptId, Fence, Incarnation, Name, RunId, WorkerRef};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{
    FromWorker, Heartbeat, LogRequest, NodeId, Program, Registration, Report, RunAttempt, StopAttempt,
    ToWorker, Word, WorkerProfile,
};
use hortator_raft::Entropy;

use super::launch::launch_spec;
use super::leaders::{Hearing, Leaders};
use super::ledger::{Key, Ledger, Standing};
use super::life::{Audience, Lease, Life, Stage};
use super::reports::Reports;
use crate::seam::LaunchSpec;

/// The moment at which an input is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) boot: Span,
    pub(crate) wall: Timestamp,
}

#[derive(Debug)]
pub(crate) enum Input {
    Frame {
        from: NodeId,
        frame: ToWorker,
    },
    SessionOpened(NodeId),
    SessionClosed(NodeId),
    AttemptOver {
        attempt: AttemptId,
        fence: Fence,
        end: AttemptEnd,
        log_bytes_dropped: u64,
    },
    WardenGone,
    WardenReady {
        earlier_lives_dead: bool,
    },
}

/// To be done in this order.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Append to the spool, before what follows is sent.
    Keep(Vec<Report>),
    Send {
        to: NodeId,
        frame: FromWorker,
    },
    /// A heartbeat that lacks the host's figures.
    Beat {
        to: Vec<NodeId>,
        heartbeat: Heartbeat,
    },
    Start(Box<LaunchSpec>),
    Stop {
        attempt: AttemptId,
        fence: Fence,
        cause: StopCause,
    },
    Kill {
        attempt: AttemptId,
        fence: Fence,
    },
    /// The warden is gone, so all processes are.
    ForgetAttempts,
    SetDeadline(Option<Span>),
    RunEnded(RunId),
    ReadLog {
        from: NodeId,
        request: LogRequest,
    },
    /// For the log of the agent.
    LifeOver {
        incarnation: Option<Incarnation>,
        why: &'static str,
    },
    Registered {
        incarnation: Incarnation,
    },
}

/// What was dropped without a word, and why; for `Observe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Ignored {
    /// For another incarnation, or before the registration.
    pub other_life: u64,
    /// From a leader of a lower term than seen.
    pub old_term: u64,
    /// Without a live lease.
    pub no_lease: u64,
    /// Too many unacknowledged reports.
    pub spool_full: u64,
}

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
    pub(crate) ignored: Ignored,
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
            ignored: Ignored::default(),
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
            }
            Input::AttemptOver {
                attempt,
                fence,
                end,
                log_bytes_dropped,
            } => {
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
        if let Some(session) = self.life.registration_due(now.boot, !self.sessions.is_empty()) {
            self.send_all(|machine| FromWorker::Register(machine.registration(session)), out);
        }
        if let Some((sequence, audience)) = self.life.heartbeat_due(now.boot) {
            self.beat(sequence, audience, out);
        }
        for shard in self.reports.shards() {
            let Some(leader) = self
                .leaders
                .of(shard)
                .filter(|leader| self.sessions.contains(leader))
            else {
                continue;
            };
            for reports in self.reports.due(shard, now.boot) {
                out.push(Effect::Send {
                    to: leader.clone(),
                    frame: FromWorker::Reports(reports),
                });
            }
        }
    }

    fn on_frame(&mut self, from: &NodeId, frame: ToWorker, now: Now, out: &mut Vec<Effect>) {
        match frame {
            ToWorker::Registered {
                session,
                incarnation,
                cluster: _,
            } => {
                self.on_registered(from, session, incarnation, now, out);
            }
            ToWorker::Leads {
                shard,
                term,
                watermark,
            } => {
                if self.hear(from, shard, term) != Hearing::Stale {
                    self.raise_watermark(watermark, out);
                }
            }
            ToWorker::Run(attempts) => attempts
                .into_iter()
                .for_each(|attempt| self.on_run(from, attempt, now, out)),
            ToWorker::Stop(attempts) => attempts.iter().for_each(|attempt| self.on_stop(attempt, out)),
            ToWorker::Ask {
                incarnation,
                attempts,
            } => self.on_ask(from, incarnation, &attempts, out),
            ToWorker::Acknowledge { reports, watermark } => {
                for (attempt, fence) in reports {
                    self.on_acknowledged((fence, attempt));
                }
                self.raise_watermark(watermark, out);
            }
            ToWorker::HeartbeatSeen { sequence, lease } => {
                match self.life.on_heartbeat_seen(from, sequence, lease, now.boot) {
                    Some(Lease::Until(deadline)) => out.push(Effect::SetDeadline(Some(deadline))),
                    Some(Lease::Unlimited | Lease::Awaited { .. }) => out.push(Effect::SetDeadline(None)),
                    None => {}
                }
            }
            ToWorker::RunsEnded(runs) => {
                let quiet = |run: &RunId| {
                    !self
                        .ledger
                        .as_ref()
                        .is_some_and(|ledger| ledger.runs_any_of(*run))
                };
                out.extend(runs.into_iter().filter(quiet).map(Effect::RunEnded));
            }
            ToWorker::ReadLog(request) => out.push(Effect::ReadLog {
                from: from.clone(),
                request,
            }),
        }
    }

    fn on_session_opened(&mut self, peer: NodeId, now: Now, out: &mut Vec<Effect>) {
        if !matches!(peer, NodeId::Master(_)) {
            return;
        }
        if self.life.incarnation().is_some() {
            out.push(Effect::Send {
                to: peer.clone(),
                frame: self.inventory(),
            });
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
        session: u128,
        incarnation: Incarnation,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !self.life.on_registered(from, session, incarnation, now.boot) {
            return;
        }
        self.ledger = Some(Ledger::new(incarnation, self.profile.slots));
        out.push(Effect::Registered { incarnation });
        if let Stage::Registered {
            lease: Lease::Awaited { until, .. },
            ..
        } = self.life.stage()
        {
            out.push(Effect::SetDeadline(Some(*until)));
        }
        self.send_all(Machine::inventory, out);
    }

    /// Decides the fence, or says again what was decided. What it ignores it does not decide: a leader in doubt asks.
    fn on_run(&mut self, from: &NodeId, run: RunAttempt, now: Now, out: &mut Vec<Effect>) {
        let key = (run.fence, run.attempt);
        if !self.is_ours(run.incarnation) {
            self.ignored.other_life += 1;
            return;
        }
        if self.hear(from, run.fence.shard, run.term) == Hearing::Stale {
            self.ignored.old_term += 1;
            return;
        }
        let refused = match self.standing(key) {
            _ if self.reports.holds(key) => return self.reports.send_again(key),
            Standing::Running | Standing::Settled => return,
            Standing::NeverSeen | Standing::BelowFloor if self.reports.is_full() => {
                self.ignored.spool_full += 1;
                return;
            }
            Standing::BelowFloor => Some("its fence is below the watermark, so it has ended".to_owned()),
            Standing::NeverSeen if !self.life.may_start(now.boot) => {
                self.ignored.no_lease += 1;
                return;
            }
            Standing::NeverSeen if run.program == Program::Noop => return self.finish_noop(key, now),
            Standing::NeverSeen => self
                .ledger_mut()
                .admit(key, run.slots)
                .err()
                .map(|no_room| no_room.to_string()),
        };
        match refused {
            Some(why) => self.say(key, Word::Refused { why }),
            None => out.extend(launch_spec(run, now.wall).map(|spec| Effect::Start(Box::new(spec)))),
        }
    }

    fn on_stop(&mut self, stop: &StopAttempt, out: &mut Vec<Effect>) {
        let (attempt, fence, cause) = (stop.attempt, stop.fence, stop.cause);
        match self.answer(
            stop.incarnation,
            (fence, attempt),
            "it was stopped before it came",
        ) {
            Some(Standing::Running) => out.push(Effect::Stop {
                attempt,
                fence,
                cause,
            }),
            Some(Standing::Settled | Standing::BelowFloor | Standing::NeverSeen) | None => {}
        }
    }

    fn on_ask(
        &mut self,
        from: &NodeId,
        of: Incarnation,
        attempts: &[(AttemptId, Fence)],
        out: &mut Vec<Effect>,
    ) {
        let mut runs_any = false;
        for (attempt, fence) in attempts {
            let standing = self.answer(of, (*fence, *attempt), "it never came before it was asked for");
            runs_any |= standing == Some(Standing::Running);
        }
        if runs_any {
            out.push(Effect::Send {
                to: from.clone(),
                frame: self.inventory(),
            });
        }
    }

    /// Says what became of an attempt; one that was never seen is decided now, as refused. None when that is not for
    /// this life to say.
    fn answer(&mut self, of: Incarnation, key: Key, why: &str) -> Option<Standing> {
        if self.reports.holds(key) {
            self.reports.send_again(key);
            return Some(Standing::Settled);
        }
        if !self.is_ours(of) {
            self.ignored.other_life += 1;
            return None;
        }
        let standing = self.standing(key);
        match standing {
            Standing::Running | Standing::Settled => {}
            Standing::NeverSeen | Standing::BelowFloor if self.reports.is_full() => {
                self.ignored.spool_full += 1
            }
            Standing::NeverSeen | Standing::BelowFloor => {
                self.say(key, Word::Refused { why: why.to_owned() })
            }
        }
        Some(standing)
    }

    fn on_attempt_over(&mut self, key: Key, end: AttemptEnd) {
        if self.ledger.as_mut().is_some_and(|ledger| ledger.end(key)) {
            self.say(key, Word::Ended(end));
        }
    }

    /// Committed: whatever leader says so, it stays true.
    fn on_acknowledged(&mut self, key: Key) {
        if self.reports.acknowledge(key)
            && let Some(ledger) = &mut self.ledger
        {
            ledger.settle(key);
        }
    }

    /// Every process is gone and none says how it ended: only the committed loss of this incarnation ends them.
    fn on_warden_gone(&mut self, out: &mut Vec<Effect>) {
        out.push(Effect::LifeOver {
            incarnation: self.life.incarnation(),
            why: "the warden is gone",
        });
        out.push(Effect::ForgetAttempts);
        self.warden = false;
        self.ledger = None;
        self.life.end();
    }

    fn judge_lease(&mut self, now: Now, out: &mut Vec<Effect>) {
        let runs_any = self
            .ledger
            .as_ref()
            .is_some_and(|ledger| ledger.running().len() > 0);
        if !self.life.is_over(now.boot, runs_any) {
            return;
        }
        out.push(Effect::LifeOver {
            incarnation: self.life.incarnation(),
            why: "the lease has expired",
        });
        let running = self.ledger.iter().flat_map(Ledger::running);
        out.extend(running.map(|(attempt, fence)| Effect::Kill { attempt, fence }));
        self.life.end();
        self.begin_life_if_possible(now);
    }

    /// A life begins when a warden is there and nothing of the last life runs.
    fn begin_life_if_possible(&mut self, now: Now) {
        let quiet = self
            .ledger
            .as_ref()
            .is_none_or(|ledger| ledger.running().len() == 0);
        if matches!(self.life.stage(), Stage::Ending) && self.warden && quiet {
            self.ledger = None;
            let mut draw = || u128::from(self.entropy.next_u64("agent session"));
            let session = (draw() << 64) | draw();
            self.life.begin(session, now.boot);
        }
    }

    fn finish_noop(&mut self, key: Key, now: Now) {
        let result = AttemptResult::Succeeded {
            outputs: BTreeMap::new(),
        };
        self.say(
            key,
            Word::Ended(AttemptEnd {
                started_at: now.wall,
                finished_at: now.wall,
                result,
            }),
        );
    }

    /// The worker's word for one fence, in the name of the ledger's life.
    fn say(&mut self, (fence, attempt): Key, word: Word) {
        let incarnation = self
            .ledger
            .as_ref()
            .expect("who decides has a ledger")
            .incarnation;
        let report = Report {
            attempt,
            fence,
            worker: WorkerRef {
                name: self.name.clone(),
                incarnation,
            },
            word,
        };
        if self.reports.add(report.clone()) {
            self.fresh.push(report);
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
        out.extend(
            stray
                .into_iter()
                .map(|(fence, attempt)| Effect::Kill { attempt, fence }),
        );
    }

    fn is_ours(&self, incarnation: Incarnation) -> bool {
        self.life.incarnation() == Some(incarnation)
    }

    fn standing(&self, key: Key) -> Standing {
        self.ledger
            .as_ref()
            .expect("a registered life has a ledger")
            .standing(key)
    }

    fn ledger_mut(&mut self) -> &mut Ledger {
        self.ledger.as_mut().expect("a registered life has a ledger")
    }

    fn registration(&self, session: u128) -> Registration {
        Registration {
            name: self.name.clone(),
            session,
            facts: self.profile.clone(),
            earlier_lives_dead: self.earlier_lives_dead,
            spooled: self.reports.keys(),
        }
    }

    fn inventory(&self) -> FromWorker {
        let incarnation = self
            .life
            .incarnation()
            .expect("only a registered life has an inventory");
        let running = self.ledger.iter().flat_map(Ledger::running).collect();
        FromWorker::Inventory {
            incarnation,
            running,
            spooled: self.reports.keys(),
        }
    }

    fn send_all(&self, frame: impl Fn(&Machine) -> FromWorker, out: &mut Vec<Effect>) {
        out.extend(self.sessions.iter().map(|to| Effect::Send {
            to: to.clone(),
            frame: frame(self),
        }));
    }

    fn beat(&self, sequence: u64, audience: Audience, out: &mut Vec<Effect>) {
        let to = match audience {
            Audience::Leader(leader) if self.sessions.contains(&leader) => vec![leader],
            Audience::Leader(_) | Audience::All => self.sessions.iter().cloned().collect(),
        };
        let heartbeat = Heartbeat {
            incarnation: self
                .life
                .incarnation()
                .expect("only a registered life has heartbeats"),
            sequence,
            running_slots: self.ledger.as_ref().map_or(0, Ledger::slots_taken),
            running: self
                .ledger
                .as_ref()
                .map_or(0, |ledger| ledger.running().len() as u32),
            log_bytes_dropped: self.log_bytes_dropped,
            ..Heartbeat::default()
        };
        out.push(Effect::Beat { to, heartbeat });
    }

    pub(crate) fn sessions(&self) -> impl ExactSizeIterator<Item = &NodeId> {
        self.sessions.iter()
    }
}
