//! The words of the format: every key with what it means, and every list of values. Readers, the JSON Schema and
//! error messages all take them from here. Must not know how values are read.

use super::model::{Backoff, Delivery, InputType, OnFailure, Priority, RunIf, ValueType, WhenFull};
use crate::schedule::{CatchUp, Overlap};

/// How many missed times `catch_up: all` makes up for when it names no number.
const CAUGHT_UP_BY_DEFAULT: u32 = 50;

/// A map of the format.
#[derive(Debug)]
pub(super) struct Record {
    /// As messages name it.
    pub(super) what: &'static str,
    /// Keys and what they mean.
    pub(super) keys: &'static [(&'static str, &'static str)],
    /// Keys of the format that this version refuses.
    pub(super) later: &'static [&'static str],
}

pub(super) static WORKFLOW: Record = Record {
    what: "a workflow",
    keys: &[
        ("hortator", "Version of the format: v1."),
        ("name", "The workflow's name, unique in its namespace."),
        ("namespace", "Where the workflow lives; default: default."),
        ("title", "Name for people, any text."),
        ("description", "What the workflow is for, any text."),
        ("labels", "Free words to find workflows by."),
        ("inputs", "What a start may or must give."),
        ("defaults", "Merged into every task, key by key; a task's own value wins."),
        ("priority", "Of its runs among all runs; default: normal."),
        ("on_failure", "What a failed task means for the rest; default: continue."),
        ("concurrency", "How many runs of the workflow go on at a time."),
        ("schedules", "When the workflow starts by itself."),
        ("tasks", "The tasks; their order is only the order of display, `needs` makes the graph."),
    ],
    later: &["wait_for", "finally", "notify", "deadline", "limits", "delivery", "place"],
};

pub(super) static INPUT: Record = Record {
    what: "an input",
    keys: &[
        ("name", "Its name; tasks see it as HTR_INPUT_NAME."),
        ("type", "Type of its values."),
        ("default", "Value when a start gives none; text may hold {{ }} with inputs before this one."),
        ("values", "The values of an enum."),
        ("help", "One line for people who start the workflow."),
    ],
    later: &[],
};

pub(super) static DEFAULTS: Record = Record {
    what: "defaults",
    keys: &[
        ("group", "Worker group."),
        ("priority", "Of a task within its run."),
        ("timeout", "Longest time of one attempt."),
        ("retry", "Tries after the first."),
        ("env", "Environment variables."),
        ("resources", "What a task takes of a worker, or a list of alternatives."),
        ("place", "On which workers of its group a task would like to run."),
        ("limits", "Limits that a task must hold while it runs."),
        ("delivery", "Whether a task is repeated when its worker is lost; default: at_least_once."),
    ],
    later: &["run_if"],
};

pub(super) static TASK: Record = Record {
    what: "a task",
    keys: &[
        ("id", "The task's name in the workflow."),
        ("title", "Name for people, any text."),
        ("needs", "Tasks that must have ended before."),
        ("shell", "Kind: runs a script."),
        ("noop", "Kind: does nothing, at once."),
        ("group", "Worker group that runs it; default: default."),
        ("priority", "Within its run; default: normal."),
        ("resources", "What it takes of a worker, or a list of alternatives."),
        ("place", "On which workers of its group it would like to run."),
        ("limits", "Limits of its namespace that it must hold while it runs, for example [warehouse-db]."),
        ("retry", "Tries after the first, for example {max: 3}."),
        ("timeout", "Longest time of one attempt, for example 30m; without it there is no limit."),
        ("run_if", "Which results of the needed tasks let it run; default: all_success."),
        ("delivery", "Whether it is repeated when its worker is lost; default: at_least_once."),
        ("when", "Condition without braces; when it is false the task is skipped."),
        ("env", "Environment variables; values may hold {{ }}."),
        ("outputs", "Names and types of what the script writes to $HTR_OUTPUT as name=value."),
        ("foreach", "Makes one task run for each item."),
    ],
    later: &["http", "workflow", "switch", "approve", "wait", "plugin"],
};

/// The keys of `TASK` that say what a task does; of those that come later, too.
pub(super) const KINDS: [&str; 2] = ["shell", "noop"];

pub(super) static SHELL: Record = Record {
    what: "\"shell\"",
    keys: &[
        ("script", "The script's text."),
        ("file", "Path of the script on the worker."),
        ("shell", "The program that reads it, for example bash; default: sh."),
    ],
    later: &[],
};

pub(super) static NOOP: Record = Record { what: "\"noop\"", keys: &[], later: &[] };

pub(super) static RESOURCES: Record = Record {
    what: "\"resources\"",
    keys: &[
        ("slots", "Slots of the worker; default: 1."),
        ("cpu", "Cores, for example 2, 0.5 or 500m."),
        ("memory", "For example 512MiB or 8GiB."),
        ("disk", "For example 20GiB."),
        ("gpu", "Whole devices; $HTR_DEVICES names them."),
        ("named", "Whatever else its workers declare, for example {licence: 1}."),
    ],
    later: &[],
};

pub(super) static LIMIT: Record = Record {
    what: "a limit",
    keys: &[("key", "The limit's name."), ("weight", "How much of it; default: 1.")],
    later: &[],
};

pub(super) static PLACE: Record = Record {
    what: "\"place\"",
    keys: &[
        ("require", "Labels that its worker has, for example {disk: ssd}; of a list any value will do."),
        ("avoid", "Labels that its worker has not."),
        ("has", "Labels that its worker has with any value."),
        ("prefer", "Labels for which a worker comes first."),
        ("spread", "A label over whose values its runs are spread."),
        ("zone", "The zone where it would rather run."),
        ("zone_wait", "How long it insists on that; default: 60s."),
    ],
    later: &[],
};

pub(super) static RETRY: Record = Record {
    what: "\"retry\"",
    keys: &[
        ("max", "Tries after the first; default: 0."),
        ("delay", "Time before a retry; default: 10s."),
        ("backoff", "How the delay grows; default: fixed."),
        ("max_delay", "Longest delay of exponential backoff; default: 10m."),
        ("jitter", "Each delay is drawn from ± this part of it, for example 20%; default: 0%."),
    ],
    later: &["causes"],
};

pub(super) static FOREACH: Record = Record {
    what: "\"foreach\"",
    keys: &[
        ("items", "A list of values; text may hold {{ }} with inputs and the run."),
        ("as", "The name of the item in templates; default: item."),
        ("parallel", "Most items at a time; without it, all."),
    ],
    later: &[],
};

pub(super) static CONCURRENCY: Record = Record {
    what: "\"concurrency\"",
    keys: &[
        ("runs", "Most runs at a time."),
        ("when_full", "What happens to a start above that; default: queue."),
    ],
    later: &[],
};

pub(super) static SCHEDULE: Record = Record {
    what: "a schedule",
    keys: &[
        ("id", "The schedule's name in the workflow."),
        ("cron", "Minute, hour, day, month, weekday, for example \"30 2 * * *\"; needs timezone."),
        ("timezone", "IANA name of the zone that cron counts in, for example Asia/Shanghai."),
        ("every", "A fixed rate, for example 15m: the multiples of it since 1970 in UTC."),
        ("at", "Once, for example 2026-12-24T18:00:00+01:00, or without offset and with timezone."),
        ("catch_up", "What becomes of times that were missed; default: latest."),
        ("overlap", "What a fire does while a run of the schedule lives; default: queue."),
        ("enabled", "Whether it fires; default: true."),
        ("inputs", "Inputs of its runs."),
    ],
    later: &["jitter", "until", "calendar"],
};

/// The keys of `SCHEDULE` that say when.
pub(super) const TIMINGS: [&str; 3] = ["cron", "every", "at"];

pub(super) static CATCH_UP_ALL: Record = Record {
    what: "\"catch_up\"",
    keys: &[("all", "A run for each missed time, but for no more than the newest so many.")],
    later: &[],
};

pub(super) const CATCH_UPS: &[(&str, CatchUp)] = &[
    ("none", CatchUp::None),
    ("latest", CatchUp::Latest),
    ("all", CatchUp::All { max: CAUGHT_UP_BY_DEFAULT }),
];
pub(super) const OVERLAPS: &[(&str, Overlap)] = &[
    ("queue", Overlap::Queue),
    ("skip", Overlap::Skip),
    ("cancel_oldest", Overlap::CancelOldest),
    ("allow", Overlap::Allow),
];

pub(super) const PRIORITIES: &[(&str, Priority)] = &[
    ("highest", Priority::Highest),
    ("high", Priority::High),
    ("normal", Priority::Normal),
    ("low", Priority::Low),
    ("lowest", Priority::Lowest),
];
pub(super) const ON_FAILURES: &[(&str, OnFailure)] =
    &[("continue", OnFailure::Continue), ("stop", OnFailure::Stop)];
pub(super) const WHEN_FULLS: &[(&str, WhenFull)] =
    &[("queue", WhenFull::Queue), ("skip", WhenFull::Skip), ("cancel_oldest", WhenFull::CancelOldest)];
pub(super) const BACKOFFS: &[(&str, Backoff)] =
    &[("fixed", Backoff::Fixed), ("exponential", Backoff::Exponential)];
pub(super) const RUN_IFS: &[(&str, RunIf)] = &[
    ("all_success", RunIf::AllSuccess),
    ("all_done", RunIf::AllDone),
    ("one_success", RunIf::OneSuccess),
    ("one_failed", RunIf::OneFailed),
    ("none_failed", RunIf::NoneFailed),
    ("always", RunIf::Always),
];
pub(super) const DELIVERIES: &[(&str, Delivery)] =
    &[("at_least_once", Delivery::AtLeastOnce), ("at_most_once", Delivery::AtMostOnce)];
pub(super) const VALUE_TYPES: &[(&str, ValueType)] = &[
    ("string", ValueType::String),
    ("int", ValueType::Int),
    ("float", ValueType::Float),
    ("bool", ValueType::Bool),
    ("json", ValueType::Json),
];
/// The values of `enum` are read apart.
pub(super) const INPUT_TYPES: &[(&str, InputType)] = &[
    ("string", InputType::String),
    ("int", InputType::Int),
    ("float", InputType::Float),
    ("bool", InputType::Bool),
    ("date", InputType::Date),
    ("enum", InputType::Enum(Vec::new())),
];
