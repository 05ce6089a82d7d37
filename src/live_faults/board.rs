//! The faults that hold now: adds them, ends each when its time is over, counts and logs them. Must not know how a seam
//! carries one out.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use hortator_actors::seam::Clock;
use hortator_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use slog::{Logger, warn};

use super::node::{Effect, NodeFaults};
use super::order::{LASTS_MAX, Order, Path, Wanted};
use super::wires::{Peer, Rule, Way};
use crate::env::SystemClock;

/// Faults at a time: more than anybody can keep in mind.
const ACTIVE_MAX: usize = 32;

/// Ends nodes of this process and starts them again.
pub trait Keeper: Send + Sync {
    /// Returns when it is gone; a sentence when it cannot be.
    fn kill(&self, node: &str) -> Result<(), String>;
    /// Starts it again, some time soon.
    fn revive(&self, node: &str);
}

pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
    keeper: OnceLock<Arc<dyn Keeper>>,
    log: Logger,
}

#[derive(Default)]
struct State {
    /// Those of this process.
    nodes: BTreeMap<String, Arc<NodeFaults>>,
    active: BTreeMap<u64, Active>,
    added: u64,
    counts: BTreeMap<&'static str, u64>,
}

struct Active {
    view: FaultView,
    ends: Instant,
    effects: Vec<(String, Effect)>,
}

/// A fault that holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultView {
    pub id: u64,
    pub kind: String,
    /// As it is ordered.
    pub fault: String,
    pub by: String,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// Why a fault is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Bounds(String),
    #[error("{node} is no node of this process; its nodes are {known}")]
    NotHere { node: String, known: String },
    #[error("{0}")]
    NotPossible(String),
    #[error("{ACTIVE_MAX} faults hold already")]
    Full,
    #[error("there is no fault {0}")]
    Unknown(u64),
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Board")
    }
}

impl FaultView {
    pub fn line(&self) -> String {
        let left = Span(self.until.since(SystemClock.wall()).0 / 1_000_000 * 1_000_000);
        format!("{} (fault {}, by {}, {left} left)", self.fault, self.id, self.by)
    }
}

impl Board {
    /// Its thread ends with it.
    pub fn start(log: &Logger) -> Arc<Board> {
        let board = Arc::new(Board {
            state: Mutex::default(),
            changed: Condvar::new(),
            keeper: OnceLock::new(),
            log: log.clone(),
        });
        let weak = Arc::downgrade(&board);
        let thread = std::thread::Builder::new().name("faults".into());
        thread.spawn(move || watch(&weak)).expect("the system gives a thread");
        board
    }

    /// Who can kill nodes here; nobody can where it is not said.
    pub fn kept_by(&self, keeper: Arc<dyn Keeper>) {
        assert!(self.keeper.set(keeper).is_ok(), "a process has one keeper");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node begins a life; what holds for it holds for this one too.
    pub(crate) fn attach(&self, node: &str) -> Arc<NodeFaults> {
        let faults = Arc::<NodeFaults>::default();
        let mut state = self.state();
        for (id, active) in &state.active {
            let own = active.effects.iter().filter(|(name, _)| name == node);
            own.for_each(|(_, effect)| faults.apply(*id, effect));
        }
        state.nodes.insert(node.to_owned(), faults.clone());
        faults
    }

    pub fn list(&self) -> Vec<FaultView> {
        self.state().active.values().map(|active| active.view.clone()).collect()
    }

    /// How many of each kind there were.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.state().counts.iter().map(|(kind, count)| (*kind, *count)).collect()
    }

    /// Blocks while a node is killed.
    pub fn add(&self, wanted: &Wanted, by: &str) -> Result<FaultView, Refusal> {
        let Wanted { fault, lasts } = wanted;
        fault.check().map_err(Refusal::Bounds)?;
        if lasts.0 == 0 || *lasts > LASTS_MAX {
            return Err(Refusal::Bounds(format!("a fault lasts up to {LASTS_MAX}, not {lasts}")));
        }
        let mut state = self.state();
        if state.active.len() >= ACTIVE_MAX {
            return Err(Refusal::Full);
        }
        let effects = effects(fault, &state.nodes.keys().map(String::as_str).collect::<Vec<_>>())?;
        if let Some((node, _)) = effects.iter().find(|(_, effect)| matches!(effect, Effect::Kill)) {
            let node = node.clone();
            let dead = |active: &Active| {
                active.effects.iter().any(|(name, effect)| *name == node && matches!(effect, Effect::Kill))
            };
            if state.active.values().any(dead) {
                return Err(Refusal::NotPossible(format!("{node} is down already")));
            }
            drop(state);
            let keeper = self.keeper.get().ok_or_else(|| Refusal::NotPossible(alone(&node)))?;
            keeper.kill(&node).map_err(Refusal::NotPossible)?;
            state = self.state();
        }
        state.added += 1;
        *state.counts.entry(fault.kind()).or_default() += 1;
        let (id, now) = (state.added, SystemClock.wall());
        let view = FaultView {
            id,
            kind: fault.kind().into(),
            fault: fault.to_string(),
            by: by.into(),
            since: now,
            until: now.plus(*lasts),
        };
        for (node, effect) in &effects {
            if let Some(faults) = state.nodes.get(node) {
                faults.apply(id, effect);
            }
        }
        let ends = Instant::now() + lasts.as_duration();
        state.active.insert(id, Active { view: view.clone(), ends, effects });
        drop(state);
        warn!(self.log, "a fault is injected"; "fault" => id, "what" => &view.fault, "by" => by, "for" => %lasts);
        self.changed.notify_all();
        Ok(view)
    }

    /// Ends one before its time.
    pub fn clear(&self, id: u64) -> Result<FaultView, Refusal> {
        self.end(id, "cleared").ok_or(Refusal::Unknown(id))
    }

    /// Ends all that hold, and says which.
    pub fn clear_all(&self) -> Vec<FaultView> {
        let ids: Vec<u64> = self.state().active.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.end(id, "cleared")).collect()
    }

    fn end(&self, id: u64, why: &str) -> Option<FaultView> {
        let mut state = self.state();
        let ended = state.active.remove(&id)?;
        let mut dead = Vec::new();
        for (node, effect) in &ended.effects {
            if let Some(faults) = state.nodes.get(node) {
                faults.lift(id);
            }
            if matches!(effect, Effect::Kill) {
                dead.push(node.clone());
            }
        }
        drop(state);
        if let Some(keeper) = self.keeper.get() {
            dead.iter().for_each(|node| keeper.revive(node));
        }
        warn!(self.log, "a fault ends"; "fault" => id, "what" => &ended.view.fault, "why" => why);
        Some(ended.view)
    }

    /// Ends those whose time is over, and waits for the next.
    fn round(&self) {
        let now = Instant::now();
        let over: Vec<u64> = {
            let state = self.state();
            let over = state.active.iter().filter(|(_, active)| active.ends <= now);
            over.map(|(id, _)| *id).collect()
        };
        over.into_iter().for_each(|id| drop(self.end(id, "its time is over")));
        let state = self.state();
        let next = state.active.values().map(|active| active.ends).min();
        let wait = next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()).min(IDLE));
        drop(self.changed.wait_timeout(state, wait));
    }
}

/// How long the thread sleeps before it looks whether there still is a board.
const IDLE: Duration = Duration::from_secs(1);

fn watch(board: &Weak<Board>) {
    while let Some(board) = board.upgrade() {
        board.round();
    }
}

fn alone(node: &str) -> String {
    format!("{node} is a process of its own here: kill that process, and start it again")
}

/// What the order does to which of these nodes. A link's fault is made at one end.
fn effects(order: &Order, here: &[&str]) -> Result<Vec<(String, Effect)>, Refusal> {
    let known = |node: &str| here.contains(&node);
    let own = |node: &str, effect: Effect| match known(node) {
        true => Ok(vec![(node.to_owned(), effect)]),
        false => Err(Refusal::NotHere { node: node.to_owned(), known: here.join(", ") }),
    };
    let master = |node: &str, effect: Effect| match node.starts_with('n') || !known(node) {
        true => own(node, effect),
        false => Err(Refusal::NotPossible(format!("{node} is no master: only their files decide anything"))),
    };
    match order {
        Order::Delay { path, by, spread } => {
            let (by, spread) = (by.as_duration(), spread.as_duration());
            on_path(path, here, |way, peer| Rule::Late { way, peer, by, spread })
        }
        Order::Drop { path, percent } => {
            on_path(path, here, |way, peer| Rule::Lost { way, peer, percent: *percent })
        }
        Order::Partition { one, other } => partition(one, other, here),
        Order::FsyncDelay { node, by } => master(node, Effect::SlowDisk(by.as_duration())),
        Order::DiskFull { node } => master(node, Effect::FullDisk),
        Order::ClockJump { node, micros } => own(node, Effect::ClockAhead { micros: *micros }),
        Order::ClockDrift { node, rate } => own(node, Effect::ClockFast { rate: *rate }),
        Order::Kill { node } => own(node, Effect::Kill),
        Order::Pause { node } => own(node, Effect::Pause),
        Order::HeartbeatLoss { node } if known(node) => {
            own(node, Effect::Wires(Rule::NoHeartbeats { way: Way::Out, peer: Peer::Any }))
        }
        Order::HeartbeatLoss { node } => {
            let rule = Rule::NoHeartbeats { way: Way::In, peer: Peer::One(node.clone()) };
            everywhere(here, &rule)
        }
    }
}

fn everywhere(here: &[&str], rule: &Rule) -> Result<Vec<(String, Effect)>, Refusal> {
    Ok(here.iter().map(|node| ((*node).to_owned(), Effect::Wires(rule.clone()))).collect())
}

fn on_path(
    path: &Path,
    here: &[&str],
    rule: impl Fn(Way, Peer) -> Rule,
) -> Result<Vec<(String, Effect)>, Refusal> {
    let at = |node: &str, way, peer| (node.to_owned(), Effect::Wires(rule(way, peer)));
    match path {
        Path::Link { from, to } if here.contains(&from.as_str()) => {
            Ok(vec![at(from, Way::Out, Peer::One(to.clone()))])
        }
        Path::Link { from, to } if here.contains(&to.as_str()) => {
            Ok(vec![at(to, Way::In, Peer::One(from.clone()))])
        }
        Path::Link { from, .. } => Err(Refusal::NotHere { node: from.clone(), known: here.join(", ") }),
        Path::Around(node) if here.contains(&node.as_str()) => {
            Ok(vec![at(node, Way::Out, Peer::Any), at(node, Way::In, Peer::Any)])
        }
        Path::Around(node) => {
            let both = |own: &&str| {
                let peer = || Peer::One(node.clone());
                [at(own, Way::Out, peer()), at(own, Way::In, peer())]
            };
            Ok(here.iter().flat_map(both).collect())
        }
    }
}

/// Each link is cut at every end that is here.
fn partition(one: &[String], other: &[String], here: &[&str]) -> Result<Vec<(String, Effect)>, Refusal> {
    let pairs = one.iter().flat_map(|a| other.iter().flat_map(move |b| [(a, b), (b, a)]));
    let cut = |(node, peer): (&String, &String)| {
        here.contains(&node.as_str()).then(|| (node.clone(), Effect::Wires(Rule::Cut { peer: peer.clone() })))
    };
    let effects: Vec<_> = pairs.filter_map(cut).collect();
    match (effects.is_empty(), one.first()) {
        (true, Some(node)) => Err(Refusal::NotHere { node: node.clone(), known: here.join(", ") }),
        _ => Ok(effects),
    }
}
