//! Stories as data: each line a step of the outside, and beside it everything that the machine wants done.

use hortator_core::event::StopCause;
use hortator_core::id::{AttemptId, Fence};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{FromWorker, LifeId, NodeId, Program, Report, StopAttempt, ToWorker, Word};

use super::{Counter, attempt, ended, fence, name, profile, run, script};
use crate::agent::life::Stage;
use crate::agent::machine::{Effect, Input, Machine, Now};

/// Two slots; the lease that heartbeats are granted is 10 s, the watermark in acknowledgements is low.
const SLOTS: u32 = 2;

pub(super) struct Story {
    pub(super) machine: Machine,
    now: Now,
    incarnation: u64,
    beat: Option<u64>,
    /// What was appended to the spool.
    kept: Vec<Report>,
}

/// Plays the steps and compares their effects; heartbeats that go to one master only are left out.
#[track_caller]
pub(super) fn check(steps: &[(&str, &str)]) -> Story {
    let mut story = Story::new(Vec::new(), 0);
    story.play(steps);
    story
}

impl Story {
    pub(super) fn new(spooled: Vec<Report>, seed: u64) -> Story {
        let now = Now { boot: Span::from_secs(100), wall: Timestamp(1_000_000_000) };
        let machine = Machine::new(name("w1"), profile(SLOTS), true, spooled, Box::new(Counter(seed)), now);
        Story { machine, now, incarnation: 6, beat: None, kept: Vec::new() }
    }

    #[track_caller]
    pub(super) fn play(&mut self, steps: &[(&str, &str)]) {
        for (number, (step, expected)) in steps.iter().enumerate() {
            let mut effects = Vec::new();
            if let Some(input) = self.input(step) {
                self.machine.handle(input, self.now, &mut effects);
            }
            self.machine.flush(self.now, &mut effects);
            let shown: Vec<String> = effects.iter().filter_map(|effect| self.show(effect)).collect();
            assert_eq!(shown.join("; "), *expected, "step {number}: {step}");
        }
    }

    /// Another process of the same worker, with what lies in the spool.
    pub(super) fn restart(self) -> Story {
        Story::new(self.kept, 100)
    }

    fn input(&mut self, step: &str) -> Option<Input> {
        let mut words: Vec<&str> = step.split_whitespace().collect();
        let from = match words.iter().position(|word| *word == "from") {
            Some(place) => node(words.drain(place..).nth(1).expect("from whom")),
            None => node("n1"),
        };
        let frame = match words.as_slice() {
            ["tick"] => return None,
            ["wait", span] => {
                let span: Span = span.parse().unwrap();
                self.now = Now { boot: Span(self.now.boot.0 + span.0), wall: self.now.wall.plus(span) };
                return None;
            }
            ["open", peer] => return Some(Input::SessionOpened(node(peer))),
            ["close", peer] => return Some(Input::SessionClosed(node(peer))),
            ["warden", "gone"] => return Some(Input::WardenGone),
            ["warden", "ready"] => {
                return Some(Input::WardenReady { earlier_lives_dead: true });
            }
            ["over", key] => {
                let (attempt, fence) = key_of(key);
                return Some(Input::AttemptOver {
                    attempt,
                    fence,
                    end: ended(self.now.wall),
                    log_bytes_dropped: 0,
                });
            }
            ["registered", rest @ ..] => {
                let Stage::Registering { life, .. } = self.machine.life.stage() else {
                    panic!("not registering")
                };
                let life = match rest {
                    [] => *life,
                    ["late"] => LifeId { number: life.number - 1, ..*life },
                    ["younger"] => LifeId { number: life.number + 5, ..*life },
                    _ => panic!("which life?"),
                };
                self.incarnation += 1;
                ToWorker::Registered { life, incarnation: self.incarnation, cluster: [0; 16] }
            }
            ["seen"] => ToWorker::HeartbeatSeen {
                sequence: self.beat.expect("a beat"),
                lease: Span::from_secs(10),
                leader: 1,
            },
            ["seen", "unlimited"] => {
                ToWorker::HeartbeatSeen { sequence: self.beat.unwrap(), lease: Span::ZERO, leader: 1 }
            }
            ["leads", shard, term, index] => {
                let shard = number(shard) as u32;
                ToWorker::Leads { shard, term: number(term), watermark: fence(shard, number(index)) }
            }
            ["run", rest @ ..] => ToWorker::Run(vec![self.run_of(rest)]),
            ["stop", key] => {
                let (attempt, fence) = key_of(key);
                let (incarnation, cause) = (self.incarnation, StopCause::Timeout);
                ToWorker::Stop(vec![StopAttempt { attempt, fence, incarnation, cause }])
            }
            ["ask", key] => ToWorker::Ask { incarnation: self.incarnation, attempts: vec![key_of(key)] },
            ["acknowledge", key, index] => {
                let (attempt, fence_of) = key_of(key);
                let watermark = fence(fence_of.shard, number(index));
                ToWorker::Acknowledge { reports: vec![(attempt, fence_of)], watermark }
            }
            ["ended", shard] => ToWorker::RunsEnded(vec![attempt(number(shard) as u32, 0, 1).task_run.run]),
            _ => panic!("no such step: {step}"),
        };
        Some(Input::Frame { from, frame })
    }

    fn run_of(&self, words: &[&str]) -> hortator_proto::frame::RunAttempt {
        let (attempt, fence) = key_of(words[0]);
        let mut run = run(attempt, fence, self.incarnation, 5, script());
        for word in &words[1..] {
            match word.split_once('=') {
                None if *word == "noop" => run.program = Program::Noop,
                Some(("term", term)) => run.term = number(term),
                Some(("slots", slots)) => run.slots = number(slots) as u32,
                Some(("life", life)) => run.incarnation = number(life),
                _ => panic!("no such word: {word}"),
            }
        }
        run
    }

    fn show(&mut self, effect: &Effect) -> Option<String> {
        Some(match effect {
            Effect::Keep(reports) => {
                self.kept.extend(reports.iter().cloned());
                format!("keep {}", shown(reports))
            }
            Effect::Send { to, frame } => match frame {
                FromWorker::Register(registration) if registration.spooled.is_empty() => {
                    format!("{to}<register")
                }
                FromWorker::Register(registration) => {
                    format!("{to}<register spooled={}", registration.spooled.len())
                }
                FromWorker::Reports(reports) => format!("{to}<{}", shown(reports)),
                FromWorker::Inventory { running, spooled, .. } => {
                    format!("{to}<inventory {}/{}", running.len(), spooled.len())
                }
                FromWorker::Running { attempts, .. } => format!("{to}<running {}", attempts.len()),
                FromWorker::Heartbeat(_) | FromWorker::Log(_) => {
                    unreachable!("these are effects of their own")
                }
            },
            Effect::Beat { to, heartbeat } => {
                self.beat = Some(heartbeat.sequence);
                return (to.len() > 1).then(|| format!("beat to {}", to.len()));
            }
            Effect::Start(spec) => format!("start {}", key_text(spec.attempt, spec.fence)),
            Effect::Stop { attempt, fence, .. } => format!("stop {}", key_text(*attempt, *fence)),
            Effect::Kill { attempt, fence } => format!("kill {}", key_text(*attempt, *fence)),
            Effect::ForgetAttempts => "forget".into(),
            Effect::SetDeadline(None) => "no deadline".into(),
            Effect::SetDeadline(Some(deadline)) => {
                format!("deadline {}", Span(deadline.0 - self.now.boot.0.min(deadline.0)))
            }
            Effect::RunEnded(_) => "run ended".into(),
            Effect::ReadLog { .. } => "read log".into(),
            Effect::LifeOver { .. } => "life over".into(),
            Effect::Registered { incarnation } => format!("life {incarnation}"),
        })
    }
}

/// `b@10` is the first attempt of task 1 in shard 1, dispatched at index 10; `b2@10` the same in shard 2.
fn key_of(text: &str) -> (AttemptId, Fence) {
    let (task, index) = text.split_once('@').expect("TASK@INDEX");
    let shard = if task.len() > 1 { number(&task[1..]) as u32 } else { 1 };
    (attempt(shard, u32::from(task.as_bytes()[0] - b'a'), 1), fence(shard, number(index)))
}

fn key_text(attempt: AttemptId, fence: Fence) -> String {
    let shard = if fence.shard == 1 { String::new() } else { fence.shard.to_string() };
    format!("{}{shard}@{}", char::from(b'a' + attempt.task_run.key.task as u8), fence.index)
}

fn shown(reports: &[Report]) -> String {
    let shown = |report: &Report| {
        let word = match &report.word {
            Word::Ended(_) => "ended".into(),
            Word::Refused { why } => format!("refused ({})", why.split(':').next().unwrap_or_default()),
        };
        format!("{} {word} in life {}", key_text(report.attempt, report.fence), report.worker.incarnation)
    };
    reports.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn node(text: &str) -> NodeId {
    NodeId::Master(number(&text[1..]))
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
