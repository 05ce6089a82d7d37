//! Runs the lives of a world in one thread: each is a set of tasks of its own, which can be frozen, and whose drop is its
//! crash. Which of those that are ready goes first, the seed draws. Must not know what runs in a life.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::PanicHookInfo;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use hortator_actors::caught::is_deciding;
use hortator_actors::seam::{Room, Rooms};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{Sleep, sleep_until};

use super::agenda::{Agenda, Work};
use super::draw::Draw;
use super::trace::{Trace, What};

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static ON_STAGE: Cell<bool> = const { Cell::new(false) };
    static RUNNING: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The name of the life that runs now, if one does.
pub fn on_stage() -> Option<String> {
    RUNNING.with_borrow(Clone::clone)
}

/// A life on the stage. Dropping it changes nothing; [`Stage::end`] is its crash.
#[derive(Debug)]
pub struct Life {
    number: u64,
    name: String,
    tasks: RefCell<Option<LocalSet>>,
    bell: Arc<Bell>,
    waker: Waker,
    frozen: Cell<bool>,
}

/// All rooms of one life are one.
#[derive(Debug)]
pub struct Door(UnboundedSender<Work>);

impl Rooms for Door {
    fn enter(&self, _: Room, work: Work) {
        // With nobody inside any more the life is over.
        let _ = self.0.send(work);
    }
}

/// See the module.
#[derive(Debug)]
pub struct Stage {
    agenda: Arc<Agenda>,
    trace: Trace,
    lives: RefCell<BTreeMap<u64, Rc<Life>>>,
    begun: Cell<u64>,
    order: RefCell<Draw>,
    root: Arc<Root>,
    doom: Arc<Doom>,
    falls: RefCell<Vec<Fall>>,
    fallen: Notify,
}

/// Stops lives in the middle of a work, before anything of them runs again.
#[derive(Debug, Default)]
pub struct Doom(Mutex<Vec<u64>>);

impl Doom {
    pub fn strike(&self, life: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(life);
    }

    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A life in which something panicked that is no decider: in production that ends the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fall {
    pub life: u64,
    pub name: String,
    pub why: String,
}

/// Who runs the lives, and which of them have been woken since it looked.
#[derive(Debug, Default)]
struct Root {
    waker: Mutex<Option<Waker>>,
    woken: Mutex<Vec<u64>>,
}

#[derive(Debug)]
struct Bell {
    life: u64,
    woken: AtomicBool,
    root: Arc<Root>,
}

impl Root {
    fn listen(&self, waker: &Waker) {
        let mut listening = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !listening.as_ref().is_some_and(|before| before.will_wake(waker)) {
            *listening = Some(waker.clone());
        }
    }

    fn wake(&self, life: u64) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(life);
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// In order of their numbers.
    fn woken(&self) -> Vec<u64> {
        let mut woken = std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
        woken.sort_unstable();
        woken.dedup();
        woken
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Bell>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.root.wake(self.life);
        }
    }
}

impl Stage {
    pub fn new(seed: u64, agenda: Arc<Agenda>, trace: Trace) -> Rc<Stage> {
        listen_for_panics();
        Rc::new(Stage {
            agenda,
            trace,
            lives: RefCell::default(),
            begun: Cell::new(0),
            order: RefCell::new(Draw::of(seed, "stage")),
            root: Arc::default(),
            doom: Arc::default(),
            falls: RefCell::default(),
            fallen: Notify::new(),
        })
    }

    pub fn begin(&self, name: &str) -> (Rc<Life>, Door) {
        let (door, work) = unbounded_channel();
        let tasks = LocalSet::new();
        tasks.spawn_local(admit(work));
        self.begun.set(self.begun.get() + 1);
        let number = self.begun.get();
        let bell = Arc::new(Bell { life: number, woken: AtomicBool::new(false), root: self.root.clone() });
        bell.wake_by_ref();
        let life = Rc::new(Life {
            number,
            name: name.to_owned(),
            tasks: RefCell::new(Some(tasks)),
            waker: Waker::from(bell.clone()),
            bell,
            frozen: Cell::new(false),
        });
        self.trace.note(self.agenda.now(), name, What::Life { word: "begins" });
        self.lives.borrow_mut().insert(number, life.clone());
        (life, Door(door))
    }

    /// Drops all that is inside. What it could still reach must be dead before.
    pub fn end(&self, life: &Life) {
        if self.lives.borrow_mut().remove(&life.number).is_some() {
            self.trace.note(self.agenda.now(), &life.name, What::Life { word: "ends" });
        }
        let tasks = life.tasks.borrow_mut().take();
        drop(tasks);
    }

    /// Nothing of it runs until it is thawed; its timers go on.
    pub fn freeze(&self, life: &Life, frozen: bool) {
        life.frozen.set(frozen);
        let word = if frozen { "stands still" } else { "goes on" };
        self.trace.note(self.agenda.now(), &life.name, What::Life { word });
        life.bell.woken.store(true, Ordering::Release);
        // What woke it while it stood still was not heard.
        self.root.wake(life.number);
    }

    /// Waits for lives in which something panicked; they stand still from then on.
    pub async fn falls(&self) -> Vec<Fall> {
        loop {
            let falls = self.falls.take();
            if !falls.is_empty() {
                return falls;
            }
            self.fallen.notified().await;
        }
    }

    /// Lets everything happen until `story`, which runs in a life of its own, is told.
    pub async fn tell<T: 'static>(self: &Rc<Stage>, story: impl Future<Output = T> + 'static) -> T {
        let (life, _door) = self.begin("world");
        let told = Rc::new(RefCell::new(None));
        if let Some(tasks) = &*life.tasks.borrow() {
            let told = told.clone();
            tasks.spawn_local(async move {
                let end = story.await;
                *told.borrow_mut() = Some(end);
            });
        }
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        let result = std::future::poll_fn(|context| {
            self.root.listen(context.waker());
            self.agenda.look();
            loop {
                self.run_lives();
                if let Some(end) = told.borrow_mut().take() {
                    return Poll::Ready(end);
                }
                if let Some(fall) = self.falls.borrow().iter().find(|fall| fall.life == life.number) {
                    // Nothing would ever end the story.
                    panic!("the story itself failed: {}", fall.why);
                }
                if let Some(work) = self.agenda.due() {
                    work();
                    self.stop_doomed();
                    continue;
                }
                let Some(at) = self.agenda.wakes_at() else { return Poll::Pending };
                if timer.as_ref().is_none_or(|timer| timer.deadline() != at) {
                    timer = Some(Box::pin(sleep_until(at)));
                }
                if timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_pending()) {
                    return Poll::Pending;
                }
                timer = None;
            }
        })
        .await;
        self.end(&life);
        result
    }

    pub fn doom(&self) -> Arc<Doom> {
        self.doom.clone()
    }

    fn stop_doomed(&self) {
        for number in self.doom.take() {
            if let Some(life) = self.lives.borrow().get(&number) {
                life.frozen.set(true);
            }
        }
    }

    /// Until none is ready any more.
    fn run_lives(&self) {
        loop {
            let lives = self.lives.borrow();
            let is_ready = |life: &&Rc<Life>| !life.frozen.get() && life.bell.woken.load(Ordering::Acquire);
            let woken = self.root.woken();
            let mut ready: Vec<Rc<Life>> =
                woken.iter().filter_map(|number| lives.get(number)).filter(is_ready).cloned().collect();
            drop(lives);
            if ready.is_empty() {
                return;
            }
            self.order.borrow_mut().shuffle(&mut ready);
            for life in ready {
                self.run(&life);
                self.stop_doomed();
            }
        }
    }

    fn run(&self, life: &Rc<Life>) {
        life.bell.woken.store(false, Ordering::Release);
        let mut tasks = life.tasks.borrow_mut();
        // Ended or doomed by one that ran before it.
        let Some(tasks) = tasks.as_mut().filter(|_| !life.frozen.get()) else { return };
        self.trace.note(self.agenda.now(), &life.name, What::Turn);
        ON_STAGE.set(true);
        RUNNING.with_borrow_mut(|running| life.name.clone_into(running.get_or_insert_default()));
        let polled = Pin::new(tasks).poll(&mut Context::from_waker(&life.waker));
        RUNNING.set(None);
        ON_STAGE.set(false);
        debug_assert!(polled.is_pending(), "a life lasts until it is ended");
        if let Some(why) = LAST_PANIC.take() {
            life.frozen.set(true);
            self.trace.note(self.agenda.now(), &life.name, What::Life { word: "falls" });
            self.falls.borrow_mut().push(Fall { life: life.number, name: life.name.clone(), why });
            self.fallen.notify_one();
        }
    }
}

impl Life {
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen.get()
    }
}

/// Runs what may panic as a process does that ends by it; an error says how it panicked.
pub fn falling(work: impl FnOnce()) -> Result<(), String> {
    ON_STAGE.set(true);
    let fell = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
    ON_STAGE.set(false);
    match fell {
        true => Err(LAST_PANIC.take().unwrap_or_else(|| "a panic without words".to_owned())),
        false => Ok(()),
    }
}

/// Lets go of a process that is dead: a crash runs no destructors, so whatever they trip over (locks that it held when it fell)
/// did not happen.
pub fn bury(work: impl FnOnce()) {
    let (on_stage, last) = (ON_STAGE.replace(true), LAST_PANIC.take());
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    ON_STAGE.set(on_stage);
    LAST_PANIC.set(last);
}

async fn admit(mut work: UnboundedReceiver<Work>) {
    while let Some(work) = work.recv().await {
        work();
    }
    // Its actors live on until the life ends.
    std::future::pending::<()>().await;
}

/// A panic on a stage is that of one simulated process; every other one is as before.
fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
            if !ON_STAGE.get() {
                return before(panic);
            }
            if is_deciding() {
                return;
            }
            let words = panic.payload_as_str().unwrap_or("a panic without words");
            let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
            let why = format!("{words} ({})", place.unwrap_or_default());
            LAST_PANIC.with_borrow_mut(|last| {
                last.get_or_insert(why);
            });
        }));
    });
}
