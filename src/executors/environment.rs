//! The environment of a task process: cleared, then the worker's few variables, the task's own, and ours.
//! Must not read this process's environment except in `base_environment`.

use std::collections::BTreeMap;
use std::path::Path;

use hortator_actors::seam::LaunchSpec;
use hortator_core::id::Name;

use super::start_error::LaunchError;
use super::workplace::Workplace;
use crate::warden::wire::ENVIRONMENT_BYTES_MAX;

/// Where programs are looked for when the worker itself has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What tasks get of the worker's own environment.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "USER", "LOGNAME"];

/// The variables every task starts with. `TZ` is not among them: a task that cares says so.
pub fn base_environment() -> BTreeMap<String, String> {
    let mut base = BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]);
    for name in PASSED_ON {
        if let Some(value) = std::env::var(name).ok().filter(|value| !value.is_empty()) {
            base.insert(name.to_owned(), value);
        }
    }
    base.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    base
}

/// All variables of one attempt, each name once: ours win over the task's, the task's over the worker's.
#[derive(Debug)]
pub(super) struct Environment<'a> {
    base: &'a BTreeMap<String, String>,
    task: &'a BTreeMap<String, String>,
    own: Vec<(&'static str, String)>,
}

impl<'a> Environment<'a> {
    pub(super) fn new(
        base: &'a BTreeMap<String, String>,
        spec: &'a LaunchSpec,
        place: &Workplace,
        run_dir: &Path,
        worker: &Name,
    ) -> Result<Environment<'a>, LaunchError> {
        let names = &spec.names;
        let mut own = vec![
            ("HTR_ATTEMPT", spec.attempt.attempt.to_string()),
            ("HTR_FENCE", spec.fence.to_string()),
            ("HTR_NAMESPACE", names.namespace.to_string()),
            ("HTR_OUTPUT", place.output.display().to_string()),
            ("HTR_RUN_DIR", run_dir.display().to_string()),
            ("HTR_RUN_ID", spec.attempt.task_run.run.to_string()),
            ("HTR_TASK", names.task.to_string()),
            ("HTR_WORKDIR", place.work.display().to_string()),
            ("HTR_WORKER", worker.to_string()),
            ("HTR_WORKFLOW", names.workflow.to_string()),
        ];
        own.extend(spec.deadline.map(|deadline| ("HTR_DEADLINE", deadline.to_string())));
        for (name, value) in &spec.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(LaunchError::VariableName { name: name.clone() });
            }
            if value.contains('\0') {
                return Err(LaunchError::VariableNul { name: name.clone() });
            }
        }
        let environment = Environment { base, task: &spec.env, own };
        let bytes: usize = environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        if bytes > ENVIRONMENT_BYTES_MAX {
            return Err(LaunchError::TooBig { bytes });
        }
        Ok(environment)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_own = |name: &str| self.own.iter().any(|(own, _)| *own == name);
        let base = self.base.iter().filter(|(name, _)| !self.task.contains_key(*name));
        let given = base.chain(self.task).filter(move |(name, _)| !is_own(name));
        let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
        given.chain(self.own.iter().map(|(name, value)| (*name, value.as_str())))
    }

    /// Where the task's interpreter is looked up.
    pub(super) fn path(&self) -> &'a str {
        self.task.get("PATH").or(self.base.get("PATH")).map_or(DEFAULT_PATH, String::as_str)
    }

    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len() + 2).sum()
    }

    /// The name and length of the longest variable, for telling what is too big.
    pub(super) fn longest(&self) -> Option<(String, usize)> {
        self.iter().map(|(name, value)| (name.to_owned(), value.len())).max_by_key(|(_, bytes)| *bytes)
    }
}
