//! What holds for all timings and all stories of a clock.

use std::collections::BTreeSet;

use hortator_core::schedule::{
    CatchUp, Overlap, Policy, ScheduleCommand, ScheduleEvent, ScheduleState, Situation, Switch, Times,
    Timing, Trust, decide,
};
use hortator_core::time::{Span, Timestamp};
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use crate::{at, cron};

fn zone() -> impl Strategy<Value = String> {
    let names: Vec<String> = TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
    assert!(names.len() > 300, "the zones are built in");
    prop::sample::select(names)
}

fn expression() -> impl Strategy<Value = String> {
    let minute =
        prop_oneof![Just("*".to_owned()), Just("*/7".to_owned()), (0..60u8).prop_map(|n| n.to_string())];
    let hour =
        prop_oneof![Just("*".to_owned()), Just("*/3".to_owned()), (0..5u8).prop_map(|n| n.to_string())];
    let day = prop_oneof![Just("* * *"), Just("1 * *"), Just("* 3,4,10,11 0"), Just("L * *")];
    (minute, hour, day).prop_map(|(minute, hour, day)| format!("{minute} {hour} {day}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Also across every change of any zone's clock; and from wherever one asks, the same next time is found.
    #[test]
    fn times_rise_and_do_not_depend_on_who_asks(
        expression in expression(), zone in zone(), day in 0..3_650i64, back in 1..3_000_000_000i64,
    ) {
        let times = cron(&expression, &zone).expect("it makes sense");
        let mut last = Timestamp(at("2020-01-01T00:00:00Z").0 + day * 86_400_000_000);
        for _ in 0..40 {
            let next = times.after(last).expect("it goes on");
            prop_assert!(next > last, "{} after {}", next, last);
            let between = Timestamp((next.0 - back).max(last.0));
            prop_assert_eq!(times.after(between), Some(next), "asked from {}", between);
            last = next;
        }
    }

    /// Leaders change and clocks jump, but each nominal time up to the latest look is decided once, and fires once.
    #[test]
    fn each_time_is_decided_once(
        jumps in prop::collection::vec((-400..2_000i64, any::<bool>(), any::<bool>()), 1..60), period in 1..900u64,
    ) {
        let times = Times::new(&Timing::Every(Span::from_secs(period))).expect("it makes sense");
        let begin = at("2026-11-21T10:00:00Z");
        let policy = Policy { catch_up: CatchUp::All { max: 100_000 }, overlap: Overlap::Allow };
        let mut stored = ScheduleState::new(Switch::On, times.after(begin));
        let (mut now, mut latest, mut fired) = (begin, begin, BTreeSet::new());
        for (seconds, lost, shaken) in jumps {
            now = Timestamp(now.0 + seconds * 1_000_000);
            let trust = if shaken { Trust::Shaken } else { Trust::Steady };
            let situation = Situation { times: &times, policy, live: 0, trust };
            let mut leader = stored.clone();
            loop {
                let events = decide(&leader, &ScheduleCommand::Look, &situation, now);
                if events.is_empty() || lost {
                    // What a leader has decided and not committed never happened.
                    break;
                }
                for event in &events {
                    leader.apply(event);
                    match event {
                        ScheduleEvent::Fired { nominal, .. } => prop_assert!(fired.insert(*nominal), "{} twice", nominal),
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                stored = leader.clone();
            }
            latest = if lost { latest } else { latest.max(now) };
        }
        let (mut expected, mut next) = (BTreeSet::new(), times.after(begin));
        while let Some(time) = next.filter(|time| *time <= latest) {
            expected.insert(time);
            next = times.after(time);
        }
        prop_assert_eq!(fired, expected);
    }
}
