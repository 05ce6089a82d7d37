//! The nominal times of a schedule: cron in a zone, a fixed rate, or once.
//!
//! The dialect is Vixie's with the extensions of the Open Cron Pattern: five fields, or six with seconds first; names of
//! months and days; `L`, `W`, `#`; 0 and 7 are Sunday; day of month and day of week both given means either. No year, and
//! none of Quartz' own numbering of days: its `1` is Sunday, which would fire on the wrong day without a word.

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};

/// Shortest period of a fixed rate: each fire is a run.
pub const EVERY_MIN: Span = Span::from_secs(1);
/// Longest expression; real ones are far shorter.
const CRON_CHARS_MAX: usize = 200;
/// Values of each field, from seconds on.
const FIELD_SIZES: [u32; 6] = [60, 60, 24, 31, 12, 7];
/// From here the first time is looked for, to refuse what never fires: some Monday, before a leap year.
pub(super) const PROBE: Timestamp = Timestamp(1_767_571_200_000_000);

/// As a person wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    Cron {
        expression: String,
        /// IANA name. There is no zone that goes without saying.
        zone: String,
    },
    /// Multiples of it since 1970, so that it does not matter who counts, or since when.
    Every(Span),
    At(Timestamp),
}

/// Why a timing makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimesError {
    #[error("{0:?} is not a cron expression: {1}")]
    Cron(String, String),
    #[error("{0:?} matches no time, ever")]
    Never(String),
    #[error("{0:?} is no time zone; write an IANA name, for example Europe/Paris")]
    Zone(String),
    #[error("a schedule fires every {EVERY_MIN} at most, and {0} is shorter")]
    TooOften(Span),
}

/// A timing that makes sense, ready to be asked.
#[derive(Clone, Debug)]
pub struct Times(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Cron { cron: Box<Cron>, zone: TimeZone },
    Every(Span),
    At(Timestamp),
}

impl Times {
    pub fn new(timing: &Timing) -> Result<Times, TimesError> {
        match timing {
            Timing::Cron { expression, zone } => {
                let cron = Box::new(parse(expression)?);
                let zone =
                    TimeZoneDatabase::bundled().get(zone).map_err(|_| TimesError::Zone(zone.clone()))?;
                let times = Times(Kind::Cron { cron, zone });
                match times.after(PROBE) {
                    Some(_) => Ok(times),
                    None => Err(TimesError::Never(expression.clone())),
                }
            }
            Timing::Every(span) if *span < EVERY_MIN => Err(TimesError::TooOften(*span)),
            Timing::Every(span) => Ok(Times(Kind::Every(*span))),
            Timing::At(at) => Ok(Times(Kind::At(*at))),
        }
    }

    /// Seconds by which its zone is ahead of UTC then; none where no zone matters.
    pub fn offset(&self, at: Timestamp) -> Option<i32> {
        let Kind::Cron { zone, .. } = &self.0 else { return None };
        Some(zone.to_offset(jiff::Timestamp::from_microsecond(at.0).ok()?).seconds())
    }

    /// The first nominal time after that one; none when there is none any more.
    pub fn after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::At(at) => (*at > after).then_some(*at),
            Kind::Every(span) => {
                let span = i64::try_from(span.0).ok()?;
                after.0.div_euclid(span).checked_add(1)?.checked_mul(span).map(Timestamp)
            }
            Kind::Cron { cron, zone } => {
                let from = jiff::Timestamp::from_microsecond(after.0).ok()?.to_zoned(zone.clone());
                // Whatever it cannot find within its years is not found again later.
                let found = cron.find_next_occurrence(&from, false).ok()?.timestamp();
                Some(Timestamp(found.as_microsecond())).filter(|found| *found > after)
            }
        }
    }
}

fn parse(expression: &str) -> Result<Cron, TimesError> {
    let refuse = |why: String| TimesError::Cron(expression.chars().take(80).collect(), why);
    if expression.chars().count() > CRON_CHARS_MAX {
        return Err(refuse(format!("it has more than {CRON_CHARS_MAX} characters")));
    }
    check_steps(expression).map_err(refuse)?;
    check_last(expression).map_err(refuse)?;
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| match error {
        CronError::EmptyPattern => refuse("it is empty".into()),
        other => refuse(other.to_string()),
    })
}

/// `L` says last of what; among days of the week the parser lets it pass alone, and takes it for every last day.
fn check_last(expression: &str) -> Result<(), String> {
    let days = expression.split_whitespace().next_back().unwrap_or_default();
    match days.split(',').any(|day| day.eq_ignore_ascii_case("L")) {
        true => Err(format!("in {days:?} L is the last of no day of the week; write FRI#L, for example")),
        false => Ok(()),
    }
}

/// A step over the whole field would fire once in it, which nobody means; the parser lets it pass.
fn check_steps(expression: &str) -> Result<(), String> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let sizes = FIELD_SIZES.iter().skip(FIELD_SIZES.len().saturating_sub(fields.len()));
    for (field, size) in fields.iter().zip(sizes) {
        for part in field.split(',') {
            let step = part.split_once('/').and_then(|(_, step)| step.parse::<u64>().ok());
            if step.is_some_and(|step| step > u64::from(*size)) {
                return Err(format!("in {field:?} the step is larger than the {size} values of the field"));
            }
        }
    }
    Ok(())
}
