//! The world as production has it, behind the seams of `hortator-actors` and `hortator-raft`.
//! Must not know workflows, runs or attempts: bytes, files, threads and clocks only.

pub mod clock;
pub mod entropy;
pub mod host;
pub mod open_files;
pub mod rooms;
pub mod spool_file;
pub mod store;
pub mod tcp;

pub use clock::SystemClock;
pub use entropy::OsEntropy;
pub use host::SystemHost;
pub use open_files::raise_open_files;
pub use rooms::ThreadRooms;
pub use spool_file::DiskSpool;
pub use tcp::{Addresses, CallFrom, Links, Listen, Secret, Security, TcpConfig, TcpTransport};
