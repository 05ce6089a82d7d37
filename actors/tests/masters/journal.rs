//! The Journal alone, over the group of a sole master whose disk works when the test lets it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use hortator_actors::group::{GroupActor, GroupNotice, GroupNotices, GroupParts, Listen, WriteBell};
use hortator_actors::journal::{Flushed, Journal, Turn};
use hortator_actors::leaders::Leaders;
use hortator_actors::mailbox::{Mailbox, Meter};
use hortator_actors::post::Post;
use hortator_actors::relay::Relay;
use hortator_actors::tables::Tables;
use hortator_core::event::{Event, HistoryEntry};
use hortator_core::id::RunId;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::NodeId;
use hortator_raft::memory::MemoryBackend;
use hortator_raft::{Group, GroupConfig, Notice, Position, Rows, Write};
use slog::{Logger, o};
use tokio::time::{Instant, sleep};

use crate::world::{CLUSTER, Draw, Net, PausedClock, world};

struct Ear(Arc<Mutex<Vec<GroupNotice>>>);

impl Actor for Ear {
    type Context = Context<Ear>;
}

impl Handler<GroupNotices> for Ear {
    type Result = ();

    fn handle(&mut self, GroupNotices(notices): GroupNotices, _: &mut Context<Ear>) {
        self.0.lock().expect("one thread").extend(notices);
    }
}

struct Bench {
    disk: MemoryBackend,
    notices: Arc<Mutex<Vec<GroupNotice>>>,
    meter: Arc<Meter>,
    rows: Rows,
    journal: Journal<u32>,
    term: u64,
    epoch: u64,
}

/// The row of an entry's history is its stamp.
fn stamped(_: RunId, entry: &HistoryEntry) -> Write {
    Write::Put { key: Bytes::copy_from_slice(&entry.at.0.to_be_bytes()), value: Bytes::new() }
}

async fn bench() -> Bench {
    let (disk, meter) = (MemoryBackend::new(), Arc::<Meter>::default());
    let log = Logger::root(slog::Discard, o!());
    let config =
        GroupConfig { ballast_bytes: 0, disk_low_bytes: 0, ..GroupConfig::new(1, 1, CLUSTER, vec![1]) };
    let bell = Arc::<WriteBell>::default();
    let store = Arc::new(disk.clone());
    let (group, rows) =
        Group::open(config, store, Box::new(Draw(1)), log.clone(), bell.clone()).expect("it opens");
    let (me, clock) = (NodeId::Master(1), Arc::new(PausedClock(Instant::now())));
    let relay = Relay::new(me.clone(), Net::port(&Net::new(1), me), clock, log.clone());
    let post = Post::new(1, relay, meter.clone(), log.clone());
    let leaders = Arc::<Leaders>::default();
    let parts = GroupParts {
        id: 1,
        me: 1,
        group,
        rows: rows.clone(),
        bell,
        post,
        leaders,
        tables: Tables::default(),
        replicas: Arc::default(),
        meter: meter.clone(),
        log,
    };
    let group: Mailbox<GroupActor> = GroupActor::start_in_room(parts);
    let notices = Arc::<Mutex<Vec<GroupNotice>>>::default();
    let ear = Mailbox::new(Ear(notices.clone()).start(), meter.clone());
    group.send(Listen(ear.door())).expect("room");
    let mut began = None;
    for _ in 0..100 {
        disk.run_writers();
        sleep(Duration::from_millis(1)).await;
        for notice in notices.lock().expect("one thread").drain(..) {
            if let GroupNotice::Raft(Notice::EpochBegan { term, epoch, .. }) = notice {
                began = Some((term, epoch));
            }
        }
    }
    let (term, epoch) = began.expect("a sole master leads");
    let clock = Arc::new(PausedClock(Instant::now()));
    let journal = Journal::new(group, clock, stamped, (term, epoch), Timestamp(0));
    Bench { disk, notices, meter, rows, journal, term, epoch }
}

impl Bench {
    /// A decision of that size with that effect.
    fn decide(&self, bytes: usize, effect: u32) {
        let writes = vec![Write::Put { key: Bytes::from_static(b"k"), value: Bytes::from(vec![0; bytes]) }];
        self.journal.hand_in(Turn {
            writes,
            events: vec![(RunId(1), Event::RunStarted)],
            effects: vec![effect],
        });
    }

    fn ask(&self, effect: u32) {
        self.journal.hand_in(Turn { effects: vec![effect], ..Turn::default() });
    }

    async fn write(&self) {
        for _ in 0..20 {
            self.disk.run_writers();
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// What the group has said since, as its owner would take it: the effects that may be executed.
    async fn effects(&self) -> Vec<u32> {
        sleep(Duration::from_millis(5)).await;
        self.effects_now()
    }

    fn effects_now(&self) -> Vec<u32> {
        let notices = std::mem::take(&mut *self.notices.lock().expect("one thread"));
        let settled = notices.into_iter().filter_map(|notice| match notice {
            GroupNotice::Raft(Notice::Committed { position, epoch, sequence }) => {
                self.journal.committed(position, epoch, sequence)
            }
            GroupNotice::ReadConfirmed { token, .. } => self.journal.read_confirmed(token),
            _ => None,
        });
        settled.flat_map(|settled| settled.effects).collect()
    }

    fn proposed(&self) -> u64 {
        self.meter.entries.load(Ordering::Relaxed)
    }

    fn stamps(&self) -> Vec<i64> {
        let (from, to) = (Bytes::from_static(&[0]), Bytes::from_static(b"k"));
        let rows = self.rows.scan(&from, &to, 100, false).expect("readable");
        rows.iter().map(|(key, _)| i64::from_be_bytes(key.as_ref().try_into().expect("a stamp"))).collect()
    }
}

fn on_bench(story: impl AsyncFnOnce(Bench)) {
    world(1, 0, 0, async |_| story(bench().await).await);
}

#[test]
fn effects_wait_for_their_entry_and_those_without_one_for_what_is_under_way() {
    on_bench(async |bench| {
        bench.ask(1);
        assert_eq!(bench.effects().await, [1], "a round confirms what rests on nothing");
        bench.decide(10, 2);
        bench.ask(3);
        bench.journal.flush();
        bench.ask(4);
        bench.decide(10, 5);
        bench.ask(6);
        bench.journal.flush();
        assert_eq!(bench.effects().await, [0; 0], "nothing is on the disk");
        assert_eq!(bench.proposed(), 1, "one at a time");
        bench.write().await;
        assert_eq!(bench.effects().await, [2, 3, 4]);
        bench.journal.flush();
        bench.write().await;
        assert_eq!(bench.effects().await, [5, 6]);
    });
}

#[test]
fn behind_large_entries_the_next_one_follows_and_behind_a_small_one_it_waits() {
    on_bench(async |bench| {
        // Turns that are handed in before each flush, and how many entries are in flight after it.
        let cases: [(&[u32], &[u64]); 5] = [
            (&[50, 50, 50, 50, 50], &[1, 2, 3, 4, 4]),
            (&[50, 3, 3, 80], &[1, 2, 2, 2]),
            (&[49, 50], &[1, 1]),
            (&[3, 50], &[1, 1]),
            (&[400, 49, 1], &[1, 2, 2]),
        ];
        for (flushes, expected) in cases {
            let before = bench.proposed();
            let (mut handed_in, mut in_flight) = (0, Vec::new());
            for turns in flushes {
                (handed_in..handed_in + turns).for_each(|turn| bench.decide(10, turn));
                handed_in += turns;
                bench.journal.flush();
                sleep(Duration::from_millis(1)).await;
                in_flight.push(bench.proposed() - before);
            }
            assert_eq!(in_flight, expected, "{flushes:?}");
            let mut effects = Vec::new();
            while effects.len() < handed_in as usize {
                bench.journal.flush();
                bench.write().await;
                effects.extend(bench.effects().await);
            }
            assert_eq!(effects, (0..handed_in).collect::<Vec<u32>>(), "{flushes:?}");
        }
    });
}

#[test]
fn after_an_entry_that_few_shared_the_next_one_waits_as_long_as_its_commit_took_and_after_others_it_does_not()
{
    on_bench(async |bench| {
        let cases = [
            (2, Duration::from_millis(3), Flushed::Done),
            (6, Duration::ZERO, Flushed::Paced(Span(1_000))),
            (6, Duration::from_millis(3), Flushed::Paced(Span(3_000))),
            (6, Duration::from_millis(900), Flushed::Paced(Span(5_000))),
            (49, Duration::from_millis(3), Flushed::Paced(Span(3_000))),
            (50, Duration::from_millis(3), Flushed::Done),
            (400, Duration::from_millis(3), Flushed::Done),
        ];
        for (turns, took, expected) in cases {
            (0..turns).for_each(|turn| bench.decide(10, turn));
            assert_eq!(bench.journal.flush_paced(), Flushed::Done);
            sleep(took).await;
            let notices = std::mem::take(&mut *bench.notices.lock().expect("one thread"));
            assert!(notices.is_empty(), "{notices:?}");
            bench.disk.run_writers();
            let written = Instant::now();
            while bench.effects_now().is_empty() {
                tokio::task::yield_now().await;
                bench.disk.run_writers();
            }
            assert_eq!(written.elapsed(), Duration::ZERO);
            let proposed = bench.proposed();
            bench.decide(10, 99);
            assert_eq!(bench.journal.flush_paced(), expected, "{turns} turns, committed after {took:?}");
            if let Flushed::Paced(pause) = expected {
                sleep(pause.as_duration()).await;
                assert_eq!(bench.journal.flush_paced(), Flushed::Done);
            }
            bench.write().await;
            assert_eq!((bench.effects().await, bench.proposed()), (vec![99], proposed + 1));
        }
    });
}

#[test]
fn the_end_of_the_epoch_drops_what_waits() {
    on_bench(async |bench| {
        bench.decide(10, 1);
        bench.journal.flush();
        bench.decide(10, 2);
        bench.ask(3);
        bench.journal.close();
        bench.decide(10, 4);
        bench.ask(5);
        bench.journal.flush();
        bench.write().await;
        assert_eq!(bench.effects().await, [0; 0]);
        assert_eq!((bench.proposed(), bench.journal.is_open()), (1, false));
    });
}

#[test]
fn a_notice_of_another_term_or_epoch_settles_nothing() {
    on_bench(async |bench| {
        bench.decide(10, 1);
        bench.journal.flush();
        let at = |term| Position { term, index: 9 };
        assert!(bench.journal.committed(at(bench.term + 1), bench.epoch, 0).is_none());
        assert!(bench.journal.committed(at(bench.term - 1), bench.epoch, 0).is_none());
        assert!(bench.journal.committed(at(bench.term), bench.epoch + 1, 0).is_none());
        assert!(bench.journal.read_confirmed(77).is_none());
        bench.write().await;
        assert_eq!(bench.effects().await, [1]);
    });
}

#[test]
fn full_entries_go_out_although_others_are_in_flight() {
    on_bench(async |bench| {
        for effect in 0..5 {
            bench.decide(200 << 10, effect);
        }
        bench.journal.flush();
        assert_eq!(bench.effects().await, [0; 0]);
        assert_eq!(bench.proposed(), 2, "two full ones; what is left over waits");
        for effect in 5..15 {
            bench.decide(200 << 10, effect);
        }
        bench.journal.flush();
        assert_eq!((bench.effects().await, bench.proposed()), (Vec::new(), 4), "at most so many");
        for _ in 0..4 {
            bench.write().await;
            bench.journal.flush();
            let _ = bench.effects().await;
            bench.journal.flush();
        }
        assert!(!bench.journal.has_pending() && bench.proposed() == 8);
    });
}

#[test]
fn decisions_of_an_entry_share_a_stamp() {
    on_bench(async |bench| {
        let mut stamps = Vec::new();
        for _ in 0..3 {
            let first = bench.journal.now();
            bench.decide(10, 0);
            sleep(Duration::from_millis(7)).await;
            assert_eq!(bench.journal.now(), first);
            bench.decide(500 << 10, 0);
            stamps.push(first.0);
            sleep(Duration::from_millis(7)).await;
        }
        assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
        bench.journal.flush();
        bench.write().await;
        assert_eq!(bench.stamps(), stamps, "each full entry has kept its own");
    });
}

#[test]
fn a_held_entry_waits_and_pressure_ends_with_the_commit() {
    on_bench(async |bench| {
        bench.journal.hold();
        bench.decide(10, 1);
        bench.journal.flush();
        bench.write().await;
        assert_eq!((bench.effects().await, bench.proposed()), (Vec::new(), 0));
        bench.journal.release();
        bench.journal.flush();
        bench.write().await;
        assert_eq!(bench.effects().await, [1]);
        while !bench.journal.under_pressure() {
            bench.decide(300 << 10, 2);
        }
        for _ in 0..20 {
            bench.journal.flush();
            bench.write().await;
            let _ = bench.effects().await;
        }
        assert!(!bench.journal.under_pressure() && !bench.journal.has_pending());
    });
}
