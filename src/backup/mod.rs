//! Backups: all rows of a cluster in one file that checks itself, and a new cluster made of one. Must not know commands,
//! HTTP, or what the cluster was doing meanwhile.
//!
//! ```text
//!  file   = "HORTATOR BACKUP\n" format:4 frame*
//!  frame  = kind:1 length:4 crc:4 (of both) payload crc:4 (of the payload)
//!  frames = header, then for each group rows* and its end, then the end of all
//! ```
//!
//! Numbers are little-endian. The header is JSON, as are the ends; the last one has the SHA-256 of all before it. Each
//! group is as it was at one position; the shards were looked at first and the membership group last, so that it knows
//! every life of a worker that a shard names. What lets somebody in (tokens, the authority's key) is not in the file.

mod contents;
mod format;
mod plant;
mod reader;
mod save;
#[cfg(test)]
mod tests;

pub use contents::{Contents, GroupContents, inspect};
pub use format::{FORMAT, GroupCut, Header};
pub use plant::{NewCluster, PlantError, plant};
pub use reader::{BackupError, Part, StoredRow, read_backup};
pub use save::{SaveError, Saving};
