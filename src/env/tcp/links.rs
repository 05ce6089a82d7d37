//! How many connections there are, and what goes through them, for metrics. Must not know what is in a frame.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hortator_proto::frame::NodeId;

use super::peers::Peers;

/// What a node's connections carry; looks only.
#[derive(Clone)]
pub struct Links(Arc<Peers>);

/// Of all peers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// `master` or `worker`.
    pub kind: &'static str,
    /// Peers that are connected.
    pub connected: usize,
    /// Bytes of frames handed to connections, and taken from them.
    pub sent: u64,
    pub received: u64,
}

impl Links {
    pub(super) fn new(peers: Arc<Peers>) -> Links {
        Links(peers)
    }

    /// Of masters, then of workers.
    pub fn traffic(&self) -> [Traffic; 2] {
        let connected = self.0.connected();
        ["master", "worker"].map(|kind| {
            let Flow { sent, received } = self.0.flow(kind);
            let connected = connected.iter().filter(|node| kind_of(node) == kind).count();
            let (sent, received) = (sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed));
            Traffic { kind, connected, sent, received }
        })
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.traffic()).finish()
    }
}

/// Bytes of frames so far.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

pub(super) fn kind_of(node: &NodeId) -> &'static str {
    match node {
        NodeId::Master(_) => "master",
        NodeId::Worker(_) => "worker",
    }
}
