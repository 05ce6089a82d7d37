//! The filters and tests of expressions: pure, and none can make much out of little.
//! Left out of minijinja's own: those that read clocks, repeat, pad or multiply (`indent`, `format`, `map`, `sum`, …).

use std::fmt::Write as _;
use std::io;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State, filters, tests};

/// Largest text that a filter or a template may make; above every bound on inputs and outputs, below what hurts.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Names that may follow `|`.
pub(super) const FILTERS: &[&str] = &[
    "abs",
    "bool",
    "capitalize",
    "default",
    "first",
    "float",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "max",
    "min",
    "quote",
    "replace",
    "reverse",
    "round",
    "sort",
    "split",
    "string",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
];

/// Names that may follow `is`.
pub(super) const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "even",
    "false",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
];

/// Adds all of `FILTERS` and `TESTS`.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    add_filters(environment);
    add_tests(environment);
}

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("abs", filters::abs);
    environment.add_filter("bool", filters::bool);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("items", filters::items);
    environment.add_filter("join", join);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lines", filters::lines);
    environment.add_filter("list", filters::list);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("max", filters::max);
    environment.add_filter("min", filters::min);
    environment.add_filter("quote", quote);
    environment.add_filter("replace", replace);
    environment.add_filter("reverse", filters::reverse);
    environment.add_filter("round", filters::round);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("split", filters::split);
    environment.add_filter("string", string);
    environment.add_filter("title", filters::title);
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("upper", filters::upper);
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("divisibleby", tests::is_divisibleby);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("eq", tests::is_eq);
    environment.add_test("even", tests::is_even);
    environment.add_test("false", tests::is_false);
    environment.add_test("float", tests::is_float);
    environment.add_test("ge", tests::is_ge);
    environment.add_test("gt", tests::is_gt);
    environment.add_test("in", tests::is_in);
    environment.add_test("integer", tests::is_integer);
    environment.add_test("iterable", tests::is_iterable);
    environment.add_test("le", tests::is_le);
    environment.add_test("lt", tests::is_lt);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("ne", tests::is_ne);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("string", tests::is_string);
    environment.add_test("true", tests::is_true);
    environment.add_test("undefined", tests::is_undefined);
}

/// A text that stops growing at `TEXT_BYTES_MAX`.
#[derive(Default)]
pub(super) struct BoundedText(pub(super) String);

impl std::fmt::Write for BoundedText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > TEXT_BYTES_MAX {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large<E>(_: E) -> Error {
    Error::new(ErrorKind::InvalidOperation, "a filter makes more than 1 MiB of text")
}

/// The text as one word of a POSIX shell.
fn quote(state: &State, value: &Value) -> Result<String, Error> {
    let text = string(state, value)?.to_string();
    let mut quoted = BoundedText::default();
    write!(quoted, "'{}'", text.replace('\'', r"'\''")).map_err(too_large)?;
    Ok(quoted.0)
}

fn string(state: &State, value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() || value.is_undefined() {
        return filters::string(state, value);
    }
    let mut text = BoundedText::default();
    write!(text, "{value}").map_err(too_large)?;
    Ok(text.0.into())
}

fn join(value: &Value, separator: Option<&str>) -> Result<String, Error> {
    let mut text = BoundedText::default();
    for (place, item) in value.try_iter()?.enumerate() {
        let separator = if place > 0 { separator.unwrap_or("") } else { "" };
        write!(text, "{separator}{item}").map_err(too_large)?;
    }
    Ok(text.0)
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let mut replaced = BoundedText::default();
    for (place, part) in text.split(from).enumerate() {
        let joint = if place > 0 { to } else { "" };
        write!(replaced, "{joint}{part}").map_err(too_large)?;
    }
    Ok(replaced.0)
}

fn tojson(value: &Value) -> Result<String, Error> {
    let mut text = BoundedText::default();
    serde_json::to_writer(&mut text, value).map_err(too_large)?;
    Ok(text.0)
}
