//! One group's file: its tables, the writer that alone changes it, and the readers of its rows.
//! Knows nothing of elections or peers; it is told what to write and says when it is done.

mod changes;
mod fatal;
mod file;
mod queue;
mod rows;
mod seeding;
mod staging;
mod sum;
mod tables;
mod transaction;
mod writer;

pub use changes::{Changed, Cursor};
pub use file::OpenError;
pub use rows::{Audit, ReadError, Row, Rows, RowsView};
pub use seeding::{Seed, Seeding};
pub use sum::Checkpoint;
pub use writer::{Step, Writer};

pub(crate) use fatal::fatal;
pub(crate) use file::{Boot, open_group};
pub(crate) use queue::{Apply, Install, Job, JobKind, Queue, WriteJob};
pub(crate) use rows::{Current, chunk_rows, is_whole};
pub(crate) use tables::{Hard, LOG, Mark, Memory, encode_conf};
