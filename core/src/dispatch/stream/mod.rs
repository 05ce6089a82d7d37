//! How shards' leaders and the Dispatcher hear of each other: frames go in, frames come out, `now` is an argument.
//! Must not know actors, rows, connections or clocks, and not how a worker is chosen.
//!
//! ```text
//!  shard leader                                             membership leader
//!  OfferBook ──OfferFrame {offers, horizons, held}────────▶ Exchange ─▶ Dispatch ◀── workers, heartbeats, losses
//!     ▲      ◀─DispatcherFrame {grants, credits, reasons}─┘
//!     └ insert, remove, dispatched, ended
//! ```
//!
//! An `OfferBook` holds all ready task runs of a shard and shows the best of each shape, as many as it has credits
//! for. `Exchange` is a `Dispatch` behind one stream per shard. Both are soft: either may be lost, and a full list starts
//! the stream anew.

mod backlog;
mod book;
mod book_age;
mod book_link;
mod channel;
mod exchange;
mod exchange_frames;
mod frame;
mod parkings;
mod wanted;

pub use backlog::{BEGUN_WITHIN, Work};
pub use book::OfferBook;
pub use book_link::QUIET_WAIT;
pub use exchange::{Exchange, ExchangeConfig};
pub use exchange_frames::FrameTaken;
pub use frame::{
    Ageing, CREDITS_INITIAL, Credit, DispatcherFrame, DispatcherItem, DispatcherTerm, FRAME_ITEMS_MAX, Held,
    Hidden, ListState, OfferFrame, OfferItem, StreamId,
};
pub use wanted::{Wanted, WantedWorkers};
