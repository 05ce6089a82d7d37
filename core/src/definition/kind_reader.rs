//! Reads what a task does: exactly one kind, and for `shell` where the script comes from.
//! Must not know the rest of a task.

use super::Code;
use super::findings::Place;
use super::model::{Shell, ShellSource, TaskKind, default_interpreter};
use super::reader::{Entry, Fields, listed, shown};
use super::task_reader::TaskReader;
use super::tree::{NodeId, Shape};
use super::vocabulary::{KINDS, NOOP, SHELL};

/// Longest script; it travels in a frame of at most 16 MiB with everything else.
const SCRIPT_BYTES_MAX: usize = 1 << 20;
/// Longest path or program name, as Linux has it.
const PATH_BYTES_MAX: usize = 4096;

impl<'a> TaskReader<'_, 'a, '_> {
    pub(super) fn kind(&mut self, fields: &Fields<'a>, id: &str) -> Option<TaskKind> {
        let present: Vec<Entry<'_>> = KINDS.iter().filter_map(|kind| fields.entry(kind)).collect();
        match present.as_slice() {
            [] => {
                if fields.complete {
                    let place = Place { start: fields.place.start, end: fields.place.start + 1 };
                    let message = format!("task \"{}\" does not say what it does", shown(id));
                    let help = format!("add one of: {}", listed(KINDS.into_iter()));
                    self.reader.findings.error(Code::TaskKind, place, message, String::new(), Some(help));
                }
                None
            }
            [one] if one.key == "shell" => {
                let node = one.value;
                self.shell(node).map(TaskKind::Shell)
            }
            [noop] => {
                let node = noop.value;
                self.noop(node, fields);
                Some(TaskKind::Noop)
            }
            [_, second, ..] => {
                let kinds = listed(present.iter().map(|entry| entry.key));
                let message = format!("task \"{}\" has two kinds: {kinds}", shown(id));
                let node = second.key_node;
                self.reader.error(
                    Code::TaskKind,
                    node,
                    message,
                    Some("keep one, or make it two tasks".into()),
                );
                None
            }
        }
    }

    fn noop(&mut self, node: NodeId, fields: &Fields<'a>) {
        if !matches!(self.reader.tree.shape(node), Shape::Scalar("" | "~" | "null", true)) {
            self.reader.record(node, &NOOP);
        }
        if let Some(outputs) = fields.get("outputs") {
            self.reader.no_effect(outputs, "\"outputs\" has no effect on a task that does nothing".into());
        }
    }

    fn shell(&mut self, node: NodeId) -> Option<Shell> {
        if let Shape::Scalar(text, _) = self.reader.tree.shape(node) {
            let message = "\"shell\" takes a map with \"script\" or \"file\"".into();
            self.reader.error(
                Code::WrongType,
                node,
                message,
                Some(format!("write {{ script: '{}' }}", shown(text))),
            );
            return None;
        }
        let fields = self.reader.record(node, &SHELL)?;
        let interpreter = match fields.get("shell") {
            Some(shell) => self.path(shell, "the interpreter")?,
            None => default_interpreter(),
        };
        let source = match (fields.get("script"), fields.get("file")) {
            (Some(script), None) => ShellSource::Script(self.script(script)?),
            (None, Some(file)) => ShellSource::File(self.path(file, "\"file\"")?),
            (Some(_), Some(file)) => {
                let message = "\"shell\" has both \"script\" and \"file\"".into();
                self.reader.error(Code::TaskKind, file, message, Some("keep one of the two".into()));
                return None;
            }
            (None, None) => {
                self.reader.missing(&fields, "script", "\"shell\"");
                return None;
            }
        };
        Some(Shell { source, interpreter })
    }

    fn script(&mut self, node: NodeId) -> Option<String> {
        let text = self.reader.text_of(node, "\"script\"", SCRIPT_BYTES_MAX)?;
        self.refuse_nul(node, text, "a script");
        if text.trim().is_empty() {
            let message = "\"script\" is empty".into();
            self.reader.error(
                Code::OutOfRange,
                node,
                message,
                Some("for a task that does nothing write noop: {}".into()),
            );
        }
        let ours = |inside: &str| {
            let name = inside.trim_start();
            ["inputs.", "tasks.", "run.", "item"].iter().any(|root| name.starts_with(root))
        };
        if text.split("{{").skip(1).any(ours) {
            let place = self.reader.tree.place(node);
            let message = "a script is not a template: {{ }} reaches the interpreter as it is".into();
            let help = "use $HTR_INPUT_NAME or $HTR_ITEM, or put the template into \"env\"".into();
            self.reader.findings.warning(Code::ScriptTemplate, place, message, String::new(), Some(help));
        }
        Some(text.to_owned())
    }

    fn path(&mut self, node: NodeId, what: &str) -> Option<String> {
        let text = self.reader.text_of(node, what, PATH_BYTES_MAX)?;
        self.refuse_nul(node, text, what);
        if text.is_empty() {
            self.reader.error(Code::OutOfRange, node, format!("{what} is empty"), None);
        }
        Some(text.to_owned())
    }

    pub(super) fn refuse_nul(&mut self, node: NodeId, text: &str, what: &str) {
        if text.contains('\0') {
            let message = format!("{what} holds a NUL character, which no process can be given");
            self.reader.error(Code::BadText, node, message, None);
        }
    }
}
