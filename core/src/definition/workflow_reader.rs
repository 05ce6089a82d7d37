//! Reads a whole definition from its tree: the head, the inputs, and all tasks.
//! Must not know how tasks hang together: needs and expressions are checked afterwards.

use std::collections::BTreeMap;

use super::Code;
use super::input_reader::read_inputs;
use super::model::{Concurrency, DEFINITION_BYTES_MAX, Input, OnFailure, Priority, Schedule, TASKS_MAX};
use super::reader::{Entry, Fields, Reader, shown};
use super::schedule_reader::read_schedules;
use super::task_reader::{Context, Defaults, TITLE_BYTES_MAX, TaskDraft, TaskReader};
use super::tree::{NodeId, Shape, nothing};
use super::vocabulary::{CONCURRENCY, ON_FAILURES, PRIORITIES, WHEN_FULLS, WORKFLOW};
use crate::id::{Name, WorkflowName};

/// Longest description; a page or ten.
const DESCRIPTION_BYTES_MAX: usize = 64 << 10;
/// Most labels, and longest key and value; they are shown and searched.
const LABELS_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 256;
/// Most runs that `concurrency.runs` may name; more is no limit.
const RUNS_MAX: u32 = 1_000_000;

/// A definition as it was read; not yet one.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// None when a name was wrong or missing.
    pub(super) name: Option<WorkflowName>,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) inputs: Vec<Input>,
    pub(super) priority: Priority,
    pub(super) on_failure: OnFailure,
    pub(super) concurrency: Concurrency,
    pub(super) schedules: Vec<Schedule>,
    pub(super) tasks: Vec<TaskDraft<'a>>,
    /// What is to be checked as an expression.
    pub(super) expressions: Vec<(NodeId, Context)>,
}

/// Reads the tree's root. None when it is no definition at all.
pub(super) fn read_workflow<'a>(reader: &mut Reader<'a, '_>) -> Option<Draft<'a>> {
    let root = reader.tree.root();
    if matches!(reader.tree.shape(root), Shape::Scalar("", _)) {
        nothing(reader.findings);
        return None;
    }
    let fields = reader.record(root, &WORKFLOW)?;
    version(reader, &fields);
    let mut expressions = Vec::new();
    let inputs = fields.get("inputs").map(|inputs| read_inputs(reader, inputs, &mut expressions));
    let inputs = inputs.unwrap_or_default();
    let schedules = fields.get("schedules").map(|node| read_schedules(reader, node, &inputs));
    let priority = fields.get("priority").and_then(|node| reader.choice(node, "\"priority\"", PRIORITIES));
    let on_failure =
        fields.get("on_failure").and_then(|node| reader.choice(node, "\"on_failure\"", ON_FAILURES));
    Some(Draft {
        name: workflow_name(reader, &fields),
        title: text(reader, &fields, "title", TITLE_BYTES_MAX),
        description: text(reader, &fields, "description", DESCRIPTION_BYTES_MAX),
        labels: fields.get("labels").map(|node| labels(reader, node)).unwrap_or_default(),
        inputs,
        priority: priority.unwrap_or_default(),
        on_failure: on_failure.unwrap_or_default(),
        concurrency: concurrency(reader, &fields),
        schedules: schedules.unwrap_or_default(),
        tasks: tasks(reader, &fields, &mut expressions),
        expressions,
    })
}

fn version(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) {
    let Some(node) = fields.get("hortator") else {
        return reader.missing(fields, "hortator", "a workflow");
    };
    match reader.tree.shape(node) {
        Shape::Scalar("v1", _) => {}
        Shape::Scalar(text, _) => {
            let message = format!("the format \"{}\" is unknown", shown(text));
            reader.error(Code::BadVersion, node, message, Some("write hortator: v1".into()));
        }
        _ => reader.wrong_type(node, "\"hortator\"", "the version v1"),
    }
}

fn workflow_name(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<WorkflowName> {
    let namespace = match fields.get("namespace") {
        Some(node) => reader.name(node, "namespace"),
        None => Name::new("default").ok(),
    };
    let Some(node) = fields.get("name") else {
        reader.missing(fields, "name", "a workflow");
        return None;
    };
    let name = reader.name(node, "workflow name")?;
    Some(WorkflowName { namespace: namespace?, name })
}

fn text(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, key: &str, bytes_max: usize) -> Option<String> {
    Some(reader.text_of(fields.get(key)?, &format!("\"{key}\""), bytes_max)?.to_owned())
}

fn labels(reader: &mut Reader<'_, '_>, node: NodeId) -> BTreeMap<String, String> {
    let entries = reader.entries(node, "\"labels\"").unwrap_or_default();
    if entries.len() > LABELS_MAX {
        let message = format!("there are {} labels; at most {LABELS_MAX} are allowed", entries.len());
        reader.error(Code::OutOfRange, node, message, None);
    }
    let mut labels = BTreeMap::new();
    for Entry { key, key_node, value } in entries {
        let Some(text) = reader.written(value, "a label") else {
            continue;
        };
        if key.is_empty() || key.len() > LABEL_BYTES_MAX || text.len() > LABEL_BYTES_MAX {
            let message = format!("label \"{}\" is empty or longer than {LABEL_BYTES_MAX} bytes", shown(key));
            reader.error(Code::OutOfRange, key_node, message, None);
        }
        labels.insert(key.to_owned(), text.to_owned());
    }
    labels
}

fn concurrency(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Concurrency {
    let mut concurrency = Concurrency { runs: None, when_full: Default::default() };
    let Some(fields) = fields.get("concurrency").and_then(|node| reader.record(node, &CONCURRENCY)) else {
        return concurrency;
    };
    concurrency.runs = fields.get("runs").and_then(|node| reader.number(node, "\"runs\"", 1, RUNS_MAX));
    if let Some(node) = fields.get("when_full") {
        concurrency.when_full = reader.choice(node, "\"when_full\"", WHEN_FULLS).unwrap_or_default();
        if fields.get("runs").is_none() {
            reader.no_effect(node, "\"when_full\" has no effect without \"runs\"".into());
        }
    }
    concurrency
}

fn tasks<'a>(
    reader: &mut Reader<'a, '_>,
    fields: &Fields<'a>,
    expressions: &mut Vec<(NodeId, Context)>,
) -> Vec<TaskDraft<'a>> {
    let defaults = fields.get("defaults");
    let Some(node) = fields.get("tasks") else {
        reader.missing(fields, "tasks", "a workflow");
        return Vec::new();
    };
    let Some(list) = reader.list(node, "\"tasks\"") else {
        return Vec::new();
    };
    if list.is_empty() {
        reader.error(Code::NoTasks, node, "the workflow has no tasks".into(), None);
    }
    if list.len() > TASKS_MAX {
        let message = format!("the workflow has {} tasks; at most {TASKS_MAX} are allowed", list.len());
        reader.error(Code::TooManyTasks, node, message, None);
        return Vec::new();
    }
    let mut tasks = TaskReader {
        reader,
        defaults: Defaults::default(),
        expressions: std::mem::take(expressions),
        index: 0,
    };
    if let Some(defaults) = defaults {
        tasks.read_defaults(defaults);
    }
    let (mut drafts, mut task_runs, mut env_bytes) = (Vec::with_capacity(list.len()), 0, 0);
    for (index, task) in list.iter().enumerate() {
        tasks.index = index;
        let draft = tasks.read(*task);
        let (runs_before, bytes_before) = (task_runs, env_bytes);
        task_runs += draft.task.as_ref().map_or(1, |task| task.items() as usize);
        env_bytes += draft.task.as_ref().map_or(0, |task| env_size(&task.env));
        drafts.push(draft);
        if runs_before <= TASKS_MAX && task_runs > TASKS_MAX {
            let message =
                format!("the workflow has more than {TASKS_MAX} task runs, items of \"foreach\" included");
            tasks.reader.error(Code::TooManyTasks, *task, message, None);
        }
        if bytes_before <= DEFINITION_BYTES_MAX && env_bytes > DEFINITION_BYTES_MAX {
            let message = "the environment variables of all tasks are together larger than 16 MiB".into();
            let help = "defaults count once for each task: keep large values in a file".into();
            tasks.reader.error(Code::TooLarge, *task, message, Some(help));
            break;
        }
    }
    *expressions = tasks.expressions;
    drafts
}

fn env_size(env: &BTreeMap<String, String>) -> usize {
    env.iter().map(|(name, value)| name.len() + value.len()).sum()
}
