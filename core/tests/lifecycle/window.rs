//! Which ready task runs get an actor while there is room for some of them only.

use std::collections::BTreeMap;

use hortator_core::run::{READY_WINDOW, RunCommand, RunState, Window};
use hortator_core::time::Span;

use crate::definitions::parse;
use crate::show;
use crate::world::World;

/// The run, started, with nothing taken.
fn ready(text: &str) -> RunState {
    let mut world = World::new(parse(text));
    world.window = 0;
    world.tell(&RunCommand::Start).unwrap();
    world.run
}

/// What enters now, as `TASK*COUNT`, in the order of the first of each.
fn enter(run: &mut RunState, window: &mut Window) -> String {
    let taken = run.take_ready(usize::MAX, &mut |task| window.admit(task));
    let mut counts: BTreeMap<u32, (usize, u32)> = BTreeMap::new();
    for (nth, activation) in taken.iter().enumerate() {
        counts.entry(activation.key.task).or_insert((nth, 0)).1 += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().map(|(task, (first, count))| (first, task, count)).collect();
    counts.sort_unstable();
    let id = |task: u32| run.definition().tasks[task as usize].id.to_string();
    let texts: Vec<_> = counts.iter().map(|(_, task, count)| format!("{}*{count}", id(*task))).collect();
    texts.join(" ")
}

#[test]
fn a_full_window_keeps_back_its_own_level_and_line_alone() {
    assert_eq!(READY_WINDOW, 4096, "the numbers below");
    let many = "many | low foreach=5000; ";
    for (others, first) in [
        ("same | low", "many*4096"),
        ("urgent | high", "urgent*1 many*4096"),
        ("elsewhere | low @gpu", "many*4096 elsewhere*1"),
        ("limited | low limit=licence", "many*4096 limited*1"),
        ("free | foreach=5000; limited | limit=licence foreach=5000", "free*4096 limited*4096 many*4096"),
    ] {
        let mut run = ready(&format!("{many}{others}"));
        let mut window = Window::new(&run);
        assert_eq!(enter(&mut run, &mut window), first, "{others}");
        assert_eq!(enter(&mut run, &mut window), "", "{others}: no place is given back");
    }
}

#[test]
fn a_place_is_free_as_soon_as_its_task_run_waits_no_longer() {
    let mut run = ready("many | foreach=5000");
    let mut window = Window::new(&run);
    let many = 0;
    assert_eq!(enter(&mut run, &mut window), "many*4096");
    assert!(window.leave(many), "dispatched: others want the place");
    assert!(!window.leave(many), "they have been called");
    assert_eq!(enter(&mut run, &mut window), "many*2");
    assert!(window.leave(many));
    window.enter(many);
    window.enter(many);
    assert_eq!(enter(&mut run, &mut window), "", "two have come back from their workers and wait again");
    assert!(!window.leave(many), "there is one too many yet");
    assert_eq!(enter(&mut run, &mut window), "");
    assert!(window.leave(many));
    assert_eq!(enter(&mut run, &mut window), "many*1");
}

#[test]
fn whoever_asks_for_the_same_and_is_as_urgent_is_ahead() {
    let mut run =
        ready("urgent | high foreach=2; many | foreach=5000; late | low; elsewhere | @gpu foreach=3");
    let mut window = Window::new(&run);
    enter(&mut run, &mut window);
    let [urgent, many, late, elsewhere] = [0, 1, 2, 3];
    assert_eq!([urgent, many, late, elsewhere].map(|task| window.ahead_of(task)), [2, 4098, 4099, 3]);
    window.leave(urgent);
    assert_eq!(window.ahead_of(many), 4097, "one of them runs");
}

#[test]
fn the_longest_remaining_path_enters_first() {
    let run = ready("short; long; urgent | high; middle | foreach=2; later; low | low");
    let order = |run: &RunState| {
        let taken = run.clone().take_ready(9, &mut |_| true);
        let ids: Vec<_> = taken.iter().map(|taken| show::key(run.definition(), taken.key)).collect();
        ids.join(" ")
    };
    assert_eq!(order(&run), "urgent short long middle[0] middle[1] later low");
    let mut foreseen = run;
    foreseen.foresee([1, 9, 0, 5, 9, 99].map(Span::from_secs).into());
    assert_eq!(order(&foreseen), "urgent long later middle[0] middle[1] short low");
}
