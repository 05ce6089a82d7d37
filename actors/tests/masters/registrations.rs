//! Registrations that come late, twice and out of order, over any way: one life of an agent stays one life, and none
//! that is over ends one that began after it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hortator_proto::frame::{
    Content, Envelope, FromWorker, LifeId, NodeId, PeerFrame, Registration, Route, SpeaksFor,
};
use tokio::time::sleep;

use crate::world::{Passing, What, World, name, world};

/// A lease and a little more: a life that nobody acknowledges is over.
const LIFE_ENDS: Duration = Duration::from_secs(12);
/// Silence, its commit, and the next life.
const LOSS_SHOWS: Duration = Duration::from_secs(20);

type Heard = Arc<Mutex<Vec<Registration>>>;

fn w1() -> NodeId {
    NodeId::Worker(name("w1"))
}

/// Keeps what the worker asks to be registered, from now on.
fn listen(world: &World) -> Heard {
    let heard = Heard::default();
    let keep = heard.clone();
    world.net.lose(move |passing| {
        if let Passing::FromWorker(FromWorker::Register(registration)) = passing {
            keep.lock().expect("one thread").push(registration.clone());
        }
        false
    });
    heard
}

/// One copy more: straight from the worker, over a relay, or passed on by a master.
fn say_again(world: &World, registration: &Registration) {
    let masters = world.masters();
    let drawn = |world: &World| masters[world.below(masters.len() as u64) as usize];
    let (to, by) = (drawn(world), drawn(world));
    let frame = FromWorker::Register(registration.clone()).encode();
    match world.below(3) {
        0 => world.net.inject(&w1(), &NodeId::Master(to), frame),
        1 if to != by => {
            let route = Route::Relayed { origin: w1(), destination: NodeId::Master(to), via: by };
            let envelope = Envelope { speaks_for: SpeaksFor::Nobody, route, content: Content::Frame(frame) };
            world.net.inject(&w1(), &NodeId::Master(by), envelope.encode());
        }
        _ if to != by => {
            let passed = PeerFrame::Registration(registration.clone()).encode();
            world.net.inject(&NodeId::Master(by), &NodeId::Master(to), passed);
        }
        _ => {}
    }
}

async fn running(world: &World) {
    world.begin(1, "tasks: [{ id: hangs, shell: { script: hang } }]").await;
    world.until("it runs", || world.host("w1").running().len() == 1).await;
}

fn check(seed: u64) {
    world(seed, 3, 1, async |world| {
        let heard = listen(&world);
        world.wait_leader(1, 0, &[]).await;
        sleep(Duration::from_secs(2)).await;
        // Three lives of one process, then one of another.
        for _ in 0..2 {
            world.cut_off("w1", true);
            sleep(LIFE_ENDS).await;
            world.cut_off("w1", false);
            sleep(Duration::from_secs(3)).await;
        }
        world.crash_worker("w1").await;
        world.start_worker("w1", true);
        sleep(Duration::from_secs(3)).await;
        running(&world).await;
        let before = world.worker(1, "w1").await;
        let kept = heard.lock().expect("one thread").clone();
        let mut lives: Vec<LifeId> = kept.iter().map(|registration| registration.life).collect();
        lives.dedup();
        assert!(lives.is_sorted(), "{lives:?}");
        assert_eq!((before.state.as_str(), before.incarnation, lives.len()), ("up", 4, 4));
        for _ in 0..8 {
            for _ in 0..20 {
                say_again(&world, &kept[world.below(kept.len() as u64) as usize]);
            }
            sleep(Duration::from_millis(world.below(400))).await;
        }
        sleep(LOSS_SHOWS).await;
        let after = world.worker(1, "w1").await;
        assert_eq!((after.state.as_str(), after.incarnation), ("up", 4));
        assert_eq!(world.host("w1").running().len(), 1);
        assert!(world.deeds().iter().all(|deed| deed.what == What::Started), "{:?}", world.deeds());
        assert_eq!(heard.lock().expect("one thread").len(), kept.len(), "it had no cause to register again");
    });
}

#[test]
fn late_and_repeated_registrations_end_no_life() {
    (601..605).for_each(check);
}

#[test]
fn a_worker_whose_clock_was_set_back_is_known_all_the_same() {
    world(611, 3, 1, async |world| {
        let heard = listen(&world);
        world.wait_leader(1, 0, &[]).await;
        sleep(Duration::from_secs(2)).await;
        // As if an earlier process of it had registered with a clock that was days ahead.
        let mut ahead = heard.lock().expect("one thread")[0].clone();
        ahead.life = LifeId { number: ahead.life.number + 1_000_000_000_000, nonce: 1 };
        let frame = FromWorker::Register(ahead).encode();
        world.net.inject(&w1(), &NodeId::Master(1), frame);
        sleep(LIFE_ENDS + Duration::from_secs(2)).await;
        let view = world.worker(1, "w1").await;
        assert_eq!((view.state.as_str(), view.incarnation), ("up", 3));
        running(&world).await;
        sleep(LOSS_SHOWS).await;
        assert_eq!(world.worker(1, "w1").await.incarnation, 3);
        assert_eq!(world.host("w1").running().len(), 1);
    });
}
