//! What actors are called. Must not know what they do.

use hortator_core::id::{AttemptId, RunId, TaskRunId};

/// How an actor is called among those of its kind; written out only when somebody looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorName {
    /// The only one of its kind on its node.
    Only,
    Group(u32),
    Run(RunId),
    TaskRun(TaskRunId),
    Attempt(AttemptId),
    Text(Box<str>),
}

impl std::fmt::Display for ActorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ActorName::Only => f.write_str("-"),
            ActorName::Group(0) => f.write_str("membership"),
            ActorName::Group(group) => write!(f, "shard-{group}"),
            ActorName::Run(run) => run.fmt(f),
            ActorName::TaskRun(id) => task_run(f, *id),
            ActorName::Attempt(id) => {
                task_run(f, id.task_run)?;
                write!(f, "#{}", id.attempt)
            }
            ActorName::Text(text) => f.write_str(text),
        }
    }
}

/// By the numbers of task and item: an actor knows no more of its own name.
fn task_run(f: &mut std::fmt::Formatter<'_>, id: TaskRunId) -> std::fmt::Result {
    write!(f, "{}/{}[{}]", id.run, id.key.task, id.key.item)
}
