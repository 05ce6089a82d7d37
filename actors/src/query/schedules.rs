//! Schedules as people see them: what is next, what was, and why. All of it from rows.

use hortator_core::id::{Name, WorkflowName};
use hortator_core::reason::{PauseScope, Reason};
use hortator_core::schedule::{LATE, PassedOver, ScheduleEvent, ScheduleLine, ScheduleRecord, Switch, Times};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{
    PAGE_MAX, Problem, ProblemKind, Response, ScheduleExplain, ScheduleHistory, ScheduleView, SwitchedOff,
    Upcoming,
};
use hortator_proto::row;
use hortator_raft::RowsView;

use super::{Failure, Reader};
use crate::shard::rebuild::after as behind;

/// Most times to come that one answer lists.
const NEXT_MAX: u32 = 1_000;
/// Lines looked through for those about one time.
const LINES_LOOKED_AT: usize = 2_000;
/// Lines that an explanation shows.
const LINES_SHOWN: usize = 5;

pub(super) fn list(
    reader: &Reader,
    rows: &RowsView,
    namespace: Option<&Name>,
    after: Option<&(WorkflowName, Name)>,
    limit: u32,
) -> Result<Response, Failure> {
    let limit = limit.clamp(1, PAGE_MAX) as usize;
    let prefix = namespace.map_or_else(row::key::schedules, row::key::schedules_in);
    let (first, to) = row::key::range(&prefix);
    let from = after.map_or(first, |(workflow, schedule)| behind(&row::key::schedule(workflow, schedule)));
    let mut views = Vec::new();
    for (_, stored) in rows.scan(&from, &to, limit, false)? {
        views.push(view(reader, rows, &row::decode_schedule(&stored.value)?)?);
    }
    Ok(Response::Schedules(views))
}

pub(super) fn one(
    reader: &Reader,
    rows: &RowsView,
    workflow: &WorkflowName,
    schedule: &Name,
) -> Result<Response, Failure> {
    let record = record(rows, workflow, schedule)?;
    Ok(Response::Schedule(Box::new(view(reader, rows, &record)?)))
}

pub(super) fn next(
    reader: &Reader,
    rows: &RowsView,
    workflow: &WorkflowName,
    schedule: &Name,
    count: u32,
) -> Result<Response, Failure> {
    let record = record(rows, workflow, schedule)?;
    let times = times(&record)?;
    // Of one that is switched off: what it would do.
    let mut next = match record.state.switch {
        Switch::On => record.state.next,
        Switch::Off { .. } => times.after(reader.now),
    };
    let mut upcoming = Vec::new();
    while let Some(at) = next.filter(|_| upcoming.len() < count.min(NEXT_MAX) as usize) {
        upcoming.push(shown(&times, at));
        next = times.after(at);
    }
    Ok(Response::ScheduleNext(upcoming))
}

pub(super) fn history(
    reader: &Reader,
    rows: &RowsView,
    (workflow, schedule): (&WorkflowName, &Name),
    before: Option<Timestamp>,
    limit: u32,
) -> Result<Response, Failure> {
    record(rows, workflow, schedule)?;
    let limit = limit.clamp(1, PAGE_MAX) as usize;
    let lines = lines(rows, workflow, schedule, before, limit)?;
    let next = lines.last().filter(|_| lines.len() == limit).map(ScheduleLine::time);
    Ok(Response::ScheduleHistory(ScheduleHistory { lines, next, position: reader.position(rows)? }))
}

pub(super) fn explain(
    reader: &Reader,
    rows: &RowsView,
    (workflow, schedule): (&WorkflowName, &Name),
    at: Option<Timestamp>,
) -> Result<Response, Failure> {
    let record = record(rows, workflow, schedule)?;
    let times = times(&record)?;
    let schedule_view = view(reader, rows, &record)?;
    let (answer, reasons, shown) = match at {
        None => {
            let newest = lines(rows, workflow, schedule, None, LINES_SHOWN)?;
            let (answer, reasons) = now(&record, &times, reader.now);
            (answer, reasons, newest)
        }
        Some(at) => {
            // Lines of later times may speak of this one as well: the last of several passed over.
            let lines = lines(rows, workflow, schedule, None, LINES_LOOKED_AT)?;
            let about = |from: Timestamp, to: Timestamp| -> Vec<ScheduleLine> {
                lines.iter().filter(|line| is_about(line, from, to)).cloned().collect()
            };
            // People ask by the minute: the first time within it is meant.
            let nominal = times.after(Timestamp(at.0 - 1)).filter(|nominal| *nominal < at.plus(MINUTE));
            let about = match nominal {
                Some(nominal) => about(nominal, nominal),
                None => about(at, Timestamp(at.plus(MINUTE).0 - 1)),
            };
            let asked = Asked { at: nominal.unwrap_or(at), is_nominal: nominal.is_some() };
            let (answer, reasons) = then(&record, &times, asked, reader.now, &about, &lines);
            let near = lines.into_iter().filter(|line| line.time() >= Timestamp(at.0 - NEAR.0 as i64));
            let near: Vec<ScheduleLine> = near.filter(|line| line.time() <= at.plus(NEAR)).collect();
            let shown = if about.is_empty() { near } else { about };
            (answer, reasons, shown.into_iter().take(LINES_SHOWN).collect())
        }
    };
    let position = reader.position(rows)?;
    let explained = ScheduleExplain { schedule: schedule_view, at, answer, reasons, lines: shown, position };
    Ok(Response::ScheduleExplain(Box::new(explained)))
}

/// How far around a time that was asked about lines are shown when none is about it.
const NEAR: Span = Span::from_secs(3_600);

/// People ask by the minute.
const MINUTE: Span = Span::from_secs(60);

/// The time that was asked about.
struct Asked {
    at: Timestamp,
    /// Of the schedule as it is now.
    is_nominal: bool,
}

fn is_about(line: &ScheduleLine, from: Timestamp, to: Timestamp) -> bool {
    let within = |time: Timestamp| from <= time && time <= to;
    match &line.event {
        ScheduleEvent::PassedOver { first, last, .. } => *first <= to && *last >= from,
        ScheduleEvent::Fired { nominal, .. } => within(*nominal),
        ScheduleEvent::Triggered { at, .. } => within(*at),
        _ => false,
    }
}

/// What it waits for.
fn now(record: &ScheduleRecord, times: &Times, now: Timestamp) -> (String, Vec<Reason>) {
    match (&record.state.switch, record.state.next) {
        (Switch::Off { by, since }, _) => {
            (format!("it is switched off by {by} since {since}"), vec![off(&record.schedule, by, *since)])
        }
        (Switch::On, None) => ("it has no time left".to_owned(), Vec::new()),
        (Switch::On, Some(next)) if next <= now => {
            (format!("{} is being decided", times.on_the_wall(next)), Vec::new())
        }
        (Switch::On, Some(next)) => {
            (format!("it fires next at {}", times.on_the_wall(next)), vec![Reason::NotBefore { time: next }])
        }
    }
}

/// What became, or becomes, of the time in that minute.
fn then(
    record: &ScheduleRecord,
    times: &Times,
    Asked { at, is_nominal }: Asked,
    now: Timestamp,
    about: &[ScheduleLine],
    all: &[ScheduleLine],
) -> (String, Vec<Reason>) {
    if let Some(line) = about.first() {
        return (told(line, times), Vec::new());
    }
    let wall = times.on_the_wall(at);
    if !is_nominal {
        let around = times.after(at).map_or("it has none after it".to_owned(), |next| {
            format!("the next one after it is {}", times.on_the_wall(next))
        });
        return (format!("{wall} is no time of this schedule as it is now; {around}"), Vec::new());
    }
    if at > now {
        let (answer, reasons) = self::now(record, times, now);
        return (format!("{wall} has not come yet; {answer}"), reasons);
    }
    if let Some((by, since)) = switched_off_at(at, all, record) {
        return (
            format!("it was switched off at {wall}, by {by} since {since}"),
            vec![off(&record.schedule, &by, since)],
        );
    }
    if at < record.since {
        let since = times.on_the_wall(record.since);
        return (
            format!("its times count since {since}, when it got this timing or was switched on"),
            Vec::new(),
        );
    }
    match record.state.next {
        Some(next) if next <= at => (
            format!("{} is being decided, and what follows it after that", times.on_the_wall(next)),
            Vec::new(),
        ),
        _ => ("the line about it is no longer kept".to_owned(), Vec::new()),
    }
}

/// Who had switched it off then, from the lines and the present state.
fn switched_off_at(
    at: Timestamp,
    lines: &[ScheduleLine],
    record: &ScheduleRecord,
) -> Option<(String, Timestamp)> {
    let before = lines.iter().filter(|line| line.at <= at).find_map(|line| match &line.event {
        ScheduleEvent::Disabled { by, at } => Some(Some((by.clone(), *at))),
        ScheduleEvent::Enabled { .. } => Some(None),
        _ => None,
    });
    match (before, &record.state.switch) {
        (Some(found), _) => found,
        (None, Switch::Off { by, since }) if *since <= at => Some((by.clone(), *since)),
        (None, _) => None,
    }
}

fn off(schedule: &Name, by: &str, since: Timestamp) -> Reason {
    Reason::Paused { scope: PauseScope::Schedule(schedule.clone()), by: by.to_owned(), since }
}

fn told(line: &ScheduleLine, times: &Times) -> String {
    let wall = |time: &Timestamp| times.on_the_wall(*time);
    match &line.event {
        ScheduleEvent::Fired { nominal, .. } => {
            let late = line.at.since(*nominal);
            let run = line.run.map_or(String::new(), |run| format!(": run {run}"));
            let how = if late > LATE { format!(", {late} late") } else { String::new() };
            format!("it did fire for {}{how}{run}", wall(nominal))
        }
        ScheduleEvent::PassedOver { first, last, count, why, .. } => {
            let which = match count {
                1 => wall(last),
                _ => format!("{count} times from {} to {}", wall(first), wall(last)),
            };
            let why = match why {
                PassedOver::Missed => "nobody could decide in time, and catch_up wants no run for it",
                PassedOver::Overlap => "a run of it was live, and overlap is skip",
                PassedOver::Refused => {
                    "the workflow took no run (its concurrency was used up, or an input failed)"
                }
                PassedOver::SwitchedOff => "it was switched off before anybody had decided",
                PassedOver::Retimed => "it got another timing before anybody had decided",
            };
            format!("{which} made no run: {why}")
        }
        ScheduleEvent::Triggered { by, .. } => format!("{by} triggered it then"),
        ScheduleEvent::Enabled { by, .. } => format!("{by} switched it on then"),
        ScheduleEvent::Disabled { by, .. } => format!("{by} switched it off then"),
        ScheduleEvent::Retimed { .. } => "it got another timing then".to_owned(),
    }
}

fn lines(
    rows: &RowsView,
    workflow: &WorkflowName,
    schedule: &Name,
    before: Option<Timestamp>,
    limit: usize,
) -> Result<Vec<ScheduleLine>, Failure> {
    let (from, end) = row::key::range(&row::key::schedule_lines(workflow, schedule));
    let to = before.map_or(end, |time| row::key::schedule_lines_before(workflow, schedule, time));
    let page = rows.scan(&from, &to, limit, true)?;
    page.iter().map(|(_, stored)| Ok(row::decode_schedule_line(&stored.value)?)).collect()
}

fn record(rows: &RowsView, workflow: &WorkflowName, schedule: &Name) -> Result<ScheduleRecord, Failure> {
    match rows.get(&row::key::schedule(workflow, schedule))? {
        Some(stored) => Ok(row::decode_schedule(&stored.value)?),
        None => {
            let detail = format!("workflow {workflow} has no schedule {schedule}");
            let problem = Problem::new(ProblemKind::NotFound, "H2203", detail);
            Err(Failure::Problem(problem.hint("those there are: hortator schedule list")))
        }
    }
}

fn times(record: &ScheduleRecord) -> Result<Times, Failure> {
    Times::new(&record.timing).map_err(|error| {
        let detail = format!("schedule {}/{} cannot be used: {error}", record.workflow, record.schedule);
        Failure::Problem(Problem::new(ProblemKind::Internal, "H9002", detail))
    })
}

fn shown(times: &Times, at: Timestamp) -> Upcoming {
    Upcoming { at, wall: times.on_the_wall(at), clock_change: times.clock_change(at) }
}

fn view(reader: &Reader, rows: &RowsView, record: &ScheduleRecord) -> Result<ScheduleView, Failure> {
    let (switched_off, word) = match (&record.state.switch, record.state.next) {
        (Switch::Off { by, since }, _) => (Some(SwitchedOff { by: by.clone(), since: *since }), "off"),
        (Switch::On, None) => (None, "over"),
        (Switch::On, Some(_)) => (None, "on"),
    };
    let next = match record.state.wake_at() {
        Some(at) => Some(shown(&times(record)?, at)),
        None => None,
    };
    Ok(ScheduleView {
        namespace: record.workflow.namespace.clone(),
        workflow: record.workflow.name.clone(),
        id: record.schedule.clone(),
        timing: record.timing.clone(),
        catch_up: record.policy.catch_up,
        overlap: record.policy.overlap,
        state: word.to_owned(),
        switched_off,
        next,
        last: record.last,
        generation: record.state.generation,
        since: record.since,
        position: reader.position(rows)?,
    })
}
