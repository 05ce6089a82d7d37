//! A run whose plan is resolved: each fault and each errand that happened, by itself, with the texts of the workflows. It
//! can be stored, edited, made smaller and played again; what is not in it still follows from the seed. Must not know
//! how it is played.

use hortator_core::definition;
use hortator_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checkers::Violation;
use crate::faults::Hit;
use crate::plan::{Cluster, Judge};
use crate::workload::{Errand, Flow};

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// Of the plan that it came of.
    pub name: String,
    pub seed: u64,
    /// The deliberate mistake of its masters, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutant: Option<String>,
    /// Checkers that spoke when it was stored.
    #[serde(default)]
    pub broke: Vec<String>,
    /// What clocks that are right show when the world begins.
    #[serde(default = "crate::plan::beginning")]
    pub begins: Timestamp,
    /// Until everything is healed.
    #[serde(with = "crate::words::span")]
    pub lasts: Span,
    /// How long clients wait for an answer, in microseconds.
    #[serde(with = "crate::words::micros")]
    pub patience: [u64; 2],
    #[serde(default, with = "crate::words::share")]
    pub astray: u64,
    #[serde(default, with = "crate::words::share")]
    pub dropped: u64,
    #[serde(default, skip_serializing_if = "Judge::is_safety")]
    pub judge: Judge,
    pub cluster: Cluster,
    #[serde(default, rename = "hit")]
    pub hits: Vec<Hit>,
    #[serde(default, rename = "errand")]
    pub errands: Vec<Errand>,
    #[serde(default, rename = "workflow")]
    pub workflows: Vec<Written>,
}

/// A workflow as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Whether a run of it must succeed when nothing stops it.
    pub harmless: bool,
    pub source: String,
}

/// The text is no stored run.
#[derive(Debug, thiserror::Error)]
pub enum ResolvedError {
    #[error("{0}")]
    Form(String),
    #[error("workflow {number} of it is no definition: {why}")]
    Workflow { number: usize, why: String },
    #[error("it needs masters, workers, shards and slots")]
    Empty,
}

impl Resolved {
    pub fn parse(text: &str) -> Result<Resolved, ResolvedError> {
        let resolved: Resolved =
            toml::from_str(text).map_err(|error| ResolvedError::Form(crate::scenarios::advice(&error)))?;
        if resolved.cluster.is_empty() {
            return Err(ResolvedError::Empty);
        }
        for (number, written) in resolved.workflows.iter().enumerate() {
            definition::parse("workflow", written.source.as_bytes())
                .map_err(|why| ResolvedError::Workflow { number, why: why.to_string() })?;
        }
        Ok(resolved)
    }

    /// Remembers which checkers spoke.
    pub(crate) fn broke(&mut self, violations: &[Violation]) {
        self.broke = violations.iter().map(|violation| violation.checker.to_owned()).collect();
        self.broke.dedup();
    }

    /// As it is stored.
    pub fn text(&self) -> String {
        toml::to_string(self).expect("plain data has a TOML form")
    }

    pub(crate) fn flows(&self) -> Vec<Flow> {
        self.workflows.iter().map(|written| Flow::new(written.source.clone(), written.harmless)).collect()
    }
}

impl From<&Flow> for Written {
    fn from(flow: &Flow) -> Written {
        Written { harmless: flow.harmless, source: flow.source.clone() }
    }
}
