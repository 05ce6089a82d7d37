//! Replicated, durable, ordered key-value groups on TiKV's raft.
//!
//! A [`Group`] is a synchronous driver: its owner calls `tick`, `step`, `propose` and, after any of
//! them or a [`Wake`], [`Group::turn`], which gives messages to send and notices to act on. One
//! [`Writer`] per group changes the file; any number of [`Rows`] read what is applied. The crate knows
//! keys and values only, and reaches clocks, files, threads and randomness only through [`StoreBackend`],
//! [`Entropy`] and [`Wake`].
//!
//! ```text
//!  owner ── tick, step, propose ──▶ Group ── jobs ──▶ Writer ──▶ one redb file
//!    ▲                               │  ▲               │             │
//!    └── turn(): messages, notices ──┘  └── progress ───┘   Rows ◀────┘
//! ```
//!
//! # Rules for raft 0.7 and where they are kept
//!
//! | rule | where |
//! | --- | --- |
//! | A persist, then speak | `group/flights.rs`: messages that rest on a write are held until it and all before it are done |
//! | B asynchronous ready | `group/turn.rs`: `ready` again after every `on_persist_ready`; `log_store.rs`: the tail in memory |
//! | C no re-entry | `group/turn.rs`: a ready is taken apart and advanced in one function |
//! | D applied with its rows | `store/transaction.rs`; `store/file.rs` raises commit to applied; `group/apply.rs` asserts that no entry is applied twice |
//! | E membership changes | `group/membership.rs`: at apply, context compared, learner first, `auto_leave` repaired |
//! | F snapshots | `snapshot_desk.rs`, `group/receiving.rs`, `store/staging.rs` |
//! | G reads | `group/reads.rs`: leader only, context never reused, dropped with the term |
//! | H elections | `group/open.rs`: pre-vote, check-quorum, ticks from [`Entropy`]; the owner collapses missed ticks |
//! | I transfer | `group/membership.rs`; proposals are refused meanwhile and end the epoch |
//! | J proposals | `group/propose.rs`: leader only; `group/step.rs` drops what peers must not send |
//! | K limits | `config.rs`, `group/propose.rs` |
//! | L log truncation | `truncation.rs`, `group/turn.rs`; cut by the writer in a durable transaction |
//! | M commit-term rule | `group/propose.rs`: an epoch begins when its barrier, of the leader's own term, is applied |
//! | N panics are verdicts | `store/fatal.rs`; `group/step.rs` silences an amnesiac before raft panics on it |
//! | O many groups, one disk | one file, writer and queue per group; nothing is shared |

mod backend;
mod batch;
mod config;
mod ear;
mod entry;
mod envelope;
mod group;
mod header;
mod hello;
mod lives;
mod log_store;
pub mod marks;
pub mod memory;
mod mistake;
mod page_sums;
mod position;
mod snapshot_desk;
mod store;
mod truncation;

pub use backend::{Entropy, StoreBackend, Wake};
pub use batch::{BATCH_BYTES_MAX, Batch, BatchError, KEY_BYTES_MAX, VALUE_BYTES_MAX, Write};
pub use config::{GroupConfig, LOG_KEEP_ENTRIES};
pub use envelope::{PAYLOAD_BYTES_MAX, words_of};
pub use group::{
    ConfChange, ConfChangeError, ConfChangeId, EpochError, Group, GroupStatus, Importance, LOOK_ENTRIES_MAX,
    LogContent, LogEntry, Notice, Outgoing, Output, PeerStatus, ProposeError, ReadId, ReadIndexError, Role,
    StepError, Ticket, TransferError,
};
pub use hello::{Amnesia, Hello};
pub use lives::Lives;
pub use mistake::Mistake;
pub use position::{GroupId, Position, ReplicaId};
pub use redb;
pub use store::{
    Audit, Changed, Checkpoint, Cursor, OpenError, ReadError, Row, Rows, RowsView, Seed, Seeding, Step,
    Writer,
};
