//! Staying with a run until it ends: progress or logs meanwhile, Ctrl-C and time limits on the way.
//! Must not know how the run was started.

use std::time::Duration;

use futures_util::future::{Either, pending};
use hortator_core::id::RunId;
use hortator_proto::api::RunView;

use super::result;
use crate::cli::args::WaitArgs;
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::follow::{self, LineStyle, TaskInfo};
use crate::cli::progress;
use crate::cli::session::Session;
use crate::cli::signals::Asked;
use crate::cli::states;

/// How long one request waits for the end; then the next one does.
const WAIT_PER_REQUEST: Duration = Duration::from_secs(30);

/// Why the stay is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In this state.
    Ended(String),
    TimedOut,
    Interrupted,
}

/// What to do meanwhile.
#[derive(Clone, Debug)]
pub enum Meanwhile {
    Progress,
    /// Print the logs of these tasks.
    Logs(Vec<TaskInfo>),
}

/// Waits for the run's end, a time limit or Ctrl-C, whichever comes first.
pub(super) async fn until_end(
    session: &Session,
    run: RunId,
    meanwhile: Meanwhile,
    timeout: Option<Duration>,
    asked: &mut Asked,
) -> Result<Outcome, Error> {
    let drawing = match (&meanwhile, session.output.live) {
        (Meanwhile::Progress, true) => {
            Either::Left(progress::draw(&session.client, run, session.output.ascii))
        }
        _ => Either::Right(pending()),
    };
    let timer = match timeout {
        Some(timeout) => Either::Left(tokio::time::sleep(timeout)),
        None => Either::Right(pending()),
    };
    tokio::select! {
        biased;
        ended = end(session, run, meanwhile) => ended.map(Outcome::Ended),
        () = asked.heard() => Ok(Outcome::Interrupted),
        () = timer => Ok(Outcome::TimedOut),
        () = drawing => unreachable!("drawing goes on until it is dropped"),
    }
}

async fn end(session: &Session, run: RunId, meanwhile: Meanwhile) -> Result<String, Error> {
    if let Meanwhile::Logs(tasks) = meanwhile {
        let style = LineStyle { stderr: true, timestamps: false, colour: session.output.colour };
        return Ok(follow::follow(session.client.clone(), run, tasks, style).await?.state);
    }
    loop {
        let path = format!("/runs/{run}?wait={}s", WAIT_PER_REQUEST.as_secs());
        let view: RunView = session.client.ask(Call::get(path).extra(WAIT_PER_REQUEST)).await?;
        if states::is_final(&view.state) {
            return Ok(view.state);
        }
    }
}

/// Stays with a run of a cluster as the flags say, prints its result and gives the exit code.
/// Ctrl-C leaves the run alone.
pub async fn stay(session: &Session, run: RunId, wait: &WaitArgs) -> Result<Exit, Error> {
    let meanwhile = match wait.follow {
        false => Meanwhile::Progress,
        true => {
            let view: RunView = session.client.ask(Call::get(format!("/runs/{run}"))).await?;
            Meanwhile::Logs(follow::task_infos(&session.client, &view).await?)
        }
    };
    let timeout = wait.timeout.map(|span| span.as_duration());
    match until_end(session, run, meanwhile, timeout, &mut Asked::listen()?).await? {
        Outcome::Ended(state) => {
            result::print(session, run).await?;
            Ok(exit_of(&state))
        }
        Outcome::TimedOut => {
            eprintln!("run {run} is not over and goes on; come back: hortator run show {run} --follow");
            Ok(Exit::TimedOut)
        }
        Outcome::Interrupted => {
            eprintln!("\nrun {run} goes on; come back: hortator run show {run} --follow");
            Ok(Exit::Interrupted)
        }
    }
}

pub fn exit_of(state: &str) -> Exit {
    if state == "succeeded" { Exit::Success } else { Exit::RunFailed }
}
