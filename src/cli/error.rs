//! What a command ends with when it cannot do what was asked, and the exit codes, which are a public contract.
//! A message says what happened and why, what to do, and its code.

use std::fmt;
use std::io;

use hortator_proto::api::ProblemKind;
use serde_json::Value;

use crate::api::problem::ProblemDocument;

/// Exit codes; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    Unexpected = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Forbidden = 5,
    Unavailable = 6,
    Invalid = 7,
    /// Waited for it: the run failed or was cancelled.
    RunFailed = 8,
    /// Waited for it: the time passed.
    TimedOut = 9,
    /// A bulk command did some of it.
    Partly = 10,
    /// `doctor` found something wrong.
    Problems = 12,
    /// A promise was broken in a simulation.
    Violated = 13,
    Interrupted = 130,
}

/// Codes of the command line itself; `hortator help CODE` explains each.
pub mod code {
    pub const NO_CONNECTION: &str = "H1001";
    pub const NO_ANSWER: &str = "H1002";
    pub const BAD_ANSWER: &str = "H1003";
    pub const NO_CONTEXT: &str = "H1004";
    pub const CERTIFICATE: &str = "H1005";
    pub const PORT_IN_USE: &str = "H1010";
    pub const CLUSTER_START: &str = "H1011";
    pub const NODE_START: &str = "H1012";
    pub const NO_IDENTITY: &str = "H1013";
    pub const PLAIN_LISTENER: &str = "H1014";
    pub const NOT_LET_IN: &str = "H1015";
    pub const SOMEBODYS: &str = "H1016";
    pub const CONFIG: &str = "H2002";
    pub const FILE: &str = "H2003";
    pub const DEFINITION: &str = crate::api::problem::code::DEFINITION;
    pub const TRACE: &str = "H2004";
    pub const PLAN: &str = "H2005";
    pub const LOG_CUT: &str = "H3014";
    pub const BEFORE_RUN: &str = "H3015";
    pub const HISTORY_TRIMMED: &str = "H3016";
    pub const NO_MASTER: &str = "H3050";
    pub const NO_GROUP: &str = "H3081";
    pub const READ_ONLY: &str = "H1020";
    pub const BACKUP_KIND: &str = "H4201";
    pub const BACKUP_SHORT: &str = "H4202";
    pub const BACKUP_DAMAGED: &str = "H4203";
    pub const BACKUP_FORMAT: &str = "H4204";
    pub const BACKUP_EXISTS: &str = "H4206";
    pub const IO: &str = "H9020";
    pub const NOT_BUILT_IN: &str = "H9021";
}

/// Why a command ends without its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub exit: Exit,
    pub code: String,
    /// What happened and why.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
    /// Texts to print before it: the places in a file that are wrong.
    pub places: Vec<String>,
}

impl Error {
    pub fn new(exit: Exit, code: &str, detail: impl Into<String>) -> Error {
        Error { exit, code: code.into(), detail: detail.into(), hint: None, places: Vec::new() }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// Wrong words on the command line that clap could not see.
    pub fn usage(detail: impl Into<String>) -> Error {
        Error::new(Exit::Usage, crate::api::problem::code::BAD_REQUEST, detail)
    }

    /// Output could not be written, or a signal not be awaited.
    pub fn io(what: &str, error: &io::Error) -> Error {
        let exit = match error.kind() {
            // Whoever read our output has seen enough, as in `… | head`.
            io::ErrorKind::BrokenPipe => Exit::Success,
            _ => Exit::Unexpected,
        };
        Error::new(exit, code::IO, format!("{what}: {error}"))
    }

    /// Whether there is anything to say.
    pub fn is_silent(&self) -> bool {
        self.exit == Exit::Success
    }

    pub fn from_document(document: ProblemDocument) -> Error {
        let rendered = |value: &Value| value.get("rendered").and_then(Value::as_str).map(str::to_owned);
        Error {
            exit: exit_of(document.status, &document.code),
            code: document.code,
            detail: document.detail,
            hint: document.hint,
            places: document.diagnostics.iter().filter_map(rendered).collect(),
        }
    }
}

fn exit_of(status: u16, code: &str) -> Exit {
    match status {
        400 | 405 | 413 => Exit::Usage,
        401 | 403 => Exit::Forbidden,
        404 => Exit::NotFound,
        409 => Exit::Conflict,
        // H24xx is about a start's inputs, not about the definition.
        422 if code.starts_with("H2") && !code.starts_with("H24") => Exit::Invalid,
        422 => Exit::Usage,
        408 | 429 | 502 | 503 | 504 => Exit::Unavailable,
        _ => Exit::Unexpected,
    }
}

/// The exit code for a kind of problem that did not come over HTTP.
pub fn exit_of_kind(kind: ProblemKind) -> Exit {
    match kind {
        ProblemKind::NotFound => Exit::NotFound,
        ProblemKind::Conflict => Exit::Conflict,
        ProblemKind::Invalid => Exit::Invalid,
        ProblemKind::Busy | ProblemKind::Unavailable => Exit::Unavailable,
        ProblemKind::Forbidden => Exit::Forbidden,
        ProblemKind::Internal => Exit::Unexpected,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.places {
            writeln!(f, "{}", place.trim_end())?;
        }
        write!(f, "{}", self.detail.trim_end_matches('.'))?;
        if let Some(hint) = &self.hint {
            write!(f, ". {}", capitalized(hint))?;
        }
        write!(f, " [{}]", self.code)
    }
}

impl std::error::Error for Error {}

/// Hints begin small when they are commands, which stay as they are, and large when they are sentences.
fn capitalized(hint: &str) -> String {
    let mut letters = hint.chars();
    match letters.next() {
        Some(first) if !hint.starts_with("hortator") => first.to_uppercase().chain(letters).collect(),
        Some(_) => format!("Try: {hint}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_shape() {
        let error = Error::new(Exit::NotFound, "H3001", "run X is not known").hint("hortator ps");
        assert_eq!(error.to_string(), "run X is not known. Try: hortator ps [H3001]");
        let error =
            Error::new(Exit::Unavailable, "H1001", "cannot reach n1").hint("check that a node runs there");
        assert_eq!(error.to_string(), "cannot reach n1. Check that a node runs there [H1001]");
    }

    #[test]
    fn exit_codes_follow_statuses() {
        assert_eq!(exit_of(422, "H2103"), Exit::Invalid);
        assert_eq!(exit_of(422, "H2401"), Exit::Usage);
        assert_eq!(exit_of(503, "H1102"), Exit::Unavailable);
        assert_eq!(exit_of(401, "H1201"), Exit::Forbidden);
        assert_eq!(exit_of(500, "H9001"), Exit::Unexpected);
    }
}
