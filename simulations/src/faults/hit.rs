//! A fault that happened at one time to victims with names, or is to happen so once more. Must not know who drew it.

use hortator_core::time::Span;
use hortator_proto::frame::NodeId;
use serde::{Deserialize, Serialize};

use super::Fault;
use crate::world::World;
use crate::world::draw::Draw;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hit {
    /// Since the world began.
    #[serde(with = "crate::words::span")]
    pub at: Span,
    #[serde(rename = "do")]
    pub fault: Fault,
    pub who: Vec<String>,
    #[serde(rename = "for", with = "crate::words::span")]
    pub lasts: Span,
    /// The line of the plan that it came of, and which of that line's hits it is: names the stream of what is still
    /// drawn, such as how much of a write is lost.
    pub line: usize,
    pub number: u32,
    /// What it waited for; nothing when it came at its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
}

/// The first time that a mark in the code is passed from a time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    pub mark: String,
    /// Since the world began.
    #[serde(with = "crate::words::span")]
    pub from: Span,
}

impl Hit {
    pub(super) fn draw(&self, world: &World) -> Draw {
        world.draw(&format!("fault {}.{}", self.line, self.number))
    }

    /// Those that the world has.
    pub(super) fn victims(&self, world: &World) -> Vec<NodeId> {
        let masters = world.master_ids().into_iter().map(NodeId::Master);
        let all: Vec<NodeId> = masters.chain(world.worker_names().into_iter().map(NodeId::Worker)).collect();
        let named = |name: &String| all.iter().find(|node| node.to_string() == *name).cloned();
        self.who.iter().filter_map(named).collect()
    }
}
