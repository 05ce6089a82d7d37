//! The schedules that a seed draws, by clocks that are written down: what repeats, what comes once a day or once at all, and
//! what a change of the clock touches. Must not know how the product reckons times.

use std::fmt::Write;

use hortator_core::time::Timestamp;

use super::Mix;
use crate::reckoning::{CLOCKS, Change, Clocks};
use crate::world::draw::Draw;

const MICROS: i64 = 1_000_000;
/// From here on times are counted in minutes.
const MINUTE: u64 = 60_000_000;
/// Seconds from the beginning of a world to a time that comes once in it: workflows are stored by then, and faults still come.
const ONCE_IN: [u64; 2] = [8, 55];
/// Seconds from the beginning of a world to a change of the clock, which is to be in the middle of it.
const CHANGE_IN: [u64; 2] = [15, 45];
/// Schedules in a million that are of a place whose clocks change, where a world is about that.
const THERE: u64 = 700_000;

/// As a workflow has them.
pub(super) fn draw_schedules(mix: &Mix, begins: Timestamp, draw: &mut Draw) -> String {
    if !draw.chance(mix.schedules) {
        return String::new();
    }
    let mut text = "schedules:\n".to_owned();
    for number in 0..draw.between([1, 2]) {
        let overlap = ["queue", "skip", "cancel_oldest", "allow"][draw.below(4) as usize];
        let catch_up = ["none", "latest", "all", "{ all: 3 }"][draw.below(4) as usize];
        let when = match mix.cadence[0] >= MINUTE {
            true => draw_seldom(mix.cadence, draw),
            false => draw_timing(mix.cadence, begins.0.div_euclid(MICROS), draw),
        };
        let _ = writeln!(text, "  - {{ id: s{number}, {when}, overlap: {overlap}, catch_up: {catch_up} }}");
    }
    text
}

/// As people write them: at some minute of an hour, a day, a week, a month, or every so many minutes.
fn draw_seldom(cadence: [u64; 2], draw: &mut Draw) -> String {
    let minutes = draw.log_between(cadence.map(|micros| micros / MINUTE));
    let (minute, hour) = (draw.below(60), draw.below(24));
    let expression = match draw.below(5) {
        0 => return format!("every: {minutes}m"),
        1 => format!("{minute} */{} * * *", draw.between([2, 8])),
        2 => format!("{minute} {hour} * * *"),
        3 => format!("{minute} {hour} * * {}", draw.between([1, 5])),
        _ => format!("{minute} {hour} {} * *", draw.between([1, 28])),
    };
    let Clocks { place, .. } = &CLOCKS[draw.below(CLOCKS.len() as u64) as usize];
    format!("cron: \"{expression}\", timezone: {place}")
}

fn draw_timing(cadence: [u64; 2], begins: i64, draw: &mut Draw) -> String {
    let every = draw.between(cadence.map(|micros| micros / 1_000_000));
    let near = CLOCKS.iter().find_map(|clocks| Some((clocks, change_near(clocks, begins)?)));
    // Where a world is about a change of the clock, so are most of its schedules.
    let kind = if near.is_some() { [0, 1, 2, 2, 2][draw.below(5) as usize] } else { draw.below(4) };
    let (clocks, change) = match near {
        Some((clocks, change)) if draw.chance(THERE) => (clocks, Some(change)),
        _ => (&CLOCKS[draw.below(CLOCKS.len() as u64) as usize], None),
    };
    let place = clocks.place;
    let soon = begins + draw.between(ONCE_IN) as i64;
    match kind {
        0 => format!("every: {every}s"),
        1 => {
            let hour = clocks.wall(begins).rem_euclid(86_400) / 3_600;
            format!("cron: \"*/{every} * {hour},{} * * *\", timezone: {place}", (hour + 1) % 24)
        }
        2 => {
            // In a gap there is only what the wall skips.
            let skipped = |Change { at, by }| clocks.wall(at) - 1 - draw.below(by as u64) as i64;
            let wall = change.filter(|change| change.by > 0).map_or_else(|| clocks.wall(soon), skipped);
            let [hour, minute, second] = [wall.rem_euclid(86_400) / 3_600, wall / 60 % 60, wall % 60];
            format!("cron: \"{second} {minute} {hour} * * *\", timezone: {place}")
        }
        // The time is of one pass of an overlap only where it says which.
        _ => {
            let wall = Timestamp(clocks.wall(soon) * MICROS).to_string();
            format!("at: {}, timezone: {place}", &wall[.."2023-11-14T22:13:20".len()])
        }
    }
}

/// The change that a world of that beginning is about: it comes soon, or one of the two passes of an overlap is under way.
fn change_near(clocks: &Clocks, begins: i64) -> Option<Change> {
    clocks.changes().find(|change| {
        let passes = if change.by < 0 { -change.by } else { 0 };
        (change.at - passes.max(CHANGE_IN[1] as i64)..=change.at + passes).contains(&begins)
    })
}

/// A beginning near some change of some clock: before a gap, in the first pass of an overlap, shortly before the second one
/// or in it.
pub fn draw_beginning(draw: &mut Draw) -> Timestamp {
    let all: Vec<Change> = CLOCKS.iter().flat_map(Clocks::changes).collect();
    let Change { at, by } = all[draw.below(all.len() as u64) as usize];
    let before = at - draw.between(CHANGE_IN) as i64;
    // A world and the time that it has to recover lie in the pass.
    let within = draw.below((-by - 600).max(1) as u64) as i64;
    let begins = match (by < 0, draw.below(3)) {
        (false, _) | (true, 0) => before,
        (true, 1) => at + by + within,
        (true, _) => at + within,
    };
    Timestamp(begins * MICROS)
}

#[cfg(test)]
mod tests {
    use hortator_core::time::Span;

    use super::*;
    use crate::reckoning::Reckoning;

    /// Whatever is drawn can be reckoned, and worlds see all that a change of the clock does to a fixed time.
    #[test]
    fn worlds_see_what_changes_of_the_clock_do() {
        let mix = Mix { schedules: 1_000_000, ..Mix::default() };
        let [mut after_a_gap, mut first_of_two, mut not_again, mut once] = [0; 4];
        for seed in 0..2_000 {
            let mut draw = Draw::of(seed, "beginning");
            let begins = draw_beginning(&mut draw);
            let text = draw_schedules(&mix, begins, &mut draw);
            let until = begins.plus(Span::from_secs(60));
            for (number, line) in text.lines().skip(1).enumerate() {
                let reckoning = Reckoning::read(&text, &format!("s{number}"));
                let reckoning = reckoning.unwrap_or_else(|why| panic!("{why}: {text}"));
                let due = reckoning.due(begins, until).len();
                let near = CLOCKS.iter().find_map(|clocks| change_near(clocks, begins.0 / MICROS));
                let Change { at, by } = near.unwrap_or_else(|| panic!("{begins} is near no change"));
                let [after, passed] = [begins.0 / MICROS < at, by < 0];
                let fixed = line.contains("cron: \"") && !line.contains("*/");
                match (fixed, after, passed, due) {
                    (false, ..) => once += usize::from(line.contains("at: ") && due == 1),
                    (true, true, false, 1) => after_a_gap += 1,
                    (true, true, true, 1) => first_of_two += 1,
                    (true, false, true, 0) => not_again += 1,
                    _ => {}
                }
            }
        }
        let seen = [after_a_gap, first_of_two, not_again];
        assert!(seen.iter().all(|seen| *seen > 100) && once == 0, "{seen:?} {once}");
    }
}
