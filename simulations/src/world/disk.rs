//! A master's disk: files in memory under real redb, a writer that takes its time, and what can go wrong with both. Must
//! not know what the files mean.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hortator_raft::memory::{Crash, MemoryBackend};
use hortator_raft::redb::StorageBackend;
use hortator_raft::{Step, StoreBackend, Writer, sometimes};

use super::agenda::Agenda;
use super::draw::Draw;
use super::layers::{Layer, Layers};
use super::stage::falling;
use super::trace::{Bytes, Trace, What};

/// Microseconds that a healthy disk takes for one write with its sync.
const HEALTHY: [u64; 2] = [80, 900];
/// Microseconds that no healthy one takes, for a mark.
const SLOW: u64 = 100_000;

/// Where a process is to die: what happens to its disk is the world's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// Within a write, after so many of its operations.
    Within(u64),
    /// After a sync, before anybody hears of it.
    AfterSync,
}

/// Told when a trap has closed, or the store has given up.
pub type OnDeath = Arc<dyn Fn(Death) + Send + Sync>;

/// Why a process died at its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    Trapped(Trap),
    /// The store's own verdict, as after a failed sync.
    Verdict(String),
}

/// See the module. Clones share it; it outlives its processes.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

struct Shared {
    name: String,
    backend: MemoryBackend,
    agenda: Arc<Agenda>,
    trace: Trace,
    state: Mutex<State>,
}

struct State {
    draw: Draw,
    paces: Layers<[u64; 2]>,
    quotas: Layers<u64>,
    stall: Stall,
    frozen: bool,
    scheduled: BTreeSet<String>,
    trap: Option<Trap>,
    on_death: Option<OnDeath>,
    syncs: u64,
}

/// Whose writes stand still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Whole,
    /// Those of one writer: its file lies apart, or the others' syncs are served first. Its group falls behind while its
    /// process leads others.
    Writer(String),
}

#[derive(Debug)]
struct Stall {
    until: u64,
    extent: Extent,
}

impl Stall {
    const NONE: Stall = Stall { until: 0, extent: Extent::Whole };

    fn until(&self, writer: &str) -> u64 {
        match &self.extent {
            Extent::Writer(stalled) if stalled != writer => 0,
            Extent::Writer(_) | Extent::Whole => self.until,
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({})", self.0.name)
    }
}

impl Disk {
    /// One on which something lies already.
    pub fn holding(
        backend: MemoryBackend,
        seed: u64,
        name: String,
        agenda: Arc<Agenda>,
        trace: Trace,
    ) -> Disk {
        let state = State {
            draw: Draw::of(seed, &format!("disk {name}")),
            paces: Layers::NONE,
            quotas: Layers::NONE,
            stall: Stall::NONE,
            frozen: false,
            scheduled: BTreeSet::new(),
            trap: None,
            on_death: None,
            syncs: 0,
        };
        Disk(Arc::new(Shared { name, backend, agenda, trace, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files, for who looks at them between two lives.
    pub fn files(&self) -> &MemoryBackend {
        &self.0.backend
    }

    /// A process begins to use it.
    pub fn begin(&self, on_death: OnDeath) {
        let mut state = self.state();
        state.on_death = Some(on_death);
        (state.frozen, state.trap) = (false, None);
        self.0.backend.crash_at(u64::MAX);
    }

    /// The process is dead; `crash` says what is left of what was not synced.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.state();
        state.on_death = None;
        state.trap = None;
        state.scheduled.clear();
        drop(state);
        self.0.backend.crash(crash);
    }

    /// A write takes so many microseconds until that is taken back; of several such faults the last counts.
    pub fn slow_down(&self, micros: [u64; 2]) -> Layer {
        self.state().paces.add(micros)
    }

    pub fn speed_up(&self, layer: Layer) {
        self.state().paces.remove(layer);
    }

    /// Its files may grow by so many bytes together until that is taken back; of several such faults the narrowest counts.
    pub fn fill(&self, room: u64) -> Layer {
        let quota = self.0.backend.used_bytes() + room;
        let layer = self.state().quotas.add(quota);
        self.bound();
        layer
    }

    pub fn make_room(&self, layer: Layer) {
        self.state().quotas.remove(layer);
        self.bound();
    }

    fn bound(&self) {
        let quota = self.state().quotas.all().min().copied();
        self.0.backend.set_quota(quota);
    }

    /// Neither slow nor full.
    pub fn mend(&self) {
        let mut state = self.state();
        state.paces.clear();
        state.quotas.clear();
        drop(state);
        self.bound();
    }

    pub fn stall(&self, micros: u64, extent: Extent) {
        let until = self.0.agenda.now() + micros;
        self.state().stall = Stall { until, extent };
    }

    /// A stall is over before its time: what waits is written now.
    pub fn go_on(&self) {
        let mut state = self.state();
        state.stall = Stall::NONE;
        state.scheduled.clear();
        drop(state);
        self.0.backend.writer_names().iter().for_each(|writer| self.schedule(writer));
    }

    /// Nothing when no process uses it.
    pub fn set_trap(&self, trap: Trap) {
        if self.state().on_death.is_none() {
            return;
        }
        if let Trap::Within(operations) = trap {
            self.0.backend.crash_at(self.0.backend.operations() + operations.max(1));
        }
        self.state().trap = Some(trap);
    }

    /// Takes back what was to go wrong.
    pub fn disarm(&self) {
        self.state().trap = None;
        self.0.backend.crash_at(u64::MAX);
        self.0.backend.fail_no_sync();
    }

    /// The process stands still, and its threads with it.
    pub fn freeze(&self, frozen: bool) {
        self.state().frozen = frozen;
        if !frozen {
            self.0.backend.writer_names().iter().for_each(|writer| self.schedule(writer));
        }
    }

    /// What does not fit on it is refused.
    pub fn is_bounded(&self) -> bool {
        self.0.backend.free_bytes().is_ok_and(|free| free < u64::MAX)
    }

    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    fn schedule(&self, writer: &str) {
        let now = self.0.agenda.now();
        let mut state = self.state();
        if !state.scheduled.insert(writer.to_owned()) {
            return;
        }
        let pace = state.paces.all().last().copied().unwrap_or(HEALTHY);
        let (stalled, takes) = (state.stall.until(writer), state.draw.between(pace));
        sometimes!(takes >= SLOW, "disk: a write takes a tenth of a second");
        sometimes!(stalled > now, "disk: a write waits until its disk goes on");
        let at = stalled.max(now) + takes;
        drop(state);
        let (disk, writer) = (self.clone(), writer.to_owned());
        self.0.agenda.at(at, move || disk.step(&writer));
    }

    fn step(&self, writer: &str) {
        let mut state = self.state();
        // Otherwise of an earlier life.
        if !state.scheduled.remove(writer) || state.frozen {
            return;
        }
        let syncs = state.syncs;
        drop(state);
        let mut step = None;
        let fell = falling(|| step = self.0.backend.step_writer(writer));
        if let Err(why) = fell {
            return self.die(Death::Verdict(why));
        }
        let state = self.state();
        let synced = state.syncs > syncs;
        let trap = state.trap;
        drop(state);
        match trap {
            _ if self.0.backend.is_dead() => self.die_if_trapped(),
            Some(trap @ Trap::AfterSync) if synced => self.die(Death::Trapped(trap)),
            _ if step == Some(Step::Worked) => self.schedule(writer),
            _ => {}
        }
    }

    /// Any operation may be the one at which the process was to die.
    fn die_if_trapped(&self) {
        let trap = self.state().trap;
        if let Some(trap) = trap.filter(|_| self.0.backend.is_dead()) {
            self.die(Death::Trapped(trap));
        }
    }

    fn die(&self, death: Death) {
        let on_death = self.state().on_death.take();
        if let Some(on_death) = on_death {
            let within = matches!(death, Death::Trapped(Trap::Within(_)));
            sometimes!(within, "disk: a process died within a write");
            let after = death == Death::Trapped(Trap::AfterSync);
            sometimes!(after, "disk: a process died after a sync");
            on_death(death);
        }
    }

    fn note(&self, what: What<'_>) {
        self.0.trace.note(self.0.agenda.now(), &self.0.name, what);
    }
}

impl StoreBackend for Disk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let inner = self.0.backend.open(name)?;
        Ok(Box::new(File { disk: self.clone(), name: name.to_owned(), inner }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.0.backend.exists(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.note(What::Moved { file: from, to });
        self.0.backend.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.note(What::Moved { file: name, to: "" });
        self.0.backend.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.note(What::Synced { file: "" });
        self.0.backend.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.0.backend.free_bytes()
    }

    fn start_writer(&self, name: &str, writer: Writer) {
        let (disk, who) = (self.clone(), name.to_owned());
        writer.ring(Box::new(move || disk.schedule(&who)));
        self.0.backend.start_writer(name, writer);
        self.schedule(name);
    }

    fn is_dead(&self) -> bool {
        self.0.backend.is_dead()
    }
}

/// A file whose changes are traced.
#[derive(Debug)]
struct File {
    disk: Disk,
    name: String,
    inner: Box<dyn StorageBackend>,
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.note(What::Resized { file: &self.name, length });
        self.inner.set_len(length).inspect_err(|_| self.disk.die_if_trapped())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.note(What::Synced { file: &self.name });
        self.inner.sync_data().inspect_err(|_| self.disk.die_if_trapped())?;
        self.disk.state().syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.note(What::Wrote { file: &self.name, offset, bytes: Bytes(data) });
        self.inner.write(offset, data).inspect_err(|_| self.disk.die_if_trapped())
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    hortator_raft::locks_of!(inner);
}
