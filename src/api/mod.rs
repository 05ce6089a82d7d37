//! The HTTP API, version 1: paths, status codes, headers and streams around the requests of `hortator-proto`.
//! It decides nothing: what a request means is the Gateway's matter, and whether a definition is right is core's.
//!
//! ```text
//!   guard (host, token and its role, request id, access log) ─▶ route ─▶ Backend ─▶ body or problem document
//! ```

pub mod access;
pub mod backend;
mod backup;
pub mod body;
pub mod cluster;
pub mod inside;
pub mod join;
pub mod problem;

mod crowd;
mod events;
mod faults;
mod guard;
mod health;
mod hosts;
mod limits;
mod logs;
mod placement;
mod reference;
mod requests;
mod routes;
mod runs;
mod schedules;
mod server;
mod sockets;
mod streams;
mod watched;
mod workers;
mod workflows;

pub use backend::Backend;
pub use runs::FINAL_STATES;
pub use server::{ApiServer, Door, Error, Security, serve, serve_backend, serve_door};
