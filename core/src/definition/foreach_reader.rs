//! Reads the `foreach` of a task: its items and what they are called.
//! Must not know the rest of a task.

use super::Code;
use super::TASKS_MAX;
use super::model::Foreach;
use super::reader::{listed, shown};
use super::task_reader::{Context, TaskReader, is_identifier};
use super::tree::{NodeId, Shape};
use super::vocabulary::FOREACH;
use crate::expression::contains_template;

/// Largest item, as written; the leader evaluates expressions with it.
const ITEM_BYTES_MAX: u32 = 64 << 10;
/// Words that items cannot be called, since expressions give them another meaning.
const RESERVED: [&str; 13] =
    ["inputs", "tasks", "run", "attempt", "interval", "and", "or", "not", "in", "is", "if", "else", "none"];

impl TaskReader<'_, '_, '_> {
    pub(super) fn foreach(&mut self, node: NodeId) -> Option<Foreach> {
        let fields = self.reader.record(node, &FOREACH)?;
        let r#as = match fields.get("as") {
            Some(name) => self.item_name(name),
            None => "item".into(),
        };
        let parallel = fields.get("parallel");
        let parallel =
            parallel.and_then(|node| self.reader.number(node, "\"parallel\"", 1, TASKS_MAX as u32));
        let Some(items) = fields.get("items") else {
            self.reader.missing(&fields, "items", "\"foreach\"");
            return None;
        };
        let list = self.reader.list(items, "\"items\"")?;
        if list.is_empty() {
            self.reader.error(
                Code::OutOfRange,
                items,
                "\"items\" is empty; at least one is needed".into(),
                None,
            );
        }
        if list.len() > TASKS_MAX {
            let message = format!("\"items\" has {} entries; at most {} are allowed", list.len(), TASKS_MAX);
            self.reader.error(Code::TooManyTasks, items, message, None);
            return None;
        }
        let items = list.iter().filter_map(|item| self.item(*item)).collect();
        Some(Foreach { items, r#as, parallel })
    }

    fn item_name(&mut self, node: NodeId) -> String {
        let name = self.reader.text(node, "\"as\"").unwrap_or("item");
        if !is_identifier(name) || RESERVED.contains(&name) {
            let message = format!("an item cannot be called \"{}\"", shown(name));
            let help = format!(
                "letters, digits and _ are allowed, but not the words {}",
                listed(RESERVED.into_iter())
            );
            self.reader.error(Code::BadName, node, message, Some(help));
        }
        name.to_owned()
    }

    fn item(&mut self, node: NodeId) -> Option<serde_json::Value> {
        let place = self.reader.tree.place(node);
        if place.end - place.start > ITEM_BYTES_MAX {
            self.reader.error(Code::OutOfRange, node, "an item is longer than 64 KiB".into(), None);
            return None;
        }
        if let Shape::Scalar(text, _) = self.reader.tree.shape(node)
            && contains_template(text)
        {
            self.expressions.push((node, Context::Item(self.index)));
        }
        self.reader.value(node, "an item")
    }
}
