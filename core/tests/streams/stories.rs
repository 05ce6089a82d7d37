//! Stories: a script of what happens, and the grants and reasons that follow.

use hortator_core::definition::Priority;
use hortator_core::dispatch::stream::{OfferBook, QUIET_WAIT};
use hortator_core::dispatch::{
    Change, DispatchCounts, Ended, GrantFailed, KindTag, Outcome, WorkerFacts, WorkerState,
};
use hortator_core::id::{TaskRunId, WorkerRef};
use hortator_core::reason::{Among, Reason};
use hortator_core::time::{Span, Timestamp};

use super::world::{OnGrant, World, groups, load, name, offer, shape, task_run, worker};

/// Runs a script and compares what it printed. Commands, one a line:
///
/// - `worker NAME [slots=1] [group=default] [kinds=shell+noop] [state=up] [life=1]`, `lost NAME`, `groups A B`
/// - `beat NAME RUNNING`: a heartbeat; `worker` gives the first one in
/// - `offer [SHARD:]TASK [PRIORITY] [slots=1] [group=default] [kind=shell]`, `remove TASK`
/// - `keep`: grants stay in the shards' hands until `use TASK` or `refuse TASK`
/// - `end TASK [refused] [took=3s]`: of a task that usually takes a second; `wait 100ms`
/// - `go`: everything is delivered; prints the grants since as `TASK@WORKER`
/// - `speak`, `lose-offers`, `lose-answers`: frames are made and then lost
/// - `new-dispatcher`, `new-epoch SHARD`, `shard-lost SHARD`
/// - `pace NAME`: prints how slow the worker is known to be
/// - `why TASK`: prints the codes; `shown TASK` prints what the shard's own book says
fn check(script: &str, expect: &str) {
    let mut story = Story::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        story.run(line);
    }
    let expect: Vec<&str> = expect.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(story.printed, expect, "printed and expected, of script:\n{script}");
    story.leave_nothing();
}

struct Story {
    world: World,
    printed: Vec<String>,
}

impl Story {
    fn new() -> Story {
        let mut world = World::new(2);
        world.settle();
        Story { world, printed: Vec::new() }
    }

    fn run(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let option = |key, default| option(&words, key, default);
        match words[0] {
            "worker" | "beat" | "lost" | "groups" => self.run_worker(&words),
            "offer" => {
                let task_run = task(words[1]);
                let slots = option("slots", "1").parse().unwrap();
                let shape = shape(&option("group", "default"), kind(&option("kind", "shell")), slots);
                let level = words.get(2).map_or(Priority::Normal, |word| priority(word));
                self.world.insert(offer(task_run.run.shard(), task_run.key.task, &shape, level));
            }
            "remove" => self.world.remove(task(words[1])),
            "keep" => self.world.on_grant = OnGrant::Keep,
            "use" => self.world.dispatch(task(words[1])),
            "refuse" => {
                let shard = self.world.shard(task(words[1]).run.shard());
                let (grant, _) = shard.in_hand.remove(&task(words[1])).expect("it is in hand");
                shard.book.refuse_grant(grant.task_run, grant.number, GrantFailed::AtWorker);
            }
            "end" => {
                let took = option("took", "");
                let how = match words.get(2) {
                    None => Ended::Otherwise,
                    Some(&"refused") => Ended::Refused,
                    Some(_) => Ended::Succeeded {
                        task: 0,
                        took: took.parse().unwrap(),
                        expected: Some(Span::from_secs(1)),
                    },
                };
                self.world.end(task(words[1]), how);
            }
            "wait" => self.world.wait(words[1].parse::<Span>().unwrap()),
            "go" => {
                self.world.settle();
                self.print_grants();
            }
            "speak" => {
                self.world.shards_speak();
                let frames: Vec<_> = self.world.to_dispatcher.drain(..).collect();
                frames.into_iter().for_each(|frame| self.world.deliver_to_dispatcher(frame));
                self.world.dispatcher_speaks();
                self.print_grants();
            }
            "lose-answers" => self.world.to_shards.clear(),
            "lose-offers" => {
                self.world.shards_speak();
                self.world.to_dispatcher.clear();
            }
            "new-dispatcher" => self.world.new_dispatcher(),
            "new-epoch" => self.world.new_epoch(words[1].parse().unwrap()),
            "shard-lost" => self.world.exchange.on_shard_lost(words[1].parse().unwrap()),
            "pace" => {
                let worker = self.world.workers[&name(words[1])].worker.clone();
                let account = self.world.exchange.account(&worker).expect("it is in");
                self.printed.push(format!("{:.1}", account.slowness));
            }
            "why" => self.print_reasons(&self.world.exchange.explain(task(words[1]))),
            "what-if" => {
                let change = Change { worker: Some(name(words[2])), ..Change::default() };
                match self.world.exchange.what_if(task(words[1]), &change) {
                    Some(Outcome::Waits { reasons }) => self.print_reasons(&reasons),
                    other => self.printed.push(format!("{other:?}")),
                }
            }
            "shown" => {
                let shard = task(words[1]).run.shard();
                let reasons = self.world.shard(shard).book.explain(task(words[1]));
                self.print_reasons(&reasons);
            }
            other => panic!("no command {other:?}"),
        }
    }

    /// Commands about workers and their groups.
    fn run_worker(&mut self, words: &[&str]) {
        let option = |key, default| option(words, key, default);
        let now = self.world.now;
        match words[0] {
            "worker" => {
                let facts = WorkerFacts {
                    worker: WorkerRef {
                        name: name(words[1]),
                        incarnation: option("life", "1").parse().unwrap(),
                    },
                    kinds: option("kinds", "shell+noop").split('+').map(kind).collect(),
                    state: state(&option("state", "up")),
                    ..worker(words[1], option("slots", "1").parse().unwrap(), &[&option("group", "default")])
                };
                self.world.join(facts.clone());
                self.world.exchange.on_heartbeat(&facts.worker, &load(0), now);
            }
            "beat" => {
                let facts = &self.world.workers[&name(words[1])];
                let load = load(words[2].parse().unwrap());
                self.world.exchange.on_heartbeat(&facts.worker, &load, now);
            }
            "lost" => self.world.lose(&name(words[1])),
            "groups" => {
                self.world.exchange.on_groups(groups(&words[1..]), now);
            }
            other => panic!("no command {other:?}"),
        }
    }

    fn print_grants(&mut self) {
        let mut grants: Vec<_> = self.world.granted.drain(..).collect();
        grants.sort_by_key(|grant| grant.number);
        let grants = grants.into_iter();
        let texts: Vec<String> =
            grants.map(|grant| format!("{}@{}", letter(grant.task_run), grant.worker.name)).collect();
        self.printed.push(if texts.is_empty() { "-".to_owned() } else { texts.join(" ") });
    }

    fn print_reasons(&mut self, reasons: &[Reason]) {
        let code = |reason: &Reason| match reason {
            Reason::Behind { ahead, among: Among::Group, .. } => format!("R402:{ahead}-others"),
            Reason::Behind { ahead, .. } => format!("R402:{ahead}"),
            other => other.code().to_owned(),
        };
        let codes: Vec<String> = reasons.iter().map(code).collect();
        self.printed.push(if codes.is_empty() { "none".to_owned() } else { codes.join(" ") });
    }

    /// After everything has ended, nothing may be left on either side.
    fn leave_nothing(mut self) {
        let shards: Vec<u32> = self.world.shards.keys().copied().collect();
        for shard in shards {
            let shard = self.world.shard(shard);
            let (ready, held): (Vec<_>, Vec<_>) =
                (shard.ready.keys().copied().collect(), shard.held.keys().copied().collect());
            ready.into_iter().for_each(|task_run| self.world.remove(task_run));
            held.into_iter().for_each(|task_run| self.world.end(task_run, Ended::Otherwise));
        }
        self.world.wait(Span::from_secs(20));
        self.world.settle();
        let DispatchCounts { waiting, granted, shapes, .. } = self.world.exchange.counts_now();
        assert_eq!((waiting, granted, shapes), (0, 0, 0), "left over");
        for facts in self.world.workers.values() {
            let account = self.world.exchange.account(&facts.worker).expect("it is in");
            assert_eq!((account.held, account.granted), (0, 0), "left over on {}", facts.worker.name);
        }
    }
}

/// The value of `key=…` among the words.
fn option(words: &[&str], key: &str, default: &str) -> String {
    let found = words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or(default).to_owned()
}

/// `b` is task 2 of shard 1, `2:b` task 2 of shard 2.
fn task(word: &str) -> TaskRunId {
    let (shard, letter) = word.split_once(':').unwrap_or(("1", word));
    task_run(shard.parse().unwrap(), u32::from(letter.as_bytes()[0] - b'a') + 1)
}

fn letter(task_run: TaskRunId) -> String {
    let letter = char::from(b'a' + task_run.key.task as u8 - 1);
    if task_run.run.shard() == 1 { letter.to_string() } else { format!("{}:{letter}", task_run.run.shard()) }
}

fn kind(word: &str) -> KindTag {
    if word == "noop" { KindTag::Noop } else { KindTag::Shell }
}

fn priority(word: &str) -> Priority {
    match word {
        "highest" => Priority::Highest,
        "high" => Priority::High,
        "low" => Priority::Low,
        "lowest" => Priority::Lowest,
        _ => Priority::Normal,
    }
}

fn state(word: &str) -> WorkerState {
    let (by, since) = ("li".to_owned(), Timestamp(0));
    match word {
        "draining" => WorkerState::Draining { by, since },
        "cordoned" => WorkerState::Cordoned { by, since },
        _ => WorkerState::Up,
    }
}

#[test]
fn strict_order_by_priority_then_run_then_activation() {
    check(
        "offer a low\n offer b\n offer c high\n offer d\n worker w slots=3\n go\n end c\n go",
        "c@w b@w d@w\n a@w",
    );
    // Across shards too.
    check("offer a low\n offer 2:a\n worker w slots=2\n go", "2:a@w a@w");
}

#[test]
fn equal_workers_take_turns_and_the_emptier_one_is_first() {
    check(
        "worker w1 slots=2\n worker w2 slots=2\n worker w3 slots=4\n
         offer a\n offer b\n offer c\n offer d\n offer e\n go",
        "a@w3 b@w1 c@w2 d@w3 e@w3",
    );
    check(
        "worker w1\n worker w2\n offer a\n go\n end a\n go\n offer b\n go\n end b\n go\n offer c\n go",
        "a@w1\n -\n b@w2\n -\n c@w1",
    );
}

#[test]
fn a_shape_that_fits_passes_one_that_does_not_but_nothing_overtakes_within_a_shape() {
    check(
        "worker w slots=2\n offer a\n go\n offer b high slots=2\n offer c high slots=2\n offer d low\n go
         why b\n why c\n end d\n go\n end a\n go\n why c",
        "a@w\n d@w\n R301\n R301 R402:1\n -\n b@w\n R301",
    );
}

#[test]
fn a_failed_grant_goes_back_to_its_own_place() {
    // A before B before C, one slot each: A's grant is refused while B's and C's are under way.
    check(
        "keep\n offer a\n offer b\n offer c\n worker w1\n go\n refuse a\n go\n why a\n why b\n
         worker w2\n go\n use a\n go\n beat w1 0\n go\n use b\n go\n end a\n go\n use c\n go",
        "a@w1\n -\n R301\n R301 R402:1\n a@w2\n -\n b@w1\n -\n c@w2\n -",
    );
}

#[test]
fn a_refusing_worker_counts_as_full_until_its_next_heartbeat() {
    check(
        "worker w slots=4\n offer a slots=2\n go\n end a refused\n offer a slots=2\n offer b\n go\n why a
         beat w 0\n go",
        "a@w\n b@w\n R301\n a@w",
    );
}

#[test]
fn a_grant_that_nobody_uses_ends_by_time() {
    check(
        "keep\n worker w\n offer a\n go\n why a\n wait 500ms\n go\n wait 500ms\n go",
        "a@w\n R501\n -\n a@w",
    );
}

#[test]
fn reasons_of_groups() {
    check(
        "groups default etl gpu\n offer a group=etl-gpu\n go\n why a\n offer b group=etl\n go\n why b
         worker w group=gpu\n offer c group=gpu slots=2\n go\n why c\n lost w\n why c
         worker w group=gpu life=2 slots=2\n go",
        "-\n R304\n -\n R303\n -\n R301\n R303\n c@w",
    );
}

#[test]
fn reasons_of_workers() {
    check(
        "worker w1 state=draining\n worker w2 state=cordoned\n worker w3 kinds=noop\n worker w4\n offer a\n offer b
         go\n why b\n wait 3s\n go\n why b\n why a\n worker w1\n go",
        "a@w4\n R301 R306 R307\n -\n R306 R502 R502\n none\n b@w1",
    );
}

#[test]
fn why_says_the_numbers() {
    let mut story = Story::new();
    for line in ["worker w7 slots=16", "offer a slots=12", "go", "offer b slots=8", "go"] {
        story.run(line);
    }
    let reasons = story.world.exchange.explain(task("b"));
    assert_eq!(
        reasons[0].text(),
        "no worker in group \"default\" has room: w7 has 4 of 16 slots free, 8 needed (1 task run there)"
    );
    assert_eq!(
        reasons[0].help(),
        "add a worker to group \"default\", or ask for less: the nearest is short by 4 slots"
    );
    for line in ["groups default etl gpu", "offer c group=etl-gpu", "go"] {
        story.run(line);
    }
    let reasons = story.world.exchange.explain(task("c"));
    assert_eq!(reasons[0].text(), "worker group \"etl-gpu\" does not exist; groups now: default, etl, gpu");
    assert_eq!(reasons[0].help(), "did you mean \"etl\"? Otherwise start a worker with --group etl-gpu");
}

#[test]
fn the_first_of_its_shape_is_behind_better_ones_of_others_that_may_be_placed() {
    // With room for two and nobody parked: `b` is next of its shape, and `a` and `d` take the room first.
    let offers = "offer a high kind=noop\n offer b\n offer c\n offer d high kind=noop\n offer e high kind=noop group=gpu";
    check(&format!("{offers}\n shown b\n shown c\n shown a"), "R402:2-others\n R402:1\n R402:0");
    // What is parked takes no room.
    check(
        "worker w\n offer a high slots=4\n offer b\n keep\n go\n shown b\n wait 200ms\n go\n shown a\n shown b",
        "b@w\n R402:1-others\n -\n R301\n R402:0",
    );
}

#[test]
fn a_silent_worker_gets_nothing_until_it_is_heard() {
    check("worker w slots=2\n wait 3s\n offer a\n go\n why a\n beat w 0\n go", "-\n R502\n a@w");
}

#[test]
fn measured_load_that_nobody_explains_counts() {
    // Two attempts of a shard that has not been heard run there.
    check(
        "worker w slots=4\n beat w 2\n beat w 2\n offer a\n offer b\n offer c\n go\n beat w 2\n go",
        "a@w b@w\n c@w",
    );
}

#[test]
fn a_lost_worker_gives_back_its_grants_and_a_new_life_is_another_worker() {
    check(
        "keep\n worker w1 slots=2\n offer a\n offer b\n go\n use a\n go\n lost w1\n go\n why b
         worker w1 slots=2 life=2\n go",
        "a@w1 b@w1\n -\n -\n R303\n b@w1",
    );
}

#[test]
fn a_parked_shape_keeps_one_offer_shown_and_says_why() {
    check(
        "offer a\n offer b\n offer c\n go\n shown c\n wait 100ms\n go\n shown a\n shown c\n why a\n why c
         worker w slots=3\n go",
        "-\n R402:2\n -\n R304\n R304 R402:2\n R304\n none\n a@w b@w c@w",
    );
}

#[test]
fn a_dispatcher_that_does_not_answer_is_named() {
    check("worker w\n offer a\n lose-offers\n shown a\n wait 1s\n shown a\n go", "R402:0\n R603\n a@w");
}

#[test]
fn a_new_dispatcher_waits_for_all_shards_or_a_while() {
    check("worker w slots=2\n offer a\n offer 2:a high\n lose-offers\n new-dispatcher\n go", "2:a@w a@w");
    let mut story = Story::new();
    story.run("worker w");
    story.run("offer a");
    story.world.new_dispatcher();
    story.run("shown a");
    story.world.shard(2).book = OfferBook::new(2, 1, 2, QUIET_WAIT);
    for line in ["go", "why a", "what-if a w", "wait 299ms", "go", "wait 1ms", "go"] {
        story.run(line);
    }
    assert_eq!(story.printed, ["R603", "-", "R603", "R603", "-", "a@w"]);
}

#[test]
fn what_is_held_survives_a_new_dispatcher_and_a_new_epoch() {
    check(
        "worker w slots=2\n offer a\n go\n new-dispatcher\n go\n offer b\n offer c\n go\n new-epoch 1\n go\n why c
         end a\n go",
        "a@w\n -\n b@w\n -\n R301\n c@w",
    );
    // Grants in the hands of an epoch that ended are void.
    check("keep\n worker w\n offer a\n go\n new-epoch 1\n go\n use a\n go", "a@w\n a@w\n -");
}

#[test]
fn a_shard_without_leader_gets_nothing_and_holds_what_it_has() {
    check(
        "worker w slots=2\n offer a\n go\n shard-lost 1\n offer 2:a\n offer 2:b\n go\n why 2:b\n end a\n go\n new-epoch 1\n go",
        "a@w\n 2:a@w\n R301\n 2:b@w\n -",
    );
}

#[test]
fn a_lost_offer_frame_is_found_and_healed() {
    check("worker w\n offer a\n lose-offers\n go\n offer b\n go", "-\n a@w");
    // With nothing after it, by time.
    check("worker w\n offer a\n lose-offers\n go\n wait 1s\n go", "-\n a@w");
}

#[test]
fn a_lost_grant_is_found_and_healed() {
    // By the gap that the next frame shows; the lost grants end by time.
    check(
        "worker w slots=2\n offer a\n speak\n lose-answers\n offer b\n go\n wait 1s\n go",
        "a@w\n b@w\n a@w b@w",
    );
    // With nothing after it, by the overdue answer.
    check("worker w\n offer a\n speak\n lose-answers\n wait 999ms\n go\n wait 1ms\n go", "a@w\n -\n a@w");
}

/// Many offers of one shape: credits decide how many are shown.
#[test]
fn credits_grow_with_room_and_shrink_while_parked() {
    let shape = shape("default", KindTag::Shell, 1);
    let mut story = Story::new();
    for task in 0..500 {
        story.world.insert(offer(1, task, &shape, Priority::Normal));
    }
    story.world.settle();
    assert_eq!(story.world.exchange.counts_now().waiting, 64, "the first credits");
    story.run("wait 100ms");
    story.world.settle();
    assert_eq!(story.world.exchange.counts_now().waiting, 1, "a parked shape keeps one");
    // A better one displaces the one that is shown.
    story.world.insert(offer(1, 500, &shape, Priority::High));
    story.world.settle();
    story.run("worker w slots=1");
    story.world.settle();
    assert_eq!(story.world.granted.iter().map(|grant| grant.task_run.key.task).collect::<Vec<_>>(), [500]);
    story.run("worker w2 slots=1000");
    story.world.settle();
    assert!(story.world.shard(1).ready.is_empty(), "all were shown while there was room");
    let order: Vec<u32> = story.world.granted.iter().skip(1).map(|grant| grant.task_run.key.task).collect();
    assert!(order.is_sorted(), "in order over all rounds of credits");
    story.leave_nothing();
}

#[test]
fn deadlines_are_those_of_grants_silence_and_parking() {
    let mut story = Story::new();
    let start = story.world.now;
    let next = |story: &Story| story.world.exchange.next_deadline().map(|at| at.since(start).0 / 1000);
    story.run("keep");
    assert_eq!(next(&story), None, "all shards have listed");
    story.run("worker w");
    story.run("offer a");
    story.run("go");
    assert_eq!(next(&story), Some(1000), "the grant");
    story.run("use a");
    story.run("offer b");
    story.run("go");
    assert_eq!(next(&story), Some(100), "the parked shape");
    story.run("wait 100ms");
    assert_eq!(next(&story), Some(2000), "the worker's silence");
    story.run("lost w");
    story.run("remove b");
    story.run("go");
    assert_eq!(next(&story), None);
    // That nothing waits any more is told with the next sums, though nothing else happens.
    let sums = story.world.shard(1).book.next_deadline().map(|at| at.since(start).0 / 1000);
    assert_eq!(sums, Some(1000));
    story.run("wait 1000ms");
    story.run("go");
    assert_eq!(story.world.exchange.wanted().values().map(|wanted| wanted.waiting).sum::<u64>(), 0);
    assert_eq!(story.world.shard(1).book.next_deadline(), None, "with nothing in the book nothing is tried");
    story.leave_nothing();
}

/// One shard saw two slow attempts, the other one: a new Dispatcher needs both, and what it hears is of that life only.
#[test]
fn a_new_dispatcher_is_told_who_is_slow() {
    check(
        "worker w1 group=a
         worker w2 group=b
         offer a group=a
         go
         end a took=3s
         offer b group=a
         go
         end b took=3s
         offer 2:c group=a
         go
         end 2:c took=3s
         offer d group=b
         go
         end d took=1s
         go
         pace w1
         new-dispatcher
         go
         pace w1
         pace w2
         worker w1 group=a life=2
         new-dispatcher
         go
         pace w1",
        "a@w1
         b@w1
         2:c@w1
         d@w2
         -
         3.4
         -
         3.4
         1.0
         -
         1.0",
    );
}
