//! The actors of masters and workers: thin shells around `hortator-core`'s deciders and `hortator-raft`'s groups.
//! Nothing here reads a clock, opens a socket or a file, or starts a thread except through the seams.

pub mod agent;
pub mod balancer;
pub mod caught;
mod conditions;
pub mod context;
pub mod definitions;
pub mod dispatcher;
pub mod gateway;
pub mod group;
pub mod histogram;
mod inside;
pub mod journal;
pub mod leaders;
pub mod mailbox;
pub mod membership;
mod merge;
mod metrics;
pub mod mutant;
pub mod node;
pub mod observe;
pub mod post;
pub mod query;
pub mod relay;
pub mod replicas;
pub mod run;
pub mod run_frame;
pub mod scope;
pub mod seam;
pub mod shard;
pub mod status;
pub mod tables;
pub mod task;
pub mod worker;
pub mod worker_table;
pub mod workflow;
