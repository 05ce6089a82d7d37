//! `hortator logs`: one task's log as it is, or all of a run's with the task's name before each line.
//! stdout gets the lines.

use hortator_proto::api::TaskRunView;

use super::result::all_tasks;
use super::runs::find;
use crate::cli::args::LogsArgs;
use crate::cli::error::{Error, Exit};
use crate::cli::follow::{self, LineStyle, LogSource, TaskInfo, read, write_line};
use crate::cli::reference::{RunReference, TaskReference, task_name};
use crate::cli::session::Session;

pub async fn logs(session: &Session, args: LogsArgs) -> Result<Exit, Error> {
    let reference = RunReference::parse(&args.run, &session.namespace)?;
    let run = find(session, &args.run.clone()).await?;
    let task = match (reference.task, &args.task) {
        (Some(_), Some(_)) => return Err(Error::usage("the task is named twice")),
        (Some(task), None) => Some(task),
        (None, Some(text)) => Some(TaskReference::parse(text)?),
        (None, None) => None,
    };
    let style = LineStyle { stderr: false, timestamps: args.timestamps, colour: session.output.colour };
    let work = async {
        match task {
            Some(task) => {
                let log = LogSource {
                    run: run.id,
                    task: task.task,
                    item: task.item,
                    attempt: args.attempt,
                    follow: args.follow,
                };
                read(&session.client, &log, async |line| write_line(None, &line, style)).await
            }
            None if args.follow => {
                let tasks = follow::task_infos(&session.client, &run).await?;
                follow::follow(session.client.clone(), run.id, tasks, style).await.map(|_| ())
            }
            None => {
                let tasks = follow::task_infos(&session.client, &run).await?;
                let views = all_tasks(&session.client, run.id, &[]).await?;
                all(session, run.id, &tasks, &views, style).await
            }
        }
    };
    tokio::select! {
        biased;
        done = work => done.map(|()| Exit::Success),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

/// The logs of everything that was started, one after the other.
async fn all(
    session: &Session,
    run: hortator_core::id::RunId,
    tasks: &[TaskInfo],
    views: &[TaskRunView],
    style: LineStyle,
) -> Result<(), Error> {
    let has_log = |view: &&TaskRunView| {
        view.attempt > 0 && tasks.iter().find(|task| task.id == view.id).is_none_or(|task| task.has_log)
    };
    for (number, view) in views.iter().filter(has_log).enumerate() {
        let label = task_name(&view.id, view.item);
        let log = LogSource { run, task: view.id.clone(), item: view.item, attempt: None, follow: false };
        let lines =
            read(&session.client, &log, async |line| write_line(Some((&label, number)), &line, style));
        if let Err(error) = lines.await {
            // A log on a lost host does not keep the others from being read.
            if error.is_silent() {
                return Err(error);
            }
            eprintln!("error: {error}");
        }
    }
    Ok(())
}
