//! Checks every condition and template of a definition: its syntax, and that it uses only what it can see.
//! Must not evaluate anything.

use std::collections::BTreeMap;

use super::Code;
use super::findings::{Findings, Place};
use super::graph::Graph;
use super::reader::{listed, shown};
use super::suggestion::Suggestions;
use super::task_reader::Context;
use super::tree::{NodeId, Shape, Tree};
use super::workflow_reader::Draft;
use crate::expression::{Engine, ExpressionError, Reference, shown_path};
use crate::id::TaskIndex;

pub(super) struct Checker<'c, 'a, 't> {
    pub(super) tree: &'c Tree<'t>,
    pub(super) draft: &'c Draft<'a>,
    pub(super) ids: &'c BTreeMap<&'a str, TaskIndex>,
    pub(super) findings: &'c mut Findings<'t>,
    pub(super) suggestions: &'c mut Suggestions,
}

/// A task that uses another; whether it may is decided for all at once.
struct Use {
    task: TaskIndex,
    other: TaskIndex,
    place: Place,
}

impl Checker<'_, '_, '_> {
    /// `graph` is empty when it has a circle: then nothing is said about who is upstream of whom.
    pub(super) fn check(&mut self, graph: &Graph) {
        let engine = Engine::new();
        let mut uses = Vec::new();
        for (node, context) in &self.draft.expressions {
            let Shape::Scalar(text, _) = self.tree.shape(*node) else {
                continue;
            };
            let result = match context {
                Context::Condition(_) => engine.check(text),
                _ => engine.check_template(text),
            };
            match result {
                Ok(references) => {
                    for reference in references {
                        self.reference(*node, text, *context, &reference, &mut uses);
                    }
                }
                Err(error) => self.unreadable(*node, text, *context, &error),
            }
        }
        if !graph.is_empty() {
            self.refuse_not_upstream(graph, &uses);
        }
    }

    fn unreadable(&mut self, node: NodeId, text: &str, context: Context, error: &ExpressionError) {
        let what = match context {
            Context::Condition(_) => "the condition cannot be read",
            _ => "the template cannot be read",
        };
        let braces = matches!(context, Context::Condition(_)) && text.contains("{{");
        let help = match (braces, error) {
            (true, _) => Some("\"when\" is an expression by itself: leave out {{ and }}".into()),
            (_, ExpressionError::UnknownFilter(name)) => {
                let meant = self.suggestions.nearest(name, crate::expression::filter_names());
                Some(match meant {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!(
                        "there are {}",
                        crate::expression::filter_names().collect::<Vec<_>>().join(", ")
                    ),
                })
            }
            _ => None,
        };
        let place = self.tree.place(node);
        self.findings.error(Code::BadExpression, place, format!("{what}: {error}"), String::new(), help);
    }

    fn reference(
        &mut self,
        node: NodeId,
        text: &str,
        context: Context,
        reference: &Reference,
        uses: &mut Vec<Use>,
    ) {
        let place = self.place_inside(node, text, reference);
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["inputs"] => {}
            ["inputs", name, ..] => self.input(context, name, place, text, reference),
            ["tasks", ..] if self.task_of(context).is_none() => {
                let message = format!("\"{}\" cannot be used here", shown_path(reference));
                let help = match context {
                    Context::DefaultEnv => {
                        "defaults are for all tasks; put the variable into the task's own \"env\""
                    }
                    _ => "it is filled in before any task has run",
                };
                self.unknown(place, message, Some(help.into()));
            }
            ["tasks"] => {
                let message = "\"tasks\" needs the id of a task".into();
                self.unknown(
                    place,
                    message,
                    Some("for example tasks.check.outputs.rows or tasks[\"load-eu\"].state".into()),
                );
            }
            ["tasks", id, rest @ ..] => self.task(context, (id, rest), (place, text, reference), uses),
            ["run", "id" | "workflow" | "namespace"] if !matches!(context, Context::InputDefault(_)) => {}
            ["attempt"] if matches!(context, Context::Env(_) | Context::DefaultEnv) => {}
            [name, ..] if Some(*name) == self.item_name(context) => {}
            _ => self.unknown_root(context, (place, text, reference)),
        }
    }

    fn input(&mut self, context: Context, name: &str, place: Place, text: &str, reference: &Reference) {
        let inputs = &self.draft.inputs;
        let found = inputs.iter().position(|input| input.name.as_str() == name);
        match (found, context) {
            (Some(found), Context::InputDefault(index)) if found >= index => {
                let message = format!("a default can only use inputs before it, and \"{name}\" is not");
                self.unknown(place, message, Some("change the order of the inputs".into()));
            }
            (Some(_), _) => {}
            (None, _) => {
                let names = inputs.iter().map(|input| input.name.as_str());
                let meant = self.suggestions.nearest(name, names.clone());
                let help = dashed("inputs", names.clone(), text, reference)
                    .or_else(|| meant.map(|meant| format!("did you mean \"{meant}\"?")))
                    .or_else(|| Some(format!("there are {}", listed(names))).filter(|_| !inputs.is_empty()));
                self.unknown(place, format!("there is no input \"{}\"", shown(name)), help);
            }
        }
    }

    fn task(
        &mut self,
        context: Context,
        (id, rest): (&str, &[&str]),
        (place, text, reference): (Place, &str, &Reference),
        uses: &mut Vec<Use>,
    ) {
        let Some(index) = self.ids.get(id).copied() else {
            let names = self.ids.keys().copied();
            let meant =
                if self.findings.is_full() { None } else { self.suggestions.nearest(id, names.clone()) };
            let help = dashed("tasks", names, text, reference)
                .or_else(|| meant.map(|meant| format!("did you mean \"{meant}\"?")));
            return self.unknown(place, format!("there is no task \"{}\"", shown(id)), help);
        };
        if let Some(task) = self.task_of(context) {
            uses.push(Use { task: task as TaskIndex, other: index, place });
        }
        let Some(task) = &self.draft.tasks[index as usize].task else {
            return;
        };
        match rest {
            ["state"] => {}
            ["outputs", ..] if task.foreach.is_some() => {
                let message = format!("outputs of \"{id}\" cannot be used, since it has \"foreach\"");
                let help = Some("this is not yet supported; use its state".into());
                self.findings.error(Code::NotYetSupported, place, message, String::new(), help);
            }
            ["outputs"] => {}
            ["outputs", output, ..] if task.outputs.contains_key(*output) => {}
            ["outputs", output, ..] => {
                let declared = task.outputs.keys().map(String::as_str);
                let help = match (task.outputs.is_empty(), self.suggestions.nearest(output, declared.clone()))
                {
                    (true, _) => format!("declare it in that task: outputs: {{ {output}: string }}"),
                    (false, Some(meant)) => format!("did you mean \"{meant}\"?"),
                    (false, None) => format!("it has {}", listed(declared)),
                };
                self.unknown(
                    place,
                    format!("task \"{id}\" declares no output \"{}\"", shown(output)),
                    Some(help),
                );
            }
            _ => {
                let message = format!("\"{}\" is nothing a task has", shown_path(reference));
                self.unknown(place, message, Some("a task has .state and .outputs.NAME".into()));
            }
        }
    }

    fn unknown_root(&mut self, context: Context, (place, text, reference): (Place, &str, &Reference)) {
        let message = format!("there is nothing called \"{}\" here", shown(&shown_path(reference)));
        let mut roots = vec!["inputs.NAME"];
        if self.task_of(context).is_some() {
            roots.push("tasks.ID.outputs.NAME, tasks.ID.state");
        }
        if !matches!(context, Context::InputDefault(_)) {
            roots.push("run.id, run.workflow, run.namespace");
        }
        if matches!(context, Context::Env(_) | Context::DefaultEnv) {
            roots.push("attempt");
        }
        roots.extend(self.item_name(context));
        let help = match reference.path[0].as_str() {
            "interval" | "fire_time" => "the times of a schedule cannot be used in templates yet".into(),
            _ if text[..reference.start].ends_with('-') => {
                "a name with \"-\" is written in brackets, for example tasks[\"load-eu\"]".into()
            }
            _ => format!("there are {}", roots.join(", ")),
        };
        self.unknown(place, message, Some(help));
    }

    /// The task whose upstream tasks may be used.
    fn task_of(&self, context: Context) -> Option<usize> {
        match context {
            Context::Condition(task) | Context::Env(task) => Some(task),
            _ => None,
        }
    }

    fn item_name(&self, context: Context) -> Option<&str> {
        let Context::Env(task) = context else { return None };
        let task = self.draft.tasks.get(task)?.task.as_ref()?;
        task.foreach.as_ref().map(|foreach| foreach.r#as.as_str())
    }

    fn refuse_not_upstream(&mut self, graph: &Graph, uses: &[Use]) {
        let pairs: Vec<(TaskIndex, TaskIndex)> = uses.iter().map(|one| (one.task, one.other)).collect();
        for (one, allowed) in uses.iter().zip(graph.upstream(&pairs)) {
            if !allowed {
                let id = |task: TaskIndex| shown(self.draft.tasks[task as usize].id);
                let (task, other) = (id(one.task), id(one.other));
                let message = format!("task \"{task}\" uses \"{other}\", which may not have ended by then");
                let help = match task == other {
                    true => "a task cannot use its own results".into(),
                    false => format!("add \"{other}\" to the needs of \"{task}\""),
                };
                self.findings.error(Code::NotUpstream, one.place, message, String::new(), Some(help));
            }
        }
    }

    fn unknown(&mut self, place: Place, message: String, help: Option<String>) {
        self.findings.error(Code::UnknownReference, place, message, String::new(), help);
    }

    /// Where in the file the reference is; the whole text when it is not written as it reads.
    fn place_inside(&self, node: NodeId, text: &str, reference: &Reference) -> Place {
        let place = self.tree.place(node);
        let raw = self.findings.text().get(place.start as usize..place.end as usize).unwrap_or("");
        let skip = match raw.find(text) {
            Some(skip @ 0..=1) => skip,
            _ => return place,
        };
        let start = place.start as usize + skip;
        Place::new(start + reference.start, start + reference.end)
    }
}

/// Advice for `inputs.day-part`, which reads as a subtraction.
fn dashed<'a>(
    root: &str,
    mut names: impl Iterator<Item = &'a str>,
    text: &str,
    reference: &Reference,
) -> Option<String> {
    let rest = text.get(reference.end..)?;
    let tail = rest.find(|c: char| c != '-' && !c.is_ascii_alphanumeric()).map_or(rest, |end| &rest[..end]);
    let whole = format!("{}{tail}", reference.path.last()?);
    let found = tail.starts_with('-') && names.any(|name| name == whole);
    found.then(|| format!("a name with \"-\" is written in brackets: {root}[\"{whole}\"]"))
}
