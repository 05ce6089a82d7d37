//! Limits as clients see them. Must not know the rows they come from.

use hortator_core::id::{Name, RunId, TaskKey};
use hortator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A limit and how much of it is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitView {
    pub namespace: Name,
    pub name: Name,
    /// None: nobody has set it, and yet somebody holds it or waits.
    pub max: Option<u32>,
    pub used: u64,
    /// How many hold it, and how many wait for it.
    pub holders: u64,
    pub waiters: u64,
    pub by: Option<String>,
    pub set_at: Option<Timestamp>,
}

/// The same with the first of those who hold it and of those who wait, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitDetail {
    #[serde(flatten)]
    pub view: LimitView,
    #[serde(rename = "held_by")]
    pub holders: Vec<LimitUser>,
    #[serde(rename = "waited_for_by")]
    pub waiters: Vec<LimitUser>,
}

/// A task run that holds or waits. Its names are missing only in the moment when its want is gone and its hold is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitUser {
    pub run: RunId,
    #[serde(flatten)]
    pub key: TaskKey,
    pub workflow: Option<Name>,
    #[serde(rename = "id")]
    pub task: Option<Name>,
    pub weight: u32,
    /// Since when it holds.
    pub since: Option<Timestamp>,
}
