//! Conditions and templates: minijinja's expressions with strict names, fuel, and filters that stay small.
//! Must not know definitions or runs: the caller brings a `Scope`, and results are logged, so nothing is replayed.

mod filters;
mod scan;
mod scope;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use minijinja::value::{Value as Dynamic, ValueKind};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

pub use filters::TEXT_BYTES_MAX;
use filters::{BoundedText, FILTERS, TESTS};
use scan::Piece;
pub use scan::{
    EXPRESSION_BYTES_MAX, EXPRESSIONS_MAX, REFERENCES_MAX, Reference, contains_template, references,
    template_references,
};
pub use scope::{NoTasks, RunScope, Scope, TaskScope, Tasks};

/// Instructions one expression may take; ordinary ones take tens, and there are no loops.
const FUEL: u64 = 10_000;
/// Nesting inside minijinja's evaluator, far below what a 2 MiB stack carries.
const RECURSION_MAX: usize = 64;
/// Longest value shown among those that decided a condition, and longest list of them.
const SHOWN_VALUE_CHARS_MAX: usize = 80;
const SHOWN_CHARS_MAX: usize = 500;

/// Why an expression or a template has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("the expression is longer than {} KiB", EXPRESSION_BYTES_MAX >> 10)]
    TooLong,
    #[error("the expression uses more than {REFERENCES_MAX} names")]
    TooManyReferences,
    #[error("the template holds more than {EXPRESSIONS_MAX} expressions")]
    TooManyExpressions,
    #[error("{0}")]
    Syntax(String),
    #[error("there is no filter \"{0}\"")]
    UnknownFilter(String),
    #[error("there is no test \"{0}\"")]
    UnknownTest(String),
    #[error("{0} has no value")]
    Undefined(String),
    #[error("the expression takes too long")]
    OutOfFuel,
    #[error("the condition is {0}, but true or false is needed")]
    NotABool(String),
    #[error("the result is larger than {} KiB", TEXT_BYTES_MAX >> 10)]
    TooLarge,
    #[error("{0}")]
    Evaluation(String),
}

/// A condition's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    pub value: bool,
    /// The values that decided it, for people: `inputs.region = "eu", tasks.check.outputs.ok = true`.
    pub used: String,
}

/// Compiles and evaluates. Cheap to make (a few microseconds); owners keep one.
#[derive(Debug)]
pub struct Engine {
    environment: Environment<'static>,
}

impl Default for Engine {
    fn default() -> Engine {
        Engine::new()
    }
}

impl Engine {
    pub fn new() -> Engine {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_MAX);
        filters::add_to(&mut environment);
        Engine { environment }
    }

    /// Checks an expression without values and returns the variables it uses.
    ///
    /// Errors: bounds, syntax, filters and tests that do not exist.
    pub fn check(&self, expression: &str) -> Result<Vec<Reference>, ExpressionError> {
        let names = scan::names(expression)?;
        if let Some(name) = names.filters.iter().find(|name| !FILTERS.contains(name)) {
            return Err(ExpressionError::UnknownFilter((*name).into()));
        }
        if let Some(name) = names.tests.iter().find(|name| !TESTS.contains(name)) {
            return Err(ExpressionError::UnknownTest((*name).into()));
        }
        self.environment.compile_expression(expression).map_err(|error| explain(&error, expression, &[]))?;
        Ok(names.references)
    }

    /// Checks every expression of a template and returns the variables it uses; positions count in the template.
    pub fn check_template(&self, template: &str) -> Result<Vec<Reference>, ExpressionError> {
        for piece in scan::pieces(template)? {
            if let Piece::Expression(expression, _) = piece {
                self.check(expression)?;
            }
        }
        template_references(template)
    }

    /// Evaluates a condition, which must come out as true or false.
    pub fn evaluate_condition(
        &self,
        expression: &str,
        scope: &Scope<'_>,
    ) -> Result<Evaluated, ExpressionError> {
        let (value, references) = self.evaluate(expression, scope)?;
        if value.kind() != ValueKind::Bool {
            return Err(ExpressionError::NotABool(shorten(&value.to_string(), SHOWN_VALUE_CHARS_MAX)));
        }
        Ok(Evaluated { value: value.is_true(), used: used(&references, scope) })
    }

    /// Fills in a template. Texts appear as they are, everything else as JSON.
    pub fn render(&self, template: &str, scope: &Scope<'_>) -> Result<String, ExpressionError> {
        let mut text = BoundedText::default();
        for piece in scan::pieces(template)? {
            let written = match piece {
                Piece::Text(part) => text.write_str(part),
                Piece::Expression(expression, _) => {
                    let (value, _) = self.evaluate(expression, scope)?;
                    match value.as_str() {
                        Some(part) => text.write_str(part),
                        None => serde_json::to_writer(&mut text, &value).map_err(|_| std::fmt::Error),
                    }
                }
            };
            written.map_err(|_| ExpressionError::TooLarge)?;
        }
        Ok(text.0)
    }

    fn evaluate(
        &self,
        expression: &str,
        scope: &Scope<'_>,
    ) -> Result<(Dynamic, Vec<Reference>), ExpressionError> {
        let references = self.check(expression)?;
        let value = self
            .environment
            .compile_expression(expression)
            .and_then(|compiled| compiled.eval(scope.context(&references)))
            .map_err(|error| explain(&error, expression, &missing(&references, scope)))?;
        match value.is_undefined() {
            true => Err(ExpressionError::Undefined(undefined(expression, &missing(&references, scope)))),
            false => Ok((value, references)),
        }
    }
}

/// Names that may follow `|`.
pub(crate) fn filter_names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().copied()
}

fn explain(error: &minijinja::Error, expression: &str, missing: &[String]) -> ExpressionError {
    let detail = || error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.kind() {
        ErrorKind::SyntaxError => ExpressionError::Syntax(detail()),
        ErrorKind::OutOfFuel => ExpressionError::OutOfFuel,
        ErrorKind::UnknownFilter => ExpressionError::UnknownFilter(detail()),
        ErrorKind::UnknownTest => ExpressionError::UnknownTest(detail()),
        ErrorKind::UndefinedError => ExpressionError::Undefined(undefined(expression, missing)),
        _ => ExpressionError::Evaluation(detail()),
    }
}

fn undefined(expression: &str, missing: &[String]) -> String {
    missing.first().cloned().unwrap_or_else(|| shorten(expression.trim(), SHOWN_VALUE_CHARS_MAX))
}

/// The references without a value.
fn missing(references: &[Reference], scope: &Scope<'_>) -> Vec<String> {
    references.iter().filter(|name| scope.value(&name.path).is_none()).map(shown_path).collect()
}

fn used(references: &[Reference], scope: &Scope<'_>) -> String {
    let mut shown: BTreeMap<String, ()> = BTreeMap::new();
    let mut parts = Vec::new();
    for reference in references {
        let path = shown_path(reference);
        if shown.insert(path.clone(), ()).is_none() {
            let value = scope.value(&reference.path).map_or("not set".into(), |value| shown_value(&value));
            parts.push(format!("{path} = {value}"));
        }
    }
    shorten(&parts.join(", "), SHOWN_CHARS_MAX)
}

fn shown_value(value: &Value) -> String {
    shorten(&value.to_string(), SHOWN_VALUE_CHARS_MAX)
}

/// As it would be written: `tasks["a-b"].outputs.rows`.
pub(crate) fn shown_path(reference: &Reference) -> String {
    let plain = |step: &str| {
        step.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !step.starts_with(|c: char| c.is_ascii_digit())
    };
    reference.path.iter().enumerate().fold(String::new(), |mut text, (place, step)| {
        if place == 0 {
            text.push_str(step);
        } else if plain(step) {
            let _ = write!(text, ".{step}");
        } else {
            let _ = write!(text, "[\"{step}\"]");
        }
        text
    })
}

fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests;
