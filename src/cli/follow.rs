//! The logs of all tasks of a run as they are written, each line with its task's name before it.
//! The history says which attempt begins; a reader for each then follows its log to the end.

use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::StreamExt;
use hortator_core::definition::{self, TaskKind};
use hortator_core::event::Event;
use hortator_core::id::{Name, RunId, TaskKey};
use hortator_proto::api::{RunView, WorkflowDetail};
use tokio::sync::{Semaphore, mpsc};

use super::client::{Call, Client, query};
use super::error::{Error, Exit, code};
use super::history::{History, Message};
use super::output::printable;
use super::reference::task_name;
use crate::api::body::EndBody;

/// Logs followed at a time; later attempts wait for earlier ones to end.
const READERS_MAX: usize = 64;
/// Lines that wait to be printed; readers wait when it is full.
const LINES_MAX: usize = 1_024;
/// Logs may come in a little after the run has ended.
const TAIL_MAX: Duration = Duration::from_secs(10);
/// How often a broken log is taken up again without progress.
const RETRIES_MAX: u32 = 5;

/// Where lines go, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineStyle {
    /// To stderr, because stdout is for the result.
    pub(crate) stderr: bool,
    pub(crate) timestamps: bool,
    pub(crate) colour: bool,
}

/// What a task of the workflow is to a reader of logs.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    pub(crate) id: Name,
    pub(crate) foreach: bool,
    pub(crate) has_log: bool,
}

/// The tasks of a run's workflow, by index.
pub(crate) async fn task_infos(client: &Client, run: &RunView) -> Result<Vec<TaskInfo>, Error> {
    Ok(infos(&definition_of(client, run).await?))
}

/// The version of its workflow that a run is of.
pub(crate) async fn definition_of(client: &Client, run: &RunView) -> Result<definition::Definition, Error> {
    let version = query(&[("version", Some(run.version.to_string()))]);
    let path = format!("/workflows/{}/{}{version}", run.namespace, run.workflow);
    let detail: WorkflowDetail = client.ask(Call::get(path)).await?;
    let parsed = definition::parse("definition", detail.source.as_bytes()).map_err(|_| {
        let detail = format!("this program does not understand version {} of {}", run.version, run.workflow);
        Error::new(Exit::Unexpected, code::BAD_ANSWER, detail)
            .hint("use the version of the cluster: hortator status")
    })?;
    Ok(parsed.definition)
}

pub(crate) fn infos(definition: &definition::Definition) -> Vec<TaskInfo> {
    let info = |task: &definition::Task| TaskInfo {
        id: task.id.clone(),
        foreach: task.foreach.is_some(),
        has_log: !matches!(task.kind, TaskKind::Noop),
    };
    definition.tasks.iter().map(info).collect()
}

/// Follows a run's logs from its beginning until it is final.
pub(crate) async fn follow(
    client: Rc<Client>,
    run: RunId,
    tasks: Vec<TaskInfo>,
    style: LineStyle,
) -> Result<EndBody, Error> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    let printer = actix_rt::spawn(print(receiver, style));
    let slots = Rc::new(Semaphore::new(READERS_MAX));
    let mut readers = Vec::new();
    let mut history = History::new(&client, run, None);
    let end = loop {
        let events = match history.next().await? {
            Message::End(end) => break end,
            Message::Entry(events) => events,
        };
        for event in events {
            let Ok(Event::AttemptDispatched { key, attempt, .. }) = serde_json::from_value(event) else {
                continue;
            };
            let Some(task) = tasks.get(key.task as usize).filter(|task| task.has_log) else {
                continue;
            };
            let reader = Reader {
                client: client.clone(),
                run,
                task: task.clone(),
                key,
                attempt,
                lines: sender.clone(),
            };
            readers.retain(|reader: &actix_rt::task::JoinHandle<()>| !reader.is_finished());
            readers.push(actix_rt::spawn(reader.run(slots.clone())));
        }
    };
    drop(sender);
    let tail = async {
        for reader in readers {
            let _ = reader.await;
        }
        printer.await
    };
    match tokio::time::timeout(TAIL_MAX, tail).await {
        Ok(Ok(result)) => result.map(|()| end),
        Ok(Err(_)) | Err(_) => Ok(end),
    }
}

/// A line of a log on its way to the printer.
struct Line {
    label: Rc<str>,
    /// As in the file: time, stream, text.
    text: String,
}

struct Reader {
    client: Rc<Client>,
    run: RunId,
    task: TaskInfo,
    key: TaskKey,
    attempt: u16,
    lines: mpsc::Sender<Line>,
}

impl Reader {
    async fn run(self, slots: Rc<Semaphore>) {
        let Ok(_slot) = slots.acquire().await else { return };
        let item = self.task.foreach.then_some(self.key.item);
        let name = task_name(&self.task.id, item);
        let label: Rc<str> = if self.attempt > 1 { format!("{name}#{}", self.attempt) } else { name }.into();
        let log = LogSource {
            run: self.run,
            task: self.task.id.clone(),
            item,
            attempt: Some(self.attempt),
            follow: true,
        };
        let lines = self.lines.clone();
        let shown = label.clone();
        let read = read(&self.client, &log, async move |text| {
            let _ = lines.send(Line { label: shown.clone(), text }).await;
            Ok(())
        });
        if let Err(error) = read.await {
            let text = format!("- e ({error})");
            let _ = self.lines.send(Line { label, text }).await;
        }
    }
}

async fn print(mut lines: mpsc::Receiver<Line>, style: LineStyle) -> Result<(), Error> {
    let mut colours: BTreeMap<Rc<str>, usize> = BTreeMap::new();
    while let Some(line) = lines.recv().await {
        let next = colours.len();
        let number = *colours.entry(line.label.clone()).or_insert(next);
        write_line(Some((&line.label, number)), &line.text, style)?;
    }
    Ok(())
}

/// Writes one line of a log, with its label and that label's number when there are several logs.
pub(crate) fn write_line(label: Option<(&str, usize)>, line: &str, style: LineStyle) -> Result<(), Error> {
    const COLOURS: [&str; 6] = ["36", "35", "33", "32", "34", "31"];
    let text = if style.timestamps { line } else { line.splitn(3, ' ').nth(2).unwrap_or("") };
    let shown = match label {
        None => format!("{text}\n"),
        Some((label, number)) if style.colour => {
            format!("\x1b[{}m{label}\x1b[0m | {text}\n", COLOURS[number % COLOURS.len()])
        }
        Some((label, _)) => format!("{} | {text}\n", printable(label)),
    };
    let written = match style.stderr {
        true => std::io::stderr().lock().write_all(shown.as_bytes()),
        false => std::io::stdout().lock().write_all(shown.as_bytes()),
    };
    written.map_err(|error| Error::io("cannot write the log", &error))
}

/// Which log to read.
#[derive(Clone, Debug)]
pub(crate) struct LogSource {
    pub(crate) run: RunId,
    pub(crate) task: Name,
    pub(crate) item: Option<u32>,
    pub(crate) attempt: Option<u16>,
    pub(crate) follow: bool,
}

/// Reads a log line by line, and goes on where it was when a connection breaks.
pub(crate) async fn read(
    client: &Client,
    log: &LogSource,
    mut on_line: impl AsyncFnMut(String) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut offset, mut breaks) = (0u64, 0);
    loop {
        let pairs = [
            ("item", log.item.map(|item| item.to_string())),
            ("attempt", log.attempt.map(|attempt| attempt.to_string())),
            ("offset", Some(offset.to_string())),
            ("follow", log.follow.then(|| "true".into())),
        ];
        let path = format!("/runs/{}/tasks/{}/log{}", log.run, log.task, query(&pairs));
        let mut pieces = client.open(Call::get(path).extra(WAIT_FOR_ATTEMPT)).await?;
        let mut rest = Vec::new();
        loop {
            let piece = match pieces.next().await {
                None => return Ok(()),
                Some(Err(_)) => break,
                Some(Ok(piece)) => piece,
            };
            breaks = 0;
            rest.extend_from_slice(&piece);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                offset += line.len() as u64;
                on_line(String::from_utf8_lossy(&line[..end]).into_owned()).await?;
            }
        }
        breaks += 1;
        if breaks > RETRIES_MAX {
            let detail = format!("the log of {} broke off at byte {offset}", log.task);
            return Err(Error::new(Exit::Unavailable, code::LOG_CUT, detail));
        }
    }
}

/// A followed log answers only when its attempt exists, which may take as long as the tasks before it.
const WAIT_FOR_ATTEMPT: Duration = Duration::from_secs(7 * 24 * 3600);
