//! Reads the inputs that a definition declares.
//! Must not know what runs are given: that is `inputs`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Code;
use super::inputs::coerce;
use super::model::{Input, InputType};
use super::reader::{Fields, Reader, shown};
use super::task_reader::Context;
use super::tree::{NodeId, Shape};
use super::vocabulary::{INPUT, INPUT_TYPES};
use crate::expression::contains_template;

/// Most inputs; a form that people fill in.
const INPUTS_MAX: usize = 200;
/// Most values of an enum.
const VALUES_MAX: usize = 1000;
/// Longest help text and longest value of an enum.
const HELP_BYTES_MAX: usize = 1024;

pub(super) fn read_inputs(
    reader: &mut Reader<'_, '_>,
    node: NodeId,
    expressions: &mut Vec<(NodeId, Context)>,
) -> Vec<Input> {
    let list = reader.list(node, "\"inputs\"").unwrap_or_default();
    if list.len() > INPUTS_MAX {
        let message = format!("there are {} inputs; at most {INPUTS_MAX} are allowed", list.len());
        reader.error(Code::OutOfRange, node, message, None);
        return Vec::new();
    }
    let mut names = BTreeSet::new();
    let mut inputs = Vec::new();
    for node in list {
        let Some(fields) = reader.record(*node, &INPUT) else {
            continue;
        };
        let Some(input) = input(reader, &fields, inputs.len(), expressions) else {
            continue;
        };
        if !names.insert(input.name.clone()) {
            let message = format!("there are two inputs \"{}\"", input.name);
            reader.error(Code::DuplicateValue, fields.get("name").unwrap_or(*node), message, None);
        }
        inputs.push(input);
    }
    inputs
}

fn input(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    index: usize,
    expressions: &mut Vec<(NodeId, Context)>,
) -> Option<Input> {
    for key in ["name", "type"] {
        if fields.get(key).is_none() {
            reader.missing(fields, key, "an input");
        }
    }
    let name = fields.get("name").and_then(|node| reader.name(node, "input name"));
    let kind = fields.get("type").and_then(|node| reader.choice(node, "\"type\"", INPUT_TYPES));
    let values = fields.get("values").map(|node| (node, values(reader, node)));
    let help = fields.get("help").and_then(|node| reader.text_of(node, "\"help\"", HELP_BYTES_MAX));
    let name = name?;
    let refused = |name, help: Option<&str>| {
        // Kept, so that its uses are not reported as well.
        Some(Input { name, r#type: InputType::String, default: None, help: help.map(str::to_owned) })
    };
    let kind = match (kind, values) {
        (None, _) => return refused(name, help),
        (Some(InputType::Enum(_)), Some((_, values))) => InputType::Enum(values),
        (Some(InputType::Enum(_)), None) => {
            reader.missing(fields, "values", "an input of type enum");
            return refused(name, help);
        }
        (Some(kind), Some((node, _))) => {
            reader.no_effect(node, "\"values\" has no effect without \"type: enum\"".into());
            kind
        }
        (Some(kind), None) => kind,
    };
    let default = match fields.get("default") {
        Some(node) => default(reader, node, name.as_str(), &kind, (index, expressions)),
        None => None,
    };
    Some(Input { name, r#type: kind, default, help: help.map(str::to_owned) })
}

fn values(reader: &mut Reader<'_, '_>, node: NodeId) -> Vec<String> {
    let list = reader.list(node, "\"values\"").unwrap_or_default();
    if list.is_empty() || list.len() > VALUES_MAX {
        let message = format!("there are {} values; from 1 to {VALUES_MAX} are allowed", list.len());
        reader.error(Code::OutOfRange, node, message, None);
        return Vec::new();
    }
    let mut values: Vec<String> = Vec::with_capacity(list.len());
    let mut known = BTreeSet::new();
    for node in list {
        let Some(text) = reader.text_of(*node, "a value of an enum", HELP_BYTES_MAX) else {
            continue;
        };
        if !known.insert(text) {
            reader.error(
                Code::DuplicateValue,
                *node,
                format!("the value \"{}\" is listed twice", shown(text)),
                None,
            );
        }
        values.push(text.to_owned());
    }
    values
}

fn default(
    reader: &mut Reader<'_, '_>,
    node: NodeId,
    name: &str,
    kind: &InputType,
    (index, expressions): (usize, &mut Vec<(NodeId, Context)>),
) -> Option<Value> {
    let value = reader.value(node, "a default")?;
    if value.as_str().is_some_and(contains_template) {
        expressions.push((node, Context::InputDefault(index)));
        return Some(value);
    }
    // Text is coerced only where a person types it into a command; a file says what it means.
    let quoted_other =
        value.is_string() && matches!(kind, InputType::Int | InputType::Float | InputType::Bool);
    let fault = match coerce(kind, &value) {
        Ok(value) if !quoted_other => return Some(value),
        Ok(_) => format!("it takes {}, not text", super::inputs::described(kind)),
        Err(why) => why,
    };
    let quoted = matches!(reader.tree.shape(node), Shape::Scalar(_, false));
    let help = (quoted_other && quoted).then(|| "leave the quotes out".into());
    reader.error(
        Code::BadDefault,
        node,
        format!("the default of input \"{name}\" does not fit: {fault}"),
        help,
    );
    None
}
