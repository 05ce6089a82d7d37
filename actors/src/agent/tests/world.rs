//! A pretended world around one agent actor: clock, rooms, launcher, transport, spool.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hortator_core::id::{AttemptId, Fence, RunId};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{Envelope, FromWorker, LogAnswer, LogRequest, NodeId, Report, ToWorker};
use slog::{Logger, o};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::{Counter, N1, attempt, fence, name, profile};
use crate::agent::{AgentConfig, AgentHandle, AgentSeams, start};
use crate::mailbox::Meter;
use crate::mutant::Mutant;
use crate::seam::{
    Clock, HostMetrics, HostSample, Incoming, LaunchEnd, LaunchEvent, LaunchListener, LaunchResult,
    LaunchSpec, Launcher, LogReader, LogStat, Room, Rooms, SendError, SpoolFile, Stop, Transport,
};

/// The paused runtime's time, as if the host had been up for an hour.
pub(super) struct PausedClock(Instant);

impl Clock for PausedClock {
    fn wall(&self) -> Timestamp {
        Timestamp(1_000_000_000_000).plus(Span(self.0.elapsed().as_micros() as u64))
    }
    fn boot(&self) -> Span {
        Span(3_600_000_000 + self.0.elapsed().as_micros() as u64)
    }
}

pub(super) struct Here;

impl Rooms for Here {
    fn enter(&self, _: Room, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// What the agent did, in order, and the ways back to it.
#[derive(Default)]
pub(super) struct World {
    sent: Mutex<Vec<(NodeId, FromWorker)>>,
    pub(super) incoming: Mutex<Option<Arc<dyn Incoming>>>,
    launched: Mutex<Vec<LaunchSpec>>,
    calls: Mutex<Vec<String>>,
    events: Mutex<Option<LaunchListener>>,
    pub(super) spool: Mutex<Vec<Bytes>>,
}

pub(super) struct Fake(Arc<World>);

impl Transport for Fake {
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        // What is said of links is the relay's own.
        if !Envelope::is_one(&frame) {
            self.0.sent.lock().unwrap().push((to.clone(), FromWorker::decode(&frame).unwrap()));
        }
        Ok(())
    }
    fn listen(&self, incoming: Arc<dyn Incoming>) {
        *self.0.incoming.lock().unwrap() = Some(incoming);
    }
}

impl Launcher for Fake {
    fn listen(&self, events: LaunchListener) {
        *self.0.events.lock().unwrap() = Some(events);
    }
    fn start(&self, specs: Vec<LaunchSpec>) {
        self.0.call(format!("start {}", specs.len()));
        self.0.launched.lock().unwrap().extend(specs);
    }
    fn stop(&self, attempt: AttemptId, _: Fence, how: Stop) {
        self.0.call(format!("{how:?} {}", attempt.task_run.key.task));
    }
    fn set_deadline(&self, _: Option<Span>) {}
    fn run_ended(&self, _: RunId) {
        self.0.call("run ended".into());
    }
    fn shutdown(&self) {
        self.0.call("shutdown".into());
    }
}

impl LogReader for Fake {
    fn read(&self, request: &LogRequest, reply: Box<dyn FnOnce(LogAnswer) + Send>) {
        reply(LogAnswer { id: request.id, result: Err("no such file".into()) });
    }
}

impl HostMetrics for Fake {
    fn sample(&mut self) -> HostSample {
        HostSample { cpu_percent: 42.0, ..HostSample::default() }
    }
}

impl SpoolFile for Fake {
    fn read(&mut self) -> io::Result<Vec<Bytes>> {
        Ok(self.0.spool.lock().unwrap().clone())
    }
    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.0.spool.lock().unwrap().push(Bytes::copy_from_slice(record));
        Ok(())
    }
    fn replace(&mut self, records: &[Bytes]) -> io::Result<()> {
        *self.0.spool.lock().unwrap() = records.to_vec();
        Ok(())
    }
}

impl World {
    pub(super) fn call(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    pub(super) fn tell(&self, frame: &ToWorker) {
        self.incoming.lock().unwrap().as_ref().unwrap().frame(&N1, frame.encode());
    }

    pub(super) fn happen(&self, event: LaunchEvent) {
        self.events.lock().unwrap().as_ref().unwrap()(vec![event]);
    }

    pub(super) fn end(&self, key: (Fence, AttemptId), result: LaunchResult, at: Timestamp) {
        let (fence, attempt) = key;
        let log = LogStat { bytes_kept: 1, bytes_dropped: 2 };
        let end = LaunchEnd {
            attempt,
            fence,
            started_at: Some(at),
            finished_at: at,
            result,
            outputs: BTreeMap::new(),
            log,
        };
        self.happen(LaunchEvent::Ended(end));
    }

    pub(super) fn take_sent(&self) -> Vec<FromWorker> {
        std::mem::take(&mut *self.sent.lock().unwrap()).into_iter().map(|(_, frame)| frame).collect()
    }

    pub(super) fn take_reports(&self) -> Vec<Report> {
        let reports = self.take_sent().into_iter().filter_map(|frame| match frame {
            FromWorker::Reports(reports) => Some(reports),
            _ => None,
        });
        reports.flatten().collect()
    }

    pub(super) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

/// An agent of four slots in that world.
pub(super) fn begin(world: &Arc<World>, seed: u64) -> AgentHandle {
    let fake = || Fake(world.clone());
    let seams = AgentSeams {
        clock: Arc::new(PausedClock(Instant::now())),
        entropy: Arc::new(move |_| Box::new(Counter(seed))),
        transport: Arc::new(fake()),
        launcher: Arc::new(fake()),
        logs: Arc::new(fake()),
        host: Box::new(fake()),
        meter: Arc::new(Meter::default()),
    };
    let config =
        AgentConfig { name: name("w"), profile: profile(4), earlier_lives_dead: true, mutant: Mutant::None };
    start(&Here, config, seams, Box::new(fake()), &Logger::root(slog::Discard, o!()))
}

/// Lets everything at hand happen; the next tick is far away.
pub(super) async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// Opens the session, answers the registration and takes shard 1.
pub(super) async fn register(world: &Arc<World>, incarnation: u64) {
    settle().await;
    world.incoming.lock().unwrap().as_ref().unwrap().session_opened(&N1);
    settle().await;
    answer_registration(world, incarnation).await;
    world.tell(&ToWorker::Leads { shard: 1, term: 5, watermark: fence(1, 1) });
    settle().await;
}

pub(super) async fn answer_registration(world: &Arc<World>, incarnation: u64) {
    let life = |frame| match frame {
        FromWorker::Register(registration) => Some(registration.life),
        _ => None,
    };
    let life = world.take_sent().into_iter().filter_map(life).next_back().expect("it asks to be registered");
    world.tell(&ToWorker::Registered { life, incarnation, cluster: [0; 16] });
    settle().await;
}

pub(super) fn paused(story: impl AsyncFnOnce()) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, story());
}

pub(super) fn key(task: u32, index: u64) -> (Fence, AttemptId) {
    (fence(1, index), attempt(1, task, 1))
}
