//! hortator-proto
