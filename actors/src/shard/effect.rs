//! What a decision asks of the outside, as data, and its execution after commit. Every effect may be executed twice:
//! a new epoch derives the outstanding ones again.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use hortator_core::event::{Share, StopCause};
use hortator_core::id::{AttemptId, Fence, Name, Position as LogPosition, RunId, WorkerRef};
use hortator_core::time::Span;
use hortator_proto::api::Response;
use hortator_proto::frame::{RunAttempt, StopAttempt, ToWorker};
use hortator_raft::{Position, unreachable_mark};

use super::board::Place;
use super::context::ShardContext;
use crate::gateway::ReplyTo;
use crate::mailbox::{Mailbox, Meter};
use crate::post::Post;
use crate::query::ReadJob;
use crate::run_frame;
pub use crate::schedule_counts::ScheduleCount;
use crate::scope::RunScope;
use crate::task::{Placed, TaskActor};

/// See the module.
pub enum Effect {
    Reply {
        to: ReplyTo,
        answer: Answer,
    },
    /// The attempt's `Run` frame; its fence is this entry's position unless it was dispatched by an earlier one.
    Run {
        scope: Rc<RunScope>,
        attempt: AttemptId,
        worker: WorkerRef,
        share: Share,
        fence: RunFence,
    },
    Stop {
        worker: WorkerRef,
        attempt: AttemptId,
        fence: Fence,
        cause: StopCause,
    },
    /// The worker's word is in the log, or changes nothing.
    Acknowledge {
        worker: Name,
        attempt: AttemptId,
        fence: Fence,
    },
    /// The run is over: its actor may go once its rows can be read, and its directories on these workers.
    Finished {
        run: RunId,
        workers: Vec<Name>,
    },
    /// A decision about a schedule is committed.
    CountSchedule(ScheduleCount),
    /// A read of rows, once this master has applied what is committed by now.
    Read(ReadJob),
}

/// Where an attempt's fence comes from.
pub enum RunFence {
    /// The entry that carries this effect dispatched the attempt: its actor hears where.
    ThisEntry(Mailbox<TaskActor>),
    Known(Fence),
}

/// A response that still lacks its position.
#[derive(Debug)]
pub enum Answer {
    Applied {
        name: hortator_core::id::WorkflowName,
        version: u32,
        changed: bool,
    },
    Started {
        run: RunId,
        existing: bool,
    },
    Accepted {
        run: RunId,
        state: String,
    },
    /// A view among them says its own position: that of the entry it waits for may have what the view has not.
    Complete(Response),
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Effect::Reply { .. } => "Reply",
            Effect::Run { .. } => "Run",
            Effect::Stop { .. } => "Stop",
            Effect::Acknowledge { .. } => "Acknowledge",
            Effect::Finished { .. } => "Finished",
            Effect::CountSchedule(_) => "CountSchedule",
            Effect::Read(_) => "Read",
        };
        f.write_str(name)
    }
}

impl Answer {
    fn at(self, position: LogPosition) -> Response {
        match self {
            Answer::Applied { name, version, changed } => {
                Response::Applied { name, version, changed, position }
            }
            Answer::Started { run, existing } => Response::Started { run, existing, position },
            Answer::Accepted { run, state } => Response::Accepted { run, state, position },
            Answer::Complete(response) => response,
        }
    }
}

/// What execution leaves to the Shard, since it needs applied rows.
#[derive(Debug, Default)]
pub struct Left {
    pub finished: Vec<RunId>,
    pub reads: Vec<ReadJob>,
}

/// Executes the effects of one entry, or of one ReadIndex round; frames to one worker travel together.
pub fn execute(
    context: &ShardContext,
    post: &Arc<Post>,
    position: Option<Position>,
    effects: Vec<Effect>,
    now: Span,
) -> Left {
    let mut left = Left::default();
    let mut mail: BTreeMap<Name, Mail> = BTreeMap::new();
    let index = position.map_or_else(|| context.rows.applied(), |position| position.index);
    let here = LogPosition { group: context.shard, index };
    for effect in effects {
        match effect {
            Effect::Reply { to, answer } => to.send(answer.at(here)),
            Effect::Run { scope, attempt, worker, share, fence } => {
                let fence = place(context, position, attempt, fence);
                context.run_sent((attempt, fence), &worker, now);
                let run = run_frame::run_attempt(context, &scope, (attempt, fence), &worker, &share);
                mail.entry(worker.name).or_default().runs.push(run);
            }
            Effect::Stop { worker, attempt, fence, cause } => {
                let stop = StopAttempt { attempt, fence, incarnation: worker.incarnation, cause };
                mail.entry(worker.name).or_default().stops.push(stop);
            }
            Effect::Acknowledge { worker, attempt, fence } => {
                context.fence_closed(fence, attempt.task_run);
                context.not_in_doubt(&[(attempt, fence)]);
                mail.entry(worker).or_default().acknowledged.push((attempt, fence));
            }
            Effect::Finished { run, workers } => {
                Meter::add(&context.meter.runs_finished, 1);
                left.finished.push(run);
                for worker in workers {
                    mail.entry(worker).or_default().ended.push(run);
                }
            }
            Effect::CountSchedule(count) => context.meter.schedules.add(count),
            Effect::Read(job) => left.reads.push(job),
        }
    }
    if let Some(position) = position {
        context.set_settled(position);
    }
    for (worker, mail) in mail {
        mail.send(context, post, &worker);
    }
    left
}

/// Sends what can be said at once, and gives the rest; only a mutant does that.
pub(super) fn answer_now(context: &ShardContext, effects: Vec<Effect>) -> Vec<Effect> {
    let here = LogPosition { group: context.shard, index: context.rows.applied() };
    let mut rest = Vec::new();
    for effect in effects {
        match effect {
            Effect::Reply { to, answer } => to.send(answer.at(here)),
            other => rest.push(other),
        }
    }
    rest
}

/// The fence of an attempt, told to its actor when this entry made it.
fn place(context: &ShardContext, position: Option<Position>, attempt: AttemptId, fence: RunFence) -> Fence {
    match (fence, position) {
        (RunFence::Known(fence), _) => fence,
        (RunFence::ThisEntry(task), Some(position)) => {
            let fence = context.fence(position);
            context.fence_open(fence, attempt.task_run);
            context.board.passed(attempt.task_run);
            Meter::add(&context.meter.dispatches, 1);
            let place = Place { attempt: attempt.attempt, fence };
            // Without it no word of the worker counts. Full means that it has messages to handle, and with each of them
            // it looks at the board.
            if task.send(Placed(place)).is_err() {
                context.board.placed(attempt.task_run, place);
            }
            fence
        }
        (RunFence::ThisEntry(_), None) => {
            unreachable_mark!("shard: a dispatch writes no row");
            unreachable!("a dispatch always writes a row")
        }
    }
}

/// What one worker is told after one entry.
#[derive(Default)]
struct Mail {
    runs: Vec<RunAttempt>,
    stops: Vec<StopAttempt>,
    acknowledged: Vec<(AttemptId, Fence)>,
    ended: Vec<RunId>,
}

/// Attempts in one `Run` frame: 500 of them stay below the frame's 16 MiB unless their scripts are large.
const RUNS_PER_FRAME: usize = 500;
/// Bytes of scripts and variables after which a `Run` frame is closed.
const RUN_FRAME_BYTES: usize = 4 << 20;

impl Mail {
    fn send(self, context: &ShardContext, post: &Arc<Post>, worker: &Name) {
        let speaks_for = context.speaks_for();
        if !self.acknowledged.is_empty() {
            let watermark = context.watermark();
            post.to_worker(
                speaks_for,
                worker,
                &ToWorker::Acknowledge { reports: self.acknowledged, watermark },
            );
        }
        let (mut page, mut bytes) = (Vec::new(), 0);
        for run in self.runs {
            bytes += run_frame::bytes(&run);
            page.push(run);
            if page.len() >= RUNS_PER_FRAME || bytes >= RUN_FRAME_BYTES {
                post.to_worker(speaks_for, worker, &ToWorker::Run(std::mem::take(&mut page)));
                bytes = 0;
            }
        }
        if !page.is_empty() {
            post.to_worker(speaks_for, worker, &ToWorker::Run(page));
        }
        if !self.stops.is_empty() {
            post.to_worker(speaks_for, worker, &ToWorker::Stop(self.stops));
        }
        if !self.ended.is_empty() {
            post.to_worker(speaks_for, worker, &ToWorker::RunsEnded(self.ended));
        }
    }
}

impl std::fmt::Debug for RunFence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunFence")
    }
}
