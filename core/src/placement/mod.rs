//! Choosing workers for ready task runs: two state machines and the frames between them.
//! Must not know actors, rows, connections or clocks: frames go in, frames come out, `now` is an argument.
//!
//! ```text
//!  shard leader                                   membership leader
//!  OfferBook ──OfferFrame {offers, held}────────▶ Placement ◀── workers, heartbeats, losses
//!     ▲      ◀─DispatcherFrame {grants, credits}─┘
//!     └ insert, remove, dispatched, ended
//! ```
//!
//! An `OfferBook` holds all ready task runs of a shard and shows the best of each shape, as many as it has credits
//! for. `Placement` queues what it is shown, chooses, and answers every frame. Both are soft: either may be lost, and
//! a full list starts the stream anew.

mod book;
mod book_link;
mod dispatcher;
mod dispatcher_streams;
mod explain;
mod frame;
mod offer;
mod queues;
mod room;
pub(crate) mod slab;
mod streams;
mod worker;
mod worker_groups;
mod workers;

pub use book::OfferBook;
pub use dispatcher::{Placement, PlacementConfig, PlacementCounts, QueueNow, WorkerAccount};
pub use dispatcher_streams::FrameTaken;
pub use frame::{
    CREDITS_INITIAL, Credit, DispatcherFrame, DispatcherItem, EndedHow, FRAME_ITEMS_MAX, Grant, ListState,
    OfferFrame, OfferItem, StreamId,
};
pub use offer::{KindTag, Offer, Rank, Shape};
pub use worker::{Load, WorkerFacts, WorkerState};
