//! What judges Hortator: the deterministic world that a cluster runs in, the faults that hurt it, the evidence that it
//! leaves behind, and the checkers of its promises. The simulator and the real-process harness share the latter two;
//! nothing here runs in a server.
//!
//! ```text
//!  seed ─▶ Plan ─▶ run::simulate ─▶ World, Workload, Injectors ─▶ heal ─▶ census ─▶ Evidence ─▶ checkers ─▶ Verdict
//!                                                                                          └─▶ Resolved ─▶ shrink ─▶ diagram
//! ```

pub mod amnesia;
pub mod attempts;
pub mod census;
pub mod checkers;
mod course;
pub mod diagram;
pub mod evidence;
pub mod faults;
pub mod forecast;
pub mod forecast_chaos;
pub mod forecast_config;
pub mod forecast_durations;
pub mod forecast_sums;
pub mod haul;
pub mod holds;
pub mod hunt;
mod lone;
pub mod marks;
pub mod members;
pub mod model;
pub mod ownership;
pub mod past;
pub mod plan;
pub mod priorities;
pub mod reasons;
pub mod reckoning;
pub mod rehearsal;
pub mod replicas;
pub mod reservations;
pub mod resolved;
pub mod run;
pub mod scenarios;
mod schedules;
mod settled;
pub mod shrink;
pub mod stock;
pub mod stub;
pub mod witness;
mod words;
pub mod workload;
pub mod world;
