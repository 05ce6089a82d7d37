//! A definition's graph as text: by levels for a terminal, and in the languages of Graphviz and Mermaid.
//! Must not know runs or their states.

use std::fmt::Write as _;

use super::model::Definition;
use crate::id::TaskIndex;

/// Most tasks and edges drawn; beyond it nobody can read a picture, and Mermaid refuses.
const TASKS_DRAWN_MAX: usize = 2000;
const EDGES_DRAWN_MAX: usize = 5000;
/// Most parents that a line of the terminal picture names.
const PARENTS_SHOWN_MAX: usize = 6;

/// One line for each task, by level (a task stands below all it needs), with what it needs:
///
/// ```text
/// level 0   extract [3 items]
/// level 1   ├ check   ← extract
///           └ load    ← extract
/// ```
pub fn ascii(definition: &Definition) -> String {
    let mut text = String::new();
    let (mut drawn, levels) = (0, definition.graph.levels());
    let margin = format!("level {}   ", levels.len().saturating_sub(1)).len();
    for (number, level) in levels.iter().enumerate() {
        let labels: Vec<String> =
            level.iter().take(TASKS_DRAWN_MAX - drawn).map(|task| label(definition, *task)).collect();
        let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        for (place, label) in labels.iter().enumerate() {
            let head = if place == 0 { format!("level {number}") } else { String::new() };
            let branch = match (labels.len(), place + 1) {
                (1, _) => "",
                (count, last) if count == last => "└ ",
                _ => "├ ",
            };
            let needs = needs(definition, level[place]);
            let line = format!("{head:margin$}{branch}{label:width$}{needs}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        drawn += labels.len();
        if drawn == TASKS_DRAWN_MAX && drawn < definition.tasks.len() {
            let _ = writeln!(text, "… {} more tasks", definition.tasks.len() - drawn);
            break;
        }
    }
    text
}

fn label(definition: &Definition, task: TaskIndex) -> String {
    let task = &definition.tasks[task as usize];
    match &task.foreach {
        Some(foreach) => format!("{} [{} items]", task.id, foreach.items.len()),
        None => task.id.to_string(),
    }
}

fn needs(definition: &Definition, task: TaskIndex) -> String {
    let parents = definition.graph.parents(task);
    let names: Vec<&str> = parents
        .iter()
        .take(PARENTS_SHOWN_MAX)
        .map(|parent| definition.tasks[*parent as usize].id.as_str())
        .collect();
    match parents.len() {
        0 => String::new(),
        count if count > PARENTS_SHOWN_MAX => {
            format!("   ← {} and {} more", names.join(", "), count - PARENTS_SHOWN_MAX)
        }
        _ => format!("   ← {}", names.join(", ")),
    }
}

/// For Graphviz: `dot -Tsvg`.
pub fn dot(definition: &Definition) -> String {
    let mut text = format!("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", definition.name);
    for (index, _) in definition.tasks.iter().enumerate().take(TASKS_DRAWN_MAX) {
        let _ = writeln!(text, "  t{index} [label=\"{}\"];", label(definition, index as TaskIndex));
    }
    let left_out = edges(definition, |parent, child| {
        let _ = writeln!(text, "  t{parent} -> t{child};");
    });
    if left_out {
        text.push_str("  more [label=\"… more\", shape=plaintext];\n");
    }
    text.push_str("}\n");
    text
}

/// For Markdown pages that draw Mermaid.
pub fn mermaid(definition: &Definition) -> String {
    let mut text = String::from("flowchart LR\n");
    for (index, _) in definition.tasks.iter().enumerate().take(TASKS_DRAWN_MAX) {
        let _ = writeln!(text, "  t{index}[\"{}\"]", label(definition, index as TaskIndex));
    }
    let left_out = edges(definition, |parent, child| {
        let _ = writeln!(text, "  t{parent} --> t{child}");
    });
    if left_out {
        text.push_str("  more[\"… more\"]\n");
    }
    text
}

/// Calls `draw` with the edges between drawn tasks; whether any task or edge is left out.
fn edges(definition: &Definition, mut draw: impl FnMut(TaskIndex, TaskIndex)) -> bool {
    let count = definition.tasks.len().min(TASKS_DRAWN_MAX) as TaskIndex;
    let mut drawn = 0;
    for child in 0..count {
        for parent in definition.graph.parents(child).iter().filter(|parent| **parent < count) {
            if drawn == EDGES_DRAWN_MAX {
                return true;
            }
            draw(*parent, child);
            drawn += 1;
        }
    }
    definition.tasks.len() > TASKS_DRAWN_MAX
}
