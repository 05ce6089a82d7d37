//! One client: asks masters in turn with one key until somebody answers, watches what it started, and remembers every
//! answer. Must not judge them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hortator_core::id::{LimitName, Name, Position, RunId};
use hortator_core::time::Span;
use hortator_proto::api::{Command, Problem, ProblemKind, Query, Request, Response, RunView};
use tokio::time::{Instant, sleep, timeout};

use super::definitions::half;

use super::said::Said;
use super::waits::Waits;
use super::words::words_of;
use super::{Cancelled, Errand, Flow, Habits, LIMITS, LimitSet, Order, Shared, Subject};
use crate::evidence::{LedgerKey, Start};
use crate::world::World;
use crate::world::draw::Draw;
use crate::world::trace::What;

/// Between two looks at a run, as often as `hortator run` looks.
const LOOK: Duration = Duration::from_millis(250);
/// Entries of a history that are followed at a time.
const FOLLOWED_PAGE: u32 = 4;
/// Every so many errands end with their run's history.
const FOLLOWS_EVERY: u64 = 4;
/// Looks at a run that go on to ask why it waits, in millionths: a question costs what the look costs.
const ASKS_WHY: u64 = 200_000;
/// Errands in a million before which a limit is changed.
const LIMIT_CHANGES: u64 = 300_000;
/// Before the next master is asked.
const REST: [u64; 2] = [10_000, 200_000];
/// States that are final.
pub(crate) const FINAL: [&str; 3] = ["succeeded", "failed", "cancelled"];

pub(super) struct Client {
    world: Rc<World>,
    name: String,
    number: u64,
    /// Microseconds.
    patience: [u64; 2],
    shared: Shared,
    /// Whether it is on no errand: then nobody waits for it.
    rests: Rc<Cell<bool>>,
    /// Of the errand under way.
    draw: RefCell<Draw>,
}

/// What became of one call.
enum Heard {
    Answer(Response),
    /// A refusal that more asking does not change.
    Refusal(Problem),
    /// It may have happened or not, now or later.
    Nothing,
}

impl Client {
    pub(super) fn new(world: Rc<World>, number: u64, patience: [u64; 2], shared: Shared) -> Client {
        let name = format!("client-{number}");
        let draw = RefCell::new(world.draw(&name));
        Client { world, name, number, patience, shared, rests: Rc::default(), draw }
    }

    pub(super) fn rests(&self) -> Rc<Cell<bool>> {
        self.rests.clone()
    }

    /// The first that a cluster hears of it.
    pub(super) async fn begin(self, habits: Habits) {
        self.store_workflows().await;
        self.run(habits).await;
    }

    /// Asks once more for what it does not know to be over, with the same keys; then goes on errands.
    pub(super) async fn go_on(self, open: Vec<Errand>, habits: Habits) {
        for errand in open {
            self.draw.replace(self.world.draw(&format!("{}.{} again", self.name, errand.number)));
            if let Some(flow) = self.flow(&errand) {
                self.start(flow, &errand).await;
            }
            if self.shared.stop.get() {
                return;
            }
        }
        self.run(habits).await;
    }

    /// Goes on errands until it is told to stop.
    pub(super) async fn run(self, habits: Habits) {
        loop {
            let number = self.next_number();
            let mut draw = self.world.draw(&format!("{}.{number}", self.name));
            let pause = draw.log_between(habits.pause);
            self.pause(Duration::from_micros(pause)).await;
            let limit = self.draw_limit(&mut draw);
            let at = Span(self.world.now());
            let errand = Errand::draw(at, self.number, number, &habits, &self.shared.flows, &mut draw);
            let order = self.draw_order(&errand, &habits);
            self.go(&Errand { limit, order, ..errand }).await;
            if self.shared.stop.get() {
                return;
            }
        }
    }

    /// Goes on these errands only, each at its time, or as soon after it as the one before it is over.
    pub(super) async fn repeat(self, errands: Vec<Errand>) {
        self.store_workflows().await;
        for errand in errands {
            self.pause(Duration::from_micros(errand.at.0.saturating_sub(self.world.now()))).await;
            self.go(&errand).await;
            if self.shared.stop.get() {
                return;
            }
        }
    }

    /// Between two errands; it may end here.
    async fn pause(&self, pause: Duration) {
        self.rests.set(true);
        sleep(pause).await;
        self.rests.set(false);
    }

    /// The first of all does it for all.
    async fn store_workflows(&self) {
        if self.number == 0 {
            for (name, max) in LIMITS.iter().filter(|_| self.shared.knows_limits()) {
                let heard = self.insist(set_limit(known(name), *max)).await;
                self.said_of_limit(known(name), *max, heard);
            }
            for flow in self.shared.flows.iter() {
                let heard = self.insist(Request::Command(flow.apply())).await;
                let subject = Subject::Workflow(flow.definition.name.clone());
                // It may come once more from a try that nobody answered.
                self.said(subject.clone(), |said| said.ask_in_vain(flow.hash()));
                if let Heard::Answer(_) = heard {
                    self.said(subject, |said| said.acknowledge(flow.hash()));
                }
            }
        }
    }

    fn said_of_limit(&self, name: Name, max: u32, heard: Heard) {
        let mut told = self.shared.told.borrow_mut();
        let said = told.limits.entry(name).or_default();
        match heard {
            Heard::Answer(_) => said.acknowledge(max),
            Heard::Refusal(_) => {}
            Heard::Nothing => said.ask_in_vain(max),
        }
    }

    /// One of the clients moves a limit between its maximum and half of it.
    fn draw_limit(&self, draw: &mut Draw) -> Option<LimitSet> {
        if self.number != 0 || !self.shared.knows_limits() || !draw.chance(LIMIT_CHANGES) {
            return None;
        }
        let (name, max) = LIMITS[draw.below(LIMITS.len() as u64) as usize];
        let max = if draw.chance(500_000) { max } else { half(max) };
        Some(LimitSet { name: known(name), max })
    }

    fn next_number(&self) -> u64 {
        let mut numbers = self.shared.numbers.borrow_mut();
        let next = numbers.entry(self.number).or_default();
        *next += 1;
        *next - 1
    }

    fn draw_order(&self, errand: &Errand, habits: &Habits) -> Option<Order> {
        let mut draw = self.world.draw(&format!("{}.{} orders", self.name, errand.number));
        let workers = self.world.shape().worker_names();
        Order::draw(self.number, habits, self.flow(errand)?, &workers, &mut draw)
    }

    fn flow(&self, errand: &Errand) -> Option<&Flow> {
        self.shared.flows.iter().find(|flow| flow.definition.name.to_string() == errand.workflow)
    }

    /// Once: what it does not hear of is left as it is.
    async fn give(&self, order: &Order, flow: &Flow, errand: &Errand) {
        let key = format!("{}-triggered", errand.key());
        let sets = order.sets(flow);
        if sets.is_none() {
            self.shared.told.borrow_mut().starts.insert(key.clone(), Start::Unknown);
        }
        let heard = self.call(&Request::Command(order.command(flow, key.clone(), self.name.clone()))).await;
        match (heard, sets) {
            (Heard::Answer(Response::Started { run, .. }), None) => self.acknowledge(&key, run),
            (Heard::Answer(_), Some((subject, value))) => {
                self.said(subject.clone(), |said| said.acknowledge(value));
                self.look_after(&subject).await;
            }
            (Heard::Nothing, Some((subject, value))) => self.said(subject, |said| said.ask_in_vain(value)),
            (Heard::Refusal(_) | Heard::Nothing, _) => {}
            (Heard::Answer(other), None) => self.wrong(format!("{other:?} answers {order:?}")).unwrap_or(()),
        }
    }

    /// Whoever was told that it is so sees it, whichever master he asks. Once: somebody may be away.
    async fn look_after(&self, subject: &Subject) {
        let Heard::Answer(answer) = self.call(&Request::Query(subject.query())).await else { return };
        let Some(seen) = subject.read(&answer) else { return };
        let said = self.shared.told.borrow().settings[subject].clone();
        // At the end others take it back.
        if !said.allows(&seen) && !self.shared.stop.get() {
            self.wrong::<()>(format!("{subject:?} is {seen:?} right after an answer, and was told {said:?}"));
        }
    }

    fn said(&self, subject: Subject, take: impl FnOnce(&mut Said<String>)) {
        take(self.shared.told.borrow_mut().settings.entry(subject).or_default());
    }

    /// Sets a limit if it is to, starts a run and sees what becomes of it.
    async fn go(&self, errand: &Errand) {
        self.shared.errands.borrow_mut().push(errand.clone());
        self.draw.replace(self.world.draw(&format!("{}.{} calls", self.name, errand.number)));
        if let Some(LimitSet { name, max }) = &errand.limit {
            let heard = self.call(&set_limit(name.clone(), *max)).await;
            self.said_of_limit(name.clone(), *max, heard);
        }
        let Some(flow) = self.flow(errand) else { return };
        if let Some(order) = &errand.order {
            self.give(order, flow, errand).await;
        }
        let Some(run) = self.start(flow, errand).await else { return };
        let state = self.watch(run, errand.cancel_after).await;
        if let Some(state) = state.as_ref().filter(|_| !errand.retries) {
            self.shared.told.borrow_mut().finals.insert(run, state.clone());
            if errand.number.is_multiple_of(FOLLOWS_EVERY) {
                self.follow(run).await;
            }
        }
        self.look_back().await;
        if state.as_deref() == Some("failed") && errand.retries {
            let request = Request::Command(Command::RetryFailed { run, by: self.name.clone() });
            if let Heard::Answer(_) = self.call(&request).await {
                self.shared.told.borrow_mut().retries.insert(run);
                self.watch(run, None).await;
            }
        }
    }

    /// Asks with one key until somebody answers; sometimes once more, as a client does that lost the answer.
    async fn start(&self, flow: &Flow, errand: &Errand) -> Option<RunId> {
        let key = &errand.key();
        self.shared.told.borrow_mut().starts.entry(key.to_owned()).or_insert(Start::Unknown);
        let request = Request::Command(Command::Start {
            workflow: flow.definition.name.clone(),
            version: None,
            inputs: BTreeMap::new(),
            priority: None,
            key: Some(key.to_owned()),
            by: self.name.clone(),
        });
        let mut started = None;
        loop {
            match self.call(&request).await {
                Heard::Answer(Response::Started { run, .. }) => {
                    self.acknowledge(key, run);
                    if started.replace(run).is_some() || !errand.repeats {
                        return started;
                    }
                    self.rest().await;
                }
                Heard::Answer(other) => return self.wrong(format!("{other:?} answers a start")),
                // The workflow is not there yet, or its concurrency is used up.
                Heard::Refusal(_) => return started,
                Heard::Nothing if errand.gives_up => return started,
                Heard::Nothing => self.rest().await,
            }
            if self.shared.stop.get() && started.is_some() {
                return started;
            }
        }
    }

    fn acknowledge(&self, key: &str, run: RunId) {
        let mut told = self.shared.told.borrow_mut();
        let at = self.world.wall();
        match told.starts.get_mut(key) {
            Some(Start::Acknowledged { runs, .. }) => runs.push(run),
            _ => {
                told.starts.insert(key.to_owned(), Start::Acknowledged { runs: vec![run], first_at: at });
            }
        }
    }

    /// Looks until the run is over or nobody asks any more; cancels it after so many looks.
    async fn watch(&self, run: RunId, cancel_after: Option<u64>) -> Option<String> {
        let (mut waits, mut succeeded) = (Waits::default(), 0);
        for look in 0u64.. {
            sleep(LOOK).await;
            if cancel_after == Some(look) {
                self.cancel(run).await;
            }
            if let Some(view) = self.look(run).await {
                let count = view.counts.get("succeeded").copied().unwrap_or_default();
                if count > succeeded && self.note_successes(run).await {
                    succeeded = count;
                }
                if view.state == "cancelled" {
                    self.note_cancelled(run);
                }
                if FINAL.contains(&view.state.as_str()) {
                    return Some(view.state);
                }
                if self.draw.borrow_mut().chance(ASKS_WHY) {
                    self.ask_why(run, &mut waits).await;
                }
            }
            if self.shared.stop.get() {
                return None;
            }
        }
        None
    }

    /// Reads a history from its beginning in small pages, of any master.
    async fn follow(&self, run: RunId) {
        let mut entries: Vec<(Position, usize)> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |(position, _)| position.index);
            let query = Query::Events { run, after, limit: FOLLOWED_PAGE };
            let Heard::Answer(Response::Events { entries: page, .. }) =
                self.call(&Request::Query(query)).await
            else {
                break;
            };
            let is_last = page.len() < FOLLOWED_PAGE as usize;
            entries.extend(page.iter().map(|entry| (entry.position, entry.events.len())));
            if is_last {
                break;
            }
        }
        self.shared.told.borrow_mut().followed.insert(run, entries);
    }

    /// A run that was seen at its end is looked at again, at any master: it is where it was. Often the newest, which a
    /// master that is behind does not know yet.
    async fn look_back(&self) {
        let some = {
            let finals = &self.shared.told.borrow().finals;
            let mut draw = self.draw.borrow_mut();
            let some = match draw.chance(500_000) {
                true => finals.last_key_value(),
                false if finals.is_empty() => None,
                false => finals.iter().nth(draw.below(finals.len() as u64) as usize),
            };
            some.map(|(run, state)| (*run, state.clone()))
        };
        let Some((run, state)) = some else { return };
        if let Some(view) = self.look(run).await
            && view.state != state
        {
            self.wrong::<()>(format!("run {run} was {state}, and a later look shows it {}", view.state));
        }
    }

    /// One look at a run that was acknowledged.
    async fn look(&self, run: RunId) -> Option<RunView> {
        match self.call(&Request::Query(Query::Run { run })).await {
            Heard::Answer(Response::Run(view)) => Some(*view),
            Heard::Answer(other) => self.wrong(format!("{other:?} answers a question for a run")),
            Heard::Refusal(problem) => self
                .wrong(format!("run {run} was acknowledged, and a later question was answered: {problem}")),
            Heard::Nothing => None,
        }
    }

    /// Whatever waits says why.
    async fn ask_why(&self, run: RunId, waits: &mut Waits) {
        let why = Request::Query(Query::Explain { run, task: None });
        let Heard::Answer(Response::Explain(told)) = self.call(&why).await else { return };
        let query = Query::TaskRuns { run, states: vec!["ready".to_owned()], after: None, limit: 1_000 };
        let Heard::Answer(Response::TaskRuns { tasks, .. }) = self.call(&Request::Query(query)).await else {
            return;
        };
        if let Some(unexplained) = waits.judge(run, &told, &tasks, Instant::now()) {
            self.shared.told.borrow_mut().unexplained.push(format!("{}: {unexplained}", self.name));
        }
    }

    async fn cancel(&self, run: RunId) {
        let request =
            Request::Command(Command::Cancel { run, reason: Some("a whim".into()), by: self.name.clone() });
        if let Heard::Answer(Response::Accepted { state, .. }) = self.call(&request).await
            && ["cancelling", "cancelled"].contains(&state.as_str())
        {
            self.shared.told.borrow_mut().cancels.entry(run).or_insert(Cancelled::Accepted);
        }
    }

    fn note_cancelled(&self, run: RunId) {
        let length = self.world.ledger().length();
        let mut told = self.shared.told.borrow_mut();
        if let Some(cancelled @ Cancelled::Accepted) = told.cancels.get_mut(&run) {
            *cancelled = Cancelled::Seen(length);
        }
    }

    /// Which task runs have succeeded, when there are more than at an earlier look; whether somebody said it.
    async fn note_successes(&self, run: RunId) -> bool {
        let states = vec!["succeeded".to_owned()];
        let query = Query::TaskRuns { run, states, after: None, limit: 1_000 };
        let Heard::Answer(Response::TaskRuns { tasks, .. }) = self.call(&Request::Query(query)).await else {
            return false;
        };
        // What is read now may start no more from here on.
        let length = self.world.ledger().length();
        let mut told = self.shared.told.borrow_mut();
        for task in tasks {
            let key = LedgerKey { run, task: task.id.to_string(), item: task.item.unwrap_or(0) };
            told.seen_succeeded.entry(key).or_insert(length);
        }
        true
    }

    /// Until somebody answers; nothing is heard where the world's end comes first.
    async fn insist(&self, request: Request) -> Heard {
        while !self.shared.stop.get() {
            match self.call(&request).await {
                Heard::Nothing => self.rest().await,
                Heard::Refusal(problem) => {
                    let _: Option<()> = self.wrong(format!("refused: {problem}"));
                    return Heard::Refusal(problem);
                }
                Heard::Answer(answer) => return Heard::Answer(answer),
            }
        }
        Heard::Nothing
    }

    /// One call to any master.
    async fn call(&self, request: &Request) -> Heard {
        let (master, patience) = {
            let mut draw = self.draw.borrow_mut();
            let masters = self.world.master_ids();
            (draw.pick(&masters).copied().unwrap_or(1), draw.log_between(self.patience))
        };
        self.shared.told.borrow_mut().calls += 1;
        let asked_at = self.shared.told.borrow().horizon.clone();
        let Some(gateway) = self.world.gateway(master) else { return self.nothing(master, "is down") };
        let asked = timeout(Duration::from_micros(patience), gateway.request(request.clone())).await;
        match asked {
            Err(_) => self.nothing(master, "does not answer"),
            Ok(Response::Problem(problem)) => match problem.kind {
                ProblemKind::Unavailable | ProblemKind::Busy | ProblemKind::Internal => {
                    self.nothing(master, &problem.code)
                }
                _ => {
                    self.shared.told.borrow_mut().refused += 1;
                    self.world.note(&self.name, What::Client { words: &problem.detail });
                    Heard::Refusal(problem)
                }
            },
            Ok(response) => {
                let words = format!("n{master}: {}", words_of(&response));
                self.world.note(&self.name, What::Client { words: &words });
                if let Some(stale) = asked_at.judge(&response) {
                    self.wrong::<()>(format!("n{master}: {stale}"));
                }
                self.shared.told.borrow_mut().horizon.see(&response);
                Heard::Answer(response)
            }
        }
    }

    fn nothing(&self, master: u64, why: &str) -> Heard {
        self.shared.told.borrow_mut().unanswered += 1;
        self.world.note(&self.name, What::Client { words: &format!("n{master} {why}") });
        Heard::Nothing
    }

    async fn rest(&self) {
        let rest = self.draw.borrow_mut().log_between(REST);
        sleep(Duration::from_micros(rest)).await;
    }

    fn wrong<T>(&self, what: String) -> Option<T> {
        self.shared.told.borrow_mut().wrong.push(format!("{}: {what}", self.name));
        None
    }
}

fn known(text: &str) -> Name {
    Name::new(text).expect("letters are a name")
}

fn set_limit(name: Name, max: u32) -> Request {
    let name = LimitName { namespace: known("default"), name };
    Request::Command(Command::SetLimit { name, max, by: "client".into() })
}
