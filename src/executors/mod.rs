//! Running attempts as processes of this host: implements the `Launcher` seam on top of the warden.
//! Must not know masters, leases or what an attempt's end means.
//!
//! ```text
//! agent ── orders ──▶ launch thread: directory, script, environment, pipes ── start ──▶ warden ──▶ process
//!       ◀── events ── follow thread: output into logs, ends into events   ◀── notices ──┘             │
//!                          ▲───────────────── standard output and errors ────────────────────────────┘
//!                     remove thread: what attempts and runs leave on disk
//! ```

mod connection;
mod directories;
mod environment;
mod follow;
mod followed;
mod launch;
mod launcher;
mod orders;
mod outputs;
mod program;
mod remover;
mod start_error;
mod supervise;
#[cfg(test)]
mod tests;
mod workplace;

pub use connection::WardenCommand;
pub use environment::base_environment;
pub use launcher::{LauncherConfig, ProcessLauncher, StartError};
