//! What a client sets out for: a start of a workflow, and what it does about the run. As data, so that it can be stored,
//! left out and repeated. Must not know what comes of it.

use hortator_core::id::Name;
use hortator_core::time::Span;
use serde::{Deserialize, Serialize};

use super::{Flow, Habits, Order};
use crate::evidence::Delivery;
use crate::world::draw::Draw;

/// Looks at a run before a client cancels it, at most.
const LOOKS: u64 = 12;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errand {
    /// Since the world began.
    #[serde(with = "crate::words::span")]
    pub at: Span,
    pub client: u64,
    /// Of the client's errands; with the client it names the streams of what is still drawn, and the start's key.
    pub number: u64,
    pub workflow: String,
    /// Set before the start, whatever comes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitSet>,
    /// Given before the start, whatever comes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Looks at the run before it is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_after: Option<u64>,
    /// A failed run is tried again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub retries: bool,
    /// A start that is not answered at once is given up.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gives_up: bool,
    /// The start is sent once more although it was answered.
    #[serde(default, skip_serializing_if = "is_false")]
    pub repeats: bool,
}

/// How much of a limit there is from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSet {
    pub name: Name,
    pub max: u32,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Errand {
    pub(super) fn draw(
        at: Span,
        client: u64,
        number: u64,
        habits: &Habits,
        flows: &[Flow],
        draw: &mut Draw,
    ) -> Errand {
        let flow = &flows[draw.below(flows.len() as u64) as usize];
        // A person who tries again what may run once has said so; the promise is about everybody else.
        let once = flow.shapes.iter().any(|task| task.delivery == Delivery::AtMostOnce);
        Errand {
            at,
            client,
            number,
            workflow: flow.definition.name.to_string(),
            limit: None,
            order: None,
            cancel_after: draw.chance(habits.cancels).then(|| draw.below(LOOKS)),
            retries: draw.chance(habits.retries_failed) && !once,
            gives_up: draw.chance(habits.gives_up),
            repeats: draw.chance(habits.repeats),
        }
    }

    /// The idempotency key of its start.
    pub fn key(&self) -> String {
        format!("client-{}-{}", self.client, self.number)
    }
}
