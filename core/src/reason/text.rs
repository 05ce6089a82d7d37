//! Each reason as one English sentence with its actual values.
//! Must not know terminals; lists are cut to a few entries, the params have the rest.

use std::fmt::Display;

use super::{AHEAD_COUNT_MAX, Withheld};
use super::{
    Ahead, Among, Dimension, Distrusted, PauseScope, Reason, RunEnding, SentStage, Shortage, TaskStanding,
    WithheldHow,
};
use crate::definition::{Priority, RunIf};

/// Most entries of a list that a sentence names.
const NAMED_MAX: usize = 3;

impl Reason {
    /// What holds it up, one sentence with the actual values.
    pub fn text(&self) -> String {
        match self {
            Reason::WaitsForTask { .. }
            | Reason::RunIfNotMet { .. }
            | Reason::ItemsFull { .. }
            | Reason::RunEnds { .. } => condition_text(self),
            Reason::NotBefore { time } => format!("it may not start before {time}"),
            Reason::Backoff { attempt, attempts_max, time, last_error } => {
                format!(
                    "attempt {attempt} of {attempts_max} starts at {time}; the last one failed: {last_error}"
                )
            }
            Reason::WorkersLost { losses, losses_max, time, worker } => {
                format!(
                    "{losses} attempts in a row were lost with their workers, the last with {worker}; the next starts at \
                     {time}, and after {losses_max} it fails"
                )
            }
            Reason::Paused { scope, by, since } => {
                format!("{} has been paused by {by} since {since}", paused_thing(scope))
            }
            Reason::Quarantined { code, cause, since } => {
                format!("its run has been in quarantine since {since}: {cause} [{code}]")
            }
            Reason::RunsFull { limit, running, holders } => {
                let holders = named(holders.iter().map(|run| run.to_string()), *running);
                format!("the workflow has {running} of at most {limit} runs: {holders}")
            }
            Reason::LimitFull { .. } | Reason::LimitUnknown { .. } => limit_text(self),
            Reason::Quota { scope, quota, used, max } => format!("{scope} uses {used} of {max} {quota}"),
            Reason::SentNotAcknowledged { worker, since, stage } => match stage {
                SentStage::Granted => {
                    format!(
                        "worker {:?} was chosen at {since}, and the start is being committed",
                        text(&worker.name)
                    )
                }
                SentStage::Sent { next_resend } => format!(
                    "it was sent to worker {:?} at {since}, which has not acknowledged it; it is asked for at \
                     {next_resend}, and sent again if the worker does not have it",
                    text(&worker.name)
                ),
            },
            Reason::WorkerSilent { worker, last_heartbeat, lost_at } => {
                let lost = lost_at.map(|at| format!("; it is declared lost at {at}")).unwrap_or_default();
                format!("worker {:?} has been silent since {last_heartbeat}{lost}", text(&worker.name))
            }
            Reason::NoLeader { raft_group, seen, needed } => {
                let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
                format!("Raft group {raft_group} has no leader: {needed} members are needed, {seen} answer")
            }
            Reason::Starting { what, done, total } => format!("{what}: {done} of {total} done"),
            _ => placement_text(self),
        }
    }
}

fn limit_text(reason: &Reason) -> String {
    match reason {
        Reason::LimitUnknown { key } => format!("it wants limit {key:?}, which nobody has set"),
        Reason::LimitFull { key, used, max, needed, .. } if needed > max => {
            format!("it needs {needed} of limit {key:?}, which is {max} in all ({used} in use)")
        }
        Reason::LimitFull { key, used, max, needed, .. } if reason.is_undecided() => {
            format!(
                "it needs {needed} of limit {key:?}, of which {used} of {max} are in use: its home shard has it still to decide, after those that came first"
            )
        }
        Reason::LimitFull { key, used, max, needed, holding, holders } => {
            let holders = holders.iter().map(|h| format!("{}/{} since {}", h.run, h.task.task, h.since));
            let holders = named(holders, *holding);
            format!("it needs {needed} of limit {key:?}, of which {used} of {max} are in use: {holders}")
        }
        other => unreachable!("{other:?} is about no limit"),
    }
}

fn condition_text(reason: &Reason) -> String {
    match reason {
        Reason::WaitsForTask { open, tasks } => {
            format!("it waits for {}: {}", count(*open, "task"), standings(tasks, *open))
        }
        Reason::RunIfNotMet { rule, upstream, open } => format!(
            "it will be skipped when {} that {} open {} ended: run_if is {}, and against it is {}",
            count(*open, "parent"),
            if *open == 1 { "is" } else { "are" },
            if *open == 1 { "has" } else { "have" },
            rule_name(*rule),
            standings(upstream, upstream.len() as u64)
        ),
        Reason::ItemsFull { task, active, max } => {
            format!("{active} items of task {:?} are active, of at most {max} at a time", text(task))
        }
        Reason::RunEnds { why: RunEnding::Failed(task) } => {
            format!("its run starts nothing new: \"{task}\" failed, and on_failure is stop")
        }
        Reason::RunEnds { why: RunEnding::Cancelled(by) } => {
            format!("its run starts nothing new: it was cancelled by {by}")
        }
        other => unreachable!("not a condition: {}", other.code()),
    }
}

fn placement_text(reason: &Reason) -> String {
    match reason {
        Reason::NoCapacity { group, total, workers } => {
            let workers = named(workers.iter().map(shortage_text), *total);
            format!("no worker in group {:?} has room: {workers}", text(group))
        }
        Reason::Overloaded { group, total, workers } => {
            let each =
                workers.iter().map(|w| format!("{} {} {} is over {}", w.worker, w.metric, w.value, w.limit));
            format!("workers in group {:?} are refusing tasks: {}", text(group), named(each, *total))
        }
        Reason::GroupEmpty { group, last_seen, .. } => {
            let last = match last_seen {
                Some(last) => format!("the last one was {:?}, seen at {}", text(&last.worker), last.at),
                None => "it never had one".to_owned(),
            };
            format!("worker group {:?} has no worker; {last}", text(group))
        }
        Reason::GroupUnknown { group, groups, .. } => {
            let groups = named(groups.iter().map(|g| g.to_string()), groups.len() as u64);
            format!("worker group {:?} does not exist; groups now: {groups}", text(group))
        }
        Reason::NoMatchingWorker { group, requirement, total, workers } => {
            let each = workers.iter().map(|w| format!("{} has {}", w.worker, w.difference));
            format!("no worker in group {:?} has {requirement}: {}", text(group), named(each, *total))
        }
        Reason::WorkersDraining { group, total, workers } => {
            let each = named(workers.iter().map(withheld_text), *total);
            format!("workers in group {:?} take no new work: {each}", text(group))
        }
        Reason::KindUnsupported { group, kind, total, workers } => {
            let each = workers.iter().map(|w| format!("{} (version {})", w.worker, w.version));
            format!("{} in group {:?} cannot run tasks of kind {kind}", named(each, *total), text(group))
        }
        Reason::ZoneWait { group, zone, until, total, workers } => {
            let each = workers.iter().map(|w| format!("{} is in {}", w.worker, w.difference));
            let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
            format!(
                "zone {zone:?} of group {:?} has no room, and it insists on it{until}: {}",
                text(group),
                named(each, *total)
            )
        }
        Reason::WorkersQuarantined { group, total, workers } => {
            let each = named(workers.iter().map(distrusted_text), *total);
            format!("workers in group {:?} are in quarantine: {each}", text(group))
        }
        Reason::Behind { group, ahead: 0, .. } => {
            format!("it is next in its queue in group {:?} and is being placed", text(group))
        }
        Reason::Behind { group, ahead, first, among, .. } => {
            let more = if *ahead >= AHEAD_COUNT_MAX { " or more" } else { "" };
            let first = named(first.iter().map(ahead_text), *ahead);
            let group = text(group);
            match among {
                Among::Shape => format!("{ahead}{more} of this shape in group {group:?} come first: {first}"),
                Among::Group => format!(
                    "it is next of its shape in group {group:?}, and {ahead}{more} of other shapes come first where \
                     they fit: {first}"
                ),
            }
        }
        other => unreachable!("not of placement: {}", other.code()),
    }
}

fn shortage_text(shortage: &Shortage) -> String {
    let Shortage { worker, free, total, needed, holders, .. } = shortage;
    let holders = count(*holders, "task run");
    match &shortage.dimension {
        Dimension::Slots => {
            format!("{worker} has {free} of {total} slots free, {needed} needed ({holders} there)")
        }
        Dimension::Cpu => {
            let cores = |thousandths: &u64| *thousandths as f64 / 1000.0;
            let (free, total, needed) = (cores(free), cores(total), cores(needed));
            format!("{worker} has {free} of {total} cpu free, {needed} needed ({holders} there)")
        }
        Dimension::Memory => {
            format!("{worker} has {free} of {total} MiB memory free, {needed} needed ({holders} there)")
        }
        Dimension::Disk => {
            format!("{worker} has {free} of {total} MiB disk free, {needed} needed ({holders} there)")
        }
        Dimension::Gpu => {
            format!("{worker} has {free} of {total} gpu free, {needed} needed ({holders} there)")
        }
        Dimension::Named(name) => {
            format!("{worker} has {free} of {total} {name} free, {needed} needed ({holders} there)")
        }
        Dimension::SlotsRefused => format!("{worker} refused, so has less than the {needed} slots needed"),
    }
}

fn distrusted_text(distrusted: &Distrusted) -> String {
    let Distrusted { worker, failures, until } = distrusted;
    match until {
        Some(until) => format!("{worker} until {until} after {}", count(*failures, "failed task")),
        None => format!("{worker} is tried with one task run after {}", count(*failures, "failed task")),
    }
}

fn withheld_text(withheld: &Withheld) -> String {
    let how = match withheld.how {
        WithheldHow::Draining => "draining",
        WithheldHow::Cordoned => "cordoned",
    };
    format!("{} {how} since {} by {}", withheld.worker, withheld.since, withheld.by)
}

fn ahead_text(ahead: &Ahead) -> String {
    let priority = priority_name(ahead.run_priority);
    format!("{}/{} ({priority}, since {})", ahead.run, ahead.task.task, ahead.since)
}

fn paused_thing(scope: &PauseScope) -> String {
    match scope {
        PauseScope::Schedule(schedule) => format!("schedule {schedule}"),
    }
}

fn standings(tasks: &[TaskStanding], total: u64) -> String {
    named(tasks.iter().map(|standing| format!("{} ({})", standing.task, standing.state)), total)
}

/// The first few, and how many more there are.
fn named(entries: impl Iterator<Item = String>, total: u64) -> String {
    let entries: Vec<String> = entries.take(NAMED_MAX).collect();
    if entries.is_empty() {
        return "none listed".to_owned();
    }
    let more = total.saturating_sub(entries.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    entries.join(", ") + &more
}

pub(super) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// For quotes by `{:?}`.
fn text(shown: &impl Display) -> String {
    shown.to_string()
}

fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Highest => "highest",
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
        Priority::Lowest => "lowest",
    }
}

fn rule_name(rule: RunIf) -> &'static str {
    match rule {
        RunIf::AllSuccess => "all_success",
        RunIf::AllDone => "all_done",
        RunIf::OneSuccess => "one_success",
        RunIf::OneFailed => "one_failed",
        RunIf::NoneFailed => "none_failed",
        RunIf::Always => "always",
    }
}
