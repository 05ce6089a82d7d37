//! The workflows that are measured, as the text a person would write.

use std::fmt::Write as _;

/// How tasks hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All independent.
    Fan,
    /// Each needs the one before.
    Chain,
    /// One, then all but two, then one.
    Diamond,
}

/// What a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Done at once in the agent.
    Noop,
    /// A shell that does nothing.
    Process,
}

/// The script of a process task.
pub(super) const SCRIPT: &str = ":";

/// A workflow of that many tasks.
pub(super) fn definition(shape: Shape, kind: Kind, tasks: u32) -> String {
    let name = format!("bench-{}-{}-{tasks}", word(shape), kind_word(kind));
    let mut text = format!("hortator: v1\nname: {name}\ntasks:\n");
    for task in 0..tasks {
        let _ = writeln!(text, "  - id: t{task}\n    {}", body(kind));
        match shape {
            Shape::Chain if task > 0 => drop(writeln!(text, "    needs: [t{}]", task - 1)),
            Shape::Diamond if task > 0 && task + 1 < tasks => text.push_str("    needs: [t0]\n"),
            Shape::Diamond if task > 1 => {
                let middle: Vec<String> = (1..task).map(|middle| format!("t{middle}")).collect();
                let _ = writeln!(text, "    needs: [{}]", middle.join(", "));
            }
            Shape::Fan | Shape::Chain | Shape::Diamond => {}
        }
    }
    text
}

/// The parent whose finish starts a task's hop, in a chain.
pub(super) fn parent(shape: Shape, task: u32) -> Option<u32> {
    match shape {
        Shape::Chain => task.checked_sub(1),
        Shape::Fan | Shape::Diamond => None,
    }
}

pub(super) fn word(shape: Shape) -> &'static str {
    match shape {
        Shape::Fan => "fan",
        Shape::Chain => "chain",
        Shape::Diamond => "diamond",
    }
}

pub(super) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Noop => "noop",
        Kind::Process => "process",
    }
}

fn body(kind: Kind) -> String {
    match kind {
        Kind::Noop => "noop: {}".into(),
        Kind::Process => format!("shell: {{ script: '{SCRIPT}' }}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_a_workflow() {
        for shape in [Shape::Fan, Shape::Chain, Shape::Diamond] {
            for kind in [Kind::Noop, Kind::Process] {
                for tasks in [1, 2, 3, 50] {
                    let text = definition(shape, kind, tasks);
                    let parsed = hortator_core::definition::parse("bench", text.as_bytes());
                    assert_eq!(parsed.expect(&text).definition.tasks.len(), tasks as usize);
                }
            }
        }
    }
}
