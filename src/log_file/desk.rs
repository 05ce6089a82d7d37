//! Answers requests for logs on a thread of its own, so that nobody waits for the disk.
//! Must not know who asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hortator_actors::seam::LogReader;
use hortator_core::id::AttemptId;
use hortator_proto::frame::{LogAnswer, LogChunk, LogRequest};

use super::place::LogId;
use super::read::read_range;

/// Requests that wait; one more is told to come again. Each may read some MiB.
const REQUESTS_MAX: usize = 256;

type Reply = Box<dyn FnOnce(LogAnswer) + Send>;

/// The `LogReader` of a worker. Its thread ends when it is dropped.
pub struct LogDesk {
    requests: SyncSender<(LogRequest, Reply)>,
}

impl std::fmt::Debug for LogDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogDesk")
    }
}

impl LogDesk {
    /// `is_open` says whether an attempt may still write.
    pub fn start(
        logs: PathBuf,
        is_open: Arc<dyn Fn(AttemptId) -> bool + Send + Sync>,
    ) -> std::io::Result<LogDesk> {
        let (requests, waiting) = sync_channel(REQUESTS_MAX);
        std::thread::Builder::new().name("logs".into()).spawn(move || serve(&logs, &*is_open, &waiting))?;
        Ok(LogDesk { requests })
    }
}

fn serve(
    logs: &std::path::Path,
    is_open: &dyn Fn(AttemptId) -> bool,
    waiting: &Receiver<(LogRequest, Reply)>,
) {
    while let Ok((request, reply)) = waiting.recv() {
        let LogRequest { id, attempt, namespace, workflow, task, item, offset, bytes_max } = request;
        let place =
            LogId { namespace, workflow, run: attempt.task_run.run, task, item, attempt: attempt.attempt };
        // Asked before reading: what is written in between is read, or the attempt still counts as open.
        let open = is_open(attempt);
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let result = read_range(&place.path(logs), offset, bytes_max)
            .map(|chunk| LogChunk {
                // More is there; except what a crash tore off in the middle of a line.
                open: open || (!chunk.bytes.is_empty() && chunk.next_offset < chunk.size),
                next_offset: chunk.next_offset,
                bytes: chunk.bytes.into(),
            })
            .map_err(|error| format!("{error}: {}", error.source));
        reply(LogAnswer { id, result });
    }
}

impl LogReader for LogDesk {
    fn read(&self, request: &LogRequest, reply: Box<dyn FnOnce(LogAnswer) + Send>) {
        if let Err(error) = self.requests.try_send((request.clone(), reply)) {
            let (std::sync::mpsc::TrySendError::Full((request, reply))
            | std::sync::mpsc::TrySendError::Disconnected((request, reply))) = error;
            let why = format!("{REQUESTS_MAX} requests for logs wait on this worker already; ask again");
            reply(LogAnswer { id: request.id, result: Err(why) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hortator_core::id::{Name, RunId, TaskKey, TaskRunId};

    #[test]
    fn answers_by_ids() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunId::new(1, 1, 1);
        let name = |text| Name::new(text).unwrap();
        let attempt =
            AttemptId { task_run: TaskRunId { run, key: TaskKey { task: 0, item: 0 } }, attempt: 1 };
        let request = |task, offset| LogRequest {
            id: offset,
            attempt,
            namespace: name("ns"),
            workflow: name("wf"),
            task: name(task),
            item: None,
            offset,
            bytes_max: 10,
        };
        let path = dir.path().join("ns/wf").join(run.to_string());
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("load.1.log"), "one\ntwo\n").unwrap();
        let desk = LogDesk::start(dir.path().into(), Arc::new(move |asked| asked != attempt)).unwrap();
        let ask = |request: LogRequest| {
            let (reply, answer) = std::sync::mpsc::channel();
            desk.read(&request, Box::new(move |answer| reply.send(answer).unwrap()));
            answer.recv().unwrap()
        };
        let chunk = |bytes: &'static str, next_offset| {
            Ok(LogChunk { bytes: bytes.as_bytes().into(), next_offset, open: false })
        };
        assert_eq!(ask(request("load", 0)).result, chunk("one\ntwo\n", 8));
        assert_eq!(ask(request("load", 4)), LogAnswer { id: 4, result: chunk("two\n", 8) });
        assert_eq!(ask(request("other", 0)).result, chunk("", 0), "has printed nothing");
    }
}
