//! Reads single values out of the tree and says in plain words what is wrong with those that do not fit.
//! Must not know which keys a definition has: records come from the vocabulary, and callers name what they read.

use serde_json::Value;

use super::Code;
use super::findings::{Findings, Place};
use super::scalar::value_of_plain;
use super::suggestion::Suggestions;
use super::tree::{NodeId, Shape, Tree};
use super::vocabulary::Record;
use crate::id::Name;
use crate::time::{Span, SpanError};

/// Deepest value of an item or a default; below serde_json's own bound of 128.
const VALUE_DEPTH_MAX: usize = 64;

pub(super) struct Reader<'a, 't> {
    pub(super) tree: &'a Tree<'t>,
    pub(super) findings: &'a mut Findings<'t>,
    pub(super) suggestions: Suggestions,
}

/// A key of a map, as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) key_node: NodeId,
    pub(super) value: NodeId,
}

/// The known keys of a record.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub(super) place: Place,
    entries: Vec<Entry<'a>>,
    /// Whether all keys were known; otherwise what seems missing may only be misspelt.
    pub(super) complete: bool,
}

impl Fields<'_> {
    pub(super) fn get(&self, key: &str) -> Option<NodeId> {
        self.entry(key).map(|entry| entry.value)
    }

    pub(super) fn entry(&self, key: &str) -> Option<Entry<'_>> {
        self.entries.iter().find(|entry| entry.key == key).copied()
    }
}

impl<'a> Reader<'a, '_> {
    pub(super) fn error(&mut self, code: Code, node: NodeId, message: String, help: Option<String>) {
        let place = self.tree.place(node);
        self.findings.error(code, place, message, String::new(), help);
    }

    pub(super) fn no_effect(&mut self, node: NodeId, message: String) {
        let place = self.tree.place(node);
        self.findings.warning(Code::NoEffect, place, message, String::new(), None);
    }

    /// A record's keys; unknown and unsupported ones are faults. None when it is no map at all.
    pub(super) fn record(&mut self, node: NodeId, record: &'static Record) -> Option<Fields<'a>> {
        let all = self.entries(node, record.what)?;
        let mut fields =
            Fields { place: self.tree.place(node), entries: Vec::with_capacity(all.len()), complete: true };
        for entry in all {
            if record.keys.iter().any(|(name, _)| *name == entry.key) {
                fields.entries.push(entry);
            } else {
                fields.complete = false;
                self.unknown_key(entry, record);
            }
        }
        Some(fields)
    }

    fn unknown_key(&mut self, entry: Entry<'_>, record: &'static Record) {
        let Entry { key, key_node, .. } = entry;
        if record.later.contains(&key) {
            let message = format!("\"{key}\" is not yet supported in {}", record.what);
            let help = "remove it; hortator schema workflow lists what this version knows".into();

            return self.error(Code::NotYetSupported, key_node, message, Some(help));
        }
        if self.findings.is_full() {
            return self.error(Code::UnknownKey, key_node, String::new(), None);
        }
        let words = record.keys.iter().map(|(name, _)| *name).chain(record.later.iter().copied());
        let meant = self.suggestions.nearest(key, words);
        let expected = match record.keys {
            [] => "it takes no keys".into(),
            keys => format!("expected one of: {}", listed(keys.iter().map(|(name, _)| *name))),
        };
        let about =
            |meant: &str| record.keys.iter().find(|(name, _)| *name == meant).map_or("", |(_, about)| about);
        let help =
            meant.map(|meant| format!("did you mean \"{meant}\"? {}", about(meant)).trim_end().to_owned());
        let message = format!("unknown key \"{key}\" in {}", record.what);
        let place = self.tree.place(key_node);
        self.findings.error(Code::UnknownKey, place, message, expected, help);
    }

    /// All keys of a map, each once.
    pub(super) fn entries(&mut self, node: NodeId, what: &str) -> Option<Vec<Entry<'a>>> {
        let Shape::Map(children) = self.tree.shape(node) else {
            self.wrong_type(node, what, "a map of keys and values");
            return None;
        };
        let mut entries = Vec::with_capacity(children.len() / 2);
        for pair in children.chunks_exact(2) {
            match self.tree.shape(pair[0]) {
                Shape::Scalar("<<", true) => {
                    let message = "merge keys (<<) are not used here".into();
                    self.error(
                        Code::YamlFeature,
                        pair[0],
                        message,
                        Some("\"defaults\" is merged into every task".into()),
                    );
                }
                Shape::Scalar(key, _) => entries.push(Entry { key, key_node: pair[0], value: pair[1] }),
                _ => self.error(Code::YamlFeature, pair[0], "a key must be text".into(), None),
            }
        }
        self.refuse_duplicates(&mut entries);
        Some(entries)
    }

    /// Leaves the first of each key. Sorts, since there may be millions.
    fn refuse_duplicates(&mut self, entries: &mut Vec<Entry<'a>>) {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by_key(|place| entries[*place].key);
        let mut repeated = vec![false; entries.len()];
        for group in order.chunk_by(|one, other| entries[*one].key == entries[*other].key) {
            for place in &group[1..] {
                repeated[*place] = true;
                let Entry { key, key_node, .. } = entries[*place];
                let line = self.findings.line(self.tree.place(entries[group[0]].key_node));
                let message = format!("key \"{}\" is used twice", shown(key));
                let help = format!("the first one is in line {line}");
                self.error(Code::DuplicateKey, key_node, message, Some(help));
            }
        }
        let mut repeated = repeated.into_iter();
        entries.retain(|_| !repeated.next().unwrap_or(false));
    }

    pub(super) fn list(&mut self, node: NodeId, what: &str) -> Option<&'a [NodeId]> {
        match self.tree.shape(node) {
            Shape::List(children) => Some(children),
            Shape::Scalar(text, _) if !text.is_empty() => {
                let message = format!("{what} takes a list, not {}", self.describe(node));
                self.error(Code::WrongType, node, message, Some(format!("write [{}]", shown(text))));
                None
            }
            _ => {
                self.wrong_type(node, what, "a list");
                None
            }
        }
    }

    pub(super) fn text(&mut self, node: NodeId, what: &str) -> Option<&'a str> {
        match self.tree.shape(node) {
            Shape::Scalar(text, false) => Some(text),
            Shape::Scalar(text, true) if value_of_plain(text).is_string() => Some(text),
            Shape::Scalar(text, true) if !text.is_empty() => {
                let message = format!("{what} takes text, not {}", self.describe(node));
                self.error(
                    Code::WrongType,
                    node,
                    message,
                    Some(format!("put it in quotes: \"{}\"", shown(text))),
                );
                None
            }
            _ => {
                self.wrong_type(node, what, "text");
                None
            }
        }
    }

    /// Text of a bounded length; `what` names it in messages.
    pub(super) fn text_of(&mut self, node: NodeId, what: &str, bytes_max: usize) -> Option<&'a str> {
        let text = self.text(node, what)?;
        if text.len() > bytes_max {
            let message = format!("{what} is {} bytes long; at most {bytes_max} are allowed", text.len());
            self.error(Code::OutOfRange, node, message, None);
            return None;
        }
        Some(text)
    }

    /// A value that becomes text as it is written: also numbers, true and false.
    pub(super) fn written(&mut self, node: NodeId, what: &str) -> Option<&'a str> {
        match self.tree.shape(node) {
            Shape::Scalar(text, plain) if !(plain && value_of_plain(text).is_null()) => Some(text),
            _ => {
                self.wrong_type(node, what, "text, a number, true or false");
                None
            }
        }
    }

    pub(super) fn name(&mut self, node: NodeId, what: &str) -> Option<Name> {
        let text = self.text(node, what)?;
        match Name::new(text) {
            Ok(name) => Some(name),
            Err(error) => {
                let meant: String = text.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                let help = Name::new(meant.trim_matches('-'))
                    .ok()
                    .map_or("names for people go into \"title\"".into(), |name| {
                        format!("for example {name}")
                    });
                let message = format!("{what} \"{}\" is not a name: {}", shown(text), error.why);
                self.error(Code::BadName, node, message, Some(help));
                None
            }
        }
    }

    pub(super) fn span(&mut self, node: NodeId, what: &str) -> Option<Span> {
        let text = match self.tree.shape(node) {
            Shape::Scalar(text, _) => text,
            _ => {
                self.wrong_type(node, what, "a duration such as 30s or 1h30m");
                return None;
            }
        };
        match text.parse::<Span>() {
            Ok(span) => Some(span),
            Err(error) => {
                let help =
                    matches!(error, SpanError::NoUnit(_)).then(|| format!("write {text}s for seconds"));
                self.error(Code::BadDuration, node, format!("{what}: {error}"), help);
                None
            }
        }
    }

    /// A whole number between the bounds.
    pub(super) fn number(&mut self, node: NodeId, what: &str, least: u32, most: u32) -> Option<u32> {
        let value = match self.tree.shape(node) {
            Shape::Scalar(text, true) => value_of_plain(text),
            _ => Value::Null,
        };
        if !value.is_number() {
            self.wrong_type(node, what, "a whole number");
            return None;
        }
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let fits = number.filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let message = format!("{what} is {value}; it takes a whole number from {least} to {most}");
            self.error(Code::OutOfRange, node, message, None);
        }
        fits
    }

    /// One of a few words.
    pub(super) fn choice<T: Clone>(
        &mut self,
        node: NodeId,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let all = || listed(words.iter().map(|(word, _)| *word));
        let text = match self.tree.shape(node) {
            Shape::Scalar(text, _) if !text.is_empty() => text,
            _ => {
                self.wrong_type(node, what, &format!("one of: {}", all()));
                return None;
            }
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let meant = self.suggestions.nearest(text, words.iter().map(|(word, _)| *word));
        let message = format!("{what} cannot be \"{}\"", shown(text));
        let place = self.tree.place(node);
        let help = meant.map(|meant| format!("did you mean \"{meant}\"?"));
        self.findings.error(Code::UnknownValue, place, message, format!("expected one of: {}", all()), help);
        None
    }

    /// Any value, as JSON.
    pub(super) fn value(&mut self, node: NodeId, what: &str) -> Option<Value> {
        self.value_at(node, what, 0)
    }

    fn value_at(&mut self, node: NodeId, what: &str, depth: usize) -> Option<Value> {
        if depth > VALUE_DEPTH_MAX {
            let message = format!("{what} nests deeper than {VALUE_DEPTH_MAX} levels");
            self.error(Code::TooComplex, node, message, None);
            return None;
        }
        match self.tree.shape(node) {
            Shape::Scalar(text, true) => Some(value_of_plain(text)),
            Shape::Scalar(text, false) => Some(Value::String(text.into())),
            Shape::List(items) => items.iter().map(|item| self.value_at(*item, what, depth + 1)).collect(),
            Shape::Map(_) => {
                let entries = self.entries(node, what)?;
                let pair = |entry: Entry<'_>| {
                    Some((entry.key.to_owned(), self.value_at(entry.value, what, depth + 1)?))
                };
                entries.into_iter().map(pair).collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
            }
        }
    }

    pub(super) fn wrong_type(&mut self, node: NodeId, what: &str, expected: &str) {
        let message = format!("{what} takes {expected}, not {}", self.describe(node));
        self.error(Code::WrongType, node, message, None);
    }

    fn describe(&self, node: NodeId) -> String {
        match self.tree.shape(node) {
            Shape::List(_) => "a list".into(),
            Shape::Map(_) => "a map".into(),
            Shape::Scalar(text, false) => format!("the text \"{}\"", shown(text)),
            Shape::Scalar(text, true) => match value_of_plain(text) {
                Value::Null => "nothing".into(),
                Value::Number(_) => format!("the number {}", shown(text)),
                Value::Bool(_) => text.into(),
                _ => format!("the text \"{}\"", shown(text)),
            },
        }
    }

    pub(super) fn missing(&mut self, fields: &Fields<'_>, key: &str, what: &str) {
        if fields.complete {
            let place = Place { start: fields.place.start, end: fields.place.start + 1 };
            let message = format!("{what} has no \"{key}\"");
            self.findings.error(Code::MissingKey, place, message, String::new(), None);
        }
    }
}

/// The words of a message: a list of at most twelve.
pub(super) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.len() {
        0..=16 => words.join(", "),
        _ => format!("{} …", words[..16].join(", ")),
    }
}

/// A text of the file as a message shows it: its first line, cut to 80 characters.
pub(super) fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into(),
    }
}
