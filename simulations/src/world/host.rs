//! A worker's host: pretended processes under a warden, and the spool that outlives the agent. What a process does is one
//! line of words, see [`Script`]. Must not know masters.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hortator_actors::seam::{
    Clock, HostMetrics, HostSample, LaunchEnd, LaunchEvent, LaunchListener, LaunchResult, LaunchSpec,
    Launcher, LogReader, LogStat, SpoolFile, Stop,
};
use hortator_core::id::{AttemptId, Fence, RunId};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{FromWorker, LogAnswer, LogRequest, Word};
use hortator_raft::sometimes;

use serde_json::Value;

use super::agenda::{Agenda, Work};
use super::cast::{Cast, MARK_VARIABLE, Play};
use super::clock::HostClock;
use super::draw::Draw;
use super::ledger::{Entry, Ledger};
use crate::evidence::{Given, Mark};

/// From the warden's death to another that has the lock.
const WARDEN_STARTS: [u64; 2] = [5_000, 60_000];
/// From the agent's word to the first line of the process.
const STARTS: [u64; 2] = [300, 5_000];
/// From a signal to the end of a process that minds it.
const DIES: [u64; 2] = [100, 30_000];
/// From the agent's death to that of its processes: the warden sees its pipe close.
const OUTLIVES: [u64; 2] = [50, 20_000];

/// What a process does, in words: `run MS`, `fail MS`, `hang` (until it is asked to end), `deaf MS` (ends by itself or
/// when it is killed), `flaky MS N` (fails until its Nth attempt), `poison MS N` (kills its agent
/// until its Nth attempt, which succeeds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Run { millis: u64 },
    Fail { millis: u64 },
    Hang,
    Deaf { millis: u64 },
    Flaky { millis: u64, succeeds_at: u16 },
    Poison { millis: u64, spares_at: u16 },
}

/// The line is no script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no script; write one of: run MS, fail MS, hang, deaf MS, flaky MS ATTEMPT, poison MS ATTEMPT"
)]
pub struct ScriptError(String);

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(line: &str) -> Result<Script, ScriptError> {
        let error = || ScriptError(line.to_owned());
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |text: &str| text.parse::<u64>().map_err(|_| error());
        Ok(match words[..] {
            ["run", millis] => Script::Run { millis: number(millis)? },
            ["fail", millis] => Script::Fail { millis: number(millis)? },
            ["hang"] => Script::Hang,
            ["deaf", millis] => Script::Deaf { millis: number(millis)? },
            ["flaky", millis, attempt] => {
                Script::Flaky { millis: number(millis)?, succeeds_at: attempt.parse().map_err(|_| error())? }
            }
            ["poison", millis, attempt] => {
                Script::Poison { millis: number(millis)?, spares_at: attempt.parse().map_err(|_| error())? }
            }
            _ => return Err(error()),
        })
    }
}

type Key = (AttemptId, Fence);

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

struct Shared {
    name: String,
    clock: Arc<HostClock>,
    agenda: Arc<Agenda>,
    ledger: Ledger,
    on_poison: Box<dyn Fn() + Send + Sync>,
    cast: Arc<dyn Cast>,
    state: Mutex<State>,
}

struct State {
    draw: Draw,
    /// The agent's life on it; what an earlier one asks for is nobody's.
    life: u64,
    spool: Vec<Bytes>,
    /// All that ever lay in the spool since the power was on: ends of attempts.
    kept: Vec<(AttemptId, Fence)>,
    /// When each process began, by the host's own clock.
    begun: Vec<(AttemptId, Fence, Timestamp)>,
    events: Option<LaunchListener>,
    running: BTreeMap<Key, Process>,
    /// Counts deadlines, so that a later one counts in place of an earlier one.
    deadlines: u64,
    deadline: Option<Span>,
    processes: u64,
    /// What was to happen while all of it stood still.
    held: Option<Vec<Work>>,
}

struct Process {
    number: u64,
    entry: Entry,
    started_at: Option<Timestamp>,
    script: Script,
    outputs: BTreeMap<String, Value>,
    grace: Span,
}

/// The host as one life of the agent has it.
pub struct Seat {
    host: Host,
    life: u64,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({})", self.0.name)
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seat({}, {})", self.host.0.name, self.life)
    }
}

impl Host {
    /// `on_poison`: a process has killed its agent.
    pub fn new(
        seed: u64,
        name: String,
        clock: Arc<HostClock>,
        agenda: Arc<Agenda>,
        ledger: Ledger,
        cast: Arc<dyn Cast>,
        on_poison: impl Fn() + Send + Sync + 'static,
    ) -> Host {
        let state = State {
            draw: Draw::of(seed, &format!("host {name}")),
            life: 0,
            spool: Vec::new(),
            kept: Vec::new(),
            begun: Vec::new(),
            events: None,
            running: BTreeMap::new(),
            deadlines: 0,
            deadline: None,
            processes: 0,
            held: None,
        };
        let on_poison = Box::new(on_poison);
        Host(Arc::new(Shared { name, clock, agenda, ledger, on_poison, cast, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent begins to use it.
    pub fn seat(&self, life: u64) -> Seat {
        let mut state = self.state();
        state.life = life;
        state.events = None;
        state.deadlines += 1;
        state.deadline = None;
        Seat { host: self.clone(), life }
    }

    /// The agent is dead; its warden sees that soon and kills what it has.
    pub fn agent_died(&self) {
        let mut state = self.state();
        state.events = None;
        state.life = 0;
        let (late, last) = (state.draw.log_between(OUTLIVES), state.processes);
        drop(state);
        let host = self.clone();
        // The next agent may be there by then, and its processes have a warden of their own.
        self.later(late, move || host.kill_through(last));
    }

    /// Power is gone: processes with it, and what lay in the spool unsynced.
    pub fn power_lost(&self) {
        self.state().held = None;
        self.kill_all();
        let mut state = self.state();
        state.events = None;
        state.life = 0;
        state.spool.clear();
        state.kept.clear();
    }

    /// All on it stands still, or goes on: the warden first, so that what was past its deadline does nothing more.
    pub fn freeze(&self, frozen: bool) {
        let mut state = self.state();
        if frozen && state.held.is_none() {
            state.held = Some(Vec::new());
            let begun = state.running.values().filter(|process| process.started_at.is_some());
            // So far they have come.
            begun.for_each(|process| self.0.ledger.write(&self.0.name, &process.entry, Mark::Beat));
        }
        if frozen {
            return;
        }
        let Some(held) = state.held.take() else { return };
        if state.deadline.is_some_and(|deadline| self.0.clock.boot() >= deadline) {
            sometimes!(!state.running.is_empty(), "host: a lease ended while all stood still");
            state.running.clear();
        }
        drop(state);
        held.into_iter().for_each(|work| work());
    }

    /// As soon as it goes on where it stands still then.
    fn later(&self, micros: u64, work: impl FnOnce() + Send + 'static) {
        let host = self.clone();
        self.0.agenda.after(micros, move || {
            let mut state = host.state();
            match &mut state.held {
                Some(held) => held.push(Box::new(work)),
                None => {
                    drop(state);
                    work();
                }
            }
        });
    }

    /// Whether nothing of earlier lives is left.
    pub fn is_quiet(&self) -> bool {
        self.state().running.is_empty()
    }

    pub fn running(&self) -> usize {
        self.state().running.len()
    }

    /// Ends of attempts that lay in the spool and outlived every agent since.
    pub fn kept(&self) -> Vec<(AttemptId, Fence)> {
        self.state().kept.clone()
    }

    /// When each process of an attempt began here, as its agent heard it.
    pub fn begun(&self) -> Vec<(AttemptId, Fence, Timestamp)> {
        self.state().begun.clone()
    }

    pub fn spooled(&self) -> usize {
        self.state().spool.len()
    }

    fn kill_all(&self) {
        self.kill_through(u64::MAX);
    }

    /// Processes up to the one with that number.
    fn kill_through(&self, last: u64) {
        let killed =
            self.state().running.extract_if(.., |_, process| process.number <= last).collect::<Vec<_>>();
        for (_, process) in killed.iter().filter(|(_, process)| process.started_at.is_some()) {
            // It lived until now.
            self.0.ledger.write(&self.0.name, &process.entry, Mark::Beat);
        }
    }

    fn tell(&self, event: LaunchEvent) {
        let events = self.state().events.clone();
        if let Some(events) = events {
            events(vec![event]);
        }
    }

    /// The warden's: at the deadline everything is killed, whatever the agent does.
    fn set_deadline(&self, boot: Option<Span>) {
        let mut state = self.state();
        state.deadlines += 1;
        state.deadline = boot;
        let number = state.deadlines;
        drop(state);
        if let Some(boot) = boot {
            self.watch(number, boot);
        }
    }

    /// The warden looks at its own clock, which may drift, and sleeps again when it is early.
    fn watch(&self, number: u64, deadline: Span) {
        let left = deadline.0.saturating_sub(self.0.clock.boot().0);
        let host = self.clone();
        self.later(left, move || {
            if host.state().deadlines != number {
                return;
            }
            match host.0.clock.boot() < deadline {
                true => host.watch(number, deadline),
                false => host.deadline_passed(number),
            }
        });
    }

    fn deadline_passed(&self, number: u64) {
        self.kill_all();
        let reason = "the lease deadline has passed".into();
        self.tell(LaunchEvent::WardenGone { reason });
        let mut state = self.state();
        let late = state.draw.between(WARDEN_STARTS);
        let life = state.life;
        drop(state);
        let host = self.clone();
        self.later(late, move || {
            let mut state = host.state();
            if state.life != life {
                return;
            }
            if state.deadlines == number {
                state.deadline = None;
            }
            drop(state);
            host.tell(LaunchEvent::WardenReady { earlier_lives_dead: true });
        });
    }

    fn start(&self, spec: LaunchSpec) {
        let key = (spec.attempt, spec.fence);
        let Play { script, outputs } = match self.0.cast.play(&spec) {
            Ok(play) => play,
            Err(error) => {
                let result = LaunchResult::NotStarted { error };
                return self.tell(self.ended(key, None, result, BTreeMap::new()));
            }
        };
        let mut state = self.state();
        state.processes += 1;
        let number = state.processes;
        let late = state.draw.log_between(STARTS);
        let entry = Entry {
            attempt: spec.attempt,
            fence: spec.fence,
            task: spec.names.task.clone(),
            item: spec.names.item,
            given: given(&spec),
        };
        let process = Process { number, entry, started_at: None, script, outputs, grace: spec.grace };
        state.running.insert(key, process);
        drop(state);
        let host = self.clone();
        self.later(late, move || host.begin(key, number));
    }

    fn begin(&self, key: Key, number: u64) {
        let wall = self.0.clock.wall();
        let boot = self.0.clock.boot();
        let mut state = self.state();
        let past = state.deadline.is_some_and(|deadline| boot >= deadline);
        let Some(process) = state.running.get_mut(&key).filter(|process| process.number == number) else {
            return;
        };
        if past {
            // The warden starts nothing then, and its own end follows at once.
            state.running.remove(&key);
            return;
        }
        process.started_at = Some(wall);
        state.begun.push((key.0, key.1, wall));
        let Some(process) = state.running.get(&key) else { return };
        let (script, entry, attempt) = (process.script, process.entry.clone(), key.0.attempt);
        drop(state);
        self.0.ledger.write(&self.0.name, &entry, Mark::Start);
        self.tell(LaunchEvent::Started { attempt: key.0, fence: key.1, pid: number as u32, at: wall });
        let (millis, code) = match script {
            Script::Run { millis } | Script::Deaf { millis } => (millis, 0),
            Script::Fail { millis } => (millis, 1),
            Script::Flaky { millis, succeeds_at } => (millis, i32::from(attempt < succeeds_at)),
            Script::Hang => return,
            Script::Poison { millis, spares_at } if attempt >= spares_at => (millis, 0),
            Script::Poison { millis, .. } => {
                let host = self.clone();
                return self.later(millis * 1_000, move || {
                    if host.has(key, number) {
                        (host.0.on_poison)();
                    }
                });
            }
        };
        let host = self.clone();
        self.later(millis * 1_000, move || {
            host.end(key, number, LaunchResult::Exited { code }, Mark::End);
        });
    }

    fn has(&self, key: Key, number: u64) -> bool {
        self.state().running.get(&key).is_some_and(|process| process.number == number)
    }

    fn stop(&self, key: Key, how: Stop) {
        let mut state = self.state();
        let Some(process) = state.running.get(&key) else { return };
        let (number, grace) = (process.number, process.grace.0);
        let deaf = matches!(process.script, Script::Deaf { .. });
        let minds = state.draw.log_between(DIES);
        drop(state);
        sometimes!(deaf && how == Stop::Term, "host: a process does not mind that it is to end");
        let (late, signal) = match how {
            Stop::Kill => (minds, 9),
            Stop::Term if deaf => (grace + minds, 9),
            Stop::Term => (minds, 15),
        };
        let host = self.clone();
        self.later(late, move || {
            host.end(key, number, LaunchResult::Signalled { signal }, Mark::End);
        });
    }

    fn end(&self, key: Key, number: u64, result: LaunchResult, mark: Mark) {
        if !self.has(key, number) {
            return;
        }
        let Some(process) = self.state().running.remove(&key) else { return };
        if process.started_at.is_some() {
            self.0.ledger.write(&self.0.name, &process.entry, mark);
        }
        let outputs = match result {
            LaunchResult::Exited { code: 0 } => process.outputs,
            _ => BTreeMap::new(),
        };
        self.tell(self.ended(key, process.started_at, result, outputs));
    }

    fn ended(
        &self,
        key: Key,
        started_at: Option<Timestamp>,
        result: LaunchResult,
        outputs: BTreeMap<String, Value>,
    ) -> LaunchEvent {
        LaunchEvent::Ended(LaunchEnd {
            attempt: key.0,
            fence: key.1,
            started_at,
            finished_at: self.0.clock.wall(),
            result,
            outputs,
            log: LogStat::default(),
        })
    }
}

/// As the process could see it.
fn given(spec: &LaunchSpec) -> Given {
    let words = |name: &str| spec.env.get(name).filter(|value| !value.is_empty());
    let devices = words("HTR_DEVICES").map_or("", String::as_str);
    Given {
        devices: devices.split(',').filter(|device| !device.is_empty()).map(str::to_owned).collect(),
        mark: words(MARK_VARIABLE)
            .and_then(|given| given.split_once(' '))
            .map(|(task, mark)| (task.to_owned(), mark.to_owned())),
    }
}

impl Seat {
    /// Whether the agent that sits here is the one that lives.
    fn is_taken(&self) -> bool {
        self.host.state().life == self.life
    }
}

impl Launcher for Seat {
    fn listen(&self, events: LaunchListener) {
        if self.is_taken() {
            self.host.state().events = Some(events);
        }
    }

    fn start(&self, specs: Vec<LaunchSpec>) {
        if self.is_taken() {
            specs.into_iter().for_each(|spec| self.host.start(spec));
        }
    }

    fn stop(&self, attempt: AttemptId, fence: Fence, how: Stop) {
        if self.is_taken() {
            self.host.stop((attempt, fence), how);
        }
    }

    fn set_deadline(&self, boot: Option<Span>) {
        if self.is_taken() {
            self.host.set_deadline(boot);
        }
    }

    fn run_ended(&self, _: RunId) {}

    fn shutdown(&self) {
        if self.is_taken() {
            self.host.kill_all();
        }
    }
}

impl LogReader for Seat {
    fn read(&self, request: &LogRequest, reply: Box<dyn FnOnce(LogAnswer) + Send>) {
        reply(LogAnswer { id: request.id, result: Err("no such file".into()) });
    }
}

impl HostMetrics for Seat {
    fn sample(&mut self) -> HostSample {
        HostSample::default()
    }
}

/// A master's host: nothing else runs there.
#[derive(Debug)]
pub struct Idle;

impl HostMetrics for Idle {
    fn sample(&mut self) -> HostSample {
        HostSample::default()
    }
}

impl SpoolFile for Seat {
    fn read(&mut self) -> io::Result<Vec<Bytes>> {
        Ok(self.host.state().spool.clone())
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        if self.is_taken() {
            let mut state = self.host.state();
            state.spool.push(Bytes::copy_from_slice(record));
            if let Ok(FromWorker::Reports(reports)) = FromWorker::decode(record) {
                let ends = reports.iter().filter(|report| matches!(report.word, Word::Ended(_)));
                state.kept.extend(ends.map(|report| (report.attempt, report.fence)));
            }
        }
        Ok(())
    }

    fn replace(&mut self, records: &[Bytes]) -> io::Result<()> {
        if self.is_taken() {
            self.host.state().spool = records.to_vec();
        }
        Ok(())
    }
}
