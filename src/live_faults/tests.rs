//! Orders, links and disks under faults, without a cluster. Clusters under faults: tests/live_faults.rs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hortator_actors::seam::{Clock, Incoming, SendError, Transport};
use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::frame::NodeId;
use slog::{Discard, Logger, o};

use super::*;

/// What a test's node sends goes nowhere but into a list.
#[derive(Default)]
struct Wire {
    sent: Mutex<Vec<(NodeId, Bytes)>>,
    incoming: Mutex<Option<Arc<dyn Incoming>>>,
}

impl Transport for Wire {
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        self.sent.lock().unwrap().push((to.clone(), frame));
        Ok(())
    }

    fn listen(&self, incoming: Arc<dyn Incoming>) {
        *self.incoming.lock().unwrap() = Some(incoming);
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Incoming for Heard {
    fn frame(&self, from: &NodeId, frame: Bytes) {
        self.0.lock().unwrap().push(format!("{from}: {}", String::from_utf8_lossy(&frame)));
    }

    fn session_opened(&self, peer: &NodeId) {
        self.0.lock().unwrap().push(format!("{peer} is there"));
    }

    fn session_closed(&self, peer: &NodeId) {
        self.0.lock().unwrap().push(format!("{peer} is gone"));
    }
}

/// A board with the nodes n1 and w1, and the links of n1.
struct Bench {
    board: Arc<Board>,
    wire: Arc<Wire>,
    heard: Arc<Heard>,
    transport: Arc<dyn Transport>,
    n1: NodeSeams,
}

fn bench() -> Bench {
    let board = Board::start(&Logger::root(Discard, o!()));
    let faults = LiveFaults::On(board.clone());
    let (wire, heard) = (Arc::<Wire>::default(), Arc::<Heard>::default());
    let n1 = faults.of_node("n1");
    let _ = faults.of_node("w1");
    let transport = n1.transport(wire.clone());
    transport.listen(heard.clone());
    Bench { board, wire, heard, transport, n1 }
}

impl Bench {
    fn add(&self, json: &str) -> Result<FaultView, Refusal> {
        self.board.add(&serde_json::from_str(json).expect(json), "a test")
    }

    fn ear(&self) -> Arc<dyn Incoming> {
        self.wire.incoming.lock().unwrap().clone().expect("it listens")
    }

    fn sent(&self) -> usize {
        self.wire.sent.lock().unwrap().len()
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.0.lock().unwrap())
    }
}

const N2: NodeId = NodeId::Master(2);
const N3: NodeId = NodeId::Master(3);

fn until(what: &str, holds: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn orders_have_bounds() {
    let bench = bench();
    for (json, part) in [
        (r#"{"fault":{"do":"delay","path":"n1→n2","by":"2h"},"for":"1s"}"#, "late by"),
        (r#"{"fault":{"do":"delay","path":"n1→n2","by":"1s","spread":"2s"},"for":"1s"}"#, "late by"),
        (r#"{"fault":{"do":"drop","path":"n1","percent":0},"for":"1s"}"#, "1% to 100%"),
        (r#"{"fault":{"do":"pause","node":"n1"},"for":"2h"}"#, "lasts up to 1h"),
        (r#"{"fault":{"do":"pause","node":"n1"},"for":"0s"}"#, "lasts up to 1h"),
        (r#"{"fault":{"do":"pause","node":"n7"},"for":"1s"}"#, "its nodes are n1, w1"),
        (r#"{"fault":{"do":"drop","path":"n7->n8","percent":5},"for":"1s"}"#, "n7 is no node"),
        (r#"{"fault":{"do":"kill","node":"n1"},"for":"1s"}"#, "process of its own"),
        (r#"{"fault":{"do":"disk-full","node":"w1"},"for":"1s"}"#, "no master"),
        (r#"{"fault":{"do":"partition","one":["n1"],"other":["n1"]},"for":"1s"}"#, "both sides"),
        (r#"{"fault":{"do":"partition","one":["n7"],"other":["n8"]},"for":"1s"}"#, "n7 is no node"),
        (r#"{"fault":{"do":"clock-drift","node":"n1","rate":1.0},"for":"1s"}"#, "times as fast"),
    ] {
        let refused = bench.add(json).expect_err(json).to_string();
        assert!(refused.contains(part), "{json}: {refused:?} lacks {part:?}");
    }
    assert!(bench.board.list().is_empty() && bench.board.counts().is_empty());
    assert!(matches!(bench.board.clear(9), Err(Refusal::Unknown(9))));
    for wrong in ["n1→", "→n2", "n1→n1", ""] {
        assert!(wrong.parse::<Path>().is_err(), "{wrong:?}");
    }
    let no_time = r#"{"fault":{"do":"pause","node":"n1"}}"#;
    assert!(serde_json::from_str::<Wanted>(no_time).is_err());
}

#[test]
fn a_cut_link_ends_its_session_and_begins_it_again() {
    let bench = bench();
    let ear = bench.ear();
    ear.session_opened(&N2);
    ear.session_opened(&N3);
    let cut = bench.add(r#"{"fault":{"do":"partition","one":["n1"],"other":["n2"]},"for":"1h"}"#).unwrap();
    assert_eq!(bench.heard(), ["n2 is there", "n3 is there", "n2 is gone"]);
    assert_eq!(bench.transport.send(&N2, "x".into()), Err(SendError::NotConnected(N2)));
    assert_eq!(bench.transport.send(&N3, "x".into()), Ok(()));
    ear.frame(&N2, "lost".into());
    ear.frame(&N3, "heard".into());
    // A session that ends and begins behind the cut is not heard of.
    ear.session_closed(&N2);
    ear.session_opened(&N2);
    assert_eq!((bench.heard(), bench.sent()), (vec!["n3: heard".to_owned()], 1));
    bench.board.clear(cut.id).unwrap();
    assert_eq!(bench.heard(), ["n2 is there"]);
    assert_eq!(bench.transport.send(&N2, "x".into()), Ok(()));
}

#[test]
fn late_frames_come_in_order_and_a_cleared_fault_overtakes_nothing() {
    let bench = bench();
    let late = r#"{"fault":{"do":"delay","path":"n1→n2","by":"50ms","spread":"40ms"},"for":"1h"}"#;
    let id = bench.add(late).unwrap().id;
    for number in 0..50u8 {
        bench.transport.send(&N2, Bytes::copy_from_slice(&[number])).unwrap();
    }
    assert_eq!(bench.sent(), 0);
    bench.transport.send(&N3, "x".into()).unwrap();
    assert_eq!(bench.sent(), 1, "the other link is as quick as ever");
    bench.board.clear(id).unwrap();
    bench.transport.send(&N2, Bytes::copy_from_slice(&[50])).unwrap();
    until("all come", || bench.sent() == 52);
    let sent = bench.wire.sent.lock().unwrap();
    let numbers: Vec<u8> = sent.iter().filter(|(to, _)| *to == N2).map(|(_, frame)| frame[0]).collect();
    assert_eq!(numbers, (0..=50).collect::<Vec<u8>>());
}

#[test]
fn frames_are_lost_in_the_share_that_was_asked_for() {
    let bench = bench();
    let order = r#"{"fault":{"do":"drop","path":"n2→n1","percent":30},"for":"1h"}"#;
    bench.add(order).unwrap();
    let ear = bench.ear();
    (0..1_000).for_each(|_| ear.frame(&N2, "x".into()));
    let came = bench.heard().len();
    assert!((600..800).contains(&came), "{came} of 1000");
    bench.transport.send(&N2, "x".into()).unwrap();
    assert_eq!(bench.sent(), 1, "the other direction is whole");
    assert_eq!(bench.board.counts(), [("drop", 1)]);
}

#[test]
fn faults_end_by_themselves() {
    let bench = bench();
    bench.add(r#"{"fault":{"do":"drop","path":"n1","percent":100},"for":"50ms"}"#).unwrap();
    bench.transport.send(&N2, "x".into()).unwrap();
    assert_eq!(bench.sent(), 0);
    until("it ends", || bench.board.list().is_empty());
    bench.transport.send(&N2, "x".into()).unwrap();
    assert_eq!(bench.sent(), 1);
}

#[test]
fn a_clock_is_wrong_for_a_while() {
    let bench = bench();
    let clock = bench.n1.clock();
    let truth = crate::env::SystemClock;
    let id =
        bench.add(r#"{"fault":{"do":"clock-jump","node":"n1","micros":5000000},"for":"1h"}"#).unwrap().id;
    let ahead = clock.wall().since(truth.wall());
    assert!(ahead > Span::from_secs(4) && ahead < Span::from_secs(6), "{ahead}");
    assert!(clock.boot().0.abs_diff(truth.boot().0) < 1_000_000, "leases rest on it");
    bench.board.clear(id).unwrap();
    assert!(clock.wall().0.abs_diff(truth.wall().0) < 1_000_000);
}

#[test]
fn a_disk_is_full_and_slow_for_a_while() {
    let bench = bench();
    let home = tempfile::tempdir().unwrap();
    let files = crate::env::store::FileStore::open(home.path()).unwrap();
    let store = bench.n1.store(Arc::new(files));
    let file = store.open("group-1.redb").unwrap();
    file.set_len(10).unwrap();
    let id = bench.add(r#"{"fault":{"do":"disk-full","node":"n1"},"for":"1h"}"#).unwrap().id;
    let refused = file.set_len(20).expect_err("it cannot grow");
    assert_eq!((refused.kind(), store.free_bytes().unwrap()), (std::io::ErrorKind::StorageFull, 0));
    file.write(0, b"0123456789").unwrap();
    bench.board.clear(id).unwrap();
    file.set_len(20).unwrap();
    let slow = r#"{"fault":{"do":"fsync-delay","node":"n1","by":"60s"},"for":"1h"}"#;
    bench.add(slow).unwrap();
    let (told, began) = (std::sync::mpsc::channel(), Instant::now());
    let sender = told.0;
    let syncing = std::thread::spawn(move || {
        sender.send(()).unwrap();
        file.sync_data().unwrap();
    });
    told.1.recv().unwrap();
    bench.board.clear_all();
    syncing.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "clearing it ends the wait");
}

#[test]
fn only_heartbeats_are_lost() {
    use hortator_proto::frame::{FromWorker, Heartbeat};
    let bench = bench();
    bench.add(r#"{"fault":{"do":"heartbeat-loss","node":"w2"},"for":"1h"}"#).unwrap();
    let w2 = NodeId::Worker(Name::new("w2").unwrap());
    let other = FromWorker::Running { incarnation: 1, attempts: Vec::new() };
    let beat = FromWorker::Heartbeat(Heartbeat { incarnation: 1, ..Heartbeat::default() });
    bench.ear().frame(&w2, beat.encode());
    assert!(bench.heard().is_empty());
    bench.ear().frame(&w2, other.encode());
    assert_eq!(bench.heard().len(), 1);
}
