//! Attempt logs: one file per attempt, a line is `<RFC 3339 µs Z> o|e|m <text>`: standard output, standard error,
//! or a mark by the worker. This module knows where logs lie, what a line looks like, how to read and to expire them.
//! Must not know processes; writing while a process runs is the executors' business.

mod desk;
mod place;
mod read;
mod sweep;
mod writer;

pub use desk::LogDesk;
pub use place::LogId;
pub use read::{Chunk, READ_BYTES_MIN, ReadError, read_range, tail_offset};
pub use sweep::{Swept, sweep};
pub use writer::{LOG_BYTES_MAX, LogWriter, Stream};
