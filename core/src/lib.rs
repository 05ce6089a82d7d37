//! hortator-core
