//! hortator-raft
