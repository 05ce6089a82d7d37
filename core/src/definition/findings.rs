//! Collects faults while a definition is read, and turns places in the text into lines and columns.
//! Must not know the format.

use super::{Code, Diagnostic, Severity};

/// Most faults kept; nobody reads more, and a broken file of 100,000 tasks must not make 100,000.
const ERRORS_MAX: usize = 200;
/// Most warnings kept, apart from errors, so that neither hides the other.
const WARNINGS_MAX: usize = 50;

/// A part of the text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Place {
    pub(super) fn new(start: usize, end: usize) -> Place {
        Place { start: start as u32, end: end.max(start) as u32 }
    }
}

/// The text and what was found in it.
#[derive(Debug)]
pub(super) struct Findings<'t> {
    file: &'t str,
    text: &'t str,
    /// Where each line begins.
    lines: Vec<u32>,
    found: Vec<(Place, Diagnostic)>,
    errors: usize,
    warnings: usize,
    left_out: usize,
}

impl<'t> Findings<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Findings<'t> {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
        Findings {
            file,
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            found: Vec::new(),
            errors: 0,
            warnings: 0,
            left_out: 0,
        }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// The line, from 1.
    pub(super) fn line(&self, place: Place) -> u32 {
        self.lines.partition_point(|start| *start <= place.start) as u32
    }

    /// Whether no further error would be kept; finders with costly advice ask first.
    pub(super) fn is_full(&self) -> bool {
        self.errors >= ERRORS_MAX
    }

    pub(super) fn error_count(&self) -> usize {
        self.errors
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    pub(super) fn error(
        &mut self,
        code: Code,
        place: Place,
        message: String,
        label: String,
        help: Option<String>,
    ) {
        self.errors += 1;
        if self.errors > ERRORS_MAX {
            self.left_out += 1;
            return;
        }
        self.add(Severity::Error, code, place, message, label, help);
    }

    pub(super) fn warning(
        &mut self,
        code: Code,
        place: Place,
        message: String,
        label: String,
        help: Option<String>,
    ) {
        self.warnings += 1;
        if self.warnings > WARNINGS_MAX {
            self.left_out += 1;
            return;
        }
        self.add(Severity::Warning, code, place, message, label, help);
    }

    fn add(
        &mut self,
        severity: Severity,
        code: Code,
        place: Place,
        message: String,
        label: String,
        help: Option<String>,
    ) {
        let line = self.line(place);
        let line_start = self.lines[line as usize - 1] as usize;
        let chars =
            |from: usize, to: usize| self.text.get(from..to).map_or(0, |part| part.chars().count()) as u32;
        let start = (place.start as usize).min(self.text.len());
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        let column = chars(line_start, start) + 1;
        let length = chars(start, line_end.min(place.end as usize)).max(1);
        let file = self.file.to_owned();
        let diagnostic = Diagnostic { code, severity, message, file, line, column, length, label, help };
        self.found.push((place, diagnostic));
    }

    /// In the order of the text.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(place, diagnostic)| (place.start, diagnostic.code));
        let left_out = self.left_out;
        let mut diagnostics: Vec<Diagnostic> =
            self.found.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        if let (1.., Some(last)) = (left_out, diagnostics.last()) {
            let last = Diagnostic {
                code: Code::TooManyFaults,
                severity: if self.errors > 0 { Severity::Error } else { Severity::Warning },
                message: format!("{left_out} more faults are not shown"),
                label: String::new(),
                help: None,
                ..last.clone()
            };
            diagnostics.push(last);
        }
        diagnostics
    }
}
