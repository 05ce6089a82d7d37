//! Who plays the processes of tasks: by default the words of the task itself, in other stories whatever its teller wants.
//! Must not know how a process is run.

use std::collections::BTreeMap;
use std::fmt::Debug;

use hortator_actors::seam::{LaunchProgram, LaunchSpec};
use serde_json::Value;

use super::host::Script;

/// What a process does, and what it leaves when it succeeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Play {
    pub script: Script,
    pub outputs: BTreeMap<String, Value>,
}

/// See the module.
pub trait Cast: Debug + Send + Sync {
    /// An error says why the process cannot be started.
    fn play(&self, spec: &LaunchSpec) -> Result<Play, String>;
}

/// The text of a task is its [`Script`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Words;

impl Cast for Words {
    fn play(&self, spec: &LaunchSpec) -> Result<Play, String> {
        let line = match &spec.program {
            LaunchProgram::Script { text, .. } => text,
            LaunchProgram::File { path, .. } => path,
        };
        let script = line.parse::<Script>().map_err(|error| error.to_string())?;
        Ok(Play { script, outputs: BTreeMap::new() })
    }
}
