//! Where answers go, and those that a Gateway gives by itself. Must not know who is asked.

use std::sync::Arc;

use bytes::Bytes;
use hortator_proto::api::{Problem, ProblemKind, Response};
use hortator_proto::frame::PeerFrame;
use tokio::sync::oneshot;

use super::REQUEST_TIMEOUT;
use super::questions::Lately;
use crate::leaders::MEMBERSHIP;
use crate::post::Post;

/// Where an answer goes. Dropped without one, the asking side learns that there will be none.
#[derive(Debug)]
pub enum ReplyTo {
    Here(oneshot::Sender<Response>),
    Peer(PeerReply),
}

/// The way back to another master's Gateway.
#[derive(Debug)]
pub struct PeerReply {
    post: Arc<Post>,
    master: u64,
    id: u64,
    memory: Memory,
    answered: bool,
}

/// Where it is noted what was answered.
#[derive(Debug)]
pub(super) enum Memory {
    None,
    Kept(Arc<Lately>),
}

impl PeerReply {
    pub(super) fn new(post: Arc<Post>, (master, id): (u64, u64), memory: Memory) -> PeerReply {
        PeerReply { post, master, id, memory, answered: false }
    }

    fn note(&self, response: &Response, body: &Bytes) {
        let Memory::Kept(lately) = &self.memory else { return };
        match response {
            Response::Problem(problem) if problem.code == NO_LEADER => lately.forget(self.master, self.id),
            _ => lately.answered(self.master, self.id, body),
        }
    }
}

impl ReplyTo {
    pub fn send(self, response: Response) {
        match self {
            // The client may have gone away.
            ReplyTo::Here(reply) => drop(reply.send(response)),
            ReplyTo::Peer(mut reply) => {
                let body = Bytes::from(serde_json::to_vec(&response).expect("a response is always JSON"));
                reply.answered = true;
                reply.note(&response, &body);
                reply.post.to_master(reply.master, PeerFrame::Response { id: reply.id, body });
            }
        }
    }
}

impl Drop for PeerReply {
    fn drop(&mut self) {
        if !self.answered {
            if let Memory::Kept(lately) = &self.memory {
                lately.forget(self.master, self.id);
            }
            self.post.to_master(self.master, PeerFrame::Response { id: self.id, body: Bytes::new() });
        }
    }
}

/// The code of the one answer that a Gateway tries again by itself.
pub const NO_LEADER: &str = "H1102";

/// Nothing was done, and will be when the group has a leader.
pub fn no_leader(group: u32) -> Response {
    let detail = format!("{} has no leader that is ready", group_name(group));
    Response::Problem(Problem::new(ProblemKind::Unavailable, NO_LEADER, detail).hint("hortator status"))
}

/// Nothing was done: this master has no room for it.
pub fn busy(why: &str) -> Response {
    Response::Problem(Problem::new(ProblemKind::Busy, "H1103", why).hint("try again in a moment"))
}

/// A group in a sentence.
pub(super) fn group_name(group: u32) -> String {
    match group {
        MEMBERSHIP => "the membership group".into(),
        shard => format!("shard {shard}"),
    }
}

pub(super) fn timed_out(group: u32) -> Response {
    let seconds = REQUEST_TIMEOUT.as_secs();
    let detail = format!(
        "no answer from {} within {seconds} s; whether the request took effect is unknown",
        group_name(group)
    );
    let hint = "repeat it with the same idempotency key; see: hortator status";
    Response::Problem(Problem::new(ProblemKind::Unavailable, "H1104", detail).hint(hint))
}
