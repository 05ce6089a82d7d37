//! Reads the schedules of a definition: when, in which zone, and what becomes of missed and overlapping times.
//! Must not know any clock: what has passed already is for whoever applies the definition.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZoneDatabase;
use serde_json::Value;

use super::Code;
use super::findings::Place;
use super::inputs::coerce;
use super::model::{Input, SCHEDULES_MAX, Schedule};
use super::reader::{Entry, Fields, Reader, listed, shown};
use super::tree::{NodeId, Shape};
use super::vocabulary::{CATCH_UP_ALL, CATCH_UPS, OVERLAPS, SCHEDULE, TIMINGS};
use crate::schedule::{CatchUp, ClockChange, Times, TimesError, Timing};
use crate::time::Timestamp;

/// Most missed times that a schedule may make up for; each is a run.
const CAUGHT_UP_MAX: u32 = 10_000;
/// Longest texts of a timing; real ones are far shorter, and `Times` has a bound of its own for expressions.
const TEXT_BYTES_MAX: usize = 1_024;
/// Largest value of an input that a schedule gives: each fire copies it into a run.
const INPUT_BYTES_MAX: usize = 16 << 10;

pub(super) fn read_schedules(reader: &mut Reader<'_, '_>, node: NodeId, inputs: &[Input]) -> Vec<Schedule> {
    let list = reader.list(node, "\"schedules\"").unwrap_or_default();
    if list.len() > SCHEDULES_MAX {
        let message = format!("there are {} schedules; at most {SCHEDULES_MAX} are allowed", list.len());
        reader.error(Code::OutOfRange, node, message, None);
        return Vec::new();
    }
    let (mut ids, mut schedules) = (BTreeSet::new(), Vec::new());
    for node in list {
        let Some(fields) = reader.record(*node, &SCHEDULE) else { continue };
        let Some(schedule) = schedule(reader, &fields, inputs) else { continue };
        if !ids.insert(schedule.id.clone()) {
            let message = format!("there are two schedules \"{}\"", schedule.id);
            reader.error(Code::DuplicateValue, fields.get("id").unwrap_or(*node), message, None);
        }
        schedules.push(schedule);
    }
    schedules
}

/// None when a part is wrong, which then was found as a fault.
fn schedule(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, inputs: &[Input]) -> Option<Schedule> {
    if fields.get("id").is_none() {
        reader.missing(fields, "id", "a schedule");
    }
    let id = fields.get("id").and_then(|node| reader.name(node, "schedule id"));
    let timing = timing(reader, fields);
    let catch_up = fields.get("catch_up").and_then(|node| catch_up(reader, node));
    let overlap = fields.get("overlap").and_then(|node| reader.choice(node, "\"overlap\"", OVERLAPS));
    let enabled = fields
        .get("enabled")
        .and_then(|node| reader.choice(node, "\"enabled\"", &[("true", true), ("false", false)]));
    let values = values(reader, fields, inputs);
    Some(Schedule {
        id: id?,
        timing: timing?,
        catch_up: catch_up.unwrap_or_default(),
        overlap: overlap.unwrap_or_default(),
        enabled: enabled.unwrap_or(true),
        inputs: values,
    })
}

fn timing(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<Timing> {
    let given: Vec<Entry<'_>> = TIMINGS.iter().filter_map(|key| fields.entry(key)).collect();
    let (entry, zone) = match given.as_slice() {
        [one] => (*one, fields.get("timezone")),
        [] if fields.complete => {
            let message = "the schedule does not say when".to_owned();
            let help =
                "give it one of cron, every, at; for example cron: \"30 2 * * *\" and timezone: Europe/Paris";
            reader.findings.error(Code::BadSchedule, head(fields), message, String::new(), Some(help.into()));
            return None;
        }
        [] => return None,
        [_, second, ..] => {
            let message =
                format!("the schedule says when twice; keep one of {}", listed(TIMINGS.into_iter()));
            reader.error(Code::BadSchedule, second.key_node, message, None);
            return None;
        }
    };
    match entry.key {
        "cron" => cron(reader, fields, entry.value, zone),
        "every" => {
            unused_zone(reader, zone, "every");
            let timing = Timing::Every(reader.span(entry.value, "\"every\"")?);
            checked(reader, timing, entry.value, entry.value).map(|(timing, _)| timing)
        }
        _ => at(reader, entry.value, zone),
    }
}

fn cron(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    node: NodeId,
    zone: Option<NodeId>,
) -> Option<Timing> {
    let expression = reader.text_of(node, "\"cron\"", TEXT_BYTES_MAX);
    let Some(zone_node) = zone else {
        if fields.complete {
            let message = "\"cron\" needs a \"timezone\"".to_owned();
            let help = "there is no zone that goes without saying; write timezone: UTC, or the zone that people mean";
            reader.error(Code::BadSchedule, node, message, Some(help.into()));
        }
        return None;
    };
    let zone = reader.text_of(zone_node, "\"timezone\"", TEXT_BYTES_MAX)?;
    let timing = Timing::Cron { expression: expression?.to_owned(), zone: zone.to_owned() };
    let (timing, times) = checked(reader, timing, node, zone_node)?;
    for touched in times.touched() {
        let wall = &touched.wall;
        let (message, help) = match touched.change {
            ClockChange::AfterGap => (
                format!("{wall} does not exist in {zone}: clocks go forward"),
                "it fires right after the gap that day",
            ),
            ClockChange::FirstOfTwo => {
                (format!("{wall} comes twice in {zone}: clocks go back"), "it fires at the first of the two")
            }
        };
        let place = reader.tree.place(node);
        reader.findings.warning(Code::ClockChange, place, message, String::new(), Some(help.into()));
    }
    Some(timing)
}

/// The timing if it makes sense; what is wrong with its zone is said at the zone.
fn checked(
    reader: &mut Reader<'_, '_>,
    timing: Timing,
    node: NodeId,
    zone_node: NodeId,
) -> Option<(Timing, Times)> {
    let error = match Times::new(&timing) {
        Ok(times) => return Some((timing, times)),
        Err(error) => error,
    };
    let (node, help) = match &error {
        TimesError::Zone(zone) => {
            let names: Vec<String> =
                TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
            let meant = reader.suggestions.nearest(zone, names.iter().map(String::as_str));
            (zone_node, meant.map(|meant| format!("did you mean \"{meant}\"?")))
        }
        TimesError::Cron(text, _) if text.split_whitespace().count() == 7 => {
            (node, Some("there is no field for the year; Quartz' numbers of weekdays are others, too".into()))
        }
        TimesError::Cron(..) => {
            (node, Some("minute hour day month weekday, for example \"30 2 * * 1-5\"".into()))
        }
        TimesError::Never(_) | TimesError::TooOften(_) => (node, None),
    };
    reader.error(Code::BadSchedule, node, error.to_string(), help);
    None
}

/// With an offset, or on the clock of a zone.
fn at(reader: &mut Reader<'_, '_>, node: NodeId, zone: Option<NodeId>) -> Option<Timing> {
    let text = reader.text_of(node, "\"at\"", TEXT_BYTES_MAX)?;
    if let Ok(at) = text.parse::<Timestamp>() {
        unused_zone(reader, zone, "an \"at\" that has an offset");
        return Some(Timing::At(at));
    }
    let Ok(wall) = text.parse::<DateTime>() else {
        let message = format!("\"{}\" is not a time", shown(text));
        let help = "write 2026-12-24T18:00:00+01:00, or 2026-12-24T18:00:00 and a timezone";
        reader.error(Code::BadSchedule, node, message, Some(help.into()));
        return None;
    };
    let Some(zone_node) = zone else {
        let message = format!("\"{}\" has neither an offset nor a \"timezone\"", shown(text));
        let help = format!("write {}Z for UTC, or add timezone", shown(text));
        reader.error(Code::BadSchedule, node, message, Some(help));
        return None;
    };
    let name = reader.text_of(zone_node, "\"timezone\"", TEXT_BYTES_MAX)?;
    let found = TimeZoneDatabase::bundled().get(name).ok();
    let at = found.and_then(|zone| wall.to_zoned(zone).ok());
    if at.is_none() {
        let message = TimesError::Zone(name.to_owned()).to_string();
        reader.error(Code::BadSchedule, zone_node, message, None);
    }
    Some(Timing::At(Timestamp(at?.timestamp().as_microsecond())))
}

fn unused_zone(reader: &mut Reader<'_, '_>, zone: Option<NodeId>, what: &str) {
    if let Some(zone) = zone {
        reader.no_effect(zone, format!("\"timezone\" has no effect on {what}"));
    }
}

fn catch_up(reader: &mut Reader<'_, '_>, node: NodeId) -> Option<CatchUp> {
    if !matches!(reader.tree.shape(node), Shape::Map(_)) {
        return reader.choice(node, "\"catch_up\"", CATCH_UPS);
    }
    let fields = reader.record(node, &CATCH_UP_ALL)?;
    let Some(all) = fields.get("all") else {
        reader.missing(&fields, "all", "\"catch_up\"");
        return None;
    };
    reader.number(all, "\"all\"", 1, CAUGHT_UP_MAX).map(|max| CatchUp::All { max })
}

/// The inputs of its runs: nobody is there to be asked for what is missing.
fn values(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, inputs: &[Input]) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    let given = fields.get("inputs").and_then(|node| reader.entries(node, "\"inputs\"")).unwrap_or_default();
    for Entry { key, key_node, value } in given {
        let Some(input) = inputs.iter().find(|input| input.name.as_str() == key) else {
            let names = inputs.iter().map(|input| input.name.as_str());
            let help =
                reader.suggestions.nearest(key, names).map(|meant| format!("did you mean \"{meant}\"?"));
            reader.error(
                Code::ScheduleInput,
                key_node,
                format!("there is no input \"{}\"", shown(key)),
                help,
            );
            continue;
        };
        let Some(raw) = reader.value(value, "an input") else { continue };
        match coerce(&input.r#type, &raw) {
            Ok(fit) if fit.to_string().len() <= INPUT_BYTES_MAX => drop(values.insert(key.to_owned(), fit)),
            Ok(_) => {
                let message = format!("input \"{key}\" is larger than {INPUT_BYTES_MAX} bytes");
                reader.error(Code::OutOfRange, value, message, None);
            }
            Err(why) => {
                reader.error(
                    Code::ScheduleInput,
                    value,
                    format!("input \"{key}\" does not fit: {why}"),
                    None,
                );
            }
        }
    }
    for input in inputs.iter().filter(|input| input.default.is_none()) {
        let name = input.name.as_str();
        let is_given = given_at(reader, fields, name);
        if !is_given && fields.complete {
            let message = format!("input \"{name}\" has no default, and the schedule does not give it");
            let help = format!("add it under the schedule: inputs: {{ {name}: … }}");
            reader.findings.error(Code::ScheduleInput, head(fields), message, String::new(), Some(help));
        }
    }
    values
}

/// Where it begins: of the whole record only so much is shown.
fn head(fields: &Fields<'_>) -> Place {
    Place { start: fields.place.start, end: fields.place.start + 1 }
}

/// Whether the key is there, right or wrong.
fn given_at(reader: &Reader<'_, '_>, fields: &Fields<'_>, name: &str) -> bool {
    let Some(Shape::Map(children)) = fields.get("inputs").map(|node| reader.tree.shape(node)) else {
        return false;
    };
    children
        .chunks_exact(2)
        .any(|pair| matches!(reader.tree.shape(pair[0]), Shape::Scalar(key, _) if key == name))
}
