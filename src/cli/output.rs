//! Where results go: a table for people, plain columns for pipes, JSON and ids for programs.
//! stdout gets the result and nothing else; hints, progress and warnings go to stderr.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;

use comfy_table::{Cell, Table, presets};
use hortator_core::time::{Span, Timestamp};
use serde::Serialize;

use super::args::{Format, Global, When};
use super::error::Error;
use super::states;

/// How results are to look.
#[derive(Clone, Debug)]
pub struct Output {
    pub form: Form,
    pub headers: bool,
    pub colour: bool,
    pub ascii: bool,
    pub quiet: bool,
    /// Progress may be drawn on stderr.
    pub live: bool,
    pub now: Timestamp,
    pub sink: Sink,
}

/// Where results go.
#[derive(Clone, Debug)]
pub enum Sink {
    Stdout,
    /// They are kept for whoever takes them.
    Kept(Rc<RefCell<String>>),
}

impl Sink {
    pub fn kept() -> Sink {
        Sink::Kept(Rc::default())
    }

    /// What was kept; nothing of what went to stdout.
    pub fn take(&self) -> String {
        match self {
            Sink::Stdout => String::new(),
            Sink::Kept(text) => text.take(),
        }
    }
}

impl From<Format> for Form {
    fn from(format: Format) -> Form {
        match format {
            Format::Table => Form::Table,
            Format::Json => Form::Json,
            Format::Jsonl => Form::Jsonl,
            Format::Name => Form::Name,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Table,
    /// Tab-separated, for pipes.
    Plain,
    Json,
    Jsonl,
    Name,
}

/// Something that is shown as a line of a list.
pub trait Listed: Serialize {
    const HEADERS: &'static [&'static str];
    fn cells(&self, output: &Output) -> Vec<Field>;
    /// What identifies it on a command line.
    fn name(&self) -> String;
}

/// One cell. A state is shown with its glyph and colour to people and as its word to programs.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Text(String),
    State(String),
}

impl From<String> for Field {
    fn from(text: String) -> Field {
        Field::Text(text)
    }
}

impl Output {
    /// From flags, configuration, environment and what stdout is.
    pub fn new(global: &Global, configured: Option<Format>) -> Output {
        let terminal = io::stdout().is_terminal();
        let form = match global.output.or(configured) {
            Some(format) => format.into(),
            None if terminal => Form::Table,
            None => Form::Plain,
        };
        Output {
            form,
            headers: !global.no_headers,
            colour: colour(global.color, terminal),
            ascii: global.ascii || !is_utf8_locale(),
            quiet: global.quiet,
            live: !global.quiet && io::stderr().is_terminal() && !is_dumb(),
            now: Output::time_now(),
            sink: Sink::Stdout,
        }
    }

    /// By this host's clock.
    pub fn time_now() -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_microsecond())
    }

    /// For programs: JSON was asked for.
    pub fn is_json(&self) -> bool {
        matches!(self.form, Form::Json | Form::Jsonl)
    }

    /// Prints a list in the form asked for. As JSON it is a page, `{"items": […], "next": null}`.
    pub fn list<T: Listed>(&self, items: &[T]) -> Result<(), Error> {
        match self.form {
            Form::Table | Form::Plain => {
                self.table(T::HEADERS, items.iter().map(|item| item.cells(self)).collect())
            }
            Form::Json => self.document(&serde_json::json!({ "items": items, "next": null })),
            Form::Jsonl => items.iter().try_for_each(|item| self.document(item)),
            Form::Name => self.text(&items.iter().map(|item| item.name() + "\n").collect::<String>()),
        }
    }

    /// Prints one thing: as JSON, as its name, or as the text made for people.
    pub fn one(
        &self,
        document: &impl Serialize,
        name: &str,
        text: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        match self.form {
            Form::Json | Form::Jsonl => self.document(document),
            Form::Name => self.text(&format!("{name}\n")),
            Form::Table | Form::Plain => self.text(&text()),
        }
    }

    /// A JSON document: indented, or on one line.
    pub fn document(&self, document: &impl Serialize) -> Result<(), Error> {
        let text = match self.form {
            Form::Jsonl => serde_json::to_string(document),
            _ => serde_json::to_string_pretty(document),
        };
        let text = text.map_err(|error| Error::io("cannot write the result as JSON", &error.into()))?;
        self.text(&(text + "\n"))
    }

    /// Text as it is.
    pub fn text(&self, text: &str) -> Result<(), Error> {
        if let Sink::Kept(kept) = &self.sink {
            kept.borrow_mut().push_str(text);
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|error| Error::io("cannot write to stdout", &error))
    }

    /// What to do next, on stderr; not with `--quiet`, and not for programs.
    pub fn hint(&self, text: &str) {
        if !self.quiet && matches!(self.form, Form::Table | Form::Plain) {
            eprintln!("{text}");
        }
    }

    /// Something odd, on stderr.
    pub fn warn(&self, text: &str) {
        eprintln!("warning: {text}");
    }

    /// Prints a table, or plain columns in a pipe.
    pub fn table(&self, headers: &[&str], rows: Vec<Vec<Field>>) -> Result<(), Error> {
        if self.form != Form::Table {
            let header = if self.headers { headers.join("\t") + "\n" } else { String::new() };
            return self.text(&rows.iter().fold(header, |text, row| text + &plain_line(row)));
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.headers {
            table.set_header(headers);
        }
        for row in rows {
            table.add_row(row.into_iter().map(|field| Cell::new(self.field(&field))));
        }
        // Without borders the last column is padded too, and the first begins with a blank.
        let text: String = table
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(&line).trim_end()))
            .collect();
        self.text(&self.painted(&text))
    }

    fn field(&self, field: &Field) -> String {
        match field {
            Field::Text(text) => printable(text),
            Field::State(word) => self.state(word),
        }
    }

    /// Glyph and word, without colour.
    pub fn state(&self, word: &str) -> String {
        let look = states::of(word);
        format!("{} {word}", if self.ascii { look.ascii } else { look.glyph })
    }

    /// Colours the states in a finished table: widths are computed without escape sequences.
    fn painted(&self, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let mut painted = text.to_owned();
        for word in super::args::STATES {
            let plain = self.state(word);
            let colour = states::of(word).colour;
            painted = painted.replace(&plain, &format!("\x1b[{colour}m{plain}\x1b[0m"));
        }
        painted
    }

    /// A state with its colour, for a line of text.
    pub fn painted_state(&self, word: &str) -> String {
        let plain = self.state(word);
        match self.colour {
            true => format!("\x1b[{}m{plain}\x1b[0m", states::of(word).colour),
            false => plain,
        }
    }

    /// A point of time: how long ago for people, RFC 3339 for programs.
    pub fn time(&self, time: Option<Timestamp>) -> String {
        match (time, self.form) {
            (None, _) => self.nothing(),
            (Some(time), Form::Table) => format!("{} ago", short(self.now.since(time))),
            (Some(time), _) => time.to_string(),
        }
    }

    /// How long from one to the other, or to now.
    pub fn took(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> String {
        match (from, self.form) {
            (None, _) => self.nothing(),
            (Some(from), Form::Table) => short(to.unwrap_or(self.now).since(from)),
            (Some(from), _) => to.unwrap_or(self.now).since(from).to_string(),
        }
    }

    /// What stands in an empty cell.
    pub fn nothing(&self) -> String {
        match self.form {
            Form::Table if !self.ascii => "–".into(),
            Form::Table => "-".into(),
            _ => String::new(),
        }
    }
}

/// A span in at most two units: `6m 12s`, `1.2s`, `35ms`.
pub fn short(span: Span) -> String {
    let micros = span.0;
    let seconds = micros / 1_000_000;
    match seconds {
        0 if micros < 1_000 => format!("{micros}us"),
        0 => format!("{}ms", micros / 1_000),
        1..=9 => format!("{}.{}s", seconds, micros / 100_000 % 10),
        10..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

fn plain_line(fields: &[Field]) -> String {
    let text = |field: &Field| match field {
        Field::Text(text) | Field::State(text) => printable(text),
    };
    fields.iter().map(text).collect::<Vec<_>>().join("\t") + "\n"
}

/// Texts of others in one line: control characters would break columns or command the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn colour(when: When, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR") => false,
        When::Auto if set("CLICOLOR_FORCE") => true,
        When::Auto => terminal && !is_dumb(),
    }
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// The first of these that is set decides, as in the C library. None set is the C locale, but containers and
/// services often have none and show UTF-8 all the same.
fn is_utf8_locale() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    let Some(locale) = set.into_iter().find(|value| !value.is_empty()) else {
        return true;
    };
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (micros, text) in [
            (7, "7us"),
            (35_400, "35ms"),
            (1_290_000, "1.2s"),
            (59_900_000, "59s"),
            (372_000_000, "6m 12s"),
            (3_700_000_000, "1h 1m"),
            (180_000_000_000, "2d 2h"),
        ] {
            assert_eq!(short(Span(micros)), text);
        }
    }

    #[test]
    fn foreign_text_cannot_command_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\tc\n"), "a [31mb c ");
    }
}
