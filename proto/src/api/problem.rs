//! Refusals and failures. Must not know the status codes of HTTP.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A refusal or failure, for people and for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail} [{code}]")]
pub struct Problem {
    /// `H1xxx`–`H9xxx`.
    pub code: String,
    pub kind: ProblemKind,
    /// What happened and why, with names and values.
    pub detail: String,
    /// What to do, a command where there is one.
    pub hint: Option<String>,
    /// The names and values of `detail`, for programs.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
}

impl Problem {
    pub fn new(kind: ProblemKind, code: &str, detail: impl Into<String>) -> Problem {
        Problem { code: code.into(), kind, detail: detail.into(), hint: None, params: BTreeMap::new() }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.params.insert(name.into(), value.into());
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    NotFound,
    Conflict,
    Invalid,
    /// Over a bound for now: the same request may succeed later.
    Busy,
    Unavailable,
    Forbidden,
    Internal,
}
