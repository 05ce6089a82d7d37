//! Turns the ids that tasks need into a graph: twice used ids, unknown ids, circles, and too many of them.
//! Must not know anything else of tasks.

use std::collections::BTreeMap;

use super::Code;
use super::findings::{Findings, Place};
use super::graph::Graph;
use super::model::EDGES_MAX;
use super::reader::shown;
use super::suggestion::Suggestions;
use super::task_reader::TaskDraft;
use crate::id::TaskIndex;

/// Most tasks of a circle that its message names.
const CIRCLE_SHOWN_MAX: usize = 8;

/// The graph of those needs that make sense, and where each id is.
pub(super) fn link<'a>(
    tasks: &[TaskDraft<'a>],
    findings: &mut Findings<'_>,
    suggestions: &mut Suggestions,
) -> (Graph, BTreeMap<&'a str, TaskIndex>) {
    let ids = ids(tasks, findings);
    let edges: usize = tasks.iter().map(|task| task.needs.len()).sum();
    if edges > EDGES_MAX {
        let place = tasks.first().map_or(Place::default(), |task| task.place);
        let message = format!("the tasks have {edges} needs together; at most {EDGES_MAX} are allowed");
        let help = "put a task with noop: {} between large groups of tasks".into();
        findings.error(Code::TooManyNeeds, place, message, String::new(), Some(help));
        return (Graph::default(), ids);
    }
    let mut needs: Vec<Vec<TaskIndex>> = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.iter().enumerate() {
        let mut parents: Vec<(TaskIndex, Place)> = Vec::with_capacity(task.needs.len());
        for (id, place) in &task.needs {
            match ids.get(id) {
                Some(parent) if *parent as usize == index => self_need(findings, *place, id),
                Some(parent) => parents.push((*parent, *place)),
                None => unknown(findings, suggestions, (tasks, &ids), task, (id, *place)),
            }
        }
        repeated(findings, tasks, &mut parents);
        needs.push(parents.into_iter().map(|(parent, _)| parent).collect());
    }
    let graph = Graph::new(&needs);
    for circle in graph.circles() {
        refuse_circle(findings, tasks, &circle);
    }
    (graph, ids)
}

fn ids<'a>(tasks: &[TaskDraft<'a>], findings: &mut Findings<'_>) -> BTreeMap<&'a str, TaskIndex> {
    let mut ids = BTreeMap::new();
    for (index, task) in tasks.iter().enumerate().filter(|(_, task)| !task.id.is_empty()) {
        let first = *ids.entry(task.id).or_insert(index as TaskIndex) as usize;
        if first != index {
            let message = format!("there are two tasks \"{}\"", shown(task.id));
            let help = format!("the first one is in line {}", findings.line(tasks[first].place));
            findings.error(Code::DuplicateTask, task.place, message, String::new(), Some(help));
        }
    }
    ids
}

fn self_need(findings: &mut Findings<'_>, place: Place, id: &str) {
    let message = format!("task \"{}\" needs itself", shown(id));
    findings.error(
        Code::SelfNeed,
        place,
        message,
        "it could never start".into(),
        Some("remove the entry".into()),
    );
}

fn unknown(
    findings: &mut Findings<'_>,
    suggestions: &mut Suggestions,
    (tasks, ids): (&[TaskDraft<'_>], &BTreeMap<&str, TaskIndex>),
    task: &TaskDraft<'_>,
    (id, place): (&str, Place),
) {
    let message = format!("task \"{}\" needs a task that does not exist", shown(task.id));
    let meant = if findings.is_full() { None } else { suggestions.nearest(id, ids.keys().copied()) };
    let help = meant.map(|meant| {
        let line = findings.line(tasks[ids[meant] as usize].place);
        format!("did you mean \"{meant}\" (line {line})?")
    });
    findings.error(
        Code::UnknownTask,
        place,
        message,
        format!("no task \"{}\" in this workflow", shown(id)),
        help,
    );
}

/// A need that is listed twice is harmless, but one of the two was probably meant to be another.
fn repeated(findings: &mut Findings<'_>, tasks: &[TaskDraft<'_>], parents: &mut [(TaskIndex, Place)]) {
    parents.sort_by_key(|(parent, place)| (*parent, place.start));
    for pair in parents.windows(2) {
        if pair[0].0 == pair[1].0 {
            let id = shown(tasks[pair[1].0 as usize].id);
            let message = format!("\"{id}\" is listed twice");
            findings.error(
                Code::DuplicateValue,
                pair[1].1,
                message,
                String::new(),
                Some("remove one".into()),
            );
        }
    }
}

fn refuse_circle(findings: &mut Findings<'_>, tasks: &[TaskDraft<'_>], circle: &[TaskIndex]) {
    // From the task that comes first in the file.
    let first = circle.iter().enumerate().min_by_key(|(_, task)| **task).map_or(0, |(at, _)| at);
    let names: Vec<String> = (0..circle.len())
        .map(|step| shown(tasks[circle[(first + step) % circle.len()] as usize].id))
        .collect();
    let task = &tasks[circle[first] as usize];
    let next = tasks[circle[(first + 1) % circle.len()] as usize].id;
    let place = task.needs.iter().find(|(id, _)| *id == next).map_or(task.place, |(_, place)| *place);
    let shown_names = match names.len() {
        0..=CIRCLE_SHOWN_MAX => names.join("\" needs \""),
        more => format!(
            "{}\" needs … {} more … \"",
            names[..CIRCLE_SHOWN_MAX].join("\" needs \""),
            more - CIRCLE_SHOWN_MAX
        ),
    };
    let joint = if names.len() > CIRCLE_SHOWN_MAX { "" } else { "\" needs \"" };
    let message = format!("tasks need each other in a circle: \"{shown_names}{joint}{}\"", names[0]);
    let help = "remove one of these needs".into();
    findings.error(Code::Cycle, place, message, "part of the circle".into(), Some(help));
}
