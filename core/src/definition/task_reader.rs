//! Reads one task, and the defaults that are merged into each.
//! Must not know other tasks: ids that are needed stay text here, templates are only noted.

use std::collections::BTreeMap;

use super::Code;
use super::findings::Place;
use super::model::{Delivery, PlaceWish, Priority, Retry, RunIf, Task, TaskKind, ValueType, default_group};
use super::reader::{Entry, Fields, Reader, shown};
use super::resource_reader::Requests;
use super::retry_reader::RetryDraft;
use super::tree::{NodeId, Shape};
use super::vocabulary::{DEFAULTS, DELIVERIES, PRIORITIES, RUN_IFS, TASK, VALUE_TYPES};
use crate::expression::contains_template;
use crate::id::Name;
use crate::limit::Want;
use crate::time::Span;

/// Longest title, in bytes; it is shown in tables.
pub(super) const TITLE_BYTES_MAX: usize = 512;
/// Longest value of an environment variable, as Linux has it for one string.
const ENV_VALUE_BYTES_MAX: usize = 128 << 10;
/// Most environment variables of a task, its own; expressions in them are evaluated when it is dispatched.
const ENV_MAX: usize = 1000;
/// Most outputs of a task; each is a row's worth of text.
const OUTPUTS_MAX: usize = 100;

/// Where an expression stands, which decides what it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// The `when` of the task at that place.
    Condition(usize),
    /// A value of the task's `env`.
    Env(usize),
    /// A value of `defaults.env`.
    DefaultEnv,
    /// An item of the task's `foreach`.
    Item(usize),
    /// The default of the input at that place.
    InputDefault(usize),
}

/// What is merged into every task.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    group: Option<Name>,
    priority: Option<Priority>,
    requests: Option<Requests>,
    place: Option<PlaceWish>,
    limits: Option<Vec<Want>>,
    retry: RetryDraft,
    timeout: Option<Span>,
    delivery: Option<Delivery>,
    env: BTreeMap<String, String>,
}

/// A task before its needs are looked up.
#[derive(Debug)]
pub(super) struct TaskDraft<'a> {
    /// As written, even if it is not a name.
    pub(super) id: &'a str,
    pub(super) place: Place,
    pub(super) needs: Vec<(&'a str, Place)>,
    /// None when something in it is wrong enough.
    pub(super) task: Option<Task>,
}

/// Reads tasks one after the other.
pub(super) struct TaskReader<'r, 'a, 't> {
    pub(super) reader: &'r mut Reader<'a, 't>,
    pub(super) defaults: Defaults,
    /// Everything to be checked as an expression.
    pub(super) expressions: Vec<(NodeId, Context)>,
    /// The task that is being read.
    pub(super) index: usize,
}

impl<'a> TaskReader<'_, 'a, '_> {
    pub(super) fn read_defaults(&mut self, node: NodeId) {
        let Some(fields) = self.reader.record(node, &DEFAULTS) else {
            return;
        };
        let env = fields.get("env").map(|env| self.env(env, Context::DefaultEnv));
        self.defaults = Defaults {
            group: fields.get("group").and_then(|group| self.reader.name(group, "\"group\"")),
            priority: self.priority(&fields),
            requests: self.requests(&fields),
            place: self.place(&fields),
            limits: self.limits(&fields),
            retry: fields.get("retry").map(|retry| RetryDraft::read(self.reader, retry)).unwrap_or_default(),
            timeout: self.timeout(&fields),
            delivery: self.delivery(&fields),
            env: env.unwrap_or_default(),
        };
    }

    pub(super) fn read(&mut self, node: NodeId) -> TaskDraft<'a> {
        let place = self.reader.tree.place(node);
        let mut draft = TaskDraft { id: "", place, needs: Vec::new(), task: None };
        let Some(fields) = self.reader.record(node, &TASK) else {
            return draft;
        };
        let id = fields.get("id").and_then(|id| self.id(id, &mut draft));
        if fields.get("id").is_none() {
            self.reader.missing(&fields, "id", "a task");
        }
        if let Some(needs) = fields.get("needs") {
            self.needs(needs, &mut draft);
        }
        let kind = self.kind(&fields, draft.id);
        let rest = self.rest(&fields);
        draft.task = match (id, kind) {
            (Some(id), Some(kind)) => Some(Task { id, kind, ..rest }),
            _ => None,
        };
        draft
    }

    fn id(&mut self, node: NodeId, draft: &mut TaskDraft<'a>) -> Option<Name> {
        if let Shape::Scalar(text, _) = self.reader.tree.shape(node) {
            draft.id = text;
            draft.place = self.reader.tree.place(node);
        }
        self.reader.name(node, "task id")
    }

    fn needs(&mut self, node: NodeId, draft: &mut TaskDraft<'a>) {
        let Some(list) = self.reader.list(node, "\"needs\"") else {
            return;
        };
        draft.needs.reserve_exact(list.len());
        for need in list {
            if let Some(id) = self.reader.text(*need, "an entry of \"needs\"") {
                draft.needs.push((id, self.reader.tree.place(*need)));
            }
        }
    }

    /// Everything but the id and the kind, which are placeholders.
    fn rest(&mut self, fields: &Fields<'a>) -> Task {
        let task = Context::Env(self.index);
        let own_env = fields.get("env").map(|env| self.env(env, task)).unwrap_or_default();
        let mut env = self.defaults.env.clone();
        env.extend(own_env);
        let group = fields.get("group").and_then(|group| self.reader.name(group, "\"group\""));
        let group = group.or_else(|| self.defaults.group.clone());
        let requests = self.requests(fields).or_else(|| self.defaults.requests.clone()).unwrap_or_default();
        Task {
            id: Name::new("unnamed").expect("a valid name"),
            title: self.title(fields),
            kind: TaskKind::Noop,
            group: group.unwrap_or_else(default_group),
            priority: self.priority(fields).or(self.defaults.priority).unwrap_or_default(),
            slots: requests.slots.unwrap_or(1),
            resources: requests.alternatives,
            place: self.place(fields).or_else(|| self.defaults.place.clone()).unwrap_or_default(),
            limits: self.limits(fields).or_else(|| self.defaults.limits.clone()).unwrap_or_default(),
            retry: self.retry(fields),
            timeout: self.timeout(fields).or(self.defaults.timeout),
            run_if: self.run_if(fields),
            delivery: self.delivery(fields).or(self.defaults.delivery).unwrap_or_default(),
            when: self.when(fields),
            env,
            outputs: fields.get("outputs").map(|outputs| self.outputs(outputs)).unwrap_or_default(),
            foreach: fields.get("foreach").and_then(|foreach| self.foreach(foreach)),
        }
    }

    fn title(&mut self, fields: &Fields<'a>) -> Option<String> {
        Some(self.reader.text_of(fields.get("title")?, "\"title\"", TITLE_BYTES_MAX)?.to_owned())
    }

    fn priority(&mut self, fields: &Fields<'a>) -> Option<Priority> {
        self.reader.choice(fields.get("priority")?, "\"priority\"", PRIORITIES)
    }

    fn timeout(&mut self, fields: &Fields<'a>) -> Option<Span> {
        let node = fields.get("timeout")?;
        let span = self.reader.span(node, "\"timeout\"")?;
        if span == Span::ZERO {
            let message = "\"timeout\" is 0s: the task could never run".into();
            self.reader.error(Code::OutOfRange, node, message, Some("leave it out for no limit".into()));
        }
        Some(span)
    }

    fn delivery(&mut self, fields: &Fields<'a>) -> Option<Delivery> {
        self.reader.choice(fields.get("delivery")?, "\"delivery\"", DELIVERIES)
    }

    fn retry(&mut self, fields: &Fields<'a>) -> Retry {
        match fields.get("retry") {
            Some(node) => {
                RetryDraft::read(self.reader, node).over(self.defaults.retry).finish(self.reader, node)
            }
            None => self.defaults.retry.filled(),
        }
    }

    fn run_if(&mut self, fields: &Fields<'a>) -> RunIf {
        let Some(node) = fields.get("run_if") else {
            return RunIf::default();
        };
        let run_if = self.reader.choice(node, "\"run_if\"", RUN_IFS).unwrap_or_default();
        if run_if != RunIf::default() && fields.get("needs").is_none() {
            self.reader.no_effect(node, "\"run_if\" has no effect on a task without \"needs\"".into());
        }
        run_if
    }

    fn when(&mut self, fields: &Fields<'a>) -> Option<String> {
        let node = fields.get("when")?;
        let text = self.reader.written(node, "\"when\"")?;
        self.expressions.push((node, Context::Condition(self.index)));
        Some(text.trim().to_owned())
    }

    fn env(&mut self, node: NodeId, context: Context) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let entries = self.reader.entries(node, "\"env\"").unwrap_or_default();
        if entries.len() > ENV_MAX {
            let message = format!("there are {} variables; at most {ENV_MAX} are allowed", entries.len());
            self.reader.error(Code::OutOfRange, node, message, None);
        }
        for Entry { key, key_node, value } in entries {
            if !is_identifier(key) || key.starts_with("HTR_") {
                let why = if is_identifier(key) {
                    "names with HTR_ are Hortator's own"
                } else {
                    "letters, digits and _ are allowed"
                };
                let message =
                    format!("\"{}\" cannot be the name of an environment variable: {why}", shown(key));
                self.reader.error(Code::BadName, key_node, message, None);
            }
            let Some(text) = self.reader.written(value, "an environment variable") else {
                continue;
            };
            self.refuse_nul(value, text, "an environment variable");
            if text.len() > ENV_VALUE_BYTES_MAX {
                let message = format!("the variable \"{}\" is longer than 128 KiB", shown(key));
                self.reader.error(Code::OutOfRange, value, message, Some("put the text into a file".into()));
            }
            if contains_template(text) {
                self.expressions.push((value, context));
            }
            env.insert(key.to_owned(), text.to_owned());
        }
        env
    }

    fn outputs(&mut self, node: NodeId) -> BTreeMap<String, ValueType> {
        let entries = self.reader.entries(node, "\"outputs\"").unwrap_or_default();
        if entries.len() > OUTPUTS_MAX {
            let message = format!("a task has {} outputs; at most {OUTPUTS_MAX} are allowed", entries.len());
            self.reader.error(Code::OutOfRange, node, message, None);
        }
        let mut outputs = BTreeMap::new();
        for Entry { key, key_node, value } in entries {
            if !is_identifier(key) {
                let message = format!("\"{}\" cannot be the name of an output", shown(key));
                self.reader.error(
                    Code::BadName,
                    key_node,
                    message,
                    Some("letters, digits and _ are allowed".into()),
                );
            }
            if let Some(kind) = self.reader.choice(value, "the type of an output", VALUE_TYPES) {
                outputs.insert(key.to_owned(), kind);
            }
        }
        outputs
    }
}

/// `[A-Za-z_][A-Za-z0-9_]*`, at most 63 long.
pub(super) fn is_identifier(text: &str) -> bool {
    let known = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    known && (1..=63).contains(&text.len()) && !text.as_bytes()[0].is_ascii_digit()
}
