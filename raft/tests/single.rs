//! One replica: the file, epochs, reads, and disks that are full, fail or rot.

mod harness;

use std::sync::Arc;

use bytes::Bytes;
use harness::{Bell, FILE, Node, World, verdict};
use hortator_raft::memory::Crash;
use hortator_raft::{
    Batch, EpochError, Importance, Notice, OpenError, ProposeError, ReadIndexError, Role, Rows,
    StoreBackend as _, Ticket,
};

#[test]
fn leads_at_once_and_serves_what_it_committed() {
    let mut world = World::new(1, 1);
    world.settle();
    assert_eq!(world.leader(), Some(1), "no tick was needed");
    let position = world.put("a", "1");
    let row = world.node(1).rows().get(b"a").expect("readable").expect("there");
    assert_eq!((row.value, row.written), (Bytes::from_static(b"1"), position));
}

#[test]
fn applies_every_kind_of_write() {
    let mut world = World::new(2, 1);
    world.settle();
    for key in ["a", "b", "c", "d"] {
        world.put(key, "1");
    }
    let node = world.node(1);
    let mut batch = Batch::new();
    batch.put("e", "2").delete("a").delete_range("c", "d").put_at_index("log/", "x").put("e", "3");
    let ticket = node.ticket.expect("an epoch");
    let position = node.group().propose(ticket, &batch).expect("taken");
    node.proposed.insert(position, (Bytes::from_static(b"e"), Bytes::from_static(b"3")));
    world.settle();
    let node = world.node(1);
    let keys: Vec<Bytes> = node.dump().1.into_iter().map(|(key, _)| key).collect();
    let at_index = Bytes::from([b"log/".as_slice(), &position.index.to_be_bytes()].concat());
    assert_eq!(keys, [Bytes::from_static(b"b"), "d".into(), "e".into(), at_index]);
    let scan = |from: &str, to: &str, limit, reverse| -> String {
        let rows = node.rows().scan(from.as_bytes(), to.as_bytes(), limit, reverse).expect("readable");
        rows.into_iter().map(|(key, _)| String::from_utf8_lossy(&key[..1]).into_owned()).collect()
    };
    assert_eq!(scan("", "", 9, false), "bdel");
    assert_eq!(scan("", "", 2, true), "le");
    assert_eq!(scan("c", "e", 9, false), "d");
    assert_eq!(scan("e", "c", 9, false), "");
    assert_eq!(node.rows().scan_prefix(b"log/", 9).expect("readable").len(), 1);
}

#[test]
fn restarts_from_its_file() {
    for crash in [None, Some(Crash::Keep), Some(Crash::Lose), Some(Crash::Mix(3))] {
        let mut world = World::new(3, 1);
        world.settle();
        for n in 0..20 {
            world.put(&format!("k{n}"), vec![n; 100]);
        }
        let first = world.node(1).group().status().boot;
        match crash {
            Some(crash) => world.crash(1, crash),
            None => world.shut_down(1),
        }
        world.start(1);
        world.converge();
        assert!(world.node(1).group().status().boot > first);
        assert_eq!(world.committed.len(), 20);
        world.put("after", "1");
    }
}

#[test]
fn an_idle_write_of_rows_is_not_synced_and_comes_back_from_the_log() {
    let mut world = World::new(4, 1);
    world.settle();
    world.put("a", "1");
    assert_eq!(world.value(1, "a"), Some("1".into()), "visible before it is durable");
    world.crash(1, Crash::Lose);
    world.start(1);
    world.settle();
    assert_eq!(world.value(1, "a"), Some("1".into()));
}

#[test]
fn only_the_next_sequence_of_the_open_epoch_is_taken() {
    let mut world = World::new(5, 1);
    world.settle();
    world.put("a", "1");
    let node = world.node(1);
    let ticket = node.ticket.expect("an epoch");
    let try_with = |node: &mut Node, ticket: Ticket| {
        let mut batch = Batch::new();
        batch.put("x", "1");
        node.group().propose(ticket, &batch)
    };
    assert_eq!(try_with(node, Ticket { term: 99, ..ticket }), Err(ProposeError::WrongTerm(ticket.term)));
    assert_eq!(try_with(node, Ticket { epoch: 99, ..ticket }), Err(ProposeError::WrongEpoch));
    world.settle();
    assert_eq!(world.node(1).count(|notice| matches!(notice, Notice::EpochEnded { .. })), 0);
    let wrong = Ticket { sequence: ticket.sequence + 1, ..ticket };
    assert_eq!(try_with(world.node(1), wrong), Err(ProposeError::WrongSequence(ticket.sequence)));
    assert_eq!(
        try_with(world.node(1), ticket),
        Err(ProposeError::WrongEpoch),
        "the surprise ended the epoch"
    );
    world.settle();
    let ended = |notice: &Notice| matches!(notice, Notice::EpochEnded { epoch } if *epoch == ticket.epoch);
    assert_eq!(world.node(1).count(ended), 1);
    let next = world.node(1).ticket.expect("a new epoch");
    assert!(next.epoch > ticket.epoch && next.sequence == 0);
    world.put("b", "2");
    assert_eq!(world.value(1, "x"), None);
}

#[test]
fn an_ended_epoch_reports_no_commits() {
    let mut world = World::new(6, 1);
    world.settle();
    world.propose(1, "a", "1").expect("taken");
    world.node(1).group().end_epoch();
    world.node(1).proposed.clear();
    world.settle();
    assert!(world.committed.is_empty(), "the notice was dropped with the epoch");
    assert_eq!(world.value(1, "a"), Some("1".into()), "the entry was not");
}

#[test]
fn reads_wait_for_a_commit_of_the_term_and_are_never_reused() {
    let mut world = World::new(7, 1);
    assert_eq!(world.node(1).group().read_index(), Err(ReadIndexError::NotReady));
    world.settle();
    let position = world.put("a", "1");
    let first = world.node(1).group().read_index().expect("asked");
    let second = world.node(1).group().read_index().expect("asked");
    assert_ne!(first, second);
    world.settle();
    let reads = &world.node(1).reads;
    assert!(reads[&first.0] >= position.index && reads[&second.0] >= position.index);
}

#[test]
fn a_low_disk_refuses_ordinary_batches_only() {
    let mut world = World::with(8, 1, |config| {
        (config.disk_low_bytes, config.ballast_bytes) = (50 << 20, 8 << 20);
    });
    world.settle();
    world.put("a", "1");
    let with_ballast = world.node(1).backend.used_bytes();
    world.node(1).backend.set_quota(Some(with_ballast + (10 << 20)));
    world.ticks(10);
    assert_eq!(world.node(1).count(|notice| *notice == Notice::DiskLow { low: true }), 1);
    assert!(world.node(1).backend.used_bytes() + (7 << 20) < with_ballast, "the ballast is given back");
    assert_eq!(world.propose(1, "b", "2"), Err(ProposeError::DiskLow));
    world.settle();
    let node = world.node(1);
    let ticket = node.ticket.expect("a new epoch");
    let (mut report, mut removal) = (Batch::new(), Batch::new());
    report.put("report", "1");
    removal.delete("a");
    let taken = node.group().propose_as(ticket, &report, Importance::Essential).expect("essential");
    node.proposed.insert(taken, (Bytes::from_static(b"report"), Bytes::from_static(b"1")));
    let taken = node.group().propose(Ticket { sequence: 1, ..ticket }, &removal).expect("frees space");
    node.proposed.insert(taken, (Bytes::from_static(b"a"), Bytes::new()));
    world.settle();
    assert_eq!((world.value(1, "a"), world.value(1, "report")), (None, Some("1".into())));
    world.node(1).backend.set_quota(None);
    world.ticks(10);
    assert_eq!(world.node(1).count(|notice| *notice == Notice::DiskLow { low: false }), 1);
}

#[test]
fn a_full_disk_stops_the_replica_and_space_brings_it_back() {
    let mut world = World::with(9, 1, |config| config.disk_low_bytes = 1);
    world.settle();
    world.put("a", "1");
    let used = world.node(1).backend.used_bytes();
    world.node(1).backend.set_quota(Some(used));
    for n in 0..2000 {
        if world.propose(1, &format!("k{n}"), vec![7; 20_000]).is_err() {
            break;
        }
        world.settle();
    }
    let rows = world.node(1).rows().clone();
    let value = |rows: &Rows, key: &[u8]| {
        let row = rows.get(key).expect("readable");
        row.map(|row| String::from_utf8(row.value.to_vec()).expect("text"))
    };
    let node = world.node(1);
    assert_eq!(node.group().status().role, Role::Stopped);
    assert_eq!(node.count(|notice| matches!(notice, Notice::Stopped { .. })), 1);
    assert_eq!(node.group().begin_epoch(), Err(EpochError::Stopped));
    assert!(node.rows().get(b"a").is_err());
    world.node(1).backend.set_quota(None);
    world.ticks(10);
    assert_eq!(world.node(1).count(|notice| *notice == Notice::SpaceReturned), 1);
    world.node(1).group().reopen(Arc::new(Bell::default())).expect("there is space");
    world.converge();
    world.put("b", "2");
    assert_eq!(value(&rows, b"a"), Some("1".into()), "readers follow");
    assert_eq!(value(&rows, b"b"), Some("2".into()));
    let again = world.node(1).group().reopen(Arc::new(Bell::default()));
    assert!(matches!(again, Err(OpenError::Config(_))), "it is open: {again:?}");
}

#[test]
fn a_full_disk_gives_its_ballast_for_the_start() {
    for (ballast, opens) in [(8 << 20, true), (0, false)] {
        let mut world = World::with(15, 1, |config| config.ballast_bytes = ballast);
        world.settle();
        world.shut_down(1);
        let backend = world.node(1).backend.clone();
        backend.remove(FILE).expect("there is one");
        backend.set_quota(Some(backend.used_bytes()));
        match opens {
            true => assert!(world.start(1)),
            false => assert!(verdict(|| assert!(!world.start(1))).contains("StorageFull")),
        }
    }
}

#[test]
fn a_failed_sync_is_a_verdict() {
    let mut world = World::new(10, 1);
    world.settle();
    world.node(1).backend.fail_next_sync();
    world.propose(1, "a", "1").expect("taken");
    let said = verdict(|| world.settle());
    assert!(said.contains("a sync failed"), "{said}");
}

#[test]
fn rot_is_found_and_not_repaired() {
    let mut world = World::new(11, 1);
    world.settle();
    world.put("needle-key", "needle-value");
    world.shut_down(1);
    let backend = world.node(1).backend.clone();
    let content = backend.content(FILE).expect("a file");
    let needle = b"needle-value";
    let spots: Vec<usize> =
        (0..content.len() - needle.len()).filter(|at| content[*at..].starts_with(needle)).collect();
    assert!(spots.len() >= 2, "in the log and in the rows");
    spots.iter().for_each(|at| backend.flip_bit(FILE, *at as u64).expect("a byte"));
    let said = verdict(|| assert!(!world.start(1)));
    assert!(said.contains("does not open") && said.contains("Corrupted"), "{said}");
}

/// However a file was closed, all of it is verified before a replica speaks.
#[test]
fn a_rotten_bit_is_found_when_the_file_opens() {
    let needle = b"needle-value";
    for (how, close) in ENDS {
        let mut world = World::new(15, 1);
        world.settle();
        world.put("needle-key", "needle-value");
        world.put("other", "value");
        close(&mut world);
        let kept = world.node(1).backend.clone();
        let content = kept.content(FILE).expect("a file");
        let spots = (0..content.len() - needle.len()).filter(|at| content[*at..].starts_with(needle));
        let mut refused = 0;
        for at in spots {
            world.node(1).backend = kept.backup();
            world.node(1).backend.flip_bit(FILE, at as u64).expect("a byte");
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.start(1))) {
                Ok(_) => world.crash(1, Crash::Lose),
                Err(_) => refused += 1,
            }
        }
        assert_eq!(refused, 2, "in the log and in the rows, {how}");
    }
}

type End = fn(&mut World);
const ENDS: [(&str, End); 2] =
    [("crashed", |world| world.crash(1, Crash::Lose)), ("closed", |world| world.shut_down(1))];

/// A page that lands where another one lies is whole: only who names it knows that it is another.
#[test]
fn a_page_in_a_wrong_place_is_never_rows() {
    /// As redb allocates them.
    const PAGE: usize = 4096;
    const KEYS: usize = 60;
    for (how, close) in ENDS {
        let mut world = World::new(16, 1);
        world.settle();
        let key = |n: usize| format!("key{n:03}");
        for n in 0..KEYS {
            world.put(&key(n), vec![n as u8; 500]);
        }
        close(&mut world);
        let kept = world.node(1).backend.clone();
        let content = kept.content(FILE).expect("a file");
        let pages: Vec<&[u8]> = content.chunks_exact(PAGE).collect();
        let written: Vec<usize> =
            (1..pages.len()).filter(|at| pages[*at].iter().any(|byte| *byte != 0)).collect();
        let (mut refused, mut same) = (0, 0);
        for (at, place) in written.iter().enumerate() {
            // some other one, far and near in turn
            let from = written[(at + 1 + at % 7) % written.len()];
            world.node(1).backend = kept.backup();
            world.node(1).backend.overwrite(FILE, (place * PAGE) as u64, pages[from]).expect("a page");
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.start(1))) {
                Ok(_) => {
                    // what was not synced comes back from the log
                    world.settle();
                    let view = world.node(1).rows().read().expect("readable");
                    for n in 0..KEYS {
                        let row = view.get(key(n).as_bytes()).expect("readable").expect("a row");
                        assert_eq!(row.value, vec![n as u8; 500], "page {from} at {place}, {how}");
                    }
                    drop(view);
                    world.crash(1, Crash::Lose);
                    same += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 10 && same > 0, "{refused} refused, {same} where nobody reads, {how}");
    }
}

/// What lands on a page under a running process is found when the page is read the next time, and ends it.
#[test]
fn a_page_that_changes_under_a_running_process_is_not_used() {
    const PAGE: usize = 4096;
    const KEYS: usize = 16;
    let filled = || {
        let mut world = World::with(17, 1, |config| config.cache_bytes = 0);
        world.settle();
        for n in 0..KEYS {
            world.put(&format!("key{n:03}"), vec![n as u8; 2_000]);
        }
        let content = world.node(1).backend.content(FILE).expect("a file");
        (world, content)
    };
    let pages = filled().1.len() / PAGE;
    let mut noticed = 0;
    for place in 1..pages {
        let (mut world, content) = filled();
        let other = &content[(place + 1) % pages * PAGE..][..PAGE];
        world.node(1).backend.overwrite(FILE, (place * PAGE) as u64, other).expect("a page");
        let rows = world.node(1).rows().clone();
        let read = std::panic::catch_unwind(|| rows.scan(b"", b"", usize::MAX, false).expect("readable"));
        match read {
            Ok(found) => {
                let whole = found.iter().enumerate().all(|(n, (_, row))| row.value == vec![n as u8; 2_000]);
                assert!(whole && found.len() == KEYS, "page {place}");
            }
            Err(said) => {
                let said = said.downcast_ref::<String>().cloned().unwrap_or_default();
                assert!(said.contains("not what was there before"), "page {place}: {said}");
                noticed += 1;
            }
        }
    }
    assert!(noticed >= 5, "{noticed} of {pages} pages");
}

/// The byte that says which commit is the last has no sum of redb's own.
#[test]
fn a_rotten_header_gives_back_no_older_commit() {
    /// redb's header and the sum behind it.
    const HEADER: u64 = 328;
    let mut world = World::new(14, 1);
    world.settle();
    world.put("a", "1");
    world.put("a", "2");
    world.crash(1, Crash::Keep);
    let backend = world.node(1).backend.clone();
    for at in 0..HEADER {
        backend.flip_bit(FILE, at).expect("a byte");
        let said = verdict(|| assert!(!world.start(1)));
        let told = said.contains("header does not match") || said.contains("magic number");
        assert!(said.contains("does not open") && told, "byte {at}: {said}");
        backend.flip_bit(FILE, at).expect("a byte");
    }
    assert!(world.start(1));
}

#[test]
fn a_foreign_file_is_refused() {
    let mut world = World::new(12, 1);
    world.settle();
    world.shut_down(1);
    world.node(1).config.cluster_id = [9; 16];
    assert!(verdict(|| assert!(!world.start(1))).contains("OtherCluster"));
    world.node(1).config.cluster_id = harness::CLUSTER;
    world.node(1).config.replica = 2;
    world.node(1).config.initial_voters = vec![2];
    assert!(verdict(|| assert!(!world.start(1))).contains("OtherReplica"));
}

#[test]
fn oversized_batches_end_the_epoch() {
    let mut world = World::new(13, 1);
    world.settle();
    let taken = world.propose(1, "a", vec![0; hortator_raft::VALUE_BYTES_MAX + 1]);
    assert!(matches!(taken, Err(ProposeError::TooLarge(_))), "{taken:?}");
    world.settle();
    world.put("a", vec![0; hortator_raft::VALUE_BYTES_MAX]);
}

#[test]
fn the_log_is_cut_behind_what_is_applied() {
    let mut world = World::with(14, 1, |config| config.log_keep_entries = 100);
    world.settle();
    for n in 0..3000 {
        world.propose(1, &format!("k{}", n % 50), vec![0; 20]).expect("taken");
        if n % 100 == 0 {
            world.settle();
        }
    }
    world.settle();
    let status = world.node(1).group().status();
    assert!(status.first > 1000 && status.first + 100 < status.last, "{status:?}");
    world.crash(1, Crash::Lose);
    world.start(1);
    world.converge();
    let reopened = world.node(1).group().status();
    assert!(reopened.first > 1000, "{reopened:?}");
    world.put("after", "1");
}
