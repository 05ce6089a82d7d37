//! Random histories: frames lost, doubled and out of order, processes killed at any moment, restarted with what the
//! spool holds. What must hold in each of them is checked after every step.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::event::StopCause;
use hortator_core::id::{Fence, Incarnation};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{FromWorker, NodeId, Program, Report, StopAttempt, ToWorker, Word};
use proptest::prelude::*;

use super::{Counter, N1, attempt, ended, fence, name, profile, run, script};
use crate::agent::ledger::Key;
use crate::agent::machine::{Effect, Input, Machine, Now};

#[derive(Clone, Debug)]
enum Step {
    /// The leader dispatches a new attempt to the incarnation it knows.
    Dispatch {
        noop: bool,
    },
    /// Any frame ever sent comes now: delayed, doubled or out of order.
    Deliver {
        choice: prop::sample::Index,
    },
    Ask {
        choice: prop::sample::Index,
    },
    Stop {
        choice: prop::sample::Index,
    },
    /// The process of a running attempt ends.
    End {
        choice: prop::sample::Index,
    },
    /// A report that the agent sent reaches the leader and is committed; its acknowledgement is on the way.
    Commit {
        choice: prop::sample::Index,
    },
    Wait {
        millis: u64,
    },
    BreakSession,
    /// kill -9 of agent and warden, and a new agent.
    Restart,
    /// The warden dies alone.
    LoseWarden,
    NewTerm,
}

fn step() -> impl Strategy<Value = Step> {
    let choice = any::<prop::sample::Index>;
    prop_oneof![
        6 => any::<bool>().prop_map(|noop| Step::Dispatch { noop }),
        12 => choice().prop_map(|choice| Step::Deliver { choice }),
        3 => choice().prop_map(|choice| Step::Ask { choice }),
        2 => choice().prop_map(|choice| Step::Stop { choice }),
        6 => choice().prop_map(|choice| Step::End { choice }),
        6 => choice().prop_map(|choice| Step::Commit { choice }),
        4 => (1u64..3000).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::BreakSession),
        1 => Just(Step::Restart),
        1 => Just(Step::LoseWarden),
        1 => Just(Step::NewTerm),
    ]
}

/// The world around one agent: its shard's leader, its processes, its spool, and all frames ever sent to it.
struct World {
    machine: Machine,
    now: Now,
    boots: u64,
    incarnation: Incarnation,
    term: u64,
    index: u64,
    to_agent: Vec<ToWorker>,
    /// Alive at this moment.
    processes: BTreeSet<Key>,
    spool: Vec<Report>,
    heard: Vec<Report>,
    started: BTreeSet<Key>,
    refused: BTreeSet<Key>,
    /// Decided with a word, until acknowledged or its life's loss is committed.
    owed: BTreeSet<Key>,
    acknowledged: BTreeSet<Key>,
    dispatched: BTreeMap<Key, Incarnation>,
}

impl World {
    fn new() -> World {
        let now = Now { boot: Span::from_secs(1), wall: Timestamp(0) };
        let mut world = World {
            machine: Machine::new(name("w"), profile(3), true, Vec::new(), Box::new(Counter(0)), now),
            now,
            boots: 0,
            incarnation: 0,
            term: 1,
            index: 1,
            to_agent: Vec::new(),
            processes: BTreeSet::new(),
            spool: Vec::new(),
            heard: Vec::new(),
            started: BTreeSet::new(),
            refused: BTreeSet::new(),
            owed: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            dispatched: BTreeMap::new(),
        };
        world.take(Input::SessionOpened(N1));
        world
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Dispatch { noop } => self.dispatch(noop),
            Step::Deliver { choice } => {
                if let Some(frame) = pick(&self.to_agent, choice) {
                    self.deliver(frame);
                }
            }
            Step::Ask { choice } => {
                if let Some((fence, attempt)) = pick(&self.all(), choice) {
                    let of = self.dispatched[&(fence, attempt)];
                    self.deliver(ToWorker::Ask { incarnation: of, attempts: vec![(attempt, fence)] });
                }
            }
            Step::Stop { choice } => {
                if let Some((fence, attempt)) = pick(&self.all(), choice) {
                    let incarnation = self.dispatched[&(fence, attempt)];
                    let stop = StopAttempt { attempt, fence, incarnation, cause: StopCause::Cancelled };
                    self.deliver(ToWorker::Stop(vec![stop]));
                }
            }
            Step::End { choice } => {
                let running: Vec<Key> = self.processes.iter().copied().collect();
                if let Some((fence, attempt)) = pick(&running, choice) {
                    self.processes.remove(&(fence, attempt));
                    let end = ended(self.now.wall);
                    self.take(Input::AttemptOver { attempt, fence, end, log_bytes_dropped: 0 });
                }
            }
            Step::Commit { choice } => self.commit(choice),
            Step::Wait { millis } => self.wait(millis),
            Step::BreakSession => {
                self.take(Input::SessionClosed(N1));
                self.take(Input::SessionOpened(N1));
            }
            Step::Restart => self.restart(),
            Step::LoseWarden => {
                self.lose_processes();
                self.take(Input::WardenGone);
                self.take(Input::WardenReady { earlier_lives_dead: true });
            }
            Step::NewTerm => {
                self.term += 1;
                let watermark = self.watermark();
                let leads = ToWorker::Leads { shard: 1, term: self.term, watermark };
                self.to_agent.push(leads.clone());
                self.deliver(leads);
            }
        }
    }

    fn dispatch(&mut self, noop: bool) {
        if self.incarnation == 0 {
            return;
        }
        self.index += 1;
        let program = if noop { Program::Noop } else { script() };
        let key = (fence(1, self.index), attempt(1, self.index as u32, 1));
        self.dispatched.insert(key, self.incarnation);
        let frame = ToWorker::Run(vec![run(key.1, key.0, self.incarnation, self.term, program)]);
        self.to_agent.push(frame);
    }

    /// A report is applied once, and acknowledged each time it comes.
    fn commit(&mut self, choice: prop::sample::Index) {
        let Some(report) = pick(&self.heard, choice) else {
            return;
        };
        let key = (report.fence, report.attempt);
        self.acknowledged.insert(key);
        let watermark = self.watermark();
        let frame = ToWorker::Acknowledge { reports: vec![(report.attempt, report.fence)], watermark };
        self.to_agent.push(frame);
    }

    /// The lowest fence whose attempt has not ended by commit.
    fn watermark(&self) -> Fence {
        let open = self.dispatched.iter().filter(|(key, incarnation)| {
            !self.acknowledged.contains(key) && (**incarnation == self.incarnation || self.owed.contains(key))
        });
        open.map(|(key, _)| key.0).min().unwrap_or(fence(1, self.index + 1))
    }

    fn restart(&mut self) {
        self.lose_processes();
        self.boots += 1;
        let spooled = self.spool.clone();
        let entropy = Box::new(Counter(self.boots * 1000));
        self.machine = Machine::new(name("w"), profile(3), true, spooled, entropy, self.now);
        self.take(Input::SessionOpened(N1));
    }

    /// They die without a word: what the next registration's commit means for them is the masters' matter.
    fn lose_processes(&mut self) {
        self.processes.clear();
    }

    fn wait(&mut self, millis: u64) {
        let span = Span::from_millis(millis);
        self.now = Now { boot: Span(self.now.boot.0 + span.0), wall: self.now.wall.plus(span) };
        let mut effects = Vec::new();
        self.machine.flush(self.now, &mut effects);
        self.perform(effects);
    }

    fn deliver(&mut self, frame: ToWorker) {
        if let ToWorker::Acknowledge { reports, .. } = &frame {
            reports.iter().for_each(|(attempt, fence)| {
                self.owed.remove(&(*fence, *attempt));
            });
        }
        self.take(Input::Frame { from: N1, frame });
    }

    fn take(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.machine.handle(input, self.now, &mut effects);
        self.machine.flush(self.now, &mut effects);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Keep(reports) => self.on_kept(reports),
                Effect::Send { frame: FromWorker::Reports(reports), .. } => self.on_reports(reports),
                Effect::Send { frame: FromWorker::Register(registration), .. } => {
                    assert!(
                        self.processes.is_empty(),
                        "a new life is announced while the last one runs something"
                    );
                    self.incarnation += 1;
                    let (life, incarnation) = (registration.life, self.incarnation);
                    self.deliver(ToWorker::Registered { life, incarnation, cluster: [0; 16] });
                }
                Effect::Beat { heartbeat, .. } => {
                    let lease = Span::from_secs(10);
                    self.deliver(ToWorker::HeartbeatSeen { sequence: heartbeat.sequence, lease, leader: 1 });
                }
                Effect::Start(spec) => self.on_start((spec.fence, spec.attempt)),
                Effect::Kill { attempt, fence } => {
                    if self.processes.remove(&(fence, attempt)) {
                        let end = ended(self.now.wall);
                        self.take(Input::AttemptOver { attempt, fence, end, log_bytes_dropped: 0 });
                    }
                }
                Effect::Send { .. }
                | Effect::Stop { .. }
                | Effect::ForgetAttempts
                | Effect::SetDeadline(_)
                | Effect::RunEnded(_)
                | Effect::ReadLog { .. }
                | Effect::LifeOver { .. }
                | Effect::Registered { .. } => {}
            }
        }
    }

    fn on_start(&mut self, key: Key) {
        assert!(self.started.insert(key), "{key:?} starts twice");
        assert!(!self.refused.contains(&key), "{key:?} starts after it was refused");
        assert_eq!(self.dispatched[&key], self.incarnation, "{key:?} is another life's");
        self.processes.insert(key);
        assert!(self.processes.len() <= 3, "more slots are taken than there are");
    }

    fn on_kept(&mut self, reports: Vec<Report>) {
        for report in reports {
            let key = (report.fence, report.attempt);
            assert!(!self.processes.contains(&key), "{key:?} has a word while it runs");
            if matches!(report.word, Word::Refused { .. }) {
                let again = self.acknowledged.contains(&key);
                assert!(again || !self.started.contains(&key), "{key:?} ran and is called refused");
                self.refused.insert(key);
            }
            assert_eq!(report.worker.incarnation, self.dispatched[&key]);
            self.owed.insert(key);
            self.spool.push(report);
        }
    }

    fn on_reports(&mut self, reports: Vec<Report>) {
        for report in reports {
            assert!(self.spool.contains(&report), "sent before it was kept");
            self.heard.push(report);
        }
    }

    fn all(&self) -> Vec<Key> {
        self.dispatched.keys().copied().collect()
    }

    /// With a session that works, everything owed comes within a second.
    fn settle(mut self) {
        self.heard.clear();
        self.play(Step::NewTerm);
        self.wait(1100);
        let heard: BTreeSet<Key> = self.heard.iter().map(|report| (report.fence, report.attempt)).collect();
        assert!(self.owed.is_subset(&heard), "decided and not reported: {:?}", self.owed.difference(&heard));
        let waiting: BTreeSet<Key> = self.processes.clone();
        assert!(waiting.is_disjoint(&heard), "what runs is reported");
    }
}

fn pick<T: Clone>(items: &[T], choice: prop::sample::Index) -> Option<T> {
    (!items.is_empty()).then(|| items[choice.index(items.len())].clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_fence_is_decided_once_and_its_word_is_kept(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.play(step);
        }
        world.settle();
    }
}

#[test]
fn frames_of_nodes_that_are_no_masters_open_no_session() {
    let mut world = World::new();
    world.take(Input::SessionClosed(N1));
    world.take(Input::SessionOpened(NodeId::Worker(name("other"))));
    assert_eq!(world.machine.sessions().len(), 0);
}
