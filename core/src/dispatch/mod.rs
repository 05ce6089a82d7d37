//! Choosing workers for ready task runs: queues in strict order, resources, routing by reserved and measured load, and a
//! reason for every wait. Pure: news go in, grants come out; `now` and chance are arguments.
//! Must not know actors, rows, frames or connections.
//!
//! ```text
//!  offers, horizons ──▶ Queues ─ best ─▶ filters ─▶ score ─▶ policy ─▶ Grant
//!                         ▲  park by reason │          ▲
//!                         └── wake ◀── Crowd: accounts, heartbeats, health
//! ```
//!
//! `Dispatch` is one Dispatcher's term; `stream` is how shards and Dispatcher hear of each other. `Durations` and `remaining_paths` give offers their rank, `Wants` decides when a
//! task run may be offered at all, and `laboratory` plays traces through the same deciders.

mod account;
mod amounts;
mod chance;
mod choose;
mod crowd;
mod durations;
mod engine;
mod explain;
mod filters;
mod groups;
mod health;
pub mod laboratory;
mod learned_tasks;
mod offer;
mod offers;
mod pace;
mod paths;
mod queues;
mod quotas;
mod score;
mod slab;
pub mod stream;
mod trail;
mod views;
mod what_if;
mod worker;

pub use amounts::{Amounts, NAMED_MAX, Resource, Shortfall};
pub use chance::Chance;
pub use choose::Grant;
pub use durations::{Durations, Estimate, Learned, LearnedError, NO_CLASS, WorkerClass};
pub use engine::{Dispatch, DispatchConfig, DispatchCounts, Mistake, WorkerAccount};
pub use groups::{GroupConfig, Policy};
pub use health::{FAILURES_MAX, QUARANTINE_FIRST, QUARANTINE_LONGEST, TaskTag};
pub use learned_tasks::{LEARNED_TASKS_MAX, LearnedTasks};
pub use offer::{KindTag, LabelRule, LabelTest, Labels, Offer, REQUESTS_MAX, Rank, Shape, ZoneWish};
pub use offers::{Ended, GrantFailed, HoldFacts, OfferRefused, SHAPES_MAX};
pub use pace::Pace;
pub use paths::{learned_paths, path_left, remaining_paths};
pub use queues::Source;
pub use quotas::Quota;
pub use trail::{LINES_MAX, Line, Verdict};
pub use views::{GroupRoom, QueueNow};
pub use what_if::{Change, Outcome};
pub use worker::{DEVICES_MAX, Devices, Load, Metric, Metrics, WEIGHT_DEFAULT, WorkerFacts, WorkerState};
