//! A long haul: segments that go on from what the one before has left on its disks, and judges who remember.

use std::collections::BTreeSet;

use hortator_actors::mutant::Mutant;
use hortator_core::id::RunId;
use hortator_simulations::evidence::Mark;
use hortator_simulations::haul::{Haul, haul};
use hortator_simulations::plan::Plan;
use hortator_simulations::run::Order;
use hortator_simulations::scenarios;
use hortator_simulations::world::image::Image;

const SEGMENTS: u64 = 3;

fn order(seed: u64) -> Order {
    let mut plan: Plan = scenarios::find("leader-kill-loop").expect("it is listed");
    plan.lasts = "10s".parse().expect("a span");
    (plan.cluster.workers, plan.cluster.shards) = (2, 1);
    plan.expects.clear();
    plan.segments = SEGMENTS;
    plan.habits.mix.schedules = 800_000;
    plan.habits.mix.takes = [5_000, 20_000_000];
    Order { plan, seed, mutant: Mutant::None }
}

/// Runs of which a process was running when the power went.
fn cut_short(image: &Image) -> BTreeSet<RunId> {
    let mut running = BTreeSet::new();
    for line in &image.ledger {
        match line.mark {
            Mark::Start => drop(running.insert((line.key.clone(), line.fence))),
            Mark::End => drop(running.remove(&(line.key.clone(), line.fence))),
            Mark::Beat => {}
        }
    }
    running.into_iter().map(|(key, _)| key.run).collect()
}

#[test]
fn what_was_begun_before_the_cut_ends_after_it() {
    let mut haul = Haul::new(order(1), None);
    let first = haul.next_segment().expect("a segment");
    let image = haul.image_mut().expect("it was good").clone();
    let begun = cut_short(&image);
    assert!(!begun.is_empty(), "nothing was under way");
    let past = haul.past().expect("it was good");
    assert!(begun.iter().all(|run| !past.is_settled(*run)), "it is not over");

    let second = haul.next_segment().expect("a segment");
    let after = haul.image_mut().expect("it was good").clone();
    let past = haul.past().expect("it was good");
    assert!(begun.iter().all(|run| past.is_settled(*run)), "it is over");
    assert!(after.ledger.iter().all(|line| !begun.contains(&line.key.run)), "what is settled is not kept");
    assert!(after.at > image.at && second.seconds < after.at as f64 / 1e6, "time goes on");
    assert!(first.runs > 0 && second.runs > 0);

    let third = haul.next_segment().expect("a segment");
    assert!(third.is_good() && haul.next_segment().is_none());
    let verdict = haul.verdict();
    assert_eq!((verdict.segments, &verdict.violations[..]), (SEGMENTS, &[][..]));
    assert_eq!(verdict.runs, first.runs + second.runs + third.runs);
}

#[test]
fn a_seed_tells_the_same_story_segment_by_segment() {
    let traces = || {
        let (mut order, mut traces) = (order(2), Vec::new());
        order.plan.segments = 2;
        haul(order, None, &mut |verdict| traces.push(verdict.trace));
        traces
    };
    let once = traces();
    assert_eq!(once.len(), 2);
    assert_ne!(once[0], once[1]);
    assert_eq!(once, traces());
}

#[test]
fn what_an_image_has_lost_is_missed_after_the_cut() {
    for (case, losers, checker) in [("one master", 1, "S21"), ("all masters", usize::MAX, "S1")] {
        let mut haul = Haul::new(order(1), None);
        assert!(haul.next_segment().is_some_and(|verdict| verdict.is_good()));
        let image = haul.image_mut().expect("it was good");
        for master in image.masters.values_mut().take(losers) {
            master.files.pop_last().expect("a file for each group");
        }
        let verdict = haul.next_segment().expect("a segment");
        let spoke: BTreeSet<&str> = verdict.violations.iter().map(|violation| violation.checker).collect();
        assert!(spoke.contains(checker), "{case} lost a synced file: {spoke:?}");
        assert!(haul.next_segment().is_none(), "what follows a broken promise proves nothing");
    }
}
