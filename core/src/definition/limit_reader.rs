//! Reads which limits a task must hold while it runs.
//! Must not know whether anybody has set them.

use super::Code;
use super::reader::Fields;
use super::task_reader::TaskReader;
use super::tree::{NodeId, Shape};
use super::vocabulary::LIMIT;
use crate::limit::{LIMITS_MAX, MAX_MOST, Want};

impl<'a> TaskReader<'_, 'a, '_> {
    /// A list of names, or of names with weights. In the order of the file.
    pub(super) fn limits(&mut self, fields: &Fields<'a>) -> Option<Vec<Want>> {
        let node = fields.get("limits")?;
        let list = self.reader.list(node, "\"limits\"")?;
        if list.len() > LIMITS_MAX {
            let message = format!("there are {} limits; at most {LIMITS_MAX} are allowed", list.len());
            self.reader.error(Code::OutOfRange, node, message, None);
        }
        let mut wants: Vec<Want> = Vec::new();
        for entry in list.iter().take(LIMITS_MAX) {
            let Some(want) = self.want(*entry) else { continue };
            if wants.iter().any(|known| known.key == want.key) {
                let message = format!("limit \"{}\" is wanted twice", want.key);
                let help = Some(format!("say how much: {{key: {}, weight: 2}}", want.key));
                self.reader.error(Code::DuplicateValue, *entry, message, help);
                continue;
            }
            wants.push(want);
        }
        Some(wants)
    }

    fn want(&mut self, node: NodeId) -> Option<Want> {
        if !matches!(self.reader.tree.shape(node), Shape::Map(_)) {
            let key = self.reader.name(node, "an entry of \"limits\"")?;
            return Some(Want { key, weight: 1 });
        }
        let fields = self.reader.record(node, &LIMIT)?;
        let weight = match fields.get("weight") {
            Some(weight) => self.reader.number(weight, "\"weight\"", 1, MAX_MOST)?,
            None => 1,
        };
        let Some(key) = fields.get("key") else {
            self.reader.missing(&fields, "key", "a limit");
            return None;
        };
        Some(Want { key: self.reader.name(key, "\"key\"")?, weight })
    }
}
