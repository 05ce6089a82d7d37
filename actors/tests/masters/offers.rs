//! The offer stream between shards and the Dispatcher: frames that vanish, and a Dispatcher that moves.

use std::fmt::Write;
use std::time::Duration;

use futures_util::future::join_all;
use hortator_proto::frame::{NodeId, PeerFrame};
use tokio::time::{Instant, sleep};

use crate::world::{Draw, Passing, What, world};

fn chains() -> String {
    let mut text = String::from("tasks:\n");
    for chain in 0..6 {
        let _ = writeln!(text, "  - {{ id: c{chain}-0, shell: {{ script: run 20 }} }}");
        for link in 1..6 {
            let before = link - 1;
            let _ = writeln!(
                text,
                "  - {{ id: c{chain}-{link}, needs: [c{chain}-{before}], shell: {{ script: run 20 }} }}"
            );
        }
    }
    text
}

/// Whether it is of the stream, and in which direction.
fn of_stream(passing: &Passing<'_>) -> Option<&'static str> {
    match passing {
        Passing::Peer(PeerFrame::Offers(_)) => Some("offers"),
        Passing::Peer(PeerFrame::Dispatcher(_)) => Some("grants"),
        Passing::Peer(PeerFrame::DispatcherHere { .. }) => Some("here"),
        _ => None,
    }
}

/// A third of all frames is lost for good, which no session does: each of a chain's steps waits for several that are sent
/// once more, later each time. Of 48 such runs the longest took 102 s.
const LOSSES_HEAL_WITHIN: Duration = Duration::from_secs(300);

#[test]
fn lost_frames_of_the_stream_heal() {
    for (seed, kind) in [(61, "offers"), (62, "grants"), (63, "here"), (64, "all")] {
        world(seed, 3, 2, async |world| {
            world.two_leaders().await;
            let mut draw = Draw(seed);
            world.net.lose(move |passing| match of_stream(passing) {
                Some(found) if found == kind || kind == "all" => draw.below(3) == 0,
                _ => false,
            });
            let (run, _) = world.begin(1, &chains()).await;
            assert_eq!(world.finished_within(1, run, LOSSES_HEAL_WITHIN).await, "succeeded");
            let started = world.deeds().iter().filter(|deed| deed.what == What::Started).count();
            assert_eq!(started, 36, "no lost grant costs a second process");
        });
    }
}

/// Starts one after the other, a millisecond apart: each is offered before the Dispatcher, whose answers take up to three,
/// has answered for the one before.
const STARTS: u64 = 200;
/// Two commits over such wires, with a pause between them, and a hold: some 20 ms.
const START_MAX: Duration = Duration::from_millis(40);

#[test]
fn starts_that_keep_coming_do_not_hold_each_other_back() {
    for seed in 91..97 {
        world(seed, 3, 2, async |world| {
            let (shard, _) = world.two_leaders().await;
            let (workflow, _) = world.apply(shard, "tasks:\n  - { id: one, noop: {} }\n").await;
            let starts = (0..STARTS).map(|number| {
                let (world, workflow) = (&world, &workflow);
                async move {
                    sleep(Duration::from_millis(number)).await;
                    let sent = Instant::now();
                    world.try_start(shard, workflow, &number.to_string()).await.expect("started");
                    sent.elapsed()
                }
            });
            let longest = join_all(starts).await.into_iter().max().expect("some");
            assert!(longest <= START_MAX, "a start was answered after {longest:?}");
        });
    }
}

#[test]
fn a_new_dispatcher_goes_on() {
    for seed in 71..75 {
        world(seed, 3, 2, async |world| {
            let (run, _) = world.begin(1, &chains()).await;
            for _ in 0..3 {
                let pause = world.below(200);
                sleep(Duration::from_millis(pause)).await;
                let old = world.wait_leader(1, 0, &[]).await;
                let masters = world.masters();
                let others = masters.iter().filter(|id| **id != old);
                for other in others.clone() {
                    world.net.cut(&NodeId::Master(old), &NodeId::Master(*other), true);
                }
                let through = if old == 1 { 2 } else { 1 };
                world.wait_leader(through, 0, &[old]).await;
                for other in others {
                    world.net.cut(&NodeId::Master(old), &NodeId::Master(*other), false);
                }
            }
            assert_eq!(world.finished(1, run).await, "succeeded");
            let started = world.deeds().iter().filter(|deed| deed.what == What::Started).count();
            assert_eq!(started, 36);
        });
    }
}

#[test]
fn a_dispatcher_whose_only_word_is_lost_is_found() {
    world(81, 3, 2, async |world| {
        for round in 0..20 {
            assert!(round < 19, "one master leads everything");
            let old = world.wait_leader(1, 0, &[]).await;
            let masters = world.masters();
            let others = masters.iter().filter(|id| **id != old);
            world.net.lose(|passing| of_stream(passing) == Some("here"));
            for other in others.clone() {
                world.net.cut(&NodeId::Master(old), &NodeId::Master(*other), true);
            }
            let through = if old == 1 { 2 } else { 1 };
            let new = world.wait_leader(through, 0, &[old]).await;
            let shard = world.wait_leader(through, 1, &[old]).await;
            // Both sessions are open and stay so: nothing but its own look tells the shard.
            world.net.lose_nothing();
            if new != shard {
                let (run, _) = world.begin(through, &chains()).await;
                assert_eq!(world.finished(through, run).await, "succeeded");
                return;
            }
            for other in others {
                world.net.cut(&NodeId::Master(old), &NodeId::Master(*other), false);
            }
            sleep(Duration::from_secs(3)).await;
        }
    });
}
