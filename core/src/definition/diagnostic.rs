//! One fault of a definition, where it is, and how it is shown.
//! Must not know how faults are found, nor colours: whoever prints may add them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::Code;

/// Widest part of a source line that is shown; JSON may be one line of megabytes.
const SHOWN_COLUMNS_MAX: usize = 100;
/// Columns kept before the fault when a line is cut.
const SHOWN_BEFORE: usize = 40;

/// Faults shown in full: one wrong habit is repeated in every task, and nobody reads more of it.
const SHOWN_FAULTS_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The definition is refused.
    Error,
    /// The definition is accepted; somebody may have meant something else.
    Warning,
}

/// A fault in a definition's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    /// One sentence with the names and values that matter, no full stop.
    pub message: String,
    /// As the caller of `parse` named it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// Characters to underline in that line, at least 1.
    pub length: u32,
    /// Beside the underline; may be empty.
    pub label: String,
    /// What to do, or what was probably meant.
    pub help: Option<String>,
}

impl Diagnostic {
    /// As rustc shows it, with the line of the source; several lines, the last one ends in a newline.
    ///
    /// `source` is the text the definition was parsed from; another text shows other lines, nothing worse.
    pub fn render(&self, source: &str) -> String {
        let line = source.split('\n').nth(self.line.saturating_sub(1) as usize).unwrap_or("");
        self.render_line(line)
    }

    fn render_line(&self, line: &str) -> String {
        let Diagnostic { code, severity, message, file, line: number, column, label, help, .. } = self;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let number = number.to_string();
        let margin = " ".repeat(number.len());
        let (shown, before, marks) = cut(line, self.column, self.length);
        let mut text = format!("{severity}[{code}]: {message}\n{margin}┌─ {file}:{number}:{column}\n");
        let _ = writeln!(text, "{number}│ {shown}");
        let _ = writeln!(text, "{}", format!("{margin}│ {before}{marks} {label}").trim_end());
        if let Some(help) = help {
            let _ = writeln!(text, "{margin}= help: {help}");
        }
        text
    }
}

/// The first twenty, and lines with the number of what is not shown and of all. Linear in the length of the source.
pub fn render_all(diagnostics: &[Diagnostic], source: &str) -> String {
    let lines: Vec<&str> = source.split('\n').collect();
    let mut text = String::new();
    for diagnostic in diagnostics.iter().take(SHOWN_FAULTS_MAX) {
        let line = lines.get(diagnostic.line.saturating_sub(1) as usize).copied().unwrap_or("");
        text.push_str(&diagnostic.render_line(line));
    }
    if let Some(more @ 1..) = diagnostics.len().checked_sub(SHOWN_FAULTS_MAX) {
        let file = &diagnostics[0].file;
        let _ = writeln!(text, "… and {more} more; all of them: hortator workflow validate {file} -o json");
    }
    let count = |severity| diagnostics.iter().filter(|one| one.severity == severity).count();
    let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let _ = write!(
        text,
        "{}, {}.",
        plural(count(Severity::Error), "error"),
        plural(count(Severity::Warning), "warning")
    );
    if let Some(first) = diagnostics.first() {
        let _ = write!(text, " More: hortator help {}", first.code);
    }
    text.push('\n');
    text
}

/// The part of the line to show, the blanks before the underline, and the underline.
fn cut(line: &str, column: u32, length: u32) -> (String, String, String) {
    let chars: Vec<char> =
        line.trim_end_matches('\r').chars().take(column as usize + SHOWN_COLUMNS_MAX).collect();
    let column = (column.max(1) as usize - 1).min(chars.len());
    let skip =
        if chars.len() > SHOWN_COLUMNS_MAX && column > SHOWN_BEFORE { column - SHOWN_BEFORE } else { 0 };
    let show = |part: &[char]| part.iter().map(|c| if c.is_control() { ' ' } else { *c }).collect::<String>();
    let end = chars.len().min(skip + SHOWN_COLUMNS_MAX);
    let first = if skip > 0 { "…" } else { "" };
    let last = if end < chars.len() { "…" } else { "" };
    let blanks: usize = first.chars().count() + chars[skip..column].iter().map(|c| width(*c)).sum::<usize>();
    let marked = &chars[column..end.min(column.saturating_add(length as usize)).max(column)];
    let marks = marked.iter().map(|c| width(*c)).sum::<usize>().max(1);
    (format!("{first}{}{last}", show(&chars[skip..end])), " ".repeat(blanks), "^".repeat(marks))
}

/// Columns a terminal gives the character: two for Chinese, Japanese, Korean and most emoji.
fn width(c: char) -> usize {
    match c as u32 {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_every_task_is_shown_twenty_times() {
        let tasks: String = (0..25).map(|n| format!("  - {{ id: t{n}, king: noop }}\n")).collect();
        for (lines, shown, last) in
            [(20, 20, None), (25, 20, Some("… and 5 more; all of them: hortator workflow"))]
        {
            let tasks: String = tasks.lines().take(lines).map(|line| format!("{line}\n")).collect();
            let source = format!("hortator: v1\nname: many\ntasks:\n{tasks}");
            let faults = super::super::parse("many.yaml", source.as_bytes()).unwrap_err().diagnostics;
            let faults: Vec<_> = faults.into_iter().filter(|one| one.message.contains("king")).collect();
            assert_eq!(faults.len(), lines);
            let text = render_all(&faults, &source);
            assert_eq!(text.matches("error[").count(), shown, "{text}");
            assert_eq!(text.contains("more;"), last.is_some(), "{text}");
            assert!(last.is_none_or(|last| text.contains(last)), "{text}");
            assert!(text.contains(&format!("{lines} errors, 0 warnings.")), "{text}");
        }
    }
}
