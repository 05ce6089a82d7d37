//! hortator-actors
