//! Workflow definitions, version 1: the model, its text form, and the checks between them.
//! Must not know files, clusters or who asks.
//!
//! text ─tree─▶ located tree ─readers─▶ draft ─links, expressions─▶ `Definition` ─canonical─▶ JSON

pub mod canonical;
pub mod code;
pub mod diagnostic;
pub mod draw;
mod expressions;
mod findings;
mod foreach_reader;
pub mod graph;
mod input_reader;
pub mod inputs;
mod kind_reader;
mod limit_reader;
mod links;
pub mod model;
mod reader;
mod resource_reader;
mod retry_reader;
mod scalar;
mod schedule_reader;
mod schema;
mod suggestion;
mod task_reader;
mod tree;
mod vocabulary;
mod workflow_reader;

pub use code::Code;
pub use diagnostic::{Diagnostic, Severity, render_all};
pub use graph::Graph;
pub use model::*;
pub use schema::schema;

use expressions::Checker;
use findings::{Findings, Place};
use reader::Reader;
pub use suggestion::Suggestions;
use tree::Tree;
use workflow_reader::{Draft, read_workflow};

/// A definition, and what is odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub definition: Definition,
    pub warnings: Vec<Diagnostic>,
}

/// The text is no definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the definition has {} faults", diagnostics.len())]
pub struct Invalid {
    /// At least one error, and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a definition from YAML 1.2 (so JSON as well) and checks all of it. Linear in the text but for `upstream`.
///
/// `file_name` only appears in diagnostics. Errors: all faults there are, up to 200; after one of YAML's syntax no
/// further ones are known.
pub fn parse(file_name: &str, text: &[u8]) -> Result<Parsed, Invalid> {
    let (text, fault) = as_text(text);
    let mut findings = Findings::new(file_name, text);
    let definition = match fault {
        Some((code, at, message)) => {
            findings.error(code, Place::new(at, at + 1), message, String::new(), None);
            None
        }
        None => read(&mut findings),
    };
    let refused = findings.has_errors();
    let diagnostics = findings.into_diagnostics();
    match definition {
        Some(definition) if !refused => Ok(Parsed { definition, warnings: diagnostics }),
        _ => Err(Invalid { diagnostics }),
    }
}

/// The text without a byte order mark; or as much of it as a message needs, and why it cannot be read.
fn as_text(bytes: &[u8]) -> (&str, Option<(Code, usize, String)>) {
    if bytes.len() > DEFINITION_BYTES_MAX {
        let message = format!("the file is {} bytes long; at most 16 MiB are allowed", bytes.len());
        return ("", Some((Code::TooLarge, 0, message)));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let at = error.valid_up_to();
            let text = std::str::from_utf8(&bytes[..at]).unwrap_or("");
            let message = format!("the file is not UTF-8 text: byte {at} is 0x{:02x}", bytes[at]);
            (text, Some((Code::NotText, at, message)))
        }
    }
}

fn read(findings: &mut Findings<'_>) -> Option<Definition> {
    let tree = Tree::parse(findings)?;
    let mut reader = Reader { tree: &tree, findings, suggestions: Suggestions::new() };
    let draft = read_workflow(&mut reader)?;
    let Reader { findings, mut suggestions, .. } = reader;
    let before = findings.error_count();
    let (graph, ids) = links::link(&draft.tasks, findings, &mut suggestions);
    let unlinked = Graph::default();
    // With needs missing from the graph, tasks would seem not to be upstream that are.
    let known_graph = if findings.error_count() == before { &graph } else { &unlinked };
    let (tree, draft_ref) = (&tree, &draft);
    Checker { tree, draft: draft_ref, ids: &ids, findings, suggestions: &mut suggestions }.check(known_graph);
    drop(ids);
    finish(draft, graph)
}

/// None when a part is missing, which then was found as a fault.
fn finish(draft: Draft<'_>, graph: Graph) -> Option<Definition> {
    let Draft {
        name,
        title,
        description,
        labels,
        inputs,
        priority,
        on_failure,
        concurrency,
        schedules,
        tasks,
        ..
    } = draft;
    let tasks: Vec<Task> = tasks.into_iter().map(|draft| draft.task).collect::<Option<_>>()?;
    Some(Definition {
        name: name?,
        title,
        description,
        labels,
        inputs,
        priority,
        on_failure,
        concurrency,
        schedules,
        tasks,
        graph,
    })
}
