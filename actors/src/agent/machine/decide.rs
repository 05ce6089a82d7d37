//! What the agent decides about one attempt: start it, refuse it, stop it, or say again what was decided.

use std::collections::BTreeMap;

use hortator_core::dispatch::{Amounts, Resource};
use hortator_core::event::{AttemptEnd, AttemptResult};
use hortator_core::id::{AttemptId, Fence, Incarnation, WorkerRef};
use hortator_proto::frame::{FromWorker, NodeId, Program, Report, RunAttempt, StopAttempt, Word};

use super::{Effect, Hearing, Key, Ledger, Machine, Now, Stage, Standing};
use crate::agent::launch::launch_spec;
use crate::agent::ledger::Part;
use crate::mutant::Mutant;

impl Machine {
    /// Decides the fence, or says again what was decided. What it ignores it does not decide: a leader in doubt asks.
    pub(super) fn on_run(&mut self, from: &NodeId, run: RunAttempt, now: Now, out: &mut Vec<Effect>) {
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
            Standing::NeverSeen => {
                let amounts = run.resources.clone().with(Resource::Slots, u64::from(run.slots));
                let part = match self.mutant.is(Mutant::CountsNoRoom) {
                    true => Part { amounts: Amounts::default(), devices: Vec::new() },
                    false => Part { amounts, devices: run.devices.clone() },
                };
                self.ledger_mut().admit(key, part).err().map(|no_room| no_room.to_string())
            }
        };
        match refused {
            Some(why) => {
                hortator_raft::sometimes!("agent: a dispatch is refused");
                self.say(key, Word::Refused { why });
            }
            None => out.extend(launch_spec(run, now.wall).map(|spec| Effect::Start(Box::new(spec)))),
        }
    }

    pub(super) fn on_stop(&mut self, stop: &StopAttempt, out: &mut Vec<Effect>) {
        let (attempt, fence, cause) = (stop.attempt, stop.fence, stop.cause);
        match self.answer(stop.incarnation, (fence, attempt), "it was stopped before it came") {
            Some(Standing::Running) => out.push(Effect::Stop { attempt, fence, cause }),
            Some(Standing::Settled | Standing::BelowFloor | Standing::NeverSeen) | None => {}
        }
    }

    pub(super) fn on_ask(
        &mut self,
        from: &NodeId,
        of: Incarnation,
        attempts: &[(AttemptId, Fence)],
        out: &mut Vec<Effect>,
    ) {
        let mut running = Vec::new();
        for (attempt, fence) in attempts {
            let standing = self.answer(of, (*fence, *attempt), "it never came before it was asked for");
            if standing == Some(Standing::Running) {
                running.push((*attempt, *fence));
            }
        }
        if !running.is_empty() {
            let frame = FromWorker::Running { incarnation: of, attempts: running };
            out.push(Effect::Send { to: from.clone(), frame });
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
                hortator_raft::sometimes!("agent: a fence that it never saw is refused");
                self.say(key, Word::Refused { why: why.to_owned() })
            }
        }
        Some(standing)
    }

    /// What an expired lease has killed did not end by itself, and no word is given for it: it is lost with its life,
    /// and so repeated where its task allows that.
    pub(super) fn on_attempt_over(&mut self, key: Key, end: AttemptEnd) {
        let known = self.ledger.as_mut().is_some_and(|ledger| ledger.end(key));
        let was_killed = matches!(end.result, AttemptResult::Signalled { .. })
            && matches!(self.life.stage(), Stage::Ending);
        if known && !was_killed {
            self.say(key, Word::Ended(end));
        }
    }

    /// Committed: whatever leader says so, it stays true.
    pub(super) fn on_acknowledged(&mut self, key: Key) {
        if self.reports.acknowledge(key)
            && let Some(ledger) = &mut self.ledger
            && !self.mutant.is(Mutant::ForgetsWhatItDecided)
        {
            ledger.settle(key);
        }
    }

    fn finish_noop(&mut self, key: Key, now: Now) {
        let result = AttemptResult::Succeeded { outputs: BTreeMap::new() };
        self.say(key, Word::Ended(AttemptEnd { started_at: now.wall, finished_at: now.wall, result }));
    }

    /// The worker's word for one fence, in the name of the ledger's life.
    fn say(&mut self, (fence, attempt): Key, word: Word) {
        let incarnation = self.ledger.as_ref().expect("who decides has a ledger").incarnation;
        let report =
            Report { attempt, fence, worker: WorkerRef { name: self.name.clone(), incarnation }, word };
        if self.reports.add(report.clone()) {
            self.fresh.push(report);
        }
    }

    fn is_ours(&self, incarnation: Incarnation) -> bool {
        let is_ours = self.life.incarnation() == Some(incarnation);
        assert!(is_ours || !self.mutant.is(Mutant::PanicsAtAnotherLife), "a frame for another life");
        is_ours
    }

    fn standing(&self, key: Key) -> Standing {
        self.ledger.as_ref().expect("a registered life has a ledger").standing(key)
    }

    fn ledger_mut(&mut self) -> &mut Ledger {
        self.ledger.as_mut().expect("a registered life has a ledger")
    }
}
