//! Faults that follow from what the cluster has done (an old directory, whoever passed a mark, a host) are stored with their
//! victims, and played again line by line without them being chosen anew.

use hortator_actors::mutant::Mutant;
use hortator_core::time::Span;
use hortator_simulations::faults::Fault;
use hortator_simulations::resolved::Resolved;
use hortator_simulations::run::{Audience, Order, Verdict, play, replay};
use hortator_simulations::scenarios;

/// Each line of these scenarios hits by then.
const LASTS: Span = Span::from_secs(25);

fn is_played_again(name: &str, seed: u64) -> (Verdict, Resolved) {
    let mut plan = scenarios::find(name).expect("it is listed");
    plan.lasts = LASTS;
    plan.expects.clear();
    let order = Order { plan, seed, mutant: Mutant::None };
    let (verdict, resolved) = play(order, Audience::default());
    assert_eq!(verdict.violations, [], "{name}");
    let read = Resolved::parse(&resolved.text()).expect("what was written can be read");
    assert_eq!(read, resolved, "{name}");
    let (again, _) = replay(read, Mutant::None, Audience::default());
    assert_eq!(again, verdict, "{name}");
    (verdict, resolved)
}

#[test]
fn what_they_did_is_played_again() {
    for (name, fault) in [
        ("old-backup-restored", Fault::OldDisk),
        ("misdirected-write", Fault::Misdirect),
        ("host-stands-still", Fault::StopHost),
        ("bad-links", Fault::Squall),
        ("bad-links", Fault::Clog),
    ] {
        let (verdict, resolved) = is_played_again(name, 3);
        assert!(verdict.faults.contains_key(&fault), "{name}: {:?}", verdict.faults);
        assert!(resolved.hits.iter().filter(|hit| hit.fault == fault).all(|hit| !hit.who.is_empty()));
    }
}

/// Only masters send snapshots, and a follower is the one that needs them.
#[test]
fn the_one_who_passed_the_mark_is_hit() {
    let (verdict, resolved) = is_played_again("snapshot-sender-dies", 3);
    let passers: Vec<_> = resolved.hits.iter().filter(|hit| hit.after.is_some()).collect();
    assert!(!passers.is_empty() && verdict.marks.contains_key("raft: a snapshot is sent"));
    assert!(passers.iter().all(|hit| hit.who.len() == 1 && hit.who[0].starts_with('n')), "{passers:?}");
}

/// What a run is judged by is kept with it.
#[test]
fn a_run_that_nobody_may_notice_is_judged_so_again() {
    let (_, resolved) = is_played_again("one-master-at-a-time", 3);
    assert!(resolved.text().contains("judge = \"undisturbed\""), "{}", resolved.text());
}
