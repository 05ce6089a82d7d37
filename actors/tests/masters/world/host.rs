//! A worker's host: pretended processes, and the spool that outlives the agent. A script is one line: `run MS`,
//! `fail MS`, `hang` (until it is asked to end) or `deaf` (until it is killed).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hortator_actors::seam::{
    Clock, HostMetrics, HostSample, LaunchEnd, LaunchEvent, LaunchListener, LaunchProgram, LaunchResult,
    LaunchSpec, Launcher, LogReader, LogStat, SpoolFile, Stop,
};
use hortator_core::id::{AttemptId, Fence, RunId};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{LogAnswer, LogRequest};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::PausedClock;

/// Until another warden has the lock.
const WARDEN_STARTS: Duration = Duration::from_millis(30);

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Started,
    Ended,
    Killed,
}

/// A line of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) at: Timestamp,
    pub(crate) attempt: AttemptId,
    pub(crate) fence: Fence,
    pub(crate) what: What,
}

#[derive(Default)]
struct State {
    spool: Vec<Bytes>,
    events: Option<LaunchListener>,
    running: BTreeMap<(AttemptId, Fence), Process>,
    deeds: Vec<Deed>,
    deadline: Option<AbortHandle>,
    cpu_percent: f32,
}

struct Process {
    started_at: Timestamp,
    deaf: bool,
    timer: AbortHandle,
}

pub(crate) struct Host {
    clock: Arc<PausedClock>,
    state: Mutex<State>,
}

/// The host as the agent has it.
pub(crate) struct Machine(pub(crate) Arc<Host>);

impl Host {
    pub(crate) fn new(clock: Arc<PausedClock>) -> Arc<Host> {
        Arc::new(Host { clock, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread")
    }

    pub(crate) fn deeds(&self) -> Vec<Deed> {
        self.state().deeds.clone()
    }

    pub(crate) fn running(&self) -> Vec<(AttemptId, Fence)> {
        self.state().running.keys().copied().collect()
    }

    /// What is measured of it from now on.
    pub(crate) fn set_cpu(&self, percent: f32) {
        self.state().cpu_percent = percent;
    }

    pub(crate) fn spooled(&self) -> usize {
        self.state().spool.len()
    }

    fn note(&self, (attempt, fence): (AttemptId, Fence), what: What) {
        let at = self.clock.wall();
        self.state().deeds.push(Deed { at, attempt, fence, what });
    }

    /// The warden's end.
    pub(crate) fn kill_all(&self) {
        let running = std::mem::take(&mut self.state().running);
        for (key, process) in running {
            process.timer.abort();
            self.note(key, What::Killed);
        }
    }

    /// The warden's: at the deadline everything is killed, whatever the agent does.
    fn set_deadline(self: &Arc<Host>, boot: Option<Span>) {
        let host = self.clone();
        let timer = boot.map(|boot| {
            let left = boot.0.saturating_sub(self.clock.boot().0);
            let kill = async move {
                sleep(Duration::from_micros(left)).await;
                host.kill_all();
                host.tell(LaunchEvent::WardenGone { reason: "the lease deadline has passed".into() });
                sleep(WARDEN_STARTS).await;
                host.tell(LaunchEvent::WardenReady { earlier_lives_dead: true });
            };
            tokio::task::spawn_local(kill).abort_handle()
        });
        if let Some(before) = std::mem::replace(&mut self.state().deadline, timer) {
            before.abort();
        }
    }

    fn start(self: &Arc<Host>, spec: LaunchSpec) {
        let key = (spec.attempt, spec.fence);
        let line = match spec.program {
            LaunchProgram::Script { text, .. } => text,
            LaunchProgram::File { path, .. } => path,
        };
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or_default().to_string();
        let pause = words.next().map_or(0, |text| text.parse().expect("milliseconds"));
        self.note(key, What::Started);
        let (host, started_at) = (self.clone(), self.clock.wall());
        let hangs = matches!(word.as_str(), "hang" | "deaf");
        let result = LaunchResult::Exited { code: i32::from(word == "fail") };
        let timer = tokio::task::spawn_local(async move {
            match hangs {
                true => std::future::pending().await,
                false => sleep(Duration::from_millis(pause)).await,
            }
            host.end(key, result, What::Ended);
        });
        let process = Process { started_at, deaf: word == "deaf", timer: timer.abort_handle() };
        let _ = self.state().running.insert(key, process);
        self.tell(LaunchEvent::Started { attempt: key.0, fence: key.1, pid: 1, at: started_at });
    }

    fn stop(self: &Arc<Host>, key: (AttemptId, Fence), how: Stop) {
        let signal = if how == Stop::Kill { 9 } else { 15 };
        let asked = self.state().running.get(&key).map(|process| (process.deaf, process.timer.clone()));
        let Some((deaf, timer)) = asked else { return };
        if deaf && how == Stop::Term {
            return;
        }
        timer.abort();
        let host = self.clone();
        tokio::task::spawn_local(async move {
            sleep(Duration::from_millis(20)).await;
            host.end(key, LaunchResult::Signalled { signal }, What::Killed);
        });
    }

    /// A test's own end of a process.
    pub(crate) fn end(&self, key: (AttemptId, Fence), result: LaunchResult, what: What) {
        let Some(process) = self.state().running.remove(&key) else { return };
        self.note(key, what);
        let log = LogStat::default();
        self.tell(LaunchEvent::Ended(LaunchEnd {
            attempt: key.0,
            fence: key.1,
            started_at: Some(process.started_at),
            finished_at: self.clock.wall(),
            result,
            outputs: BTreeMap::new(),
            log,
        }));
    }

    fn tell(&self, event: LaunchEvent) {
        let events = self.state().events.clone();
        events.expect("the agent listens before it starts anything")(vec![event]);
    }
}

impl Launcher for Machine {
    fn listen(&self, events: LaunchListener) {
        self.0.state().events = Some(events);
    }

    fn start(&self, specs: Vec<LaunchSpec>) {
        specs.into_iter().for_each(|spec| self.0.start(spec));
    }

    fn stop(&self, attempt: AttemptId, fence: Fence, how: Stop) {
        self.0.stop((attempt, fence), how);
    }

    fn set_deadline(&self, boot: Option<Span>) {
        self.0.set_deadline(boot);
    }

    fn run_ended(&self, _: RunId) {}

    fn shutdown(&self) {
        self.0.kill_all();
    }
}

impl LogReader for Machine {
    fn read(&self, request: &LogRequest, reply: Box<dyn FnOnce(LogAnswer) + Send>) {
        reply(LogAnswer { id: request.id, result: Err("no such file".into()) });
    }
}

/// A master's host: nothing else runs there.
pub(crate) struct Idle;

impl HostMetrics for Idle {
    fn sample(&mut self) -> HostSample {
        HostSample::default()
    }
}

impl HostMetrics for Machine {
    fn sample(&mut self) -> HostSample {
        HostSample { cpu_percent: self.0.state().cpu_percent, ..HostSample::default() }
    }
}

impl SpoolFile for Machine {
    fn read(&mut self) -> io::Result<Vec<Bytes>> {
        Ok(self.0.state().spool.clone())
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.0.state().spool.push(Bytes::copy_from_slice(record));
        Ok(())
    }

    fn replace(&mut self, records: &[Bytes]) -> io::Result<()> {
        self.0.state().spool = records.to_vec();
        Ok(())
    }
}
