//! The commands that ask a cluster, one file for each family.
//! What they know of the cluster comes over its HTTP API, like any client's.

pub mod backup;
pub mod bench;
pub mod cluster;
pub mod config;
pub mod diff;
pub mod doctor;
pub mod durations;
pub mod embedded;
pub mod events;
pub mod explain;
mod explain_then;
pub mod faults;
pub mod feed;
pub mod forecast;
pub mod help;
pub mod inside;
pub mod limit;
pub mod local;
pub mod logs;
pub mod members;
pub mod placement;
pub mod policies;
pub mod rehearse;
pub mod replay;
pub mod result;
pub mod runs;
pub mod schedule;
pub mod server;
pub mod shrink;
pub mod sim;
pub mod simulate;
pub mod staying;
pub mod worker;
pub mod workflow;
