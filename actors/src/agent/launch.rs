//! From the masters' words to the launcher's and back. Pure.
//! Must not know when: `machine` has decided that an attempt starts, and a process has ended.

use hortator_core::event::{AttemptEnd, AttemptResult, StopCause};
use hortator_core::time::Timestamp;
use hortator_proto::frame::{Program, RunAttempt};

use crate::seam::{LaunchEnd, LaunchNames, LaunchProgram, LaunchResult, LaunchSpec};

/// What the launcher needs; none for what starts no process.
pub(crate) fn launch_spec(run: RunAttempt, now: Timestamp) -> Option<LaunchSpec> {
    let program = match run.program {
        Program::Noop => return None,
        Program::Script { interpreter, text } => LaunchProgram::Script { interpreter, text },
        Program::File { interpreter, path } => LaunchProgram::File { interpreter, path },
    };
    Some(LaunchSpec {
        attempt: run.attempt,
        fence: run.fence,
        names: LaunchNames {
            namespace: run.namespace,
            workflow: run.workflow,
            task: run.task,
            item: run.item,
        },
        program,
        env: run.env,
        outputs: run.outputs,
        grace: run.grace,
        deadline: run.timeout.map(|timeout| now.plus(timeout)),
    })
}

/// How the attempt ended. What was over before the stop was asked for keeps its own result; after that the stop is
/// why, whatever the process made of the signal.
pub(crate) fn attempt_end(end: LaunchEnd, stop: Option<(StopCause, Timestamp)>) -> AttemptEnd {
    let own = match end.result {
        LaunchResult::Exited { code: 0 } => AttemptResult::Succeeded { outputs: end.outputs },
        LaunchResult::Exited { code } => AttemptResult::Exited { code },
        LaunchResult::Signalled { signal } => AttemptResult::Signalled { signal },
        LaunchResult::NotStarted { error } => AttemptResult::NotStarted { error },
        LaunchResult::OutputsInvalid { error } => AttemptResult::OutputsInvalid { error },
    };
    let result = match stop {
        Some((StopCause::Timeout, at)) if end.finished_at >= at => AttemptResult::TimedOut,
        Some((StopCause::Cancelled, at)) if end.finished_at >= at => AttemptResult::Cancelled,
        Some(_) | None => own,
    };
    AttemptEnd { started_at: end.started_at.unwrap_or(end.finished_at), finished_at: end.finished_at, result }
}
