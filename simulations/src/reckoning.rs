//! When schedules of worlds are due: reckoned from what their authors wrote, second by second, by clocks that are written
//! down here. Must not use the product's own reckoning, nor its zones, since it is what judges them.

use hortator_core::time::Timestamp;

/// Seconds of a day.
const DAY: i64 = 86_400;
const MICROS: i64 = 1_000_000;
/// The weekday of the first of January 1970.
const THURSDAY: i64 = 4;

/// What the clocks of a place showed from October 2023 to December 2024, from the published table of zones.
#[derive(Debug, PartialEq, Eq)]
pub struct Clocks {
    pub place: &'static str,
    /// Seconds ahead of UTC before the first change.
    ahead: i64,
    /// When they were changed, in seconds since 1970, and how many seconds they were ahead of UTC from then on.
    changes: &'static [(i64, i64)],
}

/// Where worlds have their schedules: whole hours from UTC and others, with changes by an hour, by half an hour and without any.
pub const CLOCKS: [Clocks; 6] = [
    Clocks { place: "UTC", ahead: 0, changes: &[] },
    Clocks { place: "Asia/Kolkata", ahead: 19_800, changes: &[] },
    Clocks { place: "Asia/Shanghai", ahead: 28_800, changes: &[] },
    Clocks {
        place: "America/St_Johns",
        ahead: -9_000,
        changes: &[(1_699_158_600, -12_600), (1_710_048_600, -9_000), (1_730_608_200, -12_600)],
    },
    Clocks {
        place: "Europe/Berlin",
        ahead: 7_200,
        changes: &[(1_698_541_200, 3_600), (1_711_846_800, 7_200), (1_729_990_800, 3_600)],
    },
    Clocks {
        place: "Australia/Lord_Howe",
        ahead: 39_600,
        changes: &[(1_712_415_600, 37_800), (1_728_142_200, 39_600)],
    },
];

/// A change of the clocks of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first second of the new reckoning.
    pub at: i64,
    /// Seconds that the wall skips; below zero that it shows again.
    pub by: i64,
}

impl Clocks {
    /// Every change, the oldest first.
    pub fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let before = std::iter::once(self.ahead).chain(self.changes.iter().map(|(_, ahead)| *ahead));
        self.changes.iter().zip(before).map(|((at, ahead), before)| Change { at: *at, by: ahead - before })
    }

    fn ahead_at(&self, second: i64) -> i64 {
        let last = self.changes.iter().rev().find(|(at, _)| *at <= second);
        last.map_or(self.ahead, |(_, ahead)| *ahead)
    }

    /// Seconds since 1970 as if the wall were in UTC.
    pub fn wall(&self, second: i64) -> i64 {
        second + self.ahead_at(second)
    }

    /// Whether the wall shows it for the second time.
    fn is_again(&self, second: i64) -> bool {
        self.changes().any(|Change { at, by }| by < 0 && (at..at - by).contains(&second))
    }

    /// The gap that ends with that second, in seconds.
    fn gap_before(&self, second: i64) -> Option<i64> {
        self.changes().find(|change| change.at == second && change.by > 0).map(|change| change.by)
    }

    fn known(place: &str) -> Result<&'static Clocks, String> {
        CLOCKS.iter().find(|clocks| clocks.place == place).ok_or_else(|| format!("no clocks of {place:?}"))
    }
}

/// The nominal times that a schedule's author meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reckoning {
    /// Multiples of so many seconds since 1970.
    Every(i64),
    Once(Timestamp),
    /// Seconds, minutes and hours on the wall, on those days of a month and of a week, where Sunday is 0.
    OnTheWall {
        seconds: Field,
        minutes: Field,
        hours: Field,
        dates: Field,
        weekdays: Field,
        clocks: &'static Clocks,
    },
}

/// What one field of a cron expression allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Step(i64),
    OneOf(Vec<i64>),
}

impl Field {
    fn read(text: &str) -> Result<Field, String> {
        let number = |text: &str| text.parse::<i64>().map_err(|_| format!("{text:?} is no number"));
        if text == "*" {
            return Ok(Field::Step(1));
        }
        match text.strip_prefix("*/") {
            Some(step) => Ok(Field::Step(number(step)?)),
            None => Ok(Field::OneOf(text.split(',').map(number).collect::<Result<_, _>>()?)),
        }
    }

    fn has(&self, value: i64) -> bool {
        match self {
            Field::Step(step) => value % step == 0,
            Field::OneOf(values) => values.contains(&value),
        }
    }

    fn is_any(&self) -> bool {
        *self == Field::Step(1)
    }

    fn only(&self) -> Option<i64> {
        match self {
            Field::OneOf(values) => (values.len() == 1).then(|| values[0]),
            Field::Step(_) => None,
        }
    }
}

impl Reckoning {
    /// Reads the line of that schedule in a workflow of a world.
    pub fn read(source: &str, schedule: &str) -> Result<Reckoning, String> {
        let begin = format!("  - {{ id: {schedule}, ");
        let line = source.lines().find(|line| line.starts_with(&begin));
        let line = line.ok_or_else(|| format!("no line begins with {begin:?}"))?;
        if let Some(every) = word(line, "every") {
            let (number, unit) = every.split_at(every.len().saturating_sub(1));
            let number: i64 = number.parse().map_err(|_| format!("{every:?} is no length"))?;
            return match unit {
                "s" => Ok(Reckoning::Every(number)),
                "m" => Ok(Reckoning::Every(number * 60)),
                _ => Err(format!("{every:?} are neither seconds nor minutes")),
            };
        }
        let clocks = Clocks::known(word(line, "timezone").unwrap_or_default())?;
        if let Some(at) = word(line, "at") {
            let wall: Timestamp = format!("{at}Z").parse().map_err(|error| format!("{at}: {error}"))?;
            // Worlds draw none that a change of the clock touches.
            let ahead = clocks.ahead_at(wall.0 / MICROS - clocks.ahead_at(wall.0 / MICROS));
            return Ok(Reckoning::Once(Timestamp(wall.0 - ahead * MICROS)));
        }
        let cron = word(line, "cron").ok_or_else(|| format!("no timing in {line:?}"))?;
        let fields = cron.split(' ').map(Field::read).collect::<Result<Vec<_>, _>>()?;
        let (seconds, fields) = match <[Field; 6]>::try_from(fields) {
            Ok([seconds, rest @ ..]) => (seconds, rest),
            Err(fields) => (
                Field::OneOf(vec![0]),
                <[Field; 5]>::try_from(fields).map_err(|_| format!("worlds have no {cron:?}"))?,
            ),
        };
        match fields {
            // Of two fields for days cron takes either, and worlds write only one.
            [minutes, hours, dates, Field::Step(1), weekdays] if dates.is_any() || weekdays.is_any() => {
                Ok(Reckoning::OnTheWall { seconds, minutes, hours, dates, weekdays, clocks })
            }
            _ => Err(format!("worlds have no {cron:?}")),
        }
    }

    /// All times after the first and up to the second.
    pub fn due(&self, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        if let Reckoning::Once(at) = self {
            return Some(*at).filter(|at| *at > after && *at <= until).into_iter().collect();
        }
        let seconds = after.0.div_euclid(MICROS) + 1..=until.0.div_euclid(MICROS);
        seconds.filter(|second| self.has(*second)).map(|second| Timestamp(second * MICROS)).collect()
    }

    fn has(&self, second: i64) -> bool {
        match self {
            Reckoning::Every(seconds) => second.rem_euclid(*seconds) == 0,
            Reckoning::Once(at) => at.0 == second * MICROS,
            Reckoning::OnTheWall { seconds, minutes, hours, dates, weekdays, clocks } => {
                let wall = clocks.wall(second);
                let day = wall.div_euclid(DAY);
                if !weekdays.has((day + THURSDAY) % 7) || !dates.has(date_of(wall)) {
                    return false;
                }
                let shown = wall.rem_euclid(DAY);
                let (Some(second_meant), Some(minute), Some(hour)) =
                    (seconds.only(), minutes.only(), hours.only())
                else {
                    let (hour, minute) = (shown / 3_600, shown / 60 % 60);
                    return seconds.has(shown % 60) && minutes.has(minute) && hours.has(hour);
                };
                let meant = hour * 3_600 + minute * 60 + second_meant;
                match clocks.gap_before(second) {
                    // What the wall skipped comes right after.
                    Some(gap) => (shown - meant).rem_euclid(DAY) <= gap,
                    None => shown == meant && !clocks.is_again(second),
                }
            }
        }
    }
}

/// The day of its month, of a second on a wall.
fn date_of(wall: i64) -> i64 {
    let text = Timestamp(wall * MICROS).to_string();
    text["2023-11-".len()..][..2].parse().expect("a timestamp shows its day as two digits")
}

/// What stands behind that key in a line.
fn word<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {key}: "))?;
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split([',', ' ']).next(),
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::definition;
    use hortator_core::schedule::Times;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Timings with their times between two moments, written down by hand; the product's own times are the same.
    #[test]
    fn times_as_they_are_written_down() {
        for (timing, after, until, expected) in [
            ("every: 7s", "1970-01-01T00:00:00Z", "1970-01-01T00:00:15Z", &["00:00:07", "00:00:14"][..]),
            ("every: 5s", "2023-11-14T22:13:20Z", "2023-11-14T22:13:31Z", &["22:13:25", "22:13:30"]),
            (
                "at: 2023-11-15T03:44:00, timezone: Asia/Kolkata",
                "2023-11-14T22:13:20Z",
                "2023-11-14T23:00:00Z",
                &["22:14:00"],
            ),
            ("at: 2023-11-14T22:13:00, timezone: UTC", "2023-11-14T22:13:20Z", "2023-11-14T23:00:00Z", &[]),
            (
                "cron: \"*/20 * 18,19 * * *\", timezone: America/St_Johns",
                "2023-11-14T22:29:10Z",
                "2023-11-14T22:30:30Z",
                &["22:29:20", "22:29:40", "22:30:00", "22:30:20"],
            ),
            (
                "cron: \"*/20 * 18 * * *\", timezone: America/St_Johns",
                "2023-11-14T22:29:10Z",
                "2023-11-14T22:30:30Z",
                &["22:29:20", "22:29:40"],
            ),
            // Days of the week and of the month, as the place counts them.
            (
                "cron: \"30 20 * * 1\", timezone: America/St_Johns",
                "2023-11-19T00:00:00Z",
                "2023-11-21T12:00:00Z",
                &["00:00:00"],
            ),
            (
                "cron: \"15 */8 1 * *\", timezone: Asia/Kolkata",
                "2023-11-30T20:00:00Z",
                "2023-12-01T12:00:00Z",
                &["02:45:00", "10:45:00"],
            ),
            (
                "every: 20m",
                "2023-11-14T22:13:20Z",
                "2023-11-14T23:00:00Z",
                &["22:20:00", "22:40:00", "23:00:00"],
            ),
            // 02:00 to 03:00: a fixed time in between comes right after, what repeats has no times in the gap.
            (
                "cron: \"0 30 2 * * *\", timezone: Europe/Berlin",
                "2024-03-31T00:00:00Z",
                "2024-03-31T12:00:00Z",
                &["01:00:00"],
            ),
            (
                "cron: \"0 0 3 * * *\", timezone: Europe/Berlin",
                "2024-03-31T00:00:00Z",
                "2024-03-31T12:00:00Z",
                &["01:00:00"],
            ),
            (
                "cron: \"0 */30 1,2 * * *\", timezone: Europe/Berlin",
                "2024-03-31T00:00:00Z",
                "2024-03-31T12:00:00Z",
                &["00:30:00"],
            ),
            // 03:00 to 02:00: a fixed time once, at the first of the two; what repeats at both.
            (
                "cron: \"0 30 2 * * *\", timezone: Europe/Berlin",
                "2024-10-27T00:00:00Z",
                "2024-10-27T12:00:00Z",
                &["00:30:00"],
            ),
            (
                "cron: \"0 30 2 * * *\", timezone: Europe/Berlin",
                "2024-10-27T00:59:00Z",
                "2024-10-27T12:00:00Z",
                &[],
            ),
            (
                "cron: \"0 */30 2,3 * * *\", timezone: Europe/Berlin",
                "2024-10-26T23:59:00Z",
                "2024-10-27T02:10:00Z",
                &["00:00:00", "00:30:00", "01:00:00", "01:30:00", "02:00:00"],
            ),
            // Half an hour: 02:00 to 02:30, and 02:00 to 01:30.
            (
                "cron: \"0 15 2 * * *\", timezone: Australia/Lord_Howe",
                "2024-10-05T12:00:00Z",
                "2024-10-05T23:00:00Z",
                &["15:30:00"],
            ),
            (
                "cron: \"0 45 1 * * *\", timezone: Australia/Lord_Howe",
                "2024-04-06T12:00:00Z",
                "2024-04-06T23:00:00Z",
                &["14:45:00"],
            ),
        ] {
            let day = &until[..10];
            let expected: Vec<Timestamp> =
                expected.iter().map(|time| at(&format!("{day}T{time}Z"))).collect();
            let source = format!(
                "hortator: v1\nname: flow\nschedules:\n  - {{ id: s0, {timing}, overlap: queue }}\ntasks:\n  - {{ id: t0, noop: {{}} }}\n"
            );
            let reckoning = Reckoning::read(&source, "s0").unwrap_or_else(|why| panic!("{timing}: {why}"));
            assert_eq!(reckoning.due(at(after), at(until)), expected, "{timing}");
            let parsed = definition::parse("flow", source.as_bytes()).unwrap_or_else(|why| panic!("{why}"));
            let times = Times::new(&parsed.definition.schedules[0].timing).unwrap();
            let after = std::iter::successors(times.after(at(after)), |time| times.after(*time));
            let theirs: Vec<Timestamp> = after.take_while(|time| *time <= at(until)).collect();
            assert_eq!(theirs, expected, "{timing}, by the product");
        }
    }

    #[test]
    fn what_it_cannot_read_is_said() {
        for line in
            ["every: 5h", "cron: \"0 0 1 * 1\", timezone: UTC", "at: 1, timezone: UTC", "cron: \"@daily\""]
        {
            let source = format!("schedules:\n  - {{ id: s0, {line}, overlap: queue }}\n");
            assert!(Reckoning::read(&source, "s0").is_err(), "{line}");
        }
        assert!(Reckoning::read("schedules:\n", "s0").is_err());
    }
}
