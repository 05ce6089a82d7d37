//! From what a start gives to the inputs of a run: types, defaults, and everything that is wrong at once.
//! Must not know who starts runs; commands give text, the API gives values, and both mean the same.

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::{Definition, INPUTS_BYTES_MAX, InputType};
use super::suggestion::Suggestions;
use crate::expression::{Engine, ExpressionError, NoTasks, Scope, contains_template};

/// What is wrong with one given or missing input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    #[error("there is no input \"{name}\"{}", did_you_mean(meant))]
    Unknown { name: String, meant: Option<String> },
    #[error("input \"{name}\" is needed ({expected})")]
    Missing { name: String, expected: String },
    #[error("input \"{name}\" does not fit: {why}")]
    Unfit { name: String, why: String },
    #[error("the default of input \"{name}\" cannot be filled in")]
    Default {
        name: String,
        #[source]
        source: ExpressionError,
    },
    #[error("the inputs are {bytes} bytes as JSON; at most {INPUTS_BYTES_MAX} are allowed")]
    TooLarge { bytes: usize },
}

fn did_you_mean(meant: &Option<String>) -> String {
    meant.as_ref().map_or(String::new(), |meant| format!("; did you mean \"{meant}\"?"))
}

/// The inputs of a run. Text that is given for a number, true/false, or a date is read as such.
///
/// Errors: every input that is unknown, missing, or does not fit; or all together being too large.
pub fn resolve(
    definition: &Definition,
    given: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, Vec<InputError>> {
    let mut errors = unknown(definition, given);
    let mut resolved = BTreeMap::new();
    let engine = Engine::new();
    for input in &definition.inputs {
        let name = input.name.to_string();
        let value = match (given.get(&name), &input.default) {
            (Some(value), _) => {
                coerce(&input.r#type, value).map_err(|why| InputError::Unfit { name: name.clone(), why })
            }
            (None, Some(default)) => fill_in(&engine, default, &resolved)
                .map_err(|source| InputError::Default { name: name.clone(), source })
                .and_then(|value| {
                    coerce(&input.r#type, &value).map_err(|why| InputError::Unfit { name: name.clone(), why })
                }),
            (None, None) => {
                Err(InputError::Missing { name: name.clone(), expected: described(&input.r#type) })
            }
        };
        match value {
            Ok(value) => drop(resolved.insert(name, value)),
            // A default that rests on an input already refused is no fault of its own.
            Err(InputError::Default { source: ExpressionError::Undefined(_), .. }) if !errors.is_empty() => {}
            Err(error) => errors.push(error),
        }
    }
    let bytes = serde_json::to_vec(&resolved).map_or(0, |json| json.len());
    if bytes > INPUTS_BYTES_MAX {
        errors.push(InputError::TooLarge { bytes });
    }
    if errors.is_empty() { Ok(resolved) } else { Err(errors) }
}

fn unknown(definition: &Definition, given: &BTreeMap<String, Value>) -> Vec<InputError> {
    let mut suggestions = Suggestions::new();
    let known = |name: &str| definition.inputs.iter().any(|input| input.name.as_str() == name);
    let mut error = |name: &String| {
        let names = definition.inputs.iter().map(|input| input.name.as_str());
        let meant = suggestions.nearest(name, names).map(str::to_owned);
        InputError::Unknown { name: name.clone(), meant }
    };
    given.keys().filter(|name| !known(name)).map(&mut error).collect()
}

fn fill_in(
    engine: &Engine,
    default: &Value,
    inputs: &BTreeMap<String, Value>,
) -> Result<Value, ExpressionError> {
    match default.as_str().filter(|text| contains_template(text)) {
        None => Ok(default.clone()),
        Some(text) => {
            let scope = Scope { inputs, tasks: &NoTasks, item: None, run: None, attempt: None };
            engine.render(text, &scope).map(Value::String)
        }
    }
}

/// The value in the input's type, or why it is not of it.
pub(super) fn coerce(kind: &InputType, value: &Value) -> Result<Value, String> {
    let fits = match (kind, value) {
        (InputType::String, Value::String(_)) => Some(value.clone()),
        (InputType::Int, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        (InputType::Int, Value::Number(number)) if number.is_i64() => Some(value.clone()),
        (InputType::Float, Value::String(text)) => text.trim().parse::<f64>().ok().and_then(finite),
        (InputType::Float, Value::Number(number)) => number.as_f64().and_then(finite),
        (InputType::Bool, Value::Bool(_)) => Some(value.clone()),
        (InputType::Bool, Value::String(text)) => text.trim().parse::<bool>().ok().map(Value::Bool),
        (InputType::Date, Value::String(text)) if is_date(text) => Some(value.clone()),
        (InputType::Enum(values), Value::String(text)) if values.contains(text) => Some(value.clone()),
        _ => None,
    };
    fits.ok_or_else(|| {
        let shown: String = value.to_string().chars().take(80).collect();
        format!("it takes {}, not {shown}", described(kind))
    })
}

fn finite(number: f64) -> Option<Value> {
    serde_json::Number::from_f64(number).map(Value::Number)
}

/// `2026-11-20` and nothing more, and a day that exists.
fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == text)
}

/// The type in words.
pub(super) fn described(kind: &InputType) -> String {
    match kind {
        InputType::String => "text".into(),
        InputType::Int => "a whole number".into(),
        InputType::Float => "a number".into(),
        InputType::Bool => "true or false".into(),
        InputType::Date => "a date such as 2026-11-20".into(),
        InputType::Enum(values) => {
            format!("one of: {}", super::reader::listed(values.iter().map(String::as_str)))
        }
    }
}
