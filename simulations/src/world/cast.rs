//! Who plays the processes of tasks: by default the words of the task itself, in other stories whatever its teller wants.
//! Must not know how a process is run.

use std::collections::BTreeMap;
use std::fmt::Debug;

use hortator_actors::seam::{LaunchProgram, LaunchSpec};
use hortator_core::id::Fence;
use serde_json::Value;

use super::host::Script;

/// Carries to a process what an earlier task left: the name of that task and its mark.
pub const MARK_VARIABLE: &str = "MARK";
/// Outputs of those that declare them: which attempt left them, as its fence, and whether the last number of that is odd.
pub const MARK_OUTPUT: &str = "mark";
pub const ODD_OUTPUT: &str = "odd";

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

/// The text of a task is its [`Script`]. It leaves what only it can have left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words;

impl Cast for Words {
    fn play(&self, spec: &LaunchSpec) -> Result<Play, String> {
        let line = match &spec.program {
            LaunchProgram::Script { text, .. } => text,
            LaunchProgram::File { path, .. } => path,
        };
        let script = line.parse::<Script>().map_err(|error| error.to_string())?;
        let odd = is_odd(spec.fence);
        let all = [(MARK_OUTPUT, Value::from(spec.fence.to_string())), (ODD_OUTPUT, Value::from(odd))];
        let declared = all.into_iter().filter(|(name, _)| spec.outputs.contains_key(*name));
        Ok(Play { script, outputs: declared.map(|(name, value)| (name.to_owned(), value)).collect() })
    }
}

/// What an attempt of that fence leaves as [`ODD_OUTPUT`].
pub fn is_odd(fence: Fence) -> bool {
    fence.index % 2 == 1
}
