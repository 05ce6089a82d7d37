//! Hortator's outer part: what touches people and the operating system.
//! The pure rules are in `hortator-core`, the log in `hortator-raft`, the actors in `hortator-actors`.

pub mod api;
pub mod backup;
pub mod bench;
pub mod chaos;
pub mod cli;
pub mod config;
pub mod env;
pub mod executors;
pub mod forming;
pub mod importers;
pub mod live_faults;
pub mod log_file;
pub mod node;
pub mod pki;
pub mod server;
mod shell;
pub mod warden;
