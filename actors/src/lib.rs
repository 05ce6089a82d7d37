//! The actors of masters and workers: thin shells around `hortator-core`'s deciders and `hortator-raft`'s groups.
//! Nothing here reads a clock, opens a socket or a file, or starts a thread except through the seams.

pub mod agent;
pub mod gateway;
pub mod seam;
