//! Limits whose home is another shard than their task runs': never more than the maximum, with a true reason for each that
//! waits, and nothing kept when all is over, whoever leads meanwhile.

use std::time::Duration;

use hortator_actors::caught::{Decides, trip};
use hortator_core::definition::Definition;
use hortator_core::id::{LimitName, RunId};
use hortator_proto::api::{Command, LimitDetail, ProblemKind, Query, Request, Response};
use hortator_proto::frame::{NodeId, PeerFrame};
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::quarantine::break_decisions;
use crate::world::{Passing, What, World, name, world};

const SHARDS: u32 = 2;
/// Workers are asked about what they have within a second, and have answered by then.
const ACKNOWLEDGED: Duration = Duration::from_secs(2);

/// One whose home is not the workflow's shard.
fn elsewhere(definition: &Definition) -> LimitName {
    let home = definition.name.shard(SHARDS);
    let names = ["db", "api", "disk", "mail"]
        .map(|text| LimitName { namespace: definition.name.namespace.clone(), name: name(text) });
    names.into_iter().find(|limit| limit.shard(SHARDS) != home).expect("one of them")
}

async fn set(world: &World, through: u64, name: &LimitName, max: u32) {
    let command = Command::SetLimit { name: name.clone(), max, by: "test".into() };
    for _ in 0..400 {
        match world.request(through, Request::Command(command.clone())).await {
            Ok(_) => return,
            Err(_) => sleep(Duration::from_millis(25)).await,
        }
    }
    panic!("limit {name} cannot be set");
}

async fn show(world: &World, through: u64, name: &LimitName) -> LimitDetail {
    match world.ask(through, Query::Limit { name: name.clone() }).await {
        Ok(Response::Limit(detail)) => *detail,
        other => panic!("{other:?} answers a question for a limit"),
    }
}

/// The reasons of the waiting tasks, each as a sentence with its code.
async fn reasons(world: &World, through: u64, run: RunId) -> Vec<String> {
    match world.ask(through, Query::Explain { run, task: None }).await {
        Ok(Response::Explain(view)) => {
            let all = view.tasks.iter().flat_map(|task| &task.reasons);
            all.map(|reason| format!("{} {}", reason.code(), reason.text())).collect()
        }
        other => panic!("{other:?} answers explain"),
    }
}

/// The most processes at a time.
fn most(world: &World) -> usize {
    let (mut running, mut most) = (0usize, 0);
    for deed in world.deeds() {
        match deed.what {
            What::Started => running += 1,
            What::Ended | What::Killed => running -= 1,
        }
        most = most.max(running);
    }
    most
}

fn running(world: &World) -> usize {
    let deeds = world.deeds();
    let started = deeds.iter().filter(|deed| deed.what == What::Started).count();
    started - (deeds.len() - started)
}

/// Three masters, two shards, two workers; the story gets the workflow's text with the limit's name in it.
fn story(seed: u64, told: impl AsyncFn(&World, &LimitName, &dyn Fn(&str) -> String)) {
    world(seed, 0, 0, async |world| {
        world.set_shards(SHARDS);
        world.set_masters(3);
        for id in 1..=3 {
            world.start_master(id).await;
        }
        for worker in ["w1", "w2"] {
            world.start_worker(worker, true);
        }
        for group in 0..=SHARDS {
            world.wait_leader(1, group, &[]).await;
        }
        let (_, definition) = world.apply(1, "tasks: [{ id: none, noop: {} }]").await;
        let limit = elsewhere(&definition);
        let text = |tasks: &str| tasks.replace("LIMIT", limit.name.as_str());
        told(&world, &limit, &text).await;
    });
}

/// The maximum, what is given, and how many wait, as the home's metrics say.
async fn measured(world: &World, limit: &LimitName, [max, used, waiting]: [u64; 3]) {
    let home = world.wait_leader(1, limit.shard(SHARDS), &[]).await;
    let text = world.gateway(home).expect("it runs").metrics().await;
    for (what, kind, value) in
        [("slots", ",kind=\"max\"", max), ("slots", ",kind=\"used\"", used), ("waiters", "", waiting)]
    {
        let line = format!("hortator_limit_{what}{{key=\"{limit}\"{kind}}} {value}\n");
        assert!(text.contains(&line), "no {line}");
    }
}

/// A limit whose home nobody leads: what is said of a task that it has room for, and of one that it has not.
fn leaderless(seed: u64, max: u32, before: &str) -> Vec<String> {
    let told = std::cell::RefCell::new(Vec::new());
    story(seed, async |world, limit, text| {
        set(world, 1, limit, max).await;
        let (workflow, definition) = world.apply(1, &text(ONE)).await;
        let shard = definition.name.shard(SHARDS);
        let leader = world.wait_leader(1, shard, &[]).await;
        if !before.is_empty() {
            let (other, _) = world.apply(1, &text(before)).await;
            world.try_start(leader, &other, "before").await.expect("started");
            world.until("it has the limit", || running(world) == 1).await;
            world.apply(1, &text(ONE)).await;
        }
        let home = limit.shard(SHARDS);
        world.net.lose(
            move |passing| matches!(passing, Passing::Peer(PeerFrame::Raft { group, .. }) if *group == home),
        );
        // A leader that hears nobody steps down within its election time.
        sleep(Duration::from_secs(5)).await;
        let run = world.try_start(leader, &workflow, "waits").await.expect("started");
        *told.borrow_mut() = reasons(world, leader, run).await;
        world.net.lose_nothing();
        set(world, 1, limit, max + 1).await;
        assert_eq!(world.finished(1, run).await, "succeeded");
    });
    told.into_inner()
}

const ONE: &str = "tasks: [{ id: one, limits: [LIMIT], shell: { script: run 10 } }]";

#[test]
fn a_home_without_a_leader_is_named() {
    let nobody = "R601 Raft group 1 has no leader: 2 members are needed, n1, n2, n3 answer";
    assert_eq!(leaderless(731, 1, ""), [nobody]);
    let told = leaderless(732, 1, "tasks: [{ id: one, limits: [LIMIT], shell: { script: hang } }]");
    assert!(
        told.len() == 2 && told[0].starts_with("R202 ") && told[0].contains("1 of 1 are in use"),
        "{told:?}"
    );
    assert_eq!(told[1], nobody);
}

const ITEMS: &str =
    "tasks: [{ id: each, foreach: { items: [a, b, c, d, e, f, g], as: part }, limits: [LIMIT],
  shell: { script: run 300 } }]";

#[test]
fn never_more_than_the_maximum_and_nothing_is_kept() {
    for seed in 701..705 {
        story(seed, async |world, limit, text| {
            set(world, 2, limit, 3).await;
            let (run, _) = world.begin(1, &text(ITEMS)).await;
            world.until("three run", || running(world) == 3).await;
            let seen = show(world, 3, limit).await;
            assert_eq!((seen.view.max, seen.view.used, seen.view.waiters), (Some(3), 3, 4), "{seen:?}");
            assert!(
                seen.holders.iter().all(|holder| holder.task.as_ref() == Some(&name("each"))),
                "{seen:?}"
            );
            measured(world, limit, [3, 3, 4]).await;
            assert_eq!(world.finished(1, run).await, "succeeded");
            assert_eq!(most(world), 3);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(show(world, 1, limit).await.view.holders, 0);
        });
    }
}

#[test]
fn who_waits_is_told_in_the_order_in_which_it_is_given() {
    let tasks = "tasks:
  - { id: holds, limits: [LIMIT], shell: { script: run 3000 } }
  - { id: before, shell: { script: run 300 } }
  - { id: last, needs: [before], limits: [LIMIT], shell: { script: run 10 } }
  - { id: next, needs: [pause], limits: [LIMIT], shell: { script: run 10 } }
  - { id: pause, shell: { script: run 100 } }";
    story(705, async |world, limit, text| {
        set(world, 1, limit, 1).await;
        let (run, _) = world.begin(1, &text(tasks)).await;
        sleep(Duration::from_millis(1500)).await;
        let waiters = show(world, 2, limit).await.waiters;
        let waiters: Vec<_> =
            waiters.iter().flat_map(|waiter| &waiter.task).map(ToString::to_string).collect();
        assert_eq!(waiters, ["next", "last"]);
        assert_eq!(world.finished(1, run).await, "succeeded");
    });
}

#[test]
fn weights_and_a_raised_maximum() {
    let heavy = "tasks:
  - { id: light, foreach: { items: [a, b], as: part }, limits: [LIMIT], shell: { script: hang } }
  - { id: heavy, limits: [{ key: LIMIT, weight: 4 }], shell: { script: run 50 } }";
    story(711, async |world, limit, text| {
        set(world, 1, limit, 3).await;
        let (run, _) = world.begin(1, &text(heavy)).await;
        world.until("the light ones run", || running(world) == 2).await;
        sleep(ACKNOWLEDGED).await;
        let why = reasons(world, 2, run).await;
        assert_eq!(why, [format!("R202 it needs 4 of limit \"{limit}\", which is 3 in all (2 in use)")]);
        measured(world, limit, [3, 2, 1]).await;
        set(world, 3, limit, 6).await;
        measured(world, limit, [6, 6, 0]).await;
        world.until("the heavy one has run", || most(world) == 3).await;
        assert_eq!(world.cancel(1, run).await, "cancelling");
        world.finished(1, run).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(show(world, 1, limit).await.view.used, 0);
    });
}

#[test]
fn one_that_nobody_has_set_and_one_that_goes() {
    story(721, async |world, limit, text| {
        let (run, _) = world.begin(1, &text(ITEMS)).await;
        sleep(Duration::from_secs(1)).await;
        let why = reasons(world, 1, run).await;
        assert_eq!(why.len(), 7);
        assert!(why.iter().all(|why| why.starts_with("R204 it wants limit")), "{why:?}");
        assert_eq!(running(world), 0);
        set(world, 1, limit, 1).await;
        world.until("one runs", || running(world) == 1).await;
        let why = reasons(world, 1, run).await;
        let (sent, waiting): (Vec<_>, Vec<_>) = why.iter().partition(|why| why.starts_with("R501"));
        assert_eq!((sent.len(), waiting.len()), (1, 6), "{why:?}");
        assert!(waiting.iter().all(|why| why.starts_with("R202 it needs 1 of limit")), "{why:?}");
        let delete = Command::DeleteLimit { name: limit.clone(), by: "test".into() };
        world.request(2, Request::Command(delete.clone())).await.expect("deleted");
        sleep(Duration::from_secs(2)).await;
        let (seen, ran) = (show(world, 1, limit).await, most(world));
        assert_eq!((seen.view.max, seen.view.used, running(world), ran), (None, 0, 0, 1), "{seen:?}");
        let again = world.request(2, Request::Command(delete)).await.expect_err("it is gone");
        assert_eq!(again.kind, ProblemKind::NotFound);
        set(world, 1, limit, 7).await;
        assert_eq!(world.finished(1, run).await, "succeeded");
    });
}

#[test]
fn who_holds_goes_on_under_a_lower_maximum() {
    story(731, async |world, limit, text| {
        set(world, 1, limit, 3).await;
        let (run, _) = world.begin(1, &text(ITEMS)).await;
        world.until("three run", || running(world) == 3).await;
        set(world, 1, limit, 1).await;
        assert_eq!(running(world), 3);
        let before = world.deeds().len();
        assert_eq!(world.finished(1, run).await, "succeeded");
        let mut running = 3;
        for deed in &world.deeds()[before..] {
            match deed.what {
                What::Started => running += 1,
                What::Ended | What::Killed => running -= 1,
            }
            let starts_above = deed.what == What::Started && running > 1;
            assert!(!starts_above, "one starts while others hold it all");
        }
    });
}

#[test]
fn so_it_is_when_the_leaders_of_both_sides_die() {
    for seed in 741..747 {
        story(seed, async |world, limit, text| {
            set(world, 1, limit, 2).await;
            let (run, definition) = world.begin(1, &text(ITEMS)).await;
            world.until("two run", || running(world) == 2).await;
            let own = definition.name.shard(SHARDS);
            let group = if seed % 2 == 0 { own } else { limit.shard(SHARDS) };
            let leader = world.wait_leader(1, group, &[]).await;
            world.crash_master(leader, Crash::Keep).await;
            world.net.leave(&NodeId::Master(leader));
            let through = if leader == 1 { 2 } else { 1 };
            world.wait_leader(through, group, &[leader]).await;
            assert_eq!(world.finished(through, run).await, "succeeded");
            assert!(most(world) <= 2, "{:?}", world.deeds());
            sleep(Duration::from_secs(1)).await;
            assert_eq!(show(world, through, limit).await.view.used, 0);
        });
    }
}

#[test]
fn a_failed_try_gives_it_back_and_its_next_waits_anew() {
    let flaky = "tasks:
  - { id: fails, limits: [LIMIT], retry: { max: 1, delay: 5s }, shell: { script: fail 50 } }
  - { id: then, limits: [LIMIT], shell: { script: hang } }";
    story(751, async |world, limit, text| {
        set(world, 1, limit, 1).await;
        let (run, _) = world.begin(1, &text(flaky)).await;
        world.until("the other has it meanwhile", || world.deeds().len() == 3).await;
        sleep(Duration::from_secs(8)).await;
        assert_eq!(running(world), 1);
        let why = reasons(world, 1, run).await;
        assert!(why.len() == 1 && why[0].starts_with("R202"), "{why:?}");
        assert_eq!(world.cancel(1, run).await, "cancelling");
        world.finished(1, run).await;
    });
}

#[test]
fn one_whose_decider_panics_stands_still_until_the_next_leader() {
    story(761, async |world, limit, text| {
        set(world, 1, limit, 3).await;
        let (run, _) = world.begin(1, &text(ITEMS)).await;
        world.until("three run", || running(world) == 3).await;
        let broken = limit.clone();
        break_decisions(move |decides| *decides == Decides::Limit(broken.clone()));
        world.until("they are over", || running(world) == 0).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!((running(world), world.deeds().len()), (0, 6), "nothing more is given");
        let command = Command::SetLimit { name: limit.clone(), max: 4, by: "test".into() };
        let problem = world.request(1, Request::Command(command)).await.expect_err("it is quarantined");
        assert_eq!(problem.code, "H9010", "{problem:?}");
        trip::never();
        let group = limit.shard(SHARDS);
        let leader = world.wait_leader(1, group, &[]).await;
        world.hand_over(leader).await;
        assert_eq!(world.finished(1, run).await, "succeeded");
        assert_eq!(most(world), 3);
    });
}
