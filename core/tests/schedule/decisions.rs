//! What becomes of due times, for each way to catch up and each way to overlap.

use hortator_core::schedule::{
    CatchUp, Overlap, Policy, ScheduleCommand, ScheduleEvent, ScheduleState, Situation, Start, Switch, Times,
    Timing, Trust, decide,
};
use hortator_core::time::Timestamp;

use crate::at;

const ALL: CatchUp = CatchUp::All { max: 2 };

/// Fires every hour; the next one is at 10:00.
fn hourly() -> (Times, ScheduleState) {
    let times = Times::new(&Timing::Every("1h".parse().unwrap())).unwrap();
    (times, ScheduleState::new(Switch::On, Some(at("2026-11-21T10:00:00Z"))))
}

fn clock(time: Timestamp) -> String {
    time.to_string()[11..16].to_owned()
}

/// `10:00!` fires at once, `10:00&` behind others, `10:00x` in place of the oldest; `10:00-12:00 missed` has no run.
fn said(event: &ScheduleEvent) -> String {
    let mark = |start: &Start| match start {
        Start::AtOnce => '!',
        Start::BehindTheOthers => '&',
        Start::InPlaceOfTheOldest => 'x',
    };
    match event {
        ScheduleEvent::Fired { nominal, start, .. } => format!("{}{}", clock(*nominal), mark(start)),
        ScheduleEvent::Triggered { start, .. } => format!("now{}", mark(start)),
        ScheduleEvent::PassedOver { first, last, why, .. } => {
            format!("{}-{} {why:?}", clock(*first), clock(*last)).to_lowercase()
        }
        ScheduleEvent::Enabled { next, .. } => format!("on {}", next.map_or("never".into(), clock)),
        ScheduleEvent::Disabled { .. } => "off".into(),
        ScheduleEvent::Retimed { next, .. } => format!("retimed {}", next.map_or("never".into(), clock)),
    }
}

fn turn(
    state: &mut ScheduleState,
    times: &Times,
    (catch_up, overlap, live): (CatchUp, Overlap, u32),
    trust: Trust,
    now: &str,
) -> String {
    let policy = Policy { catch_up, overlap };
    let situation = Situation { times, policy, live, trust };
    let events = decide(state, &ScheduleCommand::Look, &situation, at(now));
    events.iter().for_each(|event| state.apply(event));
    events.iter().map(said).collect::<Vec<_>>().join(", ")
}

#[test]
fn catching_up_and_overlapping() {
    use Overlap::{Allow, CancelOldest, Queue, Skip};
    // One time, in time; and four, of which three are late.
    for (catch_up, overlap, live, in_time, after_hours) in [
        (CatchUp::None, Allow, 0, "10:00!", "10:00-12:00 missed, 13:00!"),
        (CatchUp::None, Skip, 1, "10:00-10:00 overlap", "10:00-12:00 missed, 13:00-13:00 overlap"),
        (CatchUp::Latest, Allow, 0, "10:00!", "10:00-12:00 missed, 13:00!"),
        (CatchUp::Latest, Queue, 1, "10:00&", "10:00-12:00 missed, 13:00&"),
        (ALL, Allow, 1, "10:00!", "10:00-10:00 missed, 11:00!, 12:00!, 13:00!"),
        (ALL, Queue, 0, "10:00!", "10:00-10:00 missed, 11:00!, 12:00&, 13:00&"),
        (ALL, Skip, 0, "10:00!", "10:00-10:00 missed, 11:00!, 12:00-12:00 overlap, 13:00-13:00 overlap"),
        (ALL, CancelOldest, 1, "10:00x", "10:00-10:00 missed, 11:00x, 12:00x, 13:00x"),
    ] {
        for (now, expected) in [("2026-11-21T10:00:30Z", in_time), ("2026-11-21T13:00:30Z", after_hours)] {
            let (times, mut state) = hourly();
            let found = turn(&mut state, &times, (catch_up, overlap, live), Trust::Steady, now);
            assert_eq!(found, expected, "{catch_up:?} {overlap:?} {live} at {now}");
            let again = turn(&mut state, &times, (catch_up, overlap, live), Trust::Steady, now);
            assert_eq!(again, "", "decided is decided: {catch_up:?} {overlap:?} at {now}");
        }
    }
}

#[test]
fn only_late_times() {
    for (catch_up, expected, next) in [
        (CatchUp::None, "10:00-12:00 missed", "13:00"),
        (CatchUp::Latest, "10:00-11:00 missed, 12:00!", "13:00"),
        (ALL, "10:00-10:00 missed, 11:00!, 12:00!", "13:00"),
        (CatchUp::All { max: 9 }, "10:00!, 11:00!, 12:00!", "13:00"),
    ] {
        let (times, mut state) = hourly();
        let now = "2026-11-21T12:30:00Z";
        let found = turn(&mut state, &times, (catch_up, Overlap::Allow, 0), Trust::Steady, now);
        assert_eq!(
            (found.as_str(), state.next.map(clock).as_deref()),
            (expected, Some(next)),
            "{catch_up:?}"
        );
    }
}

#[test]
fn a_shaken_process_gives_up_nothing() {
    let none = (CatchUp::None, Overlap::Allow, 0);
    let (times, mut state) = hourly();
    assert_eq!(turn(&mut state, &times, none, Trust::Shaken, "2026-11-21T12:30:00Z"), "");
    assert_eq!(
        turn(&mut state, &times, none, Trust::Shaken, "2026-11-21T10:00:59Z"),
        "10:00!",
        "in time it fires"
    );
    assert_eq!(turn(&mut state, &times, none, Trust::Steady, "2026-11-21T12:30:00Z"), "11:00-12:00 missed");
}

#[test]
fn a_clock_that_jumps_neither_doubles_nor_loses() {
    let allow = (CatchUp::All { max: 1_000 }, Overlap::Allow, 0);
    let (times, mut state) = hourly();
    let mut story = Vec::new();
    for now in ["10:00:01", "09:00:00", "10:00:02", "12:00:01", "11:00:01", "12:30:00", "13:00:00"] {
        story.push(turn(&mut state, &times, allow, Trust::Steady, &format!("2026-11-21T{now}Z")));
    }
    assert_eq!(story, ["10:00!", "", "", "11:00!, 12:00!", "", "", "13:00!"]);
}

/// A schedule that nobody looked at for years is decided in turns of bounded size.
#[test]
fn years_are_taken_in_small_turns() {
    for (catch_up, runs) in [(CatchUp::None, 0), (CatchUp::Latest, 1), (CatchUp::All { max: 250 }, 250)] {
        let (times, mut state) = hourly();
        let now = "2028-11-21T10:30:00Z";
        let (mut fired, mut passed, mut turns) = (0, 0, 0);
        loop {
            let policy = Policy { catch_up, overlap: Overlap::Allow };
            let situation = Situation { times: &times, policy, live: 0, trust: Trust::Steady };
            let events = decide(&state, &ScheduleCommand::Look, &situation, at(now));
            if events.is_empty() {
                break;
            }
            assert!(events.len() <= 101, "{} events", events.len());
            for event in &events {
                match event {
                    ScheduleEvent::Fired { .. } => fired += 1,
                    ScheduleEvent::PassedOver { count, .. } => passed += count,
                    other => panic!("{other:?}"),
                }
                state.apply(event);
            }
            turns += 1;
            assert!(turns < 100, "it does not come to an end");
        }
        assert_eq!((fired, fired + passed), (runs, 731 * 24 + 1), "{catch_up:?}");
        assert!(state.next > Some(at(now)), "{catch_up:?}");
    }
}

#[test]
fn what_had_come_before_another_timing_does_not_vanish() {
    let (now, slower) = ("2026-11-21T12:30:00Z", Times::new(&Timing::Every("90m".parse().unwrap())).unwrap());
    for (switch, expected) in [
        (Switch::On, "10:00-12:00 retimed, retimed 13:30"),
        (Switch::Off { by: "ann".into(), since: at(now) }, "retimed 13:30"),
    ] {
        let (hourly, mut state) = hourly();
        state.switch = switch;
        let policy = Policy { catch_up: CatchUp::Latest, overlap: Overlap::Queue };
        let mut story = Vec::new();
        for (command, times) in [(ScheduleCommand::LeaveTiming, &hourly), (ScheduleCommand::Retime, &slower)]
        {
            let situation = Situation { times, policy, live: 0, trust: Trust::Steady };
            let events = decide(&state, &command, &situation, at(now));
            events.iter().for_each(|event| state.apply(event));
            story.extend(events.iter().map(said));
        }
        assert_eq!(story.join(", "), expected);
        assert_eq!(state.generation, 2);
    }
}

#[test]
fn what_people_ask() {
    let (times, mut state) = hourly();
    let now = at("2026-11-21T12:30:00Z");
    let by = || "ann".to_owned();
    let mut story = Vec::new();
    for (command, live) in [
        (ScheduleCommand::Disable { by: by() }, 0),
        (ScheduleCommand::Disable { by: by() }, 0),
        (ScheduleCommand::Look, 0),
        (ScheduleCommand::Trigger { by: by() }, 1),
        (ScheduleCommand::Enable { by: by() }, 0),
        (ScheduleCommand::Enable { by: by() }, 0),
        (ScheduleCommand::Look, 0),
        (ScheduleCommand::Trigger { by: by() }, 0),
        (ScheduleCommand::Retime, 0),
    ] {
        let policy = Policy { catch_up: CatchUp::Latest, overlap: Overlap::Queue };
        let situation = Situation { times: &times, policy, live, trust: Trust::Steady };
        let events = decide(&state, &command, &situation, now);
        events.iter().for_each(|event| state.apply(event));
        story.push(events.iter().map(said).collect::<Vec<_>>().join(", "));
        if matches!(state.switch, Switch::Off { .. }) {
            assert_eq!(state.wake_at(), None, "nothing to wait for");
        }
    }
    // What had come is not decided any more, nor forgotten.
    let off = "10:00-12:00 switchedoff, off";
    assert_eq!(story, [off, "", "", "now&", "on 13:00", "", "", "now!", "retimed 13:00"]);
    assert_eq!(state.generation, 3);
}
