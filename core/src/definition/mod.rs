//! Workflow definitions, version 1: the model, its text form, and the checks between them.
//! Must not know files, clusters or who asks.

pub mod graph;
pub mod model;

pub use graph::Graph;
pub use model::*;
