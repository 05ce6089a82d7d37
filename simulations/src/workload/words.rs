//! What was answered, for whoever reads the story. Must not judge it.

use hortator_proto::api::Response;

/// See the module.
pub(super) fn words_of(response: &Response) -> String {
    match response {
        Response::Started { run, existing, position } => {
            let word = if *existing { "was started before" } else { "is started" };
            format!("run {run} {word} ({position})")
        }
        Response::Run(view) => format!("run {} is {} ({})", view.id, view.state, view.position),
        Response::TaskRuns { tasks, position, .. } => {
            let each =
                tasks.iter().map(|task| format!("{}[{}]#{}", task.id, task.item.unwrap_or(0), task.attempt));
            format!("succeeded: {} ({position})", each.collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}
