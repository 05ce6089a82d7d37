//! What is going on in a run, drawn on a terminal's stderr: a bar of finished tasks and the names of those running.
//! Must not know how the run ends; whoever waits for that drops it.

use std::time::Duration;

use hortator_core::id::RunId;
use hortator_proto::api::{RunView, TaskRunView};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::client::{Call, Client, query};
use super::reference::task_name;
use crate::api::body::Page;

/// Often enough to look alive, seldom enough to cost nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
const NAMES_MAX: u32 = 4;
/// Names are looked for among all task runs of the run, which in larger ones costs more than they are worth.
const NAMED_TASKS_MAX: u64 = 5_000;
/// States in which nothing more happens to a task run.
const OVER: [&str; 4] = ["succeeded", "failed", "cancelled", "skipped"];

/// Draws until it is dropped. Errors are not its business: whoever waits sees them too.
pub(crate) async fn draw(client: &Client, run: RunId, ascii: bool) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{bar:24} {pos}/{len} tasks  {elapsed}  {wide_msg}";
    let style = ProgressStyle::with_template(template).expect("a constant template");
    bar.set_style(if ascii { style.progress_chars("=> ") } else { style.progress_chars("━╸─") });
    let _cleared = ClearOnDrop(&bar);
    loop {
        if let Some((done, total, text)) = look(client, run).await {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(text);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

struct ClearOnDrop<'a>(&'a ProgressBar);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

async fn look(client: &Client, run: RunId) -> Option<(u64, u64, String)> {
    let view: RunView = client.ask(Call::get(format!("/runs/{run}"))).await.ok()?;
    let count = |words: &[&str]| -> u64 {
        words.iter().filter_map(|word| view.counts.get(*word)).map(|count| u64::from(*count)).sum()
    };
    let total = view.counts.values().map(|count| u64::from(*count)).sum();
    let active = count(&["active", "running", "dispatched"]);
    let mut text = String::new();
    if active > 0 && total <= NAMED_TASKS_MAX {
        let pairs =
            [("state", Some("running,dispatched,stopping".into())), ("limit", Some(NAMES_MAX.to_string()))];
        let page: Page<TaskRunView> =
            client.ask(Call::get(format!("/runs/{run}/tasks{}", query(&pairs)))).await.ok()?;
        let names: Vec<String> = page.items.iter().map(|task| task_name(&task.id, task.item)).collect();
        let more = active.saturating_sub(names.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        if !names.is_empty() {
            text = format!("running: {}{more}", names.join(", "));
        }
    } else if let Some(reason) = &view.reason {
        text = reason.clone();
    }
    let failed = count(&["failed"]);
    if failed > 0 {
        text = format!("{failed} failed  {text}");
    }
    Some((count(&OVER), total, text))
}
