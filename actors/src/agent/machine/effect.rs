//! What goes into the machine and what comes out of it.

use hortator_core::event::{AttemptEnd, StopCause};
use hortator_core::id::{AttemptId, Fence, Incarnation, RunId};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{FromWorker, Heartbeat, LogRequest, NodeId, Report, ToWorker};

use crate::seam::LaunchSpec;

/// The moment at which an input is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) boot: Span,
    pub(crate) wall: Timestamp,
}

#[derive(Debug)]
pub(crate) enum Input {
    Frame { from: NodeId, frame: ToWorker },
    SessionOpened(NodeId),
    SessionClosed(NodeId),
    AttemptOver { attempt: AttemptId, fence: Fence, end: AttemptEnd, log_bytes_dropped: u64 },
    WardenGone,
    WardenReady { earlier_lives_dead: bool },
}

/// To be done in this order.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Append to the spool, before what follows is sent.
    Keep(Vec<Report>),
    Send {
        to: NodeId,
        frame: FromWorker,
    },
    /// A heartbeat that lacks the host's figures.
    Beat {
        to: Vec<NodeId>,
        heartbeat: Heartbeat,
    },
    Start(Box<LaunchSpec>),
    Stop {
        attempt: AttemptId,
        fence: Fence,
        cause: StopCause,
    },
    Kill {
        attempt: AttemptId,
        fence: Fence,
    },
    /// The warden is gone, so all processes are.
    ForgetAttempts,
    SetDeadline(Option<Span>),
    RunEnded(RunId),
    ReadLog {
        from: NodeId,
        request: LogRequest,
    },
    /// For the log of the agent.
    LifeOver {
        incarnation: Option<Incarnation>,
        why: &'static str,
    },
    Registered {
        incarnation: Incarnation,
    },
}

/// What was dropped without a word, and why; for `Observe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Ignored {
    /// For another incarnation, or before the registration.
    pub other_life: u64,
    /// From a leader of a lower term than seen.
    pub old_term: u64,
    /// Without a live lease.
    pub no_lease: u64,
    /// Too many unacknowledged reports.
    pub spool_full: u64,
}
